"""The frames of an image: what a camera records of one sample, and what all of them say about the camera."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from zsdeconv.camera import Calibration, calibrate
from zsdeconv.image import Image
from zsdeconv.modality import Modality

CALIBRATION_PX = 2**23
"""Pixels that the camera is measured on at most, in whole planes; more tell nothing new."""


def as_image(data: Any, modality: Modality) -> Image:
    """An array as an image whose last axes are the modality's, and the one before them its samples."""
    array, letters = np.asarray(data), modality.sample_axes + modality.recorded_axes
    if array.ndim > len(letters):
        array = array.squeeze()
    return Image(array, letters[-array.ndim :])


def ordered(image: Image, modality: Modality) -> Image:
    """The image with what the camera records of a sample last."""
    others = "".join(a for a in image.axes if a not in modality.recorded_axes)
    return image.transposed(others + modality.recorded_axes)


def frames_of(image: Image, modality: Modality) -> list[np.ndarray]:
    """Views of the samples of an `ordered` image."""
    return list(image.data.reshape(-1, *image.data.shape[-len(modality.recorded_axes) :]))


def calibration_of(frames: Sequence[np.ndarray], offset: float | None = None) -> Calibration:
    """The camera, measured on planes of one size that are spread over the `frames` (`... y x`, ADU); a given offset is kept."""
    planes = [plane for frame in frames for plane in frame.reshape(-1, *frame.shape[-2:])]
    shapes = [plane.shape for plane in planes]
    common = max(set(shapes), key=shapes.count)
    alike = [plane for plane in planes if plane.shape == common]
    chosen = alike[:: -(-len(alike) // max(1, CALIBRATION_PX // alike[0].size))]
    return calibrate(np.stack(chosen), offset=offset)
