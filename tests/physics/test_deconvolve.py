"""Richardson-Lucy and Wiener against dense linear algebra and against their laws."""

import itertools

import numpy as np
import pytest
import torch
from torch import Tensor

from oracles import asymmetric_kernel, matrix_of
from zsdeconv.physics.deconvolve import Momentum, missing_background, richardson_lucy, wiener
from zsdeconv.physics.operators import Blur, Operator, forward_model
from zsdeconv.training.objectives import gaussian

FINE = (10, 14)
MODEL = forward_model(asymmetric_kernel(5, 3), 2, 2)
MOMENTA: list[Momentum | None] = [None, "fixed", "adaptive"]


def an_object(seed: int = 0) -> Tensor:
    """A few bright points over a faint background, positive everywhere."""
    rng = np.random.default_rng(seed)
    x = 0.5 + 40 * (rng.random(FINE) > 0.9) * rng.random(FINE)
    return torch.from_numpy(x)[None, None]


def noisy_image(seed: int = 0) -> Tensor:
    clean = MODEL(an_object(seed)).numpy()
    return torch.from_numpy(np.random.default_rng(seed + 100).poisson(clean).astype(float))


def likelihood(x: Tensor, y: Tensor, operator: Operator = MODEL) -> float:
    """Logarithm of the Poisson likelihood, up to a constant."""
    image = operator(x)
    return float((y * image.log() - image).sum())


def slow_richardson_lucy(y: np.ndarray, matrix: np.ndarray, iterations: int) -> np.ndarray:
    """The textbook's, with a matrix, from the back-projected data."""
    sensitivity = matrix.T @ np.ones(len(y))
    x = matrix.T @ y / sensitivity
    for _ in range(iterations):
        x = x * (matrix.T @ (y / (matrix @ x))) / sensitivity
    return x


def test_plain_iterations_equal_the_textbook() -> None:
    y = noisy_image() + 0.5  # no zeros: the floor of the estimate is never met
    kept = richardson_lucy(y, MODEL, [1, 4, 9], momentum=None)
    matrix = matrix_of(MODEL, FINE)
    for n, estimate in zip((1, 4, 9), kept, strict=True):
        expected = slow_richardson_lucy(y.flatten().numpy(), matrix, n)
        np.testing.assert_allclose(estimate.flatten().numpy(), expected, rtol=1e-4, atol=1e-4)  # the floor: 1e-6 of the maximum


@pytest.mark.parametrize("momentum", MOMENTA)
def test_the_object_of_a_perfect_image_is_a_fixed_point(momentum: Momentum | None) -> None:
    x = an_object()
    (estimate,) = richardson_lucy(MODEL(x), MODEL, [6], momentum=momentum, start=x)
    torch.testing.assert_close(estimate, x, rtol=1e-9, atol=1e-9)  # FFT rounding over six iterations


@pytest.mark.parametrize("momentum", MOMENTA)
def test_light_is_kept_and_never_negative(momentum: Momentum | None) -> None:
    y = noisy_image()
    sensitivity = MODEL.adjoint(torch.ones_like(y))
    for estimate in richardson_lucy(y, MODEL, [1, 2, 7, 20], momentum=momentum):
        assert float(estimate.min()) > 0
        # exact but for the floor of 1e-6 of the maximum that each pixel may be lifted to
        assert float((sensitivity * estimate).sum()) == pytest.approx(float(y.sum()), rel=1e-4)


def test_every_plain_iteration_raises_the_likelihood() -> None:
    y = noisy_image()
    values = [likelihood(x, y) for x in richardson_lucy(y, MODEL, range(1, 30), momentum=None)]
    assert all(after > before for before, after in itertools.pairwise(values))


@pytest.mark.parametrize("momentum", ["fixed", "adaptive"])
@pytest.mark.parametrize("seed", range(3))
def test_momentum_gets_farther_in_as_many_iterations(momentum: Momentum, seed: int) -> None:
    y = noisy_image(seed)
    plain, fast = (richardson_lucy(y, MODEL, [8, 15], momentum=m) for m in (None, momentum))
    for slow_estimate, fast_estimate in zip(plain, fast, strict=True):
        assert likelihood(fast_estimate, y) > likelihood(slow_estimate, y)
    (later,) = richardson_lucy(y, MODEL, [30], momentum=None)
    assert likelihood(fast[1], y) > likelihood(later, y)  # worth twice the iterations at least


@pytest.mark.parametrize("momentum", MOMENTA)
def test_images_of_a_batch_do_not_touch_each_other(momentum: Momentum | None) -> None:
    batch = torch.cat([noisy_image(0), 3 * noisy_image(1)])
    (together,) = richardson_lucy(batch, MODEL, [7], momentum=momentum)
    for n in range(2):
        (alone,) = richardson_lucy(batch[n : n + 1], MODEL, [7], momentum=momentum)
        # the floor is one for the batch: 1e-6 of its maximum
        torch.testing.assert_close(together[n : n + 1], alone, rtol=1e-3, atol=1e-3)


def test_fixed_momentum_is_local() -> None:
    """Half of an image gives the same estimate as the whole, far from the cut; what another place holds does not matter."""
    blur = Blur(asymmetric_kernel(3, 3))
    y = torch.rand(1, 1, 8, 120, dtype=torch.float64, generator=torch.Generator().manual_seed(1)) + 0.2
    y[..., 119] += 50  # an adaptive step length would feel this
    whole, part = (richardson_lucy(image, blur, [5], momentum="fixed")[0] for image in (y, y[..., :60]))
    torch.testing.assert_close(whole[..., :40], part[..., :40], rtol=1e-4, atol=1e-4)  # the floor knows the maximum


@pytest.mark.parametrize("level", [-3.0, 0.0])
def test_images_without_light_give_nothing_but_numbers(level: float) -> None:
    (estimate,) = richardson_lucy(torch.full((1, 1, 5, 7), level), MODEL, [10])
    assert bool(estimate.isfinite().all())
    assert 0 <= float(estimate.max()) < 1e-2


def test_negative_pixels_count_as_zero() -> None:
    y = noisy_image()
    y[0, 0, 2, 3] = -4.0
    clipped = y.clamp(min=0)
    assert torch.equal(richardson_lucy(y, MODEL, [5])[0], richardson_lucy(clipped, MODEL, [5])[0])


def test_no_gradient_is_kept() -> None:
    y = noisy_image().requires_grad_()
    assert not richardson_lucy(y, MODEL, [2])[0].requires_grad
    assert not wiener(y, MODEL, 0.1).requires_grad


@pytest.mark.parametrize("noise_to_signal", [1e-2, 0.3])
def test_wiener_solves_the_normal_equations(noise_to_signal: float) -> None:
    batch = torch.cat([noisy_image(0), noisy_image(1) - 5])
    matrix = matrix_of(MODEL, FINE)
    normal = matrix.T @ matrix + noise_to_signal * np.eye(matrix.shape[1])
    for y, estimate in zip(batch, wiener(batch, MODEL, noise_to_signal, iterations=100), strict=True):
        expected = np.linalg.solve(normal, matrix.T @ y.flatten().numpy())
        np.testing.assert_allclose(estimate.flatten().numpy(), expected, atol=1e-8)  # conjugate gradients, converged


def ringed() -> np.ndarray:
    """A core within a dark ring, of no symmetry, and sum 1: what an apodised reconstruction makes of a point."""
    y, x = np.mgrid[-4:5, -3:4]
    r = np.hypot(y + 0.2, 1.3 * x - 0.1)
    kernel = np.exp(-(r**2) / 3) - 0.1 * np.exp(-((r - 3) ** 2) / 1.5)
    return kernel / kernel.sum()


def test_a_dark_ring_is_split_off_and_noise_below_zero_is_not() -> None:
    ring = Blur(ringed())
    assert ring.positive is not ring and (ring.positive @ MODEL).positive is not None
    assert isinstance(ring.positive, Blur)
    np.testing.assert_allclose(ring.positive.kernel, ringed().clip(0))
    noisy = asymmetric_kernel(5, 7) + 0.0005 * np.random.default_rng(0).normal(size=(5, 7))
    for operator in (Blur(noisy), MODEL, MODEL @ Blur(asymmetric_kernel(3, 3))):
        assert operator.positive is operator
    both = MODEL @ ring
    x = torch.rand(1, 1, *FINE, dtype=torch.float64)
    torch.testing.assert_close(both.positive(x), MODEL(ring.positive(x)))


@pytest.mark.parametrize("momentum", MOMENTA)
def test_what_a_dark_ring_takes_is_given_back(momentum: Momentum | None) -> None:
    """Data below zero beside what is bright are right, and explained; cut there, they lose light and are not."""
    ring, rng = Blur(ringed()), np.random.default_rng(0)
    x = torch.from_numpy(0.5 + 40 * (rng.random((30, 34)) > 0.95) * rng.random((30, 34)))[None, None]
    y = ring(x)
    assert y.min() < 0
    torch.testing.assert_close(richardson_lucy(y, ring, [3], momentum=momentum, start=x)[0], x, rtol=1e-5, atol=1e-5)
    few, many = richardson_lucy(y, ring, [10, 100], momentum=momentum)
    assert float((ring(few) - y).std() / y.std()) < 0.12 and float((ring(many) - y).std() / y.std()) < 0.03
    assert float((few - x).std()) > float((many - x).std())
    assert float(many.mean() / x.mean()) == pytest.approx(1.0, abs=0.01)
    cut = richardson_lucy(y.clamp(min=0), ring.positive, [100], momentum=momentum)[0]
    assert float((ring(cut) - y).std() / y.std()) > 0.1 and float(cut.mean() / x.mean()) < 0.9


def test_light_that_an_image_lacks_is_found_and_no_more() -> None:
    """Lines that are far apart, seen through a PSF, less a broad hill of light: the hill comes back, none where there was none."""
    x = torch.zeros(1, 1, 48, 60, dtype=torch.float64)
    x[..., 3::9, :] = 30.0
    blur, smooth = Blur(gaussian((3.0, 3.0))), Blur(gaussian((20.0, 20.0)))
    hill = torch.zeros_like(x)
    hill[..., 24, 30] = 4000.0
    hill = smooth(hill)
    found = missing_background(blur(x) - hill, blur, smooth)
    assert float(found.min()) >= 0
    # the lines stay above half their height, so what is missing is seen between them, nine pixels apart; its top is smoothed a second time
    assert float(found.mean()) == pytest.approx(float(hill.mean()), rel=0.2)
    assert np.corrcoef(found.flatten(), hill.flatten())[0, 1] > 0.95
    assert float(missing_background(blur(x), blur, smooth).mean()) < 0.01 * float(blur(x).mean())
