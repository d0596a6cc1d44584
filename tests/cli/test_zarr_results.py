"""Results as folders of OME-Zarr: the same images and metadata as in files, and as safe."""

import sys

import numpy as np

from zsdeconv import io

IMAGES = ["cell_deconvolved.ome.zarr", "cell_denoised.ome.zarr", "cell_uncertainty.ome.zarr"]


def test_a_run_writes_what_it_writes_as_files(zs, cell, quick, tmp_path):
    assert zs("run", cell, "-o", tmp_path / "tif", *quick).code == 0
    ended = zs("run", cell, "-o", tmp_path / "zarr", *quick, "--format", "zarr")
    assert ended.code == 0, ended.err
    assert sorted(path.name for path in (tmp_path / "zarr").iterdir()) == sorted(
        [*IMAGES, "cell.zsd", "cell_config.yaml", "cell_log.jsonl"]
    )
    for name in IMAGES:
        found, file = io.read(tmp_path / "zarr" / name), io.read(tmp_path / "tif" / name.replace("zarr", "tif"))
        np.testing.assert_array_equal(found.data, file.data)
        assert (found.axes, found.spacing_um, found.offset) == (file.axes, file.spacing_um, file.offset)
        both = ("kind", "image_name", "optics")
        assert {key: found.metadata.get(key) for key in both} == {key: file.metadata.get(key) for key in both}
        assert found.metadata["optics"] == {"na": 1.2, "wavelength_nm": 600.0}
    assert io.read_provenance(tmp_path / "zarr" / IMAGES[0])["config"]["optics"]["na"] == 1.2

    again = zs("run", tmp_path / "zarr" / IMAGES[1], "-o", tmp_path / "again", *quick, "--dry-run")
    assert any("a result of this program" in line or "denoised" in line for line in again.warnings), again.err
    kept = zs("run", cell, "-o", tmp_path / "zarr", *quick, "--format", "zarr").error
    assert "exists, and existing results are kept; give --overwrite" in kept
    assert zs("run", cell, "-o", tmp_path / "zarr", *quick, "--format", "zarr", "--overwrite", "--passes", 1).code == 0
    left = sorted(path.name for path in (tmp_path / "zarr").iterdir() if path.name.endswith(".zarr"))
    assert left == IMAGES[:2], "the uncertainty is of the run before"


def test_a_prediction_to_one_folder(zs, cell, quick, tmp_path):
    zs("run", cell, "-o", tmp_path, *quick)
    target = tmp_path / "sharp.ome.zarr"
    assert zs("predict", tmp_path / "cell.zsd", cell, "-o", target).code == 0
    np.testing.assert_array_equal(io.read(target).data, io.read(tmp_path / "cell_deconvolved.ome.tif").data)
    assert zs("evaluate", target, tmp_path / "cell_deconvolved.ome.tif").code == 0
    told = zs("predict", tmp_path / "cell.zsd", cell, "-o", tmp_path / "b.ome.zarr", "--format", "zarr").error
    assert "--format zarr with -o" in told and "a name that decides it" in told
    input_kept = zs("predict", tmp_path / "cell.zsd", target, "-o", target, "--overwrite").error
    assert "is the folder of the inputs" in input_kept
    assert zs("predict", tmp_path / "cell.zsd", cell, "-o", tmp_path / "all", "--format", "zarr").code == 0
    assert sorted(path.name for path in (tmp_path / "all").iterdir()) == IMAGES


def test_a_folder_of_another_kind_is_never_replaced(zs, cell, quick, tmp_path):
    folder = tmp_path / "out" / IMAGES[1]
    folder.mkdir(parents=True)
    (folder / "notes.txt").write_text("precious")
    told = zs("run", cell, "-o", tmp_path / "out", *quick, "--format", "zarr", "--overwrite").error
    assert "exists and is no folder of Zarr, which alone is replaced" in told
    assert (folder / "notes.txt").read_text() == "precious"
    assert [path.name for path in (tmp_path / "out").iterdir()] == [IMAGES[1]]


def test_a_failure_while_writing_leaves_no_folder(zs, cell, quick, tmp_path, monkeypatch):
    def failing(*arguments, **options):
        raise MemoryError("for the test")

    monkeypatch.setattr("zsdeconv.model.Model.save", failing)
    assert "memory" in zs("run", cell, "-o", tmp_path / "out", *quick, "--format", "zarr").error
    assert [path.name for path in (tmp_path / "out").iterdir()] == [".cell_checkpoint.zsd"]


def test_a_missing_package_is_told_before_the_first_step(zs, cell, quick, tmp_path, monkeypatch):
    for module in [name for name in sys.modules if name.partition(".")[0] == "yaozarrs"]:
        monkeypatch.delitem(sys.modules, module)
    monkeypatch.setitem(sys.modules, "yaozarrs", None)
    told = zs("run", cell, "-o", tmp_path / "out", *quick, "--format", "zarr").error
    assert told.endswith("OME-Zarr needs the packages zarr and yaozarrs; pip install 'zsdeconv[formats]'")
    assert not (tmp_path / "out").exists()
