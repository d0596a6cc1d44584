"""The published pair of networks: one that denoises, and after it one that deconvolves."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn

from zsdeconv.nn import layers
from zsdeconv.notation import Batch
from zsdeconv.physics import grid


class TwoStageNet(nn.Module):
    """Both stages `f'` and `f`: raw image to denoised image (raw grid) and deconvolved image (fine grid).

    `denoise` and `deconvolve` turn an image into features on the raw grid, `denoise_head` and `tail` features into an image;
    before `tail` comes nearest lateral upsampling by `scale`. Stage 2 reads the denoised image and nothing else, through
    `between`. Convolutions pad with zeros, as published; images of any size are mirrored up to a multiple of `stride_px`
    and cut back. Weights start as in Keras (Glorot uniform, zero bias).

    >>> parts = [layers.conv_relu(2, channels) for channels in ((1, 4), (4, 1), (1, 4), (4, 1))]
    >>> denoised, deconvolved = TwoStageNet(2, 2, *parts)(torch.rand(1, 1, 5, 7))
    >>> denoised.shape, deconvolved.shape
    (torch.Size([1, 1, 5, 7]), torch.Size([1, 1, 10, 14]))
    """

    def __init__(
        self,
        rank: int,
        scale: int,
        denoise: nn.Module,
        denoise_head: nn.Module,
        deconvolve: nn.Module,
        tail: nn.Module,
        *,
        between: nn.Module | None = None,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        self.rank, self.scale = rank, scale
        self.denoise, self.denoise_head, self.deconvolve, self.tail = denoise, denoise_head, deconvolve, tail
        self.between = between or nn.Identity()
        layers.glorot_(self, generator)
        self.to(memory_format=layers.memory_format(rank))  # pyright: ignore[reportCallIssue]

    symmetries = 1

    def forward(self, x: Batch, stage: int = 2, symmetry: int = 0, *, margin_px: int | Sequence[int] = 0) -> tuple[Batch, Batch]:
        """Denoised image on the raw grid and deconvolved image on the fine grid, from `b 1 *zyx` of any size.

        `margin_px` raw pixels are cut from every border (a number, or one per axis). The result is the same as cutting the
        full images, but the tail, more than half of all arithmetic, is computed for what remains only. Under autocast the
        images still come in the precision of `x`. With `stage` 1 the denoised image comes twice.
        """
        margin = grid.per_axis(margin_px, self.rank)
        stop = [size - m for size, m in zip(x.shape[2:], margin, strict=True)]
        assert all(m < s for m, s in zip(margin, stop, strict=True)), f"margins {margin} leave nothing of {tuple(x.shape[2:])} pixels"
        denoised = self.denoise_head(self.denoise(grid.pad_to_multiple(x, self.stride_px)))
        raw = grid.window(denoised, margin, stop).to(x.dtype)
        return raw, self._fine(self.deconvolve(self.between(denoised)), margin, stop).to(x.dtype) if stage == 2 else raw

    @property
    def stage1(self) -> nn.Module:
        """The layers of stage 1."""
        return nn.ModuleList([self.denoise, self.denoise_head])

    @property
    def stage2(self) -> nn.Module:
        """The layers that only stage 2 has."""
        return nn.ModuleList([self.between, self.deconvolve, self.tail])

    def _fine(self, features: Batch, start: Sequence[int], stop: Sequence[int]) -> Batch:
        """The tail's image of raw pixels `start` to `stop`, with as much around them as its convolutions see."""
        seen = self._tail_reach()
        first = [max(a - n, 0) for a, n in zip(start, seen, strict=True)]
        last = [min(b + n, size) for b, n, size in zip(stop, seen, features.shape[2:], strict=True)]
        fine = self.tail(grid.upsample(grid.window(features, first, last), self.factors))
        begin = [(a - c) * f for a, c, f in zip(start, first, self.factors, strict=True)]
        end = [(b - c) * f for b, c, f in zip(stop, first, self.factors, strict=True)]
        return grid.window(fine, begin, end)

    def _tail_reach(self) -> list[int]:
        """Raw pixels along each axis that a fine pixel of the tail sees beyond its own."""
        return [-(-len(layers.convolutions(self.tail)) // factor) for factor in self.factors]

    @property
    def factors(self) -> tuple[int, ...]:
        """How many fine pixels a raw pixel becomes along each axis."""
        return grid.lateral_factors(self.rank, self.scale)

    @property
    def stride_px(self) -> tuple[int, ...]:
        """Raw pixels along each axis whose multiples tiles have to begin at: the size of the coarsest pooling block, 1 without."""
        return (1,) * self.rank
