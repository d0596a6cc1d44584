"""OTF of the detection of a microscope with its cutoff, for planes and for stacks."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np

from zsdeconv.errors import OpticsError
from zsdeconv.physics.microscope import EXCITATION_RATIO
from zsdeconv.physics.optics import Optics
from zsdeconv.physics.otf import DeepOtf, Otf
from zsdeconv.physics.psf_3d import AXIAL_RADIUS_PERIODS, focus_of, radial_intensity

THREE_BEAMS = (1.0, 4 / 3, 2 / 3)
"""Law: strength of orders 0, 1 and 2 where three beams of equal amplitude interfere, |1 + 2 cos u|^2 / 3."""

_OTF_SAMPLES = 400
"""Samples of a theoretical OTF up to its cutoff. Chosen: the OTF is almost linear between two of them."""
_RADIUS_RESOLUTIONS = 80.0
"""Half width of the theoretical PSF that is transformed, in units of 1 / cutoff. Chosen: the light beyond it is 0.3 %."""
_SAMPLES_PER_RESOLUTION = 16
"""Radial samples of the theoretical PSF per 1 / cutoff. Chosen: eight times as many as the sampling theorem requires."""
_PLANES_PER_AXIAL_RESOLUTION = 3
"""Planes of the theoretical PSF per 1 / axial cutoff. Chosen: above the 2 of the sampling theorem."""
_AXIAL_OVERSAMPLING = 4
"""Axial samples of a theoretical OTF per 1 / depth of its PSF. Chosen for linear interpolation between them."""
_OTF_THRESHOLD = 5e-4
"""Relative to its maximum, a smaller value of an OTF of stacks counts as 0. Chosen: above the noise of measured OTFs."""
_MIDDLE_CUTOFFS, _MIDDLE_OTF_2D = 0.5, 0.39
"""A frequency in units of the cutoff, and the OTF of a plane there by theory (Goodman's formula for a circular pupil)."""
_CONE_WIDTH_CUTOFFS = 0.1
"""Share of the lateral cutoff from which on the axial extent of an OTF is measured. Chosen: below, the finite depth of the PSF blurs
the OTF along the axis."""
_SYMMETRY_TOLERANCE = 1e-6
"""Relative imaginary part below which an OTF counts as real. Chosen: it exceeds the rounding error of single precision."""
EXCITATION_RANGE_UM = (0.2, 2.0)
"""Wavelengths of light used in fluorescence microscopy, from ultraviolet to two-photon excitation."""


@dataclass(frozen=True, eq=False)
class DetectionOtf2d:
    """Radial `otf` of the detection, used up to `cutoff_per_um` and 0 beyond; a call with frequencies gives `H`.

    >>> detection = DetectionOtf2d(Otf(np.array([1.0, 0.5, 0.0, -0.01]), 2.0, "triangle"), 4.0)
    >>> detection(np.array([1.0, 3.9, 5.9])).round(3).tolist()
    [0.75, 0.025, 0.0]
    """

    otf: Otf
    cutoff_per_um: float

    @property
    def rank(self) -> int:
        """Number of spatial axes."""
        return 2

    @property
    def level(self) -> float:
        """Magnitude of the OTF at half the cutoff relative to the OTF of a plane: 1."""
        return 1.0

    def __call__(self, k_per_um: np.ndarray, order: int = 0) -> np.ndarray:
        """`H` at frequencies of any shape (cycles per micrometre), the same for every order of the pattern."""
        return np.where(k_per_um < self.cutoff_per_um, self.otf.at(k_per_um).clip(0), 0.0)

    def passes(self, inside: np.ndarray, order: int) -> np.ndarray:
        """Whether frequencies are transmitted: in a plane, those `inside` the cutoff."""
        return inside

    def under(self, p_per_um: float) -> DetectionOtf2d:
        """The detection under a pattern of frequency `p_per_um`: in a plane, itself."""
        return self


@dataclass(frozen=True, eq=False)
class DetectionOtf3d:
    """OTFs `H_m` of a wide-field stack under three beams, one for each order m of the pattern.

    Called with lateral frequencies (any shape), the order, and axial ones (kz) it gives `H_m` (kz, that shape). A theoretical
    `otf` holds the OTF H of the lens, which applies to orders 0 and 2, and `H_1(kr, kz) = (H(kr, kz - a) + H(kr, kz + a)) / 2`: order 1
    moves with the focus and is modulated along the axis with the frequency a, `beat_per_um`. A measured `otf` holds all three orders,
    in units of `THREE_BEAMS`.

    `cutoff_per_um` and `axial_cutoff_per_um` are the cutoffs of the lens; `light` is (index, excitation wavelength in um) of theory.
    """

    otf: DeepOtf
    cutoff_per_um: float
    axial_cutoff_per_um: float
    light: tuple[float, float] | None = None
    beat_per_um: float = 0.0

    @property
    def rank(self) -> int:
        """Number of spatial axes."""
        return 3

    @property
    def level(self) -> float:
        """Magnitude of the OTF at half the cutoff relative to the OTF of a plane: below 1, as the light of a point is spread in depth."""
        middle = self(np.array([_MIDDLE_CUTOFFS * self.cutoff_per_um]), 0, self.otf.dkz_per_um * np.arange(self.otf.values.shape[2]))
        return float(np.abs(middle).max()) / _MIDDLE_OTF_2D

    @property
    def axial_end_per_um(self) -> float:
        """Highest axial frequency transmitted by any order."""
        return self.axial_cutoff_per_um + self.beat_per_um

    def under(self, p_per_um: float) -> DetectionOtf3d:
        """The detection under a pattern of lateral frequency `p_per_um` (order 1): sets the axial modulation of a theoretical OTF,
        `a = (n - sqrt(n^2 - (wavelength p)^2)) / wavelength`.

        Raises `OpticsError` for fringes finer than interference at this wavelength can produce.
        """
        if self.light is None:
            return self
        index, um = self.light
        if um * p_per_um >= index:
            raise OpticsError(
                f"fringes of {0.5 / p_per_um:.3g} um: light of {1e3 * um:.0f} nm produces {um / index / 2:.3g} um at the finest; "
                "check excitation_nm, period_um and immersion_ri"
            )
        return replace(self, beat_per_um=(index - math.sqrt(index**2 - (um * p_per_um) ** 2)) / um)

    def __call__(self, k_per_um: np.ndarray, order: int, kz_per_um: np.ndarray) -> np.ndarray:
        """`H_order` (kz ...) at lateral frequencies (any shape) and axial ones (kz)."""
        profiles = self._profiles(order, kz_per_um)
        values = np.zeros((len(kz_per_um), *k_per_um.shape), profiles.dtype)
        inside = k_per_um < self.cutoff_per_um
        position = k_per_um[inside] / self.otf.dkr_per_um
        below = np.minimum(position.astype(int), profiles.shape[1] - 2)
        part = position - below
        values[:, inside] = (1 - part) * profiles[:, below] + part * profiles[:, below + 1]
        return values

    def passes(self, inside: np.ndarray, order: int, kz_per_um: np.ndarray) -> np.ndarray:
        """Whether frequencies (kz ...) are transmitted: those `inside` the lateral cutoff and within the axial cutoff of the order."""
        end = self.axial_end_per_um if order == 1 else self.axial_cutoff_per_um
        return (np.abs(kz_per_um) < end).reshape(-1, *[1] * inside.ndim) & inside

    def _profiles(self, order: int, kz_per_um: np.ndarray) -> np.ndarray:
        """Radial functions (kz kr) of an order, real where the OTF is."""
        if order == 1 and self.light is not None:
            values = (self.otf.profiles(0, kz_per_um + self.beat_per_um) + self.otf.profiles(0, kz_per_um - self.beat_per_um)) / 2
        else:
            values = self.otf.profiles(order, kz_per_um)
        symmetric = np.abs(np.imag(values)).max() <= _SYMMETRY_TOLERANCE * np.abs(values).max()
        return np.real(values) if symmetric else values


def detection_otf_2d(optics_or_otf: Optics | Otf) -> DetectionOtf2d:
    """The detection of a lens by theory, or with a measured OTF up to the frequency where noise dominates it.

    In theory `H` is the Hankel transform of `theoretical_psf`, `2 pi integral PSF(r) J_0(2 pi k r) r dr`, 1 at k = 0, with the cutoff
    2 NA / wavelength. The camera's pixel is treated as a point.

    Raises `OpticsError` for optics of another microscope than a wide-field one, or with an aberration.

    >>> detection = detection_otf_2d(Optics(1.3, 525))
    >>> round(detection.cutoff_per_um, 3), detection(np.array([0.0, 0.5]) * detection.cutoff_per_um).round(2).tolist()
    (4.952, [1.0, 0.39])
    """
    if isinstance(optics_or_otf, Otf):
        return DetectionOtf2d(optics_or_otf, optics_or_otf.edge_per_um)
    _refuse_other_microscope(optics_or_otf)
    return DetectionOtf2d(_theoretical_otf(optics_or_otf), optics_or_otf.cutoff_per_um)


def detection_otf_3d(optics_or_otf: Optics | DeepOtf, excitation_nm: float | None = None) -> DetectionOtf3d:
    """The detection of stacks under three beams: of a wide-field microscope by theory, or with measured OTFs of the three orders.

    In theory `H(kr, kz) = sum_z w(z) exp(-2 pi i kz z) 2 pi integral PSF(z, r) J_0(2 pi kr r) r dr`, 1 at zero, with a window w that
    falls as cos^2 over eight periods of the axial cutoff, because the cone of light is infinite. `excitation_nm` is 0.93 times the
    emission wavelength by default; measured OTFs contain it.

    Raises `OpticsError` for an excitation outside 200 to 2000 nm, or given beside a measured OTF, and for optics of another microscope.

    >>> detection = detection_otf_3d(Optics(1.3, 525, 1.406)).under(2.25)
    >>> round(detection.axial_cutoff_per_um, 2), round(detection.beat_per_um, 2)
    (1.66, 1.08)
    >>> detection(np.array([0.0, 2.5]), 1, np.array([1.08])).round(2).tolist()
    [[0.5, 0.02]]
    """
    if isinstance(optics_or_otf, DeepOtf):
        if excitation_nm is not None:
            raise OpticsError(
                f"excitation_nm {excitation_nm:g} beside an OTF, which contains its effect; leave out one, excitation_nm or `otf`"
            )
        return _measured(optics_or_otf)
    optics = optics_or_otf
    _refuse_other_microscope(optics)
    um = 1e-3 * (EXCITATION_RATIO * optics.wavelength_nm if excitation_nm is None else excitation_nm)
    if not EXCITATION_RANGE_UM[0] <= um <= EXCITATION_RANGE_UM[1]:
        raise OpticsError(f"excitation {1e3 * um:g} nm: it must lie between 200 and 2000 nm; give excitation_nm in nanometres")
    return DetectionOtf3d(_theoretical_deep_otf(optics), optics.cutoff_per_um, optics.axial_cutoff_per_um, (optics.ri, um))


def _refuse_other_microscope(optics: Optics) -> None:
    """Raise `OpticsError` for settings of the optics that the theory of fringes does not hold."""
    for name in ("microscope", "sample_ri", "depth_um"):
        value = getattr(optics, name)
        if value != getattr(Optics, name):
            raise OpticsError(
                f"{name} {value} with structured illumination: its theory is that of a wide-field microscope without aberration; leave it "
                "out, or give a measured OTF as `otf`"
            )


def require_fine_pixel(detection: DetectionOtf2d | DetectionOtf3d, pixel_um: float, finest_per_um: float) -> None:
    """Raise `OpticsError` unless pixels half as large as `pixel_um` sample the widened band, up to `cutoff + finest_per_um`.

    >>> require_fine_pixel(detection_otf_2d(Optics(1.3, 525)), 0.0626, 5.3)
    """
    widest = detection.cutoff_per_um + finest_per_um
    if 1 / pixel_um < widest:
        raise OpticsError(
            f"pixel {pixel_um:g} um: the widened band, up to {widest:.4g} cycles per um, needs {1 / widest:.3g} um or less; "
            "record smaller pixels, or check pixel_um"
        )


def _theoretical_otf(optics: Optics) -> Otf:
    """Hankel transform of one row of the theoretical PSF."""
    from zsdeconv.physics.psf_theory import theoretical_psf

    cutoff = optics.cutoff_per_um
    step = 1 / (_SAMPLES_PER_RESOLUTION * cutoff)
    psf = theoretical_psf(optics, (step, step), (step, _RADIUS_RESOLUTIONS / cutoff))
    row = psf.values[len(psf.values) // 2]
    values = _hankel(row[len(row) // 2 :], step, cutoff)
    values[-1] = 0.0
    return Otf(values / values[0], cutoff / _OTF_SAMPLES, psf.source)


def _hankel(radial: np.ndarray, step_um: float, cutoff_per_um: float) -> np.ndarray:
    """Hankel transform (... kr) of functions (... r) on `step_um`, by the trapezoidal rule, at equal steps up to the cutoff."""
    from scipy.special import j0

    r = step_um * np.arange(radial.shape[-1])
    weights = r.copy()
    weights[0] = step_um / 12  # the rule's error for an integrand r f(r), by Euler and Maclaurin
    k = np.linspace(0, cutoff_per_um, _OTF_SAMPLES + 1)
    return (weights * radial) @ j0(2 * np.pi * np.multiply.outer(k, r)).T


def _theoretical_deep_otf(optics: Optics) -> DeepOtf:
    cutoff, axial = optics.cutoff_per_um, optics.axial_cutoff_per_um
    step, dz = 1 / (_SAMPLES_PER_RESOLUTION * cutoff), 1 / (_PLANES_PER_AXIAL_RESOLUTION * axial)
    far = 2 * AXIAL_RADIUS_PERIODS / axial
    z = dz * np.arange(-math.floor(far / dz), math.floor(far / dz) + 1)
    r = step * np.arange(math.ceil(_RADIUS_RESOLUTIONS / cutoff / step) + 1)
    planes = _hankel(radial_intensity(optics, z, r, focus_of(optics)), step, cutoff)
    dkz = 1 / (2 * _AXIAL_OVERSAMPLING * far)
    kz = dkz * np.arange(math.ceil(axial / dkz) + 2)
    window = np.cos(np.pi / 2 * z / far) ** 2
    values = np.einsum("kz,zr->rk", np.exp(-2j * np.pi * np.multiply.outer(kz, z)) * window, planes)
    values = values / values[0, 0].real
    values[-1], values[:, kz > axial] = 0.0, 0.0
    return DeepOtf(values[None], cutoff / _OTF_SAMPLES, dkz, f"theory (stack, NA {optics.na:g}, {optics.wavelength_nm:g} nm)")


def _measured(otf: DeepOtf) -> DetectionOtf3d:
    """The detection with cutoffs measured on the OTFs; noise and the blur by the finite depth beyond them are set to 0."""
    size = np.abs(otf.values)
    cutoff = int(np.flatnonzero(size[0].max(1) > _OTF_THRESHOLD)[-1]) + 1
    rows = np.s_[math.ceil(_CONE_WIDTH_CUTOFFS * cutoff) : cutoff]
    ends = [int(np.flatnonzero(order[rows].max(0) > _OTF_THRESHOLD)[-1]) + 1 for order in size]
    values = np.where(size > _OTF_THRESHOLD, otf.values, 0)
    for order, end in zip(values, ends, strict=True):
        order[:, end:] = 0
    values /= np.array(THREE_BEAMS)[:, None, None] / np.array([1, 2, 2])[:, None, None]
    lens, wider = otf.dkz_per_um * ends[0], otf.dkz_per_um * max(ends[1] - ends[0], 0)
    return DetectionOtf3d(replace(otf, values=values), otf.dkr_per_um * cutoff, lens, beat_per_um=wider)
