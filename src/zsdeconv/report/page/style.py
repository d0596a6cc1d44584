"""Common style of figures: colours, scale bars, and axes of spatial frequency with a scale of periods."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from matplotlib.axes import Axes

ACCENT = "#2463a8"
"""Blue: restored images and expected curves."""
WARNING = "#c8641e"
"""Orange: limits, and what deserves attention."""
DARK, GREY, LIGHT = "#333333", "#808080", "#b8b8b8"
"""Greys: marks, raw data, noise."""
BAR_FRACTION = 0.3
"""Largest length of a scale bar relative to the width of an image. Chosen: it is readable and covers little."""
PERIODS_NM = (1000, 500, 300, 200, 150, 100, 75, 50)
"""Periods with a tick on the upper axis. Chosen: round numbers in the range of light microscopes."""
MIN_TICK_FRACTION = 0.06
"""Smallest distance of ticks relative to the width of the axis. Chosen: labels do not overlap."""


def show_plane(axes: Axes, plane: np.ndarray, yx_spacing_um: Sequence[float], **options: Any) -> Any:
    """Show a plane `y x` to scale with a scale bar and without ticks; `options` are those of `imshow`, whose result is returned."""
    y_um, x_um = yx_spacing_um
    image = axes.imshow(plane, aspect=y_um / x_um, interpolation="nearest", **options)
    bar_um, width = round_length(BAR_FRACTION * plane.shape[1] * x_um), plane.shape[1] - 1
    axes.set_xticks([])
    axes.set_yticks([])
    start, end = width - bar_um / x_um, width
    below: dict[str, Any] = {"transform": axes.get_xaxis_transform(), "clip_on": False}
    axes.plot([start, end], [-0.03, -0.03], color=DARK, lw=2, solid_capstyle="butt", **below)
    axes.text((start + end) / 2, -0.05, f"{bar_um:g} µm", color=DARK, ha="center", va="top", fontsize=8, **below)
    return image


def round_length(at_most: float) -> float:
    """The largest of 1, 2, 5 times a power of ten that is not larger than `at_most`.

    >>> [round_length(x) for x in (0.7, 3.0, 12.0)]
    [0.5, 2.0, 10.0]
    """
    decade = 10.0 ** math.floor(math.log10(at_most))
    return max(step * decade for step in (1, 2, 5) if step * decade <= at_most * (1 + 1e-9))


def frequency_axis(axes: Axes, end_per_um: float) -> None:
    """Spatial frequency along x from 0 to `end_per_um`, with the periods in nm on top."""
    axes.set_xlim(0, end_per_um)
    axes.set_xlabel("spatial frequency (1/µm)")
    top = axes.secondary_xaxis("top")
    periods = [nm for nm in PERIODS_NM if 1e3 / nm <= end_per_um]
    # Of periods whose labels would overlap the finer one is left out.
    distances = [1e3 / nm - 1e3 / coarser for coarser, nm in itertools.pairwise(periods)]
    ticks = periods[:1] + [nm for nm, distance in zip(periods[1:], distances, strict=True) if distance > MIN_TICK_FRACTION * end_per_um]
    top.set_xticks([1e3 / nm for nm in ticks], [str(nm) for nm in ticks])
    top.set_xlabel("period (nm)")


def plain(axes: Axes) -> None:
    """Remove the frame at the top and on the right."""
    axes.spines[["top", "right"]].set_visible(False)
