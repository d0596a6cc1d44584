"""Layers of any rank: the only module that distinguishes two-dimensional from three-dimensional convolutions."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from zsdeconv.notation import Batch
from zsdeconv.physics.grid import per_axis

Convolution: TypeAlias = nn.Conv2d | nn.Conv3d

_CONVOLUTION = {2: nn.Conv2d, 3: nn.Conv3d}
"""Convolution by rank. Law: the names of the classes in torch."""
_MAX_POOL = {2: F.max_pool2d, 3: F.max_pool3d}
"""Max-pooling by rank. Law: the names of the operations in torch."""
_MEMORY_FORMAT = {2: torch.channels_last, 3: torch.channels_last_3d}
"""Memory layout by rank. Law: the names of the layouts in torch."""


def memory_format(rank: int) -> torch.memory_format:
    """Memory layout with the channels innermost, in which convolutions run fastest on a CPU.

    >>> memory_format(2)
    torch.channels_last
    """
    return _MEMORY_FORMAT[rank]


class ShearedConv(nn.Conv3d):
    """Convolution of a skewed stack, in which an object moves by `shift_px` rows towards the first one from plane to plane: the kernel sees
    neighbouring planes where the object is in them. It has the parameters and the zeros at the borders of other convolutions.

    >>> layer, stack = ShearedConv(1, 1, 3, padding=1, shift_px=2, bias=False), torch.zeros(1, 1, 3, 5, 4)
    >>> stack[..., 1, 0, 0] = 1.0  # a point in the first row of the second plane lies in the third one of the first plane
    >>> _ = layer.weight.data.zero_()[0, 0, 2, 1, 1].fill_(1.0)  # the middle of the plane after it
    >>> layer(stack).nonzero().tolist()
    [[0, 0, 0, 2, 0]]
    """

    def __init__(self, *args: Any, shift_px: int, **options: Any) -> None:
        super().__init__(*args, **options)
        self.shift_px = shift_px

    def forward(self, input: Tensor) -> Tensor:
        rows = input.shape[-2]
        moved = []
        for planes in range(-(self.kernel_size[0] // 2), self.kernel_size[0] // 2 + 1):
            down = max(-rows, min(rows, planes * self.shift_px))
            moved.append(F.pad(input, (0, 0, down, -down, -planes, planes)))
        weight = self.weight.movedim(2, 1).flatten(1, 2)[:, :, None]
        return F.conv3d(torch.cat(moved, 1), weight, self.bias, padding=(0, *self._across))

    @property
    def _across(self) -> tuple[int, int]:
        """Padding along y and x."""
        _, y, x = self.kernel_size
        return y // 2, x // 2


def conv(
    rank: int,
    channels_in: int,
    channels_out: int,
    kernel: int | Sequence[int] = 3,
    *,
    padding_mode: str = "zeros",
    shift_px: int = 0,
) -> Convolution:
    """Convolution that keeps the size of its input.

    Parameters
    ----------
    rank
        Number of spatial axes.
    channels_in, channels_out
        Channels of the input and of the output.
    kernel
        Odd width, one number or one per axis.
    padding_mode
        As in torch.
    shift_px
        Of a skewed stack, see `ShearedConv`.

    Examples
    --------
    >>> conv(3, 1, 8)(torch.zeros(1, 1, 5, 7, 6)).shape
    torch.Size([1, 8, 5, 7, 6])
    """
    widths = per_axis(kernel, rank)
    if shift_px and widths[0] > 1:
        return ShearedConv(channels_in, channels_out, widths, padding=tuple(w // 2 for w in widths), shift_px=shift_px)
    return _CONVOLUTION[rank](channels_in, channels_out, widths, padding=tuple(w // 2 for w in widths), padding_mode=padding_mode)


def conv_relu(rank: int, channels: Sequence[int]) -> nn.Sequential:
    """Chain of 3-wide convolutions, each followed by a ReLU; `channels` are those of the input and of each output.

    >>> sum(p.numel() for p in conv_relu(2, (1, 8, 4)).parameters()) == (9 * 1 + 1) * 8 + (9 * 8 + 1) * 4
    True
    """
    return _chain(rank, channels, lambda: nn.ReLU(inplace=True))


def conv_leaky(
    rank: int, channels: Sequence[int], slope: float = 0.1, kernels: Sequence[int | Sequence[int]] = (), shift_px: int = 0
) -> nn.Sequential:
    """Chain of convolutions, each followed by a leaky ReLU, whose gradient never vanishes.

    Parameters
    ----------
    rank
        Number of spatial axes.
    channels
        Channels of the input and of each output.
    slope
        Slope of the activation below zero.
    kernels
        Width of each convolution, 3 by default.
    shift_px
        Of a skewed stack, see `ShearedConv`.

    Examples
    --------
    >>> conv_leaky(2, (1, 4))(torch.zeros(1, 1, 3, 3)).shape
    torch.Size([1, 4, 3, 3])
    """
    return _chain(rank, channels, lambda: nn.LeakyReLU(slope, inplace=True), kernels, shift_px)


def _chain(
    rank: int, channels: Sequence[int], activation: Callable[[], nn.Module], kernels: Sequence[int | Sequence[int]] = (), shift_px: int = 0
) -> nn.Sequential:
    """Alternating convolutions and activations.

    The activations work in place: the gradient of a convolution does not need its output, and wide layers are limited by memory
    traffic.
    """
    layers: list[nn.Module] = []
    for (channels_in, channels_out), kernel in zip(itertools.pairwise(channels), kernels or [3] * (len(channels) - 1), strict=True):
        layers += [conv(rank, channels_in, channels_out, kernel, shift_px=shift_px), activation()]
    return nn.Sequential(*layers)


def max_pool(x: Batch, factors: Sequence[int]) -> Batch:
    """Maximum of each block of `factors` pixels.

    >>> max_pool(torch.tensor([[[[1.0, 5.0], [2.0, 3.0]]]]), (2, 2)).item()
    5.0
    """
    return _MAX_POOL[len(factors)](x, tuple(factors))


@torch.no_grad()
def glorot_(module: nn.Module, generator: torch.Generator | None = None) -> None:
    """Initialise all convolutions of `module`: weights uniform in +-sqrt(6 / (fan_in + fan_out)), biases zero (the default of Keras).

    Glorot and Bengio, AISTATS (2010).

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
    """All convolutions of `module` in the order of their construction, which is that of the data flow.

    >>> [layer.out_channels for layer in convolutions(conv_relu(2, (1, 8, 4)))]
    [8, 4]
    """
    return [layer for layer in module.modules() if isinstance(layer, Convolution)]
