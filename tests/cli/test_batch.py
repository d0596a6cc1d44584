"""Several inputs: checked before the first training, one after the other, and what fails does not stop the others."""

import re
import shutil
import sys

import numpy as np
import pytest
import tifffile

from zsdeconv import io
from zsdeconv.io.model_file import read_header
from zsdeconv.pipeline import train_prepared

OPTICS = ("--na", 1.2, "--wavelength-nm", 600)


@pytest.fixture
def quick(tiny):
    """Options of a run that takes no time."""
    return (*OPTICS, "--config", tiny, "--passes", 0, "--steps", 2)


@pytest.fixture
def three(save, frame, tmp_path):
    """Two images, and a broken one between them."""
    save("a.tif", frame[:57, :64], 0.1)
    (tmp_path / "b.tif").write_text("no image at all")
    save("c.tif", np.minimum(frame[20:71, :66], 150), 0.1)
    return [tmp_path / f"{name}.tif" for name in "abc"]


def lines(text, word):
    return [line for line in text.splitlines() if word in line]


def test_a_broken_input_is_told_before_the_first_training_and_left_out(zs, three, quick, tmp_path, monkeypatch):
    told = []

    def trained(*arguments, **options):
        told.append(sys.stderr.getvalue())  # pyright: ignore[reportAttributeAccessIssue]: what `capsys` puts in its place
        return train_prepared(*arguments, **options)

    monkeypatch.setattr("zsdeconv.pipeline.train_prepared", trained)
    ended = zs("run", *three, "-o", tmp_path / "out", *quick)
    assert ended.code == 2
    assert len(told) == 2 and "error: 2 of 3: b.tif: not an image" in told[0]
    assert sorted(path.name for path in (tmp_path / "out").glob("*.zsd")) == ["a.zsd", "c.zsd"]
    assert all(re.match("[123] of 3", line) for line in ended.out.splitlines()[:-3]), "every line says whose it is"
    table = [re.split("  +", line) for line in ended.out.splitlines()[-3:]]
    assert [row[0] for row in table] == ["a.tif", "b.tif", "c.tif"]
    assert table[0][1] == table[2][1] == "restored" and table[1][1].startswith("failed: not an image")
    assert "2 of 3 inputs are to be restored" in ended.out
    assert all(line.startswith("c.tif: ") for line in ended.warnings if "saturated" in line) and lines(ended.err, "saturated")


def test_as_json_every_input_has_its_entry(zs, three, quick, tmp_path):
    ended = zs("run", *three, "-o", tmp_path / "out", *quick, "--dry-run", "--json")
    assert ended.code == 2
    first, second, third = ended.json["results"]
    assert first["input"] == str(three[0]) and first["summary"]["shape"] == [57, 64]
    assert second["input"] == str(three[1]) and "not an image" in second["error"] and "summary" not in second
    assert "error" not in third


def test_a_fault_in_the_middle_does_not_stop_the_others(zs, save, frame, quick, tmp_path, monkeypatch):
    paths = [save(f"{name}.tif", frame[:57, :64], 0.1) for name in "ab"]
    met = iter([ZeroDivisionError("odd"), None])

    def trained(*arguments, **options):
        if fault := next(met):
            raise fault
        return train_prepared(*arguments, **options)

    monkeypatch.setattr("zsdeconv.pipeline.train_prepared", trained)
    ended = zs("run", *paths, "-o", tmp_path / "out", *quick)
    assert ended.code == 1, "a fault of ours"
    assert "Traceback" in ended.err and "fault: 1 of 2: a.tif: " in ended.err
    assert [path.name for path in (tmp_path / "out").glob("*.zsd")] == ["b.zsd"]
    assert re.search("^a.tif +failed: fault of the program: ZeroDivisionError: odd$", ended.out, re.MULTILINE)


def test_all_failed(zs, tmp_path, quick):
    for name in "ab":
        (tmp_path / f"{name}.tif").write_text("no image at all")
    ended = zs("run", tmp_path / "a.tif", tmp_path / "b.tif", "-o", tmp_path / "out", *quick, "--quiet")
    assert (ended.code, ended.out, ended.err.count("\n")) == (2, "", 2)
    assert not (tmp_path / "out").exists()


def test_predictions_of_several_inputs(zs, three, quick, tmp_path):
    zs("train", three[0], "-o", tmp_path / "m.zsd", *quick[:6], "--steps", 2)
    ended = zs("predict", tmp_path / "m.zsd", three[0], three[1], "-o", tmp_path / "out", "--passes", 0, "--json")
    assert ended.code == 2
    assert len(ended.json["results"][0]["outputs"]) == 2 and "not an image" in ended.json["results"][1]["error"]
    assert "error: 2 of 2: b.tif" in ended.err


def assert_alike(first, second, name):
    """Both folders have the same pixels under a name."""
    assert np.array_equal(io.read(first / name).data, io.read(second / name).data)


def test_one_model_for_all(zs, save, frame, quick, tmp_path):
    paths = [save("a.tif", frame[:57, :64], 0.1), save("b.tif", frame[20:75, :70], 0.1)]
    (tmp_path / "c.tif").write_text("no image at all")
    out, words = tmp_path / "out", (*paths, tmp_path / "c.tif", "--one-model", *quick)
    ended = zs("run", *words, "-o", out)
    assert ended.code == 2
    names = {f"{stem}_{kind}.ome.tif" for stem in "ab" for kind in ("denoised", "deconvolved")}
    assert {path.name for path in out.iterdir()} == names | {"model.zsd", "model_config.yaml", "model_log.jsonl"}
    assert read_header(out / "model.zsd")[0]["provenance"]["frames"] == 2
    again = zs("predict", out / "model.zsd", paths[1], "-o", tmp_path / "again", "--passes", 0)
    assert again.code == 0
    assert_alike(out, tmp_path / "again", "b_denoised.ome.tif")

    for path in out.glob("b_*"):
        path.unlink()
    steps = zs("run", *words, "-o", out, "--resume", "--json")
    first, second, _ = steps.json["results"]
    assert first["skipped"] == "done already" and len(second["outputs"]) == 2
    assert_alike(out, tmp_path / "again", "b_denoised.ome.tif")
    assert "--one-model with one input" in zs("run", paths[0], "--one-model", *quick, "-o", out).error


@pytest.fixture
def folder(tmp_path, frame):
    """Frames 1, 2 and 10 of a movie, and a note."""
    path = tmp_path / "well.2"
    path.mkdir()
    for number, shift in ((1, 0), (2, 3), (10, 6)):
        tifffile.imwrite(path / f"f{number}.tif", frame[shift : shift + 50, :60], photometric="minisblack")
    (path / "notes.txt").write_text("a note")
    return path


def test_a_folder_as_a_movie(zs, folder, quick, tmp_path, frame):
    out = tmp_path / "out"
    ended = zs("run", folder, "--as", "movie", "-o", out, *quick, "--pixel-um", 0.1)
    assert ended.code == 0, ended.err
    assert re.search(r"^movie +3 frames, f1.tif to f10.tif$", ended.out, re.MULTILINE)
    assert io.read(out / "well.2_denoised.ome.tif").sizes == {"T": 3, "Y": 50, "X": 60}
    files = zs("predict", out / "well.2.zsd", *folder.glob("*.tif"), "--as", "movie", "-o", tmp_path / "movie.tif")
    assert files.code == 0 and io.read(tmp_path / "movie.tif").sizes["T"] == 3


def test_a_folder_as_images(zs, folder, quick, tmp_path):
    ended = zs("run", folder, "--as", "images", "-o", tmp_path / "out", *quick, "--pixel-um", 0.1, "--dry-run", "--json")
    assert [entry["input"] for entry in ended.json["results"]] == [str(folder / name) for name in ("f1.tif", "f2.tif", "f10.tif")]


def test_what_a_folder_stands_for_has_to_be_said(zs, folder, quick, tmp_path):
    error = zs("run", folder, "-o", tmp_path / "out", *quick).error
    assert "--as movie" in error and "--as images" in error
    one = folder / "f1.tif"
    assert "--as movie with one file" in zs("run", one, "--as", "movie", "-o", tmp_path / "out", *quick).error
    assert "--as images with 1 files" in zs("run", one, "--as", "images", "-o", tmp_path / "out", *quick).error
    assert "give one kind" in zs("run", folder, one, "--as", "movie", "-o", tmp_path / "out", *quick).error
    assert "taken for inputs" in zs("run", folder, "--as", "movie", "-o", folder, *quick).error
    assert "movie or images" in zs("run", folder, "--as", "film", "-o", tmp_path / "out", *quick).error
    shutil.copy(one, folder / "f11.tif")
    (folder / "f12.tif").write_bytes(one.read_bytes()[:300])
    assert "f12.tif" in zs("run", folder, "--as", "movie", "-o", tmp_path / "out", *quick).error


@pytest.mark.parametrize("text", ["0:40,5:45", "Y:40,X5:45", "x5:45, y0:40"])
def test_a_crop_is_a_part(zs, save, frame, quick, tmp_path, text):
    path = save("cell.tif", frame, 0.1)
    out = tmp_path / "out"
    assert zs("run", path, "-o", out, *quick, "--crop", text).code == 0
    image = io.read(out / "cell_denoised.ome.tif")
    assert image.data.shape == (40, 40)
    assert io.read_provenance(out / "cell_denoised.ome.tif")["crop"] == text
    part = save("part.tif", frame[:40, 5:45], 0.1)
    assert zs("predict", out / "cell.zsd", part, "-o", tmp_path / "same", "--quiet").code == 0
    assert np.array_equal(image.data, io.read(tmp_path / "same" / "part_denoised.ome.tif").data)
    again = zs("predict", out / "cell.zsd", path, "-o", tmp_path / "again", "--quiet", "--crop", "10:50,2:60")
    assert again.code == 0 and io.read(tmp_path / "again" / "cell_denoised.ome.tif").data.shape == (40, 58)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("0:100,0:40", ["0:100 along Y", "90 pixels"]),
        ("0:40,72:80", ["72:80 along X", "72 pixels"]),
        ("5:5,0:40", ["5:5 along Y", "no pixel"]),
        ("9:3,0:40", ["9:3 along Y"]),
        ("T0:2", ["along T", "YX"]),
        ("0:40", ["0:40", "T0:5,Z3:20"]),
        ("C0:2,0:40,0:40", ["C0:2"]),
        ("Y0:4,0:40,0:40", ["form"]),
        ("-3:40,0:40", ["form"]),
    ],
)
def test_impossible_crops(zs, save, frame, quick, tmp_path, text, words):
    error = zs("run", save("cell.tif", frame, 0.1), "-o", tmp_path / "out", *quick, f"--crop={text}").error
    assert all(word in error for word in [*words, "--crop"]), error
    assert not (tmp_path / "out").exists()
