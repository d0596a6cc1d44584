"""Patches: all symmetries of the grid, all places, and images of one field that stay aligned."""

import collections

import pytest
import torch
from torch import Tensor

from zsdeconv.data.patches import PatchSampler
from zsdeconv.physics import grid
from zsdeconv.physics.grid import apply_symmetry


def numbered(*shape: int) -> Tensor:
    """Every pixel another value."""
    return torch.arange(float(torch.Size(shape).numel())).reshape(shape)


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_all_symmetries_are_drawn_equally_often() -> None:
    x = numbered(5, 5)
    (patches,) = PatchSampler([(x,)], patch_px=5, batch=800)(generator())
    names = {tuple(apply_symmetry(x, s).flatten().tolist()): s for s in range(8)}
    counts = collections.Counter(names[tuple(patch.flatten().tolist())] for patch in patches)
    # binomial: 100 +- 9.4 of 800, more than four of them
    assert set(counts) == set(range(8)) and all(60 < count < 140 for count in counts.values())


def test_only_the_symmetries_allowed_are_drawn() -> None:
    x = numbered(5, 5)
    (patches,) = PatchSampler([(x,)], patch_px=5, batch=100, symmetries=(2, 5))(generator())
    assert {tuple(patch.flatten().tolist()) for patch in patches} == {tuple(apply_symmetry(x, s).flatten().tolist()) for s in (2, 5)}


def test_all_places_are_drawn_up_to_both_borders() -> None:
    x = numbered(7, 12)
    (patches,) = PatchSampler([(x,)], patch_px=4, batch=1500)(generator())
    corners = {int(patch.min()) for patch in patches}
    assert corners == {12 * i + j for i in range(4) for j in range(9)}


@pytest.mark.parametrize(("shape", "patch"), [((9, 14), 6), ((5, 6), 64), ((3, 8, 7), 4)])
def test_fine_images_stay_aligned_with_raw_ones(shape: tuple[int, ...], patch: int) -> None:
    """The fine image is the raw one enlarged, so each fine patch is the raw patch enlarged, whatever crop and turn."""
    raw = numbered(*shape)
    factors = grid.lateral_factors(raw.ndim, 2)
    fine = grid.upsample(raw[None, None], factors)[0, 0]
    samples = [(raw, fine, raw + 0.5), (-raw, -fine, 0.5 - raw)]
    for raw_patch, fine_patch, other in [PatchSampler(samples, patch, batch=60)(generator(3))]:
        lateral_factors = min(patch, *shape[-2:])
        assert raw_patch.shape == (60, 1, *shape[:-2], lateral_factors, lateral_factors)
        assert torch.equal(fine_patch, grid.upsample(raw_patch, factors))
        assert torch.equal(other, raw_patch + 0.5)
        assert bool((raw_patch < 0).any()) and bool((raw_patch > 0).any())


def test_patches_fit_the_narrowest_sample() -> None:
    sampler = PatchSampler([(numbered(40, 30),), (numbered(9, 50),)], patch_px=16, batch=20)
    assert sampler(generator())[0].shape == (20, 1, 9, 9)


def test_patches_of_volumes_hold_all_slices_or_as_many_as_asked_for() -> None:
    volumes = [(numbered(9, 12, 11),), (numbered(7, 20, 30),)]
    assert PatchSampler(volumes, 8, batch=2)(generator())[0].shape == (2, 1, 7, 8, 8)
    assert PatchSampler(volumes, (4, 8, 8), batch=2)(generator())[0].shape == (2, 1, 4, 8, 8)
    assert PatchSampler(volumes, (40, 50, 13), batch=2)(generator())[0].shape == (2, 1, 7, 11, 11)  # square all the same
    (patches,) = PatchSampler(volumes[:1], (4, 8, 8), batch=300)(generator(1))
    first, last = patches[:, 0, 0].amin((1, 2)) // 132, patches[:, 0, -1].amin((1, 2)) // 132
    assert set(first.tolist()) == {float(n) for n in range(6)}
    assert bool((last - first == 3).all())  # never upside down


def test_samples_are_drawn_by_their_share_of_all_pixels() -> None:
    sampler = PatchSampler([(torch.zeros(10, 10),), (torch.ones(10, 30),)], patch_px=4, batch=1000)
    # 750 +- 14
    assert 690 < float(sampler(generator(1))[0].mean((1, 2, 3)).sum()) < 810


def test_white_noise_stays_white() -> None:
    noise = torch.randn(200, 210, generator=generator(7), dtype=torch.float64)
    (patches,) = PatchSampler([(noise,)], patch_px=32, batch=100)(generator(8))
    # 100 000 pixels, of which each comes 2.5 times: standard error 0.5 %, four of them
    for neighbour in (patches[..., 1:] * patches[..., :-1], patches[..., 1:, :] * patches[..., :-1, :]):
        assert abs(float(neighbour.mean())) < 0.02
    assert float(patches.var()) == pytest.approx(1.0, abs=0.03)


def test_the_generator_decides_everything() -> None:
    sampler = PatchSampler([(numbered(20, 20),)], patch_px=8, batch=4)
    assert torch.equal(sampler(generator(2))[0], sampler(generator(2))[0])
    assert not torch.equal(sampler(generator(2))[0], sampler(generator(3))[0])
