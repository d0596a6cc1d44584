"""The command line as a process: speed, exit codes, one line for what the user can mend."""

import errno
import os
import subprocess
import sys
import warnings

import pytest
from pydantic import BaseModel, PositiveInt

from zsdeconv.cli import outcome
from zsdeconv.errors import DataWarning, ImageError

VERBS = ["run", "train", "predict", "calibrate", "psf", "sim", "simulate", "evaluate", "info", "demo"]


def process(*words):
    return subprocess.run([sys.executable, "-m", "zsdeconv", *words], capture_output=True, text=True, check=False)


@pytest.mark.parametrize("words", [("--help",), ("run", "--help")])
def test_help_is_quick(words):
    """In processor time, against that of importing what the command line is made of, for machines differ. Twice as much is measured alone,
    up to 2.7 times on two cores whose caches other work fills; four times is half a second on a desktop.
    """
    resource = pytest.importorskip("resource")

    def timed(*command):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        assert subprocess.run(command, capture_output=True, check=False).returncode == 0
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime

    least = min(timed(sys.executable, "-c", "import cyclopts, pydantic, pydantic.types") for _ in range(3))
    assert min(timed(sys.executable, "-m", "zsdeconv", *words) for _ in range(3)) < 4 * least


def test_nothing_heavy_is_imported_to_parse_and_to_help():
    code = """
import sys
from zsdeconv.cli import main
assert main(["--help"]) == 0
assert main(["run", "--help"]) == 0
heavy = {"torch", "scipy", "skimage", "matplotlib", "lightning_fabric"} & set(sys.modules)
assert not heavy, heavy
"""
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)


def test_help_lists_the_verbs_and_an_empty_line_helps(zs):
    listed = zs("--help").out
    assert [verb for verb in VERBS if f"  {verb} " in listed] == VERBS
    assert zs().out == listed


@pytest.mark.parametrize("verb", [*VERBS, "psf make", "psf check", "simulate 2d"])
def test_every_verb_explains_itself(zs, verb):
    shown = zs(*verb.split(), "--help")
    assert shown.code == 0
    assert f"Usage: zsdeconv {verb} " in shown.out
    assert shown.err == ""


def test_version(zs):
    assert zs("--version").out.startswith("zsdeconv 0.")


@pytest.mark.parametrize(
    ("words", "word"),
    [
        (["paint"], "'paint'"),
        (["psf"], "zsdeconv psf --help"),
        (["simulate", "4d"], "'4d'"),
        (["simulate", "2d"], "--output"),
        (["simulate", "2d", "-o", "x", "--photons", "many"], "--photons many"),
        (["simulate", "2d", "-o", "x", "--photons=many"], "--photons=many"),
        (["info"], "FILE"),
        (["info", "a.tif", "--colour"], "--colour"),
    ],
)
def test_misuse_is_one_line_with_the_help_page(zs, words, word):
    error = zs(*words).error
    assert word in error
    assert "--help`" in error


def test_process_exit_codes(tmp_path):
    missing = process("info", str(tmp_path / "none.tif"))
    assert (missing.returncode, missing.stdout) == (2, "")
    assert missing.stderr.startswith("error: ") and missing.stderr.count("\n") == 1
    assert process("--version").returncode == 0


def test_output_into_a_closed_pipe_is_no_fault():
    read_end, write_end = os.pipe()
    os.close(read_end)
    done = subprocess.run([sys.executable, "-m", "zsdeconv", "--help"], stdout=write_end, stderr=subprocess.PIPE, check=False)
    os.close(write_end)
    assert (done.returncode, done.stderr) == (0, b"")


def raising(fault):
    def action(*arguments):
        raise fault

    return action


def test_a_fault_of_ours_shows_where_and_asks_for_a_report(capsys):
    assert outcome.exit_code_of(raising(ZeroDivisionError("odd")), ["run"]) == 1
    shown = capsys.readouterr().err
    assert "Traceback" in shown and "ZeroDivisionError: odd" in shown and "please report" in shown


def test_interruption_inside_a_verb(zs, tmp_path, monkeypatch):
    monkeypatch.setattr("zsdeconv.simulation.widefield.simulate_2d", raising(KeyboardInterrupt()))
    ended = zs("simulate", "2d", "-o", tmp_path)
    assert ended.code == 130
    assert ended.err.startswith("interrupted: ")


def test_interruption_says_how_to_continue(capsys):
    assert outcome.exit_code_of(raising(KeyboardInterrupt()), ["run"]) == 130
    assert "--resume" in capsys.readouterr().err
    assert outcome.exit_code_of(raising(KeyboardInterrupt()), ["evaluate"]) == 130
    assert "--resume" not in capsys.readouterr().err


@pytest.mark.parametrize(("number", "word"), [(errno.ENOSPC, "disk full"), (errno.EACCES, "permissions"), (errno.EROFS, "permissions")])
def test_the_system_refuses(capsys, number, word):
    assert outcome.exit_code_of(raising(OSError(number, "as the system says", "/data/out.tif")), ["run"]) == 2
    shown = capsys.readouterr().err
    assert word in shown and "/data/out.tif" in shown and shown.count("\n") == 1


def test_an_unexpected_error_of_the_system_is_ours(capsys):
    assert outcome.exit_code_of(raising(OSError(errno.ENOENT, "no such file", "inner")), ["run"]) == 1
    assert "please report" in capsys.readouterr().err


def test_out_of_memory_can_be_mended(capsys):
    assert outcome.exit_code_of(raising(MemoryError("Unable to allocate 80 GiB")), ["predict"]) == 2
    assert "--tile" in capsys.readouterr().err


def test_messages_over_several_lines_become_one(capsys):
    outcome.exit_code_of(raising(ImageError("a\n  b")), ["run"])
    assert capsys.readouterr().err == "error: a b\n"


def test_settings_of_a_wrong_type_are_one_line(capsys):
    class Budget(BaseModel):
        steps: PositiveInt
        batch: PositiveInt

    assert outcome.exit_code_of(lambda: Budget(steps=-3, batch=0), ["run"]) == 2
    shown = capsys.readouterr().err
    assert shown.count("\n") == 1
    assert "steps = -3" in shown and "and 1 more" in shown and "--config" in shown


def test_warnings_are_lines_said_once(capsys):
    def warned():
        for _ in range(2):
            warnings.warn("10 % saturated", DataWarning, stacklevel=1)
        warnings.warn("pixel too coarse", DataWarning, stacklevel=1)

    assert outcome.exit_code_of(warned, ["run"]) == 0
    assert capsys.readouterr().err == "warning: 10 % saturated\nwarning: pixel too coarse\n"


def test_warnings_of_libraries_are_not_for_users(capsys, monkeypatch):
    shown = []
    monkeypatch.setattr(warnings, "showwarning", lambda message, *rest: shown.append(str(message)))

    def warned():
        warnings.simplefilter("always")
        warnings.warn("internal affairs", UserWarning, stacklevel=1)

    monkeypatch.setattr(sys, "warnoptions", [])
    outcome.exit_code_of(warned, ["run"])
    assert shown == []
    monkeypatch.setattr(sys, "warnoptions", ["default"])
    outcome.exit_code_of(warned, ["run"])
    assert shown == ["internal affairs"]
    assert capsys.readouterr().err == ""
