"""The standard error of the deconvolved image in a report (its law: `zsdeconv.prediction.uncertainty`)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from zsdeconv.findings import Finding
from zsdeconv.image import Image
from zsdeconv.prediction.uncertainty import FACTOR, ErrorLaw
from zsdeconv.report.page.style import ACCENT
from zsdeconv.report.section import Picture, Section

if TYPE_CHECKING:
    from matplotlib.figure import Figure

BRIGHT_QUANTILE = 0.98
"""Pixels from this quantile on are called bright. Chosen: a few per cent of a sparse image hold its structures."""
RELATIVE_LIMIT = 0.5
"""Relative standard error above which single pixels should not be compared. Chosen."""


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
    bright = x >= np.quantile(x, BRIGHT_QUANTILE)
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
