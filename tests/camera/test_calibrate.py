import json
import os
import subprocess
import sys

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter, uniform_filter, zoom

from zsdeconv.camera import Calibration, calibrate, plot_calibration
from zsdeconv.camera.highpass import filters
from zsdeconv.camera.levels import collect
from zsdeconv.errors import ConfigError, ImageError


def optical(shape: tuple[int, int], rng: np.random.Generator, peak: float, haze: float = 0.0) -> np.ndarray:
    """Curved lines and dots blurred like a well-sampled microscope (nothing beyond 0.35 cycles per pixel), photons."""
    y, x = np.mgrid[: shape[0], : shape[1]].astype(float)
    lines = sum(
        np.exp(-((y - c - a * np.sin(x / w)) ** 2) / 2) for c, a, w in zip(*rng.uniform(1, 40, (3, 6)) * [[6], [1], [1]], strict=True)
    )
    dots = (rng.random(shape) < 0.001) * 12.0
    image = gaussian_filter(lines + dots, 1.5)
    return peak * (image / np.percentile(image, 99.8) + haze)


def camera(photons: np.ndarray, rng: np.random.Generator, gain: float = 1.0, read: float = 2.0, offset: float = 100.0) -> np.ndarray:
    adu = gain * rng.poisson(photons) + rng.normal(offset, read, photons.shape)
    return adu.round().clip(0, 65535).astype(np.uint16)


def check(found: Calibration, gain: float, read: float, offset: float, offset_limit: float) -> None:
    assert found.camera.gain == pytest.approx(gain, rel=0.10)
    assert found.camera.offset == pytest.approx(offset, abs=offset_limit)
    assert found.camera.read_noise == pytest.approx(read, rel=0.25)
    # the truth lies within a few of the stated errors, and these are not empty words
    assert abs(found.camera.gain - gain) < 4.5 * found.gain_sigma < gain


# limits of accuracy are those asked of the method: gain 10 %, offset 1 ADU (or half a read noise), read noise 25 %
@pytest.mark.parametrize(
    ("peak", "gain", "read", "offset"),
    [(15, 1.0, 2.0, 100), (60, 1.0, 2.0, 100), (60, 0.46, 1.6, 100), (60, 5.0, 8.0, 400), (200, 2.0, 20.0, 2000), (60, 20.0, 20.0, 500)],
)
def test_one_structured_image_gives_the_camera(peak: float, gain: float, read: float, offset: float) -> None:
    rng = np.random.default_rng([int(peak), int(10 * gain)])
    found = calibrate(camera(optical((243, 278), rng, peak), rng, gain, read, offset))
    check(found, gain, read, offset, max(1.0, 0.5 * read))
    assert not found.correlated and not found.messages


@pytest.mark.parametrize("seed", [11, 12])
def test_structure_does_not_bias_the_fit(seed: int) -> None:
    rng = np.random.default_rng(seed)
    photons = optical((256, 256), rng, 60.0)
    found = [calibrate(camera(photons, rng), cutoff_per_px=0.336).camera for _ in range(8)]
    # one image has an error of 1.5 % and 0.15 ADU; the mean of eight a third of it, times three
    assert np.mean([c.gain for c in found]) == pytest.approx(1.0, abs=0.02)
    assert np.mean([c.offset for c in found]) == pytest.approx(100.0, abs=0.25)


def test_groups_are_blind_to_the_noise_they_average() -> None:
    """On an even field every group must show the same variance and third moment, however extreme its guide."""
    y = np.random.default_rng(0).poisson(6.0, (700, 700)).astype(np.float32)
    levels = collect([y], filters(0.3), -np.inf, np.inf)
    pull = (levels.variance - 6.0) / levels.variance_sigma
    # Poisson kurtosis widens the Gaussian error a little; 40 groups stay within four of them
    assert np.abs(pull).max() < 4.5
    assert np.average(levels.third, weights=levels.count) == pytest.approx(6.0, abs=0.5)


def test_errors_are_honest_where_all_of_the_sample_lies_in_haze() -> None:
    """The dark shows no offset there, and numbers from 0 on with a gain near 1 are no photons that were counted."""
    held, kinds = 0, set()
    for seed in range(20):
        rng = np.random.default_rng(seed)
        gain, offset = rng.uniform(0.4, 2), rng.uniform(50, 300)
        photons = optical((128, 139), rng, rng.uniform(20, 200), haze=rng.uniform(1, 6))
        found = calibrate(camera(photons, rng, gain, gain * rng.uniform(1, 4), offset))
        held += abs(found.camera.offset - offset) < 1.96 * found.offset_sigma
        kinds.add(found.camera.kind)
    # 84 % of 50 other images of this kind, in which the read noise is least and all light is haze, hold: of 20, 13 or more in 99 % of sets
    assert kinds == {"camera"} and held >= 13


def test_it_follows_any_rescaling_of_the_data() -> None:
    rng = np.random.default_rng(7)
    y = camera(optical((180, 201), rng, 60), rng).astype(np.float64)
    one, other = calibrate(y), calibrate(0.37 * y - 250.0)
    # single precision inside, and grouping by sampled quantiles
    assert other.camera.gain == pytest.approx(0.37 * one.camera.gain, rel=2e-3)
    assert other.camera.offset == pytest.approx(0.37 * one.camera.offset - 250, abs=0.02)
    assert other.camera.read_noise == pytest.approx(0.37 * one.camera.read_noise, rel=5e-3)


def test_frames_are_pooled_without_assuming_a_still_scene() -> None:
    rng = np.random.default_rng(9)
    frames = np.stack([camera(optical((150, 170), rng, 40) * f, rng) for f in (1.0, 0.7, 0.4)])
    found = calibrate(frames)
    check(found, 1.0, 2.0, 100, 1.0)
    assert found.gain_sigma < calibrate(frames[1]).gain_sigma


def test_a_given_offset_is_kept_exactly() -> None:
    rng = np.random.default_rng(3)
    found = calibrate(camera(optical((160, 160), rng, 60), rng), offset=98.25)
    assert found.camera.offset == 98.25 and found.offset_sigma == 0
    # the line at 98.25: 4.08 - 1.75 ADU^2, its error about 0.3
    assert found.camera.read_variance == pytest.approx(2.33, abs=0.8)


@pytest.mark.parametrize(("offset", "why"), [(0.0, "negative"), (80.0, "negative"), (125.0, "darker than without light")])
def test_a_given_offset_that_the_noise_contradicts_is_told_with_that_of_the_noise(offset: float, why: str) -> None:
    rng = np.random.default_rng(3)
    image = camera(optical((160, 160), rng, 60), rng)
    found = calibrate(image, offset=offset)
    assert found.camera.offset == offset
    assert found.contradiction in found.messages and why in found.contradiction
    # the offset is known to 0.3 ADU, three of them
    named = float(found.contradiction.split("the offset is ")[1].split(" ")[0])
    assert f"background {offset:g} ADU" in found.contradiction and abs(named - 100) < 1
    assert not calibrate(image).contradiction and not calibrate(image, offset=100.5).contradiction


def test_impossible_read_noise_is_bounded() -> None:
    rng = np.random.default_rng(3)
    found = calibrate(camera(optical((160, 160), rng, 60), rng), offset=80.0)
    assert found.camera.read_variance == pytest.approx(1 / 12)


def test_saturated_pixels_are_reported_and_do_not_bias() -> None:
    rng = np.random.default_rng(5)
    y = np.minimum(camera(optical((256, 256), rng, 60), rng), 140)
    found = calibrate(y)
    assert found.saturated_fraction == pytest.approx((y == 140).mean())
    assert any("saturated" in m for m in found.messages)
    check(found, 1.0, 2.0, 100, 1.0)


def test_clipping_at_zero_is_reported() -> None:
    rng = np.random.default_rng(5)
    found = calibrate(camera(optical((200, 200), rng, 60), rng, offset=0.0))
    assert found.floor_fraction > 0.1
    assert any("lowest value" in m for m in found.messages)
    assert np.isfinite(found.camera.gain)


def jpeg(y: np.ndarray) -> np.ndarray:
    imagecodecs = pytest.importorskip("imagecodecs")
    return imagecodecs.jpeg_decode(imagecodecs.jpeg_encode(y.clip(0, 255).astype(np.uint8), level=85)).astype(float)


@pytest.mark.parametrize("damage", [lambda y: zoom(y.astype(float), 2, order=3), lambda y: uniform_filter(y.astype(float), 3), jpeg])
@pytest.mark.parametrize("peak", [15, 60])
def test_correlated_noise_is_noticed(damage, peak: float) -> None:
    rng = np.random.default_rng(int(peak))
    y = camera(optical((192, 224), rng, peak), rng)
    clean, damaged = calibrate(y), calibrate(damage(y))
    assert not clean.correlated
    assert damaged.correlated and any("correlated by" in m and "raw data" in m for m in damaged.messages)


def test_bright_structure_is_not_taken_for_correlated_noise() -> None:
    rng = np.random.default_rng(2)
    assert not calibrate(camera(optical((256, 256), rng, 5000, haze=0.1), rng)).correlated


@pytest.mark.parametrize("photons", [0.0, 30.0, 20_000.0])
@pytest.mark.parametrize("side", [32, 150])
def test_frames_without_structure_give_finite_answers(photons: float, side: int) -> None:
    rng = np.random.default_rng(side)
    found = calibrate(camera(np.full((side, side + 3), photons), rng))
    values = [
        found.camera.offset,
        found.camera.gain,
        found.camera.read_variance,
        found.offset_sigma,
        found.gain_sigma,
        found.read_noise_sigma,
    ]
    assert np.isfinite(values).all() and found.camera.gain > 0
    assert any("dark and flat frames" in m for m in found.messages)
    # whatever split is chosen, the law must give the noise that is there
    typical = found.camera.variance(np.asarray(max(photons + 100 - found.camera.offset, 0.0)))
    assert typical == pytest.approx(photons + 4.08, rel=0.35)


def test_dark_frames_fix_offset_and_read_noise_whatever_their_pattern() -> None:
    rng = np.random.default_rng(1)
    pattern = rng.normal(0, 5, (40, 50))
    dark = rng.normal(100 + pattern, 2.0, (40, 40, 50))
    found = calibrate(camera(optical((200, 150), rng, 60), rng), dark=dark)
    assert found.camera.offset == pytest.approx(100 + pattern.mean(), abs=0.05)
    assert found.camera.read_noise == pytest.approx(2.0, rel=0.02)
    assert found.camera.gain == pytest.approx(1.0, rel=0.08)


def test_dark_and_flat_frames_give_everything() -> None:
    rng = np.random.default_rng(1)
    lamp = 400 * (1 + 0.3 * np.linspace(-1, 1, 60))[:, None] * np.ones(70)
    flat = np.stack([camera(lamp * f, rng, gain=2.2, read=3, offset=200) for f in (1, 1.02, 0.99, 1)])
    dark = np.stack([camera(0 * lamp, rng, gain=2.2, read=3, offset=200) for _ in range(10)])
    found = calibrate(camera(optical((64, 64), rng, 20), rng, 2.2, 3, 200), dark=dark, flat=flat)
    assert found.camera.gain == pytest.approx(2.2, rel=0.04)  # 12 600 differences: 1.3 %, three of them
    assert found.camera.offset == pytest.approx(200, abs=0.1)
    assert abs(found.camera.gain - 2.2) < 4 * found.gain_sigma < 0.3


def test_one_dark_frame_serves_and_one_flat_frame_does_not() -> None:
    rng = np.random.default_rng(1)
    y = camera(optical((96, 96), rng, 60), rng)
    assert calibrate(y, dark=camera(np.zeros((96, 96)), rng)).camera.read_noise == pytest.approx(2.02, rel=0.05)
    with pytest.raises(ImageError, match="at least 2; give flat"):
        calibrate(y, flat=y)


@pytest.mark.parametrize(
    ("frames", "word"),
    [
        (np.full((40, 40), 7, np.uint16), "constant"),
        (np.ones((4, 40)), "limit is 16"),
        (np.ones((40, 40)) * 1j, "complex"),
        (np.where(np.eye(40) > 0, np.nan, 1.0), "40 NaN"),
        (np.ones((2, 2, 40, 40)), "give axes"),
    ],
)
def test_useless_frames_are_refused_in_one_line(frames: np.ndarray, word: str) -> None:
    with pytest.raises(ImageError, match=word) as caught:
        calibrate(frames)
    assert "\n" not in str(caught.value)


def test_impossible_options_are_refused() -> None:
    y = np.random.default_rng(0).normal(size=(40, 40))
    with pytest.raises(ConfigError, match="give background"):
        calibrate(y, offset=float("nan"))
    with pytest.raises(ConfigError, match="check na"):
        calibrate(y, cutoff_per_px=0.0)


def test_result_is_json_and_a_picture(tmp_path) -> None:
    rng = np.random.default_rng(0)
    found = calibrate(camera(optical((128, 128), rng, 60), rng))
    told = json.loads(json.dumps(found.to_dict(), allow_nan=False))
    assert told["gain_adu_per_e"] == found.camera.gain and len(told["signal"]) == len(told["variance"]) > 5
    plot_calibration(found, tmp_path / "fit.png")
    assert (tmp_path / "fit.png").stat().st_size > 10_000


def test_importing_the_module_is_light() -> None:
    code = "import sys, zsdeconv.camera; print([m for m in ('matplotlib', 'scipy.signal', 'scipy.ndimage') if m in sys.modules])"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env=dict(os.environ, PYTHONPATH=os.pathsep.join(sys.path))
    )
    assert done.stdout.strip() == "[]"
