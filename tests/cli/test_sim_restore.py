"""Raw frames of structured illumination through `run`, `train` and `predict`: results, patterns, and what is refused."""

import re

import numpy as np
import pytest
import tifffile

from sim.simulator import PIXEL_UM
from zsdeconv import io

LENS = ("--na", 1.3, "--wavelength-nm", 525, "--immersion-ri", 1.515)
KNOWN = ("--modality", "sim2d", *LENS, "--pixel-um", PIXEL_UM, "--background", 100)


def test_one_command_from_raw_frames_to_every_image(zs, raw, tiny, tmp_path):
    ended = zs("run", raw, "-o", tmp_path / "out", *KNOWN, "--config", tiny)
    assert ended.code == 0, ended.err
    for kind in ("reconstructed", "denoised", "deconvolved", "uncertainty"):
        image = io.read(tmp_path / "out" / f"raw_{kind}.ome.tif")
        assert image.axes == "YX" and image.data.shape == (242, 272) and image.data.dtype == np.float32
        assert image.spacing_um == pytest.approx({"Y": PIXEL_UM / 2, "X": PIXEL_UM / 2})
        with tifffile.TiffFile(tmp_path / "out" / f"raw_{kind}.ome.tif") as tif:
            assert 'AcquisitionMode="StructuredIllumination"' in (tif.ome_metadata or "")
    assert re.search(r"^direction 2 +\S+ degrees, period 0\.\d+ um, depth 0\.\d+, score \d+", ended.out, re.MULTILINE)
    assert re.search(r"^reconstruction +w 0\.\d+, pattern estimated on the frames", ended.out, re.MULTILINE)
    kept = io.read_provenance(tmp_path / "out" / "raw_deconvolved.ome.tif")
    assert len(kept["sim"]["directions"]) == 3

    predicted = zs("predict", tmp_path / "out" / "raw.zsd", raw, "-o", tmp_path / "again")
    assert predicted.code == 0, predicted.err
    one, other = (tifffile.imread(tmp_path / folder / "raw_deconvolved.ome.tif") for folder in ("out", "again"))
    assert np.array_equal(one, other)
    repeated = zs("run", raw, "-o", tmp_path / "repeated", "--config", tmp_path / "out" / "raw_config.yaml")
    assert repeated.code == 0, repeated.err
    assert np.array_equal(one, tifffile.imread(tmp_path / "repeated" / "raw_deconvolved.ome.tif"))


def test_the_pattern_of_a_brighter_recording(zs, raw, tiny, tmp_path):
    assert zs("sim", "estimate", raw, "-o", tmp_path / "sim.yaml", *LENS, "--pixel-um", PIXEL_UM, "--background", 100).code == 0
    ended = zs("run", raw, "-o", tmp_path / "out", *KNOWN, "--sim-parameters", tmp_path / "sim.yaml", "--wiener", 0.3, "--config", tiny)
    assert ended.code == 0, ended.err
    assert re.search(r"^reconstruction +w 0\.3, pattern parameter file", ended.out, re.MULTILINE)


def test_a_movie_is_trained_once_and_every_time_restored(zs, counts, tiny, tmp_path):
    tifffile.imwrite(tmp_path / "movie.tif", np.stack([counts, counts]), photometric="minisblack")
    ended = zs("train", tmp_path / "movie.tif", "-o", tmp_path / "m.zsd", *KNOWN, "--axes", "TPYX", "--per-frame", "--config", tiny)
    assert ended.code == 0, ended.err
    ended = zs("predict", tmp_path / "m.zsd", tmp_path / "movie.tif", "--axes", "TPYX", "-o", tmp_path / "out")
    assert ended.code == 0, ended.err
    assert io.read(tmp_path / "out" / "movie_deconvolved.ome.tif").axes == "TYX"


def test_what_is_refused(zs, raw, counts, tiny, tmp_path):
    def error(*words):
        ended = zs("run", raw, "-o", tmp_path / "out", *words, "--config", tiny)
        assert not (tmp_path / "out").exists() or not list((tmp_path / "out").iterdir())
        return ended.error

    assert "give --directions and --phases" in error(*KNOWN, "--phases", 4)
    assert "give --pixel-um" in error("--modality", "sim2d", *LENS)
    assert "--na" in error("--modality", "sim2d", "--pixel-um", PIXEL_UM)
    assert "must be numbers with commas" in error(*KNOWN, "--angles-deg", "ten,20,30")
    assert "2 angles for 3 directions" in error(*KNOWN, "--angles-deg", "10,20")
    assert "leave it out" in error(*KNOWN, "--scale", 1)
    assert "check --period-um" in error(*KNOWN, "--period-um", 0.01)
    assert "PYX" in error(*LENS, "--pixel-um", PIXEL_UM)  # auto: nobody says what the nine planes are
    flat = tmp_path / "flat.tif"
    tifffile.imwrite(flat, np.random.default_rng(0).poisson(20, (9, 96, 96)).astype(np.uint16) + 100, photometric="minisblack")
    ended = zs("run", flat, "-o", tmp_path / "out", *KNOWN, "--config", tiny)
    assert "no pattern found" in ended.error and "--angles-deg" in ended.error
