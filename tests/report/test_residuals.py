"""Residuals: nothing is found in those of the truth, and what was done to it is found where it was done."""

from functools import cache

import numpy as np
import pytest
import torch
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from scipy.ndimage import gaussian_filter

from sim.simulator import OPTICS, PIXEL_UM, record, two_beams
from zsdeconv.acquisition.direct import CameraMeasurement
from zsdeconv.acquisition.light import OpenLight
from zsdeconv.acquisition.structured import StructuredPlanes
from zsdeconv.camera.detector import Camera, Multiplier
from zsdeconv.data.normalize import Affine
from zsdeconv.errors import ImageError
from zsdeconv.physics.deconvolve import richardson_lucy
from zsdeconv.physics.operators import Operator, forward_model
from zsdeconv.physics.optics import Optics
from zsdeconv.physics.psf_theory import theoretical_psf
from zsdeconv.report.checks.residuals import Residuals, judged_border_px, measure, section
from zsdeconv.sim.detection import detection_otf_2d
from zsdeconv.sim.reconstruct import Reconstruct

LENS = Optics(1.3, 525)
FINE_UM = 0.035
CAMERA = Camera(0.0, 1.7, 6.0)


@cache
def truth(photons: float = 40.0, yx_shape: tuple[int, int] = (97, 118), seed: int = 3) -> torch.Tensor:
    """Points and short lines in haze on the fine grid; the brightest raw pixel has about so many photo-electrons."""
    rng = np.random.default_rng(seed)
    x = np.zeros((2 * yx_shape[0], 2 * yx_shape[1]))
    for _ in range(60):
        r, c, length, angle = rng.uniform(0, x.shape[0]), rng.uniform(0, x.shape[1]), rng.uniform(0, 40), rng.uniform(0, np.pi)
        along = np.arange(0, length + 1, 0.5)
        rows, columns = (np.rint(a).astype(int) for a in (r + along * np.sin(angle), c + along * np.cos(angle)))
        inside = (rows >= 0) & (rows < x.shape[0]) & (columns >= 0) & (columns < x.shape[1])
        np.add.at(x, (rows[inside], columns[inside]), 1.0)
    x += 0.02 * x.max()
    clean = model()(torch.from_numpy(x)[None, None])
    return (torch.from_numpy(x) * (photons * CAMERA.gain / float(clean.max()))).float()


@cache
def model(wider: float = 1.0) -> Operator:
    lens = Optics(1.3 / wider, 525, 1.515)
    return forward_model(theoretical_psf(lens, (FINE_UM, FINE_UM)).values, 2, 2)


def seen(x: torch.Tensor, wider: float = 1.0) -> torch.Tensor:
    return model(wider)(x[None, None])[0, 0]


def recorded(clean: torch.Tensor, seed: int, camera: Camera = CAMERA) -> CameraMeasurement:
    rng = np.random.default_rng(seed)
    y = camera.gain * rng.poisson(clean.numpy() / camera.gain) + rng.normal(0, camera.read_noise, clean.shape)
    return CameraMeasurement(torch.from_numpy(y).float(), camera)


def levels(found: Residuals) -> dict[str, str]:
    return {finding.name: finding.level for finding in section(found).findings}


@pytest.mark.parametrize("photons", [2.0, 40.0])
def test_the_truth_passes(photons: float) -> None:
    """Twenty recordings of each: no alarm at all, few photons with their skewed noise included."""
    clean = seen(truth(photons))
    for seed in range(20):
        found = measure(recorded(clean, seed), clean)
        assert not found.blobs
        assert section(found).level == "ok"
        assert abs(found.sd - 1) < 5 * found.sd_spread
        assert abs(found.correlation - found.correlation_expected) < 5 * found.correlation_spread


def test_the_truth_passes_where_a_camera_counts_photons() -> None:
    """No read noise, a tenth of a photon in the dark: hardly anything is Gaussian there."""
    clean, counting = seen(truth(3.0)).clamp(min=0), Camera(0.0, 1.7, 0.0)
    for seed in range(20):
        found = measure(recorded(clean, seed, counting), clean)
        assert not found.blobs and abs(found.sd - 1) < 0.05


def test_a_stack_of_the_truth_passes_and_a_missing_point_is_found_in_its_plane() -> None:
    rng = np.random.default_rng(5)
    x = torch.zeros(9, 46, 62)
    for _ in range(30):
        x[rng.integers(9), rng.integers(46), rng.integers(62)] += 1
    x[4, 20, 30] = 3
    optics = Optics(1.1, 525, 1.33, microscope="lightsheet", sheet_um=1.0)
    operator = forward_model(theoretical_psf(optics, (0.2, 0.05, 0.05)).values, 3, 2)

    def imaged(a: torch.Tensor) -> torch.Tensor:
        return operator(a[None, None])[0, 0]

    scale = 60 / float(imaged(x).max())
    clean = scale * imaged(x)
    measurement = recorded(clean, 0)
    assert not measure(measurement, clean).blobs
    x[4, 20, 30] = 0
    found = measure(measurement, scale * imaged(x))
    assert levels(found)["structure_left"] != "ok"
    assert found.blobs[0].score > 0
    assert np.abs(np.subtract(found.blobs[0].zyx_px, (4, 10, 15))).max() < 2


def test_a_wrong_psf_is_flagged() -> None:
    """30 % too wide: at no single place beyond doubt in an image this small, but in the power of all of them."""
    for seed in range(5):
        clean = seen(truth())
        found = measure(recorded(clean, seed), seen(truth(), wider=1.3))
        assert levels(found)["residual_whiteness"] == "warn"
    much = measure(recorded(seen(truth()), 0), seen(truth(), wider=1.8))
    assert set(levels(much).values()) == {"warn"} and much.sd > 1.08


@pytest.mark.parametrize(("change", "sign"), [(-1.0, 1), (1.0, -1)])
def test_a_missing_blob_and_an_invented_one_are_found_where_they_are(change: float, sign: int) -> None:
    clean = seen(truth())
    blob = torch.zeros_like(truth())
    blob[120, 90] = 1
    blob = seen(blob)
    blob *= 25 * CAMERA.gain / blob.max()
    with_it = clean + blob
    for seed in range(5):
        measurement, x = (recorded(with_it, seed), clean) if change < 0 else (recorded(clean, seed), with_it)
        found = measure(measurement, x)
        assert levels(found)["structure_left"] != "ok"
        assert len({np.sign(blob.score) for blob in found.blobs}) == 1 and np.sign(found.blobs[0].score) == sign
        assert np.abs(np.subtract(found.blobs[0].zyx_px, (60, 45))).max() < 1.5
        assert found.structure[60, 45] == sign and found.structure_share < 0.03


def test_broad_structure_is_seen_in_the_lowest_frequencies() -> None:
    clean = seen(truth())
    y, x = np.mgrid[:97, :118]
    haze = torch.from_numpy(4 * np.exp(-((y - 40) ** 2 + (x - 70) ** 2) / (2 * 60**2))).float()
    found = measure(recorded(clean + haze, 0), clean)
    assert levels(found)["structure_left"] == "fail" and found.fullest_band == 0
    assert not measure(recorded(clean + haze, 0), clean, light=OpenLight()).blobs


def test_single_photons_of_a_multiplier_in_the_dark_are_no_structure() -> None:
    """A fiftieth of a photon, of which the re-blurred image has none: by its own noise, each one is six standard errors."""
    camera = Multiplier(0.0, 40.0, 36.0)
    clean = torch.full((96, 112), 0.02 * camera.gain)
    clean[40:60, 30:80] = 4 * camera.gain
    rng = np.random.default_rng(7)
    photons = rng.poisson(clean.numpy() / camera.gain)
    y = camera.gain * rng.gamma(np.maximum(photons, 1e-9)) * (photons > 0) + rng.normal(0, camera.read_noise, clean.shape)
    measurement = CameraMeasurement(torch.from_numpy(y).float(), camera)
    reblurred = torch.where(clean > camera.gain, clean, torch.zeros(()))
    assert levels(measure(measurement, reblurred, mean=clean))["residual_sd"] == "ok"
    assert measure(measurement, reblurred).sd > 1.2


@pytest.mark.parametrize(("kept", "told"), [(0.97, False), (0.7, True)])
def test_contrast_counts_by_what_is_lost_of_it(kept: float, told: bool) -> None:
    """Very bright: a loss of 3 % of the coarse contrast is several times the power of the noise, and changes no measurement."""
    clean = seen(truth(4000.0))
    middle = gaussian_filter(clean.numpy(), 3.0)
    less = clean + torch.from_numpy((kept - 1) * (middle - middle.mean())).float()
    found = measure(recorded(clean, 1), less)
    assert found.spectrum.bands[0] > 1.5
    assert (levels(found)["residual_whiteness"] == "warn") == told


def test_an_offset_is_reported_and_is_no_structure() -> None:
    clean = seen(truth())
    found = measure(recorded(clean + 3.0, 0), clean)
    sigma = float(CAMERA.variance(clean).mean().sqrt())
    assert found.level == pytest.approx(3 / sigma, rel=0.05)
    assert levels(found)["structure_left"] == "ok"


def test_fitted_noise_is_called_over_fitted() -> None:
    """Richardson-Lucy without a stop against the same with a good one, at few photons."""
    measurement = recorded(seen(truth(8.0)), 0)
    good, long = (seen(x[0, 0]) for x in richardson_lucy(measurement.y[None, None], model(), [3, 300]))
    fair, over = (measure(measurement, x) for x in (good, long))
    assert levels(over)["residual_whiteness"] == "warn" and over.sd < fair.sd < 1
    assert over.correlation < -0.05
    assert levels(fair)["residual_whiteness"] == "ok"
    said = [f.message for f in section(over).findings if f.name == "residual_whiteness"]
    assert "noise was taken for structure" in said[0]


def test_noise_that_comes_back_is_told_where_a_linear_filter_leaves_as_much() -> None:
    """Bright: Richardson-Lucy leaves more than the Wiener filter in every band, and yet fits noise that the denoised image has not."""
    clean = seen(truth(200.0))
    measurement = recorded(clean, 5)
    fitted = richardson_lucy(measurement.y[None, None].clamp(min=0), model(), [1000])[0]
    found = measure(measurement, model()(fitted)[0, 0], mean=clean)
    assert found.kept_power.min() < 0.8 and levels(found)["residual_whiteness"] == "warn"
    right = measure(measurement, clean, mean=clean)
    assert np.allclose(right.kept_power, 1) and levels(right)["residual_whiteness"] == "ok"


def test_the_data_themselves_are_the_extreme_of_over_fitting() -> None:
    measurement = recorded(seen(truth()), 0)
    found = measure(measurement, measurement.y)
    assert found.sd == 0 and levels(found)["residual_sd"] == "fail"


def test_a_wrong_gain_is_called_noisier_than_the_camera() -> None:
    clean = seen(truth())
    measurement = CameraMeasurement(recorded(clean, 0).y, Camera(0.0, 0.8, 2.0))
    assert levels(measure(measurement, clean))["residual_sd"] == "fail"


@cache
def striped() -> tuple[StructuredPlanes, np.ndarray, torch.Tensor]:
    """Structured illumination, its noise-free frames, and their reconstruction."""
    camera, unit = Camera(100.0, 1.3, 4.0), Affine(100.0, 50.0)
    reconstruct = Reconstruct(two_beams(), detection_otf_2d(OPTICS), PIXEL_UM, 0.2)
    clean = camera.gain * record(two_beams(), 40, np.random.default_rng(0), (64, 72)).clean
    return (
        StructuredPlanes(unit, camera, reconstruct.psf(), reconstruct),
        clean,
        reconstruct(torch.from_numpy(clean / 50).float()[None])[0, 0],
    )


def test_coloured_noise_of_a_reconstruction_passes_and_a_missing_spot_is_found() -> None:
    acquisition, clean, image = striped()
    spot = torch.zeros_like(image)
    spot[70, 60] = 1
    spot = acquisition.forward_operator(spot[None, None])[0, 0]
    spot *= 1.5 * float(image.max()) / spot.max()
    for seed in range(5):
        rng = np.random.default_rng(seed)
        frames = 100 + 1.3 * rng.poisson(clean / 1.3) + rng.normal(0, 2, clean.shape)
        measurement = acquisition.measure(frames, torch.device("cpu"))
        found = measure(measurement, image)
        assert found.correlation_expected > 0.5  # neighbours on the fine grid share most of their noise
        assert abs(found.correlation - found.correlation_expected) < 5 * found.correlation_spread
        assert section(found).level == "ok", (
            found.spectrum,
            found.sd,
            found.blobs[:2],
        )
        without = measure(measurement, image - spot)
        assert np.abs(np.subtract(without.blobs[0].zyx_px, (70, 60))).max() < 2


def test_what_lies_in_the_border_is_not_judged_and_places_count_from_the_corner() -> None:
    clean = seen(truth())
    other = clean.clone()
    other[3:6, 50:53] += 60
    other[70:73, 50:53] += 60
    measurement, border = recorded(other, 0), (9, 11)
    everywhere, inner = measure(measurement, clean), measure(measurement, clean, border_px=border)
    assert {round(blob.zyx_px[0]) for blob in everywhere.blobs[:2]} == {4, 71}
    assert [tuple(map(round, blob.zyx_px)) for blob in inner.blobs] == [(71, 51)]
    assert inner.structure.shape == inner.z.shape == clean.shape and inner.structure[71, 51] == 1
    assert not inner.structure[:9].any() and inner.sd < everywhere.sd
    assert judged_border_px((97, 118), (31, 64), 2) == (7, 14)


def test_grids_and_noise_are_checked() -> None:
    measurement = recorded(torch.ones(20, 24), 0)
    with pytest.raises(ImageError, match=r"\(40, 48\).*\(20, 24\)"):
        measure(measurement, torch.ones(40, 48))
    with pytest.raises(ImageError, match="noise 0"):
        measure(CameraMeasurement(measurement.y, Camera(0.0, 0.0, 0.0)), measurement.y)


def test_the_pictures_are_drawn_with_and_without_structure() -> None:
    clean = seen(truth())
    for x in (clean, torch.zeros_like(clean)):
        for captioned in section(measure(recorded(clean, 0), x)).figures:
            figure = Figure(figsize=captioned.size_in, layout="constrained")
            captioned.draw(figure)
            FigureCanvasAgg(figure).draw()
            assert len(figure.axes) == 2
