import numpy as np
import pytest

from zsdeconv.camera.detector import Camera, signal_estimate
from zsdeconv.errors import ConfigError


def test_variance_is_affine_above_the_offset_and_constant_below() -> None:
    camera = Camera(offset=100.0, gain=2.5, read_variance=4.0)
    signal = np.array([[-7.0, 0.0, 3.0], [1.0, 100.0, 0.5]])
    expected = np.where(signal > 0, 2.5 * signal, 0) + 4.0
    np.testing.assert_allclose(camera.variance(signal), expected, rtol=1e-15)
    assert camera.read_noise == 2.0


def test_variance_of_a_tensor_is_a_tensor_and_differentiable() -> None:
    torch = pytest.importorskip("torch")
    signal = torch.tensor([-1.0, 2.0], requires_grad=True)
    variance = Camera(0.0, 3.0, 1.0).variance(signal)
    variance.sum().backward()
    assert variance.tolist() == [1.0, 7.0]
    assert signal.grad.tolist() == [0.0, 3.0]


def test_variance_is_that_of_simulated_counts() -> None:
    rng = np.random.default_rng(4)
    counts = 3.0 * rng.poisson(7.0, 400_000) + rng.normal(50, 5, 400_000)
    # relative standard error of a variance from 4e5 samples is 0.3 %; four of them
    assert counts.var() == pytest.approx(Camera(50.0, 3.0, 25.0).variance(np.asarray(counts.mean() - 50)), rel=0.012)


def test_signal_estimate_agrees_with_a_loop() -> None:
    y = np.random.default_rng(0).normal(102, 3, (2, 5, 8))
    expected = np.empty_like(y)
    for t, i, j in np.ndindex(y.shape):
        rows, columns = np.clip(range(i - 2, i + 3), 0, 4), np.clip(range(j - 2, j + 3), 0, 7)
        expected[t, i, j] = max(np.mean([y[t, p, q] for p in rows for q in columns]) - 100, 0)
    np.testing.assert_allclose(signal_estimate(y, 100.0), expected, atol=1e-12)


def test_signal_estimate_of_counts_does_not_wrap() -> None:
    assert signal_estimate(np.full((3, 4), 90, np.uint16), 100.0).max() == 0


@pytest.mark.parametrize("values", [(np.nan, 1.0, 1.0), (0.0, -1.0, 1.0), (0.0, np.inf, 1.0), (0.0, 1.0, -1e-3), (0.0, 1.0, np.nan)])
def test_impossible_cameras_are_refused(values: tuple[float, float, float]) -> None:
    with pytest.raises(ConfigError, match=r"give background|calibrate with dark"):
        Camera(*values)
