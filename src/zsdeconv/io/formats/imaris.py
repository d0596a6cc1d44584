"""IMS files of Imaris (5.5 and newer): HDF5 with one dataset for each resolution, time and channel."""

from __future__ import annotations

import datetime
import itertools
import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from zsdeconv.errors import ImageError
from zsdeconv.image.units import um_per
from zsdeconv.io.formats.layout import kept, reading
from zsdeconv.io.formats.tiff_structure import cut_short
from zsdeconv.io.metadata.statements import Statements
from zsdeconv.io.source import FileSource, Region, Source

if TYPE_CHECKING:
    import h5py

_FULL = "DataSet/ResolutionLevel 0"
"""The group of the full resolution."""
_NO_DATE = datetime.datetime(2000, 1, 1)
"""Law: the first time of a file whose writer knew none, as ImarisWriter's; programs count from it in steps of a second."""
_NO_STEP_S = 1.0
"""Law: the step between the times of such a file."""
_DATE = re.compile(r"\d{4}-\d\d-\d\d[ T]\d\d:\d\d:\d\d")


def is_imaris(file: h5py.File) -> bool:
    """Whether an HDF5 file has the layout of Imaris."""
    return "DataSetInfo" in file and "DataSet" in file


def imaris_scenes(path: Path, file: h5py.File) -> Sequence[Source]:
    """The image of an Imaris file, at full resolution and without the padding of its chunks.

    Pixel sizes follow from the extents of the image. Raises `ImageError` for damaged files, and for parts that lie in other files.
    """
    import h5py

    if isinstance(file.get(_FULL, getlink=True), h5py.ExternalLink) or isinstance(file.get("DataSet", getlink=True), h5py.ExternalLink):
        raise ImageError(f"{path.name}: its image lies in other files, which are not read; save it as one file")
    if _FULL not in file:
        raise cut_short(path, f"it has no {_FULL}")
    times, channels = _numbered(file[_FULL], "TimePoint"), _numbered(file[f"{_FULL}/TimePoint 0"], "Channel")
    first = _data(path, file, 0, 0)
    facts = _texts(file["DataSetInfo/Image"]) if "DataSetInfo/Image" in file else {}
    own = _texts(file[f"{_FULL}/TimePoint 0/Channel 0"])
    counts = [_number(own.get(f"ImageSize{axis}") or facts.get(axis)) for axis in "ZYX"]
    sides = [min(int(n), stored) if n else stored for n, stored in zip(counts, first.shape, strict=True)]
    axes, shape = kept({"T": times, "C": channels, **dict(zip("ZYX", sides, strict=True))})
    dtype = np.dtype(first.dtype)

    def load(region: Region) -> np.ndarray:
        part = {"T": slice(0, 1), "C": slice(0, 1), "Z": slice(0, 1)} | dict(zip(axes, region, strict=True))
        inner = tuple(part[axis] for axis in "ZYX")
        with reading(path), h5py.File(path, "r") as again:
            data = np.empty([one.stop - one.start for one in part.values()], dtype)
            for t, time in enumerate(range(part["T"].start, part["T"].stop)):
                for c, channel in enumerate(range(part["C"].start, part["C"].stop)):
                    data[t, c] = _data(path, again, time, channel)[inner]
        return data.reshape([one.stop - one.start for one in region])

    said = _statements(file, facts, dict(zip("ZYX", sides, strict=True)), channels)
    said.add("IMS", **_times(file, times))
    return [FileSource("ims", axes, shape, dtype, load, said)]


def _data(path: Path, file: h5py.File, time: int, channel: int) -> Any:
    """The dataset of one time and channel. Raises `ImageError` for one that lies elsewhere or is missing."""
    import h5py

    place = f"{_FULL}/TimePoint {time}/Channel {channel}"
    links = [file.get(place.rpartition("/")[0], getlink=True), file.get(place, getlink=True), file.get(f"{place}/Data", getlink=True)]
    if any(isinstance(link, h5py.ExternalLink) for link in links):
        raise ImageError(f"{path.name}: {place} lies in another file, which is not read; save the image as one file")
    if f"{place}/Data" not in file:
        raise cut_short(path, f"it has no {place}")
    data = file[f"{place}/Data"]
    if not isinstance(data, h5py.Dataset) or data.is_virtual or data.external or len(data.shape) != len("ZYX"):
        raise ImageError(f"{path.name}: {place} is no stack of its own; save the image as one file")
    return data


def _numbered(group: Any, name: str) -> int:
    """How many members are called `name` and a number."""
    return len([key for key in group if re.fullmatch(rf"{name} \d+", key)])


def _statements(file: h5py.File, facts: dict[str, str], sizes: dict[str, int], channels: int) -> Statements:
    said = Statements()
    um = um_per(facts.get("Unit", "um"))
    if um is not None:
        for number, axis in enumerate("XYZ"):
            start, end = _number(facts.get(f"ExtMin{number}")), _number(facts.get(f"ExtMax{number}"))
            if start is not None and end is not None:
                said.add("IMS", weight="default", **{f"{axis.lower()}_um": um * abs(end - start) / sizes[axis]})
    groups = [_texts(file[name]) if (name := f"DataSetInfo/Channel {number}") in file else {} for number in range(channels)]
    names, colours = [group.get("Name", "") for group in groups], [_colour(group.get("Color", "")) for group in groups]
    date = facts.get("RecordingDate", "")
    said.add(
        "IMS",
        image_name=facts.get("Name"),
        channels=names if any(names) else None,
        colours=colours if any(colours) else None,
        emission_nm=[_number(group.get("LSMEmissionWavelength")) for group in groups],
        excitation_nm=[_number(group.get("LSMExcitationWavelength")) for group in groups],
        na=_number(facts.get("NumericalAperture")),
        magnification=_number(facts.get("LensPower")),
        acquired=date[:19].replace(" ", "T") if _DATE.match(date) else None,
    )
    return said


def _times(file: h5py.File, count: int) -> dict[str, Any]:
    """The date of the first time and the mean step between the times, where all have one and they follow each other."""
    stated = _texts(file["DataSetInfo/TimeInfo"]) if "DataSetInfo/TimeInfo" in file else {}
    times = [_time(stated.get(f"TimePoint{number}", "")) for number in range(1, count + 1)]
    known = [time for time in times if time is not None]
    if not known or len(known) < count:
        return {}
    steps_s = [(after - before).total_seconds() for before, after in itertools.pairwise(known)]
    unset = known[0] == _NO_DATE
    interval_s = sum(steps_s) / len(steps_s) if steps_s and min(steps_s) > 0 and not (unset and set(steps_s) == {_NO_STEP_S}) else None
    return {"acquired": None if unset else known[0].isoformat(timespec="seconds"), "interval_s": interval_s}


def _time(text: str) -> datetime.datetime | None:
    try:
        return datetime.datetime.fromisoformat(text.strip()).replace(tzinfo=None)
    except ValueError:
        return None


def _texts(group: Any) -> dict[str, str]:
    """The attributes of a group, which Imaris stores as arrays of single characters."""
    texts = {}
    for key, value in group.attrs.items():
        parts = np.ravel(np.asarray(value))
        texts[key] = b"".join(parts.astype("S")).decode("utf-8", "replace") if parts.dtype.kind == "S" else str(value)
    return texts


def _number(text: str | None) -> float | None:
    try:
        value = float((text or "").split()[0])
    except (ValueError, IndexError):
        return None
    return value


def _colour(text: str) -> tuple[int, int, int] | None:
    """Red, green and blue of three numbers from 0 to 1."""
    parts = [_number(word) for word in text.split()]
    if len(parts) != len("RGB"):
        return None
    red, green, blue = (round(255 * min(max(part or 0.0, 0.0), 1.0)) for part in parts)
    return red, green, blue
