"""Damping of stripes: what goes, what stays, and what it says it took."""

import numpy as np
import pytest

from zsdeconv.prediction.destripe import Destriping

YX_UM = (0.1, 0.13)


def scene(rng: np.random.Generator) -> np.ndarray:
    """Spots 0.4 um wide on a slowly varying background."""
    y, x = np.mgrid[:150, :131] * np.array(YX_UM)[:, None, None]
    image = 5 + np.sin(y / 5) * np.cos(x / 4)
    for cy, cx in rng.uniform(1, 13, (25, 2)):
        image += 10 * np.exp(-((y - cy) ** 2 + (x - cx) ** 2) / (2 * 0.17**2))
    return image


def shadows(along: str) -> np.ndarray:
    """Stripes of 0.3 to 0.6 um width through the whole field, one brightness each."""
    rng = np.random.default_rng(3)
    profile = np.repeat(rng.normal(0, 1, 60), 4)
    return np.broadcast_to(profile[:131], (150, 131)) if along == "Y" else np.broadcast_to(profile[:150, None], (150, 131))


@pytest.mark.parametrize("along", ["Y", "X"])
def test_stripes_go_and_the_scene_stays(along: str) -> None:
    image = scene(np.random.default_rng(0))
    damped, share = Destriping(along, width_um=1.5, length_um=8.0).damp(image + shadows(along), YX_UM)
    other, _ = Destriping("X" if along == "Y" else "Y", width_um=1.5, length_um=8.0).damp(image + shadows(along), YX_UM)
    error, before = (damped - image).std(), shadows(along).std()
    # What is left: the part of the stripes wider than 1.5 um, and a little of the spots that happen to stand in a row.
    assert error < 0.45 * before
    assert (other - image).std() > 0.95 * before  # the wrong direction leaves them
    assert share == pytest.approx(before / (image + shadows(along)).std(), rel=0.15)


def test_the_mean_of_every_plane_is_kept() -> None:
    stack = np.stack([scene(np.random.default_rng(seed)) + shadows("X") for seed in range(3)])
    damped, _ = Destriping("X", width_um=1.0, length_um=4.0).damp(stack, YX_UM)
    np.testing.assert_allclose(damped.mean((1, 2)), stack.mean((1, 2)), rtol=1e-12)
    one, _ = Destriping("X", width_um=1.0, length_um=4.0).damp(stack[1], YX_UM)
    np.testing.assert_allclose(damped[1], one, atol=1e-12)


def test_frequencies_off_the_line_pass_and_those_on_it_do_not() -> None:
    """The transfer function, read off pure waves in the middle of a large field: (1 - G_length) + G_length G_width."""
    n, um = 400, 0.1
    y, x = np.mgrid[:n, :n] * um
    stripes = Destriping("X", width_um=2.0, length_um=5.0)
    for ky, kx in ((0.9, 0.0), (0.05, 0.0), (0.3, 0.05), (0.0, 0.4)):
        wave = np.cos(2 * np.pi * (ky * y + kx * x))
        damped, _ = stripes.damp(wave, (um, um))
        transfer = [np.exp(-2 * (np.pi * k * w / 2.3548) ** 2) for k, w in ((kx, 5.0), (ky, 2.0))]
        middle = np.s_[150:250, 150:250]
        gain = (damped * wave)[middle].sum() / (wave * wave)[middle].sum()
        assert gain == pytest.approx(1 - transfer[0] * (1 - transfer[1]), abs=0.02)  # the window holds no whole number of waves


def test_an_even_image_has_none() -> None:
    damped, share = Destriping("Y", width_um=1.0, length_um=4.0).damp(np.full((20, 30), 7.0), YX_UM)
    np.testing.assert_allclose(damped, 7.0)
    assert share == 0.0
