"""Reading MRC and DeltaVision (DV) files of either byte order: images, and optical transfer functions.

Two dialects share one 1024-byte header. Standard MRC (stamp "MAP "; Cheng et al. 2015, J. Struct. Biol. 192:146) states the size of a
cell in angstrom and is read by `mrcfile`. DeltaVision and Priism files (identifier -16224) state the size of a pixel in um (for OTFs of
a frequency sample in 1/um), and the numbers of their planes along z, time and wavelength; they are read here.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np

from zsdeconv.errors import ImageError
from zsdeconv.image import Image
from zsdeconv.io.assemble import Options, assemble
from zsdeconv.io.formats.tiff_structure import cut_short
from zsdeconv.io.metadata.statements import Statements
from zsdeconv.io.source import FileSource, Source

HEADER_BYTES = 1024
"""Law: length of the header in the MRC2014 format (Cheng et al. 2015)."""
_DV_IDENTIFIER = -16224
"""Law: identifier of DeltaVision files in their header (IVE library)."""
_MAX_MODE = 101
"""Law: largest mode of the MRC2014 format, numbers of 4 bits."""
_MAX_SIDE_PX = 2**20
"""Largest size along an axis of a valid header. Chosen: above any image; most sizes read in the wrong byte order exceed it."""
_DV_TYPES = {0: "u1", 1: "i2", 2: "f4", 4: "c8", 6: "u2", 7: "i4"}
"""Number types of DeltaVision files by the mode of their header."""
_DV_AXES = {0: "CTZ", 1: "TZC", 2: "TCZ"}
"""Order of the planes by the sequence number of the header, slowest axis first."""
_MAX_SIGNED = 127
"""Law: the largest number that a signed byte holds."""
_HEADER = np.dtype(
    {
        "names": [
            *["shape", "mode", "m", "cella", "min", "max", "extra", "identifier", "imod", "imod_flags"],
            *["n_times", "sequence", "n_waves", "waves", "stamp"],
        ],
        "formats": ["3i4", "i4", "3i4", "3f4", "f4", "f4", "i4", "i2", "S4", "i4", "i2", "i2", "i2", "5i2", "S4"],
        "offsets": [0, 12, 28, 40, 76, 80, 92, 96, 152, 156, 180, 182, 196, 198, 208],
        "itemsize": HEADER_BYTES,
    }
)
"""Fields of both dialects at their offsets in the header."""


def is_mrc(head: bytes) -> bool:
    """Whether a file that begins with `head` (1024 bytes) has an MRC or DV header.

    >>> is_mrc(bytes(1024))
    False
    """
    return _byte_order(head) is not None


def mrc_scenes(path: Path) -> Sequence[Source]:
    """The image in an MRC or DV file: axes from the numbers of planes, pixel size in um, emission wavelengths as channel names.

    Rows keep the order of the file. Raises `ImageError` for truncated files.
    """
    header, shape, dtype = read_mrc_header(path)
    planes, axes = _plane_axes(shape, header)
    scale = 1.0 if header["format"] == "dv" else 1e-4  # angstrom
    said, waves = Statements(), header["wavelengths_nm"]
    sizes = {f"{axis.lower()}_um": scale * step for axis, step in zip("XYZ", header["spacing"], strict=True)}
    complete = len(waves) == header["n_waves"]
    said.add("header", weight="default", **sizes)
    said.add("header", emission_nm=[float(nm) for nm in waves], channels=[f"{nm} nm" for nm in waves] if complete else None)
    return [FileSource(header["format"], axes, planes, dtype, lambda region: read_mrc_raw(path)[0].reshape(planes)[region], said)]


def read_mrc(path: str | os.PathLike[str], options: Options | None = None) -> Image:
    """The image in an MRC or DV file, as `zsdeconv.io.read`."""
    path = Path(path)
    return assemble(path.name, mrc_scenes(path)[0], options or Options())


def read_mrc_raw(path: str | os.PathLike[str]) -> tuple[np.ndarray, dict[str, Any]]:
    """Values of an MRC or DV file as stored (sections, rows, columns), complex64 for OTFs, and the numbers of its header.

    The header has `format` ("mrc" or "dv"), `byte_order` ("<" or ">"), `mode`, `cella` (columns, rows, sections) as stored, `m`,
    `spacing` (step along columns, rows, sections: `cella` in um or 1/um of a DV file, `cella / m` in angstrom of an MRC file),
    `n_times`, `n_waves`, `sequence` and `wavelengths_nm`. A single section is returned without its dimension. Bytes are unsigned where
    the header says so (IMOD's flag, or a maximum above 127).

    Raises `ImageError` for other files, unknown number types and truncated data.
    """
    path = Path(path)
    header, shape, dtype = read_mrc_header(path)
    fields, order = _fields(path)
    data = _standard_values(path) if header["format"] == "mrc" else _dv_values(path, fields, order)
    if dtype == np.uint8:
        data = data.view(np.uint8)
    return data.astype(data.dtype.newbyteorder("="), copy=False).reshape(shape), header


def read_mrc_header(path: Path) -> tuple[dict[str, Any], tuple[int, ...], np.dtype]:
    """The numbers of the header as of `read_mrc_raw`, with the shape and the number type of the values, which are not read."""
    fields, order = _fields(path)
    standard = fields["stamp"].startswith(b"MAP")
    shape, dtype = _standard_layout(path, fields) if standard else _dv_layout(path, fields)
    header = _numbers(fields, order, standard)
    return header | {"volume": standard and int(fields["m"][2]) == shape[0]}, shape, dtype


def _fields(path: Path) -> tuple[np.void, Literal["<", ">"]]:
    with path.open("rb") as file:
        head = file.read(HEADER_BYTES)
    order = _byte_order(head)
    if order is None:
        raise ImageError(f"{path.name}: no MRC or DV header within {len(head)} bytes; give an .mrc or .dv file")
    return np.frombuffer(head, _HEADER.newbyteorder(order))[0], order


def _byte_order(head: bytes) -> Literal["<", ">"] | None:
    """Byte order of an MRC or DV header, from its identifier or else from plausible sizes and mode; None: no header."""
    if len(head) < HEADER_BYTES:
        return None
    for order in ("<", ">"):
        fields = np.frombuffer(head[:HEADER_BYTES], _HEADER.newbyteorder(order))[0]
        plausible = all(0 < n < _MAX_SIDE_PX for n in fields["shape"]) and 0 <= fields["mode"] <= _MAX_MODE and fields["extra"] >= 0
        identified = fields["stamp"].startswith(b"MAP") or fields["identifier"] == _DV_IDENTIFIER
        if plausible and (identified or (fields["mode"] in _DV_TYPES and np.all(fields["m"] > 0) and np.all(fields["cella"] >= 0))):
            return order
    return None


def _dv_layout(path: Path, fields: np.void) -> tuple[tuple[int, ...], np.dtype]:
    mode = int(fields["mode"])
    if mode not in _DV_TYPES:
        raise ImageError(f"{path.name}: numbers of mode {mode}, readable are modes {sorted(_DV_TYPES)}; save the file as TIFF")
    columns, rows, sections = (int(n) for n in fields["shape"])
    dtype = np.dtype(_DV_TYPES[mode])
    end = HEADER_BYTES + int(fields["extra"]) + columns * rows * sections * dtype.itemsize
    if end > (size := path.stat().st_size):
        raise cut_short(path, f"its values end at byte {end} of {size}")
    return ((rows, columns) if sections == 1 else (sections, rows, columns)), dtype


def _dv_values(path: Path, fields: np.void, order: Literal["<", ">"]) -> np.ndarray:
    shape, dtype = _dv_layout(path, fields)
    start, count = HEADER_BYTES + int(fields["extra"]), int(np.prod(shape, dtype=np.int64))
    return np.fromfile(path, dtype.newbyteorder(order), count, offset=start)


def _standard_layout(path: Path, fields: np.void) -> tuple[tuple[int, ...], np.dtype]:
    import mrcfile
    from mrcfile.utils import data_dtype_from_header, data_shape_from_header

    try:
        with mrcfile.open(path, header_only=True) as file:
            shape, dtype = data_shape_from_header(file.header), data_dtype_from_header(file.header)
    except (ValueError, OSError) as error:
        raise cut_short(path, " ".join(str(error).split())) from error
    end = HEADER_BYTES + max(int(fields["extra"]), 0) + int(np.prod(shape, dtype=np.int64)) * dtype.itemsize
    if end > (size := path.stat().st_size):
        raise cut_short(path, f"its values end at byte {end} of {size}")
    return tuple(int(n) for n in shape), np.dtype(np.uint8) if dtype == np.int8 and _is_unsigned(fields) else np.dtype(dtype)


def _is_unsigned(fields: np.void) -> bool:
    """Whether bytes have no sign: IMOD marks its files and says it in the first bit of a flag; others show it by their maximum."""
    by_imod = fields["imod"] in (b"IMOD", b"DOMI") and not int(fields["imod_flags"]) & 1
    return by_imod or (fields["min"] >= 0 and fields["max"] > _MAX_SIGNED)


def _standard_values(path: Path) -> np.ndarray:
    import mrcfile

    try:
        with mrcfile.open(path) as file:
            return np.array(file.data)
    except (ValueError, OSError) as error:
        raise cut_short(path, " ".join(str(error).split())) from error


def _numbers(fields: np.void, order: str, standard: bool) -> dict[str, Any]:
    cella = tuple(float(str(length)) for length in fields["cella"])  # 0.0626, not float32's 0.06260000169
    m = tuple(fields["m"].tolist())
    waves = int(fields["n_waves"])
    wavelengths_nm = [] if standard else [nm for nm in fields["waves"].tolist()[: max(waves, 0)] if nm > 0]
    return {
        "format": "mrc" if standard else "dv",
        "byte_order": order,
        "mode": int(fields["mode"]),
        "cella": cella,
        "m": m,
        "spacing": tuple(length / max(n, 1) for length, n in zip(cella, m, strict=True)) if standard else cella,
        "n_times": 1 if standard else max(int(fields["n_times"]), 1),
        "n_waves": 1 if standard else max(waves, 1),
        "sequence": 0 if standard else int(fields["sequence"]),
        "wavelengths_nm": wavelengths_nm,
    }


def _plane_axes(shape: tuple[int, ...], header: dict[str, Any]) -> tuple[tuple[int, ...], str]:
    """Shape and axes with sections split into wavelengths, times and depths, axes of length 1 left out."""
    if len(shape) == 2:
        return shape, "YX"
    if header["format"] == "mrc":
        return shape, ("Q" * (len(shape) - 3)) + ("ZYX" if header["volume"] or len(shape) > 3 else "QYX")
    planes = {"T": header["n_times"], "C": header["n_waves"]}
    depth, rest = divmod(shape[0], planes["T"] * planes["C"])
    if rest or not depth:
        return shape, "QYX"
    planes["Z"] = depth
    kept = [axis for axis in _DV_AXES.get(header["sequence"], _DV_AXES[0]) if planes[axis] > 1]
    return tuple(planes[a] for a in kept) + shape[1:], "".join(kept) + "YX"
