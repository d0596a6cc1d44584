"""The published way to H_SIM, by beads that are imaged, reconstructed and measured, against the one from the parameters."""

import numpy as np
import pytest
import torch

from sim.simulator import OPTICS, PIXEL_UM, record, two_beams
from zsdeconv.physics.beads import measure_beads
from zsdeconv.physics.psf_check import fwhms_um
from zsdeconv.sim.detection import detection_otf_2d
from zsdeconv.sim.estimate import estimate_parameters
from zsdeconv.sim.reconstruct import Reconstruct


def test_beads_that_were_reconstructed_show_the_psf_of_the_reconstruction() -> None:
    rng, beyond, shape = np.random.default_rng(0), 24, (160, 176)
    truth = np.zeros([2 * (n + 2 * beyond) for n in shape])
    for y in range(90, truth.shape[0] - 90, 62):
        for x in range(90, truth.shape[1] - 90, 62):
            truth[y + rng.integers(-6, 7), x + rng.integers(-6, 7)] = 1.0
    frames = record(two_beams(), 20_000, rng, shape, truth=truth).frames
    detection = detection_otf_2d(OPTICS)
    found = estimate_parameters(frames, PIXEL_UM, detection)
    reconstruct = Reconstruct(found.parameters, detection, PIXEL_UM, 0.15)
    image = reconstruct(torch.from_numpy(frames)[None])[0, 0].numpy()
    measured = measure_beads(image, (PIXEL_UM / 2, PIXEL_UM / 2), "beads")
    assert measured.used >= 6
    # a part of the dark ring around each bead is taken for the field between them, which makes the core a little narrower
    assert measured.fwhm_um == pytest.approx(fwhms_um(reconstruct.psf()), rel=0.1)
