"""`--resume`: what is done, what is continued, and that the settings are those with which it was begun."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from zsdeconv.errors import ConfigError

if TYPE_CHECKING:
    from zsdeconv.channels import ChannelModels
    from zsdeconv.config import Config
    from zsdeconv.image import Image
    from zsdeconv.model import Model

SCAN = ("scan_angle_deg", "scan_step_um", "scan_reverse")
"""Settings of a scan that a file may state."""
_ADVICE = "repeat its options; or leave out --resume and give --overwrite to start anew"


def refuse_other_settings(model: Path, checkpoint: Path, settings: Config) -> None:
    """Raise `ConfigError` when the model that is there, or else the training that was interrupted, had other settings that matter.

    The first setting that differs is named with both values.
    """
    from zsdeconv.channels import of_first_channel
    from zsdeconv.config.changes import NOT_OF_RESULT, NOT_OF_TRAINING
    from zsdeconv.io.model_file import read_header

    if checkpoint.exists():
        found, without = checkpoint, [path.removeprefix("config.") for path in NOT_OF_TRAINING]
    elif model.exists():
        found, without = model, list(NOT_OF_RESULT)
    else:
        return
    settings = of_first_channel(settings) if found == checkpoint else settings
    if change := _change(read_header(found)[0], settings, without):
        raise ConfigError(f"{found}: made with other settings, {change}; {_ADVICE}")


def refuse_other_pixels(model: Path, name: str, image: Image) -> None:
    """Raise `ConfigError` when a model was not trained on this image, as far as its file says what it was trained on."""
    from zsdeconv.io.model_file import read_header

    known = trained_on(read_header(model)[0])
    if known and image.fingerprint() not in known:
        raise ConfigError(f"{name}: its pixels are not those that {model.name} was trained on; {_ADVICE}")


def forget(checkpoint: Path) -> None:
    """Remove what an interrupted run continues from, now that everything is under its name."""
    from zsdeconv.io.model_file import forget

    forget(checkpoint)


def trained_on(header: Mapping[str, Any]) -> set[str]:
    """Fingerprints of the images that a model was trained on; empty for models that do not say."""
    provenance = header.get("provenance")
    inputs = provenance.get("inputs") if isinstance(provenance, Mapping) else None
    return {each["pixels"] for each in inputs if isinstance(each, Mapping) and "pixels" in each} if isinstance(inputs, list) else set()


def noting_inputs(model: Model | ChannelModels, images: Iterable[tuple[str, Image]]) -> Model | ChannelModels:
    """The model with the names and fingerprints of the images that it was trained on in its provenance."""
    from dataclasses import replace

    noted = [
        {"name": name, "pixels": image.fingerprint(), **({"crop": image.metadata["crop"]} if "crop" in image.metadata else {})}
        for name, image in images
    ]
    return replace(model, provenance={**model.provenance, "inputs": noted})


def _change(header: Mapping[str, Any], settings: Config, without: Collection[str]) -> str:
    """The first setting that differs from those in the header of a model or a checkpoint."""
    from zsdeconv.config import with_new_names
    from zsdeconv.config.changes import first_change
    from zsdeconv.modality import MODALITIES, settled

    if header.get("modality") not in MODALITIES or not isinstance(header.get("config"), Mapping):
        return ""
    now = settled(settings, header["modality"])
    chosen_later = ["pairs.kind"] if now.pairs.kind == "auto" else []
    chosen_later += [f"input.{name}" for name in SCAN if not getattr(now.input, name)]  # as the file states
    return first_change(with_new_names(header["config"]), now.model_dump(mode="json"), without=[*without, *chosen_later])
