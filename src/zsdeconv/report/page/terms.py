"""Technical terms and what they mean: the page explains them on hover, focus and touch, the glossary lists them.

The table is `terms.toml`. `tests/report/test_terms.py` holds messages of the report, errors and help texts to it, and the glossary, too.
"""

from __future__ import annotations

import re
import tomllib
from functools import cache
from importlib import resources


@cache
def terms() -> dict[str, str]:
    """Each term with its explanation.

    >>> terms()["OTF"].split(":")[0]
    'Optical transfer function'
    """
    return tomllib.loads(resources.files("zsdeconv.report").joinpath("page", "terms.toml").read_text(encoding="utf-8"))


@cache
def term_pattern() -> re.Pattern[str]:
    """A term in a text, without a plural's s: abbreviations as they are written, words whatever the case; the longest wins."""
    found = sorted(terms(), key=len, reverse=True)
    written = "|".join(re.escape(term) for term in found if not term.islower())
    plain = "|".join(re.escape(term) for term in found if term.islower())
    return re.compile(rf"(?<![\w`-])(?:{written}|(?i:{plain}))(?=s?(?![\w-]))")


def term_of(found: str) -> str:
    """The key in `terms` of a match of `term_pattern`.

    >>> [term_of(match[0]) for match in term_pattern().finditer("Residual of the OTF with two PSFs")]
    ['residual', 'OTF', 'PSF']
    """
    return found if found in terms() else found.lower()
