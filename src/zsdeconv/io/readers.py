"""The table of file formats: how a reader recognises its files, and how it lists their images.

A new format is one module in `formats/` with these functions and one row of `READERS`. Readers see the
path first, so that a folder can be an image.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from zsdeconv.errors import ImageError
from zsdeconv.io.formats.hdf5 import hdf5_scenes, is_hdf5
from zsdeconv.io.formats.leica import is_lif, lif_scenes
from zsdeconv.io.formats.mrc import HEADER_BYTES, is_mrc, mrc_scenes
from zsdeconv.io.formats.ndtiff import is_ndtiff, ndtiff_scenes
from zsdeconv.io.formats.nikon import is_nd2, nd2_scenes
from zsdeconv.io.formats.npy import is_npy, npy_scenes
from zsdeconv.io.formats.olympus import is_oif, oif_scenes
from zsdeconv.io.formats.ome_zarr import is_zarr, zarr_scenes
from zsdeconv.io.formats.png import is_png, png_scenes
from zsdeconv.io.formats.tiff import tiff_scenes
from zsdeconv.io.formats.tiff_structure import is_tiff
from zsdeconv.io.formats.zeiss import czi_scenes, is_czi
from zsdeconv.io.source import Source

_EXPORT = "export the raw camera image as OME-TIFF (Fiji: File > Save As > OME-TIFF)"
_OTHER_FILES = {
    **dict.fromkeys((".vsi", ".oir", ".nd", ".sld", ".lei", ".zvi"), "a vendor's format"),
    **dict.fromkeys((".jpg", ".jpeg", ".gif", ".bmp"), "a picture for display"),
}
_LFS_POINTER = b"version https://git-lfs"
"""First bytes of the text that Git Large File Storage leaves in place of a file that was not fetched."""


@dataclass(frozen=True)
class Reader:
    """One row of the table.

    Parameters
    ----------
    formats
        Names of the formats, for messages.
    recognises
        Whether a path has one of these formats. Gets the path and the first `HEADER_BYTES` of the file, of a folder no bytes.
    scenes
        The images in the file (or data set), in their order, without their pixels.
    package
        The library that reads it, where it is an extra (`zsdeconv[formats]`); empty where none is needed.
    """

    formats: tuple[str, ...]
    recognises: Callable[[Path, bytes], bool]
    scenes: Callable[[Path], Sequence[Source]]
    package: str = ""


READERS = [
    Reader(("NDTiff",), is_ndtiff, ndtiff_scenes),
    Reader(("TIFF",), lambda path, head: is_tiff(head), tiff_scenes),
    Reader(("CZI",), is_czi, czi_scenes, "pylibCZIrw"),
    Reader(("ND2",), is_nd2, nd2_scenes, "nd2"),
    Reader(("LIF",), is_lif, lif_scenes, "liffile"),
    Reader(("OIB", "OIF"), is_oif, oif_scenes, "oiffile"),
    Reader(("IMS", "HDF5"), is_hdf5, hdf5_scenes, "h5py"),
    Reader(("OME-Zarr",), is_zarr, zarr_scenes, "zarr"),
    Reader(("PNG",), is_png, png_scenes),
    Reader(("NPY",), is_npy, npy_scenes),
    Reader(("MRC", "DV"), lambda path, head: is_mrc(head), mrc_scenes),
]
"""In the order in which they are asked."""


def scenes(path: Path) -> Sequence[Source]:
    """The images in a file, without their pixels.

    Raises `ImageError` for files that no reader recognises, that cannot be read, or whose reader is an extra that is not installed.
    """
    reader = reader_of(path)
    if reader is None:
        raise unreadable(path)
    try:
        found = reader.scenes(path)
    except ModuleNotFoundError as error:
        if not reader.package or (error.name or "").partition(".")[0] != reader.package:
            raise
        kinds = " or ".join(reader.formats)
        missing = f"{path.name}: {kinds} is read with the package {reader.package}, which is not installed"
        raise ImageError(f"{missing}; pip install 'zsdeconv[formats]'") from error
    if not found:
        raise ImageError(f"{path.name}: it holds no image; export it anew")
    return found


def reader_of(path: Path) -> Reader | None:
    """The first reader that recognises a path; None for a file of another format.

    Raises `ImageError` for folders that no reader recognises, and for files that are missing, empty, pointers of Git LFS, or cannot be
    opened.
    """
    head = b"" if path.is_dir() else _head(path)
    reader = next((reader for reader in READERS if reader.recognises(path, head)), None)
    if reader is None and path.is_dir():
        raise ImageError(f"{path}: is a folder, an image file is needed; give the files in it")
    return reader


def unreadable(path: Path) -> ImageError:
    """The error for a file of another format.

    >>> str(unreadable(Path("cell.jpg"))).split(";")[0]
    'cell.jpg: a picture for display, readable are NDTiff, TIFF, CZI, ND2, LIF, OIB, OIF, IMS, HDF5, OME-Zarr, PNG, NPY, MRC and DV'
    """
    *others, last = (name for reader in READERS for name in reader.formats)
    kind = _OTHER_FILES.get(path.suffix.lower(), "not an image")
    return ImageError(f"{path.name}: {kind}, readable are {', '.join(others)} and {last}; {_EXPORT}")


def _head(path: Path) -> bytes:
    """The first bytes of a file. Raises `ImageError` when it is missing, empty, a pointer of Git LFS, or cannot be opened."""
    try:
        with path.open("rb") as file:
            head = file.read(HEADER_BYTES)
    except FileNotFoundError as error:
        raise ImageError(f"{path}: no such file; check the name and the folder") from error
    except OSError as error:
        raise ImageError(f"{path}: cannot be opened ({error.strerror}); check its permissions") from error
    if not head:
        raise ImageError(f"{path}: is empty (0 bytes); copy the file again, or export it anew")
    if head.startswith(_LFS_POINTER):
        size = path.stat().st_size
        raise ImageError(f"{path.name}: a Git LFS pointer ({size} bytes), not the file itself; fetch the real file (git lfs pull)")
    return head
