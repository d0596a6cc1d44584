"""Objects far brighter than all else: found with their halo, and nothing else is taken for one."""

import re

import numpy as np
import pytest

import zsdeconv as zs
from zsdeconv.camera.bright_objects import MIN_RATIO, bright_objects, told_of
from zsdeconv.camera.defects import find_defects, known_frames, without_bright_objects
from zsdeconv.errors import DataWarning
from zsdeconv.image import Image

Y, X = np.mgrid[:90, :110]


def spot(y: float, x: float, peak: float, width: float = 1.5) -> np.ndarray:
    return peak * np.exp(-((Y - y) ** 2 + (X - x) ** 2) / (2 * width**2))


def structure(peak: float = 30.0) -> np.ndarray:
    """Rings and lines of a cell."""
    rings = [np.exp(-((np.hypot(Y - y, X - x) - r) ** 2) / 4) for y, x, r in ((30, 40, 14), (60, 70, 20), (50, 30, 8))]
    return peak * np.sum(rings, axis=0)


def recorded(light: np.ndarray, seed: int = 0, offset: float = 100.0, read: float = 1.2) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return rng.poisson(light) + rng.normal(offset, read, light.shape)


@pytest.mark.parametrize("peak", [3e3, 3e4, 1e6])
def test_a_bead_is_found_with_its_halo_and_the_rest_is_left(peak):
    found = bright_objects(recorded(structure() + 4 + spot(20, 90, peak)))
    assert found[20, 90]
    assert found[17:24, 87:94].all()
    assert found.mean() < 0.1
    assert not found[(structure() > 20) & (np.hypot(Y - 20, X - 90) > 20)].any()


def test_several_beads():
    found = bright_objects(recorded(structure() + 4 + spot(20, 90, 2e4) + spot(75, 12, 9e3)))
    assert found[20, 90] and found[75, 12] and not found[60, 50]


@pytest.mark.parametrize(
    "light",
    [
        structure() + 4,
        structure(400.0) + 4,
        sum(spot(y, x, 300) for y in range(8, 90, 17) for x in range(9, 110, 19)) + 0.3,  # puncta in the dark, alike
        sum(spot(y, x, 40.0 * (1 + (y * x) % 13)) for y in range(8, 90, 17) for x in range(9, 110, 19)) + 0.3,  # of all brightnesses
        spot(40, 50, 3e4) + 2,  # nothing else to see
        structure() + 4 + spot(20, 90, 10 * 30),  # bright, and not by far
        np.full((90, 110), 5.0),
    ],
)
@pytest.mark.parametrize("counting", [False, True])
def test_images_without_such_objects(light, counting):
    for seed in range(3):
        image = np.random.default_rng(seed).poisson(light) if counting else recorded(light, seed)
        assert not bright_objects(image).any()


@pytest.mark.parametrize("mean", [0.003, 0.01, 0.05, 0.3])
def test_single_photons_are_none(mean):
    light = np.full((90, 110), mean)
    for seed in range(5):
        assert not bright_objects(np.random.default_rng(seed).poisson(light)).any()
        assert not bright_objects(np.random.default_rng(seed).poisson(light + spot(40, 50, 60))).any()


def test_a_single_hot_pixel_and_a_bright_half_are_none():
    image = recorded(structure() + 4)
    image[5, 7] = 500.0
    assert not bright_objects(image).any()
    assert not bright_objects(recorded(np.where(X > 50, 4000.0, structure() + 4))).any()


def test_calibration_keeps_away_from_it_and_it_is_told():
    frame = recorded(structure() + 4 + spot(20, 90, 3e4))
    (defects,) = without_bright_objects([frame], [find_defects(frame)])
    assert defects.bright is not None and defects.bright[20, 90]
    assert not find_defects(frame).all[20, 90]
    (known,) = known_frames([frame], [defects])
    assert known.size < frame.size
    assert known.max() < 1000
    assert re.match(rf"an object \([\d.]+ % of the image with the halo\) more than {MIN_RATIO:g} times", told_of([defects.bright]))
    assert told_of([None, None]) == ""


def test_stacks_are_left_as_they_are():
    frame = np.stack([recorded(structure() + 4 + spot(20, 90, 3e4))] * 3)
    (defects,) = without_bright_objects([frame], [find_defects(frame)])
    assert defects.bright is None


def test_the_rest_is_restored_as_if_it_were_not_there():
    """With a bead, the network's scale, the camera and the result elsewhere are those without it."""
    rest, bead = structure() + 4, spot(20, 90, 3e4)
    optics, options = zs.Optics(na=1.3, wavelength_nm=525), {"steps": 4, "passes": 2, "seed": 3, "background": 100.0}
    images = [Image(recorded(light).astype(np.float32), "YX", {"Y": 0.065, "X": 0.065}) for light in (rest, rest + bead)]
    alone = zs.restore(images[0], optics, **options)
    with pytest.warns(DataWarning, match="more than 20 times as bright as all else: set aside"):
        beside = zs.restore(images[1], optics, **options)
    assert beside.model.acquisition.unit.scale == pytest.approx(alone.model.acquisition.unit.scale, rel=0.1)
    assert beside.model.camera.gain == pytest.approx(alone.model.camera.gain, rel=0.2)  # measured on a smaller part

    recorded_light = images[1].data - 100
    near = np.hypot(Y - 20, X - 90) < 4
    np.testing.assert_allclose(beside.denoised.data[near].sum(), recorded_light[near].sum(), rtol=0.01)
    fine = np.hypot(*np.mgrid[-40:140, -180:40]) < 30
    assert beside.deconvolved.data[fine].sum() / 4 == pytest.approx(recorded_light[np.hypot(Y - 20, X - 90) < 15].sum(), rel=0.05)
    assert beside.deconvolved.data.min() >= 0
    assert beside.uncertainty is not None and np.isnan(beside.uncertainty.data[40, 180])
    assert np.isfinite(beside.uncertainty.data[120, 100])
