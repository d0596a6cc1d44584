"""Many quantities of which each is known badly, drawn towards what they have in common: empirical Bayes.

A sensor has millions of pixels, and each is seen in a few frames. The spread of the estimates over all pixels tells how far the pixels
truly differ, and each estimate keeps as much of its own value as it deserves: all of it where frames are many, nothing where the spread is
that of the noise alone. So maps from a few frames are not worse than one number for the whole sensor.
"""

from __future__ import annotations

import numpy as np

OUTLIER_SIGMAS = 4.0
"""Robust standard deviations above the median from which a logarithm of a variance tells nothing of the bulk. Chosen: hot pixels are."""
MAX_OUTSIDE = 0.02
"""Fraction of pixels far outside up to which they are faulty. Chosen: as of the hot pixels of an image; worse cameras are not sold."""
PRIOR_FREEDOM = (2.5, 1e4)
"""Degrees of freedom of the prior of variances. Law: its mean is infinite at 2. Chosen: at 10 000 variances differ by 1.4 %, by nothing."""


def robust_variance(values: np.ndarray) -> float:
    """Variance of the bulk of values, from their median absolute deviation, which a few hot pixels do not change."""
    return (1.4826 * float(np.median(np.abs(values - np.median(values))))) ** 2


def few(outside: np.ndarray) -> np.ndarray:
    """Pixels far outside; none where they are so many that they belong to the structure of the sensor, such as halves that differ."""
    return outside if outside.mean() <= MAX_OUTSIDE else np.zeros_like(outside)


def shrunk_means(values: np.ndarray, variances: np.ndarray, common: float, good: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Estimates with known sampling `variances`, drawn towards their `common` value, and the variances that remain.

    Under a normal prior of the variance `tau^2` about the common value, the posterior mean is `common + B (value - common)` with
    `B = tau^2 / (tau^2 + variance)`; `tau^2` is the mean square of the `good` estimates about it, less that of their sampling (method of
    moments).

    >>> rng = np.random.default_rng(0)
    >>> truth = rng.normal(100, 2, 4000)
    >>> noisy = truth + rng.normal(0, 3, truth.shape)
    >>> means, left = shrunk_means(noisy, np.full(truth.shape, 9.0), 100.0, truth > 0)
    >>> bool(abs((means - truth).std() - (4 * 9 / 13) ** 0.5) < 0.1), bool(abs(left[0] - 4 * 9 / 13) < 0.3)
    (True, True)
    """
    tau2 = max(float(np.mean((values[good] - common) ** 2) - np.mean(variances[good])), 0.0)
    kept = tau2 / np.maximum(tau2 + variances, 1e-300)
    return common + kept * (values - common), kept * variances


def shrunk_variances(variances: np.ndarray, freedom: int) -> np.ndarray:
    """Sample variances of `freedom` degrees of freedom each, drawn towards what they have in common.

    Under a scaled inverse chi-squared prior of `d0` degrees of freedom and the scale `s0^2` the posterior mean is
    `(d0 s0^2 + d s^2) / (d0 + d - 2)`. Mean and variance of `log s^2` over the pixels give both (Smyth, Stat. Appl. Genet. Mol. Biol. 3,
    3, 2004): `trigamma(d0 / 2) = Var(log s^2) - trigamma(d / 2)`.

    >>> rng = np.random.default_rng(0)
    >>> bool(abs(shrunk_variances(4 * rng.chisquare(3, 9000) / 3, 3) - 4).max() < 0.4)  # pixels that are all alike
    True
    >>> truth = 4 * rng.lognormal(0, 0.7, 9000)
    >>> own = truth * rng.chisquare(3, 9000) / 3
    >>> bool(((shrunk_variances(own, 3) - truth) ** 2).mean() < 0.6 * ((own - truth) ** 2).mean())
    True
    """
    from scipy.optimize import root_scalar
    from scipy.special import digamma, polygamma

    logs = np.log(np.maximum(variances, 1e-6 * max(float(variances.mean()), 1e-300)))
    bulk = ~few(logs > np.median(logs) + OUTLIER_SIGMAS * max(robust_variance(logs), 1e-12) ** 0.5)
    mean, spread = float(logs[bulk].mean()), float(logs[bulk].var()) - float(polygamma(1, freedom / 2))
    low, high = PRIOR_FREEDOM
    if spread <= polygamma(1, high / 2):
        return np.full(variances.shape, np.exp(mean - digamma(freedom / 2) + np.log(freedom / 2)))
    widest = spread >= polygamma(1, low / 2)
    prior = low if widest else root_scalar(lambda d: float(polygamma(1, d / 2)) - spread, bracket=(low, high)).root
    scale = np.exp(mean - digamma(freedom / 2) + np.log(freedom / 2) + digamma(prior / 2) - np.log(prior / 2))
    return (prior * scale + freedom * variances) / (prior + freedom - 2)
