"""What a restoration leaves of the data, `z = (y - D H x) / sigma`: noise, or structure, or less than the noise.

`y` holds the very noise that the network has seen, so both directions are faults: structure left makes the residual larger
than noise, fitted noise makes it smaller. Some noise everybody fits: where the signal is strong nothing can tell the two apart, and
the best linear filter (Wiener) leaves `N / (S + N)` of the noise, with the powers of signal `S` and noise `N` at each frequency. To
leave less than that is a fault. Noise of a reconstruction is coloured, so nothing here is compared with a formula for white noise:
every statistic is compared with the same statistic of noise alone (null.py).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from zsdeconv.acquisition.base import Measurement
from zsdeconv.acquisition.light import ClosedLight, LightBalance
from zsdeconv.errors import ImageError
from zsdeconv.physics import grid
from zsdeconv.report.statistics.residual_clusters import Blob, Search
from zsdeconv.report.statistics.rings import Rings

ROUNDS = 24
BANDS = 6
LEAST_POWER = 0.01
"""Bands whose noise has less than this share of the strongest band's power hold nothing: a reconstruction ends before its pixels do."""
SIGNIFICANT = 3.5
"""Standard deviations by which the power of a band must differ before the amount is judged."""


@dataclass(frozen=True, eq=False)
class Residuals:
    """The residual of a restoration in units of the noise, and the same statistics of noise alone.

    `z` is `(y - D H x - level) / sigma` on the grid of `y`; all else is of its inner part, without the rim. `level` is the constant part,
    in units of the noise (rms). `sd` is 1 within `sd_spread` where nothing but noise is left. `correlation` of neighbouring pixels
    against `correlation_expected`, which varies by `correlation_spread`. `power` is the radial spectrum of `z` over that of noise at
    `frequency_per_px`, and `bands` the same in equal bands, the `BANDS`-th of which ends at the Nyquist frequency, 1 within
    `bands_spread`. `sd_least` and `bands_least` are what the best linear filter would leave. `structure` is -1, 0 or 1 where the
    restoration has too much light, the right amount, too little; it consists of `blobs`, the most significant first.
    """

    z: np.ndarray
    level: float
    sd: float
    sd_spread: float
    sd_least: float
    correlation: float
    correlation_expected: float
    correlation_spread: float
    frequency_per_px: np.ndarray
    power: np.ndarray
    bands: np.ndarray
    bands_spread: np.ndarray
    bands_least: np.ndarray
    structure: np.ndarray
    blobs: list[Blob]

    @property
    def structure_share(self) -> float:
        """Share of the pixels in which structure is left."""
        return float(np.mean(self.structure != 0))

    @property
    def emptiest_band(self) -> int:
        """The band with least power for what the best linear filter leaves there."""
        return int(((self.bands + SIGNIFICANT * self.bands_spread) / self.bands_least).argmin())

    @property
    def fullest_band(self) -> int:
        """The band that has most power beyond that of noise."""
        return int((self.bands - SIGNIFICANT * self.bands_spread).argmax())


def examine_residuals(
    measurement: Measurement,
    reblurred: Tensor | np.ndarray,
    *,
    rim_px: Sequence[int] = (),
    light: LightBalance = ClosedLight(),  # noqa: B008
    seed: int = 0,
    rounds: int = ROUNDS,
) -> Residuals:
    """What `reblurred`, the restoration as it would be recorded without noise (`D H x`, in unit and grid of `field.y`), leaves of it.

    A camera image is standardised by the variance that Eq. 3 gives to `reblurred` and compared with Poisson and Gaussian noise of
    that very image: if the restoration is right, nobody can tell the two apart. The noise of any other field is drawn by
    `field.noise`. A constant difference is an offset and no structure: it is reported as `level` and taken off. Unless the imaging
    is `closed`, what is broader than `BROAD_PX` is taken off, too. Nearer than `rim_px` to the border (along each axis, as `border_px` says)
    nothing is judged.

    Raises `ImageError` when the grids differ or the noise is 0.

    >>> from zsdeconv.acquisition.direct import CameraMeasurement
    >>> from zsdeconv.camera.detector import Camera
    >>> clean = torch.full((48, 40), 30.0)
    >>> y = torch.poisson(clean, generator=torch.Generator().manual_seed(1))
    >>> found = examine_residuals(CameraMeasurement(y, Camera(0.0, 1.0, 0.0)), clean)
    >>> abs(found.sd - 1) < 4 * found.sd_spread, found.blobs
    (True, [])
    """
    x = torch.as_tensor(reblurred, dtype=measurement.y.dtype, device=measurement.y.device)
    if x.shape != measurement.y.shape:
        raise ImageError(
            f"re-blurred image of {tuple(x.shape)} pixels, image of {tuple(measurement.y.shape)}: they must be equal; apply the forward model"
        )
    x = light.adjusted(measurement.y, x)
    null = measurement.noise_reference(x, seed)
    weight = null.sigma**-2
    level = float(((measurement.y - x) * weight).sum() / weight.sum())
    z = ((measurement.y - x - level) / null.sigma).cpu().numpy()
    rim = tuple(rim_px) or (0,) * z.ndim
    inner = tuple(slice(r, n - r) for r, n in zip(rim, z.shape, strict=True))
    judged = z[inner]
    rings, search = Rings(judged.shape[-2:]), Search()
    noise = [_learn(search, rings, draw, null.sigma, light, inner) for draw in null.draws(rounds, seed + 1)]
    structure, blobs = search.structure(judged)
    sd, correlation = _moments(judged)
    (expected_sd, expected), (sd_spread, spread) = np.mean([n.moments for n in noise], 0), np.std([n.moments for n in noise], 0, ddof=1)
    return Residuals(
        z=z,
        level=level / float(null.sigma.square().mean().sqrt()),
        sd=float(sd / expected_sd),
        sd_spread=float(sd_spread / expected_sd),
        correlation=correlation,
        correlation_expected=float(expected),
        correlation_spread=float(spread),
        structure=np.pad(structure, [(r, r) for r in rim]),
        blobs=[replace(blob, zyx_px=tuple(map(float.__add__, blob.zyx_px, map(float, rim)))) for blob in blobs],
        **_spectra(rings, rings.power(judged), rings.power(measurement.y[inner].cpu().numpy()), noise),
    )


def border_px(shape: Sequence[int], support_px: Sequence[int], scale: int) -> tuple[int, ...]:
    """How far from the borders of an image of `shape` a residual says nothing about a restoration, in its pixels.

    Half the reach of the lens (`support_px` of the forward model, on the grid that is `scale` times finer laterally): nearer to a border the
    model guesses much of the light, and a reconstruction of raw frames has no frames to go on. An eighth of the image at most.

    >>> border_px((9, 64, 300), (20, 32, 32), 2)
    (1, 7, 8)
    """
    factors = grid.lateral_factors(len(shape), scale)
    return tuple(min(reach // (2 * f), (n - 1) // 8) for n, reach, f in zip(shape, support_px, factors, strict=True))


@dataclass(frozen=True, eq=False)
class _Noise:
    """Of one image of standardised noise: its moments and its power by rings; `plain` is the power of the same noise in the unit of `y`."""

    moments: tuple[float, float]
    power: np.ndarray
    plain: np.ndarray


def _learn(search: Search, rings: Rings, draw: Tensor, sigma: Tensor, light: LightBalance, inner: tuple[slice, ...]) -> _Noise:
    """Statistics of one draw, which `search` is shown, too; treated as the residual has been."""
    pure = light.detrended(draw)[inner].cpu().numpy()
    search.learn(pure)
    return _Noise(_moments(pure), rings.power(pure), rings.power((draw * sigma)[inner].cpu().numpy()))


def _spectra(rings: Rings, power: np.ndarray, data: np.ndarray, noise: Sequence[_Noise]) -> dict[str, Any]:
    """The entries of `Residuals` that have to do with spatial frequency, from the powers of `z` and of `y` by rings."""
    expected, plain = np.mean([n.power for n in noise], 0), np.mean([n.plain for n in noise], 0)
    least = np.minimum(plain / np.maximum(data, 1e-30), 1)
    own, mean, *single = (rings.banded(p, BANDS) for p in (power, expected, *[n.power for n in noise]))
    present = int(np.flatnonzero(mean > LEAST_POWER * mean.max())[-1]) + 1
    passed = (rings.frequency > 0) & (rings.frequency <= 0.5 * present / BANDS)
    return {
        "frequency_per_px": rings.frequency[passed],
        "power": (power / expected)[passed],
        "bands": (own / mean)[:present],
        "bands_spread": (np.std(single, 0, ddof=1) / mean)[:present],
        "bands_least": rings.banded(least, BANDS)[:present],
        "sd_least": float(rings.banded(least * plain, 1)[0] / rings.banded(plain, 1)[0]) ** 0.5,
    }


def _moments(z: np.ndarray) -> tuple[float, float]:
    """Root mean square, and correlation of lateral neighbours."""
    power = float(np.mean(np.square(z, dtype=np.float64)))
    along = np.mean(z[..., 1:] * z[..., :-1], dtype=np.float64), np.mean(z[..., 1:, :] * z[..., :-1, :], dtype=np.float64)
    return power**0.5, float(np.mean(along)) / max(power, 1e-30)
