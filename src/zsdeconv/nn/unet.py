"""The published network: a U-Net that denoises, followed by a U-Net that deconvolves."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn

from zsdeconv.nn import layers
from zsdeconv.nn.two_stage import TwoStageNet
from zsdeconv.notation import Batch
from zsdeconv.physics import grid

PUBLISHED_TAIL = {2: (128, 128), 3: (64, 64)}
"""Channels of the convolutions on the fine grid, by rank."""


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
        self.pool = grid.lateral_factors(rank, 2)
        self.encoder = nn.ModuleList(
            layers.conv_relu(rank, (before, *[n] * convolutions)) for before, n in zip([1, *widths[:-1]], widths, strict=True)
        )
        self.middle = layers.conv_relu(rank, (widths[-1], 2 * widths[-1], widths[-1]))
        self.decoder = nn.ModuleList(layers.conv_relu(rank, (2 * n, n, *[n // 2] * (convolutions - 1))) for n in reversed(widths))

    def forward(self, x: Batch) -> Batch:
        """Features of `x`, whose lateral sizes are multiples of 2**levels."""
        skips = []
        for encode in self.encoder:
            skips.append(encode(x))
            x = layers.max_pool(skips[-1], self.pool)
        x = self.middle(x)
        for decode, skip in zip(self.decoder, reversed(skips), strict=True):
            x = decode(torch.cat((grid.upsample(x, self.pool), skip), 1))
        return x


class TwoStageUNet(TwoStageNet):
    """Both stages `f'` and `f` of the published two-stage U-Net: raw image to denoised and deconvolved image.

    `scale` is 2 to super-resolve (nearest upsampling before the tail) or 1. The defaults are the published sizes, 13 109 010
    parameters in 2-D (tail 128, 128) and 38 952 562 in 3-D (tail 64, 64; pooling is lateral, so a few slices are enough).
    Each of the two outputs passes a ReLU.

    Weights start as in Keras, drawn from `generator`, with one exception: the kernels that make the two images take their
    absolute values. What they weigh is non-negative, so both images start positive everywhere and no output ReLU can be dead
    from the first step on, which would stop all learning before it.

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
        tail: Sequence[int] | None = None,
        generator: torch.Generator | None = None,
    ) -> None:
        width = 32
        features = width if convolutions == 1 else width // 2
        self.levels, self.convolutions = levels, convolutions
        super().__init__(
            rank,
            scale,
            UNetStage(rank, levels, convolutions, width),
            layers.conv_relu(rank, (features, 1)),
            UNetStage(rank, levels, convolutions, width),
            layers.conv_relu(rank, (features, *(PUBLISHED_TAIL[rank] if tail is None else tail), 1)),
            generator=generator,
        )
        with torch.no_grad():
            for part in (self.denoise_head, self.tail):
                layers.convolutions(part)[-1].weight.abs_()

    @property
    def stride_px(self) -> tuple[int, ...]:
        """Size of the coarsest pooling block, raw pixels: tiles that begin at its multiples see the same blocks.

        >>> TwoStageUNet(levels=1, convolutions=1).stride_px
        (2, 2)
        """
        return grid.lateral_factors(self.rank, 2**self.levels)

    @property
    def halo_px(self) -> tuple[int, ...]:
        """Farthest distance along each axis, raw pixels, at which an input pixel can touch an output pixel (exact, over all positions).

        Holds for tiles that begin at multiples of `stride_px`.

        >>> TwoStageUNet(levels=1, convolutions=1).halo_px
        (17, 17)
        >>> TwoStageUNet(rank=3, levels=1, convolutions=1).halo_px
        (12, 17, 17)
        """
        return tuple(self._reach(pool, factor) for pool, factor in zip(grid.lateral_factors(self.rank, 2), self.factors, strict=True))

    def _reach(self, pool: int, factor: int) -> int:
        """Along an axis that is pooled by `pool` at each level, and whose fine pixels are `factor` times smaller."""
        tail, head = (len(layers.convolutions(part)) for part in (self.tail, self.denoise_head))
        reach = 0
        for fine in range(factor * pool**self.levels):
            first, last = self._stage_input((fine - tail) // factor, (fine + tail) // factor, pool, self.levels)
            first, last = self._stage_input(first - head, last + head, pool, self.levels)
            reach = max(reach, fine // factor - first, last - fine // factor)
        return reach

    def _stage_input(self, first: int, last: int, pool: int, levels: int) -> tuple[int, int]:
        """Input pixels that a stage of so many levels needs for its output pixels `first` to `last`."""
        if levels == 0:
            return first - 2, last + 2
        first, last = self._stage_input((first - self.convolutions) // pool, (last + self.convolutions) // pool, pool, levels - 1)
        return pool * first - self.convolutions, pool * last + pool - 1 + self.convolutions
