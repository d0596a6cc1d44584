"""Images of another camera than that of the training: recognised by their noise, and restored in the same electrons."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Literal

import numpy as np
import torch
from torch import nn

from zsdeconv.acquisition.base import Acquisition
from zsdeconv.camera.compare import KnownCamera, LawTest, compare
from zsdeconv.camera.frames import calibrate_frames
from zsdeconv.config import Config
from zsdeconv.data.normalize import Affine
from zsdeconv.errors import ConfigError, DataWarning, ImageError
from zsdeconv.findings import percent, times
from zsdeconv.prediction.photometry import IntensityCorrection, measure_intensity_correction

CameraFrom = Literal["auto", "image", "model"]
"""Whose camera is used: that of the model unless the noise of the image is another one's; always the image's; always the model's."""
MAX_RATIO = 4.0
"""Variance of an image over the model's, or the reverse, that is restored though its own camera cannot be measured. Chosen: training
draws noise of 2 to 5 times the variance of the image (alpha of 1 to 2), so the network has met such noise."""

SAME_BRIGHTNESS = 1.5
"""Ratio of the brightest places, or its reverse, up to which the scale of the training is kept. Measured: at a factor of 2 a scale of its
own gains 2.4 dB, at 1 nothing (conditions/predict_other_camera, 900 steps)."""
UNLIKE_BRIGHTNESS = 4.0
"""The same, from which the contrast that comes back is measured. Chosen: fields of one sample differ by less."""
CONTRAST_LIMITS = (0.8, 1.2)
"""Contrast of the denoised image over that of the sample, between which an image is restored. Chosen: intensities are a fifth off
beyond."""
MEASURED_PX = 2**16
"""Pixels on which the contrast is measured. Chosen: they know it to 1 % where there is light."""


def camera_of(known: KnownCamera, frames: Sequence[np.ndarray], camera_from: CameraFrom, *, memory: bool) -> KnownCamera:
    """The camera that recorded `frames` (`... y x`, ADU, without pixels that hold no data): `known` itself, or another one.

    Warns (`DataWarning`) of another camera.

    Parameters
    ----------
    known : the camera of the model
    frames : what is to be restored
    camera_from : auto or image
    memory : whether the noise may be correlated between pixels (`zsdeconv.camera.calibrate`)

    Raises
    ------
    ImageError
        Where another camera has recorded the frames and they do not tell its gain.
    """
    test = compare(known, frames)
    if camera_from == "auto" and not test.differs:
        return known
    kind = known.law.kind if known.law.kind == "counting" else "auto"
    own = KnownCamera.of(calibrate_frames(frames, detector=kind, memory=memory))
    if camera_from == "image" or own.electrons_known:
        if test.differs:
            warnings.warn(_recalibrated(known, own, test), DataWarning, stacklevel=4)
        return own
    text = (
        f"another camera than that of the training ({known.words}): {test.words}, and brightness varies too little to measure its own gain"
    )
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


def brightness(acquisition: Acquisition, frames: Sequence[np.ndarray]) -> float:
    """Brightest places of frames (ADU, all pixels with data) over those of the training; 1 within `SAME_BRIGHTNESS`.

    A network has learnt the shapes of one brightness: of dimmer ones it restores less contrast, and of brighter ones less detail.
    """
    own = Affine.fitted(frames, acquisition.unit.offset)
    ratio = own.scale / acquisition.unit.scale
    return 1.0 if 1 / SAME_BRIGHTNESS < ratio < SAME_BRIGHTNESS else ratio


def check_contrast(
    network: nn.Module, acquisition: Acquisition, frame: np.ndarray, correction: IntensityCorrection, config: Config, ratio: float
) -> None:
    """Measure the contrast that comes back of a `frame` (ADU) much dimmer or brighter (`ratio`) than the training, and judge it.

    It is measured as at the end of a training, whose `correction` it is compared with.

    Raises
    ------
    ImageError
        Where it is not restored.
    """
    if 1 / UNLIKE_BRIGHTNESS < ratio < UNLIKE_BRIGHTNESS:
        return
    measurement = acquisition.measure(frame, torch.device("cpu")).center_crop(MEASURED_PX)
    measured = measure_intensity_correction(network.cpu(), acquisition, [measurement], config.pairs.prediction_alpha, seed=config.seed)
    judge_contrast(measured.denoised.slope / correction.denoised.slope, ratio)


def judge_contrast(contrast: float, ratio: float) -> None:
    """Refuse an image of another brightness (`ratio` to that of the training) whose `contrast` (1 is all) is not restored, or warn of it.

    Raises
    ------
    ImageError
        Where less or more of the contrast comes back than `CONTRAST_LIMITS` allow.
    """
    dimmer = f"{times(ratio)} as bright as in the training"
    if not CONTRAST_LIMITS[0] <= contrast <= CONTRAST_LIMITS[1]:
        limits = f"limits {100 * CONTRAST_LIMITS[0]:.0f} to {100 * CONTRAST_LIMITS[1]:.0f} %"
        text = f"the image is {dimmer}, and {percent(contrast)} of its contrast would come back ({limits})"
        raise ImageError(f"{text}; train on this image, or give camera_from model to restore it nevertheless")
    if ratio < 1:
        told = f"{percent(contrast)} of its contrast comes back, and more of its detail is lost in noise"
        warnings.warn(f"the image is {dimmer}: {told}; train on this image for the best result", DataWarning, stacklevel=4)
