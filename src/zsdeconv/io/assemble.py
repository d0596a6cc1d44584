"""From what a file says and what the user says to an `Image`: options win, and where each value came from is kept."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from zsdeconv.errors import ConfigError, ImageError
from zsdeconv.image import KNOWN_AXES, SPATIAL_AXES, Image
from zsdeconv.io.units import LARGEST_UM, SMALLEST_UM, believable, is_pixel_size

_READABLE = ("uint8", "uint16", "uint32", "int8", "int16", "int32", "float32", "float64")


@dataclass(frozen=True)
class Options:
    """What the user states about a file: letters of its axes, lateral pixel size and z step in um; None: as the file says.

    Who gives a z step says that there are depths: planes that the file has no name for are taken as Z then.

    Raises `ConfigError` on a length that is no pixel size (1 nm to 1 mm) and on impossible axes.

    >>> Options(axes="tyx", pixel_um=0.065).axes
    'TYX'
    """

    axes: str | None = None
    pixel_um: float | None = None
    z_um: float | None = None

    def __post_init__(self) -> None:
        for option, um in (("pixel_um", self.pixel_um), ("z_um", self.z_um)):
            if um is not None and not is_pixel_size(um):
                raise ConfigError(
                    f"{option} {um:g}: a pixel is {SMALLEST_UM:g} to {LARGEST_UM:g} um; give {option} in micrometres (65 nm is 0.065)"
                )
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
    """An `Image` of the data of file `name`, whose `axes` (unknown letters allowed) and `spacing_um` the file states.

    `metadata["sources"]` says for `axes`, `pixel_um` and `z_um` whether they came from the "file", an "option" or are
    "missing". Data come out in the byte order of this machine.

    Raises `ImageError` on pixel types that are no camera image, and on axes that neither file nor option names.
    """
    _refuse_type(name, data.dtype)
    data, axes = _with_axes(name, data, _with_depths(axes, options), options.axes)
    claims = {a: um for a, um in spacing_um.items() if a in axes}
    stated = dict.fromkeys((a for a in "YX" if a in axes), options.pixel_um) | ({"Z": options.z_um} if "Z" in axes else {})
    chosen = {a: um for a, um in stated.items() if um is not None}
    believed = believable({a: um for a, um in claims.items() if a not in chosen}, name, placeholder_um)
    spacing = {a: (believed | chosen)[a] for a in SPATIAL_AXES if a in believed | chosen}
    sources = {"axes": "file" if options.axes is None else "option", "pixel_um": _source("X", chosen, believed)}
    if "Z" in axes:
        sources["z_um"] = _source("Z", chosen, believed)
    native = data.astype(data.dtype.newbyteorder("="), copy=False)
    return Image(native, axes, spacing, offset, {"name": name, **metadata, "sources": sources})


def _source(axis: str, chosen: Mapping[str, float], believed: Mapping[str, float]) -> str:
    return "option" if axis in chosen else "file" if axis in believed else "missing"


def _checked_letters(axes: str) -> str:
    letters = axes.strip().upper()
    if set(letters) - set(KNOWN_AXES) or len(set(letters)) < len(letters) or not {"Y", "X"} <= set(letters):
        raise ConfigError(f"`axes` {axes!r}: Y, X and each other letter of {KNOWN_AXES} at most once; give for example `axes=TYX`")
    return letters


def _with_depths(axes: str, options: Options) -> str:
    """The file's axes, with its one nameless dimension as Z when the user has given a z step."""
    nameless = [a for a in axes if a not in KNOWN_AXES]
    return axes.replace(nameless[0], "Z") if options.z_um is not None and len(nameless) == 1 and "Z" not in axes else axes


def _with_axes(name: str, data: np.ndarray, axes: str, wanted: str | None) -> tuple[np.ndarray, str]:
    """Data and their axes, as the option says or else the file; a single plane fits any option that ends in its axes."""
    if wanted is not None:
        if len(wanted) > data.ndim and wanted.endswith(axes):
            data = data.reshape((1,) * (len(wanted) - data.ndim) + data.shape)
        if len(wanted) != data.ndim:
            raise ImageError(
                f"{name}: `axes` {wanted} names {len(wanted)} dimensions, the file has {data.ndim} {data.shape}; give one letter for each"
            )
        return data, wanted
    if all(axes.count(a) == 1 and a in KNOWN_AXES for a in axes):
        return data, axes
    nameless = " and ".join(str(n) for a, n in zip(axes, data.shape, strict=True) if a not in KNOWN_AXES)
    planes = len(axes) == 3 and axes.endswith("YX")
    advice = (
        "TYX (times), ZYX (depths; or z_um), CYX (channels) or PYX (raw frames of structured light)"
        if planes
        else "with one letter for each"
    )
    raise ImageError(f"{name}: the file does not say what the {nameless} planes of {data.shape} are; give `axes` {advice}")


def _refuse_type(name: str, dtype: np.dtype) -> None:
    if dtype.kind == "c":
        raise ImageError(f"{name}: complex values ({dtype}), an image is real; give the intensity image, or an OTF with `otf`")
    if dtype.newbyteorder("=").name not in _READABLE:
        raise ImageError(f"{name}: pixels of type {dtype}, readable are {', '.join(_READABLE)}; save the raw image as uint16 or float32")
