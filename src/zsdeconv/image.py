"""`Image`: pixels with the axes, pixel sizes and camera offset that a measurement needs."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from zsdeconv.errors import ConfigError, ImageError

KNOWN_AXES = "TCZYXP"
"""Axis letters: time, channel, z, y, x, and P for the raw frames of structured illumination (direction x phase)."""
SPATIAL_AXES = "ZYX"
"""Axes with a pixel size."""


PER_CHANNEL = ("channels", "colours", "emission_nm", "excitation_nm", "exposure_s", "pinholes_au")
"""Metadata that are lists with an entry for each channel."""
CHANNEL_OPTICS = {"wavelength_nm": "emission_nm", "excitation_nm": "excitation_nm", "pinhole_au": "pinholes_au"}
"""Entries of the optics that each channel has for itself, by the lists that hold them; without a list one pinhole is that of all."""


@dataclass(frozen=True, eq=False)
class Image:
    """Pixels with axes and pixel sizes.

    Parameters
    ----------
    data
        Array with one dimension per letter of `axes`.
    axes
        Axis letters in any order, each at most once: T time, C channel, Z, Y, X, and P for raw SIM frames.
    spacing_um
        Pixel sizes in micrometres of those spatial axes for which they are known.
    offset
        Camera offset contained in the data, ADU: None when unknown, 0 for a restored image.
    metadata
        Free entries: channel names, provenance, origin of each value.

    Raises
    ------
    ImageError
        When axes and data disagree, or a spacing is not a positive length.

    Examples
    --------
    >>> image = Image(np.zeros((3, 64, 48), np.uint16), "TYX", {"Y": 0.065, "X": 0.065})
    >>> image.sizes
    {'T': 3, 'Y': 64, 'X': 48}
    >>> image
    Image(TYX 3 x 64 x 48, uint16, um: Y 0.065, X 0.065)
    """

    data: np.ndarray
    axes: str
    spacing_um: Mapping[str, float] = field(default_factory=dict)
    offset: float | None = None
    metadata: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        unknown = sorted(set(self.axes) - set(KNOWN_AXES))
        if unknown or len(set(self.axes)) != len(self.axes):
            raise ImageError(f"axes {self.axes!r}: each of {', '.join(KNOWN_AXES)} at most once; give axes, for example TYX")
        if len(self.axes) != self.data.ndim:
            raise ImageError(
                f"axes {self.axes!r} name {len(self.axes)} dimensions, the data have {self.data.ndim} {self.data.shape}; "
                "give axes with one letter for each"
            )
        for axis, um in self.spacing_um.items():
            if axis not in SPATIAL_AXES or not np.isfinite(um) or um <= 0:
                raise ImageError(f"spacing {um} um along {axis}: it must be a positive length along Z, Y or X; give pixel_um")

    def __repr__(self) -> str:
        shape = " x ".join(map(str, self.data.shape))
        um = ", ".join(f"{axis} {size:.4g}" for axis, size in self.spacing_um.items())
        return f"Image({self.axes} {shape}, {self.data.dtype}{f', um: {um}' if um else ''})"

    @property
    def sizes(self) -> dict[str, int]:
        """Length of each axis, in the order of the data."""
        return dict(zip(self.axes, self.data.shape, strict=True))

    def fingerprint(self) -> str:
        """Short SHA-256 of the pixels, by which an input is recognised.

        >>> Image(np.eye(9), "YX").fingerprint() == Image(np.eye(9) + 1e-9, "YX").fingerprint()
        False
        """
        digest = hashlib.sha256(repr((self.axes, self.data.shape, str(self.data.dtype))).encode())
        for part in self.data:
            digest.update(np.ascontiguousarray(part).tobytes())
        return digest.hexdigest()[:16]

    def transposed(self, axes: str) -> Image:
        """The image with its dimensions in the order `axes`; missing axes have length 1.

        Raises `ImageError` when `axes` would drop a dimension longer than 1.
        """
        lost = [a for a in self.axes if a not in axes and self.sizes[a] > 1]
        if lost:
            raise ImageError(
                f"axes {self.axes!r} cannot become {axes!r}: {lost[0]} has {self.sizes[lost[0]]} planes; split the file, or give axes"
            )
        kept = [a for a in axes if a in self.axes]
        data = np.moveaxis(self.data, [self.axes.index(a) for a in kept], range(len(kept)))
        data = data.reshape([self.sizes.get(a, 1) for a in axes])
        return replace(self, data=data, axes=axes, spacing_um={a: v for a, v in self.spacing_um.items() if a in axes})


def channel_names(image: Image) -> list[str]:
    """Names of the channels, those of the file where it has one for each, and different from each other.

    >>> channel_names(Image(np.zeros((3, 2, 2)), "CYX", metadata={"channels": ["DAPI", "GFP", "GFP"]}))
    ['DAPI', 'GFP', 'GFP 3']
    """
    count = image.sizes.get("C", 1)
    given = [str(name).strip() for name in image.metadata.get("channels", ())]
    given = given if len(given) == count else [""] * count
    names: list[str] = []
    for number, name in enumerate(given, 1):
        unique = name or f"channel {number}"
        names.append(f"{unique} {number}" if unique in names else unique)
    return names


def channel_of(image: Image, number: int) -> Image:
    """One channel of an image, counted from 0, with what the metadata say about it."""
    metadata = dict(image.metadata)
    for key in PER_CHANNEL:
        values = list(metadata.pop(key, ()))
        if number < len(values) and values[number] is not None:
            metadata[key] = [values[number]]
    optics = dict(metadata.get("optics", {}))
    for name, key in CHANNEL_OPTICS.items():
        if name != "pinhole_au" or key in image.metadata:
            optics.pop(name, None)
        if key in metadata:
            optics[name] = metadata[key][0]
    if optics or "optics" in metadata:
        metadata["optics"] = optics
    axis = image.axes.index("C")
    return replace(image, data=np.take(image.data, number, axis), axes=image.axes.replace("C", ""), metadata=metadata)


def merged_channels(images: Sequence[Image], metadata: Mapping[str, Any]) -> Image:
    """Images of one channel each as one image, with C in front of the spatial axes, and the metadata given.

    >>> merged_channels([Image(np.zeros((4, 3, 2)), "TYX")] * 2, {}).sizes
    {'T': 4, 'C': 2, 'Y': 3, 'X': 2}
    """
    first = images[0]
    at = min(first.axes.index(axis) for axis in SPATIAL_AXES if axis in first.axes)
    data = np.stack([image.data for image in images], at)
    return replace(first, data=data, axes=f"{first.axes[:at]}C{first.axes[at:]}", metadata=metadata)


def with_numbers(image: Image, dark: float = 0.0) -> Image:
    """The image with `dark` in pixels that are NaN or infinite.

    >>> with_numbers(Image(np.array([[np.nan, 2.0]]), "YX"), 5.0).data.tolist()
    [[5.0, 2.0]]
    """
    if image.data.dtype.kind != "f" or np.isfinite(image.data).all():
        return image
    return replace(image, data=np.where(np.isfinite(image.data), image.data, np.asarray(dark, image.data.dtype)))


def crop_ranges(text: str) -> dict[str, tuple[int, int | None]]:
    """First pixel and the one after the last along each axis of a crop, None for the end of the axis.

    Ranges have commas between them and the letter of their axis in front, T, Z, Y or X; two without a letter are those of Y and X.

    Raises `ConfigError` for other texts and for empty ranges.

    >>> crop_ranges("0:256,100:300")
    {'Y': (0, 256), 'X': (100, 300)}
    >>> crop_ranges("T:5,Y64:")
    {'T': (0, 5), 'Y': (64, None)}
    """
    parts = [re.fullmatch(r"([TZYX]?)(\d*):(\d*)", part.strip().upper()) for part in text.split(",")]
    found = [match for match in parts if match is not None]
    bare = [match for match in found if not match[1]]
    letters = [match[1] for match in found if match[1]] + (["Y", "X"] if bare else [])
    if len(found) < len(parts) or len(bare) not in (0, 2) or len(set(letters)) < len(letters):
        raise ConfigError(f"`crop` {text}: it has the form Y0:Y1,X0:X1; give for example `crop=0:256,0:256` or T0:5,Z3:20,Y0:256,X0:256")
    order = iter("YX")
    ranges = {match[1] or next(order): (int(match[2] or 0), int(match[3]) if match[3] else None) for match in found}
    for axis, (start, stop) in ranges.items():
        if stop is not None and stop <= start:
            raise ConfigError(
                f"`crop` {start}:{stop} along {axis}: no pixel is in it, the second number must be larger; give another `crop`"
            )
    return ranges


def cropped(image: Image, text: str | None) -> Image:
    """The part of an image that a crop describes, which its metadata keep; an image that is this part already, or None, stays as it is.

    Raises `ConfigError` where the image has no such axis, or the part does not lie within it.

    >>> part = cropped(Image(np.arange(63.0).reshape(7, 9), "YX"), "2:5,3:4")
    >>> part.data.tolist()
    [[21.0], [30.0], [39.0]]
    >>> cropped(part, "2:5,3:4") is part
    True
    """
    if text is None or image.metadata.get("crop") == text:
        return image
    window = [slice(None)] * len(image.axes)
    for axis, (start, stop) in crop_ranges(text).items():
        size = image.sizes.get(axis)
        name = image.metadata.get("name", "image")
        if size is None:
            raise ConfigError(f"{name}: `crop` along {axis}, the axes are {image.axes}; leave {axis} out of `crop`, or give `axes`")
        if start >= size or (stop or size) > size:
            given = f"{start}:{'' if stop is None else stop}"
            raise ConfigError(f"{name}: `crop` {given} along {axis}, there are {size} pixels (0:{size}); give a smaller `crop`")
        window[image.axes.index(axis)] = slice(start, stop)
    return replace(image, data=image.data[tuple(window)], metadata={**image.metadata, "crop": text})
