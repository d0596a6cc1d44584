"""Estimation of the illumination parameters from the raw frames: once for a recording, in about a second.

Bands are separated. The wave vector is the peak of the correlation of the bands of order 0 and of the highest order (1 for two beams, 2
for three: finer fringes give a sharper peak), refined to a small fraction of a frequency pixel. The complex strength of each order
follows by regression of its band on the band of order 0. For stacks the comparison includes the axial frequencies. Gustafsson
(2000, J. Microsc. 198:82), Gustafsson et al. (2008, Biophys. J. 94:4957), Wicker et al. (2013, Opt. Express 21:2032), Lal et al.
(2016, IEEE J. Sel. Top. Quantum Electron. 22:6803414).
"""

from __future__ import annotations

import itertools
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from zsdeconv.errors import ConfigError, DataWarning, ImageError, OpticsError
from zsdeconv.image import Image
from zsdeconv.io.checks import check_restorable, refuse_undefined
from zsdeconv.sim.detection import DetectionOtf2d, DetectionOtf3d, require_fine_pixel
from zsdeconv.sim.frame_light import light_message, light_of, refuse_dark_frames
from zsdeconv.sim.joint import BRIGHTER, advice, joined, misfit, not_found
from zsdeconv.sim.overlap import Overlap, refined
from zsdeconv.sim.patterns import DEPTH_RANGES, Direction, Layout, SimParameters, nominal_phases_rad
from zsdeconv.sim.prior import SEARCH_RANGE_CUTOFFS, PatternPrior
from zsdeconv.sim.search import (
    MAX_MIRROR_RATIO,
    PeakCandidate,
    Whitening,
    peak_candidates,
    refuse_other_order,
    same_fringes,
)
from zsdeconv.sim.spectra import FIT_TAPER_PX, Grid, taper

MIN_SIDE_PX = 48
"""Smallest side of the frames. Chosen: half of it is left inside the tapered borders of 12 pixels."""
MIN_PLANES = 5
"""Fewest planes of a stack. Chosen: fewer do not resolve the axial modulation of order 1."""
MIN_STACK_PHASES = 5
"""Law: three beams give five bands, and as many unknowns need as many equations."""
MIN_PEAK_DEPTHS = {1: (0.03,), 2: (0.1, 0.03)}
"""Modulation depth of each order, by the highest order, below which a peak is no pattern. Chosen: residues of order 0 reach as much."""
ERROR_WARNING_PX = 0.05
"""Standard error of a wave vector, in frequency pixels, that raises a warning. Chosen: twice as much turns the phase of the fringes by
0.3 rad at the borders of the field."""
MAX_ERRORS = (0.1, 0.0035)
"""Standard error of a wave vector, in frequency pixels and relative to its length, above both of which nothing is reconstructed. Chosen:
twice the warning, and above that of real recordings with weak modulation (0.33 of 96 frequency pixels)."""
DOUBLED_PHASE_WARNING_RAD = 0.7
"""Deviation of the phase of order 2 from twice the phase of order 1 (law of three beams) that raises a warning. Chosen: it exceeds the
error of the measurement, 0.15 rad at 40 photons (tests/sim/test_stacks.py), several times."""
DOUBLED_PHASE_LIMIT_RAD = 1.5
"""The same deviation from which on the peak is no pattern. Chosen: about a quarter turn, half of the largest possible one."""
PIXEL_TOLERANCE = 1e-6
"""Relative excess over the Nyquist pixel that raises no warning. Chosen: it exceeds the rounding of sizes in files."""


@dataclass(frozen=True, eq=False)
class Peak:
    """Correlation peak of one direction: the correlation of the bands of order 0 and of the highest order over its median.

    Parameters
    ----------
    spectrum, reach_per_um
        Correlation (ky kx) around zero frequency, and its half widths along y and x.
    score, limit
        Height at the wave vector, and the height it must reach.
    depths
        Modulation of each order as measured; it may lie outside the range that a reconstruction uses.
    doubled_rad
        Phase of order 2 minus twice the phase of order 1.
    error_px, settled
        Standard error of the wave vector in frequency pixels (`Overlap.error_px`), and whether the fit came to rest.
    """

    spectrum: np.ndarray
    reach_per_um: tuple[float, float]
    score: float
    limit: float
    depths: tuple[float, ...]
    doubled_rad: float = 0.0
    error_px: float = 0.0
    settled: bool = True

    @property
    def depth(self) -> float:
        """Modulation of order 1."""
        return self.depths[0]


@dataclass(frozen=True, eq=False)
class Estimation:
    """Parameters, the `Peak` of each direction, and messages to the user, one line each."""

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
    prior: PatternPrior | None = None,
    made_from: Mapping[str, Any] | None = None,
    z_um: float | None = None,
) -> Estimation:
    """Wave vector, depths, phases and frame gains of each direction from raw frames.

    Phases are assumed to step evenly through one period. Frames are equalised by fixed gains, which apply to every noisy copy of these
    frames as well. A brighter recording of the same microscope gives parameters for a dim one; phases hold as long as the pattern does
    not drift. Accuracy on 200 x 200 pixels (root mean square): 0.02 frequency pixels, 0.03 in depth and 0.06 rad in the middle of the
    frame, from 20 photons on inside the cutoff and from 200 beyond it; beyond it 20 photons give 0.05, 0.05 and 0.06.

    Parameters
    ----------
    frames
        Frames (frame y x) in ADU; for three beams stacks (frame z y x), frames in the order of a plane as from `Layout.stack`.
    pixel_um, z_um
        Pixel size, and for stacks the step between planes.
    detection
        OTF of the detection, for stacks a `DetectionOtf3d`.
    layout
        Order of the frames; by default 3 x 3, for stacks 3 x 5.
    offset
        Camera offset, subtracted without clipping.
    prior
        Prior knowledge that narrows the search for the wave vector.
    made_from
        Provenance, kept in the parameters.

    Raises
    ------
    ImageError
        For frames that cannot be used, are in another order or show no modulation. Warns (`DataWarning`) of saturation.
    OpticsError
        For pixels too coarse for the widened band, and a pattern finer than the lens can produce.

    >>> from zsdeconv.physics.optics import Optics
    >>> from zsdeconv.sim.detection import detection_otf_2d
    >>> from zsdeconv.sim.patterns import illumination
    >>> fringes = [Direction((3 * np.sin(a), 3 * np.cos(a)), 0.8, 1.0, nominal_phases_rad(3), (1, 1, 1)) for a in (0.2, 1.3, 2.3)]
    >>> truth = SimParameters(tuple(fringes), pixel_um=0.1)
    >>> grains = np.random.default_rng(0).random((96, 96)) ** 8
    >>> detection = detection_otf_2d(Optics(1.0, 600))
    >>> lens = detection(Grid((96, 96), 0.1).radius())
    >>> blurred = np.fft.ifft2(np.fft.fft2(grains * illumination(truth, (96, 96), (0.1, 0.1))) * lens).real
    >>> [round(d.depth, 1) for d in estimate_parameters(1e4 * blurred, 0.1, detection).parameters.directions]
    [0.8, 0.8, 0.8]
    """
    layout, prior = layout or (Layout() if detection.rank == 2 else Layout(3, 5)), prior or PatternPrior()
    prior.check(layout, detection)
    layout.require(len(frames))
    _refuse_rank(frames, detection, layout, z_um)
    image = Image(frames, "PYX" if frames.ndim == 3 else "PZYX")
    refuse_undefined(image)
    check_restorable(image)
    _refuse_small(frames)
    require_fine_pixel(detection, pixel_um, SEARCH_RANGE_CUTOFFS[0] * detection.cutoff_per_um)
    frames = np.asarray(frames, np.float64 if detection.rank == 2 else np.float32) - np.float32(offset)
    refuse_dark_frames(frames, layout)
    gains, messages = equalising_gains(frames), [text for text in [light_message(frames, layout)] if text]
    messages += _sampling_messages(pixel_um, detection)
    whitening = Whitening(Grid.of(frames.shape[1:], pixel_um, z_um), detection)
    equal = frames * gains.reshape(-1, *[1] * detection.rank).astype(frames.dtype)
    equal -= equal.mean(dtype=np.float64).astype(frames.dtype)
    equal *= taper(whitening.grid.yx_shape, FIT_TAPER_PX).astype(frames.dtype)
    highest = peak_candidates(equal, layout, whitening, prior)
    found = joined(highest, whitening, prior)
    candidates = highest if found is None else found
    refuse_other_order(candidates, equal, layout, whitening, prior)
    checked = "check `order` and `otf`; " if whitening.orders == 2 else ""
    if found is None:
        raise ImageError(f"{not_found(candidates) or _no_fit(candidates, prior)}; {checked}{advice(prior)}")
    directions, peaks = _directions(candidates, whitening, gains[layout.numbers])
    if complaint := _implausible(directions, peaks, prior):
        raise ImageError(f"{complaint}; {checked}{advice(prior)}")
    _refuse_uncertain(peaks, directions, whitening.grid)
    require_fine_pixel(detection, pixel_um, max(1 / direction.finest_um for direction in directions))
    parameters = SimParameters(directions, float(pixel_um), layout.order, dict(made_from or {}), z_um)
    messages += [*_phase_messages(candidates), *_depth_messages(peaks), *_doubling_messages(peaks), *_error_messages(peaks)]
    return Estimation(parameters, peaks, tuple(messages))


def _refuse_rank(frames: np.ndarray, detection: DetectionOtf2d | DetectionOtf3d, layout: Layout, z_um: float | None) -> None:
    rank = frames.ndim - 1
    if rank != detection.rank:
        raise OpticsError(
            f"{rank}-D frames and a {detection.rank}-D OTF ({detection.otf.source}): both must be of planes, or of stacks; "
            "give an `otf` of the right kind, or `na` and wavelength_nm"
        )
    if rank == 2:
        return
    if z_um is None or not (np.isfinite(z_um) and z_um > 0):
        raise ConfigError(f"step in z {z_um}: a stack needs a positive one; give z_um (um from plane to plane)")
    if layout.phases < MIN_STACK_PHASES:
        needed = f"at least {MIN_STACK_PHASES} are needed to separate the five bands of three beams"
        raise ConfigError(f"{layout.phases} phases: {needed}; give `phases`")
    if frames.shape[1] < MIN_PLANES:
        raise ImageError(
            f"stack of {frames.shape[1]} planes: at least {MIN_PLANES} are needed to measure the axial modulation; give the whole stack, "
            "or the parameters of one as sim_parameters"
        )


def _refuse_small(frames: np.ndarray) -> None:
    height, width = frames.shape[-2:]
    if min(height, width) < MIN_SIDE_PX:
        raise ImageError(
            f"frames of {height} x {width} pixels: at least {MIN_SIDE_PX} x {MIN_SIDE_PX} are needed to measure the fringes; "
            "give the whole camera frame, or the parameters of one as sim_parameters"
        )


def equalising_gains(frames: np.ndarray) -> np.ndarray:
    """Factor for each frame (`frame *zyx`, offset removed) that gives all the same mean.

    Raises `ImageError` for frames without light.

    >>> equalising_gains(np.ones((2, 4, 4)) * [[[1.0]], [[3.0]]]).tolist()
    [2.0, 0.6666666666666666]
    """
    means = light_of(frames)
    if means.min() <= 0:
        raise ImageError(
            f"frame {int(means.argmin()) + 1}: {means.min():.3g} ADU above the offset on average, it must be above 0; "
            "check `background`, or leave out a recording with dark frames"
        )
    return means.mean() / means


def _directions(
    candidates: Sequence[PeakCandidate], whitening: Whitening, gains: np.ndarray
) -> tuple[tuple[Direction, ...], tuple[Peak, ...]]:
    """Parameters of all directions, whose `gains` are (direction phase), and their peaks."""
    pairs = [_direction(candidate, whitening, own) for candidate, own in zip(candidates, gains, strict=True)]
    return tuple(direction for direction, _ in pairs), tuple(peak for _, peak in pairs)


def _direction(candidate: PeakCandidate, whitening: Whitening, gains: np.ndarray) -> tuple[Direction, Peak]:
    """Parameters of one direction, refined from its candidate."""
    orders = whitening.orders
    fit = refined(candidate.bands[0], candidate.bands[-1], candidate.p_per_um, whitening)
    p = fit.p_per_um / orders
    lower = [Overlap(candidate.bands[0], candidate.bands[m], m, whitening).strength(m * p) for m in range(1, orders)]
    strengths = [*lower, fit.strength]
    depths = tuple(2 * abs(c) for c in strengths)
    used = [float(np.clip(depth, *allowed)) for depth, allowed in zip(depths, DEPTH_RANGES[orders], strict=True)]
    phases = [float(np.angle(c)) for c in strengths]
    order2 = (used[1], phases[1]) if orders == 2 else (0.0, 0.0)
    direction = Direction((p[0], p[1]), used[0], phases[0], nominal_phases_rad(len(gains)), tuple(gains), candidate.score, *order2)
    doubled = float(np.angle(strengths[-1] * np.conj(strengths[0]) ** 2)) if orders == 2 else 0.0
    measured = (candidate.spectrum, candidate.reach_per_um, candidate.score, candidate.limit, depths, doubled)
    return direction, Peak(*measured, fit.error_px, fit.settled)


def _no_fit(candidates: Sequence[PeakCandidate], prior: PatternPrior) -> str:
    """Why peaks that are significant are no pattern together. Raises `ImageError` for repeated directions, which no guess mends."""
    for (number, one), (last, other) in itertools.combinations(enumerate(candidates, 1), 2):
        if same_fringes(one.p_per_um, other.p_per_um):
            raise ImageError(
                f"directions {number} and {last} show the same fringes ({one.angle_deg:.1f} and {other.angle_deg:.1f} degrees); check "
                "`order`, `directions` and `phases`, and that all directions were recorded"
            )
    doubt = misfit([candidate.p_per_um for candidate in candidates], prior) or "peaks that fit no pattern of one microscope"
    return f"no pattern found in all directions: the best fits have {doubt}"


def _implausible(directions: tuple[Direction, ...], peaks: tuple[Peak, ...], prior: PatternPrior) -> str:
    """What shows that peaks are no pattern: a low depth, an undoubled phase, unlike periods or uneven angles; empty where nothing does."""
    for number, peak in enumerate(peaks, 1):
        if doubt := _doubt(peak):
            return f"no pattern found in direction {number} of {len(peaks)}: the best fit has {doubt}"
    doubt = misfit([[direction.orders * k for k in direction.p_per_um] for direction in directions], prior)
    return f"no pattern found in all directions: the best fits have {doubt}" if doubt else ""


def _doubt(peak: Peak) -> str:
    """What a fit has that the fringes of a microscope do not have; empty where there is nothing."""
    for depth, limit in zip(peak.depths, MIN_PEAK_DEPTHS[len(peak.depths)], strict=True):
        if depth < limit:
            return f"a modulation depth of {depth:.2g} (limit {limit:g})"
    if abs(peak.doubled_rad) > DOUBLED_PHASE_LIMIT_RAD:
        return f"a phase of order 2 that is {peak.doubled_rad:+.2g} rad off twice that of order 1 (limit {DOUBLED_PHASE_LIMIT_RAD:g})"
    return ""


def _refuse_uncertain(peaks: tuple[Peak, ...], directions: tuple[Direction, ...], grid: Grid) -> None:
    """Raise `ImageError` where the frames do not determine a wave vector well enough."""
    for number, (peak, direction) in enumerate(zip(peaks, directions, strict=True), 1):
        length_px = direction.orders * float(np.hypot(*(np.array(direction.p_per_um) / grid.step_per_um)))
        limit_px = max(MAX_ERRORS[0], MAX_ERRORS[1] * length_px)
        if peak.settled and peak.error_px <= limit_px:
            continue
        known = f"is known to {peak.error_px:.2g} frequency pixels" if peak.settled else "is not determined"
        raise ImageError(
            f"the wave vector of direction {number} of {len(peaks)} {known} (limit {limit_px:.2g}): too little light or structure in "
            f"{grid.yx_shape[0]} x {grid.yx_shape[1]} pixels to measure the fringes; give a larger field, or {BRIGHTER}"
        )


def _error_messages(peaks: tuple[Peak, ...]) -> list[str]:
    return [
        f"direction {number}: the wave vector is known to {peak.error_px:.2g} frequency pixels (limit {ERROR_WARNING_PX:g}), detail finer "
        f"than the lens passes may be wrong at the borders of the field; give {BRIGHTER}"
        for number, peak in enumerate(peaks, 1)
        if peak.error_px > ERROR_WARNING_PX
    ]


def _sampling_messages(pixel_um: float, detection: DetectionOtf2d | DetectionOtf3d) -> list[str]:
    coarsest = 0.5 / detection.cutoff_per_um
    if pixel_um <= coarsest * (1 + PIXEL_TOLERANCE):
        return []
    return [
        f"pixel {pixel_um:g} um is coarser than {coarsest:.3g} um, half the finest period that the lens passes: finer details are "
        "aliased; record smaller pixels, or check pixel_um"
    ]


def _phase_messages(candidates: list[PeakCandidate]) -> list[str]:
    return [
        f"direction {number}: the opposite wave vector fits {candidate.mirrored:.2f} times as well (limit {MAX_MIRROR_RATIO:g}), so "
        "the phases do not step evenly through one period; check `order`, `phases`, and the microscope"
        for number, candidate in enumerate(candidates, 1)
        if candidate.mirrored > MAX_MIRROR_RATIO
    ]


def _depth_messages(peaks: tuple[Peak, ...]) -> list[str]:
    messages = []
    for number, peak in enumerate(peaks, 1):
        for order, (depth, (low, high)) in enumerate(zip(peak.depths, DEPTH_RANGES[len(peak.depths)], strict=True), 1):
            if not low <= depth <= high:
                of_order = f" of order {order}" if len(peak.depths) > 1 else ""
                messages.append(
                    f"direction {number}: modulation depth{of_order} {depth:.3g} measured, {np.clip(depth, low, high):g} is used "
                    f"({low:g} to {high:g} are possible); check `background`, the OTF, and the contrast of the pattern"
                )
    return messages


def _doubling_messages(peaks: tuple[Peak, ...]) -> list[str]:
    return [
        f"direction {number}: the phase of order 2 is {peak.doubled_rad:+.2f} rad off twice that of order 1 (limit "
        f"{DOUBLED_PHASE_WARNING_RAD:g}); check the OTF, z_um, immersion_ri, excitation_nm, and whether three beams made the pattern"
        for number, peak in enumerate(peaks, 1)
        if abs(peak.doubled_rad) > DOUBLED_PHASE_WARNING_RAD
    ]


def warn(messages: tuple[str, ...]) -> None:
    """Show each message as a `DataWarning`."""
    for message in messages:
        warnings.warn(message, DataWarning, stacklevel=3)
