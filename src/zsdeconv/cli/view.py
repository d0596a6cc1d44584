"""`view`: a result as a page in the browser."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from zsdeconv.cli.console import show_json, show_rows
from zsdeconv.cli.options import Settings, Task, argument, chosen, option, takes
from zsdeconv.cli.output_checks import check_outputs
from zsdeconv.cli.wording import with_options
from zsdeconv.errors import ConfigError, OutputError

if TYPE_CHECKING:
    from zsdeconv.viewer.contents import Contents
    from zsdeconv.viewer.finding import ResultFiles


@dataclass(frozen=True, kw_only=True)
class ViewTask(Task):
    """Where the page goes, and what is shown beside the results."""

    output: Annotated[
        Path | None,
        option("the page to write (.html) [default: one in a temporary folder]", name=("--output", "-o"), metavar="PAGE"),
    ] = None
    open: Annotated[bool, option("open the page in the browser", negative=None, metavar="")] = True
    raw: Annotated[Path | None, option("the recorded image [default: where the result was made of it]", metavar="FILE", group="Input")] = (
        None
    )


@takes(
    settings=chosen("crop", help={"crop": "the part to show, pixels of the raw grid: Y0:Y1,X0:X1, also with T0:T1 and Z0:Z1"}),
    task=ViewTask,
)
def view(
    result: Annotated[Path, argument("folder of results, or a file of one", "RESULT")], /, *, settings: Settings, task: ViewTask
) -> None:
    """Look at a result in the browser: raw, denoised and deconvolved on one scale of intensity, with channels, planes and times.

    The page is one file that loads nothing from elsewhere; it can be kept with -o and sent. Large results are shown in part, and the page
    says which.

    Example: zsdeconv view restored
    """
    from zsdeconv.viewer.contents import contents_of
    from zsdeconv.viewer.finding import find_results
    from zsdeconv.viewer.parts import MAX_PIXELS
    from zsdeconv.viewer.viewer_page import write_page

    found = find_results(result)
    if task.raw is not None and len(found) > 1:
        names = ", ".join(each.name for each in found)
        raise ConfigError(f"--raw {task.raw} with {len(found)} results ({names}): it belongs to one; give that, for example its .zsd file")
    if task.output is not None:
        check_outputs([task.output], inputs=_read_by(found, task.raw), overwrite=task.overwrite)
    limit = MAX_PIXELS // len(found)
    shown = [contents_of(each, raw=task.raw, crop=settings.given().get("crop"), max_pixels=limit) for each in found]
    page = write_page(task.output or _temporary(found[0].name), shown, [each.report for each in found], overwrite=task.overwrite)
    opened = task.open and _open(page)
    facts = {"page": str(page), "opened": opened, "results": [{"name": each.name, **each.facts} for each in shown]}
    if task.json:
        show_json(facts)
    elif not task.quiet:
        _tell(shown, page)
    if task.open and not opened:
        raise OutputError(f"{page}: the page is written, but there is no browser to open it; open it yourself, or give --no-open")


def _read_by(found: Sequence[ResultFiles], raw: Path | None) -> list[Path]:
    """Every file that is read or linked to."""
    files = [path for each in found for path in (*each.images.values(), each.model, each.report) if path is not None]
    return [*files, *([] if raw is None else [raw])]


def _temporary(name: str) -> Path:
    """A page in a folder of its own, which stays until the system clears its temporary files."""
    return Path(tempfile.mkdtemp(prefix="zsdeconv-view-")) / f"{name}_view.html"


def _open(page: Path) -> bool:
    """Open a page; whether there is a browser with a screen. One that runs in the terminal is not taken."""
    import webbrowser

    screen = sys.platform in ("win32", "darwin") or any(os.environ.get(name) for name in ("DISPLAY", "WAYLAND_DISPLAY", "BROWSER"))
    try:
        return screen and webbrowser.open(page.resolve().as_uri())
    except webbrowser.Error:
        return False


def _tell(shown: Sequence[Contents], page: Path) -> None:
    rows: list[tuple[str, Any]] = []
    for each in shown:
        rows.append(("result", f"{each.name}: {', '.join(layer.kind for layer in each.layers)}"))
        rows += [("note", with_options(note)) for note in each.facts["notes"]]
    show_rows([*rows, ("page", str(page))])
