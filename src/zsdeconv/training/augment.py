"""Random views of objects: what may be done to a scene before the lens sees it."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from zsdeconv.notation import Batch

ZOOM = (0.7, 1.1)
"""How much smaller or larger objects are shown. Smaller ones have finer detail than the estimate they come from."""


class ObjectAugmenter:
    """Batches of views of `objects`, each `part *zyx` and without noise, turned laterally by any angle, mirrored or not, and zoomed.

    `view_px` is the size of a view along `*zyx`, laterally square; along z it shows some of the planes as they are. The parts of an
    object, of whatever it consists, are seen alike.

    Unlike a noisy image (`PatchSampler`) an object may be interpolated: there is no noise to keep white, and the lens comes
    after, so it need not be turned along. Where a view leaves the object it sees its mirror image. What is shown smaller by `s`
    is `1/s` times brighter, which keeps the blurred image of a thin line as bright as it was.

    In objects of a skewed stack each plane shows what lies `shift_px` farther along y than in the one before it. They are turned in the
    directions of camera and detection axis, so that what is upright there stays upright, and seen as skewed as before.

    >>> ObjectAugmenter([torch.rand(2, 80, 60)], view_px=(32, 32), batch=3)(torch.Generator().manual_seed(0)).shape
    torch.Size([3, 2, 32, 32])
    """

    def __init__(self, objects: Sequence[Tensor], view_px: Sequence[int], batch: int, shift_px: float = 0.0) -> None:
        assert view_px[-1] == view_px[-2], f"views of {view_px} pixels are not square"
        self.objects, self.view_px, self.batch = list(objects), tuple(view_px), batch
        self.shift_px = shift_px
        self.shares = torch.tensor([float(x.numel()) for x in objects])

    def __call__(self, generator: torch.Generator) -> Batch:
        """One batch `b part *zyx`; what is seen of which object is drawn from `generator`, a generator of the CPU."""
        chosen = torch.multinomial(self.shares, self.batch, replacement=True, generator=generator)
        return torch.stack([self._view(self.objects[i], generator) for i in chosen.tolist()])

    def _view(self, x: Tensor, generator: torch.Generator) -> Tensor:
        for axis, n in enumerate(self.view_px[:-2], start=1):
            x = x.narrow(axis, int(torch.randint(x.shape[axis] - n + 1, (), generator=generator)), n)
        angle, zoom, side, *centre = torch.rand(5, generator=generator).tolist()
        zoom = ZOOM[0] + (ZOOM[1] - ZOOM[0]) * zoom
        grid = sampling_grid(x.shape[-2:], self.view_px[-1], 2 * math.pi * angle, zoom, mirrored=side < 0.5, centre=centre).to(x.device)
        if self.shift_px:
            return self._skewed(x, grid, 2 * math.pi * angle, zoom)
        planes = x.reshape(1, -1, *x.shape[-2:])
        seen = F.grid_sample(planes, grid, mode="bicubic", padding_mode="reflection", align_corners=False)
        return seen.clamp(min=0).div(zoom).reshape(len(x), *self.view_px)

    def _skewed(self, x: Tensor, grid: Tensor, angle: float, zoom: float) -> Tensor:
        """A view of the planes of a skewed object: at `u` plane j shows `A (u + j shift e_y) - j shift e_y`, where an upright one shows
        `A u`.
        """
        planes, (height, width) = x.shape[1], x.shape[-2:]
        moved_px = self.shift_px * (torch.arange(planes, device=x.device) - (planes - 1) / 2)
        aside, along = -math.sin(angle) / zoom * moved_px * 2 / width, (math.cos(angle) / zoom - 1) * moved_px * 2 / height
        grids = grid + torch.stack((aside, along), -1)[:, None, None]
        seen = F.grid_sample(x.transpose(0, 1), grids, mode="bicubic", padding_mode="reflection", align_corners=False)
        return seen.clamp(min=0).div(zoom).transpose(0, 1)


def sampling_grid(yx_shape: Sequence[int], view_px: int, angle: float, zoom: float, *, mirrored: bool, centre: Sequence[float]) -> Tensor:
    """Sampling points of a view, `1 y x 2`, in the units of `grid_sample` (x before y, borders at -1 and 1).

    `centre` goes from 0 to 1 along y and x, over all places at which an upright view at zoom 1 lies within the image (its middle
    where there is none).

    >>> grid = sampling_grid((4, 8), 2, 0.0, 1.0, mirrored=False, centre=(0.0, 0.5))
    >>> grid[0, :, :, 0].tolist(), grid[0, :, :, 1].tolist()
    ([[-0.125, 0.125], [-0.125, 0.125]], [[-0.75, -0.75], [-0.25, -0.25]])
    """
    reach_y, reach_x = (view_px / size for size in yx_shape)
    y, x = ((2 * c - 1) * max(1 - reach, 0.0) for c, reach in zip(centre, (reach_y, reach_x), strict=True))
    cos, sin, sign = math.cos(angle) / zoom, math.sin(angle) / zoom, -1.0 if mirrored else 1.0
    matrix = torch.tensor([[[sign * cos * reach_x, -sin * reach_x, x], [sign * sin * reach_y, cos * reach_y, y]]])
    return F.affine_grid(matrix, [1, 1, view_px, view_px], align_corners=False)
