"""OME-TIFF as programs write it: several images, several files, XML with something beside it, and XML that is wrong."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile

from zsdeconv.errors import DataWarning, ImageError
from zsdeconv.io import described, read, scene_names
from zsdeconv.io.formats import tiff_structure

RNG = np.random.default_rng(0)
SIZE = ' PhysicalSizeX="0.065" PhysicalSizeY="0.065"'


def counts(*shape: int) -> np.ndarray:
    return RNG.integers(90, 400, shape, dtype=np.uint16)


def pixels(sizes: dict[str, int], inside: str = "<TiffData/>", attributes: str = SIZE, order: str = "XYZCT") -> str:
    each = {axis: sizes.get(axis, 1) for axis in "XYZCT"}
    text = " ".join(f'Size{axis}="{n}"' for axis, n in each.items())
    return f'<Pixels ID="Pixels:0" DimensionOrder="{order}" Type="uint16" {text}{attributes}>{inside}</Pixels>'


def ome(*images: str, before: str = "", attributes: str = "") -> str:
    body = "".join(image if image.startswith("<Image") else f'<Image ID="Image:{n}">{image}</Image>' for n, image in enumerate(images))
    schema = "http://www.openmicroscopy.org/Schemas/OME/2016-06"
    return f'<?xml version="1.0" encoding="UTF-8"?><OME xmlns="{schema}"{attributes}>{before}{body}</OME>'


def tiff(path: Path, data: np.ndarray, text: str, **more: Any) -> Path:
    tifffile.imwrite(path, data, metadata=None, description=text.encode(), photometric="minisblack", **more)
    return path


def block(file: str, ifd: int = 0, uuid: str = "", **first: int) -> str:
    at = " ".join(f'First{axis}="{n}"' for axis, n in first.items())
    return f'<TiffData IFD="{ifd}" PlaneCount="1" {at}><UUID FileName="{file}">{uuid or "urn:uuid:" + file}</UUID></TiffData>'


# One file


@pytest.mark.parametrize("behind", ["", "\x01", "\n<!-- written by a microscope -->", "\0\0", " trailing text"])
@pytest.mark.parametrize("before", ["", "<!-- note -->"])
def test_whatever_stands_around_the_xml(tmp_path, before, behind):
    data = counts(31, 42)
    text = ome(pixels({"X": 42, "Y": 31})).replace("?><OME", f"?>{before}<OME")
    image = read(tiff(tmp_path / "a.ome.tif", data, text + behind))
    assert image.spacing_um == {"Y": 0.065, "X": 0.065}
    np.testing.assert_array_equal(image.data, data)


def test_xml_beside_the_shape_of_tifffile(tmp_path):
    data = counts(6, 31, 42)
    text = ome(pixels({"X": 42, "Y": 31, "Z": 6}, '<Channel ID="C" EmissionWavelength="520"/><TiffData/>', SIZE + ' PhysicalSizeZ="0.3"'))
    with tifffile.TiffWriter(tmp_path / "a.ome.tif", ome=False) as tif:
        extra = [(270, "s", 0, '{"shape": [6, 31, 42]}', True)]
        tif.write(data, description=text, extratags=extra, metadata=None, photometric="minisblack")
    image = read(tmp_path / "a.ome.tif")
    assert (image.axes, image.metadata["optics"]) == ("ZYX", {"wavelength_nm": 520.0})
    assert image.spacing_um == {"Z": 0.3, "Y": 0.065, "X": 0.065}


def test_prefixed_elements_and_older_schemas(tmp_path):
    text = ome(pixels({"X": 42, "Y": 31})).replace("xmlns=", "xmlns:OME=").replace("2016-06", "2011-06")
    for tag in ("OME", "Image", "Pixels", "TiffData"):
        text = text.replace(f"<{tag} ", f"<OME:{tag} ").replace(f"<{tag}/", f"<OME:{tag}/").replace(f"</{tag}>", f"</OME:{tag}>")
    assert read(tiff(tmp_path / "a.ome.tif", counts(31, 42), text)).spacing_um == {"Y": 0.065, "X": 0.065}


def test_damaged_xml_is_told_and_the_pixels_are_read(tmp_path):
    text = ome(pixels({"X": 42, "Y": 31})).replace("</Pixels>", "")
    with pytest.warns(DataWarning, match=r"a.ome.tif: its OME-XML is damaged .* and not read"):
        image = read(tiff(tmp_path / "a.ome.tif", counts(31, 42), text))
    assert (image.axes, image.spacing_um) == ("YX", {})


@pytest.mark.parametrize("order", ["XYZCT", "XYCZT", "XYTCZ", "XYZTC"])
def test_orders_of_dimensions(tmp_path, order):
    sizes = {"Z": 4, "C": 2, "T": 3}
    axes = "".join(reversed(order[2:]))
    data = counts(*(sizes[axis] for axis in axes), 31, 42)
    image = read(tiff(tmp_path / "a.ome.tif", data.reshape(-1, 31, 42), ome(pixels({"X": 42, "Y": 31, **sizes}, order=order))))
    assert image.axes == axes + "YX"
    np.testing.assert_array_equal(image.data, data)


def test_planes_lie_where_the_blocks_say(tmp_path):
    data = counts(4, 31, 42)
    blocks = "".join(f'<TiffData FirstZ="{z}" IFD="{3 - z}" PlaneCount="1"/>' for z in range(4))
    image = read(tiff(tmp_path / "a.ome.tif", data, ome(pixels({"X": 42, "Y": 31, "Z": 4}, blocks))))
    np.testing.assert_array_equal(image.data, data[::-1])


@pytest.mark.parametrize("axis", ["Z", "T", "C"])
def test_more_pages_than_described_are_read_along_the_only_axis_and_told(tmp_path, axis):
    data = counts(6, 31, 42)
    with pytest.warns(DataWarning, match=f"describes 3 planes, the file holds 6: all are read along {axis}"):
        image = read(tiff(tmp_path / "a.ome.tif", data, ome(pixels({"X": 42, "Y": 31, axis: 3}))))
    np.testing.assert_array_equal(image.data, data)
    both = ome(pixels({"X": 42, "Y": 31, axis: 3, "ZT"[axis == "Z"]: 2}))
    with pytest.warns(DataWarning, match="describes 6 planes, the file holds 7: the others are not read"):
        image = read(tiff(tmp_path / "b.ome.tif", counts(7, 31, 42), both))
    assert image.data.shape[:2] in [(2, 3), (3, 2)]


def test_fewer_pages_than_described_are_refused(tmp_path):
    with pytest.raises(ImageError, match="2 of 5 planes are missing"):
        read(tiff(tmp_path / "a.ome.tif", counts(3, 31, 42), ome(pixels({"X": 42, "Y": 31, "Z": 5}))))
    with pytest.raises(ImageError, match="planes are missing"):
        read(tiff(tmp_path / "b.ome.tif", counts(3, 31, 42), ome(pixels({"X": 42, "Y": 31, "Z": 5}, '<TiffData IFD="0" PlaneCount="5"/>'))))


def test_wrong_sizes_of_planes_are_told(tmp_path):
    with pytest.warns(DataWarning, match="describes planes of 30 x 42, the file has planes of 31 x 42"):
        assert read(tiff(tmp_path / "a.ome.tif", counts(31, 42), ome(pixels({"X": 42, "Y": 30})))).data.shape == (31, 42)


def test_everything_that_is_stated_about_an_image(tmp_path):
    instrument = (
        '<Instrument ID="I"><Objective ID="other" LensNA="0.5"/>'
        '<Objective ID="it\'s &quot;x&quot;" LensNA="1.4" NominalMagnification="63" Immersion="Oil" Model="Plan Apo"/></Instrument>'
    )
    channels = (
        '<Channel ID="C0" Name="DAPI &amp; co" EmissionWavelength="460" ExcitationWavelength="405" Color="65535"'
        ' AcquisitionMode="LaserScanningConfocalMicroscopy" PinholeSize="50"/>'
        '<Channel ID="C1" Name="GFP" EmissionWavelength="0.525" EmissionWavelengthUnit="\u00b5m" Color="16711935"/><TiffData/>'
        '<Plane TheZ="0" TheC="0" TheT="0" DeltaT="1.5" ExposureTime="20" ExposureTimeUnit="ms" PositionX="1" PositionXUnit="mm"/>'
    )
    settings = '<ObjectiveSettings ID="it\'s &quot;x&quot;" RefractiveIndex="1.518" Medium="Oil"/>'
    image = f'<Image ID="Image:0" Name="cell"><AcquisitionDate>2024-05-06T07:08:09</AcquisitionDate>{settings}'
    image += pixels({"X": 42, "Y": 31, "C": 2}, channels, SIZE + ' TimeIncrement="2000" TimeIncrementUnit="ms"') + "</Image>"
    metadata = read(tiff(tmp_path / "a.ome.tif", counts(2, 31, 42), ome(image, before=instrument))).metadata
    assert metadata["image_name"] == "cell"
    assert metadata["acquired"] == "2024-05-06T07:08:09"
    assert metadata["channels"] == ["DAPI & co", "GFP"]
    assert metadata["colours"] == [(0, 0, 255), (0, 255, 0)]
    assert metadata["emission_nm"] == [460.0, 525.0]
    assert metadata["excitation_nm"] == [405.0, None]
    assert metadata["exposure_s"] == [0.02, None]
    assert metadata["interval_s"] == 2.0
    assert metadata["times_s"] == [1.5]
    assert metadata["stage_um"] == {"X": 1000.0}
    assert metadata["objective"] == {"model": "Plan Apo", "magnification": 63.0, "na": 1.4, "immersion": "Oil", "medium": "Oil"}
    optics = {
        "na": 1.4,
        "immersion_ri": 1.518,
        "wavelength_nm": 460.0,
        "excitation_nm": 405.0,
        "microscope": "confocal",
        "pinhole_um": 50.0,
    }
    assert metadata["optics"] == optics


def test_planes_are_read_on_demand(tmp_path, monkeypatch):
    data = counts(2, 5, 31, 42)
    path = tiff(tmp_path / "a.ome.tif", data.reshape(-1, 31, 42), ome(pixels({"X": 42, "Y": 31, "Z": 5, "T": 2})))
    from zsdeconv.io.readers import scenes

    source = scenes(path)[0]
    region = (slice(1, 2), slice(1, 4), slice(3, 20), slice(0, 42))
    np.testing.assert_array_equal(source.read(region), data[region])
    monkeypatch.setattr(tifffile.TiffPage, "asarray", lambda *_a, **_k: pytest.fail("pixels are read"))
    assert described(path).sizes == {"T": 2, "Z": 5, "Y": 31, "X": 42}


def test_a_bomb_of_entities_is_refused_or_ignored(tmp_path):
    lines = (f'<!ENTITY {chr(98 + n)} "{("&" + chr(97 + n) + ";") * 10}">' for n in range(9))
    bomb = f'<!DOCTYPE x [<!ENTITY a "aaaaaaaaaa">{"".join(lines)}]>'
    text = ome(pixels({"X": 42, "Y": 31})).replace("?><OME", f"?>{bomb}<OME").replace('ID="Image:0"', 'ID="Image:0" Name="&j;"')
    with pytest.warns(DataWarning, match="damaged"):  # the declarations stand before the document that is read
        read(tiff(tmp_path / "a.ome.tif", counts(31, 42), text))


# Several images and files


def set_of_positions(folder: Path, um: tuple[float, ...] = (0.13, 0.065, 0.065), compression: str | None = None) -> list[np.ndarray]:
    """Files cells_Pos0.ome.tif and so on, each with the XML of all."""
    positions = [counts(31, 42) + 1000 * number for number in range(len(um))]
    images = [
        f'<Image ID="Image:{n}" Name="Pos{n}">'
        + pixels({"X": 42, "Y": 31}, block(f"cells_Pos{n}.ome.tif"), f' PhysicalSizeX="{size}" PhysicalSizeY="{size}"')
        + "</Image>"
        for n, size in enumerate(um)
    ]
    for number, data in enumerate(positions):
        name = f"cells_Pos{number}.ome.tif"
        tiff(folder / name, data, ome(*images, attributes=f' UUID="urn:uuid:{name}"'), compression=compression)
    return positions


@pytest.mark.parametrize("compression", [None, "zlib"])
def test_each_file_of_a_set_is_its_own_position(tmp_path, compression):
    positions = set_of_positions(tmp_path, compression=compression)
    for number, data in enumerate(positions):
        image = read(tmp_path / f"cells_Pos{number}.ome.tif")
        np.testing.assert_array_equal(image.data, data)
        assert image.spacing_um["X"] == (0.065 if number else 0.13)
        assert image.metadata["scene"] == f"Pos{number}"
    assert scene_names(tmp_path / "cells_Pos1.ome.tif") == ["Pos0", "Pos1", "Pos2"]
    np.testing.assert_array_equal(read(tmp_path / "cells_Pos0.ome.tif", scene="Pos2").data, positions[2])
    (tmp_path / "cells_Pos2.ome.tif").unlink()
    np.testing.assert_array_equal(read(tmp_path / "cells_Pos1.ome.tif").data, positions[1])
    with pytest.raises(ImageError, match=r"1 of 1 planes are missing \(cells_Pos2.ome.tif\)"):
        read(tmp_path / "cells_Pos1.ome.tif", scene="Pos2")


@pytest.mark.parametrize("said", ["float", "uint16"])  # the second is a lie, and the pixels count
def test_numbers_of_a_position_in_another_file_stay_as_they_are(tmp_path, said):
    fine = RNG.random((31, 42)).astype(np.float32)
    images = [f'<Image ID="Image:{n}" Name="p{n}">' + pixels({"X": 42, "Y": 31}, block(f"p{n}.ome.tif")) + "</Image>" for n in range(2)]
    images[1] = images[1].replace('Type="uint16"', f'Type="{said}"')
    tiff(tmp_path / "p0.ome.tif", counts(31, 42), ome(*images, attributes=' UUID="urn:uuid:p0.ome.tif"'))
    tiff(tmp_path / "p1.ome.tif", fine, ome(*images, attributes=' UUID="urn:uuid:p1.ome.tif"'))
    np.testing.assert_array_equal(read(tmp_path / "p0.ome.tif", scene="p1").data, fine)
    assert described(tmp_path / "p0.ome.tif", scene="p1").dtype == (np.float32 if said == "float" else np.uint16)


def test_files_of_different_sizes_in_one_set(tmp_path):
    small, large = counts(16, 18), counts(31, 42)
    images = [
        '<Image ID="Image:0" Name="overview">' + pixels({"X": 18, "Y": 16}, block("overview.ome.tif"), "") + "</Image>",
        '<Image ID="Image:1" Name="cell">' + pixels({"X": 42, "Y": 31}, block("a.ome.tif")) + "</Image>",
    ]
    tiff(tmp_path / "overview.ome.tif", small, ome(*images, attributes=' UUID="urn:uuid:overview.ome.tif"'))
    tiff(tmp_path / "a.ome.tif", large, ome(*images, attributes=' UUID="urn:uuid:a.ome.tif"'))
    np.testing.assert_array_equal(read(tmp_path / "a.ome.tif").data, large)
    np.testing.assert_array_equal(read(tmp_path / "a.ome.tif", scene="overview").data, small)


def test_planes_of_a_stack_in_files_of_their_own(tmp_path):
    data = counts(4, 31, 42)
    text = ome(pixels({"X": 42, "Y": 31, "Z": 4}, "".join(block(f"s_Z{z}.ome.tif", Z=z) for z in range(4))))
    for z in range(4):
        tiff(tmp_path / f"s_Z{z}.ome.tif", data[z], text)
    for z in (0, 3):
        np.testing.assert_array_equal(read(tmp_path / f"s_Z{z}.ome.tif").data, data)
    (tmp_path / "s_Z2.ome.tif").unlink()
    with pytest.raises(ImageError, match=r"1 of 4 planes are missing \(s_Z2.ome.tif\); are all files of the data set in one folder"):
        read(tmp_path / "s_Z0.ome.tif")
    tiff(tmp_path / "s_Z2.ome.tif", counts(9, 9), text)
    with pytest.raises(ImageError, match=r"plane 3 is uint16 of size \(9, 9\), uint16 of size \(31, 42\) is described"):
        read(tmp_path / "s_Z0.ome.tif")


def with_companion(folder: Path, name: str = "set.companion.ome", described_by: str = "set.companion.ome") -> np.ndarray:
    data = counts(3, 31, 42)
    only = f'<BinaryOnly MetadataFile="{described_by}" UUID="urn:uuid:9"/>'
    for z in range(3):
        tiff(folder / f"p{z}.ome.tif", data[z], ome(before=only, attributes=f' UUID="urn:uuid:p{z}.ome.tif"'))
    text = ome(pixels({"X": 42, "Y": 31, "Z": 3}, "".join(block(f"p{z}.ome.tif", Z=z) for z in range(3))))
    (folder / name).write_text(text, encoding="utf-8")
    return data


def test_companion_files(tmp_path):
    data = with_companion(tmp_path)
    np.testing.assert_array_equal(read(tmp_path / "p1.ome.tif").data, data)
    (tmp_path / "set.companion.ome").write_text("nonsense")
    with pytest.raises(ImageError, match="does not describe its planes"):
        read(tmp_path / "p1.ome.tif")
    (tmp_path / "set.companion.ome").write_text("<OME><Image></OME>")
    with pytest.raises(ImageError, match="which describes its planes, is damaged"):
        read(tmp_path / "p1.ome.tif")
    (tmp_path / "set.companion.ome").unlink()
    with pytest.raises(ImageError, match="which describes its planes, is missing; put it into the same folder"):
        read(tmp_path / "p1.ome.tif")


@pytest.mark.parametrize("name", ["../set.companion.ome", "/etc/passwd", "C:\\data\\a.ome", "..\\a.ome", "sub/../../a.ome", ""])
def test_names_that_lead_out_of_the_folder_are_not_followed(tmp_path, name):
    folder = tmp_path / "in"
    folder.mkdir()
    with_companion(folder, described_by=name)
    (tmp_path / "set.companion.ome").write_text(ome(pixels({"X": 42, "Y": 31})))
    with pytest.raises(ImageError, match=r"it names a file outside its folder .* which is not read"):
        read(folder / "p0.ome.tif")
    if name:
        tiff(folder / "a.ome.tif", counts(31, 42), ome(pixels({"X": 42, "Y": 31, "Z": 2}, '<TiffData IFD="0"/>' + block(name, Z=1))))
        with pytest.raises(ImageError, match="it names a file outside its folder"):
            read(folder / "a.ome.tif")


def test_a_file_that_was_renamed_is_still_itself(tmp_path):
    data = counts(31, 42)
    one = ome(pixels({"X": 42, "Y": 31}, block("old.ome.tif", uuid="urn:uuid:1")), attributes=' UUID="urn:uuid:1"')
    np.testing.assert_array_equal(read(tiff(tmp_path / "new.ome.tif", data, one)).data, data)
    tiff(tmp_path / "old.ome.tif", counts(31, 42), one.replace("urn:uuid:1", "urn:uuid:2"))  # another image with the old name
    np.testing.assert_array_equal(read(tmp_path / "new.ome.tif").data, data)
    nameless = ome(pixels({"X": 42, "Y": 31}, block("gone.ome.tif")))
    np.testing.assert_array_equal(read(tiff(tmp_path / "c.ome.tif", data, nameless)).data, data)


def test_a_file_that_shrinks_while_it_is_read(tmp_path, monkeypatch):
    path = tiff(tmp_path / "a.ome.tif", counts(3, 31, 42), ome(pixels({"X": 42, "Y": 31, "Z": 3})))
    from zsdeconv.io.readers import scenes

    source = scenes(path)[0]
    tiff(path, counts(1, 31, 42), ome(pixels({"X": 42, "Y": 31})))
    with pytest.raises(ImageError, match="damaged or cut short"):
        source.read()
    assert tiff_structure.is_tiff(path.read_bytes())
