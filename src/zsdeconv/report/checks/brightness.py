"""Whether brightness is conserved: the re-blurred deconvolved image, compared with the denoised one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from zsdeconv.findings import Finding, Level, percent
from zsdeconv.metrics import flux
from zsdeconv.report.page.style import ACCENT, WARNING
from zsdeconv.report.section import CaptionedFigure, Section

if TYPE_CHECKING:
    from matplotlib.figure import Figure

KEY = "flux"
TITLE = "Brightness"
QUESTION = "Can brightness be measured in the deconvolved image?"
NUMBERS = ("slope", "offset_frac", "deviation_adu")

MAX_SLOPE_DEVIATION = 0.02
"""Deviation of the slope from 1 up to which the level is ok. Chosen: ratios of intensities are then right to 2 %."""
MAX_SLOPE_ERROR = 0.10
"""Deviation of the slope from 1 beyond which the level is fail. Chosen: an error of 10 % exceeds that of most measurements."""
MAX_OFFSET_FRACTION = 0.02
"""Brightness of dark places over that of bright ones, in excess of the denoised image. Chosen: as for the slope."""
HISTOGRAM_BINS = 96
"""Bins of the joint histogram along each axis. Chosen: four screen pixels each."""
HISTOGRAM_PERCENTILE = 99.95
"""Upper edge of the histogram. Chosen: the brightest pixels, one in two thousand, would compress all others into a corner."""


@dataclass(frozen=True, eq=False)
class Flux:
    """Regression of the re-blurred deconvolved image on the denoised one: `reblurred = slope * denoised + offset`.

    `offset_frac` is the offset over the 99.8th percentile of the denoised image; `deviation_adu` the standard deviation of the
    difference. `counts` (`reblurred denoised`) is the joint histogram over `edges_adu`, the same for both axes. Slope and offset are
    None where the denoised image has no contrast.
    """

    slope: float | None
    offset_frac: float | None
    deviation_adu: float
    counts: np.ndarray
    edges_adu: np.ndarray


def measure(reblurred: np.ndarray, denoised: np.ndarray) -> Flux:
    """Compare `D H x` of the deconvolved image `x` with the denoised image (Eq. 1): the same shape `... y x`, ADU above the offset.

    >>> denoised = np.linspace(0, 100, 64).reshape(8, 8)
    >>> round(measure(0.9 * denoised, denoised).slope, 6)
    0.9
    """
    assert reblurred.shape == denoised.shape, f"{reblurred.shape} and {denoised.shape}: compared on one grid"
    first, second = (np.asarray(x, np.float64).ravel() for x in (reblurred, denoised))
    low = min(first.min(), second.min())
    high = max(np.percentile(first, HISTOGRAM_PERCENTILE), np.percentile(second, HISTOGRAM_PERCENTILE))
    edges = np.linspace(low, high if high > low else low + 1, HISTOGRAM_BINS + 1)
    counts, _, _ = np.histogram2d(first, second, bins=(edges, edges))
    slope, offset_frac = flux(first, second) if np.ptp(second) > 0 else (None, None)
    return Flux(slope, offset_frac, float(np.std(first - second)), counts, edges)


def section(result: Flux) -> Section:
    """Slope and offset with their limits, and the joint histogram.

    >>> section(measure(np.eye(8), np.eye(8))).level
    'ok'
    """
    caption = (
        "Each pixel of the deconvolved image, re-blurred and binned to the raw grid, against the denoised image; darker means more pixels."
        " On the orange line both are equal."
    )
    values = (result.slope, result.offset_frac, result.deviation_adu)
    figures = [CaptionedFigure(caption, lambda figure: _draw(figure, result), (4.0, 3.7))]
    return Section(KEY, TITLE, QUESTION, _findings(result), dict(zip(NUMBERS, values, strict=True)), figures)


def _findings(result: Flux) -> list[Finding]:
    if result.slope is None or result.offset_frac is None:
        why = "The denoised image is constant, so there is no brightness to compare; check that this is the right image."
        limits = {"flux_slope": MAX_SLOPE_DEVIATION, "flux_offset": MAX_OFFSET_FRACTION}
        return [Finding.not_checked(name, why, limit=limit) for name, limit in limits.items()]
    deviation, offset = abs(result.slope - 1), result.offset_frac
    level: Level = "fail" if deviation > MAX_SLOPE_ERROR else "warn" if deviation > MAX_SLOPE_DEVIATION else "ok"
    text = (
        f"Re-blurred, the deconvolved image has {percent(result.slope, 1)} of the brightness of the denoised image "
        f"(limit 100 ± {100 * MAX_SLOPE_DEVIATION:.0f} %)"
    )
    advice = {
        "ok": "",
        "warn": "; measure intensities in the denoised image",
        "fail": "; check the PSF, and measure intensities in the denoised image",
    }
    findings = [Finding(level, "flux_slope", result.slope, MAX_SLOPE_DEVIATION, f"{text}{advice[level]}.")]
    text = (
        f"Dark places of the deconvolved image differ from the denoised one by {percent(offset, 1, sign=True)} of the brightness of "
        f"bright places (limit ± {100 * MAX_OFFSET_FRACTION:.0f} %)"
    )
    dark: Level = "warn" if abs(offset) > MAX_OFFSET_FRACTION else "ok"
    advice_dark = "" if dark == "ok" else "; give the offset of the camera with `background`"
    return [*findings, Finding(dark, "flux_offset", offset, MAX_OFFSET_FRACTION, f"{text}{advice_dark}.")]


def _draw(figure: Figure, result: Flux) -> None:
    from matplotlib.colors import LinearSegmentedColormap, LogNorm

    axes, edges = figure.subplots(), result.edges_adu
    shades = LinearSegmentedColormap.from_list("counts", ["#dbe6f2", ACCENT, "#0c2747"])
    counts = np.ma.masked_less(result.counts, 1)
    axes.pcolormesh(edges, edges, counts, norm=LogNorm(1, max(counts.max(), 2)), cmap=shades, rasterized=True)
    axes.plot(edges[[0, -1]], edges[[0, -1]], color=WARNING, lw=1.2)
    axes.set_xlabel("denoised (ADU above the offset)")
    axes.set_ylabel("deconvolved, re-blurred (ADU)")
