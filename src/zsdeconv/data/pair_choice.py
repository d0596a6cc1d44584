"""The choice between re-corrupted pairs (Eq. 2) and interleaved slices (Eq. 8) for a stack."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from zsdeconv.camera.detector import GAUSSIAN_SKEWNESS, Camera, signal_estimate
from zsdeconv.findings import percent

MIN_SLICES = 8
"""Slices that a stack needs to be interleaved. Chosen: each half then has four, more than the axial kernel of a network."""
MAX_DIFFERENCE = 0.1
"""Fraction of the signal variance by which neighbouring slices may differ. At a correlation of 0.95 they differ by it: 2 (1 - 0.95)."""


@dataclass(frozen=True)
class PairChoice:
    """How the pairs of a stack are made, and why, in a sentence for the user."""

    kind: Literal["interleave", "recorrupt", "split", "blind"]
    reason: str


def pairs_by_law(camera: Camera, peak_adu: float) -> PairChoice:
    """How pairs are made of single images where the law of the noise holds: independent in each pixel, from a known detector.

    Such pairs show one object, as often as wanted with fresh noise, at the step dz of a stack itself. Electrons are split where the noise
    of an image whose brightest places are `peak_adu` above the offset is not Gaussian; where it is, Eq. 2 does the same in less time.

    >>> pairs_by_law(Camera(100.0, 1.0, 4.0), 15.0).kind, pairs_by_law(Camera(100.0, 0.1, 4.0), 15.0).kind
    ('split', 'recorrupt')
    """
    if camera.gaussian or camera.skewness(peak_adu) < GAUSSIAN_SKEWNESS:
        return PairChoice("recorrupt", "re-corrupted pairs: noise that is Gaussian and independent in each pixel, as Eq. 2 needs it")
    return PairChoice("split", "split pairs: each electron goes to one of two images, whose noise is then independent")


def choose_pairs(slices: int, dz_um: float, depth_of_field_um: float | None, difference: float) -> PairChoice:
    """Interleaved or re-corrupted pairs, for stacks of at least so many slices.

    Interleaving needs no law of the noise but likeness of neighbours, and where that is missing, re-corruption is what is left.

    Interleaving halves the stack, so it takes `MIN_SLICES`. Slices of a half lie 2 dz apart and still have to sample the
    image: 2 dz must not exceed the depth of field `n lambda / NA^2` (None where the optics are unknown). And neighbours must
    show the same object: `difference` of `neighbour_difference`, in units of the signal's variance, `MAX_DIFFERENCE` at most.

    >>> choose_pairs(32, 0.15, 0.58, 0.02).kind
    'interleave'
    >>> choose_pairs(32, 0.5, 0.58, 0.3).reason
    're-corrupted pairs: slices 2 x 0.5 um apart cannot sample a depth of field of 0.58 um'
    """
    if slices < MIN_SLICES:
        return PairChoice("recorrupt", f"re-corrupted pairs: {slices} slices are too few to be halved ({MIN_SLICES} are needed)")
    if depth_of_field_um is not None and 2 * dz_um > depth_of_field_um:
        why = f"slices 2 x {dz_um:g} um apart cannot sample a depth of field of {depth_of_field_um:.2g} um"
        return PairChoice("recorrupt", f"re-corrupted pairs: {why}")
    if not np.isfinite(difference):
        return PairChoice("recorrupt", "re-corrupted pairs: the noise hides how much neighbouring slices differ")
    if difference > MAX_DIFFERENCE:
        found = f"{percent(difference)} of the signal's variance (limit {100 * MAX_DIFFERENCE:g} %)"
        return PairChoice("recorrupt", f"re-corrupted pairs: neighbouring slices differ by {found}")
    alike = f"neighbouring slices, {dz_um:g} um apart, differ by {percent(max(difference, 0.0))} of the signal's variance only"
    return PairChoice("interleave", f"interleaved pairs: {alike}")


def neighbour_difference(stacks: Sequence[np.ndarray], camera: Camera) -> float:
    """How much the objects in neighbouring slices differ, in units of the signal's variance: 0 for the same, 2 for unrelated ones.

    `(<(y[k+1] - y[k])^2> - 2 sigma^2) / (Var(y) - sigma^2)` over all stacks `z y x` (ADU), with the mean noise variance
    `sigma^2` of Eq. 3: the noise in both is taken off. May be slightly negative. Infinite, for nothing is known then, where no
    stack has two slices or the signal does not stand out of the noise: by a hundredth of its variance, which is about as well
    as that can be known, and by five standard errors.

    >>> z = np.arange(200.0).reshape(2, 10, 10) % 100
    >>> neighbour_difference([z], Camera(offset=0.0, gain=0.0, read_variance=0.0))
    0.0
    """
    stacks = [stack.astype(np.float64) for stack in stacks if len(stack) > 1]
    if not stacks:
        return np.inf
    weights = [stack.size for stack in stacks]
    noise = np.average([camera.variance(signal_estimate(stack, camera.offset)).mean() for stack in stacks], weights=weights)
    signal = np.average([stack.var() for stack in stacks], weights=weights) - noise
    step = np.average([np.square(np.diff(stack, axis=0)).mean() for stack in stacks], weights=weights)
    known = signal > noise * max(0.01, 5 * np.sqrt(2 / sum(weights)))
    return float((step - 2 * noise) / signal) if known else np.inf
