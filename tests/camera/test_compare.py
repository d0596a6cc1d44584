"""Images of one camera are told from those of another by their noise, whatever the sample and its brightness."""

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from zsdeconv.camera.compare import KnownCamera, compare, refuse_two_cameras
from zsdeconv.camera.detector import Camera
from zsdeconv.camera.frames import calibrate_frames
from zsdeconv.errors import ImageError


def light(seed: int, shape: tuple[int, int] = (150, 131)) -> np.ndarray:
    """Lines, spots and haze, electrons; 60 in bright places."""
    rng = np.random.default_rng(seed)
    grains = gaussian_filter((rng.random(shape) < 0.01).astype(float), 1.6) + 0.3 * gaussian_filter(rng.normal(size=shape), 9).clip(0)
    return 60 * grains / np.percentile(grains, 99.8)


def recorded(electrons: np.ndarray, seed: int, gain: float = 0.5, offset: float = 100.0, read_e: float = 1.5) -> np.ndarray:
    rng = np.random.default_rng([seed, 7])
    y = gain * (rng.poisson(electrons) + rng.normal(0, read_e, electrons.shape)) + offset
    return y.round().clip(0, 65535).astype(np.uint16)


@pytest.fixture(scope="module")
def known() -> KnownCamera:
    return KnownCamera.of(calibrate_frames([recorded(light(1), 1)]))


@pytest.mark.parametrize("brightness", [0.3, 1.0, 3.0])
@pytest.mark.parametrize("haze", [0.0, 150.0])
def test_other_fields_of_one_camera_are_not_told(known: KnownCamera, brightness: float, haze: float) -> None:
    for seed in (2, 3):
        assert not compare(known, [recorded(brightness * light(seed) + haze, seed)]).differs


@pytest.mark.parametrize("change", [{"gain": 2.0}, {"gain": 0.2}, {"offset": 120.0}, {"offset": 400.0}, {"offset": 10.0}, {"read_e": 6.0}])
def test_another_gain_offset_or_read_noise_is_told(known: KnownCamera, change: dict[str, float]) -> None:
    assert compare(known, [recorded(light(2), 2, **change)]).differs


@pytest.mark.parametrize(("factor", "shift"), [(1 / 60, -1.7), (16.0, 0.0), (0.3, 0.0)])
def test_other_scales_of_counts_are_told(known: KnownCamera, factor: float, shift: float) -> None:
    assert compare(known, [(recorded(light(2), 2) * factor + shift).astype(np.float32)]).differs


def test_what_the_law_is_wrong_by_on_its_own_image_is_no_other_camera() -> None:
    image = recorded(light(1), 1)
    wrong = Camera(100.0, 0.5, 12.0)  # its variance in the dark is too large
    assert compare(KnownCamera(wrong), [image]).differs
    misfits = tuple((signal, np.log(0.5 * (signal - 100) / (0.5 * (signal - 100) + 12) + 0.05)) for signal in (101.0, 105.0, 130.0))
    assert not compare(KnownCamera(wrong, misfits=misfits), [image]).differs


def test_images_of_two_cameras_are_refused_with_both_laws() -> None:
    first, second = recorded(light(1), 1), recorded(light(2), 2, gain=2.0, offset=400.0)
    refuse_two_cameras([[first], [recorded(light(2), 2)], [recorded(light(3) / 3, 3)]], ["a", "b", "c"])
    with pytest.raises(ImageError, match=r"two cameras: a.tif has offset (99|100).* gain 0.[45].*; b.tif has .* gain [12].*separately"):
        refuse_two_cameras([[first], [second]], ["a.tif", "b.tif"])
