"""Weights of the bands of structured illumination in the reconstruction, as functions of frequency."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from zsdeconv.errors import ConfigError, OpticsError
from zsdeconv.sim.detection import DetectionOtf2d, DetectionOtf3d
from zsdeconv.sim.patterns import SimParameters

MIN_TOTAL = 1e-6
"""`Dsum` below which a frequency counts as outside all bands. Chosen: far below `w^2` of any Wiener parameter in use."""
ATTENUATION, ATTENUATION_WIDTH_CUTOFFS = 0.9, 0.15
"""Share of a band removed at its zero frequency, and width of that region in units of the cutoff. Chosen: removes the out-of-focus light
(O'Holleran and Shaw 2014, Biomed. Opt. Express 5:2580), of stacks the light from beyond their ends."""


@dataclass(frozen=True, eq=False)
class BandWeights:
    """Weights of the bands of a parameter set, and the resulting transfer function of the object.

    `total` is `Dsum = mean over directions of sum_m |c_m|^2 a |H_m|^2(k + m p)`. `apodisation` is `A`, 0 outside all bands: in a plane a
    cosine down to 0 at `cutoff + |p|` (mean of the directions); in depth a linear decay to 0 on the ellipsoid through
    `cutoff + 2 |p|` and the highest axial frequency, because with a cosine the rings of H_SIM reach half the height of its core.
    Frequencies are (ky kx) that broadcast, in depth (kz ky kx) with kz along the first axis.
    """

    parameters: SimParameters
    detection: DetectionOtf2d | DetectionOtf3d
    attenuation: float

    def lens(self, order: int, *k_per_um: np.ndarray) -> np.ndarray:
        """`a conj(H_order)`, with `a = 1 - attenuation exp(-kr^2 / 2 (0.15 cutoff)^2)`: the factor of a band."""
        kr, kz = _radial(k_per_um)
        return self._dip(kr) * self.passing(kr, order, *kz).conj()

    def total(self, *k_per_um: np.ndarray) -> np.ndarray:
        """`Dsum` at frequencies that broadcast."""
        return self._sums(k_per_um)[0]

    def noise(self, *k_per_um: np.ndarray) -> np.ndarray:
        """The same sum of `|c_m|^2 a^2 |H_m|^2`, `N`: the power of noise before the last filter, in units of that of a band."""
        return self._sums(k_per_um)[1]

    def regularised(self, wiener: float, *k_per_um: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """`Dsum`, and `Dsum + w^2 N / Dsum`, the denominator of the last filter.

        This is the Wiener filter for a signal `Dsum O` in noise of power `v N`. Without attenuation `N = Dsum`, and the denominator is
        the usual `Dsum + w^2`. With attenuation `w^2` decreases where the bands were attenuated, so that weight moves between bands but
        the image keeps its low frequencies; otherwise brightness would depend on structure, and H_SIM would have deep negative rings.
        """
        total, noise = self._sums(k_per_um)
        relative = np.divide(noise, total, out=np.ones_like(total), where=total > MIN_TOTAL)
        return total, total + wiener**2 * relative

    def apodisation(self, *k_per_um: np.ndarray) -> np.ndarray:
        """`A` at frequencies that broadcast."""
        kr, kz = _radial(k_per_um)
        ends = self.detection.cutoff_per_um + float(np.mean([1 / direction.finest_um for direction in self.parameters.directions]))
        covered = self._covered(k_per_um)
        distance = np.minimum(kr / ends, 1)
        if not isinstance(self.passing, DetectionOtf3d):
            return np.where(covered & (distance < 1), np.cos(np.pi / 2 * distance), 0.0)
        along = kz[0].reshape(-1, *[1] * kr.ndim) / self.passing.axial_end_per_um
        return np.where(covered, 1 - np.minimum(np.hypot(distance, along), 1), 0.0)

    @cached_property
    def passing(self) -> DetectionOtf2d | DetectionOtf3d:
        """The detection under this pattern."""
        return self.detection.under(float(np.mean([1 / direction.period_um for direction in self.parameters.directions])))

    def _dip(self, kr: np.ndarray) -> np.ndarray:
        width = ATTENUATION_WIDTH_CUTOFFS * self.detection.cutoff_per_um
        return 1 - self.attenuation * np.exp(-((kr / width) ** 2) / 2)

    def _sums(self, k: Sequence[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
        """`Dsum` and `N`: means over the directions of sums over the bands."""
        kr, kz = _radial(k)
        total, noise = (np.zeros([*map(len, kz), *kr.shape]) for _ in range(2))
        for order, power, shifted in self._bands(k):
            kr, kz = _radial(shifted)
            one = power * self._dip(kr) * np.abs(self.passing(kr, order, *kz)) ** 2
            total += one
            noise += self._dip(kr) * one
        return total, noise

    def _covered(self, k: Sequence[np.ndarray]) -> np.ndarray:
        """Whether a frequency lies in any band."""
        inside: dict[int, np.ndarray] = {}
        for order, _, shifted in self._bands(k):
            inside[order] = inside.get(order, np.zeros(1, bool)) | (_radial(shifted)[0] < self.passing.cutoff_per_um)
        return np.any([self.passing.passes(mask, order, *_radial(k)[1]) for order, mask in inside.items()], axis=0)

    def _bands(self, k: Sequence[np.ndarray]) -> Iterator[tuple[int, float, tuple[np.ndarray, ...]]]:
        """Order, `|c_m|^2` over the number of directions, and `k + m p` of each band; first order 0, common to all directions."""
        *kz, ky, kx = k
        yield 0, 1.0, (*kz, ky, kx)
        directions = self.parameters.directions
        for direction in directions:
            for order, c in enumerate(direction.strengths, 1):
                for m in (order, -order):
                    shifted = ky + m * direction.p_per_um[0], kx + m * direction.p_per_um[1]
                    yield order, abs(c) ** 2 / len(directions), (*kz, *shifted)


def _radial(k_per_um: Sequence[np.ndarray]) -> tuple[np.ndarray, list[np.ndarray]]:
    """Lateral distance from zero, and for stacks the axial frequencies as a row."""
    *kz, ky, kx = k_per_um
    return np.hypot(ky, kx), [np.ravel(axis) for axis in kz]


def require_same_rank(parameters: SimParameters, detection: DetectionOtf2d | DetectionOtf3d) -> None:
    """Raise `OpticsError` unless two beams come with a 2-D OTF, or three beams with a 3-D OTF."""
    if 1 + parameters.orders != detection.rank:
        raise OpticsError(
            f"pattern of {1 + parameters.orders} beams and a {detection.rank}-D OTF ({detection.otf.source}): two beams need a 2-D one, "
            "three beams a 3-D one; give an `otf` of the right kind, or `na` and wavelength_nm"
        )


def step_um(parameters: SimParameters, z_um: float | None) -> float:
    """Step between planes as given, by default from the parameters. Raises `ConfigError` when it is missing or not positive."""
    step = parameters.z_um if z_um is None else z_um
    if step is None or not (math.isfinite(step) and step > 0):
        raise ConfigError(f"step in z {step}: a stack needs a positive one; give z_um (um from plane to plane)")
    return float(step)
