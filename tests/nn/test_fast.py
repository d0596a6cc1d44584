"""Our network: its size, its classical start, any image, its halo, and two stages that learn apart."""

import pytest
import torch
from torch import Tensor, nn

from oracles import asymmetric_kernel
from zsdeconv.config import resolve
from zsdeconv.nn import layers
from zsdeconv.nn.fast import RL_SNAPSHOTS, FastNet, UNet, coarse_blur
from zsdeconv.nn.unet import TwoStageUNet
from zsdeconv.physics import grid
from zsdeconv.physics.deconvolve import richardson_lucy
from zsdeconv.physics.operators import Blur, forward_model
from zsdeconv.physics.optics import Optics
from zsdeconv.physics.psf_theory import theoretical_psf
from zsdeconv.training.networks import make_network


def network(scale: int = 2, channels: tuple[int, ...] = (4, 8), *, rank: int = 2, learned: bool = False, **options: bool) -> FastNet:
    torch.manual_seed(5)
    made = FastNet(rank, scale, forward_model(asymmetric_kernel(*[5] * rank), rank, scale), channels, **options)
    return perturbed(made) if learned else made


def perturbed(made: FastNet) -> FastNet:
    with torch.no_grad():
        for parameter in made.parameters():
            parameter += 0.1 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(parameter.numel()))
    return made


def image(*shape: int) -> Tensor:
    return torch.rand(1, 1, *shape, generator=torch.Generator().manual_seed(6))


def unet_size(channels_in: int, channels_out: int, channels: tuple[int, ...]) -> int:
    """Weights and biases, layer by layer: two 3 x 3 convolutions a level each way, two in the middle, 1 x 1 at the end."""

    def pair(before: int, n: int) -> int:
        return (9 * before + 1) * n + (9 * n + 1) * n

    *levels, middle = channels
    down = sum(pair(before, n) for before, n in zip([channels_in, *levels], levels, strict=False))
    up = sum(pair(below + n, n) for below, n in zip([middle, *reversed(levels)], reversed(levels), strict=False))
    return down + pair(levels[-1], middle) + up + (levels[0] + 1) * channels_out


@pytest.mark.parametrize(("scale", "channels"), [(2, (16, 32, 64, 64)), (1, (4, 8)), (2, (4, 6, 5))])
def test_number_of_parameters(scale: int, channels: tuple[int, ...]) -> None:
    features = 1 + len(RL_SNAPSHOTS) * scale**2
    expected = unet_size(1, 1, channels) + unet_size(features, scale**2, channels)
    assert sum(p.numel() for p in network(scale, channels).parameters()) == expected


@pytest.mark.parametrize("scale", [1, 2])
def test_untrained_it_is_a_mean_filter_and_richardson_lucy(scale: int) -> None:
    made, x = network(scale), image(13, 18)
    denoised, deconvolved = made(x)
    padded = torch.nn.functional.pad(x, (2, 2, 2, 2), mode="replicate")
    mean = sum(padded[..., i : i + 13, j : j + 18] for i in range(5) for j in range(5)) / 25
    torch.testing.assert_close(denoised, mean, atol=1e-6, rtol=0)  # float32 rounding of numbers below 1
    (expected,) = richardson_lucy(denoised, made.start_operator, [RL_SNAPSHOTS[-1]], momentum="fixed")
    torch.testing.assert_close(deconvolved, expected, atol=1e-6, rtol=0)


@pytest.mark.parametrize("scale", [1, 2])
@pytest.mark.parametrize("shape", [(17, 33), (5, 8), (3, 3), (1, 2)])
@torch.no_grad()
def test_any_size(shape: tuple[int, int], scale: int) -> None:
    denoised, deconvolved = network(scale, (4, 6, 8), learned=True)(image(*shape))
    assert denoised.shape[2:] == shape
    assert deconvolved.shape[2:] == tuple(scale * n for n in shape)
    assert bool(deconvolved.isfinite().all())


FOR_VOLUMES = {"lateral_first": True, "coarse_start": True}


@pytest.mark.parametrize("options", [{}, FOR_VOLUMES])
@pytest.mark.parametrize("shape", [(3, 6, 9), (5, 13, 10), (1, 7, 4)])
@torch.no_grad()
def test_volumes_of_few_slices_are_refined_laterally(shape: tuple[int, int, int], options: dict[str, bool]) -> None:
    denoised, deconvolved = network(2, (4, 8), rank=3, learned=True, **options)(image(*shape))
    assert denoised.shape[2:] == shape
    assert deconvolved.shape[2:] == (shape[0], 2 * shape[1], 2 * shape[2])
    assert bool(deconvolved.isfinite().all())


def test_lateral_first_leaves_z_alone_in_every_other_convolution() -> None:
    widths = {rank: [layer.kernel_size for layer in layers.convolutions(UNet(rank, 2, 1, (4, 6), lateral_first=True))] for rank in (2, 3)}
    assert widths[3] == [(1, 3, 3), (3, 3, 3)] * 3 + [(1, 1, 1)]
    assert widths[2] == [(3, 3)] * 6 + [(1, 1)]  # nothing to save in an image


@pytest.mark.parametrize("lateral_first", [False, True])
def test_a_u_net_reaches_no_farther_along_z_than_its_halo(lateral_first: bool) -> None:
    torch.manual_seed(0)
    unet = UNet(3, 1, 1, (4, 6, 8), lateral_first=lateral_first).double()
    nn.init.ones_(unet.head.weight)
    halo = unet.halo_px[0]
    x = torch.rand(1, 1, 2 * halo + 9, 4, 8, dtype=torch.float64)
    changed = x.clone()
    changed[:, :, halo + 4] += 1.0
    touched = (unet(x) != unet(changed)).any(-1).any(-1).flatten().nonzero().flatten()
    assert int(touched.min()) == 4 and int(touched.max()) == 2 * halo + 4  # nothing is pooled: exact


@pytest.mark.parametrize(("rank", "scale"), [(2, 2), (2, 1), (3, 2)])
def test_the_blur_on_the_raw_grid_is_the_model_of_objects_made_of_raw_pixels(rank: int, scale: int) -> None:
    fine = forward_model(asymmetric_kernel(*(3, 7, 5)[-rank:]), rank, scale)
    coarse = coarse_blur(fine, rank, scale, energy=1.0)
    x = image(*(9, 13, 11)[-rank:]).double()
    expected = fine(grid.upsample(x, grid.lateral_factors(rank, scale)))
    inner = [4] * rank  # at the border the two continue the object by mirrors half a raw pixel apart
    stop = [n - 4 for n in x.shape[2:]]
    torch.testing.assert_close(grid.window(coarse(x), inner, stop), grid.window(expected, inner, stop), atol=1e-12, rtol=0)


def test_a_cropped_blur_on_the_raw_grid_keeps_the_flux_and_most_of_the_light() -> None:
    psf = theoretical_psf(Optics(1.4, 525), (0.0325, 0.0325), radius_um=32 * 0.0325).values
    whole, cropped = (coarse_blur(forward_model(psf, 2, 2), 2, 2, energy) for energy in (1.0, 0.9))
    assert isinstance(whole, Blur) and isinstance(cropped, Blur)
    assert cropped.kernel.sum() == pytest.approx(1.0)
    assert cropped.kernel.size < whole.kernel.size / 4
    assert whole.kernel.max() < cropped.kernel.max() < whole.kernel.max() / 0.9 + 1e-9


@torch.no_grad()
def test_a_coarse_start_is_richardson_lucy_on_the_raw_grid() -> None:
    made, x = network(2, (4, 8), rank=3, **FOR_VOLUMES), image(5, 12, 9)
    denoised, deconvolved = made(x)
    assert isinstance(made.start_operator, Blur)
    (expected,) = richardson_lucy(denoised, made.start_operator, [RL_SNAPSHOTS[-1]], momentum="fixed")
    torch.testing.assert_close(deconvolved, grid.upsample(expected, (1, 2, 2)), atol=1e-6, rtol=0)  # float32 rounding
    assert len(layers.convolutions(made.stage2)[0].weight[0]) == 1 + len(RL_SNAPSHOTS)


def test_a_u_net_reaches_no_farther_than_its_halo() -> None:
    torch.manual_seed(0)
    unet = UNet(2, 1, 1, (4, 6, 8)).double()
    nn.init.ones_(unet.head.weight)
    halo, size = unet.halo_px[-1], 160
    assert size % unet.stride_px[-1] == 0
    x = torch.rand(1, 1, 8, size, dtype=torch.float64)
    reach = 0
    for column in range(76, 76 + unet.stride_px[-1]):
        changed = x.clone()
        changed[..., column] += 1.0
        touched = (unet(x) != unet(changed)).any(-2).flatten().nonzero().flatten()
        reach = max(reach, column - int(touched.min()), int(touched.max()) - column)
    assert halo / 2 < reach <= halo  # a bound, and not a waste


@pytest.mark.parametrize("scale", [1, 2])
@torch.no_grad()
def test_beyond_the_halo_a_pixel_changes_nothing_that_matters(scale: int) -> None:
    """The claim of `FastNet.halo_px`, with a real PSF 32 fine pixels in radius and a pixel that goes from dark to full range."""
    fine_um = 0.065 / scale
    psf = theoretical_psf(Optics(1.4, 525), (fine_um, fine_um), radius_um=32 * fine_um).values
    torch.manual_seed(2)
    made = perturbed(FastNet(2, scale, forward_model(psf, 2, scale), (4, 8))).double()
    halo = made.halo_px[-1]
    x = 0.2 * image(24, halo + 30).double()
    changed = x.clone()
    changed[..., 12, 9] += 1.0
    for factor, before, after in zip((1, scale), made(x), made(changed), strict=True):
        beyond = (before - after)[..., factor * (9 + halo) :].abs()
        assert float((before - after).abs().max()) > 0.02
        assert float(beyond.max()) < 1e-5


def test_the_stages_learn_apart() -> None:
    made, x = network(), image(12, 16)
    made(x)[1].square().mean().backward()
    assert all(p.grad is None for p in made.stage1.parameters())
    assert any(float(p.grad.abs().max()) > 0 for p in made.stage2.parameters() if p.grad is not None)
    made.zero_grad()
    made(x, stage=1)[0].square().mean().backward()
    assert any(float(p.grad.abs().max()) > 0 for p in made.stage1.parameters() if p.grad is not None)
    assert all(p.grad is None for p in made.stage2.parameters())


@torch.no_grad()
def test_light_below_zero_is_shrunk_and_not_cut() -> None:
    made = network()
    assert made.stage2.head.bias is not None
    nn.init.constant_(made.stage2.head.bias, -10.0)
    deconvolved = made(image(9, 12))[1]
    assert -0.5 <= float(deconvolved.min()) < -0.3  # a twentieth of -10 and of what the start adds to it


@torch.no_grad()
def test_stage_1_alone_gives_the_same_denoised_image() -> None:
    made, x = network(learned=True), image(14, 11)
    assert torch.equal(made(x, stage=1)[0], made(x)[0])


def test_the_table_makes_what_the_configuration_names() -> None:
    operator = forward_model(asymmetric_kernel(3, 3), 2, 2)
    torch.manual_seed(99)
    before = torch.rand(1)
    torch.manual_seed(99)
    first, again, other = (make_network(resolve({"network": {"channels": (4, 8)}, "seed": seed}), 2, operator, 2) for seed in (1, 1, 2))
    assert torch.equal(torch.rand(1), before)  # the global generator is left alone
    pairs = list(zip(first.parameters(), again.parameters(), other.parameters(), strict=True))
    assert all(torch.equal(a, b) for a, b, _ in pairs)
    assert not all(torch.equal(a, c) for a, _, c in pairs)
    assert isinstance(make_network(resolve({"preset": "paper", "scale": 1}), 2, operator, 1), TwoStageUNet)
    volumes = {"network": {"channels": (4, 8), "lateral_first": True, "coarse_start": True}}
    made = make_network(resolve(volumes), 3, forward_model(asymmetric_kernel(3, 3, 3), 3, 2), 2)
    assert isinstance(made, FastNet) and made.start_scale == 1 and made.stage1.axial_convolutions == 1


@torch.no_grad()
@pytest.mark.parametrize("shape", [(8, 12), (13, 11)])
def test_a_symmetry_turns_what_stage_1_sees_and_nothing_else(shape: tuple[int, int]) -> None:
    net, x = network(learned=True), image(*shape)
    plain = net(x, stage=1)[0]
    for symmetry in range(1, net.symmetries):
        denoised, deconvolved = net(x, symmetry=symmetry)
        assert denoised.shape == plain.shape and not torch.equal(denoised, plain)
        torch.testing.assert_close(deconvolved, net._deconvolved(denoised))
    if all(n % stride == 0 for n, stride in zip(shape, net.stride_px, strict=True)):
        expected = grid.undo_symmetry(net(grid.apply_symmetry(x, 5), stage=1)[0], 5)
        torch.testing.assert_close(net(x, stage=1, symmetry=5)[0], expected)
