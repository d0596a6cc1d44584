"""PSFs like a given one but for one property: symmetric, with coma, narrower, wider."""

from __future__ import annotations

import numpy as np

from zsdeconv.physics.psf import Psf

COMA_RAD = 1.0
"""Phase of the OTF at its end that a variant with coma has more than the PSF."""
NARROWER, WIDER = 0.92, 1.15
"""Factors of the width: what is labelled makes a right PSF seem up to 10 % too narrow, never too wide."""


def variants(psf: Psf, end_per_um: float) -> dict[str, Psf]:
    """Variants by name: "symmetric" (without the phase of the OTF), "coma +y" and its like, "narrower" and "wider" laterally.

    `end_per_um` is where the OTF ends. Of stacks only the symmetric one: the others take too long there.

    >>> list(variants(Psf(np.full((1, 3), 1 / 3), (0.05, 0.05), "a row"), 8.0))
    ['symmetric', 'narrower', 'wider', 'coma +y', 'coma -y', 'coma +x', 'coma -x']
    """
    found = {"symmetric": symmetric(psf)}
    if psf.rank == 2:
        found |= {"narrower": widened(psf, NARROWER), "wider": widened(psf, WIDER)}
        for axis, name in enumerate("yx"):
            for sign, word in ((1, "+"), (-1, "-")):
                found[f"coma {word}{name}"] = with_coma(psf, axis, sign * COMA_RAD, end_per_um)
    return found


def widened(psf: Psf, factor: float) -> Psf:
    """The PSF `factor` times as wide along y and x, on its grid, sum 1.

    >>> widened(Psf(np.outer(*[np.hanning(23)[1:-1] / 11] * 2), (0.05, 0.05), "window"), 1.2).spacing_um
    (0.05, 0.05)
    """
    stretched = (*psf.spacing_um[:-2], *(factor * um for um in psf.spacing_um[-2:]))
    return Psf(psf.values, stretched, psf.source).resampled(psf.spacing_um, energy=1)


def symmetric(psf: Psf) -> Psf:
    """The PSF whose OTF is `|H|`: as sharp at every frequency, and the same when turned by 180 degrees."""
    return _with_transfer(psf, np.abs(_spectrum(psf)))


def with_coma(psf: Psf, axis: int, phase_rad: float, end_per_um: float) -> Psf:
    """The PSF with a phase that grows with the third power of the frequency along `axis` (0: y, 1: x), `phase_rad` at `end_per_um`."""
    spectrum = _spectrum(psf)
    ky, kx = (np.fft.fftfreq(n, um) for n, um in zip(spectrum.shape[-2:], psf.spacing_um[-2:], strict=True))
    ky, kx = np.meshgrid(ky, kx, indexing="ij")
    wave = phase_rad * (ky, kx)[axis] * (ky**2 + kx**2) / end_per_um**3
    return _with_transfer(psf, spectrum * np.exp(1j * wave))


def _spectrum(psf: Psf) -> np.ndarray:
    """OTF on a grid twice as large, the middle sample at the origin."""
    padded = np.zeros([2 * n for n in psf.values.shape])
    padded[tuple(slice(n) for n in psf.values.shape)] = psf.values
    return np.fft.fftn(np.roll(padded, [-(n // 2) for n in psf.values.shape], range(psf.rank)))


def _with_transfer(psf: Psf, spectrum: np.ndarray) -> Psf:
    values = np.roll(np.fft.ifftn(spectrum).real, [n // 2 for n in psf.values.shape], range(psf.rank))
    return Psf.from_array(values[tuple(slice(n) for n in psf.values.shape)], psf.spacing_um, psf.source)
