"""The estimated pattern against simulated and published ones, and recordings in which there is none to be found."""

import re
import warnings
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tifffile

from sim.simulator import KC, OPTICS, PIXEL_UM, record, two_beams
from zsdeconv.errors import ConfigError, DataWarning, ImageError, OpticsError
from zsdeconv.io import read
from zsdeconv.physics.optics import Optics
from zsdeconv.physics.otf import Otf, read_otf
from zsdeconv.sim.detection import detection_otf_2d
from zsdeconv.sim.estimate import Estimation, equalising_gains, estimate_parameters
from zsdeconv.sim.overlap import Overlap
from zsdeconv.sim.patterns import Direction, Layout, SimParameters
from zsdeconv.sim.plot import plot_estimation
from zsdeconv.sim.prior import PatternPrior
from zsdeconv.sim.search import Whitening
from zsdeconv.sim.spectra import FIT_TAPER_PX, Grid, taper
from zsdeconv.simulation.structured import SimScene, simulate_sim2d

DETECTION = detection_otf_2d(OPTICS)


def distance(found: Direction, truth: Direction, yx_shape: tuple[int, ...], pixel_um: float = PIXEL_UM) -> tuple[float, float, float]:
    """Errors of the wave vector (frequency pixels), of the depth, and of the phase in the middle of the frame (rad).

    A pattern and that of the opposite wave vector and phase are the same. At the corner the phase is less certain: there the
    error of the wave vector turns it by half a frame.
    """
    p, q = np.array(found.p_per_um), np.array(truth.p_per_um)
    sign = np.sign(p @ q)
    side_um = np.array(yx_shape) * pixel_um
    turn = sign * found.phase_rad - truth.phase_rad + np.pi * float((sign * p - q) @ side_um)
    return float(np.abs((sign * p - q) * side_um).max()), abs(found.depth - truth.depth), abs(float(np.angle(np.exp(1j * turn))))


def errors(found: SimParameters, truth: SimParameters, yx_shape: tuple[int, ...]) -> np.ndarray:
    return np.max([distance(a, b, yx_shape) for a, b in zip(found.directions, truth.directions, strict=True)], axis=0)


@pytest.mark.parametrize("p", [0.55, 0.85, 1.06])
@pytest.mark.parametrize("photons", [200, 2000])
def test_accuracy_inside_and_beyond_the_cutoff(p: float, photons: int) -> None:
    truth = two_beams(p * KC)
    frames = record(truth, photons, np.random.default_rng(0)).frames
    found = estimate_parameters(frames, PIXEL_UM, DETECTION)
    # The accuracy asked of the method: 0.02 frequency pixels, 0.03 in depth, 0.06 rad.
    assert (errors(found.parameters, truth, frames.shape[1:]) < (0.02, 0.03, 0.06)).all()
    assert found.messages == ()


@pytest.mark.parametrize(("p", "limits"), [(0.55, (0.02, 0.03, 0.06)), (0.85, (0.02, 0.03, 0.06)), (1.06, (0.05, 0.05, 0.06))])
def test_accuracy_at_twenty_photons(p: float, limits: tuple[float, float, float]) -> None:
    """Root mean square of nine. Beyond the cutoff bands overlap at high frequencies only, where 20 photons are mostly noise."""
    truth = two_beams(p * KC)
    found = []
    for seed in range(3):
        frames = record(truth, 20, np.random.default_rng(seed)).frames
        directions = estimate_parameters(frames, PIXEL_UM, DETECTION).parameters.directions
        found += [distance(a, b, frames.shape[1:]) for a, b in zip(directions, truth.directions, strict=True)]
    assert (np.sqrt(np.mean(np.square(found), axis=0)) < limits).all()


def test_depth_is_not_biased_by_noise() -> None:
    """Without the noise floor taken off, depths at 20 photons read a quarter too small."""
    truth = two_beams()
    depths = [
        [
            d.depth
            for d in estimate_parameters(record(truth, 20, np.random.default_rng(seed)).frames, PIXEL_UM, DETECTION).parameters.directions
        ]
        for seed in range(3)
    ]
    # nine depths, each known to 0.015: their mean to 0.005, times four
    assert np.mean(depths) == pytest.approx(np.mean([d.depth for d in truth.directions]), abs=0.02)


@pytest.mark.parametrize("order", ["direction-phase", "phase-direction"])
def test_other_numbers_of_directions_and_phases(order: str) -> None:
    truth = two_beams(0.8 * KC, (0.2, 0.85, 1.43, 2.1, 2.73), (0.7, 0.8, 0.6, 0.9, 0.75), phases=4, order=order)
    frames = record(truth, 200, np.random.default_rng(3), (131, 150)).frames
    found = estimate_parameters(frames, PIXEL_UM, DETECTION, truth.layout).parameters
    assert found.layout == truth.layout
    assert (errors(found, truth, frames.shape[1:]) < (0.02, 0.03, 0.06)).all()


@pytest.mark.parametrize("order", ["direction-phase", "phase-direction"])
@pytest.mark.parametrize("p", [0.8, 1.06])
def test_the_wrong_order_is_told(order: str, p: float) -> None:
    truth = two_beams(p * KC, order=order)
    frames = record(truth, 60, np.random.default_rng(4)).frames
    with pytest.raises(ImageError, match=f"give `order={order}`"):
        estimate_parameters(frames, PIXEL_UM, DETECTION, truth.layout.swapped)


def test_uneven_phase_steps_are_told() -> None:
    """Steps of a third of what they should be leave the opposite order in the band."""
    even = two_beams()
    uneven = SimParameters(
        tuple(Direction(d.p_per_um, d.depth, d.phase_rad, (0.0, 0.7, 1.4), d.gains) for d in even.directions), even.pixel_um
    )
    frames = record(uneven, 500, np.random.default_rng(5)).frames
    assert any("phases" in message for message in estimate_parameters(frames, PIXEL_UM, DETECTION).messages)


def test_bleaching_is_made_up_for_by_gains_that_are_reported() -> None:
    truth = two_beams()
    brightness = 0.97 ** np.arange(9)
    frames = record(truth, 200, np.random.default_rng(6), brightness=brightness).frames
    found = estimate_parameters(frames, PIXEL_UM, DETECTION)
    gains = np.concatenate([d.gains for d in found.parameters.directions])
    expected = brightness.mean() / brightness
    np.testing.assert_allclose(gains, expected, rtol=0.01)  # what the pattern does to the mean of a finite field
    assert (errors(found.parameters, truth, frames.shape[1:]) < (0.02, 0.03, 0.06)).all()
    assert found.messages == ()


def test_one_frame_of_a_third_of_the_brightness_is_told() -> None:
    brightness = np.ones(9)
    brightness[4] = 0.3
    found = estimate_parameters(record(two_beams(), 500, np.random.default_rng(6), brightness=brightness).frames, PIXEL_UM, DETECTION)
    assert any(message.startswith("direction 2, phase 2 is 3.") for message in found.messages)


def test_the_offset_is_subtracted_and_what_made_the_parameters_is_kept() -> None:
    frames = record(two_beams(), 200, np.random.default_rng(7)).frames
    plain, moved = (
        estimate_parameters(frames + offset, PIXEL_UM, DETECTION, offset=offset, made_from={"file": "a"}) for offset in (0.0, 250.0)
    )
    for one, two in zip(plain.parameters.directions, moved.parameters.directions, strict=True):
        assert two.depth == pytest.approx(one.depth, abs=1e-9)  # rounding
    assert moved.parameters.made_from == {"file": "a"}


@pytest.mark.parametrize("shape", [(97, 128), (128, 75)])
def test_small_frames(shape: tuple[int, int]) -> None:
    truth = two_beams(0.8 * KC)
    frames = record(truth, 500, np.random.default_rng(8), shape).frames
    # fewer pixels, fewer photons in all: twice the errors allowed
    assert (errors(estimate_parameters(frames, PIXEL_UM, DETECTION).parameters, truth, shape) < (0.04, 0.06, 0.12)).all()


def test_nothing_modulated_is_nothing_found() -> None:
    flat = record(two_beams(), 100, np.random.default_rng(9)).clean.mean(0)
    frames = np.random.default_rng(10).poisson(np.broadcast_to(flat, (9, *flat.shape)))
    with pytest.raises(ImageError, match=r"no pattern found .*limit .*; give angles_deg and period_um of .* brighter recording"):
        estimate_parameters(frames, PIXEL_UM, DETECTION)


def test_a_prior_narrows_the_search_and_lowers_the_limit() -> None:
    truth = two_beams(1.06 * KC, depths=(0.5, 0.5, 0.5))
    frames = record(truth, 25, np.random.default_rng(13)).frames
    angles = tuple(d.angle_deg + 183 for d in truth.directions)  # three degrees off, and the other way round
    blind, near = (
        estimate_parameters(frames, PIXEL_UM, DETECTION, prior=prior) for prior in (None, PatternPrior(angles, 1.02 / (1.06 * KC)))
    )
    assert errors(near.parameters, truth, frames.shape[1:])[0] < 0.2  # of 25 photons
    assert max(peak.limit for peak in near.peaks) < max(peak.limit for peak in blind.peaks)


@pytest.mark.parametrize(("photons", "depths", "p", "seed", "sense"), [(15, (0.6, 0.25, 0.6), 0.9, 2, -1), (13, (0.5,) * 3, 1.06, 6, 1)])
def test_weak_fringes_are_found_where_the_other_directions_say(
    photons: float, depths: tuple[float, ...], p: float, seed: int, sense: int
) -> None:
    """Directions of a microscope are evenly spaced: one that is found tells where the others are."""
    truth = two_beams(p * KC, tuple(0.31 + sense * n * np.pi / 3 for n in range(3)), depths)
    frames = record(truth, photons, np.random.default_rng(seed), (150, 160)).frames
    found = estimate_parameters(frames, PIXEL_UM, DETECTION).parameters
    assert errors(found, truth, frames.shape[1:])[0] < 0.3  # found; how well is a matter of light


@pytest.mark.parametrize(("photons", "depths", "p"), [(13, (0.5,) * 3, 1.06), (15, (0.8, 0.25, 0.9), 1.0), (10, (0.6, 0.2, 0.6), 0.9)])
def test_what_is_found_in_dim_frames_is_the_pattern_or_nothing(photons: float, depths: tuple[float, ...], p: float) -> None:
    truth = two_beams(p * KC, tuple(0.31 + n * np.pi / 3 for n in range(3)), depths)
    for seed in range(4):
        frames = record(truth, photons, np.random.default_rng(20 + seed), (110, 120)).frames
        try:
            found = estimate_parameters(frames, PIXEL_UM, DETECTION)
        except ImageError:
            continue
        wrong_px = [distance(a, b, frames.shape[1:])[0] for a, b in zip(found.parameters.directions, truth.directions, strict=True)]
        # three standard errors, and the grid of the search
        assert all(off < 3 * peak.error_px + 0.01 for off, peak in zip(wrong_px, found.peaks, strict=True))


@pytest.mark.parametrize("seed", range(6))
def test_noise_is_never_taken_for_a_pattern(seed: int) -> None:
    flat = record(two_beams(), 100, np.random.default_rng(seed)).clean.mean(0)
    frames = np.random.default_rng(10 + seed).poisson(np.broadcast_to(flat, (9, *flat.shape)))
    with pytest.raises(ImageError, match=r"no pattern found|fit equally well, or none fits well"):
        estimate_parameters(frames, PIXEL_UM, DETECTION)


def test_a_guess_that_fails_is_to_be_corrected() -> None:
    frames = record(two_beams(), 100, np.random.default_rng(9)).frames
    with pytest.raises(ImageError, match="correct angles_deg and period_um, or give the parameters of a brighter recording"):
        estimate_parameters(frames, PIXEL_UM, DETECTION, prior=PatternPrior((50.0, 110.0, 170.0), 0.3))


def test_a_coarse_pattern_needs_a_prior() -> None:
    truth = two_beams(0.3 * KC)
    frames = record(truth, 500, np.random.default_rng(12)).frames
    found = estimate_parameters(frames, PIXEL_UM, DETECTION, prior=PatternPrior(period_um=1 / (0.31 * KC))).parameters
    assert (errors(found, truth, frames.shape[1:]) < (0.02, 0.03, 0.06)).all()


@pytest.mark.parametrize(
    ("prior", "kind", "message"),
    [
        (PatternPrior(period_um=0.1), OpticsError, r"period 0.1 um: .* 0.155 um, the finest .* check period_um"),
        (PatternPrior(period_um=20.0), OpticsError, "coarsest"),
        (PatternPrior(period_um=float("nan")), OpticsError, "period nan"),
        (PatternPrior((10.0, 70.0)), ConfigError, "2 angles for 3 directions"),
        (PatternPrior((10.0, 70.0, float("inf"))), ConfigError, "check angles_deg"),
    ],
)
def test_impossible_priors(prior: PatternPrior, kind: type[Exception], message: str) -> None:
    with pytest.raises(kind, match=message):
        estimate_parameters(np.random.default_rng(0).random((9, 64, 64)), PIXEL_UM, DETECTION, prior=prior)


def test_frames_that_cannot_be_used() -> None:
    frames = record(two_beams(), 100, np.random.default_rng(13), (96, 90)).frames
    with pytest.raises(ImageError, match="8 raw frames"):
        estimate_parameters(frames[:8], PIXEL_UM, DETECTION)
    with pytest.raises(ImageError, match="9 raw frames: 3 directions x 5 phases are 15"):
        estimate_parameters(frames, PIXEL_UM, DETECTION, Layout(3, 5))
    missing = frames.copy()
    missing[5] = 7.0
    with pytest.raises(ImageError, match="1 of 9 planes are constant"):
        estimate_parameters(missing, PIXEL_UM, DETECTION)
    with pytest.raises(ImageError, match=r"frame \d: -.* check `background`"):
        estimate_parameters(frames, PIXEL_UM, DETECTION, offset=500.0)
    with pytest.raises(OpticsError, match=r"pixel 0.14 um"):
        estimate_parameters(frames, 0.14, DETECTION)
    with pytest.raises(ImageError, match="frames of 40 x 90 pixels"):
        estimate_parameters(frames[:, :40], PIXEL_UM, DETECTION)
    with pytest.raises(ImageError, match="NaN"):
        estimate_parameters(np.where(np.arange(90) == 3, np.nan, frames), PIXEL_UM, DETECTION)


def test_saturated_frames_are_told() -> None:
    frames = record(two_beams(), 100, np.random.default_rng(14)).frames
    with pytest.warns(DataWarning, match="saturated"):
        estimate_parameters(np.minimum(frames, 70).clip(0).astype(np.uint8), PIXEL_UM, DETECTION)


def test_pixels_that_fold_the_finest_frequencies_are_told() -> None:
    truth = two_beams(0.6 * KC, pixel_um=0.106)
    found = estimate_parameters(record(truth, 500, np.random.default_rng(19), (128, 131)).frames, 0.106, DETECTION)
    assert len(found.messages) == 1 and found.messages[0].startswith("pixel 0.106 um is coarser than 0.101 um")


def test_a_depth_out_of_range_is_used_within_it_and_told() -> None:
    frames = record(two_beams(depths=(0.7, 0.8, 0.9)), 2000, np.random.default_rng(15)).frames
    frames[:3] = 0.1 * frames[:3] + 0.9 * frames[:3].mean(0)
    found = estimate_parameters(frames, PIXEL_UM, DETECTION)
    assert found.peaks[0].depth == pytest.approx(0.07, abs=0.01)
    assert found.parameters.directions[0].depth == 0.1
    assert len(found.messages) == 1 and found.messages[0].startswith("direction 1: modulation depth 0.0")


def test_a_measured_otf_of_any_sampling_serves_as_well() -> None:
    truth = two_beams()
    frames = record(truth, 200, np.random.default_rng(16)).frames
    for dkr in (0.031, 0.0573):
        k = dkr * np.arange(int(7 / dkr))
        otf = Otf(DETECTION(k), dkr, "file")
        found = estimate_parameters(frames, PIXEL_UM, detection_otf_2d(otf)).parameters
        assert (errors(found, truth, frames.shape[1:]) < (0.02, 0.03, 0.06)).all()


def test_gains_keep_the_mean_brightness() -> None:
    frames = np.random.default_rng(17).random((9, 5, 4)) + np.arange(9)[:, None, None] / 30
    gains = equalising_gains(frames)
    np.testing.assert_allclose((frames * gains[:, None, None]).mean((1, 2)), frames.mean(), rtol=1e-12)  # rounding


def test_the_picture_is_written(tmp_path: Path) -> None:
    found = estimate_parameters(record(two_beams(), 200, np.random.default_rng(18), (100, 131)).frames, PIXEL_UM, DETECTION)
    assert isinstance(found, Estimation)
    for peak in found.peaks:
        assert peak.spectrum.max() == pytest.approx(peak.score, rel=1e-4)  # float32
    for name in ("a.png", "a.svg"):
        plot_estimation(found, tmp_path / name)
        assert (tmp_path / name).stat().st_size > 10_000


# real data


@pytest.mark.parametrize(("name", "wavelength_nm"), [("2_hela_cells_mitochondria", 660), ("3_mitochondria_cristae", 569)])
def test_wave_vectors_of_published_patterns(shared: Path, name: str, wavelength_nm: float) -> None:
    folder, pixel_um = shared / "realdata/sim" / name, 0.065
    frames, patterns = (tifffile.imread(folder / f"{kind}.tif").astype(float) for kind in ("raw_images", "patterns"))
    found = estimate_parameters(frames, pixel_um, detection_otf_2d(Optics(1.3, wavelength_nm, 1.515)), offset=100).parameters
    # `patterns` are the authors', on the twice finer grid; their wave vector is where a windowed transform is largest.
    y, x = (pixel_um / 2 * np.arange(n) for n in patterns.shape[1:])
    window = np.outer(np.hanning(len(y)), np.hanning(len(x)))
    for number, direction in enumerate(found.directions):
        image = (patterns[3 * number] - patterns[3 * number].mean()) * window
        p = np.array(direction.p_per_um)
        for step in (0.05, 0.01):  # frequency pixels of the raw frames
            ky, kx = (k + step / (120 * pixel_um) * np.arange(-6, 7) for k in p)
            size = np.abs(np.exp(-2j * np.pi * np.outer(ky, y)) @ image @ np.exp(-2j * np.pi * np.outer(x, kx)))
            row, column = np.unravel_index(int(size.argmax()), size.shape)
            p = np.array([ky[row], kx[column]])
        # 0.15 frequency pixels, the agreement reached before, and the step of this search
        assert np.abs((np.array(direction.p_per_um) - p) * 120 * pixel_um).max() < 0.16


@pytest.mark.parametrize("measured", [True, False], ids=["measured OTF", "theory"])
def test_published_angles_of_a_dim_recording(shared: Path, measured: bool) -> None:
    image = read(shared / "realdata/sim/microtubules_3x3.mrc", axes="PYX")
    otf = read_otf(shared / "realdata/sim/otf2d/TIRF488_cam1_0_z30_OTF2d.mrc")
    detection = detection_otf_2d(otf if measured else Optics(1.3, 525))
    for prior in (None, PatternPrior((84.8, 144.8, 204.8), 0.18)):
        found = estimate_parameters(image.data, image.spacing_um["X"], detection, prior=prior).parameters
        for direction, angle in zip(found.directions, (84.98, 144.93, -155.01), strict=True):
            assert direction.angle_deg == pytest.approx(angle, abs=0.03)  # 0.02 degrees are 0.03 frequency pixels
            assert direction.period_um == pytest.approx(0.18, abs=5e-4)


def test_weak_modulation_of_a_real_recording_is_found_blind(shared: Path) -> None:
    frames = read(shared / "realdata/sim/microtubules2_3x3.tif", axes="PYX").data
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DataWarning)  # a few saturated pixels
        found = estimate_parameters(frames, 0.065, detection_otf_2d(Optics(1.4, 525)), offset=float(frames.min()))
    angles = sorted(direction.angle_deg % 60 for direction in found.parameters.directions)
    assert angles[-1] - angles[0] < 2  # three directions, 60 degrees apart
    assert all(re.match("direction", message) for message in found.messages)


# the directions together


def test_directions_that_are_not_those_of_one_microscope_are_refused() -> None:
    uneven = two_beams(angles_rad=(0.31, 1.1, 2.47))
    frames = record(uneven, 500, np.random.default_rng(20), (128, 131)).frames
    with pytest.raises(
        ImageError, match=r"angles of 17\.\d, 6[23]\.?\d? and 14[12] degrees, not 60 degrees apart \(limit 5 off\); give angles_deg"
    ):
        estimate_parameters(frames, PIXEL_UM, DETECTION)
    given = PatternPrior(tuple(direction.angle_deg for direction in uneven.directions))
    found = estimate_parameters(frames, PIXEL_UM, DETECTION, prior=given).parameters
    assert errors(found, uneven, frames.shape[1:])[0] < 0.03  # fewer pixels than where 0.02 is asked


def test_unlike_periods_are_refused() -> None:
    pattern = two_beams()
    first = pattern.directions[0]
    wider = replace(first, p_per_um=(0.8 * first.p_per_um[0], 0.8 * first.p_per_um[1]))
    frames = record(replace(pattern, directions=(wider, *pattern.directions[1:])), 500, np.random.default_rng(21), (128, 131)).frames
    with pytest.raises(ImageError, match=r"periods of 0\.29.* um \(limit 10 % off|direction 1 of 3 is known to .* \(limit"):
        estimate_parameters(frames, PIXEL_UM, DETECTION)


@pytest.mark.parametrize("seed", range(3))
def test_small_fields_give_the_right_pattern_or_none(seed: int) -> None:
    """Before, all wave vectors of the first of these were wrong by 1 to 3 frequency pixels, with scores far above the limit."""
    scene = SimScene(size=64, photons=200.0, na=1.3, pixel_um=0.0626, seed=100 + seed)
    frames, detection = simulate_sim2d(scene).noisy.data.astype(float), detection_otf_2d(scene.optics)
    try:
        found = estimate_parameters(frames, scene.pixel_um, detection, offset=scene.offset)
    except ImageError as refused:
        assert re.search(r"limit .*; give (a larger field|angles_deg and period_um)|show the same fringes", str(refused))
        return
    for direction, peak, p in zip(found.parameters.directions, found.peaks, scene.p_per_um, strict=True):
        off_px = (np.array(direction.p_per_um) - p) * scene.size * scene.pixel_um
        assert np.abs(off_px).max() < 3 * peak.error_px  # three standard errors


def overlap_of(image: np.ndarray, p: np.ndarray, noise: float) -> Overlap:
    """Bands of order 0 and 1 of an object under fringes of a wave vector, blurred by the lens."""
    whitening = Whitening(Grid.of(image.shape, PIXEL_UM), DETECTION)
    y, x = (PIXEL_UM * np.arange(n) for n in image.shape)
    wave = np.exp(2j * np.pi * np.add.outer(p[0] * y, p[1] * x))
    rng = np.random.default_rng(22)
    window, H = taper(image.shape, FIT_TAPER_PX), DETECTION(whitening.grid.radius())
    parts = [np.fft.ifft2(np.fft.fft2(image * factor) * H) for factor in (1.0, 0.4 * wave)]
    bands = [np.fft.fft2(window * (part + noise * (rng.normal(size=part.shape) + 1j * rng.normal(size=part.shape)))) for part in parts]
    return Overlap(bands[0], bands[1], 1, whitening)


def test_a_straight_line_does_not_determine_the_wave_vector_and_a_scatter_of_points_does() -> None:
    p = np.array([1.3, 3.6])
    line, points = np.zeros((96, 97)), np.zeros((96, 97))
    line[40] = 100.0
    points[tuple(np.random.default_rng(23).integers(0, 96, (2, 200)))] = 100.0
    straight, scattered = (overlap_of(image, p, 0.3).error_px(p) for image in (line, points))
    assert scattered < 0.03 and straight > 0.1  # what is refused


def test_evidence_of_bands_of_noise_is_a_few_and_that_of_a_pattern_hundreds() -> None:
    rng, p = np.random.default_rng(24), np.array([1.3, 3.6])
    whitening = Whitening(Grid.of((64, 70), PIXEL_UM), DETECTION)
    window, found = taper((64, 70), FIT_TAPER_PX), []
    for _ in range(20):
        bands = [np.fft.fft2(window * rng.normal(size=(64, 70))) for _ in range(2)]
        found.append(Overlap(bands[0], bands[1], 1, whitening).evidence(p)[0])
    # A likelihood ratio: exponential with mean 1 at one frequency, of the best of a few neighbours somewhat more, of 20 four times it.
    assert 0.3 < np.mean(found) < 3 and max(found) < 9
    points = np.zeros((64, 70))
    points[tuple(rng.integers(0, 64, (2, 100)))] = 100.0
    evidence, place = overlap_of(points, p, 0.3).evidence(p)
    assert evidence > 100 and np.abs((place - p) * 64 * PIXEL_UM).max() < 0.3  # samples are a quarter of a frequency pixel apart
