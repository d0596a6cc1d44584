"""Fields: images with their noise, whole or in part."""

import numpy as np
import pytest
import torch

from zsdeconv.acquisition.base import training_excerpts
from zsdeconv.acquisition.direct import CameraMeasurement
from zsdeconv.camera.detector import Camera, Multiplier, signal_estimate

CAMERA = Camera(0.0, 0.3, 0.04)


def test_noise_has_the_variance_of_each_pixel() -> None:
    y = 0.2 + torch.linspace(0, 2, 45).expand(7, 45)
    measurement = CameraMeasurement(y, CAMERA)
    np.testing.assert_allclose(measurement.signal, signal_estimate(y.numpy(), 0.0), rtol=1e-6)
    generator = torch.Generator().manual_seed(0)
    z = torch.stack([measurement.noise(generator) for _ in range(2000)])[..., 2:-2]
    # relative standard error of a variance from 7 x 2000 values: 1.2 %, at most four of them
    assert z.var(0).mean(0).tolist() == pytest.approx(CAMERA.variance(y[0, 2:-2]).tolist(), rel=0.05)
    assert abs(float((z[..., 1:] * z[..., :-1]).mean())) < 0.01


def test_clipped_darkness_counts_as_excess() -> None:
    y = torch.full((6, 20), -0.2)
    y[:, 10:] = 1.0
    variance_bias = CameraMeasurement(y, CAMERA).variance_bias()
    torch.testing.assert_close(variance_bias[:, :8], torch.full((6, 8), 0.06))
    torch.testing.assert_close(variance_bias[:, 12:], torch.zeros(6, 8), rtol=0, atol=1e-6)


def test_small_data_are_excerpted_whole_and_large_ones_from_the_middle() -> None:
    small = CameraMeasurement(torch.rand(40, 30), CAMERA)
    large = CameraMeasurement(torch.arange(6.0).reshape(1, 6, 1) + torch.zeros(3, 6, 8), CAMERA)
    assert training_excerpts([small, small], 2400)[0] is small
    first, *others = training_excerpts([large] * 9, 5 * 36)
    assert len(others) == 4 and first.y.shape == (3, 3, 4)
    assert first.y[0, :, 0].tolist() == [1.0, 2.0, 3.0]


def test_large_stacks_are_divided_plane_by_plane(monkeypatch: pytest.MonkeyPatch) -> None:
    law, mean = Multiplier(0.0, 1.0, 0.01), torch.tensor([1.0, 2.0, 6.0])[:, None, None].expand(3, 60, 70)
    stack = CameraMeasurement(law.simulate(mean, 1.0, torch.Generator().manual_seed(0)), law, splits=True)
    monkeypatch.setattr("zsdeconv.acquisition.direct.MAX_DIVIDED_PX", 1000)
    first, second = stack.pair(2.0, torch.Generator().manual_seed(1))
    torch.testing.assert_close(0.2 * first + 0.8 * second, stack.y)
    for part, y, light in zip(first, stack.y, (1.0, 2.0, 6.0), strict=True):  # 4200 pixels of skewed noise know a variance to 6 %
        assert float((part - y).var()) == pytest.approx(4 * law.variance(torch.tensor(light)).item(), rel=0.2)
