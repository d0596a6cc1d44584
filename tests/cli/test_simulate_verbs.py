"""`simulate 2d`, `3d`, `sim2d` and `sim3d`: what they write, what they say, what they refuse."""

import dataclasses

import pytest
import yaml

from zsdeconv import io
from zsdeconv.cli.scene_options import PLANE, SCENE_OPTIONS, SIM_PLANE, SIM_STACK, STACK
from zsdeconv.simulation.structured import SimScene, SimStackScene
from zsdeconv.simulation.widefield import Scene, StackScene
from zsdeconv.simulation.widefield import settings as library_settings


def test_simulate_writes_what_the_library_makes(zs, tmp_path):
    shown = zs(
        "simulate", "2d", "-o", tmp_path / "s", "--structure", "puncta", "--size", 40, "--read-noise", 3.5, "--frames", 2, "--json"
    ).json
    scene = Scene(structure="puncta", size=40, read_noise=3.5, frames=2)
    settings = yaml.safe_load((tmp_path / "s" / "settings.yaml").read_text())
    assert settings == shown["settings"]
    assert {name: settings[name] for name in dataclasses.asdict(scene) if name != "immersion_ri"} == {
        name: value for name, value in dataclasses.asdict(scene).items() if name != "immersion_ri"
    }
    assert io.read(shown["files"]["noisy"]).sizes == {"T": 2, "Y": 40, "X": 40}


def test_simulate_writes_stacks(zs, tmp_path):
    words = ("--structure", "puncta", "--size", 32, "--planes", 6, "--z-um", 0.25, "--microscope", "confocal", "--pinhole-au", 0.8)
    shown = zs("simulate", "3d", "-o", tmp_path / "s", *words, "--json").json
    settings = yaml.safe_load((tmp_path / "s" / "settings.yaml").read_text())
    assert settings == shown["settings"]
    scene = StackScene(structure="puncta", size=32, planes=6, z_um=0.25, microscope="confocal", pinhole_au=0.8)
    given = dataclasses.asdict(scene) | {"immersion_ri": 1.333, "excitation_nm": pytest.approx(0.93 * 525)}
    assert {name: settings[name] for name in given} == given
    noisy = io.read(shown["files"]["noisy"])
    assert noisy.sizes == {"Z": 6, "Y": 32, "X": 32} and noisy.spacing_um == {"Z": 0.25, "Y": 0.1, "X": 0.1}
    lens = ("--na", 1.1, "--wavelength-nm", 525, "--microscope", "confocal", "--pinhole-au", 0.8)
    assert zs("psf", "check", shown["files"]["psf"], *lens).code == 0


def test_simulate_writes_raw_frames(zs, tmp_path):
    stripes = ("--directions", 2, "--phases", 5, "--period-um", 0.25, "--angle-deg", -40, "--modulation", 0.6, "--bleaching", 0.01)
    words = ("--structure", "puncta", "--size", 40, *stripes, "--order", "phase-direction", "--excitation-nm", 470)
    shown = zs("simulate", "sim2d", "-o", tmp_path / "s", *words, "--json").json
    scene = SimScene("puncta", size=40, directions=2, phases=5, period_um=0.25, angle_deg=-40, modulation=0.6, bleaching=0.01)
    scene = dataclasses.replace(scene, order="phase-direction", excitation_nm=470)
    assert yaml.safe_load((tmp_path / "s" / "settings.yaml").read_text()) == shown["settings"] == library_settings(scene)
    assert io.read(shown["files"]["noisy"]).sizes == {"P": 10, "Y": 40, "X": 40}
    assert shown["settings"]["illumination"]["directions"][0]["angle_deg"] == pytest.approx(-40)
    assert zs("psf", "check", shown["files"]["psf"], "--na", 1.4, "--wavelength-nm", 525).code == 0
    assert zs("info", shown["files"]["noisy"], "--json").json["axes"] == "PYX"


def test_simulate_writes_raw_stacks(zs, tmp_path):
    words = ("--structure", "puncta", "--size", 32, "--planes", 2, "--z-um", 0.15, "--directions", 1, "--na", 1.25)
    shown = zs("simulate", "sim3d", "-o", tmp_path / "s", *words, "--json").json
    scene = SimStackScene("puncta", size=32, planes=2, z_um=0.15, directions=1, na=1.25)
    assert shown["settings"] == library_settings(scene)
    noisy = io.read(shown["files"]["noisy"])
    assert noisy.sizes == {"Z": 2, "P": 5, "Y": 32, "X": 32} and noisy.spacing_um == {"Z": 0.15, "Y": 0.08, "X": 0.08}


@pytest.mark.parametrize(
    ("defaults", "scene"), [(PLANE, Scene()), (STACK, StackScene()), (SIM_PLANE, SimScene()), (SIM_STACK, SimStackScene())]
)
def test_simulate_has_the_options_and_defaults_of_its_scene(defaults, scene):
    """The command line does not import the simulation to print its help, so options and defaults stand in a table of its own."""
    assert set(defaults) == {field.name for field in dataclasses.fields(scene)} <= set(SCENE_OPTIONS)
    computed = {"immersion_ri", "sample_ri", "depth_um", "pinhole_au", "excitation_nm", "period_um", "scan_angle_deg", "scan_step_um"}
    for name in defaults.keys() - computed:
        assert defaults[name] == (scene.optics.sheet_um if name == "sheet_um" else getattr(scene, name)), name
    for name in computed & defaults.keys():
        assert isinstance(defaults[name], str) and getattr(scene, name) is None, name


def test_simulate_refuses_and_leaves_nothing(zs, tmp_path):
    assert "--structure" in zs("simulate", "2d", "-o", tmp_path / "s", "--structure", "stars").error
    assert "NA (1.6)" in zs("simulate", "2d", "-o", tmp_path / "s", "--na", 1.6).error
    assert "--size" in zs("simulate", "2d", "-o", tmp_path / "s", "--size", 4).error
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "file").write_text("")
    assert "-o" in zs("simulate", "2d", "-o", tmp_path / "file" / "s", "--size", 32).error
    assert zs("simulate", "2d", "-o", tmp_path / "s", "--size", 32, "--quiet").out == ""
    assert "--overwrite" in zs("simulate", "2d", "-o", tmp_path / "s", "--size", 32).error


@pytest.mark.parametrize(
    ("more", "words"),
    [
        (("--microscope", "telescope"), ["--microscope telescope", "one of widefield, confocal"]),
        (("--microscope", "twophoton"), ["--excitation-nm"]),
        (("--microscope", "widefield", "--sheet-um", 1), ["--sheet-um 1", "lightsheet"]),
        (("--depth-um", 5), ["--sample-ri"]),
        (("--planes", 1), ["planes 1", "--planes"]),
        (("--z-um", 0), ["--z-um 0 is outside", "give another --z-um"]),
        (("--size", 4096), ["8192", "67 million", "--size", "--planes"]),
    ],
)
def test_simulate_refuses_stacks_and_leaves_nothing(zs, tmp_path, more, words):
    error = zs("simulate", "3d", "-o", tmp_path / "s", *more).error
    assert all(word in error for word in words), error
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("verb", "more", "words"),
    [
        ("sim2d", ("--phases", 2), ["2 phases", "3 bands", "--phases 3"]),
        ("sim2d", ("--period-um", 0.15), ["0.15 um", "0.1744 um", "NA 1.4", "--period-um"]),
        ("sim2d", ("--pixel-um", 0.2), ["0.2 um", "0.0937 um", "--pixel-um"]),
        ("sim2d", ("--order", "random"), ["'random'", "phase-direction", "--order"]),
        ("sim2d", ("--directions", "many"), ["--directions", "many"]),
        ("sim2d", ("--size", 4096), ["4096", "2048", "--size"]),
        ("sim2d", ("--frames", 1000), ["9000 raw frames", "67 million", "--frames"]),
        ("sim3d", ("--phases", 3), ["3 phases", "5 bands", "--phases 5"]),
        ("sim3d", ("--z-um", 0.4), ["0.4 um", "0.1679 um", "--z-um"]),
        ("sim3d", ("--na", 1.6), ["NA (1.6)", "--immersion-ri"]),
    ],
)
def test_simulate_refuses_stripes_and_leaves_nothing(zs, tmp_path, verb, more, words):
    error = zs("simulate", verb, "-o", tmp_path / "s", *more).error
    assert all(word in error for word in words), error
    assert list(tmp_path.iterdir()) == []
