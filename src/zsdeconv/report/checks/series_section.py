"""Photometry of a time series as a question and its answer, with its traces."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from zsdeconv.findings import Finding, Level
from zsdeconv.report.checks.series import Series
from zsdeconv.report.section import Picture, Section

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SLOPE_LIMITS = (0.02, 0.1)
R_LIMITS = (0.99, 0.95)
FLICKER_LIMITS = (1.1, 2.0)
"""Variance of static tiles, restored over raw. Their number is finite, so a tenth more means nothing."""
SHOWN = 4


def series_section(found: Series) -> Section:
    """Time traces as a question and its answer: slope 1 within 2 %, correlation above 0.99, no flicker added.

    >>> import numpy as np
    >>> from zsdeconv.report.checks.series import examine_series
    >>> frames = 50 + 30 * np.sin(np.arange(20))[:, None, None] * np.ones((24, 24))
    >>> series_section(examine_series(frames, frames)).findings[0].level
    'warn'
    """
    numbers = {
        "slope": found.slope,
        "slope_uncertainty": found.noise_share,
        "r": found.r,
        "regions": found.regions,
        "regions_that_change": len(found.active),
        "static_tiles": found.static,
        "pixel_variance_ratio": found.pixel_variance,
        "tile_variance_ratio": found.region_variance,
    }
    traces = "Mean intensity of the regions that change most: raw data (grey), restored (blue)."
    scatter = "Changes of the mean intensity of all regions that change, restored over raw; on the orange line both are equal."
    pictures = [
        Picture(traces, lambda figure: _draw_traces(figure, found), (6.4, 3.6)),
        Picture(scatter, lambda figure: _draw_scatter(figure, found), (4.2, 3.8)),
    ]
    return Section(
        "series",
        "Time traces",
        "Can changes over time be measured in the restored series?",
        [*_trace_findings(found), *_flicker_findings(found)],
        numbers,
        pictures if found.active else [],
    )


def _trace_findings(found: Series) -> list[Finding]:
    if found.slope is None or found.r is None or found.noise_share is None:
        said = f"In none of {found.regions} bright regions does the intensity change by more than noise, so that traces cannot be compared."
        return [Finding("warn", "trace_slope", 0.0, SLOPE_LIMITS[0], f"{said[:-1]}; judge by the brightness of single frames.")]
    away, (doubtful, wrong) = abs(found.slope - 1), (limit + found.noise_share for limit in SLOPE_LIMITS)
    level: Level = "ok" if away <= doubtful else "warn" if away <= wrong else "fail"
    met = f"Changes in {len(found.active)} regions are restored to {100 * found.slope:.1f} % (limit 100 ± {100 * doubtful:.1f} %)"
    advice = "" if level == "ok" else ": quote changes from the raw data, or train on all frames of the series"
    slope = Finding(level, "trace_slope", found.slope, doubtful, f"{met}{advice}.")
    # The noise of the raw traces alone takes this much away from a restoration without any.
    good, bad = (limit * np.sqrt(1 - min(found.noise_share, 1)) for limit in R_LIMITS)
    level = "ok" if found.r >= good else "warn" if found.r >= bad else "fail"
    met = f"Restored and raw traces correlate to {found.r:.4f} (limit {good:.3f})"
    advice = "" if level == "ok" else ": the course of some regions differs; look at the traces"
    return [slope, Finding(level, "trace_correlation", found.r, float(good), f"{met}{advice}.")]


def _flicker_findings(found: Series) -> list[Finding]:
    if found.pixel_variance is None or found.region_variance is None:
        said = "No part of the image is still enough to look for flicker; look at the traces of single regions."
        return [Finding("warn", "flicker", 0.0, FLICKER_LIMITS[0], said)]
    worse = max(found.pixel_variance, found.region_variance)
    level: Level = "ok" if worse <= FLICKER_LIMITS[0] else "warn" if worse <= FLICKER_LIMITS[1] else "fail"
    met = (
        f"In {found.static} still tiles the variance from frame to frame is {found.pixel_variance:.3f} times that of raw pixels "
        f"and {found.region_variance:.2f} times for whole tiles (limit {FLICKER_LIMITS[0]:g})"
    )
    advice = "" if level == "ok" else ": the restoration adds flicker; average more passes, or train longer"
    return [Finding(level, "flicker", worse, FLICKER_LIMITS[0], f"{met}{advice}.")]


def _draw_traces(figure: Figure, found: Series) -> None:
    from zsdeconv.report.page.style import ACCENT, plain

    shown = sorted(found.active, key=lambda region: -float(np.var(region.raw)))[:SHOWN]
    panels = figure.subplots(-(-len(shown) // 2), min(len(shown), 2), sharex=True, squeeze=False)
    for axes in panels.flat[len(shown) :]:
        axes.set_visible(False)
    for axes, region in zip(panels.flat, shown, strict=False):
        axes.plot(region.raw, ".", color="#808080", ms=4)
        axes.plot(region.restored, color=ACCENT, lw=1.4)
        axes.set_title(f"y {region.y_px}, x {region.x_px}: {100 * region.slope:.1f} %", fontsize=9, loc="left")
        plain(axes)
    for axes in panels[-1]:
        axes.set_xlabel("frame")
    for axes in panels[:, 0]:
        axes.set_ylabel("intensity (ADU)")


def _draw_scatter(figure: Figure, found: Series) -> None:
    from zsdeconv.report.page.style import ACCENT, WARNING, plain

    axes = figure.subplots()
    changes = [(region.raw - region.raw.mean(), region.restored - region.restored.mean()) for region in found.active]
    for raw, restored in changes:
        axes.plot(raw, restored, ".", color=ACCENT, ms=3, alpha=0.5)
    reach = max(float(np.abs(raw).max()) for raw, _ in changes)
    axes.plot([-reach, reach], [-reach, reach], color=WARNING, lw=1.2)
    axes.set_aspect("equal")
    axes.set_xlabel("change, raw (ADU)")
    axes.set_ylabel("change, restored (ADU)")
    plain(axes)
