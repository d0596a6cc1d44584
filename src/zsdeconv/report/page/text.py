"""Words and numbers for readers: names of values, values, and untrusted texts from files."""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Iterator, Mapping
from typing import Any

MAX_TEXT_LENGTH = 600
"""Characters of a text. Chosen: a report is read by people, and metadata can have megabytes."""
MAX_ITEMS = 8
"""Items of a list. Chosen: they fit on a line."""
DIGITS = 4
"""Significant digits of a number. Chosen: no value of a report is known better."""

UNITS = {
    "nm": "nm",
    "um": "µm",
    "um2": "µm²",
    "um3": "µm³",
    "px": "pixels",
    "adu": "ADU",
    "adu_per_e": "ADU per electron",
    "per_um": "1/µm",
    "per_px": "1/pixel",
    "db": "dB",
    "deg": "degrees",
    "rad": "radians",
    "percent": "%",
    "frac": "as a fraction",
    "s": "s",
    "gb": "GB",
    "mb": "MB",
}
_AXES = {"yx": "y, x", "xy": "x, y", "zyx": "z, y, x"}
_ABBREVIATIONS = {"frc", "fsc", "psf", "otf", "psnr", "ssim", "snr", "na", "fwhm", "sd", "rms", "sim", "adu", "ri", "rse", "rsp"}
_SPELLED = {"sigma": "(standard error)", "sigmas": "in standard errors", "frac": "fraction"}
_DIRECTION_MARKS = {*range(0x202A, 0x202F), *range(0x2066, 0x206A), 0x200E, 0x200F, 0x061C}
"""Unicode characters that change the direction of writing and can make one name look like another."""


def label(name: str) -> str:
    """A name with units in words.

    >>> label("frc_nm"), label("yx_spacing_um"), label("slope")
    ('FRC, nm', 'Spacing (y, x), µm', 'Slope')
    """
    words = [word for word in name.split("_") if word]
    unit = ""
    for count in (3, 2, 1):
        if len(words) > count and (known := UNITS.get("_".join(words[-count:]))):
            words, unit = words[:-count], f", {known}"
            break
    axes = ""
    if len(words) > 1 and words[0] in _AXES:
        axes, words = f" ({_AXES[words[0]]})", words[1:]
    text = " ".join(word.upper() if word in _ABBREVIATIONS else _SPELLED.get(word, word) for word in words)
    return text[:1].upper() + text[1:] + axes + unit


def value_text(value: Any, none: str = "not given") -> str:
    """A value as text: four digits, `none` for None, lists and texts of a readable length.

    >>> value_text(0.123456), value_text(None), value_text([1.0, 2.5]), value_text(True), value_text(float("nan"))
    ('0.1235', 'not given', '1, 2.5', 'yes', 'not a number')
    """
    if value is None:
        return none
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return _number(value)
    if isinstance(value, Mapping):
        return ", ".join(f"{printable(key)} {value_text(item)}" for key, item in list(value.items())[:MAX_ITEMS]) or "none"
    if isinstance(value, list | tuple):
        more = f" and {len(value) - MAX_ITEMS} more" if len(value) > MAX_ITEMS else ""
        return ", ".join(value_text(item) for item in value[:MAX_ITEMS]) + more or "none"
    return printable(value)


def printable(text: Any, max_length: int = MAX_TEXT_LENGTH) -> str:
    """A text on one line of at most `max_length` characters; characters that could hide or reverse other text become "�".

    >>> printable(f"a{chr(10)}b{chr(0x202E)}gnp.tif")
    'a b�gnp.tif'
    """
    text = str(text)
    cut = text[:max_length] + " …" if len(text) > max_length else text
    return "".join(map(_printable_character, cut))


def sentence(text: str) -> str:
    """A message as a sentence: a capital first, a full stop last.

    >>> sentence("noise deviates by 2 % from a line"), sentence("Good.")
    ('Noise deviates by 2 % from a line.', 'Good.')
    """
    return text[:1].upper() + text[1:] + ("" if text.endswith((".", "!", "?")) else ".")


def flattened(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """The leaves of nested mappings, with their paths.

    >>> list(flattened({"input": {"axes": None}, "seed": 0}))
    [('input.axes', None), ('seed', 0)]
    """
    for key, value in values.items():
        path = f"{prefix}{key}"
        if isinstance(value, Mapping) and value:
            yield from flattened(value, f"{path}.")
        else:
            yield path, value


def _number(value: float) -> str:
    if math.isnan(value):
        return "not a number"
    return f"{value:.{DIGITS}g}" if math.isfinite(value) else "infinite"


def _printable_character(character: str) -> str:
    if character in "\t\n\r\v\f\x85\u2028\u2029":
        return " "
    forbidden = ord(character) in _DIRECTION_MARKS or unicodedata.category(character) in {"Cc", "Cs"}
    return "\ufffd" if forbidden else character
