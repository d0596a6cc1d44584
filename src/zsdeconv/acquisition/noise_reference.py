"""Noise alone, as the reference of every statistic of a residual."""

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
"""Scale (sigma), pixels, over which the variance of drawn noise is averaged. Chosen: the variance varies as slowly as the light."""
MIN_ELECTRONS = 0.1
"""Photo-electrons that set the smallest standard deviation of a pixel. Chosen: even a dark pixel can hold one by chance."""
MAX_SKEWNESS = 4.0
"""Skewness of a pixel up to which its noise has a known shape. Chosen: a pixel of a multiplier has a quarter of an electron then; of fewer,
a tenth of an electron more or less in the mean changes the skewness by half."""
MIN_VARIANCE_RATIO = 1e-6
"""Smallest variance relative to the mean. Chosen: pixels without any noise keep a finite residual."""


class Noisy(Protocol):
    """What a reference needs of a measurement: noise to draw, and by how much its variance is biased."""

    def noise(self, generator: torch.Generator) -> Tensor: ...
    def variance_bias(self) -> Tensor: ...


class NoiseReference(ABC):
    """Standardised noise: the standard deviation `sigma` of each pixel (`*zyx`), and draws of noise over its standard deviation."""

    sigma: Tensor

    @abstractmethod
    def draw(self, generator: torch.Generator) -> Tensor:
        """Fresh noise over its standard deviation."""

    def draws(self, rounds: int, seed: int) -> Iterator[Tensor]:
        """`rounds` draws."""
        generator = torch.Generator().manual_seed(seed)
        return (self.draw(generator) for _ in range(rounds))

    @property
    def shape_known(self) -> Tensor:
        """The pixels (`*zyx`, bool) in which the shape of the noise does not depend on how well the mean is known."""
        return torch.ones_like(self.sigma, dtype=torch.bool)

    def checked(self) -> Self:
        """The reference itself. Raises `ImageError` where the noise is 0, for a residual has no unit there."""
        if not bool((self.sigma > 0).all()):
            raise ImageError("noise 0 in some pixels: a residual has no unit there; calibrate the camera with dark and flat frames")
        return self


class CameraReference(NoiseReference):
    """Noise of a camera image with a known mean, as its detector makes it.

    >>> reference = CameraReference(torch.full((64, 64), 4.0), Camera(0.0, 2.0, 1.0))
    >>> reference.sigma[0, 0].item(), bool(abs(reference.draw(torch.Generator().manual_seed(0)).std() - 1) < 0.05)
    (3.0, True)
    """

    def __init__(self, mean: Tensor, camera: Camera) -> None:
        self.mean, self.camera = mean.clip(0), camera
        self.sigma = camera.variance(mean).clip(MIN_ELECTRONS * camera.gain * camera.beta1).sqrt()

    @property
    def shape_known(self) -> Tensor:
        mean = self.mean.clip(MIN_ELECTRONS * self.camera.gain)
        return self.camera.third_cumulant(mean) <= MAX_SKEWNESS * self.camera.variance(mean) ** 1.5

    def draw(self, generator: torch.Generator) -> Tensor:
        simulated = self.camera.on(torch.device("cpu")).simulate(self.mean.cpu(), 1.0, generator)
        return (simulated.to(self.mean.device) - self.mean) / self.sigma


class MeasurementReference(NoiseReference):
    """Noise as a measurement draws it: `sigma` is measured on several draws, smoothed, and corrected for the bias of their variance."""

    def __init__(self, measurement: Noisy, seed: int) -> None:
        self.measurement = measurement
        generator = torch.Generator().manual_seed(seed)
        power = torch.stack([measurement.noise(generator).square() for _ in range(SIGMA_ROUNDS)]).mean(0)
        fraction = 1 - float(measurement.variance_bias().mean() / power.mean().clamp(min=1e-30))
        self.drawn = smoothed(power, SMOOTH_PX).clip(MIN_VARIANCE_RATIO * float(power.mean())).sqrt()
        self.sigma = self.drawn * fraction**0.5

    def draw(self, generator: torch.Generator) -> Tensor:
        return self.measurement.noise(generator) / self.drawn
