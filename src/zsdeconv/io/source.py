"""What a reader gives of each image in a file: its shape, what the file says about it, and its pixels on demand."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from zsdeconv.errors import ImageError
from zsdeconv.io.metadata.statements import Statements

Region = tuple[slice, ...]
"""One slice for each axis; an empty one is the whole image."""


class Source(Protocol):
    """One image in a file, whose pixels are read on demand.

    `scene` is its name in the file, empty where it has none, and `axes` may hold S for the samples of a pixel (colours where `coloured`)
    and other letters for dimensions that the file does not name. `here` says whether its pixels lie in the file that was opened, or in
    another one of the same data set; `files` are those that they lie in beside the opened one. `annotation` is what this package has noted
    in the file.
    """

    @property
    def format(self) -> str: ...
    @property
    def scene(self) -> str: ...
    @property
    def axes(self) -> str: ...
    @property
    def shape(self) -> tuple[int, ...]: ...
    @property
    def dtype(self) -> np.dtype: ...
    @property
    def said(self) -> Statements: ...
    @property
    def here(self) -> bool: ...
    @property
    def coloured(self) -> bool: ...
    @property
    def files(self) -> Sequence[Path]: ...
    @property
    def annotation(self) -> Mapping[str, Any]: ...

    def read(self, region: Region = ()) -> np.ndarray:
        """The pixels of a region, in the number type of the file and with all its axes."""
        ...


@dataclass(frozen=True, eq=False)
class FileSource:
    """A `Source` that a function reads: `load` gets one slice for each axis, without steps."""

    format: str
    axes: str
    shape: tuple[int, ...]
    dtype: np.dtype
    load: Callable[[Region], np.ndarray]
    said: Statements = field(default_factory=Statements)
    scene: str = ""
    here: bool = True
    coloured: bool = False
    files: Sequence[Path] = ()
    annotation: Mapping[str, Any] = field(default_factory=dict)

    def read(self, region: Region = ()) -> np.ndarray:
        """The pixels of a region.

        >>> data = np.arange(12).reshape(3, 4)
        >>> FileSource("npy", "YX", (3, 4), data.dtype, lambda region: data[region]).read((slice(1, 2), slice(0, 2))).tolist()
        [[4, 5]]
        """
        whole = region or (slice(None),) * len(self.shape)
        return self.load(tuple(slice(*part.indices(n)) for part, n in zip(whole, self.shape, strict=True)))


def chosen_scene(name: str, sources: Sequence[Source], scene: str | int | None) -> Source:
    """The image of a file to read: by number (from 1) or name, else the only one in the opened file.

    Raises `ImageError` for a scene that is not there, and for several that differ in size when none is chosen.

    Parameters
    ----------
    name
        The file, for messages.
    sources
        Its images.
    scene
        A number, a name, or None.
    """
    if scene is not None:
        return _by_name(name, sources, str(scene).strip())
    candidates = [source for source in sources if source.here] or list(sources)
    if len({(source.axes, source.shape, source.said.first("x_um")) for source in candidates}) > 1:
        raise ImageError(f"{name}: {len(candidates)} images of different sizes ({listed(sources)}), 1 is read at a time; give `scene`")
    return candidates[0]


def listed(sources: Sequence[Source]) -> str:
    """Numbers, names and sizes of the images in a file, the first dozen of them.

    >>> data = np.zeros((3, 4))
    >>> listed([FileSource("npy", "YX", (3, 4), data.dtype, lambda region: data[region], scene="cell")])
    "1: 'cell' 3 x 4"
    """
    words = []
    for number, source in enumerate(sources[:MAX_LISTED], 1):
        sizes = " x ".join(map(str, source.shape))
        words.append(f"{number}: {source.scene!r} {sizes}" if source.scene else f"{number}: {sizes}")
    return ", ".join(words) + (f" and {len(sources) - MAX_LISTED} more" if len(sources) > MAX_LISTED else "")


MAX_LISTED = 12
"""Scenes that a message lists. Chosen: more fill the screen."""


def _by_name(name: str, sources: Sequence[Source], scene: str) -> Source:
    named = [source for source in sources if source.scene == scene]
    if len(named) == 1:
        return named[0]
    if scene.isdecimal() and 1 <= int(scene) <= len(sources):
        return sources[int(scene) - 1]
    if named:
        raise ImageError(f"{name}: {len(named)} scenes are named {scene!r}; give its number ({listed(sources)})")
    raise ImageError(f"{name}: no scene {scene!r}, there are {len(sources)} ({listed(sources)}); give one of these, by number or name")
