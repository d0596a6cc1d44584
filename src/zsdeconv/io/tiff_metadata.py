"""Metadata of the dialects of TIFF: pixel sizes, channel names, optics, and the annotation of this package."""

from __future__ import annotations

import contextlib
import json
import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple
from xml.etree import ElementTree

from zsdeconv.io.units import um_per

if TYPE_CHECKING:
    from tifffile import TiffFile

ANNOTATION_NAMESPACE = "zsdeconv/provenance"
"""Namespace of the OME MapAnnotation with the values that OME-XML has no element for."""

_MAX_TAG_PIXEL_UM = 10.0
"""Largest pixel size taken from resolution tags. Chosen: print resolutions, 72 to 600 dpi, are 353 to 42 um."""


class FileMetadata(NamedTuple):
    """Metadata of a file: spacing in um per axis, further metadata, and the annotation of this package (empty for other programs)."""

    spacing_um: dict[str, float]
    metadata: dict[str, Any]
    annotation: dict[str, Any]


def file_metadata(tif: TiffFile, kind: str) -> FileMetadata:
    """Metadata of a TIFF file. `kind` is the dialect as tifffile names it; of an unknown one, resolution tags alone are read."""
    if kind == "ome" and tif.ome_metadata:
        return _ome(ElementTree.fromstring(tif.ome_metadata))
    dialects: dict[str, Callable[[TiffFile], dict[str, float]]] = {"imagej": _imagej, "lsm": _lsm, "stk": _stk}
    return FileMetadata(dialects.get(kind, _resolution_tags)(tif), {}, {})


def read_annotation(root: ElementTree.Element) -> dict[str, Any]:
    """The annotation of this package in OME-XML: `axes`, `offset` and `provenance` of a written image; empty when missing."""
    for node in root.iterfind(f".//{{*}}MapAnnotation[@Namespace='{ANNOTATION_NAMESPACE}']"):
        with contextlib.suppress(json.JSONDecodeError):
            return {m.get("K", ""): json.loads(m.text or "null") for m in node.iterfind(".//{*}M")}
    return {}


def _ome(root: ElementTree.Element) -> FileMetadata:
    pixels = root.find("{*}Image/{*}Pixels")
    if pixels is None:
        return FileMetadata({}, {}, {})
    spacing = {}
    for axis in "ZYX":
        size, unit = pixels.get(f"PhysicalSize{axis}"), um_per(pixels.get(f"PhysicalSize{axis}Unit", "µm"))
        if size is not None and unit is not None:
            spacing[axis] = _number(size) * unit
    names = [channel.get("Name", "") for channel in pixels.iterfind("{*}Channel")]
    metadata: dict[str, Any] = {"channels": names} if any(names) else {}
    optics = _ome_optics(root, pixels)
    return FileMetadata(spacing, metadata | ({"optics": optics} if optics else {}), read_annotation(root))


def _ome_optics(root: ElementTree.Element, pixels: ElementTree.Element) -> dict[str, float]:
    """Numerical aperture, emission wavelength (first channel) and immersion index, those that are present."""
    channel = pixels.find("{*}Channel")
    settings = root.find("{*}Image/{*}ObjectiveSettings")
    optics: dict[str, float] = {}
    if channel is not None and channel.get("EmissionWavelength"):
        um = um_per(channel.get("EmissionWavelengthUnit", "nm"))
        optics["wavelength_nm"] = _number(channel.get("EmissionWavelength", "")) * 1e3 * (um or math.nan)
    if settings is not None:
        objective = root.find(f".//{{*}}Objective[@ID='{settings.get('ID', '')}']")
        optics["na"] = _number("" if objective is None else objective.get("LensNA", ""))
        optics["immersion_ri"] = _number(settings.get("RefractiveIndex", ""))
    return {key: value for key, value in optics.items() if math.isfinite(value) and value > 0}


def _imagej(tif: TiffFile) -> dict[str, float]:
    """Resolution tags are pixels per `unit`; `spacing` is the z step; y and z may have different units."""
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
    header = tif.stk_metadata or {}
    um = um_per(header.get("CalibrationUnits"))
    if um is None or not header.get("SpatialCalibration", True):
        return {}
    spacing = {axis: _number(header[f"{axis}Calibration"]) * um for axis in "YX" if f"{axis}Calibration" in header}
    steps = header.get("ZDistance")
    return spacing if steps is None or not len(steps) or not steps[0] else {"Z": _number(steps[0]) * um} | spacing


def _resolution_tags(tif: TiffFile) -> dict[str, float]:
    """Resolution tags in cm or inch, unless they are print resolutions."""
    unit = tif.pages.first.tags.valueof("ResolutionUnit", default=1)
    um = {2: um_per("inch"), 3: um_per("cm")}.get(int(unit))
    if um is None:
        return {}
    spacing = {axis: um / resolution for axis, resolution in _pixels_per_unit(tif).items()}
    return spacing if all(0 < size <= _MAX_TAG_PIXEL_UM for size in spacing.values()) else {}


def _pixels_per_unit(tif: TiffFile) -> dict[str, float]:
    """Values of the resolution tags, if both are present and neither is zero."""
    tags = tif.pages.first.tags
    resolutions = {axis: tags.valueof(f"{axis}Resolution") for axis in "YX"}
    if not all(isinstance(pair, tuple) and len(pair) == 2 and all(pair) for pair in resolutions.values()):
        return {}
    return {axis: pair[0] / pair[1] for axis, pair in resolutions.items()}


def _number(text: Any) -> float:
    try:
        return float(text)
    except (TypeError, ValueError):
        return math.nan
