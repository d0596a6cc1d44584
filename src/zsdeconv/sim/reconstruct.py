"""Reconstruction of structured illumination as a fixed linear operator, and its PSF.

Generalised Wiener recombination (Gustafsson 2000, J. Microsc. 198:82; Gustafsson et al. 2008, Biophys. J. 94:4957) with
attenuation of the frequencies that carry light from out of focus (O'Holleran and Shaw 2014, Biomed. Opt. Express 5:2580).
The operator does not depend on the values of the frames and clips nothing: noise of mean 0 keeps mean 0.
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
from zsdeconv.notation import FWHM_PER_SIGMA, Batch
from zsdeconv.physics import grid
from zsdeconv.physics.operators import Operator, fast_length
from zsdeconv.physics.psf import Psf
from zsdeconv.physics.psf_check import fwhms_um
from zsdeconv.sim.detection import DetectionOtf2d, DetectionOtf3d, require_fine_pixel
from zsdeconv.sim.patterns import SimParameters
from zsdeconv.sim.weights import ATTENUATION, BandWeights, require_same_rank, step_um

SIM_UPSAMPLING = 2
"""Law: structured illumination at most doubles the cutoff, and with it the sampling frequency along y and x."""
RADIUS_RESOLUTIONS = 5.4
"""Half width of PSF and margin in units of 1 / cutoff. Chosen: 2.7 wavelength / NA, as for a theoretical PSF."""
AXIAL_RADIUS_RESOLUTIONS = {"margin": 1.5, "psf": 3.0}
"""The same in depth, in units of 1 / axial cutoff. Chosen: mirrored planes cost as much as recorded ones, and a larger margin changes
little; beyond the PSF lies less than 1 % of its energy."""


class Reconstruct(Operator):
    """Raw frames `b frame *zyx` (offset removed, frames in the order of a plane) to the reconstruction `b 1 (z) 2y 2x`, exactly linear.

    `SR = F^-1{ W F[ sum_i sum_m r_mi(x) up2(F^-1{ a conj(H_m) F D_i }) ] }` with `r_0i = M^+_0i`,
    `r_mi = 2 Re[conj(c_m) M^+_mi exp(-2 pi i m p.x)]` and `W = A / (Dsum + w^2 N / Dsum)` (`BandWeights`), averaged over directions;
    frame gains are in `M^+`. Two beams and a `DetectionOtf2d` reconstruct planes; three beams and a `DetectionOtf3d` reconstruct stacks,
    whose planes keep their number and step. `W` is scaled so that a uniform object keeps its brightness. A point at x0 becomes
    `H_SIM(x - x0)` (`psf`), the transform of `W Dsum`. `conj(c_m)` instead of `1 / c_m` does not amplify the noise of a weak pattern.

    Raw pixel j lies on fine pixel 2 j. Frames may be a region of the recorded ones: `origin_px` (y, x; a z before them has no effect) is
    the position of their first pixel, which sets the phase of the fringes. Beyond their borders frames continue as their mirror images,
    as in `Blur`. Tables for the last two frame sizes are kept on the device and in the type of the frames.

    Parameters
    ----------
    parameters, detection
        Pattern, and OTF of the detection.
    pixel_um, z_um
        Pixel size of the frames, and step between planes; `z_um` by default from the parameters.
    wiener
        w: for planes about 0.1 for bright frames and 0.3 to 0.4 for dim ones, for stacks a tenth of that (`choose_wiener`).
    attenuation
        Share of order 0 removed at zero frequency.

    Raises
    ------
    ConfigError
        Unless w is positive and the attenuation at least 0 and below 1.
    OpticsError
        When the fine grid cannot hold the widened band, and unless pattern and detection are both of planes or both of stacks.

    >>> from zsdeconv.physics.optics import Optics
    >>> from zsdeconv.sim.detection import detection_otf_3d, detection_otf_2d
    >>> from zsdeconv.sim.patterns import Direction, nominal_phases_rad
    >>> fringes = Direction((0.0, 3.0), 0.8, 0.3, nominal_phases_rad(3), (1, 1, 1))
    >>> reconstruct = Reconstruct(SimParameters((fringes,), 0.1), detection_otf_2d(Optics(1.0, 600)), 0.1, wiener=0.2)
    >>> reconstruct(torch.ones(2, 3, 20, 31)).shape
    torch.Size([2, 1, 40, 62])
    >>> three_beams = Direction((0.0, 1.5), 1.3, 0.3, nominal_phases_rad(5), (1,) * 5, depth2=0.65, phase2_rad=0.6)
    >>> detection = detection_otf_3d(Optics(1.0, 600))
    >>> Reconstruct(SimParameters((three_beams,), 0.1), detection, 0.1, wiener=0.02, z_um=0.2)(torch.ones(1, 5, 3, 20, 31)).shape
    torch.Size([1, 1, 3, 40, 62])
    """

    remembered_shapes = 2
    """Frame sizes whose tables are kept. Chosen: training alternates between patches and whole frames."""

    def __init__(
        self,
        parameters: SimParameters,
        detection: DetectionOtf2d | DetectionOtf3d,
        pixel_um: float,
        wiener: float,
        attenuation: float = ATTENUATION,
        z_um: float | None = None,
    ) -> None:
        if not (math.isfinite(wiener) and wiener > 0):
            raise ConfigError(f"Wiener parameter {wiener:g}: it must be positive, 0.1 for bright and 0.4 for dim frames; give `wiener`")
        if not 0 <= attenuation < 1:
            raise ConfigError(f"attenuation {attenuation:g}: it must be at least 0 and below 1; 0 turns it off")
        require_same_rank(parameters, detection)
        require_fine_pixel(detection, pixel_um, parameters.finest_per_um)
        self.parameters, self.pixel_um, self.wiener = parameters, float(pixel_um), float(wiener)
        self.weights = BandWeights(parameters, detection, attenuation)
        self._z_um: tuple[float, ...] = (step_um(parameters, z_um),) if isinstance(detection, DetectionOtf3d) else ()
        self.margin_px = math.ceil(RADIUS_RESOLUTIONS / detection.cutoff_per_um / pixel_um)
        self._gain = 1.0
        self._gain = 1 / float(self.otf(*[np.zeros(1)] * detection.rank).squeeze())
        self._tables: dict[tuple[object, ...], _Tables] = {}

    def __call__(self, x: Batch, origin_px: Sequence[int] = (0, 0)) -> Batch:
        kind, shape = x.dtype, x.shape[2:]
        x = x.to(_working(kind))
        tables = self._tables_for(shape, x)
        bands = torch.einsum("nf,bf...->bn...", self._mixing(origin_px, x), x)
        image = x.new_zeros((len(x), 1, *tables.fine_sizes))
        for number, carrier in enumerate(tables.carriers):
            image.addcmul_(self._band(bands[:, number, None], tables, self._order(number)), carrier)
        axes = tuple(range(2, x.ndim))
        image = torch.fft.irfftn(torch.fft.rfftn(image, dim=axes) * tables.filter, s=tables.fine_sizes, dim=axes)
        factors = grid.lateral_factors(len(shape), SIM_UPSAMPLING)
        start = [factor * margin for factor, margin in zip(factors, tables.margins, strict=True)]
        stop = [first + factor * n for first, factor, n in zip(start, factors, shape, strict=True)]
        return grid.window(image, start, stop).to(kind)

    def adjoint(self, y: Batch, origin_px: Sequence[int] = (0, 0)) -> Batch:
        factors = grid.lateral_factors(y.ndim - 2, SIM_UPSAMPLING)
        kind, shape = y.dtype, torch.Size(n // factor for n, factor in zip(y.shape[2:], factors, strict=True))
        y = y.to(_working(kind))
        tables = self._tables_for(shape, y)
        axes = tuple(range(2, y.ndim))
        start = [factor * margin for factor, margin in zip(factors, tables.margins, strict=True)]
        spectrum = torch.fft.rfftn(_enclosed(y, start, tables.fine_sizes), dim=axes) * tables.filter
        image = torch.fft.irfftn(spectrum, s=tables.fine_sizes, dim=axes)
        bands = [self._band_adjoint(image * carrier, tables, self._order(number)) for number, carrier in enumerate(tables.carriers)]
        mirrored = [n + 2 * margin for n, margin in zip(shape, tables.margins, strict=True)]
        bands = [grid.unmirror(_enclosed(band, [0] * len(shape), mirrored), tables.margins) for band in bands]
        return torch.einsum("nf,bn...->bf...", self._mixing(origin_px, y), torch.cat(bands, 1)).to(kind)

    @property
    def support_px(self) -> tuple[int, ...]:
        return (*self._axial_px("margin"), self.margin_px, self.margin_px)

    @property
    def z_um(self) -> float | None:
        """Step between the planes of a stack."""
        return self._z_um[0] if self._z_um else None

    @property
    def fine_um(self) -> float:
        """Pixel size of the reconstruction, along y and x."""
        return self.pixel_um / SIM_UPSAMPLING

    @property
    def fine_spacing_um(self) -> tuple[float, ...]:
        """Spacing of the reconstruction along all its axes."""
        return (*self._z_um, self.fine_um, self.fine_um)

    def otf(self, *k_per_um: np.ndarray) -> np.ndarray:
        """`OTF_SIM = A Dsum / (Dsum + w^2 N / Dsum)` at frequencies (ky kx or kz ky kx, cycles per um; `BandWeights`), 1 at zero."""
        total, regularised = self.weights.regularised(self.wiener, *k_per_um)
        return self._gain * self.weights.apodisation(*k_per_um) * total / regularised

    def noise_spectrum(self, *k_per_um: np.ndarray) -> np.ndarray:
        """Power spectrum of the reconstruction of white noise of variance 1 in every raw frame, at frequencies as for `otf`.

        Its mean over the frequencies of the fine grid is the variance of a pixel of that grid.
        """
        gains = np.concatenate([direction.gains for direction in self.parameters.directions])
        _, regularised = self.weights.regularised(self.wiener, *k_per_um)
        last = self._gain * self.weights.apodisation(*k_per_um) / regularised
        return SIM_UPSAMPLING**2 * np.square(gains).mean() / gains.size * self.weights.noise(*k_per_um) * last**2

    def psf(self, radius_um: float | None = None) -> Psf:
        """`H_SIM`: the image of a point on the fine grid, (y x) or (z y x), sum 1; its negative rings are no artefact.

        `radius_um` is the half width along y and x, by default 5.4 / cutoff of the detection (2.7 wavelength / NA). Along z it
        is 3 / axial cutoff.
        """
        values = self.kernel(self.otf, radius_um)
        source = (
            f"SIM reconstruction ({len(self.parameters.directions)} directions, w {self.wiener:.3g}; {self.weights.detection.otf.source})"
        )
        return Psf(values / values.sum(), self.fine_spacing_um, source)

    def kernel(self, transfer: Callable[..., np.ndarray], radius_um: float | None = None) -> np.ndarray:
        """Impulse response of the filter `transfer` (real and even, a function of frequencies like `otf`), sampled like `psf`."""
        radius = RADIUS_RESOLUTIONS / self.weights.detection.cutoff_per_um if radius_um is None else radius_um
        halves = [*self._axial_px("psf"), *[max(1, math.ceil(radius / self.fine_um))] * 2]
        sizes = [fast_length((4 if self._z_um else 8) * half) for half in halves]
        values = np.fft.irfftn(transfer(*_half_frequencies(sizes, self.fine_spacing_um)), sizes, range(len(sizes)))
        values = values[np.ix_(*(np.arange(-half, half + 1) for half in halves))]
        return (values + values[(slice(None, None, -1),) * values.ndim]) / 2

    def _band(self, band: Tensor, tables: _Tables, order: int) -> Tensor:
        """`up2(F^-1{ a conj(H) F band })` of a band (`b 1 *zyx`), mirrored at its borders."""
        axes = tuple(range(2, band.ndim))
        band = grid.window(grid.mirror(band, tables.margins), [0] * len(axes), tables.sizes)
        spectrum = torch.fft.rfftn(band, dim=axes) * tables.lenses[order]
        if len(axes) == 3:
            spectrum = torch.fft.ifft(spectrum, dim=2)
        return _on_fine_grid(spectrum)

    def _band_adjoint(self, image: Tensor, tables: _Tables, order: int) -> Tensor:
        """Transpose of `_band` without the mirroring."""
        axes = tuple(range(2, image.ndim))
        spectrum = _from_fine_grid(image)
        if len(axes) == 3:
            spectrum = torch.fft.fft(spectrum, dim=2)
        return torch.fft.irfftn(spectrum * tables.lenses[order].conj(), s=tables.sizes, dim=axes)

    def _order(self, number: int) -> int:
        """Order of the real bands: 0, then real and imaginary part of orders 1, 2 ... of each direction."""
        return 0 if number == 0 else 1 + (number - 1) // 2 % self.parameters.orders

    def _mixing(self, origin_px: Sequence[int], like: Tensor) -> Tensor:
        """Weights (band frame) of the frames in the real bands: order 0, then the parts of `2 conj(c_m) M^+_m` of each direction."""
        directions = self.parameters.directions
        rows = [np.zeros((1, self.parameters.layout.frames))]
        for frames, direction in zip(self.parameters.layout.numbers, directions, strict=True):
            separation = direction.separation()
            rows[0][0, frames] = separation[0].real
            phase = 2 * np.pi * self.pixel_um * float(np.dot(direction.p_per_um, origin_px[-2:]))
            for m, c in enumerate(direction.strengths, 1):
                side = 2 * np.conj(c) * separation[2 * m - 1] * np.exp(-1j * m * phase)
                rows.append(np.zeros((2, self.parameters.layout.frames)))
                rows[-1][:, frames] = side.real, side.imag
        return _like(torch.from_numpy(np.concatenate(rows) / len(directions)), like)

    def _axial_px(self, what: str) -> tuple[int, ...]:
        """Planes of the margin or of the PSF on either side; empty for planes."""
        detection = self.weights.detection
        if not isinstance(detection, DetectionOtf3d):
            return ()
        return (max(1, math.ceil(AXIAL_RADIUS_RESOLUTIONS[what] / detection.axial_cutoff_per_um / self._z_um[0])),)

    def _tables_for(self, shape: torch.Size, like: Tensor) -> _Tables:
        key = (shape, like.device, like.dtype)
        if key not in self._tables:
            while len(self._tables) >= self.remembered_shapes:
                self._tables.pop(next(iter(self._tables)))
            self._tables[key] = self._make_tables(shape).to(like)
        return self._tables[key]

    def _make_tables(self, shape: Sequence[int]) -> _Tables:
        sizes = [fast_length(n + 2 * margin) for n, margin in zip(shape, self.support_px, strict=True)]
        margins = [(size - n + 1) // 2 for size, n in zip(sizes, shape, strict=True)]
        fine_sizes = [factor * n for factor, n in zip(grid.lateral_factors(len(shape), SIM_UPSAMPLING), sizes, strict=True)]
        k = _half_frequencies(sizes, (*self._z_um, self.pixel_um, self.pixel_um))
        lenses = [_even_at_nyquist(self.weights.lens(order, *k)) for order in range(1 + self.parameters.orders)]
        last = self._last_filter(fine_sizes)
        carriers = self._carriers(sizes[-2:], margins[-2:])
        first = [torch.from_numpy(lens) for lens in lenses]
        return _Tables(tuple(sizes), tuple(margins), tuple(fine_sizes), first, torch.from_numpy(last), torch.from_numpy(carriers))

    def _last_filter(self, fine_sizes: Sequence[int]) -> np.ndarray:
        """`W` on the half-spectrum of the fine grid; it is even along z, so one half is computed and mirrored."""
        *kz, ky, kx = _half_frequencies(fine_sizes, self.fine_spacing_um)
        half = [axis[: len(axis) // 2 + 1] for axis in kz]
        values = self._gain * self.weights.apodisation(*half, ky, kx) / self.weights.regularised(self.wiener, *half, ky, kx)[1]
        # At the Nyquist frequency a frequency and its opposite share one sample, where the filter could not be even.
        values[..., fine_sizes[-2] // 2, :], values[..., -1] = 0.0, 0.0
        return np.concatenate([values, values[-2:0:-1]]) if kz else values

    def _carriers(self, sizes: Sequence[int], margins: Sequence[int]) -> np.ndarray:
        """1, then cosine and sine of `2 pi m p.x` for each direction and order (band y x), with x = 0 at the first pixel of the frame."""
        y, x = (self.fine_um * (np.arange(SIM_UPSAMPLING * n) - SIM_UPSAMPLING * margin) for n, margin in zip(sizes, margins, strict=True))
        images = [np.ones((len(y), len(x)))]
        for direction in self.parameters.directions:
            phase = 2 * np.pi * np.add.outer(direction.p_per_um[0] * y, direction.p_per_um[1] * x)
            for m in range(1, direction.orders + 1):
                images += [np.cos(m * phase), np.sin(m * phase)]
        return np.stack(images)


@dataclass(frozen=True, eq=False)
class _Tables:
    """Tables for one size of frames: `sizes` of the mirrored frames, `margins` before the first pixel, `fine_sizes` of the fine grid;
    `lenses`, `a conj(H_m)` of each order, and the last `filter` on half-spectra; the `carriers`.
    """

    sizes: tuple[int, ...]
    margins: tuple[int, ...]
    fine_sizes: tuple[int, ...]
    lenses: list[Tensor]
    filter: Tensor
    carriers: Tensor

    def to(self, like: Tensor) -> _Tables:
        lenses = [_like(lens, like) for lens in self.lenses]
        return _Tables(self.sizes, self.margins, self.fine_sizes, lenses, _like(self.filter, like), _like(self.carriers, like))


def halved_gaussian(widefield: Psf) -> Psf:
    """A Gaussian half as wide (FWHM) along each axis as a wide-field PSF, on the same grid: the published substitute for an unknown H_SIM.

    >>> from zsdeconv.physics.optics import Optics
    >>> from zsdeconv.physics.psf_check import fwhm_um
    >>> from zsdeconv.physics.psf_theory import theoretical_psf
    >>> wide = theoretical_psf(Optics(1.3, 525), (0.03, 0.03))
    >>> round(fwhm_um(wide) / fwhm_um(halved_gaussian(wide)), 1)
    2.0
    """
    values = np.ones(())
    for n, step, um in zip(widefield.values.shape, widefield.spacing_um, fwhms_um(widefield), strict=True):
        sigma = um / 2 / FWHM_PER_SIGMA
        values = np.multiply.outer(values, np.exp(-((step * (np.arange(n) - n // 2) / sigma) ** 2) / 2))
    return Psf(values / values.sum(), widefield.spacing_um, f"Gaussian half as wide as {widefield.source}")


def _half_frequencies(sizes: Sequence[int], spacing_um: Sequence[float]) -> tuple[np.ndarray, ...]:
    """Frequencies of the half-spectrum of a real image along each axis, of shapes that broadcast."""
    *rest, last = zip(sizes, spacing_um, strict=True)
    k = [np.fft.fftfreq(n, um).reshape(-1, *[1] * (len(rest) - axis)) for axis, (n, um) in enumerate(rest)]
    return (*k, np.fft.rfftfreq(*last))


def _even_at_nyquist(lens: np.ndarray) -> np.ndarray:
    """A half-spectrum (... ky kx), made real where a frequency and its opposite share one sample along z."""
    if np.iscomplexobj(lens):
        lens[len(lens) // 2] = lens[len(lens) // 2].real
    return lens


def _on_fine_grid(spectrum: Tensor) -> Tensor:
    """The image (... 2y 2x) of a half-spectrum of planes (... ky kx, even sizes) on the twice finer grid, without Nyquist frequencies."""
    height, width = spectrum.shape[-2] // 2, spectrum.shape[-1] - 1
    padded = spectrum.new_zeros((*spectrum.shape[:-2], 4 * height, width))
    padded[..., :height, :] = spectrum[..., :height, :width]
    padded[..., 1 - height :, :] = spectrum[..., 1 - height :, :width]
    return torch.fft.irfft(torch.fft.ifft(padded, dim=-2), n=4 * width) * SIM_UPSAMPLING**2


def _from_fine_grid(image: Tensor) -> Tensor:
    """The half-spectrum (... ky kx) on the raw grid of an image (... 2y 2x): the transpose of `_on_fine_grid`."""
    height, width = image.shape[-2] // 4, image.shape[-1] // 4
    spectrum = torch.fft.fft(torch.fft.rfft(image)[..., :width], dim=-2)
    kept = spectrum.new_zeros((*spectrum.shape[:-2], 2 * height, width + 1))
    kept[..., :height, :width] = spectrum[..., :height, :]
    kept[..., 1 - height :, :width] = spectrum[..., 1 - height :, :]
    return kept


def _enclosed(x: Tensor, start: Sequence[int], sizes: Sequence[int]) -> Tensor:
    """`x` (`b c *zyx`) embedded at `start` in zeros of `sizes`: the transpose of cropping."""
    ends = [(first, size - first - n) for first, size, n in zip(start, sizes, x.shape[2:], strict=True)]
    return F.pad(x, [margin for pair in reversed(ends) for margin in pair])


def _like(table: Tensor, like: Tensor) -> Tensor:
    """A table in the precision and on the device of `like`, in this order: not every device has double precision."""
    return table.to(like.dtype.to_complex() if table.is_complex() else like.dtype).to(like.device)


def _working(kind: torch.dtype) -> torch.dtype:
    """The type to compute in: single precision at least."""
    return torch.promote_types(kind, torch.float32)
