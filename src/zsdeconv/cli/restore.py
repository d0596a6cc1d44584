"""`run` and `train`: from options to the pipeline, and from its results to files."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from zsdeconv.cli.batch import Batch, Job, jobs_of
from zsdeconv.cli.console import show, show_json
from zsdeconv.cli.inputs import Source, read_input, refuse_too_large, sources_of, with_scene
from zsdeconv.cli.naming import results_of
from zsdeconv.cli.options import As, Format, Inputs, Settings, Task, chosen, configuration, option, takes
from zsdeconv.cli.output_checks import check_outputs, files_of_settings, refuse_full, refuse_inputs, refuse_inside
from zsdeconv.cli.progress import Voice, progress
from zsdeconv.cli.resume import forget, noting_inputs, refuse_other_pixels, refuse_other_settings
from zsdeconv.cli.stages import predicted, prepared_from, provenance_of, reported, trained, training_facts
from zsdeconv.config import SETTINGS
from zsdeconv.errors import ConfigError
from zsdeconv.progress import tasks
from zsdeconv.results import Results, checkpoint_of, write_model, write_run

if TYPE_CHECKING:
    from zsdeconv.channels import ChannelModels, PreparedChannels, RestoredChannels
    from zsdeconv.config import Config
    from zsdeconv.image import Image
    from zsdeconv.model import Model, Restored
    from zsdeconv.prepare import Prepared

WRITING_S = 0.5
"""Seconds of a processor core to write the results. Fitted by benchmarks/progress.py."""
DRAWING_S = 10.0
"""The same to draw a report. Fitted likewise."""
SHARED_MODEL = "model"
"""Name of the model of `--one-model`, which is no input's own."""
WRITING, DRAWING = "writing the images", "drawing the report"
"""What these tasks are called for people."""
MODEL_BYTES = 1e8
"""Room on the disk for a model with its checkpoint, report and log. Chosen: several times those of the default networks."""


@dataclass(frozen=True, kw_only=True)
class TrainingTask(Task):
    """Options of a training that do not change its result."""

    read_as: As = None
    config: Annotated[Path | None, option("settings from a YAML file; options win", metavar="FILE", group="Input")] = None
    dry_run: Annotated[bool, option("check everything and show the settings, train nothing")] = False
    resume: Annotated[bool, option("skip what is done, continue what was interrupted")] = False
    preview: Annotated[bool, option("at each validation, show raw, denoised and deconvolved below the bar, on a terminal")] = False

    @property
    def continues(self) -> bool:
        """Whether results that are there already count as done."""
        return self.resume and not self.overwrite


@dataclass(frozen=True, kw_only=True)
class RunTask(TrainingTask):
    """Where the results go, and how."""

    output: Annotated[Path, option("folder for the results, made if missing", name=("--output", "-o"), metavar="DIR")]
    image_format: Format = None
    one_model: Annotated[bool, option("train one model on all inputs, DIR/model.zsd, and restore each with it", group="Training")] = False


@dataclass(frozen=True, kw_only=True)
class TrainTask(TrainingTask):
    """Where the model goes, and how."""

    output: Annotated[Path, option("model file to write (.zsd)", name=("--output", "-o"), metavar="MODEL")]


@takes(options=chosen(*SETTINGS), task=RunTask)
def run(*inputs: Inputs, options: Settings, task: RunTask) -> int:
    """Restore images: train on each input itself, then denoise and deconvolve it. The main job.

    Several inputs are checked first; those that cannot be restored are left out, and told, before the first training.

    Example: zsdeconv run cell.tif -o restored --na 1.4 --wavelength-nm 525
    """
    settings = configuration(options.given(), task.config)
    sources = sources_of(inputs, task.read_as, settings.input.crop, settings.input.scene)
    if task.one_model and len(sources) < 2:
        raise ConfigError(f"--one-model with one input, {sources[0].path}: it has a model of its own anyway; leave it out")
    places = results_of(sources, lambda stem: Results(task.output, stem, not task.one_model, task.image_format or "tif"))
    batch = Batch(jobs_of(places, quiet=task.quiet, silent=task.silent))
    refuse_inside(task.output, inputs)
    restoration = (_Together if task.one_model else _Restoration)(batch, settings, task)
    with progress(quiet=task.quiet, preview=task.preview):
        restoration.settle_places()
        restoration.carry_out()
    _close([job.facts for job in batch.jobs], restoration.used, task)
    if not task.silent:
        batch.show_table()
    return batch.code


class _Restoration:
    """What the inputs of a `run` share, and the stages of each of them. Here each has a model of its own."""

    own_training = True

    def __init__(self, batch: Batch, settings: Config, task: RunTask) -> None:
        self.batch, self.settings, self.task, self.used = batch, settings, task, settings

    def carry_out(self) -> None:
        """Check all, then restore one after the other."""
        batch, task = self.batch, self.task
        batch.each(self.check)
        if batch.several and not task.silent:
            show(f"{len(batch.under_way)} of {len(batch.jobs)} inputs are to be restored")
        refuse_full(task.output, sum(job.disk_bytes for job in batch.under_way))
        self.begin()
        if task.dry_run:
            for job in batch.under_way:
                job.outcome = "ready"
        batch.each(self.restore)

    def settle_places(self) -> None:
        """Refuse results that would be written over inputs or over each other, or cannot be written; find out what is done already."""
        jobs, task = self.batch.jobs, self.task
        refuse_inputs(
            [path for job in jobs for path in (*job.results.all(), *self._hidden(job))],
            _read_by([job.source for job in jobs], self.settings, task),
        )
        for job in jobs:
            self._find_done(job)
        ahead = [job for job in jobs if not job.finished]
        for group in (False, True):
            paths = [path for job in ahead if job.replaces is group for path in job.results.all()]
            hidden = [path for job in ahead if job.replaces is group for path in self._hidden(job)]
            check_outputs(paths, inputs=(), overwrite=task.overwrite or group, hidden=hidden)

    def _hidden(self, job: Job) -> list[Path]:
        """Files that are written on the way."""
        return [self._own(job).checkpoint]

    def _find_done(self, job: Job) -> None:
        """Whether its results are there, or a training that was interrupted. Raises `ConfigError` where it had other settings."""
        own = self._own(job)
        job.replaces = self.task.resume and own.checkpoint.exists()  # whoever began it was allowed to
        job.finished = self.task.continues and own.complete() and not job.replaces
        if job.finished or job.replaces:
            refuse_other_settings(own.model, own.checkpoint, self._settings(job))

    @staticmethod
    def _own(job: Job) -> Results:
        assert isinstance(job.results, Results)
        return job.results

    def read(self, job: Job) -> Image:
        """The image of a job."""
        with tasks.task("reading"):
            return _read(job.source, self.settings)

    def _settings(self, job: Job) -> Config:
        """The settings of a job: those of all, with its own scene."""
        return with_scene(self.settings, job.source.scene)

    def check(self, job: Job) -> None:
        """Everything that can be refused before a training; what is done already is skipped."""
        from zsdeconv.image import upright_sizes
        from zsdeconv.io.memory import result_bytes

        image = self.read(job)
        if job.finished:
            refuse_other_pixels(self._own(job).model, job.source.name, image)
            job.skip("done already")
            return
        refuse_too_large(job.source.name, image, self._settings(job))
        prepared = prepared_from([image], self._settings(job), [job.source], job.voice)
        job.facts["summary"] = prepared.summary()
        spread = prepared.config.prediction.passes > 1
        upright = upright_sizes(image, prepared.config.input.scan)
        job.disk_bytes = result_bytes(upright, scale=prepared.config.scale, with_spread=spread) + MODEL_BYTES
        self.used = prepared.config
        job.ahead = self._ahead(prepared)
        self.batch.hold(job, image, prepared)

    def _ahead(self, prepared: Prepared | PreparedChannels) -> list[tasks.Task]:
        """The tasks that follow the check of a job."""
        from zsdeconv.pipeline import announced

        report = self.settings.report
        stages: list[Any] = [*(["training"] if self.own_training else []), "restoring", *(["checking"] if report else [])]
        drawing = [tasks.Task(DRAWING, DRAWING_S)] if report else []
        return [*announced(prepared, *stages), tasks.Task(WRITING, WRITING_S), *drawing]

    def begin(self) -> None:
        """What comes before the first job."""
        self.batch.announce()

    def restore(self, job: Job) -> None:
        """Train on the image, restore it, and write everything."""
        started = time.monotonic()
        image, prepared = self._held(job)
        checkpoint = self._own(job).checkpoint
        model = trained(prepared, checkpoint, self.task.resume, job.voice)
        self.write(job, noting_inputs(model, [(job.source.name, image)]), image, started)

    def _held(self, job: Job) -> tuple[Image, Prepared | PreparedChannels]:
        held = self.batch.release(job)
        if held is not None:
            return held
        image = self.read(job)
        return image, prepared_from([image], self._settings(job), [job.source], replace(job.voice, silent=True))

    def write(self, job: Job, model: Model | ChannelModels, image: Image, started: float) -> None:
        """Restore with a model and write the results; a report that fails is told after all else is written."""
        restored = predicted(replace(model, camera_from="model"), image, {}, job.voice)
        overwrite = self.task.overwrite or job.replaces
        said = provenance_of(model, job.source, image, self.task.output)
        with tasks.task(WRITING):
            written = write_run(self._own(job), restored, said, overwrite=overwrite)
        fault = None
        if self.settings.report:
            try:
                written.append(self._report(job, restored, overwrite))
            except Exception as met:
                fault = met
        self._finish(job, model, started)
        job.facts["outputs"] = [str(path) for path in written]
        job.voice.rows(("wrote", str(path)) for path in written)
        if fault is not None:
            raise fault
        job.outcome = "restored"

    def _report(self, job: Job, restored: Restored | RestoredChannels, overwrite: bool) -> Path:
        report, path = reported(restored, job.voice), self._own(job).report
        job.facts["trust"] = report.to_dict()
        with tasks.task(DRAWING):
            report.save(path, overwrite=overwrite)
        return path

    def _finish(self, job: Job, model: Model | ChannelModels, started: float) -> None:
        """Everything is under its name: the checkpoint can go."""
        forget(self._own(job).checkpoint)
        job.facts |= training_facts(model, round(time.monotonic() - started, 1), job.voice)


class _Together(_Restoration):
    """One model for all inputs, which is written before any of them is restored."""

    own_training = False

    def __init__(self, batch: Batch, settings: Config, task: RunTask) -> None:
        super().__init__(batch, settings, task)
        self.shared = Results(task.output, SHARED_MODEL)
        self.learnt = task.continues and self.shared.model.exists() and not self.shared.checkpoint.exists()
        self.model: Model | ChannelModels | None = None

    def settle_places(self) -> None:
        super().settle_places()
        continued = self.task.resume and self.shared.checkpoint.exists()
        if self.learnt or continued:
            refuse_other_settings(self.shared.model, self.shared.checkpoint, self.settings)
        new = [] if self.learnt else self.shared.model_files()
        inputs = _read_by([job.source for job in self.batch.jobs], self.settings, self.task)
        check_outputs(new, inputs=inputs, overwrite=self.task.overwrite or continued, hidden=[self.shared.checkpoint])

    def _hidden(self, job: Job) -> list[Path]:
        return []

    def _find_done(self, job: Job) -> None:
        job.finished = self.learnt and self._own(job).complete()
        job.replaces = self.learnt and not job.finished

    def check(self, job: Job) -> None:
        if self.learnt:
            refuse_other_pixels(self.shared.model, job.source.name, self.read(job))
        if job.finished:
            job.skip("done already")
        else:
            super().check(job)
            self.batch.release(job)

    def begin(self) -> None:
        from zsdeconv.pipeline import announced

        jobs, started = self.batch.under_way, time.monotonic()
        if not jobs:
            return
        if self.learnt:
            from zsdeconv.channels import load

            self.batch.announce()
            stored, now = load(self.shared.model), self.settings
            self.model = replace(stored, config=stored.config.model_copy(update={"device": now.device, "prediction": now.prediction}))
            return
        images, voice = [self.read(job) for job in jobs], replace(jobs[0].voice, name=f"{len(jobs)} inputs", place="")
        with voice.at_work():
            prepared = prepared_from(images, self.settings, [], voice)
        self.used = prepared.config
        if self.task.dry_run:
            return
        own = tasks.Task(voice.subject, names=True, parts=announced(prepared, "training"))
        tasks.plan(own, *(tasks.Task(job.voice.subject, names=True, parts=job.ahead) for job in jobs))
        with voice.at_work():
            model = trained(prepared, self.shared.checkpoint, self.task.resume, voice)
        self.model = noting_inputs(model, zip([job.source.name for job in jobs], images, strict=True))
        overwrite = self.task.overwrite or (self.task.resume and self.shared.checkpoint.exists())
        written = write_model(self.shared, self.model, overwrite=overwrite)
        forget(self.shared.checkpoint)
        training_facts(model, round(time.monotonic() - started, 1), voice)
        voice.rows(("wrote", str(path)) for path in written)

    def restore(self, job: Job) -> None:
        assert self.model is not None
        self.write(job, self.model, self.read(job), time.monotonic())

    def _finish(self, job: Job, model: Model | ChannelModels, started: float) -> None:
        job.facts |= {"model": str(self.shared.model), "seconds": round(time.monotonic() - started, 1)}


@takes(options=chosen(*SETTINGS, without=("prediction", "report")), task=TrainTask)
def train(*inputs: Inputs, options: Settings, task: TrainTask) -> None:
    """Train one model on all inputs and write it to a file for `predict`.

    Example: zsdeconv train a.tif b.tif -o cell.zsd --na 1.4 --wavelength-nm 525
    """
    settings = configuration(options.given(), task.config)
    sources = sources_of(inputs, task.read_as, settings.input.crop, settings.input.scene)
    checkpoint = checkpoint_of(task.output)
    continued = task.resume and checkpoint.exists()
    finished = task.continues and task.output.exists() and not continued
    read, hidden = _read_by(sources, settings, task), [checkpoint]
    check_outputs([task.output], inputs=read, overwrite=task.overwrite or continued or finished, hidden=hidden)
    if finished or continued:
        refuse_other_settings(task.output, checkpoint, settings)
    voice = Voice(", ".join(source.name for source in sources), quiet=task.quiet, silent=task.silent)
    with progress(quiet=task.quiet, preview=task.preview):
        if finished:
            facts, used = _done_already(sources, settings, task, voice), settings
        else:
            facts, used = _train_one(sources, settings, task, voice)
    _close([{"inputs": [str(source.path) for source in sources], **facts}], used, task)


def _done_already(sources: Sequence[Source], settings: Config, task: TrainTask, voice: Voice) -> dict[str, Any]:
    for source in sources:
        refuse_other_pixels(task.output, source.name, _read(source, settings))
    voice.line(f"{task.output.name}: done already")
    return {"skipped": "done already"}


def _train_one(sources: Sequence[Source], settings: Config, task: TrainTask, voice: Voice) -> tuple[dict[str, Any], Config]:
    """Train the model and write it; facts on it, and the settings that were used."""
    started, checkpoint, names = time.monotonic(), checkpoint_of(task.output), [source.name for source in sources]
    continued = task.resume and checkpoint.exists()
    images = [_read(source, settings) for source in sources]
    prepared = prepared_from(images, settings, sources, voice)
    facts: dict[str, Any] = {"summary": prepared.summary()}
    if not task.dry_run:
        from zsdeconv.pipeline import announced

        tasks.plan(*announced(prepared, "training"))
        voice = replace(voice, name=task.output.name)
        model = noting_inputs(trained(prepared, checkpoint, task.resume, voice), zip(names, images, strict=True))
        written = model.save(task.output, overwrite=task.overwrite or continued)
        forget(checkpoint)
        facts |= {"outputs": [str(written)]} | training_facts(model, round(time.monotonic() - started, 1), voice)
        voice.rows([("wrote", str(written))])
    return facts, prepared.config


def _read(source: Source, settings: Config) -> Image:
    """The image of a source, with its own scene."""
    own = with_scene(settings, source.scene)
    return source.read(lambda path: read_input(path, own))


def _read_by(sources: Sequence[Source], settings: Config, task: TrainingTask) -> list[Path]:
    """Every file that a training reads."""
    files = [file for source in sources for file in source.all_files()]
    return [*files, *([] if task.config is None else [task.config]), *files_of_settings(settings)]


def _close(entries: list[dict[str, Any]], settings: Config, task: TrainingTask) -> None:
    """The JSON object; or, after a dry run, the settings that would have been used."""
    if task.json:
        show_json({"dry_run": task.dry_run, "config": settings.model_dump(mode="json"), "results": entries})
    elif task.dry_run and not task.quiet:
        from zsdeconv.config import to_yaml

        show(to_yaml(settings).rstrip())
