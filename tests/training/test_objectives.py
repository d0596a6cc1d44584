"""What a network is asked to learn, against the equations written out."""

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from oracles import asymmetric_kernel, lateral_mean, mirrored_convolution
from zsdeconv.acquisition.direct import CameraMeasurement, DirectAcquisition
from zsdeconv.acquisition.light import OpenLight
from zsdeconv.camera.detector import Camera
from zsdeconv.config import LossSection, TrainingSection, resolve
from zsdeconv.data.batches import BlindPatches, InterleavedPairs, RandomStreams, SplitPairs
from zsdeconv.data.normalize import Affine
from zsdeconv.data.pairs import Recorruption
from zsdeconv.nn.fast import FastNet
from zsdeconv.nn.rcan import TwoStageRCAN
from zsdeconv.nn.unet import TwoStageUNet
from zsdeconv.physics import grid
from zsdeconv.physics.operators import Operator, forward_model
from zsdeconv.physics.psf import Psf
from zsdeconv.training import losses
from zsdeconv.training.networks import training_phases
from zsdeconv.training.objectives import (
    EDGE_PX,
    Denoise,
    DenoiseBlind,
    SimulatedPairs,
    TwoStageObjective,
    gaussian,
)

CPU = torch.device("cpu")
CAMERA = Camera(offset=0.0, gain=0.02, read_variance=0.001)
RECORRUPT = Recorruption(CAMERA)
KERNEL = asymmetric_kernel(5, 7)
POINT = Psf(np.ones((1, 1)), (0.03, 0.03), "a point")
OPERATOR = forward_model(KERNEL, 2, 2)


class Stub(nn.Module):
    """Stage 1 scales its input, stage 2 enlarges the input and bends it."""

    symmetries = 1

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[Tensor] = []
        self.w = nn.Parameter(torch.tensor(0.9))

    def forward(self, x: Tensor, stage: int = 2, symmetry: int = 0) -> tuple[Tensor, Tensor]:
        self.seen.append(x)
        return self.w * x, grid.upsample(x, (2, 2)).square()


def samples(n: int = 1) -> list[tuple[Tensor, Tensor]]:
    generator = torch.Generator().manual_seed(1)
    images = [torch.rand(40, 48, generator=generator) + 0.2 for _ in range(n)]
    return [(image, grid.smooth(image[None, None])[0, 0]) for image in images]


def fields(n: int = 1) -> list[CameraMeasurement]:
    return [CameraMeasurement(y, CAMERA) for y, _ in samples(n)]


def acquisition(operator: Operator = OPERATOR, camera: Camera = CAMERA) -> DirectAcquisition:
    return DirectAcquisition(Affine(0.0, 1.0), camera, POINT, 2, forward_operator=operator)


def training(**changes: Any) -> TrainingSection:
    return TrainingSection(**{"patch_px": 24, "batch": 3, **changes})


def pair_of(objective: TwoStageObjective | Denoise, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """The pair that the objective draws first from such a seed."""
    y_hat, y_tilde, gap = objective.pairs(Stub(), RandomStreams(seed, CPU))
    assert gap is None
    return y_hat[:, 0].double().numpy(), y_tilde[:, 0].double().numpy()


@pytest.mark.parametrize("error", ["l2", "l1"])
def test_both_stages_at_once_are_equations_4_to_6(error) -> None:
    margin, mu, weight = 3, 0.3, 0.05
    settings = training(margin_px=margin)
    pairs, loss_section = SplitPairs(samples(), RECORRUPT, settings), LossSection(mu=mu, lambda_hessian=weight, norm=error)
    objective = TwoStageObjective(pairs, settings, loss_section, OPERATOR)
    loss = float(objective(Stub(), RandomStreams(0, CPU)).detach())

    y_hat, y_tilde = pair_of(objective)
    inner = np.s_[:, margin:-margin, margin:-margin]
    fine = (y_hat**2).repeat(2, 1).repeat(2, 2)
    imaged = np.stack([lateral_mean(mirrored_convolution(x, KERNEL), 2) for x in fine])
    power = (lambda d: np.mean(d**2)) if error == "l2" else (lambda d: np.mean(np.abs(d)))
    l_den = power((0.9 * y_hat - y_tilde)[inner])
    dyy, dxx = np.diff(fine, 2, 1), np.diff(fine, 2, 2)
    dxy = np.diff(np.diff(fine, 1, 1), 1, 2)
    l_dec = power((imaged - y_tilde)[inner]) + weight * (np.mean(dyy**2) + np.mean(dxx**2) + 2 * np.mean(dxy**2))
    assert loss == pytest.approx(mu * l_den + (1 - mu) * l_dec, rel=1e-5)  # float32 against float64


class StackStub(nn.Module):
    """As `Stub`, for stacks; its stage 1 depends on neighbouring slices, as that of a network does."""

    symmetries = 1

    def __init__(self) -> None:
        super().__init__()
        self.w = nn.Parameter(torch.tensor(0.9))

    def forward(self, x: Tensor, stage: int = 2, symmetry: int = 0) -> tuple[Tensor, Tensor]:
        denoised = self.w * x + 0.3 * x.roll(1, 2)
        return denoised, grid.upsample(x, (1, 2, 2)).square() if stage == 2 else denoised


@pytest.mark.parametrize("error", ["l2", "l1"])
def test_interleaved_training_is_equations_7_to_9(error) -> None:
    mu, weight, gamma = 0.3, 0.05, 0.7
    kernel = asymmetric_kernel(3, 5, 7)
    z = torch.rand(15, 26, 21, generator=torch.Generator().manual_seed(1))
    settings = LossSection(mu=mu, lambda_hessian=weight, gamma=gamma, norm=error)
    budget = training(patch_px=16, margin_px=3, patch_planes=6, margin_planes=2)
    pairs = InterleavedPairs([(z, z)], budget)
    objective = TwoStageObjective(pairs, budget, settings, forward_model(kernel, 3, 2))
    network = StackStub()
    loss = objective(network, RandomStreams(0, CPU))
    loss.backward()
    assert network.w.grad is not None and float(network.w.grad) != 0

    draws = RandomStreams(0, CPU)
    patches = pairs.sampler(draws.host)[0].double().numpy()[:, 0]
    assert patches.shape == (3, 12, 16, 16)
    swapped = pairs.interleave.order(3, CPU, draws.device).tolist()
    assert set(swapped) == {True, False}  # generic: both orders in this batch
    power = np.square if error == "l2" else np.abs
    inner, inner_fine = np.s_[1:-1, 3:-3, 3:-3], np.s_[1:-1, 6:-6, 6:-6]  # 6 slices a half: (6 - 1) // 4 of them at most

    def gap_regularised_error(prediction: np.ndarray, target: np.ndarray, gap: np.ndarray) -> float:
        difference = (prediction - target)[inner]
        return float(np.mean(power(difference)) + gamma * np.mean(power(difference - gap[inner])))

    l_den = l_dec = 0.0
    for patch, swap in zip(patches, swapped, strict=True):
        start = (1, 0) if swap else (0, 1)
        y_hat, y_tilde = (patch[s:12:2] for s in start)
        whole = 0.9 * patch + 0.3 * np.roll(patch, 1, 0)
        gap = whole[start[0] : 12 : 2] - whole[start[1] : 12 : 2]
        l_den += gap_regularised_error(0.9 * y_hat + 0.3 * np.roll(y_hat, 1, 0), y_tilde, gap) / 3
        fine = (y_hat**2).repeat(2, 1).repeat(2, 2)
        l_dec += gap_regularised_error(lateral_mean(mirrored_convolution(fine, kernel), 2), y_tilde, gap) / 3
        inside = torch.from_numpy(fine[inner_fine])[None, None]
        l_dec += weight * float(losses.hessian(inside)) / 3
    assert float(loss.detach()) == pytest.approx(mu * l_den + (1 - mu) * l_dec, rel=1e-5)  # float32 against float64


@pytest.mark.parametrize(
    "network", [TwoStageRCAN(groups=1, blocks_per_group=1, channels=8, tail=4), TwoStageUNet(3, levels=1, convolutions=1)]
)
def test_published_networks_learn_from_interleaved_stacks(network: nn.Module) -> None:
    z = torch.rand(5, 13, 18, generator=torch.Generator().manual_seed(1))  # five slices will do
    settings = training(patch_px=12, batch=2, patch_planes=13)
    objective = TwoStageObjective(
        InterleavedPairs([(z, z)], settings), settings, LossSection(), forward_model(asymmetric_kernel(3, 3, 5), 3, 2)
    )
    objective.prepare(network, RandomStreams(0, CPU))
    assert len(list(objective.parameters(network))) == len(list(network.parameters()))
    objective(network, RandomStreams(0, CPU)).backward()
    assert all(p.grad is not None for p in network.parameters())


@pytest.mark.parametrize(("kernel", "allowed"), [(gaussian((6.0, 6.0)), 8), (gaussian((6.0, 3.0)), 4), (asymmetric_kernel(5, 7), 1)])
def test_the_published_training_turns_patches_as_far_as_the_lens_allows(kernel: np.ndarray, allowed: int) -> None:
    """A patch that is turned shows what a lens that is turned would have seen, and the operator of Eq. 6 is not turned."""
    psf = Psf.from_array(kernel, (0.03, 0.03), "a test")
    for kind, expected in (("unet", allowed), ("fast", 8)):
        config = resolve({"network": {"kind": kind}})
        objective = training_phases(config, DirectAcquisition(Affine(0.0, 1.0), CAMERA, psf, 2), fields())[0][0]
        assert isinstance(objective, TwoStageObjective | Denoise) and isinstance(objective.pairs, SplitPairs)
        assert len(objective.pairs.sampler.symmetries) == expected


def test_denoising_from_slices_amends_the_gap() -> None:
    z = torch.rand(14, 26, 21, generator=torch.Generator().manual_seed(1))
    pairs = InterleavedPairs([(z, z)], training(patch_px=16, patch_planes=6))
    network = StackStub()
    loss = float(Denoise(pairs, LossSection(gamma=0.7))(network, RandomStreams(0, CPU)).detach())
    y_hat, y_tilde, gap = pairs(network, RandomStreams(0, CPU))
    inner = np.s_[:, :, 1:-1, 3:-3, 3:-3]
    difference = (network(y_hat)[0].detach() - y_tilde)[inner]
    expected = difference.square().mean() + 0.7 * (difference - gap[inner]).square().mean()
    assert loss == pytest.approx(float(expected), rel=1e-5)


def test_stage_2_of_a_stack_learns_from_views_of_some_of_its_planes() -> None:
    kernel = asymmetric_kernel(3, 5, 7)
    operator = forward_model(kernel, 3, 2)
    y = torch.rand(15, 30, 34, generator=torch.Generator().manual_seed(1)) + 0.2
    torch.manual_seed(0)
    network = FastNet(3, 2, operator, (4, 8), lateral_first=True, coarse_start=True)
    settings = training(patch_px=16, patch_planes=6, batch=2)
    quiet = Camera(offset=0.0, gain=1e-12, read_variance=1e-12)
    objective = SimulatedPairs(acquisition(operator, quiet), [CameraMeasurement(y, quiet)], settings, (3.0, 6.0, 6.0))
    objective.prepare(network, RandomStreams(0, CPU))
    seen: list[Tensor] = []
    network.register_forward_pre_hook(lambda _, args: seen.append(args[0]))
    loss = objective(network, RandomStreams(5, CPU))
    x = objective.views(RandomStreams(5, CPU).host)
    assert x.shape == (2, 1, 6 + 2 * 4, 2 * (16 + 2 * 1), 2 * (16 + 2 * 1))  # half of the lens's three fine pixels
    clean = np.stack([lateral_mean(mirrored_convolution(view, kernel), 2) for view in x[:, 0].double().numpy()])
    np.testing.assert_allclose(seen[0][:, 0], clean[:, 4:-4, 1:-1, 1:-1].clip(0), atol=2e-5)  # noise 1e-6, float32
    loss.backward()
    assert all(p.grad is not None for p in network.stage2.parameters())


def test_denoising_compares_through_the_pair_and_leaves_out_the_border() -> None:
    objective = Denoise(SplitPairs(samples(), RECORRUPT, training()), LossSection())
    y_hat, y_tilde = pair_of(objective)
    edge = (24 - 1) // 4
    assert edge == 5 < EDGE_PX  # small patches keep their middle
    inner = np.s_[:, edge:-edge, edge:-edge]
    assert float(objective(Stub(), RandomStreams(0, CPU)).detach()) == pytest.approx(np.mean((0.9 * y_hat - y_tilde)[inner] ** 2), rel=1e-5)
    assert not np.allclose(y_hat, y_tilde)


def test_blind_spots_compare_hidden_pixels_alone_and_leave_out_the_border() -> None:
    patches = BlindPatches([(y,) for y, _ in samples()], training())
    y_hat, y, hidden = (image.numpy() for image in patches(RandomStreams(0, CPU)))
    edge = (24 - 1) // 4
    inner = np.s_[..., edge:-edge, edge:-edge]
    expected = np.mean(((0.9 * y_hat - y)[inner][hidden[inner]]) ** 2)
    assert float(DenoiseBlind(patches)(Stub(), RandomStreams(0, CPU)).detach()) == pytest.approx(expected, rel=1e-5)


def test_blind_spots_train_in_two_phases_without_added_noise() -> None:
    config = resolve({"pairs": {"kind": "blind"}})
    first, second = (phase for phase, _ in training_phases(config, DirectAcquisition(Affine(0.0, 1.0), CAMERA, a_psf(), 2), fields()))
    assert isinstance(first, DenoiseBlind) and first.most_steps is not None
    assert isinstance(second, SimulatedPairs) and second.added_noise == (0.0, 0.0)
    assert config.pairs.prediction_alpha == 0


def test_each_phase_trains_its_own_stage() -> None:
    network = FastNet(2, 2, OPERATOR, (4, 8))
    phases = [p for p, _ in training_phases(resolve({}), DirectAcquisition(Affine(0.0, 1.0), CAMERA, a_psf(), 2), fields())]
    chosen = [[id(p) for p in phase.parameters(network)] for phase in phases]
    assert chosen == [[id(p) for p in network.stage1.parameters()], [id(p) for p in network.stage2.parameters()]]


def a_psf() -> Psf:
    return Psf.from_array(gaussian((6.0, 6.0)), (0.03, 0.03), "a test")


def reimage(n: int = 1, camera: Camera = CAMERA, **changes: int) -> tuple[SimulatedPairs, FastNet]:
    torch.manual_seed(0)
    network = FastNet(2, 2, OPERATOR, (4, 8))
    objective = SimulatedPairs(acquisition(OPERATOR, camera), fields(n), training(**changes), (6.0, 6.0))
    objective.prepare(network, RandomStreams(0, CPU))
    return objective, network


def view_of(objective: SimulatedPairs, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Noise-free images and targets of the views that the objective draws first from such a seed, without what lies around them."""
    x = objective.views(RandomStreams(seed, CPU).host)[:, 0].double().numpy()
    clean = np.stack([lateral_mean(mirrored_convolution(view, KERNEL), 2) for view in x])
    target = np.stack([mirrored_convolution(view, gaussian([6.0 * training().target_fwhm_fraction] * 2)) for view in x])
    around = objective.around.margin_px[0]
    inner, fine = slice(around, -around), slice(2 * around, -2 * around)
    return clean[:, inner, inner].clip(0), target[:, fine, fine]


def test_objects_are_sharper_than_their_image_and_hold_its_light() -> None:
    objective, _ = reimage(n=2)
    for x, y in zip(objective.views.objects, (measurement.y for measurement in objective.measurements), strict=True):
        assert x.shape == (1, 80, 96) and float(x.min()) >= 0
        clean = lateral_mean(mirrored_convolution(x[0].double().numpy(), KERNEL), 2)
        assert float(clean.mean()) == pytest.approx(float(y.mean()), rel=0.02)
        smoothed = grid.smooth(y[None, None])[0, 0].numpy()
        assert (clean - smoothed).std() < (y.numpy() - smoothed).std()
        assert float(x.std()) > clean.std()


def test_the_target_of_stage_2_is_the_object_and_its_input_what_the_lens_makes_of_it() -> None:
    """Also of a lens that is not symmetric, under which an object that is turned has an image that is not."""
    objective, _ = reimage(camera=Camera(offset=0.0, gain=1e-12, read_variance=1e-12), batch=4)
    stub = Stub()
    loss = float(objective(stub, RandomStreams(5, CPU)).detach())
    clean, x = view_of(objective, 5)
    np.testing.assert_allclose(stub.seen[0][:, 0], clean, atol=2e-5)  # noise 1e-6, float32
    edge = 2 * 5
    found = stub.seen[0][:, 0].numpy().repeat(2, 1).repeat(2, 2) ** 2
    assert x.shape == (4, 48, 48) and loss == pytest.approx(((found - x)[:, edge:-edge, edge:-edge] ** 2).mean(), rel=1e-4)


def test_light_that_an_image_lacks_is_lacking_in_the_views_too() -> None:
    """Of an imaging that does not account for all light, an image that lies below zero is that of an object, and so are its views."""
    quiet, wide = Camera(offset=0.0, gain=1e-12, read_variance=1e-12), forward_model(KERNEL, 2, 1)
    y = fields()[0].y - 0.7
    blurring = DirectAcquisition(Affine(0.0, 1.0), quiet, POINT, 1, forward_operator=wide)
    blurring.light = OpenLight()  # pyright: ignore[reportAttributeAccessIssue]
    objective = SimulatedPairs(blurring, [CameraMeasurement(y, quiet)], training(batch=3), (6.0, 6.0))
    torch.manual_seed(0)
    network = FastNet(2, 1, wide, (4, 8))
    objective.prepare(network, RandomStreams(0, CPU))
    seen: list[Tensor] = []
    network.register_forward_pre_hook(lambda _, args: seen.append(args[0]))
    objective(network, RandomStreams(5, CPU))
    x, missing = objective.views(RandomStreams(5, CPU).host).double().split(1, dim=1)
    assert float(missing.mean()) > 0.05  # of the 0.7 taken; the rest is light that the image had everywhere
    clean = np.stack([mirrored_convolution(view, KERNEL) for view in x[:, 0].numpy()])
    crop = objective.around
    expected = crop(torch.from_numpy(clean)[:, None]).clamp(min=0) - crop(missing)
    np.testing.assert_allclose(seen[0], expected, atol=2e-5)  # noise 1e-6, float32


def test_the_input_of_stage_2_has_the_noise_of_the_camera() -> None:
    objective, _ = reimage(batch=400)
    stub = Stub()
    objective(stub, RandomStreams(5, CPU))
    clean = torch.from_numpy(view_of(objective, 5)[0]).float()[:, None]
    noise = stub.seen[0] - clean
    ratio = noise.square().mean((1, 2, 3)) / CAMERA.variance(clean).mean((1, 2, 3))
    # 1 + alpha^2 of prediction, which adds as much noise again, drawn from 1.5 to 2.5; 576 pixels an image: 6 % each
    assert float(ratio.mean()) == pytest.approx(2.0, abs=0.07)
    assert 1.1 < float(ratio.min()) < 1.7 and 2.3 < float(ratio.max()) < 3.1
    bright = clean > clean.median()
    for part in (bright, ~bright):
        assert float(noise[part].var() / CAMERA.variance(clean[part]).mean()) == pytest.approx(2.0, abs=0.1)


def test_learning_stage_2_leaves_stage_1_alone() -> None:
    objective, network = reimage()
    objective(network, RandomStreams(0, CPU)).backward()
    assert all(p.grad is None for p in network.stage1.parameters())
    assert any(p.grad is not None and float(p.grad.abs().max()) > 0 for p in network.stage2.parameters())


@pytest.mark.parametrize(("kind", "names"), [("fast", ["denoise", "reimage"]), ("unet", ["two-stage"]), ("rcan", ["two-stage"])])
def test_shares_of_the_phases_fill_the_budget(kind: str, names: list[str]) -> None:
    config = resolve({"network": {"kind": kind}, "training": {"stage2_fraction": 0.3}})
    phases = training_phases(config, DirectAcquisition(Affine(0.0, 1.0), CAMERA, a_psf(), 2), fields())
    assert [phase.name for phase, _ in phases] == names
    assert sum(share for _, share in phases) == pytest.approx(1.0)


def test_draws_continue_where_they_were_saved() -> None:
    draws = RandomStreams(7, CPU)
    draws.host.manual_seed(1)
    state = draws.state()
    first = torch.rand(3, generator=draws.host), torch.rand(3, generator=draws.device)
    other = RandomStreams(8, CPU)
    other.restore(state)
    assert torch.equal(torch.rand(3, generator=other.host), first[0])
    assert torch.equal(torch.rand(3, generator=other.device), first[1])


@pytest.mark.parametrize("fwhm_px", [(4.0, 6.0), (2.0, 4.0, 8.0)])
def test_the_gaussian_is_as_wide_as_it_says(fwhm_px: tuple[float, ...]) -> None:
    kernel = gaussian(fwhm_px)
    middle = [n // 2 for n in kernel.shape]
    assert kernel.sum() == pytest.approx(1.0)
    for axis, fwhm in enumerate(fwhm_px):
        at = list(middle)
        at[axis] += int(fwhm / 2)
        assert kernel[tuple(at)] / kernel[tuple(middle)] == pytest.approx(0.5, abs=1e-4)  # half maximum at half the width
