"""What a network is asked to learn, phase by phase.

The published way is one phase with both losses (`TwoStage`, Eq. 4-6; for stacks `Interleaved`, Eq. 7-9). Ours are two: stage
1 learns to denoise from re-corrupted pairs (`Denoise`, Eq. 5); then an object made from its result is imaged again and again
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
from zsdeconv.data.patches import PatchSampler, Sample
from zsdeconv.data.views import ViewSampler
from zsdeconv.nn import blocks
from zsdeconv.nn.fast import FastNet
from zsdeconv.noise.model import Camera
from zsdeconv.noise.pairs import Interleave, Recorrupt
from zsdeconv.physics.deconvolve import richardson_lucy
from zsdeconv.physics.operators import Blur, Crop, Operator
from zsdeconv.physics.psf import Psf, fwhm_um
from zsdeconv.predict import one_pass

OBJECT_ITERATIONS = 22
"""Accelerated Richardson-Lucy iterations for the object that is imaged again."""
OBJECT_PASSES = 16
"""Re-corrupted passes averaged for the denoised image that the object is made from."""
FINEST_SHARE = 1 / 3
"""Width of the finest detail that such an object holds, as a share of the width of the PSF."""
TARGET_SHARE = 0.22
"""Width of the Gaussian through which stage 2 is asked to see the object, as a share of the width of the PSF."""
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


class _FromPairs:
    """Batches of re-corrupted pairs of the samples `(y, A(y - b))`."""

    def __init__(self, samples: Sequence[Sample], recorrupt: Recorrupt, training: TrainingSection) -> None:
        self.samples, self.recorrupt = samples, recorrupt
        self.sampler = PatchSampler(samples, training.patch_px, training.batch)

    def pair(self, draws: Draws) -> tuple[Tensor, Tensor]:
        y, signal = self.sampler(draws.host)
        return self.recorrupt(y, signal, draws.device)

    def prepare(self, network: nn.Module, draws: Draws) -> None:
        """Nothing to prepare: pairs are made anew at every step."""


class _BothLosses:
    """`L = mu L_den + (1 - mu) L_dec` of both stages (Eq. 4, 7), without the margins of patches of `patch_px`.

    The published Hessian term sees all of an image, and of a stack what is `smooth_inside` the margins.
    """

    def __init__(
        self,
        patch_px: Sequence[int],
        training: TrainingSection,
        loss: LossSection,
        forward_operator: Operator,
        *,
        smooth_inside: bool = False,
    ) -> None:
        margin = [min(training.margin_px, (n - 1) // 4) for n in patch_px]
        self.loss, self.crop, self.smooth_inside = loss, Crop(margin), smooth_inside
        self.forward_operator = self.crop @ forward_operator

    def __call__(self, denoised: Tensor, deconvolved: Tensor, y_tilde: Tensor, gap: Tensor | None = None) -> Tensor:
        target, error = self.crop(y_tilde), self.loss.error
        amended = None if gap is None else losses.Gap(self.crop(gap), self.loss.gamma)
        loss_den = losses.denoising_loss(self.crop(denoised), target, gap=amended, error=error)
        loss_dec = losses.deconvolution_loss(
            deconvolved,
            target,
            self.forward_operator,
            lambda_hessian=self.loss.lambda_hessian,
            gap=amended,
            inside=self._inside(denoised, deconvolved) if self.smooth_inside else lambda x: x,
            error=error,
        )
        return losses.two_stage_loss(loss_den, loss_dec, self.loss.mu)

    def _inside(self, raw: Tensor, fine: Tensor) -> Crop:
        """The fine image without the margins."""
        return Crop([m * (f // n) for m, f, n in zip(self.crop.margin_px, fine.shape[2:], raw.shape[2:], strict=True)])


class TwoStage(_FromPairs):
    """Both stages at once from re-corrupted pairs, `L = mu L_den + (1 - mu) L_dec` (Eq. 4-6)."""

    name = "two-stage"

    def __init__(
        self, samples: Sequence[Sample], recorrupt: Recorrupt, training: TrainingSection, loss: LossSection, forward_operator: Operator
    ) -> None:
        super().__init__(samples, recorrupt, training)
        self.both = _BothLosses(self.sampler.patch_px, training, loss, forward_operator)

    def parameters(self, network: nn.Module) -> Iterable[nn.Parameter]:
        return network.parameters()

    def __call__(self, network: nn.Module, draws: Draws) -> Tensor:
        y_hat, y_tilde = self.pair(draws)
        denoised, deconvolved = network(y_hat)
        return self.both(denoised, deconvolved, y_tilde)


class Interleaved:
    """Both stages at once from the odd and the even slices of stacks, with the gap-amending term (Eq. 7-9).

    `forward_operator` is `D H` with the PSF sampled at 2 dz, as the slices of either half lie. A patch holds `slices` of a
    sample, so half of them go through the network, and all of them for the gap `G`.
    """

    name = "interleaved"

    def __init__(
        self,
        samples: Sequence[Sample],
        training: TrainingSection,
        loss: LossSection,
        forward_operator: Operator,
        *,
        slices: int,
    ) -> None:
        self.interleave = Interleave()
        self.sampler = PatchSampler(samples, (slices, training.patch_px, training.patch_px), training.batch)
        depth, *lateral = self.sampler.patch_px
        self.both = _BothLosses([depth // 2, *lateral], training, loss, forward_operator, smooth_inside=True)

    def parameters(self, network: nn.Module) -> Iterable[nn.Parameter]:
        return network.parameters()

    def prepare(self, network: nn.Module, draws: Draws) -> None:
        """Nothing to prepare: a stack holds its pair."""

    def __call__(self, network: nn.Module, draws: Draws) -> Tensor:
        z = self.sampler(draws.host)[0]
        even_first = self.interleave.order(len(z), z.device, draws.device)
        y_hat, y_tilde = self.interleave.split(z, even_first)
        with torch.no_grad():
            first, second = self.interleave.split(network(z, stage=1)[0], even_first)
        denoised, deconvolved = network(y_hat)
        return self.both(denoised, deconvolved, y_tilde, gap=first - second)


class Denoise(_FromPairs):
    """Stage 1 alone (Eq. 5)."""

    name = "denoise"

    def __init__(self, samples: Sequence[Sample], recorrupt: Recorrupt, training: TrainingSection) -> None:
        super().__init__(samples, recorrupt, training)
        self.crop = Crop(_edges(self.sampler.patch_px))

    def parameters(self, network: nn.Module) -> Iterable[nn.Parameter]:
        return cast(FastNet, network).stage1.parameters()

    def __call__(self, network: nn.Module, draws: Draws) -> Tensor:
        y_hat, y_tilde = self.pair(draws)
        return losses.denoising_loss(self.crop(network(y_hat, stage=1)[0]), self.crop(y_tilde))


class Reimage:
    """Stage 2 from re-imaged objects: `|| f(y_sim) - K x ||^2` with `y_sim = D H x + noise`.

    `x` is a view of a sharp estimate of the object: Richardson-Lucy on the denoised training images, its resolution held back
    to `FINEST_SHARE` of the lens's by a Gaussian inside the model; turned by any angle and zoomed. `D H x` is what the lens
    makes of it, and fresh noise follows the camera's variance law, (1 + alpha^2)-fold as in prediction. So stage 2 learns the
    mean object that explains a noisy image, among objects like those of the image itself, where Eq. 6 alone leaves all
    that the lens cuts off to a regulariser. `K` is a narrow Gaussian: what is much finer than the lens resolves is not asked for.
    `psf_fwhm_px` is the width of the PSF at half maximum, fine pixels.

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
        psf_fwhm_px: float,
        scale: int,
    ) -> None:
        self.samples, self.camera, self.training = samples, camera, training
        self.forward_operator, self.psf_fwhm_px, self.scale = forward_operator, psf_fwhm_px, scale

    def parameters(self, network: nn.Module) -> Iterable[nn.Parameter]:
        return cast(FastNet, network).stage2.parameters()

    @torch.no_grad()
    def prepare(self, network: nn.Module, draws: Draws) -> None:
        """Make the objects from what stage 1 has learned."""
        rank = self.samples[0][0].ndim
        narrow = Blur(gaussian(FINEST_SHARE * self.psf_fwhm_px, rank))
        self.target = Blur(gaussian(TARGET_SHARE * self.psf_fwhm_px, rank))
        model, objects = self.forward_operator @ narrow, []
        for y, signal in self.samples:
            denoised = self._denoised(network, y, signal, draws)
            objects.append(narrow(richardson_lucy(denoised, model, [OBJECT_ITERATIONS])[0])[0, 0])
        lateral = min(self.training.patch_px, *(n for y, _ in self.samples for n in y.shape[-2:]))
        around = -(-self.forward_operator.reach_px // (2 * self.scale))
        self.views = ViewSampler(objects, (lateral + 2 * around) * self.scale, self.training.batch)
        self.around, self.fine_around = _lateral_crop(rank, around), _lateral_crop(rank, around * self.scale)
        self.crop = _lateral_crop(rank, _edges([lateral])[0] * self.scale)

    def _denoised(self, network: nn.Module, y: Tensor, signal: Tensor, draws: Draws) -> Tensor:
        noise_sd, total = self.camera.variance(signal).sqrt(), torch.zeros_like(y)[None, None]
        for n in range(0, OBJECT_PASSES, 2):
            z = torch.randn(y.shape, generator=draws.device, device=y.device) * noise_sd
            for k, sign in enumerate((1, -1)):
                total += one_pass(network, n + k, (y + sign * z)[None, None], stage=1)[0]
        return total / OBJECT_PASSES

    def __call__(self, network: nn.Module, draws: Draws) -> Tensor:
        with torch.no_grad():
            x = self.views(draws.host)
            clean, target = self.around(self.forward_operator(x)).clamp(min=0), self.fine_around(self.target(x))
        excess = 1 + torch.empty(len(clean), *[1] * (clean.ndim - 1), device=clean.device).uniform_(0.5, 1.5, generator=draws.device)
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
    training = config.training
    if config.network.kind != "fast":
        return [(TwoStage(samples, recorrupt, training, config.loss, forward_operator), 1.0)]
    fwhm_px = fwhm_um(psf) / psf.spacing_um[-1]
    reimage = Reimage(samples, recorrupt.camera, training, forward_operator, psf_fwhm_px=fwhm_px, scale=config.scale)
    return [(Denoise(samples, recorrupt, training), 1 - training.reimage_share), (reimage, training.reimage_share)]


def _edges(patch_px: Sequence[int]) -> list[int]:
    return [min(EDGE_PX, (n - 1) // 4) for n in patch_px]


def _lateral_crop(rank: int, margin_px: int) -> Crop:
    return Crop([0] * (rank - 2) + [margin_px] * 2)


def gaussian(fwhm_px: float, rank: int) -> np.ndarray:
    """Normalised Gaussian kernel of odd size, `fwhm_px` wide at half maximum along every axis.

    >>> gaussian(2.0, 2).shape
    (9, 9)
    """
    sigma = fwhm_px / 2.3548
    radius = max(int(np.ceil(4 * sigma)), 1)
    profile = np.exp(-0.5 * (np.arange(-radius, radius + 1) / sigma) ** 2)
    kernel = np.ones(())
    for _ in range(rank):
        kernel = np.multiply.outer(kernel, profile)
    return kernel / kernel.sum()
