"""Raw frames of structured illumination from files: of planes, and of stacks in whatever order they were taken."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from zsdeconv.errors import ImageError
from zsdeconv.image import Image
from zsdeconv.sim.patterns import Layout

SQUARE = 0.01
"""Relative difference of pixel sizes along y and x up to which pixels are square: more would turn the stripes."""
FIVE_BANDS = 5
"""From so many phases on, more pages than directions x phases are the planes of a stack under three beams."""


def read_frames(
    path: str | Path, layout: Layout, *, axes: str | None = None, pixel_um: float | None = None, z_um: float | None = None
) -> Image:
    """The raw frames in a file as an image `TPYX`, of a stack `TPZYX`: P counts the frames of a plane, in the order of `layout`.

    Pages without a name, or along an axis with as many as the layout has, are frames. A stack has five phases or more, and
    either an axis Z beside that of the frames (`--axes ZPYX`), or one axis of planes x directions x phases pages, which
    `layout.order` takes apart.

    Raises `ImageError` when the pages fill no whole planes, when an axis is left over or pixels are not square, and what `read`
    raises.
    """
    from zsdeconv.io import check_restorable, read

    try:
        image = read(path, axes=axes, pixel_um=pixel_um, z_um=z_um)
    except ImageError:
        if axes is not None:
            raise
        image = read(path, axes="PYX", pixel_um=pixel_um)
    image = as_frames(image, layout, z_um=z_um, named=axes is not None)
    check_restorable(image)
    y, x = (image.spacing_um.get(axis) for axis in "YX")
    if y is not None and x is not None and abs(y / x - 1) > SQUARE:
        limit = f"limit {100 * SQUARE:g} % off"
        raise ImageError(f"pixels of {y:g} x {x:g} um: square ones are needed ({limit}); check the file, or give --pixel-um")
    return image


def as_frames(image: Image, layout: Layout, *, z_um: float | None = None, named: bool = False) -> Image:
    """The raw frames of an image as `TPYX` or `TPZYX` (`read_frames`). `named` axes are what they say: only P are frames then.

    >>> import numpy as np
    >>> as_frames(Image(np.zeros((45, 8, 8)), "ZYX", {"Z": 0.125}), Layout(3, 5, "direction-z-phase")).sizes
    {'T': 1, 'P': 15, 'Z': 3, 'Y': 8, 'X': 8}
    """
    sizes = image.sizes
    spacing_um = dict(image.spacing_um) | ({} if z_um is None else {"Z": z_um})
    deep = layout.phases >= FIVE_BANDS
    if deep and sizes.get("P") == layout.frames and sizes.get("Z", 1) > 1:
        return replace(image, spacing_um=spacing_um).transposed("TPZYX")
    pages = _page_axis(sizes, layout, named)
    if pages is not None:
        image = replace(image, axes=image.axes.replace(pages, "P"), spacing_um={a: um for a, um in spacing_um.items() if a in "YX"})
    image = image.transposed("TPYX")
    count = image.sizes["P"]
    if not deep or count == layout.frames:
        layout.require(count)
        return image
    layout.planes(count)
    import numpy as np

    stacks = np.stack([layout.stack(moment) for moment in image.data])
    return replace(image, data=stacks, axes="TPZYX", spacing_um=spacing_um)


def _page_axis(sizes: Mapping[str, int], layout: Layout, named: bool) -> str | None:
    """The axis that is not called P and yet holds the frames: the only one with as many, or of a stack with whole planes of them."""
    if named or "P" in sizes:
        return None
    others = [axis for axis in sizes if axis in "ZCT"]
    alike = [axis for axis in others if sizes[axis] == layout.frames]
    if not alike and layout.phases >= FIVE_BANDS:
        long = [axis for axis in others if sizes[axis] > 1]
        alike = long if len(long) == 1 else [axis for axis in long if sizes[axis] % layout.frames == 0]
    return alike[0] if len(alike) == 1 else None
