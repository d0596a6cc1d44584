"""The simulation obeys the physics it states: known object, linear blur, photon statistics, one seed one image."""

import dataclasses
import hashlib

import numpy as np
import pytest
import yaml
from scipy.signal import convolve2d

from zsdeconv import io
from zsdeconv.camera.detector import Camera
from zsdeconv.errors import ConfigError, OpticsError, OutputError
from zsdeconv.metrics import bin2
from zsdeconv.physics.psf_theory import theoretical_psf
from zsdeconv.simulation.structures import STRUCTURES, Emitters
from zsdeconv.simulation.widefield import Scene, StackScene, _rendered, expose, simulate_2d, simulate_3d, write_simulation

SMALL = Scene(size=48, photons=40.0)
STACK = StackScene(size=32, planes=7, photons=40.0)
BEAD_YX_UM = (1.63, 1.52)


@pytest.fixture(scope="module")
def simulation():
    return simulate_2d(SMALL)


@pytest.fixture(scope="module")
def stack():
    return simulate_3d(STACK)


@pytest.fixture
def bead(monkeypatch):
    """A structure of one emitter at the depth `z_um` from the center of the stack, off every grid line along y and x."""

    def at(z_um, yx_um=BEAD_YX_UM):
        one = Emitters(np.array([[z_um], *([um] for um in yx_um)]), np.ones(1), np.zeros(1, int))
        monkeypatch.setitem(STRUCTURES, "bead", lambda *_: one)
        return "bead"

    return at


def test_grids_and_units(simulation):
    assert simulation.noisy.sizes == simulation.clean.sizes == {"Y": 48, "X": 48}
    assert simulation.truth.sizes == {"Y": 96, "X": 96}
    assert simulation.noisy.data.dtype == np.uint16
    assert simulation.noisy.spacing_um == {"Y": 0.065, "X": 0.065}
    assert simulation.truth.spacing_um == {"Y": 0.0325, "X": 0.0325}
    assert simulation.psf.spacing_um == (0.0325, 0.0325)
    assert simulation.noisy.offset == 100
    assert simulation.clean.offset == simulation.truth.offset == 0


def test_clean_is_the_truth_through_lens_and_pixels(simulation):
    """Every object pixel spreads its own PSF; what falls outside is lost."""
    kernel = simulation.psf.values
    (ky, kx), (ny, nx) = kernel.shape, simulation.truth.data.shape
    padded = np.zeros((ny + ky - 1, nx + kx - 1))
    for (j, i), value in np.ndenumerate(kernel):
        padded[j : j + ny, i : i + nx] += value * simulation.truth.data
    blurred = padded[ky // 2 : ky // 2 + ny, kx // 2 : kx // 2 + nx]
    assert simulation.clean.data == pytest.approx(bin2(blurred), abs=1e-9 * simulation.clean.data.max())  # FFT rounding


def test_photons_set_the_light_level(simulation):
    assert np.percentile(simulation.clean.data, 99.8) == pytest.approx(40 * SMALL.gain)
    brighter = simulate_2d(dataclasses.replace(SMALL, photons=80.0, gain=2.5))
    assert brighter.truth.data == pytest.approx(5 * simulation.truth.data)


def test_noise_has_the_mean_and_variance_of_the_camera():
    rng = np.random.default_rng(2)
    camera = Camera(offset=103.0, gain=2.2, read_variance=9.0)
    levels = np.array([0.0, 5.0, 40.0, 300.0])
    frames = expose(np.broadcast_to(levels, (200_000, 4)), camera, rng).astype(float)
    expected = camera.variance(levels) + 1 / 12
    assert frames.mean(0) == pytest.approx(103 + levels, abs=4 * np.sqrt(expected / 2e5).max())  # four standard errors
    # The standard error of a variance is near sqrt(2 / n) of it, somewhat more for few photons; 2 % are about five.
    assert frames.var(0) == pytest.approx(expected, rel=0.02)


def test_a_camera_clips_and_never_wraps():
    frame = expose(np.array([1e6, 0.0]), Camera(offset=0.0, gain=1.0, read_variance=0.0), np.random.default_rng(0))
    assert frame.tolist() == [65535, 0]


def test_same_seed_same_bits_other_seed_another_rendered(simulation):
    again = simulate_2d(SMALL)
    other = simulate_2d(dataclasses.replace(SMALL, seed=1))
    assert np.array_equal(again.noisy.data, simulation.noisy.data)
    assert np.array_equal(again.truth.data, simulation.truth.data)
    assert not np.allclose(other.truth.data, simulation.truth.data)


@pytest.mark.parametrize(
    ("structure", "digest"),
    [("filaments", "2b8188ed14a4fa3c"), ("vesicles", "14cd0781f75c4ea6"), ("network", "bbd6c1741d01e896"), ("puncta", "5cfded7b7e16c7cc")],
)
def test_a_seed_keeps_its_image(structure, digest):
    """Images of old reports can be made again. Counts are whole numbers, which the last bit of another machine does not change."""
    noisy = simulate_2d(Scene(structure=structure, size=64)).noisy.data
    assert hashlib.sha256(noisy.astype("<u2").tobytes()).hexdigest()[:16] == digest


@pytest.mark.parametrize("structure", STRUCTURES)
def test_every_structure_fills_the_field(structure):
    truth = simulate_2d(Scene(structure=structure, size=96, haze=0.0)).truth.data
    assert truth.min() >= 0
    quarters = truth.reshape(2, 96, 2, 96).sum((1, 3)) / truth.sum()
    assert quarters.min() > 0.01
    assert np.percentile(truth, 50) < 0.5 * truth.max()  # it has contrast


def test_an_emitter_lands_where_it_is_and_keeps_its_light():
    """One emitter, off every grid line: its centre of mass in micrometres and its sum."""
    scene = Scene(size=40, haze=0.0)
    here = Emitters(np.array([[0.0], [1.2345], [0.9876]]), np.array([3.0]), np.array([0]))
    grid = _rendered(here, scene)
    centre = (np.arange(80) + 0.5) * scene.fine_um
    assert grid.sum() == pytest.approx(3.0, rel=1e-4)  # the label's Gaussian is cut at four sigma
    assert (grid.sum(1) @ centre) / grid.sum() == pytest.approx(1.2345, abs=1e-6)
    assert (grid.sum(0) @ centre) / grid.sum() == pytest.approx(0.9876, abs=1e-6)


def test_an_emitter_lands_in_its_depth():
    """z counts from the center of the stack, also on a grid that goes on beyond it."""
    scene = dataclasses.replace(STACK, haze=0.0)
    here = Emitters(np.array([[0.33], [1.5], [1.6]]), np.array([3.0]), np.array([0]))
    for context in (0, 4):
        light = _rendered(here, scene, context).sum((1, 2))
        assert light.sum() == pytest.approx(3.0, rel=1e-4)
        assert light @ (scene.z_um * (np.arange(7 + 2 * context) - 3 - context)) / light.sum() == pytest.approx(0.33, abs=1e-6)


def test_haze_moves_light_and_keeps_it():
    """Away from the borders, the diffuse part holds exactly its fraction."""
    scene = Scene(size=256, haze=0.25)
    center = Emitters(np.array([[0.0], [8.3], [8.4]]), np.array([1.0]), np.array([0]))
    sharp, hazy = _rendered(center, dataclasses.replace(scene, haze=0.0)), _rendered(center, scene)
    assert hazy.sum() == pytest.approx(sharp.sum(), rel=1e-3)
    assert hazy.max() == pytest.approx(0.75 * sharp.max(), rel=0.01)


def test_frames_share_one_scale_and_move(simulation):
    series = simulate_2d(dataclasses.replace(SMALL, frames=3, motion_um=0.2))
    assert series.noisy.axes == series.truth.axes == "TYX"
    assert series.truth.data[0] == pytest.approx(simulation.truth.data)
    assert not np.allclose(series.truth.data[1], series.truth.data[0], atol=0.1 * series.truth.data.max())
    still = simulate_2d(dataclasses.replace(SMALL, frames=2, motion_um=0.0))
    assert np.array_equal(still.clean.data[0], still.clean.data[1])
    assert not np.array_equal(still.noisy.data[0], still.noisy.data[1])


def test_stacks_have_their_grids_and_units(stack):
    assert stack.noisy.sizes == stack.clean.sizes == {"Z": 7, "Y": 32, "X": 32}
    assert stack.truth.sizes == {"Z": 7, "Y": 64, "X": 64}
    assert stack.noisy.spacing_um == {"Z": 0.2, "Y": 0.1, "X": 0.1}
    assert stack.truth.spacing_um == {"Z": 0.2, "Y": 0.05, "X": 0.05}
    assert stack.psf.spacing_um == (0.2, 0.05, 0.05)
    assert stack.noisy.data.dtype == np.uint16
    assert np.percentile(stack.clean.data, 99.8) == pytest.approx(40)


@pytest.mark.parametrize("microscope", ["lightsheet", "widefield"])
@pytest.mark.parametrize("plane", [2, 9])
def test_a_bead_through_the_stack_is_the_psf(bead, microscope, plane):
    """In the stack, and three planes above the last one, where no plane of the truth shows it."""
    scene = dataclasses.replace(STACK, microscope=microscope, haze=0.0)
    psf = theoretical_psf(scene.optics, scene.spacing_um)
    in_plane = _rendered(STRUCTURES[bead(0.0)](0, np.random.default_rng(), 0), dataclasses.replace(SMALL, size=32, pixel_um=0.1, haze=0.0))
    seen = simulate_3d(dataclasses.replace(scene, structure=bead((plane - 3) * scene.z_um)))
    through = psf.values[psf.values.shape[0] // 2 - plane :][:7]
    expected = np.stack([bin2(convolve2d(in_plane, one, mode="same")) for one in through])
    light = seen.clean.data.sum() / expected.sum()
    assert seen.clean.data == pytest.approx(light * expected, abs=1e-6 * seen.clean.data.max())  # FFT rounding
    assert (seen.truth.data.sum() > 0) == (plane < 7)


def test_a_stack_deep_enough_keeps_all_light(bead):
    scene = StackScene(size=40, planes=21, haze=0.0, structure=bead(0.0, (1.93, 2.07)))
    seen = simulate_3d(scene)
    assert seen.clean.data.sum() * 4 == pytest.approx(seen.truth.data.sum(), rel=1e-6)


def test_microscopes_look_at_one_object_and_sections_are_their_own(stack):
    """Wide-field adds the light of other planes to each: there is more of it everywhere, against the same bright places."""
    wide = simulate_3d(dataclasses.replace(STACK, microscope="widefield"))
    confocal = simulate_3d(dataclasses.replace(STACK, microscope="confocal"))
    for other in (wide, confocal):
        assert other.truth.data / other.truth.data.sum() == pytest.approx(stack.truth.data / stack.truth.data.sum(), rel=1e-6, abs=1e-15)
    light = [float(s.clean.data.mean()) for s in (confocal, stack, wide)]
    assert light[0] < light[1] < light[2] and light[2] > 1.5 * light[0]


def test_stacks_have_seeds_too(stack):
    again = simulate_3d(STACK)
    assert np.array_equal(again.noisy.data, stack.noisy.data)
    assert np.array_equal(again.truth.data, stack.truth.data)
    brighter = simulate_3d(dataclasses.replace(STACK, photons=80.0, gain=2.5))
    assert brighter.truth.data == pytest.approx(5 * stack.truth.data)
    assert not np.allclose(simulate_3d(dataclasses.replace(STACK, seed=1)).truth.data, stack.truth.data)


@pytest.mark.parametrize("structure", STRUCTURES)
def test_every_structure_fills_the_volume(structure):
    truth = simulate_3d(StackScene(structure=structure, size=96, planes=20, haze=0.0)).truth.data
    assert truth.min() >= 0
    eighths = truth.reshape(2, 10, 2, 96, 2, 96).sum((1, 3, 5)) / truth.sum()
    assert eighths.min() > 0.01
    assert np.percentile(truth, 50) < 0.5 * truth.max()
    assert not np.allclose(truth[:10], truth[10:], atol=0.1 * truth.max())


def test_stacks_move_in_all_directions(bead):
    scene = dataclasses.replace(STACK, frames=3, motion_um=0.3, haze=0.0, structure=bead(0.0))
    series = simulate_3d(scene)
    assert series.noisy.axes == series.truth.axes == "TZYX"
    places = [
        np.array([(truth.sum(tuple({0, 1, 2} - {i})) @ np.arange(n)) / truth.sum() for i, n in enumerate(truth.shape)])
        for truth in series.truth.data
    ]
    assert np.all(np.abs(places[1] - places[0]) > 0.01)
    assert places[2] - places[1] == pytest.approx(places[1] - places[0], abs=1e-6)


def test_stack_files_can_be_read_back(stack, tmp_path):
    files = write_simulation(stack, tmp_path)
    noisy, truth, psf = (io.read(files[name]) for name in ("noisy", "truth", "psf"))
    assert noisy.axes == truth.axes == psf.axes == "ZYX"
    assert np.array_equal(noisy.data, stack.noisy.data)
    assert noisy.spacing_um == pytest.approx({"Z": 0.2, "Y": 0.1, "X": 0.1})
    assert psf.spacing_um == pytest.approx({"Z": 0.2, "Y": 0.05, "X": 0.05})
    assert psf.data == pytest.approx(stack.psf.values, rel=1e-6)  # float32
    stated = yaml.safe_load(files["settings"].read_text())
    assert (stated["axes"], stated["sheet_um"], stated["microscope"]) == ("ZYX", 1.0, "lightsheet")
    again = StackScene(**{f.name: stated[f.name] for f in dataclasses.fields(StackScene)})
    assert again.optics == dataclasses.replace(STACK, immersion_ri=1.333).optics
    series = write_simulation(simulate_3d(dataclasses.replace(STACK, frames=2)), tmp_path / "series")
    assert io.read(series["noisy"]).sizes == {"T": 2, "Z": 7, "Y": 32, "X": 32}


def test_files_can_be_read_back(simulation, tmp_path):
    files = write_simulation(simulation, tmp_path / "sim")
    assert sorted(p.name for p in (tmp_path / "sim").iterdir()) == ["clean.tif", "noisy.tif", "psf.tif", "settings.yaml", "truth.tif"]
    noisy = io.read(files["noisy"])
    assert noisy.data.dtype == np.uint16
    assert np.array_equal(noisy.transposed("YX").data, simulation.noisy.data)
    assert noisy.spacing_um["X"] == pytest.approx(0.065)
    truth = io.read(files["truth"]).transposed("YX")
    assert truth.data == pytest.approx(simulation.truth.data, rel=1e-6)  # float32
    assert truth.spacing_um["Y"] == pytest.approx(0.0325)
    settings = yaml.safe_load(files["settings"].read_text())
    assert settings["photons"] == 40 and settings["offset"] == 100 and settings["seed"] == 0
    again = Scene(**{f.name: settings[f.name] for f in dataclasses.fields(Scene)})
    assert again == dataclasses.replace(SMALL, immersion_ri=settings["immersion_ri"])


def test_nothing_is_overwritten_unasked(simulation, tmp_path):
    write_simulation(simulation, tmp_path)
    (tmp_path / "noisy.tif").unlink()
    with pytest.raises(OutputError, match="overwrite"):
        write_simulation(simulation, tmp_path)
    assert not (tmp_path / "noisy.tif").exists()
    write_simulation(simulation, tmp_path, overwrite=True)
    assert (tmp_path / "noisy.tif").exists()


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"structure": "stars"}, "`structure`"),
        ({"photons": 0.0}, "`photons`"),
        ({"photons": float("nan")}, "`photons`"),
        ({"size": 8}, "`size`"),
        ({"read_noise": -1.0}, "read_noise"),
    ],
)
def test_impossible_scenes_are_refused(change, word):
    with pytest.raises(ConfigError, match=word):
        Scene(**change)


def test_impossible_optics_are_refused():
    with pytest.raises(OpticsError):
        Scene(na=1.49, immersion_ri=1.33)


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"planes": 1}, "`planes`"),
        ({"z_um": 0.0}, "z_um"),
        ({"pinhole_au": 1.0}, "microscope confocal"),
        ({"microscope": "twophoton"}, "excitation_nm"),
        ({"microscope": "confocal", "sheet_um": 1.0}, "microscope lightsheet"),
        ({"depth_um": 5.0}, "sample_ri"),
    ],
)
def test_impossible_stacks_are_refused(change, word):
    with pytest.raises((ConfigError, OpticsError), match=word):
        StackScene(**change)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"size": 4096}, "8192 x 8192 voxels.*67 million.*`size`"),
        ({"frames": 500}, "12040 x 256 x 256.*`frames`"),
        ({"pixel_um": 0.5, "size": 512, "z_um": 1.0}, "cubic um.*pixel_um"),
        ({"na": 0.05}, "PSF of NA 0.05.*`na`"),
    ],
)
def test_stacks_beyond_memory_are_refused(change, words):
    with pytest.raises(ConfigError, match=words):
        simulate_3d(StackScene(**change))


@pytest.mark.parametrize("changed", [{"size": 8192}, {"size": 256, "frames": 2000}])
def test_images_that_would_not_fit_into_memory_are_refused(changed):
    with pytest.raises(ConfigError, match=r"67 million at most; give a smaller `size` or `frames`"):
        simulate_2d(Scene(**changed))
