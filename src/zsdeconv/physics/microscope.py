"""The table of microscopes: how each makes its point spread function from the focal intensities of one lens.

A row is a set of parameters (fields of `Optics`) and a formula. Everything is rotationally symmetric about the optical
axis, so that a formula works on radial functions: `focus(wavelength_um, r_um)` is the intensity (z r) of the lens at the
depths `z_um` and distances `r_um`, by reciprocity the same for focusing light and for imaging a point.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from zsdeconv.errors import OpticsError


class Lens(Protocol):
    """What a microscope asks of its `Optics`."""

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
Formula = Callable[[Lens, Focus, np.ndarray, np.ndarray], np.ndarray]

AIRY_UNIT = 1.22
"""Diameter of the Airy disc (its first dark ring), the unit of pinholes, in wavelength / NA."""
STOKES = 0.93
"""Excitation over emission wavelength that a confocal microscope is taken to have when not told: 488 nm for 525 nm."""
LATTICE_ORDER = 8
TABLE_STEP = 1 / 40
"""Step of radial tables in wavelength / NA: 20 samples to the shortest period that the lens can make."""

LIMITS: dict[str, tuple[float, float, str]] = {
    "sheet_um": (0.05, 1000, "half thickness of the light sheet where it has fallen to 1/e^2, in um"),
    "pinhole_au": (0.05, 20, "diameter of the pinhole in Airy units, usually 1"),
    "excitation_nm": (200, 3000, "wavelength of the laser, in nm"),
}
"""Range and meaning of what a microscope needs besides its lens."""


@dataclass(frozen=True)
class Microscope:
    """A row: the `parameters` it has, with their default as a function of the lens (None: must be given), and its formula."""

    name: str
    parameters: dict[str, Callable[[Lens], float] | None]
    formula: Formula

    def completed(self, optics: Lens) -> dict[str, float]:
        """The values of the row's parameters, those not given by default. Raises `OpticsError` for missing, idle or absurd ones."""
        for name in LIMITS:
            given = getattr(optics, name)
            if given is not None and name not in self.parameters:
                having = " or ".join(row.name for row in MICROSCOPES.values() if name in row.parameters)
                raise OpticsError(
                    f"{_option(name)} {given:g}: a {self.name} microscope has none; give --microscope {having}, or leave it out"
                )
        return {name: self._value(optics, name, default) for name, default in self.parameters.items()}

    def _value(self, optics: Lens, name: str, default: Callable[[Lens], float] | None) -> float:
        low, high, meaning = LIMITS[name]
        value = getattr(optics, name)
        if value is None:
            if default is None:
                raise OpticsError(f"{name} is missing, a {self.name} microscope is not known without; give {_option(name)} ({meaning})")
            return default(optics)
        if not math.isfinite(value) or not low <= value <= high:
            raise OpticsError(f"{_option(name)} {value:g}: it must lie between {low:g} and {high:g}; give the {meaning}")
        return float(value)


def microscope_named(name: str) -> Microscope:
    """The row of that name. Raises `OpticsError` when there is none.

    >>> microscope_named("confocal").parameters.keys()
    dict_keys(['pinhole_au', 'excitation_nm'])
    """
    if name not in MICROSCOPES:
        raise OpticsError(f"microscope {name!r}: it must be one of {', '.join(MICROSCOPES)}; give --microscope")
    return MICROSCOPES[name]


def _widefield(optics: Lens, focus: Focus, z_um: np.ndarray, r_um: np.ndarray) -> np.ndarray:
    return focus(optics.wavelength_um, r_um)


def _confocal(optics: Lens, focus: Focus, z_um: np.ndarray, r_um: np.ndarray) -> np.ndarray:
    """Excitation x (emission * pinhole): light has to be excited at the point, and to fall into the pinhole."""
    assert optics.excitation_nm is not None and optics.pinhole_au is not None
    pinhole_um = optics.pinhole_au * AIRY_UNIT / 2 * optics.wavelength_um / optics.na
    seen = through_disc(lambda r: focus(optics.wavelength_um, r), r_um, pinhole_um, TABLE_STEP * optics.wavelength_um / optics.na)
    return focus(1e-3 * optics.excitation_nm, r_um) * seen


def _twophoton(optics: Lens, focus: Focus, z_um: np.ndarray, r_um: np.ndarray) -> np.ndarray:
    """Excitation squared: two photons at once; all light that comes out is counted, wherever it comes out."""
    assert optics.excitation_nm is not None
    return focus(1e-3 * optics.excitation_nm, r_um) ** 2


def _lightsheet(optics: Lens, focus: Focus, z_um: np.ndarray, r_um: np.ndarray) -> np.ndarray:
    """Emission x a Gaussian sheet exp(-2 (z / sheet)^2) around the focal plane."""
    assert optics.sheet_um is not None
    return focus(optics.wavelength_um, r_um) * np.exp(-2 * (z_um / optics.sheet_um) ** 2)[:, None]


def _lattice(optics: Lens, focus: Focus, z_um: np.ndarray, r_um: np.ndarray) -> np.ndarray:
    """Emission x a flat-topped sheet exp(-2 (z / sheet)^8): at z = sheet it has fallen to 1/e^2, as a Gaussian one has.

    A dithered lattice is nearly even over its thickness and steep at its sides; weak side lobes further out are left out.
    Its full width at half maximum is 1.75 sheet.
    """
    assert optics.sheet_um is not None
    return focus(optics.wavelength_um, r_um) * np.exp(-2 * (z_um / optics.sheet_um) ** LATTICE_ORDER)[:, None]


MICROSCOPES = {
    row.name: row
    for row in (
        Microscope("widefield", {}, _widefield),
        Microscope("confocal", {"pinhole_au": lambda _: 1.0, "excitation_nm": lambda o: STOKES * o.wavelength_nm}, _confocal),
        Microscope("twophoton", {"excitation_nm": None}, _twophoton),
        Microscope("lightsheet", {"sheet_um": None}, _lightsheet),
        Microscope("lattice", {"sheet_um": None}, _lattice),
    )
}


def through_disc(radial: Callable[[np.ndarray], np.ndarray], r_um: np.ndarray, disc_um: float, step_um: float) -> np.ndarray:
    """`radial(r)` (z r), convolved in the plane with a disc of radius `disc_um` and unit integral, at `r_um` (any order).

    At r it is the mean of the function over a disc centred at r: Gauss nodes along its radius, equal angles around it. The
    function is tabulated at `step_um` and interpolated by a quintic spline, which it must be smooth enough for.

    >>> through_disc(lambda r: r[None] ** 2, np.array([0.0, 1.0]), 0.5, 0.05).round(6)  # the mean of r^2 is r^2 + disc^2 / 2
    array([[0.125, 1.125]])
    """
    from scipy.interpolate import make_interp_spline

    reach = float(np.max(r_um))
    count = 8 + int(np.ceil((reach + disc_um) / step_um))
    table = step_um * np.arange(-8, count + 1)  # an even function: a few samples beyond 0 make the spline so
    spline = make_interp_spline(table, radial(np.abs(table)), k=5, axis=1)
    wanted = step_um * np.arange(-8, 9 + int(np.ceil(reach / step_um)))
    nodes, weights = np.polynomial.legendre.leggauss(8 + int(np.ceil(disc_um / step_um / 4)))
    radius, weight = disc_um * (nodes + 1) / 2, weights * (nodes + 1) / 2
    angle = np.pi * (np.arange(16 + 2 * len(nodes)) + 0.5) / (16 + 2 * len(nodes))
    mean = 0.0
    for s, w in zip(radius, weight, strict=True):
        distance = np.sqrt(np.abs(wanted[:, None] ** 2 + s**2 + 2 * wanted[:, None] * s * np.cos(angle)))
        mean = mean + w * spline(distance).mean(-1)
    return make_interp_spline(wanted, mean, k=5, axis=1)(np.asarray(r_um))


def _option(name: str) -> str:
    return f"--{name.replace('_', '-')}"
