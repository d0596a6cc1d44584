"""Time traces of regions of a series, and the variance from frame to frame in its static parts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from zsdeconv.camera.detector import Camera

MAX_REGIONS = 24
"""Regions that are compared. Chosen: more are too dim in most images."""
MIN_BRIGHTNESS_RATIO = 0.1
"""Light of a region relative to the brightest one. Chosen: dimmer ones are mostly noise."""
MAX_STATIC_SIGMAS = 2.0
"""Standard errors by which the variance of a static trace may exceed that of noise. Chosen: 98 % of static traces stay below."""
STATIC_QUANTILE = 0.25
"""Quantile of the steps, relative to the mean, below which tiles count as static where the camera is unknown. Chosen."""


@dataclass(frozen=True, eq=False)
class Region:
    """A square of `side_px` from (`y_px`, `x_px`), its mean intensities `raw` and `restored` (t), and the `noise` variance of `raw`."""

    y_px: int
    x_px: int
    side_px: int
    raw: np.ndarray
    restored: np.ndarray
    noise: float

    @property
    def slope(self) -> float:
        """`restored` regressed on `raw`, both without their means over time; 0 for a constant `raw`."""
        dx = self.raw - self.raw.mean()
        return float(np.vdot(dx, self.restored) / max(np.vdot(dx, dx), 1e-300))


class PooledTraces(NamedTuple):
    """Regression `slope` and correlation `r` of restored on raw traces, and the share of noise in the variance of the raw traces."""

    slope: float
    r: float
    noise_share: float


class Flicker(NamedTuple):
    """Number of `static_tiles`, and the variances from frame to frame in them, restored over raw: of single pixels and of whole tiles."""

    static_tiles: int
    pixel_variance: float
    tile_variance: float


def bright_places(image: np.ndarray, side_px: int) -> list[tuple[int, int]]:
    """First pixels (y, x) of the brightest squares of `side_px` in an image that do not overlap, the brightest first.

    >>> image = np.zeros((20, 30))
    >>> image[4:8, 20:24] = 1
    >>> bright_places(image, 4)
    [(4, 20)]
    """
    total = np.cumsum(np.cumsum(np.pad(image, ((1, 0), (1, 0))), 0), 1)
    sums = total[side_px:, side_px:] - total[:-side_px, side_px:] - total[side_px:, :-side_px] + total[:-side_px, :-side_px]
    least, places = MIN_BRIGHTNESS_RATIO * sums.max(), []
    while len(places) < MAX_REGIONS and sums.max() > max(least, 0.0):
        y, x = (int(i) for i in np.unravel_index(sums.argmax(), sums.shape))
        places.append((y, x))
        sums[max(y - side_px + 1, 0) : y + side_px, max(x - side_px + 1, 0) : x + side_px] = -np.inf
    return places


def step_variance(trace: np.ndarray) -> float:
    """Half the mean squared difference of successive frames `t ...`: the variance of noise, to which slow changes hardly contribute.

    >>> step_variance(np.array([0.0, 1.0, 0.0, 1.0]))
    0.5
    """
    return float(np.mean(np.square(np.diff(trace, axis=0)))) / 2


def noise_variance(trace: np.ndarray, camera: Camera | None, pixels: int) -> float:
    """Variance of the noise in a mean over pixels: by the law of the camera, or from the differences of successive frames."""
    if camera is None:
        return step_variance(trace)
    return float(np.mean(camera.variance(trace))) / pixels


def region(raw: np.ndarray, restored: np.ndarray, yx_px: tuple[int, int], side_px: int, camera: Camera | None, planes: int) -> Region:
    """A region of two series `t y x`.

    Parameters
    ----------
    raw, restored : series on one grid
    yx_px : first pixel of the region
    side_px : side of the region
    camera : law of the noise in `raw`, if known
    planes : planes of a stack that were averaged
    """
    y, x = yx_px
    window = (slice(None), slice(y, y + side_px), slice(x, x + side_px))
    trace = raw[window].mean((1, 2))
    return Region(y, x, side_px, trace, restored[window].mean((1, 2)), noise_variance(trace, camera, side_px**2 * planes))


def pooled(regions: Sequence[Region]) -> PooledTraces | None:
    """The traces of several regions, each without its mean, compared as one; None without any region."""
    if not regions:
        return None
    raw = np.concatenate([region.raw - region.raw.mean() for region in regions])
    restored = np.concatenate([region.restored - region.restored.mean() for region in regions])
    power, product = np.vdot(raw, raw), np.vdot(raw, restored)
    noise = sum(region.noise * (len(region.raw) - 1) for region in regions)
    size = float(np.sqrt(power * np.vdot(restored, restored)))
    return PooledTraces(float(product / power), float(product / size) if size else 0.0, float(noise / power))


def flicker(raw: np.ndarray, restored: np.ndarray, side_px: int, camera: Camera | None, planes: int) -> Flicker | None:
    """Variances from frame to frame in static tiles of two series `t y x`; None where no tile is static.

    Parameters
    ----------
    raw, restored : series on one grid
    side_px : side of a tile
    camera : law of the noise in `raw`, if known
    planes : planes of a stack that were averaged
    """
    before, after = (_tiles(series, side_px) for series in (raw, restored))
    traces = before.mean((-2, -1))
    steps = np.array([step_variance(trace) for trace in traces])
    if camera is None:
        relative = steps / np.maximum(traces.mean(1), 1e-300)
        static = relative <= np.quantile(relative, STATIC_QUANTILE)
    else:
        noise = np.array([noise_variance(trace, camera, side_px**2 * planes) for trace in traces])
        # The variance from n successive differences of noise has a relative error of sqrt(3 / n).
        static = steps <= noise * (1 + MAX_STATIC_SIGMAS * np.sqrt(3 / (len(raw) - 1)))
    if not static.any() or not steps[static].sum():
        return None
    pixels = [np.mean([step_variance(tile) for tile in tiles[static]]) for tiles in (before, after)]
    whole = [np.mean([step_variance(tile.mean((-2, -1))) for tile in tiles[static]]) for tiles in (before, after)]
    return Flicker(int(static.sum()), float(pixels[1] / pixels[0]), float(whole[1] / whole[0]))


def _tiles(series: np.ndarray, side: int) -> np.ndarray:
    """Squares `n t side side` that cover a series `t y x` from its first pixel on."""
    frames, ny, nx = series.shape
    rows, columns = ny // side, nx // side
    cut = series[:, : rows * side, : columns * side].reshape(frames, rows, side, columns, side)
    return cut.transpose(1, 3, 0, 2, 4).reshape(-1, frames, side, side)
