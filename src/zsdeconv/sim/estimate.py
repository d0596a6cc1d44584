"""The parameters of the illumination, from the raw frames: once for a recording, in about a second.

Bands are separated, the wave vector is found where the bands of order 0 and of the highest order correlate (1 of two beams, 2 of
three: the finer the stripes, the sharper the peak), refined to a small fraction of a frequency pixel, and the complex strength of
each order follows by regression of its band on that of order 0. Stacks are compared in depth too, and summed over it. Gustafsson
(2000, J. Microsc. 198:82), Gustafsson et al. (2008, Biophys. J. 94:4957), Wicker et al. (2013, Opt. Express 21:2032), Lal et al.
(2016, IEEE J. Sel. Top. Quantum Electron. 22:6803414).
"""

from __future__ import annotations

import itertools
import math
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from zsdeconv.errors import ConfigError, DataWarning, ImageError, OpticsError
from zsdeconv.image import Image
from zsdeconv.io.checks import check_restorable
from zsdeconv.sim.detection import DeepDetection, Detection, require_fine_pixel
from zsdeconv.sim.guess import SEARCHED, Guess
from zsdeconv.sim.patterns import DEPTH_RANGES, Direction, Layout, SimParameters, mixing, nominal_phases_rad
from zsdeconv.sim.spectra import SEEN, Grid, noise_power, object_spectrum, taper, zero_padded, zoomed

CHANCE = 1.3
"""A peak must be so many times higher than the highest that noise alone is expected to make among the frequencies searched."""
REWEIGHTINGS = 3
REACH = {1: 1, 2: 3}
"""How many frequency pixels the search may have missed the wave vector by. A few bright structures make a wide peak of a stack's."""
SMALLEST_SIDE = 48
"""Half of it is left when the tapered borders are taken off."""
FEWEST_PLANES = 5
USUAL_PATTERN = 0.9
"""Frequency of the finest stripes of a usual microscope, in units of the cutoff: how order 1 beats is told by it while it is unknown."""
CLEARED = {2: 0.05, 3: 0.2}
"""Around its zero a band is left out so far, in units of the cutoff: there is the light from out of focus, and of traces of order 0."""
SMOOTHED = {2: 0.0, 3: 1.0}
"""What is added under the root of the weights, in units of the OTF's `level` squared."""
MIRRORED = 0.6
"""Share of its height that the peak of a direction may have at the opposite wave vector too, before the phases are doubted."""
FLAT = {1: (0.03,), 2: (0.1, 0.03)}
"""A peak of smaller modulation depths than these (of each order of so many) is no pattern: traces of order 0 make as much."""
UNLIKE = 1.25
"""No microscope makes stripes of one direction so many times wider than those of another."""
DOUBLED_RAD, NOT_DOUBLED_RAD = 0.7, 1.5
"""Three beams make stripes of order 2 with twice the phase of order 1; more off than this is no error of the measurement, and no
pattern."""
ALIKE = 0.1
"""Wave vectors of two directions that differ by a smaller share of their length are the same."""
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
    detection: Detection | DeepDetection,
    layout: Layout | None = None,
    *,
    offset: float = 0.0,
    guess: Guess | None = None,
    made_from: Mapping[str, Any] | None = None,
    z_um: float | None = None,
) -> Estimation:
    """Wave vector, depths, phases and frame gains of each direction from raw `frames` (frame y x, ADU; 3 x 3 unless told).

    Stacks (frame z y x, frames in the order of a plane as `Layout.stack` gives them; 3 x 5 unless told) were made by three beams, and
    need a `DeepDetection` and the distance `z_um` of their planes.

    The camera's `offset` is subtracted and nothing is clipped. Phases step evenly through one period. `guess` narrows the search
    for the wave vector; without it the annulus in which light of the same lens can lie is searched. Frames are made equally
    bright by fixed gains, to be used again with every noisy copy of these frames. A brighter recording of the same microscope
    gives parameters for a dim one; phases hold as long as the pattern does not drift.

    Reached on 200 x 200 pixels: 0.02 frequency pixels, 0.03 in depth and 0.06 rad (in the middle of the frame) at 20 photons and
    above inside the cutoff, at 200 beyond it; there 20 photons give 0.05, 0.05 and 0.06 (root mean squares).

    Raises `ImageError` for frames that cannot be used, that are in the other order or show no modulation, and `OpticsError` for
    pixels too coarse for the widened band or a pattern finer than the lens can make. Warns (`DataWarning`) of saturation.

    >>> from zsdeconv.physics.optics import Optics
    >>> from zsdeconv.sim.detection import detection_of
    >>> from zsdeconv.sim.patterns import illumination
    >>> stripes = [Direction((3 * np.sin(a), 3 * np.cos(a)), 0.8, 1.0, nominal_phases_rad(3), (1, 1, 1)) for a in (0.2, 1.3, 2.3)]
    >>> truth = SimParameters(tuple(stripes), pixel_um=0.1)
    >>> grains = np.random.default_rng(0).random((96, 96)) ** 8
    >>> detection = detection_of(Optics(1.0, 600))
    >>> lens = detection(Grid((96, 96), 0.1).radius())
    >>> blurred = np.fft.ifft2(np.fft.fft2(grains * illumination(truth, (96, 96), (0.1, 0.1))) * lens).real
    >>> [round(d.depth, 1) for d in estimate_parameters(1e4 * blurred, 0.1, detection).parameters.directions]
    [0.8, 0.8, 0.8]
    """
    layout, guess = layout or (Layout() if detection.rank == 2 else Layout(3, 5)), guess or Guess()
    guess.check(layout, detection)
    layout.require(len(frames))
    _refuse_rank(frames, detection, layout, z_um)
    check_restorable(Image(frames, "PYX" if frames.ndim == 3 else "PZYX"))
    _refuse_small(frames)
    require_fine_pixel(detection, pixel_um, SEARCHED[0] * detection.cutoff_per_um)
    frames = np.asarray(frames, np.float64 if detection.rank == 2 else np.float32) - np.float32(offset)
    gains, messages = equalising_gains(frames)
    messages += _sampling_messages(pixel_um, detection)
    whitening = _Whitening(Grid.of(frames.shape[1:], pixel_um, z_um), detection)
    equal = frames * gains.reshape(-1, *[1] * detection.rank).astype(frames.dtype)
    equal *= taper(whitening.grid.yx_shape).astype(frames.dtype)
    seen = _sightings(equal, layout, whitening, guess)
    _refuse_other_order(seen, equal, layout, whitening, guess)
    _refuse_unfound(seen)
    found = [_direction(sighting, whitening, gains[numbers]) for sighting, numbers in zip(seen, layout.numbers, strict=True)]
    directions, peaks = (tuple(part) for part in zip(*found, strict=True))
    _refuse_odd(directions, peaks)
    require_fine_pixel(detection, pixel_um, max(1 / direction.finest_um for direction in directions))
    parameters = SimParameters(directions, float(pixel_um), layout.order, dict(made_from or {}), z_um)
    return Estimation(parameters, peaks, (*messages, *_phase_messages(seen), *_depth_messages(peaks), *_doubling_messages(peaks)))


def _refuse_rank(frames: np.ndarray, detection: Detection | DeepDetection, layout: Layout, z_um: float | None) -> None:
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
    """Factor for each frame (frame *zyx, offset removed) that gives all the same mean, and what to say about them.

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


class _Whitening:
    """What the search for every direction needs: grid, OTFs, and the correlation that pure noise would show."""

    def __init__(self, grid: Grid, detection: Detection | DeepDetection) -> None:
        self.grid, self.detection, self.fine = grid, detection, grid.finer()
        self.orders = detection.rank - 1
        k, cutoff, floor = grid.radius(), detection.cutoff_per_um, 0.02 * detection.level**2
        usual = detection.under(USUAL_PATTERN * cutoff / self.orders)
        transfers = [grid.transfer(usual, order) for order in range(1 + self.orders)]
        self.weights = [_notch(k, 0.12 * cutoff) * H.conj() / (np.abs(H) ** 2 + floor) for H in transfers]
        self.expected = [self._expected(order) for order in range(1, 1 + self.orders)]

    def correlation(self, bands: np.ndarray) -> np.ndarray:
        """`|sum_k conj(band_0(k)) band_m(k + q)|` of the whitened bands over what noise would make, at each `q` of the finer grid.

        Of three beams the geometric mean of both orders, at q of order 2 and half of it of order 1: what bright structures make
        of one by chance they do not make of the other.
        """
        first, *others = (band * weight for band, weight in zip(bands, self.weights, strict=True))
        found = [np.abs(self._correlated(first, other)) / expected for other, expected in zip(others, self.expected, strict=True)]
        return found[0] if len(found) == 1 else np.sqrt(_stretched(found[0]) * found[1])

    def _expected(self, order: int) -> np.ndarray:
        overlap = np.sqrt(np.real(self._correlated(*(np.abs(self.weights[m]) ** 2 for m in (0, order)))).clip(0))
        # Where hardly any frequencies overlap, a few of them would make any height.
        return np.maximum(overlap / overlap.max(), 0.02)

    def _correlated(self, first: np.ndarray, second: np.ndarray) -> np.ndarray:
        """`sum_k conj(first(k)) second(k + q)` over all k of a plane, and along z at equal frequencies, for q (y x).

        By multiplication in real space on the twice finer grid: on the raw one the product would alias.
        """
        total = np.zeros(self.fine.yx_shape, np.complex64)
        for one, other in zip(_slices(first), _slices(second), strict=True):
            o0, o1 = (np.fft.ifft2(zero_padded(spectrum.astype(np.complex64))) for spectrum in (one, other))
            total += o0.conj() * o1
        return np.fft.fft2(total)


def _stretched(spectrum: np.ndarray) -> np.ndarray:
    """At each frequency q the spectrum (ky kx) at q / 2, the largest of the nearest.

    >>> _stretched(np.array([[0.0, 1.0, 5.0, 3.0, 2.0]])).tolist()
    [[0.0, 1.0, 1.0, 2.0, 2.0]]
    """
    rows, columns = (np.fft.fftfreq(n, 1 / n) / 2 for n in spectrum.shape)
    nearest = [
        spectrum[np.ix_(down(rows).astype(int), across(columns).astype(int))]
        for down in (np.floor, np.ceil)
        for across in (np.floor, np.ceil)
    ]
    return np.maximum.reduce(nearest)


def _slices(spectrum: np.ndarray) -> np.ndarray:
    """A spectrum (*zyx) as one or more spectra of planes (n y x)."""
    return spectrum.reshape(-1, *spectrum.shape[-2:])


@dataclass(frozen=True, eq=False)
class _Sighting:
    """The search in one direction: bands of orders 0, 1 ... (order *zyx), where the first and the last correlate, and the picture of it.

    `p_per_um` is the wave vector of the highest order. `mirrored` is the height of the correlation at the opposite wave vector in
    units of that at the one found. Right phase steps leave nothing there; frames of several directions taken for phases of one
    leave as much.
    """

    bands: np.ndarray
    p_per_um: np.ndarray
    score: float
    limit: float
    mirrored: float
    spectrum: np.ndarray
    reach_per_um: tuple[float, float]

    @property
    def found(self) -> bool:
        return self.score >= self.limit


def _sightings(frames: np.ndarray, layout: Layout, whitening: _Whitening, guess: Guess) -> list[_Sighting]:
    """The search in each direction, from frames (frame *zyx) equally bright and tapered."""
    orders = whitening.orders
    separation = np.linalg.pinv(mixing(nominal_phases_rad(layout.phases), orders))[[0, *range(1, 2 * orders, 2)]]
    separation = separation.astype(np.result_type(frames.dtype, np.complex64))
    bands = (np.tensordot(separation, stack, 1) for stack in layout.split(frames))
    return [_sighting(np.fft.fftn(parts, axes=whitening.grid.axes), whitening, guess, number) for number, parts in enumerate(bands)]


def _sighting(bands: np.ndarray, whitening: _Whitening, guess: Guess, number: int) -> _Sighting:
    correlation = whitening.correlation(bands)
    ky, kx = whitening.fine.k_per_um
    cutoff = whitening.detection.cutoff_per_um
    everywhere, nearby = Guess().region(number, ky, kx, cutoff), guess.region(number, ky, kx, cutoff)
    correlation /= np.median(correlation[everywhere])
    row, column = np.unravel_index(int(np.where(nearby, correlation, 0).argmax()), correlation.shape)
    score = float(correlation[row, column])
    opposite = correlation[np.ix_(-row + np.arange(-1, 2), -column + np.arange(-1, 2))].max()
    # The highest of n amplitudes of complex Gaussian noise is about sqrt(log2 n) times their median.
    limit = CHANCE * float(np.sqrt(np.log2(max(np.count_nonzero(nearby), 2))))
    p = np.array([float(ky[row, 0]), float(kx[column])])
    return _Sighting(bands, p, score, limit, float(opposite) / score, *_around_zero(correlation, whitening))


def _direction(seen: _Sighting, whitening: _Whitening, gains: np.ndarray) -> tuple[Direction, Peak]:
    """Parameters of one direction, refined from where the search has seen it."""
    orders = whitening.orders
    p, c = _refined(seen.bands[0], seen.bands[-1], seen.p_per_um, whitening)
    p = p / orders
    strengths = [_Overlap(seen.bands[0], seen.bands[m], m, whitening).strength(m * p) for m in range(1, orders)] + [c]
    depths = tuple(2 * abs(c) for c in strengths)
    used = [float(np.clip(depth, *allowed)) for depth, allowed in zip(depths, DEPTH_RANGES[orders], strict=True)]
    phases = [float(np.angle(c)) for c in strengths]
    order2 = (used[1], phases[1]) if orders == 2 else (0.0, 0.0)
    direction = Direction((p[0], p[1]), used[0], phases[0], nominal_phases_rad(len(gains)), tuple(gains), seen.score, *order2)
    doubled = float(np.angle(strengths[-1] * np.conj(strengths[0]) ** 2)) if orders == 2 else 0.0
    return direction, Peak(seen.spectrum, seen.reach_per_um, seen.score, seen.limit, depths, doubled)


def _refined(band0: np.ndarray, band: np.ndarray, p: np.ndarray, whitening: _Whitening) -> tuple[np.ndarray, complex]:
    """Wave vector (y, x; cycles per um) and complex strength of the highest order, starting within a frequency pixel of the truth.

    On their overlap both bands show the same object: `o_m(r) = c_m exp(2 pi i p.r) o0(r)`. The weights give each band the OTF
    of the other, and depend on `p`, so they are renewed.
    """
    overlap = _Overlap(band0, band, whitening.orders, whitening)
    for reach in (REACH[whitening.orders], *[1] * (REWEIGHTINGS - 1)):
        p = _climbed(overlap.product(p), p, whitening.grid, reach)
    return p, overlap.strength(p)


class _Overlap:
    """The bands of order 0 and of `order` (spectra *zyx) weighted for where both show the object, as images.

    Weights are `H_m(k + p) / sqrt(|H_0(k)|^2 + |H_m(k + p)|^2 + n / S(k))` for order 0 and the same with the OTFs exchanged for order
    m: what adds the bands' agreement up with the least noise, for an object of power S in bands of noise n. Only where frames are
    not tapered are images compared: a tapered frame is not the image of a tapered object, and would pull the wave vector.

    Light from beyond the ends of a stack is in every band, blurred by its own OTF, and is not to be had again. There weights are
    smooth, so that they reach few planes, and strengths are measured in the middle: else order 1 reads a quarter too weak.
    """

    def __init__(self, band0: np.ndarray, band: np.ndarray, order: int, whitening: _Whitening) -> None:
        self.band0, self.band, self.order, self.grid, self.detection = band0, band, order, whitening.grid, whitening.detection
        grid = whitening.grid
        image = np.fft.ifftn(band0).real
        self.object = object_spectrum(image, grid.pixel_um, self.detection, grid.z_um)
        faded = taper(grid.yx_shape)
        self.inside = (faded == 1).astype(float)
        # Noise of a pixel that is not tapered, over all pixels that are compared.
        self.noise = noise_power(band0, grid, self.detection) / float((faded**2).sum()) * float(self.inside.sum()) / grid.planes

    def product(self, p: np.ndarray) -> np.ndarray:
        """`conj(o0) o_m`, summed over z (y x)."""
        o0, om, _ = self._images(p)
        return self.inside * (o0.conj() * om).sum(0)

    def strength(self, p: np.ndarray) -> complex:
        """The complex strength of the order at its wave vector, by regression; `sum |o0|^2` without the share of noise."""
        o0, om, noise = self._images(p)
        edge = self._edge_planes()
        o0, om = (image[edge : len(image) - edge] for image in (o0, om))
        coherent = complex(zoomed(self.inside * (o0.conj() * om).sum(0), p[:1], p[1:], self.grid.pixel_um)[0, 0])
        light = float((self.inside * np.abs(o0) ** 2).sum())
        return coherent / max(light - noise * len(o0), 1e-3 * light, np.finfo(float).tiny)

    def _images(self, p: np.ndarray) -> tuple[np.ndarray, np.ndarray, float]:
        """The weighted bands (n y x), and the noise in `sum |o0|^2` of a plane."""
        weight = self._weight(p, (0, self.order), 0 * p)
        o0 = np.fft.ifftn(self.band0 * weight)
        om = np.fft.ifftn(self.band * self._weight(-p, (self.order, 0), -p))
        return _slices(o0), _slices(om), self.noise * float((np.abs(weight) ** 2).mean())

    def _edge_planes(self) -> int:
        """Planes at either end of a stack that show much of what lies beyond it."""
        if not isinstance(self.detection, DeepDetection) or self.grid.z_um is None:
            return 0
        return min(math.ceil(1 / self.detection.axial_cutoff_per_um / self.grid.z_um), self.grid.planes // 3)

    def _weight(self, shift: np.ndarray, orders: tuple[int, int], of_object: np.ndarray) -> np.ndarray:
        """Weight of a band (*zyx) of the first of `orders` on its overlap with that of the second, shifted by `shift`, without the
        frequencies around the zero of either.

        At k it shows the object's frequency `k + of_object`.
        """
        grid, level, rank = self.grid, self.detection.level, self.detection.rank
        detection = self.detection.under(float(np.hypot(*shift)) / self.order)
        H, H_shifted = grid.transfer(detection, orders[0]), grid.transfer(detection, orders[1], shift)
        doubt = self.object.noise / self.object(grid.distance(of_object)) if self.object.seen else level**2
        doubt = doubt + SMOOTHED[rank] * level**2
        width = CLEARED[rank] * detection.cutoff_per_um
        clear = _notch(grid.radius(), width) * _notch(grid.radius(shift), width)
        weight = H_shifted / np.sqrt(np.abs(H) ** 2 + np.abs(H_shifted) ** 2 + doubt + 1e-12) * clear
        return np.where((np.abs(H) > SEEN * level) & (np.abs(H_shifted) > SEEN * level), weight, 0.0)


def _climbed(product: np.ndarray, p: np.ndarray, grid: Grid, reach: int = 1, zooms: int = 4) -> np.ndarray:
    """The frequency up to `reach` frequency pixels from `p` at which the transform of `product` is largest, by ever finer grids."""
    step, side = reach * np.array(grid.step_per_um), 8 * reach + 1
    for _ in range(zooms):
        offsets = np.linspace(-1, 1, side)
        ky, kx = (p[axis] + step[axis] * offsets for axis in (0, 1))
        size = np.abs(zoomed(product, ky, kx, grid.pixel_um))
        row, column = np.unravel_index(int(size.argmax()), size.shape)
        p, step = np.array([ky[row], kx[column]]), step / (side // 2)
    return p


def _notch(k_per_um: np.ndarray, width_per_um: float) -> np.ndarray:
    """0 at zero frequency, 1 beyond a few widths."""
    return 1 - np.exp(-((k_per_um / width_per_um) ** 2) / 2)


def _around_zero(correlation: np.ndarray, whitening: _Whitening) -> tuple[np.ndarray, tuple[float, float]]:
    """The part of a correlation that a picture shows, zero frequency in the middle, and how far it reaches along y and x."""
    steps = whitening.fine.step_per_um
    halves = [
        min(int(1.1 * SEARCHED[1] * whitening.detection.cutoff_per_um / step), n // 2 - 1)
        for step, n in zip(steps, correlation.shape, strict=True)
    ]
    rows, columns = (np.arange(-half, half + 1) for half in halves)
    reach = tuple((half + 0.5) * step for half, step in zip(halves, steps, strict=True))
    return correlation[np.ix_(rows, columns)].astype(np.float32), (reach[0], reach[1])


def _refuse_unfound(seen: list[_Sighting]) -> None:
    missing = [number for number, sighting in enumerate(seen) if not sighting.found]
    if missing:
        worst = min((seen[number] for number in missing), key=lambda sighting: sighting.score / sighting.limit)
        which = ", ".join(str(number + 1) for number in missing)
        raise ImageError(
            f"no pattern found in direction {which} of {len(seen)}: peak {worst.score:.2f} times the median "
            f"(limit {worst.limit:.2f}); give --angles-deg and --period-um, or the parameters of a brighter data set"
        )


def _refuse_odd(directions: tuple[Direction, ...], peaks: tuple[Peak, ...]) -> None:
    """Raise `ImageError` for a peak that is no pattern: of hardly any depth, or of another period than the other directions."""
    advice = "give --angles-deg and --period-um, or the parameters of a brighter data set"
    if directions[0].orders == 2:
        advice = f"check --order and --otf, {advice}"
    for (number, one), (last, other) in itertools.combinations(enumerate(directions, 1), 2):
        if _same(one.p_per_um, other.p_per_um):
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


def _refuse_other_order(seen: list[_Sighting], frames: np.ndarray, layout: Layout, whitening: _Whitening, guess: Guess) -> None:
    """Raise `ImageError` when the frames look ordered in another way: peaks without a mirror image, one in each direction, there and
    not here.
    """
    if (layout.directions == 1 and frames.ndim == 3) or _in_order(seen):
        return
    for other, reordered in _other_orders(frames, layout):
        there = _sightings(reordered, other, whitening, guess)
        if _in_order(there):
            same = "all directions show the same one, " if _alike(seen) else ""
            raise ImageError(
                f"frames in the order {layout.order}: {same}opposite wave vectors fit equally well, or none does (ratio "
                f"{_mirrored(seen):.2f}, limit {MIRRORED:g}; {_mirrored(there):.2f} in the order {other.order}); give --order {other.order}"
            )


def _in_order(seen: list[_Sighting]) -> bool:
    return _mirrored(seen) < MIRRORED and all(sighting.found for sighting in seen) and not _alike(seen)


def _alike(seen: list[_Sighting]) -> bool:
    """Whether two directions show the same wave vector."""
    return any(_same(one.p_per_um, other.p_per_um) for one, other in itertools.combinations(seen, 2))


def _same(p: Sequence[float] | np.ndarray, q: Sequence[float] | np.ndarray) -> bool:
    """Whether two wave vectors are equal or opposite, nearly: stripes are the same then."""
    p, q = np.array(p), np.array(q)
    return bool(min(np.hypot(*(p - q)), np.hypot(*(p + q))) < ALIKE * np.hypot(*p))


def _other_orders(frames: np.ndarray, layout: Layout) -> Iterator[tuple[Layout, np.ndarray]]:
    """The other orders that a file can have, with the frames (frame *zyx) as they would be in them."""
    if frames.ndim == 3:
        yield layout.swapped, frames
        return
    pages = layout.pages(frames)
    for other in layout.others(frames.shape[1]):
        yield other, other.stack(pages)


def _mirrored(seen: list[_Sighting]) -> float:
    return float(np.mean([sighting.mirrored for sighting in seen]))


def _sampling_messages(pixel_um: float, detection: Detection | DeepDetection) -> list[str]:
    coarsest = 0.5 / detection.cutoff_per_um
    if pixel_um <= coarsest * (1 + 1e-6):
        return []
    return [
        f"pixel {pixel_um:g} um is coarser than {coarsest:.3g} um, half the finest period that the lens passes: finer details are folded "
        "back into false ones; record smaller pixels, or check --pixel-um"
    ]


def _phase_messages(seen: list[_Sighting]) -> list[str]:
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
