"""Whether the PSF check finds fault with wrong PSFs, and only with them. The rates over many scenes: benchmarks/psf_trials.py."""

import json
from dataclasses import replace
from functools import cache

import numpy as np
import pytest
import torch
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from scipy.signal import fftconvolve

from zsdeconv.acquisition.base import Measurement
from zsdeconv.acquisition.direct import CameraMeasurement, DirectAcquisition
from zsdeconv.acquisition.noise_reference import MeasurementReference, NoiseReference
from zsdeconv.camera import calibrate
from zsdeconv.camera.detector import Camera
from zsdeconv.data.normalize import Affine
from zsdeconv.errors import ImageError
from zsdeconv.image import Image
from zsdeconv.physics.optics import Optics
from zsdeconv.physics.psf import Psf
from zsdeconv.physics.psf_check import check_psf, fwhm_um
from zsdeconv.physics.psf_theory import theoretical_psf
from zsdeconv.report.checks.psf_fit import PsfFit, measure, section
from zsdeconv.report.psf_image import examine_image
from zsdeconv.report.statistics import cross_validation
from zsdeconv.report.statistics.mtf import Transfer
from zsdeconv.report.statistics.psf_variants import symmetric, variants, widened, with_coma
from zsdeconv.report.statistics.psf_width import fit_width
from zsdeconv.report.statistics.spectrum import measure_spectra
from zsdeconv.simulation.widefield import Scene, StackScene, expose, simulate_2d, simulate_3d, simulate_scene

FINE = (0.0325, 0.0325)
OPTICS = Optics(1.4, 525)
PSF = theoretical_psf(OPTICS, FINE)
CAMERA = Camera(100.0, 1.0, 4.0)


def imaged(frame: np.ndarray, psf: Psf, camera: Camera | None = None, scale: int = 2) -> tuple[Measurement, DirectAcquisition]:
    """A camera image as a field; the camera is measured on it unless it is given."""
    camera = camera or calibrate(frame.reshape(-1, *frame.shape[-2:])).camera
    acquisition = DirectAcquisition(Affine.fitted([frame], camera.offset), camera, psf, scale)
    return acquisition.measure(frame, torch.device("cpu")), acquisition


def examined(frame: np.ndarray, psf: Psf, camera: Camera | None = None) -> PsfFit:
    measurement, acquisition = imaged(frame, psf, camera)
    return measure(measurement, acquisition, psf)


def faults(fit: PsfFit) -> set[str]:
    return {finding.name for finding in fit.findings if finding.level in ("warn", "fail")}


@cache
def frame(structure: str) -> np.ndarray:
    return simulate_2d(Scene(structure=structure, photons=200, size=112, seed=21)).noisy.data


@cache
def fitted(structure: str, factor: float) -> PsfFit:
    """How a PSF so many times too wide fits."""
    return examined(frame(structure), widened(PSF, factor))


# ---------------------------------------------------------------- the verdict


def test_the_right_psf_passes_and_wrong_widths_do_not() -> None:
    right, wide, narrow = (fitted("network", factor) for factor in (1.0, 1.15, 0.85))
    assert not faults(right)
    assert "width" in faults(wide) and "width" in faults(narrow)
    assert right.width is not None and wide.width is not None and narrow.width is not None
    # what is measured is a width: the same object through the same lens, in units of three PSFs (label and noise are the same)
    assert wide.width * 1.15 == pytest.approx(right.width, rel=0.03)
    assert narrow.width * 0.85 == pytest.approx(right.width, rel=0.03)
    assert right.width == pytest.approx(1.03, abs=0.05)  # a label of 30 nm adds 3 % to a PSF of 85 nm (standard deviations)


def test_coma_that_the_image_has_not_is_found() -> None:
    assert not faults(fitted("puncta", 1.0))
    fit = examined(frame("puncta"), with_coma(PSF, 0, 4.0, OPTICS.cutoff_per_um))
    assert "shape" in faults(fit)
    assert max(fit.gains, key=lambda name: fit.gains[name]) in ("symmetric", "coma -y")


def test_coma_that_the_image_has_is_no_fault() -> None:
    lens = with_coma(PSF, 1, 4.0, OPTICS.cutoff_per_um)
    truth = simulate_2d(Scene(structure="puncta", photons=150, size=96, seed=5)).truth.data
    seen = fftconvolve(truth, lens.values, mode="same").clip(0).reshape(96, 2, 96, 2).mean((1, 3))
    frame = expose(150 * seen / np.percentile(seen, 99.8), CAMERA, np.random.default_rng(1))
    right, apply_symmetry = (examined(frame, Psf(psf, FINE, "coma")) for psf in (lens.values, lens.values[:, ::-1]))
    assert not faults(right)
    assert right.gains["symmetric"] < -20  # twice a log-likelihood: the symmetric one is refuted
    assert "shape" in faults(apply_symmetry)


def test_an_image_that_does_not_tell_is_not_called_good() -> None:
    """At 25 photons coma of 1 rad, of which the PSF has none, is not seen: the shape was good before."""
    scene = Scene(structure="network", photons=25, size=112, seed=23)
    lens = with_coma(PSF, 1, 4.0, OPTICS.cutoff_per_um)
    for psf in (PSF, lens):
        levels = {finding.name: finding.level for finding in examined(simulate_scene(scene, psf).noisy.data, PSF).findings}
        assert levels.get("shape", "not_checked") != "ok" and levels.get("residual", "not_checked") != "ok"
    bright = {finding.name: finding.level for finding in fitted("network", 1.0).findings}
    assert bright["width"] == "ok"


def test_what_is_wrong_is_said_in_words() -> None:
    found = {finding.name: finding for finding in fitted("network", 1.15).findings}
    assert "too wide" in found["width"].message and "0.968" in found["width"].message
    assert found["spectrum"].value > OPTICS.cutoff_per_um / 1.15  # detail beyond the end of such an OTF
    far = {finding.name: finding for finding in examined(frame("network"), widened(widened(PSF, 1.5), 1.5)).findings}
    assert "no PSF of 0.55 to 1.8 times this width" in far["width"].message
    assert far["spectrum"].level == "warn"


# ---------------------------------------------------------------- what cannot be told


def unseen(name: str) -> np.ndarray:
    rng = np.random.default_rng(3)
    return {
        "empty": rng.normal(100, 2, (150, 131)),
        "even light": rng.poisson(50.0, (150, 131)) + 100.0,
        "constant": np.full((150, 131), 100.0),
        "very dim": rng.poisson(0.02 * (simulate_2d(Scene(size=128, photons=50)).clean.data)) + rng.normal(100, 2, (128, 128)),
        "tiny": rng.normal(100, 2, (20, 300)),
        "not a number": np.full((150, 131), np.nan),
    }[name]


@pytest.mark.parametrize("name", ["empty", "even light", "constant", "very dim", "tiny", "not a number"])
def test_what_cannot_be_told_is_said(name: str) -> None:
    acquisition = DirectAcquisition(Affine(100.0, 100.0), CAMERA, PSF, 2)
    fit = measure(acquisition.measure(unseen(name), torch.device("cpu")), acquisition, PSF)
    assert [finding.name for finding in fit.findings] == ["signal"]
    assert fit.width is fit.width_sigma is fit.sweep is fit.structure is None
    assert fit.findings[0].level == "not_checked"
    judged = section(replace(fit, psf_findings=check_psf(PSF)))
    assert not judged.figures and judged.level == "not_checked", "that the PSF sums to 1 does not answer the question"
    json.dumps(judged.to_dict(), allow_nan=False)


def test_a_frame_without_any_noise_cannot_be_judged() -> None:
    measurement, acquisition = imaged(np.full((96, 96), 7.0), PSF, Camera(7.0, 1.0, 0.0))
    assert [(finding.name, finding.level) for finding in measure(measurement, acquisition, PSF).findings] == [("signal", "not_checked")]


# ---------------------------------------------------------------- stacks and coloured noise


def test_stacks_are_judged_laterally() -> None:
    simulation = simulate_3d(StackScene(size=96, planes=8, photons=150, seed=2))
    assert not faults(examined(simulation.noisy.data, simulation.psf))
    assert "width" in faults(examined(simulation.noisy.data, widened(simulation.psf, 1.15)))


class Coloured(Measurement):
    """White noise blurred with a kernel: the noise of a reconstruction."""

    def __init__(self, clean: np.ndarray, kernel: np.ndarray, sigma: float) -> None:
        self.kernel, self.sigma, self.shape = kernel, sigma, clean.shape
        self.y = torch.from_numpy(clean.astype(np.float32)) + self.noise(torch.Generator().manual_seed(99))

    def noise(self, generator: torch.Generator) -> torch.Tensor:
        white = torch.randn(self.shape, generator=generator).numpy()
        return torch.from_numpy((self.sigma * fftconvolve(white, self.kernel, mode="same")).astype(np.float32))

    def variance_bias(self) -> torch.Tensor:
        return torch.zeros(self.shape)

    def center_crop(self, pixels: float) -> "Coloured":
        return self

    def noise_reference(self, mean: torch.Tensor, seed: int) -> NoiseReference:
        return MeasurementReference(self, seed)

    def with_light(self, added: torch.Tensor) -> "Coloured":
        raise NotImplementedError


def test_under_coloured_noise_variants_are_compared() -> None:
    """A PSF with negative rings, and noise of its spectrum, as a reconstruction of structured illumination has them."""
    sigma = (np.arange(-40, 41)[:, None] ** 2 + np.arange(-40, 41) ** 2) / 2
    ringed = Psf.from_array(np.exp(-sigma / 2.4**2) - 0.1 * np.exp(-sigma / 4.5**2), FINE, "ringed")
    truth = simulate_2d(Scene(structure="filaments", size=96, photons=100, seed=8)).truth.data
    clean = fftconvolve(truth, ringed.values, mode="same")
    measurement = Coloured(clean / np.percentile(clean, 99.8), ringed.values / np.sqrt(np.square(ringed.values).sum()), 0.02)
    acquisition = DirectAcquisition(Affine(0.0, 1.0), CAMERA, ringed, 1)
    right, wrong = (measure(measurement, acquisition, widened(ringed, factor)) for factor in (1.0, 1.15))
    assert right.width is None and right.sweep is None
    assert not faults(right)
    assert "width" in faults(wrong)


# ---------------------------------------------------------------- parts


def test_variants_differ_in_one_property_each() -> None:
    asymmetric = with_coma(PSF, 0, 2.0, OPTICS.cutoff_per_um)
    even = symmetric(asymmetric).values
    assert np.abs(even - even[::-1, ::-1]).max() < 1e-3 * even.max()  # cropping to the PSF's size
    power, same = (Transfer(Psf.from_array(v, FINE, "")).power[:40, 0] for v in (asymmetric.values, even))
    np.testing.assert_allclose(same, power, atol=2e-3)
    assert fwhm_um(widened(PSF, 1.25)) == pytest.approx(1.25 * fwhm_um(PSF), rel=0.01)  # interpolation between pixels
    assert set(variants(PSF, 5.0)) > {"symmetric", "narrower", "wider", "coma -x"}


def test_the_spectrum_of_points_gives_the_width_they_were_seen_with() -> None:
    """Points have a flat spectrum, nothing is thick: the width is that of the PSF to its error."""
    rng = np.random.default_rng(4)
    points = np.zeros((320, 280))
    points[rng.integers(0, 320, 300), rng.integers(0, 280, 300)] = rng.uniform(1e3, 4e3, 300)
    seen = fftconvolve(points, widened(PSF, 1.1).values, mode="same").clip(0).reshape(160, 2, 140, 2).sum((1, 3))
    measurement = CameraMeasurement(
        torch.from_numpy((rng.poisson(seen) + rng.normal(0, 2, seen.shape)).astype(np.float32)), Camera(0.0, 1.0, 4.0)
    )
    transfer = Transfer(PSF)
    spectra = measure_spectra(measurement, 0.065, transfer.end_per_um, torch.Generator().manual_seed(0))
    assert spectra is not None
    fit = fit_width(spectra, PSF, 2)
    assert fit is not None
    assert abs(fit.width - 1.1) < 3 * fit.sigma < 0.1
    # nothing passes beyond the end of the OTF of the wider PSF; a ring is 0.24 per um wide, and three are averaged
    assert spectra.end_per_um(fit.noise_factor) == pytest.approx(OPTICS.cutoff_per_um / 1.1, abs=0.5)


def test_noise_alone_has_no_end() -> None:
    measurement = CameraMeasurement(torch.randn(150, 90, generator=torch.Generator().manual_seed(2)), Camera(0.0, 0.0, 1.0))
    spectra = measure_spectra(measurement, 0.1, 4.0, torch.Generator().manual_seed(3))
    assert spectra is not None and spectra.end_per_um() is None and not spectra.coloured
    assert np.average(spectra.noise.mean(0), weights=spectra.count) == pytest.approx(1.0, abs=0.02)  # 80 000 draws


def test_the_noise_of_a_measured_psf_is_no_part_of_its_transfer() -> None:
    rng = np.random.default_rng(6)
    measured = Psf.from_array(PSF.values / PSF.values.max() + rng.normal(0, 0.005, PSF.values.shape), FINE, "measured")
    assert Transfer(measured).end_per_um == pytest.approx(Transfer(PSF).end_per_um, rel=0.06)  # a step of its frequencies is 2 %


def test_pairs_share_no_noise() -> None:
    """Eq. 2: Cov(y_hat, y_tilde) = Var(y) - Var(z), zero where the noise is known."""
    random = torch.Generator().manual_seed(5)
    measurement = CameraMeasurement(torch.randn(300, 310, generator=random) * 3, Camera(0.0, 0.0, 9.0))
    pair = cross_validation.make_pair(measurement, (slice(20, 280), slice(5, 305)), random, [measurement.noise(random) for _ in range(4)])
    covariance = float((pair.y_hat * pair.y_tilde).mean())
    assert abs(covariance) < 4 * 9 * np.sqrt(
        (1 + cross_validation.ALPHA**2) * (1 + cross_validation.ALPHA**-2) / pair.y_hat.numel()
    )  # 4 standard errors
    assert float(pair.variance.mean()) == pytest.approx(float(pair.y_tilde.var()), rel=0.03)  # 4 sigma of 78 000 squares


@pytest.mark.parametrize("shape", [(40, 55), (9, 30, 41)])
def test_the_busiest_part_is_found_as_by_trying_all(shape: tuple[int, ...]) -> None:
    y = np.zeros(shape)
    y[..., -7:-2, 3:9] = np.random.default_rng(1).normal(size=(5, 6))
    if len(shape) == 3:
        y[:6] = 0
    found = cross_validation.busiest(y, 20, 3)
    assert found[-2].stop >= shape[-2] - 2 and found[-1].start <= 3
    assert [part.stop - part.start for part in found] == [3, 20, 20][-len(shape) :]
    assert len(shape) == 2 or found[0].start >= 5


# ---------------------------------------------------------------- edges


def test_the_section_draws_and_is_plain() -> None:
    fit = fitted("network", 1.0)
    judged = section(replace(fit, psf_findings=check_psf(PSF)))
    assert len(judged.figures) == 2 and judged.level == "ok"
    for captioned in judged.figures:
        figure = Figure(figsize=captioned.size_in)
        FigureCanvasAgg(figure)
        captioned.draw(figure)
        figure.canvas.draw()
        assert figure.axes[0].get_xlabel() and figure.axes[0].get_ylabel()
    numbers = json.loads(json.dumps(judged.to_dict(), allow_nan=False))
    assert len(numbers["sweep"]) == len(numbers["widths"]) and min(numbers["sweep"]) == 0


def test_the_same_seed_gives_the_same_verdict() -> None:
    small = frame("puncta")[:56, :64]
    assert examined(small, PSF).to_dict() == examined(small, PSF).to_dict()


def test_images_without_a_pixel_size_are_refused() -> None:
    frame = simulate_2d(Scene(structure="puncta", size=64, photons=100)).noisy.data
    with pytest.raises(ImageError, match="pixel_um"):
        examine_image(Image(frame, "YX"), PSF)
    with pytest.raises(ImageError, match="raw frames"):
        examine_image(Image(np.stack([frame] * 9), "PYX", {"Y": 0.065, "X": 0.065}), PSF)
