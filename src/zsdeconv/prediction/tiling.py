"""Tiling as a plan: what to read, what to trust, where to write."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

Span = tuple[int, int]


@dataclass(frozen=True)
class Tile:
    """One piece of work along the spatial axes, raw pixels of the image, half-open spans.

    `read` is the region given to the network, `write` the part of it that this tile owns. Every pixel of an image is owned
    by exactly one tile, and the distance from an owned pixel to an end of `read` is at least the halo, unless the image, or
    what continues it, ends there.
    """

    read: tuple[Span, ...]
    write: tuple[Span, ...]

    def read_slices(self, border_px: Sequence[int]) -> tuple[slice, ...]:
        """Where to read, in the raw image continued by `border_px` at all ends."""
        return tuple(slice(first + border, last + border) for (first, last), border in zip(self.read, border_px, strict=True))

    def trust_slices(self, factors: Sequence[int]) -> tuple[slice, ...]:
        """The owned part of the network's output, whose pixels are `factors` times finer than the raw grid."""
        return tuple(slice((w[0] - r[0]) * f, (w[1] - r[0]) * f) for r, w, f in zip(self.read, self.write, factors, strict=True))

    def write_slices(self, factors: Sequence[int]) -> tuple[slice, ...]:
        """Where the owned part goes in the whole output, whose pixels are `factors` times finer than the raw grid."""
        return tuple(slice(w[0] * f, w[1] * f) for w, f in zip(self.write, factors, strict=True))


def plan_tiles(
    shape: Sequence[int], tile_px: Sequence[int], halo_px: Sequence[int], stride_px: Sequence[int], border_px: Sequence[int]
) -> Iterator[Tile]:
    """Tiles that cover an image of `shape`, each owning at most `tile_px` pixels an axis, all in raw pixels.

    The image can be read beyond its ends, as far as `border_px`. Regions to read begin at multiples of `stride_px` from there, so
    that a network that pools meets the same blocks in every tile as in the whole; they extend `halo_px` beyond the owned part where
    there is so much to read. Tiles are about equally large.

    >>> [(t.read[0], t.write[0]) for t in plan_tiles([100], [40], [8], [4], [0])]
    [((0, 44), (0, 36)), ((28, 80), (36, 72)), ((64, 100), (72, 100))]
    """
    each = zip(shape, tile_px, halo_px, stride_px, border_px, strict=True)
    for spans in itertools.product(*(list(_spans(*axis)) for axis in each)):
        yield Tile(tuple(read for read, _ in spans), tuple(write for _, write in spans))


def _spans(size: int, tile: int, halo: int, stride: int, border: int) -> Iterator[tuple[Span, Span]]:
    most = max(tile // stride, 1) * stride
    pieces = math.ceil((size + 2 * border) / most)
    step = math.ceil((size + 2 * border) / pieces / stride) * stride
    for start in range(-border, size + border, step):
        owned = max(start, 0), min(start + step, size)
        if owned[0] < owned[1]:
            first = max(start - math.ceil(halo / stride) * stride, -border)
            yield (first, min(start + step + halo, size + border)), owned
