"""No result is ever an input, whatever path or link leads there; and what cannot be written is refused before any work."""

import errno
import os
import shutil
import subprocess
import sys

import numpy as np
import pytest
import yaml

from zsdeconv.cli.output_checks import check_outputs, refuse_full
from zsdeconv.errors import OutputError

OPTICS = ("--na", 1.2, "--wavelength-nm", 600)


@pytest.fixture
def cell(save, frame):
    return save("cell.tif", frame[:57, :64], 0.1)


@pytest.fixture(scope="module")
def model(tmp_path_factory, tiny):
    """A trained model and its image."""
    from zsdeconv.cli import main

    folder = tmp_path_factory.mktemp("trained")
    assert main(["simulate", "2d", "-o", str(folder), "--size", "64", "--quiet"]) == 0
    words = ["train", folder / "noisy.tif", "-o", folder / "m.zsd", *OPTICS, "--config", tiny, "--quiet"]
    assert main([str(word) for word in words]) == 0
    return folder / "m.zsd"


def linked(kind, path, folder):
    """Another way to the same file."""
    other = folder / f"other-{kind}.tif"
    if kind == "symlink":
        other.symlink_to(path)
    elif kind == "hardlink":
        os.link(path, other)
    elif kind == "folder":
        (folder / "way").symlink_to(path.parent)
        return folder / "way" / path.name
    elif kind == "dots":
        return path.parent / "x" / ".." / path.name
    else:
        return path
    return other


@pytest.mark.parametrize("kind", ["same", "symlink", "hardlink", "folder", "dots"])
def test_a_prediction_does_not_replace_its_input(zs, model, tmp_path, kind):
    folder = tmp_path / "data"
    (folder / "x").mkdir(parents=True)
    raw = folder / "raw.tif"
    shutil.copy(model.parent / "noisy.tif", raw)
    before = raw.read_bytes()
    error = zs("predict", model, raw, "-o", linked(kind, raw, tmp_path), "--overwrite").error
    assert "is an input of this command" in error and "-o" in error
    assert raw.read_bytes() == before


def test_a_prediction_does_not_replace_its_model(zs, model, tmp_path):
    own = tmp_path / "m.tif"
    shutil.copy(model, own)
    assert "is an input" in zs("predict", own, model.parent / "noisy.tif", "-o", own, "--overwrite").error


def test_a_run_does_not_replace_another_input(zs, cell, save, frame, tmp_path, tiny):
    result = save("cell_denoised.ome.tif", frame, 0.1)
    before = result.read_bytes()
    for option in ("--overwrite", "--resume"):
        error = zs("run", cell, result, "-o", tmp_path, *OPTICS, "--config", tiny, option).error
        assert "cell_denoised.ome.tif: is an input" in error
    assert result.read_bytes() == before


def test_files_of_settings_are_inputs_too(zs, cell, save, tiny, tmp_path):
    config = tmp_path / "cell_config.yaml"
    shutil.copy(tiny, config)
    assert "is an input" in zs("run", cell, "-o", tmp_path, *OPTICS, "--config", config, "--overwrite").error
    psf = save("cell_deconvolved.ome.tif", np.outer(np.hanning(9), np.hanning(9)).astype(np.float32), 0.05)
    assert "is an input" in zs("run", cell, "-o", tmp_path, "--psf", psf, "--overwrite").error
    kept = save("model_gain.tif", np.ones((57, 64), np.float32))
    camera = tmp_path / "camera.yaml"
    camera.write_text(yaml.safe_dump({"maps": {"offset_adu": "o.tif", "gain_adu_per_e": kept.name, "read_variance_adu2": "v.tif"}}))
    assert "is an input" in zs("train", cell, "-o", kept, *OPTICS, "--camera", camera, "--overwrite").error


def test_other_verbs_do_not_replace_inputs(zs, save, frame, model, tmp_path):
    dark = save("camera_offset.tif", np.stack([frame] * 3))
    before = dark.read_bytes()
    assert "is an input" in zs("calibrate", "--dark", dark, "--flat", dark, "-o", tmp_path / "camera.yaml", "--overwrite").error
    assert "is an input" in zs("psf", "measure", dark, "-o", dark, "--overwrite").error
    for verb in ("estimate", "reconstruct"):
        assert "is an input" in zs("sim", verb, dark, "-o", dark, *OPTICS, "--overwrite").error
    parts = ("--raw", dark, "--model", model, "--report", model, "--overwrite")
    assert "is an input" in zs("evaluate", dark, *parts).error
    assert dark.read_bytes() == before


def test_a_link_is_not_written_through_nor_replaced(zs, cell, tmp_path, tiny):
    precious, out = tmp_path / "precious.tif", tmp_path / "out"
    precious.write_text("of last year")
    out.mkdir()
    (out / "cell_denoised.ome.tif").symlink_to(precious)
    error = zs("run", cell, "-o", out, *OPTICS, "--config", tiny, "--overwrite").error
    assert "is a link to" in error and str(precious) in error
    assert precious.read_text() == "of last year" and (out / "cell_denoised.ome.tif").is_symlink()


def test_names_that_are_too_long_are_refused_before_the_first_step(zs, save, frame, tmp_path, tiny, monkeypatch):
    monkeypatch.setattr("zsdeconv.prepare.prepare", lambda *arguments: pytest.fail("too late"))
    path = save(f"{'n' * 236}.tif", frame, 0.1)
    error = zs("run", path, "-o", tmp_path / "out", *OPTICS, "--config", tiny).error
    assert "a name of 25" in error and "takes 255" in error
    assert not (tmp_path / "out").exists()


def test_the_longest_possible_name_is_written(zs, save, frame, tmp_path, tiny):
    """Of letters with two bytes, whose temporary names must fit, too."""
    stem = "\N{LATIN SMALL LETTER E WITH ACUTE}" * 116
    path = save(f"{stem}.tif", frame[:57, :64], 0.1)
    assert zs("run", path, "-o", tmp_path / "out", *OPTICS, "--config", tiny, "--steps", 2).code == 0
    assert (tmp_path / "out" / f"{stem}_deconvolved.ome.tif").exists()


def test_a_folder_that_takes_no_files_is_refused_before_the_first_step(zs, cell, tmp_path, tiny, monkeypatch):
    def forbidden(*arguments, **options):
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr("tempfile.mkdtemp", forbidden)
    monkeypatch.setattr("zsdeconv.prepare.prepare", lambda *arguments: pytest.fail("too late"))
    error = zs("run", cell, "-o", tmp_path / "out", *OPTICS, "--config", tiny).error
    assert str(tmp_path) in error and "Permission denied" in error


def test_names_that_are_one_for_the_file_system(tmp_path, monkeypatch):
    """As on disks that take no notice of capital letters: both names lead to one file."""
    kind = type(tmp_path)
    touch, stat = kind.touch, kind.stat
    monkeypatch.setattr(kind, "touch", lambda path: touch(path.with_name(path.name.lower())))
    monkeypatch.setattr(kind, "stat", lambda path, **options: stat(path.with_name(path.name.lower()), **options))
    with pytest.raises(OutputError, match=r"Cell\.tif and cell\.tif"):
        check_outputs([tmp_path / "cell.tif", tmp_path / "Cell.tif"], inputs=(), overwrite=False)


def test_a_full_disk_is_refused_before_the_first_step(zs, cell, tmp_path, tiny, monkeypatch):
    monkeypatch.setattr("shutil.disk_usage", lambda path: shutil._ntuple_diskusage(10**9, 10**9, 5 * 10**7))
    error = zs("run", cell, "-o", tmp_path / "out", *OPTICS, "--config", tiny).error
    assert "0.1 GB" in error and "0.05 GB" in error
    refuse_full(tmp_path / "not" / "there", 4e7)


def started(words, **streams):
    return subprocess.run([sys.executable, "-m", "zsdeconv", *map(str, words)], check=False, **streams)


def test_a_reader_that_leaves_does_not_stop_the_work(tmp_path):
    """Both streams lead into a pipe that nobody reads: the files are written, and the exit code is right."""
    good, bad = ["simulate", "2d", "-o", tmp_path / "s", "--size", 32], ["info", tmp_path / "none.tif"]
    for words, code in ((good, 0), (bad, 2)):
        read_end, write_end = os.pipe()
        os.close(read_end)
        assert started(words, stdout=write_end, stderr=write_end).returncode == code, words
        os.close(write_end)
    assert (tmp_path / "s" / "settings.yaml").exists()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="streams are closed as POSIX does")
@pytest.mark.parametrize("closed", [(1,), (2,), (0, 1, 2)])
def test_closed_streams(tmp_path, closed):
    def close():
        for number in closed:
            os.close(number)

    assert started(["simulate", "2d", "-o", tmp_path / "s", "--size", 32], preexec_fn=close).returncode == 0
    assert (tmp_path / "s" / "noisy.tif").stat().st_size > 1000
    assert started(["info", tmp_path / "none.tif"], preexec_fn=close).returncode == 2
