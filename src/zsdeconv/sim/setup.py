"""From settings and raw frames to a reconstruction: the lens, the layout of the frames, the pattern, the Wiener parameter."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from zsdeconv._version import __version__
from zsdeconv.config import Config, OpticsSection, SimSection
from zsdeconv.errors import ConfigError, OpticsError
from zsdeconv.physics.optics import Optics
from zsdeconv.physics.otf import read_deep_otf, read_otf
from zsdeconv.sim.detection import DetectionOtf2d, DetectionOtf3d, detection_otf_2d, detection_otf_3d
from zsdeconv.sim.estimate import Estimation, estimate_parameters, warn
from zsdeconv.sim.patterns import Layout, SimParameters, read_parameters
from zsdeconv.sim.prior import PatternPrior
from zsdeconv.sim.reconstruct import Reconstruct
from zsdeconv.sim.wiener import choose_wiener

SPACING_TOLERANCE = 0.01
"""Relative difference of spacings up to which parameters fit frames: more would move the stripes."""
NUMBERS = ("na", "wavelength_nm", "immersion_ri")
LAID_OUT = ("directions", "phases", "order")
GUESSED = ("angles_deg", "period_um")


@dataclass(frozen=True)
class DetectionSource:
    """What the detection passes, the optics where it is their theory, and what it came from as plain values."""

    detection: DetectionOtf2d | DetectionOtf3d
    optics: Optics | None
    made_from: Mapping[str, Any]


def layout_of(settings: SimSection, beams: int = 2) -> Layout:
    """How the raw frames follow each other: as told, from the parameter file, or 3 x 3, of three beams 3 x 5.

    Raises `ConfigError` when told beside a parameter file, which knows it.

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


def detection_of(config: Config, stated: Mapping[str, Any], *, deep: bool, optics: Optics | None = None) -> DetectionSource:
    """The detection: of `optics`, else by the options, else as the parameter file remembers it, else as the image file has `stated`.

    Raises `OpticsError` when nobody knows it, `ConfigError` when an OTF and numbers contradict each other.
    """
    told = config.optics
    if told.excitation_nm is not None and not deep:
        raise ConfigError(
            f"--excitation-nm {told.excitation_nm:g}: only the planes of a stack tell it; leave it out, or give --phases 5 if they are one"
        )
    if optics is None and not any(getattr(told, name) for name in (*NUMBERS, "otf")) and config.sim.parameters is not None:
        told = _remembered(read_parameters(config.sim.parameters), told)
    if told.otf is not None:
        return _measured(told, deep)
    if optics is None:
        values = {name: stated.get(name) if getattr(told, name) is None else getattr(told, name) for name in NUMBERS}
        missing = " and ".join(f"--{name.replace('_', '-')}" for name in NUMBERS[:2] if values[name] is None)
        if missing:
            raise OpticsError(f"{missing} not given, no OTF either: one of the two is needed; give {missing}, or --otf")
        na, wavelength_nm, index = (values[name] for name in NUMBERS)
        assert na is not None and wavelength_nm is not None
        optics = Optics(na, wavelength_nm, index, pupil=told.pupil)
    made_from = {"na": optics.na, "wavelength_nm": optics.wavelength_nm, "immersion_ri": optics.ri}
    if not deep:
        return DetectionSource(detection_otf_2d(optics), optics, made_from)
    made_from |= {} if told.excitation_nm is None else {"excitation_nm": told.excitation_nm}
    return DetectionSource(detection_otf_3d(optics, told.excitation_nm), optics, made_from)


def measured_pattern(
    samples: Sequence[np.ndarray], spacing_um: Sequence[float], config: Config, source: DetectionSource, offset: float, *, file: str = ""
) -> Estimation:
    """The pattern of `samples` (each `frame *zyx`, ADU), estimated once on the mean of those as large as the first.

    Messages of the estimation become warnings.
    """
    deep = len(spacing_um) == 3
    alike = [sample for sample in samples if sample.shape == samples[0].shape]
    mean = alike[0] if len(alike) == 1 else np.asarray(np.mean(alike, axis=0, dtype=np.float64))
    prior = PatternPrior(config.sim.angles_deg, config.sim.period_um)
    told = {name: getattr(config.sim, name) for name in GUESSED if getattr(config.sim, name) is not None}
    plain = {name: list(value) if isinstance(value, tuple) else value for name, value in told.items()}
    known = {"optics": dict(source.made_from), "offset_adu": float(offset), "guess": plain}
    found = estimate_parameters(
        mean,
        spacing_um[-1],
        source.detection,
        layout_of(config.sim, beams=2 + deep),
        offset=offset,
        prior=prior,
        made_from={"program": f"zsdeconv {__version__}", "file": file} | known,
        z_um=spacing_um[0] if deep else None,
    )
    warn(found.messages)
    return found


def stored_pattern(path: str, spacing_um: Sequence[float]) -> SimParameters:
    """The pattern in a parameter file, for frames of this spacing. Raises `ConfigError` when it was measured at another one."""
    parameters, z_um = read_parameters(path), None if len(spacing_um) < 3 else spacing_um[0]
    for um, known, what, option in (
        (spacing_um[-1], parameters.pixel_um, "pixel", "--pixel-um"),
        (z_um, parameters.z_um, "step in z", "--z-um"),
    ):
        if um is not None and known is not None and abs(um / known - 1) > SPACING_TOLERANCE:
            sizes = f"{what} {um:g} um, the parameters in {path} were measured at {known:g} um"
            raise ConfigError(f"{sizes} (limit {100 * SPACING_TOLERANCE:g} % off); check {option}, or estimate them again")
    return parameters


def reconstruction(
    above: np.ndarray, spacing_um: Sequence[float], parameters: SimParameters, source: DetectionSource, wiener: float | None
) -> Reconstruct:
    """The reconstruction with these parameters; unless given, w is what frames like `above` (`frame *zyx`, offset removed) need."""
    parameters.layout.require(len(above))
    z_um = spacing_um[0] if len(spacing_um) == 3 else None
    w = choose_wiener(above, parameters, source.detection, parameters.pixel_um, z_um=z_um) if wiener is None else wiener
    return Reconstruct(parameters, source.detection, parameters.pixel_um, w, z_um=z_um)


def prepared_reconstruction(
    frames: Sequence[np.ndarray], spacing_um: Sequence[float], config: Config, source: DetectionSource, offset: float
) -> Reconstruct:
    """The reconstruction of raw `frames` (each `frame *zyx`, ADU): its pattern from a parameter file where one is given, else measured."""
    settings = config.sim
    if settings.parameters is None:
        parameters = measured_pattern(frames, spacing_um, config, source, offset).parameters
    else:
        layout_of(settings)  # refuses a layout beside the file, which holds one
        parameters = stored_pattern(settings.parameters, spacing_um)
    return reconstruction(frames[0].astype(np.float32) - offset, spacing_um, parameters, source, settings.wiener)


def remeasured(reconstruct: Reconstruct, frames: np.ndarray) -> Reconstruct:
    """The same reconstruction for other `frames` (`frame *zyx`, above the offset), in which the stripes may have moved.

    Raises `ImageError` where these frames are too dim to find the pattern, near where it was.
    """
    before, detection = reconstruct.parameters, reconstruct.weights.detection
    angles = tuple(direction.angle_deg for direction in before.directions)
    prior = PatternPrior(angles, float(np.mean([direction.finest_um for direction in before.directions])))
    z_um, w, attenuation = reconstruct.z_um, reconstruct.wiener, reconstruct.weights.attenuation
    found = estimate_parameters(frames, before.pixel_um, detection, before.layout, prior=prior, made_from=before.made_from, z_um=z_um)
    return Reconstruct(found.parameters, detection, before.pixel_um, w, attenuation, z_um)


def facts(reconstruct: Reconstruct) -> dict[str, Any]:
    """What a user should see of a reconstruction, as plain values; periods are those of the finest stripes."""
    rows = [
        {
            "angle_deg": round(direction.angle_deg, 3),
            "period_um": round(direction.finest_um, 5),
            "depths": [round(depth, 3) for depth in direction.depths],
            "score": round(direction.score, 1),
        }
        for direction in reconstruct.parameters.directions
    ]
    return {"directions": rows, "wiener": round(reconstruct.wiener, 4)}


def _remembered(parameters: SimParameters, told: OpticsSection) -> OpticsSection:
    """The options, with the lens that the parameters were measured with."""
    lens = parameters.made_from.get("optics")
    if not isinstance(lens, Mapping):
        return told
    names = {*NUMBERS, "otf", "excitation_nm"}
    return told.model_copy(update={name: value for name, value in lens.items() if name in names and getattr(told, name) is None})


def _measured(told: OpticsSection, deep: bool) -> DetectionSource:
    """The lens of an OTF file."""
    both = [f"--{name.replace('_', '-')}" for name in (*NUMBERS, "excitation_nm") if getattr(told, name) is not None]
    if both:
        raise ConfigError(f"--otf and {both[0]}: the detection has one OTF, measured or from theory; leave out one of them")
    path = str(told.otf)
    detection = detection_otf_3d(read_deep_otf(path)) if deep else detection_otf_2d(read_otf(path))
    return DetectionSource(detection, None, {"otf": path})
