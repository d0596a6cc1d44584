"""Noise with a memory: measured through structure, drawn with the covariance that it has, and re-corrupted to independent pairs."""

from pathlib import Path

import numpy as np
import pytest
import tifffile
import torch
from scipy.ndimage import convolve1d, gaussian_filter, zoom

import oracles
from zsdeconv.camera import Calibration, Camera, calibrate
from zsdeconv.camera.correlation import WHITE, NoiseCorrelation, measure_correlation
from zsdeconv.camera.highpass import tile_spectra
from zsdeconv.config import TrainingSection
from zsdeconv.data.batches import RandomStreams, SplitPairs
from zsdeconv.data.pairs import Recorruption

SCANNED = NoiseCorrelation(((0.25, 0.5, 0.25),))
SKEWED = NoiseCorrelation(((0.1, 0.2, 0.05), (0.3, 1.0, 0.3), (0.05, 0.2, 0.1)))
EXACT = {"alpha": (1.5, 1.5), "beta1_factor": (1.0, 1.0), "beta2_factor": (1.0, 1.0)}


def photons(shape: tuple[int, int], rng: np.random.Generator, peak: float) -> np.ndarray:
    """Curved lines and dots, with nothing beyond 0.35 cycles per pixel."""
    y, x = np.mgrid[: shape[0], : shape[1]].astype(float)
    lines = sum(
        np.exp(-((y - c - a * np.sin(x / w)) ** 2) / 2) for c, a, w in zip(*rng.uniform(1, 40, (3, 6)) * [[6], [1], [1]], strict=True)
    )
    image = gaussian_filter(lines + 12.0 * (rng.random(shape) < 0.001), 1.5)
    return peak * image / np.percentile(image, 99.8)


def scanned(clean: np.ndarray, rng: np.random.Generator, gain: float = 4.0, read: float = 6.0) -> np.ndarray:
    """A point scanner whose amplifier spreads the noise over three pixels of a row."""
    noise = gain * rng.poisson(clean / gain) - clean + rng.normal(0, read, clean.shape)
    return (clean + convolve1d(noise, [0.25, 0.5, 0.25], axis=-1) + 60).round()


def smoothed(clean: np.ndarray, rng: np.random.Generator, sigma: float = 0.8) -> np.ndarray:
    return gaussian_filter(2.0 * rng.poisson(clean / 2) + rng.normal(100, 3, clean.shape), sigma)


@pytest.mark.parametrize("peak", [60, 200])
def test_the_memory_of_a_scanner_is_measured_along_its_lines(peak: float) -> None:
    rng = np.random.default_rng(int(peak))
    found = calibrate(scanned(photons((243, 278), rng, peak), rng))
    memory = found.camera.correlation
    assert found.correlated and not found.unaccounted
    assert memory.rho(0, 1) == pytest.approx(2 / 3, abs=0.05) and memory.rho(0, 2) == pytest.approx(1 / 6, abs=0.05)
    assert abs(memory.rho(1, 0)) < 0.04 and memory.sigma < 0.04
    # in the pixel: the squares of the filter sum to 0.375
    assert found.camera.gain == pytest.approx(1.5, rel=0.12)
    assert found.camera.offset == pytest.approx(60, abs=max(3.5 * found.offset_sigma, 1.0))
    assert any("along x" in message for message in found.messages)


@pytest.mark.parametrize("sigma", [0.6, 0.8, 1.0])
def test_the_memory_of_a_smoothed_image_is_measured_in_both_directions(sigma: float) -> None:
    rng = np.random.default_rng(3)
    clean = photons((220, 256), rng, 100)
    memory = calibrate(smoothed(clean, rng, sigma)).camera.correlation
    impulse = np.zeros((31, 31))
    impulse[15, 15] = 1.0
    kernel = gaussian_filter(impulse, sigma)
    rho = np.fft.ifft2(np.abs(np.fft.fft2(kernel)) ** 2).real / (kernel**2).sum()
    for lag in ((0, 1), (1, 0), (1, 1), (0, 2), (2, 0)):
        # three standard errors of 0.02 to 0.04
        assert memory.rho(*lag) == pytest.approx(rho[lag], abs=0.1), lag


def test_gain_and_offset_of_a_smoothed_camera_are_those_of_its_pixels() -> None:
    rng = np.random.default_rng(8)
    clean = photons((256, 280), rng, 200)
    many = np.stack([smoothed(clean, rng) for _ in range(40)])
    found = calibrate(many[0]).camera
    bright, dark = clean > np.quantile(clean, 0.95), clean < np.quantile(clean, 0.3)
    for where in (bright, dark):
        signal, variance = many.mean(0)[where].mean() - found.offset, many.var(0, ddof=1)[where].mean()
        # the factor from the high-pass to the pixel is known to a sixth
        assert float(found.variance(np.array(signal))) == pytest.approx(variance, rel=0.25)
    assert found.offset == pytest.approx(100, abs=3.0)


def test_white_noise_has_no_memory_and_the_camera_is_what_it_was() -> None:
    rng = np.random.default_rng(5)
    y = 2.0 * rng.poisson(photons((200, 220), rng, 100) / 2) + rng.normal(100, 3, (200, 220))
    found, without = (calibrate(y, memory=memory) for memory in (True, False))
    assert found.camera == without.camera and not found.camera.correlation and not found.camera.lines


def test_frames_of_a_still_sample_measure_it_from_their_differences() -> None:
    """A dense texture hides the noise of one image at most frequencies."""
    rng = np.random.default_rng(6)
    clean = 400 + 200 * gaussian_filter(rng.normal(size=(120, 130)), 1.5).clip(-0.5, 0.5) * 3
    frames = np.stack([scanned(clean, rng) for _ in range(6)])
    found = calibrate(frames).camera
    assert found.correlation.rho(0, 1) == pytest.approx(2 / 3, abs=0.06)
    assert float(found.variance(np.array(400.0 - found.offset + 60))) == pytest.approx(0.375 * (4 * 400 + 36), rel=0.2)


def test_too_small_an_image_is_told_as_before() -> None:
    rng = np.random.default_rng(7)
    y = np.asarray(zoom(2.0 * rng.poisson(photons((24, 26), rng, 100) / 2) + rng.normal(100, 3, (24, 26)), 2, order=1))
    found = calibrate(y)
    assert not found.correlated or found.camera.correlation or any("2nd pixel" in message for message in found.messages)


def test_without_memory_it_is_told_as_before() -> None:
    rng = np.random.default_rng(4)
    found = calibrate(scanned(photons((200, 220), rng, 100), rng), memory=False)
    assert found.unaccounted and any("2nd pixel" in message and "raw data" in message for message in found.messages)


@pytest.mark.parametrize("memory", [WHITE, SCANNED, SKEWED], ids=["white", "along x", "both"])
def test_drawn_noise_has_the_covariance_of_an_explicit_matrix(memory: NoiseCorrelation) -> None:
    variance = torch.tensor(np.random.default_rng(0).uniform(1, 9, (5, 4)))
    generator = torch.Generator().manual_seed(1)
    draws = memory.drawn(variance.expand(40_000, 5, 4), generator).reshape(-1, 20).numpy()
    expected = oracles.filtered_covariance(variance.numpy(), memory.values)
    # the error of a covariance of 40 000 draws is 9 / 200, the largest of 400 has four of them
    np.testing.assert_allclose(draws.T @ draws / len(draws), expected, atol=0.2)


@pytest.mark.parametrize("law", [Camera(0.0, 2.0, 9.0, correlation=SKEWED)])
def test_a_simulated_measurement_has_variance_and_memory_of_the_law(law: Camera) -> None:
    mean = torch.full((300, 310), 50.0)
    noise = law.simulate(mean, 1.0, torch.Generator().manual_seed(2)) - mean
    assert float(noise.mean()) == pytest.approx(0.0, abs=0.15)
    assert float(noise.var()) == pytest.approx(109.0, rel=0.05)
    assert float((noise[:, 1:] * noise[:, :-1]).mean() / noise.var()) == pytest.approx(SKEWED.rho(0, 1), abs=0.02)


def test_pairs_of_correlated_noise_are_uncorrelated_whichever_way_they_are_turned() -> None:
    """`Cov(y_hat, y_tilde) = Cov(y) - Cov(z)` at lags along both axes of turned patches, which white noise leaves at the correlation."""
    law = Camera(0.0, 2.0, 9.0, correlation=SCANNED)
    mean = torch.full((400, 420), 50.0)
    y = law.simulate(mean, 1.0, torch.Generator().manual_seed(3))

    def covariances(camera: Camera) -> list[float]:
        training = TrainingSection(patch_px=32, batch=64)
        pairs = SplitPairs([(y, mean)], Recorruption(camera, **EXACT), training, turn_last=bool(camera.correlation))
        draws = RandomStreams(0, torch.device("cpu"))
        total = np.zeros(3)
        for _ in range(6):
            a, b, _ = pairs(torch.nn.Identity(), draws)
            a, b = a - 50, b - 50
            total += [float((a * b).mean()), float((a[..., 1:] * b[..., :-1]).mean()), float((a[..., 1:, :] * b[..., :-1, :]).mean())]
        return list(total / 6 / 109)

    # 400 000 pixels that share their noise among a few: 1 %, and the amplification of the noise in both
    assert np.abs(covariances(law)).max() < 0.05
    assert covariances(law.white)[1] > 0.2


def test_a_turned_batch_holds_the_noise_in_all_directions() -> None:
    law = Camera(0.0, 0.0, 4.0, correlation=SCANNED)
    flat = torch.zeros(64, 64)
    pairs = SplitPairs([(flat, flat)], Recorruption(law, **EXACT), TrainingSection(patch_px=32, batch=64), turn_last=True)
    noise, _, _ = pairs(torch.nn.Identity(), RandomStreams(0, torch.device("cpu")))
    along = (noise[..., 1:] * noise[..., :-1]).mean((1, 2, 3)) / noise.square().mean((1, 2, 3))
    across = (noise[..., 1:, :] * noise[..., :-1, :]).mean((1, 2, 3)) / noise.square().mean((1, 2, 3))
    assert bool(((along > 0.5) ^ (across > 0.5)).all())  # each patch has one direction
    assert 0.25 < float((along > 0.5).float().mean()) < 0.75


def test_kernels_are_symmetric_and_say_how_wide_they_are() -> None:
    assert SCANNED.fwhm_px == pytest.approx(2.0) and WHITE.fwhm_px == 1.0
    assert SCANNED.pixels == pytest.approx(8 / 3) and WHITE.pixels == 1.0
    noise = gaussian_filter(np.random.default_rng(0).normal(size=(300, 300)), 1.0, mode="wrap")
    found = measure_correlation(tile_spectra(noise[None]))
    assert found is not None
    np.testing.assert_allclose(found.values, found.values[::-1, ::-1], atol=1e-5)
    assert found.fwhm_px == pytest.approx(2.355, rel=0.1)


def test_constant_images_have_no_noise_to_measure() -> None:
    assert measure_correlation(np.zeros((40, 32, 32))) is None


REAL = [("bench/real/real-fmd-widefield-bpae-b", 0.62), ("bench/real/real-fmd-twophoton-mice", None), ("bench/real/real-biosr-actin", None)]


@pytest.mark.parametrize(("name", "rho"), REAL)
def test_real_images_with_a_reference(name: str, rho: float | None, shared: Path) -> None:
    found: Calibration = calibrate(tifffile.imread(shared / name / "noisy.tif"))
    if rho is None:
        assert not found.correlated and not found.camera.correlation
    else:
        assert found.camera.correlation.rho(0, 1) == pytest.approx(rho, abs=0.05) == found.camera.correlation.rho(1, 0)
