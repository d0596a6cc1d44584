"""The affine map between camera counts and the unit of the network."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from torch import Tensor

from zsdeconv.camera.detector import Camera

Pixels = TypeVar("Pixels", np.ndarray, Tensor)
PEAK_PERCENTILE = 99.9
"""Percentile of the brightest frame that is mapped to 1. Chosen: near the maximum, without single hot pixels."""


@dataclass(frozen=True)
class Affine:
    """`u = (y - offset) / scale`: camera counts `y` (ADU) to the unit `u` of the network, the same in training and prediction.

    >>> unit = Affine(offset=100.0, scale=50.0)
    >>> unit.to_unit(np.array([100.0, 150.0])), unit.to_adu(np.array([0.0, 1.0]))
    (array([0., 1.]), array([ 0., 50.]))
    """

    offset: float
    scale: float

    @classmethod
    def fitted(cls, frames: Sequence[np.ndarray], offset: float) -> Affine:
        """The map of the offset to 0 and of the largest 99.9th percentile of any frame to 1."""
        peak = max(float(np.percentile(frame, PEAK_PERCENTILE)) for frame in frames) - offset
        return cls(offset, max(peak, 1e-6 * max(abs(offset), 1.0)))

    def to_unit(self, adu: Pixels) -> Pixels:
        """Camera counts (ADU) to the unit of the network."""
        return (adu - self.offset) / self.scale

    def to_adu(self, unit: Pixels) -> Pixels:
        """The unit of the network to ADU above the offset."""
        return unit * self.scale

    def excess(self, frame: np.ndarray) -> float:
        """How many times brighter than 1 a frame is, at its 99.9th percentile; 1 at least.

        >>> Affine(100.0, 50.0).excess(np.full((4, 4), 250.0))
        3.0
        """
        return max(1.0, float(self.to_unit(np.percentile(frame, PEAK_PERCENTILE))))

    def dimmed(self, frame: np.ndarray, ratio: float) -> np.ndarray:
        """A frame (ADU) with so many times less light above the offset."""
        return self.offset + (frame - self.offset) / ratio

    def camera_in_unit(self, camera: Camera) -> Camera:
        """The variance law of the camera (Eq. 3) for images in the unit of the network."""
        return camera.in_unit(self.scale)
