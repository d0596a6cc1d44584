"""Point spread functions from theory, and the public names for PSFs of any origin."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from zsdeconv.errors import OpticsError
from zsdeconv.findings import Finding
from zsdeconv.physics.beads import Beads, measure_beads, read_beads
from zsdeconv.physics.optics import Optics
from zsdeconv.physics.psf import Psf, check_spacing, fit_to_image
from zsdeconv.physics.psf_3d import focus_of, on_grid, stack_on_grid
from zsdeconv.physics.psf_check import check_psf, check_sampling, expected_fwhm_um, fwhm_um, fwhms_um, sampling_finding
from zsdeconv.physics.psf_file import MeasuredPsf, measure_psf, read_psf
from zsdeconv.physics.pupil import focal_intensity

__all__ = [
    "Beads",
    "Finding",
    "MeasuredPsf",
    "Psf",
    "check_psf",
    "check_sampling",
    "expected_fwhm_um",
    "fit_to_image",
    "fwhm_um",
    "fwhms_um",
    "measure_beads",
    "measure_psf",
    "read_beads",
    "read_psf",
    "sampling_finding",
    "theoretical_psf",
]

RADIUS_WAVELENGTHS = {2: 2.7, 3: 3.5}
"""Default half width of a theoretical PSF by rank, in wavelength / NA. Chosen: in a plane five dark rings, in depth more for the cone."""


def theoretical_psf(optics: Optics, spacing_um: Sequence[float], radius_um: float | Sequence[float] | None = None) -> Psf:
    """Theoretical PSF of a microscope on a (y x) grid in focus, or on a (z y x) grid in depth.

    The samples are point values, not pixel means: on the fine grid the operator D averages 2 x 2 samples, which is the camera
    pixel. z is the position of the stage, in the index of the immersion, positive into the sample. Under an aberration
    (`sample_ri`, `depth_um`) the central plane is the one in which the point is sharpest; `source` states its distance from the
    nominal depth.

    The default half width is a multiple of the width of the core, not a fraction of the light, because the tail of a
    hard-edged pupil falls as r^-3 only: the light beyond r is (wavelength / NA) / (pi^2 r), 3.8 % at the default, and keeping 99 %
    would need fourteen times the pixels.

    Parameters
    ----------
    optics
        The microscope.
    spacing_um
        Steps of the grid along (z,) y and x.
    radius_um
        Half width along y and x, or one for each axis. By default 2.7 wavelength / NA (1 um at NA 1.41, 525 nm), in depth 3.5; along z
        all planes with at least 0.1 % of the light of the brightest, up to four periods of the axial cutoff.

    Raises
    ------
    OpticsError
        For impossible spacings.

    References
    ----------
    Born and Wolf, Principles of Optics, 8.8; Richards and Wolf, Proc. R. Soc. A 253, 358 (1959); Gibson and Lanni, J. Opt. Soc. Am. A 8,
    1601 (1991); Hell et al., J. Microsc. 169, 391 (1993).

    Examples
    --------
    >>> theoretical_psf(Optics(1.41, 525, 1.515), (0.0313, 0.0313)).values.shape
    (65, 65)
    >>> sheet = Optics(1.1, 525, 1.33, microscope="lightsheet", sheet_um=1.0)
    >>> theoretical_psf(sheet, (0.15, 0.05, 0.05)).values.shape
    (25, 67, 67)
    """
    spacing = tuple(spacing_um)
    check_spacing(spacing, 3 if len(spacing) == 3 else 2, "from theory")
    radii = _radii(optics, radius_um, len(spacing))
    halves = [None if r is None else max(1, round(r / s)) for r, s in zip(radii, spacing, strict=True)]
    yx_halves = [h for h in halves[-2:] if h is not None]
    focus_um = 0.0
    if len(spacing) == 3:
        values, focus_um = stack_on_grid(optics, spacing, yx_halves, halves[0])
    elif optics.microscope == "widefield" and not optics.aberrated:
        values = _in_focus(optics, spacing, yx_halves)
    else:
        focus_um = focus_of(optics)
        values = on_grid(optics, np.zeros(1), spacing, yx_halves, focus_um)[0]
    return Psf(values / values.sum(), spacing, _source(optics, focus_um))


def _in_focus(optics: Optics, spacing_um: Sequence[float], halves: Sequence[int]) -> np.ndarray:
    y, x = (s * np.arange(h + 1) for s, h in zip(spacing_um, halves, strict=True))
    quadrant = np.array([focal_intensity(optics, np.hypot(row, x)) for row in y])
    return np.pad(quadrant, [(h, 0) for h in halves], mode="reflect")


def _radii(optics: Optics, radius_um: float | Sequence[float] | None, rank: int) -> list[float | None]:
    """Half width along each axis; None along z stands for all planes that hold light."""
    if isinstance(radius_um, Sequence):
        if len(radius_um) != rank:
            raise OpticsError(
                f"radius_um {tuple(radius_um)}: {len(radius_um)} half widths for {rank} axes; give one for each, or one for y and x"
            )
        return list(radius_um)
    lateral_um = RADIUS_WAVELENGTHS[rank] * optics.wavelength_um / optics.na if radius_um is None else radius_um
    return [*[None] * (rank - 2), lateral_um, lateral_um]


def _source(optics: Optics, focus_um: float) -> str:
    """The parameters of the PSF in words."""
    facts = [optics.pupil, f"NA {optics.na:g}", f"{optics.wavelength_nm:g} nm", f"index {optics.ri:g}"]
    if optics.excitation_nm is not None:
        facts.append(f"excitation {optics.excitation_nm:g} nm")
    if optics.pinhole_au is not None:
        facts.append(f"pinhole {optics.pinhole_au:g} AU")
    if optics.sheet_um is not None:
        facts.append(f"sheet {optics.sheet_um:g} um")
    if optics.aberrated:
        facts.append(f"sample {optics.sample_ri:g}, depth {optics.depth_um:g} um, in focus {focus_um:+.3g} um beyond it")
    kind = "" if optics.microscope == "widefield" else f"{optics.microscope}, "
    return f"theory ({kind}{', '.join(facts)})"
