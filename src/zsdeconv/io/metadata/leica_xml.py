"""What the XML of a series in a LIF file states about its optics: objective, pinhole, and the dyes, bands and lasers of its channels."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple
from xml.etree.ElementTree import Element

from zsdeconv.image.units import middle_of_band, s_per
from zsdeconv.io.metadata.tiff_dialects import facts_of_objective

_HARDWARE = ".//Attachment[@Name='HardwareSetting']"
_SCAN = "ATLConfocalSettingDefinition"
_STEPS = f".//LDM_Block_Sequential/LDM_Block_Sequential_List/{_SCAN}"
"""The settings of a sequential scan, one for each of its steps; those of `LDM_Block_Sequential_Master` beside it are of none."""
_CAMERA = "ATLCameraSettingDefinition"
_CAMERA_CHANNELS = ".//WideFieldChannelConfigurator/WideFieldChannelInfo"
_BANDS = ".//Attachment[@Name='ChannelAttachment']/Band"
_TILES = "./Data/Image/Attachment[@Name='TileScanInfo']/Tile"
_MAKER = "Leica/"
"""Leica's prefix of the dyes in its own list."""
_NM_PER_M = 1e9
"""Law: nanometres of a metre."""
_RECORDS = ".//Attachment[@Name='HardwareSettingList']"
"""The settings of LAS AF before LAS X, as of the SP5: a list of records, each with one value."""
_AIRY_NM = 580.0
"""Wavelength of Leica's Airy units. Law: the default of LAS, for files that do not name it."""
_IMMERSIONS = {"OIL": "Oil", "WATER": "Water", "GLYC": "Glycerol", "GLYCEROL": "Glycerol", "DRY": "Air", "AIR": "Air"}


class Channel(NamedTuple):
    """What is stated of the light of a channel. `step` is that of a sequential scan, from 0."""

    dye: str = ""
    emission_nm: float | None = None
    excitation_nm: float | None = None
    exposure_s: float | None = None
    step: int = 0


def descriptions_of_channels(element: Element) -> list[Element]:
    """The descriptions of the channels of a series, in the order in which they are stored."""
    found = element.findall("./Data/Image/ImageDescription/Channels/ChannelDescription")
    return sorted(found, key=lambda node: int(node.get("BytesInc", 0)))


def objective_of(element: Element) -> dict[str, Any]:
    """What the settings of the microscope say of its objective; positive numbers alone are statements."""
    facts: dict[str, Any] = {}
    for setting in element.findall(f"{_HARDWARE}/{_SCAN}") + element.findall(f"{_HARDWARE}/{_CAMERA}"):
        stated = {
            "na": positive(setting.get("NumericalAperture")),
            "magnification": positive(setting.get("Magnification")),
            "immersion_ri": positive(setting.get("RefractionIndex")),
            "immersion": _IMMERSIONS.get(setting.get("Immersion", "").strip().upper()),
        }
        known = {quantity: value for quantity, value in stated.items() if value is not None}
        facts = facts_of_objective(" ".join(setting.get("ObjectiveName", "").split())) | known | facts
    return facts or _objective_in_records(element)


def _objective_in_records(element: Element) -> dict[str, Any]:
    records = f"{_RECORDS}//FilterSettingRecord[@Attribute='%s']"
    names = {" ".join(node.get("Variant", "").split()) for node in element.iterfind(records % "Objective")} - {""}
    apertures = {positive(node.get("Variant")) for node in element.iterfind(records % "NumericalAperture")} - {None}
    facts = facts_of_objective(names.pop()) if len(names) == 1 else {}
    return facts | ({"na": apertures.pop()} if len(apertures) == 1 else {})


def pinholes_au(element: Element, channels: Sequence[Channel]) -> list[float | None]:
    """Diameter of the pinhole in Airy units, of each channel at its own emission wavelength; empty where it is not stated.

    Law: an Airy unit grows with the wavelength. LAS takes that of one wavelength for all channels, and it stands beside the number.
    """
    setting = element.find(_HARDWARE)
    steps = [] if setting is None else _steps(setting)
    found: list[float | None] = []
    for channel in channels or [Channel()]:
        step = steps[channel.step] if channel.step < len(steps) else None
        stated_au = None if step is None else positive(step.get("PinholeAiry"))
        if step is None or stated_au is None:
            return []
        stated_nm = positive(step.get("EmissionWavelengthForPinholeAiryCalculation")) or _AIRY_NM
        found.append(stated_au * stated_nm / (channel.emission_nm or stated_nm))
    return found


def bare_pinhole_um(element: Element) -> float | None:
    """The pinhole in micrometres where it is not stated in Airy units too. The scan head magnifies, and no file says how much."""
    setting = element.find(_HARDWARE)
    steps = [] if setting is None else [step for step in _steps(setting) if positive(step.get("PinholeAiry")) is None]
    records = element.iterfind(f"{_RECORDS}//ScannerSettingRecord[@Identifier='dblPinhole']")
    stated = [step.get("Pinhole") for step in steps] + [record.get("Variant") for record in records]
    return next((float(f"{1e6 * metre:.6g}") for text in stated if (metre := positive(text)) is not None), None)


def is_scan(element: Element) -> bool:
    """Whether a series was recorded by a scanner with a pinhole."""
    setting = element.find(_HARDWARE)
    return setting is not None and setting.get("DataSourceTypeName") == "Confocal"


def _steps(setting: Element) -> list[Element]:
    return setting.findall(_STEPS) or setting.findall(_SCAN)


def stages_um(element: Element) -> list[dict[str, float]]:
    """Positions of the stage for each tile of a series, in um; of a tile that lacks a coordinate the others."""
    places = [{axis: number(tile.get(f"Pos{axis}")) for axis in "XYZ"} for tile in element.iterfind(_TILES)]
    return [{axis: 1e6 * metre for axis, metre in place.items() if metre is not None} for place in places]


def number(text: str | None) -> float | None:
    """A finite number; None for all else.

    >>> number("-2e-8"), number("nan"), number(None)
    (-2e-08, None, None)
    """
    try:
        value = float(text or "nan")
    except ValueError:
        return None
    return value if math.isfinite(value) else None


def channels_of(element: Element) -> list[Channel]:
    """The light of each channel of a series; empty where the file does not say which of its settings belong to which channel.

    A scanner has bands for detectors that are off, too: those that are on are counted, step by step, and have to be as many as there are
    channels. Otherwise the bands beside the channels are taken, of a camera the settings of its channels.
    """
    setting, described = element.find(_HARDWARE), descriptions_of_channels(element)
    if setting is None:
        return _attached(element, described)
    return _scanned(setting, described) or _of_camera(setting, described) or _attached(element, described)


def windows_nm(element: Element, starts_m: Sequence[float]) -> list[float] | None:
    """The middles of the windows of a scan of emission wavelengths, which begin at these wavelengths; None where their width varies."""
    scan = element.find(f"{_HARDWARE}/{_SCAN}/LambdaDefinition")
    width = None if scan is None else positive(scan.get("LambdaDetectionBandWidth"))
    if scan is None or width is None or scan.get("LambdaDetectionBandWidthModeName") != "ConstantBandWidth":
        return None
    return [round(_NM_PER_M * start + width / 2, 1) for start in starts_m]


def in_nanometres(metres: Sequence[float]) -> list[float]:
    """Wavelengths of an axis of the file, to a tenth.

    >>> in_nanometres([4.9e-7])
    [490.0]
    """
    return [round(_NM_PER_M * metre, 1) for metre in metres]


def positive(text: str | None) -> float | None:
    """A positive number; None for all else, with which LAS says that it knows nothing.

    >>> positive("0.9"), positive("-1"), positive("")
    (0.9, None, None)
    """
    value = number(text)
    return value if value is not None and value > 0 else None


def _scanned(setting: Element, described: Sequence[Element]) -> list[Channel]:
    """The channels of a scanner, by the names of their detectors where the channels have them, else by the order of those that are on."""
    steps = _steps(setting)
    found: list[tuple[tuple[str, str], Channel]] = []
    for number, step in enumerate(steps):
        bands = {band.get("Channel"): band for band in step.iterfind("Spectro/MultiBand")}
        laser = _only_laser(step)
        for detector in step.iterfind("DetectorList/Detector[@IsActive='1']"):
            band = bands.get(detector.get("Channel"))
            light = Channel(excitation_nm=laser, step=number) if band is None else _of_band(band, laser, number)
            found.append(((str(number), detector.get("Name", "")), light))
    properties = [{node.findtext("Key", ""): node.findtext("Value", "") for node in one.iter("ChannelProperty")} for one in described]
    places = [(one.get("SequentialSettingIndex") or "0", one.get("DetectorName", "")) for one in properties]
    named = dict(found)
    if len(named) == len(found) and all(detector and (step, detector) in named for step, detector in places):
        return [named[place] for place in places]
    return [light for _, light in found] if len(found) == len(described) else []


def _of_band(band: Element, laser: float | None, step: int) -> Channel:
    dye = band.get("DyeName", "").removeprefix(_MAKER)
    middle = middle_of_band(positive(band.get("LeftWorld")), positive(band.get("RightWorld")))
    return Channel("" if dye == "None" else dye, middle, laser, step=step)


def _only_laser(step: Element) -> float | None:
    """The laser that was on in a step of a scan; None where several were, for nothing says which of them a channel needed."""
    lines = step.iterfind("AotfList/Aotf/LaserLineSetting")
    lasers = {positive(line.get("LaserLine")) for line in lines if positive(line.get("IntensityDev")) is not None}
    return lasers.pop() if len(lasers) == 1 else None


def _of_camera(setting: Element, described: Sequence[Element]) -> list[Channel]:
    found = setting.findall(_CAMERA_CHANNELS)
    if len(found) != len(described):
        return []
    return [
        Channel(node.get("UserDefName", ""), positive(node.get("EmissionWavelength")), None, _seconds(node.get("ExposureTime", "")))
        for node in found
    ]


def _seconds(text: str) -> float | None:
    """An exposure, in seconds where it has no unit."""
    words = text.split()
    unit = s_per(words[1]) if len(words) > 1 else 1.0
    value = positive(words[0]) if words else None
    return None if value is None or unit is None else value * unit


def _attached(element: Element, described: Sequence[Element]) -> list[Channel]:
    """The bands that stand beside the channels, in metres, followed by numbers of other kinds."""
    bands = [[quantity.get("Value") for quantity in band.iterfind("Quantity[@Unit='m']")][:2] for band in element.iterfind(_BANDS)]
    if len(bands) != len(described) or any(len(band) < 2 for band in bands):
        return []
    ends = [[None if (end := positive(text)) is None else _NM_PER_M * end for text in band] for band in bands]
    return [Channel(emission_nm=middle_of_band(*band)) for band in ends]


def light_statements(channels: Sequence[Channel]) -> dict[str, Any]:
    """The light of channels by the names of quantities.

    >>> light_statements([Channel("FITC", 517.0, 488.0)])["emission_nm"]
    [517.0]
    """
    return {
        "channels": [one.dye for one in channels] if any(one.dye for one in channels) else None,
        "emission_nm": [one.emission_nm for one in channels],
        "excitation_nm": [one.excitation_nm for one in channels],
        "exposure_s": [one.exposure_s for one in channels],
    }
