"""Results of a scan at an angle in the directions of camera and detection axis: interpolated once, at the end, without noise."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from zsdeconv.errors import ConfigError
from zsdeconv.image import deskewed

if TYPE_CHECKING:
    from zsdeconv.model import Restored


def upright(restored: Restored, wanted: bool | None = None) -> Restored:
    """A result with its images deskewed (`zsdeconv.image.scan.deskewed`), which keeps itself as `skewed`; as it is where its planes lie
    above each other, or where it is not wanted.

    `wanted` is by default what the configuration of the model says. Raises `ConfigError` where it is given for a model of other stacks.
    """
    model = restored.model
    scan = model.config.input.scan
    if scan is None:
        if wanted is not None:
            raise ConfigError(f"`deskew={wanted}`: the model was not trained on a scan at an angle, nothing is skewed; leave it out")
        return restored
    if not (model.config.prediction.deskew if wanted is None else wanted):
        return restored
    factors = {kind: round(model.spacing_um[-2] / image.spacing_um["Y"]) for kind, image in restored.images().items()}
    return replace(restored, **{kind: deskewed(image, scan, factors[kind]) for kind, image in restored.images().items()}, skewed=restored)
