"""Classical deconvolution on the project's operators: the warm start of our network, and the baselines it has to beat."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch

from zsdeconv.notation import Batch
from zsdeconv.physics.operators import Operator

Momentum = Literal["adaptive", "fixed"]

_FLOOR = 1e-6
"""Smallest intensity of an estimate, in units of the data's maximum: a pixel at exactly zero could never rise again."""
_MISSING_ROUNDS, _MISSING_ITERATIONS = 8, 5
"""Few steps in many rounds: what is missing is not explained away as dark rings. 22 steps in each of 5 rounds give 0.3 dB less."""


@torch.no_grad()
def richardson_lucy(
    y: Batch, operator: Operator, iterations: Sequence[int], *, momentum: Momentum | None = "adaptive", start: Batch | None = None
) -> list[Batch]:
    """Maximum-likelihood estimate of a non-negative object under Poisson noise (Richardson 1972, Lucy 1974).

    `x <- x A*(y / A x) / A*(1)`, from `A*(y) / A*(1)` or from `start`. `y` holds ADU above the offset on the operator's output grid;
    values below zero count as zero. The estimates after each number of `iterations` are returned, in rising order.

    A PSF with negative rings, `A = P - N` with both parts positive, darkens places that it sends no light to. What it takes there is
    known of every estimate and is given back to the data, as a background would be: `x <- x P*((y + N x) / P x) / P*(1)`, with `y`
    as it is and the sum not below zero. Without such rings this is the same.

    With momentum each step starts from a point extrapolated along the last move, worth several plain steps: "adaptive"
    by how far the last two steps of the whole image agree (Biggs and Andrews 1997), "fixed" by the step's number alone,
    which keeps the method local, so that tiles of an image give what the whole image gives.

    >>> from zsdeconv.physics.operators import Downsample
    >>> [x.shape for x in richardson_lucy(torch.full((1, 1, 4, 4), 3.0), Downsample(2, 2), [5])]
    [torch.Size([1, 1, 8, 8])]
    """
    floor = _FLOOR * y.abs().amax().clamp(min=1e-30)
    positive = operator.positive
    sensitivity = positive.adjoint(torch.ones_like(y)).clamp(min=1e-12)
    estimate = positive.adjoint(y.clamp(min=0)) / sensitivity if start is None else start
    point = estimate = estimate.clamp(min=floor)
    extrapolation = _Extrapolation(momentum)
    kept = []
    for n in range(1, max(iterations) + 1):
        lit = positive(point).clamp(min=floor)
        taken = 0.0 if positive is operator else lit - operator(point)
        ratio = (y + taken).clamp(min=0) / lit
        previous, estimate = estimate, (point * positive.adjoint(ratio) / sensitivity).clamp(min=floor)
        if n in iterations:
            kept.append(estimate)
        weight = extrapolation.weight(n, estimate - point)
        point = (estimate + weight * (estimate - previous)).clamp(min=floor)
    return kept


@torch.no_grad()
def missing_background(y: Batch, operator: Operator, smooth: Operator) -> Batch:
    """Light `p >= 0`, as slowly varying as `smooth` makes it, that `y` lacks to be an image of an object that is not negative.

    `p <- max(0, p - S(y + p - A x))`, with `x` a few Richardson-Lucy steps towards `y + p`: about the least light with which `A x` reaches
    the data everywhere. A reconstruction in depth lacks some where the sample goes on beyond its ends. Shape of `y`.

    >>> from zsdeconv.physics.operators import Crop
    >>> one = Crop([0, 0])  # leaves everything as it is
    >>> round(float(missing_background(torch.full((1, 1, 4, 4), -3.0), one, one).mean()), 2)
    3.0
    """
    missing, x = torch.zeros_like(y), None
    for _ in range(_MISSING_ROUNDS):
        x = richardson_lucy(y + missing, operator, [_MISSING_ITERATIONS], start=x)[0]
        missing = (missing - smooth(y + missing - operator(x))).clamp(min=0)
    return missing


class _Extrapolation:
    """How far to continue along the last move, 0 to 1, for each image of a batch."""

    limit = 0.95

    def __init__(self, momentum: Momentum | None) -> None:
        self.momentum = momentum
        self.change: Batch | None = None

    def weight(self, n: int, change: Batch) -> Batch | float:
        """The weight after step `n`, which changed the point it started from by `change`."""
        previous, self.change = self.change, change
        if self.momentum is None or previous is None:
            return 0.0
        if self.momentum == "fixed":
            return (n - 1) / (n + 2)
        axes = tuple(range(1, change.ndim))
        agreement = (change * previous).sum(axes, keepdim=True)
        return (agreement / previous.square().sum(axes, keepdim=True).clamp(min=1e-30)).clamp(0, self.limit)


@torch.no_grad()
def wiener(y: Batch, operator: Operator, noise_to_signal: float, *, iterations: int = 50) -> Batch:
    """Linear least-squares estimate `(A* A + e)^-1 A* y` with `e = noise_to_signal`, negative values kept.

    For a periodic blur this is the Wiener filter with a flat noise-to-signal power ratio `e`; here the operator's own
    borders and downsampling are part of the problem, which conjugate gradients solve.

    >>> from zsdeconv.physics.operators import Downsample
    >>> round(float(wiener(torch.ones(1, 1, 4, 4), Downsample(2, 2), 1e-6).mean()), 3)
    1.0
    """
    axes = tuple(range(1, y.ndim))
    residual = operator.adjoint(y)
    x, direction = torch.zeros_like(residual), residual
    power = residual.square().sum(axes, keepdim=True)
    for _ in range(iterations):
        image = operator.adjoint(operator(direction)) + noise_to_signal * direction
        length = power / (direction * image).sum(axes, keepdim=True).clamp(min=1e-30)
        x, residual = x + length * direction, residual - length * image
        previous, power = power, residual.square().sum(axes, keepdim=True)
        direction = residual + power / previous.clamp(min=1e-30) * direction
    return x
