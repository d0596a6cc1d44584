"""What `run` has to know of an image, and whether the file says it: found by the functions with which `run` decides, without pixels."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from zsdeconv.cli.wording import flag_of, with_options
from zsdeconv.errors import UserError

if TYPE_CHECKING:
    from zsdeconv.config import Config
    from zsdeconv.image import Image
    from zsdeconv.io import Description

State = Literal["found", "given", "assumed", "missing"]
"""Whether the file says it, the command line does, a default holds, or nothing can be done without it."""
PLACEHOLDERS = {"axes": "LETTERS", "na": "NA", "wavelength_nm": "NM", "pixel_um": "UM", "z_um": "UM", "scene": "NUMBER"}
"""What stands in the command for a value that is missing."""

LIGHT_SHEETS = ("lightsheet", "lattice")
"""Microscopes whose stage may move at an angle to their planes."""


@dataclass(frozen=True)
class Need:
    """A setting by its `name`, its `state`, `value` and `source`, and what `note` there is to it."""

    name: str
    state: State
    value: Any = None
    source: str = ""
    note: str = ""

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {"name": self.name, "option": flag_of(self.name), "state": self.state, "value": self.value} | {
            "source": self.source,
            "note": self.note,
        }

    @property
    def words(self) -> str:
        """Value, source and advice for people."""
        value = ", ".join(map(_word, self.value)) if isinstance(self.value, list) else _word(self.value)
        origin = {"found": self.source, "given": "option", "assumed": "assumed"}
        text = f"{value} ({origin[self.state]})" if self.state in origin else f"MISSING: give {flag_of(self.name)}"
        if self.state == "missing" and isinstance(self.value, list) and any(self.value):
            text += f", of these: {value}" if self.name in ("axes", "scene") else f"; known are {value}"
        return f"{text}; {self.note}" if self.note else text


@dataclass(frozen=True)
class Needs:
    """All settings, what stands in the way of a restoration beside them, and options that the command needs for it."""

    settings: list[Need]
    problem: str = ""
    extra: list[str] = field(default_factory=list)

    def missing(self) -> dict[str, str]:
        """Names of what is missing, with the option to give."""
        return {need.name: flag_of(need.name) for need in self.settings if need.state == "missing"}

    def command(self, file: Path, given: Mapping[str, Any]) -> str:
        """The complete command to type, with placeholders for what is missing."""
        words = ["zsdeconv", "run", shlex.quote(str(file)), "-o", "restored"]
        for name, value in given.items():
            words += [flag_of(name), *([] if value is True else [shlex.quote(_listed(value))])]
        for need in self.settings:
            if need.state == "missing" and need.name not in given:
                words += [flag_of(need.name), _filled(need)]
        return " ".join([*words, *self.extra])


def needs_of(described: Description, scenes: Sequence[str], config: Config, given: Mapping[str, Any], undecided: str) -> Needs:
    """The settings that `run` needs for an image.

    Parameters
    ----------
    described
        The image without its pixels.
    scenes
        Names of the images in the file.
    config, given
        The settings, and those of them that are options of the command line.
    undecided
        What has to be chosen: "scene" where they differ in size, "axes" where nobody says what the planes are.
    """
    from zsdeconv.image import cropped
    from zsdeconv.modality import remedy

    image, extra = _without_pixels(described), []
    settings = [_of_axes(image, given, undecided), *_of_scene(scenes, given, undecided == "scene")]
    if (needed := remedy(config, image)) is not None:
        extra = [word for name, value in needed.settings.items() for word in (flag_of(name), value)]
        settings += [
            Need(name, "assumed", value, note=with_options(needed.why)) for name, value in needed.settings.items() if name == "crop"
        ]
        config = config.model_copy(update={"modality": needed.settings["modality"]})
        image = cropped(image, needed.settings.get("crop"))
    try:
        return Needs([*settings, *_of_image(image, config, given)], extra=extra)
    except UserError as fault:
        return Needs(settings, with_options(str(fault)), extra)


def _of_image(image: Image, config: Config, given: Mapping[str, Any]) -> Iterator[Need]:
    """What is left once scene and axes are settled. Raises `UserError` for an image that no modality takes."""
    from zsdeconv.modality import reading_row, resemblance, select

    acquisition = reading_row(config).acquisition
    image, hint = acquisition.arranged(image, config), resemblance(config, image)
    channels = _channels(image, config)
    modality, config, _ = select(config, [next(iter(channels.values()))])
    yield Need("modality", "given" if "modality" in given else "assumed", modality.name, note=with_options(hint))
    if len(channels) > 1:
        yield Need("channel", "given" if "channel" in given else "found", list(channels), "file")
    scan = _of_scan(next(iter(channels.values())), config, given) if "Z" in modality.spatial_axes else []
    for name, axis in (("pixel_um", "X"), ("z_um", "Z")):
        if axis in modality.spatial_axes:
            if axis == "Z" and scan:
                yield from scan
                continue
            note = "or, where the planes are times, --axes with T for Z" if axis == "Z" and axis not in image.spacing_um else ""
            yield _number(name, image.spacing_um.get(axis), image, given, note)
    yield from _of_optics(list(channels.values()), config, given)
    for name, value in acquisition.layout(config).items():
        yield _number(name, None, image, given, "") if name in given else Need(name, "assumed", value)


def _of_scan(image: Image, config: Config, given: Mapping[str, Any]) -> list[Need]:
    """Angle and step of a scan at an angle, which say how far its planes are apart; nothing where nobody speaks of one.

    Raises `ConfigError` for a scan that is half known.
    """
    from zsdeconv.image import scan_of

    known, source = config.input, image.metadata.get("stated_by", {}).get("scan", "file")
    scan = scan_of(image, known.scan_angle_deg, known.scan_step_um, known.scan_reverse)
    if scan is None:
        return []
    moved = f"objects move towards the {'last' if scan.reverse else 'first'} row from plane to plane"
    note = with_options(f"planes {scan.depth_um:.4g} um apart, {moved}" + ("" if scan.reverse else ", or else give scan_reverse"))
    values = {"scan_angle_deg": (scan.angle_deg, ""), "scan_step_um": (scan.step_um, note)}
    return [Need(name, "given" if name in given else "found", value, source, words) for name, (value, words) in values.items()]


def _of_axes(image: Image, given: Mapping[str, Any], undecided: str) -> Need:
    if undecided != "axes":
        return Need("axes", "given" if "axes" in given else "found", image.axes, "file")
    count = image.sizes["T"]
    choices = ["TYX (times)", "CYX (channels)", "PYX (raw frames of structured illumination)", "ZYX (depths, then --z-um UM too)"]
    return Need("axes", "missing", choices, note=f"nobody says what the {count} planes are, below they are times")


def _of_scene(scenes: Sequence[str], given: Mapping[str, Any], undecided: bool) -> list[Need]:
    if len(scenes) < 2:
        return []
    listed = [f"{number} {name}".strip() for number, name in enumerate(scenes, 1)]
    if "scene" in given:
        return [Need("scene", "given", given["scene"])]
    if undecided:
        return [Need("scene", "missing", listed, note="they differ in size; --scene all takes each in turn")]
    return [Need("scene", "assumed", listed[0], note=f"{len(listed)} are in the file; --scene all takes each in turn")]


def _channels(image: Image, config: Config) -> dict[str, Image]:
    """The channels that are restored, by name; the image itself where it has one."""
    from zsdeconv.channels import chosen_channels, has_channels, refuse_channel_settings

    if has_channels([image], config):
        return dict(chosen_channels(image, config))
    refuse_channel_settings(config)
    return {"": image}


def _of_optics(channels: Sequence[Image], config: Config, given: Mapping[str, Any]) -> Iterator[Need]:
    """NA, wavelengths, index and kind of microscope; a measured PSF, an OTF or a stored pattern in their place."""
    from zsdeconv.acquisition.point_spread import absent_optics
    from zsdeconv.channels import config_of_channels
    from zsdeconv.image import StageScan

    own = config_of_channels(config, len(channels)) if len(channels) > 1 or config.input.channel else [config]
    absent = {name for image, each in zip(channels, own, strict=True) for name in absent_optics(image, each)}
    stated = [image.metadata.get("optics", {}) for image in channels]
    instead = next((name for name in ("psf", "otf", "sim_parameters") if name in given), None)
    if instead is not None:
        yield Need(instead, "given", str(given[instead]), note="it takes the place of NA and wavelength")
        return
    yield _number("na", stated[0].get("na"), channels[0], given, "engraved on the objective" if "na" in absent else "")
    known = [each.get("wavelength_nm") for each in stated]
    if "wavelength_nm" in absent:
        note = "emission, one for each channel with commas between them" if len(channels) > 1 else "emission, of the filter"
        yield Need("wavelength_nm", "missing", known if len(known) > 1 else None, note=note)
    else:
        yield _number("wavelength_nm", known if len(known) > 1 else known[0], channels[0], given, "")
    word = channels[0].metadata.get("objective", {}).get("immersion") or "the lowest usual one above the NA"
    for name, default in (("immersion_ri", word), ("microscope", "widefield")):
        found = stated[0].get(name)
        yield Need(name, "assumed", default) if found is None and name not in given else _number(name, found, channels[0], given, "")
    sheet = str(given.get("microscope") or stated[0].get("microscope")) in LIGHT_SHEETS
    if sheet and config.input.scan is None and StageScan.stated_by(channels[0].metadata) is None:
        note = with_options("give it with scan_step_um where the stage moves at an angle to the sheet")
        yield Need("scan_angle_deg", "assumed", note=note)


def _number(name: str, found: Any, image: Image, given: Mapping[str, Any], note: str) -> Need:
    """A setting that an option, or else the file, may say."""
    if name in given:
        return Need(name, "given", list(given[name]) if isinstance(given[name], tuple) else given[name])
    if found is None:
        return Need(name, "missing", note=note)
    stated = image.metadata.get("stated_by", {})
    keys = {"pixel_um": ("x_um",), "wavelength_nm": ("wavelength_nm", "emission_nm")}.get(name, (name,))
    return Need(name, "found", found, next((stated[key] for key in keys if key in stated), "file"), note)


def _without_pixels(described: Description) -> Image:
    """An image of one pixel for each plane: which settings are needed depends on the other axes."""
    import numpy as np

    from zsdeconv.image import Image

    shape = [1 if axis in "YX" else n for axis, n in described.sizes.items()]
    return Image(np.zeros(shape, described.dtype), described.axes, described.spacing_um, described.offset, described.metadata)


def _filled(need: Need) -> str:
    """The placeholder of what is missing; of a list of channels those values that are known."""
    placeholder = PLACEHOLDERS.get(need.name, need.name.upper())
    if need.name != "wavelength_nm" or not isinstance(need.value, list):
        return placeholder
    return ",".join(placeholder if nm is None else f"{nm:g}" for nm in need.value)


def _listed(value: Any) -> str:
    return ",".join(map(_word, value)) if isinstance(value, tuple | list) else _word(value)


def _word(value: Any) -> str:
    return "none" if value is None else f"{value:.6g}" if isinstance(value, float) else str(value)
