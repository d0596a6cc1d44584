"""What is installed to run the program, and what to develop it."""

import ast
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from house.syntax import TESTS, shown, violations

ROOT = TESTS.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
IMPORTED_AS = {"scikit-image": "skimage", "pyyaml": "yaml"}
"""Packages whose modules have another name."""
BROUGHT = {"PIL": "matplotlib", "markupsafe": "jinja2"}
"""Modules that a dependency needs itself, and so brings along."""
FORMATS = {re.split(r"[\s<>=]", requirement)[0] for requirement in PROJECT["optional-dependencies"]["formats"]}
OPTIONAL = {"h5py", "xarray"} | FORMATS
"""Modules whose absence is told with what to install: those of vendors' formats (weights of Keras are read from HDF5 too), and xarray."""
FOR_DEVELOPMENT = {
    "ruff",
    "pyright",
    "pytest",
    "pytest-cov",
    "hypothesis",
    "sphinx",
    "pydata-sphinx-theme",
    "myst-parser",
    "nbclient",
    "ipykernel",
}


def packages(requirements: list[str]) -> set[str]:
    return {re.split(r"[\s<>=!~;\[]", requirement)[0].lower() for requirement in requirements}


RUNTIME = {IMPORTED_AS.get(package, package.replace("-", "_")) for package in packages(PROJECT["dependencies"])}


def undeclared(text: str) -> list[str]:
    """Imports of packages that are neither Python's, nor ours, nor among the dependencies."""
    found = []
    for node in ast.walk(ast.parse(text)):
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
        known = RUNTIME | BROUGHT.keys() | OPTIONAL | {*sys.stdlib_module_names, "zsdeconv"}
        found += [f"{node.lineno}: {name}" for name in names if name.split(".")[0] not in known]  # pyright: ignore[reportAttributeAccessIssue]
    return found


def test_the_program_imports_what_it_declares() -> None:
    found = violations(undeclared)
    assert not found, shown(found)
    assert undeclared("def f():\n    import pytest, torch.nn") == ["2: pytest"]


def test_the_tools_of_development_are_an_extra() -> None:
    assert not packages(PROJECT["dependencies"]) & FOR_DEVELOPMENT
    assert set(BROUGHT.values()) <= RUNTIME


@pytest.mark.skipif(shutil.which("make") is None, reason="no make on this machine")
def test_the_demo_installs_no_tools_of_development(tmp_path: Path) -> None:
    def recipe(target: str) -> str:
        command = ["make", "--dry-run", "--always-make", target, f"VENV={tmp_path}"]
        return subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout

    assert "zsdeconv demo" in recipe("demo")
    assert "[dev]" not in recipe("demo") and "[dev]" in recipe("test")


def test_the_version_is_cited() -> None:
    from zsdeconv import __version__

    assert f"\nversion: {__version__}\n" in (ROOT / "CITATION.cff").read_text(encoding="utf-8")
    assert f"\n## [{__version__}]" in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
