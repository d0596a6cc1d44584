"""`Model`: a trained network with everything needed to restore the next image."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from torch import Tensor, nn

from zsdeconv.acquisition.base import Acquisition, Measurement
from zsdeconv.camera.compare import KnownCamera
from zsdeconv.camera.detector import Camera
from zsdeconv.camera.maps import MAX_GAIN_DIFFERENCE, CameraMaps
from zsdeconv.camera.odd_frames import OddFrames
from zsdeconv.camera.sensor_parts import equalised
from zsdeconv.config import Config
from zsdeconv.data.normalize import Affine
from zsdeconv.errors import ConfigError, ImageError
from zsdeconv.image import Image, ImageLike, refuse_other_scan, with_numbers
from zsdeconv.io.checks import check_restorable
from zsdeconv.io.wrapped import unwrapped
from zsdeconv.modality import Modality
from zsdeconv.model_io import ModelParts, write_model
from zsdeconv.nn.contract import as_network
from zsdeconv.physics.grid import lateral_factors
from zsdeconv.physics.psf import Psf
from zsdeconv.prediction.destripe import Destriping
from zsdeconv.prediction.device import choose_device
from zsdeconv.prediction.gathered import GatheredFrames
from zsdeconv.prediction.other_camera import (
    CameraFrom,
    brightness,
    camera_of,
    check_contrast,
    with_camera,
)
from zsdeconv.prediction.photometry import IntensityCorrection
from zsdeconv.prediction.recorded import RecordedFrames
from zsdeconv.prediction.set_aside import completed
from zsdeconv.prediction.temporal import TemporalResidual, smoothing_px
from zsdeconv.prediction.tiled import WHOLE, FramePrediction, Passes, Tiling, pass_work, passes_of, predict_frame
from zsdeconv.prediction.uncertainty import GlobalErrorTerms, median_reblur_residual, standard_error
from zsdeconv.prediction.upright import upright_images
from zsdeconv.progress.shown import ProgressOption, shown
from zsdeconv.progress.tasks import task
from zsdeconv.results import Result

if TYPE_CHECKING:
    from zsdeconv.report.page.report import Report

SPACING_TOLERANCE = 0.02
"""Relative difference of pixel sizes up to which an image fits a model. Chosen: more changes the width of the PSF visibly."""


@dataclass(frozen=True)
class Restored(Result):
    """One image restored, ADU above the offset, float32, axes of the input with the spatial ones last.

    `denoised` lies on the raw grid, `deconvolved` and `uncertainty` (its standard error: 68 % of the pixels are off by less, see
    `zsdeconv.report.checks.standard_error`; None with less than two passes) on the fine one; of structured illumination all on the fine
    one. `reconstructed` is what the network was given of that, with its noise. `raw` is the recorded image, `model` restores the next one.
    Results of a scan at an angle are deskewed; `skewed` has them in the coordinates of the camera.
    """

    denoised: Image
    deconvolved: Image
    uncertainty: Image | None
    model: Model
    raw: Image
    reconstructed: Image | None = None
    skewed: Restored | None = None

    def __repr__(self) -> str:
        return "Restored(" + ", ".join(f"{kind}={image!r}" for kind, image in self.images().items()) + ")"

    def report(self, title: str = "image", *, progress: ProgressOption = None) -> Report:
        """What was done and how far to trust it: `.sections` with findings and numbers, `.save(path)` for the page.

        It takes about a minute: the image is restored several times more, as it is, in halves, and with test objects in it. `progress` says
        who is told of it, as in `Model.predict`.
        """
        from zsdeconv.report.assess import assess
        from zsdeconv.report.page.report import Report

        model = self.model
        raw = replace(with_numbers(self.raw, model.camera.offset), offset=model.camera.offset)
        seen = self.as_recorded()
        own = replace(seen, **{name: with_numbers(image) for name, image in seen.images().items()})
        with shown(progress):
            sections = assess(model, self.raw, own)
        return Report(title, sections, {"raw": raw, **own.images()}, model.config.model_dump(mode="json"), dict(model.provenance))

    def images(self) -> dict[str, Image]:
        """The images by name, as the command line writes them."""
        named = {kind: getattr(self, kind) for kind in ("reconstructed", "denoised", "deconvolved", "uncertainty")}
        return {name: image for name, image in named.items() if image is not None}

    def as_recorded(self) -> Restored:
        """In the coordinates of the camera: itself, unless its images were deskewed."""
        return self.skewed or self

    def destriped(self, destriping: Destriping) -> Restored:
        """Without the stripes in both images; what was taken is noted in their metadata under "stripes"."""

        def without(image: Image) -> Image:
            data, share = destriping.damp(image.data, (image.spacing_um["Y"], image.spacing_um["X"]))
            note = {"stripes": {**asdict(destriping), "taken_share_of_sd": round(share, 4)}}
            return replace(image, data=data.astype(np.float32), metadata={**image.metadata, **note})

        return replace(self, denoised=without(self.denoised), deconvolved=without(self.deconvolved))


@dataclass(frozen=True)
class Model:
    """A trained network, and the acquisition (optics, camera, PSF) that it was trained for.

    `spacing_um` is the raw grid's. `intensity_correction` restores the contrast that a least-squares estimate loses, `offset_sigma` is the
    standard error of the camera offset in ADU; `gain_sigma` and `law_misfits` are what else is known of the camera (`KnownCamera`).
    `camera_from` says whose camera restores an image: the model's unless the noise is another one's (auto), always the image's own (image),
    or that of the training, with its brightness (model).
    `history` holds the losses at each validation, `provenance` the origin of the numbers, for people: no computation reads it.
    """

    network: nn.Module
    modality: Modality
    config: Config
    acquisition: Acquisition
    spacing_um: tuple[float, ...]
    intensity_correction: IntensityCorrection
    offset_sigma: float = 0.0
    history: list[dict[str, Any]] = field(default_factory=list)
    provenance: Mapping[str, Any] = field(default_factory=dict)
    gain_sigma: float = 0.0
    law_misfits: tuple[tuple[float, float], ...] = ()
    camera_from: CameraFrom = "auto"

    def __repr__(self) -> str:
        return f"Model({self.modality.name}, network {self.config.network.kind}, PSF {self.psf.source}, camera {self.known_camera.words})"

    @property
    def unit(self) -> Affine:
        """The map from camera counts to the network's unit."""
        return self.acquisition.unit

    @property
    def camera(self) -> Camera:
        """The variance law of the camera, ADU."""
        return self.acquisition.detector

    @property
    def psf(self) -> Psf:
        """The PSF on the fine grid."""
        return self.acquisition.psf

    def with_camera(self, maps: CameraMaps) -> Model:
        """The same model for a camera with other maps: its frames become those of the camera of the training.

        Raises `ConfigError` where the gains differ by more than the network has seen.
        """
        own, gain = self.camera, maps.law.gain
        if own.kind != maps.law.kind:
            raise ConfigError(f"camera maps for a model of a {own.words}: its pixels do not differ; leave out camera")
        if abs(gain - own.gain) > MAX_GAIN_DIFFERENCE * own.gain:
            gains = f"gain {gain:.4g} in the camera maps, {own.gain:.4g} ADU per electron in the model"
            limit = f"(limit {100 * MAX_GAIN_DIFFERENCE:g} %): another camera, or another setting of it"
            raise ConfigError(f"{gains} {limit}; train a model with its maps, or leave out camera")
        return replace(self, acquisition=self.acquisition.with_maps(replace(maps, target=(own.offset, own.gain))))

    @property
    def known_camera(self) -> KnownCamera:
        """The law of the camera, and how well it is known."""
        return KnownCamera(self.camera, self.offset_sigma, self.gain_sigma, self.law_misfits)

    def for_camera(self, own: KnownCamera) -> Model:
        """The model for images of another camera, which it restores in the counts of that camera.

        The zero that the training found for its own camera is left out, as it was an error of that camera's offset.
        """
        return replace(
            self,
            acquisition=with_camera(self.acquisition, self.known_camera, own),
            intensity_correction=replace(self.intensity_correction, dark_level=0.0),
            offset_sigma=own.offset_sigma,
            gain_sigma=own.gain_sigma,
            law_misfits=own.misfits,
        )

    def _for_frames(self, frames: Sequence[np.ndarray]) -> Model:
        """The model for frames (ADU, all pixels with data) of whatever camera and brightness."""
        acquisition, own = self.acquisition, self.known_camera
        if not acquisition.frames_have_law:
            return self
        if acquisition.maps is None:
            own = camera_of(own, frames, self.camera_from, memory=acquisition.remembers)
        model = self if own == self.known_camera else self.for_camera(own)
        return model._at_brightness(frames)

    def _at_brightness(self, frames: Sequence[np.ndarray]) -> Model:
        """The model on a scale of intensity that fits frames of another brightness (ADU); what the zero was wrong by stays as many counts.

        Where they are much dimmer or brighter than the training, the contrast that comes back is measured, as at the end of a training.
        """
        ratio = brightness(self.acquisition, frames)
        if ratio == 1:
            return self
        acquisition = self.acquisition.for_detector(self.camera, ratio)
        correction = replace(self.intensity_correction, dark_level=self.intensity_correction.dark_level / ratio)
        check_contrast(self.network, acquisition, frames[len(frames) // 2], correction, self.config, ratio)
        return replace(self, acquisition=acquisition, intensity_correction=correction)

    def predict(
        self,
        image: ImageLike,
        *,
        passes: int | None = None,
        tile: int | None = None,
        overlap: int | None = None,
        batch: int | None = None,
        destripe: Destriping | None = None,
        device: str | None = None,
        progress: ProgressOption = None,
    ) -> Restored:
        """Restore an image of the same microscope: denoised on the raw grid, deconvolved on the fine one.

        All frames along T are restored alike, on one intensity scale, and changes from frame to frame are kept (`TemporalResidual`).
        Arguments that are left out come from the configuration of the training. Where the noise of the image is not that of the model's
        camera, its own camera is calibrated and used, and a warning says so.

        Parameters
        ----------
        image : an `Image`, a path or an array: pixels in ADU, with the axes and the pixel size of the training; NaN comes back as NaN
        passes : number of averaged re-corrupted passes
        tile, overlap : side of tiles and their overlap, raw pixels
        batch : tiles at a time
        destripe : shadows of a light sheet to be damped afterwards
        device : auto, cpu, cuda or mps
        progress : who is told of it (`zsdeconv.progress.shown`); by default a bar on a terminal and in a notebook

        Raises
        ------
        ImageError
            When the axes or the pixel size are not those of the training, or another camera was used that the image does not tell.
        """
        settings = self.config.prediction
        tiling = Tiling(tile or settings.tile, settings.overlap if overlap is None else overlap, batch or settings.batch)
        with shown(progress):
            restored = self._predicted(image, passes_of(self.config, passes), tiling, destripe or Destriping.of(settings), device)
            upright = upright_images(restored.images(), self.config, self.spacing_um[-2])
            return replace(restored, **upright, skewed=restored) if upright else restored

    def _predicted(self, image: ImageLike, passes: int, tiling: Tiling, destripe: Destriping | None, device: str | None) -> Restored:
        with task("preparing"):
            image = self.fitting(image)
            if self.acquisition.maps is not None and self.camera_from == "image":
                own = "the model has the maps of its camera"
                raise ConfigError(f"camera_from image: {own}; leave it out, or give camera for those of another")
            found = RecordedFrames.of(self.modality.frames_of(image), self.acquisition, stacklevel=3)
            model = self if self.camera_from == "model" else self._for_frames(found.ordinary)
            seen, defects = found.cleaned(model.camera)
        factors = self.modality.denoised_factors(self.config.scale)
        work = len(seen) * max(passes, 1) * pass_work(as_network(self.network), seen[0].shape, factors, tiling)
        with task("restoring", work, "network") as restoring:
            restored = model._restored_frames(image, seen, found.odd, passes, tiling, device, restoring.report)
            restored = restored if destripe is None else restored.destriped(destripe)
            return replace(restored, **completed(restored.images(), self.acquisition, defects, found.frames, seen))

    def _restored_frames(
        self,
        image: Image,
        frames: Sequence[np.ndarray],
        odd: OddFrames,
        passes: int,
        tiling: Tiling,
        device: str | None,
        progress: Callable[[float], object],
    ) -> Restored:
        """The frames of an image, in which all pixels hold data; some are `odd`."""
        device_used = choose_device(device or self.config.device)
        self.network.to(device_used)
        gathered: dict[str, GatheredFrames] = {}
        frames = self.acquisition.steadied(frames)
        residuals = self._temporal_residuals(len(odd.ordinary)) if len(odd.ordinary) > 1 else {}
        for n, frame in enumerate(frames):
            if n in odd.dark:
                continue
            ratio = self.unit.excess(frame) if n in odd.bright else 1.0  # the network knows images of the brightness of the others
            measurement = self.acquisition.measure(self.unit.dimmed(frame, ratio) if ratio > 1 else frame, device_used)
            prediction = self.predict_measurement(
                measurement,
                passes=passes,
                tiling=tiling,
                progress=lambda done, n=n: progress((n + done) / len(frames)),
            )
            if n not in odd.unlike:
                for kind, residual in residuals.items():
                    residual.add(odd.ordinary.index(n), measurement.y, getattr(prediction, kind))
            parts = {"uncertainty": self._standard_error(prediction), **self.acquisition.intermediate(measurement)}
            parts |= {"denoised": prediction.denoised, "deconvolved": prediction.deconvolved}
            for kind, part in parts.items():
                if part is not None:
                    adu = part.mul_(self.unit.scale * ratio).cpu().numpy()
                    gathered.setdefault(kind, GatheredFrames(len(frames))).add(n, adu)
            del prediction, measurement, parts  # before the next ones are made
        for kind, residual in residuals.items():
            residual.add_to([gathered[kind].data[n] for n in odd.ordinary], self.unit.scale)
            if kind == "deconvolved":
                gathered[kind].data.clip(min=0, out=gathered[kind].data)  # light that a frame lacks can be more than a dark place has
        return self._restored(image, gathered)

    def predict_measurement(
        self,
        measurement: Measurement,
        *,
        passes: int,
        tiling: Tiling = WHOLE,
        progress: Callable[[float], object] = lambda done: None,
    ) -> FramePrediction:
        """Restore a measurement of `acquisition`, in the network's unit, with the intensity corrected."""
        network, factors = self.network.eval(), lateral_factors(self.modality.rank, self.acquisition.scale)
        drawn = Passes(partial(measurement.added_noise, self.config.pairs.prediction_alpha), passes, self.config.seed)
        prediction = predict_frame(as_network(network), measurement.y, drawn, factors=factors, tiling=tiling, progress=progress)
        return self.intensity_correction.corrected(prediction)

    def _temporal_residuals(self, frames: int) -> dict[str, TemporalResidual]:
        """For the denoised image as it is, and the deconvolved one through the lens."""
        sigma_px = smoothing_px(self.psf, lateral_factors(self.modality.rank, self.acquisition.scale))
        operators = {"denoised": lambda x: x, "deconvolved": self.acquisition.forward_operator}
        return {kind: TemporalResidual(frames, operator, sigma_px) for kind, operator in operators.items()}

    def _standard_error(self, prediction: FramePrediction) -> Tensor | None:
        """The standard error of the deconvolved image, in place of the spread; None where there is none."""
        if prediction.spread is None:
            return None
        images, law = (prediction.denoised, prediction.deconvolved, self.acquisition.forward_operator), self.modality.error_law
        residual = median_reblur_residual(*images) if law.reblur_residual else 0.0  # takes time
        taken = self.intensity_correction.deconvolved.taken(prediction.deconvolved) if law.zero_level else None
        terms = GlobalErrorTerms(residual, self.offset_sigma / self.unit.scale)
        return standard_error(prediction.deconvolved, prediction.spread, terms, law, taken)

    def _restored(self, image: Image, gathered: Mapping[str, GatheredFrames]) -> Restored:
        fine, lens = self.modality.factors(self.config.scale), self.acquisition.optics
        known = {} if lens is None else {"optics": {**image.metadata.get("optics", {}), **lens.stated}}
        noted, scan = {**image.metadata, **known, **self.modality.acquisition.result_metadata}, self.config.input.scan

        def assembled(kind: str, factors: Sequence[int]) -> Image:
            data = gathered[kind].data
            axes = image.axes.removesuffix(self.modality.recorded_axes)
            data = data.reshape(*[image.sizes[a] for a in axes], *data.shape[1:])
            spacing = {a: um / f for (a, um), f in zip(self._spacing().items(), factors, strict=True)}
            said = noted | ({} if scan is None else {"scan": scan.noted(spacing)}) | {"kind": kind}
            return Image(data, axes + self.modality.spatial_axes, spacing, 0.0, said)

        on_fine_grid = {kind: assembled(kind, fine) for kind in gathered if kind != "denoised"}
        return Restored(
            denoised=assembled("denoised", self.modality.denoised_factors(self.config.scale)),
            deconvolved=on_fine_grid["deconvolved"],
            uncertainty=on_fine_grid.get("uncertainty"),
            model=self,
            raw=image,
            reconstructed=on_fine_grid.get("reconstructed"),
        )

    def _spacing(self) -> dict[str, float]:
        return dict(zip(self.modality.spatial_axes, self.spacing_um, strict=True))

    def fitting(self, image: ImageLike) -> Image:
        """The image with its recorded axes last, after checking that the model was made for such images."""
        image = self.modality.as_image(self.acquisition.recorded_next(image, self.config))
        if not self.modality.accepts(image):
            raise ImageError(
                f"axes {image.axes} of size {image.data.shape}: the model restores {self.modality.recorded_axes} frames"
                f" ({self.modality.name}); train another one, or give axes"
            )
        refuse_other_scan(image, self.config.input.scan)
        for axis, um in self._spacing().items():
            found = um if axis == "Z" and self.config.input.scan is not None else image.spacing_um.get(axis, um)
            if abs(found / um - 1) > SPACING_TOLERANCE:
                raise ImageError(
                    f"pixel size {found:g} um along {axis}: the model was trained at {um:g} um; train another one, or correct pixel_um"
                )
        image = equalised(unwrapped(image)) if self.acquisition.maps is None else unwrapped(image)
        check_restorable(image)
        return self.modality.ordered(image)

    def save(self, path: str | Path, *, overwrite: bool = False) -> Path:
        """Write the model to one `.zsd` file, atomically. Raises `OutputError` when that is not possible."""
        return write_model(self.parts(), path, overwrite=overwrite)

    def parts(self) -> ModelParts:
        """What a model file holds of it."""
        return ModelParts(**{each.name: getattr(self, each.name) for each in fields(ModelParts)})

    @classmethod
    def of(cls, parts: ModelParts) -> Model:
        """The model that `parts` were stored of."""
        return cls(**{each.name: getattr(parts, each.name) for each in fields(parts)})
