"""OME-XML: the images that it describes, where their planes lie, and what it states about each (schema 2016-06 and older)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from xml.etree import ElementTree

import numpy as np

from zsdeconv.image.units import length_um, time_s
from zsdeconv.io.metadata.statements import Statements

SOURCE = "OME-XML"
"""The name of these statements' source."""
_DOCUMENT = re.compile(r"<(?:\w+:)?OME[\s>].*</(?:\w+:)?OME\s*>", re.DOTALL)
_MODES = {
    "WideField": "widefield",
    "LaserScanningConfocalMicroscopy": "confocal",
    "SpinningDiskConfocal": "confocal",
    "SlitScanConfocal": "confocal",
    "MultiPhotonMicroscopy": "twophoton",
    "SPIM": "lightsheet",
}
"""Kinds of microscope by OME's names of acquisition modes; the others have no PSF here."""
_WHOLE_TYPES = ("uint8", "uint16", "uint32", "int8", "int16", "int32")
_TYPES = {"float": "float32", "double": "float64", "complex": "complex64", "double-complex": "complex128", "bit": "bool"}
"""Number types by OME's words, those that are not numpy's."""
_MODULO_AXES = {"phase": "P"}
"""Axes by the types of OME's modulo annotation; all other types are unnamed dimensions (Q)."""


@dataclass(frozen=True)
class PlaneBlock:
    """Consecutive planes of an image in one file: `count` directories from `ifd` on (None: all) hold the planes from `first` on.

    `file` is empty for the file that holds the XML, and `uuid` the identifier that the XML gives to the file.
    """

    first: Mapping[str, int]
    ifd: int
    count: int | None
    file: str = ""
    uuid: str = ""


@dataclass(frozen=True)
class OmeImage:
    """One image of OME-XML: sizes of its axes, slowest first, with samples of a pixel (S), the blocks of its planes, its number type."""

    name: str
    sizes: dict[str, int]
    modulo: dict[str, tuple[str, int]]
    blocks: list[PlaneBlock]
    dtype: np.dtype
    said: Statements = field(default_factory=Statements)

    @property
    def plane_sizes(self) -> dict[str, int]:
        """Sizes of the axes that count planes, slowest first."""
        return {axis: n for axis, n in self.sizes.items() if axis not in "YXS"}

    @property
    def planes(self) -> int:
        """Number of planes."""
        count = 1
        for n in self.plane_sizes.values():
            count *= n
        return count


def ome_root(text: str) -> ElementTree.Element | None:
    """The root of the OME-XML in a description, whatever stands before and behind it; None where there is none.

    Raises `ElementTree.ParseError` where it is damaged.

    >>> ome_root("<?xml version='1.0'?><!-- note --><OME UUID='a'></OME> trailing").get("UUID")
    'a'
    """
    if not re.search(r"<(?:\w+:)?OME[\s>]", text):
        return None
    found = _DOCUMENT.search(text)
    if found is None:
        raise ElementTree.ParseError("its end is missing")
    return ElementTree.fromstring(found.group())


def companion_of(root: ElementTree.Element) -> str | None:
    """Name of the file that describes a file which holds pixels alone; None where the XML describes them itself."""
    node = root.find("{*}BinaryOnly")
    return None if node is None else node.get("MetadataFile", "")


def ome_images(root: ElementTree.Element) -> list[OmeImage]:
    """The images of OME-XML that have pixels, in their order."""
    pairs = [(image, image.find("{*}Pixels")) for image in root.iterfind("{*}Image")]
    return [_image(root, image, pixels) for image, pixels in pairs if pixels is not None]


def _image(root: ElementTree.Element, image: ElementTree.Element, pixels: ElementTree.Element) -> OmeImage:
    sizes = {axis: _whole(pixels.get(f"Size{axis}"), 1) for axis in "TCZYX"}
    channels = pixels.findall("{*}Channel")
    samples = max([_whole(channel.get("SamplesPerPixel"), 1) for channel in channels], default=1)
    if samples > 1:
        sizes["C"] = max(sizes["C"] // samples, 1)
    order = pixels.get("DimensionOrder", "XYZCT").upper()
    slowest_first = [axis for axis in reversed(order) if axis in "TCZ"]
    ordered = {axis: sizes[axis] for axis in (*slowest_first, *(a for a in "TCZ" if a not in slowest_first))}
    ordered |= {"Y": sizes["Y"], "X": sizes["X"]} | ({"S": samples} if samples > 1 else {})
    blocks = [_block(node) for node in pixels.iterfind("{*}TiffData")]
    kind = pixels.get("Type", "uint16").lower()
    dtype = np.dtype(_TYPES.get(kind, kind if kind in _WHOLE_TYPES else "uint16"))
    return OmeImage(image.get("Name", ""), ordered, _modulo(root, image), blocks, dtype, _statements(root, image, pixels, channels))


def _block(node: ElementTree.Element) -> PlaneBlock:
    first = {axis: _whole(node.get(f"First{axis}"), 0) for axis in "TCZ"}
    ifd, count = node.get("IFD"), node.get("PlaneCount")
    number = _whole(count, 1) if count is not None else None if ifd is None else 1
    uuid = node.find("{*}UUID")
    name, identifier = ("", "") if uuid is None else (uuid.get("FileName", ""), (uuid.text or "").strip())
    return PlaneBlock(first, _whole(ifd, 0), number, name, identifier)


def _modulo(root: ElementTree.Element, image: ElementTree.Element) -> dict[str, tuple[str, int]]:
    """Dimensions that run within T, C or Z: the axis they run in, by their letter and size (OME's 6D, 7D and 8D storage)."""
    ids = {ref.get("ID") for ref in image.iterfind(".//{*}AnnotationRef")}
    found: dict[str, tuple[str, int]] = {}
    for annotation in root.iterfind("{*}StructuredAnnotations/{*}XMLAnnotation"):
        if annotation.get("ID") not in ids and len(ids) > 0:
            continue
        for axis in "TCZ":
            for node in annotation.iterfind(f".//{{*}}ModuloAlong{axis}"):
                count = len(node.findall("{*}Label")) or _steps(node)
                if count > 1:
                    found[axis] = (_MODULO_AXES.get(node.get("Type", ""), "Q"), count)
    return found


def _steps(node: ElementTree.Element) -> int:
    start, end, step = (_float(node.get(name), default) for name, default in (("Start", 0.0), ("End", 0.0), ("Step", 1.0)))
    return round((end - start) / step) + 1 if step else 1


def _statements(
    root: ElementTree.Element, image: ElementTree.Element, pixels: ElementTree.Element, channels: list[ElementTree.Element]
) -> Statements:
    said = Statements()
    sizes = {f"{axis.lower()}_um": length_um(pixels.attrib, f"PhysicalSize{axis}") for axis in "ZYX"}
    names = [channel.get("Name", "") for channel in channels]
    colours = [_colour(channel.get("Color")) for channel in channels]
    said.add(
        SOURCE,
        **sizes,
        image_name=image.get("Name"),
        channels=names if any(names) else None,
        colours=colours if any(colours) else None,
        emission_nm=_nanometres(channels, "EmissionWavelength"),
        excitation_nm=_nanometres(channels, "ExcitationWavelength"),
        acquired=_text_of(image, "AcquisitionDate") or _text_of(image, "AcquiredDate"),
        interval_s=time_s(pixels.attrib, "TimeIncrement"),
        **_plane_statements(pixels),
    )
    if channels:
        said.add(
            SOURCE, microscope=_MODES.get(channels[0].get("AcquisitionMode", "")), pinhole_um=length_um(channels[0].attrib, "PinholeSize")
        )
    said.add(SOURCE, **_objective(root, image))
    return said


def _objective(root: ElementTree.Element, image: ElementTree.Element) -> dict[str, Any]:
    """What is stated about the objective of an image: that of its settings, or the only one there is."""
    settings = next((found for name in ("ObjectiveSettings", "ObjectiveRef") if (found := image.find(f"{{*}}{name}")) is not None), None)
    objectives = list(root.iterfind(".//{*}Instrument/{*}Objective"))
    if settings is not None:
        objectives = [objective for objective in objectives if objective.get("ID") == settings.get("ID")]
    facts: dict[str, Any] = {}
    if len(objectives) == 1:
        used = objectives[0]
        facts = {"na": used.get("LensNA"), "magnification": used.get("NominalMagnification") or used.get("CalibratedMagnification")}
        facts |= {"objective_model": used.get("Model"), "immersion": used.get("Immersion")}
    if settings is not None:
        facts |= {"immersion_ri": settings.get("RefractiveIndex"), "medium": settings.get("Medium")}
    return facts


def _plane_statements(pixels: ElementTree.Element) -> dict[str, Any]:
    """Times of the first plane of each time point, exposure of each channel, and the position of the stage."""
    planes = pixels.findall("{*}Plane")
    times: dict[int, float] = {}
    exposures: dict[int, float] = {}
    for plane in planes:
        delta, exposure = time_s(plane.attrib, "DeltaT"), time_s(plane.attrib, "ExposureTime")
        if delta is not None:
            times.setdefault(_whole(plane.get("TheT"), 0), delta)
        if exposure is not None:
            exposures.setdefault(_whole(plane.get("TheC"), 0), exposure)
    stage = {} if not planes else {axis: length_um(planes[0].attrib, f"Position{axis}") for axis in "ZYX"}
    complete = len(times) == _whole(pixels.get("SizeT"), 1)
    return {
        "times_s": [times[number] for number in sorted(times)] if complete else None,
        "exposure_s": [exposures.get(number) for number in range(max(_whole(pixels.get("SizeC"), 1), 1))] if exposures else None,
        "stage_um": {axis: um for axis, um in stage.items() if um is not None},
    }


def _nanometres(channels: list[ElementTree.Element], name: str) -> list[float | None] | None:
    lengths = [length_um(channel.attrib, name, "nm") for channel in channels]
    values = [None if um is None else float(f"{1e3 * um:.12g}") for um in lengths]
    return values if any(value is not None for value in values) else None


def _colour(text: str | None) -> tuple[int, int, int] | None:
    """Red, green and blue of a colour, which OME stores as the signed number RGBA."""
    try:
        rgba = int(text or "") & 0xFFFFFFFF
    except ValueError:
        return None
    return (rgba >> 24 & 255, rgba >> 16 & 255, rgba >> 8 & 255)


def _text_of(node: ElementTree.Element, name: str) -> str | None:
    found = node.find(f"{{*}}{name}")
    return None if found is None or not found.text else found.text.strip()


def _whole(text: str | None, default: int) -> int:
    try:
        return max(int(text), 0) if text is not None else default
    except ValueError:
        return default


def _float(text: str | None, default: float) -> float:
    try:
        return float(text) if text is not None else default
    except ValueError:
        return default
