"""Plot of an estimation of the illumination."""

from __future__ import annotations

import os

import numpy as np

from zsdeconv.sim.estimate import Estimation


def plot_estimation(estimation: Estimation, path: str | os.PathLike[str]) -> None:
    """One panel per direction: correlation of the bands over its median (log scale), the wave vector circled.

    Titles give angle, period, modulation depth and score. The format follows the extension of `path` (png, pdf, svg). Errors of the
    file system are passed on.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    directions, peaks = estimation.parameters.directions, estimation.peaks
    figure = Figure(figsize=(3.4 * len(directions) + 0.8, 4.0), layout="constrained")
    FigureCanvasAgg(figure)
    panels = figure.subplots(1, len(directions), squeeze=False)[0]
    highest = max(peak.score for peak in peaks)
    images = []
    for number, (axes, direction, peak) in enumerate(zip(panels, directions, peaks, strict=True), 1):
        reach_y, reach_x = peak.reach_per_um
        shown, extent = np.log10(peak.spectrum.clip(0.3)), (-reach_x, reach_x, reach_y, -reach_y)
        images.append(axes.imshow(shown, extent=extent, cmap="gray", vmin=np.log10(0.5), vmax=np.log10(highest)))
        ky, kx = (direction.orders * k for k in direction.p_per_um)
        axes.plot(kx, ky, "o", ms=14, mfc="none", mec="tab:red", mew=1.5)
        axes.set_title(
            f"direction {number}: {direction.angle_deg:.1f}$\\degree$, {1e3 * direction.finest_um:.1f} nm\n"
            f"depth {', '.join(f'{depth:.2f}' for depth in peak.depths)}, score {peak.score:.1f} (limit {peak.limit:.1f})",
            fontsize=9,
        )
        axes.set_xlabel("$k_x$ (cycles per um)")
    panels[0].set_ylabel("$k_y$ (cycles per um)")
    figure.colorbar(images[0], ax=list(panels), shrink=0.8, label="log$_{10}$ correlation over median")
    figure.savefig(path, dpi=150)
