"""The command line: parse, call, print. No science here, and nothing heavy is imported before a verb runs."""

from zsdeconv.cli.app import main

__all__ = ["main"]
