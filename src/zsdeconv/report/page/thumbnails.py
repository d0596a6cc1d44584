"""Planes as shades of grey, with what a reader needs beside them: the intensities of black and white, and the length of a pixel."""

from __future__ import annotations

import base64
import math
from dataclasses import dataclass

import numpy as np

from zsdeconv.report.page.style import round_length

SAMPLED_PX = 2**20
"""Pixels from which the intensity range is taken, about; all of smaller images."""
SHOWN_PERCENTILES = (0.1, 99.9)
MOST_DIGITS = 6
"""After the decimal point; there are no smaller differences between counts of a camera."""
BAR_SHARE = 0.3
"""Length of a scale bar over the width of the view, at most."""


@dataclass(frozen=True)
class View:
    """A picture, `png` of `height_px` x `width_px` pixels of `um_per_px` (None if not known), each the mean of `reduced` x `reduced`.

    `box_px` (x, y, width, height) is where another view looks closer.
    """

    png: bytes
    height_px: int
    width_px: int
    um_per_px: float | None
    reduced: int = 1
    box_px: tuple[float, float, float, float] | None = None

    @property
    def src(self) -> str:
        """The picture as the address of itself, for a page without other files."""
        return "data:image/png;base64," + base64.b64encode(self.png).decode("ascii")

    @property
    def bar_um(self) -> float | None:
        """Length of its scale bar; None where the pixel size is not known."""
        return None if self.um_per_px is None else bar_length_um(self.um_per_px * self.width_px)

    @property
    def bar_px(self) -> float:
        """Length of its scale bar in pixels of the view, 0 where there is none."""
        return 0.0 if self.bar_um is None or self.um_per_px is None else self.bar_um / self.um_per_px


def bar_length_um(width_um: float) -> float:
    """The longest of 1, 2, 5 times a power of ten that is at most three tenths of the width.

    >>> [bar_length_um(width_um) for width_um in (16.0, 6.7, 1.7)]
    [2.0, 2.0, 0.5]
    """
    return round_length(BAR_SHARE * width_um)


def length_words(um: float) -> str:
    """A length in the unit that suits it.

    >>> length_words(2.0), length_words(0.5)
    ('2 µm', '500 nm')
    """
    return f"{um:g} µm" if um >= 1 else f"{1000 * um:g} nm"


def range_words(low_adu: float, high_adu: float) -> tuple[str, str]:
    """The ends of an intensity range, to three digits of its width.

    >>> range_words(-0.17534, 19.94), range_words(95.0, 15234.0)
    (('−0.2', '19.9'), ('95', '15234'))
    """
    digits = min(max(0, 2 - math.floor(math.log10(high_adu - low_adu))), MOST_DIGITS)
    low, high = (f"{round(adu, digits) + 0.0:.{digits}f}".replace("-", "−") for adu in (low_adu, high_adu))
    return low, high


@dataclass(frozen=True)
class Shades:
    """Which intensities are black and white: `low` and `high`, ADU above `offset_adu`."""

    offset_adu: float
    low: float
    high: float

    @classmethod
    def of(cls, plane: np.ndarray, offset_adu: float, *, from_zero: bool) -> Shades:
        step = stride(plane.shape)
        low, high = (float(v) - offset_adu for v in np.percentile(plane[::step, ::step], SHOWN_PERCENTILES))
        low = 0.0 if from_zero else low
        return cls(offset_adu, low, high if high > low else low + 1)

    def view(self, plane: np.ndarray, x_um: float | None, k: int = 1, box_px: tuple[float, float, float, float] | None = None) -> View:
        """The plane, `k` x `k` pixels averaged, in shades of grey."""
        import imagecodecs

        small = binned(plane, k, k) - self.offset_adu
        grey = np.rint(255 * np.clip((small - self.low) / (self.high - self.low), 0, 1)).astype(np.uint8)
        png = bytes(imagecodecs.png_encode(np.ascontiguousarray(grey), level=9))
        return View(png, grey.shape[0], grey.shape[1], None if x_um is None else k * x_um, k, box_px)


def binned(plane: np.ndarray, rows: int, columns: int) -> np.ndarray:
    """Means over `rows` x `columns` pixels, without what is left over at the far ends; at least one pixel stays.

    >>> binned(np.arange(10.0).reshape(2, 5), 2, 2).tolist()
    [[3.0, 5.0]]
    """
    rows, columns = (min(k, n) for k, n in zip((rows, columns), plane.shape, strict=True))
    ny, nx = plane.shape[0] // rows, plane.shape[1] // columns
    return plane[: ny * rows, : nx * columns].reshape(ny, rows, nx, columns).mean((1, 3))


def stride(shape: tuple[int, ...]) -> int:
    """Every so many rows and columns are enough for statistics."""
    return max(1, math.isqrt(math.prod(shape) // SAMPLED_PX))
