"""`run`, `train` and `predict`: from options to the pipeline, and from its results to files."""

from __future__ import annotations

import time
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from zsdeconv.cli.console import show, show_json, show_rows
from zsdeconv.cli.options import Inputs, Settings, Task, argument, chosen, configuration, option, takes
from zsdeconv.cli.progress import progress, words
from zsdeconv.cli.results import KINDS, Results, checkpoint_of, refuse_existing, results_of, write_images, write_run
from zsdeconv.cli.wording import with_options
from zsdeconv.config import SETTINGS
from zsdeconv.errors import ConfigError, DataWarning

if TYPE_CHECKING:
    from zsdeconv.config import Config
    from zsdeconv.image import Image
    from zsdeconv.model import Model, Restored
    from zsdeconv.prepare import Prepared
    from zsdeconv.report.page.report import Report


@dataclass(frozen=True, kw_only=True)
class TrainingTask(Task):
    """Options of a training that do not change its result."""

    config: Annotated[Path | None, option("settings from a YAML file; options win", metavar="FILE", group="Input")] = None
    dry_run: Annotated[bool, option("check everything and show the settings, train nothing")] = False
    resume: Annotated[bool, option("continue an interrupted training")] = False


@dataclass(frozen=True, kw_only=True)
class RunTask(TrainingTask):
    """Where the results go, and how."""

    output: Annotated[Path, option("folder for the results, made if missing", name=("--output", "-o"), metavar="DIR")]


@dataclass(frozen=True, kw_only=True)
class TrainTask(TrainingTask):
    """Where the model goes, and how."""

    output: Annotated[Path, option("model file to write (.zsd)", name=("--output", "-o"), metavar="MODEL")]


CAMERA_OF_MODEL = "maps of offset, gain and read noise of each pixel [default: those of the model, if it has any]"
"""What the option means where a model is given."""


@dataclass(frozen=True, kw_only=True)
class PredictTask(Task):
    """Where the images go."""

    output: Annotated[
        Path, option("folder for the results, or one .tif: the deconvolved image", name=("--output", "-o"), metavar="DIR|FILE")
    ]
    camera_from: Annotated[
        Literal["auto", "image", "model"],
        option(
            "whose offset, gain and read noise: model, image (calibrated), or auto: the image's where its noise is another camera's",
            metavar="NAME",
            group="Input",
        ),
    ] = "auto"


@takes(options=chosen(*SETTINGS), task=RunTask)
def run(*inputs: Inputs, options: Settings, task: RunTask) -> None:
    """Restore images: train on each input itself, then denoise and deconvolve it. The main job.

    Example: zsdeconv run cell.tif -o restored --na 1.4 --wavelength-nm 525
    """
    settings = configuration(options.given(), task.config)
    results = results_of(inputs, task.output)
    if task.resume and not task.overwrite:
        results = _unfinished(results, task.silent)
    refuse_existing([path for each in results.values() for path in each.all()], task.overwrite)
    entries: list[dict[str, Any]] = []
    used = settings
    for path, each in results.items():
        started = time.monotonic()
        image = read_input(path, settings)
        _refuse_too_large(path, image, settings.scale, settings.prediction.passes)
        prepared = _prepared([image], path.name, settings, task.silent)
        facts: dict[str, Any] = {"input": str(path), "summary": prepared.summary()}
        if not task.dry_run:
            model = _trained(prepared, each.checkpoint, task.resume, path.name, task.quiet)
            restored = _predicted(replace(model, camera_from="model"), image, path.name, task.quiet, {})
            _tell_of_stripes(restored, task.silent)
            judged = _reported(restored, path.name, task.silent) if prepared.config.report else None
            written = write_run(each, restored, judged, _provenance(model, path), overwrite=task.overwrite)
            facts |= _done(written, model, started, task.silent) | ({} if judged is None else {"trust": judged.to_dict()})
        entries.append(facts)
        used = prepared.config
    _close(entries, used, task)


@takes(options=chosen(*SETTINGS, without=("prediction", "report")), task=TrainTask)
def train(*inputs: Inputs, options: Settings, task: TrainTask) -> None:
    """Train one model on all inputs and write it to a file for `predict`.

    Example: zsdeconv train a.tif b.tif -o cell.zsd --na 1.4 --wavelength-nm 525
    """
    settings = configuration(options.given(), task.config)
    refuse_existing([task.output], task.overwrite)
    started = time.monotonic()
    images = [read_input(path, settings) for path in inputs]
    prepared = _prepared(images, ", ".join(path.name for path in inputs), settings, task.silent)
    facts: dict[str, Any] = {"inputs": [str(path) for path in inputs], "summary": prepared.summary()}
    if not task.dry_run:
        model = _trained(prepared, checkpoint_of(task.output), task.resume, task.output.name, task.quiet)
        facts |= _done([model.save(task.output, overwrite=task.overwrite)], model, started, task.silent)
    _close([facts], prepared.config, task)


@takes(options=chosen("axes", "pixel_um", "prediction", "device", "camera", help={"camera": CAMERA_OF_MODEL}), task=PredictTask)
def predict(
    model: Annotated[Path, argument("model file (.zsd)", "MODEL")], /, *inputs: Inputs, options: Settings, task: PredictTask
) -> None:
    """Restore images with a model that `run` or `train` has written.

    Example: zsdeconv predict restored/cell.zsd next.tif -o restored
    """
    given = options.given()
    from zsdeconv.prediction.destripe import Destriping

    destripe = Destriping.of(configuration({name: value for name, value in given.items() if name != "camera"}, None).prediction)
    asked = {name: given[name] for name in ("tile", "overlap", "batch", "passes", "device") if name in given} | {"destripe": destripe}
    targets = _targets(inputs, task.output)
    refuse_existing([path for each in targets.values() for path in each.values()], task.overwrite)
    from zsdeconv.channels import load

    loaded = replace(_with_camera(load(model), given.get("camera"), task.silent), camera_from=task.camera_from)
    entries = []
    for path, each in targets.items():
        image = read_again(path, loaded, given.get("axes"), given.get("pixel_um"))
        _refuse_too_large(path, image, loaded.config.scale, given.get("passes", loaded.config.prediction.passes))
        restored = _predicted(loaded, image, path.name, task.quiet, asked)
        written = write_images(each, restored, _provenance(loaded, path) | {"model": model.name}, overwrite=task.overwrite)
        _tell_of_stripes(restored, task.silent)
        entries.append({"input": str(path), "outputs": [str(p) for p in written]})
        if not task.silent:
            show_rows(("wrote", str(p)) for p in written)
    if task.json:
        show_json({"model": str(model), "results": entries})


def _with_camera(model: Model, path: Path | None, silent: bool) -> Model:
    """The model with the camera maps of a file, or else with its own, of which the user is told."""
    if path is not None:
        from zsdeconv.camera.maps import CameraMaps

        model = model.with_camera(CameraMaps.load(path))
    if model.acquisition.maps is not None and not silent:
        show_rows([("camera", "maps of the training's camera, in the model" if path is None else f"maps {path.name}")])
    return model


def _targets(inputs: Sequence[Path], output: Path) -> dict[Path, dict[str, Path]]:
    """Which image of which input goes to which file: into a folder, or the deconvolved one of a single input to a named file."""
    if output.suffix.lower() not in (".tif", ".tiff"):
        return {path: {kind: each.image(kind) for kind in KINDS} for path, each in results_of(inputs, output).items()}
    if len(inputs) > 1:
        raise ConfigError(f"-o {output} is one file, {len(inputs)} inputs make more; give a folder with -o")
    return {inputs[0]: {"deconvolved": output}}


def _unfinished(results: dict[Path, Results], silent: bool) -> dict[Path, Results]:
    """The inputs that an interrupted run has not finished."""
    for each in results.values():
        if each.complete() and not silent:
            show(f"{each.stem}: done already")
    return {path: each for path, each in results.items() if not each.complete()}


def read_input(path: Path, settings: Config, axes: str | None = None, pixel_um: float | None = None) -> Image:
    """The image in a file, read as the configured modality reads it; `axes` or `pixel_um` win over the settings."""
    from zsdeconv.modality import reading_row

    return reading_row(settings).acquisition.read(path, settings, axes=axes, pixel_um=pixel_um)


def read_again(path: Path, model: Model, axes: str | None, pixel_um: float | None) -> Image:
    """The image in a file for a trained model; `axes` and `pixel_um` win over its configuration."""
    return model.acquisition.read_next(path, model.config, axes=axes, pixel_um=pixel_um)


def _refuse_too_large(path: Path, image: Image, scale: int, passes: int) -> None:
    from zsdeconv.io.memory import refuse_larger_than_memory, restoration_bytes

    needed = restoration_bytes(image.sizes, image.data.itemsize, scale=scale, with_spread=passes > 1)
    refuse_larger_than_memory(path.name, needed, "restoring it")


def _prepared(images: list[Image], names: str, settings: Config, silent: bool) -> Prepared:
    """Everything that is settled before the first step, shown to the user."""
    from zsdeconv.prediction.device import choose_device
    from zsdeconv.prepare import prepare

    device = choose_device(settings.device)
    prepared = prepare(images, settings)
    if not silent:
        show(names)
        show_rows(_summary_rows(prepared, device.type))
    return prepared


def _trained(prepared: Prepared, checkpoint: Path, resume: bool, name: str, quiet: bool) -> Model:
    import logging

    import lightning_fabric

    from zsdeconv.pipeline import train_prepared

    logging.getLogger(lightning_fabric.__name__).setLevel(logging.ERROR)  # it announces its choices on standard error
    if resume and not checkpoint.exists():
        warnings.warn(f"{name}: no checkpoint {checkpoint} to resume from; the training starts anew", DataWarning, stacklevel=2)
    with progress(f"training {name}", quiet=quiet) as report:
        return train_prepared(prepared, checkpoint=checkpoint, resume=resume, callback=lambda event: report(event["done"], words(event)))


def _predicted(model: Model, image: Image, name: str, quiet: bool, asked: Mapping[str, Any]) -> Any:
    with progress(f"restoring {name}", quiet=quiet) as report:
        return model.predict(image, **asked, progress=lambda done: report(done, ""))


def _reported(restored: Restored, name: str, silent: bool) -> Report:
    """The report, and what in it needs attention shown to the user."""
    report = restored.report(name)
    if not silent:
        from zsdeconv.report.page.summary import count_words

        findings = [finding for section in report.sections for finding in section.findings]
        doubtful = [finding for finding in findings if finding.level in ("warn", "fail")]
        show_rows([("trust", f"{count_words(findings)}; all findings are in the report")])
        show_rows((finding.level, with_options(finding.message)) for finding in doubtful)
    return report


def _tell_of_stripes(restored: Restored, silent: bool) -> None:
    note = restored.deconvolved.metadata.get("stripes")
    if note and not silent:
        took = f"{100 * note['taken_share_of_sd']:.1f} % of the image's standard deviation"
        show_rows([("stripes", f"damped along {note['along']}: {took}, and with them real lines as long and thin")])


def _provenance(model: Model, path: Path) -> dict[str, Any]:
    """What a result says about how it came about."""
    return {"input": path.name, "seed": model.config.seed, "config": model.config.model_dump(mode="json"), **model.provenance}


def _done(written: list[Path], model: Model, started: float, silent: bool) -> dict[str, Any]:
    """Facts on a finished training, shown to the user."""
    seconds = round(time.monotonic() - started, 1)
    steps = sum(max(event["step"] for event in model.history if event["phase"] == phase) for phase in {e["phase"] for e in model.history})
    if not silent:
        moved = model.provenance.get("offset_correction_adu") or 0.0
        zero = [("zero", f"{moved:+.2g} ADU against the offset above, which the optics showed")] if abs(moved) > 0 else []
        show_rows([("trained", f"{steps} steps, {seconds:g} s in all"), *zero, *(("wrote", str(path)) for path in written)])
    return {"outputs": [str(path) for path in written], "steps": steps, "seconds": seconds}


def _summary_rows(prepared: Prepared, device: str) -> list[tuple[str, str]]:
    """What was found, and where each number came from."""
    facts, settings = prepared.summary(), prepared.config
    camera, sources = facts["camera"], facts["sources"]
    sizes = " x ".join(map(str, facts["shape"]))
    pixels = " x ".join(f"{um:g}" for um in facts["spacing_um"].values())
    optics = prepared.acquisition.optics
    assumed = ", index assumed" if optics is not None and optics.immersion_assumed else ""
    budget = f"{settings.training.steps} steps" if settings.training.minutes is None else f"{settings.training.minutes:g} minutes"
    values = f"offset {camera['offset_adu']:.1f} ADU, gain {camera['gain_adu_per_e']:.3g} ADU per photo-electron"
    values += f", read noise {camera['read_noise_adu']:.2g} ADU"
    return [
        ("image", f"{facts['frames']} x {sizes} pixels of {pixels} um ({sources['pixel_um']})"),
        ("psf", f"{facts['psf']['source']} ({sources['psf']}{assumed})"),
        ("detector", f"{prepared.calibration.camera.words} ({sources['detector']})"),
        ("camera", f"{values} ({sources['camera']})"),
        *([("left out", sources["left_out"])] if "left_out" in sources else []),
        *([("odd frames", sources["odd_frames"])] if "odd_frames" in sources else []),
        *prepared.acquisition.describe(),
        ("pairs", sources["pairs"]),
        ("training", f"{facts['modality']}, preset {settings.preset}, {budget}, scale {settings.scale}, seed {settings.seed}, on {device}"),
    ]


def _close(entries: list[dict[str, Any]], settings: Config, task: TrainingTask) -> None:
    """The JSON object; or, after a dry run, the settings that would have been used."""
    if task.json:
        show_json({"dry_run": task.dry_run, "config": settings.model_dump(mode="json"), "results": entries})
    elif task.dry_run and not task.quiet:
        from zsdeconv.config import to_yaml

        show(to_yaml(settings).rstrip())
