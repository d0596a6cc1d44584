"""`Image`: pixels with the axes, pixel sizes and camera offset that a measurement needs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from zsdeconv.errors import ImageError

KNOWN_AXES = "TCZYXP"
"""Axis letters: time, channel, z, y, x, and P for the raw frames of structured illumination (direction x phase)."""
SPATIAL_AXES = "ZYX"
"""Axes with a pixel size."""


PER_CHANNEL = ("channels", "colours", "emission_nm", "excitation_nm", "exposure_s")
"""Metadata that are lists with an entry for each channel."""
CHANNEL_OPTICS = {"wavelength_nm": "emission_nm", "excitation_nm": "excitation_nm"}
"""Entries of the optics that each channel has for itself, by the lists that hold them."""


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

    @property
    def sizes(self) -> dict[str, int]:
        """Length of each axis, in the order of the data."""
        return dict(zip(self.axes, self.data.shape, strict=True))

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
