"""PNG: one grey plane of 8 or 16 bits. Colours are a picture for display, and are read only where the user names the axes."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from zsdeconv.errors import ImageError
from zsdeconv.io.formats.layout import reading
from zsdeconv.io.formats.tiff_structure import cut_short
from zsdeconv.io.source import FileSource, Region, Source

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_SAMPLES = {0: 1, 2: 3, 4: 2, 6: 4}
"""Law: samples of a pixel by the type of colour in the header (PNG specification, 11.2.1); type 3 has a palette."""
_HEADER = ">IIBB"
"""Width, height, bits of a sample and type of colour, after the length and the name of the first chunk."""
_HEADER_AT = 16
"""Law: bytes before these fields (signature 8, length 4, name 4)."""


def is_png(path: Path, head: bytes) -> bool:
    r"""Whether a file is a PNG.

    >>> is_png(Path("a.png"), b"\x89PNG\r\n\x1a\n")
    True
    """
    return head.startswith(_SIGNATURE)


def png_scenes(path: Path) -> Sequence[Source]:
    """The image in a PNG file, without a pixel size. Raises `ImageError` for palettes, fewer than 8 bits, and damaged files."""
    with path.open("rb") as file:
        head = file.read(_HEADER_AT + struct.calcsize(_HEADER))
    if len(head) < _HEADER_AT + struct.calcsize(_HEADER):
        raise cut_short(path, f"{len(head)} bytes")
    width, height, bits, colours = struct.unpack_from(_HEADER, head, _HEADER_AT)
    samples = _SAMPLES.get(colours)
    if samples is None or bits < 8:
        kind = "a palette of colours" if colours == 3 else f"{bits} bit{'s' * (bits != 1)} a pixel"
        raise ImageError(f"{path.name}: {kind}, an image has 8 or 16 bits; export the raw camera image as TIFF")
    shape = (height, width) if samples == 1 else (height, width, samples)

    def load(region: Region) -> np.ndarray:
        import imagecodecs

        with reading(path):
            return imagecodecs.png_decode(path.read_bytes()).reshape(shape)[region]

    dtype = np.dtype(np.uint16 if bits > 8 else np.uint8)
    return [FileSource("png", "YX" if samples == 1 else "YXS", shape, dtype, load, coloured=samples > 1)]
