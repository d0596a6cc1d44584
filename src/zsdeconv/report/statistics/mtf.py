"""What a PSF lets through, by lateral frequency: the part of an OTF that a spectrum can be compared with."""

from __future__ import annotations

import numpy as np

from zsdeconv.physics.psf import Psf

PAD_PX = 256
OTF_END = 0.01
ABOVE_FLOOR = 3.0
"""How far the power must stand above that of the noise in a measured PSF."""
TINY = 1e-12


class Transfer:
    """`power`, `|H|^2` of a PSF by lateral and axial frequency (kr kz), averaged over directions; of a plane there is one kz.

    `end_per_um` is the lateral frequency beyond which |H| stays below a hundredth of its greatest value, or below its noise.
    What lies beyond half the sampling frequency in any direction is taken for the noise of a measured PSF, and subtracted.

    >>> from zsdeconv.physics.optics import Optics
    >>> from zsdeconv.physics.psf_theory import theoretical_psf
    >>> optics = Optics(1.2, 525, 1.333)
    >>> bool(0.9 < Transfer(theoretical_psf(optics, (0.05, 0.05))).end_per_um / optics.cutoff_per_um < 1.01)
    True
    """

    def __init__(self, psf: Psf) -> None:
        *depth, ny, nx = psf.values.shape
        size = max(PAD_PX, ny, nx)
        planes = depth[0] if depth else 1
        spectrum = np.abs(np.fft.fftn(psf.values.reshape(planes, ny, nx), (planes, size, size), (0, 1, 2))) ** 2
        ky, kx = (np.fft.fftfreq(size, um) for um in psf.spacing_um[-2:])
        step = max(ky[1], kx[1])
        ring = np.rint(np.hypot(ky[:, None], kx) / step).astype(int).ravel()
        means = np.stack([np.bincount(ring, plane.ravel()) for plane in spectrum], 1) / np.bincount(ring)[:, None]
        self.kr_per_um = np.arange(len(means)) * step
        self.kz_per_um = np.fft.fftfreq(planes, psf.spacing_um[0] if depth else 1.0)
        floor = np.median(means[self.kr_per_um > 0.5 / min(psf.spacing_um[-2:])])
        self.power = np.maximum(means - floor, 0.0)
        above = np.flatnonzero(means.max(1) > max(OTF_END**2 * means.max(), ABOVE_FLOOR * floor))
        self.end_per_um = float(self.kr_per_um[above[-1]])

    def passed(self, kr_per_um: np.ndarray, slope: float, curvature: float, stretch: float) -> np.ndarray:
        """What is left at `kr_per_um` of an object of spectrum `k^-(slope + curvature log k)`, seen through the PSF `stretch` times wider.

        k counts in ends of the OTF. In a plane of a stack all axial frequencies meet.
        """
        table = self.kr_per_um / stretch
        log_k = np.log(np.hypot(table[:, None], self.kz_per_um).clip(table[1] / 2) / self.end_per_um)
        seen = (self.power * np.exp(-slope * log_k - curvature * log_k**2)).mean(1)
        # falls by orders of magnitude from sample to sample near the end: its logarithm is what is smooth
        return np.exp(np.interp(kr_per_um, table, np.log(seen + TINY * seen.max()))) * (kr_per_um <= table[-1])
