"""What a page shows of a result: found by any of its files, with the image it was made of, above the offset, on one scale."""

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import zsdeconv as zs
from viewer.results import OFFSET_ADU, PIXEL_UM, make_result, steps
from zsdeconv.config import resolve
from zsdeconv.errors import ImageError
from zsdeconv.image import Image
from zsdeconv.io import write
from zsdeconv.viewer.contents import Contents, contents_of
from zsdeconv.viewer.finding import MAX_RESULTS, find_results


def contents(path: Path, **asked) -> Contents:
    (found,) = find_results(path)
    return contents_of(found, **asked)


@pytest.fixture
def restored(tmp_path: Path) -> Path:
    return make_result(tmp_path, steps())


@pytest.mark.parametrize(
    "name", ["", "cell_denoised.ome.tif", "cell_uncertainty.ome.tif", "cell.zsd", "cell_report.html", "cell_config.yaml"]
)
def test_a_result_is_found_by_any_of_its_files(restored: Path, name: str) -> None:
    for each in ("cell.zsd", "cell_report.html", "cell_config.yaml"):
        (restored / each).touch()
    (found,) = find_results(restored / name)
    assert list(found.images) == ["denoised", "deconvolved", "uncertainty"]
    assert found.name == "cell" and found.model == restored / "cell.zsd" and found.report == restored / "cell_report.html"


def test_several_results_of_a_folder_come_in_natural_order(tmp_path: Path) -> None:
    for name in ("cell10", "cell9"):
        folder = make_result(tmp_path, steps(), name=name)
    (folder / ".partial-ab_denoised.ome.tif").touch()
    assert [found.name for found in find_results(folder)] == ["cell9", "cell10"]
    assert [found.name for found in find_results(folder / "cell10_denoised.ome.tif")] == ["cell10"]
    for number in range(MAX_RESULTS):
        shutil.copy(folder / "cell9_denoised.ome.tif", folder / f"c{number}_denoised.ome.tif")
    with pytest.raises(ImageError, match=f"{MAX_RESULTS + 2} results, a page holds {MAX_RESULTS}; give one of them, for example .*ome.tif"):
        find_results(folder)


def test_both_formats_of_a_result_are_told_apart(tmp_path: Path) -> None:
    pytest.importorskip("yaozarrs")
    make_result(tmp_path, steps())
    folder = make_result(tmp_path, steps(), ending=".ome.zarr")
    assert [found.name for found in find_results(folder)] == ["cell (tif)", "cell (zarr)"]
    by_model = find_results(_touched(folder / "cell.zsd"))
    assert [found.name for found in by_model] == ["cell (tif)", "cell (zarr)"]
    shown = contents(folder / "cell_denoised.ome.zarr")
    assert [layer.kind for layer in shown.layers] == ["raw", "denoised", "deconvolved", "uncertainty"]


def test_one_image_of_any_name_is_known_by_what_stands_in_it(tmp_path: Path, restored: Path) -> None:
    shutil.copy(restored / "cell_deconvolved.ome.tif", tmp_path / "fine.tif")
    (found,) = find_results(tmp_path / "fine.tif")
    assert found.name == "fine" and list(found.images) == ["deconvolved"]
    with pytest.raises(ImageError, match="is no result of a restoration"):
        find_results(tmp_path / "data" / "cell.tif")


def test_what_is_no_result(tmp_path: Path) -> None:
    with pytest.raises(ImageError, match="no result is in it"):
        find_results(tmp_path)
    with pytest.raises(ImageError, match="no image of this result lies beside it"):
        find_results(_touched(tmp_path / "cell.zsd"))
    with pytest.raises(ImageError, match="no such file or folder"):
        find_results(tmp_path / "nowhere")


def test_raw_and_results_are_on_one_grid_and_above_the_offset(restored: Path) -> None:
    shown = contents(restored)
    raw, denoised, deconvolved, uncertainty = shown.layers
    assert raw.kind == "raw" and np.allclose(raw.data[0, 0, 0], steps(), atol=1e-3)
    assert [layer.factors for layer in shown.layers] == [(1, 1), (1, 1), (2, 2), (2, 2)]
    about = shown.about
    assert (about["height"], about["width"]) == (24, 32) and about["um"] == {"y": PIXEL_UM, "x": PIXEL_UM, "z": None}
    assert about["channels"][0]["range"] == pytest.approx([0, 1000]), "the same for all images"
    assert [layer["own_scale"] for layer in about["layers"]] == [False, False, False, True]
    assert about["layers"][3]["channels"][0]["own"] == pytest.approx([0, 100])
    assert about["offset"] == "Camera offset taken off the raw image: 100 ADU (that of the restoration)."
    assert about["notes"] == [] and denoised.data.shape == (1, 1, 1, 24, 32) and deconvolved.data.shape == uncertainty.data.shape


def test_the_raw_image_is_found_where_the_folders_have_moved_together(tmp_path: Path, restored: Path) -> None:
    moved = tmp_path / "elsewhere"
    moved.mkdir()
    for folder in ("data", "restored"):
        shutil.move(tmp_path / folder, moved / folder)
    assert contents(moved / "restored").facts["raw"] is not None
    shutil.move(moved / "data" / "cell.tif", moved / "cell.tif")
    assert Path(contents(moved / "restored").facts["raw"]).resolve() == (moved / "cell.tif").resolve(), "beside the folder of the result"


def test_without_the_raw_image_the_results_are_shown_alone(tmp_path: Path, restored: Path) -> None:
    (tmp_path / "data" / "cell.tif").rename(tmp_path / "kept.tif")
    shown = contents(restored)
    assert [layer.kind for layer in shown.layers] == ["denoised", "deconvolved", "uncertainty"]
    assert shown.about["notes"] == ["The recorded image cell.tif is not where it was: shown without it."]
    assert shown.facts["notes"][0].endswith("; `raw` gives it")
    assert contents(restored, raw=tmp_path / "kept.tif").layers[0].kind == "raw"
    with pytest.raises(ImageError, match=r"gone.tif: no such file or folder; give `raw`"):
        contents(restored, raw=tmp_path / "gone.tif")


def test_a_raw_image_with_other_pixels_is_not_taken(tmp_path: Path, restored: Path) -> None:
    path = tmp_path / "data" / "cell.tif"
    image = zs.read(path)
    write(path, replace(image, data=image.data + 1), provenance={}, overwrite=True)
    shown = contents(restored)
    assert shown.layers[0].kind == "denoised"
    assert shown.about["notes"] == ["The recorded image cell.tif has other pixels than the image that was restored: shown without it."]
    given = contents(restored, raw=path)
    assert given.layers[0].kind == "raw" and given.about["notes"] == [
        "The recorded image cell.tif has other pixels than the image that was restored."
    ]


def test_a_raw_image_of_another_size_or_a_damaged_one(tmp_path: Path, restored: Path) -> None:
    other = write(tmp_path / "other.tif", Image(np.ones((25, 32), np.float32), "YX"), provenance={})
    with pytest.raises(ImageError, match=r"of YX 25 x 32 does not fit the result of YX 24 x 32; give `raw`"):
        contents(restored, raw=other)
    path = tmp_path / "data" / "cell.tif"
    path.write_bytes(path.read_bytes()[:300])
    assert contents(restored).about["notes"][0].startswith("The recorded image cannot be shown (cell.tif: ")


def test_the_offset_of_a_prediction_is_measured(tmp_path: Path, restored: Path) -> None:
    """A model restores images of other cameras too, in their counts."""
    _saying(restored, model="cell.zsd", camera={"offset_adu": 500.0})
    shown = contents(restored)
    assert np.allclose(shown.layers[0].data[0, 0, 0], steps(), atol=1e-3)
    assert (
        shown.about["offset"] == f"Camera offset taken off the raw image: {OFFSET_ADU:g} ADU (the median difference to the denoised image)."
    )


def _saying(restored: Path, **changes: Any) -> None:
    """Write the images anew, with changes of their provenance."""
    for path in restored.iterdir():
        image = zs.read(path)
        said = {**image.metadata["provenance"], **changes}
        write(path, image, provenance={key: value for key, value in said.items() if value is not None}, overwrite=True)


def test_results_of_older_versions_know_the_pixels_by_their_training(restored: Path) -> None:
    _saying(restored, pixels=None, path="../data/cell.tif", inputs=[{"name": "cell.tif", "pixels": "0123"}])
    assert contents(restored).about["notes"][0].startswith("The recorded image cell.tif has other pixels")
    _saying(restored, model="cell.zsd")
    assert contents(restored).about["notes"] == [], "a prediction of another image than the training's"


def test_an_offset_that_nothing_tells(tmp_path: Path, restored: Path) -> None:
    _saying(restored, camera=None)
    (restored / "cell_denoised.ome.tif").unlink()
    assert contents(restored).about["offset"] == "Camera offset taken off the raw image: 0 ADU (not known)."
    raw = tmp_path / "data" / "cell.tif"
    write(raw, replace(zs.read(raw), offset=90.0), provenance={}, overwrite=True)
    shown = contents(restored)
    assert shown.about["offset"] == "Camera offset taken off the raw image: 90 ADU (that of the file)."
    assert np.allclose(shown.layers[0].data[0, 0, 0], steps() + OFFSET_ADU - 90, atol=1e-3)


def test_raw_frames_are_averaged(tmp_path: Path, restored: Path) -> None:
    frames = np.arange(9, dtype=np.float32)[:, None, None] + steps() + OFFSET_ADU
    raw = write(tmp_path / "data" / "frames.tif", Image(frames, "PYX", {"Y": PIXEL_UM, "X": PIXEL_UM}), provenance={})
    (restored / "cell_denoised.ome.tif").unlink()
    _saying(restored, path="../data/frames.tif", pixels=None, config=resolve({"modality": "sim2d"}).model_dump(mode="json"))
    shown = contents(restored)
    assert shown.facts["raw"] is not None and raw.samefile(shown.facts["raw"])
    assert shown.layers[0].factors == (1, 1) and np.allclose(shown.layers[0].data[0, 0, 0], steps() + 4, atol=1e-3)


def test_images_of_different_runs(restored: Path) -> None:
    image = zs.read(restored / "cell_uncertainty.ome.tif")
    write(restored / "cell_uncertainty.ome.tif", image, provenance={**image.metadata["provenance"], "seed": 3}, overwrite=True)
    assert contents(restored).about["notes"] == [
        "Denoised and uncertainty are of different runs (seed differs): differences between them may be those of the runs."
    ]
    write(
        restored / "cell_denoised.ome.tif",
        Image(np.ones((20, 32), np.float32), "YX", metadata={"kind": "denoised"}),
        provenance={},
        overwrite=True,
    )
    with pytest.raises(
        ImageError, match=r"cell_deconvolved.ome.tif of YX 48 x 64, cell_denoised.ome.tif of YX 20 x 32: they are not of one"
    ):
        contents(restored)


@pytest.mark.parametrize(
    "said",
    [
        "a text",
        {"input": 5, "movie": 7, "inputs": 3, "config": [1]},
        {"path": ["a"], "config": {"scale": "x"}, "channels": 4},
        {"path": "../data/cell.tif", "crop": 9, "scene": {}, "config": {}},
        {"path": "../data/cell.tif", "camera": "none", "pixels": 1.5},
        {"path": "../data/cell.tif", "config": {"scale": "x"}},
    ],
)
def test_a_provenance_of_any_origin_is_no_fault(restored: Path, said: Any) -> None:
    for path in restored.iterdir():
        write(path, zs.read(path), provenance=said, overwrite=True)
    shown = contents(restored)
    assert [layer.kind for layer in shown.layers] == ["denoised", "deconvolved", "uncertainty"] and len(shown.about["notes"]) == 1


def test_a_truncated_image_is_refused(restored: Path) -> None:
    path = restored / "cell_deconvolved.ome.tif"
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(ImageError, match=r"cell_deconvolved.ome.tif"):
        contents(restored)


def test_channels_have_the_names_and_colours_of_the_file(tmp_path: Path) -> None:
    light = np.stack([steps(), 2 * steps()])
    folder = make_result(tmp_path, light, "CYX", channels=["DAPI", "GFP"], colours=[(0, 0, 255), (255, 255, 255)])
    shown = contents(folder)
    assert [(each["name"], each["colour"]) for each in shown.about["channels"]] == [("DAPI", "#0000ff"), ("GFP", "#ff00ff")]
    assert np.allclose(shown.layers[0].data[0, :, 0], light, atol=1e-3)
    assert [each["range"][1] for each in shown.about["channels"]] == pytest.approx([1000, 2000])


def test_movies_and_stacks_have_their_units(tmp_path: Path) -> None:
    movie = contents(make_result(tmp_path, steps((5, 24, 32)), "TYX", interval_s=2.5))
    assert movie.about["times"][2] == {"number": 3, "s": 5.0} and "5 times" in movie.about["facts"]
    stack = contents(make_result(tmp_path / "other", steps((6, 24, 32)), "ZYX"))
    assert stack.about["planes"][2] == {"number": 3, "um": pytest.approx(0.6)} and stack.about["times"] == [{"number": 1, "s": None}]


def test_a_part_is_the_same_in_all_images(restored: Path) -> None:
    shown = contents(restored, crop="12:24,16:32")
    raw, _, deconvolved, _ = shown.layers
    assert raw.data.shape[-2:] == (12, 16) and deconvolved.data.shape[-2:] == (24, 32)
    assert (deconvolved.data == 1000).all() and np.allclose(raw.data, 1000, atol=1e-3)
    assert shown.about["notes"] == ["Shown: 12 x 16 of 24 x 32 pixels, from row 12 and column 16 on."]
    small = contents(restored, max_pixels=2000)
    assert sum(layer.data.size for layer in small.layers) <= 2000 and "of 24 x 32 pixels" in small.about["notes"][0]


def _touched(path: Path) -> Path:
    path.touch()
    return path
