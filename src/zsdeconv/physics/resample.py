"""Geometry of small arrays around a centre: where the centre is, the same function on another grid, how much to keep.

Positions are in pixels of the array they refer to; the centre of an axis with n (odd) pixels is n // 2.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

SPLINE_ORDER = 5
PAD = 10
"""Zeros around an array before it becomes a spline, so that its border cannot ring back into it."""


BESIDE_THE_CORE = 1.5
"""Widths of the core, on either side of it, from which the light of a line spread function is taken."""


def core_offset(values: np.ndarray) -> np.ndarray:
    """Displacement of the bright core from the centre of the array, per axis, in pixels.

    The core is the connected region above half the maximum, after smoothing with (1 2 1) / 4 along each axis so that a hot
    pixel is not taken for a maximum; its centroid is weighted by what exceeds the half maximum. Tails, side lobes, noise
    and other beads have no part in it, and an asymmetric PSF keeps its tail where it was. For a symmetric PSF on its
    centre the result is exactly zero at any sampling.

    Of a stack, y and x are those of the cores of its line spread functions: the light about the core, summed over the other
    axes. What is not a point lies there in an image. The brightest plane alone says something else when the light moves aside
    in the planes above and below, as under coma or tilt.

    >>> core_offset(np.eye(5)[[2]].T @ np.eye(7)[[4]])
    array([0., 1.])
    """
    smooth, core = _core(values)
    offset = _centroid(core)
    if values.ndim == 3:
        box = tuple(_beside(np.flatnonzero(core.any(_others(axis))), n) for axis, n in enumerate(values.shape))
        for axis in (1, 2):
            line = _core(smooth[box].sum(_others(axis)))[1]
            offset[axis] = _centroid(line)[0] + box[axis].start + len(line) // 2 - values.shape[axis] // 2
    return offset


def _core(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """`values` smoothed, and what of them exceeds half the maximum in the region around it."""
    from scipy import ndimage

    smooth = values
    for axis in range(values.ndim):
        smooth = ndimage.correlate1d(smooth, [0.25, 0.5, 0.25], axis=axis, mode="constant")
    level = 0.5 * smooth.max()
    regions = np.empty(values.shape, np.int32)
    ndimage.label(smooth > level, output=regions)
    return smooth, np.where(regions == regions.flat[smooth.argmax()], smooth - level, 0.0)


def _centroid(weight: np.ndarray) -> np.ndarray:
    """Centroid from the centre of the array, pixels per axis."""
    grids = np.meshgrid(*(np.arange(n) - n // 2 for n in weight.shape), indexing="ij", sparse=True)
    return np.array([(weight * g).sum() / weight.sum() for g in grids])


def _others(axis: int) -> tuple[int, ...]:
    """The axes of a stack besides one."""
    return tuple(other for other in range(3) if other != axis)


def _beside(core: np.ndarray, size: int) -> slice:
    """The places of a core along an axis and `BESIDE_THE_CORE` times as many on either side, as far as there are so many on both."""
    first, last = int(core[0]), int(core[-1])
    reach = min(round(BESIDE_THE_CORE * (last - first + 1)), first, size - 1 - last)
    return slice(first - reach, last + reach + 1)


class Interpolant:
    """A sampled function as a quintic spline, zero outside: evaluate it on grids of `step` source pixels.

    Samples stay samples (no averaging over pixels), so that a PSF read from a file and one from theory mean the same.
    Where the new grid is coarser, frequencies beyond its Nyquist limit are removed first: a PSF that the grid can carry has
    none, its noise has. Along z nothing is removed: a plane shows what is in its focus, not a mean over the step to the next.
    The sum over samples times the pixel size is kept.

    >>> f = Interpolant(np.outer(np.hanning(9), np.hanning(11)), step=(0.5, 0.5))
    >>> f(centre=(4, 5), half=(6, 7)).shape
    (13, 15)
    """

    def __init__(self, values: np.ndarray, step: Sequence[float]) -> None:
        from scipy.interpolate import make_interp_spline

        self.step = tuple(step)
        self.shape = values.shape
        self._knots = []
        self._coefficients = np.pad(values, PAD)
        for axis, ratio in enumerate(self.step):
            samples = np.moveaxis(self._coefficients, axis, 0)
            samples = _low_passed(samples, ratio) if axis >= values.ndim - 2 else samples
            spline = make_interp_spline(np.arange(len(samples)), samples, k=SPLINE_ORDER)
            self._knots.append(spline.t)
            self._coefficients = np.moveaxis(spline.c, 0, axis)

    def __call__(self, centre: Sequence[float], half: Sequence[int]) -> np.ndarray:
        """Values on a grid of 2 `half` + 1 points per axis whose middle lies at `centre` (source pixels)."""
        out = self._coefficients
        for axis, (c, h) in enumerate(zip(centre, half, strict=True)):
            out = np.moveaxis(self._basis(axis, c, h) @ np.moveaxis(out, axis, -2), -2, axis)
        return out

    def _basis(self, axis: int, centre: float, half: int) -> np.ndarray:
        """Matrix from spline coefficients to the points of one axis; rows of zeros outside the source."""
        from scipy.interpolate import BSpline

        at = PAD + centre + self.step[axis] * np.arange(-half, half + 1)
        last = self.shape[axis] - 1 + 2 * PAD
        inside = (at >= 0) & (at <= last)
        rows = BSpline.design_matrix(np.clip(at, 0, last), self._knots[axis], SPLINE_ORDER).toarray()
        return rows * inside[:, None]


def _low_passed(samples: np.ndarray, step: float) -> np.ndarray:
    """`samples` without the frequencies along axis 0 that a grid of `step` pixels cannot carry."""
    if step <= 1:
        return samples
    spectrum = np.fft.rfft(samples, axis=0)
    spectrum[np.fft.rfftfreq(len(samples)) > 0.5 / step] = 0
    return np.fft.irfft(spectrum, len(samples), axis=0)


def recentred(values: np.ndarray, step: Sequence[float]) -> tuple[np.ndarray, np.ndarray]:
    """`values` on a grid of `step` source pixels whose middle is the centre of the bright core, and that centre.

    The grid covers the whole source. Odd in every axis. The centre is found on the new grid by iteration
    (shift, measure again, by half a step where the last one led away), so it is one that `core_offset` confirms there.
    """
    grid_step = np.asarray(step, float)
    middle = np.array(values.shape) // 2
    centre = middle + core_offset(values)
    if np.allclose(grid_step, 1, atol=1e-6) and np.abs(centre - middle).max() < 1e-3 and all(n % 2 for n in values.shape):
        return values, middle.astype(float)
    f = Interpolant(values, step)
    last = np.array(values.shape) - 1

    def whole(centre: np.ndarray) -> np.ndarray:
        reach = np.maximum(centre, last - centre)
        return f(centre.tolist(), np.maximum(1, np.floor(reach / grid_step + 1e-6)).astype(int).tolist())

    best, least, share = (whole(centre), centre), np.inf, 1.0
    for _ in range(24):
        out = whole(centre)
        offset = core_offset(out)
        if (size := np.abs(offset).max()) < least:
            best, least = (out, centre), size
        else:
            share *= 0.5
        if size < 1e-3:
            break
        centre = np.clip(centre + share * offset * grid_step, 0, last)
    return best


def half_widths_for_energy(values: np.ndarray, energy: float) -> tuple[int, ...]:
    """Smallest box about the middle, as half widths per axis, that keeps at least the fraction `energy` of the sum.

    Each axis may lose an equal share of what may be lost, so an elongated PSF gets an elongated box.
    """
    halves = []
    for axis, n in enumerate(values.shape):
        profile = values.sum(axis=tuple(a for a in range(values.ndim) if a != axis))
        middle = n // 2
        folded = profile[middle:].copy()
        folded[1:] += profile[:middle][::-1]
        enough = np.cumsum(folded) >= (1 - (1 - energy) / values.ndim) * profile.sum()
        halves.append(int(enough.argmax()) if enough.any() else middle)
    return tuple(halves)


def cropped(values: np.ndarray, halves: Sequence[int]) -> np.ndarray:
    """The middle 2 h + 1 samples of each (odd) axis, or all of them where there are fewer."""
    return values[tuple(slice(max(n // 2 - h, 0), n // 2 + h + 1) for n, h in zip(values.shape, halves, strict=True))]
