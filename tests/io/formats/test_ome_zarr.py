"""OME-Zarr in and out: every version, plates and series, lost chunks; what is written is valid and comes back."""

import json
import sys

import numpy as np
import pytest

from zsdeconv.errors import DataWarning, ImageError, OutputError
from zsdeconv.image import Image
from zsdeconv.io import read, read_provenance, scene_names, write_zarr
from zsdeconv.io.metadata.annotation import ANNOTATION_NAMESPACE
from zsdeconv.io.readers import scenes

zarr = pytest.importorskip("zarr")
yaozarrs = pytest.importorskip("yaozarrs")
RNG = np.random.default_rng(6)
UM = "micrometer"


def numbers(*shape):
    return RNG.integers(1, 99, shape).astype(np.uint16)


def multiscale(axes, scale, *, units=UM, version=None, extra=None):
    """Metadata of one image with two resolutions."""
    kinds = {"t": "time", "c": "channel"}
    named = [{"name": axis, "type": kinds.get(axis, "space")} | ({"unit": units} if axis in "zyx" else {}) for axis in axes]
    if "t" in axes:
        named[axes.index("t")]["unit"] = "second"
    levels = [
        {"path": f"s{level}", "coordinateTransformations": [{"type": "scale", "scale": [factor * step for step in scale]}]}
        for level, factor in enumerate((1, 2))
    ]
    return {"axes": named, "datasets": levels, "name": "cell"} | ({"version": version} if version else {}) | (extra or {})


def write(group, data, attributes, *, chunks=None):
    """An image in a group, with the metadata where its version has them."""
    group.attrs.update(attributes)
    for level in ("s0", "s1"):
        pixels = data if level == "s0" else data[..., ::2, ::2]
        array = group.create_array(level, shape=pixels.shape, dtype=pixels.dtype, chunks=chunks or pixels.shape)
        array[...] = pixels


@pytest.mark.parametrize("version", ["0.4", "0.5"])
def test_one_image(tmp_path, version):
    data = numbers(3, 2, 4, 9, 13)
    group = zarr.open_group(tmp_path / "a.zarr", mode="w", zarr_format=2 if version == "0.4" else 3)
    image = multiscale("tczyx", (2.0, 1, 0.3, 0.07, 0.065), version="0.4" if version == "0.4" else None)
    omero = {"channels": [{"label": "DAPI", "color": "0000FF"}, {"label": 0, "color": "nonsense"}]}
    attributes = {"multiscales": [image], "omero": omero}
    write(group, data, attributes if version == "0.4" else {"ome": attributes | {"version": "0.5"}})
    found = read(tmp_path / "a.zarr")
    assert found.axes == "TCZYX"
    np.testing.assert_array_equal(found.data, data)
    assert found.spacing_um == {"Z": 0.3, "Y": 0.07, "X": 0.065}
    assert found.metadata["channels"] == ["DAPI", "0"]
    assert found.metadata["colours"] == [(0, 0, 255), None]
    assert found.metadata["interval_s"] == 2.0
    assert found.metadata["scene"] == "cell"
    region = (slice(1, 3), slice(0, 1), slice(1, 4), slice(2, 9), slice(3, 5))
    np.testing.assert_array_equal(scenes(tmp_path / "a.zarr")[0].read(region), data[region])


def test_sizes_in_other_units_and_of_all_datasets(tmp_path):
    group = zarr.open_group(tmp_path / "a.zarr", mode="w", zarr_format=2)
    extra = {"coordinateTransformations": [{"type": "scale", "scale": [1, 2, 0.5]}]}
    write(group, numbers(1, 9, 13), {"multiscales": [multiscale("zyx", (300, 35, 130), units="nanometer", extra=extra)]})
    found = read(tmp_path / "a.zarr")
    assert (found.axes, found.spacing_um) == ("YX", {"Y": 0.07, "X": 0.065})


def test_a_pixel_without_a_unit_has_no_size(tmp_path):
    group = zarr.open_group(tmp_path / "a.zarr", mode="w", zarr_format=2)
    write(group, numbers(9, 13), {"multiscales": [multiscale("yx", (0.1, 0.1), units="")]})
    assert read(tmp_path / "a.zarr").spacing_um == {}


def test_the_first_versions_name_no_axes(tmp_path):
    group = zarr.open_group(tmp_path / "a.zarr", mode="w", zarr_format=2)
    write(group, numbers(1, 2, 1, 9, 13), {"multiscales": [{"datasets": [{"path": "s0"}], "version": "0.1"}]})
    assert read(tmp_path / "a.zarr").axes == "CYX"


def test_newer_versions_are_refused(tmp_path):
    group = zarr.open_group(tmp_path / "a.zarr", mode="w")
    write(group, numbers(9, 13), {"ome": {"version": "0.6.dev1", "multiscales": [multiscale("yx", (1, 1))]}})
    with pytest.raises(ImageError, match=r"OME-Zarr of version 0.6.dev1, readable are 0.1, 0.2, 0.3, 0.4 and 0.5"):
        read(tmp_path / "a.zarr")


def test_fields_of_a_plate(tmp_path):
    plate = zarr.open_group(tmp_path / "p.zarr", mode="w")
    plate.attrs["ome"] = {"version": "0.5", "plate": {"wells": [{"path": "A/1"}, {"path": "B/3"}]}}
    planes = {}
    for well in ("A/1", "B/3"):
        group = plate.create_group(well)
        group.attrs["ome"] = {"version": "0.5", "well": {"images": [{"path": "0"}, {"path": "1"}]}}
        for field in "01":
            planes[f"{well}/{field}"] = numbers(9, 13)
            attributes = {"ome": {"version": "0.5", "multiscales": [multiscale("yx", (0.07, 0.065))]}}
            write(group.create_group(field), planes[f"{well}/{field}"], attributes)
    assert scene_names(tmp_path / "p.zarr") == list(planes)
    np.testing.assert_array_equal(read(tmp_path / "p.zarr", scene="B/3/0").data, planes["B/3/0"])


def test_series_of_a_converted_file(tmp_path):
    root = zarr.open_group(tmp_path / "s.zarr", mode="w", zarr_format=2)
    root.attrs["bioformats2raw.layout"] = 3
    planes = [numbers(9, 13), numbers(11, 8)]
    for number, plane in enumerate(planes):
        write(root.create_group(str(number)), plane, {"multiscales": [multiscale("yx", (0.07, 0.065), version="0.4")]})
    assert scene_names(tmp_path / "s.zarr") == ["0", "1"]
    np.testing.assert_array_equal(read(tmp_path / "s.zarr", scene="1").data, planes[1])


@pytest.mark.parametrize("place", ["../other", "/etc", "a/../../b", "C:/secret"])
def test_names_that_lead_out_of_the_folder(tmp_path, place):
    group = zarr.open_group(tmp_path / "a.zarr", mode="w", zarr_format=2)
    group.attrs["multiscales"] = [multiscale("yx", (1, 1)) | {"datasets": [{"path": place}]}]
    with pytest.raises(ImageError, match=r"a.zarr: it names a part outside its folder"):
        read(tmp_path / "a.zarr")


def test_chunks_that_are_not_there(tmp_path):
    data = numbers(8, 12)
    group = zarr.open_group(tmp_path / "a.zarr", mode="w", zarr_format=2)
    write(group, data, {"multiscales": [multiscale("yx", (0.07, 0.065))]}, chunks=(4, 6))
    (tmp_path / "a.zarr/s0/1.0").unlink()
    with pytest.warns(DataWarning, match="1 of 4 chunks are not in the folder, their pixels are read as 0; copy the folder again unless"):
        found = read(tmp_path / "a.zarr")
    assert not found.data[4:, :6].any()
    for chunk in ("0.0", "0.1", "1.1"):
        (tmp_path / "a.zarr/s0" / chunk).unlink()
    with pytest.raises(ImageError, match="none of its 4 chunks is in the folder"):
        read(tmp_path / "a.zarr")


def test_a_chunk_that_was_cut(tmp_path):
    group = zarr.open_group(tmp_path / "a.zarr", mode="w", zarr_format=2)
    write(group, numbers(90, 120), {"multiscales": [multiscale("yx", (0.07, 0.065))]})
    chunk = tmp_path / "a.zarr/s0/0.0"
    chunk.write_bytes(chunk.read_bytes()[:100])
    with pytest.raises(ImageError, match=r"a.zarr: damaged or cut short"):
        read(tmp_path / "a.zarr")


def test_folders_that_are_no_image(tmp_path):
    zarr.open_group(tmp_path / "a.zarr", mode="w").attrs["note"] = "nothing"
    with pytest.raises(ImageError, match=r"it holds no image of OME-Zarr \(no `multiscales`\); give the folder of an image"):
        read(tmp_path / "a.zarr")
    zarr.create_array(tmp_path / "b.zarr", data=numbers(9, 13))
    with pytest.raises(ImageError, match="an array of Zarr without the metadata of OME-Zarr; give the folder of the image above it"):
        read(tmp_path / "b.zarr")
    (tmp_path / "a.zarr/zarr.json").write_text("{")
    with pytest.raises(ImageError, match=r"a.zarr: damaged or cut short"):
        read(tmp_path / "a.zarr")
    group = zarr.open_group(tmp_path / "c.zarr", mode="w", zarr_format=2)
    group.attrs["multiscales"] = [multiscale("yx", (1, 1))]
    with pytest.raises(ImageError, match="its array s0 is missing"):
        read(tmp_path / "c.zarr")


IMAGE = {
    "spacing_um": {"Z": 0.3, "Y": 0.07, "X": 0.065},
    "offset": 100.0,
    "metadata": {
        "channels": ["DAPI", "Ä/é"],
        "colours": [(0, 0, 255), (255, 126, 0)],
        "interval_s": 2.5,
        "emission_nm": [460.0, None],
        "exposure_s": [0.03, 0.1],
        "acquired": "2023-05-04T12:34:56",
        "stage_um": {"Z": 3.5, "Y": -120.0},
        "objective": {"model": "Apo 60x", "magnification": 60.0, "na": 1.3},
        "optics": {"na": 1.3, "pinhole_au": 1.2},
        "image_name": "cell 3",
    },
}


@pytest.mark.parametrize("axes", ["YX", "TYX", "ZYX", "CZYX", "TCZYX", "YXC", "PYX", "TPYX"])
def test_what_is_written_is_valid_and_comes_back(tmp_path, axes):
    sizes = {"T": 3, "C": 2, "P": 4, "Z": 5, "Y": 9, "X": 13}
    data = RNG.normal(size=[sizes[axis] for axis in axes]).astype(np.float32)
    data.flat[0] = np.nan
    spacing = {axis: um for axis, um in IMAGE["spacing_um"].items() if axis in axes}
    image = Image(data, axes, spacing, IMAGE["offset"], IMAGE["metadata"])
    path = write_zarr(tmp_path / "out.ome.zarr", image, provenance={"seed": np.int64(1)})
    yaozarrs.validate_zarr_store(path)
    found = read(path)
    ordered = "".join(axis for axis in "TCPZYX" if axis in axes)
    assert (found.axes, found.spacing_um, found.offset) == (ordered, spacing, 100.0)
    np.testing.assert_array_equal(found.data, image.transposed(ordered).data)
    assert found.metadata["image_name"] == "cell 3"
    for key in ("emission_nm", "exposure_s", "acquired", "stage_um", "objective"):
        assert found.metadata[key] == IMAGE["metadata"][key]
    assert {key: found.metadata["optics"][key] for key in ("na", "pinhole_au")} == {"na": 1.3, "pinhole_au": 1.2}
    assert read_provenance(path) == {"seed": 1}
    if "C" in axes:
        assert found.metadata["channels"] == ["DAPI", "Ä/é"]
        assert found.metadata["colours"] == [(0, 0, 255), (255, 126, 0)]
    if "T" in axes:
        assert found.metadata["interval_s"] == 2.5


@pytest.mark.parametrize("noted", [7, {"metadata": 7}, {"metadata": {"optics": [1], "emission_nm": 525, "objective": None}}])
def test_a_note_that_somebody_changed_is_no_fault(tmp_path, noted):
    path = write_zarr(tmp_path / "a.zarr", Image(np.ones((9, 13)), "YX", {"Y": 0.1, "X": 0.1}), provenance={})
    document = json.loads((path / "zarr.json").read_text())
    document["attributes"][ANNOTATION_NAMESPACE] = noted
    (path / "zarr.json").write_text(json.dumps(document))
    assert read(path).spacing_um == {"Y": 0.1, "X": 0.1}


def test_an_axis_of_length_one_comes_back(tmp_path):
    path = write_zarr(tmp_path / "a.zarr", Image(np.ones((1, 9, 13)), "ZYX", {"Z": 0.3}), provenance={})
    assert read(path).sizes == {"Z": 1, "Y": 9, "X": 13}


def test_others_see_units_and_scales(tmp_path):
    write_zarr(tmp_path / "a.zarr", Image(np.ones((3, 9, 13)), "TYX", {"Y": 0.07, "X": 0.065}), provenance={})
    ome = json.loads((tmp_path / "a.zarr/zarr.json").read_text())["attributes"]["ome"]
    scale = ome["multiscales"][0]["datasets"][0]["coordinateTransformations"][0]["scale"]
    assert (ome["version"], scale) == ("0.5", [1.0, 0.07, 0.065])
    assert [axis.get("unit") for axis in ome["multiscales"][0]["axes"]] == [None, UM, UM]


def test_existing_results_are_kept(tmp_path):
    image = Image(np.ones((9, 13)), "YX")
    path = write_zarr(tmp_path / "a.zarr", image, provenance={"run": 1})
    with pytest.raises(OutputError, match="exists, and existing results are kept"):
        write_zarr(path, image, provenance={"run": 2})
    assert read_provenance(path) == {"run": 1}
    write_zarr(path, image, provenance={"run": 2}, overwrite=True)
    assert read_provenance(path) == {"run": 2}
    assert [entry.name for entry in tmp_path.iterdir()] == ["a.zarr"]


def test_other_folders_are_never_replaced(tmp_path):
    folder = tmp_path / "data"
    folder.mkdir()
    (folder / "raw.tif").write_text("precious")
    with pytest.raises(OutputError, match="exists and is no folder of Zarr, which alone is replaced"):
        write_zarr(folder, Image(np.ones((9, 13)), "YX"), provenance={}, overwrite=True)
    assert (folder / "raw.tif").read_text() == "precious"


def test_nothing_is_left_of_a_failure(tmp_path):
    image = Image(np.ones((9, 13)), "YX")
    with pytest.raises(TypeError, match="provenance cannot hold a set"):
        write_zarr(tmp_path / "a.zarr", image, provenance={"x": {1}})
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="cannot be written"):
        write_zarr(tmp_path / "file/a.zarr", image, provenance={})
    assert [entry.name for entry in tmp_path.iterdir()] == ["file"]


@pytest.mark.parametrize("package", ["zarr", "yaozarrs"])
def test_a_missing_package_is_told(tmp_path, monkeypatch, package):
    for module in [name for name in sys.modules if name.partition(".")[0] == package]:
        monkeypatch.delitem(sys.modules, module)
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(OutputError, match=r"OME-Zarr needs the packages zarr and yaozarrs; pip install 'zsdeconv\[formats\]'"):
        write_zarr(tmp_path / "a.zarr", Image(np.ones((9, 13)), "YX"), provenance={})


def test_axes_that_it_cannot_hold(tmp_path):
    with pytest.raises(OutputError, match=r"axes CPYX, OME-Zarr holds up to 5 and one of C and P"):
        write_zarr(tmp_path / "a.zarr", Image(np.ones((2, 3, 9, 13)), "CPYX"), provenance={})
