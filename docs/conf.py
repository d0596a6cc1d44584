import re
import sys
from pathlib import Path
from typing import Any

import zsdeconv
from zsdeconv._version import __version__

project = "zsdeconv"
author = "The zsdeconv developers"
copyright = author
version = release = __version__

extensions = ["myst_nb", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx.ext.mathjax", "sphinx.ext.viewcode"]
exclude_patterns = ["_build", "_reports"]
html_extra_path = ["_reports"]
REPORTS = Path(__file__).parent / "_reports"
REPORTS.mkdir(exist_ok=True)  # before the paths are checked
myst_enable_extensions = ["dollarmath", "deflist", "colon_fence"]
myst_heading_anchors = 3
nb_execution_mode = "force"
nb_execution_timeout = 1800

default_role = "code"  # docstrings put code in single backticks
autodoc_member_order = "bysource"
autodoc_typehints = "description"
autodoc_typehints_format = "short"
napoleon_google_docstring = False
suppress_warnings = ["ref.python"]  # short names in signatures may fit several classes, such as Section
python_use_unqualified_type_names = True

html_theme = "pydata_sphinx_theme"
html_title = "zsdeconv"
html_theme_options = {"show_toc_level": 2, "navigation_with_keys": False, "secondary_sidebar_items": ["page-toc"]}
html_show_sourcelink = False


SOURCE = Path(zsdeconv.__file__).parent
MODULES = re.compile(r"```\{modules\} (.+)\n```")
WITHOUT_MEMBERS = {"notation"}
"""Modules of type aliases, whose docstring says all."""


def modules_of(name: str) -> list[str]:
    """A loose module; or a folder and all modules in it, those of its folders last. Nothing where there is neither."""
    if (SOURCE / f"{name}.py").exists():
        return [name]
    paths = [path.relative_to(SOURCE).with_suffix("") for path in (SOURCE / name).rglob("*.py")]
    return [".".join(path.parts).removesuffix(".__init__") for path in sorted(paths, key=lambda path: (path.parent, path.name))]


def list_modules(_app: Any, _name: str, source: list[str]) -> None:
    """A block `{modules} FOLDER...` becomes the reference of every module there, so that none is forgotten."""

    def directive(module: str) -> str:
        members = "no-members" if module in WITHOUT_MEMBERS else "members"
        return f".. automodule:: zsdeconv.{module}\n   :{members}:\n   :ignore-module-all:"

    def reference(match: re.Match[str]) -> str:
        modules = [module for name in match[1].split() for module in modules_of(name)]
        return "\n".join(("```{eval-rst}", *map(directive, modules), "```"))

    source[0] = MODULES.sub(reference, source[0])


def plain_bars(_app: Any, _what: str, _name: str, _obj: Any, _options: Any, lines: list[str]) -> None:
    """A bar in a docstring is an absolute value or a column, never a substitution of reStructuredText."""
    for n, line in enumerate(lines):
        if not line.lstrip().startswith((">>>", "...")):
            outside_code = line.split("`")
            outside_code[::2] = [part.replace("|", r"\|") for part in outside_code[::2]]
            lines[n] = "`".join(outside_code)


def make_reports(_app: Any) -> None:
    """The examples of the page on reports: four small restorations, run once."""
    sys.path.insert(0, str(Path(__file__).parent))
    from reports import make

    make(REPORTS)


def setup(app: Any) -> None:
    app.connect("builder-inited", make_reports)
    app.connect("source-read", list_modules)
    app.connect("autodoc-process-docstring", plain_bars)
