"""The parameters of the illumination, from the raw frames: once for a recording, in about a second.

Bands are separated, the wave vector is found where the bands of orders 0 and 1 correlate, refined to a small fraction of a
frequency pixel, and the complex strength of order 1 follows by regression of one band on the other. Gustafsson (2000, J.
Microsc. 198:82), Gustafsson et al. (2008, Biophys. J. 94:4957), Wicker et al. (2013, Opt. Express 21:2032), Lal et al. (2016,
IEEE J. Sel. Top. Quantum Electron. 22:6803414).
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from zsdeconv.errors import DataWarning, ImageError
from zsdeconv.image import Image
from zsdeconv.io.checks import check_restorable
from zsdeconv.sim.detection import Detection, require_fine_pixel
from zsdeconv.sim.guess import SEARCHED, Guess
from zsdeconv.sim.patterns import DEPTH_RANGES, Direction, Layout, SimParameters, nominal_phases_rad
from zsdeconv.sim.spectra import Grid, noise_power, object_spectrum, taper, zero_padded, zoomed

CHANCE = 1.3
"""A peak must be so many times higher than the highest that noise alone is expected to make among the frequencies searched."""
USEFUL_OTF = 0.03
"""Where the OTF is smaller, bands are not compared."""
REWEIGHTINGS = 3
SMALLEST_SIDE = 48
"""Half of it is left when the tapered borders are taken off."""
MIRRORED = 0.6
"""Share of its height that the peak of a direction may have at the opposite wave vector too, before the phases are doubted."""
FLAT = 0.03
"""A peak of smaller modulation depth than this is no pattern: traces of order 0 in the band of order 1 make as much."""
UNLIKE = 1.25
"""No microscope makes stripes of one direction so many times wider than those of another."""
UNEVEN = 1.5
"""Frames that differ in brightness by more than this did not only bleach."""


@dataclass(frozen=True, eq=False)
class Peak:
    """What was seen of one direction: the correlation of the bands of orders 0 and 1 over the median of the frequencies searched.

    `spectrum` (ky kx) around zero frequency up to `reach_per_um` on either side; `score` its height at the wave vector and
    `limit` what that must exceed; `depth` the modulation as measured, which may lie outside the range that is used.
    """

    spectrum: np.ndarray
    reach_per_um: tuple[float, float]
    score: float
    limit: float
    depth: float


@dataclass(frozen=True, eq=False)
class Estimation:
    """Parameters, what they rest on (one `Peak` per direction), and what the user should know, one line each."""

    parameters: SimParameters
    peaks: tuple[Peak, ...]
    messages: tuple[str, ...]


def estimate_parameters(
    frames: np.ndarray,
    pixel_um: float,
    detection: Detection,
    layout: Layout | None = None,
    *,
    offset: float = 0.0,
    guess: Guess | None = None,
    made_from: Mapping[str, Any] | None = None,
) -> Estimation:
    """Wave vector, depth, phase and frame gains of each direction from raw `frames` (frame y x, ADU; 3 x 3 unless told).

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
    layout, guess = layout or Layout(), guess or Guess()
    guess.check(layout, detection)
    layout.require(len(frames))
    check_restorable(Image(frames, "PYX"))
    _refuse_small(frames)
    require_fine_pixel(detection, pixel_um, SEARCHED[0] * detection.cutoff_per_um)
    frames = np.asarray(frames, np.float64) - offset
    gains, messages = equalising_gains(frames)
    messages += _sampling_messages(pixel_um, detection)
    whitening = _Whitening(Grid((frames.shape[1], frames.shape[2]), pixel_um), detection)
    equal = frames * gains[:, None, None] * taper(whitening.grid.yx_shape)
    seen = _sightings(equal, layout, whitening, guess)
    _refuse_other_order(seen, lambda: _sightings(equal, layout.swapped, whitening, guess), layout)
    _refuse_unfound(seen)
    found = [_direction(sighting, whitening, gains[numbers]) for sighting, numbers in zip(seen, layout.numbers, strict=True)]
    directions, peaks = (tuple(part) for part in zip(*found, strict=True))
    _refuse_odd(directions, peaks)
    require_fine_pixel(detection, pixel_um, max(1 / direction.period_um for direction in directions))
    parameters = SimParameters(directions, float(pixel_um), layout.order, dict(made_from or {}))
    return Estimation(parameters, peaks, (*messages, *_phase_messages(seen), *_depth_messages(peaks)))


def _refuse_small(frames: np.ndarray) -> None:
    height, width = frames.shape[1:]
    if min(height, width) < SMALLEST_SIDE:
        raise ImageError(
            f"frames of {height} x {width} pixels: {SMALLEST_SIDE} x {SMALLEST_SIDE} at least hold enough stripes to be measured; "
            "give the whole camera frame, or parameters from one with --sim-parameters"
        )


def equalising_gains(frames: np.ndarray) -> tuple[np.ndarray, list[str]]:
    """Factor for each frame (frame y x, offset removed) that gives all the same mean, and what to say about them.

    Raises `ImageError` for frames without light.

    >>> equalising_gains(np.ones((2, 4, 4)) * [[[1.0]], [[3.0]]])[0].tolist()
    [2.0, 0.6666666666666666]
    """
    means = frames.mean((1, 2))
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
    """What the search for every direction needs: grid, OTF, and the correlation that pure noise would show."""

    def __init__(self, grid: Grid, detection: Detection) -> None:
        self.grid, self.detection, self.fine = grid, detection, grid.finer()
        k, cutoff = grid.radius(), detection.cutoff_per_um
        self.H = detection(k)
        self.weight = _notch(k, 0.12 * cutoff) * self.H / (self.H**2 + 0.02)
        overlap = np.fft.fft2(np.abs(np.fft.ifft2(zero_padded(self.weight.astype(np.complex64) ** 2))) ** 2).real
        overlap = np.sqrt(overlap.clip(0))
        # Where hardly any frequencies overlap, a few of them would make any height.
        self.expected = np.maximum(overlap / overlap.max(), 0.02)

    def correlation(self, band0: np.ndarray, band1: np.ndarray) -> np.ndarray:
        """`|sum_k conj(band0(k)) band1(k + q)|` of the whitened bands over what noise would make, at each `q` of the finer grid.

        By multiplication in real space on the twice finer grid: on the raw one the product would alias.
        """
        first, second = (np.fft.ifft2(zero_padded((band * self.weight).astype(np.complex64))) for band in (band0, band1))
        return np.abs(np.fft.fft2(first.conj() * second)) / self.expected


@dataclass(frozen=True, eq=False)
class _Sighting:
    """The search in one direction: bands of orders 0 and 1 (ky kx), where they correlate, and the picture of it.

    `mirrored` is the height of the correlation at the opposite wave vector in units of that at the one found. Right phase steps
    leave nothing there; frames of several directions taken for phases of one leave as much.
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
    """The search in each direction, from frames (frame y x) equally bright and tapered."""
    separation = np.linalg.pinv(np.exp(1j * np.multiply.outer(nominal_phases_rad(layout.phases), (0, 1, -1))))[:2]
    bands = [np.tensordot(separation, stack, 1) for stack in layout.split(frames)]
    return [_sighting(np.fft.fft2(pair), whitening, guess, number) for number, pair in enumerate(bands)]


def _sighting(bands: np.ndarray, whitening: _Whitening, guess: Guess, number: int) -> _Sighting:
    correlation = whitening.correlation(bands[0], bands[1])
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
    p, c1 = _refined(seen.bands[0], seen.bands[1], seen.p_per_um, whitening)
    depth = 2 * abs(c1)
    used = float(np.clip(depth, *DEPTH_RANGES[1][0]))
    direction = Direction((p[0], p[1]), used, float(np.angle(c1)), nominal_phases_rad(len(gains)), tuple(gains), seen.score)
    return direction, Peak(seen.spectrum, seen.reach_per_um, seen.score, seen.limit, depth)


def _refined(band0: np.ndarray, band1: np.ndarray, p: np.ndarray, whitening: _Whitening) -> tuple[np.ndarray, complex]:
    """Wave vector (y, x; cycles per um) and complex strength of order 1, starting within a frequency pixel of the truth.

    On their overlap both bands show the same object: `o1(r) = c_1 exp(2 pi i p.r) o0(r)`. The weights give each band the OTF
    of the other, and depend on `p`, so they are renewed.
    """
    grid = whitening.grid
    overlap = _Overlap(band0, band1, whitening)
    for _ in range(REWEIGHTINGS):
        p = _climbed(overlap.product(p), p, grid)
    coherent = complex(zoomed(overlap.product(p), p[:1], p[1:], grid.pixel_um)[0, 0])
    return p, coherent / overlap.light(p)


class _Overlap:
    """The bands of orders 0 and 1 (spectra, ky kx) weighted for where both show the object, as images.

    Weights are `H(k + p) / sqrt(H(k)^2 + H(k + p)^2 + n / S(k))` for order 0 and the same with the OTFs exchanged for order 1: what
    adds the bands' agreement up with the least noise, for an object of power S in bands of noise n. Only where frames are not
    tapered are images compared: a tapered frame is not the image of a tapered object, and would pull the wave vector.
    """

    def __init__(self, band0: np.ndarray, band1: np.ndarray, whitening: _Whitening) -> None:
        self.band0, self.band1, self.whitening = band0, band1, whitening
        grid, detection = whitening.grid, whitening.detection
        self.object = object_spectrum(np.fft.ifft2(band0).real, grid.pixel_um, detection)
        faded = taper(grid.yx_shape)
        self.inside = (faded == 1).astype(float)
        # Noise of a pixel that is not tapered, over all pixels that are compared.
        self.noise = noise_power(band0, grid, detection) / float((faded**2).sum()) * float(self.inside.sum())

    def product(self, p: np.ndarray) -> np.ndarray:
        """`conj(o0) o1` (y x)."""
        o0, o1 = np.fft.ifft2(self.band0 * self._weight(p, 0 * p)), np.fft.ifft2(self.band1 * self._weight(-p, -p))
        return self.inside * o0.conj() * o1

    def light(self, p: np.ndarray) -> float:
        """`sum |o0|^2` without the share of noise."""
        weight = self._weight(p, 0 * p)
        light = float((self.inside * np.abs(np.fft.ifft2(self.band0 * weight)) ** 2).sum())
        return max(light - self.noise * float((weight**2).mean()), 1e-3 * light, np.finfo(float).tiny)

    def _weight(self, shift: np.ndarray, of_object: np.ndarray) -> np.ndarray:
        """Weight of a band (ky kx) on its overlap with one shifted by `shift`, without the frequencies around the zero of either.

        At k it shows the object's frequency `k + of_object`.
        """
        grid, detection, H = self.whitening.grid, self.whitening.detection, self.whitening.H
        shifted = grid.radius(shift)
        H_shifted = detection(shifted)
        doubt = self.object.noise / self.object(grid.radius(of_object)) if self.object.seen else 1.0
        width = 0.05 * detection.cutoff_per_um
        weight = H_shifted / np.sqrt(H**2 + H_shifted**2 + doubt + 1e-12) * _notch(grid.radius(), width) * _notch(shifted, width)
        return np.where((H > USEFUL_OTF) & (H_shifted > USEFUL_OTF), weight, 0.0)


def _climbed(product: np.ndarray, p: np.ndarray, grid: Grid, zooms: int = 4, side: int = 9) -> np.ndarray:
    """The frequency near `p` at which the transform of `product` is largest, by ever smaller grids of frequencies."""
    step = np.array(grid.step_per_um)
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
    periods = [direction.period_um for direction in directions]
    usual = float(np.median(periods))
    for number, (period, peak) in enumerate(zip(periods, peaks, strict=True), 1):
        where = f"no pattern found in direction {number} of {len(peaks)}: the best fit has"
        if peak.depth < FLAT:
            raise ImageError(f"{where} a modulation depth of {peak.depth:.2g} (limit {FLAT:g}); {advice}")
        if len(peaks) > 2 and not 1 / UNLIKE < period / usual < UNLIKE:
            raise ImageError(f"{where} a period of {period:.3g} um, the others {usual:.3g} um (limit {UNLIKE:g} times); {advice}")


def _refuse_other_order(seen: list[_Sighting], other: Callable[[], list[_Sighting]], layout: Layout) -> None:
    """Raise `ImageError` when the frames look ordered the other way: peaks without a mirror image there, and here not."""
    here = _mirrored(seen)
    if layout.directions == 1 or (here < MIRRORED and all(sighting.found for sighting in seen)):
        return
    swapped, there = layout.swapped, other()
    if all(sighting.found for sighting in there) and _mirrored(there) < MIRRORED:
        raise ImageError(
            f"frames in the order {layout.order}: opposite wave vectors fit equally well, or none does (ratio {here:.2f}, limit "
            f"{MIRRORED:g}; {_mirrored(there):.2f} in the order {swapped.order}); give --order {swapped.order}"
        )


def _mirrored(seen: list[_Sighting]) -> float:
    return float(np.mean([sighting.mirrored for sighting in seen]))


def _sampling_messages(pixel_um: float, detection: Detection) -> list[str]:
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
    low, high = DEPTH_RANGES[1][0]
    return [
        f"direction {number}: modulation depth {peak.depth:.3g} measured, {np.clip(peak.depth, low, high):g} is used "
        f"({low:g} to {high:g} are possible); check --background, the OTF, and the contrast of the pattern"
        for number, peak in enumerate(peaks, 1)
        if not low <= peak.depth <= high
    ]


def warn(messages: tuple[str, ...]) -> None:
    """Show each message as a `DataWarning`."""
    for message in messages:
        warnings.warn(message, DataWarning, stacklevel=3)
