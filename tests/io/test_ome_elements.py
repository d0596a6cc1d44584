"""OME-XML of written images, as `ome-types` (schema 2016-06), tifffile and ImageJ's own opener understand it."""

import itertools
import json
import struct
from datetime import UTC, datetime
from fractions import Fraction
from typing import Any
from xml.etree import ElementTree

import numpy as np
import ome_types
import pytest
import tifffile

from zsdeconv.errors import ImageError
from zsdeconv.image import Image
from zsdeconv.io import read, write

SIZES = {"T": 3, "C": 2, "Z": 4, "Y": 21, "X": 34, "P": 5}
SPACING = {"Z": 0.3, "Y": 0.0325, "X": 0.031}
OPTICS = {
    "na": 1.4,
    "wavelength_nm": 461.5,
    "excitation_nm": 405.0,
    "immersion_ri": 1.515,
    "sample_ri": 1.38,
    "pinhole_au": 1.2,
    "pinhole_um": 51.5,
    "microscope": "confocal",
}
ALL = {
    "name": "cell.czi",
    "scene": "A/1 <left & right>",
    "image_name": "α-tubulin, day 2",
    "channels": ["DNA", "α-tubulin"],
    "colours": [(0, 0, 255), (255, 128, 1)],
    "emission_nm": [461.5, 605.0],
    "excitation_nm": [405.0, 561.0],
    "exposure_s": [0.05, 0.125],
    "pinholes_au": [1.2, 0.9],
    "optics": OPTICS,
    "objective": {"model": 'Plan "Apo" 63x', "magnification": 63.0, "na": 1.4, "immersion": "Oil", "medium": "Glycerol"},
    "acquired": "2023-05-04T12:34:56.250000",
    "interval_s": 2.5,
    "times_s": [0.0, 2.5, 5.125],
    "stage_um": {"Z": -12.5, "Y": 1000.25, "X": 0.0},
    "kind": "deconvolved",
}
PER_CHANNEL = ("channels", "colours", "emission_nm", "excitation_nm", "exposure_s", "pinholes_au")
AXES = ["YX", "TYX", "ZYX", "CYX", "TZYX", "TCYX", "CZYX", "ZCYX", "TCZYX", "TZCYX", "CTZYX", "ZTCYX"]
RAW_FRAMES = {  # the axes of OME that raw frames lie along
    "PYX": "T",
    "TPYX": "T",
    "ZPYX": "T",
    "PZYX": "T",
    "CPYX": "T",
    "CZPYX": "T",
    "TZPYX": "Z",
    "TCPYX": "Z",
    "TCZPYX": "Z",
    "TZCPYX": "C",
    "PTZYX": "C",
}


def recorded(axes, **changes):
    """An image in which each plane holds its own number, with all that a reader can know of it."""
    shape = [SIZES[a] for a in axes]
    data = np.broadcast_to(np.arange(np.prod(shape[:-2], dtype=int)).reshape(*shape[:-2], 1, 1), shape).astype(np.float32)
    metadata = ALL if "C" in axes else ALL | {key: ALL[key][:1] for key in PER_CHANNEL}
    metadata = metadata if "T" in axes else {**metadata, "times_s": [0.0]}
    return Image(data, axes, {a: um for a, um in SPACING.items() if a in axes}, 0.0, {**metadata, **changes})


def ome(path) -> Any:
    """The metadata as ome-types reads them, after the file has proved to be valid by the schema."""
    with tifffile.TiffFile(path) as tif:
        text = tif.ome_metadata
    assert text is not None
    return ome_types.from_xml(text.encode(), validate=True)


def annotation(path):
    with tifffile.TiffFile(path) as tif:
        root = ElementTree.fromstring(tif.ome_metadata or "")
    return {m.attrib["K"]: json.loads(m.text or "") for m in root.iterfind(".//{*}MapAnnotation/{*}Value/{*}M")}


@pytest.mark.parametrize("axes", [*AXES, *RAW_FRAMES])
def test_files_are_valid_and_read_the_same_by_two_readers(tmp_path, axes):
    image = recorded(axes)
    path = write(tmp_path / "a.ome.tif", image, provenance={})
    pixels = ome(path).images[0].pixels
    assert len(pixels.channels) == pixels.size_c
    back = read(path)
    assert (back.axes, back.spacing_um) == (axes, image.spacing_um)
    np.testing.assert_array_equal(back.data, image.data)
    with tifffile.TiffFile(path) as tif:
        assert (tif.is_ome, len(tif.series), tif.series[0].axes) == (True, 1, axes)
        np.testing.assert_array_equal(tif.series[0].asarray(), image.data)


@pytest.mark.parametrize("axes", AXES)
def test_each_page_is_where_the_order_of_dimensions_says(tmp_path, axes):
    image = recorded(axes)
    path = write(tmp_path / "a.ome.tif", image, provenance={})
    pixels = ome(path).images[0].pixels
    sizes = {"Z": pixels.size_z, "C": pixels.size_c, "T": pixels.size_t}
    slowest_first = pixels.dimension_order.value[:1:-1]
    pages = tifffile.imread(path, key=range(np.prod(list(sizes.values())))).reshape(-1, 21, 34)
    places = list(itertools.product(*(range(sizes[a]) for a in slowest_first)))
    for page, place, plane in zip(pages, places, pixels.planes, strict=True):
        at = dict(zip(slowest_first, place, strict=True))
        assert {"Z": plane.the_z, "C": plane.the_c, "T": plane.the_t} == at
        assert page[0, 0] == image.data[tuple(at[a] for a in axes[:-2])][0, 0]


@pytest.mark.parametrize(("axes", "along"), RAW_FRAMES.items())
def test_raw_frames_lie_along_an_axis_that_ome_has(tmp_path, axes, along):
    path = write(tmp_path / "a.ome.tif", recorded(axes), provenance={})
    whole = ome(path)
    pixels = whole.images[0].pixels
    found = {"T": pixels.size_t, "C": pixels.size_c, "Z": pixels.size_z}
    expected = {a: SIZES[a] if a in axes else 1 for a in "TCZ"}
    assert found == expected | {along: expected[along] * SIZES["P"]}
    assert {channel.acquisition_mode.value for channel in pixels.channels} == {"StructuredIllumination"}
    first = whole.images[0].annotation_refs[0].id  # where tifffile looks for it
    modulo = next(each for each in whole.structured_annotations if each.id == first)
    assert modulo.namespace == "openmicroscopy.org/omero/dimension/modulo"
    exposures = {(plane.the_c // (SIZES["P"] if along == "C" else 1), plane.exposure_time) for plane in pixels.planes}
    assert exposures == {(0, 0.05), (1, 0.125)} if "C" in axes else {(0, 0.05)}
    if "T" in axes:
        assert {(plane.the_t // (SIZES["P"] if along == "T" else 1), plane.delta_t) for plane in pixels.planes} == {
            (0, 0.0),
            (1, 2.5),
            (2, 5.125),
        }


def test_raw_frames_before_all_other_axes_are_refused(tmp_path):
    with pytest.raises(ImageError, match=r"axes PTCZYX: P comes first, .* give them in the order TCZPYX"):
        write(tmp_path / "a.ome.tif", recorded("PTCZYX"), provenance={})
    assert list(tmp_path.iterdir()) == []


def test_all_that_is_known_is_where_ome_has_a_place_for_it(tmp_path):
    path = write(tmp_path / "a.ome.tif", recorded("TZCYX"), provenance={})
    whole = ome(path)
    image, objective = whole.images[0], whole.instruments[0].objectives[0]
    assert image.name == "α-tubulin, day 2, deconvolved"
    assert image.acquisition_date == datetime(2023, 5, 4, 12, 34, 56, 250000)
    assert (objective.model, objective.lens_na, objective.nominal_magnification) == ('Plan "Apo" 63x', 1.4, 63)
    assert objective.immersion.value == "Oil"
    settings, label = image.objective_settings, image.stage_label
    assert (settings.id, image.instrument_ref.id) == (objective.id, whole.instruments[0].id)
    assert (settings.medium.value, settings.refractive_index) == ("Glycerol", 1.515)
    assert (label.name, label.x, label.y, label.z) == ("A/1 <left & right>", 0.0, 1000.25, -12.5)

    pixels = image.pixels
    assert [pixels.physical_size_z, pixels.physical_size_y, pixels.physical_size_x] == list(SPACING.values())
    assert {pixels.physical_size_x_unit.value, pixels.physical_size_y_unit.value, pixels.physical_size_z_unit.value} == {"µm"}
    assert (pixels.time_increment, pixels.time_increment_unit.value) == (2.5, "s")
    blue, orange = pixels.channels
    assert [blue.name, orange.name] == ["DNA", "α-tubulin"]
    assert [blue.color.as_rgb_tuple(alpha=False), orange.color.as_rgb_tuple(alpha=False)] == [(0, 0, 255), (255, 128, 1)]
    assert [(c.emission_wavelength, c.emission_wavelength_unit.value) for c in pixels.channels] == [(461.5, "nm"), (605, "nm")]
    assert [(c.excitation_wavelength, c.excitation_wavelength_unit.value) for c in pixels.channels] == [(405, "nm"), (561, "nm")]
    assert (blue.pinhole_size, blue.pinhole_size_unit.value, orange.pinhole_size) == (51.5, "µm", None)
    for channel in pixels.channels:
        assert channel.samples_per_pixel == 1
        assert channel.acquisition_mode.value == "LaserScanningConfocalMicroscopy"
        assert channel.contrast_method.value == "Fluorescence"
    assert len(pixels.planes) == 24
    for plane in pixels.planes:
        assert (plane.delta_t, plane.exposure_time) == (ALL["times_s"][plane.the_t], ALL["exposure_s"][plane.the_c])
        assert (plane.position_x, plane.position_y, plane.position_z) == (0.0, 1000.25, -12.5)
        assert plane.position_x_unit.value == plane.position_z_unit.value == "µm"


def test_nothing_is_invented(tmp_path):
    path = write(tmp_path / "a.ome.tif", Image(np.eye(9), "YX"), provenance={})
    whole = ome(path)
    image, pixels = whole.images[0], whole.images[0].pixels
    assert whole.instruments == [] and image.instrument_ref is None and image.objective_settings is None
    assert (image.name, image.acquisition_date, image.stage_label) == (None, None, None)
    assert (pixels.physical_size_x, pixels.physical_size_z, pixels.time_increment, pixels.planes) == (None, None, None, [])
    assert pixels.channels[0].model_fields_set <= {"id", "samples_per_pixel"}
    assert set(annotation(path)) == {"axes", "offset", "provenance"}
    with tifffile.TiffFile(path) as tif:
        assert tif.pages.first.tags.valueof("ResolutionUnit") == tifffile.RESUNIT.NONE


@pytest.mark.parametrize(
    "metadata",
    [
        {key: None for key in ALL},
        {"channels": ["one name for two"], "colours": [], "emission_nm": [1.0, 2.0, 3.0], "exposure_s": [None], "times_s": [0.0]},
        {"channels": ["", None], "colours": [(256, 0, 0), "red"], "emission_nm": [0.0, -5.0], "excitation_nm": [float("nan"), None]},
        {"colours": [(0, 0), (0.5, 0, 0)], "exposure_s": [float("inf"), -1.0], "times_s": [float("nan"), None, "2.5"], "interval_s": 0.0},
        {"objective": {"model": "", "magnification": 1e39, "na": 0, "immersion": " ", "medium": ""}, "optics": {"na": float("inf")}},
        {"optics": {"microscope": "telescope", "pinhole_um": 1e-40, "wavelength_nm": "525"}, "acquired": "yesterday", "scene": ""},
        {"stage_um": {"X": float("nan"), "Z": "up"}, "acquired": "0000-00-00T00:00:00", "image_name": "", "name": ""},
    ],
)
def test_values_that_ome_cannot_hold_are_left_out(tmp_path, metadata):
    image = recorded("TCYX")
    plain = Image(image.data, "TCYX", image.spacing_um, 0.0, metadata)
    whole = ome(write(tmp_path / "a.ome.tif", plain, provenance={}))
    assert whole.instruments == [] and whole.images[0].pixels.planes == []
    assert (whole.images[0].acquisition_date, whole.images[0].pixels.time_increment, whole.images[0].name) == (None, None, None)
    for channel in whole.images[0].pixels.channels:
        assert channel.model_fields_set <= {"id", "samples_per_pixel"}


@pytest.mark.parametrize(
    ("given", "immersion", "medium"),
    [
        ("oil", "Oil", "Oil"),
        ("Water dipping", "WaterDipping", "Water"),
        ("Dry", "Air", "Air"),
        ("glycerine", "Glycerol", "Glycerol"),
        ("Silicone oil", "Other", "Other"),
        ("Multi", "Multi", "Other"),
    ],
)
def test_words_for_immersions_are_those_of_ome(tmp_path, given, immersion, medium):
    path = write(tmp_path / "a.ome.tif", recorded("YX", objective={"immersion": given, "medium": given}), provenance={})
    whole = ome(path)
    assert whole.instruments[0].objectives[0].immersion.value == immersion
    assert whole.images[0].objective_settings.medium.value == medium
    assert annotation(path)["metadata"]["objective"]["immersion"] == given, "the word itself is kept too"


@pytest.mark.parametrize("microscope", ["widefield", "confocal", "twophoton", "lightsheet"])
def test_microscopes_have_their_modes(tmp_path, microscope):
    modes = {"widefield": "WideField", "twophoton": "MultiPhotonMicroscopy", "lightsheet": "SPIM"}
    path = write(tmp_path / "a.ome.tif", recorded("YX", optics={"microscope": microscope}), provenance={})
    found = ome(path).images[0].pixels.channels[0].acquisition_mode.value
    assert found == modes.get(microscope, "LaserScanningConfocalMicroscopy")


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("2023-05-04T12:34:56Z", datetime(2023, 5, 4, 12, 34, 56, tzinfo=UTC)),
        ("2023-05-04T12:34:56+02:00", datetime.fromisoformat("2023-05-04T12:34:56+02:00")),
        ("2023-05-04 12:34", datetime(2023, 5, 4, 12, 34)),
        ("2023-05-04", datetime(2023, 5, 4)),
        ("2023-05-04T12:34:56+02:00:30", None),
        ("2023-05-04T12:34:56+23:00", None),
        ("04.05.2023", None),
    ],
)
def test_dates(tmp_path, given, expected):
    assert ome(write(tmp_path / "a.ome.tif", recorded("YX", acquired=given), provenance={})).images[0].acquisition_date == expected


def test_texts_of_any_characters_make_a_file_that_can_be_read(tmp_path):
    texts = ["µ α 細胞 \U0001f52c", 'tab\tline\nquote"<&>]]>', "bell\x07 nul\x00 escape\x1b", "half \udc80 \ufffe"]
    shown = [texts[0], 'tab line quote"<&>]]>', "bell\ufffd nul\ufffd escape\ufffd", "half \ufffd \ufffd"]
    for number, (name, expected) in enumerate(zip(texts, shown, strict=True)):
        image = recorded("CYX", image_name=name, scene=name, channels=[name, name], objective={"model": name}, kind=None)
        path = write(tmp_path / f"{number}.ome.tif", image, provenance={"note": name})
        whole = ome(path)
        found = [whole.images[0].name, whole.images[0].stage_label.name, whole.instruments[0].objectives[0].model]
        assert [*found, *(c.name for c in whole.images[0].pixels.channels)] == [expected] * 5
        assert annotation(path)["provenance"] == {"note": name}, "JSON escapes what XML cannot hold"
        assert read(path).metadata["channels"] == [expected] * 2
        with tifffile.TiffFile(path) as tif:
            assert tif.is_ome
            tif.filehandle.seek(tif.pages.first.tags["ImageDescription"].valueoffset)
            raw = tif.filehandle.read(tif.pages.first.tags["ImageDescription"].count)
        assert raw.startswith(b'<?xml version="1.0" encoding="UTF-8"?><OME') and raw.endswith(b"</OME>\0")
        assert b"&#" not in raw, "Bio-Formats cannot read an XML with references to characters"


@pytest.mark.parametrize(
    ("metadata", "expected"),
    [
        ({"name": "cell.ome.tif", "kind": "denoised"}, "cell, denoised"),
        ({"name": "cell 0.5 um.TIFF"}, "cell 0.5 um"),
        ({"name": "v1.2", "kind": "uncertainty"}, "v1.2, uncertainty"),
        ({"image_name": "Position 3", "name": "cell.nd2", "kind": "deconvolved"}, "Position 3, deconvolved"),
        ({"image_name": "cell, deconvolved", "kind": "deconvolved"}, "cell, deconvolved"),
        ({"image_name": "cell, deconvolved", "kind": "denoised"}, "cell, deconvolved, denoised"),
        ({"kind": "reconstructed"}, "reconstructed"),
    ],
)
def test_the_name_says_what_the_image_is(tmp_path, metadata, expected):
    path = write(tmp_path / "a.ome.tif", Image(np.eye(9), "YX", metadata=metadata), provenance={})
    assert ome(path).images[0].name == expected
    assert annotation(path).get("kind") == metadata.get("kind")


def test_what_ome_has_no_word_for_is_annotated(tmp_path):
    path = write(tmp_path / "a.ome.tif", recorded("TCYX"), provenance={"seed": np.int64(3)})
    found = annotation(path)
    assert found.pop("metadata") == {key: ALL[key] for key in ("name", "optics", "objective", "pinholes_au")}
    assert read(path).metadata["pinholes_au"] == ALL["pinholes_au"]
    assert found == {"axes": "TCYX", "offset": 0.0, "provenance": {"seed": 3}, "kind": "deconvolved"}


def tags_of_first_page(path):
    """Raw resolution tags of a little- or big-endian classic TIFF, read as an opener without a library does."""
    raw = path.read_bytes()
    order = "<" if raw[:2] == b"II" else ">"
    (start,) = struct.unpack_from(order + "I", raw, 4)
    (count,) = struct.unpack_from(order + "H", raw, start)
    found = {}
    for entry in range(start + 2, start + 2 + 12 * count, 12):
        tag, kind, _, value = struct.unpack_from(order + "HHII", raw, entry)
        if tag in (282, 283):
            assert kind == 5
            found[tag] = Fraction(*struct.unpack_from(order + "II", raw, value))
        if tag == 296:
            (found[tag],) = struct.unpack_from(order + "H", raw, entry + 8)
    return found


@pytest.mark.parametrize("um", [(0.0325, 0.031), (1.0, 1.0), (0.0010001, 10 / 3), (0.1 / 7, 6.5), (2.4e-6, 9.7e9)])
def test_the_opener_of_imagej_finds_the_pixel_size_in_the_resolution_tags(tmp_path, um):
    image = Image(np.eye(9), "YX", {"Y": um[0], "X": um[1]})
    tags = tags_of_first_page(write(tmp_path / "a.ome.tif", image, provenance={}))
    assert tags[296] == 3, "centimetres; ImageJ turns up to 10 um of them into um"
    found = [float(10_000 / tags[tag]) for tag in (283, 282)]
    np.testing.assert_allclose(found, um, rtol=1e-6)


@pytest.mark.parametrize("um", [{"Y": 1e-6, "X": 1e-6}, {"Y": 1e15, "X": 1e15}, {"Y": 0.1}])
def test_pixel_sizes_that_the_tags_cannot_hold_are_left_out_there(tmp_path, um):
    path = write(tmp_path / "a.ome.tif", Image(np.eye(9), "YX", um), provenance={})
    assert tags_of_first_page(path)[296] == 1
    pixels = ome(path).images[0].pixels
    assert (pixels.physical_size_y, pixels.physical_size_x) == (um["Y"], um.get("X"))


def test_narrow_images_are_planes_and_not_colours(tmp_path):
    data = np.arange(5 * 21 * 3, dtype=np.float32).reshape(5, 21, 3)
    path = write(tmp_path / "a.ome.tif", Image(data, "TYX"), provenance={})
    np.testing.assert_array_equal(read(path).data, data)
    with tifffile.TiffFile(path) as tif:
        assert {page.aspage().samplesperpixel for page in tif.pages} == {1}
