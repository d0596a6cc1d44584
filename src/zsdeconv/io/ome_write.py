"""Writing OME-TIFF: float32, pixel sizes, channel names and provenance, readable by Fiji, Bio-Formats and tifffile."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from zsdeconv.image import SPATIAL_AXES, Image
from zsdeconv.io.atomic import atomic_path
from zsdeconv.io.metadata.annotation import ANNOTATION_NAMESPACE

MAX_CLASSIC_TIFF_BYTES = int(3.9e9)
"""Pixels above which BigTIFF is written. Law: offsets of a classic TIFF have 32 bits (4.29e9); the rest is left for directories."""


def write(path: str | os.PathLike[str], image: Image, *, provenance: Mapping[str, Any], overwrite: bool = False) -> Path:
    """Write an image as OME-TIFF (float32, zlib) and return the path. The file appears only when it is complete.

    Axes keep their order, with Y and X last. Planes are converted one by one, without a second copy of the data.

    Parameters
    ----------
    path
        Name of the file.
    image
        The image. Its pixel sizes (um), `metadata["channels"]` and offset are stored as OME-XML and restored by `zsdeconv.io.read`.
    provenance
        How the image came about, stored as JSON in a MapAnnotation.
    overwrite
        Whether an existing file is replaced.

    Raises
    ------
    OutputError
        When the file exists and `overwrite` is false, the folder is not writable, or the disk is full.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     write(Path(folder, "a.ome.tif"), Image(np.eye(9), "YX", {"Y": 0.1, "X": 0.1}), provenance={"seed": 1}).name
    'a.ome.tif'
    """
    import tifffile

    image = image.transposed("".join(a for a in image.axes if a not in "YX") + "YX")
    size = 4 * math.prod(image.data.shape)
    with atomic_path(path, overwrite) as temporary, tifffile.TiffWriter(temporary, bigtiff=size > MAX_CLASSIC_TIFF_BYTES, ome=True) as tif:
        tif.write(
            _planes(image.data),
            shape=image.data.shape,
            dtype=np.float32,
            photometric="minisblack",
            compression="zlib",
            metadata=_ome_metadata(image, provenance),
        )
    return Path(path)


def _planes(data: np.ndarray) -> Iterator[np.ndarray]:
    for index in np.ndindex(data.shape[:-2]):
        yield np.ascontiguousarray(data[index], dtype=np.float32)


def _ome_metadata(image: Image, provenance: Mapping[str, Any]) -> dict[str, Any]:
    annotation = {"axes": image.axes, "offset": image.offset, "provenance": provenance}
    metadata: dict[str, Any] = {
        "axes": image.axes,
        "MapAnnotation": {"Namespace": ANNOTATION_NAMESPACE}
        | {key: json.dumps(value, default=_plain) for key, value in annotation.items()},
    }
    for axis in SPATIAL_AXES:
        if axis in image.spacing_um:
            metadata |= {f"PhysicalSize{axis}": float(image.spacing_um[axis]), f"PhysicalSize{axis}Unit": "µm"}
    channels = list(image.metadata.get("channels", ()))
    if channels and len(channels) == image.sizes.get("C", 1):
        metadata["Channel"] = {"Name": [str(name) for name in channels]}
    return metadata


def _plain(value: Any) -> Any:
    """Arrays, mappings and paths as values that JSON can hold."""
    if isinstance(value, np.generic | np.ndarray):
        return value.tolist()
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    raise TypeError(f"provenance cannot hold a {type(value).__name__}")
