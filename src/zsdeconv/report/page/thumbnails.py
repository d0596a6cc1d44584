"""Planes in shades of grey, with the intensities of black and white and the size of a pixel."""

from __future__ import annotations

import base64
import math
from dataclasses import dataclass

import numpy as np

from zsdeconv.report.page.style import BAR_FRACTION, round_length

SAMPLED_PX = 2**20
"""Pixels from which the intensity range is taken, approximately. Chosen: percentiles of more are no more exact."""
RANGE_PERCENTILES = (0.1, 99.9)
"""Percentiles that are black and white. Chosen: single pixels do not set the range."""
MAX_DIGITS = 6
"""Digits after the decimal point. Chosen: camera counts have no smaller differences."""


@dataclass(frozen=True)
class Thumbnail:
    """An image, `png` of `height_px` x `width_px` pixels of `um_per_px` (None if unknown), each the mean of `reduced` x `reduced`.

    `box_px` (x, y, width, height) marks the part that another thumbnail magnifies.
    """

    png: bytes
    height_px: int
    width_px: int
    um_per_px: float | None
    reduced: int = 1
    box_px: tuple[float, float, float, float] | None = None

    @property
    def src(self) -> str:
        """The image as a data address, for a page without other files."""
        return "data:image/png;base64," + base64.b64encode(self.png).decode("ascii")

    @property
    def bar_um(self) -> float | None:
        """Length of its scale bar; None where the pixel size is unknown."""
        return None if self.um_per_px is None else bar_length_um(self.um_per_px * self.width_px)

    @property
    def bar_px(self) -> float:
        """Length of its scale bar in its pixels, 0 where there is none."""
        return 0.0 if self.bar_um is None or self.um_per_px is None else self.bar_um / self.um_per_px


def bar_length_um(width_um: float) -> float:
    """The longest of 1, 2, 5 times a power of ten that is at most `BAR_FRACTION` of the width.

    >>> [bar_length_um(width_um) for width_um in (16.0, 6.7, 1.7)]
    [2.0, 2.0, 0.5]
    """
    return round_length(BAR_FRACTION * width_um)


def length_words(um: float) -> str:
    """A length in a suitable unit.

    >>> length_words(2.0), length_words(0.5)
    ('2 µm', '500 nm')
    """
    return f"{um:g} µm" if um >= 1 else f"{1000 * um:g} nm"


def range_words(low_adu: float, high_adu: float) -> tuple[str, str]:
    """The ends of an intensity range, to three digits of its width.

    >>> range_words(-0.17534, 19.94), range_words(95.0, 15234.0)
    (('−0.2', '19.9'), ('95', '15234'))
    """
    digits = min(max(0, 2 - math.floor(math.log10(high_adu - low_adu))), MAX_DIGITS)
    low, high = (f"{round(adu, digits) + 0.0:.{digits}f}".replace("-", "−") for adu in (low_adu, high_adu))
    return low, high


@dataclass(frozen=True)
class Shades:
    """The intensities that are black and white: `low` and `high`, ADU above `offset_adu`."""

    offset_adu: float
    low: float
    high: float

    @classmethod
    def of(cls, plane: np.ndarray, offset_adu: float, *, from_zero: bool) -> Shades:
        """The shades of a plane, between its percentiles or from zero."""
        step = stride(plane.shape)
        low, high = (float(v) - offset_adu for v in np.percentile(plane[::step, ::step], RANGE_PERCENTILES))
        low = 0.0 if from_zero else low
        return cls(offset_adu, low, high if high > low else low + 1)

    def thumbnail(
        self, plane: np.ndarray, x_um: float | None, k: int = 1, box_px: tuple[float, float, float, float] | None = None
    ) -> Thumbnail:
        """A plane in shades of grey.

        Parameters
        ----------
        plane : intensities `y x`
        x_um : pixel size, if known
        k : side of the squares of pixels that are averaged
        box_px : part that another thumbnail magnifies
        """
        import imagecodecs

        small = binned(plane, k, k) - self.offset_adu
        grey = np.rint(255 * np.clip((small - self.low) / (self.high - self.low), 0, 1)).astype(np.uint8)
        png = bytes(imagecodecs.png_encode(np.ascontiguousarray(grey), level=9))
        return Thumbnail(png, grey.shape[0], grey.shape[1], None if x_um is None else k * x_um, k, box_px)


def binned(plane: np.ndarray, rows: int, columns: int) -> np.ndarray:
    """Means over `rows` x `columns` pixels, without incomplete ones at the far ends; at least one pixel stays.

    >>> binned(np.arange(10.0).reshape(2, 5), 2, 2).tolist()
    [[3.0, 5.0]]
    """
    rows, columns = (min(k, n) for k, n in zip((rows, columns), plane.shape, strict=True))
    ny, nx = plane.shape[0] // rows, plane.shape[1] // columns
    return plane[: ny * rows, : nx * columns].reshape(ny, rows, nx, columns).mean((1, 3))


def stride(shape: tuple[int, ...]) -> int:
    """Step between rows and columns that leaves about `SAMPLED_PX` pixels."""
    return max(1, math.isqrt(math.prod(shape) // SAMPLED_PX))
