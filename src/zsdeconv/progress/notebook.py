"""Progress in a notebook: a line with a bar below the cell, and pictures where they are asked for."""

from __future__ import annotations

import html
import importlib
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from zsdeconv.progress.tasks import Watch, watched
from zsdeconv.progress.terminal import every, numbers_words, values_words

SECONDS_BETWEEN_UPDATES = 1.0
"""Time between two updates of a notebook. Chosen: each is a message to the browser, and a clock moves every second."""


def in_notebook() -> bool:
    """Whether the program runs in the kernel of a notebook; nothing is imported to find out."""
    shell = getattr(sys.modules.get("IPython"), "get_ipython", lambda: None)()
    return hasattr(shell, "kernel")


@contextmanager
def cell(watch: Watch) -> Iterator[None]:
    """A bar below the cell of the notebook that follows `watch`, which watches what is done in the block; at the end it says how long it
    took.
    """
    handle = _display(page(watch))
    try:
        with watched(watch), every(SECONDS_BETWEEN_UPDATES, lambda: handle.update(_html(page(watch)))):
            yield
    finally:
        handle.update(_html(page(watch)))


def page(watch: Watch) -> str:
    """What stands below the cell."""
    event = watch.event()
    bar = f'<progress value="{event.overall:.3f}" max="1" style="width:20em;vertical-align:middle"></progress>'
    words = html.escape(str(event) + values_words(event))
    text = f"<div>{bar} {html.escape(numbers_words(event))}<br>{words}</div>"
    if watch.picture is None:
        return text
    from zsdeconv.progress.pictures import as_page

    return text + as_page(watch.picture)


def _html(text: str) -> Any:
    return _ipython().HTML(text)


def _display(text: str) -> Any:
    return _ipython().display(_html(text), display_id=True)


def _ipython() -> Any:
    """What shows things in a notebook: it is there where there is a kernel, and not needed elsewhere."""
    return importlib.import_module("IPython.display")
