"""Time traces: slopes are those that were put in, noise in the regressor is known, flicker is seen."""

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from scipy.ndimage import gaussian_filter

from zsdeconv.camera.detector import Camera
from zsdeconv.errors import ImageError
from zsdeconv.report.checks.series import Series, measure, section
from zsdeconv.report.statistics.traces import bright_places, step_variance

CAMERA = Camera(0.0, 1.6, 5.0)
FRAMES = 31


def movie(change: float = 1.0, seed: int = 0) -> np.ndarray:
    """Still filaments of smoothed noise, and three places that change: a step, a decay, an oscillation."""
    rng, t = np.random.default_rng(seed), np.arange(FRAMES)
    still = gaussian_filter(rng.random((70, 83)), 1.5)
    still = 30 * np.clip(still - np.median(still), 0, None) / still.std() + 2
    y, x = np.mgrid[:70, :83]
    frames = np.repeat(still[None], FRAMES, 0)
    courses = [np.where(t > 12, 1.0, 0.0), np.exp(-t / 6), 0.5 * np.sin(t / 2)]
    for course, (cy, cx) in zip(courses, [(18, 20), (45, 60), (55, 17)], strict=True):
        spot = 80 * np.exp(-((y - cy) ** 2 + (x - cx) ** 2) / 50)
        frames = frames + spot * (1 + change * course)[:, None, None]
    return frames


def recorded(clean: np.ndarray, seed: int = 1) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return CAMERA.gain * rng.poisson(clean / CAMERA.gain) + rng.normal(0, CAMERA.read_noise, clean.shape)


def levels(found: Series) -> dict[str, str]:
    return {finding.name: finding.level for finding in section(found).findings}


def test_a_right_restoration_has_slope_one_and_no_flicker() -> None:
    clean = movie()
    found = measure(recorded(clean), clean, CAMERA)
    assert found.slope == pytest.approx(1, abs=0.015) and found.noise_share is not None
    assert found.noise_share < 0.02 and len(found.active) >= 3
    assert found.r is not None and found.r > 0.99
    # some still tiles feel the rims of what changes
    assert found.pixel_variance is not None and found.pixel_variance < 0.02 and found.static_tiles > 5
    assert found.tile_variance is not None and found.tile_variance < 0.3
    assert set(levels(found).values()) == {"ok"}


def test_the_slope_of_a_noise_free_restoration_is_too_small_by_the_share_of_noise() -> None:
    clean = movie()
    found = [measure(recorded(clean, seed), clean, Camera(0.0, 1.6, 5.0), region_px=6) for seed in range(20)]
    slopes, shares = np.array([f.slope for f in found]), np.array([f.noise_share for f in found])
    # chance moves the mean of 20 slopes by a quarter of a percent
    assert 0.01 < shares.mean() < 0.1
    assert (slopes + shares).mean() == pytest.approx(1, abs=0.006)


def test_a_restoration_that_keeps_the_noise_of_whole_regions_has_no_bias() -> None:
    raw = recorded(movie())
    found = measure(raw, gaussian_filter(raw, (0, 0.8, 0.8)), CAMERA)
    assert found.slope == pytest.approx(1, abs=0.015)  # the blur moves some light out of the squares
    assert found.pixel_variance is not None and found.pixel_variance < 0.3
    assert found.tile_variance == pytest.approx(0.9, abs=0.15)


@pytest.mark.parametrize("kept", [0.7, 0.95, 1.2])
def test_damped_and_exaggerated_changes_are_measured(kept: float) -> None:
    clean = movie()
    restored = clean.mean(0) + kept * (clean - clean.mean(0))
    found = measure(recorded(clean), restored, CAMERA)
    assert found.slope is not None and found.noise_share is not None
    assert found.slope / (1 - found.noise_share) == pytest.approx(kept, rel=0.02)
    assert levels(found)["trace_slope"] == {0.7: "fail", 0.95: "warn", 1.2: "fail"}[kept]
    assert all(region.slope == pytest.approx(kept, abs=0.12) for region in found.active)


def test_a_wrong_course_lowers_the_correlation() -> None:
    clean = movie()
    late = np.concatenate([clean[:1].repeat(4, 0), clean[:-4]])
    found = measure(recorded(clean), late, CAMERA)
    assert found.r is not None and found.r < 0.95 and levels(found)["trace_correlation"] == "fail"


def test_flicker_is_seen_in_what_does_not_change() -> None:
    clean, rng = movie(), np.random.default_rng(4)
    flickering = clean * (1 + 0.06 * rng.normal(size=FRAMES))[:, None, None]
    found = measure(recorded(clean), flickering, CAMERA)
    assert found.tile_variance is not None and found.tile_variance > 2
    assert found.pixel_variance is not None and found.pixel_variance < 0.2
    assert levels(found)["flicker"] == "fail"


def test_fine_grids_are_binned_and_stacks_averaged() -> None:
    clean = movie()
    raw = recorded(clean)
    expected = measure(raw, clean, CAMERA)
    fine = measure(raw, clean.repeat(2, 1).repeat(2, 2), CAMERA)
    assert fine.slope == pytest.approx(expected.slope, rel=1e-12) and fine.r == pytest.approx(expected.r, rel=1e-12)
    stack = np.stack([recorded(clean, seed) for seed in (1, 2, 3)], 1)
    deep = measure(stack, clean[:, None].repeat(3, 1), CAMERA)
    assert deep.noise_share is not None and expected.noise_share is not None
    # a third of the noise; with it a few more regions are seen to change
    assert deep.noise_share < 0.6 * expected.noise_share and deep.slope == pytest.approx(1, abs=0.01)
    assert deep.static_tiles > 5


def test_noise_of_a_trace_is_that_of_its_law_and_can_do_without() -> None:
    raw = recorded(movie(change=0.0))
    known = measure(raw, raw, CAMERA, region_px=10)
    assert known.active == [] and known.slope is None and known.static_tiles > 40
    assert known.pixel_variance == known.tile_variance == 1
    traces = raw.reshape(FRAMES, 7, 10, 83)[..., :80].reshape(FRAMES, 7, 10, 8, 10).mean((2, 4))
    law = CAMERA.variance(traces.mean(0)) / 100
    assert step_variance(traces) == pytest.approx(law.mean(), rel=0.1)
    unknown = measure(recorded(movie()), movie())
    assert unknown.slope == pytest.approx(1, abs=0.03) and unknown.static_tiles > 0


def test_a_series_in_which_nothing_happens_says_so() -> None:
    judged = section(measure(recorded(movie(change=0.0)), movie(change=0.0), CAMERA))
    assert judged.level == "ok" and judged.findings[0].level == "not_checked" and judged.figures == []
    assert judged.numbers["slope"] is None


def test_where_everything_changes_no_flicker_can_be_judged() -> None:
    pulsing = movie(change=0.0) * (1.5 + np.cos(np.arange(FRAMES)))[:, None, None]
    judged = section(measure(recorded(pulsing), pulsing, CAMERA))
    assert judged.numbers["static_tiles"] == 0 and judged.findings[-1].level == "not_checked"
    assert judged.findings[0].level == "ok"


def test_regions_are_the_brightest_squares_and_do_not_overlap() -> None:
    image = movie()[0]
    places = bright_places(image, 11)
    mask = np.zeros(image.shape, int)
    for y, x in places:
        mask[y : y + 11, x : x + 11] += 1
    assert mask.max() == 1 and len(places) > 5
    sums = [image[y : y + 11, x : x + 11].sum() for y, x in places]
    assert sums == sorted(sums, reverse=True)
    every = [image[y : y + 11, x : x + 11].sum() for y in range(60) for x in range(73)]
    assert sums[0] == pytest.approx(max(every))


def test_series_that_cannot_be_compared_are_refused() -> None:
    frames = np.ones((6, 30, 32))
    with pytest.raises(ImageError, match=r"\(5, 30, 32\).*\(6, 30, 32\)"):
        measure(frames, frames[:5])
    with pytest.raises(ImageError, match="3 frames"):
        measure(frames[:3], frames[:3])
    with pytest.raises(ImageError, match="30 x 32"):
        measure(frames, frames, region_px=31)


def test_the_traces_are_drawn() -> None:
    clean = movie()
    for captioned in section(measure(recorded(clean), clean, CAMERA)).figures:
        figure = Figure(figsize=captioned.size_in, layout="constrained")
        captioned.draw(figure)
        FigureCanvasAgg(figure).draw()
        assert figure.axes[0].lines
