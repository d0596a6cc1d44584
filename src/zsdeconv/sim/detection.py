"""What the detection of a microscope passes: its OTF with the frequency at which it ends."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from zsdeconv.errors import OpticsError
from zsdeconv.physics.optics import Optics
from zsdeconv.physics.otf import Otf

_STEPS_TO_CUTOFF = 400
_RADIUS_IN_RESOLUTIONS = 80.0
"""Half width of the theoretical PSF that is transformed, in units of 1 / cutoff: the light beyond it is 0.3 %."""


@dataclass(frozen=True, eq=False)
class Detection:
    """The radial `otf` of the detection, used up to `cutoff_per_um` and 0 beyond; called with frequencies it gives `H`.

    >>> detection = Detection(Otf(np.array([1.0, 0.5, 0.0, -0.01]), 2.0, "triangle"), 4.0)
    >>> detection(np.array([1.0, 3.9, 5.9])).round(3).tolist()
    [0.75, 0.025, 0.0]
    """

    otf: Otf
    cutoff_per_um: float

    def __call__(self, k_per_um: np.ndarray) -> np.ndarray:
        """`H` at frequencies of any shape (cycles per micrometre)."""
        return np.where(k_per_um < self.cutoff_per_um, self.otf.at(k_per_um).clip(0), 0.0)


def detection_of(optics_or_otf: Optics | Otf) -> Detection:
    """The detection of a lens by theory, or with a measured OTF, up to where that stands out of its noise.

    In theory `H` is the Hankel transform of `theoretical_psf`, `2 pi integral PSF(r) J_0(2 pi k r) r dr`, 1 at k = 0, and it ends
    at 2 NA / wavelength. The camera's pixel is taken as a point.

    >>> detection = detection_of(Optics(1.3, 525))
    >>> round(detection.cutoff_per_um, 3), detection(np.array([0.0, 0.5]) * detection.cutoff_per_um).round(2).tolist()
    (4.952, [1.0, 0.39])
    """
    if isinstance(optics_or_otf, Otf):
        return Detection(optics_or_otf, optics_or_otf.edge_per_um)
    return Detection(_theoretical_otf(optics_or_otf), optics_or_otf.cutoff_per_um)


def require_fine_pixel(detection: Detection, pixel_um: float, finest_per_um: float) -> None:
    """Raise `OpticsError` unless half a pixel of `pixel_um` carries the widened band, up to `cutoff + |p|`.

    >>> require_fine_pixel(detection_of(Optics(1.3, 525)), 0.0626, 5.3)
    """
    widest = detection.cutoff_per_um + finest_per_um
    if 1 / pixel_um < widest:
        raise OpticsError(
            f"pixel {pixel_um:g} um: on half of it the widened band, up to {widest:.4g} cycles per um, takes {1 / widest:.3g} um at most; "
            "record smaller pixels, or check --pixel-um"
        )


def _theoretical_otf(optics: Optics) -> Otf:
    """Hankel transform of the theoretical PSF along one row, by the trapezoidal rule."""
    from scipy.special import j0

    from zsdeconv.physics.psf import theoretical_psf

    cutoff = optics.cutoff_per_um
    step = 1 / (16 * cutoff)
    psf = theoretical_psf(optics, (step, step), (step, _RADIUS_IN_RESOLUTIONS / cutoff))
    row = psf.values[len(psf.values) // 2]
    radial = row[len(row) // 2 :]
    r = step * np.arange(len(radial))
    weights = r.copy()
    weights[0] = step / 12  # the rule's error for an integrand r f(r), by Euler and Maclaurin
    k = np.linspace(0, cutoff, _STEPS_TO_CUTOFF + 1)
    values = j0(2 * np.pi * np.multiply.outer(k, r)) @ (weights * radial)
    values[-1] = 0.0
    return Otf(values / values[0], cutoff / _STEPS_TO_CUTOFF, psf.source)
