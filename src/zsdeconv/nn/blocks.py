"""Building blocks of any rank: the only place that tells two-dimensional from three-dimensional layers.

A block works on `b c *zyx` tensors; `rank` counts the spatial axes (2: `y x`, 3: `z y x`). "Lateral" means y and x: the
microscope's pixel is square there, so pooling and upsampling act on those two axes alone and leave z as it is.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import TypeAlias

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from zsdeconv.symbols import Batch

Convolution: TypeAlias = nn.Conv2d | nn.Conv3d

_CONVOLUTION = {2: nn.Conv2d, 3: nn.Conv3d}
_MAX_POOL = {2: F.max_pool2d, 3: F.max_pool3d}
_MEAN_POOL = {2: F.avg_pool2d, 3: F.avg_pool3d}
_MEMORY_FORMAT = {2: torch.channels_last, 3: torch.channels_last_3d}


def lateral(rank: int, factor: int) -> tuple[int, ...]:
    """`factor` along y and x, 1 along z.

    >>> lateral(2, 4), lateral(3, 4)
    ((4, 4), (1, 4, 4))
    """
    return (1,) * (rank - 2) + (factor, factor)


def per_axis(value: int | Sequence[int], rank: int) -> tuple[int, ...]:
    """One whole number for each spatial axis: itself when it is a sequence, repeated when it is a single number.

    >>> per_axis(3, 2), per_axis((1, 8, 8), 3)
    ((3, 3), (1, 8, 8))
    """
    values = (value,) * rank if isinstance(value, int) else tuple(value)
    assert len(values) == rank, f"{values} for {rank} axes"
    return values


def memory_format(rank: int) -> torch.memory_format:
    """Layout with the channels innermost, in which convolutions run fastest on a CPU.

    >>> memory_format(2)
    torch.channels_last
    """
    return _MEMORY_FORMAT[rank]


def conv(rank: int, channels_in: int, channels_out: int, kernel: int = 3, *, padding_mode: str = "zeros") -> Convolution:
    """Convolution of odd width `kernel` along every axis that keeps the size of its input.

    >>> conv(3, 1, 8)(torch.zeros(1, 1, 5, 7, 6)).shape
    torch.Size([1, 8, 5, 7, 6])
    """
    return _CONVOLUTION[rank](channels_in, channels_out, kernel, padding=kernel // 2, padding_mode=padding_mode)


def conv_relu(rank: int, channels: Sequence[int]) -> nn.Sequential:
    """Chain of 3-wide convolutions, each followed by a ReLU, through the numbers of channels given.

    The ReLU overwrites its input: a convolution does not need its own output to find its gradient, and memory traffic is
    what limits the wide layers.

    >>> sum(p.numel() for p in conv_relu(2, (1, 8, 4)).parameters()) == (9 * 1 + 1) * 8 + (9 * 8 + 1) * 4
    True
    """
    layers: list[nn.Module] = []
    for channels_in, channels_out in itertools.pairwise(channels):
        layers += [conv(rank, channels_in, channels_out), nn.ReLU(inplace=True)]
    return nn.Sequential(*layers)


def max_pool(x: Batch, factors: Sequence[int]) -> Batch:
    """Largest value in each block of `factors` pixels.

    >>> max_pool(torch.tensor([[[[1.0, 5.0], [2.0, 3.0]]]]), (2, 2)).item()
    5.0
    """
    return _MAX_POOL[len(factors)](x, tuple(factors))


def mean_pool(x: Batch, factors: Sequence[int]) -> Batch:
    """Mean of each block of `factors` pixels.

    >>> mean_pool(torch.tensor([[[[1.0, 5.0], [2.0, 4.0]]]]), (2, 2)).item()
    3.0
    """
    return _MEAN_POOL[len(factors)](x, tuple(factors))


def upsample(x: Batch, factors: Sequence[int]) -> Batch:
    """Nearest-neighbour upsampling: each pixel becomes a block of `factors` pixels.

    >>> upsample(torch.tensor([[[[1.0, 2.0]]]]), (1, 2)).tolist()
    [[[[1.0, 1.0, 2.0, 2.0]]]]
    """
    return F.interpolate(x, scale_factor=[float(f) for f in factors], mode="nearest")


def pad_to_multiple(x: Batch, multiples: Sequence[int]) -> Batch:
    """Mirror `x` beyond the end of each axis until its size is a multiple; any size down to one pixel.

    Padding at the end only leaves the grid of pooling blocks where it was. The border pixel is not repeated.

    >>> pad_to_multiple(torch.tensor([[[[1.0, 2.0, 3.0]]]]), (1, 8)).flatten().tolist()
    [1.0, 2.0, 3.0, 2.0, 1.0, 2.0, 3.0, 2.0]
    """
    for dim, multiple in enumerate(multiples, start=2):
        size = x.shape[dim]
        if size % multiple:
            x = x.index_select(dim, _mirrored(size, math.ceil(size / multiple) * multiple, x.device))
    return x


def _mirrored(size: int, padded: int, device: torch.device) -> Tensor:
    """Indices 0..padded-1 folded back into 0..size-1."""
    period = max(2 * (size - 1), 1)
    index = torch.arange(padded, device=device) % period
    return torch.minimum(index, period - index) if size > 1 else index


def window(x: Batch, start: Sequence[int], stop: Sequence[int]) -> Batch:
    """Part of every image from pixel `start` up to, not including, pixel `stop` (a view).

    >>> window(torch.arange(12.0).reshape(1, 1, 3, 4), (1, 0), (3, 2)).tolist()
    [[[[4.0, 5.0], [8.0, 9.0]]]]
    """
    return x[(..., *(slice(a, b) for a, b in zip(start, stop, strict=True)))]


@torch.no_grad()
def glorot_(module: nn.Module, generator: torch.Generator | None = None) -> None:
    """Fill all convolutions of `module`: weights uniform in +-sqrt(6 / (fan_in + fan_out)), biases zero (the default of Keras).

    >>> layer = conv(2, 1, 1)
    >>> glorot_(layer, torch.Generator().manual_seed(0))
    >>> bool(layer.weight.abs().max() <= 3**-0.5)
    True
    """
    for layer in convolutions(module):
        nn.init.xavier_uniform_(layer.weight, generator=generator)
        if layer.bias is not None:
            nn.init.zeros_(layer.bias)


def convolutions(module: nn.Module) -> list[Convolution]:
    """All convolutions of `module` in the order in which they were made, which here is the order of the data flow.

    >>> [layer.out_channels for layer in convolutions(conv_relu(2, (1, 8, 4)))]
    [8, 4]
    """
    return [layer for layer in module.modules() if isinstance(layer, Convolution)]
