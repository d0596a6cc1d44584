"""The page of results: one HTML file with all its pixels, which loads nothing and can be moved or sent."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from zsdeconv._version import __version__
from zsdeconv.io import atomic_path
from zsdeconv.report.page.html import environment, page_file, policy
from zsdeconv.report.page.text import printable
from zsdeconv.viewer.contents import Contents

_PACKAGE = "zsdeconv.viewer"


def write_page(
    path: str | os.PathLike[str], results: Sequence[Contents], reports: Sequence[Path | None], *, overwrite: bool = False
) -> Path:
    """Write the page of some results completely or not at all.

    Parameters
    ----------
    path
        Name of the page.
    results
        What it shows.
    reports
        The report of each, to which the page links: by a relative path where both lie in one folder, else by its whole path.
    overwrite
        Whether an existing page is replaced.

    Returns
    -------
    Path
        The page.

    Raises
    ------
    OutputError
        When the page exists and `overwrite` is false, or cannot be written.
    """
    page = Path(path)
    style = page_file("zsdeconv.report.page", "palette.css") + page_file(_PACKAGE, "viewer.css")
    script = page_file(_PACKAGE, "viewer.js")
    about = [{**each.about, "report": _link(report, page)} for each, report in zip(results, reports, strict=True)]
    names = ", ".join(each.name for each in results)
    stream = (
        environment("zsdeconv", "viewer", {})
        .get_template("viewer.html")
        .stream(
            title=printable(names, 80),
            version=__version__,
            policy=policy(style, script),
            style=style,
            script=script,
            about=_as_script(json.dumps(about, allow_nan=False)),
            blocks=_blocks(results),
        )
    )
    with atomic_path(page, overwrite) as temporary, temporary.open("w", encoding="utf-8") as file:
        stream.dump(file)
    return page


def _blocks(results: Sequence[Contents]) -> Iterator[tuple[str, str]]:
    """All planes, named by result, image, channel, time and plane."""
    for number, result in enumerate(results):
        for place, layer in enumerate(result.layers):
            for name, text in layer.blocks():
                yield f"{number}-{place}-{name}", text


def _as_script(text: str) -> str:
    r"""JSON that no HTML parser takes for the end of a script.

    >>> print(_as_script('["</script>"]'))
    ["\u003c/script>"]
    """
    return text.replace("<", "\\u003c")


def _link(report: Path | None, page: Path) -> str | None:
    """The address of a report: a page may lead to a file, though it may not load one."""
    if report is None:
        return None
    beside = report.resolve().parent == page.resolve().parent
    from urllib.parse import quote

    return quote(report.name) if beside else report.resolve().as_uri()
