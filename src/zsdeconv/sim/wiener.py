"""Choice of the Wiener parameter of a reconstruction from the frames."""

from __future__ import annotations

import numpy as np

from zsdeconv.sim.detection import DetectionOtf2d, DetectionOtf3d
from zsdeconv.sim.patterns import SimParameters
from zsdeconv.sim.spectra import object_spectrum
from zsdeconv.sim.weights import ATTENUATION, BandWeights, require_same_rank, step_um

WIENER_RANGE = (0.05, 0.5)
"""Range of the Wiener parameter of planes. Chosen: below, errors of the pattern are amplified; above, the image is almost wide-field."""
DEEP_WIENER_RANGE = (0.002, 0.1)
"""The same for stacks. Chosen lower, because their OTF is lower: the light of a point is distributed over many planes."""
_CANDIDATES = 47
"""Values tried within the range, in a geometric series. Chosen: steps of 5 % (stacks 9 %), around a flat minimum."""
_SIDE = 65
"""Frequencies per half axis at which the error is summed. Chosen: power laws and OTFs are smooth on this scale."""
_AXIAL_SIDE = 20
"""The same along z. Chosen smaller, because the axial band is narrower."""


def choose_wiener(
    frames: np.ndarray,
    parameters: SimParameters,
    detection: DetectionOtf2d | DetectionOtf3d,
    pixel_um: float,
    attenuation: float = ATTENUATION,
    z_um: float | None = None,
) -> float:
    """The `w` that minimises the expected squared error of the reconstruction of `frames` (`frame *zyx`, ADU above offset).

    With an object of power spectrum S(k) and frames of white noise of variance v, error to the apodised object is

        sum_k A^2 [ S (1 - Dsum / R)^2 + (v / n) N / R^2 ],   R = Dsum + w^2 N / Dsum

    for n frames (symbols of `BandWeights`): the loss of the object, and the transmitted noise. v is the power beyond the cutoff; S is
    a power law fitted to the mean frame inside the cutoff after removal of noise and OTF. Both come from the frames, so no camera
    constants are needed. Frames without visible structure get the largest w.

    Parameters
    ----------
    frames, pixel_um
        Frames and their pixel size.
    parameters, detection, attenuation
        As for `Reconstruct`.
    z_um
        Step between planes of a stack; by default from the parameters.

    >>> from zsdeconv.physics.optics import Optics
    >>> from zsdeconv.sim.detection import detection_otf_2d
    >>> from zsdeconv.sim.patterns import Direction, nominal_phases_rad
    >>> fringes = Direction((0.0, 3.0), 0.8, 0.3, nominal_phases_rad(3), (1, 1, 1))
    >>> noise = np.random.default_rng(0).normal(0, 1, (3, 48, 48))
    >>> choose_wiener(noise, SimParameters((fringes,), 0.1), detection_otf_2d(Optics(1.0, 600)), 0.1)
    0.5
    """
    require_same_rank(parameters, detection)
    low, high = WIENER_RANGE if detection.rank == 2 else DEEP_WIENER_RANGE
    gains = np.empty(len(frames))
    for numbers, direction in zip(parameters.layout.numbers, parameters.directions, strict=True):
        gains[numbers] = direction.gains
    step = step_um(parameters, z_um) if detection.rank == 3 else None
    spectrum = object_spectrum(np.tensordot(gains / len(frames), frames, 1), pixel_um, detection, step)
    if not spectrum.detected:
        return high
    weights = BandWeights(parameters, detection, attenuation)
    k = _frequencies(weights)
    object_power = spectrum(np.sqrt(sum(axis**2 for axis in k)))
    passed, apodised = spectrum.noise * weights.noise(*k), weights.apodisation(*k) ** 2

    def error(w: float) -> float:
        total, regularised = weights.regularised(w, *k)
        return float((apodised * (object_power * (regularised - total) ** 2 + passed) / regularised**2).sum())

    return float(min(np.geomspace(low, high, _CANDIDATES), key=error))


def _frequencies(weights: BandWeights) -> tuple[np.ndarray, ...]:
    """A grid over half of the widened band: by symmetry one sign of kx, and for stacks of kz, is sufficient."""
    end = weights.detection.cutoff_per_um + weights.parameters.finest_per_um
    ky, kx = np.linspace(-end, end, 2 * _SIDE)[:, None], np.linspace(end / _SIDE / 2, end, _SIDE)
    if not isinstance(weights.passing, DetectionOtf3d):
        return ky, kx
    top = weights.passing.axial_end_per_um
    return np.linspace(top / _AXIAL_SIDE / 2, top, _AXIAL_SIDE)[:, None, None], ky, kx
