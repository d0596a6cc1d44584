"""What the XML of a CZI file states: pixel sizes, the objective that was used, channels, times, names of scenes."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any
from xml.etree import ElementTree

from zsdeconv.image.units import middle_of_band
from zsdeconv.io.metadata.statements import Statements, agreed, pinholes_of
from zsdeconv.io.metadata.tiff_dialects import facts_of_objective

_IMAGE = "Metadata/Information/Image"
_MODES = {
    "WideField": "widefield",
    "LaserScanningConfocalMicroscopy": "confocal",
    "SpinningDiskConfocal": "confocal",
    "MultiPhotonMicroscopy": "twophoton",
    "LatticeLightsheet": "lightsheet",
    "SPIM": "lightsheet",
}
"""Kinds of microscope by ZEN's names of acquisition modes."""
_BAND = re.compile(r"\s*(?P<start>[\d.]+)\s*-\s*(?P<end>[\d.]+)\s*")
"""One range of detected wavelengths in nm; of several, with commas between them, nothing says which holds the emission."""
_EXPOSURE_UNIT_S = 1e-9
"""Law: the exposure times of CZI files are in nanoseconds."""


def czi_statements(root: ElementTree.Element, channels: Sequence[int]) -> Statements:
    """The statements of a file about the channels with these numbers.

    >>> items = "<Items><Distance Id='X'><Value>6.5E-08</Value></Distance></Items>"
    >>> root = ElementTree.fromstring(f"<ImageDocument><Metadata><Scaling>{items}</Scaling></Metadata></ImageDocument>")
    >>> czi_statements(root, [0]).first("x_um")
    0.065
    """
    said = Statements()
    along = "XZ" if scans_lines(root) else "XYZ"
    for node in root.iterfind("Metadata/Scaling/Items/Distance"):
        metres = _number(node.findtext("Value"))
        if node.get("Id") in tuple(along) and metres is not None:
            sizes: dict[str, Any] = {f"{str(node.get('Id')).lower()}_um": float(f"{1e6 * metres:.12g}")}
            said.add("CZI", **sizes)
    angle_deg, step_um = scan_angle_deg(root), said.first("z_um")
    if angle_deg is not None and step_um is not None:
        said.add("CZI", scan={"angle_deg": angle_deg, "step_um": step_um})
    image = image_of(root)
    if image is not None:
        said.add("CZI", **_objective(root, image), **_times(image))
        _channels(image, channels, said)
    return said


def image_of(root: ElementTree.Element) -> ElementTree.Element | None:
    """What the file says of its image."""
    return root.find(_IMAGE)


def scene_names(root: ElementTree.Element) -> dict[int, str]:
    """The names of the scenes by their numbers, as far as they have one."""
    found = root.iterfind(f"{_IMAGE}/Dimensions/S/Scenes/Scene")
    return {int(node.get("Index", 0)): node.get("Name", "") for node in found if node.get("Index", "0").isdecimal()}


def sheared(root: ElementTree.Element) -> bool:
    """Whether the planes are those of an oblique light sheet, not yet brought into the frame of the specimen."""
    return root.findtext(f"{_IMAGE}/Dimensions/Z/ZAxisShear", "None") not in ("None", "")


def scan_angle_deg(root: ElementTree.Element) -> float | None:
    """Angle of the stage's motion to the planes of an oblique light sheet; None where the file does not state it.

    ZEN's word for the shear holds the angle to the detection axis: "Skew60" is 30 degrees to the sheet.

    >>> scan_angle_deg(ElementTree.fromstring(f"<a><{_IMAGE.replace('/', '><')}/></Information></Metadata></a>")) is None
    True
    """
    skew = re.fullmatch(r"Skew(\d+)", root.findtext(f"{_IMAGE}/Dimensions/Z/ZAxisShear", ""))
    angle = None if skew is None else 90.0 - float(skew[1])
    return angle if angle is not None and 0 < angle < 90 else None


def scans_lines(root: ElementTree.Element) -> bool:
    """Whether one line was scanned again and again: the file repeats the pixel size along x for y, which was not scanned."""
    modes = {node.text for node in root.iterfind(f"{_IMAGE}/Dimensions/Channels/Channel/LaserScanInfo/ScanningMode")}
    return modes == {"Line"} and root.findtext(f"{_IMAGE}/SizeY") == "1"


def _channels(image: ElementTree.Element, numbers: Sequence[int], said: Statements) -> None:
    used = _used(image, numbers)
    if not used:
        return
    names = [node.get("Name") or node.findtext("Fluor") or "" for node in used]
    colours = [_colour(node.findtext("Color")) for node in used]
    exposures = [_number(node.findtext("ExposureTime")) for node in used]
    said.add(
        "CZI",
        channels=names if any(names) else None,
        colours=colours if any(colours) else None,
        emission_nm=[_emission_nm(node) for node in used],
        excitation_nm=[_excitation_nm(node) for node in used],
        exposure_s=[None if ns is None else ns * _EXPOSURE_UNIT_S for ns in exposures],
    )
    if not any(_airyscan(node) for node in used):
        # A pinhole in Airy units is that of the wavelength of its channel.
        pinholes = pinholes_of([_number(node.findtext("PinholeSizeAiry")) for node in used])
        said.add("CZI", microscope=agreed(kinds_of_microscope(image, numbers)), **pinholes)


def kinds_of_microscope(image: ElementTree.Element | None, numbers: Sequence[int]) -> list[str]:
    """The different kinds of microscope of channels: of those that have an emission where there are any, else of all."""
    used = _used(image, numbers)
    fluorescent = [node for node in used if _emission_nm(node) is not None] or used
    return sorted({kind for node in fluorescent if (kind := _MODES.get(node.findtext("AcquisitionMode", ""))) is not None})


def processed_airyscan(image: ElementTree.Element | None, numbers: Sequence[int]) -> bool:
    """Whether channels are images that were computed from the raw frames of an Airyscan detector."""
    return any(_airyscan(node) and "raw" not in node.findtext("ChannelType", "").lower() for node in _used(image, numbers))


def _airyscan(channel: ElementTree.Element) -> bool:
    return any("airyscan" in channel.findtext(name, "").lower() for name in ("ChannelType", "AcquisitionMode"))


def _used(image: ElementTree.Element | None, numbers: Sequence[int]) -> list[ElementTree.Element]:
    """The channels with these numbers; none where the file describes fewer."""
    nodes = [] if image is None else image.findall("Dimensions/Channels/Channel")
    return [nodes[number] for number in numbers] if len(nodes) > max(numbers, default=0) else []


def _emission_nm(channel: ElementTree.Element) -> float | None:
    """The emission wavelength of a channel, else the middle of the only band that its detector saw."""
    stated = _number(channel.findtext("EmissionWavelength"))
    bands = [_BAND.fullmatch(node.text or "") for node in channel.iterfind("DetectionWavelength/Ranges")]
    if stated is not None or len(bands) != 1 or bands[0] is None:
        return stated
    return middle_of_band(_number(bands[0]["start"]), _number(bands[0]["end"]))


def _excitation_nm(channel: ElementTree.Element) -> float | None:
    """The excitation wavelength of a channel, else that of its only light source."""
    stated = _number(channel.findtext("ExcitationWavelength"))
    sources = channel.findall("LightSourcesSettings/LightSourceSettings")
    return stated if stated is not None or len(sources) != 1 else _number(sources[0].findtext("Wavelength"))


def _objective(root: ElementTree.Element, image: ElementTree.Element) -> dict[str, Any]:
    """The objective that the settings of the image name, among all of the instrument; else the only one there is."""
    objectives = root.findall("Metadata/Information/Instrument/Objectives/Objective")
    reference = image.find("ObjectiveSettings/ObjectiveRef")
    if reference is not None:
        objectives = [node for node in objectives if node.get("Id") == reference.get("Id")]
    facts: dict[str, Any] = {
        "immersion_ri": _number(image.findtext("ObjectiveSettings/RefractiveIndex")),
        "medium": image.findtext("ObjectiveSettings/Medium"),
    }
    if len(objectives) == 1:
        used = objectives[0]
        name = used.findtext("Manufacturer/Model") or used.get("Name", "")
        stated = {
            "na": _number(used.findtext("LensNA")),
            "magnification": _number(used.findtext("NominalMagnification")),
            "immersion": used.findtext("Immersion"),
        }
        facts |= facts_of_objective(name) | {quantity: value for quantity, value in stated.items() if value is not None}
    return facts


def _times(image: ElementTree.Element) -> dict[str, Any]:
    facts: dict[str, Any] = {"acquired": image.findtext("AcquisitionDateAndTime")}
    positions = image.find("Dimensions/T/Positions")
    if positions is not None:
        words = (positions.findtext("List/Offsets") or "").split()
        offsets = [number for word in words if (number := _number(word)) is not None]
        facts["interval_s"] = _number(positions.findtext("Interval/Increment"))
        if len(offsets) == len(words) > 1:
            facts["times_s"] = offsets
            facts["interval_s"] = (offsets[-1] - offsets[0]) / (len(offsets) - 1)
    return facts


def _colour(text: str | None) -> tuple[int, int, int] | None:
    """Red, green and blue of #AARRGGBB or #RRGGBB."""
    digits = (text or "").strip().lstrip("#")[-6:]
    try:
        return (int(digits[:2], 16), int(digits[2:4], 16), int(digits[4:6], 16))
    except ValueError:
        return None


def _number(text: str | None) -> float | None:
    try:
        return float(text) if text is not None and text.strip() else None
    except ValueError:
        return None
