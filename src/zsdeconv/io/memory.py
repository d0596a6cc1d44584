"""Memory of the machine, and the memory that a restoration takes."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping

from zsdeconv.errors import ImageError

PROGRAM_BYTES = 4.5e8
"""Memory of the interpreter with its libraries. Measured: 0.42 GB after the imports of a run, rounded up."""
TILE_BYTES_PER_PX = {2: 1000, 3: 350}
"""Memory of the activations per raw pixel of a tile, by the rank of the image. Measured with the default networks."""
MAX_TILE_PX = {2: 1024**2, 3: 8e6}
"""Raw pixels of the largest tile, by the rank of the image. Measured with the default networks."""
FLOAT_BYTES = 4
"""Law: bytes of a number in single precision."""
NOISE_COPIES = 6
"""Images of the size of a frame that are held while noise is added to it. An estimate."""
RAW_FRAME_COPIES = 3
"""Images held for each raw frame of a reconstruction while noise is added to it. An estimate."""
BAND_IMAGES = 20
"""Images on the fine grid that a reconstruction holds at once: real and complex ones of each band. An estimate."""


def machine_bytes() -> float:
    """Memory of this machine; infinite where the system does not report it."""
    try:
        return float(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))
    except (AttributeError, OSError, ValueError):
        return math.inf


def restoration_bytes(sizes: Mapping[str, int], bytes_per_px: int, *, scale: int = 2, with_spread: bool = True) -> float:
    """Approximate peak memory of a restoration: program, input, results, copies of one frame, and one tile in the network.

    Parameters
    ----------
    sizes
        Pixels along each axis. The planes along Z form one frame; the raw frames along P are reconstructed to one image on the fine grid,
        where all their results lie.
    bytes_per_px
        Of the input.
    scale
        Samples of the fine grid per raw pixel.
    with_spread
        Whether the standard error is stored as well.

    >>> round(restoration_bytes({"Y": 4096, "X": 4096}, 2) / 1e9, 1)
    2.5
    """
    rank = 3 if sizes.get("Z", 1) > 1 else 2
    frame_px = math.prod(sizes.get(axis, 1) for axis in "ZYX")
    raw_frames = sizes.get("P", 1)
    times = math.prod(sizes.values()) // max(frame_px * raw_frames, 1)
    fine, results = scale**2, _results(raw_frames, scale, with_spread)
    if raw_frames == 1:  # sizes of images in raw frames: temporal residuals of a series, copies
        residuals, copies = 2, NOISE_COPIES
    else:
        residuals, copies = 2 * fine, RAW_FRAME_COPIES * raw_frames + BAND_IMAGES * fine
    stored = results if times == 1 else (results + residuals) * (times + 1)
    tile_bytes = TILE_BYTES_PER_PX[rank] * min(frame_px, MAX_TILE_PX[rank])
    return PROGRAM_BYTES + bytes_per_px * frame_px * raw_frames * times + FLOAT_BYTES * frame_px * (stored + copies) + tile_bytes


def _results(raw_frames: int, scale: int, with_spread: bool) -> int:
    """Size of the resulting images in raw frames; where several frames make one image, all are on the fine grid."""
    fine = scale**2
    return 1 + (1 + with_spread) * fine if raw_frames == 1 else (3 + with_spread) * fine


def result_bytes(sizes: Mapping[str, int], *, scale: int = 2, with_spread: bool = True) -> float:
    """Bytes of the images that a restoration writes, at most: they are compressed. The arguments are those of `restoration_bytes`.

    >>> result_bytes({"T": 10, "Y": 1000, "X": 500}, with_spread=False) / 1e6
    100.0
    """
    raw_frames = sizes.get("P", 1)
    return FLOAT_BYTES * math.prod(sizes.values()) / raw_frames * _results(raw_frames, scale, with_spread)


def refuse_larger_than_memory(name: str, needed_bytes: float, what: str) -> None:
    """Raise `ImageError` when `what` takes more memory than the machine has and would be stopped by the system.

    >>> refuse_larger_than_memory("a.tif", 1e6, "reading it")
    """
    if needed_bytes > (available := machine_bytes()):
        raise ImageError(
            f"{name}: {what} takes about {needed_bytes / 1e9:.3g} GB of memory, this machine has {available / 1e9:.3g}; "
            "give a part of it (fewer planes or frames, a smaller field)"
        )
