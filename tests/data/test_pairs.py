"""The law of re-corruption, by Monte Carlo, and how its numbers are drawn; halves of stacks, and which pairs a stack is fit for."""

import re

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter
from torch import Tensor

from zsdeconv.camera.detector import Camera, Counter, signal_estimate
from zsdeconv.data.pair_choice import MAX_DIFFERENCE, MIN_SLICES, choose_pairs, neighbour_difference, pairs_by_law
from zsdeconv.data.pairs import BlindSpots, Interleaving, Recorruption

CAMERA = Camera(offset=100.0, gain=2.2, read_variance=9.0)
EXACT = {"alpha": (1.5, 1.5), "beta1_factor": (1.0, 1.0), "beta2_factor": (1.0, 1.0)}


def structured(rng: np.random.Generator, n: int) -> np.ndarray:
    """Clean image, ADU above the offset: a smooth field, an edge and bright points."""
    y, x = np.mgrid[:n, :n]
    field = 40 + 30 * np.sin(y / 9.0) * np.cos(x / 7.0) + 25.0 * (x > n // 2)
    field[rng.integers(n, size=60), rng.integers(n, size=60)] += 200
    return field


def exposed(clean: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """What the camera makes of it, as floating point."""
    return CAMERA.gain * rng.poisson(clean / CAMERA.gain) + rng.normal(CAMERA.offset, CAMERA.read_noise, clean.shape)


def in_patches(images: np.ndarray, n: int = 16) -> Tensor:
    """`t y x` cut into a batch `b 1 n n`, so that the draws of very many pairs are averaged."""
    t, height, width = images.shape
    patches = images.reshape(t, height // n, n, width // n, n).swapaxes(2, 3).reshape(-1, 1, n, n)
    return torch.from_numpy(patches.copy())


@pytest.mark.parametrize("ranges", [EXACT, {}], ids=["exact", "drawn"])
def test_the_noise_of_a_pair_is_uncorrelated(ranges: dict) -> None:
    """Cov(y_hat, y_tilde | x) = Var(y) - Var(z) = 0 (Eq. 2), on a structured image, with the signal estimated from the noisy image."""
    rng, generator = np.random.default_rng(5), torch.Generator().manual_seed(6)
    clean = np.broadcast_to(structured(rng, 256), (64, 256, 256))
    y = exposed(clean, rng) - CAMERA.offset
    pair = Recorruption(CAMERA, **ranges)(in_patches(y), in_patches(signal_estimate(y, 0.0)), generator)
    noise_hat, noise_tilde = (image - in_patches(clean) for image in pair)
    variance = float(CAMERA.variance(clean).mean())
    assert float(((pair[0] + pair[1]) / 2 - in_patches(clean)).var()) > 0.5 * variance  # there is noise to be correlated
    # The law. Standard error from 4 million pixels: 2.5 / sqrt(4e6) = 0.12 %, from 16 384 draws of beta1: 0.29 / 128 = 0.23 %.
    assert abs(float((noise_hat * noise_tilde).mean())) < 0.01 * variance


def test_a_wrong_camera_breaks_the_law() -> None:
    """The test above can fail: half the gain leaves a third of the variance in common."""
    rng, generator = np.random.default_rng(5), torch.Generator().manual_seed(6)
    clean = np.broadcast_to(structured(rng, 128), (8, 128, 128))
    y = exposed(clean, rng) - CAMERA.offset
    wrong = Recorruption(Camera(0.0, CAMERA.gain / 2, CAMERA.read_variance), **EXACT)
    noise_hat, noise_tilde = (image - in_patches(clean) for image in wrong(in_patches(y), in_patches(signal_estimate(y, 0.0)), generator))
    assert float((noise_hat * noise_tilde).mean()) > 0.3 * float(CAMERA.variance(clean).mean())


def test_noise_follows_the_local_signal() -> None:
    signal = torch.tensor([0.0, 10.0, 300.0], dtype=torch.float64)[None, None, :, None].expand(40, 1, 3, 2000)
    y_hat, _ = Recorruption(CAMERA, **EXACT)(torch.zeros_like(signal), signal, torch.Generator().manual_seed(1))
    found = (y_hat / 1.5).var((0, 1, 3))
    # 80 000 samples each: the standard error of a variance is 0.5 % of it, four of them
    np.testing.assert_allclose(found, CAMERA.variance(np.array([0.0, 10.0, 300.0])), rtol=0.02)


def test_each_pair_draws_its_own_numbers_within_the_ranges() -> None:
    shape = (300, 1, 40, 50)
    recorrupt = Recorruption(Camera(0.0, 1.0, 0.0), alpha=(1.0, 2.0), beta1_factor=(0.5, 1.5))
    y, signal = torch.zeros(shape, dtype=torch.float64), torch.full(shape, 100.0, dtype=torch.float64)
    y_hat, y_tilde = recorrupt(y, signal, torch.Generator().manual_seed(2))
    alpha = (-y_hat[:, 0, 0, 0] / y_tilde[:, 0, 0, 0]).sqrt()
    torch.testing.assert_close(y_hat, -y_tilde * alpha.square()[:, None, None, None], rtol=1e-5, atol=1e-5)  # one alpha an image
    factor = (-y_hat * y_tilde).mean((1, 2, 3)) / 100
    for drawn, (low, high), slack in ((alpha, (1.0, 2.0), 1e-6), (factor, (0.5, 1.5), 0.1)):  # z^2 averaged over 2000 pixels: 3 %
        assert low - slack <= float(drawn.min()) < low + 0.1
        assert high - 0.1 < float(drawn.max()) <= high + slack
        assert float(drawn.mean()) == pytest.approx((low + high) / 2, abs=0.07)  # 0.29 / sqrt(300), four of them


def test_read_variance_has_a_range_of_its_own() -> None:
    shape = (300, 1, 40, 50)
    recorrupt = Recorruption(Camera(0.0, 1.0, 4.0), beta2_factor=(0.8, 1.2))
    zeros = torch.zeros(shape, dtype=torch.float64)
    y_hat, y_tilde = recorrupt(zeros, zeros, torch.Generator().manual_seed(3))
    factor = (-y_hat * y_tilde).mean((1, 2, 3)) / 4
    assert 0.7 < float(factor.min()) < 0.85 and 1.15 < float(factor.max()) < 1.3  # 3 % of statistics about 0.8 to 1.2


def test_the_generator_decides_everything() -> None:
    recorrupt, y = Recorruption(CAMERA), torch.rand(3, 1, 9, 7)
    torch.manual_seed(0)
    first = recorrupt(y, y, torch.Generator().manual_seed(4))
    torch.manual_seed(1)
    again = recorrupt(y, y, torch.Generator().manual_seed(4))
    other = recorrupt(y, y, torch.Generator().manual_seed(5))
    assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))
    assert not torch.equal(first[0], other[0])
    assert first[0].dtype == y.dtype


@pytest.mark.parametrize(("n", "odd", "even"), [(6, [0, 2, 4], [1, 3, 5]), (7, [0, 2, 4], [1, 3, 5]), (5, [0, 2], [1, 3])])
def test_halves_are_every_other_slice_and_equally_many(n: int, odd: list[int], even: list[int]) -> None:
    z = torch.arange(float(n)).reshape(1, 1, n, 1, 1).expand(40, 2, n, 3, 4)
    y_hat, y_tilde = Interleaving()(z, torch.Generator().manual_seed(3))
    assert y_hat.shape == y_tilde.shape == (40, 2, n // 2, 3, 4)
    orders = {(tuple(first[0, :, 0, 0].tolist()), tuple(second[0, :, 0, 0].tolist())) for first, second in zip(y_hat, y_tilde, strict=True)}
    assert orders == {(tuple(odd), tuple(even)), (tuple(even), tuple(odd))}


def test_both_orders_are_drawn_equally_often_and_by_the_generator() -> None:
    order = [Interleaving.order(2000, torch.device("cpu"), torch.Generator().manual_seed(seed)) for seed in (1, 1, 2)]
    assert 900 < int(order[0].sum()) < 1100  # binomial: 1000 +- 22
    assert torch.equal(order[0], order[1]) and not torch.equal(order[0], order[2])


def test_one_order_splits_a_stack_and_its_denoised_image_alike() -> None:
    z = torch.rand(5, 1, 7, 3, 4, generator=torch.Generator().manual_seed(0))
    even_first = torch.tensor([True, False, False, True, True])
    for half, bent in zip(Interleaving.split(z, even_first), Interleaving.split(z.square(), even_first), strict=True):
        assert torch.equal(half.square(), bent)
    assert torch.equal(Interleaving.split(z, even_first)[0][0], z[0, :, 1:7:2])
    assert torch.equal(Interleaving.split(z, even_first)[0][1], z[1, :, 0:6:2])


def stack(correlation_slices: float, photons: float = 30.0, shape: tuple[int, int, int] = (24, 90, 110)) -> tuple[np.ndarray, np.ndarray]:
    """Clean (ADU above the offset) and exposed stack: a random field, correlated over so many slices along z."""
    rng = np.random.default_rng(7)
    field = gaussian_filter(rng.normal(size=shape), (correlation_slices, 2.5, 2.5), mode="wrap")
    clean = photons * CAMERA.gain * np.exp(field / field.std() - 1)
    return clean, exposed(clean, rng)


@pytest.mark.parametrize("photons", [4.0, 100.0])
@pytest.mark.parametrize("correlation_slices", [0.7, 1.5, 5.0])
def test_the_difference_of_neighbours_is_measured_through_the_noise(correlation_slices: float, photons: float) -> None:
    clean, y = stack(correlation_slices, photons)
    expected = np.square(np.diff(clean, axis=0)).mean() / clean.var()
    # dim: a noise variance twice that of the signal, known to 1 % as A(y - b) is (n = 240 000 pixels)
    assert neighbour_difference([y], CAMERA) == pytest.approx(expected, rel=0.05, abs=0.03)
    parts = [y[:, :50], y[:, 50:]]
    assert neighbour_difference(parts, CAMERA) == pytest.approx(expected, rel=0.1, abs=0.05)


def test_a_stack_without_neighbours_or_signal_is_not_known_to_be_alike() -> None:
    _, y = stack(3.0)
    rng = np.random.default_rng(0)
    assert neighbour_difference([y[:1]], CAMERA) == np.inf
    assert neighbour_difference([exposed(np.full((9, 60, 70), 50.0), rng)], CAMERA) == np.inf


@pytest.mark.parametrize(
    ("correlation_slices", "n", "dz_um", "kind", "reason"),
    [
        (5.0, 24, 0.1, "interleave", "0.1 um apart, differ by [1-9] %"),
        (5.0, 24, 0.4, "recorrupt", "slices 2 x 0.4 um apart cannot sample a depth of field of 0.58 um"),
        (0.7, 24, 0.1, "recorrupt", r"neighbouring slices differ by \d+ % of the signal's variance \(limit 10 %\)"),
        (5.0, MIN_SLICES - 1, 0.1, "recorrupt", "7 slices are too few to be halved"),
    ],
    ids=["thin", "coarse", "unlike", "few"],
)
def test_simulated_stacks_get_the_pairs_they_are_fit_for(correlation_slices: float, n: int, dz_um: float, kind: str, reason: str) -> None:
    _, y = stack(correlation_slices)
    choice = choose_pairs(n, dz_um, 1.33 * 0.525 / 1.1**2, neighbour_difference([y[:n]], CAMERA))
    assert choice.kind == kind
    assert re.search(reason, choice.reason)


def test_limits_of_the_choice() -> None:
    assert choose_pairs(MIN_SLICES, 0.3, 0.6, MAX_DIFFERENCE).kind == "interleave"
    assert choose_pairs(MIN_SLICES, 0.3, None, 0.0).kind == "interleave"  # unknown optics: the slices themselves decide
    for changed in ({"slices": MIN_SLICES - 1}, {"dz_um": 0.301}, {"difference": MAX_DIFFERENCE + 0.001}, {"difference": np.inf}):
        choice = choose_pairs(**{"slices": 30, "dz_um": 0.3, "depth_of_field_um": 0.6, "difference": 0.0, **changed})
        assert choice.kind == "recorrupt" and choice.reason.startswith("re-corrupted pairs: ")


def test_where_the_noise_law_holds_nothing_is_left_out() -> None:
    bright = pairs_by_law(Camera(100.0, 0.01, 4.0), 60.0)
    assert bright.kind == "recorrupt" and "independent" in bright.reason
    assert pairs_by_law(Counter(0.0, 1.0), 3.0).kind == "split"


@pytest.mark.parametrize("shape", [(2, 1, 33, 37), (1, 1, 5, 24, 20)])
def test_blind_spots_hide_pixels_behind_others_near_to_them(shape: tuple[int, ...]) -> None:
    y = torch.arange(float(np.prod(shape))).reshape(shape)
    blind, generator = BlindSpots(), torch.Generator().manual_seed(3)
    shares, seen = [], set()
    for _ in range(40):
        y_hat, hidden = blind(y, generator)
        assert torch.equal(y_hat[~hidden], y[~hidden])
        assert not (y_hat == y)[hidden].any(), "a pixel that is asked for must not be seen"
        shares.append(hidden.float().mean().item())
        height, width = shape[-2:]
        place, other = y[hidden].long() % (height * width), y_hat[hidden].long() % (height * width)
        assert torch.equal(y[hidden].long() // (height * width), y_hat[hidden].long() // (height * width)), "of the same plane"
        for size, unit in ((height, width), (width, 1)):
            step = (other // unit - place // unit) % size if unit > 1 else (other - place) % size
            seen |= set(((step + 2) % size).tolist())
    assert seen == {0, 1, 2, 3, 4}, "up to two pixels away along y and x"
    error = 3 * np.sqrt(1 / 16 / (40 * y.numel()))  # of a share of so many pixels
    assert np.mean(shares) == pytest.approx(1 / 16, abs=error)


def test_what_blind_spots_show_says_nothing_of_the_noise_that_they_hide() -> None:
    generator = torch.Generator().manual_seed(5)
    noise = torch.rand(16, 1, 64, 64, generator=generator) ** 8  # skewed beyond any detector
    y_hat, hidden = BlindSpots()(noise, generator)
    a, b = y_hat[hidden] - y_hat[hidden].mean(), noise[hidden] - noise[hidden].mean()
    for power_a, power_b in ((1, 1), (2, 1), (1, 2)):
        x, z = a**power_a, b**power_b
        x, z = x - x.mean(), z - z.mean()
        share = float((x * z).mean() / (x.std() * z.std()))
        assert abs(share) < 4 / np.sqrt(len(a)), "independent values correlate by chance alone"
