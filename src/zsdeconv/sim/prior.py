"""Region of the wave-vector search: all frequencies that light through the same lens can produce, or the neighbourhood of a prior."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from zsdeconv.errors import ConfigError, OpticsError
from zsdeconv.sim.detection import DetectionOtf2d, DetectionOtf3d
from zsdeconv.sim.patterns import Layout

SEARCH_RANGE_CUTOFFS = (0.5, 1.3)
"""Annulus of a search without prior, in units of the cutoff of the detection. Upper end by law: light through the same lens produces at
most cutoff x emission / excitation wavelength, and fluorophores shift the wavelength by less than 1.3 times. Lower end chosen: coarser
patterns are rare, and near zero frequency bright structures produce false peaks."""
MIN_PATTERN_CUTOFFS = 0.15
"""Lowest frequency of a pattern with prior, in units of the cutoff. Chosen: below, the peak merges with the zero order of its band."""
PRIOR_TOLERANCE_CUTOFFS = 0.15
"""Half width of the search around a prior, in units of the cutoff. Chosen: about 8 degrees or 15 % of the period of fine fringes."""


@dataclass(frozen=True)
class PatternPrior:
    """Prior knowledge of the pattern: the angle of each direction's wave vector (degrees, from +x towards +y, +180 is equivalent), the
    period of the fringes (of three beams the finest), or both.

    >>> PatternPrior(period_um=0.25).region(0, np.array([[0.0]]), np.array([3.0, 4.0, 5.0]), 5.0).tolist()
    [[False, True, False]]
    """

    angles_deg: tuple[float, ...] | None = None
    period_um: float | None = None

    def check(self, layout: Layout, detection: DetectionOtf2d | DetectionOtf3d) -> None:
        """Raise `ConfigError` or `OpticsError` when the prior contradicts the layout or the lens."""
        if self.angles_deg is not None and len(self.angles_deg) != layout.directions:
            raise ConfigError(f"{len(self.angles_deg)} angles for {layout.directions} directions: one for each is needed; give angles_deg")
        if self.angles_deg is not None and not np.isfinite(self.angles_deg).all():
            raise ConfigError(f"angles {self.angles_deg}: all must be finite numbers of degrees; check angles_deg")
        if self.period_um is None:
            return
        finest, coarsest = 1 / (SEARCH_RANGE_CUTOFFS[1] * detection.cutoff_per_um), 1 / (MIN_PATTERN_CUTOFFS * detection.cutoff_per_um)
        if not np.isfinite(self.period_um) or not finest <= self.period_um <= coarsest:
            raise OpticsError(
                f"period {self.period_um:g} um: it must lie between {finest:.3g} um, the finest that light through this lens produces, and "
                f"{coarsest:.3g} um, the coarsest that can be measured; check period_um, `na` and wavelength_nm"
            )

    def region(self, number: int, ky_per_um: np.ndarray, kx_per_um: np.ndarray, cutoff_per_um: float) -> np.ndarray:
        """Frequencies to search for direction `number`: an annulus or a ring, restricted to the neighbourhood of the angle where given.

        Parameters
        ----------
        number
            Index of the direction, from 0.
        ky_per_um, kx_per_um
            Frequencies, of shapes that broadcast.
        cutoff_per_um
            Cutoff of the detection.
        """
        k, tolerance = np.hypot(ky_per_um, kx_per_um), PRIOR_TOLERANCE_CUTOFFS * cutoff_per_um
        if self.period_um is None:
            searched = (k > SEARCH_RANGE_CUTOFFS[0] * cutoff_per_um) & (k < SEARCH_RANGE_CUTOFFS[1] * cutoff_per_um)
        else:
            searched = np.abs(k - 1 / self.period_um) < tolerance
        if self.angles_deg is None:
            return searched
        angle = np.deg2rad(self.angles_deg[number])
        return searched & (np.abs(ky_per_um * np.cos(angle) - kx_per_um * np.sin(angle)) < tolerance)
