import warnings

import numpy as np
import pytest
from numpy.typing import DTypeLike

from zsdeconv.errors import DataWarning, ImageError
from zsdeconv.image import Image
from zsdeconv.io import check_restorable, saturated_fraction
from zsdeconv.io.checks import refuse_undefined


def noisy(*shape: int, dtype: DTypeLike = np.uint16, mean: float = 300.0) -> np.ndarray:
    return np.random.default_rng(3).poisson(mean, shape).astype(dtype)


def test_ordinary_images_of_every_type_pass_silently():
    for dtype in (np.uint8, np.uint16, np.int16, np.float32, np.float64):
        check_restorable(Image(noisy(3, 33, 41, dtype=dtype, mean=60), "TYX"))


@pytest.mark.parametrize("shape", [(0, 20), (1, 1), (7, 200), (200, 3)])
def test_too_small(shape):
    with pytest.raises(ImageError, match=r"at least 8 x 8"):
        check_restorable(Image(np.zeros(shape), "YX"))


def test_no_frames():
    with pytest.raises(ImageError, match="at least"):
        check_restorable(Image(np.zeros((0, 20, 20)), "TYX"))


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_pixels_that_are_not_finite_hold_no_data(value):
    data = noisy(4, 20, 31, dtype=np.float32)
    data[2, 5, 7] = data[3, :, :9] = value
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        check_restorable(Image(data, "TYX"))
    with pytest.raises(ImageError, match=r"181 of 2480 pixels are NaN or infinite \(first: T=2, Y=5, X=7\)"):
        refuse_undefined(Image(data, "TYX"))
    data[1] = value
    check_restorable(Image(data, "TYX"))  # a dropped frame
    with pytest.raises(ImageError, match=r"1 of 4 planes are constant \(first: Z=1"):
        check_restorable(Image(data, "ZYX"))
    data[:, :, 1:] = value
    with pytest.raises(ImageError, match=r"\d+ of 2480 pixels are numbers, .*at least 5 %"):
        check_restorable(Image(data, "TYX"))


def test_saturation_is_that_of_the_pixels_with_data():
    data = np.minimum(noisy(40, 50, mean=240), 255).astype(np.float32)
    share = saturated_fraction(data)
    data[:20] = np.nan
    assert saturated_fraction(data) == np.mean(data[20:] == 255) > share / 2


def test_complex():
    with pytest.raises(ImageError, match="complex"):
        check_restorable(Image(np.ones((9, 9), np.complex64), "YX"))


def test_constant_image_and_constant_channel():
    with pytest.raises(ImageError, match=r"constant image \(every pixel is 7"):
        check_restorable(Image(np.full((30, 31), 7, np.uint8), "YX"))
    data = noisy(30, 31, 2)
    data[..., 1] = 100
    with pytest.raises(ImageError, match="channel 1: constant"):
        check_restorable(Image(data, "YXC"))


def test_saturation_at_the_type_maximum():
    data = np.minimum(noisy(40, 50, mean=240), 255).astype(np.uint8)
    fraction = np.mean(data == 255)
    with pytest.warns(DataWarning, match=f"{100 * fraction:.3g} % of the pixels are saturated .at 255"):
        check_restorable(Image(data, "YX"))
    assert saturated_fraction(data) == fraction


@pytest.mark.parametrize("dtype", [np.uint16, np.float32])
def test_saturation_of_a_12_bit_camera_in_a_wider_type(dtype):
    rng = np.random.default_rng(5)
    data = np.minimum(rng.exponential(1500, (90, 101)), 4095).astype(np.uint16).astype(dtype)
    assert saturated_fraction(data) == np.mean(data == 4095)
    scaled = data * np.float32(0.37) + np.float32(11)  # a clip stays a clip after an affine change
    assert saturated_fraction(scaled) == np.mean(data == 4095)


@pytest.mark.parametrize("seed", range(20))
def test_tails_of_dim_images_are_not_taken_for_clipping(seed):
    rng = np.random.default_rng(seed)
    dim = rng.poisson(rng.exponential(1.0, (61, 73)))
    assert saturated_fraction(dim.astype(np.uint8)) == 0
    assert saturated_fraction((7 * dim + 100).astype(np.uint16)) == 0  # gaps between the grey levels
    assert saturated_fraction(rng.normal(size=(61, 73))) == 0


def test_image_is_not_changed():
    data = noisy(30, 31, dtype=np.float32)
    data.flags.writeable = False
    check_restorable(Image(data, "YX"))


def test_planes_of_one_value_are_lost_planes():
    data = np.random.default_rng(0).poisson(20.0, (2, 5, 12, 16)).astype(np.uint16)
    check_restorable(Image(data, "TZYX"))
    data[1, 3:] = 0
    with pytest.raises(ImageError, match=r"2 of 10 planes are constant \(first: T=1, Z=3, every pixel is 0\).*leave them out"):
        check_restorable(Image(data, "TZYX"))
    with pytest.raises(ImageError, match=r"first: T=1, Z=3"):
        check_restorable(Image(data.transpose(2, 0, 1, 3), "YTZX"))
    each = np.arange(3.0)[:, None, None] + np.zeros((12, 16))
    with pytest.raises(ImageError, match="3 of 3 planes"):
        check_restorable(Image(each, "ZYX"))


def test_dark_ends_of_a_stack_where_the_dark_is_clipped_are_no_lost_planes():
    rng = np.random.default_rng(0)
    light = np.zeros((9, 24, 31))
    light[2:6, 8:16, 9:18] = 40
    stack = rng.poisson(light)
    assert (stack[[0, 1, 6, 7, 8]] == 0).all()
    check_restorable(Image(stack, "ZYX"))
    check_restorable(Image(np.stack([stack, stack]), "TZYX"))
    gap = stack.copy()
    gap[4] = 0
    with pytest.raises(ImageError, match=r"1 of 9 planes are constant \(first: Z=4"):
        check_restorable(Image(gap, "ZYX"))
    with pytest.raises(ImageError, match="5 of 9 planes are constant"):  # there the dark has noise
        lit = np.asarray(light.sum((1, 2)) > 0)
        check_restorable(Image(rng.poisson(light + 20) * lit[:, None, None], "ZYX"))
