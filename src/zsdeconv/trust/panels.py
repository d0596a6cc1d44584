"""Images as a page shows them: 8-bit views with an intensity range in ADU and a geometry in um, small whatever the image's size."""

from __future__ import annotations

import base64
import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from zsdeconv.image import Image
from zsdeconv.trust.text import label

MOST_PX = 360
"""Pixels of a view along either side; a page of five images with three views each then stays below 2 MB."""
MOST_SIDE_PX = 180
"""Height of an x-z view in pixels."""
CLOSER_PX = 96
"""Side of the closer look in pixels of the coarsest grid."""
TALLEST = 2
"""Height of a view over its width: taller images are cut to their busiest part, for pages are narrow."""
SHOWN_PERCENTILES = (0.1, 99.9)
BAR_SHARE = 0.3
"""Length of a scale bar over the width of the view, at most."""
WORDS = {
    "raw": ("Raw", "What the camera recorded, less its offset."),
    "reconstructed": ("Reconstructed", "What linear reconstruction makes of the raw frames, with all their noise."),
    "denoised": ("Denoised", "Noise taken away, blur left as it was."),
    "deconvolved": ("Deconvolved", "Noise and blur taken away, on finer pixels."),
    "uncertainty": ("Uncertainty", "How far repeated restorations differ (standard deviation): bright places are less certain."),
}
"""Title and explanation of the images of a restoration."""


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


@dataclass(frozen=True)
class Panel:
    """One image of a restoration: black is `low_adu`, white `high_adu`, linear between, in all its views.

    `whole` is the field, `closer` its busiest part, `side` an x-z section of a stack.
    """

    key: str
    title: str
    says: str
    low_adu: float
    high_adu: float
    whole: View
    closer: View
    side: View | None


@dataclass(frozen=True)
class Gallery:
    """The panels of a restoration, all of the same places, and in `says` which plane and which time they show."""

    panels: list[Panel]
    says: str

    def pair(self) -> tuple[Panel, Panel] | None:
        """Before and after: the first image, and the deconvolved one."""
        after = [panel for panel in self.panels[1:] if panel.key == "deconvolved"]
        return (self.panels[0], after[0]) if after else None


def make_gallery(images: Mapping[str, Image]) -> Gallery:
    """Views of the same places in each of the `images` (by name, as in `WORDS`; ADU; offsets that they know are taken away).

    Of movies the middle frame is shown, of stacks the plane with the most contrast and an x-z section, of frames under
    stripes their mean. The busiest part is where the denoised image (or else the last one) changes most from pixel to pixel.

    >>> rng = np.random.default_rng(0)
    >>> gallery = make_gallery({"raw": Image(rng.random((40, 60)), "YX", {"Y": 0.1, "X": 0.1})})
    >>> gallery.panels[0].whole.width_px, gallery.panels[0].closer.width_px, gallery.panels[0].whole.bar_um
    (60, 20, 1.0)
    """
    frames = {name: _Frame(image) for name, image in images.items()}
    if not frames:
        return Gallery([], "")
    reference = frames.get("denoised", list(frames.values())[-1])
    depth = reference.best_depth()
    places = _Places(reference, depth, min(frame.shape[-1] for frame in frames.values()))
    said = [reference.time_words, f"plane {int(depth * reference.shape[0]) + 1} of {reference.shape[0]}" if reference.shape[0] > 1 else ""]
    return Gallery([_panel(name, frame, places) for name, frame in frames.items()], ", ".join(filter(None, said)))


def bar_length_um(width_um: float) -> float:
    """The longest of 1, 2, 5 times a power of ten that is at most three tenths of the width.

    >>> [bar_length_um(width_um) for width_um in (16.0, 6.7, 1.7)]
    [2.0, 2.0, 0.5]
    """
    most = BAR_SHARE * width_um
    decade = 10.0 ** math.floor(math.log10(most))
    return max(step * decade for step in (1, 2, 5) if step * decade <= most * (1 + 1e-9))


def length_words(um: float) -> str:
    """A length in the unit that suits it.

    >>> length_words(2.0), length_words(0.5)
    ('2 µm', '500 nm')
    """
    return f"{um:g} µm" if um >= 1 else f"{1000 * um:g} nm"


Box = tuple[float, float, float, float]
"""A part of the field as fractions of it: y, x, height, width."""


class _Frame:
    """One time of an image, without copies: `p z y x`."""

    def __init__(self, image: Image) -> None:
        times = image.transposed("TCPZYX")
        time = len(times.data) // 2
        self.data, self.offset_adu = times.data[time, 0], float(image.offset or 0.0)
        self.time_words = f"frame {time + 1} of {len(times.data)}" if len(times.data) > 1 else ""
        self.z_um, self.y_um, self.x_um = (image.spacing_um.get(axis) for axis in "ZYX")

    @property
    def shape(self) -> tuple[int, int, int]:
        """Planes, rows and columns."""
        return self.data.shape[-3:]

    def best_depth(self) -> float:
        """Where along z the plane with the most contrast lies, as a fraction of the depth."""
        contrast = [np.std(self.data[:, z, ::2, ::2].mean(0, dtype=np.float64)) for z in range(self.shape[0])]
        return (int(np.argmax(contrast)) + 0.5) / self.shape[0]

    def plane(self, depth: float) -> np.ndarray:
        """A plane (y x), ADU above the offset where it is known."""
        return self.data[:, int(depth * self.shape[0])].mean(0, dtype=np.float64) - self.offset_adu

    def section(self, row: float) -> np.ndarray:
        """A section (z x) at a row given as a fraction of the height."""
        return self.data[:, :, int(row * self.shape[1])].mean(0, dtype=np.float64) - self.offset_adu


class _Places:
    """Where the views look: a plane, the field, and the window in it where the image is busiest."""

    def __init__(self, reference: _Frame, depth: float, columns: int) -> None:
        self.depth, self.plane = depth, reference.plane(depth)
        self.ratio = max(1, self.plane.shape[1] // columns)

    @cached_property
    def window(self) -> Box:
        """The busiest part, whole pixels of the coarsest grid."""
        rows, columns = (n // self.ratio for n in self.plane.shape)
        side = max(1, min(CLOSER_PX, max(16, min(rows, columns) // 2), rows, columns))
        y, x = busiest(self.plane, side * self.ratio)
        return (y // self.ratio / rows, x // self.ratio / columns, side / rows, side / columns)

    @cached_property
    def field(self) -> Box:
        """All of it, or of a tall image the part around the window."""
        rows, columns = self.plane.shape
        height = min(1.0, TALLEST * columns / rows)
        middle = self.window[0] + self.window[2] / 2
        return (min(max(middle - height / 2, 0.0), 1 - height), 0.0, height, 1.0)


def busiest(plane: np.ndarray, side_px: int) -> tuple[int, int]:
    """Corner (y, x) of the square of `side_px` in which the squared steps from pixel to pixel sum to most.

    >>> plane = np.zeros((30, 40))
    >>> plane[20, 30] = 1
    >>> y, x = busiest(plane, 8)
    >>> y <= 20 < y + 8 and x <= 30 < x + 8
    True
    """
    dy, dx = np.gradient(plane) if min(plane.shape) > 1 else (plane, plane)
    sums = np.pad((dy**2 + dx**2).cumsum(0).cumsum(1), ((1, 0), (1, 0)))
    inside = sums[side_px:, side_px:] - sums[:-side_px, side_px:] - sums[side_px:, :-side_px] + sums[:-side_px, :-side_px]
    y, x = np.unravel_index(int(np.argmax(inside)), inside.shape)
    return int(y), int(x)


def _panel(name: str, frame: _Frame, places: _Places) -> Panel:
    plane = frame.plane(places.depth)
    low, high = (float(v) for v in np.percentile(plane, SHOWN_PERCENTILES))
    low = 0.0 if name == "uncertainty" else low
    high = high if high > low else low + 1
    title, says = WORDS.get(name, (label(name), ""))
    whole = _whole(plane, places, frame.x_um, low, high)
    closer = _view(_cut(plane, places.window), frame.x_um, low, high)
    return Panel(name, title, says, low, high, whole, closer, _side(frame, places, low, high))


def _whole(plane: np.ndarray, places: _Places, x_um: float | None, low: float, high: float) -> View:
    rows, columns = plane.shape
    field = _cut(plane, places.field)
    k = -(-max(field.shape) // MOST_PX)
    y, x, height, width = places.window
    top = places.field[0]
    box = (x * columns / k, (y - top) * rows / k, width * columns / k, height * rows / k)
    return _view(field, x_um, low, high, k, box)


def _side(frame: _Frame, places: _Places, low: float, high: float) -> View | None:
    """The x-z section through the middle of the window, on square pixels: planes lie farther apart than pixels."""
    if frame.shape[0] == 1:
        return None
    section = frame.section(places.window[0] + places.window[2] / 2)
    aspect = 1.0 if frame.z_um is None or frame.x_um is None else frame.z_um / frame.x_um
    k = max(1, math.ceil(section.shape[1] / MOST_PX), math.ceil(len(section) * aspect / MOST_SIDE_PX))
    section = binned(section, 1, k)
    rows = max(1, round(len(section) * aspect / k))
    nearest = ((np.arange(rows) + 0.5) / rows * len(section)).astype(int)
    view = _view(section[nearest], frame.x_um, low, high)
    return View(view.png, view.height_px, view.width_px, None if frame.x_um is None else k * frame.x_um, k)


def _cut(plane: np.ndarray, box: Box) -> np.ndarray:
    """The part of a plane that a box covers."""
    (rows, columns), (y, x, height, width) = plane.shape, box
    top, left = round(y * rows), round(x * columns)
    return plane[top : top + max(1, round(height * rows)), left : left + max(1, round(width * columns))]


def _view(plane: np.ndarray, x_um: float | None, low: float, high: float, k: int = 1, box_px: Box | None = None) -> View:
    import imagecodecs

    small = binned(plane, k, k)
    grey = np.rint(255 * np.clip((small - low) / (high - low), 0, 1)).astype(np.uint8)
    png = bytes(imagecodecs.png_encode(np.ascontiguousarray(grey), level=9))
    return View(png, *grey.shape, None if x_um is None else k * x_um, k, box_px)


def binned(plane: np.ndarray, rows: int, columns: int) -> np.ndarray:
    """Means over `rows` x `columns` pixels, without what is left over at the far ends; at least one pixel stays.

    >>> binned(np.arange(10.0).reshape(2, 5), 2, 2).tolist()
    [[3.0, 5.0]]
    """
    rows, columns = (min(k, n) for k, n in zip((rows, columns), plane.shape, strict=True))
    ny, nx = plane.shape[0] // rows, plane.shape[1] // columns
    return plane[: ny * rows, : nx * columns].reshape(ny, rows, nx, columns).mean((1, 3))
