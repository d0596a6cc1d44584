"""What a check has found: a value, the limit it is judged by, and a sentence that helps."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal

Level = Literal["ok", "warn", "fail"]
LEVELS: tuple[Level, ...] = ("ok", "warn", "fail")
"""From good to bad."""


@dataclass(frozen=True)
class Finding:
    """One observation: `level` "ok", "warn" or "fail", the `value` met, the `limit` beyond which it is not ok, and advice.

    >>> worst([Finding("ok", "sum", 1.0, 1.01, "sums to 1"), Finding("warn", "width", 1.2, 1.1, "20 % wider than the data; measure beads")])
    'warn'
    """

    level: Level
    name: str
    value: float
    limit: float
    message: str

    def to_dict(self) -> dict[str, Any]:
        """Plain values, ready for JSON."""
        return {"level": self.level, "name": self.name, "value": self.value, "limit": self.limit, "message": self.message}


def worst(findings: Iterable[Finding]) -> Level:
    """The worst level among them, "ok" when there are none."""
    return LEVELS[max((LEVELS.index(finding.level) for finding in findings), default=0)]
