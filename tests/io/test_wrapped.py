"""Integers that have wrapped get their values back; saturation, masks and text stay."""

import warnings

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from zsdeconv.errors import DataWarning
from zsdeconv.image import Image
from zsdeconv.io.wrapped import unwrapped


def light(peak: float, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    grains = gaussian_filter((rng.random((90, 77)) < 0.01).astype(float), 1.5)
    return rng.poisson(peak * grains / grains.max()) + rng.normal(0, 2, grains.shape)


@pytest.mark.parametrize(("dtype", "peak"), [(np.uint8, 70.0), (np.uint16, 60.0), (np.uint16, 40_000.0), (np.uint32, 60.0)])
def test_a_background_subtraction_below_zero(dtype: type, peak: float) -> None:
    values = light(peak).round().astype(np.int64)
    with pytest.warns(DataWarning, match=r"pixels \(.* %\) have wrapped, for uint\d+ cannot hold negative values"):
        image = unwrapped(Image(values.astype(dtype), "YX"))
    assert np.array_equal(image.data, values)


def test_bright_values_in_a_signed_type() -> None:
    values = (light(60_000.0) + 300).round().astype(np.int64)
    with pytest.warns(DataWarning, match="int16 cannot hold values above 32767"):
        image = unwrapped(Image(np.stack([values, values]).astype(np.int16), "TYX"))
    assert np.array_equal(image.data[1], values)


def with_bar(values: np.ndarray, value: int) -> np.ndarray:
    values = values.copy()
    values[80:84, 20:60] = value
    return values


@pytest.mark.parametrize(
    "values",
    [
        with_bar(light(60.0).round().clip(0, 255), 255).astype(np.uint8),
        with_bar(light(900.0).round() + 100, 65535).astype(np.uint16),
        (light(400.0).round() + 10).clip(0, 255).astype(np.uint8),
        (np.random.default_rng(0).poisson(2.0, (60, 60)) * 40).clip(0, 255).astype(np.uint8),
        light(30_000.0).round().astype(np.int16),
        light(90.0).astype(np.float32),
    ],
    ids=["scale bar", "mask at the top", "saturated", "stretched counts", "signed", "real numbers"],
)
def test_images_that_have_not_wrapped_stay(values: np.ndarray) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        image = Image(values, "YX")
        assert unwrapped(image) is image
