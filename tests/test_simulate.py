"""The simulation obeys the physics it states: known object, linear blur, photon statistics, one seed one image."""

import dataclasses

import numpy as np
import pytest
import yaml

from zsdeconv import io
from zsdeconv.errors import ConfigError, OpticsError, OutputError
from zsdeconv.metrics import bin2
from zsdeconv.noise.model import Camera
from zsdeconv.simulate import Scene, _object, expose, simulate_2d, write_simulation
from zsdeconv.structures import STRUCTURES, Emitters

SMALL = Scene(size=48, photons=40.0)


@pytest.fixture(scope="module")
def simulation():
    return simulate_2d(SMALL)


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


def test_same_seed_same_bits_other_seed_another_object(simulation):
    again = simulate_2d(SMALL)
    other = simulate_2d(dataclasses.replace(SMALL, seed=1))
    assert np.array_equal(again.noisy.data, simulation.noisy.data)
    assert np.array_equal(again.truth.data, simulation.truth.data)
    assert not np.allclose(other.truth.data, simulation.truth.data)


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
    here = Emitters(np.array([1.2345]), np.array([0.9876]), np.array([3.0]), np.array([0]))
    grid = _object(here, scene)
    centre = (np.arange(80) + 0.5) * scene.fine_um
    assert grid.sum() == pytest.approx(3.0, rel=1e-4)  # the label's Gaussian is cut at four sigma
    assert (grid.sum(1) @ centre) / grid.sum() == pytest.approx(1.2345, abs=1e-6)
    assert (grid.sum(0) @ centre) / grid.sum() == pytest.approx(0.9876, abs=1e-6)


def test_haze_moves_light_and_keeps_it():
    """Away from the borders, the diffuse part holds exactly its fraction."""
    scene = Scene(size=256, haze=0.25)
    middle = Emitters(np.array([8.3]), np.array([8.4]), np.array([1.0]), np.array([0]))
    sharp, hazy = _object(middle, dataclasses.replace(scene, haze=0.0)), _object(middle, scene)
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
        ({"structure": "stars"}, "--structure"),
        ({"photons": 0.0}, "--photons"),
        ({"photons": float("nan")}, "--photons"),
        ({"size": 8}, "--size"),
        ({"read_noise": -1.0}, "--read-noise"),
    ],
)
def test_impossible_scenes_are_refused(change, word):
    with pytest.raises(ConfigError, match=word):
        Scene(**change)


def test_impossible_optics_are_refused():
    with pytest.raises(OpticsError):
        Scene(na=1.49, immersion_ri=1.33)
