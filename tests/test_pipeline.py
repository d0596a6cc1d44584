"""The story end to end, on simulated frames with a known truth, at a size that trains in seconds."""

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import zsdeconv as zs
from zsdeconv.config import Config, resolve
from zsdeconv.errors import ConfigError, ImageError, OpticsError
from zsdeconv.image import Image
from zsdeconv.physics.psf import Psf
from zsdeconv.simulation.widefield import Scene, Simulation, simulate_2d, write_simulation
from zsdeconv.training.trainer import Event

pytestmark = pytest.mark.filterwarnings("ignore::zsdeconv.errors.DataWarning")  # so small an image says little about its camera

SCENE = Scene(structure="vesicles", photons=15, size=48, frames=2, seed=4, gain=1.5)


def tiny(steps: int = 60, scale: int = 2, **changes: Any) -> Config:
    settings = {
        "network": {"channels": (4, 8)},
        "training": {"patch_px": 24, "batch": 4, "steps": steps, "validate_every": 15},
        "prediction": {"passes": 2},
        "report": False,
        "input": {"background": SCENE.offset},
        "device": "cpu",
        "scale": scale,
    }
    return resolve(changes, settings)


@pytest.fixture(scope="module")
def simulation() -> Simulation:
    return simulate_2d(SCENE)


@pytest.fixture(scope="module")
def trained(simulation: Simulation) -> tuple[zs.Model, list[Event]]:
    events: list[Event] = []
    return zs.train([simulation.noisy], SCENE.optics, config=tiny(), callback=events.append), events


@pytest.fixture(scope="module")
def restored(simulation: Simulation, trained: tuple[zs.Model, list[Event]]) -> zs.Restored:
    return trained[0].predict(simulation.noisy)


def mean_square(x: np.ndarray) -> float:
    return float(np.mean(np.square(x, dtype=float)))


def test_denoised_is_far_better_than_raw(simulation: Simulation, restored: zs.Restored) -> None:
    clean = simulation.clean.data
    raw = mean_square(simulation.noisy.data - SCENE.offset - clean)
    assert mean_square(restored.denoised.data - clean) < raw / 3


def test_deconvolved_is_nearer_to_the_truth_than_the_denoised_image(simulation: Simulation, restored: zs.Restored) -> None:
    truth = simulation.truth.data
    enlarged = restored.denoised.data.repeat(2, 1).repeat(2, 2)
    assert mean_square(restored.deconvolved.data - truth) < mean_square(enlarged - truth)


def test_intensities_are_those_of_the_truth(simulation: Simulation, restored: zs.Restored) -> None:
    slope, intercept = np.polyfit(simulation.clean.data.ravel(), restored.denoised.data.ravel(), 1)
    # two frames of 48 x 48 and a noise of a third of the contrast: 2 % of statistics; uncorrected the slope is 0.86
    assert slope == pytest.approx(1.0, abs=0.08)
    assert restored.model.intensity_correction.denoised.slope < 0.9
    assert abs(intercept) < 0.05 * simulation.clean.data.max()
    for image in (restored.denoised, restored.deconvolved):
        assert float(image.data.mean()) == pytest.approx(float(simulation.clean.data.mean()), rel=0.05)


def test_a_movie_stays_a_movie_on_one_scale(simulation: Simulation, restored: zs.Restored) -> None:
    assert restored.deconvolved.axes == "TYX" and restored.deconvolved.data.shape == (2, 96, 96)
    assert restored.deconvolved.spacing_um["X"] == pytest.approx(SCENE.fine_um)
    single = [restored.model.predict(zs.Image(frame, "YX", simulation.noisy.spacing_um)).denoised.data for frame in simulation.noisy.data]
    np.testing.assert_allclose(restored.denoised.data.mean(0), np.mean(single, axis=0), rtol=1e-5, atol=1e-3)  # float32, tens of ADU
    assert np.abs(restored.denoised.data - single).max() < 0.1 * np.ptp(single)  # what is given back is smooth and small


def test_the_model_knows_how_it_came_to_be(trained: tuple[zs.Model, list[Event]]) -> None:
    model, events = trained
    assert [event["phase"] for event in events] == ["denoise"] * 3 + ["reimage"] * 2
    assert model.history == events
    assert model.provenance["version"] == zs.__version__
    assert model.provenance["sources"]["psf"] == "theory, optics from argument"
    assert model.camera.offset == SCENE.offset
    assert model.camera.gain == pytest.approx(SCENE.gain, rel=0.25)  # two small frames
    assert model.psf.spacing_um == pytest.approx((SCENE.fine_um, SCENE.fine_um))


def test_a_saved_model_restores_the_next_image_to_the_same_bits(simulation: Simulation, restored: zs.Restored, tmp_path: Path) -> None:
    again = zs.load(restored.model.save(tmp_path / "cell.zsd"))
    assert np.array_equal(again.predict(simulation.noisy).deconvolved.data, restored.deconvolved.data)


def test_same_seed_same_bits(simulation: Simulation) -> None:
    first, again, other = (zs.restore(simulation.noisy, SCENE.optics, config=tiny(4, seed=seed)) for seed in (1, 1, 2))
    assert np.array_equal(first.deconvolved.data, again.deconvolved.data)
    assert not np.array_equal(first.deconvolved.data, other.deconvolved.data)


def test_arrays_need_a_pixel_size(simulation: Simulation) -> None:
    data = simulation.noisy.data
    with pytest.raises(ImageError, match=r"pixel size along Y is missing.*pixel_um"):
        zs.restore(data, SCENE.optics, steps=2)
    result = zs.restore(data, SCENE.optics, pixel_um=0.065, steps=2, passes=0)
    assert result.deconvolved.data.shape == (2, 96, 96) and result.uncertainty is None
    assert result.deconvolved.spacing_um == {"Y": 0.0325, "X": 0.0325}


def test_scale_one(simulation: Simulation) -> None:
    result = zs.restore(simulation.noisy, SCENE.optics, config=tiny(4, scale=1))
    assert result.deconvolved.data.shape == (2, 48, 48)
    assert result.model.psf.spacing_um == pytest.approx((0.065, 0.065))


def test_odd_and_unequal_images_train_one_model(simulation: Simulation) -> None:
    parts = [simulation.noisy.data[0, :33, :47], simulation.noisy.data[1, :40, 7:]]
    images = [zs.Image(part, "YX", simulation.noisy.spacing_um) for part in parts]
    model = zs.train(images, SCENE.optics, config=tiny(2))
    assert model.predict(images[0]).deconvolved.data.shape == (66, 94)


def test_patches_smaller_than_the_psf_are_no_obstacle(simulation: Simulation) -> None:
    config = tiny(2, training={"patch_px": 8})
    assert np.isfinite(zs.restore(simulation.noisy, SCENE.optics, config=config).deconvolved.data).all()


def test_a_psf_comes_as_an_object_or_as_a_file(simulation: Simulation, tmp_path: Path) -> None:
    files = write_simulation(simulation, tmp_path)
    by_object = zs.train([simulation.noisy], psf=simulation.psf, config=tiny(1))
    by_setting = zs.train([simulation.noisy], config=tiny(1, optics={"psf": str(files["psf"])}))
    by_path = zs.train([simulation.noisy], psf=files["psf"], steps=1)
    assert by_object.provenance["sources"]["psf"] == "argument"
    for model in (by_setting, by_path):
        assert model.provenance["sources"]["psf"] == "PSF file"
        # resampled and rid of background once more: a per cent of the peak
        np.testing.assert_allclose(peak_region(model.psf), peak_region(by_object.psf), atol=0.02 * by_object.psf.values.max())


def peak_region(psf: Psf) -> np.ndarray:
    y, x = (n // 2 for n in psf.values.shape)
    return psf.values[y - 4 : y + 5, x - 4 : x + 5]


def test_a_psf_of_another_rank_is_refused(simulation: Simulation) -> None:
    solid = Psf.from_array(np.multiply.outer(np.hanning(7), np.outer(np.hanning(9), np.hanning(9))), (0.1, 0.03, 0.03), "a test")
    with pytest.raises(OpticsError, match="3-D, the image is 2-D"):
        zs.train([simulation.noisy], psf=solid, config=tiny(1))


def test_no_lens_at_all_is_refused(simulation: Simulation) -> None:
    with pytest.raises(OpticsError, match=r"NA and emission wavelength not given.*na.* and .*wavelength_nm.*, or .*psf"):
        zs.train([simulation.noisy], config=tiny(1))
    with pytest.raises(OpticsError, match=r"^emission wavelength not given.*wavelength_nm.*, or .*psf"):
        zs.train([simulation.noisy], na=1.4)


def test_all_missing_numbers_are_told_at_once() -> None:
    stack = zs.Image((np.random.default_rng(0).poisson(9, (6, 33, 35)) + 100).astype(np.uint16), "ZYX")
    every = r"pixel size, step between planes, NA and emission wavelength are missing.*give `pixel_um`, `z_um`, `na` and `wavelength_nm`"
    with pytest.raises(ImageError, match=every + ".*times"):
        zs.train([stack], config=tiny(1))
    with pytest.raises(ImageError, match=r"^step between planes and NA are missing.*give `z_um` and `na`"):
        zs.train([stack], wavelength_nm=525, pixel_um=0.1)


def test_unknown_and_contradictory_options_are_refused(simulation: Simulation) -> None:
    with pytest.raises(ConfigError, match="unknown option 'lamda'"):
        zs.restore(simulation.noisy, SCENE.optics, lamda=0.1)
    with pytest.raises(ConfigError, match="both `steps=3` and `minutes=1`"):
        zs.restore(simulation.noisy, SCENE.optics, steps=3, minutes=1)
    with pytest.raises(ConfigError, match="a whole config and the option 'steps'"):
        zs.restore(simulation.noisy, SCENE.optics, config=tiny(), steps=3)


def test_images_that_cannot_train_one_model_are_refused(simulation: Simulation) -> None:
    frame = simulation.noisy.data[0]
    other = zs.Image(frame, "YX", {"Y": 0.1, "X": 0.1})
    with pytest.raises(ImageError, match=r"pixel sizes 0\.065 and 0\.1 um"):
        zs.train([simulation.noisy, other], SCENE.optics, config=tiny(1))
    with pytest.raises(ImageError, match="0 images"):
        zs.train([], SCENE.optics)
    volume = zs.Image(simulation.noisy.data, "ZYX", simulation.noisy.spacing_um)
    with pytest.raises(ImageError, match="2 planes along Z"):
        zs.train([simulation.noisy, volume], SCENE.optics, config=tiny(1))


def test_an_unknown_camera_is_measured_from_the_image(simulation: Simulation) -> None:
    model = zs.train([simulation.noisy], SCENE.optics, config=tiny(1, input={"background": "auto"}))
    assert model.camera.offset == pytest.approx(SCENE.offset, abs=15)
    assert model.provenance["sources"]["camera"] == "image"
    assert re.fullmatch(r"Model\(.*network fast, PSF .*, camera offset [-\d.]+ .*\)", repr(model))


def test_a_given_pixel_size_wins_over_that_of_the_image() -> None:
    """In the training and in the restoration that follows it; the image was refused after its own training."""
    counts = np.random.default_rng(0).poisson(np.linspace(9, 200, 49), (40, 49))
    image = zs.Image(counts, "YX", {"Y": 0.065, "X": 0.065})
    restored = zs.restore(image, zs.Optics(na=1.3, wavelength_nm=525), steps=2, pixel_um=0.08)
    assert restored.denoised.spacing_um == pytest.approx({"Y": 0.08, "X": 0.08})
    assert restored.deconvolved.spacing_um == pytest.approx({"Y": 0.04, "X": 0.04})
    assert image.spacing_um == {"Y": 0.065, "X": 0.065}


def test_a_crop_is_trained_on_and_restored(simulation: Simulation) -> None:
    """An image and an array, as the part of them that they are cut to."""
    data, spacing = simulation.noisy.data, simulation.noisy.spacing_um
    optics = {"na": SCENE.na, "wavelength_nm": SCENE.wavelength_nm}
    whole, crop = ({"pixel_um": spacing["X"], "crop": text} for text in (None, "T1:,Y3:40,X5:47"))
    part = zs.restore(Image(data[1:, 3:40, 5:47], "TYX", spacing), config=tiny(steps=2, optics=optics, input=whole))
    for image in (simulation.noisy, data):
        same = zs.restore(image, config=tiny(steps=2, optics=optics, input=crop))
        assert np.array_equal(same.denoised.data, part.denoised.data)
