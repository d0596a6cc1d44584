"""A model: what it gives back, what it refuses, and the file that holds it."""

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter

from oracles import asymmetric_kernel
from zsdeconv.acquisition.direct import DirectAcquisition
from zsdeconv.camera.detector import Camera
from zsdeconv.channels import load
from zsdeconv.config import resolve
from zsdeconv.data.normalize import Affine
from zsdeconv.errors import ConfigError, ImageError, ModelError, OutputError
from zsdeconv.image import Image
from zsdeconv.io.model_file import load_model, save_model
from zsdeconv.modality import MODALITIES
from zsdeconv.model import Model
from zsdeconv.physics.psf import Psf
from zsdeconv.prediction.device import choose_device
from zsdeconv.prediction.photometry import AffineResponse, IntensityCorrection
from zsdeconv.training.networks import make_network

UM = {"Y": 0.065, "X": 0.065}
PSF = Psf.from_array(asymmetric_kernel(7, 5) + np.pad([[9.0]], ((3, 3), (2, 2))), (0.0325, 0.0325), "a test")


def make(scale: int = 2, passes: int = 2) -> Model:
    """A model with random weights; training is tested elsewhere."""
    settings = {"network": {"channels": (4, 8)}, "scale": scale, "device": "cpu", "seed": 3, "prediction": {"passes": passes}}
    config, modality = resolve(settings), MODALITIES["2d"]
    acquisition = DirectAcquisition(Affine(100.0, 80.0), Camera(100.0, 2.0, 9.0), PSF, scale)
    network = make_network(config, 2, acquisition.forward_operator, scale)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter += 0.05 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(parameter.numel()))
    return Model(
        network=network,
        modality=modality,
        config=config,
        acquisition=acquisition,
        spacing_um=(0.065, 0.065),
        intensity_correction=IntensityCorrection(AffineResponse(0.9, 0.01), AffineResponse(0.95, -0.02)),
        history=[{"phase": "denoise", "step": 1, "loss": 0.5, "best": True}],
        provenance={"version": "test", "psf": {"shape": [7, 5]}},
    )


@pytest.fixture(autouse=True)
def _as_in_the_training(monkeypatch: pytest.MonkeyPatch) -> None:
    """The camera of these models is made up: other cameras are tested in prediction/test_other_camera.py."""
    monkeypatch.setattr(Model, "_for_frames", lambda self, frames: self)


@pytest.fixture(scope="module")
def model() -> Model:
    return make()


def frames(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).poisson(40, shape).astype(np.uint16) + 90


def test_a_frame_comes_back_on_both_grids_with_its_units(model: Model) -> None:
    image = Image(frames(23, 30), "YX", UM, offset=100.0, metadata={"name": "cell"})
    result = model.predict(image)
    assert (result.denoised.axes, result.denoised.data.shape) == ("YX", (23, 30))
    assert (result.deconvolved.axes, result.deconvolved.data.shape) == ("YX", (46, 60))
    assert result.uncertainty is not None and result.uncertainty.data.shape == (46, 60)
    for kind, restored in result.images().items():
        assert restored.data.dtype == np.float32
        assert restored.offset == 0.0
        assert restored.metadata["name"] == "cell" and restored.metadata["kind"] == kind
    assert dict(result.denoised.spacing_um) == UM
    assert result.deconvolved.spacing_um == {"Y": 0.0325, "X": 0.0325}
    assert result.model is model


def test_scale_one_keeps_the_grid() -> None:
    result = make(scale=1).predict(Image(frames(20, 17), "YX", UM))
    assert result.deconvolved.data.shape == (20, 17)
    assert dict(result.deconvolved.spacing_um) == UM


def test_without_passes_there_is_no_uncertainty(model: Model) -> None:
    image = Image(frames(16, 19), "YX", UM)
    for passes in (0, 1):
        result = model.predict(image, passes=passes)
        assert result.uncertainty is None and set(result.images()) == {"denoised", "deconvolved"}


def test_photometry_is_applied(model: Model) -> None:
    image = Image(frames(16, 19), "YX", UM)
    plain = dataclasses.replace(model, intensity_correction=IntensityCorrection()).predict(image).denoised.data
    # slope and intercept in the unit: 80 ADU; float32 of numbers near 40
    np.testing.assert_allclose(model.predict(image).denoised.data, (plain - 0.01 * 80) / 0.9, rtol=1e-4, atol=1e-3)


def test_frames_along_time_share_one_scale(model: Model) -> None:
    """A dim and a bright frame: nothing is stretched, and their mean is restored as it would be from single frames."""
    stack = np.stack([frames(20, 24), 3 * frames(20, 24, seed=1)])
    together = model.predict(Image(stack, "TYX", UM))
    assert together.deconvolved.axes == "TYX" and together.deconvolved.data.shape == (2, 40, 48)
    alone = [model.predict(Image(frame, "YX", UM)) for frame in stack]
    for kind in ("denoised", "deconvolved"):
        mean = np.mean([getattr(single, kind).data for single in alone], axis=0)
        np.testing.assert_allclose(getattr(together, kind).data.mean(0), mean, rtol=1e-5, atol=1e-3)  # float32 of numbers near 100


def test_what_changes_over_time_is_given_back(model: Model) -> None:
    """An untrained network gets changes wrong; smoothed as the frames are, those of its restoration become those of the frames."""
    y, x = np.mgrid[:40, :44]
    spot = np.exp(-((y - 17) ** 2 + (x - 23) ** 2) / (2 * 9.0**2))
    stack = 100 + 200 * spot * np.array([1.0, 1.5, 0.4])[:, None, None]
    result = model.predict(Image(stack, "TYX", UM), passes=0)
    alone = np.stack([model.predict(Image(frame, "YX", UM), passes=0).denoised.data for frame in stack])
    changes = [images - images.mean(0) for images in (stack, alone, result.denoised.data)]
    wanted, before, after = (gaussian_filter(change, (0, 3, 3)) for change in changes)
    assert np.abs(after - wanted).max() < 0.3 * np.abs(before - wanted).max()  # G once more, of a spot three times as wide as G


def test_the_standard_error_knows_the_doubt_about_the_offset_and_the_level_of_the_dark(model: Model) -> None:
    image, law, scale = Image(frames(16, 19), "YX", UM), model.modality.error_law, model.unit.scale
    plain, doubtful = (dataclasses.replace(model, offset_sigma=sigma) for sigma in (0.0, 6.0))
    dark = dataclasses.replace(plain, intensity_correction=IntensityCorrection(deconvolved=AffineResponse(1.0, 0.1), dark_level=0.05))
    none = dataclasses.replace(plain, intensity_correction=IntensityCorrection())
    squares = {}
    for name, one in {"plain": plain, "doubtful": doubtful, "dark": dark, "none": none}.items():
        result = one.predict(image)
        assert result.uncertainty is not None
        squares[name] = np.square(result.uncertainty.data) - np.square(law.brightness * result.deconvolved.data)
    # rtol: differences of squares in float32
    np.testing.assert_allclose(squares["doubtful"] - squares["plain"], (law.offset * 6.0) ** 2, rtol=1e-3)
    np.testing.assert_allclose(squares["dark"] - squares["none"], (law.zero_level * 0.1 * scale) ** 2, rtol=1e-3)


@pytest.mark.parametrize(("axes", "order", "expected"), [("YXT", (1, 2, 0), "TYX"), ("XYT", (2, 1, 0), "TYX"), ("XY", None, "YX")])
def test_space_comes_last_whatever_the_order_of_the_input(model: Model, axes: str, order, expected: str) -> None:
    stack = frames(2, 20, 24)
    data = stack[0].T if order is None else stack.transpose(order)
    result = model.predict(Image(data, axes, UM)).denoised
    reference = model.predict(Image(stack[0] if order is None else stack, expected, UM)).denoised
    assert result.axes == expected
    assert np.array_equal(result.data, reference.data)


def test_axes_of_length_one_are_kept(model: Model) -> None:
    result = model.predict(Image(frames(1, 1, 20, 24), "CZYX", UM)).deconvolved
    assert result.axes == "CZYX" and result.data.shape == (1, 1, 40, 48)


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.float64, ">u2"])
def test_the_number_type_does_not_matter(model: Model, dtype: Any) -> None:
    data = frames(16, 18)
    reference = model.predict(data).denoised.data
    # a signal estimate in another precision may end in another last bit
    np.testing.assert_allclose(model.predict(data.astype(dtype)).denoised.data, reference, rtol=1e-5)


def test_arrays_are_accepted(model: Model) -> None:
    data = frames(2, 16, 18)
    assert model.predict(data).denoised.axes == "TYX"
    assert model.predict(data[0].tolist()).denoised.axes == "YX"
    assert MODALITIES["2d"].as_image(data[None, None, 0]).data.shape == (16, 18)
    with pytest.raises(ImageError):
        MODALITIES["2d"].as_image(np.zeros((2, 3, 4, 8, 8)))
    with pytest.raises(ImageError):
        MODALITIES["2d"].as_image(3.0)


def test_tiles_and_progress(model: Model) -> None:
    image, events = Image(frames(2, 40, 90), "TYX", UM), []
    whole = model.predict(image).deconvolved.data
    tiled = model.predict(image, tile=32, progress=events.append).deconvolved.data
    np.testing.assert_allclose(tiled, whole, atol=1e-5 * whole.max())
    done = [event.done for event in events if event.task == "restoring"]
    assert done == sorted(done) and done[-1] == pytest.approx(1.0)
    assert {event.task for event in events} == {"preparing", "restoring", "done"}


@pytest.mark.parametrize(
    ("image", "pattern"),
    [
        (Image(np.zeros((3, 8, 9)), "ZYX", UM), r"axes ZYX of size \(3, 8, 9\): the model restores YX frames \(2d\)"),
        (Image(np.zeros((2, 8, 9)), "CYX", UM), r"axes CYX"),
        (Image(np.zeros(9), "X", {"X": 0.065}), r"axes X"),
        (
            Image(np.zeros((8, 9)), "YX", {"Y": 0.065, "X": 0.1}),
            r"pixel size 0\.1 um along X: the model was trained at 0\.065 um; .*pixel_um",
        ),
    ],
)
def test_other_images_are_refused(model: Model, image: Image, pattern: str) -> None:
    with pytest.raises(ImageError, match=pattern) as caught:
        model.predict(image)
    assert "\n" not in str(caught.value)


def test_pixel_sizes_that_differ_by_rounding_are_the_same(model: Model) -> None:
    assert model.predict(Image(frames(16, 18), "YX", {"Y": 0.0655, "X": 0.0645})).denoised.spacing_um["X"] == 0.065


def test_a_saved_model_predicts_the_same_bits(model: Model, tmp_path: Path) -> None:
    path = model.save(tmp_path / "cell.zsd")
    again = load(path)
    image = Image(frames(2, 21, 26), "TYX", UM)
    for name, restored in model.predict(image).images().items():
        assert np.array_equal(again.predict(image).images()[name].data, restored.data)
    assert again.config == model.config and again.camera == model.camera and again.unit == model.unit
    assert again.intensity_correction == model.intensity_correction and again.spacing_um == model.spacing_um
    assert again.history == model.history and again.provenance == model.provenance
    assert again.psf.fingerprint == model.psf.fingerprint and np.array_equal(again.psf.values, model.psf.values)
    with pytest.raises(OutputError, match="overwrite"):
        model.save(path)


def changed(path: Path, folder: Path, change: dict[str, Any], tensors: dict[str, Any] | None = None) -> Path:
    """The model file with other contents and a checksum that fits: what a hostile or foreign program could write."""
    stored, header = load_model(path)
    header = json.loads(json.dumps(header))
    for place, value in change.items():
        *sections, leaf = place.split(".")
        part = header
        for section in sections:
            part = part[section]
        if value is None:
            del part[leaf]
        else:
            part[leaf] = value
    stored = {name: tensor for name, tensor in {**stored, **(tensors or {})}.items() if tensor is not None}
    return save_model(folder / "changed.zsd", stored, header)


HOSTILE: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "another modality": ({"modality": "5d"}, {}),
    "no configuration": ({"config": None}, {}),
    "unknown setting": ({"config.exec": "rm"}, {}),
    "setting out of range": ({"config.scale": 7}, {}),
    "another network": ({"config.network.kind": "unet"}, {}),
    "other channels": ({"config.network.channels": [4, 9]}, {}),
    "one level": ({"config.network.channels": [4]}, {}),
    "other scale": ({"config.scale": 1}, {}),
    "no unit": ({"unit": None}, {}),
    "unit of text": ({"unit": "a"}, {}),
    "foreign unit": ({"unit.power": 2.0}, {}),
    "impossible camera": ({"camera.gain": -1.0}, {}),
    "foreign photometry": ({"intensity_correction.other": {"slope": 1.0, "intercept": 0.0}}, {}),
    "no pixel size": ({"psf.spacing_um": []}, {}),
    "no spacing": ({"spacing_um": None}, {}),
    "history missing": ({"history": None}, {}),
    "no psf": ({}, {"psf": None}),
    "psf of another rank": ({}, {"psf": torch.ones(3, 3, 3) / 27}),
    "psf off centre": ({}, {"psf": torch.eye(7, dtype=torch.float64)[:1].repeat(7, 1) / 7}),
    "psf even": ({}, {"psf": torch.ones(4, 4) / 16}),
    "weights missing": ({}, {"network.stage1.head.weight": None}),
    "weights of another shape": ({}, {"network.stage1.head.bias": torch.zeros(5)}),
    "weights of nobody": ({}, {"network.extra": torch.zeros(5)}),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_contents_that_do_not_fit_are_refused(model: Model, tmp_path: Path, name: str) -> None:
    path = model.save(tmp_path / "cell.zsd")
    with pytest.raises(ModelError, match=r"model .*changed\.zsd") as caught:
        load(changed(path, tmp_path, *HOSTILE[name]))
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 400


def test_devices() -> None:
    assert choose_device("cpu").type == "cpu"
    assert choose_device("auto").type in ("cpu", "cuda", "mps")
    with pytest.raises(ConfigError, match=r"device 'abacus': this machine has .*cpu; give device auto"):
        choose_device("abacus")
