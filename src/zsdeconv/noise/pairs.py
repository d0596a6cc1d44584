"""Training pairs made on the fly: two images with independent noise from one."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from zsdeconv.noise.model import Camera
from zsdeconv.symbols import Batch

Range = tuple[float, float]


@dataclass(frozen=True)
class Recorrupt:
    """Noise-independent pair from one image (Eq. 2, 3).

    `y_hat = y + alpha z` and `y_tilde = y - z / alpha` with `z ~ N(0, sigma^2)`, `sigma^2 = beta1 A(y - b) + beta2`. When
    `sigma^2` is the true variance of `y`, `Cov(y_hat, y_tilde | x) = Var(y) - Var(z) = 0`: whoever predicts one from the
    other in the sense of least squares predicts the clean image.

    `camera` holds the estimates of `beta1` and `beta2` in the unit of the images. As estimates are never exact, each pair
    draws `alpha` and its own multiples of `beta1` and `beta2`, uniformly from the ranges given.

    >>> from zsdeconv.noise.model import Camera
    >>> recorrupt = Recorrupt(Camera(offset=0.0, gain=1.0, read_variance=4.0), alpha=(2.0, 2.0))
    >>> y, generator = torch.full((1, 1, 8, 8), 50.0), torch.Generator().manual_seed(0)
    >>> y_hat, y_tilde = recorrupt(y, y, generator)
    >>> bool(torch.allclose(y_hat - y, -4 * (y_tilde - y), atol=1e-4))  # alpha z against -z / alpha
    True
    """

    camera: Camera
    alpha: Range = (1.0, 2.0)
    beta1_factor: Range = (0.5, 1.5)
    beta2_factor: Range = (0.8, 1.2)

    def __call__(self, y: Batch, signal: Batch, generator: torch.Generator) -> tuple[Batch, Batch]:
        """The pair `y_hat`, `y_tilde` of each image in `y`; `signal` is `A(y - b)`, clipped at 0, in the same unit."""

        def draw(limits: Range) -> Tensor:
            shape = (len(y), *[1] * (y.ndim - 1))
            return torch.empty(shape, device=y.device).uniform_(*limits, generator=generator)

        alpha = draw(self.alpha)
        variance = draw(self.beta1_factor) * self.camera.gain * signal + draw(self.beta2_factor) * self.camera.read_variance
        z = torch.randn(y.shape, generator=generator, device=y.device) * variance.sqrt()
        return y + alpha * z, y - z / alpha
