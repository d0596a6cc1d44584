"""OME-TIFF: the images of OME-XML with their planes, each at the place in the data set that the XML gives."""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree

import numpy as np

from zsdeconv.errors import DataWarning
from zsdeconv.io.formats.ome_planes import DataSet, Place
from zsdeconv.io.formats.tiff_structure import cut_short, opened, refuse_lost_strips
from zsdeconv.io.metadata.annotation import read_annotation
from zsdeconv.io.metadata.ome_xml import OmeImage, ome_images
from zsdeconv.io.metadata.statements import Statements
from zsdeconv.io.source import FileSource, Region, Source

if TYPE_CHECKING:
    import tifffile


def described_sources(path: Path, tif: tifffile.TiffFile, root: ElementTree.Element, dialects: Statements) -> list[Source]:
    """The images that the OME-XML of a file describes; none where it describes none.

    Those without a plane in this file have `here` False, as other positions of a data set. Where the XML describes fewer planes than the
    file holds, of a single image along a single axis, all are read along it; otherwise the user is told that some are not.

    Raises `ImageError` where planes of the images in this file are missing, or are not of one size and type.

    Parameters
    ----------
    path, tif
        The opened file.
    root
        Its OME-XML.
    dialects
        What else the file states, which holds where the XML is silent.
    """
    pages = [page for page in range(len(tif.pages)) if not _is_reduced(tif, page)]
    data_set = DataSet.of(path, len(tif.pages), root)
    images = ome_images(data_set.root)
    alone = len({block.file for image in images for block in image.blocks if block.file}) == 1
    placed = [(image, data_set.places(image, alone=alone)) for image in images]
    here = {place.ifd for _, places in placed for place in places if place is not None and place.path == path}
    if not here:
        return []
    left = [page for page in pages if page not in here]
    if left and len(images) == 1 and not data_set.companion:
        placed = [_extended(path, *placed[0], pages)]
    elif left:
        _warn(path, f"{_planes(len(left))} of {len(pages)} that its OME-XML describes nowhere are not read")
    annotation = read_annotation(data_set.root) if not data_set.companion else {}
    return [_source(path, tif, image, places, dialects, annotation, data_set.companion) for image, places in placed]


def _extended(path: Path, image: OmeImage, places: list[Place | None], pages: list[int]) -> tuple[OmeImage, list[Place | None]]:
    """An image with all pages of its file along its only axis of planes, where the XML describes fewer."""
    long = [axis for axis, n in image.plane_sizes.items() if n > 1]
    in_order = [place.ifd for place in places if place is not None] == pages[: len(places)]
    if len(long) != 1 or not in_order:
        _warn(path, f"its OME-XML describes {_planes(len(places))}, the file holds {len(pages)}: the others are not read")
        return image, places
    told = f"its OME-XML describes {_planes(len(places))}, the file holds {len(pages)}"
    _warn(path, f"{told}: all are read along {long[0]}; give axes if wrong")
    return replace(image, sizes={**image.sizes, long[0]: len(pages)}), [Place(path, page) for page in pages]


def _source(
    path: Path,
    tif: tifffile.TiffFile,
    image: OmeImage,
    places: list[Place | None],
    dialects: Statements,
    annotation: dict[str, Any],
    companion: str,
) -> Source:
    """One image as a source; of an image that lies elsewhere its sizes are those of the XML until it is read."""
    present = [place for place in places if place is not None]
    here = [place for place in present if place.path == path]
    if here:
        _refuse_missing(path, places)
        _refuse_absent_pages(path, here, len(tif.pages))
        refuse_lost_strips(path, [_page(tif, place.ifd) for place in here])
    said = Statements([*image.said, *dialects])
    noted = annotation.get("metadata")
    if isinstance(noted, dict):
        said.add("zsdeconv", scan=noted.get("scan"), deskewed=noted.get("deskewed"))
    if isinstance(noted, dict) and isinstance(noted.get("optics"), dict):  # OME has no words for these
        said.add("zsdeconv", pinholes_au=noted.get("pinholes_au"), **{key: noted["optics"].get(key) for key in ("pinhole_au", "sample_ri")})
    axes, shape, dtype, coloured = _layout(path, tif, image, here[0].ifd if here else None)

    def load(region: Region) -> np.ndarray:
        _refuse_missing(path, places)
        outer = shape[: len([n for n in _with_modulo(image).values() if n > 1])]
        return _read(present, outer, (shape, dtype if here else None), region)

    beside = {path.parent / companion} if companion else set()
    files = sorted(({place.path for place in present} | beside) - {path})
    return FileSource("ome", axes, shape, dtype, load, said, image.name, bool(here), coloured, files, annotation)


def _layout(path: Path, tif: tifffile.TiffFile, image: OmeImage, ifd: int | None) -> tuple[str, tuple[int, ...], np.dtype, bool]:
    """Axes, shape and number type of an image, without axes of length 1, and whether its samples are colours."""
    planes = {axis: n for axis, n in _with_modulo(image).items() if n > 1}
    if ifd is None:
        plane_axes, plane_shape, dtype, coloured = "YX", (image.sizes["Y"], image.sizes["X"]), image.dtype, False
        if "S" in image.sizes:
            plane_axes, plane_shape, coloured = "YXS", (*plane_shape, image.sizes["S"]), True
    else:
        page = _page(tif, ifd)
        plane_axes, plane_shape, dtype = page.axes, tuple(page.shape), np.dtype(page.dtype)
        coloured = "S" in plane_axes and (getattr(page.photometric, "name", "") != "MINISBLACK" or dtype == np.uint8)
        described = (image.sizes["Y"], image.sizes["X"])
        actual = tuple(plane_shape[plane_axes.index(axis)] for axis in "YX")
        if described != actual:
            told = "its OME-XML describes planes of {} x {}, the file has planes of {} x {}: these are read"
            _warn(path, told.format(*described, *actual))
    return "".join(planes) + plane_axes, (*planes.values(), *plane_shape), dtype, coloured


def _with_modulo(image: OmeImage) -> dict[str, int]:
    """Sizes of the axes of planes, those split that hold a further dimension (OME's modulo annotation)."""
    sizes: dict[str, int] = {}
    for axis, n in image.plane_sizes.items():
        letter, count = image.modulo.get(axis, ("", 1))
        if count > 1 and n % count == 0:
            sizes |= {axis: n // count, letter: count}
        else:
            sizes[axis] = n
    return sizes


def _read(places: Sequence[Place], outer: Sequence[int], layout: tuple[tuple[int, ...], np.dtype | None], region: Region) -> np.ndarray:
    """The planes that a region of an image holds, file by file. A number type of None is that of the first plane."""
    shape, dtype = layout
    numbers = np.arange(math.prod(outer)).reshape(outer)[region[: len(outer)]]
    wanted, inner = numbers.ravel().tolist(), region[len(outer) :]
    targets = sorted(range(len(wanted)), key=lambda target: str(places[wanted[target]].path))
    data = np.empty((0,))
    for target, plane in zip(targets, _planes_at([places[wanted[target]] for target in targets]), strict=True):
        if plane.shape != shape[len(outer) :] or plane.dtype != (dtype or plane.dtype):
            name, found = places[wanted[target]].path.name, f"{plane.dtype} of size {plane.shape}"
            raise cut_short(name, f"plane {wanted[target] + 1} is {found}, {dtype or ''} of size {shape[len(outer) :]} is described")
        if dtype is None or not data.size:
            dtype, data = plane.dtype, np.empty((len(wanted), *plane[inner].shape), plane.dtype)
        data[target] = plane[inner]
    return data.reshape(*numbers.shape, *data.shape[1:])


def _planes_at(places: Sequence[Place]) -> Iterator[np.ndarray]:
    """The planes at these places, with each file opened once for neighbours in the list."""
    for path, group in groupby(places, key=lambda place: place.path):
        with opened(path) as tif:
            for place in group:
                if place.ifd >= len(tif.pages):
                    raise cut_short(path, f"plane {place.ifd + 1} of {len(tif.pages)} is missing")
                page = _page(tif, place.ifd)
                refuse_lost_strips(path, [page])
                yield page.asarray()


def _refuse_missing(path: Path, places: Sequence[Place | None]) -> None:
    """Raise `ImageError` unless the file of each plane is there."""
    lost = [place for place in places if place is None or not place.path.is_file()]
    if lost:
        names = sorted({place.path.name for place in lost if place is not None})
        which = f" ({', '.join(names[:3])}{', ...' if len(names) > 3 else ''})" if names else ""
        detail = f"{len(lost)} of {len(places)} planes are missing{which}; are all files of the data set in one folder?"
        raise cut_short(path, detail)


def _refuse_absent_pages(path: Path, here: Sequence[Place], pages: int) -> None:
    absent = [place for place in here if place.ifd >= pages]
    if absent:
        raise cut_short(path, f"{len(absent)} of {len(here)} planes are missing")


def _page(tif: tifffile.TiffFile, number: int) -> Any:
    return tif.pages[number]


def _is_reduced(tif: tifffile.TiffFile, number: int) -> bool:
    return bool(getattr(_page(tif, number), "is_reduced", False))


def _planes(count: int) -> str:
    return f"{count} plane{'s' if count != 1 else ''}"


def _warn(path: Path, message: str) -> None:
    warnings.warn(f"{path.name}: {message}", DataWarning, stacklevel=6)
