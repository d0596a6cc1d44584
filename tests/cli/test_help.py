"""Help pages: plain text of 80 columns, options under headings, an example that parses; and shell completion."""

import shlex
import subprocess
import sys

import pytest

from zsdeconv.cli.app import app, invoke
from zsdeconv.cli.help_page import HELP_FLAGS, WIDTH
from zsdeconv.cli.usage import UsageError, expanded

GROUPS = ("psf", "sim", "simulate")
VERBS = [
    *("run", "train", "predict", "calibrate", "evaluate", "view", "info", "demo"),
    *("psf make", "psf measure", "psf check", "sim estimate", "sim reconstruct"),
    *("simulate 2d", "simulate 3d", "simulate sim2d", "simulate sim3d"),
]


@pytest.mark.parametrize("verb", ["", *GROUPS, *VERBS])
def test_a_page_is_plain_and_fits_a_terminal(zs, verb):
    shown = zs(*verb.split(), "--help")
    assert shown.code == 0 and shown.err == ""
    assert shown.out.startswith(f"Usage: zsdeconv {verb}".rstrip())
    assert max(map(len, shown.out.splitlines())) <= WIDTH
    assert shown.out.isascii() and "\x1b" not in shown.out
    assert zs(*verb.split(), "-h").out == shown.out


@pytest.mark.parametrize("verb", VERBS)
def test_the_example_of_a_verb_is_a_command_line(zs, verb):
    lines = zs(*verb.split(), "--help").out.splitlines()
    words = shlex.split(lines[lines.index("Example:") + 1])
    assert words[0] == "zsdeconv" and " ".join(words[1:]).startswith(f"{verb} ")
    function, bound, _ = app.parse_args(words[1:], exit_on_error=False, print_error=False)
    assert function.__module__.startswith("zsdeconv.cli.") and bound.arguments


def test_the_options_of_a_run_stand_under_headings(zs):
    page = zs("run", "--help").out
    headings = [line for line in page.splitlines() if line.endswith(":") and not line.startswith(" ")]
    assert headings[1:] == [
        *("Arguments:", "Output:", "Input:", "Optics:", "Structured illumination:", "Training:", "Computation:", "Prediction:")
    ]
    assert page.index("Optics:") < page.index("  --na NUMBER") < page.index("Training:") < page.index("  --steps N")
    assert "  --report, --no-report       say" in page and "  --per-frame  " in page
    assert "--psf is the PSF of its" in " ".join(page.split())  # the setting's help names an argument


def test_a_verb_has_the_options_of_the_sections_it_uses(zs):
    pages = {verb: zs(verb, "--help").out for verb in ("run", "train", "predict", "info")}
    assert all("--axes" in page for page in pages.values())
    assert [verb for verb, page in pages.items() if "--na " in page] == ["run", "train", "info"]
    assert [verb for verb, page in pages.items() if "--passes" in page] == ["run", "predict"]
    assert [verb for verb, page in pages.items() if "--no-report" in page] == ["run"]


@pytest.mark.parametrize("verb", VERBS)
def test_no_page_needs_what_takes_time_to_import(verb):
    code = f"""
import sys
from zsdeconv.cli import main
assert main({verb.split()!r} + ["--help"]) == 0
heavy = {{"torch", "scipy", "skimage", "matplotlib", "lightning_fabric", "tifffile", "numpy", "rich"}} & set(sys.modules)
assert not heavy, heavy
"""
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)


def test_help_of_what_is_no_verb(zs):
    assert "'pai'" in zs("pai", "--help").error
    assert "did you mean make?" in zs("psf", "mak", "-h").error
    with pytest.raises(UsageError, match="a verb is missing: `zsdeconv psf` needs one of make, measure, check; see `zsdeconv psf --help`"):
        invoke(["psf"])


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["runn"], "'runn': no such verb, did you mean run?; see `zsdeconv --help`"),
        (["--na", "1.4"], "--na: options come after a verb, `zsdeconv` needs one of run, train, predict, calibrate, psf, sim, simulate,"),
        (["run", "a.tif"], "`zsdeconv run` needs --output DIR, which is missing; see `zsdeconv run --help`"),
        (["run", "-o", "x"], "`zsdeconv run` needs INPUT..., which is missing; see"),
        (["predict", "m.zsd", "-o", "x"], "`zsdeconv predict` needs INPUT..., which is missing; see"),
        (["run", "a.tif", "-o"], "-o: a value is missing after it (DIR); see"),
        (["run", "a.tif", "-o", "x", "--na", "--seed", "3"], "--na: a value is missing after it (NUMBER); see"),
        (["run", "a.tif", "-o", "x", "--nay", "3"], "--nay: `zsdeconv run` has no such option, did you mean --na?; see"),
        (["run", "a.tif", "-o", "x", "--NA", "3"], "--NA: `zsdeconv run` has no such option, did you mean --na?; see"),
        (["run", "a.tif", "-o", "x", "--seed", "2.5"], "--seed 2.5: must be a whole number; see"),
        (["run", "a.tif", "-o", "x", "--scale=1.5"], "--scale=1.5: must be 1 or 2; see"),
        (["run", "a.tif", "-o", "x", "--background", "dark"], "--background dark: must be auto or a number; see"),
        (["run", "a.tif", "-o", "x", "--quiet=3"], "--quiet=3: must be yes or no; give the option alone; see"),
        (["info", "a.tif", "b.tif"], "b.tif: `zsdeconv info` takes no more arguments; see"),
        (["run", "--version"], "--version: `zsdeconv run` has no such option; see"),
    ],
)
def test_a_wrong_command_line_says_what_is_needed(zs, words, sentence):
    assert zs(*words).error.startswith(sentence)


def test_the_last_of_two_equal_options_wins_and_arguments_stand_anywhere(zs, save, frame, tmp_path):
    cell, other = save("cell.tif", frame), save("other.tif", frame)
    words = ("run", "-o", tmp_path / "out", cell, "--na", 2.0, "--wavelength-nm", 525, other, "--na", 1.1, "--dry-run", "--json")
    shown = zs(*words).json
    assert len(shown["results"]) == 2 and shown["config"]["optics"]["na"] == 1.1


def test_wildcards_are_expanded_where_the_shell_does_not(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("b 1.tif", "a 1.tif", "c[1].tif", "d.png"):
        (tmp_path / name).touch()
    words = ["run", "?*1.tif", "c[1]*.tif", "*.czi", "plain.tif", "--order=*"]
    assert expanded(words, "linux") == words
    assert expanded(words, "win32") == ["run", "a 1.tif", "b 1.tif", "c[1].tif", "*.czi", "plain.tif", "--order=*"]


@pytest.fixture
def home(tmp_path, monkeypatch):
    for name in ("HOME", "USERPROFILE"):
        monkeypatch.setenv(name, str(tmp_path))
    for name in ("ZSH", "ZSH_CUSTOM"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_is_installed_for_a_shell(zs, home, shell):
    shown = zs("--install-completion", "--shell", shell)
    assert shown.code == 0 and shown.out.endswith(": open a new shell to use it\n")
    (script,) = [path for path in home.rglob("*zsdeconv*") if path.is_file()]
    content = script.read_text()
    assert all(word in content for word in ("run", "simulate", "sim3d", "destripe", "vectorial"))
    if shell == "bash":
        (valued,) = [line for line in content.splitlines() if "options_with_values=" in line]
        assert " --na " in valued and " --per-frame " not in valued  # a flag takes no value


def test_completion_for_a_shell_that_is_not_known(zs, home, monkeypatch):
    from cyclopts.completion.detect import ShellDetectionError

    def unknown(*arguments, **options):
        raise ShellDetectionError

    monkeypatch.setattr("zsdeconv.cli.completion.app.__class__.install_completion", unknown)
    assert "give --shell" in zs("--install-completion").error
    assert HELP_FLAGS == ("--help", "-h")
