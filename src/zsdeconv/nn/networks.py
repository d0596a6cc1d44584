"""The table of networks."""

from __future__ import annotations

from functools import partial

import torch
from torch import nn

from zsdeconv.config import Config
from zsdeconv.nn.ensemble import Ensemble
from zsdeconv.nn.fast import FastNet
from zsdeconv.nn.rcan import TwoStageRCAN
from zsdeconv.nn.unet import TwoStageUNet
from zsdeconv.physics.operators import Operator

PUBLISHED = {
    "unet": TwoStageUNet,
    "rcan": TwoStageRCAN,
    "rcan-sim": partial(TwoStageRCAN, blocks_per_group=4, tail=256, relu_between=True),
}
"""The networks of the publication by the name of their kind, for images of any rank."""


def make_network(config: Config, rank: int, forward_operator: Operator, scale: int | None = None) -> nn.Module:
    """The network that `config` names, with first weights drawn from `config.seed`; `scale` is that of `config` unless given.

    Called with `b 1 *zyx` it gives `(denoised, deconvolved)`; it knows its `halo_px` and `stride_px`. An ensemble of them where the
    training is of several: the seed of each is one higher than that of the one before.
    """
    scale, count = config.scale if scale is None else scale, config.training.ensemble
    members = [_single(config, config.seed + n, rank, forward_operator, scale) for n in range(count)]
    return members[0] if count == 1 else Ensemble(members)


def _single(config: Config, seed: int, rank: int, forward_operator: Operator, scale: int) -> nn.Module:
    kind = config.network.kind
    if kind in PUBLISHED:
        return PUBLISHED[kind](rank, scale, generator=torch.Generator().manual_seed(seed))
    with torch.random.fork_rng(devices=[]):  # layers of torch draw their first weights from the global generator
        torch.manual_seed(seed)
        options = config.network.model_dump(include={"channels", "lateral_first", "coarse_start"})
        return FastNet(rank, scale, forward_operator, **options)
