"""The error map: zero where the image explains the data, and where it does not, at the place."""

import numpy as np
import pytest
import torch
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from scipy.ndimage import gaussian_filter

from zsdeconv.errors import ImageError, OpticsError
from zsdeconv.physics.operators import forward_model
from zsdeconv.physics.psf import Psf
from zsdeconv.report.checks.agreement import measure, section


def objects(shape: tuple[int, ...], seed: int = 0) -> np.ndarray:
    """Points and a haze."""
    rng = np.random.default_rng(seed)
    x = np.zeros(shape)
    x[tuple(rng.integers(0, n, 60) for n in shape)] = rng.uniform(0.5, 2, 60)
    return x + 0.01


def lens(rank: int = 2) -> Psf:
    """Asymmetric, so that a correlation in the place of the convolution would show."""
    axis = np.exp(-np.square(np.arange(-6, 7)) / 8)
    values = np.outer(axis, axis) * (1 + 0.1 * np.arange(-6, 7) / 6)
    if rank == 3:
        values = np.exp(-np.square(np.arange(-2, 3)) / 2)[:, None, None] * values
    return Psf.from_array(values, (0.2, 0.05, 0.05)[-rank:], "test")


def reblurred(x: np.ndarray) -> np.ndarray:
    return forward_model(lens(x.ndim).values, x.ndim, 2)(torch.from_numpy(x)[None, None])[0, 0].numpy()


@pytest.mark.parametrize("shape", [(86, 102), (5, 46, 62)])
def test_what_explains_the_data_has_no_error_on_any_scale_of_intensity(shape: tuple[int, ...]) -> None:
    x = objects(shape)
    result = measure(x, 7 * reblurred(x) + 30, lens(len(shape)))
    assert result.rse < 1e-9 and result.rsp == pytest.approx(1, abs=1e-12)
    assert (result.slope, result.offset) == pytest.approx((7, 30), abs=1e-6)
    assert result.sigma_px is None and section(result).level == "ok"


def test_a_gaussian_of_unknown_width_is_found() -> None:
    x = objects((90, 78))
    result = measure(x, 3 * gaussian_filter(x, 2.6) + 1)
    assert result.sigma_px == pytest.approx((2.6, 2.6), rel=0.01)
    assert result.rsp > 0.9999 and result.slope == pytest.approx(3, rel=0.01)


def test_a_gaussian_of_unknown_depth_is_found_in_a_stack() -> None:
    x = objects((12, 40, 46))
    wide = gaussian_filter(x, (1.4, 2.2, 2.2)).reshape(12, 20, 2, 23, 2).mean((2, 4))
    result = measure(x, wide)
    assert result.sigma_px == pytest.approx((1.4, 2.2, 2.2), rel=0.02)


@pytest.mark.parametrize("change", [-1.0, 1.0])
def test_a_missing_and_an_invented_point_stand_out_where_they_are(change: float) -> None:
    x = objects((86, 102))
    y = reblurred(x)
    x[40, 60] += change
    result = measure(x, y, lens())
    worst = np.unravel_index(result.map.argmax(), y.shape)
    assert np.abs(np.subtract(worst, (20, 30))).max() <= 1
    assert np.sign(result.difference[worst]) == -change
    # away from the point only the fitted line has changed a little
    far = np.hypot(*np.ogrid[-20:23, -30:21]) > 8
    assert result.map[far].max() < 0.1 * result.map.max()


def test_summary_numbers_are_those_of_their_definitions() -> None:
    x = objects((86, 102))
    y = reblurred(x) + 0.02 * np.random.default_rng(1).normal(size=(43, 51))
    result = measure(x, y, lens())
    assert result.rse == pytest.approx(np.sqrt(np.mean((y - result.slope * reblurred(x) - result.offset) ** 2)))
    assert result.rsp == pytest.approx(np.corrcoef(y.ravel(), reblurred(x).ravel())[0, 1])


def test_noise_in_the_reference_is_not_held_against_the_image() -> None:
    x, rng = objects((172, 162)), np.random.default_rng(2)
    clean = reblurred(x)
    for sd in (0.5 * clean.std(), 2 * clean.std()):
        noisy = clean + sd * rng.normal(size=clean.shape)
        result = measure(x, noisy, lens(), noise_sd=sd)
        # 7000 pixels tell a correlation to a hundredth
        assert result.rsp == pytest.approx(result.rsp_best, abs=0.02) and result.rsp_best < 0.95
        assert section(result).level == "ok"
        assert result.rse == pytest.approx(sd, rel=0.03)
        wrong = measure(objects((172, 162), seed=5), noisy, lens(), noise_sd=sd)
        assert section(wrong).level == "fail"


def test_images_that_cannot_be_compared_are_refused() -> None:
    x = objects((20, 24))
    with pytest.raises(ImageError, match=r"\(20, 24\).*\(9, 12\)"):
        measure(x, np.ones((9, 12)))
    with pytest.raises(ImageError, match=r"\(20, 24\).*\(3, 10, 12\)"):
        measure(x, np.ones((3, 10, 12)))
    with pytest.raises(ImageError, match="constant"):
        measure(x, np.ones((10, 12)))
    with pytest.raises(OpticsError, match="3-D"):
        measure(x, x, lens(3))


def test_an_image_without_structure_has_no_correlation() -> None:
    result = measure(np.ones((20, 24)), objects((20, 24)))
    assert (result.rsp, result.slope) == (0.0, 0.0) and section(result).level == "fail"


@pytest.mark.parametrize("shape", [(86, 102), (6, 46, 62)])
def test_the_map_is_drawn(shape: tuple[int, ...]) -> None:
    x = objects(shape)
    y = reblurred(x)
    x *= 1.1 + np.sin(np.arange(shape[-1]))
    (captioned,) = section(measure(x, y, lens(len(shape)), spacing_um=(0.2, 0.1, 0.1)[-len(shape) :])).figures
    figure = Figure(figsize=captioned.size_in, layout="constrained")
    captioned.draw(figure)
    FigureCanvasAgg(figure).draw()
    assert figure.axes[0].images[0].get_array() is not None
