"""Laws of detectors: how electrons become counts, and how counts are divided into two independent measurements.

Light arrives as electrons, whose number is Poisson distributed. A detector makes counts of them: a `Camera` multiplies by its gain and adds
Gaussian read noise (Eq. 3); a `Multiplier` (electron-multiplying camera, photomultiplier) first makes of each electron a random, skewed
number of counts; a `Counter` counts. All are divided (`split`) by dividing the electrons, each of which goes to one of two images: unlike
the two images of Eq. 2, whose noise is only uncorrelated, these are independent, however skewed the noise is. Of many, both agree.

Binomial thinning of Poisson counts is classical; for sums of exponentials the division of the counts is Beta distributed (Lukacs, Ann.
Math. Stat. 26, 319, 1955). Electrons that were not counted are drawn from their posterior, given the counts and the local mean.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, Self, TypeVar

import numpy as np
import torch
from torch import Tensor

from zsdeconv.camera.correlation import WHITE, NoiseCorrelation
from zsdeconv.camera.lines import NO_LINES, LineOffsets
from zsdeconv.errors import ConfigError

Array = TypeVar("Array", bound=Any)
GAUSSIAN_SKEWNESS = 0.13
"""Skewness of the noise of a pixel up to which it counts as Gaussian. Chosen: that of 60 photo-electrons."""
GAUSSIAN_READ_NOISE_E = 4.0
"""Read noise, electrons, from which the noise of a camera counts as Gaussian at any light. Law: the skewness is at most 0.385 / 4."""
LEAST_MEAN_E = 0.04
"""Smallest local mean, electrons, of the prior of a pixel's electrons. Law: one electron in the 25 pixels of the local mean."""
MAX_DRAWN_E = 20
"""Electrons of a multiplier that are drawn from all numbers up to this one; Chosen: 6 standard deviations above `NORMAL_FROM_E`."""
NORMAL_FROM_E = 8.0
"""Most probable electrons of a multiplier from which their posterior is taken as normal. Chosen: its skewness is below 0.2 there."""
LEAST_READ_NOISE_E = 0.02
"""Read noise, electrons, below which neighbouring numbers of electrons are told apart anyway. Law: 25 standard deviations lie between."""
MAX_LOOKED_UP = 2**12
"""Largest number whose factorial is looked up. Chosen: a small table; pixels of more electrons are rare where their mean is low."""
CHUNK_PX = 2**17
"""Pixels divided at a time. Chosen: tables of the posterior of so many take below 20 MB."""


@dataclass(frozen=True)
class Camera:
    """`y = b + gain n + N(0, beta2)`: offset `b` (ADU), gain (ADU per photo-electron), read variance `beta2` (ADU^2, with quantisation).

    `correlation` says what filtered the noise, and gain and read variance are those of pixels after it; `lines` are offsets of lines.

    Raises `ConfigError` for values that no camera can have.

    >>> camera = Camera(offset=100.0, gain=2.0, read_variance=9.0)
    >>> camera.variance(np.array([-5.0, 0.0, 50.0])).tolist(), camera.third_cumulant(50.0)
    ([9.0, 9.0, 109.0], 200.0)
    """

    offset: float
    gain: float
    read_variance: float
    correlation: NoiseCorrelation = field(default=WHITE, kw_only=True)
    lines: LineOffsets = field(default=NO_LINES, kw_only=True)

    kind: ClassVar[str] = "camera"
    """Its name in settings and files."""
    words: ClassVar[str] = "camera with Gaussian read noise"

    def __post_init__(self) -> None:
        if not np.isfinite(self.offset):
            raise ConfigError(f"camera offset {self.offset} ADU, it must be a finite number; give background")
        if not (np.isfinite(self.gain) and self.gain >= 0):
            raise ConfigError(f"camera gain {self.gain} ADU per electron: it must be 0 or more; calibrate with dark and flat frames")
        if not (np.isfinite(self.read_variance) and self.read_variance >= 0):
            raise ConfigError(f"read variance {self.read_variance} ADU^2: it must be 0 or more; calibrate with dark and flat frames")

    @property
    def excess(self) -> float:
        """Mean square of the counts of one electron, over the square of their mean."""
        return 1.0

    @property
    def beta1(self) -> float:
        """Variance per signal (Eq. 3), ADU: gain times excess."""
        return self.excess * self.gain

    @property
    def skew(self) -> float:
        """Mean cube of the counts of one electron, over the cube of their mean."""
        return 1.0

    @property
    def kurtosis(self) -> float:
        """Fourth cumulant of the noise over `beta1^2` times the variance without read noise."""
        return 1.0

    @property
    def read_noise(self) -> float:
        """Standard deviation of the signal-independent noise, `sqrt(beta2)`, ADU."""
        return float(np.sqrt(self.read_variance))

    @property
    def read_variances(self) -> float | Tensor:
        """The read variance of each pixel, where they differ: a tensor that is broadcast to images."""
        return self.read_variance

    @property
    def read_noises(self) -> float | Tensor:
        """Their roots."""
        return self.read_noise

    def on(self, device: torch.device) -> Camera:
        """The law with what it holds of single pixels on a device."""
        return self

    def maps_of(self, y: Tensor) -> tuple[Tensor, ...]:
        """The read variances of the pixels of an image, where they differ; otherwise nothing."""
        return ()

    def within(self, y: slice, x: slice) -> Camera:
        """The law of a part of the pixels."""
        return self

    def variance(self, signal_above_offset: Array) -> Array:
        """`sigma^2 = beta1 max(signal, 0) + beta2` (Eq. 3), ADU^2, for an array or tensor of any shape (ADU above offset)."""
        return self.beta1 * signal_above_offset.clip(0) + self.read_variances

    def third_cumulant(self, signal_above_offset: Array) -> Array:
        """Third central moment of the noise, ADU^3: `skew gain^2 signal`."""
        return signal_above_offset * (self.skew * self.gain**2)

    def skewness(self, signal_above_offset: float) -> float:
        """Skewness of the noise where the signal is so many ADU above the offset; 0 without noise."""
        variance = self.beta1 * max(signal_above_offset, 0.0) + self.read_variance
        return self.third_cumulant(max(signal_above_offset, 0.0)) / variance**1.5 if variance > 0 else 0.0

    def in_unit(self, scale: float) -> Self:
        """The law for images without offset whose unit is `scale` ADU."""
        scaled = {"gain": self.gain / scale, "read_variance": self.read_variance / scale**2, "lines": self.lines.in_unit(scale)}
        return replace(self, offset=0.0, **scaled)

    @property
    def white(self) -> Self:
        """The law of pixels that lie apart, whose noise is independent."""
        return replace(self, correlation=WHITE)

    def noise(self, signal_above_offset: Tensor, generator: torch.Generator) -> Tensor:
        """Gaussian noise of mean 0 with the variance and the correlation of that of a signal (`... y x`): `z` of Eq. 2."""
        return self.correlation.drawn(self.variance(signal_above_offset), generator)

    @property
    def gaussian(self) -> bool:
        """Whether the noise counts as Gaussian at any light."""
        return self.gain == 0 or self.read_noise > GAUSSIAN_READ_NOISE_E * self.gain

    def split(self, y: Tensor, mean: Tensor, fraction: Tensor | float, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Two measurements of the same mean with independent noise, the first of `fraction` of the electrons, the second of the rest.

        Parameters
        ----------
        y : counts above the offset, of any shape
        mean : their local mean, of the same shape, from which electrons that were not counted are guessed
        fraction : between 0 and 1, broadcast to `y`; the variances are those of `y` over `fraction` and over `1 - fraction`
        generator : of any device; where it is another than that of `y`, the division is done there

        >>> generator = torch.Generator().manual_seed(0)
        >>> first, second = Counter(0.0, 1.0).split(torch.full((4000,), 6.0), torch.full((4000,), 6.0), 0.25, generator)
        >>> bool((0.25 * first + 0.75 * second == 6).all())
        True
        """
        if y.device.type != generator.device.type:
            first, second = self.split(y.to(generator.device), mean.to(generator.device), fraction, generator)
            return first.to(y.device), second.to(y.device)
        fraction = torch.as_tensor(fraction, dtype=y.dtype, device=y.device)
        root = (fraction * (1 - fraction)).sqrt()
        first = fraction * y + root * self.variance(mean).sqrt() * _normal(y.shape, generator)
        dim = torch.zeros_like(mean, dtype=torch.bool) if self.gaussian else mean < self._gaussian_from()
        if bool(dim.any()):
            chosen, means, shares = y[dim], mean[dim], fraction.expand_as(y)[dim]
            parts = zip(chosen.split(CHUNK_PX), means.split(CHUNK_PX), shares.split(CHUNK_PX), strict=True)
            first[dim] = torch.cat([law._part(u, m, f, generator) for law, (u, m, f) in zip(self._laws(dim), parts, strict=False)])
        return first / fraction, (y - first) / (1 - fraction)

    def _laws(self, chosen: Tensor) -> Iterator[Camera]:
        """The law of each chunk of chosen pixels."""
        return itertools.repeat(self)

    def _gaussian_from(self) -> float:
        """Local mean above which the noise counts as Gaussian; its skewness without read noise is `skew / excess^1.5 / sqrt(electrons)`."""
        return self.gain * self.skew**2 / self.excess**3 / GAUSSIAN_SKEWNESS**2

    def _part(self, y: Tensor, mean: Tensor, fraction: Tensor, generator: torch.Generator) -> Tensor:
        """The first part of each pixel, one-dimensional."""
        light, share = self._light(y, mean, fraction, generator)
        noise = self.read_noises * (fraction * (1 - fraction)).sqrt() * _normal(y.shape, generator)
        return light * share + fraction * (y - light) + noise

    def _light(self, y: Tensor, mean: Tensor, fraction: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """What of the counts is light, drawn from its posterior, and the share of it that goes to the first part."""
        electrons = self._electrons(y / self.gain, (mean / self.gain).clamp(min=LEAST_MEAN_E), generator)
        return self.gain * electrons, _ratio(torch.binomial(electrons, fraction, generator=generator), electrons)

    def _electrons(self, u: Tensor, mean: Tensor, generator: torch.Generator) -> Tensor:
        """Electrons drawn from `p(n | u) ~ Poisson(n; mean) N(u; n, read noise)`, all in electrons.

        Numbers within 4 standard deviations of the normal posterior are considered.
        """
        read = self.read_noise / self.gain
        if read < LEAST_READ_NOISE_E:  # of two neighbouring numbers one is then impossible
            return u.round().clamp(min=0)
        reach = math.ceil(4 * read) + 1
        centre = mean * (u + read**2) / (mean + read**2)
        start = (centre.round() - reach).clamp(min=0)
        n = start[:, None] + torch.arange(2 * reach + 1, dtype=u.dtype, device=u.device)
        score = n * mean.log()[:, None] - log_factorial(n) - (u[:, None] - n).square() / (2 * read**2)
        return start + drawn(score, generator)

    def log_likelihood(self, u: Tensor, most: int = MAX_DRAWN_E) -> Tensor:
        """`log p(u | n)` of the numbers n = 0 to `most` of electrons, pixel by n; `u` (pixel): signal above the offset over the gain.

        >>> Camera(0.0, 2.0, 4.0).log_likelihood(torch.tensor([3.0])).argmax().item()
        3
        """
        n = torch.arange(most + 1, dtype=u.dtype, device=u.device)
        read = max(self.read_noise / self.gain, LEAST_READ_NOISE_E)
        return -0.5 * ((u[:, None] - n) / read).square() - math.log(read * math.sqrt(2 * math.pi))

    def simulate(self, mean: Tensor, fraction: Tensor | float, generator: torch.Generator) -> Tensor:
        """A measurement of `mean` (counts above the offset) as the first part of a `split` has it; with `fraction` 1 a whole one.

        >>> generator = torch.Generator().manual_seed(0)
        >>> y = Camera(0.0, 2.0, 9.0).simulate(torch.full((10000,), 50.0), 0.5, generator)
        >>> bool(abs(y.mean() - 50) < 0.6), bool(abs(y.var() / 218 - 1) < 0.06)
        (True, True)
        """
        fraction = torch.as_tensor(fraction, dtype=mean.dtype, device=mean.device)
        around = self.correlation.extended(mean)
        y = fraction.sqrt() * self.read_noises * _normal(around.shape, generator)
        if self.gain > 0:
            y = y + self._counts(torch.poisson(fraction * around.clamp(min=0) / self.gain, generator=generator), generator)
        return mean + self.correlation.coloured(y / fraction - around) if self.correlation else y / fraction

    def _counts(self, electrons: Tensor, generator: torch.Generator) -> Tensor:
        """Counts that so many electrons make."""
        return self.gain * electrons


@dataclass(frozen=True)
class Multiplier(Camera):
    """Electron-multiplying camera or photomultiplier: each electron makes a Gamma distributed number of counts with the mean `gain`.

    `shape` is 1 for electron multiplication, whose counts are exponential; photomultipliers have about 2 to 4. The variance is
    `(1 + 1 / shape) gain signal`, and the noise is skewed.

    >>> Multiplier(490.0, 60.0, 49.0).variance(np.array([0.0, 60.0])).tolist()
    [49.0, 7249.0]
    """

    shape: int = 1
    """Of the Gamma distribution of the counts of one electron."""

    kind = "emccd"
    words = "electron multiplier (skewed noise)"

    def __post_init__(self) -> None:
        super().__post_init__()
        if not (self.shape == int(self.shape) and self.shape >= 1):
            raise ConfigError(f"shape {self.shape} of a multiplier: it must be a whole number from 1 on; give detector camera for many")

    @property
    def excess(self) -> float:
        return 1 + 1 / self.shape

    @property
    def skew(self) -> float:
        return (1 + 1 / self.shape) * (1 + 2 / self.shape)

    @property
    def kurtosis(self) -> float:
        return self.skew * (1 + 3 / self.shape) / self.excess**3

    @property
    def gaussian(self) -> bool:
        return self.gain == 0 or self.read_noise > GAUSSIAN_READ_NOISE_E * self.skew * self.gain

    def _light(self, y: Tensor, mean: Tensor, fraction: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """As of a camera. The light of n electrons and the read noise, of which only the sum is known, are drawn from the normal
        distribution about the most probable light.
        """
        k, read = self.shape, self.read_noise / self.gain
        u = y / self.gain
        electrons = self._electrons(u, (mean / self.gain).clamp(min=LEAST_MEAN_E), generator)
        power = (k * electrons - 1).clamp(min=0)
        lit = u - k * read**2
        light = torch.where(power > 0, 0.5 * (lit + (lit.square() + 4 * power * read**2).sqrt()), lit)
        if read > 0:
            width = (1 / read**2 + power / light.clamp(min=1e-3).square()).rsqrt()
            tail = torch.rand(u.shape, generator=generator, device=u.device) * torch.special.ndtr(light / width)
            light = light - width * torch.special.ndtri(tail.clamp(1e-30, 1 - 1e-7))
        first = torch.binomial(electrons, fraction, generator=generator)
        share = _ratio(first, electrons)
        both = (first > 0) & (first < electrons)
        a, b = (torch._standard_gamma((k * part[both]), generator=generator) for part in (first, electrons - first))
        share[both] = a / (a + b)
        return torch.where(electrons > 0, self.gain * light.clamp(min=1e-6), 0.0), share

    def _electrons(self, u: Tensor, mean: Tensor, generator: torch.Generator) -> Tensor:
        """Electrons drawn from `p(n | u) ~ Poisson(n; mean) p(u | n)`; where they are many, from the normal posterior."""
        k = self.shape
        likely = (mean * u.clamp(min=1e-6) ** k) ** (1 / (1 + k))  # the most probable number, where it is large
        electrons = (likely + (likely / (1 + k)).sqrt() * _normal(u.shape, generator)).round().clamp(min=1)
        few = likely < NORMAL_FROM_E
        if bool(few.any()):
            n = torch.arange(MAX_DRAWN_E + 1, dtype=u.dtype, device=u.device)
            score = n * mean[few].log()[:, None] - log_factorial(n) + self.log_likelihood(u[few])
            electrons[few] = drawn(score, generator)
        return electrons

    def log_likelihood(self, u: Tensor, most: int = MAX_DRAWN_E) -> Tensor:
        """Of Gamma densities blurred by normal read noise, by the recursion `I_(j+1) = ((v - r^2) I_j + r^2 I_(j-1)) / j` of their shape j.

        In units of the counts of one electron over `shape`, `v = shape u` and the read noise is r; `I_0` is the density of the read noise
        alone, and `I_1` that of an exponential with it. (Integration by parts.)
        """
        v, read = self.shape * u, self.shape * max(self.read_noise / self.gain, LEAST_READ_NOISE_E)
        lit = v - read**2
        before = torch.exp(-0.5 * (v / read).square()) / (read * math.sqrt(2 * math.pi))
        density = torch.exp(torch.special.log_ndtr(lit / read) - v + 0.5 * read**2)
        columns = [before]
        for j in range(1, self.shape * most + 1):
            if j % self.shape == 0:
                columns.append(density)
            before, density = density, ((lit * density + read**2 * before) / j).clamp(min=0)
        return (self.shape * torch.stack(columns, 1)).clamp(min=1e-30).log()

    def _counts(self, electrons: Tensor, generator: torch.Generator) -> Tensor:
        counts = torch.zeros_like(electrons)
        some = electrons > 0
        counts[some] = torch._standard_gamma(self.shape * electrons[some], generator=generator) * (self.gain / self.shape)
        return counts


@dataclass(frozen=True)
class Counter(Camera):
    """Photon counting (hybrid detector, avalanche diodes): `gain` counts per photon, no read noise.

    >>> Counter(0.0, 1.0).variance(np.array([3.0])).tolist()
    [3.0]
    """

    read_variance: float = 0.0

    kind = "counting"
    words = "photon counter"

    @property
    def gaussian(self) -> bool:
        return False


DETECTORS: dict[str, Callable[..., Camera]] = {law.kind: law for law in (Camera, Multiplier, Counter)}
"""Laws by their name in settings and files."""


def _normal(shape: torch.Size, generator: torch.Generator) -> Tensor:
    return torch.randn(shape, generator=generator, device=generator.device)


def _ratio(part: Tensor, whole: Tensor) -> Tensor:
    return part / whole.clamp(min=1)


def log_factorial(n: Tensor) -> Tensor:
    """Of whole numbers, looked up where they are small."""
    most = int(n.max())
    if most > MAX_LOOKED_UP:
        return torch.lgamma(n + 1)
    return torch.lgamma(torch.arange(1, most + 2, dtype=n.dtype, device=n.device))[n.long()]


def drawn(score: Tensor, generator: torch.Generator) -> Tensor:
    """A column drawn in each row with a probability proportional to the exponential of the score."""
    heaps = (score - score.amax(1, keepdim=True)).exp_().cumsum(1)
    level = torch.rand((len(score), 1), generator=generator, device=score.device) * heaps[:, -1:]
    return (heaps < level).sum(1).to(score.dtype)


def signal_estimate(y: np.ndarray, offset: float) -> np.ndarray:
    """Signal estimate `max(A(y - b), 0)` of Eq. 3 (ADU above offset), where A is the lateral mean over 5 x 5 pixels.

    `y` is `... y x` in ADU; the border repeats the edge pixel. The result has the shape of `y` and is floating point.

    >>> signal_estimate(np.pad([[125.0]], 1, constant_values=100.0), 100.0)[1].round(6).tolist()
    [1.0, 1.0, 1.0]
    """
    from scipy.ndimage import uniform_filter

    signal = np.asarray(y, np.result_type(y, np.float32)) - offset
    return np.maximum(uniform_filter(signal, (1,) * (signal.ndim - 2) + (5, 5), mode="nearest"), 0)  # pyright: ignore[reportArgumentType]
