"""Raw frames of structured illumination from files: planes, and stacks in any order of the pages."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from zsdeconv.errors import ImageError
from zsdeconv.image import Image
from zsdeconv.sim.patterns import Layout

MAX_PIXEL_ANISOTROPY = 0.01
"""Relative difference of the pixel sizes along y and x. Chosen: a larger one rotates diagonal fringes by more than 0.3 degrees."""
MIN_STACK_PHASES = 5
"""Law: three beams give five bands. From this number of phases on, more pages than directions x phases are the planes of a stack."""


def read_frames(
    path: str | Path,
    layout: Layout,
    *,
    axes: str | None = None,
    pixel_um: float | None = None,
    z_um: float | None = None,
    scene: str | None = None,
) -> Image:
    """The raw frames in a file as an image `TPYX`, or for a stack `TPZYX`: P counts the frames of a plane, in the order of `layout`.

    Pages along an unnamed axis, or along an axis of the length of the layout, are frames. A stack has five phases or more, and
    either an axis Z beside the axis of the frames (`axes` "ZPYX"), or one axis of planes x directions x phases pages, which
    `layout.order` separates.

    Parameters
    ----------
    path, layout
        File, and the order of its raw frames.
    axes, pixel_um, z_um
        Override the metadata of the file.
    scene
        Which image of a file with several.

    Raises
    ------
    ImageError
        When the pages are no multiple of the frames of a plane, when an axis is left over or pixels are not square; and as `read`.
    """
    from zsdeconv.io import check_restorable, read

    try:
        image = read(path, axes=axes, pixel_um=pixel_um, z_um=z_um, scene=scene)
    except ImageError:
        if axes is not None:
            raise
        image = read(path, axes="PYX", pixel_um=pixel_um, scene=scene)
    image = as_frames(image, layout, z_um=z_um, named=axes is not None)
    check_restorable(image)
    y, x = (image.spacing_um.get(axis) for axis in "YX")
    if y is not None and x is not None and abs(y / x - 1) > MAX_PIXEL_ANISOTROPY:
        limit = f"limit {100 * MAX_PIXEL_ANISOTROPY:g} % off"
        raise ImageError(f"pixels of {y:g} x {x:g} um: square ones are needed ({limit}); check the file, or give pixel_um")
    return image


def as_frames(image: Image, layout: Layout, *, z_um: float | None = None, named: bool = False) -> Image:
    """The raw frames of an image as `TPYX` or `TPZYX` (`read_frames`).

    Parameters
    ----------
    image, layout
        Image of the pages, and the order of its raw frames.
    z_um
        Overrides the step between planes of the image.
    named
        Whether the axes were named by the user: then only P holds frames.

    >>> import numpy as np
    >>> as_frames(Image(np.zeros((45, 8, 8)), "ZYX", {"Z": 0.125}), Layout(3, 5, "direction-z-phase")).sizes
    {'T': 1, 'P': 15, 'Z': 3, 'Y': 8, 'X': 8}
    """
    sizes = image.sizes
    spacing_um = dict(image.spacing_um) | ({} if z_um is None else {"Z": z_um})
    deep = layout.phases >= MIN_STACK_PHASES
    if deep and sizes.get("P") == layout.frames and sizes.get("Z", 1) > 1:
        return replace(image, spacing_um=spacing_um).transposed("TPZYX")
    pages = _page_axis(sizes, layout, named)
    if pages is not None:
        image = replace(image, axes=image.axes.replace(pages, "P"), spacing_um={a: um for a, um in spacing_um.items() if a in "YX"})
    if image.sizes.get("Z", 1) > 1 and not deep:
        raise ImageError(
            f"{image.sizes['Z']} planes of {layout.directions} directions x {layout.phases} phases: {MIN_STACK_PHASES} phases separate the "
            "bands of three beams in a stack, fewer those of two beams in a plane; give `axes=TPYX`, which takes each plane by itself, or "
            "`phases`"
        )
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
    """The axis other than P that holds the frames: the only one of their number, or for a stack of a multiple of it."""
    if named or "P" in sizes:
        return None
    others = [axis for axis in sizes if axis in "ZCT"]
    matching = [axis for axis in others if sizes[axis] == layout.frames]
    if not matching and layout.phases >= MIN_STACK_PHASES:
        long = [axis for axis in others if sizes[axis] > 1]
        matching = long if len(long) == 1 else [axis for axis in long if sizes[axis] % layout.frames == 0]
    return matching[0] if len(matching) == 1 else None
