"""Resolution as a question and its answer, with a picture of the curves."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from zsdeconv.findings import Finding, Level
from zsdeconv.metrics import FRC_THRESHOLD
from zsdeconv.report.checks.resolution import LEAST_SNR, Correlation, Resolution
from zsdeconv.report.section import Picture, Section

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

DIM = 0.5
"""Share of the optical cutoff below which the noise limit says that there was too little light for the lens."""


def resolution_section(found: Resolution) -> Section:
    """How fine the detail is that the data vouch for.

    >>> import torch
    >>> from zsdeconv.acquisition.direct import CameraMeasurement
    >>> from zsdeconv.camera.detector import Camera
    >>> from zsdeconv.report.checks.resolution import examine_resolution
    >>> noise = CameraMeasurement(torch.randn(64, 64, generator=torch.Generator().manual_seed(0)), Camera(0.0, 0.0, 1.0))
    >>> resolution_section(examine_resolution(noise, (0.1, 0.1))).level
    'fail'
    """
    spectrum, structure = found.spectrum, found.structure
    numbers: dict[str, Any] = {
        "noise_limit_nm": found.noise_limit_nm,
        "optical_cutoff_nm": _period_nm(found.cutoff_per_um),
        "frc_raw_nm": _period_nm(found.raw.crossing_per_um),
        "frc_restored_nm": _period_nm(_crossing(found.restored)),
        "frc_recorded_nm": _period_nm(_crossing(found.recorded)),
        "finest_frequency_nm": _period_nm(spectrum.reach_per_um),
        "decorrelation_nm": None if structure is None else structure.resolution_nm,
    }
    curves = (
        "Fourier ring correlation of two halves of the data, each with half the light, at full light: of the data (grey), of their "
        "restorations (blue). The network sees both halves with the same expectations, which makes the blue curve too high where the grey "
        "one is low. Beyond the noise limit (orange) the data hold no signal."
    )
    ratio = (
        "Power of the signal over that of the noise in the data. Where it falls under the dotted line, a sixth, the noise limit is drawn."
    )
    return Section(
        "resolution",
        "Resolution",
        "How fine is the detail that the data vouch for?",
        [_limit_finding(found), *_half_findings(found)],
        numbers,
        [
            Picture(curves, lambda figure: _draw_correlation(figure, found), (6.4, 3.4)),
            Picture(ratio, lambda figure: _draw_ratio(figure, found), (6.4, 3.0)),
        ],
    )


def _limit_finding(found: Resolution) -> Finding:
    limit, reach = found.spectrum.limit_per_um, found.spectrum.reach_per_um
    if limit is None:
        said = (
            "The data hold no signal above the noise at any frequency: what the restored image shows is the network's; record more light."
        )
        return Finding("fail", "noise_limit_nm", 0.0, 1e3 / reach, said)
    nm = 1e3 / limit
    if limit >= 0.98 * reach:
        by = "the lens" if found.cutoff_per_um and reach < found.spectrum.frequency_per_um[-1] else "the pixels"
        said = f"The data hold signal up to the finest detail that {by} can record, {nm:.0f} nm; what is finer is the network's."
        return Finding("ok", "noise_limit_nm", nm, 1e3 / reach, said)
    said = f"Noise-limited beyond {nm:.0f} nm (the optics would allow {1e3 / reach:.0f} nm): detail finer than this is the network's"
    level: Level = "ok" if limit > DIM * reach else "warn"
    return Finding(
        level, "noise_limit_nm", nm, 1e3 / (DIM * reach), f"{said}." if level == "ok" else f"{said}; more light would help most."
    )


def _half_findings(found: Resolution) -> list[Finding]:
    """Whether the restorations of two halves of the light agree as far as the data do."""
    restored, limit = found.restored, found.spectrum.limit_per_um
    if restored is None or limit is None:
        return []
    if restored.crossing_per_um is None:
        said = "Restorations from two halves of the light agree down to the finest detail that the pixels hold"
        met = 1e3 / float(restored.frequency_per_um[-1])
    else:
        met = 1e3 / restored.crossing_per_um
        said = f"Restorations from two halves of the light agree down to {met:.0f} nm"
    caveat = "agreement beyond the noise limit comes from what the network expects, and is no proof"
    if met <= 1e3 / limit:
        return [Finding("ok", "frc_restored_nm", met, 1e3 / limit, f"{said} (noise limit {1e3 / limit:.0f} nm); {caveat}.")]
    lost = f"{said} only, coarser than the noise limit of {1e3 / limit:.0f} nm"
    advice = "detail that the data hold is not restored reliably; train longer"
    return [Finding("warn", "frc_restored_nm", met, 1e3 / limit, f"{lost}: {advice}.")]


def _crossing(correlation: Correlation | None) -> float | None:
    return None if correlation is None else correlation.crossing_per_um


def _period_nm(per_um: float | None) -> float | None:
    return 1e3 / per_um if per_um else None


def _draw_correlation(figure: Figure, found: Resolution) -> None:
    from zsdeconv.report.page.style import ACCENT, DARK, LIGHT

    axes = figure.subplots()
    axes.plot(found.raw.frequency_per_um, found.raw.frc, color="#808080", lw=1.4, label="data")
    if found.recorded is not None:
        axes.plot(found.recorded.frequency_per_um, found.recorded.frc, color=DARK, lw=1, ls="--", label="two recordings")
    if found.restored is not None:
        axes.plot(found.restored.frequency_per_um, found.restored.frc, color=ACCENT, lw=1.6, label="restored")
    axes.axhline(FRC_THRESHOLD, color=LIGHT, lw=1, ls=":")
    axes.set_ylim(-0.1, 1.05)
    axes.set_ylabel("correlation of two halves")
    most = max(curve.frequency_per_um[-1] for curve in (found.raw, found.restored or found.raw))
    _marks(axes, found, float(most))
    axes.legend(frameon=False, fontsize=8, loc="center right")


def _draw_ratio(figure: Figure, found: Resolution) -> None:
    from zsdeconv.report.page.style import ACCENT, LIGHT

    spectrum, axes = found.spectrum, figure.subplots()
    seen = spectrum.snr > 1e-3
    axes.semilogy(spectrum.frequency_per_um[seen], spectrum.snr[seen], color=ACCENT, lw=1.4)
    axes.semilogy(spectrum.frequency_per_um[1:], spectrum.least[1:], color=LIGHT, lw=1, ls=":")
    axes.set_ylim(LEAST_SNR / 5, max(10.0, 2 * float(spectrum.snr.max())))
    axes.set_ylabel("signal / noise (power)")
    _marks(axes, found, float(spectrum.frequency_per_um[-1]))


def _marks(axes: Axes, found: Resolution, most_per_um: float) -> None:
    """The noise limit and the cutoff of the optics, and both readings of the frequency axis."""
    from zsdeconv.report.page.style import DARK, WARNING, frequency_axis, plain

    marks = ((found.spectrum.limit_per_um, "noise limit", WARNING), (found.cutoff_per_um, "optical cutoff", DARK))
    for place, words, colour in marks:
        if place is not None and place <= most_per_um:
            axes.axvline(place, color=colour, lw=1.2)
            at = axes.get_xaxis_transform()
            axes.text(place, 0.5, f" {words}", color=colour, fontsize=8, rotation=90, ha="right", va="center", transform=at)
    frequency_axis(axes, most_per_um)
    plain(axes)
    axes.set_xlim(0, np.ceil(most_per_um * 10) / 10)
