"""Classical deconvolution on the project's operators: the warm start of our network, and the baselines it has to beat."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from zsdeconv.physics.operators import Operator
from zsdeconv.symbols import Batch

_FLOOR = 1e-6
"""Smallest intensity of an estimate, in units of the data's maximum: a pixel at exactly zero could never rise again."""


@torch.no_grad()
def richardson_lucy(
    y: Batch, operator: Operator, iterations: int | Sequence[int], *, accelerate: bool = True, start: Batch | None = None
) -> Batch | list[Batch]:
    """Maximum-likelihood estimate of a non-negative object under Poisson noise (Richardson 1972, Lucy 1974).

    `x <- x A*(y / A x) / A*(1)`, from the mean intensity of each image or from `start`. `y` holds ADU above the offset on the
    operator's output grid; values below zero count as zero. Accelerated after Biggs and Andrews (1997): each step starts
    from a point extrapolated along the last one, worth about four plain steps. With a sequence of iteration counts the
    estimate at each of them is returned, in rising order.

    >>> from zsdeconv.physics.operators import Downsample
    >>> richardson_lucy(torch.full((1, 1, 4, 4), 3.0), Downsample(2, 2), 5).shape
    torch.Size([1, 1, 8, 8])
    """
    counts = [iterations] if isinstance(iterations, int) else sorted(iterations)
    floor = _FLOOR * y.abs().amax().clamp(min=1e-30)
    y = y.clamp(min=0)
    sensitivity = operator.adjoint(torch.ones_like(y)).clamp(min=1e-12)
    estimate = start.clamp(min=floor) if start is not None else operator.adjoint(y) / sensitivity
    step = _Extrapolation(floor) if accelerate else None
    kept, point = [], estimate.clamp(min=floor)
    for n in range(1, counts[-1] + 1):
        ratio = y / operator(point).clamp(min=floor)
        estimate = (point * operator.adjoint(ratio) / sensitivity).clamp(min=floor)
        if n in counts:
            kept.append(estimate)
        point = step(point, estimate) if step else estimate
    return kept[0] if isinstance(iterations, int) else kept


class _Extrapolation:
    """Biggs and Andrews' vector extrapolation: continue along the last move as far as the last two steps agree."""

    limit = 0.95

    def __init__(self, floor: torch.Tensor) -> None:
        self.floor = floor
        self.estimate: Batch | None = None
        self.change: Batch | None = None

    def __call__(self, point: Batch, estimate: Batch) -> Batch:
        change, axes = estimate - point, tuple(range(1, estimate.ndim))
        following = estimate
        if self.change is not None and self.estimate is not None:
            agreement = (change * self.change).sum(axes, keepdim=True)
            alpha = (agreement / self.change.square().sum(axes, keepdim=True).clamp(min=1e-30)).clamp(0, self.limit)
            following = torch.maximum(estimate + alpha * (estimate - self.estimate), self.floor)
        self.estimate, self.change = estimate, change
        return following


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
