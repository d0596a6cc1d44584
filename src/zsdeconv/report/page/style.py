"""What pictures of an assessment share: two colours, scale bars, axes of spatial frequency that can be read as periods."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from matplotlib.axes import Axes

ACCENT = "#2463a8"
WARNING = "#c8641e"
DARK = "#333333"
LIGHT = "#b8b8b8"


def show_plane(axes: Axes, plane: np.ndarray, yx_spacing_um: Sequence[float], **options: Any) -> Any:
    """A plane `y x` with square micrometres, a scale bar and no ticks; `options` are those of `imshow`, whose result is returned."""
    y_um, x_um = yx_spacing_um
    shown = axes.imshow(plane, aspect=y_um / x_um, interpolation="nearest", **options)
    bar_um, width = round_length(0.3 * plane.shape[1] * x_um), plane.shape[1] - 1
    axes.set_xticks([])
    axes.set_yticks([])
    start, end = width - bar_um / x_um, width
    below: dict[str, Any] = {"transform": axes.get_xaxis_transform(), "clip_on": False}
    axes.plot([start, end], [-0.03, -0.03], color=DARK, lw=2, solid_capstyle="butt", **below)
    axes.text((start + end) / 2, -0.05, f"{bar_um:g} µm", color=DARK, ha="center", va="top", fontsize=8, **below)
    return shown


def round_length(at_most: float) -> float:
    """The largest of 1, 2, 5 times a power of ten that is not larger.

    >>> [round_length(x) for x in (0.7, 3.0, 12.0)]
    [0.5, 2.0, 10.0]
    """
    decade = 10.0 ** math.floor(math.log10(at_most))
    return max(step * decade for step in (1, 2, 5) if step * decade <= at_most * (1 + 1e-9))


def frequency_axis(axes: Axes, most_per_um: float) -> None:
    """Spatial frequency along x from 0 to `most_per_um`, and on top of it the periods in nm."""
    axes.set_xlim(0, most_per_um)
    axes.set_xlabel("spatial frequency (1/µm)")
    top = axes.secondary_xaxis("top")
    periods = [nm for nm in (1000, 500, 300, 200, 150, 100, 75, 50) if 1e3 / nm <= most_per_um]
    # Periods that would be printed over each other are left out, the coarser ones first.
    shown = [nm for n, nm in enumerate(periods) if n == 0 or 1e3 / nm - 1e3 / periods[n - 1] > 0.06 * most_per_um]
    top.set_xticks([1e3 / nm for nm in shown], [str(nm) for nm in shown])
    top.set_xlabel("period (nm)")


def plain(axes: Axes) -> None:
    """Without the frame at the top and on the right."""
    axes.spines[["top", "right"]].set_visible(False)
