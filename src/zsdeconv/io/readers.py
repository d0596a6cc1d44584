"""The table of file formats: how a reader recognises its files, and how it reads them.

A new format is one module with these functions and one row of `READERS`. Readers see the path first, so that a folder can be an image.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from zsdeconv.errors import ImageError
from zsdeconv.image import Image
from zsdeconv.io.assemble import Options
from zsdeconv.io.mrc import HEADER_BYTES, is_mrc, read_mrc
from zsdeconv.io.tiff import read_tiff, read_tiff_provenance
from zsdeconv.io.tiff_structure import is_tiff

_EXPORT = "export the raw camera image as OME-TIFF (Fiji: File > Save As > OME-TIFF)"
_OTHER_FILES = {
    **dict.fromkeys((".nd2", ".czi", ".lif", ".oib", ".oif", ".vsi", ".ims"), "a vendor's format"),
    **dict.fromkeys((".png", ".jpg", ".jpeg", ".gif", ".bmp"), "a picture for display"),
}


def no_provenance(path: Path) -> dict[str, Any]:
    """The provenance in a format that this package does not write: empty."""
    return {}


@dataclass(frozen=True)
class Reader:
    """One row of the table.

    Parameters
    ----------
    formats
        Names of the formats, for messages.
    recognises
        Whether a path has one of these formats. Gets the path and the first `HEADER_BYTES` of the file, of a folder no bytes.
    read
        The image. Gets the path and the options of the user.
    provenance
        The provenance that this package wrote into the file; empty for files of other programs.
    """

    formats: tuple[str, ...]
    recognises: Callable[[Path, bytes], bool]
    read: Callable[[Path, Options], Image]
    provenance: Callable[[Path], dict[str, Any]] = no_provenance


READERS = [
    Reader(("TIFF",), lambda path, head: is_tiff(head), read_tiff, read_tiff_provenance),
    Reader(("MRC", "DV"), lambda path, head: is_mrc(head), read_mrc),
]
"""In the order in which they are asked."""


def reader_of(path: Path) -> Reader | None:
    """The first reader that recognises a path; None for a file of another format.

    Raises `ImageError` for folders that no reader recognises, and for files that are missing, empty or cannot be opened.
    """
    head = b"" if path.is_dir() else _head(path)
    reader = next((reader for reader in READERS if reader.recognises(path, head)), None)
    if reader is None and path.is_dir():
        raise ImageError(f"{path}: is a folder, an image file is needed; give the files in it")
    return reader


def unreadable(path: Path) -> ImageError:
    """The error for a file of another format.

    >>> str(unreadable(Path("cell.png"))).split(";")[0]
    'cell.png: a picture for display, readable are TIFF, MRC and DV'
    """
    *others, last = (name for reader in READERS for name in reader.formats)
    kind = _OTHER_FILES.get(path.suffix.lower(), "not an image")
    return ImageError(f"{path.name}: {kind}, readable are {', '.join(others)} and {last}; {_EXPORT}")


def _head(path: Path) -> bytes:
    """The first bytes of a file. Raises `ImageError` when it is missing, empty or cannot be opened."""
    try:
        with path.open("rb") as file:
            head = file.read(HEADER_BYTES)
    except FileNotFoundError as error:
        raise ImageError(f"{path}: no such file; check the name and the folder") from error
    except OSError as error:
        raise ImageError(f"{path}: cannot be opened ({error.strerror}); check its permissions") from error
    if not head:
        raise ImageError(f"{path}: is empty (0 bytes); copy the file again, or export it anew")
    return head
