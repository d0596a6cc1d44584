"""Noise of a reconstruction under structured illumination: measurements, and re-corrupted pairs of their raw frames.

The reconstruction `R` is linear, so `R(y + alpha z) = R y + alpha R z` (Eq. 2, 10): raw frames are reconstructed once, and only their
noise is reconstructed at every step.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Self

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from zsdeconv.acquisition.base import Measurement
from zsdeconv.acquisition.noise_reference import MeasurementReference, NoiseReference
from zsdeconv.camera.detector import Camera, signal_estimate
from zsdeconv.config import TrainingSection
from zsdeconv.data.batches import RandomStreams
from zsdeconv.data.pairs import PairMaker, share_of
from zsdeconv.physics import grid
from zsdeconv.physics.grid import center_window
from zsdeconv.physics.operators import Crop
from zsdeconv.sim.detection import DetectionOtf2d
from zsdeconv.sim.reconstruct import SIM_UPSAMPLING, Reconstruct

CONTEXT_PX = 8
"""Raw pixels around a patch whose noise is reconstructed with it: nearer to a border it is not quite that of the middle."""


@dataclass(frozen=True, eq=False)
class StructuredMeasurement(Measurement):
    """A reconstruction `y` of raw `frames` whose `signal` is `A(y - b)` (both `frame *zyx`), with the noise of the camera made through it.

    `splits` as of a camera measurement, of the raw frames.
    """

    y: Tensor
    frames: Tensor
    signal: Tensor
    camera: Camera
    reconstruct: Reconstruct
    origin_px: tuple[int, int]
    variance_bias_fraction: float
    splits: bool = False

    @property
    def recorded_px(self) -> int:
        return self.signal.numel()

    def noise_reference(self, mean: Tensor, seed: int) -> NoiseReference:
        return MeasurementReference(self, seed).checked()

    def with_light(self, added: Tensor) -> Self:
        return replace(self, y=self.y + added)

    def noise(self, generator: torch.Generator) -> Tensor:
        z = torch.randn(self.signal.shape, generator=generator, device=generator.device).to(self.signal.device)
        return self.reconstruct(z.mul_(self.camera.variance(self.signal).sqrt())[None], self.origin_px)[0, 0]

    def pair(self, alpha: float, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        if not self.splits:
            return super().pair(alpha, generator)
        parts = self.camera.split(self.frames, self.signal, share_of(alpha), generator)
        y_hat, y_tilde = (self.y + self.reconstruct((part - self.frames)[None], self.origin_px)[0, 0] for part in parts)
        return y_hat, y_tilde

    def added_noise(self, alpha: float, generator: torch.Generator) -> Tensor:
        return self.pair(alpha, generator)[0].sub_(self.y) if self.splits else super().added_noise(alpha, generator)

    def variance_bias(self) -> Tensor:
        drawn = self.noise(torch.Generator().manual_seed(0))
        return (self.variance_bias_fraction * drawn.square().mean()).expand_as(self.y)

    def center_crop(self, pixels: float) -> Self:
        y, x = center_window(self.signal.shape[1:], pixels / SIM_UPSAMPLING**2)
        fine = (..., slice(SIM_UPSAMPLING * y.start, SIM_UPSAMPLING * y.stop), slice(SIM_UPSAMPLING * x.start, SIM_UPSAMPLING * x.stop))
        origin = (self.origin_px[0] + y.start, self.origin_px[1] + x.start)
        frames, signal, camera = self.frames[..., y, x], self.signal[..., y, x], self.camera.within(y, x)
        return replace(self, y=self.y[fine], frames=frames, signal=signal, camera=camera, origin_px=origin)


def signal_under_fringes(above: np.ndarray, reconstruct: Reconstruct, origin_px: Sequence[int] = (0, 0)) -> np.ndarray:
    """Rough signal of Eq. 3 of raw frames (frame y x, offset removed): `A` of their mean, under the fringes that the lens still shows.

    The 5-pixel mean of single frames would flatten the fringes, and re-corrupted pairs would share noise, for `z` then lacks what the
    fringes make of the variance. `1 + depth H(p) cos(2 pi p.r + phase + phases[i])` is what they make of an object without detail.
    """
    parameters, um, detection = reconstruct.parameters, reconstruct.pixel_um, reconstruct.weights.detection
    assert isinstance(detection, DetectionOtf2d)
    y, x = (um * (first + np.arange(n)) for first, n in zip(origin_px, above.shape[1:], strict=True))
    gains, light = np.empty(len(above)), np.empty(above.shape)
    for numbers, direction in zip(parameters.layout.numbers, parameters.directions, strict=True):
        seen = direction.depth * float(detection(np.array([1 / direction.period_um]))[0])
        turn = 2 * np.pi * np.add.outer(direction.p_per_um[0] * y, direction.p_per_um[1] * x) + direction.phase_rad
        light[numbers] = 1 + seen * np.cos(turn + np.array(direction.phases_rad)[:, None, None])
        gains[numbers] = direction.gains
    mean = signal_estimate(np.tensordot(gains / len(gains), above, 1), 0.0)
    return mean * light / gains[:, None, None]


class ReconstructedPairs:
    """Pairs of patches of reconstructions, every raw frame re-corrupted and all reconstructed with the same parameters (Eq. 2, 10).

    `patch_px` counts on the grid of the reconstruction; patches are turned only after it, in one of `symmetries` (`grid.apply_symmetry`).
    """

    def __init__(
        self,
        measurements: Sequence[StructuredMeasurement],
        maker: PairMaker,
        training: TrainingSection,
        symmetries: Sequence[int] = range(grid.SYMMETRIES),
    ) -> None:
        self.measurements, self.maker = list(measurements), maker
        self.batch, self.symmetries = training.batch, list(symmetries)
        self.side = min(training.patch_px // SIM_UPSAMPLING, *(n for measurement in measurements for n in measurement.signal.shape[1:]))
        self.patch_px = (SIM_UPSAMPLING * self.side, SIM_UPSAMPLING * self.side)
        self.shares = torch.tensor([float(measurement.y.numel()) for measurement in measurements])
        self.context = min(CONTEXT_PX, self.side - 1)
        self.images = [
            [_mirrored(image, self.context) for image in (each.frames, each.signal, *each.camera.maps_of(each.signal[:1]))]
            for each in measurements
        ]

    def __call__(self, network: nn.Module, draws: RandomStreams) -> tuple[Tensor, Tensor, None]:
        chosen = torch.multinomial(self.shares, self.batch, replacement=True, generator=draws.host).tolist()
        places = [(i, *self._start(i, draws.host)) for i in chosen]
        turns = [self.symmetries[int(torch.randint(len(self.symmetries), (), generator=draws.host))] for _ in places]
        framed = [[self._framed(image, start) for image in self.images[i]] for i, *start in places]
        frames, signal, *read_variances = (torch.stack(images) for images in zip(*framed, strict=True))

        def reconstructed(z: Tensor) -> Tensor:
            """Of noise (patch frame y x) around each place, what a reconstruction makes of it at the place, turned."""
            noise = (self._reconstructed(place, part) for place, part in zip(places, z, strict=True))
            return torch.stack([grid.apply_symmetry(image, turn) for image, turn in zip(noise, turns, strict=True)])[:, None]

        hat, tilde = self.maker.of_pixels(*read_variances).deviations(frames, signal, draws.device, reconstructed)
        y = torch.stack([grid.apply_symmetry(self._image(place), turn) for place, turn in zip(places, turns, strict=True)])[:, None]
        return y + hat, y + tilde, None

    def _framed(self, images: Tensor, start: Sequence[int]) -> Tensor:
        return _window(images, start, self.side + 2 * self.context)

    def _start(self, number: int, generator: torch.Generator) -> tuple[int, int]:
        """First raw pixel (y, x) of a patch of that field."""
        height, width = self.measurements[number].signal.shape[1:]
        top, left = (int(torch.randint(n - self.side + 1, (), generator=generator)) for n in (height, width))
        return top, left

    def _reconstructed(self, place: tuple[int, int, int], z: Tensor) -> Tensor:
        """The reconstruction of noise `z` (frame y x) at a place (field y x)."""
        number, *start = place
        measurement = self.measurements[number]
        origin = [first + at - self.context for first, at in zip(measurement.origin_px, start, strict=True)]
        return Crop([SIM_UPSAMPLING * self.context] * 2)(measurement.reconstruct(z[None], origin))[0, 0]

    def _image(self, place: tuple[int, int, int]) -> Tensor:
        number, *start = place
        return _window(self.measurements[number].y, [SIM_UPSAMPLING * at for at in start], SIM_UPSAMPLING * self.side)


def _mirrored(frames: Tensor, context: int) -> Tensor:
    return F.pad(frames[None], (context,) * 4, mode="reflect")[0]


def _window(image: Tensor, start: Sequence[int], side: int) -> Tensor:
    return image[..., start[0] : start[0] + side, start[1] : start[1] + side]
