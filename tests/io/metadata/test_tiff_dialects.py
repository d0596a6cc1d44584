"""Dialects of TIFF: headers of vendors, ImageJ, shape JSON, Micro-Manager, resolution tags."""

import json
from fractions import Fraction
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
import tifffile

from zsdeconv.errors import DataWarning
from zsdeconv.io import read
from zsdeconv.io.metadata import tiff_dialects
from zsdeconv.io.metadata.statements import Statements, settled

RNG = np.random.default_rng(0)


def counts(*shape: int) -> np.ndarray:
    return RNG.integers(90, 400, shape, dtype=np.uint16)


def of_header(dialect: str, **headers: Any) -> Statements:
    """Statements of a file of which only the vendor's header matters."""
    said = Statements()
    getattr(tiff_dialects, dialect)(cast(Any, SimpleNamespace(**headers)), said)
    return said


def spacing_um(said: Statements) -> dict[str, float]:
    return settled("a.tif", said, "ZYX", silent="ZYX").spacing_um


def test_lsm_states_metres_channels_and_its_objective():
    sizes = {"VoxelSizeX": 6.5e-8, "VoxelSizeY": 7e-8, "VoxelSizeZ": 3e-7}
    more = {
        "ScanInformation": {"Objective": "Plan-Apochromat 63x/1.40 Oil DIC M27"},
        "ChannelColors": {"ColorNames": ["Ch1"], "Colors": [[0, 255, 0, 0]]},
    }
    said = of_header("_lsm", is_lsm=True, lsm_metadata=sizes | more)
    assert spacing_um(said) == pytest.approx({"Z": 0.3, "Y": 0.07, "X": 0.065})
    metadata = settled("a.lsm", said, "YX").metadata
    assert metadata["optics"] == {"na": 1.4, "microscope": "confocal"}
    assert metadata["objective"]["magnification"] == 63
    assert (metadata["channels"], metadata["colours"]) == (["Ch1"], [(0, 255, 0)])
    assert spacing_um(of_header("_lsm", is_lsm=True, lsm_metadata=sizes | {"VoxelSizeZ": 0.0})) == pytest.approx({"Y": 0.07, "X": 0.065})


def lsm(tracks=(), channels=3, **more: Any) -> Statements:
    header = {"DimensionChannels": channels, "ScanInformation": {"Tracks": list(tracks), "Sample0time": 42888.65120}}
    return of_header("_lsm", is_lsm=True, lsm_metadata=header | more)


def test_lsm_states_bands_in_metres_and_its_date_in_days():
    bands = np.array([[4.9221e-7, 5.505e-7], [4.1e-7, 5.85e-7], [-1.0, -1.0]])
    assert lsm(ChannelWavelength=bands).first("emission_nm") == [521.4, None, None]  # the second is wider than the light of a dye
    assert lsm(ChannelWavelength=bands[:2]).first("emission_nm") is None
    assert lsm().first("acquired") == "2017-06-02T15:37:43"
    assert lsm(ScanInformation={"Sample0time": 0.0}).first("acquired") is None
    assert lsm(ScanInformation={"Sample0time": 1e9}).first("acquired") is None


@pytest.mark.parametrize(
    ("lasers", "expected"),
    [
        ([[(405.0, 1)], [(488.0, 1), (514.0, 0)], [(543.0, 1)]], [405.0, 488.0, 543.0]),
        ([[(488.00000000000006, 1)], [(488.0, 1)]], [488.0, 488.0, 488.0]),
        ([[(405.0, 1)], [(561.0, 1)]], None),
        ([[(405.0, 1), (488.0, 1), (561.0, 1)]], None),
        ([[(488.0, 0)]], None),
        ([], None),
    ],
)
def test_lasers_of_lsm_are_stated_where_they_belong_to_one_channel_each(lasers, expected):
    tracks = [{"Acquire": 1, "IlluminationChannels": [{"Wavelength": nm, "Aquire": on} for nm, on in track]} for track in lasers]
    unused = {"Acquire": 0, "IlluminationChannels": [{"Wavelength": 633.0, "Aquire": 1}]}
    assert lsm([*tracks, unused]).first("excitation_nm") == expected


def test_stk_states_its_unit():
    header = {"XCalibration": Fraction(65), "YCalibration": Fraction(70), "CalibrationUnits": "nm", "ZDistance": [300.0, 300.0]}

    def stk(**more: Any) -> dict[str, float]:
        return spacing_um(of_header("_stk", is_stk=True, stk_metadata=header | more))

    assert stk() == pytest.approx({"Z": 0.3, "Y": 0.07, "X": 0.065})
    assert stk(ZDistance=[0.0]) == pytest.approx({"Y": 0.07, "X": 0.065})
    assert stk(CalibrationUnits="pixel") == {}
    assert stk(SpatialCalibration=0) == {}


STAMPS = np.array(["2022-08-18T13:49:34.528", "2022-08-18T13:49:35.392", "2022-08-18T13:49:36.528"], "datetime64[ns]")


@pytest.mark.parametrize(
    ("more", "interval_s"),
    [
        ({"ZDistance": np.zeros(3)}, 1.0),
        ({}, 1.0),
        ({"ZDistance": np.full(3, 0.3)}, None),
        ({"DatetimeCreated": STAMPS[[0, 2, 1]]}, None),
        ({"DatetimeCreated": STAMPS[:1]}, None),
    ],
)
def test_stk_states_its_times_without_a_calibration_too(more, interval_s):
    said = of_header("_stk", is_stk=True, stk_metadata={"CalibrationUnits": "", "DatetimeCreated": STAMPS} | more)
    assert said.first("acquired") == "2022-08-18T13:49:34"
    assert said.first("interval_s") == (None if interval_s is None else pytest.approx(interval_s))
    assert of_header("_stk", is_stk=True, stk_metadata={"DatetimeCreated": None}).first("acquired") is None


@pytest.mark.parametrize(
    ("texts", "expected"),
    [
        (["Exposure: 200 ms\r\nBinning: 1 x 1"] * 2, [0.2]),
        (["Exposure: 200 ms", "Exposure: 20 ms"], None),
        (["Exposure: 200 ms", ""], None),
        (["Exposure: 3 lines"], None),
        ([], None),
    ],
)
def test_the_exposure_of_stk_is_that_of_all_planes(texts, expected):
    assert of_header("_stk", is_stk=True, stk_metadata={"PlaneDescriptions": texts}).first("exposure_s") == expected


def test_metamorph_states_size_and_objective():
    plane = {"spatial-calibration-x": 0.065, "spatial-calibration-y": 0.07, "spatial-calibration-units": "um", "wavelength": 525.0}
    plane |= {"_MagNA_": 1.4, "_MagRI_": 1.515, "spatial-calibration-state": True, "image-name": "GFP"}
    said = of_header("_metamorph", is_metaseries=True, metaseries_metadata={"PlaneInfo": plane})
    taken = settled("a.tif", said, "YX")
    assert taken.spacing_um == {"Y": 0.07, "X": 0.065}
    assert taken.metadata["optics"] == {"na": 1.4, "immersion_ri": 1.515, "wavelength_nm": 525.0}


@pytest.mark.parametrize(
    ("name", "facts"),
    [
        ("CFI Plan Apo Lambda 100x/1.45 oil", {"magnification": 100.0, "na": 1.45, "immersion": "Oil"}),
        ("HC PL APO 20x/0.75", {"magnification": 20.0, "na": 0.75}),
        ("C-Apochromat 40x/1.2 W Korr", {"magnification": 40.0, "na": 1.2, "immersion": "Water"}),
        ("unknown", {}),
        ("", {}),
    ],
)
def test_names_of_objectives(name, facts):
    found = tiff_dialects.facts_of_objective(name)
    assert found.pop("objective_model", "") == name
    assert found == facts


@pytest.mark.parametrize(
    ("unit", "spacing", "expected"),
    [("micron", -0.3, 0.3), ("\\u03BCm", 0.3, 0.3), ("dm", 0.000003, 0.3), ("nm", 300, 0.3), ("mm", 0.0003, 0.3)],
)
def test_imagej_units(tmp_path, unit, spacing, expected):
    per_unit = 1 / 0.065 * {"micron": 1, "\\u03BCm": 1, "dm": 1e5, "nm": 1e-3, "mm": 1e3}[unit]
    path = tmp_path / "a.tif"
    metadata = {"axes": "ZYX", "unit": "x", "spacing": spacing}
    tifffile.imwrite(path, counts(5, 31, 42), imagej=True, resolution=(per_unit, per_unit), metadata=metadata)
    _replace_description(path, "unit=x", f"unit={unit}")
    assert read(path).spacing_um == pytest.approx({"Z": expected, "Y": 0.065, "X": 0.065}, rel=1e-3)


def _replace_description(path, old: str, new: str) -> None:
    with tifffile.TiffFile(path) as tif:
        text = tif.pages.first.description
    tifffile.tiffcomment(path, text.replace(old, new))


def test_imagej_in_inches_is_a_print(tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", counts(31, 42), imagej=True, resolution=(26, 26), metadata={"axes": "YX", "unit": "inch"})
    with pytest.warns(DataWarning, match="resolution of a print"):
        assert read(tmp_path / "a.tif").spacing_um == {}


def test_imagej_keeps_interval_and_colours(tmp_path):
    green = np.zeros((3, 256), np.uint8)
    green[1] = np.arange(256)
    metadata = {"axes": "TYX", "unit": "um", "finterval": 2.5, "LUTs": [green]}
    tifffile.imwrite(tmp_path / "a.tif", counts(3, 31, 42), imagej=True, resolution=(10, 10), metadata=metadata)
    image = read(tmp_path / "a.tif")
    assert image.metadata["interval_s"] == 2.5
    assert image.metadata["colours"] == [(0, 255, 0)]
    assert image.metadata["stated_by"]["x_um"] == "ImageJ"


@pytest.mark.parametrize(
    ("described", "resolution", "expected"),
    [
        ({"spacing": 0.3, "unit": "um"}, (1 / 0.065, 1 / 0.065), {"Z": 0.3, "Y": 0.065, "X": 0.065}),
        ({"spacing": 300, "unit": "nm"}, (1 / 65, 1 / 65), {"Z": 0.3, "Y": 0.065, "X": 0.065}),
        ({"PhysicalSizeX": 65, "PhysicalSizeXUnit": "nm", "PhysicalSizeY": 0.065}, None, {"Y": 0.065, "X": 0.065}),
        ({"PhysicalSizeX": 0.1, "PhysicalSizeY": 0.2, "PhysicalSizeZ": 0.3}, None, {"Z": 0.3, "Y": 0.2, "X": 0.1}),
        ({}, None, {}),
    ],
)
def test_shape_json(tmp_path, described, resolution, expected):
    tifffile.imwrite(
        tmp_path / "a.tif", counts(3, 31, 42), metadata={"axes": "ZYX", **described}, resolution=resolution, photometric="minisblack"
    )
    assert read(tmp_path / "a.tif").spacing_um == pytest.approx(expected, rel=1e-6)


def test_json_of_another_kind_is_none(tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", counts(31, 42), metadata=None, description=json.dumps([1, 2]))
    assert read(tmp_path / "a.tif").spacing_um == {}
    tifffile.imwrite(tmp_path / "b.tif", counts(31, 42), metadata=None, description="{half")
    assert read(tmp_path / "b.tif").axes == "YX"


def test_micromanager_summary_where_the_xml_is_silent():
    summary = {"PixelSize_um": 0.065, "z-step_um": -0.3, "ChNames": ["DAPI", "GFP"], "ChColors": [255, 65280], "Interval_ms": 500.0}
    said = of_header("_micromanager", is_micromanager=True, micromanager_metadata={"Summary": summary})
    taken = settled("a.tif", said, "ZCYX")
    assert taken.spacing_um == {"Z": 0.3, "Y": 0.065, "X": 0.065}
    assert taken.metadata["channels"] == ["DAPI", "GFP"]
    assert taken.metadata["colours"] == [(0, 0, 255), (0, 255, 0)]
    assert taken.metadata["interval_s"] == 0.5
    uncalibrated = of_header("_micromanager", is_micromanager=True, micromanager_metadata={"Summary": {"PixelSize_um": 0.0}})
    assert settled("a.tif", uncalibrated, "YX").spacing_um == {}
