"""Spectra of an image and of its noise, averaged over tiles and rings, and the end of the signal."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from zsdeconv.acquisition.base import Measurement

MAX_PIXELS = 2**22
"""Pixels of an image that are used, in its centre. Chosen: more determine a width no better than the thickness of labels allows."""
MAX_PLANES = 8
"""Planes of a stack that are used. Chosen: neighbouring planes show the same structures."""
TILES_PX = (32, 64, 128)
"""Sides of tiles. Chosen: powers of two from the smallest that resolves an OTF."""
MIN_RESOLVED_FREQUENCIES = 16
"""Frequencies up to the end of the OTF that a tile resolves. Chosen: the fall of the OTF then spans several rings."""
DRAWS = 6
"""Draws of noise whose spectra are averaged. Chosen: with all tiles they know a ring to a per cent."""
INDEPENDENT_FRACTION = 0.15
"""Fraction of the coefficients of half-overlapping Hann tiles that are independent: (9 / 11)^2 / 1.5^2, half of which are conjugates."""
GROUPS = 4
"""Groups of tiles along y and along x, of which one at a time is left out in a jackknife. Chosen: each has several tiles."""
MIN_NOISE_RATIO = 0.01
"""Smallest power of the noise relative to the largest, where a reconstruction passes none. Chosen: rounding errors are smaller."""
MAX_WHITE_RATIO = 2.0
"""Ratio of the power of noise between frequencies up to which it counts as white. Chosen: the draws vary by less."""
MIN_SIGNAL_SIGMAS = 3.0
"""Standard errors of the noise, over three rings, by which the power of a signal must exceed it. Chosen."""
CENTRAL_RINGS = 2
"""Innermost rings that are left out: they hold the mean, which was subtracted, and the leakage of the window."""


@dataclass(frozen=True, eq=False)
class Spectra:
    """Ring means of the power of tiles (tile ring), of the image and of its noise; white noise of variance v has power v.

    Each ring has `count` coefficients in a tile of `tile_px` pixels of `pixel_um`; `group` (tile) is the number of the part of the field
    in which a tile lies.
    """

    power: np.ndarray
    noise: np.ndarray
    count: np.ndarray
    group: np.ndarray
    tile_px: int
    pixel_um: float

    @property
    def frequency_per_um(self) -> np.ndarray:
        """Centre of each ring, cycles per micrometre."""
        return np.arange(len(self.count)) / (self.tile_px * self.pixel_um)

    @property
    def independent(self) -> np.ndarray:
        """Approximate number of independent coefficients of each ring."""
        return INDEPENDENT_FRACTION * self.count * len(self.power)

    @property
    def coloured(self) -> bool:
        """Whether the noise is not white, as that of a reconstruction."""
        noise = self.noise.mean(0)[CENTRAL_RINGS:]
        return bool(noise.max() > MAX_WHITE_RATIO * noise.min())

    def without(self, group: int) -> tuple[np.ndarray, np.ndarray]:
        """Mean power and noise (ring) of the tiles of all groups but one; -1 leaves none out."""
        kept = self.group != group
        return self.power[kept].mean(0), self.noise[kept].mean(0)

    def end_per_um(self, noise_factor: float = 1.0) -> float | None:
        """Frequency at which the signal falls below the noise, None where there is none.

        From the centre outwards, it is the last ring that exceeds, averaged with its neighbours, `noise_factor` times the noise by
        `MIN_SIGNAL_SIGMAS` standard errors.
        """
        power, noise = self.without(-1)
        weight = self.independent
        signal = np.convolve(weight * (power / (noise_factor * noise) - 1), np.ones(3), "same")
        significant = signal > MIN_SIGNAL_SIGMAS * np.sqrt(np.convolve(weight, np.ones(3), "same"))
        noisy = np.flatnonzero(~significant[CENTRAL_RINGS:]) + CENTRAL_RINGS
        last = int(noisy[0]) - 1 if len(noisy) else len(significant) - 1
        return None if last < CENTRAL_RINGS else float(self.frequency_per_um[last])


def measure_spectra(measurement: Measurement, pixel_um: float, end_per_um: float, generator: torch.Generator) -> Spectra | None:
    """Spectra of an image in tiles that resolve an OTF.

    The spectrum of the noise is that of fresh draws, corrected for the bias of their variance (`Measurement.variance_bias`). None for
    images too small for two tiles along an axis, or without noise.

    Parameters
    ----------
    measurement : image and its noise; of stacks a few planes are used
    pixel_um : pixel size along y and x
    end_per_um : end of the OTF
    generator : of the noise

    >>> from zsdeconv.acquisition.direct import CameraMeasurement
    >>> from zsdeconv.camera.detector import Camera
    >>> random = torch.Generator().manual_seed(1)
    >>> measurement = CameraMeasurement(torch.randn(96, 80, generator=random) * 2, Camera(0.0, 0.0, 4.0))
    >>> spectra = measure_spectra(measurement, 0.1, 4.0, random)
    >>> bool(abs(spectra.power.mean() / spectra.noise.mean() - 1) < 0.1), spectra.end_per_um()
    (True, None)
    """
    measurement = measurement.center_crop(MAX_PIXELS)
    side = _tile_px(measurement.y.shape, pixel_um, end_per_um)
    if side is None:
        return None
    y = measurement.y.cpu().numpy().astype(np.float64)
    planes = np.unique(np.linspace(0, y.size // (y.shape[-2] * y.shape[-1]) - 1, MAX_PLANES).round().astype(int))
    ring, count = _rings(side)

    def ringed(image: np.ndarray) -> np.ndarray:
        chosen = image.reshape(-1, *image.shape[-2:])[planes]
        tiles = _periodograms(chosen, side)
        return np.stack([np.bincount(ring, tile.ravel()) for tile in tiles]) / count

    draws = [measurement.noise(generator).cpu().numpy().astype(np.float64) for _ in range(DRAWS)]
    drawn = float(np.mean([np.square(z).mean() for z in draws]))
    if not drawn > 0:
        return None
    bias = float(measurement.variance_bias().mean()) / drawn
    noise = (1 - bias) * np.mean([ringed(z) for z in draws], axis=0)
    noise = np.maximum(noise, MIN_NOISE_RATIO * noise.max(1, keepdims=True))
    return Spectra(ringed(y), noise, count, _groups(y.shape[-2:], side, len(planes)), side, pixel_um)


def _tile_px(shape: tuple[int, ...], pixel_um: float, end_per_um: float) -> int | None:
    """The smallest tile that resolves the OTF, or the largest that fits; None where two of the smallest do not fit along an axis."""
    fitting = [side for side in TILES_PX if 3 * side <= 2 * min(shape[-2:])]
    enough = [side for side in fitting if side * pixel_um * end_per_um >= MIN_RESOLVED_FREQUENCIES]
    return min(enough) if enough else max(fitting, default=None)


def _rings(side: int) -> tuple[np.ndarray, np.ndarray]:
    """Number of the ring of each coefficient (flat), and the number of coefficients of each ring."""
    k = np.fft.fftfreq(side, 1 / side)
    ring = np.rint(np.hypot(k[:, None], k)).astype(int).ravel()
    return ring, np.bincount(ring)


def _periodograms(planes: np.ndarray, side: int) -> np.ndarray:
    """Hann-windowed periodograms (tile ky kx) of half-overlapping tiles of `planes` (z y x), with the mean of each subtracted."""
    from numpy.lib.stride_tricks import sliding_window_view

    step = side // 2
    tiles = sliding_window_view(planes, (side, side), (1, 2))[:, ::step, ::step].reshape(-1, side, side)
    taper = np.sin(np.pi * (np.arange(side) + 0.5) / side) ** 2
    window = np.outer(taper, taper)
    level = (tiles * window).sum((1, 2), keepdims=True) / window.sum()
    return np.abs(np.fft.fft2((tiles - level) * window)) ** 2 / (window**2).sum()


def _groups(shape: tuple[int, ...], side: int, planes: int) -> np.ndarray:
    """Number of the group of each tile, in the order of `_periodograms`: tiles in one part of the field, in all planes."""
    ny, nx = ((n - side) // (side // 2) + 1 for n in shape)
    y, x = (np.arange(n) * GROUPS // n for n in (ny, nx))
    return np.tile((GROUPS * y[:, None] + x).ravel(), planes)
