"""Integers that have wrapped: negative values stored without a sign, or large ones with a sign."""

from __future__ import annotations

import warnings
from dataclasses import replace

import numpy as np

from zsdeconv.errors import DataWarning
from zsdeconv.image import Image

MIN_JUMPS = 8
"""Pairs of neighbouring pixels that differ by more than half the range of the type, from which values count as wrapped. Chosen: two
saturated hot pixels make as many."""
MAX_LEFT = 0.05
"""Fraction of these jumps that may be left with the other sign. Chosen: hot pixels and their neighbours."""
MAX_COMMON = 0.9
"""Share of the most common among the values beyond half the range, above which they are a mask or a scale bar. Chosen: those have one
value, or one and its smooth edges, while noise that has wrapped has several."""


def unwrapped(image: Image) -> Image:
    """The image with the values that its integers had before they wrapped, and a warning (`DataWarning`) of it; or the image itself.

    A lens makes no jumps of half the range of an integer type between many neighbouring pixels. Where nearly all of them vanish with the
    values that the same bits have in a type of the other sign, these are the right ones.

    >>> light = np.random.default_rng(0).normal(0, 3, (40, 50)) + 20 * np.hanning(50)
    >>> import warnings
    >>> with warnings.catch_warnings():
    ...     warnings.simplefilter("ignore")
    ...     image = unwrapped(Image(light.round().astype(np.int16).astype(np.uint16), "YX"))
    >>> image.data.dtype, bool((image.data == light.round()).all())
    (dtype('int32'), True)
    """
    data = image.data
    if data.dtype.kind not in "ui" or data.dtype.itemsize > 4 or min(image.sizes.get(axis, 1) for axis in "YX") < 2:
        return image
    axes = image.axes.index("Y"), image.axes.index("X")
    half = 2.0 ** (8 * data.dtype.itemsize - 1)
    if float(data.max()) - float(data.min()) <= half:
        return image
    count = _jumps(data, axes, half)
    values, counts = np.unique(data, return_counts=True)
    unsigned = data.dtype.kind == "u"
    limit = _above_gap(values) if unsigned else 0
    beyond = values >= limit if unsigned else values < 0
    if count < MIN_JUMPS or counts[beyond].max(initial=0) > MAX_COMMON * counts[beyond].sum():
        return image
    wide = data.astype(np.int32 if data.dtype.itemsize < 4 else np.int64)
    wide[data >= limit if unsigned else data < 0] += int(-2 * half if unsigned else 2 * half)
    if _jumps(wide, axes, half) > MAX_LEFT * count:
        return image
    wrapped = int(counts[beyond].sum())
    what = "negative values, as a background subtraction makes them" if unsigned else f"values above {half - 1:.0f}"
    share = f"{wrapped} of {data.size} pixels ({100 * wrapped / data.size:.2g} %)"
    warnings.warn(
        f"{share} have wrapped, for {data.dtype} cannot hold {what}; they were unwrapped: save such images as float32, or give the raw "
        "file",
        DataWarning,
        stacklevel=3,
    )
    return replace(image, data=wide)


def _above_gap(values: np.ndarray) -> int:
    """The value above the widest gap between the values that occur."""
    return int(values[int(np.diff(values.astype(np.int64)).argmax()) + 1])


def _jumps(data: np.ndarray, axes: tuple[int, int], half: float) -> int:
    """Pairs of neighbours along the axes that differ by more than `half`."""
    values = data.astype(np.int32 if data.dtype.itemsize < 4 else np.int64)
    return sum(int((np.abs(np.diff(values, axis=axis)) > half).sum()) for axis in axes)
