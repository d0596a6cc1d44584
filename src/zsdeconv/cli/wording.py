"""From the names of arguments, in which the library speaks, to the options that people type.

An argument stands in backticks in a message: `` `na` ``, with a value `` `scale=2` ``, by its place in the configuration
`` `training.steps` ``. Names with an underscore, such as pixel_um, are recognised without them, and plain words such as psf where advice
is given. Messages that speak of options stay
as they are.
"""

from __future__ import annotations

import re
from functools import cache

NOT_SETTINGS = ("as", "camera_from", "config", "dark", "flat", "model", "overwrite", "plot", "raw", "resolution_um", "resume")
"""Options of some verb that are arguments in the library and no settings."""

_MARKED = re.compile(r"`([a-z][a-z0-9_.]*)(?:=([^`]+))?`")
_SHORT = ("na", "psf", "otf", "scale", "axes", "background", "microscope", "pairs", "preset", "modality", "device", "seed")
_SHORT += (
    "camera",
    "phases",
    "directions",
    "order",
    "wiener",
    "destripe",
    "steps",
    "minutes",
    "passes",
    "pupil",
    "overwrite",
    "size",
    "planes",
    "frames",
)
_ADVISED = re.compile(
    r"(?<=\b)(give|check|correct|leave out|another|smaller|larger|with|as|and|or|too|out) (" + "|".join(_SHORT) + r")(?![\w`-])"
)
"""Arguments of one plain word, which are recognised where advice is given: after the last semicolon or colon of a message."""
_BARE = re.compile(r"(?<![\w.`'\"/\\-])[a-z][a-z0-9]*(?:_[a-z0-9]+)+(?![\w`'\"/\\=(-]|\.\w)")


def flag_of(name: str) -> str:
    """The option of an argument.

    >>> flag_of("pixel_um")
    '--pixel-um'
    """
    return f"--{name.replace('_', '-')}"


def with_options(message: str) -> str:
    """A message with the options in place of the arguments it names.

    >>> with_options("the PSF depends on `na`; give pixel_um, `scale=2`, or `training.steps`")
    'the PSF depends on --na; give --pixel-um, --scale 2, or --steps'
    >>> with_options("depth 3 um in a sample of unknown index; give sample_ri too, or psf")
    'depth 3 um in a sample of unknown index; give --sample-ri too, or --psf'
    """
    head, mark, advice = _split(_BARE.sub(_bare, _MARKED.sub(_marked, message)))
    return head + mark + _ADVISED.sub(lambda match: f"{match[1]} {flag_of(match[2])}", advice)


def _split(message: str) -> tuple[str, str, str]:
    """What precedes the advice of a message, the mark between them, and the advice."""
    return message.rpartition(";") if ";" in message else message.rpartition(":")


def _marked(match: re.Match[str]) -> str:
    name, value = _names().get(match[1]), match[2]
    if name is None:
        return match[0]
    if value in ("True", "False"):
        return flag_of(name if value == "True" else f"no_{name}")
    return flag_of(name) if value is None else f"{flag_of(name)} {value.strip(chr(39) + chr(34))}"


def _bare(match: re.Match[str]) -> str:
    name = _names().get(match[0])
    return match[0] if name is None else flag_of(name)


@cache
def _names() -> dict[str, str]:
    """The flat name of every argument that has an option, by that name and by its key in the configuration."""
    from zsdeconv.cli.scene_options import SCENE_OPTIONS
    from zsdeconv.config import SETTINGS

    flat = (*SETTINGS, *SCENE_OPTIONS, *NOT_SETTINGS)
    return {key: name for name, key in SETTINGS.items()} | {name: name for name in flat}
