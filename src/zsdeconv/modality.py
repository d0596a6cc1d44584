"""The table of modalities: what differs from one to the other is here, and nowhere else."""

from __future__ import annotations

from dataclasses import dataclass

from zsdeconv.errors import ConfigError, ImageError
from zsdeconv.image import Image


@dataclass(frozen=True)
class Modality:
    """A row of choices.

    `spatial_axes` are the axes a network works on, slowest first; along `sample_axes` an image holds samples of one model.
    `refine` lists the axes that get finer when super-resolving.
    """

    name: str
    spatial_axes: str
    sample_axes: str
    refine: str

    @property
    def rank(self) -> int:
        """Number of spatial axes."""
        return len(self.spatial_axes)

    def factors(self, scale: int) -> tuple[int, ...]:
        """How many fine pixels a raw pixel becomes along each spatial axis."""
        return tuple(scale if axis in self.refine else 1 for axis in self.spatial_axes)

    def accepts(self, image: Image) -> bool:
        """Whether the image has the spatial axes, and others only along which it holds samples or a single plane."""
        others = [a for a, n in image.sizes.items() if n > 1 and a not in self.spatial_axes + self.sample_axes]
        return not others and set(self.spatial_axes) <= set(image.axes)


MODALITIES = {row.name: row for row in (Modality("2d", spatial_axes="YX", sample_axes="T", refine="YX"),)}


def choose(requested: str, image: Image) -> Modality:
    """The row asked for, or with "auto" the first that accepts the image.

    Raises `ConfigError` for a name not in the table and `ImageError` for an image that does not fit.

    >>> import numpy as np
    >>> choose("auto", Image(np.zeros((4, 8, 8)), "TYX")).name
    '2d'
    """
    if requested != "auto" and requested not in MODALITIES:
        raise ConfigError(f"modality {requested!r}: this version has {', '.join(MODALITIES)}; give --modality auto")
    rows = MODALITIES.values() if requested == "auto" else [MODALITIES[requested]]
    for row in rows:
        if row.accepts(image):
            return row
    raise ImageError(f"axes {image.axes} of size {image.data.shape}: {_misfit(image, next(iter(rows)))}")


def _misfit(image: Image, row: Modality) -> str:
    missing = [a for a in row.spatial_axes if a not in image.axes]
    if missing:
        return f"the {row.name} method needs the axes {row.spatial_axes}, {missing[0]} is missing; give --axes"
    extra = next(a for a, n in image.sizes.items() if n > 1 and a not in row.spatial_axes + row.sample_axes)
    advice = {
        "C": "split the channels into files, each has its own light and its own model",
        "Z": f"if the {image.sizes[extra]} planes are time points give --axes with T, otherwise save single planes",
    }
    return f"{image.sizes[extra]} planes along {extra}; {advice.get(extra, 'give --axes, or save single frames')}"
