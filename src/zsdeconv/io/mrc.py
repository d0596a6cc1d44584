"""Reading MRC and DeltaVision (DV) files of either byte order: images, and optical transfer functions.

Two dialects share one 1024-byte header. Standard MRC (stamp "MAP "; Cheng et al. 2015, J. Struct. Biol. 192:146) states the size of a
cell in angstrom and is read by `mrcfile`. DeltaVision and Priism files (identifier -16224) state the size of a pixel in um (for OTFs of
a frequency sample in 1/um), and the numbers of their planes along z, time and wavelength; they are read here.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Literal

import numpy as np

from zsdeconv.errors import ImageError
from zsdeconv.image import Image
from zsdeconv.io.assemble import Options, assemble
from zsdeconv.io.tiff_structure import cut_short

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
_HEADER = np.dtype(
    {
        "names": ["shape", "mode", "m", "cella", "extra", "identifier", "n_times", "sequence", "n_waves", "waves", "stamp"],
        "formats": ["3i4", "i4", "3i4", "3f4", "i4", "i2", "i2", "i2", "i2", "5i2", "S4"],
        "offsets": [0, 12, 28, 40, 92, 96, 180, 182, 196, 198, 208],
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


def read_mrc(path: str | os.PathLike[str], options: Options | None = None) -> Image:
    """An MRC or DV image: axes from the numbers of planes, pixel size in um, emission wavelengths as channel names.

    Rows keep the order of the file.

    Raises `ImageError` for truncated files, complex data (OTFs: `read_mrc_raw`) and stacks with unnamed planes.
    """
    path = Path(path)
    data, header = read_mrc_raw(path)
    shape, axes = _plane_axes(data.shape, header)
    scale = 1.0 if header["format"] == "dv" else 1e-4  # angstrom
    spacing_um = {axis: scale * step for axis, step in zip("XYZ", header["spacing"], strict=True)}
    metadata: dict[str, Any] = {"format": header["format"]}
    waves = header["wavelengths_nm"]
    if waves:
        metadata["optics"] = {"wavelength_nm": float(waves[0])}
    if len(waves) == header["n_waves"]:
        metadata["channels"] = [f"{nm} nm" for nm in waves]
    return assemble(path.name, data.reshape(shape), axes, spacing_um, metadata, options or Options())


def read_mrc_raw(path: str | os.PathLike[str]) -> tuple[np.ndarray, dict[str, Any]]:
    """Values of an MRC or DV file as stored (sections, rows, columns), complex64 for OTFs, and the numbers of its header.

    The header has `format` ("mrc" or "dv"), `byte_order` ("<" or ">"), `mode`, `cella` (columns, rows, sections) as stored, `m`,
    `spacing` (step along columns, rows, sections: `cella` in um or 1/um of a DV file, `cella / m` in angstrom of an MRC file),
    `n_times`, `n_waves`, `sequence` and `wavelengths_nm`. A single section is returned without its dimension.

    Raises `ImageError` for other files, unknown number types and truncated data.
    """
    path = Path(path)
    with path.open("rb") as file:
        head = file.read(HEADER_BYTES)
    order = _byte_order(head)
    if order is None:
        raise ImageError(f"{path.name}: no MRC or DV header within {len(head)} bytes; give an .mrc or .dv file")
    fields = np.frombuffer(head, _HEADER.newbyteorder(order))[0]
    standard = fields["stamp"].startswith(b"MAP")
    data = _standard_values(path) if standard else _dv_values(path, fields, order)
    header = _numbers(fields, order, standard)
    return data.astype(data.dtype.newbyteorder("="), copy=False), header | {"volume": standard and int(fields["m"][2]) == data.shape[0]}


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


def _dv_values(path: Path, fields: np.void, order: str) -> np.ndarray:
    mode = int(fields["mode"])
    if mode not in _DV_TYPES:
        raise ImageError(f"{path.name}: numbers of mode {mode}, readable are modes {sorted(_DV_TYPES)}; save the file as TIFF")
    dtype = np.dtype(order + _DV_TYPES[mode])
    columns, rows, sections = (int(n) for n in fields["shape"])
    start, count = HEADER_BYTES + int(fields["extra"]), columns * rows * sections
    size = path.stat().st_size
    if start + count * dtype.itemsize > size:
        raise cut_short(path, f"its values end at byte {start + count * dtype.itemsize} of {size}")
    data = np.fromfile(path, dtype, count, offset=start).reshape(sections, rows, columns)
    return data[0] if sections == 1 else data


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
