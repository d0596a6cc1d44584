"""Files in and out. `read` takes OME-TIFF, ImageJ and plain TIFF, LSM, STK, MRC and DV; `write` makes OME-TIFF."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from zsdeconv.errors import ImageError
from zsdeconv.image import Image
from zsdeconv.io.assemble import Options
from zsdeconv.io.atomic import atomic_path
from zsdeconv.io.checks import check_restorable, saturated_fraction
from zsdeconv.io.mrc import HEADER_BYTES, is_mrc, read_mrc, read_mrc_raw
from zsdeconv.io.ome_write import write
from zsdeconv.io.tiff import read_tiff, read_tiff_provenance
from zsdeconv.io.tiff_structure import is_tiff

__all__ = ["atomic_path", "check_restorable", "read", "read_mrc", "read_mrc_raw", "read_provenance", "saturated_fraction", "write"]

_EXPORT = "export the raw camera image as OME-TIFF (Fiji: File > Save As > OME-TIFF)"
_OTHER_FILES = {
    **dict.fromkeys((".nd2", ".czi", ".lif", ".oib", ".oif", ".vsi", ".ims"), "a vendor's format"),
    **dict.fromkeys((".png", ".jpg", ".jpeg", ".gif", ".bmp"), "a picture for display"),
}


def read(path: str | os.PathLike[str], *, axes: str | None = None, pixel_um: float | None = None, z_um: float | None = None) -> Image:
    """Read an image file: its metadata first, options win.

    `axes` names the dimensions ("TYX"), `pixel_um` is the lateral pixel size and `z_um` the z step, in um. The kind of file is
    recognised by its content. `metadata["sources"]` says what was taken from where.

    Raises `ImageError` for files that cannot be read or are no raw image, `ConfigError` for impossible options; warns
    (`DataWarning`) of pixel sizes that cannot be true, which are then treated as missing.

    >>> import tempfile, numpy as np
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = write(Path(folder, "a.tif"), Image(np.eye(9), "YX", {"Y": 0.1, "X": 0.1}), provenance={})
    ...     read(path, pixel_um=0.065).spacing_um
    {'Y': 0.065, 'X': 0.065}
    """
    options = Options(axes, pixel_um, z_um)
    path = Path(path)
    head = _head(path)
    if is_tiff(head):
        return read_tiff(path, options)
    if is_mrc(head):
        return read_mrc(path, options)
    raise ImageError(f"{path.name}: {_OTHER_FILES.get(path.suffix.lower(), 'not an image')}, readable are TIFF, MRC and DV; {_EXPORT}")


def read_provenance(path: str | os.PathLike[str]) -> dict[str, Any]:
    """How a file written by `write` came about; empty for other files. Raises `ImageError` when it cannot be opened."""
    path = Path(path)
    return read_tiff_provenance(path) if is_tiff(_head(path)) else {}


def _head(path: Path) -> bytes:
    """The first bytes of a file; every way in which a path can be no readable file is an `ImageError`."""
    if path.is_dir():
        raise ImageError(f"{path}: is a folder, an image file is needed; give the files in it")
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
