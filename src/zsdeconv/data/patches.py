"""Random patches of the training data, cut on the training device."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from zsdeconv.notation import Batch
from zsdeconv.physics import grid

Sample = tuple[Tensor, ...]
"""Images of one field, each `*zyx`; the first is on the coarsest grid, the others on the same grid or on integer multiples of it."""


def fitted_patch(requested: Sequence[int], smallest: Sequence[int]) -> tuple[int, ...]:
    """Size of the patches of images of the `smallest` size along each axis: as `requested` where it fits, and laterally square, for
    patches are turned.

    >>> fitted_patch((16, 48, 48), (9, 40, 33))
    (9, 33, 33)
    """
    *axial, height, width = (min(n, size) for n, size in zip(requested, smallest, strict=True))
    return (*axial, min(height, width), min(height, width))


class PatchSampler:
    """Batches of random crops with random flips and quarter turns, the same for all images of a sample.

    Flips and quarter turns move whole pixels, so white noise stays white, which interpolation would change. Quarter turns
    need square patches, hence both lateral sizes are at most the smallest lateral size of any sample. Patches are not
    flipped along z, because PSFs need not be symmetric there. A sample is drawn with a probability proportional to its
    number of pixels.

    Parameters
    ----------
    samples
        The training data.
    patch_px
        Lateral size, where volumes keep all slices, or one size per axis; reduced to that of the smallest sample.
    batch
        Patches per batch.
    symmetries
        Numbers of the permitted symmetries (`grid.apply_symmetry`), all eight by default.

    Examples
    --------
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
        requested = [*smallest[:-2], patch_px, patch_px] if isinstance(patch_px, int) else patch_px
        self.samples, self.batch, self.symmetries = list(samples), batch, list(symmetries)
        self.patch_px = fitted_patch(requested, smallest)
        self.weights = torch.tensor([float(sample[0].numel()) for sample in samples])

    def __call__(self, generator: torch.Generator) -> tuple[Batch, ...]:
        """One batch `b 1 *zyx` of each image; sample, position and symmetry are drawn from `generator`, which is one of the CPU."""
        drawn = torch.multinomial(self.weights, self.batch, replacement=True, generator=generator)
        patches = [self._patch(self.samples[i], generator) for i in drawn.tolist()]
        return tuple(torch.stack(images)[:, None] for images in zip(*patches, strict=True))

    def _patch(self, sample: Sample, generator: torch.Generator) -> list[Tensor]:
        sizes = sample[0].shape
        start = [_draw(n - p + 1, generator) for n, p in zip(sizes, self.patch_px, strict=True)]
        symmetry = self.symmetries[_draw(len(self.symmetries), generator)]
        return [grid.apply_symmetry(_window(image, sizes, start, self.patch_px), symmetry) for image in sample]


def _window(image: Tensor, coarse: Sequence[int], start: Sequence[int], size: Sequence[int]) -> Tensor:
    """The part of `image` that covers `size` pixels from `start` on the coarsest grid, where its own shape would be `coarse`."""
    factors = [n // c for n, c in zip(image.shape, coarse, strict=True)]
    return image[tuple(slice(a * f, (a + n) * f) for a, n, f in zip(start, size, factors, strict=True))]


def _draw(n: int, generator: torch.Generator) -> int:
    return int(torch.randint(n, (), generator=generator))
