"""OME-Zarr 0.1 to 0.5: images, the series of a converted file, and the fields of a plate, at full resolution and in memory."""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from zsdeconv.errors import DataWarning, ImageError
from zsdeconv.image.units import s_per, um_per
from zsdeconv.io.formats.layout import reading
from zsdeconv.io.formats.tiff_structure import cut_short
from zsdeconv.io.metadata.annotation import ANNOTATION_NAMESPACE
from zsdeconv.io.metadata.statements import Statements, restated
from zsdeconv.io.source import FileSource, Region, Source

if TYPE_CHECKING:
    import zarr

_MARKS = ("zarr.json", ".zattrs", ".zgroup", ".zarray")
_READABLE = ("0.1", "0.2", "0.3", "0.4", "0.5")
"""Versions whose pixel sizes are understood; newer ones have transformations of other kinds."""
_FIRST_AXES = "tczyx"
"""Law: the axes of an image that names none (OME-Zarr 0.1 and 0.2)."""


def is_zarr(path: Path, head: bytes) -> bool:
    """Whether a folder is a group or an array of Zarr.

    >>> is_zarr(Path("missing"), b"")
    False
    """
    return path.is_dir() and any((path / mark).is_file() for mark in _MARKS)


def zarr_scenes(path: Path) -> Sequence[Source]:
    """The images of an OME-Zarr folder: one for each multiscale, of series and of plates all.

    Raises `ImageError` for folders without the metadata of OME-Zarr and for damaged ones. Chunks that are not in the folder are told
    (`DataWarning`) when the image is read.
    """
    import zarr

    with reading(path):
        node = zarr.open(str(path), mode="r")
        if isinstance(node, zarr.Array):
            raise ImageError(f"{path.name}: an array of Zarr without the metadata of OME-Zarr; give the folder of the image above it")
        found = [source for name, group in _images(path, node) for source in _multiscales(path, name, group)]
    if not found:
        raise ImageError(f"{path.name}: it holds no image of OME-Zarr (no `multiscales`); give the folder of an image")
    return found


def _ome(group: zarr.Group) -> dict[str, Any]:
    """The metadata of OME-Zarr among the attributes of a group."""
    attributes = dict(group.attrs)
    inner = attributes.get("ome")
    return {**attributes, **inner} if isinstance(inner, Mapping) else attributes


def _images(path: Path, group: zarr.Group) -> Iterator[tuple[str, zarr.Group]]:
    """The groups that are images, by their names: the group itself, the fields of a plate, or the series of a converted file."""
    described = _ome(group)
    plate = described.get("plate")
    if "multiscales" in described:
        yield "", group
    elif isinstance(plate, Mapping):
        for place in (str(well.get("path", "")) for well in plate.get("wells", [])):
            well = _member(path, group, place)
            images = (_ome(well).get("well") or {}).get("images", []) if well is not None else []
            for name in (f"{place}/{image.get('path', '')}" for image in images):
                field = _member(path, group, name)
                if field is not None:
                    yield name, field
    elif "bioformats2raw.layout" in described:
        listed = _member(path, group, "OME")
        names = (_ome(listed).get("series") if listed is not None else None) or sorted(
            (k for k in group.group_keys() if k.isdecimal()), key=int
        )
        for name in map(str, names):
            series = _member(path, group, name)
            if series is not None:
                yield name, series


def _member(path: Path, group: zarr.Group, name: str) -> zarr.Group | None:
    """The group of this name within another; None where there is none. Raises `ImageError` for names that lead out of the folder."""
    import zarr

    _refuse_outside(path, name)
    found = group.get(name)
    return found if isinstance(found, zarr.Group) else None


def _refuse_outside(path: Path, name: str) -> None:
    if not name or name.startswith(("/", "\\")) or ".." in name.replace("\\", "/").split("/") or ":" in name:
        raise ImageError(f"{path.name}: it names a part outside its folder ({name!r}), which is not read; copy all parts into one folder")


def _multiscales(path: Path, name: str, group: zarr.Group) -> Iterator[Source]:
    described = _ome(group)
    version = str(described.get("version") or next((one["version"] for one in described.get("multiscales") or [] if "version" in one), ""))
    if version and not version.startswith(_READABLE):
        readable = f"{', '.join(_READABLE[:-1])} and {_READABLE[-1]}"
        raise ImageError(f"{path.name}: OME-Zarr of version {version}, readable are {readable}; convert it to version 0.5")
    every = [one for one in described.get("multiscales") or [] if isinstance(one, Mapping) and one.get("datasets")]
    for number, one in enumerate(every):
        title = name or str(one.get("name") or "")
        yield _source(path, group, one, described, title or (str(number) if len(every) > 1 else ""))


def _source(path: Path, group: zarr.Group, image: Mapping[str, Any], described: Mapping[str, Any], title: str) -> Source:
    import zarr

    place = str(image["datasets"][0].get("path", ""))
    _refuse_outside(path, place)
    array = group.get(place)
    if not isinstance(array, zarr.Array):
        raise cut_short(path, f"its array {group.path}/{place} is missing".replace(" /", " "))
    named = _named_axes(image, array.ndim)
    letters = [str(axis.get("name", "")).upper() for axis in named]
    letters = [letter if letter in ("T", "C", "Z", "Y", "X") and letters.count(letter) == 1 else "Q" for letter in letters]
    noted = described.get(ANNOTATION_NAMESPACE)
    annotation = dict(noted) if isinstance(noted, Mapping) else {}
    if len(str(annotation.get("axes", ""))) == array.ndim:  # ours: P has no type in OME-Zarr
        letters = list(annotation["axes"])
    left = [number for number, n in enumerate(array.shape) if n != 1 or letters[number] in "YX"]
    inside = f"{group.path}/{place}".lstrip("/")

    def load(region: Region) -> np.ndarray:
        part = dict(zip(left, region, strict=True))
        with reading(path):
            again = zarr.open_array(str(path), path=inside, mode="r")
            pixels = np.asarray(again[tuple(part.get(number, slice(0, 1)) for number in range(again.ndim))])
            lost = again.nchunks - again.nchunks_initialized
        if lost == again.nchunks:
            raise cut_short(path, f"none of its {lost} chunks is in the folder")
        if lost > 0:
            _tell_of_lost(path, lost, again)
        return pixels.reshape([one.stop - one.start for one in region])

    said = _statements(image, described, named, letters)
    axes, shape = "".join(letters[number] for number in left), tuple(int(array.shape[number]) for number in left)
    return FileSource("zarr", axes, shape, np.dtype(array.dtype), load, said, scene=title, annotation=annotation)


def _tell_of_lost(path: Path, lost: int, array: Any) -> None:
    """Chunks that are not stored hold the fill value; programs leave out empty ones, and an incomplete copy lacks others."""
    warnings.warn(
        f"{path.name}: {lost} of {array.nchunks} chunks are not in the folder, their pixels are read as {array.fill_value}; "
        "copy the folder again unless they are meant to be empty",
        DataWarning,
        stacklevel=4,
    )


def _named_axes(image: Mapping[str, Any], rank: int) -> list[dict[str, Any]]:
    """The axes as mappings, whichever version of the metadata names them."""
    axes = [dict(axis) if isinstance(axis, Mapping) else {"name": str(axis)} for axis in image.get("axes") or []]
    if not axes and rank == len(_FIRST_AXES):
        axes = [{"name": letter} for letter in _FIRST_AXES]
    return axes if len(axes) == rank else [{}] * rank


def _statements(image: Mapping[str, Any], described: Mapping[str, Any], named: list[dict[str, Any]], letters: list[str]) -> Statements:
    said = Statements()
    scales = [_scale(one, len(named)) for one in (image["datasets"][0], image)]
    for number, (axis, letter) in enumerate(zip(named, letters, strict=True)):
        size, unit = math.prod(scale[number] for scale in scales), str(axis.get("unit") or "")
        um, seconds = um_per(unit), s_per(unit)
        if letter in ("Z", "Y", "X") and um is not None:
            said.add("OME-Zarr", weight="default", **{f"{letter.lower()}_um": float(f"{um * size:.12g}")})
        if letter == "T" and seconds is not None and size != 1:
            said.add("OME-Zarr", interval_s=seconds * size)
    omero = described.get("omero")
    channels = [one for one in (omero.get("channels") or []) if isinstance(one, Mapping)] if isinstance(omero, Mapping) else []
    names, colours = (
        ["" if one.get("label") is None else str(one["label"]) for one in channels],
        [_colour(one.get("color")) for one in channels],
    )
    known = described.get(ANNOTATION_NAMESPACE)
    noted = known.get("metadata") if isinstance(known, Mapping) else None
    said.add(
        "OME-Zarr",
        image_name=image.get("name"),
        channels=names if any(names) else None,
        colours=colours if any(colours) else None,
    )
    said.add("zsdeconv", **restated(noted if isinstance(noted, Mapping) else {}))
    return said


def _scale(node: Mapping[str, Any], rank: int) -> list[float]:
    """The scale among the transformations of a dataset, or of all datasets; 1 where there is none."""
    for transformation in node.get("coordinateTransformations") or []:
        scale = transformation.get("scale") if isinstance(transformation, Mapping) else None
        if isinstance(scale, Sequence) and len(scale) == rank:
            return [float(step) for step in scale]
    return [1.0] * rank


def _colour(text: Any) -> tuple[int, int, int] | None:
    digits = str(text or "").lstrip("#")[:6]
    try:
        return (int(digits[:2], 16), int(digits[2:4], 16), int(digits[4:6], 16))
    except ValueError:
        return None
