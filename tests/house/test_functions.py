"""What a function may be like: few parameters, randomness that is passed in, and Eq. 2 in one of them alone."""

import ast
from collections.abc import Iterator

import pytest

from house.syntax import Function, beyond, functions, shown, violations

MAX_PARAMETERS = 8
HOME_OF_EQ_2 = "data/pairs.py"
EXPECTED_PARAMETERS: dict[str, int] = {}
"""Functions in each module that still have more; this list only ever gets shorter."""
EXPECTED_EQ_2: dict[str, int] = {}
"""Modules beyond `HOME_OF_EQ_2` in which Eq. 2 is still written out; this list only ever gets shorter."""


def parameters(function: Function | ast.Lambda) -> list[str]:
    """Names of the parameters, without `self` and `cls`; `*args` and `**kwargs` count as one each."""
    arguments = function.args
    positional = [argument.arg for argument in arguments.posonlyargs + arguments.args]
    bound = positional[:1] in (["self"], ["cls"])
    starred = [argument.arg for argument in (arguments.vararg, arguments.kwarg) if argument is not None]
    return positional[bound:] + [argument.arg for argument in arguments.kwonlyargs] + starred


def long_signatures(text: str) -> list[str]:
    named = [(name, node) for name, node in functions(ast.parse(text))]
    named += [("lambda", node) for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Lambda)]
    return [f"{node.lineno}: {name} has {len(parameters(node))}" for name, node in named if len(parameters(node)) > MAX_PARAMETERS]


def global_randomness(text: str) -> list[str]:
    """Calls that draw from, or seed, a generator that everybody shares; within `fork_rng`, which puts it back, they may."""
    found, tree = [], ast.parse(text)
    forks = [node for node in ast.walk(tree) if isinstance(node, ast.With) and "fork_rng" in ast.unparse(node.items[0])]
    forked = {id(node) for fork in forks for node in ast.walk(fork)}
    for node in ast.walk(tree):
        if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)) or id(node) in forked:
            continue
        call = ast.unparse(node.func)
        drawn = call in {
            "torch.rand",
            "torch.randn",
            "torch.randint",
            "torch.randperm",
            "torch.multinomial",
            "torch.poisson",
            "torch.bernoulli",
        }
        unseeded = drawn and not any(keyword.arg == "generator" for keyword in node.keywords)
        legacy = call.startswith("np.random.") and not call.startswith(("np.random.default_rng", "np.random.SeedSequence"))
        if unseeded or legacy or call in {"torch.manual_seed", "random.random", "random.seed", "random.choice", "random.shuffle"}:
            found.append(f"{node.lineno}: {call}")
    return found


def own_nodes(function: Function) -> Iterator[ast.AST]:
    """Nodes of a function without those of functions within it."""
    ahead: list[ast.AST] = list(function.body)
    while ahead:
        node = ahead.pop()
        yield node
        if not isinstance(node, Function):
            ahead += ast.iter_child_nodes(node)


def recorruptions(text: str) -> list[str]:
    """Functions that hold both halves of Eq. 2: something plus `alpha z` and something minus `z / alpha`, of one `alpha` and one `z`."""
    found = []
    for name, function in functions(ast.parse(text)):
        added, taken = set[frozenset[str]](), set[frozenset[str]]()
        for node in own_nodes(function):
            match node:
                case ast.BinOp(op=ast.Add(), left=left, right=right):
                    added |= {_factors(side) for side in (left, right) if isinstance(side, ast.BinOp) and isinstance(side.op, ast.Mult)}
                case ast.BinOp(op=ast.Sub(), right=ast.BinOp(op=ast.Div()) as ratio):
                    taken.add(_factors(ratio))
        if added & taken:
            found.append(f"{function.lineno}: {name}")
    return found


def _factors(node: ast.BinOp) -> frozenset[str]:
    return frozenset((ast.unparse(node.left), ast.unparse(node.right)))


def test_no_function_has_many_parameters() -> None:
    found = violations(long_signatures)
    found = beyond(found, EXPECTED_PARAMETERS)
    assert not found, shown(found)


def test_many_parameters_are_found() -> None:
    assert long_signatures("class A:\n    def f(self, a, b, c, d, *args, e, g, **options): pass") == []
    assert long_signatures("class A:\n    def f(self, a, b, c, d, *args, e, g, h, **options): pass") == ["2: A.f has 9"]
    assert long_signatures("def f(x):\n    async def g(a, b, c, d, e, f, g, h, i): pass") == ["2: f.g has 9"]
    assert long_signatures("f = lambda a, b, c, d, e, f, g, h, i: 0") == ["1: lambda has 9"]


def test_no_global_randomness() -> None:
    """Same seed, same bits: numbers are drawn from explicit generators."""
    found = violations(global_randomness)
    assert not found, shown(found)


@pytest.mark.parametrize("planted", ["torch.randn(3)", "np.random.rand(3)", "torch.manual_seed(0)", "x = torch.poisson(y)"])
def test_global_randomness_is_found(planted: str) -> None:
    assert len(global_randomness(planted)) == 1
    assert global_randomness("torch.randn(3, generator=g); np.random.default_rng(0)") == []
    assert global_randomness("with torch.random.fork_rng(devices=[]):\n    torch.manual_seed(0)") == []


def test_eq_2_is_written_once() -> None:
    found = violations(recorruptions)
    at_home = found.pop(HOME_OF_EQ_2, [])
    found = beyond(found, EXPECTED_EQ_2)
    assert not found, shown(found)
    assert len(at_home) == 1, at_home


@pytest.mark.parametrize(
    "planted",
    [
        "def f(y, alpha, z):\n    return y + alpha * z, y - z / alpha",
        "def f(y, alpha, z):\n    y_hat = z * alpha + y\n    return y_hat, y - z / alpha",
        "def f(pair):\n    return pair.y + pair.alpha * noise[0], pair.y - noise[0] / pair.alpha",
        "class A:\n    def f(self, y, z):\n        return y + self.alpha * z, y - z / self.alpha",
    ],
)
def test_a_planted_eq_2_is_found(planted: str) -> None:
    assert len(recorruptions(planted)) == 1
    assert len(recorruptions("def outer():\n" + "\n".join(f"    {line}" for line in planted.splitlines()))) == 1


def test_half_of_eq_2_is_none() -> None:
    assert recorruptions("def f(y, alpha, z):\n    return y + alpha * z") == []
    assert recorruptions("def f(a, b, c):\n    return a + 2 * b, a - c / 2") == []
