"""Frames without light, flashes and repetitions are found by their number, and nothing that a sample does is taken for them."""

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from zsdeconv.camera.odd_frames import find_odd_frames

SHAPE = (61, 83)


def sample(seed: int, spots: int = 40, haze: float = 0.02) -> np.ndarray:
    """Light of spots on haze, at most 1."""
    rng = np.random.default_rng(seed)
    image = np.zeros(SHAPE)
    image[tuple(rng.integers(0, n, spots) for n in SHAPE)] = rng.uniform(0.3, 1.0, spots)
    image = gaussian_filter(image, 1.3)
    return image / image.max() + haze


def recorded(light: np.ndarray, seed: int = 0, offset: float = 100.0) -> list[np.ndarray]:
    """Frames (t y x) of so many electrons a pixel under a camera of gain 0.5 and read noise 1."""
    rng = np.random.default_rng(seed)
    counts = 0.5 * rng.poisson(light) + rng.normal(offset, 1.0, light.shape)
    return list(counts.round().clip(0).astype(np.uint16))


def movie(course: list[float], photons: float = 30.0, seed: int = 0) -> list[np.ndarray]:
    return recorded(photons * np.array(course)[:, None, None] * sample(seed), seed)


@pytest.mark.parametrize("photons", [20, 60, 400])
@pytest.mark.parametrize("place", [0, 3, 6])
def test_a_dark_frame_is_found_at_any_light(photons: float, place: int) -> None:
    for seed in range(3):
        course = [1.0] * 7
        course[place] = 0.0
        found = find_odd_frames(movie(course, photons, seed))
        assert (found.dark, found.unlike, found.repeated) == ((place,), {}, ())
        assert found.words == [f"frame {place + 1} of 7 holds no light: it is left out, and given back without light"]
        assert found.ordinary == [n for n in range(7) if n != place]


@pytest.mark.parametrize(("ratio", "place"), [(4.0, 2), (30.0, 3), (30.0, 6), (30.0, 0)])
def test_a_flash_is_found_with_its_brightness(ratio: float, place: int) -> None:
    course = [1.0] * 7
    course[place] = ratio
    found = find_odd_frames(movie(course))
    assert found.bright == [place] and not found.dark
    assert found.unlike[place] == pytest.approx(ratio, rel=0.15)  # the reference holds noise, which lowers a slope


def test_stray_light_on_the_whole_field_is_a_flash() -> None:
    frames = movie([1.0] * 6)
    frames[2] = frames[2] + np.uint16(900)
    assert find_odd_frames(frames).bright == [2]


def test_a_shutter_half_closed_is_told() -> None:
    found = find_odd_frames(movie([1, 1, 1, 0.2, 1, 1, 1, 1], 200))
    assert list(found.unlike) == [3] and not found.bright and not found.dark


@pytest.mark.parametrize("photons", [3, 30, 300])
def test_what_samples_do_is_no_fault(photons: float) -> None:
    t = np.arange(12)
    courses = {
        "steady": np.ones(12),
        "bleaching by half": 0.5 ** (t / 11),
        "bleaching to a tenth": 0.1 ** (t / 11),
        "a step": np.where(t < 6, 1.0, 8.0),
        "a pulsed lamp": np.where(t % 2, 1.0, 6.0),
        "waves": 1 + 0.8 * np.sin(t),
    }
    for name, course in courses.items():
        for seed in range(3):
            assert not find_odd_frames(movie(list(course), photons, seed)), (name, seed)


def test_blinks_bursts_and_motion_are_no_fault() -> None:
    cells = [sample(seed, 3, 0.0) for seed in range(8)]
    rng = np.random.default_rng(5)
    for burst in (0.0, 12.0):
        course = np.ones((8, 14))
        course[rng.integers(0, 8, 3), rng.integers(3, 11, 3)] = burst
        light = np.einsum("ct,cyx->tyx", course, np.stack(cells)) + 0.05
        assert not find_odd_frames(recorded(50 * light))
    moving = np.stack([np.roll(sample(1), 3 * n, 1) for n in range(12)])
    assert not find_odd_frames(recorded(40 * moving))


def test_dim_ends_of_a_stack_taken_for_a_movie_are_no_flashes() -> None:
    focus = np.exp(-(((np.arange(16) - 7.3) / 4) ** 2))
    assert not find_odd_frames(movie(list(focus + 0.02), 200)).unlike


def test_a_dropped_frame_and_copies() -> None:
    frames = movie([1.0] * 5)
    frames[1] = np.zeros_like(frames[1])
    frames[4] = frames[3]
    found = find_odd_frames(frames)
    assert (found.dark, found.repeated, found.ordinary) == ((1,), (4,), [0, 2, 3, 4])
    assert found.words[1] == "frame 5 of 5 is an exact copy of the one before: it holds no new data"
    assert find_odd_frames(frames[:2]).dark == (1,)
    assert not find_odd_frames([np.zeros(SHAPE, np.uint16)])


def test_stacks_and_a_long_dark_start() -> None:
    course = [0.0] * 6 + [1.0] * 5
    frames = movie(course)
    found = find_odd_frames([np.stack([frame, frame[::-1], frame]) for frame in frames])
    assert found.dark == tuple(range(6)) and not found.unlike
    assert found.words[0].startswith("frames 1, 2, 3, 4, 5, 6 of 11 hold no light: they are left out")


def test_a_few_photons_are_no_reason_for_anything() -> None:
    light = np.full((9, *SHAPE), 0.001)
    assert not find_odd_frames(list(np.random.default_rng(0).poisson(light))).unlike
