"""The reconstruction against direct sums, its laws, its PSF against the image of a point, and its quality on simulated cells."""

import numpy as np
import pytest
import torch

from laws import assert_adjoint, assert_gradient_is_adjoint, assert_linear
from sim.simulator import KC, OPTICS, PIXEL_UM, lens, record, two_beams
from zsdeconv.camera.detector import Camera, signal_estimate
from zsdeconv.data.pairs import Recorruption
from zsdeconv.errors import ConfigError, OpticsError
from zsdeconv.physics.operators import fast_length
from zsdeconv.physics.optics import Optics
from zsdeconv.physics.psf_check import fwhm_um
from zsdeconv.physics.psf_theory import theoretical_psf
from zsdeconv.sim.detection import detection_otf_2d
from zsdeconv.sim.estimate import estimate_parameters
from zsdeconv.sim.patterns import Direction, SimParameters, illumination
from zsdeconv.sim.reconstruct import Reconstruct, halved_gaussian
from zsdeconv.sim.wiener import WIENER_RANGE, choose_wiener

DETECTION = detection_otf_2d(OPTICS)
COARSE = detection_otf_2d(Optics(0.5, 500))
"""A lens for small frames: cutoff 2 cycles per um."""


def odd_parameters(order: str = "direction-phase") -> SimParameters:
    """Two directions of unlike wave vectors, four uneven phases, gains: nothing symmetrical in it."""
    return SimParameters(
        (
            Direction((0.83, 1.37), 0.7, 0.4, (0.1, 1.5, 3.3, 4.9), (1.0, 1.1, 0.9, 1.2)),
            Direction((-1.62, 0.59), 0.9, -2.3, (0.0, 1.6, 3.1, 4.6), (0.8, 1.05, 1.0, 1.3)),
        ),
        0.2,
        order,  # pyright: ignore[reportArgumentType]
    )


def by_direct_sums(frames: np.ndarray, parameters: SimParameters, pixel_um: float, w: float, attenuation: float, margin: int) -> np.ndarray:
    """SIM reconstruction frame by frame, with matrices of exponentials instead of any FFT, in double precision."""

    def a(k: np.ndarray) -> np.ndarray:
        return 1 - attenuation * np.exp(-((k / (0.15 * COARSE.cutoff_per_um)) ** 2) / 2)

    ny, nx = frames.shape[1:]
    sizes = [fast_length(n + 2 * margin) for n in (ny, nx)]
    before = [(size - n + 1) // 2 for size, n in zip(sizes, (ny, nx), strict=True)]
    padded = np.pad(frames, [(0, 0), *((m, m) for m in before)], mode="reflect")[:, : sizes[0], : sizes[1]]
    # frequencies below Nyquist, raw samples j at 2 j on the fine grid
    ky, kx = (np.arange(-(n // 2) + 1, n // 2) / (n * pixel_um) for n in sizes)
    raw_y, raw_x = (pixel_um * np.arange(n) for n in sizes)
    fine_y, fine_x = (pixel_um / 2 * np.arange(2 * n) for n in sizes)
    k = np.hypot(ky[:, None], kx)
    total = np.zeros((len(fine_y), len(fine_x)))
    for d, direction in enumerate(parameters.directions):
        phases = np.array(direction.phases_rad)
        mixing = np.stack([np.ones(len(phases)), np.exp(1j * phases), np.exp(-1j * phases)], axis=1)
        inverse = np.linalg.pinv(mixing)
        c = direction.depth / 2 * np.exp(1j * direction.phase_rad)
        place_y, place_x = fine_y - before[0] * pixel_um, fine_x - before[1] * pixel_um
        carrier = np.exp(-2j * np.pi * (direction.p_per_um[0] * place_y[:, None] + direction.p_per_um[1] * place_x))
        for i, number in enumerate(parameters.layout.numbers[d]):
            spectrum = np.exp(-2j * np.pi * np.outer(ky, raw_y)) @ padded[number] @ np.exp(-2j * np.pi * np.outer(raw_x, kx))
            spectrum *= a(k) * COARSE(k)
            fine = np.exp(2j * np.pi * np.outer(fine_y, ky)) @ spectrum @ np.exp(2j * np.pi * np.outer(kx, fine_x)) / np.prod(sizes)
            r = np.real(inverse[0, i] + 2 * np.conj(c) * inverse[1, i] * carrier)
            total += direction.gains[i] * r * fine.real / len(parameters.directions)
    fy, fx = (np.arange(-n + 1, n) / (n * pixel_um) for n in sizes)

    def W(y: np.ndarray, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        D, N, seen = np.zeros(np.broadcast_shapes(y.shape, x.shape)), 0.0, False
        for direction in parameters.directions:
            for m, strength in ((0, 1.0), (1, (direction.depth / 2) ** 2), (-1, (direction.depth / 2) ** 2)):
                q = np.hypot(y + m * direction.p_per_um[0], x + m * direction.p_per_um[1])
                D = D + strength * a(q) * COARSE(q) ** 2 / len(parameters.directions)
                N = N + strength * a(q) ** 2 * COARSE(q) ** 2 / len(parameters.directions)
                seen = seen | (q < COARSE.cutoff_per_um)
        end = COARSE.cutoff_per_um + np.mean([np.hypot(*direction.p_per_um) for direction in parameters.directions])
        A = np.cos(np.pi / 2 * np.minimum(np.hypot(y, x) / end, 1)) * seen
        return A / (D + w**2 * np.where(D > 1e-6, N / np.maximum(D, 1e-6), 1.0)), D

    at0, D0 = W(np.zeros(1), np.zeros(1))
    spectrum = np.exp(-2j * np.pi * np.outer(fy, fine_y)) @ total @ np.exp(-2j * np.pi * np.outer(fine_x, fx))
    spectrum *= W(fy[:, None], fx)[0] / (at0 * D0)
    image = np.exp(2j * np.pi * np.outer(fine_y, fy)) @ spectrum @ np.exp(2j * np.pi * np.outer(fx, fine_x)) / (4 * np.prod(sizes))
    return image.real[2 * before[0] : 2 * (before[0] + ny), 2 * before[1] : 2 * (before[1] + nx)]


@pytest.mark.parametrize("order", ["direction-phase", "phase-direction"])
@pytest.mark.parametrize(("shape", "attenuation"), [((11, 14), 0.9), ((25, 18), 0.0)])
def test_it_equals_the_direct_sums(order: str, shape: tuple[int, int], attenuation: float) -> None:
    parameters, frames = odd_parameters(order), np.random.default_rng(0).normal(size=(8, *shape))
    operator = Reconstruct(parameters, COARSE, 0.2, wiener=0.23, attenuation=attenuation)
    image = operator(torch.from_numpy(frames)[None])[0, 0].numpy()
    expected = by_direct_sums(frames, parameters, 0.2, 0.23, attenuation, operator.margin_px)
    # Both in double precision; at the rim of the band the OTF is divided by numbers as small as 1e-6.
    np.testing.assert_allclose(image, expected, atol=1e-9 * np.abs(expected).max())


def test_laws() -> None:
    operator = Reconstruct(odd_parameters(), COARSE, 0.2, 0.3)
    for shape in ((9, 14), (31, 16)):
        frames, image = (2, 8, *shape), (2, 1, *(2 * n for n in shape))
        assert_adjoint(operator, frames, image)
        assert_linear(operator, frames)
        assert_gradient_is_adjoint(operator, frames)


def test_linear_in_single_precision() -> None:
    recording = record(two_beams(), 100, np.random.default_rng(1), (96, 110))
    operator = Reconstruct(two_beams(), DETECTION, PIXEL_UM, 0.1)
    parts = [torch.from_numpy(part.astype(np.float32))[None] for part in (recording.clean, recording.frames - recording.clean)]
    whole, sum_of_parts = operator(parts[0] + parts[1]), operator(parts[0]) + operator(parts[1])
    assert float((whole - sum_of_parts).abs().max()) < 1e-5 * float(whole.abs().max())


def test_a_part_of_the_frames_is_reconstructed_as_the_whole() -> None:
    """In the middle, where the borders of the part are farther away than the PSF reaches; its origin sets the phase of the fringes."""
    reconstruct = Reconstruct(odd_parameters(), COARSE, 0.2, 0.2)
    frames = torch.from_numpy(np.random.default_rng(5).normal(3, 1, (1, 8, 90, 96)))
    top, left, reach = 7, 21, 24
    whole = reconstruct(frames)[..., 2 * (top + reach) : 2 * (top + 70 - reach), 2 * (left + reach) : 2 * (left + 72 - reach)]
    part = reconstruct(frames[..., top : top + 70, left : left + 72], (top, left))[..., 2 * reach : -2 * reach, 2 * reach : -2 * reach]
    torch.testing.assert_close(part, whole, rtol=0, atol=0.02)  # 0.5 of white noise; the tails of the filter beyond the reach
    elsewhere = reconstruct(frames[..., top : top + 70, left : left + 72])[..., 2 * reach : -2 * reach, 2 * reach : -2 * reach]
    assert (elsewhere - whole).abs().max() > 0.2
    x, y = torch.rand(1, 8, 20, 22, dtype=torch.float64), torch.rand(1, 1, 40, 44, dtype=torch.float64)
    product = (reconstruct(x, (3, 5)) * y).sum()
    torch.testing.assert_close(product, (x * reconstruct.adjoint(y, (3, 5))).sum(), rtol=1e-12, atol=0)


def test_types_batches_and_frame_sizes() -> None:
    operator = Reconstruct(two_beams(), DETECTION, PIXEL_UM, 0.1)
    x = torch.randn(3, 9, 40, 51, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    exact = operator(x)
    assert exact.shape == (3, 1, 80, 102) and exact.dtype == torch.float64
    torch.testing.assert_close(operator(x[1:2])[0], exact[1], rtol=0, atol=1e-12)  # rounding
    for kind, digits in ((torch.float32, 1e-5), (torch.bfloat16, 0.02)):  # of the type itself
        image = operator(x.to(kind))
        assert image.dtype == kind
        torch.testing.assert_close(image.double(), exact, rtol=0, atol=digits * float(exact.abs().max()))
    operator(x[..., :33, :30])
    operator(x[..., :21, :30])
    assert len(operator._tables) <= operator.remembered_shapes


def test_a_uniform_object_keeps_its_brightness_and_negative_noise_stays() -> None:
    parameters = two_beams()
    contrast = float(DETECTION(np.array(0.85 * KC)))  # what the lens leaves of the fringes themselves
    frames = 37 * (1 + contrast * (illumination(parameters, (90, 101), (PIXEL_UM, PIXEL_UM)) - 1))
    operator = Reconstruct(parameters, DETECTION, PIXEL_UM, 0.3)
    inner = operator(torch.from_numpy(frames)[None])[0, 0, 40:-40, 40:-40].numpy()
    np.testing.assert_allclose(inner, 37.0, rtol=2e-3)  # fringes mirrored at the borders are no fringes, which matters for some distance
    noise = torch.randn(1, 9, 30, 31, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(operator(-noise), -operator(noise))
    assert float(operator(noise).min()) < -0.1


@pytest.mark.parametrize("wiener", [0.07, 0.4])
@pytest.mark.parametrize("place_px", [(61.27, 70.61), (70.5, 55.0), (66.04, 81.93)])
def test_a_point_becomes_the_psf(place_px: tuple[float, float], wiener: float) -> None:
    """The published route: a bead is imaged under every pattern and reconstructed. It is H_SIM, wherever it lies."""
    shape, parameters = (129, 140), two_beams(0.97 * KC)
    ky, kx = np.fft.fftfreq(shape[0], PIXEL_UM)[:, None], np.fft.fftfreq(shape[1], PIXEL_UM)
    y, x = (PIXEL_UM * p for p in place_px)
    light = DETECTION(np.hypot(ky, kx)) * np.exp(-2j * np.pi * (ky * y + kx * x))
    bead = np.fft.ifft2(light).real
    frames = np.zeros((9, *shape))
    for numbers, d in zip(parameters.layout.numbers, parameters.directions, strict=True):
        for number, step in zip(numbers, d.phases_rad, strict=True):
            turn = 2 * np.pi * (d.p_per_um[0] * y + d.p_per_um[1] * x) + d.phase_rad + step
            frames[number] = (1 + d.depth * np.cos(turn)) * bead
    operator = Reconstruct(parameters, DETECTION, PIXEL_UM, wiener)
    image = operator(torch.from_numpy(frames)[None])[0, 0].numpy()
    fy, fx = np.fft.fftfreq(2 * shape[0], PIXEL_UM / 2)[:, None], np.fft.fftfreq(2 * shape[1], PIXEL_UM / 2)
    expected = 4 * np.fft.ifft2(operator.otf(fy, fx) * np.exp(-2j * np.pi * (fy * y + fx * x))).real
    assert np.abs(image - expected).max() < 1e-4 * expected.max()  # the rings of the bead reach the mirrored borders
    psf = operator.psf()
    if all(float(2 * p).is_integer() for p in place_px):
        row, column = (round(2 * p) for p in place_px)
        half = psf.values.shape[0] // 2
        cut = image[row - half : row + half + 1, column - half : column + half + 1]
        # the PSF is that image, cut and brought to sum 1
        np.testing.assert_allclose(cut / cut.max(), psf.values / psf.values.max(), atol=1e-4)


def test_the_psf_is_finer_than_that_of_the_lens() -> None:
    wide = theoretical_psf(OPTICS, (PIXEL_UM / 2, PIXEL_UM / 2))
    psf = Reconstruct(two_beams(1.02 * KC, depths=(0.9, 0.9, 0.9)), DETECTION, PIXEL_UM, 0.05).psf()
    assert psf.spacing_um == (PIXEL_UM / 2, PIXEL_UM / 2)
    assert fwhm_um(wide) / fwhm_um(psf) > 1.8
    for wiener in (0.05, 0.2, 0.5):
        values = Reconstruct(two_beams(), DETECTION, PIXEL_UM, wiener).psf().values
        assert -values[values < 0].sum() < 0.25 * values[values > 0].sum()
        np.testing.assert_allclose(values, values[::-1, ::-1], atol=1e-15)  # centred
    assert fwhm_um(halved_gaussian(wide)) == pytest.approx(fwhm_um(wide) / 2, rel=0.03)  # measured on samples


def nrmse(image: np.ndarray, truth: np.ndarray) -> float:
    """Root mean square error after the best straight line, over that of the truth from its mean."""
    fit = np.polyval(np.polyfit(image.ravel(), truth.ravel(), 1), image)
    return float(np.sqrt(np.mean((fit - truth) ** 2)) / truth.std())


@pytest.mark.parametrize(("photons", "limit"), [(2000, 0.225), (20, 0.482)])
def test_quality_on_a_simulated_cell(photons: float, limit: float) -> None:
    """Blind: parameters estimated on the frames, w chosen from them; truth is the object with the same apodisation."""
    truth = two_beams(0.9 * KC)
    recording = record(truth, photons, np.random.default_rng(3), (256, 256))
    frames = recording.frames.astype(np.float32)
    parameters = estimate_parameters(frames, PIXEL_UM, DETECTION).parameters
    w = choose_wiener(frames, parameters, DETECTION, PIXEL_UM)
    operator = Reconstruct(parameters, DETECTION, PIXEL_UM, w)
    image = operator(torch.from_numpy(frames)[None])[0, 0].numpy()
    ky, kx = np.fft.fftfreq(512, PIXEL_UM / 2)[:, None], np.fft.fftfreq(512, PIXEL_UM / 2)
    seen = np.fft.ifft2(np.fft.fft2(recording.truth) * operator.weights.apodisation(ky, kx)).real
    inner = np.s_[16:-16, 16:-16]  # the truth is periodic here, the field was not
    wide = frames.mean(0).repeat(2, 0).repeat(2, 1)
    assert nrmse(image[inner], seen[inner]) < limit
    assert nrmse(image[inner], seen[inner]) < 0.8 * nrmse(wide[inner], seen[inner])
    # regression on the truth without any fit: intensities are the object's
    assert image[inner].mean() == pytest.approx(recording.truth[inner].mean(), rel=0.02)


def test_the_noise_of_white_frames_has_the_spectrum_that_is_told() -> None:
    parameters = odd_parameters()
    reconstruct = Reconstruct(parameters, COARSE, 0.2, 0.3)
    generator = torch.Generator().manual_seed(0)
    z = reconstruct(torch.randn(60, 8, 80, 80, generator=generator, dtype=torch.float64))[:, 0]
    k = np.fft.fftfreq(160, 0.1)
    told = reconstruct.noise_spectrum(k[:, None], k)
    found = (torch.fft.fft2(z).abs().square().mean(0) / z[0].numel()).numpy()
    assert told.mean() == pytest.approx(float(z.var()), rel=0.1)  # phases that are uneven, gains that go with the bands
    radius = np.hypot(k[:, None], k)
    for low, high in ((0, 1), (1, 2), (2, 3)):
        ring = (radius >= low) & (radius < high)
        # 60 draws of at least 200 frequencies: 1 %; the gains are taken as equal for all bands
        assert found[ring].mean() == pytest.approx(told[ring].mean(), rel=0.12)


def test_errors_of_recorrupted_pairs_are_uncorrelated() -> None:
    """Eq. 2 through the reconstruction, unclipped, at 20 photons: Cov of the errors is Var(y) - Var(z), which is 0.

    The pattern lies beyond the cutoff, as it does in most microscopes. Fringes that the lens still shows are flattened by the
    5-pixel mean of Eq. 3, and z then lacks the fringes of the variance.
    """
    camera, alpha = Camera(offset=0.0, gain=1.0, read_variance=4.0), 1.5
    parameters = two_beams(1.06 * KC)
    recording = record(parameters, 20, np.random.default_rng(5), (96, 105))
    operator = Reconstruct(parameters, DETECTION, PIXEL_UM, 0.2)
    rng, generator = np.random.default_rng(6), torch.Generator().manual_seed(7)
    recorrupt = Recorruption(camera, alpha=(alpha, alpha), beta1_factor=(1.0, 1.0), beta2_factor=(1.0, 1.0))
    clean = np.broadcast_to(recording.clean, (4, *recording.clean.shape))
    ideal = operator(torch.from_numpy(recording.clean.astype(np.float32))[None])
    of_y, of_z, negative = 0.0, 0.0, 0.0
    for _ in range(40):
        frames = rng.poisson(clean) + rng.normal(0, 2, clean.shape)
        signal = torch.from_numpy(signal_estimate(frames, 0.0).astype(np.float32))
        y_hat, y_tilde = recorrupt(torch.from_numpy(frames.astype(np.float32)), signal, generator)
        negative += float((y_hat < 0).float().mean()) / 40
        first, second = ((operator(image) - ideal).double() for image in (y_hat, y_tilde))
        # errors n + alpha z and n - z / alpha: n and z apart, as their product has mean 0 and would only add noise
        n, z = (first + alpha**2 * second) / (1 + alpha**2), (first - second) / (alpha + 1 / alpha)
        of_y, of_z = of_y + float((n**2).sum()), of_z + float((z**2).sum())
    correlation = (of_y - of_z) / np.sqrt((of_y + alpha**2 * of_z) * (of_y + of_z / alpha**2))
    assert negative > 0.15  # clipping these would bias the result
    assert abs(correlation) < 0.002  # standard error, from the scatter of the forty: 0.0009


def test_the_wiener_parameter_follows_the_light() -> None:
    parameters = two_beams()
    found = []
    for photons in (2000, 100, 20, 5):
        recording = record(parameters, photons, np.random.default_rng(8), (190, 190))
        found.append(choose_wiener(recording.frames, parameters, DETECTION, PIXEL_UM))
    assert found == sorted(found)
    assert found[0] == WIENER_RANGE[0] and 0.08 < found[2] < 0.4


def test_the_wiener_parameter_is_nearly_the_best() -> None:
    parameters, n = two_beams(), 160
    recording = record(parameters, 20, np.random.default_rng(9), (n, n))
    k = np.fft.fftfreq(2 * n, PIXEL_UM / 2)

    def error(w: float) -> float:
        operator = Reconstruct(parameters, DETECTION, PIXEL_UM, w)
        image = operator(torch.from_numpy(recording.frames)[None])[0, 0].numpy()
        seen = np.fft.ifft2(np.fft.fft2(recording.truth) * operator.weights.apodisation(k[:, None], k)).real
        return nrmse(image[16:-16, 16:-16], seen[16:-16, 16:-16])

    best = min(error(w) for w in np.geomspace(0.05, 0.5, 10))
    # Lines of one width have no power law for a spectrum: a tenth is what that costs here.
    assert error(choose_wiener(recording.frames, parameters, DETECTION, PIXEL_UM)) < 1.1 * best


def test_impossible_settings_are_refused() -> None:
    for wiener in (0.0, -1.0, float("nan")):
        with pytest.raises(ConfigError, match="give `wiener`"):
            Reconstruct(two_beams(), DETECTION, PIXEL_UM, wiener)
    with pytest.raises(ConfigError, match="attenuation 1"):
        Reconstruct(two_beams(), DETECTION, PIXEL_UM, 0.1, attenuation=1.0)
    with pytest.raises(OpticsError, match=r"pixel 0.11 um"):
        Reconstruct(two_beams(1.06 * KC), DETECTION, 0.11, 0.1)


def test_the_simulator_and_the_theory_have_the_same_lens() -> None:
    k = np.linspace(0, KC, 50)
    np.testing.assert_allclose(lens(k), DETECTION(k), atol=4e-3)  # light beyond the PSF's radius
