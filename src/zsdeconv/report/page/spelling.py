"""Messages as the page shows them: settings by their names in Python and on the command line, terms with their explanation.

A setting stands in backticks in a message, with a value or without, by its name or by its key in the configuration; names with an
underscore are recognised without them (as on the command line, `zsdeconv.cli.wording`).
"""

from __future__ import annotations

import re
from functools import cache
from typing import TYPE_CHECKING

from zsdeconv.report.page.terms import term_of, term_pattern, terms
from zsdeconv.report.page.text import printable, sentence

if TYPE_CHECKING:
    from markupsafe import Markup

COMMANDS = {"calibrate": "zs.calibrate", "psf check": "zsdeconv.report.psf_image.examine_image"}
"""Commands that messages name, with what does the same in Python."""
_SETTING = re.compile(r"`([a-z][a-z0-9_.]*)(?:=([^`]+))?`|(?<![\w.`'\"/\\-])([a-z][a-z0-9]*(?:_[a-z0-9]+)+)(?![\w`'\"/\\=(-]|\.\w)")
_COMMAND = re.compile(r"`?\bzsdeconv (" + "|".join(COMMANDS) + r")\b`?")


class Wording:
    """Texts of one part of a page; a term is explained where it first occurs in it, and noted in `used`."""

    def __init__(self, used: set[str] | None = None) -> None:
        self.used: set[str] = set() if used is None else used
        self._explained: set[str] = set()

    def __call__(self, text: str) -> Markup:
        """A message as a sentence in HTML, with all that is not markup of this module escaped.

        >>> print(Wording()("too coarse; give `scale=2`, or check pixel_um"))
        Too coarse; give <code>scale=2</code> <span class="option">(<code>--scale 2</code>)</span>, ...
        >>> print(Wording()("the OTF <b>"))
        The <abbr tabindex="0" title="Optical transfer function: ...">OTF</abbr> &lt;b&gt;.
        """
        from markupsafe import Markup

        parts, end, text = [], 0, sentence(printable(text))
        for match in sorted((*_SETTING.finditer(text), *_COMMAND.finditer(text)), key=lambda match: match.start()):
            if match.start() >= end:
                parts += [self.explained(text[end : match.start()]), _coded(match)]
                end = match.end()
        return Markup("").join([*parts, self.explained(text[end:])])

    def plain(self, text: str) -> str:
        """A message as a sentence without markup, for places that are pressed, where nothing else can be focused."""
        return sentence(printable(text)).replace("+-", "±").replace("`", "")

    def explained(self, text: str) -> Markup:
        """A text with the terms in it that were not explained before."""
        from markupsafe import Markup, escape

        parts, end = [], 0
        for match in term_pattern().finditer(text := printable(text).replace("+-", "±")):
            term = term_of(match[0])
            if term not in self._explained:
                self._explained.add(term)
                self.used.add(term)
                parts += [escape(text[end : match.start()]), _explained(match[0], terms()[term])]
                end = match.end()
        return Markup("").join([*parts, escape(text[end:])])


def spellings(name: str, value: str | None = None) -> tuple[str, ...]:
    """A setting in Python and on the command line; only what stands there where it is none, or none of the command line.

    >>> spellings("training.steps"), spellings("scale", "2"), spellings("loss.mu"), spellings("noisy.tif")
    (('steps', '--steps'), ('scale=2', '--scale 2'), ('loss.mu',), ('noisy.tif',))
    """
    flat = _flat_names().get(name)
    told = "" if value is None else f"={value}"
    if flat is None:
        return (name + told,)
    bare = "" if value is None else value.strip("'\"")
    option = f"no_{flat}" if bare == "False" else flat
    flag, bare = f"--{option.replace('_', '-')}", "" if bare in ("True", "False") else bare
    return flat + told, f"{flag} {bare}".strip()


def _coded(match: re.Match[str]) -> Markup:
    from markupsafe import Markup

    if match.re is _COMMAND:
        names: tuple[str, ...] = (COMMANDS[match[1]], f"zsdeconv {match[1]}")
    elif match[3]:
        names = spellings(match[3])
    else:
        names = spellings(match[1], match[2])
    if match[0][0] != "`" and len(names) == 1:  # a word with an underscore, and no setting
        return Markup("{}").format(match[0])
    first, *other = (Markup("<code>{}</code>").format(name) for name in names)
    return Markup('{} <span class="option">({})</span>').format(first, other[0]) if other else first


def _explained(word: str, meaning: str) -> Markup:
    from markupsafe import Markup

    return Markup('<abbr tabindex="0" title="{}">{}</abbr>').format(meaning, word)


@cache
def _flat_names() -> dict[str, str]:
    """The flat name of each setting that is an option, by that name and by its key in the configuration."""
    from zsdeconv.config import SETTINGS

    return {key: name for name, key in SETTINGS.items()} | {name: name for name in SETTINGS}
