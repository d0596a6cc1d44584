"""Everything that can be said of a restoration without a truth, asked of one of its frames."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from zsdeconv.acquisition.base import Measurement
from zsdeconv.errors import UserError
from zsdeconv.findings import Finding
from zsdeconv.framing import calibration_of, frames_of
from zsdeconv.physics.grid import center_window
from zsdeconv.physics.psf_check import NEGATIVE_FINDING, check_psf
from zsdeconv.prediction.tiled import FramePrediction
from zsdeconv.report.checks.agreement import error_map, error_section
from zsdeconv.report.checks.brightness import examine_flux, flux_section
from zsdeconv.report.checks.camera_law import camera_section, examine_camera
from zsdeconv.report.checks.convergence import training_section
from zsdeconv.report.checks.fringes import pattern_section
from zsdeconv.report.checks.psf_fit import examine_psf, psf_section
from zsdeconv.report.checks.recovery import examine_recovery, recovery_section
from zsdeconv.report.checks.residual_section import residual_section
from zsdeconv.report.checks.residuals import border_px, examine_residuals
from zsdeconv.report.checks.resolution import examine_resolution
from zsdeconv.report.checks.resolution_section import resolution_section
from zsdeconv.report.checks.series import FEWEST_FRAMES, examine_series
from zsdeconv.report.checks.series_section import series_section
from zsdeconv.report.checks.standard_error import uncertainty_section
from zsdeconv.report.interfaces import ModelLike, ResultLike
from zsdeconv.report.section import Section
from zsdeconv.report.statistics.splits import restored_splits

if TYPE_CHECKING:
    from zsdeconv.image import Image

MOST_PIXELS = {2: 2**18, 3: 2**19}
"""Pixels of a frame that are looked at, in its middle: enough for every test, and few enough to take a minute."""
MOST_OF_A_MOVIE = 2**24
"""Pixels of all frames together."""
PASSES = 4
ROUNDS = {2: 24, 3: 8}
"""Images of pure noise that the data are compared with; those of a stack take long."""


def assess(model: ModelLike, image: Image, restored: ResultLike) -> list[Section]:
    """The sections of a report on `restored`, which `model` has made of `image`.

    The middle frame of a movie is looked at, and of a large one its middle. Whatever the checks have to draw is drawn from the
    seed of the training, so that the same files give the same report.
    """
    frames = frames_of(image, model.modality)
    seen = _Analysis(model, frames[len(frames) // 2])
    checks: dict[str, Callable[[], list[Section]]] = {
        "Point spread function": lambda: _psf(seen),
        "Camera": lambda: [camera_section(examine_camera(frames, calibration_of(frames, model.camera.offset)))],
        "Pattern": lambda: [] if model.reconstruct is None else [pattern_section(model.reconstruct)],
        "Training": lambda: [training_section(model.history)],
        "Residuals": lambda: _residuals(seen),
        "Resolution": lambda: _resolution(seen),
        "Brightness": lambda: _flux(seen),
        "Uncertainty": lambda: _uncertainty(model, restored),
        "Agreement with the data": lambda: _errors(seen),
        "Test objects": lambda: [
            recovery_section(examine_recovery(model, seen.measurement, seen.prediction, seed=seen.seed, passes=PASSES))
        ],
        "Time series": lambda: _series(model, frames, restored),
    }
    return [section for title, check in checks.items() for section in _run_check(title, check)]


def _run_check(title: str, check: Callable[[], list[Section]]) -> list[Section]:
    """The sections of a check, or one that says why this image cannot be asked."""
    try:
        return check()
    except UserError as error:
        finding = Finding("warn", "not checked", 0, 0, f"This image cannot be asked: {error}")
        return [Section(title.lower().replace(" ", "_"), title, "Could it be checked?", [finding])]


@dataclass(frozen=True, eq=False)
class _Analysis:
    """The part of a frame that is looked at, and what is asked of it more than once."""

    model: ModelLike
    frame: np.ndarray

    @property
    def seed(self) -> int:
        return self.model.config.seed

    @cached_property
    def measurement(self) -> Measurement:
        device = next(self.model.network.parameters()).device
        return self.model.acquisition.measure(self.frame, device).center_crop(MOST_PIXELS[self.model.modality.rank])

    @cached_property
    def prediction(self) -> FramePrediction:
        return self.model.predict_measurement(self.measurement, passes=PASSES)

    @cached_property
    def reblurred(self) -> Tensor:
        """`D H x`, on the grid of the data, in the network's unit."""
        return self.model.acquisition.forward_operator(self.prediction.deconvolved[None, None])[0, 0]

    @property
    def spacing_um(self) -> tuple[float, ...]:
        """Of the data that the network is given."""
        fine, scale = self.model.psf.spacing_um, self.model.acquisition.scale
        return (*fine[:-2], fine[-2] * scale, fine[-1] * scale)

    @property
    def noise_sd(self) -> float:
        """Of the data, in the network's unit."""
        return float(self.measurement.noise(torch.Generator().manual_seed(self.seed)).square().mean().sqrt())

    @property
    def rim_px(self) -> tuple[int, ...]:
        """Nearer to a border nothing is judged."""
        return border_px(self.measurement.y.shape, self.model.acquisition.forward_operator.support_px, self.model.acquisition.scale)

    def adu(self, image: Tensor) -> np.ndarray:
        return image.cpu().double().numpy() * self.model.unit.scale


def _psf(seen: _Analysis) -> list[Section]:
    """The PSF by itself, and against the data where these are explained by it alone."""
    model = seen.model
    checks = [finding for finding in check_psf(model.psf) if model.reconstruct is None or finding.name != NEGATIVE_FINDING]
    if not model.acquisition.accounts_for_all_light:
        return [Section("psf", "Point spread function", "Is this the PSF of the image?", checks, {"source": model.psf.source})]
    return [psf_section(examine_psf(seen.measurement, model.acquisition, model.psf, seed=seen.seed), model.psf, checks)]


def _residuals(seen: _Analysis) -> list[Section]:
    """What the deconvolved image leaves of the data; or, where it does not account for all their light, what the denoised one leaves."""
    accounts_for_all_light, rounds = seen.model.acquisition.accounts_for_all_light, ROUNDS[seen.model.modality.rank]
    explained = (seen.reblurred if accounts_for_all_light else seen.prediction.denoised) + seen.model.intensity_correction.dark_level
    found = examine_residuals(
        seen.measurement, explained, rim_px=seen.rim_px, accounts_for_all_light=accounts_for_all_light, seed=seen.seed, rounds=rounds
    )
    return [residual_section(found, seen.spacing_um)]


def _resolution(seen: _Analysis) -> list[Section]:
    generator = torch.Generator(seen.measurement.y.device).manual_seed(seen.seed)
    halves = restored_splits(seen.model, seen.measurement, generator)
    first, second = (half.deconvolved.cpu().numpy() for half in halves)
    found = examine_resolution(
        seen.measurement,
        seen.spacing_um[-2:],
        restored_splits=(first, second),
        restored=seen.prediction.deconvolved.cpu().numpy(),
        cutoff_per_um=_cutoff_per_um(seen.model),
        seed=seen.seed,
        rounds=ROUNDS[seen.model.modality.rank],
    )
    return [resolution_section(found)]


def _cutoff_per_um(model: ModelLike) -> float | None:
    """The highest lateral frequency that reaches the data, where the optics are known."""
    if model.reconstruct is not None:
        finest = max(1 / direction.finest_um for direction in model.reconstruct.parameters.directions)
        return model.reconstruct.weights.detection.cutoff_per_um + finest
    optics = model.provenance.get("optics")
    return None if optics is None else 2e3 * optics["na"] / optics["wavelength_nm"]


def _flux(seen: _Analysis) -> list[Section]:
    """Brightness, where the imaging accounts for all light."""
    if not seen.model.acquisition.accounts_for_all_light:
        return []
    return [flux_section(examine_flux(seen.adu(seen.reblurred), seen.adu(seen.prediction.denoised)))]


def _uncertainty(model: ModelLike, restored: ResultLike) -> list[Section]:
    members = model.config.training.ensemble
    return [uncertainty_section(restored.deconvolved, restored.uncertainty, model.modality.error_law, members)]


def _errors(seen: _Analysis) -> list[Section]:
    """Against the data, or where these lack light against the denoised image."""
    accounts_for_all_light, scale = seen.model.acquisition.accounts_for_all_light, seen.model.unit.scale
    reference, noise_sd = (seen.measurement.y, scale * seen.noise_sd) if accounts_for_all_light else (seen.prediction.denoised, 0.0)
    found = error_map(seen.adu(seen.prediction.deconvolved), seen.adu(reference), seen.model.psf, noise_sd=noise_sd)
    return [error_section(found, seen.spacing_um)]


def _series(model: ModelLike, frames: Sequence[np.ndarray], restored: ResultLike) -> list[Section]:
    """Traces of a movie, where its frames are the camera's, against those of the deconvolved one as it would be seen again."""
    if "T" not in restored.deconvolved.axes or len(frames) < FEWEST_FRAMES or model.reconstruct is not None:
        return []
    y, x = center_window(frames[0].shape, MOST_OF_A_MOVIE / len(frames))
    raw = np.stack([frame[..., y, x] for frame in frames]).astype(np.float32)
    raw -= model.camera.offset + model.intensity_correction.dark_level * model.unit.scale
    scale, shape = model.acquisition.scale, restored.deconvolved.data.shape
    fine = (..., slice(scale * y.start, scale * y.stop), slice(scale * x.start, scale * x.stop))
    images = restored.deconvolved.data.reshape(len(frames), *shape[-model.modality.rank :])[fine]
    shown = [model.acquisition.forward_operator(torch.from_numpy(image[None, None].copy()))[0, 0].numpy() for image in images]
    return [series_section(examine_series(raw, np.stack(shown), model.camera))]
