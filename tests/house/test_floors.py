"""Imports run downwards, from the story to the ground, and never in circles."""

import ast
from collections.abc import Mapping

from house.syntax import MODULES, name_of, text_of

FLOORS = (
    ("errors", "findings", "notation", "_version"),
    ("image", "progress"),
    ("config",),
    ("io",),
    ("camera",),
    ("physics",),
    ("metrics",),
    ("data", "sim"),
    ("simulation",),
    ("acquisition",),
    ("nn",),
    ("prediction",),
    ("training",),
    ("modality",),
    ("report",),
    ("model_io", "results"),
    ("model",),
    ("prepare",),
    ("channels",),
    ("pipeline",),
    ("viewer",),
    ("cli",),
    ("__init__", "__main__"),
)
"""Folders and loose modules from the ground up; a floor may import those below it, and folders their own modules.

The report stands below the model: it knows a model by its interface alone, and the model asks it for a report.
"""
CONVENIENCES = {"image.image": {"io", "image.display"}, "image.display": {"report.page.thumbnails"}}
"""Methods of an image that begin what a higher floor does: saving it, showing it. They import when they are called, never before."""


def dotted(name: str) -> str:
    """`io/tiff.py` as `io.tiff`, `io/__init__.py` as `io`; the package itself stays `__init__`."""
    return name.removesuffix(".py").removesuffix("/__init__").replace("/", ".")


KNOWN = {dotted(name_of(path)) for path in MODULES}


def imported(text: str, known: set[str] = KNOWN) -> set[str]:
    """Modules of this package that a source imports anywhere: at its top, within functions, or for the type checker alone.

    `from zsdeconv.io import tiff` imports a module where there is one of that name, and else a name of `zsdeconv.io`.
    """
    found = set()
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"line {node.lineno}: imports are absolute"
            whole = {f"{node.module}.{alias.name}": node.module or "" for alias in node.names}
            found |= {name if name.removeprefix("zsdeconv.") in known else module for name, module in whole.items()}
    ours = {name for name in found if name.split(".")[0] == "zsdeconv"}
    return {name.removeprefix("zsdeconv.") if name != "zsdeconv" else "__init__" for name in ours}


def floor(module: str) -> int:
    place = module.split(".")[0]
    return next((n for n, floor in enumerate(FLOORS) if place in floor), -1)


def upward(module: str, text: str) -> list[str]:
    """Imports of a module that do not run to a lower floor or stay within its folder."""
    own = module.split(".")[0]
    return sorted(name for name in imported(text) if name.split(".")[0] != own and floor(name) >= floor(module))


def at_import(text: str) -> str:
    """A source without the bodies of its functions: what runs when it is imported."""

    class Emptied(ast.NodeTransformer):
        def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.FunctionDef:
            node.body = [ast.Pass()]
            return node

    return ast.unparse(Emptied().visit(ast.parse(text)))


def circles(graph: Mapping[str, set[str]]) -> list[list[str]]:
    """Modules that reach themselves through what they import, each with the others of its circle."""

    def reached(start: str) -> set[str]:
        seen, ahead = set[str](), [start]
        while ahead:
            fresh = graph.get(ahead.pop(), set()) - seen
            seen |= fresh
            ahead += fresh
        return seen

    reach = {module: reached(module) for module in graph}
    around = {frozenset(other for other in reach[module] if module in reach.get(other, ())) for module in graph if module in reach[module]}
    return sorted(sorted(circle) for circle in around)


def test_every_module_has_its_floor() -> None:
    assert {module for module in KNOWN if floor(module) < 0} == set()


def test_imports_run_downwards() -> None:
    found = {dotted(name_of(path)): upward(dotted(name_of(path)), text_of(path)) for path in MODULES}
    assert {module: names for module, names in found.items() if set(names) - CONVENIENCES.get(module, set())} == {}
    loaded = {dotted(name_of(path)): upward(dotted(name_of(path)), at_import(text_of(path))) for path in MODULES}
    assert {module: names for module, names in loaded.items() if names} == {}


def test_no_imports_run_in_circles() -> None:
    graph = {dotted(name_of(path)): imported(text_of(path)) for path in MODULES}
    assert circles({module: names - CONVENIENCES.get(module, set()) for module, names in graph.items()}) == []


def test_an_upward_import_is_found() -> None:
    assert upward("io.tiff", "from zsdeconv.model import Model") == ["model"]
    assert upward("io.tiff", "def f():\n    import zsdeconv.pipeline") == ["pipeline"]
    assert upward("io.tiff", "if TYPE_CHECKING:\n    from zsdeconv import camera, restore") == ["__init__", "camera"]
    assert upward("io.tiff", at_import("def f():\n    import zsdeconv.pipeline\nimport zsdeconv.model")) == ["model"]
    assert upward("errors", "import zsdeconv.findings") == ["findings"], "one floor has no order"
    assert upward("io.tiff", "from zsdeconv.io import mrc\nfrom zsdeconv.image import Image\nimport numpy") == []


def test_a_circle_is_found() -> None:
    assert circles({"a": {"b"}, "b": {"c"}, "c": {"b"}, "d": {"a"}}) == [["b", "c"]]
