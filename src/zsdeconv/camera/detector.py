"""The variance law of a camera (Eq. 3)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np

from zsdeconv.errors import ConfigError

Array = TypeVar("Array", bound=Any)


@dataclass(frozen=True)
class Camera:
    """Offset `b` (ADU), gain `beta1` (ADU per photo-electron), read variance `beta2` (ADU^2, quantisation included).

    Raises `ConfigError` for values that no camera can have.

    >>> Camera(offset=100.0, gain=2.0, read_variance=9.0).variance(np.array([-5.0, 0.0, 50.0])).tolist()
    [9.0, 9.0, 109.0]
    """

    offset: float
    gain: float
    read_variance: float

    def __post_init__(self) -> None:
        if not np.isfinite(self.offset):
            raise ConfigError(f"camera offset {self.offset} ADU, it must be a finite number; give background")
        if not (np.isfinite(self.gain) and self.gain >= 0):
            raise ConfigError(f"camera gain {self.gain} ADU per electron: it must be 0 or more; calibrate with dark and flat frames")
        if not (np.isfinite(self.read_variance) and self.read_variance >= 0):
            raise ConfigError(f"read variance {self.read_variance} ADU^2: it must be 0 or more; calibrate with dark and flat frames")

    @property
    def read_noise(self) -> float:
        """Standard deviation of the signal-independent noise, `sqrt(beta2)`, ADU."""
        return float(np.sqrt(self.read_variance))

    def variance(self, signal_above_offset: Array) -> Array:
        """`sigma^2 = beta1 max(signal, 0) + beta2` (Eq. 3), ADU^2, for an array or tensor of any shape (ADU above offset)."""
        return self.gain * signal_above_offset.clip(0) + self.read_variance


def signal_estimate(y: np.ndarray, offset: float) -> np.ndarray:
    """Signal estimate `max(A(y - b), 0)` of Eq. 3 (ADU above offset), where A is the lateral mean over 5 x 5 pixels.

    `y` is `... y x` in ADU; the border repeats the edge pixel. The result has the shape of `y` and is floating point.

    >>> signal_estimate(np.array([[100.0, 100.0, 100.0], [100.0, 125.0, 100.0], [100.0, 100.0, 100.0]]), 100.0)[1].round(6).tolist()
    [1.0, 1.0, 1.0]
    """
    from scipy.ndimage import uniform_filter

    signal = np.asarray(y, np.result_type(y, np.float32)) - offset
    mean = uniform_filter(signal, (1,) * (signal.ndim - 2) + (5, 5), mode="nearest")  # pyright: ignore[reportArgumentType]
    return np.maximum(mean, 0)
