"""`info`: what a file says about itself, and which numbers a restoration still needs."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

from zsdeconv.cli.console import show_json, show_rows
from zsdeconv.cli.options import Printed, Settings, argument, chosen, takes
from zsdeconv.cli.wording import flag_of

NEEDED = ("pixel_um", "na", "wavelength_nm")
"""Numbers that a restoration cannot do without."""


@takes(settings=chosen("axes"), task=Printed)
def info(file: Annotated[Path, argument("image or model (.zsd)", "FILE")], /, *, settings: Settings, task: Printed) -> None:
    """Show axes, sizes, pixel size and optics of an image and what is missing; or the contents of a model file.

    Example: zsdeconv info cell.tif
    """
    model = _is_model(file)
    facts = _of_model(file) if model else _of_image(file, settings.given().get("axes"))
    if task.json:
        show_json(facts)
    else:
        rows = _model_rows(facts) if model else facts
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
    count = sum(math.prod(shape) for name, shape in shapes.items() if name.startswith("network."))
    return {"file": str(file), "kind": "model", "parameters": count, "bytes": file.stat().st_size, **header}


def _model_rows(facts: dict[str, Any]) -> dict[str, Any]:
    """What people ask about a model; all else is in the JSON object."""
    config, history = _section(facts, "config"), facts.get("history")
    last = history[-1] if isinstance(history, list) and history else {}
    training = {name: last.get(name) for name in ("phase", "step", "validation")} if isinstance(last, Mapping) else {}
    return {
        **{name: facts.get(name) for name in ("file", "kind", "modality", "rank", "parameters", "version", "spacing_um", "camera")},
        "psf": {name: _section(facts, "psf").get(name) for name in ("source", "fingerprint")},
        "settings": {name: config.get(name) for name in ("preset", "scale", "seed")},
        "trained": training,
    }


def _of_image(file: Path, axes: str | None) -> dict[str, Any]:
    """What an image says, what it lacks, and what its restoration would take."""
    from zsdeconv.io import read
    from zsdeconv.io.memory import restoration_bytes

    image = read(file, axes=axes)
    optics = dict(image.metadata.get("optics", {}))
    found = optics | ({"pixel_um": image.spacing_um["X"]} if "X" in image.spacing_um else {})
    return {
        "file": str(file),
        "kind": "image",
        "axes": image.axes,
        "sizes": image.sizes,
        "dtype": str(image.data.dtype),
        "range": [image.data.min().item(), image.data.max().item()],
        "spacing_um": dict(image.spacing_um),
        "offset": image.offset,
        "channels": list(image.metadata.get("channels", [])),
        "optics": optics,
        "missing": {name: flag_of(name) for name in NEEDED if name not in found},
        "memory_gb": round(restoration_bytes(image.sizes, image.data.itemsize) / 1e9, 2),
        "provenance": image.metadata.get("provenance", {}),
    }


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
