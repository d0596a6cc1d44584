"""The verbs of `zsdeconv`, and how a command line becomes a call of one of them."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from cyclopts import App

from zsdeconv.cli.console import open_closed_streams, show
from zsdeconv.cli.help_page import help_page, is_asked_for
from zsdeconv.cli.outcome import exit_code_of
from zsdeconv.cli.usage import UsageError, expanded, verbs_of

VERBS = {
    "run": ("restore:run", "Train on the input itself, then restore it: the main job."),
    "train": ("restore:train", "Train one model on one or several images of the same kind."),
    "predict": ("predict:predict", "Restore images with a model."),
    "calibrate": ("measure:calibrate", "Measure offset, gain and read noise of a camera."),
    "psf": ("psf_verbs:psf", "Make a point spread function from theory, measure it on beads, or check one."),
    "sim": ("sim_verbs:sim", "Structured illumination: estimate the pattern, reconstruct the image."),
    "simulate": ("simulate_verbs:simulate", "Simulate a noisy image, or raw frames, together with the truth."),
    "deskew": ("deskew:deskew", "Bring a stack of a stage that moves at an angle to the sheet into its upright form."),
    "evaluate": ("evaluate:evaluate", "Score an image, or say how far to trust it."),
    "view": ("view:view", "Look at a result in the browser: raw, denoised, deconvolved."),
    "info": ("info:info", "Show what a file says about itself, and what is missing."),
    "demo": ("demo:demo", "Simulate, restore, score and draw an image, in a few minutes."),
    "--install-completion": ("completion:install", "Have your shell complete verbs and options."),
}
"""Where each verb is, and what it does. Its module is imported when it is called, so that other verbs need not wait for it."""

app = App(
    name="zsdeconv",
    help="Denoise and super-resolve a fluorescence micrograph with a network trained on nothing but that micrograph.\n\n"
    "Example: zsdeconv run cell.tif -o restored --na 1.4 --wavelength-nm 525",
    version_flags=[],
)
for _verb, (_place, _summary) in VERBS.items():
    app.command(f"zsdeconv.cli.{_place}", name=_verb, help=_summary)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line on `arguments` (those of the process when None) and return the exit code."""
    open_closed_streams()
    words = list(sys.argv[1:] if arguments is None else arguments) or ["--help"]
    return exit_code_of(lambda: invoke(words), words)


def invoke(words: Sequence[str]) -> object:
    """Parse and call. Not by calling `app`, which prints errors in boxes and turns interruptions into exit codes of its own."""
    if list(words) == ["--version"]:
        from zsdeconv._version import __version__

        return show(f"zsdeconv {__version__}")
    if is_asked_for(words):
        return show(help_page(app, words, {name: summary for name, (_, summary) in VERBS.items()}))
    words = expanded(words, sys.platform)
    verb, bound, _ = app.parse_args(words, exit_on_error=False, print_error=False)
    if verb.__name__ == "help_print":
        _, apps, _ = app.parse_commands(words)
        raise UsageError("", " ".join(["zsdeconv", *words]), verbs_of(apps[-1]))
    return verb(*bound.args, **bound.kwargs)
