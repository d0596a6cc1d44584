"""Stacks through the command line: results, spacings, pairs, and what is refused."""

import re

import numpy as np
import pytest
import tifffile
import yaml

from zsdeconv import io

OPTICS = ("--na", 1.1, "--wavelength-nm", 525, "--immersion-ri", 1.33, "--microscope", "lightsheet", "--sheet-um", 1.0)


@pytest.fixture(scope="module")
def tiny3(tmp_path_factory):
    """Settings that train a toy network on stacks in a second."""
    settings = {
        "network": {"channels": [4, 4]},
        "training": {"steps": 4, "patch_px": 16, "patch_planes": 4, "batch": 1, "validate_every": 2},
        "prediction": {"passes": 2},
    }
    path = tmp_path_factory.mktemp("settings") / "tiny3.yaml"
    path.write_text(yaml.safe_dump(settings))
    return path


def stack(*shape, seed=0):
    """Blobs in a volume seen by a camera: offset 100, gain 1.5, read noise 2."""
    rng = np.random.default_rng(seed)
    grid = np.indices(shape[-3:])
    light = sum(80 * np.exp(-sum((g - c) ** 2 for g, c in zip(grid, at, strict=True)) / 18) for at in ((3, 12, 9), (6, 25, 20), (2, 30, 8)))
    light = np.broadcast_to(light, shape)
    return np.rint(1.5 * rng.poisson(light) + rng.normal(100, 2, shape)).astype(np.uint16)


@pytest.fixture
def save3(tmp_path):
    def write(name, data, axes="ZYX", z_um=0.2, pixel_um=0.1):
        sizes = {"PhysicalSizeX": pixel_um, "PhysicalSizeY": pixel_um} | ({} if z_um is None else {"PhysicalSizeZ": z_um})
        path = tmp_path / name
        tifffile.imwrite(path, data, ome=True, photometric="minisblack", metadata={"axes": axes} | sizes)
        return path

    return write


def test_a_stack_is_restored_at_its_own_spacing(zs, save3, tiny3, tmp_path):
    ended = zs("run", save3("cell.tif", stack(9, 40, 37)), "-o", tmp_path / "out", *OPTICS, "--config", tiny3)
    assert ended.code == 0, ended.err
    raw, fine = (io.read(tmp_path / "out" / f"cell_{kind}.ome.tif") for kind in ("denoised", "deconvolved"))
    assert (raw.axes, raw.data.shape, fine.data.shape) == ("ZYX", (9, 40, 37), (9, 80, 74))
    assert fine.spacing_um == pytest.approx({"Z": 0.2, "Y": 0.05, "X": 0.05})
    assert re.search(r"^pairs +(interleaved|re-corrupted) pairs", ended.out, re.MULTILINE)
    assert re.search(r"^training +3d, preset fast", ended.out, re.MULTILINE)


def test_a_movie_of_stacks_trains_one_model_that_restores_the_next(zs, save3, tiny3, tmp_path):
    movie = save3("cell.tif", stack(2, 7, 33, 35), "TZYX")
    assert zs("run", movie, "-o", tmp_path / "out", *OPTICS, "--config", tiny3).code == 0
    assert io.read(tmp_path / "out" / "cell_deconvolved.ome.tif").data.shape == (2, 7, 66, 70)
    other = save3("other.tif", stack(6, 30, 31, seed=1))
    ended = zs("predict", tmp_path / "out" / "cell.zsd", other, "-o", tmp_path / "next", "--destripe", "X", "--stripe-length-um", 2)
    assert ended.code == 0 and "stripes" in ended.out, ended.err
    path = tmp_path / "next" / "other_deconvolved.ome.tif"
    assert io.read(path).data.shape == (6, 60, 62)
    assert io.read_provenance(path)["stripes"]["length_um"] == 2
    alone = zs("predict", tmp_path / "out" / "cell.zsd", other, "-o", tmp_path / "more", "--stripe-width-um", 2)
    assert alone.error.startswith("--stripe-width-um 2.0 has no effect without --destripe")


def test_pairs_can_be_told(zs, save3, tiny3, tmp_path):
    cell = save3("cell.tif", stack(9, 40, 37))
    for kind, words in (("interleave", "interleaved pairs, as given"), ("recorrupt", "re-corrupted pairs")):
        ended = zs("run", cell, "-o", tmp_path / kind, *OPTICS, "--config", tiny3, "--pairs", kind)
        assert ended.code == 0 and words in ended.out, ended.err
        assert yaml.safe_load((tmp_path / kind / "cell_config.yaml").read_text())["pairs"]["kind"] == kind


def test_the_published_preset_takes_the_published_network(zs, save3, tmp_path):
    ended = zs(
        "run",
        save3("cell.tif", stack(9, 40, 37)),
        "-o",
        tmp_path / "out",
        *OPTICS,
        "--preset",
        "paper",
        "--dry-run",
        "--pairs",
        "interleave",
    )
    settings = yaml.safe_load(ended.out[ended.out.index("modality:") :])
    assert (settings["network"]["kind"], settings["training"]["steps"], settings["loss"]["lambda_hessian"]) == ("rcan", 10_000, 0.1)


REFUSED = {
    "too few planes": ((4, 40, 37), "ZYX", {}, (), "4 planes along Z, the 3d method needs 5 at least"),
    "no step in z": (
        (9, 40, 37),
        "ZYX",
        {"z_um": None},
        (),
        "pixel size along Z is missing in the file, the PSF depends on it; give --z-um",
    ),
    "interleaving few planes": (
        (6, 40, 37),
        "ZYX",
        {},
        ("--pairs", "interleave"),
        "6 planes: interleaving needs 8 at least, re-corruption does not",
    ),
    "interleaving a plane": ((40, 37), "YX", {}, ("--pairs", "interleave"), "--pairs interleave: it takes every other plane of a stack"),
    "planes as a stack": ((9, 40, 37), "TYX", {}, ("--modality", "3d"), "needs the axes ZYX, Z is missing; give --axes"),
    "negative step": ((9, 40, 37), "ZYX", {}, ("--z-um", -0.2), "--z-um -0.2"),
    "lone step of a PSF": ((9, 40, 37), "ZYX", {}, ("--psf-z-um", 0.2), "--psf-z-um 0.2 has no effect without a PSF file"),
    "constant": ((9, 40, 37), "ZYX", {}, (), "constant"),
    "unknown microscope": ((9, 40, 37), "ZYX", {}, ("--microscope", "electron"), "electron"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_restored_is_refused(zs, save3, tiny3, tmp_path, name):
    shape, axes, changes, options, message = REFUSED[name]
    data = (
        np.full(shape, 100, np.uint16) if name == "constant" else stack(9, 40, 37)[-shape[0] :] if len(shape) == 3 else stack(9, 40, 37)[3]
    )
    ended = zs("run", save3("cell.tif", data, axes, **changes), "-o", tmp_path / "out", *OPTICS, "--config", tiny3, *options)
    assert message in ended.error
    assert not (tmp_path / "out").exists() or not list((tmp_path / "out").iterdir())


def test_a_psf_of_another_rank_is_refused(zs, save3, tiny3, tmp_path):
    ball = np.exp(-sum((g - n // 2) ** 2 for g, n in zip(np.indices((11, 21, 21)), (11, 21, 21), strict=True)) / 8)
    cell = save3("cell.tif", stack(9, 40, 37))
    flat = zs("run", cell, "-o", tmp_path / "out", "--config", tiny3, "--psf", save3("flat.tif", ball[5], "YX", None, 0.05))
    assert "plane" in flat.error
    plane = save3("plane.tif", stack(9, 40, 37)[3], "YX", None)
    thick = zs("run", plane, "-o", tmp_path / "out", "--config", tiny3, "--psf", save3("thick.tif", ball, "ZYX", 0.2, 0.05))
    assert "central" in thick.error


def test_lost_planes_are_refused(zs, save3, tiny3, tmp_path):
    data = stack(9, 40, 37)
    data[6] = 0
    ended = zs("run", save3("cell.tif", data), "-o", tmp_path / "out", *OPTICS, "--config", tiny3)
    assert "1 of 9 planes are constant (first: Z=6, every pixel is 0)" in ended.error


def test_more_than_the_memory_is_refused_before_anything_is_done(zs, save3, tiny3, tmp_path, monkeypatch):
    cell = save3("cell.tif", stack(9, 40, 37))
    assert zs("run", cell, "-o", tmp_path / "first", *OPTICS, "--config", tiny3).code == 0
    monkeypatch.setattr("zsdeconv.io.memory.machine_bytes", lambda: 4e8)
    asked = (("run", cell, *OPTICS, "--config", tiny3), ("predict", tmp_path / "first" / "cell.zsd", cell))
    for words in asked:
        ended = zs(*words, "-o", tmp_path / "out")
        assert re.search(r"cell\.tif: restoring it takes about 0\.4\d+ GB of memory, this machine has 0\.4; give a part of it", ended.error)
        assert not (tmp_path / "out").exists() or not list((tmp_path / "out").iterdir())
    monkeypatch.setattr("zsdeconv.io.memory.machine_bytes", lambda: 1e4)
    assert "reading it takes about" in zs("run", cell, *OPTICS, "-o", tmp_path / "out").error
    assert zs("info", cell).code == 0, "it reads no pixels"
