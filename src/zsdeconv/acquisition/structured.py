"""Structured illumination: raw frames of planes under two beams and of stacks under three, reconstructed before the network.

In stacks, and for objects that are imaged by simulation, reconstructing the noise of raw frames at every step would take longer than all
other computations. There noise is drawn on the fine grid, with the mean variance of the frames at each place, and filtered to the spectrum
that the reconstruction gives it.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import Any, ClassVar, Self

import numpy as np
import torch
from torch import Tensor

from zsdeconv.acquisition.base import CHECKS, Acquisition, Measurement, Recording, Stored, reading_options
from zsdeconv.acquisition.light import OpenLight
from zsdeconv.acquisition.point_spread import given_psf, optics_of
from zsdeconv.acquisition.structured_noise import ReconstructedPairs, StructuredMeasurement, signal_under_fringes
from zsdeconv.camera.detector import Camera, signal_estimate
from zsdeconv.config import Config, TrainingSection
from zsdeconv.data.batches import Pairs, SplitPairs
from zsdeconv.data.normalize import Affine
from zsdeconv.data.pairs import PairMaker
from zsdeconv.errors import ConfigError, ImageError
from zsdeconv.findings import Finding
from zsdeconv.image import Image
from zsdeconv.notation import Batch
from zsdeconv.physics import grid
from zsdeconv.physics.operators import Blur, Crop, forward_model
from zsdeconv.physics.optics import Optics
from zsdeconv.physics.psf import Psf
from zsdeconv.physics.psf_check import NEGATIVE_FINDING
from zsdeconv.sim.frame_light import light_finding
from zsdeconv.sim.patterns import Layout
from zsdeconv.sim.positions import frame_positions
from zsdeconv.sim.raw_frames import as_frames, read_frames
from zsdeconv.sim.reconstruct import SIM_UPSAMPLING, Reconstruct
from zsdeconv.sim.setup import detection_of, facts, layout_of, prepared_reconstruction, remeasured
from zsdeconv.sim.steady import refined, steadied
from zsdeconv.sim.stored import from_parts, to_parts

_PATTERN_ORIGINS = {True: "estimated on the frames", False: "parameter file"}


class StructuredAcquisition(Acquisition):
    """Fringes on the object, lens, camera, and the reconstruction of its frames: on average `H_SIM x`, on one grid.

    The base of `StructuredPlanes` and `StructuredStacks`. With `per_frame` the position, contrast and brightness of the fringes are
    measured anew for each measurement, near where they were.
    """

    raw_frame_axis = "P"
    result_metadata = MappingProxyType({"combined_axis": "P"})
    checks = (CHECKS | {"pattern"}) - {"series"}
    settings = frozenset(
        f"sim.{name}" for name in ("directions", "phases", "order", "angles_deg", "period_um", "parameters", "per_frame", "wiener")
    )
    beams: ClassVar[int]
    """Number of interfering beams."""

    def __init__(
        self,
        unit: Affine,
        camera: Camera,
        psf: Psf,
        reconstruct: Reconstruct,
        *,
        per_frame: bool = False,
        optics: Optics | None = None,
        pattern_origin: str = "of the model",
    ) -> None:
        super().__init__(unit, camera, psf, forward_model(psf.values, psf.rank, 1), 1, optics=optics)
        self.reconstruct, self.per_frame, self.pattern_origin = reconstruct, per_frame, pattern_origin
        wide = reconstruct.kernel(lambda *k: _detection_otf(reconstruct, k))
        self.lens = Blur(wide / wide.sum())
        self.colour = Blur(reconstruct.kernel(lambda *k: np.sqrt(_mean_over_symmetries(reconstruct.noise_spectrum, k))))

    @property
    def frames_have_law(self) -> bool:
        return True

    @classmethod
    def network_scale(cls, scale: int) -> int:
        return 1

    @classmethod
    def read(cls, path: Path, config: Config, *, axes: str | None = None, pixel_um: float | None = None) -> Image:
        return _single_times(read_frames(path, cls.raw_layout(config), **reading_options(config, axes, pixel_um)))

    @classmethod
    def arranged(cls, image: Image, config: Config) -> Image:
        layout, known = cls.raw_layout(config), config.input
        return _single_times(as_frames(image, layout, z_um=known.z_um, named=known.axes is not None))

    @classmethod
    def raw_layout(cls, config: Config) -> Layout:
        """Order of the raw frames of this kind of recording. Raises `ConfigError` for too few phases."""
        layout = layout_of(config.sim, cls.beams)
        if layout.phases < 2 * cls.beams - 1:
            raise ConfigError(
                f"{layout.phases} phases: {cls.beams} beams make {2 * cls.beams - 1} bands, and as many are needed; give `phases`, or "
                "where two beams made the fringes `modality=sim2d`, of a stack with `axes=TPYX`, which takes each plane by itself"
            )
        return layout

    @classmethod
    def layout(cls, config: Config) -> dict[str, Any]:
        if config.sim.parameters is not None:
            return {}
        layout, searched = cls.raw_layout(config), "searched for on the frames"
        frames = {"directions": layout.directions, "phases": layout.phases, "order": layout.order}
        return frames | {"angles_deg": searched, "period_um": searched}

    def read_next(self, path: Path, config: Config, *, axes: str | None = None, pixel_um: float | None = None) -> Image:
        return _single_times(read_frames(path, self.reconstruct.parameters.layout, **reading_options(config, axes, pixel_um)))

    @classmethod
    def prepare(cls, recording: Recording) -> tuple[Self, dict[str, str]]:
        config, calibration = recording.config, recording.calibration
        if config.scale != SIM_UPSAMPLING:
            raise ConfigError(
                f"scale {config.scale} with structured illumination: a reconstruction lies on the 2 x finer grid; leave it out"
            )
        stated = recording.image.metadata.get("optics", {})
        given = recording.optics is not None or any(getattr(config.optics, name) is not None for name in ("na", "wavelength_nm", "otf"))
        source = detection_of(config, stated, deep=recording.rank == 3, optics=recording.optics)
        reconstruct = prepared_reconstruction(recording.frames, recording.spacing_um, config, source, calibration.camera.offset)
        origins = {"sim": _PATTERN_ORIGINS[config.sim.parameters is None], "optics": "option" if given else "file"}
        psf, origin = reconstruct.psf(), "reconstruction"
        if recording.psf is not None or config.optics.psf is not None:
            psf, origin = given_psf(recording, *optics_of(replace(recording, optics=source.optics)))
        psf = recording.fitted(psf)
        known = {"per_frame": config.sim.per_frame, "optics": source.optics, "pattern_origin": origins["sim"]}
        made = cls(recording.unit, calibration.camera, psf, reconstruct, **known)
        return made, origins | {"psf": origin}

    @classmethod
    def with_psf(cls, psf: Psf, unit: Affine, camera: Camera, scale: int) -> Self:
        raise ImageError("raw frames of structured illumination: their PSF is that of the reconstruction; check it on the restored image")

    @classmethod
    def from_stored(cls, stored: Stored) -> Self:
        reconstruct = from_parts(stored.tensors, stored.header)
        per_frame = stored.config.sim.per_frame
        return cls(stored.unit, stored.camera, stored.psf, reconstruct, per_frame=per_frame, optics=stored.optics)

    def steadied(self, frames: Sequence[np.ndarray]) -> list[np.ndarray]:
        return steadied(frames, self.reconstruct.parameters, self.reconstruct.weights.detection, self.unit.offset)

    def frame_findings(self, frames: Sequence[np.ndarray]) -> list[Finding]:
        layout, detection = self.reconstruct.parameters.layout, self.reconstruct.weights.detection
        above = frames[len(frames) // 2] - np.float32(self.unit.offset)
        positions = frame_positions(above, layout, detection.cutoff_per_um * self.reconstruct.pixel_um)
        if positions is not None and positions.displaced.any() and len(frames) == 1:
            positions = refined(above, positions, self.reconstruct.parameters, detection)
        return [*([] if positions is None else [positions.finding]), light_finding(above, layout)]

    @classmethod
    def stack_of(cls, frame: np.ndarray) -> np.ndarray:
        return frame[0]

    def measure(self, frames: np.ndarray, device: torch.device, origin_px: Sequence[int] = ()) -> StructuredMeasurement:
        place = (0, 0) if self.per_frame or not origin_px else (origin_px[-2], origin_px[-1])
        reconstruct = remeasured(self.reconstruct, frames - self.unit.offset) if self.per_frame else self.reconstruct
        above = self.unit.to_unit(frames.astype(np.float64))
        signal = self.signal(above, reconstruct, place)
        drawn, exact = self.camera.variance(signal).mean(), self.camera.variance(above.mean())
        raw, signal = (torch.from_numpy(a.astype(np.float32)).to(device) for a in (above, signal))
        y = reconstruct(raw[None], place)[0, 0]
        bias = float((drawn - exact) / drawn) if drawn else 0.0
        camera = self.law_at(frames.shape, origin_px, device)
        return StructuredMeasurement(y, raw, signal, camera, reconstruct, place, bias, self.splits)

    @abstractmethod
    def signal(self, above: np.ndarray, reconstruct: Reconstruct, origin_px: Sequence[int]) -> np.ndarray:
        """Rough signal of Eq. 3 of raw frames (`frame *zyx`, offset removed), of the same shape."""

    def simulate(self, x: Batch, crop: Crop, variance_factor: Tensor, generator: torch.Generator) -> Batch:
        z = torch.randn(x.shape, generator=generator, device=x.device)
        z = z * (self.camera.variance(self.lens(x)) * variance_factor).sqrt()
        return crop(self.forward_operator(x) + self.colour(z))

    def simulate_added(self, x: Batch, generator: torch.Generator) -> Batch:
        z = torch.randn(x.shape, generator=generator, device=x.device)
        return self.forward_operator(x) + self.colour(z * (self.camera.beta1 * self.lens(x).clamp(min=0)).sqrt())

    def intermediate(self, measurement: Measurement) -> dict[str, Tensor]:
        return {"reconstructed": measurement.y}

    def check_psf(self) -> list[Finding]:
        """Negative rings are real in `H_SIM`, so that finding is left out."""
        return [finding for finding in super().check_psf() if finding.name != NEGATIVE_FINDING]

    @property
    def cutoff_per_um(self) -> float:
        finest = max(1 / direction.finest_um for direction in self.reconstruct.parameters.directions)
        return self.reconstruct.weights.detection.cutoff_per_um + finest

    def stored(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        return to_parts(self.reconstruct)

    def summary(self) -> dict[str, Any]:
        return {"sim": facts(self.reconstruct)}

    def describe(self) -> list[tuple[str, str]]:
        rows = [
            (
                f"direction {n}",
                f"{row['angle_deg']:.2f} degrees, period {row['period_um']:.4f} um, "
                f"depth {' and '.join(f'{depth:.2f}' for depth in row['depths'])}, score {row['score']:.1f}",
            )
            for n, row in enumerate(facts(self.reconstruct)["directions"], 1)
        ]
        return [*rows, ("reconstruction", f"w {self.reconstruct.wiener:.3g}, pattern {self.pattern_origin}")]


class StructuredPlanes(StructuredAcquisition):
    """Two beams and single planes: every raw frame is re-corrupted and all are reconstructed (Eq. 10)."""

    beams = 2

    def signal(self, above: np.ndarray, reconstruct: Reconstruct, origin_px: Sequence[int]) -> np.ndarray:
        return signal_under_fringes(above, reconstruct, origin_px)

    def pairs(self, measurements: Sequence[Measurement], maker: PairMaker, training: TrainingSection, symmetries: Sequence[int]) -> Pairs:
        own = [each for each in measurements if isinstance(each, StructuredMeasurement)]
        return ReconstructedPairs(own, maker, training, symmetries)


class StructuredStacks(StructuredAcquisition):
    """Three beams and stacks: noise is drawn on the fine grid with the spectrum that the reconstruction gives it.

    The light of a plane is spread over all others, and far from it a reconstruction has broad shallow troughs that no PSF of finite
    size holds (`OpenLight`).
    """

    beams = 3
    divides = False
    light = OpenLight()
    checks = StructuredAcquisition.checks - {"flux"}

    def signal(self, above: np.ndarray, reconstruct: Reconstruct, origin_px: Sequence[int]) -> np.ndarray:
        return signal_estimate(above, 0.0)

    def pairs(self, measurements: Sequence[Measurement], maker: PairMaker, training: TrainingSection, symmetries: Sequence[int]) -> Pairs:
        factors = grid.lateral_factors(3, SIM_UPSAMPLING)
        own = [each for each in measurements if isinstance(each, StructuredMeasurement)]
        samples = []
        for each in own:
            signal = each.signal.mean(0)
            samples.append((each.y, *(grid.upsample(image[None, None], factors)[0, 0] for image in (signal, *each.camera.maps_of(signal)))))
        return SplitPairs(samples, maker, training, symmetries, self.colour)


def _detection_otf(reconstruct: Reconstruct, k_per_um: Sequence[np.ndarray]) -> np.ndarray:
    """The OTF of the detection alone, without an imaginary part that a measured one may have: the brightness of the frames."""
    *kz, ky, kx = k_per_um
    return np.real(reconstruct.weights.passing(np.hypot(ky, kx), 0, *[axis.ravel() for axis in kz]))


def _mean_over_symmetries(spectrum: Callable[..., np.ndarray], k_per_um: Sequence[np.ndarray]) -> np.ndarray:
    """Mean of a spectrum over mirrored and by quarters turned patches, which networks see alike."""
    *kz, ky, kx = k_per_um
    return np.mean([spectrum(*kz, *apply_symmetry) for apply_symmetry in ((ky, kx), (-ky, kx), (kx, ky), (kx, -ky))], axis=0)


def _single_times(image: Image) -> Image:
    """Raw frames without an axis of one time."""
    return image if image.sizes["T"] > 1 else image.transposed(image.axes.removeprefix("T"))
