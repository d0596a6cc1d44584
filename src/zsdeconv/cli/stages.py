"""The stages of a restoration as a user sees them: prepare, train, predict, report, each with its progress and its summary."""

from __future__ import annotations

import os
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from zsdeconv.cli.inputs import Source
from zsdeconv.cli.progress import Voice
from zsdeconv.cli.wording import with_options
from zsdeconv.errors import DataWarning
from zsdeconv.findings import rounded

if TYPE_CHECKING:
    from zsdeconv.channels import ChannelModels, PreparedChannels, RestoredChannels
    from zsdeconv.config import Config
    from zsdeconv.image import Image
    from zsdeconv.model import Model, Restored
    from zsdeconv.prepare import Prepared
    from zsdeconv.report.page.report import ChannelReport, Report


def prepared_from(images: Sequence[Image], settings: Config, sources: Sequence[Source], voice: Voice) -> Prepared | PreparedChannels:
    """Everything that is settled before the first step, shown to the user."""
    from zsdeconv.channels import PreparedChannels, prepare_channels
    from zsdeconv.prediction.device import choose_device

    device = choose_device(settings.device)
    prepared = prepare_channels(images, settings)
    voice.line(voice.name)
    voice.rows(("movie", source.words) for source in sources if source.movie)
    if isinstance(prepared, PreparedChannels):
        for name, channel in prepared.channels.items():
            voice.rows([("channel", name), *_summary_rows(channel, device.type)])
    else:
        voice.rows(_summary_rows(prepared, device.type))
    return prepared


def trained(prepared: Prepared | PreparedChannels, checkpoint: Path, resume: bool, voice: Voice) -> Model | ChannelModels:
    """The model that a training makes; the checkpoint stays, complete, until its results are stored."""
    import logging

    import lightning_fabric

    from zsdeconv.pipeline import train_prepared

    logging.getLogger(lightning_fabric.__name__).setLevel(logging.ERROR)  # it announces its choices on standard error
    if resume and not voice.place and not checkpoint.exists():
        warnings.warn(f"{voice.name}: no checkpoint {checkpoint} to resume from; the training starts anew", DataWarning, stacklevel=2)
    return train_prepared(prepared, checkpoint=checkpoint, resume=resume)


def predicted(model: Model | ChannelModels, image: Image, asked: Mapping[str, Any], voice: Voice) -> Restored | RestoredChannels:
    """The restored image; `asked` are arguments of the prediction."""
    restored = model.predict(image, **asked)
    _tell_of_stripes(restored, voice)
    return restored


def reported(restored: Restored | RestoredChannels, voice: Voice, *, trained_on_it: bool = True) -> Report | ChannelReport:
    """The report, and what in it needs attention shown to the user; without a judgement of the training where that saw other images."""
    report = restored.report(voice.name)
    report = report if trained_on_it else _without_training(report)
    if not voice.silent:
        from zsdeconv.report.page.report import ChannelReport
        from zsdeconv.report.page.summary import count_words

        parts = report.channels if isinstance(report, ChannelReport) else {"": report}
        findings = {name: [finding for section in part.sections for finding in section.findings] for name, part in parts.items()}
        voice.rows([("trust", f"{count_words([f for each in findings.values() for f in each])}; all findings are in the report")])
        for name, each in findings.items():
            lead = f"{name}: " if name else ""
            voice.rows((f.level, f"{lead}{with_options(f.message)}") for f in each if f.level in ("warn", "fail"))
    return report


def _without_training(report: Any) -> Any:
    """A report whose section on the training says that it was another image's. All others compare the result with its own data."""
    from zsdeconv.findings import Finding
    from zsdeconv.report.checks import convergence
    from zsdeconv.report.page.report import ChannelReport

    if isinstance(report, ChannelReport):
        return replace(report, channels={name: _without_training(part) for name, part in report.channels.items()})
    why = "This check was not made: the model was trained on another image. The report of its training has it."
    key, finding = convergence.KEY, Finding.not_checked(convergence.KEY, why)
    sections = [replace(each, findings=[finding], numbers={}, figures=[]) if each.key == key else each for each in report.sections]
    return replace(report, sections=sections)


def training_facts(model: Model | ChannelModels, seconds: float, voice: Voice) -> dict[str, Any]:
    """Facts on a finished training, shown to the user."""
    last: dict[tuple[str, str], int] = {}
    for event in model.history:
        phase = event.get("channel", ""), event["phase"]
        last[phase] = max(last.get(phase, 0), event["step"])
    bounded = any(event.get("bounded") for event in model.history)
    steps, why = sum(last.values()), " (as many for stage 1 as an image of this size allows)" if bounded else ""
    moved = model.provenance.get("offset_correction_adu") or 0.0
    sign = "+" if moved > 0 else ""
    beyond = f"{sign}{rounded(moved)} ADU from the offset above: what the darkest places hold beyond the light around them"
    zero = [("zero", beyond)] if moved else []
    voice.rows([("trained", f"{steps} steps{why}, {seconds:g} s in all"), *zero])
    return {"steps": steps, "seconds": seconds}


def provenance_of(model: Model | ChannelModels, source: Source, image: Image, folder: Path) -> dict[str, Any]:
    """What a result in `folder` says about how it came about: of its input the name, the way to it, and a fingerprint of its pixels."""
    from zsdeconv import results

    part = {} if source.crop is None else {"crop": source.crop}
    scene = {} if source.scene is None else {"scene": source.scene}
    return results.provenance_of(model, source.name, {**_way_to(source, folder), "pixels": image.fingerprint(), **part, **scene})


def _way_to(source: Source, folder: Path) -> dict[str, Any]:
    """The path of an input, or those of a movie's folder or frames, as seen from a folder; whole ones where it lies on another drive."""

    def seen(path: Path) -> str:
        try:
            return Path(os.path.relpath(path.resolve(), folder.resolve())).as_posix()
        except ValueError:
            return path.resolve().as_posix()

    if not source.movie:
        return {"path": seen(source.path)}
    return {"movie": [seen(source.path)] if source.path.is_dir() else [seen(path) for path in source.files]}


def _tell_of_stripes(restored: Restored | RestoredChannels, voice: Voice) -> None:
    note = restored.deconvolved.metadata.get("stripes")
    if note:
        took = f"{100 * note['taken_share_of_sd']:.1f} % of the image's standard deviation"
        voice.rows([("stripes", f"damped along {note['along']}: {took}, and with them real lines as long and thin")])


def _summary_rows(prepared: Prepared, device: str) -> list[tuple[str, str]]:
    """What was found, and where each number came from."""
    facts, settings = prepared.summary(), prepared.config
    camera, sources = facts["camera"], facts["sources"]
    sizes = " x ".join(map(str, facts["shape"]))
    pixels = " x ".join(f"{um:g}" for um in facts["spacing_um"].values())
    frames = f"{facts['frames']} frames of " if facts["frames"] > 1 else ""
    optics = prepared.acquisition.optics
    assumed = ", index assumed" if optics is not None and optics.immersion_assumed else ""
    budget = f"{settings.training.steps} steps" if settings.training.minutes is None else f"{settings.training.minutes:g} minutes"
    error = f" +- {rounded(prepared.calibration.offset_sigma)}" if prepared.calibration.offset_sigma else ""
    values = f"offset {camera['offset_adu']:.1f}{error} ADU, gain {camera['gain_adu_per_e']:.3g} ADU per photo-electron"
    values += f", read noise {rounded(camera['read_noise_adu'])} ADU"
    return [
        ("image", f"{frames}{sizes} pixels of {pixels} um ({sources['pixel_um']})"),
        ("psf", f"{facts['psf']['source']} ({sources['psf']}{assumed})"),
        ("detector", f"{prepared.calibration.camera.words} ({sources['detector']})"),
        ("camera", f"{values} ({sources['camera']})"),
        *([("scan", sources["scan"])] if "scan" in sources else []),
        *([("part", f"{settings.input.crop}, pixels of the whole image")] if settings.input.crop else []),
        *([("left out", sources["left_out"])] if "left_out" in sources else []),
        *([("odd frames", sources["odd_frames"])] if "odd_frames" in sources else []),
        *prepared.acquisition.describe(),
        ("pairs", sources["pairs"]),
        ("training", f"{facts['modality']}, preset {settings.preset}, {budget}, scale {settings.scale}, seed {settings.seed}, on {device}"),
    ]
