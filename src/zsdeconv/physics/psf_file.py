"""PSFs from image files: beads as they were recorded, even or odd, off centre, on a background, at any pixel size."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from zsdeconv.errors import ImageError, OpticsError, UserError
from zsdeconv.image import Image
from zsdeconv.notation import AIRY_FWHM
from zsdeconv.physics.psf import Psf, check_spacing, check_values
from zsdeconv.physics.resample import core_offset, cropped, recentred

SIGNIFICANT = 3.0
"""A background below so many standard errors is not subtracted: a clean PSF passes unchanged."""
FILLED_FIELD = 0.05
"""When a slice's background exceeds that of the darkest plane by so much of its range, its spot fills the field."""


@dataclass(frozen=True, eq=False)
class MeasuredPsf:
    """A PSF file before it is mended: `values` as recorded (y x or z y x), `spacing_um`, `source`, and what was found.

    `background` is the constant under the PSF, `offset_px` the distance of its bright core from the middle of the array
    ((n - 1) / 2, between two samples where n is even), per axis.
    """

    values: np.ndarray
    spacing_um: tuple[float, ...]
    source: str
    background: float
    offset_px: tuple[float, ...]

    def mended(self) -> Psf:
        """The PSF at the file's own pixel size: background subtracted, centred, cropped to what exceeds the noise, sum 1.

        Noise keeps its sign where it goes below the background: clipping it would add a halo of light.
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
    """The PSF in an image file (TIFF, MRC), mended and brought to the grid `spacing_um` (None: the file's own).

    `pixel_um` and `z_um` overrule the pixel size in the file; `rank` is the image's; `central_slice` takes the plane in
    focus out of a stack; `background` overrules the estimate; `energy` is the share of the light to keep.

    Raises `OpticsError` when the file holds no usable PSF, `ImageError` when it cannot be read.

    >>> import tempfile, tifffile
    >>> path = tempfile.mkdtemp() + "/psf.tif"
    >>> tifffile.imwrite(path, np.outer(np.hanning(22), np.hanning(20)).astype("f4"))
    >>> read_psf(path, (0.05, 0.05), pixel_um=0.1).spacing_um
    (0.05, 0.05)
    """
    measured = measure_psf(path, pixel_um=pixel_um, z_um=z_um, rank=rank, central_slice=central_slice, background=background)
    psf = measured.mended()
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
    """Read a PSF file and find its background and centre, changing nothing yet.

    Arguments and errors as `read_psf`; with `rank` None the file may be either, a plane or a stack.
    """
    source = Path(path).name
    if pixel_um is not None:
        check_spacing((pixel_um,), 1, source)
    values, spacing_um = read_samples(path, pixel_um, z_um)
    check_values(np.abs(values), source)
    rank = values.ndim if rank is None else rank
    ceiling = np.inf
    if values.ndim == 3 and rank == 2:
        # The background is the camera's, the same in every plane: where the focused spot fills its field, others still show it.
        ceiling = min(clipped_mean(np.concatenate([plane[0], plane[-1], plane[:, 0], plane[:, -1]])) for plane in values)
        values, spacing_um = _focal_plane(values, central_slice, source), spacing_um[1:]
    if values.ndim != rank:
        raise OpticsError(
            f"PSF {source}: one plane {values.shape}, the image is 3-D, a stack: how light spreads in depth is not in it; "
            "give a PSF of several planes with --psf, or --na and --wavelength-nm"
        )
    if min(values.shape) < 3:
        raise OpticsError(f"PSF {source}: {values.shape} samples, at least 3 along each axis are needed; give another file with --psf")
    if np.ptp(values) == 0:
        raise OpticsError(f"PSF {source}: constant {values.flat[0]:.4g}, no spot is in it; give another file with --psf")
    if np.isnan(spacing_um[-2:]).any():
        raise OpticsError(f"PSF {source}: the file does not state its pixel size; give --psf-pixel-um")
    if np.isnan(spacing_um[0]):
        raise OpticsError(f"PSF {source}: the file does not state the step between its {len(values)} planes; give --psf-z-um")
    check_spacing(spacing_um, rank, source)
    level = background_of(values, ceiling) if background is None else float(background)
    signal = values - level
    if rank == 3:
        _check_focus(signal, source)
    middle = (np.array(values.shape) - 1) / 2
    offset = np.zeros(rank) if signal.max() <= 0 else recentred(signal, (1.0,) * rank)[1] - middle
    return MeasuredPsf(values, spacing_um, source, level, tuple(float(o) for o in offset))


def background_of(values: np.ndarray, ceiling: float = np.inf) -> float:
    """Background of a plane (not above that of the darkest plane of its stack, `ceiling`) or of a stack."""
    if values.ndim == 3:
        return _level_of_stack(values)
    level = border_background(values)
    return ceiling if level > ceiling + FILLED_FIELD * np.ptp(values) else level


def _level_of_stack(values: np.ndarray) -> float:
    """The background is the camera's, the same in every plane, but a defocused spot fills its field with light.

    So it is measured on the planes whose borders are as dark as the darkest one's (within four standard errors), less the
    tail that the border of a focal plane holds. That tail is known: of the light L of a focus of width w = wavelength / NA
    it is L w / (2 pi^3 r^3) at r. A fit that takes more away has met an uneven field.
    """
    borders = np.concatenate([values[:, 0], values[:, -1], values[:, :, 0], values[:, :, -1]], axis=1)
    levels = np.array([clipped_mean(border) for border in borders])
    darkest = int(levels.argmin())
    spread = 1.4826 * np.median(np.abs(borders[darkest] - np.median(borders[darkest])))
    dark = levels <= levels[darkest] + 4 * spread / np.sqrt(borders.shape[1])
    level = float(levels[dark].mean())
    sharp = values[int(values.max((1, 2)).argmax())] - level
    width = 2 * np.sqrt((sharp > 0.5 * sharp.max()).sum() / np.pi) / AIRY_FWHM
    tail = max(sharp.sum(), 0.0) * width / (2 * np.pi**3 * (min(sharp.shape) / 2) ** 3)
    return float(np.clip(border_background(values[dark].mean(0)), level - 3 * tail, level))


def _check_focus(signal: np.ndarray, source: str) -> None:
    """Raise `OpticsError` unless a stack is brightest in the middle of something: below half of that on either side."""
    from scipy.ndimage import uniform_filter1d

    peaks = uniform_filter1d(uniform_filter1d(signal, 3, axis=1), 3, axis=2).max(axis=(1, 2))
    brightest = int(peaks.argmax())
    below = peaks < 0.5 * peaks[brightest]
    if peaks[brightest] > 0 and not (below[:brightest].any() and below[brightest:].any()):
        raise OpticsError(
            f"PSF {source}: brightest in plane {brightest + 1} of {len(peaks)} and not below half of that on both sides, so its focus is "
            "cut off and its centre unknown; give a stack with planes on both sides of the focus, or --na and --wavelength-nm"
        )


def border_background(values: np.ndarray) -> float:
    """The constant level under a PSF, from the outer part of the array.

    The outer samples hold background and the PSF's own tail, and a mean of the border would take both away. The tail of
    any hard-edged pupil falls as r^-3, so the clipped means of rings (no other beads) are fitted with
    `background + a r^-3`. Zero when not significant, or negative although no sample is.

    >>> y, x = np.mgrid[-20:21, -20:21]
    >>> round(border_background(100 + 900 * np.exp(-(x**2 + y**2) / 18)), 1)
    100.0
    """
    above = values - np.median(values)
    if above.max() <= 0:  # no spot at all, as in a plane that a clean PSF does not reach
        return float(np.median(values))
    centre = np.array(values.shape) // 2 + core_offset(above)
    grids = np.meshgrid(*(np.arange(n) - c for n, c in zip(values.shape, centre, strict=True)), indexing="ij", sparse=True)
    r = np.sqrt(sum(g**2 for g in grids))
    ring = np.round(r).astype(int).ravel()
    counts = np.bincount(ring)
    rings = [k for k in np.flatnonzero(counts >= 4) if k >= 0.3 * min(values.shape)]
    if len(rings) < 4:
        return 0.0
    flat = values.ravel()
    level = np.array([clipped_mean(flat[ring == k]) for k in rings])
    return _fitted_level(np.array(rings, float), level, np.sqrt(counts[rings]), bool(values.min() >= 0))


def _fitted_level(r: np.ndarray, level: np.ndarray, weight: np.ndarray, never_negative: bool) -> float:
    """Background of `level(r) = background + a r^-3`, or 0 where it means nothing."""
    design = np.stack([np.ones_like(r), (r / r.max()) ** -3.0], 1) * weight[:, None]
    solution, *_ = np.linalg.lstsq(design, level * weight, rcond=None)
    residual = level * weight - design @ solution
    variance = (residual**2).sum() / (len(r) - 2)
    error = np.sqrt(variance * np.linalg.inv(design.T @ design)[0, 0])
    background = float(solution[0])
    if abs(background) <= SIGNIFICANT * error or (background < 0 and never_negative):
        return 0.0
    return background


def _significant_halves(signal: np.ndarray) -> list[int]:
    """Half widths of the centred box that ends where three shells in a row cannot be told from noise (3 standard errors).

    Going outwards and stopping there, a neighbouring bead or an uneven background further out does not count as light.
    In a stack the box is found in y and x on the sum over z, and then in z on what the box holds of each plane.
    """
    if signal.ndim == 3:
        lateral_factors = _significant_halves(signal.sum(0))
        light = cropped(signal, [len(signal) // 2, *lateral_factors]).sum((1, 2))
        return [*_significant_halves(light), *lateral_factors]
    middle = np.array(signal.shape) // 2
    grids = np.meshgrid(*(np.abs(np.arange(n) - m) for n, m in zip(signal.shape, middle, strict=True)), indexing="ij", sparse=True)
    shell = np.maximum.reduce(np.broadcast_arrays(*grids))
    far = signal[shell > 0.6 * shell.max()]
    sigma = 1.4826 * np.median(np.abs(far - np.median(far)))
    count = np.bincount(shell.ravel())
    dim = np.bincount(shell.ravel(), signal.ravel()) <= 3 * sigma * np.sqrt(count)
    ends = np.flatnonzero(dim[:-2] & dim[1:-1] & dim[2:])
    reach = max(int(ends[0]), 1) if len(ends) else int(shell.max())
    return [min(reach, int(m)) for m in middle]


def clipped_mean(samples: np.ndarray) -> float:
    """Mean of the samples near their median: without other beads, and unlike the median not biased by skewed photon noise."""
    distance = np.abs(samples - np.median(samples))
    limit = 4 * 1.4826 * np.median(distance) or 3 * samples.std()
    return float(samples[distance <= limit].mean())


def read_samples(path: str | Path, pixel_um: float | None, z_um: float | None) -> tuple[np.ndarray, tuple[float, ...]]:
    """Samples (axes of length 1 removed) and pixel size (NaN where unknown) of an image file."""
    path = Path(path)
    image = _image(path, pixel_um, z_um)
    values = np.squeeze(np.asarray(image.data))
    if np.iscomplexobj(values):
        raise OpticsError(f"PSF {path.name}: complex values are an OTF; give it with --otf")
    if values.ndim not in (2, 3):
        raise OpticsError(f"PSF {path.name}: {values.ndim}-D {values.shape}, a PSF has 2 or 3 dimensions; give a single PSF with --psf")
    return values.astype(np.float64), tuple(image.spacing_um.get(a, np.nan) for a in "ZYX"[-values.ndim :])


def _image(path: Path, pixel_um: float | None, z_um: float | None) -> Image:
    """The file as an image; planes that it does not name are depths, as they are in any PSF."""
    from zsdeconv.io import read

    try:
        return read(path, pixel_um=pixel_um, z_um=z_um)
    except ImageError as error:
        try:
            return read(path, axes="ZYX", pixel_um=pixel_um, z_um=z_um)
        except UserError:
            raise error from None


def _focal_plane(stack: np.ndarray, wanted: bool, source: str) -> np.ndarray:
    """The plane that holds the brightest (smoothed) sample of a stack: the one in focus, wherever it lies."""
    from scipy.ndimage import uniform_filter1d

    plane = int(uniform_filter1d(uniform_filter1d(stack, 3, axis=1), 3, axis=2).max(axis=(1, 2)).argmax())
    if not wanted:
        raise OpticsError(
            f"PSF {source}: a stack of {len(stack)} planes {stack.shape[1:]}, the image is 2-D; "
            f"save its focal plane (number {plane + 1}) as a file of its own for --psf, or pass central_slice=True in Python"
        )
    return stack[plane]
