"""The camera offset from the image itself: where the signal is zero.

The variance line alone cannot tell offset from read noise (`v = beta1 m + (beta2 - beta1 b)`), so two independent witnesses
speak. *Darkest level*: fluorescence is not negative, hence the lower edge of the smoothed image, freed of its noise, bounds
the offset from above and equals it where the field holds empty background. *Skewness*: the third central moment of Poisson
noise is `beta1^2 (m - b)` and that of read noise 0, so its line crosses zero at the offset.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from zsdeconv.camera.highpass import Filters
from zsdeconv.camera.levels import Levels, Line

SCALES_PX = (2.0, 3.0, 4.5, 7.0)
TAIL = 0.002
HAZE = 0.3
LARGE_PX = 1_500_000


def darkest_level(frames: Sequence[np.ndarray], line: Line) -> tuple[float, float, float]:
    """Lower edge of the noise-free image (ADU), its standard error, and how much light the dimmest twentieth holds above it.

    The lowest `TAIL` quantile of the image smoothed by a Gaussian lies `z tau` under the edge, where tau is the noise that is
    left and z follows from the share of pixels that are as dark as the edge; the lowest estimate over some scales counts.
    `frames`: each y x, ADU.
    """
    from scipy.ndimage import gaussian_filter

    binning = 2 if sum(f.size for f in frames) > LARGE_PX else 1
    found = []
    for scale in SCALES_PX:
        margin = int(scale)
        if min(frames[0].shape) < 8 * scale and found:
            break
        smooth = [gaussian_filter(_binned(f, binning), scale / binning)[margin:-margin, margin:-margin].ravel() for f in frames]
        found.append(_edge(np.sort(np.concatenate(smooth)), scale, scale / binning, line))
    return min(found, key=lambda e: e[0] + 0.5 * e[1])


def _binned(frame: np.ndarray, n: int) -> np.ndarray:
    """Mean over n x n pixels: 2 leaves smoothing scales of 2 pixels and more as they are, in a quarter of the time."""
    ny, nx = (size // n * n for size in frame.shape)
    return frame[:ny, :nx].reshape(ny // n, n, nx // n, n).mean((1, 3)) if n > 1 else frame


def _edge(smooth: np.ndarray, scale: float, samples_per_scale: float, line: Line) -> tuple[float, float, float]:
    from scipy.special import ndtri

    share_of_one = 4 * np.pi * samples_per_scale**2 / smooth.size
    tail = max(TAIL, 0.6 * share_of_one)
    quantile = float(smooth[int(tail * (smooth.size - 1))])
    edge, dark, tau = quantile, 1.0, 0.0
    for _ in range(20):
        tau = np.sqrt(max(line.at(edge), 0.0) / (4 * np.pi)) / scale
        edge = quantile - tau * min(0.0, float(ndtri(min(0.5, tail / max(dark, tail)))))
        dark = 0.5 * dark + min(0.5, np.searchsorted(smooth, edge) / smooth.size)
    dim = float(smooth[int(0.05 * (smooth.size - 1))]) - float(edge) + 1.645 * tau * (dark > 0.3)
    return float(edge), float(0.6 * tau), max(dim, 0.0)


def skewness_offset(levels: Levels, line: Line, kernel: Filters) -> tuple[float, float]:
    """Zero crossing (ADU) of the third central moment `beta1^2 (T - b)` and its standard error (infinite without a gain)."""
    gain, gain_sigma = line.slope, float(np.sqrt(line.covariance[0, 0]))
    if gain <= 2 * gain_sigma:
        return float(levels.signal.min()), np.inf
    variance = np.maximum(line.slope * levels.signal + line.intercept, 1e-3 * levels.variance.max())
    weight = levels.count * kernel.skew**2 / (6 * variance**3 * kernel.spread)
    offset = np.average(levels.third_signal - levels.third / gain**2, weights=weight)
    # twice the relative error of the gain, of which 2 % is structure that leaks through the filter
    reach = 2 * np.hypot(gain_sigma / gain, 0.02) * (np.average(levels.third_signal, weights=weight) - offset)
    return float(offset), float(np.hypot(1 / (gain**2 * np.sqrt(weight.sum())), reach))


def combine(darkest: tuple[float, float, float], skewness: tuple[float, float], lowest: float) -> tuple[float, float]:
    """Posterior mean and standard deviation of the offset (ADU) from both witnesses; it is not below `lowest`.

    Prior: the darkest place holds some unknown light, half-normal with `HAZE` times the rise of the dimmest twentieth.
    """
    edge, sigma, dim = darkest
    below = np.hypot(sigma, HAZE * dim)
    reach = 5 * below
    grid = np.linspace(edge - reach, edge + 5 * sigma, 2001)
    score = np.where(grid > edge, (grid - edge) / max(sigma, 1e-300), (grid - edge) / max(below, 1e-300)) ** 2
    if np.isfinite(skewness[1]):
        score = score + ((grid - skewness[0]) / np.hypot(skewness[1], 1e-300)) ** 2
    weight = np.exp(-0.5 * (score - score.min())) * (grid >= min(lowest, edge))
    mean = float(np.average(grid, weights=weight))
    return mean, float(np.sqrt(np.average((grid - mean) ** 2, weights=weight)))
