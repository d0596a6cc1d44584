"""What is wrong with a command line, in a sentence with the value that was given and the help page to look at."""

from __future__ import annotations

import difflib
import glob
import re
from collections.abc import Iterable, Iterator, Sequence
from types import UnionType
from typing import Any, Literal, Union, get_args, get_origin

from cyclopts import CoercionError, CycloptsError, MissingArgumentError, UnknownCommandError, UnknownOptionError, UnusedCliTokensError

from zsdeconv.errors import UserError

NEAR_RATIO = 0.7
"""How alike two words must be for one to be proposed in place of the other: the ratio of `difflib`, 0 to 1. Chosen: "runn" is near "run",
"paint" is not near "train"."""


class UsageError(UserError):
    """A command line with no verb, or none that there is, after `command`, which is followed by one of `verbs`."""

    def __init__(self, word: str, command: str, verbs: Iterable[str]) -> None:
        super().__init__(f"{_unknown_verb(word, command, list(verbs))}; see `{command} --help`")


def expanded(words: Sequence[str], platform: str) -> list[str]:
    """The words with wildcards replaced by the files that match, as every shell but those of Windows does by itself.

    Parameters
    ----------
    words
        The command line. A word that matches nothing, and every option, stays as it is.
    platform
        As in `sys.platform`.

    Examples
    --------
    >>> expanded(["run", "*.tif"], "linux")
    ['run', '*.tif']
    """
    if platform != "win32":
        return list(words)
    return [path for word in words for path in (_matches(word) or [word])]


def _matches(word: str) -> list[str]:
    """Files that match a word with wildcards; brackets belong to names."""
    if word.startswith("-") or not set("*?") & set(word):
        return []
    return sorted(glob.glob(re.sub(r"\[", "[[]", word)))


def sentence(fault: CycloptsError, words: Sequence[str]) -> str:
    """What is wrong with the command line `words`, and where to read on."""
    command = " ".join(["zsdeconv", *(fault.command_chain or ())])
    return f"{_complaint(fault, command, words)}; see `{command} --help`"


def _complaint(fault: CycloptsError, command: str, words: Sequence[str]) -> str:
    if isinstance(fault, UnknownCommandError):
        return _unknown_verb((fault.unused_tokens or [""])[0], command, verbs_of(fault.app or ()))
    if isinstance(fault, UnknownOptionError):
        word = str(fault.token.keyword or fault.token.value)
        names = [name for known in fault.argument_collection for name in known.names if name.startswith("-")]
        return f"{word}: `{command}` has no such option{_nearest(word, names)}"
    if isinstance(fault, UnusedCliTokensError):
        return f"{' '.join(fault.unused_tokens or ())}: `{command}` takes no more arguments"
    if isinstance(fault, MissingArgumentError) and fault.argument is not None:
        metavar, name = fault.argument.parameter.metavar, fault.argument.name
        if fault.keyword:
            return f"{fault.keyword}: a value is missing after it ({metavar})"
        return f"`{command}` needs {f'{name} {metavar}' if name.startswith('-') else metavar}, which is missing"
    if isinstance(fault, CoercionError) and fault.argument is not None:
        return _wrong_value(fault, words)
    return str(fault).rstrip(".")


def verbs_of(names: Iterable[str]) -> list[str]:
    """Those of the names that are no options."""
    return [name for name in names if not name.startswith("-")]


def _unknown_verb(word: str, command: str, verbs: Sequence[str]) -> str:
    """What is wrong with a word, or with its lack, where a verb is needed."""
    which = f"`{command}` needs one of {', '.join(verbs)}"
    if not word:
        return f"a verb is missing: {which}"
    if word.startswith("-"):
        return f"{word}: options come after a verb, {which}"
    return f"'{word}': no such verb{_nearest(word, verbs) or f', {which}'}"


def _wrong_value(fault: CoercionError, words: Sequence[str]) -> str:
    """The value that an option cannot take, and what it can."""
    assert fault.argument is not None
    value = fault.token.value if fault.token else ""
    met = " ".join(_given(fault.argument.names, words)) or f"{fault.argument.parameter.metavar} {value}"
    return f"{met}: must be {_expected(fault.argument.hint)}"


def _expected(hint: Any) -> str:
    """What a type stands for.

    >>> _expected(Literal["auto"] | float | None), _expected(tuple[float, ...])
    ('auto or a number', 'numbers with commas between them, such as 10,70,130')
    """
    origin, inner = get_origin(hint), get_args(hint)
    if origin in (Union, UnionType):
        return " or ".join(_expected(part) for part in inner if part is not type(None))
    if origin is Literal:
        return " or ".join(map(str, inner)) if len(inner) <= 2 else f"one of {', '.join(map(str, inner))}"
    if origin is tuple:
        return "numbers with commas between them, such as 10,70,130"
    return {int: "a whole number", float: "a number", bool: "yes or no; give the option alone"}.get(hint, "a value that it takes")


def _given(names: Iterable[str], words: Sequence[str]) -> Iterator[str]:
    """The words that gave the option `names`."""
    names = set(names)
    for place, word in enumerate(words):
        if word in names:
            yield from words[place : place + 2]
        elif word.split("=")[0] in names:
            yield word


def _nearest(word: str, known: Iterable[str]) -> str:
    """The known word that is most like a wrong one."""
    near = difflib.get_close_matches(word.lower(), list(known), n=1, cutoff=NEAR_RATIO)  # all are in lower case
    return f", did you mean {near[0]}?" if near else ""
