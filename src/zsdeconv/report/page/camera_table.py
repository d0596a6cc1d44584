"""One table of the camera: what the restoration used, what this image says of it, and where each value came from."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from zsdeconv.report.page.text import value_text
from zsdeconv.report.section import Section

DETECTORS = {"camera": "camera", "emccd": "electron multiplier", "counting": "photon counter"}
"""Kinds of detector in words."""


class Constant(NamedTuple):
    """A row: a quantity, its value in the restoration, its value measured anew on the image, and the origin of the former."""

    name: str
    used: str
    again: str
    origin: str


_ROWS = (
    ("Offset, ADU", "offset_adu", "offset_sigma"),
    ("Gain, ADU per electron", "gain_adu_per_e", "gain_sigma"),
    ("Read noise, ADU", "read_noise_adu", "read_noise_sigma"),
    ("Noise correlation of neighbours", "noise_correlation", "noise_correlation_sigma"),
)


def camera_table(summary: Mapping[str, Any], sections: Sequence[Section]) -> list[Constant]:
    """The constants of the camera, from a summary of `zsdeconv.prepare` and from the check of the camera; nothing without either.

    >>> calibration = {"detector": "camera", "offset_adu": 100.0, "offset_sigma": 0.5, "gain_adu_per_e": 2.0}
    >>> rows = camera_table({"calibration": calibration, "sources": {"camera": "image", "detector": "given"}}, [])
    >>> rows[0][:2], rows[1][:2], rows[1].origin
    (('Detector', 'camera'), ('Offset, ADU', '100.00 ± 0.50'), 'measured on the image')
    """
    used = {**_mapping(summary.get("camera")), **_mapping(summary.get("calibration"))}
    checked = next((section for section in sections if section.key == "camera"), None)
    again = _mapping(checked.numbers.get("calibration")) if checked else {}
    if not used and not again:
        return []
    sources = _mapping(summary.get("sources"))
    measured = value_text(sources.get("camera"), "not stated")
    origin = "measured on the image" if measured == "image" else measured
    used_kind, found_kind = (DETECTORS.get(str(part.get("detector")), value_text(part.get("detector"), "")) for part in (used, again))
    rows = [Constant("Detector", used_kind, found_kind, value_text(sources.get("detector"), "not stated"))]
    # The offset is not measured anew: that of the training is kept.
    rows += [Constant(name, _known(used, *keys), "" if keys[0] == "offset_adu" else _known(again, *keys), origin) for name, *keys in _ROWS]
    return [row for row in rows if row.used or row.again]


def _known(values: Mapping[str, Any], key: str, error: str) -> str:
    """A value with its standard error, which is left out where it is 0 or unknown."""
    value, sigma = values.get(key), values.get(error)
    if value is None:
        return ""
    if not isinstance(value, int | float):
        return value_text(value)
    if not isinstance(sigma, int | float) or not 0 < sigma < math.inf:
        return value_text(value)
    digits = max(0, 1 - math.floor(math.log10(sigma)))
    return f"{value:.{digits}f} ± {sigma:.{digits}f}".replace("-", "−")


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}
