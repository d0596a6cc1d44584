"""What frames tell before any fit: sampled pixels, clipping, quantisation, the spectrum of the noise and its levels."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from zsdeconv.camera.highpass import CUTOFF_RANGE, Filters, detect_cutoff, filters, neighbour_correlation, tile_spectra
from zsdeconv.camera.levels import Levels, collect
from zsdeconv.errors import ImageError

CORRELATION_LIMIT = 0.08
SAMPLE_PX = 1_600_000
TILE_PX = 512
MOST_FRAMES = 64
MOST_PX = 6_000_000


@dataclass(frozen=True)
class Survey:
    """What the frames themselves tell, in ADU.

    `frames`: some whole frames less `shift`; `step` between grey values (0: continuous); `clip`: limits (low, high) less
    `shift`, `fractions` of pixels at or beyond them; `kernel` of the `cutoff` used; `correlation` as `neighbour_correlation`
    returns it; `levels` less `shift`, their variance corrected for correlated noise.
    """

    frames: list[np.ndarray]
    shift: float
    step: float
    clip: tuple[float, float]
    fractions: tuple[float, float]
    kernel: Filters
    cutoff: float
    correlation: tuple[float, float, float]
    levels: Levels


def is_correlated(rho: float, sigma: float) -> bool:
    """Whether a correlation of neighbouring pixels' noise matters and is no accident (3 standard errors)."""
    return abs(rho) > max(CORRELATION_LIMIT, 3 * sigma)


def survey_frames(stack: np.ndarray, cutoff_per_px: float | None) -> Survey:
    chosen = np.unique(np.linspace(0, len(stack) - 1, min(len(stack), MOST_FRAMES, max(1, MOST_PX // stack[0].size))).round().astype(int))
    raw = stack[chosen]
    shift = float(np.median(raw[:, ::3, ::3]))
    low, high = _clip_values(raw)
    step = _step(raw)
    clip = (low - shift, high - shift)
    images = [(frame - np.asarray(shift, np.float64)).astype(np.float32) for frame in raw]
    if not any(np.ptp(image) > 0 for image in images):
        raise ImageError(f"the image is constant at {shift:g}, noise is needed to learn from; give raw camera data")
    # float32 rounding must not move a clipped value across its limit
    clip = (float(np.nextafter(np.float32(clip[0]), np.float32(np.inf))), float(np.nextafter(np.float32(clip[1]), np.float32(-np.inf))))
    tiles = _tiles(images)
    spectra = np.concatenate([tile_spectra(tile[None], max(64, 1024 // len(tiles))) for tile in tiles])
    found = detect_cutoff(spectra)
    cutoff = found if cutoff_per_px is None else float(np.clip(max(cutoff_per_px, found), *CUTOFF_RANGE))
    # the quietest tiles tell noise from structure somewhat below a cutoff that had to be guessed
    correlation = neighbour_correlation(
        spectra, min(cutoff, 0.4) if cutoff_per_px is None else float(np.clip(cutoff_per_px, *CUTOFF_RANGE))
    )
    kernel = filters(round(cutoff, 3))
    fractions = (float(np.mean(raw <= low)), float(np.mean(raw >= high)))
    levels = collect(tiles, kernel, *clip)
    if is_correlated(*correlation[:2]):
        levels = levels.scaled(float(np.clip(correlation[2], 0.5, 5.0)))
    return Survey(images, shift, step, clip, fractions, kernel, cutoff, correlation, levels)


def _tiles(images: list[np.ndarray]) -> list[np.ndarray]:
    """All of the images, or evenly drawn tiles of `SAMPLE_PX` pixels together."""
    if sum(image.size for image in images) <= SAMPLE_PX:
        return images
    side = min(TILE_PX, *images[0].shape)
    ny, nx = images[0].shape
    corners = [(t, y, x) for t in range(len(images)) for y in range(0, ny - side + 1, side) for x in range(0, nx - side + 1, side)]
    order = np.random.default_rng(0).permutation(len(corners))[: max(1, SAMPLE_PX // side**2)]
    return [images[t][y : y + side, x : x + side] for t, y, x in (corners[i] for i in sorted(order))]


def _clip_values(raw: np.ndarray) -> tuple[float, float]:
    """Values at and beyond which pixels pile up at the bottom and at the top of the range (infinite when none do)."""
    ordered = np.sort(raw[:, ::2, ::2] if raw.size > 4_000_000 else raw, axis=None)
    limits = np.iinfo(raw.dtype) if raw.dtype.kind in "ui" else None
    top, bottom = ordered[-1], ordered[0]
    at_top = ordered.size - int(np.searchsorted(ordered, top, "left"))
    next_to_top = ordered[max(0, ordered.size - at_top - 1)]
    near_top = ordered.size - at_top - int(np.searchsorted(ordered, next_to_top, "left"))
    at_bottom = int(np.searchsorted(ordered, bottom, "right"))
    near_bottom = int(np.searchsorted(ordered, ordered[min(at_bottom, ordered.size - 1)], "right")) - at_bottom
    high = at_top >= 4 and (at_top > 3 * near_top or (limits is not None and top == limits.max))
    low = at_bottom >= 4 and (at_bottom > 2 * near_bottom or (limits is not None and bottom == limits.min))
    return float(bottom) if low else -np.inf, float(top) if high else np.inf


def _step(raw: np.ndarray) -> float:
    """Quantisation step (ADU): the usual distance of neighbouring grey values, 0 for continuous data."""
    sample = raw.ravel()[:: max(1, raw.size // 100_000)]
    values = np.unique(sample).astype(np.float64)
    return float(np.median(np.diff(values))) if 1 < len(values) < 0.5 * len(sample) else 0.0
