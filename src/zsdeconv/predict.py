"""Prediction: a frame of any size through a network, tile by tile, pass by pass."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from zsdeconv.nn import blocks
from zsdeconv.tiling import Tile, plan_tiles

DEFAULT_TILE_PX = {2: (768, 768), 3: (32, 160, 160)}
"""Largest size of a tile's own part for images of each rank: of planes about 1 GB with the halo of the default network."""


@dataclass(frozen=True)
class FramePrediction:
    """Mean over the passes on the raw and the fine grid, and their standard deviation on the fine grid (None: one pass)."""

    denoised: Tensor
    deconvolved: Tensor
    spread: Tensor | None


class _Accumulator:
    """Running mean and spread of passes that come in opposite pairs; images are large, so sums are turned into results in place."""

    def __init__(self) -> None:
        self.total: Tensor | None = None
        self.squares: Tensor | None = None
        self.count = 0

    def add(self, image: Tensor, *, keep_squares: bool) -> None:
        self.total = image.clone() if self.total is None else self.total.add_(image)
        if keep_squares:
            self.squares = image.square() if self.squares is None else self.squares.addcmul_(image, image)
        self.count += 1

    def results(self) -> tuple[Tensor, Tensor | None]:
        """Mean and standard deviation (None when no squares were kept); to be called once."""
        assert self.total is not None
        mean = self.total.div_(self.count)
        if self.squares is None:
            return mean, None
        variance = self.squares.addcmul_(mean, mean, value=-self.count).div_(self.count - 1)
        return mean, variance.clamp_(min=0).sqrt_()


@torch.no_grad()
def predict_frame(
    network: nn.Module,
    y: Tensor,
    noise_sd: Tensor,
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

    With `passes` > 0 the network sees `y + alpha z` and `y - alpha z`, `z ~ N(0, noise_sd^2)`, in turn, and the mean of all
    passes is returned: the noise level it was trained on, and most of its own noise averaged out, the more so as each pass goes
    through another symmetry of a network that knows them. The frame
    is continued by its mirror image, so that no border of it is a border of the network's world, and cut into tiles of at
    most `tile_px` with `overlap_px` around them (default: the network's halo, for which tiles and whole agree to 1e-5), of which
    `batch` go through the network at a time.
    """
    generator, tile = torch.Generator().manual_seed(seed), _tile(tile_px, y.ndim)
    raw, fine = _Accumulator(), _Accumulator()
    z = torch.zeros_like(y)
    for n in range(max(passes, 1)):
        if passes and n % 2 == 0:
            z = torch.randn(y.shape, generator=generator).to(y.device).mul_(noise_sd).mul_(alpha)
        elif passes:
            z = z.neg_()
        denoised, deconvolved = _whole(network, n, y + z if passes else y, factors, tile, overlap_px, batch)
        raw.add(denoised, keep_squares=False)
        fine.add(deconvolved, keep_squares=passes > 1)
        progress((n + 1) / max(passes, 1))
    return FramePrediction(raw.results()[0], *fine.results())


def one_pass(network: nn.Module, n: int, x: Tensor, **options: int) -> tuple[Tensor, Tensor]:
    """Pass number `n` of several over one image: each through another symmetry, where the network knows any."""
    symmetries = getattr(network, "symmetries", 1)
    return network(x, **options) if symmetries == 1 else network(x, symmetry=n % symmetries, **options)


def _tile(lateral_px: int | None, rank: int) -> tuple[int, ...]:
    default = DEFAULT_TILE_PX[rank]
    return default if lateral_px is None else (*default[:-2], lateral_px, lateral_px)


def _whole(
    network: nn.Module, n: int, y: Tensor, factors: Sequence[int], tile_px: Sequence[int], overlap_px: int | None, batch: int
) -> tuple[Tensor, Tensor]:
    """One pass over all tiles of a frame."""
    stride, halo = (blocks.per_axis(getattr(network, name), y.ndim) for name in ("stride_px", "halo_px"))
    if overlap_px is not None:
        halo = blocks.per_axis(overlap_px, y.ndim)
    border = [min(2 * s, size - 1) for s, size in zip(stride, y.shape, strict=True)]
    world = blocks.mirror(y[None, None], border)
    denoised = y.new_empty(world.shape[2:])
    deconvolved = y.new_empty([size * f for size, f in zip(world.shape[2:], factors, strict=True)])
    for tiles in _alike(plan_tiles(world.shape[2:], tile_px, halo, stride), batch):
        raw_parts, fine_parts = one_pass(network, n, torch.cat([world[(..., *tile.read_slices())] for tile in tiles]))
        for tile, raw_part, fine_part in zip(tiles, raw_parts[:, 0], fine_parts[:, 0], strict=True):
            denoised[tile.write_slices([1] * y.ndim)] = raw_part[tile.trust_slices([1] * y.ndim)]
            deconvolved[tile.write_slices(factors)] = fine_part[tile.trust_slices(factors)]
    inner = tuple(slice(b, b + size) for b, size in zip(border, y.shape, strict=True))
    fine_inner = tuple(slice(b * f, (b + size) * f) for b, size, f in zip(border, y.shape, factors, strict=True))
    return denoised[inner], deconvolved[fine_inner]


def _alike(tiles: Iterable[Tile], batch: int) -> Iterator[list[Tile]]:
    """Runs of at most `batch` tiles that read regions of one size."""
    for _, run in itertools.groupby(tiles, key=lambda tile: [b - a for a, b in tile.read]):
        same = list(run)
        for first in range(0, len(same), batch):
            yield same[first : first + batch]
