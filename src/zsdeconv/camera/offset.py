"""The camera offset from the image itself: the value at which the signal is zero.

The photon-transfer line alone does not separate offset and read noise (`v = beta1 m + (beta2 - beta1 b)`), so two
independent estimates are combined. *Darkest level*: fluorescence is not negative, hence the lower edge of the smoothed image,
corrected for its noise, is an upper bound of the offset, and equals it where the field contains empty background. *Skewness*:
the third central moment of Poisson noise is `beta1^2 (m - b)` and that of read noise is 0, so it crosses zero at the offset.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

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
GAINS = 15
"""Gains over which the offset is averaged. Chosen: twice as many move no offset by a tenth of its standard error."""
LEAST_GAIN = 1e-150
"""Gain, ADU per electron, that is told from none. Law: its square is a number yet."""
LEAKAGE = 0.04
"""Structure that leaks through the filter, relative to the third moment. Measured: 2 % of the gain, which enters squared."""
READ_NOISE_E = 2.5
"""Read noise (electrons) beyond which cameras are rare: sCMOS have 1 to 3, CCD 4 to 10 (data sheets). Measured: intervals hold best so."""
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


@dataclass(frozen=True)
class Skewness:
    """Third central moment of the noise (ADU^3) and its standard error, at a mean `signal` (ADU)."""

    signal: float
    moment: float
    sigma: float

    def score(self, offset: np.ndarray, gain: float) -> np.ndarray:
        """Squared standard errors by which each offset (ADU) misses the law `gain^2 (signal - offset)`."""
        return ((gain**2 * (self.signal - offset) - self.moment) / self.sigma) ** 2


def skewness_of(levels: Levels, line: TransferLine, kernel: Filters) -> Skewness:
    """The mean third central moment of all brightness levels."""
    variance = np.maximum(line.slope * levels.signal + line.intercept, 1e-3 * levels.variance.max())
    weight = levels.count * kernel.skew**2 / (6 * variance**3 * kernel.spread)
    signal, moment = (float(np.average(values, weights=weight)) for values in (levels.third_signal, levels.third))
    return Skewness(signal, moment, float(np.hypot(1 / np.sqrt(weight.sum()), LEAKAGE * moment)))


@dataclass(frozen=True)
class Dark:
    """What a gain (ADU per electron) says of the offset: `noise_adu2` is the variance at the darkest level `edge` (ADU), of which photons
    can make up at most `most_adu2`, where no read noise is left.
    """

    edge: float
    gain: float
    noise_adu2: float
    most_adu2: float

    @property
    def lowest(self) -> float:
        """Offset (ADU) at which photons leave no read noise."""
        return self.edge - self.most_adu2 / self.gain

    def quiet(self, offset: np.ndarray) -> np.ndarray:
        """How probable the read noise is that each offset leaves, as `1 / (1 + (electrons / READ_NOISE_E)^2)`."""
        read_adu2, usual_adu2 = self.noise_adu2 - self.gain * (self.edge - offset), (self.gain * READ_NOISE_E) ** 2
        return usual_adu2 / (usual_adu2 + read_adu2.clip(0))


def dark_of(line: TransferLine, edge: float, least_adu2: float) -> tuple[Dark, ...]:
    """What gains, as likely each, say of the offset below the darkest level `edge` (ADU); noise is at least `least_adu2`.

    The gains are quantiles of the normal distribution that the line gives them, as far as it is positive.
    """
    from scipy.special import log_ndtr, ndtri_exp

    sigma = max(line.slope_sigma, LEAST_GAIN)
    share = (np.arange(GAINS) + 0.5) / GAINS  # of the part above zero, however small that is
    gains = line.slope - sigma * ndtri_exp(log_ndtr(line.slope / sigma) + np.log(share))
    turn = (edge * line.covariance[0, 0] + line.covariance[0, 1]) / sigma**2  # what a steeper line adds to the variance at the edge
    own = float(np.sqrt(max(line.sigma_at(edge) ** 2 - (turn * sigma) ** 2, 0.0)))
    noises = np.maximum(line.at(edge) + turn * (gains - line.slope), least_adu2)
    pairs = zip(np.maximum(gains, max(1e-6 * sigma, LEAST_GAIN)).tolist(), noises.tolist(), strict=True)
    return tuple(Dark(edge, gain, noise, noise + 2 * own - least_adu2) for gain, noise in pairs)


def combine(darkest: tuple[float, float, float], skewness: Skewness | None, dark: Sequence[Dark], floor: float) -> tuple[float, float]:
    """Posterior mean and standard deviation of the offset (ADU) from darkest level, skewness and the read noise that an offset leaves.

    Two priors of the light at the darkest place, the second with the probability `HAZY`: there is hardly any, and it is half-normal with a
    width of `HAZE_RATIO` times the rise of the dimmest twentieth; or all of the sample lies in haze, and any amount is as likely down to
    where no read noise would be left, or to `floor`. The gain is one of those of `dark`, as likely each before the skewness is seen.
    """
    edge, sigma, rise = darkest
    if not sigma and not rise:  # a twentieth of the image has one value: the dark was clipped, and its level is known
        return edge, 0.0
    sigma_below = float(np.hypot(sigma, HAZE_RATIO * rise))
    lowest = [max(d.lowest, min(floor, edge)) for d in dark]
    least = min(max(min(lowest), edge - MAX_HAZE_SIGMAS * sigma_below), edge - 5 * sigma_below)
    grid = np.linspace(least, edge + 5 * sigma, 8001)
    above = np.exp(-0.5 * ((grid - edge).clip(0) / max(sigma, 1e-300)) ** 2)
    clear = np.exp(-0.5 * ((edge - grid).clip(0) / max(sigma_below, 1e-300)) ** 2) / (np.sqrt(np.pi / 2) * max(sigma_below, 1e-300))
    weights, scores = np.zeros((len(dark), grid.size)), np.zeros((len(dark), grid.size))
    for n, (one, end) in enumerate(zip(dark, lowest, strict=True)):
        hazy = (grid >= end) / max(edge - max(end, least), sigma_below)
        weights[n] = above * one.quiet(grid) * ((1 - HAZY) * clear + HAZY * hazy) * (grid >= min(end, edge))
        if skewness is not None:
            scores[n] = skewness.score(grid, one.gain)
    weight = (weights * np.exp(-0.5 * (scores - scores[weights > 0].min()))).sum(0)
    mean = float(np.average(grid, weights=weight))
    return mean, float(np.sqrt(np.average((grid - mean) ** 2, weights=weight)))
