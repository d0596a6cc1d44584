"""Progress on standard error: a bar on a terminal, a line every ten seconds in a log, nothing when quiet; and who speaks of which input."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import Any

from zsdeconv.cli.console import show, show_rows, tell

Report = Callable[[float, str], None]
"""`report(done, detail)`: fraction done (0-1) and a few words."""

SECONDS_BETWEEN_LINES = 10.0
"""Least time between two lines of a log. Chosen: a run of minutes fills one screen."""


@contextmanager
def progress(title: str, *, quiet: bool) -> Iterator[Report]:
    """Show how far a task called `title` is; the block calls what it is given."""
    if quiet:
        yield lambda done, detail: None
    elif sys.stderr.isatty():
        with _bar(title) as report:
            yield report
    else:
        yield _Lines(title)


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

    def line(self, text: str) -> None:
        """A line for people."""
        if not self.silent:
            show(f"{self.lead}{text}")

    def rows(self, rows: Iterable[tuple[str, str]]) -> None:
        """Names and values in two columns."""
        if not self.silent:
            show_rows(rows, self.lead)

    def progress(self, task: str) -> AbstractContextManager[Report]:
        """How far a task with the input is."""
        return progress(f"{self.lead}{task} {self.name}", quiet=self.quiet)


def words(event: dict[str, Any]) -> str:
    """A training event for people."""
    channel = f"{event['channel']}, " if "channel" in event else ""
    return f"{channel}{event['phase']}, step {event['step']}, validation {event['validation']:.4g}"


@contextmanager
def _bar(title: str) -> Iterator[Report]:
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TaskProgressColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[detail]}"),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as shown:
        task = shown.add_task(title, total=1.0, detail="")
        yield lambda done, detail: shown.update(task, completed=done, detail=detail)


class _Lines:
    """A line now and then."""

    def __init__(self, title: str) -> None:
        self.title, self.last = title, time.monotonic()

    def __call__(self, done: float, detail: str) -> None:
        now = time.monotonic()
        if now - self.last >= SECONDS_BETWEEN_LINES:
            self.last = now
            tell(f"{self.title}: {100 * done:.0f} %{', ' if detail else ''}{detail}")
