"""The training loss of the method, Eq. 4 to 9, on physical operators.

Nothing here crops, blurs or resamples: a caller hands over images on one grid, and the optics as one callable from the fine
grid to the grid of the target. Every term is a mean over pixels, so that its weight does not depend on the size of a patch.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch

from zsdeconv.notation import Batch

Norm = Literal["l2", "l1"]


def fidelity(prediction: Batch, y_tilde: Batch, norm: Norm = "l2") -> torch.Tensor:
    """Mean squared error, or mean absolute error, of a prediction against the noisy target `y_tilde` on the same grid.

    The squared error is the one whose minimiser is the clean image (Eq. 2): the mean of the noise is zero. The absolute error
    aims at the median instead, which is not zero for Poisson noise; the published code uses it.

    >>> float(fidelity(torch.zeros(1, 1, 2, 2), torch.full((1, 1, 2, 2), 3.0)))
    9.0
    """
    assert prediction.shape == y_tilde.shape, f"prediction {tuple(prediction.shape)}, target {tuple(y_tilde.shape)}"
    difference = prediction - y_tilde
    return difference.square().mean() if norm == "l2" else difference.abs().mean()


@dataclass(frozen=True)
class SliceGap:
    """How the objects in the two images of a pair differ: `G = S_odd(f'(z)) - S_even(f'(z))`, on their grid, and its weight `gamma`.

    `f'` is applied to the whole stack `z`, without gradient (Eq. 8). Neighbouring slices do not show quite the same object;
    a prediction from the odd ones should differ from the even ones by that much.
    """

    image: Batch
    gamma: float = 1.0


def gap_regularised_error(prediction: Batch, y_tilde: Batch, gap: SliceGap | None, norm: Norm = "l2") -> torch.Tensor:
    """`|| p - y_tilde || + gamma || p - y_tilde - G ||` (Eq. 8, 9), the first term alone without a gap (Eq. 5, 6).

    >>> zeros = torch.zeros(1, 1, 2, 4, 4)
    >>> float(gap_regularised_error(zeros + 3, zeros, SliceGap(zeros + 2, gamma=0.5)))  # 3^2 + 0.5 * 1^2
    9.5
    """
    loss = fidelity(prediction, y_tilde, norm)
    return loss if gap is None else loss + gap.gamma * fidelity(prediction, y_tilde + gap.image.detach(), norm)


def denoising_loss(denoised: Batch, y_tilde: Batch, *, gap: SliceGap | None = None, norm: Norm = "l2") -> torch.Tensor:
    """Denoising term `L_den = || f'(y_hat) - y_tilde ||^2` (Eq. 5; with a gap Eq. 8), both images `b c *zyx` on the raw grid.

    >>> float(denoising_loss(torch.ones(1, 1, 4, 4), torch.zeros(1, 1, 4, 4)))
    1.0
    """
    return gap_regularised_error(denoised, y_tilde, gap, norm)


def deconvolution_loss(
    deconvolved: Batch,
    y_tilde: Batch,
    forward_operator: Callable[[Batch], Batch],
    *,
    lambda_hessian: float,
    gap: SliceGap | None = None,
    inside: Callable[[Batch], Batch] = lambda x: x,
    norm: Norm = "l2",
) -> torch.Tensor:
    """Deconvolution term `L_dec = || D(f(y_hat) * PSF) - y_tilde ||^2 + lambda R_Hessian(f(y_hat))` (Eq. 6; with a gap Eq. 9).

    `deconvolved` is `b c *zyx` on the fine grid; `forward_operator` takes it to the grid of `y_tilde` (blur, lateral mean,
    crop). `inside` cuts out the part whose roughness counts: the published 2-D code takes all of it, its 3-D code leaves out
    the margins.

    >>> float(deconvolution_loss(torch.ones(1, 1, 4, 4), torch.zeros(1, 1, 2, 2), lambda x: x[..., ::2, ::2], lambda_hessian=0.02))
    1.0
    """
    loss = gap_regularised_error(forward_operator(deconvolved), y_tilde, gap, norm)
    return loss + lambda_hessian * hessian(inside(deconvolved)) if lambda_hessian else loss


def two_stage_loss(loss_den: torch.Tensor, loss_dec: torch.Tensor, mu: float = 0.5) -> torch.Tensor:
    """`L = mu L_den + (1 - mu) L_dec` (Eq. 4, 7).

    >>> float(two_stage_loss(torch.tensor(1.0), torch.tensor(3.0)))
    2.0
    """
    return mu * loss_den + (1 - mu) * loss_dec


def hessian(x: Batch) -> torch.Tensor:
    """Roughness `R_Hessian`: mean squared second differences of `b c *zyx`, pure ones once, mixed ones twice (Eq. 6).

    2-D: xx + yy + 2 xy; 3-D: also zz + 2 xz + 2 yz. Units: those of `x` squared (differences are per pixel, not per
    micrometre). Zero for any plane. Axes too short for a difference add nothing.

    The published 2-D code takes half of this sum (its lambda 0.02 is 0.01 here), its 3-D code all of it.

    >>> float(hessian(torch.arange(5.0).square().expand(1, 1, 4, 5)))  # x^2: second difference 2 along x, none else
    4.0
    """
    total = x.new_zeros(())
    for first, second in itertools.combinations_with_replacement(range(2, x.ndim), 2):
        difference = x.diff(dim=first).diff(dim=second)
        if difference.numel():
            total = total + (1 if first == second else 2) * difference.square().mean()
    return total
