"""The files that a restoration makes: their names, and that they appear together or not at all; and what all results can do."""

from __future__ import annotations

import json
import os
import shutil
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol, TypeAlias

from zsdeconv.config import Config, to_yaml

if TYPE_CHECKING:
    from zsdeconv.image import Image

ImageFormat: TypeAlias = Literal["tif", "zarr"]
KINDS = ("reconstructed", "denoised", "deconvolved", "uncertainty")
SOMETIMES = ("reconstructed", "uncertainty")
"""Images that not every run makes."""
IMAGE_ENDINGS = (".ome.tiff", ".ome.tif", ".ome.zarr", ".tiff", ".tif")


class AnyModel(Protocol):
    """A model, or those of several channels."""

    @property
    def config(self) -> Config: ...
    @property
    def history(self) -> Sequence[Mapping[str, Any]]: ...
    @property
    def provenance(self) -> Mapping[str, Any]: ...

    def save(self, path: Path, *, overwrite: bool = False) -> Path: ...


class SavedPage(Protocol):
    """A report."""

    def save(self, path: Path, overwrite: bool = False) -> Path: ...


class Result(ABC):
    """What the results of one channel and of several have in common: they are saved and shown alike."""

    raw: Image
    model: Any

    @abstractmethod
    def images(self) -> Mapping[str, Image]:
        """The images by name, as the command line writes them."""

    @abstractmethod
    def report(self, title: str = "image") -> SavedPage:
        """What was done and how far to trust it."""

    def save(
        self,
        folder: str | os.PathLike[str],
        name: str | None = None,
        *,
        report: bool | SavedPage = True,
        image_format: ImageFormat = "tif",
        overwrite: bool = False,
    ) -> list[Path]:
        """Write what `zsdeconv run` writes: the images, the model, its configuration and its log, and the report.

        Parameters
        ----------
        folder : where the files go, made where it is missing
        name : what they are called after, by default the file of the image
        report : whether the report is made as well, which takes about a minute; or one that was made before
        image_format : "tif" for OME-TIFF, "zarr" for OME-Zarr
        overwrite : whether existing files are replaced

        Returns
        -------
        The files, which appear when all but the report are complete.

        Raises
        ------
        OutputError
            Before anything is written, for existing files unless `overwrite`; and where nothing can be written.
        """
        from zsdeconv.io import refuse_kept

        called = str(self.raw.metadata.get("name") or "image")
        results = Results(Path(folder), name or stem_of(Path(called)), image_format=image_format)
        for path in results.all():
            refuse_kept(path, overwrite)
        part = {"crop": crop} if (crop := self.raw.metadata.get("crop")) else {}
        said = provenance_of(self.model, called, {"pixels": self.raw.fingerprint(), **part})
        written = write_run(results, self, said, overwrite=overwrite)
        if not report:
            return written
        page = self.report(called) if report is True else report
        return [*written, page.save(results.report, overwrite)]

    def _repr_html_(self) -> str:
        from zsdeconv.image.display import compared, table

        shown = {"raw": self.raw, **{kind: image for kind, image in self.images().items() if kind != "uncertainty"}}
        return compared(shown) + table([(name, repr(image)) for name, image in shown.items()])


def provenance_of(model: AnyModel, name: str, also: Mapping[str, Any]) -> dict[str, Any]:
    """What an image says about how it came about: the `name` of the input, and `also` which part of it."""
    return {"input": name, **also, "seed": model.config.seed, "config": model.config.model_dump(mode="json"), **model.provenance}


class Places(Protocol):
    """Where the results of one input go; `stem` is what they are called after."""

    @property
    def stem(self) -> str: ...

    def targets(self) -> dict[str, Path]:
        """The images by their kind."""
        ...

    def all(self) -> list[Path]:
        """Every file that may be written."""
        ...

    def replaced(self) -> list[Path]:
        """Every file that overwriting replaces, or removes where there is no new one."""
        ...


@dataclass(frozen=True)
class Results:
    """The files that the restoration of one input makes: `folder`/`stem`...; without a model where one serves several inputs.

    Images are files of OME-TIFF or folders of OME-Zarr.
    """

    folder: Path
    stem: str
    own_model: bool = True
    image_format: ImageFormat = "tif"

    def image(self, kind: str) -> Path:
        """An image, one of `KINDS`."""
        return self.folder / f"{self.stem}_{kind}.ome.{self.image_format}"

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
        """What an interrupted run continues from; gone when everything is written."""
        return checkpoint_of(self.model)

    def targets(self) -> dict[str, Path]:
        return {kind: self.image(kind) for kind in KINDS}

    def model_files(self) -> list[Path]:
        """The model, and what is written with it."""
        return [self.model, self.config, self.log]

    def all(self) -> list[Path]:
        return [*self.targets().values(), *(self.model_files() if self.own_model else []), self.report]

    def replaced(self) -> list[Path]:
        return self.all()

    def complete(self) -> bool:
        """Whether a run has written all that every run writes."""
        return all(path.exists() for path in self.all() if path not in [self.report, *map(self.image, SOMETIMES)])


@dataclass(frozen=True)
class Predicted(Results):
    """The files of a prediction: images, and the report where one is asked for."""

    with_report: bool = False

    def all(self) -> list[Path]:
        return [*self.targets().values(), *([self.report] if self.with_report else [])]

    def replaced(self) -> list[Path]:
        return [*self.targets().values(), self.report]


@dataclass(frozen=True)
class SingleImage:
    """One named file: the deconvolved image of a prediction."""

    path: Path

    @property
    def stem(self) -> str:
        return self.path.stem

    def targets(self) -> dict[str, Path]:
        return {"deconvolved": self.path}

    def all(self) -> list[Path]:
        return [self.path]

    def replaced(self) -> list[Path]:
        return [self.path]


def checkpoint_of(model: Path) -> Path:
    """The hidden file beside a model from which its interrupted training continues."""
    return model.with_name(f".{model.stem}_checkpoint.zsd")


def write_run(results: Results, restored: Result, provenance: dict[str, Any], *, overwrite: bool) -> list[Path]:
    """Write images, and with an own model that, its configuration and its log; all appear under their names, or none when one fails.

    Parameters
    ----------
    results
        Where they go.
    restored
        Images and model.
    provenance
        What the images say about how they came about.
    overwrite
        Whether existing files are replaced; those of an earlier run that this one does not make are removed then.

    Returns
    -------
    The files.
    """
    targets = {kind: path for kind, path in results.targets().items() if kind in restored.images()}
    with ExitStack() as stack:
        _write_images(stack, targets, restored, provenance, overwrite)
        if results.own_model:
            _write_model(stack, results, restored.model, overwrite)
    written = [*targets.values(), *(results.model_files() if results.own_model else [])]
    _remove_stale(results, written, overwrite)
    return written


def write_model(results: Results, model: AnyModel, *, overwrite: bool) -> list[Path]:
    """Write a model, its configuration and its log; all or none. The files."""
    with ExitStack() as stack:
        _write_model(stack, results, model, overwrite)
    return results.model_files()


def write_images(places: Places, restored: Result, provenance: dict[str, Any], *, overwrite: bool) -> list[Path]:
    """Write images; all or none.

    Parameters
    ----------
    places
        Where each kind of image goes; kinds that were not restored are left out.
    restored, provenance, overwrite
        As in `write_run`.

    Returns
    -------
    The files.
    """
    chosen = {kind: path for kind, path in places.targets().items() if kind in restored.images()}
    with ExitStack() as stack:
        _write_images(stack, chosen, restored, provenance, overwrite)
    _remove_stale(places, list(chosen.values()), overwrite)
    return list(chosen.values())


def _remove_stale(places: Places, written: list[Path], overwrite: bool) -> None:
    """Remove what belongs to results that were overwritten, such as their report."""
    for stale in set(places.replaced()) - set(written) if overwrite else ():
        _remove(stale)


def _write_model(stack: ExitStack, results: Results, model: AnyModel, overwrite: bool) -> None:
    model.save(_staged(stack, results.model, overwrite), overwrite=True)
    _staged(stack, results.config, overwrite).write_text(to_yaml(model.config), encoding="utf-8")
    _staged(stack, results.log, overwrite).write_text(_log(model), encoding="utf-8")


def _write_images(stack: ExitStack, targets: dict[str, Path], restored: Result, provenance: dict[str, Any], overwrite: bool) -> None:
    from zsdeconv.io import write

    for kind, path in targets.items():
        image = restored.images()[kind]
        noted = {key: image.metadata[key] for key in ("stripes",) if key in image.metadata}
        write(_staged(stack, path, overwrite), image, provenance=provenance | noted, overwrite=True)


def _staged(stack: ExitStack, path: Path, overwrite: bool) -> Path:
    """A temporary path that becomes `path` when the whole stack ends well."""
    from zsdeconv.io import staged

    return stack.enter_context(staged(path, overwrite))


def _remove(result: Path) -> None:
    """Remove a result of an earlier run, if it is there."""
    if result.is_dir():
        shutil.rmtree(result)
    else:
        result.unlink(missing_ok=True)


def _log(model: AnyModel) -> str:
    return "".join(json.dumps(event) + "\n" for event in model.history)


def stem_of(path: Path) -> str:
    """The name of an input without its ending.

    >>> stem_of(Path("cell.2.ome.tif")), stem_of(Path("cell.czi")), stem_of(Path(".tif"))
    ('cell.2', 'cell', '.tif')
    """
    ending = next((e for e in IMAGE_ENDINGS if path.name.lower().endswith(e)), path.suffix)
    return path.name[: len(path.name) - len(ending)] or path.name
