"""The header of a model file: what version 1 said is read into the fields of version 2, and nothing is accepted that it does not name."""

import copy
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from golden import runs
from zsdeconv.acquisition.direct import DirectAcquisition
from zsdeconv.camera.detector import Camera
from zsdeconv.channels import load
from zsdeconv.config import resolve
from zsdeconv.data.normalize import Affine
from zsdeconv.errors import ModelError
from zsdeconv.io.model_file import load_model, save_model
from zsdeconv.modality import MODALITIES
from zsdeconv.model import Model
from zsdeconv.model_io import SCHEMA_VERSION, migrated
from zsdeconv.physics.optics import Optics
from zsdeconv.physics.psf import Psf
from zsdeconv.prediction.photometry import AffineResponse, IntensityCorrection
from zsdeconv.training.networks import make_network

FIRST_VERSION = [name for name, run in runs.RUNS.items() if run.model]
OPTICS = Optics(1.2, 525.0, immersion_ri=1.33, pupil="vectorial", microscope="confocal", pinhole_au=0.8, sample_ri=1.38, depth_um=4.0)


def first(name: str) -> Path:
    """A model file that the first version of the program wrote."""
    return runs.FOLDER / f"{name}.zsd"


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    """A model of the present version with random weights."""
    config = resolve({"network": {"channels": (4, 8)}, "device": "cpu"})
    psf = Psf(np.full((3, 3), 1 / 9), (0.0325, 0.0325), "a test")
    acquisition = DirectAcquisition(Affine(100.0, 80.0), Camera(100.0, 2.0, 9.0), psf, 2, optics=OPTICS)
    network = make_network(config, 2, acquisition.forward_operator, 2)
    correction = IntensityCorrection(AffineResponse(0.9, 0.01), AffineResponse(0.95, -0.02), dark_level=0.003)
    model = Model(network, MODALITIES["2d"], config, acquisition, (0.065, 0.065), correction, 0.7, provenance={"optics": {"na": 0.3}})
    return model.save(tmp_path / "cell.zsd")


def changed(path: Path, place: str, value: Any) -> Path:
    """A copy of the file with another value at a place of its header, and a checksum that fits."""
    tensors, header = load_model(path)
    *sections, leaf = place.split(".")
    part = header
    for section in sections:
        part = part[section]
    part[leaf] = value
    return save_model(path.with_name("changed.zsd"), tensors, header)


@pytest.mark.parametrize("name", FIRST_VERSION)
def test_each_field_of_version_1_has_its_place(name: str) -> None:
    old, model = load_model(first(name))[1], load(first(name))
    numbers, photometry, settings = old["provenance"]["optics"], old["photometry"], old["config"]
    assert "schema_version" not in old
    assert model.offset_sigma == old["provenance"]["calibration"]["offset_sigma"] > 0
    optics = model.acquisition.optics
    assert optics is not None
    assert (optics.na, optics.wavelength_nm, optics.ri) == (numbers["na"], numbers["wavelength_nm"], numbers["ri"])
    assert model.intensity_correction.dark_level == photometry["dark"]
    for stage, dark in (("denoised", 0.0), ("deconvolved", photometry["dark"])):  # version 1 took the dark level off both afterwards
        response = getattr(model.intensity_correction, stage)
        expected = {**photometry[stage], "intercept": photometry[stage]["intercept"] + photometry[stage]["slope"] * dark}
        assert {"slope": response.slope, "intercept": response.intercept} == expected
    assert model.config.loss.norm == {"squared": "l2", "absolute": "l1"}[settings["loss"]["error"]]
    assert model.config.training.target_fwhm_fraction == settings["training"]["target_share"]
    assert model.config.training.stage2_fraction == settings["training"]["reimage_share"]
    assert model.config.prediction.destripe == settings["prediction"]["stripes"]


@pytest.mark.parametrize("name", FIRST_VERSION)
def test_the_parts_of_structured_illumination_become_those_of_the_acquisition(name: str) -> None:
    tensors, header = load_model(first(name))
    before = copy.deepcopy(header)
    new_tensors, new_header = migrated(tensors, header)
    assert header == before
    assert new_header["schema_version"] == SCHEMA_VERSION and not {"sim", "photometry"} & set(new_header)
    assert new_header["acquisition"] == (header["sim"] or {})
    assert ("acquisition.otf" in new_tensors) == (header["sim"] is not None) == name.startswith("sim")
    renamed = {new.replace("acquisition.", "sim."): tensor for new, tensor in new_tensors.items()}
    assert renamed.keys() == tensors.keys() and all(renamed[key] is tensor for key, tensor in tensors.items())


def test_what_version_1_did_not_know_is_left_open() -> None:
    tensors, header = load_model(first("2d-fast"))
    for provenance in ({}, {"optics": None, "calibration": {}}, None):
        new = migrated(tensors, header | {"provenance": provenance})[1]
        assert new["optics"] is None and new["camera"]["offset_sigma"] == 0.0
    without = {key: value for key, value in header.items() if key != "sim"}
    assert migrated(tensors, without)[1]["acquisition"] == {}


@pytest.mark.parametrize("name", FIRST_VERSION)
def test_a_model_of_version_1_is_saved_as_one_of_version_2(name: str, tmp_path: Path) -> None:
    old = load(first(name))
    assert old.config.training.optimizer == "adam"  # there was no other one
    path = old.save(tmp_path / "again.zsd")
    tensors, header = load_model(path)
    assert header["schema_version"] == SCHEMA_VERSION and migrated(tensors, header) == (tensors, header)
    again = load(path)
    for field in ("config", "camera", "unit", "spacing_um", "intensity_correction", "offset_sigma", "history", "provenance"):
        assert getattr(again, field) == getattr(old, field), field
    assert again.psf.fingerprint == old.psf.fingerprint
    assert again.acquisition.summary() == old.acquisition.summary()
    for key, tensor in old.network.state_dict().items():
        assert torch.equal(again.network.state_dict()[key], tensor)


def test_the_microscope_is_read_from_its_own_fields(saved: Path) -> None:
    """And not from the provenance, which is for people."""
    model = load(saved)
    assert model.acquisition.optics == replace(OPTICS) and model.provenance["optics"] == {"na": 0.3}
    assert model.offset_sigma == 0.7 and model.intensity_correction.dark_level == 0.003
    assert load(changed(saved, "optics", None)).acquisition.optics is None


def test_a_newer_schema_asks_for_an_update(saved: Path) -> None:
    newer = changed(saved, "schema_version", SCHEMA_VERSION + 1)
    words = rf"model .*changed\.zsd: schema version {SCHEMA_VERSION + 1}, this program reads up to {SCHEMA_VERSION}; update zsdeconv"
    with pytest.raises(ModelError, match=words):
        load(newer)


@pytest.mark.parametrize("value", [None, "two", [2], {}, 0, 1, -1, 2.5])
def test_a_schema_that_never_existed_is_refused(saved: Path, value: Any) -> None:
    with pytest.raises(ModelError, match=r"model .*changed\.zsd: its content does not fit") as caught:
        load(changed(saved, "schema_version", value))
    assert "\n" not in str(caught.value)


PARTS = ("", "unit.", "camera.", "psf.", "optics.", "intensity_correction.", "intensity_correction.deconvolved.", "config.", "config.loss.")


@pytest.mark.parametrize("part", PARTS)
def test_keys_that_the_schema_does_not_have_are_refused(saved: Path, part: str) -> None:
    with pytest.raises(ModelError, match=r"model .*changed\.zsd: its content does not fit .*extra"):
        load(changed(saved, part + "extra", 1.0))


@pytest.mark.parametrize("place", ["optics.na", "camera.offset_sigma", "intensity_correction.dark_level", "spacing_um", "history"])
def test_values_of_another_kind_are_refused(saved: Path, place: str) -> None:
    with pytest.raises(ModelError, match=r"model .*changed\.zsd: its content does not fit"):
        load(changed(saved, place, "a word"))
