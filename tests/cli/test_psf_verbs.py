"""`psf make`, `psf measure` and `psf check`: what they write, what they say, what they refuse."""

import numpy as np
import pytest

from zsdeconv import io
from zsdeconv.physics.optics import Optics
from zsdeconv.physics.psf_theory import theoretical_psf


def test_psf_make_writes_theory(zs, tmp_path):
    path = tmp_path / "psf.tif"
    made = zs("psf", "make", "--na", 1.2, "--wavelength-nm", 600, "--pixel-um", 0.08, "--immersion-ri", 1.33, "-o", path, "--json").json
    image = io.read(path)
    expected = theoretical_psf(Optics(1.2, 600, 1.33), (0.08, 0.08))
    assert image.data == pytest.approx(expected.values, rel=1e-6)  # float32
    assert image.spacing_um == {"Y": 0.08, "X": 0.08}
    assert made["fingerprint"] == expected.fingerprint == io.read_provenance(path)["fingerprint"]
    assert made["pixel_um"] == [0.08, 0.08]


def test_psf_make_on_the_finer_grid_and_vectorial(zs, tmp_path):
    scalar, vectorial = tmp_path / "s.tif", tmp_path / "v.tif"
    common = ("psf", "make", "--na", 1.4, "--wavelength-nm", 525, "--pixel-um", 0.1, "--scale", 2)
    shown = zs(*common, "-o", scalar).out
    assert "0.05 um" in shown and "(assumed)" in shown
    assert zs(*common, "--pupil", "vectorial", "-o", vectorial).code == 0
    assert io.read(scalar).data.max() > 1.05 * io.read(vectorial).data.max()  # polarisation widens the spot at high NA


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"--na": 1.49, "--immersion-ri": 1.33}, ["NA (1.49)", "(1.33)", "--immersion-ri", "--na"]),
        ({"--na": 0}, ["NA 0", "--na"]),
        ({"--wavelength-nm": 0.525}, ["0.525", "--wavelength-nm 525"]),
        ({"--pixel-um": 65}, ["65 um", "micrometres"]),
        ({"--pupil": "square"}, ["--pupil square", "must be scalar or vectorial"]),
        ({"--scale": 3}, ["--scale 3", "must be 1 or 2"]),
        ({"--scale": 1.5}, ["--scale 1.5", "must be 1 or 2"]),
    ],
)
def test_psf_make_refuses_impossible_optics(zs, tmp_path, change, words):
    options = {"--na": 1.4, "--wavelength-nm": 525, "--pixel-um": 0.1} | change
    error = zs("psf", "make", *(word for pair in options.items() for word in pair), "-o", tmp_path / "psf.tif").error
    assert all(word in error for word in words), error
    assert list(tmp_path.iterdir()) == []


def test_psf_make_warns_of_coarse_pixels(zs, tmp_path):
    made = zs("psf", "make", "--na", 1.4, "--wavelength-nm", 525, "--pixel-um", 0.15, "-o", tmp_path / "psf.tif")
    assert made.code == 0
    assert any("--scale 2" in line for line in made.warnings)


def test_psf_check_accepts_theory(zs, tmp_path):
    path = tmp_path / "psf.tif"
    zs("psf", "make", "--na", 1.4, "--wavelength-nm", 525, "--pixel-um", 0.05, "-o", path)
    shown = zs("psf", "check", path, "--na", 1.4, "--wavelength-nm", 525)
    assert shown.code == 0
    assert {line.split()[0] for line in shown.out.splitlines()} == {"ok"}


def test_psf_check_fails_what_cannot_be_used(zs, save):
    y, x = np.mgrid[-9:10, -9:10]
    path = save("psf.tif", np.exp(-(y**2 + x**2) / 8).astype(np.float32), 0.4)
    failed = zs("psf", "check", path, "--na", 1.4, "--wavelength-nm", 525, "--json")
    assert "psf.tif" in failed.error and "--psf-pixel-um" in failed.error
    assert "fail" in {finding["level"] for finding in failed.json["findings"]}
    mended = zs("psf", "check", path, "--na", 1.4, "--wavelength-nm", 525, "--psf-pixel-um", 0.04)
    assert mended.code == 0


def test_psf_check_reports_background_and_place(zs, save):
    y, x = np.mgrid[-15:16, -15:16]
    path = save("bead.tif", (20 + 900 * np.exp(-((y - 3) ** 2 + (x + 2) ** 2) / 8)).astype(np.float32), 0.05)
    findings = {f["name"]: f for f in zs("psf", "check", path, "--json").json["findings"]}
    assert findings["centring"]["level"] == findings["background"]["level"] == "warn"


def test_psf_check_against_an_image(zs, tmp_path):
    zs("simulate", "2d", "-o", tmp_path / "scene", "--structure", "puncta", "--size", 96, "--photons", 150, "--seed", 4)
    psf, noisy = tmp_path / "scene" / "psf.tif", tmp_path / "scene" / "noisy.tif"
    shown = zs("psf", "check", psf, "--image", noisy)
    assert shown.code == 0
    assert {line.split()[0] for line in shown.out.splitlines()} <= {"ok", "not"}, "so small an image does not tell everything"
    assert "the image prefers a PSF" in shown.out
    wide = zs("psf", "check", psf, "--image", noisy, "--psf-pixel-um", 0.0325 * 1.2, "--json").json["image"]
    found = {finding["name"]: finding for finding in wide["findings"]}
    assert found["width"]["level"] == "warn"
    assert wide["width"] == pytest.approx(1 / 1.2, rel=0.1)  # what is labelled is a little thicker than a point
    assert len(wide["sweep"]) == len(wide["widths"])


def test_psf_check_wants_the_pixel_size_of_the_image(zs, save):
    psf = save("psf.tif", np.outer(np.hanning(9), np.hanning(9)).astype(np.float32), 0.05)
    image = save("cell.tif", np.random.default_rng(0).poisson(50, (64, 64)).astype(np.uint16), None)
    assert "--pixel-um" in zs("psf", "check", psf, "--image", image).error


LENS = ("--na", 1.1, "--wavelength-nm", 525, "--immersion-ri", 1.33)


def test_psf_make_in_depth(zs, tmp_path):
    path = tmp_path / "psf.tif"
    sheet = ("--microscope", "lightsheet", "--sheet-um", 1.0)
    made = zs("psf", "make", *LENS, *sheet, "--pixel-um", 0.1, "--z-um", 0.15, "--scale", 2, "-o", path, "--json").json
    expected = theoretical_psf(Optics(1.1, 525, 1.33, microscope="lightsheet", sheet_um=1.0), (0.15, 0.05, 0.05))
    image = io.read(path)
    assert image.spacing_um == {"Z": 0.15, "Y": 0.05, "X": 0.05}
    assert image.data == pytest.approx(expected.values, rel=1e-6)  # float32
    assert made["fingerprint"] == expected.fingerprint
    shown = zs("psf", "check", path, *LENS, *sheet)
    assert shown.code == 0
    assert {line.split()[0] for line in shown.out.splitlines()} == {"ok"}
    assert "fwhm in z" in shown.out and "sampling in z" in shown.out


@pytest.mark.parametrize(
    ("more", "words"),
    [
        (("--microscope", "lightsheet"), ["--sheet-um"]),
        (("--pinhole-au", 1), ["--pinhole-au 1", "--microscope confocal"]),
        (("--microscope", "twophoton"), ["--excitation-nm"]),
        (("--depth-um", 5), ["--sample-ri"]),
    ],
)
def test_psf_make_names_what_a_microscope_needs(zs, tmp_path, more, words):
    error = zs("psf", "make", *LENS, "--pixel-um", 0.1, "--z-um", 0.2, *more, "-o", tmp_path / "psf.tif").error
    assert all(word in error for word in words), error
    assert list(tmp_path.iterdir()) == []


def test_psf_measure_averages_beads(zs, save, tmp_path):
    z, y, x = np.indices((23, 90, 60))
    places = ((11.2, 20.3, 30.4), (10.6, 55.7, 28.2), (11.0, 86.0, 30.0))
    light = np.sum([900 * np.exp(-((z - a) ** 2 / 8 + ((y - b) ** 2 + (x - c) ** 2) / 9)) for a, b, c in places], 0)
    beads = save("beads.tif", np.random.default_rng(2).poisson(20 + light).astype(np.uint16), 0.1, axes="ZYX")
    out = tmp_path / "psf.tif"
    measured = zs("psf", "measure", beads, "-o", out, "--z-um", 0.2, "--json").json
    assert (measured["found"], measured["used"], measured["rejected"]) == (3, 2, {"border": 1})
    assert measured["fwhm_um"] == pytest.approx({"Z": 0.942, "Y": 0.5, "X": 0.5}, rel=0.02)
    image = io.read(out)
    assert image.spacing_um == {"Z": 0.2, "Y": 0.1, "X": 0.1}
    assert image.data.sum() == pytest.approx(1, rel=1e-5)
    shown = zs("psf", "measure", beads, "-o", out, "--z-um", 0.2, "--overwrite").out
    assert "2 of 3 beads, 1 border" in shown and "FWHM Z 0.9" in shown
    assert zs("psf", "check", out).code == 0
    assert "--overwrite" in zs("psf", "measure", beads, "-o", out, "--z-um", 0.2).error


@pytest.mark.parametrize("given", ["--na", "--wavelength-nm"])
def test_psf_check_wants_both_numbers_of_the_optics(zs, save, given):
    path = save("psf.tif", np.outer(np.hanning(9), np.hanning(9)).astype(np.float32))
    error = zs("psf", "check", path, given, 1.4 if given == "--na" else 525).error
    assert "--na" in error and "--wavelength-nm" in error


def test_noise_of_dim_beads_is_told_when_they_are_measured(zs, save, tmp_path):
    y, x = np.mgrid[:80, :90]
    clean = np.exp(-((y - 30.2) ** 2 + (x - 40.7) ** 2) / 18) + np.exp(-((y - 55.6) ** 2 + (x - 62.1) ** 2) / 18)
    rng = np.random.default_rng(0)
    for photons, haze, told in ((60, 200, True), (5000, 4, False)):
        path = save(f"{photons}.tif", (rng.poisson(photons * clean + haze) + 100).astype(np.uint16), 0.05)
        ended = zs("psf", "measure", path, "-o", tmp_path / f"psf{photons}.tif")
        assert ended.code == 0
        assert any("average more beads" in line for line in ended.warnings) is told
        checked = zs("psf", "check", tmp_path / f"psf{photons}.tif", "--json").json["findings"]
        assert any(finding["level"] == "warn" for finding in checked) is told
