"""The checks of a report, run on one frame of a restoration."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Protocol, cast

import numpy as np
import torch
from torch import Tensor, nn

from zsdeconv.acquisition.base import Acquisition, Measurement
from zsdeconv.acquisition.structured import StructuredAcquisition
from zsdeconv.camera.frames import calibrate_frames
from zsdeconv.camera.odd_frames import OddFrames, find_odd_frames
from zsdeconv.errors import UserError
from zsdeconv.findings import Finding
from zsdeconv.image import Image
from zsdeconv.nn.contract import as_network
from zsdeconv.physics.grid import center_window
from zsdeconv.prediction.tiled import FramePrediction, pass_work
from zsdeconv.progress.processor import measure_processor
from zsdeconv.progress.tasks import Task, plan, task
from zsdeconv.report.checks import (
    agreement,
    brightness,
    camera_law,
    convergence,
    fringes,
    noise_left,
    psf_fit,
    recording,
    recovery,
    residuals,
    resolution,
    series,
    standard_error,
)
from zsdeconv.report.interfaces import ModelLike, ResultLike
from zsdeconv.report.section import Section
from zsdeconv.report.statistics.splits import restored_splits

MAX_PIXELS = {2: 2**18, 3: 2**19}
"""By rank: pixels of a frame that are examined, in its centre. Chosen: enough for every statistic, and few enough for a minute."""
MAX_SERIES_PIXELS = 2**24
"""Pixels of all frames together that are examined. Chosen: as for `MAX_PIXELS`."""
PASSES = 4
"""Re-corrupted passes of a restoration. Chosen: as many as a stack has by default."""
ROUNDS = {2: 24, 3: 8}
"""By rank: images of pure noise that the data are compared with. Chosen: noise of stacks takes long to draw."""


CHECKING_WORDS = "checking"
"""What all of it is called for people."""


class CheckModule(Protocol):
    """The shape of a check: a module of `zsdeconv.report.checks`."""

    @property
    def KEY(self) -> str: ...
    @property
    def TITLE(self) -> str: ...
    @property
    def QUESTION(self) -> str: ...
    @property
    def NUMBERS(self) -> tuple[str, ...]: ...

    def section(self, result: Any, /) -> Section:
        """The judgement of a result of the module's `measure`."""
        ...


@dataclass(frozen=True)
class Check:
    """A row of the table of checks: the module, its `measure` applied to an analysis, whether the check `applies` to the image, and what
    time it takes: as many `passes` through the network, or `seconds` of a processor core. Fitted by benchmarks/progress.py.
    """

    module: CheckModule
    measured: Callable[[Analysis], Any]
    applies: Callable[[Analysis], bool] = lambda analysis: True
    passes: float = 0.0
    seconds: float = 0.1

    @property
    def words(self) -> str:
        """What doing it is called for people."""
        return f"{CHECKING_WORDS}: {self.module.TITLE.lower()}"

    def task(self, work: float) -> Task:
        """The check as a task, where this is the work of a pass."""
        return Task(self.words, self.passes * work, "network") if self.passes else Task(self.words, self.seconds)


@dataclass(frozen=True, eq=False)
class Analysis:
    """A restoration, and the part of one of its `frames` that is examined: those that are no odd ones (`odd`) of the recording."""

    model: ModelLike
    frames: Sequence[np.ndarray]
    restored: ResultLike
    odd: OddFrames

    @property
    def acquisition(self) -> Acquisition:
        return self.model.acquisition

    @property
    def seed(self) -> int:
        return self.model.config.seed

    @property
    def rounds(self) -> int:
        return ROUNDS[self.model.modality.rank]

    @cached_property
    def measurement(self) -> Measurement:
        """The centre of the central frame."""
        device = next(self.model.network.parameters()).device
        frame = self.acquisition.steadied(self.frames)[len(self.frames) // 2]
        return self.acquisition.measure(frame, device).center_crop(MAX_PIXELS[self.model.modality.rank])

    @cached_property
    def frame_findings(self) -> list[Finding]:
        """What the acquisition says of its raw frames."""
        return self.acquisition.frame_findings(self.frames)

    @cached_property
    def prediction(self) -> FramePrediction:
        return self.model.predict_measurement(self.measurement, passes=PASSES)

    @cached_property
    def reblurred(self) -> Tensor:
        """`D H x`, on the grid of the data, in the network's unit."""
        return self.acquisition.forward_operator(self.prediction.deconvolved[None, None])[0, 0]

    @property
    def spacing_um(self) -> tuple[float, ...]:
        """Pixel size of the data that the network is given."""
        fine, scale = self.acquisition.psf.spacing_um, self.acquisition.scale
        return (*fine[:-2], fine[-2] * scale, fine[-1] * scale)

    def adu(self, image: Tensor) -> np.ndarray:
        return image.cpu().double().numpy() * self.acquisition.unit.scale


def assess(model: ModelLike, image: Image, restored: ResultLike) -> list[Section]:
    """The sections of a report on a restored image.

    Of a movie the central one of the frames with data is examined, of a large frame its centre. Noise is drawn from the seed of the
    training, so the same files give the same report. A check that does not apply to the kind of recording is left out; one that could not
    be run is "not checked".

    Parameters
    ----------
    model : the trained model
    image : the recorded image
    restored : the result of the model for the image
    """
    frames, _ = model.acquisition.cleaned(model.modality.frames_of(image))
    odd = find_odd_frames(frames)
    analysis = Analysis(model, [frames[n] for n in odd.ordinary], restored, odd)
    checks = [check for check in CHECKS if check.module.KEY in analysis.acquisition.checks and check.applies(analysis)]
    with task(CHECKING_WORDS):
        measure_processor()
        *planes, fine_y, fine_x = restored.deconvolved.data.shape[-model.modality.rank :]
        work = examined_work(model.network, [*planes, fine_y // model.acquisition.scale, fine_x // model.acquisition.scale])
        plan(*(check.task(work) for check in checks))
        return [_run_check(check, analysis) for check in checks]


def examined_work(network: nn.Module, shape: Sequence[int]) -> float:
    """Work of one pass over the examined part of a frame of this size, in pixels of the network's input."""
    y, x = center_window(shape, MAX_PIXELS[len(shape)])
    return pass_work(as_network(network), [*shape[:-2], y.stop - y.start, x.stop - x.start], [1] * len(shape))


def check_tasks(keys: Collection[str], work: float) -> list[Task]:
    """The checks with these keys as tasks, before there is an analysis; `work` is `examined_work`."""
    return [check.task(work) for check in CHECKS if check.module.KEY in keys]


def _run_check(check: Check, analysis: Analysis) -> Section:
    """The section of a check, with the same key and numbers whether it could be run or not."""
    module = check.module
    try:
        with task(check.words):
            return module.section(check.measured(analysis))
    except UserError as error:
        finding = Finding.not_checked(module.KEY, f"This check could not be run: {error}")
        return Section(module.KEY, module.TITLE, module.QUESTION, [finding], dict.fromkeys(module.NUMBERS))


def _psf(analysis: Analysis) -> psf_fit.PsfFit:
    acquisition = analysis.acquisition
    findings = acquisition.check_psf()
    return psf_fit.measure(analysis.measurement, acquisition, acquisition.psf, psf_findings=findings, seed=analysis.seed)


def _camera(analysis: Analysis) -> camera_law.CameraCheck:
    detector = analysis.acquisition.detector
    calibration = calibrate_frames(analysis.frames, detector.offset, detector.kind, memory=bool(detector.correlation))
    # Offset and detector are those of the training: they were not looked for again.
    own = calibration.own_offset if analysis.acquisition.maps is None else None  # dark frames know better than the image
    known = replace(calibration, offset_sigma=analysis.model.offset_sigma, own_offset=own, detector_source="that of the training")
    return camera_law.measure(analysis.frames, known)


def _recording(analysis: Analysis) -> recording.Recorded:
    return recording.measure(analysis.odd, tuple(analysis.frame_findings))


def _residuals(analysis: Analysis) -> residuals.Residuals:
    acquisition, y = analysis.acquisition, analysis.measurement.y
    denoised, dark = analysis.prediction.denoised, analysis.model.intensity_correction.dark_level
    return residuals.measure(
        analysis.measurement,
        acquisition.light.explained(denoised, analysis.reblurred) + dark,
        mean=denoised + dark,
        spacing_um=analysis.spacing_um,
        border_px=residuals.judged_border_px(y.shape, acquisition.forward_operator.support_px, acquisition.scale),
        light=acquisition.light,
        seed=analysis.seed,
        rounds=analysis.rounds,
    )


def _noise_left(analysis: Analysis) -> noise_left.NoiseLeft:
    return noise_left.measure(analysis.model, analysis.measurement, analysis.prediction.denoised.cpu().numpy(), analysis.seed)


def _resolution(analysis: Analysis) -> resolution.Resolution:
    generator = torch.Generator(analysis.measurement.y.device).manual_seed(analysis.seed)
    splits = restored_splits(analysis.model, analysis.measurement, generator)
    first, second = (split.deconvolved.cpu().numpy() for split in splits)
    return resolution.measure(
        analysis.measurement,
        analysis.spacing_um[-2:],
        restored_splits=(first, second),
        restored=analysis.prediction.deconvolved.cpu().numpy(),
        cutoff_per_um=analysis.acquisition.cutoff_per_um,
        seed=analysis.seed,
        rounds=analysis.rounds,
    )


def _uncertainty(analysis: Analysis) -> standard_error.StandardError:
    model, restored = analysis.model, analysis.restored
    members = model.config.training.ensemble
    law, sigma = model.modality.error_law, model.offset_sigma
    return standard_error.measure(restored.deconvolved, restored.uncertainty, law, members, offset_sigma=sigma)


def _error_map(analysis: Analysis) -> agreement.ErrorMap:
    acquisition, measurement, prediction = analysis.acquisition, analysis.measurement, analysis.prediction
    noise = measurement.noise(torch.Generator().manual_seed(analysis.seed))
    noise_sd = acquisition.unit.scale * float(noise.square().mean().sqrt())
    reference, noise_sd = acquisition.light.error_reference(measurement.y, prediction.denoised, noise_sd)
    deconvolved, data = analysis.adu(prediction.deconvolved), analysis.adu(reference)
    error_map = agreement.measure(deconvolved, data, acquisition.psf, spacing_um=analysis.spacing_um, noise_sd=noise_sd)
    return replace(error_map, against="the denoised image") if reference is prediction.denoised else error_map


def _recovery(analysis: Analysis) -> recovery.Recovery:
    return recovery.measure(analysis.model, analysis.measurement, analysis.prediction, passes=PASSES, seed=analysis.seed)


def _series(analysis: Analysis) -> series.Series:
    """The traces of the raw movie against those of the re-blurred deconvolved one."""
    model, acquisition, frames = analysis.model, analysis.acquisition, analysis.frames
    y, x = center_window(frames[0].shape, MAX_SERIES_PIXELS / len(frames))
    raw = np.stack([frame[..., y, x] for frame in frames]).astype(np.float32)
    raw -= acquisition.detector.offset + model.intensity_correction.dark_level * acquisition.unit.scale
    scale, data = acquisition.scale, analysis.restored.deconvolved.data
    fine = (..., slice(scale * y.start, scale * y.stop), slice(scale * x.start, scale * x.stop))
    images = data.reshape(-1, *data.shape[-model.modality.rank :])[analysis.odd.ordinary][fine]
    reblurred = [acquisition.forward_operator(torch.from_numpy(image[None, None].copy()))[0, 0].numpy() for image in images]
    return series.measure(raw, np.stack(reblurred), acquisition.detector)


def _is_movie(analysis: Analysis) -> bool:
    return "T" in analysis.restored.deconvolved.axes and len(analysis.frames) > 1


CHECKS: tuple[Check, ...] = (
    Check(psf_fit, _psf, seconds=8.0),
    Check(camera_law, _camera, seconds=1.0),
    Check(recording, _recording, lambda analysis: analysis.odd.count > 1 or bool(analysis.frame_findings)),
    Check(fringes, lambda analysis: fringes.measure(cast(StructuredAcquisition, analysis.acquisition).reconstruct)),
    Check(convergence, lambda analysis: convergence.measure(analysis.model.history)),
    Check(residuals, _residuals, passes=5.0),
    Check(noise_left, _noise_left, passes=4.3),
    Check(resolution, _resolution, passes=2.3),
    Check(brightness, lambda analysis: brightness.measure(analysis.adu(analysis.reblurred), analysis.adu(analysis.prediction.denoised))),
    Check(standard_error, _uncertainty),
    Check(agreement, _error_map),
    Check(recovery, _recovery, passes=4.0),
    Check(series, _series, _is_movie, seconds=1.0),
)
"""The checks of a report in their order. A new check is one module and one row."""
