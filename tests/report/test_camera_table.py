"""The one table of the camera: values with the digits that their errors allow, the image measured anew beside them, and the origins."""

from typing import Any

import pytest

from zsdeconv.report.page.camera_table import camera_table
from zsdeconv.report.section import Section

USED = {"detector": "emccd", "offset_adu": 490.123, "offset_sigma": 0.29, "gain_adu_per_e": 28.46, "gain_sigma": 0.66}


def checked(**calibration: Any) -> Section:
    return Section("camera", "Camera", "As assumed?", [], {"calibration": calibration})


def test_a_row_has_what_was_used_what_this_image_says_and_the_origin() -> None:
    summary = {"calibration": USED, "sources": {"camera": "image", "detector": "given"}}
    rows = camera_table(summary, [checked(detector="camera", offset_adu=490.123, gain_adu_per_e=31.2, gain_sigma=2.5)])
    assert [tuple(row) for row in rows] == [
        ("Detector", "electron multiplier", "camera", "given"),
        ("Offset, ADU", "490.12 ± 0.29", "", "measured on the image"),  # kept from the training, so not measured anew
        ("Gain, ADU per electron", "28.46 ± 0.66", "31.2 ± 2.5", "measured on the image"),
    ]


@pytest.mark.parametrize("summary", [{}, {"camera": "text", "calibration": None, "sources": 3}])
def test_nothing_known_makes_no_table(summary: dict[str, Any]) -> None:
    assert camera_table(summary, []) == []


def test_values_that_are_no_numbers_stay_texts() -> None:
    rows = camera_table({"camera": {"offset_adu": "<b>", "gain_adu_per_e": 1.5}}, [])
    assert [(row.used, row.origin) for row in rows] == [("<b>", "not stated"), ("1.5", "not stated")]
