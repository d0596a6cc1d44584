"""Variance against mean of a noisy image: pixels grouped by brightness, and the straight line through the groups."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from zsdeconv.camera.highpass import RADIUS_PX, Filters, correlate_valid

MAX_CLIPPED_LEVEL_FRACTION = 0.01
"""Clipped pixels of a brightness level, as a fraction, above which it is left out. Chosen: 1 % cut off a Gaussian lowers its variance by
6 %."""
MIN_LEVEL_PX = 50
"""Pixels of a brightness level. Chosen: the standard error of the variance of 50 independent values is 20 %."""
FILTERED_KURTOSIS = 0.2
"""Fourth cumulant that a high-pass leaves of white noise: `sum h^4`, about the same for all cutoffs."""
FIT_ITERATIONS = 12
"""Iterations of the reweighted line fit. Chosen: by then the gain of simulated images has converged to 1e-10."""


@dataclass(frozen=True)
class Levels:
    """Brightness levels, darkest first, one entry each, in ADU, ADU^2 or ADU^3 of the data.

    `signal` is the mean M that belongs to `variance`, `variance_sigma` the standard error of the latter; `third` and
    `third_signal` are the third central moment and its mean T; `count` is the number of pixels, `clipped` the fraction of
    pixels at the top or bottom of the range.
    """

    signal: np.ndarray
    variance: np.ndarray
    variance_sigma: np.ndarray
    third: np.ndarray
    third_signal: np.ndarray
    count: np.ndarray
    clipped: np.ndarray

    def scaled(self, factor: float) -> Levels:
        """The levels with their variances multiplied by `factor`."""
        return replace(self, variance=self.variance * factor, variance_sigma=self.variance_sigma * factor)

    def moved(self, shift: float) -> Levels:
        """The levels of the image plus `shift`."""
        return replace(self, signal=self.signal + shift, third_signal=self.third_signal + shift)

    def __getitem__(self, index: np.ndarray) -> Levels:
        return Levels(*(getattr(self, name)[index] for name in self.__dataclass_fields__))


def collect(tiles: Sequence[np.ndarray], filters: Filters, low: float, high: float) -> Levels:
    """Brightness levels of an image.

    Clipped pixels and those with a clipped pixel under the kernel are left out. Levels with more than 1 % of clipped pixels are
    left out entirely, because the rest of them is a truncated distribution, unless hardly any level would remain.

    Parameters
    ----------
    tiles
        Parts of the image, each y x, float32, ADU.
    filters
        Kernels of `zsdeconv.camera.highpass.filters`.
    low, high
        Values at and beyond which a pixel is clipped.
    """
    from scipy.ndimage import maximum_filter

    columns: list[np.ndarray] = []
    inside = slice(RADIUS_PX, -RADIUS_PX)
    for tile in tiles:
        r, mean, mean3, guide = correlate_valid(tile, (filters.h, filters.h2, filters.h3, filters.k))
        clip = ((tile <= low) | (tile >= high)).view(np.uint8)
        bad = maximum_filter(clip, 2 * RADIUS_PX + 1) if clip.any() else clip
        columns.append(np.stack([guide, r, mean, mean3, *(m[inside, inside].astype(r.dtype) for m in (clip, bad))]).reshape(6, -1))
    guide, r, mean, mean3, clip, bad = np.concatenate(columns, 1)
    group = np.searchsorted(_edges(guide), guide)
    clipped = np.bincount(group, clip) / np.maximum(np.bincount(group), 1)
    good = 1.0 - bad if (bad == 0).sum() >= MIN_LEVEL_PX else np.ones_like(bad)
    count = np.bincount(group, good)

    def average(values: np.ndarray) -> np.ndarray:
        return np.bincount(group, values * good) / np.maximum(count, 1)

    variance, third = average(r**2), average(r**3)
    third = (third - 3 * variance * average(r)) / filters.skew
    error = variance * np.sqrt(2 * filters.spread / np.maximum(count, 1))
    levels = Levels(average(mean), variance, error, third, average(mean3), count, clipped)
    levels = levels[count >= min(MIN_LEVEL_PX, count.max())]
    whole = levels.clipped <= MAX_CLIPPED_LEVEL_FRACTION
    return levels[whole] if whole.sum() >= 3 and levels.count[whole].sum() > 0.02 * len(r) else levels


def _edges(guide: np.ndarray) -> np.ndarray:
    """Limits of the groups, at equal counts and at equal widths, so that a few bright pixels also form levels."""
    sample = guide[:: max(1, guide.size // 200_000)]
    parts = np.quantile(sample, np.linspace(0, 1, 21)[1:-1])
    steps = np.linspace(np.quantile(sample, 0.001), np.quantile(sample, 0.998), 21)[1:]
    edges = np.sort(np.concatenate([parts, steps]))
    place = np.searchsorted(np.sort(sample), edges)
    keep, last = [], -np.inf
    for edge, position in zip(edges, place, strict=True):
        if position - last >= sample.size * 0.0012:
            keep.append(edge)
            last = position
    return np.asarray(keep)


@dataclass(frozen=True)
class TransferLine:
    """Photon-transfer line `variance = slope * signal + intercept`, with the 2 x 2 covariance of (slope, intercept)."""

    slope: float
    intercept: float
    covariance: np.ndarray

    def at(self, signal: float) -> float:
        """Variance (ADU^2) at a signal (ADU as recorded)."""
        return self.slope * signal + self.intercept

    def sigma_at(self, signal: float) -> float:
        """Standard error of `at(signal)`."""
        design = np.array([signal, 1.0])
        return float(np.sqrt(max(design @ self.covariance @ design, 0.0)))

    @property
    def slope_sigma(self) -> float:
        """Standard error of the slope."""
        return float(np.sqrt(max(self.covariance[0, 0], 0.0)))

    def scaled(self, factor: float) -> TransferLine:
        """The line of `factor` times the variance."""
        return TransferLine(factor * self.slope, factor * self.intercept, factor**2 * self.covariance)

    def moved(self, shift: float) -> TransferLine:
        """The line of the image plus `shift`."""
        jacobian = np.array([[1.0, 0.0], [-shift, 1.0]])
        return TransferLine(self.slope, self.intercept - self.slope * shift, jacobian @ self.covariance @ jacobian.T)

    def through_mean_of(self, levels: Levels) -> TransferLine:
        """The line of the same slope through the weighted mean of `levels`."""
        weight = levels.count / np.maximum(levels.variance, 1e-30) ** 2
        mean, height = (float(np.average(v, weights=weight)) for v in (levels.signal, levels.variance))
        covariance = np.diag([self.covariance[0, 0], float(1 / (levels.variance_sigma**-2.0).sum())])
        jacobian = np.array([[1.0, 0.0], [-mean, 1.0]])
        return TransferLine(self.slope, height - self.slope * mean, jacobian @ covariance @ jacobian.T)


def fit_line(levels: Levels, spread: float, through: tuple[float, float] | None = None, *, kurtosis: float = 1.0) -> TransferLine:
    """Robust, iteratively reweighted regression of variance on signal; `through` fixes a point (signal, variance) of the line.

    The weight of a level follows from the fitted variance (2 v^2 for Gaussian noise plus the fourth cumulant of Poisson noise)
    times `kurtosis` and not from the measured one, which would favour levels whose variance is low by chance. Huber's weights limit the
    influence of levels far from the line (Huber, Ann. Math. Stat. 35, 73, 1964).
    """
    pivot = through[0] if through else float(np.average(levels.signal, weights=levels.count))
    level = through[1] if through else 0.0
    x, y = levels.signal - pivot, levels.variance - level
    design = x[:, None] if through else np.stack([x, np.ones_like(x)], 1)
    floor = max(1e-3 * float(np.average(levels.variance, weights=levels.count)), 1e-30)
    fitted = np.full_like(y, max(float(levels.variance.mean()), floor))
    solution, inverse = np.zeros(design.shape[1]), np.zeros((design.shape[1],) * 2)
    residual, robust = np.zeros_like(y), np.ones_like(y)
    for _ in range(FIT_ITERATIONS):
        expected = spread * (2 * fitted**2 + FILTERED_KURTOSIS * kurtosis * solution[0] ** 2 * fitted) / levels.count
        weight = robust / expected
        inverse = np.linalg.pinv(design.T @ (design * weight[:, None]), hermitian=True)
        solution = inverse @ (design.T @ (weight * y))
        residual = (y - design @ solution) / np.sqrt(expected)
        robust = np.minimum(1, 2.5 / np.maximum(np.abs(residual), 1e-9))
        fitted = np.maximum(design @ solution + level, floor)
    if not through and np.ptp(x) <= 1e-6 * np.sqrt(fitted.mean()):
        inverse[0, 0] = 100 * fitted.mean()  # a single brightness: the slope is unknown, not zero
    excess = max(1.0, float((robust * residual**2).sum() / max(1, len(y) - len(solution))))
    jacobian = np.array([[1.0], [-pivot]]) if through else np.array([[1.0, 0.0], [-pivot, 1.0]])
    intercept = (level if through else float(solution[1])) - float(solution[0]) * pivot
    return TransferLine(float(solution[0]), intercept, jacobian @ inverse @ jacobian.T * excess)
