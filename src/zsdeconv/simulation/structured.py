"""Raw frames of structured illumination of an object that is known: stripes on the object, then lens, pixels and camera.

    object x . light I_p  ->  H (x . I_p)  ->  D H (x . I_p) = clean frame p  ->  Poisson, gain, read noise, offset = raw frame p

In two dimensions two beams make `I_p = 1 + m cos(u)`, with `u = 2 pi p.r + phase + phases[i]`. In depth three beams of equal
strength make `I_p = 1 + m (4/3 cos(u) cos(2 pi a z) + 2/3 cos(2 u))`, z counted from the focal plane: the stripes stay with the
lens while the sample is stepped through them. Raw pixel j is centred on fine pixel 2 j, where a reconstruction puts it.
Gustafsson (2000, J. Microsc. 198:82), Gustafsson et al. (2008, Biophys. J. 94:4957).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from zsdeconv.errors import ConfigError, OpticsError
from zsdeconv.physics.microscope import EXCITATION_RATIO
from zsdeconv.physics.psf import Psf
from zsdeconv.physics.psf_theory import theoretical_psf
from zsdeconv.sim.detection import THREE_BEAMS
from zsdeconv.sim.patterns import Layout, Order, nominal_phases_rad
from zsdeconv.simulation.scenes import DeepScene, Scene, inner, through
from zsdeconv.simulation.widefield import MOST_VOXELS, Simulation, simulated, stack_psf

ABOVE_FINEST = 1.1
"""Period of the stripes, unless given, over the finest one that the objective can make."""


@dataclass(frozen=True)
class SimScene(Scene):
    """A plane under stripes: `directions` x `phases` raw frames at each time.

    `period_um` is the distance of two stripes (unless given 1.1 times the finest that the objective makes with light of
    `excitation_nm`, that unless given 0.93 times the emission), `angle_deg` how the first wave vector lies, from +x towards +y
    (down), the others following in even steps through half a turn; `modulation` is the contrast m of the stripes, and `bleaching`
    the fraction of light lost from one raw frame to the next. The phase of each direction is drawn from the seed. `order` says
    whether all phases of a direction follow each other in the file, "direction-phase", or all directions of a phase.

    `photons` count in the raw frames of the first time, all together. Raises `ConfigError` and `OpticsError` on values out of
    range, stripes that the objective cannot make, and pixels too coarse for what the stripes reveal.

    >>> scene = SimScene(period_um=0.2, angle_deg=90)
    >>> [round(float(p), 6) for p in scene.p_per_um[0]], scene.raw_axes
    ([5.0, 0.0], 'PYX')
    """

    directions: int = 3
    phases: int = 3
    period_um: float | None = None
    angle_deg: float = 17.0
    modulation: float = 0.8
    bleaching: float = 0.0
    order: Order = "direction-phase"
    excitation_nm: float | None = None

    limits: ClassVar[Mapping[str, tuple[float, float]]] = {
        **Scene.limits,
        "size": (32, 2048),
        "directions": (1, 12),
        "phases": (1, 12),
        "angle_deg": (-360.0, 360.0),
        "modulation": (0.0, 1.0),
        "bleaching": (0.0, 0.5),
    }
    highest: ClassVar[int] = 1
    """Highest order of the pattern: its period is `period_um`, that of order 1 so many times longer."""

    def __post_init__(self) -> None:
        super().__post_init__()
        bands = 2 * self.highest + 1
        if self.phases < bands:
            few = f"{self.phases} phases: at least {bands} are needed to tell {bands} bands apart"
            raise ConfigError(f"{few}; give `phases` {bands} or more")
        _ = self.numbers
        if "z" in self.order:
            raise ConfigError(f"order {self.order}: planes are an axis of their own here; give `order` without z")
        _check_stripes(self)
        _check_pixel(self)

    @property
    def raw_axes(self) -> str:
        return f"{self.axes[:-2]}P{self.axes[-2:]}"

    @property
    def excitation_um(self) -> float:
        """Wavelength of the light that makes the stripes, um."""
        return 1e-3 * (EXCITATION_RATIO * self.wavelength_nm if self.excitation_nm is None else self.excitation_nm)

    @property
    def finest_um(self) -> float:
        """Finest stripes that the objective can make: beams through opposite rims of its pupil, wavelength / (2 NA)."""
        return self.excitation_um / (2 * self.na)

    @property
    def stripes_um(self) -> float:
        """Distance of two stripes, given or assumed, um."""
        return ABOVE_FINEST * self.finest_um if self.period_um is None else self.period_um

    @property
    def p_per_um(self) -> np.ndarray:
        """Wave vector (y, x) of order 1 in each direction, cycles per um (direction 2)."""
        angle = np.radians(self.angle_deg + 180 / self.directions * np.arange(self.directions))
        return np.stack([np.sin(angle), np.cos(angle)], 1) / (self.highest * self.stripes_um)

    @property
    def phase_rad(self) -> np.ndarray:
        """Phase of order 1 in the first frame of each direction, at the centre of the first raw pixel; from the seed."""
        fourth = np.random.SeedSequence(self.seed).spawn(4)[3]  # the first three are the object, its motion and the noise
        return np.random.default_rng(fourth).uniform(-np.pi, np.pi, self.directions)

    @property
    def phases_rad(self) -> np.ndarray:
        """What is added to the phase from frame to frame: even steps through one period of order 1."""
        return np.array(nominal_phases_rad(self.phases))

    @property
    def numbers(self) -> np.ndarray:
        """Number of each frame in the file (direction phase). Raises `ConfigError` for an unknown order."""
        return Layout(self.directions, self.phases, self.order).numbers

    @property
    def strengths(self) -> tuple[float, ...]:
        """Strength of each order, from 0 on: how far it makes the light differ from its mean, which is 1."""
        return (1.0, self.modulation)

    @property
    def derived(self) -> dict[str, Any]:
        found = {"period_um": self.stripes_um, "excitation_nm": 1e3 * self.excitation_um}
        return super().derived | found | {"illumination": self.illumination()}

    def illumination(self) -> dict[str, Any]:
        """The true pattern as plain values, in the words in which an estimation states it.

        `p_per_um` (y, x), `phase_rad` and `phases_rad` are those of order 1, and `depth` is its strength, at the centre of the
        first raw pixel; `gains` make up for the bleaching.

        >>> pattern = SimScene(period_um=0.2, angle_deg=90, bleaching=0.1).illumination()
        >>> pattern["directions"][0]["depth"], [round(gain, 2) for gain in pattern["directions"][0]["gains"]]
        (0.8, [0.68, 0.76, 0.84])
        """
        fading = self.fading(0)[..., 0, 0].reshape(-1, self.numbers.size)[0]
        rows = [
            {
                "angle_deg": float(np.degrees(np.arctan2(*p))),
                "p_per_um": p.tolist(),
                "depth": self.strengths[1],
                "phase_rad": float(phase),
                "phases_rad": self.phases_rad.tolist(),
                "gains": (fading.mean() / fading[numbers]).tolist(),
            }
            for p, phase, numbers in zip(self.p_per_um, self.phase_rad, self.numbers, strict=True)
        ]
        return {"order": self.order, "pixel_um": self.pixel_um, "strengths": list(self.strengths), "directions": rows}

    def kernels(self, psf: Psf) -> list[np.ndarray]:
        """What each order is blurred with, from 0 on: the PSF times the strength of the order at that depth."""
        return [strength * psf.values for strength in self.strengths]

    def fading(self, time: int) -> np.ndarray:
        """Light left of each raw frame of a time ([z] frame 1 1), in the order in which they are taken; 1 for the first of all."""
        shape = (*self.shape[:-2], self.numbers.size)
        number = np.arange(math.prod(shape)) + time * math.prod(shape)
        return ((1 - self.bleaching) ** number).reshape(*shape, 1, 1)

    def record(self, x: np.ndarray, psf: Psf, time: int = 0) -> np.ndarray:
        """Frames without noise (`raw_axes`), `sum_m Re[exp(i m phase) D (H_m (x . exp(2 pi i m p.r)))]`: one blur for each order.

        Clipped is what rounding makes of darkness.
        """
        reach = len(psf.values) // 2 if psf.rank == 3 else 0
        seen = inner(x, self.above(psf) - reach)
        even, *others = self.kernels(psf)
        wide = centred_pixels(through(seen, even, reach))
        raw = np.repeat(wide[..., None, :, :], self.numbers.size, -3)
        for p, phase, numbers in zip(self.p_per_um, self.phase_rad, self.numbers, strict=True):
            for m, kernel in enumerate(others, 1):
                band = centred_pixels(through(seen * self._wave(m * p), kernel, reach))
                for number, turn in zip(numbers, np.exp(1j * m * (phase + self.phases_rad)), strict=True):
                    raw[..., number, :, :] += (turn * band).real
        return self.fading(time) * raw.clip(0)

    def _wave(self, p_per_um: np.ndarray) -> np.ndarray:
        """`exp(2 pi i p.r)` on the fine grid (y x), r from the centre of the first pixel."""
        place_um = np.arange(self.shape[-1]) * self.fine_um
        along_y, along_x = np.exp(2j * np.pi * np.multiply.outer(p_per_um, place_um))
        return np.multiply.outer(along_y, along_x)


@dataclass(frozen=True)
class SimStackScene(SimScene, DeepScene):
    """A stack under the stripes of three beams: `directions` x `phases` raw frames of each plane.

    A central beam and two oblique ones through opposite sides of the pupil. `period_um` is that of order 2, where the oblique
    beams interfere; order 1, central with oblique, is twice as coarse across, and along the axis it beats with
    `axial_per_um`. `modulation` is the contrast over that of three beams of equal strength. The microscope is wide-field.

    >>> SimStackScene(period_um=0.22).raw_axes, round(SimStackScene(period_um=0.22).axial_per_um, 3)
    ('ZPYX', 1.111)
    """

    size: int = 128
    pixel_um: float = 0.08
    na: float = 1.3
    planes: int = 12
    z_um: float = 0.125
    phases: int = 5

    highest: ClassVar[int] = 2

    def __post_init__(self) -> None:
        super().__post_init__()
        finest_um = 0.5 / (self.optics.axial_cutoff_per_um + self.axial_per_um)
        if self.z_um > finest_um:
            raise OpticsError(
                f"step {self.z_um:g} um: with these stripes a stack holds detail that needs {_below(finest_um)} um at most; "
                f"give z_um {_below(finest_um)} or less"
            )

    @property
    def axial_per_um(self) -> float:
        """Beat `a` of the central beam with an oblique one along the axis, (n - sqrt(n^2 - NA_ex^2)) / wavelength, cycles per um.

        `NA_ex = wavelength / (2 period)` is the sine of the oblique beams times n.
        """
        ri = self.optics.ri
        na_ex = self.excitation_um / (2 * self.stripes_um)
        return (ri - math.sqrt(ri**2 - na_ex**2)) / self.excitation_um

    @property
    def strengths(self) -> tuple[float, ...]:
        even, *others = THREE_BEAMS
        return (even, *(self.modulation * strength for strength in others))

    def illumination(self) -> dict[str, Any]:
        return super().illumination() | {"axial_per_um": self.axial_per_um}

    def kernels(self, psf: Psf) -> list[np.ndarray]:
        even, first, second = super().kernels(psf)
        z_um = self.z_um * (np.arange(len(first)) - len(first) // 2)
        return [even, first * np.cos(2 * np.pi * self.axial_per_um * z_um)[:, None, None], second]


def centred_pixels(x: np.ndarray) -> np.ndarray:
    """Light per area on raw pixels centred on every other fine pixel of `... y x`, from half of each neighbour; edges go on as they are.

    >>> centred_pixels(np.array([[4.0, 0.0, 8.0, 4.0]] * 2)).tolist()
    [[3.0, 5.0]]
    """
    for axis in (-2, -1):
        x = np.moveaxis(x, axis, 0)
        before = np.concatenate((x[:1], x[1:-1:2]))
        x = np.moveaxis((before + 2 * x[::2] + x[1::2]) / 4, 0, axis)
    return x


def simulate_sim2d(scene: SimScene) -> Simulation:
    """Raw frames of a plane under stripes, with their truth; the same scene gives the same bits.

    `noisy` are the raw frames (frame y x), `clean` is the mean of the frames without noise: what a wide-field microscope would
    have taken. The object is that of a scene without stripes and the same seed.

    Raises `ConfigError` for frames that would not fit into memory.

    >>> simulate_sim2d(SimScene(size=32, structure="puncta")).noisy.sizes
    {'P': 9, 'Y': 32, 'X': 32}
    """
    _check_frames_fit(scene)
    return simulated(scene, theoretical_psf(scene.optics, scene.spacing_um))


def simulate_sim3d(scene: SimStackScene) -> Simulation:
    """Raw frames of a stack under the stripes of three beams, with their truth; the same scene gives the same bits.

    `noisy` are the raw frames (z frame y x): the stage steps from plane to plane, and all directions and phases are taken at
    each. `clean` is their mean, a wide-field stack; as in `simulate_3d` the sample goes on above and below. Each order of the
    pattern is blurred by a PSF of its own: the one of order 1 changes its sign where the beat of the beams does.

    Raises `ConfigError` for stacks that would not fit into memory.

    >>> simulate_sim3d(SimStackScene(size=32, planes=3, structure="puncta")).noisy.sizes
    {'Z': 3, 'P': 15, 'Y': 32, 'X': 32}
    """
    _check_frames_fit(scene)
    return simulated(scene, stack_psf(scene, MOST_VOXELS // 2))  # bands are complex: twice the memory


def _check_stripes(scene: SimScene) -> None:
    excitation_nm = 1e3 * scene.excitation_um
    if not 200 <= excitation_nm <= 2000:
        raise OpticsError(f"excitation {excitation_nm:g} nm: light lies between 200 and 2000 nm; give excitation_nm in nanometres")
    finest_um, field_um = scene.finest_um, scene.size * scene.pixel_um
    if not scene.stripes_um >= finest_um:
        raise OpticsError(
            f"period {scene.stripes_um:g} um: stripes finer than {_above(finest_um)} um, {excitation_nm:.4g} nm / (2 x NA "
            f"{scene.na:g}), do not pass the objective; give period_um {_above(finest_um)} or more"
        )
    if scene.stripes_um > field_um:
        raise ConfigError(f"period {scene.stripes_um:g} um: the field is {field_um:g} um wide; give a smaller period_um, in micrometres")


def _check_pixel(scene: SimScene) -> None:
    """The raw grid holds all that the lens passes, and the twice finer one all that the stripes reveal."""
    cutoff = scene.optics.cutoff_per_um
    coarsest_um = 1 / (cutoff + max(cutoff, 1 / scene.stripes_um))
    if scene.pixel_um > coarsest_um:
        raise OpticsError(
            f"pixel {scene.pixel_um:g} um: frames under these stripes hold detail that needs {_below(coarsest_um)} um at most; "
            f"give pixel_um {_below(coarsest_um)} or less"
        )


def _check_frames_fit(scene: SimScene) -> None:
    frames = scene.frames * scene.fading(0).size
    pixels = frames * scene.size**2
    if pixels > MOST_VOXELS:
        raise ConfigError(
            f"{frames} raw frames of {scene.size} x {scene.size} pixels: {pixels / 1e6:.0f} million, {MOST_VOXELS / 1e6:.0f} million at "
            f"most; give a smaller `size`, {'`planes`, ' * (scene.rank - 2)}`frames`, `directions` or `phases`"
        )


def _above(um: float) -> str:
    """A limit to be kept by what is larger, rounded to that side."""
    return f"{math.ceil(1e4 * um) / 1e4:g}"


def _below(um: float) -> str:
    """A limit to be kept by what is smaller, rounded to that side."""
    return f"{math.floor(1e4 * um) / 1e4:g}"
