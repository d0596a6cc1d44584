from pathlib import Path

import numpy as np
import pytest
import tifffile
from scipy.special import j1

from zsdeconv.errors import OpticsError, UserError
from zsdeconv.physics.optics import Optics
from zsdeconv.physics.psf import Psf, fit_to_image
from zsdeconv.physics.psf_check import check_psf, fwhm_um
from zsdeconv.physics.psf_file import border_background, measure_psf, read_psf
from zsdeconv.physics.psf_theory import theoretical_psf
from zsdeconv.physics.resample import core_offset

OPTICS = Optics(1.41, 525, 1.515)
FINE = (0.0313, 0.0313)


def nrmse(a: np.ndarray, b: np.ndarray) -> float:
    return float(np.sqrt(((a - b) ** 2).sum() / (b**2).sum()))


def comet(shape: tuple[int, int], centre: tuple[float, float], scale: float = 1.0) -> np.ndarray:
    """An asymmetric spot: a round core with a tail towards +y and (less) +x. Smooth, so any sampling shows the same function."""
    y, x = (np.arange(n) - c for n, c in zip(shape, centre, strict=True))
    y, x = y[:, None] * scale, x[None, :] * scale
    return np.exp(-(y**2 + x**2) / 8) + 0.25 * np.exp(-((y - 5) ** 2 + (x - 2) ** 2) / 18)


def save(folder: Path, values: np.ndarray, pixel_um: float | None = None, name: str = "psf.tif") -> Path:
    path = folder / name
    if pixel_um is None:
        tifffile.imwrite(path, values.astype(np.float32), photometric="minisblack")
    else:
        axes = "ZYX"[-values.ndim :]
        extra = {"PhysicalSizeX": pixel_um, "PhysicalSizeY": pixel_um, "PhysicalSizeXUnit": "µm", "PhysicalSizeYUnit": "µm"}
        tifffile.imwrite(path, values.astype(np.float32), ome=True, metadata={"axes": axes, **extra})
    return path


# ---------------------------------------------------------------- theory


def test_scalar_psf_is_the_airy_pattern() -> None:
    psf = theoretical_psf(OPTICS, (0.031, 0.047), 2.0)
    y, x = (s * np.arange(-(n // 2), n // 2 + 1) for s, n in zip(psf.spacing_um, psf.values.shape, strict=True))
    v = 2 * np.pi * 1.41 / 0.525 * np.hypot(y[:, None], x)
    v[v == 0] = 1e-9
    airy = (2 * j1(v) / v) ** 2
    np.testing.assert_allclose(psf.values, airy / airy.sum(), atol=1e-13 * psf.values.max(), rtol=1e-8)  # quadrature, float64


def test_scalar_psf_has_the_analytic_otf() -> None:
    spacing = 0.05
    psf = theoretical_psf(OPTICS, (spacing, spacing), 12.0).values
    otf = np.fft.fft2(np.fft.ifftshift(psf)).real
    k = np.fft.fftfreq(len(psf), spacing)
    r = np.clip(np.hypot(k[:, None], k) / OPTICS.cutoff_per_um, 0, 1)
    expected = 2 / np.pi * (np.arccos(r) - r * np.sqrt(1 - r**2))
    # The tail beyond 12 um (0.3 % of the light) is missing; it lies at the lowest frequencies and in the normalisation.
    np.testing.assert_allclose(otf, expected, atol=5e-3)
    np.testing.assert_allclose(otf[r > 0.1] * 0.9969, expected[r > 0.1], atol=5e-4)


def test_vectorial_psf_is_wider_at_high_na_and_the_same_at_low_na() -> None:
    wide = fwhm_um(theoretical_psf(Optics(1.41, 525, 1.515, "vectorial"), FINE)) / fwhm_um(theoretical_psf(OPTICS, FINE))
    assert 1.05 < wide < 1.4
    low, low_vectorial = (theoretical_psf(Optics(0.1, 525, 1.0, pupil), (0.3, 0.3)).values for pupil in ("scalar", "vectorial"))
    assert nrmse(low_vectorial, low) < 3e-3  # they differ by terms of the order NA^2 / 4 = 0.0025


@pytest.mark.parametrize(("na", "ri"), [(1.41, 1.515), (1.2, 1.333)])
def test_both_pupils_against_an_independent_library(na: float, ri: float) -> None:
    pytest.importorskip("zernikepy")
    generator = pytest.importorskip("psf_generator")
    n, pixel = 41, 31.3
    # Its step is pixel * N / (N - 1).
    common = {"n_pix_pupil": 401, "n_pix_psf": n, "wavelength": 525, "na": na, "pix_size": pixel * (n - 1) / n, "n_i": ri, "n_i0": ri}
    fields = [generator.VectorialSphericalPropagator(apod_factor=True, e0x=e, e0y=1 - e, **common).compute_focus_field() for e in (0, 1)]
    vectorial = sum((f.abs() ** 2).sum(1)[0].numpy().astype(float) for f in fields)
    scalar = generator.ScalarSphericalPropagator(cos_factor=True, **common).compute_focus_field().abs().squeeze().numpy().astype(float) ** 2
    for pupil, expected in (("scalar", scalar), ("vectorial", vectorial)):
        ours = theoretical_psf(Optics(na, 525, ri, pupil), (1e-3 * pixel, 1e-3 * pixel), 20 * 1e-3 * pixel).values
        # It computes in float32.
        np.testing.assert_allclose(ours, expected / np.sum(expected), atol=2e-6 * ours.max())


def test_default_size_is_tied_to_the_core() -> None:
    assert theoretical_psf(OPTICS, FINE).values.shape == (65, 65)  # 1.0 um
    assert theoretical_psf(Optics(0.7, 525, 1.0), (0.0626, 0.1)).values.shape == (65, 41)


@pytest.mark.parametrize("spacing", [(0.0, 0.1), (float("nan"), 0.1), (-0.1, -0.1), (1e-9, 1e-9), (65.0, 65.0), (0.1,)])
def test_theory_refuses_absurd_grids(spacing: tuple) -> None:
    with pytest.raises(OpticsError):
        theoretical_psf(OPTICS, spacing)


@pytest.mark.parametrize("case", ["real-biosr-actin", "real-jin-microtubules"])
def test_theory_agrees_with_an_independent_scalar_psf(shared: Path, case: str) -> None:
    yaml = pytest.importorskip("yaml")
    meta = yaml.safe_load((shared / "bench/real" / case / "case.yaml").read_text())
    expected = tifffile.imread(shared / "bench/real" / case / "psf.tif").astype(float)
    fine = meta["pixel_um"][0] / 2
    ours = theoretical_psf(Optics(meta["na"], meta["wavelength_nm"], meta["ri"]), (fine, fine), 32 * fine).values
    # That one comes from a discrete pupil: its edge is only as round as its pixels (measured: 0.0007 and 0.0021).
    assert nrmse(ours, expected) < 4e-3


# ---------------------------------------------------------------- the object


def test_psf_is_validated() -> None:
    good = theoretical_psf(OPTICS, FINE).values
    for values, word in [
        (good[:-1], "central sample"),
        (good * 2, "sum"),
        (np.roll(good, 1, 0), "off centre"),
        (good * np.nan, "finite"),
        (good * 0, "zero"),
    ]:
        with pytest.raises(OpticsError, match=word):
            Psf(values, FINE, "test")
    with pytest.raises(OpticsError, match="negative"):
        Psf.from_array(-good, FINE, "test")
    with pytest.raises(ValueError, match="read-only"):
        Psf(good, FINE, "test").values[0, 0] = 1


def test_fingerprint_follows_values_and_spacing_only() -> None:
    psf = theoretical_psf(OPTICS, FINE)
    assert psf.fingerprint == Psf(psf.values * (1 + 1e-15), FINE, "another source").fingerprint
    assert psf.fingerprint != Psf(psf.values, (0.0313, 0.0314), psf.source).fingerprint
    assert psf.fingerprint != theoretical_psf(Optics(1.4, 525, 1.515), FINE, 1.0).fingerprint


@pytest.mark.parametrize("target", [(0.0313, 0.0313), (0.05, 0.043), (0.08, 0.08)])
def test_resampling_gives_the_theory_on_the_new_grid(target: tuple[float, float]) -> None:
    psf = theoretical_psf(OPTICS, (0.0626, 0.0626), 2.0).resampled(target, energy=1)
    y, x = psf.radius_um
    expected = theoretical_psf(OPTICS, target, 1.0)
    h, w = (n // 2 for n in expected.values.shape)
    middle = tuple(n // 2 for n in psf.values.shape)
    part = psf.values[middle[0] - h : middle[0] + h + 1, middle[1] - w : middle[1] + w + 1]
    assert min(y, x) > 1.8
    # The spline is exact to 1e-3 at two thirds of Nyquist, where the OTF has fallen to a few per cent.
    assert nrmse(part / part.sum(), expected.values) < 3e-3


def test_resampling_conserves_flux_and_asymmetry() -> None:
    values = comet((47, 50), (22.3, 24.8))
    psf = Psf.from_array(values, (0.1, 0.1), "comet")
    assert core_offset(psf.values) == pytest.approx([0, 0], abs=2e-3)
    # Mirrored, the tail would lie on the other side: a difference of 30 %.
    middle = tuple(n // 2 for n in psf.values.shape)
    part = psf.values[middle[0] - 12 : middle[0] + 13, middle[1] - 14 : middle[1] + 15]
    true_offset = core_offset(comet((51, 51), (25, 25)))
    shifted = comet((25, 29), (12 - true_offset[0], 14 - true_offset[1]))
    assert nrmse(part / part.sum(), shifted / shifted.sum()) < 4e-3  # 0.01 pixel
    assert part[17, 16] > 3 * part[7, 12]
    finer = psf.resampled((0.05, 0.055), energy=1)
    assert (finer.values / 0.00275).max() == pytest.approx((psf.values / 0.01).max(), rel=5e-3)


def test_resampling_to_the_same_grid_changes_nothing() -> None:
    psf = theoretical_psf(OPTICS, FINE)
    np.testing.assert_array_equal(psf.resampled(FINE, energy=1).values, psf.values / psf.values.sum())


def test_crop_by_energy_keeps_what_it_promises() -> None:
    psf = theoretical_psf(OPTICS, FINE)
    kept = psf.resampled(FINE, energy=0.98)
    assert kept.values.shape < psf.values.shape
    h = kept.values.shape[0] // 2
    assert psf.values[32 - h : 33 + h, 32 - h : 33 + h].sum() >= 0.98
    assert psf.values[33 - h : 32 + h, 33 - h : 32 + h].sum() < 0.985


def test_psf_coarser_than_the_image_is_refused() -> None:
    psf = Psf.from_array(comet((21, 21), (10, 10)), (0.2, 0.2), "coarse")
    with pytest.raises(OpticsError, match="psf_pixel_um"):
        psf.resampled((0.05, 0.05))


def test_rank_is_enforced() -> None:
    with pytest.raises(OpticsError, match="2-D, the image is 3-D"):
        theoretical_psf(OPTICS, FINE).require_rank(3)
    volume = Psf.from_array(np.einsum("i,j,k", np.hanning(7), np.hanning(9), np.hanning(11)), (0.2, 0.1, 0.1), "volume")
    assert volume.require_rank(3).resampled((0.15, 0.06, 0.06)).rank == 3


def test_fit_to_image() -> None:
    psf = theoretical_psf(OPTICS, FINE)
    assert fit_to_image(psf, (512, 65)) is psf
    assert fit_to_image(psf, (512, 60)).values.shape == (65, 59)
    assert fit_to_image(psf, (512, 60)).values.sum() == pytest.approx(1)
    with pytest.raises(OpticsError, match="65 x 65 pixels are more than the 512 x 16 of the result"):
        fit_to_image(psf, (512, 16))


# ---------------------------------------------------------------- files


@pytest.mark.parametrize("shape", [(64, 64), (63, 64), (61, 65)])
def test_bead_image_even_offcentre_on_background_with_noise(tmp_path: Path, shape: tuple[int, int]) -> None:
    rng = np.random.default_rng(3)
    centre = (35.37, 27.81)
    clean = comet(shape, centre)
    counts = rng.poisson(200 + 5000 * clean) + rng.normal(0, 3, shape)
    measured = measure_psf(save(tmp_path, counts, 0.05))
    assert measured.background == pytest.approx(200, abs=1)
    core = core_offset(comet((51, 51), (25, 25)))
    expected = np.array(centre) + core - (np.array(shape) - 1) / 2
    assert measured.offset_px == pytest.approx(expected.tolist(), abs=0.05)  # photon noise: 0.012 pixel (one sigma)
    psf = read_psf(save(tmp_path, counts, 0.05), (0.04, 0.04))
    y, x = psf.values.shape
    truth = comet((y, x), (y // 2 - core[0] * 1.25, x // 2 - core[1] * 1.25), 0.8)
    assert nrmse(psf.values, truth / truth.sum()) < 0.05  # noise; the background as light would be several times the spot
    assert y < 50 / 0.8


def test_clean_psf_passes_unchanged(tmp_path: Path) -> None:
    psf = theoretical_psf(OPTICS, FINE)
    back = read_psf(save(tmp_path, psf.values, 0.0313))
    assert nrmse(back.values, psf.values) < 1e-6  # float32 in the file


def test_background_is_not_taken_from_the_tail() -> None:
    tail = theoretical_psf(OPTICS, FINE).values
    assert border_background(tail) == 0
    assert border_background(1000 * tail + 7) == pytest.approx(7, abs=2e-3)
    assert border_background(1000 * tail - 7) == pytest.approx(-7, abs=2e-3)


def test_pixel_size_option_wins(tmp_path: Path) -> None:
    values = comet((41, 41), (20, 20))
    assert read_psf(save(tmp_path, values, 0.05), pixel_um=0.1).spacing_um == (0.1, 0.1)
    with pytest.raises(OpticsError, match="does not state its pixel size; give psf_pixel_um"):
        read_psf(save(tmp_path, values))
    for absurd in (0.0, -0.1, float("nan"), 65.0, 1e-6):
        with pytest.raises(OpticsError, match="psf_pixel_um"):
            read_psf(save(tmp_path, values, 0.05), pixel_um=absurd)


@pytest.mark.parametrize(
    ("values", "word"),
    [
        (np.full((21, 21), np.nan), "not one finite"),
        (np.where(np.eye(21) > 0, np.nan, 1.0), "NaN or infinite"),
        (np.zeros((21, 21)), "all 441 values are zero"),
        (np.full((21, 21), 7.0), "constant"),
        (-comet((21, 21), (10, 10)), "negative"),
        (comet((21, 21), (10, 10))[:, :2], "at least 3"),
    ],
)
def test_what_is_no_psf_is_refused(tmp_path: Path, values: np.ndarray, word: str) -> None:
    with pytest.raises(OpticsError, match=word) as caught:
        read_psf(save(tmp_path, values, 0.05))
    assert " psf" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_missing_file(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no such file"):
        read_psf(tmp_path / "absent.tif", pixel_um=0.1)


def test_stack_for_a_flat_image_offers_its_focal_plane(tmp_path: Path) -> None:
    bright = np.array([0.1, 0.3, 1.0, 0.4, 0.1])
    stack = bright[:, None, None] * comet((33, 35), (16, 17)) + 0.02
    path = save(tmp_path, stack, 0.05)
    with pytest.raises(OpticsError, match="number 3"):
        read_psf(path)
    assert read_psf(path, central_slice=True).rank == 2
    with pytest.raises(OpticsError, match="the image is 3-D"):
        read_psf(save(tmp_path, stack[2], 0.05), rank=3)


def comet_stack(shape: tuple[int, ...], centre: tuple[float, ...], scale: float = 1.0) -> np.ndarray:
    """`comet` in a stack, longer towards +z than towards -z; `scale` is that of y and x."""
    z = np.arange(shape[0]) - centre[0]
    along = np.exp(-(z**2) / 6) + 0.2 * np.exp(-((z - 3) ** 2) / 8)
    return along[:, None, None] * comet((shape[1], shape[2]), (centre[1], centre[2]), scale)


STACK_UM = {"pixel_um": 0.1, "z_um": 0.3, "rank": 3}


@pytest.mark.parametrize("shape", [(24, 50, 47), (25, 46, 50)])
def test_stack_even_offcentre_on_background_with_noise(tmp_path: Path, shape: tuple[int, int, int]) -> None:
    rng = np.random.default_rng(5)
    centre = (10.37, 27.6, 22.2)
    counts = rng.poisson(150 + 3000 * comet_stack(shape, centre)) + rng.normal(0, 2, shape)
    path = save(tmp_path, counts)
    measured = measure_psf(path, **STACK_UM)
    assert measured.background == pytest.approx(150, abs=1)
    core = core_offset(comet_stack((31, 51, 51), (15, 25, 25)))
    assert measured.offset_px == pytest.approx((np.array(centre) + core - (np.array(shape) - 1) / 2).tolist(), abs=0.05)
    psf = read_psf(path, (0.3, 0.05, 0.05), **STACK_UM)
    assert psf.spacing_um == (0.3, 0.05, 0.05)
    assert all(n % 2 for n in psf.values.shape)
    core = core_offset(comet_stack((31, 101, 101), (15, 50, 50), 0.5))
    middle = [n // 2 - c for n, c in zip(psf.values.shape, core, strict=True)]
    truth = comet_stack(psf.values.shape, tuple(middle), 0.5)
    assert nrmse(psf.values, truth / truth.sum()) < 0.07  # noise: measured 0.05; the background would be several times the light


def test_clean_stack_passes_unchanged(tmp_path: Path) -> None:
    psf = theoretical_psf(OPTICS, (0.12, 0.05, 0.05))
    back = read_psf(save(tmp_path, psf.values), pixel_um=0.05, z_um=0.12, rank=3)
    n = len(back.values) // 2
    part = psf.values[len(psf.values) // 2 - n : len(psf.values) // 2 + n + 1]
    assert nrmse(back.values, part / part.sum()) < 1e-6  # float32 in the file
    assert psf.resampled((0.12, 0.05, 0.05), energy=1).values == pytest.approx(psf.values)


def test_stack_at_twice_the_step() -> None:
    """Interleaved slices lie 2 dz apart, and each still shows its own focus: samples, no means."""
    psf = theoretical_psf(Optics(1.1, 525, 1.33), (0.15, 0.06, 0.06), (2.1, 0.6, 0.7))
    thin = psf.thinned((2, 1, 1))
    assert thin.spacing_um == (0.3, 0.06, 0.06)
    direct = theoretical_psf(Optics(1.1, 525, 1.33), (0.3, 0.06, 0.06), (2.1, 0.6, 0.7))
    np.testing.assert_allclose(thin.values, direct.values, rtol=1e-9)
    assert psf.thinned((1, 1, 1)).values == pytest.approx(psf.values)
    assert nrmse(psf.resampled((0.3, 0.06, 0.06), energy=1).values[1:-1], psf.thinned((2, 1, 1)).values[1:-1]) < 0.02
    lopsided = Psf.from_array(comet_stack((25, 31, 29), (12, 15, 14)), (0.1, 0.1, 0.1), "comet")
    assert np.abs(core_offset(lopsided.thinned((2, 1, 1)).values)).max() < 0.1


def test_few_slices_are_no_reason_to_refuse_a_long_psf() -> None:
    psf = theoretical_psf(Optics(1.1, 525, 1.33), (0.15, 0.05, 0.05))
    fitted = fit_to_image(psf, (5, 200, 210))
    assert fitted.values.shape == (9, 67, 67)  # slices 4 apart are the farthest that meet
    assert fitted.values.sum() == pytest.approx(1)
    assert fit_to_image(psf, (40, 200, 210)) is psf
    with pytest.raises(OpticsError, match="more than the 5 x 200 x 12 of the result"):
        fit_to_image(psf, (5, 200, 12))


def test_stacks_that_are_refused(tmp_path: Path) -> None:
    good = 50 + 900 * comet_stack((21, 31, 33), (10, 15, 16))
    path = save(tmp_path, good)
    with pytest.raises(OpticsError, match="psf_z_um"):
        read_psf(path, pixel_um=0.1, rank=3)
    with pytest.raises(OpticsError, match=r"plane spacing 1 um.*psf_z_um"):
        read_psf(path, (0.3, 0.1, 0.1), pixel_um=0.1, z_um=1.0, rank=3)
    for cut in (good[10:], good[:11], good[9:12]):
        with pytest.raises(OpticsError, match="focus is cut off") as caught:
            read_psf(save(tmp_path, cut, name="cut.tif"), **STACK_UM)
        assert "\n" not in str(caught.value)
    with pytest.raises(OpticsError, match="not one finite"):
        read_psf(save(tmp_path, good * np.nan, name="nan.tif"), **STACK_UM)
    with pytest.raises(OpticsError, match="at least 3"):
        read_psf(save(tmp_path, good[10:12], name="two.tif"), **STACK_UM)
    stack = read_psf(path, **STACK_UM)
    with pytest.raises(OpticsError, match=r"3-D, the image is 2-D.*central_slice\(\)"):
        stack.require_rank(2)
    assert stack.central_slice().require_rank(2).values.sum() == pytest.approx(1)


@pytest.mark.filterwarnings("ignore::zsdeconv.errors.DataWarning")
def test_real_stacks(shared: Path) -> None:
    folder = shared / "realdata/psf"
    for name, background, offset in [
        ("bead_average_asymmetric", (2, 4), (1.2, 0.0, 0.0)),
        ("bead_offcentre_offset", (149, 151), (-0.1, 7.7, 0.8)),
        ("twophoton_measured_even", (5, 7.5), (0.0, 0.0, 0.0)),
        ("hollow_bead_psf", (-0.1, 0.5), (0.1, 0.2, 0.2)),
    ]:
        measured = measure_psf(folder / f"{name}.tif", pixel_um=0.1, z_um=0.3, rank=3)
        assert background[0] <= measured.background <= background[1], name
        assert measured.offset_px == pytest.approx(offset, abs=0.2), name
        findings = {f.name: f for f in check_psf(measured)}
        assert findings["negative"].value < 0.03, name
        assert "fail" not in {f.level for f in findings.values()}, name
        assert {"sampling in z", "depth"} <= set(findings)
        assert all(n % 2 for n in measured.to_psf().values.shape)
    with pytest.raises(OpticsError, match="not one finite"):
        read_psf(folder / "all_nan.tif", pixel_um=0.1, z_um=0.3, rank=3)


@pytest.mark.filterwarnings("ignore::zsdeconv.errors.DataWarning")
def test_real_beads(shared: Path) -> None:
    folder = shared / "realdata/psf"
    with pytest.raises(OpticsError, match="not one finite"):
        read_psf(folder / "all_nan.tif", pixel_um=0.1)
    with pytest.raises(OpticsError, match="a stack of 61 planes"):
        read_psf(folder / "bead_average_asymmetric.tif")
    for name, asymmetric in [("bead_average_asymmetric", True), ("bead_offcentre_offset", False), ("twophoton_measured_even", False)]:
        measured = measure_psf(folder / f"{name}.tif", central_slice=True, pixel_um=0.1)
        findings = {f.name: f for f in check_psf(measured)}
        assert (findings["symmetry"].level == "warn") or not asymmetric
        assert findings["background"].level == "warn"
        assert findings["negative"].value < 0.03
    assert measure_psf(folder / "bead_offcentre_offset.tif", central_slice=True, pixel_um=0.1).offset_px[0] > 7


# ---------------------------------------------------------------- the PSF check


def levels(psf: Psf, **known: object) -> dict[str, str]:
    return {f.name: f.level for f in check_psf(psf, **known)}  # type: ignore[arg-type]


def test_a_good_psf_has_no_findings_but_ok() -> None:
    found = levels(theoretical_psf(OPTICS, FINE), optics=OPTICS)
    assert set(found) == {"centring", "sum", "negative", "size", "symmetry", "sampling", "fwhm"}
    assert set(found.values()) == {"ok"}


def test_each_ailment_is_found(tmp_path: Path) -> None:
    psf = theoretical_psf(OPTICS, FINE)
    assert levels(psf, optics=Optics(0.5, 525))["fwhm"] == "fail"
    assert levels(psf, optics=Optics(1.0, 525))["fwhm"] == "warn"
    assert levels(Psf.from_array(comet((41, 41), (20, 20)), (0.05, 0.05), "comet"))["symmetry"] == "warn"
    assert levels(Psf.from_array(psf.values[28:37, 28:37], FINE, "cut"))["size"] != "ok"
    assert levels(theoretical_psf(OPTICS, (0.12, 0.12)), optics=OPTICS)["sampling"] == "warn"
    assert levels(psf, spacing_um=(0.005, 0.005))["sampling"] == "fail"
    ringing = psf.values - 4e-5 * (np.indices(psf.values.shape).sum(0) % 2)
    assert levels(Psf(ringing / ringing.sum(), FINE, "ringing"))["negative"] == "warn"
    measured = measure_psf(save(tmp_path, 3 + 100 * comet((41, 42), (23, 20)), 0.05))
    found = {f.name: f.level for f in check_psf(measured)}
    assert found["centring"] == found["background"] == "warn"


def test_the_check_covers_depth(tmp_path: Path) -> None:
    optics = Optics(1.1, 525, 1.33, microscope="lightsheet", sheet_um=1.0)
    good = theoretical_psf(optics, (0.15, 0.05, 0.05))
    found = levels(good, optics=optics)
    assert set(found) == {
        *("centring", "sum", "negative", "size", "symmetry", "sampling"),
        *("sampling in z", "focus", "depth", "fwhm", "fwhm in z"),
    }
    assert set(found.values()) == {"ok"}
    assert levels(good.thinned((4, 1, 1)), optics=optics)["sampling in z"] == "warn"
    assert levels(good, spacing_um=(0.02, 0.05, 0.05))["sampling in z"] == "fail"
    assert levels(good, optics=Optics(0.5, 525))["fwhm in z"] == "fail"
    short = Psf(good.values[9:16] / good.values[9:16].sum(), good.spacing_um, "short")
    assert levels(short)["depth"] == "warn"
    lopsided = Psf.from_array(comet_stack((25, 31, 29), (12, 15, 14)), (0.1, 0.1, 0.1), "comet")
    assert levels(lopsided)["symmetry"] == "warn"
    measured = measure_psf(save(tmp_path, 3 + 100 * comet_stack((24, 41, 42), (14, 23, 20))), **STACK_UM)
    recorded = {f.name: f.level for f in check_psf(measured)}
    assert recorded["centring"] == recorded["background"] == "warn"


def test_the_check_finds_a_focus_beside_the_central_plane() -> None:
    """A bright plane above a core that a long even tail holds in the middle."""
    z, y, x = np.indices((41, 25, 25)) - np.array([20, 12, 12])[:, None, None, None]
    light = np.exp(-(y**2 + x**2) / 8) * (0.2 * np.exp(-((z + 8) ** 2) / 4) + 1 / (1 + np.exp(np.abs(z) - 10)))
    psf = Psf.from_array(light, (0.1, 0.05, 0.05), "bright above")
    assert int(psf.values.max((1, 2)).argmax()) != 20
    found = {f.name: f for f in check_psf(psf)}
    assert found["focus"].level == "warn"
    assert found["focus"].value == pytest.approx(0.1 * abs(int(psf.values.max((1, 2)).argmax()) - 20))


def test_fwhm_of_a_gaussian() -> None:
    y, x = np.mgrid[-20:21, -20:21]
    psf = Psf.from_array(np.exp(-(y**2 / 2 / 16 + x**2 / 2 / 25)), (0.1, 0.1), "Gaussian")
    assert fwhm_um(psf) == pytest.approx(0.23548 * np.sqrt(20), rel=5e-3)  # linear interpolation
