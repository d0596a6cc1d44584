"""LIF: series, tiles, and scans that are no planes of y and x. Files are written from the layout of the format."""

import struct

import numpy as np
import pytest

from zsdeconv.errors import DataWarning, ImageError
from zsdeconv.image import channel_of
from zsdeconv.io import read, scene_names
from zsdeconv.io.readers import scenes

liffile = pytest.importorskip("liffile")
RNG = np.random.default_rng(7)
NUMBERS = {"X": 1, "Y": 2, "Z": 3, "T": 4, "λ": 5, "Λ": 9, "M": 10}
STEP_M = {"X": 65e-9, "Y": 70e-9, "Z": 0.3e-6, "T": 2.0, "λ": 5e-9, "Λ": 5e-9, "M": 1.0}
COMMON = 'DataType="0" ChannelTag="0" Resolution="8" NameOfMeasuredQuantity="" Min="0" Max="255" Unit="" IsLUTInverted="0" BitInc="0"'
SETTING = """<Attachment Name="HardwareSetting" DataSourceTypeName="Confocal"><ATLConfocalSettingDefinition
ObjectiveName="HC PL APO CS2    63x/1.40 OIL " NumericalAperture="1.4" RefractionIndex="1.518" Magnification="63" Immersion="OIL"
Pinhole="9.5E-05" PinholeAiry="1"/></Attachment>"""

RECORDS = """<Attachment Name="HardwareSettingList"><HardwareSetting><ScannerSetting>
<ScannerSettingRecord Identifier="SystemType" Variant="TCS SP5"/><ScannerSettingRecord Identifier="dblPinhole" Variant="9.55E-05"/>
</ScannerSetting><FilterSetting><FilterSettingRecord Attribute="NumericalAperture" Variant="1.4"/>
<FilterSettingRecord Attribute="Objective" Variant="HCX PL APO lambda blue  63.0x1.40 OIL  UV"/>{more}</FilterSetting></HardwareSetting>
</Attachment>"""


def series(name, axes, data, luts=("Green",), setting=SETTING):
    """XML of one series; its first axis is C where several look-up tables are given."""
    channels, stride = "", data.itemsize
    if len(luts) > 1:
        size = data[0].nbytes
        for number, lut in enumerate(luts):
            channels += f'<ChannelDescription {COMMON} LUTName="{lut}" BytesInc="{number * size}"/>'
    else:
        channels = f'<ChannelDescription {COMMON} LUTName="{luts[0]}" BytesInc="0"/>'
    dimensions = ""
    lengths = dict(zip(axes, data.shape, strict=True))
    for axis in reversed([axis for axis in axes if axis != "C"]):
        n = lengths[axis]
        dimensions += (
            f'<DimensionDescription DimID="{NUMBERS[axis]}" NumberOfElements="{n}" Origin="0" Length="{STEP_M[axis] * (n - 1)}" '
            f'Unit="m" BitInc="0" BytesInc="{stride}"/>'
        )
        stride *= n
    return (
        f'<Element Name="{name}"><Data><Image><ImageDescription><Channels>{channels}</Channels><Dimensions>{dimensions}</Dimensions>'
        f'</ImageDescription>{setting}</Image></Data><Memory Size="{data.nbytes}" MemoryBlockID="Mem_{name}"/></Element>'
    )


def write(path, images):
    """A LIF file of (name, axes, data, tables)."""
    children = "".join(series(*image) for image in images)
    xml = f'<LMSDataContainerHeader Version="2"><Element Name="made"><Children>{children}</Children></Element></LMSDataContainerHeader>'
    text = xml.encode("utf-16-le")
    parts = [struct.pack("<iicI", 0x70, 5 + len(text), b"*", len(xml)), text]
    for name, _, data, *_ in images:
        block = f"Mem_{name}"
        parts += [struct.pack("<iicQcI", 0x70, 14 + 2 * len(block), b"*", data.nbytes, b"*", len(block)), block.encode("utf-16-le")]
        parts.append(data.tobytes())
    path.write_bytes(b"".join(parts))
    return path


def pixels(*shape):
    return RNG.integers(0, 255, shape).astype(np.uint8)


def test_series_with_channels_times_and_depths(tmp_path):
    data = pixels(2, 3, 9, 13)
    movie = pixels(4, 11, 8)
    path = write(tmp_path / "a.lif", [("stack", "CZYX", data, ("Green", "Red")), ("movie", "TYX", movie)])
    assert scene_names(path) == ["stack", "movie"]
    image = read(path, scene="stack")
    assert sorted(image.axes) == sorted("CZYX")
    np.testing.assert_array_equal(image.transposed("CZYX").data, data)
    assert image.spacing_um == pytest.approx({"Z": 0.3, "Y": 0.07, "X": 0.065})
    assert image.metadata["colours"] == [(0, 255, 0), (255, 0, 0)]
    assert image.metadata["optics"] == {"na": 1.4, "immersion_ri": 1.518, "microscope": "confocal", "pinhole_au": 1.0}
    assert image.metadata["objective"]["immersion"] == "Oil"
    other = read(path, scene=2)
    np.testing.assert_array_equal(other.data, movie)
    assert other.metadata["interval_s"] == pytest.approx(2.0)
    np.testing.assert_array_equal(scenes(path)[1].read((slice(1, 3), slice(2, 9), slice(0, 5))), movie[1:3, 2:9, :5])


def test_an_xz_scan_does_not_pass_for_a_plane(tmp_path):
    data = pixels(9, 13)
    path = write(tmp_path / "a.lif", [("xz", "ZX", data)])
    with (
        pytest.warns(DataWarning, match="a.lif: 'xz': a scan without y, whose rows are depths or times; give axes with Y"),
        pytest.raises(ImageError, match="the file does not say what the 9 planes"),
    ):
        read(path)
    with pytest.warns(DataWarning, match="a scan without y"):
        image = read(path, axes="YX")
    np.testing.assert_array_equal(image.data, data)
    assert image.spacing_um == pytest.approx({"Y": 0.3, "X": 0.065})


def test_a_scan_of_wavelengths_is_named(tmp_path):
    path = write(tmp_path / "a.lif", [("spectrum", "λYX", pixels(5, 9, 13))])
    with (
        pytest.warns(DataWarning, match="'spectrum': a scan of wavelengths; give axes with C for them"),
        pytest.raises(ImageError, match="the file does not say what the 5 planes"),
    ):
        read(path)
    with pytest.warns(DataWarning, match="a scan of wavelengths"):
        assert read(path, axes="CYX").sizes == {"C": 5, "Y": 9, "X": 13}


def test_the_windows_of_a_spectrum_are_the_wavelengths_of_its_channels(tmp_path):
    scan = '<LambdaDefinition LambdaDetectionBandWidth="4" LambdaDetectionBandWidthModeName="ConstantBandWidth"/>'
    setting = f'<Attachment Name="HardwareSetting"><ATLConfocalSettingDefinition>{scan}</ATLConfocalSettingDefinition></Attachment>'
    path = write(tmp_path / "a.lif", [("spectrum", "λYX", pixels(5, 9, 13), ("Green",), setting)])
    with pytest.warns(DataWarning, match="a scan of wavelengths"):
        image = read(path, axes="CYX")
    assert image.metadata["emission_nm"] == [2.0, 7.0, 12.0, 17.0, 22.0]  # windows from 0 in steps of 5 nm
    assert "colours" not in image.metadata and "channels" not in image.metadata
    path = write(tmp_path / "b.lif", [("spectrum", "ΛYX", pixels(5, 9, 13), ("Green",), setting)])
    with pytest.warns(DataWarning, match="a scan of wavelengths"):
        image = read(path, axes="CYX")
    assert image.metadata["excitation_nm"] == [None, 5.0, 10.0, 15.0, 20.0]


def test_tiles_are_images_of_their_own(tmp_path):
    data = pixels(3, 9, 13)
    path = write(tmp_path / "a.lif", [("grid", "MYX", data)])
    assert scene_names(path) == ["grid, tile 1", "grid, tile 2", "grid, tile 3"]
    np.testing.assert_array_equal(read(path, scene=3).data, data[2])


def test_tiles_know_the_position_of_the_stage(tmp_path):
    tiles = [f'<Tile FieldX="{n}" FieldY="0" PosX="{n}e-4" PosY="2.5e-4"/>' for n in range(3)]
    tiles[2] = '<Tile PosX="2e-4" PosY="2.5e-4" PosZ="-2e-08"/>'

    def stages(given):
        info = f'<Attachment Name="TileScanInfo">{"".join(given)}</Attachment>'
        path = write(tmp_path / "a.lif", [("grid", "MYX", pixels(3, 9, 13), ("Green",), info + SETTING)])
        return [read(path, scene=number).metadata.get("stage_um") for number in (1, 2, 3)]

    first, second, third = stages(tiles)
    assert (first, second) == ({"X": 0.0, "Y": 250.0}, pytest.approx({"X": 100.0, "Y": 250.0}))
    assert third == pytest.approx({"X": 200.0, "Y": 250.0, "Z": -0.02})
    assert stages(tiles[:2]) == [None] * 3


def test_a_file_that_was_cut(tmp_path):
    path = write(tmp_path / "a.lif", [("plane", "YX", pixels(90, 130))])
    whole = path.read_bytes()
    for part in (17, 300, len(whole) - 2000):
        path.write_bytes(whole[:part])
        with pytest.raises(ImageError, match=r"a.lif: damaged or cut short"):
            read(path)


def test_a_real_file(shared):
    path = shared / "realdata/formats/xz-example.lif"
    with pytest.warns(DataWarning, match="'xzt', 'xz': a scan without y"):
        image = read(path, scene="xzy")
    with liffile.LifFile(path) as file:
        np.testing.assert_array_equal(image.data, file.images["xzy"].asarray())
    assert image.sizes == {"Y": 23, "C": 2, "Z": 128, "X": 128}
    assert (image.metadata["channels"], image.metadata["emission_nm"]) == (["FITC", "TRITC"], [517.0, 659.2])
    assert image.spacing_um == pytest.approx({"Z": 0.140279, "Y": 0.229061, "X": 0.140280}, rel=1e-5)


def test_an_open_pinhole_is_no_confocal_scan(tmp_path):
    path = write(tmp_path / "a.lif", [("plane", "YX", pixels(9, 13))])
    assert read(path).metadata["optics"]["microscope"] == "confocal"
    wide = path.read_bytes().replace('PinholeAiry="1"'.encode("utf-16-le"), 'PinholeAiry="9"'.encode("utf-16-le"))
    path.write_bytes(wide)
    assert read(path).metadata["optics"]["pinhole_au"] == 9.0
    assert "microscope" not in read(path).metadata["optics"]


def test_a_pinhole_in_micrometres_alone_is_told_and_not_taken(tmp_path):
    setting = SETTING.replace(' PinholeAiry="1"', "")
    path = write(tmp_path / "a.lif", [("plane", "YX", pixels(9, 13), ("Green",), setting)])
    what = "'plane': a pinhole of 95 um without the magnification in the scan head; it is not taken; give microscope and pinhole_au"
    with pytest.warns(DataWarning, match=what):
        image = read(path)
    assert image.metadata["optics"] == {"na": 1.4, "immersion_ri": 1.518}


def test_each_channel_has_the_pinhole_at_its_own_wavelength(shared):
    path = shared / "realdata/formats/xz-example.lif"
    with pytest.warns(DataWarning, match="a scan without y"):
        image = read(path, scene="xzy")
    stated_au = 0.804818919719259  # at 580 nm, beside it
    assert image.metadata["pinholes_au"] == pytest.approx([stated_au * 580 / 517.0, stated_au * 580 / 659.2])
    assert image.metadata["optics"]["pinhole_au"] == image.metadata["pinholes_au"][0]
    assert channel_of(image, 1).metadata["optics"]["pinhole_au"] == image.metadata["pinholes_au"][1]
    assert "pinhole_um" not in image.metadata["optics"]


def test_settings_of_older_software_are_records(tmp_path):
    path = write(tmp_path / "a.lif", [("plane", "YX", pixels(9, 13), ("Green",), RECORDS.format(more=""))])
    with pytest.warns(DataWarning, match="'plane': a pinhole of 95.5 um without the magnification in the scan head"):
        image = read(path)
    assert image.metadata["optics"] == {"na": 1.4}
    objective = {"model": "HCX PL APO lambda blue 63.0x1.40 OIL UV", "magnification": 63.0, "na": 1.4, "immersion": "Oil"}
    assert image.metadata["objective"] == objective
    other = '<FilterSettingRecord Attribute="NumericalAperture" Variant="0.7"/><FilterSettingRecord Attribute="Objective" Variant="20x"/>'
    path = write(tmp_path / "b.lif", [("plane", "YX", pixels(9, 13), ("Green",), RECORDS.format(more=other))])
    with pytest.warns(DataWarning, match="a pinhole of"):
        assert "optics" not in read(path).metadata
