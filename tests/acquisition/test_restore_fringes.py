"""Structured illumination end to end, on simulated frames with known truth, at a size that trains in seconds."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import zsdeconv as zs
from sim.simulator import reconstruct_of, small_settings
from zsdeconv.config import Config, resolve
from zsdeconv.errors import ConfigError, ImageError, OpticsError
from zsdeconv.sim.patterns import read_parameters
from zsdeconv.sim.reconstruct import Reconstruct
from zsdeconv.simulation.structured import SimScene, simulate_sim2d
from zsdeconv.simulation.widefield import Simulation

pytestmark = pytest.mark.filterwarnings("ignore::zsdeconv.errors.DataWarning")  # so few pixels say little about their camera

SCENE = SimScene(size=96, photons=40, seed=3, structure="network", modulation=0.85)
MOVIE = replace(SCENE, frames=2)


def settings(steps: int = 30, **changes: Any) -> Config:
    return resolve(changes, small_settings("sim2d", SCENE.offset, {"patch_px": 48, "batch": 2, "steps": steps}))


@pytest.fixture(scope="module")
def simulation() -> Simulation:
    return simulate_sim2d(SCENE)


@pytest.fixture(scope="module")
def trained(simulation: Simulation) -> zs.Model:
    return zs.train([simulation.noisy], SCENE.optics, config=settings(120))


def soft(x: np.ndarray) -> np.ndarray:
    """The truth as sharp as may be hoped for: 1.7 times sharper than what the stripes reveal."""
    from scipy.ndimage import gaussian_filter

    return gaussian_filter(x, 0.25 * 0.525 / 1.3 / 1.7 / 2.355 / SCENE.fine_um)


def error(x: np.ndarray, truth: np.ndarray) -> float:
    """Relative error after the best linear fit."""
    a = np.stack([x.ravel(), np.ones(x.size)], 1)
    fit = a @ np.linalg.lstsq(a, truth.ravel(), rcond=None)[0]
    return float(np.std(fit - truth.ravel()) / np.std(truth))


def test_every_stage_is_nearer_to_the_truth(simulation: Simulation, trained: zs.Model) -> None:
    result = trained.predict(simulation.noisy)
    assert result.reconstructed is not None and result.uncertainty is not None
    truth = soft(simulation.truth.data.astype(float))
    errors = [error(image.data, truth) for image in (result.reconstructed, result.denoised, result.deconvolved)]
    assert errors[0] > errors[1] > 1.1 * errors[2]
    for image in result.images().values():
        assert image.data.shape == (192, 192) and image.axes == "YX" and image.data.dtype == np.float32
        assert image.spacing_um["X"] == pytest.approx(SCENE.fine_um)


def test_light_is_conserved(simulation: Simulation, trained: zs.Model) -> None:
    """The deconvolved image holds as much light per area as the frames hold on average."""
    result = trained.predict(simulation.noisy)
    light = simulation.clean.data.mean()
    for image in result.images().values():
        if image is not result.uncertainty:
            assert float(image.data.mean()) == pytest.approx(light, rel=0.05)


def test_a_saved_model_restores_to_the_same_bits(simulation: Simulation, trained: zs.Model, tmp_path: Path) -> None:
    again = zs.load(trained.save(tmp_path / "sim.zsd"))
    assert again.provenance["sim"]["directions"][0]["period_um"] == pytest.approx(SCENE.fringe_period_um, rel=0.02)
    for one, other in zip(
        trained.predict(simulation.noisy).images().values(), again.predict(simulation.noisy).images().values(), strict=True
    ):
        assert np.array_equal(one.data, other.data)


def test_a_movie_has_one_pattern_or_one_for_each_time(tmp_path: Path) -> None:
    movie = simulate_sim2d(MOVIE).noisy
    assert movie.axes == "TPYX"
    result = zs.restore(movie, SCENE.optics, config=settings(4))
    assert result.deconvolved.data.shape == (2, 192, 192) and result.deconvolved.axes == "TYX"
    drifted = movie.data.copy()
    drifted[1] = np.roll(movie.data[1].reshape(3, 3, 96, 96), 1, axis=1).reshape(9, 96, 96)  # a third of a period
    wrong, right = (
        zs.restore(replace(movie, data=drifted), SCENE.optics, config=settings(4, sim={"per_frame": per_frame}))
        for per_frame in (False, True)
    )
    reference = zs.restore(movie, SCENE.optics, config=settings(4, sim={"per_frame": True}))
    assert reference.reconstructed is not None and wrong.reconstructed is not None and right.reconstructed is not None
    expected = reference.reconstructed.data[1]
    assert error(right.reconstructed.data[1], expected) < 0.05 < error(wrong.reconstructed.data[1], expected)


def test_recordings_of_several_sizes_make_one_model(simulation: Simulation) -> None:
    smaller = replace(simulation.noisy, data=simulation.noisy.data[:, :80, :90])
    model = zs.train([simulation.noisy, smaller], SCENE.optics, config=settings(2))
    assert model.predict(smaller).deconvolved.data.shape == (160, 180)


def test_parameters_of_a_brighter_recording_serve_a_dim_one(tmp_path: Path, simulation: Simulation) -> None:
    bright = zs.train([simulate_sim2d(replace(SCENE, photons=2000)).noisy], SCENE.optics, config=settings(2))
    (tmp_path / "sim.yaml").write_text(reconstruct_of(bright).parameters.to_yaml())
    dim = simulate_sim2d(replace(SCENE, photons=4)).noisy
    model = zs.train([dim], SCENE.optics, config=settings(2, sim={"parameters": str(tmp_path / "sim.yaml")}))
    assert reconstruct_of(model).parameters.directions == reconstruct_of(bright).parameters.directions
    assert reconstruct_of(model).wiener > reconstruct_of(bright).wiener
    with pytest.raises(ConfigError, match=r"`order` beside sim_parameters.*leave out `order`"):
        zs.train([dim], SCENE.optics, config=settings(2, sim={"parameters": str(tmp_path / "sim.yaml"), "order": "phase-direction"}))
    other = replace(read_parameters(tmp_path / "sim.yaml"), pixel_um=0.07)
    (tmp_path / "other.yaml").write_text(other.to_yaml())
    with pytest.raises(ConfigError, match=r"pixel 0\.06.*measured at 0\.07 um \(limit 1 % off\)"):
        zs.train([dim], SCENE.optics, config=settings(2, sim={"parameters": str(tmp_path / "other.yaml")}))


def test_the_psf_of_the_reconstruction_may_be_given(simulation: Simulation) -> None:
    """Measured on beads that were reconstructed, for instance."""
    model = zs.train([simulation.noisy], SCENE.optics, config=settings(2))
    assert isinstance(reconstruct_of(model), Reconstruct)
    given = replace(reconstruct_of(model).psf(), source="beads")
    other = zs.train([simulation.noisy], SCENE.optics, psf=given, config=settings(2))
    assert other.psf.source.startswith("beads") and other.provenance["sources"]["psf"] == "argument"


@pytest.mark.parametrize(
    ("change", "kind", "words"),
    [
        ({"scale": 1}, ConfigError, r"scale 1 with structured.*leave it out"),
        ({"sim": {"phases": 5}}, ImageError, r"9 raw frames: 3 directions x 5 phases are 15; give `directions`"),
        ({"sim": {"phases": 2}}, ConfigError, r"2 phases: at least 3 are needed"),
        ({"sim": {"order": "sideways"}}, ConfigError, r"order 'sideways'.*give `order`"),
        ({"sim": {"order": "phase-direction"}}, ImageError, r"give `order=direction-phase`"),
        ({"sim": {"period_um": 0.05}}, OpticsError, r"period 0\.05 um: .*the finest that light"),
        ({"sim": {"parameters": "nowhere.yaml"}}, ConfigError, r"SIM parameters nowhere.yaml: .*sim estimate"),
        ({"pairs": {"kind": "interleave"}}, ConfigError, r"single planes; leave it out"),
        ({"modality": "auto", "input": {"pixel_um": 0.2}}, OpticsError, r"pixel 0\.2 um: the widened band"),
    ],
)
def test_what_cannot_be_is_refused(simulation: Simulation, change: dict[str, Any], kind: type[Exception], words: str) -> None:
    with pytest.raises(kind, match=words):
        zs.train([simulation.noisy], SCENE.optics, config=settings(2, **change))


def test_raw_frames_are_recognised_by_their_axis(simulation: Simulation) -> None:
    assert zs.train([simulation.noisy], SCENE.optics, config=settings(2, modality="auto")).modality.acquisition.raw_frame_axis == "P"
    with pytest.raises(OpticsError, match="give na and wavelength_nm"):
        zs.train([simulation.noisy], config=settings(2))
