"""`info`: what `run` needs and the command for it, the short words on results, and the system."""

import re
import shlex
import tomllib
from pathlib import Path

import numpy as np
import pytest
import tifffile

import zsdeconv as zsd
from zsdeconv import io
from zsdeconv.cli import system
from zsdeconv.image import Image

VALUES = {"NA": "1.2", "NM": "600", "UM": "0.08", "LETTERS": "TYX", "NUMBER": "1"}


def command(shown):
    """The words of the command that `info` shows last, with values in place of what is missing, and what was missing."""
    words = shlex.split(shown.out.splitlines()[-1])
    assert words[:2] == ["zsdeconv", "run"]
    filled = [",".join(VALUES.get(part, part) for part in word.split(",")) for word in words[1:]]
    return filled, [word for word, value in zip(words[1:], filled, strict=True) if word != value]


def followed(zs, tmp_path, tiny, *asked):
    """A dry run of the command that `info` shows for a file."""
    shown = zs("info", *asked)
    assert shown.code == 0, shown.err
    words, missing = command(shown)
    words[words.index("-o") + 1] = tmp_path / "restored"
    assert zs("info", *asked, "--json").json["command"] == shown.out.splitlines()[-1]
    return zs(*words, "--dry-run", "--config", tiny), missing


@pytest.mark.parametrize(
    ("axes", "shape", "missing"),
    [
        ("YX", (64, 60), ["UM", "NA", "NM"]),
        ("TYX", (5, 64, 60), ["UM", "NA", "NM"]),
        ("ZYX", (7, 64, 60), ["UM", "UM", "NA", "NM"]),
        ("ZYX", (3, 64, 60), ["UM", "NA", "NM"]),
        ("CYX", (2, 64, 60), ["UM", "NA", "NM,NM"]),
        ("", (4, 64, 60), ["LETTERS", "UM", "NA", "NM"]),
    ],
)
def test_following_info_leads_to_no_second_error(zs, tmp_path, tiny, axes, shape, missing):
    data = (np.random.default_rng(0).poisson(40, shape) + 100).astype(np.uint16)
    metadata = {"axes": axes} if axes else None
    tifffile.imwrite(tmp_path / "cell.tif", data, ome=bool(axes), photometric="minisblack", metadata=metadata)
    ended, told = followed(zs, tmp_path, tiny, tmp_path / "cell.tif")
    assert told == missing
    assert ended.code == 0, ended.err


def test_following_info_on_raw_frames(zs, raw, counts, tmp_path, tiny):
    """Nine pages without a name: their axes are asked for; with the modality they are frames."""
    first = zs("info", raw).out
    assert "PYX (raw frames of structured illumination)" in first
    for words in ((raw, "--modality", "sim2d"), (raw, "--axes", "PYX")):
        VALUES["UM"] = "0.0626"
        ended, told = followed(zs, tmp_path, tiny, *words)
        VALUES["UM"] = "0.08"
        assert "UM" in told and "--pixel-um" in zs("info", *words).out
        assert "give --na" not in ended.err and "give --pixel-um" not in ended.err and "needs the axes" not in ended.err
    rows = zs("info", raw, "--modality", "sim2d").out
    assert re.search(r"^directions +3 \(assumed\)", rows, re.MULTILINE)
    assert re.search(r"^angles deg +searched for on the frames", rows, re.MULTILINE)


@pytest.mark.parametrize(
    "file",
    ["stacks/spots_2channel.tif", "movies/mitochondria_80nm_50f.tif", "formats/cluster.nd2", "single/dna_microtubules_actin_3ch.tif"],
)
def test_following_info_on_real_files(zs, shared, tmp_path, tiny, file):
    ended, _ = followed(zs, tmp_path, tiny, shared / "realdata" / file)
    assert ended.code == 0, ended.err


def test_each_setting_says_where_it_is_from(zs, save, frame):
    path = save("cell.tif", frame)
    facts = zs("info", path, "--na", 1.2, "--json").json
    settings = {entry["name"]: entry for entry in facts["settings"]}
    assert (settings["pixel_um"]["state"], settings["pixel_um"]["value"], settings["pixel_um"]["source"]) == ("found", 0.065, "OME-XML")
    assert (settings["na"]["state"], settings["na"]["value"]) == ("given", 1.2)
    assert settings["wavelength_nm"]["state"] == "missing" and settings["wavelength_nm"]["option"] == "--wavelength-nm"
    assert settings["immersion_ri"]["state"] == "assumed"
    assert set(settings["na"]) == {"name", "option", "state", "value", "source", "note"}
    assert facts["missing"] == {"wavelength_nm": "--wavelength-nm"}
    assert facts["command"] == f"zsdeconv run {path} -o restored --na 1.2 --wavelength-nm NM"


def test_a_psf_takes_the_place_of_the_optics(zs, save, frame, tmp_path):
    facts = zs("info", save("cell.tif", frame), "--psf", tmp_path / "psf.tif", "--json").json
    assert facts["missing"] == {} and "na" not in {entry["name"] for entry in facts["settings"]}


def test_channels_keep_the_wavelengths_that_are_known(zs, tmp_path):
    image = Image(np.ones((2, 40, 40), np.uint16), "CYX", {"Y": 0.1, "X": 0.1}, metadata={"emission_nm": [460.0, None]})
    io.write(tmp_path / "cell.tif", image, provenance={})
    shown = zs("info", tmp_path / "cell.tif")
    assert shown.out.splitlines()[-1].endswith("--na NA --wavelength-nm 460,NM")
    assert re.search(r"^channel +channel 1, channel 2", shown.out, re.MULTILINE)


def test_what_stands_in_the_way_is_told(zs, tmp_path):
    tifffile.imwrite(tmp_path / "p.tif", np.ones((2, 8, 50, 50), np.uint16), ome=True, photometric="minisblack", metadata={"axes": "CZYX"})
    shown = zs("info", tmp_path / "p.tif", "--modality", "2d")
    assert shown.code == 0
    assert re.search(r"^problem +.*8 planes along Z", shown.out, re.MULTILINE)


def test_scenes_are_listed_and_asked_for(zs, shared):
    shown = zs("info", shared / "realdata/formats/xyz__multiple_images.czi")
    assert shown.code == 0, shown.err


def test_results_are_short(zs, cell, quick, tmp_path):
    out = tmp_path / "out"
    assert zs("run", cell, "-o", out, *quick, "--quiet").code == 0
    for kind in ("denoised", "deconvolved", "uncertainty"):
        lines = zs("info", out / f"cell_{kind}.ome.tif").out.splitlines()
        assert len(lines) < 9
        assert any(re.search(rf"^result +{kind} image of zsdeconv", line) for line in lines)
        assert any(re.search(r"^of +cell.tif", line) for line in lines) and not any("zsdeconv run " in line for line in lines)
    model = zs("info", out / "cell.zsd").out.splitlines()
    assert len(model) < 16 and any(re.search(r"^use +zsdeconv predict .*cell.zsd IMAGE", line) for line in model)
    assert zs("info", out / "cell_deconvolved.ome.tif", "--json").json["provenance"]["input"] == "cell.tif"
    for ending, words in (("_config.yaml", "--config"), ("_log.jsonl", "training")):
        assert words in zs("info", out / f"cell{ending}").out
    (out / "cell_report.html").write_text("<html>")
    assert "browser" in zs("info", out / "cell_report.html").out
    assert "no such file" in zs("info", out / "none_report.html").error


def test_the_system_for_a_report_of_a_fault(zs, tmp_path):
    facts = zs("info", "--system", "--json").json
    assert facts["zsdeconv"] == zsd.__version__
    assert facts["packages"]["torch"] in facts["torch"]
    shown = zs("info", "--system").out
    assert len(shown.splitlines()) < 15
    import getpass
    import platform

    private = [str(Path.home()), platform.node(), str(Path.cwd()), *([getpass.getuser()] if getpass.getuser() != "root" else [])]
    assert not [word for word in private if len(word) > 2 and word in shown]
    assert "leave out one" in zs("info", "--system", tmp_path / "a.tif").error
    assert "--system" in zs("info").error


def test_the_system_lists_what_the_project_needs():
    project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text(encoding="utf-8"))["project"]

    def names(requirements):
        return {re.split(r"[<>=\[]", each)[0] for each in requirements}

    assert set(system.PACKAGES) == names(project["dependencies"])
    assert set(system.READERS) == names(project["optional-dependencies"]["formats"])
