"""What a network is asked to learn, phase by phase.

The published way is one phase with both losses (`TwoStageObjective`, Eq. 4-6; of interleaved slices Eq. 7-9). Ours are two: stage
1 learns to denoise from pairs (`Denoise`, Eq. 5 or 8); then an object made from its result is imaged again and again
by the model of lens and camera, and stage 2 learns to find the object back (`SimulatedPairs`).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Protocol

import numpy as np
import torch
from torch import Tensor, nn

from zsdeconv.acquisition.base import Acquisition, Measurement, training_excerpts
from zsdeconv.config import Config, LossSection, TrainingSection
from zsdeconv.data.batches import BlindPatches, InterleavedPairs, Pairs, RandomStreams
from zsdeconv.data.pairs import PairMaker, Recorruption, Splitting
from zsdeconv.data.patches import fitted_patch
from zsdeconv.nn.contract import as_network, forward_with_symmetry
from zsdeconv.nn.ensemble import members_of
from zsdeconv.notation import FWHM_PER_SIGMA
from zsdeconv.physics import grid
from zsdeconv.physics.deconvolve import richardson_lucy
from zsdeconv.physics.operators import Blur, Crop, Operator, forward_model
from zsdeconv.physics.psf_check import fwhms_um
from zsdeconv.progress.tasks import task
from zsdeconv.training import losses
from zsdeconv.training.augment import ObjectAugmenter

OBJECT_ITERATIONS = 22
"""Accelerated Richardson-Lucy iterations for the object that is imaged again."""
OBJECT_PIXELS = 2**21
"""Raw pixels from which objects are made at most: the views of so many never look alike, and Richardson-Lucy takes time for each."""
OBJECT_PASSES = 16
"""Re-corrupted passes averaged for the denoised image that the object is made from."""
OBJECT_WORDS = "estimating the object"
"""What the making of it is called for people."""
FINEST_SHARE = 1 / 3
"""Width of the finest detail that such an object holds, as a share of the width of the PSF."""
MISSING_WIDTHS = (1, 10, 10)
"""Width (FWHM) along z, y and x over which light that a reconstruction lacks varies, in units of that of the PSF."""
AROUND_PLANES = 4
"""Planes above and below a patch of a stack whose light is reckoned with."""
ADDED_NOISE = (0.5, 1.5)
"""Range of alpha^2 of the noise in simulated recordings, about 1 as in prediction. Chosen: covers factors of 3 in light."""
EDGE_PX = 6
"""Raw pixels at the border of a patch that are left out of the error: convolutions there see padding."""


class Objective(Protocol):
    """One phase of a training: which parameters learn, and from which loss; after `most_steps` it would learn what it should not."""

    name: str
    most_steps: int | None

    def parameters(self, network: nn.Module) -> Iterable[nn.Parameter]:
        """The parameters that learn in this phase."""
        ...

    def prepare(self, network: nn.Module, draws: RandomStreams) -> None:
        """Called once when the phase begins."""
        ...

    def __call__(self, network: nn.Module, draws: RandomStreams) -> Tensor:
        """The loss of one fresh batch."""
        ...


class TwoStageObjective:
    """Both stages at once, `L = mu L_den + (1 - mu) L_dec` (Eq. 4-6; with a gap Eq. 7-9), without the margins of the patches.

    `forward_operator` is `D H`, with the PSF sampled as the slices of `y_hat` lie; the pairs must be turned in no other way than
    its PSF allows. As published, the Hessian term sees all of an image, and of a stack what is inside the margins.
    """

    name = "two-stage"
    most_steps: int | None = None

    def __init__(self, pairs: Pairs, training: TrainingSection, loss: LossSection, forward_operator: Operator) -> None:
        self.pairs, self.loss, self.rank = pairs, loss, len(pairs.patch_px)
        self.crop = Crop(training.margin(pairs.patch_px))
        self.forward_operator = self.crop @ forward_operator

    def parameters(self, network: nn.Module) -> Iterable[nn.Parameter]:
        return network.parameters()

    def prepare(self, network: nn.Module, draws: RandomStreams) -> None:
        """Nothing to prepare: pairs are made anew at every step."""

    def __call__(self, network: nn.Module, draws: RandomStreams) -> Tensor:
        y_hat, y_tilde, gap = self.pairs(network, draws)
        denoised, deconvolved = network(y_hat)
        target, norm = self.crop(y_tilde), self.loss.norm
        amended = None if gap is None else losses.SliceGap(self.crop(gap), self.loss.gamma)
        loss_den = losses.denoising_loss(self.crop(denoised), target, gap=amended, norm=norm)
        loss_dec = losses.deconvolution_loss(
            deconvolved,
            target,
            self.forward_operator,
            lambda_hessian=self.loss.lambda_hessian,
            gap=amended,
            inside=(lambda x: x) if self.rank == 2 else self._inside(denoised, deconvolved),
            norm=norm,
        )
        return losses.two_stage_loss(loss_den, loss_dec, self.loss.mu)

    def _inside(self, raw: Tensor, fine: Tensor) -> Crop:
        """The fine image without the margins."""
        return Crop([m * (f // n) for m, f, n in zip(self.crop.margin_px, fine.shape[2:], raw.shape[2:], strict=True)])


class Denoise:
    """Stage 1 alone (Eq. 5; with a gap Eq. 8).

    Both images of a pair hold the noise `e` of the one recording, whatever is drawn beside it. Over many recordings the error of `y_tilde`
    is unknown from `y_hat`; but a network that knows every place of an image by heart gives `E[y_tilde | y] = y`. It learns the object
    before it learns the noise, which takes the more steps the larger an image is; so it has `most_steps`.
    """

    name = "denoise"

    def __init__(self, pairs: Pairs, loss: LossSection, most_steps: int | None = None) -> None:
        self.pairs, self.loss, self.crop, self.most_steps = pairs, loss, Crop(_edges(pairs.patch_px)), most_steps

    def parameters(self, network: nn.Module) -> Iterable[nn.Parameter]:
        return as_network(network).stage1.parameters()

    def prepare(self, network: nn.Module, draws: RandomStreams) -> None:
        """Nothing to prepare: pairs are made anew at every step."""

    def __call__(self, network: nn.Module, draws: RandomStreams) -> Tensor:
        y_hat, y_tilde, gap = self.pairs(network, draws)
        amended = None if gap is None else losses.SliceGap(self.crop(gap), self.loss.gamma)
        return losses.denoising_loss(self.crop(network(y_hat, stage=1)[0]), self.crop(y_tilde), gap=amended)


class DenoiseBlind:
    """Stage 1 alone, from blind spots: `|| f'(y_hat) - y ||^2` over the pixels whose value `y_hat` lacks.

    It learns the noise of places, too, but sees a sixteenth of it at each step (`most_steps` as `Denoise`).
    """

    name = "denoise"

    def __init__(self, patches: BlindPatches, most_steps: int | None = None) -> None:
        self.patches, self.crop, self.most_steps = patches, Crop(_edges(patches.patch_px)), most_steps

    def parameters(self, network: nn.Module) -> Iterable[nn.Parameter]:
        return as_network(network).stage1.parameters()

    def prepare(self, network: nn.Module, draws: RandomStreams) -> None:
        """Nothing to prepare: pixels are hidden anew at every step."""

    def __call__(self, network: nn.Module, draws: RandomStreams) -> Tensor:
        y_hat, y, hidden = self.patches(draws)
        return self.crop(network(y_hat, stage=1)[0] - y)[self.crop(hidden)].square().mean()


class SimulatedPairs:
    """Stage 2 from re-imaged objects: `|| f(y_sim) - K x ||^2` with `y_sim = D H x + noise`.

    `x` is a view of a sharp estimate of the object: Richardson-Lucy on the denoised training images, its resolution held back
    to `FINEST_SHARE` of the lens's by a Gaussian inside the model; turned by any angle and zoomed. `D H x` is what the lens
    makes of it, and fresh noise follows the camera's variance law, (1 + alpha^2)-fold as in prediction. So stage 2 learns the
    mean object that explains a noisy image, among objects like those of the image itself, where Eq. 6 alone leaves all
    that the lens cuts off to a regulariser. `K` is a narrow Gaussian: what is much finer than the lens resolves is not asked for.
    `acquisition` says how an object would be recorded; where its light is open, light is missing in `y` (`missing_background`), in
    that of the
    object and in its views alike. `psf_fwhm_px` is the width of the PSF at half maximum along each axis, fine pixels,
    `added_noise` the range of alpha^2.

    The idea of imaging the own estimate again is that of equivariant imaging (Chen, Tachella and Davies, ICCV 2021) and of the
    parametric bootstrap.
    """

    name = "reimage"
    most_steps: int | None = None

    def __init__(
        self,
        acquisition: Acquisition,
        measurements: Sequence[Measurement],
        training: TrainingSection,
        psf_fwhm_px: Sequence[float],
        *,
        added_noise: tuple[float, float] = ADDED_NOISE,
    ) -> None:
        self.shift_px = acquisition.psf.shift_px
        self.acquisition, self.measurements, self.training = acquisition, training_excerpts(measurements, OBJECT_PIXELS), training
        self.psf_fwhm_px, self.added_noise = psf_fwhm_px, added_noise
        self.factors = grid.lateral_factors(len(psf_fwhm_px), acquisition.scale)

    def parameters(self, network: nn.Module) -> Iterable[nn.Parameter]:
        return as_network(network).stage2.parameters()

    @torch.no_grad()
    def prepare(self, network: nn.Module, draws: RandomStreams) -> None:
        """Make the objects from what stage 1 has learned."""
        narrow, self.target = (
            Blur(gaussian([share * n for n in self.psf_fwhm_px], self.shift_px))
            for share in (FINEST_SHARE, self.training.target_fwhm_fraction)
        )
        model, objects, count = self.acquisition.forward_operator @ narrow, [], len(self.measurements)
        with task(OBJECT_WORDS) as shown:
            for number, measurement in enumerate(self.measurements):
                denoised = self._denoised(network, measurement, draws)
                missing = self._missing(denoised, model)
                found = richardson_lucy(
                    sum(missing, denoised),
                    model,
                    [OBJECT_ITERATIONS],
                    progress=lambda done, n=number: shown.report((n + done) / count),
                )
                objects.append(torch.cat((narrow(found[0]), *missing), 1)[0])
        patch, around = self._sizes()
        seen = [(n + 2 * a) * f for n, a, f in zip(patch, around, self.factors, strict=True)]
        self.views = ObjectAugmenter(objects, seen, self.training.batch, self.shift_px)
        self.around, self.fine_around = Crop(around), self._fine_crop(around)
        self.crop = self._fine_crop(_edges(patch))

    def _sizes(self) -> tuple[list[int], list[int]]:
        """Raw pixels of a patch along each axis, and how many more on both sides send their light into it."""
        smallest = [min(sizes) for sizes in zip(*(measurement.y.shape for measurement in self.measurements), strict=True)]
        patch = fitted_patch(self.training.patch(len(smallest)), smallest)
        reach = -(-max(self.acquisition.forward_operator.support_px[-2:]) // (2 * self.factors[-1]))
        around = [min(AROUND_PLANES, (size - n) // 2) for n, size in zip(patch[:-2], smallest, strict=False)]
        return list(patch), [*around, reach, reach]

    def _fine_crop(self, margin_px: Sequence[int]) -> Crop:
        return Crop([m * f for m, f in zip(margin_px, self.factors, strict=True)])

    def _missing(self, denoised: Tensor, model: Operator) -> list[Tensor]:
        """The light that the image lacks where not all of it is accounted for, otherwise nothing."""

        def smooth() -> Blur:
            widths = zip(MISSING_WIDTHS[-len(self.psf_fwhm_px) :], self.psf_fwhm_px, strict=True)
            return Blur(gaussian([times * n for times, n in widths]))

        return self.acquisition.light.background(denoised, model, smooth)

    def _denoised(self, network: nn.Module, measurement: Measurement, draws: RandomStreams) -> Tensor:
        alpha = math.sqrt(sum(self.added_noise) / 2)
        total = torch.zeros_like(measurement.y)[None, None]
        for n in range(0, OBJECT_PASSES, 2):
            z = measurement.added_noise(alpha, draws.device)
            for k, sign in enumerate((1, -1)):
                total += forward_with_symmetry(as_network(network), n + k, (measurement.y + sign * z)[None, None], stage=1)[0]
        return total / OBJECT_PASSES

    def __call__(self, network: nn.Module, draws: RandomStreams) -> Tensor:
        with torch.no_grad():
            x, *missing = self.views(draws.host).split(1, dim=1)
            target = self.fine_around(self.target(x))
            variance_bias = torch.empty(len(x), *[1] * (x.ndim - 1), device=x.device)
            variance_bias = 1 + variance_bias.uniform_(*self.added_noise, generator=draws.device)
            y = self.acquisition.simulate(x, self.around, variance_bias, draws.device) - sum(map(self.around, missing))
        turn = int(torch.randint(grid.SYMMETRIES, (), generator=draws.host))
        _, deconvolved = forward_with_symmetry(as_network(network), turn, y)
        return losses.fidelity(self.crop(deconvolved), self.crop(target))


class MemberObjective:
    """An objective for one member of an ensemble."""

    def __init__(self, objective: Objective, number: int) -> None:
        self.objective, self.number, self.name = objective, number, f"{objective.name} {number + 1}"
        self.most_steps = objective.most_steps

    def parameters(self, network: nn.Module) -> Iterable[nn.Parameter]:
        return self.objective.parameters(members_of(network)[self.number])

    def prepare(self, network: nn.Module, draws: RandomStreams) -> None:
        self.objective.prepare(members_of(network)[self.number], draws)

    def __call__(self, network: nn.Module, draws: RandomStreams) -> Tensor:
        return self.objective(members_of(network)[self.number], draws)


Phase = tuple[Objective, float]
"""An objective and its fraction of the budget; the fractions of an ensemble add up to the number of its members."""


def two_stage_phase(config: Config, acquisition: Acquisition, measurements: Sequence[Measurement]) -> list[Phase]:
    """The published training: both stages at once (Eq. 4-9), with the symmetries that the PSF has, for it stands in the loss."""
    psf, training = acquisition.psf, config.training
    pairs = _pairs(config, acquisition, measurements, grid.symmetries_of(torch.tensor(psf.values)))
    operator = acquisition.forward_operator
    if config.pairs.kind == "interleave":  # the slices of y_hat lie 2 dz apart, and so must those of the PSF
        operator = forward_model(psf.thinned((2, 1, 1)).values, psf.rank, acquisition.scale)
    return [(TwoStageObjective(pairs, training, config.loss, operator), 1.0)]


def two_phases(config: Config, acquisition: Acquisition, measurements: Sequence[Measurement]) -> list[Phase]:
    """Training in two phases: stage 1 from pairs, then stage 2 from simulated recordings of the object that stage 1 suggests."""
    psf, training, turns = acquisition.psf, config.training, grid.symmetries_of_scan(acquisition.shift_px)
    fwhm_px = [um / spacing for um, spacing in zip(fwhms_um(psf.upright), psf.spacing_um, strict=True)]
    added_noise = ADDED_NOISE if config.pairs.adds_noise else (0.0, 0.0)
    simulated = SimulatedPairs(acquisition, measurements, training, fwhm_px, added_noise=added_noise)
    most = most_steps(training, sum(each.recorded_px for each in measurements))
    if config.pairs.kind == "blind":
        denoise: Objective = DenoiseBlind(BlindPatches([(measurement.y,) for measurement in measurements], training, turns), most)
    else:
        denoise = Denoise(_pairs(config, acquisition, measurements, turns), config.loss, most)
    return [(denoise, 1 - training.stage2_fraction), (simulated, training.stage2_fraction)]


def most_steps(training: TrainingSection, pixels: int) -> int:
    """Steps after which a network begins to remember the noise of `pixels` recorded pixels.

    Measured: the denoised image is best after 250, 300 and 650 steps where an image has 96, 128 and 256 pixels along each side, whatever
    the schedule (benchmarks/results.md, "Memory of small images").

    >>> most_steps(TrainingSection(), 128 * 128)
    346
    """
    return max(1, round(training.memory_bound * math.sqrt(pixels)))


def _pairs(config: Config, acquisition: Acquisition, measurements: Sequence[Measurement], symmetries: Sequence[int]) -> Pairs:
    if config.pairs.kind == "interleave":
        return InterleavedPairs([(measurement.y,) for measurement in measurements], config.training, symmetries)
    return acquisition.pairs(measurements, _pair_maker(config, acquisition), config.training, symmetries)


def _pair_maker(config: Config, acquisition: Acquisition) -> PairMaker:
    if acquisition.splits:
        return Splitting(acquisition.camera, config.pairs.alpha)
    return Recorruption(acquisition.camera, **config.pairs.ranges())


def _edges(patch_px: Sequence[int]) -> list[int]:
    return [min(EDGE_PX, (n - 1) // 4) for n in patch_px]


def gaussian(fwhm_px: Sequence[float], shift_px: float = 0.0) -> np.ndarray:
    """Normalised Gaussian kernel of odd sizes, `fwhm_px` wide at half maximum along each axis; with its planes shifted along y by
    `-shift_px` each, as in a skewed stack (`Psf.sheared`).

    >>> gaussian((2.0, 4.0)).shape
    (9, 15)
    """
    sigmas = [fwhm / FWHM_PER_SIGMA for fwhm in fwhm_px]
    radii = [max(int(np.ceil(4 * sigma)), 1) for sigma in sigmas]
    if shift_px:
        return _sheared_gaussian(sigmas, radii, shift_px)
    kernel = np.ones(())
    for sigma, radius in zip(sigmas, radii, strict=True):
        profile = np.exp(-0.5 * (np.arange(-radius, radius + 1) / sigma) ** 2)
        kernel = np.multiply.outer(kernel, profile)
    return kernel / kernel.sum()


def _sheared_gaussian(sigmas: Sequence[float], radii: Sequence[int], shift_px: float) -> np.ndarray:
    z_radius, y_radius, x_radius = radii
    y_radius += int(np.ceil(abs(shift_px) * z_radius))
    z, y, x = (np.arange(-n, n + 1) for n in (z_radius, y_radius, x_radius))
    along = (y + shift_px * z[:, None]) / sigmas[1]
    kernel = np.exp(-0.5 * ((z / sigmas[0])[:, None, None] ** 2 + along[:, :, None] ** 2 + (x / sigmas[2]) ** 2))
    return kernel / kernel.sum()
