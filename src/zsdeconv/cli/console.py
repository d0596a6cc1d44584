"""What is printed on standard output: one JSON object, or lines for people."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import Any


def show(text: str) -> None:
    """A line, or several. Written at once: a reader that has gone away is noticed here."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def show_json(value: Mapping[str, Any]) -> None:
    """One JSON object; numbers that JSON cannot spell (NaN, infinity) become null."""
    show(json.dumps(_finite(value), indent=1, ensure_ascii=False))


def show_rows(rows: Iterable[tuple[str, str]]) -> None:
    """Names and values in two columns."""
    rows = list(rows)
    width = max((len(name) for name, _ in rows), default=0)
    for name, value in rows:
        show(f"{name:<{width}}  {value}")


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
