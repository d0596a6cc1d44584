"""What readers of several formats share: axes without those of length 1, planes one by one, faults of a library as those of a file."""

from __future__ import annotations

import contextlib
import logging
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path

import numpy as np

from zsdeconv.errors import DataWarning, ImageError, UserError
from zsdeconv.io.formats.tiff_structure import cut_short
from zsdeconv.io.source import Region

Sizes = Mapping[str, int]
"""Lengths of the axes of an image by their letters, slowest first as stored."""
_INNER = "YXS"
"""Axes within a plane; S are the samples of a pixel."""
_LOGGERS = ("nd2", "liffile", "oiffile", "tifffile", "zarr")
_SHOWN = 3
"""Names in a warning. Chosen: more fill the line."""


def kept(sizes: Sizes) -> tuple[str, tuple[int, ...]]:
    """Axes and shape of an image, without axes of length 1 other than Y and X.

    >>> kept({"T": 1, "C": 2, "Y": 1, "X": 7})
    ('CYX', (2, 1, 7))
    """
    left = {axis: n for axis, n in sizes.items() if n != 1 or axis in "YX"}
    return "".join(left), tuple(left.values())


def read_planes(path: Path, sizes: Sizes, region: Region, dtype: np.dtype, plane: Callable[[dict[str, int]], np.ndarray]) -> np.ndarray:
    """A region of an image that is stored plane by plane, with Y and X (and S) as its fastest axes.

    Parameters
    ----------
    path
        The file, for messages.
    sizes
        All axes of the image.
    region
        One slice for each axis of `kept(sizes)`.
    dtype
        Number type of the image.
    plane
        Reads the plane at these numbers of the other axes.

    Returns
    -------
    ndarray
        With all axes of `kept(sizes)`.

    Raises
    ------
    ImageError
        For a plane of another size.

    >>> data = np.arange(24).reshape(2, 1, 3, 4)
    >>> sizes, region = {"C": 2, "Z": 1, "Y": 3, "X": 4}, (slice(1, 2), slice(0, 1), slice(1, 3))
    >>> read_planes(Path("a"), sizes, region, data.dtype, lambda at: data[at["C"], at["Z"]]).tolist()
    [[[13, 14]]]
    """
    axes, _ = kept(sizes)
    part = dict(zip(axes, region, strict=True))
    outer = [axis for axis in axes if axis not in _INNER]
    inner = tuple(part[axis] for axis in axes if axis in _INNER)
    shape = tuple(sizes[axis] for axis in axes if axis in _INNER)
    first = dict.fromkeys((axis for axis in sizes if axis not in _INNER), 0)
    data = np.empty([part[axis].stop - part[axis].start for axis in axes], dtype)
    for index in np.ndindex(data.shape[: len(outer)]):
        at = first | {axis: part[axis].start + number for axis, number in zip(outer, index, strict=True)}
        found = plane(at)
        if found.size != np.prod(shape):
            raise cut_short(path, f"a plane has the size {found.shape}, {shape} is described")
        data[index] = found.reshape(shape)[inner]
    return data


def with_rows(sizes: Sizes) -> dict[str, int]:
    """The sizes of a scan without Y, as of x and z: its rows as the unnamed axis V, so that nobody takes them for those of a plane.

    >>> with_rows({"T": 5, "Z": 9, "X": 7})
    {'T': 5, 'V': 9, 'X': 7}
    """
    if "Y" in sizes or len(sizes) < 2:
        return dict(sizes)
    rows = [axis for axis in sizes if axis not in "XSC"][-1:]
    return {"V" if axis in rows else axis: n for axis, n in sizes.items()}


def tell_of(path: Path, names: Iterable[str], what: str, advice: str) -> None:
    """Warn (`DataWarning`) of images of a file that are not what they may pass for.

    Parameters
    ----------
    path
        The file.
    names
        Names of these images; without any there is nothing to tell.
    what, advice
        What they are, and what to do about it.
    """
    shown = [repr(name) for name in names]
    if shown:
        listed = ", ".join(shown[:_SHOWN]) + (f" and {len(shown) - _SHOWN} more" if len(shown) > _SHOWN else "")
        warnings.warn(f"{path.name}: {listed}: {what}; {advice}", DataWarning, stacklevel=5)


@contextlib.contextmanager
def reading(path: Path) -> Iterator[None]:
    """Run a library that reads a file. It stays silent, and what it raises is a fault of the file, in one line (`ImageError`)."""
    try:
        with _silent(), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    except (UserError, ModuleNotFoundError):
        raise
    except MemoryError as error:
        raise ImageError(f"{path.name}: it takes more than the memory of this machine; split the file") from error
    except Exception as error:
        text = " ".join(str(error).split()) or type(error).__name__
        text = f"no entry {text}" if isinstance(error, KeyError) else text
        raise cut_short(path, text[:MAX_DETAIL]) from error


MAX_DETAIL = 150
"""Characters of a library's error in a message. Chosen: two lines of a terminal."""


@contextlib.contextmanager
def _silent() -> Iterator[None]:
    """Keep the libraries' logs from the terminal."""
    loggers = [logging.getLogger(name) for name in _LOGGERS]
    before = [logger.disabled for logger in loggers]
    for logger in loggers:
        logger.disabled = True
    try:
        yield
    finally:
        for logger, disabled in zip(loggers, before, strict=True):
            logger.disabled = disabled
