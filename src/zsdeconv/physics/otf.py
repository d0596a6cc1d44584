"""Radial optical transfer functions (OTFs) from `.mrc` and `.dv` files: of a plane, and of the three orders of three-beam SIM in depth."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from zsdeconv.errors import OpticsError
from zsdeconv.physics.psf import Psf, check_spacing

MIN_OTF_VALUE = 0.01
"""Value, relative to that at zero frequency, that the OTF exceeds for the last time at its edge. Chosen: noise of measured OTFs."""
MAX_IMAGINARY_FRACTION = 0.05
"""Largest imaginary part of a radial OTF, relative to its value at 0. Chosen: a centred bead leaves only noise there."""
PSF_RADIUS_PERIODS = 5.4
"""Default half width of a PSF in periods of the OTF's edge. Chosen: 2.7 wavelength / NA, as for theoretical PSFs in a plane."""


@dataclass(frozen=True, eq=False)
class Otf:
    """A rotationally symmetric OTF: `values` at k = 0, dkr, 2 dkr ... (real, 1 at k = 0), the step `dkr_per_um`, the `source` in words.

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
        """The OTF at the frequencies of a discrete Fourier transform of (y x) samples, zero frequency first."""
        ky, kx = (np.fft.fftfreq(n, s) for n, s in zip(yx_shape, spacing_um, strict=True))
        return self.at(np.hypot(ky[:, None], kx))

    @property
    def edge_per_um(self) -> float:
        """Frequency up to which the OTF is more than noise, close to the cutoff of the microscope."""
        return self.dkr_per_um * float(np.flatnonzero(np.abs(self.values) > MIN_OTF_VALUE)[-1] + 1)

    def psf(self, spacing_um: tuple[float, float], radius_um: float | None = None) -> Psf:
        """The PSF on a (y x) grid by the inverse Hankel transform, PSF(r) = 2 pi integral OTF(k) J_0(2 pi k r) k dk.

        The integral is evaluated at each sample, so the result does not depend on the size of the grid and nothing wraps
        around. Frequencies beyond the Nyquist limit of the grid are omitted. `radius_um` is the half width, by default 5.4 / edge.
        Raises `OpticsError` when the grid cannot sample half of the OTF's support.
        """
        check_spacing(spacing_um, 2, self.source)
        k_max = min(0.5 / max(spacing_um), self.dkr_per_um * (len(self.values) - 1))
        if k_max < 0.5 * self.edge_per_um:
            limit = 1 / self.edge_per_um
            raise OpticsError(
                f"OTF {self.source}: pixel {max(spacing_um):g} um is above the limit of {limit:.3g} um; give scale 2, or check pixel_um"
            )
        radius = PSF_RADIUS_PERIODS / self.edge_per_um if radius_um is None else radius_um
        halves = [max(1, round(radius / s)) for s in spacing_um]
        y, x = (s * np.arange(h + 1) for s, h in zip(spacing_um, halves, strict=True))
        quadrant = np.array([self._hankel(np.hypot(row, x), k_max) for row in y])
        values = np.pad(quadrant, [(h, 0) for h in halves], mode="reflect")
        return Psf(values / values.sum(), spacing_um, self.source)

    def _hankel(self, r_um: np.ndarray, k_max: float) -> np.ndarray:
        """Inverse Hankel transform at `r_um`, by three Gauss nodes in each interval between samples."""
        from scipy.special import j0

        nodes, weights = np.polynomial.legendre.leggauss(3)
        edges = np.append(np.arange(0, k_max, self.dkr_per_um), k_max)
        half, center = np.diff(edges) / 2, (edges[1:] + edges[:-1]) / 2
        k = (center[:, None] + half[:, None] * nodes).ravel()
        w = (half[:, None] * weights).ravel()
        return j0(2 * np.pi * np.multiply.outer(r_um, k)) @ (2 * np.pi * w * k * self.at(k))


@dataclass(frozen=True, eq=False)
class DeepOtf:
    """Rotationally symmetric OTFs in depth, `values` (order kr kz) at kr = 0, dkr ... and kz = 0, dkz ..., and `source`.

    There is one for each order of three-beam illumination, or a single one for all orders. The values are complex where the PSF is
    not symmetric in z. As the PSFs are real, `H(kr, -kz) = conj H(kr, kz)`. Order 0 is 1 at zero frequency.

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
        values = np.where(part <= 1, (1 - part) * table[below] + part * table[below + 1], 0)
        return np.where(kz_per_um[:, None] < 0, values.conj(), values)


def read_deep_otf(path: str | Path) -> DeepOtf:
    """The OTFs of three-beam illumination in an `.mrc` or `.dv` file: complex (order kr kz), kz in FFT order, either byte order.

    The header's cell size is the sampling (dkz, dkr) in cycles per micrometre. The constant phase of each order, which arises when the
    bead lay beside a maximum of the pattern, is removed, and so is the part of the values that no real PSF can have.

    Raises `OpticsError` when the file states no sampling, holds another kind of OTF, or invalid values.
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
            f"OTF {source}: {data.dtype} {data.shape}, for a stack under three beams it is complex (3, n_kr, n_kz); give an otf of that "
            "kind, or leave out otf and give na and wavelength_nm"
        )
    brightest = data[0, 0, 0].real
    if not np.isfinite(data).all() or brightest <= 0:
        raise OpticsError(f"OTF {source}: value {brightest:.3g} at zero frequency (it must be positive) or NaN elsewhere; give another otf")
    values = np.stack([_of_real_psf(order / brightest) for order in data.astype(np.complex128)])
    return DeepOtf(values[..., : data.shape[2] // 2 + 1], dkr, dkz, source)


def _of_real_psf(values: np.ndarray) -> np.ndarray:
    """`values` (kr kz, FFT order) without a constant phase, and made to satisfy `H(kr, -kz) = conj H(kr, kz)`."""
    opposite = np.roll(values[:, ::-1], 1, axis=1)
    # for exp(i p) times a Hermitian function the product with its reflection has the phase 2 p
    in_phase = values * np.exp(-0.5j * np.angle((values * opposite).sum()))
    hermitian = (in_phase + np.roll(in_phase[:, ::-1], 1, axis=1).conj()) / 2
    return hermitian * (np.sign(hermitian.sum().real) or 1.0)


def _raw(path: str | Path, source: str) -> tuple[np.ndarray, dict[str, Any]]:
    from zsdeconv.io.formats.mrc import read_mrc_raw

    try:
        return read_mrc_raw(path)
    except OSError as error:
        raise OpticsError(f"OTF {source}: cannot be opened ({error.strerror}); check otf, the path to the file") from error


def read_otf(path: str | Path, dkr_per_um: float | None = None) -> Otf:
    """The 2-D radial OTF in an `.mrc` file (complex64, one row of n_kr samples; either byte order).

    The header's cell size along x is the sampling in cycles per micrometre; `dkr_per_um` overrules it.

    Raises `OpticsError` when the file states no sampling, holds another kind of OTF, or invalid values.
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
            f"OTF {source}: {data.dtype} {data.shape}, a 2-D radial OTF is complex (1, n_kr); give an otf of that kind, or an image as psf"
        )
    if not np.isfinite(radial).all() or radial[0].real <= 0:
        raise OpticsError(f"OTF {source}: value {radial[0]:.3g} at zero frequency (it must be positive) or NaN elsewhere; give another otf")
    odd = np.abs(np.imag(radial)).max() / radial[0].real
    if odd > MAX_IMAGINARY_FRACTION:
        raise OpticsError(
            f"OTF {source}: imaginary part up to {odd:.2f} of the value at 0 (limit {MAX_IMAGINARY_FRACTION:g}), so its bead was off "
            "centre; give another otf"
        )
    return (np.real(radial) / radial[0].real).astype(np.float64)
