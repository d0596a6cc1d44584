"""Files that say little: arrays of NumPy and PNG."""

import imagecodecs
import numpy as np
import pytest

from zsdeconv.errors import ImageError
from zsdeconv.io import read
from zsdeconv.io.readers import scenes

RNG = np.random.default_rng(4)


@pytest.mark.parametrize("dtype", ["u1", "<u2", ">u2", "f4", ">f8"])
def test_an_array_is_read_in_native_order(tmp_path, dtype):
    data = RNG.integers(0, 99, (9, 13)).astype(dtype)
    np.save(tmp_path / "a.npy", np.asfortranarray(data))
    image = read(tmp_path / "a.npy")
    assert image.axes == "YX" and image.data.dtype.isnative
    np.testing.assert_array_equal(image.data, data)
    np.testing.assert_array_equal(scenes(tmp_path / "a.npy")[0].read((slice(2, 5), slice(3, 13))), data[2:5, 3:])


def test_other_axes_are_asked_for(tmp_path):
    data = RNG.normal(size=(3, 2, 9, 13))
    np.save(tmp_path / "a.npy", data)
    with pytest.raises(ImageError, match="does not say what the 3 and 2 planes"):
        read(tmp_path / "a.npy")
    assert read(tmp_path / "a.npy", axes="TCYX").sizes == {"T": 3, "C": 2, "Y": 9, "X": 13}


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (np.arange(5), "1 dimension, an image has 2 or more"),
        (np.zeros((3, 4), [("a", "u1")]), "a table, an image has 2 or more"),
        (np.zeros((9, 13), bool), "pixels of type bool"),
        (np.zeros((9, 13, 3), np.uint8), "RGB colours"),
    ],
)
def test_arrays_that_are_no_images(tmp_path, data, reason):
    np.save(tmp_path / "a.npy", data)
    with pytest.raises(ImageError, match=reason):
        read(tmp_path / "a.npy")


def test_objects_are_never_unpickled(tmp_path):
    np.save(tmp_path / "a.npy", np.array([[{}, {}]], object), allow_pickle=True)
    with pytest.raises(ImageError, match=r"a.npy: damaged or cut short \(.*Python objects"):
        read(tmp_path / "a.npy")


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_grey_png(tmp_path, dtype):
    data = RNG.integers(0, np.iinfo(dtype).max, (9, 13)).astype(dtype)
    (tmp_path / "a.png").write_bytes(imagecodecs.png_encode(data))
    image = read(tmp_path / "a.png")
    assert (image.axes, image.spacing_um, image.data.dtype) == ("YX", {}, dtype)
    np.testing.assert_array_equal(image.data, data)


@pytest.mark.parametrize("samples", [2, 3, 4])
def test_colours_are_read_only_with_axes(tmp_path, samples):
    data = RNG.integers(0, 255, (9, 13, samples)).astype(np.uint8)
    (tmp_path / "a.png").write_bytes(imagecodecs.png_encode(data))
    with pytest.raises(ImageError, match="RGB colours"):
        read(tmp_path / "a.png")
    np.testing.assert_array_equal(read(tmp_path / "a.png", axes="YXC").data, data)


@pytest.mark.parametrize(("bits", "colours", "reason"), [(1, 0, "1 bit a pixel"), (4, 0, "4 bits a pixel"), (8, 3, "a palette of colours")])
def test_pictures_are_refused(tmp_path, bits, colours, reason):
    whole = bytearray(imagecodecs.png_encode(np.zeros((9, 13), np.uint8)))
    whole[24:26] = bits, colours
    (tmp_path / "a.png").write_bytes(whole)
    with pytest.raises(ImageError, match=f"a.png: {reason}, an image has 8 or 16 bits"):
        read(tmp_path / "a.png")
