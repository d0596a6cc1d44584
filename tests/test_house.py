"""Rules of the house that no linter knows."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import zsdeconv
from zsdeconv.modality import MODALITIES

SOURCE = Path(zsdeconv.__file__).parent
MODULES = sorted(SOURCE.rglob("*.py"))
NAMES = {*MODALITIES, "2d", "3d", "sim2d", "sim3d"}
VERBS = {("cli/simulate_verbs.py", name) for name in ("2d", "3d", "sim2d", "sim3d")}
"""`zsdeconv simulate 2d` and its like are verbs of the command line, named like the modality that they make images for."""
LONGEST = 400


def name_of(module: Path) -> str:
    return module.relative_to(SOURCE).as_posix()


def literals(module: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(module.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.value


def test_the_names_of_modalities_stand_in_their_table_only() -> None:
    """A variant is a row of choices: code elsewhere that names one has grown a branch."""
    found = {(name_of(m), text) for m in MODULES if name_of(m) != "modality.py" for text in literals(m) if text.lower() in NAMES}
    assert found <= VERBS
    assert any(text in NAMES for text in literals(SOURCE / "modality.py"))


def test_only_layers_and_grid_know_the_rank_of_an_operation() -> None:
    ranked = {f"{kind}{rank}d" for kind in ("Conv", "conv", "ConvTranspose", "BatchNorm", "max_pool", "avg_pool") for rank in (1, 2, 3)}
    for module in MODULES:
        if name_of(module) == "nn/grid.py":
            continue
        tree = ast.walk(ast.parse(module.read_text(encoding="utf-8")))
        used = {node.attr if isinstance(node, ast.Attribute) else node.id for node in tree if isinstance(node, ast.Attribute | ast.Name)}
        assert not used & ranked, name_of(module)


@pytest.mark.parametrize("name", ["zsdeconv", "zsdeconv.cli", "zsdeconv.cli.app", "zsdeconv.config", "zsdeconv.physics.optics"])
def test_heavy_packages_are_imported_when_needed_and_not_before(name: str) -> None:
    heavy = ["torch", "lightning_fabric", "matplotlib", "skimage", "scipy.signal", "scipy.ndimage", "tifffile"]
    code = f"import sys, {name}; print([m for m in {heavy!r} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert done.stdout.strip() == "[]"


def test_modules_stay_small_enough_to_read() -> None:
    lengths = {name_of(m): len(m.read_text(encoding="utf-8").splitlines()) for m in MODULES}
    assert {name: n for name, n in lengths.items() if n > LONGEST} == {}


def test_no_global_randomness() -> None:
    """Same seed, same bits: numbers are drawn from explicit generators."""
    for module in MODULES:
        for node in ast.walk(ast.parse(module.read_text(encoding="utf-8"))):
            if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)):
                continue
            call = ast.unparse(node.func)
            drawn = call in {"torch.rand", "torch.randn", "torch.randint", "torch.randperm"}
            assert not drawn or any(k.arg == "generator" for k in node.keywords), f"{name_of(module)}:{node.lineno}"
            legacy = call.startswith("np.random.") and not call.startswith(("np.random.default_rng", "np.random.SeedSequence"))
            assert not legacy, f"{name_of(module)}:{node.lineno}"


def test_every_public_name_exists() -> None:
    for name in zsdeconv.__all__:
        assert getattr(zsdeconv, name) is not None
        assert not (SOURCE / f"{name}.py").exists(), "importing the module would put it in the place of the public name"
    with pytest.raises(AttributeError, match="no attribute 'deconvolve_everything'"):
        _ = zsdeconv.deconvolve_everything
