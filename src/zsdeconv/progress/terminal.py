"""Progress on a terminal, painted by the clock; and as lines in a log."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import copy_context
from typing import TYPE_CHECKING, TextIO

from zsdeconv.progress.remaining import clock
from zsdeconv.progress.tasks import ProgressEvent, Watch, watched

if TYPE_CHECKING:
    from rich.console import Group
    from rich.live import Live

PAINTS_PER_S = 4.0
"""Repaints of a terminal in a second. Chosen: a clock that never misses a second, at a thousandth of a processor core."""
SECONDS_BETWEEN_LINES = 10.0
"""Time between two lines of a log. Chosen: a run of minutes fills one screen."""
MAX_BAR_CELLS = 60
"""Widest bar. Chosen: the eye sees the numbers behind it without a jump."""
LEAST_BAR_CELLS = 8
"""Narrowest bar, without one below. Chosen: a shorter one moves in jumps."""
NUMBERS_CELLS = len("100 %  10:00:00, about 1.5 min left")
"""Room for the numbers behind the bar: it keeps its width as they change."""

_on_screen: list[Live] = []
"""The bar that is on the terminal now, if any."""


@contextmanager
def above_the_bar() -> Iterator[None]:
    """Print in the block, above the bar where there is one: it is taken away and put back below."""
    live = _on_screen[-1] if _on_screen else None
    if live is None:
        yield
        return
    live.stop()
    try:
        yield
    finally:
        live.start()


@contextmanager
def bar(watch: Watch) -> Iterator[None]:
    """A bar on the terminal that standard error leads to, gone at the end; it follows `watch`, which watches what is done in the block."""
    from rich.console import Console
    from rich.live import Live

    console = Console(stderr=True)
    live = Live(
        console=console,
        get_renderable=lambda: painted(watch, console.width, console.height),
        refresh_per_second=PAINTS_PER_S,
        transient=True,
        redirect_stdout=leads_to_terminal(sys.stdout),
        vertical_overflow="crop",
    )
    with watched(watch), live:
        _on_screen.append(live)
        try:
            yield
        finally:
            _on_screen.remove(live)


def painted(watch: Watch, width: int, height: int) -> Group:
    """What stands on a terminal of `width` x `height` cells: the words, the bar with its numbers, and pictures where there are any."""
    from rich.console import Group
    from rich.progress_bar import ProgressBar
    from rich.table import Table
    from rich.text import Text

    event = watch.event()
    lead = f"{shortened(event.subject, width // 3)}: " if event.subject else ""
    first = Text(f"{lead}{event.words}{values_words(event)}", no_wrap=True, overflow="ellipsis")
    numbers = Text(numbers_words(event), no_wrap=True, overflow="ellipsis")
    room = min(MAX_BAR_CELLS, width - 2 - NUMBERS_CELLS)
    second = Table.grid(padding=(0, 1, 0, 0))
    cells = [numbers] if room < LEAST_BAR_CELLS else [ProgressBar(total=1.0, completed=event.overall, width=room), numbers]
    second.add_row(*cells)
    pictures = watch.picture
    if pictures is None:
        return Group(first, second)
    from zsdeconv.progress.pictures import as_blocks

    return Group(first, second, as_blocks(pictures, min(width - 1, 2 * 3 * max(height - 4, 1))))


def shortened(name: str, cells: int) -> str:
    """A name with its middle left out where it is longer than so many cells: its beginning and its end tell most.

    >>> shortened("3 of 10: a_very_long_name_of_a_file.tif", 24)
    '3 of 10: a_v…_a_file.tif'
    """
    if len(name) <= cells:
        return name
    half = (cells - 1) // 2
    return f"{name[: cells - 1 - half]}…{name[len(name) - half :]}"


def numbers_words(event: ProgressEvent) -> str:
    """Share, time so far and time left.

    >>> numbers_words(ProgressEvent("restoring", 0.5, overall=0.253, elapsed_s=61.0, left_s=181.0))
    ' 25 %  1:01, about 3 min left'
    """
    left = f", {event.left_words}" if event.left_words else ""
    return f"{100 * event.overall:3.0f} %  {clock(event.elapsed_s)}{left}"


def values_words(event: ProgressEvent) -> str:
    """The numbers of an event, each with its name.

    >>> values_words(ProgressEvent("restoring", 0.5, values={"validation": 0.012345}))
    ', validation 0.01235'
    """
    return "".join(f", {name} {value:.4g}" for name, value in event.values.items())


@contextmanager
def lines(watch: Watch, write: Callable[[str], object] | None = None, every_s: float = SECONDS_BETWEEN_LINES) -> Iterator[None]:
    """A line every `every_s` for as long as the block takes, by `write` (on standard error by default)."""
    write = write or (lambda text: sys.stderr.write(f"{text}\n"))
    with watched(watch), every(every_s, lambda: write(line_of(watch.event()))):
        yield


def line_of(event: ProgressEvent) -> str:
    """A line of a log.

    >>> line_of(ProgressEvent("learning to denoise", 0.1, 66, 990, subject="cell.tif", overall=0.07, elapsed_s=15.0, left_s=200.0))
    'cell.tif: 7 %, learning to denoise, step 66 of 990, about 3.5 min left'
    """
    lead = f"{event.subject}: " if event.subject else ""
    left = f", {event.left_words}" if event.left_words else ""
    return f"{lead}{100 * event.overall:.0f} %, {event.words}{values_words(event)}{left}"


@contextmanager
def every(seconds: float, act: Callable[[], object]) -> Iterator[None]:
    """Act again and again while the block runs, each time after so many seconds, in a thread of its own."""
    over = threading.Event()

    def repeat() -> None:
        while not over.wait(seconds):
            act()

    thread = threading.Thread(target=copy_context().run, args=(repeat,), daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def leads_to_terminal(stream: TextIO | None) -> bool:
    """Whether a stream is there and leads to a terminal on which a line can be painted over."""
    return stream is not None and stream.isatty() and os.environ.get("TERM") not in ("dumb", "unknown")
