"""Simulated raw frames obey the physics they state: beams that interfere, a known object, one seed one image."""

import dataclasses
import hashlib

import numpy as np
import pytest
import tifffile
import yaml
from scipy.signal import convolve2d, fftconvolve

from zsdeconv import io
from zsdeconv.errors import ConfigError, OpticsError
from zsdeconv.physics.psf import Psf
from zsdeconv.physics.psf_theory import theoretical_psf
from zsdeconv.simulation.scenes import Scene
from zsdeconv.simulation.structured import SimScene, SimStackScene, simulate_sim2d, simulate_sim3d
from zsdeconv.simulation.structures import STRUCTURES, Emitters
from zsdeconv.simulation.widefield import settings, simulate_2d, write_simulation

SMALL = SimScene(size=48, photons=40.0, period_um=0.23, angle_deg=-31.0, seed=5)
STACK = SimStackScene(size=32, planes=3, photons=40.0, period_um=0.21, angle_deg=41.0, seed=5)


@pytest.fixture(scope="module")
def simulation():
    return simulate_sim2d(SMALL)


@pytest.fixture(scope="module")
def stack():
    return simulate_sim3d(STACK)


def lopsided(shape, spacing_um):
    """A PSF that looks different from every side."""
    places = np.meshgrid(*(np.arange(n) - n // 2 for n in shape), indexing="ij")
    core = np.exp(-np.sum([p**2 / w for p, w in zip(places, (1.5, 4.0, 6.0)[-len(shape) :], strict=True)], 0))
    values = core + 0.05 * np.random.default_rng(3).random(shape)
    return Psf(values / values.sum(), spacing_um, "lopsided")


def places_um(scene):
    """y and x of the samples of the fine grid, from the centre of the first raw pixel, which is the first of them."""
    along = np.arange(2 * scene.size) * scene.fine_um
    return along[:, None], along[None, :]


def pixels(x):
    """Raw pixels, each as wide as two fine ones and centred on one: the mean over it, half of each neighbour and all of its own."""
    world = np.pad(x, 1, mode="edge")
    weights = np.outer([1, 2, 1], [1, 2, 1]) / 16
    return convolve2d(world, weights, mode="valid")[::2, ::2]


def light(scene, direction, phase):
    """The pattern of one raw frame on the fine grid, two beams."""
    (p_y, p_x), (y, x) = scene.p_per_um[direction], places_um(scene)
    turn = 2 * np.pi * (p_y * y + p_x * x) + scene.phase_rad[direction] + 2 * np.pi * phase / scene.phases
    return 1 + scene.modulation * np.cos(turn)


def beams(scene, direction, phase, z_um):
    """Intensity of three plane waves of equal strength, mean 1, at the height `z_um` over the focal plane."""
    (p_y, p_x), (y, x) = scene.p_per_um[direction], places_um(scene)
    across = 2 * np.pi * (p_y * y + p_x * x) + scene.phase_rad[direction] + 2 * np.pi * phase / scene.phases
    k = scene.optics.ri / scene.excitation_um
    along = 2 * np.pi * z_um * np.sqrt(k**2 - p_y**2 - p_x**2)
    field = np.exp(2j * np.pi * k * z_um) + np.exp(1j * (along + across)) + np.exp(1j * (along - across))
    return np.abs(field) ** 2 / 3


def test_grids_and_units(simulation, stack):
    assert simulation.noisy.sizes == {"P": 9, "Y": 48, "X": 48}
    assert simulation.clean.sizes == {"Y": 48, "X": 48}
    assert simulation.truth.sizes == {"Y": 96, "X": 96}
    assert stack.noisy.sizes == {"Z": 3, "P": 15, "Y": 32, "X": 32}
    assert stack.clean.sizes == {"Z": 3, "Y": 32, "X": 32}
    assert stack.truth.sizes == {"Z": 3, "Y": 64, "X": 64}
    for made in (simulation, stack):
        assert made.noisy.data.dtype == np.uint16
        assert (made.noisy.offset, made.clean.offset, made.truth.offset) == (100, 0, 0)
        assert made.noisy.spacing_um == made.clean.spacing_um
        assert made.noisy.spacing_um["X"] == pytest.approx(2 * made.truth.spacing_um["X"])
    assert stack.noisy.spacing_um == {"Z": 0.125, "Y": 0.08, "X": 0.08}


@pytest.mark.parametrize(
    ("directions", "phases", "order"), [(3, 3, "direction-phase"), (2, 5, "phase-direction"), (1, 4, "direction-phase")]
)
def test_the_pattern_multiplies_the_object_before_the_blur(simulation, directions, phases, order):
    """Each frame is the object times its pattern, through lens and pixels, done in real space; in the order of the file."""
    scene = dataclasses.replace(SMALL, directions=directions, phases=phases, order=order)
    psf, x = lopsided((9, 13), scene.spacing_um), simulation.truth.data
    raw = scene.record(x, psf)
    frames = [(d, i) for d in range(directions) for i in range(phases)]
    if order == "phase-direction":
        frames = [(d, i) for i in range(phases) for d in range(directions)]
    expected = np.stack([pixels(convolve2d(x * light(scene, d, i), psf.values, mode="same")) for d, i in frames])
    assert raw == pytest.approx(expected, abs=1e-9 * expected.max())  # FFT rounding


def test_three_beams_interfere_at_the_focal_plane():
    """The pattern of three plane waves stays with the focal plane while the sample is stepped through it."""
    scene = dataclasses.replace(STACK, directions=1, modulation=1.0)
    psf = lopsided((7, 9, 13), scene.spacing_um)
    context = scene.context_planes(psf)
    x = np.random.default_rng(4).random((3 + 2 * context, 64, 64)) ** 8
    raw = scene.record(x, psf)
    for plane in range(3):
        for phase in range(5):
            expected = np.zeros((64, 64))
            for from_focus in range(-3, 4):
                excited = x[context + plane + from_focus] * beams(scene, 0, phase, from_focus * scene.z_um)
                expected += fftconvolve(excited, psf.values[3 - from_focus], mode="same")
            assert raw[plane, phase] == pytest.approx(pixels(expected), abs=1e-9 * raw.max())  # FFT rounding


def test_the_mean_over_phases_is_the_wide_field_image(simulation):
    x, psf = simulation.truth.data, simulation.psf
    wide = pixels(fftconvolve(x, psf.values, mode="same")).clip(0)
    by_phase = SMALL.record(x, psf).reshape(3, 3, 48, 48)
    for direction in by_phase:
        assert direction.mean(0) == pytest.approx(wide, abs=1e-9 * wide.max())
    assert simulation.clean.data == pytest.approx(wide, abs=1e-9 * wide.max())


def test_the_mean_over_phases_is_the_wide_field_stack():
    psf = lopsided((5, 9, 13), STACK.spacing_um)
    x = np.random.default_rng(4).random((3 + 2 * STACK.context_planes(psf), 64, 64)) ** 8
    context = STACK.context_planes(psf)
    wide = np.stack([pixels(plane) for plane in fftconvolve(x, psf.values, mode="same")[context:-context]])
    by_phase = STACK.record(x, psf).reshape(3, 3, 5, 32, 32)
    assert by_phase.mean(2) == pytest.approx(np.repeat(wide[:, None], 3, 1), abs=1e-9 * wide.max())


def test_a_uniform_field_shows_the_pattern_that_the_settings_state():
    """Wave vector, phase and modulation, measured away from the borders; lens and pixel weaken the modulation."""
    scene = dataclasses.replace(SMALL, size=96, period_um=0.29)
    psf = theoretical_psf(scene.optics, scene.spacing_um)
    raw = scene.record(np.ones((192, 192)), psf)
    reach = len(psf.values) // 4 + 1
    stated = settings(scene)["illumination"]
    for number, row in enumerate(stated["directions"]):
        assert row["angle_deg"] == pytest.approx(60 * number - 31)
        assert np.hypot(*row["p_per_um"]) == pytest.approx(1 / 0.29)
        turns = np.exp(-1j * np.array(row["phases_rad"]))
        order0, order1 = (np.tensordot(t, raw[3 * number :][:3], 1)[reach:-reach, reach:-reach] / 3 for t in (np.ones(3), turns))
        spectrum = np.abs(np.fft.fft2(order1, (512, 512)))
        at = np.unravel_index(spectrum.argmax(), spectrum.shape)
        assert np.fft.fftfreq(512, 0.065)[list(at)] == pytest.approx(row["p_per_um"], abs=0.5 / 512 / 0.065)  # half a bin
        steps = [np.angle(np.vdot(order1[:-1], order1[1:])), np.angle(np.vdot(order1[:, :-1], order1[:, 1:]))]
        assert np.array(steps) / (2 * np.pi * 0.065) == pytest.approx(row["p_per_um"], abs=1e-9)
        p_y, p_x = row["p_per_um"]
        pixel = reach * 0.065
        at_first = order1[0, 0] * np.exp(-2j * np.pi * (p_y + p_x) * pixel)
        assert np.angle(at_first * np.exp(-1j * row["phase_rad"])) == pytest.approx(0, abs=1e-9)
        d = (np.arange(len(psf.values)) - len(psf.values) // 2) * scene.fine_um
        lens = (psf.values * np.cos(2 * np.pi * (p_y * d[:, None] + p_x * d))).sum()
        washed = np.cos(np.pi * p_y * scene.fine_um) ** 2 * np.cos(np.pi * p_x * scene.fine_um) ** 2
        assert 2 * np.abs(at_first) / order0[0, 0] == pytest.approx(row["depth"] * lens * washed)


def test_a_bead_follows_the_pattern_from_frame_to_frame(monkeypatch):
    """The light of a bead, in each frame, is that of the pattern at its place."""
    y_um, x_um = 2.03, 1.87
    one = Emitters(np.array([[0.0], [y_um], [x_um]]), np.ones(1), np.zeros(1, int))
    monkeypatch.setitem(STRUCTURES, "bead", lambda *_: one)
    scene = dataclasses.replace(SMALL, size=64, haze=0.0, period_um=0.4, structure="bead")
    seen = simulate_sim2d(scene)
    raw = scene.record(seen.truth.data, seen.psf).sum((1, 2)).reshape(3, 3)
    place = np.array([y_um, x_um]) - 0.065 / 4  # the field begins at the corner of the first fine pixel
    turn = (2 * np.pi * scene.p_per_um @ place + scene.phase_rad)[:, None] + scene.phases_rad
    washed = np.exp(-2 * (np.pi * 0.03 / 0.4) ** 2)  # by the size of the label, 0.03 um
    # A bead between samples is shared among them, which weakens the modulation by 3 % at most.
    assert raw / raw.mean() == pytest.approx(1 + 0.8 * washed * np.cos(turn), abs=0.03)


def test_order_1_turns_over_with_the_focus_and_order_2_does_not():
    scene = dataclasses.replace(STACK, planes=11, size=48)
    psf = theoretical_psf(scene.optics, scene.spacing_um)
    x = np.zeros((11 + 2 * scene.context_planes(psf), 96, 96))
    x[len(x) // 2, 51, 46] = 1.0  # in the plane 5
    total = scene.record(x, psf).sum((2, 3)).reshape(11, 3, 5)
    bands = np.fft.fft(total, axis=2) / total.sum(2, keepdims=True)
    y, x_ = (along.ravel() for along in places_um(scene))
    at = np.exp(1j * (2 * np.pi * (scene.p_per_um @ np.array([y[51], x_[46]])) + scene.phase_rad))
    z_um = 0.125 * (np.arange(11) - 5)
    ri, na_ex, wavelength = 1.406, 0.48825 / (2 * 0.21), 0.48825
    beat = np.cos(2 * np.pi * z_um * (ri - np.sqrt(ri**2 - na_ex**2)) / wavelength)
    assert bands[:, :, 1] == pytest.approx(0.8 * 2 / 3 * beat[:, None] * at)
    assert bands[:, :, 2] == pytest.approx(np.broadcast_to(0.8 / 3 * at**2, (11, 3)))
    assert beat[5] == 1 and beat[9] < -0.5 and beat[1] < -0.5


def test_light_fades_from_frame_to_frame(simulation):
    """In the order in which frames are taken, over all planes and times; the stated gains make up for it."""
    scene = dataclasses.replace(SMALL, bleaching=0.03, order="phase-direction")
    x, psf = simulation.truth.data, simulation.psf
    even = dataclasses.replace(scene, bleaching=0.0).record(x, psf)
    for time in (0, 2):
        left = 0.97 ** (9 * time + np.arange(9))[:, None, None]
        assert scene.record(x, psf, time) == pytest.approx(left * even)
    gains = np.array([row["gains"] for row in settings(scene)["illumination"]["directions"]])
    assert gains.T.ravel() * 0.97 ** np.arange(9) == pytest.approx(np.mean(0.97 ** np.arange(9)))
    deep = dataclasses.replace(STACK, bleaching=0.01)
    assert deep.fading(1).ravel() == pytest.approx(0.99 ** np.arange(45, 90))
    assert len(settings(deep)["illumination"]["directions"][0]["gains"]) == 5


def test_photons_set_the_light_level(simulation):
    """The 99.8th percentile of all raw frames; another light level shows the same object under the same pattern."""
    raw = SMALL.record(simulation.truth.data, simulation.psf)
    assert np.percentile(raw, 99.8) == pytest.approx(40)
    assert simulation.noisy.data.mean() - 100 == pytest.approx(
        raw.mean(), abs=5 * np.sqrt((raw.mean() + 4) / raw.size)
    )  # 5 standard errors
    brighter = simulate_sim2d(dataclasses.replace(SMALL, photons=80.0, gain=2.5))
    assert brighter.truth.data == pytest.approx(5 * simulation.truth.data)
    assert settings(brighter.scene)["illumination"] == settings(SMALL)["illumination"]


def test_a_seed_is_an_object_with_or_without_a_pattern(simulation):
    plain = simulate_2d(Scene(size=48, seed=5)).truth.data
    assert simulation.truth.data / simulation.truth.data.sum() == pytest.approx(plain / plain.sum())
    again, other = simulate_sim2d(SMALL), dataclasses.replace(SMALL, seed=6)
    assert np.array_equal(again.noisy.data, simulation.noisy.data)
    assert not np.allclose(other.phase_rad, SMALL.phase_rad, atol=0.01)
    assert not np.allclose(simulate_sim2d(other).truth.data, simulation.truth.data)


def test_a_seed_keeps_its_frames(simulation, stack):
    """Images of old reports can be made again. Counts are whole numbers, which the last bit of another machine does not change."""
    digests = [hashlib.sha256(made.noisy.data.astype("<u2").tobytes()).hexdigest()[:16] for made in (simulation, stack)]
    assert digests == ["0264f2aefe36379b", "284122eed837b786"]


def test_times_follow_each_other():
    scene = dataclasses.replace(SMALL, frames=2, motion_um=0.0, bleaching=0.01)
    series = simulate_sim2d(scene)
    assert series.noisy.sizes == {"T": 2, "P": 9, "Y": 48, "X": 48}
    assert series.clean.axes == series.truth.axes == "TYX"
    assert np.array_equal(series.truth.data[0], series.truth.data[1])
    assert series.clean.data[1] == pytest.approx(0.99**9 * series.clean.data[0])
    moved = simulate_sim2d(dataclasses.replace(scene, motion_um=0.2))
    assert not np.allclose(moved.truth.data[1], moved.truth.data[0], atol=0.1 * moved.truth.data.max())


def test_files_can_be_read_back(simulation, tmp_path):
    files = write_simulation(simulation, tmp_path)
    noisy, clean, truth, psf = (io.read(files[name]) for name in ("noisy", "clean", "truth", "psf"))
    assert (noisy.axes, clean.axes, truth.axes, psf.axes) == ("PYX", "YX", "YX", "YX")
    assert np.array_equal(noisy.data, simulation.noisy.data) and noisy.data.dtype == np.uint16
    assert noisy.spacing_um == pytest.approx({"Y": 0.065, "X": 0.065})
    assert clean.data == pytest.approx(simulation.clean.data, rel=1e-6)  # float32
    assert psf.spacing_um == pytest.approx({"Y": 0.0325, "X": 0.0325})
    stated = yaml.safe_load(files["settings"].read_text())
    assert stated == settings(SMALL)
    again = SimScene(**{f.name: stated[f.name] for f in dataclasses.fields(SimScene)})
    assert np.array_equal(simulate_sim2d(again).noisy.data, simulation.noisy.data)
    assert again.illumination() == stated["illumination"]
    assert stated["axes"] == "PYX"


def test_stack_files_can_be_read_back(stack, tmp_path):
    files = write_simulation(stack, tmp_path)
    noisy = io.read(files["noisy"])
    assert noisy.sizes == {"Z": 3, "P": 15, "Y": 32, "X": 32}
    assert np.array_equal(noisy.data, stack.noisy.data)
    assert noisy.spacing_um == pytest.approx({"Z": 0.125, "Y": 0.08, "X": 0.08})
    assert io.read(files["psf"]).spacing_um == pytest.approx({"Z": 0.125, "Y": 0.04, "X": 0.04})
    stated = yaml.safe_load(files["settings"].read_text())
    assert (stated["axes"], stated["illumination"]["axial_per_um"]) == ("ZPYX", pytest.approx(STACK.axial_per_um))
    assert SimStackScene(**{f.name: stated[f.name] for f in dataclasses.fields(SimStackScene)}).illumination() == stated["illumination"]


def test_other_programs_see_planes_in_the_order_of_the_file(stack, tmp_path):
    """OME-XML has no P: frames are a modulo of Z, a slice for each (the 6D, 7D and 8D storage of OME)."""
    path = write_simulation(stack, tmp_path)["noisy"]
    with tifffile.TiffFile(path) as tif:
        assert tif.ome_metadata is not None
        assert 'SizeZ="45"' in tif.ome_metadata and 'ModuloAlongZ Type="phase"' in tif.ome_metadata
        assert np.array_equal(tif.pages[17].asarray(), stack.noisy.data[1, 2])


@pytest.mark.parametrize(
    ("kind", "change", "words"),
    [
        (SimScene, {"phases": 2}, "2 phases.*3 bands.*`phases` 3"),
        (SimScene, {"order": "z"}, "'z'.*phase-direction.*`order`"),
        (SimScene, {"directions": 0}, "directions 0 .*`directions`"),
        (SimScene, {"period_um": 0.15}, r"period 0.15 um.*0.1744 um.*NA 1.4.*period_um 0.1744"),
        (SimScene, {"period_um": float("nan")}, "period nan um.*period_um"),
        (SimScene, {"period_um": 190.0}, "period 190 um.*16.64 um.*micrometres"),
        (SimScene, {"pixel_um": 0.1}, "pixel 0.1 um.*0.0937.*pixel_um 0.0937"),
        (SimScene, {"excitation_nm": 0.488}, "excitation 0.488 nm.*excitation_nm"),
        (SimScene, {"wavelength_nm": 205.0}, "excitation 190.65 nm.*excitation_nm"),
        (SimScene, {"modulation": 1.2}, "modulation 1.2 .*`modulation`"),
        (SimScene, {"bleaching": 0.6}, "bleaching 0.6 .*`bleaching`"),
        (SimScene, {"angle_deg": float("nan")}, "angle_deg nan .*angle_deg"),
        (SimStackScene, {"phases": 4}, "4 phases.*5 bands.*`phases` 5"),
        (SimStackScene, {"z_um": 0.3}, "step 0.3 um.*0.1679 um.*z_um 0.1679"),
        (SimStackScene, {"period_um": 0.18}, "0.1878 um.*period_um"),
    ],
)
def test_impossible_scenes_are_refused(kind, change, words):
    with pytest.raises((ConfigError, OpticsError), match=words):
        kind(**change)


def test_limits_that_are_named_can_be_kept():
    assert SimScene(period_um=0.1744).fringe_period_um == 0.1744
    assert SimScene(pixel_um=0.0937).pixel_um == 0.0937
    assert SimStackScene(z_um=0.1679).z_um == 0.1679


def test_finer_fringes_need_finer_pixels():
    """Fringes beyond the cutoff of the lens widen the band that half a pixel has to carry."""
    with pytest.raises(OpticsError, match=r"pixel_um 0\.0847 "):
        SimScene(excitation_nm=405.0, period_um=0.1546, pixel_um=0.09)


@pytest.mark.parametrize(
    ("make", "scene", "words"),
    [
        (simulate_sim2d, SimScene(frames=500), "4500 raw frames of 256 x 256 pixels: 295 million, 67 million.*`size`, `frames`"),
        (simulate_sim3d, SimStackScene(planes=300), "4500 raw frames of 128.*`planes`"),
        (simulate_sim3d, SimStackScene(size=400), "76 x 800 x 800 voxels.*34 million.*`size`"),
    ],
)
def test_frames_beyond_memory_are_refused(make, scene, words):
    with pytest.raises(ConfigError, match=words):
        make(scene)
