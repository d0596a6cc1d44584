"""The law of re-corruption, by Monte Carlo, and how its numbers are drawn."""

import numpy as np
import pytest
import torch
from torch import Tensor

from zsdeconv.noise.model import Camera, signal_estimate
from zsdeconv.noise.pairs import Recorrupt

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
    pair = Recorrupt(CAMERA, **ranges)(in_patches(y), in_patches(signal_estimate(y, 0.0)), generator)
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
    wrong = Recorrupt(Camera(0.0, CAMERA.gain / 2, CAMERA.read_variance), **EXACT)
    noise_hat, noise_tilde = (image - in_patches(clean) for image in wrong(in_patches(y), in_patches(signal_estimate(y, 0.0)), generator))
    assert float((noise_hat * noise_tilde).mean()) > 0.3 * float(CAMERA.variance(clean).mean())


def test_noise_follows_the_local_signal() -> None:
    signal = torch.tensor([0.0, 10.0, 300.0], dtype=torch.float64)[None, None, :, None].expand(40, 1, 3, 2000)
    y_hat, _ = Recorrupt(CAMERA, **EXACT)(torch.zeros_like(signal), signal, torch.Generator().manual_seed(1))
    found = (y_hat / 1.5).var((0, 1, 3))
    # 80 000 samples each: the standard error of a variance is 0.5 % of it, four of them
    np.testing.assert_allclose(found, CAMERA.variance(np.array([0.0, 10.0, 300.0])), rtol=0.02)


def test_each_pair_draws_its_own_numbers_within_the_ranges() -> None:
    shape = (300, 1, 40, 50)
    recorrupt = Recorrupt(Camera(0.0, 1.0, 0.0), alpha=(1.0, 2.0), beta1_factor=(0.5, 1.5))
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
    recorrupt = Recorrupt(Camera(0.0, 1.0, 4.0), beta2_factor=(0.8, 1.2))
    zeros = torch.zeros(shape, dtype=torch.float64)
    y_hat, y_tilde = recorrupt(zeros, zeros, torch.Generator().manual_seed(3))
    factor = (-y_hat * y_tilde).mean((1, 2, 3)) / 4
    assert 0.7 < float(factor.min()) < 0.85 and 1.15 < float(factor.max()) < 1.3  # 3 % of statistics about 0.8 to 1.2


def test_the_generator_decides_everything() -> None:
    recorrupt, y = Recorrupt(CAMERA), torch.rand(3, 1, 9, 7)
    torch.manual_seed(0)
    first = recorrupt(y, y, torch.Generator().manual_seed(4))
    torch.manual_seed(1)
    again = recorrupt(y, y, torch.Generator().manual_seed(4))
    other = recorrupt(y, y, torch.Generator().manual_seed(5))
    assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))
    assert not torch.equal(first[0], other[0])
    assert first[0].dtype == y.dtype
