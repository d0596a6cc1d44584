"""Images of another camera than that of the training: recognised by their noise, and restored in the same electrons."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Literal

import numpy as np

from zsdeconv.acquisition.base import Acquisition
from zsdeconv.camera.compare import KnownCamera, LawTest, compare
from zsdeconv.camera.frames import calibrate_frames
from zsdeconv.errors import ConfigError, DataWarning, ImageError

CameraFrom = Literal["auto", "image", "model"]
"""Whose camera is used: that of the model unless the noise of the image is another one's; always the image's; always the model's."""
MAX_RATIO = 4.0
"""Variance of an image over the model's, or the reverse, that is restored though its own camera cannot be measured. Chosen: training
draws noise of 2 to 5 times the variance of the image (alpha of 1 to 2), so the network has met such noise."""


def camera_of(known: KnownCamera, frames: Sequence[np.ndarray], camera_from: CameraFrom) -> KnownCamera:
    """The camera that recorded `frames` (`... y x`, ADU, without pixels that hold no data): `known` itself, or another one.

    Warns (`DataWarning`) of another camera.

    Parameters
    ----------
    known : the camera of the model
    frames : what is to be restored
    camera_from : whose camera is used

    Raises
    ------
    ImageError
        Where another camera has recorded the frames and they do not tell its gain.
    """
    if camera_from == "model":
        return known
    test = compare(known, frames)
    if camera_from == "auto" and not test.differs:
        return known
    own = KnownCamera.of(calibrate_frames(frames, detector=known.law.kind if known.law.kind == "counting" else "auto"))
    if camera_from == "image" or own.electrons_known:
        if test.differs:
            warnings.warn(_recalibrated(known, own, test), DataWarning, stacklevel=4)
        return own
    text = f"another camera than that of the training ({known.words}): {test.words}, and brightness varies too little to measure its own gain"
    if not 1 / MAX_RATIO < test.ratio < MAX_RATIO:
        raise ImageError(f"{text}; train on this image, or give camera_from model to restore it nevertheless")
    warnings.warn(f"{text}; it is restored with the camera of the model: check intensities and noise", DataWarning, stacklevel=4)
    return known


def _recalibrated(known: KnownCamera, own: KnownCamera, test: LawTest) -> str:
    text = f"another camera than that of the training ({known.words}): {test.words}. Recalibrated: {own.words}"
    return f"{text}, and the result is in its counts above its offset; give camera_from model to use the model's camera"


def with_camera(acquisition: Acquisition, known: KnownCamera, own: KnownCamera) -> Acquisition:
    """The acquisition of a model for the images of another camera: one unit of the network is as many electrons as in the training.

    What is equal is variance per signal, by which a network tells noise from light.

    Raises `ConfigError` where a camera has no gain.
    """
    if known.law.beta1 <= 0 or own.law.beta1 <= 0:
        raise ConfigError("gain 0: light of two cameras is compared in electrons; give camera_from model, or calibrate with flat frames")
    return acquisition.for_detector(own.law, own.law.beta1 / known.law.beta1)
