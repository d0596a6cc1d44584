"""Images as a page shows them: 8-bit thumbnails with an intensity range in ADU and a scale in um, small whatever the size of the image."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from zsdeconv.image import Image
from zsdeconv.report.page.text import label
from zsdeconv.report.page.thumbnails import Shades, Thumbnail, binned, range_words, stride

MAX_SIDE_PX = 360
"""Pixels of a thumbnail along either side. Chosen: a page of five images with three thumbnails each stays below 2 MB."""
MAX_SECTION_HEIGHT_PX = 180
"""Height of an x-z section. Chosen: it does not fill the page."""
SEARCHED_PX = 1024
"""Longer side of the image in which the busiest part is searched; larger images are binned. Chosen: the search takes milliseconds."""
CLOSEUP_PX, MIN_CLOSEUP_PX = 96, 16
"""Side of the close-up in pixels of the coarsest grid, and its smallest. Chosen: single pixels are visible, and structures whole."""
MAX_HEIGHT_RATIO = 2
"""Height of a thumbnail over its width: taller images are cropped to their busiest part. Chosen: pages are narrow."""
WORDS = {
    "raw": ("Raw", "Recorded by the camera."),
    "reconstructed": ("Reconstructed", "Linear reconstruction of the raw frames, with all their noise."),
    "denoised": ("Denoised", "Noise removed, blur unchanged."),
    "deconvolved": ("Deconvolved", "Noise and blur removed, on a finer grid."),
    "uncertainty": ("Uncertainty", "Standard error of the deconvolved image: 68 % of the pixels deviate by less."),
}
"""Title and explanation of the images of a restoration."""


@dataclass(frozen=True)
class Panel:
    """One image of a restoration: black is `low_adu`, white `high_adu`, linear between, in all its thumbnails.

    `whole` is the field, `closeup` its busiest part, `side` an x-z section of a stack.
    """

    key: str
    title: str
    explanation: str
    low_adu: float
    high_adu: float
    whole: Thumbnail
    closeup: Thumbnail
    side: Thumbnail | None

    @property
    def range_words(self) -> tuple[str, str]:
        """Black and white in ADU."""
        return range_words(self.low_adu, self.high_adu)


@dataclass(frozen=True)
class Gallery:
    """The panels of a restoration, all of the same parts; `position` names the plane and the time that they show."""

    panels: list[Panel]
    position: str

    @property
    def reduced(self) -> bool:
        """Whether any of the whole fields is shown smaller than it is."""
        return any(panel.whole.reduced > 1 for panel in self.panels)

    def pair(self) -> tuple[Panel, Panel] | None:
        """Before and after: the first image, and the deconvolved one."""
        after = [panel for panel in self.panels[1:] if panel.key == "deconvolved"]
        return (self.panels[0], after[0]) if after else None


def make_gallery(images: Mapping[str, Image]) -> Gallery:
    """Thumbnails of the same parts of each of the `images` (by name, as in `WORDS`; ADU; known offsets are subtracted).

    Movies show their central frame with data, stacks the plane with the most contrast and an x-z section, raw frames of structured
    illumination their mean. The busiest part is where the denoised image (or else the last one) changes most from pixel to pixel.

    >>> rng = np.random.default_rng(0)
    >>> gallery = make_gallery({"raw": Image(rng.random((40, 60)), "YX", {"Y": 0.1, "X": 0.1})})
    >>> gallery.panels[0].whole.width_px, gallery.panels[0].closeup.width_px, gallery.panels[0].whole.bar_um
    (60, 20, 1.0)
    """
    frames = {name: _Frame(image) for name, image in images.items()}
    if not frames:
        return Gallery([], "")
    reference = frames.get("denoised", list(frames.values())[-1])
    depth = reference.best_depth()
    parts = _Parts(reference, depth, min(frame.shape[-1] for frame in frames.values()))
    plane = f"plane {int(depth * reference.shape[0]) + 1} of {reference.shape[0]}" if reference.shape[0] > 1 else ""
    panels = [_panel(name, frame, parts) for name, frame in frames.items()]
    return Gallery(panels, ", ".join(filter(None, (reference.time_words, plane))))


Box = tuple[float, float, float, float]
"""A part of the field as fractions of it: y, x, height, width."""


class _Frame:
    """One time of an image, without copies (images can fill a good part of the memory): `p z y x`."""

    def __init__(self, image: Image) -> None:
        times = image.transposed("TCPZYX")
        time = _central_time(times.data)
        self.data, self.offset_adu = times.data[time, 0], image.offset
        self.time_words = f"frame {time + 1} of {len(times.data)}" if len(times.data) > 1 else ""
        self.z_um, self.x_um = (image.spacing_um.get(axis) for axis in "ZX")

    @property
    def shape(self) -> tuple[int, int, int]:
        """Planes, rows and columns."""
        return self.data.shape[-3:]

    def best_depth(self) -> float:
        """Position along z of the plane with the most contrast, as a fraction of the depth."""
        step = stride(self.shape[-2:])
        contrast = [float(_mean(self.data[:, z, ::step, ::step]).std(dtype=np.float64)) for z in range(self.shape[0])]
        return (int(np.argmax(contrast)) + 0.5) / self.shape[0]

    def plane(self, depth: float) -> np.ndarray:
        """A plane (y x), ADU."""
        return _mean(self.data[:, int(depth * self.shape[0])])

    def section(self, row: float) -> np.ndarray:
        """A section (z x) at a row given as a fraction of the height, ADU."""
        return _mean(self.data[:, :, int(row * self.shape[1])])


class _Parts:
    """The parts that are shown: a plane, the field, and the window in it in which the image is busiest."""

    def __init__(self, reference: _Frame, depth: float, columns: int) -> None:
        self.depth, self.plane = depth, reference.plane(depth)
        self.ratio = max(1, self.plane.shape[1] // columns)

    @cached_property
    def window(self) -> Box:
        """The busiest part, whole pixels of the coarsest grid."""
        rows, columns = (n // self.ratio for n in self.plane.shape)
        side = max(1, min(CLOSEUP_PX, max(MIN_CLOSEUP_PX, min(rows, columns) // 2), rows, columns))
        k = -(-max(rows, columns) // SEARCHED_PX)
        y, x = busiest(binned(self.plane, k * self.ratio, k * self.ratio), max(1, side // k))
        y, x = (min(k * at, n - side) for at, n in ((y, rows), (x, columns)))
        return (y / rows, x / columns, side / rows, side / columns)

    @cached_property
    def row(self) -> float:
        """The row of the window in which intensities vary most."""
        inside = _crop(self.plane, self.window)
        return self.window[0] + (int(np.argmax(inside.std(1, dtype=np.float64))) + 0.5) / self.plane.shape[0]

    @cached_property
    def field(self) -> Box:
        """The whole field, or the part of a tall image around the window."""
        rows, columns = self.plane.shape
        height = min(1.0, MAX_HEIGHT_RATIO * columns / rows)
        centre = self.window[0] + self.window[2] / 2
        return (min(max(centre - height / 2, 0.0), 1 - height), 0.0, height, 1.0)


def _central_time(data: np.ndarray) -> int:
    """The time nearest to the middle at which an image (`t ...`) is not constant."""
    order = sorted(range(len(data)), key=lambda time: abs(time - len(data) // 2))
    return next((time for time in order if data[time].min() < data[time].max()), order[0])


def busiest(plane: np.ndarray, side_px: int) -> tuple[int, int]:
    """Corner (y, x) of the square of `side_px` with the largest sum of squared differences between neighbouring pixels.

    >>> plane = np.zeros((30, 40))
    >>> plane[20, 30] = 1
    >>> y, x = busiest(plane, 8)
    >>> y <= 20 < y + 8 and x <= 30 < x + 8
    True
    """
    dy, dx = np.gradient(plane.astype(np.float64)) if min(plane.shape) > 1 else (plane, plane)
    sums = np.pad((dy**2 + dx**2).cumsum(0).cumsum(1), ((1, 0), (1, 0)))
    inside = sums[side_px:, side_px:] - sums[:-side_px, side_px:] - sums[side_px:, :-side_px] + sums[:-side_px, :-side_px]
    best = np.argwhere(inside >= (1 - 1e-9) * inside.max())  # of equal squares the central one, so that objects lie inside it
    y, x = best[len(best) // 2]
    return int(y), int(x)


def _panel(name: str, frame: _Frame, parts: _Parts) -> Panel:
    plane = frame.plane(parts.depth)
    shades = Shades.of(plane, frame.offset_adu or 0.0, from_zero=name == "uncertainty")
    title, explanation = WORDS.get(name, (label(name), ""))
    if len(frame.data) > 1:
        explanation += f" The mean of {len(frame.data)} raw frames."
    if frame.offset_adu is None:
        explanation += " The unknown offset of the camera is included."
    closeup = shades.thumbnail(_crop(plane, parts.window), frame.x_um)
    whole, side = _whole(plane, frame, parts, shades), _side(frame, parts, shades)
    return Panel(name, title, explanation, shades.low, shades.high, whole, closeup, side)


def _whole(plane: np.ndarray, frame: _Frame, parts: _Parts, shades: Shades) -> Thumbnail:
    rows, columns = plane.shape
    field = _crop(plane, parts.field)
    k = -(-max(field.shape) // MAX_SIDE_PX)
    y, x, height, width = parts.window
    box = (x * columns / k, (y - parts.field[0]) * rows / k, width * columns / k, height * rows / k)
    return shades.thumbnail(field, frame.x_um, k, box)


def _side(frame: _Frame, parts: _Parts, shades: Shades) -> Thumbnail | None:
    """The x-z section through the window on square pixels; planes lie farther apart than pixels."""
    if frame.shape[0] == 1:
        return None
    section = frame.section(parts.row)
    aspect = 1.0 if frame.z_um is None or frame.x_um is None else frame.z_um / frame.x_um
    k = max(1, math.ceil(section.shape[1] / MAX_SIDE_PX), math.ceil(len(section) * aspect / MAX_SECTION_HEIGHT_PX))
    section = binned(section, 1, k)
    rows = max(1, round(len(section) * aspect / k))
    nearest = ((np.arange(rows) + 0.5) / rows * len(section)).astype(int)
    return replace(shades.thumbnail(section[nearest], None if frame.x_um is None else k * frame.x_um), reduced=k)


def _crop(plane: np.ndarray, box: Box) -> np.ndarray:
    """The part of a plane that a box covers."""
    (rows, columns), (y, x, height, width) = plane.shape, box
    top, left = round(y * rows), round(x * columns)
    return plane[top : top + max(1, round(height * rows)), left : left + max(1, round(width * columns))]


def _mean(frames: np.ndarray) -> np.ndarray:
    """Mean over the first axis; a single frame is not copied."""
    return np.asarray(frames[0] if len(frames) == 1 else frames.mean(0, dtype=np.float32))
