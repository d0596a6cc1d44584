"""Where each plane of an OME image lies: in which directory of which file of its data set.

The files of a set lie in one folder, by the names in the XML. A name that leads elsewhere (an absolute path, or `..`) is not followed.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import NamedTuple
from xml.etree import ElementTree

import numpy as np

from zsdeconv.errors import ImageError
from zsdeconv.io.metadata.ome_xml import OmeImage, PlaneBlock, companion_of, ome_root


class Place(NamedTuple):
    """A directory of a TIFF file."""

    path: Path
    ifd: int


@dataclass(frozen=True)
class DataSet:
    """An opened TIFF file with OME-XML: its path, its number of pages, and the root of the XML, be it in the file or beside it.

    `companion` is the name of the file beside it, empty where the XML lies in the file itself.
    """

    path: Path
    pages: int
    root: ElementTree.Element
    uuid: str
    companion: str = ""

    @classmethod
    def of(cls, path: Path, pages: int, root: ElementTree.Element) -> DataSet:
        """The data set of a file with this XML, which may only name the file that describes it.

        Raises `ImageError` where that file is missing, damaged or elsewhere.
        """
        uuid, name = root.get("UUID", ""), companion_of(root)
        if name is None:
            return cls(path, pages, root, uuid)
        beside = neighbour(path, name)
        if not beside.is_file():
            raise ImageError(f"{path.name}: {beside.name}, which describes its planes, is missing; put it into the same folder")
        try:
            described = ome_root(beside.read_text(encoding="utf-8", errors="replace"))
        except ElementTree.ParseError as error:
            raise ImageError(f"{path.name}: {beside.name}, which describes its planes, is damaged ({error}); copy it again") from error
        if described is None or companion_of(described) is not None:
            raise ImageError(f"{path.name}: {beside.name} does not describe its planes; export the data set anew")
        return cls(path, pages, described, uuid, beside.name)

    def places(self, image: OmeImage, *, alone: bool) -> list[Place | None]:
        """The place of each plane of an image, None where the XML gives none; the planes in the order of `image.plane_sizes`.

        `alone` says that the XML names one file only, which is then the opened one even where that was renamed.

        Raises `ImageError` for names of files that lead out of the folder.
        """
        sizes = image.plane_sizes
        places: list[Place | None] = [None] * image.planes
        for block in image.blocks or [PlaneBlock({}, 0, None)]:
            file = self._file(block, alone=alone)
            count = self.pages - block.ifd if block.count is None else block.count
            for number, plane in zip(range(count), _planes_from(sizes, block), strict=False):
                places[plane] = Place(file, block.ifd + number)
        return places

    def _file(self, block: PlaneBlock, *, alone: bool) -> Path:
        """The file of a block. One that was renamed is known by its identifier, or as the only one of its data set."""
        if not block.file or (block.uuid and block.uuid == self.uuid):
            return self.path
        named = neighbour(self.path, block.file)
        return self.path if alone and not named.exists() and not self.companion else named


def neighbour(path: Path, name: str) -> Path:
    """The file of this name in the folder of `path`.

    Raises `ImageError` for a name that leads elsewhere: a file must not make a program read other files of its user.
    """
    parts = PurePosixPath(name).parts + PureWindowsPath(name).parts
    if PurePosixPath(name).is_absolute() or PureWindowsPath(name).anchor or ".." in parts or not name.strip():
        raise ImageError(f"{path.name}: it names a file outside its folder ({name!r}), which is not read; put all files into one folder")
    return path.parent / name


def _planes_from(sizes: dict[str, int], block: PlaneBlock) -> Iterator[int]:
    """Numbers of the planes from the first one of a block on."""
    shape = tuple(sizes.values())
    first = tuple(block.first.get(axis, 0) for axis in sizes)
    if any(start >= n for start, n in zip(first, shape, strict=True)):
        return iter(())
    start = int(np.ravel_multi_index(first, shape)) if shape else 0
    return iter(range(start, int(np.prod(shape, dtype=np.int64))))
