"""The recorded image that a result was made of: found by what the result says, read as it was then, recognised by its pixels."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from zsdeconv.errors import DataWarning, ImageError, UserError
from zsdeconv.image import Image, StageScan, cropped, deskewed, merged_channels

if TYPE_CHECKING:
    from zsdeconv.config import Config


@dataclass(frozen=True, eq=False)
class Recorded:
    """The recorded image (TCZYX, ADU with its offset; the mean of raw frames of structured illumination), or why there is none."""

    image: Image | None
    path: Path | None
    note: str = ""


def find_recorded(said: Mapping[str, Any], folder: Path, given: Path | None = None) -> Recorded:
    """The recorded image of a result.

    Parameters
    ----------
    said
        The provenance in the result.
    folder
        Where the result lies: the path of the input is stored relative to it.
    given
        The file or folder of the recorded image, if the user names it.

    Raises
    ------
    ImageError
        For a given image that cannot be read, or has no such channel or part; one that is found by itself is left out with a note.
    """
    if given is not None:
        if not given.exists():
            raise ImageError(f"{given}: no such file or folder; give `raw`, the image that was restored")
        image = _read(said, [given])
        unlike = _unlike(image, given, said)
        return Recorded(_as_shown(image, said), given, f"the recorded image {unlike}" if unlike else "")
    paths = next((paths for paths in _places(said, folder) if all(path.exists() for path in paths)), None)
    name = str(said.get("input", "")).partition(", scene ")[0]
    if paths is None:
        missing = f"the recorded image {name} is not where it was" if name else "the result does not say what it was made of"
        return Recorded(None, None, f"{missing}: shown without it; `raw` gives it")
    try:
        image = _read(said, paths)
        unlike = _unlike(image, paths[0], said)
        shown = None if unlike else _as_shown(image, said)
    except UserError as fault:
        return Recorded(None, None, f"the recorded image cannot be shown ({fault})")
    return (
        Recorded(None, None, f"the recorded image {unlike}: shown without it; `raw` gives another") if unlike else Recorded(shown, paths[0])
    )


def _places(said: Mapping[str, Any], folder: Path) -> Iterator[list[Path]]:
    """Where the input may be: where it was, seen from the result; beside the result or above it; in the working directory."""
    named = [str(name) for name in _listed(said, "movie") or filter(None, [said.get("path")])]
    if named:
        yield [folder / name for name in named]
    elif name := str(said.get("input", "")).partition(", scene ")[0]:
        named = [name]
    for near in (folder, folder.parent, Path()) if named else ():
        yield [near / Path(name).name for name in named]


def _read(said: Mapping[str, Any], paths: Sequence[Path]) -> Image:
    """The image as it was read for the restoration, with the crop of it."""
    from zsdeconv.io import images_in, read_movie
    from zsdeconv.modality import reading_row

    config = _settings(said)
    acquisition = reading_row(config).acquisition

    def read(path: Path) -> Image:
        return acquisition.read(path, config)

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DataWarning)  # they were given when it was restored
        if _listed(said, "movie"):
            files = images_in(paths[0]) if paths[0].is_dir() else paths
            image = read_movie(files, name=paths[0].name, read=read)
        else:
            image = read(paths[0])
        return cropped(image, str(said["crop"]) if said.get("crop") else None)


def _listed(said: Mapping[str, Any], name: str) -> list[Any]:
    """A list in the provenance; empty for anything else, as the file may be of any origin."""
    value = said.get(name)
    return value if isinstance(value, list) else []


def _settings(said: Mapping[str, Any]) -> Config:
    """The settings with which the input was read, and its scene. Raises `ImageError` where the result does not say them."""
    from pydantic import ValidationError

    from zsdeconv.config import Config, with_new_names

    try:
        config = Config.model_validate(with_new_names(dict(said.get("config") or {})))
    except (ValidationError, TypeError, ValueError, AttributeError) as fault:
        raise ImageError(
            f"settings of the result that this version does not know ({type(fault).__name__}): restore the image anew"
        ) from fault
    return config.model_copy(update={"input": config.input.model_copy(update={"scene": said.get("scene") and str(said["scene"])})})


def _unlike(image: Image, path: Path, said: Mapping[str, Any]) -> str:
    """That the image has other pixels than the input had, as far as the result says what those were; empty otherwise."""
    known = said.get("pixels")
    if known is None and "model" not in said:  # a run trains on what it restores
        entries = [each for each in _listed(said, "inputs") if isinstance(each, Mapping)]
        known = next((each.get("pixels") for each in entries if each.get("name") == said.get("input")), None)
    return f"{path.name} has other pixels than the image that was restored" if known and image.fingerprint() != known else ""


def _as_shown(image: Image, said: Mapping[str, Any]) -> Image:
    """The restored channels of it (TCZYX) as float32, with integers unwrapped; raw frames are averaged."""
    from zsdeconv.channels import chosen_channels, has_channels
    from zsdeconv.io.wrapped import unwrapped

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DataWarning)
        image = unwrapped(image)
    config = _settings(said)
    if has_channels([image], config):
        parts = [part for _, part in chosen_channels(image, config)]
        image = merged_channels(parts, image.metadata) if len(parts) > 1 else parts[0]
    frames = image.transposed("TCPZYX")
    return replace(frames, data=frames.data.mean(2, dtype=np.float32), axes="TCZYX")


def as_delivered(recorded: Recorded, result: Image) -> Recorded:
    """The recorded image deskewed, where the result is."""
    scan = StageScan.stated_by(result.metadata, "deskewed")
    if scan is None or recorded.image is None or "Y" not in recorded.image.spacing_um:
        return recorded
    return replace(recorded, image=deskewed(recorded.image, scan))


def offsets_of(said: Mapping[str, Any], channels: Sequence[str]) -> list[float] | None:
    """The camera offset of each channel, ADU, that the restoration took off; None where the result does not say it.

    >>> offsets_of({"camera": {"offset_adu": 100.0}, "offset_correction_adu": 0.5}, [""])
    [100.5]
    """
    own = said.get("channels")
    parts = [own.get(name) or {} for name in channels] if isinstance(own, Mapping) else [said] * len(channels)
    try:
        return [float(part["camera"]["offset_adu"]) + float(part.get("offset_correction_adu") or 0.0) for part in parts]
    except (KeyError, TypeError, ValueError):
        return None
