"""Classical deconvolution with the operators of `zsdeconv.physics.operators`: the start of the fast network, and its baselines."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal

import torch

from zsdeconv.notation import Batch
from zsdeconv.physics.operators import Operator

Momentum = Literal["adaptive", "fixed"]

_FLOOR_FRACTION = 1e-6
"""Smallest intensity of an estimate, as a fraction of the maximum of the data. Chosen: multiplicative updates never leave zero, and this
lies far below the noise."""
_BACKGROUND_UPDATES = 8
"""Updates of the missing background. Fitted by trials on reconstructed stacks, together with the next constant."""
_BACKGROUND_ITERATIONS = 5
"""Richardson-Lucy steps per update. Fitted by trials: more steps explain the missing background as dark rings of the object; 22 steps in
each of 5 rounds give 0.3 dB less."""


@torch.no_grad()
def richardson_lucy(
    y: Batch,
    operator: Operator,
    iterations: Sequence[int],
    *,
    momentum: Momentum | None = "adaptive",
    start: Batch | None = None,
    progress: Callable[[float], object] = lambda done: None,
) -> list[Batch]:
    """Maximum-likelihood estimate of a non-negative object under Poisson noise: `x <- x A*(y / A x) / A*(1)`.

    For a PSF with negative rings, `A = P - N` with both parts non-negative, the negative part `N x` of the current estimate is added to
    the data like a known background: `x <- x P*((y + N x) / P x) / P*(1)`, where `y + N x` is clipped at zero. Without negative weights
    the two are the same.

    With momentum each step starts from a point extrapolated along the last change, which is worth several plain steps.

    Parameters
    ----------
    y
        Data on the operator's output grid, ADU above the offset; negative values count as zero.
    operator
        The forward model `A`.
    iterations
        Step numbers whose estimates are returned, in rising order.
    momentum
        "adaptive": by the agreement of the last two changes of the whole image; "fixed": by the step number alone, which keeps the method
        local, so that tiles give the same result as the whole image; None: plain steps.
    start
        First estimate, `A*(y) / A*(1)` by default.
    progress
        Called with the fraction done.

    Returns
    -------
    list of Batch
        The estimates after each number of `iterations`.

    References
    ----------
    Richardson, J. Opt. Soc. Am. 62, 55 (1972); Lucy, Astron. J. 79, 745 (1974); momentum: Biggs and Andrews, Appl. Opt. 36, 1766 (1997),
    and Nesterov, Soviet Math. Dokl. 27, 372 (1983).

    Examples
    --------
    >>> from zsdeconv.physics.operators import Downsample
    >>> [x.shape for x in richardson_lucy(torch.full((1, 1, 4, 4), 3.0), Downsample(2, 2), [5])]
    [torch.Size([1, 1, 8, 8])]
    """
    floor = _FLOOR_FRACTION * y.abs().amax().clamp(min=1e-30)
    positive = operator.positive
    sensitivity = positive.adjoint(torch.ones_like(y)).clamp(min=1e-12)
    estimate = positive.adjoint(y.clamp(min=0)) / sensitivity if start is None else start
    point = estimate = estimate.clamp(min=floor)
    extrapolation = _Extrapolation(momentum)
    kept = []
    for n in range(1, max(iterations) + 1):
        blurred = positive(point).clamp(min=floor)
        negative_part = 0.0 if positive is operator else blurred - operator(point)
        ratio = (y + negative_part).clamp(min=0) / blurred
        previous, estimate = estimate, (point * positive.adjoint(ratio) / sensitivity).clamp(min=floor)
        if n in iterations:
            kept.append(estimate)
        weight = extrapolation.weight(n, estimate - point)
        point = (estimate + weight * (estimate - previous)).clamp(min=floor)
        progress(n / max(iterations))
    return kept


@torch.no_grad()
def missing_background(y: Batch, operator: Operator, smooth: Operator) -> Batch:
    """Smooth background `p >= 0` that must be added to `y` for it to be the image of a non-negative object; shape of `y`.

    `p <- max(0, p - S(y + p - A x))`, where `S` is `smooth` and `x` a few Richardson-Lucy steps towards `y + p`. The result is close to the
    smallest `p` for which `A x` fits `y + p` everywhere. A reconstructed stack lacks such a background where the sample extends
    beyond its first or last plane.

    >>> from zsdeconv.physics.operators import Crop
    >>> identity = Crop([0, 0])
    >>> round(float(missing_background(torch.full((1, 1, 4, 4), -3.0), identity, identity).mean()), 2)
    3.0
    """
    background, x = torch.zeros_like(y), None
    for _ in range(_BACKGROUND_UPDATES):
        x = richardson_lucy(y + background, operator, [_BACKGROUND_ITERATIONS], start=x)[0]
        background = (background - smooth(y + background - operator(x))).clamp(min=0)
    return background


class _Extrapolation:
    """Weight of the extrapolation along the last change, 0 to 1, for each image of a batch."""

    max_weight = 0.95
    """Largest adaptive weight. Chosen: below 1, so that the sum of the extrapolations stays finite (Biggs and Andrews 1997)."""

    def __init__(self, momentum: Momentum | None) -> None:
        self.momentum = momentum
        self.change: Batch | None = None

    def weight(self, n: int, change: Batch) -> Batch | float:
        """The weight after step `n`, which changed its starting point by `change`."""
        previous, self.change = self.change, change
        if self.momentum is None or previous is None:
            return 0.0
        if self.momentum == "fixed":
            return (n - 1) / (n + 2)
        axes = tuple(range(1, change.ndim))
        agreement = (change * previous).sum(axes, keepdim=True)
        return (agreement / previous.square().sum(axes, keepdim=True).clamp(min=1e-30)).clamp(0, self.max_weight)


@torch.no_grad()
def wiener(y: Batch, operator: Operator, noise_to_signal: float, *, iterations: int = 50) -> Batch:
    """Regularised linear least-squares estimate `(A* A + e)^-1 A* y` by conjugate gradients; negative values are kept.

    For a periodic blur this is the Wiener filter with a flat noise-to-signal power ratio `e`. Here the borders and the
    downsampling of the operator are part of the problem.

    Parameters
    ----------
    y
        Data on the operator's output grid, ADU above the offset.
    operator
        The forward model `A`.
    noise_to_signal
        The ratio `e` of noise power to signal power.
    iterations
        Steps of conjugate gradients.

    Returns
    -------
    Batch
        The estimate on the operator's input grid.

    Examples
    --------
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
