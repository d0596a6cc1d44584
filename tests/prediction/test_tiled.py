"""Prediction: tiles equal the whole, passes average, any size comes out right."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from zsdeconv.nn.contract import as_network
from zsdeconv.nn.fast import FastNet
from zsdeconv.nn.unet import TwoStageUNet
from zsdeconv.physics.operators import Operator, forward_model
from zsdeconv.physics.optics import Optics
from zsdeconv.physics.psf_theory import theoretical_psf
from zsdeconv.prediction import tiled as predict
from zsdeconv.prediction.tiled import FramePrediction, Passes, Tiling, predict_frame

PSF = theoretical_psf(Optics(1.4, 525), (0.0325, 0.0325), radius_um=32 * 0.0325).values


def perturbed(network: nn.Module, size: float = 0.1) -> nn.Module:
    """With weights away from their start, so that the U-Nets do contribute."""
    generator = torch.Generator().manual_seed(11)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter += size * torch.randn(parameter.shape, generator=generator)
    return network.eval()


def fast(operator: Operator | None = None, scale: int = 2) -> nn.Module:
    torch.manual_seed(1)
    return perturbed(FastNet(2, scale, operator or forward_model(PSF, 2, scale), (4, 8)))


def frame(*shape: int) -> Tensor:
    """Bright points over a noisy background, bright pixels near 1."""
    generator = torch.Generator().manual_seed(2)
    points = (torch.rand(shape, generator=generator) > 0.97).float() * torch.rand(shape, generator=generator)
    return 0.1 + 0.05 * torch.randn(shape, generator=generator) + points


class Identity(nn.Module):
    """Both stages leave the image alone; remembers what it has seen."""

    stride_px, halo_px, symmetries = 4, 3, 1

    def __init__(self, scale: int = 2) -> None:
        super().__init__()
        self.scale, self.seen = scale, []

    def forward(self, x: Tensor, stage: int = 2, symmetry: int = 0) -> tuple[Tensor, Tensor]:
        self.seen.append(x.clone())
        return x, x.repeat_interleave(self.scale, -1).repeat_interleave(self.scale, -2)


def white(y: Tensor, sd: float = 1.0) -> Callable[[torch.Generator], Tensor]:
    return lambda generator: sd * torch.randn(y.shape, generator=generator)


def predicted(network: nn.Module, y: Tensor, *, scale: int = 2, noise: float = 0.0, **options: Any) -> FramePrediction:
    passes = Passes(white(y, options.pop("alpha", 1.0) * noise), options.pop("passes", 0), options.pop("seed", 0))
    progress = {"progress": options.pop("progress")} if "progress" in options else {}
    return predict_frame(as_network(network), y, passes, factors=(scale, scale), tiling=Tiling(**options), **progress)


def test_tiles_equal_the_whole_for_our_network_and_a_real_psf() -> None:
    assert PSF.shape == (65, 65)
    network, y = fast(), frame(45, 263)
    whole, tiled = (predicted(network, y, tile_px=tile) for tile in (1024, 32))
    start = predicted(FastNet(2, 2, forward_model(PSF, 2, 2), (4, 8)), y)
    assert float((whole.deconvolved - start.deconvolved).abs().max()) > 0.1  # the perturbed U-Nets do matter
    # the promise: 1e-5 of the range, which is about 1 here
    torch.testing.assert_close(tiled.denoised, whole.denoised, atol=1e-5, rtol=0)
    torch.testing.assert_close(tiled.deconvolved, whole.deconvolved, atol=1e-5 * float(whole.deconvolved.max()), rtol=0)


@torch.no_grad()
def test_several_tiles_at_a_time_give_the_same() -> None:
    network, y = fast(), frame(70, 150)
    whole, batched = (predicted(network, y, **options) for options in ({}, {"tile_px": 32, "batch": 3}))
    torch.testing.assert_close(batched.denoised, whole.denoised, atol=1e-5, rtol=0)
    torch.testing.assert_close(batched.deconvolved, whole.deconvolved, atol=1e-5 * float(whole.deconvolved.max()), rtol=0)


def test_a_halo_too_small_shows_seams() -> None:
    """The test above can fail."""
    network, y = fast(), frame(20, 120)
    whole, tiled = (predicted(network, y, tile_px=32, overlap_px=overlap) for overlap in (120, 0))
    assert float((tiled.deconvolved - whole.deconvolved).abs().max()) > 1e-3


def test_tiles_equal_the_whole_for_the_published_network() -> None:
    network = TwoStageUNet(levels=2, convolutions=2, tail=(4, 4), generator=torch.Generator().manual_seed(3)).eval()
    whole, tiled = (predicted(network, frame(37, 230), tile_px=tile) for tile in (1024, 32))
    assert float(whole.deconvolved.std()) > 0
    for part, other in ((tiled.denoised, whole.denoised), (tiled.deconvolved, whole.deconvolved)):
        torch.testing.assert_close(part, other, atol=1e-5 * float(other.max()), rtol=0)


@pytest.mark.parametrize("shape", [(17, 33), (8, 8), (3, 50), (1, 1), (40, 48)])
@pytest.mark.parametrize("scale", [1, 2])
def test_any_size_comes_out_at_its_size(shape: tuple[int, int], scale: int) -> None:
    """Also smaller than the PSF, and in tiles with no overlap."""
    network = fast(scale=scale)
    for options in ({}, {"tile_px": 32, "overlap_px": 0}):
        result = predicted(network, frame(*shape), scale=scale, **options)
        assert result.denoised.shape == shape
        assert result.deconvolved.shape == tuple(scale * n for n in shape)
        assert bool(result.deconvolved.isfinite().all())


@pytest.mark.parametrize("shape", [(17, 33), (1, 6), (64, 9)])
def test_the_identity_stays_the_identity(shape: tuple[int, int]) -> None:
    y = frame(*shape)
    for options in ({}, {"tile_px": 8}, {"tile_px": 5, "overlap_px": 1}):
        result = predicted(Identity(), y, **options)
        assert torch.equal(result.denoised, y)
        assert torch.equal(result.deconvolved, y.repeat_interleave(2, 0).repeat_interleave(2, 1))
        assert result.spread is None


def test_the_frame_continues_as_its_mirror_image() -> None:
    network, y = Identity(), frame(20, 31)
    predicted(network, y)
    expected = torch.nn.functional.pad(y[None, None], (8, 8, 8, 8), mode="reflect")
    assert torch.equal(network.seen[0], expected)


@pytest.mark.parametrize("alpha", [0.5, 1.0])
def test_passes_add_the_noise_in_opposite_pairs(alpha: float) -> None:
    network, y = Identity(), frame(60, 70)
    result = predicted(network, y, passes=4, noise=0.2, alpha=alpha)
    z = [seen - torch.nn.functional.pad(y[None, None], (8, 8, 8, 8), mode="reflect") for seen in network.seen]
    assert len(z) == 4
    for n in (0, 2):
        torch.testing.assert_close(z[n], -z[n + 1], atol=1e-6, rtol=0)
    assert float(z[0].std()) == pytest.approx(0.2 * alpha, rel=0.06)  # 4200 pixels: 1 %, four of them, and mirrored ones twice
    assert abs(float((z[0] * z[2]).mean())) < 0.08 * (0.2 * alpha) ** 2
    torch.testing.assert_close(result.denoised, y, atol=1e-6, rtol=0)  # opposite pairs cancel in a linear network


def test_spread_is_the_standard_deviation_of_the_passes() -> None:
    network, y = Identity(scale=1), frame(15, 18)
    spread = predicted(network, y, scale=1, passes=5, noise=0.3).spread
    passes = torch.stack([seen[0, 0, 8:-8, 8:-8] for seen in network.seen])
    assert spread is not None and len(passes) == 5
    torch.testing.assert_close(spread, passes.std(0), atol=1e-5, rtol=1e-4)  # squares are summed in float32


def test_spread_is_none_without_two_passes() -> None:
    assert predicted(Identity(), frame(9, 9), passes=1, noise=0.1).spread is None
    assert predicted(Identity(), frame(9, 9), passes=0, noise=0.1).spread is None


def test_the_seed_decides_and_no_passes_need_none() -> None:
    network, y = fast(), frame(24, 31)
    first, again, other = (predicted(network, y, passes=2, noise=0.1, seed=seed) for seed in (1, 1, 2))
    assert torch.equal(first.deconvolved, again.deconvolved)
    assert not torch.equal(first.deconvolved, other.deconvolved)
    assert torch.equal(predicted(network, y, noise=0.1, seed=1).denoised, predicted(network, y, noise=0.1, seed=2).denoised)


def test_progress_goes_to_one_and_the_input_is_not_changed() -> None:
    y, done = frame(9, 12), []
    before = y.clone()
    predicted(Identity(), y, noise=1.0, passes=3, progress=done.append)
    assert done == pytest.approx([1 / 3, 2 / 3, 1.0])
    assert torch.equal(y, before)


class Turned(Identity):
    """Adds the number of the symmetry to the image."""

    symmetries = 8

    def forward(self, x: Tensor, stage: int = 2, symmetry: int = 0) -> tuple[Tensor, Tensor]:
        raw, fine = super().forward(x)
        return raw + symmetry, fine + symmetry


def test_each_pass_goes_through_another_symmetry() -> None:
    y = frame(9, 14)
    for passes, mean in ((0, 0.0), (1, 0.0), (4, 1.5), (8, 3.5), (16, 3.5)):
        for tile_px in (5, 1024):
            torch.testing.assert_close(predicted(Turned(), y, passes=passes, tile_px=tile_px).denoised, y + mean)


@torch.no_grad()
def test_tiles_equal_the_whole_in_every_symmetry() -> None:
    network, y = fast(), frame(45, 130)
    whole, tiled = (predicted(network, y, tile_px=tile, passes=8) for tile in (1024, 32))
    torch.testing.assert_close(tiled.denoised, whole.denoised, atol=1e-5, rtol=0)  # the promise: 1e-5 of the range


def test_tiles_of_a_stack_equal_the_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    """Deeper and wider than a tile with its halo, for a network as stacks have it."""
    torch.manual_seed(4)
    z, y, x = torch.meshgrid(*(torch.arange(-n, n + 1.0) for n in (3, 6, 5)), indexing="ij")
    psf = torch.exp(-((z / 1.2) ** 2 + (y / 2.0) ** 2 + ((x - 0.3 * z) / 1.7) ** 2) / 2)
    operator = forward_model((psf / psf.sum()).numpy(), 3, 2)
    network = perturbed(FastNet(3, 2, operator, (4, 6), lateral_first=True, coarse_start=True))
    seen = frame(80, 24, 100)
    assert 2 * network.halo_px[0] < 80 and 2 * network.halo_px[2] < 100  # pyright: ignore[reportIndexIssue]

    def restored(*tile_px: int) -> FramePrediction:
        monkeypatch.setitem(predict.DEFAULT_TILE_PX, 3, tile_px)
        return predict_frame(as_network(network), seen, Passes(white(seen, 0.0), 0), factors=(1, 2, 2))

    whole = restored(128, 128, 128)
    for tiled in (restored(16, 128, 128), restored(128, 128, 16)):
        torch.testing.assert_close(tiled.denoised, whole.denoised, atol=1e-5, rtol=0)  # the promise: 1e-5 of the range, about 1
        torch.testing.assert_close(tiled.deconvolved, whole.deconvolved, atol=1e-5 * float(whole.deconvolved.max()), rtol=0)
