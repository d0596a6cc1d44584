"""What the dialects of TIFF other than OME state: ImageJ, shape JSON, Micro-Manager, LSM, STK, MetaMorph, resolution tags."""

from __future__ import annotations

import datetime
import json
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from zsdeconv.image.units import length_um, middle_of_band, s_per, um_per
from zsdeconv.io.metadata.statements import Statements, Weight

if TYPE_CHECKING:
    from tifffile import TiffFile

_PRINT_UNITS = ("inch", "inches", "in", '"')
"""Units in which programs write the resolution of a print."""
_UM_PER_RESOLUTION_UNIT = {2: 25400.0, 3: 1e4}
"""Law: micrometres per value of the tag ResolutionUnit, inch and centimetre (TIFF 6.0)."""
_EXPOSURE = re.compile(r"Exposure: *(?P<value>\d+(?:\.\d+)?) *(?P<unit>[a-zµ]+)")
_LSM_EPOCH = datetime.datetime(1899, 12, 30)  # of the clock of that machine, whose zone the file does not name
"""Law: day 0 of dates that are numbers of days (OLE automation), as in LSM files."""
_LSM_LAST_DAY = 2_958_466
"""Day after the last of such dates, 9999-12-31. Law: OLE automation."""
_NM_PER_M = 1e9
"""Law: nanometres of a metre."""
_OBJECTIVE = re.compile(r"(?P<magnification>\d+(?:\.\d+)?)\s*[xX]\s*/?\s*(?:NA\s*)?(?P<na>[01]\.\d+)(?:\s*(?P<immersion>[A-Za-z]+))?")
_IMMERSIONS = {"oil": "Oil", "w": "Water", "water": "Water", "glyc": "Glycerol", "glycerol": "Glycerol", "air": "Air", "dry": "Air"}


def state(tif: TiffFile, said: Statements) -> None:
    """Add what the dialects of a TIFF file state, all that are present, the most trustworthy first."""
    for dialect in (_micromanager, _lsm, _stk, _metamorph, _imagej, _shape_json):
        dialect(tif, said)
    if not _imagej_unit(tif) and not _json_of(tif).get("unit"):
        _resolution_tags(tif, said)


def facts_of_objective(name: str) -> dict[str, Any]:
    """Magnification, NA and immersion in the name of an objective, as makers write it.

    >>> facts_of_objective("Plan-Apochromat 63x/1.40 Oil DIC M27")
    {'objective_model': 'Plan-Apochromat 63x/1.40 Oil DIC M27', 'magnification': 63.0, 'na': 1.4, 'immersion': 'Oil'}
    """
    facts: dict[str, Any] = {"objective_model": name.strip()} if name.strip() else {}
    found = _OBJECTIVE.search(name)
    if found is None:
        return facts
    facts |= {"magnification": float(found["magnification"]), "na": float(found["na"])}
    immersion = _IMMERSIONS.get((found["immersion"] or "").lower())
    return facts | ({"immersion": immersion} if immersion else {})


def _imagej(tif: TiffFile, said: Statements) -> None:
    """Resolution tags are pixels per `unit`; `spacing` is the z step; y and z may have different units."""
    described = tif.imagej_metadata or {}
    unit = described.get("unit")
    units = {"Y": described.get("yunit", unit), "X": unit, "Z": described.get("zunit", unit)}
    per_unit = _pixels_per_unit(tif)
    sizes = {axis: um / per_unit[axis] for axis in per_unit if (um := um_per(_word(units[axis]))) is not None}
    um = um_per(_word(units["Z"]))
    if um is not None and "spacing" in described:
        sizes["Z"] = _float(described["spacing"]) * um
    weight: Weight = "print" if str(unit).lower() in _PRINT_UNITS else "default"
    said.add("ImageJ", weight=weight, **_named(sizes))
    seconds = s_per(_word(described.get("tunit", "s")))
    interval = _float(described.get("finterval")) * seconds if seconds else None
    said.add("ImageJ", interval_s=interval, colours=_colours_of_tables(described))


def _shape_json(tif: TiffFile, said: Statements) -> None:
    """The JSON that tifffile writes beside shape and axes: sizes in OME's words, or ImageJ's `spacing` and `unit`."""
    described = _json_of(tif)
    sizes = {axis: um for axis in "ZYX" if (um := length_um(described, f"PhysicalSize{axis}")) is not None}
    um = um_per(_word(described.get("unit")))
    if um is not None:
        sizes = {axis: um / n for axis, n in _pixels_per_unit(tif).items() if n != 1} | sizes
    if "spacing" in described and (um is not None or "unit" not in described):
        sizes.setdefault("Z", _float(described["spacing"]) * (um or 1.0))
    said.add("shape JSON", **_named(sizes))
    channels = described.get("Channel")
    names = channels.get("Name") if isinstance(channels, Mapping) else None
    said.add("shape JSON", channels=[str(name) for name in names] if isinstance(names, list) else None)


def _json_of(tif: TiffFile) -> dict[str, Any]:
    for text in descriptions(tif):
        if text.lstrip().startswith("{"):
            try:
                described = json.loads(text)
            except ValueError:
                continue
            if isinstance(described, dict):
                return described
    return {}


def descriptions(tif: TiffFile) -> list[str]:
    """All descriptions of the first page, decoded."""
    texts = tif.pages.first.tags.getall(270) or []
    return [text.decode("utf-8", "replace") if isinstance(text, bytes) else str(text) for tag in texts if (text := tag.value) is not None]


def _micromanager(tif: TiffFile, said: Statements) -> None:
    described = tif.micromanager_metadata if tif.is_micromanager else None
    summary = (described or {}).get("Summary")
    if not isinstance(summary, Mapping):
        return
    size, step = (_float(summary.get(key)) for key in ("PixelSize_um", "z-step_um"))
    names = summary.get("ChNames")
    colours = summary.get("ChColors")
    interval_ms = _float(summary.get("Interval_ms"))
    if size > 0:  # 0 and NaN stand for a microscope that was not calibrated
        said.add("Micro-Manager", weight="default", x_um=size, y_um=size)
    said.add(
        "Micro-Manager",
        z_um=step if abs(step) > 0 else None,
        channels=[str(name) for name in names] if isinstance(names, list) else None,
        colours=[_rgb(number) for number in colours] if isinstance(colours, list) and all(isinstance(n, int) for n in colours) else None,
        interval_s=interval_ms / 1e3 if interval_ms > 0 else None,
    )


def _lsm(tif: TiffFile, said: Statements) -> None:
    header = (tif.lsm_metadata if tif.is_lsm else None) or {}
    sizes = {axis: _float(header[f"VoxelSize{axis}"]) * 1e6 for axis in "ZYX" if header.get(f"VoxelSize{axis}")}
    scan = header.get("ScanInformation") or {}
    colours = header.get("ChannelColors") or {}
    said.add(
        "LSM",
        **_named(sizes),
        channels=[str(name) for name in colours.get("ColorNames", [])],
        colours=[tuple(int(value) for value in colour[:3]) for colour in colours.get("Colors", [])],
        emission_nm=_lsm_emission_nm(header),
        excitation_nm=_lsm_excitation_nm(scan, int(header.get("DimensionChannels") or 0)),
        interval_s=header.get("TimeIntervall"),
        acquired=_lsm_date(_float(scan.get("Sample0time"))),
        microscope="confocal" if header else None,
        **facts_of_objective(str(scan.get("Objective", ""))),
    )


def _lsm_emission_nm(header: Mapping[str, Any]) -> list[float | None] | None:
    """The middles of the bands of the channels, in their order; the ends are -1 where a detector has no band, as for transmitted light."""
    bands = header.get("ChannelWavelength")
    if bands is None or len(bands) != header.get("DimensionChannels"):
        return None
    return [middle_of_band(_NM_PER_M * float(start), _NM_PER_M * float(end)) for start, end in bands]


def _lsm_excitation_nm(scan: Mapping[str, Any], channels: int) -> list[float] | None:
    """The laser of each channel: the only one there was, or that of its track where there is one track a channel, each with one laser."""
    tracks = [track for track in scan.get("Tracks") or () if track.get("Acquire")]
    lit = [{round(_float(laser.get("Wavelength")), 1) for laser in _lit(track)} for track in tracks]
    together = set().union(*lit)
    if len(together) == 1:
        return [*together] * channels
    return [lasers.pop() for lasers in lit] if len(lit) == channels and all(len(lasers) == 1 for lasers in lit) else None


def _lit(track: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    return [laser for laser in track.get("IlluminationChannels") or () if laser.get("Aquire")]  # spelt so by tifffile


def _lsm_date(days: float) -> str | None:
    if not 1 <= days < _LSM_LAST_DAY:
        return None
    return (_LSM_EPOCH + datetime.timedelta(days=days)).isoformat(timespec="seconds")


def _stk(tif: TiffFile, said: Statements) -> None:
    header = (tif.stk_metadata if tif.is_stk else None) or {}
    said.add("STK", exposure_s=_stk_exposure_s(header), **_stk_times(header))
    um = um_per(_word(header.get("CalibrationUnits")))
    if um is None or not header.get("SpatialCalibration", True):
        return
    sizes = {axis: _float(header[f"{axis}Calibration"]) * um for axis in "YX" if f"{axis}Calibration" in header}
    steps = header.get("ZDistance")
    if steps is not None and len(steps) and steps[0]:
        sizes["Z"] = _float(steps[0]) * um
    said.add("STK", weight="default", **_named(sizes))


def _stk_times(header: Mapping[str, Any]) -> dict[str, Any]:
    """The date of the first plane, and the mean step between planes where they are times, not depths."""
    times = header.get("DatetimeCreated")
    if times is None or not len(times):
        return {}
    stamps = np.asarray(times, "datetime64[ns]")
    steps_s = np.diff(stamps) / np.timedelta64(1, "s")
    depths = header.get("ZDistance")
    movie = steps_s.size > 0 and bool(np.all(steps_s > 0)) and (depths is None or not np.any(depths))
    return {"acquired": str(np.datetime_as_string(stamps[0], unit="s")), "interval_s": float(steps_s.mean()) if movie else None}


def _stk_exposure_s(header: Mapping[str, Any]) -> list[float] | None:
    """The exposure in the descriptions of the planes, where it is the same in all."""
    texts = [str(text) for text in header.get("PlaneDescriptions") or ()]
    found = {(match["value"], match["unit"]) if (match := _EXPOSURE.search(text)) else None for text in texts}
    only = found.pop() if len(found) == 1 else None
    unit = s_per(only[1]) if only is not None else None
    return [float(only[0]) * unit] if only is not None and unit is not None else None


def _metamorph(tif: TiffFile, said: Statements) -> None:
    planes = ((tif.metaseries_metadata if tif.is_metaseries else None) or {}).get("PlaneInfo")
    facts = planes if isinstance(planes, Mapping) else {}
    um = um_per(_word(facts.get("spatial-calibration-units")))
    if um is not None and facts.get("spatial-calibration-state", True):
        sizes = {axis: _float(facts[key]) * um for axis in "YX" if (key := f"spatial-calibration-{axis.lower()}") in facts}
        said.add("MetaMorph", weight="default", **_named(sizes))
    name = str(facts.get("image-name") or facts.get("_IllumSetting_") or "")
    wavelength = _float(facts.get("wavelength"))
    said.add(
        "MetaMorph",
        channels=[name] if name else None,
        emission_nm=[wavelength] if wavelength > 0 else None,
        na=facts.get("_MagNA_"),
        immersion_ri=facts.get("_MagRI_"),
    )


def _resolution_tags(tif: TiffFile, said: Statements) -> None:
    """Resolution tags in cm or inch; print resolutions are left out without a word, for every program writes them."""
    unit = tif.pages.first.tags.valueof("ResolutionUnit", default=1)
    um = _UM_PER_RESOLUTION_UNIT.get(int(unit))
    if um is not None:
        sizes = {axis: um / resolution for axis, resolution in _pixels_per_unit(tif).items()}
        said.add("resolution tags", weight="tag", **_named(sizes))


def _imagej_unit(tif: TiffFile) -> bool:
    return bool(_word((tif.imagej_metadata or {}).get("unit")))


def _pixels_per_unit(tif: TiffFile) -> dict[str, float]:
    """Values of the resolution tags, if both are present and neither is zero."""
    tags = tif.pages.first.tags
    resolutions = {axis: tags.valueof(f"{axis}Resolution") for axis in "YX"}
    if not all(isinstance(pair, tuple) and len(pair) == 2 and all(pair) for pair in resolutions.values()):
        return {}
    return {axis: pair[0] / pair[1] for axis, pair in resolutions.items()}


def _colours_of_tables(described: Mapping[str, Any]) -> list[tuple[int, int, int] | None] | None:
    """The brightest colour of ImageJ's look-up tables, one a channel."""
    tables = described.get("LUTs")
    tables = [] if tables is None else [tables] if getattr(tables, "ndim", 0) == 2 else list(tables)
    if not all(getattr(table, "shape", ()) == (3, 256) for table in tables):
        return None
    return [(int(table[0, -1]), int(table[1, -1]), int(table[2, -1])) for table in tables]


def _rgb(number: int) -> tuple[int, int, int]:
    return (number >> 16 & 255, number >> 8 & 255, number & 255)


def _named(sizes: Mapping[str, float]) -> dict[str, Any]:
    return {f"{axis.lower()}_um": um for axis, um in sizes.items()}


def _word(value: Any) -> str | None:
    return value if isinstance(value, str) else None


def _float(value: Any) -> float:
    try:
        return float(value)
    except (TypeError, ValueError):
        return float("nan")
