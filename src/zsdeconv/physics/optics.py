"""`Optics`: the few numbers that decide what a lens can resolve. Nothing heavy is imported here."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from zsdeconv.errors import OpticsError
from zsdeconv.physics.microscope import microscope_named

MEDIA = {"air": 1.0, "water": 1.333, "silicone": 1.406, "oil": 1.515}
"""Common immersion media and their refractive indices at room temperature."""

LARGEST_SINE = 0.97
"""Lenses stop short of collecting at 90 degrees: air 0.95, water 1.29, silicone 1.35. So NA 1.4 is oil, not silicone."""

PUPILS = ("scalar", "vectorial")
DEEPEST_UM = 2000.0


@dataclass(frozen=True)
class Optics:
    """Objective and light: `na`, emission `wavelength_nm` (in vacuum), index `immersion_ri`, and how the pupil is modelled.

    Without `immersion_ri` the smallest common medium in which such an NA is made is assumed (air 1.0, water 1.333,
    silicone 1.406, oil 1.515) and `immersion_assumed` says so. `pupil` is "scalar" (uniform circular pupil: the Airy pattern) or
    "vectorial" (polarisation kept, for high NA).

    `microscope` is a row of physics/microscope.py: "widefield", "confocal" (`pinhole_au`: its diameter in Airy units of the
    emission, 1 unless given; `excitation_nm`, 0.93 x the emission unless given), "twophoton" (`excitation_nm`), "lightsheet"
    (Gaussian; `sheet_um`: half thickness where it has fallen to 1/e^2) or "lattice" (flat-topped; `sheet_um` likewise). A
    sample of another index than the immersion (`sample_ri`) aberrates a point that lies `depth_um` below the cover glass.

    Raises `OpticsError` for values that no lens or microscope can have.

    >>> optics = Optics(na=1.4, wavelength_nm=525)
    >>> optics.immersion_ri, optics.immersion_assumed, round(optics.nyquist_um, 5), round(optics.axial_nyquist_um, 5)
    (1.515, True, 0.09375, 0.28044)
    >>> Optics(na=1.1, wavelength_nm=525, immersion_ri=1.33, microscope="lightsheet", sheet_um=1.0).sheet_um
    1.0
    """

    na: float
    wavelength_nm: float
    immersion_ri: float | None = None
    pupil: str = "scalar"
    microscope: str = "widefield"
    sheet_um: float | None = None
    pinhole_au: float | None = None
    excitation_nm: float | None = None
    sample_ri: float | None = None
    depth_um: float | None = None
    immersion_assumed: bool = field(init=False, default=False)

    def __post_init__(self) -> None:
        _check_na(self.na)
        _check_wavelength(self.wavelength_nm)
        if self.pupil not in PUPILS:
            raise OpticsError(f"pupil {self.pupil!r}: it must be one of {', '.join(PUPILS)}; choose one of them")
        if self.immersion_ri is None:
            object.__setattr__(self, "immersion_ri", _assumed_index(self.na))
            object.__setattr__(self, "immersion_assumed", True)
        _check_index(self.ri, self.na)
        _check_sample(self.sample_ri, self.depth_um)
        for name, value in microscope_named(self.microscope).completed(self).items():
            object.__setattr__(self, name, value)

    @property
    def ri(self) -> float:
        """The immersion index, given or assumed."""
        assert self.immersion_ri is not None
        return self.immersion_ri

    @property
    def aberrated(self) -> bool:
        """Whether light has to pass from a sample into an immersion of another index."""
        return bool(self.depth_um) and self.sample_ri is not None and self.sample_ri != self.ri

    @property
    def wavelength_um(self) -> float:
        """Vacuum wavelength in micrometres."""
        return 1e-3 * self.wavelength_nm

    @property
    def cutoff_per_um(self) -> float:
        """Highest lateral frequency that a wide-field image can contain, 2 NA / wavelength, in cycles per micrometre."""
        return 2 * self.na / self.wavelength_um

    @property
    def nyquist_um(self) -> float:
        """Largest pixel that records every frequency up to the cutoff, wavelength / (4 NA), in micrometres."""
        return 0.5 / self.cutoff_per_um

    @property
    def resolution_um(self) -> float:
        """Abbe's limit, wavelength / (2 NA), in micrometres."""
        return 1 / self.cutoff_per_um

    @property
    def axial_cutoff_per_um(self) -> float:
        """Highest axial frequency that a wide-field stack can contain, (n - sqrt(n^2 - NA^2)) / wavelength, in cycles per um."""
        return (self.ri - math.sqrt(self.ri**2 - self.na**2)) / self.wavelength_um

    @property
    def axial_nyquist_um(self) -> float:
        """Largest step in z that records every frequency up to the axial cutoff, in micrometres."""
        return 0.5 / self.axial_cutoff_per_um


def _check_na(na: float) -> None:
    if not math.isfinite(na) or not 0.01 <= na <= 2.5:
        raise OpticsError(f"NA {na:g}: it must lie between 0.01 and 2.5 and is engraved on the objective; check --na")


def _check_wavelength(wavelength_nm: float) -> None:
    if math.isfinite(wavelength_nm) and 0.2 <= wavelength_nm <= 2:
        raise OpticsError(f"wavelength {wavelength_nm:g} nm looks like micrometres; give --wavelength-nm {1e3 * wavelength_nm:g}")
    if not math.isfinite(wavelength_nm) or not 200 <= wavelength_nm <= 2000:
        raise OpticsError(f"wavelength {wavelength_nm:g} nm: light lies between 200 and 2000 nm; check --wavelength-nm (emission, in nm)")


def _check_index(ri: float, na: float) -> None:
    if not math.isfinite(ri) or not 1 <= ri <= 2.5:
        raise OpticsError(f"immersion index {ri:g}: it must lie between 1 (air) and 2.5; check --immersion-ri")
    if na > ri:
        raise OpticsError(f"NA ({na:g}) cannot exceed the immersion index ({ri:g}): give --immersion-ri, or check --na.")


def _check_sample(ri: float | None, depth_um: float | None) -> None:
    if ri is not None and (not math.isfinite(ri) or not 1 <= ri <= 2.5):
        raise OpticsError(f"sample index {ri:g}: it must lie between 1 (air) and 2.5, water has 1.333; check --sample-ri")
    if depth_um is not None and (not math.isfinite(depth_um) or not 0 <= depth_um <= DEEPEST_UM):
        raise OpticsError(f"depth {depth_um:g} um: it must lie between 0 (at the cover glass) and {DEEPEST_UM:g} um; check --depth-um")
    if depth_um and ri is None:
        raise OpticsError(f"depth {depth_um:g} um in a sample of unknown index: it matters where the index does; give --sample-ri too")


def _assumed_index(na: float) -> float:
    """Smallest common index for which such an NA is made; the largest one when none is, which `_check_index` may refuse."""
    return next((ri for ri in MEDIA.values() if na <= LARGEST_SINE * ri), MEDIA["oil"])
