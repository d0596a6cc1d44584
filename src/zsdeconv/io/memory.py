"""Memory: what the machine has, and what a restoration takes of it."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping

from zsdeconv.errors import ImageError

PROGRAM_BYTES = 4.5e8
"""The interpreter with its libraries."""
TILE_BYTES_PER_PX = {2: 1000, 3: 350}
"""Measured with the default networks, as `LARGEST_TILE_PX` below."""
LARGEST_TILE_PX = {2: 1024**2, 3: 8e6}
"""Of images of each rank: activations per raw pixel that a tile reads, and the largest tile; measured with the default networks."""


BANDS = 20
"""Images on the fine grid that a reconstruction holds at once: real and complex ones of each band."""


def machine_bytes() -> float:
    """Memory of this machine; infinite where the system does not tell."""
    try:
        return float(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))
    except (AttributeError, OSError, ValueError):
        return math.inf


def restoration_bytes(sizes: Mapping[str, int], bytes_per_px: int, *, scale: int = 2, with_spread: bool = True) -> float:
    """Memory that `run` takes at its peak, roughly, for an image of so many pixels along each axis.

    The program itself; the input; the results in float32, on the raw grid and, one or two, on the fine grid, and of a series what its
    frames are given back (`TemporalResidual`); the copies of one frame that noise is added to; and one tile in the network. Planes along
    Z are
    one frame. Raw frames along P are reconstructed to one on the fine grid: all results lie there, one more of them, and so do the bands
    that it is made of.

    >>> round(restoration_bytes({"Y": 4096, "X": 4096}, 2) / 1e9, 1)
    2.5
    """
    rank = 3 if sizes.get("Z", 1) > 1 else 2
    frame = math.prod(sizes.get(axis, 1) for axis in "ZYX")
    raw = sizes.get("P", 1)
    frames = math.prod(sizes.values()) // max(frame * raw, 1)
    fine = scale**2
    images = (1 + (1 + with_spread) * fine) if raw == 1 else (3 + with_spread) * fine
    images += 2 * (frames > 1) * (1 if raw == 1 else fine)
    results = 4 * frame * images * (frames if frames == 1 else frames + 1)
    copies = 4 * frame * (6 if raw == 1 else 3 * raw + BANDS * fine)
    tile = TILE_BYTES_PER_PX[rank] * min(frame, LARGEST_TILE_PX[rank])
    return PROGRAM_BYTES + bytes_per_px * frame * raw * frames + results + copies + tile


def refuse_larger_than_memory(name: str, needed_bytes: float, what: str) -> None:
    """Raise `ImageError` when the machine does not have the memory that `what` takes: it would come to a standstill, or be killed.

    >>> refuse_larger_than_memory("a.tif", 1e6, "reading it")
    """
    if needed_bytes > (available := machine_bytes()):
        raise ImageError(
            f"{name}: {what} takes about {needed_bytes / 1e9:.3g} GB of memory, this machine has {available / 1e9:.3g}; "
            "give a part of it (fewer planes or frames, a smaller field)"
        )
