"""What to try where no pattern was found: the strongest candidate of each direction, and a guess near which a pattern is found.

Directions of a microscope are evenly spaced and share a period. So the strongest peak predicts where the peaks of the other directions
lie, and near there the limit of a peak is lower, for fewer frequencies of noise compete with it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from zsdeconv.sim.prior import PatternPrior
from zsdeconv.sim.search import PeakCandidate, Whitening, repeated, same_fringes

MAX_PERIOD_DIFFERENCE = 0.05
"""Relative difference of the periods of the directions. Chosen: those of one microscope differ by one or two per cent, and few peaks of
noise come as close."""
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


def proposals(candidates: Sequence[PeakCandidate], whitening: Whitening, prior: PatternPrior) -> list[list[PeakCandidate]]:
    """Peaks that fit together as one pattern and reach their limits near a guess, the highest first; none where the user has guessed.

    A guess starts from a peak that is significant by itself and has the period of most others that are so, all of which it keeps: peaks
    that are chosen after the search because they are high are no evidence alone.

    Parameters
    ----------
    candidates
        The strongest peak of each direction, in the region of `prior`.
    whitening, prior
        As for `peak_candidates`.
    """
    significant = [] if _is_complete(prior) else [candidate for candidate in candidates if candidate.significant]
    found = []
    for anchor in significant:
        kept = [number for number, each in enumerate(candidates) if each.significant and _alike(each, anchor)]
        for guess in _guesses(candidates, anchor, prior) if 2 * len(kept) > len(significant) else ():
            near = _near(candidates, whitening, guess_of(_near(candidates, whitening, guess)))
            same = all(same_fringes(near[number].p_per_um, candidates[number].p_per_um) for number in kept)
            if same and not repeated(near) and all(each.significant for each in near) and _fit(near, guess):
                found.append(near)
    return sorted(found, key=lambda near: -sum(each.score for each in near))


def guess_of(candidates: Sequence[PeakCandidate]) -> PatternPrior:
    """Angles and mean period of peaks, rounded as they are told."""
    angles = tuple(round(candidate.angle_deg, 1) for candidate in candidates)
    return PatternPrior(angles, round(float(np.mean([candidate.period_um for candidate in candidates])), 4))


def advice(found: Sequence[PeakCandidate] | None, prior: PatternPrior) -> str:
    """What to do where no pattern was found, with the options to give where a guess of one was (`proposals`)."""
    if found is not None:
        guess, weakest = guess_of(found), min(found, key=lambda candidate: candidate.score / candidate.limit)
        angles = ",".join(f"{angle:g}" for angle in guess.angles_deg or ())
        fits = f"one pattern fits all directions, its weakest peak at {_where(weakest)} ({_height(weakest)} near a guess)"
        options = f"`angles_deg={angles}` `period_um={guess.period_um:g}`"
        return f"{fits}; if these are the angles of the microscope, give {options}, or {BRIGHTER}"
    if _is_complete(prior):
        return f"correct angles_deg and period_um, or give {BRIGHTER}"
    return f"peaks that fit together as one pattern were not found; give angles_deg and period_um of the microscope, or {BRIGHTER}"


def _guesses(candidates: Sequence[PeakCandidate], anchor: PeakCandidate, prior: PatternPrior) -> Iterator[PatternPrior]:
    """Angles and period by one peak: evenly spaced in either sense of rotation, unless the user has given the angles."""
    count, period_um = len(candidates), prior.period_um or anchor.period_um
    if prior.angles_deg is not None:
        yield PatternPrior(prior.angles_deg, period_um)
        return
    number = next(n for n, candidate in enumerate(candidates) if candidate is anchor)
    for sense in (1, -1):
        yield PatternPrior(tuple(anchor.angle_deg + sense * 180 / count * (n - number) for n in range(count)), period_um)


def _fit(candidates: Sequence[PeakCandidate], guess: PatternPrior) -> bool:
    """Whether peaks lie where a guess says, much closer to it than the region of the search reaches: noise has peaks anywhere in it."""
    assert guess.angles_deg is not None and guess.period_um is not None
    angles = np.deg2rad(guess.angles_deg)
    expected = np.stack([np.sin(angles), np.cos(angles)], 1) / guess.period_um
    return all(same_fringes(each.p_per_um, p) and _alike(each, candidates[0]) for each, p in zip(candidates, expected, strict=True))


def _alike(one: PeakCandidate, other: PeakCandidate) -> bool:
    """Whether the periods of two peaks may be those of one microscope."""
    return abs(one.period_um / other.period_um - 1) < MAX_PERIOD_DIFFERENCE


def _is_complete(prior: PatternPrior) -> bool:
    """Whether nothing is left to guess."""
    return prior.angles_deg is not None and prior.period_um is not None


def _near(candidates: Sequence[PeakCandidate], whitening: Whitening, guess: PatternPrior) -> list[PeakCandidate]:
    return [candidate.near(whitening, guess, number) for number, candidate in enumerate(candidates)]


def _where(candidate: PeakCandidate) -> str:
    return f"{candidate.angle_deg:.1f} degrees with a period of {candidate.period_um:.3g} um"


def _height(candidate: PeakCandidate) -> str:
    return f"{candidate.score:.2f} times the median, limit {candidate.limit:.2f}"
