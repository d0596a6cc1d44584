"""The result of one check: a level, the measured value, the limit it is compared with, and a sentence with advice."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal

Level = Literal["ok", "warn", "fail", "not_checked"]
LEVELS: tuple[Level, ...] = ("not_checked", "ok", "warn", "fail")
"""In the order of their weight: what was not checked is neither good nor bad, so any other level outweighs it."""


@dataclass(frozen=True)
class Finding:
    """One observation: its `level`, the measured `value`, the `limit` beyond which the level is not "ok", and a message with advice.

    >>> worst([Finding("ok", "sum", 1.0, 1.01, "sums to 1"), Finding("warn", "width", 1.2, 1.1, "20 % wider than the data; measure beads")])
    'warn'
    """

    level: Level
    name: str
    value: float
    limit: float
    message: str

    @classmethod
    def not_checked(cls, name: str, message: str, value: float = math.nan, limit: float = math.nan) -> Finding:
        """A finding about something that could not be measured.

        Parameters
        ----------
        name : name of the finding
        message : the reason, and how it can be measured
        value, limit : a number that prevented the measurement, and what it must be; left out where there is none

        >>> Finding.not_checked("shape", "fewer than 32 pixels; give a larger image").to_dict()["value"] is None
        True
        """
        return cls("not_checked", name, value, limit, message)

    def to_dict(self) -> dict[str, Any]:
        """Plain values, ready for JSON; None where there is no value or no limit."""
        value, limit = (None if math.isnan(number) else number for number in (self.value, self.limit))
        return {"level": self.level, "name": self.name, "value": value, "limit": limit, "message": self.message}


def worst(findings: Iterable[Finding]) -> Level:
    """The worst level among the findings that were made, "not_checked" where none was.

    >>> worst([Finding("ok", "sum", 1.0, 1.01, "sums to 1"), Finding.not_checked("width", "too little signal")]), worst([])
    ('ok', 'not_checked')
    """
    return LEVELS[max((LEVELS.index(finding.level) for finding in findings), default=0)]


def rounded(value: float, digits: int = 2) -> str:
    """A number with so many digits that count, without an exponent up to a million.

    >>> rounded(234.0), rounded(0.0234), rounded(12.0, 1), rounded(float("inf"))
    ('230', '0.023', '10', 'inf')
    """
    return f"{float(f'{value:.{digits}g}'):g}"


MAX_SHOWN_RATIO = 1000.0
"""Ratio beyond which only its order is told. Chosen: a number that is divided by nearly nothing says no more than that it is large."""


def percent(fraction: float, digits: int = 0, *, sign: bool = False) -> str:
    """A fraction in words for a message, bounded: what was divided by nearly nothing has no digits.

    >>> percent(0.123), percent(0.123, 1, sign=True), percent(5e33), percent(-80.0), percent(math.nan)
    ('12 %', '+12.3 %', 'more than 1000 %', 'less than -1000 %', 'an unknown fraction')
    """
    if math.isnan(fraction):
        return "an unknown fraction"
    if abs(fraction) > MAX_SHOWN_RATIO / 100:
        return f"{'more than ' if fraction > 0 else 'less than -'}{MAX_SHOWN_RATIO:.0f} %"
    return f"{100 * fraction:{'+' if sign else ''}.{digits}f} %"


def times(ratio: float, digits: str = ".2g") -> str:
    """A factor in words for a message, bounded alike.

    >>> times(4.04), times(0.25), times(5e9), times(1e-12), times(-3.0), times(math.nan)
    ('4 times', '0.25 times', 'more than 1000 times', 'less than a thousandth of', 'less than a thousandth of', 'an unknown multiple of')
    """
    if math.isnan(ratio):
        return "an unknown multiple of"
    if ratio > MAX_SHOWN_RATIO:
        return f"more than {MAX_SHOWN_RATIO:.0f} times"
    return f"{ratio:{digits}} times" if ratio > 1 / MAX_SHOWN_RATIO else "less than a thousandth of"
