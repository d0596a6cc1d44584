"""Arrays of other libraries become images: pixels in memory, axes and pixel sizes from the names of dimensions and coordinates."""

import os
from pathlib import Path
from typing import Any

import dask.array
import numpy as np
import pytest
import torch
import xarray
import zarr

import zsdeconv as zs
from zsdeconv.errors import ImageError
from zsdeconv.image import Image

DATA = np.arange(3 * 9 * 8, dtype=np.uint16).reshape(3, 9, 8)


def labelled(**coordinates: Any) -> xarray.DataArray:
    return xarray.DataArray(DATA, coordinates, ["T", "Y", "X"])


@pytest.mark.parametrize("make", [np.asarray, dask.array.from_array, zarr.array, torch.from_numpy, np.ndarray.tolist])
def test_any_array_with_axes_is_an_image(make: Any) -> None:
    image = Image(make(DATA.astype(np.int32)), "TYX")
    assert isinstance(image.data, np.ndarray)
    assert np.array_equal(image.data, DATA)


def test_an_image_acts_as_an_array() -> None:
    image = Image(DATA, "TYX")
    assert np.array_equal(np.asarray(image), DATA) and np.asarray(image) is image.data, "no copy is made"
    assert (image.shape, image.ndim, image.size, image.dtype, len(image)) == (DATA.shape, 3, DATA.size, DATA.dtype, 3)
    assert np.array_equal(image[1, :4], DATA[1, :4])
    assert np.mean(np.asarray(image, dtype=np.float32)) == np.float32(DATA.mean())


def test_an_image_is_drawn_as_an_array() -> None:
    from matplotlib.figure import Figure

    shown = Figure().subplots().imshow(Image(DATA[0], "YX"))
    drawn = shown.get_array()
    assert drawn is not None and np.array_equal(drawn, DATA[0])


def test_an_xarray_names_axes_pixel_sizes_channels_and_times() -> None:
    array = xarray.DataArray(
        np.zeros((2, 3, 4, 5, 6)),
        {
            "time": xarray.Variable("time", [0.0, 250.0], {"units": "ms"}),
            "channel": ["DAPI", "GFP", "Cy5"],
            "Z": 0.3 * np.arange(4),
            "y": xarray.Variable("y", 65.0 * np.arange(5), {"units": "nm"}),
            "x": xarray.Variable("x", 10 - 0.07 * np.arange(6), {"unit": "µm"}),
        },
        ["time", "channel", "Z", "y", "x"],
        name="cell",
    )
    image = Image(array)
    assert image.axes == "TCZYX"
    assert image.spacing_um == pytest.approx({"Z": 0.3, "Y": 0.065, "X": 0.07})
    assert image.metadata == {"name": "cell", "channels": ["DAPI", "GFP", "Cy5"], "interval_s": 0.25}


@pytest.mark.parametrize(
    "coordinate",
    [np.arange(8), np.arange(8.0), xarray.Variable("X", 3.0 * np.arange(8), {"units": "pixel"}), list("abcdefgh")],
    ids=["counts", "counts as floats", "pixels by their unit", "names"],
)
def test_coordinates_that_count_pixels_are_no_lengths(coordinate: Any) -> None:
    assert Image(labelled(X=coordinate)).spacing_um == {}


def test_times_of_numpy_are_an_interval() -> None:
    times = np.datetime64("2026-01-01T00:00:00") + np.timedelta64(1500, "ms") * np.arange(3)
    assert Image(labelled(T=times)).metadata["interval_s"] == 1.5


def test_pixel_sizes_that_are_given_win() -> None:
    array = labelled(X=0.1 * np.arange(8), Y=0.1 * np.arange(9))
    assert Image(array, spacing_um={"Y": 0.2, "X": 0.2}).spacing_um == {"Y": 0.2, "X": 0.2}
    assert Image(array, "ZYX").axes == "ZYX", "axes that are given win over the names"


def test_an_image_is_the_same_after_xarray() -> None:
    metadata = {"name": "cell.tif", "channels": ["a", "b"], "interval_s": 0.5}
    image = Image(np.random.default_rng(0).random((3, 2, 7, 9)), "TCYX", {"Y": 0.065, "X": 0.07}, metadata=metadata)
    again = Image(image.to_xarray())
    assert np.array_equal(again.data, image.data)
    assert (again.axes, again.metadata) == (image.axes, metadata)
    assert again.spacing_um == pytest.approx(image.spacing_um)


def test_an_image_after_xarray_has_its_physical_scale() -> None:
    array = Image(np.zeros((7, 9)), "YX", {"Y": 0.065, "X": 0.07}, offset=0.0).to_xarray()
    assert float(array.sel(X=0.21, method="nearest").X) == pytest.approx(0.21)
    assert array.X.attrs["units"] == "um" and array.attrs["offset"] == 0.0


def test_masked_pixels_hold_no_data() -> None:
    masked = np.ma.array(DATA[0], mask=DATA[0] == 5)
    image = Image(masked, "YX")
    assert np.isnan(image.data).sum() == 1 and np.isnan(image.data[0, 5])


@pytest.mark.parametrize(
    ("data", "axes", "words"),
    [
        (np.array([[None, 1], [2, 3]]), "YX", "values of type object: pixels are numbers"),
        (np.array([["a", "b"]]), "YX", "pixels are numbers"),
        ([[1, 2], [3]], "YX", "no array of numbers"),
        ("cell.tif", "YX", "'cell.tif': a path, an image is made of pixels; read the file with zsdeconv.read"),
        (Path("cell.tif"), None, "a path"),
        (torch.ones(3, 4, requires_grad=True), "YX", "no array of numbers"),
        (np.zeros((3, 4)), None, r"shape \(3, 4\) does not say what its dimensions are; give axes"),
        (np.zeros((3, 4)), "TYX", "name 3 dimensions, the data have 2"),
        (xarray.DataArray(np.zeros((3, 4)), dims=("lat", "lon")), None, r"\('lat', 'lon'\): 'lat' is no axis.*; rename it, or give axes"),
        (xarray.DataArray(np.zeros((3, 4)), dims=("y", "row")), None, "each of T, C, Z, Y, X, P at most once"),
        (labelled(X=[0, 1, 2, 3, 4, 5, 6, 9.0]), None, "coordinates along X: their steps differ by more than 1 %"),
        (labelled(X=xarray.Variable("X", 5.0 * np.arange(8), {"units": "mm"})), None, "5000 um is no pixel of a microscope"),
    ],
)
def test_what_is_no_image_is_refused(data: Any, axes: str | None, words: str) -> None:
    with pytest.raises(ImageError, match=words):
        Image(data, axes)


def test_lazy_arrays_of_unknown_size_are_refused() -> None:
    unknown = dask.array.from_array(np.arange(20.0).reshape(5, 4))
    unknown = unknown[unknown[:, 0] > 3]
    with pytest.raises(ImageError, match="sizes of its chunks are unknown; call its compute_chunk_sizes"):
        Image(unknown, "YX")


@pytest.mark.parametrize("ending", [".ome.tif", ".ome.zarr"])
def test_an_image_is_saved_with_what_it_knows(ending: str, tmp_path: Path) -> None:
    metadata = {"name": "cell.tif", "channels": ["DAPI", "GFP"]}
    image = Image(np.random.default_rng(0).random((2, 9, 8), np.float32), "CYX", {"Y": 0.065, "X": 0.065}, 0.0, metadata)
    path = image.save(tmp_path / f"cell{ending}")
    again = zs.read(path)
    assert np.array_equal(again.data, image.data)
    assert (again.axes, again.spacing_um, again.offset) == (image.axes, image.spacing_um, 0.0)
    assert again.metadata["channels"] == ["DAPI", "GFP"]
    with pytest.raises(zs.UserError, match="exists, and existing results are kept; give `overwrite`"):
        image.save(path)
    assert image.save(os.fspath(path), overwrite=True) == path


def test_an_image_that_was_read_is_saved_with_its_provenance(tmp_path: Path) -> None:
    first = zs.write(tmp_path / "a.tif", Image(DATA[0], "YX"), provenance={"seed": 7})
    assert zs.read(zs.read(first).save(tmp_path / "b.tif")).metadata["provenance"] == {"seed": 7}
