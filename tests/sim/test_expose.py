"""The forward model of raw frames against direct sums, and against the reconstruction that undoes it."""

import numpy as np
import pytest
import torch

from laws import assert_adjoint, assert_gradient_is_adjoint, assert_linear
from sim.simulator import OPTICS, PIXEL_UM, curves, stripes
from zsdeconv.physics.operators import Blur, fast_length
from zsdeconv.physics.optics import Optics
from zsdeconv.sim.detection import detection_of
from zsdeconv.sim.expose import Expose
from zsdeconv.sim.patterns import Direction, SimParameters, illumination
from zsdeconv.sim.reconstruct import Reconstruct

COARSE = detection_of(Optics(0.5, 500))
DETECTION = detection_of(OPTICS)


def odd_parameters() -> SimParameters:
    return SimParameters(
        (
            Direction((0.83, 1.37), 0.7, 0.4, (0.1, 1.5, 3.3, 4.9), (1.0, 1.1, 0.9, 1.2)),
            Direction((-1.62, 0.59), 0.9, -2.3, (0.0, 1.6, 3.1, 4.6), (0.8, 1.05, 1.0, 1.3)),
        ),
        0.2,
        "phase-direction",
    )


def test_it_equals_the_direct_sums() -> None:
    """Each frame: the mirrored object times its light through the lens, every other pixel, as bright as before the gains."""
    parameters, expose = odd_parameters(), Expose(odd_parameters(), COARSE)
    x = np.random.default_rng(2).random((40, 46))
    reach = expose.reach_px[0]
    sizes = [fast_length(n + 2 * reach) for n in x.shape]
    k = np.hypot(np.fft.fftfreq(sizes[0], 0.1)[:, None], np.fft.fftfreq(sizes[1], 0.1))
    gains = np.empty(8)
    for numbers, direction in zip(parameters.layout.numbers, parameters.directions, strict=True):
        gains[numbers] = direction.gains
    expected = []
    for light, gain in zip(illumination(parameters, (40, 46), (0.1, 0.1)), gains, strict=True):
        world = np.zeros(sizes)
        mirrored = np.pad(x * light, reach, mode="reflect")
        world[: mirrored.shape[0], : mirrored.shape[1]] = mirrored
        seen = np.fft.ifft2(np.fft.fft2(world) * COARSE(k)).real[reach : reach + 40, reach : reach + 46]
        expected.append(seen[::2, ::2] / gain)
    found = expose(torch.from_numpy(x)[None, None])[0].numpy()
    np.testing.assert_allclose(found, np.array(expected), rtol=1e-9)


def test_laws() -> None:
    expose = Expose(odd_parameters(), COARSE)
    assert_linear(expose, (1, 1, 20, 24))
    assert_adjoint(expose, (2, 1, 20, 24), (2, 8, 10, 12))
    assert_gradient_is_adjoint(expose, (1, 1, 20, 24))


@pytest.mark.parametrize("wiener", [0.1, 0.4])
def test_what_is_exposed_and_reconstructed_has_the_psf_of_the_reconstruction(wiener: float) -> None:
    parameters = stripes()
    x = torch.from_numpy(curves((160, 180), np.random.default_rng(3)))[None, None]
    reconstruct = Reconstruct(parameters, DETECTION, PIXEL_UM, wiener)
    found = reconstruct(Expose(parameters, DETECTION)(x))
    expected = Blur(reconstruct.psf().values)(x)
    inner = np.s_[..., 40:-40, 40:-40]
    # the PSF ends at 2.7 wavelength / NA, the mirror images at the borders are lit by other stripes
    assert float((found - expected)[inner].std() / expected[inner].std()) < 0.01
    assert float(found[inner].mean() / expected[inner].mean()) == pytest.approx(1.0, abs=0.01)
