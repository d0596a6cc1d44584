"""Single pixels that are far brighter or darker than their neighbours, as no lens makes them: hot and dead pixels of a camera."""

from __future__ import annotations

import numpy as np

from zsdeconv.camera.detector import Camera

TAIL_FRACTIONS = (0.02, 0.007)
"""Fractions of pixels between which the fall of the tail of deviations is measured. Chosen: beyond it lies ten times what is ever hot."""
TAIL_MARGIN = 1.5
"""Factor on the extrapolated largest deviation, beyond which a pixel is no noise. Chosen: an exponential tail, the heaviest noise has."""
TAIL_ROUNDS = 5
"""How often the tail is measured anew without the pixels that were found. Chosen: it hardly changes after three."""
CHANCE = 0.01
"""Pixels of an image that noise alone would put beyond the extrapolated tail. Chosen: one image in a hundred, before the margin."""
LAW_MARGIN = 1.3
"""Factor on the largest deviation under a law, beyond which a pixel is no noise. Chosen: laws of images are never quite true."""
MAX_EXCESS_SCATTER = 1.5
"""Scatter of an image about its neighbours in units of that of its law, up to which the law tells hot pixels. Measured: 0.9 to 1.35 where a
law holds, 2.2 where neighbours share their noise."""
MEDIAN_VARIANCE = 0.19
"""Variance of the median of eight normal numbers, in units of theirs. Law: pi / 2 / 8 for many, a little less for eight."""
RING_PX = 5
"""Side of the square whose mean, without the pixel itself, is the light around it. Chosen: as of the signal in Eq. 3."""
SKEWNESS_LEVELS = 25
"""Skewnesses for which a tail is computed. Chosen: between them it is interpolated to 1 %."""
NEIGHBOUR_SIGMAS = 1.0
"""Standard errors of the mean of the four neighbours by which they must be darker than a lens makes them. Chosen: with `LAW_MARGIN`, spots
of a PSF 1.5 pixels wide are kept by three."""
MAX_NEIGHBOUR_SHARE = 0.2
"""Light of the four neighbours over that of a pixel, up to which no lens has made it. Law: 0.29 for a PSF 1.5 pixels wide, 0.5 for 2."""
BRIGHTNESS_GROUPS = 12
"""Groups of pixels by brightness whose deviations have a scale of their own. Chosen: each still holds hundreds in a small image."""
MIN_GROUP_PX = 30
"""Pixels of a group whose scale is known. Chosen: 30 values know a median deviation to 20 %."""
MIN_TAIL_PX = 12
"""Pixels in the tail of a group from which it is extrapolated by itself. Chosen: they know the fall of an exponential to 30 %."""
MIN_FALL = 0.25
"""Least fall of a tail, in standard deviations per factor e. Law: that of a normal distribution at one pixel in a million is 0.2."""
MAX_DEFECT_FRACTION = 0.02
"""Fraction of hot and dead pixels above which they are taken for structure instead. Chosen: worse cameras are not sold."""


def outliers(plane: np.ndarray, missing: np.ndarray) -> np.ndarray:
    """Hot and dead pixels (y x): far from the median of their neighbours for their brightness, while the neighbours are not.

    What is far is told by the image: the tail of the deviations is extrapolated to the size of the image as an exponential.
    """
    image = np.where(missing, np.median(plane[~missing]) if not missing.all() else 0, plane).astype(np.float64)
    around, cross, background = _neighbours(image)
    group = _groups(around)
    deviation = (image - around) / _scale(image - around, group)
    found = np.zeros(plane.shape, bool)
    for _ in range(TAIL_ROUNDS):  # those that are found no longer lengthen the tail of the others
        before, known = found.copy(), ~(missing | found)
        for sign in (1, -1):
            own, near = sign * (image - background), sign * (cross - background)
            found |= (sign * deviation > _largest_by_chance(sign * deviation, group, known)) & (abs(near) < MAX_NEIGHBOUR_SHARE * own)
        found &= ~missing
        if np.array_equal(found, before):
            break
    return found if found.mean() <= MAX_DEFECT_FRACTION else np.zeros_like(found)


def outliers_of_law(plane: np.ndarray, law: Camera) -> np.ndarray:
    """Pixels (y x) beyond the tail of the noise of a law about the median of their neighbours, while the neighbours are not.

    The tail is that of a Gamma distribution with the skewness of the law (Pearson III). Where noise and structure scatter more than the law
    says, the image tells the scale; where far more, the law does not hold and nothing is found. Neighbours must be so dark that no lens has
    made the pixel, also by their own noise.
    """
    from scipy.ndimage import uniform_filter
    from scipy.stats import pearson3

    image = plane.astype(np.float64)
    around, cross, background = _neighbours(image)
    ring_mean = (uniform_filter(image, RING_PX, mode="mirror") * RING_PX**2 - image) / (RING_PX**2 - 1)
    light = np.maximum(ring_mean - law.offset, 0)
    variance = np.maximum(law.variance(light), 1e-30)
    scatter = np.sqrt(variance * (1 + MEDIAN_VARIANCE))
    deviation = (image - around) / scatter
    excess = _scale(deviation, _groups(around))
    if np.median(excess) > MAX_EXCESS_SCATTER:
        return np.zeros(plane.shape, bool)
    deviation /= np.maximum(excess, 1)
    skewness = law.third_cumulant(light) / variance**1.5
    levels, chance = np.linspace(0, max(float(np.quantile(skewness, 0.999)), 1e-3), SKEWNESS_LEVELS), CHANCE / plane.size
    found = np.zeros(plane.shape, bool)
    for sign, tail in ((1, pearson3.isf(chance, levels)), (-1, -pearson3.ppf(chance, levels))):
        own, near = sign * (image - background), sign * (cross - background)
        far = sign * deviation > LAW_MARGIN * np.interp(skewness, levels, tail)
        found |= far & (abs(near) < MAX_NEIGHBOUR_SHARE * own - NEIGHBOUR_SIGMAS * 0.5 * scatter)
    return found if found.mean() <= MAX_DEFECT_FRACTION else np.zeros_like(found)


def _neighbours(image: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Median of the eight neighbours, mean of the four nearest, and the median of a wider field, of each pixel."""
    from scipy.ndimage import convolve, median_filter

    ring = np.ones((3, 3), bool)
    ring[1, 1] = False
    around = median_filter(image, footprint=ring, mode="mirror")
    cross = convolve(image, np.array([[0, 0.25, 0], [0.25, 0, 0.25], [0, 0.25, 0]]), mode="mirror")
    return around, cross, median_filter(around, size=5, mode="mirror")


def _groups(around: np.ndarray) -> np.ndarray:
    """Number of the group by brightness of each pixel."""
    edges = np.unique(np.quantile(around, np.linspace(0, 1, BRIGHTNESS_GROUPS + 1)[1:-1]))
    return np.searchsorted(edges, around)


def _scale(deviation: np.ndarray, group: np.ndarray) -> np.ndarray:
    """Robust standard deviation of the deviations from the neighbours in each group."""
    widths = np.full(int(group.max()) + 1, np.nan)
    for number in range(len(widths)):
        own = np.abs(deviation[group == number])
        if own.size >= MIN_GROUP_PX:
            widths[number] = max(1.4826 * float(np.median(own)), float(np.quantile(own, 0.9)) / 1.645)
            if widths[number] == 0:  # places with hardly a photon
                widths[number] = float(np.sqrt(np.mean(own**2)))
    known = np.isfinite(widths) & (widths > 0)
    if not known.any():
        return np.full(deviation.shape, max(float(np.abs(deviation).mean()), 1e-30))
    numbers = np.arange(len(widths))
    return np.interp(numbers, numbers[known], widths[known])[group]


def _largest_by_chance(deviation: np.ndarray, group: np.ndarray, known: np.ndarray) -> np.ndarray:
    """The deviation that noise does not exceed, from the tail of all pixels, and of those of each large group where it is longer."""
    limits = np.full(int(group.max()) + 1, _tail_end(deviation[known], deviation.size))
    for number in range(len(limits)):
        own = deviation[(group == number) & known]
        if own.size * TAIL_FRACTIONS[1] > MIN_TAIL_PX:
            limits[number] = max(limits[number], _tail_end(own, deviation.size))
    return limits[group]


def _tail_end(values: np.ndarray, image_px: int) -> float:
    more, fewer = TAIL_FRACTIONS
    first, second = (float(value) for value in np.quantile(values, (1 - more, 1 - fewer)))
    fall = max((second - first) / np.log(more / fewer), MIN_FALL)
    return TAIL_MARGIN * (first + fall * float(np.log(more * image_px / CHANCE)))
