"""The checks of a restoration: of planes, movies, stacks and structured illumination."""

import json
from dataclasses import replace

import numpy as np
import pytest

import zsdeconv as zs
from zsdeconv.config import Config, resolve
from zsdeconv.errors import ImageError
from zsdeconv.model import Restored
from zsdeconv.prediction.photometry import PositiveResponse
from zsdeconv.report import assess
from zsdeconv.report.assess import CHECKS, Check
from zsdeconv.report.checks import residuals
from zsdeconv.report.page.figures import render_figure
from zsdeconv.simulation.structured import SimScene, simulate_sim2d
from zsdeconv.simulation.widefield import Scene, Simulation, StackScene, simulate_2d, simulate_3d

EVERY = ["psf", "camera", "training", "residuals", "noise_left", "resolution", "flux", "uncertainty", "error_map", "recovery"]


def toy(modality: str = "auto", **changes: object) -> Config:
    settings = {
        "modality": modality,
        "network": {"channels": (4, 8)},
        "training": {"patch_px": 32, "batch": 1, "steps": 6, "validate_every": 2},
        "prediction": {"passes": 2},
        "input": {"background": 100.0},
        "device": "cpu",
    }
    return resolve(changes, settings)


def test_a_plane_has_every_check_and_plain_values(restored: Restored) -> None:
    report = restored.report("cell.tif")
    assert [section.key for section in report.sections] == EVERY
    values = json.loads(json.dumps(report.to_dict(), allow_nan=False))
    assert set(values) == set(EVERY)
    assert values["flux"]["slope"] == pytest.approx(1.0, abs=0.05)
    assert 100 < values["resolution"]["noise_limit_nm"] < 500
    assert report.title == "cell.tif" and set(report.images) == {"raw", "denoised", "deconvolved", "uncertainty"}


def test_every_check_has_one_shape_and_one_set_of_keys(restored: Restored) -> None:
    keys = [check.module.KEY for check in CHECKS]
    assert keys == ["psf", "camera", "recording", "pattern", *EVERY[2:], "series"] and len(set(keys)) == len(keys)
    sections = {section.key: section for section in restored.report().sections}
    for check in CHECKS:
        assert check.module.TITLE and check.module.QUESTION.endswith("?") and check.module.NUMBERS
        if check.module.KEY in sections:
            found = sections[check.module.KEY]
            assert (found.title, found.question) == (check.module.TITLE, check.module.QUESTION)
            extra = set(found.numbers) - set(check.module.NUMBERS)
            assert set(check.module.NUMBERS) <= set(found.numbers) and (not extra or check.module.KEY == "training")


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.module.KEY)
def test_a_check_that_fails_is_not_checked_and_keeps_its_keys(
    check: Check, restored: Restored, simulated: Simulation, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(analysis: object) -> None:
        raise ImageError("3 pixels: at least 4 are needed; give more")

    monkeypatch.setattr(assess, "CHECKS", (replace(check, measured=refused, applies=lambda analysis: True),))
    monkeypatch.setattr(type(restored.model.acquisition), "checks", frozenset([check.module.KEY]))
    (section,) = assess.assess(restored.model, simulated.noisy, restored)
    assert (section.key, section.title, section.level) == (check.module.KEY, check.module.TITLE, "not_checked")
    assert set(section.numbers) == set(check.module.NUMBERS) and set(section.numbers.values()) == {None}
    assert "4 are needed" in section.findings[0].message
    json.dumps(section.to_dict(), allow_nan=False)


def test_the_same_image_gives_the_same_answers(restored: Restored) -> None:
    assert restored.report().to_dict() == restored.report().to_dict()


def test_a_good_restoration_is_called_good_and_a_wrong_one_is_not(restored: Restored, simulated: Simulation) -> None:
    sections = {section.key: section for section in restored.report().sections}
    assert sections["camera"].level == sections["flux"].level == "ok"
    # so short a training may lack a little light in one place, and whether it is told depends on the rounding of the machine
    left = sections["residuals"].numbers["structure_share"]
    assert left < residuals.MAX_STRUCTURE_SHARE
    model = restored.model
    wrong = replace(
        model,
        intensity_correction=replace(model.intensity_correction, deconvolved=PositiveResponse(gain=0.75)),
    )
    doubtful = {section.key: section for section in wrong.predict(simulated.noisy).report().sections}
    assert doubtful["flux"].level != "ok" and doubtful["residuals"].level != "ok"
    assert doubtful["residuals"].numbers["structure_share"] > 4 * left


@pytest.mark.parametrize("frames", [5, 3])
def test_a_movie_has_its_traces_checked(frames: int) -> None:
    scene = Scene(size=64, frames=frames, photons=80, structure="puncta", seed=1)
    made = zs.restore(simulate_2d(scene).noisy, scene.optics, config=toy())
    sections = made.report().sections
    assert [section.key for section in sections] == [*EVERY[:2], "recording", *EVERY[2:], "series"]
    assert (sections[-1].level == "not_checked") == (frames < 4) and "regions" in sections[-1].numbers


def test_a_stack() -> None:
    scene = StackScene(size=48, planes=9, photons=80, seed=1)
    made = zs.restore(simulate_3d(scene).noisy, scene.optics, config=toy("3d", training={"patch_planes": 4}))
    assert [section.key for section in made.report().sections] == EVERY


def test_structured_illumination_in_a_plane() -> None:
    scene = SimScene(size=128, photons=1000, structure="network", seed=2)
    made = zs.restore(simulate_sim2d(scene).noisy, scene.optics, config=toy("sim2d"))
    sections = made.report().sections
    assert [section.key for section in sections] == ["psf", "camera", "recording", "pattern", *EVERY[2:]]
    found = sections[3]
    assert found.numbers["periods_um"] == pytest.approx([scene.fringe_period_um] * 3, rel=0.02) and found.level == "ok"
    assert render_figure(found.figures[0]).png[1:4] == b"PNG"


def test_an_image_without_light_is_checked_where_possible() -> None:
    dark = 100 + np.random.default_rng(0).normal(0, 2, (72, 80)).round()
    with pytest.warns(zs.errors.DataWarning):  # that there is too little light to calibrate on
        made = zs.restore(zs.Image(dark, "YX", {"Y": 0.065, "X": 0.065}), zs.Optics(1.3, 525), config=toy())
    levels = {section.key: section.level for section in made.report().sections}
    assert levels["resolution"] == "fail" and levels["residuals"] != "fail"
