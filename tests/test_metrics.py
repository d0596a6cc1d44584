"""Scores against their definitions, on odd and unequal sizes, and what may not be scored."""

import numpy as np
import pytest
from skimage.metrics import structural_similarity

from zsdeconv.errors import ImageError, OpticsError
from zsdeconv.image import Image
from zsdeconv.metrics import affine_fit, bin2, evaluate, flux, frc_crossing_um, frc_curve, psnr, ssim
from zsdeconv.physics.psf import Psf


@pytest.fixture
def rng():
    return np.random.default_rng(5)


def asymmetric_psf(spacing_um=(0.05, 0.04)):
    y, x = np.mgrid[-4:5, -3:4]
    values = np.exp(-(y**2) / 6 - x**2 / 3)
    return Psf(values / values.sum(), spacing_um, "test")


def test_affine_fit_is_least_squares(rng):
    x, reference = rng.random((11, 7)), rng.random((11, 7))
    best = affine_fit(x, reference)
    coefficients = np.polyfit(x.ravel(), reference.ravel(), 1)
    assert best == pytest.approx(np.polyval(coefficients, x), rel=1e-10)  # float64, two ways to the same solution


def test_psnr_by_its_definition(rng):
    reference = rng.random((13, 9)) * 30 - 4
    x = 0.3 * reference + 5 + 0.01 * rng.normal(size=reference.shape)
    error = sum((f - r) ** 2 for f, r in zip(affine_fit(x, reference).flat, reference.flat, strict=True)) / reference.size
    assert psnr(x, reference) == pytest.approx(10 * np.log10((reference.max() - reference.min()) ** 2 / error), abs=1e-9)


def test_psnr_ignores_scale_and_offset_but_not_a_constant(rng):
    reference, x = rng.random((2, 12, 17))
    assert psnr(-300 * x + 8, reference) == pytest.approx(psnr(x, reference), abs=1e-9)
    assert psnr(np.full_like(x, 3.0), reference) == pytest.approx(20 * np.log10(np.ptp(reference) / reference.std()), abs=1e-9)
    assert psnr(7 * reference - 2, reference) == float("inf")


def test_ssim_is_the_mean_over_planes(rng):
    x, reference = rng.random((2, 3, 15, 22))
    fit, span = affine_fit(x, reference), np.ptp(reference)
    planes = [structural_similarity(r, f, data_range=span) for r, f in zip(reference, fit, strict=True)]
    assert ssim(x, reference) == pytest.approx(np.mean(planes), abs=1e-12)


def slow_frc(x, reference, yx_um, step):
    """Every frequency visited one by one."""
    ny, nx = x.shape
    hann = [[np.sin(np.pi * (i + 1) / (n + 1)) ** 2 for i in range(n)] for n in (ny, nx)]
    window = np.array([[a * b for b in hann[1]] for a in hann[0]])
    f, g = np.fft.fft2((x - x.mean()) * window), np.fft.fft2((reference - reference.mean()) * window)
    sums = {}
    for j, ky in enumerate(np.fft.fftfreq(ny, yx_um[0])):
        for i, kx in enumerate(np.fft.fftfreq(nx, yx_um[1])):
            ring = sums.setdefault(round(np.hypot(ky, kx) / step), [0.0, 0.0, 0.0])
            ring[0] += (f[j, i] * g[j, i].conjugate()).real
            ring[1] += abs(f[j, i]) ** 2
            ring[2] += abs(g[j, i]) ** 2
    return {ring: a / np.sqrt(b * c) for ring, (a, b, c) in sums.items()}


def test_frc_by_its_definition_on_oblong_images_and_pixels(rng):
    reference = rng.random((21, 34))
    x = reference + rng.normal(0, 0.4, reference.shape)
    frequency, curve = frc_curve(x, reference, (0.05, 0.08))
    slow = slow_frc(x, reference, (0.05, 0.08), frequency[1])
    assert frequency[-1] <= 0.5 / 0.08 + 1e-12
    assert curve[1:] == pytest.approx([slow[ring] for ring in range(1, len(curve))], abs=1e-9)


def test_frc_finds_where_the_signal_ends(rng):
    """White noise and white signal that share all frequencies under 3 / um."""
    n, um, cutoff = 256, 0.06, 3.0
    k = np.hypot(*np.meshgrid(np.fft.fftfreq(n, um), np.fft.fftfreq(n, um)))
    common, own = rng.normal(size=(2, n, n))
    mixed = np.fft.ifft2(np.where(k < cutoff, np.fft.fft2(common), np.fft.fft2(own))).real
    # One frequency step is 0.065 / um, and the mean over three rings shifts the edge by up to one.
    assert 1 / frc_crossing_um(mixed, common, (um, um)) == pytest.approx(cutoff, abs=0.13)


def test_frc_of_equal_images_ends_at_the_pixels(rng):
    x = rng.random((64, 64))
    assert frc_crossing_um(x, x, (0.05, 0.05)) == pytest.approx(0.1, rel=1e-9)


def test_frc_of_unrelated_images_finds_nothing_fine(rng):
    x, reference = rng.normal(size=(2, 128, 128))
    assert frc_crossing_um(x, reference, (0.05, 0.05)) > 1.5  # four rings of a 6.4 um field


def test_flux_is_a_regression_on_the_reference(rng):
    reference = rng.random((31, 18)) * 50 + 2
    slope, offset = flux(0.97 * reference + 1.5 + rng.normal(0, 1e-9, reference.shape), reference)
    assert slope == pytest.approx(0.97, abs=1e-8)
    assert offset == pytest.approx(1.5 / np.percentile(reference, 99.8), abs=1e-8)


def test_noise_in_the_prediction_does_not_bias_the_slope(rng):
    reference = rng.random((200, 210))
    noisy = reference + rng.normal(0, 1.0, reference.shape)
    assert flux(noisy, reference)[0] == pytest.approx(1, abs=0.07)  # four standard errors: 4 * 1 / (0.29 * sqrt(42000))


def test_a_perfect_prediction_has_perfect_scores(rng):
    truth = Image(rng.random((2, 40, 33)), "TYX", {"Y": 0.05, "X": 0.05})
    scores = evaluate(truth, truth)
    assert scores["psnr"] == float("inf")
    assert scores["ssim"] == pytest.approx(1)
    assert scores["flux_slope"] == pytest.approx(1)
    assert scores["flux_offset_frac"] == pytest.approx(0, abs=1e-12)
    assert scores["frc_nm"] == pytest.approx(2 * 50, rel=0.05)
    assert scores["binned"] is False
    assert scores["negative_fraction"] == 0


def test_a_finer_prediction_is_binned_and_says_so(rng):
    fine = rng.random((24, 38)) - 0.1
    prediction = Image(fine, "YX", {"Y": 0.03, "X": 0.03})
    scores = evaluate(prediction, bin2(fine))
    assert scores["binned"] is True
    assert "binned" in scores["flux_of"]
    assert scores["psnr"] == float("inf")
    assert scores["frc_nm"] >= 120  # a pixel of the truth is then 60 nm
    assert scores["negative_fraction"] == np.mean(bin2(fine) < 0)


def test_axes_are_compared_by_name(rng):
    data = rng.random((3, 20, 26))
    truth = Image(data, "TYX")
    apply_symmetry = Image(np.moveaxis(data, 0, -1), "YXT")
    assert evaluate(apply_symmetry, truth)["psnr"] == float("inf")


def test_photometry_through_the_lens(rng):
    """The object explains the blurred, binned frame with slope 1, although it is not similar to it pixel by pixel."""
    psf = asymmetric_psf((0.05, 0.05))
    truth = np.zeros((60, 74))
    truth[tuple(rng.integers(8, 50, (2, 40)))] = 100.0
    padded = np.zeros((68, 80))
    for (j, i), value in np.ndenumerate(psf.values):
        padded[j : j + 60, i : i + 74] += value * truth
    camera = bin2(padded[4:-4, 3:-3])
    scores = evaluate(Image(truth, "YX", {"Y": 0.05, "X": 0.05}), camera, psf=psf)
    assert scores["flux_slope"] == pytest.approx(1, abs=1e-9)
    assert scores["flux_offset_frac"] == pytest.approx(0, abs=1e-9)
    assert evaluate(truth, camera)["flux_slope"] != pytest.approx(1, abs=0.01)
    assert evaluate(1.02 * truth, truth, psf=psf)["flux_slope"] == pytest.approx(1.02, abs=1e-9)


def test_photometry_of_a_stack_goes_through_its_planes(rng):
    kernel = np.zeros((3, 7, 7))
    kernel[1, 3, 3], kernel[0, 3, 3], kernel[2, 3, 4] = 0.5, 0.3, 0.2
    psf = Psf.from_array(kernel, (0.2, 0.05, 0.05), "a test")
    truth = rng.random((2, 9, 40, 44))
    padded = np.pad(truth, ((0, 0), *((n // 2, n // 2) for n in psf.values.shape)))
    blurred = np.zeros(truth.shape)
    for at, value in np.ndenumerate(psf.values[::-1, ::-1, ::-1]):
        blurred += value * padded[(slice(None), *(slice(i, i + n) for i, n in zip(at, truth.shape[1:], strict=True)))]
    spacing = {"Z": 0.2, "Y": 0.05, "X": 0.05}
    scores = evaluate(Image(1.03 * truth, "TZYX", spacing), Image(bin2(blurred), "TZYX", {"Z": 0.2, "Y": 0.1, "X": 0.1}), psf=psf)
    assert scores["flux_slope"] == pytest.approx(1.03, abs=1e-6)


def test_the_psf_is_convolved_not_correlated(rng):
    values = np.zeros((5, 5))
    values[2, 2:] = 0.5, 0.2, 0.3  # a tail along +x
    psf = Psf.__new__(Psf)  # a centred PSF would hide the sign
    for name, value in (("values", values), ("spacing_um", (0.1, 0.1)), ("source", "test")):
        object.__setattr__(psf, name, value)
    truth = rng.random((40, 40))
    frame = 0.5 * truth + 0.2 * np.roll(truth, 1, 1) + 0.3 * np.roll(truth, 2, 1)
    assert evaluate(np.kron(truth, np.ones((2, 2))), truth)["flux_slope"] == pytest.approx(1)
    fine = rng.random((80, 80))
    frame = bin2(0.5 * fine + 0.2 * np.roll(fine, 1, 1) + 0.3 * np.roll(fine, 2, 1))
    assert evaluate(fine, frame, psf=psf)["flux_slope"] == pytest.approx(1, abs=1e-9)


def test_soft_scores_forgive_what_no_lens_resolves(rng):
    from scipy.ndimage import gaussian_filter

    sharp = np.zeros((64, 70))
    sharp[tuple(rng.integers(4, 60, (2, 60)))] = 1
    truth = Image(sharp, "YX", {"Y": 0.02, "X": 0.02})
    scores = evaluate(gaussian_filter(sharp, 2.0), truth, resolution_um=2.0 * 0.02 * 2.3548)
    assert scores["soft_psnr"] > 60  # the same Gaussian up to five digits of 2.3548
    assert scores["soft_psnr"] > scores["psnr"] + 20
    assert scores["soft_ssim"] > scores["ssim"]


def assert_refused(kind, *args, words=(), **options):
    with pytest.raises(kind) as caught:
        evaluate(*args, **options)
    message = str(caught.value)
    assert "\n" not in message
    for word in words:
        assert word in message


@pytest.mark.parametrize("shape", [(20, 21), (40, 20), (10, 10), (60, 60), (2, 20, 20)])
def test_other_grids_are_refused(shape):
    assert_refused(ImageError, np.ones(shape), np.eye(20), words=("20 Y x 20 X", "twice finer"))


def test_values_that_cannot_be_scored_are_refused(rng):
    x = rng.random((20, 20))
    hole = x.copy()
    hole[3, 4] = np.nan
    assert_refused(ImageError, hole, x, words=("prediction", "1 of 400"))
    assert_refused(ImageError, x, hole, words=("truth", "1 of 400"))
    assert_refused(ImageError, x, np.full((20, 20), 7.0), words=("constant", "7"))
    assert_refused(ImageError, x[:5, :5], x[:5, :5], words=("7 x 7",))
    assert_refused(ImageError, x, x, resolution_um=0.1, words=("give pixel_um",))


def test_a_volume_psf_is_refused(rng):
    x = rng.random((20, 20))
    kernel = np.zeros((3, 3, 3))
    kernel[1, 1, 1] = 1
    assert_refused(OpticsError, x, x, psf=Psf(kernel, (0.1, 0.1, 0.1), "test"), words=("3-D", "2-D psf"))
