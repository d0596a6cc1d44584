"""Moments and spectrum of a standardised residual, relative to those of pure noise."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from zsdeconv.report.statistics.rings import Rings

BANDS = 6
"""Equal bands of spatial frequency up to the Nyquist frequency. Chosen: enough to tell a wrong PSF from noise, few enough to be precise."""
MIN_BAND_POWER = 0.01
"""Power of noise in a band, relative to the strongest band, from which it is judged: a reconstruction ends before its pixels do. Chosen."""


@dataclass(frozen=True, eq=False)
class NoiseStatistics:
    """Statistics of one image of standardised noise: `moments`, `power` by rings, and `raw_power` of the same noise in the unit of `y`."""

    moments: tuple[float, float]
    power: np.ndarray
    raw_power: np.ndarray


@dataclass(frozen=True, eq=False)
class BandPower:
    """Power of a residual over that of noise: `power` by rings at `frequency_per_px`, and `bands`, which noise has at 1 within `spread`.

    `least` and `sd_least` are what the best linear filter (Wiener) leaves, in each band and as a standard deviation over all.
    """

    frequency_per_px: np.ndarray
    power: np.ndarray
    bands: np.ndarray
    spread: np.ndarray
    least: np.ndarray
    sd_least: float


def moments(z: np.ndarray) -> tuple[float, float]:
    """Root mean square, and correlation of lateral neighbours.

    >>> moments(np.array([[1.0, -1.0], [-1.0, 1.0]]))
    (1.0, -1.0)
    """
    power = float(np.mean(np.square(z, dtype=np.float64)))
    along = np.mean(z[..., 1:] * z[..., :-1], dtype=np.float64), np.mean(z[..., 1:, :] * z[..., :-1, :], dtype=np.float64)
    return power**0.5, float(np.mean(along)) / max(power, 1e-30)


def band_power(rings: Rings, residual: np.ndarray, data: np.ndarray, noise: Sequence[NoiseStatistics]) -> BandPower:
    """The spectrum of a residual relative to noise.

    Parameters
    ----------
    rings : rings of the judged part of the image
    residual, data : power by rings of the standardised residual, and of the image in the unit of `y`
    noise : statistics of images of noise, two at least
    """
    expected, raw = np.mean([n.power for n in noise], 0), np.mean([n.raw_power for n in noise], 0)
    # The Wiener filter leaves the share N / (S + N) of the noise.
    least = np.minimum(raw / np.maximum(data, 1e-30), 1)
    own, mean, *single = (rings.banded(p, BANDS) for p in (residual, expected, *[n.power for n in noise]))
    present = int(np.flatnonzero(mean > MIN_BAND_POWER * mean.max())[-1]) + 1
    judged = (rings.frequency > 0) & (rings.frequency <= 0.5 * present / BANDS)
    return BandPower(
        frequency_per_px=rings.frequency[judged],
        power=(residual / expected)[judged],
        bands=(own / mean)[:present],
        spread=(np.std(single, 0, ddof=1) / mean)[:present],
        least=rings.banded(least, BANDS)[:present],
        sd_least=float(rings.banded(least * raw, 1)[0] / rings.banded(raw, 1)[0]) ** 0.5,
    )
