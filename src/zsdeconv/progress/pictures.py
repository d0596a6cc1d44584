"""Small pictures of what a network has learnt so far: for a terminal as half blocks in shades of grey, for a page as PNG."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

import numpy as np

if TYPE_CHECKING:
    from rich.text import Text

BLACK_WHITE_PERCENTILES = (1.0, 99.7)
"""Percentiles of a picture that are black and white. Chosen: the brightest pixels of noise do not darken the rest."""
GAP_CELLS = 2
"""Cells between two pictures on a terminal. Chosen: enough to tell them apart."""
LEAST_CELLS = 12
"""Narrowest picture on a terminal, in cells. Chosen: below, nothing is recognised."""
SMOOTHED_PX = 5
"""Side of the squares whose means are compared to find structure. Chosen: that of the signal estimate of Eq. 3."""
PAGE_PX = 256
"""Side of a picture on a page, about. Chosen: three fit beside each other in a notebook."""


@dataclass(frozen=True, eq=False)
class Preview:
    """One small region (y x, float32, the network's unit): `raw` and `denoised` on the raw grid, `deconvolved` on the fine one, None until
    it is learnt.
    """

    raw: np.ndarray
    denoised: np.ndarray
    deconvolved: np.ndarray | None = None

    def named(self) -> dict[str, np.ndarray]:
        """The pictures that there are."""
        pictures = {"raw": self.raw, "denoised": self.denoised, "deconvolved": self.deconvolved}
        return {name: picture for name, picture in pictures.items() if picture is not None}


def greys(preview: Preview) -> dict[str, np.ndarray]:
    """The pictures in 256 shades of grey (y x, uint8). Raw and denoised share black and white, the deconvolved one has its own.

    >>> light = np.linspace(0, 1, 16, dtype=np.float32).reshape(4, 4)
    >>> greys(Preview(light, light))["denoised"].dtype
    dtype('uint8')
    """
    shades = {}
    for name, picture in preview.named().items():
        black, white = np.percentile(preview.denoised if name == "raw" else picture, BLACK_WHITE_PERCENTILES)
        shades[name] = np.rint(255 * np.clip((picture - black) / max(white - black, 1e-12), 0, 1)).astype(np.uint8)
    return shades


def as_blocks(preview: Preview, cells: int) -> Text:
    """The pictures beside each other within `cells` of a terminal, each with its name above: the part with the most structure, as large as
    fits.

    A cell shows two pixels of the raw grid, one above the other, as the upper half block in two shades of grey; of the fine grid the mean
    over a raw pixel. So noise stays what it is.

    >>> light = np.linspace(0, 1, 900, dtype=np.float32).reshape(30, 30)
    >>> as_blocks(Preview(light, light), 60).plain.splitlines()[0]
    'raw                             denoised'
    """
    from rich.text import Text

    count = len(preview.named())
    side = max((cells - GAP_CELLS * (count - 1)) // count, LEAST_CELLS)
    sides = [min(side - side % 2, n) for n in preview.raw.shape]
    _, corner = most_structure(preview.raw, sides)
    own = {name: _part(_on_grid(picture, preview.raw.shape), corner, sides) for name, picture in preview.named().items()}
    shown = greys(Preview(own["raw"], own["denoised"], own.get("deconvolved")))
    text, gap = Text(no_wrap=True), " " * GAP_CELLS
    text.append(gap.join(f"{name:<{sides[1]}}" for name in shown).rstrip())
    pictures = list(shown.values())
    for row in range(0, pictures[0].shape[0] - 1, 2):
        text.append("\n")
        for number, picture in enumerate(pictures):
            text.append(gap if number else "")
            for upper, lower in picture[row : row + 2].T.tolist():
                text.append("\u2580", style=f"rgb({upper},{upper},{upper}) on rgb({lower},{lower},{lower})")
    return text


def as_page(preview: Preview) -> str:
    """The pictures as a piece of a page, with their names below."""
    from imagecodecs import png_encode

    cells = []
    for name, shades in greys(preview).items():
        times = max(1, round(PAGE_PX / shades.shape[0]))
        address = base64.b64encode(png_encode(shades.repeat(times, 0).repeat(times, 1))).decode("ascii")
        image = f'<img width="{PAGE_PX}" alt="{name}" src="data:image/png;base64,{address}">'
        cells.append(f'<figure style="display:inline-block;margin:0 8px 0 0">{image}<figcaption>{name}</figcaption></figure>')
    return "".join(cells)


def _on_grid(picture: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """A picture on a finer grid as means over the pixels of a grid of this shape."""
    (rows, columns), factor = shape, picture.shape[0] // shape[0]
    return picture.reshape(rows, factor, columns, factor).mean((1, 3))


def _part(picture: np.ndarray, corner: Sequence[int], sides: Sequence[int]) -> np.ndarray:
    return picture[tuple(slice(first, first + side) for first, side in zip(corner, sides, strict=True))]


def most_structure(plane: np.ndarray, sides: Sequence[int]) -> tuple[float, tuple[int, int]]:
    """The window of these sides in which smoothed intensities vary most: their variance, and its first pixel.

    >>> plane = np.zeros((200, 100))
    >>> plane[150:154, 20:24] = 1.0
    >>> _, (top, left) = most_structure(plane, (64, 64))
    >>> top <= 150 <= top + 60, left <= 20 <= left + 60
    (True, True)
    """
    from scipy.ndimage import uniform_filter

    smooth, size = uniform_filter(plane.astype(np.float64), SMOOTHED_PX, mode="reflect"), cast(Any, sides)
    variance = uniform_filter(smooth**2, size, mode="reflect") - uniform_filter(smooth, size, mode="reflect") ** 2
    inner = variance[tuple(slice(n // 2, n // 2 + whole - n + 1) for n, whole in zip(sides, plane.shape, strict=True))]
    top, left = np.unravel_index(int(inner.argmax()), inner.shape)
    return float(inner.max()), (int(top), int(left))
