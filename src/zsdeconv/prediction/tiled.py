"""Prediction: a frame of any size through a network, tile by tile, pass by pass."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from zsdeconv.config import Config
from zsdeconv.nn.contract import RestorationNetwork, forward_with_symmetry
from zsdeconv.physics import grid
from zsdeconv.prediction.tiling import Tile, plan_tiles

DEFAULT_TILE_PX = {2: (768, 768), 3: (64, 128, 128)}
"""Largest size of a tile's own part for images of each rank: 1 to 2 GB with the halo of the default network."""
LARGE_TILE = {2: 1.0, 3: 2.3}
"""By rank: time of a pixel of a tile in that of a pixel of a patch. Fitted by benchmarks/progress.py: volumes leave the cache."""


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


@dataclass(frozen=True)
class Passes:
    """`count` passes over an image with fresh noise, averaged: `added_noise` (`y_hat - y`) is drawn from a generator of `seed`.

    With `count` 0 the image itself is restored once.
    """

    added_noise: Callable[[torch.Generator], Tensor]
    count: int
    seed: int = 0


def passes_of(config: Config, given: int | None = None) -> int:
    """Number of passes as given or configured; of an ensemble, enough for each member to have two."""
    passes, members = config.prediction.passes if given is None else given, config.training.ensemble
    return passes if members == 1 else max(passes, 2 * members)


@dataclass(frozen=True)
class Tiling:
    """Side of the tiles and width of their overlap in raw pixels (None: as memory and network ask for), and tiles at a time."""

    tile_px: int | None = None
    overlap_px: int | None = None
    batch: int = 1


WHOLE = Tiling()


@torch.no_grad()
def predict_frame(
    network: RestorationNetwork,
    y: Tensor,
    passes: Passes,
    *,
    factors: Sequence[int],
    tiling: Tiling = WHOLE,
    progress: Callable[[float], object] = lambda done: None,
) -> FramePrediction:
    """Restore one frame.

    With passes, the network is given `y + d` and `y - d` in turn with fresh noise `d`, and the mean over all passes is
    returned: the input has the noise level of the training, and most of the added noise averages out, the more so as each pass uses
    another symmetry. The frame is continued by its mirror image, so that its borders are no borders to the network, and cut into tiles.
    With the default overlap, the halo of the network, tiles agree with the whole to 1e-5 of the range.

    Parameters
    ----------
    network : maps `b 1 *zyx` on the raw grid to a denoised and a deconvolved image
    y : the frame `*zyx`, in the network's unit
    passes : number of passes and their noise
    factors : fine pixels per raw pixel along each axis
    tiling : size and overlap of tiles
    progress : called with the fraction done

    Returns
    -------
    Means over the passes, and their standard deviation on the fine grid from two passes on.
    """
    generator, count, ones = torch.Generator().manual_seed(passes.seed), max(passes.count, 1), [1] * y.ndim
    border, tiles = _plan(network, y.shape, tiling)
    raw = _Accumulator(y.shape, y, with_spread=False)
    fine = _Accumulator([n * f for n, f in zip(y.shape, factors, strict=True)], y, with_spread=count > 1)
    world = y.new_empty(0)
    for n in range(count):
        if passes.count and n % 2 == 0:
            image = passes.added_noise(generator).add_(y)
        elif passes.count:
            image = 2 * y - grid.window(world, border, [b + size for b, size in zip(border, y.shape, strict=True)])[0, 0]
        else:
            image = y
        world, done = grid.mirror(image[None, None], border), 0
        del image  # images can fill a good part of the memory
        for group in _alike(tiles, tiling.batch):
            parts = forward_with_symmetry(network, n, torch.cat([world[(..., *tile.read_slices(border))] for tile in group]))
            for tile, raw_part, fine_part in zip(group, *(part[:, 0] for part in parts), strict=True):
                raw.add(tile.write_slices(ones), raw_part[tile.trust_slices(ones)])
                fine.add(tile.write_slices(factors), fine_part[tile.trust_slices(factors)])
            done += len(group)
            progress((n + done / len(tiles)) / count)
    return FramePrediction(raw.results(count)[0], *fine.results(count))


def pass_work(network: RestorationNetwork, recorded: Sequence[int], factors: Sequence[int], tiling: Tiling = WHOLE) -> float:
    """Work of one pass over a frame, in pixels of a patch (`zsdeconv.training.expected`): that of its own pixels, those around its tiles,
    and those beyond its ends.

    Parameters
    ----------
    network : whose halo the tiles have
    recorded : size of the frame as it was recorded
    factors : pixels of the network's input per recorded pixel along each spatial axis
    tiling : size and overlap of tiles
    """
    _, tiles = _plan(network, [n * f for n, f in zip(recorded[-len(factors) :], factors, strict=True)], tiling)
    return LARGE_TILE[len(factors)] * sum(math.prod(last - first for first, last in tile.read) for tile in tiles)


def _plan(network: RestorationNetwork, shape: Sequence[int], tiling: Tiling) -> tuple[list[int], list[Tile]]:
    """How far a frame of `shape` is continued beyond its ends, and its tiles."""
    rank = len(shape)
    side, overlap = tiling.tile_px, tiling.overlap_px
    tile = DEFAULT_TILE_PX[rank] if side is None else (*DEFAULT_TILE_PX[rank][:-2], side, side)
    stride, halo = (grid.per_axis(px, rank) for px in (network.stride_px, network.halo_px))
    if overlap is not None:
        halo = grid.per_axis(overlap, rank)
    border = [min(2 * s, size - 1) for s, size in zip(stride, shape, strict=True)]
    return border, list(plan_tiles(shape, tile, halo, stride, border))


def _alike(tiles: Iterable[Tile], batch: int) -> Iterator[list[Tile]]:
    """Runs of at most `batch` tiles that read regions of one size."""
    for _, run in itertools.groupby(tiles, key=lambda tile: [b - a for a, b in tile.read]):
        same = list(run)
        for first in range(0, len(same), batch):
            yield same[first : first + batch]
