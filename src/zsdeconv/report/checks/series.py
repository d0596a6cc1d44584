"""Whether time traces can be measured in a restored series: changes are conserved, and static parts do not flicker."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from zsdeconv.camera.detector import Camera
from zsdeconv.errors import ImageError
from zsdeconv.findings import Finding, Level, percent, times
from zsdeconv.report.page.style import ACCENT, GREY, WARNING, plain
from zsdeconv.report.section import CaptionedFigure, Section
from zsdeconv.report.statistics.traces import Region, bright_places, flicker, pooled, region

if TYPE_CHECKING:
    from matplotlib.figure import Figure

KEY = "series"
TITLE = "Time traces"
QUESTION = "Can changes over time be measured in the restored series?"
NUMBERS = (
    "slope",
    "slope_uncertainty",
    "r",
    "regions",
    "regions_that_change",
    "static_tiles",
    "pixel_variance_ratio",
    "tile_variance_ratio",
)

REGION_PX = 12
"""Side of a region. Chosen: four times the width of a well sampled PSF, so little light crosses its border."""
MIN_FRAMES = 4
"""Frames of a series. Chosen: fewer determine no variance over time."""
MIN_CHANGE_RATIO = 10.0
"""Variance of a trace over that of its noise from which the slope is measured. Chosen: noise then biases the slope by 10 % at most."""
SLOPE_LIMITS = (0.02, 0.1)
"""Deviations of the slope from 1 beyond which the level is warn and fail. Chosen as for the brightness."""
R_LIMITS = (0.99, 0.95)
"""Correlations below which the level is warn and fail. Chosen: 2 % and 10 % of the variance are then unexplained."""
FLICKER_LIMITS = (1.1, 2.0)
"""Variances of static tiles, restored over raw, beyond which the level is warn and fail. Chosen: few tiles know a variance to a tenth."""
SHOWN_REGIONS = 4
"""Regions whose traces are drawn. Chosen: they fill the width of the page."""


@dataclass(frozen=True, eq=False)
class Series:
    """Photometry of a restored time series.

    Of `regions` bright regions the `active` ones change by more than noise. Pooled over them, each without its mean over time, `slope` and
    `r` are regression and correlation of restored on raw traces (None where nothing changes), and `noise_share` is the share of noise in
    the variance of the raw traces. A restoration that keeps the noise of whole regions has an unbiased slope; one that removes all noise
    has a slope too small by `noise_share`, which therefore is its uncertainty.

    `pixel_variance` and `tile_variance` are variances from frame to frame in the `static_tiles`, of single pixels and of whole tiles,
    restored over raw (None without such tiles).
    """

    active: list[Region]
    regions: int
    slope: float | None
    r: float | None
    noise_share: float | None
    static_tiles: int
    pixel_variance: float | None
    tile_variance: float | None


def measure(raw: np.ndarray, restored: np.ndarray, camera: Camera | None = None, *, region_px: int = REGION_PX) -> Series:
    """Compare a restored time series with the raw one, both `t *zyx` and above the offset; stacks are averaged along z.

    Regions are chosen from the mean raw image alone: the brightest squares that do not overlap. The lens carries some of their light across
    the border, which deconvolution brings back: give a deconvolved series re-blurred, `D H x`.

    Parameters
    ----------
    raw : the raw series
    restored : the restored series, on the grid of `raw` or a laterally finer one, which is binned
    camera : law of the noise in `raw` in its unit; without one the noise is taken from the differences of successive frames
    region_px : side of a region

    Raises
    ------
    ImageError
        When the shapes do not fit, for less than four frames, and for images smaller than a region.

    >>> rng, t = np.random.default_rng(0), np.arange(30)
    >>> clean = np.full((30, 48, 60), 5.0)
    >>> clean[:, 12:30, 20:36] += 40 * np.exp(-t / 9)[:, None, None]
    >>> result = measure(rng.poisson(clean), clean, Camera(0.0, 1.0, 0.0))
    >>> abs(result.slope - 1) < 0.02, result.r > 0.99, result.pixel_variance < 0.01
    (True, True, True)
    """
    before, after = _projected(raw), _binned(_projected(restored), raw.shape)
    frames, *yx_shape = before.shape
    if frames < MIN_FRAMES or min(yx_shape) < region_px:
        raise ImageError(
            f"series of {frames} frames of {yx_shape[0]} x {yx_shape[1]} pixels: at least {MIN_FRAMES} frames and {region_px} pixels "
            "are needed; give a longer series or a larger field"
        )
    planes = raw.size // before.size
    regions = [region(before, after, place, region_px, camera, planes) for place in bright_places(before.mean(0), region_px)]
    active = [each for each in regions if np.var(each.raw, ddof=1) > MIN_CHANGE_RATIO * each.noise]
    # Static parts are small where everything moves, and their light is not compared across borders: half the side suffices.
    static = flicker(before, after, max(region_px // 2, 2), camera, planes)
    return Series(active, len(regions), *(pooled(active) or (None, None, None)), *(static or (0, None, None)))


def section(result: Series) -> Section:
    """Slope and correlation of the traces and the flicker with their limits, and the traces.

    >>> frames = 50 + 30 * np.sin(np.arange(20))[:, None, None] * np.ones((24, 24))
    >>> [finding.level for finding in section(measure(frames, frames)).findings]
    ['not_checked', 'not_checked', 'ok']
    """
    values = (
        result.slope,
        result.noise_share,
        result.r,
        result.regions,
        len(result.active),
        result.static_tiles,
        result.pixel_variance,
        result.tile_variance,
    )
    curves = "Mean intensity of the regions that change most: raw data (grey), restored (blue)."
    scatter = "Changes of the mean intensity of all regions that change, restored against raw; on the orange line both are equal."
    figures = [
        CaptionedFigure(curves, lambda figure: _draw_traces(figure, result), (6.4, 3.6)),
        CaptionedFigure(scatter, lambda figure: _draw_scatter(figure, result), (4.2, 3.8)),
    ]
    findings = [*_trace_findings(result), _flicker_finding(result)]
    return Section(KEY, TITLE, QUESTION, findings, dict(zip(NUMBERS, values, strict=True)), figures if result.active else [])


def _projected(series: np.ndarray) -> np.ndarray:
    """`t y x`: stacks averaged along z."""
    values = np.asarray(series, np.float64)
    return values.reshape(len(values), -1, *values.shape[-2:]).mean(1)


def _binned(restored: np.ndarray, raw_shape: tuple[int, ...]) -> np.ndarray:
    """`restored` (t y x) on the grid of the raw series."""
    ny, nx = raw_shape[-2:]
    scale = max(restored.shape[-1] // nx, 1)
    if restored.shape != (raw_shape[0], scale * ny, scale * nx):
        raise ImageError(f"restored series {restored.shape}, raw series {raw_shape}: give both of one restoration, with the same frames")
    return restored.reshape(len(restored), ny, scale, nx, scale).mean((2, 4))


def _trace_findings(result: Series) -> list[Finding]:
    names = ("trace_slope", "trace_correlation")
    if result.slope is None or result.r is None or result.noise_share is None:
        why = f"In none of {result.regions} bright regions does the intensity change by more than noise, so there are no traces to compare."
        limits = (SLOPE_LIMITS[0], R_LIMITS[0])
        return [Finding.not_checked(name, why, limit=limit) for name, limit in zip(names, limits, strict=True)]
    deviation, (high, highest) = abs(result.slope - 1), (limit + result.noise_share for limit in SLOPE_LIMITS)
    slope_level: Level = "ok" if deviation <= high else "warn" if deviation <= highest else "fail"
    slope = f"Changes in {len(result.active)} regions are restored to {percent(result.slope, 1)} (limit 100 ± {100 * high:.1f} %)"
    advice = "" if slope_level == "ok" else "; measure changes in the raw data, or train on all frames of the series"
    # The noise of the raw traces lowers the correlation of even a perfect restoration.
    low, lowest = (float(limit * np.sqrt(1 - min(result.noise_share, 1))) for limit in R_LIMITS)
    r_level: Level = "ok" if result.r >= low else "warn" if result.r >= lowest else "fail"
    correlation = f"Restored and raw traces correlate by {result.r:.4f} (limit {low:.3f})"
    look = "" if r_level == "ok" else "; look for regions whose traces differ"
    return [
        Finding(slope_level, names[0], result.slope, high, f"{slope}{advice}."),
        Finding(r_level, names[1], result.r, low, f"{correlation}{look}."),
    ]


def _flicker_finding(result: Series) -> Finding:
    low, high = FLICKER_LIMITS
    if result.pixel_variance is None or result.tile_variance is None:
        why = "No part of the image is static enough to measure flicker; look at the traces of single regions."
        return Finding.not_checked("flicker", why, limit=low)
    value = max(result.pixel_variance, result.tile_variance)
    level: Level = "ok" if value <= low else "warn" if value <= high else "fail"
    text = (
        f"In {result.static_tiles} static tiles the restored variance from frame to frame is {result.pixel_variance:.3f} times that of raw "
        f"pixels and {times(result.tile_variance, '.2f')} that of whole raw tiles (limit {low:g})"
    )
    advice = "" if level == "ok" else "; the restoration adds flicker: average more `passes`, or train with more `steps`"
    return Finding(level, "flicker", value, low, f"{text}{advice}.")


def _draw_traces(figure: Figure, result: Series) -> None:
    shown = sorted(result.active, key=lambda each: -float(np.var(each.raw)))[:SHOWN_REGIONS]
    panels = figure.subplots(-(-len(shown) // 2), min(len(shown), 2), sharex=True, squeeze=False)
    for axes in panels.flat[len(shown) :]:
        axes.set_visible(False)
    for axes, each in zip(panels.flat, shown, strict=False):
        axes.plot(each.raw, ".", color=GREY, ms=4)
        axes.plot(each.restored, color=ACCENT, lw=1.4)
        axes.set_title(f"y {each.y_px}, x {each.x_px}: {100 * each.slope:.1f} %", fontsize=9, loc="left")
        plain(axes)
    for axes in panels[-1]:
        axes.set_xlabel("frame")
    for axes in panels[:, 0]:
        axes.set_ylabel("intensity (ADU)")


def _draw_scatter(figure: Figure, result: Series) -> None:
    axes = figure.subplots()
    changes = [(each.raw - each.raw.mean(), each.restored - each.restored.mean()) for each in result.active]
    for raw, restored in changes:
        axes.plot(raw, restored, ".", color=ACCENT, ms=3, alpha=0.5)
    limit = max(float(np.abs(raw).max()) for raw, _ in changes)
    axes.plot([-limit, limit], [-limit, limit], color=WARNING, lw=1.2)
    axes.set_aspect("equal")
    axes.set_xlabel("change, raw (ADU)")
    axes.set_ylabel("change, restored (ADU)")
    plain(axes)
