"""Pixels that hold no data: hot and dead pixels, lost rows, borders and masks of one value, NaN.

They are found in the image itself and filled with what the detector would have recorded there under the light of their surroundings, noise
included, so that calibration, pairs, losses and checks see an image that follows one law. Areas without data are given back without light.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from zsdeconv.camera.detector import Camera
from zsdeconv.errors import ImageError

TAIL_FRACTIONS = (0.02, 0.007)
"""Fractions of pixels between which the fall of the tail of deviations is measured. Chosen: beyond it lies ten times what is ever hot."""
TAIL_MARGIN = 1.5
"""Factor on the extrapolated largest deviation, beyond which a pixel is no noise. Chosen: an exponential tail, the heaviest noise has."""
TAIL_ROUNDS = 5
"""How often the tail is measured anew without the pixels that were found. Chosen: it hardly changes after three."""
CHANCE = 0.01
"""Pixels of an image that noise alone would put beyond the extrapolated tail. Chosen: one image in a hundred, before the margin."""
MIN_READ_NOISE_E = 1.0
"""Read noise, electrons, from which the law tells hot pixels. Chosen: with less, the light in the dark is not known well enough."""
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
GAP_RATIO = 3.0
"""Distance of a single value from all others, in units of the width of their lowest 5 %, from which it is no recorded value."""
MIN_GAP_STEPS = 5
"""The same in steps of grey values. Chosen: numbers of photons from 0 on have gaps of one or two."""
MIN_LINE_PX = 16
"""Pixels of a row or column that are alike by no chance. Chosen: of 16 dark pixels of a counting detector not all are without a photon."""
MAX_VALUE_FRACTION = 0.05
"""Fraction of the other pixels that may have the value of a lost line. Chosen: a value more common is the darkness of a counting or clipped
image, and `MIN_LINE_PX` pixels have a rarer one by chance once in 1e20."""
MIN_AREA_PX = 3
"""Least width of an area that counts as being without data; narrower ones are lost lines. Chosen: neighbours tell what was there."""
FILL_SIZES_PX = (3, 5, 9, 17, 33, 65, 129, 257)
"""Sides of the squares over which the light around a pixel without data is averaged, the first that holds enough of it."""
MIN_KNOWN_PX = 16
"""Sides of the rectangle with data that a calibration needs. Law: that of the smallest image it takes."""
MIN_KNOWN_FRACTION = 0.3
"""Fraction of a square that must hold data for its mean to be used."""


@dataclass(frozen=True)
class Defects:
    """Pixels of a frame that hold no data, each as a mask of its shape: single ones and lines (`pixels`), and `areas`.

    `undefined` are those among them that are NaN or infinite.
    """

    pixels: np.ndarray
    areas: np.ndarray
    undefined: np.ndarray | None = None

    @property
    def all(self) -> np.ndarray:
        """Both."""
        return self.pixels | self.areas

    def recorded(self, name: str) -> np.ndarray:
        """The `pixels` or `areas` that have a value."""
        mask: np.ndarray = getattr(self, name)
        return mask if self.undefined is None else mask & ~self.undefined

    def __bool__(self) -> bool:
        return bool(self.pixels.any() or self.areas.any())


def find_defects(frame: np.ndarray, recorded: np.ndarray | None = None, bad: np.ndarray | None = None) -> Defects:
    """Pixels without data of a frame (`... y x`), plane by plane.

    Of a frame that camera maps have changed, lost pixels are of one value in the frame as `recorded`, and `bad` ones are known (y x).

    >>> image = np.random.default_rng(0).poisson(20.0, (64, 64)) + 100
    >>> image[5, 7], image[:, :9] = 9000, 0
    >>> found = find_defects(image)
    >>> int(found.pixels.sum()), int(found.areas.sum())
    (0, 576)
    """
    planes = frame.reshape(-1, *frame.shape[-2:])
    missing = [without_data(plane) for plane in (frame if recorded is None else recorded).reshape(-1, *frame.shape[-2:])]
    areas = [_opened(mask) if mask.any() else mask for mask in missing]
    if bad is not None:
        missing = [mask | bad for mask in missing]
    hot = [outliers(plane, mask) for plane, mask in zip(planes, missing, strict=True)]
    pixels = np.stack([mask & ~area | spots for mask, area, spots in zip(missing, areas, hot, strict=True)])
    undefined = ~np.isfinite(frame) if frame.dtype.kind == "f" else np.zeros(frame.shape, bool)
    return Defects(pixels.reshape(frame.shape), np.stack(areas).reshape(frame.shape), undefined if undefined.any() else None)


def without_data(plane: np.ndarray) -> np.ndarray:
    """Pixels that are not finite, or have one value far from all others, or lie in rows and columns of one value (y x)."""
    finite = np.isfinite(plane) if plane.dtype.kind == "f" else np.ones(plane.shape, bool)
    mask = ~finite
    known = plane[finite]
    if not known.size:
        return mask
    lines = np.zeros(plane.shape, bool)
    filler = np.where(finite, plane, known[0])
    for axis in (0, 1):
        if plane.shape[axis] >= MIN_LINE_PX:
            alike = filler.min(axis, keepdims=True) == filler.max(axis, keepdims=True)
            lines |= alike & finite.any(axis, keepdims=True)
    mask |= lines & _rare_elsewhere(filler, lines)
    for value in (known.min(), 0):
        alike = plane == value
        others = known[known != value]
        if alike.sum() >= 4 and others.size > 4 and _stands_apart(float(value), others):
            mask |= alike
    return mask


def _rare_elsewhere(plane: np.ndarray, lines: np.ndarray) -> np.ndarray:
    """Where the value of whole lines is rare in all others."""
    result, rest = np.zeros(plane.shape, bool), plane[~lines]
    for value in np.unique(plane[lines]):
        if rest.size and np.mean(rest == value) < MAX_VALUE_FRACTION:
            result |= plane == value
    return result


def _stands_apart(value: float, others: np.ndarray) -> bool:
    """Whether a value lies below all others with a gap."""
    lowest, low, twentieth = np.quantile(others, (0.0, 0.001, 0.05)).astype(float)
    values = np.unique(others[:: max(1, others.size // 10_000)].astype(np.float64))
    step = float(np.diff(values).min()) if len(values) > 1 else 0.0
    return value < lowest and low - value > max(GAP_RATIO * (twentieth - low), MIN_GAP_STEPS * step)


def _opened(mask: np.ndarray) -> np.ndarray:
    """The parts of a mask that are at least `MIN_AREA_PX` wide."""
    from scipy.ndimage import binary_opening

    padded = np.pad(mask, MIN_AREA_PX, mode="edge")
    inner = slice(MIN_AREA_PX, -MIN_AREA_PX)
    return binary_opening(padded, np.ones((MIN_AREA_PX, MIN_AREA_PX)))[inner, inner] & mask


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


def beyond_law(frame: np.ndarray, found: Defects, law: Camera) -> Defects:
    """The pixels without data of a frame (`... y x`), and those which the noise of the detector's law puts nowhere near where they are.

    For pixels that are less hot than `find_defects` can tell, which knows no law: they make the noise skewed, and offsets too low. Where an
    electron stands out of the read noise nothing is added: single ones in the dark are no faults.

    >>> rng = np.random.default_rng(0)
    >>> image = rng.poisson(20.0, (64, 64)) + rng.normal(100, 2, (64, 64))
    >>> image[5, 7] = 120 + 9 * 24**0.5
    >>> nothing = find_defects(image)
    >>> int(nothing.pixels.sum()), int(beyond_law(image, nothing, Camera(100.0, 1.0, 4.0)).pixels.sum())
    (0, 1)
    """
    if law.read_noise < MIN_READ_NOISE_E * law.skew * law.gain:
        return found
    planes, known = filled(frame, found).reshape(-1, *frame.shape[-2:]), found.all.reshape(-1, *frame.shape[-2:])
    pixels = np.stack([outliers_of_law(plane, law) & ~mask for plane, mask in zip(planes, known, strict=True)])
    return Defects(found.pixels | pixels.reshape(frame.shape), found.areas)


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


def filled(frame: np.ndarray, defects: Defects, law: Camera | None = None, seed: int = 0) -> np.ndarray:
    """The frame with the light of their surroundings in pixels without data, and under a `law` with its noise.

    >>> image = np.full((9, 9), 120.0)
    >>> image[4, 4] = np.nan
    >>> float(filled(image, Defects(np.isnan(image), np.zeros((9, 9), bool)))[4, 4])
    120.0
    """
    import torch

    if not defects:
        return frame
    planes, mask = frame.reshape(-1, *frame.shape[-2:]), defects.all.reshape(-1, *frame.shape[-2:])
    result = planes.astype(np.float32)
    for plane, bad in zip(result, mask, strict=True):
        if bad.any():
            plane[bad] = _surroundings(plane, bad)[bad]
    if law is not None:
        light = torch.from_numpy(result[mask] - np.float32(law.offset)).clamp(min=0)
        result[mask] = law.white.simulate(light, 1.0, torch.Generator().manual_seed(seed)).numpy() + np.float32(law.offset)
    if frame.dtype.kind in "ui":
        limits = np.iinfo(frame.dtype)
        result = result.round().clip(limits.min, limits.max).astype(frame.dtype)
        np.copyto(result, planes, where=~mask)
    return result.reshape(frame.shape)


def _surroundings(plane: np.ndarray, bad: np.ndarray) -> np.ndarray:
    """Mean of the pixels with data around each pixel, over the smallest square that holds enough of them."""
    from scipy.ndimage import uniform_filter

    known = (~bad).astype(np.float64)
    values = np.where(bad, 0.0, plane)
    mean = np.full(plane.shape, values.sum() / max(known.sum(), 1.0))
    open_px = bad.copy()
    for side in FILL_SIZES_PX:
        share = uniform_filter(known, side, mode="mirror" if min(plane.shape) > side // 2 else "nearest")
        total = uniform_filter(values, side, mode="mirror" if min(plane.shape) > side // 2 else "nearest")
        enough = open_px & (share > MIN_KNOWN_FRACTION)
        mean[enough] = total[enough] / share[enough]
        open_px &= ~enough
        if not open_px.any():
            break
    return mean


def known_part(frame: np.ndarray, areas: np.ndarray) -> tuple[slice, slice]:
    """Rows and columns of the largest rectangle of a frame (`... y x`) that no area without data reaches into.

    >>> areas = np.zeros((6, 8), bool)
    >>> areas[:2], areas[:, 7] = True, True
    >>> known_part(np.zeros((6, 8)), areas)
    (slice(2, 6, None), slice(0, 7, None))
    """
    mask: np.ndarray = np.logical_or.reduce(areas.reshape(-1, *areas.shape[-2:]), axis=0)
    best, found = 0, (slice(0, mask.shape[0]), slice(0, mask.shape[1]))
    heights = np.zeros(mask.shape[1], int)
    for row, line in enumerate(mask):
        heights = np.where(line, 0, heights + 1)
        stack: list[int] = []
        for column in range(len(heights) + 1):
            height = heights[column] if column < len(heights) else 0
            while stack and heights[stack[-1]] >= height:
                tall = heights[stack.pop()]
                left = stack[-1] + 1 if stack else 0
                if tall * (column - left) > best:
                    best = tall * (column - left)
                    found = (slice(row + 1 - int(tall), row + 1), slice(left, column))
            stack.append(column)
    return found


def told(defects: Sequence[Defects]) -> str:
    """What was left out, in words; empty where nothing was."""
    undefined = sum(0 if each.undefined is None else int(each.undefined.sum()) for each in defects)
    pixels, areas = (sum(int(each.recorded(name).sum()) for each in defects) for name in ("pixels", "areas"))
    total = max(sum(each.pixels.size for each in defects), 1)
    parts = []
    if pixels:
        parts.append(f"{pixels} hot, dead or lost pixels ({100 * pixels / total:.2g} %)")
    if areas:
        parts.append(f"areas without data ({100 * areas / total:.3g} %)")
    if undefined:
        parts.append(f"{undefined} pixels that are NaN or infinite ({100 * undefined / total:.3g} %), and come back as NaN,")
    return " and ".join(parts)


def clean(frames: Sequence[np.ndarray], law: Camera, found: Sequence[Defects] | None = None) -> tuple[list[np.ndarray], list[Defects]]:
    """The frames filled under a law (`filled`) and without the offsets of lines, and what was `found`, if it is not known yet."""
    defects = [find_defects(frame) for frame in frames] if found is None else list(found)
    whole = [filled(frame, each, law, seed) for seed, (frame, each) in enumerate(zip(frames, defects, strict=True))]
    return [law.lines.removed(frame) for frame in whole], defects


def given_back(image: np.ndarray, defects: Defects) -> np.ndarray:
    """A restored image `*zyx` with NaN where pixels were NaN or infinite, and 0 in other areas without data.

    The defects have the raw grid, and the raw frames of one image in front.

    >>> given_back(np.ones((2, 4)), Defects(np.zeros((1, 2), bool), np.array([[True, False]]))).tolist()
    [[0.0, 0.0, 1.0, 1.0], [0.0, 0.0, 1.0, 1.0]]
    """
    for mask, value in ((defects.areas, 0.0), (defects.undefined, np.nan)):
        if mask is not None and mask.any():
            image = np.where(_on_grid(mask, image.shape), np.asarray(value, image.dtype), image)
    return image


def _on_grid(mask: np.ndarray, fine: tuple[int, ...]) -> np.ndarray:
    """A mask of raw pixels on a grid a whole number of times finer; raw frames in front are taken together."""
    raw = mask.shape[mask.ndim - len(fine) :]
    mask = np.logical_or.reduce(mask.reshape(-1, *raw), axis=0)
    for axis, size in enumerate(fine):
        mask = np.repeat(mask, size // raw[axis], axis)
    return mask


def known_frames(frames: Sequence[np.ndarray], found: Sequence[Defects] | None = None) -> list[np.ndarray]:
    """The frames (`... y x`) without areas that hold no data, other pixels without data filled from their surroundings.

    Raises `ImageError` where such areas leave no rectangle in which noise can be measured.

    >>> frame = np.random.default_rng(0).poisson(20.0, (40, 64)) + 100
    >>> frame[:, :9] = 0
    >>> known_frames([frame])[0].shape
    (40, 55)
    """
    defects = [find_defects(frame) for frame in frames] if found is None else found
    known = []
    for frame, each in zip(frames, defects, strict=True):
        rows, columns = known_part(frame, each.areas)
        sides = rows.stop - rows.start, columns.stop - columns.start
        if each.areas.any() and min(sides) < MIN_KNOWN_PX:
            raise ImageError(
                f"areas without data leave no rectangle larger than {sides[0]} x {sides[1]} pixels, {MIN_KNOWN_PX} x {MIN_KNOWN_PX} are "
                "needed to measure the camera; crop the image to what was recorded"
            )
        known.append(filled(frame, each)[..., rows, columns])
    return known
