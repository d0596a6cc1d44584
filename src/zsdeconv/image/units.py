"""Lengths and times in image files, in micrometres and seconds; plausible pixel sizes; the wavelength that a band of emission says."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any

MIN_PIXEL_UM = 0.001
"""Smallest plausible pixel. Chosen: 1 nm, finer than any optical pixel."""
MAX_PIXEL_UM = 1000.0
"""Largest plausible pixel. Chosen: 1 mm, coarser than the pixel of any microscope."""
MAX_BAND_NM = 150.0
"""Widest band of emission that says a wavelength. Chosen: the light of a dye may lie anywhere in a wider one, 15 % beside its middle."""
MIN_LIGHT_NM, MAX_LIGHT_NM = 300.0, 1300.0
"""Shortest and longest wavelength of a band. Chosen: what the lenses and the detectors of a fluorescence microscope pass."""

_PREFIXES = {
    **{"y": 1e-24, "z": 1e-21, "a": 1e-18, "f": 1e-15, "p": 1e-12, "n": 1e-9, "µ": 1e-6, "u": 1e-6, "m": 1e-3, "c": 1e-2, "d": 1e-1},
    **{"": 1.0, "da": 1e1, "h": 1e2, "k": 1e3},
}
"""Law: prefixes of the SI, by their symbols; the capital ones are of lengths that no image has."""
_PREFIX_NAMES = {"pico": "p", "nano": "n", "micro": "µ", "milli": "m", "centi": "c", "deci": "d", "kilo": "k", "femto": "f"}
_METRE_NAMES = ("meter", "metre")
_OTHER_LENGTHS_UM = {
    **dict.fromkeys(("inch", "inches", "in", '"'), 25400.0),
    **dict.fromkeys(("u", "µ", "micron", "microns"), 1.0),
    **dict.fromkeys(("å", "angstrom", "angstroms", "ångström"), 1e-4),
    **{"thou": 25.4, "mil": 25.4, "li": 25400.0 / 12, "pt": 25400.0 / 72, "ft": 304800.0, "yd": 914400.0, "mi": 1609344000.0},
}
"""Law: micrometres per unit for those that are no metre with a prefix, among them those of the OME schema (2016-06)."""
_OTHER_TIMES_S = {
    **dict.fromkeys(("sec", "secs", "second", "seconds"), 1.0),
    **dict.fromkeys(("msec", "millisecond", "milliseconds"), 1e-3),
    **dict.fromkeys(("min", "mins", "minute", "minutes"), 60.0),
    **dict.fromkeys(("h", "hr", "hour", "hours"), 3600.0),
    **dict.fromkeys(("d", "day", "days"), 86400.0),
}
"""Law: seconds per unit for those that are no second with a prefix."""
_ESCAPE = re.compile(r"\\u([0-9a-fA-F]{4})")


def um_per(unit: str | None) -> float | None:
    r"""Micrometres per `unit` in the spelling of a file; None for names that are no physical length ("pixel", "").

    Both micro signs (U+00B5, U+03BC), escapes such as `\u00B5m`, plurals and capitals are understood.

    >>> um_per("nm"), um_per("microns"), um_per("\\u03BCm"), um_per("dm"), um_per("pixel")
    (0.001, 1.0, 1.0, 100000.0, None)
    """
    name = _spelling(unit)
    if not name:
        return None
    known = _OTHER_LENGTHS_UM.get(name, _OTHER_LENGTHS_UM.get(name.lower()))
    factor = known / 1e6 if known is not None else _metres_per(name)
    return None if factor is None else float(f"{1e6 * factor:.12g}")


def s_per(unit: str | None) -> float | None:
    """Seconds per `unit` in the spelling of a file; None for names that are no time.

    >>> s_per("ms"), s_per("min"), s_per("frames")
    (0.001, 60.0, None)
    """
    name = _spelling(unit)
    if name.lower() in _OTHER_TIMES_S:
        return _OTHER_TIMES_S[name.lower()]
    return _PREFIXES.get(name[:-1]) if name.endswith("s") else None


def is_pixel_size(um: float) -> bool:
    """Whether a length is a plausible pixel size of a microscope: 1 nm to 1 mm.

    >>> is_pixel_size(0.065), is_pixel_size(0.0), is_pixel_size(float("nan"))
    (True, False, False)
    """
    return math.isfinite(um) and MIN_PIXEL_UM <= um <= MAX_PIXEL_UM


def pixel_size_limits() -> str:
    """The limits of a pixel size, for messages."""
    return f"it must lie between {MIN_PIXEL_UM:g} and {MAX_PIXEL_UM:g} um"


def length_um(attributes: Mapping[str, Any], name: str, default_unit: str = "µm") -> float | None:
    """A length among the attributes of an OME element, in um: `name` in the unit `nameUnit`; None when missing or of no known unit.

    A unit that is empty is the default one of the schema.

    >>> length_um({"PhysicalSizeX": "65", "PhysicalSizeXUnit": "nm"}, "PhysicalSizeX")
    0.065
    """
    value = attributes.get(name)
    if value is None:
        return None
    um = um_per(str(attributes.get(f"{name}Unit") or "").strip() or default_unit)
    try:
        return None if um is None else float(f"{float(value) * um:.12g}")
    except (TypeError, ValueError):
        return math.nan


def time_s(attributes: Mapping[str, Any], name: str) -> float | None:
    """A time among the attributes of an OME element, in seconds, as `length_um`."""
    value = attributes.get(name)
    seconds = s_per(str(attributes.get(f"{name}Unit") or "").strip() or "s")
    try:
        return None if value is None or seconds is None else float(value) * seconds
    except (TypeError, ValueError):
        return None


def middle_of_band(start_nm: float | None, end_nm: float | None) -> float | None:
    """The middle of a band of emission in nm, for which a PSF is computed, to a tenth.

    None for a band that is missing, empty, wider than `MAX_BAND_NM`, or of no light that a microscope passes.

    >>> middle_of_band(493.0, 541.04), middle_of_band(415, 735), middle_of_band(-1e9, -1e9)
    (517.0, None, None)
    """
    if start_nm is None or end_nm is None or not MIN_LIGHT_NM <= start_nm < end_nm <= MAX_LIGHT_NM:
        return None
    return round((start_nm + end_nm) / 2, 1) if end_nm - start_nm <= MAX_BAND_NM else None


def _spelling(unit: str | None) -> str:
    """A unit with its escapes resolved, one micro sign and no spaces around."""
    text = _ESCAPE.sub(lambda match: chr(int(match[1], 16)), unit or "").strip()
    return text.replace("\u03bc", "µ").replace("\u212b", "å").replace("Å", "å").replace("Âµ", "µ")


def _metres_per(name: str) -> float | None:
    lower = name.lower()
    plain = lower.removesuffix("s")
    for metre in _METRE_NAMES:
        if plain.endswith(metre):
            prefix = plain.removesuffix(metre)
            return _PREFIXES.get(_PREFIX_NAMES.get(prefix, prefix or ""))
    if not lower.endswith("m"):
        return None
    prefix = name[:-1]
    return _PREFIXES.get(prefix, _PREFIXES.get(prefix.lower()))
