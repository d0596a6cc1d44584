"""An `Image` from the metadata of a file and the options of the user, which take precedence; the source of each value is kept."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from zsdeconv.errors import ConfigError, ImageError
from zsdeconv.image import KNOWN_AXES, SPATIAL_AXES, Image
from zsdeconv.io.units import MAX_PIXEL_UM, MIN_PIXEL_UM, is_pixel_size, plausible

_PIXEL_TYPES = ("uint8", "uint16", "uint32", "int8", "int16", "int32", "float32", "float64")


@dataclass(frozen=True)
class Options:
    """Options of the user for a file: letters of the axes, lateral pixel size and step between planes. None: the value of the file.

    With a step between planes, an unnamed dimension of the file is Z.

    Raises `ConfigError` for a length outside 1 nm to 1 mm and for invalid axes.

    >>> Options(axes="tyx", pixel_um=0.065).axes
    'TYX'
    """

    axes: str | None = None
    pixel_um: float | None = None
    z_um: float | None = None

    def __post_init__(self) -> None:
        for name, um in (("pixel_um", self.pixel_um), ("z_um", self.z_um)):
            if um is not None and not is_pixel_size(um):
                limits = f"it must lie between {MIN_PIXEL_UM:g} and {MAX_PIXEL_UM:g} um"
                raise ConfigError(f"{name} {um:g}: {limits}; give {name} in micrometres (65 nm is 0.065)")
        if self.axes is not None:
            object.__setattr__(self, "axes", _checked_letters(self.axes))


def assemble(
    name: str,
    data: np.ndarray,
    axes: str,
    spacing_um: Mapping[str, float],
    metadata: Mapping[str, Any],
    options: Options,
    *,
    placeholder_um: float | None = 1.0,
    offset: float | None = None,
) -> Image:
    """The image in a file, from its data, its metadata and the options.

    Parameters
    ----------
    name
        Name of the file, for messages.
    data
        Pixels as stored.
    axes, spacing_um
        According to the file. Unknown letters stand for unnamed dimensions.
    metadata
        Further metadata of the file, kept in the image.
    options
        Values of the user, which take precedence.
    placeholder_um
        Pixel size that marks an uncalibrated image; None: the format has no such value.
    offset
        Camera offset in ADU, where known.

    Returns
    -------
    Image
        In the byte order of this machine. Its `metadata["sources"]` is "file", "option" or "missing" for `axes`, `pixel_um` and `z_um`.

    Raises
    ------
    ImageError
        For pixel types that no camera image has, and for dimensions that neither the file nor an option names.
    """
    _refuse_type(name, data.dtype)
    data, axes = _with_axes(name, data, _with_depths(axes, options), options.axes)
    possible = dict.fromkeys("YX", options.pixel_um) | {"Z": options.z_um}
    from_options = {a: um for a, um in possible.items() if a in axes and um is not None}
    from_file = plausible({a: um for a, um in spacing_um.items() if a in axes and a not in from_options}, name, placeholder_um)
    spacing = {a: (from_file | from_options)[a] for a in SPATIAL_AXES if a in from_file | from_options}
    sources = {"axes": "file" if options.axes is None else "option", "pixel_um": _source("X", from_options, from_file)}
    if "Z" in axes:
        sources["z_um"] = _source("Z", from_options, from_file)
    native = data.astype(data.dtype.newbyteorder("="), copy=False)
    return Image(native, axes, spacing, offset, {"name": name, **metadata, "sources": sources})


def _source(axis: str, from_options: Mapping[str, float], from_file: Mapping[str, float]) -> str:
    return "option" if axis in from_options else "file" if axis in from_file else "missing"


def _checked_letters(axes: str) -> str:
    letters = axes.strip().upper()
    if set(letters) - set(KNOWN_AXES) or len(set(letters)) < len(letters) or not {"Y", "X"} <= set(letters):
        raise ConfigError(
            f"`axes` {axes!r}: Y and X are needed, other letters of {KNOWN_AXES} at most once each; give for example `axes=TYX`"
        )
    return letters


def _with_depths(axes: str, options: Options) -> str:
    """The axes of the file, its only unnamed dimension as Z when the options hold a step between planes."""
    unnamed = [a for a in axes if a not in KNOWN_AXES]
    return axes.replace(unnamed[0], "Z") if options.z_um is not None and len(unnamed) == 1 and "Z" not in axes else axes


def _with_axes(name: str, data: np.ndarray, axes: str, given: str | None) -> tuple[np.ndarray, str]:
    """Data and their axes, from the option `given` or else the file. A single plane fits every option that ends in its axes."""
    if given is not None:
        if len(given) > data.ndim and given.endswith(axes):
            data = data.reshape((1,) * (len(given) - data.ndim) + data.shape)
        if len(given) != data.ndim:
            raise ImageError(
                f"{name}: `axes` {given} names {len(given)} dimensions, the file has {data.ndim} {data.shape}; give one letter for each"
            )
        return data, given
    if all(axes.count(a) == 1 and a in KNOWN_AXES for a in axes):
        return data, axes
    unnamed = " and ".join(str(n) for a, n in zip(axes, data.shape, strict=True) if a not in KNOWN_AXES)
    planes = len(axes) == 3 and axes.endswith("YX")
    advice = (
        "`axes` TYX (times), ZYX (depths; or z_um), CYX (channels) or PYX (raw frames of structured illumination)"
        if planes
        else "`axes` with one letter for each dimension"
    )
    raise ImageError(f"{name}: the file does not say what the {unnamed} planes of {data.shape} are; give {advice}")


def _refuse_type(name: str, dtype: np.dtype) -> None:
    if dtype.kind == "c":
        raise ImageError(f"{name}: complex values ({dtype}), an image is real; give the intensity image, or this file as `otf`")
    if dtype.newbyteorder("=").name not in _PIXEL_TYPES:
        raise ImageError(f"{name}: pixels of type {dtype}, readable are {', '.join(_PIXEL_TYPES)}; save the raw image as uint16 or float32")
