"""Skewed scans on the command line: simulate, info, run, predict, deskew, evaluate, and what is refused."""

import json
import shlex

import numpy as np
import pytest
import yaml

from zsdeconv import read
from zsdeconv.viewer.contents import contents_of
from zsdeconv.viewer.finding import find_results

SCAN = ("--scan-angle-deg", "31.5", "--scan-step-um", "0.4")
LENS = ("--na", "1.1", "--wavelength-nm", "525", "--immersion-ri", "1.333", "--microscope", "lightsheet", "--sheet-um", "1")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("skewed")


@pytest.fixture
def simulated(zs, folder):
    """A skewed stack as a microscope writes it, with its truth."""
    made = folder / "simulated"
    if not made.exists():
        done = zs("simulate", "3d", "-o", made, *SCAN, "--size", "48", "--planes", "9", "--photons", "200", "--seed", "3")
        assert done.code == 0, done.err
    return made


@pytest.fixture
def settings(folder):
    """What makes a run short."""
    path = folder / "tiny.yaml"
    tiny = {"network": {"channels": [4, 8]}, "training": {"steps": 3, "patch_px": 16, "validate_every": 5}, "prediction": {"passes": 2}}
    path.write_text(yaml.safe_dump({**tiny, "device": "cpu"}), encoding="utf-8")
    return path


@pytest.fixture
def restored(zs, folder, simulated, settings):
    made = folder / "restored"
    if not made.exists():
        done = zs("run", simulated / "noisy.tif", "-o", made, *SCAN, *LENS, "--config", settings, "--no-report")
        assert done.code == 0, done.err
        assert "0.4 um at 31.5 degrees: planes 0.209 um apart" in done.out
    return made


def test_a_simulated_stack_says_what_a_microscope_says(simulated):
    noisy, truth = read(simulated / "noisy.tif"), read(simulated / "truth.tif")
    assert noisy.sizes == {"Z": 9, "Y": 48, "X": 48} and noisy.spacing_um["Z"] == pytest.approx(0.4)
    assert "scan" not in noisy.metadata
    assert truth.spacing_um["Z"] == pytest.approx(0.209, abs=1e-3) and truth.sizes["Y"] == 2 * (48 + 28)
    said = yaml.safe_load((simulated / "settings.yaml").read_text(encoding="utf-8"))
    assert said["scan_angle_deg"] == 31.5 and said["z_um"] == pytest.approx(0.209, abs=1e-3)


def test_results_are_deskewed_and_predict_does_the_same(zs, folder, simulated, restored):
    deconvolved = read(restored / "noisy_deconvolved.ome.tif")
    assert deconvolved.sizes == {"Z": 9, "Y": 152, "X": 96} and deconvolved.spacing_um["Z"] == pytest.approx(0.209, abs=1e-3)
    assert deconvolved.metadata["deskewed"]["angle_deg"] == 31.5
    done = zs("predict", restored / "noisy.zsd", simulated / "noisy.tif", "-o", folder / "next", "--no-deskew")
    assert done.code == 0, done.err
    skewed = folder / "next" / "noisy_deconvolved.ome.tif"
    assert read(skewed).sizes == {"Z": 9, "Y": 96, "X": 96}
    assert zs("deskew", skewed, "-o", folder / "upright.ome.tif", "--quiet", "--overwrite").out == ""
    upright = read(folder / "upright.ome.tif")
    rows = min(upright.sizes["Y"], deconvolved.sizes["Y"])
    assert np.allclose(upright.data[:, :rows], deconvolved.data[:, :rows], atol=1e-3 * np.nanmax(deconvolved.data), equal_nan=True)


def test_the_raw_stack_stands_deskewed_beside_its_results(restored):
    contents = contents_of(find_results(restored)[0])
    raw, denoised = (next(layer for layer in contents.layers if layer.kind == kind) for kind in ("raw", "denoised"))
    assert raw.data.shape == denoised.data.shape == (1, 1, 9, 76, 48)
    assert np.array_equal(np.isnan(raw.data), np.isnan(denoised.data))
    known = np.isfinite(raw.data)
    assert np.corrcoef(raw.data[known], denoised.data[known])[0, 1] > 0.8  # planes and rows are the same: a row beside it is below 0.7


def test_deskew_a_raw_stack(zs, simulated, folder):
    done = zs("deskew", simulated / "noisy.tif", "-o", folder / "raw.ome.tif", *SCAN, "--json")
    facts = json.loads(done.out)
    assert facts["sizes"] == {"Z": 9, "Y": 76, "X": 48} and facts["angle_deg"] == 31.5
    assert zs("deskew", simulated / "noisy.tif", "-o", folder / "raw.ome.tif", *SCAN).error.startswith(f"{folder / 'raw.ome.tif'}: exists")
    again = zs("deskew", folder / "raw.ome.tif", "-o", folder / "twice.ome.tif", *SCAN)
    assert "it is deskewed already, according to the file; give the raw stack" in again.error
    assert not (folder / "twice.ome.tif").exists()


def test_info_lists_the_scan(zs, simulated, folder):
    noisy = simulated / "noisy.tif"
    shown = zs("info", noisy, *SCAN, *LENS)
    assert "31.5 (option)" in shown.out and "planes 0.209 um apart" in shown.out
    assert {"scan_angle_deg", "scan_step_um"} <= {need["name"] for need in zs("info", noisy, *SCAN, "--json").json["settings"]}
    words = shlex.split(shown.out.splitlines()[-1])
    assert words[words.index("--scan-angle-deg") + 1] == "31.5" and "--z-um" not in words
    silent = next(need for need in zs("info", noisy, *LENS, "--json").json["settings"] if need["name"] == "scan_angle_deg")
    assert silent["state"] == "assumed" and "--scan-step-um" in silent["note"]
    stated = zs("info", simulated / "clean.tif", *LENS, "--json").json["settings"]
    assert next(need for need in stated if need["name"] == "scan_step_um")["state"] == "found"
    half = zs("info", noisy, *SCAN[:2], *LENS)
    assert "--scan-angle-deg 31.5 without the step of the stage" in half.out and "give --scan-step-um too" in half.out


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (SCAN[:2], "--scan-angle-deg 31.5 without the step of the stage (the planes are 0.4 um apart according to the file"),
        (SCAN[2:], "--scan-step-um 0.4 without the angle of the scan; give --scan-angle-deg too, or --z-um where"),
        (("--scan-angle-deg", "121.5", *SCAN[2:]), "--scan-angle-deg 121.5: the angle between the planes of the camera and the motion"),
        ((*SCAN, "--z-um", "0.3"), "--z-um 0.3 has no effect on a scan at an angle"),
        ((*SCAN, "--axes", "TYX", "--modality", "2d"), "--scan-angle-deg 31.5 has no effect on planes"),
        ((*SCAN, "--pairs", "interleave"), "--pairs interleave: planes of the scan shift by 0.341 um along y"),
        (("--scan-reverse",), "--scan-reverse: no scan at an angle is known; give --scan-angle-deg and --scan-step-um too"),
        (("--no-deskew",), "--no-deskew has no effect without a scan at an angle: give --scan-angle-deg"),
    ],
)
def test_what_contradicts_itself_is_refused_before_any_training(zs, simulated, folder, words, complaint):
    lens = LENS if "TYX" not in words else LENS[:6]
    done = zs("run", simulated / "noisy.tif", "-o", folder / "refused", *words, *lens)
    assert complaint in done.error
    assert not (folder / "refused").exists()


def test_a_file_that_states_its_scan_needs_no_options_and_is_resumed(zs, simulated, settings, folder):
    asked = ("run", simulated / "clean.tif", "-o", folder / "stated", *LENS, "--config", settings, "--no-report", "--background", "0")
    first = zs(*asked)
    assert first.code == 0, first.err
    assert "0.4 um at 31.5 degrees" in first.out
    again = zs(*asked, "--resume")
    assert again.code == 0 and "done already" in again.out, again.err
    reverse = zs(*asked[:3], folder / "reverse", *asked[4:], "--scan-reverse")
    assert reverse.code == 0, reverse.err
    assert "towards the last row" in reverse.out
    assert any("objects move the other way" in warning for warning in reverse.warnings)


def test_a_result_is_no_input_of_a_scan(zs, restored, folder):
    done = zs("run", restored / "noisy_denoised.ome.tif", "-o", folder / "refused", *SCAN, *LENS)
    assert "noisy_denoised.ome.tif: it is deskewed already, according to the file; give the raw stack" in done.error


def test_evaluation_without_a_truth(zs, simulated, restored, folder):
    """The report is that of the skewed images, whichever form of them is evaluated."""
    model, raw, image = restored / "noisy.zsd", simulated / "noisy.tif", restored / "noisy_deconvolved.ome.tif"
    done = zs("evaluate", image, "--model", model, "--raw", raw, "--json")
    assert done.code == 0, done.err
    levels = {key: done.json[key]["level"] for key in ("psf", "residuals", "flux", "noise_left")}
    assert {levels[key] for key in ("residuals", "flux", "noise_left")} <= {"ok", "warn", "fail"}


def test_a_psf_is_checked_against_a_skewed_stack(zs, simulated):
    """The right one, given in the directions of the camera, fits; without the scan, whose planes are sheared, it is another one."""
    psf, noisy = simulated / "psf.tif", simulated / "noisy.tif"
    assert zs("psf", "check", psf, *SCAN).error.startswith("--scan-angle-deg 31.5 without --image")
    found = zs("psf", "check", psf, "--image", noisy, *SCAN, "--json")
    assert found.code == 0, found.err
    assert "scan" not in zs("sim", "estimate", "--help").out
