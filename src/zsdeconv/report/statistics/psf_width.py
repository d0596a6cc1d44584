"""How wide the PSF would have to be for an image: its spectrum falls towards the end of the OTF as no object's does.

The model of the ring means of the power (module `spectrum`) is, with the OTF H of the PSF given, the pixel's transfer function D and
k in units of the end of the OTF,

    P(k) = A k^(-beta - gamma log k) |H(s k)|^2 |D(k)|^2 + nu N(k)

folded to the camera's grid. Objects have smooth spectra (points beta = 0, lines 1, edges and shells 2), an OTF ends: near its end
|H(s k)|^2 falls ten times faster with s than with beta, so the two can be told apart. A, beta, gamma, nu and s maximise Whittle's
likelihood; gamma (curvature) and nu (noise level) are held near 0 and 1. What an object is thicker than a point or a line
counts as width.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from zsdeconv.physics.psf import Psf
from zsdeconv.report.statistics.mtf import TINY, Transfer
from zsdeconv.report.statistics.spectrum import GROUPS, Spectra

WIDTHS = np.round(np.arange(0.7, 1.4001, 0.025), 3)
INNERMOST = {0.15: 0.1, 0.35: 0.25}
"""Where a fit begins, in ends of the OTF, and the standard deviation of gamma: farther inside rule haze and the shapes of cells."""
PRIOR = {"log A": (0.0, 1e3), "beta": (1.5, 1.5), "gamma": (0.0, 0.1), "log nu": (0.0, 0.05), "log s": (0.0, np.inf)}
"""Mean and standard deviation of each parameter, in this order everywhere."""
WIDEST_SEARCHED = 2.0
STEP = 1e-4
ROUNDS = 30
SAMPLES_PER_RING = 8
LEAST_SIGNAL = 10.0
"""Standard errors of the noise by which the power must exceed it for a width to be looked for."""


@dataclass(frozen=True, eq=False)
class WidthFit:
    """The `width` that the spectrum prefers, in widths of the PSF, with its standard error `sigma`.

    `curve` is twice the log-likelihood lost at each of `WIDTHS`; `model` and `as_given` the power (ring) expected of the width found
    and of the PSF as it is, `noise` the level under both, `noise_factor` nu, `slope` beta of the object.
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

    The mean of fits from each of `INNERMOST` on. The standard error holds half of their difference, for objects are no power laws,
    and the jackknife's over parts of the field, which knows that few structures make a spectrum. None when the signal is too weak.
    """
    transfer = Transfer(psf)
    expect = _Expectation(spectra, transfer, scale)
    fits = []
    for innermost, curvature in INNERMOST.items():
        fit = _Fit(spectra, expect, innermost * transfer.end_per_um, curvature)
        if not fit.significant:
            return None
        fits.append(fit)
    best = [fit.maximised(*spectra.without(-1), fit.start) for fit in fits]
    logs = np.array([theta[4] for theta, _ in best])
    parts = np.mean([fit.jackknife(theta) for fit, (theta, _) in zip(fits, best, strict=True)], axis=0)
    sigma = float(np.sqrt((len(parts) - 1) * np.var(parts) + np.var(logs)))
    curve = np.mean([fit.profile(*found) for fit, found in zip(fits, best, strict=True)], axis=0)
    power, noise = spectra.without(-1)
    theta = best[0][0]
    given, _ = fits[0].maximised(power, noise, np.append(theta[:4], 0.0), free=4)
    level, width = np.exp(theta[3]) * noise, float(np.exp(logs.mean()))
    return WidthFit(width, width * sigma, curve - curve.min(), expect(theta) + level, expect(given) + level, level,
                    float(np.exp(theta[3])), float(theta[1]))  # fmt: skip


class _Expectation:
    """Power of the signal (ring) as a function of theta: a fixed matrix on what the PSF lets through."""

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
        for dy, wy in ((-1, 1), (0, 4), (1, 1)):  # Hann's window spreads power to the neighbouring frequencies
            for dx, wx in ((-1, 1), (0, 4), (1, 1)):
                to = np.tile(np.roll(ring, (dy, dx), (0, 1)), (scale, scale))
                weight = np.outer(pixel, pixel) * (wy * wx / 36) / spectra.count[to]
                np.add.at(self.matrix, (to, below), weight * (1 - share))
                np.add.at(self.matrix, (to, below + 1), weight * share)

    def __call__(self, theta: np.ndarray) -> np.ndarray:
        amplitude, slope, curvature, _, log_width = theta
        return np.exp(amplitude) * (self.matrix @ self.transfer.passed(self.k_per_um, slope, curvature, float(np.exp(log_width))))


class _Fit:
    """The likelihood of the rings from one frequency on, and where it is greatest."""

    def __init__(self, spectra: Spectra, expect: _Expectation, innermost_per_um: float, curvature: float) -> None:
        self.spectra, self.expect = spectra, expect
        self.used = spectra.frequency_per_um >= innermost_per_um
        self.weight = spectra.independent[self.used]
        self.mean, sigma = np.array(list(PRIOR.values())).T
        sigma[2] = curvature
        self.precision = sigma**-2
        power, noise = (p[self.used] for p in spectra.without(-1))
        variance_bias = float((self.weight * (power / noise - 1)).sum())
        self.significant = variance_bias > LEAST_SIGNAL * np.sqrt(self.weight.sum())
        self.start = np.array([0.0, 1.0, 0.0, 0.0, 0.0])
        self.start[0] = np.log(max(float((power - noise)[:5].sum()), TINY) / expect(self.start)[self.used][:5].sum())

    def jackknife(self, theta: np.ndarray) -> np.ndarray:
        """Logarithm of s without each part of the field in turn."""
        groups = [group for group in range(GROUPS**2) if (self.spectra.group == group).any()]
        return np.array([self.maximised(*self.spectra.without(group), theta)[0][4] for group in groups])

    def profile(self, theta: np.ndarray, least: float) -> np.ndarray:
        """Twice the log-likelihood lost at each of `WIDTHS`, all else free."""
        power, noise = self.spectra.without(-1)
        held = [np.append(theta[:4], np.log(width)) for width in WIDTHS]
        return np.array([self.maximised(power, noise, start, free=4)[1] for start in held]) - least

    def maximised(self, power: np.ndarray, noise: np.ndarray, start: np.ndarray, free: int = 5) -> tuple[np.ndarray, float]:
        """Theta, the first `free` of it changed from `start`, and twice its negative log-likelihood (Fisher scoring)."""
        power, noise, theta, damping = power[self.used], noise[self.used], start, 1e-3
        model = self._model(theta, noise)
        loss = self._loss(theta, model, power)
        for _ in range(ROUNDS):
            slopes = np.stack([(self._model(theta + step, noise) - model) / (STEP * model) for step in STEP * np.eye(5)[:free]], 1)
            gradient = slopes.T @ (self.weight * (power / model - 1)) - (self.precision * (theta - self.mean))[:free]
            curvature = (slopes * self.weight[:, None]).T @ slopes + np.diag(self.precision[:free])
            for _ in range(8):
                step = np.linalg.solve(curvature + damping * np.diag(np.diag(curvature) + TINY), gradient)
                tried = theta.copy()
                tried[:free] += step.clip(-0.5, 0.5)
                tried[4] = tried[4].clip(-np.log(WIDEST_SEARCHED), np.log(WIDEST_SEARCHED))
                model_tried = self._model(tried, noise)
                if (loss_tried := self._loss(tried, model_tried, power)) <= loss:
                    break
                damping *= 5
            else:
                break
            gained, damping = loss - loss_tried, damping / 4
            theta, loss, model = tried, loss_tried, model_tried
            if gained < 1e-4:
                break
        return theta, loss

    def _model(self, theta: np.ndarray, noise: np.ndarray) -> np.ndarray:
        return self.expect(theta)[self.used] + np.exp(theta[3]) * noise

    def _loss(self, theta: np.ndarray, model: np.ndarray, power: np.ndarray) -> float:
        likelihood = (self.weight * (np.log(model) + power / model)).sum()
        return float(2 * likelihood + (self.precision * (theta - self.mean) ** 2).sum())
