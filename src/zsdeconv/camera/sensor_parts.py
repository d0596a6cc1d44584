"""Halves and quadrants of a sensor that are read out by amplifiers of their own, each with an offset and a gain of its own.

A lens makes no step along a straight line through the middle of a sensor. The step there is compared with those at all other rows (or
columns) of the same image, which tell what structure and noise make of it, and then taken out: continuity across the line gives offset and
gain of one part in the counts of the other.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from zsdeconv.camera.levels import fit_line
from zsdeconv.camera.survey import is_correlated, survey_frames
from zsdeconv.errors import DataWarning, ImageError
from zsdeconv.image import Image

MAX_PLANES = 64
"""Planes of an image in which a step is looked for. Chosen: more do not change their mean."""
ROWS = (1, 2, 3, 4, 6)
"""Rows on either side from which an image is continued to the line between them; the number with the least scatter elsewhere is used."""
MIN_SIDE_PX = 48
"""Smallest side of an image whose middle is examined. Chosen: two dozen other lines tell how large a step is by chance."""
MIN_STEP_SIGMAS = 6.0
"""Step in the middle, in robust standard deviations of the steps elsewhere, from which the parts differ. Chosen: structure has long
tails."""
MIN_STEP_RATIO = 1.5
"""The same in units of the largest step elsewhere. Chosen: no other line of the image may look as if it had one."""
MIN_BOTH_SIGMAS = 3.0
"""The same where the noise on either side tells the same. Chosen: two independent witnesses."""
MIN_NOISE_SIDE_PX = 64
"""Smallest side of a half whose noise is a witness. Chosen: in narrower halves of frames of one field, such as raw frames of structured
illumination, the structure that leaks into the noise differs by more than its standard error says.
"""
MIN_NOISE_SIGMAS = 4.0
"""Difference of the offsets according to the noise, in standard errors, from which it is a witness."""
READ_ERROR = 0.1
"""Difference of the read variances of two amplifiers, relative to the variance of the noise. Chosen: they are made alike."""
MIN_GAIN_SIGMAS = 4.0
"""Difference of the gains, in standard errors, from which it is taken out. Chosen: amplifiers of one sensor are made alike."""
TRIM = 0.05
"""Fraction of pixels along the line left out at each end of their order. Chosen: hot pixels and bright spots do not decide."""


@dataclass(frozen=True)
class Step:
    """The second part of an image in terms of the first, `y2 = offset + gain y1`, and whether they differ (`found`).

    `height` is the step along the line between them, `sigma` what such steps are by chance, ADU.
    """

    offset: float = 0.0
    gain: float = 1.0
    height: float = 0.0
    sigma: float = np.inf
    found: bool = False


def equalised(image: Image) -> Image:
    """The image with the counts of the first part of its sensor everywhere, and a warning (`DataWarning`); or the image itself.

    >>> frame = np.random.default_rng(0).poisson(20 + 9 * np.hanning(80) * np.ones((64, 1))) + 100
    >>> frame[32:] += 8
    >>> with warnings.catch_warnings(record=True) as told:
    ...     warnings.simplefilter("always")
    ...     even = equalised(Image(frame, "YX")).data
    >>> bool(abs(even[32:].mean() - even[:32].mean()) < 1), len(told)
    (True, 1)
    """
    axes = image.axes.index("Y"), image.axes.index("X")
    if min(image.data.shape[axis] for axis in axes) < MIN_SIDE_PX or image.data.dtype.kind not in "uif":
        return image
    planes = np.moveaxis(image.data, axes, (-2, -1)).reshape(-1, *(image.data.shape[axis] for axis in axes))
    sample = planes[:: -(-len(planes) // MAX_PLANES)].astype(np.float32)
    corrections = _corrections(sample)
    if not corrections:
        return image
    even = np.moveaxis(image.data, axes, (-2, -1)).astype(np.float32)
    for region, step in corrections:
        even[(..., *region)] = (even[(..., *region)] - step.offset) / step.gain
    warnings.warn(_words(corrections), DataWarning, stacklevel=3)
    return replace(image, data=np.moveaxis(even, (-2, -1), axes))


Region = tuple[slice, slice]
"""Rows and columns."""


def _corrections(planes: np.ndarray) -> list[tuple[Region, Step]]:
    """Regions of planes (t y x) and the steps that are taken out of them, one after the other; `planes` are changed."""
    result: list[tuple[Region, Step]] = []
    for axis in (1, 0):
        middle, other = planes.shape[1 + axis] // 2, planes.shape[2 - axis]
        strips = [slice(0, other // 2), slice(other // 2, other)]
        whole, (first, second) = _step(planes, axis), (_step(_strip(planes, axis, strip), axis) for strip in strips)
        apart = abs(first.height - second.height) > MIN_STEP_SIGMAS * np.hypot(first.sigma, second.sigma)
        if apart and (first.found or second.found):
            steps = list(zip(strips, (first, second), strict=True))
        else:
            steps = [(slice(0, other), whole)] if whole.found else []
        for strip, step in steps:
            region = (slice(middle, None), strip) if axis == 0 else (strip, slice(middle, None))
            part = planes[(slice(None), *region)]
            planes[(slice(None), *region)] = (part - step.offset) / step.gain
            result.append((region, step))
    return result


def _strip(planes: np.ndarray, axis: int, strip: slice) -> np.ndarray:
    """Part of planes along the line that runs across `axis`."""
    return planes[:, :, strip] if axis == 0 else planes[:, strip]


def _step(planes: np.ndarray, axis: int) -> Step:
    """The step across the middle of an axis of planes (t y x), from its height along the line and from the noise on either side."""
    image = planes if axis == 0 else planes.transpose(0, 2, 1)
    if image.shape[1] < MIN_SIDE_PX or image.shape[2] < MIN_SIDE_PX // 2 or not np.isfinite(image).all():
        return Step()
    scale, largest, before, after = min((_across(image, rows) for rows in ROWS), key=lambda across: across[0])
    height = _trimmed(after - before)
    alone = abs(height) > max(MIN_STEP_SIGMAS * scale, MIN_STEP_RATIO * largest)
    wide = image.shape[1] // 2 >= MIN_NOISE_SIDE_PX
    noise = _of_noise(image) if wide and abs(height) > MIN_BOTH_SIGMAS * scale else None
    if noise is None:
        return Step(height, 1.0, height, scale, alone)
    gain, offset, sigma = noise
    continued = _trimmed(after - gain * before)
    agree = abs(continued - offset) < MIN_BOTH_SIGMAS * np.hypot(scale, sigma)
    both = agree and (gain != 1 or abs(offset) > MIN_NOISE_SIGMAS * sigma)
    if agree:
        continued = (continued / scale**2 + offset / sigma**2) / (scale**-2 + sigma**-2)
    return Step(float(continued), gain, float(height), float(scale), bool(alone or both))


def _across(image: np.ndarray, rows: int) -> tuple[float, float, np.ndarray, np.ndarray]:
    """Robust standard deviation and largest size of the steps at other lines than the middle, and both sides of the middle."""
    before, after = _sides(image, rows)
    steps, place = _trimmed(after - before), image.shape[1] // 2 - rows
    others = steps[np.abs(np.arange(len(steps)) - place) > rows]
    scale = 1.4826 * float(np.median(np.abs(others - np.median(others))))
    return max(scale, 1e-30), float(np.abs(others).max()), before[place], after[place]


def _sides(image: np.ndarray, rows: int) -> tuple[np.ndarray, np.ndarray]:
    """Means over planes of what the rows before and after each line say of it (line by pixel), continued by straight lines."""
    place = np.arange(rows) + 0.5
    away = place - place.mean()
    weight = 1 / rows - away * place.mean() / max(float(np.sum(away**2)), 1e-30)
    mean = image.mean(0, dtype=np.float64)
    windows = np.lib.stride_tricks.sliding_window_view(mean, rows, axis=0)
    return windows[: len(windows) - rows] @ weight[::-1], windows[rows:] @ weight


def _trimmed(values: np.ndarray) -> Any:
    """Mean along the last axis without the smallest and the largest values."""
    cut = int(TRIM * values.shape[-1])
    return np.sort(values, axis=-1)[..., cut : values.shape[-1] - cut].mean(-1)


def _of_noise(image: np.ndarray) -> tuple[float, float, float] | None:
    """Gain of the second half over that of the first, 1 if they agree; and the offset that takes the second photo-transfer line to the
    first, with its standard error, at the signal where the lines are known best. None where a half does not tell its gain.
    """
    middle = image.shape[1] // 2
    try:
        surveys = [survey_frames(part, None) for part in (image[:, :middle], image[:, middle:])]
    except ImageError:
        return None
    first, second = (fit_line(survey.levels, survey.kernel.spread).moved(survey.shift) for survey in surveys)
    unknown = any(line.slope < MIN_GAIN_SIGMAS * line.slope_sigma for line in (first, second))
    if unknown or any(is_correlated(*survey.correlation[:2]) for survey in surveys):
        return None
    log_gain = float(np.log(second.slope / first.slope))
    error = np.hypot(first.slope_sigma / first.slope, second.slope_sigma / second.slope)
    gain = float(np.exp(log_gain)) if abs(log_gain) > MIN_GAIN_SIGMAS * error else 1.0
    slope = np.average((first.slope, second.slope / gain), weights=(first.slope_sigma**-2, (second.slope_sigma / gain) ** -2))
    signals = [-line.covariance[0, 1] / max(line.covariance[0, 0], 1e-30) for line in (first, second)]
    # light is that of the first part where noise is: v2 = gain^2 v1
    light = signals[0] + (second.at(signals[1]) / gain**2 - first.at(signals[0])) / slope
    dark = min(float(survey.levels.variance.min()) for survey in surveys)
    sigma = np.hypot(first.sigma_at(signals[0]), second.sigma_at(signals[1]) / gain**2) / slope
    return gain, float(signals[1] - gain * light), float(gain * np.hypot(sigma, READ_ERROR * dark / slope))


def _words(corrections: Sequence[tuple[Region, Step]]) -> str:
    parts = []
    for (rows, columns), step in corrections:
        where = [f"rows from {rows.start} on" if rows.start else "", f"columns from {columns.start} on" if columns.start else ""]
        gain = f" and {step.gain:.3f} times the gain" if step.gain != 1 else ""
        parts.append(f"{', '.join(filter(None, where))}: {step.offset:+.3g} ADU{gain}")
    return f"parts of the sensor differ ({'; '.join(parts)}), as those of several amplifiers do; they were equalised to the first part"
