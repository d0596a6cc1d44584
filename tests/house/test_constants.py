"""A number that was chosen, fitted or read somewhere says so, in the string below it or in a comment beside it."""

import ast
import io
import tokenize
from collections.abc import Iterator
from itertools import pairwise

import pytest

from house.syntax import beyond, shown, violations

MIN_WORDS = 3
EXPECTED: dict[str, int] = {}
"""Constants in each module that still say nothing; this list only ever gets shorter."""
NUMERIC_CALLS = ("math.", "np.", "frozenset", "range", "tuple", "float", "int", "complex", "Fraction", "MappingProxyType")
"""Calls that make numbers of numbers: `math.sqrt(2)`, `np.array([1, 2])`, `frozenset({1, 2})`."""


def is_numeric(value: ast.expr | None) -> bool:
    """Whether a value is a number, arithmetic with one, or a collection that holds one (of mappings, among the values)."""
    match value:
        case ast.Constant(value=number):
            return isinstance(number, int | float | complex) and not isinstance(number, bool)
        case ast.UnaryOp(operand=operand):
            return is_numeric(operand)
        case ast.BinOp(left=left, right=right):
            return is_numeric(left) or is_numeric(right)
        case ast.Tuple(elts=parts) | ast.List(elts=parts) | ast.Set(elts=parts) | ast.Dict(values=parts):
            return any(map(is_numeric, parts))
        case ast.Call(func=func, args=parts) if ast.unparse(func).startswith(NUMERIC_CALLS) and "dtype" not in ast.unparse(func):
            return any(map(is_numeric, parts))
    return False


def constants(body: list[ast.stmt], *, upper: bool) -> Iterator[tuple[ast.stmt, str, ast.stmt | None]]:
    """Numeric assignments in a body, their names, the statements after them; with `upper` only those that are named like constants."""
    for statement, after in pairwise([*body, None]):
        assert statement is not None
        if isinstance(statement, ast.Assign | ast.AnnAssign) and is_numeric(statement.value):
            targets = statement.targets if isinstance(statement, ast.Assign) else [statement.target]
            names = [node.id for target in targets for node in ast.walk(target) if isinstance(node, ast.Name)]
            if names and (not upper or all(name == name.upper() for name in names)):
                yield statement, ", ".join(names), after
        if isinstance(statement, ast.ClassDef):
            yield from constants(statement.body, upper=True)
        if isinstance(statement, ast.If | ast.Try):
            yield from constants(statement.body, upper=upper)


def comments(text: str) -> dict[int, str]:
    """Comments by their line."""
    tokens = tokenize.generate_tokens(io.StringIO(text).readline)
    return {token.start[0]: token.string.lstrip("# ") for token in tokens if token.type == tokenize.COMMENT}


def unexplained(text: str) -> list[str]:
    """Numeric constants without a sentence: in a string below, in a comment on their lines, or in one on the lines just above."""
    found, beside, lines = [], comments(text), text.splitlines()
    for statement, name, after in constants(ast.parse(text).body, upper=False):
        sentence = ""
        if isinstance(after, ast.Expr) and isinstance(after.value, ast.Constant) and isinstance(after.value.value, str):
            sentence = after.value.value
        above = statement.lineno - 1
        while above >= 1 and lines[above - 1].lstrip().startswith("#"):
            sentence = f"{beside[above]} {sentence}"
            above -= 1
        sentence += " ".join(beside.get(line, "") for line in range(statement.lineno, (statement.end_lineno or 0) + 1))
        if len(sentence.split()) < MIN_WORDS:
            found.append(f"{statement.lineno}: {name}")
    return found


def test_every_number_says_where_it_comes_from() -> None:
    found = violations(unexplained)
    found = beyond(found, EXPECTED)
    assert not found, shown(found)


@pytest.mark.parametrize(
    "planted",
    [
        "MAX_WIDTH = 3",
        "MAX_WIDTH: Final = 3.5  # um",
        "LIMITS = (1.0, 2.0)\nOTHER = '''The limits of another text.'''",
        "RATIO = -1 / 3\n'''A ratio.'''",
        "GAINS = {'low': 1.5, 'high': 3}",
        "PRESET = {'training': {'steps': 300, 'network': 'unet'}}",
        "ROOT = math.sqrt(2)",
        "HALF = 2 * WIDTH",
        "class Solver:\n    ROUNDS = 8",
        "_hidden = 4",
        "# A comment on the line above.\n\nMAX_WIDTH = 3",
    ],
)
def test_a_planted_number_is_found(planted: str) -> None:
    assert len(unexplained(planted)) == 1


@pytest.mark.parametrize(
    "explained",
    [
        "MAX_WIDTH = 3\n'''Chosen: wider ones are not beads.'''",
        "MAX_WIDTH = 3  # chosen: wider ones overlap",
        "# Fitted by benchmarks/psf_trials.py.\nMAX_WIDTH = 3",
        "RATES = (\n    1.0,  # law of the camera\n    2.0,\n)",
        "NAME = 'two words'",
        "x = compute(3)",
        "CONVOLUTIONS = {2: nn.Conv2d, 3: nn.Conv3d}",
        "class Settings:\n    steps: int = 1800",
        "def f():\n    n = 3",
        "FLAG = True",
    ],
)
def test_an_explained_number_or_none_is_not(explained: str) -> None:
    assert unexplained(explained) == []
