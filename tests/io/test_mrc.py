import struct

import mrcfile
import numpy as np
import pytest

from zsdeconv.errors import DataWarning, ImageError
from zsdeconv.io import read, read_mrc, read_mrc_raw

RNG = np.random.default_rng(11)


def dv_file(path, data, mode, order, *, cella=(0.08, 0.07, 0.125), times=1, waves=(528,), sequence=0, extra=0):
    """A DeltaVision file, written from the layout of its header (word by word)."""
    sections = int(np.prod(data.shape[:-2]))
    head = bytearray(1024)
    struct.pack_into(order + "3i i 3i 3i 3f", head, 0, data.shape[-1], data.shape[-2], sections, mode, 0, 0, 0, 1, 1, 1, *cella)
    struct.pack_into(order + "i h", head, 92, extra, -16224)
    struct.pack_into(order + "2h", head, 180, times, sequence)
    struct.pack_into(order + f"h {len(waves)}h", head, 196, len(waves), *waves)
    path.write_bytes(bytes(head) + bytes(extra) + data.astype(data.dtype.newbyteorder(order)).tobytes())
    return path


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize(("mode", "dtype"), [(0, "u1"), (1, "i2"), (2, "f4"), (6, "u2"), (7, "i4")])
def test_dv_number_types_in_both_byte_orders(tmp_path, order, mode, dtype):
    data = RNG.integers(0, 200, (5, 11, 17)).astype(dtype)
    image = read(dv_file(tmp_path / "a.dv", data, mode, order, extra=96))
    assert image.axes == "ZYX"
    assert image.data.dtype == np.dtype(dtype)
    assert image.data.dtype.isnative
    np.testing.assert_array_equal(image.data, data)
    assert image.spacing_um == {"Z": 0.125, "Y": 0.07, "X": 0.08}
    assert image.metadata["channels"] == ["528 nm"]
    assert image.metadata["optics"] == {"wavelength_nm": 528.0}


@pytest.mark.parametrize(("sequence", "axes"), [(0, "CTZYX"), (1, "TZCYX"), (2, "TCZYX")])
def test_dv_order_of_planes(tmp_path, sequence, axes):
    sizes = {"C": 2, "T": 3, "Z": 4, "Y": 9, "X": 10}
    data = RNG.integers(0, 99, [sizes[a] for a in axes]).astype(np.uint16)
    image = read_mrc(dv_file(tmp_path / "a.dv", data, 6, "<", times=3, waves=(460, 528), sequence=sequence))
    assert image.axes == axes
    np.testing.assert_array_equal(image.data, data)
    assert image.metadata["channels"] == ["460 nm", "528 nm"]


def test_dv_single_plane_and_movie(tmp_path):
    plane = RNG.integers(0, 99, (9, 10)).astype(np.uint16)
    assert read_mrc(dv_file(tmp_path / "a.dv", plane, 6, "<")).axes == "YX"
    movie = RNG.integers(0, 99, (4, 9, 10)).astype(np.uint16)
    image = read_mrc(dv_file(tmp_path / "b.dv", movie, 6, ">", times=4))
    assert image.axes == "TYX"
    assert set(image.spacing_um) == {"Y", "X"}


@pytest.mark.parametrize("order", ["<", ">"])
def test_otf_in_both_byte_orders(tmp_path, order):
    otf = (RNG.normal(size=(3, 7, 5)) + 1j * RNG.normal(size=(3, 7, 5))).astype(np.complex64)
    path = dv_file(tmp_path / "otf.mrc", otf, 4, order, cella=(0.125, 0.0488, 0.0))
    values, header = read_mrc_raw(path)
    np.testing.assert_array_equal(values, otf)
    assert values.dtype.isnative
    assert header["byte_order"] == order
    assert header["cella"] == header["spacing"] == (0.125, 0.0488, 0.0)
    with pytest.raises(ImageError, match="complex values"):
        read(path)


@pytest.mark.parametrize("order", ["<", ">"])
def test_unmarked_header_is_recognised_by_its_sense(tmp_path, order):
    otf = np.ones((1, 9), np.complex64)
    path = dv_file(tmp_path / "otf.mrc", otf, 4, order, cella=(0.03, 0.03, 0.05))
    content = bytearray(path.read_bytes())
    content[96:98] = b"\0\0"
    path.write_bytes(content)
    assert read_mrc_raw(path)[1]["byte_order"] == order


def test_truncated_dv(tmp_path):
    path = dv_file(tmp_path / "a.dv", np.ones((4, 9, 10), np.uint16), 6, "<")
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(ImageError, match=r"cut short \(its values end at byte 1744 of 1743\)"):
        read(path)


def test_unknown_mode(tmp_path):
    path = dv_file(tmp_path / "a.dv", np.ones((4, 9, 10), np.uint16), 3, "<")
    with pytest.raises(ImageError, match="mode 3"):
        read(path)


def test_standard_mrc_in_angstrom(tmp_path):
    data = RNG.normal(size=(4, 9, 10)).astype(np.float32)
    with mrcfile.new(tmp_path / "a.mrc") as file:
        file.set_data(data)
        file.voxel_size = (650.0, 600.0, 3000.0)
    image = read(tmp_path / "a.mrc")
    assert image.axes == "ZYX"
    np.testing.assert_array_equal(image.data, data)
    # float32 header: about 1e-7 relative
    assert image.spacing_um == pytest.approx({"Z": 0.3, "Y": 0.06, "X": 0.065}, rel=1e-6)


def test_standard_mrc_with_an_impossible_pixel_size(tmp_path):
    with mrcfile.new(tmp_path / "a.mrc") as file:
        file.set_data(np.ones((9, 10), np.float32))
        file.voxel_size = 1.0  # angstrom: what programs write that do not know
    with pytest.warns(DataWarning, match="is ignored"):
        image = read(tmp_path / "a.mrc")
    assert image.axes == "YX"
    assert image.metadata["sources"]["pixel_um"] == "missing"


def test_standard_mrc_stack_of_images_needs_axes(tmp_path):
    with mrcfile.new(tmp_path / "a.mrc") as file:
        file.set_data(np.ones((4, 9, 10), np.int16))
        file.set_image_stack()
        file.voxel_size = 650.0
    with pytest.raises(ImageError, match="`axes` TYX"):
        read(tmp_path / "a.mrc")
    assert read(tmp_path / "a.mrc", axes="TYX").axes == "TYX"


def test_truncated_standard_mrc(tmp_path):
    path = tmp_path / "a.mrc"
    with mrcfile.new(path) as file:
        file.set_data(np.ones((4, 9, 10), np.float32))
    path.write_bytes(path.read_bytes()[:-8])
    with pytest.raises(ImageError, match="cut short"):
        read(path)


def test_raw_reader_refuses_other_files(tmp_path):
    (tmp_path / "a.mrc").write_bytes(RNG.bytes(3000))
    with pytest.raises(ImageError, match="no MRC or DV header"):
        read_mrc_raw(tmp_path / "a.mrc")


def test_real_images(shared):
    sim = shared / "realdata" / "sim"
    image = read(sim / "microtubules_3x3.mrc")
    assert (image.axes, image.data.shape, image.data.dtype) == ("ZYX", (9, 256, 256), np.uint16)
    assert image.spacing_um == {"Z": 0.16, "Y": 0.0626, "X": 0.0626}
    assert read(sim / "microtubules_3x3.mrc", axes="PYX").axes == "PYX"
    image = read(sim / "threebeam_angle-z-phase.dv")
    assert (image.data.shape, image.data.dtype) == ((135, 64, 64), np.float32)
    assert image.spacing_um == {"Z": 0.125, "Y": 0.08, "X": 0.08}


def test_real_otfs(shared):
    sim = shared / "realdata" / "sim"
    paths = sorted((sim / "otf2d").glob("*.mrc"))
    assert len(paths) == 3
    for path in paths:
        values, header = read_mrc_raw(path)
        assert (values.shape, values.dtype) == ((1, 257), np.complex64)
        assert header["cella"][0] == pytest.approx(0.0312, rel=1e-4)  # four digits are listed
    values, header = read_mrc_raw(sim / "threebeam_otf.dv")
    assert values.shape == (3, 129, 65)
    assert header["cella"] == pytest.approx((0.12307692, 0.048828125, 0.0))
