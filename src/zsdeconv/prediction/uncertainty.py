"""How far a pixel of the deconvolved image may be off: a law calibrated on simulated images, whose truth is known.

`sigma^2 = F^2 ((s spread)^2 + (r x)^2 + (q m)^2 + (o u)^2 + (p d)^2)` (this project's own law): the spread over re-corrupted passes, and
over the members of an ensemble, is the effect of noise on the network; a fraction r of the brightness x is the network's own error. The
other terms are needed in dark places, where all passes agree on 0 and the spread alone would report certainty: m, the median of
`|denoised - D H x|` over the image, is light that the deconvolved image assigns to other places than the data; u is the standard error of
the camera offset; d is the light that the photometry takes from dark places (`PositiveResponse.most_taken`). The factors belong to a
modality (`ErrorLaw`) and were fitted by benchmarks/uncertainty.py to simulated images of one seed, so that 68 % of the pixels are off by
less than sigma.
"""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor

from zsdeconv.physics.grid import center_window
from zsdeconv.physics.operators import Operator

FACTOR = 1.0
"""F, the common factor that remains after the fit of the other ones. Fitted by benchmarks/uncertainty.py."""
SAMPLED_PX = 2**20
"""Pixels of the raw grid, in the middle of the image, from which m is taken. Chosen: a median of more is no more exact."""


class ErrorLaw(NamedTuple):
    """Factors s, r, q, o and p of the terms of a pixel's standard error (module docstring)."""

    pass_spread: float
    brightness: float
    reblur_residual: float = 0.0
    offset: float = 0.0
    zero_level: float = 0.0


class GlobalErrorTerms(NamedTuple):
    """Terms of the standard error that are the same for all pixels of an image: m, u and d, in its unit of intensity."""

    reblur_residual: float
    offset: float = 0.0
    zero_level: float = 0.0


def median_reblur_residual(denoised: Tensor, deconvolved: Tensor, forward_operator: Operator) -> float:
    """Median of `|denoised - D H x|` over the middle of a frame (`*zyx`, any unit of intensity).

    >>> import torch
    >>> from zsdeconv.physics.operators import Downsample
    >>> median_reblur_residual(torch.full((8, 8), 3.0), torch.full((16, 16), 2.5), Downsample(2, 2))
    0.5
    """
    factors = [fine // raw for fine, raw in zip(deconvolved.shape, denoised.shape, strict=True)]
    y, x = center_window(denoised.shape, SAMPLED_PX)
    fine = (slice(y.start * factors[-2], y.stop * factors[-2]), slice(x.start * factors[-1], x.stop * factors[-1]))
    difference = (denoised[..., y, x] - forward_operator(deconvolved[(..., *fine)][None, None])[0, 0]).abs()
    # Nearer to the ends of that middle than the lens reaches, light from beyond them is missing; half of it stays at least.
    reach = zip(forward_operator.support_px, factors, difference.shape, strict=True)
    inner = tuple(slice(a, n - a) for r, factor, n in reach for a in [min(-(-r // factor), n // 4)])
    return float(difference[inner].flatten().median())


def standard_error(deconvolved: Tensor, spread: Tensor, terms: GlobalErrorTerms, law: ErrorLaw) -> Tensor:
    """`sigma` of each pixel, in place of `spread`: 68 % of them are off by less. Intensities are in any one unit.

    >>> import torch
    >>> x, law = torch.tensor([0.0, 100.0]), ErrorLaw(pass_spread=2.0, brightness=0.04, reblur_residual=1.5)
    >>> [round(sigma, 2) for sigma in standard_error(x, torch.zeros(2), GlobalErrorTerms(1.0), law).tolist()]
    [1.5, 4.27]
    """
    s, r, *factors = law
    alike = sum((factor * term) ** 2 for factor, term in zip(factors, terms, strict=True))
    return spread.mul_(s).square_().addcmul_(deconvolved, deconvolved, value=r**2).add_(alike).sqrt_().mul_(FACTOR)
