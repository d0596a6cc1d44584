"""Structured illumination for a network: fields, pairs and known objects, with the noise that raw frames leave in a reconstruction.

The reconstruction `R` is linear, so `R(y + alpha z) = R y + alpha R z` (Eq. 2, 10): raw frames are reconstructed once, and their
noise at every step. In stacks that would take longer than all the rest. There, and for objects that are imaged again, noise is drawn
on the fine grid, with the variance that the frames have on average at each place, and filtered to the spectrum that `R` gives it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from zsdeconv.acquisition.base import Acquisition, Measurement
from zsdeconv.camera.detector import Camera, signal_estimate
from zsdeconv.config import TrainingSection
from zsdeconv.data.batches import Pairs, RandomStreams, RecorruptedPairs
from zsdeconv.data.normalize import Affine
from zsdeconv.data.pairs import Recorruption
from zsdeconv.notation import Batch
from zsdeconv.physics import grid
from zsdeconv.physics.grid import center_window
from zsdeconv.physics.operators import Blur, Crop, forward_model
from zsdeconv.physics.psf import Psf
from zsdeconv.sim.detection import DetectionOtf2d
from zsdeconv.sim.reconstruct import SIM_UPSAMPLING, Reconstruct
from zsdeconv.sim.setup import remeasured

AROUND_PX = 8
"""Raw pixels around a patch whose noise is reconstructed with it: nearer to a border it is not quite that of the middle."""


@dataclass(frozen=True, eq=False)
class StructuredMeasurement(Measurement):
    """A reconstruction `y` of raw frames whose `signal` is `A(y - b)` (`frame *zyx`), with the noise of the camera made through it."""

    y: Tensor
    signal: Tensor
    camera: Camera
    reconstruct: Reconstruct
    origin_px: tuple[int, int]
    variance_bias_fraction: float

    def noise(self, generator: torch.Generator) -> Tensor:
        z = torch.randn(self.signal.shape, generator=generator, device=generator.device).to(self.signal.device)
        return self.reconstruct(z.mul_(self.camera.variance(self.signal).sqrt())[None], self.origin_px)[0, 0]

    def variance_bias(self) -> Tensor:
        drawn = self.noise(torch.Generator().manual_seed(0))
        return (self.variance_bias_fraction * drawn.square().mean()).expand_as(self.y)

    def center_crop(self, pixels: float) -> StructuredMeasurement:
        y, x = center_window(self.signal.shape[1:], pixels / SIM_UPSAMPLING**2)
        fine = (..., slice(SIM_UPSAMPLING * y.start, SIM_UPSAMPLING * y.stop), slice(SIM_UPSAMPLING * x.start, SIM_UPSAMPLING * x.stop))
        origin = (self.origin_px[0] + y.start, self.origin_px[1] + x.start)
        return replace(self, y=self.y[fine], signal=self.signal[..., y, x], origin_px=origin)


def signal_under_fringes(above: np.ndarray, reconstruct: Reconstruct, origin_px: Sequence[int] = (0, 0)) -> np.ndarray:
    """Rough signal of Eq. 3 of raw frames (frame y x, offset removed): `A` of their mean, under the stripes that the lens still shows.

    The 5-pixel mean of single frames would flatten the stripes, and re-corrupted pairs would share noise, for `z` then lacks what the
    stripes make of the variance. `1 + depth H(p) cos(2 pi p.r + phase + phases[i])` is what they make of an object without detail.
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


class StructuredAcquisition(Acquisition):
    """Stripes on the object, lens, camera, and the reconstruction of its frames: on average `H_SIM x`, on one grid.

    In depth the light of a plane is spread over all others, and far from it a reconstruction has broad shallow troughs instead, which
    no PSF of finite size holds: what is blurred again is not compared with it in absolute numbers.

    With `drifting` stripes their place, contrast and brightness are measured anew for each field, near where they were.
    """

    def __init__(self, unit: Affine, camera: Camera, psf: Psf, reconstruct: Reconstruct, *, drifting: bool = False) -> None:
        super().__init__(unit, camera, forward_model(psf.values, psf.rank, 1), scale=1, accounts_for_all_light=psf.rank == 2)
        self.reconstruct, self.drifting = reconstruct, drifting
        wide = reconstruct.kernel(lambda *k: _lens(reconstruct, k))
        self.lens = Blur(wide / wide.sum())
        self.colour = Blur(reconstruct.kernel(lambda *k: np.sqrt(_turned_any_way(reconstruct.noise_spectrum, k))))

    def measure(self, frames: np.ndarray, device: torch.device, origin_px: Sequence[int] = ()) -> StructuredMeasurement:
        place = (0, 0) if self.drifting or not origin_px else (origin_px[-2], origin_px[-1])
        reconstruct = remeasured(self.reconstruct, frames - self.unit.offset) if self.drifting else self.reconstruct
        above = self.unit.to_unit(frames.astype(np.float64))
        signal = signal_estimate(above, 0.0) if above.ndim == 4 else signal_under_fringes(above, reconstruct, place)
        drawn, exact = self.camera.variance(signal).mean(), self.camera.variance(above.mean())
        y, signal = (torch.from_numpy(a.astype(np.float32)).to(device) for a in (above, signal))
        y = reconstruct(y[None], place)[0, 0]
        return StructuredMeasurement(y, signal, self.camera, reconstruct, place, float((drawn - exact) / drawn) if drawn else 0.0)

    def pairs(
        self, measurements: Sequence[Measurement], recorrupt: Recorruption, training: TrainingSection, symmetries: Sequence[int]
    ) -> Pairs:
        own = [measurement for measurement in measurements if isinstance(measurement, StructuredMeasurement)]
        if own[0].y.ndim == 2:
            return ReconstructedPairs(own, recorrupt, training, symmetries)
        samples = [
            (measurement.y, grid.upsample(measurement.signal.mean(0)[None, None], (1, SIM_UPSAMPLING, SIM_UPSAMPLING))[0, 0])
            for measurement in own
        ]
        return RecorruptedPairs(samples, recorrupt, training, symmetries, self.colour)

    def observed(self, x: Batch, crop: Crop, variance_bias: Tensor, generator: torch.Generator) -> Batch:
        z = torch.randn(x.shape, generator=generator, device=x.device)
        z = z * (self.camera.variance(self.lens(x)) * variance_bias).sqrt()
        return crop(self.forward_operator(x) + self.colour(z))

    def added(self, x: Batch, generator: torch.Generator) -> Batch:
        z = torch.randn(x.shape, generator=generator, device=x.device)
        return self.forward_operator(x) + self.colour(z * (self.camera.gain * self.lens(x).clamp(min=0)).sqrt())


class ReconstructedPairs:
    """Pairs of patches of reconstructions, every raw frame re-corrupted and all reconstructed with the same parameters (Eq. 2, 10).

    `patch_px` counts on the grid of the reconstruction; patches are turned only after it, in one of `symmetries` (`grid.apply_symmetry`).
    """

    def __init__(
        self,
        measurements: Sequence[StructuredMeasurement],
        recorrupt: Recorruption,
        training: TrainingSection,
        symmetries: Sequence[int] = range(grid.SYMMETRIES),
    ) -> None:
        self.measurements, self.recorrupt, self.batch, self.symmetries = list(measurements), recorrupt, training.batch, list(symmetries)
        self.side = min(training.patch_px // SIM_UPSAMPLING, *(n for measurement in measurements for n in measurement.signal.shape[1:]))
        self.patch_px = (SIM_UPSAMPLING * self.side, SIM_UPSAMPLING * self.side)
        self.shares = torch.tensor([float(measurement.y.numel()) for measurement in measurements])
        self.around = min(AROUND_PX, self.side - 1)
        self.signals = [_mirrored(measurement.signal, self.around) for measurement in measurements]

    def __call__(self, network: nn.Module, draws: RandomStreams) -> tuple[Tensor, Tensor, None]:
        chosen = torch.multinomial(self.shares, self.batch, replacement=True, generator=draws.host).tolist()
        places = [(i, *self._start(i, draws.host)) for i in chosen]
        signal = torch.stack([_window(self.signals[i], start, self.side + 2 * self.around) for i, *start in places])
        alpha, z = self.recorrupt.noise(signal, draws.device)
        patches = [self._patch(place, frames, draws.host) for place, frames in zip(places, z, strict=True)]
        y, z = torch.stack(patches).split(1, dim=1)
        return y + alpha * z, y - z / alpha, None

    def _start(self, number: int, generator: torch.Generator) -> tuple[int, int]:
        """First raw pixel (y, x) of a patch of that field."""
        height, width = self.measurements[number].signal.shape[1:]
        top, left = (int(torch.randint(n - self.side + 1, (), generator=generator)) for n in (height, width))
        return top, left

    def _patch(self, place: tuple[int, int, int], z: Tensor, generator: torch.Generator) -> Tensor:
        """`y` and the reconstruction of noise `z` (frame y x) at a place (field y x), one above the other, turned."""
        number, *start = place
        measurement = self.measurements[number]
        origin = [first + at - self.around for first, at in zip(measurement.origin_px, start, strict=True)]
        noise = Crop([SIM_UPSAMPLING * self.around] * 2)(measurement.reconstruct(z[None], origin))[0, 0]
        y = _window(measurement.y, [SIM_UPSAMPLING * at for at in start], SIM_UPSAMPLING * self.side)
        symmetry = self.symmetries[int(torch.randint(len(self.symmetries), (), generator=generator))]
        return grid.apply_symmetry(torch.stack((y, noise)), symmetry)


def _lens(reconstruct: Reconstruct, k_per_um: Sequence[np.ndarray]) -> np.ndarray:
    """The OTF of the detection alone, without an imaginary part that a measured one may have: the brightness of the frames."""
    *kz, ky, kx = k_per_um
    return np.real(reconstruct.weights.passing(np.hypot(ky, kx), 0, *[axis.ravel() for axis in kz]))


def _turned_any_way(spectrum: Callable[..., np.ndarray], k_per_um: Sequence[np.ndarray]) -> np.ndarray:
    """Mean of a spectrum over mirrored and by quarters turned patches, which networks see alike."""
    *kz, ky, kx = k_per_um
    return np.mean([spectrum(*kz, *apply_symmetry) for apply_symmetry in ((ky, kx), (-ky, kx), (kx, ky), (kx, -ky))], axis=0)


def _mirrored(frames: Tensor, around: int) -> Tensor:
    return F.pad(frames[None], (around,) * 4, mode="reflect")[0]


def _window(image: Tensor, start: Sequence[int], side: int) -> Tensor:
    return image[..., start[0] : start[0] + side, start[1] : start[1] + side]
