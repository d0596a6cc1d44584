"""Stacks under three beams end to end: simulated, trained on at a size that takes seconds, restored."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
import torch

import zsdeconv as zs
from sim.simulator import reconstruct_of, small_settings
from zsdeconv.acquisition.structured import StructuredStacks
from zsdeconv.acquisition.structured_noise import StructuredMeasurement
from zsdeconv.config import Config, resolve
from zsdeconv.data.batches import InterleavedPairs, RandomStreams, SplitPairs
from zsdeconv.data.normalize import Affine
from zsdeconv.data.pairs import Recorruption
from zsdeconv.errors import ConfigError, ImageError, OpticsError
from zsdeconv.physics.otf import read_deep_otf
from zsdeconv.prepare import prepare
from zsdeconv.report import assess
from zsdeconv.sim.detection import detection_otf_3d
from zsdeconv.sim.patterns import Layout
from zsdeconv.sim.reconstruct import Reconstruct
from zsdeconv.sim.stored import from_parts, to_parts
from zsdeconv.simulation.structured import SimStackScene, simulate_sim3d
from zsdeconv.simulation.widefield import Simulation
from zsdeconv.training.networks import make_network, training_phases

pytestmark = pytest.mark.filterwarnings("ignore::zsdeconv.errors.DataWarning")  # so few pixels say little about their camera

SCENE = SimStackScene(size=80, planes=8, photons=2000, seed=2, structure="filaments", modulation=0.9)


def settings(steps: int = 4, **changes: Any) -> Config:
    return resolve(changes, small_settings("sim3d", SCENE.offset, {"patch_px": 32, "patch_planes": 4, "batch": 1, "steps": steps}))


@pytest.fixture(scope="module")
def simulation() -> Simulation:
    return simulate_sim3d(SCENE)


@pytest.fixture(scope="module")
def trained(simulation: Simulation) -> zs.Model:
    return zs.train([simulation.noisy], SCENE.optics, config=settings(20))


def error(x: np.ndarray, truth: np.ndarray) -> float:
    """Relative error after the best linear fit, without the first and last planes."""
    x, truth = x[2:-2].ravel(), truth[2:-2].ravel()
    fit = np.polyval(np.polyfit(x, truth, 1), x)
    return float(np.std(fit - truth) / np.std(truth))


def test_a_stack_of_raw_frames_becomes_a_stack(simulation: Simulation, trained: zs.Model, tmp_path: Path) -> None:
    result = trained.predict(simulation.noisy)
    assert result.reconstructed is not None
    for image in result.images().values():
        assert image.data.shape == (SCENE.planes, 2 * SCENE.size, 2 * SCENE.size) and image.axes == "ZYX" and image.data.dtype == np.float32
        assert image.spacing_um == pytest.approx({"Z": SCENE.z_um, "Y": SCENE.fine_um, "X": SCENE.fine_um})
    truth = simulation.truth.data.astype(float)
    wide = simulation.clean.data.repeat(2, -1).repeat(2, -2)
    errors = [error(image, truth) for image in (wide, result.reconstructed.data, result.deconvolved.data)]
    assert errors[0] > errors[1] > errors[2]
    again = zs.load(trained.save(tmp_path / "sim.zsd")).predict(simulation.noisy)
    for one, other in zip(result.images().values(), again.images().values(), strict=True):
        assert np.array_equal(one.data, other.data)


def acquisition_of(simulation: Simulation) -> StructuredStacks:
    prepared = prepare([simulation.noisy], settings(), SCENE.optics)
    unit = Affine(SCENE.offset, 50.0)
    return StructuredStacks(unit, prepared.calibration.camera, prepared.acquisition.psf, reconstruct_of(prepared))


def test_coloured_noise_is_that_of_reconstructed_frames(simulation: Simulation) -> None:
    """What is drawn on the fine grid for pairs has the strength and the spectrum of noise that went through the reconstruction."""
    acquisition = acquisition_of(simulation)
    measurement = acquisition.measure(simulation.noisy.data.transpose(1, 0, 2, 3), torch.device("cpu"))
    assert isinstance(measurement, StructuredMeasurement)
    generator = torch.Generator().manual_seed(0)
    exact = torch.stack([measurement.noise(generator) for _ in range(6)])
    pairs = acquisition.pairs([measurement], Recorruption(acquisition.camera, (1, 1), (1, 1), (1, 1)), settings().training, range(8))
    assert isinstance(pairs, SplitPairs) and pairs.colour is not None
    _, signal = pairs.sampler.samples[0]
    white = acquisition.camera.variance(signal).sqrt() * torch.randn(6, *signal.shape, generator=generator)
    drawn = pairs.colour(white[:, None])[:, 0]
    assert float(drawn.var() / exact.var()) == pytest.approx(1.0, abs=0.06)
    spectra = [torch.fft.rfftn(z, dim=(1, 2, 3)).abs().square().mean(0) for z in (drawn, exact)]
    k = np.hypot(np.fft.fftfreq(2 * SCENE.size)[:, None], np.fft.rfftfreq(2 * SCENE.size))
    for low, high in ((0.02, 0.06), (0.06, 0.1), (0.1, 0.15), (0.15, 0.2)):
        ring = torch.from_numpy((k >= low) & (k < high))
        powers = [float(spectrum[:, ring].mean()) for spectrum in spectra]
        assert powers[0] == pytest.approx(powers[1], rel=0.15), (low, powers)  # mirrored borders, thin structures


def test_pairs_are_made_of_noise_or_of_planes(simulation: Simulation) -> None:
    for kind, expected in (("recorrupt", SplitPairs), ("interleave", InterleavedPairs)):
        prepared = prepare([simulation.noisy], settings(pairs={"kind": kind}), SCENE.optics)
        acquisition = acquisition_of(simulation)
        measurement = acquisition.measure(prepared.frames[0], torch.device("cpu"))
        (denoise, _), _ = training_phases(prepared.config, acquisition, [measurement])
        assert isinstance(denoise.pairs, expected)  # pyright: ignore[reportAttributeAccessIssue]


def test_the_report_does_not_ask_for_light_that_nobody_has_recorded(
    simulation: Simulation, trained: zs.Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(assess.ROUNDS, 3, 3)  # images of noise, of which each takes long
    asked = [section.key for section in trained.predict(simulation.noisy).report().sections]
    expected = ["psf", "camera", "recording", "pattern", "training", "residuals", "noise_left", "resolution"]
    assert asked == [*expected, "uncertainty", "error_map", "recovery"]


def test_the_published_network_learns_from_planes(simulation: Simulation) -> None:
    tiny = {"steps": 1, "patch_px": 16, "patch_planes": 4, "margin_px": 2, "margin_planes": 0, "learning_rate": 1e-4}
    published = resolve({"preset": "paper", "modality": "sim3d", "training": tiny, "device": "cpu"})
    prepared = prepare([simulation.noisy], published, SCENE.optics)
    assert prepared.config.network.kind == "rcan-sim" and prepared.config.loss.lambda_hessian == 0
    unit = Affine.fitted(prepared.frames, SCENE.offset)
    acquisition = StructuredStacks(unit, prepared.calibration.camera, prepared.acquisition.psf, reconstruct_of(prepared))
    network = make_network(prepared.config, 3, acquisition.forward_operator, acquisition.scale)
    assert sum(p.numel() for p in network.parameters()) == 4_452_930
    measurements = [acquisition.measure(frame, torch.device("cpu")) for frame in prepared.frames]
    ((phase, share),) = training_phases(prepared.config, acquisition, measurements)
    loss = phase(network, RandomStreams(0, torch.device("cpu")))
    loss.backward()
    assert phase.name == "two-stage" and share == 1 and torch.isfinite(loss)
    assert all(p.grad is not None for p in phase.parameters(network))


def test_stored_reconstructions_of_stacks_are_the_same(simulation: Simulation, shared: Path) -> None:
    parameters = reconstruct_of(prepare([simulation.noisy], settings(), SCENE.optics))
    measured = detection_otf_3d(read_deep_otf(shared / "realdata/sim/threebeam_otf.dv"))
    x = torch.rand(1, 15, 5, 24, 22)
    for detection in (parameters.weights.detection, measured):
        one = Reconstruct(parameters.parameters, detection, SCENE.pixel_um, 0.02, z_um=SCENE.z_um)
        assert torch.equal(from_parts(*to_parts(one))(x), one(x))


@pytest.mark.parametrize(
    ("change", "kind", "words"),
    [
        ({"sim": {"phases": 3}}, ImageError, r"15 raw frames: 3 directions x 3 phases are 9"),
        ({"sim": {"phases": 4}}, ImageError, r"15 raw frames: 3 directions x 4 phases are 12"),
        ({"optics": {"excitation_nm": 5000.0}}, OpticsError, r"excitation 5000 nm: it must lie between"),
        ({"optics": {"otf": "plane.mrc"}}, OpticsError, r"OTF plane.mrc"),
        ({"scale": 1}, ConfigError, r"scale 1 with structured"),
    ],
)
def test_what_cannot_be_is_refused(simulation: Simulation, change: dict[str, Any], kind: type[Exception], words: str) -> None:
    with pytest.raises(kind, match=words):
        zs.train([simulation.noisy], SCENE.optics, config=settings(**change))


def test_pages_of_a_file_in_any_order(simulation: Simulation, tmp_path: Path) -> None:
    from zsdeconv.sim.raw_frames import read_frames

    stack = simulation.noisy.data.transpose(1, 0, 2, 3)
    for order in ("direction-phase", "direction-z-phase", "phase-direction-z"):
        layout = Layout(3, 5, order)
        tifffile.imwrite(tmp_path / f"{order}.tif", layout.pages(stack), photometric="minisblack")
        image = read_frames(tmp_path / f"{order}.tif", layout, pixel_um=0.08, z_um=0.125)
        assert image.axes == "TPZYX" and image.data.shape == (1, 15, SCENE.planes, SCENE.size, SCENE.size)
        assert np.array_equal(image.data[0], stack)


def test_a_reconstruction_made_elsewhere_is_restored_with_its_psf(simulation: Simulation, trained: zs.Model) -> None:
    plain = trained.predict(simulation.noisy).reconstructed
    assert plain is not None
    stack = zs.Image(plain.data, plain.axes, plain.spacing_um)
    reconstructed_as = settings(24, sim={"reconstructed": True}, input={"background": "auto"})
    result = zs.restore(stack, SCENE.optics, psf=trained.psf, config=reconstructed_as)
    assert result.deconvolved.data.shape == result.denoised.data.shape == plain.data.shape and result.reconstructed is None
    assert result.model.config.pairs.kind == "interleave" and result.model.camera.offset == 0
    truth = simulation.truth.data.astype(float)
    assert error(result.deconvolved.data, truth) < error(plain.data, truth)
    unknown = prepare([stack], reconstructed_as, SCENE.optics)
    assert unknown.acquisition.psf.source.startswith("Gaussian half as wide") and "Gaussian" in unknown.sources["psf"]
    for name in ("sim2d", "auto"):
        with pytest.raises(ConfigError, match="give the raw frames"):
            plane = zs.Image(plain.data[3], "YX", {"Y": 0.04, "X": 0.04})
            prepare([plane], settings(modality=name, sim={"reconstructed": True}), SCENE.optics)
