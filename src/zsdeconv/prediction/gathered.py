"""Restored frames put together again."""

from __future__ import annotations

import numpy as np


class GatheredFrames:
    """Frames put together to one array `t *zyx`; a single one is taken as it is, for images can be half as large as the memory."""

    def __init__(self, frames: int) -> None:
        self.frames, self.data = frames, np.empty(0, np.float32)

    def add(self, n: int, frame: np.ndarray) -> None:
        """Frame number `n`; all are of one size, and those that are never added stay 0."""
        if self.frames == 1:
            self.data = frame[None]
            return
        if not self.data.size:
            self.data = np.zeros((self.frames, *frame.shape), np.float32)
        self.data[n] = frame
