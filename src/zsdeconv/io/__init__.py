"""Files in and out. `read` takes the formats of the table in `readers.py`, `read_movie` a file for each frame; `write` makes OME-TIFF
or OME-Zarr.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from zsdeconv.errors import DataWarning
from zsdeconv.image import Image
from zsdeconv.io.assemble import Description, Options, assemble, describe
from zsdeconv.io.atomic import atomic_path, refuse_existing
from zsdeconv.io.checks import check_restorable, saturated_fraction
from zsdeconv.io.folder import images_in, read_movie
from zsdeconv.io.formats.mrc import read_mrc, read_mrc_raw
from zsdeconv.io.ome_write import write_tiff
from zsdeconv.io.readers import reader_of, scenes
from zsdeconv.io.source import Source, chosen_scene, listed
from zsdeconv.io.zarr_write import atomic_folder, is_zarr_name, refuse_existing_folder, write_zarr

__all__ = [
    "Description",
    "atomic_path",
    "check_restorable",
    "described",
    "files_of",
    "images_in",
    "read",
    "read_movie",
    "read_mrc",
    "read_mrc_raw",
    "read_provenance",
    "refuse_kept",
    "saturated_fraction",
    "scene_names",
    "source_of",
    "staged",
    "write",
    "write_tiff",
    "write_zarr",
]


def read(
    path: str | os.PathLike[str],
    *,
    axes: str | None = None,
    pixel_um: float | None = None,
    z_um: float | None = None,
    scene: str | int | None = None,
) -> Image:
    """Read an image file. Arguments take precedence over the metadata of the file.

    Parameters
    ----------
    path
        A file of a format in `zsdeconv.io.readers.READERS`, recognised by its content.
    axes
        One letter for each dimension, for example "TYX".
    pixel_um, z_um
        Lateral pixel size and step between planes.
    scene
        Which image of a file with several: its number (from 1) or its name. By default the first, if all have the same size.

    Returns
    -------
    Image
        Its `metadata["sources"]` states which values came from the file and which from arguments.

    Raises
    ------
    ImageError
        For files that cannot be read or hold no raw image, and for several images of different sizes when no scene is given.
    ConfigError
        For arguments out of range. Warns (`DataWarning`) of implausible or contradictory pixel sizes, and of other images in the file.

    >>> import tempfile, numpy as np
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = write(Path(folder, "a.tif"), Image(np.eye(9), "YX", {"Y": 0.1, "X": 0.1}))
    ...     read(path, pixel_um=0.065).spacing_um
    {'Y': 0.065, 'X': 0.065}
    """
    options, path = Options(axes, pixel_um, z_um, scene), Path(path)
    return assemble(path.name, source_of(path, options), options)


def write(path: str | os.PathLike[str], image: Image, *, provenance: Mapping[str, Any] | None = None, overwrite: bool = False) -> Path:
    """Write an image as OME-Zarr where the name ends in ".zarr", else as OME-TIFF, and return the path.

    Parameters and errors are those of `write_zarr` and `write_tiff`; the provenance is by default what the metadata hold of it.

    >>> import tempfile, numpy as np
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     write(Path(folder, "a.ome.tif"), Image(np.eye(9), "YX", {"Y": 0.1, "X": 0.1}), provenance={"seed": 1}).name
    'a.ome.tif'
    """
    noted = image.metadata.get("provenance", {}) if provenance is None else provenance
    return (write_zarr if is_zarr_name(Path(path)) else write_tiff)(path, image, provenance=noted, overwrite=overwrite)


def staged(path: Path, overwrite: bool) -> AbstractContextManager[Path]:
    """A temporary path for an output, a file or by its name a folder of Zarr, which gets its name when the block ends without an error."""
    return (atomic_folder if is_zarr_name(path) else atomic_path)(path, overwrite)


def refuse_kept(path: Path, overwrite: bool) -> None:
    """Raise `OutputError` where an output, a file or by its name a folder of Zarr, would take the place of what is to be kept."""
    (refuse_existing_folder if is_zarr_name(path) else refuse_existing)(path, overwrite)


def described(path: str | os.PathLike[str], *, axes: str | None = None, scene: str | int | None = None) -> Description:
    """What is known of an image without its pixels: axes, sizes, number type, pixel sizes, metadata. Raises and warns as `read`."""
    options, path = Options(axes=axes, scene=scene), Path(path)
    return describe(path.name, source_of(path, options), options)


def files_of(path: str | os.PathLike[str]) -> list[Path]:
    """All files that hold the images of a data set: the file itself, and those which it names. Raises `ImageError` as `read`."""
    path = Path(path)
    return sorted({path, *(file for source in scenes(path) for file in source.files)})


def scene_names(path: str | os.PathLike[str]) -> list[str]:
    """Names of the images in a file, in their order; empty for one without a name. Raises `ImageError` when it cannot be read."""
    return [source.scene for source in scenes(Path(path))]


def source_of(path: Path, options: Options) -> Source:
    """The image of a file that the options choose, without its pixels; of others beside it in the file the user is told."""
    sources = scenes(path)
    source = chosen_scene(path.name, sources, options.scene)
    others = sum(other.here for other in sources) - 1
    if options.scene is None and others > 0:
        warnings.warn(
            f"{path.name}: {others + 1} images in the file ({listed(sources)}), the first is read, the others are not read; give `scene`",
            DataWarning,
            stacklevel=3,
        )
    return source


def read_provenance(path: str | os.PathLike[str]) -> dict[str, Any]:
    """The provenance in a file written by `write`; empty for other files. Raises `ImageError` when the file cannot be opened."""
    path = Path(path)
    sources = scenes(path) if reader_of(path) is not None else []
    return dict(sources[0].annotation.get("provenance") or {}) if sources else {}
