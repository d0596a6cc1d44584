"""The report of a restoration: one HTML page in one file, which loads nothing else."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from zsdeconv._version import __version__
from zsdeconv.findings import Level
from zsdeconv.image import Image
from zsdeconv.io import atomic_path
from zsdeconv.report.page.chapters import chapter
from zsdeconv.report.page.html import environment, page_file, policy
from zsdeconv.report.page.summary import MAX_TITLE_LENGTH
from zsdeconv.report.page.terms import terms
from zsdeconv.report.page.text import printable
from zsdeconv.report.page.thumbnails import length_words
from zsdeconv.report.section import Section

LEVEL_WORDS: dict[Level, str] = {"ok": "Good", "warn": "Look here", "fail": "Problem", "not_checked": "Not checked"}
_PAGE = "zsdeconv.report.page"


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
    used: set[str] = set()  # filled while the page is written; its last part lists them
    return (
        environment("zsdeconv.report", "page", {"words": LEVEL_WORDS, "length": length_words})
        .get_template("report.html")
        .render(
            report=report,
            title=printable(report.title, MAX_TITLE_LENGTH),
            policy=policy(style, script, img_src="data:"),
            style=style,
            script=script,
            chapters=[chapter(name, f"{number}-" if number else "", part, used) for number, (name, part) in enumerate(parts.items())],
            used=used,
            terms=terms(),
        )
    )


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
