"""Completeness of a TIFF file. Common readers follow the chain of page directories as far as possible.

Of a file truncated by a full disk or an incomplete copy they return fewer planes, or planes of zeros, without a message. This module
follows the chain to its end: every directory and tag value must lie inside the file (TIFF 6.0, section 2).
"""

from __future__ import annotations

import contextlib
import logging
import os
import struct
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, NamedTuple

from zsdeconv.errors import ImageError, UserError

if TYPE_CHECKING:
    import tifffile

_BYTES_OF_TYPE = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4, 16: 8, 17: 8, 18: 8}
"""Law: bytes of a value of each field type (TIFF 6.0, section 2; BigTIFF)."""
_FIRST_PRIVATE_TAG = 32768
"""Law: tags from here on are private (TIFF 6.0), and their values may point anywhere."""
_MAGIC = {b"II*\0": ("<", False), b"MM\0*": (">", False), b"II+\0": ("<", True), b"MM\0+": (">", True)}
"""Byte order, and whether the file is a BigTIFF, by its first four bytes."""


class _Layout(NamedTuple):
    """Formats of a directory for `struct`: byte order, count of entries, entry (tag, type, count, value), offset."""

    order: str
    counter: str
    entry: str
    offset: str


def is_tiff(head: bytes) -> bool:
    r"""Whether a file that begins with `head` is a TIFF or BigTIFF of either byte order.

    >>> is_tiff(b"II*\0\x08\0\0\0"), is_tiff(b"\x89PNG")
    (True, False)
    """
    return head[:4] in _MAGIC


@contextlib.contextmanager
def opened(path: Path) -> Iterator[tifffile.TiffFile]:
    """A file after the check of its completeness. Later errors of the parser or of a codec are faults of the file."""
    import tifffile

    refuse_truncated(path)
    try:
        with _quiet(), tifffile.TiffFile(path) as tif:
            yield tif
    except (UserError, Warning):
        raise
    except MemoryError as error:
        raise ImageError(
            f"{path.name}: {_one_line(error)}: more than the memory of this machine; split the file, or copy it again"
        ) from error
    except Exception as error:
        raise cut_short(path, _one_line(error)) from error


def refuse_truncated(path: Path) -> None:
    """Follow all page directories of a TIFF file.

    Raises `ImageError` when a directory or one of its values lies beyond the end of the file.
    """
    size = path.stat().st_size
    with path.open("rb") as file:
        order, big = _MAGIC[file.read(4)]
        layout = _Layout(order, "Q", "HHQQ", "Q") if big else _Layout(order, "H", "HHII", "I")
        file.seek(8 if big else 4)
        offset = _take(file, layout, layout.offset, path)[0]
        visited: set[int] = set()
        while offset and offset not in visited:
            visited.add(offset)
            file.seek(offset)
            offset = _follow_directory(file, layout, size, path)
    if not visited:
        raise cut_short(path, "it holds no page")


def cut_short(path: str | os.PathLike[str], detail: str) -> ImageError:
    """The error for a damaged or truncated file."""
    return ImageError(f"{Path(path).name}: damaged or cut short ({detail}), nothing was read; copy the file again, or export it anew")


def refuse_lost_strips(path: Path, pages: Sequence[Any]) -> None:
    """Raise `ImageError` unless each strip or tile of each page lies inside its file."""
    sizes: dict[str, int] = {}
    for number, page in enumerate(pages):
        source = page.parent.filehandle.path
        size = sizes.setdefault(source, os.path.getsize(source))
        for offset, count in zip(page.dataoffsets, page.databytecounts, strict=False):
            if not offset or not count or offset + count > size:
                raise cut_short(path, f"plane {number + 1} of {len(pages)} ends at byte {offset + count} of {size}")


def _follow_directory(file: BinaryIO, layout: _Layout, size: int, path: Path) -> int:
    """Check one directory and return the offset of the next (0: last)."""
    for _ in range(_take(file, layout, layout.counter, path)[0]):
        tag, kind, count, value = _take(file, layout, layout.entry, path)
        length = count * _BYTES_OF_TYPE.get(kind, 0)
        if tag < _FIRST_PRIVATE_TAG and length > struct.calcsize(layout.order + layout.offset) and value + length > size:
            raise cut_short(path, f"tag {tag} ends at byte {value + length} of {size}")
    return _take(file, layout, layout.offset, path)[0]


def _take(file: BinaryIO, layout: _Layout, numbers: str, path: Path) -> tuple[int, ...]:
    size = struct.calcsize(layout.order + numbers)
    data = file.read(size)
    if len(data) < size:
        raise cut_short(path, f"a page directory lies beyond its end at byte {file.seek(0, os.SEEK_END)}")
    return struct.unpack(layout.order + numbers, data)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Silence the log of tifffile: its relevant warnings are checked here and raised as errors."""
    logger = logging.getLogger("tifffile")
    silent = logging.NullHandler()
    propagate, logger.propagate = logger.propagate, False
    logger.addHandler(silent)
    try:
        yield
    finally:
        logger.removeHandler(silent)
        logger.propagate = propagate


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())[:150] or type(error).__name__
