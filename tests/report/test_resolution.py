"""Resolution without a reference: halves are independent, limits are where truth has them."""

import numpy as np
import pytest
import torch
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from sim.simulator import OPTICS, PIXEL_UM, record, two_beams
from zsdeconv.acquisition.direct import CameraMeasurement
from zsdeconv.acquisition.structured import StructuredPlanes
from zsdeconv.camera.detector import Camera
from zsdeconv.data.normalize import Affine
from zsdeconv.errors import ImageError
from zsdeconv.metrics import frc_curve
from zsdeconv.physics.optics import Optics
from zsdeconv.report.checks.resolution import Resolution, measure, section
from zsdeconv.report.statistics.decorrelation import decorrelation
from zsdeconv.report.statistics.rings import Rings
from zsdeconv.report.statistics.signal_to_noise import MIN_SNR, signal_to_noise
from zsdeconv.report.statistics.splits import alternating_splits, at_full_light, noise_splits, restored_splits
from zsdeconv.sim.detection import detection_otf_2d
from zsdeconv.sim.reconstruct import Reconstruct
from zsdeconv.simulation.scenes import Scene, StackScene
from zsdeconv.simulation.widefield import Simulation, expose, simulate_2d, simulate_3d

CAMERA = Camera(0.0, 1.4, 5.0)
UM = (0.065, 0.08)


def recorded(clean: np.ndarray, rng: np.random.Generator, camera: Camera = CAMERA) -> CameraMeasurement:
    y = camera.gain * rng.poisson(clean / camera.gain) + rng.normal(0, camera.read_noise, clean.shape)
    return CameraMeasurement(torch.from_numpy(y).float(), camera)


def blobs(yx_shape: tuple[int, int] = (61, 74)) -> np.ndarray:
    rng = np.random.default_rng(2)
    y, x = np.mgrid[: yx_shape[0], : yx_shape[1]]
    spots = [np.exp(-((y - a) ** 2 + (x - b) ** 2) / 12) for a, b in zip(rng.uniform(0, 61, 25), rng.uniform(0, 74, 25), strict=True)]
    return 3 + 60 * np.sum(spots, 0)


@pytest.mark.parametrize("camera", [CAMERA, Camera(0.0, 2.0, 0.0)], ids=["read noise", "photon counting"])
def test_halves_are_independent_and_unbiased(camera: Camera) -> None:
    """Over 400 recordings: mean of both halves, their variance, and the covariance summed over the image."""
    clean, rng, generator = blobs(), np.random.default_rng(1), torch.Generator().manual_seed(1)
    errors = []
    for _ in range(400):
        halves = noise_splits(recorded(clean, rng, camera), generator)
        errors.append([half.numpy() - clean for half in halves])
    first, second = np.moveaxis(np.array(errors), 1, 0)
    variance = camera.gain * clean + camera.read_variance
    # means of 400 x 4514 errors with a variance of 2 sigma^2
    assert abs(first.mean()) < 5 * np.sqrt(2 * variance.mean() / first.size)
    assert abs(second.mean()) < 5 * np.sqrt(2 * variance.mean() / first.size)
    assert first.var() / variance.mean() == pytest.approx(2, abs=0.02)
    assert abs((first * second).mean()) / variance.mean() < 0.01
    # not at single pixels: the signal is estimated over 5 x 5 of them, so peaks are thought too dark
    assert np.abs((first * second).mean(0) / variance).max() < 1


def test_correlation_at_full_light_is_that_of_two_full_recordings() -> None:
    clean, rng, generator = blobs(), np.random.default_rng(3), torch.Generator().manual_seed(3)
    from_halves, full = [], []
    for _ in range(30):
        one, other = recorded(clean, rng), recorded(clean, rng)
        full.append(frc_curve(one.y.numpy(), other.y.numpy(), UM)[1])
        first, second = noise_splits(one, generator)
        from_halves.append(frc_curve(first.numpy(), second.numpy(), UM)[1])
    difference = at_full_light(np.mean(from_halves, 0)) - np.mean(full, 0)
    # means of 30 curves whose outer rings hold about a hundred values each
    assert np.abs(difference[3:]).max() < 0.12 and abs(difference[3:].mean()) < 0.02
    assert np.ptp(np.mean(full, 0)) > 0.8


def test_alternating_frames_are_halves_of_a_series() -> None:
    frames = np.random.default_rng(0).normal(size=(7, 12, 14))
    odd, even = alternating_splits(frames)
    assert np.allclose(odd, (frames[0] + frames[2] + frames[4]) / 3) and np.allclose(even, (frames[1] + frames[3] + frames[5]) / 3)
    with pytest.raises(ImageError, match="1 frames"):
        alternating_splits(frames[:1])


def truth_limit(clean: np.ndarray, variance: np.ndarray, um: tuple[float, float], reach: float) -> float:
    """Where the power of the signal, known without noise, falls to a sixth of that of the noise, known from the camera.

    Both are averaged as `signal_to_noise` does it (Gaussian of 8 % of the frequency), here ring by ring.
    """
    rings = Rings(clean.shape[-2:], um)
    noise = (rings.window**2 * (variance + 1 / 12)).sum((-2, -1)).mean()  # white, under the window; 1/12 from whole counts
    power, n = rings.power(clean), np.arange(len(rings.frequency))
    last = 0
    for ring in n[1:]:
        weight = rings.modes * np.exp(-(((n - ring) / max(0.08 * ring, 0.5)) ** 2) / 2)
        if (weight * power).sum() / weight.sum() > MIN_SNR * noise and rings.frequency[ring] <= reach:
            last = ring
    return float(rings.frequency[last])


def simulated_field(simulation: Simulation) -> tuple[CameraMeasurement, np.ndarray, np.ndarray]:
    scene = simulation.scene
    camera = Camera(0.0, scene.gain, scene.read_noise**2)
    y = simulation.noisy.data.astype(np.float32) - scene.offset
    return CameraMeasurement(torch.from_numpy(y), camera), simulation.clean.data, camera.variance(simulation.clean.data)


@pytest.mark.parametrize("structure", ["filaments", "network", "puncta"])
@pytest.mark.parametrize("photons", [12.0, 60.0])
def test_the_noise_limit_is_where_truth_has_it(structure: str, photons: float) -> None:
    """Over 108 such images the error is 0.1 % on average; its standard deviation is 4 % at 12 photons, 2 % at 100."""
    scene = Scene(structure=structure, photons=photons, size=167, na=1.35, seed=4, gain=1.5)
    _, clean, variance = simulated_field(simulate_2d(scene))
    um, cutoff = (scene.pixel_um, scene.pixel_um), scene.optics.cutoff_per_um
    expected, limits = truth_limit(clean, variance, um, cutoff), []
    for seed in range(4):
        y = expose(clean, scene.camera, np.random.default_rng(seed)).astype(np.float32) - scene.offset
        measurement = CameraMeasurement(torch.from_numpy(y), Camera(0.0, scene.gain, scene.read_noise**2))
        limits.append(signal_to_noise(measurement, um, cutoff_per_um=cutoff).limit_per_um)
    assert np.mean(limits) == pytest.approx(expected, rel=0.06)
    assert limits == pytest.approx([expected] * 4, rel=0.16)
    assert expected < 0.99 * cutoff


def test_the_noise_limit_of_a_stack() -> None:
    scene = StackScene(size=64, planes=9, photons=30, seed=2)
    measurement, clean, variance = simulated_field(simulate_3d(scene))
    um = (scene.pixel_um, scene.pixel_um)
    found = signal_to_noise(measurement, um, cutoff_per_um=scene.optics.cutoff_per_um)
    # rings are 0.15 wide here
    assert found.limit_per_um == pytest.approx(truth_limit(clean, variance, um, scene.optics.cutoff_per_um), rel=0.08)


def test_the_noise_limit_of_a_reconstruction() -> None:
    """Structured illumination: signal power from noise-free frames, noise power from recordings over and over."""
    camera, unit = Camera(100.0, 1.3, 4.0), Affine(100.0, 50.0)
    reconstruct = Reconstruct(two_beams(), detection_otf_2d(OPTICS), PIXEL_UM, 0.2)
    acquisition = StructuredPlanes(unit, camera, reconstruct.psf(), reconstruct)
    frames = 1.3 * record(two_beams(), 25, np.random.default_rng(0), (84, 96)).clean
    rng, um = np.random.default_rng(5), (PIXEL_UM / 2, PIXEL_UM / 2)
    measurements = [
        acquisition.measure(100 + 1.3 * rng.poisson(frames / 1.3) + rng.normal(0, 2, frames.shape), torch.device("cpu")) for _ in range(12)
    ]
    clean = reconstruct(torch.from_numpy(frames / 50).float()[None])[0, 0].numpy()
    rings = Rings(clean.shape, um)
    noise = np.mean([rings.power(measurement.y.numpy() - clean) for measurement in measurements], 0)
    finest = OPTICS.cutoff_per_um + 0.85 * OPTICS.cutoff_per_um
    above = (rings.power(clean) / noise > MIN_SNR) & (rings.frequency < finest)
    limits = [signal_to_noise(measurement, um, cutoff_per_um=finest).limit_per_um or 0.0 for measurement in measurements]
    # one image of 168 x 192 pixels tells its limit to 10 %
    assert np.mean(limits) == pytest.approx(rings.frequency[above][-1], rel=0.08)
    assert np.std(limits) < 0.12 * np.mean(limits)


def test_noise_alone_has_no_signal_at_any_frequency() -> None:
    measurements = [recorded(np.full((81, 96), 20.0), np.random.default_rng(seed)) for seed in range(20)]
    assert [signal_to_noise(measurement, UM, seed=n).limit_per_um for n, measurement in enumerate(measurements)] == [None] * 20
    found = measure(measurements[0], UM)
    judged = section(found)
    assert judged.level == "fail" and "no signal" in judged.findings[0].message
    assert judged.numbers["noise_limit_nm"] is None


@pytest.mark.parametrize("share", [0.3, 0.5, 0.7])
@pytest.mark.parametrize("noise", [0.01, 0.3])
def test_decorrelation_finds_a_known_band_limit(share: float, noise: float) -> None:
    """Points seen through a filter that ends abruptly, with a little and with much white noise."""
    rng, shape = np.random.default_rng(6), (151, 186)
    points = np.zeros(shape)
    points[rng.integers(0, 151, 90), rng.integers(0, 186, 90)] = rng.uniform(0.3, 1, 90)
    k = np.hypot(np.fft.fftfreq(151, UM[0])[:, None], np.fft.fftfreq(186, UM[1]))
    limit = share * 0.5 / max(UM)
    image = np.fft.ifft2(np.fft.fft2(points) * (k < limit)).real
    image += noise * image.std() * rng.normal(size=shape)
    found = decorrelation(image, UM)
    # the maximum lies a few of its 200 steps beyond the edge, more where noise hides it
    assert found.cutoff_per_um == pytest.approx(limit, rel=0.08)
    assert found.resolution_nm == pytest.approx(1e3 / limit, rel=0.08)
    assert decorrelation(np.stack([image, image]), UM).cutoff_per_um == pytest.approx(found.cutoff_per_um)


def test_decorrelation_finds_no_structure_in_noise_and_less_in_blurred_images() -> None:
    from scipy.ndimage import gaussian_filter

    rng = np.random.default_rng(7)
    assert decorrelation(rng.normal(size=(90, 101)), UM).cutoff_per_um is None
    image = gaussian_filter((rng.random((160, 170)) < 0.01).astype(float), 1.0)
    wide = gaussian_filter(image, 2.0)
    sharp, blurred = (decorrelation(x / x.max() + 0.003 * rng.normal(size=x.shape), UM).resolution_nm for x in (image, wide))
    assert sharp and blurred and blurred > 1.5 * sharp


def test_restored_halves_of_a_model_and_everything_put_together() -> None:
    import zsdeconv as zs

    scene = Scene(structure="network", photons=60, size=64, seed=1)
    simulation = simulate_2d(scene)
    model = zs.train([simulation.noisy], Optics(1.4, 525), steps=3)
    measurement = model.acquisition.measure(simulation.noisy.data, torch.device("cpu"))
    generator = torch.Generator().manual_seed(0)
    one, other = restored_splits(model, measurement, generator)
    assert one.deconvolved.shape == (128, 128) and not torch.equal(one.deconvolved, other.deconvolved)
    found = measure(
        measurement,
        (0.065, 0.065),
        restored_splits=(one.deconvolved.numpy(), other.deconvolved.numpy()),
        recorded_splits=(measurement.y.numpy(), measurement.y.numpy()),
        restored=one.deconvolved.numpy(),
        cutoff_per_um=scene.optics.cutoff_per_um,
    )
    assert found.restored is not None and found.recorded is not None and found.structure is not None
    assert found.restored.frequency_per_um[-1] == pytest.approx(2 * found.raw.frequency_per_um[-1], rel=0.03)
    assert found.recorded.crossing_per_um is None
    judged = section(found)
    assert "inferred by the network" in judged.findings[0].message
    assert judged.numbers["noise_limit_nm"] == pytest.approx(1e3 / (found.spectrum.limit_per_um or 0))
    drawn(found)


def test_restorations_that_agree_less_than_the_data_are_called_so() -> None:
    measurement, _, _ = simulated_field(simulate_2d(Scene(photons=100, size=96, seed=2)))
    rng = np.random.default_rng(0)
    poor = [measurement.y.numpy() + rng.normal(0, 60, measurement.y.shape) for _ in range(2)]
    found = measure(measurement, (0.065, 0.065), restored_splits=(poor[0], poor[1]))
    last = section(found).findings[-1]
    assert last.level == "warn" and "not restored reliably" in last.message
    drawn(found)


def test_what_limits_is_named() -> None:
    """The lens where light is plenty, the pixels where they are coarser than the lens, the noise where light is scarce."""
    scene = Scene(structure="puncta", photons=20_000, size=96, seed=2)
    bright, _, _ = simulated_field(simulate_2d(scene))
    first = section(measure(bright, (0.065, 0.065), cutoff_per_um=0.9 * scene.optics.cutoff_per_um)).findings[0]
    assert first.level == "ok" and "the optics can record" in first.message
    coarse = CameraMeasurement(bright.y.reshape(32, 3, 32, 3).mean((1, 3)), bright.camera)
    first = section(measure(coarse, (0.195, 0.195), cutoff_per_um=scene.optics.cutoff_per_um)).findings[0]
    assert first.level == "ok" and "the pixels can record" in first.message
    dim, _, _ = simulated_field(simulate_2d(Scene(structure="network", photons=2, size=96, seed=2)))
    first = section(measure(dim, (0.065, 0.065), cutoff_per_um=scene.optics.cutoff_per_um)).findings[0]
    assert first.level == "warn" and "more light" in first.message


def drawn(found: Resolution) -> None:
    for captioned in section(found).figures:
        figure = Figure(figsize=captioned.size_in, layout="constrained")
        captioned.draw(figure)
        FigureCanvasAgg(figure).draw()
        assert len(figure.axes[0].lines) >= 2
