"""Skewed stacks and results in the directions of camera and detection axis: interpolated once, at the end."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import replace

from zsdeconv.config import Config
from zsdeconv.errors import ConfigError
from zsdeconv.image import Image, ImageLike, deskewed, refuse_deskewed, scan_of
from zsdeconv.io import read


def upright_images(images: Mapping[str, Image], config: Config, raw_um: float) -> dict[str, Image]:
    """The images of a result, by their kind, deskewed (`zsdeconv.image.scan.deskewed`); none where they are not skewed or are to stay so.

    `raw_um` is the pixel size of the raw grid along y, of which those of all images are a fraction.
    """
    scan = config.input.scan
    if scan is None or not config.prediction.deskew:
        return {}
    return {kind: deskewed(image, scan, round(raw_um / image.spacing_um["Y"])) for kind, image in images.items()}


def deskew(
    image: ImageLike,
    *,
    scan_angle_deg: float | None = None,
    scan_step_um: float | None = None,
    scan_reverse: bool = False,
    axes: str | None = None,
    pixel_um: float | None = None,
) -> Image:
    """Deskew a stack of a stage that moves at an angle to the light sheet: as `zsdeconv deskew`.

    Noise goes through the interpolation: rows between two others have less of it, and neighbours share it. Restore a stack first
    (`zsdeconv.restore` takes the same arguments and deskews its results).

    Parameters
    ----------
    image
        An `Image`, the path of a file, or an array with `axes`.
    scan_angle_deg, scan_step_um, scan_reverse
        Angle between the planes of the camera and the motion of the stage, its step between two planes, and whether objects move towards
        the last row instead of the first; by default as the image states.
    axes, pixel_um
        Axes and lateral pixel size, by default those of the image.

    Raises
    ------
    ConfigError
        Where the scan is not known.
    ImageError
        As `deskewed`.

    Examples
    --------
    >>> import numpy as np
    >>> stack = Image(np.ones((3, 8, 5)), "ZYX", {"Y": 0.1, "X": 0.1})
    >>> deskew(stack, scan_angle_deg=30, scan_step_um=0.2).sizes
    {'Z': 3, 'Y': 12, 'X': 5}
    """
    loaded = _loaded(image, axes, pixel_um)
    scan = scan_of(loaded, scan_angle_deg, scan_step_um, scan_reverse)
    if scan is None:
        refuse_deskewed(loaded)
        raise ConfigError(
            f"{loaded.metadata.get('name', 'image')}: how it was scanned is not known; give scan_angle_deg (between the planes of the "
            "camera and the motion of the stage) and scan_step_um"
        )
    return deskewed(loaded, scan)


def _loaded(image: ImageLike, axes: str | None, pixel_um: float | None) -> Image:
    if isinstance(image, str | os.PathLike):
        return read(image, axes=axes, pixel_um=pixel_um)
    loaded = image if isinstance(image, Image) else Image(image, axes)
    given = {} if pixel_um is None else dict.fromkeys("YX", pixel_um)
    return replace(loaded, spacing_um={**loaded.spacing_um, **given})
