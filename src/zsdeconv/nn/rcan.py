"""The published network for volumes: two stages of residual channel attention (RCAN-3D)."""

from __future__ import annotations

import torch
from torch import nn

from zsdeconv.nn import layers
from zsdeconv.nn.two_stage import TwoStageNet
from zsdeconv.notation import Batch

NEGATIVE_SLOPE = 0.2
"""Slope of the LeakyReLU below zero. From the published code (Qiao et al. 2024)."""
SQUEEZE_RATIO = 16
"""Channels over those of the hidden layer of an attention gate. From the published code (Qiao et al. 2024)."""


class AttentionBlock(nn.Module):
    """`x + g(m) * B(x)`: two 3-wide convolutions `B`; a gate `g` in 0 to 1 weights each channel by the spatial means `m` of `B(x)`.

    >>> AttentionBlock(rank=3, channels=32)(torch.zeros(1, 32, 2, 4, 5)).shape
    torch.Size([1, 32, 2, 4, 5])
    """

    def __init__(self, rank: int, channels: int) -> None:
        super().__init__()
        squeezed = max(channels // SQUEEZE_RATIO, 1)
        self.body = layers.conv_leaky(rank, (channels, channels, channels), NEGATIVE_SLOPE)
        self.gate = nn.Sequential(
            layers.conv(rank, channels, squeezed, kernel=1), nn.ReLU(), layers.conv(rank, squeezed, channels, kernel=1), nn.Sigmoid()
        )

    def forward(self, x: Batch) -> Batch:
        change = self.body(x)
        return x + self.gate(change.mean(tuple(range(2, x.ndim)), keepdim=True)) * change


class RCANStage(nn.Module):
    """Image `b 1 *zyx` to features `b channels *zyx`: a convolution plus the output of a chain of attention blocks.

    The published groups of blocks have no convolution and no skip connection of their own, so only the number of blocks matters.

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

    The defaults are the published sizes for volumes, 2 003 490 parameters. The published network for structured illumination is
    `TwoStageRCAN(blocks_per_group=4, tail=256, relu_between=True)`, 4 452 930 parameters. There is no pooling, so any size is
    accepted, including a single slice.

    Zhang et al., ECCV (2018), for the residual channel attention network.

    Parameters
    ----------
    rank
        Number of spatial axes.
    scale
        2 to super-resolve (nearest upsampling before the tail), or 1.
    groups, blocks_per_group
        Their product is the number of attention blocks of a stage.
    channels
        Channels on the raw grid.
    tail
        Channels of the first convolution after the blocks, in both stages.
    relu_between
        Whether stage 2 reads the denoised image clipped at zero.
    generator
        Source of the initial weights.

    Examples
    --------
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
            layers.conv_leaky(rank, (channels, tail, 1), NEGATIVE_SLOPE),
            RCANStage(rank, channels, self.attention_blocks),
            layers.conv_leaky(rank, (channels, tail, 1), NEGATIVE_SLOPE),
            between=nn.ReLU() if relu_between else None,
            generator=generator,
        )

    @property
    def halo_px(self) -> tuple[int, ...]:
        """Largest distance along each axis, raw pixels, between an output pixel and an input pixel it depends on by convolution (exact).

        The gates depend on the mean over the whole input; the outputs of an image and of a tile differ as these means differ.

        >>> TwoStageRCAN(groups=1, blocks_per_group=1, channels=16, tail=16).halo_px
        (10, 9, 9)
        """
        stage = 1 + 2 * self.attention_blocks
        return tuple(2 * stage + len(layers.convolutions(self.denoise_head)) + context for context in self._tail_context_px())
