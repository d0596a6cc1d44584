"""Pixels without data are found, and nothing else is; they are filled as the detector would have recorded them."""

from typing import Any

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter

import zsdeconv as zs
from zsdeconv.camera.defects import Defects, beyond_law, clean, filled, find_defects, given_back, known_part, told
from zsdeconv.camera.detector import Camera, Counter, Multiplier
from zsdeconv.config import resolve
from zsdeconv.errors import DataWarning
from zsdeconv.prepare import prepare

LAWS = {"camera": Camera(100.0, 1.5, 4.0), "emccd": Multiplier(490.0, 40.0, 50.0), "counting": Counter(0.0, 1.0)}


def recorded(law: Camera, photons: float = 30.0, seed: int = 0, shape: tuple[int, int] = (120, 131)) -> np.ndarray:
    """Spots of the size of a PSF on haze."""
    rng = np.random.default_rng(seed)
    spots = np.zeros(shape)
    spots[tuple(rng.integers(0, n, 40) for n in shape)] = rng.uniform(0.3, 1.0, 40)
    light = gaussian_filter(spots, 1.1)
    mean = torch.from_numpy((light / light.max() + 0.05) * photons * law.gain)
    return (law.simulate(mean, 1.0, torch.Generator().manual_seed(seed)).numpy() + law.offset).round().clip(0, 65535).astype(np.uint16)


@pytest.mark.parametrize("name", LAWS)
@pytest.mark.parametrize("photons", [4, 20, 200])
def test_noise_and_small_structures_are_no_defects(name: str, photons: float) -> None:
    for seed in range(3):
        assert not find_defects(recorded(LAWS[name], photons, seed))


def test_hot_and_dead_pixels_are_found() -> None:
    image = recorded(LAWS["camera"])
    rng = np.random.default_rng(3)
    places = np.zeros(image.shape, bool)
    places[7::19, 5::23] = True
    image[places] += rng.integers(300, 5000, places.sum()).astype(np.uint16)
    image[60, 60] = 20
    places[60, 60] = True
    found = find_defects(image)
    assert np.array_equal(found.pixels, places)
    assert not found.areas.any()
    assert told([found]).startswith(f"{places.sum()} hot, dead or lost pixels")


@pytest.mark.parametrize("name", LAWS)
@pytest.mark.parametrize("photons", [4, 20, 200])
def test_the_law_knows_noise_and_small_structures(name: str, photons: float) -> None:
    for seed in range(3):
        image = recorded(LAWS[name], photons, seed)
        assert not beyond_law(image, find_defects(image), LAWS[name])


def test_the_law_finds_pixels_that_are_a_little_hot() -> None:
    law, image = LAWS["camera"], recorded(LAWS["camera"]).astype(float)
    places = np.zeros(image.shape, bool)
    places[9::17, 6::21] = True
    light = np.maximum(gaussian_filter(image, 3) - law.offset, 0)
    image[places] += 10 * np.sqrt(law.variance(light))[places]
    first = find_defects(image)
    found = beyond_law(image, first, law).pixels
    assert not (found & ~places).any()
    # 10 standard deviations, give or take one of the noise and those of the neighbours, of which about 8 are enough
    assert found[places].mean() > 0.7
    assert first.pixels[places].mean() < 0.4


def test_faint_hot_pixels_no_longer_move_the_offset() -> None:
    rng = np.random.default_rng(8)
    image = recorded(LAWS["camera"], 40, shape=(160, 171)).astype(float)
    hot = rng.random(image.shape) < 1e-3
    image[hot] += rng.uniform(40, 90, hot.sum())
    with pytest.warns(DataWarning, match="hot, dead or lost pixels"):
        result = prepare(
            [zs.Image(image.round(), "YX", {"Y": 0.065, "X": 0.065})], resolve({"optics": {"na": 1.3, "wavelength_nm": 525.0}})
        )
    assert result.calibration.camera.offset == pytest.approx(100, abs=4 * result.calibration.offset_sigma + 1)


@pytest.mark.parametrize("value", [0, 65535])
def test_borders_masks_and_lost_lines(value: int) -> None:
    image = recorded(LAWS["camera"])
    expected = np.zeros(image.shape, bool)
    expected[:9], expected[:, -14:] = True, True
    lines = np.zeros(image.shape, bool)
    lines[50], lines[:, 30] = True, True
    image[expected | lines] = value
    found = find_defects(image)
    assert np.array_equal(found.areas, expected)
    assert np.array_equal(found.pixels, lines & ~expected)


def test_a_mask_of_any_shape() -> None:
    image = recorded(LAWS["camera"])
    y, x = np.mgrid[: image.shape[0], : image.shape[1]]
    outside = np.hypot(y - 60, x - 65) > 55
    image[outside] = 0
    found = find_defects(image)
    assert (found.all == outside).mean() > 0.999


def test_the_darkness_of_a_counting_or_clipped_image_is_data() -> None:
    dark = recorded(LAWS["counting"], 3)
    dark[:30] = 0
    assert not find_defects(dark).areas.any()
    clipped = recorded(LAWS["camera"]).astype(int) - 104
    assert not find_defects(clipped.clip(0).astype(np.uint8)).areas.any()


def test_what_is_filled_follows_the_law() -> None:
    law = LAWS["camera"]
    mean = np.full((90, 80), 60.0)
    image = law.simulate(torch.from_numpy(mean), 1.0, torch.Generator().manual_seed(5)).numpy() + law.offset
    areas = np.zeros(image.shape, bool)
    areas[:40] = True
    image[areas] = 0
    (whole,), _ = clean([image], law, [Defects(np.zeros_like(areas), areas)])
    new = whole[areas] - law.offset
    assert new.mean() == pytest.approx(60, abs=1.5)
    assert new.var() == pytest.approx(float(law.variance(np.float64(60.0))), rel=0.1)
    assert np.array_equal(whole[~areas], image[~areas].astype(np.float32))


def test_whole_numbers_stay_whole_and_frames_without_defects_are_not_touched() -> None:
    image = recorded(LAWS["camera"])
    assert filled(image, find_defects(image), LAWS["camera"]) is image
    image[3, 4] = 60000
    again = filled(image, find_defects(image), LAWS["camera"])
    assert again.dtype == image.dtype and again[3, 4] < 300
    assert (again != image).sum() == 1


def test_the_known_part_is_the_largest_rectangle() -> None:
    """Against trying all of them."""
    rng = np.random.default_rng(2)
    for _ in range(5):
        areas = rng.random((9, 11)) < 0.15
        best = max(
            (
                (b - a) * (d - c)
                for a in range(9)
                for b in range(a + 1, 10)
                for c in range(11)
                for d in range(c + 1, 12)
                if not areas[a:b, c:d].any()
            ),
            default=0,
        )
        rows, columns = known_part(areas, areas)
        assert not areas[rows, columns].any()
        assert areas[rows, columns].size == best


def test_areas_come_back_without_light() -> None:
    areas = np.zeros((3, 4, 5), bool)
    areas[1, :2] = True
    assert given_back(np.ones((8, 10)), Defects(np.zeros_like(areas), areas)).sum() == 40


def test_a_restoration_leaves_them_out_and_says_so() -> None:
    image = recorded(LAWS["camera"], 60)
    clean_image = image.copy()
    image[:, :20] = 0
    image[40, 60], image[80, 100] = 30000, 9000
    optics = zs.Optics(na=1.3, wavelength_nm=525)
    options: dict[str, Any] = {"steps": 12, "seed": 1}
    spacing = {"Y": 0.065, "X": 0.065}
    with pytest.warns(DataWarning, match=r"2 hot, dead or lost pixels .* and areas without data .* left out"):
        result = zs.restore(zs.Image(image, "YX", spacing), optics, **options)
    reference = zs.restore(zs.Image(clean_image, "YX", spacing), optics, **options)
    assert result.model.camera.offset == pytest.approx(reference.model.camera.offset, abs=2)
    assert result.model.camera.gain == pytest.approx(reference.model.camera.gain, rel=0.15)
    assert not result.denoised.data[:, :20].any() and not result.deconvolved.data[:, :40].any()
    assert result.denoised.data[40, 60] < 200


def test_planes_with_hardly_any_light_are_judged_by_their_whole_stack():
    """Where the dark is clipped a plane may have a single lit pixel: its dark rows are no lost ones."""
    rng = np.random.default_rng(0)
    light = np.zeros((8, 31, 38))
    light[2:6, 10:20, 12:25] = 400
    stack = rng.poisson(light)
    stack[6, 14, 17] = 12
    assert not find_defects(stack).areas.any()
    assert not find_defects(stack).recorded("areas").any()
    lost = rng.poisson(np.full((8, 31, 38), 30.0)) + 100
    lost[4, 7:11] = 0
    assert find_defects(lost).areas.sum() == 4 * 38
