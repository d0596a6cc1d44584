"""Fixed patterns of a camera: of its columns and rows, and, in a movie, of its pixels.

A pattern is the covariance of two parts of the data with independent noise: the upper and the lower half of a frame share the pattern of
the columns, the left and the right half that of the rows, the first and the second half of a movie that of the pixels. Filters reject the
frequencies that pass the optics, so the object, which both parts may share, is not counted.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from zsdeconv.camera.highpass import RADIUS_PX, correlate_valid, filters

LINE_FILTER = np.array([1.0, -6.0, 15.0, -20.0, 15.0, -6.0, 1.0])
"""Sixth difference: it attenuates the power of frequencies below 0.2 per pixel, which pass the optics, more than a hundredfold."""
INDEPENDENT_LINES = float(np.square(np.convolve(LINE_FILTER, LINE_FILTER)).sum() / np.square(LINE_FILTER).sum() ** 2)
"""Lines that share one independent value after the filter (its autocorrelation)."""
DARK_FRACTION = 0.25
"""Part of the field in which the pattern of pixels is measured. Chosen: the darkest quarter, where the object adds least noise."""
DARK_SMOOTHING_PX = 4.0
"""Scale (sigma) over which the light is averaged to find dark places. Chosen: wider than a PSF."""
MIN_SIDE_PX = 64
"""Smallest side of a frame. Chosen: fewer lines know a pattern badly."""
MIN_FRAMES = 4
"""Fewest frames for a pattern of pixels. Chosen: two in each half."""
MAX_FRAMES = 32
"""Frames that are used. Chosen: more would find patterns that are too weak to matter."""


@dataclass(frozen=True)
class Pattern:
    """Standard deviation `size` (ADU) of a pattern and its size in standard errors, `sigmas`; 0 where the covariance is negative.

    `error` is the standard error of its square (ADU^2).
    """

    size: float
    sigmas: float
    error: float = 0.0

    def smallest(self, sigmas: float) -> float:
        """Size (ADU) of the smallest pattern that is as many standard errors."""
        return float(np.sqrt(sigmas * self.error))


def line_pattern(planes: Sequence[np.ndarray], axis: int) -> Pattern | None:
    """The pattern of rows (`axis` 0) or columns (1) that `planes` (y x, ADU) of one size share; None when they are too small.

    >>> rng = np.random.default_rng(0)
    >>> plane = rng.normal(0, 1, (128, 160)) + rng.normal(0, 0.5, 160)
    >>> bool(abs(line_pattern([plane], 1).size - 0.5) < 0.1), bool(line_pattern([plane], 0).sigmas < 4)
    (True, True)
    """
    if min(planes[0].shape) < MIN_SIDE_PX:
        return None
    kernel = LINE_FILTER / np.sqrt(np.square(LINE_FILTER).sum())
    filtered = []
    for half in (0, 1):
        part = np.mean([np.array_split(np.moveaxis(plane, axis, 1), 2)[half].mean(0, dtype=np.float64) for plane in planes], axis=0)
        filtered.append(np.convolve(part, kernel, "valid"))
    return _shared(*filtered, independent=len(filtered[0]) / INDEPENDENT_LINES)


def pixel_pattern(planes: Sequence[np.ndarray], cutoff_per_px: float) -> Pattern | None:
    """The pattern of single pixels that the frames of a movie (y x, ADU) share, in dark places and beyond the optical cutoff.

    None for few or small frames, and where the object reaches all frequencies (a cutoff of 0.5).

    >>> rng = np.random.default_rng(0)
    >>> frames = rng.normal(0, 1, (16, 96, 80)) + rng.normal(0, 0.3, (96, 80))
    >>> bool(abs(pixel_pattern(list(frames), 0.3).size - 0.3) < 0.05)
    True
    """
    from scipy.ndimage import gaussian_filter

    if len(planes) < MIN_FRAMES or cutoff_per_px >= 0.5 or min(planes[0].shape) < MIN_SIDE_PX:
        return None
    chosen = [planes[i] for i in np.unique(np.linspace(0, len(planes) - 1, MAX_FRAMES).round().astype(int))]
    kernel = filters(round(cutoff_per_px, 3))
    parts = (chosen[: len(chosen) // 2], chosen[len(chosen) // 2 :])
    means = [np.mean([plane.astype(np.float64) for plane in part], axis=0) for part in parts]
    first, second = (correlate_valid(mean, [kernel.h])[0] for mean in means)
    level = gaussian_filter(sum(means), DARK_SMOOTHING_PX)[RADIUS_PX:-RADIUS_PX, RADIUS_PX:-RADIUS_PX]
    dark = level <= np.quantile(level, DARK_FRACTION)
    return _shared(first[dark], second[dark], independent=int(dark.sum()) / kernel.spread)


def _shared(first: np.ndarray, second: np.ndarray, independent: float) -> Pattern:
    """The covariance of two filtered parts; the squares of the filter sum to 1."""
    covariance = float((first * second).mean())
    error = float(np.sqrt((first**2).mean() * (second**2).mean() / independent))
    return Pattern(float(np.sqrt(max(covariance, 0.0))), covariance / max(error, 1e-300), error)
