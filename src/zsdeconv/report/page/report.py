"""The report of a restoration: one page for people, in one file that needs nothing else and asks nothing of any network."""

from __future__ import annotations

import base64
import hashlib
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path
from typing import Any

from zsdeconv._version import __version__
from zsdeconv.findings import Finding, Level, worst
from zsdeconv.image import Image
from zsdeconv.io import atomic_path
from zsdeconv.report.page.figures import Drawn, draw_all
from zsdeconv.report.page.panels import make_gallery
from zsdeconv.report.page.summary import LONGEST_TITLE, facts, origins, verdict
from zsdeconv.report.page.text import flattened, label, plain, sentence, shown
from zsdeconv.report.page.thumbnails import length_words
from zsdeconv.report.section import Section

LEVEL_WORDS: dict[Level, str] = {"ok": "Good", "warn": "Look here", "fail": "Problem"}
MOST_ROWS = 300
"""Rows of a table at most."""


@dataclass(frozen=True, eq=False)
class Report:
    """What a page says: `title` is the name of the file restored, `images` the raw and the restored ones (ADU; names as in
    `zsdeconv.report.page.panels.WORDS`), `settings` the resolved configuration, `summary` what was taken from where.

    All texts may be hostile: they come from files.
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
        """Write the page, as `write_report`."""
        return write_report(path, self, overwrite)


def render(report: Report) -> str:
    """The page as HTML, under 3 MB whatever the size of the images.

    >>> page = render(Report("<b>.tif", [Section("flux", "Brightness", "Is it kept?")]))
    >>> "&lt;b&gt;.tif" in page, "<b>" in page
    (True, False)
    """
    style, script = _page_file("report.css"), _page_file("report.js")
    rest = {name: value for name, value in report.summary.items() if name != "sources"}
    return (
        _environment()
        .get_template("report.html")
        .render(
            report=report,
            title=plain(report.title, LONGEST_TITLE),
            policy=_policy(style, script),
            style=style,
            script=script,
            level=worst(finding for section in report.sections for finding in section.findings),
            verdict=verdict(report.sections),
            checks=list(_checks(report.sections)),
            gallery=make_gallery(report.images),
            facts=facts(report.summary),
            origins=origins(report.summary),
            summary=[(" · ".join(map(label, path.split("."))), shown(value)) for path, value in _leaves(rest)],
            settings=[(path, shown(value)) for path, value in _leaves(report.settings)],
        )
    )


def write_report(path: str | os.PathLike[str], report: Report, overwrite: bool = False) -> Path:
    """Write the page, whole or not at all. Raises `OutputError` when that is not possible.

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
    pictures: list[Drawn]


def _checks(sections: Sequence[Section]) -> Iterator[_Check]:
    drawn = draw_all([picture for section in sections for picture in section.pictures])
    for number, section in enumerate(sections, 1):
        first = next((finding for finding in section.findings if finding.level == worst(section.findings)), None)
        rows = [(label(path.replace(".", "_")), shown(value)) for path, value in _leaves(section.numbers)]
        yield _Check(number, section, first, rows, [next(drawn) for _ in section.pictures])


def _leaves(values: Mapping[str, Any]) -> list[tuple[str, Any]]:
    return list(flattened(values))[:MOST_ROWS]


def _policy(style: str, script: str) -> str:
    """Nothing from outside, and of what is inside only this style, this script and pictures that are their own address."""
    allowed = {"img-src": "data:", "style-src": _hash(style), "script-src": _hash(script), "base-uri": "'none'", "form-action": "'none'"}
    return "; ".join(["default-src 'none'", *(f"{kind} {source}" for kind, source in allowed.items())])


def _hash(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode('ascii')}'"


def _page_file(name: str) -> str:
    return resources.files("zsdeconv.report").joinpath("page", name).read_text(encoding="utf-8")


def _environment() -> Any:
    from jinja2 import Environment, PackageLoader, StrictUndefined
    from markupsafe import Markup

    def printable(value: Any) -> Any:
        """Every text that is not part of the template loses what cannot be printed, before it is escaped."""
        return value if isinstance(value, Markup | int | float) else plain(value)

    environment = Environment(
        loader=PackageLoader("zsdeconv.report", "page"),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=printable,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals |= {"words": LEVEL_WORDS, "length": length_words, "sentence": sentence}
    return environment
