"""PSFs from image files: beads as recorded, of even or odd size, off centre, on a background, at any pixel size."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from zsdeconv.errors import ImageError, OpticsError, UserError
from zsdeconv.image import Image
from zsdeconv.notation import AIRY_FWHM_WAVELENGTHS, SIGMA_PER_MAD
from zsdeconv.physics.psf import Psf, check_spacing, check_values
from zsdeconv.physics.resample import core_offset, cropped, recentred

MIN_BACKGROUND_SIGMAS = 3.0
"""Background, in standard errors, above which it is subtracted. Chosen: the usual 3 sigma; a PSF without background stays unchanged."""
MIN_FAR_SAMPLES = 8
"""Samples far from the core from which the noise of a PSF is measured. Chosen: the middle of fewer is no measure of their scatter, as in
the few planes of a light sheet."""
MAX_BACKGROUND_EXCESS = 0.05
"""Excess of the background of a slice over that of the darkest plane, as a fraction of its range, above which the spot fills the field.
Chosen: above the noise of the estimate."""


@dataclass(frozen=True, eq=False)
class MeasuredPsf:
    """A PSF as recorded: `values` (y x or z y x), `spacing_um`, `source`, and the measured background and offset.

    `background` is the constant under the PSF, `offset_px` the displacement of its bright core from the centre of the array
    ((n - 1) / 2, between two samples where n is even) along each axis.
    """

    values: np.ndarray
    spacing_um: tuple[float, ...]
    source: str
    background: float
    offset_px: tuple[float, ...]

    def to_psf(self) -> Psf:
        """The PSF at the pixel size of the file: background subtracted, centred, cropped where it falls below the noise, sum 1.

        Negative values that the noise leaves are kept: clipping them would add a halo of light.
        """
        signal = self.values - self.background
        centred, _ = recentred(signal, (1.0,) * signal.ndim)
        return Psf.from_array(cropped(centred, _significant_halves(centred)), self.spacing_um, self.source)


def read_psf(
    path: str | Path,
    spacing_um: tuple[float, ...] | None = None,
    *,
    pixel_um: float | None = None,
    z_um: float | None = None,
    rank: int = 2,
    central_slice: bool = False,
    background: float | None = None,
    energy: float = 0.999,
) -> Psf:
    """The PSF in an image file (TIFF, MRC), corrected (`MeasuredPsf.to_psf`) and resampled.

    Parameters
    ----------
    path
        Path of the file.
    spacing_um
        Grid of the result, by default that of the file.
    pixel_um, z_um
        Pixel size and step in z of the file; they overrule its metadata.
    rank
        Number of dimensions of the PSF, that of the image to restore.
    central_slice
        Whether to take the plane in focus out of a stack when `rank` is 2.
    background
        Constant to subtract, estimated by default.
    energy
        Fraction of the light to keep when resampling.

    Raises
    ------
    OpticsError
        When the file holds no usable PSF.
    ImageError
        When it cannot be read.

    Examples
    --------
    >>> import tempfile, tifffile
    >>> path = tempfile.mkdtemp() + "/psf.tif"
    >>> tifffile.imwrite(path, np.outer(np.hanning(22), np.hanning(20)).astype("f4"))
    >>> read_psf(path, (0.05, 0.05), pixel_um=0.1).spacing_um
    (0.05, 0.05)
    """
    measured = measure_psf(path, pixel_um=pixel_um, z_um=z_um, rank=rank, central_slice=central_slice, background=background)
    psf = measured.to_psf()
    return psf if spacing_um is None else psf.resampled(spacing_um, energy)


def measure_psf(
    path: str | Path,
    *,
    pixel_um: float | None = None,
    z_um: float | None = None,
    rank: int | None = 2,
    central_slice: bool = False,
    background: float | None = None,
) -> MeasuredPsf:
    """Read a PSF file and measure its background and centre, leaving the values as recorded.

    Parameters
    ----------
    path
        Path of the file.
    pixel_um, z_um
        Pixel size and step in z of the file; they overrule its metadata.
    rank
        2 or 3; None accepts a plane and a stack.
    central_slice
        Whether to take the plane in focus out of a stack when `rank` is 2.
    background
        Constant to subtract later, estimated by default.

    Raises
    ------
    OpticsError
        When the file holds no usable PSF.
    ImageError
        When it cannot be read.
    """
    source = Path(path).name
    if pixel_um is not None:
        check_spacing((pixel_um,), 1, source)
    values, spacing_um = read_samples(path, pixel_um, z_um)
    check_values(np.abs(values), source)
    rank = values.ndim if rank is None else rank
    ceiling = np.inf
    if values.ndim == 3 and rank == 2:
        # The background is that of the camera and the same in every plane, so other planes show it where the focused spot fills the field.
        ceiling = min(clipped_mean(np.concatenate([plane[0], plane[-1], plane[:, 0], plane[:, -1]])) for plane in values)
        values, spacing_um = _focal_plane(values, central_slice, source), spacing_um[1:]
    if values.ndim != rank:
        raise OpticsError(
            f"PSF {source}: one plane {values.shape}, which does not contain the spread of light in depth, the image is 3-D; "
            "give a psf of several planes, or give na and wavelength_nm"
        )
    if min(values.shape) < 3:
        raise OpticsError(f"PSF {source}: {values.shape} samples, at least 3 along each axis are needed; give another psf")
    if np.ptp(values) == 0:
        raise OpticsError(f"PSF {source}: constant {values.flat[0]:.4g}, it must contain a spot; give another psf")
    if np.isnan(spacing_um[-2:]).any():
        raise OpticsError(f"PSF {source}: the file does not state its pixel size; give psf_pixel_um")
    if np.isnan(spacing_um[0]):
        raise OpticsError(f"PSF {source}: the file does not state the step between its {len(values)} planes; give psf_z_um")
    check_spacing(spacing_um, rank, source)
    background = 0.0 if background is None and _is_without_background(path) else background
    level = background_of(values, ceiling) if background is None else float(background)
    signal = values - level
    if rank == 3:
        _check_focus(signal, source)
    center = (np.array(values.shape) - 1) / 2
    offset = np.zeros(rank) if signal.max() <= 0 else recentred(signal, (1.0,) * rank)[1] - center
    return MeasuredPsf(values, spacing_um, source, level, tuple(float(o) for o in offset))


def _is_without_background(path: str | Path) -> bool:
    """Whether `psf make` or `psf measure` wrote the file: then no constant is in it, whatever the tail of the PSF looks like."""
    from zsdeconv.io import read_provenance

    return read_provenance(path).keys() >= {"psf", "fingerprint"}


def background_of(values: np.ndarray, ceiling: float = np.inf) -> float:
    """Background of a stack, or of a plane; `ceiling` is the background of the darkest plane of the stack that the plane is part of."""
    if values.ndim == 3:
        return _level_of_stack(values)
    level = border_background(values)
    return ceiling if level > ceiling + MAX_BACKGROUND_EXCESS * np.ptp(values) else level


def _level_of_stack(values: np.ndarray) -> float:
    """Background of a stack, which is that of the camera and the same in every plane; defocused light is excluded.

    It is measured on the planes whose borders are as dark as those of the darkest plane (within four standard errors), less the
    tail of the PSF at the border. In the focal plane this tail is L w / (2 pi^3 r^3) at r, for the light L and the width
    w = wavelength / NA of the focus. A fit that subtracts more than three times that is due to an uneven background. The darkest of
    several planes without light lies below zero by its noise, which is no background.
    """
    borders = np.concatenate([values[:, 0], values[:, -1], values[:, :, 0], values[:, :, -1]], axis=1)
    levels = np.array([clipped_mean(border) for border in borders])
    darkest = int(levels.argmin())
    sigma = SIGMA_PER_MAD * np.median(np.abs(borders[darkest] - np.median(borders[darkest])))
    error = sigma / np.sqrt(borders.shape[1])
    darkest_planes = levels <= levels[darkest] + 4 * error
    level = float(levels[darkest_planes].mean())
    sharp = values[int(values.max((1, 2)).argmax())] - level
    width = 2 * np.sqrt((sharp > 0.5 * sharp.max()).sum() / np.pi) / AIRY_FWHM_WAVELENGTHS
    tail = max(sharp.sum(), 0.0) * width / (2 * np.pi**3 * (min(sharp.shape) / 2) ** 3)
    highest = 0.0 if -4 * error <= level < 0 else level
    return float(np.clip(border_background(values[darkest_planes].mean(0)), level - 3 * tail, highest))


def _check_focus(signal: np.ndarray, source: str) -> None:
    """Raise `OpticsError` unless the peak of the planes falls below half its maximum on both sides of the brightest plane."""
    from scipy.ndimage import uniform_filter1d

    peaks = uniform_filter1d(uniform_filter1d(signal, 3, axis=1), 3, axis=2).max(axis=(1, 2))
    brightest = int(peaks.argmax())
    below = peaks < 0.5 * peaks[brightest]
    if peaks[brightest] > 0 and not (below[:brightest].any() and below[brightest:].any()):
        raise OpticsError(
            f"PSF {source}: brightest in plane {brightest + 1} of {len(peaks)} and not below half of that on both sides, so its focus is "
            "cut off and its centre unknown; give a stack with planes on both sides of the focus, or give na and wavelength_nm"
        )


def border_background(values: np.ndarray) -> float:
    """The constant level under a PSF, from the outer part of the array.

    The outer samples contain the background and the tail of the PSF, so their mean would be too large. The tail of any
    hard-edged pupil falls as r^-3; therefore `background + a r^-3` is fitted to the means of rings, clipped to exclude other
    beads. The result is zero when it is not significant, or negative although the outer rings are not: close to its core a PSF falls
    faster than r^-3, and a PSF from which the background is subtracted already must stay as it is.

    >>> y, x = np.mgrid[-20:21, -20:21]
    >>> round(border_background(100 + 900 * np.exp(-(x**2 + y**2) / 18)), 1)
    100.0
    """
    signal = values - np.median(values)
    if signal.max() <= 0:  # no spot, as in the outermost planes of a PSF without noise
        return float(np.median(values))
    centre = np.array(values.shape) // 2 + core_offset(signal)
    grids = np.meshgrid(*(np.arange(n) - c for n, c in zip(values.shape, centre, strict=True)), indexing="ij", sparse=True)
    r = np.sqrt(sum(g**2 for g in grids))
    ring = np.round(r).astype(int).ravel()
    counts = np.bincount(ring)
    rings = [k for k in np.flatnonzero(counts >= 4) if k >= 0.3 * min(values.shape)]
    if len(rings) < 4:
        return 0.0
    flat = values.ravel()
    level = np.array([clipped_mean(flat[ring == k]) for k in rings])
    error = np.array([flat[ring == k].std() for k in rings]) / np.sqrt(counts[rings])
    outer = slice(len(rings) // 2, None)
    below_zero = bool((level[outer] < -MIN_BACKGROUND_SIGMAS * error[outer]).all())
    return _fitted_level(np.array(rings, float), level, np.sqrt(counts[rings]), below_zero)


def _fitted_level(r: np.ndarray, level: np.ndarray, weight: np.ndarray, below_zero: bool) -> float:
    """Background of a weighted fit of `level = background + a r^-3`, or 0 when it is not significant, or negative unless `below_zero`."""
    design = np.stack([np.ones_like(r), (r / r.max()) ** -3.0], 1) * weight[:, None]
    solution, *_ = np.linalg.lstsq(design, level * weight, rcond=None)
    residual = level * weight - design @ solution
    variance = (residual**2).sum() / (len(r) - 2)
    error = np.sqrt(variance * np.linalg.inv(design.T @ design)[0, 0])
    background = float(solution[0])
    if abs(background) <= MIN_BACKGROUND_SIGMAS * error or (background < 0 and not below_zero):
        return 0.0
    return background


def _significant_halves(signal: np.ndarray) -> list[int]:
    """Half widths of the centred box outside which three successive shells are no more than noise (3 standard errors).

    The search goes outwards and stops there, so a neighbouring bead or an uneven background farther out is not included.
    In a stack the box is found in y and x on the sum over z, and then in z on the sum of each plane over this box.
    """
    if signal.ndim == 3:
        lateral_halves = _significant_halves(signal.sum(0))
        light = cropped(signal, [len(signal) // 2, *lateral_halves]).sum((1, 2))
        return [*_significant_halves(light), *lateral_halves]
    center = np.array(signal.shape) // 2
    grids = np.meshgrid(*(np.abs(np.arange(n) - c) for n, c in zip(signal.shape, center, strict=True)), indexing="ij", sparse=True)
    shell = np.maximum.reduce(np.broadcast_arrays(*grids))
    far = signal[shell > 0.6 * shell.max()]
    if len(far) < MIN_FAR_SAMPLES:
        return [int(c) for c in center]
    sigma = SIGMA_PER_MAD * np.median(np.abs(far - np.median(far)))
    count = np.bincount(shell.ravel())
    insignificant = np.bincount(shell.ravel(), signal.ravel()) <= 3 * sigma * np.sqrt(count)
    ends = np.flatnonzero(insignificant[:-2] & insignificant[1:-1] & insignificant[2:])
    half = max(int(ends[0]), 1) if len(ends) else int(shell.max())
    return [min(half, int(c)) for c in center]


def clipped_mean(samples: np.ndarray) -> float:
    """Mean of the samples within four standard deviations of their median: it excludes other beads, and unlike the median is unbiased."""
    distance = np.abs(samples - np.median(samples))
    limit = 4 * SIGMA_PER_MAD * np.median(distance) or 3 * samples.std()
    return float(samples[distance <= limit].mean())


def read_samples(path: str | Path, pixel_um: float | None, z_um: float | None) -> tuple[np.ndarray, tuple[float, ...]]:
    """Samples (axes of length 1 removed) and pixel sizes (NaN where unknown) of an image file."""
    path = Path(path)
    image = _image(path, pixel_um, z_um)
    values = np.squeeze(np.asarray(image.data))
    if np.iscomplexobj(values):
        raise OpticsError(f"PSF {path.name}: complex values are an OTF; give it as otf")
    if values.ndim not in (2, 3):
        raise OpticsError(f"PSF {path.name}: {values.ndim}-D {values.shape}, a PSF has 2 or 3 dimensions; give a single psf")
    return values.astype(np.float64), tuple(image.spacing_um.get(a, np.nan) for a in "ZYX"[-values.ndim :])


def _image(path: Path, pixel_um: float | None, z_um: float | None) -> Image:
    """The file as an image; unnamed planes are taken as z, since a PSF has no other."""
    from zsdeconv.io import read

    try:
        return read(path, pixel_um=pixel_um, z_um=z_um)
    except ImageError as error:
        try:
            return read(path, axes="ZYX", pixel_um=pixel_um, z_um=z_um)
        except UserError:
            raise error from None


def _focal_plane(stack: np.ndarray, allowed: bool, source: str) -> np.ndarray:
    """The plane with the brightest (smoothed) sample of a stack, which is the one in focus; `OpticsError` unless `allowed`."""
    from scipy.ndimage import uniform_filter1d

    plane = int(uniform_filter1d(uniform_filter1d(stack, 3, axis=1), 3, axis=2).max(axis=(1, 2)).argmax())
    if not allowed:
        raise OpticsError(
            f"PSF {source}: a stack of {len(stack)} planes {stack.shape[1:]}, the image is 2-D; "
            f"save its focal plane (number {plane + 1}) as a file and give that as psf, or pass central_slice=True in Python"
        )
    return stack[plane]
