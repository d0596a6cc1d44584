"""From an image of beads to the PSF of the microscope: find, refuse, align, average."""

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

SIGMAS = 6.0
"""A bead stands out of the noise by so many standard deviations,"""
DIMMEST = 0.1
"""and has so much of the peak of the brightest one; what is dimmer is no bead, and no disturbing neighbour."""
BOX = 2.5
"""Half width of the averaged box, in full widths at half maximum of a bead."""
CORE = 1.5
"""A bead closer to a border than so many widths is cut."""
APART = BOX + 0.5
"""Beads closer together than so many widths, along every axis, shine into each other's box."""
UNLIKE = 1.4
"""A bead wider or narrower than the median bead by this factor along any axis is a clump, or none."""
PASSBAND = 1.5
"""Highest frequency kept in the average, in units of 1 / width: a wide-field PSF ends at 1.03, a confocal one at 1.45."""
MOST_BEADS = 200


@dataclass(frozen=True, eq=False)
class Beads:
    """What an image of beads has given: `psf`, `fwhm_um` per axis (of a Gaussian fitted to the average), and counts.

    `found` local maxima, `used` of them, `rejected` by reason ("border", "saturated", "overlapping", "unlike"), and the
    positions of those used in pixels of the image.
    """

    psf: Psf
    fwhm_um: tuple[float, ...]
    found: int
    used: int
    rejected: dict[str, int]
    centres_px: np.ndarray


@dataclass(frozen=True)
class _Fit:
    """A Gaussian: its centre and width (sigma) per axis in pixels, height and level in ADU."""

    centre: np.ndarray
    sigma: np.ndarray
    height: float
    level: float


def read_beads(path: str | Path, *, pixel_um: float | None = None, z_um: float | None = None) -> Beads:
    """The PSF from an image file of beads, one plane or a stack. Options overrule the file's pixel sizes.

    Raises `ImageError` when it cannot be read, `OpticsError` when it states no pixel size or holds no usable bead.
    """
    source = Path(path).name
    values, spacing_um = read_samples(path, pixel_um, z_um)
    if np.isnan(spacing_um).any():
        lacking = "--z-um" if np.isnan(spacing_um[0]) and not np.isnan(spacing_um[-1]) else "--pixel-um"
        raise OpticsError(f"beads {source}: the file does not state its pixel size along every axis; give {lacking}")
    return measure_beads(values, spacing_um, source)


def measure_beads(values: np.ndarray, spacing_um: tuple[float, ...], source: str) -> Beads:
    """The PSF in an image of beads (y x or z y x): each bead that stands alone, aligned to a fraction of a pixel, averaged.

    The beads are found on the smoothed image. A Gaussian is fitted to each for its centre; shifted by splines and without
    the field between the beads (plane by plane), they are summed, so that brighter ones, with relatively less noise, count
    more. Frequencies that no lens passes at the width found are removed from the sum; then it is treated as any measured
    PSF. A bead is as wide as the PSF and itself together: take beads smaller than half the resolution.

    Raises `OpticsError` when there is no bead, or none that can be used, saying why.

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
    ceiling = _clipped_at(values)
    width, places = _found(values, source)
    fits, reasons = _judged_beads(values, places, width, ceiling)
    rejected = Counter(reason for reason in reasons if reason)
    if not fits:
        told = ", ".join(f"{n} {reason}" for reason, n in rejected.items())
        raise OpticsError(
            f"beads {source}: none of {len(places)} can be used ({told}); at least 1 must stand alone, inside the field and below "
            "saturation: give an image with fewer beads on a larger field, or with less exposure"
        )
    average = _averaged(values - _field(values, places, width), fits)
    middle = np.array(average.shape) // 2
    words = f"beads {source} ({len(fits)} of {len(places)})"
    psf = MeasuredPsf(average, spacing_um, words, background_of(average), (0.0,) * values.ndim).mended()
    typical = np.median([fit.sigma for fit in fits], axis=0)
    mean = _fitted(average, _Fit(middle.astype(float), typical, float(average.max()), 0.0))
    fwhm = tuple(float(FWHM_PER_SIGMA * s * um) for s, um in zip(mean.sigma, spacing_um, strict=True))
    return Beads(psf, fwhm, len(places), len(fits), dict(rejected), np.array([fit.centre for fit in fits]))


def _clipped_at(values: np.ndarray) -> float:
    """The value at which the camera saturated: the largest, when more samples have it than come near it. Else infinity."""
    top = values.max()
    near = (values < top) & (values >= top - max(1.0, 0.05 * np.ptp(values)))
    count = int((values == top).sum())
    return float(top) if top == np.round(top) and count >= 4 and count > near.sum() else np.inf


def _found(values: np.ndarray, source: str) -> tuple[np.ndarray, np.ndarray]:
    """Full width of a bead per axis (pixels), and the places (n, rank) of local maxima, brightest first."""
    from scipy import ndimage

    smooth = ndimage.gaussian_filter(values, [1.0] * (values.ndim - 2) + [1.5, 1.5])
    signal = smooth - np.median(smooth)
    noise, brightest = _noise(smooth), signal.max()
    if brightest <= SIGMAS * noise:
        raise OpticsError(
            f"beads {source}: the brightest place is {brightest:.3g} ADU above the field, whose noise is {noise:.3g} "
            f"(limit: {SIGMAS:g} times the noise), so there is no bead; give an image of brighter beads"
        )
    width = _half_width(signal, np.argwhere(signal == brightest)[0])
    size = np.maximum(3, 2 * np.round(0.75 * width).astype(int) + 1)
    bright = signal > max(SIGMAS * noise, DIMMEST * brightest)
    places = np.argwhere((signal == ndimage.maximum_filter(signal, tuple(size))) & bright)
    places = places[np.argsort(-signal[tuple(places.T)], kind="stable")]
    # The brightest may be a clump: what is typical decides.
    return np.median([_half_width(signal, place) for place in places[:MOST_BEADS]], axis=0), places


def _noise(smooth: np.ndarray) -> float:
    """Standard deviation of the field between the beads, which are few: by quantiles below the median."""
    low, middle = np.quantile(smooth, [0.1587, 0.5])
    return float(max(middle - low, 1e-12 * abs(middle), np.finfo(float).tiny))


def _half_width(signal: np.ndarray, place: np.ndarray) -> np.ndarray:
    """Full width at half maximum of a spot per axis, in whole pixels, at least 2; twice its narrower side."""
    width = []
    for axis, at in enumerate(place):
        line = np.moveaxis(signal, axis, -1)[tuple(np.delete(place, axis))]
        low = np.flatnonzero(line < 0.5 * line[at])
        width.append(max(2.0, 2.0 * np.abs(low - at).min() - 1) if len(low) else float(len(line)))
    return np.array(width)


def _judged_beads(values: np.ndarray, places: np.ndarray, width: np.ndarray, ceiling: float) -> tuple[list[_Fit], list[str]]:
    """Gaussians of the beads that can be used, and for every place why it cannot ("": it can)."""
    reasons = [_reason(values, places, k, width, ceiling) for k in range(len(places))]
    good = [k for k, reason in enumerate(reasons) if not reason][:MOST_BEADS]
    fits = [_fitted_at(values, places[k], width) for k in good]
    if fits:
        ratio = np.array([fit.sigma for fit in fits]) / np.median([fit.sigma for fit in fits], axis=0)
        for k, away in zip(good, np.maximum(ratio, 1 / ratio).max(1), strict=True):
            reasons[k] = "unlike" if away > UNLIKE else ""
    return [fit for k, fit in zip(good, fits, strict=True) if not reasons[k]], reasons


def _reason(values: np.ndarray, places: np.ndarray, k: int, width: np.ndarray, ceiling: float) -> str:
    place = places[k]
    margin = np.minimum(place, np.array(values.shape) - 1 - place)
    if (margin < CORE * width).any():
        return "border"
    core = values[tuple(slice(int(p - w), int(p + w) + 1) for p, w in zip(place, width, strict=True))]
    if core.max() >= ceiling:
        return "saturated"
    apart = np.abs(places - place) / width
    return "overlapping" if (apart.max(1) < APART).sum() > 1 else ""


def _fitted_at(values: np.ndarray, place: np.ndarray, width: np.ndarray) -> _Fit:
    start = np.maximum(0, np.floor(place - CORE * width)).astype(int)
    part = values[tuple(slice(a, int(p + CORE * w) + 1) for a, p, w in zip(start, place, width, strict=True))]
    fit = _fitted(part, _Fit((place - start).astype(float), width / FWHM_PER_SIGMA, float(np.ptp(part)), float(np.median(part))))
    return _Fit(fit.centre + start, fit.sigma, fit.height, fit.level)


def _fitted(part: np.ndarray, guess: _Fit) -> _Fit:
    """Least squares of a Gaussian with axes along those of the image and a constant; height and level are solved for exactly."""
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
    room = np.concatenate([1.5 * guess.sigma, 0.7 * guess.sigma])
    found = least_squares(
        residual, start, bounds=(start - room, start + np.concatenate([room[:rank], 2 * guess.sigma])), x_scale=start[rank:].min()
    )
    _, (height, level) = model(found.x)
    return _Fit(found.x[:rank], found.x[rank:], float(height), float(level))


def _field(values: np.ndarray, places: np.ndarray, width: np.ndarray) -> np.ndarray:
    """Light between the beads, a level for each plane (z 1 1, or a number): the camera's offset, and haze that varies with depth."""
    yx = np.indices(values.shape[-2:])
    free = np.ones(values.shape[-2:], bool)
    for place in places:
        apart = np.abs(yx - place[-2:, None, None]) / width[-2:, None, None]
        free &= apart.max(0) > BOX
    if free.sum() < 0.05 * free.size:  # beads everywhere: the darkest tenth of the image is what comes nearest
        return np.array(np.quantile(values, 0.1))
    planes = values.reshape(-1, *values.shape[-2:])
    return np.array([clipped_mean(plane[free]) for plane in planes]).reshape(-1, *[1] * 2 * (values.ndim - 2))


def _averaged(values: np.ndarray, fits: list[_Fit]) -> np.ndarray:
    """Sum of the light of the beads (their field taken away) around their centres; samples outside the image count as missing."""
    width = FWHM_PER_SIGMA * np.median([fit.sigma for fit in fits], axis=0)
    half = np.minimum(np.ceil(BOX * width), (np.array(values.shape) - 1) // 2).astype(int)
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
    """Which points of a grid around `centre` lie in an image of `shape`."""
    places = [c + np.arange(-h, h + 1) for c, h in zip(centre, half, strict=True)]
    lines = [(at >= 0) & (at <= n - 1) for at, n in zip(places, shape, strict=True)]
    return np.logical_and.reduce(np.broadcast_arrays(*np.meshgrid(*lines, indexing="ij", sparse=True)))


def _band_limited(average: np.ndarray, width: np.ndarray) -> np.ndarray:
    """`average` without the frequencies that hold noise only. It is dark at its border, so nothing to speak of wraps round."""
    k = np.meshgrid(*(np.fft.fftfreq(n) * w for n, w in zip(average.shape, width, strict=True)), indexing="ij", sparse=True)
    spectrum = np.fft.fftn(average)
    spectrum[sum(f**2 for f in k) > PASSBAND**2] = 0
    return np.fft.ifftn(spectrum).real
