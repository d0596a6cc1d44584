"""Reading TIFF: OME-TIFF, ImageJ hyperstacks, plain, LSM and STK files, with axes as parsed by tifffile."""

from __future__ import annotations

import contextlib
import logging
import os
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree

import numpy as np

from zsdeconv.errors import DataWarning, ImageError, UserError
from zsdeconv.image import Image
from zsdeconv.io.assemble import Options, assemble
from zsdeconv.io.memory import refuse_larger_than_memory
from zsdeconv.io.tiff_metadata import file_metadata, read_annotation
from zsdeconv.io.tiff_structure import cut_short, refuse_truncated

if TYPE_CHECKING:
    import tifffile

_COLOURS = {"RGB", "YCBCR", "CIELAB", "ICCLAB", "SEPARATED"}
_UNDESCRIBED_KINDS = {"generic", "uniform"}
"""Names that tifffile gives to series of no dialect."""


def read_tiff(path: str | os.PathLike[str], options: Options | None = None) -> Image:
    """The first image of a TIFF file, in the number type of the file.

    Axes, pixel sizes (in any unit), channel names and optics are read from OME-XML, the description by ImageJ, LSM or STK headers, or
    plausible resolution tags. Samples of a pixel become channels (C) unless they are colours. Of several images in a file the first is
    read, with a `DataWarning`.

    Raises `ImageError` for damaged or truncated files (missing planes are not filled with zeros), colour images, pixel types that no
    camera image has, and dimensions that neither the file nor an option names.
    """
    path = Path(path)
    with _opened(path) as tif:
        return _first_image(path, tif, options or Options())


def read_tiff_provenance(path: str | os.PathLike[str]) -> dict[str, Any]:
    """The provenance that `zsdeconv.io.write` stored in an OME-TIFF; empty for files of other programs.

    Raises `ImageError` for damaged files.
    """
    with _opened(Path(path)) as tif:
        return (read_annotation(ElementTree.fromstring(tif.ome_metadata)).get("provenance") if tif.ome_metadata else None) or {}


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[tifffile.TiffFile]:
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


def _first_image(path: Path, tif: tifffile.TiffFile, options: Options) -> Image:
    series = [s for s in tif.series if not s.keyframe.is_reduced] or tif.series
    first = series[0]
    if len(series) > 1:
        warnings.warn(
            f"{path.name}: {len(series)} images in the file, 1 is read at a time: the first, {first.shape} {first.axes}; "
            "save the others as files of their own",
            DataWarning,
            stacklevel=4,
        )
    _refuse_missing_planes(path, tif, first)
    described = file_metadata(tif, first.kind)
    axes = first.axes.replace("P", "R") if first.kind == "lsm" else first.axes  # there P numbers stage positions
    axes = _samples_as_channels(path.name, tif, first, axes, options)
    refuse_larger_than_memory(path.name, first.nbytes, "reading it")
    data, axes = _as_written(first.asarray(), axes, described.annotation)
    metadata = {"format": first.kind, **described.metadata}
    if described.annotation:
        metadata["provenance"] = described.annotation.get("provenance") or {}
    placeholder_um = None if first.kind == "ome" else 1.0
    return assemble(
        path.name,
        data,
        axes,
        described.spacing_um,
        metadata,
        options,
        placeholder_um=placeholder_um,
        offset=described.annotation.get("offset"),
    )


def _as_written(data: np.ndarray, axes: str, annotation: Mapping[str, Any]) -> tuple[np.ndarray, str]:
    """Data and axes with the dimensions of length 1 that the image had when this package wrote it."""
    written = str(annotation.get("axes", axes))
    if len(written) <= len(axes) or [a for a in written if a in axes] != list(axes):
        return data, axes
    sizes = dict(zip(axes, data.shape, strict=True))
    return data.reshape([sizes.get(a, 1) for a in written]), written


def _samples_as_channels(name: str, tif: tifffile.TiffFile, series: tifffile.TiffPageSeries, axes: str, options: Options) -> str:
    """Axes with the samples of a pixel (S) as channels; colours are refused unless the options name the axes."""
    if "S" not in axes:
        return axes
    samples = series.shape[axes.index("S")]
    declared = (tif.imagej_metadata or {}).get("channels") == samples and series.dtype != np.uint8
    coloured = getattr(series.keyframe.photometric, "name", "") in _COLOURS or (samples in (3, 4) and series.dtype == np.uint8)
    if coloured and not declared and options.axes is None:
        raise ImageError(
            f"{name}: RGB colours ({samples} samples a pixel), one intensity is needed; save the raw camera image or split the "
            f"channels (if they are separate channels, give `axes` {axes.replace('S', 'C')})"
        )
    return axes.replace("S", "R" if "C" in axes else "C")


def _refuse_missing_planes(path: Path, tif: tifffile.TiffFile, series: tifffile.TiffPageSeries) -> None:
    """Raise `ImageError` unless every plane is present and each of its strips or tiles lies inside its file."""
    pages = list(series.pages)
    present = [page for page in pages if page is not None]
    if len(present) < len(pages):
        missing = len(pages) - len(present)
        raise cut_short(path, f"{missing} of {len(pages)} planes are missing; are all files of the data set in one folder?")
    expected = int((tif.imagej_metadata or {}).get("images", 1))
    # A file of ImageJ with fewer planes than it announces has no dialect for tifffile.
    if series.kind in _UNDESCRIBED_KINDS and expected > len(pages):
        raise cut_short(path, f"{len(pages)} of ImageJ's {expected} planes are present")
    sizes: dict[str, int] = {}
    for number, page in enumerate(present):
        source = page.parent.filehandle.path
        size = sizes.setdefault(source, os.path.getsize(source))
        for offset, count in zip(page.dataoffsets, page.databytecounts, strict=False):
            if not offset or not count or offset + count > size:
                raise cut_short(path, f"plane {number + 1} of {len(pages)} ends at byte {offset + count} of {size}")


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
