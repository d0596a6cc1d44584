"""Which pixels are learned from: all, or a fair sample of bounded size."""

import numpy as np
import pytest

from zsdeconv.data.regions import REGION_PX, training_regions


def test_small_data_are_taken_whole() -> None:
    frames = [np.zeros((20, 30)), np.zeros((20, 30))]
    assert all(region.pixels is frame for region, frame in zip(training_regions(frames, seed=0), frames, strict=True))


def movie() -> list[np.ndarray]:
    return [np.full((40, 50), float(n)) + np.linspace(0, 0.5, 2000).reshape(40, 50) for n in range(12)]


def test_large_data_are_bounded_without_copying() -> None:
    frames = movie()
    regions = training_regions(frames, seed=1, max_pixels=9000)
    assert 7000 <= sum(region.pixels.size for region in regions) <= 9000
    assert all(any(np.shares_memory(region.pixels, frame) for frame in frames) for region in regions)
    assert len({int(region.pixels.min()) for region in regions}) == len(regions)  # no frame twice while others are unseen


def test_the_seed_decides() -> None:
    first, again, other = (training_regions(movie(), seed, max_pixels=9000) for seed in (1, 1, 2))
    assert all(np.array_equal(a.pixels, b.pixels) for a, b in zip(first, again, strict=True))
    assert not all(np.array_equal(a.pixels, b.pixels) for a, b in zip(first, other, strict=True))


@pytest.mark.parametrize("depth", [(), (3,)])
def test_regions_of_a_large_frame_are_lateral_and_vary(depth: tuple[int, ...]) -> None:
    frame = np.broadcast_to(np.arange(1500.0)[:, None] + 1e4 * np.arange(1300.0), (*depth, 1500, 1300))
    regions = training_regions([frame], seed=0, max_pixels=frame.size - 1)
    width = int(REGION_PX / np.sqrt(np.prod(depth)))
    assert regions[0].pixels.shape == (*depth, width, width)
    window = tuple(slice(start, start + n) for start, n in zip(regions[0].start, regions[0].pixels.shape, strict=True))
    assert np.array_equal(frame[window], regions[0].pixels)
    assert frame.size / 2 < sum(region.pixels.size for region in regions) < frame.size
    starts = {float(training_regions([frame], seed, max_pixels=frame.size - 1)[0].pixels.flat[0]) for seed in range(5)}
    assert len(starts) == 5


def test_regions_of_a_thick_stack_are_boxes_from_anywhere_in_it() -> None:
    stack = np.broadcast_to(np.arange(300.0)[:, None, None], (300, 400, 500))
    regions = training_regions([stack], seed=0, max_pixels=stack.size // 4)
    assert {region.pixels.shape for region in regions} == {(64, 128, 128)}
    first = [float(region.pixels[0, 0, 0]) for region in regions]
    assert min(first) < 60 and 180 < max(first) <= 236
    assert sum(region.pixels.size for region in regions) <= stack.size // 4


def test_one_region_even_when_it_exceeds_the_bound() -> None:
    assert [r.pixels.shape for r in training_regions([np.zeros((64, 80))], seed=0, max_pixels=10)] == [(64, 80)]
