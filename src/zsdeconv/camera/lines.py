"""Offsets of lines: each row of a point scanner, or each column of a camera, may have an offset of its own, which is found and removed.

Offsets differ from row to row without order, so their power is the same at all frequencies along y, also beyond those that the lens passes,
where it is measured. At frequencies at which rows differ by more than their offsets do, there is structure, and as much less is removed:
the best linear estimate (Wiener) of the offsets. The level of a row is a mean over the whole row in which places with structure weigh
little, so a fibre along a part of it does not move it; rows whose levels are those of a fibre along all of them are left as they are.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

LINE_FILTER = np.array([1.0, -6.0, 15.0, -20.0, 15.0, -6.0, 1.0])
"""Sixth difference: it attenuates the power of frequencies below 0.2 per pixel, which pass the optics, more than a hundredfold."""
INDEPENDENT_LINES = float(np.square(np.convolve(LINE_FILTER, LINE_FILTER)).sum() / np.square(LINE_FILTER).sum() ** 2)
"""Lines that share one independent value after the filter (its autocorrelation)."""
MIN_LINES = 48
"""Fewest lines, and pixels of a line. Chosen: fewer know the spread of the offsets to 40 % at best."""
MIN_SIGMAS = 6.0
"""Standard errors from which offsets are removed. Chosen: five are exceeded by chance never, one more is for what is not quite normal."""
MIN_SHARE = 0.05
"""Spread of the offsets over that of the noise of a pixel, below which they stay. Chosen: they add a quarter per cent to its variance."""
DETREND_PX = 3.0
"""Scale (sigma) across the lines of the mean that is subtracted for levels. Measured: of 2, 3, 4 and 6, the least is left of offsets."""
ALONG_PX = 2.0
"""Scale (sigma) along the lines over which deviations are averaged to find structure. Chosen: the width of a PSF."""
STRUCTURE_PX = 3.0
"""Scale (sigma) over which the square of such deviations is averaged. Chosen: structure then weighs little in all of its surroundings."""
LEAST_STRUCTURE = 0.25
"""Part of the median square that every place has at least. Chosen: the flattest places do not set a level alone."""
STRUCTURE_ROWS = 3
"""Successive rows whose mean level is compared with that of offsets. Chosen: the width of a PSF."""
MAX_LEVEL_SIGMAS = 3.5
"""Spreads of such a mean, beyond which the rows hold a structure along all of them and keep their levels. Chosen: one of 2000 by chance."""
SMOOTHED_BINS = 25
"""Frequencies over which the power of the levels is averaged. Measured: of 9 and 25, the latter leaves less of the offsets."""
POWER_MARGIN = 2.0
"""Power of the levels over that of offsets, up to which there is no structure. Chosen: a mean of `SMOOTHED_BINS` squares, half of them
mirrored, and the error of the spread, stay below it."""
ORDERLESS_PER_PX = 0.25
"""Frequencies across the lines above which offsets have the same power everywhere. Chosen: the sixth difference passes a tenth there."""
MIN_MEDIAN_POWER = 0.25
"""Variance from the median over frequencies, over that from the lines, down to which offsets are without order. Law: 1, within a half in
the smallest images; 0 for stripes."""
MAD_PER_SIGMA = 0.6745
"""Median absolute value of a normal variable, in standard deviations. Law."""


@dataclass(frozen=True)
class LineOffsets:
    """Standard deviations (ADU) of the offsets of `rows` and of `columns`; 0 where there are none to be removed.

    >>> LineOffsets().removed(np.ones((2, 3))).tolist()
    [[1.0, 1.0, 1.0], [1.0, 1.0, 1.0]]
    """

    rows: float = 0.0
    columns: float = 0.0

    def __bool__(self) -> bool:
        return self.rows > 0 or self.columns > 0

    def in_unit(self, scale: float) -> LineOffsets:
        """The same for images whose unit is `scale` ADU."""
        return LineOffsets(self.rows / scale, self.columns / scale)

    def removed(self, frame: np.ndarray) -> np.ndarray:
        """A frame (`... y x`) without the offsets of its lines; itself where there are none. Each plane has its own."""
        if not self or min(frame.shape[-2:]) < MIN_LINES:
            return frame
        planes = frame.reshape(-1, *frame.shape[-2:]).astype(np.float32)
        if self.rows:
            planes = np.stack([plane - _offsets(plane, self.rows)[:, None] for plane in planes])
        if self.columns:
            planes = np.stack([plane - _offsets(plane.T, self.columns) for plane in planes])
        return planes.reshape(frame.shape)


NO_LINES = LineOffsets()
"""No offsets of lines."""


def find_lines(planes: Sequence[np.ndarray]) -> LineOffsets:
    """The offsets of rows and columns that stand out in `planes` (y x, ADU) of one size, by their standard errors.

    >>> rng = np.random.default_rng(0)
    >>> plane = rng.normal(0, 1, (128, 160)) + rng.normal(0, 0.5, (128, 1))
    >>> lines = find_lines([plane])
    >>> bool(abs(lines.rows - 0.5) < 0.15), lines.columns
    (True, 0.0)
    """
    if min(planes[0].shape) < MIN_LINES:
        return NO_LINES
    return LineOffsets(*(_spread(planes, axis) for axis in (0, 1)))


def _spread(planes: Sequence[np.ndarray], axis: int) -> float:
    """Spread of the offsets of rows (`axis` 0) or columns (1); 0 where it is not significant.

    It is the covariance of the levels in the two halves of the lines, whose noise is independent, beyond the frequencies of the optics.
    `Cov(a, b) = (Var(a + b) - Var(a - b)) / 4` with variances from median deviations, which a few lines along a fibre do not change
    (Gnanadesikan and Kettenring, Biometrics 28, 81, 1972).
    """
    kernel = LINE_FILTER / np.sqrt(np.square(LINE_FILTER).sum())
    covariances, errors, noise, spectral = [], [], [], []
    for plane in planes:
        turned = np.moveaxis(plane, axis, 0).astype(np.float64)
        halves = np.array_split(turned, 2, axis=1)
        first, second = (np.convolve(half.mean(1), kernel, "valid") for half in halves)
        both, apart = (_robust_variance(v) for v in (first + second, first - second))
        independent = len(first) / INDEPENDENT_LINES
        covariances.append((both - apart) / 4)
        spectral.append(_median_power(first, second, kernel))
        # a variance from the median deviation of n values has a relative error of 2.33 / sqrt(n)
        errors.append(2.33 * apart * np.sqrt(2 / independent) / 4)
        noise.append(_robust_variance(np.apply_along_axis(np.convolve, 0, turned[:, :: max(1, turned.shape[1] // 32)], kernel, "valid")))
    covariance, error = float(np.mean(covariances)), float(np.sqrt(np.square(errors).sum())) / len(errors)
    significant = covariance > MIN_SIGMAS * error and covariance > MIN_SHARE**2 * float(np.mean(noise))
    without_order = float(np.mean(spectral)) > MIN_MEDIAN_POWER * covariance
    return float(np.sqrt(covariance)) if significant and without_order else 0.0


def _median_power(first: np.ndarray, second: np.ndarray, kernel: np.ndarray) -> float:
    """Variance of what two filtered series share, from the median over the frequencies above `ORDERLESS_PER_PX`: stripes have only some."""
    frequency = np.fft.rfftfreq(len(first))
    response = np.square(np.abs(np.exp(-2j * np.pi * np.outer(frequency, np.arange(len(kernel)))) @ kernel))
    shared = (np.fft.rfft(first) * np.fft.rfft(second).conj()).real / len(first)
    high = frequency > ORDERLESS_PER_PX
    return float(np.median(shared[high] / response[high])) / np.log(2)


def _robust_variance(values: np.ndarray) -> float:
    return float((np.median(np.abs(values - np.median(values))) / MAD_PER_SIGMA) ** 2)


def _offsets(plane: np.ndarray, sigma: float) -> np.ndarray:
    """The offset of each row (y x) by the Wiener filter, 0 in rows with a structure along all of them."""
    from scipy.ndimage import binary_dilation, gaussian_filter1d, uniform_filter1d

    levels = _levels(plane.astype(np.float64))
    impulse = np.zeros(8 * int(DETREND_PX) + 1)
    impulse[len(impulse) // 2] = 1.0
    passed = uniform_filter1d(impulse - gaussian_filter1d(impulse, DETREND_PX), STRUCTURE_ROWS)
    mean = uniform_filter1d(levels, STRUCTURE_ROWS)
    kept = np.asarray(binary_dilation(np.abs(mean) > MAX_LEVEL_SIGMAS * sigma * np.sqrt(np.square(passed).sum()), iterations=2), bool)
    levels[kept] = 0.0
    count = len(levels)
    doubled = np.concatenate([levels, levels[::-1]])  # its ends meet
    spectrum = np.fft.rfft(doubled)
    power = uniform_filter1d(np.abs(spectrum) ** 2, SMOOTHED_BINS, mode="mirror") / (2 * count * max(1 - kept.mean(), 0.1))
    detrended = 1 - np.exp(-2 * np.square(np.pi * DETREND_PX * np.fft.rfftfreq(2 * count)))
    offsets = np.square(sigma * detrended)
    structure = np.maximum(power - POWER_MARGIN * offsets, 0.0)
    result = np.fft.irfft(spectrum * offsets / np.maximum(offsets + structure, 1e-30), 2 * count)[:count]
    return np.where(kept, 0.0, result).astype(np.float32)


def _levels(plane: np.ndarray) -> np.ndarray:
    """The level of each row above the mean of the rows around it; places with structure have little weight."""
    from scipy.ndimage import gaussian_filter, gaussian_filter1d

    deviation = plane - gaussian_filter1d(plane, DETREND_PX, axis=0)
    structure = gaussian_filter(np.square(gaussian_filter1d(deviation, ALONG_PX, axis=1)), STRUCTURE_PX)
    weight = 1 / (structure + LEAST_STRUCTURE * np.median(structure) + 1e-30)
    return np.asarray((weight * deviation).sum(1) / weight.sum(1))
