"""The residual of a restoration as a question and its answer, with pictures."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from zsdeconv.findings import Finding, Level
from zsdeconv.report.checks.residuals import BANDS, SIGNIFICANT, Residuals
from zsdeconv.report.section import Picture, Section

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SD_LIMITS = (0.95, 1.08)
"""The residual over what the best linear filter leaves, and over noise. A gain that is 7 % wrong makes 3.5 %."""
SD_WRONG = (0.85, 1.3)
POWER_LIMITS = (0.8, 1.15)
"""The same for the power in a band of frequencies. Richardson-Lucy run too long leaves half of what the best filter leaves."""
OUTLINE_PX = 3
"""Distance at which structure is outlined, so that the outline does not hide it."""
LARGE_SHARE = 0.02
"""Share of the image with structure left from which more than a few places are wrong."""


def residual_section(found: Residuals, spacing_um: Sequence[float]) -> Section:
    """The residual as a question and its answer, for an image with pixels of `spacing_um` (`*zyx`).

    Three things are asked: whether the residual is as large as noise, whether it is so at all spatial frequencies, and where it
    is not. The limits for too little are those of the best linear filter, not of noise, which nobody can leave untouched.

    >>> from zsdeconv.acquisition.direct import CameraMeasurement
    >>> from zsdeconv.camera.detector import Camera
    >>> import torch
    >>> from zsdeconv.report.checks.residuals import examine_residuals
    >>> clean = torch.full((48, 40), 30.0)
    >>> y = torch.poisson(clean, generator=torch.Generator().manual_seed(1))
    >>> residual_section(examine_residuals(CameraMeasurement(y, Camera(0.0, 1.0, 0.0)), clean), (0.1, 0.1)).level
    'ok'
    """
    numbers = {
        "sd": found.sd,
        "sd_spread": found.sd_spread,
        "sd_least": found.sd_least,
        "level_sd": found.level,
        "neighbour_correlation": found.correlation,
        "neighbour_correlation_expected": found.correlation_expected,
        "band_power": [float(power) for power in found.bands],
        "band_power_least": [float(power) for power in found.bands_least],
        "structure_share": found.structure_share,
        "structure_places": len(found.blobs),
        "largest_score_sd": found.blobs[0].score if found.blobs else None,
        "largest_at_um": [c * um for c, um in zip(found.blobs[0].zyx_px, spacing_um, strict=True)] if found.blobs else None,
    }
    where = (
        "The difference between the data and the restored image seen through the microscope again, in units of the noise. Outlined is what "
        "noise does not explain: orange where the restored image lacks light, blue where it has too much."
    )
    how = (
        "Left: the values of the difference (blue) against those of pure noise (grey). Right: its power by spatial frequency over that of "
        "noise; below the grey line more noise has been fitted than by the best linear filter."
    )
    return Section(
        "residuals",
        "What is left of the data",
        "Does the restored image explain the data, no less and no more?",
        [_size_finding(found), *_whiteness_findings(found), _structure_finding(found)],
        numbers,
        [
            Picture(where, lambda figure: _draw_map(figure, found, spacing_um), (5.2, 4.4)),
            Picture(how, lambda figure: _draw_statistics(figure, found), (6.4, 2.8)),
        ],
    )


def _size_finding(found: Residuals) -> Finding:
    sd, least = found.sd, found.sd_least
    (low, high), (too_low, too_high) = SD_LIMITS, SD_WRONG
    level: Level = "fail" if not too_low * least < sd < too_high else "ok" if low * least < sd < high else "warn"
    met = f"The difference between data and restoration is {sd:.2f} times as large as noise (limits {low * least:.2f} to {high:g})"
    if sd < 1:
        advice = "over-fitted, for noise has become part of the image; train with fewer steps, or check the camera's gain"
    else:
        advice = "structure is left in the data, or they are noisier than the camera law says; check the PSF and the camera's gain"
    limit = low * least if sd < 1 else high
    return Finding(level, "residual_sd", sd, limit, f"{met}." if level == "ok" else f"{met}: {advice}.")


def _whiteness_findings(found: Residuals) -> list[Finding]:
    """One for the band with least power, one for that with most, and one if neither is amiss."""
    low, high = found.emptiest_band, found.fullest_band
    least, most = POWER_LIMITS[0] * found.bands_least[low], POWER_LIMITS[1]
    too_low, too_high = found.bands[low] < least, found.bands[high] > most
    margin, findings = SIGNIFICANT * found.bands_spread, []
    if too_low and found.bands[low] + margin[low] < found.bands_least[low]:
        advice = "noise has been fitted there; train with fewer steps, and do not trust detail of this size"
        findings.append(_band_finding(found, low, least, advice))
    if too_high and found.bands[high] - margin[high] > 1:
        findings.append(_band_finding(found, high, most, "structure of this size is left in the data; check the PSF, or train longer"))
    return findings or [_band_finding(found, high, most, "")]


def _band_finding(found: Residuals, band: int, limit: float, advice: str) -> Finding:
    power, edge = float(found.bands[band]), 0.5 / BANDS
    met = f"Between {band * edge:.2f} and {(band + 1) * edge:.2f} cycles per pixel the difference has {power:.2f} times the power of noise"
    said = f"{met} (limit {limit:.2f})"
    return Finding("warn" if advice else "ok", "residual_whiteness", power, float(limit), f"{said}: {advice}." if advice else f"{said}.")


def _structure_finding(found: Residuals) -> Finding:
    share = found.structure_share
    if not found.blobs:
        return Finding("ok", "structure_left", 0.0, LARGE_SHARE, "Nowhere is structure left that noise does not explain.")
    worst = found.blobs[0]
    level: Level = "fail" if share > LARGE_SHARE else "warn"
    what = "lacks light that the data hold" if worst.score > 0 else "has light that the data do not hold"
    at = ", ".join(f"{place:.0f}" for place in worst.zyx_px)
    places = "1 place" if len(found.blobs) == 1 else f"{len(found.blobs)} places"
    said = (
        f"In {places}, {100 * share:.2g} % of the image (limit {100 * LARGE_SHARE:g} %), the restoration differs from the "
        f"data by more than noise; most at pixel ({at}), where it {what}: look at the outlined places before you interpret them"
    )
    return Finding(level, "structure_left", share, LARGE_SHARE, f"{said}." if level == "warn" else f"{said}, and check the PSF.")


def _draw_map(figure: Figure, found: Residuals, spacing_um: Sequence[float]) -> None:
    """The plane with most structure; the middle one where there is none."""
    from scipy.ndimage import binary_dilation

    from zsdeconv.report.page.style import ACCENT, WARNING, show_plane

    z, structure = (image.reshape(-1, *image.shape[-2:]) for image in (found.z, found.structure))
    marked = np.count_nonzero(structure, axis=(1, 2))
    plane = int(marked.argmax()) if marked.any() else len(z) // 2
    axes = figure.subplots()
    shown = show_plane(axes, z[plane], spacing_um[-2:], cmap="RdBu_r", vmin=-4, vmax=4)
    for sign, colour in ((1, WARNING), (-1, ACCENT)):
        if (structure[plane] == sign).any():
            around = binary_dilation(structure[plane] == sign, iterations=OUTLINE_PX)
            axes.contour(around, [0.5], colors=[colour], linewidths=1.4)
    if len(z) > 1:
        axes.set_title(f"plane {plane + 1} of {len(z)}", fontsize=9, loc="left")
    figure.colorbar(shown, ax=axes, shrink=0.8, label="difference / noise")


def _draw_statistics(figure: Figure, found: Residuals) -> None:
    from zsdeconv.report.page.style import ACCENT, DARK, LIGHT, plain

    values, spectrum = figure.subplots(1, 2)
    edges = np.linspace(-5, 5, 61)
    middle = (edges[1:] + edges[:-1]) / 2
    values.fill_between(middle, np.exp(-(middle**2) / 2) / np.sqrt(2 * np.pi), color=LIGHT, lw=0, label="noise")
    values.hist(found.z.ravel(), edges, density=True, histtype="step", color=ACCENT, lw=1.4, label="difference")
    values.set_xlabel("difference / noise")
    values.set_ylabel("density")
    values.legend(frameon=False, fontsize=8)
    spectrum.axhline(1, color=DARK, lw=0.8)
    spectrum.plot(found.frequency_per_px, found.power, color=ACCENT, lw=1, alpha=0.5)
    centres = (np.arange(len(found.bands)) + 0.5) * 0.5 / BANDS
    spectrum.plot(centres, found.bands_least, color=LIGHT, lw=1.6)
    spectrum.errorbar(centres, found.bands, SIGNIFICANT * found.bands_spread, fmt="o", color=ACCENT, ms=4, lw=1.2)
    spectrum.set_ylim(0, max(2.0, 1.1 * float(found.bands.max())))
    spectrum.set_xlabel("spatial frequency (cycles/pixel)")
    spectrum.set_ylabel("power / power of noise")
    for axes in (values, spectrum):
        plain(axes)
