"""Whether each raw frame of structured illumination has its share of the light: dark frames, and bleaching from frame to frame."""

from __future__ import annotations

import numpy as np

from zsdeconv.errors import ImageError
from zsdeconv.findings import Finding
from zsdeconv.sim.patterns import Layout
from zsdeconv.sim.positions import name_of

MIN_LIGHT_RATIO = 0.1
"""Light of a frame over the median of all below which it counts as dark. Chosen: bands separated with it would be ten times as noisy."""
MAX_BLEACHING_RATIO = 1.5
"""Ratio of the brightest to the dimmest frame above which bleaching is no sufficient explanation. Chosen."""


def light_of(frames: np.ndarray) -> np.ndarray:
    """Mean of each raw frame (`frame *zyx`, above the offset)."""
    return frames.mean(tuple(range(1, frames.ndim)), dtype=np.float64)


def refuse_dark_frames(frames: np.ndarray, layout: Layout) -> None:
    """Raise `ImageError` for raw frames (`frame *zyx`, above the offset) without light, by direction and phase.

    The bands of a direction cannot be separated without one of its frames.

    >>> refuse_dark_frames(np.ones((9, 4, 4)), Layout())
    """
    light = light_of(frames)
    if light.max() <= 0:
        return  # a wrong offset, which another check tells
    ratio = light / max(float(np.median(light)), np.finfo(float).tiny)
    dark = np.flatnonzero(ratio < MIN_LIGHT_RATIO)
    if 0 < len(dark) < len(ratio) / 2:
        names = " and ".join(name_of(int(n), layout) for n in dark)
        places = f"frame {', '.join(str(n + 1) for n in dark)} of {len(ratio)}"
        percent = f"{max(100 * float(ratio[dark].max()), 0.0):.2g} % of the light of the others (limit {100 * MIN_LIGHT_RATIO:g} %)"
        raise ImageError(
            f"{names} ({places}) has {percent}: the bands of a direction cannot be separated without it; record it again, or give times "
            "without dark frames"
        )


def light_message(frames: np.ndarray, layout: Layout) -> str:
    """What to say of raw frames (as above) of very unequal light; empty where bleaching explains it."""
    light = light_of(frames)
    dimmest, brightest = int(light.argmin()), int(light.argmax())
    ratio = float(light.max() / light.min()) if light.min() > 0 else np.inf
    if ratio <= MAX_BLEACHING_RATIO:
        return ""
    return (
        f"{name_of(dimmest, layout)} is {ratio:.2f} times dimmer than {name_of(brightest, layout)} (limit {MAX_BLEACHING_RATIO}, more than "
        "bleaching): fixed gains compensate for it; check the shutter and `background`"
    )


def light_finding(frames: np.ndarray, layout: Layout) -> Finding:
    """The ratio of the brightest to the dimmest raw frame (as above), with its limit.

    >>> light_finding(np.ones((9, 4, 4)), Layout()).message
    'The brightest raw frame has 1.00 times the light of the dimmest (limit 1.5), which is compensated.'
    """
    light, message = light_of(frames), light_message(frames, layout)
    ratio = float(light.max() / light.min()) if light.min() > 0 else np.inf
    text = f"The brightest raw frame has {ratio:.2f} times the light of the dimmest (limit {MAX_BLEACHING_RATIO}), which is compensated."
    if message:
        text = f"{message[0].upper()}{message[1:]}."
    return Finding("warn" if message else "ok", "frame_light", ratio, MAX_BLEACHING_RATIO, text)
