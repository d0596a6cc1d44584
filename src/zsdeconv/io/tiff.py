"""Reading TIFF: OME-TIFF, ImageJ hyperstacks, plain, LSM and STK, on top of tifffile's parsing of axes."""

from __future__ import annotations

import contextlib
import logging
import os
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import tifffile

from zsdeconv.errors import DataWarning, ImageError, UserError
from zsdeconv.image import Image
from zsdeconv.io.assemble import Options, assemble
from zsdeconv.io.memory import refuse_larger_than_memory
from zsdeconv.io.tiff_metadata import Stated, annotation, stated
from zsdeconv.io.tiff_structure import cut_short, refuse_truncated

_COLOURS = {"RGB", "YCBCR", "CIELAB", "ICCLAB", "SEPARATED"}
_UNNAMED = {"generic", "uniform"}  # kinds of series that no dialect describes


def read_tiff(path: str | os.PathLike[str], options: Options | None = None) -> Image:
    """The first image of a TIFF file, in the file's own number type.

    Axes, pixel sizes (in any unit), channel names and optics come from OME-XML, ImageJ's description, LSM or STK headers,
    or plausible resolution tags. Samples of a pixel become channels (C) unless they are colours. Where a file holds several
    images the first is read, with a `DataWarning`.

    Raises `ImageError` for damaged or truncated files (never zeros in place of missing planes), colour images, pixel types
    that are no camera image, and axes that the file does not name and `options` neither.
    """
    path = Path(path)
    with _opened(path) as tif:
        return _first_image(path, tif, options or Options())


def read_tiff_provenance(path: str | os.PathLike[str]) -> dict[str, Any]:
    """The provenance that `zsdeconv.io.write` put into an OME-TIFF; empty for files of other programs.

    Raises `ImageError` for damaged files.
    """
    with _opened(Path(path)) as tif:
        return (annotation(ElementTree.fromstring(tif.ome_metadata)).get("provenance") if tif.ome_metadata else None) or {}


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[tifffile.TiffFile]:
    """The file, once it is known to be whole; whatever the parser or a codec stumbles over is the file's fault."""
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
    facts = stated(tif, first.kind)
    axes = first.axes.replace("P", "R") if first.kind == "lsm" else first.axes  # there P numbers stage positions
    axes = _samples_as_channels(path.name, tif, first, axes, options)
    refuse_larger_than_memory(path.name, first.nbytes, "reading it")
    data, axes = _as_written(first.asarray(), axes, facts)
    metadata = {"format": first.kind, **facts.metadata}
    if facts.ours:
        metadata["provenance"] = facts.ours.get("provenance") or {}
    placeholder_um = None if first.kind == "ome" else 1.0
    return assemble(
        path.name, data, axes, facts.spacing_um, metadata, options, placeholder_um=placeholder_um, offset=facts.ours.get("offset")
    )


def _as_written(data: np.ndarray, axes: str, facts: Stated) -> tuple[np.ndarray, str]:
    """Put back the dimensions of length 1 that an image of ours had when it was written."""
    ours = str(facts.ours.get("axes", axes))
    if len(ours) <= len(axes) or [a for a in ours if a in axes] != list(axes):
        return data, axes
    sizes = dict(zip(axes, data.shape, strict=True))
    return data.reshape([sizes.get(a, 1) for a in ours]), ours


def _samples_as_channels(name: str, tif: tifffile.TiffFile, series: tifffile.TiffPageSeries, axes: str, options: Options) -> str:
    """Axes with the samples of a pixel (S) named as channels; colours are refused unless the user names the axes."""
    if "S" not in axes:
        return axes
    samples = series.shape[axes.index("S")]
    declared = (tif.imagej_metadata or {}).get("channels") == samples and series.dtype != np.uint8
    coloured = getattr(series.keyframe.photometric, "name", "") in _COLOURS or (samples in (3, 4) and series.dtype == np.uint8)
    if coloured and not declared and options.axes is None:
        raise ImageError(
            f"{name}: RGB colours ({samples} samples a pixel), one intensity is needed; save the raw camera image or split the "
            f"channels (if they are separate channels: `axes` {axes.replace('S', 'C')})"
        )
    return axes.replace("S", "R" if "C" in axes else "C")


def _refuse_missing_planes(path: Path, tif: tifffile.TiffFile, series: tifffile.TiffPageSeries) -> None:
    """Every plane is there, and each of its strips or tiles lies inside its file."""
    pages = list(series.pages)
    present = [page for page in pages if page is not None]
    if len(present) < len(pages):
        missing = len(pages) - len(present)
        raise cut_short(path, f"{missing} of {len(pages)} planes are missing; are all files of the data set in one folder?")
    expected = int((tif.imagej_metadata or {}).get("images", 1))
    if series.kind in _UNNAMED and expected > len(pages):  # too short for ImageJ's count, so read as a TIFF of no dialect
        raise cut_short(path, f"{len(pages)} of ImageJ's {expected} planes are there")
    sizes: dict[str, int] = {}
    for number, page in enumerate(present):
        source = page.parent.filehandle.path
        size = sizes.setdefault(source, os.path.getsize(source))
        for offset, count in zip(page.dataoffsets, page.databytecounts, strict=False):
            if not offset or not count or offset + count > size:
                raise cut_short(path, f"plane {number + 1} of {len(pages)} ends at byte {offset + count} of {size}")


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep tifffile's log silent: what matters in it is checked here, and said in our words."""
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
