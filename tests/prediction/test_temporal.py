"""What a series is given back, against sums written out."""

import numpy as np
import pytest
import torch

from oracles import lateral_mean, mirrored_convolution
from zsdeconv.physics.operators import Downsample
from zsdeconv.physics.psf import Psf
from zsdeconv.prediction.temporal import LEAST_PX, TemporalResidual, smoothing_px


def gaussian(sigma_px: float) -> np.ndarray:
    x = np.arange(-4 * int(np.ceil(sigma_px)), 4 * int(np.ceil(sigma_px)) + 1)
    profile = np.exp(-0.5 * (x / sigma_px) ** 2)
    return np.outer(profile, profile) / profile.sum() ** 2


def test_frames_are_given_back_what_they_differ_by_beyond_their_restorations() -> None:
    rng = np.random.default_rng(0)
    y, x = rng.normal(5, 1, (3, 31, 37)).astype(np.float32), rng.normal(5, 1, (3, 62, 74)).astype(np.float32)
    transients, shown = TemporalResidual(3, Downsample(2, 2), (2.0, 2.0)), x.copy()
    for n in range(3):
        transients.add(n, torch.from_numpy(y[n]), torch.from_numpy(x[n]))
    transients.add_to(shown, scale=7.0)
    lacking = np.stack([mirrored_convolution((y[n] - lateral_mean(x[n], 2)).astype(float), gaussian(2.0)) for n in range(3)])
    expected = 7 * (lacking - lacking.mean(0)).repeat(2, 1).repeat(2, 2)
    inner = np.s_[:, 16:-16, 16:-16]  # nearer to the border the two mirrors differ: one repeats the last pixel
    np.testing.assert_allclose((shown - x)[inner], expected[inner], atol=2e-3)  # Gaussians cut off at four standard deviations
    np.testing.assert_allclose(shown.mean(0), x.mean(0), atol=1e-5)  # float32


def test_the_smoothing_is_as_wide_as_the_psf_on_the_grid_of_the_frames() -> None:
    z, yx = np.arange(-8, 9) / 2.0, np.arange(-20, 21)
    values = np.exp(-0.5 * z[:, None, None] ** 2 - 0.5 * (yx[:, None] / 6.0) ** 2 - 0.5 * (yx / 1.5) ** 2)
    sigma_px = smoothing_px(Psf.from_array(values, (0.2, 0.05, 0.05), "a test"), (1, 2, 2))
    # full widths at half maximum: 2.355 standard deviations, of 2, 6 and 1.5 pixels; sampled so coarsely they are read to a few per cent
    assert sigma_px == pytest.approx([2.355 * 2, 2.355 * 6 / 2, LEAST_PX], rel=0.05)
