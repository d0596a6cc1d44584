"""From settings and raw frames to the reconstruction that a restoration learns on: layout, lens, pattern, Wiener parameter."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from zsdeconv._version import __version__
from zsdeconv.config import Config, SimSection
from zsdeconv.errors import ConfigError, OpticsError
from zsdeconv.noise.model import Camera
from zsdeconv.physics.optics import Optics
from zsdeconv.physics.otf import read_otf
from zsdeconv.sim.detection import Detection, detection_of
from zsdeconv.sim.estimate import estimate_parameters, warn
from zsdeconv.sim.guess import Guess
from zsdeconv.sim.patterns import Layout, SimParameters, read_parameters
from zsdeconv.sim.reconstruct import Reconstruct
from zsdeconv.sim.wiener import choose_wiener

PIXEL_TOLERANCE = 0.01
"""Relative difference of pixel sizes up to which parameters fit frames: more would move the stripes."""
LAID_OUT = ("directions", "phases", "order")
GUESSED = ("angles_deg", "period_um")


def layout_of(settings: SimSection) -> Layout:
    """How the raw frames follow each other: as told, from the parameter file, or 3 x 3.

    >>> layout_of(SimSection(phases=5)).frames
    15
    """
    if settings.parameters is not None:
        idle = [name for name in (*LAID_OUT, *GUESSED) if getattr(settings, name) is not None]
        if idle:
            option = f"--{idle[0].replace('_', '-')}"
            raise ConfigError(f"{option} beside --sim-parameters, which holds it: one of the two is used; leave out {option}")
        return read_parameters(settings.parameters).layout
    return Layout(**{name: getattr(settings, name) for name in LAID_OUT if getattr(settings, name) is not None})


def reconstruction(
    frames: Sequence[np.ndarray], pixel_um: float, config: Config, optics: Optics | None, camera: Camera
) -> tuple[Reconstruct, str]:
    """The reconstruction of raw `frames` (each frame y x, ADU, one sample each), and where its parameters came from.

    The pattern is that of the parameter file, or is estimated once on the mean of all samples.
    """
    detection, layout = _detection(config, optics), layout_of(config.sim)
    layout.require(len(frames[0]))
    if config.sim.parameters is not None:
        parameters, origin = read_parameters(config.sim.parameters), "parameter file"
        _require_pixel(parameters, pixel_um, config.sim.parameters)
    else:
        parameters, origin = _estimated(frames, pixel_um, config.sim, layout, detection, optics, camera), "estimated on the frames"
    above = frames[0].astype(np.float32) - camera.offset
    w = choose_wiener(above, parameters, detection, pixel_um) if config.sim.wiener is None else config.sim.wiener
    return Reconstruct(parameters, detection, parameters.pixel_um, w), origin


def remeasured(reconstruct: Reconstruct, frames: np.ndarray) -> Reconstruct:
    """The same reconstruction for other `frames` (frame y x, above the offset), in which the stripes may have moved.

    Raises `ImageError` where these frames are too dim to find the pattern, near where it was.
    """
    before, detection = reconstruct.parameters, reconstruct.weights.detection
    angles = tuple(direction.angle_deg for direction in before.directions)
    guess = Guess(angles, float(np.mean([direction.period_um for direction in before.directions])))
    found = estimate_parameters(frames, before.pixel_um, detection, before.layout, guess=guess, made_from=before.made_from)
    return Reconstruct(found.parameters, detection, before.pixel_um, reconstruct.wiener, reconstruct.weights.attenuation)


def facts(reconstruct: Reconstruct) -> dict[str, Any]:
    """What a user should see of a reconstruction, as plain values."""
    rows = [
        {"angle_deg": round(d.angle_deg, 3), "period_um": round(d.period_um, 5), "depth": round(d.depth, 3), "score": round(d.score, 1)}
        for d in reconstruct.parameters.directions
    ]
    return {"directions": rows, "wiener": round(reconstruct.wiener, 4)}


def _detection(config: Config, optics: Optics | None) -> Detection:
    if config.optics.otf is not None:
        return detection_of(read_otf(config.optics.otf))
    if optics is None:
        raise OpticsError(
            "NA and emission wavelength not given, no OTF either: one of the two is needed; give --na and --wavelength-nm, or --otf"
        )
    return detection_of(optics)


def _require_pixel(parameters: SimParameters, pixel_um: float, source: str) -> None:
    if abs(pixel_um / parameters.pixel_um - 1) > PIXEL_TOLERANCE:
        sizes = f"pixel {pixel_um:g} um, the parameters in {source} were measured at {parameters.pixel_um:g} um"
        raise ConfigError(f"{sizes} (limit {100 * PIXEL_TOLERANCE:g} % off); check --pixel-um, or estimate them again")


def _estimated(
    frames: Sequence[np.ndarray],
    pixel_um: float,
    settings: SimSection,
    layout: Layout,
    detection: Detection,
    optics: Optics | None,
    camera: Camera,
) -> SimParameters:
    mean = frames[0] if len(frames) == 1 else np.asarray(np.mean(frames, axis=0, dtype=np.float64))
    guess = Guess(settings.angles_deg, settings.period_um)
    made_from = _made_from(settings, detection, optics, camera)
    found = estimate_parameters(mean, pixel_um, detection, layout, offset=camera.offset, guess=guess, made_from=made_from)
    warn(found.messages)
    return found.parameters


def _made_from(settings: SimSection, detection: Detection, optics: Optics | None, camera: Camera) -> Mapping[str, Any]:
    lens = (
        {"otf": detection.otf.source}
        if optics is None
        else {"na": optics.na, "wavelength_nm": optics.wavelength_nm, "immersion_ri": optics.ri}
    )
    guess = {name: getattr(settings, name) for name in GUESSED if getattr(settings, name) is not None}
    return {"program": f"zsdeconv {__version__}", "optics": lens, "offset_adu": camera.offset, "guess": guess}
