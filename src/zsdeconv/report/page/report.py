"""The report of a restoration: one HTML page in one file, which loads nothing else."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from zsdeconv._version import __version__
from zsdeconv.findings import Finding, Level, worst
from zsdeconv.image import Image
from zsdeconv.io import atomic_path
from zsdeconv.report.page.figures import RenderedFigure, render_all
from zsdeconv.report.page.html import environment, page_file, policy
from zsdeconv.report.page.panels import make_gallery
from zsdeconv.report.page.summary import MAX_TITLE_LENGTH, count_words, facts, origins, verdict
from zsdeconv.report.page.text import flattened, label, printable, sentence, value_text
from zsdeconv.report.page.thumbnails import length_words
from zsdeconv.report.section import Section

LEVEL_WORDS: dict[Level, str] = {"ok": "Good", "warn": "Look here", "fail": "Problem", "not_checked": "Not checked"}
_PAGE = "zsdeconv.report.page"
MAX_ROWS = 300
"""Rows of a table. Chosen: more than any configuration has."""


@dataclass(frozen=True, eq=False)
class Report:
    """The contents of a page: `title` is the name of the restored file, `images` the raw and the restored ones (ADU; names as in
    `zsdeconv.report.page.panels.WORDS`), `settings` the resolved configuration, `summary` the origin of each quantity.

    Texts come from files and are not trusted.
    """

    title: str
    sections: Sequence[Section]
    images: Mapping[str, Image] = field(default_factory=dict)
    settings: Mapping[str, Any] = field(default_factory=dict)
    summary: Mapping[str, Any] = field(default_factory=dict)
    version: str = __version__
    restored_at: str = ""

    def to_dict(self) -> dict[str, Any]:
        """Numbers and findings of all sections by their keys, ready for JSON.

        >>> Report("cell.tif", [Section("flux", "Brightness", "Is it kept?", numbers={"slope": 1.0})]).to_dict()["flux"]["slope"]
        1.0
        """
        return {section.key: section.to_dict() for section in self.sections}

    def save(self, path: str | os.PathLike[str], overwrite: bool = False) -> Path:
        """Write the page (`write_report`)."""
        return write_report(path, self, overwrite)


@dataclass(frozen=True, eq=False)
class ChannelReport:
    """The contents of a page with a tab for each channel: `channels` are their reports by their names."""

    title: str
    channels: Mapping[str, Report]

    @property
    def version(self) -> str:
        """Of the program."""
        return next(iter(self.channels.values())).version

    @property
    def restored_at(self) -> str:
        """When, empty where that is not stated."""
        return next(iter(self.channels.values())).restored_at

    @property
    def sections(self) -> list[Section]:
        """The sections of all channels."""
        return [section for report in self.channels.values() for section in report.sections]

    def to_dict(self) -> dict[str, Any]:
        """Numbers and findings of each channel by its name, as `Report.to_dict`."""
        return {name: report.to_dict() for name, report in self.channels.items()}

    def save(self, path: str | os.PathLike[str], overwrite: bool = False) -> Path:
        """Write the page (`write_report`)."""
        return write_report(path, self, overwrite)


def render(report: Report | ChannelReport) -> str:
    """The page as HTML, below 3 MB for images of any size, with a tab for each channel where there are several.

    >>> page = render(Report("<b>.tif", [Section("flux", "Brightness", "Is it kept?")]))
    >>> "&lt;b&gt;.tif" in page, "<b>" in page
    (True, False)
    """
    style = page_file(_PAGE, "palette.css") + page_file(_PAGE, "report.css")
    script = page_file(_PAGE, "report.js")
    parts = report.channels if isinstance(report, ChannelReport) else {"": report}
    return (
        environment("zsdeconv.report", "page", {"words": LEVEL_WORDS, "length": length_words, "sentence": sentence})
        .get_template("report.html")
        .render(
            report=report,
            title=printable(report.title, MAX_TITLE_LENGTH),
            policy=policy(style, script, img_src="data:"),
            style=style,
            script=script,
            chapters=[_chapter(name, f"{number}-" if number else "", part) for number, (name, part) in enumerate(parts.items())],
        )
    )


def _chapter(name: str, prefix: str, report: Report) -> dict[str, Any]:
    """What the template shows of a report; `prefix` keeps its anchors apart from those of others."""
    findings = [finding for section in report.sections for finding in section.findings]
    rest = {key: value for key, value in report.summary.items() if key != "sources"}
    return {
        "name": printable(name, MAX_TITLE_LENGTH),
        "prefix": prefix,
        "level": worst(findings),
        "verdict": verdict(report.sections),
        "counts": count_words(findings) if findings else "",
        "checks": list(_checks(report.sections)),
        "gallery": make_gallery(report.images),
        "facts": facts(report.summary),
        "origins": origins(report.summary),
        "summary": [(" · ".join(map(label, path.split("."))), value_text(value)) for path, value in _leaves(rest)],
        "settings": [(path, value_text(value)) for path, value in _leaves(report.settings)],
    }


def write_report(path: str | os.PathLike[str], report: Report | ChannelReport, overwrite: bool = False) -> Path:
    """Write the page completely or not at all. Raises `OutputError` when that is not possible.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     write_report(Path(folder, "cell_report.html"), Report("cell.tif", [])).name
    'cell_report.html'
    """
    page = render(report)
    with atomic_path(path, overwrite) as temporary:
        temporary.write_text(page, encoding="utf-8")
    return Path(path)


@dataclass(frozen=True, eq=False)
class _Check:
    """A section as the page shows it."""

    number: int
    section: Section
    first: Finding | None
    numbers: list[tuple[str, str]]
    figures: list[RenderedFigure]


def _checks(sections: Sequence[Section]) -> Iterator[_Check]:
    rendered = render_all([figure for section in sections for figure in section.figures])
    for number, section in enumerate(sections, 1):
        first = next((finding for finding in section.findings if finding.level == worst(section.findings)), None)
        rows = [(label(path.replace(".", "_")), value_text(value)) for path, value in _leaves(section.numbers)]
        yield _Check(number, section, first, rows, [next(rendered) for _ in section.figures])


def _leaves(values: Mapping[str, Any]) -> list[tuple[str, Any]]:
    return list(flattened(values))[:MAX_ROWS]
