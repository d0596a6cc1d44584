"""Every bad input ends with exit code 2, one line with the value, the limit and the next action, and nothing under a final name."""

import errno
import os
import shutil
import subprocess
import sys

import mrcfile
import numpy as np
import pytest
import tifffile
import torch
import yaml

from zsdeconv.io.model_file import FORMAT_VERSION, load_model, save_model

OPTICS = ("--na", 1.4, "--wavelength-nm", 525)


@pytest.fixture
def out(tmp_path):
    return tmp_path / "out"


@pytest.fixture
def refused(zs, out):
    """`refused("cell.tif", "words", ...)`: `run` on a file is refused with these words, and writes nothing."""

    def check(path, *words, options=OPTICS, dry=True):
        error = zs("run", path, "-o", out, *options, *(["--dry-run"] if dry else ["--steps", 1])).error
        for word in words:
            assert word in error, error
        assert not out.exists() or list(out.iterdir()) == []
        return error

    return check


@pytest.fixture
def cell(save, frame):
    return save("cell.tif", frame)


def test_missing_file(refused, tmp_path):
    refused(tmp_path / "none.tif", "none.tif", "no such file", "check")


def test_folder_as_input(refused, tmp_path):
    refused(tmp_path, "folder")


def test_not_an_image(refused, tmp_path):
    path = tmp_path / "notes.tif"
    path.write_text("Dear diary")
    refused(path, "notes.tif", "TIFF")


def test_empty_file(refused, tmp_path):
    path = tmp_path / "nothing.tif"
    path.touch()
    refused(path, "nothing.tif", "0 bytes")


@pytest.mark.parametrize("part", [0.02, 0.3, 0.6, 0.95])
def test_truncated_tiff(refused, save, frame, part):
    path = save("cut.tif", frame)
    path.write_bytes(path.read_bytes()[: int(part * path.stat().st_size)])
    refused(path, "cut.tif")


def test_rgb(refused, tmp_path):
    path = tmp_path / "screen.tif"
    tifffile.imwrite(path, np.zeros((20, 30, 3), np.uint8), photometric="rgb")
    refused(path, "screen.tif", "RGB", "3")


def test_one_pixel(refused, save):
    refused(save("dot.tif", np.ones((1, 1), np.uint16)), "1 x 1", "8 x 8")


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_hardly_a_pixel_that_is_a_number(refused, save, frame, value):
    holed = frame.astype(np.float32)
    holed[:, 4:] = value
    holed[9:] = value
    refused(save("holed.tif", holed), "of 6480 pixels are numbers", "at least 5 %")


def test_constant_image(refused, save):
    refused(save("flat.tif", np.full((40, 50), 100, np.uint16)), "constant", "100")


def test_complex_image(refused, save, frame):
    refused(save("complex.tif", frame.astype(np.complex64)), "complex")


def test_ambiguous_axes(refused, tmp_path, frame):
    path = tmp_path / "stack.tif"
    tifffile.imwrite(path, np.stack([frame] * 5), photometric="minisblack")
    refused(path, "5", "--axes TYX")


@pytest.mark.parametrize("axes", ["XX", "Y", "TYXC", "QYX"])
def test_impossible_axes(refused, cell, axes):
    refused(cell, "--axes", options=(*OPTICS, "--axes", axes))


def test_saturated_image_is_warned_about(zs, save, frame, out):
    path = save("bright.tif", np.minimum(frame, 150))
    ended = zs("run", path, "-o", out, *OPTICS, "--dry-run")
    assert ended.code == 0
    fraction = 100 * np.mean(frame >= 150)
    assert any("saturated" in line and f"{fraction:.3g} %" in line for line in ended.warnings), ended.err


def test_pixel_size_missing(refused, save, frame):
    refused(save("cell.tif", frame, pixel_um=None), "pixel size", "--pixel-um")


@pytest.mark.parametrize("value", [0, -0.1, 65, 1e-9, "nan"])
def test_pixel_size_impossible(refused, cell, value):
    refused(cell, "--pixel-um", f"{value}", options=(*OPTICS, "--pixel-um", value))


@pytest.mark.parametrize("value", [0.0, 1e7])
def test_pixel_size_impossible_in_the_file(refused, save, frame, value):
    refused(save("cell.tif", frame, pixel_um=value), "--pixel-um")


def test_aperture_above_the_index(refused, cell):
    refused(cell, "NA (1.49)", "(1.33)", "--immersion-ri", "--na", options=("--na", 1.49, "--immersion-ri", 1.33, "--wavelength-nm", 525))


@pytest.mark.parametrize(("options", "word"), [(("--wavelength-nm", 525), "--na"), (("--na", 1.4), "--wavelength-nm"), ((), "--na")])
def test_optics_missing(refused, cell, options, word):
    refused(cell, word, "--psf", options=options)


@pytest.mark.parametrize("value", [0.525, 0, -500, 525000])
def test_wavelength_impossible(refused, cell, value):
    refused(cell, "--wavelength-nm", options=("--na", 1.4, "--wavelength-nm", value))


def test_coarse_pixels_are_warned_about(zs, cell, out):
    ended = zs("run", cell, "-o", out, *OPTICS, "--pixel-um", 0.15, "--scale", 1, "--dry-run")
    assert ended.code == 0
    assert any("0.15" in line and "--scale 2" in line for line in ended.warnings), ended.err


def blob(n=15, middle=7.0):
    y, x = np.mgrid[:n, :n] - middle
    return np.exp(-(y**2 + x**2) / 8).astype(np.float32)


BAD_PSFS = {
    "all NaN": (np.full((9, 9), np.nan, np.float32), ["not one finite"]),
    "some NaN": (np.where(np.eye(9) > 0, np.nan, 1).astype(np.float32), ["9 of 81"]),
    "all zero": (np.zeros((9, 9), np.float32), ["zero"]),
    "negative": (-blob(), ["negative"]),
    "constant": (np.full((9, 9), 3, np.float32), ["constant"]),
    "of another rank": (np.stack([blob()] * 5), ["2-D"]),
    "a line": (np.ones((1, 9), np.float32), []),
}


@pytest.mark.parametrize("name", BAD_PSFS)
def test_psf_that_cannot_be_used(refused, cell, save, name):
    values, words = BAD_PSFS[name]
    psf = save("psf.tif", values, 0.0325, axes="YX" if values.ndim == 2 else "ZYX")
    refused(cell, "psf.tif", *words, options=("--psf", psf))


def test_psf_larger_than_the_image(refused, save, frame):
    y, x = np.mgrid[-100:101, -100:101]
    psf = save("psf.tif", np.exp(-np.hypot(y, x) / 40).astype(np.float32), 0.0325)
    refused(save("cell.tif", frame[:32, :32]), "larger", "--psf", options=("--psf", psf))


def test_psf_larger_than_a_training_patch(zs, tiny, save, frame, out):
    """With a low NA the PSF is wider than a patch: that can be used, or is refused, but never crashes."""
    path = save("cell.tif", np.tile(frame, (2, 3)))
    ended = zs("run", path, "-o", out, "--na", 0.25, "--wavelength-nm", 525, "--config", tiny)
    assert ended.code in (0, 2), ended.err


def test_psf_missing_or_no_image(refused, cell, tmp_path):
    refused(cell, "none.tif", options=("--psf", tmp_path / "none.tif"))
    (tmp_path / "psf.tif").write_text("round, I think")
    refused(cell, "psf.tif", options=("--psf", tmp_path / "psf.tif"))


def test_psf_without_pixel_size(refused, cell, save):
    refused(cell, "--psf-pixel-um", options=("--psf", save("psf.tif", blob(), None)))


def test_otf_without_sampling(refused, cell, tmp_path):
    path = tmp_path / "otf.mrc"
    with mrcfile.new(path) as mrc:
        mrc.set_data(np.linspace(1, 0, 60).astype(np.complex64)[None])
        mrc.voxel_size = 0
    refused(cell, "otf.mrc", "sampling", options=("--otf", path))


def test_contradictory_options(refused, cell, save):
    psf = save("psf.tif", blob(), 0.0325)
    refused(cell, "--psf", "--otf", options=("--psf", psf, "--otf", psf))
    refused(cell, "--psf-pixel-um", options=(*OPTICS, "--psf-pixel-um", 0.05))
    refused(cell, "--steps 5", "--minutes", options=(*OPTICS, "--steps", 5, "--minutes", 2))


@pytest.mark.parametrize("budget", [("--steps", 0), ("--steps", -5), ("--minutes", 0), ("--minutes", -1), ("--minutes", "nan")])
def test_no_budget(refused, cell, budget):
    refused(cell, *map(str, budget), options=(*OPTICS, *budget))


@pytest.mark.parametrize("device", ["tpu", "cuda:99", "mps:3"])
def test_no_such_device(refused, cell, device):
    refused(cell, device, "--device", options=(*OPTICS, "--device", device))


@pytest.mark.parametrize(
    "option",
    [
        "--scale 3",
        "--preset best",
        "--modality 5d",
        "--seed -1",
        "--tile 0",
        "--overlap -1",
        "--batch 0",
        "--passes -1",
        "--background dark",
    ],
)
def test_options_out_of_range(refused, cell, option):
    refused(cell, *option.split(), options=(*OPTICS, *option.split()))


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"trainig": {}}, ["trainig"]),
        ({"training": {"stpes": 4}}, ["stpes"]),
        ({"training": {"steps": "many"}}, ["steps", "many"]),
        ([1, 2], ["config.yaml"]),
        ({1: 2}, ["1"]),
    ],
)
def test_configuration_that_is_wrong(refused, cell, tmp_path, settings, words):
    path = tmp_path / "config.yaml"
    path.write_text(yaml.safe_dump(settings))
    refused(cell, *words, options=(*OPTICS, "--config", path))


def test_configuration_that_is_no_yaml_or_not_there(refused, cell, tmp_path):
    path = tmp_path / "config.yaml"
    path.write_text("a: [1, 2")
    refused(cell, "config.yaml", options=(*OPTICS, "--config", path))
    path.write_text("!!python/object/apply:os.system ['touch ran']")
    refused(cell, "config.yaml", options=(*OPTICS, "--config", path))
    refused(cell, "none.yaml", options=(*OPTICS, "--config", tmp_path / "none.yaml"))
    path.write_bytes(b"\xff\xfe\x00\x01")
    refused(cell, "config.yaml", options=(*OPTICS, "--config", path))


def test_two_inputs_of_one_name(zs, tmp_path, cell, out):
    (tmp_path / "b").mkdir()
    twin = shutil.copy(cell, tmp_path / "b" / "cell.tif")
    error = zs("run", cell, twin, "-o", out, *OPTICS, "--dry-run").error
    assert "cell" in error


def test_output_exists(zs, cell, out):
    out.mkdir()
    kept = out / "cell_denoised.ome.tif"
    kept.write_text("results of last year")
    for options in (["--dry-run"], ["--steps", 1]):
        error = zs("run", cell, "-o", out, *OPTICS, *options).error
        assert "cell_denoised.ome.tif" in error and "--overwrite" in error
    assert kept.read_text() == "results of last year"
    assert list(out.iterdir()) == [kept]


def test_output_is_a_file(zs, cell, tmp_path):
    path = tmp_path / "out"
    path.write_text("")
    assert "out" in zs("run", cell, "-o", path, *OPTICS, "--steps", 1).error
    assert path.read_text() == ""


def test_folder_not_writable(zs, cell, tiny, out, monkeypatch):
    """Forbidden by hand: whoever runs the tests may be allowed everything."""
    out.mkdir()
    touch = type(out).touch

    def forbidden(self, *args, **kwargs):
        if self.parent == out:
            raise PermissionError(errno.EACCES, "Permission denied", str(self))
        return touch(self, *args, **kwargs)

    monkeypatch.setattr(type(out), "touch", forbidden)
    error = zs("run", cell, "-o", out, *OPTICS, "--config", tiny).error
    assert str(out) in error and "-o" in error
    monkeypatch.undo()
    assert list(out.iterdir()) == []


def test_disk_full(zs, cell, tiny, out, monkeypatch):
    def full(descriptor):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    error = zs("run", cell, "-o", out, *OPTICS, "--config", tiny).error
    assert "disk full" in error and "-o" in error
    monkeypatch.undo()
    assert not out.exists() or list(out.iterdir()) == []


@pytest.fixture(scope="module")
def trained(tmp_path_factory, tiny):
    """One model, trained for one step, with the image it was trained on."""
    from zsdeconv.cli import main

    folder = tmp_path_factory.mktemp("trained")
    assert main(["simulate", "2d", "-o", str(folder), "--size", "64", "--quiet"]) == 0
    model = folder / "cell.zsd"
    assert main(["train", str(folder / "noisy.tif"), "-o", str(model), *map(str, OPTICS), "--config", str(tiny), "--quiet"]) == 0
    return model


def changed(trained, tmp_path, **changes):
    tensors, header = load_model(trained)
    return save_model(tmp_path / "changed.zsd", tensors, header | changes)


@pytest.mark.parametrize(("changes", "word"), [({"rank": 3}, "rank"), ({"modality": "sim9d"}, "sim9d"), ({"config": {"scale": 7}}, "")])
def test_model_for_something_else(zs, trained, tmp_path, out, changes, word):
    error = zs("predict", changed(trained, tmp_path, **changes), trained.parent / "noisy.tif", "-o", out).error
    assert "changed.zsd" in error or word in error
    assert not out.exists()


def test_model_of_a_newer_version(zs, trained, tmp_path, out, monkeypatch):
    monkeypatch.setattr("zsdeconv.io.model_file.FORMAT_VERSION", FORMAT_VERSION + 1)
    path = changed_format(trained, tmp_path)
    monkeypatch.undo()
    assert "update zsdeconv" in zs("predict", path, trained.parent / "noisy.tif", "-o", out).error
    assert not out.exists()


def changed_format(trained, tmp_path):
    monkey, header = load_model_of_any_version(trained)
    return save_model(tmp_path / "new.zsd", monkey, header)


def load_model_of_any_version(path):
    """`load_model` accepts older formats, so a format one higher still reads today's file."""
    return load_model(path)


@pytest.mark.parametrize("damage", ["truncated", "flipped", "random", "pickle", "empty", "text"])
def test_model_that_is_damaged_or_hostile(zs, trained, tmp_path, out, damage):
    whole, mark, path = trained.read_bytes(), tmp_path / "it-ran", tmp_path / "bad.zsd"
    if damage == "pickle":
        torch.save({"w": Touch(str(mark))}, path)
        mark.unlink(missing_ok=True)
    else:
        flipped = bytearray(whole)
        flipped[len(whole) // 2] ^= 4
        contents = {"truncated": whole[:-100], "flipped": flipped, "random": bytes(range(256)), "empty": b"", "text": b"not a model"}
        path.write_bytes(contents[damage])
    assert "bad.zsd" in zs("predict", path, trained.parent / "noisy.tif", "-o", out).error
    assert not out.exists() and not mark.exists()


class Touch:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return open, (self.path, "w")


def test_model_missing(zs, cell, tmp_path, out):
    assert "none.zsd" in zs("predict", tmp_path / "none.zsd", cell, "-o", out).error


def test_image_given_as_model(zs, cell, out):
    assert "cell.tif" in zs("predict", cell, cell, "-o", out).error


def test_prediction_refuses_bad_images_too(zs, trained, save, frame, out):
    holed = frame.astype(np.float32)
    holed[:, 3:] = np.nan
    assert "270 of 6480" in zs("predict", trained, save("holed.tif", holed), "-o", out).error
    assert not out.exists()


def test_prediction_refuses_options_out_of_range(zs, trained, out):
    for option in ("--tile 3", "--overlap -1", "--batch 0", "--passes -2", "--device tpu", "--pixel-um 0", "--pixel-um 0.5"):
        assert option.split()[0] in zs("predict", trained, trained.parent / "noisy.tif", "-o", out, *option.split()).error
    assert not out.exists()


def test_training_refuses_to_replace_a_model(zs, trained, out):
    before = trained.read_bytes()
    error = zs("train", trained.parent / "noisy.tif", "-o", trained, *OPTICS, "--steps", 1).error
    assert "cell.zsd" in error and "--overwrite" in error
    assert trained.read_bytes() == before


def test_a_real_process_on_a_full_disk(cell, out):
    """The system allows no file over 20 kB: writing fails in the middle."""
    resource = pytest.importorskip("resource")
    words = [sys.executable, "-m", "zsdeconv", "simulate", "2d", "-o", str(out)]
    limit = lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))  # noqa: E731
    ended = subprocess.run(words, capture_output=True, text=True, preexec_fn=limit, check=False)
    assert ended.returncode == 2, ended.stderr
    assert ended.stderr.startswith("error: ") and ended.stderr.count("\n") == 1
    assert not [path for path in out.iterdir() if path.suffix == ".tif"]


def test_a_real_process_with_bad_input(tmp_path, cell):
    for words in (
        ["run", str(tmp_path / "none.tif"), "-o", str(tmp_path / "o"), "--na", "1.4", "--wavelength-nm", "525"],
        ["run", str(cell)],
    ):
        ended = subprocess.run([sys.executable, "-m", "zsdeconv", *words], capture_output=True, text=True, check=False)
        assert (ended.returncode, ended.stdout) == (2, "")
        assert ended.stderr.startswith("error: ") and ended.stderr.count("\n") == 1
    assert not (tmp_path / "o").exists()
