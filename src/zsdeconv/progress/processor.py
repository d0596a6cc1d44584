"""How fast the processor is now, for tasks that are not the network's: filters, transforms, figures."""

from __future__ import annotations

import time

from zsdeconv.progress.tasks import is_known, is_watched, measured

REFERENCE_S = 0.01
"""Time of one transform and back on the processor core whose second is the unit of "machine". Chosen: an idle core of 2020."""
SIDE_PX = 512
"""Side of the image that is transformed. Chosen: it does not fit the fast memory of a core, as images do not."""
REPEATS = 10
"""Transforms. Chosen: a tenth of a second, long enough to notice what else the machine has to do."""


def measure_processor() -> None:
    """Time some Fourier transforms, where somebody watches and it was not done before."""
    if not is_watched() or is_known("machine"):
        return
    import numpy as np

    image = np.outer(np.arange(SIDE_PX), np.arange(SIDE_PX)) % 7.0
    started = time.perf_counter()
    for _ in range(REPEATS):
        image = np.fft.irfft2(np.fft.rfft2(image))
    measured("machine", (time.perf_counter() - started) / (REPEATS * REFERENCE_S))
