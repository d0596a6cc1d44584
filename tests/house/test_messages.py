"""The library speaks of arguments; the options of the command line are named in `cli/` alone."""

import ast
import re

import pytest

from house.syntax import beyond, literals, shown, violations

OPTION = re.compile(r"(?<![\w-])--[a-z][a-z0-9-]+")
COMMAND_LINE = ("cli/",)
EXPECTED: dict[str, int] = {}
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
