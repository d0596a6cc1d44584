"""`run`, `train` and `predict` from files to files: names, units, provenance, repetition, resumption."""

import json
import re
from dataclasses import replace

import numpy as np
import pytest
import yaml

from zsdeconv import io, pipeline
from zsdeconv.io.model_file import read_header

OPTICS = ("--na", 1.2, "--wavelength-nm", 600)
FILES = ["cell.zsd", "cell_config.yaml", "cell_deconvolved.ome.tif", "cell_denoised.ome.tif", "cell_log.jsonl", "cell_uncertainty.ome.tif"]


def pixels(folder, stem="cell"):
    return {kind: io.read(folder / f"{stem}_{kind}.ome.tif").data for kind in ("denoised", "deconvolved")}


def assert_same(first, second):
    for kind, data in first.items():
        assert np.array_equal(data, second[kind]), kind


def test_run_writes_the_files_of_the_contract(zs, cell, quick, tmp_path):
    out = tmp_path / "new" / "folder"
    ended = zs("run", cell, "-o", out, *quick, "--seed", 3)
    assert (ended.code, ended.warnings) == (0, [])
    assert sorted(path.name for path in out.iterdir()) == FILES
    assert re.search(r"^psf +.*NA 1.2, 600 nm.*index assumed", ended.out, re.MULTILINE)
    assert re.search(r"^image +57 x 64 pixels of 0.1 x 0.1 um \(file\)", ended.out, re.MULTILINE)
    raw, fine = (io.read(out / f"cell_{kind}.ome.tif") for kind in ("denoised", "deconvolved"))
    assert (raw.data.shape, fine.data.shape) == ((57, 64), (114, 128))
    assert raw.data.dtype == fine.data.dtype == np.float32
    assert raw.spacing_um["X"] == pytest.approx(0.1) and fine.spacing_um["X"] == pytest.approx(0.05)
    assert raw.offset == fine.offset == 0
    log = [json.loads(line) for line in (out / "cell_log.jsonl").read_text().splitlines()]
    assert log and all(np.isfinite(event["validation"]) for event in log)


def test_provenance_says_how_a_result_came_about(zs, cell, quick, tmp_path):
    zs("run", cell, "-o", tmp_path, *quick, "--seed", 3)
    said = io.read_provenance(tmp_path / "cell_deconvolved.ome.tif")
    assert (said["input"], said["seed"], said["config"]["optics"]["na"]) == ("cell.tif", 3, 1.2)
    assert said["version"] and said["psf"]["fingerprint"] == read_header(tmp_path / "cell.zsd")[0]["psf"]["fingerprint"]


def test_the_saved_configuration_repeats_the_run(zs, cell, quick, tmp_path):
    zs("run", cell, "-o", tmp_path / "a", *quick, "--seed", 3, "--background", 99)
    assert yaml.safe_load((tmp_path / "a" / "cell_config.yaml").read_text())["input"]["background"] == 99
    again = zs("run", cell, "-o", tmp_path / "b", "--config", tmp_path / "a" / "cell_config.yaml", "--quiet")
    assert (again.code, again.out, again.err) == (0, "", "")
    assert_same(pixels(tmp_path / "a"), pixels(tmp_path / "b"))


def test_options_win_over_the_configuration(zs, cell, quick, tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text(yaml.safe_dump({"preset": "paper", "seed": 5, "optics": {"na": 1.0, "wavelength_nm": 500}}))
    shown = zs("run", cell, "-o", tmp_path, "--config", path, "--na", 1.3, "--dry-run", "--json").json
    assert shown["dry_run"] is True
    assert (shown["config"]["optics"]["na"], shown["config"]["optics"]["wavelength_nm"], shown["config"]["seed"]) == (1.3, 500, 5)
    assert shown["config"]["network"]["kind"] == "unet"
    assert shown["results"][0]["summary"]["optics"]["na"] == 1.3


def test_a_dry_run_writes_nothing(zs, cell, quick, tmp_path):
    ended = zs("run", cell, "-o", tmp_path / "out", *quick, "--dry-run")
    assert ended.code == 0
    assert yaml.safe_load(ended.out[ended.out.index("modality:") :])["optics"]["na"] == 1.2
    assert not (tmp_path / "out").exists()


def test_run_as_json(zs, cell, quick, tmp_path):
    told = zs("run", cell, "-o", tmp_path, *quick, "--json").json
    result = told["results"][0]
    assert result["steps"] == 4
    assert sorted(result["outputs"]) == sorted(str(tmp_path / name) for name in FILES)
    assert result["summary"]["sources"]["pixel_um"] == "file"


def test_the_model_restores_the_next_image_alike(zs, cell, quick, tmp_path):
    """No option is repeated, and the image it was trained on comes out as in the run."""
    zs("run", cell, "-o", tmp_path / "a", *quick)
    ended = zs("predict", tmp_path / "a" / "cell.zsd", cell, "-o", tmp_path / "b")
    assert ended.code == 0
    assert_same(pixels(tmp_path / "a"), pixels(tmp_path / "b"))
    assert io.read_provenance(tmp_path / "b" / "cell_denoised.ome.tif")["model"] == "cell.zsd"


def test_prediction_to_a_single_file(zs, cell, quick, tmp_path):
    zs("run", cell, "-o", tmp_path, *quick)
    target = tmp_path / "sharp.tif"
    assert zs("predict", tmp_path / "cell.zsd", cell, "-o", target, "--json").json["results"][0]["outputs"] == [str(target)]
    assert np.array_equal(io.read(target).data, pixels(tmp_path)["deconvolved"])
    assert "--overwrite" in zs("predict", tmp_path / "cell.zsd", cell, "-o", target).error
    assert "folder" in zs("predict", tmp_path / "cell.zsd", cell, cell.rename(tmp_path / "other.tif"), "-o", tmp_path / "x.tif").error


def test_a_time_series_trains_one_model_and_keeps_its_axes(zs, save, quick, frame, tmp_path):
    path = save("series.ome.tif", np.stack([frame[:48, :56], frame[20:68, 10:66]]), 0.1)
    assert zs("run", path, "-o", tmp_path / "out", *quick).code == 0
    image = io.read(tmp_path / "out" / "series_deconvolved.ome.tif")
    assert image.sizes == {"T": 2, "Y": 96, "X": 112}


def test_one_model_from_several_files(zs, cell, quick, save, frame, tmp_path):
    other = save("other.tif", frame[30:80], 0.1)
    model = tmp_path / "both.zsd"
    shown = zs("train", cell, other, "-o", model, *quick, "--json").json
    assert shown["results"][0]["summary"]["frames"] == 2
    assert shown["results"][0]["outputs"] == [str(model)]
    assert zs("predict", model, cell, other, "-o", tmp_path / "out", "--passes", 0, "--quiet").code == 0
    names = sorted(path.name for path in (tmp_path / "out").iterdir())
    assert names == ["cell_deconvolved.ome.tif", "cell_denoised.ome.tif", "other_deconvolved.ome.tif", "other_denoised.ome.tif"]


def test_scale_one_keeps_the_grid(zs, cell, quick, tmp_path):
    assert zs("run", cell, "-o", tmp_path, *quick, "--scale", 1).code == 0
    image = io.read(tmp_path / "cell_deconvolved.ome.tif")
    assert image.data.shape == (57, 64)
    assert image.spacing_um["Y"] == pytest.approx(0.1)


@pytest.fixture
def interrupted_after(monkeypatch):
    """Interrupt a training at its n-th report, as Ctrl-C does."""

    def arrange(reports):
        count = iter(range(reports))

        def callback(event):
            if next(count, None) is None:
                raise KeyboardInterrupt

        train = pipeline.train_prepared
        monkeypatch.setattr(pipeline, "train_prepared", lambda *given, **options: train(*given, callback=callback, **options))

    yield arrange
    monkeypatch.undo()


def test_an_interrupted_run_resumes_to_the_same_result(zs, cell, quick, tmp_path, interrupted_after, monkeypatch):
    options = (*quick, "--steps", 12, "--passes", 0)
    assert zs("run", cell, "-o", tmp_path / "whole", *options).code == 0

    out = tmp_path / "out"
    interrupted_after(3)
    stopped = zs("run", cell, "-o", out, *options)
    assert stopped.code == 130
    assert stopped.err.count("\n") == 1 and "--resume" in stopped.err
    assert [path.name for path in out.iterdir()] == [".cell_checkpoint.zsd"]

    monkeypatch.undo()
    resumed = zs("run", cell, "-o", out, *options, "--resume")
    assert (resumed.code, resumed.warnings) == (0, [])
    assert_same(pixels(tmp_path / "whole"), pixels(out))
    assert sorted(path.name for path in out.iterdir()) == [name for name in FILES if "uncertainty" not in name]

    reconstructed_as = zs("run", cell, "-o", out, *options, "--resume")
    assert (reconstructed_as.code, reconstructed_as.out) == (0, "cell: done already\n")


def test_resuming_with_other_options_is_refused(zs, cell, quick, tmp_path, interrupted_after, monkeypatch):
    model = tmp_path / "m.zsd"
    interrupted_after(2)
    assert zs("train", cell, "-o", model, *quick, "--steps", 12).code == 130
    monkeypatch.undo()
    error = zs("train", cell, "-o", model, *quick, "--steps", 14, "--resume").error
    assert "--steps was 12, now it is 14" in error and "--resume" in error
    assert not model.exists()


def test_nothing_to_resume_is_said(zs, cell, quick, tmp_path):
    ended = zs("train", cell, "-o", tmp_path / "m.zsd", *quick, "--resume")
    assert ended.code == 0
    assert any("anew" in line for line in ended.warnings)


def test_a_failure_while_writing_leaves_no_result(zs, cell, quick, tmp_path, monkeypatch):
    """The model cannot be saved, after the images were written: none of them appears, and the training is kept."""

    def failing(*arguments, **options):
        raise MemoryError("for the test")

    monkeypatch.setattr("zsdeconv.model.Model.save", failing)
    out = tmp_path / "out"
    assert "memory" in zs("run", cell, "-o", out, *quick).error
    assert [path.name for path in out.iterdir()] == [".cell_checkpoint.zsd"]


def test_a_run_says_how_far_to_trust_it(zs, save, frame, tiny, tmp_path):
    cell = save("cell.tif", frame, 0.1)
    ended = zs("run", cell, "-o", tmp_path, *OPTICS, "--config", tiny, "--report")
    assert ended.code == 0, ended.err
    assert sorted(path.name for path in tmp_path.glob("cell_*.html")) == ["cell_report.html"]
    good, every, missing = re.search(r"^trust +(\d+) of (\d+) good, (\d+) not checked; ", ended.out, re.MULTILINE).groups()  # pyright: ignore[reportOptionalMemberAccess]
    listed = re.findall(r"^(?:warn|fail) +", ended.out, re.MULTILINE)
    assert int(every) == int(good) + len(listed) and int(missing) > 0, "what was not checked is neither good nor doubtful, and counts apart"
    assert "not_checked" not in ended.out
    page = (tmp_path / "cell_report.html").read_text(encoding="utf-8")
    assert "cell.tif" in page and "<h1" in page
    known = zs("run", cell, "-o", tmp_path, *OPTICS, "--config", tiny, "--report", "--json", "--overwrite").json["results"][0]["trust"]

    parts = ("evaluate", tmp_path / "cell_deconvolved.ome.tif", "--raw", cell, "--model", tmp_path / "cell.zsd")
    told = zs(*parts, "--report", tmp_path / "again.html", "--json").json
    assert {key: told[key] for key in known} == known
    assert (tmp_path / "again.html").read_text(encoding="utf-8").count("<h2") == page.count("<h2")
    lines = zs(*parts).out.splitlines()
    assert len(lines) == sum(len(section["findings"]) for section in known.values())

    refused = zs("evaluate", tmp_path / "cell_denoised.ome.tif", *parts[2:])
    assert refused.code == 2 and "(90, 72) pixels, the model makes (180, 144)" in refused.err
    other = io.read(tmp_path / "cell_deconvolved.ome.tif")
    io.write(tmp_path / "other.ome.tif", replace(other, data=other.data + other.data.max() / 20), provenance={})
    assert "differs from what the model makes" in zs("evaluate", tmp_path / "other.ome.tif", *parts[2:]).err
    assert "exists" in zs(*parts, "--report", tmp_path / "again.html").err
    assert "--resolution-um 0.2 without a truth" in zs(*parts, "--resolution-um", 0.2).err
    assert f"--raw {cell} with a truth" in zs("evaluate", cell, cell, "--raw", cell).err
    alone = zs("evaluate", cell)
    assert alone.code == 2 and "--model and --raw" in alone.err
