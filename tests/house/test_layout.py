"""Where things stand: folders, names of files, their length, and what importing them costs."""

import re
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterable

import pytest

import zsdeconv
from house.syntax import MODULES, SOURCE, TESTS, name_of, text_of

MAX_LOOSE_MODULES = 12
MAX_LINES = 400
MIRRORS = {"structured.py": {"acquisition", "simulation"}}
"""Files of the same name in several folders, on purpose: how images are recorded, and how such recordings are simulated."""
TESTS_WITHOUT_SOURCE = {"docs", "golden", "house", "slow"}
"""Folders of tests that belong to no folder of the package: pages that run, stored results, these rules, and what takes minutes."""


def loose(names: Iterable[str]) -> list[str]:
    """Modules that lie in no folder; those with dunder names are Python's, not ours."""
    return [name for name in names if "/" not in name and not name.startswith("_")]


def same_names(names: Iterable[str]) -> dict[str, set[str]]:
    """File names that occur in several folders, beyond `MIRRORS`."""
    folders: dict[str, set[str]] = defaultdict(set)
    for name in names:
        folder, _, file = name.rpartition("/")
        folders[file].add(folder)
    several = {file: where for file, where in folders.items() if len(where) > 1 and file != "__init__.py"}
    return {file: where for file, where in several.items() if not where <= MIRRORS.get(file, set())}


def test_few_modules_lie_loose() -> None:
    assert len(loose(map(name_of, MODULES))) <= MAX_LOOSE_MODULES, loose(map(name_of, MODULES))
    assert loose(["io/tiff.py", "_version.py", "__init__.py", "model.py"]) == ["model.py"]


def test_a_file_name_says_which_file_is_meant() -> None:
    assert same_names(map(name_of, MODULES)) == {}
    assert same_names(["sim/pairs.py", "data/pairs.py", "sim/__init__.py", "data/__init__.py"]) == {"pairs.py": {"sim", "data"}}
    assert same_names(["sim/structured.py", "acquisition/structured.py"]) != {}, "a mirror in another folder is none"


def test_modules_stay_small_enough_to_read() -> None:
    lengths = {name_of(path): len(text_of(path).splitlines()) for path in MODULES}
    assert {name: n for name, n in lengths.items() if n > MAX_LINES} == {}


def test_each_folder_has_its_tests() -> None:
    """Folders of the package, its folders' folders included in theirs, have a folder of tests or one file."""
    packages = {path.parent.relative_to(SOURCE).parts[0] for path in MODULES if path.parent != SOURCE}
    tested = {path.parent.relative_to(TESTS).parts[0] for path in TESTS.rglob("test_*.py") if path.parent != TESTS}
    assert tested - packages == TESTS_WITHOUT_SOURCE
    assert {package for package in packages - tested if not (TESTS / f"test_{package}.py").exists()} == set()


def test_the_documentation_lists_every_module() -> None:
    listed = set(re.findall(r"[\w]+", " ".join(re.findall(r"```\{modules\} (.+)", text_of(TESTS.parent / "docs" / "api.md")))))
    parts = {name.split("/")[0].removesuffix(".py") for name in map(name_of, MODULES) if not name.startswith("_")}
    assert parts - listed == {"cli"}, "the command line has a page of its own"


@pytest.mark.parametrize("name", ["zsdeconv", "zsdeconv.cli", "zsdeconv.cli.app", "zsdeconv.config", "zsdeconv.physics.optics"])
def test_heavy_packages_are_imported_when_needed_and_not_before(name: str) -> None:
    heavy = ["torch", "lightning_fabric", "matplotlib", "skimage", "scipy.signal", "scipy.ndimage", "tifffile"]
    code = f"import sys, {name}; print([m for m in {heavy!r} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert done.stdout.strip() == "[]"


def test_every_public_name_exists() -> None:
    for name in zsdeconv.__all__:
        assert getattr(zsdeconv, name) is not None
        assert not (SOURCE / f"{name}.py").exists(), "importing the module would put it in the place of the public name"
    with pytest.raises(AttributeError, match="no attribute 'deconvolve_everything'"):
        _ = zsdeconv.deconvolve_everything
