"""The PSF of a microscope from an image of sub-resolution beads: detection, rejection, alignment, average."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from zsdeconv.errors import OpticsError
from zsdeconv.notation import FWHM_PER_SIGMA
from zsdeconv.physics.psf import Psf, check_spacing, check_values
from zsdeconv.physics.psf_file import MeasuredPsf, background_of, clipped_mean, read_samples
from zsdeconv.physics.resample import Interpolant

MIN_PEAK_SIGMAS = 6.0
"""Height of the smallest peak that counts as a bead, in standard deviations of the noise. Chosen: among 10^6 pixels of Gaussian noise the
highest lies near 5 standard deviations."""
MIN_PEAK_FRACTION = 0.1
"""Height of the smallest peak that counts as a bead, as a fraction of the brightest one. Chosen: a dimmer peak adds
little to the average, and as a neighbour at most a tenth to a bead."""
BOX_HALF_WIDTH_FWHM = 2.5
"""Half width of the averaged box, in full widths at half maximum of a bead. Chosen: the first two dark rings of the Airy
pattern lie inside."""
FIT_HALF_WIDTH_FWHM = 1.5
"""Half width of the window of the Gaussian fit, and least distance from the border of the image, in full widths of a bead. Chosen: the
Gaussian has fallen below 0.2 % of its height there."""
MIN_SEPARATION_FWHM = BOX_HALF_WIDTH_FWHM + 0.5
"""Least separation of two beads along at least one axis, in full widths of a bead. Chosen: the averaged box and half a width of
the neighbour."""
MAX_WIDTH_RATIO = 1.4
"""Largest ratio between the width of a bead and the median width, along any axis. Chosen: two beads one width apart
look about twice as wide along one axis."""
PASSBAND_CYCLES_PER_FWHM = 1.5
"""Highest frequency kept in the average, in cycles per full width. Law: the OTF of a wide-field microscope ends at 1.03 (0.5145 x 2), that
of a confocal one at 1.45."""
MAX_BEADS = 200
"""Number of beads, brightest first, that are fitted and averaged. Chosen: more beads cost time and lower the noise of the mean little."""


@dataclass(frozen=True, eq=False)
class Beads:
    """Result of a bead measurement: `psf`, `fwhm_um` per axis (of a Gaussian fitted to the average), and counts.

    `found` is the number of local maxima, `used` the number averaged, `rejected` the others by reason ("border", "saturated",
    "overlapping", "unlike": a width unlike the median width). `centres_px` are the positions (n, rank) of the beads used.
    """

    psf: Psf
    fwhm_um: tuple[float, ...]
    found: int
    used: int
    rejected: dict[str, int]
    centres_px: np.ndarray


@dataclass(frozen=True)
class _Fit:
    """A Gaussian on a constant: centre and width (sigma) per axis in pixels, height and constant level in ADU."""

    centre: np.ndarray
    sigma: np.ndarray
    height: float
    level: float


def read_beads(path: str | Path, *, pixel_um: float | None = None, z_um: float | None = None) -> Beads:
    """The PSF from an image file of beads, one plane or a stack; `pixel_um` and `z_um` overrule the pixel sizes in the file.

    Raises `ImageError` when the file cannot be read, `OpticsError` when it states no pixel size or holds no usable bead.
    """
    source = Path(path).name
    values, spacing_um = read_samples(path, pixel_um, z_um)
    if np.isnan(spacing_um).any():
        missing = "z_um" if np.isnan(spacing_um[0]) and not np.isnan(spacing_um[-1]) else "pixel_um"
        raise OpticsError(f"beads {source}: the file does not state its pixel size along every axis; give {missing}")
    return measure_beads(values, spacing_um, source)


def measure_beads(values: np.ndarray, spacing_um: tuple[float, ...], source: str) -> Beads:
    """The PSF in an image of beads (y x or z y x): the mean of all isolated beads, aligned to a fraction of a pixel.

    Beads are local maxima of the smoothed image. A Gaussian fit gives the centre of each. The background between the beads
    is subtracted plane by plane, and the beads are shifted by spline interpolation and summed, so that bright beads, which have
    relatively less noise, have more weight. Frequencies beyond the passband of any objective with the measured width are
    removed from the sum, which is then treated like every measured PSF. The recorded width is that of the PSF convolved with
    the bead: use beads smaller than half the resolution.

    Raises `OpticsError` when there is no bead, or when all are rejected; the message counts the reasons.

    >>> z, y, x = np.indices((25, 48, 52)) - np.array([12.3, 20.2, 25.7])[:, None, None, None]
    >>> image = 100 + 900 * np.exp(-(z**2 / 8 + (y**2 + x**2) / 6))
    >>> beads = measure_beads(image, (0.2, 0.1, 0.1), "one bead")
    >>> beads.used, [round(w, 2) for w in beads.fwhm_um]
    (1, [0.94, 0.41, 0.41])
    """
    check_values(np.abs(values), source)
    check_spacing(spacing_um, values.ndim, source)
    values = np.asarray(values, np.float64)
    if min(values.shape) < 5:
        raise OpticsError(f"beads {source}: {values.shape} samples, at least 5 along each axis are needed; give a larger image")
    saturation = _saturation_level(values)
    width, places = _candidates(values, source)
    fits, reasons = _usable_beads(values, places, width, saturation)
    rejected = Counter(reason for reason in reasons if reason)
    if not fits:
        counts = ", ".join(f"{n} {reason}" for reason, n in rejected.items())
        raise OpticsError(
            f"beads {source}: none of {len(places)} can be used ({counts}), at least 1 must be isolated, inside the field and below "
            "saturation; give an image with fewer beads on a larger field, or with less exposure"
        )
    average = _averaged(values - _background(values, places, width), fits)
    center = np.array(average.shape) // 2
    words = f"beads {source} ({len(fits)} of {len(places)})"
    psf = MeasuredPsf(average, spacing_um, words, background_of(average), (0.0,) * values.ndim).to_psf()
    typical = np.median([fit.sigma for fit in fits], axis=0)
    mean = _fitted(average, _Fit(center.astype(float), typical, float(average.max()), 0.0))
    fwhm = tuple(float(FWHM_PER_SIGMA * s * um) for s, um in zip(mean.sigma, spacing_um, strict=True))
    return Beads(psf, fwhm, len(places), len(fits), dict(rejected), np.array([fit.centre for fit in fits]))


def _saturation_level(values: np.ndarray) -> float:
    """The largest value, when more samples have exactly this value than lie within 5 % of the range below it; else infinity."""
    top = values.max()
    near = (values < top) & (values >= top - max(1.0, 0.05 * np.ptp(values)))
    count = int((values == top).sum())
    return float(top) if top == np.round(top) and count >= 4 and count > near.sum() else np.inf


def _candidates(values: np.ndarray, source: str) -> tuple[np.ndarray, np.ndarray]:
    """Full width of a bead per axis (pixels), and the positions (n, rank) of local maxima, brightest first."""
    from scipy import ndimage

    smooth = ndimage.gaussian_filter(values, [1.0] * (values.ndim - 2) + [1.5, 1.5])
    signal = smooth - np.median(smooth)
    noise, brightest = _noise(smooth), signal.max()
    if brightest <= MIN_PEAK_SIGMAS * noise:
        raise OpticsError(
            f"beads {source}: the brightest pixel is {brightest:.3g} ADU above the background, whose noise is {noise:.3g} "
            f"(limit: {MIN_PEAK_SIGMAS:g} times the noise), so there is no bead; give an image of brighter beads"
        )
    width = _half_width(signal, np.argwhere(signal == brightest)[0])
    size = np.maximum(3, 2 * np.round(0.75 * width).astype(int) + 1)
    bright = signal > max(MIN_PEAK_SIGMAS * noise, MIN_PEAK_FRACTION * brightest)
    places = np.argwhere((signal == ndimage.maximum_filter(signal, tuple(size))) & bright)
    places = places[np.argsort(-signal[tuple(places.T)], kind="stable")]
    # The brightest spot may be a clump of beads, so the width is the median over all spots.
    return np.median([_half_width(signal, place) for place in places[:MAX_BEADS]], axis=0), places


def _noise(smooth: np.ndarray) -> float:
    """Standard deviation of the background: the distance from the median to the 15.87 % quantile, which no bead affects."""
    low, median = np.quantile(smooth, [0.1587, 0.5])
    return float(max(median - low, 1e-12 * abs(median), np.finfo(float).tiny))


def _half_width(signal: np.ndarray, place: np.ndarray) -> np.ndarray:
    """Full width at half maximum of a spot per axis, in whole pixels, at least 2: twice its narrower half."""
    width = []
    for axis, at in enumerate(place):
        line = np.moveaxis(signal, axis, -1)[tuple(np.delete(place, axis))]
        low = np.flatnonzero(line < 0.5 * line[at])
        width.append(max(2.0, 2.0 * np.abs(low - at).min() - 1) if len(low) else float(len(line)))
    return np.array(width)


def _usable_beads(values: np.ndarray, places: np.ndarray, width: np.ndarray, saturation: float) -> tuple[list[_Fit], list[str]]:
    """Gaussian fits of the usable beads, and the reason for rejection at each of `places` ("" for usable ones)."""
    reasons = [_rejection(values, places, k, width, saturation) for k in range(len(places))]
    good = [k for k, reason in enumerate(reasons) if not reason][:MAX_BEADS]
    fits = [_fitted_at(values, places[k], width) for k in good]
    if fits:
        ratio = np.array([fit.sigma for fit in fits]) / np.median([fit.sigma for fit in fits], axis=0)
        for k, largest in zip(good, np.maximum(ratio, 1 / ratio).max(1), strict=True):
            reasons[k] = "unlike" if largest > MAX_WIDTH_RATIO else ""
    return [fit for k, fit in zip(good, fits, strict=True) if not reasons[k]], reasons


def _rejection(values: np.ndarray, places: np.ndarray, k: int, width: np.ndarray, saturation: float) -> str:
    """Reason to reject the bead at `places[k]` before any fit, "" when there is none."""
    place = places[k]
    margin = np.minimum(place, np.array(values.shape) - 1 - place)
    if (margin < FIT_HALF_WIDTH_FWHM * width).any():
        return "border"
    core = values[tuple(slice(int(p - w), int(p + w) + 1) for p, w in zip(place, width, strict=True))]
    if core.max() >= saturation:
        return "saturated"
    separation = np.abs(places - place) / width
    return "overlapping" if (separation.max(1) < MIN_SEPARATION_FWHM).sum() > 1 else ""


def _fitted_at(values: np.ndarray, place: np.ndarray, width: np.ndarray) -> _Fit:
    start = np.maximum(0, np.floor(place - FIT_HALF_WIDTH_FWHM * width)).astype(int)
    part = values[tuple(slice(a, int(p + FIT_HALF_WIDTH_FWHM * w) + 1) for a, p, w in zip(start, place, width, strict=True))]
    fit = _fitted(part, _Fit((place - start).astype(float), width / FWHM_PER_SIGMA, float(np.ptp(part)), float(np.median(part))))
    return _Fit(fit.centre + start, fit.sigma, fit.height, fit.level)


def _fitted(part: np.ndarray, guess: _Fit) -> _Fit:
    """Least-squares fit of a Gaussian, aligned with the image axes, on a constant.

    Only centre and width are searched for; at each of them the best height and level follow from linear regression.
    """
    from scipy.optimize import least_squares

    rank = part.ndim

    def model(p: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        lines = [np.exp(-(((np.arange(n) - c) / s) ** 2) / 2) for n, c, s in zip(part.shape, p[:rank], p[rank:], strict=True)]
        spot = lines[0]
        for line in lines[1:]:
            spot = np.multiply.outer(spot, line)
        centred = spot - spot.mean()
        height = (centred * part).sum() / (centred**2).sum()
        return spot, np.array([height, part.mean() - height * spot.mean()])

    def residual(p: np.ndarray) -> np.ndarray:
        spot, (height, level) = model(p)
        return (height * spot + level - part).ravel()

    start = np.concatenate([guess.centre, guess.sigma])
    margin = np.concatenate([1.5 * guess.sigma, 0.7 * guess.sigma])
    result = least_squares(
        residual, start, bounds=(start - margin, start + np.concatenate([margin[:rank], 2 * guess.sigma])), x_scale=start[rank:].min()
    )
    _, (height, level) = model(result.x)
    return _Fit(result.x[:rank], result.x[rank:], float(height), float(level))


def _background(values: np.ndarray, places: np.ndarray, width: np.ndarray) -> np.ndarray:
    """Level between the beads in each plane (z 1 1, or one number): the camera offset and haze that varies with depth."""
    yx = np.indices(values.shape[-2:])
    free = np.ones(values.shape[-2:], bool)
    for place in places:
        distance = np.abs(yx - place[-2:, None, None]) / width[-2:, None, None]
        free &= distance.max(0) > BOX_HALF_WIDTH_FWHM
    if free.sum() < 0.05 * free.size:  # beads everywhere: the lowest decile of the image is the best estimate left
        return np.array(np.quantile(values, 0.1))
    planes = values.reshape(-1, *values.shape[-2:])
    return np.array([clipped_mean(plane[free]) for plane in planes]).reshape(-1, *[1] * 2 * (values.ndim - 2))


def _averaged(values: np.ndarray, fits: list[_Fit]) -> np.ndarray:
    """Sum of the beads, background subtracted, on a grid about their centres; samples outside the image are missing values."""
    width = FWHM_PER_SIGMA * np.median([fit.sigma for fit in fits], axis=0)
    half = np.minimum(np.ceil(BOX_HALF_WIDTH_FWHM * width), (np.array(values.shape) - 1) // 2).astype(int)
    total, weight = np.zeros(2 * half + 1), np.zeros(2 * half + 1)
    for fit in fits:
        low = np.maximum(0, np.floor(fit.centre).astype(int) - half - 2)
        part = values[tuple(slice(a, int(c) + h + 4) for a, c, h in zip(low, fit.centre, half, strict=True))]
        inside = _inside(fit.centre, half, values.shape)
        total += inside * Interpolant(part, (1.0,) * part.ndim)((fit.centre - low).tolist(), half.tolist())
        weight += inside * fit.height
    average = np.divide(total, weight, out=np.zeros_like(total), where=weight > 0)
    return _band_limited(average, width) * sum(fit.height for fit in fits)


def _inside(centre: np.ndarray, half: np.ndarray, shape: Sequence[int]) -> np.ndarray:
    """Whether each point of a grid about `centre` lies inside an image of `shape`."""
    places = [c + np.arange(-h, h + 1) for c, h in zip(centre, half, strict=True)]
    lines = [(at >= 0) & (at <= n - 1) for at, n in zip(places, shape, strict=True)]
    return np.logical_and.reduce(np.broadcast_arrays(*np.meshgrid(*lines, indexing="ij", sparse=True)))


def _band_limited(average: np.ndarray, width: np.ndarray) -> np.ndarray:
    """`average` without the frequencies that hold only noise. It vanishes at its border, so the periodic FFT does no harm."""
    k = np.meshgrid(*(np.fft.fftfreq(n) * w for n, w in zip(average.shape, width, strict=True)), indexing="ij", sparse=True)
    spectrum = np.fft.fftn(average)
    spectrum[sum(f**2 for f in k) > PASSBAND_CYCLES_PER_FWHM**2] = 0
    return np.fft.ifftn(spectrum).real
