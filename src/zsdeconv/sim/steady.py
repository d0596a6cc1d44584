"""Recordings whose raw frames do not lie on each other, moved back.

Where the whole image moved, the fringes of moved frames step evenly again. Where the sample moved under fringes that stayed in place, their
phases then differ from even steps by the displacement over the period. They are taken as even all the same: separation with the
true ones amplifies noise, and simulated images came out no better.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence

import numpy as np
import torch

from zsdeconv.errors import DataWarning, ImageError
from zsdeconv.sim.detection import DetectionOtf2d, DetectionOtf3d
from zsdeconv.sim.frame_light import refuse_dark_frames
from zsdeconv.sim.patterns import Layout, SimParameters, illumination
from zsdeconv.sim.positions import FramePositions, displacements, frame_positions, moved_back
from zsdeconv.sim.reconstruct import SIM_UPSAMPLING, Reconstruct
from zsdeconv.sim.spectra import Grid
from zsdeconv.sim.wiener import choose_wiener

MAX_TIMES = 8
"""Times of a movie whose raw frames are registered. Chosen: a drift shows in all of them, and registration takes a second each."""
REFINEMENTS = 2
"""Times that frames are registered to those that their reconstruction predicts. Chosen: a third one changes hardly a hundredth pixel."""


def steadied(
    samples: Sequence[np.ndarray], parameters: SimParameters, detection: DetectionOtf2d | DetectionOtf3d, offset: float
) -> list[np.ndarray]:
    """The samples as they are; a single one with its displaced frames moved back (float32). Warns (`DataWarning`) of displaced frames.

    Parameters
    ----------
    samples : raw frames of each time (`frame *zyx`, ADU)
    parameters : pattern, as measured on frames that were moved back
    detection : OTF of the detection
    offset : camera offset, ADU

    Raises
    ------
    ImageError
        For raw frames without light.
    """
    layout, cutoff_per_px = parameters.layout, detection.cutoff_per_um * parameters.pixel_um
    for number, sample in enumerate(samples, 1):
        _refuse_dark(sample - np.float32(offset), layout, f"time {number}: " if len(samples) > 1 else "")
    chosen = range(0, len(samples), -(-len(samples) // MAX_TIMES))
    found = {n: frame_positions(samples[n] - np.float32(offset), layout, cutoff_per_px) for n in chosen}
    moved = {n: positions for n, positions in found.items() if positions is not None and positions.displaced.any()}
    if len(samples) == 1 and moved:
        moved[0] = refined(samples[0] - np.float32(offset), moved[0], parameters, detection)
    for n, positions in moved.items():
        where, done = (f"time {n + 1}: ", "left there; restore such times one by one") if len(samples) > 1 else ("", "moved back")
        warnings.warn(f"{where}{positions.words}: {done}", DataWarning, stacklevel=3)
    return list(samples) if len(samples) > 1 or not moved else [moved_back(samples[0], moved[0].correction_px)]


def _refuse_dark(frames: np.ndarray, layout: Layout, where: str) -> None:
    try:
        refuse_dark_frames(frames, layout)
    except ImageError as error:
        raise ImageError(f"{where}{error}") from None


def refined(
    frames: np.ndarray, positions: FramePositions, parameters: SimParameters, detection: DetectionOtf2d | DetectionOtf3d
) -> FramePositions:
    """Positions of displaced frames (`frame y x`, above the offset), by registration to the frames that their reconstruction predicts.

    These contain the pattern, so all frequencies up to the cutoff can be compared. Positions of stacks are returned as they are.
    """
    if not isinstance(detection, DetectionOtf2d):
        return positions
    # Predicted from frames in which as many bands were fitted, the frames are closer to the prediction than to the truth.
    bands, count = 1 + 2 * parameters.orders * parameters.layout.directions, len(frames)
    freedom = math.sqrt(count / max(count - bands, 1))
    for _ in range(REFINEMENTS):
        steady = moved_back(frames, positions.correction_px)
        step, error = displacements(steady, _predicted(steady, parameters, detection), detection.cutoff_per_um * parameters.pixel_um)
        positions = positions.changed(step, freedom * error)
    return positions


def _predicted(frames: np.ndarray, parameters: SimParameters, detection: DetectionOtf2d) -> np.ndarray:
    """The frames (frame y x) that the reconstruction of `frames` gives under the pattern and through the lens."""
    pixel_um = parameters.pixel_um
    wiener = choose_wiener(frames, parameters, detection, pixel_um)
    reconstruct = Reconstruct(parameters, detection, pixel_um, wiener)
    image = reconstruct(torch.from_numpy(frames.astype(np.float32))[None])[0, 0].numpy()
    lit = np.fft.rfft2(image * illumination(parameters, image.shape, [reconstruct.fine_um] * 2))
    lens = detection(Grid(image.shape, reconstruct.fine_um).radius()[:, : lit.shape[-1]])
    return np.fft.irfft2(lit * lens, image.shape)[:, ::SIM_UPSAMPLING, ::SIM_UPSAMPLING]
