"""Checks of the pixels before a training: whether any method could restore them."""

from __future__ import annotations

import warnings

import numpy as np

from zsdeconv.errors import DataWarning, ImageError
from zsdeconv.image import Image

MIN_SIDE_PX = 8
"""Smallest side of an image. Chosen: a smaller image holds no patch to learn from."""

MIN_FINITE_FRACTION = 0.05
"""Fraction of pixels that must be numbers. Chosen: a mask leaves a cell or more; less than a twentieth is a broken file.

Pixels that are NaN or infinite hold no data."""
MAX_SATURATED_FRACTION = 1e-5
"""Saturated fraction that raises no warning. Chosen: a few hot pixels of a camera are no fault of the exposure."""
MIN_DARK_SHARE = 0.5
"""Part of the pixels of other planes with the value of a plane without light. Chosen: most pixels have it where the dark is clipped."""
PILE_UP_RATIO = 4
"""Pixels at the top of a clipped histogram over those at each of the values just below. Chosen: more than chance makes of an unclipped
tail (tests/io/test_checks.py)."""
PILE_UP_LEVELS = 3
"""Values below the top that are compared. Chosen: a single one may be rare by chance."""


def check_restorable(image: Image) -> None:
    """Refuse images that no method could restore, and warn of saturation.

    NaN and infinite pixels are pixels without data. Raises `ImageError` for complex data, too few pixels, an image, channel or plane
    without any data or of one value. Warns (`DataWarning`) of saturated pixels, at the top of the data type or of a clipped histogram.

    >>> check_restorable(Image(np.arange(12.0 * 16).reshape(12, 16), "YX"))
    """
    if np.iscomplexobj(image.data):
        raise ImageError(f"complex values ({image.data.dtype}): an image is real; give the intensity image")
    _refuse_small(image)
    _refuse_no_data(image)
    channels = np.moveaxis(image.data, image.axes.index("C"), 0) if "C" in image.axes else image.data[None]
    for number, channel in enumerate(channels):
        where = f"channel {number}: " if "C" in image.axes else ""
        _refuse_constant(channel, where)
        _warn_saturated(channel, where)
    _refuse_lost_planes(image)


def saturated_fraction(data: np.ndarray) -> float:
    """Fraction of saturated pixels: at the largest value of an integer type, or at the top of a clipped histogram.

    A histogram is clipped when the largest value occurs several times as often as each of the three values below it; the tail of an
    unclipped histogram decreases. This holds for any number type and any number of bits in use.

    >>> saturated_fraction(np.array([[1, 2, 255, 255]], np.uint8))
    0.5
    """
    data = _finite(data)
    if not data.size:
        return 0.0
    top = data.max()
    count = int(np.count_nonzero(data == top))
    if not (np.issubdtype(data.dtype, np.integer) and top == np.iinfo(data.dtype).max) and not _piles_up(data, top, count):
        return 0.0
    return count / data.size


def _piles_up(data: np.ndarray, top: np.generic, count: int) -> bool:
    if count < PILE_UP_RATIO:
        return False
    below = top
    for _ in range(PILE_UP_LEVELS):
        lower = data[data < below]
        if lower.size == 0:
            return False  # two or three values in all: a mask, not a histogram with a tail
        below = lower.max()
        if count < PILE_UP_RATIO * np.count_nonzero(lower == below):
            return False
    return True


def _finite(data: np.ndarray) -> np.ndarray:
    """The pixels that are numbers; the data themselves where all are."""
    if not np.issubdtype(data.dtype, np.inexact):
        return data
    finite = np.isfinite(data)
    return data if finite.all() else data[finite]


def _refuse_small(image: Image) -> None:
    sides = [image.sizes.get(a, 1) for a in "YX"]
    if image.data.size == 0 or min(sides) < MIN_SIDE_PX:
        raise ImageError(
            f"image of {sides[0]} x {sides[1]} pixels {image.data.shape}: at least {MIN_SIDE_PX} x {MIN_SIDE_PX} are needed; "
            "give the whole camera frame, or check `axes`"
        )


def refuse_undefined(image: Image) -> None:
    """Refuse an image with NaN or infinite pixels, for a computation to which every pixel matters.

    Raises `ImageError` with their number and the place of the first.

    >>> refuse_undefined(Image(np.array([[1.0, np.nan]]), "YX"))
    Traceback (most recent call last):
    zsdeconv.errors.ImageError: 1 of 2 pixels are NaN or infinite (first: Y=0, X=1), none may be; ...
    """
    bad = ~np.isfinite(image.data)
    count = int(np.count_nonzero(bad))
    if count:
        first = np.unravel_index(int(np.argmax(bad)), bad.shape)
        where = ", ".join(f"{axis}={index}" for axis, index in zip(image.axes, first, strict=True))
        raise ImageError(
            f"{count} of {bad.size} pixels are NaN or infinite (first: {where}), none may be; crop or replace them, or give the raw file"
        )


def _refuse_no_data(image: Image) -> None:
    """Refuse an image most of which is NaN or infinite: nothing could be learnt of the rest."""
    if not np.issubdtype(image.data.dtype, np.inexact):
        return
    count = int(np.isfinite(image.data).sum())
    if count < max(MIN_FINITE_FRACTION * image.data.size, MIN_SIDE_PX**2):
        raise ImageError(
            f"{count} of {image.data.size} pixels are numbers, the others NaN or infinite: at least {100 * MIN_FINITE_FRACTION:g} % "
            "must hold data; crop the image to what was recorded, or give the raw file"
        )


def _refuse_constant(channel: np.ndarray, where: str) -> None:
    low, high = _finite(channel).min(), _finite(channel).max()
    if low == high:
        raise ImageError(f"{where}constant image (every pixel is {low:g}), at least two values are needed; check the exposure and `axes`")


def _refuse_lost_planes(image: Image) -> None:
    """A camera does not record a constant plane: such planes were lost, or inserted to fill a gap. Of a movie whole times may be lost."""
    others = sorted((axis for axis in image.axes if axis not in "YX"), key=lambda axis: axis != "T")
    planes = image.transposed("".join(others) + "YX").data
    if np.issubdtype(planes.dtype, np.inexact) and not np.isfinite(planes).all():
        low, high = (np.where(np.isfinite(planes), planes, end) for end in (np.inf, -np.inf))
        constant = high.max((-2, -1)) <= low.min((-2, -1))
    else:
        constant = np.ptp(planes, axis=(-2, -1)) == 0
    if others[:1] == ["T"]:
        whole = constant.reshape(len(constant), -1).all(1)
        if np.count_nonzero(~whole) > 1:
            constant[whole] = False
    if "Z" in others:
        constant &= ~_dark_ends(planes, constant, others.index("Z"))
    if constant.any():
        first = tuple(np.argwhere(constant)[0])
        where = ", ".join(f"{axis}={index}" for axis, index in zip(others, first, strict=True))
        raise ImageError(
            f"{np.count_nonzero(constant)} of {constant.size} planes are constant (first: {where}, every pixel is "
            f"{planes[first].flat[0]:g}), a camera records none: planes were lost or inserted; leave them out"
        )


def _dark_ends(planes: np.ndarray, constant: np.ndarray, depth: int) -> np.ndarray:
    """Constant planes at the ends of stacks (along the axis `depth`) that are as dark as most of the others, where the dark is clipped.

    Their value is that of more than half of all pixels of the planes with light.
    """
    lit = planes[~constant]
    if not lit.size:
        return np.zeros_like(constant)
    dark = planes.min()
    ends = np.logical_and.accumulate(constant, depth) | np.flip(np.logical_and.accumulate(np.flip(constant, depth), depth), depth)
    return ends & (planes[..., 0, 0] == dark) & bool(np.mean(lit == dark) > MIN_DARK_SHARE)


def _warn_saturated(channel: np.ndarray, where: str) -> None:
    fraction = saturated_fraction(channel)
    if fraction > MAX_SATURATED_FRACTION:
        warnings.warn(
            f"{where}{100 * fraction:.3g} % of the pixels are saturated (at {_finite(channel).max():g}), "
            f"limit {100 * MAX_SATURATED_FRACTION:g} %: their intensities are lost; expose less, or do not measure there",
            DataWarning,
            stacklevel=3,
        )
