"""From settings and raw frames to the reconstruction that a restoration learns on: layout, lens, pattern, Wiener parameter."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from zsdeconv._version import __version__
from zsdeconv.config import Config, SimSection
from zsdeconv.errors import ConfigError, OpticsError
from zsdeconv.noise.model import Camera
from zsdeconv.physics.optics import Optics
from zsdeconv.physics.otf import read_deep_otf, read_otf
from zsdeconv.sim.detection import DeepDetection, Detection, deep_detection_of, detection_of
from zsdeconv.sim.estimate import estimate_parameters, warn
from zsdeconv.sim.guess import Guess
from zsdeconv.sim.patterns import Layout, SimParameters, read_parameters
from zsdeconv.sim.reconstruct import Reconstruct
from zsdeconv.sim.wiener import choose_wiener

SPACING_TOLERANCE = 0.01
"""Relative difference of spacings up to which parameters fit frames: more would move the stripes."""
LAID_OUT = ("directions", "phases", "order")
GUESSED = ("angles_deg", "period_um")


def layout_of(settings: SimSection, beams: int = 2) -> Layout:
    """How the raw frames follow each other: as told, from the parameter file, or 3 x 3, of three beams 3 x 5.

    >>> layout_of(SimSection(directions=2), beams=3).frames
    10
    """
    if settings.parameters is not None:
        idle = [name for name in (*LAID_OUT, *GUESSED) if getattr(settings, name) is not None]
        if idle:
            option = f"--{idle[0].replace('_', '-')}"
            raise ConfigError(f"{option} beside --sim-parameters, which holds it: one of the two is used; leave out {option}")
        return read_parameters(settings.parameters).layout
    told = {name: getattr(settings, name) for name in LAID_OUT if getattr(settings, name) is not None}
    return replace(Layout(phases=2 * beams - 1), **told)


def reconstruction(
    frames: Sequence[np.ndarray], spacing_um: Sequence[float], config: Config, optics: Optics | None, camera: Camera
) -> tuple[Reconstruct, str]:
    """The reconstruction of raw `frames` (each frame *zyx, ADU, one sample each), and where its parameters came from.

    The pattern is that of the parameter file, or is estimated once on the mean of all samples.
    """
    deep = len(spacing_um) == 3
    pixel_um, z_um = spacing_um[-1], spacing_um[0] if deep else None
    detection, layout = _detection(config, optics, deep), layout_of(config.sim, beams=2 + deep)
    layout.require(len(frames[0]))
    if config.sim.parameters is not None:
        parameters, origin = read_parameters(config.sim.parameters), "parameter file"
        _require_spacing(parameters, spacing_um, config.sim.parameters)
    else:
        parameters, origin = _estimated(frames, spacing_um, config, layout, detection, optics, camera), "estimated on the frames"
    above = frames[0].astype(np.float32) - camera.offset
    w = choose_wiener(above, parameters, detection, pixel_um, z_um=z_um) if config.sim.wiener is None else config.sim.wiener
    return Reconstruct(parameters, detection, parameters.pixel_um, w, z_um=z_um), origin


def remeasured(reconstruct: Reconstruct, frames: np.ndarray) -> Reconstruct:
    """The same reconstruction for other `frames` (frame y x, above the offset), in which the stripes may have moved.

    Raises `ImageError` where these frames are too dim to find the pattern, near where it was.
    """
    before, detection = reconstruct.parameters, reconstruct.weights.detection
    angles = tuple(direction.angle_deg for direction in before.directions)
    guess = Guess(angles, float(np.mean([direction.finest_um for direction in before.directions])))
    z_um, w, attenuation = reconstruct.z_um, reconstruct.wiener, reconstruct.weights.attenuation
    found = estimate_parameters(frames, before.pixel_um, detection, before.layout, guess=guess, made_from=before.made_from, z_um=z_um)
    return Reconstruct(found.parameters, detection, before.pixel_um, w, attenuation, z_um)


def facts(reconstruct: Reconstruct) -> dict[str, Any]:
    """What a user should see of a reconstruction, as plain values."""
    rows = [
        {"angle_deg": round(d.angle_deg, 3), "period_um": round(d.period_um, 5), "depth": round(d.depth, 3), "score": round(d.score, 1)}
        for d in reconstruct.parameters.directions
    ]
    return {"directions": rows, "wiener": round(reconstruct.wiener, 4)}


def _detection(config: Config, optics: Optics | None, deep: bool) -> Detection | DeepDetection:
    excitation_nm = config.optics.excitation_nm
    if excitation_nm is not None and not deep:
        raise ConfigError(f"--excitation-nm {excitation_nm:g}: only the planes of a stack tell it; leave it out")
    if config.optics.otf is not None:
        return deep_detection_of(read_deep_otf(config.optics.otf)) if deep else detection_of(read_otf(config.optics.otf))
    if optics is None:
        raise OpticsError(
            "NA and emission wavelength not given, no OTF either: one of the two is needed; give --na and --wavelength-nm, or --otf"
        )
    return deep_detection_of(optics, excitation_nm) if deep else detection_of(optics)


def _require_spacing(parameters: SimParameters, spacing_um: Sequence[float], source: str) -> None:
    z_um = None if len(spacing_um) < 3 else spacing_um[0]
    for um, known, what, option in (
        (spacing_um[-1], parameters.pixel_um, "pixel", "--pixel-um"),
        (z_um, parameters.z_um, "step in z", "--z-um"),
    ):
        if um is not None and known is not None and abs(um / known - 1) > SPACING_TOLERANCE:
            sizes = f"{what} {um:g} um, the parameters in {source} were measured at {known:g} um"
            raise ConfigError(f"{sizes} (limit {100 * SPACING_TOLERANCE:g} % off); check {option}, or estimate them again")


def _estimated(
    frames: Sequence[np.ndarray],
    spacing_um: Sequence[float],
    config: Config,
    layout: Layout,
    detection: Detection | DeepDetection,
    optics: Optics | None,
    camera: Camera,
) -> SimParameters:
    mean = frames[0] if len(frames) == 1 else np.asarray(np.mean(frames, axis=0, dtype=np.float64))
    guess = Guess(config.sim.angles_deg, config.sim.period_um)
    made_from = _made_from(config, detection, optics, camera)
    z_um = spacing_um[0] if len(spacing_um) == 3 else None
    found = estimate_parameters(mean, spacing_um[-1], detection, layout, offset=camera.offset, guess=guess, made_from=made_from, z_um=z_um)
    warn(found.messages)
    return found.parameters


def _made_from(config: Config, detection: Detection | DeepDetection, optics: Optics | None, camera: Camera) -> Mapping[str, Any]:
    excitation_nm = config.optics.excitation_nm
    lens = (
        {"otf": detection.otf.source}
        if optics is None
        else {"na": optics.na, "wavelength_nm": optics.wavelength_nm, "immersion_ri": optics.ri}
    )
    lens |= {} if excitation_nm is None else {"excitation_nm": excitation_nm}
    guess = {name: getattr(config.sim, name) for name in GUESSED if getattr(config.sim, name) is not None}
    return {"program": f"zsdeconv {__version__}", "optics": lens, "offset_adu": camera.offset, "guess": guess}
