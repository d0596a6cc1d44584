"""Parts of a sensor with amplifiers of their own are found by the step between them, and nothing else is."""

import warnings

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from zsdeconv.camera.sensor_parts import equalised
from zsdeconv.errors import DataWarning
from zsdeconv.image import Image


def electrons(seed: int, shape: tuple[int, int] = (140, 132)) -> np.ndarray:
    rng = np.random.default_rng(seed)
    grains = gaussian_filter((rng.random(shape) < 0.01).astype(float), 1.6)
    return 60 * grains / np.percentile(grains, 99.8) + 3


def camera(light: np.ndarray, seed: int) -> np.ndarray:
    rng = np.random.default_rng([seed, 5])
    return 0.5 * rng.poisson(light) + rng.normal(100, 0.8, light.shape)


@pytest.mark.parametrize("axes", ["YX", "XY"])
@pytest.mark.parametrize("offset", [7.0, -15.0])
def test_halves_are_equalised_to_the_first(axes: str, offset: float) -> None:
    light = electrons(1)
    y = camera(light, 1)
    y[70:] += offset
    image = Image((y if axes == "YX" else y.T).round().astype(np.uint16), axes)
    with pytest.warns(DataWarning, match=r"parts of the sensor differ \(rows from 70 on: [+-]"):
        even = equalised(image)
    data = even.data if axes == "YX" else even.data.T
    # the step is known to half an ADU, two of them
    assert abs(float((data - y)[70:].mean()) + offset) < 1.0
    assert even.axes == axes and np.array_equal(data[:70], y[:70].round())


def test_quadrants_are_equalised() -> None:
    y = camera(electrons(2), 2)
    part = np.zeros_like(y)
    part[:70, 66:], part[70:, :66], part[70:, 66:] = 12.0, -9.0, 20.0
    with pytest.warns(DataWarning, match="parts of the sensor differ"):
        data = equalised(Image((y + part).round().astype(np.uint16), "YX")).data
    for rows in (slice(0, 70), slice(70, None)):
        for columns in (slice(0, 66), slice(66, None)):
            assert abs(float((data - y)[rows, columns].mean())) < 1.5


@pytest.mark.parametrize("seed", range(6))
def test_images_of_one_amplifier_stay_as_they_are(seed: int) -> None:
    y = camera(electrons(seed), seed).round().astype(np.uint16)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        image = Image(y, "YX")
        assert equalised(image) is image
        shaded = Image(np.stack([y, y + 3]) * np.linspace(1, 2, 132, dtype=np.float32), "TYX")
        assert equalised(shaded) is shaded
        edge = y.copy()
        edge[51:] += 40  # a step elsewhere is not one of the sensor
        assert np.array_equal(equalised(Image(edge, "YX")).data, edge)
