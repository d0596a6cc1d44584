"""What the results of each input of a command line are called."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from zsdeconv.cli.inputs import Source, file_name
from zsdeconv.errors import ConfigError
from zsdeconv.results import Results, stem_of


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


def _stem_of(source: Source) -> str:
    """What the results of an input are called after: its file or folder, and the scene of it where one was chosen."""
    folder = source.movie and source.path.is_dir()
    stem = (source.path.name or source.path.resolve().name) if folder else stem_of(source.path)
    return stem if source.scene is None else f"{stem}_{file_name(source.scene)}"
