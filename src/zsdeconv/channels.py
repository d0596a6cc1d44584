"""Images of several channels. Each has its own light, its own noise and PSF, and a network of its own; results, model file and report hold
all of them.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from zsdeconv.camera.maps import CameraMaps
from zsdeconv.config import Config, resolve
from zsdeconv.errors import ConfigError, DataWarning, ImageError, UserError
from zsdeconv.image import PER_CHANNEL, Image, ImageLike, channel_names, channel_of, labels_of, merged_channels
from zsdeconv.modality import Modality
from zsdeconv.model import Model, Restored
from zsdeconv.model_io import read_models, write_channels
from zsdeconv.physics.optics import Optics
from zsdeconv.physics.psf import Psf
from zsdeconv.prepare import Prepared, prepare
from zsdeconv.progress.shown import ProgressOption, shown
from zsdeconv.progress.tasks import task
from zsdeconv.results import Result

if TYPE_CHECKING:
    from zsdeconv.report.page.report import ChannelReport

OF_LIGHT = ("wavelength_nm", "excitation_nm")
"""What the optics of one channel say of its light alone."""
LISTED = ("wavelength_nm", "excitation_nm", "psf", "otf")
"""Settings of the optics that may be a list with an entry for each channel."""


@dataclass(frozen=True, eq=False)
class ChannelModels:
    """Models of several channels by their names, which restore images with these channels, in this order.

    `config` holds the settings of all channels.
    """

    models: Mapping[str, Model]
    config: Config
    camera_from: str = "auto"
    provenance: Mapping[str, Any] = field(default_factory=dict)

    def __repr__(self) -> str:
        return f"ChannelModels({dict(self.models)})"

    @property
    def modality(self) -> Modality:
        """The row of all channels."""
        return self._first.modality

    @property
    def acquisition(self) -> Any:
        """How the first channel is recorded."""
        return self._first.acquisition

    @property
    def spacing_um(self) -> tuple[float, ...]:
        """Pixel size of the raw grid."""
        return self._first.spacing_um

    @property
    def history(self) -> list[dict[str, Any]]:
        """The events of all trainings, each with its channel."""
        return [{"channel": name, **event} for name, model in self.models.items() for event in model.history]

    def predict(self, image: ImageLike, **options: Any) -> RestoredChannels:
        """Restore each channel with its model. `options` are those of `Model.predict`, `progress` among them.

        Raises `ImageError` for an image with another number of channels.
        """
        image = self._image(image)
        parts = {}
        with shown(options.pop("progress", None)):
            for (name, model), channel in zip(self.models.items(), self._split(image), strict=True):
                own = replace(model, camera_from=self.camera_from)
                with _naming(name), task(name, names=True):
                    parts[name] = own.predict(channel, **options)
        return RestoredChannels(parts, self, image)

    def fitting(self, image: ImageLike) -> list[Image]:
        """The channels as their models take them. Raises `ImageError` for an image that they were not made for."""
        return [model.fitting(channel) for model, channel in zip(self.models.values(), self._split(self._image(image)), strict=True)]

    def _image(self, image: ImageLike) -> Image:
        """What a user gives as an image; an array without names of dimensions has its channels in front."""
        image = self.acquisition.recorded_next(image, self.config)
        if isinstance(image, Image) or labels_of(image) is not None:
            return self.modality.as_image(image)
        return Image(image, f"C{self.modality.recorded_axes}")

    def _split(self, image: Image) -> list[Image]:
        images = [channel for _, channel in chosen_channels(image, self.config)]
        if len(images) != len(self.models):
            names = ", ".join(self.models)
            raise ImageError(f"{len(images)} channels, the model has {len(self.models)} ({names}); give `channel`, or train another model")
        return images

    def with_camera(self, maps: CameraMaps) -> ChannelModels:
        """The models with other camera maps."""
        return replace(self, models={name: model.with_camera(maps) for name, model in self.models.items()})

    def save(self, path: str | Path, *, overwrite: bool = False) -> Path:
        """Write all models to one `.zsd` file, atomically. Raises `OutputError` when that is not possible."""
        own = {key: value for key, value in self.provenance.items() if key != "channels"}  # each model holds its own
        shared = {"config": self.config.model_dump(mode="json"), "provenance": own}
        return write_channels({name: model.parts() for name, model in self.models.items()}, shared, path, overwrite=overwrite)

    @property
    def _first(self) -> Model:
        return next(iter(self.models.values()))


def _of_channel(part: Restored, key: str) -> Any:
    """What is known of a channel; its emission is that it was restored with."""
    lens = part.model.acquisition.optics if isinstance(part.model, Model) else None
    if key == "emission_nm" and lens is not None:
        return lens.wavelength_nm
    return next(iter(part.raw.metadata.get(key, ())), None)


@dataclass(frozen=True, eq=False)
class RestoredChannels(Result):
    """Results of several channels: `parts` by their names; `denoised`, `deconvolved` and the others hold all of them along C."""

    parts: Mapping[str, Restored]
    model: ChannelModels
    raw: Image

    def __repr__(self) -> str:
        return f"RestoredChannels({dict(self.parts)})"

    @cached_property
    def _merged(self) -> dict[str, Image]:
        names = list(self.parts)
        kinds = next(iter(self.parts.values())).images()
        metadata = {key: value for key, value in self.raw.metadata.items() if key not in (*PER_CHANNEL, "scan")} | {"channels": names}
        for key in PER_CHANNEL[1:]:
            values = [_of_channel(part, key) for part in self.parts.values()]
            if any(value is not None for value in values):
                metadata[key] = values

        def merged(kind: str) -> Image:
            images = [part.images()[kind] for part in self.parts.values()]
            own = {key: value for key, value in images[0].metadata.items() if key not in {*PER_CHANNEL, "optics"}}
            lens = {key: value for key, value in images[0].metadata.get("optics", {}).items() if key not in OF_LIGHT}
            return merged_channels(images, {**own, **metadata, "optics": {**self.raw.metadata.get("optics", {}), **lens}})

        return {kind: merged(kind) for kind in kinds}

    @property
    def denoised(self) -> Image:
        """The denoised image of all channels."""
        return self._merged["denoised"]

    @property
    def deconvolved(self) -> Image:
        """The deconvolved image of all channels."""
        return self._merged["deconvolved"]

    @property
    def uncertainty(self) -> Image | None:
        """The standard error of all channels; None with a single pass."""
        return self._merged.get("uncertainty")

    def images(self) -> dict[str, Image]:
        """The images by name, as the command line writes them."""
        return dict(self._merged)

    def as_recorded(self) -> RestoredChannels:
        """In the coordinates of the camera, as `zsdeconv.model.Restored.as_recorded`."""
        return replace(self, parts={name: part.as_recorded() for name, part in self.parts.items()})

    def report(self, title: str = "image", *, progress: ProgressOption = None) -> ChannelReport:
        """One page with a tab for each channel; `progress` as in `Model.predict`."""
        from zsdeconv.report.page.report import ChannelReport

        reports = {}
        with shown(progress):
            for name, part in self.parts.items():
                with task(name, names=True):
                    reports[name] = part.report(f"{title}, {name}")
        return ChannelReport(title, reports)


@dataclass(frozen=True, eq=False)
class PreparedChannels:
    """What is settled before the training of each channel, by their names; `config` holds the settings of all."""

    channels: Mapping[str, Prepared]
    config: Config
    sources: dict[str, str] = field(default_factory=dict)

    @property
    def modality(self) -> Modality:
        """The row of all channels."""
        return next(iter(self.channels.values())).modality

    def summary(self) -> dict[str, Any]:
        """What the user should know before the trainings, by channel."""
        return {"channels": {name: prepared.summary() for name, prepared in self.channels.items()}}


def prepare_channels(
    images: Sequence[Image | Any], config: Config, optics: Optics | None = None, psf: Psf | None = None
) -> Prepared | PreparedChannels:
    """As `zsdeconv.prepare.prepare`, for each channel of the images where they have several.

    Raises
    ------
    ConfigError
        For lists of another length than there are channels, and for lists or `channel` where an image has one channel.
    ImageError
        For channels that are not there, and for images with different channels.
    """
    if not has_channels(images, config):
        refuse_channel_settings(config)
        with task("preparing"):
            return prepare(images, config, optics, psf)
    split = [chosen_channels(image, config) for image in images]
    names = [name for name, _ in split[0]]
    if any(len(each) != len(names) for each in split):
        counts = ", ".join(str(len(each)) for each in split)
        raise ImageError(f"images of {counts} channels: one model needs the same; restore them separately")
    if len(names) > 1 and (optics is not None or psf is not None):
        raise ConfigError(f"{len(names)} channels and one optics or psf: each has its own light; give wavelength_nm or psf as a list")
    settings = config_of_channels(config, len(names))
    prepared = {}
    for number, (name, own) in enumerate(zip(names, settings, strict=True)):
        with _naming(name), task(name, names=True), task("preparing"):
            prepared[name] = prepare([each[number][1] for each in split], own, optics, psf)
    return PreparedChannels(prepared, config)


def has_channels(images: Sequence[Image | Any], config: Config) -> bool:
    """Whether the images have several channels, or one is chosen."""
    counts = [image.sizes.get("C", 0) for image in images if isinstance(image, Image)]
    return any(count > 1 or (count == 1 and config.input.channel) for count in counts)


def refuse_channel_settings(config: Config) -> None:
    """Raise `ConfigError` for settings of several channels, where an image has one."""
    for name in LISTED:
        config.optics.one(name)
    if config.input.channel and config.input.channel != ("1",):
        raise ConfigError(f"`channel` {','.join(config.input.channel)}: the image has 1 channel; leave it out, or give `axes` with C")


def config_of_channels(config: Config, count: int) -> list[Config]:
    """The settings of each of the chosen channels: their entries of the lists.

    Raises `ConfigError` for lists of another length.
    """
    result = []
    for number in range(count):
        optics = dict(config.given.get("optics", {}))
        for name in LISTED:
            value = getattr(config.optics, name)
            if value is None:
                continue
            values = value if isinstance(value, tuple) else (value,)
            if len(values) != count:
                word = "entry" if len(values) == 1 else "entries"
                given = f"`{name}` has {len(values)} {word}, {count} {'channel is' if count == 1 else 'channels are'} restored"
                raise ConfigError(f"{given}; give one for each, or choose `channel`")
            optics[name] = values[number]
        own = {key: value for key, value in config.given.get("input", {}).items() if key != "channel"}
        result.append(resolve({**config.given, "optics": optics, "input": own}))
    return result


def checkpoint_of_channel(checkpoint: str | Path, number: int) -> Path:
    """The file from which the interrupted training of a channel, counted from 0, continues; of the first it is `checkpoint` itself.

    >>> checkpoint_of_channel(".cell_checkpoint.zsd", 2).name
    '.cell_checkpoint_channel3.zsd'
    """
    path = Path(checkpoint)
    return path if number == 0 else path.with_name(f"{path.stem}_channel{number + 1}{path.suffix}")


def load(path: str | Path) -> Model:
    """The model in a `.zsd` file, on the CPU, or those of its channels as `ChannelModels`; nothing in the file can run.

    Raises `ModelError` for damaged files and for models of another modality or a newer version.
    """
    found, config, provenance = read_models(path)
    models = {name: Model.of(parts) for name, parts in found.items()}
    if config is None:
        return models[""]
    return cast(Model, ChannelModels(models, config, provenance=provenance | provenance_of_channels(models)))


def provenance_of_channels(models: Mapping[str, Model]) -> dict[str, Any]:
    """How the models of the channels came about, by their names."""
    return {"channels": {name: dict(model.provenance) for name, model in models.items()}}


def of_first_channel(config: Config) -> Config:
    """The settings of the first channel: the first entries of lists."""
    first = {name: values[0] for name in LISTED if isinstance(values := getattr(config.optics, name), tuple)}
    optics, own = config.optics.model_copy(update=first), config.input.model_copy(update={"channel": None})
    return config.model_copy(update={"optics": optics, "input": own})


@contextmanager
def _naming(channel: str) -> Iterator[None]:
    """Put the name of a channel in front of what is told and refused of it."""
    with warnings.catch_warnings(record=True) as met:
        warnings.simplefilter("always", DataWarning)
        try:
            yield
            fault = None
        except UserError as error:
            fault = error
    for each in met:
        lead = f"{channel}: " if issubclass(each.category, DataWarning) else ""
        warnings.warn(f"{lead}{each.message}", each.category, stacklevel=4)
    if fault is not None:
        raise type(fault)(f"{channel}: {fault}") from fault


def chosen_channels(image: Image, config: Config) -> list[tuple[str, Image]]:
    """The channels to restore with their names, in the order in which they are asked for."""
    if "C" not in image.axes:
        return [("", image)]
    names = channel_names(image)
    wanted = [_number(each, names) for each in config.input.channel or ()] or list(range(len(names)))
    if len(set(wanted)) < len(wanted):
        raise ConfigError(f"`channel` {','.join(config.input.channel or ())}: a channel is named twice; name each once")
    return [(names[number], channel_of(image, number)) for number in wanted]


def _number(wanted: str, names: Sequence[str]) -> int:
    """Which channel is meant by a name or a number from 1. Raises `ImageError` for one that is not there."""
    if wanted in names:
        return names.index(wanted)
    if wanted.isdecimal() and 1 <= int(wanted) <= len(names):
        return int(wanted) - 1
    there = ", ".join(f"{number} {name!r}" for number, name in enumerate(names, 1))
    raise ImageError(f"`channel` {wanted}: the image has {len(names)} channels ({there}); give one of these, by number or name")
