"""What a network is asked to learn, phase by phase.

The published way is one phase with both losses (`TwoStage`, Eq. 4-6; of interleaved slices Eq. 7-9). Ours are two: stage
1 learns to denoise from pairs (`Denoise`, Eq. 5 or 8); then an object made from its result is imaged again and again
by the model of lens and camera, and stage 2 learns to find the object back (`Reimage`).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Protocol, cast

import numpy as np
import torch
from torch import Tensor, nn

from zsdeconv import losses
from zsdeconv.config import Config, LossSection, TrainingSection
from zsdeconv.data.patches import PatchSampler, Sample, excerpts
from zsdeconv.data.views import ViewSampler
from zsdeconv.nn import blocks
from zsdeconv.nn.fast import FastNet
from zsdeconv.noise.model import Camera
from zsdeconv.noise.pairs import Interleave, Recorrupt
from zsdeconv.physics.deconvolve import richardson_lucy
from zsdeconv.physics.operators import Blur, Crop, Operator, forward_model
from zsdeconv.physics.psf import Psf, fwhms_um
from zsdeconv.predict import one_pass
from zsdeconv.symbols import FWHM_PER_SIGMA

OBJECT_ITERATIONS = 22
"""Accelerated Richardson-Lucy iterations for the object that is imaged again."""
OBJECT_PIXELS = 2**21
"""Raw pixels from which objects are made at most: the views of so many never look alike, and Richardson-Lucy takes time for each."""
OBJECT_PASSES = 16
"""Re-corrupted passes averaged for the denoised image that the object is made from."""
FINEST_SHARE = 1 / 3
"""Width of the finest detail that such an object holds, as a share of the width of the PSF."""
TARGET_SHARE = 0.22
"""Width of the Gaussian through which stage 2 is asked to see the object, as a share of the width of the PSF."""
AROUND_PLANES = 4
"""Planes above and below a patch of a stack whose light is reckoned with."""
EDGE_PX = 6
"""Raw pixels at the border of a patch that are left out of the error: convolutions there see padding."""


class Draws:
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


class Objective(Protocol):
    """One phase of a training: which parameters learn, and from which loss."""

    name: str

    def parameters(self, network: nn.Module) -> Iterable[nn.Parameter]:
        """The parameters that learn in this phase."""
        ...

    def prepare(self, network: nn.Module, draws: Draws) -> None:
        """Called once when the phase begins."""
        ...

    def __call__(self, network: nn.Module, draws: Draws) -> Tensor:
        """The loss of one fresh batch."""
        ...


class Pairs(Protocol):
    """Where the pairs come from that a denoiser learns from; `patch_px` is the size of its input."""

    patch_px: tuple[int, ...]

    def __call__(self, network: nn.Module, draws: Draws) -> tuple[Tensor, Tensor, Tensor | None]:
        """A fresh batch: `y_hat`, `y_tilde` and, where they do not show quite the same object, the gap `G` between them."""
        ...


class RecorruptedPairs:
    """Pairs of patches of the samples `(y, A(y - b))`, made by adding noise and taking it away (Eq. 2)."""

    def __init__(
        self,
        samples: Sequence[Sample],
        recorrupt: Recorrupt,
        training: TrainingSection,
        symmetries: Sequence[int] = range(blocks.SYMMETRIES),
    ) -> None:
        self.recorrupt = recorrupt
        self.sampler = PatchSampler(samples, training.patch(samples[0][0].ndim), training.batch, symmetries)
        self.patch_px = self.sampler.patch_px

    def __call__(self, network: nn.Module, draws: Draws) -> tuple[Tensor, Tensor, None]:
        y, signal = self.sampler(draws.host)
        return *self.recorrupt(y, signal, draws.device), None


class InterleavedPairs:
    """Pairs of the odd and the even slices of stacks (Eq. 8), with the gap `G = S_odd(f'(z)) - S_even(f'(z))` between them."""

    def __init__(self, samples: Sequence[Sample], training: TrainingSection, symmetries: Sequence[int] = range(blocks.SYMMETRIES)) -> None:
        planes, *lateral = training.patch(samples[0][0].ndim)
        self.interleave = Interleave()
        self.sampler = PatchSampler(samples, (2 * planes, *lateral), training.batch, symmetries)
        self.patch_px = (self.sampler.patch_px[0] // 2, *self.sampler.patch_px[1:])

    def __call__(self, network: nn.Module, draws: Draws) -> tuple[Tensor, Tensor, Tensor]:
        z = self.sampler(draws.host)[0]
        even_first = self.interleave.order(len(z), z.device, draws.device)
        y_hat, y_tilde = self.interleave.split(z, even_first)
        with torch.no_grad():
            first, second = self.interleave.split(network(z, stage=1)[0], even_first)
        return y_hat, y_tilde, first - second


class TwoStage:
    """Both stages at once, `L = mu L_den + (1 - mu) L_dec` (Eq. 4-6; with a gap Eq. 7-9), without the margins of the patches.

    `forward_operator` is `D H`, with the PSF sampled as the slices of `y_hat` lie; the pairs must be turned in no other way than
    its PSF allows. As published, the Hessian term sees all of an
    image, and of a stack what is inside the margins.
    """

    name = "two-stage"

    def __init__(self, pairs: Pairs, training: TrainingSection, loss: LossSection, forward_operator: Operator) -> None:
        rank = len(pairs.patch_px)
        margin = [min(m, (n - 1) // 4) for m, n in zip(training.margin(rank), pairs.patch_px, strict=True)]
        self.pairs, self.loss, self.crop, self.rank = pairs, loss, Crop(margin), rank
        self.forward_operator = self.crop @ forward_operator

    def parameters(self, network: nn.Module) -> Iterable[nn.Parameter]:
        return network.parameters()

    def prepare(self, network: nn.Module, draws: Draws) -> None:
        """Nothing to prepare: pairs are made anew at every step."""

    def __call__(self, network: nn.Module, draws: Draws) -> Tensor:
        y_hat, y_tilde, gap = self.pairs(network, draws)
        denoised, deconvolved = network(y_hat)
        target, error = self.crop(y_tilde), self.loss.error
        amended = None if gap is None else losses.Gap(self.crop(gap), self.loss.gamma)
        loss_den = losses.denoising_loss(self.crop(denoised), target, gap=amended, error=error)
        loss_dec = losses.deconvolution_loss(
            deconvolved,
            target,
            self.forward_operator,
            lambda_hessian=self.loss.lambda_hessian,
            gap=amended,
            inside=(lambda x: x) if self.rank == 2 else self._inside(denoised, deconvolved),
            error=error,
        )
        return losses.two_stage_loss(loss_den, loss_dec, self.loss.mu)

    def _inside(self, raw: Tensor, fine: Tensor) -> Crop:
        """The fine image without the margins."""
        return Crop([m * (f // n) for m, f, n in zip(self.crop.margin_px, fine.shape[2:], raw.shape[2:], strict=True)])


class Denoise:
    """Stage 1 alone (Eq. 5; with a gap Eq. 8)."""

    name = "denoise"

    def __init__(self, pairs: Pairs, loss: LossSection) -> None:
        self.pairs, self.loss, self.crop = pairs, loss, Crop(_edges(pairs.patch_px))

    def parameters(self, network: nn.Module) -> Iterable[nn.Parameter]:
        return cast(FastNet, network).stage1.parameters()

    def prepare(self, network: nn.Module, draws: Draws) -> None:
        """Nothing to prepare: pairs are made anew at every step."""

    def __call__(self, network: nn.Module, draws: Draws) -> Tensor:
        y_hat, y_tilde, gap = self.pairs(network, draws)
        amended = None if gap is None else losses.Gap(self.crop(gap), self.loss.gamma)
        return losses.denoising_loss(self.crop(network(y_hat, stage=1)[0]), self.crop(y_tilde), gap=amended)


class Reimage:
    """Stage 2 from re-imaged objects: `|| f(y_sim) - K x ||^2` with `y_sim = D H x + noise`.

    `x` is a view of a sharp estimate of the object: Richardson-Lucy on the denoised training images, its resolution held back
    to `FINEST_SHARE` of the lens's by a Gaussian inside the model; turned by any angle and zoomed. `D H x` is what the lens
    makes of it, and fresh noise follows the camera's variance law, (1 + alpha^2)-fold as in prediction. So stage 2 learns the
    mean object that explains a noisy image, among objects like those of the image itself, where Eq. 6 alone leaves all
    that the lens cuts off to a regulariser. `K` is a narrow Gaussian: what is much finer than the lens resolves is not asked for.
    `psf_fwhm_px` is the width of the PSF at half maximum along each axis, fine pixels, `added_noise` the range of alpha^2.

    The idea of imaging the own estimate again is that of equivariant imaging (Chen, Tachella and Davies, ICCV 2021) and of the
    parametric bootstrap.
    """

    name = "reimage"

    def __init__(
        self,
        samples: Sequence[Sample],
        camera: Camera,
        training: TrainingSection,
        forward_operator: Operator,
        psf_fwhm_px: Sequence[float],
        *,
        scale: int,
        added_noise: tuple[float, float] = (0.5, 1.5),
    ) -> None:
        self.samples, self.camera, self.training = excerpts(samples, OBJECT_PIXELS), camera, training
        self.forward_operator, self.psf_fwhm_px, self.added_noise = forward_operator, psf_fwhm_px, added_noise
        self.factors = blocks.lateral(len(psf_fwhm_px), scale)

    def parameters(self, network: nn.Module) -> Iterable[nn.Parameter]:
        return cast(FastNet, network).stage2.parameters()

    @torch.no_grad()
    def prepare(self, network: nn.Module, draws: Draws) -> None:
        """Make the objects from what stage 1 has learned."""
        narrow, self.target = (Blur(gaussian([share * n for n in self.psf_fwhm_px])) for share in (FINEST_SHARE, TARGET_SHARE))
        model, objects = self.forward_operator @ narrow, []
        for y, signal in self.samples:
            denoised = self._denoised(network, y, signal, draws)
            objects.append(narrow(richardson_lucy(denoised, model, [OBJECT_ITERATIONS])[0])[0, 0])
        patch, around = self._sizes()
        seen = [(n + 2 * a) * f for n, a, f in zip(patch, around, self.factors, strict=True)]
        self.views = ViewSampler(objects, seen, self.training.batch)
        self.around, self.fine_around = Crop(around), self._fine_crop(around)
        self.crop = self._fine_crop(_edges(patch))

    def _sizes(self) -> tuple[list[int], list[int]]:
        """Raw pixels of a patch along each axis, and how many more on both sides send their light into it."""
        smallest = [min(sizes) for sizes in zip(*(y.shape for y, _ in self.samples), strict=True)]
        *axial, height, width = (min(n, size) for n, size in zip(self.training.patch(len(smallest)), smallest, strict=True))
        reach = -(-max(self.forward_operator.reach_px[-2:]) // (2 * self.factors[-1]))
        around = [min(AROUND_PLANES, (size - n) // 2) for n, size in zip(axial, smallest, strict=False)]
        return [*axial, min(height, width), min(height, width)], [*around, reach, reach]

    def _fine_crop(self, margin_px: Sequence[int]) -> Crop:
        return Crop([m * f for m, f in zip(margin_px, self.factors, strict=True)])

    def _denoised(self, network: nn.Module, y: Tensor, signal: Tensor, draws: Draws) -> Tensor:
        noise_sd = self.camera.variance(signal).mul(sum(self.added_noise) / 2).sqrt()
        total = torch.zeros_like(y)[None, None]
        for n in range(0, OBJECT_PASSES, 2):
            z = torch.randn(y.shape, generator=draws.device, device=y.device) * noise_sd
            for k, sign in enumerate((1, -1)):
                total += one_pass(network, n + k, (y + sign * z)[None, None], stage=1)[0]
        return total / OBJECT_PASSES

    def __call__(self, network: nn.Module, draws: Draws) -> Tensor:
        with torch.no_grad():
            x = self.views(draws.host)
            clean, target = self.around(self.forward_operator(x)).clamp(min=0), self.fine_around(self.target(x))
        excess = torch.empty(len(clean), *[1] * (clean.ndim - 1), device=clean.device)
        excess = 1 + excess.uniform_(*self.added_noise, generator=draws.device)
        z = torch.randn(clean.shape, generator=draws.device, device=clean.device)
        turn = int(torch.randint(blocks.SYMMETRIES, (), generator=draws.host))
        _, deconvolved = one_pass(network, turn, clean + z * (self.camera.variance(clean) * excess).sqrt())
        return losses.fidelity(self.crop(deconvolved), self.crop(target))


def curriculum(
    config: Config, samples: Sequence[Sample], recorrupt: Recorrupt, forward_operator: Operator, psf: Psf
) -> list[tuple[Objective, float]]:
    """The phases of a training and their shares of the budget.

    >>> from zsdeconv.config import resolve
    >>> from zsdeconv.physics.operators import forward_model
    >>> psf = Psf(np.ones((1, 1)), (0.03, 0.03), "a point")
    >>> y = torch.zeros(32, 32)
    >>> recorrupt = Recorrupt(Camera(0.0, 1.0, 1.0))
    >>> [p.name for p, _ in curriculum(resolve({}), [(y, y)], recorrupt, forward_model(psf.values, 2, 2), psf)]
    ['denoise', 'reimage']
    """
    training, rank, interleaved = config.training, psf.values.ndim, config.pairs.kind == "interleave"
    published = config.network.kind != "fast"
    turns = blocks.symmetries_of(torch.tensor(psf.values)) if published else range(blocks.SYMMETRIES)
    pairs = InterleavedPairs(samples, training, turns) if interleaved else RecorruptedPairs(samples, recorrupt, training, turns)
    if published:
        seen = forward_model(psf.thinned((2, 1, 1)).values, rank, config.scale) if interleaved else forward_operator
        return [(TwoStage(pairs, training, config.loss, seen), 1.0)]
    fwhm_px = [um / spacing for um, spacing in zip(fwhms_um(psf), psf.spacing_um, strict=True)]
    added_noise = (0.0, 0.0) if interleaved else (0.5, 1.5)
    reimage = Reimage(samples, recorrupt.camera, training, forward_operator, fwhm_px, scale=config.scale, added_noise=added_noise)
    return [(Denoise(pairs, config.loss), 1 - training.reimage_share), (reimage, training.reimage_share)]


def _edges(patch_px: Sequence[int]) -> list[int]:
    return [min(EDGE_PX, (n - 1) // 4) for n in patch_px]


def gaussian(fwhm_px: Sequence[float]) -> np.ndarray:
    """Normalised Gaussian kernel of odd sizes, `fwhm_px` wide at half maximum along each axis.

    >>> gaussian((2.0, 4.0)).shape
    (9, 15)
    """
    kernel = np.ones(())
    for fwhm in fwhm_px:
        sigma = fwhm / FWHM_PER_SIGMA
        radius = max(int(np.ceil(4 * sigma)), 1)
        profile = np.exp(-0.5 * (np.arange(-radius, radius + 1) / sigma) ** 2)
        kernel = np.multiply.outer(kernel, profile)
    return kernel / kernel.sum()
