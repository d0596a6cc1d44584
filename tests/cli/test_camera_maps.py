"""`calibrate -o camera.yaml`, and `--camera` in `run` and `predict`."""

import numpy as np
import pytest
import tifffile

OPTICS = ("--na", 1.3, "--wavelength-nm", 525)


@pytest.fixture
def sensor(tmp_path):
    """Dark and flat frames, and a camera frame, of pixels with offsets and gains of their own."""
    rng = np.random.default_rng(3)
    offset, gain = rng.normal(100, 4, (70, 58)), 1.5 * rng.normal(1, 0.05, (70, 58))
    y, x = np.mgrid[:70, :58]
    light = 8 + 60 * np.exp(-((y - 30) ** 2 + (x - 20) ** 2) / 40) + 40 * np.exp(-((y - 50) ** 2 + (x - 44) ** 2) / 15)
    paths = []
    for name, photons, frames in (("dark", 0 * light, 25), ("flat", 200 + 0 * light, 25), ("cell", light, 1)):
        counts = gain * rng.poisson(photons, (frames, 70, 58)) + rng.normal(offset, 2, (frames, 70, 58))
        paths.append(tmp_path / f"{name}.tif")
        tifffile.imwrite(paths[-1], counts.round().astype(np.uint16).squeeze(), photometric="minisblack")
    return paths


def test_maps_from_frames_to_a_prediction(zs, sensor, tiny, tmp_path):
    dark, flat, cell = sensor
    camera, model = tmp_path / "camera.yaml", tmp_path / "cell.zsd"
    lines = zs("calibrate", "--dark", dark, "--flat", flat, "-o", camera)
    assert lines.code == 0 and "70 x 58 pixels from 25 dark and 25 flat frames" in lines.out
    facts = zs("calibrate", cell, "--dark", dark, "--flat", flat, "-o", camera, "--overwrite", "--json").json
    assert facts["gain_adu_per_e"] == pytest.approx(1.5, abs=5 * facts["gain_sigma"]) and facts["messages"] == []
    assert facts["outputs"][-1] == str(camera)
    options = ("--config", tiny, "--pixel-um", 0.065, *OPTICS, "--camera", camera)
    done = zs("train", cell, "-o", model, *options)
    assert done.code == 0 and "maps camera.yaml from 25 dark and 25 flat frames" in done.out
    told = zs("predict", model, cell, "-o", tmp_path / "out", "--pixel-um", 0.065)
    assert told.code == 0 and "maps of the training's camera, in the model" in told.out
    again = zs("predict", model, cell, "-o", tmp_path / "other", "--pixel-um", 0.065, "--camera", camera)
    assert again.code == 0 and "maps camera.yaml" in again.out
    first, second = (tifffile.imread(tmp_path / folder / "cell_denoised.ome.tif") for folder in ("out", "other"))
    assert np.allclose(first, second, atol=0.02 * first.max())  # other draws of nothing: the maps are the same up to rounding
    cut = ("--pixel-um", 0.065, "--crop", "3:60,2:")
    own = zs("predict", model, cell, "-o", tmp_path / "cut", *cut)
    given = zs("predict", model, cell, "-o", tmp_path / "cut_given", *cut, "--camera", camera)
    assert (own.code, given.code) == (0, 0), own.err + given.err
    ours, theirs = (tifffile.imread(tmp_path / folder / "cell_denoised.ome.tif") for folder in ("cut", "cut_given"))
    assert ours.shape == (57, 56) and np.allclose(ours, theirs, atol=0.02 * ours.max())
    of_part = tmp_path / "of_part.zsd"
    assert zs("train", cell, "-o", of_part, *options, "--crop", "3:60,2:").code == 0
    assert zs("predict", of_part, cell, "-o", tmp_path / "same", *cut).code == 0
    refused = zs("predict", of_part, cell, "-o", tmp_path / "another", "--pixel-um", 0.065, "--crop", "4:61,2:").error
    assert refused.startswith("camera maps in the model: they are those of crop 3:60,2: of its training, the prediction is of crop 4:61,2:")
    assert refused.endswith("give --camera with the maps of the whole sensor")
    part = tmp_path / "part.tif"
    tifffile.imwrite(part, tifffile.imread(cell)[:60], photometric="minisblack")
    refused = zs("predict", model, part, "-o", tmp_path / "part", "--pixel-um", 0.065).error
    assert "frames of 60 x 58 pixels, the camera maps have 70 x 58" in refused and refused.endswith("as --camera")
    refused = zs("run", cell, "-o", tmp_path / "run", *options, "--background", 99).error
    assert refused == "background 99.0 has no effect beside camera maps: leave it out, or leave out --camera"


def test_what_makes_no_maps_is_refused(zs, sensor, tmp_path):
    dark, flat, cell = sensor
    out = ("-o", tmp_path / "camera.yaml")
    assert "swapped" in zs("calibrate", "--dark", flat, "--flat", dark, *out).error
    assert "give --flat" in zs("calibrate", "--dark", dark, *out).error
    assert "--dark and --flat" in zs("calibrate", cell, *out).error
    assert "--detector emccd" in zs("calibrate", "--dark", dark, "--flat", flat, *out, "--detector", "emccd").error
    assert "--background 99" in zs("calibrate", "--dark", dark, "--flat", flat, *out, "--background", 99).error
    assert "0 images" in zs("calibrate", "--dark", dark, "--flat", flat).error
    assert "1 dark frame" in zs("calibrate", "--dark", cell, "--flat", flat, *out).error
    assert sorted(path.suffix for path in tmp_path.iterdir()) == [".tif"] * 3, "nothing half done is left"
    missing = zs("run", cell, "-o", tmp_path / "run", "--camera", tmp_path / "no.yaml", *OPTICS, "--pixel-um", 0.065).error
    assert "no.yaml" in missing and "--camera" in missing
