"""The peaks of all directions together: those of one microscope are evenly spaced and share a period.

On small fields, and where the object is a few straight structures, the highest correlation peak of a direction may be a wrong one: the
bands of order 0 and 1 of a straight filament are alike at all frequencies along a line. Peaks are therefore chosen by their evidence
(`Overlap.evidence`), and only together. In dim recordings one peak that noise does not reach tells where the others lie, and near there
their limits are lower, for fewer frequencies of noise compete with them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from zsdeconv.errors import OpticsError
from zsdeconv.sim.overlap import Overlap
from zsdeconv.sim.prior import PRIOR_TOLERANCE_CUTOFFS, PatternPrior
from zsdeconv.sim.search import PeakCandidate, Whitening, noise_limit, repeated

MAX_PERIOD_DIFFERENCE = 0.1
"""Relative difference of the periods of the directions from their median. Chosen: those of one microscope differ by one or two per cent
in most recordings, and by 7 % in published ones of known patterns (tests/sim/test_estimate.py)."""
MAX_ANGLE_DEVIATION_DEG = 5.0
"""Deviation of a direction from even spacing. Chosen: microscopes deviate by a degree or two."""
PEAKS = 12
"""Peaks of a direction that are compared. Chosen: lower ones are hardly ever right, and each costs two Fourier transforms."""
ANCHORS = 3
"""Peaks of a direction from which the others are looked for. Chosen: the right one has the highest evidence, or nearly."""
CLEAR_PEAK_RATIO = 0.5
"""Second peak over the highest up to which the highest is taken without comparison. Chosen: a wrong peak has rivals as high."""
MIN_EVIDENCE_RATIO = 0.5
"""Evidence of a chosen peak over the highest of its direction. Chosen: a right one has more, and geometry must not overrule the data."""
BRIGHTER = "the parameters of a brighter recording as sim_parameters"


def not_found(candidates: Sequence[PeakCandidate]) -> str:
    """The directions whose peak does not reach its limit, and the strongest candidate of each; empty where there are none."""
    missing = [number for number, candidate in enumerate(candidates, 1) if not candidate.significant]
    if not missing:
        return ""
    which = ", ".join(map(str, missing))
    listed = ", ".join(f"{_where(candidates[number - 1])} (peak {_height(candidates[number - 1])})" for number in missing)
    many = "candidate is" if len(missing) == 1 else "candidates are"
    return f"no pattern found in direction {which} of {len(candidates)}: the strongest {many} {listed}"


def misfit(waves_per_um: Sequence[Sequence[float] | np.ndarray], prior: PatternPrior) -> str:
    """What wave vectors (y, x) of the directions have that those of one microscope do not have; empty where nothing.

    Angles that the user has given need not be evenly spaced.

    >>> misfit([(0.0, 4.0), (4.0, 0.0)], PatternPrior()), misfit([(0.0, 4.0), (5.2, 0.0)], PatternPrior())
    ('', 'periods of 0.25 and 0.192 um (limit 10 % off their median)')
    """
    p = np.array(waves_per_um, float)
    periods = 1 / np.hypot(*p.T)
    if np.abs(periods / np.median(periods) - 1).max() > MAX_PERIOD_DIFFERENCE:
        return f"periods of {_listed(periods)} um (limit {100 * MAX_PERIOD_DIFFERENCE:g} % off their median)"
    angles = np.degrees(np.arctan2(*p.T)) % 180
    if prior.angles_deg is None and np.abs(_deviations_deg(angles)).max() > MAX_ANGLE_DEVIATION_DEG:
        step, limit = 180 / len(p), f"limit {MAX_ANGLE_DEVIATION_DEG:g} off"
        return f"angles of {_listed(angles)} degrees, not {step:.3g} degrees apart ({limit})"
    return ""


def advice(prior: PatternPrior) -> str:
    """What to do where no pattern was found."""
    if prior.angles_deg is not None and prior.period_um is not None:
        return f"correct angles_deg and period_um, or give {BRIGHTER}"
    return f"give angles_deg and period_um of the microscope, or {BRIGHTER}"


def joined(candidates: Sequence[PeakCandidate], whitening: Whitening, prior: PatternPrior) -> list[PeakCandidate] | None:
    """The peaks that fit together as one pattern with the highest evidence; None where no peaks do.

    Parameters
    ----------
    candidates
        The highest peak of each direction, in the region of `prior`.
    whitening, prior
        As for `peak_candidates`.
    """
    if not any(candidate.significant for candidate in candidates):
        return None
    peaks = [candidate.peaks(whitening, prior, number, PEAKS) for number, candidate in enumerate(candidates)]
    if all(each[0].significant and (len(each) == 1 or each[1].score < CLEAR_PEAK_RATIO * each[0].score) for each in peaks):
        clear = [rivals[0] for rivals in _Rivals([each[:1] for each in peaks], whitening, prior).by_direction]
        if _fit(clear, prior):
            return list(candidates)
    every = _Rivals(peaks, whitening, prior)
    found = [each for anchor in every.anchors() if (each := every.around(anchor)) is not None]
    return max(found, key=lambda each: each[0])[1] if found else None


@dataclass(frozen=True, eq=False)
class _Rival:
    """A peak, the number of its direction, its evidence, and the wave vector (y, x) near it for which the evidence is highest."""

    peak: PeakCandidate
    number: int
    evidence: float
    p_per_um: np.ndarray

    @property
    def angle_deg(self) -> float:
        return float(np.degrees(np.arctan2(*self.p_per_um)))

    @property
    def period_um(self) -> float:
        return float(1 / np.hypot(*self.p_per_um))


def _fit(rivals: Sequence[_Rival], prior: PatternPrior) -> bool:
    """Whether peaks of all directions may be those of one microscope."""
    return not misfit([rival.p_per_um for rival in rivals], prior) and not repeated([rival.peak for rival in rivals])


class _Rivals:
    """The peaks of each direction that may be right, with their evidence."""

    def __init__(self, peaks: Sequence[Sequence[PeakCandidate]], whitening: Whitening, prior: PatternPrior) -> None:
        self.whitening, self.prior, self.candidates = whitening, prior, [each[0] for each in peaks]
        self.overlaps = [Overlap(each.bands[0], each.bands[-1], whitening.orders, whitening) for each in self.candidates]
        self.by_direction = [[self._rival(peak, number) for peak in each] for number, each in enumerate(peaks)]
        tolerance = PRIOR_TOLERANCE_CUTOFFS * whitening.detection.cutoff_per_um
        self.near_limit = noise_limit(round(8 * tolerance**2 / float(np.prod(whitening.grid.step_per_um))))

    def anchors(self) -> list[_Rival]:
        """Peaks of the highest evidence that are significant by themselves."""
        significant = [[rival for rival in rivals if rival.peak.significant and rival.evidence > 0] for rivals in self.by_direction]
        return [rival for rivals in significant for rival in sorted(rivals, key=lambda each: -each.evidence)[:ANCHORS]]

    def around(self, anchor: _Rival) -> tuple[float, list[PeakCandidate]] | None:
        """The pattern with this peak that has the highest evidence, and that evidence; None where a direction lacks a peak.

        Other directions lie at even steps from the anchor, in any order; where the user has given angles, each at its own.
        """
        from scipy.optimize import linear_sum_assignment

        count, angle = len(self.candidates), anchor.angle_deg
        steps = self.prior.angles_deg or [angle + 180 * slot / count for slot in range(count)]
        table = [[self._best(number, slot, anchor, steps[slot]) for slot in range(count)] for number in range(count)]
        evidence = np.array([[-np.inf if each is None else each.evidence for each in row] for row in table])
        numbers, slots = linear_sum_assignment(np.where(np.isfinite(evidence), evidence, -1 / np.finfo(float).eps), maximize=True)
        chosen = [each for number, slot in zip(numbers, slots, strict=True) if (each := table[number][slot]) is not None]
        if len(chosen) < count or not _fit(chosen, self.prior):
            return None
        return float(evidence[numbers, slots].sum()), [each.peak for each in chosen]

    def _best(self, number: int, slot: int, anchor: _Rival, angle_deg: float) -> _Rival | None:
        """The peak of a direction near an angle, and of about the period of the anchor, that has the highest evidence."""
        if number == anchor.number:
            at_anchor = slot == (number if self.prior.angles_deg is not None else 0)
            return anchor if at_anchor else None
        if self.prior.angles_deg is not None and slot != number:
            return None
        guess = PatternPrior(tuple([angle_deg] * len(self.candidates)), anchor.period_um)
        near = [rival for rival in self.by_direction[number] if self._is_near(rival, guess, number)]
        if not near:
            rival = self._rival(self.candidates[number].near(self.whitening, guess, number), number)
            near = [rival] if self._is_near(rival, guess, number) else []
        least = MIN_EVIDENCE_RATIO * max(rival.evidence for rival in self.by_direction[number])
        near = [replace(rival, peak=replace(rival.peak, limit=min(rival.peak.limit, self.near_limit))) for rival in near]
        near = [rival for rival in near if rival.peak.significant and rival.evidence >= least]
        return max(near, key=lambda rival: rival.evidence, default=None)

    def _is_near(self, rival: _Rival, guess: PatternPrior, number: int) -> bool:
        """Whether a peak may be that of the guess: much closer than the region of a search reaches, for noise has peaks anywhere in it."""
        assert guess.angles_deg is not None and guess.period_um is not None
        off = (rival.angle_deg - guess.angles_deg[number] + 90) % 180 - 90
        alike = abs(rival.period_um / guess.period_um - 1) < 1.5 * MAX_PERIOD_DIFFERENCE
        return alike and (self.prior.angles_deg is not None or abs(off) < 2 * MAX_ANGLE_DEVIATION_DEG)

    def _rival(self, peak: PeakCandidate, number: int) -> _Rival:
        try:
            return _Rival(peak, number, *self.overlaps[number].evidence(peak.p_per_um))
        except OpticsError:  # finer than interference of this light
            return _Rival(peak, number, 0.0, peak.p_per_um)


def _deviations_deg(angles_deg: np.ndarray) -> np.ndarray:
    """Deviation of each of the sorted directions from even spacing over 180 degrees, least squares.

    >>> _deviations_deg(np.array([179.0, 61.0, 120.0])).round(6).tolist()
    [1.0, 0.0, -1.0]
    """
    count = len(angles_deg)
    off = np.sort(angles_deg % 180) - 180 / count * np.arange(count)
    return off - off.mean()


def _listed(values: np.ndarray) -> str:
    words = [f"{value:.3g}" for value in values]
    return " and ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)


def _where(candidate: PeakCandidate) -> str:
    return f"{candidate.angle_deg:.1f} degrees with a period of {candidate.period_um:.3g} um"


def _height(candidate: PeakCandidate) -> str:
    return f"{candidate.score:.2f} times the median, limit {candidate.limit:.2f}"
