"""Writing OME-TIFF: float32, pixel sizes, channel names and provenance, readable by Fiji, Bio-Formats and tifffile."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterator, Mapping
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

from zsdeconv.image import Image
from zsdeconv.io.atomic import atomic_path
from zsdeconv.io.metadata.annotation import ANNOTATION_NAMESPACE, plain
from zsdeconv.io.ome_elements import CREATOR, ome_xml

MAX_CLASSIC_TIFF_BYTES = int(3.9e9)
"""Pixels above which BigTIFF is written. Law: offsets of a classic TIFF have 32 bits (4.29e9); the rest is left for directories."""
MAX_RATIONAL = 2**32 - 1
"""Largest numerator and denominator of a resolution tag. Law: TIFF has 32 unsigned bits for each."""
UM_PER_CM = 1e4
"""Micrometres in a centimetre. Law: the unit of length of resolution tags that is not the inch."""
_ANNOTATED = ("name", "optics", "objective", "pinholes_au", "scan", "deskewed")
"""Metadata that are stored in the annotation as well: OME has no pinhole in Airy units, few words for immersions, and no skewed stack."""


def write_tiff(path: str | os.PathLike[str], image: Image, *, provenance: Mapping[str, Any], overwrite: bool = False) -> Path:
    """Write an image as OME-TIFF (float32, zlib) and return the path. The file appears only when it is complete.

    Axes keep their order, with Y and X last. Planes are converted one by one, without a second copy of the data.

    Parameters
    ----------
    path
        Name of the file.
    image
        The image. Its axes, pixel sizes (um) and offset are restored by `zsdeconv.io.read`. Its `metadata` become elements of OME-XML:
        names, colours, wavelengths and exposures of channels, objective, optics, date, times, position of the stage.
    provenance
        How the image came about, stored as JSON in a MapAnnotation, with `metadata["kind"]`, by which a result is recognised.
    overwrite
        Whether an existing file is replaced.

    Raises
    ------
    ImageError
        When raw frames (P) come before T, Z and C, an order that OME cannot describe.
    OutputError
        When the file exists and `overwrite` is false, the folder is not writable, or the disk is full.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     write_tiff(Path(folder, "a.ome.tif"), Image(np.eye(9), "YX", {"Y": 0.1, "X": 0.1}), provenance={"seed": 1}).name
    'a.ome.tif'
    """
    import tifffile

    image = image.transposed("".join(a for a in image.axes if a not in "YX") + "YX")
    size = 4 * math.prod(image.data.shape)
    xml = ome_xml(image, ANNOTATION_NAMESPACE, _annotation(image, provenance))
    with atomic_path(path, overwrite) as temporary, tifffile.TiffWriter(temporary, bigtiff=size > MAX_CLASSIC_TIFF_BYTES, ome=False) as tif:
        tif.write(
            _planes(image.data),
            shape=image.data.shape,
            dtype=np.float32,
            photometric="minisblack",
            compression="zlib",
            description=xml,
            metadata=None,
            software=CREATOR,
            **_resolution(image.spacing_um),
        )
    return Path(path)


def _planes(data: np.ndarray) -> Iterator[np.ndarray]:
    for index in np.ndindex(data.shape[:-2]):
        yield np.ascontiguousarray(data[index], dtype=np.float32)


def _annotation(image: Image, provenance: Mapping[str, Any]) -> dict[str, str]:
    """What OME has no element for, or no word, as JSON."""
    metadata = {key: image.metadata[key] for key in _ANNOTATED if image.metadata.get(key)}
    entries = {"axes": image.axes, "offset": image.offset, "provenance": provenance}
    entries |= {key: value for key, value in (("kind", image.metadata.get("kind")), ("metadata", metadata)) if value}
    return {key: json.dumps(value, default=plain) for key, value in entries.items()}


def _resolution(spacing_um: Mapping[str, float]) -> dict[str, Any]:
    """The resolution tags, pixels per centimetre, of which ImageJ's own opener makes pixel sizes in um; none that TIFF cannot hold."""
    rational = {axis: _rational(UM_PER_CM / um) for axis, um in spacing_um.items() if axis in "YX"}
    pair = rational.get("X"), rational.get("Y")
    return {"resolution": pair, "resolutionunit": "CENTIMETER"} if all(pair) else {}


def _rational(value: float) -> tuple[int, int] | None:
    """The nearest fraction of two numbers that TIFF can hold, None for a value that is too large or too small."""
    if not 1 / MAX_RATIONAL < value < MAX_RATIONAL:
        return None
    nearest = Fraction(value).limit_denominator(int(MAX_RATIONAL / max(value, 1)))
    return nearest.numerator, nearest.denominator
