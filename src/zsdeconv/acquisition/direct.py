"""The camera image is the image: planes and stacks of a wide-field, confocal, two-photon or light-sheet microscope."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Self

import numpy as np
import torch
from torch import Tensor

from zsdeconv.acquisition.base import Acquisition, Measurement, Recording, Stored, reading_options
from zsdeconv.acquisition.noise_reference import CameraReference, NoiseReference
from zsdeconv.acquisition.point_spread import given_psf, optics_of
from zsdeconv.camera.detector import Camera, signal_estimate
from zsdeconv.config import Config, TrainingSection
from zsdeconv.data.batches import SplitPairs
from zsdeconv.data.normalize import Affine
from zsdeconv.data.pairs import PairMaker, share_of
from zsdeconv.image import Image, scan_of, with_scan
from zsdeconv.io import read
from zsdeconv.notation import Batch
from zsdeconv.physics.grid import center_window
from zsdeconv.physics.operators import Crop, Operator, forward_model
from zsdeconv.physics.optics import Optics
from zsdeconv.physics.psf import Psf

MAX_DIVIDED_PX = 2**24
"""Pixels of a stack whose electrons are divided together; those of larger ones plane by plane. Chosen: the work takes 0.7 GB then."""


@dataclass(frozen=True, eq=False)
class CameraMeasurement(Measurement):
    """A camera image, whose pixels have independent noise, or one with the correlation of the camera.

    >>> measurement = CameraMeasurement(torch.ones(4, 6), Camera(0.0, 0.5, 0.25))
    >>> measurement.noise(torch.Generator().manual_seed(0)).shape, measurement.variance_bias().abs().max().item()
    (torch.Size([4, 6]), 0.0)
    >>> measurement.center_crop(6).y.shape
    torch.Size([2, 3])
    """

    y: Tensor
    camera: Camera
    splits: bool = False
    """Whether pairs are made by splitting electrons, where the law of the detector is known well enough."""

    @property
    def signal(self) -> Tensor:
        """`A(y - b)` (Eq. 3), computed anew at each access: images can fill a good part of the memory."""
        return torch.from_numpy(signal_estimate(self.y.cpu().numpy(), 0.0)).to(self.y.device)

    def noise(self, generator: torch.Generator) -> Tensor:
        return self.camera.noise(self.signal, generator)

    def variance_bias(self) -> Tensor:
        return self.camera.variance(self.signal) - self._unbiased_variance

    def pair_bias(self, y_hat: Tensor, alpha: float) -> Tensor:
        """Electrons that were not counted are guessed from their local mean, so that the variance of a division is not quite the law's."""
        return (y_hat - self.y).square() / alpha**2 - self._unbiased_variance if self.splits else self.variance_bias()

    @property
    def _unbiased_variance(self) -> Tensor:
        """The law of the noise for `y` itself, negative or not, whose mean is the mean variance."""
        return self.camera.beta1 * self.y + self.camera.read_variances

    def pair(self, alpha: float, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        if not self.splits:
            return super().pair(alpha, generator)
        y, mean, share = self.y, self.signal, share_of(alpha)
        if y.ndim == 2 or y.numel() <= MAX_DIVIDED_PX:
            return self.camera.split(y, mean, share, generator)
        pair = torch.empty_like(y), torch.empty_like(y)
        for planes in zip(y, mean, *pair, strict=True):
            for part, divided in zip(planes[2:], self.camera.split(*planes[:2], share, generator), strict=True):
                part.copy_(divided)
        return pair

    def added_noise(self, alpha: float, generator: torch.Generator) -> Tensor:
        return self.pair(alpha, generator)[0].sub_(self.y) if self.splits else super().added_noise(alpha, generator)

    def center_crop(self, pixels: float) -> Self:
        y, x = center_window(self.y.shape, pixels)
        return replace(self, y=self.y[..., y, x], camera=self.camera.within(y, x))

    def noise_reference(self, mean: Tensor, seed: int) -> NoiseReference:
        return CameraReference(mean, self.camera).checked()

    def with_light(self, added: Tensor) -> Self:
        return replace(self, y=self.y + added)


class DirectAcquisition(Acquisition):
    """`D H x` and noise that is independent in each pixel, or correlated as the camera's.

    `forward_operator` replaces the convolution with `psf` where an object is imaged in another way.

    >>> psf = Psf(np.ones((1, 1)), (0.03, 0.03), "a point")
    >>> acquisition = DirectAcquisition(Affine(100.0, 50.0), Camera(100.0, 1.0, 4.0), psf, 2)
    >>> acquisition.measure(np.full((4, 6), 150), torch.device("cpu")).y.mean().item()
    1.0
    """

    remembers = True
    sets_bright_aside = True
    settings = frozenset(f"optics.{name}" for name in ("microscope", "sheet_um", "pinhole_au", "sample_ri", "depth_um")) | frozenset(
        f"input.{name}" for name in ("scan_angle_deg", "scan_step_um", "scan_reverse")
    )

    def __init__(
        self,
        unit: Affine,
        camera: Camera,
        psf: Psf,
        scale: int,
        *,
        optics: Optics | None = None,
        forward_operator: Operator | None = None,
    ) -> None:
        super().__init__(unit, camera, psf, forward_operator or forward_model(psf.values, psf.rank, scale), scale, optics=optics)

    @classmethod
    def read(cls, path: Path, config: Config, *, axes: str | None = None, pixel_um: float | None = None) -> Image:
        image, known = read(path, **reading_options(config, axes, pixel_um)), config.input
        given = (known.scan_angle_deg, known.scan_step_um, known.scan_reverse)
        return with_scan(image, scan_of(image, *given)) if any(given) else image

    @classmethod
    def prepare(cls, recording: Recording) -> tuple[Self, dict[str, str]]:
        optics, origin = optics_of(recording)
        psf, source = given_psf(recording, optics, origin)
        made = cls(
            recording.unit, recording.calibration.camera, recording.fitted(recording.skewed(psf)), recording.config.scale, optics=optics
        )
        return made, {"psf": source}

    @classmethod
    def with_psf(cls, psf: Psf, unit: Affine, camera: Camera, scale: int) -> Self:
        return cls(unit, camera, psf, scale)

    @classmethod
    def from_stored(cls, stored: Stored) -> Self:
        return cls(stored.unit, stored.camera, stored.psf, stored.config.scale, optics=stored.optics)

    def measure(self, frames: np.ndarray, device: torch.device, origin_px: Sequence[int] = ()) -> CameraMeasurement:
        y = self.unit.to_unit(frames.astype(np.float64)).astype(np.float32)
        return CameraMeasurement(torch.from_numpy(y).to(device), self.law_at(frames.shape, origin_px, device), self.splits)

    def pairs(
        self, measurements: Sequence[Measurement], maker: PairMaker, training: TrainingSection, symmetries: Sequence[int]
    ) -> SplitPairs:
        samples = [(each.y, each.signal, *each.camera.maps_of(each.y)) for each in measurements if isinstance(each, CameraMeasurement)]
        return SplitPairs(samples, maker, training, symmetries, turn_last=bool(self.camera.correlation))

    def simulate(self, x: Batch, crop: Crop, variance_factor: Tensor, generator: torch.Generator) -> Batch:
        clean = crop(self.forward_operator(x)).clamp(min=0)
        camera = self.law_anywhere(clean, generator)
        if self.splits:
            return camera.simulate(clean, 1 / variance_factor, generator)
        return clean + camera.correlation.drawn(camera.variance(clean) * variance_factor, generator)

    def simulate_added(self, x: Batch, generator: torch.Generator) -> Batch:
        clean = self.forward_operator(x).clamp(min=0)
        return clean + self.camera.correlation.drawn(self.camera.beta1 * clean, generator)
