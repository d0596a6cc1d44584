"""Can these pixels be restored at all? Questions about content, asked once before anything is trained."""

from __future__ import annotations

import warnings

import numpy as np

from zsdeconv.errors import DataWarning, ImageError
from zsdeconv.image import Image

SMALLEST_SIDE = 8
"""Fewer pixels along Y or X than this hold no patch to learn from."""

_SATURATED_FRACTION = 1e-5  # below it, a few hot pixels, not an exposure problem
_PILE_UP = 4  # a clipped histogram has at least so many times more pixels at its top value than at the values below


def check_restorable(image: Image) -> None:
    """Refuse images that no method could restore; warn about those that suffer.

    Raises `ImageError` for complex data, no or too few pixels, NaN or infinite pixels (how many, and where the first is) and
    a constant image, channel or plane. Warns (`DataWarning`) with the fraction of saturated pixels: at the top of the data type or of
    a clipped histogram.

    >>> check_restorable(Image(np.arange(12.0 * 16).reshape(12, 16), "YX"))
    """
    if np.iscomplexobj(image.data):
        raise ImageError(f"complex values ({image.data.dtype}): an image is real; give the intensity image")
    _refuse_small(image)
    _refuse_not_finite(image)
    channels = np.moveaxis(image.data, image.axes.index("C"), 0) if "C" in image.axes else image.data[None]
    for number, channel in enumerate(channels):
        where = f"channel {number}: " if "C" in image.axes else ""
        _refuse_constant(channel, where)
        _warn_saturated(channel, where)
    _refuse_lost_planes(image)


def saturated_fraction(data: np.ndarray) -> float:
    """Fraction of pixels at the top: the largest value of an integer type, or the top of a histogram that was clipped.

    Clipped means: the largest value present is held by several times more pixels than any of the three values below it (the
    tail of a real histogram thins out instead). Works for any number type and any number of bits in use.

    >>> saturated_fraction(np.array([[1, 2, 255, 255]], np.uint8))
    0.5
    """
    top = data.max()
    count = int(np.count_nonzero(data == top))
    if not (np.issubdtype(data.dtype, np.integer) and top == np.iinfo(data.dtype).max) and not _piles_up(data, top, count):
        return 0.0
    return count / data.size


def _piles_up(data: np.ndarray, top: np.generic, count: int) -> bool:
    if count < _PILE_UP:
        return False
    below = top
    for _ in range(3):
        lower = data[data < below]
        if lower.size == 0:
            return False  # two or three values in all: a mask, not a histogram with a tail
        below = lower.max()
        if count < _PILE_UP * np.count_nonzero(lower == below):
            return False
    return True


def _refuse_small(image: Image) -> None:
    sides = [image.sizes.get(a, 1) for a in "YX"]
    if image.data.size == 0 or min(sides) < SMALLEST_SIDE:
        raise ImageError(
            f"image of {sides[0]} x {sides[1]} pixels {image.data.shape}: at least {SMALLEST_SIDE} x {SMALLEST_SIDE} are needed; "
            "give the whole camera frame, or mend `axes`"
        )


def _refuse_not_finite(image: Image) -> None:
    if not np.issubdtype(image.data.dtype, np.inexact):
        return
    bad = ~np.isfinite(image.data)
    count = int(np.count_nonzero(bad))
    if count:
        first = np.unravel_index(int(np.argmax(bad)), bad.shape)
        where = ", ".join(f"{axis}={index}" for axis, index in zip(image.axes, first, strict=True))
        raise ImageError(
            f"{count} of {bad.size} pixels are NaN or infinite (first: {where}), 0 are allowed; crop or replace them, or give the raw file"
        )


def _refuse_constant(channel: np.ndarray, where: str) -> None:
    low, high = channel.min(), channel.max()
    if low == high:
        raise ImageError(f"{where}constant image (every pixel is {low:g}), at least two values are needed; check the exposure and `axes`")


def _refuse_lost_planes(image: Image) -> None:
    """A camera never records one value in a whole plane: such planes were lost, or put there to fill a gap."""
    others = [axis for axis in image.axes if axis not in "YX"]
    planes = image.transposed("".join(others) + "YX").data
    lost = np.ptp(planes, axis=(-2, -1)) == 0
    if lost.any():
        first = tuple(np.argwhere(lost)[0])
        where = ", ".join(f"{axis}={index}" for axis, index in zip(others, first, strict=True))
        raise ImageError(
            f"{np.count_nonzero(lost)} of {lost.size} planes are constant (first: {where}, every pixel is {planes[first].flat[0]:g}), "
            "0 can be real: planes were lost or filled in; leave them out"
        )


def _warn_saturated(channel: np.ndarray, where: str) -> None:
    fraction = saturated_fraction(channel)
    if fraction > _SATURATED_FRACTION:
        warnings.warn(
            f"{where}{100 * fraction:.3g} % of the pixels are saturated (at {channel.max():g}), "
            f"harmless is {100 * _SATURATED_FRACTION:g} %: their intensities are lost; expose less, or do not measure there",
            DataWarning,
            stacklevel=3,
        )
