"""Photometry: giving back the contrast that a least-squares estimate loses."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor, nn

from zsdeconv.acquisition.base import Acquisition, Measurement
from zsdeconv.nn.contract import as_network, forward_with_symmetry
from zsdeconv.physics.operators import Crop
from zsdeconv.prediction.tiled import FramePrediction
from zsdeconv.progress.tasks import task

PHOTOMETRY_WORDS = "measuring the brightness"
"""What it is called for people."""

MAX_ROUNDS = 8
"""Chosen: eight draws of noise per image, after which pairs of one image share most of their noise."""
PIXELS_PER_SAMPLE = 2**20
"""Of all images together. Chosen: with a million pixels a slope is known to 0.1 %."""
SLOPE_LIMITS = (0.2, 1.5)
"""A slope outside these is not applied. Measured: 0.53 among puncta in haze at 3 photons, 1.02 at most; below, noise becomes fivefold."""
DARK_SHARE = 0.2
"""Share of the pixels, the darkest ones, on which the zero of the intensity scale is measured."""
MAX_DARK_SIGMAS = 2.0
"""Standard errors of the offset by which the dark level may correct it. Law: 95 % of the offsets lie within."""
MIN_ALPHA = 0.3
"""Adds a tenth to the variance of the noise, which no network minds."""
LEAST_CONTRAST = 10
"""Variance of the clean image, in standard errors, from which a slope is measured; pairs of one image share half their noise."""
BAND_SHARE = 0.995
"""Share of the power of the denoised image, without its mean, inside the band of frequencies in which slopes are measured. Measured: on
images of a multiplier with 3 to 10 photons the band holds a fifth of the frequencies and of the noise, and 99.8 % of the power of the clean
image; with 0.999 it holds three quarters, as one pass leaves noise at all frequencies.
"""
NEWTON_STEPS = 8
"""Chosen: the light taken is exact to 0.1 % of a knee after them, wherever the start is."""
KNEES = (0.0, 1 / 8, 1 / 4, 1 / 2, 1.0, 2.0, 4.0)
"""Knees that are tried, in units of the mean of the deconvolved image. Chosen: so dense that lines join them well enough."""


@dataclass(frozen=True)
class AffineResponse:
    """`estimate = slope * clean + intercept`, intercept in the network's unit."""

    slope: float = 1.0
    intercept: float = 0.0

    def corrected_in_place(self, estimate: Tensor) -> Tensor:
        """The estimate with slope 1 and intercept 0, in its own place."""
        return estimate.sub_(self.intercept).div_(self.slope)

    @property
    def steepest(self) -> float:
        """Largest slope of the correction."""
        return 1 / self.slope

    @property
    def most_taken(self) -> float:
        """Most light that the correction takes from a pixel, or adds to it."""
        return abs(self.intercept / self.slope)

    def taken(self, corrected: Tensor) -> Tensor:
        """Light that the correction has taken from each pixel, or added to it: the same everywhere."""
        return torch.full_like(corrected, self.most_taken)


@dataclass(frozen=True)
class PositiveResponse:
    """A correction that keeps light positive: `x` becomes `gain x^3 / (x^2 + knee^2) + floor`, for `x` below 0 as for 0.

    Far above the knee this is `gain x + floor`. A line that restores the contrast would give less than no light in the dark, which a
    least-squares estimate fills with a little of the light of its surroundings; this goes smoothly to `floor` there, which is 0 unless
    light is missing everywhere. All are 0 or more, `knee` and `floor` in the network's unit.

    >>> y = PositiveResponse(gain=1.25, knee=0.1).corrected_in_place(torch.tensor([-0.1, 0.0, 0.1, 10.0]))
    >>> [round(light, 3) for light in y.tolist()]
    [0.0, 0.0, 0.063, 12.499]
    """

    gain: float = 1.0
    knee: float = 0.0
    floor: float = 0.0

    def corrected_in_place(self, estimate: Tensor) -> Tensor:
        """The estimate with its intensity corrected, in its own place."""
        return _bent(estimate, self.knee).mul_(self.gain).add_(self.floor)

    @property
    def steepest(self) -> float:
        """Largest slope of the correction. Law: `x^3 / (x^2 + 1)` has the slope 9/8 at the root of 3, and nowhere a larger one."""
        return self.gain * (9 / 8 if self.knee > 0 else 1)

    @property
    def most_taken(self) -> float:
        """Most light that the correction takes from a pixel, or adds to it. Law: half a knee, where `x` is the knee."""
        return max(self.gain * self.knee / 2, self.floor)

    def taken(self, corrected: Tensor) -> Tensor:
        """Light that the correction has taken from each pixel, or added to it, of which it made the image `corrected`.

        >>> response = PositiveResponse(gain=1.25, knee=0.1)
        >>> x = torch.tensor([0.0, 0.1, 10.0])
        >>> [round(light, 4) for light in response.taken(response.corrected_in_place(x.clone())).tolist()]
        [0.0, 0.0625, 0.0012]
        """
        y = (corrected - self.floor).clamp_(min=0)
        return (_unbent(y / self.gain, self.knee).mul_(self.gain) - y - self.floor).abs_()


def _bent(x: Tensor, knee: float) -> Tensor:
    """`x^3 / (x^2 + knee^2)` of the positive part of `x`, in its own place."""
    x = x.clamp_(min=0)
    if knee == 0:
        return x
    square = x.square()
    return x.mul_(square.div_(square + knee**2))


def _unbent(y: Tensor, knee: float) -> Tensor:
    """The `x` of which `_bent` makes `y`: the root of `x^3 - y x^2 - y knee^2`, which is convex above it, so Newton's steps fall to it."""
    if knee == 0:
        return y
    part = y * knee**2
    x = y + part.pow(1 / 3)
    for _ in range(NEWTON_STEPS):
        x = x - (x * x * (x - y) - part) / (3 * x * x - 2 * x * y).clamp_(min=1e-30)
    return x


@dataclass(frozen=True)
class Band:
    """The spatial frequencies along y and x in which the clean image has its power, as coefficients of a cosine transform (`y x`, bool).

    Noise has power at all of them, so sums over the band have less noise than sums over the pixels.
    """

    inside: np.ndarray

    @classmethod
    def of(cls, denoised: Tensor) -> Band:
        """The lowest frequencies that hold `BAND_SHARE` of the power of an estimate of the clean image (`... y x`)."""
        power = _cosines(denoised)
        power = np.square(power, out=power).reshape(-1, *power.shape[-2:]).sum(0)
        power[0, 0] = 0
        radius = np.hypot(*np.meshgrid(*(np.arange(n) / n for n in power.shape), indexing="ij"))
        order = np.argsort(radius, axis=None)
        inner = np.cumsum(power.ravel()[order])
        return cls(radius <= radius.ravel()[order[np.searchsorted(inner, BAND_SHARE * inner[-1])]])

    def coefficients(self, image: Tensor) -> np.ndarray:
        """Those of an image (`... y x`): a row for each plane, in the first column the mean times the root of the number of pixels."""
        cosines = _cosines(image)
        return cosines.reshape(-1, *cosines.shape[-2:])[:, self.inside]

    def noise_inside(self, noise: Tensor) -> float:
        """Share of the power of `noise` inside."""
        total = float(noise.cpu().double().square().sum())  # Apple's GPUs have no doubles
        return float(np.square(self.coefficients(noise)).sum()) / total if total > 0 else 1.0


def _cosines(image: Tensor) -> np.ndarray:
    """Orthonormal cosine transform along y and x, which joins the borders of an image to their mirror images, without a step."""
    from scipy.fft import dctn

    return np.asarray(dctn(image.cpu().double().numpy(), axes=(-2, -1), norm="ortho"))


class AffineResponseFit:
    """Regression of an estimate on the clean image nobody has, from pairs with independent noise.

    `y_hat` and `y_tilde` share nothing but the clean image (Eq. 2), so `Cov(y_hat, y_tilde)` is the clean image's variance,
    and the covariance of `y_tilde` with anything computed from `y_hat` is that thing's covariance with the clean image. Both are sums over
    the coefficients of a `Band`.
    """

    def __init__(self) -> None:
        self.pixels, self.coefficients, self.sums = 0, 0, [0.0] * 7

    def add(self, estimate: np.ndarray, y_hat: np.ndarray, y_tilde: np.ndarray, plane_px: int) -> None:
        """One more pair, with what was estimated from `y_hat`: their coefficients in one band, of planes of `plane_px` pixels."""
        self.pixels += len(y_hat) * plane_px
        self.coefficients += y_hat.size
        e, h, t = (float(image[:, 0].sum()) * math.sqrt(plane_px) for image in (estimate, y_hat, y_tilde))
        products = ((estimate, y_tilde), (y_hat, y_tilde), (y_hat, y_hat), (y_tilde, y_tilde))
        for i, term in enumerate((e, h, t, *(float(np.vdot(a, b)) for a, b in products))):
            self.sums[i] += term

    def response(self, variance_bias: float = 0.0) -> AffineResponse:
        """The line; the identity when the image has too little contrast to tell.

        `variance_bias` is the mean variance, inside the band, of the noise of the pairs beyond that of the noise in `y`, which
        `Cov(y_hat, y_tilde)` lacks.
        """
        line = self.line(variance_bias)
        return line if line and _is_possible(line) else AffineResponse()

    @property
    def intercept_error(self) -> float:
        """Standard error of the intercept: that of the mean of the `y_tilde`, as noise and light spread them."""
        mean, square = (self.sums[i] / max(self.pixels, 1) for i in (2, 6))
        return math.sqrt(max(square - mean**2, 0.0) / max(self.coefficients, 1))

    def line(self, variance_bias: float = 0.0) -> AffineResponse | None:
        """The line; None when the image has too little contrast to tell."""
        mean_e, mean_h, mean_t, et, ht, hh, tt = (total / max(self.pixels, 1) for total in self.sums)
        variance = ht - mean_h * mean_t + variance_bias
        error = math.sqrt(max((hh - mean_h**2) * (tt - mean_t**2), 0.0) / max(self.coefficients, 1))
        slope = (et - mean_e * mean_t) / variance if variance > LEAST_CONTRAST * error else 0.0
        return AffineResponse(slope, mean_e - slope * mean_t) if slope > 0 else None


def _is_possible(line: AffineResponse) -> bool:
    return SLOPE_LIMITS[0] < line.slope < SLOPE_LIMITS[1]


class PositiveResponseFit:
    """The correction of a deconvolved image that gives its image through the lens slope 1 and intercept 0 on the clean image.

    For each of `KNEES` the line of `AffineResponseFit` is measured; at the right knee its intercept is 0. An estimate that has less light
    than the data even without a knee is given a floor.
    """

    def __init__(self) -> None:
        self.fits, self.unit = [AffineResponseFit() for _ in KNEES], 0.0

    def add(self, deconvolved: Tensor, seen: Callable[[Tensor], np.ndarray], y_hat: np.ndarray, y_tilde: np.ndarray, plane_px: int) -> None:
        """One more pair, and what was deconvolved from its `y_hat`; `seen` takes that to their grid, and to the coefficients of a band."""
        self.unit = self.unit or float(deconvolved.clamp(min=0).mean())
        for knee, fit in zip(KNEES, self.fits, strict=True):
            fit.add(seen(_bent(deconvolved.clone(), knee * self.unit)), y_hat, y_tilde, plane_px)

    def response(self, variance_bias: float = 0.0, dark_level: float = 0.0) -> PositiveResponse | None:
        """The correction, where `dark_level` of the clean image counts as no light; None when there is too little contrast to tell."""
        lines = [fit.line(variance_bias) for fit in self.fits]
        if lines[0] is None or not _is_possible(lines[0]):
            return None
        known = [(knee * self.unit, line) for knee, line in zip(KNEES, lines, strict=True) if line is not None]
        missing = [-line.intercept / line.slope - dark_level for _, line in known]  # light that the corrected image would lack
        error = self.fits[0].intercept_error
        after = next((n for n, light in enumerate(missing) if light >= -error), int(np.argmax(missing)))
        before = max(after - 1, 0)
        share = missing[before] / (missing[before] - missing[after]) if missing[before] < 0 < missing[after] else 1.0
        knee, slope = (a + share * (b - a) for a, b in zip(*((at, line.slope) for at, line in (known[before], known[after])), strict=True))
        return PositiveResponse(1 / slope, knee, max(missing[0], 0.0))


@dataclass(frozen=True)
class IntensityCorrection:
    """What makes the denoised image, and the deconvolved one as the lens sees it, regressed on the clean image, have slope 1, intercept 0.

    The minimiser of the squared error is drawn towards the mean: regressed on the truth its slope is below 1, by the
    ratio of remaining error to signal, a tenth at very low light. Correcting it makes sums and ratios of intensities
    right on average. Both corrections rise everywhere, so no structure appears or vanishes.

    `dark_level` is the level of an image without light, in the network's unit: what the calibrated offset is still wrong by. It is taken
    from the denoised image, and counted as no light in the correction of the deconvolved one.
    """

    denoised: AffineResponse = AffineResponse()
    deconvolved: AffineResponse | PositiveResponse = PositiveResponse()
    dark_level: float = 0.0

    def corrected(self, prediction: FramePrediction) -> FramePrediction:
        """The prediction with slope 1 and intercept 0, where no light is 0. Its images are large and changed in their own place."""
        return replace(
            prediction,
            denoised=self.denoised.corrected_in_place(prediction.denoised).sub_(self.dark_level),
            deconvolved=self.deconvolved.corrected_in_place(prediction.deconvolved),
            spread=None if prediction.spread is None else prediction.spread.mul_(self.deconvolved.steepest),
        )


class DarkLevel:
    """The level of an image without light, as the optics tell it.

    Light is not negative, and a lens spreads it: `H f(y)`, with `f(y) >= 0`, says how much light reaches the darkest places
    from all others. What the camera recorded there beyond that is offset. The places are chosen by `f'(y_hat)` and looked up in
    `y_tilde`, which do not share their noise, so no place is dark by chance.
    """

    def __init__(self) -> None:
        self.n, self.sum = 0, 0.0

    def add(self, denoised: Tensor, reblurred: Tensor, y_tilde: Tensor) -> None:
        """One more pair, with both estimates made from its `y_hat`; all on the raw grid, in the network's unit."""
        d, difference = denoised.cpu().double().flatten(), (y_tilde - reblurred).cpu().double().flatten()
        count = max(1, int(DARK_SHARE * d.numel()))
        self.n += count
        self.sum += float(difference[d.argsort()[:count]].sum())

    @property
    def level(self) -> float:
        """Mean over all pairs, 0 when there are none."""
        return self.sum / max(self.n, 1)


@torch.no_grad()
def measure_intensity_correction(
    network: nn.Module,
    acquisition: Acquisition,
    measurements: Sequence[Measurement],
    alpha: float = 1.0,
    *,
    seed: int,
    offset_sigma: float = math.inf,
) -> IntensityCorrection:
    """Responses and dark level of a trained network on the measurements of its training, from re-corrupted pairs (Eq. 2).

    `z` has the variance of the camera itself. Without noise there are no pairs, hence `alpha` is at least `MIN_ALPHA`. The ends of a stack
    get much of their light from unknown parts of the object and are left out.

    Parameters
    ----------
    network : the trained network, which is only applied
    acquisition : how the measurements were made; where its light is open, the deconvolved image is left as it is
    measurements : what the network was trained on
    alpha : noise added in prediction, of which the pairs are made
    seed : of the noise
    offset_sigma : standard error of the camera offset, network's unit; the dark level corrects it by at most `MAX_DARK_SIGMAS` of it, and
        not at all where the offset is known
    """
    alpha, operator = max(alpha, MIN_ALPHA), acquisition.forward_operator
    generator = torch.Generator(next(network.parameters()).device).manual_seed(seed)
    fit, positive_fit, dark_level, variance_bias = AffineResponseFit(), PositiveResponseFit(), DarkLevel(), _Mean()
    rounds = rounds_of(sum(measurement.y.numel() for measurement in measurements))
    with task(PHOTOMETRY_WORDS) as shown:
        for number, measurement in enumerate(measurements):
            shape, band = measurement.y.shape, None
            inner = _inner(shape[:-2], len(shape), operator.support_px)
            for n in range(rounds):
                y_hat, y_tilde = (image[None, None] for image in measurement.pair(alpha, generator))
                bias = float(inner(measurement.pair_bias(y_hat[0, 0], alpha)[None, None]).cpu().double().mean())
                denoised, deconvolved = forward_with_symmetry(as_network(network), n, y_hat)
                denoised, reblurred, y_hat, y_tilde = map(inner, (denoised, operator(deconvolved), y_hat, y_tilde))
                dark_level.add(denoised, reblurred, y_tilde)
                band = band or Band.of(denoised)
                variance_bias.add(band.noise_inside(y_hat - y_tilde) * bias, y_hat.numel())
                seen, plane_px = band.coefficients, y_hat.shape[-2] * y_hat.shape[-1]
                denoised, y_hat, y_tilde = map(seen, (denoised, y_hat, y_tilde))
                fit.add(denoised, y_hat, y_tilde, plane_px)
                positive_fit.add(deconvolved, lambda image, see=seen, part=inner @ operator: see(part(image)), y_hat, y_tilde, plane_px)
                shown.report((number + (n + 1) / rounds) / len(measurements))
    most = MAX_DARK_SIGMAS * offset_sigma
    zero = min(max(dark_level.level, -most), most)
    denoised, deconvolved = fit.response(variance_bias.mean), positive_fit.response(variance_bias.mean, zero)
    measured = IntensityCorrection(denoised) if deconvolved is None else IntensityCorrection(denoised, deconvolved, zero)
    return acquisition.light.absolute(lambda: measured, IntensityCorrection(denoised))


def rounds_of(pixels: int) -> int:
    """Draws of noise for each of the images that have so many pixels together.

    >>> rounds_of(128 * 128), rounds_of(512 * 512)
    (8, 4)
    """
    return max(1, min(MAX_ROUNDS, PIXELS_PER_SAMPLE // pixels))


def _inner(planes: Sequence[int], rank: int, support_px: Sequence[int]) -> Crop:
    """A stack of so many `planes` without those nearer to its ends than half the reach of the lens; three quarters stay at least.

    A stack has few planes, so a good part of it is near its ends. Images are wide: laterally nothing is left out.
    """
    axial = [min(reach // 2, (n - 1) // 8) for n, reach in zip(planes, support_px, strict=False)]
    return Crop([*axial, *[0] * (rank - len(axial))])


class _Mean:
    """Mean over all pixels of several images."""

    def __init__(self) -> None:
        self.n, self.sum = 0, 0.0

    def add(self, mean: float, pixels: int) -> None:
        """That of one more image."""
        self.n += pixels
        self.sum += pixels * mean

    @property
    def mean(self) -> float:
        """Mean over all pixels."""
        return self.sum / self.n
