"""Where the results of a restoration go, and that they appear together or not at all."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol, TypeAlias

from zsdeconv.cli.inputs import Source, file_name
from zsdeconv.errors import ConfigError

if TYPE_CHECKING:
    from zsdeconv.channels import ChannelModels, RestoredChannels
    from zsdeconv.model import Model, Restored

AnyRestored: TypeAlias = "Restored | RestoredChannels"
AnyModel: TypeAlias = "Model | ChannelModels"
ImageFormat: TypeAlias = Literal["tif", "zarr"]
KINDS = ("reconstructed", "denoised", "deconvolved", "uncertainty")
SOMETIMES = ("reconstructed", "uncertainty")
"""Images that not every run makes."""
IMAGE_ENDINGS = (".ome.tiff", ".ome.tif", ".ome.zarr", ".tiff", ".tif")


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

    def complete(self) -> bool:
        """Whether a run has written all that every run writes."""
        return all(path.exists() for path in self.all() if path not in [self.report, *map(self.image, SOMETIMES)])


@dataclass(frozen=True)
class Predicted(Results):
    """The files of a prediction: images, and the report where one is asked for."""

    with_report: bool = False

    def all(self) -> list[Path]:
        return [*self.targets().values(), *([self.report] if self.with_report else [])]


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


def checkpoint_of(model: Path) -> Path:
    """The hidden file beside a model from which its interrupted training continues."""
    return model.with_name(f".{model.stem}_checkpoint.zsd")


def results_of(sources: Sequence[Source], make: Callable[[str], Results]) -> list[tuple[Source, Results]]:
    """The results of each input, made of what they are called after. Raises `ConfigError` when two would have the same names."""
    stems: dict[str, Path] = {}
    for source in sources:
        stem = _stem_of(source)
        if stem in stems:
            raise ConfigError(
                f"{stems[stem]} and {source.path} would both write {make(stem).image('denoised').name}; "
                "rename one, or restore them into two folders"
            )
        stems[stem] = source.path
    return [(source, make(stem)) for source, stem in zip(sources, stems, strict=True)]


def write_run(results: Results, restored: AnyRestored, provenance: dict[str, Any], *, overwrite: bool) -> list[Path]:
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
    for stale in set(results.all()) - set(written) if overwrite else ():
        _remove(stale)
    return written


def write_model(results: Results, model: AnyModel, *, overwrite: bool) -> list[Path]:
    """Write a model, its configuration and its log; all or none. The files."""
    with ExitStack() as stack:
        _write_model(stack, results, model, overwrite)
    return results.model_files()


def write_images(places: Places, restored: AnyRestored, provenance: dict[str, Any], *, overwrite: bool) -> list[Path]:
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
    return list(chosen.values())


def _write_model(stack: ExitStack, results: Results, model: AnyModel, overwrite: bool) -> None:
    from zsdeconv.config import to_yaml

    model.save(_staged(stack, results.model, overwrite), overwrite=True)
    _staged(stack, results.config, overwrite).write_text(to_yaml(model.config), encoding="utf-8")
    _staged(stack, results.log, overwrite).write_text(_log(model), encoding="utf-8")


def _write_images(stack: ExitStack, targets: dict[str, Path], restored: AnyRestored, provenance: dict[str, Any], overwrite: bool) -> None:
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


def _stem_of(source: Source) -> str:
    """What the results of an input are called after: its file or folder, and the scene of it where one was chosen."""
    folder = source.movie and source.path.is_dir()
    stem = (source.path.name or source.path.resolve().name) if folder else _stem(source.path)
    return stem if source.scene is None else f"{stem}_{file_name(source.scene)}"


def _stem(path: Path) -> str:
    """The name of an input without its ending."""
    ending = next((e for e in IMAGE_ENDINGS if path.name.lower().endswith(e)), path.suffix)
    return path.name[: len(path.name) - len(ending)] or path.name
