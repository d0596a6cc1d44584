"""ND2: a real file against the makers' reader; positions, lost frames and colours with a stand-in for the library's file."""

from types import SimpleNamespace

import numpy as np
import pytest

from zsdeconv.errors import DataWarning, ImageError
from zsdeconv.io import read, scene_names
from zsdeconv.io.readers import scenes

nd2 = pytest.importorskip("nd2")
HEAD = b"\xda\xce\xbe\x0a" + bytes(60)


class File:
    """A file of two positions, three times and two channels, as the library describes it."""

    sizes = {"T": 3, "P": 2, "C": 2, "Y": 9, "X": 11}  # noqa: RUF012
    dtype = np.dtype(np.uint16)
    recorded = 6
    period_ms = 2500.0
    emission_nm = (525.0, 600.0)
    excitation_nm = (None, None)
    text_info = {}  # noqa: RUF012
    loop_indices = tuple({"T": t, "P": p} for t in range(3) for p in range(2))
    _rdr = SimpleNamespace()
    changes = ({}, {})
    """What differs between the microscopes of the channels."""

    def __init__(self, path):
        self.attributes = SimpleNamespace(sequenceCount=self.recorded, widthBytes=22, heightPx=9, compressionType="lossless")
        places = [SimpleNamespace(name=name, stagePositionUm=(1.0 + n, 2.0, 3.0)) for n, name in enumerate(["left", "right"])]
        time = SimpleNamespace(periodMs=0.0, periodDiff=SimpleNamespace(avg=self.period_ms))
        self.experiment = [
            SimpleNamespace(type="TimeLoop", parameters=time),
            SimpleNamespace(type="XYPosLoop", parameters=SimpleNamespace(points=places)),
        ]
        volume = SimpleNamespace(axesCalibration=(0.11, 0.12, 1.0), axesCalibrated=(True, True, False))
        microscope = {
            "objectiveNumericalAperture": 1.4,
            "objectiveMagnification": 60.0,
            "zoomMagnification": 1.0,
            "immersionRefractiveIndex": 1.515,
            "pinholeDiameterUm": None,
            "modalityFlags": ["fluorescence", "spinningDiskConfocal"],
            "objectiveName": "Plan Apo 60x/1.40 Oil",
        }
        colour = SimpleNamespace(r=1, g=2, b=3)
        self.metadata = SimpleNamespace(
            channels=[
                SimpleNamespace(
                    volume=volume,
                    microscope=SimpleNamespace(**microscope | own),
                    channel=SimpleNamespace(name=name, color=colour, emissionLambdaNm=nm, excitationLambdaNm=laser),
                )
                for name, nm, laser, own in zip(("GFP", "RFP"), self.emission_nm, self.excitation_nm, self.changes, strict=True)
            ]
        )

    def __enter__(self):
        return self

    def __exit__(self, *_):
        return None

    def frame_metadata(self, number):
        return SimpleNamespace(
            channels=[SimpleNamespace(time=SimpleNamespace(absoluteJulianDayNumber=2459580.5 + number, relativeTimeMs=700.0 * number))]
        )

    def read_frame(self, number):
        return np.arange(2 * 9 * 11, dtype=np.uint16).reshape(2, 9, 11) + 1000 * number


@pytest.fixture
def file(tmp_path, monkeypatch):
    monkeypatch.setattr(nd2, "ND2File", File)
    path = tmp_path / "a.nd2"
    path.write_bytes(HEAD)
    return path


def test_positions_are_images_of_their_own(file):
    assert scene_names(file) == ["left", "right"]
    image = read(file, scene="right")
    assert image.axes == "TCYX"
    frames = [File(file).read_frame(number) for number in (1, 3, 5)]
    np.testing.assert_array_equal(image.data, np.stack(frames))
    assert image.metadata["stage_um"] == {"X": 2.0, "Y": 2.0, "Z": 3.0}
    np.testing.assert_array_equal(scenes(file)[1].read((slice(1, 2), slice(1, 2), slice(2, 5), slice(0, 4))), frames[1][None, 1:, 2:5, :4])


def test_statements(file):
    with pytest.warns(DataWarning, match="2 images in the file"):
        image = read(file)
    assert image.spacing_um == {"Y": 0.12, "X": 0.11}
    assert image.metadata["optics"] == {"na": 1.4, "immersion_ri": 1.515, "microscope": "confocal", "wavelength_nm": 525.0}
    assert image.metadata["objective"]["immersion"] == "Oil"
    assert image.metadata["channels"] == ["GFP", "RFP"]
    assert image.metadata["colours"] == [(1, 2, 3)] * 2
    assert image.metadata["emission_nm"] == [525.0, 600.0]
    assert image.metadata["interval_s"] == 2.5
    assert image.metadata["acquired"] == "2022-01-01T00:00:00+00:00"


def test_frames_that_were_not_recorded_are_refused(file, monkeypatch):
    monkeypatch.setattr(File, "recorded", 4)
    with pytest.raises(ImageError, match="4 of 6 frames were recorded"):
        read(file)


def test_frames_that_are_lost_are_refused(file, monkeypatch):
    monkeypatch.setattr(File, "_rdr", SimpleNamespace(_frame_offsets=dict.fromkeys([0, 1, 2, 4, 5], 10)))
    with pytest.raises(ImageError, match="1 of 6 frames are missing"):
        read(file)


def test_a_real_file(shared):
    path = shared / "realdata/formats/cluster.nd2"
    image = read(path)
    with nd2.ND2File(path) as file:
        np.testing.assert_array_equal(image.data, file.asarray())
    assert image.sizes == {"T": 3, "Z": 10, "C": 2, "Y": 31, "X": 38}
    assert image.spacing_um == pytest.approx({"Z": 0.5, "Y": 0.167809, "X": 0.167809}, rel=1e-5)
    assert image.metadata["optics"]["na"] == 0.95
    assert image.metadata["emission_nm"] == [525.0, 700.0]


def test_a_real_file_that_was_cut(shared, tmp_path):
    whole = (shared / "realdata/formats/cluster.nd2").read_bytes()
    for part in (200, len(whole) // 2, len(whole) - 9000):
        (tmp_path / "cut.nd2").write_bytes(whole[:part])
        with pytest.raises(ImageError, match=r"cut.nd2: damaged or cut short \(.*\), nothing was read; copy the file again"):
            read(tmp_path / "cut.nd2")


def test_the_interval_is_measured_where_none_was_set(file, monkeypatch):
    monkeypatch.setattr(File, "period_ms", 0.0)
    assert read(file, scene=1).metadata["interval_s"] == pytest.approx(1.4)  # frames 0, 2 and 4 at 0.7 s a frame


CAMERA = ["fluorescence", "camera"]
DISC = {"pinholeDiameterUm": 50.0}


def test_the_microscope_is_that_of_the_channels_with_an_emission(file, monkeypatch):
    monkeypatch.setattr(File, "changes", ({"modalityFlags": CAMERA, "objectiveNumericalAperture": 0.3}, DISC))
    monkeypatch.setattr(File, "emission_nm", (None, 512.0))
    optics = read(file, scene=1).metadata["optics"]
    assert (optics["microscope"], optics["pinhole_um"], optics["na"]) == ("confocal", 50.0, 1.4)


def test_channels_of_several_kinds_of_microscope_state_none(file, monkeypatch):
    monkeypatch.setattr(File, "changes", ({"modalityFlags": CAMERA}, {}))
    with pytest.warns(DataWarning, match=r"channels of several kinds of microscope \(confocal and unknown\); give microscope"):
        assert "microscope" not in read(file, scene=1).metadata["optics"]


def test_channels_with_different_pinholes_state_none(file, monkeypatch):
    monkeypatch.setattr(File, "changes", ({"pinholeDiameterUm": 25.0}, DISC))
    with pytest.warns(DataWarning, match=r"channels with different pinholes \(25/50 um\); give pinhole_au"):
        assert "pinhole_um" not in read(file, scene=1).metadata["optics"]


@pytest.mark.parametrize(("flag", "expected"), [("spinningDiskConfocal", 90.0), ("camera", 90.0), ("laserScanConfocal", 60.0)])
def test_the_lens_changer_magnifies_and_the_zoom_of_a_scanner_does_not(file, monkeypatch, flag, expected):
    monkeypatch.setattr(File, "changes", ({"zoomMagnification": 1.5, "modalityFlags": [flag]},) * 2)
    assert read(file, scene=1).metadata["objective"]["magnification"] == expected


@pytest.mark.parametrize(
    ("emission", "excitation", "expected"),
    [
        ((450.0, 512.0), (405.0, 405.0), None),
        ((None, 512.0), (405.0, 405.0), None),
        ((525.0, 700.0), (488.0, 561.0), [488.0, 561.0]),
        ((525.0, 525.0), (488.0, 488.0), [488.0, 488.0]),  # two detectors of one dye
        ((None, 525.0), (None, 488.0), [None, 488.0]),
    ],
)
def test_one_excitation_for_different_emissions_is_a_default(file, monkeypatch, emission, excitation, expected):
    monkeypatch.setattr(File, "emission_nm", emission)
    monkeypatch.setattr(File, "excitation_nm", excitation)
    assert read(file, scene=1).metadata.get("excitation_nm") == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Sample 1:\r\n  Exposure: 100 ms\r\n  Binning: 1x1\r\nSample 2:\r\n  Exposure: 1.5 s\r\n", [0.1, 1.5]),
        ("Exposure: 100 ms", None),
        ("Exposure: 100 ms Exposure: 3 lines", None),
        ("", None),
    ],
)
def test_exposures_are_those_of_the_cameras_description(file, monkeypatch, text, expected):
    monkeypatch.setattr(File, "text_info", {"capturing": text})
    assert read(file, scene=1).metadata.get("exposure_s") == expected
