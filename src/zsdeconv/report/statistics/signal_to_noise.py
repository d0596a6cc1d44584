"""Power of the signal over that of the noise by spatial frequency, and the frequency at which the signal ends."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from zsdeconv.acquisition.base import Measurement
from zsdeconv.metrics import FRC_THRESHOLD
from zsdeconv.report.statistics.rings import Rings

ROUNDS = 16
"""Images of noise that the data are compared with. Chosen: the spread of all frequencies together is then known to a few per cent."""
MIN_SNR = FRC_THRESHOLD / (1 - FRC_THRESHOLD)
"""Power of the signal over that of the noise, 1/6, at which the Fourier ring correlation of two recordings is 1/7."""
MIN_POWER_SIGMAS = 4.0
"""Standard deviations by which power must exceed that of noise to count. Chosen: of a hundred rings of noise none does."""
SMOOTHING_FRACTION = 0.08
"""Width (sigma) over which powers are averaged, relative to the frequency. Chosen: a spectrum falls by factors, and single rings are
noisy."""
MIN_NOISE_POWER = 1e-4
"""Power of noise relative to the strongest, below which a reconstruction is taken to pass nothing. Chosen: rounding errors are smaller."""


@dataclass(frozen=True, eq=False)
class SignalToNoise:
    """Ratio of powers `snr`, `S / N`, of an image at `frequency_per_um`, and `least`, which it must exceed to count.

    `limit_per_um` is the highest frequency at which it does, the noise limit; None where there is no signal at all. `end_per_um` is the
    highest frequency that was examined.
    """

    frequency_per_um: np.ndarray
    snr: np.ndarray
    least: np.ndarray
    limit_per_um: float | None
    end_per_um: float

    @property
    def limit_nm(self) -> float | None:
        """Period below which the data hold no signal above the noise."""
        return 1e3 / self.limit_per_um if self.limit_per_um else None


def signal_to_noise(
    measurement: Measurement, yx_spacing_um: Sequence[float], *, cutoff_per_um: float | None = None, seed: int = 0, rounds: int = ROUNDS
) -> SignalToNoise:
    """`|Y|^2 / N - 1` by spatial frequency, with the power `N` of drawn noise.

    It is the cross-spectrum of two halves of the data averaged over all ways to halve them: `(Y + Z)(Y - Z)* = |Y|^2 - |Z|^2` on average
    over `Z`. The limit is the highest frequency with a ratio of `MIN_SNR` that noise alone does not reach by chance.

    Parameters
    ----------
    measurement : image and its noise; the planes of a stack are pooled
    yx_spacing_um : pixel size
    cutoff_per_um : highest frequency that the optics pass
    seed : of the noise that is drawn
    rounds : images of noise that are drawn
    """
    rings, generator = Rings(measurement.y.shape[-2:], yx_spacing_um), torch.Generator().manual_seed(seed)
    draws = [measurement.noise(generator).cpu().numpy() for _ in range(rounds)]
    drawn = sum(float(np.mean(np.square(draw, dtype=np.float64))) for draw in draws) / rounds
    fraction = 1 - float(measurement.variance_bias().mean()) / max(drawn, 1e-30)
    weights = _weights(rings)
    powers = fraction * np.array([weights @ rings.power(draw) for draw in draws])
    noise, data = powers.mean(0), weights @ rings.power(measurement.y.cpu().numpy())
    passed = np.maximum(noise, MIN_NOISE_POWER * noise.max())
    snr = np.where(noise > MIN_NOISE_POWER * noise.max(), data / passed - 1, 0.0)
    # The relative spread is proportional to one over the root of the number of modes, so it is estimated from all frequencies together.
    by_modes = np.sqrt((weights**2 / rings.modes).sum(1))
    spread = by_modes * np.sqrt(np.mean((powers.std(0, ddof=1) / passed / by_modes)[1:] ** 2))
    least = np.maximum(MIN_SNR, MIN_POWER_SIGMAS * spread)
    end = min(rings.frequency[-1], cutoff_per_um or np.inf)
    return SignalToNoise(rings.frequency, snr, least, _last_above(rings.frequency, snr / least, end), float(end))


def _last_above(frequency: np.ndarray, ratio: np.ndarray, end: float) -> float | None:
    """The highest frequency up to `end` at which `ratio` is 1 or more, interpolated to where it falls below 1."""
    inside = frequency <= end
    above = np.flatnonzero((ratio >= 1) & inside)
    above = above[above > 0]  # without the mean of the image
    if not above.size:
        return None
    last = int(above[-1])
    if last + 1 >= len(frequency) or not inside[last + 1]:
        return float(end)
    high, low = ratio[last], ratio[last + 1]
    return float(min(end, frequency[last] + (high - 1) / (high - low) * (frequency[last + 1] - frequency[last])))


def _weights(rings: Rings) -> np.ndarray:
    """Means over neighbouring rings (ring by ring), each weighted with its modes, over a width proportional to the frequency."""
    n = np.arange(len(rings.frequency))
    width = np.maximum(SMOOTHING_FRACTION * n, 0.5)
    weights = rings.modes * np.exp(-0.5 * ((n[:, None] - n) / width[:, None]) ** 2)
    return weights / weights.sum(1, keepdims=True)
