"""Patterns as numbers, images and YAML, and the orders of raw frames."""

import math

import numpy as np
import pytest
import torch

from sim.simulator import two_beams
from zsdeconv.errors import ConfigError, ImageError
from zsdeconv.sim.patterns import Direction, Layout, SimParameters, illumination, nominal_phases_rad, read_parameters


@pytest.mark.parametrize("order", ["direction-phase", "phase-direction"])
def test_frames_are_split_into_directions_and_phases(order: str) -> None:
    layout = Layout(2, 4, order)  # pyright: ignore[reportArgumentType]
    names = (
        [f"{d}{p}" for d in range(2) for p in range(4)] if order == "direction-phase" else [f"{d}{p}" for p in range(4) for d in range(2)]
    )
    assert layout.split(np.array(names)).tolist() == [[f"{d}{p}" for p in range(4)] for d in range(2)]
    assert layout.swapped.swapped == layout
    assert layout.split(torch.arange(8.0)[:, None]).shape == (2, 4, 1)


def test_frame_counts_that_fit_no_layout_are_refused() -> None:
    with pytest.raises(ImageError, match=r"8 raw frames: 3 directions x 3 phases are 9; give `directions` and `phases`"):
        Layout().split(np.zeros((8, 4, 4)))
    for (directions, phases, order), advice in (
        ((0, 3, "direction-phase"), "give `directions`"),
        ((3, 2, "direction-phase"), "give `phases`"),
        ((3, 3, "zigzag"), "give `order`"),
    ):
        with pytest.raises(ConfigError, match=advice):
            Layout(directions, phases, order)  # pyright: ignore[reportArgumentType]


def test_the_pattern_equals_the_loops() -> None:
    parameters = two_beams(phases=4, order="phase-direction")
    images = illumination(parameters, (5, 7), (0.05, 0.03))
    for number in range(12):
        phase, direction = divmod(number, 3)
        d = parameters.directions[direction]
        for y in range(5):
            for x in range(7):
                place = d.p_per_um[0] * 0.05 * y + d.p_per_um[1] * 0.03 * x
                expected = 1 + d.depth * math.cos(2 * math.pi * (place + phase / 4) + d.phase_rad)
                assert images[number, y, x] == pytest.approx(expected, abs=1e-12)  # rounding


def test_bands_are_separated_exactly() -> None:
    """`M^+ M = 1`: frames made of three known bands give them back, whatever the phases; gains are made up for."""
    rng = np.random.default_rng(0)
    phases, gains = (0.1, 1.9, 3.3, 5.8), (1.0, 1.1, 1.3, 0.9)
    bands = rng.normal(size=3) + 1j * rng.normal(size=3)
    frames = [sum(band * np.exp(1j * m * phase) for band, m in zip(bands, (0, 1, -1), strict=True)) for phase in phases]
    direction = Direction((1.0, 2.0), 0.5, 0.3, phases, gains)
    np.testing.assert_allclose(direction.separation() @ (np.array(frames) / gains), bands, atol=1e-12)


def test_angle_period_and_strength() -> None:
    direction = Direction((3.0, -4.0), 0.6, -2.0, nominal_phases_rad(3), (1, 1, 1))
    assert direction.period_um == pytest.approx(0.2)
    assert direction.angle_deg == pytest.approx(180 - math.degrees(math.atan(3 / 4)))
    assert direction.c1 == pytest.approx(0.3 * np.exp(-2j))


def test_yaml_keeps_every_digit_and_where_it_came_from(tmp_path) -> None:
    one = two_beams(phases=5, order="phase-direction")
    parameters = SimParameters(one.directions, one.pixel_um, one.order, {"file": "raw.tif", "optics": {"na": 1.3}})
    path = tmp_path / "sim.yaml"
    path.write_text(parameters.to_yaml(), encoding="utf-8")
    again = read_parameters(path)
    assert again == parameters
    assert again.made_from["optics"] == {"na": 1.3}


def test_yaml_that_holds_no_parameters_is_refused_with_a_sentence(tmp_path) -> None:
    good = two_beams().to_yaml()
    texts = [
        "",
        "- 1\n",
        "a: [",
        "directions: []\npixel_um: 0.1\n",
        "directions: [{depth: 1}]\npixel_um: 0.1\n",
        good.replace("depth:", "deep:"),
    ]
    texts += [good.replace("depth: 0.8", "depth: 3"), good.replace("pixel_um: 0.0626", "pixel_um: x"), good.replace("0.0626", "-1")]
    for text in texts:
        with pytest.raises(ConfigError, match="estimate"):
            SimParameters.from_yaml(text, "sim.yaml")
    (tmp_path / "binary.yaml").write_bytes(b"\xff\xfe\x00")
    for path in (tmp_path / "none.yaml", tmp_path / "binary.yaml"):
        with pytest.raises(ConfigError, match=path.name):
            read_parameters(path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"p_per_um": (0.0, 0.0)}, "wave vector"),
        ({"p_per_um": (1.0, np.nan)}, "finite"),
        ({"depth": 1.2}, "depth 1.2"),
        ({"gains": (1.0, 1.0)}, "2 gains"),
        ({"gains": (1.0, -1.0, 1.0)}, "gain -1"),
        ({"phases_rad": (0.0, 0.0, 1.0)}, "three bands"),
    ],
)
def test_impossible_directions_are_refused(change: dict, message: str) -> None:
    good = {"p_per_um": (1.0, 2.0), "depth": 0.5, "phase_rad": 0.1, "phases_rad": nominal_phases_rad(3), "gains": (1.0, 1.0, 1.0)}
    with pytest.raises(ConfigError, match=message):
        Direction(**good | change)


def test_directions_must_agree_in_their_number_of_phases() -> None:
    with pytest.raises(ConfigError, match=r"\[3, 5\]"):
        SimParameters((*two_beams().directions, *two_beams(phases=5).directions), 0.1)
