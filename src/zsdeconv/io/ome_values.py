"""Values in the words and number types of the OME schema (2016-06), None for those that it cannot hold."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from numbers import Real
from typing import Any

MAX_FLOAT = 3.4e38
"""Largest magnitude of a number. Law: xsd:float has single precision, which ends at 3.403e38."""
MIN_POSITIVE = 1.2e-38
"""Smallest positive number. Law: single precision has all its digits above 1.175e-38, and smaller ones may become zero."""

IMMERSIONS = {
    **{name.lower(): name for name in ("Oil", "Water", "WaterDipping", "Air", "Multi", "Glycerol")},
    **{"dry": "Air", "glycerin": "Glycerol", "glycerine": "Glycerol", "multiimmersion": "Multi"},
}
"""Words of OME for immersions, by letters in lower case."""
MEDIA = {**IMMERSIONS, "waterdipping": "Water", "multi": "Other", "multiimmersion": "Other"}
"""Words of OME for the medium that was in use, by letters in lower case."""
ACQUISITION_MODES = {
    "widefield": "WideField",
    "confocal": "LaserScanningConfocalMicroscopy",
    "twophoton": "MultiPhotonMicroscopy",
    "lightsheet": "SPIM",
}
"""Words of OME for the microscopes of `Optics`."""
MODULO_TYPES = {"P": "phase"}
"""Words of OME for axes that subdivide one of its own."""
MODES_OF_AXES = {"P": "StructuredIllumination"}
"""Words of OME for the way of recording that such an axis comes from."""

_NOT_IN_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""Characters that XML 1.0 does not allow, not even escaped: control characters, halves of surrogate pairs."""
_BREAK = re.compile("[\t\n\r]")
_DATE_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?([+-]((0\d|1[0-3]):[0-5]\d|14:00))?")
"""The form of xsd:dateTime, whose time zones have no seconds and end at 14 hours."""
_FILE_ENDING = re.compile(r"(\.ome)?\.[a-z][a-z0-9]{1,4}$", re.IGNORECASE)


def text(value: Any) -> str | None:
    r"""A text in which characters that XML does not allow are replaced by U+FFFD, tabs and ends of lines by spaces; None for an empty one.

    In attributes these would be character references, which Bio-Formats does not read.

    >>> text("cell\x00 µ"), text(""), text(None)
    ('cell� µ', None, None)
    """
    return None if value is None else _NOT_IN_XML.sub("\ufffd", _BREAK.sub(" ", str(value))) or None


def number(value: Any) -> float | None:
    """A finite number that single precision can hold."""
    known = float(value) if isinstance(value, Real) else math.nan
    return known if abs(known) <= MAX_FLOAT else None


def positive(value: Any) -> float | None:
    """A positive number that single precision can hold.

    >>> positive(1.4), positive(0), positive(float("nan")), positive("1.4")
    (1.4, None, None, None)
    """
    known = number(value)
    return known if known is not None and known >= MIN_POSITIVE else None


def date_time(value: Any) -> str | None:
    """A date with its time, from ISO 8601; a date alone is its midnight.

    >>> date_time("2023-05-04 12:34:56"), date_time("20230504T123456Z"), date_time("yesterday")
    ('2023-05-04T12:34:56', '2023-05-04T12:34:56+00:00', None)
    """
    try:
        moment = datetime.fromisoformat(str(value).strip()).isoformat()
    except ValueError:
        return None
    return moment if _DATE_TIME.fullmatch(moment) else None


def colour(rgb: Any) -> int | None:
    """Red, green and blue (0 to 255) as the signed 32-bit integer RGBA, opaque.

    >>> colour((255, 255, 255)), colour((0, 255, 0)), colour((0, 256, 0))
    (-1, 16711935, None)
    """
    if not isinstance(rgb, Sequence) or len(rgb) != 3 or not all(number(c) is not None and 0 <= c <= 255 and c == int(c) for c in rgb):
        return None
    return int.from_bytes(bytes([*map(int, rgb), 255]), "big", signed=True)


def word(value: Any, words: Mapping[str, str]) -> str | None:
    """The word of OME among `words`, "Other" for words that it does not have.

    >>> word("water-dipping", IMMERSIONS), word("silicone oil", IMMERSIONS), word("", IMMERSIONS)
    ('WaterDipping', 'Other', None)
    """
    letters = re.sub(r"[\W\d_]", "", "" if value is None else str(value)).lower()
    return words.get(letters, "Other") if letters else None


def title(metadata: Mapping[str, Any]) -> str | None:
    """The name of an image: that of the recording, or else of its file, and what the image is.

    >>> title({"name": "cell.ome.tif", "kind": "deconvolved"}), title({"image_name": "Position 3", "name": "cell.nd2"})
    ('cell, deconvolved', 'Position 3')
    """
    recording = text(metadata.get("image_name")) or text(_FILE_ENDING.sub("", str(metadata.get("name") or "")))
    kind = text(metadata.get("kind"))
    if recording and kind and recording.endswith(f", {kind}"):
        return recording
    return ", ".join(filter(None, (recording, kind))) or None
