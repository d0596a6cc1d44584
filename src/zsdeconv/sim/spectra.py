"""Spectra of raw frames, for the estimation of the pattern and the choice of the Wiener parameter."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from zsdeconv.sim.detection import DetectionOtf2d, DetectionOtf3d

TAPER_PX = 12
"""Width of the sin^2 flanks at the borders of frames, for fitting only. Chosen: several times the width of a PSF."""
FIT_TAPER_PX = 6
"""The same for the fit of the pattern. Chosen: wider ones waste pixels (39 % of 64 x 64 are left within 12, 66 % within 6, and the error
of the wave vector halves), narrower ones make ringing that reaches far into the field."""
NOISE_START_CUTOFFS = 1.05
"""Frequency in units of the cutoff from which on a spectrum is pure noise. Law above 1; the margin is chosen for a cutoff known to 5 %."""
FIT_RANGE_CUTOFFS = (0.1, 0.7)
"""Frequencies of the power-law fit, in units of the cutoff. Chosen: above the out-of-focus light, below the decay of the OTF."""
FIT_RINGS = 12
"""Rings of the power-law fit. Chosen: even small frames have several frequencies in each."""
MIN_FIT_RINGS = 3
"""Significant rings below which no power law is fitted. Chosen: a line has two parameters, and noise exceeds a limit by chance."""
SIGNIFICANCE_SIGMAS = 3
"""Standard errors by which the power of a ring must exceed the noise. Chosen: by chance one ring in 700 does."""
MIN_OTF_LEVEL = 0.03
"""OTF in units of its `level` below which an image shows noise rather than the object. Chosen: about 0.9 of the cutoff."""


@dataclass(frozen=True)
class Grid:
    """Frequencies of the discrete Fourier transform, zero frequency first, of frames of `yx_shape` pixels of size `pixel_um`, or of
    stacks of `planes` frames with the step `z_um`.
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
        """Frequencies along z as the last arguments of a detection; empty for frames."""
        return () if self.z_um is None else (np.fft.fftfreq(self.planes, self.z_um),)

    @property
    def step_per_um(self) -> tuple[float, float]:
        """Frequency step along y and x."""
        y, x = (1 / (n * self.pixel_um) for n in self.yx_shape)
        return y, x

    def radius(self, shift_per_um: tuple[float, float] | np.ndarray = (0.0, 0.0)) -> np.ndarray:
        """`|k + shift|` along y and x (y x)."""
        ky, kx = self.k_per_um
        return np.hypot(ky + shift_per_um[0], kx + shift_per_um[1])

    def distance(self, shift_per_um: tuple[float, float] | np.ndarray = (0.0, 0.0)) -> np.ndarray:
        """`|k + shift|` along all axes (`*zyx`)."""
        lateral = self.radius(shift_per_um)
        return np.hypot(lateral, self.kz_per_um[0][:, None, None]) if self.kz_per_um else lateral

    def transfer(
        self, detection: DetectionOtf2d | DetectionOtf3d, order: int = 0, shift_per_um: tuple[float, float] | np.ndarray = (0.0, 0.0)
    ) -> np.ndarray:
        """`H_order(k + shift)` of a detection (`*zyx`)."""
        return detection(self.radius(shift_per_um), order, *self.kz_per_um)

    def finer(self) -> Grid:
        """The grid of pixels half as large: twice the range of frequencies at the same step."""
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
    """Spectrum (y x) of the same function on the twice finer grid, without the Nyquist frequency.

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
    """Gaussian notch: 0 at zero frequency, 1 beyond a few widths."""
    return 1 - np.exp(-((k_per_um / width_per_um) ** 2) / 2)


def zoomed(image: np.ndarray, ky_per_um: np.ndarray, kx_per_um: np.ndarray, pixel_um: float) -> np.ndarray:
    """Fourier transform `sum image(r) exp(-2 pi i k.r)` at any frequencies (rows of ky, columns of kx).

    Parameters
    ----------
    image
        Image (y x), its first pixel at r = 0.
    ky_per_um, kx_per_um
        Frequencies along either axis.
    pixel_um
        Pixel size of the image.
    """
    y, x = (pixel_um * np.arange(n) for n in image.shape)
    rows = np.exp(-2j * np.pi * np.multiply.outer(ky_per_um, y)) @ image
    return rows @ np.exp(-2j * np.pi * np.multiply.outer(x, kx_per_um))


def noise_power(spectrum: np.ndarray, grid: Grid, detection: DetectionOtf2d | DetectionOtf3d) -> float:
    """Mean `|spectrum|^2` beyond the cutoff of the detection; 0 where the pixels are too coarse for such frequencies."""
    beyond = grid.radius() > NOISE_START_CUTOFFS * detection.cutoff_per_um
    return float(np.mean(np.abs(spectrum[..., beyond]) ** 2)) if beyond.any() else 0.0


@dataclass(frozen=True)
class ObjectSpectrum:
    """Power law `amplitude k^exponent` of the object, and the `noise` power of the image.

    Powers are means of `|F|^2` over the number of pixels. An object below the noise has amplitude 0. `lowest_per_um` is the lowest
    frequency of the fit.
    """

    amplitude: float
    exponent: float
    noise: float
    lowest_per_um: float

    @property
    def detected(self) -> bool:
        """Whether the object exceeds the noise."""
        return self.amplitude > 0

    def __call__(self, k_per_um: np.ndarray) -> np.ndarray:
        """The object's power at frequencies of any shape, constant below the lowest frequency of the fit."""
        return self.amplitude * np.maximum(k_per_um, self.lowest_per_um) ** self.exponent


def object_spectrum(
    image: np.ndarray, pixel_um: float, detection: DetectionOtf2d | DetectionOtf3d, z_um: float | None = None
) -> ObjectSpectrum:
    """Power law of the object, fitted to rings (shells) of the spectrum after removal of noise and OTF.

    Parameters
    ----------
    image
        Wide-field image (y x) or stack (z y x).
    pixel_um, z_um
        Pixel size, and the step between planes of a stack.
    detection
        OTF of the detection.

    >>> from zsdeconv.physics.optics import Optics
    >>> from zsdeconv.sim.detection import detection_otf_2d
    >>> object_spectrum(np.random.default_rng(0).normal(0, 2, (64, 64)), 0.1, detection_otf_2d(Optics(1.0, 600))).detected
    False
    """
    grid = Grid.of(image.shape, pixel_um, z_um)
    window = taper(grid.yx_shape)
    if z_um is not None:
        window = _flanks(grid.planes, grid.planes // 4)[:, None, None] * window
    spectrum = np.fft.fftn((image - image.mean()) * window) / np.sqrt((window**2).sum())
    noise = noise_power(spectrum, grid, detection)
    rings = [ring for ring in _rings(spectrum, grid, detection, noise) if ring[1] > 0]
    lowest = FIT_RANGE_CUTOFFS[0] * detection.cutoff_per_um
    if len(rings) < MIN_FIT_RINGS:
        return ObjectSpectrum(0.0, 0.0, noise, lowest)
    k, power, count = np.array(rings).T
    exponent, intercept = np.polyfit(np.log(k), np.log(power), 1, w=np.sqrt(count))
    return ObjectSpectrum(float(np.exp(intercept)), float(min(exponent, 0.0)), noise, lowest)


def _rings(spectrum: np.ndarray, grid: Grid, detection: DetectionOtf2d | DetectionOtf3d, noise: float) -> list[tuple[float, float, int]]:
    """Frequency, power of the object and number of samples of each ring; power 0 where it is not significant."""
    k, power = grid.distance(), np.abs(spectrum) ** 2
    passed = np.abs(grid.transfer(detection)) ** 2
    transmitted = passed > (MIN_OTF_LEVEL * detection.level) ** 2
    edges = np.geomspace(*FIT_RANGE_CUTOFFS, FIT_RINGS + 1) * detection.cutoff_per_um
    rings = []
    for low, high in itertools.pairwise(edges):
        ring = (k >= low) & (k < high) & transmitted
        count = int(np.count_nonzero(ring))
        if count:
            signal = float(power[ring].mean()) - noise
            significant = signal > SIGNIFICANCE_SIGMAS * noise / np.sqrt(count)
            rings.append((float(np.sqrt(low * high)), signal / float(passed[ring].mean()) if significant else 0.0, count))
    return rings
