"""The physics of image formation as linear operators with exact adjoints.

Every operator maps `b c *zyx` tensors, satisfies `<A x, y> == <x, A.adjoint(y)>` for all `x` and `y` (tests/laws.py), and is
differentiable. Their composition is the forward model of Eq. 1 and 6: `D(H x)`.
"""

from __future__ import annotations

import operator
from abc import ABC, abstractmethod
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from zsdeconv.notation import Batch
from zsdeconv.physics import grid

MIN_NEGATIVE_FRACTION = 0.05
"""Negative weights of a kernel, as a fraction of the positive ones, above which they count as rings of the PSF. Chosen: noise in
the measured PSFs of tests/physics/test_psf.py stays below 3 %."""


class Operator(ABC):
    """A linear map between images, callable, with its adjoint; `A @ B` applies `B` first."""

    @abstractmethod
    def __call__(self, x: Batch) -> Batch:
        """Apply the operator."""

    @abstractmethod
    def adjoint(self, y: Batch) -> Batch:
        """Apply the transpose."""

    @property
    @abstractmethod
    def support_px(self) -> tuple[int, ...]:
        """Largest distance along each spatial axis, in input pixels, between an input pixel and an output pixel that depends on it."""

    @property
    def positive(self) -> Operator:
        """The operator without its negative weights; the operator itself when they are absent or no more than noise."""
        return self

    def __matmul__(self, first: Operator) -> Operator:
        return Composed(self, first)


class Composed(Operator):
    """`second` after `first`."""

    def __init__(self, second: Operator, first: Operator) -> None:
        self.second, self.first = second, first

    def __call__(self, x: Batch) -> Batch:
        return self.second(self.first(x))

    def adjoint(self, y: Batch) -> Batch:
        return self.first.adjoint(self.second.adjoint(y))

    @property
    def support_px(self) -> tuple[int, ...]:
        return tuple(map(operator.add, self.first.support_px, self.second.support_px))

    @property
    def positive(self) -> Operator:
        first, second = self.first.positive, self.second.positive
        return self if first is self.first and second is self.second else Composed(second, first)


class Downsample(Operator):
    """`D`: lateral mean over `scale` x `scale` fine pixels (Eq. 1), the identity at scale 1. Flux per area is conserved.

    >>> Downsample(2, 2)(torch.tensor([[[[1.0, 3.0], [5.0, 7.0]]]])).item()
    4.0
    """

    def __init__(self, rank: int, scale: int) -> None:
        self.factors = grid.lateral_factors(rank, scale)

    def __call__(self, x: Batch) -> Batch:
        return grid.mean_pool(x, self.factors)

    def adjoint(self, y: Batch) -> Batch:
        return grid.upsample(y, self.factors) / float(np.prod(self.factors))

    @property
    def support_px(self) -> tuple[int, ...]:
        return (0,) * len(self.factors)


class Crop(Operator):
    """Cut `margin_px` pixels from both ends of each spatial axis; the adjoint puts zeros there.

    >>> Crop((1, 2))(torch.zeros(1, 1, 5, 7)).shape
    torch.Size([1, 1, 3, 3])
    """

    def __init__(self, margin_px: Sequence[int]) -> None:
        self.margin_px = tuple(margin_px)

    def __call__(self, x: Batch) -> Batch:
        return grid.window(x, self.margin_px, [n - m for n, m in zip(x.shape[2:], self.margin_px, strict=True)])

    def adjoint(self, y: Batch) -> Batch:
        return F.pad(y, [m for margin in reversed(self.margin_px) for m in (margin, margin)])

    @property
    def support_px(self) -> tuple[int, ...]:
        return (0,) * len(self.margin_px)


class Blur(Operator):
    """`H`: convolution (not correlation) by FFT with a kernel of odd sizes, centred on its central pixel.

    The image is extended by its reflection, so nothing wraps around and the borders do not darken; a constant image stays
    constant when the kernel sums to 1. `kernel` is `*zyx` and may be larger than the image. The OTFs of the last few image
    sizes are cached.

    >>> kernel = np.zeros((3, 3))
    >>> kernel[1, 2] = 1  # shifts the image by one pixel along x
    >>> Blur(kernel)(torch.tensor([[[[0.0, 0, 1, 0, 0]] * 2]]))[0, 0, 0].round().abs().tolist()
    [0.0, 0.0, 0.0, 1.0, 0.0]
    """

    max_cached_otfs = 8
    """Image sizes whose OTF is kept. Chosen: training patches, validation crops and tiles of a prediction have fewer sizes."""

    def __init__(self, kernel: np.ndarray) -> None:
        assert all(n % 2 for n in kernel.shape), f"kernel {kernel.shape}: sizes must be odd"
        self.kernel = np.ascontiguousarray(kernel, dtype=np.float64)
        self.radius_px = tuple(n // 2 for n in kernel.shape)
        self._otfs: dict[tuple[object, ...], Tensor] = {}
        positive = self.kernel.clip(0)
        self._positive = Blur(positive) if positive.sum() - self.kernel.sum() > MIN_NEGATIVE_FRACTION * positive.sum() else None

    def __call__(self, x: Batch) -> Batch:
        x = grid.mirror(x, self.radius_px)
        blurred = self._convolve(x, self.otf(x.shape[2:], x))
        return Crop(self.radius_px)(blurred)

    def adjoint(self, y: Batch) -> Batch:
        y = Crop(self.radius_px).adjoint(y)
        y = self._convolve(y, self.otf(y.shape[2:], y).conj())
        return grid.unmirror(y, self.radius_px)

    @property
    def support_px(self) -> tuple[int, ...]:
        return self.radius_px

    @property
    def positive(self) -> Operator:
        return self if self._positive is None else self._positive

    def otf(self, shape: Sequence[int], like: Tensor) -> Tensor:
        """OTF on the half-spectrum of an FFT at least as large as `shape`, on the device and with the dtype of `like`."""
        sizes = tuple(fast_length(n) for n in shape)
        key = (sizes, like.device, like.dtype)
        if key not in self._otfs:
            while len(self._otfs) >= self.max_cached_otfs:
                self._otfs.pop(next(iter(self._otfs)))
            self._otfs[key] = self._make_otf(sizes).to(torch.promote_types(like.dtype, torch.float32).to_complex()).to(like.device)
        return self._otfs[key]

    def _make_otf(self, sizes: Sequence[int]) -> Tensor:
        centred = np.zeros(sizes)
        centred[tuple(slice(n) for n in self.kernel.shape)] = self.kernel
        axes = tuple(range(len(sizes)))
        return torch.from_numpy(np.fft.rfftn(np.roll(centred, [-r for r in self.radius_px], axes)))

    @staticmethod
    def _convolve(x: Batch, otf: Tensor) -> Batch:
        sizes = [fast_length(n) for n in x.shape[2:]]
        axes = tuple(range(2, x.ndim))
        spectrum = torch.fft.rfftn(x.to(otf.real.dtype), s=sizes, dim=axes) * otf  # no FFT has the half precision of mixed training
        return grid.window(torch.fft.irfftn(spectrum, s=sizes, dim=axes), [0] * len(sizes), x.shape[2:]).to(x.dtype)


def fast_length(n: int) -> int:
    """Smallest even number that is at least `n` and has no prime factor above 5: the sizes at which FFTs are fastest.

    >>> [fast_length(n) for n in (7, 97, 257)]
    [8, 100, 270]
    """
    n += n % 2
    while not _is_smooth(n):
        n += 2
    return n


def _is_smooth(n: int) -> bool:
    for prime in (2, 3, 5):
        while n % prime == 0:
            n //= prime
    return n == 1


def forward_model(psf: np.ndarray, rank: int, scale: int) -> Operator:
    """`D H`: the noise-free camera image of an object on the fine grid (Eq. 1), for a PSF of sum 1 on that grid.

    >>> forward_model(np.ones((1, 1)), rank=2, scale=2)(torch.ones(1, 1, 4, 6)).shape
    torch.Size([1, 1, 2, 3])
    """
    return Downsample(rank, scale) @ Blur(psf)
