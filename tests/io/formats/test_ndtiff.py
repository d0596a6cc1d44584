"""NDTiff folders, written from the layout of the format: positions, planes in any order and missing ones."""

import json
import struct

import numpy as np
import pytest

from zsdeconv.errors import DataWarning, ImageError
from zsdeconv.io import described, read, scene_names
from zsdeconv.io.readers import scenes

RNG = np.random.default_rng(8)
SUMMARY = {"PixelSize_um": 0.5, "z-step_um": 2, "DateAndTime": "2022/12/26 16:25:52"}


def write(folder, planes, *, size_um=0.11, version=3, file="a_NDTiffStack.tif"):
    """A data set of (coordinates, pixels, height in um)."""
    folder.mkdir()
    summary = json.dumps(SUMMARY).encode()
    marks = [483729, version, *([0] if version > 2 else []), 2355492, len(summary)]
    data = bytearray(b"II*\0" + bytes(4) + struct.pack(f"<{len(marks)}I", *marks) + summary)
    index = b""
    for at, pixels, height in planes:
        facts = json.dumps({"PixelSizeUm": size_um, "Exposure": 20, "Channel": f"dye {at.get('channel')}", "ZPosition_um_Intended": height})
        start, text = len(data), facts.encode()
        data += pixels.tobytes()
        kind = 2 if pixels.ndim == 3 else 1
        axes = json.dumps(at).encode()
        name = file.encode()
        index += struct.pack("<I", len(axes)) + axes + struct.pack("<I", len(name)) + name
        index += struct.pack("<8I", start, pixels.shape[1], pixels.shape[0], kind, 0, len(data), len(text), 0)
        data += text
    (folder / "NDTiff.index").write_bytes(index)
    if "/" not in file:
        (folder / file).write_bytes(data)
    return folder


def plane(*more):
    return RNG.integers(0, 4000, (9, 13, *more)).astype(np.uint8 if more else "<u2")


@pytest.mark.parametrize("version", [2, 3])
def test_planes_in_any_order(tmp_path, version):
    data = RNG.integers(0, 4000, (2, 2, 3, 9, 13)).astype(np.uint16)
    where = [(t, c, z) for z in (1, -1, 0) for c in range(2) for t in range(2)]
    planes = [({"z": z, "time": t, "channel": c}, data[t, c, z + 1], 5 + 0.4 * z) for t, c, z in where]
    path = write(tmp_path / "set", planes, version=version)
    image = read(path)
    assert image.axes == "TCZYX"
    np.testing.assert_array_equal(image.data, data)
    assert image.spacing_um == pytest.approx({"Z": 0.4, "Y": 0.11, "X": 0.11})
    assert image.metadata["channels"] == ["dye 0", "dye 1"]
    assert image.metadata["exposure_s"] == [0.02, 0.02]
    assert image.metadata["acquired"] == "2022-12-26T16:25:52"
    region = (slice(0, 1), slice(1, 2), slice(0, 2), slice(1, 9), slice(2, 7))
    np.testing.assert_array_equal(scenes(path)[0].read(region), data[region])


def test_positions_are_images_and_may_differ(tmp_path):
    planes = [({"position": "Pos1", "time": 0}, plane(), 0), ({"position": "Pos0", "time": 0}, plane(), 0)]
    planes.append(({"position": "Pos0", "time": 1}, plane(), 0))
    path = write(tmp_path / "set", planes)
    assert scene_names(path) == ["Pos1", "Pos0"]
    assert read(path, scene="Pos1").axes == "YX"
    np.testing.assert_array_equal(read(path, scene="Pos0").data, [planes[1][1], planes[2][1]])


def test_of_a_plane_recorded_twice_the_last_counts(tmp_path):
    first, second = plane(), plane()
    path = write(tmp_path / "set", [({"row": 1, "column": 2}, first, 0), ({"column": 2, "row": 1}, second, 0)])
    assert scene_names(path) == ["row 1, column 2"]
    np.testing.assert_array_equal(read(path).data, second)


def test_a_plane_that_was_not_recorded(tmp_path):
    where = [("GFP", 0), ("GFP", 1), ("RFP", 0)]
    path = write(tmp_path / "set", [({"channel": c, "time": t}, plane(), 0) for c, t in where])
    assert described(path).metadata["channels"] == ["GFP", "RFP"]
    with pytest.raises(ImageError, match="the plane of time 1, channel RFP was not recorded"):
        read(path)


def test_other_axes_are_asked_for(tmp_path):
    path = write(tmp_path / "set", [({"angle": n, "time": 0}, plane(), 0) for n in range(3)])
    with pytest.raises(ImageError, match="does not say what the 3 planes"):
        read(path)
    assert read(path, axes="TYX").sizes == {"T": 3, "Y": 9, "X": 13}


def test_colours_and_uncalibrated_pixels(tmp_path):
    with pytest.raises(ImageError, match="RGB colours"):
        read(write(tmp_path / "rgb", [({"time": 0}, plane(3), 0)]))
    with pytest.warns(DataWarning, match=r"pixel size of exactly 1 um \(NDTiff\) is ignored"):
        read(write(tmp_path / "one", [({"time": 0}, plane(), 0)], size_um=1))


def test_damaged_folders(tmp_path):
    path = write(tmp_path / "set", [({"time": t}, plane(), 0) for t in range(3)])
    stack, index = path / "a_NDTiffStack.tif", path / "NDTiff.index"
    whole = index.read_bytes()
    stack.write_bytes(stack.read_bytes()[:-300])
    with pytest.raises(ImageError, match="set: damaged or cut short"):
        read(path)
    index.write_bytes(whole[:-5])
    with pytest.raises(ImageError, match="set: damaged or cut short"):
        read(path)
    index.write_bytes(whole)
    stack.unlink()
    with pytest.raises(ImageError, match=r"a_NDTiffStack.tif is missing"):
        read(path)
    index.write_bytes(b"")
    with pytest.raises(ImageError, match=r"its NDTiff.index lists no plane"):
        read(path)


def test_an_index_that_leads_out_of_the_folder(tmp_path):
    path = write(tmp_path / "set", [({"time": 0}, plane(), 0)], file="../secret.tif")
    with pytest.raises(ImageError, match="names a file outside its folder"):
        read(path)


def test_one_of_its_files_stands_for_the_data_set(tmp_path):
    path = write(tmp_path / "set", [({"position": name, "time": 0}, plane(), 0) for name in ("a", "b")], size_um=1)
    assert scene_names(path / "a_NDTiffStack.tif") == ["a", "b"]
    with pytest.warns(DataWarning, match=r"pixel size of exactly 1 um \(NDTiff\) is ignored"):
        assert read(path / "a_NDTiffStack.tif", scene="b").spacing_um == {}


def test_a_reduced_copy_is_refused(tmp_path):
    folder = write(tmp_path / "Full resolution", [({"time": 0}, plane(), 0)])
    reduced = write(tmp_path / "Downsampled_x2", [({"time": 0}, plane(), 0)])
    np.testing.assert_array_equal(read(tmp_path).data, read(folder).data)
    with pytest.raises(ImageError, match="a reduced copy of a data set"):
        read(reduced)
