"""Training pairs made on the fly: two images with independent noise from one.

`Recorruption` adds noise and takes it away (Eq. 2), `Interleaving` takes every other slice of a stack (Eq. 8); `choose_pairs`
decides between them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from zsdeconv.camera.detector import Camera, signal_estimate
from zsdeconv.notation import Batch

Range = tuple[float, float]

FEWEST_SLICES = 8
"""Slices of a stack from which interleaving leaves each half enough to be called a stack."""
LARGEST_DIFFERENCE = 0.1
"""Share of the signal's variance by which neighbouring slices may differ: two slices that correlate to 95 % differ by so much."""


@dataclass(frozen=True)
class Recorruption:
    """Noise-independent pair from one image (Eq. 2, 3).

    `y_hat = y + alpha z` and `y_tilde = y - z / alpha` with `z ~ N(0, sigma^2)`, `sigma^2 = beta1 A(y - b) + beta2`. When
    `sigma^2` is the true variance of `y`, `Cov(y_hat, y_tilde | x) = Var(y) - Var(z) = 0`: whoever predicts one from the
    other in the sense of least squares predicts the clean image.

    `camera` holds the estimates of `beta1` and `beta2` in the unit of the images. As estimates are never exact, each pair
    draws `alpha` and its own multiples of `beta1` and `beta2`, uniformly from the ranges given.

    >>> from zsdeconv.camera.detector import Camera
    >>> recorrupt = Recorruption(Camera(offset=0.0, gain=1.0, read_variance=4.0), alpha=(2.0, 2.0))
    >>> y, generator = torch.full((1, 1, 8, 8), 50.0), torch.Generator().manual_seed(0)
    >>> y_hat, y_tilde = recorrupt(y, y, generator)
    >>> bool(torch.allclose(y_hat - y, -4 * (y_tilde - y), atol=1e-4))  # alpha z against -z / alpha
    True
    """

    camera: Camera
    alpha: Range = (1.0, 2.0)
    beta1_factor: Range = (0.5, 1.5)
    beta2_factor: Range = (0.8, 1.2)

    def __call__(self, y: Batch, signal: Batch, generator: torch.Generator) -> tuple[Batch, Batch]:
        """The pair `y_hat`, `y_tilde` of each image in `y`; `signal` is `A(y - b)`, clipped at 0, in the same unit."""
        alpha, z = self.noise(signal, generator)
        return y + alpha * z, y - z / alpha

    def noise(self, signal: Batch, generator: torch.Generator) -> tuple[Tensor, Batch]:
        """`alpha` and `z` of each image, for what is linear in the images and may take `z` by itself."""

        def draw(limits: Range) -> Tensor:
            shape = (len(signal), *[1] * (signal.ndim - 1))
            return torch.empty(shape, device=signal.device).uniform_(*limits, generator=generator)

        alpha = draw(self.alpha)
        variance = draw(self.beta1_factor) * self.camera.gain * signal + draw(self.beta2_factor) * self.camera.read_variance
        return alpha, torch.randn(signal.shape, generator=generator, device=signal.device) * variance.sqrt()


class Interleaving:
    """Noise-independent pair from one stack: `y_hat = S_odd(z)`, `y_tilde = S_even(z)` (Eq. 8).

    Odd are the first slice, the third, and so on. Neighbouring slices show nearly the same object, and no noise in common.
    Each stack of a batch draws which half comes first; the last slice of an odd number is left out, so that both halves have
    equally many. The slices of a half lie 2 dz apart, and so must those of the PSF.

    >>> z = torch.arange(5.0).reshape(1, 1, 5, 1, 1)
    >>> [half.flatten().tolist() for half in Interleaving()(z, torch.Generator().manual_seed(1))]
    [[0.0, 2.0], [1.0, 3.0]]
    """

    def __call__(self, z: Batch, generator: torch.Generator) -> tuple[Batch, Batch]:
        """The pair `y_hat`, `y_tilde`, `b c z/2 y x`, of each stack in `z`."""
        return self.split(z, self.order(len(z), z.device, generator))

    @staticmethod
    def order(stacks: int, device: torch.device, generator: torch.Generator) -> Tensor:
        """For each of so many stacks whether the even slices come first."""
        return torch.rand(stacks, generator=generator, device=device) < 0.5

    @staticmethod
    def split(z: Batch, even_first: Tensor) -> tuple[Batch, Batch]:
        """Both halves of each stack in the order given: what is the same to `z` and to `f'(z)`."""
        slices = z.shape[2] // 2 * 2
        odd, even = z[:, :, 0:slices:2], z[:, :, 1:slices:2]
        swap = even_first.reshape(-1, *[1] * (z.ndim - 1))
        return torch.where(swap, even, odd), torch.where(swap, odd, even)


@dataclass(frozen=True)
class PairChoice:
    """How the pairs of a stack are made, and why, in a sentence for the user."""

    kind: Literal["interleave", "recorrupt"]
    reason: str


def choose_pairs(slices: int, dz_um: float, depth_of_field_um: float | None, difference: float, *, law_holds: bool = False) -> PairChoice:
    """Interleaved or re-corrupted pairs, for stacks of at least so many slices.

    Where the `law_holds` that Eq. 2 takes for granted, independent noise of known variance in every pixel, re-corruption is chosen:
    its pairs show one object, as often as wanted with fresh noise, at the step dz of the stack itself. Interleaving needs no law
    but likeness, and where that is missing too, re-corruption is what is left.

    Interleaving halves the stack, so it takes `FEWEST_SLICES`. Slices of a half lie 2 dz apart and still have to sample the
    image: 2 dz must not exceed the depth of field `n lambda / NA^2` (None where the optics are unknown). And neighbours must
    show the same object: `difference` of `neighbour_difference`, in units of the signal's variance, `LARGEST_DIFFERENCE` at most.

    >>> choose_pairs(32, 0.15, 0.58, 0.02).kind, choose_pairs(32, 0.15, 0.58, 0.02, law_holds=True).kind
    ('interleave', 'recorrupt')
    >>> choose_pairs(32, 0.5, 0.58, 0.3).reason
    're-corrupted pairs: slices 2 x 0.5 um apart cannot sample a depth of field of 0.58 um'
    """
    if law_holds:
        return PairChoice("recorrupt", "re-corrupted pairs: the noise of neighbouring pixels is independent, as Eq. 2 needs it")
    if slices < FEWEST_SLICES:
        return PairChoice("recorrupt", f"re-corrupted pairs: {slices} slices are too few to be halved ({FEWEST_SLICES} are needed)")
    if depth_of_field_um is not None and 2 * dz_um > depth_of_field_um:
        why = f"slices 2 x {dz_um:g} um apart cannot sample a depth of field of {depth_of_field_um:.2g} um"
        return PairChoice("recorrupt", f"re-corrupted pairs: {why}")
    if not np.isfinite(difference):
        return PairChoice("recorrupt", "re-corrupted pairs: the noise hides how much neighbouring slices differ")
    if difference > LARGEST_DIFFERENCE:
        found = f"{100 * difference:.0f} % of the signal's variance (limit {100 * LARGEST_DIFFERENCE:g} %)"
        return PairChoice("recorrupt", f"re-corrupted pairs: neighbouring slices differ by {found}")
    alike = f"neighbouring slices, {dz_um:g} um apart, differ by {100 * max(difference, 0.0):.0f} % of the signal's variance only"
    return PairChoice("interleave", f"interleaved pairs: {alike}")


def neighbour_difference(stacks: Sequence[np.ndarray], camera: Camera) -> float:
    """How much the objects in neighbouring slices differ, in units of the signal's variance: 0 for the same, 2 for unrelated ones.

    `(<(y[k+1] - y[k])^2> - 2 sigma^2) / (Var(y) - sigma^2)` over all stacks `z y x` (ADU), with the mean noise variance
    `sigma^2` of Eq. 3: the noise in both is taken off. May be slightly negative. Infinite, for nothing is known then, where no
    stack has two slices or the signal does not stand out of the noise: by a hundredth of its variance, which is about as well
    as that can be known, and by five standard errors.

    >>> z = np.arange(200.0).reshape(2, 10, 10) % 100
    >>> neighbour_difference([z], Camera(offset=0.0, gain=0.0, read_variance=0.0))
    0.0
    """
    stacks = [stack.astype(np.float64) for stack in stacks if len(stack) > 1]
    if not stacks:
        return np.inf
    weights = [stack.size for stack in stacks]
    noise = np.average([camera.variance(signal_estimate(stack, camera.offset)).mean() for stack in stacks], weights=weights)
    signal = np.average([stack.var() for stack in stacks], weights=weights) - noise
    step = np.average([np.square(np.diff(stack, axis=0)).mean() for stack in stacks], weights=weights)
    known = signal > noise * max(0.01, 5 * np.sqrt(2 / sum(weights)))
    return float((step - 2 * noise) / signal) if known else np.inf
