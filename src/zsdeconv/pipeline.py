"""The story of a restoration: calibrate the camera, make pairs, train, set the photometry, predict."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

from zsdeconv._version import __version__
from zsdeconv.camera.compare import KnownCamera
from zsdeconv.channels import (
    ChannelModels,
    PreparedChannels,
    checkpoint_of_channel,
    prepare_channels,
    provenance_of_channels,
)
from zsdeconv.config import Config, as_settings, resolve
from zsdeconv.data.regions import training_regions
from zsdeconv.errors import ConfigError
from zsdeconv.image import Image, ImageLike, cropped
from zsdeconv.io.model_file import forget
from zsdeconv.modality import recorded
from zsdeconv.model import Model, Restored
from zsdeconv.physics.optics import Optics
from zsdeconv.physics.psf import Psf
from zsdeconv.prediction.device import choose_device
from zsdeconv.prediction.photometry import measure_intensity_correction
from zsdeconv.prepare import Prepared
from zsdeconv.training.networks import make_network, training_phases
from zsdeconv.training.trainer import Checkpoint, Event, Trainer

TRAINING_ARGUMENTS = ("checkpoint", "resume", "callback")
"""Arguments of a training that are no settings."""


def restore(
    image: ImageLike,
    optics: Optics | None = None,
    *,
    psf: Psf | str | Path | None = None,
    config: Config | None = None,
    **options: Any,
) -> Restored:
    """Train a network on the image itself, then restore it: the main job. Of an image with several channels, each has its own network, and
    the result is a `zsdeconv.channels.RestoredChannels` with the same parts.

    `image` is an `Image`, the path of a file, or an array (`t y x` or `y x`, or with named dimensions); the other arguments are those of
    `train`. The result holds the denoised image on the raw grid and the deconvolved one on the fine grid, in ADU above the camera offset,
    and the model.

    >>> import numpy as np
    >>> counts = np.random.default_rng(0).poisson(np.linspace(9, 200, 48), (40, 48))
    >>> image = Image(counts, "YX", {"Y": 0.065, "X": 0.065})
    >>> restore(image, Optics(na=1.3, wavelength_nm=525), steps=2).denoised.data.shape
    (40, 48)
    """
    training = {name: options.pop(name) for name in TRAINING_ARGUMENTS if name in options}
    settings = _settings(config, psf, options)
    image = recorded(image, settings)
    model = train([image], optics, psf=psf if isinstance(psf, Psf) else None, config=settings, **training)
    if isinstance(image, Image):  # a pixel size that was given wins over that of the image, here as in the training
        given = dict(zip(model.modality.spatial_axes, model.spacing_um, strict=True))
        image = replace(image, spacing_um={**image.spacing_um, **given})
    elif model.config.input.crop is not None:
        image = model.modality.as_image(image, model.config.input.axes)
    image = cropped(image, model.config.input.crop) if isinstance(image, Image) else image
    return replace(replace(model, camera_from="model").predict(image), model=model)


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

    Raises `UserError` for whatever makes the training impossible, with what to do about it.

    >>> import numpy as np
    >>> frames = np.random.default_rng(0).poisson(np.linspace(9, 200, 48), (2, 40, 48))
    >>> model = train(frames, Optics(na=1.3, wavelength_nm=525), pixel_um=0.065, steps=2)
    >>> model.predict(frames).deconvolved.data.shape
    (2, 80, 96)
    """
    settings = _settings(config, psf, options)
    several = isinstance(images, Sequence) and not isinstance(images, str)  # arrays and images are no sequences
    learnt = [recorded(image, settings) for image in (images if several else [images])]
    prepared = prepare_channels(learnt, settings, optics, psf if isinstance(psf, Psf) else None)
    model = train_prepared(prepared, checkpoint=checkpoint, resume=resume, callback=callback)
    if checkpoint is not None:
        forget(checkpoint)
    return cast(Model, model)


def _settings(config: Config | None, psf: Psf | str | Path | None, options: Mapping[str, Any]) -> Config:
    """The settings: a whole configuration, or options by name, to which the file of a PSF belongs."""
    options = {**options, "psf": psf} if isinstance(psf, str | Path) else options
    if config is not None and options:
        raise ConfigError(f"a whole config and the option '{next(iter(options))}': one of them decides; put it into the config")
    return config or resolve(as_settings(options))


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
    config, modality, acquisition = prepared.config, prepared.modality, prepared.acquisition
    device = choose_device(config.device)
    regions = training_regions(prepared.frames, config.seed, rank=modality.rank)
    measurements = [acquisition.measure(pixels, device, start) for pixels, start in regions]
    network = make_network(config, modality.rank, acquisition.forward_operator, acquisition.scale)

    phases = training_phases(config, acquisition, measurements)
    key = {"modality": modality.name, "rank": modality.rank, "config": config.model_dump(mode="json"), "data": prepared.fingerprint()}
    saved = Checkpoint(None if checkpoint is None else Path(checkpoint), key)
    trainer = Trainer(network, phases, config.training, seed=config.seed, device=device, checkpoint=saved, callback=callback)
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


def _train_channels(
    prepared: PreparedChannels, checkpoint: str | Path | None, resume: bool, callback: Callable[[Event], None]
) -> ChannelModels:
    """A model for each channel, one after the other, each with a checkpoint of its own."""
    models: dict[str, Model] = {}
    count = len(prepared.channels)
    for number, (name, channel) in enumerate(prepared.channels.items()):
        own = None if checkpoint is None else checkpoint_of_channel(checkpoint, number)
        model = train_prepared(
            channel,
            checkpoint=own,
            resume=resume,
            callback=lambda event, n=number, name=name: callback({**event, "done": (n + event["done"]) / count, "channel": name}),
        )
        assert isinstance(model, Model)
        models[name] = model
    return ChannelModels(models, prepared.config, provenance={"version": __version__, **provenance_of_channels(models)})
