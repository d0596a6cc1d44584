"""CZI files of Zeiss, by the library pylibCZIrw: every scene, composed of its tiles where it is a mosaic."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple
from xml.etree import ElementTree

import numpy as np

from zsdeconv.errors import ImageError
from zsdeconv.io.formats.layout import kept, read_planes, reading, tell_of, with_rows
from zsdeconv.io.formats.tiff_structure import cut_short
from zsdeconv.io.metadata.czi_xml import (
    czi_statements,
    image_of,
    kinds_of_microscope,
    processed_airyscan,
    scans_lines,
    scene_names,
    sheared,
)
from zsdeconv.io.source import FileSource, Region, Source

if TYPE_CHECKING:
    from pylibCZIrw.czi import CziReader

_ORDER = "VHIRTCZ"
"""Axes of planes, slowest first: view, phase, illumination and rotation have no name here."""
_TYPES = {"Gray8": "u1", "Gray16": "u2", "Gray32Float": "f4", "Bgr24": "u1", "Bgr48": "u2", "Bgr96Float": "f4"}
"""Number types of a sample by the names of pixel types; those of Bgr have three samples a pixel."""


class _Block(NamedTuple):
    """One stored rectangle of full resolution: its numbers along the axes of planes, its place, and its pixel type."""

    at: tuple[int, ...]
    place: tuple[int, int, int, int]
    kind: str


@dataclass
class _Scene:
    """The stored rectangles of a scene. `number` is None where the file has no scenes."""

    number: int | None
    blocks: list[_Block] = field(default_factory=list)

    @property
    def place(self) -> tuple[int, int, int, int]:
        """Left, top, width and height of all rectangles together."""
        left, top = (min(block.place[side] for block in self.blocks) for side in (0, 1))
        right, bottom = (max(block.place[side] + block.place[side + 2] for block in self.blocks) for side in (0, 1))
        return left, top, right - left, bottom - top

    @property
    def numbers(self) -> dict[str, list[int]]:
        """The numbers that occur along each axis of planes."""
        return {axis: sorted({block.at[n] for block in self.blocks}) for n, axis in enumerate(_ORDER)}

    @property
    def tiles(self) -> int:
        """The largest number of rectangles at different places in a plane."""
        return max(Counter(at for at, _ in {(block.at, block.place) for block in self.blocks}).values())


def is_czi(path: Path, head: bytes) -> bool:
    r"""Whether a file is a CZI.

    >>> is_czi(Path("a.czi"), b"ZISRAWFILE" + bytes(6))
    True
    """
    return head.startswith(b"ZISRAWFILE")


def czi_scenes(path: Path) -> Sequence[Source]:
    """The scenes of a CZI file, at full resolution.

    Warns (`DataWarning`) of mosaics, of scans of one line, of raw or processed frames of an Airyscan detector and of planes that a light
    sheet has sheared in an unknown way. Raises `ImageError` for damaged files, for pixels of several kinds, and, when a scene is read,
    for missing planes.
    """
    from pylibCZIrw import czi

    with reading(path), czi.open_czi(str(path)) as document:
        scenes = _scenes(document)
        root = ElementTree.fromstring(document.raw_metadata)
    names = scene_names(root)
    titles = [names.get(scene.number, "") if scene.number is not None else "" for scene in scenes]
    titled = [title or f"scene {number}" for number, title in enumerate(titles, 1)]
    mosaics = [title for title, scene in zip(titled, scenes, strict=True) if scene.tiles > 1]
    tell_of(path, mosaics, "a mosaic, its tiles are joined at their stage positions", "look for seams and gaps")
    raw = [title for title, scene in zip(titled, scenes, strict=True) if len(scene.numbers["H"]) > 1]
    tell_of(path, raw, "raw frames of several phases or detectors (H), no plain image", "process them first, or give axes")
    _tell_of_optics(path, root, scenes, titled)
    lines = [title for title, scene in zip(titled, scenes, strict=True) if _is_line(root, scene)]
    tell_of(path, lines, "a scan without y, whose rows are depths or times", "give axes with Y for its rows to read it as a plane")
    unknown = sheared(root) and czi_statements(root, []).first("scan") is None
    tell_of(path, [path.name] * unknown, "planes of an oblique light sheet, which are sheared", "give scan_angle_deg and scan_step_um")
    sources = [_source(path, root, scene, title) for scene, title in zip(scenes, titles, strict=True)]
    return [_without_y(source) if _is_line(root, scene) else source for source, scene in zip(sources, scenes, strict=True)]


def _scenes(document: CziReader) -> list[_Scene]:
    scenes: dict[int | None, _Scene] = {}

    def add(_: int, info: Any) -> bool:
        rectangle, size = info.logicalRect, info.physicalSize
        if (rectangle.w, rectangle.h) == (size.w, size.h):  # others belong to the pyramid
            at = {str(axis).rpartition(".")[2]: int(n) for axis, n in info.coordinate.to_dict().items()}
            place = (rectangle.x, rectangle.y, rectangle.w, rectangle.h)
            kind = str(info.pixelType).rpartition(".")[2]
            number = at.get("S")
            scenes.setdefault(number, _Scene(number)).blocks.append(_Block(tuple(at.get(axis, 0) for axis in _ORDER), place, kind))
        return True

    document.enumerate_subblocks(add)
    return [scenes[number] for number in sorted(scenes, key=lambda number: -1 if number is None else number)]


def _tell_of_optics(path: Path, root: ElementTree.Element, scenes: Sequence[_Scene], titles: Sequence[str]) -> None:
    """Warn of scenes whose PSF the file does not state."""
    image = image_of(root)
    computed = [title for scene, title in zip(scenes, titles, strict=True) if processed_airyscan(image, scene.numbers["C"])]
    what = "a processed Airyscan image, whose PSF is narrower than that of any pinhole"
    tell_of(path, computed, what, "measure a PSF, process it alike, and give psf")
    kinds = {title: kinds_of_microscope(image, scene.numbers["C"]) for scene, title in zip(scenes, titles, strict=True)}
    several = {title: found for title, found in kinds.items() if len(found) > 1}
    listed = " and ".join(sorted(set().union(*several.values())))
    tell_of(path, several, f"channels of several kinds of microscope ({listed})", "give microscope, or one channel at a time")


def _is_line(root: ElementTree.Element, scene: _Scene) -> bool:
    """Whether a scene is one line at several times or depths."""
    return scans_lines(root) and scene.place[3] == 1 and any(len(scene.numbers[axis]) > 1 for axis in "TZ")


def _without_y(source: FileSource) -> FileSource:
    """An image of lines, with their times or depths as its rows."""
    at = source.axes.index("Y")

    def load(region: Region) -> np.ndarray:
        return source.read((*region[:at], slice(0, 1), *region[at:])).squeeze(at)

    axes, shape = kept(with_rows({axis: n for axis, n in zip(source.axes, source.shape, strict=True) if axis != "Y"}))
    return replace(source, axes=axes, shape=shape, load=load)


def _source(path: Path, root: ElementTree.Element, scene: _Scene, title: str) -> FileSource:
    left, top, width, height = scene.place
    numbers = scene.numbers
    sizes = {axis: len(found) for axis, found in numbers.items()} | {"Y": height, "X": width}
    dtype, samples = _pixel_type(path, {block.kind for block in scene.blocks})
    sizes |= {"S": samples} if samples > 1 else {}
    axes, shape = kept(sizes)
    expected, present = int(np.prod([len(found) for found in numbers.values()], dtype=np.int64)), {block.at for block in scene.blocks}

    def load(region: Region) -> np.ndarray:
        from pylibCZIrw import czi

        if len(present) < expected:
            if len(numbers["H"]) > 1:
                raise ImageError(f"{path.name}: its channels have different numbers of raw frames (H), one is needed; process them first")
            raise cut_short(path, f"{len(present)} of {expected} planes are present")
        part = dict(zip(axes, region, strict=True))
        window = (left + part["X"].start, top + part["Y"].start, part["X"].stop - part["X"].start, part["Y"].stop - part["Y"].start)
        inside = tuple(slice(0, one.stop - one.start) if axis in "YX" else one for axis, one in part.items())
        cropped = sizes | {"Y": window[3], "X": window[2]}
        with reading(path), czi.open_czi(str(path)) as document:

            def plane(at: dict[str, int]) -> np.ndarray:
                where = {axis: numbers[axis][n] for axis, n in at.items()}
                pixels = document.read(roi=window, plane=where, scene=scene.number)
                return pixels[..., ::-1] if samples > 1 else pixels  # blue comes first

            return read_planes(path, cropped, inside, dtype, plane) if min(window[2:]) > 0 else np.empty(0, dtype)

    said = czi_statements(root, numbers["C"])
    return FileSource("czi", axes, shape, dtype, load, said, scene=title, coloured=samples > 1)


def _pixel_type(path: Path, kinds: set[str]) -> tuple[np.dtype, int]:
    """Number type, and samples of a pixel. Channels of 8 and of 16 bits go into one of 16."""
    samples = {3 if kind.startswith("Bgr") else 1 for kind in kinds}
    if not kinds <= set(_TYPES) or len(samples) > 1:
        raise ImageError(
            f"{path.name}: pixels of type {', '.join(sorted(kinds))}, grey ones of one kind are read; export its channels one by one"
        )
    return np.result_type(*(np.dtype(_TYPES[kind]) for kind in kinds)), samples.pop()
