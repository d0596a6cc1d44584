"""From beads to a PSF: on simulated beads, whose truth is known, and on a real stack."""

import itertools
from pathlib import Path

import numpy as np
import pytest
import tifffile

from zsdeconv import io
from zsdeconv.errors import OpticsError
from zsdeconv.image import Image
from zsdeconv.physics.beads import measure_beads, read_beads
from zsdeconv.physics.optics import Optics
from zsdeconv.physics.psf import Psf
from zsdeconv.physics.psf_check import check_psf, fwhms_um
from zsdeconv.physics.psf_file import MeasuredPsf, measure_psf
from zsdeconv.physics.psf_theory import theoretical_psf

SPACING = (0.15, 0.05, 0.06)
SIGMA_UM = (0.26, 0.1, 0.13)
FWHM_UM = tuple(2.3548 * s for s in SIGMA_UM)
PLACES = ((14.3, 25.2, 30.7, 1.0), (15.1, 70.8, 28.4, 0.7), (13.6, 30.5, 84.1, 0.8), (14.7, 75.45, 88.6, 0.6))


def spot(shape: tuple[int, ...], centre: tuple[float, ...], skew: float = 0.0) -> np.ndarray:
    """A Gaussian of `SIGMA_UM`, with a weak neighbour towards +y where `skew` is not 0."""
    rank = len(shape)
    grids = np.meshgrid(*(np.arange(n) for n in shape), indexing="ij", sparse=True)
    units = [(g - c) * step / s for g, c, step, s in zip(grids, centre, SPACING[-rank:], SIGMA_UM[-rank:], strict=True)]
    side = [u - (2.2 if axis == rank - 2 else 0) for axis, u in enumerate(units)]
    return np.exp(-sum(u**2 for u in units) / 2) + skew * np.exp(-sum(u**2 for u in side) / 2)


def field(
    places: tuple = PLACES, shape: tuple[int, ...] = (29, 101, 117), skew: float = 0.0, height: float = 3000, seed: int = 0
) -> np.ndarray:
    clean = sum(height * p[-1] * spot(shape, p[:-1], skew) for p in places)
    rng = np.random.default_rng(seed)
    return rng.poisson(clean + 20) + rng.normal(100, 2, shape)


def test_known_beads_are_found_and_measured() -> None:
    beads = measure_beads(field(), SPACING, "simulated")
    assert (beads.found, beads.used, beads.rejected) == (4, 4, {})
    assert beads.fwhm_um == pytest.approx(FWHM_UM, rel=0.01)  # photon noise of 10 000 photons: 0.5 %
    truth = np.array([p[:3] for p in PLACES])
    assert beads.centres_px[np.argsort(beads.centres_px[:, 1])] == pytest.approx(truth[np.argsort(truth[:, 1])], abs=0.03)
    shape = beads.psf.values.shape
    expected = spot(shape, tuple(n // 2 for n in shape))
    expected /= expected.sum()
    assert all(n % 2 for n in shape)
    assert np.sqrt(((beads.psf.values - expected) ** 2).sum() / (expected**2).sum()) < 0.02
    assert beads.psf.spacing_um == SPACING
    assert "simulated (4 of 4)" in beads.psf.source
    assert fwhms_um(beads.psf) == pytest.approx(FWHM_UM, rel=0.04)


def test_one_plane_of_beads() -> None:
    beads = measure_beads(field(tuple(p[1:] for p in PLACES), (101, 117)), SPACING[1:], "plane")
    assert beads.used == 4
    assert beads.fwhm_um == pytest.approx(FWHM_UM[1:], rel=0.02)
    assert beads.psf.rank == 2


def test_asymmetry_is_kept() -> None:
    values = measure_beads(field(skew=0.3), SPACING, "skew").psf.values
    middle = tuple(n // 2 for n in values.shape)
    up, down = values[middle[0], middle[1] + 6, middle[2]], values[middle[0], middle[1] - 6, middle[2]]
    assert up > 2 * down


def test_what_cannot_be_used_is_left_out_and_counted() -> None:
    others = ((14.0, 50.4, 2.9, 0.9), (1.2, 51.0, 58.0, 0.9), (15.0, 84.0, 90.0, 0.5))
    image = field((*PLACES, *others))
    beads = measure_beads(image, SPACING, "field")
    assert beads.rejected == {"border": 2, "overlapping": 2}
    assert (beads.found, beads.used) == (7, 3)
    assert beads.fwhm_um == pytest.approx(FWHM_UM, rel=0.01)
    clipped = np.minimum(np.rint(image), 2500)
    measured = measure_beads(clipped, SPACING, "clipped")
    assert measured.rejected["saturated"] >= 1
    assert measured.fwhm_um == pytest.approx(FWHM_UM, rel=0.02)


def test_clumps_are_unlike() -> None:
    clump = tuple((14.0, y, 57.0 + dx, 0.5) for y, dx in ((52.0, -2.0), (52.0, 2.0)))
    beads = measure_beads(field((*PLACES, *clump)), SPACING, "clump")
    assert beads.rejected == {"unlike": 1}
    assert beads.fwhm_um == pytest.approx(FWHM_UM, rel=0.01)


def test_haze_that_varies_with_depth_is_not_part_of_the_psf() -> None:
    haze = 40 * np.linspace(0, 1, 29)[:, None, None]
    clear, hazy = (measure_beads(image, SPACING, "x").psf.values for image in (field(), field() + haze))
    n = min(len(clear), len(hazy)) // 2
    light = [v[len(v) // 2 - n : len(v) // 2 + n + 1].sum((1, 2)) for v in (clear, hazy)]
    assert light[1] == pytest.approx(light[0], abs=2e-3)


def test_beads_of_a_lens() -> None:
    """A wide-field PSF with its rings comes back; the removed frequencies held none of it."""
    optics = Optics(1.2, 525, 1.333)
    psf = theoretical_psf(optics, (0.15, 0.05, 0.05), (2.1, 1.5, 1.5)).values
    image = np.zeros((29, 95, 97))
    image[:, 10:71, 15:76] = 4000 * psf / psf.max()
    image = np.random.default_rng(1).poisson(image + 10).astype(float)
    beads = measure_beads(image, (0.15, 0.05, 0.05), "lens")
    assert fwhms_um(beads.psf) == pytest.approx(fwhms_um(theoretical_psf(optics, (0.15, 0.05, 0.05))), rel=0.03)
    assert {f.name: f.level for f in check_psf(beads.psf, optics=optics)}["fwhm in z"] == "ok"


@pytest.mark.parametrize(
    ("image", "word"),
    [
        (np.random.default_rng(0).normal(100, 3, (15, 60, 61)), "there is no bead"),
        (np.full((15, 60, 61), 7.0), "there is no bead"),
        (np.full((15, 60, 61), np.nan), "not one finite"),
        (field(((14.0, 50.4, 2.9, 0.9),)), r"none of 1 can be used \(1 border\)"),
        (field(((14.0, 50.0, 50.0, 0.9), (14.0, 57.0, 57.0, 0.9))), "2 overlapping"),
        (np.zeros((3, 60, 61)), "zero"),
        (np.eye(4)[None].repeat(9, 0), "at least 5"),
    ],
)
def test_images_without_usable_beads(image: np.ndarray, word: str) -> None:
    with pytest.raises(OpticsError, match=word) as caught:
        measure_beads(image, SPACING, "bad")
    assert "\n" not in str(caught.value)


def test_missing_pixel_sizes(tmp_path: Path) -> None:
    path = tmp_path / "beads.tif"
    tifffile.imwrite(path, field().astype(np.float32))
    with pytest.raises(OpticsError, match="pixel_um"):
        read_beads(path)
    with pytest.raises(OpticsError, match="z_um"):
        read_beads(path, pixel_um=0.05)
    assert read_beads(path, pixel_um=0.05, z_um=0.15).used == 4


def test_real_beads(shared: Path) -> None:
    beads = read_beads(shared / "realdata/stacks/confocal_beads.tif")
    assert (beads.found, beads.used) == (4, 4)
    assert beads.fwhm_um == pytest.approx((0.65, 0.25, 0.18), rel=0.1)  # as INDEX.md has read them off the pixels
    assert {f.level for f in check_psf(beads.psf)} <= {"ok", "warn"}


def written(psf: Psf, folder: Path) -> MeasuredPsf:
    """A PSF as it comes back from the file that the command line writes."""
    axes = "ZYX"[-psf.rank :]
    image = Image(psf.values, axes, dict(zip(axes, psf.spacing_um, strict=True)), offset=0.0)
    return measure_psf(io.write(folder / "psf.tif", image, provenance={}, overwrite=True), rank=None)


def lens_field(optics: Optics, spacing_um: tuple[float, ...], height: float, haze: float, seed: int) -> np.ndarray:
    """Eight beads of unlike brightness, imaged by a lens: 160 x 160 pixels, of stacks 41 planes; offset 100, read noise 2 ADU."""
    shape, rng = (41, 160, 160)[-len(spacing_um) :], np.random.default_rng(seed)
    psf = theoretical_psf(optics, spacing_um).values
    points, kernel = np.zeros(shape), np.zeros(shape)
    for y, x in itertools.islice(itertools.product((30, 80, 130), repeat=2), 8):
        points[(*[20][: len(shape) - 2], y, x)] = rng.uniform(0.6, 1)
    inner = tuple(slice(max(0, n - m) // 2, max(0, n - m) // 2 + m) for n, m in zip(psf.shape, shape, strict=True))
    part = psf[inner]
    kernel[tuple(map(slice, part.shape))] = part
    kernel = np.roll(kernel, [-(n // 2) for n in part.shape], range(kernel.ndim))
    image = np.fft.ifftn(np.fft.fftn(points) * np.fft.fftn(kernel)).real.clip(0)
    return rng.poisson(height * image / image.max() + haze) + rng.normal(100, 2, shape)


@pytest.mark.parametrize(
    ("optics", "spacing_um"),
    [
        (Optics(1.4, 525), (0.05, 0.05)),
        (Optics(0.8, 600, 1.0), (0.12, 0.12)),
        (Optics(1.4, 525), (0.1, 0.05, 0.05)),
        (Optics(1.2, 525, 1.333, microscope="confocal"), (0.2, 0.05, 0.05)),
    ],
)
@pytest.mark.parametrize(("height", "haze"), [(5000, 0), (5000, 200), (1000, 5)])
def test_what_is_measured_passes_its_own_check(
    tmp_path: Path, optics: Optics, spacing_um: tuple[float, ...], height: float, haze: float
) -> None:
    """Bright and dim beads with and without haze: the PSF holds no background when it is read again, and its noise is small."""
    beads = measure_beads(lens_field(optics, spacing_um, height, haze, seed=1), spacing_um, "lens")
    back = written(beads.psf, tmp_path)
    assert [f"{f.name}: {f.message}" for f in check_psf(back, optics=optics) if f.level != "ok"] == []
    assert back.background == 0


@pytest.mark.parametrize("height", [100, 300, 3000])
@pytest.mark.parametrize("rank", [2, 3])
@pytest.mark.parametrize("seed", range(3))
def test_the_background_of_a_measured_psf_is_subtracted_once(tmp_path: Path, height: float, rank: int, seed: int) -> None:
    """A tight box around a core that falls faster than r^-3, with noise below zero: -6 to -24 % of the light were "subtracted" here."""
    plane = {"places": tuple(p[1:] for p in PLACES), "shape": (101, 117)}
    beads = measure_beads(field(height=height, seed=seed, **(plane if rank == 2 else {})), SPACING[-rank:], "gauss")
    back = written(beads.psf, tmp_path)
    assert abs(back.background) * back.values.size < 0.01
    noisy = {f.name for f in check_psf(back) if f.level != "ok"}
    assert noisy <= ({"negative"} if height < 3000 and rank == 3 else set())  # 100 photons a bead are noise in a stack, and are told


def test_what_is_wrong_with_a_measured_psf_is_still_told(tmp_path: Path) -> None:
    dim = measure_beads(lens_field(Optics(1.2, 525, 1.333), (0.2, 0.06, 0.06), 60, 5, seed=1), (0.2, 0.06, 0.06), "dim")
    assert {f.name for f in check_psf(written(dim.psf, tmp_path)) if f.level == "warn"} >= {"negative"}
    skew = measure_beads(field(skew=0.4), SPACING, "skew")
    assert {f.name: f.level for f in check_psf(written(skew.psf, tmp_path))}["symmetry"] == "warn"
    good = measure_beads(field(), SPACING, "good").psf
    recorded = Psf.from_array(good.values + 0.3 / good.values.size, good.spacing_um, "with background")
    back = written(recorded, tmp_path)
    assert {f.name: f.level for f in check_psf(back)}["background"] == "warn"
    assert back.background * good.values.size == pytest.approx(0.3 / 1.3, abs=0.04)  # what a tight box tells from a tail


def test_real_beads_keep_their_light(shared: Path, tmp_path: Path) -> None:
    measured = read_beads(shared / "realdata/stacks/confocal_beads.tif").psf
    assert written(measured, tmp_path).background == 0  # -10 % of the light before
