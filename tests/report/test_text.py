"""Names, values and hostile texts as people read them."""

import pytest

from zsdeconv.report.page.summary import facts, verdict
from zsdeconv.report.page.text import flattened, label, printable, value_text


@pytest.mark.parametrize(
    ("name", "read"),
    [
        ("frc_nm", "FRC, nm"),
        ("flux_slope", "Flux slope"),
        ("offset_frac", "Offset, as a fraction"),
        ("gain_adu_per_e", "Gain, ADU per electron"),
        ("cutoff_per_um", "Cutoff, 1/µm"),
        ("zyx_spacing_um", "Spacing (z, y, x), µm"),
        ("psf_fwhm_px", "PSF FWHM, pixels"),
        ("um", "Um"),  # a unit alone is a name
        ("yx_um", "Yx, µm"),  # and so are axes, where nothing else is left
        ("", ""),
    ],
)
def test_units_come_from_names(name: str, read: str) -> None:
    assert label(name) == read


def test_values_are_written_for_people() -> None:
    assert value_text(1234567.0) == "1.235e+06" and value_text(-0.5) == "-0.5"
    assert value_text([]) == "none" and value_text({}) == "none"
    assert value_text(float("inf")) == "infinite" and value_text(float("nan")) == "not a number"
    assert value_text(list(range(100))).endswith("7 and 92 more")
    assert value_text({"a": {"b": [1.0]}}) == "a b 1"


def test_texts_stay_short_and_on_their_line() -> None:
    assert len(printable("x" * 10_000_000)) < 1000
    assert "\n" not in printable("a\nb\u2028c") and printable("a\tb") == "a b"


@pytest.mark.parametrize("hidden", ["\u202e", "\u2066", "\u200f", "\x00", "\x1b", "\ud800"])
def test_characters_that_hide_others_become_visible(hidden: str) -> None:
    """A name that turns the direction of writing looks like another one; half a surrogate pair cannot be written at all."""
    assert printable(f"cell{hidden}fit.exe") == "cell\ufffdfit.exe"


def test_writing_from_right_to_left_stays_as_it_is() -> None:
    assert printable("خلية.tif") == "خلية.tif"


def test_leaves_of_nested_settings() -> None:
    assert dict(flattened({"a": {"b": {"c": 1}, "d": {}}, "e": [1]})) == {"a.b.c": 1, "a.d": {}, "e": [1]}


def test_nothing_checked_is_not_called_good() -> None:
    assert "good" not in verdict([]).lower()


def test_facts_of_a_summary_without_optics() -> None:
    """A PSF from a file: nobody knows the aperture."""
    told = facts({"frames": 5, "shape": [20, 64, 80], "spacing_um": {"Z": 0.2, "Y": 0.1, "X": 0.1}, "optics": None})
    assert told == ["5 frames", "20 × 64 × 80 pixels", "100 nm, planes 200 nm apart"]
    assert facts({}) == []
    fringes = {"frames": 1, "shape": [9, 64, 80], "spacing_um": {"Y": 0.1, "X": 0.1}}
    assert facts(fringes) == ["9 raw frames", "64 × 80 pixels", "100 nm"]
