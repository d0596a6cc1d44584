"""Random patches of the frames a network learns from, cut on the training device."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from zsdeconv.symbols import Batch


class PatchSampler:
    """Batches of random crops with random flips and quarter turns of `frames`, each `c *zyx`.

    Only symmetries of the pixel grid are used: they move whole pixels, so noise that was white stays white, which an
    interpolating rotation would not leave so. Quarter turns need square patches: the lateral patch is at most as wide as
    the narrowest frame. A frame is drawn with the probability of its share of all pixels.

    >>> sampler = PatchSampler([torch.rand(2, 40, 30)], patch_px=16, batch=3)
    >>> sampler(torch.Generator().manual_seed(0)).shape
    torch.Size([3, 2, 16, 16])
    """

    def __init__(self, frames: Sequence[Tensor], patch_px: int, batch: int) -> None:
        lateral = min(patch_px, *(n for frame in frames for n in frame.shape[-2:]))
        self.frames, self.batch = list(frames), batch
        self.patch_px = (*frames[0].shape[1:-2], lateral, lateral)
        self.shares = torch.tensor([float(frame[0].numel()) for frame in frames])

    def __call__(self, generator: torch.Generator) -> Batch:
        """One batch `b c *zyx`; where and how is drawn from `generator`, a generator of the CPU."""
        chosen = torch.multinomial(self.shares, self.batch, replacement=True, generator=generator)
        return torch.stack([self._patch(self.frames[i], generator) for i in chosen.tolist()])

    def _patch(self, frame: Tensor, generator: torch.Generator) -> Tensor:
        for axis, size in enumerate(self.patch_px, start=1):
            start = _draw(frame.shape[axis] - size + 1, generator)
            frame = frame.narrow(axis, start, size)
        return turned(frame, _draw(8, generator))


def turned(x: Tensor, symmetry: int) -> Tensor:
    """One of the eight symmetries of the lateral square: `symmetry % 4` quarter turns, then a flip along x from 4 on.

    >>> turned(torch.tensor([[1, 2], [3, 4]]), 5).tolist()
    [[4, 2], [3, 1]]
    """
    x = torch.rot90(x, symmetry % 4, (-2, -1))
    return x.flip(-1) if symmetry >= 4 else x


def _draw(n: int, generator: torch.Generator) -> int:
    return int(torch.randint(n, (), generator=generator))
