"""Random patches of what a network learns from, cut on the training device."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from zsdeconv.notation import Batch
from zsdeconv.physics import grid

Sample = tuple[Tensor, ...]
"""Images of one field, each `*zyx`, the first on the coarsest grid and the others on it or on whole multiples of it."""


class PatchSampler:
    """Batches of random crops with random flips and quarter turns of `samples`, the same for all images of a sample.

    `patch_px` is the lateral size, and volumes keep all their slices; or one size per axis. No patch is larger than the
    smallest sample. Only symmetries of the pixel grid are used: they move whole pixels, so noise that was white stays white,
    which an interpolating rotation would not leave so. Quarter turns need square patches: both lateral sizes are those of
    the narrowest sample at most. Nothing is mirrored along z, where a lens need not be symmetric. A sample is drawn with the
    probability of its share of all pixels. Of all `symmetries` (`grid.apply_symmetry`) only some may be allowed.

    >>> sampler = PatchSampler([(torch.rand(40, 30), torch.rand(80, 60))], patch_px=16, batch=3)
    >>> [x.shape for x in sampler(torch.Generator().manual_seed(0))]
    [torch.Size([3, 1, 16, 16]), torch.Size([3, 1, 32, 32])]
    """

    def __init__(
        self,
        samples: Sequence[Sample],
        patch_px: int | Sequence[int],
        batch: int,
        symmetries: Sequence[int] = range(grid.SYMMETRIES),
    ) -> None:
        smallest = [min(sizes) for sizes in zip(*(sample[0].shape for sample in samples), strict=True)]
        wanted = [*smallest[:-2], patch_px, patch_px] if isinstance(patch_px, int) else patch_px
        *axial, height, width = (min(n, size) for n, size in zip(wanted, smallest, strict=True))
        self.samples, self.batch, self.symmetries = list(samples), batch, list(symmetries)
        self.patch_px = (*axial, min(height, width), min(height, width))
        self.shares = torch.tensor([float(sample[0].numel()) for sample in samples])

    def __call__(self, generator: torch.Generator) -> tuple[Batch, ...]:
        """One batch `b 1 *zyx` of each image; where and how is drawn from `generator`, a generator of the CPU."""
        chosen = torch.multinomial(self.shares, self.batch, replacement=True, generator=generator)
        patches = [self._patch(self.samples[i], generator) for i in chosen.tolist()]
        return tuple(torch.stack(images)[:, None] for images in zip(*patches, strict=True))

    def _patch(self, sample: Sample, generator: torch.Generator) -> list[Tensor]:
        sizes = sample[0].shape
        start = [_draw(n - p + 1, generator) for n, p in zip(sizes, self.patch_px, strict=True)]
        symmetry = self.symmetries[_draw(len(self.symmetries), generator)]
        return [grid.apply_symmetry(_window(image, sizes, start, self.patch_px), symmetry) for image in sample]


def _window(image: Tensor, coarse: Sequence[int], start: Sequence[int], size: Sequence[int]) -> Tensor:
    """The part of `image` over the coarse pixels from `start` on, `size` of them."""
    factors = [n // c for n, c in zip(image.shape, coarse, strict=True)]
    return image[tuple(slice(a * f, (a + n) * f) for a, n, f in zip(start, size, factors, strict=True))]


def _draw(n: int, generator: torch.Generator) -> int:
    return int(torch.randint(n, (), generator=generator))
