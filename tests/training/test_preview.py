"""Pictures during a training: of one structured place, and without any effect on what is learnt."""

from typing import Any

import numpy as np
import pytest
import torch

import zsdeconv as zs
from zsdeconv.acquisition.direct import CameraMeasurement
from zsdeconv.camera.detector import Camera
from zsdeconv.config import resolve
from zsdeconv.training.preview import Previewer, structured_place

CAMERA = Camera(0.0, 0.01, 0.002)
TINY = {
    "network": {"channels": (4, 8)},
    "training": {"patch_px": 24, "batch": 1, "steps": 8, "validate_every": 2},
    "prediction": {"passes": 2},
    "input": {"pixel_um": 0.065},
}


class Sums:
    """A network whose answer tells what it saw: the input, and the input repeated on a grid twice finer."""

    def __init__(self) -> None:
        self.seen: list[tuple[int, ...]] = []

    def __call__(self, x: torch.Tensor, stage: int = 2, symmetry: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
        self.seen.append(tuple(x.shape))
        return x, x.repeat_interleave(2, -1).repeat_interleave(2, -2)


@pytest.mark.parametrize("shape", [(300, 200), (40, 90), (9, 120, 100), (2, 30, 33)])
def test_the_pictures_show_one_place_on_both_grids(shape: tuple[int, ...]) -> None:
    y = torch.zeros(shape)
    *_, top, left = at = [n * 2 // 3 for n in shape]
    y[(*at[:-2], slice(top, top + 3), slice(left, left + 3))] = 1.0
    network: Any = Sums()
    previewer = Previewer([CameraMeasurement(y, CAMERA)])
    picture = previewer(network, 2)
    side = [min(64, n) for n in shape[-2:]]
    assert list(picture.raw.shape) == list(picture.denoised.shape) == side
    assert picture.raw.sum() == 9, "the bright square is in it"
    assert picture.deconvolved is not None
    np.testing.assert_array_equal(picture.deconvolved, picture.raw.repeat(2, 0).repeat(2, 1))
    assert previewer(network, 1).deconvolved is None
    assert np.prod(network.seen[0]) <= 9 * 128 * 128, "a fraction of a large image"


def test_the_place_lies_within() -> None:
    y = torch.zeros(70, 66)
    y[-2:, -2:] = 1.0
    assert structured_place(y) == (6, 2)


def train(seed_of_image: int = 0, **options: Any) -> zs.Model:
    counts = np.random.default_rng(seed_of_image).poisson(np.linspace(9, 200, 48), (40, 48))
    return zs.train([counts], zs.Optics(na=1.3, wavelength_nm=525), config=resolve(TINY), **options)


def test_a_watched_training_learns_the_same() -> None:
    """Neither the measurement of the speed nor the pictures draw any noise or change a weight."""
    told, events = [], []
    plain = train()
    watched = train(progress=told.append, preview=True, callback=events.append)
    for name, weights in plain.network.state_dict().items():
        assert torch.equal(weights, watched.network.state_dict()[name]), name
    assert plain.intensity_correction == watched.intensity_correction
    validations = [event for event in watched.history if event["phase"]]
    assert len(events) == len(validations) == len([event for event in told if event.preview])
    assert [event["preview"].deconvolved is None for event in events] == [event["phase"] == "denoise" for event in events]
    assert not any("preview" in event for event in watched.history), "pictures are in no model file"


def test_a_callback_has_no_pictures_unless_they_are_asked_for() -> None:
    events: list[dict[str, Any]] = []
    train(callback=events.append)
    assert events and not any("preview" in event for event in events)
