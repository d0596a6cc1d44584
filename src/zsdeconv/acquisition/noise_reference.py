"""What noise alone would look like: the reference of every statistic of a residual."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import Protocol, Self

import torch
from torch import Tensor

from zsdeconv.acquisition.light import smoothed
from zsdeconv.camera.detector import Camera
from zsdeconv.errors import ImageError

SIGMA_ROUNDS = 8
"""Draws whose mean square is the variance. Chosen: 8 draws, smoothed over `SMOOTH_PX`, know a variance to 3 %."""
SMOOTH_PX = 4.0
"""Over so many pixels (sigma) the variance of drawn noise is averaged: it varies as slowly as the lens and eight draws allow."""
LEAST_ELECTRONS = 0.1
"""A pixel is never taken to be more certain than with so many photo-electrons: it can hold a whole one by chance."""


class Noisy(Protocol):
    """What a reference needs of a measurement: noise to draw, and by how much its variance is biased."""

    def noise(self, generator: torch.Generator) -> Tensor: ...
    def variance_bias(self) -> Tensor: ...


class NoiseReference(ABC):
    """Noise in units of its standard deviation: `sigma` of the image (`*zyx`), and `draws` of standardised noise of the same size."""

    sigma: Tensor

    @abstractmethod
    def draw(self, generator: torch.Generator) -> Tensor:
        """Fresh noise over its standard deviation."""

    def draws(self, rounds: int, seed: int) -> Iterator[Tensor]:
        """So many of them."""
        generator = torch.Generator().manual_seed(seed)
        return (self.draw(generator) for _ in range(rounds))

    def checked(self) -> Self:
        """The reference itself. Raises `ImageError` where the noise is 0, for a residual has no unit there."""
        if not bool((self.sigma > 0).all()):
            raise ImageError("noise 0 in some pixels: a residual has no unit there; calibrate the camera with dark and flat frames")
        return self


class CameraReference(NoiseReference):
    """Noise of a camera image whose mean is known: Poisson of the photo-electrons, Gaussian of the read-out.

    >>> null = CameraReference(torch.full((64, 64), 4.0), Camera(0.0, 2.0, 1.0))
    >>> null.sigma[0, 0].item(), bool(abs(null.draw(torch.Generator().manual_seed(0)).std() - 1) < 0.05)
    (3.0, True)
    """

    def __init__(self, mean: Tensor, camera: Camera) -> None:
        self.mean, self.camera = mean.clip(0), camera
        self.sigma = camera.variance(mean).clip(LEAST_ELECTRONS * camera.gain**2).sqrt()

    def draw(self, generator: torch.Generator) -> Tensor:
        z = torch.randn(self.mean.shape, generator=generator).to(self.mean.device) * self.camera.read_noise
        if self.camera.gain > 0:
            electrons = torch.poisson((self.mean / self.camera.gain).cpu(), generator=generator).to(self.mean.device)
            z = z + self.camera.gain * electrons - self.mean
        return z / self.sigma


class MeasurementReference(NoiseReference):
    """Noise of any field, as it draws it: `sigma` is that of several draws, smoothed, less what they exceed the noise in `y` by."""

    def __init__(self, measurement: Noisy, seed: int) -> None:
        self.measurement = measurement
        generator = torch.Generator().manual_seed(seed)
        power = torch.stack([measurement.noise(generator).square() for _ in range(SIGMA_ROUNDS)]).mean(0)
        share = 1 - float(measurement.variance_bias().mean() / power.mean().clamp(min=1e-30))
        self.drawn = smoothed(power, SMOOTH_PX).clip(1e-6 * float(power.mean())).sqrt()
        self.sigma = self.drawn * share**0.5

    def draw(self, generator: torch.Generator) -> Tensor:
        return self.measurement.noise(generator) / self.drawn
