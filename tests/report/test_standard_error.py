"""The standard error of the deconvolved image: its law, and that it holds for images whose truth is known."""

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter

from zsdeconv.image import Image
from zsdeconv.model import Restored
from zsdeconv.notation import FWHM_PER_SIGMA
from zsdeconv.physics.operators import Blur, forward_model
from zsdeconv.physics.psf_check import fwhms_um
from zsdeconv.prediction import uncertainty
from zsdeconv.prediction.uncertainty import (
    FACTOR,
    ErrorLaw,
    GlobalErrorTerms,
    expected_share,
    median_reblur_residual,
    standard_error,
)
from zsdeconv.report.checks.standard_error import measure, section
from zsdeconv.simulation.widefield import Simulation

LAW = ErrorLaw(pass_spread=1.7, brightness=0.04, reblur_residual=1.3, offset=0.6, zero_level=0.9)


def test_each_part_of_the_law_alone() -> None:
    x, spread = torch.tensor([0.0, 50.0]), torch.tensor([2.0, 0.0])
    sigma = standard_error(x, spread.clone(), GlobalErrorTerms(0.0), LAW)
    np.testing.assert_allclose(sigma, [FACTOR * 1.7 * 2, FACTOR * 0.04 * 50], rtol=1e-6)
    for doubts, factor in (
        (GlobalErrorTerms(3.0), 1.3),
        (GlobalErrorTerms(0.0, offset=3.0), 0.6),
    ):
        np.testing.assert_allclose(standard_error(0 * x, 0 * spread, doubts, LAW), 3 * FACTOR * factor, rtol=1e-6)
    taken = torch.tensor([0.0, 3.0])
    np.testing.assert_allclose(standard_error(0 * x, 0 * spread, GlobalErrorTerms(0.0), LAW, taken), [0, 3 * FACTOR * 0.9], rtol=1e-6)
    together = standard_error(x, spread.clone(), GlobalErrorTerms(1.0, 2.0), LAW, torch.full((2,), 3.0))
    expected = [(1.7 * 2) ** 2 + 1.3**2 + 1.2**2 + 2.7**2, (0.04 * 50) ** 2 + 1.3**2 + 1.2**2 + 2.7**2]
    np.testing.assert_allclose(together, FACTOR * np.sqrt(expected), rtol=1e-6)


def test_it_goes_with_the_unit_of_intensity() -> None:
    x, spread = torch.rand(2, 30, generator=torch.Generator().manual_seed(0))
    doubts, sevenfold = GlobalErrorTerms(0.4, 0.2), GlobalErrorTerms(2.8, 1.4)
    one, seven = (standard_error(n * x, n * spread, t, LAW, 0.1 * n * x) for n, t in ((1, doubts), (7, sevenfold)))
    torch.testing.assert_close(7 * one, seven)


def test_light_elsewhere_is_what_the_data_have_and_the_object_has_not() -> None:
    kernel = np.outer(*[np.hanning(9)[1:-1]] * 2)
    operator = forward_model(kernel / kernel.sum(), 2, 2)
    x = torch.rand(62, 70, generator=torch.Generator().manual_seed(0))
    seen = operator(x[None, None])[0, 0]
    assert median_reblur_residual(seen, x, operator) == pytest.approx(0.0, abs=1e-6)  # float32
    assert median_reblur_residual(seen + 0.3, x, operator) == pytest.approx(0.3, abs=1e-5)
    few = seen.clone()
    few[10:14] += 100  # a median: a tenth of the pixels says nothing of the rest
    assert median_reblur_residual(few, x, operator) == pytest.approx(0.0, abs=1e-6)


def test_where_it_is_larger_the_image_is_farther_from_the_truth(restored: Restored, simulated: Simulation) -> None:
    """How far in numbers is measured on many images of well-trained networks, by benchmarks/uncertainty.py."""
    psf, share = restored.model.psf, restored.model.config.training.target_fwhm_fraction
    widths = [share * um / step / FWHM_PER_SIGMA for um, step in zip(fwhms_um(psf), psf.spacing_um, strict=True)]
    assert restored.uncertainty is not None
    off, sigma = np.abs(restored.deconvolved.data - gaussian_filter(simulated.truth.data, widths)), restored.uncertainty.data
    group = np.digitize(sigma, np.quantile(sigma, (0.25, 0.5, 0.75)))
    rms = [float(np.sqrt(np.mean(off[group == n] ** 2))) for n in range(4)]
    assert rms == sorted(rms) and rms[3] > 4 * rms[0]
    brightest = group == 3
    assert 0.5 < rms[3] / float(np.sqrt(np.mean(sigma[brightest] ** 2))) < 2


def test_a_large_stack_is_looked_at_in_its_middle(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of which a lens may reach farther than it is wide."""
    monkeypatch.setattr(uncertainty, "SAMPLED_PX", 8 * 16 * 18)
    operator = Blur(np.full((3, 25, 27), 1 / (3 * 25 * 27)))
    x = torch.full((8, 64, 72), 2.0)
    assert median_reblur_residual(x + 0.5, x, operator) == pytest.approx(0.5, abs=1e-5)  # float32


def test_the_section_tells_bright_from_dark_and_a_single_pass_from_several(restored: Restored) -> None:
    judged = section(measure(restored.deconvolved, restored.uncertainty, LAW, members=3))
    assert judged.numbers["ensemble_members"] == 3 and 0 < judged.numbers["bright_pixel_relative_error"] < 1
    assert judged.numbers["dark_pixel_error_adu"] < np.percentile(restored.deconvolved.data, 99)
    assert "`passes`" in section(measure(restored.deconvolved, None, LAW)).findings[0].message
    doubtful = Image(np.full((9, 9), 2.0), "YX")
    assert section(measure(Image(np.ones((9, 9)), "YX"), doubtful, LAW)).level == "warn"


def test_the_expected_share_holds_for_images_whose_offset_is_wrong() -> None:
    """Of 200 images with normal errors, and an offset that is off by its standard error or less."""
    rng, law = np.random.default_rng(0), ErrorLaw(1.0, 0.0, offset=1.0, shares=(0.6, 0.75))
    own = rng.uniform(0.5, 4.0, 3000)
    for offset in (0.0, 0.3, 2.0, 20.0):
        low, high = expected_share(np.hypot(own, offset), offset, law)
        shares = []
        for _ in range(200):
            error = rng.normal(0, own) + np.clip(rng.normal(0, offset), -2 * offset, 2 * offset)
            shares.append(float(np.mean(np.abs(error) < np.hypot(own, offset))))
        # 3000 pixels know a share to 0.01
        assert low - 0.03 < min(shares) and max(shares) < high + 0.03
        assert offset > 0.3 or high - low < 0.2
    assert low < 0.05 and high > 0.95


def test_a_standard_error_that_is_that_of_the_offset_is_grey(restored: Restored) -> None:
    law, sigma = restored.model.modality.error_law, restored.uncertainty
    assert sigma is not None
    known = section(measure(restored.deconvolved, sigma, law, offset_sigma=0.01))
    assert known.findings[1].level == "ok" and known.numbers["expected_share"] == pytest.approx(law.shares, abs=0.02)
    unknown = section(measure(restored.deconvolved, sigma, law, offset_sigma=float(np.median(sigma.data[restored.deconvolved.data > 1]))))
    assert unknown.findings[1].level == "not_checked" and "known to ±" in unknown.findings[1].message
    low, high = unknown.numbers["expected_share"]
    assert low < 0.4 and high > 0.8
