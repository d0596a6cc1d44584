"""HDF5: datasets that could be images, by their paths; Imaris files, which are HDF5 too, by their own layout.

Links to other files are not followed: a file must not make a program read other files of its user.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from zsdeconv.errors import ImageError
from zsdeconv.io.formats.imaris import imaris_scenes, is_imaris
from zsdeconv.io.formats.layout import reading, tell_of
from zsdeconv.io.formats.npy import unnamed_axes
from zsdeconv.io.metadata.statements import Statements
from zsdeconv.io.source import FileSource, Region, Source

if TYPE_CHECKING:
    import h5py

_SIGNATURE = b"\x89HDF\r\n\x1a\n"
_MIN_SIDE = 8
"""Smallest side of an image. Chosen: as for a restoration (`io.checks`); smaller datasets are tables."""
_MAX_AXES = 6
"""Largest number of axes of an image. Chosen: time, channel, three of space, and one without a name."""
_BIG_DATA_VIEWER = re.compile(r"/t\d{5}/s\d\d/(\d+)/cells")
"""Paths in files of the BigDataViewer, by level of the pyramid; their numbers of 16 bits have no sign, whatever HDF5 says."""


def is_hdf5(path: Path, head: bytes) -> bool:
    r"""Whether a file is HDF5.

    >>> is_hdf5(Path("a.h5"), b"\x89HDF\r\n\x1a\n")
    True
    """
    return head.startswith(_SIGNATURE)


def hdf5_scenes(path: Path) -> Sequence[Source]:
    """The datasets of numbers with two axes or more, by their paths in the file; the images of an Imaris file.

    Axes are named by ilastik's `axistags` or by the labels of the dimensions, else the last two are Y and X. Warns
    (`DataWarning`) of pixel sizes whose order is another one than usual. Raises `ImageError` for damaged files and for datasets that lie in
    other files.
    """
    import h5py

    with reading(path), h5py.File(path, "r") as file:
        if is_imaris(file):
            return imaris_scenes(path, file)
        found: list[h5py.Dataset] = []
        file.visititems(lambda _, node: found.append(node) if isinstance(node, h5py.Dataset) and _is_image(node) else None)
        sources = [_source(path, node) for node in found]
        turned = {str(node.name).lstrip("/"): ", ".join(f"{um:g}" for um in _stated_um(node)) for node in found if _backwards(node)}
    what = f"element_size_um ({' or '.join(dict.fromkeys(turned.values()))}) is taken as X, Y and Z, not as Z, Y and X"
    tell_of(path, turned, what, "give pixel_um and z_um where that is wrong")
    return sources


def lies_elsewhere(node: h5py.Dataset) -> bool:
    """Whether the values of a dataset lie in other files."""
    return bool(node.is_virtual or node.external)


def _is_image(node: h5py.Dataset) -> bool:
    level = _BIG_DATA_VIEWER.fullmatch(str(node.name))
    sides = sorted(node.shape or ())[-2:]
    reduced = level is not None and int(level[1]) > 0
    return node.dtype.kind in "uif" and 2 <= len(node.shape or ()) <= _MAX_AXES and min(sides) >= _MIN_SIDE and not reduced


def _source(path: Path, node: h5py.Dataset) -> Source:
    name, stored = str(node.name), tuple(int(n) for n in node.shape)
    sizes_um = _lengths(node)
    axes = _axes(node, len(sizes_um))
    left = [number for number, n in enumerate(stored) if n != 1 or axes[number] in "YX"]
    dtype = np.dtype(np.uint16) if _BIG_DATA_VIEWER.fullmatch(name) and node.dtype == np.int16 else np.dtype(node.dtype)
    said = Statements()
    sizes: dict[str, Any] = {
        f"{axis.lower()}_um": um for axis, um in zip("ZYX"[-len(sizes_um) :] if sizes_um else "", sizes_um, strict=True)
    }
    said.add("HDF5", **sizes)
    elsewhere = lies_elsewhere(node)

    def load(region: Region) -> np.ndarray:
        import h5py

        if elsewhere:
            raise ImageError(f"{path.name}: the values of {name} lie in other files, which are not read; copy them into one file")
        part = dict(zip(left, region, strict=True))
        with reading(path), h5py.File(path, "r") as file:
            data = _dataset(file, name)[tuple(part.get(number, slice(0, 1)) for number in range(len(stored)))]
        return np.asarray(data).astype(dtype, copy=False).reshape([one.stop - one.start for one in region])

    kept_axes, shape = "".join(axes[number] for number in left), tuple(stored[number] for number in left)
    return FileSource("hdf5", kept_axes, shape, dtype, load, said, scene=name.lstrip("/"))


def _dataset(file: h5py.File, name: str) -> Any:
    return file[name]


def _axes(node: h5py.Dataset, lengths: int) -> str:
    """The axes of a dataset: those that it names; Z, Y and X where it has three of them and three lengths."""
    tags = node.attrs.get("axistags")
    shape = tuple(int(n) for n in node.shape)
    rank = len(shape)
    letters: list[str] = []
    try:
        letters = [str(axis["key"]) for axis in json.loads(tags)["axes"]] if tags is not None else []
    except (ValueError, KeyError, TypeError):
        letters = []
    letters = letters or [str(dim.label) for dim in node.dims]
    named = [letter.upper() if letter.upper() in ("T", "C", "Z", "Y", "X") else "Q" for letter in letters]
    if len(named) == rank and {"Y", "X"} <= set(named):
        return "".join(named)
    if rank == lengths == len("ZYX"):
        return "ZYX"
    long = [number for number, n in enumerate(shape) if n > 1]  # of these the last two are Y and X
    plain = iter(unnamed_axes(len(long)))
    return "".join(next(plain) if number in long else "Q" for number in range(rank))


def _lengths(node: h5py.Dataset) -> list[float]:
    """The attribute `element_size_um` as sizes along Z, Y and X (or Y and X): in this order by Fiji's HDF5 plugin and others, backwards
    where `_backwards`.
    """
    stated = _stated_um(node)
    return stated[::-1] if _backwards(node) else stated


def _stated_um(node: h5py.Dataset) -> list[float]:
    value = np.ravel(np.asarray(node.attrs.get("element_size_um", ())))
    return [float(um) for um in value] if value.dtype.kind in "uif" and len(value) in (2, 3) else []


def _backwards(node: h5py.Dataset) -> bool:
    """Whether the three sizes of a dataset are those along X, Y and Z, as writers of Imaris files have them.

    X and Y are the two that are equal, by which they are told; else a dataset in a group of Imaris (with `ImageSizeX`) is one of theirs.
    """
    stated = _stated_um(node)
    if len(stated) != len("XYZ"):
        return False
    first, second, third = stated
    if math.isclose(first, second) != math.isclose(second, third):
        return math.isclose(first, second)
    return "ImageSizeX" in node.parent.attrs and first != third
