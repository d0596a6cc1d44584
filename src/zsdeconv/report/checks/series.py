"""Whether time traces can be measured in a restored series: what changes is kept, what does not change does not flicker."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from zsdeconv.camera.detector import Camera
from zsdeconv.errors import ImageError

REGION_PX = 12
"""Side of a region: four times the width of a well sampled PSF, so that a lens moves little of the light across its border."""
MOST_REGIONS = 24
DIMMEST = 0.1
"""Regions with less than this share of the brightest one's light are left out."""
ACTIVE = 10.0
"""Variance of a trace over that of its noise from which the slope is measured on it."""
STATIC = 2.0
"""Standard errors by which the variance of a static trace may exceed that of noise."""
FEWEST_FRAMES = 4


@dataclass(frozen=True, eq=False)
class Region:
    """A square of `side_px` pixels from (`y_px`, `x_px`), its mean intensities `raw` and `restored` (t), and the slope of one on the other.

    `noise` is the variance of the noise in `raw`.
    """

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


@dataclass(frozen=True, eq=False)
class Series:
    """Photometry of a restored time series.

    `active` regions are bright ones that change by more than noise. Pooled over them, each without its mean over time, `slope` and `r`
    are regression and correlation of restored on raw traces (None where nothing changes), and `noise_share` is the share of noise in
    the variance of the raw traces. A restoration that leaves noise of whole regions in place, as it does where it keeps sums, has an
    unbiased slope; one that removed it all would have a slope too small by `noise_share`, which is therefore its uncertainty.

    In `static` tiles, whose number this is, `pixel_variance` and `region_variance` are variances from frame to frame of single
    pixels and of whole tiles, restored over raw (None without such tiles).
    """

    active: list[Region]
    regions: int
    slope: float | None
    r: float | None
    noise_share: float | None
    static: int
    pixel_variance: float | None
    region_variance: float | None


def examine_series(raw: np.ndarray, restored: np.ndarray, camera: Camera | None = None, *, region_px: int = REGION_PX) -> Series:
    """Compare a restored time series with the raw one, both `t *zyx` and above the offset.

    `restored` lies on the grid of `raw` or on a laterally finer one, and is binned to it; stacks are averaged along z. `camera` is the
    law of the noise in `raw` in its unit; without one the noise of a trace is taken from the differences of successive frames.
    Regions are chosen from the mean raw image alone: the brightest squares of `region_px` pixels that do not overlap. A lens carries some
    of their light across the border, which deconvolution brings back: give a deconvolved series as it would be seen again, `D H x`.

    Raises `ImageError` when the shapes do not fit, for less than four frames, and for images smaller than a region.

    >>> rng, t = np.random.default_rng(0), np.arange(30)
    >>> clean = np.full((30, 48, 60), 5.0)
    >>> clean[:, 12:30, 20:36] += 40 * np.exp(-t / 9)[:, None, None]
    >>> found = examine_series(rng.poisson(clean), clean, Camera(0.0, 1.0, 0.0))
    >>> abs(found.slope - 1) < 0.02, found.r > 0.99, found.pixel_variance < 0.01
    (True, True, True)
    """
    seen, shown = _flat(raw), _binned(_flat(restored), raw.shape)
    frames, *yx_shape = seen.shape
    if frames < FEWEST_FRAMES or min(yx_shape) < region_px:
        raise ImageError(
            f"series of {frames} frames of {yx_shape[0]} x {yx_shape[1]} pixels: at least {FEWEST_FRAMES} frames and {region_px} pixels "
            "are needed; give a longer series or a smaller region"
        )
    planes = raw.size // seen.size
    regions = [_region(seen, shown, y, x, region_px, camera, planes) for y, x in bright_places(seen.mean(0), region_px)]
    active = [region for region in regions if np.var(region.raw, ddof=1) > ACTIVE * region.noise]
    slope, r, share = _pooled(active)
    # Still places are small where everything moves, and brightness is not compared across their borders: half the side will do.
    return Series(active, len(regions), slope, r, share, *_flicker(seen, shown, max(region_px // 2, 2), camera, planes))


def bright_places(image: np.ndarray, side_px: int) -> list[tuple[int, int]]:
    """First pixels (y, x) of the brightest squares of `side_px` in an image that do not overlap, the brightest first.

    >>> image = np.zeros((20, 30))
    >>> image[4:8, 20:24] = 1
    >>> bright_places(image, 4)
    [(4, 20)]
    """
    total = np.cumsum(np.cumsum(np.pad(image, ((1, 0), (1, 0))), 0), 1)
    sums = total[side_px:, side_px:] - total[:-side_px, side_px:] - total[side_px:, :-side_px] + total[:-side_px, :-side_px]
    least, places = DIMMEST * sums.max(), []
    while len(places) < MOST_REGIONS and sums.max() > max(least, 0.0):
        y, x = (int(i) for i in np.unravel_index(sums.argmax(), sums.shape))
        places.append((y, x))
        sums[max(y - side_px + 1, 0) : y + side_px, max(x - side_px + 1, 0) : x + side_px] = -np.inf
    return places


def _flat(series: np.ndarray) -> np.ndarray:
    """`t y x`: stacks averaged along z."""
    values = np.asarray(series, np.float64)
    return values.reshape(len(values), -1, *values.shape[-2:]).mean(1)


def _binned(restored: np.ndarray, raw_shape: tuple[int, ...]) -> np.ndarray:
    """`restored` (t y x) on the grid of the raw series."""
    ny, nx = raw_shape[-2:]
    scale = max(restored.shape[-1] // nx, 1)
    if restored.shape != (raw_shape[0], scale * ny, scale * nx):
        raise ImageError(f"restored series {restored.shape}, raw series {raw_shape}: give both of one restoration, with the same frames")
    return restored.reshape(len(restored), ny, scale, nx, scale).mean((2, 4))


def _region(seen: np.ndarray, shown: np.ndarray, y: int, x: int, side: int, camera: Camera | None, planes: int) -> Region:
    window = (slice(None), slice(y, y + side), slice(x, x + side))
    raw = seen[window].mean((1, 2))
    return Region(y, x, side, raw, shown[window].mean((1, 2)), _noise_variance(raw, camera, side**2 * planes))


def _noise_variance(trace: np.ndarray, camera: Camera | None, pixels: int) -> float:
    """Variance of the noise in a mean over so many pixels: by the camera's law, or from the differences of successive frames."""
    if camera is None:
        return step_variance(trace)
    return float(np.mean(camera.variance(trace))) / pixels


def step_variance(trace: np.ndarray) -> float:
    """Half the mean squared difference of successive frames `t ...`: the variance of noise, in which slow changes have hardly any part.

    >>> step_variance(np.array([0.0, 1.0, 0.0, 1.0]))
    0.5
    """
    return float(np.mean(np.square(np.diff(trace, axis=0)))) / 2


def _pooled(regions: list[Region]) -> tuple[float | None, float | None, float | None]:
    """Slope, correlation and share of noise over the traces of several regions, each without its mean."""
    if not regions:
        return None, None, None
    raw = np.concatenate([region.raw - region.raw.mean() for region in regions])
    restored = np.concatenate([region.restored - region.restored.mean() for region in regions])
    power, product = np.vdot(raw, raw), np.vdot(raw, restored)
    noise = sum(region.noise * (len(region.raw) - 1) for region in regions)
    size = float(np.sqrt(power * np.vdot(restored, restored)))
    return float(product / power), float(product / size) if size else 0.0, float(noise / power)


def _flicker(seen: np.ndarray, shown: np.ndarray, side: int, camera: Camera | None, planes: int) -> tuple[int, float | None, float | None]:
    """Number of static tiles, and the variances from frame to frame in them, restored over raw: of pixels, and of tiles."""
    before, after = (_tiles(series, side) for series in (seen, shown))
    traces = before.mean((-2, -1))
    steps = np.array([step_variance(trace) for trace in traces])
    if camera is None:
        chosen = steps / np.maximum(traces.mean(1), 1e-300) <= np.quantile(steps / np.maximum(traces.mean(1), 1e-300), 0.25)
    else:
        noise = np.array([_noise_variance(trace, camera, side**2 * planes) for trace in traces])
        # the variance from n successive differences of noise has a relative error of sqrt(3 / n)
        chosen = steps <= noise * (1 + STATIC * np.sqrt(3 / (len(seen) - 1)))
    if not chosen.any() or not steps[chosen].sum():
        return 0, None, None
    pixels = [np.mean([step_variance(tile) for tile in tiles[chosen]]) for tiles in (before, after)]
    whole = [np.mean([step_variance(tile.mean((-2, -1))) for tile in tiles[chosen]]) for tiles in (before, after)]
    return int(chosen.sum()), float(pixels[1] / pixels[0]), float(whole[1] / whole[0])


def _tiles(series: np.ndarray, side: int) -> np.ndarray:
    """Squares `n t side side` that cover a series `t y x`, what is left over at its ends excepted."""
    frames, ny, nx = series.shape
    rows, columns = ny // side, nx // side
    cut = series[:, : rows * side, : columns * side].reshape(frames, rows, side, columns, side)
    return cut.transpose(1, 3, 0, 2, 4).reshape(-1, frames, side, side)
