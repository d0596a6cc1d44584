"""Results as Python has them: from paths and arrays, shown in a notebook, saved as the command line saves them."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray

import zsdeconv as zs
from zsdeconv.channels import RestoredChannels
from zsdeconv.errors import DataWarning, ImageError, OutputError
from zsdeconv.io import read_provenance
from zsdeconv.report.page.report import Report
from zsdeconv.results import Results

pytestmark = pytest.mark.filterwarnings("ignore::zsdeconv.errors.DataWarning")  # so small an image says little about its camera

OPTICS = zs.Optics(na=1.3, wavelength_nm=525)
MAX_REPR_CHARS = 1500


def counts(*shape: int) -> np.ndarray:
    light = np.random.default_rng(1).gamma(2, 20, shape)
    return (np.random.default_rng(2).poisson(light) + 100).astype(np.float32)  # as images are written


IMAGE = zs.Image(counts(36, 41), "YX", {"Y": 0.065, "X": 0.065}, metadata={"name": "cell.2.tif"})


@pytest.fixture(scope="module")
def restored() -> zs.Restored:
    return zs.restore(IMAGE, OPTICS, steps=2, passes=2, seed=3)


@pytest.fixture(scope="module")
def coloured() -> RestoredChannels:
    image = zs.Image(counts(2, 36, 41), "CYX", {"Y": 0.065, "X": 0.065}, metadata={"channels": ["DAPI", "GFP"], "name": "two.tif"})
    found = zs.restore(image, na=1.3, wavelength_nm=(460.0, 525.0), steps=2)
    assert isinstance(found, RestoredChannels)
    return found


def file(folder: Path) -> Path:
    return IMAGE.save(folder / "cell.2.tif")


def as_xarray(folder: Path) -> xarray.DataArray:
    return IMAGE.to_xarray()


def as_text(folder: Path) -> str:
    return str(file(folder))


@pytest.mark.parametrize("given", [file, as_text, as_xarray])
def test_an_image_is_restored_from_whatever_holds_it(given: Callable[[Path], Any], restored: zs.Restored, tmp_path: Path) -> None:
    found = zs.restore(given(tmp_path), OPTICS, steps=2, passes=2, seed=3)
    assert np.array_equal(found.deconvolved.data, restored.deconvolved.data)
    assert found.deconvolved.spacing_um == restored.deconvolved.spacing_um


def test_a_model_takes_paths_and_arrays(restored: zs.Restored, tmp_path: Path) -> None:
    path = file(tmp_path)
    model = zs.train(path, OPTICS, steps=2, passes=2, seed=3)
    assert np.array_equal(model.predict(IMAGE.to_xarray()).denoised.data, model.predict(path).denoised.data)
    assert np.array_equal(model.predict(path).denoised.data, restored.denoised.data)
    assert np.array_equal(zs.train([path], OPTICS, steps=2, passes=2, seed=3).predict(path).denoised.data, restored.denoised.data)


def test_models_of_channels_take_paths_and_arrays(coloured: RestoredChannels, tmp_path: Path) -> None:
    path = coloured.raw.save(tmp_path / "two.tif")
    plain = coloured.model.predict(coloured.raw).denoised.data
    for given in (path, coloured.raw.to_xarray(), coloured.raw.data):
        assert np.array_equal(coloured.model.predict(given).denoised.data, plain)


def test_a_camera_is_calibrated_from_whatever_holds_its_frames(tmp_path: Path) -> None:
    frames = zs.Image(counts(2, 36, 41), "ZYX")
    plain = zs.calibrate(frames.data).camera
    assert zs.calibrate(frames).camera == plain == zs.calibrate(frames.save(tmp_path / "frames.tif")).camera
    with pytest.raises(ImageError, match="the image has 2 channels"):
        zs.calibrate(zs.Image(frames.data, "CYX"))


def test_a_path_that_is_no_image_is_told(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("no image")
    with pytest.raises(ImageError, match=r"notes.txt: not an image, readable are"):
        zs.restore(tmp_path / "notes.txt", OPTICS, steps=2)
    with pytest.raises(ImageError, match="no such file"):
        zs.train([tmp_path / "gone.tif"], OPTICS, steps=2)
    with pytest.raises(ImageError, match=r"pixel size .* is missing.*give .?pixel_um"):
        zs.restore(IMAGE.data, OPTICS, steps=2)


def test_results_are_saved_as_the_command_line_saves_them(restored: zs.Restored, tmp_path: Path) -> None:
    written = restored.save(tmp_path / "out")
    names = {f"cell.2{end}" for end in (".zsd", "_config.yaml", "_log.jsonl", "_report.html")}
    names |= {f"cell.2_{kind}.ome.tif" for kind in ("denoised", "deconvolved", "uncertainty")}
    assert {path.name for path in written} == {path.name for path in (tmp_path / "out").iterdir()} == names
    assert np.array_equal(zs.read(tmp_path / "out" / "cell.2_deconvolved.ome.tif").data, restored.deconvolved.data)
    assert np.array_equal(zs.load(tmp_path / "out" / "cell.2.zsd").predict(IMAGE).denoised.data, restored.denoised.data)
    provenance = read_provenance(tmp_path / "out" / "cell.2_denoised.ome.tif")
    assert (provenance["input"], provenance["seed"]) == ("cell.2.tif", 3)


def test_saved_results_of_channels_hold_all_of_them(coloured: RestoredChannels, tmp_path: Path) -> None:
    written = coloured.save(tmp_path, report=False, image_format="zarr")
    assert not list(tmp_path.glob("*_report.html"))
    assert zs.read(next(path for path in written if "deconvolved" in path.name)).metadata["channels"] == ["DAPI", "GFP"]


def test_nothing_is_written_over_what_is_there(restored: zs.Restored, tmp_path: Path) -> None:
    report = Results(tmp_path, "mine").report
    report.write_text("kept")
    with pytest.raises(OutputError, match=r"mine_report.html: exists, and existing results are kept; give `overwrite`"):
        restored.save(tmp_path, "mine")
    assert [path.name for path in tmp_path.iterdir()] == [report.name]
    made = Report("made before", [])
    assert report in restored.save(tmp_path, "mine", overwrite=True, report=made)
    assert "made before" in report.read_text()


@pytest.mark.parametrize("part", [lambda r: r, lambda r: r.raw, lambda r: r.deconvolved, lambda r: r.model, lambda r: r.model.config])
def test_representations_are_short(part: Any, restored: zs.Restored, coloured: RestoredChannels) -> None:
    for result in (restored, coloured):
        assert len(repr(part(result))) < MAX_REPR_CHARS


def without_pictures(page: str) -> str:
    return re.sub(r"data:image/png;base64,[\w+/=]+", "", page)


def test_a_notebook_shows_pictures_and_a_table(restored: zs.Restored, coloured: RestoredChannels) -> None:
    page = restored._repr_html_()
    assert page.count("<img") == 3
    assert all(f"<figcaption>{name}</figcaption>" in page for name in ("raw", "denoised", "deconvolved"))
    assert coloured._repr_html_().count("<img") == 6
    assert "<figcaption>deconvolved GFP</figcaption>" in coloured._repr_html_()


def test_a_notebook_shows_what_is_known_of_an_image() -> None:
    metadata = {"name": "<script>.tif", "channels": ["DAPI", "GFP"], "interval_s": 2.0}
    data = np.random.default_rng(0).random((4, 2, 7, 9, 8)).astype(np.float32)
    data[0, 0, 0, 0, 0] = np.nan
    image = zs.Image(data, "TCZYX", {"Y": 0.065, "X": 0.065}, 0.0, metadata)
    page = image._repr_html_()
    assert page.count("<img") == 2 and "GFP, t 1 of 4, z 4 of 7" in page
    words = without_pictures(page)
    assert "4 × 2 × 7 × 9 × 8 (T C Z Y X), float32" in words and "Y 65 nm, X 65 nm (Z not known)" in words
    assert "1 pixels without data" in words and "<script>" not in words
    assert len(words) < MAX_REPR_CHARS


@pytest.mark.parametrize("image", [zs.Image(np.zeros((0, 5)), "YX"), zs.Image(np.full((3, 4), np.nan), "YX"), zs.Image(np.zeros(3), "T")])
def test_images_without_light_are_shown_too(image: zs.Image) -> None:
    assert "<table>" in image._repr_html_()


def test_layers_of_napari_have_scale_and_names(coloured: RestoredChannels) -> None:
    layer = coloured.deconvolved.to_napari()
    assert layer["name"] == ["two.tif deconvolved DAPI", "two.tif deconvolved GFP"]
    assert (layer["channel_axis"], layer["axis_labels"], layer["units"]) == (0, ("y", "x"), ("um", "um"))
    assert layer["scale"] == pytest.approx((0.0325, 0.0325))
    assert layer["data"] is coloured.deconvolved.data


def test_to_xarray_without_the_package_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "xarray", None)
    with pytest.raises(zs.UserError, match="needs the package xarray, which is not installed; pip install xarray"):
        IMAGE.to_xarray()


def test_warnings_name_no_option_of_the_command_line(restored: zs.Restored) -> None:
    with pytest.warns(DataWarning) as met:
        zs.restore(restored.denoised, OPTICS, steps=2)
    assert not [each for each in met if "--" in str(each.message)]
