"""Which part of the data a network learns from: all of it, or a fair sample of bounded size."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

MAX_PIXELS = 8 * 2**20
"""Pixels learned from at most: a training sees each of so many about ten times, more would only cost memory."""
REGION_PX = 1024


def training_regions(frames: Sequence[np.ndarray], seed: int, max_pixels: int = MAX_PIXELS) -> list[np.ndarray]:
    """The frames themselves (`*zyx`), or random lateral regions of random frames when all together exceed `max_pixels`.

    Regions are at most 1024 pixels wide. Memory for training so depends on `max_pixels`, not on the length of a movie.

    >>> [region.shape for region in training_regions([np.zeros((2000, 3000))], seed=0, max_pixels=2**21)]
    [(1024, 1024), (1024, 1024)]
    """
    if sum(frame.size for frame in frames) <= max_pixels:
        return list(frames)
    rng = np.random.default_rng(seed)
    regions: list[np.ndarray] = []
    order = rng.permutation(len(frames))
    while not regions or sum(region.size for region in regions) + regions[-1].size <= max_pixels:
        frame = frames[order[len(regions) % len(order)]]
        sizes = [min(REGION_PX, n) for n in frame.shape[-2:]]
        start = [int(rng.integers(n - size + 1)) for n, size in zip(frame.shape[-2:], sizes, strict=True)]
        regions.append(frame[..., start[0] : start[0] + sizes[0], start[1] : start[1] + sizes[1]])
    return regions
