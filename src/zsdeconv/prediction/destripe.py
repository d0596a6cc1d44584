"""Stripes: shadows and fixed patterns that run along one axis of a light-sheet image, damped after prediction."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from zsdeconv.config import PredictionSection
from zsdeconv.notation import FWHM_PER_SIGMA


@dataclass(frozen=True)
class Destriping:
    """What counts as a stripe: it runs along the axis `along` ("Y" or "X") for `length_um` and more, and is `width_um` wide at most.

    `damp` takes the stripes out: what is smooth along the stripe over `length_um`, minus what of it is also smooth across over
    `width_um` (Gaussians of these full widths at half maximum). In Fourier space that is a line through the origin, damped
    outside its middle. Real structures that are as long, as straight and as thin go with it, so it is never done unasked, and
    `damp` tells how much it took.

    >>> image = np.ones((32, 32)) + np.where(np.arange(32) % 8 < 2, 0.5, 0.0)[:, None]
    >>> damped, share = Destriping("X", width_um=1.0, length_um=2.0).damp(image, (0.1, 0.1))
    >>> round(float(share), 2), bool(damped.std() < 0.3 * image.std())
    (0.97, True)
    """

    along: str
    width_um: float
    length_um: float

    @classmethod
    def of(cls, settings: PredictionSection) -> Destriping | None:
        """What the settings ask for; None where they ask for nothing."""
        return None if settings.destripe is None else cls(settings.destripe, settings.stripe_width_um, settings.stripe_length_um)

    def damp(self, x: np.ndarray, yx_um: Sequence[float]) -> tuple[np.ndarray, float]:
        """`x` (`... y x`, each plane alike) without its stripes, and the standard deviation of what was taken as a share of that of `x`.

        The mean of every plane is kept. `yx_um`: pixel size along y and x.
        """
        stripes = self.find(x, yx_um)
        contrast = float(x.std())
        return x - stripes, float(stripes.std()) / contrast if contrast else 0.0

    def find(self, x: np.ndarray, yx_um: Sequence[float]) -> np.ndarray:
        """The stripes in `x`: positive and negative, mean zero in each plane."""
        from scipy.ndimage import gaussian_filter1d

        axis, across = (-2, -1) if self.along == "Y" else (-1, -2)

        def smooth(values: np.ndarray, um: float, along: int) -> np.ndarray:
            return gaussian_filter1d(values, um / FWHM_PER_SIGMA / yx_um[along], along, mode="reflect")

        long = smooth(x, self.length_um, axis)
        found = long - smooth(long, self.width_um, across)
        return found - found.mean((-2, -1), keepdims=True)
