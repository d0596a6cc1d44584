"""What differs between the settings of two runs: whether one may continue, or stand for, the other."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from zsdeconv.config.relevance import leaves

NOT_OF_TRAINING = ("config.device", "config.report", "config.prediction")
"""Parts of a checkpoint's key that do not touch a training."""
NOT_OF_RESULT = ("device", "report", "prediction.tile", "prediction.overlap", "prediction.batch")
"""Settings of the computation, which do not touch a result: tiles agree with the whole to rounding."""


def first_change(old: Mapping[str, Any], new: Mapping[str, Any], *, without: Collection[str]) -> str:
    """The first setting that differs, with both values in words; empty where none does.

    Parameters
    ----------
    old, new
        Nested settings as plain values; those that `old` does not know count as unchanged, it was written before there were any.
    without
        Paths of settings and sections that do not matter.

    >>> first_change({"training": {"steps": 12}, "report": True}, {"training": {"steps": 14}, "report": False}, without=["report"])
    '`training.steps` was 12, now it is 14'
    """
    former = dict(leaves(old))
    for path, value in leaves(new):
        ignored = any(path == part or path.startswith(f"{part}.") for part in without)
        if not ignored and path in former and former[path] != value:
            if path == "data":
                return "its images had other pixels"
            return f"`{path.removeprefix('config.')}` was {_text(former[path])}, now it is {_text(value)}"
    return ""


def _text(value: Any) -> str:
    return "not given" if value is None else str(value)
