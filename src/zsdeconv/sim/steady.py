"""Recordings whose raw frames do not lie on each other: moved back, and their pattern measured with the phases that this gives."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import torch

from zsdeconv.errors import DataWarning, ImageError, UserError
from zsdeconv.sim.detection import DetectionOtf2d, DetectionOtf3d
from zsdeconv.sim.estimate import Estimation
from zsdeconv.sim.frame_light import refuse_dark_frames
from zsdeconv.sim.patterns import Layout, SimParameters, illumination
from zsdeconv.sim.positions import FramePositions, displacements, frame_positions, moved_back
from zsdeconv.sim.prior import PatternPrior
from zsdeconv.sim.reconstruct import SIM_UPSAMPLING, Reconstruct
from zsdeconv.sim.spectra import Grid
from zsdeconv.sim.wiener import choose_wiener

MAX_TIMES = 8
"""Times of a movie whose raw frames are registered. Chosen: a drift shows in all of them, and registration takes a second each."""
REFINEMENTS = 2
"""Times that frames are registered to those that their reconstruction predicts. Chosen: a third one changes hardly a hundredth pixel."""

Estimate = Callable[[np.ndarray, PatternPrior], Estimation]


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


def estimated_on_displaced(
    frames: np.ndarray, positions: FramePositions, prior: PatternPrior, estimate: Estimate, detection: DetectionOtf2d | DetectionOtf3d
) -> Estimation:
    """The pattern of frames that do not lie on each other, measured after they are moved back.

    Either the fringes moved with the image, as when the camera moves, and phases still step evenly; or they stayed in place while the
    sample moved by s, and the phase of a frame that is moved back is larger by `2 pi p.s`. The higher correlation peaks decide.

    Parameters
    ----------
    frames : raw frames above the offset, as recorded (`frame *zyx`)
    positions : where they lie
    prior : what is known of the pattern
    estimate : estimation from frames and prior
    detection : OTF of the detection

    Raises
    ------
    UserError
        When neither has a pattern.
    """
    hypotheses: dict[str, Callable[[FramePositions], PatternPrior]] = {
        "moved with the image": lambda found: prior,
        "stayed in place while the sample moved": lambda found: _fixed(estimate(frames, prior), found, prior),
    }
    failed: UserError | None = None
    results: list[tuple[float, str]] = []
    for words, of in hypotheses.items():
        try:
            peaks = estimate(moved_back(frames, positions.correction_px), of(positions)).peaks
        except UserError as error:
            failed = failed or error
        else:
            results.append((float(np.mean([math.log(peak.score) for peak in peaks])), words))
    if not results:
        assert failed is not None
        raise failed
    best = max(results)[1]
    first = estimate(moved_back(frames, positions.correction_px), hypotheses[best](positions))
    final = refined(frames, positions, first.parameters, detection)
    estimation = estimate(moved_back(frames, final.correction_px), hypotheses[best](final))
    return replace(estimation, messages=(*estimation.messages, f"the fringes of displaced frames {best}"))


def _fixed(recorded: Estimation, positions: FramePositions, prior: PatternPrior) -> PatternPrior:
    """The prior with the phases of fringes that stayed in place, on frames that are moved back."""
    parameters, shift_um = recorded.parameters, recorded.parameters.pixel_um * positions.correction_px
    phases = [
        tuple(nominal + 2 * math.pi * float(np.dot(direction.p_per_um, shift_um[n])) for nominal, n in zip(steps, numbers, strict=True))
        for direction, numbers, steps in zip(parameters.directions, positions.layout.numbers, prior.phases(positions.layout), strict=True)
    ]
    return replace(prior, phases_rad=tuple(phases))
