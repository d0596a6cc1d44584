"""The table of modalities and which image fits which row."""

import numpy as np
import pytest

from zsdeconv.acquisition.direct import DirectAcquisition
from zsdeconv.config import resolve
from zsdeconv.errors import ConfigError, ImageError
from zsdeconv.image import Image
from zsdeconv.modality import MODALITIES, Modality, choose, select
from zsdeconv.prediction.uncertainty import ErrorLaw


def image(axes: str, *shape: int) -> Image:
    return Image(np.zeros(shape), axes)


def test_rows_are_named_by_themselves_and_make_sense() -> None:
    for name, row in MODALITIES.items():
        assert row.name == name
        assert row.rank == len(row.spatial_axes) == len(row.factors(2))
        assert set(row.upsampled_axes) <= set(row.spatial_axes)
        assert not set(row.sample_axes) & set(row.spatial_axes)
        assert row.factors(1) == (1,) * row.rank


def test_maps_of_raw_frames_are_none_of_reconstructions() -> None:
    config = resolve({"sim": {"reconstructed": True}, "input": {"camera": "camera.yaml"}})
    with pytest.raises(ConfigError, match=r"`camera`: maps are of raw frames"):
        select(config, [image("ZYX", 7, 8, 9)])


def test_refinement_is_per_axis() -> None:
    assert Modality("volume", DirectAcquisition, "ZYX", ErrorLaw(1.0, 0.0)).factors(2) == (1, 2, 2)


@pytest.mark.parametrize(
    ("axes", "shape"), [("YX", (8, 9)), ("TYX", (3, 8, 9)), ("YXT", (8, 9, 3)), ("CZYX", (1, 1, 8, 9)), ("TCYX", (2, 1, 8, 9))]
)
@pytest.mark.parametrize("requested", ["auto", "2d"])
def test_frames_are_accepted(requested: str, axes: str, shape: tuple[int, ...]) -> None:
    assert choose(requested, image(axes, *shape)).spatial_axes == "YX"


@pytest.mark.parametrize(
    ("axes", "shape", "pattern"),
    [
        ("CYX", (2, 8, 9), "2 planes along C; split the channels"),
        ("TX", (3, 9), "needs the axes YX, Y is missing; give `axes`"),
    ],
)
@pytest.mark.parametrize("requested", ["auto", "2d"])
def test_others_are_refused_with_advice(requested: str, axes: str, shape: tuple[int, ...], pattern: str) -> None:
    with pytest.raises(ImageError, match=pattern) as caught:
        choose(requested, image(axes, *shape))
    assert str(shape) in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize(("axes", "shape"), [("ZYX", (5, 8, 9)), ("TZYX", (2, 7, 8, 9)), ("YXZ", (8, 9, 5)), ("ZCYX", (6, 1, 8, 9))])
@pytest.mark.parametrize("requested", ["auto", "3d"])
def test_stacks_are_accepted(requested: str, axes: str, shape: tuple[int, ...]) -> None:
    assert choose(requested, image(axes, *shape)).spatial_axes == "ZYX"


@pytest.mark.parametrize(
    ("requested", "axes", "shape", "pattern"),
    [
        ("auto", "ZYX", (4, 8, 9), "4 planes along Z, the 3d method needs 5 at least; restore a plane with `crop=Z0:1`"),
        ("3d", "ZYX", (2, 8, 9), "2 planes along Z, the 3d method needs 5"),
        ("2d", "ZYX", (5, 8, 9), "5 planes along Z; if the 5 planes are time points give `axes` with T"),
        ("auto", "CZYX", (2, 6, 8, 9), "2 planes along C; split the channels"),
        ("3d", "TYX", (6, 8, 9), "the 3d method needs the axes ZYX, Z is missing; give `axes`"),
    ],
)
def test_stacks_that_do_not_fit_are_refused_with_advice(requested: str, axes: str, shape: tuple[int, ...], pattern: str) -> None:
    with pytest.raises(ImageError, match=pattern):
        choose(requested, image(axes, *shape))


@pytest.mark.parametrize(
    ("axes", "shape", "spatial"), [("PYX", (9, 8, 9), "YX"), ("TPYX", (2, 9, 8, 9), "YX"), ("PZYX", (15, 6, 8, 9), "ZYX")]
)
def test_raw_frames_are_known_by_their_axis(axes: str, shape: tuple[int, ...], spatial: str) -> None:
    row = choose("auto", image(axes, *shape))
    assert row.spatial_axes == spatial and row.acquisition.raw_frame_axis == "P"
    assert row.factors(2) == row.denoised_factors(2) and row.network_scale(2) == 1
    with pytest.raises(ImageError, match="9 planes along P; raw frames of structured illumination are restored with `modality=sim2d`"):
        choose("2d", image("PYX", 9, 8, 9))
    with pytest.raises(ImageError, match="the sim2d method needs the axes PYX, P is missing"):
        choose("sim2d", image("YX", 8, 9))


def test_an_unknown_name_is_refused() -> None:
    with pytest.raises(ConfigError, match="modality '4d': this version has 2d, 3d, sim2d, sim3d; give `modality=auto`"):
        choose("4d", image("YX", 8, 9))
