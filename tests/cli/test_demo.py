"""`demo`: the steps that it shows, and the files that it leaves."""

import json

import pytest

from zsdeconv.cli import demo as module
from zsdeconv.cli.demo import Scene

QUICK = "--wavelength-nm 525 --immersion-ri 1.33 --na 1.1"


@pytest.fixture
def small(monkeypatch):
    """Scenes that take seconds, without the report."""
    plane = Scene("2d --structure puncta --photons 50 --size 128 --pixel-um 0.065", QUICK, (0.065,), 0.24)
    stack = Scene("3d --photons 50 --size 32 --planes 6 --pixel-um 0.1 --z-um 0.2 --haze 0", QUICK, (0.2, 0.1), 0.24)
    monkeypatch.setattr(module, "PLANE", plane)
    monkeypatch.setattr(module, "STACK", stack)
    invoke = module.invoke
    quick = ("--no-report", "--passes", "0")
    monkeypatch.setattr(module, "invoke", lambda words: invoke([*words, *(quick if words[0] == "run" else ())]))


@pytest.mark.parametrize("options", [(), ("--stack",)])
def test_the_demonstration_leaves_a_picture_and_scores(zs, small, tmp_path, options):
    shown = zs("demo", "-o", tmp_path / "demo", "--minutes", 0.005, *options)
    assert shown.code == 0, shown.err
    assert [line.split()[2] for line in shown.out.splitlines() if line.startswith("$ zsdeconv")] == ["simulate", "run"]
    assert (tmp_path / "demo" / "restoration.png").read_bytes().startswith(b"\x89PNG")
    scores = json.loads((tmp_path / "demo" / "scores.json").read_text())
    assert list(scores) == ["noisy", "denoised", "richardson_lucy", "deconvolved"]
    assert 0.5 < scores["denoised"]["flux_slope"] < 1.5 and scores["deconvolved"]["soft_psnr"] > 10
    assert "richardson-lucy" in shown.out and str(tmp_path / "demo" / "restoration.png") in shown.out

    assert "--overwrite" in zs("demo", "-o", tmp_path / "demo", *options).error
    if not options:
        again = zs("demo", "-o", tmp_path / "demo", "--minutes", 0.005, "--overwrite", "--json").json
        assert again["scores"]["noisy"] == scores["noisy"]
