"""`predict`: images restored with a model that is there already."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from zsdeconv.cli.batch import Batch, Job, jobs_of
from zsdeconv.cli.console import show_json, show_rows
from zsdeconv.cli.inputs import Source, read_again, refuse_too_large, sources_of
from zsdeconv.cli.naming import results_of
from zsdeconv.cli.options import As, Format, Inputs, Settings, Task, argument, chosen, configuration, option, takes
from zsdeconv.cli.output_checks import check_outputs, files_of_camera, refuse_full, refuse_inside
from zsdeconv.cli.progress import progress
from zsdeconv.cli.resume import trained_on
from zsdeconv.cli.stages import predicted, provenance_of, reported
from zsdeconv.errors import ConfigError
from zsdeconv.progress import tasks
from zsdeconv.results import Places, Predicted, SingleImage, write_images

if TYPE_CHECKING:
    from zsdeconv.channels import ChannelModels, RestoredChannels
    from zsdeconv.image import Image
    from zsdeconv.model import Model, Restored

CAMERA_OF_MODEL = "maps of offset, gain and read noise of each pixel [default: those of the model, if it has any]"
"""What the option means where a model is given."""


@dataclass(frozen=True, kw_only=True)
class PredictTask(Task):
    """Where the images go."""

    output: Annotated[
        Path, option("folder for the results, or one .tif or .zarr: the deconvolved image", name=("--output", "-o"), metavar="DIR|FILE")
    ]
    camera_from: Annotated[
        Literal["auto", "image", "model"],
        option(
            "whose offset, gain and read noise: model, image (calibrated), or auto: the image's where its noise is another camera's",
            metavar="NAME",
            group="Input",
        ),
    ] = "auto"
    image_format: Format = None
    read_as: As = None
    report: Annotated[bool, option("write the report of each image, too (NAME_report.html), in about a minute")] = False


PREDICTION_SETTINGS = ("axes", "pixel_um", "crop", "scene", "prediction", "device", "camera")
"""Settings that act where a model is given."""
ASKED = ("tile", "overlap", "batch", "passes", "device")
"""Those of them that are arguments of the prediction."""


@takes(options=chosen(*PREDICTION_SETTINGS, help={"camera": CAMERA_OF_MODEL}), task=PredictTask)
def predict(
    model: Annotated[Path, argument("model file (.zsd)", "MODEL")], /, *inputs: Inputs, options: Settings, task: PredictTask
) -> int:
    """Restore images with a model that `run` or `train` has written.

    Example: zsdeconv predict restored/cell.zsd next.tif -o restored
    """
    given = options.given()
    from zsdeconv.prediction.destripe import Destriping

    destripe = Destriping.of(configuration({name: value for name, value in given.items() if name != "camera"}, None).prediction)
    asked = {name: given[name] for name in ASKED if name in given} | {"destripe": destripe}
    sources = sources_of(inputs, task.read_as, given.get("crop"), given.get("scene"))
    jobs = jobs_of(_places(sources, task), quiet=task.quiet, silent=task.silent)
    read = [model, *files_of_camera(given.get("camera")), *(file for source in sources for file in source.all_files())]
    refuse_inside(task.output, inputs)
    check_outputs([path for job in jobs for path in job.results.all()], inputs=read, overwrite=task.overwrite)
    from zsdeconv.channels import load

    batch, with_camera = Batch(jobs), _with_camera(load(model), given.get("camera"), given.get("crop"), task.silent)
    loaded = replace(with_camera, camera_from=task.camera_from)
    prediction = _Prediction(loaded, model.name, given, asked, task.overwrite, task.report)
    with progress(quiet=task.quiet):
        if batch.several:
            batch.each(prediction.check)
            refuse_full(task.output, sum(job.disk_bytes for job in batch.under_way))
            batch.announce()
        batch.each(prediction.restore)
    if task.json:
        show_json({"model": str(model), "results": [job.facts for job in jobs]})
    elif not task.silent:
        batch.show_table()
    return batch.code


@dataclass(frozen=True)
class _Prediction:
    """What all inputs share."""

    model: Model | ChannelModels
    name: str
    given: Mapping[str, Any]
    asked: Mapping[str, Any]
    overwrite: bool
    report: bool

    def check(self, job: Job) -> None:
        """Read the image, and refuse what the model cannot restore."""
        image = self._read(job)
        self.model.fitting(image)
        job.ahead = self._ahead(image)

    def _ahead(self, image: Image) -> list[tasks.Task]:
        """The tasks of a restoration, and of its report where one is made: so many pixels go through the network, about."""
        models: Mapping[str, Model] = getattr(self.model, "models", {"": self.model})
        from zsdeconv.prediction.tiled import passes_of

        work = max(passes_of(self.model.config, self.given.get("passes")), 1) * image.data.size / len(models)
        ahead: list[tasks.Task] = []
        for name, model in models.items():
            parts = [tasks.Task("preparing", 1.0), tasks.Task("restoring", work, "network"), *self._checks(model, image)]
            ahead += [tasks.Task(name, names=True, parts=parts)] if name else parts
        return ahead

    def _checks(self, model: Model, image: Image) -> list[tasks.Task]:
        if not self.report:
            return []
        from zsdeconv.report.assess import CHECKING_WORDS, check_tasks, examined_work

        axes, factors = model.modality.spatial_axes, model.modality.denoised_factors(model.config.scale)
        seen = [image.sizes.get(axis, 1) * factor for axis, factor in zip(axes, factors, strict=True)]
        return [tasks.Task(CHECKING_WORDS, parts=check_tasks(model.acquisition.checks, examined_work(model.network, seen)))]

    def restore(self, job: Job) -> None:
        """Restore the image and write the results."""
        image = self._read(job)
        refuse_full(job.results.all()[0].parent, job.disk_bytes)
        restored = self._as_asked(predicted(self.model, image, self.asked, job.voice))
        said = provenance_of(self.model, job.source, image, job.results.all()[0].parent) | {"model": self.name}
        written = write_images(job.results, restored, said, overwrite=self.overwrite)
        fault = None
        if self.report:
            try:
                written.append(self._report(job, restored, image))
            except Exception as met:  # the images are there all the same
                fault = met
        job.facts["outputs"] = [str(path) for path in written]
        job.voice.rows(("wrote", str(path)) for path in written)
        if fault is not None:
            raise fault
        job.outcome = "restored"

    def _as_asked(self, restored: Restored | RestoredChannels) -> Restored | RestoredChannels:
        """Deskewed or, where the user asks for it, not. Raises `ConfigError` where there is nothing to deskew."""
        asked = self.given.get("deskew")
        if asked is None:
            return restored
        skewed = restored.as_recorded()
        if not skewed.deconvolved.metadata.get("scan"):
            raise ConfigError(f"`deskew={asked}`: the model was not trained on a scan at an angle, nothing is skewed; leave it out")
        return restored if asked else skewed

    def _report(self, job: Job, restored: Restored | RestoredChannels, image: Image) -> Path:
        assert isinstance(job.results, Predicted)
        known = trained_on({"provenance": self.model.provenance})
        report = reported(restored, job.voice, trained_on_it=image.fingerprint() in known)
        job.facts["trust"] = report.to_dict()
        return report.save(job.results.report, overwrite=self.overwrite)

    def _read(self, job: Job) -> Image:
        from zsdeconv.image import upright_sizes
        from zsdeconv.io.memory import result_bytes

        model, passes = self.model, self.given.get("passes", self.model.config.prediction.passes)
        given = self.given.get("axes"), self.given.get("pixel_um"), job.source.scene
        image = job.source.read(lambda path: read_again(path, model, *given))
        refuse_too_large(job.source.name, image, model.config, passes)
        job.disk_bytes = result_bytes(upright_sizes(image, model.config.input.scan), scale=model.config.scale, with_spread=passes > 1)
        return image


def _with_camera(model: Model | ChannelModels, path: Path | None, crop: str | None, silent: bool) -> Model | ChannelModels:
    """The model with the camera maps of a file, or else with its own, of the `crop` of the sensor; the user is told.

    Raises `ConfigError` where its own are those of another part of the sensor.
    """
    own, trained_on = model.acquisition.maps, model.config.input.crop
    if path is not None:
        from zsdeconv.camera.maps import CameraMaps

        model = model.with_camera(CameraMaps.load(path).cropped(crop))
    elif own is not None and _on_sensor(crop) != _on_sensor(trained_on):
        if trained_on is not None:
            part = f"crop {trained_on} of its training, the prediction is of {f'crop {crop}' if crop else 'the whole frame'}"
            raise ConfigError(f"camera maps in the model: they are those of {part}; give --camera with the maps of the whole sensor")
        model = model.with_camera(own.cropped(crop))
    if model.acquisition.maps is not None and not silent:
        show_rows([("camera", "maps of the training's camera, in the model" if path is None else f"maps {path.name}")])
    return model


def _on_sensor(crop: str | None) -> dict[str, tuple[int, int | None]]:
    """The ranges of pixels of a crop along y and x."""
    from zsdeconv.image import crop_ranges

    ranges = crop_ranges(crop) if crop else {}
    return {axis: ranges.get(axis, (0, None)) for axis in "YX"}


def _places(sources: Sequence[Source], task: PredictTask) -> list[tuple[Source, Places]]:
    """Where the images of each input go: into a folder, or the deconvolved one of a single input to a named file."""
    output, image_format = task.output, task.image_format
    if output.suffix.lower() not in (".tif", ".tiff", ".zarr"):
        made = results_of(sources, lambda stem: Predicted(output, stem, image_format=image_format or "tif", with_report=task.report))
        return [(source, places) for source, places in made]
    if task.report:
        raise ConfigError(
            f"--report with -o {output}, a single image: the report is a file beside it; give a folder with -o, or leave it out"
        )
    if image_format is not None:
        raise ConfigError(f"--format {image_format} with -o {output}, a name that decides it; leave --format out, or give a folder with -o")
    if len(sources) > 1:
        raise ConfigError(f"-o {output} is one file, {len(sources)} inputs make more; give a folder with -o")
    return [(sources[0], SingleImage(output))]
