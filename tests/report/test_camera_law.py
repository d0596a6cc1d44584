"""Whether a camera that breaks an assumption is found, and one that keeps them is left alone."""

import json
from pathlib import Path

import numpy as np
import pytest
import tifffile
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from scipy.ndimage import gaussian_filter, zoom

from zsdeconv import Optics, restore
from zsdeconv.camera import calibrate
from zsdeconv.camera.survey import clip_values
from zsdeconv.errors import DataWarning
from zsdeconv.report.checks.camera_law import CameraCheck, measure, section
from zsdeconv.report.statistics.fixed_pattern import line_pattern, pixel_pattern
from zsdeconv.simulation.widefield import Scene, simulate_2d


def scene(structure: str = "filaments", **options: float) -> np.ndarray:
    return simulate_2d(Scene(structure=structure, **{"size": 180, "photons": 80, "seed": 31} | options)).noisy.data  # pyright: ignore[reportArgumentType]


def checked(frames: np.ndarray) -> CameraCheck:
    """As of a model whose pairs do not account for correlated noise."""
    return measure(frames, calibrate(frames, memory=False))


def checked_counts(counts: np.ndarray) -> CameraCheck:
    return measure(counts, calibrate(counts, detector="counting", memory=False))


def faults(check: CameraCheck) -> dict[str, str]:
    return {finding.name: finding.level for finding in check.findings if finding.level in ("warn", "fail")}


@pytest.mark.parametrize("structure", ["filaments", "vesicles", "network", "puncta"])
def test_a_camera_as_assumed_passes(structure: str) -> None:
    assert faults(checked(scene(structure))) == {}


def test_an_offset_that_haze_hides_is_questioned() -> None:
    """Haze of 300 electrons under structure of 60: an offset in its place would make the same noise within the errors of the image."""
    rng, shape = np.random.default_rng(3), (111, 98)
    light = 300 + 60 * gaussian_filter(rng.random(shape) < 0.01, 2.0, output=float) * 25
    frame = np.rint(0.6 * rng.poisson(light) + rng.normal(100, 2, shape)).astype(np.uint16)
    found = next(f for f in checked(frame).findings if f.name == "offset")
    assert found.level == "warn" and found.value > found.limit and "`background`" in found.message
    with pytest.warns(DataWarning, match="brightness varies too little"):
        page = restore(frame, Optics(na=1.3, wavelength_nm=525), pixel_um=0.065, steps=2, passes=2).report()
    judged = next(f for section in page.sections if section.key == "camera" for f in section.findings if f.name == "offset")
    assert judged.message == found.message, "the report takes the offset of the training, and must know its error"
    given = measure(frame, calibrate(frame, offset=100.0, memory=False))
    assert "offset" not in faults(given)


@pytest.mark.parametrize("factor", [2.0, 1.5])
def test_upsampled_images_are_found(factor: float) -> None:
    """Bicubic interpolation correlates neighbours."""
    for structure in ("filaments", "puncta"):
        small = scene(structure, size=140).astype(float)
        assert faults(checked(np.asarray(zoom(small, factor, order=3))))["correlated noise"] == "fail"


def test_smoothed_images_are_found_and_compared_with_the_limit() -> None:
    finding = next(f for f in checked(np.asarray(gaussian_filter(scene().astype(float), 0.6))).findings if f.name == "correlated noise")
    assert finding.level == "fail" and finding.value > finding.limit == 0.08


def test_correlated_noise_that_pairs_account_for_is_no_fault() -> None:
    frames = np.asarray(gaussian_filter(scene().astype(float), 0.6))
    assert "correlated noise" not in faults(measure(frames, calibrate(frames)))


def test_real_camera_images_are_judged_by_their_noise(shared: Path) -> None:
    """White: two confocal and two wide-field cameras. Interpolated in their making: a scaled confocal stack and an 8-bit colour image."""
    white = [f"bench/real/real-{name}/noisy.tif" for name in ("fmd-confocal-bpae-g", "fmd-confocal-bpae-r", "biosr-actin")]
    for name, correlated in [*((n, False) for n in white), ("realdata/stacks/confocal_nuclear_envelope.tif", True)]:
        data = tifffile.imread(shared / name)
        assert ("correlated noise" in faults(checked(data))) == correlated, name


@pytest.mark.parametrize(("axis", "name"), [(0, "pattern of rows"), (1, "pattern of columns")])
def test_patterns_of_lines_are_measured(axis: int, name: str) -> None:
    plane = scene()
    lines = np.random.default_rng(2).normal(0, 0.8, plane.shape[axis])
    dirty = checked(plane + np.expand_dims(lines, 1 - axis))
    patterns = {fault for fault in faults(dirty) if fault.startswith("pattern")}
    assert patterns == {name}
    found = line_pattern([plane + np.expand_dims(lines, 1 - axis)], axis)
    assert found is not None and found.size == pytest.approx(
        0.8, rel=0.35
    )  # 180 lines of which one in four is independent: 15 %, and noise


def test_patterns_of_pixels_need_frames_that_share_them() -> None:
    movie = simulate_2d(Scene(structure="filaments", size=128, photons=60, frames=12, seed=7)).noisy.data
    pattern = np.random.default_rng(3).normal(0, 1.0, movie.shape[1:])
    assert faults(checked(movie)) == {}
    assert faults(checked(movie + pattern)) == {"pattern of pixels": "warn"}
    assert pixel_pattern(list(movie[:3]), 0.35) is None and pixel_pattern(list(movie), 0.5) is None


def test_clipped_pixels_are_counted() -> None:
    plane = scene()
    top, bottom = np.minimum(plane, 150), np.maximum(plane, 101)
    assert faults(checked(top))["saturation"] in ("warn", "fail")
    assert next(f.value for f in checked(top).findings if f.name == "saturation") == pytest.approx((top == 150).mean())
    assert faults(checked(bottom))["floor"] == "warn"


def test_implausible_constants_are_found() -> None:
    plane = scene()
    too_high = measure([plane], calibrate(plane, offset=112.0))
    assert faults(too_high)["offset"] == "fail" and too_high.below_offset > 0.2
    assert faults(measure([plane], calibrate(plane, offset=0.0)))["offset"] == "fail"
    rng = np.random.default_rng(4)
    dark = checked(rng.normal(100, 3, (128, 128)))
    assert "gain" in faults(dark)
    bent = checked((plane - 85.0).clip(1) ** 3)  # noise that grows with the fifth power of the light
    assert "noise law" in faults(bent)


def test_the_section_draws_the_law_over_the_data() -> None:
    check = checked(scene())
    judged = section(check)
    assert judged.level == "ok"
    json.dumps(judged.to_dict(), allow_nan=False)
    figure = Figure(figsize=judged.figures[0].size_in)
    FigureCanvasAgg(figure)
    judged.figures[0].draw(figure)
    figure.canvas.draw()
    assert "ADU" in figure.axes[0].get_xlabel() and len(figure.axes[0].lines) >= 2


def test_planes_of_any_arrangement_are_taken() -> None:
    plane = scene(size=100)
    calibration = calibrate(plane)
    one = measure([plane], calibration)
    assert one.to_dict() == measure(plane, calibration).to_dict()
    assert measure([np.stack([plane] * 2), plane, plane[:50]], calibration).patterns["rows"] == pytest.approx(one.patterns["rows"])


def level_of(check: CameraCheck, name: str) -> str:
    return next(finding.level for finding in check.findings if finding.name == name)


def test_a_given_offset_that_no_place_reaches_is_not_called_good() -> None:
    """Haze of 20 ADU has the same effect, and read noise below that of any camera is told."""
    rng, shape = np.random.default_rng(5), (160, 144)
    light = 600 * gaussian_filter(rng.random(shape) < 0.004, 2.0, output=float)
    frame = np.rint(2.0 * rng.poisson(light) + rng.normal(100, 5, shape)).astype(np.uint16)
    right, low, lowest = (measure([frame], calibrate(frame, offset=offset)) for offset in (100.0, 93.0, 87.5))
    assert (level_of(right, "offset"), level_of(right, "read noise")) == ("ok", "ok")
    assert level_of(low, "offset") == "not_checked" and level_of(lowest, "read noise") != "ok"
    told = next(f for f in low.findings if f.name == "offset")
    assert told.value > told.limit and "no place is as dark" in told.message


def test_a_pattern_that_a_small_image_would_not_show_is_not_called_absent() -> None:
    rng = np.random.default_rng(1)
    for side, level in ((64, "not_checked"), (256, "ok")):
        light = np.where(np.arange(side) < 0.6 * side, 0.0, 25.0) * np.ones((side, 1))
        frame = rng.poisson(light) + rng.normal(100, 2, light.shape)
        assert level_of(measure([frame], calibrate(frame)), "pattern of rows") == level


def test_a_law_whose_slope_is_unknown_is_not_called_kept() -> None:
    """An even field has one brightness, to which any line fits."""
    rng = np.random.default_rng(2)
    light = np.linspace(98, 102, 128)[:, None] * np.ones(120)
    even = measure([frame := rng.poisson(light) + rng.normal(100, 2, light.shape)], calibration := calibrate(frame))
    assert calibration.gain_sigma > 0.3 * calibration.camera.gain and level_of(even, "noise law") == "not_checked"
    assert level_of(checked(scene()), "noise law") == "ok"


def test_counts_of_single_photons_have_a_usual_noise() -> None:
    """More than half of the pixels are empty: in units of their noise, which is none, a pattern would be infinite."""
    counts = np.random.default_rng(3).poisson(simulate_2d(Scene(size=180, photons=3, structure="puncta", seed=31)).clean.data / 30)
    check = checked_counts(counts.astype(np.uint16))
    assert np.median(counts) == 0
    sizes = [size for name, size in check.patterns.items() if name != "pixels" and size is not None]
    assert len(sizes) == 2 and max(sizes) < 1


def test_few_photons_are_not_called_correlated() -> None:
    """Their noise scatters more from tile to tile than normal noise, whose law its error followed."""
    told = []
    for seed in range(12):
        light = simulate_2d(Scene(size=112, photons=10, structure="vesicles", seed=seed)).clean.data
        counts = np.random.default_rng(seed).poisson(np.maximum(light, 0) / light.max() * 3).astype(np.uint16)
        told += [f.level for f in checked_counts(counts).findings if f.name == "correlated noise"]
    assert told == ["ok"] * 12


def test_clipped_pixels_are_found_beside_coarse_steps() -> None:
    """A fifth of the noise a grey value: the value below the clipped one has half as many pixels; at its end, noise has fewer and fewer."""
    frame = np.rint(np.random.default_rng(2).normal(100, 5, (1, 120, 140))).astype(np.uint16)
    assert clip_values(frame) == (-np.inf, np.inf)
    clipped = np.minimum(frame, 110).astype(np.uint16)
    beside, top = np.unique(clipped, return_counts=True)[1][-2:]
    assert beside < top < 3 * beside and clip_values(clipped) == (-np.inf, 110.0)


def test_a_display_curve_is_told_by_its_law_or_by_its_read_noise() -> None:
    """A square root makes the noise the same at all brightnesses: as of a camera with more read noise than any."""
    for structure in ("filaments", "vesicles", "network"):
        y = scene(structure).astype(float)
        shown = (255 * np.clip((y - y.min()) / np.ptp(y), 0, 1) ** 0.45).round().astype(np.uint8)
        assert {"read noise", "noise law"} & set(faults(checked(shown))), structure


def test_more_read_noise_than_light_is_told() -> None:
    """The brightest pixel is noise, and may not stand for the light."""
    rng = np.random.default_rng(4)
    light = scene("network", photons=1.0).astype(float) - 100
    frame = np.rint(rng.normal(100, 12, light.shape) + 0.2 * np.maximum(light, 0)).astype(np.uint16)
    assert faults(checked(frame)).get("read noise") == "warn"
