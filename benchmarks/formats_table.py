"""What the readers make of real files: a table of axes, sizes and channels, or of the reason why a file is refused.

    python benchmarks/formats_table.py FOLDER...

Every file below the folders that has the name of an image is tried, and every folder that a reader recognises; the first scenes of each
are listed, with the least and largest value of their first and last planes. The table of docs/formats.md was made by this command.
"""

from __future__ import annotations

import argparse
import os
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from zsdeconv.errors import DataWarning, UserError
from zsdeconv.io.assemble import Options, describe
from zsdeconv.io.readers import READERS, scenes
from zsdeconv.io.source import Source

SUFFIXES = (".tif", ".tiff", ".btf", ".lsm", ".stk", ".mrc", ".map", ".dv", ".r3d", ".nd2", ".czi", ".lif", ".oib", ".oif", ".ims", ".h5")
SUFFIXES += (".hdf5", ".png", ".npy")
MAX_SCENES = 3
"""Scenes of a file that are listed. Chosen: a row each is enough to see their kind."""
MAX_CHANNELS = 4
"""Channels that are named. Chosen: a cell of a table holds no more."""
MAX_NOTE = 170
"""Characters of a note. Chosen: what a cell of a table holds."""


def tried(folder: Path) -> Iterator[Path]:
    """The files and folders to try below a folder, in the order of their names; what lies in an image is part of it."""
    for place, below, names in os.walk(folder):
        here = Path(place)
        if here != folder and any(reader.recognises(here, b"") for reader in READERS):
            below.clear()
            yield here
            continue
        below.sort()
        below[:] = [name for name in below if not name.endswith(".oif.files")]
        yield from (here / name for name in sorted(names) if name.lower().endswith(SUFFIXES))


def rows(path: Path, name: str) -> Iterator[list[str]]:
    """A row for each of the first scenes of a file, or one with the reason of its refusal."""
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always", DataWarning)
        try:
            sources = scenes(path)
        except UserError as error:
            yield [name, *[""] * 6, note([str(error)], path)]
            return
    first = note([str(one.message) for one in said], path)
    for source in sources[:MAX_SCENES]:
        title = name if len(sources) == 1 else f"{name} [{source.scene or sources.index(source) + 1}]"
        yield row(path, title, source, first)
        first = ""
    if len(sources) > MAX_SCENES:
        yield [name, *[""] * 6, f"and {len(sources) - MAX_SCENES} more images"]


def row(path: Path, title: str, source: Source, first: str) -> list[str]:
    """One scene as a row."""
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always", DataWarning)
        try:
            known = describe(path.name, source, Options())
            values = extremes(source)
        except UserError as error:
            shape = " x ".join(map(str, source.shape))
            return [title, source.format, f"({source.axes})", f"{shape} {source.dtype}", "", "", "", note([first, str(error)], path)]
    sizes = ", ".join(f"{axis} {um:.5g}" for axis, um in known.spacing_um.items())
    channels = ", ".join(str(channel) for channel in known.metadata.get("channels", ())[:MAX_CHANNELS])
    channels += f" and {n - MAX_CHANNELS} more" if (n := len(known.metadata.get("channels", ()))) > MAX_CHANNELS else ""
    emission = ["?" if nm is None else str(round(nm)) for nm in known.metadata.get("emission_nm", ())]
    named = f"{channels} ({'/'.join(emission)} nm)" if emission else channels
    remarks = note([first, *(str(one.message) for one in said)], path)
    return [title, source.format, known.axes, f"{' x '.join(map(str, known.shape))} {known.dtype}", sizes, named, values, remarks]


def extremes(source: Source) -> str:
    """Least and largest value of the first and the last plane."""
    lengths = list(zip(source.axes, source.shape, strict=True))
    planes = [tuple(slice(None) if a in "YXS" else slice(at, at + 1 or None) for a, _ in lengths) for at in (0, -1)]
    found = [source.read(plane) for plane in planes]
    return ", ".join(dict.fromkeys(f"{np.min(plane):g} to {np.max(plane):g}" for plane in found))


def note(texts: Sequence[str], path: Path) -> str:
    """Remarks without the name of the file, short enough for a cell."""
    text = "; ".join(part.replace(f"{path.name}: ", "").replace("|", "/").replace("\n", " ") for part in texts if part)
    return text if len(text) <= MAX_NOTE else text[:MAX_NOTE] + " ..."


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", nargs="+", type=Path)
    given = parser.parse_args()
    print("| file | format | axes | sizes | pixel, um | channels | values | remarks |\n|---|---|---|---|---|---|---|---|")
    for folder in given.folders:
        for path in tried(folder):
            for cells in rows(path, str(path.relative_to(folder))):
                print(f"| `{cells[0]}` | " + " | ".join(cells[1:]) + " |", flush=True)


if __name__ == "__main__":
    main()
