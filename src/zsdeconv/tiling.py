"""Tiling as a plan: what to read, what to trust, where to write."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

Span = tuple[int, int]


@dataclass(frozen=True)
class Tile:
    """One piece of work along the spatial axes, raw pixels, half-open spans.

    `read` is the region given to the network, `write` the part of it that this tile owns. Every pixel of an image is owned
    by exactly one tile, and the distance from an owned pixel to a border of `read` that is not a border of the image is at
    least the halo.
    """

    read: tuple[Span, ...]
    write: tuple[Span, ...]

    def read_slices(self) -> tuple[slice, ...]:
        """Where to read, in the raw image."""
        return tuple(slice(*span) for span in self.read)

    def trust_slices(self, factors: Sequence[int]) -> tuple[slice, ...]:
        """The owned part of the network's output, whose pixels are `factors` times finer than the raw grid."""
        return tuple(slice((w[0] - r[0]) * f, (w[1] - r[0]) * f) for r, w, f in zip(self.read, self.write, factors, strict=True))

    def write_slices(self, factors: Sequence[int]) -> tuple[slice, ...]:
        """Where the owned part goes in the whole output, whose pixels are `factors` times finer than the raw grid."""
        return tuple(slice(w[0] * f, w[1] * f) for w, f in zip(self.write, factors, strict=True))


def plan_tiles(shape: Sequence[int], tile_px: Sequence[int], halo_px: Sequence[int], stride_px: Sequence[int]) -> Iterator[Tile]:
    """Tiles that cover an image of `shape`, each owning at most `tile_px` pixels an axis, all in raw pixels.

    Regions to read begin at multiples of `stride_px`, so that a network that pools meets the same blocks in every tile as
    in the whole image; they extend `halo_px` beyond the owned part, up to the image's border.

    >>> [(t.read[0], t.write[0]) for t in plan_tiles([100], [40], [8], [4])]
    [((0, 48), (0, 40)), ((32, 88), (40, 80)), ((72, 100), (80, 100))]
    """
    axes = [list(_spans(size, tile, halo, stride)) for size, tile, halo, stride in zip(shape, tile_px, halo_px, stride_px, strict=True)]
    for spans in itertools.product(*axes):
        yield Tile(tuple(read for read, _ in spans), tuple(write for _, write in spans))


def _spans(size: int, tile: int, halo: int, stride: int) -> Iterator[tuple[Span, Span]]:
    step = max(tile // stride, 1) * stride
    for start in range(0, size, step):
        stop = min(start + step, size)
        first = max(start - math.ceil(halo / stride) * stride, 0)
        yield (first, min(stop + halo, size)), (start, stop)
