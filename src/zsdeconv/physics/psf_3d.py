"""Theoretical point spread functions in depth, of any microscope of the table, at any place of a grid."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from zsdeconv.physics.microscope import microscope_named
from zsdeconv.physics.optics import Optics
from zsdeconv.physics.pupil import axial_focus_um, defocused_intensity, ray_foci_um
from zsdeconv.physics.resample import core_offset

AXIAL_REACH = 4.0
"""Farthest plane of a stack in periods of the axial cutoff, wavelength / (n - sqrt(n^2 - NA^2)); twice that under aberration."""
MOST_PLANES = 128
"""Planes on either side of the focus at most, whatever the step."""
DIM = 1e-3
"""A plane with less light than this share of the brightest one, and all beyond it, are left out."""


def radial_intensity(optics: Optics, z_um: np.ndarray, r_um: np.ndarray, focus_um: float = 0.0) -> np.ndarray:
    """Intensity (z r) of the microscope of `optics` at the depths `z_um` from `focus_um` and distances `r_um` from the axis.

    >>> confocal = Optics(1.2, 525, 1.33, microscope="confocal", pinhole_au=0.5)
    >>> wide = Optics(1.2, 525, 1.33)
    >>> z, r = np.array([0.0, 0.6]), np.zeros(1)
    >>> [float(round(i[1, 0] / i[0, 0], 2)) for i in (radial_intensity(wide, z, r), radial_intensity(confocal, z, r))]
    [0.05, 0.0]
    """

    def focus(wavelength_um: float, r: np.ndarray) -> np.ndarray:
        return defocused_intensity(optics, r, focus_um + z_um, wavelength_um)

    return microscope_named(optics.microscope).formula(optics, focus, z_um, r_um)


def focus_of(optics: Optics) -> float:
    """Where the stage has to be driven for a point at `depth_um` to be brightest, minus that depth, micrometres; 0 without aberration."""
    return axial_focus_um(optics)


def on_grid(optics: Optics, z_um: np.ndarray, yx_spacing_um: Sequence[float], yx_halves: Sequence[int], focus_um: float) -> np.ndarray:
    """Intensity (z y x) at the depths `z_um` and on 2 h + 1 points along y and x."""
    y, x = (s * np.arange(h + 1) for s, h in zip(yx_spacing_um, yx_halves, strict=True))
    # Rotational symmetry: each distance is computed once, and one quadrant.
    r, place = np.unique(np.hypot(y[:, None], x).round(12), return_inverse=True)
    quadrant = radial_intensity(optics, z_um, r, focus_um)[:, place.ravel()].reshape(len(z_um), len(y), len(x))
    return np.pad(quadrant, [(0, 0), *((h, 0) for h in yx_halves)], mode="reflect")


def stack_on_grid(
    optics: Optics, spacing_um: Sequence[float], yx_halves: Sequence[int], z_half: int | None = None
) -> tuple[np.ndarray, float]:
    """Intensity (z y x) with its bright core on the middle plane, and the focus that took (`focus_of`, then refined).

    Without `z_half` as many planes as have light: until each holds less than 0.1 % of the brightest, and at most
    `AXIAL_REACH` periods of the axial cutoff (beyond, the cone of a wide-field PSF has left the grid sideways).
    """
    dz = spacing_um[0]
    most = z_half if z_half is not None else _most_planes(optics, dz)
    focus_um = focus_of(optics)
    values = on_grid(optics, dz * np.arange(-most, most + 1), spacing_um[1:], yx_halves, focus_um)
    if optics.aberrated:
        values, focus_um = _recentred(optics, values, spacing_um, yx_halves, focus_um)
    return (values if z_half is not None else _lit_planes(values)), focus_um


def _recentred(
    optics: Optics, values: np.ndarray, spacing_um: Sequence[float], yx_halves: Sequence[int], focus_um: float
) -> tuple[np.ndarray, float]:
    """An aberrated core is lopsided: the grid is moved until its centroid, not its maximum, lies on the middle plane."""
    z_um = spacing_um[0] * np.arange(-(len(values) // 2), len(values) // 2 + 1)
    for _ in range(8):
        offset = core_offset(values)[0]
        if abs(offset) < 0.01:
            break
        focus_um += offset * spacing_um[0]
        values = on_grid(optics, z_um, spacing_um[1:], yx_halves, focus_um)
    return values, focus_um


def _most_planes(optics: Optics, dz_um: float) -> int:
    low, high = ray_foci_um(optics)
    cone = AXIAL_REACH / optics.axial_cutoff_per_um
    reach = cone + min(high - low, cone)
    return min(max(1, round(reach / dz_um)), MOST_PLANES)


def _lit_planes(values: np.ndarray) -> np.ndarray:
    light = values.sum((1, 2))
    lit = np.flatnonzero(light >= DIM * light.max())
    middle = len(light) // 2
    half = max(1, int(np.abs(lit - middle).max()))
    return values[middle - half : middle + half + 1]
