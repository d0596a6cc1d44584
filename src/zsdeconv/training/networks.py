"""The table of networks: kind -> constructor and training phases. A new network is one file in `nn/` and one row here."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import torch
from torch import nn

from zsdeconv.acquisition.base import Acquisition, Measurement
from zsdeconv.config import Config
from zsdeconv.errors import ConfigError
from zsdeconv.nn.ensemble import Ensemble
from zsdeconv.nn.fast import FastNet
from zsdeconv.nn.rcan import TwoStageRCAN
from zsdeconv.nn.unet import TwoStageUNet
from zsdeconv.physics.operators import Operator
from zsdeconv.training.objectives import MemberObjective, Phase, two_phases, two_stage_phase

Make = Callable[[Config, int, Operator, int, int, float], nn.Module]
"""`(config, rank, forward_operator, scale, seed, shift_px)` to a network with first weights drawn from `seed`."""
Phases = Callable[[Config, Acquisition, Sequence[Measurement]], list[Phase]]


@dataclass(frozen=True)
class NetworkKind:
    """How networks of a kind are made and trained.

    `settings` are those of the configuration, by their path, that only some kinds read and this one does (`config.relevance`).
    `learns_from_recorruption`: where the noise law holds, re-corrupted pairs are preferred to interleaved slices (METHOD 6.12).
    """

    make: Make
    phases: Phases
    settings: frozenset[str]
    learns_from_recorruption: bool = True


def _fast(config: Config, rank: int, forward_operator: Operator, scale: int, seed: int, shift_px: float) -> nn.Module:
    with torch.random.fork_rng(devices=[]):  # layers of torch draw their first weights from the global generator
        torch.manual_seed(seed)
        options = config.network.model_dump(include={"channels", "lateral_first", "coarse_start"})
        return FastNet(rank, scale, forward_operator, shift_px=shift_px, **options)


def _published(
    network: Callable[..., nn.Module], config: Config, rank: int, forward_operator: Operator, scale: int, seed: int, shift_px: float
) -> nn.Module:
    return network(rank, scale, generator=torch.Generator().manual_seed(seed))


TWO_STAGE_SETTINGS = frozenset({"loss.mu", "loss.lambda_hessian", "loss.norm", "training.margin_px", "training.margin_planes"})
"""Read by `two_stage_phase`."""
TWO_PHASE_SETTINGS = frozenset({"training.memory_bound", "training.stage2_fraction", "training.target_fwhm_fraction"})
"""Read by `two_phases`."""
_FAST_SETTINGS = frozenset({"network.channels", "network.lateral_first", "network.coarse_start"})


def _published_kind(network: Callable[..., nn.Module]) -> NetworkKind:
    return NetworkKind(partial(_published, network), two_stage_phase, TWO_STAGE_SETTINGS, learns_from_recorruption=False)


NETWORKS = {
    "fast": NetworkKind(_fast, two_phases, _FAST_SETTINGS | TWO_PHASE_SETTINGS),
    "unet": _published_kind(TwoStageUNet),
    "rcan": _published_kind(TwoStageRCAN),
    "rcan-sim": _published_kind(partial(TwoStageRCAN, blocks_per_group=4, tail=256, relu_between=True)),
}
"""`fast` is this project's own network, the others are those of the publication (METHOD 5)."""


def network_kind(config: Config) -> NetworkKind:
    """The row that the configuration names. Raises `ConfigError` for a name that is not in the table."""
    kind = config.network.kind
    if kind not in NETWORKS:
        raise ConfigError(f"network.kind {kind!r}: this version has {', '.join(NETWORKS)}; give one of them")
    return NETWORKS[kind]


def make_network(config: Config, rank: int, forward_operator: Operator, scale: int, shift_px: float = 0.0) -> nn.Module:
    """The network that `config` names, with first weights drawn from `config.seed`; `shift_px` is that of `Acquisition`.

    With `training.ensemble` above 1, an ensemble of them; the seed of each member is one higher than the one before.
    """
    make, count = network_kind(config).make, config.training.ensemble
    members = [make(config, rank, forward_operator, scale, config.seed + n, shift_px) for n in range(count)]
    return members[0] if count == 1 else Ensemble(members)


def training_phases(config: Config, acquisition: Acquisition, measurements: Sequence[Measurement]) -> list[Phase]:
    """The phases of a training on `measurements` of `acquisition`, each with its fraction of the budget; of all members of an ensemble.

    >>> import numpy as np
    >>> from zsdeconv.acquisition.direct import DirectAcquisition
    >>> from zsdeconv.camera.detector import Camera
    >>> from zsdeconv.config import resolve
    >>> from zsdeconv.data.normalize import Affine
    >>> from zsdeconv.physics.psf import Psf
    >>> psf = Psf(np.ones((1, 1)), (0.03, 0.03), "a point")
    >>> acquisition = DirectAcquisition(Affine(0.0, 1.0), Camera(0.0, 1.0, 1.0), psf, 2)
    >>> measurement = acquisition.measure(np.zeros((32, 32)), torch.device("cpu"))
    >>> [phase.name for phase, _ in training_phases(resolve({}), acquisition, [measurement])]
    ['denoise', 'reimage']
    """
    phases, count = network_kind(config).phases, config.training.ensemble
    if count == 1:
        return phases(config, acquisition, measurements)
    return [(MemberObjective(phase, n), part) for n in range(count) for phase, part in phases(config, acquisition, measurements)]
