"""Which detector recorded an image, and its constants, with honest standard errors."""

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter
from scipy.optimize import minimize

from zsdeconv.camera import calibrate
from zsdeconv.camera.detector import Camera, Counter, Multiplier
from zsdeconv.camera.recognise import _Histogram, count_unit, fit_dark
from zsdeconv.errors import ConfigError

DETECTORS = {"camera": Camera(100.0, 2.0, 9.0), "emccd": Multiplier(490.0, 45.0, 60.0), "counting": Counter(0.0, 1.0)}


def light(seed: int, size: int = 176) -> np.ndarray:
    """Blurred curves, 1 in the brightest places, on a dim haze."""
    rng = np.random.default_rng(seed)
    levels = gaussian_filter(rng.normal(size=(size, size + 15)), 6)
    image = gaussian_filter(np.exp(-((levels / levels.std()) ** 2) * 12), 1.6)
    return image / np.quantile(image, 0.998) + 0.01


def recorded(kind: str, photons: float, seed: int) -> np.ndarray:
    law = DETECTORS[kind]
    mean = torch.from_numpy(light(seed) * photons * law.gain)
    y = law.simulate(mean, 1.0, torch.Generator().manual_seed(seed)).numpy() + law.offset
    return y.round().clip(0, 65535).astype(np.uint16)


@pytest.mark.parametrize("kind", DETECTORS)
@pytest.mark.parametrize("photons", [3, 10, 30])
def test_the_detector_is_recognised(kind: str, photons: float) -> None:
    for seed in range(3):
        found = calibrate(recorded(kind, photons, seed))
        assert found.camera.kind == kind, found.detector_source
        assert found.detector_source.startswith(("from the noise", "counts from 0 on"))


@pytest.mark.parametrize("kind", ["camera", "emccd"])
def test_constants_with_honest_errors(kind: str) -> None:
    """Root mean square of the errors, in standard errors, is about 1; 8 images leave it uncertain by a quarter."""
    law, offset, gain = DETECTORS[kind], [], []
    for seed in range(8):
        found = calibrate(recorded(kind, 8, seed))
        offset.append((found.camera.offset - law.offset) / found.offset_sigma)
        gain.append((found.camera.gain - law.gain) / found.gain_sigma)
    for errors in (offset, gain):
        assert np.sqrt(np.mean(np.square(errors))) < 1.8
        assert np.max(np.abs(errors)) < 3.5


@pytest.mark.parametrize(("kind", "law"), [("camera", Camera(0.0, 2.0, 0.0)), ("emccd", Multiplier(0.0, 30.0, 0.0, 2))])
def test_the_dark_is_fitted_as_well_as_by_search(kind: str, law: Camera) -> None:
    """Nelder and Mead, which need no gradient, find nothing likelier, and the gradient is that of the likelihood."""
    values, counts = np.unique(recorded(kind, 3, 5)[:70, :90], return_counts=True)
    histogram, fit = _Histogram(values, counts, law), fit_dark(values, counts, law)
    around = np.array([(fit.law.offset - values[0]) / law.gain, np.log(fit.law.read_noise / law.gain), 0.3, -1.2])
    searched = minimize(histogram.below, around, method="Nelder-Mead", options={"maxfev": 4000, "fatol": 1e-4, "xatol": 1e-4})
    assert searched.success
    assert -fit.log_likelihood < searched.fun + 0.02  # a 500th of a decisive difference
    value, gradient = histogram.slopes(around)
    assert value == pytest.approx(histogram.below(around), rel=1e-12)
    for i in range(4):
        step = np.eye(4)[i] * 1e-4
        difference = (histogram.below(around + step) - histogram.below(around - step)) / 2e-4
        # the differences inside `slopes` are one-sided, of steps of 1e-3: a thousandth of the curvature over the slope is their error
        assert gradient[i] == pytest.approx(difference, rel=2e-2, abs=1e-3 * np.abs(gradient).max())


@pytest.mark.parametrize("gain", [0.2, 0.5])
def test_peaks_between_grey_values_are_no_evidence(gain: float) -> None:
    """A camera whose electron is less than a grey value, on a structured sample: a read noise far below the rounding, with the offset
    exactly on a grey value, would make the histogram of any law as likely as one likes."""
    for seed in range(4):
        rng = np.random.default_rng([seed, 3])
        grains = gaussian_filter((np.random.default_rng(seed).random((96, 81)) < 0.012).astype(float), 1.6)
        mean = 90 * grains / np.percentile(grains, 99.8) + 3
        y = (gain * (rng.poisson(mean) + rng.normal(0, 1.5, mean.shape)) + 100).round()
        assert calibrate(y).camera.kind == "camera"


@pytest.mark.parametrize("read_adu", [0.5, 0.7])
def test_the_narrowest_peak_has_the_likelihood_of_its_integral(read_adu: float) -> None:
    """Densities of grey values add up to 1, wherever the offset lies between them; Poisson's summation: within 1.5 % from a half on."""
    values = np.arange(90.0, 140.0)
    for law in (Camera(0.0, 0.5, 0.0), Multiplier(0.0, 0.25, 0.0)):
        histogram = _Histogram(values, np.ones(50, int), law)
        assert histogram.range[1, 0] == pytest.approx(np.log(0.5 / law.gain))
        for offset in (10.0, 10.3, 10.5):
            density = histogram.densities(np.array([offset / law.gain, np.log(read_adu / law.gain), 0.0, 0.0]))
            assert density[:, :20].sum(0) / law.gain == pytest.approx(1, abs=0.016)


@pytest.mark.parametrize("seed", range(12))
def test_any_histogram_is_fitted_with_finite_numbers(seed: int) -> None:
    """Light, gains and read noise over decades, outliers, few values, another law: whatever is tried on the way stays finite, too."""
    rng = np.random.default_rng(seed)
    gain, electrons = 10 ** rng.uniform(-0.6, 2.5), 10 ** rng.uniform(-1.5, 2.5)
    noisy = gain * rng.poisson(electrons, 2000) + rng.normal(100, gain * rng.uniform(0.05, 5), 2000)
    y = (noisy, np.append(noisy, rng.uniform(100, 1e4, 5)), rng.choice([100.0, 105.0, 109.0], 2000), rng.exponential(gain, 2000))[seed % 4]
    values, counts = np.unique(y.round(), return_counts=True)
    least = np.median(np.diff(values)) / 9
    for law in (Camera(0.0, max(gain, least), 0.0), *(Multiplier(0.0, max(gain / 2, least), 0.0, shape) for shape in (1, 4))):
        fit = fit_dark(values, counts, law)
        assert np.isfinite([fit.law.offset, fit.law.read_variance, fit.offset_sigma, fit.read_noise_sigma, fit.log_likelihood]).all()


def test_grey_values_wider_than_electrons_tell_no_detector() -> None:
    """An image whose pixels a program has doubled has hardly any noise: its electrons seem to be a thousandth of a grey value."""
    smooth = gaussian_filter(recorded("camera", 60, 1).astype(float), 3)
    found = calibrate(smooth.round())
    assert found.camera.kind == "camera" and "could not be told" in found.detector_source


def test_uniform_haze_is_not_taken_for_offset() -> None:
    """The darkest place of a sample in haze holds light; the skewness of its noise tells."""
    mean = torch.from_numpy((light(0) * 20 + 4) * 2.0)
    y = Camera(0.0, 2.0, 9.0).simulate(mean, 1.0, torch.Generator().manual_seed(1)).numpy().round() + 100
    found = calibrate(y)
    assert abs(found.camera.offset - 100) < 3 * found.offset_sigma
    assert found.camera.offset < 106  # the darkest places are at 108


def test_a_wrong_kind_is_contradicted_and_the_right_one_is_not() -> None:
    for kind in ("camera", "emccd"):
        y = recorded(kind, 6, 4)
        assert not calibrate(y, detector=kind).messages
        other = "emccd" if kind == "camera" else "camera"
        told = calibrate(y, detector=other)
        assert told.camera.kind == other
        assert any(f"detector {other} was given, but the noise is that of {kind}" in message for message in told.messages)


def test_counting_takes_whole_numbers() -> None:
    y = recorded("counting", 6, 0)
    assert calibrate(y * 4).camera == Counter(0.0, 4.0)
    assert calibrate(y.astype(np.float32), detector="counting").camera == Counter(0.0, 1.0)
    with pytest.raises(ConfigError, match="whole numbers"):
        calibrate(y + 0.3 * np.random.default_rng(0).random(y.shape), detector="counting")
    told = calibrate(recorded("camera", 8, 0), detector="counting")
    assert any("photon counter" in message for message in told.messages)


def test_units_of_counts() -> None:
    assert count_unit(np.array([[0, 3], [9, 6]])) == 3
    assert count_unit(np.array([-1, 0, 1])) is None
    assert count_unit(np.array([0.0, 1.0, 1.5])) == 0.5
    assert count_unit(np.array([2.0, 2.0])) is None


def test_calibration_is_equivariant_for_a_multiplier() -> None:
    y = recorded("emccd", 5, 2).astype(np.float64)
    one, other = calibrate(y).camera, calibrate(3 * y + 70).camera
    assert other.offset == pytest.approx(3 * one.offset + 70, abs=0.5)
    assert other.gain == pytest.approx(3 * one.gain, rel=1e-2)
