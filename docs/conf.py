import sys
from pathlib import Path
from typing import Any

from zsdeconv._version import __version__

project = "zsdeconv"
author = "The zsdeconv developers"
copyright = author
version = release = __version__

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx.ext.mathjax", "sphinx.ext.viewcode"]
exclude_patterns = ["_build", "_reports"]
html_extra_path = ["_reports"]
REPORTS = Path(__file__).parent / "_reports"
REPORTS.mkdir(exist_ok=True)  # before the paths are checked
myst_enable_extensions = ["dollarmath", "deflist", "colon_fence"]
myst_heading_anchors = 3

default_role = "code"  # docstrings put code in single backticks
autodoc_member_order = "bysource"
autodoc_typehints = "description"
autodoc_typehints_format = "short"
python_use_unqualified_type_names = True

html_theme = "pydata_sphinx_theme"
html_title = "zsdeconv"
html_theme_options = {"show_toc_level": 2, "navigation_with_keys": False, "secondary_sidebar_items": ["page-toc"]}
html_show_sourcelink = False


def plain_bars(_app: Any, _what: str, _name: str, _obj: Any, _options: Any, lines: list[str]) -> None:
    """A bar in a docstring is an absolute value or a column, never a substitution of reStructuredText."""
    for n, line in enumerate(lines):
        if not line.lstrip().startswith((">>>", "...")):
            outside_code = line.split("`")
            outside_code[::2] = [part.replace("|", r"\|") for part in outside_code[::2]]
            lines[n] = "`".join(outside_code)


def make_reports(_app: Any) -> None:
    """The examples of "Reading the report": four small restorations, made once."""
    sys.path.insert(0, str(Path(__file__).parent))
    from reports import make

    make(REPORTS)


def setup(app: Any) -> None:
    app.connect("builder-inited", make_reports)
    app.connect("autodoc-process-docstring", plain_bars)
