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


def focus_by_plane_waves(
    na: float,
    wavelength_um: float,
    ri: float,
    r_um: np.ndarray,
    z_um: np.ndarray,
    *,
    vectorial: bool,
    sample_ri: float | None = None,
    depth_um: float = 0.0,
    rings: int = 400,
) -> np.ndarray:
    """Intensity (z r) of an unpolarised focus, as a sum over plane waves from all directions of the pupil (midpoint rule).

    Behind an interface each wave is refracted (Snell, Fresnel); the lens is focused `depth_um + z_um` beyond it and the light
    looked at `depth_um` beyond it. No Bessel function, no symmetry but that of the two polarisations.
    """
    n, m = rings, 48
    alpha = np.arcsin(na / ri)
    t, f = np.meshgrid((np.arange(n) + 0.5) * alpha / n, (np.arange(m) + 0.5) * 2 * np.pi / m, indexing="ij")
    behind = ri if sample_ri is None else sample_ri
    cos, cos2 = np.cos(t), np.sqrt(1 - (ri / behind * np.sin(t)) ** 2 + 0j)
    s, p = 2 * ri * cos / (ri * cos + behind * cos2), 2 * ri * cos / (behind * cos + ri * cos2)
    k = 2 * np.pi / wavelength_um
    across = np.exp(1j * k * ri * np.multiply.outer(r_um, np.sin(t) * np.cos(f)))
    if vectorial:
        sin2 = ri / behind * np.sin(t)
        along_x = [p * cos2 * np.cos(f) ** 2 + s * np.sin(f) ** 2, (p * cos2 - s) * np.sin(f) * np.cos(f), -p * sin2 * np.cos(f)]
        along_y = [(p * cos2 - s) * np.sin(f) * np.cos(f), p * cos2 * np.sin(f) ** 2 + s * np.cos(f) ** 2, -p * sin2 * np.sin(f)]
        fields = np.sqrt(cos) * np.array(along_x + along_y)
    else:
        fields = cos[None] + 0j
    planes = []
    for z in z_um:
        phase = np.exp(1j * k * (behind * depth_um * cos2 - ri * (depth_um + z) * cos)) * np.sin(t)
        planes.append(sum(np.abs(np.tensordot(across, field * phase, axes=2)) ** 2 for field in fields))
    return np.array(planes)


def filtered_covariance(variance: np.ndarray, kernel: np.ndarray) -> np.ndarray:
    """Covariance matrix of independent noise with `variance` (y x), its edge repeated, after a filter, pixel pair by pixel pair."""
    reach = np.array(kernel.shape) // 2
    around = np.pad(variance, [(r, r) for r in reach], mode="edge")
    sources = np.zeros((variance.size, around.size))
    for pixel, (y, x) in enumerate(np.ndindex(variance.shape)):
        for dy, dx in np.ndindex(kernel.shape):
            sources[pixel, np.ravel_multi_index((y + dy, x + dx), around.shape)] += kernel[dy, dx]
    return sources @ np.diag(around.ravel()) @ sources.T
