import math

import pytest

from zsdeconv.errors import ConfigError, DataWarning
from zsdeconv.io.assemble import Options
from zsdeconv.io.units import plausible, um_per


@pytest.mark.parametrize(
    ("unit", "um"),
    [
        ("m", 1e6),
        ("inch", 25400),
        ("cm", 1e4),
        ("mm", 1e3),
        ("\u00b5m", 1),  # micro sign
        ("\u03bcm", 1),  # Greek mu
        ("\\u00B5m", 1),  # as ImageJ escapes it
        ("micron", 1),
        ("Microns", 1),
        ("um", 1),
        (" micrometer ", 1),
        ("nm", 1e-3),
        ("\u00c5", 1e-4),
        ("angstrom", 1e-4),
        ("pixel", None),
        ("pixels", None),
        ("", None),
        ("reference frame", None),
        (None, None),
    ],
)
def test_units(unit, um):
    assert um_per(unit) == um


@pytest.mark.parametrize("wrong", [0.0, -0.065, 0.0005, 1001.0, math.nan, math.inf])
def test_implausible_pixel_sizes_in_a_file_are_left_out_with_a_warning(wrong):
    with pytest.warns(
        DataWarning, match=r"cell.tif: the file's pixel size of .* um is ignored, it must lie between 0.001 and 1000 um; give pixel_um"
    ):
        assert plausible({"Z": 0.3, "Y": 0.1, "X": wrong}, "cell.tif") == {"Z": 0.3}
    with pytest.warns(DataWarning, match=r"z step .* give z_um"):
        assert plausible({"Z": wrong, "Y": 0.1, "X": 0.2}, "cell.tif") == {"Y": 0.1, "X": 0.2}


def test_limits_themselves_are_plausible():
    assert plausible({"Y": 0.001, "X": 1000.0}, "cell.tif") == {"Y": 0.001, "X": 1000.0}


def test_placeholder_of_an_uncalibrated_image():
    with pytest.warns(DataWarning, match="exactly 1 um"):
        assert plausible({"Y": 1.0, "X": 1.0}, "cell.tif") == {}
    assert plausible({"Y": 1.0, "X": 1.0}, "cell.ome.tif", placeholder=None) == {"Y": 1.0, "X": 1.0}


@pytest.mark.parametrize("um", [0.0, -1.0, 65e3, 1e-5, math.nan])
def test_impossible_options_are_refused(um):
    with pytest.raises(ConfigError, match="pixel_um"):
        Options(pixel_um=um)
    with pytest.raises(ConfigError, match="z_um"):
        Options(z_um=um)


@pytest.mark.parametrize("axes", ["", "T", "TY", "TTYX", "QYX", "SYX", "T YX"])
def test_impossible_axes_are_refused(axes):
    with pytest.raises(ConfigError, match="`axes`"):
        Options(axes=axes)
