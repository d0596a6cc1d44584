"""`calibrate`, `evaluate` and `info` print what the library computes, as lines or as one JSON object."""

import re
import struct

import numpy as np
import pytest
import tifffile
import torch

from zsdeconv.io.model_file import save_model
from zsdeconv.metrics import bin2, evaluate


def test_calibration_as_json_and_as_lines(zs, save, frame):
    path = save("cell.tif", frame)
    found = zs("calibrate", path, "--json").json
    assert found["gain_adu_per_e"] == pytest.approx(1.5, abs=5 * found["gain_sigma"])
    lines = zs("calibrate", path)
    assert f"{found['offset_adu']:.2f} +- {found['offset_sigma']:.2f} ADU" in lines.out
    assert re.search(r"^read noise +\d", lines.out, re.MULTILINE)


def test_a_known_offset_is_kept(zs, save, frame):
    path = save("cell.tif", frame)
    assert zs("calibrate", path, "--background", "101.5", "--json").json["offset_adu"] == 101.5


def test_several_files_are_one_camera(zs, save, frame):
    one, two = save("a.tif", frame), save("b.tif", np.stack([frame, frame[::-1]]))
    single, joint = (zs("calibrate", *paths, "--json").json for paths in ((one,), (one, two)))
    assert joint["gain_sigma"] < single["gain_sigma"]


def test_dark_frames_give_the_offset(zs, save, frame, tmp_path):
    rng = np.random.default_rng(1)
    dark = tmp_path / "dark.tif"  # planes without names: times
    tifffile.imwrite(dark, rng.normal(97, 3, (8, 64, 60)).round().astype(np.uint16), photometric="minisblack")
    found = zs("calibrate", save("cell.tif", frame), "--dark", dark, "--json").json
    assert found["offset_adu"] == pytest.approx(97, abs=0.1)  # 3 / sqrt(30720) is 0.02
    assert found["read_noise_adu"] == pytest.approx(3, abs=0.1)


def test_the_plot_is_written_whole_or_not_at_all(zs, save, frame, tmp_path):
    path, plot = save("cell.tif", frame), tmp_path / "fit.png"
    assert zs("calibrate", path, "-o", plot).code == 0
    assert plot.read_bytes().startswith(b"\x89PNG")
    assert "--overwrite" in zs("calibrate", path, "-o", plot).error
    assert zs("calibrate", path, "-o", plot, "--overwrite").code == 0
    assert ".png" in zs("calibrate", path, "-o", tmp_path / "fit.txt").error
    assert sorted(p.name for p in tmp_path.iterdir()) == ["cell.tif", "fit.png"]


def test_calibration_messages_are_warnings(zs, save, frame):
    clipped = np.minimum(frame, 150)
    assert any("saturated" in line for line in zs("calibrate", save("clipped.tif", clipped)).warnings)


def test_calibration_refuses(zs, save, frame):
    path = save("cell.tif", frame)
    assert "auto" in zs("calibrate", path, "--background", "dark").error
    assert "one by one" in zs("calibrate", path, save("other.tif", frame[:60])).error
    assert "channel" in zs("calibrate", save("two.tif", np.stack([frame, frame]), axes="CYX")).error


def test_evaluation_as_json_and_as_lines(zs, save):
    rng = np.random.default_rng(0)
    fine = rng.random((40, 36)).astype(np.float32)
    truth = bin2(fine).astype(np.float32)
    paths = save("fine.tif", fine, 0.05), save("truth.tif", truth, 0.1)
    scores = zs("evaluate", *paths, "--json").json
    expected = evaluate(fine, truth)
    assert scores["binned"] is True
    assert scores["flux_slope"] == pytest.approx(expected["flux_slope"])
    assert scores["frc_nm"] == pytest.approx(200, rel=0.1)
    lines = zs("evaluate", *paths).out
    assert re.search(r"^binned +yes$", lines, re.MULTILINE)
    assert re.search(r"^flux_slope +1\.0000$", lines, re.MULTILINE)


def test_infinite_scores_are_null_in_json(zs, save):
    path = save("a.tif", np.random.default_rng(0).random((20, 20)).astype(np.float32))
    assert zs("evaluate", path, path, "--json").json["psnr"] is None


def test_evaluation_through_a_psf_and_softened(zs, tmp_path):
    assert zs("simulate", "2d", "-o", tmp_path, "--size", 64).code == 0
    files = (tmp_path / f"{name}.tif" for name in ("truth", "clean"))
    scores = zs("evaluate", *files, "--psf", tmp_path / "psf.tif", "--resolution-um", 0.1, "--json").json
    assert scores["flux_slope"] == pytest.approx(1, abs=1e-4)  # the file's PSF and images are float32
    assert scores["flux_offset_frac"] == pytest.approx(0, abs=1e-4)
    assert "soft_psnr" in scores


def test_info_of_an_image(zs, save, frame):
    facts = zs("info", save("cell.tif", frame), "--json").json
    assert facts["axes"] == "YX"
    assert facts["sizes"] == {"Y": 90, "X": 72}
    assert facts["dtype"] == "uint16"
    assert facts["spacing_um"] == {"Y": 0.065, "X": 0.065}
    assert facts["missing"] == {"na": "--na", "wavelength_nm": "--wavelength-nm"}
    assert facts["stated_by"] == {"OME-XML": ["image_name", "y_um", "x_um"]}
    assert "range" not in facts, "pixels are not read"


def test_info_of_a_model(zs, tmp_path):
    path = save_model(
        tmp_path / "m.zsd",
        {"network.w": torch.ones(3, 4), "network.b": torch.ones(5), "psf": torch.ones(9, 9)},
        {"modality": "2d", "rank": 2, "note": {"seed": 7}},
    )
    facts = zs("info", path, "--json").json
    assert (facts["kind"], facts["parameters"], facts["modality"], facts["note"]) == ("model", 17, "2d", {"seed": 7})
    assert "parameters  17" in zs("info", path).out
    renamed = path.rename(tmp_path / "m.bin")
    assert zs("info", renamed, "--json").json["parameters"] == 17


def test_info_of_a_damaged_model(zs, tmp_path):
    path = tmp_path / "m.zsd"
    path.write_bytes(struct.pack("<Q", 10**6) + b"{")
    assert "m.zsd" in zs("info", path).error


def test_info_of_a_model_of_several_channels(zs, tmp_path):
    header = {"modality": "2d", "rank": 2, "version": "0.2.0", "config": {}, "provenance": {}}
    own = {"modality": "2d", "rank": 2, "spacing_um": [0.065, 0.065], "camera": {"offset": 100.0}, "psf": {"source": "theory"}}
    channels = [{"name": name, "header": own} for name in ("DAPI", "GFP")]
    tensors = {f"channel.{number}.network.weight": torch.ones(2, 3) for number in range(2)}
    path = save_model(tmp_path / "m.zsd", tensors, header | {"channels": channels})
    assert zs("info", path, "--json").json["parameters"] == 12
    lines = zs("info", path).out
    assert re.search(r"^channel DAPI .*offset 100", lines, re.MULTILINE)
    assert re.search(r"^channel GFP ", lines, re.MULTILINE)
    damaged = save_model(tmp_path / "n.zsd", tensors, header | {"channels": ["DAPI", 3]})
    assert zs("info", damaged).code == 0
