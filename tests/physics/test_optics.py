import dataclasses
import subprocess
import sys
from typing import get_args

import numpy as np
import pytest

from zsdeconv.config import OpticsSection
from zsdeconv.errors import DataWarning, OpticsError
from zsdeconv.physics.microscope import MICROSCOPES
from zsdeconv.physics.optics import Optics
from zsdeconv.physics.psf_check import check_sampling, sampling_finding


def test_limits_of_a_lens() -> None:
    optics = Optics(1.25, 500, 1.333)
    assert optics.cutoff_per_um == pytest.approx(5.0)
    assert optics.nyquist_um == pytest.approx(0.1)
    assert optics.resolution_um == pytest.approx(0.2)


@pytest.mark.parametrize(
    ("na", "index"), [(0.4, 1.0), (1.0, 1.333), (1.2, 1.333), (1.3, 1.406), (1.35, 1.406), (1.4, 1.515), (1.41, 1.515), (1.49, 1.515)]
)
def test_smallest_medium_that_admits_the_na_is_assumed(na: float, index: float) -> None:
    optics = Optics(na, 525)
    assert optics.ri == index
    assert optics.immersion_assumed
    assert not Optics(na, 525, index).immersion_assumed


def test_na_above_the_index_is_told_in_the_house_words() -> None:
    with pytest.raises(OpticsError) as caught:
        Optics(1.49, 525, 1.33)
    assert str(caught.value) == "NA (1.49) cannot exceed the immersion index (1.33): give immersion_ri, or check na."


@pytest.mark.parametrize(
    ("values", "advice"),
    [
        ((1.6, 525), "immersion_ri"),
        ((0.0, 525), "check na"),
        ((-1.4, 525), "check na"),
        ((float("nan"), 525), "check na"),
        ((60.0, 525), "check na"),
        ((1.4, 0.525), "wavelength_nm 525"),
        ((1.4, 0), "wavelength_nm"),
        ((1.4, 52.5), "wavelength_nm"),
        ((1.4, 525e3), "wavelength_nm"),
        ((1.4, float("inf")), "wavelength_nm"),
        ((0.5, 525, 0.9), "immersion_ri"),
        ((1.4, 525, 15.15), "immersion_ri"),
        ((1.4, 525, 1.515, "round"), "scalar, vectorial"),
    ],
)
def test_impossible_optics(values: tuple, advice: str) -> None:
    with pytest.raises(OpticsError) as caught:
        Optics(*values)
    assert advice in str(caught.value)
    assert "\n" not in str(caught.value)


SHEET = {"microscope": "lightsheet", "sheet_um": 1.0}


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"microscope": "telescope"}, ["'telescope'", "confocal", "microscope"]),
        ({"microscope": "lightsheet"}, ["sheet_um is missing", "sheet_um", "1/e^2"]),
        ({"microscope": "twophoton"}, ["excitation_nm is missing", "excitation_nm"]),
        ({"sheet_um": 1.0}, ["sheet_um 1", "widefield", "microscope lightsheet or lattice"]),
        (SHEET | {"pinhole_au": 1.0}, ["pinhole_au 1", "microscope confocal"]),
        (SHEET | {"sheet_um": 0.0}, ["sheet_um 0", "0.05"]),
        (SHEET | {"sheet_um": float("nan")}, ["sheet_um nan"]),
        ({"microscope": "confocal", "pinhole_au": -1.0}, ["pinhole_au -1", "Airy"]),
        ({"microscope": "confocal", "excitation_nm": 0.488}, ["excitation_nm 0.488", "nm"]),
        ({"depth_um": 10.0}, ["depth 10 um", "sample_ri"]),
        ({"depth_um": -1.0, "sample_ri": 1.33}, ["depth -1", "depth_um"]),
        ({"depth_um": 1.0, "sample_ri": 0.5}, ["0.5", "sample_ri"]),
    ],
)
def test_impossible_microscopes(more: dict, words: list[str]) -> None:
    with pytest.raises(OpticsError) as caught:
        Optics(1.1, 525, 1.33, **more)
    assert all(word in str(caught.value) for word in words), caught.value
    assert "\n" not in str(caught.value)


def test_defaults_of_a_confocal_microscope() -> None:
    optics = Optics(1.1, 525, 1.33, microscope="confocal")
    assert optics.pinhole_au == 1
    assert optics.excitation_nm == pytest.approx(488, abs=1)
    assert Optics(1.1, 525, 1.33).pinhole_au is None


def test_the_configuration_knows_the_same_microscopes() -> None:
    fields = OpticsSection.model_fields
    named, unknown = get_args(fields["microscope"].annotation)
    assert get_args(named) == tuple(MICROSCOPES) and unknown is type(None)
    assert {f.name for f in dataclasses.fields(Optics) if f.init} <= set(fields)


def test_limits_in_depth() -> None:
    optics = Optics(1.2, 500, 1.3)
    assert optics.axial_cutoff_per_um == pytest.approx((1.3 - 0.5) / 0.5)
    assert optics.axial_nyquist_um == pytest.approx(0.3125)
    assert not Optics(1.2, 500, 1.3, sample_ri=1.3, depth_um=5).aberrated
    assert not Optics(1.2, 500, 1.3, sample_ri=1.4).aberrated
    assert Optics(1.2, 500, 1.3, sample_ri=1.4, depth_um=5).aberrated


def test_frozen() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        Optics(1.4, 525).na = 1.3  # type: ignore[misc]


def test_importing_optics_imports_nothing_heavy() -> None:
    code = "import sys, zsdeconv.physics.optics; print([m for m in ('torch', 'scipy', 'tifffile', 'matplotlib') if m in sys.modules])"
    import zsdeconv.errors

    source = zsdeconv.errors.__file__.rsplit("zsdeconv", 1)[0]
    done = subprocess.run([sys.executable, "-c", f"import sys; sys.path.insert(0, {source!r}); {code}"], capture_output=True, text=True)
    assert done.stdout.strip() == "[]", done.stderr


def test_sampling_is_judged_on_the_fine_grid() -> None:
    optics = Optics(1.4, 525)  # Nyquist 0.09375 um
    assert sampling_finding(optics, 0.09, 1).level == "ok"
    coarse = sampling_finding(optics, 0.15, 1)
    assert coarse.level == "warn"
    assert coarse.value > coarse.limit
    assert "give scale 2" in coarse.message
    assert sampling_finding(optics, 0.15, 2).level == "ok"
    hopeless = sampling_finding(optics, 0.4, 2)
    assert hopeless.level == "warn"
    assert "give scale 2" not in hopeless.message


def test_absurdly_fine_pixels_warn() -> None:
    with pytest.warns(DataWarning, match="pixel_um"):
        check_sampling(Optics(0.5, 525), 0.005, 2)


def test_no_warning_when_the_pixel_suits(recwarn: pytest.WarningsRecorder) -> None:
    check_sampling(Optics(1.41, 525, 1.515), 0.0626, 2)
    assert not recwarn.list
    assert np.isfinite(sampling_finding(Optics(1.41, 525), 0.0626, 2).value)
