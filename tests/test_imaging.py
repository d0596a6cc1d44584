"""Fields: images with their noise, whole or in part."""

import pytest
import torch

from zsdeconv.imaging import CameraField, excerpts
from zsdeconv.noise.model import Camera

CAMERA = Camera(0.0, 0.3, 0.04)


def test_noise_has_the_variance_of_each_pixel() -> None:
    signal = torch.linspace(0, 2, 5).expand(3, 5)
    field = CameraField(signal, signal, CAMERA)
    generator = torch.Generator().manual_seed(0)
    z = torch.stack([field.noise(generator) for _ in range(4000)])
    # relative standard error of a variance from 3 x 4000 values: 1.3 %, at most four of them
    assert z.var(0).mean(0).tolist() == pytest.approx(CAMERA.variance(signal[0]).tolist(), rel=0.05)
    assert abs(float((z[..., 1:] * z[..., :-1]).mean())) < 0.01


def test_clipped_darkness_counts_as_excess() -> None:
    y = torch.tensor([[-0.2, 0.2], [1.0, 0.0]])
    field = CameraField(y, y.clamp(min=0), CAMERA)
    torch.testing.assert_close(field.excess(), torch.tensor([[0.06, 0.0], [0.0, 0.0]]))


def test_small_data_are_excerpted_whole_and_large_ones_from_the_middle() -> None:
    small = CameraField(torch.rand(40, 30), torch.rand(40, 30), CAMERA)
    large = CameraField(torch.arange(6.0).reshape(1, 6, 1) + torch.zeros(3, 6, 8), torch.rand(3, 6, 8), CAMERA)
    assert excerpts([small, small], 2400)[0] is small
    first, *others = excerpts([large] * 9, 5 * 36)
    assert len(others) == 4 and first.y.shape == first.signal.shape == (3, 3, 4)
    assert first.y[0, :, 0].tolist() == [1.0, 2.0, 3.0]
    assert torch.equal(first.signal, large.signal[:, 1:4, 2:6])
