"""An `Image` from a source and the options of the user, which take precedence; the source of each value is kept."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from zsdeconv.errors import ConfigError, ImageError
from zsdeconv.image import KNOWN_AXES, SPATIAL_AXES, Image
from zsdeconv.image.units import is_pixel_size, pixel_size_limits
from zsdeconv.io.memory import refuse_larger_than_memory
from zsdeconv.io.metadata.statements import SIZES, settled
from zsdeconv.io.source import Source

_PIXEL_TYPES = ("uint8", "uint16", "uint32", "int8", "int16", "int32", "float32", "float64")


@dataclass(frozen=True)
class Options:
    """Options of the user for a file: letters of the axes, lateral pixel size, step between planes, scene. None: the value of the file.

    With a step between planes, an unnamed dimension of the file is Z. A scene is a number (from 1) or a name.

    Raises `ConfigError` for a length outside 1 nm to 1 mm and for invalid axes.

    >>> Options(axes="tyx", pixel_um=0.065).axes
    'TYX'
    """

    axes: str | None = None
    pixel_um: float | None = None
    z_um: float | None = None
    scene: str | int | None = None

    def __post_init__(self) -> None:
        for name, um in (("pixel_um", self.pixel_um), ("z_um", self.z_um)):
            if um is not None and not is_pixel_size(um):
                raise ConfigError(f"{name} {um:g}: {pixel_size_limits()}; give {name} in micrometres (65 nm is 0.065)")
        if self.axes is not None:
            object.__setattr__(self, "axes", _checked_letters(self.axes))


@dataclass(frozen=True)
class Description:
    """All that is known of an image before its pixels are read: see `zsdeconv.Image`."""

    axes: str
    shape: tuple[int, ...]
    dtype: np.dtype
    spacing_um: dict[str, float]
    offset: float | None
    metadata: dict[str, Any]

    @property
    def sizes(self) -> dict[str, int]:
        """Length of each axis, in the order of the data."""
        return dict(zip(self.axes, self.shape, strict=True))


def describe(name: str, source: Source, options: Options) -> Description:
    """What a file and the options say of one of its images.

    Raises `ImageError` for pixel types that no camera image has, for colours, and for dimensions that neither the file nor an option names.
    Warns (`DataWarning`) of implausible or contradictory pixel sizes in the file.

    Parameters
    ----------
    name
        Name of the file, for messages.
    source
        The image in the file.
    options
        Values of the user, which take precedence.

    Returns
    -------
    Description
        Its `metadata["sources"]` is "file", "option" or "missing" for `axes`, `pixel_um` and `z_um`; `metadata["stated_by"]` says where in
        the file each value stands, `metadata["overruled_um"]` what it says of pixel sizes that the user gave.
    """
    _refuse_type(name, source.dtype)
    axes = _samples_as_channels(name, source, options)
    shape, axes = _as_written(source.shape, axes, source.annotation)
    shape, axes = _with_axes(name, shape, _with_depths(axes, options), options.axes)
    possible = dict.fromkeys("YX", options.pixel_um) | {"Z": options.z_um}
    from_options = {a: um for a, um in possible.items() if a in axes and um is not None}
    taken = settled(name, source.said, axes, silent=list(from_options))
    from_file = {a: um for a, um in taken.spacing_um.items() if a not in from_options}
    spacing = {a: (from_file | from_options)[a] for a in SPATIAL_AXES if a in from_file | from_options}
    sources = {"axes": "file" if options.axes is None else "option", "pixel_um": _source("X", from_options, from_file)}
    if "Z" in axes:
        sources["z_um"] = _source("Z", from_options, from_file)
    given = {SIZES[axis] for axis in from_options}
    metadata = {"name": name, "format": source.format, **taken.metadata, "sources": sources}
    metadata["stated_by"] = {quantity: said for quantity, said in taken.origins.items() if quantity not in given}
    metadata["overruled_um"] = {a: um for a, um in taken.spacing_um.items() if a in from_options}
    if source.scene:
        metadata["scene"] = source.scene
    if source.annotation:
        metadata["provenance"] = source.annotation.get("provenance") or {}
        metadata |= {key: source.annotation[key] for key in ("kind",) if source.annotation.get(key)}
    dtype = np.dtype(source.dtype).newbyteorder("=")
    return Description(axes, shape, dtype, spacing, source.annotation.get("offset"), metadata)


def assemble(name: str, source: Source, options: Options) -> Image:
    """The image of a source with its pixels, in the byte order of this machine. Raises and warns as `describe`.

    >>> from zsdeconv.io.source import FileSource
    >>> data = np.zeros((3, 4))
    >>> assemble("a.npy", FileSource("npy", "YX", (3, 4), data.dtype, lambda region: data[region]), Options()).sizes
    {'Y': 3, 'X': 4}
    """
    described = describe(name, source, options)
    refuse_larger_than_memory(name, float(np.prod(described.shape, dtype=float)) * described.dtype.itemsize, "reading it")
    data = source.read().reshape(described.shape)
    _refuse_type(name, data.dtype)  # the file's word on planes in another file may be wrong
    data = data.astype(data.dtype.newbyteorder("="), copy=False)
    return Image(data, described.axes, described.spacing_um, described.offset, described.metadata)


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


def _samples_as_channels(name: str, source: Source, options: Options) -> str:
    """Axes with the samples of a pixel (S) as channels; colours are refused unless the options name the axes."""
    axes = source.axes
    if "S" not in axes:
        return axes
    if source.coloured and options.axes is None:
        raise ImageError(
            f"{name}: RGB colours ({source.shape[axes.index('S')]} samples a pixel), one intensity is needed; save the raw camera image or "
            f"split the channels (if they are separate channels, give `axes` {axes.replace('S', 'C')})"
        )
    return axes.replace("S", "R" if "C" in axes else "C")


def _as_written(shape: tuple[int, ...], axes: str, annotation: Mapping[str, Any]) -> tuple[tuple[int, ...], str]:
    """Shape and axes with the dimensions of length 1 that the image had when this package wrote it."""
    written = str(annotation.get("axes", axes))
    if len(written) <= len(axes) or [a for a in written if a in axes] != list(axes):
        return shape, axes
    sizes = dict(zip(axes, shape, strict=True))
    return tuple(sizes.get(a, 1) for a in written), written


def _with_axes(name: str, shape: tuple[int, ...], axes: str, given: str | None) -> tuple[tuple[int, ...], str]:
    """Shape and axes, from the option `given` or else the file. A single plane fits every option that ends in its axes."""
    if given is not None:
        if len(given) > len(shape) and given.endswith(axes):
            shape = (1,) * (len(given) - len(shape)) + shape
        if len(given) != len(shape):
            raise ImageError(
                f"{name}: `axes` {given} names {len(given)} dimensions, the file has {len(shape)} {shape}; give one letter for each"
            )
        return shape, given
    if all(axes.count(a) == 1 and a in KNOWN_AXES for a in axes):
        return shape, axes
    unnamed = " and ".join(str(n) for a, n in zip(axes, shape, strict=True) if a not in KNOWN_AXES)
    planes = len(axes) == 3 and axes.endswith("YX")
    advice = (
        "`axes` TYX (times), ZYX (depths; or z_um), CYX (channels) or PYX (raw frames of structured illumination)"
        if planes
        else "`axes` with one letter for each dimension"
    )
    raise ImageError(f"{name}: the file does not say what the {unnamed} planes of {shape} are; give {advice}")


def _refuse_type(name: str, dtype: np.dtype) -> None:
    if np.dtype(dtype).kind == "c":
        raise ImageError(f"{name}: complex values ({dtype}), an image is real; give the intensity image, or this file as `otf`")
    if np.dtype(dtype).newbyteorder("=").name not in _PIXEL_TYPES:
        raise ImageError(f"{name}: pixels of type {dtype}, readable are {', '.join(_PIXEL_TYPES)}; save the raw image as uint16 or float32")
