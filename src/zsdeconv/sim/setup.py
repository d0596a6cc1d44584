"""From settings and raw frames to a reconstruction: detection, layout of the frames, pattern, Wiener parameter."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
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
from zsdeconv.sim.positions import FramePositions, frame_positions, moved_back
from zsdeconv.sim.prior import PatternPrior
from zsdeconv.sim.reconstruct import Reconstruct
from zsdeconv.sim.steady import refined, steadied
from zsdeconv.sim.wiener import choose_wiener

SPACING_TOLERANCE = 0.01
"""Relative difference of spacings up to which stored parameters apply to frames. Chosen: above the rounding of sizes in
files; a larger difference would move the fringes."""
LENS_SETTINGS = ("na", "wavelength_nm", "immersion_ri")
LAYOUT_SETTINGS = ("directions", "phases", "order")
PRIOR_SETTINGS = ("angles_deg", "period_um")


@dataclass(frozen=True)
class DetectionSource:
    """OTF of the detection, the optics of a theoretical OTF, and the source of both as plain values."""

    detection: DetectionOtf2d | DetectionOtf3d
    optics: Optics | None
    made_from: Mapping[str, Any]


def layout_of(settings: SimSection, beams: int = 2) -> Layout:
    """Order of the raw frames: from the settings, from the parameter file, or by default 3 x 3, for three beams 3 x 5.

    Raises `ConfigError` for settings of the layout or prior beside a parameter file, which contains them.

    >>> layout_of(SimSection(directions=2), beams=3).frames
    10
    """
    if settings.parameters is not None:
        idle = [name for name in (*LAYOUT_SETTINGS, *PRIOR_SETTINGS) if getattr(settings, name) is not None]
        if idle:
            name = _argument(idle[0])
            raise ConfigError(f"{name} beside sim_parameters, which contains it: one of the two is used; leave out {name}")
        return read_parameters(settings.parameters).layout
    given = {name: getattr(settings, name) for name in LAYOUT_SETTINGS if getattr(settings, name) is not None}
    return replace(Layout(phases=2 * beams - 1), **given)


def detection_of(config: Config, file_metadata: Mapping[str, Any], *, deep: bool, optics: Optics | None = None) -> DetectionSource:
    """The detection, from the first source that has it: `optics`, the settings, the parameter file, the image file.

    Parameters
    ----------
    config
        Settings.
    file_metadata
        Optics in the metadata of the image file.
    deep
        Whether the frames are stacks.
    optics
        Optics that override all settings.

    Raises
    ------
    OpticsError
        When no source has it.
    ConfigError
        When an OTF and numbers contradict each other.
    """
    settings = config.optics.model_copy(update={name: config.optics.one(name) for name in ("wavelength_nm", "excitation_nm", "psf", "otf")})
    excitation_nm = settings.one("excitation_nm")
    if excitation_nm is not None and not deep:
        raise ConfigError(
            f"excitation_nm {excitation_nm:g}: it acts on stacks only; leave it out, or give `phases=5` if the frames are a stack"
        )
    if optics is None and not any(getattr(settings, name) for name in (*LENS_SETTINGS, "otf")) and config.sim.parameters is not None:
        settings = _with_stored_optics(read_parameters(config.sim.parameters), settings)
    excitation_nm = settings.one("excitation_nm")
    if settings.otf is not None:
        return _measured(settings, deep)
    if optics is None:
        values = {name: file_metadata.get(name) if getattr(settings, name) is None else getattr(settings, name) for name in LENS_SETTINGS}
        missing = " and ".join(_argument(name) for name in LENS_SETTINGS[:2] if values[name] is None)
        if missing:
            raise OpticsError(f"{missing} not given, no OTF either: one of the two is needed; give {missing}, or `otf`")
        na, wavelength_nm, index = (values[name] for name in LENS_SETTINGS)
        assert na is not None and wavelength_nm is not None
        optics = Optics(na, wavelength_nm, index, pupil=settings.pupil)
    made_from = {"na": optics.na, "wavelength_nm": optics.wavelength_nm, "immersion_ri": optics.ri}
    if not deep:
        return DetectionSource(detection_otf_2d(optics), optics, made_from)
    made_from |= {} if excitation_nm is None else {"excitation_nm": excitation_nm}
    return DetectionSource(detection_otf_3d(optics, excitation_nm), optics, made_from)


def measured_pattern(
    samples: Sequence[np.ndarray], spacing_um: Sequence[float], config: Config, source: DetectionSource, offset: float, *, file: str = ""
) -> Estimation:
    """The pattern of `samples`, estimated once on the mean of the samples of the size of the first. Its messages become warnings.

    Parameters
    ----------
    samples, spacing_um
        Raw frames (each `frame *zyx`, ADU) and their spacing along zyx.
    config, source
        Settings and detection.
    offset
        Camera offset, ADU.
    file
        Name of the recording, kept in the parameters.
    """
    deep = len(spacing_um) == 3
    equal = [sample for sample in samples if sample.shape == samples[0].shape]
    mean = equal[0] if len(equal) == 1 else np.asarray(np.mean(equal, axis=0, dtype=np.float64))
    prior = PatternPrior(config.sim.angles_deg, config.sim.period_um)
    given = {name: getattr(config.sim, name) for name in PRIOR_SETTINGS if getattr(config.sim, name) is not None}
    plain = {name: list(value) if isinstance(value, tuple) else value for name, value in given.items()}
    provenance = {"optics": dict(source.made_from), "offset_adu": float(offset), "guess": plain}
    layout, pixel_um = layout_of(config.sim, beams=2 + deep), spacing_um[-1]

    made_from = {"program": f"zsdeconv {__version__}", "file": file} | provenance
    known = {"prior": prior, "made_from": made_from, "z_um": spacing_um[0] if deep else None}

    def estimate(shift_px: np.ndarray | None = None) -> Estimation:
        frames = mean if shift_px is None else moved_back(mean, shift_px)
        return estimate_parameters(frames, pixel_um, source.detection, layout, offset=offset, **known)

    positions = _positions(samples, layout, source.detection, pixel_um, offset)
    if positions is None or not positions.displaced.any():
        estimation = estimate()
    else:
        first = estimate(positions.correction_px)
        estimation = estimate(refined(mean - np.float32(offset), positions, first.parameters, source.detection).correction_px)
    warn(estimation.messages)
    return estimation


def _positions(
    samples: Sequence[np.ndarray], layout: Layout, detection: DetectionOtf2d | DetectionOtf3d, pixel_um: float, offset: float
) -> FramePositions | None:
    """Where the raw frames of a single sample lie; None for several, and for frames that do not fit the layout."""
    if len(samples) > 1 or len(samples[0]) != layout.frames or samples[0].ndim != 1 + detection.rank:
        return None
    return frame_positions(samples[0] - np.float32(offset), layout, detection.cutoff_per_um * pixel_um)


def stored_pattern(path: str, spacing_um: Sequence[float]) -> SimParameters:
    """The pattern in a parameter file, for frames of this spacing. Raises `ConfigError` for another spacing."""
    parameters, z_um = read_parameters(path), None if len(spacing_um) < 3 else spacing_um[0]
    for um, stored_um, what, argument in (
        (spacing_um[-1], parameters.pixel_um, "pixel", "pixel_um"),
        (z_um, parameters.z_um, "step in z", "z_um"),
    ):
        if um is not None and stored_um is not None and abs(um / stored_um - 1) > SPACING_TOLERANCE:
            sizes = f"{what} {um:g} um, the parameters in {path} were measured at {stored_um:g} um"
            raise ConfigError(f"{sizes} (limit {100 * SPACING_TOLERANCE:g} % off); check {argument}, or estimate them again")
    return parameters


def reconstruction(
    signal: np.ndarray, spacing_um: Sequence[float], parameters: SimParameters, source: DetectionSource, wiener: float | None
) -> Reconstruct:
    """The reconstruction with given parameters.

    Parameters
    ----------
    signal, spacing_um
        Raw frames (`frame *zyx`, offset removed) and their spacing along zyx.
    parameters, source
        Pattern and detection.
    wiener
        Wiener parameter; by default chosen from `signal`.
    """
    parameters.layout.require(len(signal))
    z_um = spacing_um[0] if len(spacing_um) == 3 else None
    w = choose_wiener(signal, parameters, source.detection, parameters.pixel_um, z_um=z_um) if wiener is None else wiener
    return Reconstruct(parameters, source.detection, parameters.pixel_um, w, z_um=z_um)


def pattern_and_offset(
    samples: Sequence[np.ndarray],
    spacing_um: Sequence[float],
    config: Config,
    source: DetectionSource,
    offset_of: Callable[[float | None], float],
    *,
    file: str = "",
) -> tuple[SimParameters, float]:
    """The pattern, from a parameter file where one is given and else measured on `samples`, and the camera offset in ADU.

    `offset_of` gives the offset from the one that the parameter file remembers, None without one.
    """
    path = config.sim.parameters
    if path is None:
        offset = offset_of(None)
        return measured_pattern(samples, spacing_um, config, source, offset, file=file).parameters, offset
    parameters = stored_pattern(path, spacing_um)
    return parameters, offset_of(parameters.made_from.get("offset_adu"))


def wiener_origin(config: Config) -> str:
    """A note where the Wiener parameter was chosen from the noise."""
    return "" if config.sim.wiener is not None else " (from the noise)"


def prepared_reconstruction(
    frames: Sequence[np.ndarray], spacing_um: Sequence[float], config: Config, source: DetectionSource, offset: float
) -> Reconstruct:
    """The reconstruction of raw frames, its pattern from the parameter file in the settings, or else estimated on the frames.

    Parameters
    ----------
    frames, spacing_um
        Raw frames (each `frame *zyx`, ADU) and their spacing along zyx.
    config, source
        Settings and detection.
    offset
        Camera offset, ADU.
    """
    settings = config.sim
    if settings.parameters is None:
        parameters = measured_pattern(frames, spacing_um, config, source, offset).parameters
    else:
        layout_of(settings)  # refuses settings of the layout beside the file, which contains one
        parameters = stored_pattern(settings.parameters, spacing_um)
    steady = steadied(frames, parameters, source.detection, offset)
    return reconstruction(steady[0].astype(np.float32) - offset, spacing_um, parameters, source, settings.wiener)


def remeasured(reconstruct: Reconstruct, frames: np.ndarray) -> Reconstruct:
    """The same reconstruction for other `frames` (`frame *zyx`, offset removed), in which the fringes may have moved.

    Raises `ImageError` when no pattern is found near the previous one, as in frames that are too dim.
    """
    before, detection = reconstruct.parameters, reconstruct.weights.detection
    angles = tuple(direction.angle_deg for direction in before.directions)
    prior = PatternPrior(angles, float(np.mean([direction.finest_um for direction in before.directions])))
    z_um, w, attenuation = reconstruct.z_um, reconstruct.wiener, reconstruct.weights.attenuation
    estimation = estimate_parameters(frames, before.pixel_um, detection, before.layout, prior=prior, made_from=before.made_from, z_um=z_um)
    return Reconstruct(estimation.parameters, detection, before.pixel_um, w, attenuation, z_um)


def facts(reconstruct: Reconstruct) -> dict[str, Any]:
    """Summary of a reconstruction for the user, as plain values; periods are those of the finest fringes."""
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


def _argument(name: str) -> str:
    """The name of an argument as messages have it: a single word in backticks."""
    return name if "_" in name else f"`{name}`"


def _with_stored_optics(parameters: SimParameters, settings: OpticsSection) -> OpticsSection:
    """The settings, completed by the optics with which the parameters were measured."""
    lens = parameters.made_from.get("optics")
    if not isinstance(lens, Mapping):
        return settings
    names = {*LENS_SETTINGS, "otf", "excitation_nm"}
    return settings.model_copy(update={name: value for name, value in lens.items() if name in names and getattr(settings, name) is None})


def _measured(settings: OpticsSection, deep: bool) -> DetectionSource:
    """The detection of an OTF file."""
    both = [_argument(name) for name in (*LENS_SETTINGS, "excitation_nm") if getattr(settings, name) is not None]
    if both:
        raise ConfigError(f"`otf` and {both[0]}: the detection has one OTF, measured or from theory; leave out one of them")
    path = str(settings.otf)
    detection = detection_otf_3d(read_deep_otf(path)) if deep else detection_otf_2d(read_otf(path))
    return DetectionSource(detection, None, {"otf": path})
