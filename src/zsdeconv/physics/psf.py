"""`Psf`: a point spread function from any source, centred and normalised."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from zsdeconv.errors import OpticsError
from zsdeconv.physics.resample import core_offset, cropped, half_widths_for_energy, recentred

MAX_CENTRING_ERROR_PX = 0.1
"""Largest distance of the core from the central sample. Chosen: a shift of the restored image by this is invisible."""
MAX_STEP_RATIO = 2.05
"""Largest pixel of a PSF, in pixels of the grid it is resampled to. Law: a PSF at the raw pixel suits a fine grid of half that pixel; the
5 % are for rounded pixel sizes in files."""

SHEARED_ENERGY = 0.999
"""Light of a PSF that is kept when its planes are shifted. Chosen: images differ by 0.03 % then, and the outermost planes lie far away."""
FOURIER_MARGIN_PX = 8
"""Zeros around a PSF in a Fourier shift, so that what rings about its ends does not come in at the other one. Chosen: they hold it."""


@dataclass(frozen=True, eq=False)
class Psf:
    """A point spread function: `values` (y x or z y x, float64, sum 1), `spacing_um` per axis, `source` in words.

    All sizes are odd, and the bright core (`core_offset`) lies on the central sample to 0.1 pixel. `H x = x * values` is a
    convolution: values[center + d] is the light of a point found at the displacement +d. Values may be slightly negative where
    the background of a measurement was subtracted; clipping them would add light.

    `shift_px` is not 0 for a PSF in the coordinates of a skewed stack (`sheared`): its planes are shifted along y by so much each. Its core
    is judged before.

    Raises `OpticsError` when one of these conditions fails; `Psf.from_array` centres and normalises any array that is not mostly
    negative.

    >>> Psf(np.full((1, 3), 1 / 3), (0.05, 0.05), "a row").rank
    2
    """

    values: np.ndarray
    spacing_um: tuple[float, ...]
    source: str
    shift_px: float = 0.0

    def __post_init__(self) -> None:
        values = np.array(self.values, np.float64)
        values.setflags(write=False)
        object.__setattr__(self, "values", values)
        object.__setattr__(self, "spacing_um", tuple(float(s) for s in self.spacing_um))
        check_values(values, self.source)
        check_spacing(self.spacing_um, values.ndim, self.source)
        if not all(n % 2 for n in values.shape):
            raise OpticsError(
                f"PSF {self.source}: shape {values.shape} has no central sample, sizes must be odd; use Psf.from_array, which centres it"
            )
        if abs(values.sum() - 1) > 1e-6:
            raise OpticsError(f"PSF {self.source}: sum {values.sum():.6g}, it must be 1; use Psf.from_array, which normalises it")
        offset = 0.0 if self.shift_px else np.abs(core_offset(values)).max()
        if offset > MAX_CENTRING_ERROR_PX:
            raise OpticsError(
                f"PSF {self.source}: core {offset:.2g} pixels off centre (limit {MAX_CENTRING_ERROR_PX}); "
                "use Psf.from_array, which centres it"
            )

    @classmethod
    def from_array(cls, values: np.ndarray, spacing_um: tuple[float, ...], source: str) -> Psf:
        """The PSF of arbitrary samples: centred to sub-pixel precision, resized to odd sizes, normalised; no background is subtracted.

        >>> Psf.from_array(np.outer(np.hanning(12), np.hanning(9)), (0.1, 0.1), "window").values.shape
        (11, 9)
        """
        values = np.asarray(values, np.float64)
        check_values(values, source)
        _check_sign(values, source)
        centred, _ = recentred(values, (1.0,) * values.ndim)
        return cls(_normalised(centred, source), spacing_um, source)

    @property
    def rank(self) -> int:
        """Number of spatial dimensions."""
        return self.values.ndim

    @property
    def radius_um(self) -> tuple[float, ...]:
        """Half the extent along each axis, from the central sample to the last."""
        return tuple(s * (n // 2) for s, n in zip(self.spacing_um, self.values.shape, strict=True))

    @cached_property
    def fingerprint(self) -> str:
        """Short SHA-256 of values and spacing, both rounded so that the last bit of the arithmetic of a machine does not change it."""
        digest = hashlib.sha256(repr((self.values.shape, [f"{s:.6g}" for s in self.spacing_um])).encode())
        digest.update(np.round(self.values / self.values.max(), 6).astype("<f4").tobytes())
        return digest.hexdigest()[:16]

    def require_rank(self, rank: int) -> Psf:
        """The PSF itself if it has `rank` dimensions; `OpticsError` otherwise."""
        if self.rank != rank:
            advice = "use its central_slice()" if self.rank > rank else "one plane does not contain the spread of light in depth"
            raise OpticsError(f"PSF {self.source}: {self.rank}-D, the image is {rank}-D; give a {rank}-D psf ({advice})")
        return self

    def central_slice(self) -> Psf:
        """The PSF in focus: the central plane of a stack, sum 1; in 2-D the PSF itself.

        >>> Psf.from_array(np.einsum("i,j,k", *[np.hanning(7)] * 3), (0.2, 0.1, 0.1), "stack").central_slice().spacing_um
        (0.1, 0.1)
        """
        if self.rank == 2:
            return self
        return Psf.from_array(self.values[len(self.values) // 2], self.spacing_um[1:], f"{self.source}, central slice")

    def thinned(self, steps: tuple[int, ...]) -> Psf:
        """Every `steps`-th sample along each axis, counted from the centre, sum 1: the PSF of a stack of every `steps`-th slice.

        Samples are picked, not averaged, since each slice is recorded independently of the distance to the next. A core that
        no longer lies on the central sample (to 0.1 of the new, larger pixel) is centred again.

        >>> Psf.from_array(np.einsum("i,j,k", *[np.hanning(9)] * 3), (0.2, 0.1, 0.1), "stack").thinned((2, 1, 1)).values.shape
        (5, 9, 9)
        """
        values = self.values[tuple(slice(n // 2 % s, None, s) for n, s in zip(self.values.shape, steps, strict=True))]
        spacing_um = tuple(um * s for um, s in zip(self.spacing_um, steps, strict=True))
        if np.abs(core_offset(values)).max() > MAX_CENTRING_ERROR_PX:
            return Psf.from_array(values, spacing_um, self.source)
        return Psf(_normalised(values, self.source), spacing_um, self.source)

    def resampled(self, spacing_um: tuple[float, ...], energy: float = 0.999) -> Psf:
        """The same PSF on a grid of `spacing_um`: interpolated by a quintic spline, centred, cropped, sum 1.

        The result is cropped to the smallest box that holds the fraction `energy` of the light; 1 keeps everything.
        Raises `OpticsError` when this PSF is sampled more than twice as coarsely as the grid.

        >>> Psf.from_array(np.outer(np.hanning(21), np.hanning(21)), (0.1, 0.1), "window").resampled((0.05, 0.05)).spacing_um
        (0.05, 0.05)
        """
        check_spacing(spacing_um, self.rank, self.source)
        step = [new / own for new, own in zip(spacing_um, self.spacing_um, strict=True)]
        axis = int(np.argmin(step))
        if step[axis] * MAX_STEP_RATIO < 1:
            what, argument = ("pixel", "psf_pixel_um") if axis >= self.rank - 2 else ("plane spacing", "psf_z_um")
            raise OpticsError(
                f"PSF {self.source}: {what} {self.spacing_um[axis]:g} um, the limit is twice the image's {spacing_um[axis]:g} um; "
                f"give a finer PSF, correct {argument}, or give na and wavelength_nm instead"
            )
        values, _ = recentred(self.values, step)
        if energy < 1:
            values = cropped(values, half_widths_for_energy(values, energy))
        return Psf(_normalised(values, self.source), spacing_um, self.source)

    def sheared(self, shift_px: float, energy: float = SHEARED_ENERGY) -> Psf:
        """The PSF of a stack whose planes are shifted along y: `p(k, y, x) = P(k dz, y + k shift_px, x)`.

        It is what a convolution in the coordinates (plane, y, x) of such a stack has to use, where plane k shows the sample `k shift_px`
        pixels farther along y than the camera. Each plane is shifted by a Fourier shift, which is exact where the pixels sample the PSF.
        The result is cropped to the smallest box that holds the fraction `energy` of the light; 1 keeps everything.

        >>> psf = Psf.from_array(np.einsum("i,j,k", *[np.hanning(9)] * 3), (0.2, 0.1, 0.1), "stack").sheared(2.0, energy=1)
        >>> psf.values.shape, [int(plane.sum(1).argmax()) - 12 for plane in psf.values[2:7]]
        ((9, 25, 9), [4, 2, 0, -2, -4])
        """
        values = _shifted(self.values, shift_px)
        if energy < 1:
            values = cropped(values, half_widths_for_energy(values, energy))
        return Psf(_normalised(values, self.source), self.spacing_um, self.source, shift_px)

    @property
    def upright(self) -> Psf:
        """The PSF before its planes were shifted, in the directions of camera and detection axis; itself where they were not.

        >>> psf = Psf.from_array(np.einsum("i,j,k", *[np.hanning(9)] * 3), (0.2, 0.1, 0.1), "stack")
        >>> back = psf.sheared(1.3, energy=1).upright.values
        >>> bool(np.abs(cropped(back, [4, 4, 4]) - psf.values).max() < 1e-3 * psf.values.max())
        True
        """
        if not self.shift_px:
            return self
        return Psf.from_array(_shifted(self.values, -self.shift_px), self.spacing_um, self.source)


def _shifted(values: np.ndarray, shift_px: float) -> np.ndarray:
    """Planes k shifted along y by `-k shift_px`, counted from the central one, by a Fourier shift."""
    half, rows = len(values) // 2, values.shape[1]
    spare = int(np.ceil(abs(shift_px) * half)) + FOURIER_MARGIN_PX
    padded = np.pad(values, [(0, 0), (spare, spare), (0, 0)])
    size = rows + 2 * spare
    phase = np.exp(2j * np.pi * shift_px * np.multiply.outer(np.arange(-half, half + 1), np.fft.rfftfreq(size)))
    moved = np.fft.irfft(np.fft.rfft(padded, axis=1) * phase[:, :, None], size, axis=1)
    return moved[:, FOURIER_MARGIN_PX : size - FOURIER_MARGIN_PX]


def fit_to_image(psf: Psf, zyx_shape: tuple[int, ...], limit: float = 0.02) -> Psf:
    """`psf`, cropped where it is larger than an image of `zyx_shape` (or y x) on the same grid.

    Along z only those planes are removed that lie farther from the focus than any two slices of the stack lie apart: they
    contribute nothing, so five slices can be restored with a PSF of fifty planes; and along y the same of a sheared PSF, whose outer planes
    lie far from the core. Else the PSF must fit into the image along y and x.
    Raises `OpticsError` when cropping in the plane would lose more than the fraction `limit` of the light.

    >>> fit_to_image(Psf.from_array(np.outer(np.hanning(9), np.hanning(9)), (0.1, 0.1), "window"), (100, 8)).values.shape
    (9, 7)
    """
    psf.require_rank(len(zyx_shape))
    free = psf.rank - (1 if psf.shift_px else 2)  # the axes, z and of a sheared PSF y, along which light leaves the image
    near = cropped(psf.values, [n - 1 for n in zyx_shape[:free]] + [n // 2 for n in psf.values.shape[free:]])
    kept = cropped(near, [n // 2 for n in near.shape[:free]] + [(n - 1) // 2 for n in zyx_shape[free:]])
    if kept.shape == psf.values.shape:
        return psf
    lost = 1 - kept.sum() / near.sum()
    if lost > limit:
        advice = "give a larger image, or a larger part of it" + ("" if psf.source.startswith("theory") else ", or a smaller psf")
        raise OpticsError(
            f"PSF {psf.source}: {_size(psf.values.shape)} pixels are more than the {_size(zyx_shape)} of the result, and cropping would "
            f"lose {100 * lost:.1f} % of its light (limit {100 * limit:g} %); {advice}"
        )
    return Psf(_normalised(kept, psf.source), psf.spacing_um, psf.source, psf.shift_px)


def check_values(values: np.ndarray, source: str) -> None:
    """Raise `OpticsError` for samples that cannot be a PSF: not finite, or all zero."""
    finite = np.isfinite(values)
    if values.size == 0 or not finite.any():
        raise OpticsError(f"PSF {source}: not one finite value among {values.size}; give another psf, or give na and wavelength_nm")
    if not finite.all():
        raise OpticsError(f"PSF {source}: {(~finite).sum()} of {values.size} values are NaN or infinite, none may be; give a repaired psf")
    if not values.any():
        raise OpticsError(f"PSF {source}: all {values.size} values are zero; give another psf, or give na and wavelength_nm")


def _check_sign(values: np.ndarray, source: str) -> None:
    """Raise `OpticsError` for measured samples that are mostly negative, as where too much background was subtracted.

    A PSF that was computed may be so: that of a reconstruction of fringes in a single direction is.
    """
    negative, positive = -values[values < 0].sum(), values[values > 0].sum()
    if negative > 0.5 * positive:
        raise OpticsError(
            f"PSF {source}: negative values sum to {-negative:.4g} against {positive:.4g} positive (limit: half); "
            "give a psf that is brighter than its surroundings"
        )


def check_spacing(spacing_um: tuple[float, ...], rank: int, source: str) -> None:
    """Raise `OpticsError` unless `spacing_um` has `rank` plausible pixel sizes."""
    if len(spacing_um) != rank:
        raise OpticsError(f"PSF {source}: {len(spacing_um)} pixel sizes for {rank} dimensions; give an image and a PSF of the same rank")
    for um in spacing_um:
        if not np.isfinite(um) or not 1e-3 <= um <= 10:
            raise OpticsError(
                f"PSF {source}: pixel size {um:g} um, it must lie between 0.001 and 10 um; give psf_pixel_um (in micrometres)"
            )


def _normalised(values: np.ndarray, source: str) -> np.ndarray:
    check_values(values, source)
    return values / values.sum()


def _size(shape: tuple[int, ...]) -> str:
    return " x ".join(map(str, shape))
