"""`info`: what a file says about itself, and which numbers a restoration still needs."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

from zsdeconv.cli.console import show_json, show_rows
from zsdeconv.cli.options import Printed, Settings, argument, chosen, takes
from zsdeconv.cli.wording import flag_of

ORIGIN = ("input", "frames", "scene", "crop", "modality", "seed", "version")
"""Of the provenance of a result, what is shown; all of it is in the JSON object."""
NEEDED = ("pixel_um", "na", "wavelength_nm")
"""Numbers that a restoration cannot do without."""


@takes(settings=chosen("axes", "scene"), task=Printed)
def info(file: Annotated[Path, argument("image or model (.zsd)", "FILE")], /, *, settings: Settings, task: Printed) -> None:
    """Show axes, sizes, pixel size and optics of an image, where each stands, and what is missing; or the contents of a model file.

    Pixels are not read, so that files of any size are shown at once.

    Example: zsdeconv info cell.tif
    """
    model = _is_model(file)
    facts = _of_model(file) if model else _of_image(file, settings.given())
    if task.json:
        show_json(facts)
    else:
        rows = _model_rows(facts) if model else _image_rows(facts)
        show_rows((name.replace("_", " "), text) for name, value in rows.items() if (text := _text(value)))


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
    return {"file": str(file), "kind": "model", "parameters": count, "bytes": file.stat().st_size, **header}


def _image_rows(facts: Mapping[str, Any]) -> dict[str, Any]:
    """What people ask about an image; of a result's provenance, where it came from."""
    provenance = _section(facts, "provenance")
    return {**facts, "provenance": {name: provenance[name] for name in ORIGIN if name in provenance}}


def _model_rows(facts: Mapping[str, Any]) -> dict[str, Any]:
    """What people ask about a model; all else is in the JSON object."""
    channels = facts.get("channels")
    if isinstance(channels, list) and channels and all(isinstance(each, Mapping) for each in channels):
        own = [_model_rows(_section(each, "header")) for each in channels]
        names = [f"channel {each.get('name', '')}" for each in channels]
        each_of_them = {name: {key: row[key] for key in ("psf", "camera")} for name, row in zip(names, own, strict=True)}
        shared = {name: facts.get(name) for name in ("file", "kind", "modality", "rank", "parameters", "version")}
        return {**shared, **{name: own[0][name] for name in ("spacing_um", "settings")}, **each_of_them}
    config, history = _section(facts, "config"), facts.get("history")
    last = history[-1] if isinstance(history, list) and history else {}
    training = {name: last.get(name) for name in ("phase", "step", "validation")} if isinstance(last, Mapping) else {}
    return {
        **{name: facts.get(name) for name in ("file", "kind", "modality", "rank", "parameters", "version", "spacing_um", "camera")},
        "psf": {name: _section(facts, "psf").get(name) for name in ("source", "fingerprint")},
        "settings": {name: config.get(name) for name in ("preset", "scale", "seed")},
        "trained": training,
    }


def _of_image(file: Path, given: Mapping[str, Any]) -> dict[str, Any]:
    """What an image says and where, what it lacks, and what its restoration would take."""
    from zsdeconv.io import described, scene_names
    from zsdeconv.io.memory import restoration_bytes

    image, scenes = described(file, axes=given.get("axes"), scene=given.get("scene")), scene_names(file)
    metadata, optics = image.metadata, dict(image.metadata.get("optics", {}))
    needed = (*NEEDED, "z_um") if image.sizes.get("Z", 1) > 1 else NEEDED
    known = {"pixel_um": "X", "z_um": "Z"}
    found = optics | {name: image.spacing_um[axis] for name, axis in known.items() if axis in image.spacing_um}
    return {
        "file": str(file),
        "kind": "image",
        "format": metadata.get("format", ""),
        "scene": metadata.get("scene", ""),
        "scenes": [f"{number} {name}".strip() for number, name in enumerate(scenes, 1)] if len(scenes) > 1 else [],
        "axes": image.axes,
        "sizes": image.sizes,
        "dtype": str(image.dtype),
        "spacing_um": dict(image.spacing_um),
        "offset": image.offset,
        **{key: metadata.get(key) for key in ("channels", "colours", "emission_nm", "excitation_nm", "pinholes_au") if metadata.get(key)},
        "optics": optics,
        **{key: metadata[key] for key in ("objective", "acquired", "interval_s", "exposure_s", "stage_um") if key in metadata},
        "stated_by": _by_source(metadata.get("stated_by", {})),
        "missing": {name: flag_of(name) for name in needed if name not in found},
        "memory_gb": round(restoration_bytes(image.sizes, image.dtype.itemsize) / 1e9, 2),
        "provenance": metadata.get("provenance", {}),
    }


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
