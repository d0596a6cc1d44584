"""What a page shows of one restoration: its findings in the order of their importance, its checks, and what it was made with."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from zsdeconv.findings import Finding, Level, worst
from zsdeconv.image import Image
from zsdeconv.report.page.camera_table import camera_table
from zsdeconv.report.page.figures import RenderedFigure, render_all
from zsdeconv.report.page.manual import Entry, entry_of
from zsdeconv.report.page.panels import make_gallery
from zsdeconv.report.page.spelling import Wording, spellings
from zsdeconv.report.page.summary import MAX_TITLE_LENGTH, count_words, facts, origins, verdict
from zsdeconv.report.page.text import flattened, label, printable, value_text
from zsdeconv.report.section import Section

MAX_ROWS = 300
"""Rows of a table. Chosen: more than any configuration has."""
MAX_LEADING = 5
"""Findings on the first screen. Chosen: they fit beside the picture."""
MIN_LEADING = 4
"""Findings there where fewer need attention; good ones that matter to everybody follow. Chosen as for `MAX_LEADING`."""
EVERYBODYS = (
    ("resolution", "noise_limit_nm"),
    ("recovery", "separation of test objects"),
    ("flux", "flux_slope"),
    ("uncertainty", "uncertainty of bright pixels"),
)
"""Findings that decide what may be read off any image, in the order of their importance."""
MAX_OPEN = 3
"""Checks that are shown in full; others that need attention are folded. Chosen: the page then has less than ten screens on a phone."""
GROUPS: tuple[tuple[str, tuple[Level, ...]], ...] = (
    ("What needs attention", ("fail", "warn")),
    ("What is good", ("ok",)),
    ("What could not be checked", ("not_checked",)),
)
"""Headings of checks by their levels."""
SEVERITY: dict[Level, int] = {"fail": 0, "warn": 1, "ok": 2, "not_checked": 3}
"""Order of findings on a page."""


class Contents(Protocol):
    """What is shown of a restoration; `zsdeconv.report.page.report.Report` is one."""

    @property
    def sections(self) -> Sequence[Section]: ...
    @property
    def images(self) -> Mapping[str, Image]: ...
    @property
    def settings(self) -> Mapping[str, Any]: ...
    @property
    def summary(self) -> Mapping[str, Any]: ...


@dataclass(frozen=True, eq=False)
class ShownCheck:
    """A section as the page shows it: what `leads`, what follows when it is unfolded, and its texts as `say` sets them."""

    anchor: str
    section: Section
    say: Wording
    unfolded: bool
    leading: list[Finding]
    others: list[Finding]
    numbers: list[tuple[str, str]]
    figures: list[RenderedFigure]

    @property
    def first(self) -> Finding | None:
        """The finding that tells most: the worst, or the reason why the check could not be made."""
        return next(iter(self.leading), None)

    @property
    def missing(self) -> int:
        """Findings that could not be made, in a check that was."""
        levels = [finding.level for finding in self.section.findings]
        return 0 if self.section.level == "not_checked" else levels.count("not_checked")

    def entry(self, finding: Finding) -> Entry | None:
        """What the manual says of a finding."""
        return entry_of(self.section.key, finding.name)

    def heading(self, finding: Finding) -> str:
        """The title of a finding, where its message does not begin with it."""
        entry = self.entry(finding)
        return "" if entry is None or finding.message.startswith(entry.title) else entry.title


@dataclass(frozen=True, eq=False)
class Lead:
    """A finding on the first screen, and the check in which it stands."""

    finding: Finding
    check: ShownCheck


def chapter(name: str, prefix: str, report: Contents, used: set[str]) -> dict[str, Any]:
    """What the template shows of a report.

    Parameters
    ----------
    name : of the channel; empty where there is only one
    prefix : keeps the anchors of the chapter apart from those of others
    report : what is shown
    used : gets the terms that the page explains
    """
    findings = [finding for section in report.sections for finding in section.findings]
    checks = list(_checks(report.sections, prefix, used))
    rest = {key: value for key, value in report.summary.items() if key not in ("sources", "calibration", "camera")}
    settings = [(path, value) for path, value in _leaves(report.settings)]
    return {
        "name": printable(name, MAX_TITLE_LENGTH),
        "prefix": prefix,
        "level": worst(findings),
        "verdict": verdict(report.sections),
        "counts": count_words(findings) if findings else "",
        "leads": leads(checks),
        "groups": [(title, [check for check in checks if check.section.level in levels]) for title, levels in GROUPS],
        "gallery": make_gallery(report.images),
        "facts": facts(report.summary),
        "origins": origins(report.summary),
        "camera": camera_table(report.summary, report.sections),
        "say": Wording(used),
        "summary": [(" · ".join(map(label, path.split("."))), value_text(value)) for path, value in _leaves(rest)],
        "settings": [(_both(path), value_text(value)) for path, value in settings if value is not None],
        "absent": [_both(path) for path, value in settings if value is None],
    }


def leads(checks: Sequence[ShownCheck]) -> list[Lead]:
    """The findings of the first screen: the worst of each check that needs attention, then those that matter to everybody."""
    bad = [Lead(check.first, check) for check in checks if check.first is not None and check.section.level in ("fail", "warn")]
    bad = sorted(bad, key=lambda lead: SEVERITY[lead.finding.level])[:MAX_LEADING]
    made = {(check.section.key, finding.name): Lead(finding, check) for check in checks for finding in check.section.findings}
    shown = {(lead.check.section.key, lead.finding.name) for lead in bad}
    good = [made[key] for key in EVERYBODYS if key in made and key not in shown and made[key].finding.level == "ok"]
    return bad + good[: max(0, MIN_LEADING - len(bad))]


def _checks(sections: Sequence[Section], prefix: str, used: set[str]) -> Iterator[ShownCheck]:
    rendered = render_all([figure for section in sections for figure in section.figures])
    bad = sorted((SEVERITY[section.level], number) for number, section in enumerate(sections) if section.level in ("fail", "warn"))
    unfolded = {number for _, number in bad[:MAX_OPEN]}
    for number, section in enumerate(sections):
        unanswered = section.level == "not_checked"
        findings = sorted(section.findings, key=lambda finding: -SEVERITY[finding.level] if unanswered else SEVERITY[finding.level])
        pressing = [finding for finding in findings if finding.level in ("fail", "warn")]
        leading = pressing or findings
        rows = [(label(path.replace(".", "_")), value_text(value, "not measured")) for path, value in _leaves(_without_tables(section))]
        figures = [next(rendered) for _ in section.figures]
        others = findings[len(leading) :]
        yield ShownCheck(f"check-{prefix}{number + 1}", section, Wording(used), number in unfolded, leading, others, rows, figures)


def _without_tables(section: Section) -> dict[str, Any]:
    """The numbers of a section without those that have a table of their own: the calibration."""
    return {key: value for key, value in section.numbers.items() if not (section.key == "camera" and key == "calibration")}


def _both(path: str) -> str:
    """A setting by its place in the configuration, and its option."""
    _, *flag = spellings(path)
    return f"{path} ({flag[0]})" if flag else path


def _leaves(values: Mapping[str, Any]) -> list[tuple[str, Any]]:
    return list(flattened(values))[:MAX_ROWS]
