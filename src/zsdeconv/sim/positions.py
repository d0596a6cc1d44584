"""Where the raw frames of structured illumination lie on each other: a sample that drifts, and frames that were moved.

Each frame is registered to the mean of the frames of all other directions. Their fringes differ, so what the pattern makes of one frame
is not found in the others and averages out; frames of one direction would lock onto their common fringes. Positions are those at which the
cross-power spectrum, below half of the cutoff, has no phase on average; their standard errors follow from the phases that are left.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from zsdeconv.findings import Finding
from zsdeconv.sim.patterns import Layout
from zsdeconv.sim.spectra import taper

MAX_SHIFT_CUTOFFS = 0.1
"""Displacement up to which a frame is left where it is, over the period of the cutoff. Chosen: the finest fringes turn by 36 degrees."""
MIN_SIGMAS = 5.0
"""Standard errors by which a displacement must exceed 0. Chosen: by chance no frame in a million does."""
BAND_CUTOFFS = 0.5
"""Highest frequency that is compared, in units of the cutoff. Chosen: above it the side bands of the pattern are as strong as order 0."""
FULL_BAND_CUTOFFS = 0.9
"""The same where the pattern is known. Chosen: beyond it there is more noise than signal."""
LOWEST_PERIODS = 2.0
"""Lowest frequency that is compared, in periods across the field. Chosen: lower ones are those of the tapered border."""
TAPER_FRACTION = 8
"""Fraction of the field that is tapered at each border, as a divisor. Chosen: what drifts in and out of the field weighs little there."""
ROUNDS, NEWTON_STEPS = 5, 6
"""Times that all frames are moved and registered again, and steps of each registration. Chosen: the last ones change nothing."""
CONVERGED_PX = 0.01
"""Largest change after which no further round is made. Chosen: far below what matters."""
NOISE_PEAK_FACTOR = 1.3
"""Limit of a peak over the expected maximum of pure noise. Chosen: as for the peaks of the pattern."""
MARGIN_PX = 16
"""Mirrored pixels around a frame that is moved, beside the displacement. Chosen: ringing at its borders has decayed there."""
MAX_JUMPED_FRACTION = 0.25
"""Fraction of displaced frames up to which single frames have jumped; above it the sample drifts. Chosen: two of nine."""


@dataclass(frozen=True, eq=False)
class FramePositions:
    """Displacements of the raw frames of one sample against their median, `shift_px` (frame yx), with standard errors `error_px` (frame);
    up to `limit_px` they do no harm.

    >>> jumped = FramePositions(np.array([[0.0, 0.0]] * 5 + [[3.0, 2.0]]), np.full(6, 0.02), Layout(2, 3), 0.3)
    >>> jumped.displaced.tolist(), jumped.words
    ([False, False, False, False, False, True], 'direction 2, phase 3 is displaced by y +3.00, x +2.00 +- 0.02 pixels against the others')
    """

    shift_px: np.ndarray
    error_px: np.ndarray
    layout: Layout
    limit_px: float

    @property
    def displaced(self) -> np.ndarray:
        """Which frames are displaced by more than matters and more than chance."""
        size = np.hypot(*self.shift_px.T)
        return (size > self.limit_px) & (size > MIN_SIGMAS * self.error_px)

    @property
    def jumped(self) -> bool:
        """Whether only single frames are displaced."""
        return bool(0 < self.displaced.sum() <= MAX_JUMPED_FRACTION * len(self.displaced))

    @property
    def correction_px(self) -> np.ndarray:
        """By how much each frame is moved back (frame yx): frames that jumped to the others, and all frames of a drift to the first."""
        if not self.displaced.any():
            return np.zeros_like(self.shift_px)
        if self.jumped:
            return np.where(self.displaced[:, None], self.shift_px, 0.0)
        return self.shift_px - self.shift_px[0]

    @property
    def words(self) -> str:
        """What was found; empty where all frames lie on each other."""
        error = f"+- {max(float(self.error_px.max()), 0.01):.2g} pixels"
        if self.jumped:
            places = [f"{name_of(int(n), self.layout)} is displaced by {_vector(self.shift_px[n])}" for n in np.flatnonzero(self.displaced)]
            return f"{', '.join(places)} {error} against the others"
        if not self.displaced.any():
            return ""
        drift = self.shift_px - self.shift_px[0]
        farthest = int(np.hypot(*drift.T).argmax())
        return (
            f"the raw frames drift: {name_of(farthest, self.layout)} is displaced by {_vector(drift[farthest])} {error} against the first"
        )

    @property
    def finding(self) -> Finding:
        """The largest displacement with its limit."""
        sizes, name, limit = np.hypot(*self.shift_px.T), "frame_positions", round(self.limit_px, 2)
        largest, error = float(sizes.max()), float(self.error_px[sizes.argmax()])
        if self.displaced.any():
            text = f"{self.words[0].upper()}{self.words[1:]} (limit {limit:g})"
            return Finding("warn", name, largest, limit, f"{text}; what entered and left the field is unknown: do not trust its borders.")
        if not MIN_SIGMAS * error < 2 * limit:
            why = "The raw frames hold too little structure to tell whether they lie on each other."
            return Finding.not_checked(name, why, limit=limit)
        return Finding(
            "ok", name, largest, limit, f"The raw frames lie on each other within {largest:.2f} +- {error:.2f} pixels (limit {limit:g})."
        )

    def changed(self, step_px: np.ndarray, error_px: np.ndarray) -> FramePositions:
        """The positions after frames that had been moved back are found displaced by `step_px` (frame yx)."""
        shift = self.correction_px + step_px
        return replace(self, shift_px=shift - np.median(shift, axis=0), error_px=error_px)


def name_of(frame: int, layout: Layout) -> str:
    """A raw frame by its direction and phase, from 1 on.

    >>> name_of(4, Layout(3, 3))
    'direction 2, phase 2'
    """
    direction, phase = (int(index[0]) + 1 for index in np.nonzero(layout.numbers == frame))
    return f"direction {direction}, phase {phase}"


def _vector(shift: np.ndarray) -> str:
    return f"y {shift[0]:+.2f}, x {shift[1]:+.2f}"


def frame_positions(frames: np.ndarray, layout: Layout, cutoff_per_px: float) -> FramePositions | None:
    """The positions of raw frames; None for a single direction, whose frames have their fringes in common.

    Parameters
    ----------
    frames : raw frames above the offset (`frame *zyx`), of stacks the mean along z is registered
    layout : their order
    cutoff_per_px : cutoff of the detection, cycles per pixel

    References
    ----------
    Cramer-Rao and sandwich variances of a registration by phases: Robinson and Milanfar (2004, IEEE Trans. Image Process. 13:1185).
    """
    if layout.directions < 2:
        return None
    planes = frames.reshape(len(frames), -1, *frames.shape[-2:]).mean(1, dtype=np.float64)
    planes = planes / np.maximum(planes.mean((1, 2), keepdims=True), np.finfo(float).tiny) - 1
    direction = np.argsort(layout.numbers.ravel()) // layout.phases
    band = _Band(planes.shape[1:], BAND_CUTOFFS * cutoff_per_px)
    if not band.size:
        return None
    shift, error = np.zeros((len(planes), 2)), np.full(len(planes), np.inf)
    for number in range(ROUNDS):
        spectra = band.of(moved_back(planes, shift))
        step = np.empty_like(shift)
        for n, own in enumerate(spectra):
            step[n], error[n] = band.registered(own, spectra[direction != direction[n]].mean(0), whole=number == 0)
        shift += step - np.median(step, axis=0)
        if np.abs(step - np.median(step, axis=0)).max() < CONVERGED_PX:
            break
    return FramePositions(shift - np.median(shift, axis=0), error, layout, MAX_SHIFT_CUTOFFS / cutoff_per_px)


def displacements(frames: np.ndarray, predicted: np.ndarray, cutoff_per_px: float) -> tuple[np.ndarray, np.ndarray]:
    """Displacements (frame yx) of frames (frame y x) against predicted ones, at most a pixel or two, and their standard errors (frame)."""
    band = _Band(frames.shape[1:], FULL_BAND_CUTOFFS * cutoff_per_px)
    pairs = zip(band.of(frames / frames.mean() - 1), band.of(predicted / predicted.mean() - 1), strict=True)
    found = [band.registered(own, other, whole=False) for own, other in pairs]
    return np.stack([step for step, _ in found]), np.array([error for _, error in found])


class _Band:
    """The frequencies that are compared, of the half-spectrum of planes of one shape: `k` (2 n), cycles per pixel."""

    def __init__(self, yx_shape: tuple[int, ...], highest: float) -> None:
        self.yx_shape = (yx_shape[0], yx_shape[1])
        ky, kx = np.meshgrid(np.fft.fftfreq(yx_shape[0]), np.fft.rfftfreq(yx_shape[1]), indexing="ij")
        radius = np.hypot(ky, kx)
        self.inside = (radius < highest) & (radius > LOWEST_PERIODS / min(yx_shape)) & ((kx > 0) | (ky > 0))
        self.k = 2 * np.pi * np.stack([ky[self.inside], kx[self.inside]])
        self.ring = np.rint(radius[self.inside] * min(yx_shape)).astype(int)
        self.window = taper(self.yx_shape, min(yx_shape) // TAPER_FRACTION)
        # Tapering makes neighbouring frequencies alike: of so many there is one that is independent.
        self.redundancy = float((self.window**4).mean() / (self.window**2).mean() ** 2)

    @property
    def size(self) -> int:
        return self.k.shape[1]

    def of(self, planes: np.ndarray) -> np.ndarray:
        """The band of each plane (n y x), with equal mean power at all distances from zero."""
        spectra = np.fft.rfft2(planes * self.window)[:, self.inside]
        power = np.bincount(self.ring, (np.abs(spectra) ** 2).mean(0)) / np.maximum(np.bincount(self.ring), 1)
        return spectra / np.maximum(power[self.ring], np.finfo(float).tiny) ** 0.25

    def registered(self, own: np.ndarray, reference: np.ndarray, *, whole: bool) -> tuple[np.ndarray, float]:
        """Displacement (y x) of a spectrum against a reference and its standard error; the `whole` field is searched first, or else
        only the neighbourhood of 0.
        """
        cross = own * reference.conj()
        shift = self._peak(cross) if whole else np.zeros(2)
        error = math.inf
        for _ in range(NEWTON_STEPS):
            turned = cross * np.exp(1j * (shift @ self.k))
            real, imaginary = np.real(turned), np.imag(turned)
            curvature = (self.k * real) @ self.k.T
            if np.linalg.eigvalsh(curvature)[0] <= 0 or not self._coherent(real, imaginary):
                return np.zeros(2), math.inf
            inverse = np.linalg.inv(curvature)
            covariance = self.redundancy * inverse @ ((self.k * imaginary**2) @ self.k.T) @ inverse
            error = float(np.sqrt(np.linalg.eigvalsh(covariance)[-1]))
            shift = shift - np.clip(inverse @ (self.k @ imaginary), -1, 1)
        return shift, error

    def _coherent(self, real: np.ndarray, imaginary: np.ndarray) -> bool:
        """Whether phases agree better than those of noise do at the best of all displacements."""
        deviation = math.sqrt(self.redundancy * float(np.sum(real**2 + imaginary**2)) / 2)
        return float(real.sum()) > NOISE_PEAK_FACTOR * math.sqrt(2 * math.log(math.prod(self.yx_shape))) * deviation

    def _peak(self, cross: np.ndarray) -> np.ndarray:
        """The whole pixel at which the correlation is highest."""
        full = np.zeros(self.inside.shape, complex)
        full[self.inside] = cross
        correlation = np.fft.irfft2(full, self.yx_shape)
        place = np.unravel_index(int(correlation.argmax()), correlation.shape)
        return np.array([(at + n // 2) % n - n // 2 for at, n in zip(place, self.yx_shape, strict=True)], float)


def moved_back(frames: np.ndarray, shift_px: Sequence[Sequence[float]] | np.ndarray) -> np.ndarray:
    """Frames (`frame ... y x`) moved by `-shift_px` (frame yx), by a linear phase of their spectra.

    Such a shift keeps white noise white, where interpolation would smooth it. Frames go on beyond their borders as their mirror images.

    >>> frames = np.zeros((1, 20, 24))
    >>> frames[0, 9, 7] = 1
    >>> [int(i) for i in np.argwhere(moved_back(frames, [[2, -3]])[0] > 0.99)[0]]
    [7, 10]
    """
    result = np.array(frames, np.result_type(frames.dtype, np.float32))
    for n, shift in enumerate(np.asarray(shift_px, float)):
        if not shift.any():
            continue
        margin = [min(MARGIN_PX + math.ceil(abs(s)), size - 1) for s, size in zip(shift, frames.shape[-2:], strict=True)]
        rest = [(0, 0)] * (frames.ndim - 3)
        wide = np.pad(frames[n].astype(float), [*rest, *[(m, m) for m in margin]], mode="reflect")
        ky, kx = np.fft.fftfreq(wide.shape[-2])[:, None], np.fft.rfftfreq(wide.shape[-1])
        turned = np.fft.rfft2(wide) * np.exp(2j * np.pi * (ky * shift[0] + kx * shift[1]))
        inside = (..., *[slice(m, m + size) for m, size in zip(margin, frames.shape[-2:], strict=True)])
        result[n] = np.fft.irfft2(turned, wide.shape[-2:])[inside]
    return result
