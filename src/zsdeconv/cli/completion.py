"""`--install-completion`: verbs and options are completed by the shell."""

from __future__ import annotations

from typing import Annotated, Literal

from zsdeconv.cli.app import app
from zsdeconv.cli.console import show
from zsdeconv.cli.options import option
from zsdeconv.errors import ConfigError


def install(
    *,
    shell: Annotated[
        Literal["bash", "zsh", "fish", "powershell"] | None,
        option("bash, zsh, fish or powershell [default: the one in use]", metavar="SHELL", group="Options"),
    ] = None,
) -> None:
    """Write a completion script for your shell and have the shell load it when it starts.

    Example: zsdeconv --install-completion --shell bash
    """
    from cyclopts.completion.detect import ShellDetectionError

    try:
        path = app.install_completion(shell=shell)
    except ShellDetectionError:
        raise ConfigError("shell unknown: completion is there for bash, zsh, fish and powershell; give --shell") from None
    show(f"{path}: open a new shell to use it")
