"""Rank-general layers against the obvious."""

import numpy as np
import pytest
import torch

from zsdeconv.nn import layers
from zsdeconv.physics import grid


def bias_of(layer: layers.Convolution) -> torch.Tensor:
    assert layer.bias is not None
    return layer.bias


@pytest.mark.parametrize("shape", [(5, 7), (16, 3), (1, 9), (3, 5, 6)])
def test_padding_mirrors_without_repeating_the_border_at_any_size(shape: tuple[int, ...]) -> None:
    x = np.random.default_rng(0).random(shape)
    multiples = (8,) * len(shape)
    padded = grid.pad_to_multiple(torch.from_numpy(x)[None, None], multiples)[0, 0].numpy()
    widths = [(0, -n % 8) for n in shape]
    np.testing.assert_array_equal(padded, np.pad(x, widths, mode="reflect"))  # a copy: exact


def test_padding_leaves_fitting_images_alone() -> None:
    x = torch.rand(1, 2, 8, 16)
    assert grid.pad_to_multiple(x, (8, 4)) is x


@pytest.mark.parametrize("rank", [2, 3])
def test_pooling_and_upsampling_touch_lateral_axes_only(rank: int) -> None:
    shape = (3, 4, 6)[3 - rank :]
    x = torch.rand(2, 3, *shape)
    factors = grid.lateral_factors(rank, 2)
    up = grid.upsample(x, factors)
    assert up.shape[2:] == tuple(n * f for n, f in zip(shape, factors, strict=True))
    assert torch.equal(layers.max_pool(up, factors), x)
    assert torch.equal(up[..., 1::2, 1::2], x)


@pytest.mark.parametrize("rank", [2, 3])
def test_convolution_keeps_sizes_and_cross_correlates(rank: int) -> None:
    layer = layers.conv(rank, 1, 1)
    shape = (4, 5, 7)[3 - rank :]
    impulse = torch.zeros(1, 1, *shape)
    centre = tuple(n // 2 for n in shape)
    impulse[(0, 0, *centre)] = 1
    with torch.no_grad():
        response = layer(impulse) - bias_of(layer)
    assert response.shape == impulse.shape
    around = tuple(slice(c - 1, c + 2) for c in centre)
    # an impulse reads the kernel backwards; exact but for the bias, rounded once
    torch.testing.assert_close(response[(0, 0, *around)], layer.weight[0, 0].flip(tuple(range(rank))), atol=1e-6, rtol=0)


def test_per_axis_refuses_the_wrong_number_of_axes() -> None:
    with pytest.raises(AssertionError, match="2 axes"):
        grid.per_axis((1, 2, 3), 2)


def test_glorot_bounds_and_repeats() -> None:
    def filled(seed: int) -> torch.Tensor:
        layer = layers.conv(2, 5, 9)
        layers.glorot_(layer, torch.Generator().manual_seed(seed))
        assert not bias_of(layer).any()
        return layer.weight.detach().clone()

    bound = (6 / (9 * (5 + 9))) ** 0.5
    weights = filled(1)
    # 405 uniform draws leave the outer 5 % empty with a chance of 1e-9
    assert 0.95 * bound < weights.abs().max() <= bound
    assert torch.equal(weights, filled(1))
    assert not torch.equal(weights, filled(2))


def test_kernels_of_unequal_widths_keep_the_size_and_act_along_their_axes() -> None:
    layer = layers.conv(3, 1, 1, (3, 1, 5))
    torch.nn.init.ones_(layer.weight)
    x = torch.zeros(1, 1, 7, 5, 9)
    x[0, 0, 3, 2, 4] = 1.0
    touched = (layer(x) - bias_of(layer))[0, 0].abs().gt(0.5).nonzero()
    assert touched.amin(0).tolist() == [2, 2, 2] and touched.amax(0).tolist() == [4, 2, 6]


def test_eight_symmetries_are_eight_different_ones() -> None:
    x = torch.arange(12.0).reshape(1, 1, 3, 4)
    images = [grid.apply_symmetry(x, s) for s in range(grid.SYMMETRIES)]
    assert len({(image.shape, tuple(image.flatten().tolist())) for image in images}) == 8


@pytest.mark.parametrize("symmetry", range(grid.SYMMETRIES))
def test_turning_back_undoes_turning(symmetry: int) -> None:
    for x in (torch.arange(12.0).reshape(1, 1, 3, 4), torch.arange(30.0).reshape(1, 1, 5, 2, 3)):
        assert torch.equal(grid.undo_symmetry(grid.apply_symmetry(x, symmetry), symmetry), x)
