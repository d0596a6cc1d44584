"""Figures of a PSF against an image: the spectrum, and the likelihood of other widths."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from zsdeconv.report.page.style import ACCENT, DARK, GREY, WARNING
from zsdeconv.report.statistics.psf_width import WIDTHS, WidthFit
from zsdeconv.report.statistics.spectrum import Spectra

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MIN_SWEEP_RANGE = 10.0
"""Smallest range of the axis of the likelihood. Chosen: a difference of 10 is significant."""


def draw_spectrum(figure: Figure, spectra: Spectra, fit: WidthFit, otf_end_per_um: float, signal_end_per_um: float | None) -> None:
    """Draw the power by frequency of the image, of the noise, and as expected with the PSF as given and with the preferred width.

    Parameters
    ----------
    figure : figure to fill
    spectra : power of the image and of its noise
    fit : fit of the width
    otf_end_per_um, signal_end_per_um : ends of the OTF and of the signal, which are marked
    """
    axes = figure.add_subplot()
    k, power = spectra.frequency_per_um, spectra.power.mean(0)
    outer = slice(1, None)
    axes.semilogy(k[outer], power[outer], ".", ms=4, color=DARK, label="image")
    axes.semilogy(k[outer], fit.noise[outer], color=GREY, lw=1, ls="--", label="noise")
    axes.semilogy(k[outer], fit.as_given[outer], color=WARNING, lw=1.2, label="expected with this PSF")
    axes.semilogy(k[outer], fit.model[outer], color=ACCENT, lw=1.2, label=f"with one {fit.width:.2f} times as wide")
    axes.axvline(otf_end_per_um, color=WARNING, lw=0.8, ls=":", label="end of the OTF")
    if signal_end_per_um is not None:
        axes.axvline(signal_end_per_um, color=DARK, lw=0.8, ls=":", label="end of the signal")
    axes.set_xlabel("spatial frequency (cycles per µm)")
    axes.set_ylabel("power (relative)")
    axes.set_xlim(0, k[-1])
    axes.legend(frameon=False, fontsize=8)


def draw_sweep(figure: Figure, fit: WidthFit, limits: tuple[float, float]) -> None:
    """Draw twice the log-likelihood lost by width, the preferred width with its error, and the limits."""
    axes = figure.add_subplot()
    axes.plot(WIDTHS, fit.curve, color=ACCENT, lw=1.4)
    axes.axvspan(*limits, color="0.92", lw=0, label="widths of a right PSF")
    axes.axvspan(fit.width - fit.sigma, fit.width + fit.sigma, color=ACCENT, alpha=0.15, lw=0)
    axes.axvline(fit.width, color=ACCENT, lw=1, label=f"preferred: {fit.width:.2f} $\\pm$ {fit.sigma:.2f}")
    axes.axvline(1.0, color=WARNING, lw=1, ls="--", label="as given")
    axes.set_xlabel("lateral width of the PSF (1: as given)")
    axes.set_ylabel("twice the log-likelihood lost")
    axes.set_xlim(float(WIDTHS[0]), float(WIDTHS[-1]))
    axes.set_ylim(0, max(float(np.median(fit.curve)), MIN_SWEEP_RANGE))
    axes.legend(frameon=False, fontsize=8)
