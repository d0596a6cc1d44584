"""Maps of a camera: measured as well as frames allow, never worse than one number for all pixels, and refused where they are wrong."""

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
import torch
import yaml

import zsdeconv as zs
from zsdeconv.camera.calibrate import calibrate
from zsdeconv.camera.defects import find_defects
from zsdeconv.camera.detector import Camera
from zsdeconv.camera.maps import CameraMaps, examined
from zsdeconv.camera.pixelwise import PixelwiseCamera
from zsdeconv.errors import ConfigError, DataWarning, ImageError, OutputError, UserError

SHAPE = (67, 83)
GAIN = 1.4


class Sensor:
    """Pixels with an offset, a gain and a read noise each (ADU); `hot` ones are bright and noisy."""

    def __init__(self, seed: int = 0, *, dsnu: float = 3.0, prnu: float = 0.04, spread: float = 0.35, hot: int = 7) -> None:
        self.rng = np.random.default_rng(seed)
        self.offset = self.rng.normal(100, dsnu, SHAPE)
        self.gain = GAIN * self.rng.normal(1, prnu, SHAPE)
        self.read = 2.0 * self.rng.lognormal(0, spread, SHAPE)
        self.hot = np.zeros(SHAPE, bool)
        self.hot.flat[self.rng.permutation(self.hot.size)[:hot]] = True
        self.offset[self.hot] += 90
        self.read[self.hot] *= 8

    def record(self, photons: Any, frames: int) -> np.ndarray:
        shape = (frames, *SHAPE)
        counts = self.gain * self.rng.poisson(np.broadcast_to(photons, shape)) + self.rng.normal(self.offset, self.read, shape)
        return counts.round().clip(0, 65535).astype(np.uint16)

    def maps(self, dark: int = 40, flat: int = 40, photons: Any = 300.0) -> CameraMaps:
        return CameraMaps.measure(self.record(0.0, dark), self.record(photons, flat))


def light(photons: float) -> np.ndarray:
    """Spots on haze, as wide as a PSF."""
    y, x = np.mgrid[: SHAPE[0], : SHAPE[1]]
    places = [(12, 20), (30, 61), (50, 33), (41, 12), (20, 40)]
    return photons * (0.1 + np.sum([np.exp(-((y - j) ** 2 + (x - i) ** 2) / 8) for j, i in places], 0))


def rms(values: np.ndarray) -> float:
    return float(np.sqrt(np.mean(values**2)))


@pytest.mark.parametrize("frames", [2, 4, 16, 80])
def test_maps_are_better_than_frames_alone_and_than_one_number(frames: int) -> None:
    sensor = Sensor()
    dark, flat = sensor.record(0.0, frames), sensor.record(300.0, frames)
    maps, good = CameraMaps.measure(dark, flat), ~sensor.hot
    good &= ~maps.bad
    errors = [rms((each - sensor.offset)[good]) for each in (maps.offset, dark.mean(0), np.full(SHAPE, np.median(dark)))]
    assert errors[0] < 1.01 * min(errors[1:])
    truth = sensor.gain / sensor.gain[good].mean()
    found = maps.gain / maps.law.gain
    alone = (flat.mean(0) - dark.mean(0)) / (flat.mean(0) - dark.mean(0))[good].mean()
    errors = [rms((each - truth)[good]) for each in (found, alone, np.ones(SHAPE))]
    assert errors[0] < 1.01 * min(errors[1:])
    # logarithms, for variances differ by factors; rounding to whole counts adds 1/12
    truth, alone = sensor.read**2 + 1 / 12, np.maximum(dark.var(0, ddof=1), 1 / 12)
    errors = [rms(np.log(each / truth)[good]) for each in (maps.read_variance, alone, np.full(SHAPE, truth[good].mean()))]
    assert errors[0] < 1.02 * min(errors[1:])
    assert maps.law.gain == pytest.approx(GAIN, abs=4 * maps.sigmas[1])
    assert maps.law.read_noise == pytest.approx(rms(sensor.read[good]), rel=0.08)


@pytest.mark.parametrize("frames", [3, 30])
def test_a_sensor_of_equal_pixels_has_no_maps_made_up(frames: int) -> None:
    maps = Sensor(1, dsnu=0, prnu=0, spread=0, hot=0).maps(frames, frames)
    # far below what the mean of the frames alone would scatter by: 2 / sqrt(frames) ADU, and 0.06 / sqrt(frames) of the gain
    assert maps.offset.std() < 0.3 / frames**0.5
    assert maps.gain.std() / maps.law.gain < 0.02 / frames**0.5
    assert np.ptp(maps.read_variance) == 0
    assert not maps.bad.any()


def test_vignetting_is_no_gain_and_levels_may_differ() -> None:
    sensor = Sensor(2)
    y, x = np.mgrid[: SHAPE[0], : SHAPE[1]]
    lamp = 1 - 0.4 * (((y - 20) / 67) ** 2 + ((x - 50) / 83) ** 2)
    flat = np.concatenate([sensor.record(level * lamp, 20) for level in (40.0, 200.0, 600.0)])
    maps = CameraMaps.measure(sensor.record(0.0, 60), flat)
    good = ~(sensor.hot | maps.bad)
    assert maps.law.gain == pytest.approx(GAIN, abs=4 * maps.sigmas[1])
    # 20 (40 + 200 + 600) electrons give 0.8 %; the lamp alone varies by 8 %
    assert rms((maps.gain / sensor.gain)[good] / (maps.gain / sensor.gain)[good].mean() - 1) < 0.012


def test_parts_of_a_sensor_that_differ_are_no_faults() -> None:
    sensor = Sensor(16, dsnu=0.5, hot=0)
    sensor.offset[:, 60:] += 15
    sensor.read[:, 60:] *= 4
    maps = sensor.maps(10, 10)
    assert maps.bad.mean() < 0.01
    # means of 10 frames of a read noise of 2.1 and 8.5 ADU scatter by 0.7 and 2.7; the common prior of both parts draws them a little
    # towards each other, the noisy one by 2 of 15 ADU, and their variances as well
    for part, limit in ((np.s_[:, :60], 0.8), (np.s_[:, 60:], 3.5)):
        assert rms((maps.offset - sensor.offset)[part]) < limit
        assert float(np.median(maps.read_variance[part])) == pytest.approx(float(np.median(sensor.read[part] ** 2)), rel=0.35)


def test_hot_dead_and_noisy_pixels_are_left_out_and_others_are_not() -> None:
    sensor = Sensor(3, spread=0.2)
    sensor.gain[30, 41] = 0.02
    maps = sensor.maps()
    expected = sensor.hot.copy()
    expected[30, 41] = True
    assert np.array_equal(maps.bad, expected)
    found = examined([sensor.record(light(30.0), 1)[0]], maps)[1][0]
    assert np.array_equal(found.pixels, expected) and not found.areas.any()


def test_equalised_frames_follow_the_law() -> None:
    """Each pixel by itself: mean and variance over many frames of one scene."""
    sensor = Sensor(4)
    maps, scene = sensor.maps(150, 150), light(40.0)
    many = maps.equalised(sensor.record(scene, 400)) - maps.law.offset
    good = ~maps.bad
    # 400 frames of variance ~ 60 leave 0.4, the maps 0.2 and 0.2 % of the signal
    assert rms((many.mean(0) - GAIN * scene)[good]) < 0.6
    expected = GAIN * GAIN * scene + maps.equal_read_variance
    ratio = (many.var(0, ddof=1) / expected)[good]
    assert ratio.mean() == pytest.approx(1, abs=0.02)
    assert ratio.std() < 1.5 * (2 / 400) ** 0.5 + 0.05  # of a variance from 400 frames, and of the map
    plain = (many.var(0, ddof=1) / (GAIN * GAIN * scene + maps.law.read_variance))[good]
    assert plain.std() > 1.5 * ratio.std(), "one read variance for all pixels fits far worse"


def test_lost_and_saturated_pixels_are_still_known() -> None:
    sensor = Sensor(5, hot=0)
    maps, frame = sensor.maps(), sensor.record(light(50.0), 1)[0]
    frame[:9], frame[40:44, 50:60] = 0, 4095
    equal = maps.equalised(frame)
    assert len(np.unique(equal[40:44, 50:60])) == 1 and (equal == equal.max()).sum() == 40
    areas = find_defects(equal, frame, maps.bad).areas
    assert areas[:9].all() and not areas[9:].any()


def test_files_are_read_as_written(tmp_path: Path) -> None:
    maps = Sensor(6).maps(12, 9)
    written = maps.save(tmp_path / "cam.yaml")
    assert [path.name for path in written] == ["cam_offset.tif", "cam_gain.tif", "cam_read_variance.tif", "cam.yaml"]
    again = CameraMaps.load(tmp_path / "cam.yaml")
    good = ~maps.bad
    for name in ("offset", "gain", "read_variance"):
        assert np.array_equal(getattr(again, name)[good], getattr(maps, name)[good])
    assert np.array_equal(again.bad, maps.bad) and again.frames == (12, 9)
    assert again.law.gain == pytest.approx(maps.law.gain) and again.sigmas == pytest.approx(maps.sigmas, rel=1e-4)
    with pytest.raises(OutputError, match="exists"):
        maps.save(tmp_path / "cam.yaml")
    with pytest.raises(ConfigError, match=r"\.txt, it must be \.yaml"):
        maps.save(tmp_path / "cam.txt")


@pytest.mark.parametrize(
    ("dark", "flat", "message"),
    [
        (40, 0, "dark frames .* are brighter than the flat frames .* swapped"),
        (0, 0, "they need light"),
        (0, 60, None),
    ],
)
def test_swapped_and_unlit_frames_are_told(dark: float, flat: float, message: str | None) -> None:
    sensor = Sensor(7)
    frames = sensor.record(float(dark), 12), sensor.record(float(flat), 12)
    if message is None:
        assert CameraMaps.measure(*frames).law.gain > 0
        return
    frames[0][:] += 1 if dark == 0 and flat == 0 and np.median(frames[0]) < np.median(frames[1]) else 0
    with pytest.raises(ImageError, match=message):
        CameraMaps.measure(*frames)


def test_frames_that_make_no_maps_are_refused() -> None:
    sensor = Sensor(8)
    dark, flat = sensor.record(0.0, 6), sensor.record(200.0, 6)
    for wrong, message in (
        ((dark[:1], flat), "1 dark frame, maps need 2"),
        ((dark, flat[0]), "1 flat frame"),
        ((dark, flat[:, 1:]), "dark frames of 67 x 83 pixels, flat frames of 66 x 83"),
        ((dark, np.minimum(flat, 250)), "6 of 6 flat frames are saturated at 250"),
        ((np.full(dark.shape, np.nan), flat), "NaN"),
    ):
        with pytest.raises(ImageError, match=message):
            CameraMaps.measure(*wrong)


def test_maps_with_impossible_numbers_are_refused() -> None:
    ones = np.ones(SHAPE)
    half = np.arange(ones.size).reshape(SHAPE) % 2 == 0
    for arrays, message in (
        ((100 * ones, np.where(half, 0.0, 1.0), ones), "50 % .* gains that are zero"),
        ((np.where(half, np.nan, 100.0), ones, ones), "offsets that are not finite"),
        ((100 * ones, ones, np.where(half, -1.0, 1.0)), "read variances that are negative"),
        ((100 * ones, ones[1:], ones), "of one size"),
    ):
        with pytest.raises(ImageError, match=message):
            CameraMaps.of(*arrays)
    few = ones.copy()
    few[3, 5] = 0
    assert CameraMaps.of(100 * ones, few, ones).bad.sum() == 1
    with pytest.raises(ImageError, match="frames of 66 x 83 pixels, the camera maps have 67 x 83"):
        CameraMaps.of(100 * ones, few, ones).equalised(np.ones((3, 66, 83)))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"maps": {"offset_adu": "c_offset.tif"}}, "the map gain_adu_per_e is missing"),
        ({"gain_adu_per_e": 0.46}, "gain_adu_per_e 0.46, its map has 1"),
        ({"detector": "emccd"}, "detector 'emccd'"),
        ({"gains": 1}, "unknown key 'gains'"),
        ({"offset_sigma": "small"}, "must be a number"),
        ({"maps": {"offset_adu": "no.tif", "gain_adu_per_e": "no.tif", "read_variance_adu2": "no.tif"}}, r"no\.tif does not exist"),
    ],
)
def test_files_that_hold_no_maps_are_refused(tmp_path: Path, change: dict[str, Any], message: str) -> None:
    path = tmp_path / "c.yaml"
    Sensor(9).maps(4, 4).save(path)
    path.write_text(yaml.safe_dump(yaml.safe_load(path.read_text()) | change))
    with pytest.raises(UserError, match=message):
        CameraMaps.load(path)


@pytest.mark.parametrize(("text", "message"), [("a: [", "not YAML"), ("a: 1", "names no maps"), (None, "No such file")])
def test_no_yaml_of_a_camera(tmp_path: Path, text: str | None, message: str) -> None:
    path = tmp_path / "c.yaml"
    if text is not None:
        path.write_text(text)
    with pytest.raises(ConfigError, match=message):
        CameraMaps.load(path)


def test_an_image_of_another_camera_contradicts_the_maps() -> None:
    sensor, other = Sensor(10, hot=0), Sensor(11, hot=0)
    maps, scene = sensor.maps(), light(120.0)
    own = maps.calibrated(calibrate(maps.equalised(sensor.record(scene, 1))))
    assert own.messages == () and own.camera == maps.law
    other.offset += 300
    told = maps.calibrated(calibrate(maps.equalised(other.record(scene, 1)))).messages
    assert re.search(r"at 4\d\d\S* ADU its noise has 0\.\d+ times the variance of theirs: another camera", told[0])
    image = replace(own, camera=replace(maps.law, offset=400.0), offset_sigma=20.0)
    assert re.search(r"the maps have the offset (99|100)\S* ADU, the image 400 \+- 20: another camera", maps.calibrated(image).messages[0])
    image = replace(own, camera=Camera(100.0, 0.47, 4.0), gain_sigma=0.05, offset_sigma=0.5)
    assert re.search(r"the maps have the gain 1\.4\S* ADU per electron, the image 0\.47 \+- 0\.05", maps.calibrated(image).messages[0])
    assert not maps.calibrated(replace(image, gain_sigma=0.4)).messages, "an image that hardly knows the gain does not contradict it"


@pytest.mark.parametrize("photons", [1.5, 40.0])
def test_pairs_of_pixels_with_their_own_read_noise(photons: float) -> None:
    """Both parts are independent, and have the variance of their pixel over their share of the electrons."""
    variances = torch.tensor([[0.5, 2.0, 9.0]])
    law = PixelwiseCamera.of(Camera(0.0, GAIN, 4.0), variances)
    generator, n = torch.Generator().manual_seed(0), 60_000
    mean = torch.full((n, 3), GAIN * photons)
    y = law.simulate(mean, 1.0, generator)
    expected = GAIN * GAIN * photons + variances[0]
    # a variance of 60 000 values is known to 0.6 %, more of skewed ones
    torch.testing.assert_close(y.var(0), expected, rtol=0.03, atol=0)
    first, second = law.split(y, mean, 0.3, generator)
    torch.testing.assert_close(first.var(0), expected / 0.3, rtol=0.03, atol=0)
    covariance = ((first - first.mean(0)) * (second - second.mean(0))).mean(0)
    assert bool((covariance.abs() < 4 * first.std(0) * second.std(0) / n**0.5 + 0.01 * expected).all())
    part = law.within(slice(0, 1), slice(1, 3)).in_unit(2.0)
    assert part.variance(torch.zeros(1, 2)).tolist() == [[0.5, 2.25]]


def test_a_restoration_uses_and_keeps_the_maps(tmp_path: Path) -> None:
    sensor = Sensor(12)
    sensor.maps().save(tmp_path / "cam.yaml")
    frame = sensor.record(light(60.0), 1)[0]
    image = zs.Image(frame, "YX", {"Y": 0.065, "X": 0.065})
    optics = zs.Optics(na=1.3, wavelength_nm=525)
    options: dict[str, Any] = {"steps": 6, "seed": 1, "passes": 2}
    result = zs.restore(image, optics, camera=str(tmp_path / "cam.yaml"), **options)
    assert result.model.camera.offset == pytest.approx(100, abs=0.3)
    assert result.model.provenance["sources"]["camera"] == "maps cam.yaml from 40 dark and 40 flat frames"
    path = result.model.save(tmp_path / "cell.zsd")
    again = zs.load(path)
    assert np.array_equal(again.predict(image).denoised.data, result.model.predict(image).denoised.data)
    with pytest.raises(ImageError, match="frames of 60 x 83 pixels, the camera maps have 67 x 83"):
        again.predict(frame[:60])
    other = Sensor(13)
    moved = again.with_camera(other.maps())
    # the pattern of one sensor is not that of the other, and its frames become those of the first one's camera
    seen = moved.acquisition.cleaned([other.record(0.0, 1)[0]])[0][0]
    assert float(np.median(seen)) == pytest.approx(again.camera.offset, abs=0.3)
    other.gain *= 2
    with pytest.raises(ConfigError, match=r"gain 2\.\d+ in the camera maps, 1\.\d+ .* in the model"):
        again.with_camera(other.maps())
    with pytest.raises(ConfigError, match=r"background 99\.0 has no effect beside camera maps"):
        zs.train([image], optics, camera=str(tmp_path / "cam.yaml"), background=99.0, steps=2)


def test_an_image_of_another_size_or_camera(tmp_path: Path) -> None:
    sensor, optics = Sensor(14, hot=0), zs.Optics(na=1.3, wavelength_nm=525)
    sensor.maps().save(tmp_path / "cam.yaml")
    frame = sensor.record(light(60.0), 1)[0]
    options: dict[str, Any] = {"camera": str(tmp_path / "cam.yaml"), "pixel_um": 0.065, "steps": 2}
    with pytest.raises(ImageError, match="of the same part of the sensor"):
        zs.train([frame[:, 5:]], optics, **options)
    with pytest.warns(DataWarning, match="the maps have the offset .* the image (3|4)"):
        zs.train([frame + np.uint16(300)], optics, **options)


def test_maps_of_a_sensor_serve_a_part_of_its_frames(tmp_path: Path) -> None:
    sensor = Sensor(15)
    whole = sensor.maps()
    whole.save(tmp_path / "cam.yaml")
    part = whole.cropped("T0:1,Y7:50,X11:")
    assert np.array_equal(part.offset, whole.offset[7:50, 11:], equal_nan=True) and part.bad.shape == (43, 72)
    image = zs.Image(sensor.record(light(60.0), 1)[0], "YX", {"Y": 0.065, "X": 0.065})
    options: dict[str, Any] = {"camera": str(tmp_path / "cam.yaml"), "crop": "Y7:50,X11:", "steps": 2, "passes": 0}
    assert zs.restore(image, zs.Optics(na=1.3, wavelength_nm=525), **options).denoised.data.shape == (43, 72)


def test_maps_of_other_programs(tmp_path: Path) -> None:
    """Three files and their names are enough."""
    sensor = Sensor(15)
    for name, values in (("offset", sensor.offset), ("gain", sensor.gain), ("variance", sensor.read**2)):
        tifffile.imwrite(tmp_path / f"{name}.tif", values.astype(np.float32))
    names = {"offset_adu": "offset.tif", "gain_adu_per_e": "gain.tif", "read_variance_adu2": "variance.tif"}
    (tmp_path / "c.yaml").write_text(yaml.safe_dump({"maps": names}))
    maps = zs.CameraMaps.load(tmp_path / "c.yaml")
    assert maps.bad[sensor.hot].all() and maps.bad.mean() < 0.01
