"""The standard error of the deconvolved image in a report (its law: `zsdeconv.prediction.uncertainty`)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from zsdeconv.findings import Finding, percent
from zsdeconv.image import Image
from zsdeconv.prediction.uncertainty import FACTOR, ErrorLaw, expected_share
from zsdeconv.report.page.style import ACCENT
from zsdeconv.report.section import CaptionedFigure, Section

if TYPE_CHECKING:
    from matplotlib.figure import Figure

KEY = "uncertainty"
TITLE = "Uncertainty"
QUESTION = "What is the standard error of a pixel of the deconvolved image?"
NUMBERS = ("bright_pixel_relative_error", "dark_pixel_error_adu", "ensemble_members", "law", "lit_share", "expected_share")

BRIGHT_QUANTILE = 0.98
"""Pixels from this quantile on are called bright. Chosen: a few per cent of a sparse image hold its structures."""
MAX_RELATIVE_ERROR = 0.5
"""Relative standard error up to which the level is ok. Chosen: single pixels that differ by a factor of two can still be told apart."""
LIT_FRACTION = 0.01
"""Brightness of places with light, relative to a bright place. Chosen: below, a restored image is as good as dark."""
BRIGHT_PERCENTILE = 99.8
"""Percentile that is called bright, as in `zsdeconv.metrics`."""
MAX_SHARE_DEVIATION = 0.25
"""Distance of the share of pixels within their standard error from 68 % that the image must allow to be told. Chosen: without any error of
the offset it is half of this on single simulated images."""
NOMINAL_SHARE = 0.68
"""Law: that of a normal distribution within its standard deviation."""
SAMPLED_PX = 2**22
"""Pixels that are sampled evenly from larger images. Chosen: medians of more are no more exact."""
CURVE_QUANTILES = 41
"""Edges of the brightness groups in the figure, as quantiles. Chosen: 40 groups make a smooth curve."""


@dataclass(frozen=True, eq=False)
class StandardError:
    """Sampled pixels: brightness `x` and standard error `sigma` (ADU, None for a single pass), and the law with its `members` networks.

    `offset_sigma` is the standard error of the camera offset (ADU), which all pixels share.
    """

    x: np.ndarray | None
    sigma: np.ndarray | None
    law: ErrorLaw
    members: int
    offset_sigma: float = 0.0

    @property
    def lit(self) -> np.ndarray | None:
        """Which pixels are places with light."""
        return None if self.x is None else self.x > LIT_FRACTION * np.percentile(self.x, BRIGHT_PERCENTILE)

    @property
    def expected_share(self) -> tuple[float, float] | None:
        """Lowest and highest share of the pixels in places with light that may lie within their standard error."""
        lit = self.lit
        if self.sigma is None or lit is None or not lit.any():
            return None
        return expected_share(self.sigma[lit], self.offset_sigma, self.law)

    @property
    def bright_relative(self) -> float | None:
        """Median standard error of bright pixels, relative to their brightness."""
        if self.x is None or self.sigma is None:
            return None
        bright = self.x >= np.quantile(self.x, BRIGHT_QUANTILE)
        return float(np.median(self.sigma[bright] / np.maximum(self.x[bright], 1e-30)))

    @property
    def dark_adu(self) -> float | None:
        """Median standard error of the darker half of the pixels."""
        return None if self.x is None or self.sigma is None else float(np.median(self.sigma[self.x <= np.median(self.x)]))


def measure(deconvolved: Image, uncertainty: Image | None, law: ErrorLaw, members: int = 1, *, offset_sigma: float = 0.0) -> StandardError:
    """Sample brightness and standard error of the pixels.

    Parameters
    ----------
    deconvolved, uncertainty : images of one shape; no uncertainty after a single pass
    law : law by which the uncertainty was computed
    members : networks of the ensemble
    offset_sigma : standard error of the camera offset, ADU

    >>> measure(Image(np.full((8, 8), 4.0), "YX"), Image(np.ones((8, 8)), "YX"), ErrorLaw(2.0, 0.04)).bright_relative
    0.25
    """
    if uncertainty is None:
        return StandardError(None, None, law, members, offset_sigma)
    step = max(1, deconvolved.data.size // SAMPLED_PX)
    x, sigma = (image.data.reshape(-1)[::step].astype(np.float64) for image in (deconvolved, uncertainty))
    return StandardError(x, sigma, law, members, offset_sigma)


def section(result: StandardError) -> Section:
    """The standard error of bright and of dark pixels, and of all by brightness.

    >>> section(measure(Image(np.ones((8, 8)), "YX"), None, ErrorLaw(2.0, 0.04))).level
    'not_checked'
    """
    law = {**result.law._asdict(), "shares": list(result.law.shares), "factor": FACTOR}
    share = result.expected_share
    lit = None if result.lit is None else round(float(result.lit.mean()), 4)
    values = (result.bright_relative, result.dark_adu, result.members, law, lit, None if share is None else [round(s, 3) for s in share])
    caption = "Standard error by brightness: the median of the pixels, and the range of nine tenths of them."
    figures = [] if result.x is None else [CaptionedFigure(caption, lambda figure: _draw(figure, result), (6.4, 3.0))]
    findings = [_finding(result.bright_relative), _share_finding(result)]
    return Section(KEY, TITLE, QUESTION, findings, dict(zip(NUMBERS, values, strict=True)), figures)


def _finding(relative: float | None) -> Finding:
    name = "uncertainty of bright pixels"
    if relative is None:
        why = "The image was restored only once, so nothing tells how far a second result would differ; give `passes` 2 or more."
        return Finding.not_checked(name, why, value=1.0, limit=2.0)
    text = f"The standard error of a bright pixel is {percent(relative)} of its brightness (limit {100 * MAX_RELATIVE_ERROR:.0f} %)"
    if relative <= MAX_RELATIVE_ERROR:
        return Finding("ok", name, relative, MAX_RELATIVE_ERROR, f"{text}.")
    advice = "compare sums over regions, not single pixels; more light or `ensemble=2` lowers it"
    return Finding("warn", name, relative, MAX_RELATIVE_ERROR, f"{text}; {advice}.")


def _share_finding(result: StandardError) -> Finding:
    """How far the standard error itself may be off on this image."""
    name, share, lit = "share within the standard error", result.expected_share, result.lit
    if share is None or lit is None:
        return Finding.not_checked(name, "There is no standard error, or no light; give `passes` 2 or more, or a brighter image.")
    low, high = share
    off = max(NOMINAL_SHARE - low, high - NOMINAL_SHARE)
    text = (
        f"In places with light, {percent(float(lit.mean()))} of the image, {percent(low)} to {percent(high)} of the pixels are expected "
        f"within their standard error (nominal {percent(NOMINAL_SHARE)})"
    )
    if off <= MAX_SHARE_DEVIATION:
        return Finding("ok", name, off, MAX_SHARE_DEVIATION, f"{text}; an error of the offset is the same in all dark places.")
    if _law_range(result.law) > MAX_SHARE_DEVIATION:
        why = "standard errors of single images of this kind were found as far off"
    else:
        known = f"the offset of the camera is known to ± {result.offset_sigma:.2g} ADU only"
        why = f"{known}, and all pixels share its error; give `background`"
    return Finding.not_checked(name, f"{text}: {why}.", off, MAX_SHARE_DEVIATION)


def _law_range(law: ErrorLaw) -> float:
    """How far the share of single images was from the nominal one at most, where the offset was right."""
    return max(NOMINAL_SHARE - law.shares[0], law.shares[1] - NOMINAL_SHARE)


def _draw(figure: Figure, result: StandardError) -> None:
    assert result.x is not None and result.sigma is not None
    x, sigma = result.x, result.sigma
    edges = np.unique(np.quantile(x, np.linspace(0, 1, CURVE_QUANTILES)))
    group = np.digitize(x, edges[1:-1])
    numbers = np.unique(group)
    median, low, high = (np.array([np.quantile(sigma[group == n], q) for n in numbers]) for q in (0.5, 0.05, 0.95))
    brightness = np.array([x[group == n].mean() for n in numbers])
    axes = figure.add_subplot()
    axes.fill_between(brightness, low, high, color=ACCENT, alpha=0.2, lw=0)
    axes.plot(brightness, median, color=ACCENT)
    axes.set_xlabel("brightness of a deconvolved pixel (ADU)")
    axes.set_ylabel("standard error (ADU)")
    axes.set_ylim(bottom=0)
