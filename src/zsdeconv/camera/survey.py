"""Survey of the frames before any fit: sampled pixels, clipping, quantisation, spectrum of the noise, brightness levels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from zsdeconv.camera.correlation import QUIET_ABOVE_PER_PX, QUIET_BELOW_PER_PX, WHITE, NoiseCorrelation, measure_correlation
from zsdeconv.camera.highpass import CUTOFF_RANGE_PER_PX, Filters, detect_cutoff, filters, neighbour_correlation, radius_of, tile_spectra
from zsdeconv.camera.levels import Levels, collect
from zsdeconv.camera.lines import NO_LINES, LineOffsets, find_lines
from zsdeconv.errors import ImageError

MIN_CLIPPED_PX = 4
"""Pixels with the last value of the range from which they may be clipped. Chosen: the last values of any image are held by one or two."""
PILE_RATIO, PILE_SIGMAS = 1.1, 5.0
"""Pixels with the last value, over those with the one beside it, and standard errors of that, from which they are clipped. Chosen: noise
has fewer and fewer towards its end, though the steps of a converter differ."""
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
    variances corrected for correlated noise. `lines` are offsets of lines, which were removed, and `memory` what filtered the noise, where
    it is correlated and that could be measured.
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
    lines: LineOffsets = NO_LINES
    memory: NoiseCorrelation = WHITE


def is_correlated(rho: float, sigma: float) -> bool:
    """Whether a correlation between neighbouring pixels exceeds its limit and three standard errors."""
    return abs(rho) > max(MAX_NOISE_CORRELATION, 3 * sigma)


def survey_frames(stack: np.ndarray, cutoff_per_px: float | None, *, floor: bool = True, memory: bool = False) -> Survey:
    """Survey of the frames (t y x) of a camera; the cutoff (cycles per pixel) is detected unless given. Without `floor`, many equal pixels
    at the bottom of the range are none that were clipped, but places without a photon. With `memory`, offsets of lines and what filtered
    the noise are looked for.

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
    lines = find_lines(images) if memory else NO_LINES
    images = [np.where((image > clip[0]) & (image < clip[1]), lines.removed(image), image) for image in images] if lines else images
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
    survey = Survey(images, shift, step, clip, fractions, kernel, cutoff, correlation, levels, lines)
    if not is_correlated(*correlation[:2]):
        return survey
    measured = measure_correlation(_least_structured(images, spectra)) if memory else None
    if measured is None:
        return replace(survey, levels=levels.scaled(float(np.clip(correlation[2], 0.5, 5.0))))
    return _remembering(survey, tiles, measured)


def _least_structured(images: Sequence[np.ndarray], spectra: np.ndarray) -> np.ndarray:
    """Periodograms of images, or of differences of successive ones where these hold less structure: the sample hardly moves."""
    if len(images) < 2:
        return spectra
    changes = [(second - first) / np.float32(np.sqrt(2)) for first, second in zip(images[::2], images[1::2], strict=False)]
    differences = np.concatenate([tile_spectra(change[None], max(64, 1024 // len(changes))) for change in changes])
    radius = radius_of(spectra.shape[-1])

    def structure(powers: np.ndarray) -> float:
        power = powers.mean(0)
        return float(power[radius < QUIET_BELOW_PER_PX].mean() / max(power[radius > QUIET_ABOVE_PER_PX].mean(), 1e-30))

    return differences if structure(differences) < structure(spectra) else spectra


def _remembering(survey: Survey, tiles: Sequence[np.ndarray], memory: NoiseCorrelation) -> Survey:
    """The survey with what filtered the noise: the high-pass begins where that was measured, and levels have the variance of pixels."""
    cutoff = float(np.clip(memory.floor_per_px, *CUTOFF_RANGE_PER_PX))
    kernel = filters(round(cutoff, 3))
    factor, spread = memory.seen_by(kernel)
    kernel = replace(kernel, spread=spread)
    rho = max(memory.rho(0, 1), memory.rho(1, 0), key=abs)
    levels = collect(tiles, kernel, *survey.clip).scaled(factor)
    return replace(survey, kernel=kernel, cutoff=cutoff, correlation=(rho, memory.sigma, factor), levels=levels, memory=memory)


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
    high = at_top >= MIN_CLIPPED_PX and (at_top > 3 * near_top or _piled(at_top, near_top) or (limits is not None and top == limits.max))
    low = at_bottom >= MIN_CLIPPED_PX and (
        at_bottom > 2 * near_bottom or _piled(at_bottom, near_bottom) or (limits is not None and bottom == limits.min)
    )
    return float(bottom) if low else -np.inf, float(top) if high else np.inf


def _piled(at_end: int, beside: int) -> bool:
    """Whether more pixels than chance brings have the last value: noise falls off towards its end, and does not rise there."""
    return at_end > PILE_RATIO * beside + PILE_SIGMAS * np.sqrt(beside)


def _step(raw: np.ndarray) -> float:
    """Quantisation step (ADU): the median distance between occurring grey values, 0 for continuous data."""
    sample = raw.ravel()[:: max(1, raw.size // 100_000)]
    values = np.unique(sample).astype(np.float64)
    return float(np.median(np.diff(values))) if 1 < len(values) < 0.5 * len(sample) else 0.0
