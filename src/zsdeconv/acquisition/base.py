"""What stands between an object and a network: the lens, the camera's noise, and whatever is made of the frames.

Noise is born in camera pixels and nowhere else. A `Measurement` is an image with the noise that is in it, `Acquisition` is how fields come
about; `DirectAcquisition` is that of a microscope whose camera image is the image, `zsdeconv.acquisition.structured` that of structured illumination.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor

from zsdeconv.camera.detector import Camera, signal_estimate
from zsdeconv.config import TrainingSection
from zsdeconv.data.batches import Pairs, RecorruptedPairs
from zsdeconv.data.normalize import Affine
from zsdeconv.data.pairs import Recorruption
from zsdeconv.notation import Batch
from zsdeconv.physics.grid import center_window
from zsdeconv.physics.operators import Crop, Operator

MOST_EXCERPTS = 8


class Measurement(ABC):
    """One image `y` (`*zyx`, the network's unit) and the noise of the camera in it."""

    y: Tensor

    @abstractmethod
    def noise(self, generator: torch.Generator) -> Tensor:
        """Noise `z` of mean 0 with the covariance that Eq. 3 gives to that of `y`, on the grid of `y`; fresh at each call."""

    @abstractmethod
    def variance_bias(self) -> Tensor:
        """How much the variance of `noise` exceeds that of `y`, for each pixel, right on average.

        The law for `max(A(y - b), 0)` overestimates the variance, whose mean is exactly that of the law for the mean of `y`: where
        there is no light the mean of five by five pixels is as often below zero as above, and only the one half is clipped.
        """

    @abstractmethod
    def center_crop(self, pixels: float) -> Measurement:
        """The middle of it along y and x, of the same proportions, with so many pixels at most."""


Part = TypeVar("Part", bound=Measurement)


@dataclass(frozen=True, eq=False)
class CameraMeasurement(Measurement):
    """A camera image, in which every pixel has noise of its own.

    >>> measurement = CameraMeasurement(torch.ones(4, 6), Camera(0.0, 0.5, 0.25))
    >>> (
    ...     measurement.noise(torch.Generator().manual_seed(0)).shape,
    ...     measurement.variance_bias().abs().max().item(),
    ...     measurement.center_crop(6).y.shape,
    ... )
    (torch.Size([4, 6]), 0.0, torch.Size([2, 3]))
    """

    y: Tensor
    camera: Camera

    @property
    def signal(self) -> Tensor:
        """`A(y - b)`, computed anew each time: images can be a good part of the memory."""
        return torch.from_numpy(signal_estimate(self.y.cpu().numpy(), 0.0)).to(self.y.device)

    def noise(self, generator: torch.Generator) -> Tensor:
        z = torch.randn(self.y.shape, generator=generator, device=generator.device).to(self.y.device)
        return z.mul_(self.camera.variance(self.signal).sqrt())

    def variance_bias(self) -> Tensor:
        return self.camera.variance(self.signal) - (self.camera.gain * self.y + self.camera.read_variance)

    def center_crop(self, pixels: float) -> CameraMeasurement:
        window = (..., *center_window(self.y.shape, pixels))
        return replace(self, y=self.y[window])


class Acquisition(ABC):
    """How images of known noise come about, in the network's unit: what the camera adds and what is done to its frames.

    `unit` maps camera counts to that unit, `camera` is the variance law in it, `forward_operator` takes objects to what would be
    seen of them without noise, on a grid `scale` times coarser laterally; `closed` says that it accounts for all their light.
    """

    def __init__(
        self, unit: Affine, camera: Camera, forward_operator: Operator, scale: int, *, accounts_for_all_light: bool = True
    ) -> None:
        self.unit, self.camera = unit, unit.camera_in_unit(camera)
        self.forward_operator, self.scale, self.accounts_for_all_light = forward_operator, scale, accounts_for_all_light

    @abstractmethod
    def measure(self, frames: np.ndarray, device: torch.device, origin_px: Sequence[int] = ()) -> Measurement:
        """The field of what the camera recorded (ADU), or of the part of it that begins at `origin_px`."""

    @abstractmethod
    def pairs(
        self, measurements: Sequence[Measurement], recorrupt: Recorruption, training: TrainingSection, symmetries: Sequence[int]
    ) -> Pairs:
        """Re-corrupted pairs (Eq. 2) of patches of `fields`, which this imaging has made."""

    @abstractmethod
    def observed(self, x: Batch, crop: Crop, variance_bias: Tensor, generator: torch.Generator) -> Batch:
        """Objects on the fine grid as they would be recorded, with fresh noise of `excess` times the variance, cut by `crop`."""

    @abstractmethod
    def added(self, x: Batch, generator: torch.Generator) -> Batch:
        """What an object on the fine grid adds to an image, with the noise of its own light and none of the camera's."""


class DirectAcquisition(Acquisition):
    """The camera's image is the image: `D H x` and noise that is independent in each pixel."""

    def measure(self, frames: np.ndarray, device: torch.device, origin_px: Sequence[int] = ()) -> CameraMeasurement:
        y = self.unit.to_unit(frames.astype(np.float64)).astype(np.float32)
        return CameraMeasurement(torch.from_numpy(y).to(device), self.camera)

    def pairs(
        self, measurements: Sequence[Measurement], recorrupt: Recorruption, training: TrainingSection, symmetries: Sequence[int]
    ) -> RecorruptedPairs:
        samples = [(measurement.y, measurement.signal) for measurement in measurements if isinstance(measurement, CameraMeasurement)]
        return RecorruptedPairs(samples, recorrupt, training, symmetries)

    def observed(self, x: Batch, crop: Crop, variance_bias: Tensor, generator: torch.Generator) -> Batch:
        clean = crop(self.forward_operator(x)).clamp(min=0)
        z = torch.randn(clean.shape, generator=generator, device=clean.device)
        return clean + z * (self.camera.variance(clean) * variance_bias).sqrt()

    def added(self, x: Batch, generator: torch.Generator) -> Batch:
        clean = self.forward_operator(x).clamp(min=0)
        z = torch.randn(clean.shape, generator=generator, device=clean.device)
        return clean + z * (self.camera.gain * clean).sqrt()


def training_excerpts(measurements: Sequence[Part], max_pixels: int) -> list[Part]:
    """The fields; or, of those with more than `max_pixels` in all, at most eight that lie evenly apart, and of each the middle.

    Stacks keep all their slices.

    >>> image = torch.zeros(30, 40)
    >>> part = training_excerpts([CameraMeasurement(image, Camera(0.0, 1.0, 0.0))] * 20, 2100)
    >>> len(part), part[0].y.shape
    (7, torch.Size([15, 20]))
    """
    if sum(measurement.y.numel() for measurement in measurements) <= max_pixels:
        return list(measurements)
    chosen = measurements[:: -(-len(measurements) // MOST_EXCERPTS)]
    return [measurement.center_crop(max_pixels / len(chosen)) for measurement in chosen]  # pyright: ignore[reportReturnType]
