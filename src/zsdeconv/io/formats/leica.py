"""LIF files of Leica's LAS, by the library liffile: every series, every tile of a mosaic; scans that are no planes are named."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from zsdeconv.io.formats.layout import kept, reading, tell_of, with_rows
from zsdeconv.io.metadata.leica_xml import (
    Channel,
    bare_pinhole_um,
    channels_of,
    descriptions_of_channels,
    in_nanometres,
    is_scan,
    light_statements,
    objective_of,
    pinholes_au,
    stages_um,
    windows_nm,
)
from zsdeconv.io.metadata.statements import Statements, pinholes_of
from zsdeconv.io.source import FileSource, Region, Source

if TYPE_CHECKING:
    from liffile import LifFile

_EMISSION, _EXCITATION = _SPECTRA = "λΛ"
"""Axes of a scan of emission or excitation wavelengths."""
_CLOSED_AU = 5.0
"""Pinhole in Airy units below which a scan is confocal. Chosen: two-photon scans, of the same kind for Leica, leave it wide open."""
_COLOURS = {
    "red": (255, 0, 0),
    "green": (0, 255, 0),
    "blue": (0, 0, 255),
    "cyan": (0, 255, 255),
    "magenta": (255, 0, 255),
    "yellow": (255, 255, 0),
    "gray": (255, 255, 255),
    "grey": (255, 255, 255),
}
"""Law: colours of the screen by Leica's names of look-up tables."""


def is_lif(path: Path, head: bytes) -> bool:
    r"""Whether a file is a LIF: a block of XML behind the number 0x70 and the mark 0x2A.

    >>> is_lif(Path("a.lif"), b"p\0\0\0" + bytes(4) + b"*" + bytes(9))
    True
    """
    return head.startswith(b"p\0\0\0") and head[8:9] == b"*"


def lif_scenes(path: Path) -> Sequence[Source]:
    """The series in a LIF file, each tile of a mosaic as an image of its own.

    Warns (`DataWarning`) of scans that have no plane of Y and X, of spectra, of pinholes in micrometres alone, and of lifetime images,
    which are not read. Raises `ImageError` for damaged files.
    """
    import liffile

    with reading(path), liffile.LifFile(path) as file:
        images = [(number, image) for number, image in enumerate(file.images)]
        flim = [str(image.path) for _, image in images if image.is_flim]
        found = [(number, image, dict(image.sizes)) for number, image in images if not image.is_flim]
        sources = [source for number, image, sizes in found for source in _tiles(path, number, image, sizes)]
        rows = [str(image.path) for _, image, sizes in found if "Y" not in sizes]
        bare = {str(image.path): um for _, image, _ in found if (um := bare_pinhole_um(image.xml_element)) is not None}
        spectra = [str(image.path) for _, image, sizes in found if set(_SPECTRA) & set(sizes)]
    tell_of(path, rows, "a scan without y, whose rows are depths or times", "give axes with Y for its rows to read it as a plane")
    tell_of(path, spectra, "a scan of wavelengths", "give axes with C for them")
    sizes_um = "/".join(f"{um:g}" for um in sorted(set(bare.values())))
    advice = "it is not taken; give microscope and pinhole_au for a confocal scan"
    tell_of(path, bare, f"a pinhole of {sizes_um} um without the magnification in the scan head", advice)
    tell_of(path, flim, "photon arrival times, not read", "export the intensity as TIFF")
    return sources


def _tiles(path: Path, number: int, image: Any, sizes: dict[str, int]) -> Iterator[Source]:
    """The tiles of a series, or the series itself."""
    stored = dict(zip(image.dims, image.shape, strict=True))
    spare = iter("QRUW")  # for axes that occur twice
    named = {next(spare) if len(axis) > 1 else axis: n for axis, n in stored.items() if axis != "M"}
    axes, shape = kept(with_rows(named))
    common, stages, tiles = _statements(image, sizes), stages_um(image.xml_element), stored.get("M", 1)
    for tile in range(tiles):
        said = Statements(list(common))
        said.add("LIF", stage_um=stages[tile] if len(stages) == tiles else None)
        name = str(image.path) + (f", tile {tile + 1}" if "M" in stored else "")

        def load(region: Region, tile: int = tile) -> np.ndarray:
            import liffile

            with reading(path), liffile.LifFile(path) as file:
                data = _series(file, number).asarray(out=None if "S" in axes else "memmap")  # samples may be put into another order
                if "M" in stored:
                    data = np.moveaxis(data, list(stored).index("M"), 0)[tile]
                return np.array(data.reshape(shape)[region])

        yield FileSource("lif", axes, shape, np.dtype(image.dtype), load, said, scene=name, coloured="S" in axes)


def _series(file: LifFile, number: int) -> Any:
    return file.images[number]


def _statements(image: Any, sizes: dict[str, int]) -> Statements:
    said = Statements()
    steps = {axis: abs(float(c[-1] - c[0])) / (len(c) - 1) for axis, c in image.coords.items() if len(c) > 1}
    rows = "Y" if "Y" in sizes else "Z"  # of an x-z scan the rows are depths
    um = {axis: 1e6 * step for axis, step in steps.items()}
    said.add("LIF", x_um=um.get("X"), y_um=um.get(rows), z_um=um.get("Z"), interval_s=steps.get("T") or None)
    said.add("LIF", **objective_of(image.xml_element))
    _light(image, sizes, said)
    stamps = image.timestamps
    if stamps is not None and len(stamps):
        said.add("LIF", acquired=str(np.datetime_as_string(stamps[0], unit="s")))
    return said


def _light(image: Any, sizes: dict[str, int], said: Statements) -> None:
    """Dyes, wavelengths, exposures, colours and pinholes of the channels; those of a spectrum for whoever reads it as channels."""
    element, count = image.xml_element, sizes.get("C", 1)
    described, channels = descriptions_of_channels(element), list[Channel]()
    spectrum = [axis for axis in _SPECTRA if axis in sizes]
    if spectrum and count == len(spectrum) == 1:
        starts_m = [float(start) for start in image.coords.get(spectrum[0], ())]
        if spectrum == [_EMISSION]:
            channels = [Channel(emission_nm=nm) for nm in windows_nm(element, starts_m) or ()]
        else:
            said.add("LIF", excitation_nm=in_nanometres(starts_m))
    elif not spectrum and len(described) == count:
        channels = channels_of(element)
        said.add("LIF", colours=[_COLOURS.get(node.get("LUTName", "").lower()) for node in described])
    said.add("LIF", **light_statements(channels))
    pinholes = pinholes_au(element, channels)
    if pinholes:
        said.add("LIF", **pinholes_of(pinholes))
        if is_scan(element) and all(au is not None and au < _CLOSED_AU for au in pinholes):
            said.add("LIF", microscope="confocal")
