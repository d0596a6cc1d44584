"""How far a pixel of the deconvolved image may be off: a law calibrated on simulated images, whose truth is known.

`sigma^2 = F^2 ((s spread)^2 + (r x)^2 + (q m)^2)`: the spread over re-corrupted passes, and over the members of an ensemble, is
what noise does to the network; a share r of the brightness x is what the network gets wrong of what it sees; and m, the median of
`|denoised - D H x|` over the image, is light that the deconvolved image puts elsewhere than the data have it, which makes dark places
uncertain. The spread alone would call them certain: there all passes agree on 0.
"""

from __future__ import annotations

from torch import Tensor

from zsdeconv.imaging import middle_of
from zsdeconv.physics.operators import Operator

SPREAD, SHARE, ELSEWHERE = 1.76, 0.037, 1.27
"""s, r and q, fitted to simulated images of one seed so that 68 % of their pixels are off by less than sigma (benchmarks/results.md)."""
FACTOR = 1.0
"""F: what is left after the fit, over all kinds of images together."""
LOOKED_AT = 2**20
"""Pixels of the raw grid, in the middle of the image, from which m is taken."""


def light_elsewhere(denoised: Tensor, deconvolved: Tensor, forward_operator: Operator) -> float:
    """Median of `|denoised - D H x|` over the middle of a frame (`*zyx`, any unit of intensity).

    >>> import torch
    >>> from zsdeconv.physics.operators import Downsample
    >>> light_elsewhere(torch.full((8, 8), 3.0), torch.full((16, 16), 2.5), Downsample(2, 2))
    0.5
    """
    factors = [fine // raw for fine, raw in zip(deconvolved.shape, denoised.shape, strict=True)]
    around = [min(-(-reach // factor), n // 4) for reach, factor, n in zip(forward_operator.reach_px, factors, denoised.shape, strict=True)]
    y, x = middle_of(denoised.shape, LOOKED_AT)
    fine = (slice(y.start * factors[-2], y.stop * factors[-2]), slice(x.start * factors[-1], x.stop * factors[-1]))
    difference = (denoised[..., y, x] - forward_operator(deconvolved[(..., *fine)][None, None])[0, 0]).abs()
    inner = tuple(slice(a, n - a) for a, n in zip(around, difference.shape, strict=True))
    return float(difference[inner].flatten().median())


def standard_error(deconvolved: Tensor, spread: Tensor, elsewhere: float) -> Tensor:
    """`sigma` of each pixel, in place of `spread`: 68 % of them are off by less. All in one unit of intensity.

    >>> import torch
    >>> [round(sigma, 2) for sigma in standard_error(torch.tensor([0.0, 100.0]), torch.zeros(2), 1.0).tolist()]
    [1.27, 3.91]
    """
    floor = (ELSEWHERE * elsewhere) ** 2
    return spread.mul_(SPREAD).square_().addcmul_(deconvolved, deconvolved, value=SHARE**2).add_(floor).sqrt_().mul_(FACTOR)


def law() -> dict[str, float]:
    """The numbers of the law, for the files that hold its result.

    >>> law()["factor"] == FACTOR
    True
    """
    return {"spread": SPREAD, "share_of_brightness": SHARE, "light_elsewhere": ELSEWHERE, "factor": FACTOR}
