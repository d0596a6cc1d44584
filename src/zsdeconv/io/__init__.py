"""Files in and out. `read` takes OME-TIFF, ImageJ and plain TIFF, LSM, STK, MRC and DV; `write` makes OME-TIFF.

`read_movie` takes a file for each frame.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from zsdeconv.image import Image
from zsdeconv.io.assemble import Options
from zsdeconv.io.atomic import atomic_path
from zsdeconv.io.checks import check_restorable, saturated_fraction
from zsdeconv.io.folder import images_in, read_movie
from zsdeconv.io.mrc import read_mrc, read_mrc_raw
from zsdeconv.io.ome_write import write
from zsdeconv.io.readers import reader_of, unreadable

__all__ = [
    "atomic_path",
    "check_restorable",
    "images_in",
    "read",
    "read_movie",
    "read_mrc",
    "read_mrc_raw",
    "read_provenance",
    "saturated_fraction",
    "write",
]


def read(path: str | os.PathLike[str], *, axes: str | None = None, pixel_um: float | None = None, z_um: float | None = None) -> Image:
    """Read an image file. Arguments take precedence over the metadata of the file.

    Parameters
    ----------
    path
        A file of a format in `zsdeconv.io.readers.READERS`, recognised by its content.
    axes
        One letter for each dimension, for example "TYX".
    pixel_um, z_um
        Lateral pixel size and step between planes.

    Returns
    -------
    Image
        Its `metadata["sources"]` states which values came from the file and which from arguments.

    Raises
    ------
    ImageError
        For files that cannot be read or hold no raw image.
    ConfigError
        For arguments out of range. Warns (`DataWarning`) of implausible pixel sizes in the file, which count as missing.

    >>> import tempfile, numpy as np
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = write(Path(folder, "a.tif"), Image(np.eye(9), "YX", {"Y": 0.1, "X": 0.1}), provenance={})
    ...     read(path, pixel_um=0.065).spacing_um
    {'Y': 0.065, 'X': 0.065}
    """
    options, path = Options(axes, pixel_um, z_um), Path(path)
    reader = reader_of(path)
    if reader is None:
        raise unreadable(path)
    return reader.read(path, options)


def read_provenance(path: str | os.PathLike[str]) -> dict[str, Any]:
    """The provenance in a file written by `write`; empty for other files. Raises `ImageError` when the file cannot be opened."""
    path = Path(path)
    reader = reader_of(path)
    return {} if reader is None else reader.provenance(path)
