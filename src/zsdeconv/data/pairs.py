"""Training pairs: two images with independent noise from one, by re-corruption (Eq. 2), splitting, from interleaved slices (Eq. 8), or by
blind spots.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Protocol, Self

import torch
from torch import Tensor

from zsdeconv.camera.detector import Camera
from zsdeconv.camera.pixelwise import PixelwiseCamera
from zsdeconv.notation import Batch

HIDDEN_SHARE = 1 / 16
"""Share of the pixels of a patch that are hidden. Chosen: one pixel in four along each axis, so that most see only pixels that are not."""
HIDDEN_REACH_PX = 2
"""Distance along y and x from which the value of a hidden pixel comes. Chosen: within the core of a PSF, so that values are alike."""

Range = tuple[float, float]
Linear = Callable[[Tensor], Tensor]


def share_of(alpha: float | Tensor) -> float | Tensor:
    """Fraction of the electrons in `y_hat` for which its variance is `1 + alpha^2` times that of `y`, as by Eq. 2.

    >>> share_of(2.0)
    0.2
    """
    return 1 / (1 + alpha**2)


class PairMaker(Protocol):
    """Makes of an image two with independent noise."""

    def deviations(self, y: Batch, signal: Batch, generator: torch.Generator, through: Linear = lambda z: z) -> tuple[Tensor, Tensor]:
        """`y_hat - y` and `y_tilde - y` for each image; `signal` is `A(y - b)`, clipped at 0, in the unit of `y`.

        What follows the camera, such as a reconstruction, is linear and is done to both by `through`.
        """
        ...

    def of_pixels(self, *read_variances: Tensor) -> Self:
        """The maker for images whose pixels have `read_variances` of their own, where these are given, in the unit of the images."""
        ...


def draw_alpha(limits: Range, images: Batch, generator: torch.Generator) -> Tensor:
    """A number for each image, uniform within limits."""
    shape = (len(images), *[1] * (images.ndim - 1))
    return torch.empty(shape, device=images.device).uniform_(*limits, generator=generator)


def recorrupted(y: Tensor, z: Tensor, alpha: float | Tensor) -> tuple[Tensor, Tensor]:
    """`y_hat = y + alpha z`, `y_tilde = y - z / alpha` (Eq. 2): independent noise where `Var(z)` is the variance in `y`.

    >>> y_hat, y_tilde = recorrupted(torch.tensor(10.0), torch.tensor(2.0), 2.0)
    >>> y_hat.item(), y_tilde.item()
    (14.0, 9.0)
    """
    return y + alpha * z, y - z / alpha


@dataclass(frozen=True)
class _ByLaw:
    """What makes pairs by the law of a camera in the unit of the images."""

    camera: Camera

    def of_pixels(self, *read_variances: Tensor) -> Self:
        """The same by the law of pixels with `read_variances` of their own, where these are given."""
        return replace(self, camera=PixelwiseCamera.of(self.camera, *read_variances)) if read_variances else self


@dataclass(frozen=True)
class Recorruption(_ByLaw):
    """Noise-independent pair from one image (Eq. 2, 3).

    `y_hat = y + alpha z` and `y_tilde = y - z / alpha` with `z ~ N(0, sigma^2)`, `sigma^2 = beta1 A(y - b) + beta2`, and the
    correlation between pixels that the camera has. When that is the true covariance of `y`, `Cov(y_hat, y_tilde | x) = Cov(y) -
    Cov(z) = 0`: whoever predicts one from the other in the sense of least squares predicts the clean image.

    `camera` holds the estimates of `beta1` and `beta2` in the unit of the images. As estimates are never exact, each pair
    draws `alpha` and its own multiples of `beta1` and `beta2`, uniformly from the ranges given.

    >>> from zsdeconv.camera.detector import Camera
    >>> recorrupt = Recorruption(Camera(offset=0.0, gain=1.0, read_variance=4.0), alpha=(2.0, 2.0))
    >>> y, generator = torch.full((1, 1, 8, 8), 50.0), torch.Generator().manual_seed(0)
    >>> y_hat, y_tilde = recorrupt(y, y, generator)
    >>> bool(torch.allclose(y_hat - y, -4 * (y_tilde - y), atol=1e-4))  # alpha z against -z / alpha
    True
    """

    alpha: Range = (1.0, 2.0)
    beta1_factor: Range = (0.5, 1.5)
    beta2_factor: Range = (0.8, 1.2)

    def __call__(self, y: Batch, signal: Batch, generator: torch.Generator) -> tuple[Batch, Batch]:
        """The pair `y_hat`, `y_tilde` of each image in `y`; `signal` is `A(y - b)`, clipped at 0, in the same unit."""
        alpha, z = self.noise(signal, generator)
        return recorrupted(y, z, alpha)

    def deviations(self, y: Batch, signal: Batch, generator: torch.Generator, through: Linear = lambda z: z) -> tuple[Tensor, Tensor]:
        """`alpha z` and `-z / alpha` of each image."""
        alpha, z = self.noise(signal, generator)
        return recorrupted(torch.zeros(()), through(z), alpha)

    def noise(self, signal: Batch, generator: torch.Generator) -> tuple[Tensor, Batch]:
        """`alpha` and `z` of each image, for what is linear in the images and may take `z` by itself."""

        def draw(limits: Range) -> Tensor:
            return draw_alpha(limits, signal, generator)

        alpha = draw(self.alpha)
        variance = draw(self.beta1_factor) * self.camera.beta1 * signal + draw(self.beta2_factor) * self.camera.read_variances
        return alpha, self.camera.correlation.drawn(variance, generator)


@dataclass(frozen=True)
class Splitting(_ByLaw):
    """Noise-independent pair from one image by dividing its electrons between both (`Camera.split`).

    `y_hat` has the fraction `1 / (1 + alpha^2)` of them, so that `alpha` says the same of the noise as in Eq. 2. The noise of both is
    independent, not only uncorrelated, also where few photons or a multiplier make it skewed.

    >>> from zsdeconv.camera.detector import Counter
    >>> y, generator = torch.full((1, 1, 8, 8), 6.0), torch.Generator().manual_seed(0)
    >>> a, b = Splitting(Counter(0.0, 1.0), alpha=(1.0, 1.0)).deviations(y, y, generator)
    >>> bool((a + b == 0).all())
    True
    """

    alpha: Range = (1.0, 2.0)

    def deviations(self, y: Batch, signal: Batch, generator: torch.Generator, through: Linear = lambda z: z) -> tuple[Tensor, Tensor]:
        """`y_hat - y` and `y_tilde - y` of each image."""
        y_hat, y_tilde = self.camera.split(y, signal, share_of(draw_alpha(self.alpha, y, generator)), generator)
        return through(y_hat - y), through(y_tilde - y)


class Interleaving:
    """Noise-independent pair from one stack: `y_hat = S_odd(z)`, `y_tilde = S_even(z)` (Eq. 8).

    Odd are the first slice, the third, and so on. Neighbouring slices show nearly the same object, and no noise in common.
    Each stack of a batch draws which half comes first; the last slice of an odd number is left out, so that both halves have
    equally many. The slices of a half lie 2 dz apart, and so must those of the PSF.

    >>> z = torch.arange(5.0).reshape(1, 1, 5, 1, 1)
    >>> [half.flatten().tolist() for half in Interleaving()(z, torch.Generator().manual_seed(1))]
    [[0.0, 2.0], [1.0, 3.0]]
    """

    def __call__(self, z: Batch, generator: torch.Generator) -> tuple[Batch, Batch]:
        """The pair `y_hat`, `y_tilde`, `b c z/2 y x`, of each stack in `z`."""
        return self.split(z, self.order(len(z), z.device, generator))

    @staticmethod
    def order(stacks: int, device: torch.device, generator: torch.Generator) -> Tensor:
        """For each of so many stacks whether the even slices come first."""
        return torch.rand(stacks, generator=generator, device=device) < 0.5

    @staticmethod
    def split(z: Batch, even_first: Tensor) -> tuple[Batch, Batch]:
        """Both halves of each stack in the order given: what is the same to `z` and to `f'(z)`."""
        slices = z.shape[2] // 2 * 2
        odd, even = z[:, :, 0:slices:2], z[:, :, 1:slices:2]
        swap = even_first.reshape(-1, *[1] * (z.ndim - 1))
        return torch.where(swap, even, odd), torch.where(swap, odd, even)


class BlindSpots:
    """Noise-independent pair from one image whose noise is independent in each pixel, whatever its law: pixels and their surroundings.

    In `y_hat` a pixel in sixteen has the value of another one near to it, and there alone `y` is the target. Who predicts it from all but
    itself cannot know its noise, and the best that he can give is its mean (blind spots: Krull, Buchholz and Jug, CVPR 2019; Batson and
    Royer, ICML 2019). It needs no law, but nothing is learnt from the pixel itself: where a law holds, even roughly, pairs by the law are
    better (benchmarks/results.md, "Noise of no known law").

    >>> y = torch.arange(256.0).reshape(1, 1, 16, 16)
    >>> y_hat, hidden = BlindSpots()(y, torch.Generator().manual_seed(0))
    >>> bool((y_hat == y)[~hidden].all()), bool((y_hat == y)[hidden].any())
    (True, False)
    """

    def __call__(self, y: Batch, generator: torch.Generator) -> tuple[Batch, Tensor]:
        """`y_hat`, and where it is hidden from a network what `y` holds; both with the shape of `y`."""

        def draw(low: int, high: int) -> Tensor:
            return torch.randint(low, high, y.shape, generator=generator, device=y.device)

        hidden = torch.rand(y.shape, generator=generator, device=y.device) < HIDDEN_SHARE
        steps = (2 * HIDDEN_REACH_PX + 1) ** 2  # those of a square around the pixel, without its middle
        step = draw(0, steps - 1)
        step = step + (step >= steps // 2)
        height, width = y.shape[-2:]
        side = 2 * HIDDEN_REACH_PX + 1
        rows = torch.arange(height, device=y.device)[:, None] + step // side - HIDDEN_REACH_PX
        columns = torch.arange(width, device=y.device) + step % side - HIDDEN_REACH_PX
        other = (rows % height * width + columns % width).flatten(-2)  # round the borders, which no loss sees
        return torch.where(hidden, y.flatten(-2).gather(-1, other).reshape(y.shape), y), hidden
