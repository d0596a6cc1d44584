"""Shape of the noise, noise kept by a denoiser, and texture that it adds, on filters whose faults are known."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import cast

import numpy as np
import pytest
import torch
from torch import Tensor

from zsdeconv.acquisition.base import Measurement
from zsdeconv.acquisition.direct import CameraMeasurement
from zsdeconv.acquisition.light import ClosedLight
from zsdeconv.camera.detector import Camera, Counter, Multiplier
from zsdeconv.physics import grid
from zsdeconv.prediction.photometry import IntensityCorrection
from zsdeconv.prediction.tiled import FramePrediction
from zsdeconv.report.checks.noise_left import KEY, NUMBERS, NoiseLeft, measure, section
from zsdeconv.report.interfaces import ModelLike
from zsdeconv.report.page.figures import render_figure
from zsdeconv.report.section import Section

MULTIPLIER = Multiplier(0.0, 0.2, 0.0009)
"""5 electrons in a bright pixel of 1."""
ALIKE = Camera(0.0, MULTIPLIER.beta1, MULTIPLIER.read_variance)
"""The camera of the same variance."""


def clean_image(n: int = 200) -> Tensor:
    y, x = np.mgrid[:n, : n + 23]
    return torch.from_numpy(0.6 + 0.4 * np.sin(y / 13 + 0.4 * np.cos(x / 7)) * np.cos(x / 11)).float().clamp(min=0.02)


def mean_of(y: Tensor) -> Tensor:
    """A filter that keeps a 25th of the noise."""
    planes = y.reshape(-1, 1, *y.shape[-2:])
    return grid.smooth(planes).reshape(y.shape)


def mean_and_outliers(y: Tensor) -> Tensor:
    """A filter that takes for signal what stands out by five standard deviations."""
    mean = mean_of(y)
    return torch.where(y - mean > 5 * ALIKE.variance(mean).sqrt(), y, mean)


def weave(y: Tensor) -> Tensor:
    """Faint lines along both axes."""
    rows, columns = torch.arange(y.shape[0])[:, None], torch.arange(y.shape[1])
    return 0.08 * ((rows % 4 == 0).float() + (columns % 4 == 0).float())


def judged(y: Tensor, law: Camera, denoise: Callable[[Tensor], Tensor]) -> Section:
    def predict(measurement: Measurement, passes: int) -> FramePrediction:
        return FramePrediction(denoise(measurement.y), mean_of(measurement.y), None)

    optics = {"scale": 1, "psf": SimpleNamespace(spacing_um=(0.065, 0.065))}
    acquisition = SimpleNamespace(forward_operator=lambda x: x, light=ClosedLight(), **optics)
    model = SimpleNamespace(predict_measurement=predict, intensity_correction=IntensityCorrection(), acquisition=acquisition)
    return section(measure(cast(ModelLike, model), CameraMeasurement(y, law), denoise(y).numpy(), seed=1))


def levels(found: Section) -> dict[str, str]:
    return {finding.name: finding.level for finding in found.findings}


def recorded(law: Camera, seed: int, image: Tensor | None = None) -> Tensor:
    return law.simulate(clean_image() if image is None else image, 1.0, torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("law", [ALIKE, MULTIPLIER, Counter(0.0, 0.3)], ids=lambda law: law.kind)
@pytest.mark.parametrize("seed", range(3))
def test_under_the_right_law_nothing_is_found(law: Camera, seed: int) -> None:
    found = judged(recorded(law, seed), law, mean_of)
    found_levels = levels(found)
    assert found_levels.pop("added texture") in ("ok", "not_checked")  # the noise that a mean leaves would hide a faint weave
    assert found_levels == {"shape of the noise": "ok", "noise kept": "ok"}
    assert found.key == KEY and set(found.numbers) == set(NUMBERS)


@pytest.mark.parametrize("seed", range(3))
def test_noise_of_a_multiplier_under_the_law_of_a_camera_is_found(seed: int) -> None:
    y = recorded(MULTIPLIER, seed)
    assert levels(judged(y, ALIKE, mean_of))["shape of the noise"] == "fail"
    assert levels(judged(y, MULTIPLIER, mean_of))["shape of the noise"] == "ok"


@pytest.mark.parametrize("seed", range(3))
def test_isolated_bright_pixels_that_a_network_keeps_are_found(seed: int) -> None:
    found = judged(recorded(MULTIPLIER, seed, clean_image(260)), ALIKE, mean_and_outliers)
    assert levels(found)["noise kept"] == "fail"
    assert found.numbers["noise_kept"] > found.numbers["noise_kept_expected"] + 0.05
    assert found.numbers["noise_kept_share"] > found.numbers["noise_kept_share_expected"] + 0.008
    assert levels(judged(recorded(ALIKE, seed), ALIKE, mean_and_outliers))["noise kept"] == "ok"


def test_noise_that_nobody_sees_is_no_fault() -> None:
    """A network that has learned its image by heart keeps a trace of the noise, which nothing else has."""
    y = recorded(ALIKE, 1)

    def learned(seen: Tensor) -> Tensor:
        return mean_of(seen) + (0.005 * (y - clean_image()) if torch.equal(seen, y) else 0)

    found = judged(y, ALIKE, learned)
    assert found.numbers["noise_kept"] > found.numbers["noise_kept_expected"] + 0.05
    assert levels(found)["noise kept"] == "ok"


def test_structure_left_in_the_residual_is_not_taken_for_another_law() -> None:
    """It widens the residual and so lowers its skewness; a law of too little skewness is found beside it."""
    y, x = np.mgrid[:200, :223]
    left = torch.from_numpy(0.8 * np.sin(y / 1.9) * np.sin(x / 2.3)).float() * MULTIPLIER.variance(clean_image()).sqrt()
    seen = recorded(MULTIPLIER, 2) + left
    found = judged(seen, MULTIPLIER, mean_of)
    assert found.numbers["skewness"] < 0.85 * found.numbers["skewness_expected"]
    assert levels(found)["shape of the noise"] == "ok"
    slight = recorded(MULTIPLIER, 2) + 0.3 * left
    assert levels(judged(slight, ALIKE, mean_of))["shape of the noise"] == "fail"


def test_places_without_light_do_not_decide_the_shape() -> None:
    """Their skewness depends on whether the mean is a tenth or a twentieth of an electron, which no restoration knows."""
    dark = 0.3 * clean_image()
    dark[:, 60:] = 0.02  # a tenth of an electron
    y = recorded(MULTIPLIER, 3, dark)

    def too_dark(seen: Tensor) -> Tensor:
        mean = mean_of(seen)
        mean[:, 60:] = 0.01
        return mean

    assert levels(judged(y, MULTIPLIER, too_dark))["shape of the noise"] == "ok"
    assert levels(judged(y, ALIKE, too_dark))["shape of the noise"] == "fail"
    nowhere = judged(y[:, 62:], MULTIPLIER, mean_of)
    assert levels(nowhere)["shape of the noise"] != "fail"
    empty = judged(0 * y, MULTIPLIER, mean_of)
    assert levels(empty)["shape of the noise"] == "not_checked" and empty.numbers["skewness"] is None


def test_a_weave_of_the_network_is_found_and_lines_of_the_sample_are_not() -> None:
    bright = Camera(0.0, 1e-3, 1e-6)
    y = recorded(bright, 0)
    assert levels(judged(y, bright, lambda y: mean_of(y) + weave(y)))["added texture"] == "warn"
    lined = recorded(bright, 0, clean_image() + weave(y))
    assert levels(judged(lined, bright, lambda y: y + 0))["added texture"] == "ok"


def test_small_images_and_stacks_are_judged_as_far_as_they_can_be() -> None:
    small = judged(recorded(ALIKE, 0)[:70, :61], ALIKE, mean_of)
    assert levels(small)["added texture"] == "not_checked"
    stack = torch.stack([recorded(ALIKE, seed) for seed in range(3)])
    found = judged(stack, ALIKE, mean_of)
    found_levels = levels(found)
    assert found_levels.pop("added texture") in ("ok", "not_checked")  # the noise that a mean leaves would hide a faint weave
    assert found_levels == {"shape of the noise": "ok", "noise kept": "ok"}


def test_the_figure_is_drawn() -> None:
    assert render_figure(judged(recorded(ALIKE, 0), ALIKE, mean_of).figures[0])


@pytest.mark.parametrize(
    ("share", "expected", "tails", "level"),
    [
        (0.026, 0.0186, (0.011, 0.003), "ok"),  # a good restoration: the recording keeps as much
        (0.025, 0.0, (0.06, 0.01), "fail"),  # bright noise alone, which the law does not describe
        (0.03, 0.002, (0.01, 0.0), "warn"),  # noise of both signs, known by heart
        (0.2, 0.01, (0.01, 0.0), "fail"),
        (0.063, 0.045, (0.01, 0.0), "not_checked"),  # so much is kept of any noise that a tenth more would hide
    ],
)
def test_noise_kept_is_compared_with_that_of_the_simulated_recording(
    share: float, expected: float, tails: tuple[float, float], level: str
) -> None:
    result = NoiseLeft(None, (0.0, 0.0), 1.0, (0.1, share), (0.1, expected, 0.0005), tails, None, None, np.zeros((8, 8)), (0.065, 0.065))
    assert {finding.name: finding.level for finding in section(result).findings}["noise kept"] == level


@pytest.mark.parametrize(("weave", "level"), [(1.2, "not_checked"), (40.0, "ok")])
def test_a_weave_that_structure_would_hide_is_not_called_absent(weave: float, level: str) -> None:
    result = NoiseLeft(None, (0.0, 0.0), 1.0, (0.0, 0.0), (0.0, 0.0, 0.0), (0.0, 0.0), 1.0, 1.0, np.zeros((8, 8)), (0.065, 0.065), weave)
    assert {finding.name: finding.level for finding in section(result).findings}["added texture"] == level
