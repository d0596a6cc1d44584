"""The Wiener parameter of a reconstruction, from the frames themselves."""

from __future__ import annotations

import numpy as np

from zsdeconv.sim.detection import DetectionOtf2d, DetectionOtf3d
from zsdeconv.sim.patterns import SimParameters
from zsdeconv.sim.spectra import object_spectrum
from zsdeconv.sim.weights import ATTENUATION, BandWeights, require_same_rank, step_um

WIENER_RANGE = (0.05, 0.5)
"""Below, any error of the pattern is amplified; above, hardly more than a wide-field image is left."""
DEEP_WIENER_RANGE = (0.002, 0.1)
"""The same of stacks, whose OTF is smaller: it shares the light of a point among many planes."""
_CANDIDATES = 47
_SIDE = 65
_AXIAL_SIDE = 20


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

    for n frames (symbols of `BandWeights`): what the filter takes of the object, and the noise that it lets through. v is the power
    beyond the cutoff, where the lens passes nothing; S is a power of k fitted to the mean frame inside, with noise and OTF taken
    off. Both are in the frames: no camera constants are needed. Frames without visible structure get the largest w.

    The planes of stacks are `z_um` apart (unless given, as the parameters say).

    >>> from zsdeconv.physics.optics import Optics
    >>> from zsdeconv.sim.detection import detection_otf_2d
    >>> from zsdeconv.sim.patterns import Direction, nominal_phases_rad
    >>> stripes = Direction((0.0, 3.0), 0.8, 0.3, nominal_phases_rad(3), (1, 1, 1))
    >>> noise = np.random.default_rng(0).normal(0, 1, (3, 48, 48))
    >>> choose_wiener(noise, SimParameters((stripes,), 0.1), detection_otf_2d(Optics(1.0, 600)), 0.1)
    0.5
    """
    require_same_rank(parameters, detection)
    low, high = WIENER_RANGE if detection.rank == 2 else DEEP_WIENER_RANGE
    gains = np.empty(len(frames))
    for numbers, direction in zip(parameters.layout.numbers, parameters.directions, strict=True):
        gains[numbers] = direction.gains
    step = step_um(parameters, z_um) if detection.rank == 3 else None
    found = object_spectrum(np.tensordot(gains / len(frames), frames, 1), pixel_um, detection, step)
    if not found.seen:
        return high
    weights = BandWeights(parameters, detection, attenuation)
    k = _frequencies(weights)
    object_power = found(np.sqrt(sum(axis**2 for axis in k)))
    passed, apodised = found.noise * weights.noise(*k), weights.apodisation(*k) ** 2

    def error(w: float) -> float:
        total, regularised = weights.regularised(w, *k)
        return float((apodised * (object_power * (regularised - total) ** 2 + passed) / regularised**2).sum())

    return float(min(np.geomspace(low, high, _CANDIDATES), key=error))


def _frequencies(weights: BandWeights) -> tuple[np.ndarray, ...]:
    """A grid over half of the widened band: kx, and in depth kz, of one sign do for all."""
    end = weights.detection.cutoff_per_um + weights.parameters.finest_per_um
    ky, kx = np.linspace(-end, end, 2 * _SIDE)[:, None], np.linspace(end / _SIDE / 2, end, _SIDE)
    if not isinstance(weights.passing, DetectionOtf3d):
        return ky, kx
    top = weights.passing.axial_end_per_um
    return np.linspace(top / _AXIAL_SIDE / 2, top, _AXIAL_SIDE)[:, None, None], ky, kx
