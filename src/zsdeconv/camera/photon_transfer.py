"""Photon transfer: camera constants from dark frames and from flat frames of uniform light (ADU throughout)."""

from __future__ import annotations

import os
from collections.abc import Iterator

import numpy as np

from zsdeconv.camera.levels import Levels
from zsdeconv.errors import ImageError
from zsdeconv.image import Image, ImageLike, pixels_of
from zsdeconv.io import read

BRIGHTNESS_GROUPS = 16
"""Groups of pixels by brightness in a pair of flat frames. Chosen: vignetting gives the line a range of signals, each group stays large."""
MAX_DARK_VALUES = 2**26
"""Values of the dark frames that are used. Chosen: 512 MiB in double precision."""


def as_frames(data: ImageLike, name: str, smallest: int = 16) -> np.ndarray:
    """`data`, an image, its path or an array, as (t y x): every plane of a movie or a stack is a frame.

    Raises `ImageError` unless it holds finite real numbers of one channel and at least `smallest` pixels along each side.
    """
    image = read(data) if isinstance(data, str | os.PathLike) else data if isinstance(data, Image) else None
    frames = pixels_of(data) if image is None else _planes(image, name)
    if frames.dtype.kind not in "uifb":
        raise ImageError(f"{name} holds {frames.dtype} values, real numbers are needed; give one channel of intensities")
    if frames.ndim not in (2, 3) or not frames.size:
        raise ImageError(f"{name} has shape {frames.shape}, one frame (y x) or several (t y x) are needed; give axes")
    if min(frames.shape[-2:]) < smallest:
        raise ImageError(
            f"{name} is {frames.shape[-2]} x {frames.shape[-1]} pixels, the limit is {smallest} x {smallest}; give a larger field"
        )
    if frames.dtype.kind == "f" and not np.isfinite(frames).all():
        raise ImageError(f"{name} holds {int((~np.isfinite(frames)).sum())} NaN or infinite pixels, none is allowed; replace them first")
    return frames.reshape(-1, *frames.shape[-2:])


def _planes(image: Image, name: str) -> np.ndarray:
    if image.sizes.get("C", 1) > 1:
        raise ImageError(f"{name} has {image.sizes['C']} channels, each has a camera or a setting of its own; give one of them")
    planes = image.transposed("".join(axis for axis in image.axes if axis not in "YX") + "YX").data
    return planes.reshape(-1, *planes.shape[-2:])


def _pairs(frames: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Mean, and difference less its mean, of successive frames of equal brightness."""
    for first in range(len(frames) - 1):
        a, b = (frames[first + i].astype(np.float64) for i in (0, 1))
        ratio = a.mean() / b.mean() if a.mean() > 0 and b.mean() > 0 else 1.0
        if abs(ratio - 1) < 0.05:  # a larger step is the next exposure of a series, not flicker of the lamp
            yield (a + b) / 2, a - b - (a - b).mean()


def dark_constants(dark: np.ndarray) -> tuple[float, float, float, float]:
    """Offset, its standard error, read variance and its standard error from dark frames (t y x).

    The variance is that of differences between successive frames, which are free of fixed-pattern noise. A single frame gives
    only differences between neighbouring pixels, which contain it.
    """
    frames = as_frames(dark, "the dark image", 2)
    count = len(frames) if frames.size < MAX_DARK_VALUES else max(2, MAX_DARK_VALUES // frames[0].size)
    pixels = frames[:count].astype(np.float64)
    change = np.diff(pixels, axis=0 if len(pixels) > 1 else 2)
    squares = (change - change.mean()) ** 2 / 2
    variance = float(squares.mean())
    # successive differences share a frame, hence 3 rather than 2
    variance_sigma = variance * float(np.sqrt(3 / squares.size))
    drift = float(pixels.mean((1, 2)).std()) if len(pixels) > 1 else float(pixels.std())
    return float(pixels.mean()), float(np.hypot(np.sqrt(variance / pixels.size), drift / np.sqrt(len(pixels)))), variance, variance_sigma


def flat_levels(flat: np.ndarray, good: np.ndarray | None = None) -> Levels:
    """Variance against mean from successive pairs of flat frames (t y x), in groups of the `good` pixels (y x, all) by brightness.

    Saturated pixels are left out, and groups with more than 5 % of them. Raises `ImageError` when no two successive frames are
    equally bright.
    """
    frames = as_frames(flat, "the flat image", 2)
    if len(frames) < 2:
        raise ImageError(
            "the flat image has 1 frame, its variance in time needs at least 2; give flat with two or more frames of the same light"
        )
    high = np.iinfo(frames.dtype).max if frames.dtype.kind in "ui" else np.inf
    guide = frames.mean(0, dtype=np.float64).ravel()
    order = np.argsort(guide) if good is None else np.flatnonzero(good)[np.argsort(guide[good.ravel()])]
    groups = [g for g in np.array_split(order, BRIGHTNESS_GROUPS) if len(g) > 1]
    rows = []
    for mean, change in _pairs(frames):
        for g in groups:
            m, d = mean.ravel()[g], change.ravel()[g]
            m, d = m[m < high], d[m < high]
            if len(d) > 1 and len(d) > 0.95 * len(g):
                v = float(d.var() / 2)
                rows.append((float(m.mean()), v, v * np.sqrt(2 / len(d)), 0.0, float(m.mean()), float(len(d)), 0.0))
    if not rows:
        raise ImageError(
            f"no two successive of the {len(frames)} flat frames agree within 5 % below saturation; give flat with pairs of the same light"
        )
    return Levels(*np.asarray(rows).T)
