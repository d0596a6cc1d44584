"""NumPy's own files: an array without a word about its axes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from zsdeconv.errors import ImageError
from zsdeconv.io.formats.layout import reading
from zsdeconv.io.source import FileSource, Region, Source


def is_npy(path: Path, head: bytes) -> bool:
    r"""Whether a file is an array of NumPy.

    >>> is_npy(Path("a.npy"), b"\x93NUMPY\x01\0")
    True
    """
    return head.startswith(b"\x93NUMPY")


def npy_scenes(path: Path) -> Sequence[Source]:
    """The array in a file, with its last two axes as Y and X and the others unnamed; bytes with 3 or 4 at the end are a picture in colours.

    Raises `ImageError` for objects (which could run code), tables and arrays of one dimension.
    """
    data = _mapped(path)
    if data.ndim < 2 or data.dtype.names:
        kind = "a table" if data.dtype.names else f"{data.ndim} dimension{'s' * (data.ndim != 1)}"
        raise ImageError(f"{path.name}: {kind}, an image has 2 or more; save the array of the pixels")
    coloured = data.ndim == len("YXS") and data.dtype == np.uint8 and data.shape[-1] in (3, 4)
    axes = "YXS" if coloured else unnamed_axes(data.ndim)

    def load(region: Region) -> np.ndarray:
        with reading(path):
            return np.array(_mapped(path)[region])

    return [FileSource("npy", axes, data.shape, data.dtype, load, coloured=coloured)]


def unnamed_axes(rank: int) -> str:
    """The axes of an array that names none: the last two are Y and X.

    >>> unnamed_axes(4)
    'QQYX'
    """
    return "Q" * (rank - 2) + "YX"


def _mapped(path: Path) -> np.ndarray:
    with reading(path):
        return np.load(path, mmap_mode="r", allow_pickle=False)
