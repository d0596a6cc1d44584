"""Reconstruction of structured illumination as a fixed linear operator, and its PSF.

Generalised Wiener recombination (Gustafsson 2000, J. Microsc. 198:82; Gustafsson et al. 2008, Biophys. J. 94:4957) with
attenuation of the frequencies that carry light from out of focus (O'Holleran and Shaw 2014, Biomed. Opt. Express 5:2580).
Nothing in it depends on the values of the frames, nothing is clipped: noise of mean 0 keeps mean 0.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from zsdeconv.errors import ConfigError
from zsdeconv.nn import blocks
from zsdeconv.physics.kernel import Psf
from zsdeconv.physics.operators import Operator, fast_length
from zsdeconv.physics.psf_check import fwhms_um
from zsdeconv.sim.detection import Detection, require_fine_pixel
from zsdeconv.sim.patterns import SimParameters
from zsdeconv.symbols import FWHM_PER_SIGMA, Batch

FINER = 2
RADIUS_IN_RESOLUTIONS = 5.4
"""Half width of PSF and margin in units of 1 / cutoff: 2.7 wavelength / NA, as of a theoretical PSF."""
NOTHING = 1e-6
"""`Dsum` below this is outside all bands."""
ATTENUATION, ATTENUATION_WIDTH = 0.9, 0.15
"""Share of order 0 taken out at zero frequency, and width of the region where it is, in units of the cutoff."""


@dataclass(frozen=True, eq=False)
class BandWeights:
    """How the bands of a parameter set are weighted and what that makes of the object, as functions of frequency.

    `attenuated` is `a H`, `total` is `Dsum = mean over directions of sum_m |c_m|^2 a H^2(k + m p)`, `apodisation` is `A`: a cosine
    down to 0 at `cutoff + |p|` (mean of the directions), 0 outside all bands.
    """

    parameters: SimParameters
    detection: Detection
    attenuation: float = ATTENUATION

    def attenuated(self, k_per_um: np.ndarray, power: int = 1) -> np.ndarray:
        """`a H^power`, with `a = 1 - attenuation exp(-k^2 / 2 (0.15 cutoff)^2)`."""
        width = ATTENUATION_WIDTH * self.detection.cutoff_per_um
        dip = 1 - self.attenuation * np.exp(-((k_per_um / width) ** 2) / 2)
        return dip * self.detection(k_per_um) ** power

    def total(self, ky_per_um: np.ndarray, kx_per_um: np.ndarray) -> np.ndarray:
        """`Dsum` at frequencies that broadcast."""
        return self._mean_over_bands(ky_per_um, kx_per_um, lambda k: self.attenuated(k, 2))

    def noise(self, ky_per_um: np.ndarray, kx_per_um: np.ndarray) -> np.ndarray:
        """The same sum of `|c_m|^2 a^2 H^2`, `N`: the power of noise before the last filter, in units of that of a band."""
        return self._mean_over_bands(ky_per_um, kx_per_um, lambda k: self.attenuated(k) ** 2)

    def regularised(self, ky_per_um: np.ndarray, kx_per_um: np.ndarray, wiener: float) -> tuple[np.ndarray, np.ndarray]:
        """`Dsum`, and `Dsum + w^2 N / Dsum`, what the last filter divides by.

        Wiener's filter for a signal `Dsum O` in noise of power `v N`. Without attenuation `N = Dsum`, and the sum is the usual
        `Dsum + w^2`. With it `w^2` shrinks where the bands were attenuated, so that attenuation shifts weight between bands but
        takes nothing of the image: brightness would depend on structure otherwise, and H_SIM have deep negative rings.
        """
        total = self.total(ky_per_um, kx_per_um)
        relative = np.divide(self.noise(ky_per_um, kx_per_um), total, out=np.ones_like(total), where=total > NOTHING)
        return total, total + wiener**2 * relative

    def apodisation(self, ky_per_um: np.ndarray, kx_per_um: np.ndarray) -> np.ndarray:
        """`A` at frequencies that broadcast."""
        end = self.detection.cutoff_per_um + float(np.mean([1 / direction.period_um for direction in self.parameters.directions]))
        k = np.hypot(ky_per_um, kx_per_um)
        seen = self._mean_over_bands(ky_per_um, kx_per_um, lambda k: k < self.detection.cutoff_per_um) > 0
        return np.where(seen & (k < end), np.cos(np.pi / 2 * np.minimum(k / end, 1)), 0.0)

    def _mean_over_bands(self, ky: np.ndarray, kx: np.ndarray, of: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
        """Mean over the directions of the sum over the orders of `|c_m|^2 of(|k + m p|)`."""
        sides = [
            abs(direction.c1) ** 2 * of(np.hypot(ky + m * direction.p_per_um[0], kx + m * direction.p_per_um[1]))
            for direction in self.parameters.directions
            for m in (1, -1)
        ]
        return of(np.hypot(ky, kx)) + np.sum(sides, axis=0) / len(self.parameters.directions)


class Reconstruct(Operator):
    """Raw frames `b frame y x` (offset removed, in the order of the file) to the reconstruction `b 1 2y 2x`, exactly linear.

    `SR = F^-1{ W F[ sum_i r_i(x) up2(F^-1{ H a F D_i }) ] }` with `r_i = Re[M^+_0i + 2 conj(c_1) M^+_1i exp(-2 pi i p.x)]` and
    `W = A / (Dsum + w^2 N / Dsum)` (`BandWeights`), averaged over directions; frame gains are in `M^+`. `W` is scaled so that a
    uniform object keeps its brightness. A point at x0 becomes `H_SIM(x - x0)` (`psf`), the transform of `W Dsum`. `conj(c_1)`
    instead of `1 / c_1` does not amplify the noise of a weak pattern.

    Raw pixel j lies on fine pixel 2 j. Frames may be a part of those recorded: `origin_px` (y, x) is where their first pixel lies in
    them, for stripes go on from there. Beyond their borders frames continue as their mirror images, as in `Blur`. Tables for
    the last two frame sizes are kept on the device and in the type of the frames.

    `wiener` is w: about 0.1 for bright frames, 0.3 to 0.4 for dim ones (`choose_wiener`). Raises `ConfigError` unless it is positive,
    `OpticsError` when the fine grid cannot hold the widened band.

    >>> from zsdeconv.physics.optics import Optics
    >>> from zsdeconv.sim.detection import detection_of
    >>> from zsdeconv.sim.patterns import Direction, nominal_phases_rad
    >>> stripes = Direction((0.0, 3.0), 0.8, 0.3, nominal_phases_rad(3), (1, 1, 1))
    >>> reconstruct = Reconstruct(SimParameters((stripes,), 0.1), detection_of(Optics(1.0, 600)), 0.1, wiener=0.2)
    >>> reconstruct(torch.ones(2, 3, 20, 31)).shape
    torch.Size([2, 1, 40, 62])
    """

    remembered_shapes = 2

    def __init__(
        self, parameters: SimParameters, detection: Detection, pixel_um: float, wiener: float, attenuation: float = ATTENUATION
    ) -> None:
        if not (math.isfinite(wiener) and wiener > 0):
            raise ConfigError(f"Wiener parameter {wiener:g}: it must be positive, 0.1 for bright and 0.4 for dim frames; give --wiener")
        if not 0 <= attenuation < 1:
            raise ConfigError(f"attenuation {attenuation:g}: it must be 0 or more and less than 1; 0 turns it off")
        require_fine_pixel(detection, pixel_um, max(1 / direction.period_um for direction in parameters.directions))
        self.parameters, self.pixel_um, self.wiener = parameters, float(pixel_um), float(wiener)
        self.weights = BandWeights(parameters, detection, attenuation)
        self.margin_px = math.ceil(RADIUS_IN_RESOLUTIONS / detection.cutoff_per_um / pixel_um)
        self._gain = 1.0
        self._gain = 1 / float(self.otf(np.zeros(1), np.zeros(1))[0])
        self._tables: dict[tuple[object, ...], _Tables] = {}

    def __call__(self, x: Batch, origin_px: Sequence[int] = (0, 0)) -> Batch:
        kind, yx_shape = x.dtype, (x.shape[2], x.shape[3])
        x = x.to(_working(kind))
        tables = self._tables_for(yx_shape, x)
        x = blocks.window(blocks.mirror(x, tables.margins), (0, 0), tables.sizes)
        bands = torch.einsum("nf,bfyx->bnyx", self._mixing(origin_px, x), x)
        spectrum = torch.fft.rfft2(bands) * tables.lens
        demodulated = FINER**2 * torch.fft.irfft2(_padded(spectrum), s=tables.fine_sizes) * tables.carriers
        image = torch.fft.irfft2(torch.fft.rfft2(demodulated.sum(1, keepdim=True)) * tables.filter, s=tables.fine_sizes)
        start = [FINER * margin for margin in tables.margins]
        stop = [first + FINER * n for first, n in zip(start, yx_shape, strict=True)]
        return blocks.window(image, start, stop).to(kind)

    def adjoint(self, y: Batch, origin_px: Sequence[int] = (0, 0)) -> Batch:
        kind, yx_shape = y.dtype, (y.shape[2] // FINER, y.shape[3] // FINER)
        y = y.to(_working(kind))
        tables = self._tables_for(yx_shape, y)
        image = torch.fft.rfft2(_enclosed(y, [FINER * margin for margin in tables.margins], tables.fine_sizes))
        modulated = torch.fft.irfft2(image * tables.filter, s=tables.fine_sizes) * tables.carriers
        bands = torch.fft.irfft2(_restricted(torch.fft.rfft2(modulated)) * tables.lens, s=tables.sizes)
        frames = torch.einsum("nf,bnyx->bfyx", self._mixing(origin_px, y), bands)
        mirrored = [n + 2 * margin for n, margin in zip(yx_shape, tables.margins, strict=True)]
        return blocks.unmirror(_enclosed(frames, (0, 0), mirrored), tables.margins).to(kind)

    @property
    def reach_px(self) -> tuple[int, ...]:
        return (self.margin_px, self.margin_px)

    @property
    def fine_um(self) -> float:
        """Pixel size of the reconstruction."""
        return self.pixel_um / FINER

    def otf(self, ky_per_um: np.ndarray, kx_per_um: np.ndarray) -> np.ndarray:
        """`OTF_SIM = A Dsum / (Dsum + w^2 N / Dsum)` at frequencies that broadcast (cycles per um), scaled to 1 at zero frequency."""
        total, regularised = self.weights.regularised(ky_per_um, kx_per_um, self.wiener)
        return self._gain * self.weights.apodisation(ky_per_um, kx_per_um) * total / regularised

    def psf(self, radius_um: float | None = None) -> Psf:
        """`H_SIM`: what a point becomes, on the fine grid, sum 1; negative rings are real.

        `radius_um` is the half width, by default 5.4 / cutoff of the detection (2.7 wavelength / NA).
        """
        radius = RADIUS_IN_RESOLUTIONS / self.weights.detection.cutoff_per_um if radius_um is None else radius_um
        half = max(1, math.ceil(radius / self.fine_um))
        size = fast_length(8 * half)
        k = np.fft.fftfreq(size, self.fine_um)
        values = np.fft.ifft2(self.otf(k[:, None], k)).real
        rows = np.arange(-half, half + 1)
        values = values[np.ix_(rows, rows)]
        source = (
            f"SIM reconstruction ({len(self.parameters.directions)} directions, w {self.wiener:.3g}; {self.weights.detection.otf.source})"
        )
        return Psf(values / values.sum(), (self.fine_um, self.fine_um), source)

    def _mixing(self, origin_px: Sequence[int], like: Tensor) -> Tensor:
        """Weights (band frame) of the frames in the real bands: order 0, then the parts of `2 conj(c_1) M^+_1` of each direction."""
        directions = self.parameters.directions
        weights = np.zeros((1 + 2 * len(directions), self.parameters.layout.frames))
        for number, (frames, direction) in enumerate(zip(self.parameters.layout.numbers, directions, strict=True)):
            order0, order1, _ = direction.separation()
            turn = 2 * np.pi * self.pixel_um * float(np.dot(direction.p_per_um, origin_px))
            side = 2 * np.conj(direction.c1) * order1 * np.exp(-1j * turn)
            weights[0, frames], weights[1 + 2 * number, frames], weights[2 + 2 * number, frames] = order0.real, side.real, side.imag
        return _like(torch.from_numpy(weights / len(directions)), like)

    def _tables_for(self, yx_shape: tuple[int, int], like: Tensor) -> _Tables:
        key = (yx_shape, like.device, like.dtype)
        if key not in self._tables:
            while len(self._tables) >= self.remembered_shapes:
                self._tables.pop(next(iter(self._tables)))
            self._tables[key] = self._make_tables(yx_shape).to(like)
        return self._tables[key]

    def _make_tables(self, yx_shape: tuple[int, int]) -> _Tables:
        sizes = [fast_length(n + 2 * self.margin_px) for n in yx_shape]
        margins = [(size - n + 1) // 2 for size, n in zip(sizes, yx_shape, strict=True)]
        ky, kx = _half_frequencies(sizes, self.pixel_um)
        lens = self.weights.attenuated(np.hypot(ky, kx))
        ky, kx = _half_frequencies([FINER * n for n in sizes], self.fine_um)
        last = self._gain * self.weights.apodisation(ky, kx) / self.weights.regularised(ky, kx, self.wiener)[1]
        # A frequency and its opposite share the place at Nyquist, where the filter could not be even.
        last[sizes[0]], last[:, -1] = 0.0, 0.0
        carriers = self._carriers(sizes, margins)
        return _Tables(tuple(sizes), tuple(margins), *(torch.from_numpy(table) for table in (lens, last, carriers)))

    def _carriers(self, sizes: Sequence[int], margins: Sequence[int]) -> np.ndarray:
        """1, then cosine and sine of `2 pi p.x` for each direction (band y x), with x = 0 at the first pixel of the frame."""
        y, x = (self.fine_um * (np.arange(FINER * n) - FINER * margin) for n, margin in zip(sizes, margins, strict=True))
        images = np.ones((1 + 2 * len(self.parameters.directions), len(y), len(x)))
        for number, direction in enumerate(self.parameters.directions):
            turn = 2 * np.pi * np.add.outer(direction.p_per_um[0] * y, direction.p_per_um[1] * x)
            images[1 + 2 * number], images[2 + 2 * number] = np.cos(turn), np.sin(turn)
        return images


@dataclass(frozen=True, eq=False)
class _Tables:
    """What depends on the size of the frames: that of the mirrored ones and how much lies before the first pixel, `a H` and the
    last filter on half-spectra, and the carriers.
    """

    sizes: tuple[int, ...]
    margins: tuple[int, ...]
    lens: Tensor
    filter: Tensor
    carriers: Tensor

    @property
    def fine_sizes(self) -> tuple[int, ...]:
        return tuple(FINER * n for n in self.sizes)

    def to(self, like: Tensor) -> _Tables:
        return _Tables(self.sizes, self.margins, *(_like(table, like) for table in (self.lens, self.filter, self.carriers)))


def halved_gaussian(widefield: Psf) -> Psf:
    """A Gaussian half as wide (FWHM) as a wide-field PSF (y x), on the same grid: the published stand-in where no SIM parameters are known.

    >>> from zsdeconv.physics.optics import Optics
    >>> from zsdeconv.physics.psf import fwhm_um, theoretical_psf
    >>> wide = theoretical_psf(Optics(1.3, 525), (0.03, 0.03))
    >>> round(fwhm_um(wide) / fwhm_um(halved_gaussian(wide)), 1)
    2.0
    """
    widths = [um / 2 / FWHM_PER_SIGMA for um in fwhms_um(widefield.require_rank(2))]
    profiles = [
        np.exp(-((s * (np.arange(n) - n // 2) / sigma) ** 2) / 2)
        for n, s, sigma in zip(widefield.values.shape, widefield.spacing_um, widths, strict=True)
    ]
    values = np.outer(*profiles)
    return Psf(values / values.sum(), widefield.spacing_um, f"Gaussian half as wide as {widefield.source}")


def _half_frequencies(sizes: Sequence[int], spacing_um: float) -> tuple[np.ndarray, np.ndarray]:
    """Frequencies of the half-spectrum of a real image along y (a column) and x."""
    return np.fft.fftfreq(sizes[0], spacing_um)[:, None], np.fft.rfftfreq(sizes[1], spacing_um)


def _padded(spectrum: Tensor) -> Tensor:
    """Half-spectrum (... ky kx, even sizes) on the twice finer grid, without its Nyquist frequencies."""
    height, width = spectrum.shape[-2] // 2, spectrum.shape[-1] - 1
    padded = spectrum.new_zeros((*spectrum.shape[:-2], 4 * height, 2 * width + 1))
    padded[..., :height, :width] = spectrum[..., :height, :width]
    padded[..., 1 - height :, :width] = spectrum[..., 1 - height :, :width]
    return padded


def _restricted(spectrum: Tensor) -> Tensor:
    """Transpose of `_padded`."""
    height, width = spectrum.shape[-2] // 4, (spectrum.shape[-1] - 1) // 2
    kept = spectrum.new_zeros((*spectrum.shape[:-2], 2 * height, width + 1))
    kept[..., :height, :width] = spectrum[..., :height, :width]
    kept[..., 1 - height :, :width] = spectrum[..., 1 - height :, :width]
    return kept


def _enclosed(x: Tensor, start: Sequence[int], sizes: Sequence[int]) -> Tensor:
    """`x` (... y x) as the part from `start` of zeros of `sizes`: the transpose of cutting it out."""
    (top, left), (height, width) = start, x.shape[-2:]
    return F.pad(x, (left, sizes[1] - left - width, top, sizes[0] - top - height))


def _like(table: Tensor, like: Tensor) -> Tensor:
    """A table in the type, then on the device, of `like`: not every device has double precision."""
    return table.to(like.dtype).to(like.device)


def _working(kind: torch.dtype) -> torch.dtype:
    """The type to compute in: single precision at least."""
    return torch.promote_types(kind, torch.float32)
