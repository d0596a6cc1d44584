"""Lengths in image files, in micrometres, and which of them are plausible pixel sizes of a microscope."""

from __future__ import annotations

import math
import warnings
from collections.abc import Collection, Mapping

from zsdeconv.errors import DataWarning

MIN_PIXEL_UM = 0.001
"""Smallest plausible pixel. Chosen: 1 nm, finer than any optical pixel."""
MAX_PIXEL_UM = 1000.0
"""Largest plausible pixel. Chosen: 1 mm, coarser than the pixel of any microscope."""

_UM_PER_UNIT = {
    **dict.fromkeys(("m", "meter", "metre"), 1e6),
    **dict.fromkeys(("inch", "in"), 25400.0),
    **dict.fromkeys(("cm", "centimeter", "centimetre"), 1e4),
    **dict.fromkeys(("mm", "millimeter", "millimetre"), 1e3),
    **dict.fromkeys(("µm", "um", "u", "micron", "micrometer", "micrometre"), 1.0),
    **dict.fromkeys(("nm", "nanometer", "nanometre"), 1e-3),
    **dict.fromkeys(("å", "a", "angstrom"), 1e-4),
    **dict.fromkeys(("pm", "picometer", "picometre"), 1e-6),
}
"""Law: micrometres per unit, by the spellings in OME-TIFF, ImageJ, STK and LSM files."""


def um_per(unit: str | None) -> float | None:
    r"""Micrometres per `unit` in the spelling of a file; None for names that are no physical length ("pixel", "").

    Both micro signs (U+00B5, U+03BC), ImageJ's escape `\u00B5m`, plurals and capitals are understood.

    >>> um_per("nm"), um_per("microns"), um_per("\\u00B5m"), um_per("pixel")
    (0.001, 1.0, 1.0, None)
    """
    if unit is None:
        return None
    name = unit.strip().replace("\\u00B5", "µ").replace("\\u00b5", "µ").replace("\u03bc", "µ").replace("\u212b", "å").lower()
    return _UM_PER_UNIT.get(name, _UM_PER_UNIT.get(name.removesuffix("s")))


def is_pixel_size(um: float) -> bool:
    """Whether a length is a plausible pixel size of a microscope: 1 nm to 1 mm.

    >>> is_pixel_size(0.065), is_pixel_size(0.0), is_pixel_size(float("nan"))
    (True, False, False)
    """
    return math.isfinite(um) and MIN_PIXEL_UM <= um <= MAX_PIXEL_UM


def plausible(sizes_um: Mapping[str, float], name: str, placeholder: float | None = 1.0) -> dict[str, float]:
    """The plausible pixel sizes (um per axis) among those of a file; the others are left out with a warning (`DataWarning`).

    Y and X are kept or left out together. `placeholder` (um along both) marks an uncalibrated image and is left out too; None: the
    format has no such value.

    >>> plausible({"Z": 0.3, "Y": 0.065, "X": 0.065}, "cell.tif")
    {'Z': 0.3, 'Y': 0.065, 'X': 0.065}
    """
    kept = dict(sizes_um)
    lateral = [sizes_um[a] for a in "YX" if a in sizes_um]
    limits = f"it must lie between {MIN_PIXEL_UM:g} and {MAX_PIXEL_UM:g} um"
    if lateral and not all(map(is_pixel_size, lateral)):
        implausible = next(um for um in lateral if not is_pixel_size(um))
        _warn(f"{name}: the file's pixel size of {implausible:g} um is ignored, {limits}; give pixel_um")
        kept = _without(kept, "YX")
    elif lateral and placeholder is not None and all(um == placeholder for um in lateral):
        _warn(f"{name}: the file's pixel size of exactly {placeholder:g} um is ignored, it marks an uncalibrated image; give pixel_um")
        kept = _without(kept, "YX")
    if "Z" in sizes_um and not is_pixel_size(sizes_um["Z"]):
        _warn(f"{name}: the file's z step of {sizes_um['Z']:g} um is ignored, {limits}; give z_um")
        kept = _without(kept, "Z")
    return kept


def _without(sizes_um: Mapping[str, float], axes: Collection[str]) -> dict[str, float]:
    return {axis: um for axis, um in sizes_um.items() if axis not in axes}


def _warn(message: str) -> None:
    warnings.warn(message, DataWarning, stacklevel=2)
