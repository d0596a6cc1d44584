"""Where to look for the wave vector: everywhere that light of the same lens can make a pattern, or near what is known."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from zsdeconv.errors import ConfigError, OpticsError
from zsdeconv.sim.detection import DetectionOtf2d, DetectionOtf3d
from zsdeconv.sim.patterns import Layout

SEARCHED = (0.5, 1.3)
"""Annulus of a blind search, in units of the detection's cutoff. Light of the same lens makes at most cutoff x emission /
excitation wavelength; dyes shift the wavelength by less than 1.3 times."""
COARSEST = 0.15
"""A pattern coarser than this share of the cutoff drowns in the zero of its band."""
TOLERANCE = 0.15
"""How far from a guess is searched, in units of the cutoff."""


@dataclass(frozen=True)
class PatternPrior:
    """What is known of the pattern: the angle of each direction's wave vector (degrees, from +x towards +y, +180 is the same),
    the period of the stripes (the finest, of three beams), or both.

    >>> PatternPrior(period_um=0.25).region(0, np.array([[0.0]]), np.array([3.0, 4.0, 5.0]), 5.0).tolist()
    [[False, True, False]]
    """

    angles_deg: tuple[float, ...] | None = None
    period_um: float | None = None

    def check(self, layout: Layout, detection: DetectionOtf2d | DetectionOtf3d) -> None:
        """Raise `ConfigError` or `OpticsError` when it cannot be true."""
        if self.angles_deg is not None and len(self.angles_deg) != layout.directions:
            raise ConfigError(f"{len(self.angles_deg)} angles for {layout.directions} directions: give --angles-deg with one for each")
        if self.angles_deg is not None and not np.isfinite(self.angles_deg).all():
            raise ConfigError(f"angles {self.angles_deg}: all must be numbers of degrees; check --angles-deg")
        if self.period_um is None:
            return
        finest, coarsest = 1 / (SEARCHED[1] * detection.cutoff_per_um), 1 / (COARSEST * detection.cutoff_per_um)
        if not np.isfinite(self.period_um) or not finest <= self.period_um <= coarsest:
            raise OpticsError(
                f"period {self.period_um:g} um: {finest:.3g} um is the finest that light through this lens makes and {coarsest:.3g} um the "
                "coarsest that can be told from no pattern; check --period-um, --na and --wavelength-nm"
            )

    def region(self, number: int, ky_per_um: np.ndarray, kx_per_um: np.ndarray, cutoff_per_um: float) -> np.ndarray:
        """The frequencies to be searched for direction `number`: an annulus or ring, and of it what lies near the angle."""
        k, slack = np.hypot(ky_per_um, kx_per_um), TOLERANCE * cutoff_per_um
        if self.period_um is None:
            searched = (k > SEARCHED[0] * cutoff_per_um) & (k < SEARCHED[1] * cutoff_per_um)
        else:
            searched = np.abs(k - 1 / self.period_um) < slack
        if self.angles_deg is None:
            return searched
        angle = np.deg2rad(self.angles_deg[number])
        return searched & (np.abs(ky_per_um * np.cos(angle) - kx_per_um * np.sin(angle)) < slack)
