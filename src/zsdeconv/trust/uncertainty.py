"""How far a pixel of the deconvolved image may be off: a law calibrated on simulated images, whose truth is known.

`sigma^2 = F^2 ((s spread)^2 + (r x)^2 + (q m)^2 + (o u)^2 + (p d)^2)`: the spread over re-corrupted passes, and over the members of an
ensemble, is what noise does to the network; a share r of the brightness x is what the network gets wrong of what it sees. The rest makes
dark places uncertain, which the spread alone would call certain, for there all passes agree on 0: m, the median of `|denoised - D H x|`
over the image, is light that the deconvolved image puts elsewhere than the data have it; u is the standard error of the camera's offset;
and d is what the image shows where the network finds no light (`Photometry.darkness`). The factors are those of a modality
(`ErrorLaw`), fitted to simulated images of one seed so that 68 % of the pixels are off by less than sigma, dark ones and bright ones alike.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from torch import Tensor

from zsdeconv.findings import Finding
from zsdeconv.image import Image
from zsdeconv.imaging import middle_of
from zsdeconv.modality import ErrorLaw
from zsdeconv.physics.operators import Operator
from zsdeconv.trust.drawing import ACCENT
from zsdeconv.trust.section import Picture, Section

if TYPE_CHECKING:
    from matplotlib.figure import Figure


class Doubts(NamedTuple):
    """What makes all pixels of an image uncertain alike: m, u and d, in its unit of intensity."""

    elsewhere: float
    offset: float = 0.0
    darkness: float = 0.0


FACTOR = 1.0
"""F: what is left after the fit, over all kinds of images together."""
BRIGHT = 0.98
"""From this share of the pixels on they are called bright."""
RELATIVE_LIMIT = 0.5
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
    y, x = middle_of(denoised.shape, LOOKED_AT)
    fine = (slice(y.start * factors[-2], y.stop * factors[-2]), slice(x.start * factors[-1], x.stop * factors[-1]))
    difference = (denoised[..., y, x] - forward_operator(deconvolved[(..., *fine)][None, None])[0, 0]).abs()
    # Nearer to the ends of that middle than the lens reaches, light from beyond them is missing; half of it stays at least.
    reach = zip(forward_operator.reach_px, factors, difference.shape, strict=True)
    inner = tuple(slice(a, n - a) for r, factor, n in reach for a in [min(-(-r // factor), n // 4)])
    return float(difference[inner].flatten().median())


def standard_error(deconvolved: Tensor, spread: Tensor, doubts: Doubts, law: ErrorLaw) -> Tensor:
    """`sigma` of each pixel, in place of `spread`: 68 % of them are off by less. Intensities are in any one unit.

    >>> import torch
    >>> x, law = torch.tensor([0.0, 100.0]), ErrorLaw(spread=2.0, brightness=0.04, elsewhere=1.5)
    >>> [round(sigma, 2) for sigma in standard_error(x, torch.zeros(2), Doubts(1.0), law).tolist()]
    [1.5, 4.27]
    """
    s, r, *factors = law
    alike = sum((factor * doubt) ** 2 for factor, doubt in zip(factors, doubts, strict=True))
    return spread.mul_(s).square_().addcmul_(deconvolved, deconvolved, value=r**2).add_(alike).sqrt_().mul_(FACTOR)


def uncertainty_section(deconvolved: Image, uncertainty: Image | None, law: ErrorLaw, members: int = 1) -> Section:
    """How certain the bright and the dark pixels are, and how that was reckoned.

    >>> uncertainty_section(Image(np.ones((8, 8)), "YX"), None, ErrorLaw(2.0, 0.04)).level
    'warn'
    """
    title, question = "Uncertainty", "By how much may a pixel of the deconvolved image be off?"
    if uncertainty is None:
        why = "it was restored in a single pass, which has no spread; give --passes 2 or more"
        return Section("uncertainty", title, question, [Finding("warn", "uncertainty", 0, 2, why)])
    x, sigma = (image.data.reshape(-1)[:: max(1, image.data.size // 2**22)].astype(np.float64) for image in (deconvolved, uncertainty))
    bright = x >= np.quantile(x, BRIGHT)
    relative = float(np.median(sigma[bright] / np.maximum(x[bright], 1e-30)))
    level = "ok" if relative <= RELATIVE_LIMIT else "warn"
    told = f"A bright pixel may be off by {100 * relative:.0f} % (standard error, limit {100 * RELATIVE_LIMIT:.0f} %)"
    advice = "" if level == "ok" else ": compare sums over regions, not single pixels; more light helps, and --ensemble"
    numbers: dict[str, Any] = {
        "bright_pixel_relative_error": relative,
        "dark_pixel_error_adu": float(np.median(sigma[x <= np.median(x)])),
        "ensemble_members": members,
        "law": {**law._asdict(), "factor": FACTOR},
    }
    caption = "Standard error by brightness: the median of the pixels, and the range of nine tenths of them."
    found = [Finding(level, "uncertainty of bright pixels", relative, RELATIVE_LIMIT, told + advice)]
    return Section("uncertainty", title, question, found, numbers, [Picture(caption, lambda figure: _draw(figure, x, sigma), (6.4, 3.0))])


def _draw(figure: Figure, x: np.ndarray, sigma: np.ndarray) -> None:
    edges = np.unique(np.quantile(x, np.linspace(0, 1, 41)))
    group = np.digitize(x, edges[1:-1])
    middle, low, high = (np.array([np.quantile(sigma[group == n], q) for n in np.unique(group)]) for q in (0.5, 0.05, 0.95))
    place = np.array([x[group == n].mean() for n in np.unique(group)])
    axes = figure.add_subplot()
    axes.fill_between(place, low, high, color=ACCENT, alpha=0.2, lw=0)
    axes.plot(place, middle, color=ACCENT)
    axes.set_xlabel("brightness of a deconvolved pixel (ADU)")
    axes.set_ylabel("standard error (ADU)")
    axes.set_ylim(bottom=0)
