"""Where a deconvolved image disagrees with what the microscope recorded: the error map of super-resolved images."""

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
from zsdeconv.report.section import Picture, Section

if TYPE_CHECKING:
    from matplotlib.figure import Figure

WIDTHS_PX = (0.2, 30.0)
"""Least and largest width (sigma) of a fitted resolution-scaling function, fine pixels."""
RSP_LIMITS = (0.97, 0.9)
"""Share of the attainable correlation under which an image is doubtful, and under which it is wrong."""
BRIGHT = 99.8


@dataclass(frozen=True, eq=False)
class ErrorMap:
    """`difference` (reference minus scaled image, unit and grid of the reference) and its summary.

    `rse` is its root mean square (resolution-scaled error, unit of the reference), `rsp` the correlation of the scaled image with the
    reference (resolution-scaled Pearson coefficient), `rsp_best` what a perfect image would have, whose reference is noisy (1 where the
    noise is not known). The scaled image is `slope * blurred + offset`, blurred by the PSF or by a Gaussian of `sigma_px`, along each
    axis, of the deconvolved image's grid (None with a PSF). `bright` is a bright place of the reference.
    """

    difference: np.ndarray
    rse: float
    rsp: float
    rsp_best: float
    slope: float
    offset: float
    sigma_px: tuple[float, ...] | None
    bright: float

    @property
    def map(self) -> np.ndarray:
        """The error at each pixel, `|difference|`."""
        return np.abs(self.difference)


def error_map(deconvolved: np.ndarray, reference: np.ndarray, psf: Psf | None = None, *, noise_sd: float = 0.0) -> ErrorMap:
    """Error map, RSE and RSP of a deconvolved image against a diffraction-limited one (Culley et al. 2018, Nature Methods 15:263).

    The deconvolved image (`*zyx`, on the grid of `reference` or a laterally finer one) is blurred by `psf` (on its own grid), or by the
    Gaussian that fits best, brought to the reference's grid and to its intensities by the least-squares line; what is left is the error.
    `reference` is the raw or the denoised image; `noise_sd` is the rms of the noise in it, in its unit.

    A map of disagreement, not of truth: what is finer than the lens resolves can be wrong without a trace.

    Raises `ImageError` when the grids do not fit or the reference is constant.

    >>> x = np.zeros((32, 36))
    >>> x[10:12, 8:30] = 1
    >>> error_map(x, 3 * x + 2).rsp > 0.99
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
        blurred, sigma = _fitted(x.numpy(), y, factors)
    slope, offset = _line(blurred, y)
    difference = y - slope * blurred - offset
    return ErrorMap(
        difference=difference,
        rse=float(np.sqrt(np.mean(difference**2))),
        rsp=float(np.corrcoef(blurred.ravel(), y.ravel())[0, 1]) if np.ptp(blurred) > 0 else 0.0,
        rsp_best=float(np.sqrt(max(1 - noise_sd**2 / y.var(), 0.0))),
        slope=slope,
        offset=offset,
        sigma_px=sigma,
        bright=float(np.percentile(y, BRIGHT)),
    )


def _factors(fine: Sequence[int], raw: Sequence[int]) -> tuple[int, ...]:
    """By how much the fine grid is finer along each axis."""
    scale = fine[-1] // raw[-1] if len(fine) == len(raw) else 0
    factors = grid.lateral_factors(len(raw), max(scale, 1))
    if scale < 1 or tuple(fine) != tuple(n * f for n, f in zip(raw, factors, strict=True)):
        raise ImageError(
            f"deconvolved image of {tuple(fine)} pixels, reference of {tuple(raw)}: its grid must be the same or laterally a whole number "
            "of times finer; give the images of one restoration"
        )
    return tuple(factors)


def _fitted(x: np.ndarray, y: np.ndarray, factors: Sequence[int]) -> tuple[np.ndarray, tuple[float, ...]]:
    """`x` blurred by the Gaussian (one width along z, one laterally) that brings it nearest to `y`, and its widths in pixels."""
    from scipy.ndimage import gaussian_filter
    from scipy.optimize import minimize

    down = Downsample(len(factors), factors[-1])

    def widths(logs: np.ndarray) -> tuple[float, ...]:
        wide = np.exp(np.clip(logs, *np.log(WIDTHS_PX)))
        return (*map(float, wide[:-1]), float(wide[-1]), float(wide[-1]))

    def blurred(logs: np.ndarray) -> np.ndarray:
        return down(torch.from_numpy(gaussian_filter(x, widths(logs)))[None, None])[0, 0].numpy()

    def left(logs: np.ndarray) -> float:
        image = blurred(logs)
        slope, offset = _line(image, y)
        return float(np.mean((y - slope * image - offset) ** 2) / y.var())

    start = np.log([2.0] * (len(factors) - 1))
    best = minimize(left, start, method="Nelder-Mead", options={"xatol": 0.01, "fatol": 1e-7}).x
    return blurred(best), widths(best)


def _line(x: np.ndarray, y: np.ndarray) -> tuple[float, float]:
    """Slope and intercept of `y` regressed on `x`; slope 0 for a constant `x`."""
    dx = x - x.mean()
    power = float(np.vdot(dx, dx))
    slope = float(np.vdot(dx, y)) / power if power > 0 else 0.0
    return slope, float(y.mean() - slope * x.mean())


def error_section(found: ErrorMap, spacing_um: Sequence[float]) -> Section:
    """The disagreement with the data as a question and its answer, for a reference with pixels of `spacing_um` (`*zyx`).

    >>> x = np.outer(np.hanning(24), np.hanning(20))
    >>> error_section(error_map(x, 5 * x), (0.1, 0.1)).level
    'ok'
    """
    relative = found.rse / found.bright if found.bright > 0 else None
    numbers = {
        "rse": found.rse,
        "rse_frac": relative,
        "rsp": found.rsp,
        "rsp_best": found.rsp_best,
        "slope": found.slope,
        "offset": found.offset,
        "gaussian_sigma_px": None if found.sigma_px is None else list(found.sigma_px),
    }
    caption = (
        "Where the deconvolved image, seen through the microscope again and scaled to the data, differs from them, over a bright place of "
        "the data: light that it lacks is red, light that it has too much of is blue."
    )
    return Section(
        "error_map",
        "Error map",
        "Where does the deconvolved image disagree with the data?",
        [_finding(found)],
        numbers,
        [Picture(caption, lambda figure: _draw(figure, found, spacing_um), (5.2, 4.4))],
    )


def _finding(found: ErrorMap) -> Finding:
    doubtful, wrong = (share * found.rsp_best for share in RSP_LIMITS)
    level: Level = "ok" if found.rsp >= doubtful else "warn" if found.rsp >= wrong else "fail"
    met = f"Seen through the microscope again, the deconvolved image correlates with the data to {found.rsp:.3f}"
    best = f" (limit {doubtful:.3f}; noise alone leaves {found.rsp_best:.3f})" if found.rsp_best < 1 else f" (limit {doubtful:.3f})"
    advice = "" if level == "ok" else ": check the PSF, and look at the map before you interpret the places that stand out"
    return Finding(level, "rsp", found.rsp, doubtful, f"{met}{best}{advice}.")


def _draw(figure: Figure, found: ErrorMap, spacing_um: Sequence[float]) -> None:
    """The plane with the largest error."""
    from zsdeconv.report.page.style import show_plane

    planes = found.difference.reshape(-1, *found.difference.shape[-2:])
    plane = int(np.square(planes).mean((1, 2)).argmax())
    share = planes[plane] / (found.bright if found.bright > 0 else 1.0)
    reach = max(float(np.percentile(np.abs(share), 99.9)), 1e-3)
    axes = figure.subplots()
    shown = show_plane(axes, share, spacing_um[-2:], cmap="RdBu_r", vmin=-reach, vmax=reach)
    if len(planes) > 1:
        axes.set_title(f"plane {plane + 1} of {len(planes)}", fontsize=9, loc="left")
    figure.colorbar(shown, ax=axes, shrink=0.8, label="difference / bright place")
