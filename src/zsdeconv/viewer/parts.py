"""Which part of a result a page shows: all of it where that fits, else fewer times and planes, and then its middle."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from zsdeconv.errors import ConfigError
from zsdeconv.image import crop_ranges

MAX_PIXELS = 45_000_000
"""Pixels of a page, all images together. Chosen: a frame of 2048 x 2048 pixels with its results; of pure noise the page has 90 MB."""
MIN_TIMES, MIN_PLANES = 16, 16
"""Times and planes that stay while the field is still whole. Chosen: a movement and a body can be followed."""


@dataclass(frozen=True)
class Part:
    """Times and planes, counted from 0, and first and last + 1 row and column, pixels of the coarsest grid."""

    times: Sequence[int]
    planes: Sequence[int]
    rows: tuple[int, int]
    columns: tuple[int, int]

    @property
    def height(self) -> int:
        """Rows of it."""
        return self.rows[1] - self.rows[0]

    @property
    def width(self) -> int:
        """Columns of it."""
        return self.columns[1] - self.columns[0]

    @property
    def pixels(self) -> int:
        """Pixels of one image of one channel on the coarsest grid."""
        return len(self.times) * len(self.planes) * self.height * self.width


def choose_part(sizes: Mapping[str, int], samples: int, crop: str | None = None, max_pixels: int = MAX_PIXELS) -> Part:
    """The part that is shown of an image of `sizes` on the coarsest grid.

    Parameters
    ----------
    sizes
        Lengths along T, Z, Y and X; 1 where it has no such axis.
    samples
        Pixels in the page for each of these: channels, images, and their finer grids.
    crop
        The part that the user asks for, as in `zsdeconv.image.crop_ranges`.
    max_pixels
        Limit for the page.

    Raises
    ------
    ConfigError
        For a part that does not lie within the image.

    Examples
    --------
    >>> choose_part({"T": 100, "Z": 1, "Y": 512, "X": 512}, 6, max_pixels=63_000_000).times[:4]
    [0, 3, 5, 8]
    """
    ranges = _wanted(sizes, crop)
    (t, z), limit = ([list(range(*ranges[axis])) for axis in "TZ"], max_pixels / samples)
    field = (ranges["Y"][1] - ranges["Y"][0]) * (ranges["X"][1] - ranges["X"][0])
    t = _thinned(t, limit / (len(z) * field), MIN_TIMES)
    z = _thinned(z, limit / (len(t) * field), MIN_PLANES)
    shrink = min(1.0, math.sqrt(limit / (len(t) * len(z) * field)))
    return Part(t, z, _middle(ranges["Y"], shrink), _middle(ranges["X"], shrink))


def part_words(part: Part, sizes: Mapping[str, int]) -> list[str]:
    """What is shown of an image of `sizes`, where that is not all of it.

    >>> part_words(Part([0, 5, 9], [0], (8, 24), (0, 40)), {"T": 10, "Z": 1, "Y": 32, "X": 40})
    ['3 of 10 times', '16 x 40 of 32 x 40 pixels, from row 8 and column 0 on']
    """
    words = [
        f"{len(chosen)} of {sizes[axis]} {name}"
        for axis, name, chosen in (("T", "times", part.times), ("Z", "planes", part.planes))
        if len(chosen) < sizes[axis]
    ]
    if (part.height, part.width) != (sizes["Y"], sizes["X"]):
        corner = f"from row {part.rows[0]} and column {part.columns[0]} on"
        words.append(f"{part.height} x {part.width} of {sizes['Y']} x {sizes['X']} pixels, {corner}")
    return words


def _wanted(sizes: Mapping[str, int], crop: str | None) -> dict[str, tuple[int, int]]:
    ranges = {axis: (0, sizes[axis]) for axis in "TZYX"}
    for axis, (start, stop) in (crop_ranges(crop) if crop else {}).items():
        end = sizes[axis] if stop is None else stop
        if start >= sizes[axis] or end > sizes[axis]:
            raise ConfigError(f"`crop` {start}:{'' if stop is None else stop} along {axis}: it has 0:{sizes[axis]}; give a smaller `crop`")
        ranges[axis] = (start, end)
    return ranges


def _thinned(indices: list[int], affordable: float, least: int) -> list[int]:
    """As many of the indices as are affordable, evenly spaced with both ends; at least `least` of them."""
    count = max(min(least, len(indices)), math.floor(affordable))
    if count >= len(indices):
        return indices
    return [indices[int(at)] for at in np.rint(np.linspace(0, len(indices) - 1, count))]


def _middle(ends: tuple[int, int], shrink: float) -> tuple[int, int]:
    size = ends[1] - ends[0]
    kept = max(1, math.floor(size * shrink))
    first = ends[0] + (size - kept) // 2
    return first, first + kept
