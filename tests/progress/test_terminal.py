"""What stands on a terminal: two lines that never wrap, small pictures, and nothing at the end."""

import io
import re

import numpy as np
import pytest
from rich.console import Console

from zsdeconv.progress import terminal
from zsdeconv.progress.pictures import Preview, as_blocks, greys
from zsdeconv.progress.tasks import Task, Watch, measured, plan, task, watched


def painted(width, *, height=24, preview=None, name="3 of 10: a_name_as_long_as_microscopes_make_them_2026-11-28_pos007.ome.tif"):
    """The lines on a terminal in the middle of a training."""
    watch = Watch()
    out = Console(file=io.StringIO(), width=width, force_terminal=True, color_system="truecolor", legacy_windows=False)
    with watched(watch), task(name, names=True):
        measured("network", 0.2)
        plan(Task("learning to denoise", 990, "network"))
        with task("learning to denoise") as own:
            own.report(66 / 990, 66, 990, validation=0.0123456, preview=preview)
            out.print(terminal.painted(watch, width, height))
    assert isinstance(out.file, io.StringIO)
    return re.sub(r"\x1b\[[0-9;]*m", "", out.file.getvalue()).splitlines()


@pytest.mark.parametrize("width", [20, 40, 60, 80, 120, 200])
def test_two_lines_at_any_width(width):
    lines = painted(width)
    assert len(lines) == 2
    assert all(len(line) <= width for line in lines)


def test_the_words_and_the_numbers_can_be_read():
    words, numbers = painted(80)
    assert words.startswith("3 of 10: ") and "learning to denoise, step 66 of 990" in words
    assert re.fullmatch(r"━*╸?╺?━+\s+\d+ %  0:0\d, about \d.* left\s*", numbers), numbers
    words, _ = painted(120)
    assert "validation 0.01235" in words


def test_the_bar_keeps_its_width():
    bars = set()
    for left in (None, 3.0, 500.0, 1e5):
        watch = Watch()
        watch._left_s = lambda task, now, left=left: left
        out = Console(file=io.StringIO(), width=80, color_system=None)
        out.print(terminal.painted(watch, 80, 24))
        assert isinstance(out.file, io.StringIO)
        bars.add(len(re.findall("[━╸╺]", out.file.getvalue())))
    assert len(bars) == 1


def pictures(side=64, scale=2):
    y, x = np.mgrid[:side, :side].astype(np.float32)
    return Preview(y, x, np.repeat(np.repeat(y, scale, 0), scale, 1))


@pytest.mark.parametrize(("width", "height"), [(80, 24), (120, 30), (200, 60)])
def test_pictures_fit_below_the_bar(width, height):
    lines = painted(width, height=height, preview=pictures())
    assert len(lines) <= height
    assert max(map(len, lines)) <= width
    assert lines[2].split() == ["raw", "denoised", "deconvolved"]
    assert len(lines) > 8 and "▀" in lines[3]


def test_a_cell_shows_two_pixels_as_they_are():
    """Noise must not be averaged away where raw and denoised are compared."""
    raw = np.zeros((40, 40), np.float32)
    raw[::2, ::2] = 1.0
    text = as_blocks(Preview(raw, raw), 60)
    styles = {str(span.style) for span in text.spans}
    assert styles == {"rgb(255,255,255) on rgb(0,0,0)", "rgb(0,0,0) on rgb(0,0,0)"}


def test_raw_and_denoised_share_black_and_white():
    denoised = np.linspace(0, 1, 4096, dtype=np.float32).reshape(64, 64)
    shades = greys(Preview(denoised + 10, denoised, 7 * denoised.repeat(2, 0).repeat(2, 1)))
    assert shades["raw"].min() == 255, "brighter than all of the denoised one"
    assert np.abs(shades["deconvolved"][::2, ::2].astype(int) - shades["denoised"]).max() <= 1, "its own range"


def test_printing_takes_the_bar_away_and_puts_it_back(monkeypatch):
    """A line of a summary stands above the bar, whole."""
    out = io.StringIO()
    out.isatty = lambda: True
    monkeypatch.setattr("sys.stderr", out)
    monkeypatch.setenv("TERM", "xterm")
    with terminal.bar(Watch()), task("restoring"):
        before = len(out.getvalue())
        with terminal.above_the_bar():
            out.write("a line\n")
        text = out.getvalue()[before:]
    assert "a line\n" in text
    assert text.index("\x1b[2K") < text.index("a line"), "erased first"
    assert out.getvalue().rstrip().endswith("\x1b[2K") or "\x1b[?25h" in out.getvalue()[-40:], "erased, and the cursor is back"


def test_a_dumb_terminal_is_a_log(monkeypatch):
    out = io.StringIO()
    out.isatty = lambda: True
    monkeypatch.setenv("TERM", "xterm")
    assert terminal.leads_to_terminal(out)
    monkeypatch.setenv("TERM", "dumb")
    assert not terminal.leads_to_terminal(out)
    assert not terminal.leads_to_terminal(None)
