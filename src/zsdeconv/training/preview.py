"""Pictures of what a network has learnt so far: one small region of the training data, the same one at each validation."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn

from zsdeconv.acquisition.base import Measurement
from zsdeconv.nn.contract import as_network
from zsdeconv.progress.pictures import Preview, most_structure

REGION_PX = 64
"""Side of the region, raw pixels. Chosen: it fits a terminal, and the network needs a fraction of a second for it."""
CONTEXT_PX = 32
"""Pixels around it that the network sees. Chosen: half the region's side; a picture for the eye needs not the whole halo of the network."""
CONTEXT_PLANES = 4
"""Planes above and below it that the network sees. Chosen: as many as light is reckoned with in patches (`training.objectives`)."""


class Previewer:
    """Makes pictures (`Preview`) of the place with the most structure in the first of some measurements; of a stack in its plane there.

    The network is given the data as they are, without added noise: nothing is drawn, and a training is the same with pictures as without.
    """

    def __init__(self, measurements: Sequence[Measurement]) -> None:
        y = measurements[0].y
        *axial, top, left = self.place = structured_place(y)
        sizes = [min(REGION_PX, n) for n in y.shape[-2:]]
        around = [(max(0, z - CONTEXT_PLANES), min(n, z + CONTEXT_PLANES + 1)) for z, n in zip(axial, y.shape, strict=False)]
        lateral = list(zip((top, left), sizes, y.shape[-2:], strict=True))
        around += [(max(0, first - CONTEXT_PX), min(n, first + size + CONTEXT_PX)) for first, size, n in lateral]
        self.seen = y[tuple(slice(*span) for span in around)][None, None]
        self.planes = [z - first for z, (first, _) in zip(axial, around, strict=False)]
        self.window = [(first - span[0], size) for (first, size, _), span in zip(lateral, around[-2:], strict=True)]

    @torch.no_grad()
    def __call__(self, network: nn.Module, stages: int) -> Preview:
        """The pictures by the present weights; `stages` 1 for those of stage 1 alone."""
        denoised, deconvolved = as_network(network)(self.seen, stage=stages)
        fine = None if stages == 1 else self._picture(deconvolved)
        return Preview(self._picture(self.seen), self._picture(denoised), fine)

    def _picture(self, image: Tensor) -> np.ndarray:
        factor = image.shape[-1] // self.seen.shape[-1]
        window = tuple(slice(first * factor, (first + size) * factor) for first, size in self.window)
        return image[(0, 0, *self.planes, *window)].float().cpu().numpy()


def structured_place(y: Tensor) -> tuple[int, ...]:
    """The first pixel of the region with the most structure, where smoothed intensities vary most; of a stack with its plane.

    >>> y = torch.zeros(3, 200, 100)
    >>> y[1, 150:154, 20:24] = 1.0
    >>> plane, top, left = structured_place(y)
    >>> plane, top <= 150 <= top + 60, left <= 20 <= left + 60
    (1, True, True)
    """
    sizes = [min(REGION_PX, n) for n in y.shape[-2:]]
    best, place = -1.0, (0, 0, 0)
    for number, plane in enumerate(y.reshape(-1, *y.shape[-2:]).cpu().numpy()):
        variance, corner = most_structure(plane, sizes)
        if variance > best:
            best, place = variance, (number, *corner)
    return place if y.ndim == 3 else place[1:]
