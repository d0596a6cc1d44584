"""Reading TIFF: OME-TIFF with its planes placed by the XML; ImageJ, Micro-Manager, plain, LSM and STK files with axes by tifffile."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree

import numpy as np

from zsdeconv.errors import DataWarning
from zsdeconv.io.formats.layout import tell_of
from zsdeconv.io.formats.ome_tiff import described_sources
from zsdeconv.io.formats.tiff_structure import cut_short, opened, refuse_lost_strips
from zsdeconv.io.metadata.ome_xml import ome_root
from zsdeconv.io.metadata.statements import Statements
from zsdeconv.io.metadata.tiff_dialects import descriptions, state
from zsdeconv.io.source import FileSource, Region, Source

if TYPE_CHECKING:
    import tifffile

_COLOURS = {"RGB", "YCBCR", "CIELAB", "ICCLAB", "SEPARATED"}
_UNDESCRIBED_KINDS = {"generic", "uniform"}
"""Names that tifffile gives to series of no dialect."""


def tiff_scenes(path: Path) -> Sequence[Source]:
    """The images in a TIFF file, those of its whole data set where OME-XML describes one; pyramids and thumbnails are none.

    Samples of a pixel are the axis S. Warns (`DataWarning`) of spectra. Raises `ImageError` for damaged or truncated files (missing planes
    are not filled with zeros).
    """
    with opened(path) as tif:
        root = _xml(path, tif)
        dialects = Statements()
        state(tif, dialects)
        if root is not None and (found := described_sources(path, tif, root, dialects)):
            return found
        series = [s for s in tif.series if not s.keyframe.is_reduced] or list(tif.series)
        return [_of_series(path, tif, number, one, dialects) for number, one in enumerate(series)]


def _xml(path: Path, tif: tifffile.TiffFile) -> ElementTree.Element | None:
    """The OME-XML among the descriptions of the first page; of a damaged one the user is told, and the file is read without it."""
    for text in descriptions(tif):
        try:
            root = ome_root(text)
        except ElementTree.ParseError as error:
            warnings.warn(
                f"{path.name}: its OME-XML is damaged ({error}) and not read: axes, pixel size and optics may be missing; give them",
                DataWarning,
                stacklevel=5,
            )
            continue
        if root is not None:
            return root
    return None


def _of_series(path: Path, tif: tifffile.TiffFile, number: int, series: tifffile.TiffPageSeries, said: Statements) -> Source:
    """An image as tifffile finds it: pages of one size, with axes by their dialect."""
    refuse_missing_planes(path, tif, series)
    axes = series.axes.replace("P", "R") if series.kind == "lsm" else series.axes  # there P numbers stage positions
    if series.kind == "lsm" and (tif.lsm_metadata or {}).get("SpectralScan") == 1 and "C" in axes:
        tell_of(path, [str(series.name or path.stem)], "a scan of wavelengths", "give axes with C for them")
        axes = axes.replace("C", "L")
    name = series.name if series.kind not in _UNDESCRIBED_KINDS | {"shaped", "imagej"} else ""

    def load(region: Region) -> np.ndarray:
        with opened(path) as again:
            kept = [s for s in again.series if not s.keyframe.is_reduced] or list(again.series)
            return _region_of(kept[number], region)

    samples = series.shape[series.axes.index("S")] if "S" in series.axes else 1
    declared = (tif.imagej_metadata or {}).get("channels") == samples and series.dtype != np.uint8
    coloured = getattr(series.keyframe.photometric, "name", "") in _COLOURS or (samples in (3, 4) and series.dtype == np.uint8)
    return FileSource(
        series.kind,
        axes,
        tuple(series.shape),
        np.dtype(series.dtype),
        load,
        said,
        scene=str(name or ""),
        coloured=coloured and not declared,
    )


def _region_of(series: tifffile.TiffPageSeries, region: Region) -> np.ndarray:
    """A region of a series: only the pages that hold it, where each page holds whole planes."""
    whole = all(part.start == 0 and part.stop == n for part, n in zip(region, series.shape, strict=True))
    rank = series.keyframe.ndim
    outer = series.shape[: len(series.shape) - rank]
    if whole or series.shape[len(outer) :] != series.keyframe.shape or int(np.prod(outer, dtype=np.int64)) != len(series.pages):
        return np.asarray(series.asarray())[region]
    numbers = np.arange(len(series.pages)).reshape(outer)[region[: len(outer)]]
    planes = np.empty((numbers.size, *(part.stop - part.start for part in region[len(outer) :])), series.dtype)
    for plane, number in zip(planes, numbers.ravel(), strict=True):
        page: Any = series.pages[int(number)]
        plane[...] = page.asarray()[region[len(outer) :]]
    return planes.reshape(*numbers.shape, *planes.shape[1:])


def refuse_missing_planes(path: Path, tif: tifffile.TiffFile, series: tifffile.TiffPageSeries) -> None:
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
    refuse_lost_strips(path, present)
