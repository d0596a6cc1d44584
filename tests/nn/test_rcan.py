"""The published network for volumes: size, any number of slices, reach, gates, live start."""

import numpy as np
import pytest
import torch
from torch import Tensor

from zsdeconv.config import resolve
from zsdeconv.nn import layers
from zsdeconv.nn.rcan import AttentionBlock, TwoStageRCAN
from zsdeconv.nn.unet import TwoStageUNet
from zsdeconv.physics import grid
from zsdeconv.physics.operators import Downsample
from zsdeconv.training.networks import make_network


def small(scale: int = 2, **options: bool) -> TwoStageRCAN:
    generator = torch.Generator().manual_seed(3)
    return TwoStageRCAN(scale=scale, groups=1, blocks_per_group=1, channels=16, tail=8, generator=generator, **options)


def volume(*shape: int) -> Tensor:
    return torch.rand(1, 1, *shape, generator=torch.Generator().manual_seed(4))


def test_published_numbers_of_parameters() -> None:
    assert sum(p.numel() for p in TwoStageRCAN().parameters()) == 2_003_490
    for_illumination = TwoStageRCAN(blocks_per_group=4, tail=256, relu_between=True)
    assert sum(p.numel() for p in for_illumination.parameters()) == 4_452_930


@pytest.mark.parametrize("scale", [1, 2])
@pytest.mark.parametrize("shape", [(5, 9, 14), (1, 3, 1), (7, 1, 6)])
@torch.no_grad()
def test_few_slices_and_any_lateral_size(shape: tuple[int, int, int], scale: int) -> None:
    denoised, deconvolved = small(scale)(volume(*shape))
    assert denoised.shape[2:] == shape
    assert deconvolved.shape[2:] == (shape[0], scale * shape[1], scale * shape[2])
    assert bool(deconvolved.isfinite().all())


@torch.no_grad()
def test_an_attention_block_is_the_formula() -> None:
    torch.manual_seed(0)
    block, x = AttentionBlock(rank=3, channels=32).double(), volume(3, 5, 4).double().repeat(2, 32, 1, 1, 1)
    x[1] *= torch.linspace(-1, 2, 32, dtype=torch.float64).reshape(32, 1, 1, 1)
    change = block.body(x).numpy()
    squeeze, excite = (layer for layer in layers.convolutions(block.gate))
    assert squeeze.bias is not None and excite.bias is not None
    weights = [layer.weight[:, :, 0, 0, 0].numpy() for layer in (squeeze, excite)]
    middle = np.maximum(change.mean((2, 3, 4)) @ weights[0].T + squeeze.bias.numpy(), 0)
    gate = 1 / (1 + np.exp(-(middle @ weights[1].T + excite.bias.numpy())))
    np.testing.assert_allclose(block(x), x.numpy() + gate[..., None, None, None] * change, atol=1e-12)  # float64 rounding


@pytest.mark.parametrize("scale", [1, 2])
@torch.no_grad()
def test_halo_is_the_exact_reach_of_the_convolutions(scale: int) -> None:
    """With gates that are shut the image passes on the way round them, with gates wide open through every convolution."""
    network = small(scale).double()
    for layer in layers.convolutions(network):
        layer.weight.abs_()  # nothing can cancel
    for block in [m for m in network.modules() if isinstance(m, AttentionBlock)]:
        for layer in layers.convolutions(block.gate):
            layer.weight.zero_()  # what is left is a gate of one half that looks at nothing
    for axis, halo in enumerate(network.halo_px, start=2):
        shape = [3, 3, 3]
        shape[axis - 2] = 2 * halo + 9
        x = volume(*shape).double()
        changed = x.clone()
        changed.select(axis, halo + 4).add_(1.0)
        factor = network.factors[axis - 2]
        touched = (network(x)[1] != network(changed)[1]).movedim(axis, 0).flatten(1).any(1).nonzero().flatten() // factor
        assert int(touched.min()) == 4 and int(touched.max()) == 2 * halo + 4


@pytest.mark.parametrize("margin", [1, (0, 2, 3)])
@torch.no_grad()
def test_margin_equals_cutting_the_full_volumes(margin: int | tuple[int, int, int]) -> None:
    network, x = small(), volume(5, 11, 9)
    cut = grid.per_axis(margin, 3)
    for part, whole, factors in zip(network(x, margin_px=margin), network(x), ((1, 1, 1), (1, 2, 2)), strict=True):
        inner = grid.window(
            whole,
            [m * f for m, f in zip(cut, factors, strict=True)],
            [(n - m) * f for n, m, f in zip((5, 11, 9), cut, factors, strict=True)],
        )
        torch.testing.assert_close(part, inner, atol=1e-6, rtol=1e-5)  # float32 rounding


@torch.no_grad()
def test_the_relu_between_cuts_what_stage_2_reads_and_not_the_denoised_image() -> None:
    plain, cut = small(), small(relu_between=True)
    x = volume(5, 8, 6) - 0.5
    denoised = plain(x)[0]
    assert float(denoised.min()) < 0 < float(denoised.max())
    assert torch.equal(cut(x)[0], denoised)
    assert torch.equal(cut(x)[1], cut.tail(grid.upsample(cut.deconvolve(denoised.clamp(min=0)), (1, 2, 2))))
    assert not torch.equal(cut(x)[1], plain(x)[1])


@pytest.mark.parametrize("seed", range(3))
def test_gradients_reach_the_first_layer_whatever_the_seed(seed: int) -> None:
    network = TwoStageRCAN(generator=torch.Generator().manual_seed(seed))
    network(volume(5, 10, 12))[1].mean().backward()
    gradient = layers.convolutions(network)[0].weight.grad
    assert gradient is not None and gradient.abs().max() > 0


@torch.no_grad()
def test_stage_1_alone_gives_the_same_denoised_volume() -> None:
    network, x = small(), volume(5, 7, 8)
    alone, twice = network(x, stage=1)
    assert alone is twice and torch.equal(alone, network(x)[0])


def test_the_table_makes_the_published_networks() -> None:
    operator = Downsample(3, 2)
    first, again, other = (make_network(resolve({"network": {"kind": "rcan"}, "seed": seed}), 3, operator, 2) for seed in (1, 1, 2))
    assert isinstance(first, TwoStageRCAN)
    pairs = [next(iter(network.parameters())) for network in (first, again, other)]
    assert torch.equal(pairs[0], pairs[1]) and not torch.equal(pairs[0], pairs[2])
    assert isinstance(make_network(resolve({"network": {"kind": "unet"}, "scale": 1}), 2, operator, 1), TwoStageUNet)
