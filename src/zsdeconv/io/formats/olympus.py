"""OIB and OIF files of Olympus FluoView, by the library oiffile. An OIF lies beside the folder of its planes, an OIB holds both."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from zsdeconv.image.units import middle_of_band, s_per, um_per
from zsdeconv.io.formats.layout import kept, reading, tell_of, with_rows
from zsdeconv.io.formats.tiff_structure import cut_short
from zsdeconv.io.metadata.statements import Statements
from zsdeconv.io.metadata.tiff_dialects import facts_of_objective
from zsdeconv.io.source import FileSource, Region, Source

if TYPE_CHECKING:
    from oiffile import OifFile

_COMPOUND = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
"""Signature of the compound files of Microsoft, which many programs write."""
_MAX_AXES = 9
"""Law: axes in a settings file (FV1000)."""
_BARRIER_FILTER = re.compile(r"BA(?P<start>\d{3})-(?P<end>\d{3})$")
"""Names of filters that pass one band. Those of one number, as BA560IF, pass all light above it."""
_SPECTRUM = "L"
"""Axis of a scan of emission wavelengths."""


def is_oif(path: Path, head: bytes) -> bool:
    r"""Whether a file is an OIB or an OIF.

    >>> is_oif(Path("a.oib"), b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"), is_oif(Path("a.zvi"), b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1")
    (True, False)
    """
    suffix = path.suffix.lower()
    return (suffix == ".oib" and head.startswith(_COMPOUND)) or (suffix == ".oif" and head[:2] in (b"\xff\xfe", b"[F", b"\xef\xbb"))


def oif_scenes(path: Path) -> Sequence[Source]:
    """The image in an OIB or OIF file.

    Warns (`DataWarning`) of scans that have no plane of Y and X and of spectra. Raises `ImageError` for damaged files and missing planes.
    """
    import oiffile

    with reading(path), oiffile.OifFile(path) as file:
        settings = file.mainfile
        outer, names = _planes(path, file)
        plane = {axis: n for axis, n in zip(file.axes, map(int, file.shape), strict=True) if axis not in outer and n > 1}
        sizes = outer | plane
        said = _statements(settings, _settings_of_a_plane(file), sizes)
        dtype = np.dtype(file.dtype)
    tell_of(path, [path.stem] * ("Y" not in sizes), "a scan without y, whose rows are depths or times", "give axes with Y for its rows")
    tell_of(path, [path.stem] * (_SPECTRUM in sizes), "a scan of wavelengths", "give axes with C for them")
    axes, shape = kept(with_rows(sizes))

    def load(region: Region) -> np.ndarray:
        import oiffile

        with reading(path), oiffile.OifFile(path) as file:
            wanted = [axis for axis, n in outer.items() if n > 1]
            part = dict(zip(axes, region, strict=True))
            inner = region[len(wanted) :]
            data = np.empty([one.stop - one.start for one in region], dtype)
            for index in np.ndindex(data.shape[: len(wanted)]):
                at = tuple(part[axis].start + index[wanted.index(axis)] if axis in wanted else 0 for axis in outer)
                data[index] = np.asarray(file.asarray(names[at])).reshape(shape[len(wanted) :])[inner]
            return data

    return [FileSource(path.suffix.lower()[1:], axes, shape, dtype, load, said)]


def _planes(path: Path, file: OifFile) -> tuple[dict[str, int], dict[tuple[int, ...], str]]:
    """Sizes of the axes that count planes, by the names of the files of the planes (which have an order of their own), and these names.

    Raises `ImageError` for planes that are missing.
    """
    series, files = file.series[0], list(file.series[0])
    outer = dict(zip(series.axes, map(int, series.shape), strict=True)) if len(files) > 1 else {}
    expected = int(np.prod([n for axis, n in zip(file.axes, file.shape, strict=True) if axis not in "YX" and n > 1], dtype=np.int64))
    expected = max(int(np.prod(list(outer.values()), dtype=np.int64)), expected if "Y" in file.axes else 1)
    if len(files) != expected:
        raise cut_short(path, f"{len(files)} of {expected} planes are present")
    if not outer:
        return {}, {(): files[0]}
    return outer, dict(zip(series.indices, files, strict=True))


def _settings_of_a_plane(file: OifFile) -> Mapping[str, Any]:
    """The settings beside the first plane, which name the objective; empty where there are none."""
    import oiffile

    names = sorted(name for name in file.glob("*.pty") if "Thumb" not in name)
    if not names:
        return {}
    with file.open_file(names[0]) as handle:
        return dict(oiffile.SettingsFile(handle, name=names[0]))


def _statements(settings: Mapping[str, Any], plane: Mapping[str, Any], sizes: Mapping[str, int]) -> Statements:
    said = Statements()
    steps = _steps(settings, sizes)
    image = plane.get("Image Parameters") or settings.get("Reference Image Parameter") or {}
    for axis, side in (("X", "Width"), ("Y", "Height")):
        um = um_per(str(image.get(f"{side}Unit", "")))
        if um is not None and image.get(f"Image{side}") == sizes.get(axis):
            said.add("OIF", **{f"{axis.lower()}_um": um * image.get(f"{side}ConvertValue", 0)})
    rows = "Y" if "Y" in sizes else "Z"  # of an x-z scan the rows are depths
    said.add("OIF", x_um=steps.get("X"), y_um=steps.get(rows), z_um=steps.get("Z"), interval_s=steps.get("T"))
    common = plane.get("Acquisition Parameters Common") or {}
    shared = settings.get("Acquisition Parameters Common") or {}
    channels = [settings.get(f"Channel {number} Parameters") or {} for number in range(1, sizes.get("C", 1) + 1)]
    dyes = [str(channel.get("DyeName") or "") for channel in channels]
    names = [str(channel.get("CH Name") or "") if dye in ("", "None") else dye for dye, channel in zip(dyes, channels, strict=True)]
    said.add(
        "OIF",
        na=common.get("ObjectiveLens NAValue"),
        magnification=common.get("Magnification"),
        channels=names if any(names) else None,
        emission_nm=[_emission_nm(channel) for channel in channels],
        excitation_nm=[channel.get("ExcitationWavelength") for channel in channels],
        acquired=str(shared.get("ImageCaputreDate", "")).replace(" ", "T"),
        microscope="confocal" if str(common.get("Confocal", "")).upper() == "ON" else None,
    )
    said.add("OIF", **facts_of_objective(" ".join(str(common.get("ObjectiveLens Name", "")).split())))
    return said


def _emission_nm(channel: Mapping[str, Any]) -> float | None:
    """The emission of the dye, else the middle of the barrier filter, whose name holds its ends; 0 stands for no dye."""
    stated = channel.get("EmissionWavelength")
    if stated:
        return stated
    band = _BARRIER_FILTER.match(str(channel.get("BF Name") or ""))
    return None if band is None else middle_of_band(float(band["start"]), float(band["end"]))


def _steps(settings: Mapping[str, Any], sizes: Mapping[str, int]) -> dict[str, float]:
    """Steps along X, Y, Z in um and T in s: the interval that was set, else the length over the number of steps."""
    steps: dict[str, float] = {}
    for number in range(_MAX_AXES):
        axis = settings.get(f"Axis {number} Parameters Common") or {}
        letter, n = axis.get("AxisCode"), sizes.get(str(axis.get("AxisCode")), 1)
        unit = s_per(str(axis.get("UnitName", ""))) if letter == "T" else um_per(str(axis.get("UnitName", "")))
        if letter in ("X", "Y", "Z", "T") and unit is not None and n > 1:
            length = abs(float(axis.get("EndPosition", 0)) - float(axis.get("StartPosition", 0)))
            steps[letter] = unit * (float(axis.get("Interval") or 0) or length / (n - 1))
    return steps
