"""Cross-validation of a PSF: deconvolve one of two images with independent noise, re-blur, and compare with the other.

`y_hat` and `y_tilde` (Eq. 2) share no noise. Richardson-Lucy on `y_hat` gives a non-negative object; re-blurred with the same PSF it
should predict `y_tilde`. A PSF of the wrong shape cannot: on a dark background the object would have to be negative somewhere.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from zsdeconv.acquisition.base import Measurement
from zsdeconv.physics.deconvolve import richardson_lucy
from zsdeconv.physics.operators import Operator

ALPHA = 0.7
"""alpha of Eq. 2. Chosen: less noise in the deconvolved image than in the one that is predicted."""
ITERATIONS = (1, 2, 3, 4, 6, 8, 11, 15, 20, 27, 36)
"""Numbers of iterations, of which the best on held-out noise counts: a narrower PSF needs fewer. Chosen: each a third above the last."""
BLOCKS = 6
"""Blocks along y and along x, whose gains vary as the gain of the image does. Chosen: 36 values know a standard error to an eighth."""
BORDER_PX = (3, 8, 8)
"""Planes and raw pixels at the border that are not compared, because light comes from beyond it. Chosen: about the width of a PSF."""
SMOOTHING_PX = 2.0
"""Scale (sigma) at which residuals are searched for structure. Chosen: noise is averaged, and structure of a PSF's width stays."""
VARIANCE_SMOOTHING_PX = 4.0
"""Scale (sigma) over which the variance of drawn noise is averaged. Chosen: a variance varies as slowly as the light."""
MIN_VARIANCE_RATIO = 1e-3
"""Smallest variance relative to the mean. Chosen: pixels without any noise do not dominate a likelihood."""
FINE_PX, COARSE_PX = 3, 15
"""Sides of the means whose difference measures how much an image varies. Chosen: between noise and background."""


@dataclass(frozen=True, eq=False)
class Pair:
    """A part of an image twice, with independent noise; `variance` is that of `y_tilde`. All `*zyx`."""

    y_hat: Tensor
    y_tilde: Tensor
    variance: Tensor


@dataclass(frozen=True, eq=False)
class Prediction:
    """The prediction of `y_tilde` with one PSF: `residual` over the standard deviation of the noise, the object `x`, and `iterations`."""

    residual: np.ndarray
    x: Tensor
    iterations: int


def make_pair(measurement: Measurement, window: tuple[slice, ...], generator: torch.Generator, draws: Sequence[Tensor]) -> Pair:
    """A pair (Eq. 2) of a part of an image.

    Parameters
    ----------
    measurement : image and its noise
    window : the part
    generator : of the noise that is added and subtracted
    draws : noise from which the variance is measured

    >>> from zsdeconv.acquisition.direct import CameraMeasurement
    >>> from zsdeconv.camera.detector import Camera
    >>> random = torch.Generator().manual_seed(1)
    >>> measurement = CameraMeasurement(torch.randn(90, 80, generator=random), Camera(0.0, 0.0, 1.0))
    >>> pair = make_pair(measurement, (slice(10, 80), slice(0, 70)), random, [measurement.noise(random)])
    >>> bool(abs((pair.y_hat * pair.y_tilde).mean()) < 0.1)
    True
    """
    y_hat, y_tilde = (image[window] for image in measurement.pair(ALPHA, generator))
    return Pair(y_hat, y_tilde, (1 + ALPHA**-2) * _smooth_variance([draw[window] for draw in draws]))


def predict(pair: Pair, operator: Operator, max_iterations: int = ITERATIONS[-1]) -> Prediction:
    """The residual of the held-out image with the number of Richardson-Lucy iterations that predicts it best."""
    tried = [n for n in ITERATIONS if n <= max_iterations]
    objects = richardson_lucy(pair.y_hat[None, None], operator, tried)
    inner = tuple(slice(border, n - border) for border, n in zip(BORDER_PX[-pair.y_hat.ndim :], pair.y_hat.shape, strict=True))
    scale = pair.variance.sqrt()
    residuals = [((pair.y_tilde - operator(x)[0, 0]) / scale)[inner].numpy() for x in objects]
    best = int(np.argmin([np.square(residual).mean() for residual in residuals]))
    return Prediction(residuals[best], objects[best], tried[best])


def imaged_again(pair: Pair, prediction: Prediction, operator: Operator, draws: Sequence[Tensor]) -> Pair:
    """A pair of a known object.

    Parameters
    ----------
    pair : the pair of the unknown object, for its variance
    prediction : its object is the known one
    operator : forward model
    draws : noise of the two images
    """
    clean = operator(prediction.x)[0, 0]
    return Pair(clean + math.sqrt(1 + ALPHA**2) * draws[0], clean + math.sqrt(1 + ALPHA**-2) * draws[1], pair.variance)


def gain(worse: Prediction, better: Prediction) -> np.ndarray:
    """By how much the squared residuals of one prediction exceed those of another, summed over each block (flat)."""
    difference = np.square(worse.residual) - np.square(better.residual)
    blocks = [part for rows in np.array_split(difference, BLOCKS, -2) for part in np.array_split(rows, BLOCKS, -1)]
    return np.array([part.sum() for part in blocks])


def roughness(prediction: Prediction) -> float:
    """Power of the smoothed residual over that of the rest: larger than that of noise where there is structure."""
    from scipy.ndimage import gaussian_filter

    residual = prediction.residual
    smooth = gaussian_filter(residual, (0.0,) * (residual.ndim - 2) + (SMOOTHING_PX, SMOOTHING_PX))
    return float(np.square(smooth).mean() / np.square(residual - smooth).mean())


def busiest(y: np.ndarray, side: int, planes: int) -> tuple[slice, ...]:
    """The square of `side` pixels (and, of stacks, the `planes`) in which the image varies most.

    >>> y = np.where(np.arange(40) == 30, 1.0, 0.0) * np.ones((25, 1))
    >>> [(part.start <= 30 < part.stop, part.stop - part.start) for part in busiest(y, 10, 1)[1:]]
    [(True, 10)]
    """
    from scipy.ndimage import uniform_filter

    axial = (1,) * (y.ndim - 2)
    fine, coarse = (uniform_filter(y, (*axial, n, n)) for n in (FINE_PX, COARSE_PX))  # pyright: ignore[reportArgumentType]
    variation = np.square(fine - coarse)
    sizes = [*(min(planes, n) for n in y.shape[:-2]), *(min(side, n) for n in y.shape[-2:])]
    for axis, size in enumerate(sizes):
        total = np.moveaxis(np.cumsum(np.insert(variation, 0, 0, axis), axis), axis, 0)
        variation = np.moveaxis(total[size:] - total[:-size], 0, axis)
    corner = np.unravel_index(int(variation.argmax()), variation.shape)
    return tuple(slice(int(start), int(start) + size) for start, size in zip(corner, sizes, strict=True))


def _smooth_variance(draws: Sequence[Tensor]) -> Tensor:
    """Variance of noise at each pixel from a few draws: their mean square, smoothed."""
    from scipy.ndimage import gaussian_filter

    square = torch.stack([draw.square() for draw in draws]).mean(0).numpy()
    smooth = gaussian_filter(square, (0.0,) * (square.ndim - 2) + (VARIANCE_SMOOTHING_PX, VARIANCE_SMOOTHING_PX))
    return torch.from_numpy(np.maximum(smooth, MIN_VARIANCE_RATIO * smooth.mean()).astype(np.float32))
