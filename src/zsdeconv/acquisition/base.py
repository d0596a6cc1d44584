"""How an object becomes data: the lens, the noise of the camera, and the computation that turns raw frames into an image.

Noise arises in camera pixels and nowhere else. A `Measurement` is an image together with the noise that it contains, an `Acquisition` is
one way of recording measurements. The next way of recording is one new file beside `direct` and `structured`, and one row in the table of
modalities (`zsdeconv.modality`): all that differs between modalities is in its acquisition class.
"""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from copy import copy
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, ClassVar, Self, TypeVar

import numpy as np
import torch
from torch import Tensor

from zsdeconv.acquisition.light import ClosedLight, LightBalance
from zsdeconv.acquisition.noise_reference import NoiseReference
from zsdeconv.camera.calibrate import Calibration
from zsdeconv.camera.defects import Defects, clean, without_bright_objects
from zsdeconv.camera.detector import Camera
from zsdeconv.camera.maps import CameraMaps, examined
from zsdeconv.camera.pixelwise import PixelwiseCamera
from zsdeconv.config import Config, TrainingSection
from zsdeconv.data.batches import Pairs
from zsdeconv.data.normalize import Affine
from zsdeconv.data.pairs import PairMaker, recorrupted
from zsdeconv.findings import Finding
from zsdeconv.image import Image, ImageLike, StageScan
from zsdeconv.image.scan import STACK_AXES
from zsdeconv.notation import Batch
from zsdeconv.physics.operators import Crop, Operator
from zsdeconv.physics.optics import Optics
from zsdeconv.physics.psf import Psf, fit_to_image
from zsdeconv.physics.psf_check import check_psf

MAX_EXCERPTS = 8
"""Measurements from which excerpts are taken. Chosen: more frames of a movie show hardly any other structures."""

CHECKS = frozenset(
    {"psf", "camera", "recording", "training", "residuals", "noise_left", "resolution", "flux"}
    | {"uncertainty", "error_map", "recovery", "series"}
)
"""Keys of the checks of a report that apply to every kind of recording, unless its acquisition says otherwise."""


class Measurement(ABC):
    """One image `y` (`*zyx`, the network's unit) and the noise of the camera in it."""

    y: Tensor

    @property
    def recorded_px(self) -> int:
        """Number of values that the camera recorded for it, whose noise is independent."""
        return self.y.numel()

    @abstractmethod
    def noise(self, generator: torch.Generator) -> Tensor:
        """Fresh noise `z` of mean 0 on the grid of `y`, with the covariance that Eq. 3 gives to the noise in `y`."""

    @abstractmethod
    def variance_bias(self) -> Tensor:
        """By how much the variance of `noise` exceeds that of the noise in `y`, for each pixel, right on average.

        The mean of `beta1 (y - b) + beta2` is the true mean variance. The law for `max(A(y - b), 0)` exceeds it in the dark: the
        5 x 5 mean is below zero as often as above, and clipping removes only the negative half.
        """

    @abstractmethod
    def center_crop(self, pixels: float) -> Self:
        """The central part along y and x with the same proportions and at most `pixels` pixels."""

    @abstractmethod
    def noise_reference(self, mean: Tensor, seed: int) -> NoiseReference:
        """The noise of this measurement if `mean` is its noise-free image: the reference that residuals are compared with."""

    @abstractmethod
    def with_light(self, added: Tensor) -> Self:
        """The measurement with `added` (`*zyx`) in its image; the noise law stays that of the original."""

    def pair(self, alpha: float, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """`y_hat`, `y_tilde` of the whole image (Eq. 2, or split), with noise drawn from the generator."""
        return recorrupted(self.y, self.noise(generator), alpha)

    def pair_bias(self, y_hat: Tensor, alpha: float) -> Tensor:
        """By how much the noise that divided `y` into a pair with this `y_hat` exceeds that in `y`, in variance, as `variance_bias`."""
        return self.variance_bias()

    def added_noise(self, alpha: float, generator: torch.Generator) -> Tensor:
        """`y_hat - y` of a fresh pair; for `alpha` 1 its opposite is as good, `y_tilde - y`."""
        return self.noise(generator).mul_(alpha)


Part = TypeVar("Part", bound=Measurement)


@dataclass(frozen=True, eq=False)
class Recording:
    """What is known of recorded data before their acquisition is set up.

    `image` is the first image, for its metadata; `frames` are the samples of all images, each with the recorded axes of the modality;
    `upsampling` counts the fine pixels of a raw pixel along each spatial axis; an `optics` or a `psf` given as an object wins over the
    configuration, which wins over the file.
    """

    image: Image
    frames: Sequence[np.ndarray]
    spacing_um: tuple[float, ...]
    upsampling: tuple[int, ...]
    calibration: Calibration
    config: Config
    optics: Optics | None = None
    psf: Psf | None = None

    @property
    def rank(self) -> int:
        """Number of spatial axes."""
        return len(self.spacing_um)

    @property
    def fine_um(self) -> tuple[float, ...]:
        """Pixel size of the fine grid along each spatial axis, um."""
        return tuple(um / factor for um, factor in zip(self.spacing_um, self.upsampling, strict=True))

    @property
    def scan(self) -> StageScan | None:
        """The scan of a stage that moves at an angle to the sheet; None where planes lie above each other."""
        return self.config.input.scan if self.rank == len(STACK_AXES) else None

    def skewed(self, psf: Psf) -> Psf:
        """A PSF in the directions of camera and detection axis, in the coordinates of the stack."""
        return psf if self.scan is None else psf.sheared(self.scan.shift_um / self.fine_um[-2])

    @property
    def unit(self) -> Affine:
        """The map from camera counts to the network's unit."""
        return Affine.fitted(self.frames, self.calibration.camera.offset)

    def fitted(self, psf: Psf) -> Psf:
        """The PSF, cropped where it is larger than the smallest frame on the fine grid."""
        smallest = (min(n) for n in zip(*(frame.shape[-self.rank :] for frame in self.frames), strict=True))
        return fit_to_image(psf, tuple(n * factor for n, factor in zip(smallest, self.upsampling, strict=True)))


@dataclass(frozen=True, eq=False)
class Stored:
    """What a model file holds of an acquisition: the parts common to all kinds, and the `tensors` and `header` of its own kind."""

    unit: Affine
    camera: Camera
    psf: Psf
    optics: Optics | None
    config: Config
    tensors: Mapping[str, Tensor]
    header: Mapping[str, Any]


class Acquisition(ABC):
    """One way of recording measurements.

    `unit` maps camera counts to the network's unit, `detector` is the law of the detector in ADU and `camera` the same law in the
    network's unit; `splits` says whether pairs are made by dividing its electrons, `maps` how its pixels differ, where that was calibrated.
    `forward_operator` maps objects to their noise-free
    images on a grid `scale` times coarser laterally, `psf` is its PSF on the fine grid, and `optics` the microscope where it is known.
    """

    raw_frame_axis: ClassVar[str] = ""
    """The axis along which one sample has several raw frames; empty where a camera frame is the image."""
    result_metadata: ClassVar[Mapping[str, Any]] = MappingProxyType({})
    """What the metadata of its results say of the way of recording, beside what the input said."""
    checks: ClassVar[frozenset[str]] = CHECKS
    """Keys of the checks of a report that apply."""
    settings: ClassVar[frozenset[str]] = frozenset()
    """Settings of the configuration, by their path, that only some kinds of recording read and this one does (`config.relevance`)."""
    divides: ClassVar[bool] = True
    """Whether pairs can be made by dividing the electrons of camera pixels."""
    remembers: ClassVar[bool] = False
    """Whether noise that neighbouring pixels share, and offsets of lines, are accounted for."""
    sets_bright_aside: ClassVar[bool] = False
    """Whether objects far brighter than all else are taken out before the network, and come back beside its answer."""
    light: ClassVar[LightBalance] = ClosedLight()
    """Whether the forward model accounts for all light."""

    def __init__(
        self, unit: Affine, camera: Camera, psf: Psf, forward_operator: Operator, scale: int, *, optics: Optics | None = None
    ) -> None:
        self.unit, self.detector, self.camera = unit, camera, unit.camera_in_unit(camera)
        self.psf, self.forward_operator, self.scale, self.optics = psf, forward_operator, scale, optics
        self.splits = False
        self.maps: CameraMaps | None = None

    @property
    def frames_have_law(self) -> bool:
        """Whether `detector` is the law of each recorded frame, as it is where a frame is the image."""
        return not self.raw_frame_axis

    @property
    def shift_px(self) -> float:
        """How many raw pixels farther along y each plane of a stack lies than the one before; 0 where they lie above each other."""
        return self.psf.shift_px / self.scale

    def for_detector(self, detector: Camera, counts: float = 1.0) -> Self:
        """The same acquisition with another detector, which makes `counts` times as many counts of the same light."""
        other = copy(self)
        other.unit = Affine(detector.offset, self.unit.scale * counts)
        other.detector, other.camera = detector, other.unit.camera_in_unit(detector)
        return other

    @classmethod
    def network_scale(cls, scale: int) -> int:
        """How much finer the grid becomes in the network, of the `scale` in all."""
        return scale

    @classmethod
    @abstractmethod
    def read(cls, path: Path, config: Config, *, axes: str | None = None, pixel_um: float | None = None) -> Image:
        """The image in a file. `axes` and `pixel_um` win over those of the configuration, which win over the file."""

    @classmethod
    def arranged(cls, image: Image, config: Config) -> Image:
        """An image with the axes that `read` gives it. Raises `ImageError` where its planes do not fit."""
        return image

    @classmethod
    def layout(cls, config: Config) -> dict[str, Any]:
        """Settings of the raw frames and what holds for them by default, for the user; none where a camera frame is the image."""
        return {}

    @classmethod
    @abstractmethod
    def prepare(cls, recording: Recording) -> tuple[Self, dict[str, str]]:
        """The acquisition of a recording, and the origin of each quantity in words.

        Raises `OpticsError` or `ConfigError` where the data and what is known of the microscope do not suffice.
        """

    @classmethod
    @abstractmethod
    def with_psf(cls, psf: Psf, unit: Affine, camera: Camera, scale: int) -> Self:
        """The acquisition with the PSF of a lens on the fine grid. Raises `ImageError` for kinds with another PSF than the lens."""

    @classmethod
    @abstractmethod
    def from_stored(cls, stored: Stored) -> Self:
        """The acquisition that `stored` has taken apart."""

    def steadied(self, frames: Sequence[np.ndarray]) -> list[np.ndarray]:
        """Recorded samples (ADU) as `measure` takes them, with raw frames that do not lie on each other moved back."""
        return list(frames)

    def frame_findings(self, frames: Sequence[np.ndarray]) -> list[Finding]:
        """What can be said of the raw frames of one sample; nothing where a camera frame is the image."""
        return []

    @classmethod
    def stack_of(cls, frame: np.ndarray) -> np.ndarray:
        """One recorded stack `z y x` of a sample, whose neighbouring slices can be compared."""
        return frame

    def read_next(self, path: Path, config: Config, *, axes: str | None = None, pixel_um: float | None = None) -> Image:
        """The image in a file for a trained model, as `read`; a scan is that which the file states."""
        unsaid = {"scan_angle_deg": None, "scan_step_um": None, "scan_reverse": False}
        own = config.model_copy(update={"input": config.input.model_copy(update=unsaid)})
        return self.read(path, own, axes=axes, pixel_um=pixel_um)

    def recorded_next(self, image: ImageLike, config: Config) -> Any:
        """What a user gives to a trained model as an image: of a path, the image in the file, whatever the scene of the training."""
        if not isinstance(image, str | os.PathLike):
            return image
        own = config.model_copy(update={"input": config.input.model_copy(update={"scene": None})})
        return self.read_next(Path(image), own)

    def with_maps(self, maps: CameraMaps) -> Self:
        """The same with other camera maps, whose equalised frames have the offset and the gain of this detector."""
        made = copy(self)
        made.maps, made.detector = maps, maps.law
        made.camera = made.unit.camera_in_unit(maps.law)
        return made

    def cleaned(self, recorded: Sequence[np.ndarray]) -> tuple[list[np.ndarray], list[Defects]]:
        """Recorded frames as the law of the detector has them: equalised by the camera maps, with pixels without data filled; and these.

        Raises `ImageError` for frames of another size than the maps.
        """
        frames, defects = examined(recorded, self.maps, self.detector)
        defects = without_bright_objects(frames, defects) if self.sets_bright_aside else defects
        return clean(frames, self.detector, defects)

    def law_at(self, shape: Sequence[int], origin_px: Sequence[int], device: torch.device) -> Camera:
        """The law, network's unit, of the pixels of frames `... y x` that begin at `origin_px` (by default 0) on the sensor."""
        if self.maps is None:
            return self.camera
        y, x = (slice(first, first + n) for first, n in zip([0, 0, *origin_px][-2:], shape[-2:], strict=True))
        variances = torch.from_numpy(self.maps.equal_read_variance[y, x] / np.float32(self.unit.scale) ** 2)
        return PixelwiseCamera.of(self.camera, variances.to(device))

    def law_anywhere(self, image: Tensor, generator: torch.Generator) -> Camera:
        """The law, network's unit, of an image seen by pixels drawn at random from the sensor."""
        if self.maps is None:
            return self.camera
        levels = torch.from_numpy(self.maps.read_variance_levels / np.float32(self.unit.scale) ** 2).to(image.device)
        numbers = torch.randint(len(levels), image.shape, generator=generator, device=image.device)
        return PixelwiseCamera.of(self.camera, levels[numbers])

    @abstractmethod
    def measure(self, frames: np.ndarray, device: torch.device, origin_px: Sequence[int] = ()) -> Measurement:
        """The measurement in recorded frames (ADU), or in the part of them that begins at `origin_px`."""

    @abstractmethod
    def pairs(self, measurements: Sequence[Measurement], maker: PairMaker, training: TrainingSection, symmetries: Sequence[int]) -> Pairs:
        """Pairs that `maker` makes of patches of measurements of this acquisition."""

    @abstractmethod
    def simulate(self, x: Batch, crop: Crop, variance_factor: Tensor, generator: torch.Generator) -> Batch:
        """Objects on the fine grid as recorded images, with fresh noise of `variance_factor` times the variance, cut by `crop`."""

    @abstractmethod
    def simulate_added(self, x: Batch, generator: torch.Generator) -> Batch:
        """What an object on the fine grid adds to an image: its light with its photon noise, without read noise."""

    def intermediate(self, measurement: Measurement) -> dict[str, Tensor]:
        """Images by name that were computed from raw frames before the network; none where the camera frame is the image."""
        return {}

    def check_psf(self) -> list[Finding]:
        """What can be said of the PSF alone."""
        return check_psf(self.psf.upright)

    @property
    def cutoff_per_um(self) -> float | None:
        """The highest lateral frequency in the data, cycles per um; None where the optics are unknown. `2 NA / wavelength` (Abbe)."""
        return None if self.optics is None else 2e3 * self.optics.na / self.optics.wavelength_nm

    def stored(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """Tensors and plain values of this kind of acquisition for a model file, beside unit, camera, PSF and optics."""
        return {}, {}

    def summary(self) -> dict[str, Any]:
        """What a user should know of the acquisition beside PSF and camera, as plain values."""
        return {}

    def describe(self) -> list[tuple[str, str]]:
        """The same as lines with a name each."""
        return []


def reading_options(config: Config, axes: str | None, pixel_um: float | None) -> dict[str, Any]:
    """Keywords for `zsdeconv.io.read`: the arguments, and what the configuration says where they are None."""
    known = config.input
    return {
        "axes": known.axes if axes is None else axes,
        "pixel_um": known.pixel_um if pixel_um is None else pixel_um,
        "z_um": known.z_um,
        "scene": known.scene,
    }


def training_excerpts(measurements: Sequence[Part], max_pixels: int) -> list[Part]:
    """The measurements; where they have more than `max_pixels` in all, the centres of at most `MAX_EXCERPTS` evenly spaced ones.

    Stacks keep all their slices.

    >>> from zsdeconv.acquisition.direct import CameraMeasurement
    >>> image = torch.zeros(30, 40)
    >>> part = training_excerpts([CameraMeasurement(image, Camera(0.0, 1.0, 0.0))] * 20, 2100)
    >>> len(part), part[0].y.shape
    (7, torch.Size([15, 20]))
    """
    if sum(measurement.y.numel() for measurement in measurements) <= max_pixels:
        return list(measurements)
    chosen = measurements[:: -(-len(measurements) // MAX_EXCERPTS)]
    return [measurement.center_crop(max_pixels / len(chosen)) for measurement in chosen]
