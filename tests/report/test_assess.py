"""All that is said of a restoration: of planes, movies, stacks and structured illumination, in Python and from the command line."""

import json
from dataclasses import replace

import numpy as np
import pytest

import zsdeconv as zs
from zsdeconv.config import Config, resolve
from zsdeconv.model import Restored
from zsdeconv.report.page.figures import draw
from zsdeconv.simulation.structured import SimScene, simulate_sim2d
from zsdeconv.simulation.widefield import Scene, Simulation, StackScene, simulate_2d, simulate_3d

EVERY = ["psf", "camera", "training", "residuals", "resolution", "flux", "uncertainty", "error_map", "recovery"]


def toy(modality: str = "auto", **changes: object) -> Config:
    settings = {
        "modality": modality,
        "network": {"channels": (4, 8)},
        "training": {"patch_px": 32, "patch_planes": 4, "batch": 1, "steps": 6, "validate_every": 2},
        "prediction": {"passes": 2},
        "input": {"background": 100.0},
        "device": "cpu",
    }
    return resolve(changes, settings)


def test_a_plane_is_asked_everything_and_answers_in_plain_values(restored: Restored) -> None:
    report = restored.report("cell.tif")
    assert [section.key for section in report.sections] == EVERY
    told = json.loads(json.dumps(report.to_dict(), allow_nan=False))
    assert set(told) == set(EVERY)
    assert told["flux"]["slope"] == pytest.approx(1.0, abs=0.05)
    assert 100 < told["resolution"]["noise_limit_nm"] < 500
    assert report.title == "cell.tif" and set(report.images) == {"raw", "denoised", "deconvolved", "uncertainty"}


def test_the_same_image_gives_the_same_answers(restored: Restored) -> None:
    assert restored.report().to_dict() == restored.report().to_dict()


def test_a_good_restoration_is_called_good_and_a_wrong_one_is_not(restored: Restored, simulated: Simulation) -> None:
    sections = {section.key: section for section in restored.report().sections}
    assert all(sections[key].level == "ok" for key in ("camera", "flux", "residuals"))
    model = restored.model
    wrong = replace(
        model,
        intensity_correction=replace(model.intensity_correction, deconvolved=replace(model.intensity_correction.deconvolved, slope=1.3)),
    )
    doubtful = {section.key: section for section in wrong.predict(simulated.noisy).report().sections}
    assert doubtful["flux"].level != "ok" and doubtful["residuals"].level != "ok"


def test_a_movie_has_its_traces_told() -> None:
    scene = Scene(size=64, frames=5, photons=80, structure="puncta", seed=1)
    made = zs.restore(simulate_2d(scene).noisy, scene.optics, config=toy())
    assert [section.key for section in made.report().sections] == [*EVERY, "series"]


def test_a_stack() -> None:
    scene = StackScene(size=48, planes=9, photons=80, seed=1)
    made = zs.restore(simulate_3d(scene).noisy, scene.optics, config=toy("3d"))
    assert [section.key for section in made.report().sections] == EVERY


def test_structured_illumination_in_a_plane() -> None:
    scene = SimScene(size=96, photons=300, seed=2)
    made = zs.restore(simulate_sim2d(scene).noisy, scene.optics, config=toy("sim2d"))
    sections = made.report().sections
    assert [section.key for section in sections] == ["psf", "camera", "pattern", *EVERY[2:]]
    found = sections[2]
    assert found.numbers["periods_um"] == pytest.approx([scene.stripes_um] * 3, rel=0.02) and found.level == "ok"
    assert draw(found.pictures[0]).png[1:4] == b"PNG"


def test_an_image_without_light_is_judged_all_the_same() -> None:
    dark = 100 + np.random.default_rng(0).normal(0, 2, (72, 80)).round()
    with pytest.warns(zs.errors.DataWarning):  # that there is too little light to calibrate on
        made = zs.restore(zs.Image(dark, "YX", {"Y": 0.065, "X": 0.065}), zs.Optics(1.3, 525), config=toy())
    levels = {section.key: section.level for section in made.report().sections}
    assert "ok" in levels.values() and "warn" in levels.values()
