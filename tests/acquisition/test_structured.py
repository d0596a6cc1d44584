"""Fields, pairs and observed objects of structured illumination: their noise is that of raw frames, reconstructed."""

import numpy as np
import pytest
import torch

from sim.simulator import KC, OPTICS, PIXEL_UM, curves, record, two_beams
from zsdeconv.acquisition.base import training_excerpts
from zsdeconv.acquisition.structured import StructuredPlanes
from zsdeconv.acquisition.structured_noise import ReconstructedPairs, StructuredMeasurement
from zsdeconv.camera.detector import Camera
from zsdeconv.camera.maps import CameraMaps
from zsdeconv.config import TrainingSection
from zsdeconv.data.batches import RandomStreams
from zsdeconv.data.normalize import Affine
from zsdeconv.data.pairs import Recorruption
from zsdeconv.physics import grid
from zsdeconv.physics.operators import Blur, Crop
from zsdeconv.sim.detection import detection_otf_2d
from zsdeconv.sim.reconstruct import Reconstruct
from zsdeconv.sim.stored import from_parts, to_parts

CPU = torch.device("cpu")
CAMERA = Camera(offset=100.0, gain=1.3, read_variance=4.0)
UNIT = Affine(100.0, 50.0)
RECONSTRUCT = Reconstruct(two_beams(), detection_otf_2d(OPTICS), PIXEL_UM, 0.2)
IMAGING = StructuredPlanes(UNIT, CAMERA, RECONSTRUCT.psf(), RECONSTRUCT)


def frames(photons: float = 40, yx_shape: tuple[int, int] = (64, 72), seed: int = 0) -> np.ndarray:
    recording = record(two_beams(), photons, np.random.default_rng(seed), yx_shape)
    return 100 + CAMERA.gain * recording.frames


def measurement(seed: int = 0) -> StructuredMeasurement:
    return IMAGING.measure(frames(seed=seed), CPU)


def noise_of(of: StructuredMeasurement, n: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(1)
    return torch.stack([of.noise(generator) for _ in range(n)])


def test_a_field_is_the_reconstruction_of_its_frames() -> None:
    raw = frames()
    expected = RECONSTRUCT(torch.from_numpy((raw - 100) / 50)[None])[0, 0]
    torch.testing.assert_close(measurement().y.double(), expected, rtol=0, atol=1e-5)
    assert measurement().y.shape == (128, 144)


def test_its_noise_varies_as_that_of_reconstructed_frames_does() -> None:
    """Against the variance of frames that were recorded again and again, on average and where it is bright."""
    recording = record(two_beams(), 40, np.random.default_rng(0), (64, 72))
    rng, camera = np.random.default_rng(7), UNIT.camera_in_unit(CAMERA)
    again = CAMERA.gain * rng.poisson(recording.clean, (150, *recording.clean.shape)) + rng.normal(0, 2, (150, *recording.clean.shape))
    images = RECONSTRUCT(torch.from_numpy(again / 50).float())[:, 0]
    found, expected = noise_of(measurement(), 150).var(0), images.var(0)
    assert camera.read_variance == pytest.approx(4 / 2500)
    # 18 000 correlated pixels of 150 draws each
    assert float(found.mean() / expected.mean()) == pytest.approx(1.0, abs=0.03)
    bright, dark = expected > expected.quantile(0.9), expected < expected.quantile(0.1)
    # lines are thinner than the mean of 5 x 5 pixels by which Eq. 3 estimates the signal
    assert 0.75 < float(found[bright].mean() / expected[bright].mean()) < 1.0
    assert 1.0 < float(found[dark].mean() / expected[dark].mean()) < 1.3
    assert float(expected[bright].mean() / expected[dark].mean()) > 3


def test_the_middle_of_a_field_has_the_noise_of_that_place() -> None:
    whole = measurement()
    part = whole.center_crop(whole.y.numel() / 4)
    assert part.y.shape == (64, 72) and part.origin_px == (16, 18)
    assert torch.equal(part.y, whole.y[32:96, 36:108])
    ratio = noise_of(part, 100).var(0)[16:-16, 16:-16].mean() / noise_of(whole, 100).var(0)[48:80, 52:92].mean()
    assert float(ratio) == pytest.approx(1.0, abs=0.05)
    assert training_excerpts([whole], 100)[0].y.numel() <= 100


def test_clipped_darkness_counts_through_the_reconstruction() -> None:
    dark = IMAGING.measure(100 + np.random.default_rng(0).normal(0, 2, (9, 64, 72)), CPU)
    z = noise_of(dark, 20)
    drawn = UNIT.camera_in_unit(CAMERA).variance(dark.signal).mean()
    assert float(dark.variance_bias().mean()) == pytest.approx(float(z.square().mean() * (1 - (4 / 2500) / drawn)), rel=0.1)


def training(patch_px: int = 48, batch: int = 6) -> TrainingSection:
    return TrainingSection(patch_px=patch_px, batch=batch)


def test_both_halves_of_a_pair_share_nothing_but_the_object() -> None:
    """`y_hat - y = alpha z` and `y_tilde - y = -z / alpha` with one z, whose noise is that of the field at that place."""
    recorrupt = Recorruption(UNIT.camera_in_unit(CAMERA), alpha=(1.5, 1.5), beta1_factor=(1.0, 1.0), beta2_factor=(1.0, 1.0))
    whole = measurement()
    pairs = IMAGING.pairs([whole], recorrupt, training(), [0])
    assert isinstance(pairs, ReconstructedPairs) and pairs.patch_px == (48, 48)
    sums, n = torch.zeros(3), 40
    for seed in range(n):
        y_hat, y_tilde, gap = pairs(torch.nn.Identity(), RandomStreams(seed, CPU))
        assert gap is None and y_hat.shape == y_tilde.shape == (6, 1, 48, 48)
        y = (y_hat + 1.5**2 * y_tilde) / (1 + 1.5**2)
        sums += torch.stack([((y_hat - y) / 1.5).square().mean(), y.mean(), (y_hat - y_tilde).mean()])
    variance = noise_of(whole, 100).var(0).mean()
    assert float(sums[0] / n / variance) == pytest.approx(1.0, abs=0.1)  # patches lie anywhere, most of them in the middle
    assert float(sums[1] / n) == pytest.approx(float(whole.y.mean()), rel=0.1)
    assert abs(float(sums[2] / n)) < 0.02


@pytest.mark.parametrize("beyond", [0.6, 0.85])
def test_the_errors_of_a_pair_are_uncorrelated(beyond: float) -> None:
    """Eq. 2 through the reconstruction: over recordings the errors of `y_hat` and `y_tilde` have no covariance, also under stripes that
    the lens still shows.
    """
    parameters = two_beams(beyond * KC)
    reconstruct = Reconstruct(parameters, detection_otf_2d(OPTICS), PIXEL_UM, 0.2)
    acquisition = StructuredPlanes(UNIT, CAMERA, reconstruct.psf(), reconstruct)
    recording = record(parameters, 40, np.random.default_rng(0), (80, 88))
    rng, generator = np.random.default_rng(3), torch.Generator().manual_seed(1)
    clean = reconstruct(torch.from_numpy(CAMERA.gain * recording.clean / 50).float()[None])[0, 0]
    of_y, of_z = [], []
    for _ in range(50):
        raw = 100 + CAMERA.gain * rng.poisson(recording.clean) + rng.normal(0, 2, recording.clean.shape)
        measurement = acquisition.measure(raw, CPU)
        # errors n + z and n - z with alpha 1: n and z apart, as their product has mean 0 and would only add noise
        of_y.append(float((measurement.y - clean).square().mean()))
        of_z.append(float(measurement.noise(generator).square().mean()))
    correlation = (np.mean(of_y) - np.mean(of_z)) / (np.mean(of_y) + np.mean(of_z))
    error = np.hypot(np.std(of_y), np.std(of_z)) / np.sqrt(50) / (np.mean(of_y) + np.mean(of_z))
    assert error < 0.0035
    assert abs(correlation) < 0.002 + 3 * error  # with the mean over 5 x 5 pixels of single frames 0.025 at 0.6


def test_pixels_with_their_own_read_noise_are_followed_through_the_reconstruction() -> None:
    """Camera maps: half of the sensor is noisy, and so is that half of the reconstruction, in measurements, their parts, and pairs."""
    read, ones = np.where(np.arange(72) < 40, 0.25, 400.0) * np.ones((64, 1)), np.ones((64, 72), np.float32)
    noisy = IMAGING.with_maps(CameraMaps(100 * ones, CAMERA.gain * ones, read.astype(np.float32), np.zeros(ones.shape, bool)))
    whole = noisy.measure(frames(), CPU)
    strength = noise_of(whole, 40).var(0)
    # between the halves the reconstruction spreads noise over a few pixels
    assert float(strength[:, 100:].mean() / strength[:, :60].mean()) > 10
    part = whole.center_crop(whole.y.numel() / 4)
    assert torch.equal(part.camera.read_variances, whole.camera.read_variances[16:48, 18:54])  # pyright: ignore
    later = noisy.measure(frames()[:, :, 36:], CPU, (0, 0, 36))
    assert torch.equal(later.camera.read_variances, whole.camera.read_variances[:, 36:])  # pyright: ignore
    maker = Recorruption(UNIT.camera_in_unit(CAMERA), alpha=(1.0, 1.0), beta1_factor=(1.0, 1.0), beta2_factor=(1.0, 1.0))
    pairs = noisy.pairs([whole], maker, training(patch_px=128, batch=30), [0])
    y_hat, y_tilde, _ = pairs(torch.nn.Identity(), RandomStreams(0, CPU))
    drawn = ((y_hat - y_tilde) / 2).square().mean((0, 1))
    assert float(drawn[:, 100:].mean() / drawn[:, :60].mean()) > 10


def test_patches_are_turned_after_the_reconstruction() -> None:
    quiet = Camera(offset=0.0, gain=0.0, read_variance=0.0)
    frames = torch.zeros(9, 48, 48)
    smooth = StructuredMeasurement(torch.arange(96.0 * 96).reshape(96, 96), frames, frames, quiet, RECONSTRUCT, (0, 0), 0.0)
    pairs = ReconstructedPairs([smooth], Recorruption(quiet), training(patch_px=96, batch=4), [5])
    y_hat, _, _ = pairs(torch.nn.Identity(), RandomStreams(0, CPU))
    assert torch.equal(y_hat[0, 0], grid.apply_symmetry(smooth.y, 5))


def test_an_observed_object_is_its_image_with_the_noise_of_the_camera() -> None:
    x = torch.from_numpy(curves((80, 80), np.random.default_rng(1)) * 0.5).float()[None, None].expand(60, 1, 80, 80)
    y = IMAGING.simulate(x, Crop((12, 12)), torch.full((60, 1, 1, 1), 2.0), torch.Generator().manual_seed(0))
    assert y.shape == (60, 1, 56, 56)
    expected = Blur(RECONSTRUCT.psf().values)(x[:1])[..., 12:-12, 12:-12]
    error = y.mean(0) - expected[0]
    # 60 draws of noise, and mirror images at the border that are lit otherwise
    assert float(error.std()) < 0.1 * float(expected.std())
    once = IMAGING.simulate(x, Crop((12, 12)), torch.full((60, 1, 1, 1), 1.0), torch.Generator().manual_seed(0))
    assert float(y.var(0).mean() / once.var(0).mean()) == pytest.approx(2.0, rel=0.01)  # the same draws, scaled


def test_a_stored_reconstruction_is_the_same() -> None:
    again = from_parts(*to_parts(RECONSTRUCT))
    x = torch.rand(1, 9, 40, 44)
    assert torch.equal(again(x), RECONSTRUCT(x))
    assert np.array_equal(again.psf().values, RECONSTRUCT.psf().values)
