"""Default restorations of images in which there is nothing, and of images into which something was put."""

import numpy as np
import pytest
import torch
from skimage.measure import label

import zsdeconv as zs
from zsdeconv.report.checks.recovery import measure
from zsdeconv.simulation.widefield import Scene, simulate_2d

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore::zsdeconv.errors.DataWarning")]


def test_of_pure_noise_nothing_is_made() -> None:
    rng = np.random.default_rng(3)
    light, read = 5.0, 2.0
    noisy = rng.poisson(light, (160, 180)) + rng.normal(100, read, (160, 180))
    image = zs.Image(noisy.round().astype(np.uint16), "YX", {"Y": 0.065, "X": 0.065})
    made = zs.restore(image, zs.Optics(1.3, 525))
    sigma = np.sqrt(light + read**2)
    denoised = made.denoised.data.astype(float)
    assert denoised.std() < 0.1 * sigma
    # Above 4 of its own standard deviations less than one pixel in ten thousand is to be expected, and no two side by side.
    regions = np.asarray(label(denoised - np.median(denoised) > 4 * denoised.std()))
    assert np.bincount(regions.ravel(), minlength=2)[1:].max() < 2


@pytest.mark.parametrize(("photons", "limit"), [(60, 0.10), (15, 0.25)])
def test_what_was_put_in_comes_back_where_and_as_bright_as_it_was_put(photons: float, limit: float) -> None:
    scene = Scene(size=192, photons=photons, structure="filaments", seed=5)
    simulated = simulate_2d(scene)
    model = zs.restore(simulated.noisy, scene.optics).model
    field = model.acquisition.measure(simulated.noisy.data, torch.device("cpu"))
    found = measure(model, field, model.predict_measurement(field, passes=8), passes=8)
    assert found.light_fraction is not None and found.shift_px is not None
    assert abs(found.light_fraction - 1) < limit
    assert found.shift_px < 0.5
