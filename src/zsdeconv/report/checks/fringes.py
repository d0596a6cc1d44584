"""The pattern of structured illumination in a report: where its stripes lie in frequency, and how strongly they modulate the light."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from zsdeconv.findings import Finding
from zsdeconv.report.page.style import ACCENT, WARNING
from zsdeconv.report.section import Picture, Section
from zsdeconv.sim.reconstruct import Reconstruct

if TYPE_CHECKING:
    from matplotlib.figure import Figure

DEPTH_LIMIT = 0.2
"""Contrast of order 1 below which the side bands are mostly noise; a pattern under 0.1 is not accepted at all."""


def pattern_section(reconstruct: Reconstruct) -> Section:
    """Directions, periods and contrasts with which the raw frames were reconstructed, and what they add to the frequencies of the lens."""
    directions = reconstruct.parameters.directions
    weakest = min(min(direction.depths) for direction in directions)
    told = f"The weakest stripes modulate the light by {100 * weakest:.0f} % (limit {100 * DEPTH_LIMIT:.0f} %)"
    weak = weakest < DEPTH_LIMIT
    advice = ": what is finer than the lens resolves rests on little light; measure the pattern on a brighter recording (--sim-parameters)"
    numbers = {
        "angles_deg": [round(direction.angle_deg, 3) for direction in directions],
        "periods_um": [round(direction.finest_um, 5) for direction in directions],
        "depths": [[round(depth, 4) for depth in direction.depths] for direction in directions],
        "wiener": reconstruct.wiener,
    }
    finding = Finding("warn" if weak else "ok", "modulation", weakest, DEPTH_LIMIT, told + (advice if weak else ""))
    caption = "What the stripes add: the disc that the lens passes (grey), shifted by the wave vectors of each direction."
    picture = Picture(caption, lambda figure: _draw(figure, reconstruct), (4.2, 4.2))
    return Section("pattern", "Pattern", "Were the stripes found?", [finding], numbers, [picture])


def _draw(figure: Figure, reconstruct: Reconstruct) -> None:
    from matplotlib.patches import Circle

    axes, cutoff = figure.add_subplot(), reconstruct.weights.detection.cutoff_per_um
    axes.add_patch(Circle((0, 0), cutoff, color="0.85", lw=0))
    for direction in reconstruct.parameters.directions:
        for order, depth in enumerate(direction.depths, 1):
            for sign in (order, -order):
                y, x = sign * np.array(direction.p_per_um)
                axes.add_patch(Circle((x, y), cutoff, fill=False, color=ACCENT, lw=0.8, alpha=min(1.0, 0.3 + depth)))
                axes.plot(x, y, ".", color=WARNING)
    reach = cutoff + max(1 / direction.finest_um for direction in reconstruct.parameters.directions)
    axes.set(xlim=(-reach, reach), ylim=(reach, -reach), aspect="equal")
    axes.set_xlabel("kx (cycles per µm)")
    axes.set_ylabel("ky (cycles per µm)")
