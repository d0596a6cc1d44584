"""`Optics`: the numbers that determine the resolution of a microscope. This module imports nothing heavy."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from zsdeconv.errors import OpticsError
from zsdeconv.physics.microscope import microscope_named

MEDIA = {"air": 1.0, "water": 1.333, "silicone": 1.406, "oil": 1.515}
"""Common immersion media and their refractive indices. Law: values at room temperature and visible light."""

MAX_APERTURE_SINE = 0.97
"""Largest NA / n. Chosen: that of objectives on the market (air 0.95, water 1.29, silicone 1.35), so an NA of 1.4 means oil."""

PUPILS = ("scalar", "vectorial")
"""The models of the pupil; see `zsdeconv.physics.pupil`."""
MAX_DEPTH_UM = 2000.0
"""Largest depth in the sample. Chosen: the working distance of objectives of high NA ends below it, so larger values are wrong units."""


@dataclass(frozen=True)
class Optics:
    """Objective, light and kind of microscope.

    Parameters
    ----------
    na
        Numerical aperture of the objective.
    wavelength_nm
        Emission wavelength in vacuum.
    immersion_ri
        Refractive index of the immersion. By default that of the smallest common medium in which such an NA is made (air 1.0,
        water 1.333, silicone 1.406, oil 1.515); then `immersion_assumed` is True.
    pupil
        "scalar" (uniform circular pupil, the Airy pattern) or "vectorial" (with polarisation, for high NA).
    microscope
        A name from the table of `zsdeconv.physics.microscope`: "widefield", "confocal", "twophoton", "lightsheet" (Gaussian sheet) or
        "lattice" (flat-topped sheet).
    sheet_um
        Half thickness of a light sheet, where it has fallen to 1/e^2.
    pinhole_au
        Diameter of a confocal pinhole in Airy units of the emission, 1 by default.
    excitation_nm
        Excitation wavelength of a confocal (0.93 x the emission by default) or two-photon microscope.
    sample_ri
        Refractive index of the sample. If it differs from the immersion, a point at `depth_um` is aberrated.
    depth_um
        Depth of the point below the cover glass.

    Raises
    ------
    OpticsError
        For values that no objective or microscope can have.

    Examples
    --------
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
    def stated(self) -> dict[str, float | str]:
        """What somebody said of objective, light and microscope, and was not assumed, by name.

        >>> Optics(1.4, 525).stated
        {'na': 1.4, 'wavelength_nm': 525}
        """
        assumed = {"immersion_ri": self.immersion_assumed, "microscope": self.microscope == Optics.microscope}
        names = ("na", "wavelength_nm", "immersion_ri", "microscope")
        return {name: getattr(self, name) for name in names if not assumed.get(name)}

    @property
    def aberrated(self) -> bool:
        """Whether light passes from the sample into an immersion of another index."""
        return bool(self.depth_um) and self.sample_ri is not None and self.sample_ri != self.ri

    @property
    def wavelength_um(self) -> float:
        """Vacuum wavelength in micrometres."""
        return 1e-3 * self.wavelength_nm

    @property
    def cutoff_per_um(self) -> float:
        """Highest lateral frequency of a wide-field image, 2 NA / wavelength, in cycles per micrometre."""
        return 2 * self.na / self.wavelength_um

    @property
    def nyquist_um(self) -> float:
        """Largest pixel that samples every frequency up to the cutoff, wavelength / (4 NA), in micrometres."""
        return 0.5 / self.cutoff_per_um

    @property
    def resolution_um(self) -> float:
        """Abbe's limit, wavelength / (2 NA), in micrometres."""
        return 1 / self.cutoff_per_um

    @property
    def axial_cutoff_per_um(self) -> float:
        """Highest axial frequency of a wide-field stack, (n - sqrt(n^2 - NA^2)) / wavelength, in cycles per micrometre."""
        return (self.ri - math.sqrt(self.ri**2 - self.na**2)) / self.wavelength_um

    @property
    def axial_nyquist_um(self) -> float:
        """Largest step in z that samples every frequency up to the axial cutoff, in micrometres."""
        return 0.5 / self.axial_cutoff_per_um


def _check_na(na: float) -> None:
    if not math.isfinite(na) or not 0.01 <= na <= 2.5:
        raise OpticsError(f"NA {na:g}: it must lie between 0.01 and 2.5; check na, which is engraved on the objective")


def _check_wavelength(wavelength_nm: float) -> None:
    if math.isfinite(wavelength_nm) and 0.2 <= wavelength_nm <= 2:
        raise OpticsError(f"wavelength {wavelength_nm:g} nm seems to be in micrometres; give wavelength_nm {1e3 * wavelength_nm:g}")
    if not math.isfinite(wavelength_nm) or not 200 <= wavelength_nm <= 2000:
        raise OpticsError(f"wavelength {wavelength_nm:g} nm: it must lie between 200 and 2000 nm; check wavelength_nm (emission, in nm)")


def _check_index(ri: float, na: float) -> None:
    if not math.isfinite(ri) or not 1 <= ri <= 2.5:
        raise OpticsError(f"immersion index {ri:g}: it must lie between 1 (air) and 2.5; check immersion_ri")
    if na > ri:
        raise OpticsError(f"NA ({na:g}) cannot exceed the immersion index ({ri:g}): give immersion_ri, or check na.")


def _check_sample(ri: float | None, depth_um: float | None) -> None:
    if ri is not None and (not math.isfinite(ri) or not 1 <= ri <= 2.5):
        raise OpticsError(f"sample index {ri:g}: it must lie between 1 (air) and 2.5, water has 1.333; check sample_ri")
    if depth_um is not None and (not math.isfinite(depth_um) or not 0 <= depth_um <= MAX_DEPTH_UM):
        raise OpticsError(f"depth {depth_um:g} um: it must lie between 0 (at the cover glass) and {MAX_DEPTH_UM:g} um; check depth_um")
    if depth_um and ri is None:
        raise OpticsError(f"depth {depth_um:g} um without the index of the sample: the aberration depends on both; give sample_ri too")


def _assumed_index(na: float) -> float:
    """Smallest common index at which objectives of this NA are made, else that of oil, which `_check_index` may refuse."""
    return next((ri for ri in MEDIA.values() if na <= MAX_APERTURE_SINE * ri), MEDIA["oil"])
