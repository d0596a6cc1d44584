"""Calibration from the frames of images of any size."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from zsdeconv.camera.calibrate import Calibration, calibrate

MAX_CALIBRATION_PX = 2**23
"""Pixels used for a calibration, in whole planes. Chosen: the statistical error is negligible beyond."""


def calibrate_frames(
    frames: Sequence[np.ndarray], offset: float | None = None, detector: str = "auto", *, memory: bool = True
) -> Calibration:
    """The camera of `frames` (`... y x`, ADU), from evenly spaced planes of the most common size.

    A given `offset` or kind of `detector` is kept; `memory` as of `calibrate`.

    >>> frame = np.random.default_rng(0).poisson(np.linspace(9, 200, 56), (48, 56))
    >>> calibrate_frames([frame], offset=0.0).camera.offset
    0.0
    """
    return calibrate(chosen_planes(frames), offset=offset, detector=detector, memory=memory)


def chosen_planes(frames: Sequence[np.ndarray]) -> np.ndarray:
    """Evenly spaced planes (t y x) of the most common size among `frames` (`... y x`), `MAX_CALIBRATION_PX` pixels at most.

    >>> chosen_planes([np.zeros((3, 20, 24)), np.zeros((20, 24)), np.zeros((9, 9))]).shape
    (4, 20, 24)
    """
    planes = [plane for frame in frames for plane in frame.reshape(-1, *frame.shape[-2:])]
    shapes = [plane.shape for plane in planes]
    common = max(set(shapes), key=shapes.count)
    alike = [plane for plane in planes if plane.shape == common]
    return np.stack(alike[:: -(-len(alike) // max(1, MAX_CALIBRATION_PX // alike[0].size))])
