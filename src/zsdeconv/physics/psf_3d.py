"""Theoretical point spread functions in depth, for every microscope of the table, at the points of a grid."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from zsdeconv.physics.microscope import microscope_named
from zsdeconv.physics.optics import Optics
from zsdeconv.physics.pupil import axial_focus_um, defocused_intensity, ray_foci_um
from zsdeconv.physics.resample import core_offset

AXIAL_RADIUS_PERIODS = 4.0
"""Farthest plane of a stack in periods of the axial cutoff, wavelength / (n - sqrt(n^2 - NA^2)), up to twice that under aberration.
Chosen: beyond it the cone of light of a wide-field PSF is wider than the default grid."""
MAX_HALF_PLANES = 128
"""Largest number of planes on either side of the focus. Chosen: it bounds memory and time for steps far below the Nyquist limit."""
MIN_PLANE_FRACTION = 1e-3
"""Light of the outermost planes, as a fraction of that of the brightest plane. Chosen: the light left out is negligible."""


def radial_intensity(optics: Optics, z_um: np.ndarray, r_um: np.ndarray, focus_um: float = 0.0) -> np.ndarray:
    """Intensity (z r) of the PSF of a microscope.

    Parameters
    ----------
    optics
        The microscope.
    z_um
        Depths, relative to `focus_um`.
    r_um
        Distances from the optical axis.
    focus_um
        Position of the focus, as `focus_of` returns it.

    Returns
    -------
    ndarray
        Intensity (z r), in arbitrary units.

    Examples
    --------
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
    """Stage position at which a point at `depth_um` is brightest, minus that depth, micrometres; 0 without aberration."""
    return axial_focus_um(optics)


def on_grid(optics: Optics, z_um: np.ndarray, yx_spacing_um: Sequence[float], yx_halves: Sequence[int], focus_um: float) -> np.ndarray:
    """Intensity (z y x) of the PSF of a microscope on a grid.

    Parameters
    ----------
    optics
        The microscope.
    z_um
        Depths, relative to `focus_um`.
    yx_spacing_um
        Steps along y and x.
    yx_halves
        Half widths h along y and x in steps; the grid has 2 h + 1 points.
    focus_um
        Position of the focus, as `focus_of` returns it.
    """
    y, x = (s * np.arange(h + 1) for s, h in zip(yx_spacing_um, yx_halves, strict=True))
    # Rotational symmetry: one quadrant, and in it each distance once.
    r, place = np.unique(np.hypot(y[:, None], x).round(12), return_inverse=True)
    quadrant = radial_intensity(optics, z_um, r, focus_um)[:, place.ravel()].reshape(len(z_um), len(y), len(x))
    return np.pad(quadrant, [(0, 0), *((h, 0) for h in yx_halves)], mode="reflect")


def stack_on_grid(
    optics: Optics, spacing_um: Sequence[float], yx_halves: Sequence[int], z_half: int | None = None
) -> tuple[np.ndarray, float]:
    """Intensity (z y x) of the PSF with its bright core on the central plane.

    Parameters
    ----------
    optics
        The microscope.
    spacing_um
        Steps along z, y and x.
    yx_halves
        Half widths along y and x in steps.
    z_half
        Planes on either side of the focus. By default those with at least 0.1 % of the light of the brightest plane, up to
        `AXIAL_RADIUS_PERIODS` periods of the axial cutoff.

    Returns
    -------
    tuple of ndarray and float
        The intensity, and the position of the focus (`focus_of`, refined).
    """
    dz = spacing_um[0]
    most = z_half if z_half is not None else _most_planes(optics, dz)
    focus_um = focus_of(optics)
    values = on_grid(optics, dz * np.arange(-most, most + 1), spacing_um[1:], yx_halves, focus_um)
    if optics.aberrated:
        values, focus_um = _recentred(optics, values, spacing_um, yx_halves, focus_um)
    return (values if z_half is not None else _bright_planes(values)), focus_um


def _recentred(
    optics: Optics, values: np.ndarray, spacing_um: Sequence[float], yx_halves: Sequence[int], focus_um: float
) -> tuple[np.ndarray, float]:
    """Move the grid along z until the centroid of an aberrated, asymmetric core lies on the central plane; returns values and focus."""
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
    cone_um = AXIAL_RADIUS_PERIODS / optics.axial_cutoff_per_um
    radius_um = cone_um + min(high - low, cone_um)
    return min(max(1, round(radius_um / dz_um)), MAX_HALF_PLANES)


def _bright_planes(values: np.ndarray) -> np.ndarray:
    light = values.sum((1, 2))
    bright = np.flatnonzero(light >= MIN_PLANE_FRACTION * light.max())
    center = len(light) // 2
    half = max(1, int(np.abs(bright - center).max()))
    return values[center - half : center + half + 1]
