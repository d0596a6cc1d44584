"""Our own network: two small U-Nets around a Richardson-Lucy estimate, made to learn within minutes on a CPU."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import nn
from torch.nn import functional as F

from zsdeconv.nn import blocks
from zsdeconv.physics.deconvolve import richardson_lucy
from zsdeconv.physics.operators import Operator
from zsdeconv.symbols import Batch

RL_SNAPSHOTS = (3, 8)
"""Richardson-Lucy iterations whose estimates the second stage reads: a blurred and safe one, a sharp and noisy one."""

NEGATIVE_SLOPE = 0.05
"""Light is not negative: what the second stage gives below zero is shrunk by this, and not cut, so that it can still learn."""


class UNet(nn.Module):
    """Small U-Net `b channels_in *zyx` -> `b channels_out *zyx`, sizes multiples of `stride_px`; starts as zero everywhere.

    `channels` are those of each level, finest first; two 3-wide convolutions a level each way, lateral mean pooling.

    >>> UNet(2, 1, 1, (4, 8))(torch.rand(1, 1, 6, 8)).abs().max().item()
    0.0
    """

    def __init__(self, rank: int, channels_in: int, channels_out: int, channels: Sequence[int]) -> None:
        super().__init__()
        self.pool = blocks.lateral(rank, 2)
        self.encoder = nn.ModuleList(
            blocks.conv_leaky(rank, (before, n, n)) for before, n in zip((channels_in, *channels[:-2]), channels[:-1], strict=True)
        )
        self.middle = blocks.conv_leaky(rank, (channels[-2], channels[-1], channels[-1]))
        below, decoder = channels[-1], []
        for n in reversed(channels[:-1]):
            decoder.append(blocks.conv_leaky(rank, (below + n, n, n)))
            below = n
        self.decoder = nn.ModuleList(decoder)
        self.head = blocks.conv(rank, below, channels_out, kernel=1)
        for parameter in self.head.parameters():
            nn.init.zeros_(parameter)
        self.stride_px = 2 ** (len(channels) - 1)

    def forward(self, x: Batch) -> Batch:
        skips = []
        for encode in self.encoder:
            skips.append(encode(x))
            x = blocks.mean_pool(skips[-1], self.pool)
        x = self.middle(x)
        for decode, skip in zip(self.decoder, reversed(skips), strict=True):
            x = decode(torch.cat((blocks.upsample(x, self.pool), skip), 1))
        return self.head(x)

    @property
    def halo_px(self) -> int:
        """Safe bound of the distance between an output pixel and the input pixels it depends on."""
        return sum(4 * 2**level for level in range(len(self.encoder))) + 3 * self.stride_px


class FastNet(nn.Module):
    """Both stages `f'` and `f`: raw noisy image to denoised image (raw grid) and deconvolved image (fine grid).

    Stage 1 is a 5-pixel mean plus a U-Net's correction. Stage 2 deconvolves its result by a few Richardson-Lucy iterations
    on `forward_operator` (`D H`, fine to raw grid) and corrects that by a second U-Net, so that an untrained network already
    is a classical deconvolution, and training can only add to it. Images are in the network's unit (offset out, bright
    pixels near 1). No gradient passes from stage 2 to stage 1.

    >>> from zsdeconv.physics.operators import Downsample
    >>> denoised, deconvolved = FastNet(2, 2, Downsample(2, 2), (4, 8))(torch.rand(1, 1, 9, 7))
    >>> denoised.shape, deconvolved.shape
    (torch.Size([1, 1, 9, 7]), torch.Size([1, 1, 18, 14]))
    """

    symmetries = blocks.SYMMETRIES

    def __init__(self, rank: int, scale: int, forward_operator: Operator, channels: Sequence[int]) -> None:
        super().__init__()
        self.rank, self.scale, self.forward_operator = rank, scale, forward_operator
        self.stage1 = UNet(rank, 1, 1, channels)
        self.stage2 = UNet(rank, 1 + len(RL_SNAPSHOTS) * scale**2, scale**2, channels)
        self.stride_px = self.stage1.stride_px
        self.to(memory_format=blocks.memory_format(rank))  # pyright: ignore[reportCallIssue]

    def forward(self, x: Batch, stage: int = 2, symmetry: int = 0) -> tuple[Batch, Batch]:
        """Denoised and deconvolved image of `x`, `b 1 *zyx` of any size; with `stage` 1 the denoised one twice.

        With a `symmetry` (`blocks.turned`) stage 1 sees the image turned and its answer is turned back: it has learned from
        images turned in all ways and errs a little differently in each. Stage 2 knows the lens, which cannot be turned.
        """
        denoised = blocks.smooth(x) + self._corrected(self.stage1, x, symmetry)
        return denoised, self._deconvolved(denoised.detach()) if stage == 2 else denoised

    def _deconvolved(self, denoised: Batch) -> Batch:
        estimates = richardson_lucy(denoised, self.forward_operator, RL_SNAPSHOTS, momentum="fixed")
        features = [denoised, *(blocks.fine_to_channels(estimate, self.scale) for estimate in estimates)]
        correction = self._corrected(self.stage2, torch.cat(features, 1))
        return F.leaky_relu(estimates[-1] + blocks.channels_to_fine(correction, self.scale), NEGATIVE_SLOPE)

    def _corrected(self, unet: UNet, x: Batch, symmetry: int = 0) -> Batch:
        padded = blocks.pad_to_multiple(x, blocks.lateral(self.rank, self.stride_px))
        padded = blocks.turned(padded, symmetry).contiguous(memory_format=blocks.memory_format(self.rank))
        return blocks.window(blocks.unturned(unet(padded), symmetry), [0] * self.rank, x.shape[2:]).to(x.dtype)

    @property
    def halo_px(self) -> int:
        """Lateral distance, raw pixels, beyond which an input pixel changes an output pixel by less than 1e-5 of the range.

        The U-Nets' part is a strict bound. Richardson-Lucy reaches farther with every iteration, but what arrives from
        beyond four radii of the PSF is nothing (measured in tests/nn/test_fast.py).
        """
        return self.stage1.halo_px + self.stage2.halo_px + 4 * math.ceil(self.forward_operator.reach_px / self.scale)
