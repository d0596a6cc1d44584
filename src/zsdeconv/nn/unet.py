"""The published network for images: a denoising U-Net followed by a deconvolution U-Net."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn

from zsdeconv.nn import layers
from zsdeconv.nn.two_stage import TwoStageNet
from zsdeconv.notation import Batch
from zsdeconv.physics import grid

PUBLISHED_TAIL_CHANNELS = {2: (128, 128), 3: (64, 64)}
"""Channels of the convolutions on the fine grid by rank. From the published code (Qiao et al. 2024)."""
PUBLISHED_WIDTH = 32
"""Channels of the first level. From the published code (Qiao et al. 2024)."""


class UNetStage(nn.Module):
    """U-Net of one stage: image `b 1 *zyx` to features `b width/2 *zyx`, both on the raw grid.

    Level k has `width * 2**k` = n channels: `convolutions` 3-wide convolutions with ReLU, then lateral 2 x 2 max-pooling. The
    bottom has twice the channels of the last level, then the same number. The decoder upsamples (nearest), concatenates the
    features of the level behind its own, and applies one convolution to n channels and the others to n/2.

    Ronneberger, Fischer and Brox, MICCAI (2015).

    Parameters
    ----------
    rank
        Number of spatial axes.
    levels
        Pooled levels.
    convolutions
        Convolutions per level.
    width
        Channels of the first level.

    Examples
    --------
    >>> UNetStage(rank=2, levels=2, convolutions=2)(torch.zeros(1, 1, 8, 12)).shape
    torch.Size([1, 16, 8, 12])
    """

    def __init__(self, rank: int, levels: int, convolutions: int, width: int = PUBLISHED_WIDTH) -> None:
        super().__init__()
        widths = [width * 2**level for level in range(levels)]
        self.pool = grid.lateral_factors(rank, 2)
        self.encoder = nn.ModuleList(
            layers.conv_relu(rank, (before, *[n] * convolutions)) for before, n in zip([1, *widths[:-1]], widths, strict=True)
        )
        # the bottom; the name is a key of stored weights
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

    The defaults are the published sizes, 13 109 010 parameters in 2-D and 38 952 562 in 3-D, where pooling is lateral, so a few
    slices suffice. Both outputs pass a ReLU.

    Weights are initialised as in Keras with one exception: the kernels of the two output convolutions are replaced by their
    absolute values. Their inputs are non-negative, so both images are positive at first, and no output ReLU has zero gradient
    everywhere before the first step.

    Parameters
    ----------
    rank
        Number of spatial axes.
    scale
        2 to super-resolve (nearest upsampling before the tail), or 1.
    levels
        Pooled levels of each stage.
    convolutions
        Convolutions per level.
    tail
        Channels of the convolutions on the fine grid, by default `PUBLISHED_TAIL_CHANNELS`.
    generator
        Source of the initial weights.

    Examples
    --------
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
        width = PUBLISHED_WIDTH
        features = width if convolutions == 1 else width // 2
        self.levels, self.convolutions = levels, convolutions
        super().__init__(
            rank,
            scale,
            UNetStage(rank, levels, convolutions, width),
            layers.conv_relu(rank, (features, 1)),
            UNetStage(rank, levels, convolutions, width),
            layers.conv_relu(rank, (features, *(PUBLISHED_TAIL_CHANNELS[rank] if tail is None else tail), 1)),
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
        """Largest distance along each axis, raw pixels, between an output pixel and an input pixel it depends on (exact).

        The maximum is over all positions of an output pixel, for tiles that begin at multiples of `stride_px`.

        >>> TwoStageUNet(levels=1, convolutions=1).halo_px
        (17, 17)
        >>> TwoStageUNet(rank=3, levels=1, convolutions=1).halo_px
        (12, 17, 17)
        """
        return tuple(self._halo_along(pool, factor) for pool, factor in zip(grid.lateral_factors(self.rank, 2), self.factors, strict=True))

    def _halo_along(self, pool: int, factor: int) -> int:
        """Halo along an axis that is pooled by `pool` at each level, and whose fine pixels are `factor` times smaller."""
        tail, head = (len(layers.convolutions(part)) for part in (self.tail, self.denoise_head))
        halo = 0
        for fine in range(factor * pool**self.levels):
            first, last = self._stage_input((fine - tail) // factor, (fine + tail) // factor, pool, self.levels)
            first, last = self._stage_input(first - head, last + head, pool, self.levels)
            halo = max(halo, fine // factor - first, last - fine // factor)
        return halo

    def _stage_input(self, first: int, last: int, pool: int, levels: int) -> tuple[int, int]:
        """First and last input pixel that a stage of `levels` levels needs for its output pixels `first` to `last`."""
        if levels == 0:
            return first - 2, last + 2
        first, last = self._stage_input((first - self.convolutions) // pool, (last + self.convolutions) // pool, pool, levels - 1)
        return pool * first - self.convolutions, pool * last + pool - 1 + self.convolutions
