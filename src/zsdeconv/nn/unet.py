"""The published network: a U-Net that denoises, followed by a U-Net that deconvolves."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn

from zsdeconv.nn import blocks
from zsdeconv.symbols import Batch


class UNetStage(nn.Module):
    """Encoder and decoder of one stage: `b 1 *zyx` image in, `b width/2 *zyx` features out, both on the raw grid.

    Level k has `width * 2**k` = n channels: `convolutions` 3-wide convolutions with ReLU, then a lateral 2 x 2 max-pool. The
    middle has twice the channels of the last level, then as many. The decoder upsamples (nearest), joins the level's
    features behind its own, and goes through one convolution to n and the others to n/2 channels.

    >>> UNetStage(rank=2, levels=2, convolutions=2)(torch.zeros(1, 1, 8, 12)).shape
    torch.Size([1, 16, 8, 12])
    """

    def __init__(self, rank: int, levels: int, convolutions: int, width: int = 32) -> None:
        super().__init__()
        widths = [width * 2**level for level in range(levels)]
        self.pool = blocks.lateral(rank, 2)
        self.encoder = nn.ModuleList(
            blocks.conv_relu(rank, (before, *[n] * convolutions)) for before, n in zip([1, *widths[:-1]], widths, strict=True)
        )
        self.middle = blocks.conv_relu(rank, (widths[-1], 2 * widths[-1], widths[-1]))
        self.decoder = nn.ModuleList(blocks.conv_relu(rank, (2 * n, n, *[n // 2] * (convolutions - 1))) for n in reversed(widths))

    def forward(self, x: Batch) -> Batch:
        """Features of `x`, whose lateral sizes are multiples of 2**levels."""
        skips = []
        for encode in self.encoder:
            skips.append(encode(x))
            x = blocks.max_pool(skips[-1], self.pool)
        x = self.middle(x)
        for decode, skip in zip(self.decoder, reversed(skips), strict=True):
            x = decode(torch.cat((blocks.upsample(x, self.pool), skip), 1))
        return x


class TwoStageUNet(nn.Module):
    """Both stages `f'` and `f` of the published two-stage U-Net: raw image to denoised and deconvolved image.

    `scale` is 2 to super-resolve (nearest upsampling before the tail) or 1. The defaults are the published sizes, 13 109 010
    parameters in 2-D. Stage 2 reads the denoised image and nothing else; each of the two outputs passes a ReLU. Convolutions
    pad with zeros, as published; images of any size are mirrored up to a multiple of `stride_px` and cut back.

    Weights start as in Keras (Glorot uniform, zero bias), drawn from `generator`, with one exception: the kernels that make
    the two images take their absolute values. What they weigh is non-negative, so both images start positive everywhere and
    no output ReLU can be dead from the first step on, which would stop all learning before it.

    >>> denoised, deconvolved = TwoStageUNet(levels=1, convolutions=1)(torch.rand(1, 1, 5, 7))
    >>> denoised.shape, deconvolved.shape
    (torch.Size([1, 1, 5, 7]), torch.Size([1, 1, 10, 14]))
    """

    def __init__(
        self,
        rank: int = 2,
        scale: int = 2,
        *,
        levels: int = 4,
        convolutions: int = 3,
        tail: Sequence[int] = (128, 128),
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        width = 32
        features = width if convolutions == 1 else width // 2
        self.rank, self.scale, self.levels, self.convolutions = rank, scale, levels, convolutions
        self.denoise = UNetStage(rank, levels, convolutions, width)
        self.denoise_head = blocks.conv_relu(rank, (features, 1))
        self.deconvolve = UNetStage(rank, levels, convolutions, width)
        self.tail = blocks.conv_relu(rank, (features, *tail, 1))
        self._initialise(generator)
        self.to(memory_format=blocks.memory_format(rank))  # pyright: ignore[reportCallIssue]

    @torch.no_grad()
    def _initialise(self, generator: torch.Generator | None) -> None:
        blocks.glorot_(self, generator)
        for part in (self.denoise_head, self.tail):
            blocks.convolutions(part)[-1].weight.abs_()

    def forward(self, x: Batch, margin_px: int | Sequence[int] = 0) -> tuple[Batch, Batch]:
        """Denoised image on the raw grid and deconvolved image on the fine grid, from `b 1 *zyx` of any size.

        `margin_px` raw pixels are cut from every border (a number, or one per axis). The result is the same as cutting the
        full images, but the tail, more than half of all arithmetic, is computed for what remains only. Under autocast the
        images still come in the precision of `x`.
        """
        margin = blocks.per_axis(margin_px, self.rank)
        stop = [size - m for size, m in zip(x.shape[2:], margin, strict=True)]
        assert all(m < s for m, s in zip(margin, stop, strict=True)), f"margins {margin} leave nothing of {tuple(x.shape[2:])} pixels"
        padded = blocks.pad_to_multiple(x, blocks.lateral(self.rank, self.stride_px))
        denoised = self.denoise_head(self.denoise(padded))
        deconvolved = self._fine(self.deconvolve(denoised), margin, stop)
        return blocks.window(denoised, margin, stop).to(x.dtype), deconvolved.to(x.dtype)

    def _fine(self, features: Batch, start: Sequence[int], stop: Sequence[int]) -> Batch:
        """The tail's image of raw pixels `start` to `stop`, with as much around them as its convolutions see."""
        factors = blocks.lateral(self.rank, self.scale)
        seen = [-(-len(blocks.convolutions(self.tail)) // f) for f in factors]
        first = [max(a - n, 0) for a, n in zip(start, seen, strict=True)]
        last = [min(b + n, size) for b, n, size in zip(stop, seen, features.shape[2:], strict=True)]
        fine = self.tail(blocks.upsample(blocks.window(features, first, last), factors))
        begin = [(a - c) * f for a, c, f in zip(start, first, factors, strict=True)]
        end = [(b - c) * f for b, c, f in zip(stop, first, factors, strict=True)]
        return blocks.window(fine, begin, end)

    @property
    def stride_px(self) -> int:
        """Lateral size of the coarsest pooling block, raw pixels: tiles that begin at its multiples see the same blocks.

        >>> TwoStageUNet(levels=1, convolutions=1).stride_px
        2
        """
        return 2**self.levels

    @property
    def halo_px(self) -> int:
        """Farthest lateral distance, raw pixels, at which an input pixel can touch an output pixel (exact, over all positions).

        Holds for tiles that begin at multiples of `stride_px`.

        >>> TwoStageUNet(levels=1, convolutions=1).halo_px
        17
        """
        tail = len(blocks.convolutions(self.tail))
        reach = 0
        for fine in range(self.scale * self.stride_px):
            first, last = self._stage_input((fine - tail) // self.scale, (fine + tail) // self.scale, self.levels)
            first, last = self._stage_input(first - 1, last + 1, self.levels)
            reach = max(reach, fine // self.scale - first, last - fine // self.scale)
        return reach

    def _stage_input(self, first: int, last: int, levels: int) -> tuple[int, int]:
        """Input pixels that a stage of so many levels needs for its output pixels `first` to `last`."""
        if levels == 0:
            return first - 2, last + 2
        first, last = self._stage_input((first - self.convolutions) // 2, (last + self.convolutions) // 2, levels - 1)
        return 2 * first - self.convolutions, 2 * last + 1 + self.convolutions
