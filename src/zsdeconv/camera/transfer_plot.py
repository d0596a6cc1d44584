"""The plot of a calibration: variance of the noise against brightness."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import numpy as np

from zsdeconv.camera.calibrate import Calibration
from zsdeconv.findings import rounded

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def plot_calibration(calibration: Calibration, path: str | os.PathLike[str]) -> None:
    """Save a plot of the photon-transfer line: variance (ADU^2) of each brightness level against its mean (ADU), with the fit.

    The format follows the extension of `path` (png, pdf, svg). Raises `OSError` when the file cannot be written.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6.4, 4.4), layout="constrained")
    FigureCanvasAgg(figure)
    draw_calibration(calibration, figure)
    figure.savefig(path, dpi=150)


def draw_calibration(calibration: Calibration, figure: Figure) -> None:
    """Draw the plot of `plot_calibration` into a figure."""
    camera = calibration.camera
    axes = figure.add_subplot()
    axes.errorbar(
        calibration.signal,
        calibration.variance,
        calibration.variance_sigma,
        fmt="o",
        ms=4,
        lw=1,
        color="#2463a8",
        label="brightness levels of the image",
    )
    ends = np.array([camera.offset, max(float(calibration.signal.max()), camera.offset + 1e-9)])
    label = f"variance = {camera.gain:.3g} (signal - {camera.offset:.5g}) + {camera.read_variance:.3g}"
    axes.plot(ends, camera.variance(ends - camera.offset), color="#c8641e", label=label)
    offset = f"offset {camera.offset:.5g} $\\pm$ {rounded(calibration.offset_sigma)} ADU"
    axes.axvline(camera.offset, color="0.4", lw=1, ls="--", label=offset)
    read = f"read noise {camera.read_noise:.3g} $\\pm$ {rounded(calibration.read_noise_sigma)} ADU"
    axes.set_title(f"gain {camera.gain:.3g} $\\pm$ {rounded(calibration.gain_sigma)} ADU per electron, {read}", fontsize=10)
    axes.set_xlabel("mean signal as recorded (ADU)")
    axes.set_ylabel("noise variance (ADU$^2$)")
    axes.set_ylim(bottom=0)
    axes.legend(frameon=False, fontsize=9)
