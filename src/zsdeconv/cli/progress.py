"""Progress on standard error: a bar on a terminal, a line every ten seconds in a log, nothing when quiet; and who speaks of which input."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from contextlib import AbstractContextManager
from dataclasses import dataclass

from zsdeconv.cli.console import show, show_rows, tell
from zsdeconv.errors import ConfigError
from zsdeconv.progress.tasks import Watch, task, watched
from zsdeconv.progress.terminal import bar, leads_to_terminal, lines


def progress(*, quiet: bool, preview: bool = False) -> AbstractContextManager[None]:
    """Show how far the command is that the block carries out. Raises `ConfigError` for a preview that nobody would see."""
    terminal = leads_to_terminal(sys.stderr)
    if preview and (quiet or not terminal):
        why = "with --quiet nothing is shown" if quiet else "it is shown on a terminal, standard error leads to none"
        raise ConfigError(f"--preview: {why}; leave one of them out" if quiet else f"--preview: {why}; leave it out")
    if quiet:
        return watched(None)
    return bar(Watch(preview=preview)) if terminal else lines(Watch(), tell)


@dataclass(frozen=True)
class Voice:
    """How a verb speaks of an input by its `name`; of one of several with its `place`, "3 of 10", on every line."""

    name: str
    place: str = ""
    quiet: bool = False
    silent: bool = False

    @property
    def lead(self) -> str:
        """What stands before every line."""
        return f"{self.place}: " if self.place else ""

    @property
    def subject(self) -> str:
        """What the progress says that it is of."""
        return f"{self.lead}{self.name}"

    def line(self, text: str) -> None:
        """A line for people."""
        if not self.silent:
            show(f"{self.lead}{text}")

    def rows(self, rows: Iterable[tuple[str, str]]) -> None:
        """Names and values in two columns."""
        if not self.silent:
            show_rows(rows, self.lead)

    def at_work(self) -> AbstractContextManager[object]:
        """What is done in the block is done with the input."""
        return task(self.subject, names=True)
