"""`info`: what a file is, which settings `run` needs for it and whether it has them, and the system that the program runs on."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from zsdeconv.cli.console import show, show_json, show_rows
from zsdeconv.cli.options import Printed, Settings, argument, chosen, configuration, option, takes
from zsdeconv.errors import ConfigError, ImageError

if TYPE_CHECKING:
    from zsdeconv.io import Description

MADE = {
    "denoised": "look at it in Fiji or napari, counts above the camera offset",
    "deconvolved": "look at it in Fiji or napari; how far to trust it says the report beside it",
    "uncertainty": "standard error of each pixel of the deconvolved image",
    "reconstructed": "plain reconstruction of raw frames, with its noise",
}
"""Kinds of the images that this package writes, and what they are for."""
TEXTS = {
    "_report.html": ("report of a restoration", "open it in a browser"),
    "_config.yaml": ("settings of a restoration", "zsdeconv run INPUT -o DIR --config FILE repeats it"),
    "_log.jsonl": ("losses and times of a training", "a line of JSON for each interval"),
}
"""Results that are no images, by the ending of their names: what they are, and what to do with them."""

NOT_SHOWN = {"result", "of", "use", "settings", "command", "missing", "optics", "stated_by", "spacing_um", "axes", "scene", "channels"}
NOT_SHOWN |= {"provenance", "emission_nm"}
"""Of an image, what the settings say already, or what is for programs."""


@dataclass(frozen=True, kw_only=True)
class InfoTask(Printed):
    """What is shown."""

    system: Annotated[bool, option("show versions, devices and memory of this system; without a file")] = False


@takes(settings=chosen("input", "optics", "sim", "modality", without=("crop",)), task=InfoTask)
def info(
    file: Annotated[Path | None, argument("image, model (.zsd) or other result", "FILE")] = None, /, *, settings: Settings, task: InfoTask
) -> None:
    """Show what a file is, and each setting that `run` needs for it: found in the file, or the option to give.

    The last line is the command to type. Pixels are not read, so that files of any size are shown at once. Options are those that
    `run` would be given.

    Example: zsdeconv info cell.tif
    """
    if task.system:
        if file is not None:
            raise ConfigError(f"--system with {file}: it shows the system, not a file; leave out one of them")
        from zsdeconv.cli.system import system_facts

        facts = rows = system_facts()
    elif file is None:
        raise ConfigError("`zsdeconv info` needs FILE, which is missing; give it, or --system, or see `zsdeconv info --help`")
    elif made := _of_text(file):
        facts = rows = made
    elif _is_model(file):
        facts = _of_model(file)
        rows = _model_rows(facts)
    else:
        facts = _of_image(file, settings.given())
        rows = _image_rows(facts)
    if task.json:
        return show_json(facts)
    show_rows((name.replace("_", " "), text) for name, value in rows.items() if (text := _text(value)))
    if command := facts.get("command"):
        show(f"to restore it:\n{command}")
    return None


def _of_text(file: Path) -> dict[str, Any]:
    """What a result is that is no image; empty for other files. Raises `ImageError` for one that is not there."""
    known = next((words for ending, words in TEXTS.items() if file.name.endswith(ending)), None)
    if known is None:
        return {}
    if not file.is_file():
        raise ImageError(f"{file}: no such file; check the name")
    return {"file": str(file), "kind": known[0], "use": known[1]}


def _is_model(file: Path) -> bool:
    """By its name, or by its first bytes: a length, then the brace of a JSON object."""
    if file.suffix.lower() == ".zsd":
        return True
    try:
        with file.open("rb") as opened:
            return opened.read(9)[8:] == b"{"
    except OSError:
        return False


def _of_model(file: Path) -> dict[str, Any]:
    """The header of a model with the size of its network."""
    from zsdeconv.io.model_file import read_header

    header, shapes = read_header(file)
    count = sum(math.prod(shape) for name, shape in shapes.items() if ".network." in f".{name}")
    use = f"zsdeconv predict {file} IMAGE -o DIR"
    return {"file": str(file), "kind": "model", "parameters": count, "bytes": file.stat().st_size, "use": use, **header}


def _image_rows(facts: Mapping[str, Any]) -> dict[str, Any]:
    """What people ask about an image; of a result, what it is, of which input, and what to do with it."""
    if facts["result"]:
        return {name: facts[name] for name in ("file", "result", "of", "sizes", "dtype", "spacing_um", "use")}
    from zsdeconv.cli.needs import Need

    needs = {each["name"]: Need(**{key: value for key, value in each.items() if key != "option"}).words for each in facts["settings"]}
    shown = {name: value for name, value in facts.items() if name not in NOT_SHOWN}
    return {**shown, **needs, "problem": facts["problem"]}


def _model_rows(facts: Mapping[str, Any]) -> dict[str, Any]:
    """What people ask about a model; all else is in the JSON object."""
    channels = facts.get("channels")
    if isinstance(channels, list) and channels and all(isinstance(each, Mapping) for each in channels):
        own = [_model_rows(_section(each, "header")) for each in channels]
        names = [f"channel {each.get('name', '')}" for each in channels]
        each_of_them = {name: {key: row[key] for key in ("psf", "camera")} for name, row in zip(names, own, strict=True)}
        shared = {name: facts.get(name) for name in ("file", "kind", "modality", "rank", "parameters", "version")}
        return {**shared, **{name: own[0][name] for name in ("spacing_um", "settings")}, **each_of_them, "use": facts.get("use")}
    config, history = _section(facts, "config"), facts.get("history")
    last = history[-1] if isinstance(history, list) and history else {}
    training = {name: last.get(name) for name in ("phase", "step", "validation")} if isinstance(last, Mapping) else {}
    return {
        **{name: facts.get(name) for name in ("file", "kind", "modality", "rank", "parameters", "version", "spacing_um", "camera")},
        "psf": {name: _section(facts, "psf").get(name) for name in ("source", "fingerprint")},
        "of": _input_names(facts),
        "settings": {name: config.get(name) for name in ("preset", "scale", "seed")},
        "trained": training,
        "use": facts.get("use"),
    }


def _input_names(facts: Mapping[str, Any]) -> str:
    """The inputs of a training, as far as a model says them."""
    inputs = _section(facts, "provenance").get("inputs")
    names = inputs if isinstance(inputs, list) else []
    return ", ".join(str(each.get("name", "")) if isinstance(each, Mapping) else str(each) for each in names)


def _of_image(file: Path, given: Mapping[str, Any]) -> dict[str, Any]:
    """What an image says and where, which settings its restoration takes, what it lacks, and the command."""
    from zsdeconv.cli.needs import needs_of
    from zsdeconv.io import scene_names
    from zsdeconv.io.memory import restoration_bytes

    config, scenes = configuration(given, None), scene_names(file)
    image, undecided = _described(file, given, scenes)
    metadata, provenance = image.metadata, image.metadata.get("provenance", {})
    result = metadata.get("kind", "") if metadata.get("kind") in MADE else ""
    needs = needs_of(image, scenes, config, given, undecided)
    source = str(provenance.get("input", ""))
    return {
        "file": str(file),
        "kind": "image",
        "result": f"{result} image of zsdeconv" if result else "",
        "of": source,
        "use": f"{MADE[result]}; to restore again, `zsdeconv run` takes the raw image {source}".rstrip() if result else "",
        "format": metadata.get("format", ""),
        "scene": metadata.get("scene", ""),
        "scenes": [f"{number} {name}".strip() for number, name in enumerate(scenes, 1)] if len(scenes) > 1 else [],
        "axes": image.axes,
        "sizes": image.sizes,
        "dtype": str(image.dtype),
        "spacing_um": dict(image.spacing_um),
        "offset": image.offset,
        **{key: metadata.get(key) for key in ("channels", "colours", "emission_nm", "excitation_nm", "pinholes_au") if metadata.get(key)},
        "optics": dict(metadata.get("optics", {})),
        **{key: metadata[key] for key in ("objective", "acquired", "interval_s", "exposure_s", "stage_um") if key in metadata},
        "stated_by": _by_source(metadata.get("stated_by", {})),
        "missing": {} if result else needs.missing(),
        "memory_gb": round(restoration_bytes(image.sizes, image.dtype.itemsize) / 1e9, 2),
        "provenance": provenance,
        "settings": [] if result else [need.to_dict() for need in needs.settings],
        "problem": "" if result else needs.problem,
        "command": "" if result else needs.command(file, given),
    }


def _described(file: Path, given: Mapping[str, Any], scenes: list[str]) -> tuple[Description, str]:
    """The image without its pixels, and which of "scene" and "axes" has to be chosen; empty where neither has.

    Of raw frames, unnamed pages are frames, as `run` takes them; other unnamed pages are taken as times until somebody says what they are.
    """
    from zsdeconv.io import described

    axes, scene = given.get("axes"), given.get("scene")
    try:
        return described(file, axes=axes, scene=scene), ""
    except ImageError as fault:
        if scene is None and len(scenes) > 1:
            return described(file, axes=axes, scene="1"), "scene"
        if axes is not None:
            raise
        frames = str(given.get("modality", "")).startswith("sim")
        try:
            return described(file, axes="PYX" if frames else "TYX", scene=scene), "" if frames else "axes"
        except ImageError:
            raise fault from None


def _by_source(stated_by: Mapping[str, str]) -> dict[str, list[str]]:
    """What each part of a file states, the quantities by their names.

    >>> _by_source({"x_um": "OME-XML", "y_um": "OME-XML", "z_um": "header"})
    {'OME-XML': ['x_um', 'y_um'], 'header': ['z_um']}
    """
    sources: dict[str, list[str]] = {}
    for quantity, source in stated_by.items():
        sources.setdefault(source, []).append(quantity)
    return sources


def _section(facts: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    """A part of a header, empty when it is no mapping: the file may be of any origin."""
    value = facts.get(name)
    return value if isinstance(value, Mapping) else {}


def _text(value: Any) -> str:
    """A value for people; nothing for what is empty."""
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {_text(item)}" for key, item in value.items() if item not in (None, {}, []))
    if isinstance(value, list):
        return ", ".join(map(_text, value))
    if isinstance(value, float):
        return f"{value:.6g}"
    return "" if value is None else str(value)
