import pytest

from zsdeconv.errors import ConfigError
from zsdeconv.image.units import is_pixel_size, length_um, s_per, time_s, um_per
from zsdeconv.io.assemble import Options


@pytest.mark.parametrize(
    ("unit", "um"),
    [
        ("m", 1e6),
        ("inch", 25400),
        ('"', 25400),
        ("dm", 1e5),
        ("cm", 1e4),
        ("centimetre", 1e4),
        ("mm", 1e3),
        ("\u00b5m", 1),  # micro sign
        ("\u03bcm", 1),  # Greek mu
        ("\\u00B5m", 1),  # as ImageJ escapes it
        ("\\u03BCm", 1),
        ("\\u03bcm", 1),
        ("micron", 1),
        ("Microns", 1),
        ("um", 1),
        ("UM", 1),
        (" micrometer ", 1),
        ("Micrometers", 1),
        ("nm", 1e-3),
        ("nanometres", 1e-3),
        ("\u00c5", 1e-4),
        ("\u212b", 1e-4),
        ("angstrom", 1e-4),
        ("pm", 1e-6),
        ("thou", 25.4),
        ("ft", 304800),
        ("km", 1e9),
        ("pixel", None),
        ("pixels", None),
        ("", None),
        ("reference frame", None),
        ("film", None),
        (None, None),
    ],
)
def test_units(unit, um):
    assert um_per(unit) == um


@pytest.mark.parametrize(
    ("unit", "seconds"), [("s", 1), ("ms", 1e-3), ("\u00b5s", 1e-6), ("min", 60), ("h", 3600), ("sec", 1), ("d", 86400), ("frames", None)]
)
def test_times(unit, seconds):
    assert s_per(unit) == seconds


def test_an_empty_unit_is_that_of_the_schema():
    assert length_um({"PhysicalSizeX": "0.065", "PhysicalSizeXUnit": ""}, "PhysicalSizeX") == 0.065
    assert length_um({"EmissionWavelength": "0.525", "EmissionWavelengthUnit": "\u00b5m"}, "EmissionWavelength", "nm") == 0.525
    assert length_um({"PhysicalSizeX": "0.065", "PhysicalSizeXUnit": "pixel"}, "PhysicalSizeX") is None
    assert time_s({"TimeIncrement": "2000", "TimeIncrementUnit": "ms"}, "TimeIncrement") == 2
    assert time_s({"TimeIncrement": "soon"}, "TimeIncrement") is None


def test_limits_themselves_are_plausible():
    assert is_pixel_size(0.001)
    assert is_pixel_size(1000.0)
    assert not is_pixel_size(0.00099)
    assert not is_pixel_size(1000.1)


@pytest.mark.parametrize("um", [0.0, -1.0, 65e3, 1e-5, float("nan")])
def test_impossible_options_are_refused(um):
    with pytest.raises(ConfigError, match="pixel_um"):
        Options(pixel_um=um)
    with pytest.raises(ConfigError, match="z_um"):
        Options(z_um=um)


@pytest.mark.parametrize("axes", ["", "T", "TY", "TTYX", "QYX", "SYX", "T YX"])
def test_impossible_axes_are_refused(axes):
    with pytest.raises(ConfigError, match="`axes`"):
        Options(axes=axes)
