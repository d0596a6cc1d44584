"""High-pass statistics: noise seen where the optics pass no signal.

A wide-field image holds no signal beyond the cutoff `2 NA / lambda`. A filter `h` (sum 0, `sum h^2 = 1`) that passes only
higher spatial frequencies therefore turns an image `y` into pure noise `r = h * y`, whatever the structure. For noise that
is white with variance `beta1 (m - b) + beta2` at mean `m`, exactly

    E[r^2] = beta1 (M - b) + beta2,   M = h^2 * m        E[r^3] = beta1^2 S3 (T - b),   T = h^3 * m / S3,   S3 = sum h^3

so pixels of any brightness may be grouped and averaged, provided the grouping is blind to the noise in `M` and `r`. The
guide `k` that groups them is a Gaussian made orthogonal to `h`, `h^2` and `h^3` for that reason: an instrumental variable.
Without it the slope would be attenuated by the noise of its own abscissa, and outlying guides would pick outlying `r`.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np

RADIUS = 6
GUIDE_SIGMA_PX = 2.0
CUTOFF_RANGE = (0.25, 0.5)
TILE = 32


@dataclass(frozen=True)
class Filters:
    """Kernels of one cutoff: high-pass `h`, its powers `h2` and `h3` (the latter with sum 1), the guide `k`.

    `skew` is `sum h^3`, `spread` the number of pixels that share one independent value of `r^2` (`sum of squared
    autocorrelation of h`, 1 for a delta).
    """

    h: np.ndarray
    h2: np.ndarray
    h3: np.ndarray
    k: np.ndarray
    skew: float
    spread: float


@lru_cache(maxsize=16)
def filters(cutoff_per_px: float) -> Filters:
    """Kernels (2 RADIUS + 1 square) whose `h` passes only spatial frequencies above `cutoff_per_px` (cycles per pixel).

    >>> round(float((filters(0.35).h ** 2).sum()), 6)
    1.0
    """
    size, steps = 256, np.arange(-RADIUS, RADIUS + 1)
    frequency = np.fft.fftfreq(size)
    ideal = np.fft.fftshift(np.fft.ifft2(np.hypot(frequency[:, None], frequency) > cutoff_per_px).real)
    middle = slice(size // 2 - RADIUS, size // 2 + RADIUS + 1)
    distance = np.hypot(steps[:, None], steps)
    window = np.i0(4.0 * np.sqrt(np.clip(1 - (distance / (RADIUS + 1)) ** 2, 0, 1))) * (distance <= RADIUS + 0.5)
    h = ideal[middle, middle] * window
    h -= window * h.sum() / window.sum()
    h /= np.sqrt((h**2).sum())
    k = np.exp(-(distance**2) / (2 * GUIDE_SIGMA_PX**2)) * (distance <= RADIUS + 0.5)
    powers = np.stack([h.ravel() ** n for n in (1, 2, 3)], 1)
    k -= (powers @ np.linalg.lstsq(powers, k.ravel(), rcond=None)[0]).reshape(k.shape)
    spectrum = np.abs(np.fft.fft2(h, (64, 64))) ** 2
    return Filters(h, h**2, h**3 / (h**3).sum(), k / k.sum(), float((h**3).sum()), float((spectrum**2).mean()))


def correlate_valid(frame: np.ndarray, kernels: Iterable[np.ndarray]) -> list[np.ndarray]:
    """`frame` (y x) filtered with each (symmetric) kernel, where the kernel lies wholly inside: (y - 2R) x (x - 2R)."""
    from scipy.fft import irfft2, next_fast_len, rfft2

    kernels = list(kernels)
    edge = kernels[0].shape[0] - 1
    shape = [next_fast_len(n, True) for n in frame.shape]
    spectrum: Any = rfft2(frame, shape)
    inside = (slice(edge, frame.shape[0]), slice(edge, frame.shape[1]))
    return [np.asarray(irfft2(spectrum * rfft2(kernel.astype(frame.dtype), shape), shape))[inside] for kernel in kernels]


def tile_spectra(frames: np.ndarray, limit: int = 2048) -> np.ndarray:
    """Hann-windowed periodograms of half-overlapping tiles of `frames` (t y x): (tile, ky, kx), white noise of variance v at v."""
    from numpy.lib.stride_tricks import sliding_window_view

    size = min(TILE, *frames.shape[1:])
    tiles = sliding_window_view(frames, (size, size), (1, 2))[:, :: size // 2, :: size // 2].reshape(-1, size, size)
    tiles = tiles[:: max(1, len(tiles) // limit)]
    taper = np.hanning(size + 2)[1:-1]
    window = np.outer(taper, taper)
    level = (tiles * window).sum((1, 2), keepdims=True) / window.sum()
    return np.abs(np.fft.fft2((tiles - level) * window)) ** 2 / (window**2).sum()


def radius_of(size: int) -> np.ndarray:
    """Spatial frequency (cycles per pixel) of each coefficient of a `size` square spectrum."""
    frequency = np.fft.fftfreq(size)
    return np.hypot(frequency[:, None], frequency)


def detect_cutoff(spectra: np.ndarray) -> float:
    """Lowest radius (cycles per pixel) beyond which the mean spectrum is flat: where the optics' signal has ended.

    White noise has a flat mean spectrum even when its variance follows the image. Falls back to 0.5 when nothing is flat.
    """
    radius, power = radius_of(spectra.shape[-1]), spectra.mean(0)
    outer = radius > CUTOFF_RANGE[1]
    floor = power[outer].mean()
    doubt = 3 / np.sqrt(max(1, 0.1 * power.size * len(spectra) * 0.4))
    for low in np.arange(CUTOFF_RANGE[0], CUTOFF_RANGE[1], 0.025):
        rings = [power[(radius >= low + a) & (radius < low + a + 0.05)].mean() for a in np.arange(0, CUTOFF_RANGE[1] - low, 0.05)]
        if max(rings) <= floor * (1.04 + doubt):
            return float(low)
    return CUTOFF_RANGE[1]


def neighbour_correlation(spectra: np.ndarray, cutoff_per_px: float) -> tuple[float, float, float]:
    """Correlation of the noise of neighbouring pixels, its standard error, and the variance missed by a high-pass estimate.

    Fits `P(f) = a (1 + 2 rho_x cos(2 pi f_x) + 2 rho_y cos(2 pi f_y))` to the spectrum beyond the cutoff in the quietest
    quarter of the tiles (least structure), returns the larger of rho_x, rho_y by size, its error, and `a / mean P`.
    """
    size = spectra.shape[-1]
    radius = radius_of(size)
    seen = radius > min(cutoff_per_px + 0.03, CUTOFF_RANGE[1])
    noise = spectra[:, seen].mean(1)
    alive = noise > 1e-6 * noise.max(initial=0)
    structure = spectra[alive][:, radius < 0.15].mean(1) / noise[alive]
    chosen = np.argsort(structure)[: max(4, len(structure) // 4)]
    if not alive.any():
        return 0.0, 1.0, 1.0
    relative = (spectra[alive][chosen][:, seen] / noise[alive][chosen, None]).mean(0)
    wave = 2 * np.cos(2 * np.pi * np.fft.fftfreq(size))
    design = np.stack(
        [np.ones(seen.sum()), np.broadcast_to(wave, (size, size))[seen], np.broadcast_to(wave[:, None], (size, size))[seen]], 1
    )
    solution = np.linalg.lstsq(design, relative, rcond=None)[0]
    # neighbouring Hann coefficients and half-overlapping tiles share data: about a quarter of them count
    covariance = np.linalg.inv(design.T @ design) * 4.0 / len(chosen)
    rho = solution[1:] / max(float(solution[0]), 1e-3)
    worst = int(np.argmax(np.abs(rho)))
    return float(np.clip(rho[worst], -1, 1)), float(np.sqrt(covariance[worst + 1, worst + 1])), float(max(solution[0], 1e-3))
