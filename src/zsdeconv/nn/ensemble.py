"""Several networks that were trained alike from other first weights, in one: what they do not agree on is not in the data."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, cast

from torch import nn

from zsdeconv.nn.contract import RestorationNetwork, as_network
from zsdeconv.notation import Batch


class Ensemble(nn.Module):
    """`members` of one kind as one network: passes of a prediction go through them in turn, so that their mean and spread are the passes'.

    Called with a `symmetry` below `symmetries`, which counts members too: two passes with opposite noise for one member, then for the next.

    >>> from zsdeconv.physics.operators import Downsample
    >>> from zsdeconv.nn.fast import FastNet
    >>> ensemble = Ensemble([FastNet(2, 2, Downsample(2, 2), (4, 8)) for _ in range(3)])
    >>> [ensemble.turn(n) for n in (0, 1, 2, 5, 6)]
    [(0, 0), (0, 1), (1, 0), (2, 1), (0, 2)]
    """

    def __init__(self, members: Iterable[nn.Module]) -> None:
        super().__init__()
        self.members = nn.ModuleList(members)
        first = as_network(self.members[0])
        self.halo_px, self.stride_px, self._own = first.halo_px, first.stride_px, first.symmetries
        self.symmetries = len(self.members) * 2 * -(-self._own // 2)

    def turn(self, symmetry: int) -> tuple[int, int]:
        """Member and its own symmetry at a place of the sequence."""
        pair, sign = divmod(symmetry, 2)
        round_, member = divmod(pair, len(self.members))
        return member, (2 * round_ + sign) % self._own

    @property
    def stage1(self) -> nn.Module:
        """Stage 1 of all members."""
        return nn.ModuleList([as_network(member).stage1 for member in self.members])

    @property
    def stage2(self) -> nn.Module:
        """Stage 2 of all members."""
        return nn.ModuleList([as_network(member).stage2 for member in self.members])

    def forward(self, x: Batch, stage: int = 2, symmetry: int = 0, *, member: int | None = None) -> tuple[Batch, Batch]:
        """The images of the member whose turn it is; with `member` of that one, and the `symmetry` is its own."""
        chosen, own = self.turn(symmetry) if member is None else (member, symmetry)
        return self.members[chosen](x, stage=stage, symmetry=own)


class Member(nn.Module):
    """One member of an ensemble, called through the whole, which may stand on a device in a precision of its own.

    >>> import torch
    >>> from zsdeconv.physics.operators import Downsample
    >>> from zsdeconv.nn.fast import FastNet
    >>> ensemble = Ensemble([FastNet(2, 2, Downsample(2, 2), (4, 8)) for _ in range(2)])
    >>> members_of(ensemble)[1](torch.rand(1, 1, 16, 16))[1].shape
    torch.Size([1, 1, 32, 32])
    """

    def __init__(self, ensemble: nn.Module, number: int) -> None:
        super().__init__()
        own = cast(Any, ensemble).members[number]
        network = as_network(own)
        self.halo_px, self.stride_px, self.symmetries = network.halo_px, network.stride_px, network.symmetries
        for name, part in own.named_children():
            self.add_module(name, part)
        self._through = (ensemble, number)  # in a tuple: the ensemble is not a part of its member

    @property
    def own(self) -> RestorationNetwork:
        """The member itself, without the ensemble around it."""
        ensemble, number = self._through
        return as_network(cast(Any, ensemble).members[number])

    @property
    def stage1(self) -> nn.Module:
        return self.own.stage1

    @property
    def stage2(self) -> nn.Module:
        return self.own.stage2

    def forward(self, x: Batch, stage: int = 2, symmetry: int = 0) -> tuple[Batch, Batch]:
        ensemble, number = self._through
        return ensemble(x, stage=stage, symmetry=symmetry, member=number)


def members_of(network: nn.Module) -> list[nn.Module]:
    """The members of an ensemble, to be called through it; any other network alone."""
    count = len(getattr(network, "members", []))
    return [Member(network, n) for n in range(count)] or [network]
