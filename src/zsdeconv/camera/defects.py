"""Pixels that hold no data: hot and dead pixels, lost rows, borders and masks of one value, NaN.

They are found in the image itself and filled with what the detector would have recorded there under the light of their surroundings, noise
included, so that calibration, pairs, losses and checks see an image that follows one law. Areas without data are given back without light.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from zsdeconv.camera.bright_objects import bright_objects
from zsdeconv.camera.detector import Camera
from zsdeconv.camera.outliers import outliers, outliers_of_law
from zsdeconv.errors import ImageError

MIN_READ_NOISE_E = 1.0
"""Read noise, electrons, from which the law tells hot pixels. Chosen: with less, the light in the dark is not known well enough."""
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

    `undefined` are those among them that are NaN or infinite. `bright` are objects that are set aside (`camera.bright_objects`): they hold
    data, but the rest is treated as an image without them.
    """

    pixels: np.ndarray
    areas: np.ndarray
    undefined: np.ndarray | None = None
    bright: np.ndarray | None = None

    @property
    def all(self) -> np.ndarray:
        """All that is filled."""
        return self.pixels | self.outside

    @property
    def outside(self) -> np.ndarray:
        """Areas that say nothing of the noise: those without data, and bright objects."""
        return self.areas if self.bright is None else self.areas | self.bright

    def recorded(self, name: str) -> np.ndarray:
        """The `pixels` or `areas` that have a value."""
        mask: np.ndarray = getattr(self, name)
        return mask if self.undefined is None else mask & ~self.undefined

    def __bool__(self) -> bool:
        return bool(self.pixels.any() or self.outside.any())


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
    original = (frame if recorded is None else recorded).reshape(-1, *frame.shape[-2:])
    missing = [without_data(plane, original) for plane in original]
    areas = [_opened(mask) if mask.any() else mask for mask in missing]
    if bad is not None:
        missing = [mask | bad for mask in missing]
    hot = [outliers(plane, mask) for plane, mask in zip(planes, missing, strict=True)]
    pixels = np.stack([mask & ~area | spots for mask, area, spots in zip(missing, areas, hot, strict=True)])
    undefined = ~np.isfinite(frame) if frame.dtype.kind == "f" else np.zeros(frame.shape, bool)
    return Defects(pixels.reshape(frame.shape), np.stack(areas).reshape(frame.shape), undefined if undefined.any() else None)


def without_data(plane: np.ndarray, planes: np.ndarray | None = None) -> np.ndarray:
    """Pixels that are not finite, or have one value far from all others, or lie in rows and columns of one value (y x).

    The others are those of all `planes`: in a plane of a stack with hardly any light, few say what values there are.
    """
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
    everywhere = known if planes is None or len(planes) == 1 else planes[np.isfinite(planes)]
    mask |= lines & _rare_elsewhere(filler, lines, everywhere)
    for value in (known.min(), 0):
        alike = plane == value
        others = everywhere[everywhere != value]
        if alike.sum() >= 4 and others.size > 4 and _stands_apart(float(value), others):
            mask |= alike
    return mask


def _rare_elsewhere(plane: np.ndarray, lines: np.ndarray, everywhere: np.ndarray) -> np.ndarray:
    """Where the value of whole lines is rare in all others, those of other planes among them."""
    result = np.zeros(plane.shape, bool)
    rest = everywhere.size - int(lines.sum())
    for value in np.unique(plane[lines]):
        others = int(np.count_nonzero(everywhere == value)) - int(np.count_nonzero(plane[lines] == value))
        if rest > 0 and others < MAX_VALUE_FRACTION * rest:
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


def without_bright_objects(frames: Sequence[np.ndarray], defects: Sequence[Defects]) -> list[Defects]:
    """The defects of frames, with objects far brighter than all else among them; those of stacks (`z y x`) as they are, for there such an
    object reaches through planes.
    """
    result = []
    for frame, each in zip(frames, defects, strict=True):
        bright = bright_objects(filled(frame, each)) & ~each.all if frame.ndim == 2 else np.zeros((), bool)
        result.append(replace(each, bright=bright) if bright.any() else each)
    return result


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
    return replace(found, pixels=found.pixels | pixels.reshape(frame.shape))


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
        rows, columns = known_part(frame, each.outside)
        sides = rows.stop - rows.start, columns.stop - columns.start
        if each.outside.any() and min(sides) < MIN_KNOWN_PX:
            raise ImageError(
                f"areas without data leave no rectangle larger than {sides[0]} x {sides[1]} pixels, {MIN_KNOWN_PX} x {MIN_KNOWN_PX} are "
                "needed to measure the camera; crop the image to what was recorded, and give no mask or labels"
            )
        known.append(filled(frame, each)[..., rows, columns])
    return known
