"""Photometry: giving back the contrast that a least-squares estimate loses."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from zsdeconv.acquisition.base import Acquisition, Measurement
from zsdeconv.nn.contract import as_network, forward_with_symmetry
from zsdeconv.physics.operators import Crop
from zsdeconv.prediction.tiled import FramePrediction

MAX_ROUNDS = 8
"""Chosen: eight draws of noise per image, after which pairs of one image share most of their noise."""
PIXELS_PER_SAMPLE = 2**20
"""Chosen: with a million pixels a slope is known to 0.1 %."""
SLOPE_LIMITS = (0.5, 1.5)
"""A slope outside these says that there was hardly any signal to measure it on, and is not applied."""
DARK_SHARE = 0.2
"""Share of the pixels, the darkest ones, on which the zero of the intensity scale is measured."""
MAX_DARK_SIGMAS = 2.0
"""Standard errors of the offset by which the dark level may correct it. Law: 95 % of the offsets lie within."""
MIN_ALPHA = 0.3
"""Adds a tenth to the variance of the noise, which no network minds."""
LEAST_CONTRAST = 10
"""Variance of the clean image, in standard errors, from which a slope is measured; pairs of one image share half their noise."""


@dataclass(frozen=True)
class AffineResponse:
    """`estimate = slope * clean + intercept`, intercept in the network's unit."""

    slope: float = 1.0
    intercept: float = 0.0

    def corrected_in_place(self, estimate: Tensor) -> Tensor:
        """The estimate with slope 1 and intercept 0, in its own place."""
        return estimate.sub_(self.intercept).div_(self.slope)


class AffineResponseFit:
    """Regression of an estimate on the clean image nobody has, from pairs with independent noise.

    `y_hat` and `y_tilde` share nothing but the clean image (Eq. 2), so `Cov(y_hat, y_tilde)` is the clean image's variance,
    and the covariance of `y_tilde` with anything computed from `y_hat` is that thing's covariance with the clean image.
    """

    def __init__(self) -> None:
        self.n, self.sums = 0, [0.0] * 7

    def add(self, estimate: Tensor, y_hat: Tensor, y_tilde: Tensor) -> None:
        """One more pair, with what was estimated from `y_hat`; all on one grid, in the network's unit."""
        e, h, t = (x.cpu().double().flatten() for x in (estimate, y_hat, y_tilde))  # Apple's GPUs have no doubles
        self.n += e.numel()
        for i, term in enumerate((e.sum(), h.sum(), t.sum(), (e * t).sum(), (h * t).sum(), (h * h).sum(), (t * t).sum())):
            self.sums[i] += float(term)

    def response(self, variance_bias: float = 0.0) -> AffineResponse:
        """The line; the identity when the image has too little contrast to tell.

        `excess` is the mean variance of `z` beyond that of the noise in `y`, which `Cov(y_hat, y_tilde)` lacks.
        """
        mean_e, mean_h, mean_t, et, ht, hh, tt = (total / max(self.n, 1) for total in self.sums)
        variance = ht - mean_h * mean_t + variance_bias
        error = math.sqrt(max((hh - mean_h**2) * (tt - mean_t**2), 0.0) / max(self.n, 1))
        slope = (et - mean_e * mean_t) / variance if variance > LEAST_CONTRAST * error else 0.0
        if not SLOPE_LIMITS[0] < slope < SLOPE_LIMITS[1]:
            return AffineResponse()
        return AffineResponse(slope, mean_e - slope * mean_t)


@dataclass(frozen=True)
class IntensityCorrection:
    """The lines of the denoised image and of the deconvolved image (blurred and binned) over the clean image.

    The minimiser of the squared error is drawn towards the mean: regressed on the truth its slope is below 1, by the
    ratio of remaining error to signal, a tenth at very low light. Dividing by it makes sums and ratios of intensities
    right on average. An affine change, so no structure appears or vanishes.

    `dark` is the level of an image without light, in the network's unit: what the calibrated offset is still wrong by.
    """

    denoised: AffineResponse = AffineResponse()
    deconvolved: AffineResponse = AffineResponse()
    dark_level: float = 0.0

    @classmethod
    def from_dict(cls, numbers: Mapping[str, Any]) -> IntensityCorrection:
        """What `to_dict` gave."""
        responses = {name: AffineResponse(**numbers[name]) for name in ("denoised", "deconvolved")}
        return cls(**responses, dark_level=float(numbers["dark_level"]))

    def corrected(self, prediction: FramePrediction) -> FramePrediction:
        """The prediction with slope 1 and intercept 0, where no light is 0. Its images are large and changed in their own place."""
        return replace(
            prediction,
            denoised=self.denoised.corrected_in_place(prediction.denoised).sub_(self.dark_level),
            deconvolved=self.deconvolved.corrected_in_place(prediction.deconvolved).sub_(self.dark_level),
            spread=None if prediction.spread is None else prediction.spread.div_(self.deconvolved.slope),
        )

    @property
    def predicted_zero(self) -> float:
        """What the deconvolved image shows where the network finds no light at all, in the network's unit."""
        return -self.deconvolved.intercept / self.deconvolved.slope - self.dark_level

    def to_dict(self) -> dict[str, Any]:
        """Both lines and the dark level as plain numbers, for the model file."""
        return asdict(self)


class DarkLevel:
    """The level of an image without light, as the optics tell it.

    Light is not negative, and a lens spreads it: `H f(y)`, with `f(y) >= 0`, says how much light reaches the darkest places
    from all others. What the camera recorded there beyond that is offset. The places are chosen by `f'(y_hat)` and looked up in
    `y_tilde`, which do not share their noise, so no place is dark by chance.
    """

    def __init__(self) -> None:
        self.n, self.sum = 0, 0.0

    def add(self, denoised: Tensor, reblurred: Tensor, y_tilde: Tensor) -> None:
        """One more pair, with both estimates made from its `y_hat`; all on the raw grid, in the network's unit."""
        d, difference = denoised.cpu().double().flatten(), (y_tilde - reblurred).cpu().double().flatten()
        count = max(1, int(DARK_SHARE * d.numel()))
        self.n += count
        self.sum += float(difference[d.argsort()[:count]].sum())

    @property
    def level(self) -> float:
        """Mean over all pairs, 0 when there are none."""
        return self.sum / max(self.n, 1)


@torch.no_grad()
def measure_intensity_correction(
    network: nn.Module,
    acquisition: Acquisition,
    measurements: Sequence[Measurement],
    alpha: float = 1.0,
    *,
    seed: int,
    offset_sigma: float = math.inf,
) -> IntensityCorrection:
    """Responses and dark level of a trained network on the measurements of its training, from re-corrupted pairs (Eq. 2).

    `z` has the variance of the camera itself. Without noise there are no pairs, hence `alpha` is at least `MIN_ALPHA`. The ends of a stack
    get much of their light from unknown parts of the object and are left out.

    Parameters
    ----------
    network : the trained network, which is only applied
    acquisition : how the measurements were made; where its light is open, the deconvolved image is left as it is
    measurements : what the network was trained on
    alpha : noise added in prediction, of which the pairs are made
    seed : of the noise
    offset_sigma : standard error of the camera offset, network's unit; the dark level corrects it by at most `MAX_DARK_SIGMAS` of it, and
        not at all where the offset is known
    """
    alpha, operator = max(alpha, MIN_ALPHA), acquisition.forward_operator
    generator = torch.Generator(next(network.parameters()).device).manual_seed(seed)
    fits, dark_level, variance_bias = (AffineResponseFit(), AffineResponseFit()), DarkLevel(), _Mean()
    for measurement in measurements:
        shape = measurement.y.shape
        inner = _inner(shape[:-2], len(shape), operator.support_px)
        for n in range(max(1, min(MAX_ROUNDS, PIXELS_PER_SAMPLE // measurement.y.numel()))):
            y_hat, y_tilde = (image[None, None] for image in measurement.pair(alpha, generator))
            denoised, deconvolved = forward_with_symmetry(as_network(network), n, y_hat)
            denoised, reblurred, y_hat, y_tilde = map(inner, (denoised, operator(deconvolved), y_hat, y_tilde))
            for fit, estimate in zip(fits, (denoised, reblurred), strict=True):
                fit.add(estimate, y_hat, y_tilde)
            dark_level.add(denoised, reblurred, y_tilde)
        variance_bias.add(inner(measurement.variance_bias()[None, None]))
    denoised, deconvolved = (fit.response(variance_bias.mean) for fit in fits)
    most = MAX_DARK_SIGMAS * offset_sigma if deconvolved != AffineResponse() else 0.0
    measured = IntensityCorrection(denoised, deconvolved, min(max(dark_level.level, -most), most))
    return acquisition.light.absolute(lambda: measured, IntensityCorrection(denoised))


def _inner(planes: Sequence[int], rank: int, support_px: Sequence[int]) -> Crop:
    """A stack of so many `planes` without those nearer to its ends than half the reach of the lens; three quarters stay at least.

    A stack has few planes, so a good part of it is near its ends. Images are wide: laterally nothing is left out.
    """
    axial = [min(reach // 2, (n - 1) // 8) for n, reach in zip(planes, support_px, strict=False)]
    return Crop([*axial, *[0] * (rank - len(axial))])


class _Mean:
    """Mean over all pixels of several images."""

    def __init__(self) -> None:
        self.n, self.sum = 0, 0.0

    def add(self, image: Tensor) -> None:
        """One more image."""
        self.n += image.numel()
        self.sum += float(image.cpu().double().sum())

    @property
    def mean(self) -> float:
        """Mean over all pixels."""
        return self.sum / self.n
