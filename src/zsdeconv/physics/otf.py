"""Radial optical transfer functions from `.mrc` and `.dv` files: of a plane, with the PSF they stand for, and of three orders in depth."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from zsdeconv.errors import OpticsError
from zsdeconv.physics.psf import Psf, check_spacing

SUPPORT = 0.01
"""The OTF's edge is where it last exceeds this share of its value at 0; what lies beyond is noise of the measurement."""


@dataclass(frozen=True, eq=False)
class Otf:
    """A rotationally symmetric OTF: `values` at k = 0, dkr, 2 dkr ... (real, 1 at k = 0), `dkr_per_um`, `source`.

    >>> Otf(np.array([1.0, 0.5, 0.0]), 2.0, "triangle").at(np.array([1.0, 9.0]))
    array([0.75, 0.  ])
    """

    values: np.ndarray
    dkr_per_um: float
    source: str

    def at(self, k_per_um: np.ndarray) -> np.ndarray:
        """Value at spatial frequency `k_per_um` (any shape, cycles per micrometre): linear between samples, 0 beyond the last."""
        return np.interp(k_per_um, self.dkr_per_um * np.arange(len(self.values)), self.values, right=0.0)

    def sampled(self, yx_shape: tuple[int, int], spacing_um: tuple[float, float]) -> np.ndarray:
        """The OTF on the frequencies of a discrete Fourier transform of (y x) samples, zero frequency first."""
        ky, kx = (np.fft.fftfreq(n, s) for n, s in zip(yx_shape, spacing_um, strict=True))
        return self.at(np.hypot(ky[:, None], kx))

    @property
    def edge_per_um(self) -> float:
        """Frequency up to which the OTF is more than noise: the cutoff of the microscope, nearly."""
        return self.dkr_per_um * float(np.flatnonzero(np.abs(self.values) > SUPPORT)[-1] + 1)

    def psf(self, spacing_um: tuple[float, float], radius_um: float | None = None) -> Psf:
        """The PSF on a (y x) grid, by the inverse Hankel transform: at r it is 2 pi integral OTF(k) J_0(2 pi k r) k dk.

        Evaluated at each sample, so the size of the grid changes nothing and nothing wraps around. Frequencies that the grid
        cannot carry are left out. `radius_um` is the half width, by default 5.4 / edge: 2.7 wavelength / NA, as in theory.
        Raises `OpticsError` when the grid is too coarse for half of the OTF's support.
        """
        check_spacing(spacing_um, 2, self.source)
        k_max = min(0.5 / max(spacing_um), self.dkr_per_um * (len(self.values) - 1))
        if k_max < 0.5 * self.edge_per_um:
            limit = 1 / self.edge_per_um
            raise OpticsError(
                f"OTF {self.source}: pixel {max(spacing_um):g} um is above the limit of {limit:.3g} um; give --scale 2, or check --pixel-um"
            )
        radius = 5.4 / self.edge_per_um if radius_um is None else radius_um
        halves = [max(1, round(radius / s)) for s in spacing_um]
        y, x = (s * np.arange(h + 1) for s, h in zip(spacing_um, halves, strict=True))
        quadrant = np.array([self._hankel(np.hypot(row, x), k_max) for row in y])
        values = np.pad(quadrant, [(h, 0) for h in halves], mode="reflect")
        return Psf(values / values.sum(), spacing_um, self.source)

    def _hankel(self, r_um: np.ndarray, k_max: float) -> np.ndarray:
        """Inverse Hankel transform at `r_um`; each interval between samples by its own three Gauss nodes."""
        from scipy.special import j0

        nodes, weights = np.polynomial.legendre.leggauss(3)
        edges = np.append(np.arange(0, k_max, self.dkr_per_um), k_max)
        half, middle = np.diff(edges) / 2, (edges[1:] + edges[:-1]) / 2
        k = (middle[:, None] + half[:, None] * nodes).ravel()
        w = (half[:, None] * weights).ravel()
        return j0(2 * np.pi * np.multiply.outer(r_um, k)) @ (2 * np.pi * w * k * self.at(k))


@dataclass(frozen=True, eq=False)
class DeepOtf:
    """Rotationally symmetric OTFs in depth, `values` (order kr kz) at kr = 0, dkr ... and kz = 0, dkz ..., and `source`.

    One for each order of three-beam illumination, or one for all of them. Complex where a PSF is not symmetric in z; being those
    of real PSFs they continue as `H(kr, -kz) = conj H(kr, kz)`. Order 0 is 1 at zero frequency.

    >>> otf = DeepOtf(np.array([[[1.0, 0.0], [0.5, 0.25 + 0.5j]]]), 2.0, 0.5, "made up")
    >>> otf.profiles(0, np.array([0.5, -0.25, 9.0]))[:, 1].tolist()
    [(0.25+0.5j), (0.375-0.25j), 0j]
    """

    values: np.ndarray
    dkr_per_um: float
    dkz_per_um: float
    source: str

    def profiles(self, order: int, kz_per_um: np.ndarray) -> np.ndarray:
        """The radial functions (kz kr) at axial frequencies (kz): linear between samples, 0 beyond the last."""
        table = self.values[min(order, len(self.values) - 1)].T
        place = np.abs(kz_per_um) / self.dkz_per_um
        below = np.minimum(place.astype(int), len(table) - 2)
        part = (place - below)[:, None]
        found = np.where(part <= 1, (1 - part) * table[below] + part * table[below + 1], 0)
        return np.where(kz_per_um[:, None] < 0, found.conj(), found)


def read_deep_otf(path: str | Path) -> DeepOtf:
    """The OTFs of three-beam illumination in an `.mrc` or `.dv` file: complex (order kr kz), kz in FFT order, either byte order.

    The sampling is the file's: its cell size is (dkz, dkr), cycles per micrometre. What a bead beside the pattern's maximum left as a
    constant phase of an order is taken off (it belongs to the pattern), and the part that no real PSF has.

    Raises `OpticsError` when the file states no sampling, holds another kind of OTF, or values that are no OTF.
    """
    source = Path(path).name
    data, header = _raw(path, source)
    dkz, dkr = (float(um) for um in header["cella"][:2])
    if not (np.isfinite(dkz) and np.isfinite(dkr) and min(dkr, dkz) > 0):
        raise OpticsError(
            f"OTF {source}: the header states a sampling of {dkr:g} (r) and {dkz:g} (z) per um, both must be positive; "
            "write dkz and dkr into the header's cella"
        )
    if not np.iscomplexobj(data) or data.ndim != 3 or len(data) != 3 or min(data.shape[1:]) < 4:
        raise OpticsError(
            f"OTF {source}: {data.dtype} {data.shape}, for a stack under three beams it is complex (3, n_kr, n_kz); give one with --otf, "
            "or leave it out and give --na and --wavelength-nm"
        )
    brightest = data[0, 0, 0].real
    if not np.isfinite(data).all() or brightest <= 0:
        raise OpticsError(f"OTF {source}: value {brightest:.3g} at zero frequency (it must be positive) or NaN beyond; give another --otf")
    values = np.stack([_of_real_psf(order / brightest) for order in data.astype(np.complex128)])
    return DeepOtf(values[..., : data.shape[2] // 2 + 1], dkr, dkz, source)


def _of_real_psf(values: np.ndarray) -> np.ndarray:
    """`values` (kr kz, FFT order) without a constant phase, and with `H(kr, -kz) = conj H(kr, kz)`."""
    opposite = np.roll(values[:, ::-1], 1, axis=1)
    apply_symmetry = values * np.exp(-0.5j * np.angle((values * opposite).sum()))
    hermitian = (apply_symmetry + np.roll(apply_symmetry[:, ::-1], 1, axis=1).conj()) / 2
    return hermitian * (np.sign(hermitian.sum().real) or 1.0)


def _raw(path: str | Path, source: str) -> tuple[np.ndarray, dict[str, Any]]:
    from zsdeconv.io.mrc import read_mrc_raw

    try:
        return read_mrc_raw(path)
    except OSError as error:
        raise OpticsError(f"OTF {source}: cannot be opened ({error.strerror}); check the path given with --otf") from error


def read_otf(path: str | Path, dkr_per_um: float | None = None) -> Otf:
    """The 2-D radial OTF in an `.mrc` file (complex64, one row of n_kr samples; either byte order).

    The sampling is the file's cell size along x, in cycles per micrometre; `dkr_per_um` overrules it.

    Raises `OpticsError` when the file states no sampling, holds another kind of OTF, or values that are no OTF.
    """
    source = Path(path).name
    data, header = _raw(path, source)
    dkr = float(header["cella"][0]) if dkr_per_um is None else dkr_per_um
    if not np.isfinite(dkr) or dkr <= 0:
        raise OpticsError(
            f"OTF {source}: the header states a sampling of {dkr:g} per um, it must be positive; write dkr into the header's cella"
        )
    return Otf(_radial_values(np.asarray(data), source), dkr, source)


def _radial_values(data: np.ndarray, source: str) -> np.ndarray:
    """Real profile, 1 at zero frequency, of a (1 x n_kr) complex array."""
    radial = np.squeeze(data)
    if not np.iscomplexobj(data) or radial.ndim != 1 or radial.size < 4:
        raise OpticsError(
            f"OTF {source}: {data.dtype} {data.shape}, a 2-D radial OTF is complex (1, n_kr); give one with --otf, or an image with --psf"
        )
    if not np.isfinite(radial).all() or radial[0].real <= 0:
        raise OpticsError(f"OTF {source}: value {radial[0]:.3g} at zero frequency (it must be positive) or NaN beyond; give another --otf")
    odd = np.abs(np.imag(radial)).max() / radial[0].real
    if odd > 0.05:
        raise OpticsError(
            f"OTF {source}: imaginary part up to {odd:.2f} of the value at 0 (limit 0.05), so its bead was off centre; give another --otf"
        )
    return (np.real(radial) / radial[0].real).astype(np.float64)
