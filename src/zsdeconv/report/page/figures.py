"""Pictures of an assessment, drawn alike and small enough to travel inside a page."""

from __future__ import annotations

import base64
import io
import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from zsdeconv.report.section import Picture

if TYPE_CHECKING:
    from matplotlib.figure import Figure

DOTS_PER_INCH = 160.0
"""Sharp on paper and on fine screens."""
FEWEST_DOTS = 10.0
COLOURS = 256
MOST_BYTES = 1_000_000
"""Of all pictures of a page together."""
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


@dataclass(frozen=True)
class Drawn:
    """A picture as PNG, `width_px` x `height_px` at 96 dots per inch, with its caption."""

    caption: str
    png: bytes
    width_px: int
    height_px: int

    @property
    def src(self) -> str:
        """The picture as the address of itself."""
        return "data:image/png;base64," + base64.b64encode(self.png).decode("ascii")


def draw_all(pictures: Iterable[Picture], most_bytes: int = MOST_BYTES) -> Iterator[Drawn]:
    """Draw pictures one after the other, each within its share of the bytes that those before have left.

    >>> drawn = list(draw_all([Picture("nothing", lambda figure: None, (2, 1))]))
    >>> drawn[0].width_px, drawn[0].png[1:4]
    (192, b'PNG')
    """
    waiting = list(pictures)
    for n, picture in enumerate(waiting):
        drawn = draw(picture, most_bytes // (len(waiting) - n))
        most_bytes -= len(drawn.png)
        yield drawn


def draw(picture: Picture, most_bytes: int = MOST_BYTES) -> Drawn:
    """Draw one picture, as sharp as `most_bytes` allow. Raises what its `draw` raises."""
    import matplotlib
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    dots = DOTS_PER_INCH
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=picture.size_in, layout="constrained")
        FigureCanvasAgg(figure)
        picture.draw(figure)
        png = _png(figure, dots)
        while len(png) > most_bytes and dots > FEWEST_DOTS:
            dots *= min(0.9, 0.95 * math.sqrt(most_bytes / len(png)))  # bytes grow with the square, or less
            png = _png(figure, dots)
    width_px, height_px = (round(96 * inches) for inches in picture.size_in)
    return Drawn(picture.caption, png, width_px, height_px)


def _png(figure: Figure, dots_per_inch: float) -> bytes:
    """The figure in 256 colours of its own, which halve the size of what is noisy."""
    from PIL import Image

    drawn, written = io.BytesIO(), io.BytesIO()
    figure.savefig(drawn, format="png", dpi=dots_per_inch)
    # Without the name of the program, so that the same figure gives the same bytes.
    Image.open(drawn).convert("RGB").quantize(COLOURS).save(written, "PNG", optimize=True)
    return written.getvalue()
