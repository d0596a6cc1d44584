"""Blind spots: images whose noise has no law that a camera has, and what they cannot restore."""

from typing import Any

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

import zsdeconv as zs
from zsdeconv.config import Config, resolve
from zsdeconv.errors import ConfigError
from zsdeconv.image import Image
from zsdeconv.prepare import prepare

OPTICS = zs.Optics(na=1.3, wavelength_nm=525, immersion_ri=1.406)
SPACING_UM = {"Y": 0.07, "X": 0.065}
pytestmark = pytest.mark.filterwarnings("ignore::zsdeconv.errors.DataWarning")  # impulses are no camera's noise, which is told


def settings(kind: str, steps: int = 2, **changes: Any) -> Config:
    given = {
        "network": {"channels": (8, 16)},
        "training": {"patch_px": 48, "batch": 8, "steps": steps, "stage2_fraction": 0.1},
        "prediction": {"passes": 2},
        "pairs": {"kind": kind},
    }
    return resolve(changes, given)


def clean(size: tuple[int, int] = (90, 97)) -> np.ndarray:
    """Spots and threads, photons."""
    rng = np.random.default_rng(2)
    spots = gaussian_filter((rng.random(size) < 0.01) * 400.0, 1.6)
    return spots + 30 * (gaussian_filter(rng.normal(size=size), 5) ** 2 > 0.004) + 5


def with_impulses(light: np.ndarray) -> np.ndarray:
    """Counts, one pixel in twelve of which is a value at random, bright or dark, as from a link that loses bits."""
    rng = np.random.default_rng(3)
    counts = rng.poisson(light) + rng.normal(100, 2, light.shape)
    lost = rng.random(light.shape) < 1 / 12
    return np.where(lost, rng.uniform(counts.min(), counts.max(), light.shape), counts).round().astype(np.uint16)


def test_the_model_restores_alike_after_a_round_trip(tmp_path) -> None:
    image = Image(with_impulses(clean((60, 64))), "YX", SPACING_UM)
    result = zs.restore(image, OPTICS, config=settings("blind"))
    assert result.model.provenance["sources"]["pairs"] == "blind spots, as given"
    again = zs.load(result.model.save(tmp_path / "a.zsd")).predict(image)
    np.testing.assert_array_equal(again.denoised.data, result.model.predict(image).denoised.data)


@pytest.mark.parametrize(
    ("changes", "blur_px", "said"),
    [
        ({}, 1.0, r"`pairs=blind`: the noise of neighbouring pixels is correlated by 0\.\d+, so that it can be guessed"),
        ({"preset": "paper", "network": {"kind": "unet"}}, 0.0, "`pairs=blind`: network.kind unet learns both stages at once"),
        ({"pairs": {"kind": "blind", "alpha": (1.0, 1.2)}}, 0.0, "pairs.alpha .* has no effect on pairs without added noise"),
    ],
)
def test_what_blind_spots_cannot_do_is_refused(changes: dict[str, Any], blur_px: float, said: str) -> None:
    rng = np.random.default_rng(7)
    counts = gaussian_filter(rng.poisson(clean()) + rng.normal(0, 2, (90, 97)), blur_px) + 100
    config = resolve({"pairs": {"kind": "blind"}, **changes}, {"training": {"steps": 2}})
    with pytest.raises(ConfigError, match=said):
        prepare([Image(counts.astype(np.float32), "YX", SPACING_UM)], config, OPTICS)
