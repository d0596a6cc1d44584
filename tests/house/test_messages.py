"""The library speaks of arguments; the options of the command line are named in `cli/` alone."""

import ast
import re

import pytest

from house.syntax import beyond, literals, shown, violations

OPTION = re.compile(r"(?<![\w-])--[a-z][a-z0-9-]+")
COMMAND_LINE = ("cli/",)
EXPECTED: dict[str, int] = {
    "acquisition/noise_reference.py": 1,
    "camera/calibrate.py": 5,
    "camera/detector.py": 3,
    "camera/photon_transfer.py": 3,
    "config/sections.py": 1,
    "config/tree.py": 6,
    "image.py": 4,
    "io/assemble.py": 8,
    "io/atomic.py": 1,
    "io/checks.py": 2,
    "io/tiff.py": 1,
    "io/units.py": 3,
    "metrics.py": 1,
    "modality.py": 6,
    "model.py": 3,
    "physics/beads.py": 2,
    "physics/microscope.py": 2,
    "physics/optics.py": 8,
    "physics/otf.py": 7,
    "physics/psf.py": 10,
    "physics/psf_check.py": 8,
    "physics/psf_file.py": 9,
    "prepare.py": 12,
    "report/checks/brightness.py": 1,
    "report/checks/camera_law.py": 6,
    "report/checks/convergence.py": 3,
    "report/checks/fringes.py": 1,
    "report/checks/psf_fit.py": 3,
    "report/checks/standard_error.py": 2,
    "report/psf_image.py": 2,
    "sim/detection.py": 5,
    "sim/estimate.py": 14,
    "sim/patterns.py": 5,
    "sim/prior.py": 3,
    "sim/raw_frames.py": 1,
    "sim/reconstruct.py": 1,
    "sim/search.py": 2,
    "sim/setup.py": 7,
    "sim/weights.py": 2,
    "simulation/scenes.py": 1,
    "simulation/structured.py": 10,
    "simulation/widefield.py": 6,
    "training/trainer.py": 3,
}
"""Strings in each module that still name options; this list only ever gets shorter."""


def options(text: str) -> list[str]:
    """String literals, docstrings aside, that name an option: in an error, a warning, a finding, or wherever a sentence is made."""
    found = [(line, OPTION.findall(literal)) for line, literal in literals(ast.parse(text))]
    return [f"{line}: {' '.join(names)}" for line, names in found if names]


def test_the_library_names_no_options() -> None:
    found = violations(options, exempt=COMMAND_LINE)
    found = beyond(found, EXPECTED)
    assert not found, shown(found)


@pytest.mark.parametrize(
    "planted",
    [
        "raise ConfigError(f'na {na}: too large; check --na')",
        "advice = 'give --axes'\nraise ImageError(advice)",
        "Finding('psf', 'give it with --psf-pixel-um')",
    ],
)
def test_a_planted_option_is_found(planted: str) -> None:
    assert len(options(planted)) == 1


def test_docstrings_and_dashes_are_no_options() -> None:
    assert options("def f():\n    '''As --na on the command line.'''") == []
    assert options("x = 'a -- b'; y = 'one--two'; z = '---'; css = '--'") == []
