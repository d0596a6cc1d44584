"""Search for the wave vectors of the illumination by correlation of the bands, and a check of the order of the frames."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from zsdeconv.errors import ImageError
from zsdeconv.sim.detection import DetectionOtf2d, DetectionOtf3d
from zsdeconv.sim.patterns import Layout, mixing, nominal_phases_rad
from zsdeconv.sim.prior import SEARCH_RANGE_CUTOFFS, PatternPrior
from zsdeconv.sim.spectra import Grid, notch, slices, zero_padded

NOISE_PEAK_FACTOR = 1.3
"""Limit of a peak over the expected maximum of pure noise among the frequencies searched. Chosen: frames without a pattern stay below."""
TYPICAL_PATTERN_CUTOFFS = 0.9
"""Frequency of the finest fringes in units of the cutoff, assumed for the axial modulation of order 1 before the period is known.
Chosen: illumination near the border of the pupil, as in most microscopes."""
MAX_MIRROR_RATIO = 0.6
"""Correlation at the opposite wave vector in units of the peak above which the phase steps are doubted. Chosen between 0, the value of
equal steps through one period, and 1, the value of frames in a wrong order."""
WEAK_PEAK_RATIO = 2.5
"""Peak over its limit below which other orders of the frames are tried. Chosen: frames in a wrong order leave weak peaks only."""
MIN_ORDER_GAIN = 1.3
"""Ratio of peak heights from which on another order of the frames is preferred. Chosen: the same margin as `NOISE_PEAK_FACTOR`."""
MIN_WAVE_VECTOR_DIFFERENCE = 0.1
"""Difference relative to their length below which two wave vectors are equal. Chosen: directions of a microscope are 36 degrees apart
or more (a difference of 0.6)."""
NOTCH_WIDTH_CUTOFFS = 0.12
"""Width of the region around zero frequency that is left out, in units of the cutoff. Chosen: it holds the out-of-focus light."""
OTF_FLOOR_POWER = 0.02
"""Regularisation of the whitening in units of the squared OTF `level`. Chosen: limits the amplification of noise near the cutoff."""
MIN_OVERLAP = 0.02
"""Lowest overlap of two bands relative to the largest. Chosen: with few overlapping frequencies noise reaches any height."""
PLOT_MARGIN_FACTOR = 1.1
"""Half width of the plotted spectrum in units of the highest frequency searched. Chosen: shows the whole annulus."""


class Whitening:
    """Weights that whiten the bands: grid, OTFs, and the expected correlation of pure noise. Shared by all directions."""

    def __init__(self, grid: Grid, detection: DetectionOtf2d | DetectionOtf3d) -> None:
        self.grid, self.detection, self.fine = grid, detection, grid.finer()
        self.orders = detection.rank - 1
        k, cutoff, floor = grid.radius(), detection.cutoff_per_um, OTF_FLOOR_POWER * detection.level**2
        typical = detection.under(TYPICAL_PATTERN_CUTOFFS * cutoff / self.orders)
        transfers = [grid.transfer(typical, order) for order in range(1 + self.orders)]
        self.weights = [notch(k, NOTCH_WIDTH_CUTOFFS * cutoff) * H.conj() / (np.abs(H) ** 2 + floor) for H in transfers]
        self.expected = [self._expected(order) for order in range(1, 1 + self.orders)]

    def correlation(self, bands: np.ndarray) -> np.ndarray:
        """`|sum_k conj(band_0(k)) band_m(k + q)|` of the whitened bands over its expectation for noise, at each `q` of the finer grid.

        For three beams the geometric mean of both orders, order 2 at q and order 1 at q / 2: bright structures rarely produce a false
        peak in both.
        """
        first, *others = (band * weight for band, weight in zip(bands, self.weights, strict=True))
        pairs = zip(others, self.expected, strict=True)
        by_order = [np.abs(self._correlated(first, other)) / expected for other, expected in pairs]
        return by_order[0] if len(by_order) == 1 else np.sqrt(_stretched(by_order[0]) * by_order[1])

    def _expected(self, order: int) -> np.ndarray:
        overlap = np.sqrt(np.real(self._correlated(*(np.abs(self.weights[m]) ** 2 for m in (0, order)))).clip(0))
        return np.maximum(overlap / overlap.max(), MIN_OVERLAP)

    def _correlated(self, first: np.ndarray, second: np.ndarray) -> np.ndarray:
        """`sum_k conj(first(k)) second(k + q)` over all k of a plane, at equal frequencies along z, for q (y x).

        Multiplication in real space on the twice finer grid; on the raw grid the product would alias.
        """
        total = np.zeros(self.fine.yx_shape, np.complex64)
        for one, other in zip(slices(first), slices(second), strict=True):
            o0, o1 = (np.fft.ifft2(zero_padded(spectrum.astype(np.complex64))) for spectrum in (one, other))
            total += o0.conj() * o1
        return np.fft.fft2(total)


def _stretched(spectrum: np.ndarray) -> np.ndarray:
    """The spectrum (ky kx) at q / 2 for each frequency q: the largest of the nearest samples.

    >>> _stretched(np.array([[0.0, 1.0, 5.0, 3.0, 2.0]])).tolist()
    [[0.0, 1.0, 1.0, 2.0, 2.0]]
    """
    rows, columns = (np.fft.fftfreq(n, 1 / n) / 2 for n in spectrum.shape)
    nearest = [
        spectrum[np.ix_(down(rows).astype(int), across(columns).astype(int))]
        for down in (np.floor, np.ceil)
        for across in (np.floor, np.ceil)
    ]
    return np.maximum.reduce(nearest)


@dataclass(frozen=True, eq=False)
class PeakCandidate:
    """The highest correlation peak of one direction.

    Parameters
    ----------
    bands
        Bands of orders 0, 1 ... (`order *zyx`).
    p_per_um
        Wave vector of the highest order.
    score, limit
        Height of the peak over the median, and the height it must reach.
    mirrored
        Height at the opposite wave vector relative to the peak: near 0 for correct phase steps, near 1 for frames in a wrong order.
    spectrum, reach_per_um
        Correlation around zero frequency, and its half widths along y and x, for plots.
    correlation
        Correlation over its median at all frequencies of the finer grid (ky kx).
    """

    bands: np.ndarray
    p_per_um: np.ndarray
    score: float
    limit: float
    mirrored: float
    spectrum: np.ndarray
    reach_per_um: tuple[float, float]
    correlation: np.ndarray

    @property
    def significant(self) -> bool:
        """Whether the peak reaches its limit."""
        return self.score >= self.limit

    @property
    def angle_deg(self) -> float:
        """Angle of the wave vector, from +x towards +y, 0 to 180: the opposite one describes the same fringes."""
        return float(np.degrees(np.arctan2(*self.p_per_um)) % 180)

    @property
    def period_um(self) -> float:
        """Period of the finest fringes."""
        return float(1 / np.hypot(*self.p_per_um))

    def near(self, whitening: Whitening, prior: PatternPrior, number: int) -> PeakCandidate:
        """The highest peak of the same direction, by its `number` from 0, in the region of another prior."""
        return _picked(self.bands, self.correlation, whitening, prior, number)

    def peaks(self, whitening: Whitening, prior: PatternPrior, number: int, count: int) -> list[PeakCandidate]:
        """The highest `count` local maxima of the correlation of the same direction in the region of a prior, the highest first."""
        from scipy.ndimage import maximum_filter

        searched = _searched(whitening, prior, number)
        rows, columns = np.nonzero(searched & (maximum_filter(self.correlation, 3, mode="wrap") == self.correlation))
        order = np.argsort(-self.correlation[rows, columns], kind="stable")[:count]
        limit = noise_limit(int(np.count_nonzero(searched)))
        places = zip(rows[order], columns[order], strict=True)
        return [_at((int(row), int(column)), self.bands, self.correlation, whitening, limit) for row, column in places]


def peak_candidates(frames: np.ndarray, layout: Layout, whitening: Whitening, prior: PatternPrior) -> list[PeakCandidate]:
    """The highest peak of each direction.

    Parameters
    ----------
    frames
        Frames (`frame *zyx`), equalised and tapered.
    layout, whitening, prior
        Order of the frames, weights of the bands, and the region to search.
    """
    orders = whitening.orders
    separation = np.linalg.pinv(mixing(nominal_phases_rad(layout.phases), orders))[[0, *range(1, 2 * orders, 2)]]
    separation = separation.astype(np.result_type(frames.dtype, np.complex64))
    bands = (np.tensordot(separation, stack, 1) for stack in layout.split(frames))
    return [_peak_candidate(np.fft.fftn(parts, axes=whitening.grid.axes), whitening, prior, number) for number, parts in enumerate(bands)]


def _peak_candidate(bands: np.ndarray, whitening: Whitening, prior: PatternPrior, number: int) -> PeakCandidate:
    correlation = whitening.correlation(bands)
    annulus = PatternPrior().region(number, *whitening.fine.k_per_um, whitening.detection.cutoff_per_um)
    correlation /= np.median(correlation[annulus])
    return _picked(bands, correlation, whitening, prior, number)


def _picked(bands: np.ndarray, correlation: np.ndarray, whitening: Whitening, prior: PatternPrior, number: int) -> PeakCandidate:
    """The highest peak of a correlation, over its median, in the region of a prior."""
    searched = _searched(whitening, prior, number)
    row, column = np.unravel_index(int(np.where(searched, correlation, 0).argmax()), correlation.shape)
    return _at((int(row), int(column)), bands, correlation, whitening, noise_limit(int(np.count_nonzero(searched))))


def _searched(whitening: Whitening, prior: PatternPrior, number: int) -> np.ndarray:
    """The frequencies of the finer grid (ky kx) in the region of a prior."""
    return prior.region(number, *whitening.fine.k_per_um, whitening.detection.cutoff_per_um)


def noise_limit(count: int) -> float:
    """Height that a peak among `count` frequencies must reach, over the median of pure noise.

    The highest of n amplitudes of complex Gaussian noise is about sqrt(log2 n) times their median.
    """
    return NOISE_PEAK_FACTOR * float(np.sqrt(np.log2(max(count, 2))))


def _at(place: tuple[int, int], bands: np.ndarray, correlation: np.ndarray, whitening: Whitening, limit: float) -> PeakCandidate:
    """The peak at a row and a column of a correlation."""
    row, column = place
    ky, kx = whitening.fine.k_per_um
    score = float(correlation[row, column])
    opposite = correlation[np.ix_(-row + np.arange(-1, 2), -column + np.arange(-1, 2))].max()
    p = np.array([float(ky[row, 0]), float(kx[column])])
    return PeakCandidate(bands, p, score, limit, float(opposite) / score, *_around_zero(correlation, whitening), correlation)


def _around_zero(correlation: np.ndarray, whitening: Whitening) -> tuple[np.ndarray, tuple[float, float]]:
    """The central part of a correlation for plots, zero frequency in the middle, and its half widths along y and x."""
    steps = whitening.fine.step_per_um
    halves = [
        min(int(PLOT_MARGIN_FACTOR * SEARCH_RANGE_CUTOFFS[1] * whitening.detection.cutoff_per_um / step), n // 2 - 1)
        for step, n in zip(steps, correlation.shape, strict=True)
    ]
    rows, columns = (np.arange(-half, half + 1) for half in halves)
    reach = tuple((half + 0.5) * step for half, step in zip(halves, steps, strict=True))
    return correlation[np.ix_(rows, columns)].astype(np.float32), (reach[0], reach[1])


def refuse_other_order(
    candidates: list[PeakCandidate], frames: np.ndarray, layout: Layout, whitening: Whitening, prior: PatternPrior
) -> None:
    """Raise `ImageError` when another order of the frames gives significant peaks without mirror images in all directions, and this
    order does not, or gives clearly lower ones. The other orders are tried only where this order is doubtful or its peaks are weak.

    Parameters
    ----------
    candidates
        Peaks in the order of `layout`.
    frames, layout, whitening, prior
        As for `peak_candidates`.
    """
    weak = min(candidate.score / candidate.limit for candidate in candidates) < WEAK_PEAK_RATIO
    if (layout.directions == 1 and frames.ndim == 3) or (_in_order(candidates) and not weak):
        return
    for other, reordered in _other_orders(frames, layout):
        others = peak_candidates(reordered, other, whitening, prior)
        if _in_order(others) and not (_in_order(candidates) and _height(others) < MIN_ORDER_GAIN * _height(candidates)):
            same = "all directions show the same one, " if repeated(candidates) else ""
            raise ImageError(
                f"frames in the order {layout.order}: {same}opposite wave vectors fit equally well, or none fits well (peak "
                f"{_height(candidates):.1f}, ratio {_mirrored(candidates):.2f}, limit {MAX_MIRROR_RATIO:g}; {_height(others):.1f} and "
                f"{_mirrored(others):.2f} in the order {other.order}); give `order={other.order}`"
            )


def _in_order(candidates: list[PeakCandidate]) -> bool:
    """Whether all peaks are significant, of different wave vectors and without mirror images."""
    return _mirrored(candidates) < MAX_MIRROR_RATIO and all(candidate.significant for candidate in candidates) and not repeated(candidates)


def repeated(candidates: Sequence[PeakCandidate]) -> bool:
    """Whether two directions have the same wave vector."""
    return any(same_fringes(one.p_per_um, other.p_per_um) for one, other in itertools.combinations(candidates, 2))


def same_fringes(p: Sequence[float] | np.ndarray, q: Sequence[float] | np.ndarray) -> bool:
    """Whether two wave vectors are nearly equal or opposite, and so describe the same fringes."""
    p, q = np.array(p), np.array(q)
    return bool(min(np.hypot(*(p - q)), np.hypot(*(p + q))) < MIN_WAVE_VECTOR_DIFFERENCE * np.hypot(*p))


def _other_orders(frames: np.ndarray, layout: Layout) -> Iterator[tuple[Layout, np.ndarray]]:
    """The other possible orders of the file, with the frames (`frame *zyx`) rearranged accordingly."""
    if frames.ndim == 3:
        yield layout.swapped, frames
        return
    pages = layout.pages(frames)
    for other in layout.others(frames.shape[1]):
        yield other, other.stack(pages)


def _height(candidates: list[PeakCandidate]) -> float:
    return float(np.mean([candidate.score for candidate in candidates]))


def _mirrored(candidates: list[PeakCandidate]) -> float:
    return float(np.mean([candidate.mirrored for candidate in candidates]))
