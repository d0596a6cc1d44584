"""One affine map, there and back, for pixels and for the camera."""

import numpy as np
import pytest
import torch

from zsdeconv.camera.detector import Camera
from zsdeconv.data.normalize import Affine


def test_offset_goes_to_zero_and_the_brightest_frame_sets_the_unit() -> None:
    dim, bright = np.linspace(100, 150, 1001), np.linspace(100, 300, 1001)
    unit = Affine.fitted([dim, bright], 100.0)
    assert unit.to_unit(np.array(100.0)) == 0
    assert float(np.percentile(unit.to_unit(bright), 99.9)) == pytest.approx(1.0)


@pytest.mark.parametrize("make", [np.array, torch.tensor])
def test_there_and_back(make) -> None:
    unit = Affine(offset=103.5, scale=47.0)
    adu = make([90.0, 103.5, 260.0])
    np.testing.assert_allclose(unit.to_adu(unit.to_unit(adu)), adu - 103.5, rtol=1e-6, atol=1e-6)


def test_the_variance_law_holds_in_either_unit() -> None:
    unit, camera = Affine(offset=100.0, scale=40.0), Camera(100.0, 2.5, 16.0)
    signal_adu = np.array([0.0, 12.0, 400.0])
    variance = unit.camera_in_unit(camera).variance(signal_adu / 40.0)
    np.testing.assert_allclose(variance * 40.0**2, camera.variance(signal_adu))
    assert unit.camera_in_unit(camera).offset == 0


@pytest.mark.parametrize("level", [0.0, 100.0, 90.0])
def test_a_frame_without_signal_has_a_finite_unit(level: float) -> None:
    frame = np.full((8, 9), level)
    unit = Affine.fitted([frame], 100.0)
    assert unit.scale > 0
    assert np.isfinite(unit.to_unit(frame)).all()
