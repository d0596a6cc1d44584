"""A model restores images of another camera, and of another brightness, as its own; or refuses them."""

import dataclasses
import warnings

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter

import zsdeconv as zs
from zsdeconv.camera.detector import Camera
from zsdeconv.channels import load
from zsdeconv.errors import DataWarning, ImageError
from zsdeconv.model import Model, Restored
from zsdeconv.prediction.other_camera import CameraFrom, judge_contrast

UM = {"Y": 0.065, "X": 0.065}


def electrons(seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    grains = gaussian_filter((rng.random((96, 81)) < 0.012).astype(float), 1.6)
    return 90 * grains / np.percentile(grains, 99.8) + 3


def recorded(light: np.ndarray, seed: int, gain: float = 0.5, offset: float = 100.0) -> np.ndarray:
    rng = np.random.default_rng([seed, 3])
    return (gain * (rng.poisson(light) + rng.normal(0, 1.5, light.shape)) + offset).round().astype(np.uint16)


@pytest.fixture(scope="module")
def model() -> Model:
    return zs.train([zs.Image(recorded(electrons(), 0), "YX", UM)], zs.Optics(na=1.3, wavelength_nm=525), steps=6, seed=1)


def told(model: Model, image: np.ndarray, camera_from: CameraFrom = "auto") -> tuple[Restored, list[str]]:
    with warnings.catch_warnings(record=True) as messages:
        warnings.simplefilter("always")
        model = model if camera_from == model.camera_from else dataclasses.replace(model, camera_from=camera_from)
        restored = model.predict(zs.Image(image, "YX", UM), passes=2)
    return restored, [str(message.message) for message in messages if issubclass(message.category, DataWarning)]


def test_its_own_camera_is_used_for_other_fields(model: Model) -> None:
    restored, messages = told(model, recorded(electrons(1), 1))
    assert restored.model is model and not messages
    dim, messages = told(model, recorded(electrons(1) / 3, 1))
    assert dim.model.camera == model.camera and dim.model.unit.scale < 0.6 * model.unit.scale and not messages


@pytest.mark.parametrize(("scale", "shift"), [(1.0, 300.0), (4.0, -310.0), (16.0, 0.0), (1 / 60, -1.6)])
def test_counts_on_another_scale_come_back_on_that_scale(model: Model, scale: float, shift: float) -> None:
    image = recorded(electrons(1), 1)
    ours, _ = told(model, image, camera_from="image")
    theirs, messages = told(model, (image * scale + shift).astype(np.float32))
    assert len(messages) == 1 and "another camera than that of the training" in messages[0] and "Recalibrated: offset" in messages[0]
    # the calibration follows an affine map but for its iterations, a fraction of its error
    assert theirs.model.camera.gain == pytest.approx(ours.model.camera.gain * scale, rel=0.02)
    difference = theirs.denoised.data / scale - ours.denoised.data
    assert np.abs(difference).max() < 0.02 * float(np.ptp(ours.denoised.data))


def test_the_model_s_camera_is_used_when_told(model: Model) -> None:
    restored, messages = told(model, recorded(electrons(1), 1, offset=400.0), camera_from="model")
    assert restored.model.acquisition is model.acquisition and not messages


def test_an_unknown_camera_is_refused(model: Model) -> None:
    flat = np.random.default_rng(0).normal(3000, 6, (96, 96)).round().astype(np.uint16)
    with pytest.raises(ImageError, match=r"another camera .* brightness varies too little to measure its own gain; train on this image"):
        model.predict(zs.Image(flat, "YX", UM))


def test_lost_contrast_is_refused_or_told() -> None:
    with pytest.raises(ImageError, match=r"0.1 times as bright as in the training, and 62 % of its contrast .* give camera_from model"):
        judge_contrast(0.62, 0.1)
    with pytest.warns(DataWarning, match=r"0.1 times as bright .* 93 % of its contrast"):
        judge_contrast(0.93, 0.1)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        judge_contrast(0.98, 6.0)


def test_brightness_far_from_the_training_is_measured(model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    judged: list[float] = []
    monkeypatch.setattr("zsdeconv.prediction.other_camera.judge_contrast", lambda contrast, ratio: judged.append(ratio))
    told(model, recorded(electrons(1) * 8, 1))
    told(model, recorded(electrons(1) / 12, 1))
    assert judged[0] > 4 and judged[1] < 0.25


def test_what_is_known_of_the_camera_is_in_the_file(model: Model, tmp_path) -> None:
    assert model.gain_sigma > 0 and len(model.law_misfits) == 3
    again = load(model.save(tmp_path / "a.zsd"))
    assert again.known_camera == model.known_camera


def test_the_zero_of_another_camera_is_its_own(model: Model) -> None:
    wrong = dataclasses.replace(model, intensity_correction=dataclasses.replace(model.intensity_correction, dark_level=0.2))
    other = dataclasses.replace(model.known_camera, law=Camera(400.0, 1.0, 4.0), offset_sigma=0.3)
    changed = wrong.for_camera(other)
    assert changed.intensity_correction.dark_level == 0 and changed.offset_sigma == 0.3
    electrons_per_unit = [each.unit.scale / each.camera.gain for each in (changed, wrong)]
    assert electrons_per_unit[0] == pytest.approx(electrons_per_unit[1])
    measured = changed.acquisition.measure(np.full((4, 4), 400.0), torch.device("cpu"))
    assert float(measured.y.abs().max()) < 1e-6


def test_pixels_that_are_not_numbers_come_back_so(model: Model) -> None:
    image = recorded(electrons(1), 1).astype(np.float32)
    image[:30, :20], image[50, 60], image[70, 40] = np.nan, np.nan, np.inf
    restored, _ = told(model, image)
    missing = ~np.isfinite(image)
    for result in restored.images().values():
        finer = result.data.shape[0] // image.shape[0]
        assert np.array_equal(np.isnan(result.data), missing.repeat(finer, 0).repeat(finer, 1))
    whole, _ = told(model, recorded(electrons(1), 1))
    far = np.s_[60:, 40:]  # beyond the support of network and PSF hardly anything changes
    assert np.nanmax(np.abs(restored.denoised.data - whole.denoised.data)[far]) < 0.3 * float(np.ptp(whole.denoised.data))
