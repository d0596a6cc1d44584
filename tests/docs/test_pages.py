"""What the pages of the documentation show runs: blocks of Python as they stand, command lines as far as options and their values go."""

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from cyclopts import CycloptsError

import zsdeconv as zs
from zsdeconv import pipeline
from zsdeconv.cli.app import app
from zsdeconv.config import as_settings
from zsdeconv.simulation.scenes import Scene
from zsdeconv.simulation.widefield import simulate_2d

ROOT = Path(__file__).parents[2]
PAGES = sorted([ROOT / "README.md", *(ROOT / "docs").glob("*.md")])
BLOCK = re.compile(r"^```(python|sh)\n(.*?)^```", re.M | re.S)


def blocks(page: Path, language: str) -> list[str]:
    return [text for kind, text in BLOCK.findall(page.read_text(encoding="utf-8")) if kind == language]


def command_lines() -> Iterator[tuple[str, str]]:
    """Each command line of the program in the pages, its continuation lines joined and its comment left out."""
    for page in PAGES:
        for block in blocks(page, "sh"):
            for line in block.replace("\\\n", " ").splitlines():
                if line.strip().startswith("zsdeconv "):
                    yield page.name, " ".join(shlex.split(line, comments=True))


COMMANDS = sorted(set(command_lines()))


@pytest.mark.parametrize(("page", "line"), COMMANDS, ids=[f"{page}: {line[:60]}" for page, line in COMMANDS])
def test_command_lines_have_options_that_exist(page: str, line: str) -> None:
    """The words are parsed as the program parses them; what they do is tested with each verb."""
    _, *words = line.split()
    verb, _, _ = app.parse_args([word.strip("[]") for word in words], exit_on_error=False, print_error=False)
    assert verb.__name__ != "help_print", "the verb exists"


def test_an_option_that_is_not_there_is_found() -> None:
    with pytest.raises(CycloptsError, match="nonsense"):
        app.parse_args(["run", "cell.tif", "-o", "restored", "--nonsense", "3"], exit_on_error=False, print_error=False)


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """A folder with the files that the examples read, and the arrays that they name; trainings take two steps."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(pipeline, "as_settings", lambda options: as_settings({**options, "minutes": None, "steps": 2}))
    for seed, name in enumerate(("cell.tif", "next.tif")):
        simulate_2d(Scene(size=64, photons=200, gain=2.0, seed=seed)).noisy.save(name)
    rng, shape = np.random.default_rng(0), (40, 64, 64)
    dark = rng.normal(100, 2, shape)
    flat = 2.0 * rng.poisson(300, shape) + rng.normal(100, 2, shape)
    return {"dark_frames": dark.round().astype(np.uint16), "flat_frames": flat.round().astype(np.uint16)}


@pytest.mark.filterwarnings("ignore::zsdeconv.errors.DataWarning")  # so small an image says little about its camera
@pytest.mark.parametrize("page", [page for page in PAGES if blocks(page, "python")], ids=lambda page: page.name)
def test_blocks_of_python_run(page: Path, files: dict[str, Any]) -> None:
    names = {**files, "zs": zs, "np": np, "image": zs.read("cell.tif"), "optics": zs.Optics(na=1.4, wavelength_nm=525)}
    for number, block in enumerate(blocks(page, "python"), 1):
        exec(compile(block, f"{page.name}, block {number}", "exec"), names)
