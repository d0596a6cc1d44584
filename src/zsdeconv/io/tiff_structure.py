"""Completeness of a TIFF file. Common readers follow the chain of page directories as far as possible.

Of a file truncated by a full disk or an incomplete copy they return fewer planes, or planes of zeros, without a message. This module
follows the chain to its end: every directory and tag value must lie inside the file (TIFF 6.0, section 2).
"""

from __future__ import annotations

import os
import struct
from pathlib import Path
from typing import BinaryIO, NamedTuple

from zsdeconv.errors import ImageError

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
