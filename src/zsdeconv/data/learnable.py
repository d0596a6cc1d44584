"""From frames as they were recorded to those that a network can learn from, and the camera that recorded them."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from zsdeconv.camera.bright_objects import told_of
from zsdeconv.camera.calibrate import Calibration
from zsdeconv.camera.compare import refuse_two_cameras
from zsdeconv.camera.defects import beyond_law, clean, filled, known_frames, told, without_bright_objects
from zsdeconv.camera.detector import Camera
from zsdeconv.camera.frames import calibrate_frames
from zsdeconv.camera.maps import CameraMaps, examined
from zsdeconv.camera.odd_frames import find_odd_frames
from zsdeconv.config import InputSection
from zsdeconv.errors import DataWarning


@dataclass(frozen=True)
class Learnable:
    """Frames that a network can learn from and their camera; in words the pixels (`left_out`) and the `odd_frames` that hold no data."""

    frames: list[np.ndarray]
    calibration: Calibration
    left_out: str
    odd_frames: list[str]


def learnable(
    series: Sequence[Sequence[np.ndarray]],
    names: Sequence[str],
    settings: InputSection,
    maps: CameraMaps | None,
    *,
    memory: bool,
    bright: bool,
) -> Learnable:
    """The frames of all series (`... y x`, ADU) that are like the others, equalised by camera maps, with pixels without data filled as the
    detector would have recorded them.

    Areas without data and odd frames are left out of the calibration. What was found becomes a warning (`DataWarning`).

    Parameters
    ----------
    series : the frames of each image
    names : of the images, for messages
    settings : what is known of the camera
    maps : of the camera, where there are any
    memory : whether the noise may be correlated between pixels (`zsdeconv.camera.calibrate`)
    bright : whether objects far brighter than all else are set aside

    Raises
    ------
    ImageError
        For images of two cameras, of another size than the maps, and without a rectangle in which noise can be measured.
    """
    groups, defects, words = [], [], []
    for name, recorded in zip(names, series, strict=True):
        frames, found = examined(recorded, maps)
        found = without_bright_objects(frames, found) if bright else found
        odd = find_odd_frames([filled(*each) for each in zip(frames, found, strict=True)])
        words += [f"{name}: {text}" if len(series) > 1 else text for text in odd.words]
        groups.append([frames[n] for n in odd.ordinary])
        defects += [found[n] for n in odd.ordinary]
    frames = [frame for group in groups for frame in group]
    known = known_frames(frames, defects)
    ends = np.cumsum([len(group) for group in groups])
    refuse_two_cameras([known[end - len(group) : end] for group, end in zip(groups, ends, strict=True)], names, settings.detector)
    calibration = _calibration(known, settings, maps, memory=memory)
    if maps is None:  # their bad pixels are known
        more = [beyond_law(frame, each, calibration.camera) for frame, each in zip(frames, defects, strict=True)]
        if told(more) != told(defects):
            defects, calibration = more, _calibration(known_frames(frames, more), settings, maps, memory=memory)
    unknown = defects if maps is None else [replace(each, pixels=each.pixels & ~maps.bad, areas=each.areas & ~maps.bad) for each in defects]
    without_data = [f"{text} were found, left out, and restored from their surroundings" for text in [told(unknown)] if text]
    aside = told_of([each.bright for each in defects])
    for text in (*words, *calibration.messages, *without_data, *([aside] if aside else [])):
        warnings.warn(text, DataWarning, stacklevel=3)
    left_out = "; ".join(text for text in (told(defects), aside) if text)
    return Learnable(clean(frames, calibration.camera, defects)[0], calibration, left_out, words)


def _calibration(known: Sequence[np.ndarray], settings: InputSection, maps: CameraMaps | None, *, memory: bool) -> Calibration:
    if maps is not None:
        return maps.calibrated(calibrate_frames(known, None, Camera.kind, memory=False))
    offset = None if settings.background == "auto" else float(settings.background)
    return calibrate_frames(known, offset, settings.detector, memory=memory)
