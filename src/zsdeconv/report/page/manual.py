"""What each finding of the report means, in a sentence for a biologist, and where the manual has it (`docs/report.md`).

The table is `manual.toml`. `tests/report/test_manual.py` holds the manual to it: a heading for each title, with the same sentence below.
"""

from __future__ import annotations

import re
import tomllib
from functools import cache
from importlib import resources
from typing import NamedTuple

_NETWORK = re.compile(r" \d+$")


class Entry(NamedTuple):
    """Title of a finding, which is its heading in the manual, and its meaning."""

    title: str
    meaning: str

    @property
    def anchor(self) -> str:
        """Place in the manual.

        >>> Entry("Width of the PSF", "").anchor
        'report.md#width-of-the-psf'
        """
        return f"report.md#{self.title.lower().replace(' ', '-')}"


@cache
def manual() -> dict[str, dict[str, Entry]]:
    """The entries by check and finding."""
    table = tomllib.loads(resources.files("zsdeconv.report").joinpath("page", "manual.toml").read_text(encoding="utf-8"))
    return {check: {name: Entry(**entry) for name, entry in entries.items()} for check, entries in table.items()}


def entry_of(check: str, finding: str) -> Entry | None:
    """The entry of a finding; None where there is none: for a check that could not be run, or for somebody else's.

    An ensemble adds the number of the network to the names of findings on its training.

    >>> entry_of("psf", "width").title, entry_of("training", "training_denoise 2").title, entry_of("psf", "colour")
    ('Width of the PSF', 'Learning to denoise', None)
    """
    return manual().get(check, {}).get(_NETWORK.sub("", finding))
