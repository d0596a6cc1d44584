"""Pixels from the arrays that people have (numpy, dask, zarr, xarray, torch), and what labelled ones say of their dimensions."""

from __future__ import annotations

import math
import os
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import numpy as np

from zsdeconv.errors import ImageError
from zsdeconv.image.units import is_pixel_size, s_per, um_per

ArrayLike: TypeAlias = Any
"""A numpy, dask, zarr or xarray array, or anything that `numpy.asarray` turns into numbers."""

NUMBERS = "biuf"
"""Kinds of number types that pixels have (`numpy.dtype.kind`), apart from complex ones, which checks of an image refuse."""
DIMENSIONS = {
    "T": ("t", "time", "frame", "frames", "timepoint"),
    "C": ("c", "channel", "channels", "ch"),
    "Z": ("z", "depth", "plane", "planes", "slice"),
    "Y": ("y", "row", "rows", "height"),
    "X": ("x", "column", "columns", "col", "width"),
    "P": ("p", "phase", "phases"),
}
"""Names of dimensions in any case, as microscopy libraries write them. Chosen: those that can mean one axis alone."""
UNEVENNESS = 0.01
"""Relative difference of neighbouring steps up to which coordinates are even. Chosen: as two statements of a file are the same."""
_UNIT_NAMES = ("units", "unit")


@dataclass(frozen=True)
class Labels:
    """What an array says of itself: axis letters, pixel sizes in um, metadata."""

    axes: str
    spacing_um: Mapping[str, float] = field(default_factory=dict)
    metadata: Mapping[str, Any] = field(default_factory=dict)


def pixels_of(data: ArrayLike) -> np.ndarray:
    """The pixels of an array in memory; masked ones are NaN.

    Raises `ImageError` for what holds no numbers: names of files, objects, texts, and for lazy arrays of unknown size.

    >>> pixels_of([[1, 2], [3, 4]]).dtype.kind, pixels_of(np.ma.array([1.0, 2.0], mask=[True, False])).tolist()
    ('i', [nan, 2.0])
    """
    if isinstance(data, str | os.PathLike):
        raise ImageError(f"{os.fspath(data)!r}: a path, an image is made of pixels; read the file with zsdeconv.read")
    if any(isinstance(n, float) and math.isnan(n) for n in getattr(data, "shape", ())):
        raise ImageError(f"a lazy array of shape {data.shape}: the sizes of its chunks are unknown; call its compute_chunk_sizes() first")
    if isinstance(data, np.ma.MaskedArray):
        data = np.where(np.ma.getmaskarray(data), np.float32(np.nan), data.data)
    try:
        array = np.asarray(data)
    except (TypeError, ValueError, RuntimeError) as error:
        raise ImageError(f"{type(data).__name__}: no array of numbers ({error}); give a numpy array") from error
    if array.dtype.kind not in NUMBERS + "c":
        raise ImageError(
            f"{type(data).__name__} with values of type {array.dtype}: pixels are numbers; give an array of integers or floats"
        )
    return array


def labels_of(data: ArrayLike) -> Labels | None:
    """What an array with named dimensions says: dims and coordinates of xarray, dimension names of zarr; None for one without names.

    Coordinates along Z, Y and X are positions in their stated unit, or, without one, in um unless they only count pixels. Those along C
    are the names of the channels, the step along T is the interval in its stated unit. Raises `ImageError` for names that are no axis.

    >>> import zarr
    >>> labels_of(zarr.zeros((3, 8, 9), dimension_names=("time", "y", "x"))).axes
    'TYX'
    """
    names = getattr(data, "dims", None) or getattr(getattr(data, "metadata", None), "dimension_names", None)
    if not isinstance(names, Sequence) or isinstance(names, str) or not names or all(name is None for name in names):
        return None
    axes = "".join(_letter(name, names) for name in names)
    coordinates = getattr(data, "coords", {})
    known = {axis: coordinates[name] for axis, name in zip(axes, names, strict=True) if name in coordinates}
    spacing = {axis: um for axis in "ZYX" if axis in known and (um := _spacing_um(axis, known[axis])) is not None}
    return Labels(axes, spacing, _metadata_of(data, known))


def _letter(name: Hashable, names: Sequence[Hashable]) -> str:
    found = next((axis for axis, words in DIMENSIONS.items() if str(name).strip().lower() in words), None)
    if found is None:
        raise ImageError(
            f"dimensions {tuple(names)}: {name!r} is no axis, known are T, C, Z, Y, X and P (and words such as time, channel); "
            "rename it, or give axes"
        )
    return found


def _metadata_of(data: ArrayLike, known: Mapping[str, Any]) -> dict[str, Any]:
    """Name, channels and interval, those that the array has."""
    metadata: dict[str, Any] = {}
    if getattr(data, "name", None) and isinstance(data.name, str):
        metadata["name"] = data.name.strip("/") or "array"
    if "C" in known and np.asarray(known["C"]).ndim == 1:
        metadata["channels"] = [str(name) for name in np.asarray(known["C"])]
    step = _step(known["T"]) if "T" in known else None
    if step is not None:
        interval = step / np.timedelta64(1, "s") if isinstance(step, np.timedelta64) else _times(step, s_per(_unit_of(known["T"])))
        if interval is not None and math.isfinite(interval) and interval > 0:
            metadata["interval_s"] = float(interval)
    return metadata


def _times(value: Any, factor: float | None) -> float | None:
    return None if factor is None else float(value) * factor


def _spacing_um(axis: str, coordinate: Any) -> float | None:
    """The step of coordinates in um; None where they count pixels or are of one pixel alone. Raises `ImageError` for uneven ones."""
    unit, values = _unit_of(coordinate), np.asarray(coordinate)
    if values.ndim != 1 or len(values) < 2 or values.dtype.kind not in NUMBERS:
        return None
    step = _step(coordinate)
    if step is None:
        raise ImageError(f"coordinates along {axis}: their steps differ by more than {100 * UNEVENNESS:g} %; resample them, or drop them")
    factor = um_per(unit)
    if factor is None and (unit or values.dtype.kind != "f" or abs(abs(float(step)) - 1) < UNEVENNESS):
        return None
    um = float(f"{abs(float(step)) * (factor or 1.0):.6g}")
    if not is_pixel_size(um):
        raise ImageError(f"coordinates along {axis}: a step of {um:g} um is no pixel of a microscope; state their units, or drop them")
    return um


def _step(coordinate: Any) -> Any:
    """The mean step of coordinates on a regular grid; None for others."""
    values = np.asarray(coordinate)
    if values.ndim != 1 or len(values) < 2 or values.dtype.kind not in NUMBERS + "mM":
        return None
    mean = (values[-1] - values[0]) / (len(values) - 1)
    steps = np.diff(values.astype(np.float64) if values.dtype.kind in NUMBERS else (values - values[0]).astype(np.float64))
    even = np.abs(steps - steps.mean()).max() <= UNEVENNESS * abs(steps.mean())
    return mean if even else None


def _unit_of(coordinate: Any) -> str:
    attributes = getattr(coordinate, "attrs", {})
    return next((str(attributes[name]) for name in _UNIT_NAMES if attributes.get(name)), "")
