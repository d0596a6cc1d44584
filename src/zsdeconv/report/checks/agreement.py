"""Where a deconvolved image disagrees with the recorded data: the error map of super-resolved images."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch

from zsdeconv.errors import ImageError
from zsdeconv.findings import Finding, Level
from zsdeconv.physics import grid
from zsdeconv.physics.operators import Downsample, forward_model
from zsdeconv.physics.psf import Psf
from zsdeconv.report.page.style import show_plane
from zsdeconv.report.section import CaptionedFigure, Section

if TYPE_CHECKING:
    from matplotlib.figure import Figure

KEY = "error_map"
TITLE = "Error map"
QUESTION = "Where does the deconvolved image disagree with the data?"
NUMBERS = ("rse", "rse_frac", "rsp", "rsp_best", "slope", "offset", "gaussian_sigma_px")

SIGMA_RANGE_PX = (0.2, 30.0)
"""Limits of the fitted width (sigma) of a resolution-scaling function, fine pixels. Chosen: from no blur to that of any microscope."""
START_SIGMA_PX = 2.0
"""Width with which the fit begins. Chosen: a well sampled PSF."""
RSP_FRACTIONS = (0.97, 0.9)
"""Fractions of the attainable correlation below which the level is warn and fail. Chosen: in
tests/report/test_agreement.py right images stay above the first and a wrong object falls below the second."""
BRIGHT_PERCENTILE = 99.8
"""Percentile of the reference that is called bright, as in `zsdeconv.metrics`."""
COLOUR_PERCENTILE = 99.9
"""Percentile of the error at which the colours saturate. Chosen: single pixels do not set the scale."""
MIN_COLOUR_RANGE = 1e-3
"""Smallest range of the colours, relative to a bright place. Chosen: rounding errors stay white."""


@dataclass(frozen=True, eq=False)
class ErrorMap:
    """`difference` (reference minus scaled image, unit and grid of the reference, pixels of `spacing_um`) and its summary.

    `rse` is its root mean square (resolution-scaled error, unit of the reference), `rsp` the correlation of the scaled image with the
    reference (resolution-scaled Pearson coefficient), `rsp_best` that of a perfect image with a noisy reference (1 where the noise is
    unknown). The scaled image is `slope * blurred + offset`, blurred by the PSF or by a Gaussian of `sigma_px` along each axis of the
    deconvolved image's grid (None with a PSF). `bright` is a bright place of the reference, `against` names
    the reference in messages.
    """

    difference: np.ndarray
    spacing_um: tuple[float, ...]
    rse: float
    rsp: float
    rsp_best: float
    slope: float
    offset: float
    sigma_px: tuple[float, ...] | None
    bright: float
    against: str = "the data"

    @property
    def map(self) -> np.ndarray:
        """The error at each pixel, `|difference|`."""
        return np.abs(self.difference)


def measure(
    deconvolved: np.ndarray, reference: np.ndarray, psf: Psf | None = None, *, spacing_um: Sequence[float] = (), noise_sd: float = 0.0
) -> ErrorMap:
    """Error map, RSE and RSP of a deconvolved image against a diffraction-limited one.

    The deconvolved image is blurred, brought to the grid of the reference and to its intensities by linear regression; the remainder is
    the error. It is a map of disagreement, not of truth: detail finer than the resolution of the lens can be wrong without a trace.

    Parameters
    ----------
    deconvolved : image `*zyx`, on the grid of the reference or a laterally finer one
    reference : raw or denoised image
    psf : PSF on the grid of the deconvolved image; the best Gaussian where it is left out
    spacing_um : pixel size of the reference along each axis; 1 where it is left out
    noise_sd : standard deviation of the noise in the reference, in its unit

    Raises
    ------
    ImageError
        When the grids do not fit or the reference is constant.

    References
    ----------
    Culley et al. 2018, Nature Methods 15:263 (SQUIRREL).

    >>> x = np.zeros((32, 36))
    >>> x[10:12, 8:30] = 1
    >>> measure(x, 3 * x + 2).rsp > 0.99
    True
    """
    factors = _factors(deconvolved.shape, reference.shape)
    x, y = torch.from_numpy(np.asarray(deconvolved, np.float64)), np.asarray(reference, np.float64)
    if np.ptp(y) == 0:
        raise ImageError(f"reference: every pixel is {y.flat[0]:g}, a constant image has no structure to compare with; give another one")
    if psf is not None:
        operator = forward_model(psf.require_rank(x.ndim).values, x.ndim, factors[-1])
        blurred, sigma = operator(x[None, None])[0, 0].numpy(), None
    else:
        blurred, sigma = _best_gaussian(x.numpy(), y, factors)
    slope, offset = _regression(blurred, y)
    difference = y - slope * blurred - offset
    return ErrorMap(
        difference=difference,
        spacing_um=tuple(spacing_um) or (1.0,) * y.ndim,
        rse=float(np.sqrt(np.mean(difference**2))),
        rsp=float(np.corrcoef(blurred.ravel(), y.ravel())[0, 1]) if np.ptp(blurred) > 0 else 0.0,
        rsp_best=float(np.sqrt(max(1 - noise_sd**2 / y.var(), 0.0))),
        slope=slope,
        offset=offset,
        sigma_px=sigma,
        bright=float(np.percentile(y, BRIGHT_PERCENTILE)),
    )


def section(result: ErrorMap) -> Section:
    """The correlation with its limit, and the map.

    >>> x = np.outer(np.hanning(24), np.hanning(20))
    >>> section(measure(x, 5 * x)).level
    'ok'
    """
    numbers = {
        "rse": result.rse,
        "rse_frac": result.rse / result.bright if result.bright > 0 else None,
        "rsp": result.rsp,
        "rsp_best": result.rsp_best,
        "slope": result.slope,
        "offset": result.offset,
        "gaussian_sigma_px": None if result.sigma_px is None else list(result.sigma_px),
    }
    caption = (
        f"Difference between {result.against} and the deconvolved image, re-blurred and scaled alike, relative to a bright place: red "
        "where the deconvolved image lacks light, blue where it has too much."
    )
    return Section(
        KEY, TITLE, QUESTION, [_finding(result)], numbers, [CaptionedFigure(caption, lambda figure: _draw(figure, result), (5.2, 4.4))]
    )


def _finding(result: ErrorMap) -> Finding:
    low, lowest = (fraction * result.rsp_best for fraction in RSP_FRACTIONS)
    level: Level = "ok" if result.rsp >= low else "warn" if result.rsp >= lowest else "fail"
    best = f"; the noise in them allows {result.rsp_best:.3f} at best" if result.rsp_best < 1 else ""
    text = f"Re-blurred, the deconvolved image correlates with {result.against} by {result.rsp:.3f} (limit {low:.3f}{best})"
    advice = "" if level == "ok" else "; check the PSF, and do not interpret places that stand out in the map"
    return Finding(level, "rsp", result.rsp, low, f"{text}{advice}.")


def _factors(fine: Sequence[int], raw: Sequence[int]) -> tuple[int, ...]:
    """Fine pixels per pixel of the reference along each axis."""
    scale = fine[-1] // raw[-1] if len(fine) == len(raw) else 0
    factors = grid.lateral_factors(len(raw), max(scale, 1))
    if scale < 1 or tuple(fine) != tuple(n * f for n, f in zip(raw, factors, strict=True)):
        raise ImageError(
            f"deconvolved image of {tuple(fine)} pixels, reference of {tuple(raw)}: its grid must be the same or laterally a whole number "
            "of times finer; give the images of one restoration"
        )
    return tuple(factors)


def _best_gaussian(x: np.ndarray, y: np.ndarray, factors: Sequence[int]) -> tuple[np.ndarray, tuple[float, ...]]:
    """`x` blurred by the Gaussian (one width along z, one laterally) that explains `y` best, and its widths in pixels."""
    from scipy.ndimage import gaussian_filter
    from scipy.optimize import minimize

    down = Downsample(len(factors), factors[-1])

    def widths(logs: np.ndarray) -> tuple[float, ...]:
        clipped = np.exp(np.clip(logs, *np.log(SIGMA_RANGE_PX)))
        return (*map(float, clipped[:-1]), float(clipped[-1]), float(clipped[-1]))

    def blurred(logs: np.ndarray) -> np.ndarray:
        return down(torch.from_numpy(gaussian_filter(x, widths(logs)))[None, None])[0, 0].numpy()

    def unexplained(logs: np.ndarray) -> float:
        image = blurred(logs)
        slope, offset = _regression(image, y)
        return float(np.mean((y - slope * image - offset) ** 2) / y.var())

    start = np.log([START_SIGMA_PX] * (len(factors) - 1))
    best = minimize(unexplained, start, method="Nelder-Mead", options={"xatol": 0.01, "fatol": 1e-7}).x
    return blurred(best), widths(best)


def _regression(x: np.ndarray, y: np.ndarray) -> tuple[float, float]:
    """Slope and intercept of `y` regressed on `x`; slope 0 for a constant `x`."""
    dx = x - x.mean()
    power = float(np.vdot(dx, dx))
    slope = float(np.vdot(dx, y)) / power if power > 0 else 0.0
    return slope, float(y.mean() - slope * x.mean())


def _draw(figure: Figure, result: ErrorMap) -> None:
    """The plane with the largest error."""
    planes = result.difference.reshape(-1, *result.difference.shape[-2:])
    plane = int(np.square(planes).mean((1, 2)).argmax())
    relative = planes[plane] / (result.bright if result.bright > 0 else 1.0)
    limit = max(float(np.percentile(np.abs(relative), COLOUR_PERCENTILE)), MIN_COLOUR_RANGE)
    axes = figure.subplots()
    image = show_plane(axes, relative, result.spacing_um[-2:], cmap="RdBu_r", vmin=-limit, vmax=limit)
    if len(planes) > 1:
        axes.set_title(f"plane {plane + 1} of {len(planes)}", fontsize=9, loc="left")
    figure.colorbar(image, ax=axes, shrink=0.8, label="difference / bright place")
