"""Test objects that are put into an image: where they go, what they weigh, and that a network which loses or moves them is told of."""

import numpy as np
import pytest
import torch
from torch import Tensor

from zsdeconv.acquisition.base import Measurement
from zsdeconv.acquisition.direct import CameraMeasurement
from zsdeconv.model import Model, Restored
from zsdeconv.physics import grid
from zsdeconv.prediction.tiled import FramePrediction
from zsdeconv.report.checks.recovery import MIN_DIP, Recovery, _Pair, measure, section
from zsdeconv.simulation.widefield import Simulation


class Oracle:
    """A model in whose place stands a law: the object is known, and what is made of it is bent as told."""

    def __init__(self, model: Model, x: Tensor, share: float = 1.0, shift_px: int = 0) -> None:
        self.modality, self.psf, self.acquisition, self.x = model.modality, model.psf, model.acquisition, x
        self.share, self.shift_px, self.seen = share, shift_px, list[Tensor]()

    def predict_measurement(self, measurement: Measurement, *, passes: int) -> FramePrediction:
        added = torch.zeros_like(self.x)
        if self.seen:  # what differs from the image seen first, sharpened by nobody: its light is where it was put, but for the blur
            change = grid.upsample((measurement.y - self.seen[0])[None, None], (2, 2))[0, 0]
            added = self.share * torch.roll(change, self.shift_px, -1)
        self.seen.append(measurement.y)
        return FramePrediction(measurement.y, self.x + added, None)


def field_of(model: Model, simulated: Simulation) -> Measurement:
    return model.acquisition.measure(simulated.noisy.data, torch.device("cpu"))


def asked(oracle: Oracle, measurement: Measurement) -> Recovery:
    found = measure(oracle, measurement, oracle.predict_measurement(measurement, passes=1), passes=1)  # pyright: ignore[reportArgumentType]
    return found


@pytest.mark.parametrize(("share", "shift_px"), [(1.0, 0), (0.4, 0), (1.0, 3)])
def test_light_and_place_are_measured_as_they_are(restored: Restored, simulated: Simulation, share: float, shift_px: int) -> None:
    model, measurement = restored.model, field_of(restored.model, simulated)
    found = asked(Oracle(model, torch.zeros(194, 194), share, shift_px), measurement)
    assert len(found.places) == 5
    # Part of the blurred light lies outside of the window of 1.5 widths; the noise of its own light moves a pair by a third of a pixel.
    assert found.light_fraction is not None and share * 0.75 < found.light_fraction < share * 1.1
    assert found.shift_px == pytest.approx(shift_px, abs=0.5)
    levels = [finding.level for finding in section(found).findings]
    assert levels[1:] == ["ok" if share == 1.0 else "warn", "ok" if shift_px == 0 else "warn"]


def test_pairs_lie_in_dark_places_far_from_each_other_and_from_the_border(restored: Restored, simulated: Simulation) -> None:
    model, measurement = restored.model, field_of(restored.model, simulated)
    found = asked(Oracle(model, torch.zeros(194, 194)), measurement)
    places = np.array(found.places)
    assert places.min() > 10 and places.max() < 194 - 10
    apart = np.abs(places[:, None] - places[None]).max(-1) + 1000 * np.eye(5)
    assert apart.min() > 2 * found.separation_px
    predicted_zero = [float(simulated.clean.data[y // 2 - 3 : y // 2 + 4, x // 2 - 3 : x // 2 + 4].mean()) for y, x in found.places]
    assert np.median(predicted_zero) < np.median(simulated.clean.data)  # a small field has not five dark places far from each other


def test_a_trained_network_gives_back_what_it_has_never_seen(restored: Restored, simulated: Simulation) -> None:
    model, measurement = restored.model, field_of(restored.model, simulated)
    found = measure(model, measurement, model.predict_measurement(measurement, passes=4), passes=4)
    assert found.light_fraction is not None and found.shift_px is not None
    assert abs(found.light_fraction - 1) < 0.25  # of a network that had a quarter of its training
    assert found.shift_px < 0.75


def test_where_nothing_can_be_put_the_section_says_so(restored: Restored) -> None:
    model = restored.model
    small = CameraMeasurement(torch.rand(16, 20), model.acquisition.camera)
    found = measure(model, small, model.predict_measurement(small, passes=2), passes=2)
    judged = section(found)
    assert found.places == [] and judged.level == "not_checked" and "larger field" in judged.findings[0].message
    assert set(judged.numbers.values()) == {None} and judged.figures == []


def blobs(width_px: float, apart_px: float) -> np.ndarray:
    """Two Gaussians `apart_px` from each other along x, around column 40 of row 30."""
    y, x = np.mgrid[:61, :81]
    left, right = (np.exp(-((y - 30) ** 2 + (x - 40 - side * apart_px / 2) ** 2) / (2 * (width_px / 2.3548) ** 2)) for side in (-1, 1))
    return left + right


@pytest.mark.parametrize(("width_px", "resolved"), [(3.0, True), (5.7, True), (7.6, False), (12.0, False)])
def test_a_pair_is_resolved_where_the_dip_says_so(width_px: float, resolved: bool) -> None:
    """Of Gaussians: `1 - 2 exp(-d^2 / 8 s^2)` for a distance d and a standard deviation s, where the peaks do not overlap."""
    dip = _Pair(8, [9, 9]).dip(blobs(width_px, 8), (30, 40))
    expected = 1 - 2 * np.exp(-(8**2) / (8 * (width_px / 2.3548) ** 2))
    assert dip == pytest.approx(max(expected, 0.0), abs=0.06) and (dip >= MIN_DIP) == resolved


def test_one_point_in_the_place_of_two_is_merged() -> None:
    pair = _Pair(8, [9, 9])
    assert pair.dip(blobs(4, 0), (30, 40)) < MIN_DIP, "a single blob between both"
    assert pair.dip(np.zeros((61, 81)), (30, 40)) == 0 and pair.dip(-blobs(3, 8), (30, 40)) == 0


@pytest.mark.parametrize(("dips", "level"), [([0.8, 0.9, 0.7], "ok"), ([0.8, 0.1, 0.0], "warn"), ([0.0] * 3, "warn")])
def test_right_light_of_a_merged_pair_is_not_good(dips: list[float], level: str) -> None:
    """Whatever the brightness: objects that cannot be told apart were not restored."""
    empty = np.zeros((0, 0))
    judged = section(Recovery([(9, 9)] * 3, [1.23] * 3, [(0.0, 0.0)] * 3, dips, 8, 260.0, empty, empty, empty))
    first, light, _ = judged.findings
    assert (judged.level, first.level, light.level) == (level, level, "ok")
    assert ("merged" in first.message) == (level == "warn") and "260 nm" in first.message
    assert judged.numbers["pairs_resolved"] == sum(dip >= MIN_DIP for dip in dips)


def pairs_of(light: list[float], shifts_px: list[tuple[float, float]]) -> Recovery:
    empty = np.zeros((0, 0))
    dips = [0.8] * len(light)
    return Recovery([(9 * n, 9) for n in range(len(light))], light, shifts_px, dips, 8, 260.0, empty, empty, empty)


@pytest.mark.parametrize(
    ("scatter_px", "shift_px", "level"), [(0.4, 0.0, "ok"), (0.4, 2.0, "warn"), (2.5, 0.0, "not_checked"), (2.5, 2.0, "not_checked")]
)
def test_a_shift_counts_beyond_the_noise_of_single_places(scatter_px: float, shift_px: float, level: str) -> None:
    scatter = scatter_px * np.array([[1.0, 0.5], [-1.0, 1.0], [0.5, -1.0], [-0.5, 0.5], [0.0, -1.0]])
    found = findings_of(pairs_of([1.0, 0.9, 1.1, 1.05, 0.95], [(y, x + shift_px) for y, x in scatter.tolist()]))
    assert (found["place of test objects"], found["brightness of test objects"]) == (level, "ok")


@pytest.mark.parametrize(
    ("light", "level"),
    [
        ([1.0, 1.1, 0.9, 1.0, 1.0], "ok"),
        ([0.6, 0.65, 0.55, 0.6, 0.6], "warn"),
        ([0.3, 1.4, 1.9, 0.4, 1.0], "not_checked"),
        ([1.0], "not_checked"),
    ],
)
def test_light_counts_beyond_the_noise_of_single_places(light: list[float], level: str) -> None:
    assert findings_of(pairs_of(light, [(0.0, 0.1 * n) for n in range(len(light))]))["brightness of test objects"] == level


def findings_of(result: Recovery) -> dict[str, str]:
    return {finding.name: finding.level for finding in section(result).findings}
