"""Point spread functions from theory, and the names that the rest of the package uses for all PSFs."""

from __future__ import annotations

import numpy as np

from zsdeconv.physics.kernel import Psf, check_spacing, fit_to_image
from zsdeconv.physics.optics import Optics
from zsdeconv.physics.psf_check import Finding, check_psf, check_sampling, fwhm_um, sampling_finding
from zsdeconv.physics.psf_file import MeasuredPsf, measure_psf, read_psf
from zsdeconv.physics.pupil import focal_intensity

__all__ = [
    "Finding",
    "MeasuredPsf",
    "Psf",
    "check_psf",
    "check_sampling",
    "fit_to_image",
    "fwhm_um",
    "measure_psf",
    "read_psf",
    "sampling_finding",
    "theoretical_psf",
]

RADIUS_IN_WAVELENGTHS = 2.7
"""Default half width of a theoretical PSF in units of wavelength / NA: eight dark rings."""


def theoretical_psf(optics: Optics, spacing_um: tuple[float, float], radius_um: float | None = None) -> Psf:
    """In-focus PSF of an aberration-free lens, sampled at the points of a (y x) grid of `spacing_um`.

    Points, not pixel means: on the twice finer grid the model averages 2 x 2 samples itself (the operator D), and that
    is the camera pixel.

    `radius_um` is the half width, by default 2.7 wavelength / NA (1 um at NA 1.41, 525 nm). It is tied to the width of
    the core and not to a fraction of the light because the ringed tail of a hard pupil falls as r^-3 only: the light
    beyond r is (wavelength / NA) / (pi^2 r), 3.8 % here, and keeping 99 % would take fourteen times the pixels.

    Raises `OpticsError` for impossible spacings. Debye integral of Born and Wolf 8.8, Richards and Wolf (1959).

    >>> theoretical_psf(Optics(1.41, 525, 1.515), (0.0313, 0.0313)).values.shape
    (65, 65)
    """
    check_spacing(spacing_um, 2, "from theory")
    radius = RADIUS_IN_WAVELENGTHS * optics.wavelength_um / optics.na if radius_um is None else radius_um
    halves = [max(1, round(radius / s)) for s in spacing_um]
    y, x = (s * np.arange(h + 1) for s, h in zip(spacing_um, halves, strict=True))
    quadrant = np.array([focal_intensity(optics, np.hypot(row, x)) for row in y])
    values = np.pad(quadrant, [(h, 0) for h in halves], mode="reflect")
    source = f"theory ({optics.pupil}, NA {optics.na:g}, {optics.wavelength_nm:g} nm, index {optics.ri:g})"
    return Psf(values / values.sum(), spacing_um, source)
