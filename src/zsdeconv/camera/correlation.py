"""Correlation of the noise of neighbouring pixels: what it is, how it is measured in one image or a series, and how such noise is drawn.

A band-limited amplifier, smoothing, interpolation or a colour mosaic filters the noise that arises independently in each pixel. Such noise
has the covariance `sqrt(v(p) v(q)) rho(p - q)`, with the variance `v` of the pixels (Eq. 3), which varies slowly, and an autocorrelation
`rho`, the same everywhere. Its power spectrum is a sum of cosines, one for each lag. Where the image holds no structure, power is that of
noise, so cosines are fitted there, which give the noise at all other frequencies as well (Blackman and Tukey, 1958; Whittle's likelihood).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from itertools import product

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from zsdeconv.camera.highpass import Filters, radius_of

MAX_LAG = 4
"""Largest lag along each axis, pixels. Chosen: noise that remembers further is as wide as what a lens shows."""
FLOORS_PER_PX = (0.3, 0.25, 0.2, 0.15, 0.1)
"""Frequencies beyond which the power is taken as that of noise, tried in turn. Measured: in smoothed and scanned simulated images, a higher
one leaves too few lags, and below 0.2 structure adds to the correlation even of quiet tiles, by 0.1 to 0.4 in dense networks."""
MAX_SIGMA = 0.04
"""Standard error of a correlation up to which it is known. Chosen: with it correlations of 0.4 to 0.8 came out within 0.05."""
MIN_POWER = -0.02
"""Least fitted power, in units of the mean. Law: it is not negative; Chosen: two per cent are the error of a right fit."""
QUIET_BELOW_PER_PX, QUIET_ABOVE_PER_PX = 0.08, 0.3
"""Frequencies of the structure of a tile, and of its noise, by which quiet tiles are chosen. Chosen: the first are not fitted."""
MIN_TILES = 16
"""Fewest tiles whose power is averaged. Chosen: the power is then known to a quarter, and all cosines to a few per cent."""
OVERLAP = 4.0
"""Coefficients, of neighbouring frequencies and half-overlapping tiles, that share one independent value. Law: of Hann windows."""
FIT_ITERATIONS = 12
"""Iterations of the reweighted fit. Chosen: by then simulated spectra have converged to 1e-4."""
GRID = 64
"""Side of the grid of frequencies on which kernels are made. Chosen: large against all lags."""
MAX_REACH = 8
"""Largest reach of a kernel, pixels. Chosen: twice the largest lag."""
LOST_POWER = 2e-4
"""Power of a kernel beyond its reach. Law: that of a correlation of 0.02, the error of the best."""


@dataclass(frozen=True)
class NoiseCorrelation:
    """The filter that makes noise with a memory of noise without one: a symmetric `kernel` of odd sizes (y x) whose squares sum to 1.

    `sigma` is the largest standard error of the measured correlations, `floor_per_px` the frequency beyond which they were measured.

    >>> scanned = NoiseCorrelation(((0.25, 0.5, 0.25),))
    >>> scanned.along_x, scanned.along_y, bool(WHITE)
    (0.667, 0.0, False)
    """

    kernel: tuple[tuple[float, ...], ...] = ((1.0,),)
    sigma: float = 0.0
    floor_per_px: float = 0.5

    def __bool__(self) -> bool:
        """Whether there is a memory."""
        return self.reach != (0, 0)

    @cached_property
    def values(self) -> np.ndarray:
        """The kernel, its squares with the sum 1."""
        kernel = np.asarray(self.kernel, np.float64)
        return kernel / np.sqrt(np.square(kernel).sum())

    @property
    def reach(self) -> tuple[int, int]:
        """Pixels along y and x on each side of the middle of the kernel."""
        rows, columns = len(self.kernel), len(self.kernel[0])
        return rows // 2, columns // 2

    def rho(self, dy: int, dx: int) -> float:
        """Correlation of the noise of pixels at a distance."""
        return float(np.fft.ifft2(self.power(GRID)).real[dy, dx])

    @property
    def along_x(self) -> float:
        """Correlation of neighbours in a row."""
        return round(self.rho(0, 1), 3) + 0.0

    @property
    def along_y(self) -> float:
        """Correlation of neighbours in a column."""
        return round(self.rho(1, 0), 3) + 0.0

    @property
    def pixels(self) -> float:
        """Pixels that share one independent value: the sum of all correlations, and the power at frequency 0."""
        return float(self.values.sum() ** 2)

    @property
    def fwhm_px(self) -> float:
        """Width at half maximum of the kernel along the axis along which it is wider, pixels; 1 without a memory."""
        middle = self.values[self.reach[0]], self.values[:, self.reach[1]]
        return max(_width(profile) for profile in middle)

    def power(self, size: int) -> np.ndarray:
        """Power spectrum (size x size), with the mean 1."""
        return np.square(np.abs(np.fft.fft2(self.values, (size, size))))

    def extended(self, image: Tensor) -> Tensor:
        """An image (`... y x`) with its edge repeated as far as the kernel reaches."""
        if not self:
            return image
        (y, x), planes = self.reach, image.reshape(-1, 1, *image.shape[-2:])
        return F.pad(planes, (x, x, y, y), mode="replicate").reshape(*image.shape[:-2], image.shape[-2] + 2 * y, image.shape[-1] + 2 * x)

    def coloured(self, noise: Tensor) -> Tensor:
        """Noise with this correlation of independent noise on an `extended` image."""
        if not self:
            return noise
        height, width = (n - 2 * reach for n, reach in zip(noise.shape[-2:], self.reach, strict=True))
        total = noise.new_zeros(*noise.shape[:-2], height, width)
        for (dy, dx), weight in np.ndenumerate(self.values):
            total.add_(noise[..., dy : dy + height, dx : dx + width], alpha=float(weight))
        return total

    def drawn(self, variance: Tensor, generator: torch.Generator) -> Tensor:
        """Gaussian noise of mean 0 with a variance for each pixel (`... y x`) and this correlation.

        >>> z = NoiseCorrelation(((0.25, 0.5, 0.25),)).drawn(torch.full((200, 300), 4.0), torch.Generator().manual_seed(0))
        >>> bool(abs(z.var() - 4) < 0.2), bool(abs((z[:, 1:] * z[:, :-1]).mean() / 4 - 2 / 3) < 0.02)
        (True, True)
        """
        variance = self.extended(variance)
        z = torch.randn(variance.shape, generator=generator, device=generator.device).to(variance.device)
        return self.coloured(z * variance.sqrt())

    def seen_by(self, filters: Filters) -> tuple[float, float]:
        """Variance of this noise over that of its high-pass `filters.h`, and pixels per independent value of the square of the latter."""
        power = np.square(np.abs(np.fft.fft2(filters.h, (GRID, GRID)))) * self.power(GRID)
        return float(1 / power.mean()), float(np.square(power).mean() / power.mean() ** 2)


WHITE = NoiseCorrelation()
"""Noise that is independent in each pixel."""


def _width(profile: np.ndarray) -> float:
    """Width at half maximum of a symmetric profile, by linear interpolation; 1 for a single pixel."""
    half = np.append(profile[len(profile) // 2 :] / profile.max(), 0.0)
    last = int(np.argmax(half < 0.5))
    return max(1.0, 2 * (last - 1 + float((half[last - 1] - 0.5) / (half[last - 1] - half[last]))))


def measure_correlation(spectra: np.ndarray) -> NoiseCorrelation | None:
    """The correlation of the noise from periodograms (tile ky kx) of an image, or of differences of frames; None where it is not known.

    The power of the quarter of the tiles with least structure is fitted beyond the highest of `FLOORS_PER_PX` that suffices for standard
    errors of `MAX_SIGMA`. The number of lags along y and x is that of the best Bayesian information criterion.

    >>> rng = np.random.default_rng(1)
    >>> noise = np.apply_along_axis(np.convolve, 1, rng.normal(size=(160, 202)), [0.25, 0.5, 0.25], "valid")
    >>> from zsdeconv.camera.highpass import tile_spectra
    >>> bool(abs(measure_correlation(tile_spectra(noise[None])).along_x - 0.667) < 0.05)
    True
    """
    radius = radius_of(spectra.shape[-1])
    power, tiles = _quiet_power(spectra, radius)
    if not tiles:
        return None
    for floor in FLOORS_PER_PX:
        lags, sigma = _fitted(power, radius > floor, tiles)
        fitted = np.fft.fft2(lags, (GRID, GRID)).real
        fitted *= np.sign(fitted.mean())
        if sigma <= MAX_SIGMA and fitted.min() >= MIN_POWER * fitted.mean():
            return NoiseCorrelation(_kernel(fitted), round(sigma, 4), floor)
    return None


def _quiet_power(spectra: np.ndarray, radius: np.ndarray) -> tuple[np.ndarray, int]:
    """Mean power of the tiles with least structure, each over its noise, and their number (0: no noise)."""
    noise = spectra[:, radius > QUIET_ABOVE_PER_PX].mean(1)
    noisy = noise > 1e-6 * noise.max(initial=0)  # leaves out tiles of constant value
    spectra, noise = spectra[noisy], noise[noisy]
    if len(spectra) < 2:
        return np.zeros(radius.shape), 0
    structure = spectra[:, radius < QUIET_BELOW_PER_PX].mean(1) / noise
    quiet = np.argsort(structure)[: max(MIN_TILES, len(structure) // 4)]
    return (spectra[quiet] / noise[quiet, None, None]).mean(0), len(quiet)


def _fitted(power: np.ndarray, used: np.ndarray, tiles: int) -> tuple[np.ndarray, float]:
    """The autocorrelation on a grid of lags that wraps around (GRID x GRID, 1 at lag 0), and its largest standard error."""
    best = (-np.inf, np.zeros((GRID, GRID)), np.inf)
    for rows, columns in product(range(MAX_LAG + 1), repeat=2):
        lags = [(dy, dx) for dy in range(rows + 1) for dx in range(-columns, columns + 1) if dy or dx > 0]
        solution, sigma, likelihood = _whittle(power, used, lags, tiles)
        score = likelihood - 0.5 * (len(lags) + 1) * np.log(used.sum() / 2)
        if score > best[0]:
            grid = np.zeros((GRID, GRID))
            grid[0, 0] = 1.0
            for (dy, dx), rho in zip(lags, solution, strict=True):
                grid[dy, dx] = grid[-dy, -dx] = rho
            best = (score, grid, sigma)
    return best[1:]


def _whittle(power: np.ndarray, used: np.ndarray, lags: list[tuple[int, int]], tiles: int) -> tuple[np.ndarray, float, float]:
    """Correlations at the lags by the greatest likelihood of exponential powers, their largest standard error, and the log-likelihood."""
    wave = 2 * np.pi * np.fft.fftfreq(len(power))
    columns = [np.ones(int(used.sum()))] + [2 * np.cos(dy * wave[:, None] + dx * wave)[used] for dy, dx in lags]
    design, seen = np.stack(columns, 1), power[used]
    fitted, solution, inverse = np.full(len(seen), seen.mean()), np.zeros(len(columns)), np.eye(len(columns))
    for _ in range(FIT_ITERATIONS):
        weight = fitted**-2.0
        inverse = np.linalg.pinv(design.T @ (design * weight[:, None]), hermitian=True)
        solution = inverse @ (design.T @ (weight * seen))
        fitted = np.maximum(design @ solution, 0.1 * np.minimum(seen, fitted) + 1e-3 * seen.mean())
    independent = tiles / OVERLAP
    likelihood = -0.5 * independent * float((np.log(fitted) + seen / fitted).sum())
    sigma = np.sqrt(np.maximum(np.diag(inverse), 0) * 2 / independent) / max(float(solution[0]), 1e-30)
    return solution[1:] / max(float(solution[0]), 1e-30), float(sigma[1:].max(initial=0.0)), likelihood


def _kernel(power: np.ndarray) -> tuple[tuple[float, ...], ...]:
    """The symmetric kernel with a power spectrum, where that is negative with 0, as far as it reaches."""
    kernel = np.fft.fftshift(np.fft.ifft2(np.sqrt(np.maximum(power, 0.0))).real)
    kernel /= np.sqrt(np.square(kernel).sum())
    middle = GRID // 2
    kernel = kernel[middle - MAX_REACH : middle + MAX_REACH + 1, middle - MAX_REACH : middle + MAX_REACH + 1]
    y, x = (_reach(np.square(kernel).sum(axis)) for axis in (1, 0))
    part = kernel[MAX_REACH - y : MAX_REACH + y + 1, MAX_REACH - x : MAX_REACH + x + 1]
    part /= np.sqrt(np.square(part).sum())
    return tuple(tuple(round(float(value), 6) for value in row) for row in part)


def _reach(profile: np.ndarray) -> int:
    middle = len(profile) // 2
    beyond = [1 - profile[middle - n : middle + n + 1].sum() for n in range(middle + 1)]
    return next((n for n, lost in enumerate(beyond) if lost < LOST_POWER), middle)
