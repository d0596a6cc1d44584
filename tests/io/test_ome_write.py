import errno
import json
import os
import tracemalloc
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
import tifffile

from zsdeconv.errors import ImageError, OutputError
from zsdeconv.image import Image
from zsdeconv.io import ome_write, read, read_provenance, write

RNG = np.random.default_rng(7)
SPACING = {"Z": 0.3, "Y": 0.0325, "X": 0.031}


def restored(axes="TCYX", **metadata):
    sizes = {"T": 3, "C": 2, "Z": 4, "Y": 21, "X": 34, "P": 9}
    spacing = {a: um for a, um in SPACING.items() if a in axes}
    return Image(RNG.normal(size=[sizes[a] for a in axes]).astype(np.float32), axes, spacing, 0.0, metadata)


@pytest.mark.parametrize("axes", ["YX", "TYX", "ZYX", "CYX", "TCYX", "ZCYX", "ZTYX", "CTZYX", "PYX", "ZPYX", "TPYX", "TZPYX"])
def test_round_trip(tmp_path, axes):
    image = restored(axes, channels=["α-tubulin <&>", "DNA"]) if "C" in axes else restored(axes)
    back = read(write(tmp_path / "a.ome.tif", image, provenance={"seed": 1}))
    assert back.axes == axes
    assert back.data.dtype == np.float32
    np.testing.assert_array_equal(back.data, image.data)
    assert back.spacing_um == image.spacing_um
    assert back.offset == 0.0
    assert back.metadata.get("channels") == image.metadata.get("channels")
    assert back.metadata["provenance"] == {"seed": 1}
    assert os.listdir(tmp_path) == ["a.ome.tif"]


def test_dimensions_of_length_one_survive(tmp_path):
    image = Image(np.ones((1, 1, 21, 34), np.float32), "TCYX", {}, 3.5)
    back = read(write(tmp_path / "a.ome.tif", image, provenance={}))
    assert back.axes == "TCYX"
    assert back.offset == 3.5


def test_unknown_offset_stays_unknown(tmp_path):
    assert read(write(tmp_path / "a.ome.tif", Image(np.eye(9), "YX"), provenance={})).offset is None


def test_channels_last_are_written_as_planes(tmp_path):
    data = RNG.integers(0, 999, (21, 34, 2)).astype(np.uint16)
    back = read(write(tmp_path / "a.ome.tif", Image(data, "YXC"), provenance={}))
    assert back.axes == "CYX"
    np.testing.assert_array_equal(back.data, np.moveaxis(data, 2, 0))


def test_pixel_size_of_one_micrometre_that_we_wrote_is_true(tmp_path):
    image = Image(np.eye(9), "YX", {"Y": 1.0, "X": 1.0})
    assert read(write(tmp_path / "a.ome.tif", image, provenance={})).spacing_um == {"Y": 1.0, "X": 1.0}


def test_provenance_of_any_kind(tmp_path):
    provenance = {
        "version": "1.0",
        "config": {"na": np.float32(1.5), "shape": (3, 4), "psf": Path("psf.tif"), "title": 'µ "quoted" <&>\nline'},
        "seed": np.int64(3),
    }
    path = write(tmp_path / "a.ome.tif", restored("YX"), provenance=provenance)
    assert read_provenance(path) == {
        "version": "1.0",
        "config": {"na": 1.5, "shape": [3, 4], "psf": "psf.tif", "title": 'µ "quoted" <&>\nline'},
        "seed": 3,
    }


def test_other_programs_find_everything_where_ome_says(tmp_path):
    path = write(tmp_path / "a.ome.tif", restored("TCZYX", channels=["a", "b"]), provenance={"seed": 1})
    with tifffile.TiffFile(path) as tif:
        assert tif.series[0].axes == "TCZYX"
        assert {page.aspage().compression for page in tif.pages} == {tifffile.COMPRESSION.ADOBE_DEFLATE}
        assert len(tif.pages) == 24
        text = tif.ome_metadata
    assert text is not None
    root = ElementTree.fromstring(text)
    pixels = root.find("{*}Image/{*}Pixels")
    assert pixels is not None
    assert [float(pixels.attrib[f"PhysicalSize{a}"]) for a in "ZYX"] == list(SPACING.values())
    assert {pixels.attrib[f"PhysicalSize{a}Unit"] for a in "ZYX"} == {"µm"}
    assert pixels.attrib["Type"] == "float"
    assert [c.attrib["Name"] for c in pixels.iterfind("{*}Channel")] == ["a", "b"]
    values = {m.attrib["K"]: json.loads(m.text or "") for m in root.iterfind(".//{*}MapAnnotation/{*}Value/{*}M")}
    assert values["provenance"] == {"seed": 1}


def test_files_of_other_programs_have_no_provenance(tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", np.ones((9, 9), np.uint8))
    assert read_provenance(tmp_path / "a.tif") == {}
    (tmp_path / "b.txt").write_text("text")
    assert read_provenance(tmp_path / "b.txt") == {}
    with pytest.raises(ImageError, match="no such file"):
        read_provenance(tmp_path / "absent.tif")


def test_big_results_become_bigtiff(tmp_path, monkeypatch):
    for limit, expected in ((4 * 21 * 34, False), (4 * 21 * 34 - 1, True)):
        monkeypatch.setattr(ome_write, "MAX_CLASSIC_TIFF_BYTES", limit)
        path = write(tmp_path / "a.ome.tif", restored("YX"), provenance={}, overwrite=True)
        with tifffile.TiffFile(path) as tif:
            assert tif.is_bigtiff is expected
        assert read(path).axes == "YX"


def test_planes_are_converted_one_by_one(tmp_path):
    data = RNG.integers(0, 999, (60, 128, 130)).astype(np.uint16)
    as_float_bytes = 2 * data.nbytes
    tracemalloc.start()
    try:
        write(tmp_path / "a.ome.tif", Image(data, "TYX"), provenance={})
        peak_bytes = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak_bytes < as_float_bytes / 2  # a few planes and the compressor's buffers


def test_existing_file_is_kept_unless_told(tmp_path):
    path = write(tmp_path / "a.ome.tif", restored("YX"), provenance={"seed": 1})
    with pytest.raises(OutputError, match="`overwrite`"):
        write(path, restored("YX"), provenance={"seed": 2})
    assert read_provenance(path) == {"seed": 1}
    write(path, restored("YX"), provenance={"seed": 2}, overwrite=True)
    assert read_provenance(path) == {"seed": 2}


def test_disk_full_leaves_nothing(tmp_path, monkeypatch):
    def half_then_full(data):
        yield from (np.zeros((21, 34), np.float32) for _ in range(2))
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(ome_write, "_planes", half_then_full)
    with pytest.raises(OutputError, match="disk full"):
        write(tmp_path / "a.ome.tif", restored("TYX"), provenance={})
    assert os.listdir(tmp_path) == []


def test_provenance_that_cannot_be_written_is_a_fault_of_ours_and_leaves_nothing(tmp_path):
    with pytest.raises(TypeError, match="provenance cannot hold"):
        write(tmp_path / "a.ome.tif", restored("YX"), provenance={"bad": object()})
    assert os.listdir(tmp_path) == []
