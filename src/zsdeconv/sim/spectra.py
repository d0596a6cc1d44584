"""Spectra of raw frames: what the estimation of the pattern and the choice of the Wiener parameter compute with."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from zsdeconv.sim.detection import DetectionOtf2d, DetectionOtf3d

TAPER_PX = 12
"""Width of the sin^2 flanks by which frames fade out at their borders, for fitting only."""
BEYOND_CUTOFF = 1.05
"""From this multiple of the cutoff on, a spectrum holds noise only."""
_MEASURED = (0.1, 0.7)
"""Where the object's spectrum is read off, in units of the cutoff: beyond the light from out of focus, before the OTF fades."""
_RINGS = 12
SEEN = 0.03
"""Where the OTF is smaller, in units of its `level`, an image shows noise rather than the object."""


@dataclass(frozen=True)
class Grid:
    """Frequencies of frames of `yx_shape` pixels of `pixel_um`, or of stacks of `planes` of them `z_um` apart, of discrete Fourier
    transforms with zero frequency first.
    """

    yx_shape: tuple[int, int]
    pixel_um: float
    planes: int = 1
    z_um: float | None = None

    @classmethod
    def of(cls, shape: Sequence[int], pixel_um: float, z_um: float | None = None) -> Grid:
        """The grid of an image of `shape`, (y x) or (z y x)."""
        *planes, ny, nx = shape
        return cls((ny, nx), pixel_um, planes[0], z_um) if planes else cls((ny, nx), pixel_um)

    @property
    def axes(self) -> tuple[int, ...]:
        """The spatial axes, counted from the last."""
        return (-2, -1) if self.z_um is None else (-3, -2, -1)

    @cached_property
    def k_per_um(self) -> tuple[np.ndarray, np.ndarray]:
        """Frequencies along y (as a column) and x, cycles per micrometre."""
        ky, kx = (np.fft.fftfreq(n, self.pixel_um) for n in self.yx_shape)
        return ky[:, None], kx

    @property
    def kz_per_um(self) -> tuple[np.ndarray, ...]:
        """Frequencies along z where there is such an axis: what a detection is called with after the lateral ones."""
        return () if self.z_um is None else (np.fft.fftfreq(self.planes, self.z_um),)

    @property
    def step_per_um(self) -> tuple[float, float]:
        """Distance of two frequencies along y and x."""
        y, x = (1 / (n * self.pixel_um) for n in self.yx_shape)
        return y, x

    def radius(self, shift_per_um: tuple[float, float] | np.ndarray = (0.0, 0.0)) -> np.ndarray:
        """`|k + shift|` along y and x (y x)."""
        ky, kx = self.k_per_um
        return np.hypot(ky + shift_per_um[0], kx + shift_per_um[1])

    def distance(self, shift_per_um: tuple[float, float] | np.ndarray = (0.0, 0.0)) -> np.ndarray:
        """`|k + shift|` along all axes (`*zyx`)."""
        lateral_factors = self.radius(shift_per_um)
        return np.hypot(lateral_factors, self.kz_per_um[0][:, None, None]) if self.kz_per_um else lateral_factors

    def transfer(
        self, detection: DetectionOtf2d | DetectionOtf3d, order: int = 0, shift_per_um: tuple[float, float] | np.ndarray = (0.0, 0.0)
    ) -> np.ndarray:
        """`H_order(k + shift)` of a detection (`*zyx`)."""
        return detection(self.radius(shift_per_um), order, *self.kz_per_um)

    def finer(self) -> Grid:
        """The grid of pixels half as large: the same frequencies, and as many beyond."""
        return replace(self, yx_shape=(2 * self.yx_shape[0], 2 * self.yx_shape[1]), pixel_um=self.pixel_um / 2)


def taper(yx_shape: tuple[int, int], width_px: int = TAPER_PX) -> np.ndarray:
    """Window (y x) that rises from the borders as sin^2 over `width_px` pixels (a quarter of short axes) and is 1 inside.

    >>> taper((1, 9), 2)[0].round(2).tolist()
    [0.15, 0.85, 1.0, 1.0, 1.0, 1.0, 1.0, 0.85, 0.15]
    """
    return np.outer(*(_flanks(n, min(width_px, n // 4)) for n in yx_shape))


def _flanks(n: int, width: int) -> np.ndarray:
    window = np.ones(n)
    rise = np.sin((np.arange(width) + 0.5) / max(width, 1) * np.pi / 2) ** 2
    window[:width], window[n - width :] = rise, rise[::-1]
    return window


def zero_padded(spectrum: np.ndarray) -> np.ndarray:
    """Spectrum (y x) of the same function on the twice finer grid; what lies at the Nyquist frequency is left out.

    >>> zero_padded(np.ones((3, 3))).sum()
    np.float64(9.0)
    """
    rows, columns = (np.r_[0 : (n + 1) // 2, -((n - 1) // 2) : 0] for n in spectrum.shape)
    padded = np.zeros([2 * n for n in spectrum.shape], spectrum.dtype)
    padded[np.ix_(rows, columns)] = spectrum[np.ix_(rows, columns)]
    return padded


def slices(spectrum: np.ndarray) -> np.ndarray:
    """A spectrum (`*zyx`) as one or more spectra of planes (n y x)."""
    return spectrum.reshape(-1, *spectrum.shape[-2:])


def notch(k_per_um: np.ndarray, width_per_um: float) -> np.ndarray:
    """0 at zero frequency, 1 beyond a few widths."""
    return 1 - np.exp(-((k_per_um / width_per_um) ** 2) / 2)


def zoomed(image: np.ndarray, ky_per_um: np.ndarray, kx_per_um: np.ndarray, pixel_um: float) -> np.ndarray:
    """Fourier transform `sum image(r) exp(-2 pi i k.r)` at any frequencies (rows of ky, columns of kx)."""
    y, x = (pixel_um * np.arange(n) for n in image.shape)
    rows = np.exp(-2j * np.pi * np.multiply.outer(ky_per_um, y)) @ image
    return rows @ np.exp(-2j * np.pi * np.multiply.outer(x, kx_per_um))


def noise_power(spectrum: np.ndarray, grid: Grid, detection: DetectionOtf2d | DetectionOtf3d) -> float:
    """Mean `|spectrum|^2` where the detection passes nothing; 0 where the pixels are too coarse to leave such a place."""
    beyond = grid.radius() > BEYOND_CUTOFF * detection.cutoff_per_um
    return float(np.mean(np.abs(spectrum[..., beyond]) ** 2)) if beyond.any() else 0.0


@dataclass(frozen=True)
class ObjectSpectrum:
    """Power spectrum `amplitude k^exponent` of the object in an image of one unit of light, and the `noise` power of the image.

    Powers are means of `|F|^2` over the number of pixels. An object that the noise hides has amplitude 0.
    """

    amplitude: float
    exponent: float
    noise: float
    lowest_per_um: float

    @property
    def seen(self) -> bool:
        """Whether the object stands out of the noise."""
        return self.amplitude > 0

    def __call__(self, k_per_um: np.ndarray) -> np.ndarray:
        """The object's power at frequencies of any shape, levelled off below the lowest one at which it was measured."""
        return self.amplitude * np.maximum(k_per_um, self.lowest_per_um) ** self.exponent


def object_spectrum(
    image: np.ndarray, pixel_um: float, detection: DetectionOtf2d | DetectionOtf3d, z_um: float | None = None
) -> ObjectSpectrum:
    """The object's spectrum from a wide-field `image` (y x) or stack (z y x): a power law of `|k|` through rings (shells) of the
    spectrum, noise and OTF taken off.

    >>> from zsdeconv.physics.optics import Optics
    >>> from zsdeconv.sim.detection import detection_otf_2d
    >>> object_spectrum(np.random.default_rng(0).normal(0, 2, (64, 64)), 0.1, detection_otf_2d(Optics(1.0, 600))).seen
    False
    """
    grid = Grid.of(image.shape, pixel_um, z_um)
    window = taper(grid.yx_shape)
    if z_um is not None:
        window = _flanks(grid.planes, grid.planes // 4)[:, None, None] * window
    spectrum = np.fft.fftn((image - image.mean()) * window) / np.sqrt((window**2).sum())
    noise = noise_power(spectrum, grid, detection)
    rings = [ring for ring in _rings(spectrum, grid, detection, noise) if ring[1] > 0]
    lowest = _MEASURED[0] * detection.cutoff_per_um
    if len(rings) < 3:
        return ObjectSpectrum(0.0, 0.0, noise, lowest)
    k, power, count = np.array(rings).T
    exponent, intercept = np.polyfit(np.log(k), np.log(power), 1, w=np.sqrt(count))
    return ObjectSpectrum(float(np.exp(intercept)), float(min(exponent, 0.0)), noise, lowest)


def _rings(spectrum: np.ndarray, grid: Grid, detection: DetectionOtf2d | DetectionOtf3d, noise: float) -> list[tuple[float, float, int]]:
    """Frequency, power of the object and number of samples of each ring; power 0 where it does not exceed three standard errors."""
    k, power = grid.distance(), np.abs(spectrum) ** 2
    passed = np.abs(grid.transfer(detection)) ** 2
    seen = passed > (SEEN * detection.level) ** 2
    edges = np.geomspace(*_MEASURED, _RINGS + 1) * detection.cutoff_per_um
    found = []
    for low, high in itertools.pairwise(edges):
        ring = (k >= low) & (k < high) & seen
        count = int(np.count_nonzero(ring))
        if count:
            signal = float(power[ring].mean()) - noise
            stands_out = signal > 3 * noise / np.sqrt(count)
            found.append((float(np.sqrt(low * high)), signal / float(passed[ring].mean()) if stands_out else 0.0, count))
    return found
