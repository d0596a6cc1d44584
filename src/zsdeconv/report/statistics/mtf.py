"""Transfer of a PSF by lateral frequency: the part of an OTF that can be compared with a spectrum."""

from __future__ import annotations

import numpy as np

from zsdeconv.physics.psf import Psf

MIN_SIDE_PX = 256
"""Side to which a PSF is padded. Chosen: the frequencies are then fine enough for a spectrum of tiles."""
OTF_END_FRACTION = 0.01
"""|H| at the end of the OTF, relative to its maximum. Chosen: less is not visible in an image."""
MIN_FLOOR_RATIO = 3.0
"""Power over that of the noise of a measured PSF from which it counts. Chosen: noise fluctuates by less."""
SMALLEST_RATIO = 1e-12
"""Power, relative to the maximum, that keeps a logarithm finite. Chosen: far below any signal."""


class Transfer:
    """`power`, `|H|^2` of a PSF by lateral and axial frequency (kr kz), averaged over directions; a plane has one kz.

    `end_per_um` is the lateral frequency beyond which |H| stays below a hundredth of its maximum, or below its noise. The power beyond
    half the sampling frequency in any direction is taken for the noise of a measured PSF and subtracted.

    >>> from zsdeconv.physics.optics import Optics
    >>> from zsdeconv.physics.psf_theory import theoretical_psf
    >>> optics = Optics(1.2, 525, 1.333)
    >>> bool(0.9 < Transfer(theoretical_psf(optics, (0.05, 0.05))).end_per_um / optics.cutoff_per_um < 1.01)
    True
    """

    def __init__(self, psf: Psf) -> None:
        *depth, ny, nx = psf.values.shape
        side, planes = max(MIN_SIDE_PX, ny, nx), depth[0] if depth else 1
        spectrum = np.abs(np.fft.fftn(psf.values.reshape(planes, ny, nx), (planes, side, side), (0, 1, 2))) ** 2
        ky, kx = (np.fft.fftfreq(side, um) for um in psf.spacing_um[-2:])
        step = max(ky[1], kx[1])
        ring = np.rint(np.hypot(ky[:, None], kx) / step).astype(int).ravel()
        means = np.stack([np.bincount(ring, plane.ravel()) for plane in spectrum], 1) / np.bincount(ring)[:, None]
        self.kr_per_um = np.arange(len(means)) * step
        self.kz_per_um = np.fft.fftfreq(planes, psf.spacing_um[0] if depth else 1.0)
        floor = np.median(means[self.kr_per_um > 0.5 / min(psf.spacing_um[-2:])])
        self.power = np.maximum(means - floor, 0.0)
        above = np.flatnonzero(means.max(1) > max(OTF_END_FRACTION**2 * means.max(), MIN_FLOOR_RATIO * floor))
        self.end_per_um = float(self.kr_per_um[above[-1]])

    def passed(self, kr_per_um: np.ndarray, slope: float, curvature: float, stretch: float) -> np.ndarray:
        """Power of the image of an object with the spectrum `k^-(slope + curvature log k)`, k in units of `end_per_um`.

        Parameters
        ----------
        kr_per_um : lateral frequencies
        slope, curvature : of the logarithm of the object's power over the logarithm of k
        stretch : width of the PSF relative to the given one; in a plane of a stack all axial frequencies add up
        """
        table = self.kr_per_um / stretch
        log_k = np.log(np.hypot(table[:, None], self.kz_per_um).clip(table[1] / 2) / self.end_per_um)
        power = (self.power * np.exp(-slope * log_k - curvature * log_k**2)).mean(1)
        # Near the end the power falls by orders of magnitude from sample to sample, so its logarithm is interpolated.
        return np.exp(np.interp(kr_per_um, table, np.log(power + SMALLEST_RATIO * power.max()))) * (kr_per_um <= table[-1])
