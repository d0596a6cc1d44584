"""Power of images by spatial frequency: means over rings of their lateral Fourier transforms."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


class Rings:
    """Rings of spatial frequency in images `... y x` of one size.

    They are those of `zsdeconv.metrics.frc_curve`: as wide as the frequency step of the shorter side, up to the Nyquist frequency of
    the coarser pixel. The mean of each plane is subtracted and a Hann window applied; planes are pooled. `frequency` is in cycles per
    unit of the spacing, `modes` is the number of Fourier coefficients of each ring.

    >>> rings = Rings((6, 8), (0.5, 0.5))
    >>> rings.frequency.round(3).tolist(), rings.power(np.ones((2, 6, 8))).tolist()
    ([0.0, 0.333, 0.667, 1.0], [0.0, 0.0, 0.0, 0.0])
    """

    def __init__(self, yx_shape: Sequence[int], yx_spacing: Sequence[float] = (1.0, 1.0)) -> None:
        self.window = np.outer(*(np.hanning(n + 2)[1:-1] for n in yx_shape))
        ky, kx = (np.fft.fftfreq(n, step) for n, step in zip(yx_shape, yx_spacing, strict=True))
        step = 1 / min(n * um for n, um in zip(yx_shape, yx_spacing, strict=True))
        self.ring = np.rint(np.hypot(ky[:, None], kx[None, :]) / step).astype(int).ravel()
        self.frequency = np.arange(int(0.5 / max(yx_spacing) / step) + 1) * step
        self.modes = np.bincount(self.ring, minlength=len(self.frequency))[: len(self.frequency)]

    def transformed(self, images: np.ndarray) -> np.ndarray:
        """Fourier transforms `n y x` of the planes of `... y x`, with the mean subtracted and the window applied."""
        planes = np.asarray(images, np.float64).reshape(-1, *self.window.shape)
        return np.fft.fft2((planes - planes.mean((-2, -1), keepdims=True)) * self.window)

    def mean(self, values: np.ndarray) -> np.ndarray:
        """Mean of `n y x` over the planes and over each ring."""
        sums = np.bincount(self.ring, values.mean(0).ravel(), minlength=len(self.frequency))[: len(self.frequency)]
        return sums / self.modes

    def power(self, images: np.ndarray) -> np.ndarray:
        """Mean of `|F|^2` over each ring of `... y x`."""
        return self.mean(np.abs(self.transformed(images)) ** 2)

    def banded(self, means: np.ndarray, count: int) -> np.ndarray:
        """Means over `count` equal bands up to the highest frequency, from the means of rings, each weighted with its modes.

        The innermost ring is left out, because its power was subtracted with the mean.
        """
        modes = self.modes[1:]
        band = np.minimum((self.frequency[1:] / self.frequency[-1] * count).astype(int), count - 1)
        sums = np.bincount(band, means[1:] * modes, minlength=count)
        return sums / np.maximum(np.bincount(band, modes, minlength=count), 1)
