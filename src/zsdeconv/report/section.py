"""The parts of a report: a question, findings, the numbers behind them, and figures that are drawn only when a page is made."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from zsdeconv.findings import Finding, Level, worst

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True, eq=False)
class CaptionedFigure:
    """A figure with its caption: `draw` fills a matplotlib figure of `size_in` (width, height in inches)."""

    caption: str
    draw: Callable[[Figure], None]
    size_in: tuple[float, float] = (6.4, 3.6)


@dataclass(frozen=True, eq=False)
class Section:
    """One question about a restoration and its answer.

    `key` names it in JSON, `title` and `question` head it in the report. `numbers` are plain values with units in their names, None
    where a number could not be measured; `findings` are the judgements. `answers` are those of them that answer the question, where some
    do not: without any of these the question was not answered, however good the others are.

    >>> section = Section("flux", "Brightness", "Can it be measured?", [Finding("ok", "slope", 1.0, 0.02, "kept")], {"slope": 1.0})
    >>> section.level, section.to_dict()["slope"]
    ('ok', 1.0)
    """

    key: str
    title: str
    question: str
    findings: list[Finding] = field(default_factory=list)
    numbers: Mapping[str, Any] = field(default_factory=dict)
    figures: list[CaptionedFigure] = field(default_factory=list)
    answers: Sequence[Finding] | None = None

    @property
    def level(self) -> Level:
        """The worst level of the findings; "not_checked" where nothing is bad, and the question was not answered.

        >>> own, fit = Finding("ok", "sum", 1.0, 1.0, "sums to 1"), Finding.not_checked("width", "no fine detail")
        >>> Section("psf", "PSF", "Is it that of the image?", [fit, own], answers=[fit]).level
        'not_checked'
        """
        level = worst(self.findings)
        return level if level != "ok" or self.answers is None else worst(self.answers)

    def to_dict(self) -> dict[str, Any]:
        """Numbers and findings as plain values, ready for JSON."""
        return {**self.numbers, "level": self.level, "findings": [finding.to_dict() for finding in self.findings]}
