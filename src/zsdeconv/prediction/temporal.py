"""Changes of brightness over time, which a network that learns all frames of a series levels a little."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

import numpy as np
from scipy.ndimage import gaussian_filter
from torch import Tensor

from zsdeconv.notation import Batch
from zsdeconv.physics.psf import Psf
from zsdeconv.physics.psf_check import fwhms_um

LEAST_PX = 3.0
"""Narrowest lateral standard deviation of the smoothing, which leaves a tenth of the noise of a single pixel."""


class TemporalResidual:
    """What frames of a series differ by and their restorations do not, given back where noise averages out.

    A network that learns all frames leans towards what they have in common: changes of brightness come back a few per cent too small.
    With `e_t = y_t - A x_t`, what the restoration `x_t` lacks of frame `y_t`, it becomes `x_t + U G (e_t - mean of e over t)`. `A`
    (`seen`) takes it to the grid of `y_t`, on which `G` is a Gaussian of standard deviation `sigma_px` along each axis; `U` repeats pixels.
    The mean over time stays as it is, and nothing finer than `G` is added.

    >>> import torch
    >>> transients = TemporalResidual(2, lambda x: x, (3.0, 3.0))
    >>> shown = np.stack([np.full((8, 8), light, np.float32) for light in (15.0, 25.0)])
    >>> for n, light in enumerate((10.0, 30.0)):
    ...     transients.add(n, torch.full((8, 8), light), torch.tensor(shown[n]))
    >>> transients.add_to(shown)
    >>> shown[:, 0, 0].tolist()
    [10.0, 30.0]
    """

    def __init__(self, frames: int, seen: Callable[[Batch], Batch], sigma_px: Sequence[float]) -> None:
        self.frames, self.seen, self.sigma_px = frames, seen, tuple(sigma_px)
        self.lacking = np.empty(0, np.float32)

    def add(self, n: int, y: Tensor, x: Tensor) -> None:
        """Frame number `n` (`*zyx`) and its restoration (on its grid or a finer one), in one unit of intensity."""
        if not self.lacking.size:
            self.lacking = np.empty((self.frames, *y.shape), np.float32)
        difference = (y - self.seen(x[None, None])[0, 0]).cpu().numpy()
        gaussian_filter(difference, self.sigma_px, output=self.lacking[n])

    def add_to(self, images: Iterable[np.ndarray], scale: float = 1.0) -> None:
        """Change the restored frames (each `*zyx`, `scale` to their unit) in their own place, when all have been added."""
        mean = self.lacking.mean(0, dtype=np.float64)
        for image, lacking in zip(images, self.lacking, strict=True):
            change = ((lacking - mean) * scale).astype(np.float32)
            for axis, (fine, raw) in enumerate(zip(image.shape, change.shape, strict=True)):
                change = change.repeat(fine // raw, axis)
            image += change


def smoothing_px(psf: Psf, factors: Sequence[int]) -> list[float]:
    """`sigma_px` of `TemporalResidual` on a grid `factors` coarser than the PSF's: its width at half maximum, laterally `LEAST_PX` at
    least.
    """
    widths = [um / spacing / factor for um, spacing, factor in zip(fwhms_um(psf), psf.spacing_um, factors, strict=True)]
    return [*widths[:-2], *(max(width, LEAST_PX) for width in widths[-2:])]
