"""Frames of a series that are not like the others: without light or signal, far brighter or dimmer, and exact repetitions.

One frame must not speak for all. A shutter that stayed closed makes a frame without data, a flash of stray light one whose brightness would
set the intensity scale of all others. Both are found by regression of each frame on the frames before and after it, which needs no offset.
Bleaching, blinking and moving samples change gradually, for good, or in parts of the field, and are no reason to leave a frame out.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from zsdeconv.findings import rounded

MIN_FRAMES = 4
"""Frames of a series in which one can be unlike the others. Chosen: of three, two must agree on either side of a third."""
WINDOW_FRAMES = 5
"""Frames before and after one that it is compared with, by their median. Chosen: a flash of two frames leaves the median alone."""
GRID_PX = 64
"""Squares along the longer side of a frame whose means are compared. Chosen: they hold little noise and all large structures."""
MIN_RATIO = 2.0
"""Ratio of brightness from which a frame is unlike the others. Chosen: a smaller one moves the intensity scale little."""
SPREAD_SIGMAS = 6.0
"""Robust standard deviations of the changes of brightness in the series. Chosen: a normal one exceeds it once in a billion frames."""
MIN_EXPLAINED = {"bright": 0.5, "dim": 0.8}
"""Share of a change that a change of the light of the whole field explains. Chosen: single cells that flare up leave the larger share
unexplained; of a sample that moves away half of the change looks like dimming."""
MAX_UNLIKE_FRACTION = 0.2
"""Fraction of frames above which brightness simply varies. Chosen: then no brightness is that of the others."""
MIN_CONTRAST_RATIO = 0.5
"""Contrast, over that of the upper quartile of frames, from which a frame counts as lit. Chosen: far from 0 and 1."""
SIGNIFICANCE = 10.0
"""Standard errors by which typical frames must resemble each other for one to be called dark. Chosen: below it nothing can be said."""
DARK_SIGMAS = 3.0
"""Standard errors within which the resemblance of a dark frame is none. Law: 99.7 % of frames without light lie within."""
MAX_DARK_RATIO = 0.15
"""Upper limit of the light of a dark frame, over that of a typical one, standard errors included. Chosen: dimmer frames have light."""
MAX_CORRELATION = 0.3
"""Correlation of neighbouring squares of a frame without structure. Law: 0 for white noise; the margin is for rows and columns."""


@dataclass(frozen=True)
class OddFrames:
    """Numbers (from 0) of the frames of a series of `count`: `dark` without data, `unlike` by the ratio of their brightness to that of the
    others, and `repeated` ones, equal to the frame before. The first two are no `ordinary` frames.

    >>> OddFrames(6, dark=(3,)).words
    ['frame 4 of 6 holds no light: it is left out, and given back without light']
    """

    count: int
    dark: tuple[int, ...] = ()
    unlike: Mapping[int, float] = field(default_factory=dict)
    repeated: tuple[int, ...] = ()

    @property
    def ordinary(self) -> list[int]:
        """Frames to learn from and to judge by."""
        return [n for n in range(self.count) if n not in self.dark and n not in self.unlike]

    @property
    def bright(self) -> list[int]:
        """Frames far brighter than the others."""
        return [n for n, ratio in self.unlike.items() if ratio > 1]

    @property
    def words(self) -> list[str]:
        """What was found and what is done about it, numbers from 1 on."""
        parts = []
        if self.dark:
            one = len(self.dark) == 1
            holds = f"{_numbered(self.dark, self.count)} {'holds' if one else 'hold'} no light"
            parts.append(f"{holds}: {'it is' if one else 'they are'} left out, and given back without light")
        parts += [
            f"frame {n + 1} of {self.count} has {rounded(ratio)} times the light of the others: it is restored, and left out of all else"
            for n, ratio in self.unlike.items()
        ]
        if self.repeated:
            same = "is an exact copy" if len(self.repeated) == 1 else "are exact copies"
            parts.append(f"{_numbered(self.repeated, self.count)} {same} of the one before: it holds no new data")
        return parts

    @property
    def text(self) -> str:
        """All words in one."""
        return "; ".join(self.words)

    def __bool__(self) -> bool:
        return bool(self.dark or self.unlike or self.repeated)


def _numbered(numbers: Sequence[int], count: int) -> str:
    """Frames by their numbers from 1 on, the first ten of them.

    >>> _numbered([0, 2], 9)
    'frames 1, 3 of 9'
    """
    shown = ", ".join(str(n + 1) for n in numbers[:10]) + (" ..." if len(numbers) > 10 else "")
    return f"frame{'' if len(numbers) == 1 else 's'} {shown} of {count}"


def find_odd_frames(frames: Sequence[np.ndarray]) -> OddFrames:
    """The odd ones among successive frames (each `... y x`, ADU) of one series; of fewer than four only constant ones and repetitions.

    >>> rng = np.random.default_rng(0)
    >>> light = rng.gamma(1.0, 20.0, (24, 32)) * np.array([1, 1, 30, 1, 0, 1, 1, 1])[:, None, None]
    >>> found = find_odd_frames(list(rng.poisson(light) + 100))
    >>> found.dark, [round(ratio, -1) for ratio in found.unlike.values()], found.bright
    ((4,), [30.0], [2])
    """
    count = len(frames)
    if count < 2 or len({frame.shape for frame in frames}) > 1:
        return OddFrames(count)
    means = _Means(frames)
    dark = _dark(means)
    unlike = _unlike(means, [n for n in range(count) if n not in dark])
    repeated = [n for n in range(1, count) if n not in dark and np.array_equal(frames[n], frames[n - 1])]
    return OddFrames(count, dark, unlike, tuple(repeated))


class _Means:
    """Means of the squares of each frame (`values`, frame square), and which frames are `constant`."""

    def __init__(self, frames: Sequence[np.ndarray]) -> None:
        side = max(2, -(-max(frames[0].shape[-2:]) // GRID_PX))
        squares = [_squares(frame, side) for frame in frames]
        self.shape = squares[0].shape
        self.values = np.stack([each.ravel() for each in squares])
        self.constant = np.array([frame.min() == frame.max() for frame in frames])

    @cached_property
    def spread(self) -> np.ndarray:
        """Standard deviation of the squares of each frame."""
        return self.values.std(1)

    @cached_property
    def contrast(self) -> np.ndarray:
        """The same without noise: the root of the covariance of neighbouring squares."""
        images = self.values.reshape(-1, *self.shape) - self.values.mean(1)[:, None, None]
        pairs = [(images[:, 1:] * images[:, :-1]).mean((1, 2)), (images[..., 1:] * images[..., :-1]).mean((1, 2))]
        return np.sqrt(np.mean(pairs, axis=0).clip(0))


def _squares(frame: np.ndarray, side: int) -> np.ndarray:
    """Means over squares of the mean plane of a frame."""
    plane = frame.reshape(-1, *frame.shape[-2:]).mean(0, dtype=np.float64)
    rows, columns = (max(n // side, 1) for n in plane.shape)
    return plane[: rows * side, : columns * side].reshape(rows, -1, columns, side).mean((1, 3))


@dataclass(frozen=True)
class _Line:
    """Regression `frame = slope * reference + ...`, the standard error of the slope, and the share of the change that it explains."""

    slope: float
    error: float
    explained: float


def _regression(frame: np.ndarray, reference: np.ndarray) -> _Line:
    x, y = reference - reference.mean(), frame - frame.mean()
    power = max(float(np.vdot(x, x)), 1e-300)
    slope = float(np.vdot(x, y)) / power
    rest = float(np.mean((y - slope * x) ** 2))
    change = float(np.mean((frame - reference) ** 2))
    return _Line(slope, float(np.sqrt(rest * len(x) / max(len(x) - 2, 1) / power)), 1 - rest / change if change > 0 else 0.0)


def _dark(means: _Means) -> tuple[int, ...]:
    """Frames without light: they resemble the lit ones in nothing, have no structure, and are no brighter than the darkest places."""
    constant = tuple(int(n) for n in np.flatnonzero(means.constant))
    if len(means.values) < MIN_FRAMES or len(constant) == len(means.values):
        return constant if len(constant) < len(means.values) else ()
    lit = means.contrast >= MIN_CONTRAST_RATIO * np.quantile(means.contrast, 0.75)
    reference = np.median(means.values[lit], axis=0)
    lines = [_regression(frame, reference) for frame in means.values]
    typical = float(np.median([line.slope for line, shines in zip(lines, lit, strict=True) if shines]))
    certain = np.median([line.slope / max(line.error, 1e-300) for line, shines in zip(lines, lit, strict=True) if shines])
    if certain < SIGNIFICANCE:
        return constant
    darkest = float(np.quantile(reference, 0.05))
    found = []
    for n, line in enumerate(lines):
        most = abs(line.slope) + DARK_SIGMAS * line.error
        unlike = abs(line.slope) < max(DARK_SIGMAS * line.error, 0.01 * typical) and most < MAX_DARK_RATIO * typical
        blank = means.contrast[n] ** 2 <= MAX_CORRELATION * means.spread[n] ** 2
        empty = blank and float(means.values[n].mean()) < darkest + DARK_SIGMAS * means.spread[n]
        if not lit[n] and (means.constant[n] or (unlike and empty)):
            found.append(n)
    return tuple(found)


def _unlike(means: _Means, numbers: Sequence[int]) -> dict[int, float]:
    """Frames whose whole field is far brighter or dimmer than before and after, with the ratio."""
    if len(numbers) < MIN_FRAMES:
        return {}
    sides = [_changes(means.values, numbers, place) for place in range(len(numbers))]
    logs = np.log([ratio for each in sides for ratio, _ in each])
    usual = float(np.median(logs))  # noise and motion lower the slopes of all frames
    limit = max(float(np.log(MIN_RATIO)), SPREAD_SIGMAS * 1.4826 * float(np.median(np.abs(logs - usual))))
    found = {}
    for n, each in zip(numbers, sides, strict=True):
        changes = np.log([ratio for ratio, _ in each]) - usual
        explained = min(share for _, share in each)
        bright = (changes > limit).all() and explained > MIN_EXPLAINED["bright"]
        if bright or (len(each) == 2 and (changes < -limit).all() and explained > MIN_EXPLAINED["dim"]):
            found[n] = float(np.exp(changes.mean()))
    return found if len(found) <= max(1, MAX_UNLIKE_FRACTION * len(numbers)) else {}


def _changes(values: np.ndarray, numbers: Sequence[int], place: int) -> list[tuple[float, float]]:
    """Ratio of the brightness of a frame to the median of those before and after it, and the share of the change that this explains."""
    result = []
    for near in (numbers[max(0, place - WINDOW_FRAMES) : place], numbers[place + 1 : place + 1 + WINDOW_FRAMES]):
        if near:
            reference, frame = np.median(values[list(near)], axis=0), values[numbers[place]]
            line = _regression(frame, reference)
            level = float(frame.mean() / reference.mean()) if reference.mean() > 0 else 1.0
            ratio = max(level, line.slope) if level > MIN_RATIO else line.slope
            result.append((max(ratio, 1e-3), line.explained))
    return result
