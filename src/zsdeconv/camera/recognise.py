"""Which detector recorded an image: told from the shape of its noise, not only from its variance.

Two witnesses. The ratio `c` of the third cumulant of the noise to `beta1^2 (signal - b)` is 1 for a camera and for a photon counter, and
`2 - 1 / excess` for a multiplier, 1.5 under electron multiplication; it needs no dark places. And the histogram of the darkest pixels: one
electron makes a peak of its own in a camera of little read noise, an exponential tail after a multiplier. Each law is fitted to it by
maximum likelihood, with the gain that the variance tells, and a negative binomial number of electrons, for the darkest pixels are not
equally dark. The fit of a multiplier also gives its offset and read noise, which the variance cannot: one electron has far more of it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch

from zsdeconv.camera.detector import MAX_DRAWN_E, Camera, Multiplier
from zsdeconv.camera.highpass import Filters
from zsdeconv.camera.levels import Levels, TransferLine

OTHER_SHAPES = (2, 4)
"""Shapes of a multiplier that are tried beside 1, electron multiplication. Law: photomultipliers have an excess of 1.2 to 1.5."""
MAX_COUNT_VALUES = 4096
"""Different numbers of photons in an image of counts. Chosen: no counting detector reaches more in a pixel."""
COUNT_TOLERANCE = 0.03
"""Error of the variance without light, and half of that of variance over mean, that structure may leave. Measured: 4 % of the latter."""
MAX_COUNT_SIGMA = 0.12
"""Standard error of variance over mean from which counting and a camera look alike. Chosen: gains of cameras differ by more."""
MAX_DARK_SIGMA_E2 = 3.0
"""Standard error of the variance without light (photo-electrons squared) up to which it shows that counts begin at 0. Chosen: cameras
have offsets of tens to hundreds of electrons; where all of an image is bright, one of them may pass for none."""
DECISIVE = 6.0
"""Log-likelihood ratio from which one law is believed. Chosen: 400 to 1, as models of an image are never quite true."""
MAX_WITNESS_SIGMA = 0.25
"""Standard error of `c` up to which it is heard. Chosen: half the difference between camera and electron multiplication."""
WITNESS_BIAS = 0.08
"""Error of `c` that structure leaves. Measured on simulated images of eight structures: it comes out 0.05 to 0.1 too large."""
DARK_FRACTION = 0.25
"""Fraction of the pixels that form the dark ones. Chosen: enough for a histogram in 128 x 128 pixels, dark in most images."""
RING_PX = 7
"""Side of the square whose mean, without the pixel itself, says whether a pixel is a dark one. Chosen: 48 pixels average the noise."""
MAX_FITTED_E = 80
"""Electrons of a dark pixel that are reckoned with in a fit, and between the offset and the lowest value. Chosen: where there are more,
noise is nearly Gaussian and says little."""
MAX_BINS = 1000
"""Bins of the histogram. Chosen: finer than the read noise of any image whose values spread over it."""
OUTLIER_FRACTION = 1e-4
"""Pixels that no law explains, spread evenly over the histogram. Chosen: a few undetected hot pixels must not decide."""
IMPOSSIBLE = 1e30
"""Negative log-likelihood outside the range that is tried. Law: any number beyond those that occur."""
LOG_MEAN_RANGE = (-12.0, 4.5)
"""Natural logarithm of the mean number of electrons of a dark pixel, as tried. Chosen: from none at all to `MAX_FITTED_E`."""
LOG_DISPERSION_RANGE = (-8.0, 2.5)
"""The same of the excess dispersion. Chosen: from a Poisson number to one pixel in ten with all the light."""
LOG_DISPERSION = -1.0
"""The same, from which a fit starts. Chosen: inside the range, that dark pixels of real images have."""
STEP = 1e-3
"""Step of differences, in read noises and in logarithms. Law: small against 1, large against the rounding of float64."""
MAX_TRIALS = 150
"""Evaluations of a fit. Measured: 11 to 62 are needed on simulated and real images."""
PRIOR_SIGMAS = (3.0, 1.0, 2.0, 2.0)
"""Widths of the priors of offset (electrons) and of the logarithms of read noise, mean electrons and dispersion. Chosen: any image."""
READ_RANGE_E = (0.03, 4.5)
"""Read noise, electrons, that is tried. Chosen: below it counts for nothing, above the noise of a camera is Gaussian."""
MAX_MULTIPLIED_READ_E = 1.5
"""The same of a multiplier, times its shape. Chosen: multiplication is there to make the read noise small against an electron."""
MIN_READ_STEPS = 0.5
"""The same, over the distance of grey values. Law: from a half, a sum over grey values equals the integral to 1.5 % (Poisson's summation);
a narrower peak between or upon them has any likelihood at all."""

MIN_NOISE_PER_STEP = 1.0
"""Noise (standard deviation) of dark pixels over the distance of grey values from which its shape is seen. Law: above a half, rounding is
independent noise (Widrow); a histogram is then three values wide at least."""


@dataclass(frozen=True)
class DarkFit:
    """A law fitted to the histogram of dark pixels: offset and read noise (ADU) with standard errors, and the log-likelihood."""

    law: Camera
    offset_sigma: float
    read_noise_sigma: float
    log_likelihood: float


MAX_TOLD_SIGMA = 1.0
"""Standard error of a skewness, over that of a camera, up to which it is told. Law: camera and multiplier differ by a half of it."""


@dataclass(frozen=True)
class Recognition:
    """What the shape of the noise says of the detector.

    `kind` is "camera", "emccd", or "" where it cannot be told; `ratio` is `c` with its standard error; `evidence` is the log-likelihood
    ratio of multiplier against camera; `fits` holds the best fit of each kind (none where the gain is unknown, or so small that grey
    values show no electrons).
    """

    kind: str
    ratio: float
    ratio_sigma: float
    evidence: float
    fits: dict[str, DarkFit]

    @property
    def words(self) -> str:
        """The reason, in words."""
        likely = f"log-likelihood ratio {abs(self.evidence):.3g}"
        skew = f"skewness {self.ratio:.2f} +- {self.ratio_sigma:.2f} of a camera's (1.5 under electron multiplication)"
        return f"{skew}, {likely}" if self.ratio_sigma < MAX_TOLD_SIGMA else likely


NOTHING_KNOWN = Recognition("", 1.0, math.inf, 0.0, {})
"""Of noise that is not independent in each pixel, whose shape says nothing of the detector."""


def recognise(frames: Sequence[np.ndarray], levels: Levels, line: TransferLine, kernel: Filters) -> Recognition:
    """Camera or multiplier, of the frames (each y x) whose brightness levels and photon-transfer line are given, all in ADU.

    >>> from zsdeconv.camera.survey import survey_frames
    >>> from zsdeconv.camera.levels import fit_line
    >>> light = torch.linspace(0, 300, 160).repeat(160, 1)
    >>> y = Multiplier(0.0, 50.0, 25.0).simulate(light, 1.0, torch.Generator().manual_seed(0)).round().numpy()
    >>> survey = survey_frames(y[None], None)
    >>> recognise(survey.frames, survey.levels, fit_line(survey.levels, survey.kernel.spread), survey.kernel).kind
    'emccd'
    """
    ratio, sigma = skewness_ratio(levels, line, kernel)
    if not line.slope > 2 * math.sqrt(line.covariance[0, 0]):
        return Recognition("", ratio, sigma, 0.0, {})
    values, counts = _histogram(frames)
    if MIN_READ_STEPS * _distance(values) > READ_RANGE_E[1] * line.slope / 2:  # an electron is a small part of a grey value
        return Recognition("", ratio, sigma, 0.0, {})
    camera = fit_dark(values, counts, Camera(0.0, line.slope, 0.0))
    multiplier = fit_dark(values, counts, Multiplier(0.0, line.slope / 2, 0.0))
    if multiplier.log_likelihood > camera.log_likelihood and ratio + 2 * sigma < 2 - 1 / multiplier.law.excess:
        others = [fit_dark(values, counts, Multiplier(0.0, line.slope / (1 + 1 / k), 0.0, k)) for k in OTHER_SHAPES]
        better = max(others, key=lambda fit: fit.log_likelihood)
        multiplier = better if better.log_likelihood > multiplier.log_likelihood + DECISIVE else multiplier
    evidence, total = multiplier.log_likelihood - camera.log_likelihood, math.hypot(sigma, WITNESS_BIAS)
    expected = 2 - 1 / multiplier.law.excess
    if sigma < MAX_WITNESS_SIGMA:
        evidence += ((ratio - 1) ** 2 - (ratio - expected) ** 2) / (2 * total**2)
    undecided = abs(evidence) < DECISIVE or _is_rounded_away(values, counts)
    kind = "" if undecided else "emccd" if evidence > 0 else "camera"
    return Recognition(kind, ratio, sigma, evidence, {"camera": camera, "emccd": multiplier})


def _is_rounded_away(values: np.ndarray, counts: np.ndarray) -> bool:
    """Whether grey values are so far apart that a histogram has the shape of rounding rather than that of noise."""
    mean = np.average(values, weights=counts)
    noise = float(np.sqrt(np.average((values - mean) ** 2, weights=counts)))
    return noise < MIN_NOISE_PER_STEP * _distance(values)


def _distance(values: np.ndarray) -> float:
    """Distance of grey values (ADU), of sorted different ones."""
    return float(np.median(np.diff(values))) if len(values) > 1 else 0.0


def skewness_ratio(levels: Levels, line: TransferLine, kernel: Filters) -> tuple[float, float]:
    """The slope `c` of the third cumulant over `beta1^2 signal`, and its standard error (infinite where the gain is unknown)."""
    gain_sigma = math.sqrt(line.covariance[0, 0])
    if len(levels.signal) < 3 or line.slope <= 2 * gain_sigma:
        return 1.0, math.inf
    variance = np.maximum(line.slope * levels.signal + line.intercept, 1e-3 * levels.variance.max())
    weight = levels.count * kernel.skew**2 / (6 * variance**3 * kernel.spread)
    pivot = np.average(levels.third_signal, weights=weight)
    design = np.stack([levels.third_signal - pivot, np.ones_like(variance)], 1)
    inverse = np.linalg.pinv(design.T @ (design * weight[:, None]), hermitian=True)
    solution = inverse @ (design.T @ (weight * levels.third))
    excess = max(1.0, float((weight * (levels.third - design @ solution) ** 2).sum() / max(1, len(variance) - 2)))
    ratio = float(solution[0]) / line.slope**2
    if inverse[0, 0] <= 0:
        return 1.0, math.inf
    return ratio, float(np.hypot(math.sqrt(inverse[0, 0] * excess) / line.slope**2, 2 * ratio * gain_sigma / line.slope))


def count_unit(frames: np.ndarray) -> float | None:
    """Counts of one photon, if all pixels are whole multiples of it from 0 on; None otherwise.

    >>> count_unit(np.array([0.0, 6.0, 4.0])), count_unit(np.array([0.5, 1.0, 1.2]))
    (2.0, None)
    """
    values = np.unique(frames)
    if values[0] < 0 or len(values) < 2 or len(values) > MAX_COUNT_VALUES:
        return None
    unit = float(np.diff(values.astype(np.float64)).min())
    multiples = values / unit
    return unit if np.abs(multiples - multiples.round()).max() < 1e-6 else None


def is_counting(line: TransferLine, unit: float) -> tuple[bool, str]:
    """Whether variance and mean are equal, in photons of `unit` counts, as far as the photon-transfer line tells; and in words."""
    gain, sigma, dark = line.slope / unit, line.slope_sigma / unit, line.at(0.0) / unit**2
    dark_sigma = line.sigma_at(0.0) / unit**2
    words = f"variance {gain:.3g} +- {sigma:.2g} of the mean (1 for photons)"
    alike = abs(gain - 1) < max(3 * sigma, 2 * COUNT_TOLERANCE) and sigma < MAX_COUNT_SIGMA
    return alike and dark_sigma < MAX_DARK_SIGMA_E2 and abs(dark) < 3 * dark_sigma + COUNT_TOLERANCE, words


def _histogram(frames: Sequence[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Values that occur among the darkest pixels, whose neighbours without themselves are darkest, and how often."""
    from scipy.ndimage import uniform_filter

    dark = []
    for frame in frames:
        image = frame.astype(np.float64)
        around = (uniform_filter(image, RING_PX) * RING_PX**2 - image) / (RING_PX**2 - 1)
        dark.append(image[around <= np.quantile(around, DARK_FRACTION)])
    values = np.concatenate(dark)
    width = float(np.quantile(values, 0.999) - values.min()) / MAX_BINS
    unique, counts = np.unique(values, return_counts=True)
    if len(unique) > MAX_BINS and width > 0:
        unique, counts = np.unique(np.round(values / width) * width, return_counts=True)
    return unique, counts


def fit_dark(values: np.ndarray, counts: np.ndarray, law: Camera) -> DarkFit:
    """The law with the offset and the read noise that make the histogram likeliest; its gain is kept.

    >>> rng = np.random.default_rng(0)
    >>> y = 60 * rng.exponential(size=9000) * (rng.random(9000) < 0.2) + rng.normal(490, 7, 9000)
    >>> fit = fit_dark(*np.unique(y.round(), return_counts=True), Multiplier(0.0, 60.0, 0.0))
    >>> round(fit.law.offset), round(fit.law.read_noise)
    (490, 7)
    """
    histogram = _Histogram(values, counts, law)
    low, low16, median = np.repeat(values, counts)[(np.array([0.02, 0.16, 0.5]) * (counts.sum() - 1)).astype(int)]
    light = max((float(np.average(values, weights=counts)) - low) / law.gain, 0.05)
    starts = ((low + 2 * (low16 - low), low16 - low), (median - 0.5 * law.gain * min(light, 1.0), (median - low) / 2))
    tried = [histogram.minimum((offset - histogram.level) / law.gain, histogram.log_read(width), light) for offset, width in starts]
    found, best = min(tried, key=lambda each: each[1])
    sigma = _standard_errors(histogram, found)
    read = math.exp(found[1]) * law.gain
    fitted = replace(law, offset=histogram.level + float(found[0]) * law.gain, read_variance=read**2)
    return DarkFit(fitted, float(sigma[0]) * law.gain, float(sigma[1]) * read, -best)


class _Histogram:
    """A histogram under a law of which four numbers `t` are to be found: the offset, in electrons from `level` (ADU), and the natural
    logarithms of the read noise (electrons), of the mean number of electrons, and of the excess dispersion of that number.
    """

    def __init__(self, values: np.ndarray, counts: np.ndarray, law: Camera) -> None:
        self.law, self.counts, self.level = law, counts, float(values[0])
        self.u = torch.from_numpy((values - self.level) / law.gain)
        self.most = int(min(max(float(self.u[-1]) * 1.2 + 8, MAX_DRAWN_E), MAX_FITTED_E))
        self.floor = OUTLIER_FRACTION / max(float(self.u[-1]), 1e-9)
        step = _distance(values) / law.gain
        least = max(READ_RANGE_E[0], MIN_READ_STEPS * step)
        most = MAX_MULTIPLIED_READ_E / law.shape if isinstance(law, Multiplier) else READ_RANGE_E[1]
        reads = np.log((least, max(least, math.hypot(most, step / math.sqrt(12)))))  # variance of rounding: step^2 / 12
        self.range = np.array([(-float(MAX_FITTED_E), float(self.u[-1])), reads, LOG_MEAN_RANGE, LOG_DISPERSION_RANGE])

    def log_read(self, width: float) -> float:
        """A width (ADU) as a read noise inside the range."""
        low, high = self.range[1]
        return float(np.clip(math.log(max(width, 1e-9) / self.law.gain), low + 0.1 * (high - low), high - 0.1 * (high - low)))

    def densities(self, t: np.ndarray) -> np.ndarray:
        """`p(u | n)`, value by number of electrons."""
        law = replace(self.law, read_variance=(self.law.gain * math.exp(t[1])) ** 2)
        return law.log_likelihood(self.u - t[0], self.most).exp_().numpy()

    def below(self, t: np.ndarray) -> float:
        """Negative log-likelihood."""
        if (t < self.range[:, 0]).any() or (t > self.range[:, 1]).any():
            return IMPOSSIBLE
        density = self.densities(t) @ _negative_binomial(t[2], t[3], self.most)[0]
        return -float(self.counts @ np.log((density + self.floor) / self.law.gain))

    def slopes(self, t: np.ndarray) -> tuple[float, np.ndarray]:
        """Negative log-likelihood and its gradient, for offset and read noise by differences."""
        electrons = _negative_binomial(t[2], t[3], self.most)
        density, *of_electrons = electrons @ self.densities(t).T
        of_camera = []
        for i, step in enumerate((STEP * math.exp(t[1]), STEP)):
            moved = t.copy()
            moved[i] += step
            of_camera.append((self.densities(moved) @ electrons[0] - density) / step)
        density += self.floor
        return -float(self.counts @ np.log(density / self.law.gain)), -np.stack([*of_camera, *of_electrons]) @ (self.counts / density)

    def minimum(self, offset: float, log_read: float, light: float) -> tuple[np.ndarray, float]:
        """The `t` of the least negative log-likelihood, and that; from an offset, a read noise and a mean number of electrons."""
        from scipy.optimize import minimize

        scale = np.array([math.exp(log_read), 1, 1, 1])  # by which the four are alike in size

        def scaled(x: np.ndarray) -> tuple[float, np.ndarray]:
            value, gradient = self.slopes(x * scale)
            return value, gradient * scale

        start = np.clip([offset, log_read, math.log(light), LOG_DISPERSION], *self.range.T) / scale
        options = {"ftol": 1e-9, "gtol": 1e-2, "maxfun": MAX_TRIALS}
        tried = minimize(scaled, start, jac=True, method="L-BFGS-B", bounds=self.range / scale[:, None], options=options)
        return tried.x * scale, float(tried.fun)


def _negative_binomial(log_mean: float, log_dispersion: float, most: int) -> np.ndarray:
    """`P(n)` for n = 0 to `most`, of the variance `mean + dispersion mean^2`, and its derivatives by the two logarithms."""
    from scipy.special import digamma, gammaln

    n, mean, k = np.arange(most + 1), math.exp(log_mean), math.exp(-log_dispersion)
    log_empty = math.log(k / (k + mean))
    p = np.exp(gammaln(n + k) - gammaln(k) - gammaln(n + 1) + k * log_empty + n * math.log(mean / (k + mean)))
    by_mean = p * k * (n - mean) / (k + mean)
    by_dispersion = -p * k * (digamma(n + k) - digamma(k) + log_empty + 1 - (n + k) / (k + mean))
    return np.stack([p, by_mean, by_dispersion])


def _standard_errors(histogram: _Histogram, at: np.ndarray) -> np.ndarray:
    """Square roots of the diagonal of the inverse of the Hessian, with a wide prior in directions that the histogram says nothing of."""
    steps = np.diag([0.1 * math.exp(at[1]), 0.03, 0.05, 0.15])
    n = len(at)
    hessian = np.diag(1.0 / np.square(PRIOR_SIGMAS))
    for i in range(n):
        for j in range(n):
            corners = [histogram.below(at + a * steps[i] + b * steps[j]) for a, b in ((1, 1), (1, -1), (-1, 1), (-1, -1))]
            second = (corners[0] - corners[1] - corners[2] + corners[3]) / (4 * steps[i, i] * steps[j, j])
            hessian[i, j] += second if abs(second) < IMPOSSIBLE / 100 else 0.0
    values, vectors = np.linalg.eigh(hessian)
    floor = 1 / max(PRIOR_SIGMAS) ** 2
    return np.sqrt((vectors**2 / np.maximum(values, floor)).sum(1))
