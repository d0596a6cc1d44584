"""Intensity of a circular pupil in and around its focus, by the Debye integral over the polar angle.

With k = 2 pi n / wavelength and theta up to alpha = arcsin(NA / n), every model below is a sum of squared integrals

    I(r, z) = sum_m c_m | integral_0^alpha a_m(theta) J_m(k r sin theta) exp(i phase(theta, z)) d theta |^2.

A pupil is a list of (m, c_m, a_m). Gauss-Legendre quadrature over theta gives the result at any point to rounding error, so no
grid, and no wrap-around of one, enters the PSF. Defocus is the phase -k z cos theta. One plane interface, the cover glass,
between an immersion n and a sample n' adds the aberration of a point at depth d (`_behind_glass`).
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np

from zsdeconv.physics.optics import Optics


class Ray(NamedTuple):
    """Rays behind the interface: cosine of the refracted angle, transmission of s and p light, ratio of the sines (n / n')."""

    cos: Any
    s: Any
    p: Any
    sines: float


Term = tuple[int, float, Callable[[np.ndarray, Ray], np.ndarray]]
"""Order m of the Bessel function, weight c_m and amplitude a_m(theta, ray)."""

TERMS: dict[str, tuple[Term, ...]] = {
    "scalar": ((0, 1.0, lambda t, ray: np.sin(t) * np.cos(t)),),
    "vectorial": (
        (0, 1.0, lambda t, ray: np.sqrt(np.cos(t)) * np.sin(t) * (ray.s + ray.p * ray.cos)),
        (1, 2.0, lambda t, ray: np.sqrt(np.cos(t)) * np.sin(t) ** 2 * ray.p * ray.sines),
        (2, 1.0, lambda t, ray: np.sqrt(np.cos(t)) * np.sin(t) * (ray.s - ray.p * ray.cos)),
    ),
}
"""The pupils by name. Law: the scalar pupil is uniform in pupil area, sin(theta) cos(theta) d theta, which gives exactly the Airy pattern.
The vectorial one (Richards and Wolf, Proc. R. Soc. A 253, 358, 1959) is the unpolarised focus of an aplanatic objective, hence the factor
sqrt(cos theta); by reciprocity it is also the image of a freely rotating dipole. The fields behind an interface are those of Hell et al.
(J. Microsc. 169, 391, 1993) and Torok and Varga (Appl. Opt. 36, 2305, 1997)."""
RADII_PER_CHUNK = 256
"""Radii evaluated together. Chosen: it bounds the memory of the Bessel functions to megabytes."""


def focal_intensity(optics: Optics, r_um: np.ndarray) -> np.ndarray:
    """Intensity in the focal plane at distance `r_um` (any shape, micrometres) from the focus; 1 at the focus.

    It is that of the objective without aberration, at the emission wavelength.

    >>> focal_intensity(Optics(0.5, 500), np.array([0.0, 0.61])).round(3)  # the first dark ring lies at 0.61 wavelength / NA
    array([1., 0.])
    """
    theta, weight = _angles(optics, 2 * np.pi * optics.na / optics.wavelength_um * float(np.max(r_um)))
    bessel = _bessel(optics, optics.wavelength_um, r_um, theta)
    intensity, at_focus = np.zeros(np.shape(r_um)), 0.0
    for order, factor, amplitude in TERMS[optics.pupil]:
        a = weight * amplitude(theta, _straight(theta))
        intensity += factor * (bessel[order] @ a) ** 2
        at_focus += factor * a.sum() ** 2 if order == 0 else 0.0
    return intensity / at_focus


def defocused_intensity(optics: Optics, r_um: np.ndarray, z_um: np.ndarray, wavelength_um: float | None = None) -> np.ndarray:
    """Intensity (z r) of the objective around the focus; 1 at an unaberrated focus.

    Parameters
    ----------
    optics
        The objective, with its aberration.
    r_um
        Distances from the optical axis.
    z_um
        Stage positions relative to the point, positive when the focus lies deeper in the sample, in the index of the immersion. Under
        aberration the brightest plane is not z = 0; `axial_focus_um` finds it.
    wavelength_um
        Vacuum wavelength, that of the emission by default.

    Returns
    -------
    ndarray
        Intensity (z r).

    Examples
    --------
    >>> optics = Optics(0.5, 500)
    >>> defocused_intensity(optics, np.array([0.0, 0.61]), np.array([0.0, 4.0])).round(2)  # dark at z = 2 n wavelength / NA^2
    array([[1.  , 0.  ],
           [0.  , 0.04]])
    """
    wavelength = optics.wavelength_um if wavelength_um is None else wavelength_um
    k = 2 * np.pi / wavelength
    path_um = optics.na * float(np.max(r_um)) + float(np.abs(z_um).max()) * (optics.ri - np.sqrt(optics.ri**2 - optics.na**2))
    theta, weight = _angles(optics, k * (path_um + _path_range_um(optics)))
    ray, aberration_um = _behind_glass(optics, theta)
    phase = np.exp(1j * k * (aberration_um[:, None] - optics.ri * np.multiply.outer(np.cos(theta), z_um)))
    terms = [(order, factor, (weight * amplitude(theta, ray))[:, None] * phase) for order, factor, amplitude in TERMS[optics.pupil]]
    parts = np.split(r_um, range(RADII_PER_CHUNK, len(r_um), RADII_PER_CHUNK))
    planes = [_planes(optics, wavelength, part, theta, terms) for part in parts]
    straight = sum(weight * amplitude(theta, _straight(theta)) for order, _, amplitude in TERMS[optics.pupil] if order == 0)
    return np.concatenate(planes, axis=1) / np.sum(straight) ** 2


def axial_focus_um(optics: Optics, intensity: Callable[[np.ndarray], np.ndarray] | None = None) -> float:
    """The `z_um` at which a point on the axis is brightest: 0 without aberration, n / n' - 1 times the depth for a small NA.

    `intensity(z_um)` is the intensity on the axis, by default that of the objective at the emission wavelength.

    >>> round(axial_focus_um(Optics(0.3, 500, 1.0, sample_ri=1.33, depth_um=20)), 1)  # 20 (1 / 1.33 - 1) = -5.0
    -5.1
    """
    from scipy.optimize import minimize_scalar

    if not optics.aberrated:
        return 0.0
    along = intensity or (lambda z: defocused_intensity(optics, np.zeros(1), z)[:, 0])
    low, high = ray_foci_um(optics)
    unit = 1 / optics.axial_cutoff_per_um
    z = np.linspace(low - unit, high + unit, 1 + int(np.ceil((high - low + 2 * unit) / (unit / 12))))
    best = z[int(along(z).argmax())]
    result: Any = minimize_scalar(lambda v: -along(np.array([v]))[0], bounds=(best - unit / 6, best + unit / 6), method="bounded")
    return float(result.x)


def ray_foci_um(optics: Optics) -> tuple[float, float]:
    """Smallest and largest `z_um` at which the rays of one angle cross the axis, over the inner 95 % of the usable aperture."""
    if not optics.aberrated:
        return 0.0, 0.0
    assert optics.depth_um is not None and optics.sample_ri is not None
    sine = 0.95 * min(optics.na, optics.sample_ri)
    before, behind = (np.sqrt(n**2 - sine**2) for n in (optics.ri, optics.sample_ri))
    ends = (optics.depth_um * (optics.ri / optics.sample_ri - 1), optics.depth_um * (before / behind - 1))
    return min(ends), max(ends)


def _planes(
    optics: Optics, wavelength_um: float, r_um: np.ndarray, theta: np.ndarray, terms: list[tuple[int, float, np.ndarray]]
) -> np.ndarray:
    """Intensity (z r) at `r_um`: the sum over `terms`, each (m, c_m, amplitude (theta z) with its quadrature weight)."""
    bessel = _bessel(optics, wavelength_um, r_um, theta)
    total = np.zeros((len(r_um), terms[0][2].shape[1]))
    for order, factor, amplitude in terms:
        total += factor * ((bessel[order] @ np.real(amplitude)) ** 2 + (bessel[order] @ np.imag(amplitude)) ** 2)
    return total.T


def _bessel(optics: Optics, wavelength_um: float, r_um: np.ndarray, theta: np.ndarray) -> list[np.ndarray]:
    """J_m(k r sin theta) (r theta) for each order m of the pupil."""
    from scipy.special import j0, j1

    argument = 2 * np.pi * optics.ri / wavelength_um * np.multiply.outer(r_um, np.sin(theta))
    bessel = [j0(argument)]
    if len(TERMS[optics.pupil]) > 1:  # J_2 by the recurrence: ten times faster than scipy's function of any order
        bessel.append(j1(argument))
        bessel.append(2 * bessel[1] / np.where(argument == 0, 1, argument) - np.where(argument == 0, 0, bessel[0]))
    return bessel


def _straight(theta: np.ndarray) -> Ray:
    """Rays without an interface."""
    return Ray(np.cos(theta), 1.0, 1.0, 1.0)


def _behind_glass(optics: Optics, theta: np.ndarray) -> tuple[Ray, np.ndarray]:
    """The refracted rays and the aberration d (n' cos theta' - n cos theta) of the optical path, for each angle.

    Beyond the critical angle the path is imaginary: this light reaches the objective only from points within a wavelength of the
    cover glass.
    """
    if not optics.aberrated:
        return _straight(theta), np.zeros(len(theta))
    assert optics.depth_um is not None and optics.sample_ri is not None
    n, m, cos = optics.ri, optics.sample_ri, np.cos(theta)
    refracted = np.sqrt(1 - (n / m * np.sin(theta)) ** 2 + 0j)
    ray = Ray(refracted, 2 * n * cos / (n * cos + m * refracted), 2 * n * cos / (m * cos + n * refracted), n / m)
    return ray, optics.depth_um * (m * refracted - n * cos)


def _path_range_um(optics: Optics) -> float:
    """Range of the aberration of the optical path over the aperture."""
    _, aberration_um = _behind_glass(optics, np.linspace(0, np.arcsin(optics.na / optics.ri), 200))
    return float(np.ptp(np.real(aberration_um)))


def _angles(optics: Optics, phase: float) -> tuple[np.ndarray, np.ndarray]:
    """Quadrature nodes and weights over theta for an integrand whose phase changes by `phase` from the axis to the edge."""
    # half a node per radian resolves the oscillations; the other 48 bring the error below 1e-12 (up to NA = n)
    nodes, weights = _legendre(48 + int(np.ceil(phase / 2)))
    edges = [0.0, np.arcsin(optics.na / optics.ri)]
    if optics.aberrated and optics.sample_ri is not None and optics.sample_ri < optics.na:
        edges.insert(1, np.arcsin(optics.sample_ri / optics.ri))  # the path has a kink at the critical angle
    spans = [(a, (b - a) / 2) for a, b in pairwise(edges)]
    return np.concatenate([a + h * (nodes + 1) for a, h in spans]), np.concatenate([h * weights for _, h in spans])


@lru_cache(maxsize=8)
def _legendre(count: int) -> tuple[np.ndarray, np.ndarray]:
    from scipy.special import roots_legendre

    # numpy solves a dense eigenproblem, which is slow for the many nodes that a deep aberration needs
    return np.polynomial.legendre.leggauss(count) if count < 500 else roots_legendre(count)
