"""The width of the PSF that the spectrum of an image prefers: towards the end of the OTF it falls faster than that of any object.

The model of the ring means of the power (module `spectrum`) is, with the OTF H of the PSF given, the pixel's transfer function D and
k in units of the end of the OTF,

    P(k) = A k^(-beta - gamma log k) |H(s k)|^2 |D(k)|^2 + nu N(k)

folded to the camera's grid. Objects have smooth spectra (points beta = 0, lines 1, edges and shells 2), but an OTF ends: near its end
|H(s k)|^2 falls ten times faster with s than with beta, so the two can be separated. A, beta, gamma, nu and s maximise Whittle's
likelihood; priors hold gamma (curvature) near 0 and nu (noise level) near 1. The thickness of an object, compared with a point or a line,
counts as width.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from zsdeconv.physics.psf import Psf
from zsdeconv.report.statistics.mtf import SMALLEST_RATIO, Transfer
from zsdeconv.report.statistics.spectrum import GROUPS, Spectra

WIDTHS = np.round(np.arange(0.7, 1.4001, 0.025), 3)
"""Widths, relative to the PSF, at which the likelihood is drawn. Chosen: beyond them every PSF is wrong."""
START_SIGMAS = {0.15: 0.1, 0.35: 0.25}
"""Frequencies from which fits begin, in ends of the OTF, and the standard deviation of gamma in each. Chosen: background and the shapes of
cells determine lower frequencies."""
PRIOR = {"log A": (0.0, 1e3), "beta": (1.5, 1.5), "gamma": (0.0, 0.1), "log nu": (0.0, 0.05), "log s": (0.0, np.inf)}
"""Mean and standard deviation of each parameter, in this order everywhere. Chosen: beta covers points to shells, nu the error of a gain."""
MAX_WIDTH = 2.0
"""Largest width that is searched, and its inverse the smallest. Chosen: wider than any plausible error."""
STEP = 1e-4
"""Step of the numerical derivatives. Chosen: between rounding and curvature."""
MAX_ROUNDS = 30
"""Rounds of Fisher scoring. Chosen: fits converge in about ten."""
MAX_TRIALS = 8
"""Dampings that are tried in a round. Chosen: the last is 10^5 times the first."""
MIN_IMPROVEMENT = 1e-4
"""Fall of twice the negative log-likelihood below which a fit has converged. Chosen: far below its statistical error."""
MAX_STEP = 0.5
"""Largest change of a parameter in a round. Chosen: a factor of 1.6 in the amplitude."""
SAMPLES_PER_RING = 8
"""Frequencies at which the model is computed, per ring of the spectrum. Chosen: interpolation then adds no error."""
MIN_SIGNAL_SIGMAS = 10.0
"""Standard errors of the noise by which the power must exceed it. Chosen: less signal determines no width."""


@dataclass(frozen=True, eq=False)
class WidthFit:
    """The `width` that the spectrum prefers, relative to the PSF, with its standard error `sigma`.

    `curve` is twice the log-likelihood lost at each of `WIDTHS`; `model` and `as_given` are the power (ring) expected with the preferred
    width and with the PSF as given, `noise` is the level below both, `noise_factor` nu, `slope` beta of the object.
    """

    width: float
    sigma: float
    curve: np.ndarray
    model: np.ndarray
    as_given: np.ndarray
    noise: np.ndarray
    noise_factor: float
    slope: float


def fit_width(spectra: Spectra, psf: Psf, scale: int) -> WidthFit | None:
    """The width of `psf` (on the fine grid, `scale` times finer than the image) that the spectra of an image prefer.

    It is the mean of fits from each of `START_SIGMAS` on. The standard error contains half of their difference, because objects are not
    exact power laws, and the jackknife error over parts of the field, because few structures make a spectrum. None when the signal is too
    weak.
    """
    transfer = Transfer(psf)
    expect = _Expectation(spectra, transfer, scale)
    fits = []
    for start, curvature in START_SIGMAS.items():
        fit = _Fit(spectra, expect, start * transfer.end_per_um, curvature)
        if not fit.significant:
            return None
        fits.append(fit)
    best = [fit.maximised(*spectra.without(-1), fit.start) for fit in fits]
    logs = np.array([theta[4] for theta, _ in best])
    parts = np.mean([fit.jackknife(theta) for fit, (theta, _) in zip(fits, best, strict=True)], axis=0)
    sigma = float(np.sqrt((len(parts) - 1) * np.var(parts) + np.var(logs)))
    curve = np.mean([fit.profile(*maximum) for fit, maximum in zip(fits, best, strict=True)], axis=0)
    power, noise = spectra.without(-1)
    theta = best[0][0]
    given, _ = fits[0].maximised(power, noise, np.append(theta[:4], 0.0), free=4)
    level, width = np.exp(theta[3]) * noise, float(np.exp(logs.mean()))
    return WidthFit(width, width * sigma, curve - curve.min(), expect(theta) + level, expect(given) + level, level,
                    float(np.exp(theta[3])), float(theta[1]))  # fmt: skip


class _Expectation:
    """Power of the signal (ring) as a function of theta: a fixed matrix applied to the power that the PSF transfers."""

    def __init__(self, spectra: Spectra, transfer: Transfer, scale: int) -> None:
        side, um = spectra.tile_px, spectra.pixel_um / scale
        self.transfer = transfer
        step = 1 / (SAMPLES_PER_RING * side * spectra.pixel_um)
        k = np.fft.fftfreq(scale * side, um)
        radius = np.hypot(k[:, None], k)
        pixel = np.cos(np.pi * k * um) ** 2 if scale > 1 else np.ones(len(k))
        self.k_per_um = np.arange(int(radius.max() / step) + 2) * step
        below = (radius / step).astype(int)
        share = radius / step - below
        n = np.fft.fftfreq(side, 1 / side)
        ring = np.rint(np.hypot(n[:, None], n)).astype(int)
        self.matrix = np.zeros((len(spectra.count), len(self.k_per_um)))
        for dy, wy in ((-1, 1), (0, 4), (1, 1)):  # the Hann window spreads power to the neighbouring frequencies
            for dx, wx in ((-1, 1), (0, 4), (1, 1)):
                to = np.tile(np.roll(ring, (dy, dx), (0, 1)), (scale, scale))
                weight = np.outer(pixel, pixel) * (wy * wx / 36) / spectra.count[to]
                np.add.at(self.matrix, (to, below), weight * (1 - share))
                np.add.at(self.matrix, (to, below + 1), weight * share)

    def __call__(self, theta: np.ndarray) -> np.ndarray:
        amplitude, slope, curvature, _, log_width = theta
        return np.exp(amplitude) * (self.matrix @ self.transfer.passed(self.k_per_um, slope, curvature, float(np.exp(log_width))))


class _Fit:
    """The likelihood of the rings from one frequency on, and its maximum."""

    def __init__(self, spectra: Spectra, expect: _Expectation, start_per_um: float, curvature: float) -> None:
        self.spectra, self.expect = spectra, expect
        self.used = spectra.frequency_per_um >= start_per_um
        self.weight = spectra.independent[self.used]
        self.mean, sigma = np.array(list(PRIOR.values())).T
        sigma[2] = curvature
        self.precision = sigma**-2
        power, noise = (p[self.used] for p in spectra.without(-1))
        signal = float((self.weight * (power / noise - 1)).sum())
        self.significant = signal > MIN_SIGNAL_SIGMAS * np.sqrt(self.weight.sum())
        self.start = np.array([0.0, 1.0, 0.0, 0.0, 0.0])
        self.start[0] = np.log(max(float((power - noise)[:5].sum()), SMALLEST_RATIO) / expect(self.start)[self.used][:5].sum())

    def jackknife(self, theta: np.ndarray) -> np.ndarray:
        """Logarithm of s, leaving out each part of the field in turn."""
        groups = [group for group in range(GROUPS**2) if (self.spectra.group == group).any()]
        return np.array([self.maximised(*self.spectra.without(group), theta)[0][4] for group in groups])

    def profile(self, theta: np.ndarray, least: float) -> np.ndarray:
        """Twice the log-likelihood lost at each of `WIDTHS`, with all other parameters free."""
        power, noise = self.spectra.without(-1)
        held = [np.append(theta[:4], np.log(width)) for width in WIDTHS]
        return np.array([self.maximised(power, noise, start, free=4)[1] for start in held]) - least

    def maximised(self, power: np.ndarray, noise: np.ndarray, start: np.ndarray, free: int = 5) -> tuple[np.ndarray, float]:
        """The maximum of the likelihood (Fisher scoring): theta, and twice the negative log-likelihood.

        Parameters
        ----------
        power, noise : ring means of the image and of its noise
        start : theta at the beginning
        free : number of leading parameters that vary
        """
        power, noise, theta, damping = power[self.used], noise[self.used], start, 1e-3
        model = self._model(theta, noise)
        loss = self._loss(theta, model, power)
        for _ in range(MAX_ROUNDS):
            slopes = np.stack([(self._model(theta + step, noise) - model) / (STEP * model) for step in STEP * np.eye(5)[:free]], 1)
            gradient = slopes.T @ (self.weight * (power / model - 1)) - (self.precision * (theta - self.mean))[:free]
            curvature = (slopes * self.weight[:, None]).T @ slopes + np.diag(self.precision[:free])
            for _ in range(MAX_TRIALS):
                step = np.linalg.solve(curvature + damping * np.diag(np.diag(curvature) + SMALLEST_RATIO), gradient)
                tried = theta.copy()
                tried[:free] += step.clip(-MAX_STEP, MAX_STEP)
                tried[4] = tried[4].clip(-np.log(MAX_WIDTH), np.log(MAX_WIDTH))
                model_tried = self._model(tried, noise)
                if (loss_tried := self._loss(tried, model_tried, power)) <= loss:
                    break
                damping *= 5
            else:
                break
            gained, damping = loss - loss_tried, damping / 4
            theta, loss, model = tried, loss_tried, model_tried
            if gained < MIN_IMPROVEMENT:
                break
        return theta, loss

    def _model(self, theta: np.ndarray, noise: np.ndarray) -> np.ndarray:
        return self.expect(theta)[self.used] + np.exp(theta[3]) * noise

    def _loss(self, theta: np.ndarray, model: np.ndarray, power: np.ndarray) -> float:
        likelihood = (self.weight * (np.log(model) + power / model)).sum()
        return float(2 * likelihood + (self.precision * (theta - self.mean) ** 2).sum())
