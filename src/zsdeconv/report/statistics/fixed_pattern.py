"""Patterns of the camera that stay where they are: of its columns and rows, and, in a movie, of its pixels.

A pattern is found by what two parts of the data share that see different noise: the upper and the lower half of a frame share the
columns' pattern, the left and the right half that of the rows, and the first and the second half of a movie that of the pixels.
Filters keep out what passes the optics, so that the object, which they may share too, is no pattern.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from zsdeconv.camera.highpass import RADIUS_PX, correlate_valid, filters

LINE_FILTER = np.array([1.0, -6.0, 15.0, -20.0, 15.0, -6.0, 1.0])
"""Sixth difference, which passes the highest frequencies: what is seen through a lens is attenuated a hundredfold from 0.2 per pixel on."""
DARK_SHARE = 0.25
DARK_PX = 4.0
"""The pattern of pixels is looked for where the light of the object is least: the share of the field, smoothed by so many pixels."""
FEWEST_PX = 64
FEWEST_FRAMES = 4
MOST_FRAMES = 32


@dataclass(frozen=True)
class Pattern:
    """Standard deviation `size` (ADU) of a pattern and the `sigmas` by which it stands out; size 0 when it is negative by chance."""

    size: float
    sigmas: float


def line_pattern(planes: Sequence[np.ndarray], axis: int) -> Pattern | None:
    """The pattern of rows (`axis` 0) or columns (1) that `planes` (y x, ADU) of one size share; None when they are too small.

    >>> rng = np.random.default_rng(0)
    >>> plane = rng.normal(0, 1, (128, 160)) + rng.normal(0, 0.5, 160)
    >>> bool(abs(line_pattern([plane], 1).size - 0.5) < 0.1), bool(line_pattern([plane], 0).sigmas < 4)
    (True, True)
    """
    if min(planes[0].shape) < FEWEST_PX:
        return None
    kernel = LINE_FILTER / np.sqrt(np.square(LINE_FILTER).sum())
    halves = []
    for half in (0, 1):
        part = np.mean([np.array_split(np.moveaxis(plane, axis, 1), 2)[half].mean(0, dtype=np.float64) for plane in planes], axis=0)
        halves.append(np.convolve(part, kernel, "valid"))
    return _shared(*halves, independent=len(halves[0]) / SHARED_LINES)


def pixel_pattern(planes: Sequence[np.ndarray], cutoff_per_px: float) -> Pattern | None:
    """The pattern of single pixels that the frames of a movie (y x, ADU) share, in its darkest places and beyond the optics' cutoff.

    None with less than `FEWEST_FRAMES` frames, and where no frequency is free of the object (a cutoff of 0.5).

    >>> rng = np.random.default_rng(0)
    >>> frames = rng.normal(0, 1, (16, 96, 80)) + rng.normal(0, 0.3, (96, 80))
    >>> bool(abs(pixel_pattern(list(frames), 0.3).size - 0.3) < 0.05)
    True
    """
    from scipy.ndimage import gaussian_filter

    if len(planes) < FEWEST_FRAMES or cutoff_per_px >= 0.5 or min(planes[0].shape) < FEWEST_PX:
        return None
    chosen = [planes[i] for i in np.unique(np.linspace(0, len(planes) - 1, MOST_FRAMES).round().astype(int))]
    kernel = filters(round(cutoff_per_px, 3))
    parts = (chosen[: len(chosen) // 2], chosen[len(chosen) // 2 :])
    means = [np.mean([plane.astype(np.float64) for plane in part], axis=0) for part in parts]
    first, second = (correlate_valid(mean, [kernel.h])[0] for mean in means)
    level = gaussian_filter(sum(means), DARK_PX)[RADIUS_PX:-RADIUS_PX, RADIUS_PX:-RADIUS_PX]
    dark = level <= np.quantile(level, DARK_SHARE)
    return _shared(first[dark], second[dark], independent=int(dark.sum()) / kernel.spread)


SHARED_LINES = float(np.square(np.convolve(LINE_FILTER, LINE_FILTER)).sum() / np.square(LINE_FILTER).sum() ** 2)
"""Lines that share one independent value after the filter."""


def _shared(first: np.ndarray, second: np.ndarray, independent: float) -> Pattern:
    """What two filtered parts have in common; the filter's squares sum to 1."""
    covariance = float((first * second).mean())
    error = float(np.sqrt((first**2).mean() * (second**2).mean() / independent))
    return Pattern(float(np.sqrt(max(covariance, 0.0))), covariance / max(error, 1e-300))
