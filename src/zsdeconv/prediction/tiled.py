"""Prediction: a frame of any size through a network, tile by tile, pass by pass."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from zsdeconv.physics import grid
from zsdeconv.prediction.tiling import Tile, plan_tiles

DEFAULT_TILE_PX = {2: (768, 768), 3: (64, 128, 128)}
"""Largest size of a tile's own part for images of each rank: 1 to 2 GB with the halo of the default network."""


@dataclass(frozen=True)
class FramePrediction:
    """Mean over the passes on the raw and the fine grid, and their standard deviation on the fine grid (None: one pass)."""

    denoised: Tensor
    deconvolved: Tensor
    spread: Tensor | None


class _Accumulator:
    """Mean and spread of passes that come in opposite pairs, tile by tile: images are large, so there is one array for each."""

    def __init__(self, shape: Sequence[int], like: Tensor, *, with_spread: bool) -> None:
        self.total = like.new_zeros(shape)
        self.squares = like.new_zeros(shape) if with_spread else None

    def add(self, where: tuple[slice, ...], part: Tensor) -> None:
        """A part of one more pass."""
        self.total[where] += part
        if self.squares is not None:
            self.squares[where].addcmul_(part, part)

    def results(self, count: int) -> tuple[Tensor, Tensor | None]:
        """Mean and standard deviation over `count` passes, in place of the sums; to be called once."""
        mean = self.total.div_(count)
        if self.squares is None:
            return mean, None
        return mean, self.squares.addcmul_(mean, mean, value=-count).div_(count - 1).clamp_(min=0).sqrt_()


@torch.no_grad()
def predict_frame(
    network: nn.Module,
    y: Tensor,
    noise: Callable[[torch.Generator], Tensor],
    *,
    factors: Sequence[int],
    passes: int,
    alpha: float,
    tile_px: int | None = None,
    overlap_px: int | None = None,
    batch: int = 1,
    seed: int = 0,
    progress: Callable[[float], None] = lambda done: None,
) -> FramePrediction:
    """Restore one frame `y` (`*zyx`, the network's unit).

    With `passes` > 0 the network sees `y + alpha z` and `y - alpha z` in turn, `z` fresh `noise` like that in `y`, and the mean of all
    passes is returned: the noise level it was trained on, and most of its own noise averaged out, the more so as each pass goes
    through another symmetry of a network that knows them. The frame
    is continued by its mirror image, so that no border of it is a border of the network's world, and cut into tiles of at
    most `tile_px` with `overlap_px` around them (default: the network's halo, for which tiles and whole agree to 1e-5), of which
    `batch` go through the network at a time.
    """
    generator, count, ones = torch.Generator().manual_seed(seed), max(passes, 1), [1] * y.ndim
    border, tiles = _plan(network, y.shape, tile_px, overlap_px)
    raw = _Accumulator(y.shape, y, with_spread=False)
    fine = _Accumulator([n * f for n, f in zip(y.shape, factors, strict=True)], y, with_spread=count > 1)
    world = y.new_empty(0)
    for n in range(count):
        if passes and n % 2 == 0:
            seen = noise(generator).mul_(alpha).add_(y)
        elif passes:
            seen = 2 * y - grid.window(world, border, [b + size for b, size in zip(border, y.shape, strict=True)])[0, 0]
        else:
            seen = y
        world, done = grid.mirror(seen[None, None], border), 0
        del seen  # images can be a good part of the memory
        for group in _alike(tiles, batch):
            parts = forward_with_symmetry(network, n, torch.cat([world[(..., *tile.read_slices(border))] for tile in group]))
            for tile, raw_part, fine_part in zip(group, *(part[:, 0] for part in parts), strict=True):
                raw.add(tile.write_slices(ones), raw_part[tile.trust_slices(ones)])
                fine.add(tile.write_slices(factors), fine_part[tile.trust_slices(factors)])
            done += len(group)
            progress((n + done / len(tiles)) / count)
    return FramePrediction(raw.results(count)[0], *fine.results(count))


def forward_with_symmetry(network: nn.Module, n: int, x: Tensor, **options: int) -> tuple[Tensor, Tensor]:
    """Pass number `n` of several over one image: each through another symmetry, where the network knows any."""
    symmetries = getattr(network, "symmetries", 1)
    return network(x, **options) if symmetries == 1 else network(x, symmetry=n % symmetries, **options)


def _plan(network: nn.Module, shape: Sequence[int], lateral_px: int | None, overlap_px: int | None) -> tuple[list[int], list[Tile]]:
    """How far a frame of `shape` is continued beyond its ends, and the tiles of the whole, as told or else as is good for `network`."""
    rank = len(shape)
    tile = DEFAULT_TILE_PX[rank] if lateral_px is None else (*DEFAULT_TILE_PX[rank][:-2], lateral_px, lateral_px)
    stride, halo = (grid.per_axis(getattr(network, name), rank) for name in ("stride_px", "halo_px"))
    if overlap_px is not None:
        halo = grid.per_axis(overlap_px, rank)
    border = [min(2 * s, size - 1) for s, size in zip(stride, shape, strict=True)]
    return border, list(plan_tiles(shape, tile, halo, stride, border))


def _alike(tiles: Iterable[Tile], batch: int) -> Iterator[list[Tile]]:
    """Runs of at most `batch` tiles that read regions of one size."""
    for _, run in itertools.groupby(tiles, key=lambda tile: [b - a for a, b in tile.read]):
        same = list(run)
        for first in range(0, len(same), batch):
            yield same[first : first + batch]
