"""OME-XML (schema 2016-06) of an image: dimensions, pixel sizes, channels, objective, positions and times, and the annotation."""

from __future__ import annotations

import math
import uuid
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import product
from typing import Any
from xml.etree import ElementTree
from xml.etree.ElementTree import Element

from zsdeconv._version import __version__
from zsdeconv.errors import ImageError
from zsdeconv.image import SPATIAL_AXES, Image
from zsdeconv.io import ome_values as values

CREATOR = f"zsdeconv {__version__}"
"""The program, as files name it."""
_SCHEMA = "http://www.openmicroscopy.org/Schemas/OME/2016-06"
_MODULO_NAMESPACE = "openmicroscopy.org/omero/dimension/modulo"
_MODULO_SCHEMA = "http://www.openmicroscopy.org/Schemas/Additions/2011-09"


def ome_xml(image: Image, namespace: str, annotation: Mapping[str, str]) -> bytes:
    """OME-XML of an image whose last axes are Y and X and whose other axes are stored as pages, the last one fastest.

    What `image.metadata` holds is written where OME has an element for it and the value is one that the schema allows, and left out
    otherwise. Characters beyond ASCII are UTF-8, no references: Bio-Formats destroys each "&#" before it parses, and so the unit µm.

    Parameters
    ----------
    image
        Pixels with axes, sizes in um and metadata.
    namespace, annotation
        Of a MapAnnotation for what OME has no element for.

    Raises
    ------
    ImageError
        When the order of the axes is one that OME cannot describe.

    >>> import numpy as np
    >>> xml = ome_xml(Image(np.eye(5), "YX"), "example", {"axes": "YX"})
    >>> b'SizeX="5"' in xml, xml[-6:]
    (True, b'</OME>')
    """
    layout = Layout.of(image)
    root = _element(
        "OME",
        {
            "xmlns": _SCHEMA,
            "xmlns:xsi": "http://www.w3.org/2001/XMLSchema-instance",
            "xsi:schemaLocation": f"{_SCHEMA} {_SCHEMA}/ome.xsd",
            "UUID": f"urn:uuid:{uuid.uuid4()}",
            "Creator": CREATOR,
        },
    )
    instrument, in_use = _objective(image.metadata)
    annotations = [*_modulo(layout), _map_annotation(namespace, annotation)]  # tifffile looks for modulo in the first reference
    for index, each in enumerate(annotations):
        each.set("ID", f"Annotation:{index}")
    references = [_element("AnnotationRef", {"ID": each.get("ID")}) for each in annotations]
    attributes = {"ID": "Image:0", "Name": values.title(image.metadata)}
    children = [*_acquired(image.metadata), *in_use, *_stage_label(image.metadata), _pixels(image, layout), *references]
    root.extend([*instrument, _element("Image", attributes, *children), _element("StructuredAnnotations", {}, *annotations)])
    return b'<?xml version="1.0" encoding="UTF-8"?>' + ElementTree.tostring(root, encoding="utf-8", xml_declaration=False)


@dataclass(frozen=True)
class Layout:
    """How the pages of an image lie along T, Z and C, the only axes that OME has for them.

    Another axis (`other`: raw frames, P) takes the place of one that the image lacks, or subdivides the one before it. `order` names T, Z
    and C from the slowest to the fastest, `sizes` are their lengths; `other_size` of them lie along `host`.
    """

    order: str
    sizes: Mapping[str, int]
    host: str = ""
    other: str = ""
    other_size: int = 1

    @classmethod
    def of(cls, image: Image) -> Layout:
        """The layout of the pages of an image. Raises `ImageError` when another axis comes first and neither T, Z nor C is free."""
        axes, sizes = image.axes[:-2], {a: image.sizes.get(a, 1) for a in "TZC"}
        host, other = "", "".join(a for a in axes if a not in sizes)
        if other:
            host = _host(axes, other)
            sizes[host] *= image.sizes[other]
            axes = axes.replace(other, "" if host in axes else host)
        return cls("".join(a for a in sizes if a not in axes) + axes, sizes, host, other, image.sizes.get(other, 1))

    @property
    def dimension_order(self) -> str:
        """The axes from the fastest to the slowest."""
        return "XY" + self.order[::-1]

    @property
    def pages(self) -> int:
        """The number of planes."""
        return math.prod(self.sizes.values())

    def indices(self) -> Iterator[dict[str, int]]:
        """The place of each page along T, Z and C."""
        for place in product(*(range(self.sizes[a]) for a in self.order)):
            yield dict(zip(self.order, place, strict=True))

    def recorded(self, axis: str, index: int) -> int:
        """The place along an axis of the image of a place along that axis of OME."""
        return index // self.other_size if axis == self.host else index


def _host(axes: str, other: str) -> str:
    """The axis of OME that another one lies along: the first of T, Z and C that is free or comes just before it."""
    before = axes[: axes.index(other)][-1:]
    for host in "TZC":
        if host not in axes or host == before:
            return host
    raise ImageError(f"axes {axes}YX: {other} comes first, OME-TIFF stores it after T, Z or C; give them in the order TCZ{other}YX")


def _pixels(image: Image, layout: Layout) -> Element:
    metadata, attributes = image.metadata, {}
    for axis in SPATIAL_AXES:
        attributes |= _quantity(f"PhysicalSize{axis}", values.positive(image.spacing_um.get(axis)), "µm")
    if "T" in image.axes:
        attributes |= _quantity("TimeIncrement", values.positive(metadata.get("interval_s")), "s")
    sizes = {"SizeX": image.sizes["X"], "SizeY": image.sizes["Y"]} | {f"Size{a}": n for a, n in layout.sizes.items()}
    stored = {"ID": "Pixels:0", "DimensionOrder": layout.dimension_order, "Type": "float"}
    data = _element("TiffData", {"IFD": 0, "PlaneCount": layout.pages})
    return _element("Pixels", stored | sizes | attributes, *_channels(image, layout), data, *_planes(image, layout))


def _channels(image: Image, layout: Layout) -> Iterator[Element]:
    optics, count = image.metadata.get("optics") or {}, image.sizes.get("C", 1)
    raw_axis = layout.other or str(image.metadata.get("combined_axis", ""))
    mode = values.MODES_OF_AXES.get(raw_axis) or values.ACQUISITION_MODES.get(str(optics.get("microscope")))
    known = {key: _entries(image.metadata.get(key), count) for key in ("channels", "colours", "emission_nm", "excitation_nm")}
    # The optics are those of the only channel, with which it was restored, or the first.
    first = {"emission_nm": optics.get("wavelength_nm"), "excitation_nm": optics.get("excitation_nm")}
    for key, value in first.items():
        if value is not None and (count == 1 or known[key][0] is None):
            known[key][0] = value
    for index in range(layout.sizes["C"]):
        c = layout.recorded("C", index)
        emission, excitation = (values.positive(known[key][c]) for key in first)
        attributes = {
            "ID": f"Channel:0:{index}",
            "Name": values.text(known["channels"][c]),
            "SamplesPerPixel": 1,
            "AcquisitionMode": mode,
            "ContrastMethod": "Fluorescence" if emission else None,
            "Color": values.colour(known["colours"][c]),
        }
        attributes |= _quantity("EmissionWavelength", emission, "nm") | _quantity("ExcitationWavelength", excitation, "nm")
        if c == 0:
            attributes |= _quantity("PinholeSize", values.positive(optics.get("pinhole_um")), "µm")
        yield _element("Channel", attributes)


def _planes(image: Image, layout: Layout) -> Iterator[Element]:
    """The time, the exposure and the position of the stage of each plane, where one of them is known."""
    metadata, sizes = image.metadata, image.sizes
    times = _entries(metadata.get("times_s"), sizes.get("T", 1))
    exposures = _entries(metadata.get("exposure_s"), sizes.get("C", 1))
    stage: dict[str, Any] = {}
    for axis in "XYZ":
        stage |= _quantity(f"Position{axis}", values.number((metadata.get("stage_um") or {}).get(axis)), "µm")
    for place in layout.indices():
        t, c = layout.recorded("T", place["T"]), layout.recorded("C", place["C"])
        known = _quantity("DeltaT", values.number(times[t]), "s") | _quantity("ExposureTime", values.positive(exposures[c]), "s") | stage
        if known:
            yield _element("Plane", {f"The{axis}": place[axis] for axis in "ZTC"} | known)


def _objective(metadata: Mapping[str, Any]) -> tuple[list[Element], list[Element]]:
    """The instrument with its objective, and what the image says of both; nothing where nothing is known."""
    objective, optics = metadata.get("objective") or {}, metadata.get("optics") or {}
    lens = {
        "Model": values.text(objective.get("model")),
        "LensNA": values.positive(optics.get("na")) or values.positive(objective.get("na")),
        "NominalMagnification": values.positive(objective.get("magnification")),
        "Immersion": values.word(objective.get("immersion"), values.IMMERSIONS),
    }
    settings = {
        "Medium": values.word(objective.get("medium"), values.MEDIA),
        "RefractiveIndex": values.positive(optics.get("immersion_ri")),
    }
    if not any((lens | settings).values()):
        return [], []
    instrument = _element("Instrument", {"ID": "Instrument:0"}, _element("Objective", {"ID": "Objective:0:0"} | lens))
    return [instrument], [
        _element("InstrumentRef", {"ID": "Instrument:0"}),
        _element("ObjectiveSettings", {"ID": "Objective:0:0"} | settings),
    ]


def _acquired(metadata: Mapping[str, Any]) -> list[Element]:
    moment = values.date_time(metadata.get("acquired"))
    return [] if moment is None else [_with_text("AcquisitionDate", {}, moment)]


def _stage_label(metadata: Mapping[str, Any]) -> list[Element]:
    """The scene, where it has a name."""
    name, attributes = values.text(metadata.get("scene")), {}
    for axis in "XYZ":
        attributes |= _quantity(axis, values.number((metadata.get("stage_um") or {}).get(axis)), "µm")
    return [] if name is None else [_element("StageLabel", {"Name": name} | attributes)]


def _modulo(layout: Layout) -> list[Element]:
    """How another axis subdivides its host, in the convention of OMERO and Bio-Formats."""
    if not layout.host:
        return []
    limits = {"Type": values.MODULO_TYPES[layout.other], "Start": 0, "End": layout.other_size - 1}
    value = _element("Value", {}, _element("Modulo", {"namespace": _MODULO_SCHEMA}, _element(f"ModuloAlong{layout.host}", limits)))
    return [_element("XMLAnnotation", {"Namespace": _MODULO_NAMESPACE}, value)]


def _map_annotation(namespace: str, annotation: Mapping[str, str]) -> Element:
    entries = [_with_text("M", {"K": key}, values.text(value) or "") for key, value in annotation.items()]
    return _element("MapAnnotation", {"Namespace": namespace}, _element("Value", {}, *entries))


def _entries(entries: Any, count: int) -> list[Any]:
    """One entry for each channel or time point; as many None where there are none, or another number of them."""
    known = list(entries) if isinstance(entries, Iterable) and not isinstance(entries, str | Mapping) else []
    return known if len(known) == count else [None] * count


def _quantity(name: str, value: float | None, unit: str) -> dict[str, Any]:
    return {} if value is None else {name: value, f"{name}Unit": unit}


def _element(tag: str, attributes: Mapping[str, Any], *children: Element) -> Element:
    """An element; attributes that are None are left out."""
    element = Element(tag, {key: str(value) for key, value in attributes.items() if value is not None})
    element.extend(children)
    return element


def _with_text(tag: str, attributes: Mapping[str, str], content: str) -> Element:
    element = _element(tag, attributes)
    element.text = content
    return element
