"""One frame does not speak for all: the others are restored as if it had not been there, and it is told by number."""

import numpy as np
import pytest

import zsdeconv as zs
from zsdeconv.config import resolve
from zsdeconv.errors import DataWarning, ImageError
from zsdeconv.simulation.widefield import Scene, simulate_2d

SCENE = Scene(size=64, frames=6, photons=60, structure="network", seed=2)
SETTINGS = {
    "network": {"channels": (4, 8)},
    "training": {"patch_px": 24, "batch": 2, "steps": 4, "validate_every": 2},
    "prediction": {"passes": 2},
    "device": "cpu",
}


def restored(data: np.ndarray) -> zs.Restored:
    noisy = simulate_2d(SCENE).noisy
    return zs.restore(zs.Image(data, noisy.axes, noisy.spacing_um), SCENE.optics, config=resolve(SETTINGS))


@pytest.fixture(scope="module")
def movie() -> np.ndarray:
    return simulate_2d(SCENE).noisy.data


@pytest.fixture(scope="module")
def others(movie: np.ndarray) -> zs.Restored:
    """The movie without its fourth frame."""
    return restored(np.delete(movie, 3, 0))


@pytest.mark.parametrize("light", ["dark", "dropped"])
def test_a_frame_without_light_comes_back_without_light(movie: np.ndarray, others: zs.Restored, light: str) -> None:
    data = movie.copy()
    data[3] = 0 if light == "dropped" else np.random.default_rng(0).normal(100, 2, data[3].shape).round()
    with pytest.warns(DataWarning, match=r"frame 4 of 6 holds no light"):
        result = restored(data)
    for image, expected in ((result.denoised, others.denoised), (result.deconvolved, others.deconvolved)):
        assert not image.data[3].any()
        np.testing.assert_array_equal(np.delete(image.data, 3, 0), expected.data)
    assert result.model.camera == others.model.camera
    with pytest.warns(DataWarning, match=r"frame 4 of 6 holds no light"):
        again = result.model.predict(zs.Image(data, "TYX", others.raw.spacing_um))
    np.testing.assert_array_equal(again.denoised.data, result.denoised.data)


def test_a_flash_is_restored_and_sets_no_scale(movie: np.ndarray, others: zs.Restored) -> None:
    rng, data = np.random.default_rng(1), movie.copy()
    data[3] = 100 + rng.poisson(25 * simulate_2d(SCENE).clean.data[3])
    with pytest.warns(DataWarning, match=r"frame 4 of 6 has 2\d times the light of the others"):
        result = restored(data)
    np.testing.assert_array_equal(np.delete(result.denoised.data, 3, 0), others.denoised.data)
    ratio = result.denoised.data[3].mean() / others.denoised.data.mean()
    assert ratio == pytest.approx((data[3] - 100.0).mean() / (np.delete(movie, 3, 0) - 100.0).mean(), rel=0.15)  # four steps of training
    sections = {section.key: section for section in result.report().sections}
    assert sections["recording"].level == "warn" and "frame 4 of 6" in sections["recording"].findings[0].message
    assert sections["recording"].numbers["frames_of_other_brightness"] == [4]


def test_a_movie_with_one_frame_of_data_is_refused_as_before(movie: np.ndarray) -> None:
    data = movie[:2].copy()
    data[0] = 7
    with pytest.raises(ImageError, match="planes are constant"):
        restored(data)
