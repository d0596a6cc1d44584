"""The files of a result, found by any of them or by their folder."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from zsdeconv.errors import ImageError
from zsdeconv.io import described
from zsdeconv.io.folder import natural_order

KINDS = ("reconstructed", "denoised", "deconvolved", "uncertainty")
"""The images of a result, by what their names end in, in the order in which they are shown."""
ENDINGS = (".ome.tif", ".ome.zarr")
BESIDE = (".zsd", "_report.html", "_config.yaml", "_log.jsonl")
"""Endings of the other files of a result."""
MAX_RESULTS = 12
"""Results of a folder on one page. Chosen: they share the room of a page, and each still shows 600 x 600 pixels."""
_ADVICE = "give the folder that run or predict has written to, or an image in it"


@dataclass(frozen=True)
class ResultFiles:
    """The files of one result: `images` by their kind; model and report where they lie beside them."""

    name: str
    images: Mapping[str, Path]
    model: Path | None = None
    report: Path | None = None

    @property
    def folder(self) -> Path:
        """Where the images lie."""
        return next(iter(self.images.values())).parent


def find_results(path: Path) -> list[ResultFiles]:
    """The results that a path stands for: a folder, or one of the files of a result (image, model, report, configuration, log).

    Raises `ImageError` where there is none, and for a folder with more than `MAX_RESULTS`.
    """
    if not path.exists():
        raise ImageError(f"{path}: no such file or folder; {_ADVICE}")
    if path.is_dir() and path.suffix.lower() != ".zarr":
        return _in_folder(path)
    stem, kind, ending = _parts(path.name)
    if kind:
        return [_result(path.parent, stem, ending)]
    for tail in BESIDE:
        if path.name.endswith(tail):
            stem = path.name.removesuffix(tail)
            found = [_result(path.parent, stem, each) for each in _endings(path.parent, stem)]
            if not found:
                raise ImageError(f"{path}: no image of this result lies beside it ({stem}_deconvolved.ome.tif and others); {_ADVICE}")
            return found
    return [_named_freely(path)]


def _in_folder(folder: Path) -> list[ResultFiles]:
    names = [_parts(path.name)[::2] for path in sorted(folder.iterdir(), key=natural_order) if _parts(path.name)[1]]
    found = [_result(folder, stem, ending) for stem, ending in dict.fromkeys(names)]
    if not found:
        raise ImageError(f"{folder}: no result is in it (no image is called ..._{'|'.join(KINDS[1:])}.ome.tif or .ome.zarr); {_ADVICE}")
    if len(found) > MAX_RESULTS:
        example = next(iter(found[0].images.values()))
        raise ImageError(f"{folder}: {len(found)} results, a page holds {MAX_RESULTS}; give one of them, for example {example}")
    return found


def _named_freely(path: Path) -> ResultFiles:
    """An image that is called otherwise, such as the single one of a prediction: by the kind that stands in it."""
    kind = described(path).metadata.get("kind")
    if kind not in KINDS:
        raise ImageError(f"{path}: is no result of a restoration, which says of itself what it is; {_ADVICE}")
    return ResultFiles(path.name.partition(".")[0] or path.name, {kind: path})


def _result(folder: Path, stem: str, ending: str) -> ResultFiles:
    images = {kind: path for kind in KINDS if (path := folder / f"{stem}_{kind}{ending}").exists()}
    model, report = folder / f"{stem}.zsd", folder / f"{stem}_report.html"
    several = len(_endings(folder, stem)) > 1
    name = f"{stem} ({ending.removeprefix('.ome.')})" if several else stem
    return ResultFiles(name, images, _if_there(model), _if_there(report))


def _endings(folder: Path, stem: str) -> list[str]:
    """The formats in which images of a result are there."""
    return [ending for ending in ENDINGS if any((folder / f"{stem}_{kind}{ending}").exists() for kind in KINDS)]


def _parts(name: str) -> tuple[str, str, str]:
    """What a result is called after, the kind of the image and its ending; empty for other names.

    >>> _parts("cell_denoised.ome.tif"), _parts("cell.tif"), _parts(".partial-1_denoised.ome.tif")
    (('cell', 'denoised', '.ome.tif'), ('', '', ''), ('', '', ''))
    """
    for kind in KINDS:
        for ending in ENDINGS:
            stem = name.removesuffix(f"_{kind}{ending}")
            if stem not in (name, "") and not name.startswith("."):
                return stem, kind, ending
    return "", "", ""


def _if_there(path: Path) -> Path | None:
    return path if path.is_file() else None
