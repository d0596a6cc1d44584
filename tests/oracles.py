"""Slow and obvious ways to the same results, in double precision."""

import numpy as np
import torch

from zsdeconv.physics.operators import Operator


def mirrored_convolution(x: np.ndarray, kernel: np.ndarray) -> np.ndarray:
    """Convolution, one kernel sample at a time, of an image that continues as its mirror image about the border pixels."""
    radius = np.array(kernel.shape) // 2
    padded = np.pad(x, [(r, r) for r in radius], mode="reflect")
    result = np.zeros(x.shape)
    for index in np.ndindex(kernel.shape):
        # the sample at middle + d sends light by +d, so a pixel receives from p - d
        start = 2 * radius - np.array(index)
        result += kernel[index] * padded[tuple(slice(s, s + n) for s, n in zip(start, x.shape, strict=True))]
    return result


def lateral_mean(x: np.ndarray, scale: int) -> np.ndarray:
    """Mean over `scale` x `scale` pixels of the last two axes, pixel by pixel."""
    *lead, height, width = x.shape
    result = np.zeros((*lead, height // scale, width // scale))
    for i in range(scale):
        for j in range(scale):
            result += x[..., i::scale, j::scale] / scale**2
    return result


def matrix_of(operator: Operator, zyx_shape: tuple[int, ...]) -> np.ndarray:
    """The operator as a dense matrix, one column per pixel of its input."""
    n = int(np.prod(zyx_shape))
    images = operator(torch.eye(n, dtype=torch.float64).reshape(n, 1, *zyx_shape))
    return images.reshape(n, -1).T.numpy()


def asymmetric_kernel(*shape: int, seed: int = 0) -> np.ndarray:
    """Positive, sum 1, with no symmetry at all."""
    kernel = np.random.default_rng(seed).random(shape) + 0.1
    return kernel / kernel.sum()
