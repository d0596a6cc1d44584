"""The published network: size, any image size, receptive field, live start."""

import pytest
import torch
from torch import Tensor

from zsdeconv.nn import layers
from zsdeconv.nn.unet import TwoStageUNet
from zsdeconv.physics import grid


def small(scale: int = 2, **options: int) -> TwoStageUNet:
    sizes = {"levels": 2, "convolutions": 2, **options}
    return TwoStageUNet(scale=scale, tail=(8, 8), generator=torch.Generator().manual_seed(3), **sizes).eval()


def image(*shape: int) -> Tensor:
    return torch.rand(1, 1, *shape, generator=torch.Generator().manual_seed(4))


def test_published_number_of_parameters() -> None:
    assert sum(p.numel() for p in TwoStageUNet().parameters()) == 13_109_010


def test_published_number_of_parameters_in_three_dimensions() -> None:
    assert sum(p.numel() for p in TwoStageUNet(rank=3).parameters()) == 38_952_562


@pytest.mark.parametrize("shape", [(5, 17, 22), (1, 4, 3), (6, 1, 9)])
@torch.no_grad()
def test_few_slices_and_any_lateral_size(shape: tuple[int, int, int]) -> None:
    network = small(rank=3)
    denoised, deconvolved = network(image(*shape))
    assert denoised.shape[2:] == shape
    assert deconvolved.shape[2:] == (shape[0], 2 * shape[1], 2 * shape[2])
    assert network.stride_px == (1, 4, 4)


@pytest.mark.parametrize("scale", [1, 2])
@pytest.mark.parametrize("shape", [(17, 31), (5, 8), (1, 1), (2, 19)])
@torch.no_grad()
def test_any_size_gives_raw_and_fine_images(shape: tuple[int, int], scale: int) -> None:
    denoised, deconvolved = small(scale)(image(*shape))
    assert denoised.shape[2:] == shape
    assert deconvolved.shape[2:] == tuple(scale * n for n in shape)


@torch.no_grad()
def test_odd_size_equals_the_mirrored_image_cut_back() -> None:
    network, x = small(), image(13, 18)
    padded = torch.nn.functional.pad(x, (0, 2, 0, 3), mode="reflect")
    # other block sizes in the convolutions: float32 rounding of values near 1
    for part, whole in zip(network(x), network(padded), strict=True):
        torch.testing.assert_close(part, whole[..., : part.shape[-2], : part.shape[-1]], atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize("scale", [1, 2])
@pytest.mark.parametrize("margin", [1, 2, 7, (0, 5)])
@torch.no_grad()
def test_margin_equals_cutting_the_full_images(margin: int | tuple[int, int], scale: int) -> None:
    network, x = small(scale), image(23, 26)
    top, left = grid.per_axis(margin, 2)
    for part, whole, factor in zip(network(x, margin_px=margin), network(x), (1, scale), strict=True):
        rows, columns = (slice(factor * m, factor * (n - m)) for m, n in zip((top, left), (23, 26), strict=True))
        torch.testing.assert_close(part, whole[..., rows, columns], atol=1e-6, rtol=1e-5)  # float32 rounding


def test_margin_that_leaves_nothing_is_refused() -> None:
    with pytest.raises(AssertionError, match="leave nothing"):
        small()(image(16, 12), margin_px=6)


@pytest.mark.parametrize(("levels", "convolutions", "scale"), [(1, 2, 1), (1, 1, 2), (2, 2, 2), (2, 1, 1)])
def test_halo_is_the_exact_reach_over_all_positions(levels: int, convolutions: int, scale: int) -> None:
    """Which input pixels an output depends on, counted one convolution and one pooling block at a time."""
    network = TwoStageUNet(scale=scale, levels=levels, convolutions=convolutions, tail=(1, 1))
    stride = network.stride_px[-1]
    size, middle = 256, 128 // stride * stride
    reach = 0
    for position in range(stride * scale):
        tail = {p // scale for p in _widened({middle * scale + position}, 3)}
        head = _widened(_stage_inputs(tail, levels, convolutions), 1)
        touched = _stage_inputs(head, levels, convolutions)
        raw = middle + position // scale
        assert min(touched) > 0 and max(touched) < size
        reach = max(reach, raw - min(touched), max(touched) - raw)
    assert network.halo_px == (reach, reach)
    volumes = TwoStageUNet(rank=3, scale=scale, levels=levels, convolutions=convolutions, tail=(1, 1))
    # along z nothing is pooled or refined: the convolutions one after the other, two in the middle of either stage, head and tail
    assert volumes.halo_px == (2 * (2 * levels * convolutions + 2) + 1 + 3, reach, reach)


def _widened(pixels: set[int], radius: int) -> set[int]:
    return {p + d for p in pixels for d in range(-radius, radius + 1)}


def _stage_inputs(pixels: set[int], levels: int, convolutions: int) -> set[int]:
    if levels == 0:
        return _widened(pixels, 2)
    at_skip = _widened(pixels, convolutions)
    below = _stage_inputs({p // 2 for p in at_skip}, levels - 1, convolutions)
    return _widened(at_skip | {2 * p + d for p in below for d in (0, 1)}, convolutions)


@torch.no_grad()
def test_pixels_beyond_the_halo_do_not_matter_and_within_do() -> None:
    network = small().double()
    halo, stride = network.halo_px[-1], network.stride_px[-1]
    size = 2 * (halo + stride)
    size += -size % stride
    x = torch.rand(1, 1, 4 * stride, size, dtype=torch.float64, generator=torch.Generator().manual_seed(5))
    changed = x.clone()
    column = size // 2 // stride * stride
    changed[..., column:] += 10.0
    for before, after, factor in zip(network(x), network(changed), (1, 2), strict=True):
        differs = (before != after).any(-2).flatten()
        first = int(differs.nonzero()[0]) // factor
        assert column - halo <= first < column


@torch.no_grad()
def test_slices_beyond_the_axial_halo_do_not_matter_and_within_do() -> None:
    network = small(rank=3, levels=1, convolutions=1).double()
    halo = network.halo_px[0]
    x = image(2 * halo + 3, 4, 6).double()
    changed = x.clone()
    changed[:, :, halo + 1] += 10.0
    touched = (network(x)[1] != network(changed)[1]).any(-1).any(-1).flatten().nonzero().flatten()
    assert halo / 2 < halo + 1 - int(touched.min()) <= halo and halo / 2 < int(touched.max()) - halo - 1 <= halo


@torch.no_grad()
def test_tiles_cut_with_halo_at_the_stride_equal_the_whole() -> None:
    network = small().double()
    x = image(12, 150).double()
    halo = -(-network.halo_px[-1] // network.stride_px[-1]) * network.stride_px[-1]
    start, stop = 64, 77
    tile = network(x[..., start - halo : stop + halo])
    for part, whole, factor in zip(tile, network(x), (1, 2), strict=True):
        expected = whole[..., factor * start : factor * stop]
        found = part[..., factor * halo : factor * (halo + stop - start)]
        torch.testing.assert_close(found, expected, atol=1e-12, rtol=1e-12)  # float64 rounding


@pytest.mark.parametrize("seed", range(4))
def test_no_start_is_dead(seed: int) -> None:
    """Both images are positive and gradients reach the first layer, whatever the seed (a Glorot start alone often fails)."""
    network = TwoStageUNet(levels=3, generator=torch.Generator().manual_seed(seed))
    denoised, deconvolved = network(image(40, 32))
    assert denoised.min() > 0
    assert (deconvolved > 0).float().mean() > 0.99
    deconvolved.mean().backward()
    first = layers.convolutions(network)[0].weight.grad
    assert first is not None and first.abs().max() > 0


def test_same_generator_same_weights() -> None:
    for left, right in zip(small().parameters(), small().parameters(), strict=True):
        assert torch.equal(left, right)


@torch.no_grad()
def test_autocast_stays_close_and_returns_the_input_precision() -> None:
    network, x = small(), image(24, 20)
    with torch.autocast("cpu", torch.bfloat16):
        mixed = network(x)
    for exact, rounded in zip(network(x), mixed, strict=True):
        assert rounded.dtype == torch.float32
        # bfloat16 keeps 8 bits: 0.4 % a layer, averaged over many inputs and two stages
        torch.testing.assert_close(rounded, exact, atol=0.02 * float(exact.max()), rtol=0)
