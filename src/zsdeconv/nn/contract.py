"""What every network promises."""

from __future__ import annotations

from typing import Protocol, cast, runtime_checkable

from torch import nn

from zsdeconv.notation import Batch


@runtime_checkable
class RestorationNetwork(Protocol):
    """Both stages `f'` and `f`: a raw image to the denoised image (raw grid) and the deconvolved image (fine grid)."""

    @property
    def halo_px(self) -> int | tuple[int, ...]:
        """Distance in raw pixels (one number, or one per axis) beyond which an input pixel does not change an output pixel."""
        ...

    @property
    def stride_px(self) -> int | tuple[int, ...]:
        """Raw pixels at whose multiples tiles begin."""
        ...

    @property
    def symmetries(self) -> int:
        """Number of symmetries of the lateral square in which the network can be applied; 1 for none."""
        ...

    @property
    def stage1(self) -> nn.Module:
        """The layers of `f'`."""
        ...

    @property
    def stage2(self) -> nn.Module:
        """The layers that only `f` has."""
        ...

    def __call__(self, x: Batch, stage: int = 2, symmetry: int = 0) -> tuple[Batch, Batch]:
        """Denoised and deconvolved image of `x` (`b 1 *zyx`, any size); with `stage` 1 the denoised image twice."""
        ...


def as_network(module: nn.Module) -> RestorationNetwork:
    """A module of the table of networks, or one that wraps it, under the type of its contract."""
    return cast(RestorationNetwork, module)


def forward_with_symmetry(network: RestorationNetwork, n: int, x: Batch, stage: int = 2) -> tuple[Batch, Batch]:
    """Pass number `n` of several over one image: each in another symmetry, where the network has several."""
    return network(x, stage=stage, symmetry=n % network.symmetries)
