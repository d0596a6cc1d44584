"""Offsets of lines: found where they are, removed, and no fibre taken for one."""

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from zsdeconv.camera import Camera, calibrate
from zsdeconv.camera.defects import clean
from zsdeconv.camera.lines import NO_LINES, LineOffsets, find_lines

SHAPE = (181, 220)


def sample(rng: np.random.Generator, shape: tuple[int, int] = SHAPE) -> np.ndarray:
    """Structures of many sizes, with nothing beyond 0.35 cycles per pixel."""
    return 20 + 60 * gaussian_filter(rng.normal(size=shape), 1.5).clip(0) * 3 + 10 * gaussian_filter(rng.normal(size=shape), 8) * 25


def exposed(photons: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    return rng.poisson(photons.clip(0)) + rng.normal(100, 3, photons.shape)


@pytest.mark.parametrize("axis", [0, 1])
@pytest.mark.parametrize(("sigma", "most"), [(1.5, 0.95), (6.0, 0.5)])
def test_offsets_are_found_and_removed(axis: int, sigma: float, most: float) -> None:
    """Of small offsets among bright structures most stay, for the structures shall."""
    rng = np.random.default_rng([axis, int(10 * sigma)])
    pure = exposed(sample(rng), rng)
    offsets = rng.normal(0, sigma, SHAPE[axis])
    found = find_lines([pure + np.expand_dims(offsets, 1 - axis)])
    size, other = (found.rows, found.columns)[:: 1 if axis == 0 else -1]
    assert size == pytest.approx(sigma, rel=0.35) and other == 0  # of 180 lines one in four is independent, by median deviations
    left = (found.removed(pure + np.expand_dims(offsets, 1 - axis)) - pure).mean(1 - axis)
    assert left.std() < most * offsets.std()


@pytest.mark.parametrize("seed", range(12))
def test_structures_without_offsets_have_none(seed: int) -> None:
    rng = np.random.default_rng(seed)
    photons = sample(rng)
    if seed % 3 == 0:
        photons = photons + 300 * np.exp(-((np.arange(SHAPE[0])[:, None] - 80.3) ** 2) / 5)  # a fibre along all of the image
    if seed % 3 == 1:
        photons = photons + 60 * (1 + np.cos(2 * np.pi * np.arange(SHAPE[1]) / (3.1 + 0.3 * seed)))  # fringes
    assert find_lines([exposed(photons, rng)]) == NO_LINES


@pytest.mark.parametrize("length", [SHAPE[1], SHAPE[1] // 2])
@pytest.mark.parametrize("brightness", [40.0, 120.0])
def test_a_horizontal_fibre_stays(length: int, brightness: float) -> None:
    rng = np.random.default_rng(int(brightness) + length)
    fibre = brightness * np.exp(-((np.arange(SHAPE[0]) - 80.3) ** 2) / (2 * 1.6**2))[:, None] * (np.arange(SHAPE[1]) < length)
    offsets = rng.normal(0, 3, SHAPE[0])[:, None]
    pure = exposed(30 + fibre, rng)
    found = find_lines([pure + offsets])
    assert found.rows > 0
    changed = (found.removed(pure + offsets) - pure)[76:86]
    # within the offsets that were there, not the fibre
    assert abs(float(changed[:, :length].mean())) < 3.0 and float(np.abs(changed.mean(1)).max()) < 11.0


def test_each_frame_has_its_own_and_the_sample_stays() -> None:
    rng = np.random.default_rng(9)
    photons = sample(rng)
    frames = np.stack([exposed(photons, rng) + rng.normal(0, 4, (SHAPE[0], 1)) for _ in range(3)])
    found = find_lines(list(frames))
    restored, _ = clean([frames], Camera(100.0, 1.0, 9.0, lines=found))
    assert restored[0].shape == frames.shape and restored[0].dtype == np.float32
    rows = (restored[0] - photons - 100).mean(2)
    assert rows.std(1).max() < 0.5 * 4
    assert float(restored[0].mean()) == pytest.approx(float(frames.mean()), abs=0.2)


def test_without_offsets_a_frame_is_the_same_object() -> None:
    frame = np.arange(6000, dtype=np.uint16).reshape(60, 100)
    assert NO_LINES.removed(frame) is frame
    assert LineOffsets(rows=2.0).removed(frame[:20]) is not None  # too few lines to tell them from structure
    assert find_lines([frame[:20].astype(float)]) == NO_LINES


def test_a_calibration_measures_offsets_and_is_not_misled_by_them() -> None:
    rng = np.random.default_rng(10)
    y = exposed(sample(rng), rng) + rng.normal(0, 2, (SHAPE[0], 1))
    found = calibrate(y)
    assert found.camera.lines.rows == pytest.approx(2.0, rel=0.35) and not found.correlated
    assert any("rows have offsets of" in message for message in found.messages)
    assert found.camera.gain == pytest.approx(1.0, rel=0.15)
    assert calibrate(y, memory=False).camera.lines == NO_LINES


def test_offsets_do_not_hide_saturation() -> None:
    rng = np.random.default_rng(11)
    y = (exposed(sample(rng), rng) + rng.normal(0, 4, (SHAPE[0], 1))).clip(0, 160).round()
    found = calibrate(y.astype(np.uint16))
    assert found.camera.lines and found.saturated_fraction == pytest.approx((y == 160).mean())
