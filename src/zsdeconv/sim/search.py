"""The search for the wave vectors of the illumination: where bands of raw frames correlate, and whether the frames are in order."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from zsdeconv.errors import ImageError
from zsdeconv.sim.detection import DetectionOtf2d, DetectionOtf3d
from zsdeconv.sim.patterns import Layout, mixing, nominal_phases_rad
from zsdeconv.sim.prior import SEARCHED, PatternPrior
from zsdeconv.sim.spectra import Grid, notch, slices, zero_padded

CHANCE = 1.3
"""A peak must be so many times higher than the highest that noise alone is expected to make among the frequencies searched."""
USUAL_PATTERN = 0.9
"""Frequency of the finest stripes of a usual microscope, in units of the cutoff: how order 1 beats is told by it while it is unknown."""
MIRRORED = 0.6
"""Share of its height that the peak of a direction may have at the opposite wave vector too, before the phases are doubted."""
WEAK, CLEARER = 2.5, 1.3
"""Peaks of less than so many times their limit are compared with those of other orders, and yield to ones so many times higher."""
ALIKE = 0.1
"""Wave vectors of two directions that differ by a smaller share of their length are the same."""


class Whitening:
    """What the search for every direction needs: grid, OTFs, and the correlation that pure noise would show."""

    def __init__(self, grid: Grid, detection: DetectionOtf2d | DetectionOtf3d) -> None:
        self.grid, self.detection, self.fine = grid, detection, grid.finer()
        self.orders = detection.rank - 1
        k, cutoff, floor = grid.radius(), detection.cutoff_per_um, 0.02 * detection.level**2
        usual = detection.under(USUAL_PATTERN * cutoff / self.orders)
        transfers = [grid.transfer(usual, order) for order in range(1 + self.orders)]
        self.weights = [notch(k, 0.12 * cutoff) * H.conj() / (np.abs(H) ** 2 + floor) for H in transfers]
        self.expected = [self._expected(order) for order in range(1, 1 + self.orders)]

    def correlation(self, bands: np.ndarray) -> np.ndarray:
        """`|sum_k conj(band_0(k)) band_m(k + q)|` of the whitened bands over what noise would make, at each `q` of the finer grid.

        Of three beams the geometric mean of both orders, at q of order 2 and half of it of order 1: what bright structures make
        of one by chance they do not make of the other.
        """
        first, *others = (band * weight for band, weight in zip(bands, self.weights, strict=True))
        found = [np.abs(self._correlated(first, other)) / expected for other, expected in zip(others, self.expected, strict=True)]
        return found[0] if len(found) == 1 else np.sqrt(_stretched(found[0]) * found[1])

    def _expected(self, order: int) -> np.ndarray:
        overlap = np.sqrt(np.real(self._correlated(*(np.abs(self.weights[m]) ** 2 for m in (0, order)))).clip(0))
        # Where hardly any frequencies overlap, a few of them would make any height.
        return np.maximum(overlap / overlap.max(), 0.02)

    def _correlated(self, first: np.ndarray, second: np.ndarray) -> np.ndarray:
        """`sum_k conj(first(k)) second(k + q)` over all k of a plane, and along z at equal frequencies, for q (y x).

        By multiplication in real space on the twice finer grid: on the raw one the product would alias.
        """
        total = np.zeros(self.fine.yx_shape, np.complex64)
        for one, other in zip(slices(first), slices(second), strict=True):
            o0, o1 = (np.fft.ifft2(zero_padded(spectrum.astype(np.complex64))) for spectrum in (one, other))
            total += o0.conj() * o1
        return np.fft.fft2(total)


def _stretched(spectrum: np.ndarray) -> np.ndarray:
    """At each frequency q the spectrum (ky kx) at q / 2, the largest of the nearest.

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
    """The search in one direction: bands of orders 0, 1 ... (`order *zyx`), where the first and the last correlate, and the picture of it.

    `p_per_um` is the wave vector of the highest order. `mirrored` is the height of the correlation at the opposite wave vector in
    units of that at the one found. Right phase steps leave nothing there; frames of several directions taken for phases of one
    leave as much.
    """

    bands: np.ndarray
    p_per_um: np.ndarray
    score: float
    limit: float
    mirrored: float
    spectrum: np.ndarray
    reach_per_um: tuple[float, float]

    @property
    def found(self) -> bool:
        return self.score >= self.limit


def peak_candidates(frames: np.ndarray, layout: Layout, whitening: Whitening, guess: PatternPrior) -> list[PeakCandidate]:
    """The search in each direction, from frames (`frame *zyx`) equally bright and tapered."""
    orders = whitening.orders
    separation = np.linalg.pinv(mixing(nominal_phases_rad(layout.phases), orders))[[0, *range(1, 2 * orders, 2)]]
    separation = separation.astype(np.result_type(frames.dtype, np.complex64))
    bands = (np.tensordot(separation, stack, 1) for stack in layout.split(frames))
    return [_sighting(np.fft.fftn(parts, axes=whitening.grid.axes), whitening, guess, number) for number, parts in enumerate(bands)]


def _sighting(bands: np.ndarray, whitening: Whitening, guess: PatternPrior, number: int) -> PeakCandidate:
    correlation = whitening.correlation(bands)
    ky, kx = whitening.fine.k_per_um
    cutoff = whitening.detection.cutoff_per_um
    everywhere, nearby = PatternPrior().region(number, ky, kx, cutoff), guess.region(number, ky, kx, cutoff)
    correlation /= np.median(correlation[everywhere])
    row, column = np.unravel_index(int(np.where(nearby, correlation, 0).argmax()), correlation.shape)
    score = float(correlation[row, column])
    opposite = correlation[np.ix_(-row + np.arange(-1, 2), -column + np.arange(-1, 2))].max()
    # The highest of n amplitudes of complex Gaussian noise is about sqrt(log2 n) times their median.
    limit = CHANCE * float(np.sqrt(np.log2(max(np.count_nonzero(nearby), 2))))
    p = np.array([float(ky[row, 0]), float(kx[column])])
    return PeakCandidate(bands, p, score, limit, float(opposite) / score, *_around_zero(correlation, whitening))


def _around_zero(correlation: np.ndarray, whitening: Whitening) -> tuple[np.ndarray, tuple[float, float]]:
    """The part of a correlation that a picture shows, zero frequency in the middle, and how far it reaches along y and x."""
    steps = whitening.fine.step_per_um
    halves = [
        min(int(1.1 * SEARCHED[1] * whitening.detection.cutoff_per_um / step), n // 2 - 1)
        for step, n in zip(steps, correlation.shape, strict=True)
    ]
    rows, columns = (np.arange(-half, half + 1) for half in halves)
    reach = tuple((half + 0.5) * step for half, step in zip(halves, steps, strict=True))
    return correlation[np.ix_(rows, columns)].astype(np.float32), (reach[0], reach[1])


def refuse_unfound(seen: list[PeakCandidate]) -> None:
    missing = [number for number, sighting in enumerate(seen) if not sighting.found]
    if missing:
        worst = min((seen[number] for number in missing), key=lambda sighting: sighting.score / sighting.limit)
        which = ", ".join(str(number + 1) for number in missing)
        raise ImageError(
            f"no pattern found in direction {which} of {len(seen)}: peak {worst.score:.2f} times the median "
            f"(limit {worst.limit:.2f}); give --angles-deg and --period-um, or the parameters of a brighter data set"
        )


def refuse_other_order(seen: list[PeakCandidate], frames: np.ndarray, layout: Layout, whitening: Whitening, guess: PatternPrior) -> None:
    """Raise `ImageError` when the frames look ordered in another way: peaks without a mirror image, one in each direction, there and
    not here. Frames in a wrong order leave weak peaks, so weak ones are compared with those of the other orders.
    """
    weak = min(sighting.score / sighting.limit for sighting in seen) < WEAK
    if (layout.directions == 1 and frames.ndim == 3) or (_in_order(seen) and not weak):
        return
    for other, reordered in _other_orders(frames, layout):
        there = peak_candidates(reordered, other, whitening, guess)
        if _in_order(there) and not (_in_order(seen) and _height(there) < CLEARER * _height(seen)):
            same = "all directions show the same one, " if _alike(seen) else ""
            raise ImageError(
                f"frames in the order {layout.order}: {same}opposite wave vectors fit equally well, or none does well (peak "
                f"{_height(seen):.1f}, ratio {_mirrored(seen):.2f}, limit {MIRRORED:g}; {_height(there):.1f} and {_mirrored(there):.2f} in "
                f"the order {other.order}); give --order {other.order}"
            )


def _in_order(seen: list[PeakCandidate]) -> bool:
    return _mirrored(seen) < MIRRORED and all(sighting.found for sighting in seen) and not _alike(seen)


def _alike(seen: list[PeakCandidate]) -> bool:
    """Whether two directions show the same wave vector."""
    return any(same_stripes(one.p_per_um, other.p_per_um) for one, other in itertools.combinations(seen, 2))


def same_stripes(p: Sequence[float] | np.ndarray, q: Sequence[float] | np.ndarray) -> bool:
    """Whether two wave vectors are equal or opposite, nearly: stripes are the same then."""
    p, q = np.array(p), np.array(q)
    return bool(min(np.hypot(*(p - q)), np.hypot(*(p + q))) < ALIKE * np.hypot(*p))


def _other_orders(frames: np.ndarray, layout: Layout) -> Iterator[tuple[Layout, np.ndarray]]:
    """The other orders that a file can have, with the frames (`frame *zyx`) as they would be in them."""
    if frames.ndim == 3:
        yield layout.swapped, frames
        return
    pages = layout.pages(frames)
    for other in layout.others(frames.shape[1]):
        yield other, other.stack(pages)


def _height(seen: list[PeakCandidate]) -> float:
    return float(np.mean([sighting.score for sighting in seen]))


def _mirrored(seen: list[PeakCandidate]) -> float:
    return float(np.mean([sighting.mirrored for sighting in seen]))
