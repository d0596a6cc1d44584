"""The training data: all frames, or random regions of bounded total size."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

MAX_PIXELS = 8 * 2**20
"""Largest number of training pixels. Chosen: the default training draws each of them about ten times; more would only cost memory."""
REGION_PX = 1024
"""Largest width of a region. Chosen: large against a patch, small against a movie, so that a few regions sample many frames."""
REGION_SLICES = 64
"""Largest number of slices in a region of a volume; its width is reduced so that all regions have about equal size. Chosen: several times
the planes of a patch."""


class Region(NamedTuple):
    """Part of a frame, and its first pixel along each axis."""

    pixels: np.ndarray
    start: tuple[int, ...]


def training_regions(frames: Sequence[np.ndarray], seed: int, max_pixels: int = MAX_PIXELS, rank: int | None = None) -> list[Region]:
    """The frames as they are, or random regions of random frames when they exceed `max_pixels` in total.

    Regions are at most 1024 pixels wide; those of volumes have at most 64 slices and 1024^2 pixels. The memory for
    training therefore depends on `max_pixels` and not on the length of a movie.

    Parameters
    ----------
    frames
        Frames, each `*zyx`, or raw frames with one more axis in front.
    seed
        Seed of the random choice.
    max_pixels
        Largest total number of pixels.
    rank
        Number of trailing axes that are cropped and counted, all by default; raw frames that form one image stay together.

    Examples
    --------
    >>> [region.pixels.shape for region in training_regions([np.zeros((2000, 3000))], seed=0, max_pixels=2**21)]
    [(1024, 1024), (1024, 1024)]
    >>> [region.pixels.shape for region in training_regions([np.zeros((70, 300, 200))], seed=0, max_pixels=2**21)]
    [(64, 128, 128), (64, 128, 128)]
    >>> [region.pixels.shape for region in training_regions([np.zeros((9, 1200, 80))], seed=0, max_pixels=2**16, rank=2)]
    [(9, 1024, 80)]
    """

    def pixels(frame: np.ndarray) -> int:
        return math.prod(frame.shape if rank is None else frame.shape[-rank:])

    if sum(map(pixels, frames)) <= max_pixels:
        return [Region(frame, (0,) * frame.ndim) for frame in frames]
    rng = np.random.default_rng(seed)
    regions: list[Region] = []
    order = rng.permutation(len(frames))
    while not regions or sum(pixels(region.pixels) for region in regions) + pixels(regions[-1].pixels) <= max_pixels:
        frame = frames[order[len(regions) % len(order)]]
        whole = 0 if rank is None else frame.ndim - rank
        sizes = [*frame.shape[:whole], *_region_shape(frame.shape[whole:])]
        start = [int(rng.integers(n - size + 1)) for n, size in zip(frame.shape, sizes, strict=True)]
        window = tuple(slice(a, a + size) for a, size in zip(start, sizes, strict=True))
        regions.append(Region(frame[window], tuple(start)))
    return regions


def _region_shape(shape: Sequence[int]) -> list[int]:
    """Shape of a region of a frame `y x` or a volume `z y x`."""
    slices = [min(REGION_SLICES, n) for n in shape[:-2]]
    width = int(REGION_PX / math.sqrt(math.prod(slices)))
    return [*slices, *(min(width, n) for n in shape[-2:])]
