"""The page that `--help` shows: plain text of at most 80 columns, the options under headings, an example."""

from __future__ import annotations

import inspect
import textwrap
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from zsdeconv.cli.usage import UsageError, verbs_of
from zsdeconv.cli.wording import with_options

if TYPE_CHECKING:
    from cyclopts import App
    from cyclopts.argument import Argument

WIDTH = 80
"""Columns of a page: the least that a terminal has."""
NAMES_WIDTH = 28
"""Columns of the names. Chosen: holds nearly every option with its value, and leaves two thirds for the help."""
HELP_FLAGS = ("--help", "-h")
GROUPS = ("Arguments", "Output", "Input", "Optics", "Structured illumination", "Training", "Computation", "Prediction")
"""The headings, in the order of the page; others follow."""


def is_asked_for(words: Sequence[str]) -> bool:
    """Whether a command line asks for a help page, at any place before `--`."""
    options = words[: words.index("--")] if "--" in words else words
    return any(word in HELP_FLAGS for word in options)


def help_page(app: App, words: Sequence[str], verbs: Mapping[str, str]) -> str:
    """The page of the verb in a command line, or of the program.

    Parameters
    ----------
    app
        The program.
    words
        The command line.
    verbs
        The verbs of the program with what they do: they are listed without importing them.

    Raises
    ------
    UsageError
        When there is no such verb.
    """
    words = [word for word in words if word not in HELP_FLAGS]
    chain, apps, rest = app.parse_commands(words)
    page, command = apps[-1], " ".join([app.name[0], *chain])
    verb = page.default_command
    if verb is None and rest:
        raise UsageError(rest[0], command, verbs_of(page))
    if verb is None:
        listed = verbs if page is app else {name: _summary(page[name]) for name in page if name not in HELP_FLAGS}
        parts = [f"Usage: {command} VERB [OPTIONS]", *_description(page.help)]
        parts.append(_section("Verbs", ((name, text) for name, text in listed.items() if not name.startswith("-"))))
        options = [(name, text) for name, text in listed.items() if name.startswith("-")] + [("--version", "Print the version.")]
        more = [("--help, -h", "Show this page, or that of a verb."), *(options if page is app else [])]
        return "\n\n".join([*parts, _section("Options", more)])
    options = [item for item in page.assemble_argument_collection() if item.show]
    usage = " ".join(["Usage:", command, *_usage(options), "[OPTIONS]"])
    return "\n\n".join(
        [
            textwrap.fill(usage, WIDTH, subsequent_indent="       ", break_on_hyphens=False),
            *_description(verb.__doc__ or ""),
            *_groups(options),
        ]
    )


def _usage(options: Iterable[Argument]) -> list[str]:
    """Arguments and required options of a usage line."""
    arguments = [item for item in options if item.index is not None]
    required = sorted((item for item in options if item.index is None and item.required), key=lambda item: _short(item).startswith("--"))
    shown = [str(item.parameter.metavar) if item.required else f"[{item.parameter.metavar}]" for item in arguments]
    return [*shown, *(f"{_short(item)} {item.parameter.metavar}" for item in required)]


def _short(item: Argument) -> str:
    return min(item.names, key=len)


def _description(text: str) -> list[str]:
    """The paragraphs of a docstring, examples under a heading of their own."""
    parts = []
    for paragraph in inspect.cleandoc(text).split("\n\n"):
        if paragraph.startswith("Example: "):
            parts.append(f"Example:\n  {' '.join(paragraph.removeprefix('Example: ').split())}")
        else:
            parts.append(textwrap.fill(with_options(paragraph), WIDTH, break_on_hyphens=False))
    return parts


def _summary(verb: App) -> str:
    """The first sentence of what a verb does."""
    return inspect.cleandoc(verb.help).split("\n\n")[0].partition(":")[0].rstrip(".")


def _groups(options: Sequence[Argument]) -> list[str]:
    """The options under their headings, required ones first."""
    groups: dict[str, list[Argument]] = {name: [] for name in GROUPS}
    for item in options:
        groups.setdefault(_group(item), []).append(item)
    ordered = {name: sorted(members, key=lambda item: not item.required) for name, members in groups.items() if members}
    return [
        _section(name, ((_names(item), with_options(item.parameter.help or "")) for item in members)) for name, members in ordered.items()
    ]


def _group(item: Argument) -> str:
    """The heading of an option."""
    first = next(iter(item.parameter.group))  # pyright: ignore[reportArgumentType, reportCallIssue]: always a tuple
    return first if isinstance(first, str) else first.name


def _names(item: Argument) -> str:
    """The names of an option with what stands for its value."""
    metavar = item.parameter.metavar or ""
    if item.index is not None:
        return metavar
    names = ", ".join(name for name in item.names if name not in item.negatives) + "".join(f", {name}" for name in item.negatives)
    return f"{names} {metavar}".rstrip()


def _section(title: str, rows: Iterable[tuple[str, str]]) -> str:
    """A heading and two columns below it."""
    indent = " " * (NAMES_WIDTH + 2)
    lines = [f"{title}:"]
    for name, text in rows:
        filled = textwrap.wrap(text, WIDTH - len(indent), break_on_hyphens=False) or [""]
        fits = len(name) + 4 <= len(indent)
        lines.extend([f"  {name:<{NAMES_WIDTH}}{filled[0]}"] if fits else [f"  {name}", f"{indent}{filled[0]}"])
        lines.extend(f"{indent}{line}" for line in filled[1:])
    return "\n".join(line.rstrip() for line in lines)
