"""What differs between modalities stands in `acquisition/`, `sim/`, `simulation/` and the table; nothing else asks which one it has."""

import ast
from collections.abc import Iterator

import pytest

from house.syntax import MODULES, SOURCE, beyond, literals, name_of, shown, text_of, violations, within
from zsdeconv.modality import MODALITIES

NAMES = {*MODALITIES, "2d", "3d", "sim2d", "sim3d"}
NAMED = ("modality.py", "cli/simulate_verbs.py")
"""The table; and `zsdeconv simulate 2d` and its like, verbs of the command line named like the modality that they make images for."""
OWNERS = ("acquisition/", "sim/", "simulation/", "modality.py")
TRAITS = {
    "accounts_for_all_light",
    "beams",
    "closed",
    "frame_axes",
    "per_frame",
    "raw_frame_axis",
    "reconstruct",
    "reconstructed",
    "reconstructed_as",
    "sim",
}
"""Names of what tells one modality from another; asking for one of them is asking for the modality."""
EXPECTED: dict[str, int] = {}
"""Conditions that are still there; this list only ever gets shorter."""


def classes(folder: str) -> set[str]:
    """Concrete classes in a folder: an abstract one stands for all ways of recording."""
    nodes = [node for path in (SOURCE / folder).rglob("*.py") for node in ast.walk(ast.parse(text_of(path)))]
    abstract = {"ABC", "Protocol"}
    return {node.name for node in nodes if isinstance(node, ast.ClassDef) and not {ast.unparse(base) for base in node.bases} & abstract}


KINDS = classes("acquisition") | classes("sim")
"""Classes of one way of recording or another: asking for the type is asking for the modality."""


def conditions(tree: ast.AST) -> Iterator[ast.AST]:
    """Every expression whose truth or kind decides something: tests of statements and expressions, comparisons, and lookups by them."""
    for node in ast.walk(tree):
        match node:
            case ast.If() | ast.IfExp() | ast.While() | ast.Assert():
                yield node.test
            case ast.comprehension():
                yield from node.ifs
            case ast.BoolOp() | ast.Compare():
                yield node
            case ast.UnaryOp(op=ast.Not()):
                yield node
            case ast.Match():
                yield node.subject
                yield from (case.guard for case in node.cases if case.guard)
                yield from (case.pattern for case in node.cases)
            case ast.Call(func=ast.Name("isinstance" | "issubclass" | "hasattr" | "bool")):
                yield node
            case ast.Subscript(slice=ast.Attribute() as index):
                yield index


def aliases(tree: ast.AST) -> set[str]:
    """Variables that hold a trait: `sim = config.sim` does not make it another thing to ask for."""
    named = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Assign | ast.AnnAssign | ast.NamedExpr) and node.value is not None and _is_trait(node.value):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            named |= {target.id for target in targets if isinstance(target, ast.Name)}
    return named


def _is_trait(value: ast.AST) -> bool:
    """Whether a value is a trait itself, a part of one (`config.sim.order`), or one looked up by its name (`header["sim"]`)."""
    match value:
        case ast.Attribute(value=inner, attr=attr):
            return attr in TRAITS or _is_trait(inner)
        case ast.Subscript(value=inner, slice=ast.Constant(value=key)):
            return key in TRAITS or _is_trait(inner)
        case ast.Call(func=ast.Attribute(value=inner, attr="get" | "pop"), args=[ast.Constant(value=key), *_]):
            return key in TRAITS or _is_trait(inner)
        case ast.Call(func=ast.Name("getattr"), args=[_, ast.Constant(value=key), *_]):
            return key in TRAITS
    return False


def asks_for_modality(condition: ast.AST, known: set[str]) -> bool:
    for node in ast.walk(condition):
        match node:
            case ast.Name(id=name) if name in TRAITS | KINDS | known:
                return True
            case ast.Attribute(value=ast.Name("modality" | "row") | ast.Attribute(attr="modality"), attr="name"):
                return True
            case ast.Attribute(attr=name) if name in TRAITS | KINDS:
                return True
            case ast.Constant(value=str(text)) if text in TRAITS | NAMES | {"P"}:
                return True
    return False


def modality_conditions(text: str) -> list[str]:
    """Conditions on a modality, the largest expression of each: line and text."""
    tree = ast.parse(text)
    known = aliases(tree)
    asking = [node for node in conditions(tree) if asks_for_modality(node, known)]
    inner = {id(part) for node in asking for part in ast.walk(node) if part is not node}
    once = {id(node): node for node in asking if id(node) not in inner}
    return [f"{getattr(node, 'lineno', 0)}: {ast.unparse(node)}" for node in once.values()]


def modality_names(text: str) -> list[str]:
    return [f"{line}: {literal!r}" for line, literal in literals(ast.parse(text)) if literal.lower() in NAMES]


def test_the_names_of_modalities_stand_in_their_table_only() -> None:
    """A variant is a row of choices: code elsewhere that names one has grown a branch."""
    found = violations(modality_names, exempt=NAMED)
    assert not found, shown(found)
    assert modality_names(text_of(SOURCE / "modality.py"))
    assert modality_names("order = {'Sim3D': 1}")


def test_nothing_else_asks_for_a_modality() -> None:
    found = violations(modality_conditions, exempt=OWNERS)
    found = beyond(found, EXPECTED)
    assert not found, shown(found)


@pytest.mark.parametrize(
    "planted",
    [
        "if model.reconstruct is None: pass",
        "x = 1 if not modality.raw_frame_axis else 2",
        "while config.sim.reconstructed: pass",
        "y = [f for f in frames if settings.sim.order]",
        "order = given.order or config.sim.order",
        "assert acquisition.closed",
        "match modality.name:\n    case _: pass",
        "match acquisition:\n    case StructuredAcquisition(): pass",
        "is_plane = modality.name == other",
        "if 'P' in image.axes: pass",
        "if header.get('sim'): pass",
        "setup = config.sim\nif setup.order: pass",
        "if (sim := header['sim']) is not None: pass",
        "sim = getattr(config, 'sim', None)\nx = sim and sim.order",
        "if isinstance(measurement, CameraMeasurement): pass",
        "same = type(measurement) is base.CameraMeasurement",
        "if hasattr(model, 'reconstruct'): pass",
        "f = {True: a, False: b}[acquisition.accounts_for_all_light]",
        "if kind == 'sim2d': pass",
        "known = bool(model.reconstruct)",
    ],
)
def test_a_planted_condition_is_found(planted: str) -> None:
    assert len(modality_conditions(planted)) == 1


@pytest.mark.parametrize(
    "innocent",
    [
        "if modality.rank == 3: pass",
        "model.reconstruct(frames)",
        "x = image.axes or 'YX'",
        "if config.network.kind: pass",
        "sim = config.sim",
        "x: Sequence[CameraMeasurement] = []",
    ],
)
def test_other_conditions_are_none_on_a_modality(innocent: str) -> None:
    assert modality_conditions(innocent) == []


def test_only_layers_and_grid_know_the_rank_of_an_operation() -> None:
    found = violations(ranked_operations, exempt=("nn/layers.py", "physics/grid.py"))
    assert not found, shown(found)
    assert ranked_operations("layer = nn.Conv3d(1, 2, 3)") and ranked_operations("from torch.nn.functional import avg_pool2d")


def ranked_operations(text: str) -> list[str]:
    ranked = {f"{kind}{rank}d" for kind in ("Conv", "conv", "ConvTranspose", "BatchNorm", "max_pool", "avg_pool") for rank in (1, 2, 3)}
    nodes = [
        (node, getattr(node, "attr", None) or getattr(node, "id", None) or getattr(node, "name", "")) for node in ast.walk(ast.parse(text))
    ]
    return [ast.unparse(node) for node, name in nodes if name in ranked]


def test_the_owners_are_there() -> None:
    assert {owner for owner in OWNERS if not any(within(name_of(path), (owner,)) for path in MODULES)} == set()
    assert {"CameraMeasurement", "Reconstruct"} <= KINDS
