"""What a file says about one image: statements with their sources, and the values that are taken from them.

A file may say one thing in several places: OME-XML, the description by ImageJ, the header of a vendor, resolution tags. A reader collects
all of them, the most trustworthy first; `settled` takes the first plausible statement of each quantity and tells of those that contradict.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from zsdeconv.errors import DataWarning
from zsdeconv.image import CHANNEL_OPTICS
from zsdeconv.image.units import is_pixel_size, pixel_size_limits

TOLERANCE = 1.01
"""Ratio up to which two statements are the same. Chosen: programs round pixel sizes to two or three digits."""
SIZES = {"Z": "z_um", "Y": "y_um", "X": "x_um"}
"""Quantities that are pixel sizes, by their axes."""
PRINT_UM = 10.0
"""Largest pixel size taken from print resolutions. Chosen: 72 to 600 dpi are 353 to 42 um."""
NUMBERS = ("na", "immersion_ri", "sample_ri", "magnification", "pinhole_um", "pinhole_au", "interval_s")
"""Quantities that are one positive number."""
LISTS = ("emission_nm", "excitation_nm", "exposure_s", "pinholes_au")
"""Quantities that are a list of positive numbers, one for each channel, None where unknown."""
_OPTICS = ("na", "immersion_ri", "sample_ri", "pinhole_au", "pinhole_um", "microscope")
_OBJECTIVE = {"model": "objective_model", "magnification": "magnification", "na": "na", "immersion": "immersion", "medium": "medium"}
_KEPT = ("image_name", "channels", "colours", "emission_nm", "excitation_nm", "exposure_s", "pinholes_au")
_KEPT_TIMES = ("acquired", "interval_s", "times_s", "stage_um")
_KEPT_SCAN = ("scan", "deskewed")
QUANTITIES = (*_KEPT, *_KEPT_TIMES, *_KEPT_SCAN, "optics", "objective")
"""Keys of the metadata of an image that come from statements."""
_WORDS = {"z_um": "z step", "na": "NA", "immersion_ri": "refractive index of the immersion", "emission_nm": "emission wavelengths"}
_UNIT = {"z_um": " um", "y_um": " um", "x_um": " um", "emission_nm": " nm", "excitation_nm": " nm"}


Weight = Literal["stated", "default", "print", "tag"]
"""How far a pixel size is believed: as stated; not where it is exactly 1 um, which programs write for an uncalibrated image; not where it
is that of a print; a resolution tag like a print, but without a word, for every program writes one."""


@dataclass(frozen=True)
class Statement:
    """The value of a quantity according to `source`."""

    quantity: str
    value: Any
    source: str
    weight: Weight = "stated"


@dataclass
class Statements:
    """What a file says about one image, the most trustworthy first.

    >>> said = Statements()
    >>> said.add("OME-XML", x_um=0.065, y_um=0.065, channels=[], na=None)
    >>> [entry.quantity for entry in said]
    ['x_um', 'y_um']
    """

    entries: list[Statement] = field(default_factory=list)

    def add(self, source: str, *, weight: Weight = "stated", **values: Any) -> None:
        """Add what `source` says; None and empty values say nothing."""
        for quantity, value in values.items():
            if value is not None and not (isinstance(value, str | Sequence | Mapping) and not value):
                self.entries.append(Statement(quantity, value, source, weight))

    def __iter__(self) -> Iterator[Statement]:
        return iter(self.entries)

    def of(self, quantity: str) -> list[Statement]:
        """The statements about one quantity."""
        return [entry for entry in self.entries if entry.quantity == quantity]

    def first(self, quantity: str) -> Any:
        """The first plausible value of a quantity; None where there is none."""
        return next((value for entry in self.of(quantity) if (value := _plausible(entry)) is not None), None)


@dataclass(frozen=True)
class Settled:
    """Pixel sizes in um by axis, further metadata, and the source of each value by the name of its quantity."""

    spacing_um: dict[str, float]
    metadata: dict[str, Any]
    origins: dict[str, str]


def settled(name: str, said: Statements, axes: str, *, silent: Sequence[str] = ()) -> Settled:
    """The values to believe among the statements of a file.

    Pixel sizes must be finite and plausible for a microscope; of a negative z step the magnitude counts, as for ImageJ. The others are
    left out with a warning (`DataWarning`), and statements that contradict the one taken are told.

    Parameters
    ----------
    name
        The file, for messages.
    said
        Its statements.
    axes
        Axes of the image; sizes along others are left out.
    silent
        Axes whose sizes are given by the user, so that nothing needs to be told about them.

    Returns
    -------
    Settled
        Its `metadata` has the keys `optics`, `objective`, `channels`, `colours`, `emission_nm` and others, those that are known.
    """
    taken: dict[str, Statement] = {}
    for entry in said:
        value = _plausible(entry)
        if value is not None and entry.quantity not in taken:
            taken[entry.quantity] = Statement(entry.quantity, value, entry.source)
    told = [quantity for axis, quantity in SIZES.items() if axis in axes and axis not in silent]
    spacing = _spacing(name, said, taken, {axis: quantity for axis, quantity in SIZES.items() if axis in axes}, told)
    _tell_of_conflicts(name, said, taken, [q for q in taken if q in told or q in ("na", "immersion_ri", "emission_nm")])
    values = {quantity: entry.value for quantity, entry in taken.items()}
    origins = {quantity: entry.source for quantity, entry in taken.items() if quantity not in SIZES.values()}
    origins |= {SIZES[axis]: taken[SIZES[axis]].source for axis in spacing}
    return Settled(spacing, _metadata(values), origins)


def pinholes_of(channels_au: Sequence[float | None]) -> dict[str, Any]:
    """The pinholes of channels, each in Airy units at its own wavelength: one quantity where those that are known agree, else a list.

    >>> pinholes_of([1.0, None, 1.0]), pinholes_of([1.0, 0.8]), pinholes_of([None])
    ({'pinhole_au': 1.0}, {'pinholes_au': [1.0, 0.8]}, {})
    """
    different = {au for au in channels_au if au is not None}
    if len(different) > 1:
        return {"pinholes_au": list(channels_au)}
    return {"pinhole_au": different.pop()} if different else {}


def agreed(values: Iterable[str | None]) -> str | None:
    """The value that is stated alone; None where none or several are."""
    different = set(values) - {None}
    return different.pop() if len(different) == 1 else None


def _plausible(entry: Statement) -> Any:
    """The value of a statement as far as it can be true; None when it cannot."""
    quantity, value = entry.quantity, entry.value
    if quantity in SIZES.values():
        um = abs(_number(value)) if quantity == "z_um" else _number(value)
        doubtful = (entry.weight in ("print", "tag") and um > PRINT_UM) or (_is_default(entry) and quantity != "z_um")
        return um if is_pixel_size(um) and not doubtful else None
    if quantity in NUMBERS:
        number = _number(value)
        return number if math.isfinite(number) and number > 0 else None
    if quantity in LISTS:
        numbers = [_number(item) for item in (value if isinstance(value, Sequence) else [value])]
        kept = [number if math.isfinite(number) and number > 0 else None for number in numbers]
        return kept if any(number is not None for number in kept) else None
    return value


def _spacing(
    name: str, said: Statements, taken: Mapping[str, Statement], quantities: Mapping[str, str], told: Sequence[str]
) -> dict[str, float]:
    """Plausible pixel sizes by axis, Y and X together or not at all; of implausible ones the user is told."""
    spacing = {axis: float(taken[quantity].value) for axis, quantity in quantities.items() if quantity in taken}
    if len({"Y", "X"} & set(spacing)) == 1:
        spacing = {axis: um for axis, um in spacing.items() if axis == "Z"}
    for axis, quantity in quantities.items():
        wrong = [entry for entry in said.of(quantity) if axis not in spacing and _is_told(entry) and _plausible(entry) is None]
        if wrong and quantity in told and not (axis == "X" and "y_um" in told and said.of("y_um") and _all_wrong(said, "y_um")):
            _warn(f"{name}: {_refusal(axis, wrong[0])}")
    return spacing


def _is_default(entry: Statement) -> bool:
    return entry.weight in ("default", "tag") and _number(entry.value) == 1


def _is_told(entry: Statement) -> bool:
    return entry.weight != "tag" or _is_default(entry)


def _all_wrong(said: Statements, quantity: str) -> bool:
    return all(_plausible(entry) is None and _is_told(entry) for entry in said.of(quantity))


def _refusal(axis: str, entry: Statement) -> str:
    what, option = ("z step", "z_um") if axis == "Z" else ("pixel size", "pixel_um")
    um = _number(entry.value)
    if _is_default(entry):
        return f"the file's {what} of exactly 1 um ({entry.source}) is ignored, it marks an uncalibrated image; give {option}"
    if entry.weight == "print" and is_pixel_size(um):
        return f"the file's {what} of {um:g} um ({entry.source}) is ignored, it is the resolution of a print; give {option}"
    return f"the file's {what} of {um:g} um ({entry.source}) is ignored, {pixel_size_limits()}; give {option}"


def _tell_of_conflicts(name: str, said: Statements, taken: Mapping[str, Statement], quantities: Sequence[str]) -> None:
    lateral_told = False
    for quantity in quantities:
        entry = taken[quantity]
        others = [s for s in said.of(quantity) if (v := _plausible(s)) is not None and not _same(entry.value, v)]
        if not others or (lateral_told and quantity in ("x_um", "y_um")):
            continue
        lateral_told |= quantity in ("x_um", "y_um")
        unit, what = _UNIT.get(quantity, ""), _WORDS.get(quantity, "pixel size")
        second = f"{_text(_plausible(others[0]))}{unit} ({others[0].source})"
        option = {"z_um": "z_um", "na": "na", "immersion_ri": "immersion_ri", "emission_nm": "wavelength_nm"}.get(quantity, "pixel_um")
        _warn(
            f"{name}: the file says {what} {_text(entry.value)}{unit} ({entry.source}) and {second}; the first is taken, {option} decides"
        )


def _same(one: Any, other: Any) -> bool:
    if isinstance(one, list) and isinstance(other, list):
        return all(a is None or b is None or _same(a, b) for a, b in zip(one, other, strict=False))
    return max(one, other) <= TOLERANCE * min(one, other)


def _metadata(values: Mapping[str, Any]) -> dict[str, Any]:
    metadata = {key: values[key] for key in (*_KEPT, *_KEPT_TIMES, *_KEPT_SCAN) if key in values}
    optics = {key: values[key] for key in _OPTICS if key in values}
    for key, quantity in CHANNEL_OPTICS.items():
        first = next(iter(values.get(quantity, ())), None)
        if first is not None:
            optics[key] = first
    objective = {key: values[quantity] for key, quantity in _OBJECTIVE.items() if quantity in values}
    return metadata | ({"optics": optics} if optics else {}) | ({"objective": objective} if objective else {})


def restated(metadata: Mapping[str, Any]) -> dict[str, Any]:
    """The quantities that the metadata of an image were made of: what a file says that holds them as they are.

    >>> restated({"acquired": "2026-01-02", "optics": {"pinhole_au": 1.0, "wavelength_nm": 525.0}, "objective": {"model": "Apo"}})
    {'acquired': '2026-01-02', 'pinhole_au': 1.0, 'emission_nm': [525.0], 'objective_model': 'Apo'}
    """
    optics, objective = (known if isinstance(known := metadata.get(key), Mapping) else {} for key in ("optics", "objective"))
    said = {key: metadata[key] for key in (*_KEPT, *_KEPT_TIMES, *_KEPT_SCAN) if key in metadata}
    said |= {key: optics[key] for key in _OPTICS if key in optics}
    for key, quantity in CHANNEL_OPTICS.items():
        if key in optics and key not in _OPTICS and quantity not in said:
            said[quantity] = [optics[key]]
    return said | {quantity: objective[key] for key, quantity in _OBJECTIVE.items() if key in objective and quantity not in said}


def _number(value: Any) -> float:
    try:
        return float(value)
    except (TypeError, ValueError):
        return math.nan


def _text(value: Any) -> str:
    return ", ".join("?" if item is None else f"{item:g}" for item in value) if isinstance(value, list) else f"{value:g}"


def _warn(message: str) -> None:
    warnings.warn(message, DataWarning, stacklevel=5)
