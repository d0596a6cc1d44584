"""Who is told of the progress: nobody, a function, a terminal, a log or a notebook."""

from __future__ import annotations

import sys
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import TypeAlias

from zsdeconv.errors import ConfigError
from zsdeconv.progress.notebook import cell, in_notebook
from zsdeconv.progress.tasks import ProgressEvent, Watch, is_settled, watched
from zsdeconv.progress.terminal import bar, leads_to_terminal, lines

ProgressOption: TypeAlias = "bool | Callable[[ProgressEvent], object] | None"
"""The argument `progress`: None for a bar on a terminal and in a notebook and nothing elsewhere; True for a bar there and lines elsewhere;
False for nothing; or a function that receives each `ProgressEvent`, with a picture at each validation where `preview` asks for them."""


def shown(progress: ProgressOption = None, *, preview: bool = False) -> AbstractContextManager[None]:
    """Show the progress of what is done in the block as `progress` asks for, with pictures for `preview`.

    Within another such block None leaves it to that one.

    Raises
    ------
    ConfigError
        For a `preview` that nobody would see.

    Examples
    --------
    >>> from zsdeconv.progress.tasks import task
    >>> told = []
    >>> with shown(lambda event: told.append(str(event))), task("restoring"):
    ...     pass
    >>> told[0]
    'restoring'
    """
    if progress is None and is_settled():
        return nullcontext()
    terminal = leads_to_terminal(sys.stderr)
    if progress is False or callable(progress):
        return watched(Watch(progress or None, preview=preview) if progress or preview else None)
    if preview and not (terminal or in_notebook()):
        raise ConfigError(
            "preview: pictures need a terminal or a notebook, standard error leads to neither; leave out `preview`, or give `progress`"
        )
    watch = Watch(preview=preview)
    if in_notebook():
        return cell(watch)
    if terminal:
        return bar(watch)
    return lines(watch) if progress else watched(None)
