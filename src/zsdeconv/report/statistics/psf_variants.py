"""PSFs that differ from a given one in one property: symmetric, with coma, narrower, wider."""

from __future__ import annotations

import numpy as np

from zsdeconv.physics.psf import Psf

COMA_RAD = 1.0
"""Phase of the OTF at its end that a variant with coma has in addition. Chosen: about a sixth of a wavelength."""
NARROW_FACTOR, WIDE_FACTOR = 0.92, 1.15
"""Widths of the narrower and the wider variant. Chosen: the thickness of a label makes a right PSF appear up to 10 % too narrow, never too
wide."""


def variants(psf: Psf, end_per_um: float) -> dict[str, Psf]:
    """Variants by name: "symmetric" (without the phase of the OTF), "coma +y" and so on, "narrower" and "wider" laterally.

    `end_per_um` is the end of the OTF. Stacks have only the symmetric variant, because the others take too long.

    >>> list(variants(Psf(np.full((1, 3), 1 / 3), (0.05, 0.05), "a row"), 8.0))
    ['symmetric', 'narrower', 'wider', 'coma +y', 'coma -y', 'coma +x', 'coma -x']
    """
    made = {"symmetric": symmetric(psf)}
    if psf.rank == 2:
        made |= {"narrower": widened(psf, NARROW_FACTOR), "wider": widened(psf, WIDE_FACTOR)}
        for axis, name in enumerate("yx"):
            for sign, mark in ((1, "+"), (-1, "-")):
                made[f"coma {mark}{name}"] = with_coma(psf, axis, sign * COMA_RAD, end_per_um)
    return made


def widened(psf: Psf, factor: float) -> Psf:
    """The PSF `factor` times as wide along y and x, on its grid, sum 1.

    >>> widened(Psf(np.outer(*[np.hanning(23)[1:-1] / 11] * 2), (0.05, 0.05), "window"), 1.2).spacing_um
    (0.05, 0.05)
    """
    stretched = (*psf.spacing_um[:-2], *(factor * um for um in psf.spacing_um[-2:]))
    return Psf(psf.values, stretched, psf.source).resampled(psf.spacing_um, energy=1)


def symmetric(psf: Psf) -> Psf:
    """The PSF whose OTF is `|H|`: the same contrast at every frequency, and symmetric under a rotation by 180 degrees."""
    return _with_transfer(psf, np.abs(_spectrum(psf)))


def with_coma(psf: Psf, axis: int, phase_rad: float, end_per_um: float) -> Psf:
    """The PSF with third-order coma.

    Parameters
    ----------
    psf : the PSF
    axis : direction of the coma, 0 for y and 1 for x
    phase_rad : additional phase of the OTF at its end; it grows with the third power of the frequency
    end_per_um : end of the OTF
    """
    spectrum = _spectrum(psf)
    ky, kx = (np.fft.fftfreq(n, um) for n, um in zip(spectrum.shape[-2:], psf.spacing_um[-2:], strict=True))
    ky, kx = np.meshgrid(ky, kx, indexing="ij")
    wave = phase_rad * (ky, kx)[axis] * (ky**2 + kx**2) / end_per_um**3
    return _with_transfer(psf, spectrum * np.exp(1j * wave))


def _spectrum(psf: Psf) -> np.ndarray:
    """OTF on a grid twice as large, the central sample at the origin."""
    padded = np.zeros([2 * n for n in psf.values.shape])
    padded[tuple(slice(n) for n in psf.values.shape)] = psf.values
    return np.fft.fftn(np.roll(padded, [-(n // 2) for n in psf.values.shape], range(psf.rank)))


def _with_transfer(psf: Psf, spectrum: np.ndarray) -> Psf:
    values = np.roll(np.fft.ifftn(spectrum).real, [n // 2 for n in psf.values.shape], range(psf.rank))
    return Psf.from_array(values[tuple(slice(n) for n in psf.values.shape)], psf.spacing_um, psf.source)
