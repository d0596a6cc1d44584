import math

import pytest

from zsdeconv.errors import DataWarning
from zsdeconv.io.metadata.statements import Statements, pinholes_of, settled


def said(**values) -> Statements:
    statements = Statements()
    statements.add("OME-XML", **values)
    return statements


@pytest.mark.parametrize("wrong", [0.0, -0.065, 0.0005, 1001.0, math.nan, math.inf, "wide"])
def test_implausible_pixel_sizes_are_left_out_with_one_warning(wrong):
    limits = "it must lie between 0.001 and 1000 um; give pixel_um"
    with pytest.warns(DataWarning, match=rf"cell.tif: the file's pixel size of .* um \(OME-XML\) is ignored, {limits}") as told:
        assert settled("cell.tif", said(z_um=0.3, y_um=0.1, x_um=wrong), "ZYX").spacing_um == {"Z": 0.3}
    assert len(told) == 1
    assert settled("cell.tif", said(y_um=0.1, x_um=wrong), "YX", silent="YX").spacing_um == {}


@pytest.mark.parametrize("wrong", [0.0, 1e4, math.nan])
def test_implausible_z_steps_are_left_out_with_a_warning(wrong):
    with pytest.warns(DataWarning, match=r"z step .* give z_um"):
        assert settled("cell.tif", said(z_um=wrong, y_um=0.1, x_um=0.2), "ZYX").spacing_um == {"Y": 0.1, "X": 0.2}
    assert settled("cell.tif", said(z_um=wrong, y_um=0.1, x_um=0.2), "YX").spacing_um == {"Y": 0.1, "X": 0.2}


def test_of_a_negative_z_step_the_magnitude_counts():
    assert settled("cell.tif", said(z_um=-0.3, y_um=0.1, x_um=0.2), "ZYX").spacing_um == {"Z": 0.3, "Y": 0.1, "X": 0.2}


def test_exactly_one_micrometre_is_believed_where_the_format_states_it():
    uncalibrated = Statements()
    uncalibrated.add("ImageJ", weight="default", y_um=1.0, x_um=1.0)
    with pytest.warns(DataWarning, match="exactly 1 um"):
        assert settled("cell.tif", uncalibrated, "YX").spacing_um == {}
    assert settled("cell.ome.tif", said(y_um=1.0, x_um=1.0), "YX").spacing_um == {"Y": 1.0, "X": 1.0}


def test_resolutions_of_prints_are_no_pixel_sizes():
    printed = Statements()
    printed.add("ImageJ", weight="print", y_um=976.9, x_um=976.9)
    with pytest.warns(DataWarning, match=r"976.9 um \(ImageJ\) is ignored, it is the resolution of a print; give pixel_um"):
        assert settled("cell.tif", printed, "YX").spacing_um == {}
    tags = Statements()
    tags.add("resolution tags", weight="tag", y_um=352.8, x_um=352.8)
    assert settled("cell.tif", tags, "YX").spacing_um == {}  # every program writes them: nothing is told


def test_the_first_plausible_statement_is_taken_and_contradictions_are_told():
    both = said(y_um=0.1, x_um=0.1, na=1.4)
    both.add("resolution tags", weight="tag", y_um=0.065, x_um=0.065)
    contradiction = r"pixel size 0.1 um \(OME-XML\) and 0.065 um \(resolution tags\); the first is taken, pixel_um decides"
    with pytest.warns(DataWarning, match=contradiction) as told:
        taken = settled("cell.tif", both, "YX")
    assert len(told) == 1
    assert taken.spacing_um == {"Y": 0.1, "X": 0.1}
    assert taken.origins == {"y_um": "OME-XML", "x_um": "OME-XML", "na": "OME-XML"}

    wrong = said(y_um=0.0, x_um=0.0)
    wrong.add("resolution tags", weight="tag", y_um=0.065, x_um=0.065)
    taken = settled("cell.tif", wrong, "YX")
    assert taken.spacing_um == {"Y": 0.065, "X": 0.065}
    assert taken.origins == {"y_um": "resolution tags", "x_um": "resolution tags"}


def test_rounded_repetitions_are_no_contradiction():
    both = said(y_um=0.10742, x_um=0.10742, emission_nm=[525.0, None])
    both.add("resolution tags", weight="tag", y_um=0.1074, x_um=0.1074)
    both.add("header", emission_nm=[525.0, 610.0])
    assert settled("cell.tif", both, "YX").spacing_um == {"Y": 0.10742, "X": 0.10742}


def test_one_lateral_size_alone_is_none():
    assert settled("cell.tif", said(x_um=0.1, z_um=0.3), "ZYX").spacing_um == {"Z": 0.3}


def test_optics_and_objective():
    statements = said(na=1.4, immersion_ri=1.518, emission_nm=[460.0, None, 610.0], channels=["a", "b", "c"], magnification=100.0)
    statements.add("header", na="not known", objective_model="Plan Apo", immersion="Oil", microscope="confocal")
    metadata = settled("cell.tif", statements, "CYX").metadata
    assert metadata["optics"] == {"na": 1.4, "immersion_ri": 1.518, "microscope": "confocal", "wavelength_nm": 460.0}
    assert metadata["objective"] == {"model": "Plan Apo", "magnification": 100.0, "na": 1.4, "immersion": "Oil"}
    assert metadata["channels"] == ["a", "b", "c"]


@pytest.mark.parametrize("wrong", [0, -1.4, math.nan, "", "x"])
def test_optics_that_cannot_be_are_left_out(wrong):
    assert "optics" not in settled("cell.tif", said(na=wrong, emission_nm=[wrong]), "YX").metadata


def test_pinholes_of_several_channels_are_kept_and_the_first_is_that_of_the_optics():
    statements = said(na=1.4, **pinholes_of([0.9, None, 0.7]))
    metadata = settled("cell.tif", statements, "CYX").metadata
    assert metadata["pinholes_au"] == [0.9, None, 0.7]
    assert metadata["optics"] == {"na": 1.4, "pinhole_au": 0.9}
    assert settled("cell.tif", said(**pinholes_of([1.2, None])), "CYX").metadata == {"optics": {"pinhole_au": 1.2}}
