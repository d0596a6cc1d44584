"""`Model`: a trained network with everything needed to restore the next image, and the file that holds it."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

from zsdeconv._version import __version__
from zsdeconv.acquisition.base import Acquisition, DirectAcquisition, Measurement
from zsdeconv.acquisition.structured import StructuredAcquisition
from zsdeconv.camera.detector import Camera
from zsdeconv.config import Config, with_new_names
from zsdeconv.data.normalize import Affine
from zsdeconv.errors import ConfigError, ImageError, ModelError, UserError
from zsdeconv.framing import as_image, frames_of, ordered
from zsdeconv.image import Image
from zsdeconv.io.checks import check_restorable
from zsdeconv.io.model_file import load_model, save_model
from zsdeconv.modality import MODALITIES, Modality
from zsdeconv.nn.networks import make_network
from zsdeconv.physics import grid
from zsdeconv.physics.operators import forward_model
from zsdeconv.physics.psf import Psf
from zsdeconv.prediction.destripe import Destriping
from zsdeconv.prediction.photometry import IntensityCorrection
from zsdeconv.prediction.temporal import TemporalResidual, smoothing_px
from zsdeconv.prediction.tiled import FramePrediction, predict_frame
from zsdeconv.prediction.uncertainty import GlobalErrorTerms, median_reblur_residual, standard_error
from zsdeconv.sim.reconstruct import Reconstruct
from zsdeconv.sim.stored import from_parts, to_parts

if TYPE_CHECKING:
    from zsdeconv.report.page.report import Report

SPACING_TOLERANCE = 0.02
"""Relative difference of pixel sizes up to which an image fits a model: more would change the PSF visibly."""


@dataclass(frozen=True)
class Restored:
    """One image restored, ADU above the offset, float32, axes of the input with the spatial ones last.

    `denoised` lies on the raw grid, `deconvolved` and `uncertainty` (its standard error: 68 % of the pixels are off by less, see
    `zsdeconv.report.checks.standard_error`; None with less than two passes) on the fine grid. Of structured illumination all lie on the fine
    grid, and `reconstructed` is what the network was given, with all its noise (None otherwise). `raw` is the image as it was recorded,
    and `model` restores the next one.
    """

    denoised: Image
    deconvolved: Image
    uncertainty: Image | None
    model: Model
    raw: Image
    reconstructed: Image | None = None

    def report(self, title: str = "image") -> Report:
        """What was done and how far to trust it: `.sections` with findings and numbers, `.save(path)` for the page.

        It takes about a minute: the image is restored several times more, as it is, in halves, and with test objects in it.
        """
        from zsdeconv.report.assess import assess
        from zsdeconv.report.page.report import Report

        raw, model = replace(self.raw, offset=self.model.camera.offset), self.model
        sections = assess(model, self.raw, self)
        return Report(title, sections, {"raw": raw, **self.images()}, model.config.model_dump(mode="json"), dict(model.provenance))

    def images(self) -> dict[str, Image]:
        """The images by name, as the command line writes them."""
        kinds = ("reconstructed", "denoised", "deconvolved", "uncertainty")
        named = {kind: getattr(self, kind) for kind in kinds}
        return {name: image for name, image in named.items() if image is not None}

    def damped(self, stripes: Destriping) -> Restored:
        """Without the stripes in both images; what was taken is noted in their metadata under "stripes"."""

        def without(image: Image) -> Image:
            data, share = stripes.damp(image.data, (image.spacing_um["Y"], image.spacing_um["X"]))
            note = {**asdict(stripes), "taken_share_of_sd": round(share, 4)}
            return replace(image, data=data.astype(np.float32), metadata={**image.metadata, "stripes": note})

        return replace(self, denoised=without(self.denoised), deconvolved=without(self.deconvolved))


@dataclass(frozen=True)
class Model:
    """A trained network, the optics and the camera it was trained for.

    `psf` lies on the fine grid, `spacing_um` is the raw grid's, `reconstruct` makes one image of raw frames where there are any.
    `intensity_correction` undoes the contrast that a least-squares estimate gives away. `history` holds the losses at each validation,
    `provenance` where the numbers came from.
    """

    network: nn.Module
    modality: Modality
    config: Config
    unit: Affine
    camera: Camera
    psf: Psf
    spacing_um: tuple[float, ...]
    intensity_correction: IntensityCorrection
    reconstruct: Reconstruct | None = None
    history: list[dict[str, Any]] = field(default_factory=list)
    provenance: Mapping[str, Any] = field(default_factory=dict)

    def predict(
        self,
        image: Image | np.ndarray,
        *,
        passes: int | None = None,
        tile: int | None = None,
        overlap: int | None = None,
        batch: int | None = None,
        stripes: Destriping | None = None,
        device: str | None = None,
        progress: Callable[[float], None] = lambda done: None,
    ) -> Restored:
        """Restore an image of the same microscope: denoised on the raw grid, deconvolved on the fine one.

        Every frame along T is restored alike, on one intensity scale, and what changes from frame to frame is kept (`TemporalResidual`).
        `passes` re-corrupted passes are averaged; `tile` and `overlap` are in raw pixels, `batch` is in tiles; `stripes` are damped
        afterwards. Arguments left out come from the configuration of the training.

        Raises `ImageError` when the axes or the pixel size are not those of the training.
        """
        image = self._fitting(image)
        settings = self.config.prediction
        frames, device_used = frames_of(image, self.modality), choose_device(device or self.config.device)
        self.network.to(device_used)
        gathered: dict[str, _Gathered] = {}
        transients = self._transients(len(frames))
        for n, frame in enumerate(frames):
            taken = self.acquisition.measure(frame, device_used)
            prediction = self.predict_measurement(
                taken,
                passes=self._passes(passes),
                tile_px=tile or settings.tile,
                overlap_px=settings.overlap if overlap is None else overlap,
                batch=batch or settings.batch,
                progress=lambda done, n=n: progress((n + done) / len(frames)),
            )
            for kind, levelled in transients.items():
                levelled.add(n, taken.y, getattr(prediction, kind))
            for kind, part in (
                ("uncertainty", self._standard_error(prediction)),
                ("denoised", prediction.denoised),
                ("deconvolved", prediction.deconvolved),
                ("reconstructed", None if self.reconstruct is None else taken.y),
            ):
                if part is not None:
                    gathered.setdefault(kind, _Gathered(len(frames))).add(n, part.mul_(self.unit.scale).cpu().numpy())
            del prediction, taken  # before the next ones are made
        for kind, levelled in transients.items():
            levelled.add_to(gathered[kind].data, self.unit.scale)
        restored, stripes = self._restored(image, gathered), stripes or settings.damping
        return restored if stripes is None else restored.damped(stripes)

    def predict_measurement(self, measurement: Measurement, *, passes: int, **options: Any) -> FramePrediction:
        """Restore an image that `acquisition` has made a field of, in the network's unit, brightness set right. Options as `predict_frame`."""
        network, factors = self.network.eval(), grid.lateral_factors(self.modality.rank, self.acquisition.scale)
        options = {"alpha": self.config.pairs.prediction_alpha, "seed": self.config.seed} | options
        prediction = predict_frame(network, measurement.y, measurement.noise, factors=factors, passes=passes, **options)
        return self.intensity_correction.corrected(prediction)

    def _transients(self, frames: int) -> dict[str, TemporalResidual]:
        """For the denoised image, seen as it is, and the deconvolved one, seen through the lens; a single frame needs none."""
        if frames == 1:
            return {}
        sigma_px = smoothing_px(self.psf, grid.lateral_factors(self.modality.rank, self.acquisition.scale))
        seen = {"denoised": lambda x: x, "deconvolved": self.acquisition.forward_operator}
        return {kind: TemporalResidual(frames, operator, sigma_px) for kind, operator in seen.items()}

    def _passes(self, told: int | None) -> int:
        """Passes as told or configured; of an ensemble, so many that each member has its turn."""
        passes, members = self.config.prediction.passes if told is None else told, self.config.training.ensemble
        return passes if members == 1 else max(passes, 2 * members)

    def _standard_error(self, prediction: FramePrediction) -> Tensor | None:
        """That of the deconvolved image, in place of the spread; None where there is none."""
        if prediction.spread is None:
            return None
        seen, law = (prediction.denoised, prediction.deconvolved, self.acquisition.forward_operator), self.modality.error_law
        doubts = GlobalErrorTerms(
            median_reblur_residual(*seen) if law.reblur_residual else 0.0,  # it takes time
            self.provenance.get("calibration", {}).get("offset_sigma", 0.0) / self.unit.scale,
            abs(self.intensity_correction.predicted_zero),
        )
        return standard_error(prediction.deconvolved, prediction.spread, doubts, law)

    @property
    def acquisition(self) -> Acquisition:
        """How the images came about that this model restores."""
        return self._acquisition

    @cached_property
    def _acquisition(self) -> Acquisition:
        return acquisition_of(self.modality, self.config, self.unit, self.camera, self.psf, self.reconstruct)

    def _restored(self, image: Image, gathered: Mapping[str, _Gathered]) -> Restored:
        fine = self.modality.factors(self.config.scale)

        def assembled(kind: str, factors: Sequence[int]) -> Image:
            data = gathered[kind].data
            axes = image.axes.removesuffix(self.modality.recorded_axes)
            data = data.reshape(*[image.sizes[a] for a in axes], *data.shape[1:])
            spacing = {a: um / f for (a, um), f in zip(self._spacing().items(), factors, strict=True)}
            return Image(data, axes + self.modality.spatial_axes, spacing, 0.0, {**image.metadata, "kind": kind})

        return Restored(
            denoised=assembled("denoised", self.modality.denoised_factors(self.config.scale)),
            deconvolved=assembled("deconvolved", fine),
            uncertainty=assembled("uncertainty", fine) if "uncertainty" in gathered else None,
            model=self,
            raw=image,
            reconstructed=assembled("reconstructed", fine) if "reconstructed" in gathered else None,
        )

    def _spacing(self) -> dict[str, float]:
        return dict(zip(self.modality.spatial_axes, self.spacing_um, strict=True))

    def _fitting(self, image: Image | np.ndarray) -> Image:
        """The image with its spatial axes last, after checking that it is one the model was made for."""
        if isinstance(image, np.ndarray) or not isinstance(image, Image):
            image = as_image(image, self.modality)
        if not self.modality.accepts(image):
            raise ImageError(
                f"axes {image.axes} of size {image.data.shape}: the model restores {self.modality.recorded_axes} frames"
                f" ({self.modality.name}); train another one, or give --axes"
            )
        for axis, um in self._spacing().items():
            found = image.spacing_um.get(axis, um)
            if abs(found / um - 1) > SPACING_TOLERANCE:
                raise ImageError(
                    f"pixel size {found:g} um along {axis}: the model was trained at {um:g} um; train another one, or correct --pixel-um"
                )
        check_restorable(image)
        return ordered(image, self.modality)

    def save(self, path: str | Path, *, overwrite: bool = False) -> Path:
        """Write the model to one `.zsd` file, atomically. Raises `OutputError` when that is not possible."""
        tensors = {f"network.{name}": tensor for name, tensor in self.network.state_dict().items()}
        tensors["psf"] = torch.from_numpy(self.psf.values.copy())
        parts, sim = ({}, None) if self.reconstruct is None else to_parts(self.reconstruct)
        tensors |= {f"sim.{name}": tensor for name, tensor in parts.items()}
        header = {
            "modality": self.modality.name,
            "rank": self.modality.rank,
            "version": __version__,
            "config": self.config.model_dump(mode="json"),
            "unit": {"offset": self.unit.offset, "scale": self.unit.scale},
            "camera": {"offset": self.camera.offset, "gain": self.camera.gain, "read_variance": self.camera.read_variance},
            "psf": {"spacing_um": self.psf.spacing_um, "source": self.psf.source, "fingerprint": self.psf.fingerprint},
            "spacing_um": self.spacing_um,
            "sim": sim,
            "photometry": self.intensity_correction.to_dict(),
            "history": self.history,
            "provenance": json.loads(json.dumps(self.provenance, default=str)),
        }
        return save_model(path, tensors, header, overwrite)


class _Gathered:
    """Frames put together to one array `t *zyx`; a single one is taken as it is, for images can be half as large as the memory."""

    def __init__(self, frames: int) -> None:
        self.frames, self.data = frames, np.empty(0, np.float32)

    def add(self, n: int, frame: np.ndarray) -> None:
        """Frame number `n`; all are of one size."""
        if self.frames == 1:
            self.data = frame[None]
            return
        if n == 0:
            self.data = np.empty((self.frames, *frame.shape), np.float32)
        self.data[n] = frame


def load(path: str | Path) -> Model:
    """The model in a `.zsd` file, on the CPU; nothing in the file can run.

    Raises `ModelError` for damaged files and for models of another modality or version.
    """
    tensors, header = load_model(path)
    row = MODALITIES.get(header["modality"])
    if row is None or row.rank != header["rank"]:
        made_for = f"modality {header['modality']!r} of rank {header['rank']}"
        raise ModelError(f"model {path}: {made_for} is not known to version {__version__} ({', '.join(MODALITIES)}); update zsdeconv")
    try:
        return _from_parts(tensors, header)
    except (LookupError, TypeError, ValueError, RuntimeError, AttributeError, UserError) as fault:
        reason = " ".join(str(fault).split())[:120]
        raise ModelError(f"model {path}: its content does not fit version {__version__} ({reason}); train again") from fault


def _from_parts(tensors: dict[str, Tensor], header: dict[str, Any]) -> Model:
    modality, config = MODALITIES[header["modality"]], Config.model_validate(with_new_names(header["config"]))
    psf = Psf(tensors.pop("psf").numpy(), tuple(header["psf"]["spacing_um"]), header["psf"]["source"])
    sim = header.get("sim")
    parts = {name.removeprefix("sim."): tensors.pop(name) for name in list(tensors) if name.startswith("sim.")}
    reconstruct = None if sim is None else from_parts(parts, sim)
    unit, camera = Affine(**header["unit"]), Camera(**header["camera"])
    acquisition = acquisition_of(modality, config, unit, camera, psf, reconstruct)
    network = make_network(config, modality.rank, acquisition.forward_operator, acquisition.scale)
    network.load_state_dict({name.removeprefix("network."): tensor for name, tensor in tensors.items()})
    return Model(
        network=network,
        modality=modality,
        config=config,
        unit=unit,
        camera=camera,
        psf=psf,
        spacing_um=tuple(header["spacing_um"]),
        intensity_correction=IntensityCorrection.from_dict({"dark_level": header["photometry"].get("dark"), **header["photometry"]}),
        reconstruct=reconstruct,
        history=header["history"],
        provenance=header["provenance"],
    )


def acquisition_of(
    modality: Modality, config: Config, unit: Affine, camera: Camera, psf: Psf, reconstruct: Reconstruct | None = None
) -> Acquisition:
    """How images of a modality come about, with the PSF on the fine grid and the camera in ADU."""
    if reconstruct is not None:
        return StructuredAcquisition(unit, camera, psf, reconstruct, drifting=config.sim.per_frame)
    return DirectAcquisition(unit, camera, forward_model(psf.values, modality.rank, config.scale), config.scale)


def choose_device(requested: str) -> torch.device:
    """The device asked for; with "auto" the fastest there is. Raises `ConfigError` when it is not there.

    >>> choose_device("cpu").type
    'cpu'
    """
    available = dict(_available())
    if requested == "auto":
        return next(iter(available.values()))
    if requested not in available:
        raise ConfigError(f"device {requested!r}: this machine has {', '.join(available)}; give --device auto")
    return available[requested]


def _available() -> Iterator[tuple[str, torch.device]]:
    if torch.cuda.is_available():
        yield "cuda", torch.device("cuda")
    if torch.backends.mps.is_available():
        yield "mps", torch.device("mps")
    yield "cpu", torch.device("cpu")
