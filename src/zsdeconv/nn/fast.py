"""Our own network: two small U-Nets around a Richardson-Lucy estimate, made to learn within minutes on a CPU."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import nn
from torch.nn import functional as F

from zsdeconv.nn import layers
from zsdeconv.notation import Batch
from zsdeconv.physics import grid
from zsdeconv.physics.deconvolve import richardson_lucy
from zsdeconv.physics.operators import Blur, Operator
from zsdeconv.physics.resample import cropped, half_widths_for_energy

RL_SNAPSHOTS = (3, 8)
"""Richardson-Lucy iterations whose estimates the second stage reads: a blurred and safe one, a sharp and noisy one."""

LATERAL_HALO_PX = {2: 64, 3: 56}
"""Where trained networks of each rank no longer see anything: less than 1e-5 of the range came from beyond 60 and 48 pixels."""
NEGATIVE_SLOPE = 0.05
"""Light is not negative: what the second stage gives below zero is shrunk by this, and not cut, so that it can still learn."""
COARSE_ENERGY = 0.95
"""Light of the PSF that the warm start on the raw grid reckons with: what is far out costs much time and sharpens little."""


class UNet(nn.Module):
    """Small U-Net `b channels_in *zyx` -> `b channels_out *zyx`, sizes multiples of `stride_px`; starts as zero everywhere.

    `channels` are those of each level, finest first; two 3-wide convolutions a level each way, lateral mean pooling. With
    `lateral_first` the first of the two leaves z alone, which in a volume saves a third of the arithmetic. In a skewed stack, whose planes
    are shifted by `shift_px` each, kernels follow the objects to the nearest row of each level (`layers.ShearedConv`).

    >>> UNet(2, 1, 1, (4, 8))(torch.rand(1, 1, 6, 8)).abs().max().item()
    0.0
    >>> UNet(3, 1, 1, (4, 8), lateral_first=True).halo_px
    (3, 10, 10)
    """

    def __init__(
        self,
        rank: int,
        channels_in: int,
        channels_out: int,
        channels: Sequence[int],
        *,
        lateral_first: bool = False,
        shift_px: float = 0.0,
    ) -> None:
        super().__init__()
        self.rank, self.pool = rank, grid.lateral_factors(rank, 2)
        kernels = (grid.lateral_factors(rank, 3) if lateral_first else 3, 3)
        self.axial_convolutions = 1 if lateral_first else 2
        self.shifts_px = [round(shift_px / 2**depth) for depth in range(len(channels))]

        def level(before: int, n: int, depth: int) -> nn.Sequential:
            return layers.conv_leaky(rank, (before, n, n), kernels=kernels, shift_px=self.shifts_px[depth])

        widths = zip((channels_in, *channels[:-2]), channels[:-1], strict=True)
        self.encoder = nn.ModuleList(level(before, n, depth) for depth, (before, n) in enumerate(widths))
        self.middle = level(channels[-2], channels[-1], len(channels) - 1)
        below, decoder = channels[-1], []
        for depth, n in reversed(list(enumerate(channels[:-1]))):
            decoder.append(level(below + n, n, depth))
            below = n
        self.decoder = nn.ModuleList(decoder)
        self.head = layers.conv(rank, below, channels_out, kernel=1)
        for parameter in self.head.parameters():
            nn.init.zeros_(parameter)

    def forward(self, x: Batch) -> Batch:
        skips = []
        for encode in self.encoder:
            skips.append(encode(x))
            x = grid.mean_pool(skips[-1], self.pool)
        x = self.middle(x)
        for decode, skip in zip(self.decoder, reversed(skips), strict=True):
            x = decode(torch.cat((grid.upsample(x, self.pool), skip), 1))
        return self.head(x)

    @property
    def stride_px(self) -> tuple[int, ...]:
        """Size of the coarsest pooling block."""
        return grid.lateral_factors(self.rank, 2 ** len(self.encoder))

    @property
    def halo_px(self) -> tuple[int, ...]:
        """Safe bound along each axis of the distance between an output pixel and the input pixels it depends on."""
        levels = len(self.encoder)
        along_z = self.axial_convolutions * (2 * levels + 1)
        across = sum(4 * 2**level for level in range(levels)) + 3 * 2**levels
        return (along_z,) * (self.rank - 2) + (across + self.sheared_px, across)

    @property
    def sheared_px(self) -> int:
        """How much farther along y kernels reach that follow the objects of a skewed stack."""
        *outer, middle = [abs(shift) * 2**depth for depth, shift in enumerate(self.shifts_px)]
        return self.axial_convolutions * (2 * sum(outer) + middle)


class FastNet(nn.Module):
    """Both stages `f'` and `f`: raw noisy image to denoised image (raw grid) and deconvolved image (fine grid).

    Stage 1 is a 5-pixel mean plus a U-Net's correction. Stage 2 deconvolves its result by a few Richardson-Lucy iterations
    on `forward_operator` (`D H`, fine to raw grid) and corrects that by a second U-Net, so that an untrained network already
    is a classical deconvolution, and training can only add to it. Images are in the network's unit (offset out, bright
    pixels near 1). No gradient passes from stage 2 to stage 1.

    For volumes, where blurring can cost more than learning: `lateral_first` (see `UNet`), and a `coarse_start`, which
    deconvolves on the raw grid and leaves the refinement to the U-Net. Of a skewed stack, whose planes are shifted along y by `shift_px`
    raw pixels each, only the symmetries that leave this alone are used.

    >>> from zsdeconv.physics.operators import Downsample
    >>> denoised, deconvolved = FastNet(2, 2, Downsample(2, 2), (4, 8))(torch.rand(1, 1, 9, 7))
    >>> denoised.shape, deconvolved.shape
    (torch.Size([1, 1, 9, 7]), torch.Size([1, 1, 18, 14]))
    """

    def __init__(
        self,
        rank: int,
        scale: int,
        forward_operator: Operator,
        channels: Sequence[int],
        *,
        lateral_first: bool = False,
        coarse_start: bool = False,
        shift_px: float = 0.0,
    ) -> None:
        super().__init__()
        self.rank, self.scale, self.turns = rank, scale, grid.symmetries_of_scan(shift_px)
        self.start_operator = coarse_blur(forward_operator, rank, scale) if coarse_start else forward_operator
        self.start_scale = 1 if coarse_start else scale
        features = 1 + len(RL_SNAPSHOTS) * self.start_scale**2
        self.stage1 = UNet(rank, 1, 1, channels, lateral_first=lateral_first, shift_px=shift_px)
        self.stage2 = UNet(rank, features, scale**2, channels, lateral_first=lateral_first, shift_px=shift_px)
        self.to(memory_format=layers.memory_format(rank))  # pyright: ignore[reportCallIssue]

    def forward(self, x: Batch, stage: int = 2, symmetry: int = 0) -> tuple[Batch, Batch]:
        """Denoised and deconvolved image of `x`, `b 1 *zyx` of any size; with `stage` 1 the denoised one twice.

        With a `symmetry`, the number of one of `turns` (`grid.apply_symmetry`), stage 1 sees the image turned and its answer is turned
        back: it has learned from images turned in all ways and errs a little differently in each. Stage 2 knows the lens, which cannot be
        turned.
        """
        denoised = grid.smooth(x) + self._corrected(self.stage1, x, self.turns[symmetry])
        return denoised, self._deconvolved(denoised.detach()) if stage == 2 else denoised

    def _deconvolved(self, denoised: Batch) -> Batch:
        estimates = richardson_lucy(denoised, self.start_operator, RL_SNAPSHOTS, momentum="fixed")
        features = [denoised, *(grid.fine_to_channels(estimate, self.start_scale) for estimate in estimates)]
        correction = self._corrected(self.stage2, torch.cat(features, 1))
        start = grid.upsample(estimates[-1], grid.lateral_factors(self.rank, self.scale // self.start_scale))
        return F.leaky_relu(start + grid.channels_to_fine(correction, self.scale), NEGATIVE_SLOPE)

    def _corrected(self, unet: UNet, x: Batch, symmetry: int = 0) -> Batch:
        padded = grid.pad_to_multiple(x, unet.stride_px)
        padded = grid.apply_symmetry(padded, symmetry).contiguous(memory_format=layers.memory_format(self.rank))
        return grid.window(grid.undo_symmetry(unet(padded), symmetry), [0] * self.rank, x.shape[2:]).to(x.dtype)

    @property
    def symmetries(self) -> int:
        """Number of symmetries in which stage 1 sees images."""
        return len(self.turns)

    @property
    def stride_px(self) -> tuple[int, ...]:
        """Size of the coarsest pooling block, raw pixels: tiles that begin at its multiples see the same blocks."""
        return self.stage1.stride_px

    @property
    def halo_px(self) -> tuple[int, ...]:
        """Distance along each axis, raw pixels, beyond which an input pixel changes an output pixel by less than 1e-5 of the range.

        Richardson-Lucy reaches farther with every iteration, but what arrives from beyond four radii of the PSF is nothing. To that
        the U-Nets add all that they can reach. Laterally, where pooling lets deep ones reach far, their influence dies off long before:
        no more is taken than `LATERAL_HALO_PX`, unless a single part reaches farther (tests/nn/test_fast.py, tests/test_predict.py).
        """
        coarse = grid.lateral_factors(self.rank, self.start_scale)
        start = [4 * math.ceil(reach / factor) for reach, factor in zip(self.start_operator.support_px, coarse, strict=True)]
        *axial, height, width = zip(self.stage1.halo_px, self.stage2.halo_px, start, strict=True)
        enough = [LATERAL_HALO_PX[self.rank] + more for more in (self.stage1.sheared_px, 0)]
        return (*map(sum, axial), *(min(sum(parts), max(*parts, n)) for parts, n in zip((height, width), enough, strict=True)))


@torch.no_grad()
def coarse_blur(forward_operator: Operator, rank: int, scale: int, energy: float = COARSE_ENERGY) -> Blur:
    """`D H` of objects made of raw pixels, as a blur on the raw grid that keeps the fraction `energy` of the light.

    Where raw pixels are fine enough for the lens that says nearly all there is to say, on a quarter of the pixels.

    >>> from zsdeconv.physics.operators import Downsample
    >>> coarse_blur(Downsample(2, 2), 2, 2).kernel.round(6)  # no blur at all
    array([[1.]])
    """
    radius = [math.ceil(reach / f) + 1 for reach, f in zip(forward_operator.support_px, grid.lateral_factors(rank, scale), strict=True)]
    point = torch.zeros(1, 1, *(2 * r + 1 for r in radius), dtype=torch.float64)  # its mirror images cast no light in here
    point[(0, 0, *radius)] = 1.0
    image = forward_operator(grid.upsample(point, grid.lateral_factors(rank, scale)))[0, 0].numpy()
    kernel = cropped(image, half_widths_for_energy(image, energy))
    return Blur(kernel / kernel.sum())
