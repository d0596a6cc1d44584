"""The story of a restoration: calibrate the camera, make pairs, train, set the photometry, predict."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal, cast

import numpy as np
from torch import nn

from zsdeconv._version import __version__
from zsdeconv.acquisition.base import Acquisition, Measurement
from zsdeconv.camera.compare import KnownCamera
from zsdeconv.channels import (
    ChannelModels,
    PreparedChannels,
    checkpoint_of_channel,
    prepare_channels,
    provenance_of_channels,
)
from zsdeconv.config import Config, as_settings, resolve
from zsdeconv.data.regions import MAX_PIXELS, training_regions
from zsdeconv.errors import ConfigError
from zsdeconv.image import Image, ImageLike, cropped, with_scan
from zsdeconv.io.model_file import forget
from zsdeconv.modality import recorded
from zsdeconv.model import Model, Restored
from zsdeconv.nn.contract import as_network
from zsdeconv.physics.optics import Optics
from zsdeconv.physics.psf import Psf
from zsdeconv.prediction.device import choose_device
from zsdeconv.prediction.photometry import measure_intensity_correction
from zsdeconv.prediction.tiled import Tiling, pass_work, passes_of
from zsdeconv.prepare import Prepared
from zsdeconv.progress.shown import ProgressOption, shown
from zsdeconv.progress.tasks import TRAINING_WORDS, Task, is_watched, plan, task, wants_preview
from zsdeconv.report.assess import CHECKING_WORDS, check_tasks, examined_work
from zsdeconv.training.expected import announced_phases, measured_effort, training_tasks
from zsdeconv.training.networks import make_network, training_phases
from zsdeconv.training.objectives import Phase
from zsdeconv.training.preview import Previewer
from zsdeconv.training.trainer import Checkpoint, Event, Trainer

TRAINING_ARGUMENTS = ("checkpoint", "resume", "callback")
"""Arguments of a training that are no settings."""


def restore(
    image: ImageLike,
    optics: Optics | None = None,
    *,
    psf: Psf | str | Path | None = None,
    config: Config | None = None,
    progress: ProgressOption = None,
    preview: bool = False,
    **options: Any,
) -> Restored:
    """Train a network on the image itself, then restore it: the main job. Of an image with several channels, each has its own network, and
    the result is a `zsdeconv.channels.RestoredChannels` with the same parts.

    `image` is an `Image`, the path of a file, or an array (`t y x` or `y x`, or with named dimensions); the other arguments are those of
    `train`, `progress` and `preview` among them. The result holds the denoised image on the raw grid and the deconvolved one on the fine
    grid, in ADU above the camera offset, and the model.

    >>> import numpy as np
    >>> counts = np.random.default_rng(0).poisson(np.linspace(9, 200, 48), (40, 48))
    >>> image = Image(counts, "YX", {"Y": 0.065, "X": 0.065})
    >>> restore(image, Optics(na=1.3, wavelength_nm=525), steps=2).denoised.data.shape
    (40, 48)
    """
    training = {name: options.pop(name) for name in TRAINING_ARGUMENTS if name in options}
    settings = _settings(config, psf, options)
    with shown(progress, preview=preview):
        image = recorded(image, settings)
        prepared = prepare_channels([image], settings, optics, psf if isinstance(psf, Psf) else None)
        plan(*announced(prepared, "training", "restoring"))
        model = _trained(prepared, **training)
        return replace(replace(model, camera_from="model").predict(_as_trained(image, model)), model=model)


def _as_trained(image: Any, model: Model) -> Any:
    """The image as the training has read it."""
    if isinstance(image, Image):  # a pixel size or a scan that was given wins over that of the image, here as in the training
        given = dict(zip(model.modality.spatial_axes, model.spacing_um, strict=True))
        image = with_scan(replace(image, spacing_um={**image.spacing_um, **given}), model.config.input.scan)
    elif model.config.input.crop is not None:
        image = model.modality.as_image(image, model.config.input.axes)
    return cropped(image, model.config.input.crop) if isinstance(image, Image) else image


def train(
    images: ImageLike | Sequence[ImageLike],
    optics: Optics | None = None,
    *,
    psf: Psf | str | Path | None = None,
    config: Config | None = None,
    checkpoint: str | Path | None = None,
    resume: bool = False,
    callback: Callable[[Event], None] = lambda event: None,
    **options: Any,
) -> Model:
    """Train one model on all frames of `images`; of images with several channels a `zsdeconv.channels.ChannelModels` with one for each.

    The images are `Image`s, paths of files or arrays, in a list, or one alone. The optics come as an `Optics`, as a `Psf` of any sampling,
    as the file of one, or in the configuration. `options` are settings by name: `preset`, `scale`, `device`, `seed`, `steps`, `minutes`,
    `pixel_um`, `background`, `passes`; or a whole `config` instead. `callback` receives an event at each validation. With a `checkpoint`
    file, an interrupted training continues with `resume`.

    Among the options is also who is told how far it is (`progress`, see `zsdeconv.progress.shown`): by default a bar on a terminal and in a
    notebook. With `preview=True` small pictures of what has been learnt are shown beside it, and are in the events of `callback`.

    Raises `UserError` for whatever makes the training impossible, with what to do about it.

    >>> import numpy as np
    >>> frames = np.random.default_rng(0).poisson(np.linspace(9, 200, 48), (2, 40, 48))
    >>> model = train(frames, Optics(na=1.3, wavelength_nm=525), pixel_um=0.065, steps=2)
    >>> model.predict(frames).deconvolved.data.shape
    (2, 80, 96)
    """
    progress, preview = options.pop("progress", None), options.pop("preview", False)
    settings = _settings(config, psf, options)
    given = list(images) if isinstance(images, Sequence) and not isinstance(images, str) else [images]  # arrays and images are no sequences
    with shown(progress, preview=preview):
        learnt = [recorded(image, settings) for image in given]
        prepared = prepare_channels(learnt, settings, optics, psf if isinstance(psf, Psf) else None)
        plan(*announced(prepared, "training"))
        return _trained(prepared, checkpoint, resume=resume, callback=callback)


def _trained(prepared: Prepared | PreparedChannels, checkpoint: str | Path | None = None, **options: Any) -> Model:
    model = train_prepared(prepared, checkpoint=checkpoint, **options)
    if checkpoint is not None:
        forget(checkpoint)
    return cast(Model, model)


def _settings(config: Config | None, psf: Psf | str | Path | None, options: Mapping[str, Any]) -> Config:
    """The settings: a whole configuration, or options by name, to which the file of a PSF belongs."""
    options = {**options, "psf": psf} if isinstance(psf, str | Path) else options
    if config is not None and options:
        raise ConfigError(f"a whole config and the option '{next(iter(options))}': one of them decides; put it into the config")
    return config or resolve(as_settings(options))


def announced(prepared: Prepared | PreparedChannels, *stages: Literal["training", "restoring", "checking"]) -> list[Task]:
    """The tasks of the stages that follow a preparation, for `zsdeconv.progress.tasks.plan`; none where nobody watches."""
    if not is_watched():
        return []
    channels = prepared.channels if isinstance(prepared, PreparedChannels) else {"": prepared}
    made = {"training": _training_tasks, "restoring": _restoring_tasks, "checking": _checking_tasks}
    tasks = [(name, made[stage](each)) for stage in stages for name, each in channels.items()]
    return [task for name, each in tasks for task in ([Task(name, names=True, parts=each)] if name else each)]


def _training_tasks(prepared: Prepared) -> list[Task]:
    frames, seen = prepared.frames, [_seen(prepared, frame) for frame in prepared.frames]
    recorded = min(sum(frame.size for frame in frames), MAX_PIXELS)
    phases = announced_phases(prepared.config, recorded)
    return [Task(TRAINING_WORDS, parts=training_tasks(prepared.config, phases, seen))]


def _restoring_tasks(prepared: Prepared) -> list[Task]:
    config, network = prepared.config, _untrained(prepared)
    passes = max(passes_of(config), 1)
    factors = prepared.modality.denoised_factors(config.scale)
    work = pass_work(as_network(network), prepared.frames[0].shape, factors, Tiling(config.prediction.tile, config.prediction.overlap))
    return [Task("preparing", 1.0), Task("restoring", len(prepared.frames) * passes * work, "network")]


def _checking_tasks(prepared: Prepared) -> list[Task]:
    work = examined_work(_untrained(prepared), _seen(prepared, prepared.frames[0]))
    return [Task(CHECKING_WORDS, parts=check_tasks(prepared.acquisition.checks, work))]


def _untrained(prepared: Prepared) -> nn.Module:
    """The network that will be trained, for its halo."""
    acquisition = prepared.acquisition
    operator, scale, shift_px = acquisition.forward_operator, acquisition.scale, acquisition.shift_px
    return make_network(prepared.config, prepared.modality.rank, operator, scale, shift_px)


def _seen(prepared: Prepared, frame: np.ndarray) -> list[int]:
    """Size of a frame as the network sees it."""
    factors = prepared.modality.denoised_factors(prepared.config.scale)
    return [n * f for n, f in zip(frame.shape[-len(factors) :], factors, strict=True)]


def train_prepared(
    prepared: Prepared | PreparedChannels,
    *,
    checkpoint: str | Path | None = None,
    resume: bool = False,
    callback: Callable[[Event], None] = lambda event: None,
) -> Model | ChannelModels:
    """Train on data that `prepare` has checked and completed.

    A `checkpoint` stays, complete, until the caller has stored the model and removes it: with `resume` it becomes the same model without
    a training.
    """
    if isinstance(prepared, PreparedChannels):
        return _train_channels(prepared, checkpoint, resume, callback)
    with task(TRAINING_WORDS):
        return _train_single(prepared, checkpoint, resume, callback)


def _train_single(prepared: Prepared, checkpoint: str | Path | None, resume: bool, callback: Callable[[Event], None]) -> Model:
    config, modality, acquisition = prepared.config, prepared.modality, prepared.acquisition
    device = choose_device(config.device)
    regions = training_regions(prepared.frames, config.seed, rank=modality.rank)
    measurements = [acquisition.measure(pixels, device, start) for pixels, start in regions]
    network = make_network(config, modality.rank, acquisition.forward_operator, acquisition.scale, acquisition.shift_px)

    phases = training_phases(config, acquisition, measurements)
    _expect(phases, config, acquisition, measurements, network.to(device))
    key = {"modality": modality.name, "rank": modality.rank, "config": config.model_dump(mode="json"), "data": prepared.fingerprint()}
    saved = Checkpoint(None if checkpoint is None else Path(checkpoint), key)
    preview = Previewer(measurements) if wants_preview() else None
    trainer = Trainer(
        network, phases, config.training, seed=config.seed, device=device, checkpoint=saved, callback=callback, preview=preview
    )
    history = trainer.fit(resume=resume)

    correction = measure_intensity_correction(
        network.eval(),
        acquisition,
        measurements,
        config.pairs.prediction_alpha,
        seed=config.seed,
        offset_sigma=prepared.calibration.offset_sigma / acquisition.unit.scale,
    )
    provenance = {"version": __version__, "calibration": prepared.calibration.to_dict(), **prepared.summary()}
    provenance["offset_correction_adu"] = round(correction.dark_level * acquisition.unit.scale, 4)
    known = KnownCamera.of(prepared.calibration)
    return Model(
        network,
        modality,
        config,
        acquisition,
        prepared.spacing_um,
        correction,
        known.offset_sigma,
        history=history,
        provenance=provenance,
        gain_sigma=known.gain_sigma,
        law_misfits=known.misfits,
    )


def _expect(
    phases: Sequence[Phase], config: Config, acquisition: Acquisition, measurements: Sequence[Measurement], network: nn.Module
) -> None:
    """Tell who watches how long it will take on this machine."""
    if not is_watched():
        return
    shapes = [tuple(measurement.y.shape) for measurement in measurements]
    smallest = [min(sizes) for sizes in zip(*shapes, strict=True)]
    effort = measured_effort(network, acquisition, config.training, smallest)
    named = [(objective.name, share, objective.most_steps) for objective, share in phases]
    plan(*training_tasks(config, named, shapes, effort))


def _train_channels(
    prepared: PreparedChannels, checkpoint: str | Path | None, resume: bool, callback: Callable[[Event], None]
) -> ChannelModels:
    """A model for each channel, one after the other, each with a checkpoint of its own."""
    models: dict[str, Model] = {}
    count = len(prepared.channels)
    for number, (name, channel) in enumerate(prepared.channels.items()):
        own = None if checkpoint is None else checkpoint_of_channel(checkpoint, number)
        with task(name, names=True):
            model = train_prepared(
                channel,
                checkpoint=own,
                resume=resume,
                callback=lambda event, n=number, name=name: callback({**event, "done": (n + event["done"]) / count, "channel": name}),
            )
        assert isinstance(model, Model)
        models[name] = model
    return ChannelModels(models, prepared.config, provenance={"version": __version__, **provenance_of_channels(models)})
