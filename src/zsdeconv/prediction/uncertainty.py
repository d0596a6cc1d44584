"""How far a pixel of the deconvolved image may be off: a law calibrated on simulated images, whose truth is known.

`sigma^2 = F^2 ((s spread)^2 + (r x)^2 + (q m)^2 + (o u)^2 + (p d)^2)` (this project's own law): the spread over re-corrupted passes, and
over the members of an ensemble, is the effect of noise on the network; a fraction r of the brightness x is the network's own error. The
other terms are needed in dark places, where all passes agree on 0 and the spread alone would report certainty: m, the median of
`|denoised - D H x|` over the image, is light that the deconvolved image assigns to other places than the data; u is the standard error of
the camera offset; d is the light that the photometry has taken from the pixel (`PositiveResponse.taken`). The factors belong to a
modality (`ErrorLaw`) and were fitted by benchmarks/uncertainty.py to simulated images, so that 68 % of the pixels in places with light are
off by less than sigma.

An error of the offset is the same in all pixels: where it is most of sigma, all of them are within it or all of them are not. So the share
of pixels within sigma is near 68 % on many images together, and on a single one as near as `expected_share` says.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from torch import Tensor

from zsdeconv.physics.grid import center_window
from zsdeconv.physics.operators import Operator

FACTOR = 1.0
"""F, the common factor that remains after the fit of the other ones. Fitted by benchmarks/uncertainty.py."""
SAMPLED_PX = 2**20
"""Pixels of the raw grid, in the middle of the image, from which m is taken. Chosen: a median of more is no more exact."""


OFFSET_SIGMAS = 2.0
"""Standard errors by which an offset may be wrong. Law: 95 % of them are off by less."""
LEAST_OWN_SHARE = 1e-6
"""Of the square of a pixel's standard error, what is its own at least. Chosen: no division by zero where all of it is the offset's."""


class ErrorLaw(NamedTuple):
    """Factors s, r, q, o and p of the terms of a pixel's standard error (module docstring).

    `shares` are the lowest and the highest share of the pixels in places with light that were within the standard error on a single
    simulated image whose offset was right.
    """

    pass_spread: float
    brightness: float
    reblur_residual: float = 0.0
    offset: float = 0.0
    zero_level: float = 0.0
    shares: tuple[float, float] = (0.5, 0.85)


class GlobalErrorTerms(NamedTuple):
    """Terms of the standard error that are the same for all pixels of an image: m and u, in its unit of intensity."""

    reblur_residual: float
    offset: float = 0.0


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


def standard_error(deconvolved: Tensor, spread: Tensor, terms: GlobalErrorTerms, law: ErrorLaw, taken: Tensor | None = None) -> Tensor:
    """`sigma` of each pixel, in place of `spread`: 68 % of them are off by less. Intensities are in any one unit.

    Parameters
    ----------
    deconvolved : the image x
    spread : standard deviation over the passes
    terms : what is the same for all pixels
    law : factors of the terms
    taken : light d that the photometry has taken from each pixel; None where the law leaves it out

    >>> import torch
    >>> x, law = torch.tensor([0.0, 100.0]), ErrorLaw(pass_spread=2.0, brightness=0.04, reblur_residual=1.5)
    >>> [round(sigma, 2) for sigma in standard_error(x, torch.zeros(2), GlobalErrorTerms(1.0), law).tolist()]
    [1.5, 4.27]
    """
    alike = (law.reblur_residual * terms.reblur_residual) ** 2 + (law.offset * terms.offset) ** 2
    square = spread.mul_(law.pass_spread).square_().addcmul_(deconvolved, deconvolved, value=law.brightness**2).add_(alike)
    if taken is not None:
        square.addcmul_(taken, taken, value=law.zero_level**2)
    return square.sqrt_().mul_(FACTOR)


def expected_share(sigma: np.ndarray, offset: float, law: ErrorLaw) -> tuple[float, float]:
    """Lowest and highest share of pixels that may lie within their standard error `sigma`, when `offset` is that of the camera offset.

    The rest of the error of a pixel is normal, and as large as gives the `shares` of the law. The error of the offset, the same in all
    pixels, lies between 0 and `OFFSET_SIGMAS` standard errors.

    >>> law = ErrorLaw(1.9, 0.02, offset=1.0, shares=(0.6, 0.8))
    >>> [round(share, 2) for share in expected_share(np.full(9, 5.0), 0.0, law)]
    [0.6, 0.8]
    >>> [round(share, 2) for share in expected_share(np.full(9, 5.0), 4.9, law)]
    [0.0, 1.0]
    """
    from scipy.special import ndtr, ndtri

    common = FACTOR * law.offset * offset
    least = np.maximum(LEAST_OWN_SHARE * np.square(sigma), np.finfo(np.float64).tiny)  # where nothing is uncertain, nothing is divided by 0
    own = np.sqrt(np.maximum(np.square(sigma.astype(np.float64)) - common**2, least))
    expected = []
    for share in law.shares:
        for error in (0.0, OFFSET_SIGMAS * offset):
            sd = own / float(ndtri((1 + share) / 2))
            expected.append(float(np.mean(ndtr((sigma - error) / sd) - ndtr((-sigma - error) / sd))))
    return min(expected), max(expected)
