"""Theoretical PSFs in depth: against sums of plane waves, another library, the benchmark's definition, and laws."""

import math
import time
from pathlib import Path

import numpy as np
import pytest

import oracles
from zsdeconv.errors import OpticsError
from zsdeconv.image import Image
from zsdeconv.io import write
from zsdeconv.physics.microscope import AIRY_DIAMETER_WAVELENGTHS, through_disc
from zsdeconv.physics.optics import Optics
from zsdeconv.physics.psf import Psf
from zsdeconv.physics.psf_3d import radial_intensity
from zsdeconv.physics.psf_check import check_psf, expected_fwhm_um, fwhm_um, fwhms_um
from zsdeconv.physics.psf_file import measure_psf
from zsdeconv.physics.psf_theory import theoretical_psf
from zsdeconv.physics.pupil import axial_focus_um, defocused_intensity, focal_intensity
from zsdeconv.physics.resample import core_offset

R = np.array([0.0, 0.07, 0.19, 0.31, 0.44, 0.63, 0.9, 1.3])
Z = np.array([-1.1, -0.35, 0.0, 0.2, 0.85, 1.6])
SHEET = Optics(1.1, 525, 1.33, microscope="lightsheet", sheet_um=1.0)


def nrmse(a: np.ndarray, b: np.ndarray) -> float:
    return float(np.sqrt(((a - b) ** 2).sum() / (b**2).sum()))


@pytest.mark.parametrize("pupil", ["scalar", "vectorial"])
@pytest.mark.parametrize(("na", "ri"), [(1.1, 1.33), (1.2, 1.333), (1.3, 1.406), (1.4, 1.515)])
def test_widefield_is_a_sum_of_plane_waves(pupil: str, na: float, ri: float) -> None:
    ours = defocused_intensity(Optics(na, 525, ri, pupil), R, Z)
    expected = oracles.focus_by_plane_waves(na, 0.525, ri, R, Z, vectorial=pupil == "vectorial")
    # The oracle's midpoint rule: measured 2e-6. The bar is 1e-3.
    assert nrmse(ours / ours[2, 0], expected / expected[2, 0]) < 5e-5


@pytest.mark.parametrize("pupil", ["scalar", "vectorial"])
@pytest.mark.parametrize(("sample_ri", "depth_um"), [(1.33, 3.7), (1.47, 12.0), (1.56, 6.0)])
def test_aberration_of_an_interface(pupil: str, sample_ri: float, depth_um: float) -> None:
    """NA 1.4 exceeds the index of water: the light beyond the critical angle is part of the sum."""
    optics = Optics(1.4, 525, 1.515, pupil, sample_ri=sample_ri, depth_um=depth_um)
    z = axial_focus_um(optics) + Z
    ours = defocused_intensity(optics, R, z)
    known = {"vectorial": pupil == "vectorial", "sample_ri": sample_ri, "depth_um": depth_um, "rings": 3000 if sample_ri < 1.4 else 400}
    expected = oracles.focus_by_plane_waves(1.4, 0.525, 1.515, R, z, **known)
    # The path has infinite slope at the critical angle, where a midpoint rule converges slowly, as rings^-3/2.
    assert nrmse(ours / ours.max(), expected / expected.max()) < 3e-4


@pytest.mark.parametrize(("na", "ri"), [(1.1, 1.33), (1.4, 1.515)])
def test_stacks_against_an_independent_library(na: float, ri: float) -> None:
    pytest.importorskip("zernikepy")
    generator = pytest.importorskip("psf_generator")
    n, pixel, planes, dz = 41, 31.3, 15, 90.0
    # Its lateral step is pixel * N / (N - 1), its axial one dz * planes / (planes - 1).
    common = {"n_pix_pupil": 401, "n_pix_psf": n, "wavelength": 525, "na": na, "pix_size": pixel * (n - 1) / n, "n_i": ri, "n_i0": ri}
    common |= {"n_defocus": planes, "defocus_step": dz * (planes - 1) / planes}
    beams = [generator.VectorialSphericalPropagator(apod_factor=True, e0x=e, e0y=1 - e, **common) for e in (0, 1)]
    vectorial = sum((beam.compute_focus_field().abs() ** 2).sum(1).numpy().astype(float) for beam in beams)
    scalar = generator.ScalarSphericalPropagator(cos_factor=True, **common).compute_focus_field().abs().squeeze().numpy().astype(float) ** 2
    size = (7e-3 * dz, 20e-3 * pixel, 20e-3 * pixel)
    for pupil, expected in (("scalar", scalar), ("vectorial", vectorial)):
        ours = theoretical_psf(Optics(na, 525, ri, pupil), (1e-3 * dz, 1e-3 * pixel, 1e-3 * pixel), size).values
        assert nrmse(ours, expected / np.sum(expected)) < 1e-5  # it computes in float32; measured 2e-7, the bar is 1e-3


def test_the_focal_plane_of_a_stack_is_the_psf_in_focus() -> None:
    for pupil in ("scalar", "vectorial"):
        optics = Optics(1.2, 600, 1.333, pupil)
        stack, plane = theoretical_psf(optics, (0.2, 0.05, 0.07), 0.8), theoretical_psf(optics, (0.05, 0.07), 0.8)
        middle = stack.values[len(stack.values) // 2]
        np.testing.assert_allclose(middle / middle.sum(), plane.values, atol=1e-12 * plane.values.max())
        np.testing.assert_allclose(defocused_intensity(optics, R, np.zeros(1))[0], focal_intensity(optics, R), atol=1e-13)
        assert stack.central_slice().values == pytest.approx(plane.values)


def test_every_plane_of_a_widefield_stack_holds_the_same_light() -> None:
    """Nothing wraps round and nothing is lost but sideways: with a wide enough field the sum of a plane is constant."""
    optics = Optics(0.8, 525, 1.0)
    light = theoretical_psf(optics, (0.8, 0.15, 0.15), (3.2, 14.0, 14.0)).values.sum((1, 2))
    np.testing.assert_allclose(light / light.max(), 1, atol=0.015)  # the tail beyond 14 um
    far = theoretical_psf(optics, (2.0, 0.15, 0.15), (8.0, 6.0, 6.0)).values[-1]
    # 8 um out of focus the cone is 10.7 um wide: the corners of the field are as bright as geometry says, not brighter.
    assert far[0, 0] == pytest.approx(far[40, 40], rel=0.6)


def test_light_sheet_is_that_of_the_benchmark() -> None:
    nz, h, dz, px = 31, 32, 0.15, 0.05
    ours = theoretical_psf(SHEET, (dz, px, px), (15 * dz, h * px, h * px)).values
    assert ours.shape == (31, 65, 65)
    bench = discrete_pupil(nz, h, dz, px)
    # That one has a pupil of pixels, whose edge is only as round as they are (measured: 0.0032).
    assert nrmse(ours, bench) < 5e-3
    wide = theoretical_psf(Optics(1.1, 525, 1.33), (dz, px, px), (15 * dz, h * px, h * px)).values
    z = dz * np.arange(-15, 16)
    expected = wide * np.exp(-2 * z**2)[:, None, None]
    np.testing.assert_allclose(ours, expected / expected.sum(), rtol=1e-9)


def discrete_pupil(nz: int, h: int, dz: float, px: float) -> np.ndarray:
    """`psf_3d` of ../shared/bench/make_cases.py for NA 1.1, 525 nm, index 1.33 and a sheet of 1 um, with a finer pupil."""
    m = 12 * h + 1
    k = np.fft.fftfreq(m, px)
    kr2 = np.add.outer(k**2, k**2)
    kz = np.sqrt(np.maximum((1.33 / 0.525) ** 2 - kr2, 0))
    planes = []
    for z in (np.arange(nz) - nz // 2) * dz:
        p = np.abs(np.fft.fftshift(np.fft.fft2((kr2 <= (1.1 / 0.525) ** 2) * np.exp(2j * np.pi * kz * z)))) ** 2
        planes.append(p[m // 2 - h : m // 2 + h + 1, m // 2 - h : m // 2 + h + 1] * np.exp(-2 * z**2))
    return np.array(planes) / np.sum(planes)


def test_lattice_sheet_is_flat_and_ends_where_a_gaussian_one_does() -> None:
    flat = Optics(1.1, 525, 1.33, microscope="lattice", sheet_um=1.0)
    z, r = np.array([0.0, 0.6, 1.0, 1.5]), np.zeros(1)
    share = radial_intensity(flat, z, r) / radial_intensity(Optics(1.1, 525, 1.33), z, r)
    assert share[1, 0] > 0.96
    assert share[2, 0] == pytest.approx(math.exp(-2))
    assert share[3, 0] < 1e-6


def test_pinhole() -> None:
    """Its limits: a point gives emission x excitation, a wide one the excitation alone; in between light only grows."""
    lens = {"na": 1.2, "wavelength_nm": 525, "immersion_ri": 1.333}
    excitation = defocused_intensity(Optics(**lens), R, Z, 0.488)
    emission = defocused_intensity(Optics(**lens), R, Z)

    def confocal(pinhole_au: float) -> np.ndarray:
        return radial_intensity(Optics(**lens, microscope="confocal", pinhole_au=pinhole_au, excitation_nm=488), Z, R)

    small, one, wide = confocal(0.05), confocal(1.0), confocal(20.0)
    assert nrmse(small / small[2, 0], excitation * emission) < 3e-3  # a disc of a twentieth of the Airy disc is nearly a point
    assert nrmse(wide / wide[2, 0], excitation) < 2e-2  # what lies beyond ten Airy discs: 2 %
    assert small[0, 0] / small[2, 0] < one[0, 0] / one[2, 0] < wide[0, 0] / wide[2, 0]


def test_disc_mean_is_the_mean_over_a_disc() -> None:
    optics, disc = Optics(1.2, 525, 1.333), 0.31
    radius = AIRY_DIAMETER_WAVELENGTHS / 2 * 0.525 / 1.2
    assert radius == pytest.approx(0.267, abs=1e-3)
    mean = through_disc(lambda r: defocused_intensity(optics, r, Z), R, disc, 0.01)
    y, x = (np.mgrid[-200:201, -200:201] + 0.5) * disc / 200
    inside = np.hypot(y, x) <= disc
    for k in (0, 3, 6):
        slow = defocused_intensity(optics, np.hypot(y[inside], x[inside] + R[k]), Z[:2]).mean(1)
        assert mean[:2, k] == pytest.approx(slow, rel=2e-3)  # the staircase edge of the slow disc


def test_two_photons_are_the_square_of_the_excitation() -> None:
    optics = Optics(0.95, 525, 1.333, microscope="twophoton", excitation_nm=920)
    np.testing.assert_allclose(radial_intensity(optics, Z, R), defocused_intensity(Optics(0.95, 920, 1.333), R, Z) ** 2)


def test_optical_sections_are_thinner() -> None:
    lens = {"na": 1.2, "wavelength_nm": 525, "immersion_ri": 1.333}
    lengths = {
        name: expected_fwhm_um(Optics(**lens, microscope=name, **more))
        for name, more in {
            "widefield": {},
            "confocal": {"pinhole_au": 0.5, "excitation_nm": 488},
            "lightsheet": {"sheet_um": 0.5},
        }.items()
    }
    assert lengths["confocal"][0] < 0.8 * lengths["widefield"][0]
    assert lengths["lightsheet"][0] < 0.8 * lengths["widefield"][0]
    assert lengths["lightsheet"][1] == pytest.approx(lengths["widefield"][1])
    assert lengths["widefield"][1] == pytest.approx(0.5145 * 0.525 / 1.2, rel=1e-3)


@pytest.mark.parametrize("microscope", ["widefield", "confocal"])
def test_aberrated_stack_is_sharp_in_its_middle(microscope: str) -> None:
    optics = Optics(1.3, 525, 1.515, "vectorial", microscope=microscope, sample_ri=1.36, depth_um=15)
    psf = theoretical_psf(optics, (0.11, 0.06, 0.05))
    assert abs(core_offset(psf.values)[0]) < 0.02
    light = psf.values.max((1, 2))
    assert abs(int(light.argmax()) - len(light) // 2) <= 3
    lopsided = np.abs(psf.values - psf.values[::-1]).sum() / 2
    assert lopsided > 0.1  # spherical aberration: rays of the rim cross behind those near the axis
    assert "in focus +" in psf.source
    assert fwhms_um(psf)[0] > 1.2 * expected_fwhm_um(Optics(1.3, 525, 1.515, "vectorial", microscope=microscope))[0]


def test_focus_shift_follows_paraxial_optics_at_low_na() -> None:
    for n, m in ((1.0, 1.33), (1.515, 1.33)):
        shift = axial_focus_um(Optics(0.15, 525, n, sample_ri=m, depth_um=30))
        assert shift == pytest.approx(30 * (n / m - 1), abs=0.1)
    assert axial_focus_um(Optics(1.2, 525, 1.333, sample_ri=1.333, depth_um=30)) == 0


def test_one_plane_of_any_microscope() -> None:
    wide = theoretical_psf(Optics(1.2, 525, 1.333), (0.04, 0.05))
    confocal = theoretical_psf(Optics(1.2, 525, 1.333, microscope="confocal"), (0.04, 0.05))
    sheet = theoretical_psf(Optics(1.2, 525, 1.333, microscope="lightsheet", sheet_um=1.0), (0.04, 0.05))
    assert confocal.values.shape == wide.values.shape
    assert fwhm_um(confocal) < 0.93 * fwhm_um(wide)  # the excitation alone, 0.93 x as long, with the pinhole at one Airy unit
    np.testing.assert_allclose(sheet.values, wide.values, rtol=1e-9, atol=1e-15)
    assert theoretical_psf(Optics(1.4, 525, 1.515, sample_ri=1.33, depth_um=9), (0.05, 0.05)).values.max() < wide.values.max()


def test_size_in_depth() -> None:
    assert theoretical_psf(SHEET, (0.15, 0.05, 0.05)).values.shape == (25, 67, 67)  # until the sheet is dark: 1.86 um
    wide = theoretical_psf(Optics(1.1, 525, 1.33), (0.15, 0.05, 0.05))
    assert wide.values.shape == (49, 67, 67)  # four periods of the axial cutoff, 0.90 um each
    assert theoretical_psf(Optics(1.1, 525, 1.33), (0.9, 0.05, 0.05)).values.shape[0] == 9
    assert theoretical_psf(Optics(0.1, 525), (0.05, 0.5, 0.5)).values.shape[0] == 257  # bounded, however fine the step
    for psf in (wide, theoretical_psf(SHEET, (0.15, 0.05, 0.07), (0.3, 0.5, 0.4))):
        assert all(n % 2 for n in psf.values.shape)
        assert psf.values.sum() == pytest.approx(1)
    with pytest.raises(OpticsError, match="2 half widths for 3 axes"):
        theoretical_psf(SHEET, (0.15, 0.05, 0.05), (1.0, 1.0))


@pytest.mark.parametrize("spacing", [(0.0, 0.1, 0.1), (float("nan"), 0.1, 0.1), (300.0, 0.1, 0.1), (0.1, 0.1, 0.1, 0.1)])
def test_absurd_grids_are_refused(spacing: tuple) -> None:
    with pytest.raises(OpticsError):
        theoretical_psf(SHEET, spacing)


def test_theory_is_quick() -> None:
    started = time.process_time()
    theoretical_psf(Optics(1.4, 525, 1.515, "vectorial", microscope="confocal"), (0.15, 0.05, 0.05), (2.25, 1.6, 1.6))
    assert time.process_time() - started < 2


@pytest.mark.parametrize(
    "optics",
    [
        Optics(1.4, 525),
        Optics(1.49, 600),
        Optics(0.3, 525, 1.0),
        Optics(0.8, 600, 1.0),
        Optics(1.4, 525, 1.515, sample_ri=1.38, depth_um=3.0),
        Optics(1.1, 525, 1.33, microscope="lightsheet", sheet_um=1.0),
        Optics(1.1, 525, 1.33, microscope="lattice", sheet_um=0.6),
        Optics(1.2, 525, 1.333, microscope="confocal"),
        Optics(1.0, 525, 1.333, microscope="twophoton", excitation_nm=900.0),
    ],
)
@pytest.mark.parametrize("rank", [2, 3])
def test_theory_passes_the_check_from_a_file(tmp_path: Path, optics: Optics, rank: int) -> None:
    spacing = tuple(0.5 * um for um in (optics.axial_nyquist_um, optics.nyquist_um, optics.nyquist_um))[-rank:]
    psf, axes = theoretical_psf(optics, spacing), "ZYX"[-rank:]
    image = Image(psf.values, axes, dict(zip(axes, spacing, strict=True)), offset=0.0)
    path = write(tmp_path / "psf.tif", image, provenance={"psf": psf.source, "fingerprint": psf.fingerprint})
    back = measure_psf(path, rank=None)
    assert [f"{f.name}: {f.message}" for f in check_psf(back, optics=optics) if f.level != "ok"] == []
    assert fwhms_um(back.to_psf()) == pytest.approx(fwhms_um(psf), rel=1e-3)  # float32, and the light of a cropped border


def test_half_of_the_planes_of_a_wide_field_psf_are_too_few() -> None:
    psf = theoretical_psf(Optics(1.4, 525), (0.1, 0.05, 0.05))
    quarter = len(psf.values) // 4
    cut = Psf.from_array(psf.values[quarter:-quarter], psf.spacing_um, "cut")
    assert {finding.name for finding in check_psf(cut) if finding.level == "warn"} == {"depth"}
