"""The published network for volumes: residual channel attention in two stages (RCAN-3D)."""

from __future__ import annotations

import torch
from torch import nn

from zsdeconv.nn import layers
from zsdeconv.nn.two_stage import TwoStageNet
from zsdeconv.notation import Batch

SLOPE = 0.2
"""Slope below zero of the published LeakyReLU."""
REDUCTION = 16
"""Ratio of the channels to those in the middle of an attention gate."""


class AttentionBlock(nn.Module):
    """`x + g(m) * B(x)`: two 3-wide convolutions `B`, each channel weighed by a gate `g` of 0 to 1 from the channels' means `m`.

    >>> AttentionBlock(rank=3, channels=32)(torch.zeros(1, 32, 2, 4, 5)).shape
    torch.Size([1, 32, 2, 4, 5])
    """

    def __init__(self, rank: int, channels: int) -> None:
        super().__init__()
        squeezed = max(channels // REDUCTION, 1)
        self.body = layers.conv_leaky(rank, (channels, channels, channels), SLOPE)
        self.gate = nn.Sequential(
            layers.conv(rank, channels, squeezed, kernel=1), nn.ReLU(), layers.conv(rank, squeezed, channels, kernel=1), nn.Sigmoid()
        )

    def forward(self, x: Batch) -> Batch:
        change = self.body(x)
        return x + self.gate(change.mean(tuple(range(2, x.ndim)), keepdim=True)) * change


class RCANStage(nn.Module):
    """`b 1 *zyx` image in, `b channels *zyx` features out: a convolution, and what a chain of attention blocks adds to it.

    A published group of blocks has no convolution and no skip of its own, so groups only count the blocks.

    >>> RCANStage(rank=3, channels=16, attention_blocks=1)(torch.zeros(1, 1, 3, 4, 5)).shape
    torch.Size([1, 16, 3, 4, 5])
    """

    def __init__(self, rank: int, channels: int, attention_blocks: int) -> None:
        super().__init__()
        self.head = layers.conv(rank, 1, channels)
        self.body = nn.Sequential(*[AttentionBlock(rank, channels) for _ in range(attention_blocks)])

    def forward(self, x: Batch) -> Batch:
        features = self.head(x)
        return features + self.body(features)


class TwoStageRCAN(TwoStageNet):
    """Both stages `f'` and `f` of the published two-stage RCAN: raw volume to denoised and deconvolved volume.

    The defaults are the published sizes for volumes, 2 003 490 parameters. The published network for structured
    illumination is the same with other numbers, 4 452 930 parameters: `TwoStageRCAN(blocks_per_group=4, tail=256,
    relu_between=True)`, where stage 2 reads the denoised image cut at zero. Nothing is pooled, so
    any size will do, a single slice too.

    >>> sum(p.numel() for p in TwoStageRCAN().parameters())
    2003490
    """

    def __init__(
        self,
        rank: int = 3,
        scale: int = 2,
        *,
        groups: int = 2,
        blocks_per_group: int = 2,
        channels: int = 64,
        tail: int = 64,
        relu_between: bool = False,
        generator: torch.Generator | None = None,
    ) -> None:
        self.attention_blocks = groups * blocks_per_group
        super().__init__(
            rank,
            scale,
            RCANStage(rank, channels, self.attention_blocks),
            layers.conv_leaky(rank, (channels, tail, 1), SLOPE),
            RCANStage(rank, channels, self.attention_blocks),
            layers.conv_leaky(rank, (channels, tail, 1), SLOPE),
            between=nn.ReLU() if relu_between else None,
            generator=generator,
        )

    @property
    def halo_px(self) -> tuple[int, ...]:
        """Farthest distance along each axis, raw pixels, at which an input pixel can touch an output pixel by convolution (exact).

        The gates see the mean of all there is: an image and a tile of it differ by what their means differ.

        >>> TwoStageRCAN(groups=1, blocks_per_group=1, channels=16, tail=16).halo_px
        (10, 9, 9)
        """
        stage = 1 + 2 * self.attention_blocks
        return tuple(2 * stage + len(layers.convolutions(self.denoise_head)) + reach for reach in self._tail_reach())
