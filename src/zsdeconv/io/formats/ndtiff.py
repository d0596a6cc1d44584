"""NDTiff folders of Micro-Manager: an index says where each plane lies; every position (or tile of a grid) is an image.

The index holds one entry for each plane: its coordinates as JSON, the file, and the place and type of its pixels (NDTiff 2 and 3).
"""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from zsdeconv.errors import ImageError
from zsdeconv.io.formats.layout import kept, read_planes, reading
from zsdeconv.io.formats.ome_planes import neighbour
from zsdeconv.io.formats.tiff_structure import cut_short
from zsdeconv.io.metadata.statements import Statements
from zsdeconv.io.source import FileSource, Region, Source

_INDEX = "NDTiff.index"
_FULL = "Full resolution"
"""Folder of the full resolution where a data set has a pyramid."""
_REDUCED = "Downsampled_x"
"""First part of the names of the folders of a pyramid."""
_MARK = struct.pack("<I", 483729)
"""Law: the number behind the head of each file (NDTiff)."""
_ENTRY = struct.Struct("<8I")
"""Law: offset, width, height, type and compression of the pixels; offset, length and compression of the metadata (NDTiff 3)."""
_TYPES = {0: ("u1", 1), 1: ("<u2", 1), 2: ("u1", 3), 3: ("<u2", 1), 4: ("<u2", 1), 5: ("<u2", 1), 6: ("<u2", 1)}
"""Law: number types and samples of a pixel by their number (8, 16 bits, RGB; 10, 12, 14 and 11 bits in 16)."""
_SUMMARY_MARK = 2355492
"""Law: the number before the length of the summary in the head of a file (NDTiff)."""
_NAMED = {"time": "T", "channel": "C", "z": "Z"}
_PLACES = ("position", "row", "column")
"""Coordinates of the stage: planes that differ in them are different images."""


class _Plane(NamedTuple):
    """One entry of the index: coordinates within its image, file, and the numbers of `_ENTRY`."""

    at: dict[str, Any]
    file: str
    numbers: tuple[int, ...]


def is_ndtiff(path: Path, head: bytes) -> bool:
    """Whether a path is the folder of an NDTiff data set, or a file of one beside its index.

    >>> is_ndtiff(Path("missing"), b"")
    False
    """
    if path.is_dir():
        return _folder(path) is not None
    return head[8:12] == _MARK and (path.parent / _INDEX).is_file()


def ndtiff_scenes(path: Path) -> Sequence[Source]:
    """The images of an NDTiff data set, one for each position or tile that was recorded.

    Coordinates other than time, channel and z are dimensions without a name. Raises `ImageError` for damaged folders, for planes of
    several sizes, and, when an image is read, for planes that were not recorded.
    """
    folder = (_folder(path) or path) if path.is_dir() else path.parent
    if folder.name.startswith(_REDUCED):
        raise ImageError(f"{path.name}: a reduced copy of a data set, its pixel sizes are those of the whole; give the folder above it")
    with reading(path):
        groups = _groups((folder / _INDEX).read_bytes())
    if not groups:
        raise ImageError(f"{path.name}: its {_INDEX} lists no plane; record the data anew")
    return [_source(path, folder, name, planes) for name, planes in groups.items()]


def _folder(path: Path) -> Path | None:
    return next((folder for folder in (path, path / _FULL) if (folder / _INDEX).is_file()), None)


def _groups(index: bytes) -> dict[str, list[_Plane]]:
    """The planes of each place of the stage, by the name of the place; of a plane that was recorded again the last one counts."""
    found: dict[str, dict[str, _Plane]] = {}
    offset = 0
    while offset + 4 <= len(index):
        axes, offset = _text(index, offset)
        if not axes:
            break  # the index was not closed
        file, offset = _text(index, offset)
        numbers, offset = _ENTRY.unpack_from(index, offset), offset + _ENTRY.size
        at = {str(key).lower(): value for key, value in json.loads(axes).items()}
        place = {key: at.pop(key) for key in _PLACES if key in at}
        name = str(place["position"]) if list(place) == ["position"] else ", ".join(f"{key} {value}" for key, value in place.items())
        found.setdefault(name, {})[json.dumps(at, sort_keys=True)] = _Plane(at, file, numbers)
    return {name: list(planes.values()) for name, planes in found.items()}


def _text(index: bytes, offset: int) -> tuple[str, int]:
    (length,) = struct.unpack_from("<I", index, offset)
    if offset + 4 + length > len(index):
        raise ValueError("the index ends within an entry")
    return index[offset + 4 : offset + 4 + length].decode(), offset + 4 + length


def _source(path: Path, folder: Path, name: str, planes: list[_Plane]) -> Source:
    kinds = {(*plane.numbers[1:4], plane.numbers[4]) for plane in planes}
    width, height, kind, compression = kinds.pop()
    if kinds or kind not in _TYPES or compression:
        raise ImageError(f"{path.name}: planes of several sizes, compressed or of type {kind}, which are not read; export it as OME-TIFF")
    dtype, samples = np.dtype(_TYPES[kind][0]), _TYPES[kind][1]
    numbers = {key: _in_order([plane.at[key] for plane in planes if key in plane.at]) for key in sorted({k for p in planes for k in p.at})}
    order = sorted(numbers, key=lambda key: "TCZ".find(_NAMED.get(key, "?")))
    sizes = {_NAMED.get(key, key): len(numbers[key]) for key in order if len(numbers[key]) > 1 or key in _NAMED}
    letters = {axis: axis if len(axis) == 1 and axis.isupper() else "QRUVW"[n % 5] for n, axis in enumerate(sizes)}
    sizes = {letters[axis]: n for axis, n in sizes.items()} | {"Y": height, "X": width} | ({"S": samples} if samples > 1 else {})
    keys = {letters[_NAMED.get(key, key)]: key for key in order if _NAMED.get(key, key) in letters}
    places = {
        tuple(sorted((axis, numbers[key].index(plane.at[key])) for axis, key in keys.items() if key in plane.at)): plane for plane in planes
    }
    axes, shape = kept(sizes)

    def load(region: Region) -> np.ndarray:
        def one(at: dict[str, int]) -> np.ndarray:
            plane = places.get(tuple(sorted(at.items())))
            if plane is None:
                which = ", ".join(f"{keys[axis]} {numbers[keys[axis]][number]}" for axis, number in at.items())
                raise cut_short(path, f"the plane of {which} was not recorded")
            return _pixels(path, folder, plane, dtype, samples)

        return read_planes(path, sizes, region, dtype, one)

    said = _statements(path, folder, planes, numbers)
    return FileSource("ndtiff", axes, shape, dtype, load, said, scene=name, coloured=samples > 1)


def _in_order(values: list[Any]) -> list[Any]:
    """The values that occur: numbers by size, names in the order in which they were recorded."""
    unique = list(dict.fromkeys(values))
    return sorted(unique) if all(isinstance(value, int | float) for value in unique) else unique


def _pixels(path: Path, folder: Path, plane: _Plane, dtype: np.dtype, samples: int) -> np.ndarray:
    offset, width, height = plane.numbers[:3]
    with reading(path):
        pixels = np.fromfile(neighbour(folder / _INDEX, plane.file), dtype, width * height * samples, offset=offset)
    if pixels.size < width * height * samples:
        raise cut_short(path, f"{plane.file} ends within a plane")
    return pixels


def _statements(path: Path, folder: Path, planes: list[_Plane], numbers: Mapping[str, list[Any]]) -> Statements:
    """What the summary and the metadata of the first plane of each channel say."""
    said = Statements()
    first = planes[0]
    own = _metadata(path, folder, first)
    summary = _summary(neighbour(folder / _INDEX, first.file))
    channels = []
    for value in numbers.get("channel", []):
        plane = next(plane for plane in planes if plane.at.get("channel") == value)
        channels.append(value if isinstance(value, str) else str(_metadata(path, folder, plane).get("Channel") or ""))
    size = own.get("PixelSizeUm") or own.get("PixelSize_um") or summary.get("PixelSize_um")
    exposure_ms = _number(own.get("Exposure"))
    said.add("NDTiff", weight="default", x_um=size, y_um=size)
    said.add(
        "NDTiff",
        z_um=_step(path, folder, planes) or _number(summary.get("z-step_um")),
        channels=channels if any(channels) else None,
        exposure_s=[exposure_ms / 1e3] * max(len(channels), 1) if exposure_ms else None,
        acquired=str(summary.get("DateAndTime", "")).replace("/", "-").replace(" ", "T"),
    )
    return said


def _step(path: Path, folder: Path, planes: list[_Plane]) -> float | None:
    """The distance of the first two depths, as their planes tell it."""
    depths = sorted((plane for plane in planes if isinstance(plane.at.get("z"), int)), key=lambda plane: plane.at["z"])
    second = next((plane for plane in depths if plane.at["z"] == depths[0].at["z"] + 1), None)
    if second is None:
        return None
    heights = [_number(_metadata(path, folder, plane).get("ZPosition_um_Intended")) for plane in (depths[0], second)]
    return None if heights[0] is None or heights[1] is None else abs(heights[1] - heights[0]) or None


def _metadata(path: Path, folder: Path, plane: _Plane) -> dict[str, Any]:
    file = neighbour(folder / _INDEX, plane.file)
    if not file.is_file():
        raise cut_short(path, f"{plane.file} is missing")
    with file.open("rb") as handle:
        handle.seek(plane.numbers[5])
        return _object(handle.read(plane.numbers[6]))


def _summary(file: Path) -> dict[str, Any]:
    """The summary in the head of a file, behind its mark."""
    with file.open("rb") as handle:
        head = handle.read(28)
        marks = [offset for offset in (16, 20) if head[offset : offset + 4] == struct.pack("<I", _SUMMARY_MARK)]
        if not marks:
            return {}
        handle.seek(marks[0] + 4)
        (length,) = struct.unpack("<I", handle.read(4))
        return _object(handle.read(length))


def _object(text: bytes) -> dict[str, Any]:
    try:
        found = json.loads(text.decode("utf-8", "replace"))
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _number(value: Any) -> float | None:
    try:
        return float(value)
    except (TypeError, ValueError):
        return None
