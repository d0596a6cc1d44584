"""Which PSF explains an image best: deconvolve one of two noise-independent images, blur again, and compare with the other.

With z a fresh draw of the noise of y, `y_hat = y + alpha z` and `y_tilde = y - z / alpha` share no noise (Eq. 2). Richardson-Lucy
on `y_hat` with a PSF gives an object that is nowhere negative; blurred again with that PSF it should predict `y_tilde`. A PSF of the
wrong shape cannot: on a dark background the object would have to be negative somewhere.
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
ITERATIONS = (1, 2, 3, 4, 6, 8, 11, 15, 20, 27, 36)
"""The best of them, on held-out noise, counts: a finer PSF needs fewer."""
BLOCKS = 6
BORDER_PX = (3, 8, 8)
"""Planes and raw pixels at the border that are not compared: light comes from beyond it."""
SMOOTH_PX = 2.0
"""Structured residuals are looked for at this scale, where noise has been averaged away."""


@dataclass(frozen=True, eq=False)
class Pair:
    """A part of a field twice, with independent noise; `variance` is that of `y_tilde`. All `*zyx`."""

    y_hat: Tensor
    y_tilde: Tensor
    variance: Tensor


@dataclass(frozen=True, eq=False)
class Prediction:
    """What one PSF predicts of `y_tilde`: the `residual` over the noise's standard deviation, and the object `x` behind it."""

    residual: np.ndarray
    x: Tensor
    iterations: int


def make_pair(measurement: Measurement, window: tuple[slice, ...], generator: torch.Generator, draws: Sequence[Tensor]) -> Pair:
    """A pair (Eq. 2) of the part of `field` in `window`; `draws` of its noise tell the variance.

    >>> from zsdeconv.acquisition.direct import CameraMeasurement
    >>> from zsdeconv.camera.detector import Camera
    >>> random = torch.Generator().manual_seed(1)
    >>> measurement = CameraMeasurement(torch.randn(90, 80, generator=random), Camera(0.0, 0.0, 1.0))
    >>> pair = make_pair(measurement, (slice(10, 80), slice(0, 70)), random, [measurement.noise(random)])
    >>> bool(abs((pair.y_hat * pair.y_tilde).mean()) < 0.1)
    True
    """
    y_hat, y_tilde = (image[window] for image in measurement.recorrupted(ALPHA, generator))
    return Pair(y_hat, y_tilde, (1 + ALPHA**-2) * _smooth_variance([draw[window] for draw in draws]))


def predict(pair: Pair, operator: Operator, most_iterations: int = ITERATIONS[-1]) -> Prediction:
    """The residual of the held-out image after the number of Richardson-Lucy iterations that predicts it best."""
    tried = [n for n in ITERATIONS if n <= most_iterations]
    objects = richardson_lucy(pair.y_hat[None, None], operator, tried)
    inner = [slice(border, n - border) for border, n in zip(BORDER_PX[-pair.y_hat.ndim :], pair.y_hat.shape, strict=True)]
    scale = pair.variance.sqrt()
    residuals = [((pair.y_tilde - operator(x)[0, 0]) / scale)[tuple(inner)].numpy() for x in objects]
    best = int(np.argmin([np.square(r).mean() for r in residuals]))
    return Prediction(residuals[best], objects[best], tried[best])


def imaged_again(pair: Pair, prediction: Prediction, operator: Operator, draws: Sequence[Tensor]) -> Pair:
    """A pair of a known object, that of `prediction`, with the noise of two `draws`."""
    clean = operator(prediction.x)[0, 0]
    return Pair(clean + math.sqrt(1 + ALPHA**2) * draws[0], clean + math.sqrt(1 + ALPHA**-2) * draws[1], pair.variance)


def gain(worse: Prediction, better: Prediction) -> np.ndarray:
    """By how much the squared residuals of one prediction exceed those of another, summed over each of some blocks (flat)."""
    difference = np.square(worse.residual) - np.square(better.residual)
    blocks = [part for rows in np.array_split(difference, BLOCKS, -2) for part in np.array_split(rows, BLOCKS, -1)]
    return np.array([part.sum() for part in blocks])


def roughness(prediction: Prediction) -> float:
    """Power of the smoothed residual over that of the residual: what structure there is adds to that of the noise."""
    from scipy.ndimage import gaussian_filter

    residual = prediction.residual
    smooth = gaussian_filter(residual, (0.0,) * (residual.ndim - 2) + (SMOOTH_PX, SMOOTH_PX))
    return float(np.square(smooth).mean() / np.square(residual - smooth).mean())


def busiest(y: np.ndarray, side: int, planes: int) -> tuple[slice, ...]:
    """Where the square of `side` pixels lies (and, of stacks, the `planes`) in which the image varies most.

    >>> y = np.where(np.arange(40) == 30, 1.0, 0.0) * np.ones((25, 1))
    >>> [(part.start <= 30 < part.stop, part.stop - part.start) for part in busiest(y, 10, 1)[1:]]
    [(True, 10)]
    """
    from scipy.ndimage import uniform_filter

    lateral_factors = (1,) * (y.ndim - 2)
    fine, coarse = (uniform_filter(y, (*lateral_factors, n, n)) for n in (3, 15))  # pyright: ignore[reportArgumentType]
    varied = np.square(fine - coarse)
    sizes = [*(min(planes, n) for n in y.shape[:-2]), *(min(side, n) for n in y.shape[-2:])]
    for axis, size in enumerate(sizes):
        total = np.moveaxis(np.cumsum(np.insert(varied, 0, 0, axis), axis), axis, 0)
        varied = np.moveaxis(total[size:] - total[:-size], 0, axis)
    corner = np.unravel_index(int(varied.argmax()), varied.shape)
    return tuple(slice(int(start), int(start) + size) for start, size in zip(corner, sizes, strict=True))


def _smooth_variance(draws: Sequence[Tensor]) -> Tensor:
    """Variance of noise at each place, from a few draws: their mean square, smoothed over a few pixels."""
    from scipy.ndimage import gaussian_filter

    square = torch.stack([draw.square() for draw in draws]).mean(0).numpy()
    smooth = gaussian_filter(square, (0.0,) * (square.ndim - 2) + (4.0, 4.0))
    return torch.from_numpy(np.maximum(smooth, 1e-3 * smooth.mean()).astype(np.float32))
