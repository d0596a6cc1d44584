"""Where the results of a restoration go, and that they appear together or not at all."""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from zsdeconv.errors import ConfigError, OutputError

if TYPE_CHECKING:
    from zsdeconv.model import Model, Restored
    from zsdeconv.report.page.report import Report

KINDS = ("reconstructed", "denoised", "deconvolved", "uncertainty")
SOMETIMES = ("reconstructed", "uncertainty")
"""Images that not every run makes."""
IMAGE_ENDINGS = (".ome.tiff", ".ome.tif", ".tiff", ".tif")


@dataclass(frozen=True)
class Results:
    """The files that the restoration of one input makes: `folder`/`stem`..."""

    folder: Path
    stem: str

    def image(self, kind: str) -> Path:
        """An image, one of `KINDS`."""
        return self.folder / f"{self.stem}_{kind}.ome.tif"

    @property
    def model(self) -> Path:
        return self.folder / f"{self.stem}.zsd"

    @property
    def config(self) -> Path:
        return self.folder / f"{self.stem}_config.yaml"

    @property
    def log(self) -> Path:
        return self.folder / f"{self.stem}_log.jsonl"

    @property
    def report(self) -> Path:
        return self.folder / f"{self.stem}_report.html"

    @property
    def checkpoint(self) -> Path:
        """What an interrupted training continues from; gone when it is complete."""
        return checkpoint_of(self.model)

    def images(self) -> list[Path]:
        """The images of a prediction."""
        return [self.image(kind) for kind in KINDS]

    def all(self) -> list[Path]:
        """The files of a run."""
        return [*self.images(), self.model, self.config, self.log, self.report]

    def complete(self) -> bool:
        """Whether a run has written all that every run writes."""
        return all(path.exists() for path in self.all() if path not in [self.report, *map(self.image, SOMETIMES)])


def checkpoint_of(model: Path) -> Path:
    """The hidden file beside a model from which its interrupted training continues."""
    return model.with_name(f".{model.stem}_checkpoint.zsd")


def results_of(inputs: Sequence[Path], folder: Path) -> dict[Path, Results]:
    """The results of each input. Raises `ConfigError` when two would have the same names."""
    stems: dict[str, Path] = {}
    for path in inputs:
        stem = _stem(path)
        if stem in stems:
            raise ConfigError(
                f"{stems[stem]} and {path} would both write {stem}_denoised.ome.tif; rename one, or restore them into two folders"
            )
        stems[stem] = path
    return {path: Results(folder, stem) for stem, path in stems.items()}


def refuse_existing(paths: Sequence[Path], overwrite: bool) -> None:
    """Raise `OutputError` for the first result that is already there, before any time is spent."""
    for path in paths:
        if path.exists() and not overwrite:
            raise OutputError(f"{path}: exists, and existing results are kept; give --overwrite, or another output with -o")
        ancestor = next((a for a in path.parents if a.exists()), path.parent)
        if ancestor.exists() and not ancestor.is_dir():
            raise OutputError(f"{ancestor}: is a file, a folder is needed; choose another output with -o")


def write_run(results: Results, restored: Restored, report: Report | None, provenance: dict[str, Any], *, overwrite: bool) -> list[Path]:
    """Write images, model, configuration, log and a report; all appear under their names, or, when something fails, none does.

    Parameters
    ----------
    results
        Where they go.
    restored
        Images and model.
    report
        The report, None for none.
    provenance
        What the images say about how they came about.
    overwrite
        Whether existing files are replaced.

    Returns
    -------
    The files.
    """
    from zsdeconv.config import to_yaml

    model = restored.model
    targets = {kind: results.image(kind) for kind in restored.images()}
    with ExitStack() as stack:
        _write_images(stack, targets, restored, provenance, overwrite)
        model.save(_staged(stack, results.model, overwrite), overwrite=True)
        _staged(stack, results.config, overwrite).write_text(to_yaml(model.config), encoding="utf-8")
        _staged(stack, results.log, overwrite).write_text(_log(model), encoding="utf-8")
        if report is not None:
            report.save(_staged(stack, results.report, overwrite), overwrite=True)
    return [*targets.values(), results.model, results.config, results.log, *([] if report is None else [results.report])]


def write_images(targets: dict[str, Path], restored: Restored, provenance: dict[str, Any], *, overwrite: bool) -> list[Path]:
    """Write images; all or none.

    Parameters
    ----------
    targets
        Where each kind of image goes; kinds that were not restored are left out.
    restored, provenance, overwrite
        As in `write_run`.

    Returns
    -------
    The files.
    """
    chosen = {kind: path for kind, path in targets.items() if kind in restored.images()}
    with ExitStack() as stack:
        _write_images(stack, chosen, restored, provenance, overwrite)
    return list(chosen.values())


def _write_images(stack: ExitStack, targets: dict[str, Path], restored: Restored, provenance: dict[str, Any], overwrite: bool) -> None:
    from zsdeconv.io import write

    for kind, path in targets.items():
        image = restored.images()[kind]
        noted = {key: image.metadata[key] for key in ("stripes",) if key in image.metadata}
        write(_staged(stack, path, overwrite), image, provenance=provenance | noted, overwrite=True)


def _staged(stack: ExitStack, path: Path, overwrite: bool) -> Path:
    """A temporary path that becomes `path` when the whole stack ends well."""
    from zsdeconv.io import atomic_path

    return stack.enter_context(atomic_path(path, overwrite))


def _log(model: Model) -> str:
    return "".join(json.dumps(event) + "\n" for event in model.history)


def _stem(path: Path) -> str:
    """The name of an input without its ending."""
    ending = next((e for e in IMAGE_ENDINGS if path.name.lower().endswith(e)), path.suffix)
    return path.name[: len(path.name) - len(ending)] or path.name
