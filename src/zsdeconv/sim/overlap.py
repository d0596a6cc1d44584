"""Wave vector and strength of an order of the pattern, from where its band and that of order 0 show the same of the object."""

from __future__ import annotations

import math

import numpy as np

from zsdeconv.sim.detection import DetectionOtf3d
from zsdeconv.sim.search import Whitening
from zsdeconv.sim.spectra import SEEN, Grid, noise_power, notch, object_spectrum, slices, taper, zoomed

REWEIGHTINGS = 3
REACH = {1: 1, 2: 3}
"""How many frequency pixels the search may have missed the wave vector by. A few bright structures make a wide peak of a stack's."""
CLEARED = {2: 0.05, 3: 0.2}
"""Around its zero a band is left out so far, in units of the cutoff: there is the light from out of focus, and of traces of order 0."""
SMOOTHED = {2: 0.0, 3: 1.0}
"""What is added under the root of the weights, in units of the OTF's `level` squared."""


def refined(band0: np.ndarray, band: np.ndarray, p: np.ndarray, whitening: Whitening) -> tuple[np.ndarray, complex]:
    """Wave vector (y, x; cycles per um) and complex strength of the highest order, starting within a frequency pixel of the truth.

    On their overlap both bands show the same object: `o_m(r) = c_m exp(2 pi i p.r) o0(r)`. The weights give each band the OTF
    of the other, and depend on `p`, so they are renewed.
    """
    overlap = Overlap(band0, band, whitening.orders, whitening)
    for reach in (REACH[whitening.orders], *[1] * (REWEIGHTINGS - 1)):
        p = _climbed(overlap.product(p), p, whitening.grid, reach)
    return p, overlap.strength(p)


class Overlap:
    """The bands of order 0 and of `order` (spectra `*zyx`) weighted for where both show the object, as images.

    Weights are `H_m(k + p) / sqrt(|H_0(k)|^2 + |H_m(k + p)|^2 + n / S(k))` for order 0 and the same with the OTFs exchanged for order
    m: what adds the bands' agreement up with the least noise, for an object of power S in bands of noise n. Only where frames are
    not tapered are images compared: a tapered frame is not the image of a tapered object, and would pull the wave vector.

    Light from beyond the ends of a stack is in every band, blurred by its own OTF, and is not to be had again. There weights are
    smooth, so that they reach few planes, and strengths are measured in the middle: else order 1 reads a quarter too weak.
    """

    def __init__(self, band0: np.ndarray, band: np.ndarray, order: int, whitening: Whitening) -> None:
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
        return slices(o0), slices(om), self.noise * float((np.abs(weight) ** 2).mean())

    def _edge_planes(self) -> int:
        """Planes at either end of a stack that show much of what lies beyond it."""
        if not isinstance(self.detection, DetectionOtf3d) or self.grid.z_um is None:
            return 0
        return min(math.ceil(1 / self.detection.axial_cutoff_per_um / self.grid.z_um), self.grid.planes // 3)

    def _weight(self, shift: np.ndarray, orders: tuple[int, int], of_object: np.ndarray) -> np.ndarray:
        """Weight of a band (`*zyx`) of the first of `orders` on its overlap with that of the second, shifted by `shift`, without the
        frequencies around the zero of either.

        At k it shows the object's frequency `k + of_object`.
        """
        grid, level, rank = self.grid, self.detection.level, self.detection.rank
        detection = self.detection.under(float(np.hypot(*shift)) / self.order)
        H, H_shifted = grid.transfer(detection, orders[0]), grid.transfer(detection, orders[1], shift)
        doubt = self.object.noise / self.object(grid.distance(of_object)) if self.object.seen else level**2
        doubt = doubt + SMOOTHED[rank] * level**2
        width = CLEARED[rank] * detection.cutoff_per_um
        clear = notch(grid.radius(), width) * notch(grid.radius(shift), width)
        weight = H_shifted / np.sqrt(np.abs(H) ** 2 + np.abs(H_shifted) ** 2 + doubt + 1e-12) * clear
        useful = (np.abs(H) > SEEN * level) & (np.abs(H_shifted) > SEEN * level)
        kind = self.band0.dtype if np.iscomplexobj(weight) else np.real(self.band0).dtype
        return np.where(useful, weight, 0.0).astype(kind, copy=False)


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
