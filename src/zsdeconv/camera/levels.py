"""Variance against mean of one noisy image: its pixels grouped by brightness, and the straight line through the groups."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from zsdeconv.camera.highpass import RADIUS, Filters, correlate_valid

CLIPPED_LIMIT = 0.01
SMALLEST_GROUP = 50
ROUNDS = 12


@dataclass(frozen=True)
class Levels:
    """One entry per brightness level, darkest first; all in ADU, ADU^2 or ADU^3 of the data.

    `signal`: mean M belonging to `variance`; `variance_sigma`: standard error; `third`, `third_signal`: third central
    moment and its mean T; `count`: pixels; `clipped`: fraction of pixels at the top or bottom of the range.
    """

    signal: np.ndarray
    variance: np.ndarray
    variance_sigma: np.ndarray
    third: np.ndarray
    third_signal: np.ndarray
    count: np.ndarray
    clipped: np.ndarray

    def scaled(self, factor: float) -> Levels:
        """The same levels with variances multiplied by `factor`."""
        return replace(self, variance=self.variance * factor, variance_sigma=self.variance_sigma * factor)

    def moved(self, shift: float) -> Levels:
        """The same levels of an image brighter by `shift`."""
        return replace(self, signal=self.signal + shift, third_signal=self.third_signal + shift)

    def __getitem__(self, chosen: np.ndarray) -> Levels:
        return Levels(*(getattr(self, name)[chosen] for name in self.__dataclass_fields__))


def collect(tiles: Sequence[np.ndarray], filters: Filters, low: float, high: float) -> Levels:
    """Levels of `tiles` (each y x, float32, ADU); pixels `<= low` or `>= high` count as clipped and are left out.

    So are pixels with a clipped one under the kernel. Levels of which more than 1 % is clipped are left out altogether, since
    what remains of them is a truncated distribution; unless hardly anything would remain.
    """
    from scipy.ndimage import maximum_filter

    columns: list[np.ndarray] = []
    inside = slice(RADIUS, -RADIUS)
    for tile in tiles:
        r, mean, mean3, guide = correlate_valid(tile, (filters.h, filters.h2, filters.h3, filters.k))
        hit = ((tile <= low) | (tile >= high)).view(np.uint8)
        bad = maximum_filter(hit, 2 * RADIUS + 1) if hit.any() else hit
        columns.append(np.stack([guide, r, mean, mean3, *(m[inside, inside].astype(r.dtype) for m in (hit, bad))]).reshape(6, -1))
    guide, r, mean, mean3, hit, bad = np.concatenate(columns, 1)
    group = np.searchsorted(_edges(guide), guide)
    clipped = np.bincount(group, hit) / np.maximum(np.bincount(group), 1)
    good = 1.0 - bad if (bad == 0).sum() >= SMALLEST_GROUP else np.ones_like(bad)
    count = np.bincount(group, good)

    def average(values: np.ndarray) -> np.ndarray:
        return np.bincount(group, values * good) / np.maximum(count, 1)

    variance, third = average(r**2), average(r**3)
    third = (third - 3 * variance * average(r)) / filters.skew
    error = variance * np.sqrt(2 * filters.spread / np.maximum(count, 1))
    levels = Levels(average(mean), variance, error, third, average(mean3), count, clipped)
    levels = levels[count >= min(SMALLEST_GROUP, count.max())]
    whole = levels.clipped <= CLIPPED_LIMIT
    return levels[whole] if whole.sum() >= 3 and levels.count[whole].sum() > 0.02 * len(r) else levels


def _edges(guide: np.ndarray) -> np.ndarray:
    """Limits of the groups: equal counts and equal widths together, so that few bright pixels still form levels."""
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
class Line:
    """`variance = slope * signal + intercept`, with the 2 x 2 covariance of (slope, intercept)."""

    slope: float
    intercept: float
    covariance: np.ndarray

    def at(self, signal: float) -> float:
        """Variance at a signal (ADU as recorded)."""
        return self.slope * signal + self.intercept

    def sigma_at(self, signal: float) -> float:
        """Standard error of `at(signal)`."""
        design = np.array([signal, 1.0])
        return float(np.sqrt(max(design @ self.covariance @ design, 0.0)))

    def moved(self, shift: float) -> Line:
        """The same line for an image brighter by `shift`."""
        turn = np.array([[1.0, 0.0], [-shift, 1.0]])
        return Line(self.slope, self.intercept - self.slope * shift, turn @ self.covariance @ turn.T)

    def through_middle_of(self, levels: Levels) -> Line:
        """The same slope at the height of `levels`, whose own slope does not matter."""
        weight = levels.count / np.maximum(levels.variance, 1e-30) ** 2
        middle, height = (float(np.average(v, weights=weight)) for v in (levels.signal, levels.variance))
        covariance = np.diag([self.covariance[0, 0], float(1 / (levels.variance_sigma**-2.0).sum())])
        turn = np.array([[1.0, 0.0], [-middle, 1.0]])
        return Line(self.slope, height - self.slope * middle, turn @ covariance @ turn.T)


def fit_line(levels: Levels, spread: float, through: tuple[float, float] | None = None) -> Line:
    """Robust, iterated weighted regression of variance on signal; `through` fixes a point (signal, variance) of the line.

    The weight of a level follows from the fitted variance (2 v^2 for Gaussian noise plus the fourth cumulant of Poisson
    noise), not from its own, lest lucky levels weigh more; Huber's function limits levels off the line.
    """
    pivot = through[0] if through else float(np.average(levels.signal, weights=levels.count))
    level = through[1] if through else 0.0
    x, y = levels.signal - pivot, levels.variance - level
    design = x[:, None] if through else np.stack([x, np.ones_like(x)], 1)
    floor = max(1e-3 * float(np.average(levels.variance, weights=levels.count)), 1e-30)
    fitted = np.full_like(y, max(float(levels.variance.mean()), floor))
    solution, inverse = np.zeros(design.shape[1]), np.zeros((design.shape[1],) * 2)
    off, robust = np.zeros_like(y), np.ones_like(y)
    for _ in range(ROUNDS):
        spot = spread * (2 * fitted**2 + 0.2 * solution[0] ** 2 * fitted) / levels.count
        weight = robust / spot
        inverse = np.linalg.pinv(design.T @ (design * weight[:, None]), hermitian=True)
        solution = inverse @ (design.T @ (weight * y))
        off = (y - design @ solution) / np.sqrt(spot)
        robust = np.minimum(1, 2.5 / np.maximum(np.abs(off), 1e-9))
        fitted = np.maximum(design @ solution + level, floor)
    if not through and np.ptp(x) <= 1e-6 * np.sqrt(fitted.mean()):
        inverse[0, 0] = 100 * fitted.mean()  # one brightness only: the slope is unknown, not zero
    excess = max(1.0, float((robust * off**2).sum() / max(1, len(y) - len(solution))))
    jacobian = np.array([[1.0], [-pivot]]) if through else np.array([[1.0, 0.0], [-pivot, 1.0]])
    intercept = (level if through else float(solution[1])) - float(solution[0]) * pivot
    return Line(float(solution[0]), intercept, jacobian @ inverse @ jacobian.T * excess)
