from fractions import Fraction
from types import SimpleNamespace
from typing import Any, cast
from xml.etree import ElementTree

import pytest

from zsdeconv.io.tiff_metadata import ANNOTATION_NAMESPACE, file_metadata, read_annotation


def spacing_um(kind: str, **headers: Any) -> dict[str, float]:
    """Spacing in a file of which only the vendor's header matters."""
    return file_metadata(cast(Any, SimpleNamespace(**headers)), kind).spacing_um


def test_lsm_states_metres():
    sizes = {"VoxelSizeX": 6.5e-8, "VoxelSizeY": 7e-8, "VoxelSizeZ": 3e-7}
    assert spacing_um("lsm", lsm_metadata=sizes) == pytest.approx({"Z": 0.3, "Y": 0.07, "X": 0.065})
    assert spacing_um("lsm", lsm_metadata={"VoxelSizeX": 6.5e-8, "VoxelSizeY": 7e-8, "VoxelSizeZ": 0.0}) == pytest.approx(
        {"Y": 0.07, "X": 0.065}
    )


def test_stk_states_its_unit():
    header = {"XCalibration": Fraction(65), "YCalibration": Fraction(70), "CalibrationUnits": "nm", "ZDistance": [300.0, 300.0]}
    assert spacing_um("stk", stk_metadata=header) == pytest.approx({"Z": 0.3, "Y": 0.07, "X": 0.065})
    assert spacing_um("stk", stk_metadata=header | {"ZDistance": [0.0]}) == pytest.approx({"Y": 0.07, "X": 0.065})
    assert spacing_um("stk", stk_metadata=header | {"CalibrationUnits": "pixel"}) == {}
    assert spacing_um("stk", stk_metadata=header | {"SpatialCalibration": 0}) == {}


@pytest.mark.parametrize("text", ["", "not json", '{"half": '])
def test_annotation_that_somebody_damaged_is_ignored(text):
    xml = f'<OME><MapAnnotation Namespace="{ANNOTATION_NAMESPACE}"><Value><M K="provenance">{text}</M></Value></MapAnnotation></OME>'
    assert not read_annotation(ElementTree.fromstring(xml)).get("provenance")
