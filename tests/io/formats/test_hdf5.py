"""HDF5 and Imaris: which datasets are images, their axes and sizes; nothing outside the file is read."""

import json
import warnings

import numpy as np
import pytest

from zsdeconv.errors import ImageError
from zsdeconv.io import described, read, scene_names
from zsdeconv.io.readers import scenes

h5py = pytest.importorskip("h5py")
RNG = np.random.default_rng(2)


def numbers(*shape: int, dtype: type[np.integer] = np.uint16) -> np.ndarray:
    return RNG.integers(0, 99, shape).astype(dtype)


def test_the_only_image_is_read(tmp_path):
    plane = numbers(9, 13)
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["table"] = numbers(3, 40)
        file["times"] = np.arange(20)
        file["deep/down"] = plane
    image = read(tmp_path / "a.h5")
    assert image.axes == "YX"
    np.testing.assert_array_equal(image.data, plane)


def test_several_are_scenes_named_by_their_paths(tmp_path):
    first, second = numbers(9, 13), numbers(11, 17)
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["b/two"], file["a/one"] = second, first
    assert scene_names(tmp_path / "a.h5") == ["a/one", "b/two"]
    with pytest.raises(ImageError, match="2 images of different sizes"):
        read(tmp_path / "a.h5")
    np.testing.assert_array_equal(read(tmp_path / "a.h5", scene="b/two").data, second)


def test_axes_of_ilastik_and_sizes_of_the_plugin(tmp_path):
    data = numbers(3, 9, 13, 2)
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["volume"] = data[..., None]
        file["volume"].attrs["axistags"] = json.dumps({"axes": [{"key": key} for key in "zyxtc"]})
        file["volume"].attrs["element_size_um"] = np.array([0.3, 0.07, 0.065])
    image = read(tmp_path / "a.h5")
    assert image.axes == "ZYXT"
    np.testing.assert_array_equal(image.data, data)
    assert image.spacing_um == {"Z": 0.3, "Y": 0.07, "X": 0.065}
    source = scenes(tmp_path / "a.h5")[0]
    np.testing.assert_array_equal(source.read((slice(1, 3), slice(2, 5), slice(0, 6), slice(1, 2))), data[1:3, 2:5, :6, 1:])


def test_labels_of_dimensions_and_three_sizes_name_axes(tmp_path):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        movie = file.create_dataset("movie", data=numbers(4, 9, 13))
        for dimension, label in zip(movie.dims, "TYX", strict=True):
            dimension.label = label
        stack = file.create_dataset("stack", data=numbers(5, 9, 13))
        stack.attrs["element_size_um"] = [0.3, 0.07, 0.065]
        file["plain"] = numbers(2, 9, 13)
    assert read(tmp_path / "a.h5", scene="movie").axes == "TYX"
    assert read(tmp_path / "a.h5", scene="stack").axes == "ZYX"
    with pytest.raises(ImageError, match="does not say what the 2 planes of"):
        read(tmp_path / "a.h5", scene="plain")


@pytest.mark.parametrize(
    ("stated", "imaris", "expected", "told"),
    [
        ([1.0, 1.0, 10.0], False, (10.0, 1.0, 1.0), "1, 1, 10"),
        ([1.0, 1.0, 10.0], True, (10.0, 1.0, 1.0), "1, 1, 10"),
        ([0.065, 0.07, 0.3], True, (0.3, 0.07, 0.065), "0.065, 0.07, 0.3"),
        ([0.3, 0.07, 0.065], False, (0.3, 0.07, 0.065), ""),
        ([10.0, 1.0, 1.0], True, (10.0, 1.0, 1.0), ""),
        ([1.0, 1.0, 1.0], True, (1.0, 1.0, 1.0), ""),
    ],
)
def test_pixel_sizes_of_imaris_writers_have_another_order(tmp_path, stated, imaris, expected, told):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        stack = file.create_dataset("level/Data", data=numbers(5, 9, 13))
        stack.attrs["element_size_um"] = stated
        if imaris:
            stack.parent.attrs["ImageSizeX"] = characters("13")
    with warnings.catch_warnings(record=True) as found:
        warnings.simplefilter("always")
        image = read(tmp_path / "a.h5")
    assert tuple(image.spacing_um[axis] for axis in "ZYX") == expected
    messages = [str(one.message) for one in found]
    expected_text = f"a.h5: 'level/Data': element_size_um ({told}) is taken as X, Y and Z, not as Z, Y and X; give pixel_um and z_um"
    assert len(messages) == bool(told) and all(text.startswith(expected_text) for text in messages)


def test_numbers_of_the_big_data_viewer_have_no_sign(tmp_path):
    data = numbers(3, 9, 13, dtype=np.int16) - 50
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["t00000/s00/0/cells"], file["t00000/s00/1/cells"] = data, data[:, ::2, ::2].repeat(2, 1).repeat(2, 2)
    assert scene_names(tmp_path / "a.h5") == ["t00000/s00/0/cells"]
    image = read(tmp_path / "a.h5", axes="ZYX")
    np.testing.assert_array_equal(image.data, data.view(np.uint16))


def test_values_in_other_files_are_not_read(tmp_path):
    secret = tmp_path / "elsewhere.bin"
    secret.write_bytes(bytes(2 * 9 * 13))
    with h5py.File(tmp_path / "other.h5", "w") as file:
        file["plane"] = numbers(9, 13)
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file.create_dataset("external", (9, 13), np.uint16, external=[(str(secret), 0, h5py.h5f.UNLIMITED)])
        layout = h5py.VirtualLayout((9, 13), np.uint16)
        layout[:] = h5py.VirtualSource(str(tmp_path / "other.h5"), "plane", (9, 13))
        file.create_virtual_dataset("virtual", layout)
        file["linked"] = h5py.ExternalLink(str(tmp_path / "other.h5"), "plane")
    assert scene_names(tmp_path / "a.h5") == ["external", "virtual"]
    for name in ("external", "virtual"):
        with pytest.raises(ImageError, match=f"the values of /{name} lie in other files, which are not read"):
            read(tmp_path / "a.h5", scene=name)


def test_a_file_without_an_image(tmp_path):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["times"] = np.arange(20)
    with pytest.raises(ImageError, match="it holds no image"):
        read(tmp_path / "a.h5")


def characters(text):
    return np.array([character.encode() for character in text])


def imaris(path, data, *, size_in="image"):
    """An Imaris file of (times, channels, z, y, x) with padded chunks."""
    times, channels, *sides = data.shape
    with h5py.File(path, "w") as file:
        image = file.create_group("DataSetInfo/Image")
        for number, (axis, start, end) in enumerate(zip("XYZ", (10, -5, 0), (10.845, -4.37, -0.9), strict=True)):
            image.attrs[f"ExtMin{number}"], image.attrs[f"ExtMax{number}"] = characters(f"{start:.4f}"), characters(f"{end:.4f}")
            if size_in == "image":
                image.attrs[axis] = characters(str(sides[2 - number]))
        image.attrs["RecordingDate"] = characters("2021-05-04 12:01:02.345")
        for channel in range(channels):
            group = file.create_group(f"DataSetInfo/Channel {channel}")
            group.attrs["Name"], group.attrs["Color"] = characters(f"dye {channel}"), characters("1.000 0.500 0.000")
            group.attrs["LSMEmissionWavelength"] = characters("525.0" if channel == 0 else "")
            for time in range(times):
                group = file.create_group(f"DataSet/ResolutionLevel 0/TimePoint {time}/Channel {channel}")
                padded = np.zeros((8, 16, 16), data.dtype)
                padded[tuple(slice(0, n) for n in sides)] = data[time, channel]
                group["Data"] = padded
                if size_in == "channel":
                    for axis, n in zip("ZYX", sides, strict=True):
                        group.attrs[f"ImageSize{axis}"] = characters(str(n))
        file.create_group("DataSet/ResolutionLevel 1")
    return path


@pytest.mark.parametrize("size_in", ["image", "channel"])
def test_imaris(tmp_path, size_in):
    data = numbers(2, 2, 3, 9, 13)
    path = imaris(tmp_path / "a.ims", data, size_in=size_in)
    image = read(path)
    assert image.axes == "TCZYX"
    np.testing.assert_array_equal(image.data, data)
    assert image.spacing_um == pytest.approx({"Z": 0.3, "Y": 0.07, "X": 0.065})
    assert image.metadata["channels"] == ["dye 0", "dye 1"]
    assert image.metadata["colours"] == [(255, 128, 0)] * 2
    assert image.metadata["emission_nm"] == [525.0, None]
    assert image.metadata["acquired"] == "2021-05-04T12:01:02"
    region = (slice(1, 2), slice(0, 2), slice(1, 3), slice(4, 9), slice(5, 13))
    np.testing.assert_array_equal(scenes(path)[0].read(region), data[region])


@pytest.mark.parametrize(
    ("times", "acquired", "interval_s"),
    [
        (["2021-05-04 12:01:02.500", "2021-05-04 12:01:04.000", "2021-05-04 12:01:08.500"], "2021-05-04T12:01:02", 3.0),
        (["2021-05-04 12:01:02", "2021-05-04 12:01:02", "2021-05-04 12:01:08"], "2021-05-04T12:01:02", None),
        (["2021-05-04 12:01:02", "2021-05-04 12:01:04"], None, None),
        (["2000-01-01 00:00:00", "2000-01-01 00:00:01", "2000-01-01 00:00:02"], None, None),  # a writer that knew none
        (["2000-01-01 00:00:00", "2000-01-01 00:00:30", "2000-01-01 00:01:00"], None, 30.0),
        (["today", "", ""], None, None),
    ],
)
def test_imaris_states_its_times(tmp_path, times, acquired, interval_s):
    path = imaris(tmp_path / "a.ims", numbers(3, 1, 3, 9, 13))
    with h5py.File(path, "a") as file:
        del file["DataSetInfo/Image"].attrs["RecordingDate"]
        info = file.create_group("DataSetInfo/TimeInfo")
        for number, time in enumerate(times, 1):
            info.attrs[f"TimePoint{number}"] = characters(time) if time else characters(" ")
    metadata = read(path).metadata
    assert (metadata.get("acquired"), metadata.get("interval_s")) == (acquired, interval_s)


def test_imaris_in_several_files_is_refused(tmp_path):
    path = imaris(tmp_path / "a.ims", numbers(1, 2, 3, 9, 13))
    with h5py.File(path, "a") as file:
        place = "DataSet/ResolutionLevel 0/TimePoint 0/Channel 1"
        del file[place]
        file[place] = h5py.ExternalLink("other.ims", "/Channel 1")
    assert described(path).axes == "CZYX"
    with pytest.raises(ImageError, match="Channel 1 lies in another file, which is not read"):
        read(path)


def test_imaris_without_a_time(tmp_path):
    path = imaris(tmp_path / "a.ims", numbers(2, 1, 3, 9, 13))
    with h5py.File(path, "a") as file:
        del file["DataSet/ResolutionLevel 0/TimePoint 1/Channel 0/Data"]
    with pytest.raises(ImageError, match="it has no DataSet/ResolutionLevel 0/TimePoint 1/Channel 0"):
        read(path)
