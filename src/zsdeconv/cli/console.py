"""What is printed: one JSON object or lines for people on standard output, and lines on standard error.

A reader that goes away (`| head`), or a stream that was closed from the start (`>&-`), stops the lines and not the work: the files that
were asked for are written, and the exit code says how that went.
"""

from __future__ import annotations

import contextlib
import errno
import json
import math
import os
import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TextIO

from zsdeconv.progress.terminal import above_the_bar

_NO_READER = {errno.EPIPE, errno.EBADF, errno.EINVAL}
"""What systems report when nobody reads a stream; Windows has the last one for a closed pipe."""


def show(text: str) -> None:
    """A line, or several, on standard output. Written at once: a reader that has gone away is noticed here."""
    with above_the_bar():
        _write(sys.stdout, text)


def tell(text: str) -> None:
    """A line, or several, on standard error."""
    with above_the_bar():
        _write(sys.stderr, text)


def _write(stream: TextIO, text: str) -> None:
    try:
        stream.write(f"{text}\n")
        stream.flush()
    except OSError as fault:
        if fault.errno not in _NO_READER:
            raise
        _silence(stream)


def _silence(stream: TextIO) -> None:
    """Let a stream without a reader lead nowhere: Python flushes it once more at its end, which must not fail."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    with contextlib.suppress(OSError, ValueError):
        os.dup2(nowhere, stream.fileno())
        stream.flush()
    os.close(nowhere)


def open_closed_streams() -> None:
    """Give streams that were closed when the program was started something to stand on.

    Otherwise the first files that are opened get the numbers of the streams, and what libraries print goes into them.
    """
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        if getattr(sys, name) is None:
            opened = os.open(os.devnull, os.O_RDWR)
            if opened != number:
                os.dup2(opened, number)
                os.close(opened)
            setattr(sys, name, os.fdopen(number, "r" if name == "stdin" else "w", encoding="utf-8", closefd=False))


def show_json(value: Mapping[str, Any]) -> None:
    """One JSON object; numbers that JSON cannot spell (NaN, infinity) become null."""
    show(json.dumps(_finite(value), indent=1, ensure_ascii=False))


def show_rows(rows: Iterable[tuple[str, str]], lead: str = "") -> None:
    """Names and values in two columns, with `lead` before each."""
    rows = list(rows)
    width = max((len(name) for name, _ in rows), default=0)
    for name, value in rows:
        show(f"{lead}{name:<{width}}  {value}")


def _finite(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def depths(values: Sequence[float]) -> str:
    """Modulation depths of the orders of a pattern.

    >>> depths([1.3, 0.652])
    '1.30 and 0.65'
    """
    return " and ".join(f"{depth:.2f}" for depth in values)
