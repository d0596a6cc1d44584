"""How fine the detail is that the data vouch for: where the noise begins, and how well two halves of the data agree.

At each spatial frequency the data hold the power `S` of the signal and `N` of the noise; beyond the frequency at which `S` falls under
a sixth of `N` (a Fourier ring correlation of 1/7 between two such recordings) whatever a restored image shows is not in the data
any more, but has been inferred by the network.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from zsdeconv.acquisition.base import Measurement
from zsdeconv.metrics import FRC_THRESHOLD, frc_curve
from zsdeconv.report.statistics.decorrelation import Decorrelation, decorrelation
from zsdeconv.report.statistics.rings import Rings
from zsdeconv.report.statistics.splits import at_full_light, noise_splits

ROUNDS = 16
SPLITS = 4
LEAST_SNR = FRC_THRESHOLD / (1 - FRC_THRESHOLD)
"""Power of the signal over that of the noise, 1/6, at which two recordings correlate to 1/7."""
SIGNIFICANT = 4.0
"""Standard deviations by which power must exceed that of noise to count: of a hundred rings of noise none does."""
SMOOTH = 0.08
"""Width (sigma) over which powers are averaged, in units of the frequency: a spectrum falls by factors, and single rings are noisy."""
PASSED = 1e-4
"""Share of the strongest noise below which a reconstruction is taken to have let nothing pass."""
Images = tuple[np.ndarray, np.ndarray]


@dataclass(frozen=True, eq=False)
class Spectrum:
    """Signal and noise of an image at `frequency_per_um`: `snr` is their ratio of powers `S / N`, and `least` what it must exceed to count.

    `limit_per_um` is the highest frequency at which it does: the noise limit; None where there is no signal at all. `reach_per_um` is
    the highest frequency that was looked at.
    """

    frequency_per_um: np.ndarray
    snr: np.ndarray
    least: np.ndarray
    limit_per_um: float | None
    reach_per_um: float


@dataclass(frozen=True, eq=False)
class Correlation:
    """A Fourier ring correlation `frc` at `frequency_per_um`, and the frequency at which it first falls under 1/7 (None: nowhere)."""

    frequency_per_um: np.ndarray
    frc: np.ndarray
    crossing_per_um: float | None


@dataclass(frozen=True, eq=False)
class Resolution:
    """How fine the detail is: in the data (`spectrum`, `raw`), and in the restoration (`restored`, `structure`).

    `raw` is the Fourier ring correlation of two halves of the data, `restored` that of their restorations, both at full light; `recorded`
    that of two recordings of a static sample, as it is. `structure` is the decorrelation analysis of the restored image. What was not
    given is None. `cutoff_per_um` is the highest frequency that the optics pass.
    """

    spectrum: Spectrum
    raw: Correlation
    restored: Correlation | None
    recorded: Correlation | None
    structure: Decorrelation | None
    cutoff_per_um: float | None

    @property
    def noise_limit_nm(self) -> float | None:
        """Period beyond which the data hold no signal above the noise."""
        limit = self.spectrum.limit_per_um
        return 1e3 / limit if limit else None


def examine_resolution(
    measurement: Measurement,
    yx_spacing_um: Sequence[float],
    *,
    restored_splits: Images | None = None,
    recorded_splits: Images | None = None,
    restored: np.ndarray | None = None,
    cutoff_per_um: float | None = None,
    seed: int = 0,
    rounds: int = ROUNDS,
) -> Resolution:
    """The resolution of a field with pixels of `yx_spacing_um`, without any reference.

    `restored_splits` are restorations of both halves (`zsdeconv.report.statistics.splits.restored_splits`), `recorded_splits` two recordings of a
    static sample (`alternating_splits`), `restored` is the restoration itself. They cover the same field on any grid. With
    `cutoff_per_um` of the optics signal is looked for up to there. All planes of a stack are pooled.

    >>> from zsdeconv.acquisition.direct import CameraMeasurement
    >>> from zsdeconv.camera.detector import Camera
    >>> clean = torch.zeros(96, 96)
    >>> clean[20:76, 45:51] = 40.0
    >>> noisy = torch.poisson(clean + 2, generator=torch.Generator().manual_seed(1))
    >>> examine_resolution(CameraMeasurement(noisy, Camera(0.0, 1.0, 0.0)), (0.1, 0.1)).noise_limit_nm is None
    False
    """
    shape = np.array(measurement.y.shape[-2:])

    def correlation(pair: Images, *, halved: bool) -> Correlation:
        spacing = shape / pair[0].shape[-2:] * np.array(yx_spacing_um)
        frequency, frc = frc_curve(pair[0], pair[1], (float(spacing[0]), float(spacing[1])))
        return _crossed(frequency, at_full_light(frc) if halved else frc)

    generator = torch.Generator().manual_seed(seed)
    splits = [correlation(_arrays(*noise_splits(measurement, generator)), halved=False) for _ in range(SPLITS)]
    raw = _crossed(splits[0].frequency_per_um, at_full_light(np.mean([split.frc for split in splits], 0)))
    fine_um = None if restored is None else shape / restored.shape[-2:] * np.array(yx_spacing_um)
    return Resolution(
        spectrum=signal_and_noise(measurement, yx_spacing_um, cutoff_per_um=cutoff_per_um, seed=seed, rounds=rounds),
        raw=raw,
        restored=None if restored_splits is None else correlation(restored_splits, halved=True),
        recorded=None if recorded_splits is None else correlation(recorded_splits, halved=False),
        structure=None if restored is None or fine_um is None else decorrelation(restored, fine_um.tolist()),
        cutoff_per_um=cutoff_per_um,
    )


def signal_and_noise(
    measurement: Measurement, yx_spacing_um: Sequence[float], *, cutoff_per_um: float | None = None, seed: int = 0, rounds: int = ROUNDS
) -> Spectrum:
    """Power of the signal over that of the noise by spatial frequency: `|Y|^2 / N - 1`, with `N` from noise drawn for the field.

    It is what the cross-spectrum of halves gives when it is averaged over all ways to halve: `(Y + Z)(Y - Z)* = |Y|^2 - |Z|^2` on
    average over `Z`. The limit is the highest frequency (up to `cutoff_per_um`) with a ratio of `LEAST_SNR` that noise alone
    does not reach by chance.
    """
    rings, generator = Rings(measurement.y.shape[-2:], yx_spacing_um), torch.Generator().manual_seed(seed)
    draws = [measurement.noise(generator).cpu().numpy() for _ in range(rounds)]
    size = sum(float(np.mean(np.square(draw, dtype=np.float64))) for draw in draws) / rounds
    share = 1 - float(measurement.variance_bias().mean()) / max(size, 1e-30)
    weights = _weights(rings)
    powers = share * np.array([weights @ rings.power(draw) for draw in draws])
    floor, data = powers.mean(0), weights @ rings.power(measurement.y.cpu().numpy())
    passed = np.maximum(floor, PASSED * floor.max())
    snr = np.where(floor > PASSED * floor.max(), data / passed - 1, 0.0)
    # The spread of all frequencies together is known far better than that of each: it goes with the number of modes.
    by_modes = np.sqrt((weights**2 / rings.modes).sum(1))
    spread = by_modes * np.sqrt(np.mean((powers.std(0, ddof=1) / passed / by_modes)[1:] ** 2))
    least = np.maximum(LEAST_SNR, SIGNIFICANT * spread)
    reach = min(rings.frequency[-1], cutoff_per_um or np.inf)
    return Spectrum(rings.frequency, snr, least, _last_above(rings.frequency, snr / least, reach), float(reach))


def _last_above(frequency: np.ndarray, ratio: np.ndarray, reach: float) -> float | None:
    """The highest frequency up to `reach` at which `ratio` is 1 or more, interpolated to where it falls under 1."""
    inside = frequency <= reach
    above = np.flatnonzero((ratio >= 1) & inside)
    above = above[above > 0]  # the mean is no detail
    if not above.size:
        return None
    last = int(above[-1])
    if last + 1 >= len(frequency) or not inside[last + 1]:
        return float(reach)
    high, low = ratio[last], ratio[last + 1]
    return float(min(reach, frequency[last] + (high - 1) / (high - low) * (frequency[last + 1] - frequency[last])))


def _weights(rings: Rings) -> np.ndarray:
    """Means over neighbouring rings (ring by ring), each counted with its modes, over a width that grows with the frequency."""
    n = np.arange(len(rings.frequency))
    width = np.maximum(SMOOTH * n, 0.5)
    weights = rings.modes * np.exp(-0.5 * ((n[:, None] - n) / width[:, None]) ** 2)
    return weights / weights.sum(1, keepdims=True)


def _crossed(frequency: np.ndarray, frc: np.ndarray) -> Correlation:
    """With the first frequency, averaged over three rings, at which it falls under 1/7."""
    smooth = np.convolve(np.pad(frc, 1, mode="edge"), np.ones(3) / 3, "valid")
    below = np.flatnonzero(smooth[2:] < FRC_THRESHOLD) + 2  # the innermost rings hold a handful of values each
    return Correlation(frequency, frc, float(frequency[below[0]]) if below.size else None)


def _arrays(*tensors: torch.Tensor) -> Images:
    first, second = (tensor.cpu().numpy() for tensor in tensors)
    return first, second
