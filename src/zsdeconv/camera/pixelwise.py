"""A camera whose pixels have a read variance each, as camera maps know it."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Self

import torch
from torch import Tensor

from zsdeconv.camera.detector import CHUNK_PX, LEAST_READ_NOISE_E, Camera, drawn, log_factorial


@dataclass(frozen=True, eq=False)
class PixelwiseCamera(Camera):
    """`Camera` with the read variance `variances` in each pixel, broadcast to images; `read_variance` is the mean of the sensor.

    >>> law = PixelwiseCamera(0.0, 2.0, 5.0, torch.tensor([[1.0, 9.0]]))
    >>> law.variance(torch.full((1, 2), 3.0)).tolist(), law.within(slice(0, 1), slice(1, 2)).variance(torch.zeros(1, 1)).item()
    ([[7.0, 15.0]], 9.0)
    """

    variances: Tensor

    @classmethod
    def of(cls, law: Camera, variances: Tensor) -> Self:
        """A law with other read variances."""
        return cls(law.offset, law.gain, law.read_variance, variances)

    @property
    def read_variances(self) -> Tensor:
        return self.variances

    @property
    def read_noises(self) -> Tensor:
        return self.variances.sqrt()

    def on(self, device: torch.device) -> Self:
        return replace(self, variances=self.variances.to(device))

    def maps_of(self, y: Tensor) -> tuple[Tensor, ...]:
        return (self.variances.expand(y.shape),)

    def in_unit(self, scale: float) -> Self:
        return replace(super().in_unit(scale), variances=self.variances / scale**2)

    def within(self, y: slice, x: slice) -> Self:
        return replace(self, variances=self.variances[..., y, x])

    def _laws(self, chosen: Tensor) -> Iterator[Camera]:
        return (replace(self, variances=part) for part in self.variances.expand(chosen.shape)[chosen].split(CHUNK_PX))

    def _electrons(self, u: Tensor, mean: Tensor, generator: torch.Generator) -> Tensor:
        """As of a `Camera`, among as many numbers as the noisiest pixel needs."""
        read = (self.read_noises / self.gain).clamp(min=LEAST_READ_NOISE_E)
        reach = math.ceil(4 * float(read.max())) + 1
        start = ((mean * (u + read**2) / (mean + read**2)).round() - reach).clamp(min=0)
        n = start[:, None] + torch.arange(2 * reach + 1, dtype=u.dtype, device=u.device)
        score = n * mean.log()[:, None] - log_factorial(n) - 0.5 * ((u[:, None] - n) / read[:, None]).square()
        return start + drawn(score, generator)
