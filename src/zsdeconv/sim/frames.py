"""Raw frames of structured illumination from a file."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from zsdeconv.errors import ImageError
from zsdeconv.image import Image
from zsdeconv.io import check_restorable, read
from zsdeconv.sim.patterns import Layout

SQUARE = 0.01
"""Relative difference of pixel sizes along y and x up to which pixels are square."""


def read_frames(path: str | Path, layout: Layout, *, axes: str | None = None, pixel_um: float | None = None) -> Image:
    """The raw frames in a file as P Y X, those of a movie as T P Y X.

    Planes without a name, or as many as the layout has along one axis, are frames.

    Raises `ImageError` for another number of frames, for pixels that are not square, and for images that cannot be restored.
    """
    try:
        image = read(path, axes=axes, pixel_um=pixel_um)
    except ImageError:
        if axes is not None:
            raise
        image = read(path, axes="PYX", pixel_um=pixel_um)
    alike = [axis for axis in image.axes if axis in "ZCT" and image.sizes[axis] == layout.frames]
    if axes is None and "P" not in image.axes and len(alike) == 1:
        spacing_um = {axis: um for axis, um in image.spacing_um.items() if axis != alike[0]}
        image = replace(image, axes=image.axes.replace(alike[0], "P"), spacing_um=spacing_um)
    image = image.transposed("TPYX" if image.sizes.get("T", 1) > 1 else "PYX")
    layout.require(image.sizes["P"])
    check_restorable(image)
    y, x = (image.spacing_um.get(axis) for axis in "YX")
    if y is not None and x is not None and abs(y / x - 1) > SQUARE:
        raise ImageError(
            f"pixels of {y:g} x {x:g} um: square ones are needed (limit {100 * SQUARE:g} % off); check the file, or give --pixel-um"
        )
    return image
