"""Offset, gain and read variance of each pixel from dark and flat frames, as far as these know them.

- *Offset*: the mean of the dark frames. *Read variance*: their variance in time, without what a whole frame has in common.
- *Gain*: the photon-transfer line of the sensor, from differences of successive flat frames, times the response of the pixel: its mean over
  the flat frames, whatever their levels, relative to the light around it. (The variance in time of one pixel alone knows its gain to
  `sqrt(2 / frames)`, which is worse than the few per cent by which gains differ.) Vignetting and uneven light are thereby no gain.

All three are drawn towards the sensor's mean by empirical Bayes (`zsdeconv.camera.shrinkage`): what few frames do not know is not made up.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from zsdeconv.camera.levels import fit_line
from zsdeconv.camera.outliers import CHANCE
from zsdeconv.camera.photon_transfer import as_frames, dark_constants, flat_levels
from zsdeconv.camera.shrinkage import few, robust_variance, shrunk_means, shrunk_variances
from zsdeconv.errors import ImageError

MIN_FRAMES = 2
"""Dark frames, and flat frames, that maps need. Law: a variance in time needs two."""
ILLUMINATION_PX = 20.0
"""Width (sigma), pixels, of the mean that is taken as the light around a pixel. Chosen: 2500 pixels, small against vignetting."""
MIN_LIGHT_READ_NOISES = 3.0
"""Light of the flat frames in units of the read noise. Chosen: less light says nothing of the gain."""
MIN_GAIN_SIGMAS = 5.0
"""Gain, in standard errors, from which it is known. Chosen: 20 %, the contradiction with an image that is noticed."""
MAX_SATURATED = 0.01
"""Fraction of the pixels at the top value up to which a flat frame is used. Chosen: hot pixels are fewer."""
MIN_NOISY_RATIO = 9.0
"""Read variance in units of the median one from which a pixel is noisy. Law: three times the read noise, a weight of 1/9."""


@dataclass(frozen=True)
class MeasuredPixels:
    """Maps `y x` (ADU, ADU per electron, ADU^2), the `hot` and noisy pixels in the frames, standard errors of the sensor's numbers, and
    how many dark and flat frames there were.
    """

    offset: np.ndarray
    gain: np.ndarray
    read_variance: np.ndarray
    hot: np.ndarray
    sigmas: tuple[float, float, float]
    frames: tuple[int, int]


def measure_pixels(dark: np.ndarray, flat: np.ndarray) -> MeasuredPixels:
    """Maps of a camera from dark frames and flat frames (t y x, ADU).

    Raises `ImageError` for too few frames, frames of different sizes, flat frames without light or saturated, and dark and flat frames that
    are swapped.
    """
    dark, flat = as_frames(dark, "the dark image"), as_frames(flat, "the flat image")
    refuse_swapped(dark, flat)
    for name, frames in (("dark", dark), ("flat", flat)):
        if len(frames) < MIN_FRAMES:
            raise ImageError(f"{len(frames)} {name} frame, maps need {MIN_FRAMES} at least and are good from 50 on; record more of them")
    if dark.shape[1:] != flat.shape[1:]:
        sizes = [" x ".join(map(str, frames.shape[1:])) for frames in (dark, flat)]
        raise ImageError(
            f"dark frames of {sizes[0]} pixels, flat frames of {sizes[1]}: both must be of one part of the sensor; record them again"
        )
    means, variances = _in_time(dark)
    read_variance = shrunk_variances(variances, len(dark) - 1)
    hot = _hot(means, variances, len(dark))
    offset, offset_variance = shrunk_means(means, read_variance / len(dark), float(np.median(means)), ~hot)
    flat = _unsaturated(flat)
    response, gain, gain_sigma = _response(flat, (offset, offset_variance, read_variance), ~hot)
    _, offset_sigma, scalar, scalar_sigma = dark_constants(dark)
    sigmas = (offset_sigma, gain_sigma, 0.5 * scalar_sigma / max(scalar, 1e-30) ** 0.5)
    return MeasuredPixels(offset, gain * response, read_variance, hot, sigmas, (len(dark), len(flat)))


def refuse_swapped(dark: np.ndarray, flat: np.ndarray) -> None:
    """Raise `ImageError` where dark frames are brighter than flat ones."""
    levels = [float(np.median(frames)) for frames in (dark, flat)]
    if levels[0] > levels[1]:
        seen = f"the dark frames (median {levels[0]:.5g} ADU) are brighter than the flat frames ({levels[1]:.5g} ADU)"
        raise ImageError(f"{seen}: they are swapped, or the flat frames have no light; give dark and flat the other way round")


def _in_time(frames: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean and variance of each pixel over the frames, without the change of whole frames."""
    levels = np.array([np.median(frame) for frame in frames], np.float64)
    drift = levels - levels.mean()
    mean, squares = np.zeros(frames.shape[1:]), np.zeros(frames.shape[1:])
    for frame, moved in zip(frames, drift, strict=True):
        mean += frame - moved
    mean /= len(frames)
    for frame, moved in zip(frames, drift, strict=True):
        squares += (frame - moved - mean) ** 2
    least = 1 / 12 if frames.dtype.kind in "ui" else 0.0  # the variance of rounding
    return mean, np.maximum(squares / (len(frames) - 1), least)


def _hot(means: np.ndarray, variances: np.ndarray, count: int) -> np.ndarray:
    """Pixels whose dark level or read variance no chance puts so far outside."""
    from scipy.special import ndtri
    from scipy.stats import chi2

    typical = float(np.median(variances)) * (count - 1) / float(chi2.median(count - 1))
    own = max(robust_variance(means) - typical / count, 0.0)
    chance = CHANCE / means.size
    limit = -float(ndtri(chance / 2)) * np.sqrt(own + np.maximum(variances, typical) / count)
    noisy = variances > typical * max(MIN_NOISY_RATIO, float(chi2.isf(chance, count - 1)) / (count - 1))
    return few(abs(means - np.median(means)) > limit) | few(noisy)


def _unsaturated(flat: np.ndarray) -> np.ndarray:
    """The flat frames that are not clipped at the top."""
    top = flat.max()
    whole = [frame for frame in flat if np.mean(frame == top) <= MAX_SATURATED]
    if len(whole) < MIN_FRAMES:
        raise ImageError(
            f"{len(flat) - len(whole)} of {len(flat)} flat frames are saturated at {float(top):.6g} ADU, {MIN_FRAMES} whole ones are "
            "needed; record flat frames with half the light"
        )
    return np.stack(whole)


def _response(flat: np.ndarray, dark: tuple[np.ndarray, np.ndarray, np.ndarray], good: np.ndarray) -> tuple[np.ndarray, float, float]:
    """Response of each pixel with the mean 1, and the gain of the sensor (ADU per electron) with its standard error.

    `dark` holds offset, its variance, and read variance of each pixel.
    """
    offset, offset_variance, read_variance = dark
    light = flat.mean(0, dtype=np.float64) - offset
    level, read = float(light[good].mean()), float(read_variance[good].mean())
    if level < MIN_LIGHT_READ_NOISES * read**0.5:
        raise ImageError(
            f"the flat frames are {level:.3g} ADU brighter than the dark ones, with a read noise of {read**0.5:.3g} ADU: they need light; "
            "record flat frames of a lit, empty field"
        )
    line = fit_line(flat_levels(flat, good), 1.0, (float(offset[good].mean()), read))
    if line.slope < MIN_GAIN_SIGMAS * line.slope_sigma:
        found = f"gain {line.slope:.3g} +- {line.slope_sigma:.2g} ADU per electron from {len(flat)} flat frames"
        raise ImageError(f"{found}: it must be known to 20 %; record more flat frames, at more light")
    around = np.maximum(_illumination(light, good), 1e-3 * level)
    variance = ((line.slope * around + read_variance) / len(flat) + offset_variance) / around**2
    response, _ = shrunk_means(light / around, np.where(good, variance, np.median(variance)), 1.0, good)
    return response / response[good].mean(), line.slope, line.slope_sigma


def _illumination(light: np.ndarray, good: np.ndarray) -> np.ndarray:
    """The slowly varying light of a mean flat frame: a parabola, times what its Gaussian mean leaves."""
    from scipy.ndimage import gaussian_filter

    y, x = (np.linspace(-1, 1, n) for n in light.shape)
    terms = np.stack([np.multiply.outer(y**i, x**j) for i in range(3) for j in range(3 - i)], -1)
    parabola = terms @ np.linalg.lstsq(terms[good], light[good], rcond=None)[0]
    parabola = np.maximum(parabola, 1e-2 * light[good].mean())
    sigma = min(ILLUMINATION_PX, min(light.shape) / 4)
    rest = gaussian_filter(np.where(good, light / parabola, 0.0), sigma, mode="mirror")
    return parabola * rest / np.maximum(gaussian_filter(good.astype(np.float64), sigma, mode="mirror"), 1e-3)
