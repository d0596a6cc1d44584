"""Writing OME-Zarr 0.5: float32, pixel sizes, channel names and colours, and the provenance of the image."""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import secrets
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from zsdeconv.errors import OutputError
from zsdeconv.image import SPATIAL_AXES, Image
from zsdeconv.io.atomic import refuse_link
from zsdeconv.io.metadata.annotation import ANNOTATION_NAMESPACE, plain
from zsdeconv.io.metadata.statements import QUANTITIES
from zsdeconv.io.ome_values import title

if TYPE_CHECKING:
    from yaozarrs import v05

_ORDER = "TCPZYX"
"""Law: time first, then channels or an axis of another kind, then space (OME-Zarr 0.5)."""
_TYPED = "TZYX"
"""Law: axes of time and space; of others there is one at most (OME-Zarr 0.5)."""
_MAX_AXES = 5
"""Law: the largest number of axes of an image (OME-Zarr 0.5)."""
_WHITE = (255, 255, 255)
"""Colour of a channel that states none. Chosen: as programs show one channel."""
_ELSEWHERE = ("channels", "colours", "interval_s", "image_name")
"""Metadata that OME-Zarr has a place for."""
_MARKS = ("zarr.json", ".zgroup", ".zattrs")
"""Law: files of which one is in every folder of Zarr (versions 2 and 3)."""


def is_zarr_name(path: Path) -> bool:
    """Whether an output of this name is a folder of Zarr.

    >>> is_zarr_name(Path("cell.ome.zarr")), is_zarr_name(Path("cell.ome.tif"))
    (True, False)
    """
    return path.suffix.lower() == ".zarr"


def refuse_without_zarr(path: Path) -> None:
    """Raise `OutputError` where the packages that write OME-Zarr are not installed."""
    try:
        importlib.import_module("zarr")
        importlib.import_module("yaozarrs.write.v05")
    except ModuleNotFoundError as error:
        raise OutputError(f"{path}: OME-Zarr needs the packages zarr and yaozarrs; pip install 'zsdeconv[formats]'") from error


def refuse_existing_folder(path: Path, overwrite: bool) -> None:
    """Raise `OutputError` for an output folder that is there, unless it is one of Zarr that may be replaced, and for a link."""
    refuse_link(path)
    if not os.path.lexists(path):
        return
    if not overwrite:
        raise OutputError(f"{path}: exists, and existing results are kept; give `overwrite`, or another output")
    if not any((path / mark).is_file() for mark in _MARKS):
        raise OutputError(f"{path}: exists and is no folder of Zarr, which alone is replaced; choose another output")


@contextlib.contextmanager
def atomic_folder(final: str | os.PathLike[str], overwrite: bool = False) -> Iterator[Path]:
    """A path beside `final` for a folder of Zarr, which is renamed to `final` when the block ends without an error, or else removed.

    Raises `OutputError` as `zsdeconv.io.atomic_path`, and for an existing folder that is not one of Zarr.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     with atomic_folder(Path(folder, "a.zarr")) as temporary:
    ...         temporary.mkdir()
    ...     [path.name for path in Path(folder).iterdir()]
    ['a.zarr']
    """
    path = Path(final)
    refuse_existing_folder(path, overwrite)
    temporary = path.with_name(f".partial-{secrets.token_hex(4)}.zarr")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield temporary
        refuse_existing_folder(path, overwrite)  # it may have appeared while the data were written
        _replace(path, temporary)
    except OSError as error:
        raise OutputError(f"{path}: cannot be written ({error.strerror or error}); free some space, or choose another output") from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def write_zarr(path: str | os.PathLike[str], image: Image, *, provenance: Mapping[str, Any], overwrite: bool = False) -> Path:
    """Write an image as OME-Zarr 0.5 (float32) and return the path. The folder appears only when it is complete.

    Axes are ordered T, C or P, Z, Y, X. The raw frames P of structured illumination are an axis without a type.

    Parameters
    ----------
    path
        Name of the folder, by custom ending in ".ome.zarr".
    image
        The image. Its pixel sizes (um), offset and metadata are stored and restored by `zsdeconv.io.read`.
    provenance
        How the image came about, stored among the attributes.
    overwrite
        Whether an existing folder of Zarr is replaced.

    Returns
    -------
    Path
        The folder.

    Raises
    ------
    OutputError
        When the folder exists and `overwrite` is false, or is no folder of Zarr; when it cannot be written; for an image with too many
        axes, and when the package for OME-Zarr is not installed.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     write_zarr(Path(folder, "a.ome.zarr"), Image(np.eye(9), "YX", {"Y": 0.1, "X": 0.1}), provenance={"seed": 1}).name
    'a.ome.zarr'
    """
    path = Path(path)
    refuse_without_zarr(path)
    from yaozarrs.write.v05 import write_image

    ordered = image.transposed("".join(axis for axis in _ORDER if axis in image.axes))
    if len(ordered.axes) > _MAX_AXES or len(set(ordered.axes) - set(_TYPED)) > 1:
        raise OutputError(
            f"{path}: axes {image.axes}, OME-Zarr holds up to {_MAX_AXES} and one of C and P; choose a name ending in .ome.tif"
        )
    with atomic_folder(path, overwrite) as temporary:
        extra = {ANNOTATION_NAMESPACE: _annotation(ordered, provenance)}
        write_image(temporary, _model(path, ordered), ordered.data.astype(np.float32), writer="zarr", extra_attributes=extra)
    return path


def _replace(path: Path, complete: Path) -> None:
    """Put the complete folder in place of an older one, which is moved aside first and is back if that fails."""
    aside = path.with_name(f".replaced-{secrets.token_hex(4)}.zarr")
    older = path.exists()
    if older:
        os.replace(path, aside)
    try:
        os.replace(complete, path)
    except OSError:
        if older:
            os.replace(aside, path)
        raise
    shutil.rmtree(aside, ignore_errors=True)


def _model(path: Path, image: Image) -> v05.Image:
    from yaozarrs import v05

    interval_s = image.metadata.get("interval_s")
    axes: list[Any] = []
    scale: list[float] = []
    for axis in image.axes:
        name = axis.lower()
        if axis in SPATIAL_AXES:
            um = image.spacing_um.get(axis)
            axes.append(v05.SpaceAxis(name=name, unit="micrometer" if um is not None else None))
            scale.append(1.0 if um is None else float(um))
        elif axis == "T":
            axes.append(v05.TimeAxis(name=name, unit="second" if interval_s else None))
            scale.append(float(interval_s or 1.0))
        else:
            axes.append(v05.ChannelAxis(name=name) if axis == "C" else v05.CustomAxis(name=name))
            scale.append(1.0)
    placed: list[Any] = [v05.ScaleTransformation(scale=scale)]
    origin = (image.metadata.get("deskewed") or {}).get("origin_um") or {}
    if any(origin.values()):
        placed.append(v05.TranslationTransformation(translation=[float(origin.get(axis, 0.0)) for axis in image.axes]))
    dataset = v05.Dataset(path="0", coordinateTransformations=placed)
    name = title(image.metadata) or path.name.partition(".")[0]
    return v05.Image(multiscales=[v05.Multiscale(name=name, axes=axes, datasets=[dataset])], omero=_omero(image))


def _omero(image: Image) -> v05.Omero | None:
    """Names, colours and limits of the channels; None for an image that names none."""
    from yaozarrs import v05

    count = image.sizes.get("C", 1)
    names, colours = list(image.metadata.get("channels") or ()), list(image.metadata.get("colours") or ())
    if count not in (len(names), len(colours)):
        return None
    planes = np.moveaxis(image.data, image.axes.index("C"), 0) if "C" in image.axes else image.data[None]
    channels = []
    for number, plane in enumerate(planes):
        finite = plane[np.isfinite(plane)]
        low, high = (float(finite.min()), float(finite.max())) if finite.size else (0.0, 1.0)
        colour = (colours[number] if len(colours) == count else None) or _WHITE
        label = str(names[number]) if len(names) == count else ""
        window = v05.OmeroWindow(start=low, min=low, end=high, max=high)
        channels.append(v05.OmeroChannel(label=label, color="".join(f"{part:02X}" for part in colour), window=window, active=True))
    return v05.Omero(channels=channels)


def _annotation(image: Image, provenance: Mapping[str, Any]) -> dict[str, Any]:
    """What OME-Zarr has no place for."""
    known = ("kind", "name", *QUANTITIES)
    metadata = {key: image.metadata[key] for key in known if key not in _ELSEWHERE and image.metadata.get(key)}
    kind = {"kind": metadata.pop("kind")} if "kind" in metadata else {}
    noted = {"axes": image.axes, "offset": image.offset, "provenance": dict(provenance), "metadata": metadata, **kind}
    return json.loads(json.dumps(noted, default=plain))
