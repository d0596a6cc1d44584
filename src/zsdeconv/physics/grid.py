"""Geometry of image tensors of any rank: pooling, upsampling, mirrored borders, windows, symmetries of the lateral square.

All functions work on `b c *zyx` tensors (or on their trailing axes); the rank is the number of spatial axes (2: `y x`, 3: `z y x`).
"Lateral" means along y and x, where the pixel is square; pooling and upsampling act on these two axes only.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from zsdeconv.notation import Batch

SYMMETRIES = 8
"""Number of symmetries of the lateral square. Law: four quarter turns, each with and without a flip (the dihedral group D4)."""

_MEAN_POOL = {2: F.avg_pool2d, 3: F.avg_pool3d}
"""Mean pooling by rank. Law: the names of the operations in torch."""


def lateral_factors(rank: int, factor: int) -> tuple[int, ...]:
    """`factor` along y and x, 1 along z.

    >>> lateral_factors(2, 4), lateral_factors(3, 4)
    ((4, 4), (1, 4, 4))
    """
    return (1,) * (rank - 2) + (factor, factor)


def per_axis(value: int | Sequence[int], rank: int) -> tuple[int, ...]:
    """One integer for each spatial axis: a sequence as it is, a single number repeated.

    >>> per_axis(3, 2), per_axis((1, 8, 8), 3)
    ((3, 3), (1, 8, 8))
    """
    values = (value,) * rank if isinstance(value, int) else tuple(value)
    assert len(values) == rank, f"{values} for {rank} axes"
    return values


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


def smooth(x: Batch, width_px: int = 5) -> Batch:
    """Lateral mean over `width_px` x `width_px` pixels at the size of `x`; beyond the border the nearest pixel is repeated.

    >>> smooth(torch.tensor([[[[0.0, 3.0, 0.0]]]]), 3).tolist()
    [[[[1.0, 1.0, 1.0]]]]
    """
    rank, radius = x.ndim - 2, width_px // 2
    ends = [radius] * 4 + [0] * (2 * (rank - 2))
    return _MEAN_POOL[rank](F.pad(x, ends, mode="replicate"), lateral_factors(rank, width_px), stride=1)


def fine_to_channels(x: Batch, factor: int) -> Batch:
    """Each lateral block of `factor` x `factor` pixels becomes the channels of one pixel (inverse: `channels_to_fine`).

    >>> fine_to_channels(torch.tensor([[[[1.0, 2.0], [3.0, 4.0]]]]), 2).flatten().tolist()
    [1.0, 2.0, 3.0, 4.0]
    """
    *lead, height, width = x.shape
    x = x.reshape(*lead, height // factor, factor, width // factor, factor)
    x = x.movedim((-3, -1), (2, 3))
    return x.reshape(x.shape[0], -1, *x.shape[4:])


def channels_to_fine(x: Batch, factor: int) -> Batch:
    """Channels in groups of `factor**2` become lateral blocks of fine pixels.

    >>> channels_to_fine(torch.arange(1.0, 5.0).reshape(1, 4, 1, 1), 2).tolist()
    [[[[1.0, 2.0], [3.0, 4.0]]]]
    """
    batch, channels, *zyx = x.shape
    x = x.reshape(batch, channels // factor**2, factor, factor, *zyx)
    x = x.movedim((2, 3), (-3, -1))
    *lead, height, _, width, _ = x.shape
    return x.reshape(*lead, height * factor, width * factor)


def pad_to_multiple(x: Batch, multiples: Sequence[int]) -> Batch:
    """Mirror `x` beyond the end of each axis until its size is a multiple of `multiples`; any size down to one pixel.

    The padding is at the end only, so the grid of pooling blocks does not move. The border pixel is not repeated.

    >>> pad_to_multiple(torch.tensor([[[[1.0, 2.0, 3.0]]]]), (1, 8)).flatten().tolist()
    [1.0, 2.0, 3.0, 2.0, 1.0, 2.0, 3.0, 2.0]
    """
    for dim, multiple in enumerate(multiples, start=2):
        size = x.shape[dim]
        if size % multiple:
            x = x.index_select(dim, _mirrored(size, math.ceil(size / multiple) * multiple, x.device))
    return x


def mirror(x: Batch, margin_px: Sequence[int]) -> Batch:
    """Extend every image by its reflection about each border pixel, `margin_px` pixels on both sides of each axis.

    A margin larger than the axis is reflected repeatedly. Differentiable; the transpose is `unmirror`.

    >>> mirror(torch.tensor([[[[1.0, 2.0, 3.0]]]]), (0, 2)).flatten().tolist()
    [3.0, 2.0, 1.0, 2.0, 3.0, 2.0, 1.0]
    """
    for axis, margin in enumerate(margin_px, start=2):
        if x.shape[axis] == 1:
            x = x.repeat_interleave(1 + 2 * margin, axis)
            continue
        for n, step in _mirror_steps(x.shape[axis], margin):
            head, tail = x.narrow(axis, 1, step), x.narrow(axis, n - 1 - step, step)
            x = torch.cat((head.flip(axis), x, tail.flip(axis)), axis)
    return x


def unmirror(y: Batch, margin_px: Sequence[int]) -> Batch:
    """Transpose of `mirror`: add each mirrored pixel to the pixel that it was copied from.

    >>> unmirror(torch.tensor([[[[1.0, 10.0, 100.0, 1000.0, 10000.0]]]]), (0, 1)).flatten().tolist()
    [10.0, 10101.0, 1000.0]
    """
    for axis, margin in enumerate(margin_px, start=2):
        if y.shape[axis] == 1 + 2 * margin:
            y = y.sum(axis, keepdim=True)
            continue
        for n, step in reversed(_mirror_steps(y.shape[axis] - 2 * margin, margin)):
            x = y.narrow(axis, step, n).clone()
            x.narrow(axis, 1, step).add_(y.narrow(axis, 0, step).flip(axis))
            x.narrow(axis, n - 1 - step, step).add_(y.narrow(axis, n + step, step).flip(axis))
            y = x
    return y


def _mirror_steps(n: int, margin: int) -> list[tuple[int, int]]:
    """(size before, pixels added) of each reflection that extends `n` > 1 pixels by `margin`; one reflection adds at most n - 1."""
    steps = []
    while margin:
        step = min(margin, n - 1)
        steps.append((n, step))
        n, margin = n + 2 * step, margin - step
    return steps


def _mirrored(size: int, padded: int, device: torch.device) -> Tensor:
    """Indices 0..padded-1 folded back into 0..size-1."""
    period = max(2 * (size - 1), 1)
    index = torch.arange(padded, device=device) % period
    return torch.minimum(index, period - index) if size > 1 else index


def window(x: Batch, start: Sequence[int], stop: Sequence[int]) -> Batch:
    """The part of every image from pixel `start` to pixel `stop`, the latter excluded (a view).

    >>> window(torch.arange(12.0).reshape(1, 1, 3, 4), (1, 0), (3, 2)).tolist()
    [[[[4.0, 5.0], [8.0, 9.0]]]]
    """
    return x[(..., *(slice(a, b) for a, b in zip(start, stop, strict=True)))]


def apply_symmetry(x: Tensor, symmetry: int) -> Tensor:
    """One of the eight symmetries of the lateral square: `symmetry % 4` quarter turns, then a flip along x from 4 on.

    >>> apply_symmetry(torch.tensor([[1, 2], [3, 4]]), 5).tolist()
    [[4, 2], [3, 1]]
    """
    x = torch.rot90(x, symmetry % 4, (-2, -1))
    return x.flip(-1) if symmetry >= 4 else x


def undo_symmetry(x: Tensor, symmetry: int) -> Tensor:
    """Inverse of `apply_symmetry`.

    >>> undo_symmetry(apply_symmetry(torch.tensor([[1, 2], [3, 4]]), 5), 5).tolist()
    [[1, 2], [3, 4]]
    """
    x = x.flip(-1) if symmetry >= 4 else x
    return torch.rot90(x, -(symmetry % 4), (-2, -1))


def symmetries_of(kernel: Tensor, tolerance: float = 0.02) -> list[int]:
    """The symmetries that leave a kernel `*zyx` unchanged, up to the fraction `tolerance` of its absolute sum.

    >>> symmetries_of(torch.ones(3, 3)), symmetries_of(torch.tensor([[0.0, 1.0, 2.0]]))
    ([0, 1, 2, 3, 4, 5, 6, 7], [0, 6])
    """
    limit = tolerance * float(kernel.abs().sum())
    images = [apply_symmetry(kernel, symmetry) for symmetry in range(SYMMETRIES)]
    return [n for n, image in enumerate(images) if image.shape == kernel.shape and float((image - kernel).abs().sum()) <= limit]


def symmetries_of_scan(shift_px: float) -> tuple[int, ...]:
    """The symmetries that leave a stack alone whose planes are shifted along y by `shift_px` each: all, or that along x.

    >>> symmetries_of_scan(0.0), symmetries_of_scan(3.3)
    ((0, 1, 2, 3, 4, 5, 6, 7), (0, 4))
    """
    return (0, 4) if shift_px else tuple(range(SYMMETRIES))


def center_window(shape: Sequence[int], pixels: float) -> tuple[slice, slice]:
    """Slices along y and x of the central part of an image of `shape`: same proportions, at most `pixels` pixels in all.

    >>> center_window((4, 30, 40), 1200)
    (slice(7, 22, None), slice(10, 30, None))
    """
    fraction = min(1.0, math.sqrt(pixels / math.prod(shape)))
    sizes = [max(1, int(fraction * n)) for n in shape[-2:]]
    starts = [(n - size) // 2 for n, size in zip(shape[-2:], sizes, strict=True)]
    return slice(starts[0], starts[0] + sizes[0]), slice(starts[1], starts[1] + sizes[1])
