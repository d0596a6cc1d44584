"""Pictures of a PSF against an image: the spectrum, and the sweep of widths."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from zsdeconv.report.page.style import ACCENT, WARNING
from zsdeconv.report.statistics.psf_width import WIDTHS, WidthFit
from zsdeconv.report.statistics.spectrum import Spectra

if TYPE_CHECKING:
    from matplotlib.figure import Figure

GREY = "0.45"


def draw_spectrum(figure: Figure, spectra: Spectra, fit: WidthFit, otf_end_per_um: float, signal_end_per_um: float | None) -> None:
    """Power by frequency: the image, the noise, what the PSF as given and of the preferred width make of it; both ends."""
    axes = figure.add_subplot()
    k, power = spectra.frequency_per_um, spectra.power.mean(0)
    shown = slice(1, None)
    axes.semilogy(k[shown], power[shown], ".", ms=4, color="0.2", label="image")
    axes.semilogy(k[shown], fit.noise[shown], color=GREY, lw=1, ls="--", label="noise")
    axes.semilogy(k[shown], fit.as_given[shown], color=WARNING, lw=1.2, label="expected of this PSF")
    axes.semilogy(k[shown], fit.model[shown], color=ACCENT, lw=1.2, label=f"of one {fit.width:.2f} times as wide")
    axes.axvline(otf_end_per_um, color=WARNING, lw=0.8, ls=":", label="end of the OTF")
    if signal_end_per_um is not None:
        axes.axvline(signal_end_per_um, color="0.2", lw=0.8, ls=":", label="signal sinks into the noise")
    axes.set_xlabel("spatial frequency (cycles per µm)")
    axes.set_ylabel("power (relative)")
    axes.set_xlim(0, k[-1])
    axes.legend(frameon=False, fontsize=8)


def draw_sweep(figure: Figure, fit: WidthFit, limits: tuple[float, float]) -> None:
    """Twice the log-likelihood lost by width, the preferred width with its error, and the limits."""
    axes = figure.add_subplot()
    axes.plot(WIDTHS, fit.curve, color=ACCENT, lw=1.4)
    axes.axvspan(*limits, color="0.92", lw=0, label="widths of a right PSF")
    axes.axvspan(fit.width - fit.sigma, fit.width + fit.sigma, color=ACCENT, alpha=0.15, lw=0)
    axes.axvline(fit.width, color=ACCENT, lw=1, label=f"preferred: {fit.width:.2f} $\\pm$ {fit.sigma:.2f}")
    axes.axvline(1.0, color=WARNING, lw=1, ls="--", label="as given")
    axes.set_xlabel("width of the PSF along y and x (1: as given)")
    axes.set_ylabel("twice the log-likelihood lost")
    axes.set_xlim(float(WIDTHS[0]), float(WIDTHS[-1]))
    axes.set_ylim(0, max(float(np.median(fit.curve)), 10.0))
    axes.legend(frameon=False, fontsize=8)
