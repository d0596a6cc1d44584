"""Several files as one image: a movie with a file for each frame, in natural order."""

from __future__ import annotations

import os
import re
import warnings
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from zsdeconv.errors import DataWarning, ImageError
from zsdeconv.image import Image
from zsdeconv.io.memory import refuse_larger_than_memory
from zsdeconv.io.readers import reader_of

ENDINGS = (".tif", ".tiff", ".mrc", ".dv", ".lsm", ".stk")
"""Files with these endings count as images even where no reader recognises them, so that a damaged frame is told and not left out."""
SAME_SPACING = 1e-3
"""Relative difference up to which pixel sizes of frames are the same. Chosen: numbers in files are rounded."""


def natural_order(path: Path) -> tuple[list[tuple[int, int, str]], str]:
    """The key by which frame2 comes before frame10.

    >>> [path.name for path in sorted(map(Path, ("f10.tif", "f9.tif", "f9b.tif", "e11.tif")), key=natural_order)]
    ['e11.tif', 'f9.tif', 'f9b.tif', 'f10.tif']
    """
    parts = re.split(r"([0-9]+)", path.name.casefold())
    return [(0, int(part), "") if number % 2 else (1, 0, part) for number, part in enumerate(parts) if part], path.name


def images_in(folder: str | os.PathLike[str]) -> list[Path]:
    """The image files in a folder, in natural order; hidden files, other files and folders in it are left out.

    Raises `ImageError` when there is none.
    """
    folder = Path(folder)
    files = sorted((path for path in folder.iterdir() if path.is_file() and not path.name.startswith(".")), key=natural_order)
    found = [path for path in files if path.suffix.lower() in ENDINGS or _recognised(path)]
    if not found:
        raise ImageError(f"{folder}: {len(files)} files, no image is among them; give another folder")
    return found


def read_movie(paths: Sequence[str | os.PathLike[str]], *, name: str, read: Callable[[Path], Image]) -> Image:
    """The movie whose frames are in files, one in each.

    Parameters
    ----------
    paths
        The files, in the order of the frames.
    name
        Name of the movie, for messages.
    read
        Reads a file, such as `zsdeconv.io.read`: a plane or a stack.

    Returns
    -------
    Image
        With T in front of the axes of a frame, and the metadata of the first one.

    Raises
    ------
    ImageError
        For a file that is a movie itself, and for frames that differ in size, axes, type or pixel size: it names the first that does.

    Examples
    --------
    >>> def blank(path):
    ...     return Image(np.zeros((6, 7), np.uint8), "YX", {"Y": 0.1, "X": 0.1})
    >>> read_movie(["f1.tif", "f2.tif", "f3.tif"], name="cells", read=blank).sizes
    {'T': 3, 'Y': 6, 'X': 7}
    """
    files = [Path(path) for path in paths]
    told: set[str] = set()
    first = _frame(files[0], name, read, told)
    refuse_larger_than_memory(name, float(len(files)) * first.data.nbytes, "reading it")
    data = np.empty((len(files), *first.data.shape), first.data.dtype)
    data[0] = first.data
    for number, path in enumerate(files[1:], 1):
        frame = _frame(path, name, read, told)
        if difference := _difference(first, frame):
            raise ImageError(
                f"{path.name}: {difference} of {files[0].name}, frames of a movie are alike; leave it out, or give `as=images`"
            )
        data[number] = frame.data
    return replace(first, data=data, axes=f"T{first.axes}", metadata={**first.metadata, "name": name})


def _recognised(path: Path) -> bool:
    try:
        return reader_of(path) is not None
    except ImageError:
        return False


def _frame(path: Path, name: str, read: Callable[[Path], Image], told: set[str]) -> Image:
    """One frame; a warning of it is given once, in the name of the movie, for the others have the same."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        frame = read(path)
    for warning in caught:
        text = str(warning.message).replace(path.name, name)
        if text not in told:
            told.add(text)
            warnings.warn(text, warning.category if issubclass(warning.category, DataWarning) else DataWarning, stacklevel=3)
    times = frame.sizes.get("T", 1)
    if times > 1:
        raise ImageError(f"{path.name}: {times} times, a frame of a movie has one; give the files one by one, without `as`")
    return frame.transposed(frame.axes.replace("T", ""))


def _difference(first: Image, other: Image) -> str:
    """In what a frame differs from the first: its own value, and the first's; empty where in nothing."""
    for what, mine, its in (
        ("axes", other.axes, first.axes),
        ("size", " x ".join(map(str, other.data.shape)), " x ".join(map(str, first.data.shape))),
        ("type", str(other.data.dtype), str(first.data.dtype)),
    ):
        if mine != its:
            return f"{what} {mine}, unlike the {its}"
    for axis in {**first.spacing_um, **other.spacing_um}:
        mine, its = other.spacing_um.get(axis), first.spacing_um.get(axis)
        if mine is None or its is None or abs(mine - its) > SAME_SPACING * its:
            return f"pixel size {_um(mine)} along {axis}, unlike the {_um(its)}"
    return ""


def _um(value: float | None) -> str:
    return "unknown" if value is None else f"{value:g} um"
