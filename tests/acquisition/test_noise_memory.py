"""A recording whose noise has a memory, from the file to the restored image: everything that draws noise draws it with that memory."""

from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.ndimage import convolve1d, gaussian_filter

from zsdeconv import Optics, train
from zsdeconv.acquisition.direct import CameraMeasurement, DirectAcquisition
from zsdeconv.camera.correlation import NoiseCorrelation
from zsdeconv.camera.detector import Camera
from zsdeconv.camera.lines import LineOffsets
from zsdeconv.channels import load
from zsdeconv.config import as_settings, resolve
from zsdeconv.data.normalize import Affine
from zsdeconv.errors import ConfigError, DataWarning
from zsdeconv.image import Image
from zsdeconv.physics.operators import Crop
from zsdeconv.physics.psf import Psf
from zsdeconv.prepare import prepare

OPTICS = Optics(na=1.3, wavelength_nm=525)
MEMORY = NoiseCorrelation(((0.25, 0.5, 0.25),))
LAW = Camera(0.0, 2.0, 9.0, correlation=MEMORY)


def image(filtered, rows: float = 0.0, shape: tuple[int, int] = (150, 171), um: float = 0.065) -> Image:
    rng = np.random.default_rng(0)
    light = 40 + 400 * gaussian_filter(rng.normal(size=shape), 3).clip(0)
    noise = 2 * rng.poisson(light / 2) - light + rng.normal(0, 3, shape)
    data = light + filtered(noise) + rng.normal(0, 1, (shape[0], 1)) * rows + 100
    return Image(data.astype(np.float32), "YX", {"Y": um, "X": um})


def scanned(noise: np.ndarray) -> np.ndarray:
    return convolve1d(noise, [0.25, 0.5, 0.25], axis=-1)


def along_x(noise: torch.Tensor) -> float:
    noise = noise - noise.mean()
    return float((noise[..., 1:] * noise[..., :-1]).mean() / noise.square().mean())


def test_a_model_keeps_the_memory_and_restores_the_same(tmp_path: Path) -> None:
    recording = image(scanned, rows=4.0)
    with pytest.warns(DataWarning) as told:
        model = train([recording], OPTICS, steps=2)
    words = " ".join(str(each.message) for each in told)
    assert "along x and" in words and "rows have offsets of" in words
    assert model.camera.correlation.rho(0, 1) == pytest.approx(2 / 3, abs=0.06) and model.camera.lines.rows == pytest.approx(4.0, rel=0.4)
    assert model.config.pairs.kind == "recorrupt"
    again = load(model.save(tmp_path / "scanner.zsd"))
    assert again.camera == Camera(
        model.camera.offset, model.camera.gain, model.camera.read_variance,
        correlation=NoiseCorrelation(model.camera.correlation.kernel), lines=model.camera.lines,
    )  # fmt: skip
    np.testing.assert_array_equal(again.predict(recording).denoised.data, model.predict(recording).denoised.data)


def test_everything_that_draws_noise_draws_it_with_the_memory() -> None:
    psf = Psf(np.ones((1, 1)), (0.0325, 0.0325), "a point")
    acquisition = DirectAcquisition(Affine(0.0, 1.0), LAW, psf, 2)
    measurement = CameraMeasurement(torch.full((160, 170), 50.0), LAW)
    fine = torch.full((2, 1, 300, 320), 50.0)
    generator = torch.Generator().manual_seed(0)
    drawn = {
        "noise": measurement.noise(generator),
        "passes": measurement.added_noise(1.0, generator),
        "pair": measurement.pair(1.0, generator)[1] - 50,
        "simulated": acquisition.simulate(fine, Crop([2, 2]), torch.ones(2, 1, 1, 1), generator),
        "added": acquisition.simulate_added(fine, generator),
        "reference": measurement.noise_reference(measurement.y, 0).draw(generator),
    }
    for name, noise in drawn.items():
        assert along_x(noise) == pytest.approx(2 / 3, abs=0.03), name
    reference = measurement.noise_reference(measurement.y, 0)
    assert float(reference.draw(generator).std()) == pytest.approx(1.0, abs=0.03)


def test_electrons_of_correlated_noise_are_not_divided() -> None:
    with pytest.raises(ConfigError, match="correlated by"), pytest.warns(DataWarning, match="correlated"):
        prepare([image(scanned)], resolve(as_settings({"pairs": "split"})), OPTICS)


def test_noise_as_wide_as_the_point_spread_function_is_told() -> None:
    """Where it is not, there is no such warning."""

    def words(sigma: float) -> str:
        with pytest.warns(DataWarning) as told:
            prepare([image(lambda noise: gaussian_filter(noise, sigma), um=0.08)], resolve(as_settings({})), Optics(1.49, 450))
        return " ".join(str(each.message) for each in told)

    assert "as wide as the point spread function" in words(1.0)
    assert "as wide as" not in words(0.6)


def test_lines_scale_with_the_unit() -> None:
    law = Camera(100.0, 2.0, 9.0, lines=LineOffsets(4.0, 2.0), correlation=MEMORY)
    assert law.in_unit(10.0).lines == LineOffsets(0.4, 0.2) and law.in_unit(10.0).correlation == MEMORY
    assert not law.white.correlation
