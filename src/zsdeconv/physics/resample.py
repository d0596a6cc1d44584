"""Geometry of small arrays about a centre: measuring the centre, resampling, cropping.

Positions are in pixels of the array they refer to; the centre of an axis of n (odd) pixels is n // 2.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

SPLINE_DEGREE = 5
"""Degree of the interpolating splines. Chosen: closer to ideal interpolation near the Nyquist limit than a cubic spline."""
PADDING_PX = 10
"""Zeros around an array before spline interpolation. Law: the ringing of a quintic spline decays by 0.43 per sample, to 2e-4 here."""
LINE_BORDER_WIDTHS = 1.5
"""Margin on either side of the core over which a line spread function is summed, in widths of the core. Chosen: it holds the first side
lobes and excludes neighbours."""


def core_offset(values: np.ndarray) -> np.ndarray:
    """Displacement of the bright core from the centre of the array along each axis, in pixels.

    The core is the connected region above half the maximum, after smoothing with (1 2 1) / 4 along each axis so that a hot
    pixel is not mistaken for the maximum. Its centroid is weighted by the excess over the half maximum. Tails, side lobes,
    noise and other beads do not contribute, and the tail of an asymmetric PSF is not shifted to the centre. For a symmetric
    PSF on its centre the result is exactly zero at any sampling.

    The displacement of a stack along y and x is that of the cores of its line spread functions (the light about the core,
    summed over the other axes), because extended structures appear there in an image. Under coma or tilt, where the light
    shifts sideways above and below the focus, the brightest plane alone would give another result.

    >>> core_offset(np.eye(5)[[2]].T @ np.eye(7)[[4]])
    array([0., 1.])
    """
    smooth, core = _core(values)
    offset = _centroid(core)
    if values.ndim == 3:
        box = tuple(_line_support(np.flatnonzero(core.any(_others(axis))), n) for axis, n in enumerate(values.shape))
        for axis in (1, 2):
            line = _core(smooth[box].sum(_others(axis)))[1]
            offset[axis] = _centroid(line)[0] + box[axis].start + len(line) // 2 - values.shape[axis] // 2
    return offset


def _core(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """`values` smoothed, and their excess over half the maximum in the connected region of the maximum."""
    from scipy import ndimage

    smooth = values
    for axis in range(values.ndim):
        smooth = ndimage.correlate1d(smooth, [0.25, 0.5, 0.25], axis=axis, mode="constant")
    level = 0.5 * smooth.max()
    regions = np.empty(values.shape, np.int32)
    ndimage.label(smooth > level, output=regions)
    return smooth, np.where(regions == regions.flat[smooth.argmax()], smooth - level, 0.0)


def _centroid(weight: np.ndarray) -> np.ndarray:
    """Centroid relative to the centre of the array, pixels per axis."""
    grids = np.meshgrid(*(np.arange(n) - n // 2 for n in weight.shape), indexing="ij", sparse=True)
    return np.array([(weight * g).sum() / weight.sum() for g in grids])


def _others(axis: int) -> tuple[int, ...]:
    """The axes of a stack other than `axis`."""
    return tuple(other for other in range(3) if other != axis)


def _line_support(core: np.ndarray, size: int) -> slice:
    """The core along an axis and `LINE_BORDER_WIDTHS` times its width on either side, fewer pixels where the array ends earlier."""
    first, last = int(core[0]), int(core[-1])
    border = min(round(LINE_BORDER_WIDTHS * (last - first + 1)), first, size - 1 - last)
    return slice(first - border, last + border + 1)


class Interpolant:
    """A sampled function as a quintic spline, zero outside, to be evaluated on grids of `step` source pixels.

    Point samples remain point samples (no averaging over pixels), as in theoretical PSFs. When the new grid is coarser,
    frequencies beyond its Nyquist limit are removed first; they hold noise, since the grid can sample the PSF itself. Along z
    nothing is removed, because a plane is recorded at one focus and not averaged over the step to the next. The sum over
    samples times the pixel size is conserved.

    >>> f = Interpolant(np.outer(np.hanning(9), np.hanning(11)), step=(0.5, 0.5))
    >>> f(centre=(4, 5), half=(6, 7)).shape
    (13, 15)
    """

    def __init__(self, values: np.ndarray, step: Sequence[float]) -> None:
        from scipy.interpolate import make_interp_spline

        self.step = tuple(step)
        self.shape = values.shape
        self._knots = []
        self._coefficients = np.pad(values, PADDING_PX)
        for axis, ratio in enumerate(self.step):
            samples = np.moveaxis(self._coefficients, axis, 0)
            samples = _low_passed(samples, ratio) if axis >= values.ndim - 2 else samples
            spline = make_interp_spline(np.arange(len(samples)), samples, k=SPLINE_DEGREE)
            self._knots.append(spline.t)
            self._coefficients = np.moveaxis(spline.c, 0, axis)

    def __call__(self, centre: Sequence[float], half: Sequence[int]) -> np.ndarray:
        """Values on a grid of 2 `half` + 1 points per axis about `centre` (source pixels)."""
        out = self._coefficients
        for axis, (c, h) in enumerate(zip(centre, half, strict=True)):
            out = np.moveaxis(self._basis(axis, c, h) @ np.moveaxis(out, axis, -2), -2, axis)
        return out

    def _basis(self, axis: int, centre: float, half: int) -> np.ndarray:
        """Matrix from spline coefficients to the points of one axis; rows of zeros outside the source."""
        from scipy.interpolate import BSpline

        at = PADDING_PX + centre + self.step[axis] * np.arange(-half, half + 1)
        last = self.shape[axis] - 1 + 2 * PADDING_PX
        inside = (at >= 0) & (at <= last)
        rows = BSpline.design_matrix(np.clip(at, 0, last), self._knots[axis], SPLINE_DEGREE).toarray()
        return rows * inside[:, None]


def _low_passed(samples: np.ndarray, step: float) -> np.ndarray:
    """`samples` without the frequencies along axis 0 beyond the Nyquist limit of a grid of `step` pixels."""
    if step <= 1:
        return samples
    spectrum = np.fft.rfft(samples, axis=0)
    spectrum[np.fft.rfftfreq(len(samples)) > 0.5 / step] = 0
    return np.fft.irfft(spectrum, len(samples), axis=0)


def recentred(values: np.ndarray, step: Sequence[float]) -> tuple[np.ndarray, np.ndarray]:
    """`values` on a grid of `step` source pixels centred on the bright core, and the position of the core (source pixels).

    The grid covers the whole source and has odd sizes. The centre is found by iteration on the new grid: shift, measure
    `core_offset`, shift again, by a smaller fraction of the offset after each step that increased it.
    """
    grid_step = np.asarray(step, float)
    array_center = np.array(values.shape) // 2
    centre = array_center + core_offset(values)
    if np.allclose(grid_step, 1, atol=1e-6) and np.abs(centre - array_center).max() < 1e-3 and all(n % 2 for n in values.shape):
        return values, array_center.astype(float)  # already centred: no interpolation
    f = Interpolant(values, step)
    last = np.array(values.shape) - 1

    def whole(centre: np.ndarray) -> np.ndarray:
        extent = np.maximum(centre, last - centre)
        return f(centre.tolist(), np.maximum(1, np.floor(extent / grid_step + 1e-6)).astype(int).tolist())

    best, smallest, damping = (whole(centre), centre), np.inf, 1.0
    for _ in range(24):
        out = whole(centre)
        offset = core_offset(out)
        if (size := np.abs(offset).max()) < smallest:
            best, smallest = (out, centre), size
        else:
            damping *= 0.5
        if size < 1e-3:
            break
        centre = np.clip(centre + damping * offset * grid_step, 0, last)
    return best


def half_widths_for_energy(values: np.ndarray, energy: float) -> tuple[int, ...]:
    """Half widths per axis of the smallest centred box that keeps at least the fraction `energy` of the sum.

    The permitted loss is divided equally among the axes, so an elongated PSF gets an elongated box.
    """
    halves = []
    for axis, n in enumerate(values.shape):
        profile = values.sum(axis=tuple(a for a in range(values.ndim) if a != axis))
        center = n // 2
        folded = profile[center:].copy()
        folded[1:] += profile[:center][::-1]
        enough = np.cumsum(folded) >= (1 - (1 - energy) / values.ndim) * profile.sum()
        halves.append(int(enough.argmax()) if enough.any() else center)
    return tuple(halves)


def cropped(values: np.ndarray, halves: Sequence[int]) -> np.ndarray:
    """The central 2 h + 1 samples of each (odd) axis, all samples where there are fewer."""
    return values[tuple(slice(max(n // 2 - h, 0), n // 2 + h + 1) for n, h in zip(values.shape, halves, strict=True))]
