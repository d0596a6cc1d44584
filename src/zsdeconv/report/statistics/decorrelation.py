"""Decorrelation analysis: the highest frequency at which an image has structured phases, from the image alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

BINS = 200
"""Bins of spatial frequency. Chosen: finer than the rings of most images."""
HIGH_PASSES = 30
"""Gaussian high-pass filters. Chosen: with more the highest maximum moves by less than a bin."""
MIN_DROP = 1e-3
"""Fall of the curve after a maximum from which the maximum counts (Descloux et al. 2019)."""
MIN_HEIGHT = 0.05
"""Height from which the maximum of a filtered image counts (Descloux et al. 2019)."""
NARROWEST_PX, WIDEST_PERIODS = 0.15, 2.0
"""Widths (sigma) of the Gaussians that are subtracted: from 0.15 pixels to two periods of the first maximum (Descloux et al. 2019)."""
TAPER_FRACTION = 0.1
"""Part of the image at each end that is faded out. Chosen: the edges then add no frequencies."""


@dataclass(frozen=True, eq=False)
class Decorrelation:
    """Decorrelation curves of an image: `curves` (filter frequency), the first without any high-pass, at `frequency_per_um`.

    `peaks` holds (frequency, height) of the maximum of each curve that has one. `cutoff_per_um` is the largest of these frequencies;
    None where the image is noise at all frequencies.
    """

    frequency_per_um: np.ndarray
    curves: np.ndarray
    peaks: list[tuple[float, float]]

    @property
    def cutoff_per_um(self) -> float | None:
        """Highest frequency with structure."""
        return max((frequency for frequency, _ in self.peaks), default=None)

    @property
    def resolution_nm(self) -> float | None:
        """Its period."""
        return 1e3 / self.cutoff_per_um if self.cutoff_per_um else None


def decorrelation(image: np.ndarray, yx_spacing_um: Sequence[float]) -> Decorrelation:
    """Decorrelation analysis of an image `... y x` (Descloux, Grussmayer and Radenovic 2019, Nature Methods 16:918).

    The Fourier transform `F` is correlated with its own phases within a disc of radius `r`,
    `d(r) = sum_{k < r} |F| / sqrt(sum |F|^2 sum_{k < r} 1)`. Frequencies with structure raise `d`, noise lowers it, and the maximum lies
    between them. For the image less its Gaussian mean, from wide to narrow Gaussians, the maximum moves towards the highest frequency with
    structure. Planes are pooled. The analysis shows up to which frequency an image has structure, not whether the structure is right.

    >>> rng = np.random.default_rng(0)
    >>> spectrum = np.fft.fft2(rng.normal(size=(128, 128)))
    >>> k = np.hypot(*np.meshgrid(np.fft.fftfreq(128, 0.1), np.fft.fftfreq(128, 0.1), indexing="ij"))
    >>> limited = np.fft.ifft2(spectrum * (k < 2.5)).real + 0.02 * rng.normal(size=(128, 128))
    >>> bool(abs(decorrelation(limited, (0.1, 0.1)).cutoff_per_um - 2.5) < 0.1)
    True
    """
    edge = 0.5 / max(yx_spacing_um)
    frequency = edge * (np.arange(BINS) + 1) / BINS
    amplitude, power, modes = _profiles(np.asarray(image, np.float64), yx_spacing_um, edge)

    def curve(high_pass: np.ndarray) -> np.ndarray:
        total = float((high_pass**2 * power).sum())
        return np.cumsum(high_pass * amplitude) / np.sqrt(max(total, 1e-300) * np.cumsum(modes))

    curves = [curve(np.ones(BINS))]
    first = _peak(curves[0])
    start = frequency[first] / edge if first is not None else 1 / BINS
    cycles_per_px = 0.5 * frequency / edge
    for width_px in np.geomspace(WIDEST_PERIODS / start, NARROWEST_PX, HIGH_PASSES):
        curves.append(curve(1 - np.exp(-2 * (np.pi * width_px * cycles_per_px) ** 2)))
    maxima = [(single, _peak(single)) for single in curves]
    peaks = [(float(frequency[at]), float(single[at])) for single, at in maxima if at is not None and single[at] > MIN_HEIGHT]
    return Decorrelation(frequency, np.stack(curves), peaks)


def _profiles(image: np.ndarray, yx_spacing_um: Sequence[float], edge: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Sums of `|F|`, `|F|^2` and 1 over all planes by spatial frequency up to `edge`; the curves depend on nothing else."""
    planes = image.reshape(-1, *image.shape[-2:])
    window = np.outer(*(_taper(n) for n in planes.shape[-2:]))
    ky, kx = (np.fft.fftfreq(n, um) for n, um in zip(planes.shape[-2:], yx_spacing_um, strict=True))
    k = np.hypot(ky[:, None], kx)
    inside = (k > 0) & (k <= edge)
    bins = np.minimum((k[inside] / edge * BINS).astype(int), BINS - 1)
    sums = np.zeros((3, BINS))
    for plane in planes:
        size = np.abs(np.fft.fft2((plane - plane.mean()) * window))[inside]
        for total, values in zip(sums, (size, size**2, np.ones_like(size)), strict=True):
            total += np.bincount(bins, values, minlength=BINS)
    sums[2, 0] = max(sums[2, 0], 1.0)  # small images have no frequency in the innermost bin
    return sums[0], sums[1], sums[2]


def _taper(n: int) -> np.ndarray:
    """1 in the middle, falling to 0 as a cosine over a tenth at each end."""
    distance = (np.minimum(np.arange(n), np.arange(n)[::-1]) + 0.5) / (TAPER_FRACTION * n)
    return np.sin(np.pi / 2 * np.minimum(distance, 1)) ** 2


def _peak(curve: np.ndarray) -> int | None:
    """The highest maximum after which the curve falls by `MIN_DROP`; None where it rises to its end."""
    end = len(curve)
    while end > 1:
        top = int(curve[:end].argmax())
        if curve[top] - curve[top:].min() >= MIN_DROP:
            return top
        end = top
    return None
