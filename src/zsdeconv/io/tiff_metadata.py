"""What the dialects of TIFF say about an image: pixel sizes, channel names, optics, and our own annotation."""

from __future__ import annotations

import contextlib
import json
import math
from collections.abc import Callable
from typing import Any, NamedTuple
from xml.etree import ElementTree

from tifffile import TiffFile

from zsdeconv.io.units import um_per

ANNOTATION_NAMESPACE = "zsdeconv/provenance"
"""Namespace of the OME MapAnnotation that carries what OME-XML has no place for."""

_LARGEST_PLAIN_UM = 10.0  # coarser resolution tags are print resolutions: 72 to 600 dpi are 353 to 42 um


class Stated(NamedTuple):
    """Statements of a file: spacing in um per axis, free metadata, our own annotation (empty in other programs' files)."""

    spacing_um: dict[str, float]
    metadata: dict[str, Any]
    ours: dict[str, Any]


def stated(tif: TiffFile, kind: str) -> Stated:
    """What the TIFF says; `kind` is tifffile's name of the dialect. An unknown dialect has resolution tags only."""
    if kind == "ome" and tif.ome_metadata:
        return _ome(ElementTree.fromstring(tif.ome_metadata))
    dialects: dict[str, Callable[[TiffFile], dict[str, float]]] = {"imagej": _imagej, "lsm": _lsm, "stk": _stk}
    return Stated(dialects.get(kind, _resolution_tags)(tif), {}, {})


def annotation(root: ElementTree.Element) -> dict[str, Any]:
    """Our own annotation in OME-XML: `axes`, `offset` and `provenance` of a written image; empty when there is none."""
    for node in root.iterfind(f".//{{*}}MapAnnotation[@Namespace='{ANNOTATION_NAMESPACE}']"):
        with contextlib.suppress(json.JSONDecodeError):
            return {m.get("K", ""): json.loads(m.text or "null") for m in node.iterfind(".//{*}M")}
    return {}


def _ome(root: ElementTree.Element) -> Stated:
    pixels = root.find("{*}Image/{*}Pixels")
    if pixels is None:
        return Stated({}, {}, {})
    spacing = {}
    for axis in "ZYX":
        size, unit = pixels.get(f"PhysicalSize{axis}"), um_per(pixels.get(f"PhysicalSize{axis}Unit", "µm"))
        if size is not None and unit is not None:
            spacing[axis] = _number(size) * unit
    names = [channel.get("Name", "") for channel in pixels.iterfind("{*}Channel")]
    metadata: dict[str, Any] = {"channels": names} if any(names) else {}
    optics = _ome_optics(root, pixels)
    return Stated(spacing, metadata | ({"optics": optics} if optics else {}), annotation(root))


def _ome_optics(root: ElementTree.Element, pixels: ElementTree.Element) -> dict[str, float]:
    """Numerical aperture, emission wavelength (first channel) and immersion index, as far as they are there."""
    channel = pixels.find("{*}Channel")
    settings = root.find("{*}Image/{*}ObjectiveSettings")
    found: dict[str, float] = {}
    if channel is not None and channel.get("EmissionWavelength"):
        um = um_per(channel.get("EmissionWavelengthUnit", "nm"))
        found["wavelength_nm"] = _number(channel.get("EmissionWavelength", "")) * 1e3 * (um or math.nan)
    if settings is not None:
        objective = root.find(f".//{{*}}Objective[@ID='{settings.get('ID', '')}']")
        found["na"] = _number("" if objective is None else objective.get("LensNA", ""))
        found["immersion_ri"] = _number(settings.get("RefractiveIndex", ""))
    return {key: value for key, value in found.items() if math.isfinite(value) and value > 0}


def _imagej(tif: TiffFile) -> dict[str, float]:
    """Resolution tags count pixels per `unit`; `spacing` is the z step; y and z may have units of their own."""
    described = tif.imagej_metadata or {}
    unit = described.get("unit")
    spacing = {}
    for axis, resolution in _pixels_per_unit(tif).items():
        um = um_per(described.get("yunit", unit) if axis == "Y" else unit)
        if um is not None:
            spacing[axis] = um / resolution
    um = um_per(described.get("zunit", unit))
    if um is not None and "spacing" in described:
        spacing["Z"] = _number(described["spacing"]) * um
    return spacing


def _lsm(tif: TiffFile) -> dict[str, float]:
    sizes = tif.lsm_metadata or {}
    return {axis: _number(sizes[f"VoxelSize{axis}"]) * 1e6 for axis in "ZYX" if sizes.get(f"VoxelSize{axis}")}


def _stk(tif: TiffFile) -> dict[str, float]:
    found = tif.stk_metadata or {}
    um = um_per(found.get("CalibrationUnits"))
    if um is None or not found.get("SpatialCalibration", True):
        return {}
    spacing = {axis: _number(found[f"{axis}Calibration"]) * um for axis in "YX" if f"{axis}Calibration" in found}
    steps = found.get("ZDistance")
    return spacing if steps is None or not len(steps) or not steps[0] else {"Z": _number(steps[0]) * um} | spacing


def _resolution_tags(tif: TiffFile) -> dict[str, float]:
    """Resolution tags in cm or inch, believed only when they are no print resolution."""
    unit = tif.pages.first.tags.valueof("ResolutionUnit", default=1)
    um = {2: um_per("inch"), 3: um_per("cm")}.get(int(unit))
    if um is None:
        return {}
    spacing = {axis: um / resolution for axis, resolution in _pixels_per_unit(tif).items()}
    return spacing if all(0 < size <= _LARGEST_PLAIN_UM for size in spacing.values()) else {}


def _pixels_per_unit(tif: TiffFile) -> dict[str, float]:
    """Numbers of the resolution tags, where both are there and none is zero."""
    tags = tif.pages.first.tags
    found = {axis: tags.valueof(f"{axis}Resolution") for axis in "YX"}
    if not all(isinstance(pair, tuple) and len(pair) == 2 and all(pair) for pair in found.values()):
        return {}
    return {axis: pair[0] / pair[1] for axis, pair in found.items()}


def _number(text: Any) -> float:
    try:
        return float(text)
    except (TypeError, ValueError):
        return math.nan
