"""Pages in one file: their template, what they share of style, and a policy under which they load nothing and run only their own script."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping
from importlib import resources
from typing import Any

from zsdeconv.report.page.text import printable


def page_file(package: str, name: str) -> str:
    """The text of a file that lies in a package.

    >>> ":root" in page_file("zsdeconv.report.page", "palette.css")
    True
    """
    return resources.files(package).joinpath(name).read_text(encoding="utf-8")


def policy(style: str, script: str, **others: str) -> str:
    """A content security policy that allows only this style and this script, and `others` (`img_src="data:"`); no network, no forms.

    >>> policy("a", "b", img_src="data:").split("; ")[:2]
    ["default-src 'none'", 'img-src data:']
    """
    allowed = {name.replace("_", "-"): source for name, source in others.items()}
    allowed |= {"style-src": _hash(style), "script-src": _hash(script), "base-uri": "'none'", "form-action": "'none'"}
    return "; ".join(["default-src 'none'", *(f"{kind} {source}" for kind, source in allowed.items())])


def environment(package: str, folder: str, known: Mapping[str, Any]) -> Any:
    """The environment of the templates in a folder of a package, in which `known` names can be used.

    Texts are not trusted: they are escaped, and lose characters that could hide or reverse others.
    """
    from jinja2 import Environment, PackageLoader, StrictUndefined
    from markupsafe import Markup

    def finalize(value: Any) -> Any:
        """Every text that is not part of the template loses unprintable characters before it is escaped."""
        return value if isinstance(value, Markup | int | float) else printable(value)

    made = Environment(
        loader=PackageLoader(package, folder),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=finalize,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.globals |= dict(known)
    return made


def _hash(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode('ascii')}'"
