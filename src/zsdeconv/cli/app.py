"""The verbs of `zsdeconv`."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Annotated

import typer

from zsdeconv.cli import evaluate, info, measure, optics, restore, sim, simulate
from zsdeconv.cli.outcome import exit_code_of

app = typer.Typer(
    name="zsdeconv",
    help="Denoise and super-resolve a fluorescence micrograph with a network trained on nothing but that micrograph.",
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _version(wanted: bool) -> None:
    if wanted:
        from zsdeconv._version import __version__

        typer.echo(f"zsdeconv {__version__}")
        raise typer.Exit


@app.callback()
def _verbs(version: Annotated[bool, typer.Option("--version", callback=_version, is_eager=True, help="print the version")] = False) -> None:
    """Denoise and super-resolve a fluorescence micrograph with a network trained on nothing but that micrograph."""


app.command(name="run")(restore.run)
app.command(name="train")(restore.train)
app.command(name="predict")(restore.predict)
app.command(name="calibrate")(measure.calibrate)
app.add_typer(optics.psf, name="psf")
app.add_typer(sim.sim, name="sim")
app.add_typer(simulate.simulate, name="simulate")
app.command(name="evaluate")(evaluate.evaluate)
app.command(name="info")(info.info)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line on `arguments` (those of the process when None) and return the exit code."""
    words = list(sys.argv[1:] if arguments is None else arguments) or ["--help"]
    return exit_code_of(lambda: _invoke(words), words)


def _invoke(words: list[str]) -> int:
    """Parse and call. Not through typer's own `main`, which would turn interruptions and closed pipes into exit codes of its own."""
    command = typer.main.get_command(app)
    try:
        with command.make_context("zsdeconv", words) as context:
            command.invoke(context)
    except typer.Exit as ended:
        return ended.exit_code
    return 0
