"""What a command ends with: an exit code, and on standard error one line that says what to do.

0 done; 2 the user can mend it (`error: VALUE, LIMIT, NEXT ACTION`, no traceback); 1 a fault of ours (traceback); 130 interrupted.
"""

from __future__ import annotations

import errno
import sys
import traceback
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from cyclopts import CycloptsError

from zsdeconv.cli import usage
from zsdeconv.cli.console import tell
from zsdeconv.cli.wording import with_options
from zsdeconv.errors import DataWarning, OutputError, UserError

DONE, FAULT, MENDABLE, INTERRUPTED = 0, 1, 2, 130
"""Exit codes. 130 is what shells report of a program that Ctrl-C ended: 128 and the number of the signal."""

_FULL = {errno.ENOSPC, getattr(errno, "EDQUOT", errno.ENOSPC)}
_FORBIDDEN = {errno.EACCES, errno.EPERM, errno.EROFS}


def exit_code_of(action: Callable[[], Any], words: Sequence[str]) -> int:
    """Run `action`, which the command line `words` asked for; the exit code, having said on standard error why it is not 0."""
    try:
        with warnings_as_lines():
            result = action()
        return result if isinstance(result, int) else DONE
    except KeyboardInterrupt:
        return _interrupted(words)
    except Exception as fault:
        return told(fault, words)


def told(fault: Exception, words: Sequence[str] = (), lead: str = "") -> int:
    """Say on standard error what went wrong, with `lead` before the line, and return its exit code."""
    line = mendable(fault, words)
    if line is None:
        _report(fault, lead)
        return FAULT
    tell(f"error: {lead}{line}")
    return MENDABLE


def mendable(fault: Exception, words: Sequence[str] = ()) -> str | None:
    """One line for the user when they can do something about `fault`, None when it is ours."""
    if isinstance(fault, OSError):
        known = _of_system(fault)
        return None if known is None else _one_line(known)
    if isinstance(fault, UserError):
        return _one_line(with_options(str(fault)))
    if isinstance(fault, CycloptsError):
        return _one_line(usage.sentence(fault, words))
    if type(fault).__name__ == "ValidationError" and hasattr(fault, "errors"):
        return _one_line(_of_settings(fault))
    if isinstance(fault, MemoryError) or type(fault).__name__ == "OutOfMemoryError":
        detail = f" ({fault})" if str(fault) else ""
        return _one_line(f"out of memory{detail}; give a smaller --tile or --batch, or --device cpu")
    return None


@contextmanager
def warnings_as_lines() -> Iterator[None]:
    """Show each `DataWarning` once, as `warning: ...` on standard error; other libraries' warnings only if Python is asked (-W)."""
    shown: set[str] = set()

    def show(
        message: Warning | str, category: type[Warning], filename: str, lineno: int, file: Any = None, line: str | None = None
    ) -> None:
        if not issubclass(category, DataWarning):
            if sys.warnoptions:
                python_shows(message, category, filename, lineno, file, line)
        elif (text := _one_line(with_options(str(message)))) not in shown:
            shown.add(text)
            tell(f"warning: {text}")

    with warnings.catch_warnings():
        python_shows = warnings.showwarning
        warnings.showwarning = show
        warnings.simplefilter("always", DataWarning)
        yield


@contextmanager
def warnings_of(name: str) -> Iterator[None]:
    """Let each `DataWarning` within the block name the file that it is about, if it does not by itself."""
    shows = warnings.showwarning

    def show(message: Warning | str, category: type[Warning], *where: Any) -> None:
        named = issubclass(category, DataWarning) and name not in str(message)
        shows(f"{name}: {message}" if named else message, category, *where)

    warnings.showwarning = show
    try:
        yield
    finally:
        warnings.showwarning = shows


def _of_system(fault: OSError) -> UserError | None:
    """Full disks and forbidden paths, wherever they were met."""
    where = fault.filename or "the output"
    if fault.errno in _FULL:
        return OutputError(f"{where}: disk full ({fault.strerror}), no space is left; free some, or choose another output with -o")
    if fault.errno in _FORBIDDEN:
        return OutputError(f"{where}: {fault.strerror}; check the permissions, or choose another output with -o")
    return None


def _of_settings(fault: Any) -> str:
    """The first thing that the configuration's types refuse."""
    problems = fault.errors()
    first = problems[0]
    place = ".".join(map(str, first["loc"])) or "configuration"
    more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
    return f"{place} = {first['input']!r}: {first['msg']}{more}; correct it in --config or with its option"


def _interrupted(words: Sequence[str]) -> int:
    resume = "; give the same command with --resume to continue" if {"run", "train"} & set(words[:1]) else ""
    tell(f"interrupted: nothing unfinished was left under a final name{resume}")
    return INTERRUPTED


def _report(fault: Exception, lead: str) -> None:
    tell("".join(traceback.format_exception(fault)).rstrip())
    told_with = "the lines above, the command that you gave, and what `zsdeconv info --system` shows"
    tell(f"fault: {lead}this should not happen; please report it with {told_with}")


def _one_line(message: object) -> str:
    return " ".join(str(message).split())
