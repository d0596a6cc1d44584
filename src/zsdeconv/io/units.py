"""Lengths met in image files, in micrometres; and which of them can be a microscope's pixel size."""

from __future__ import annotations

import math
import warnings
from collections.abc import Collection, Mapping

from zsdeconv.errors import DataWarning

SMALLEST_UM = 0.001
"""Chosen: 1 nm, finer than any optical pixel."""
LARGEST_UM = 1000.0
"""Chosen: 1 mm, coarser than the pixel of any microscope."""

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


def um_per(unit: str | None) -> float | None:
    r"""Micrometres per `unit` as files spell it, None when the name is no physical length ("pixel", "").

    Both micro signs (U+00B5, U+03BC), ImageJ's escape `\u00B5m`, plurals and capitals are understood.

    >>> um_per("nm"), um_per("microns"), um_per("\\u00B5m"), um_per("pixel")
    (0.001, 1.0, 1.0, None)
    """
    if unit is None:
        return None
    name = unit.strip().replace("\\u00B5", "µ").replace("\\u00b5", "µ").replace("\u03bc", "µ").replace("\u212b", "å").lower()
    return _UM_PER_UNIT.get(name, _UM_PER_UNIT.get(name.removesuffix("s")))


def is_pixel_size(um: float) -> bool:
    """Whether a length can be a microscope's pixel size: 1 nm to 1 mm.

    >>> is_pixel_size(0.065), is_pixel_size(0.0), is_pixel_size(float("nan"))
    (True, False, False)
    """
    return math.isfinite(um) and SMALLEST_UM <= um <= LARGEST_UM


def believable(claims: Mapping[str, float], name: str, placeholder: float | None = 1.0) -> dict[str, float]:
    """The pixel sizes (um per axis) of a file that can be true; the others are warned about (`DataWarning`) and left out.

    Y and X stand or fall together. `placeholder` um along both is what programs write when nobody calibrated the image:
    not believed either (None: no such value).

    >>> believable({"Z": 0.3, "Y": 0.065, "X": 0.065}, "cell.tif")
    {'Z': 0.3, 'Y': 0.065, 'X': 0.065}
    """
    believed = dict(claims)
    lateral_factors = [claims[a] for a in "YX" if a in claims]
    if lateral_factors and not all(map(is_pixel_size, lateral_factors)):
        wrong = next(um for um in lateral_factors if not is_pixel_size(um))
        _ignore(f"{name}: pixel size {wrong:g} um in the file (possible: {SMALLEST_UM:g} to {LARGEST_UM:g})", "pixel_um")
        believed = _without(believed, "YX")
    elif lateral_factors and placeholder is not None and all(um == placeholder for um in lateral_factors):
        _ignore(f"{name}: pixel size exactly {placeholder:g} um in the file (the mark of an uncalibrated image)", "pixel_um")
        believed = _without(believed, "YX")
    if "Z" in claims and not is_pixel_size(claims["Z"]):
        _ignore(f"{name}: z step {claims['Z']:g} um in the file (possible: {SMALLEST_UM:g} to {LARGEST_UM:g})", "z_um")
        believed = _without(believed, "Z")
    return believed


def _without(claims: Mapping[str, float], axes: Collection[str]) -> dict[str, float]:
    return {axis: um for axis, um in claims.items() if axis not in axes}


def _ignore(what: str, option: str) -> None:
    warnings.warn(f"{what} is not believed; give {option}", DataWarning, stacklevel=2)
