"""Whether brightness was kept: what a camera would see of the deconvolved image, compared with the denoised one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from zsdeconv.findings import Finding, Level
from zsdeconv.metrics import flux
from zsdeconv.report.page.style import ACCENT, WARNING
from zsdeconv.report.section import Picture, Section

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SLOPE_LIMIT = 0.02
"""Deviation of the slope from 1 from which a ratio of intensities should not be quoted to the percent."""
SLOPE_WRONG = 0.10
"""Deviation from which the image is not photometric at all."""
OFFSET_LIMIT = 0.02
"""Brightness of places without light, as a fraction of the bright ones."""
BINS = 96


@dataclass(frozen=True, eq=False)
class Flux:
    """Regression of the re-blurred deconvolved image on the denoised one: `reblurred = slope * denoised + offset`.

    `offset_frac` is the offset over the 99.8th percentile of the denoised image; `deviation_adu` the standard deviation of the
    difference. `counts` (`reblurred denoised`) is the joint histogram over `edges_adu`, the same for both. Without any contrast in
    the denoised image slope and offset are None.
    """

    slope: float | None
    offset_frac: float | None
    deviation_adu: float
    counts: np.ndarray
    edges_adu: np.ndarray


def examine_flux(reblurred: np.ndarray, denoised: np.ndarray) -> Flux:
    """Compare `D H x` of the deconvolved image `x` with the denoised image (Eq. 1): the same shape `... y x`, ADU above the offset.

    >>> denoised = np.linspace(0, 100, 64).reshape(8, 8)
    >>> round(examine_flux(0.9 * denoised, denoised).slope, 6)
    0.9
    """
    assert reblurred.shape == denoised.shape, f"{reblurred.shape} and {denoised.shape}: compared on one grid"
    first, second = (np.asarray(x, np.float64).ravel() for x in (reblurred, denoised))
    # The brightest pixels, one in two thousand, would push all others into a corner of the picture.
    low, high = min(first.min(), second.min()), max(np.percentile(first, 99.95), np.percentile(second, 99.95))
    edges = np.linspace(low, high if high > low else low + 1, BINS + 1)
    counts, _, _ = np.histogram2d(first, second, bins=(edges, edges))
    slope, offset_frac = flux(first, second) if np.ptp(second) > 0 else (None, None)
    return Flux(slope, offset_frac, float(np.std(first - second)), counts, edges)


def flux_section(found: Flux) -> Section:
    """The brightness as a question and its answer: slope 1 within 2 %, no light added where there is none.

    >>> flux_section(examine_flux(np.eye(8), np.eye(8))).level
    'ok'
    """
    caption = (
        "Each pixel of the deconvolved image, blurred and binned again as the microscope would, over the denoised one; darker means more"
        " pixels. On the orange line both are equal."
    )
    return Section(
        "flux",
        "Brightness",
        "Can brightness be measured in the deconvolved image?",
        _findings(found),
        {"slope": found.slope, "offset_frac": found.offset_frac, "deviation_adu": found.deviation_adu},
        [Picture(caption, lambda figure: _draw(figure, found), (4.0, 3.7))],
    )


def _findings(found: Flux) -> list[Finding]:
    if found.slope is None or found.offset_frac is None:
        said = (
            "The denoised image is the same everywhere, so brightness has nothing to be compared with; check that this is the right image."
        )
        return [Finding("warn", "flux_slope", 0.0, SLOPE_LIMIT, said)]
    away, offset = abs(found.slope - 1), found.offset_frac
    level: Level = "fail" if away > SLOPE_WRONG else "warn" if away > SLOPE_LIMIT else "ok"
    met = f"{100 * found.slope:.1f} % of the brightness of the denoised image (limit 100 ± {100 * SLOPE_LIMIT:.0f} %)"
    advice = {
        "ok": f"Brightness is kept: imaged again, the deconvolved image has {met}.",
        "warn": f"Imaged again, the deconvolved image has {met}; measure intensities on the denoised image.",
        "fail": f"Brightness is not kept: imaged again, the deconvolved image has {met}; check the PSF, and measure on the denoised image.",
    }
    findings = [Finding(level, "flux_slope", found.slope, SLOPE_LIMIT, advice[level])]
    if abs(offset) > OFFSET_LIMIT:
        dark = f"{100 * offset:+.1f} % of the bright ones' brightness (limit ± {100 * OFFSET_LIMIT:.0f} %)"
        said = f"Dark places of the deconvolved image differ from those of the denoised one by {dark}; give --background."
        findings.append(Finding("warn", "flux_offset", offset, OFFSET_LIMIT, said))
    return findings


def _draw(figure: Figure, found: Flux) -> None:
    from matplotlib.colors import LinearSegmentedColormap, LogNorm

    axes, edges = figure.subplots(), found.edges_adu
    shades = LinearSegmentedColormap.from_list("counts", ["#dbe6f2", ACCENT, "#0c2747"])
    counts = np.ma.masked_less(found.counts, 1)
    axes.pcolormesh(edges, edges, counts, norm=LogNorm(1, max(counts.max(), 2)), cmap=shades, rasterized=True)
    axes.plot(edges[[0, -1]], edges[[0, -1]], color=WARNING, lw=1.2)
    axes.set_xlabel("denoised (ADU above the offset)")
    axes.set_ylabel("deconvolved, imaged again (ADU)")
