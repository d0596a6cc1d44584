import errno
import logging
import os
from pathlib import Path

import numpy as np
import pytest
import tifffile

from zsdeconv.errors import ConfigError, DataWarning, ImageError
from zsdeconv.io import check_restorable, read, read_provenance
from zsdeconv.io.assemble import Options, describe
from zsdeconv.io.formats import tiff as tiff_reader
from zsdeconv.io.metadata.statements import Statements

RNG = np.random.default_rng(2)


def counts(*shape, dtype="u2"):
    return RNG.poisson(50, shape).astype(dtype)


def plain(path, data, **options):
    tifffile.imwrite(path, data, photometric="minisblack", metadata=None, **options)
    return path


# Dialects


@pytest.mark.parametrize("dtype", ["u1", "u2", "u4", "i1", "i2", "i4", "f4", "f8"])
@pytest.mark.parametrize("order", ["<", ">"])
def test_number_types_in_both_byte_orders(tmp_path, dtype, order):
    data = counts(31, 42, dtype=dtype)
    image = read(plain(tmp_path / "a.tif", data, byteorder=order))
    assert image.axes == "YX"
    assert image.data.dtype == np.dtype(dtype)
    assert image.data.dtype.isnative
    np.testing.assert_array_equal(image.data, data)


@pytest.mark.parametrize("bigtiff", [False, True])
@pytest.mark.parametrize("compression", [None, "zlib", "lzw"])
def test_ome(tmp_path, compression, bigtiff):
    data = counts(3, 2, 31, 42)
    metadata = {
        "axes": "TCYX",
        "PhysicalSizeX": 65.0,
        "PhysicalSizeXUnit": "nm",
        "PhysicalSizeY": 0.0007,
        "PhysicalSizeYUnit": "mm",
        "Channel": {"Name": ["α-tubulin", "DNA"], "EmissionWavelength": [525.0, 460.0], "EmissionWavelengthUnit": ["nm", "nm"]},
    }
    tifffile.imwrite(tmp_path / "a.ome.tif", data, metadata=metadata, compression=compression, bigtiff=bigtiff, photometric="minisblack")
    image = read(tmp_path / "a.ome.tif")
    assert image.axes == "TCYX"
    np.testing.assert_array_equal(image.data, data)
    assert image.spacing_um == pytest.approx({"Y": 0.7, "X": 0.065})
    assert image.metadata["channels"] == ["α-tubulin", "DNA"]
    assert image.metadata["optics"] == {"wavelength_nm": 525.0}
    assert image.metadata["sources"] == {"axes": "file", "pixel_um": "file"}
    assert image.offset is None
    assert read_provenance(tmp_path / "a.ome.tif") == {}


def test_ome_optics_of_the_objective(tmp_path):
    xml = tifffile.OmeXml()
    xml.addimage("uint16", (31, 42), (1, 1, 1, 31, 42, 1), axes="YX")
    text = xml.tostring().replace("<Image ", '<Instrument ID="I:0"><Objective ID="O:0" LensNA="1.4"/></Instrument><Image ', 1)
    text = text.replace("<Pixels ", '<ObjectiveSettings ID="O:0" RefractiveIndex="1.515"/><Pixels ', 1)
    tifffile.imwrite(tmp_path / "a.ome.tif", counts(31, 42), description=text.encode(), metadata=None, photometric="minisblack")
    assert read(tmp_path / "a.ome.tif").metadata["optics"] == {"na": 1.4, "immersion_ri": 1.515}


def test_ome_dimensions_of_length_one_are_dropped(tmp_path):
    tifffile.imwrite(tmp_path / "a.ome.tif", counts(1, 5, 1, 31, 42), metadata={"axes": "TZCYX"}, photometric="minisblack")
    assert read(tmp_path / "a.ome.tif").axes == "ZYX"


@pytest.mark.parametrize("unit", ["micron", "\\u00B5m", "um"])
def test_imagej(tmp_path, unit):
    metadata = {"axes": "TZCYX", "unit": unit, "spacing": 0.3, "finterval": 0.5}
    tifffile.imwrite(tmp_path / "a.tif", counts(3, 4, 2, 31, 42), imagej=True, resolution=(1 / 0.065, 1 / 0.07), metadata=metadata)
    image = read(tmp_path / "a.tif")
    assert image.sizes == {"T": 3, "Z": 4, "C": 2, "Y": 31, "X": 42}
    # the tags are ratios of 32-bit integers
    assert image.spacing_um == pytest.approx({"Z": 0.3, "Y": 0.07, "X": 0.065}, rel=1e-6)


def test_imagej_in_nanometres_and_in_pixels(tmp_path):
    for unit, expected in (("nm", {"Y": 0.03, "X": 0.03}), ("pixel", {}), (None, {})):
        metadata = {"axes": "TYX", "spacing": 7.0} | ({"unit": unit} if unit else {})
        tifffile.imwrite(tmp_path / "a.tif", counts(3, 31, 42), imagej=True, resolution=(1 / 30, 1 / 30), metadata=metadata)
        image = read(tmp_path / "a.tif")
        assert image.axes == "TYX"
        assert image.spacing_um == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize(("unit", "per_um"), [("CENTIMETER", 1e4), ("INCH", 25400)])
def test_resolution_tags_of_a_microscope_are_taken(tmp_path, unit, per_um):
    image = read(plain(tmp_path / "a.tif", counts(31, 42), resolution=(per_um / 0.065, per_um / 0.1), resolutionunit=unit))
    assert image.spacing_um == pytest.approx({"Y": 0.1, "X": 0.065}, rel=1e-6)


@pytest.mark.parametrize(("unit", "resolution"), [("INCH", 72), ("INCH", 300), ("INCH", 1200), ("CENTIMETER", 118), ("NONE", 15.0)])
def test_resolution_tags_of_a_printer_are_not(tmp_path, unit, resolution):
    image = read(plain(tmp_path / "a.tif", counts(31, 42), resolution=(resolution, resolution), resolutionunit=unit))
    assert image.spacing_um == {}
    assert image.metadata["sources"]["pixel_um"] == "missing"


def test_of_several_images_the_first_is_read_and_told_and_any_by_its_scene(tmp_path):
    positions = [counts(31, 42), counts(31, 42)]
    with tifffile.TiffWriter(tmp_path / "a.ome.tif") as tif:
        for number, data in enumerate(positions):
            metadata = {"axes": "YX", "PhysicalSizeX": 0.1, "PhysicalSizeY": 0.1, "Name": f"Pos{number}"}
            tif.write(data, photometric="minisblack", metadata=metadata)
    with pytest.warns(
        DataWarning, match=r"2 images in the file \(1: 'Pos0' 31 x 42, 2: 'Pos1' 31 x 42\), the first is read.*; give `scene`"
    ):
        image = read(tmp_path / "a.ome.tif")
    np.testing.assert_array_equal(image.data, positions[0])
    for scene in (2, "2", "Pos1"):
        image = read(tmp_path / "a.ome.tif", scene=scene)
        np.testing.assert_array_equal(image.data, positions[1])
        assert image.metadata["scene"] == image.metadata["image_name"] == "Pos1"
    with pytest.raises(ImageError, match=r"no scene 'Pos7', there are 2 \(1: 'Pos0' .*; give one of these"):
        read(tmp_path / "a.ome.tif", scene="Pos7")


def test_images_of_different_sizes_are_read_by_their_scene_alone(tmp_path):
    overview, movie = counts(31, 42), counts(3, 20, 21)
    with tifffile.TiffWriter(tmp_path / "a.ome.tif") as tif:
        tif.write(overview, photometric="minisblack", metadata={"axes": "YX", "PhysicalSizeX": 0.9, "PhysicalSizeY": 0.9})
        tif.write(movie, photometric="minisblack", metadata={"axes": "TYX", "PhysicalSizeX": 0.3, "PhysicalSizeY": 0.3})
    with pytest.raises(ImageError, match=r"2 images of different sizes \(1: 'Image0' 31 x 42, 2: 'Image1' 3 x 20 x 21\), .*; give `scene`"):
        read(tmp_path / "a.ome.tif")
    image = read(tmp_path / "a.ome.tif", scene=2)
    np.testing.assert_array_equal(image.data, movie)
    assert image.spacing_um == {"Y": 0.3, "X": 0.3}


def test_thumbnails_and_pyramids_are_no_further_images(tmp_path):
    data = counts(64, 80)
    with tifffile.TiffWriter(tmp_path / "a.tif") as tif:
        tif.write(data, photometric="minisblack", metadata=None)
        tif.write(data[::8, ::8], photometric="minisblack", subfiletype=1, metadata=None)
    np.testing.assert_array_equal(read(tmp_path / "a.tif").data, data)


# Options


def test_options_win_over_the_file(tmp_path):
    metadata = {"axes": "ZYX", "unit": "um", "spacing": 0.3}
    tifffile.imwrite(tmp_path / "a.tif", counts(5, 31, 42), imagej=True, resolution=(10, 10), metadata=metadata)
    image = read(tmp_path / "a.tif", pixel_um=0.065)
    assert image.spacing_um == {"Z": 0.3, "Y": 0.065, "X": 0.065}
    assert image.metadata["sources"] == {"axes": "file", "pixel_um": "option", "z_um": "file"}
    image = read(tmp_path / "a.tif", axes="tyx", z_um=2.0)
    assert image.axes == "TYX"
    assert image.spacing_um == pytest.approx({"Y": 0.1, "X": 0.1})
    assert image.metadata["sources"] == {"axes": "option", "pixel_um": "file"}


def test_option_replaces_an_impossible_value_silently(tmp_path):
    tifffile.imwrite(
        tmp_path / "a.ome.tif",
        counts(31, 42),
        metadata={"axes": "YX", "PhysicalSizeX": 0.0, "PhysicalSizeY": 0.0},
        photometric="minisblack",
    )
    assert read(tmp_path / "a.ome.tif", pixel_um=0.1).spacing_um == {"Y": 0.1, "X": 0.1}
    with pytest.warns(DataWarning, match="pixel size of 0 um"):
        image = read(tmp_path / "a.ome.tif")
    assert image.spacing_um == {}
    assert image.metadata["sources"]["pixel_um"] == "missing"


@pytest.mark.parametrize("um", [-0.1, 5e6])
def test_negative_and_absurd_pixel_sizes_in_the_file(tmp_path, um):
    metadata = {"axes": "YX", "PhysicalSizeX": um, "PhysicalSizeY": um}
    tifffile.imwrite(tmp_path / "a.ome.tif", counts(31, 42), metadata=metadata, photometric="minisblack")
    with pytest.warns(DataWarning, match=r"um \(OME-XML\) is ignored.*; give pixel_um") as told:
        assert read(tmp_path / "a.ome.tif").spacing_um == {}
    assert len(told) == 1


@pytest.mark.parametrize("options", [{"pixel_um": 0.0}, {"pixel_um": -0.1}, {"pixel_um": 6500.0}, {"z_um": 0.0}, {"axes": "TYQ"}])
def test_impossible_options(tmp_path, options):
    with pytest.raises(ConfigError, match=r"^(pixel_um|z_um|`axes`) "):
        read(plain(tmp_path / "a.tif", counts(31, 42)), **options)


def test_ambiguous_planes_need_axes(tmp_path):
    data = counts(3, 31, 42)
    path = plain(tmp_path / "pages.tif", data)
    shaped = tmp_path / "shaped.tif"
    tifffile.imwrite(shaped, data, photometric="minisblack")
    for ambiguous in (path, shaped):
        with pytest.raises(ImageError, match=r"the 3 planes of \(3, 31, 42\) are; give `axes` TYX"):
            read(ambiguous)
        image = read(ambiguous, axes="CYX")
        assert image.sizes == {"C": 3, "Y": 31, "X": 42}
        np.testing.assert_array_equal(image.data, data)


def test_axes_that_do_not_fit(tmp_path):
    path = plain(tmp_path / "a.tif", counts(3, 31, 42))
    for axes in ("YX", "TZYX"):
        with pytest.raises(ImageError, match=f"`axes` {axes} names {len(axes)} dimensions, the file has 3"):
            read(path, axes=axes)


def test_single_frame_fits_the_axes_of_its_movie(tmp_path):
    assert read(plain(tmp_path / "a.tif", counts(31, 42)), axes="TYX").sizes == {"T": 1, "Y": 31, "X": 42}


# Colours and channels


@pytest.mark.parametrize("dtype", ["u1", "u2"])
@pytest.mark.parametrize("planar", ["contig", "separate"])
def test_rgb(tmp_path, dtype, planar):
    data = counts(31, 42, 3, dtype=dtype) if planar == "contig" else counts(3, 31, 42, dtype=dtype)
    tifffile.imwrite(tmp_path / "a.tif", data, photometric="rgb", planarconfig=planar)
    with pytest.raises(ImageError, match=r"RGB colours .*split the channels"):
        read(tmp_path / "a.tif")
    axes = "YXC" if planar == "contig" else "CYX"
    np.testing.assert_array_equal(read(tmp_path / "a.tif", axes=axes).data, data)


def test_rgb_movie_with_alpha(tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", counts(5, 31, 42, 4, dtype="u1"), photometric="rgb", imagej=True)
    with pytest.raises(ImageError, match="RGB"):
        read(tmp_path / "a.tif")


@pytest.mark.parametrize("samples", [2, 3, 5])
def test_samples_that_are_no_colours_are_channels(tmp_path, samples):
    data = counts(31, 42, samples)
    tifffile.imwrite(tmp_path / "a.tif", data, photometric="minisblack", planarconfig="contig")
    image = read(tmp_path / "a.tif")
    assert image.axes == "YXC"
    np.testing.assert_array_equal(image.data, data)


# Bad files


def test_missing_folder_empty_and_other_files(tmp_path):
    with pytest.raises(ImageError, match="no such file"):
        read(tmp_path / "absent.tif")
    with pytest.raises(ImageError, match="is a folder"):
        read(tmp_path)
    (tmp_path / "empty.tif").touch()
    with pytest.raises(ImageError, match="0 bytes"):
        read(tmp_path / "empty.tif")
    (tmp_path / "note.tif").write_text("this is no image\n" * 100)
    with pytest.raises(ImageError, match="not an image, readable are NDTiff, TIFF, "):
        read(tmp_path / "note.tif")
    for name, kind in (("a.vsi", "vendor"), ("a.jpg", "picture for display")):
        (tmp_path / name).write_bytes(RNG.bytes(2000))
        with pytest.raises(ImageError, match=kind):
            read(str(tmp_path / name))


def test_no_permission(tmp_path, monkeypatch):
    path = plain(tmp_path / "a.tif", counts(31, 42))

    def forbidden(self, *_args, **_options):
        raise PermissionError(errno.EACCES, "Permission denied", str(self))

    monkeypatch.setattr(Path, "open", forbidden)  # permissions themselves do not bind an administrator
    with pytest.raises(ImageError, match=r"cannot be opened \(Permission denied\); check its permissions"):
        read(path)


@pytest.mark.parametrize("data", [np.ones((31, 42), np.complex64), np.ones((31, 42), np.float16), np.ones((31, 42), np.uint64)])
def test_pixel_types_that_are_no_image(tmp_path, data):
    with pytest.raises(ImageError, match=str(data.dtype)):
        read(plain(tmp_path / "a.tif", data))


def test_one_pixel_is_read_but_not_restorable(tmp_path):
    image = read(plain(tmp_path / "a.tif", np.ones((1, 1), np.uint16)))
    with pytest.raises(ImageError, match="1 x 1 pixels"):
        check_restorable(image)


def _variants(folder):
    data = counts(6, 40, 52)
    for name, options in {
        "imagej": {"imagej": True, "metadata": {"axes": "TYX"}},
        "imagej_zlib": {"imagej": True, "metadata": {"axes": "TYX"}, "compression": "zlib"},
        "plain": {"photometric": "minisblack", "metadata": {"axes": "TYX"}},
        "plain_zlib": {"photometric": "minisblack", "metadata": {"axes": "TYX"}, "compression": "zlib"},
        "tiles": {"photometric": "minisblack", "metadata": {"axes": "TYX"}, "tile": (16, 32), "bigtiff": True},
        "strips": {"photometric": "minisblack", "metadata": {"axes": "TYX"}, "rowsperstrip": 7, "byteorder": ">"},
        "x.ome": {"photometric": "minisblack", "metadata": {"axes": "TYX"}},
        "x_zlib.ome": {"photometric": "minisblack", "metadata": {"axes": "TYX"}, "compression": "zlib"},
    }.items():
        tifffile.imwrite(folder / f"{name}.tif", data, **options)
    with tifffile.TiffWriter(folder / "pages.tif") as tif:
        for frame in data:
            tif.write(frame, contiguous=False, photometric="minisblack", metadata=None)
    return data


def test_truncated_files_are_refused_wherever_pixels_were_cut(tmp_path, caplog):
    """Readers return fewer frames, or zeros, for most of these."""
    data = _variants(tmp_path)
    for path in sorted(tmp_path.glob("*.tif")):
        axes = "TYX"
        np.testing.assert_array_equal(read(path, axes=axes).data, data)
        content = path.read_bytes()
        for fraction in (0.001, 0.02, 0.15, 0.5, 0.95, 0.999):
            cut = tmp_path / "cut.tif.part"
            cut.write_bytes(content[: max(5, int(len(content) * fraction))])
            try:
                found = read(cut, axes=axes).data
            except ImageError as error:
                assert "damaged or cut short" in str(error)
                assert "\n" not in str(error)
            else:
                np.testing.assert_array_equal(found, data)  # only padding behind the last strip was cut
    assert not caplog.records  # one line from us, none from the parser
    assert logging.getLogger("tifffile").propagate


def test_file_over_4_gib_of_imagej_with_its_single_directory(tmp_path):
    """ImageJ then writes one directory for all planes; a cut is seen only against the number of planes it states."""
    data = counts(6, 40, 52)
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, data, imagej=True, metadata={"axes": "TYX"})
    with tifffile.TiffFile(path) as tif:
        first = tif.pages.first
        end_of_directory = first.offset + 2 + 12 * len(first.tags)
        end_of_pixels = first.dataoffsets[0] + data.nbytes
    content = bytearray(path.read_bytes())
    content[end_of_directory : end_of_directory + 4] = bytes(4)
    path.write_bytes(content[:end_of_pixels])
    np.testing.assert_array_equal(read(path).data, data)
    path.write_bytes(content[: end_of_pixels - 1])
    with pytest.raises(ImageError, match="1 of ImageJ's 6 planes"):
        read(path, axes="TYX")


def test_larger_than_memory(tmp_path, monkeypatch):
    def exhausted(*_args, **_options):
        raise MemoryError("Unable to allocate 64. GiB")

    monkeypatch.setattr(tifffile.TiffPageSeries, "asarray", exhausted)
    with pytest.raises(ImageError, match=r"64. GiB: more than the memory"):
        read(plain(tmp_path / "a.tif", counts(40, 52)))


def test_damaged_pixels_and_files_without_a_page(tmp_path):
    path = plain(tmp_path / "a.tif", counts(40, 52), compression="zlib")
    content = bytearray(path.read_bytes())
    with tifffile.TiffFile(path) as tif:
        start = tif.pages.first.dataoffsets[0]
    content[start : start + 40] = bytes(40)
    path.write_bytes(content)
    with pytest.raises(ImageError, match="damaged or cut short") as caught:
        read(path)
    assert "\n" not in str(caught.value)
    path.write_bytes(b"II*\0" + bytes(100))
    with pytest.raises(ImageError, match="holds no page"):
        read(path)


def test_lost_strips_are_refused(tmp_path):
    """A writer that was killed leaves strips without offset, which readers show as zeros."""
    path = plain(tmp_path / "a.tif", counts(40, 52), rowsperstrip=10)
    with tifffile.TiffFile(path, mode="r+") as tif:
        offsets = list(tif.pages.first.dataoffsets)
        tif.pages.first.tags["StripOffsets"].overwrite([*offsets[:-1], 0])
    with pytest.raises(ImageError, match="plane 1 of 1"):
        read(path)


def test_ome_data_set_with_a_missing_file(tmp_path):
    uuids = ["urn:uuid:00000000-0000-0000-0000-000000000001", "urn:uuid:00000000-0000-0000-0000-000000000002"]
    data = "".join(
        f'<TiffData FirstT="{t}" FirstC="0" FirstZ="0" IFD="0" PlaneCount="1"><UUID FileName="t{t}.ome.tif">{uuid}</UUID></TiffData>'
        for t, uuid in enumerate(uuids)
    )
    xml = (
        f'<OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06" UUID="{uuids[0]}"><Image ID="Image:0"><Pixels ID="Pixels:0" '
        f'DimensionOrder="XYZCT" Type="uint16" SizeX="42" SizeY="31" SizeZ="1" SizeC="1" SizeT="2"><Channel ID="Channel:0" '
        f'SamplesPerPixel="1"/>{data}</Pixels></Image></OME>'
    )
    frames = counts(2, 31, 42)
    for t in range(2):
        tifffile.imwrite(
            tmp_path / f"t{t}.ome.tif",
            frames[t],
            description=xml.replace(f'UUID="{uuids[0]}"', f'UUID="{uuids[t]}"', 1),
            metadata=None,
            photometric="minisblack",
        )
    np.testing.assert_array_equal(read(tmp_path / "t0.ome.tif").data, frames)
    os.remove(tmp_path / "t1.ome.tif")
    with pytest.raises(ImageError, match="1 of 2 planes are missing"):
        read(tmp_path / "t0.ome.tif")


# Real files: axes and pixel sizes as listed beside them, to the digits given there


@pytest.mark.parametrize(
    ("name", "shape", "axes", "dtype", "spacing_um"),
    [
        ("stacks/confocal_line_slide.tif", (21, 150, 150), "ZYX", "u1", {"Z": 0.125, "Y": 0.022, "X": 0.022}),
        ("stacks/confocal_beads.tif", (41, 150, 150), "ZYX", "u1", {"Z": 0.125, "Y": 0.0225, "X": 0.0225}),
        ("stacks/twophoton_intravital.tif", (11, 422, 422), "ZYX", "u1", {"Z": 3.0, "Y": 0.415, "X": 0.415}),
        ("stacks/confocal_chromosomes.tif", (40, 152, 126), "ZYX", "u2", {"Z": 0.15, "Y": 0.0339, "X": 0.0339}),
        ("stacks/confocal_nuclear_envelope.tif", (14, 224, 305), "ZYX", "u1", {"Y": 0.242, "X": 0.242}),
        ("stacks/nucleus_confocal_and_widefield.tif", (45, 2, 130, 133), "ZCYX", "u2", {"Z": 0.499, "Y": 0.512, "X": 0.512}),
        ("stacks/spots_2channel.tif", (17, 2, 88, 89), "ZCYX", "u2", {"Z": 0.4, "Y": 0.094, "X": 0.094}),
        ("psf/bead_average_asymmetric.tif", (61, 32, 32), "ZYX", "u1", {"Z": 0.3, "Y": 0.3, "X": 0.3}),
        ("psf/twophoton_measured_even.tif", (9, 10, 10), "ZYX", "u1", {"Z": 3.0, "Y": 0.403, "X": 0.403}),
        ("movies/mitochondria_80nm_50f.tif", (50, 67, 74), "TYX", "u2", {"Y": 0.08, "X": 0.08}),
        ("movies/mitochondria_na1.4_80nm_100f.tif", (100, 30, 45), "ZYX", "u2", {}),  # a movie that ImageJ calls slices
        ("movies/lysosomes_129nm_50f.tif", (50, 128, 128), "TYX", "u2", {"Y": 0.129, "X": 0.129}),
        ("movies/h2b_folder/t000.tif", (190, 211), "YX", "u1", {}),
        ("single/dna_microtubules_actin_3ch.tif", (3, 350, 350), "CYX", "u2", {"Y": 0.1325, "X": 0.1325}),
        ("single/eres_noisy.tif", (512, 512), "YX", "u2", {"Y": 0.23, "X": 0.23}),
        ("single/hela_yxc.tif", (512, 672, 3), "YXC", "u2", {"Y": 0.0515, "X": 0.0515}),
        ("sim/3_mitochondria_cristae/raw_images.tif", (9, 120, 120), "ZYX", "f4", {}),
        ("formats/FOV7_HV110_P0500510000.ome.tiff", (512, 512), "YX", "u1", {}),
        ("formats/tyx_int8.ome.tif", (7, 167, 439), "TYX", "i1", {}),
    ],
)
def test_real_files(shared, name, shape, axes, dtype, spacing_um):
    image = read(shared / "realdata" / name)
    assert (image.data.shape, image.axes, image.data.dtype) == (shape, axes, np.dtype(dtype))
    assert image.spacing_um == pytest.approx(spacing_um, rel=5e-3)


@pytest.mark.parametrize(
    ("name", "axes", "shape"),
    [
        ("stacks/widefield_dapi.tif", "ZYX", (40, 201, 101)),
        ("stacks/hollow_bead.tif", "ZYX", (64, 64, 64)),
        ("psf/hollow_bead_psf.tif", "ZYX", (64, 64, 64)),
        ("psf/bead_offcentre_offset.tif", "ZYX", (61, 128, 128)),
        ("movies/stuck_probes_5f.tif", "TYX", (5, 512, 512)),
        ("sim/microtubules2_3x3.tif", "PYX", (9, 256, 256)),
    ],
)
def test_real_files_without_axes(shared, name, axes, shape):
    with pytest.raises(ImageError, match="give `axes"):
        read(shared / "realdata" / name)
    image = read(shared / "realdata" / name, axes=axes)
    assert image.data.shape == shape
    assert image.spacing_um == {}


def test_real_uncalibrated_file(shared):
    """Its header says 1 um, its authors 65 nm."""
    with pytest.warns(DataWarning, match="exactly 1 um"):
        image = read(shared / "realdata" / "sim" / "2_hela_cells_mitochondria" / "raw_images.tif")
    assert (image.data.shape, image.spacing_um) == ((9, 120, 120), {})


def test_real_file_full_of_nan(shared):
    image = read(shared / "realdata" / "psf" / "all_nan.tif", axes="ZYX")
    with pytest.raises(ImageError, match=r"0 of 922500 pixels are numbers"):
        check_restorable(image)


def test_a_z_step_says_that_nameless_planes_are_depths(tmp_path):
    path = tmp_path / "nameless.tif"
    tifffile.imwrite(path, np.zeros((5, 8, 9), np.uint16), photometric="minisblack")
    with pytest.raises(ImageError, match="ZYX"):
        read(path)
    image = read(path, z_um=0.3)
    assert (image.axes, image.spacing_um["Z"]) == ("ZYX", 0.3)
    assert read(path, axes="TYX", z_um=0.3).axes == "TYX"  # the letters win


@pytest.mark.parametrize("spectral", [True, False])
def test_a_spectrum_of_lsm_is_named(tmp_path, monkeypatch, spectral):
    path = tmp_path / "a.lsm"
    tifffile.imwrite(path, counts(4, 9, 13), metadata={"axes": "CYX"}, photometric="minisblack")
    monkeypatch.setattr(tifffile.TiffFile, "lsm_metadata", {"SpectralScan": int(spectral)})
    with tifffile.TiffFile(path) as tif:
        tif.series[0].kind = "lsm"
        if not spectral:
            assert tiff_reader._of_series(path, tif, 0, tif.series[0], Statements()).axes == "CYX"
            return
        with pytest.warns(DataWarning, match=r"a.lsm: '.*': a scan of wavelengths; give axes with C for them"):
            source = tiff_reader._of_series(path, tif, 0, tif.series[0], Statements())
    with pytest.raises(ImageError, match="the file does not say what the 4 planes"):
        describe("a.lsm", source, Options())
    assert describe("a.lsm", source, Options(axes="CYX")).axes == "CYX"
