"""The table of microscopes: the formula by which each forms its point spread function from the focal intensity of one objective.

A microscope is a set of parameters (fields of `Optics`) and a formula. All PSFs are rotationally symmetric about the optical
axis, so a formula works on radial functions: `focus(wavelength_um, r_um)` is the intensity (z r) of the objective at the depths
`z_um` and distances `r_um`. By reciprocity it is the same for focused excitation light and for the image of a point.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from zsdeconv.errors import OpticsError


class OpticsLike(Protocol):
    """The fields of `Optics` that a formula reads."""

    @property
    def na(self) -> float: ...
    @property
    def wavelength_nm(self) -> float: ...
    @property
    def wavelength_um(self) -> float: ...
    @property
    def excitation_nm(self) -> float | None: ...
    @property
    def pinhole_au(self) -> float | None: ...
    @property
    def sheet_um(self) -> float | None: ...


Focus = Callable[[float, np.ndarray], np.ndarray]
"""Intensity (z r) of the objective as a function of the wavelength (um) and the distances from the axis (um)."""
Formula = Callable[[OpticsLike, Focus, np.ndarray, np.ndarray], np.ndarray]
"""PSF (z r) from the optics, the focal intensity, the depths `z_um` and the distances `r_um`."""

AIRY_DIAMETER_WAVELENGTHS = 1.22
"""Diameter of the Airy disc (its first dark ring), the unit of pinholes, in wavelength / NA. Law: the first zero of J_1."""
EXCITATION_RATIO = 0.93
"""Default ratio of the excitation to the emission wavelength. Chosen: the green dyes, 488 nm for 525 nm."""
LATTICE_EXPONENT = 8
"""Exponent of the flat-topped profile of a lattice light sheet. Chosen: nearly constant within the sheet, steep at its edges."""
TABLE_STEP_WAVELENGTHS = 1 / 40
"""Step of radial tables in wavelength / NA. Chosen: 20 samples in the shortest period of a focal intensity, wavelength / (2 NA)."""

LIMITS: dict[str, tuple[float, float, str]] = {
    "sheet_um": (0.05, 1000, "half thickness of the light sheet where it has fallen to 1/e^2, in um"),
    "pinhole_au": (0.05, 20, "diameter of the pinhole in Airy units, usually 1"),
    "excitation_nm": (200, 3000, "wavelength of the laser, in nm"),
}
"""Lowest and highest value and meaning of each parameter of a microscope. Chosen: wider than any instrument, to catch wrong units."""


@dataclass(frozen=True)
class Microscope:
    """A kind of microscope: its `parameters` with their defaults as functions of the optics (None: no default), and its formula."""

    name: str
    parameters: dict[str, Callable[[OpticsLike], float] | None]
    formula: Formula

    def completed(self, optics: OpticsLike) -> dict[str, float]:
        """All parameters of this microscope, from `optics` or by default. Raises `OpticsError` for missing, unused or impossible ones."""
        for name in LIMITS:
            given = getattr(optics, name)
            if given is not None and name not in self.parameters:
                owners = " or ".join(other.name for other in MICROSCOPES.values() if name in other.parameters)
                raise OpticsError(
                    f"{name} {given:g}: a {self.name} microscope does not use it; give microscope {owners}, or leave out {name}"
                )
        return {name: self._value(optics, name, default) for name, default in self.parameters.items()}

    def _value(self, optics: OpticsLike, name: str, default: Callable[[OpticsLike], float] | None) -> float:
        low, high, meaning = LIMITS[name]
        value = getattr(optics, name)
        if value is None:
            if default is None:
                raise OpticsError(f"{name} is missing, the PSF of a {self.name} microscope depends on it; give {name} ({meaning})")
            return default(optics)
        if not math.isfinite(value) or not low <= value <= high:
            raise OpticsError(f"{name} {value:g}: it must lie between {low:g} and {high:g}; give the {meaning}")
        return float(value)


def microscope_named(name: str) -> Microscope:
    """The microscope called `name`. Raises `OpticsError` when there is none.

    >>> microscope_named("confocal").parameters.keys()
    dict_keys(['pinhole_au', 'excitation_nm'])
    """
    if name not in MICROSCOPES:
        raise OpticsError(f"microscope {name!r}: it must be one of {', '.join(MICROSCOPES)}; give microscope")
    return MICROSCOPES[name]


def _widefield(optics: OpticsLike, focus: Focus, z_um: np.ndarray, r_um: np.ndarray) -> np.ndarray:
    return focus(optics.wavelength_um, r_um)


def _confocal(optics: OpticsLike, focus: Focus, z_um: np.ndarray, r_um: np.ndarray) -> np.ndarray:
    """Excitation x (emission * pinhole): a molecule must be excited, and its light must pass the pinhole."""
    assert optics.excitation_nm is not None and optics.pinhole_au is not None
    pinhole_um = optics.pinhole_au * AIRY_DIAMETER_WAVELENGTHS / 2 * optics.wavelength_um / optics.na
    step_um = TABLE_STEP_WAVELENGTHS * optics.wavelength_um / optics.na
    detection = through_disc(lambda r: focus(optics.wavelength_um, r), r_um, pinhole_um, step_um)
    return focus(1e-3 * optics.excitation_nm, r_um) * detection


def _twophoton(optics: OpticsLike, focus: Focus, z_um: np.ndarray, r_um: np.ndarray) -> np.ndarray:
    """Excitation squared, for the absorption of two photons; the detector collects all emission, wherever it arises."""
    assert optics.excitation_nm is not None
    return focus(1e-3 * optics.excitation_nm, r_um) ** 2


def _lightsheet(optics: OpticsLike, focus: Focus, z_um: np.ndarray, r_um: np.ndarray) -> np.ndarray:
    """Emission x a Gaussian sheet exp(-2 (z / sheet)^2) around the focal plane."""
    assert optics.sheet_um is not None
    return focus(optics.wavelength_um, r_um) * np.exp(-2 * (z_um / optics.sheet_um) ** 2)[:, None]


def _lattice(optics: OpticsLike, focus: Focus, z_um: np.ndarray, r_um: np.ndarray) -> np.ndarray:
    """Emission x a flat-topped sheet exp(-2 (z / sheet)^8), which has fallen to 1/e^2 at z = sheet, like a Gaussian one.

    A dithered lattice is nearly constant over its thickness and steep at its edges; its weak side lobes are neglected.
    The full width at half maximum is 1.75 sheet.
    """
    assert optics.sheet_um is not None
    return focus(optics.wavelength_um, r_um) * np.exp(-2 * (z_um / optics.sheet_um) ** LATTICE_EXPONENT)[:, None]


MICROSCOPES = {
    microscope.name: microscope
    for microscope in (
        Microscope("widefield", {}, _widefield),
        Microscope("confocal", {"pinhole_au": lambda _: 1.0, "excitation_nm": lambda o: EXCITATION_RATIO * o.wavelength_nm}, _confocal),
        Microscope("twophoton", {"excitation_nm": None}, _twophoton),
        Microscope("lightsheet", {"sheet_um": None}, _lightsheet),
        Microscope("lattice", {"sheet_um": None}, _lattice),
    )
}
"""The microscopes by name. Chosen: the default pinhole of 1 Airy unit, the usual compromise of sectioning and signal."""


def through_disc(radial: Callable[[np.ndarray], np.ndarray], r_um: np.ndarray, disc_um: float, step_um: float) -> np.ndarray:
    """`radial(r)` (z r), convolved in the plane with a disc of radius `disc_um` and unit integral, at `r_um` (any order).

    The value at r is the mean of the function over a disc centred at r, by Gauss quadrature along the radius of the disc and
    equally spaced angles.

    Parameters
    ----------
    radial
        Function of the distances from the axis (um) that returns an array (z r).
    r_um
        Distances at which the convolution is evaluated.
    disc_um
        Radius of the disc.
    step_um
        Step of the table in which `radial` is interpolated by a quintic spline.

    Returns
    -------
    ndarray
        The convolution (z r).

    Examples
    --------
    >>> through_disc(lambda r: r[None] ** 2, np.array([0.0, 1.0]), 0.5, 0.05).round(6)  # the mean of r^2 is r^2 + disc^2 / 2
    array([[0.125, 1.125]])
    """
    from scipy.interpolate import make_interp_spline

    r_max = float(np.max(r_um))
    count = 8 + int(np.ceil((r_max + disc_um) / step_um))
    table = step_um * np.arange(-8, count + 1)  # a few samples at negative r make the spline even, as the function is
    spline = make_interp_spline(table, radial(np.abs(table)), k=5, axis=1)
    points = step_um * np.arange(-8, 9 + int(np.ceil(r_max / step_um)))
    nodes, weights = np.polynomial.legendre.leggauss(8 + int(np.ceil(disc_um / step_um / 4)))
    radius, weight = disc_um * (nodes + 1) / 2, weights * (nodes + 1) / 2
    angle = np.pi * (np.arange(16 + 2 * len(nodes)) + 0.5) / (16 + 2 * len(nodes))
    mean = 0.0
    for s, w in zip(radius, weight, strict=True):
        distance = np.sqrt(np.abs(points[:, None] ** 2 + s**2 + 2 * points[:, None] * s * np.cos(angle)))
        mean = mean + w * spline(distance).mean(-1)
    return make_interp_spline(points, mean, k=5, axis=1)(np.asarray(r_um))
