"""The pattern of structured illumination: position of its fringes in frequency space, and their modulation depth."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from zsdeconv.findings import Finding
from zsdeconv.report.page.style import ACCENT, WARNING
from zsdeconv.report.section import CaptionedFigure, Section
from zsdeconv.sim.reconstruct import Reconstruct

if TYPE_CHECKING:
    from matplotlib.figure import Figure

KEY = "pattern"
TITLE = "Pattern"
QUESTION = "Was the illumination pattern measured reliably?"
NUMBERS = ("angles_deg", "periods_um", "depths", "wiener")

MIN_DEPTH = 0.2
"""Modulation depth from which the level is ok. Chosen: below it the side bands are mostly noise; below 0.1 no pattern is accepted."""


@dataclass(frozen=True, eq=False)
class Fringes:
    """The pattern with which raw frames were reconstructed.

    For each direction `angles_deg`, `periods_um` (of the finest fringes), `depths` (of each order) and `waves_per_um` (wave vectors y, x
    of each order); `wiener` is the regularisation, `cutoff_per_um` the lateral cutoff of the detection.
    """

    angles_deg: list[float]
    periods_um: list[float]
    depths: list[list[float]]
    waves_per_um: list[list[tuple[float, float]]]
    wiener: float
    cutoff_per_um: float


def measure(reconstruct: Reconstruct) -> Fringes:
    """The parameters of a reconstruction."""
    directions = reconstruct.parameters.directions
    return Fringes(
        [direction.angle_deg for direction in directions],
        [direction.finest_um for direction in directions],
        [list(direction.depths) for direction in directions],
        [
            [(order * direction.p_per_um[0], order * direction.p_per_um[1]) for order in range(1, len(direction.depths) + 1)]
            for direction in directions
        ],
        reconstruct.wiener,
        reconstruct.weights.detection.cutoff_per_um,
    )


def section(result: Fringes) -> Section:
    """The weakest modulation with its limit, and the region of frequencies that the pattern adds.

    >>> section(Fringes([0.0], [0.2], [[0.5]], [[(0.0, 5.0)]], 0.1, 5.3)).findings[0].message
    'The weakest fringes modulate the light by 50 % (limit 20 %).'
    """
    numbers = {
        "angles_deg": [round(angle, 3) for angle in result.angles_deg],
        "periods_um": [round(period, 5) for period in result.periods_um],
        "depths": [[round(depth, 4) for depth in depths] for depths in result.depths],
        "wiener": result.wiener,
    }
    weakest = min(min(depths) for depths in result.depths)
    text = f"The weakest fringes modulate the light by {100 * weakest:.0f} % (limit {100 * MIN_DEPTH:.0f} %)"
    advice = (
        "; detail finer than the lens passes is unreliable: measure the pattern on a brighter recording and give it with `sim_parameters`"
    )
    level = "warn" if weakest < MIN_DEPTH else "ok"
    finding = Finding(level, "modulation", weakest, MIN_DEPTH, f"{text}{advice if level == 'warn' else ''}.")
    caption = "Frequencies that the fringes add: the disc that the lens passes (grey), shifted by the wave vectors of each direction."
    return Section(KEY, TITLE, QUESTION, [finding], numbers, [CaptionedFigure(caption, lambda figure: _draw(figure, result), (4.2, 4.2))])


def _draw(figure: Figure, result: Fringes) -> None:
    from matplotlib.patches import Circle

    axes, cutoff = figure.add_subplot(), result.cutoff_per_um
    axes.add_patch(Circle((0, 0), cutoff, color="0.85", lw=0))
    for waves, depths in zip(result.waves_per_um, result.depths, strict=True):
        for wave, depth in zip(waves, depths, strict=True):
            for y, x in (np.array(wave), -np.array(wave)):
                axes.add_patch(Circle((x, y), cutoff, fill=False, color=ACCENT, lw=0.8, alpha=min(1.0, 0.3 + depth)))
                axes.plot(x, y, ".", color=WARNING)
    extent = cutoff + max(1 / period for period in result.periods_um)
    axes.set(xlim=(-extent, extent), ylim=(extent, -extent), aspect="equal")
    axes.set_xlabel("kx (cycles per µm)")
    axes.set_ylabel("ky (cycles per µm)")
