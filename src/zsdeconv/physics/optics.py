"""`Optics`: the few numbers that decide what a lens can resolve. Nothing heavy is imported here."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from zsdeconv.errors import OpticsError

MEDIA = {"air": 1.0, "water": 1.333, "silicone": 1.406, "oil": 1.515}
"""Common immersion media and their refractive indices at room temperature."""

LARGEST_SINE = 0.97
"""Lenses stop short of collecting at 90 degrees: air 0.95, water 1.29, silicone 1.35. So NA 1.4 is oil, not silicone."""

PUPILS = ("scalar", "vectorial")


@dataclass(frozen=True)
class Optics:
    """Objective and light: `na`, emission `wavelength_nm` (in vacuum), index `immersion_ri`, and how the pupil is modelled.

    Without `immersion_ri` the smallest common medium in which such an NA is made is assumed (air 1.0, water 1.333,
    silicone 1.406, oil 1.515) and `immersion_assumed` says so. `pupil` is "scalar" (uniform circular pupil: the Airy pattern) or
    "vectorial" (polarisation kept, for high NA).

    Raises `OpticsError` for values that no lens can have.

    >>> optics = Optics(na=1.4, wavelength_nm=525)
    >>> optics.immersion_ri, optics.immersion_assumed, round(optics.nyquist_um, 5)
    (1.515, True, 0.09375)
    """

    na: float
    wavelength_nm: float
    immersion_ri: float | None = None
    pupil: str = "scalar"
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

    @property
    def ri(self) -> float:
        """The immersion index, given or assumed."""
        assert self.immersion_ri is not None
        return self.immersion_ri

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


def _assumed_index(na: float) -> float:
    """Smallest common index for which such an NA is made; the largest one when none is, which `_check_index` may refuse."""
    return next((ri for ri in MEDIA.values() if na <= LARGEST_SINE * ri), MEDIA["oil"])
