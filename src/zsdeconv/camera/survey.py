"""Survey of the frames before any fit: sampled pixels, clipping, quantisation, spectrum of the noise, brightness levels."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from zsdeconv.camera.highpass import CUTOFF_RANGE_PER_PX, Filters, detect_cutoff, filters, neighbour_correlation, tile_spectra
from zsdeconv.camera.levels import Levels, collect
from zsdeconv.errors import ImageError

MAX_NOISE_CORRELATION = 0.08
"""Correlation of the noise of neighbouring pixels up to which it counts as white. Chosen: linear or cubic enlargement of a
simulated image by 1.1 to 2 gives 0.11 to 0.25, white noise about 0.01."""
MAX_SAMPLED_PX = 1_600_000
"""Pixels that are filtered. Chosen: memory and time; more pixels hardly lower the standard error of the gain."""
TILE_PX = 512
"""Side of the tiles drawn from larger images. Chosen: small against the image, large against the kernels."""
MAX_FRAMES = 64
"""Frames of a series that are read. Chosen: more frames of one camera hardly change its constants."""
MAX_FRAME_PX = 6_000_000
"""Pixels of all frames together that are read. Chosen: memory."""


@dataclass(frozen=True)
class Survey:
    """Properties of the frames, in ADU.

    `frames` are a selection of whole frames minus `shift`; `step` is the distance of grey values (0: continuous); `clip` are the
    clipping limits (low, high) minus `shift`, `fractions` those of pixels at or beyond them; `kernel` are the filters of the
    `cutoff` used; `correlation` is the result of `neighbour_correlation`; `levels` are the brightness levels minus `shift`, with
    variances corrected for correlated noise.
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
    """Whether a correlation between neighbouring pixels exceeds its limit and three standard errors."""
    return abs(rho) > max(MAX_NOISE_CORRELATION, 3 * sigma)


def survey_frames(stack: np.ndarray, cutoff_per_px: float | None, *, floor: bool = True) -> Survey:
    """Survey of the frames (t y x) of a camera; the cutoff (cycles per pixel) is detected unless given. Without `floor`, many equal pixels
    at the bottom of the range are none that were clipped, but places without a photon.

    Raises `ImageError` for constant images, which hold no noise.
    """
    index = np.unique(
        np.linspace(0, len(stack) - 1, min(len(stack), MAX_FRAMES, max(1, MAX_FRAME_PX // stack[0].size))).round().astype(int)
    )
    raw = stack[index]
    shift = float(np.median(raw[:, ::3, ::3]))
    low, high = clip_values(raw)
    if not floor:
        low = -np.inf
    step = _step(raw)
    clip = (low - shift, high - shift)
    images = [(frame - np.asarray(shift, np.float64)).astype(np.float32) for frame in raw]
    if not any(np.ptp(image) > 0 for image in images):
        raise ImageError(f"the image is constant at {shift:g}, it must contain noise; give raw camera data")
    # float32 rounding must not move a clipped value across its limit
    clip = (float(np.nextafter(np.float32(clip[0]), np.float32(np.inf))), float(np.nextafter(np.float32(clip[1]), np.float32(-np.inf))))
    tiles = _tiles(images)
    spectra = np.concatenate([tile_spectra(tile[None], max(64, 1024 // len(tiles))) for tile in tiles])
    detected = detect_cutoff(spectra)
    cutoff = detected if cutoff_per_px is None else float(np.clip(max(cutoff_per_px, detected), *CUTOFF_RANGE_PER_PX))
    # the tiles with least structure are pure noise already somewhat below a detected cutoff
    correlation = neighbour_correlation(
        spectra, min(cutoff, 0.4) if cutoff_per_px is None else float(np.clip(cutoff_per_px, *CUTOFF_RANGE_PER_PX))
    )
    kernel = filters(round(cutoff, 3))
    fractions = (float(np.mean(raw <= low)), float(np.mean(raw >= high)))
    levels = collect(tiles, kernel, *clip)
    if is_correlated(*correlation[:2]):
        levels = levels.scaled(float(np.clip(correlation[2], 0.5, 5.0)))
    return Survey(images, shift, step, clip, fractions, kernel, cutoff, correlation, levels)


def _tiles(images: list[np.ndarray]) -> list[np.ndarray]:
    """All images, or random tiles of `MAX_SAMPLED_PX` pixels in total."""
    if sum(image.size for image in images) <= MAX_SAMPLED_PX:
        return images
    side = min(TILE_PX, *images[0].shape)
    ny, nx = images[0].shape
    corners = [(t, y, x) for t in range(len(images)) for y in range(0, ny - side + 1, side) for x in range(0, nx - side + 1, side)]
    order = np.random.default_rng(0).permutation(len(corners))[: max(1, MAX_SAMPLED_PX // side**2)]
    return [images[t][y : y + side, x : x + side] for t, y, x in (corners[i] for i in sorted(order))]


def clip_values(raw: np.ndarray) -> tuple[float, float]:
    """Values at the bottom and top of the range at which pixels accumulate, as clipping makes them; infinite without clipping."""
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
    """Quantisation step (ADU): the median distance between occurring grey values, 0 for continuous data."""
    sample = raw.ravel()[:: max(1, raw.size // 100_000)]
    values = np.unique(sample).astype(np.float64)
    return float(np.median(np.diff(values))) if 1 < len(values) < 0.5 * len(sample) else 0.0
