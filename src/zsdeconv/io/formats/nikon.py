"""ND2 files of Nikon's NIS-Elements, by the library nd2: one image for each position of the stage."""

from __future__ import annotations

import datetime
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from zsdeconv.image.units import s_per
from zsdeconv.io.formats.layout import kept, read_planes, reading, tell_of
from zsdeconv.io.formats.tiff_structure import cut_short
from zsdeconv.io.metadata.statements import Statements
from zsdeconv.io.metadata.tiff_dialects import facts_of_objective
from zsdeconv.io.source import FileSource, Region, Source

_SIGNATURES = (b"\xda\xce\xbe\x0a", b"\0\0\0\x0cjP  ")
"""First bytes of the format, and of the older one in a JPEG 2000 container."""
_POSITIONS = "P"
"""The library's letter for positions of the stage."""
_MICROSCOPES = {"multiphoton": "twophoton", "spinningDiskConfocal": "confocal", "laserScanConfocal": "confocal"}
_SCANNERS = {"multiphoton", "laserScanConfocal"}
"""Flags of laser scanners, whose zoom is that of the scanned field and magnifies nothing in front of the pinhole."""
_EXPOSURE = re.compile(r"Exposure: *(\d+(?:\.\d+)?) *([a-zµ]+)")
_JULIAN_DAY_OF_1970 = 2440587.5
"""Law: Julian day number of 1970-01-01, 0 h UTC."""
_DAY_S = 86400.0
"""Law: seconds of a day."""


def is_nd2(path: Path, head: bytes) -> bool:
    r"""Whether a file is an ND2, of the format in use since 2009 or the one before.

    >>> is_nd2(Path("a.nd2"), b"\xda\xce\xbe\x0a")
    True
    """
    return head.startswith(_SIGNATURES[0]) or (head.startswith(_SIGNATURES[1]) and path.suffix.lower() == ".nd2")


def nd2_scenes(path: Path) -> Sequence[Source]:
    """The images in an ND2 file, one for each position.

    Warns (`DataWarning`) of channels of different kinds of microscope or with different pinholes. Raises `ImageError` for damaged files,
    and for frames that were not recorded.
    """
    import nd2

    with reading(path), nd2.ND2File(path) as file:
        _refuse_lost_frames(path, file)
        sizes = {axis: int(n) for axis, n in file.sizes.items() if axis != _POSITIONS}
        points = [point for loop in _loops(file) if loop.type == "XYPosLoop" for point in loop.parameters.points]
        channels = list(getattr(file.metadata, "channels", None) or [])
        common = _statements(file, channels)
        count, dtype = int(file.sizes.get(_POSITIONS, 1)), np.dtype(file.dtype)
        sources = [_source(path, sizes, dtype, position, points[position : position + 1], common) for position in range(count)]
    kinds, pinholes = _kinds(channels), _pinholes_um(channels)
    listed = " and ".join(sorted(kind or "unknown" for kind in kinds))
    several = f"channels of several kinds of microscope ({listed})"
    tell_of(path, [path.name] * (len(kinds) > 1), several, "give microscope, or one channel at a time")
    listed = "/".join(f"{um:g}" for um in sorted(um or 0.0 for um in pinholes))
    tell_of(path, [path.name] * (len(pinholes) > 1), f"channels with different pinholes ({listed} um)", "give pinhole_au, of one channel")
    return sources


def _source(path: Path, sizes: dict[str, int], dtype: np.dtype, position: int, point: Sequence[Any], common: Statements) -> Source:
    axes, shape = kept(sizes)
    said, name = Statements(list(common)), ""
    for known in point:
        name = str(known.name or "")
        stage = dict(zip("XYZ", known.stagePositionUm, strict=True)) if known.stagePositionUm is not None else {}
        said.add("ND2", stage_um=stage)

    def load(region: Region) -> np.ndarray:
        import nd2

        with reading(path), nd2.ND2File(path) as file:
            frames = {tuple(sorted(at.items())): number for number, at in enumerate(file.loop_indices)}
            several = {_POSITIONS: position} if _POSITIONS in file.sizes else {}

            def plane(at: dict[str, int]) -> np.ndarray:
                where = {axis: number for axis, number in at.items() if axis != "C"} | several
                frame = file.read_frame(frames[tuple(sorted(where.items()))])
                return frame.reshape([sizes.get(axis, 1) for axis in "CYXS"])[at.get("C", 0)]

            return read_planes(path, sizes, region, dtype, plane)

    return FileSource("nd2", axes, shape, dtype, load, said, scene=name, coloured="S" in axes)


def _refuse_lost_frames(path: Path, file: Any) -> None:
    """Raise `ImageError` unless every frame lies in the file: the library returns zeros for one that does not."""
    frames = int(np.prod([n for axis, n in file.sizes.items() if axis not in "CYXS"], dtype=np.int64))
    recorded = int(file.attributes.sequenceCount)
    if recorded < frames:
        raise cut_short(path, f"{recorded} of {frames} frames were recorded")
    offsets = getattr(file._rdr, "_frame_offsets", None)
    if offsets is not None and (lost := [number for number in range(frames) if number not in offsets]):
        raise cut_short(path, f"{len(lost)} of {frames} frames are missing")
    size = path.stat().st_size
    stored = file.attributes.widthBytes or 0
    if offsets and file.attributes.compressionType is None and max(offsets.values()) + stored * file.attributes.heightPx > size:
        raise cut_short(path, f"its frames end behind byte {size}")


def _fluorescent(channels: Sequence[Any]) -> list[Any]:
    """The channels with an emission wavelength, else all: what holds for transmitted light says nothing of the others."""
    return [one for one in channels if one.channel.emissionLambdaNm] or list(channels)


def _kinds(channels: Sequence[Any]) -> set[str | None]:
    """The kinds of microscope of the channels; None for what has no name here."""
    flags = [one.microscope.modalityFlags or () for one in _fluorescent(channels)]
    return {next((kind for flag, kind in _MICROSCOPES.items() if flag in own), None) for own in flags}


def _pinholes_um(channels: Sequence[Any]) -> set[float | None]:
    return {one.microscope.pinholeDiameterUm for one in _fluorescent(channels)}


def _magnification(microscope: Any) -> float | None:
    """Of the objective and of the lens changer behind it."""
    zoom = getattr(microscope, "zoomMagnification", None) or 1.0
    nominal = microscope.objectiveMagnification
    return nominal if nominal is None or _SCANNERS & set(microscope.modalityFlags or ()) else nominal * zoom


def _statements(file: Any, channels: Sequence[Any]) -> Statements:
    said = Statements()
    if channels:
        kinds, pinholes = _kinds(channels), _pinholes_um(channels)
        volume, microscope = channels[0].volume, _fluorescent(channels)[0].microscope
        x, y, z = (um if calibrated else None for um, calibrated in zip(volume.axesCalibration, volume.axesCalibrated, strict=True))
        steps = [loop.parameters.stepUm for loop in _loops(file) if loop.type == "ZStackLoop"]
        said.add("ND2", weight="default", x_um=x, y_um=y, z_um=steps[0] if steps else z)
        said.add(
            "ND2",
            channels=[channel.channel.name for channel in channels],
            colours=[_colour(channel.channel.color) for channel in channels],
            emission_nm=[channel.channel.emissionLambdaNm for channel in channels],
            excitation_nm=_excitation_nm(channels),
            exposure_s=_exposures_s(file, len(channels)),
            na=microscope.objectiveNumericalAperture,
            magnification=_magnification(microscope),
            immersion_ri=microscope.immersionRefractiveIndex,
            pinhole_um=next(iter(pinholes)) if len(pinholes) == 1 else None,
            microscope=next(iter(kinds)) if len(kinds) == 1 else None,
        )
        said.add("ND2", **facts_of_objective(str(microscope.objectiveName or "")))
    said.add("ND2", **_times(file))
    return said


def _excitation_nm(channels: Sequence[Any]) -> list[float | None] | None:
    """The excitation of each channel; None where all have one although they emit differently, which is a default of the software."""
    stated = [one.channel.excitationLambdaNm for one in channels]
    different = {one.channel.emissionLambdaNm for one in channels if one.channel.excitationLambdaNm}
    return None if len(different) > 1 and len({nm for nm in stated if nm}) == 1 else stated


def _exposures_s(file: Any, channels: int) -> list[float] | None:
    """The exposures in the description of the cameras, which lists the channels in their order."""
    text = str((getattr(file, "text_info", None) or {}).get("capturing") or "")
    exposures = [float(value) * unit for value, name in _EXPOSURE.findall(text) if (unit := s_per(name)) is not None]
    return exposures if len(exposures) == channels else None


def _times(file: Any) -> dict[str, Any]:
    """The date of the first frame, and the step in time: the one that was set, else the mean of the measured ones."""
    facts: dict[str, Any] = {}
    start = _stamp(file, 0)
    if start is not None and start.absoluteJulianDayNumber > _JULIAN_DAY_OF_1970:
        seconds = (start.absoluteJulianDayNumber - _JULIAN_DAY_OF_1970) * _DAY_S
        facts["acquired"] = datetime.datetime.fromtimestamp(seconds, datetime.UTC).isoformat(timespec="seconds")
    loops = [loop for loop in _loops(file) if loop.type in ("TimeLoop", "NETimeLoop")]
    if loops:
        first = loops[0].parameters if loops[0].type == "TimeLoop" else next(iter(loops[0].parameters.periods), None)
        period_ms = float(getattr(first, "periodMs", 0) or 0)
        if not period_ms and first is not None and getattr(first, "periodDiff", None) is not None:
            period_ms = float(first.periodDiff.avg or 0)
        facts["interval_s"] = period_ms / 1e3 if period_ms > 0 else _measured_interval_s(file)
    return facts


def _measured_interval_s(file: Any) -> float | None:
    """The mean step between the first frames of the times."""
    firsts = [number for number, at in enumerate(file.loop_indices) if not any(n for axis, n in at.items() if axis != "T")]
    stamps = [_stamp(file, number) for number in (firsts[0], firsts[-1])]
    if len(firsts) < 2 or None in stamps:
        return None
    return (stamps[1].relativeTimeMs - stamps[0].relativeTimeMs) / 1e3 / (len(firsts) - 1)


def _loops(file: Any) -> list[Any]:
    """The loops of the experiment, outermost first."""
    return list(file.experiment)


def _stamp(file: Any, frame: int) -> Any:
    found = file.frame_metadata(frame)
    channels = getattr(found, "channels", None) or []
    return channels[0].time if channels else None


def _colour(colour: Any) -> tuple[int, int, int] | None:
    return None if colour is None else (int(colour.r), int(colour.g), int(colour.b))
