"""Who is told: a function, a log, a terminal, a notebook, or nobody."""

import sys
import time
from types import SimpleNamespace

import numpy as np
import pytest

from zsdeconv.errors import ConfigError
from zsdeconv.progress import terminal
from zsdeconv.progress.pictures import Preview
from zsdeconv.progress.shown import shown
from zsdeconv.progress.tasks import is_watched, task, wants_preview

PICTURE = Preview(np.zeros((8, 8), np.float32), np.eye(8, dtype=np.float32), np.eye(16, dtype=np.float32))


def test_nothing_is_shown_where_nobody_reads_it(capsys):
    with shown(), task("restoring"):
        assert not is_watched()
    with shown(False), task("restoring"):
        assert not is_watched()
    assert capsys.readouterr() == ("", "")


def test_false_holds_for_all_that_is_called_within(monkeypatch):
    """`run --quiet` on a terminal: the library must not open a bar of its own."""
    monkeypatch.setattr("zsdeconv.progress.shown.leads_to_terminal", lambda stream: True)
    with shown(False), shown(), task("restoring"):
        assert not is_watched()


def test_true_writes_lines_where_there_is_no_terminal(capsys):
    with terminal.lines(terminal.Watch(), every_s=0.02), task("restoring") as own:
        own.report(0.5, 1, 2)
        time.sleep(0.2)
    lines = capsys.readouterr().err.splitlines()
    assert "restoring, step 1 of 2" in lines[-1]
    with shown(True):
        assert is_watched()


def test_who_watches_already_goes_on_within():
    events = []
    with shown(events.append), task("outer", names=True), shown(), task("inner"):
        pass
    assert "outer: inner" in map(str, events)
    count = len(events)
    with shown(events.append), shown(False), task("inner"):
        assert not is_watched()
    assert len(events) == count + 1, "the end alone"


def test_a_preview_needs_eyes():
    with pytest.raises(ConfigError, match="preview: pictures need a terminal or a notebook"), shown(preview=True):
        pass
    with shown(lambda event: None, preview=True):
        assert wants_preview()
    with shown(False, preview=True):
        assert wants_preview(), "for the events of a callback"


@pytest.fixture
def notebook(monkeypatch):
    """A kernel that keeps what it is given to show."""
    pages = []
    handle = SimpleNamespace(update=pages.append)

    def display(page, display_id):
        assert display_id
        pages.append(page)
        return handle

    parts = SimpleNamespace(HTML=str, display=display)
    ipython = SimpleNamespace(get_ipython=lambda: SimpleNamespace(kernel=object()), display=parts)
    monkeypatch.setitem(sys.modules, "IPython", ipython)
    monkeypatch.setitem(sys.modules, "IPython.display", parts)
    return pages


def test_a_notebook_has_a_bar_below_the_cell(notebook, monkeypatch):
    monkeypatch.setattr("zsdeconv.progress.notebook.SECONDS_BETWEEN_UPDATES", 0.02)
    with shown(preview=True), task("cell <1>", names=True), task("restoring") as own:
        own.report(0.5, 3, 6, preview=PICTURE)
        deadline = time.monotonic() + 10
        while len(notebook) < 4 and time.monotonic() < deadline:
            time.sleep(0.02)
    assert len(notebook) >= 4
    assert "cell &lt;1&gt;: restoring, step 3 of 6" in notebook[-2]
    assert notebook[-2].count("data:image/png") == 3
    assert 'value="1.000"' in notebook[-1] and "done" in notebook[-1]


def test_a_notebook_says_nothing_when_told_so(notebook):
    with shown(False), task("restoring"):
        pass
    assert notebook == []
