"""The operators of image formation against their laws and against loops."""

import numpy as np
import pytest
import torch

from laws import assert_adjoint, assert_gradient_is_adjoint, assert_linear
from oracles import asymmetric_kernel, lateral_mean, mirrored_convolution
from zsdeconv.physics.operators import Blur, Crop, Downsample, Operator, forward_model

CASES: dict[str, tuple[Operator, tuple[int, ...], tuple[int, ...]]] = {
    "blur": (Blur(asymmetric_kernel(5, 3)), (2, 1, 9, 14), (2, 1, 9, 14)),
    "blur, kernel wider than half the image": (Blur(asymmetric_kernel(9, 11)), (1, 2, 5, 7), (1, 2, 5, 7)),
    "blur, kernel wider than the image": (Blur(asymmetric_kernel(13, 9)), (1, 1, 4, 1), (1, 1, 4, 1)),
    "blur, volume": (Blur(asymmetric_kernel(3, 5, 7)), (1, 2, 4, 9, 8), (1, 2, 4, 9, 8)),
    "lateral mean": (Downsample(2, 2), (2, 3, 6, 10), (2, 3, 3, 5)),
    "lateral mean, volume": (Downsample(3, 2), (1, 1, 3, 6, 4), (1, 1, 3, 3, 2)),
    "lateral mean, scale 1": (Downsample(2, 1), (1, 1, 5, 7), (1, 1, 5, 7)),
    "crop": (Crop((2, 1)), (1, 2, 9, 6), (1, 2, 5, 4)),
    "crop, volume": (Crop((0, 2, 1)), (1, 1, 3, 7, 6), (1, 1, 3, 3, 4)),
    "crop after mean after blur": (Crop((1, 2)) @ Downsample(2, 2) @ Blur(asymmetric_kernel(7, 5)), (1, 1, 10, 14), (1, 1, 3, 3)),
    "forward model, volume": (forward_model(asymmetric_kernel(3, 5, 5), 3, 2), (1, 1, 3, 8, 6), (1, 1, 3, 4, 3)),
}


@pytest.mark.parametrize("name", CASES)
def test_every_operator_obeys_the_laws(name: str) -> None:
    operator, x_shape, y_shape = CASES[name]
    assert_adjoint(operator, x_shape, y_shape)
    assert_linear(operator, x_shape)
    assert_gradient_is_adjoint(operator, x_shape)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_images_of_half_precision_are_blurred_and_stay_so(dtype: torch.dtype) -> None:
    """Mixed precision hands them to the forward model, and no FFT takes them."""
    blur, x = Blur(asymmetric_kernel(5, 3)), torch.rand(1, 1, 9, 14)
    for operator in (blur, blur.adjoint):
        seen = operator(x.to(dtype))
        assert seen.dtype == dtype
        torch.testing.assert_close(seen.float(), operator(x), atol=1e-2, rtol=0)  # bfloat16 has 8 bits


@pytest.mark.parametrize(("image", "kernel"), [((13, 10), (5, 7)), ((6, 9), (11, 3)), ((4, 7, 9), (3, 5, 3)), ((3, 5), (9, 17))])
def test_blur_equals_the_loops_with_mirrored_borders(image: tuple[int, ...], kernel: tuple[int, ...]) -> None:
    x, k = np.random.default_rng(1).random(image), asymmetric_kernel(*kernel)
    blurred = Blur(k)(torch.from_numpy(x)[None, None])[0, 0].numpy()
    np.testing.assert_allclose(blurred, mirrored_convolution(x, k), atol=1e-12)  # rounding of an FFT of numbers below 1


def test_an_off_centre_point_becomes_the_psf_and_not_its_mirror_image() -> None:
    kernel = asymmetric_kernel(5, 7)
    x = torch.zeros(1, 1, 17, 20, dtype=torch.float64)
    x[0, 0, 6, 11] = 1
    image = Blur(kernel)(x)[0, 0].numpy()
    np.testing.assert_allclose(image[4:9, 8:15], kernel, atol=1e-14)
    assert np.abs(image[4:9, 8:15] - kernel[::-1, ::-1]).max() > 0.01
    assert abs(image.sum() - 1) < 1e-12
    image[4:9, 8:15] = 0
    assert np.abs(image).max() < 1e-14


def test_centred_psf_does_not_move_the_centre_of_mass() -> None:
    y, x = np.mgrid[-4:5, -3:4]
    kernel = np.exp(-(y**2 + 2 * x**2) / 5.0)
    points = torch.zeros(1, 1, 31, 34, dtype=torch.float64)
    points[0, 0, 14, 17], points[0, 0, 16, 12] = 3, 1
    image = Blur(kernel / kernel.sum())(points)[0, 0].numpy()
    for axis, expected in enumerate(((3 * 14 + 16) / 4, (3 * 17 + 12) / 4)):
        profile = image.sum(1 - axis)
        assert profile @ np.arange(len(profile)) / profile.sum() == pytest.approx(expected, abs=1e-10)


@pytest.mark.parametrize("shape", [(7, 11), (3, 9, 6)])
def test_a_constant_stays_constant_up_to_the_borders(shape: tuple[int, ...]) -> None:
    kernel = asymmetric_kernel(*[5] * len(shape))
    blurred = Blur(kernel)(torch.full((1, 1, *shape), 7.0, dtype=torch.float64))
    torch.testing.assert_close(blurred, torch.full_like(blurred, 7.0), atol=1e-12, rtol=0)


def test_nothing_wraps_around() -> None:
    x = torch.zeros(1, 1, 12, 15, dtype=torch.float64)
    x[..., 0, :] = 1
    assert float(Blur(asymmetric_kernel(7, 3))(x)[..., 4:, :].abs().max()) < 1e-14


@pytest.mark.parametrize("rank", [2, 3])
def test_lateral_mean_equals_the_loops(rank: int) -> None:
    x = np.random.default_rng(2).random((3, 6, 10)[-rank:])
    binned = Downsample(rank, 2)(torch.from_numpy(x)[None, None])[0, 0].numpy()
    np.testing.assert_allclose(binned, lateral_mean(x, 2), atol=1e-14)


def test_forward_model_is_the_mean_of_the_blurred_object() -> None:
    x, kernel = np.random.default_rng(3).random((14, 18)), asymmetric_kernel(5, 9)
    image = forward_model(kernel, 2, 2)(torch.from_numpy(x)[None, None])[0, 0].numpy()
    np.testing.assert_allclose(image, lateral_mean(mirrored_convolution(x, kernel), 2), atol=1e-12)


def test_composition_applies_the_right_one_first_and_reaches_as_far_as_both() -> None:
    blur, crop = Blur(asymmetric_kernel(5, 7)), Crop((1, 2))
    x = torch.rand(1, 1, 9, 12, dtype=torch.float64, generator=torch.Generator().manual_seed(4))
    assert torch.equal((crop @ blur)(x), crop(blur(x)))
    assert (blur @ blur).support_px == (4, 6)
    assert (crop @ forward_model(asymmetric_kernel(5, 7), 2, 2)).support_px == (2, 3)


def test_precision_of_the_image_is_kept_and_many_sizes_give_the_same_as_one() -> None:
    kernel = asymmetric_kernel(3, 5)
    blur = Blur(kernel)
    for n in range(5, 5 + 2 * Blur.max_cached_otfs + 3, 2):  # more sizes than transfer functions are kept
        x = torch.rand(1, 1, n, 7, generator=torch.Generator().manual_seed(n))
        assert blur(x).dtype == torch.float32
        torch.testing.assert_close(blur(x), Blur(kernel)(x.double()).float(), atol=1e-6, rtol=0)  # float32 rounding


def test_even_kernels_are_a_fault_of_the_caller() -> None:
    with pytest.raises(AssertionError, match="odd"):
        Blur(np.ones((3, 4)))
