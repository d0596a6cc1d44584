"""Wave vector and strength of an order of the pattern, from the overlap of its band with the band of order 0."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from zsdeconv.sim.detection import DetectionOtf3d
from zsdeconv.sim.search import Whitening
from zsdeconv.sim.spectra import FIT_TAPER_PX, MIN_OTF_LEVEL, Grid, noise_power, notch, object_spectrum, slices, taper, zoomed

REWEIGHTINGS = (3, 8)
"""Fewest and most times that the weights are computed, as they depend on the wave vector. Chosen: where the bands determine it, it is
stable after three."""
SETTLED_PX = 0.02
"""Change of a stable wave vector by one more computation of the weights, in frequency pixels. Chosen: five steps of the finest search."""
BLOCKS = (2, 3, 4, 5)
"""Blocks along either side that are left out in turn for a standard error, which is the largest of these. Chosen: in simulated fields of
64 and 96 pixels the error is below 1.6 of it in 95 %, of a single number 2.8, for a few structures may lie on the borders of its blocks."""
ERROR_SAMPLES = 33
"""Frequencies along either axis within one frequency pixel for a standard error. Chosen: a parabola through three of them is exact."""
SEARCH_RADIUS_PX = {1: 1, 2: 3}
"""Largest error of the first wave vector in frequency pixels, by the highest order. Chosen: 1 is the step of the search; peaks of stacks
are wider, as few bright structures dominate them."""
NOTCH_WIDTHS_CUTOFFS = {2: 0.05, 3: 0.2}
"""Width of the region around the zero of a band that is left out, in units of the cutoff, by the number of axes. Chosen: there lie the
out-of-focus light and residues of order 0."""
WEIGHT_FLOORS = {2: 0.0, 3: 1.0}
"""Term under the root of the weights in units of the squared OTF `level`, by the number of axes. Chosen: makes the weights of stacks
smooth, so that their transforms extend over few planes."""
EVIDENCE_SAMPLES = 9
"""Frequencies along either axis at which a coherence is computed, a quarter of a frequency pixel apart. Chosen: it is nearly flat there."""
MAX_COHERENCE = 1 - 1e-9
"""Squared coherence above which bands count as equal. Chosen: above that of any recording, and its logarithm is finite."""
MIN_SIGNAL_SHARE = 1e-3
"""Smallest share of the light that is left when its noise is subtracted. Chosen: keeps the strength finite where noise dominates."""
POWER_FLOOR = 1e-12
"""Term under the root of the weights that avoids 0 / 0 where no OTF transmits. Chosen: far below any OTF that is used."""
MIN_INNER_SHARE = 3
"""Planes of a stack over the planes left out at either end, at least. Chosen: one third of them remains."""


@dataclass(frozen=True, eq=False)
class Refined:
    """Wave vector `p_per_um` (y, x) and complex `strength` of the highest order; standard error `error_px` of the wave vector along the
    axis where it is largest, in frequency pixels (`Overlap.error_px`), and its last change `step_px` when the weights were computed anew.
    """

    p_per_um: np.ndarray
    strength: complex
    error_px: float
    step_px: float

    @property
    def settled(self) -> bool:
        """Whether another computation of the weights leaves the wave vector where it is."""
        return self.step_px < SETTLED_PX


def refined(band0: np.ndarray, band: np.ndarray, p: np.ndarray, whitening: Whitening) -> Refined:
    """Wave vector and complex strength of the highest order.

    On their overlap both bands show the same object: `o_m(r) = c_m exp(2 pi i p.r) o0(r)`. The weights multiply each band by the OTF
    of the other, depend on `p`, and are therefore recomputed.

    Parameters
    ----------
    band0, band
        Spectra (`*zyx`) of the bands of order 0 and of the highest order.
    p
        First estimate of the wave vector of the highest order.
    whitening
        Grid and detection.
    """
    overlap, radius_px = Overlap(band0, band, whitening.orders, whitening), SEARCH_RADIUS_PX[whitening.orders]
    step_px = np.inf
    for count in range(1, REWEIGHTINGS[1] + 1):
        before, p = p, _maximised(overlap.product(p), p, whitening.grid, radius_px)
        radius_px, step_px = 1, float(np.hypot(*((p - before) / whitening.grid.step_per_um)))
        if count >= REWEIGHTINGS[0] and step_px < SETTLED_PX:
            break
    return Refined(p, overlap.strength(p), overlap.error_px(p), step_px)


class Overlap:
    """The overlap of the bands of order 0 and of `order` (spectra `*zyx`), as weighted images.

    Weights are `H_m(k + p) / sqrt(|H_0(k)|^2 + |H_m(k + p)|^2 + n / S(k))` for order 0 and the same with the OTFs exchanged for order
    m: they minimise the noise of the product of the bands, for an object of power S in bands of noise n. Images are compared only where
    frames are not tapered: a tapered frame is not the image of a tapered object, and would bias the wave vector.

    Light from beyond the ends of a stack contributes to every band, blurred by the OTF of the band, and cannot be separated. For stacks
    weights are therefore smooth, which limits their extent along the axis, and strengths are measured in the inner planes; otherwise
    order 1 is underestimated by a quarter.
    """

    def __init__(self, band0: np.ndarray, band: np.ndarray, order: int, whitening: Whitening) -> None:
        self.band0, self.band, self.order, self.grid, self.detection = band0, band, order, whitening.grid, whitening.detection
        grid = whitening.grid
        image = np.fft.ifftn(band0).real
        self.object = object_spectrum(image, grid.pixel_um, self.detection, grid.z_um)
        window = taper(grid.yx_shape, FIT_TAPER_PX)
        self.inside = (window == 1).astype(float)
        # Noise of a pixel that is not tapered, over all pixels that are compared.
        self.noise = noise_power(band0, grid, self.detection) / float((window**2).sum()) * float(self.inside.sum()) / grid.planes

    def product(self, p: np.ndarray) -> np.ndarray:
        """`conj(o0) o_m`, summed over z (y x)."""
        o0, om, _ = self._images(p)
        return self.inside * (o0.conj() * om).sum(0)

    def evidence(self, p: np.ndarray) -> tuple[float, np.ndarray]:
        """Evidence `-N ln(1 - g^2)` that the order has a wave vector within a frequency pixel of `p`, and that wave vector.

        `g` is the coherence `|sum conj(o0) o_m exp(-2 pi i p.r)| / sqrt(sum |o0|^2 sum |o_m|^2)`, and N the number of independent
        samples of the overlap: inner pixels times the bandwidth `(sum w^2)^2 / sum w^4` of the weights. It is the logarithm of the
        likelihood ratio of bands that show the same object to bands that do not. At a single frequency it is about exponential with mean
        1 where they do not, in fields of any size (Carter 1987, Proc. IEEE 75:236).
        """
        o0, om, _ = self._images(p)
        steps = np.linspace(-1, 1, EVIDENCE_SAMPLES)
        ky, kx = (p[axis] + self.grid.step_per_um[axis] * steps for axis in (0, 1))
        size = np.abs(zoomed(self.inside * (o0.conj() * om).sum(0), ky, kx, self.grid.pixel_um))
        row, column = np.unravel_index(int(size.argmax()), size.shape)
        energies = [float((self.inside * np.abs(image) ** 2).sum()) for image in (o0, om)]
        coherence = float(size[row, column]) ** 2 / max(energies[0] * energies[1], np.finfo(float).tiny)
        power = np.abs(self._weight(p, (0, self.order), 0 * p)) ** 2
        bandwidth = float(power.sum()) ** 2 / max(float((power**2).sum()), np.finfo(float).tiny) / power.size
        samples = float(self.inside.sum()) * self.grid.planes * bandwidth
        return -samples * math.log1p(-min(coherence, MAX_COHERENCE)), np.array([ky[row], kx[column]])

    def error_px(self, p: np.ndarray) -> float:
        """Standard error of the wave vector along the axis where it is largest, in frequency pixels, by the jackknife: the wave vector
        is found again with each of 2 x 2 to 5 x 5 blocks of the field left out (Kunsch 1989, Ann. Statist. 17:1217).

        It includes what the noise does and where the object determines the wave vector badly, as one straight filament along itself.
        """
        product, inner = self.product(p), [np.flatnonzero(self.inside.any(axis)) for axis in (1, 0)]
        product = product[np.ix_(*inner)]
        steps = np.linspace(-1, 1, ERROR_SAMPLES)
        waves = [
            np.exp(-2j * np.pi * np.multiply.outer(k + step * steps, self.grid.pixel_um * places))
            for k, step, places in zip(p, self.grid.step_per_um, inner, strict=True)
        ]
        return float(steps[1] - steps[0]) * max(_jackknife(product, waves, count) for count in BLOCKS)

    def strength(self, p: np.ndarray) -> complex:
        """The complex strength of the order at its wave vector, by regression; the noise is subtracted from `sum |o0|^2`."""
        o0, om, noise = self._images(p)
        edge = self._edge_planes()
        o0, om = (image[edge : len(image) - edge] for image in (o0, om))
        coherent = complex(zoomed(self.inside * (o0.conj() * om).sum(0), p[:1], p[1:], self.grid.pixel_um)[0, 0])
        light = float((self.inside * np.abs(o0) ** 2).sum())
        return coherent / max(light - noise * len(o0), MIN_SIGNAL_SHARE * light, np.finfo(float).tiny)

    def _images(self, p: np.ndarray) -> tuple[np.ndarray, np.ndarray, float]:
        """The weighted bands (n y x), and the noise in `sum |o0|^2` of a plane."""
        weight = self._weight(p, (0, self.order), 0 * p)
        o0 = np.fft.ifftn(self.band0 * weight)
        om = np.fft.ifftn(self.band * self._weight(-p, (self.order, 0), -p))
        return slices(o0), slices(om), self.noise * float((np.abs(weight) ** 2).mean())

    def _edge_planes(self) -> int:
        """Planes at either end of a stack that contain much light from beyond it."""
        if not isinstance(self.detection, DetectionOtf3d) or self.grid.z_um is None:
            return 0
        return min(math.ceil(1 / self.detection.axial_cutoff_per_um / self.grid.z_um), self.grid.planes // MIN_INNER_SHARE)

    def _weight(self, shift: np.ndarray, orders: tuple[int, int], of_object: np.ndarray) -> np.ndarray:
        """Weight (`*zyx`) of the band of the first of `orders` on its overlap with the band of the second, shifted by `shift`, without
        the frequencies around the zero of either. At k the band shows the frequency `k + of_object` of the object.
        """
        grid, level, rank = self.grid, self.detection.level, self.detection.rank
        detection = self.detection.under(float(np.hypot(*shift)) / self.order)
        H, H_shifted = grid.transfer(detection, orders[0]), grid.transfer(detection, orders[1], shift)
        relative_noise = self.object.noise / self.object(grid.distance(of_object)) if self.object.detected else level**2
        relative_noise = relative_noise + WEIGHT_FLOORS[rank] * level**2
        width = NOTCH_WIDTHS_CUTOFFS[rank] * detection.cutoff_per_um
        clear = notch(grid.radius(), width) * notch(grid.radius(shift), width)
        weight = H_shifted / np.sqrt(np.abs(H) ** 2 + np.abs(H_shifted) ** 2 + relative_noise + POWER_FLOOR) * clear
        useful = (np.abs(H) > MIN_OTF_LEVEL * level) & (np.abs(H_shifted) > MIN_OTF_LEVEL * level)
        kind = self.band0.dtype if np.iscomplexobj(weight) else np.real(self.band0).dtype
        return np.where(useful, weight, 0.0).astype(kind, copy=False)


def _jackknife(product: np.ndarray, waves: Sequence[np.ndarray], count: int) -> float:
    """Standard error of the place of the highest `|waves_y product waves_x^T|`, in samples of it, from `count` x `count` blocks."""
    rows, columns = (np.array_split(np.arange(n), count) for n in product.shape)
    along_y = [waves[0][:, block] @ product[block] for block in rows]
    by_block = np.array([band[:, block] @ waves[1][:, block].T for band in along_y for block in columns])
    places = np.array([_highest(np.abs(by_block.sum(0) - own) ** 2) for own in by_block])
    deviation = places - places.mean(0)
    return float(np.sqrt((len(places) - 1) / len(places) * np.linalg.eigvalsh(deviation.T @ deviation)[-1]))


def _highest(values: np.ndarray) -> tuple[float, float]:
    """Place (row, column) of the highest value, by parabolas through it and its neighbours; at the border the sample itself.

    >>> _highest(1 - np.add.outer((np.arange(5) - 2.2) ** 2, (np.arange(4) - 1.0) ** 2))
    (2.2, 1.0)
    """
    row, column = (int(place) for place in np.unravel_index(int(values.argmax()), values.shape))
    return _vertex(values[:, column], row), _vertex(values[row], column)


def _vertex(values: np.ndarray, place: int) -> float:
    if not 0 < place < len(values) - 1:
        return float(place)
    below, at, above = values[place - 1 : place + 2]
    curvature = 2 * at - below - above
    return place + float((above - below) / (2 * curvature)) if curvature > 0 else float(place)


def _maximised(product: np.ndarray, p: np.ndarray, grid: Grid, radius_px: int = 1, zooms: int = 4) -> np.ndarray:
    """The frequency near `p` at which the transform of `product` is largest, by successively finer grids.

    Parameters
    ----------
    product, p, grid
        Image, first frequency, and the grid of the image.
    radius_px
        Radius of the search in frequency pixels.
    zooms
        Number of grids, each four times finer or more.
    """
    step, side = radius_px * np.array(grid.step_per_um), 8 * radius_px + 1
    for _ in range(zooms):
        offsets = np.linspace(-1, 1, side)
        ky, kx = (p[axis] + step[axis] * offsets for axis in (0, 1))
        size = np.abs(zoomed(product, ky, kx, grid.pixel_um))
        row, column = np.unravel_index(int(size.argmax()), size.shape)
        p, step = np.array([ky[row], kx[column]]), step / (side // 2)
    return p
