"""Raw frames that do not lie on each other are found by direction and phase, and moved back; dark ones are refused."""

import warnings

import numpy as np
import pytest

from sim.simulator import KC, OPTICS, PIXEL_UM, record, two_beams
from zsdeconv.errors import DataWarning, ImageError
from zsdeconv.sim.detection import detection_otf_2d
from zsdeconv.sim.estimate import estimate_parameters
from zsdeconv.sim.frame_light import light_finding, refuse_dark_frames
from zsdeconv.sim.patterns import Layout
from zsdeconv.sim.positions import frame_positions, moved_back
from zsdeconv.sim.steady import refined, steadied

CUTOFF_PER_PX = KC * PIXEL_UM
DETECTION = detection_otf_2d(OPTICS)
SHAPE = (112, 131)
DRIFT = np.stack([0.31 * np.arange(9), -0.2 * np.arange(9)], 1)
JUMP = np.where(np.arange(9)[:, None] == 5, (2.3, -1.6), 0.0)


def frames_of(photons: float, seed: int = 0, shift_px: np.ndarray | None = None) -> np.ndarray:
    """Raw frames above the offset, the noisy images of a camera that moved by `shift_px`."""
    recording = record(two_beams(), photons, np.random.default_rng(seed), SHAPE)
    if shift_px is None:
        return recording.frames
    return np.random.default_rng(seed).poisson(moved_back(recording.clean, -shift_px).clip(0)).astype(float)


@pytest.mark.parametrize("photons", [8, 60, 1000])
def test_frames_at_rest_are_left_alone(photons: float) -> None:
    for seed in range(3):
        found = frame_positions(frames_of(photons, seed), Layout(), CUTOFF_PER_PX)
        assert found is not None and not found.displaced.any() and found.words == "" and not found.correction_px.any()
        assert found.finding.level in ("ok", "not_checked")
        deviations = np.hypot(*found.shift_px.T) / found.error_px
        assert np.sqrt(np.mean(deviations**2)) < 3  # in two axes sqrt(2) by chance; the median of all frames and the side bands add to it


@pytest.mark.parametrize(("shift_px", "words"), [(DRIFT, "the raw frames drift: direction 3, phase 3"), (JUMP, "direction 2, phase 3 is")])
def test_displacements_are_measured_within_their_errors_and_undone(shift_px: np.ndarray, words: str) -> None:
    frames = frames_of(200, 1, shift_px)
    found = frame_positions(frames, Layout(), CUTOFF_PER_PX)
    assert found is not None and found.words.startswith(words) and found.finding.level == "warn"
    parameters = estimate_parameters(moved_back(frames, found.correction_px), PIXEL_UM, DETECTION).parameters
    better = refined(frames, found, parameters, DETECTION)
    errors = [np.abs(each.correction_px - shift_px).max() for each in (found, better)]
    assert errors[0] < 0.25 and errors[1] < 0.08  # pixels; a few standard errors, and those of the first frame
    assert better.error_px.max() < 0.05
    still = frame_positions(moved_back(frames, better.correction_px), Layout(), CUTOFF_PER_PX)
    assert still is not None and not still.displaced.any()
    with pytest.warns(DataWarning, match=r"moved back"):
        (steady,) = steadied([frames.astype(np.float32) + 100], parameters, DETECTION, 100.0)
    inner = (..., slice(20, -20), slice(20, -20))
    truth = record(two_beams(), 200, np.random.default_rng(1), SHAPE).clean
    assert np.std((steady - 100 - truth)[inner]) < 1.15 * np.std((frames_of(200, 1) - truth)[inner])


def test_movies_are_told_of_displacements_and_left_as_they_are() -> None:
    times = [frames_of(200, 2), frames_of(200, 2, JUMP)]
    parameters = estimate_parameters(times[0], PIXEL_UM, DETECTION).parameters
    with pytest.warns(DataWarning, match=r"time 2: direction 2, phase 3 .* left there"):
        same = steadied(times, parameters, DETECTION, 0.0)
    assert all(one is other for one, other in zip(same, times, strict=True))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert steadied(times[:1], parameters, DETECTION, 0.0)[0] is times[0]


def test_one_direction_and_nothing_to_see() -> None:
    rng = np.random.default_rng(3)
    assert frame_positions(rng.random((3, 64, 64)), Layout(1, 3), CUTOFF_PER_PX) is None
    found = frame_positions(rng.poisson(20.0, (9, 64, 71)).astype(float), Layout(), CUTOFF_PER_PX)
    assert found is not None and not found.displaced.any() and found.finding.level == "not_checked"


def test_a_shift_keeps_noise_white() -> None:
    noise = np.random.default_rng(4).normal(size=(1, 96, 101))
    moved = moved_back(noise, [[0.5, 0.37]])
    inner = moved[0, 10:-10, 10:-10]
    assert inner.std() == pytest.approx(1.0, abs=0.04)  # of 6000 values to 1 %, and half of the highest frequencies is lost
    assert abs(float(np.mean(inner[1:] * inner[:-1]))) < 0.05
    difference = moved_back(moved, [[-0.5, -0.37]]) - noise
    assert difference[0, 30:-30, 30:-30].std() < 0.15  # the highest frequency of an even size is lost


def test_dark_frames_are_refused_by_name_and_bleaching_is_not() -> None:
    frames = frames_of(100, 5)
    fading = frames * 0.96 ** np.arange(9)[:, None, None]
    refuse_dark_frames(fading, Layout())
    assert light_finding(fading, Layout()).level == "ok"
    dimmed = frames.copy()
    dimmed[4] *= 0.5
    assert light_finding(dimmed, Layout()).message.startswith("Direction 2, phase 2 is")
    dark = frames.copy()
    dark[4] = np.random.default_rng(0).normal(0, 1, SHAPE)
    with pytest.raises(ImageError, match=r"direction 2, phase 2 \(frame 5 of 9\) has"):
        estimate_parameters(dark, PIXEL_UM, DETECTION)
    with pytest.raises(ImageError, match=r"direction 3, phase 2 "):
        refuse_dark_frames(dark[[0, 1, 2, 3, 5, 7, 8, 4, 6]], Layout())
    parameters = estimate_parameters(frames, PIXEL_UM, DETECTION).parameters
    with pytest.raises(ImageError, match=r"time 2: direction 2, phase 2"):
        steadied([frames, dark], parameters, DETECTION, 0.0)
