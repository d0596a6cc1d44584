"""CZI: scenes, mosaics, colours, and what the XML states. Files are written by the makers' library, and real ones are compared."""

from xml.etree import ElementTree

import numpy as np
import pytest

from zsdeconv.errors import DataWarning, ImageError
from zsdeconv.io import described, read, scene_names
from zsdeconv.io.formats import zeiss
from zsdeconv.io.metadata.czi_xml import czi_statements, image_of, processed_airyscan, sheared
from zsdeconv.io.metadata.czi_xml import scene_names as names_of_scenes
from zsdeconv.io.readers import scenes

czi = pytest.importorskip("pylibCZIrw.czi")
RNG = np.random.default_rng(5)


def write(path, planes, *, scale_m=(65e-9, 70e-9, 0.3e-6), names=None):
    """A file of (pixels, where, scene, place) with pixel sizes along x, y, z."""
    with czi.create_czi(str(path)) as document:
        for pixels, plane, scene, place in planes:
            document.write(pixels[..., None] if pixels.ndim == 2 else pixels, plane=plane, scene=scene, location=place)
        document.write_metadata("made", channel_names=names, scale_x=scale_m[0], scale_y=scale_m[1], scale_z=scale_m[2])
    return path


def stack(shape=(2, 2, 3, 11, 17), scene=0, place=(0, 0)):
    data = RNG.integers(0, 4000, shape).astype(np.uint16)
    where = [(t, c, z) for t in range(shape[0]) for c in range(shape[1]) for z in range(shape[2])]
    return data, [(data[t, c, z], {"T": t, "C": c, "Z": z}, scene, place) for t, c, z in where]


def test_axes_pixels_and_sizes(tmp_path):
    data, planes = stack()
    path = write(tmp_path / "a.czi", planes, names={0: "DAPI", 1: "Alexa 568"})
    image = read(path)
    assert image.axes == "TCZYX"
    np.testing.assert_array_equal(image.data, data)
    assert image.spacing_um == {"Z": 0.3, "Y": 0.07, "X": 0.065}
    assert image.metadata["channels"] == ["DAPI", "Alexa 568"]
    assert image.metadata["stated_by"]["x_um"] == "CZI"
    region = (slice(1, 2), slice(0, 1), slice(1, 3), slice(3, 10), slice(2, 9))
    np.testing.assert_array_equal(scenes(path)[0].read(region), data[region])


def test_a_scan_of_one_line_does_not_pass_for_a_movie(tmp_path, monkeypatch):
    data, planes = stack((5, 2, 1, 1, 17))
    path = write(tmp_path / "a.czi", planes)
    assert read(path).sizes == {"T": 5, "C": 2, "Y": 1, "X": 17}  # one line of a camera
    monkeypatch.setattr(zeiss, "scans_lines", lambda root: True)
    with (
        pytest.warns(DataWarning, match="a.czi: 'scene 1': a scan without y, whose rows are depths or times; give axes with Y"),
        pytest.raises(ImageError, match="the file does not say what the 5 planes"),
    ):
        read(path)
    with pytest.warns(DataWarning, match="a scan without y"):
        image = read(path, axes="YCX")
        source = scenes(path)[0]
    np.testing.assert_array_equal(image.data, data[:, :, 0, 0])
    np.testing.assert_array_equal(source.read((slice(1, 3), slice(0, 1), slice(4, 9))), data[1:3, :1, 0, 0, 4:9])


def test_the_pixel_size_of_a_scan_of_one_line_is_that_along_x():
    items = "".join(f"<Distance Id='{axis}'><Value>6.5E-08</Value></Distance>" for axis in "XYZ")
    mode = "<Channel><LaserScanInfo><ScanningMode>Line</ScanningMode></LaserScanInfo></Channel>"
    text = f"""<ImageDocument><Metadata><Scaling><Items>{items}</Items></Scaling><Information><Image><SizeY>1</SizeY>
    <Dimensions><Channels>{mode}</Channels></Dimensions></Image></Information></Metadata></ImageDocument>"""

    def sizes(document):
        return [entry.quantity for entry in czi_statements(ElementTree.fromstring(document), [0]) if entry.quantity.endswith("_um")]

    assert sizes(text) == ["x_um", "z_um"]
    assert sizes(text.replace("Line", "Frame")) == sizes(text.replace("<SizeY>1", "<SizeY>7")) == ["x_um", "y_um", "z_um"]


def test_a_single_plane_has_two_axes(tmp_path):
    _, planes = stack((1, 1, 1, 9, 13))
    assert read(write(tmp_path / "a.czi", planes)).axes == "YX"


def test_scenes_are_images_of_their_own(tmp_path):
    one, first = stack((1, 1, 2, 11, 17), 0, (0, 0))
    two, second = stack((1, 1, 2, 9, 12), 1, (100, 50))
    path = write(tmp_path / "a.czi", first + second)
    assert len(scene_names(path)) == 2
    with pytest.raises(ImageError, match="2 images of different sizes"):
        read(path)
    np.testing.assert_array_equal(read(path, scene=1).data, one[0, 0])
    np.testing.assert_array_equal(read(path, scene=2).data, two[0, 0])


def test_a_mosaic_is_joined_and_told(tmp_path):
    left, right = (RNG.integers(1, 4000, (9, 12)).astype(np.uint16) for _ in range(2))
    path = write(tmp_path / "a.czi", [(left, {"C": 0}, 0, (0, 0)), (right, {"C": 0}, 0, (12, 2))])
    with pytest.warns(DataWarning, match=r"a.czi: .*: a mosaic, its tiles are joined at their stage positions; look for seams and gaps"):
        image = read(path)
    assert image.sizes == {"Y": 11, "X": 24}
    np.testing.assert_array_equal(image.data[:9, :12], left)
    np.testing.assert_array_equal(image.data[2:, 12:], right)


def test_colours_are_refused_unless_axes_are_given(tmp_path):
    pixels = RNG.integers(0, 255, (9, 13, 3)).astype(np.uint8)
    path = write(tmp_path / "a.czi", [(pixels, {"C": 0}, 0, (0, 0))])
    with pytest.raises(ImageError, match=r"RGB colours \(3 samples a pixel\), one intensity is needed"):
        read(path)
    np.testing.assert_array_equal(read(path, axes="YXC").data, pixels[..., ::-1])  # stored as blue, green, red


def test_sizes_of_zero_are_not_believed(tmp_path):
    _, planes = stack((1, 1, 2, 9, 13))
    path = write(tmp_path / "a.czi", planes, scale_m=(0, 0, 0))
    with pytest.warns(DataWarning, match=r"of 0 um \(CZI\) is ignored"):
        assert read(path).spacing_um == {}


def test_planes_that_were_not_recorded_are_told_when_the_image_is_read(tmp_path):
    _, planes = stack((1, 2, 3, 9, 13))
    path = write(tmp_path / "a.czi", planes[:-1])
    assert described(path).sizes["Z"] == 3
    with pytest.raises(ImageError, match="5 of 6 planes are present"):
        read(path)


DOCUMENT = """<ImageDocument><Metadata><Information><Image>
<AcquisitionDateAndTime>2020-02-12T09:41:02Z</AcquisitionDateAndTime>
<Dimensions><Channels>
<Channel Id="Channel:0" Name="far"><ExcitationWavelength>640</ExcitationWavelength><EmissionWavelength>668</EmissionWavelength>
<Color>#FFFF7E00</Color><ExposureTime>50000000</ExposureTime><AcquisitionMode>SpinningDiskConfocal</AcquisitionMode>
<PinholeSizeAiry>1.2</PinholeSizeAiry></Channel>
<Channel Id="Channel:1"><Fluor>Hoechst</Fluor><EmissionWavelength>what</EmissionWavelength></Channel></Channels>
<T><Positions><List><Offsets>0 2 4.4</Offsets></List></Positions></T>
<Z><ZAxisShear>Skew60</ZAxisShear></Z>
<S><Scenes><Scene Index="0" Name="B2"/><Scene Index="1" Name="B3"/></Scenes></S></Dimensions>
<ObjectiveSettings><RefractiveIndex>1.33</RefractiveIndex><Medium>Water</Medium><ObjectiveRef Id="Objective:2"/></ObjectiveSettings></Image>
<Instrument><Objectives><Objective Id="Objective:1" Name="5x"><LensNA>0.16</LensNA></Objective>
<Objective Id="Objective:2"><LensNA>1.2</LensNA><NominalMagnification>50</NominalMagnification><Immersion>Water</Immersion>
<Manufacturer><Model>LD C-Apochromat 50x/1.2</Model></Manufacturer></Objective></Objectives></Instrument>
</Information></Metadata></ImageDocument>"""


def test_the_objective_is_the_one_that_was_used():
    said = czi_statements(ElementTree.fromstring(DOCUMENT), [0, 1])
    stated = {entry.quantity: entry.value for entry in said}
    assert stated["na"] == 1.2
    assert stated["magnification"] == 50
    assert stated["objective_model"] == "LD C-Apochromat 50x/1.2"
    assert (stated["immersion"], stated["immersion_ri"], stated["medium"]) == ("Water", 1.33, "Water")
    assert czi_statements(ElementTree.fromstring(DOCUMENT.replace('<ObjectiveRef Id="Objective:2"/>', "")), [0]).first("na") is None


def test_channels_and_times():
    said = czi_statements(ElementTree.fromstring(DOCUMENT), [0, 1])
    assert said.first("channels") == ["far", "Hoechst"]
    assert said.first("colours") == [(255, 126, 0), None]
    assert said.first("emission_nm") == [668, None]
    assert said.first("exposure_s") == [0.05, None]
    assert said.first("microscope") == "confocal"
    assert said.first("pinhole_au") == 1.2
    assert said.first("times_s") == [0, 2, 4.4]
    assert said.first("interval_s") == pytest.approx(2.2)
    assert said.first("acquired") == "2020-02-12T09:41:02Z"
    assert czi_statements(ElementTree.fromstring(DOCUMENT), [1]).first("channels") == ["Hoechst"]


@pytest.mark.parametrize(
    ("stated", "expected"),
    [
        ("<EmissionWavelength>571</EmissionWavelength><DetectionWavelength><Ranges>500-600</Ranges></DetectionWavelength>", 571.0),
        ("<DetectionWavelength><Ranges>499.616-599.392</Ranges></DetectionWavelength>", 549.5),
        ("<DetectionWavelength><Ranges>415-735</Ranges></DetectionWavelength>", None),
        ("<DetectionWavelength><Ranges>404-406,487-489</Ranges></DetectionWavelength>", None),
        ("<DetectionWavelength><Ranges>500-510</Ranges><Ranges>600-610</Ranges></DetectionWavelength>", None),
        ("<DetectionWavelength><Ranges>none</Ranges></DetectionWavelength>", None),
        ("<DetectionWavelength><Ranges/></DetectionWavelength>", None),
        ("", None),
    ],
)
def test_the_emission_is_the_middle_of_the_only_band(stated, expected):
    assert czi_statements(of_channels(stated), [0]).first("emission_nm") == (None if expected is None else [expected])


@pytest.mark.parametrize(
    ("lasers", "expected"), [(["488"], [488.0]), (["488", "561"], None), ([""], None), (["488", ""], None), ([], None)]
)
def test_the_excitation_is_that_of_the_only_light_source(lasers, expected):
    sources = "".join(f"<LightSourceSettings><Wavelength>{nm}</Wavelength></LightSourceSettings>" for nm in lasers)
    root = of_channels(f"<LightSourcesSettings>{sources}</LightSourcesSettings>")
    assert czi_statements(root, [0]).first("excitation_nm") == expected


SCANNER = "<AcquisitionMode>LaserScanningConfocalMicroscopy</AcquisitionMode>"


@pytest.mark.parametrize("kind", ["AiryScanSr2D", "AiryScanFast3D", "AiryScanRawSr"])
def test_of_an_airyscan_detector_no_pinhole_is_stated(kind):
    root = of_channels(f"{SCANNER}<ChannelType>{kind}</ChannelType><PinholeSizeAiry>2.8</PinholeSizeAiry>")
    said = czi_statements(root, [0])
    assert (said.first("microscope"), said.first("pinhole_au"), said.first("pinholes_au")) == (None, None, None)
    assert processed_airyscan(image_of(root), [0]) == ("Raw" not in kind)  # raw frames are told by their axis


def test_pinholes_are_those_of_each_channel():
    def pinholes(*stated):
        said = czi_statements(of_channels(*(f"{SCANNER}<PinholeSizeAiry>{au}</PinholeSizeAiry>" for au in stated)), range(len(stated)))
        assert said.first("microscope") == "confocal"
        return said.first("pinhole_au"), said.first("pinholes_au")

    assert pinholes("1.2") == pinholes("1.2", "1.2") == pinholes("1.2", "") == (1.2, None)
    assert pinholes("1.2", "1.5") == (None, [1.2, 1.5])


def test_channels_of_several_kinds_of_microscope_state_none(tmp_path, monkeypatch):
    wide = "<AcquisitionMode>WideField</AcquisitionMode>"
    emission = "<EmissionWavelength>525</EmissionWavelength>"
    root = of_channels(wide, SCANNER + emission)
    assert czi_statements(root, [0, 1]).first("microscope") == "confocal"  # transmitted light beside it
    root = of_channels(wide + emission, SCANNER + emission)
    assert czi_statements(root, [0, 1]).first("microscope") is None
    _, planes = stack((1, 2, 1, 9, 13))
    path = write(tmp_path / "a.czi", planes)
    monkeypatch.setattr(zeiss, "image_of", lambda _: image_of(root))
    told = r"a.czi: .*: channels of several kinds of microscope \(confocal and widefield\); give microscope, or one channel at a time"
    with pytest.warns(DataWarning, match=told):
        read(path)


def of_channels(*channels: str) -> ElementTree.Element:
    """The XML of a file in which nothing but this is said of its channels."""
    nodes = "".join(f"<Channel>{channel}</Channel>" for channel in channels)
    image = f"<Image><Dimensions><Channels>{nodes}</Channels></Dimensions></Image>"
    return ElementTree.fromstring(f"<ImageDocument><Metadata><Information>{image}</Information></Metadata></ImageDocument>")


def test_names_of_scenes_and_shear():
    root = ElementTree.fromstring(DOCUMENT)
    assert names_of_scenes(root) == {0: "B2", 1: "B3"}
    assert sheared(root) and not sheared(ElementTree.fromstring("<ImageDocument/>"))


def test_the_scan_of_an_oblique_light_sheet():
    """ "Skew60" is the angle to the detection axis; the step of the stage is that of z."""
    step = "<Scaling><Items><Distance Id='Z'><Value>4E-07</Value></Distance></Items></Scaling><Information>"
    root = ElementTree.fromstring(DOCUMENT.replace("<Information>", step, 1))
    assert czi_statements(root, [0]).first("scan") == {"angle_deg": 30.0, "step_um": 0.4}
    assert czi_statements(ElementTree.fromstring(DOCUMENT), [0]).first("scan") is None  # without a step
    for other in ("Shift60", "Skew", "Skew90", "None"):
        unlike = ElementTree.fromstring(DOCUMENT.replace("<Information>", step, 1).replace("Skew60", other))
        assert czi_statements(unlike, [0]).first("scan") is None


@pytest.mark.parametrize(
    ("name", "axes", "shape", "spacing"),
    [
        ("CellDivision_T3_Z5_CH2_X240_Y170.czi", "TCZYX", (3, 2, 5, 170, 240), {"Z": 0.32, "Y": 0.0905767, "X": 0.0905767}),
        ("CellDivision_T3_Z6_CH1_X300_Y200_DCV_ZSTD.czi", "TZYX", (3, 6, 200, 300), {"Z": 0.32, "Y": 0.0905767, "X": 0.0905767}),
        ("LLS7_small.czi", "TCZYX", (2, 2, 3, 64, 64), {"Z": 0.144992, "Y": 0.144992, "X": 0.144992}),
    ],
)
def test_real_files(shared, name, axes, shape, spacing):
    image = read(shared / "realdata/formats" / name)
    assert (image.axes, image.data.shape) == (axes, shape)
    assert image.spacing_um == pytest.approx(spacing, rel=1e-5)
    used = {"LLS7_small.czi": (1.0, 44.83)}.get(name, (1.2, 50))  # of two objectives the one for detection
    assert (image.metadata["optics"]["na"], image.metadata["objective"]["magnification"]) == used


def test_two_real_scenes_at_one_place(shared):
    path = shared / "realdata/formats/xyz__multiple_images.czi"
    with pytest.warns(DataWarning, match="2 images in the file"), pytest.warns(DataWarning, match="a processed Airyscan image"):
        first = read(path)
    with pytest.warns(
        DataWarning, match="'scene 1', 'scene 2': a processed Airyscan image, whose PSF is narrower than that of any pinhole"
    ):
        second = read(path, scene=2)
    assert first.spacing_um == pytest.approx({"Z": 0.3, "Y": 0.195644, "X": 0.195644}, rel=1e-5)
    assert not np.array_equal(first.data, second.data)
    assert set(first.metadata["optics"]) == {"na", "immersion_ri", "wavelength_nm", "excitation_nm"}  # neither kind nor pinhole
