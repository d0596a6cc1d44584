"""The Wiener parameter of a reconstruction, from the frames themselves."""

from __future__ import annotations

import numpy as np

from zsdeconv.sim.detection import Detection
from zsdeconv.sim.patterns import SimParameters
from zsdeconv.sim.reconstruct import ATTENUATION, BandWeights
from zsdeconv.sim.spectra import object_spectrum

WIENER_RANGE = (0.05, 0.5)
"""Below, any error of the pattern is amplified; above, hardly more than a wide-field image is left."""
_CANDIDATES = np.geomspace(*WIENER_RANGE, 47)
_SIDE = 65


def choose_wiener(
    frames: np.ndarray, parameters: SimParameters, detection: Detection, pixel_um: float, attenuation: float | None = None
) -> float:
    """The `w` that minimises the expected squared error of the reconstruction of `frames` (frame y x, ADU above offset).

    With an object of power spectrum S(k) and frames of white noise of variance v, error to the apodised object is

        sum_k A^2 [ S (1 - Dsum / R)^2 + (v / n) N / R^2 ],   R = Dsum + w^2 N / Dsum

    for n frames (symbols of `BandWeights`): what the filter takes of the object, and the noise that it lets through. v is the power
    beyond the cutoff, where the lens passes nothing; S is a power of k fitted to the mean frame inside, with noise and OTF taken
    off. Both are in the frames: no camera constants are needed. Frames without visible structure get the largest w.

    >>> from zsdeconv.physics.optics import Optics
    >>> from zsdeconv.sim.detection import detection_of
    >>> from zsdeconv.sim.patterns import Direction, nominal_phases_rad
    >>> stripes = Direction((0.0, 3.0), 0.8, 0.3, nominal_phases_rad(3), (1, 1, 1))
    >>> noise = np.random.default_rng(0).normal(0, 1, (3, 48, 48))
    >>> choose_wiener(noise, SimParameters((stripes,), 0.1), detection_of(Optics(1.0, 600)), 0.1)
    0.5
    """
    gains = np.empty(len(frames))
    for numbers, direction in zip(parameters.layout.numbers, parameters.directions, strict=True):
        gains[numbers] = direction.gains
    found = object_spectrum(np.tensordot(gains / len(frames), frames, 1), pixel_um, detection)
    if not found.seen:
        return WIENER_RANGE[1]
    weights = BandWeights(parameters, detection, ATTENUATION[2] if attenuation is None else attenuation)
    end = detection.cutoff_per_um + max(1 / direction.period_um for direction in parameters.directions)
    ky, kx = np.linspace(-end, end, 2 * _SIDE)[:, None], np.linspace(end / _SIDE / 2, end, _SIDE)
    object_power = found(np.hypot(ky, kx))
    passed, apodised = found.noise * weights.noise(ky, kx), weights.apodisation(ky, kx) ** 2

    def error(w: float) -> float:
        total, regularised = weights.regularised(w, ky, kx)
        return float((apodised * (object_power * (regularised - total) ** 2 + passed) / regularised**2).sum())

    return float(min(_CANDIDATES, key=error))
