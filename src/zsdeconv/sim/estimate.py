"""The parameters of the illumination, from the raw frames: once for a recording, in about a second.

Bands are separated, the wave vector is found where the bands of order 0 and of the highest order correlate (1 of two beams, 2 of
three: the finer the stripes, the sharper the peak), refined to a small fraction of a frequency pixel, and the complex strength of
each order follows by regression of its band on that of order 0. Stacks are compared in depth too, and summed over it. Gustafsson
(2000, J. Microsc. 198:82), Gustafsson et al. (2008, Biophys. J. 94:4957), Wicker et al. (2013, Opt. Express 21:2032), Lal et al.
(2016, IEEE J. Sel. Top. Quantum Electron. 22:6803414).
"""

from __future__ import annotations

import itertools
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from zsdeconv.errors import ConfigError, DataWarning, ImageError, OpticsError
from zsdeconv.image import Image
from zsdeconv.io.checks import check_restorable
from zsdeconv.sim.detection import DetectionOtf2d, DetectionOtf3d, require_fine_pixel
from zsdeconv.sim.overlap import Overlap, refined
from zsdeconv.sim.patterns import DEPTH_RANGES, Direction, Layout, SimParameters, nominal_phases_rad
from zsdeconv.sim.prior import SEARCHED, PatternPrior
from zsdeconv.sim.search import MIRRORED, PeakCandidate, Whitening, peak_candidates, refuse_other_order, refuse_unfound, same_stripes
from zsdeconv.sim.spectra import Grid, taper

SMALLEST_SIDE = 48
"""Half of it is left when the tapered borders are taken off."""
FEWEST_PLANES = 5
FLAT = {1: (0.03,), 2: (0.1, 0.03)}
"""A peak of smaller modulation depths than these (of each order of so many) is no pattern: traces of order 0 make as much."""
UNLIKE = 1.25
"""No microscope makes stripes of one direction so many times wider than those of another."""
DOUBLED_RAD, NOT_DOUBLED_RAD = 0.7, 1.5
"""Three beams make stripes of order 2 with twice the phase of order 1; more off than this is no error of the measurement, and no
pattern."""
UNEVEN = 1.5
"""Frames that differ in brightness by more than this did not only bleach."""


@dataclass(frozen=True, eq=False)
class Peak:
    """What was seen of one direction: the correlation of the bands of order 0 and of the highest over the median of the frequencies
    searched.

    `spectrum` (ky kx) around zero frequency up to `reach_per_um` on either side; `score` its height at the wave vector and
    `limit` what that must exceed; `depths` the modulation of each order as measured, which may lie outside the range that is used,
    and `doubled_rad` by how much the phase of order 2 differs from twice that of order 1.
    """

    spectrum: np.ndarray
    reach_per_um: tuple[float, float]
    score: float
    limit: float
    depths: tuple[float, ...]
    doubled_rad: float = 0.0

    @property
    def depth(self) -> float:
        """Modulation of order 1."""
        return self.depths[0]


@dataclass(frozen=True, eq=False)
class Estimation:
    """Parameters, what they rest on (one `Peak` per direction), and what the user should know, one line each."""

    parameters: SimParameters
    peaks: tuple[Peak, ...]
    messages: tuple[str, ...]


def estimate_parameters(
    frames: np.ndarray,
    pixel_um: float,
    detection: DetectionOtf2d | DetectionOtf3d,
    layout: Layout | None = None,
    *,
    offset: float = 0.0,
    guess: PatternPrior | None = None,
    made_from: Mapping[str, Any] | None = None,
    z_um: float | None = None,
) -> Estimation:
    """Wave vector, depths, phases and frame gains of each direction from raw `frames` (frame y x, ADU; 3 x 3 unless told).

    Stacks (frame z y x, frames in the order of a plane as `Layout.stack` gives them; 3 x 5 unless told) were made by three beams, and
    need a `DetectionOtf3d` and the distance `z_um` of their planes.

    The camera's `offset` is subtracted and nothing is clipped. Phases step evenly through one period. `guess` narrows the search
    for the wave vector; without it the annulus in which light of the same lens can lie is searched. Frames are made equally
    bright by fixed gains, to be used again with every noisy copy of these frames. A brighter recording of the same microscope
    gives parameters for a dim one; phases hold as long as the pattern does not drift.

    Reached on 200 x 200 pixels: 0.02 frequency pixels, 0.03 in depth and 0.06 rad (in the middle of the frame) at 20 photons and
    above inside the cutoff, at 200 beyond it; there 20 photons give 0.05, 0.05 and 0.06 (root mean squares).

    Raises `ImageError` for frames that cannot be used, that are in the other order or show no modulation, and `OpticsError` for
    pixels too coarse for the widened band or a pattern finer than the lens can make. Warns (`DataWarning`) of saturation.

    >>> from zsdeconv.physics.optics import Optics
    >>> from zsdeconv.sim.detection import detection_otf_2d
    >>> from zsdeconv.sim.patterns import illumination
    >>> stripes = [Direction((3 * np.sin(a), 3 * np.cos(a)), 0.8, 1.0, nominal_phases_rad(3), (1, 1, 1)) for a in (0.2, 1.3, 2.3)]
    >>> truth = SimParameters(tuple(stripes), pixel_um=0.1)
    >>> grains = np.random.default_rng(0).random((96, 96)) ** 8
    >>> detection = detection_otf_2d(Optics(1.0, 600))
    >>> lens = detection(Grid((96, 96), 0.1).radius())
    >>> blurred = np.fft.ifft2(np.fft.fft2(grains * illumination(truth, (96, 96), (0.1, 0.1))) * lens).real
    >>> [round(d.depth, 1) for d in estimate_parameters(1e4 * blurred, 0.1, detection).parameters.directions]
    [0.8, 0.8, 0.8]
    """
    layout, guess = layout or (Layout() if detection.rank == 2 else Layout(3, 5)), guess or PatternPrior()
    guess.check(layout, detection)
    layout.require(len(frames))
    _refuse_rank(frames, detection, layout, z_um)
    check_restorable(Image(frames, "PYX" if frames.ndim == 3 else "PZYX"))
    _refuse_small(frames)
    require_fine_pixel(detection, pixel_um, SEARCHED[0] * detection.cutoff_per_um)
    frames = np.asarray(frames, np.float64 if detection.rank == 2 else np.float32) - np.float32(offset)
    gains, messages = equalising_gains(frames)
    messages += _sampling_messages(pixel_um, detection)
    whitening = Whitening(Grid.of(frames.shape[1:], pixel_um, z_um), detection)
    equal = frames * gains.reshape(-1, *[1] * detection.rank).astype(frames.dtype)
    equal *= taper(whitening.grid.yx_shape).astype(frames.dtype)
    seen = peak_candidates(equal, layout, whitening, guess)
    refuse_other_order(seen, equal, layout, whitening, guess)
    refuse_unfound(seen)
    found = [_direction(sighting, whitening, gains[numbers]) for sighting, numbers in zip(seen, layout.numbers, strict=True)]
    directions, peaks = (tuple(part) for part in zip(*found, strict=True))
    _refuse_odd(directions, peaks)
    require_fine_pixel(detection, pixel_um, max(1 / direction.finest_um for direction in directions))
    parameters = SimParameters(directions, float(pixel_um), layout.order, dict(made_from or {}), z_um)
    return Estimation(parameters, peaks, (*messages, *_phase_messages(seen), *_depth_messages(peaks), *_doubling_messages(peaks)))


def _refuse_rank(frames: np.ndarray, detection: DetectionOtf2d | DetectionOtf3d, layout: Layout, z_um: float | None) -> None:
    rank = frames.ndim - 1
    if rank != detection.rank:
        raise OpticsError(
            f"{rank}-D frames and a {detection.rank}-D OTF ({detection.otf.source}): both must be of planes, or of stacks; "
            "give --otf of the right kind, or --na and --wavelength-nm"
        )
    if rank == 2:
        return
    if z_um is None or not (np.isfinite(z_um) and z_um > 0):
        raise ConfigError(f"step in z {z_um}: a stack needs a positive one; give --z-um (um from plane to plane)")
    if layout.phases < 5:
        raise ConfigError(f"{layout.phases} phases: at least 5 are needed to tell the five bands of three beams apart; give --phases")
    if frames.shape[1] < FEWEST_PLANES:
        raise ImageError(
            f"stack of {frames.shape[1]} planes: {FEWEST_PLANES} at least show how the pattern changes in depth; give the whole stack, or "
            "parameters from one with --sim-parameters"
        )


def _refuse_small(frames: np.ndarray) -> None:
    height, width = frames.shape[-2:]
    if min(height, width) < SMALLEST_SIDE:
        raise ImageError(
            f"frames of {height} x {width} pixels: {SMALLEST_SIDE} x {SMALLEST_SIDE} at least hold enough stripes to be measured; "
            "give the whole camera frame, or parameters from one with --sim-parameters"
        )


def equalising_gains(frames: np.ndarray) -> tuple[np.ndarray, list[str]]:
    """Factor for each frame (`frame *zyx`, offset removed) that gives all the same mean, and what to say about them.

    Raises `ImageError` for frames without light.

    >>> equalising_gains(np.ones((2, 4, 4)) * [[[1.0]], [[3.0]]])[0].tolist()
    [2.0, 0.6666666666666666]
    """
    means = frames.mean(tuple(range(1, frames.ndim)), dtype=np.float64)
    if means.min() <= 0:
        raise ImageError(
            f"frame {int(means.argmin())}: {means.min():.3g} ADU above the offset on average, it must be above 0; "
            "check --background, or leave out a recording with dark frames"
        )
    gains = means.mean() / means
    if gains.max() <= UNEVEN * gains.min():
        return gains, []
    dimmest, brightest = int(gains.argmax()), int(gains.argmin())
    ratio = f"frame {dimmest} is {gains.max() / gains.min():.2f} times dimmer than frame {brightest} (bleaching makes {UNEVEN} at most)"
    return gains, [f"{ratio}: fixed gains make up for it; check the shutter, and --background"]


def _direction(seen: PeakCandidate, whitening: Whitening, gains: np.ndarray) -> tuple[Direction, Peak]:
    """Parameters of one direction, refined from where the search has seen it."""
    orders = whitening.orders
    p, c = refined(seen.bands[0], seen.bands[-1], seen.p_per_um, whitening)
    p = p / orders
    strengths = [Overlap(seen.bands[0], seen.bands[m], m, whitening).strength(m * p) for m in range(1, orders)] + [c]
    depths = tuple(2 * abs(c) for c in strengths)
    used = [float(np.clip(depth, *allowed)) for depth, allowed in zip(depths, DEPTH_RANGES[orders], strict=True)]
    phases = [float(np.angle(c)) for c in strengths]
    order2 = (used[1], phases[1]) if orders == 2 else (0.0, 0.0)
    direction = Direction((p[0], p[1]), used[0], phases[0], nominal_phases_rad(len(gains)), tuple(gains), seen.score, *order2)
    doubled = float(np.angle(strengths[-1] * np.conj(strengths[0]) ** 2)) if orders == 2 else 0.0
    return direction, Peak(seen.spectrum, seen.reach_per_um, seen.score, seen.limit, depths, doubled)


def _refuse_odd(directions: tuple[Direction, ...], peaks: tuple[Peak, ...]) -> None:
    """Raise `ImageError` for a peak that is no pattern: of hardly any depth, or of another period than the other directions."""
    advice = "give --angles-deg and --period-um, or the parameters of a brighter data set"
    if directions[0].orders == 2:
        advice = f"check --order and --otf, {advice}"
    for (number, one), (last, other) in itertools.combinations(enumerate(directions, 1), 2):
        if same_stripes(one.p_per_um, other.p_per_um):
            raise ImageError(
                f"directions {number} and {last} show the same stripes ({one.angle_deg:.1f} and {other.angle_deg:.1f} degrees); check "
                "--order, --directions and --phases, and that all directions were recorded"
            )
    periods = [direction.period_um for direction in directions]
    usual = float(np.median(periods))
    for number, (period, peak) in enumerate(zip(periods, peaks, strict=True), 1):
        where = f"no pattern found in direction {number} of {len(peaks)}: the best fit has"
        for depth, limit in zip(peak.depths, FLAT[len(peak.depths)], strict=True):
            if depth < limit:
                raise ImageError(f"{where} a modulation depth of {depth:.2g} (limit {limit:g}); {advice}")
        if abs(peak.doubled_rad) > NOT_DOUBLED_RAD:
            off = f"a phase of order 2 that is {peak.doubled_rad:+.2g} rad off twice that of order 1 (limit {NOT_DOUBLED_RAD:g})"
            raise ImageError(f"{where} {off}; {advice}")
        if len(peaks) > 2 and not 1 / UNLIKE < period / usual < UNLIKE:
            raise ImageError(f"{where} a period of {period:.3g} um, the others {usual:.3g} um (limit {UNLIKE:g} times); {advice}")


def _sampling_messages(pixel_um: float, detection: DetectionOtf2d | DetectionOtf3d) -> list[str]:
    coarsest = 0.5 / detection.cutoff_per_um
    if pixel_um <= coarsest * (1 + 1e-6):
        return []
    return [
        f"pixel {pixel_um:g} um is coarser than {coarsest:.3g} um, half the finest period that the lens passes: finer details are folded "
        "back into false ones; record smaller pixels, or check --pixel-um"
    ]


def _phase_messages(seen: list[PeakCandidate]) -> list[str]:
    return [
        f"direction {number}: the opposite wave vector fits {sighting.mirrored:.2f} times as well (limit {MIRRORED:g}), so the phases do "
        "not step evenly through one period; check --order, --phases, and the microscope"
        for number, sighting in enumerate(seen, 1)
        if sighting.mirrored > MIRRORED
    ]


def _depth_messages(peaks: tuple[Peak, ...]) -> list[str]:
    found = []
    for number, peak in enumerate(peaks, 1):
        for order, (depth, (low, high)) in enumerate(zip(peak.depths, DEPTH_RANGES[len(peak.depths)], strict=True), 1):
            if not low <= depth <= high:
                of_order = f" of order {order}" if len(peak.depths) > 1 else ""
                found.append(
                    f"direction {number}: modulation depth{of_order} {depth:.3g} measured, {np.clip(depth, low, high):g} is used "
                    f"({low:g} to {high:g} are possible); check --background, the OTF, and the contrast of the pattern"
                )
    return found


def _doubling_messages(peaks: tuple[Peak, ...]) -> list[str]:
    return [
        f"direction {number}: the phase of order 2 is {peak.doubled_rad:+.2f} rad off twice that of order 1 (limit {DOUBLED_RAD:g}); check "
        "the OTF, --z-um, --immersion-ri, --excitation-nm, and whether three beams made the pattern"
        for number, peak in enumerate(peaks, 1)
        if abs(peak.doubled_rad) > DOUBLED_RAD
    ]


def warn(messages: tuple[str, ...]) -> None:
    """Show each message as a `DataWarning`."""
    for message in messages:
        warnings.warn(message, DataWarning, stacklevel=3)
