"""Two images with independent noise from one recording, for a Fourier ring correlation without a reference.

They are `y + z` and `y - z` with fresh noise `z` (Eq. 2, alpha = 1): the covariance of their noises is `Cov(y) - Cov(z) = 0`, each has
twice the variance, and each is the clean image on average. A Fourier ring correlation depends on second moments only, and for those the
splits equal a binomial thinning of photo-electrons (half the light in each, doubled). They need no integer counts, so read noise, any gain
and the coloured noise of a reconstruction are allowed, and a network trained on re-corrupted pairs knows this noise level. The loss of half
the light is corrected by `at_full_light`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from zsdeconv.acquisition.base import Measurement
from zsdeconv.errors import ImageError
from zsdeconv.nn.contract import as_network
from zsdeconv.physics import grid
from zsdeconv.prediction.tiled import FramePrediction, Passes, predict_frame

if TYPE_CHECKING:
    from zsdeconv.report.interfaces import ModelLike

SMALLEST_FRC = -0.5
"""Smallest correlation that is corrected. Chosen: noise of small rings, for which the formula has a pole at -1."""


def noise_splits(measurement: Measurement, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """`y + z`, `y - z`: two images of the mean of `y`, with independent noise of twice its variance (Eq. 2, alpha = 1).

    The noise law estimates the signal from neighbouring pixels, so the covariance is not 0 at single pixels. Its mean over the image is 0
    up to `measurement.variance_bias`, and a sum over a ring of frequencies is a sum over the image.

    >>> from zsdeconv.acquisition.direct import CameraMeasurement
    >>> from zsdeconv.camera.detector import Camera
    >>> measurement = CameraMeasurement(torch.full((4, 6), 9.0), Camera(0.0, 1.0, 0.0))
    >>> first, second = noise_splits(measurement, torch.Generator().manual_seed(0))
    >>> torch.allclose((first + second) / 2, measurement.y)
    True
    """
    return measurement.pair(1.0, generator)


def alternating_splits(frames: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Means of the odd and of the even frames of a static sample (`t *zyx`): independent noise without a noise law.

    Raises `ImageError` for less than two frames.

    >>> [split.tolist() for split in alternating_splits(np.arange(5.0)[:, None])]
    [[1.0], [2.0]]
    """
    pairs = len(frames) // 2
    if not pairs:
        raise ImageError(f"{len(frames)} frames: two splits need two frames at least; split a single one with noise_splits")
    return frames[: 2 * pairs : 2].mean(0), frames[1 : 2 * pairs : 2].mean(0)


def restored_splits(model: ModelLike, measurement: Measurement, generator: torch.Generator) -> tuple[FramePrediction, FramePrediction]:
    """Both splits of a measurement, each restored in one pass, in the network's unit.

    Structure that the network adds to both makes them more alike than the data are.
    """
    network = model.network.eval()
    factors = grid.lateral_factors(model.modality.rank, model.acquisition.scale)
    splits = noise_splits(measurement, generator)
    first, second = (predict_frame(as_network(network), split, Passes(measurement.noise, 0), factors=factors) for split in splits)
    return first, second


def at_full_light(frc: np.ndarray) -> np.ndarray:
    """Fourier ring correlation `2 F / (1 + F)` of two full recordings, from that of two splits, `F` (Rosenthal and Henderson 2003).

    With powers `S` of the signal and `N` of the noise, splits have `F = S / (S + 2 N)` and full recordings `S / (S + N)`. This is exact
    for images and linear functions of them.

    >>> at_full_light(np.array([1.0, 1 / 3, 0.0])).tolist()
    [1.0, 0.5, 0.0]
    """
    frc = np.maximum(frc, SMALLEST_FRC)
    return 2 * frc / (1 + frc)
