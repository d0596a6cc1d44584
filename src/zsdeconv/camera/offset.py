"""The camera offset from the image itself: the value at which the signal is zero.

The photon-transfer line alone does not separate offset and read noise (`v = beta1 m + (beta2 - beta1 b)`), so two
independent estimates are combined. *Darkest level*: fluorescence is not negative, hence the lower edge of the smoothed image,
corrected for its noise, is an upper bound of the offset, and equals it where the field contains empty background. *Skewness*:
the third central moment of Poisson noise is `beta1^2 (m - b)` and that of read noise is 0, so it crosses zero at the offset.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from zsdeconv.camera.highpass import Filters
from zsdeconv.camera.levels import Levels, TransferLine

SMOOTHING_SIGMAS_PX = (2.0, 3.0, 4.5, 7.0)
"""Widths of the Gaussians of the darkest level. Chosen: small gaps between structures survive the first, the last averages 600 pixels."""
TAIL_FRACTION = 0.002
"""Quantile of the smoothed image taken as its darkest value. Chosen: low enough for a nearly full field, in 512 x 512 pixels still 524."""
HAZE_RATIO = 0.3
"""Width of the prior of the light at the darkest place, in units of the rise of the dimmest twentieth of the image. Chosen:
benchmarks/calibrate_cases.py measures the errors of the offset that result."""
MAX_HAZE_SIGMAS = 1e3
"""Widths of the clear prior that haze may reach down. Chosen: the grid of the posterior then still resolves that width."""
HAZY = 0.7
"""Prior probability that all of the sample lies in haze. Chosen: with 0.5, fewer than 90 % of the intervals of simulated images held."""
MAX_UNBINNED_PX = 1_500_000
"""Pixels above which the frames are binned 2 x 2 before smoothing. Chosen: time; the smoothing scales leave the result the same."""


def darkest_level(frames: Sequence[np.ndarray], line: TransferLine) -> tuple[float, float, float]:
    """Lower edge of the noise-free image (ADU), its standard error, and the light of the dimmest twentieth above it.

    The `TAIL_FRACTION` quantile of the image smoothed by a Gaussian lies `z tau` below the edge, where tau is the remaining
    noise and z follows from the fraction of pixels that are as dark as the edge. The result is the lowest estimate over the
    smoothing scales. Each of `frames` is y x, ADU.
    """
    from scipy.ndimage import gaussian_filter

    binning = 2 if sum(f.size for f in frames) > MAX_UNBINNED_PX else 1
    estimates = []
    for scale in SMOOTHING_SIGMAS_PX:
        margin = int(scale)
        if min(frames[0].shape) < 8 * scale and estimates:
            break
        smooth = [gaussian_filter(_binned(f, binning), scale / binning)[margin:-margin, margin:-margin].ravel() for f in frames]
        estimates.append(_edge(np.sort(np.concatenate(smooth)), scale, scale / binning, line))
    return min(estimates, key=lambda e: e[0] + 0.5 * e[1])


def _binned(frame: np.ndarray, n: int) -> np.ndarray:
    """Mean over n x n pixels; n = 2 hardly changes smoothing by 2 pixels or more, and takes a quarter of the time."""
    ny, nx = (size // n * n for size in frame.shape)
    return frame[:ny, :nx].reshape(ny // n, n, nx // n, n).mean((1, 3)) if n > 1 else frame


def _edge(smooth: np.ndarray, scale: float, samples_per_scale: float, line: TransferLine) -> tuple[float, float, float]:
    """As `darkest_level`, of the sorted values of an image smoothed by a Gaussian of width `scale` (camera pixels).

    `samples_per_scale` is the same width in pixels of that image. The edge and the fraction of pixels below it depend on each
    other and are iterated.
    """
    from scipy.special import ndtri

    fraction_of_one = 4 * np.pi * samples_per_scale**2 / smooth.size  # of one independent value among all pixels
    tail = max(TAIL_FRACTION, 0.6 * fraction_of_one)
    quantile = float(smooth[int(tail * (smooth.size - 1))])
    edge, below, tau = quantile, 1.0, 0.0
    for _ in range(20):
        tau = np.sqrt(max(line.at(edge), 0.0) / (4 * np.pi)) / scale
        edge = quantile - tau * min(0.0, float(ndtri(min(0.5, tail / max(below, tail)))))
        below = 0.5 * below + min(0.5, np.searchsorted(smooth, edge) / smooth.size)
    rise = float(smooth[int(0.05 * (smooth.size - 1))]) - float(edge) + 1.645 * tau * (below > 0.3)
    return float(edge), float(tau), max(rise, 0.0)


def skewness_offset(levels: Levels, line: TransferLine, kernel: Filters) -> tuple[float, float]:
    """Zero crossing (ADU) of the third central moment `beta1^2 (T - b)` and its standard error (infinite without a gain)."""
    gain, gain_sigma = line.slope, float(np.sqrt(line.covariance[0, 0]))
    if gain <= 2 * gain_sigma:
        return float(levels.signal.min()), np.inf
    variance = np.maximum(line.slope * levels.signal + line.intercept, 1e-3 * levels.variance.max())
    weight = levels.count * kernel.skew**2 / (6 * variance**3 * kernel.spread)
    offset = np.average(levels.third_signal - levels.third / gain**2, weights=weight)
    # the offset contains the gain squared, hence twice its relative error; 2 % of it are structure that leaks through the filter
    gain_error = 2 * np.hypot(gain_sigma / gain, 0.02) * (np.average(levels.third_signal, weights=weight) - offset)
    return float(offset), float(np.hypot(1 / (gain**2 * np.sqrt(weight.sum())), gain_error))


def combine(darkest: tuple[float, float, float], skewness: tuple[float, float], lowest: float) -> tuple[float, float]:
    """Posterior mean and standard deviation of the offset (ADU) from both estimates; the offset is at least `lowest`.

    Two priors of the light at the darkest place, the second with the probability `HAZY`: there is hardly any, and it is half-normal with a
    width of `HAZE_RATIO` times the rise of the dimmest twentieth; or all of the sample lies in haze, and any amount down to `lowest`, where
    no read noise would be left, is as likely.
    """
    edge, sigma, rise = darkest
    if not sigma and not rise:  # a twentieth of the image has one value: the dark was clipped, and its level is known
        return edge, 0.0
    sigma_below = float(np.hypot(sigma, HAZE_RATIO * rise))
    least = min(max(lowest, edge - MAX_HAZE_SIGMAS * sigma_below), edge - 5 * sigma_below)
    grid = np.linspace(least, edge + 5 * sigma, 8001)
    above = np.exp(-0.5 * ((grid - edge).clip(0) / max(sigma, 1e-300)) ** 2)
    clear = np.exp(-0.5 * ((edge - grid).clip(0) / max(sigma_below, 1e-300)) ** 2) / (np.sqrt(np.pi / 2) * max(sigma_below, 1e-300))
    hazy = (grid >= lowest) / max(edge - max(lowest, least), sigma_below)
    weight = above * ((1 - HAZY) * clear + HAZY * hazy) * (grid >= min(lowest, edge))
    if np.isfinite(skewness[1]):
        score = ((grid - skewness[0]) / np.hypot(skewness[1], 1e-300)) ** 2
        weight = weight * np.exp(-0.5 * (score - score[weight > 0].min()))
    mean = float(np.average(grid, weights=weight))
    return mean, float(np.sqrt(np.average((grid - mean) ** 2, weights=weight)))
