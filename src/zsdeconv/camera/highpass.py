"""High-pass statistics: noise measured at frequencies beyond the cutoff of the optics.

A wide-field image holds no signal beyond the cutoff `2 NA / lambda`. A filter `h` (sum 0, `sum h^2 = 1`) that passes only
higher spatial frequencies therefore turns an image `y` into pure noise `r = h * y`, whatever the structure. For noise that
is white with variance `beta1 (m - b) + beta2` at mean `m`, exactly

    E[r^2] = beta1 (M - b) + beta2,   M = h^2 * m        E[r^3] = beta1^2 S3 (T - b),   T = h^3 * m / S3,   S3 = sum h^3

so pixels may be grouped by brightness and averaged, provided that the grouping is independent of the noise in `M` and `r`.
Pixels are therefore grouped by an instrumental variable: the image filtered with the guide `k`, a Gaussian made orthogonal
to `h`, `h^2` and `h^3`. Grouping by `M` itself would attenuate the slope (errors in variables) and select outliers of `r`.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np

RADIUS_PX = 6
"""Radius of the kernels. Chosen: the transition of the high-pass is then about 0.1 cycles per pixel wide."""
GUIDE_SIGMA_PX = 2.0
"""Width of the Gaussian guide. Chosen: it averages about 50 pixels, yet follows structures of the size of a PSF."""
CUTOFF_RANGE_PER_PX = (0.25, 0.5)
"""Cutoffs of the high-pass, cycles per pixel. Law: 0.5 is the Nyquist frequency along the axes, beyond which only the
corners of the spectrum remain. Chosen: beyond 0.25 lie 80 % of the coefficients, so a lower cutoff would add little noise to measure."""
TILE_PX = 32
"""Side of the tiles of a periodogram. Chosen: frequency steps of 0.03 cycles per pixel, and many tiles in a small image."""


@dataclass(frozen=True)
class Filters:
    """Kernels of one cutoff: high-pass `h`, its powers `h2` and `h3` (the latter with sum 1), the guide `k`.

    `skew` is `sum h^3`; `spread` is the number of pixels per independent value of `r^2` (the sum of the squared autocorrelation
    of `h`, 1 for a delta).
    """

    h: np.ndarray
    h2: np.ndarray
    h3: np.ndarray
    k: np.ndarray
    skew: float
    spread: float


@lru_cache(maxsize=16)
def filters(cutoff_per_px: float) -> Filters:
    """Kernels (2 RADIUS_PX + 1 square) whose `h` passes only spatial frequencies above `cutoff_per_px` (cycles per pixel).

    >>> round(float((filters(0.35).h ** 2).sum()), 6)
    1.0
    """
    size, steps = 256, np.arange(-RADIUS_PX, RADIUS_PX + 1)
    frequency = np.fft.fftfreq(size)
    ideal = np.fft.fftshift(np.fft.ifft2(np.hypot(frequency[:, None], frequency) > cutoff_per_px).real)
    center = slice(size // 2 - RADIUS_PX, size // 2 + RADIUS_PX + 1)
    distance = np.hypot(steps[:, None], steps)
    window = np.i0(4.0 * np.sqrt(np.clip(1 - (distance / (RADIUS_PX + 1)) ** 2, 0, 1))) * (distance <= RADIUS_PX + 0.5)
    h = ideal[center, center] * window
    h -= window * h.sum() / window.sum()
    h /= np.sqrt((h**2).sum())
    k = np.exp(-(distance**2) / (2 * GUIDE_SIGMA_PX**2)) * (distance <= RADIUS_PX + 0.5)
    powers = np.stack([h.ravel() ** n for n in (1, 2, 3)], 1)
    k -= (powers @ np.linalg.lstsq(powers, k.ravel(), rcond=None)[0]).reshape(k.shape)
    spectrum = np.abs(np.fft.fft2(h, (64, 64))) ** 2
    return Filters(h, h**2, h**3 / (h**3).sum(), k / k.sum(), float((h**3).sum()), float((spectrum**2).mean()))


def correlate_valid(frame: np.ndarray, kernels: Iterable[np.ndarray]) -> list[np.ndarray]:
    """`frame` (y x) filtered with each (symmetric) kernel, where the kernel lies entirely inside: (y - 2R) x (x - 2R)."""
    from scipy.fft import irfft2, next_fast_len, rfft2

    kernels = list(kernels)
    edge = kernels[0].shape[0] - 1
    shape = [next_fast_len(n, True) for n in frame.shape]
    spectrum: Any = rfft2(frame, shape)
    inside = (slice(edge, frame.shape[0]), slice(edge, frame.shape[1]))
    return [np.asarray(irfft2(spectrum * rfft2(kernel.astype(frame.dtype), shape), shape))[inside] for kernel in kernels]


def tile_spectra(frames: np.ndarray, limit: int = 2048) -> np.ndarray:
    """Hann-windowed periodograms (tile ky kx) of half-overlapping tiles of `frames` (t y x); white noise of variance v has the value v.

    Of more than `limit` tiles an even selection is used.
    """
    from numpy.lib.stride_tricks import sliding_window_view

    size = min(TILE_PX, *frames.shape[1:])
    tiles = sliding_window_view(frames, (size, size), (1, 2))[:, :: size // 2, :: size // 2].reshape(-1, size, size)
    tiles = tiles[:: max(1, len(tiles) // limit)]
    taper = np.hanning(size + 2)[1:-1]
    window = np.outer(taper, taper)
    level = (tiles * window).sum((1, 2), keepdims=True) / window.sum()
    return np.abs(np.fft.fft2((tiles - level) * window)) ** 2 / (window**2).sum()


def radius_of(size: int) -> np.ndarray:
    """Spatial frequency (cycles per pixel) of each coefficient of a square spectrum of side `size`."""
    frequency = np.fft.fftfreq(size)
    return np.hypot(frequency[:, None], frequency)


def detect_cutoff(spectra: np.ndarray) -> float:
    """Lowest radius (cycles per pixel) beyond which the mean spectrum is flat, that is, free of signal; 0.5 when there is none.

    White noise has a flat mean spectrum even when its variance follows the image.
    """
    radius, power = radius_of(spectra.shape[-1]), spectra.mean(0)
    outer = radius > CUTOFF_RANGE_PER_PX[1]
    floor = power[outer].mean()
    tolerance = 3 / np.sqrt(max(1, 0.1 * power.size * len(spectra) * 0.4))
    for low in np.arange(CUTOFF_RANGE_PER_PX[0], CUTOFF_RANGE_PER_PX[1], 0.025):
        rings = [power[(radius >= low + a) & (radius < low + a + 0.05)].mean() for a in np.arange(0, CUTOFF_RANGE_PER_PX[1] - low, 0.05)]
        if max(rings) <= floor * (1.04 + tolerance):
            return float(low)
    return CUTOFF_RANGE_PER_PX[1]


MAX_SCATTER = 1.6
"""Standard error of a correlation over that of normal noise, at most. Measured: 1.6 for a few photons a pixel; where filtered noise leaves
nothing beyond the cutoff, tiles scatter more, and the correlation is real."""


def neighbour_correlation(spectra: np.ndarray, cutoff_per_px: float) -> tuple[float, float, float]:
    """Correlation of the noise of neighbouring pixels, its standard error, and the ratio of the true to the high-pass variance.

    `P(f) = a (1 + 2 rho_x cos(2 pi f_x) + 2 rho_y cos(2 pi f_y))` is fitted to the spectrum beyond the cutoff in the quarter of the
    tiles with least structure. The results are the one of rho_x and rho_y with the larger magnitude, its error, and `a / mean P`. The error
    is that of normal noise or, up to `MAX_SCATTER` times that, what the scatter of the tiles tells: single photons scatter more.
    """
    size = spectra.shape[-1]
    radius = radius_of(size)
    beyond = radius > min(cutoff_per_px + 0.03, CUTOFF_RANGE_PER_PX[1])
    noise = spectra[:, beyond].mean(1)
    noisy = noise > 1e-6 * noise.max(initial=0)  # leaves out tiles of constant value
    structure = spectra[noisy][:, radius < 0.15].mean(1) / noise[noisy]
    quiet = np.argsort(structure)[: max(4, len(structure) // 4)]
    if not noisy.any():
        return 0.0, 1.0, 1.0
    relative = spectra[noisy][quiet][:, beyond] / noise[noisy][quiet, None]
    wave = 2 * np.cos(2 * np.pi * np.fft.fftfreq(size))
    design = np.stack(
        [np.ones(beyond.sum()), np.broadcast_to(wave, (size, size))[beyond], np.broadcast_to(wave[:, None], (size, size))[beyond]], 1
    )
    of_tiles = np.linalg.lstsq(design, relative.T, rcond=None)[0]
    solution = of_tiles.mean(1)
    # neighbouring Hann coefficients and half-overlapping tiles share data: about a quarter of them count
    expected = np.sqrt(np.diag(np.linalg.inv(design.T @ design)) * 4.0 / len(quiet))
    found = of_tiles.std(1, ddof=1) / np.sqrt(len(quiet)) if len(quiet) > 1 else expected
    rho = solution[1:] / max(float(solution[0]), 1e-3)
    largest = int(np.argmax(np.abs(rho)))
    sigma = np.clip(found[largest + 1], expected[largest + 1], MAX_SCATTER * expected[largest + 1])
    return float(np.clip(rho[largest], -1, 1)), float(sigma), float(max(solution[0], 1e-3))
