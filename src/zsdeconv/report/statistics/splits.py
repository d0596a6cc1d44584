"""Two images with independent noise from one recording: what a Fourier ring correlation needs where there is no truth.

`y + z` and `y - z` with fresh noise `z` of the covariance of that in `y` (Eq. 2 at alpha = 1): their noises have the covariance
`Cov(y) - Cov(z) = 0`, each has twice the variance, and each is the clean image on average. For the second moments, which are all that
Fourier ring correlation sees, that is what a binomial thinning of photo-electrons gives (half the light in each, doubled); but it
needs no whole numbers, so that read noise, any gain and the coloured noise of a reconstruction are no obstacle, and a network trained on
re-corrupted pairs has met this noise level. The price of both is the same: a two-fold loss of light, which `at_full_light` makes up for.
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


def noise_splits(measurement: Measurement, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """`y + z`, `y - z`: two images of the mean of `y`, with independent noise of twice its variance (Eq. 2, alpha = 1).

    A field's noise law estimates the signal by a mean over neighbours, so at single pixels the covariance is not 0; over
    the image it is, up to `field.excess`, and a sum over a ring of frequencies is a sum over the image.

    >>> from zsdeconv.acquisition.direct import CameraMeasurement
    >>> from zsdeconv.camera.detector import Camera
    >>> measurement = CameraMeasurement(torch.full((4, 6), 9.0), Camera(0.0, 1.0, 0.0))
    >>> first, second = noise_splits(measurement, torch.Generator().manual_seed(0))
    >>> torch.allclose((first + second) / 2, measurement.y)
    True
    """
    return measurement.recorrupted(1.0, generator)


def alternating_splits(frames: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Means of the odd and of the even frames of a static sample (`t *zyx`): independent noise without any noise law.

    Raises `ImageError` for less than two frames.

    >>> [half.tolist() for half in alternating_splits(np.arange(5.0)[:, None])]
    [[1.0], [2.0]]
    """
    pairs = len(frames) // 2
    if not pairs:
        raise ImageError(f"{len(frames)} frames: two at least are needed for two halves; thin the photons of a single one instead")
    return frames[: 2 * pairs : 2].mean(0), frames[1 : 2 * pairs : 2].mean(0)


def restored_splits(model: ModelLike, measurement: Measurement, generator: torch.Generator) -> tuple[FramePrediction, FramePrediction]:
    """Both halves of a field of `model`, each restored in one pass, in the network's unit.

    Whatever the network adds of its own to both makes them more alike than the data are.
    """
    network = model.network.eval()
    factors = grid.lateral_factors(model.modality.rank, model.acquisition.scale)
    halves = noise_splits(measurement, generator)
    first, second = (predict_frame(as_network(network), half, Passes(measurement.noise, 0), factors=factors) for half in halves)
    return first, second


def at_full_light(frc: np.ndarray) -> np.ndarray:
    """Fourier ring correlation `2 F / (1 + F)` of two full recordings, from that of two halves, `F`.

    With powers `S` of the signal and `N` of the noise the halves have `F = S / (S + 2 N)`, full recordings `S / (S + N)` (Rosenthal and
    Henderson 2003). Exact for images, and for what is linear in them.

    >>> at_full_light(np.array([1.0, 1 / 3, 0.0])).tolist()
    [1.0, 0.5, 0.0]
    """
    frc = np.maximum(frc, -0.5)
    return 2 * frc / (1 + frc)
