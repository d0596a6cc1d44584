"""The source of the package as syntax trees, for rules that no linter knows. Every rule is a function of source text."""

import ast
from collections.abc import Callable, Iterator
from pathlib import Path

import zsdeconv

SOURCE = Path(zsdeconv.__file__).parent
MODULES = sorted(SOURCE.rglob("*.py"))
TESTS = Path(__file__).parents[1]

Function = ast.FunctionDef | ast.AsyncFunctionDef
Rule = Callable[[str], list[str]]


def name_of(path: Path) -> str:
    """Path of a module below `src/zsdeconv`."""
    return path.relative_to(SOURCE).as_posix()


def text_of(path: Path) -> str:
    return path.read_text(encoding="utf-8")


def within(name: str, places: tuple[str, ...]) -> bool:
    """Whether a module is one of `places` or lies in a folder of them (written with a slash at the end)."""
    return any(name == place or (place.endswith("/") and name.startswith(place)) for place in places)


def violations(rule: Rule, *, exempt: tuple[str, ...] = ()) -> dict[str, list[str]]:
    """What a rule finds in each module of the package, modules without a finding left out."""
    found = {name_of(path): rule(text_of(path)) for path in MODULES if not within(name_of(path), exempt)}
    return {name: lines for name, lines in found.items() if lines}


def beyond(found: dict[str, list[str]], expected: dict[str, int]) -> dict[str, list[str]]:
    """Findings in those modules that have more than is `expected` of them."""
    return {name: lines for name, lines in found.items() if len(lines) > expected.get(name, 0)}


def shown(found: dict[str, list[str]]) -> str:
    return "\n".join(f"{name}:{line}" for name, lines in found.items() for line in lines)


def functions(tree: ast.AST) -> Iterator[tuple[str, Function]]:
    """Every function with its qualified name."""

    def below(node: ast.AST, prefix: str) -> Iterator[tuple[str, Function]]:
        for child in ast.iter_child_nodes(node):
            if isinstance(child, Function):
                yield prefix + child.name, child
            name = getattr(child, "name", "") if isinstance(child, Function | ast.ClassDef) else ""
            yield from below(child, f"{prefix}{name}." if name else prefix)

    yield from below(tree, "")


def prose(tree: ast.AST) -> set[int]:
    """Identities of the string nodes that are statements: docstrings and the sentences after constants."""
    return {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)}


def literals(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """String literals other than docstrings, with their lines."""
    sentences = prose(tree)
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in sentences:
            yield node.lineno, node.value
