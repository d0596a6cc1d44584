"""Rendering of figures: in one style, and small enough to be embedded in a page."""

from __future__ import annotations

import base64
import io
import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from zsdeconv.report.section import CaptionedFigure

if TYPE_CHECKING:
    from matplotlib.figure import Figure

DOTS_PER_INCH = 160.0
"""Resolution of a figure. Chosen: sharp on paper and on fine screens."""
MIN_DOTS_PER_INCH = 10.0
"""Lowest resolution of a figure that is too large. Chosen: below it nothing is readable."""
SCREEN_DOTS_PER_INCH = 96
"""Pixels of a page per inch (CSS)."""
COLOURS = 256
"""Colours of a PNG palette. Its indices have 8 bits."""
MAX_BYTES = 1_000_000
"""Size of all figures of a page together. Chosen: a page of 3 MB can be sent by mail."""
STYLE: dict[Any, Any] = {
    "font.size": 9.0,
    "text.color": "#2b2f36",
    "axes.labelcolor": "#2b2f36",
    "axes.edgecolor": "#9aa1ab",
    "axes.linewidth": 0.8,
    "axes.titlesize": 9.5,
    "axes.titlelocation": "left",
    "axes.titlepad": 8.0,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "xtick.color": "#6b7280",
    "ytick.color": "#6b7280",
    "xtick.labelsize": 8.0,
    "ytick.labelsize": 8.0,
    "legend.fontsize": 8.0,
    "legend.frameon": False,
    "lines.solid_capstyle": "round",
}
"""Settings of matplotlib. Chosen to suit the style sheet of the page."""


@dataclass(frozen=True)
class RenderedFigure:
    """A figure as PNG, shown with `width_px` x `height_px` pixels, and its caption."""

    caption: str
    png: bytes
    width_px: int
    height_px: int

    @property
    def src(self) -> str:
        """The figure as a data address."""
        return "data:image/png;base64," + base64.b64encode(self.png).decode("ascii")


def render_all(figures: Iterable[CaptionedFigure], max_bytes: int = MAX_BYTES) -> Iterator[RenderedFigure]:
    """Render figures one after the other, each within its share of the bytes that the previous ones left.

    >>> rendered = list(render_all([CaptionedFigure("nothing", lambda figure: None, (2, 1))]))
    >>> rendered[0].width_px, rendered[0].png[1:4]
    (192, b'PNG')
    """
    waiting = list(figures)
    for n, figure in enumerate(waiting):
        rendered = render_figure(figure, max_bytes // (len(waiting) - n))
        max_bytes -= len(rendered.png)
        yield rendered


def render_figure(captioned: CaptionedFigure, max_bytes: int = MAX_BYTES) -> RenderedFigure:
    """Render one figure, as sharp as `max_bytes` allow. Raises what its `draw` raises."""
    import matplotlib
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    dots = DOTS_PER_INCH
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=captioned.size_in, layout="constrained")
        FigureCanvasAgg(figure)
        captioned.draw(figure)
        png = _png(figure, dots)
        while len(png) > max_bytes and dots > MIN_DOTS_PER_INCH:
            dots *= min(0.9, 0.95 * math.sqrt(max_bytes / len(png)))  # the size grows with the square of the resolution, or less
            png = _png(figure, dots)
    width_px, height_px = (round(SCREEN_DOTS_PER_INCH * inches) for inches in captioned.size_in)
    return RenderedFigure(captioned.caption, png, width_px, height_px)


def _png(figure: Figure, dots_per_inch: float) -> bytes:
    """The figure with a palette of 256 colours, which halves the size of noisy figures."""
    from PIL import Image

    rendered, written = io.BytesIO(), io.BytesIO()
    figure.savefig(rendered, format="png", dpi=dots_per_inch)
    # Without the name of the program, so that the same figure gives the same bytes.
    Image.open(rendered).convert("RGB").quantize(COLOURS).save(written, "PNG", optimize=True)
    return written.getvalue()
