"""Spectra of an image and of its noise, averaged over tiles and rings: where the signal ends."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from zsdeconv.acquisition.base import Measurement

MOST_PIXELS = 2**22
"""Of larger fields the middle is looked at."""
MOST_PLANES = 8
TILES_PX = (32, 64, 128)
RESOLVED = 16
"""Frequencies up to the end of the OTF that a tile should tell apart."""
DRAWS = 6
INDEPENDENT = 0.15
"""Share of the coefficients of half-overlapping Hann tiles that are independent: (9 / 11)^2 / 1.5^2 of them, half are conjugates."""
GROUPS = 4
"""Groups of tiles along y and along x, which are left out in turn to see how much a result depends on single structures."""
LEAST_NOISE = 0.01
"""Power of the noise, relative to its greatest, that is reckoned with where a reconstruction has let none through."""
COLOURED = 2.0
"""Ratio of the noise's power between frequencies from which it is not white."""
VISIBLE = 3.0
"""Standard errors of the noise, over three rings, up to which a signal counts as seen."""


@dataclass(frozen=True, eq=False)
class Spectra:
    """Ring means of the power of tiles (tile ring), of the image and of its noise, white noise of variance v at v.

    `frequency_per_um` of each ring and how many coefficients `count` it has in a tile of `tile_px` pixels of `pixel_um`; `group`
    (tile) numbers the part of the field in which a tile lies.
    """

    power: np.ndarray
    noise: np.ndarray
    count: np.ndarray
    group: np.ndarray
    tile_px: int
    pixel_um: float

    @property
    def frequency_per_um(self) -> np.ndarray:
        """Middle of each ring, cycles per micrometre."""
        return np.arange(len(self.count)) / (self.tile_px * self.pixel_um)

    @property
    def independent(self) -> np.ndarray:
        """About how many independent coefficients each ring holds."""
        return INDEPENDENT * self.count * len(self.power)

    @property
    def coloured(self) -> bool:
        """Whether the noise is not white: then the image is no camera's, and its spectrum that of its reconstruction."""
        noise = self.noise.mean(0)[2:]
        return bool(noise.max() > COLOURED * noise.min())

    def without(self, group: int) -> tuple[np.ndarray, np.ndarray]:
        """Mean power and noise (ring) of the tiles of all groups but one; -1 leaves out none."""
        kept = self.group != group
        return self.power[kept].mean(0), self.noise[kept].mean(0)

    def end_per_um(self, noise_factor: float = 1.0) -> float | None:
        """Frequency at which the signal sinks into the noise, None where it is not seen at all.

        Going outwards, the last ring that stands with its neighbours above `noise_factor` times the noise by `VISIBLE` standard errors.
        """
        power, noise = self.without(-1)
        weight = self.independent
        variance_bias = np.convolve(weight * (power / (noise_factor * noise) - 1), np.ones(3), "same")
        seen = variance_bias > VISIBLE * np.sqrt(np.convolve(weight, np.ones(3), "same"))
        # the innermost two rings hold the mean that was taken away and the window's leakage
        hidden = np.flatnonzero(~seen[2:]) + 2
        last = int(hidden[0]) - 1 if len(hidden) else len(seen) - 1
        return None if last < 2 else float(self.frequency_per_um[last])


def measure_spectra(measurement: Measurement, pixel_um: float, end_per_um: float, generator: torch.Generator) -> Spectra | None:
    """Spectra of `field` (`*zyx`, pixels of `pixel_um` along y and x) in tiles that resolve an OTF which ends at `end_per_um`.

    Of stacks some planes are taken. The noise is that of fresh draws, less what they have too much of (`Measurement.excess`). None for
    fields too small for two tiles a side, or without noise.

    >>> from zsdeconv.acquisition.direct import CameraMeasurement
    >>> from zsdeconv.camera.detector import Camera
    >>> random = torch.Generator().manual_seed(1)
    >>> measurement = CameraMeasurement(torch.randn(96, 80, generator=random) * 2, Camera(0.0, 0.0, 4.0))
    >>> spectra = measure_spectra(measurement, 0.1, 4.0, random)
    >>> bool(abs(spectra.power.mean() / spectra.noise.mean() - 1) < 0.1), spectra.end_per_um()
    (True, None)
    """
    measurement = measurement.center_crop(MOST_PIXELS)
    side = _tile_px(measurement.y.shape, pixel_um, end_per_um)
    if side is None:
        return None
    y = measurement.y.cpu().numpy().astype(np.float64)
    planes = np.unique(np.linspace(0, y.size // y[..., :, :].shape[-1] // y.shape[-2] - 1, MOST_PLANES).round().astype(int))
    ring, count = _rings(side)

    def ringed(image: np.ndarray) -> np.ndarray:
        chosen = image.reshape(-1, *image.shape[-2:])[planes]
        tiles = _periodograms(chosen, side)
        return np.stack([np.bincount(ring, tile.ravel()) for tile in tiles]) / count

    draws = [measurement.noise(generator).cpu().numpy().astype(np.float64) for _ in range(DRAWS)]
    drawn = float(np.mean([np.square(z).mean() for z in draws]))
    if not drawn > 0:
        return None
    variance_bias = float(measurement.variance_bias().mean()) / drawn
    noise = (1 - variance_bias) * np.mean([ringed(z) for z in draws], axis=0)
    noise = np.maximum(noise, LEAST_NOISE * noise.max(1, keepdims=True))
    return Spectra(ringed(y), noise, count, _groups(y.shape[-2:], side, len(planes)), side, pixel_um)


def _tile_px(shape: tuple[int, ...], pixel_um: float, end_per_um: float) -> int | None:
    """The smallest tile that resolves enough; None where not two of the smallest fit along an axis."""
    fitting = [side for side in TILES_PX if 3 * side <= 2 * min(shape[-2:])]
    enough = [side for side in fitting if side * pixel_um * end_per_um >= RESOLVED]
    return min(enough) if enough else max(fitting, default=None)


def _rings(side: int) -> tuple[np.ndarray, np.ndarray]:
    """Number of the ring of each coefficient (flat), and how many each ring has."""
    k = np.fft.fftfreq(side, 1 / side)
    ring = np.rint(np.hypot(k[:, None], k)).astype(int).ravel()
    return ring, np.bincount(ring)


def _periodograms(planes: np.ndarray, side: int) -> np.ndarray:
    """Hann-windowed periodograms (tile ky kx) of half-overlapping tiles of `planes` (z y x), each less its mean."""
    from numpy.lib.stride_tricks import sliding_window_view

    step = side // 2
    tiles = sliding_window_view(planes, (side, side), (1, 2))[:, ::step, ::step].reshape(-1, side, side)
    taper = np.sin(np.pi * (np.arange(side) + 0.5) / side) ** 2
    window = np.outer(taper, taper)
    level = (tiles * window).sum((1, 2), keepdims=True) / window.sum()
    return np.abs(np.fft.fft2((tiles - level) * window)) ** 2 / (window**2).sum()


def _groups(shape: tuple[int, ...], side: int, planes: int) -> np.ndarray:
    """Number of the group of each tile, in the order of `_periodograms`: those in one part of the field, in all planes."""
    ny, nx = ((n - side) // (side // 2) + 1 for n in shape)
    y, x = (np.arange(n) * GROUPS // n for n in (ny, nx))
    return np.tile((GROUPS * y[:, None] + x).ravel(), planes)
