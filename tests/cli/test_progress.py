"""Progress of a command as a person sees it: on a terminal (a pseudo terminal of 80 columns), in a log, and not at all."""

import codecs
import itertools
import os
import re
import signal
import struct
import subprocess
import sys
import time

import pytest

from zsdeconv.cli import progress as shown
from zsdeconv.progress import terminal

pty = pytest.importorskip("pty", reason="Windows has no pseudo terminals")
ESCAPES = re.compile(r"\x1b\[[0-9;?]*[a-zA-Z]")
COLUMNS = 80
SLOW = 10
"""Machines on which tests run are slow and busy: seconds within which something must move where a person's machine takes one."""


class Screen:
    """What a command paints on a pseudo terminal: chunks of text with their times, its exit code and its standard output."""

    def __init__(self, words, *, stop_at=None, stdout=None):
        import fcntl
        import termios

        self.chunks, started = [], time.monotonic()
        self.decoder = codecs.getincrementaldecoder("utf-8")()  # a character may lie across two reads
        master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 24, COLUMNS, 0, 0))
        command = [sys.executable, "-m", "zsdeconv", *map(str, words)]
        process = subprocess.Popen(
            command,
            stdin=slave,
            stdout=stdout or slave,
            stderr=slave,
            env={**os.environ, "TERM": "xterm-256color"},
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # a suite in the background ignores it, and its children too
        )
        os.close(slave)
        while received := self.read(master):
            text = self.decoder.decode(received)
            self.chunks.append((time.monotonic() - started, text))
            if stop_at is not None and stop_at in ESCAPES.sub("", text):
                process.send_signal(signal.SIGINT)
                stop_at = None
        self.code = process.wait()
        os.close(master)

    @staticmethod
    def read(master):
        try:
            return os.read(master, 1 << 16)
        except OSError:  # how Linux says that nobody has the other end any more
            return b""

    @property
    def text(self):
        return ESCAPES.sub("", "".join(text for _, text in self.chunks)).replace("\r\n", "\n").replace("\r", "\n")

    @property
    def last_lines(self):
        """What is left on the screen below the last time that a bar was taken away."""
        return ESCAPES.sub("", "".join(text for _, text in self.chunks).rpartition("\x1b[2K")[2]).replace("\r", "").splitlines()


def test_a_terminal_moves_from_start_to_end(cell, quick, tmp_path):
    screen = Screen(["run", cell, "-o", tmp_path / "out", *quick, "--steps", 30, "--report", "--passes", 2])
    assert screen.code == 0, screen.text
    times = [at for at, _ in screen.chunks]
    assert times[0] < 2 * SLOW, "it paints before the libraries are loaded"
    assert max(b - a for a, b in itertools.pairwise(times)) < SLOW, "it is never still"
    words = [
        "reading",
        "preparing",
        "learning to denoise, step ",
        "learning to deconvolve, step ",
        "measuring the brightness",
        "restoring",
        "checking: residual",
        "drawing the report",
    ]
    places = [screen.text.find(f"cell.tif: {each}") for each in words]
    met = [place for place in places if place >= 0]  # what takes less than the time between two paints is not seen
    assert met == sorted(met) and len(met) >= len(words) / 2, dict(zip(words, places, strict=True))
    steps = [int(step) for step in re.findall(r"denoise, step (\d+) of 16", screen.text)]
    assert steps == sorted(steps)  # 16 steps of a fast machine may fit between two paints
    shares = [int(share) for share in re.findall(r"(\d+) %  \d+:\d\d", screen.text)]
    assert shares == sorted(shares), "it never goes back"
    assert re.search(r"\d+ %  \d+:\d\d, (about [\d.]+ (s|min)|a few seconds) left", screen.text)
    lines = [line for line in screen.text.splitlines() if "━" in line or line.startswith("cell.tif: ")]
    assert all(len(line) <= COLUMNS for line in lines), "no line wraps"
    assert not any("━" in line for line in screen.last_lines), "nothing of the bar stays"


def test_what_goes_to_a_file_is_not_what_goes_to_the_terminal(cell, quick, tmp_path):
    """`zsdeconv run ... > summary.txt` on a terminal: the summary is in the file, whole, and the bar is not."""
    with open(tmp_path / "summary.txt", "wb") as stdout:
        screen = Screen(["run", cell, "-o", tmp_path / "out", *quick], stdout=stdout)
    assert screen.code == 0
    summary = (tmp_path / "summary.txt").read_text()
    assert "wrote" in summary and "━" not in summary and "\x1b" not in summary
    assert "wrote" not in screen.text and "━" in screen.text


def test_an_interrupted_command_leaves_one_clean_line(cell, quick, tmp_path):
    screen = Screen(["run", cell, "-o", tmp_path / "out", *quick, "--steps", 100000], stop_at="learning to denoise, step")
    assert screen.code == 130
    assert [line for line in screen.last_lines if line.strip()] == [
        "interrupted: nothing unfinished was left under a final name; give the same command with --resume to continue"
    ]
    assert "\x1b[?25h" in screen.chunks[-1][1] + screen.chunks[-2][1], "the cursor is back"


def test_a_preview_stands_below_the_bar(cell, quick, tmp_path):
    screen = Screen(["run", cell, "-o", tmp_path / "out", *quick, "--preview"])
    assert screen.code == 0, screen.text
    assert re.search(r"raw +denoised +deconvolved\n▀+ +▀+ +▀+\n", screen.text)
    assert "▀" not in "".join(screen.last_lines)


def test_quiet_shows_nothing_on_a_terminal(cell, quick, tmp_path):
    screen = Screen(["run", cell, "-o", tmp_path / "out", *quick, "--quiet"])
    assert (screen.code, screen.text) == (0, "")


def test_a_log_has_lines_with_the_time_left(zs, cell, quick, tmp_path, monkeypatch):
    monkeypatch.setattr(shown, "lines", lambda watch, write: terminal.lines(watch, write, every_s=0.01))
    ended = zs("run", cell, "-o", tmp_path / "out", *quick)
    assert ended.code == 0
    lines = ended.err.splitlines()
    told = re.compile(r"cell\.tif: \d+ %, learning to de\w+, step \d of \d(, validation [\d.e-]+)?, .* left")
    assert any(told.fullmatch(line) for line in lines), lines
    assert not any("━" in line or "\x1b" in line for line in lines)
    assert zs("run", cell, "-o", tmp_path / "quiet", *quick, "--quiet").err == ""


def test_a_batch_says_which_of_how_many_leads(zs, save, frame, quick, tmp_path, monkeypatch):
    monkeypatch.setattr(shown, "lines", lambda watch, write: terminal.lines(watch, write, every_s=0.01))
    files = [save(f"{name}.tif", frame[:57, :64], 0.1) for name in "ab"]
    ended = zs("run", *files, "-o", tmp_path / "out", *quick)
    assert ended.code == 0
    told = [(lead, int(share)) for lead, share in re.findall(r"^([12] of 2: [ab]\.tif): (\d+) %", ended.err, re.MULTILINE)]
    shares = [share for _, share in told]
    assert shares == sorted(shares), "one share for all: it does not begin again with the second file"
    first, second = (max(share for each, share in told if each == lead) for lead in ("1 of 2: a.tif", "2 of 2: b.tif"))
    assert 0 < first <= second, "both are prepared before the first is trained on"


@pytest.mark.parametrize("verb", ["run", "train"])
def test_a_preview_that_nobody_would_see_is_refused(zs, cell, quick, tmp_path, verb):
    output = tmp_path / ("out" if verb == "run" else "model.zsd")
    assert zs(verb, cell, "-o", output, *quick, "--preview").error == (
        "--preview: it is shown on a terminal, standard error leads to none; leave it out"
    )
    assert "with --quiet nothing is shown" in zs(verb, cell, "-o", output, *quick, "--preview", "--quiet").error
    assert not output.exists()
