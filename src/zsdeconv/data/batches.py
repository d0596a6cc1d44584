"""Where the pairs come from that a network learns from: fresh batches, all drawn from one run's generators."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import torch
from torch import Tensor, nn

from zsdeconv.config import TrainingSection
from zsdeconv.data.pairs import BlindSpots, Interleaving, PairMaker
from zsdeconv.data.patches import PatchSampler, Sample
from zsdeconv.physics import grid
from zsdeconv.physics.operators import Operator


class RandomStreams:
    """All randomness of a training run: one generator on the CPU, one on the training device."""

    def __init__(self, seed: int, device: torch.device) -> None:
        self.host = torch.Generator().manual_seed(seed)
        self.device = torch.Generator(device).manual_seed(seed + 1)

    def state(self) -> dict[str, Tensor]:
        """State to be restored later."""
        return {"host": self.host.get_state(), "device": self.device.get_state()}

    def restore(self, state: dict[str, Tensor]) -> None:
        """Continue where `state` was taken."""
        self.host.set_state(state["host"])
        self.device.set_state(state["device"])


class Pairs(Protocol):
    """Where the pairs come from that a denoiser learns from; `patch_px` is the size of its input."""

    patch_px: tuple[int, ...]

    def __call__(self, network: nn.Module, draws: RandomStreams) -> tuple[Tensor, Tensor, Tensor | None]:
        """A fresh batch: `y_hat`, `y_tilde` and, where they do not show quite the same object, the gap `G` between them."""
        ...


class SplitPairs:
    """Pairs of patches of the samples `(y, A(y - b))`, each made of one patch by re-corruption (Eq. 2) or splitting.

    Samples of a camera whose pixels differ hold their read variances as a third image.

    Where the noise of neighbouring pixels is not independent, `colour` makes of independent noise what is in `y`. Where noise has a
    direction, patches are turned after it was drawn (`turn_last`).
    """

    def __init__(
        self,
        samples: Sequence[Sample],
        maker: PairMaker,
        training: TrainingSection,
        symmetries: Sequence[int] = range(grid.SYMMETRIES),
        colour: Operator | None = None,
        turn_last: bool = False,
    ) -> None:
        self.maker, self.colour, self.turns = maker, colour, list(symmetries) if turn_last else []
        self.sampler = PatchSampler(samples, training.patch(samples[0][0].ndim), training.batch, [0] if turn_last else symmetries)
        self.patch_px = self.sampler.patch_px

    def __call__(self, network: nn.Module, draws: RandomStreams) -> tuple[Tensor, Tensor, None]:
        y, signal, *read_variances = self.sampler(draws.host)
        hat, tilde = self.maker.of_pixels(*read_variances).deviations(y, signal, draws.device, self.colour or (lambda z: z))
        y_hat, y_tilde = y + hat, y + tilde
        if self.turns:
            drawn = torch.randint(len(self.turns), (len(y),), generator=draws.host).tolist()
            y_hat, y_tilde = (
                torch.stack([grid.apply_symmetry(each, self.turns[n]) for each, n in zip(images, drawn, strict=True)])
                for images in (y_hat, y_tilde)
            )
        return y_hat, y_tilde, None


class InterleavedPairs:
    """Pairs of the odd and the even slices of stacks (Eq. 8), with the gap `G = S_odd(f'(z)) - S_even(f'(z))` between them."""

    def __init__(self, samples: Sequence[Sample], training: TrainingSection, symmetries: Sequence[int] = range(grid.SYMMETRIES)) -> None:
        planes, *lateral = training.patch(samples[0][0].ndim)
        self.interleave = Interleaving()
        self.sampler = PatchSampler(samples, (2 * planes, *lateral), training.batch, symmetries)
        self.patch_px = (self.sampler.patch_px[0] // 2, *self.sampler.patch_px[1:])

    def __call__(self, network: nn.Module, draws: RandomStreams) -> tuple[Tensor, Tensor, Tensor]:
        z = self.sampler(draws.host)[0]
        even_first = self.interleave.order(len(z), z.device, draws.device)
        y_hat, y_tilde = self.interleave.split(z, even_first)
        with torch.no_grad():
            first, second = self.interleave.split(network(z, stage=1)[0], even_first)
        return y_hat, y_tilde, first - second


class BlindPatches:
    """Patches with hidden pixels (`BlindSpots`): `y_hat`, `y`, and where `y` is hidden in `y_hat`."""

    def __init__(self, samples: Sequence[Sample], training: TrainingSection, symmetries: Sequence[int] = range(grid.SYMMETRIES)) -> None:
        self.blind = BlindSpots()
        self.sampler = PatchSampler(samples, training.patch(samples[0][0].ndim), training.batch, symmetries)
        self.patch_px = self.sampler.patch_px

    def __call__(self, draws: RandomStreams) -> tuple[Tensor, Tensor, Tensor]:
        (y,) = self.sampler(draws.host)
        y_hat, hidden = self.blind(y, draws.device)
        return y_hat, y, hidden
