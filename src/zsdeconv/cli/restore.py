"""`run`, `train` and `predict`: from options to the pipeline, and from its results to files."""

from __future__ import annotations

import time
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from zsdeconv.cli import options
from zsdeconv.cli.console import show_json, show_rows
from zsdeconv.cli.progress import progress, words
from zsdeconv.cli.results import KINDS, Results, checkpoint_of, refuse_existing, results_of, write_images, write_run
from zsdeconv.errors import ConfigError, DataWarning

if TYPE_CHECKING:
    from zsdeconv.config import Config
    from zsdeconv.image import Image
    from zsdeconv.model import Model, Restored
    from zsdeconv.prepare import Prepared
    from zsdeconv.report.page.report import Report

OutputFolder = Annotated[Path, typer.Option("-o", "--output", metavar="DIR", help="folder for the results, made if missing")]
OutputModel = Annotated[Path, typer.Option("-o", "--output", metavar="MODEL", help="model file to write (.zsd)")]
OutputEither = Annotated[
    Path, typer.Option("-o", "--output", metavar="DIR|FILE", help="folder for the results, or one .tif: the deconvolved image")
]


def run(
    inputs: options.Inputs,
    output: OutputFolder,
    na: options.Na = None,
    wavelength_nm: options.WavelengthNm = None,
    immersion_ri: options.ImmersionRi = None,
    pupil: options.Pupil = None,
    psf: options.Psf = None,
    otf: options.Otf = None,
    psf_pixel_um: options.PsfPixelUm = None,
    psf_z_um: options.PsfZUm = None,
    microscope: options.Microscope = None,
    sheet_um: options.SheetUm = None,
    pinhole_au: options.PinholeAu = None,
    excitation_nm: options.ExcitationNm = None,
    sample_ri: options.SampleRi = None,
    depth_um: options.DepthUm = None,
    pixel_um: options.PixelUm = None,
    z_um: options.ZUm = None,
    axes: options.Axes = None,
    background: options.Background = None,
    scale: options.Scale = None,
    modality: options.Modality = None,
    preset: options.Preset = None,
    pairs: options.Pairs = None,
    directions: options.Directions = None,
    phases: options.Phases = None,
    order: options.FrameOrder = None,
    angles_deg: options.AnglesDeg = None,
    period_um: options.PeriodUm = None,
    sim_parameters: options.SimParametersFile = None,
    per_frame: options.PerFrame = None,
    wiener: options.Wiener = None,
    reconstructed: options.Reconstructed = None,
    config: options.ConfigFile = None,
    steps: options.Steps = None,
    minutes: options.Minutes = None,
    ensemble: options.Ensemble = None,
    tile: options.Tile = None,
    overlap: options.Overlap = None,
    batch: options.Batch = None,
    passes: options.Passes = None,
    stripes: options.StripesAlong = None,
    stripe_width_um: options.StripeWidthUm = None,
    stripe_length_um: options.StripeLengthUm = None,
    device: options.Device = None,
    seed: options.Seed = None,
    report: options.ReportWanted = None,
    dry_run: options.DryRun = False,
    resume: options.Resume = False,
    overwrite: options.Overwrite = False,
    json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Restore images: train on each input itself, then denoise and deconvolve it. The main job."""
    settings = options.configuration(options.settings_among(locals()), config)
    results = results_of(inputs, output)
    if resume and not overwrite:
        results = _unfinished(results, quiet or json)
    refuse_existing([path for each in results.values() for path in each.all()], overwrite)
    told: list[dict[str, Any]] = []
    used = settings
    for path, each in results.items():
        started = time.monotonic()
        image = read_input(path, settings)
        _refuse_too_large(path, image, settings.scale, settings.prediction.passes)
        prepared = _prepared([image], path.name, settings, quiet or json)
        facts: dict[str, Any] = {"input": str(path), "summary": prepared.summary()}
        if not dry_run:
            model = _trained(prepared, each.checkpoint, resume, path.name, quiet)
            restored = _predicted(model, image, path.name, quiet, {})
            _tell_of_stripes(restored, quiet or json)
            judged = _reported(restored, path.name, quiet or json) if prepared.config.report else None
            written = write_run(each, restored, judged, _provenance(model, path), overwrite=overwrite)
            facts |= _done(written, model, started, quiet or json) | ({} if judged is None else {"trust": judged.to_dict()})
        told.append(facts)
        used = prepared.config
    _close(told, used, dry_run, json, quiet)


def train(
    inputs: options.Inputs,
    output: OutputModel,
    na: options.Na = None,
    wavelength_nm: options.WavelengthNm = None,
    immersion_ri: options.ImmersionRi = None,
    pupil: options.Pupil = None,
    psf: options.Psf = None,
    otf: options.Otf = None,
    psf_pixel_um: options.PsfPixelUm = None,
    psf_z_um: options.PsfZUm = None,
    microscope: options.Microscope = None,
    sheet_um: options.SheetUm = None,
    pinhole_au: options.PinholeAu = None,
    excitation_nm: options.ExcitationNm = None,
    sample_ri: options.SampleRi = None,
    depth_um: options.DepthUm = None,
    pixel_um: options.PixelUm = None,
    z_um: options.ZUm = None,
    axes: options.Axes = None,
    background: options.Background = None,
    scale: options.Scale = None,
    modality: options.Modality = None,
    preset: options.Preset = None,
    pairs: options.Pairs = None,
    directions: options.Directions = None,
    phases: options.Phases = None,
    order: options.FrameOrder = None,
    angles_deg: options.AnglesDeg = None,
    period_um: options.PeriodUm = None,
    sim_parameters: options.SimParametersFile = None,
    per_frame: options.PerFrame = None,
    wiener: options.Wiener = None,
    reconstructed: options.Reconstructed = None,
    config: options.ConfigFile = None,
    steps: options.Steps = None,
    minutes: options.Minutes = None,
    ensemble: options.Ensemble = None,
    device: options.Device = None,
    seed: options.Seed = None,
    dry_run: options.DryRun = False,
    resume: options.Resume = False,
    overwrite: options.Overwrite = False,
    json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Train one model on all inputs and write it to a file for `predict`."""
    settings = options.configuration(options.settings_among(locals()), config)
    refuse_existing([output], overwrite)
    started = time.monotonic()
    images = [read_input(path, settings) for path in inputs]
    prepared = _prepared(images, ", ".join(path.name for path in inputs), settings, quiet or json)
    facts: dict[str, Any] = {"inputs": [str(path) for path in inputs], "summary": prepared.summary()}
    if not dry_run:
        model = _trained(prepared, checkpoint_of(output), resume, output.name, quiet)
        facts |= _done([model.save(output, overwrite=overwrite)], model, started, quiet or json)
    _close([facts], prepared.config, dry_run, json, quiet)


def predict(
    model: Annotated[Path, typer.Argument(metavar="MODEL", help="model file (.zsd)", show_default=False)],
    inputs: options.Inputs,
    output: OutputEither,
    axes: options.Axes = None,
    pixel_um: options.PixelUm = None,
    tile: options.Tile = None,
    overlap: options.Overlap = None,
    batch: options.Batch = None,
    passes: options.Passes = None,
    stripes: options.StripesAlong = None,
    stripe_width_um: options.StripeWidthUm = None,
    stripe_length_um: options.StripeLengthUm = None,
    device: options.Device = None,
    overwrite: options.Overwrite = False,
    json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Restore images with a model that `run` or `train` has written."""
    asked: dict[str, Any] = {"tile": tile, "overlap": overlap, "batch": batch, "passes": passes, "device": device}
    stripe = {"stripes": stripes, "stripe_width_um": stripe_width_um, "stripe_length_um": stripe_length_um}
    from zsdeconv.prediction.destripe import Destriping

    asked["destripe"] = Destriping.of(options.configuration(asked | stripe, None).prediction)
    targets = _targets(inputs, output)
    refuse_existing([path for each in targets.values() for path in each.values()], overwrite)
    from zsdeconv.model import load

    loaded = load(model)
    told = []
    for path, each in targets.items():
        image = read_again(path, loaded, axes, pixel_um)
        _refuse_too_large(path, image, loaded.config.scale, loaded.config.prediction.passes if passes is None else passes)
        restored = _predicted(loaded, image, path.name, quiet, asked)
        written = write_images(each, restored, _provenance(loaded, path) | {"model": model.name}, overwrite=overwrite)
        _tell_of_stripes(restored, quiet or json)
        told.append({"input": str(path), "outputs": [str(p) for p in written]})
        if not (quiet or json):
            show_rows(("wrote", str(p)) for p in written)
    if json:
        show_json({"model": str(model), "results": told})


def _targets(inputs: list[Path], output: Path) -> dict[Path, dict[str, Path]]:
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
            typer.echo(f"{each.stem}: done already")
    return {path: each for path, each in results.items() if not each.complete()}


def read_input(path: Path, settings: Config, axes: str | None = None, pixel_um: float | None = None) -> Image:
    """The image in a file, read as the configured modality reads it; `axes` or `pixel_um` win over the settings."""
    from zsdeconv.modality import reading_row

    return reading_row(settings).acquisition.read(path, settings, axes=axes, pixel_um=pixel_um)


def read_again(path: Path, model: Model, axes: str | None, pixel_um: float | None) -> Image:
    """The image in a file for a trained model."""
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
        typer.echo(names)
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
        found = [finding for section in report.sections for finding in section.findings]
        doubtful = [finding for finding in found if finding.level != "ok"]
        show_rows([("trust", f"{len(found) - len(doubtful)} of {len(found)} findings are good; all are in the report")])
        show_rows((finding.level, finding.message) for finding in doubtful)
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
        show_rows([("trained", f"{steps} steps, {seconds:g} s in all"), *(("wrote", str(path)) for path in written)])
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
        ("camera", f"{values} ({sources['camera']})"),
        *prepared.acquisition.describe(),
        ("pairs", sources["pairs"]),
        ("training", f"{facts['modality']}, preset {settings.preset}, {budget}, scale {settings.scale}, seed {settings.seed}, on {device}"),
    ]


def _close(told: list[dict[str, Any]], settings: Config, dry_run: bool, json: bool, quiet: bool) -> None:
    """The JSON object; or, after a dry run, the settings that would have been used."""
    if json:
        show_json({"dry_run": dry_run, "config": settings.model_dump(mode="json"), "results": told})
    elif dry_run and not quiet:
        from zsdeconv.config import to_yaml

        typer.echo(to_yaml(settings), nl=False)
