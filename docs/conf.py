from typing import Any

from zsdeconv._version import __version__

project = "zsdeconv"
author = "The zsdeconv developers"
copyright = author
version = release = __version__

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.mathjax", "sphinx.ext.viewcode"]
exclude_patterns = ["_build"]
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


def setup(app: Any) -> None:
    app.connect("autodoc-process-docstring", plain_bars)
