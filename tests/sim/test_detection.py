"""The OTF of the detection from theory and from files, and pixels that cannot carry what it becomes."""

import numpy as np
import pytest

from sim.simulator import KC, OPTICS, lens
from zsdeconv.errors import OpticsError
from zsdeconv.physics.otf import Otf
from zsdeconv.sim.detection import detection_otf_2d, require_fine_pixel


def test_theory_is_the_transform_of_the_airy_pattern() -> None:
    detection, k = detection_otf_2d(OPTICS), np.linspace(0, 1.4 * KC, 300)
    # The PSF is cut where 0.3 % of its light are still to come.
    np.testing.assert_allclose(detection(k), lens(k), atol=4e-3)
    assert detection.cutoff_per_um == pytest.approx(KC)
    assert not detection(k[k >= KC]).any()


def test_an_otf_of_another_sampling_is_resampled_by_frequency() -> None:
    k = np.append(np.linspace(0, 0.95 * KC, 77), 1.02 * KC)  # in between, at 1 % of the OTF, its edge falls elsewhere
    coarse, fine = (detection_otf_2d(Otf(lens(dkr * np.arange(int(6 / dkr))), dkr, "file")) for dkr in (0.031, 0.0071))
    np.testing.assert_allclose(coarse(k), fine(k), atol=2e-3)  # linear interpolation
    np.testing.assert_allclose(coarse(k), lens(k), atol=2e-3)


def test_noise_beyond_the_edge_and_negative_values_are_left_out() -> None:
    detection = detection_otf_2d(Otf(np.array([1.0, 0.5, -0.2, 0.3, 0.005, -0.009]), 1.0, "noisy"))
    assert detection(np.array([2.0, 4.0, 5.0])).tolist() == [0.0, 0.0, 0.0]
    assert detection(np.array([3.0])) == pytest.approx(0.3)


def test_pixels_too_coarse_for_the_widened_band() -> None:
    detection = detection_otf_2d(OPTICS)
    require_fine_pixel(detection, 0.1, 0.99 * (10 - KC))
    with pytest.raises(OpticsError, match=r"pixel 0.1 um: .* check pixel_um"):
        require_fine_pixel(detection, 0.1, 1.01 * (10 - KC))
