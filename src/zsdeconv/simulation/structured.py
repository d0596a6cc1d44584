"""Simulated raw frames of structured illumination of a known object: pattern, lens, pixels, camera.

    object x . light I_p  ->  H (x . I_p)  ->  D H (x . I_p) = clean frame p  ->  Poisson, gain, read noise, offset = raw frame p

In a plane two beams give `I_p = 1 + m cos(u)`, with `u = 2 pi p.r + phase + phases[i]`. In depth three beams of equal amplitude give
`I_p = 1 + m (4/3 cos(u) cos(2 pi a z) + 2/3 cos(2 u))`, with z relative to the focal plane: the pattern is fixed to the lens while the
sample is stepped through it. Raw pixel j is centred on fine pixel 2 j, as in a reconstruction.
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
from zsdeconv.simulation.scenes import DeepScene, Scene, blurred, crop_planes
from zsdeconv.simulation.widefield import MAX_VOXELS, Simulation, simulate_scene, stack_psf

DEFAULT_PERIOD_RATIO = 1.1
"""Default period of the fringes over the finest that the objective can produce. Chosen: beams near the border of the pupil, as in most
microscopes."""


@dataclass(frozen=True)
class SimScene(Scene):
    """A plane under two beams: `directions` x `phases` raw frames at each time. The phase of each direction is drawn from the seed.

    Parameters
    ----------
    photons
        Photo-electrons per raw pixel at the 99.8th percentile of all raw frames of the first time.
    directions, phases
        Numbers of wave vectors, and of frames for each.
    period_um
        Period of the finest fringes; by default 1.1 times the finest that the objective can produce.
    angle_deg
        Direction of the first wave vector, from +x towards +y (down); the others follow in even steps through 180 degrees.
    modulation
        Contrast m of the fringes.
    bleaching
        Fraction of light lost from one raw frame to the next.
    order
        Order of the frames in the file: "direction-phase" (all phases of a direction, then the next) or "phase-direction".
    excitation_nm
        Wavelength of the illumination; by default 0.93 times the emission.

    Raises
    ------
    ConfigError, OpticsError
        For values out of range, fringes finer than the objective can produce, and pixels too coarse for the widened band.

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
    highest_order: ClassVar[int] = 1
    """Law: order of the finest fringes of two beams. Their period is `period_um`; the period of order 1 is this number of times longer."""

    def __post_init__(self) -> None:
        super().__post_init__()
        bands = 2 * self.highest_order + 1
        if self.phases < bands:
            few = f"{self.phases} phases: at least {bands} are needed to separate {bands} bands"
            raise ConfigError(f"{few}; give `phases` {bands} or more")
        _ = self.numbers
        if "z" in self.order:
            raise ConfigError(f"order {self.order}: a simulated stack has an axis for its planes; give `order` without z")
        _check_fringes(self)
        _check_pixel(self)

    @property
    def raw_axes(self) -> str:
        return f"{self.axes[:-2]}P{self.axes[-2:]}"

    @property
    def excitation_um(self) -> float:
        """Wavelength of the illumination, um."""
        return 1e-3 * (EXCITATION_RATIO * self.wavelength_nm if self.excitation_nm is None else self.excitation_nm)

    @property
    def min_period_um(self) -> float:
        """Period of the finest fringes that the objective can produce, by beams at opposite borders of its pupil: wavelength / (2 NA)."""
        return self.excitation_um / (2 * self.na)

    @property
    def fringe_period_um(self) -> float:
        """Period of the finest fringes, given or by default, um."""
        return DEFAULT_PERIOD_RATIO * self.min_period_um if self.period_um is None else self.period_um

    @property
    def p_per_um(self) -> np.ndarray:
        """Wave vector (y, x) of order 1 in each direction, cycles per um (direction 2)."""
        angle = np.radians(self.angle_deg + 180 / self.directions * np.arange(self.directions))
        return np.stack([np.sin(angle), np.cos(angle)], 1) / (self.highest_order * self.fringe_period_um)

    @property
    def phase_rad(self) -> np.ndarray:
        """Phase of order 1 in the first frame of each direction, at the centre of the first raw pixel, drawn from the seed."""
        stream = np.random.SeedSequence(self.seed).spawn(4)[3]  # the first three are for the object, its motion and the noise
        return np.random.default_rng(stream).uniform(-np.pi, np.pi, self.directions)

    @property
    def phases_rad(self) -> np.ndarray:
        """Phase of each frame of a direction relative to the first: even steps through one period of order 1."""
        return np.array(nominal_phases_rad(self.phases))

    @property
    def numbers(self) -> np.ndarray:
        """Position of each frame in the file (direction phase). Raises `ConfigError` for an unknown order."""
        return Layout(self.directions, self.phases, self.order).numbers

    @property
    def strengths(self) -> tuple[float, ...]:
        """Amplitude of each order of the pattern from 0 on, relative to the mean."""
        return (1.0, self.modulation)

    @property
    def derived(self) -> dict[str, Any]:
        defaults = {"period_um": self.fringe_period_um, "excitation_nm": 1e3 * self.excitation_um}
        return super().derived | defaults | {"illumination": self.illumination()}

    def illumination(self) -> dict[str, Any]:
        """The true pattern as plain values, with the names of `zsdeconv.sim.patterns.Direction`.

        `p_per_um` (y, x), `depth`, `phase_rad` and `phases_rad` belong to order 1, with phases at the centre of the first raw pixel;
        `gains` compensate the bleaching.

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
        """Blurring kernel of each order from 0 on: the PSF times the amplitude of the order at each depth."""
        return [strength * psf.values for strength in self.strengths]

    def fading(self, time: int) -> np.ndarray:
        """Brightness of each raw frame of a time ([z] frame 1 1), in the order of recording, relative to the first of all frames."""
        shape = (*self.shape[:-2], self.numbers.size)
        number = np.arange(math.prod(shape)) + time * math.prod(shape)
        return ((1 - self.bleaching) ** number).reshape(*shape, 1, 1)

    def record(self, x: np.ndarray, psf: Psf, time: int = 0) -> np.ndarray:
        """Frames without noise (`raw_axes`), `sum_m Re[exp(i m phase) D (H_m (x . exp(2 pi i m p.r)))]`: one blur for each order.

        Negative rounding errors of the Fourier transform are clipped.
        """
        support = sum(n // 2 for n in psf.values.shape[:-2])
        contributing = crop_planes(x, self.context_planes(psf) - support)
        kernel_0, *kernels = self.kernels(psf)
        unmodulated = centred_pixels(blurred(contributing, kernel_0, support))
        raw = np.repeat(unmodulated[..., None, :, :], self.numbers.size, -3)
        for p, phase, numbers in zip(self.p_per_um, self.phase_rad, self.numbers, strict=True):
            for m, kernel in enumerate(kernels, 1):
                band = centred_pixels(blurred(contributing * self._wave(m * p), kernel, support))
                for number, factor in zip(numbers, np.exp(1j * m * (phase + self.phases_rad)), strict=True):
                    raw[..., number, :, :] += (factor * band).real
        return self.fading(time) * raw.clip(0)

    def widefield(self, raw: np.ndarray) -> np.ndarray:
        """The mean of the raw frames, which averages the pattern out."""
        return raw.mean(1 + self.raw_axes.index("P"))

    def _wave(self, p_per_um: np.ndarray) -> np.ndarray:
        """`exp(2 pi i p.r)` on the fine grid (y x), r relative to the centre of the first pixel."""
        position_um = np.arange(self.shape[-1]) * self.fine_um
        along_y, along_x = np.exp(2j * np.pi * np.multiply.outer(p_per_um, position_um))
        return np.multiply.outer(along_y, along_x)


@dataclass(frozen=True)
class SimStackScene(SimScene, DeepScene):
    """A stack under three beams: `directions` x `phases` raw frames of each plane of a wide-field microscope.

    One beam is central, two are oblique and pass opposite sides of the pupil. `period_um` is the period of order 2, the interference of
    the oblique beams. Order 1, of the central and one oblique beam, has twice that period, and is modulated along the axis with
    `axial_per_um`. `modulation` is the contrast relative to three beams of equal amplitude.

    >>> SimStackScene(period_um=0.22).raw_axes, round(SimStackScene(period_um=0.22).axial_per_um, 3)
    ('ZPYX', 1.111)
    """

    size: int = 128
    pixel_um: float = 0.08
    na: float = 1.3
    planes: int = 12
    z_um: float = 0.125
    phases: int = 5

    highest_order: ClassVar[int] = 2
    """Law: order of the finest fringes of three beams."""

    def __post_init__(self) -> None:
        super().__post_init__()
        max_step_um = 0.5 / (self.optics.axial_cutoff_per_um + self.axial_per_um)
        if self.z_um > max_step_um:
            raise OpticsError(
                f"step {self.z_um:g} um: the axial band of this pattern requires {_rounded_down(max_step_um)} um at most; "
                f"give z_um {_rounded_down(max_step_um)} or less"
            )

    @property
    def axial_per_um(self) -> float:
        """Axial frequency `a` of order 1, (n - sqrt(n^2 - NA_ex^2)) / wavelength, cycles per um.

        `NA_ex = wavelength / (2 period)` is n times the sine of the angle of the oblique beams.
        """
        ri = self.optics.ri
        na_ex = self.excitation_um / (2 * self.fringe_period_um)
        return (ri - math.sqrt(ri**2 - na_ex**2)) / self.excitation_um

    @property
    def strengths(self) -> tuple[float, ...]:
        strength_0, *strengths = THREE_BEAMS
        return (strength_0, *(self.modulation * strength for strength in strengths))

    def illumination(self) -> dict[str, Any]:
        return super().illumination() | {"axial_per_um": self.axial_per_um}

    def kernels(self, psf: Psf) -> list[np.ndarray]:
        kernel_0, kernel_1, kernel_2 = super().kernels(psf)
        z_um = self.z_um * (np.arange(len(kernel_1)) - len(kernel_1) // 2)
        return [kernel_0, kernel_1 * np.cos(2 * np.pi * self.axial_per_um * z_um)[:, None, None], kernel_2]


def centred_pixels(x: np.ndarray) -> np.ndarray:
    """Mean over raw pixels centred on every other fine pixel (`... y x`), with half of each neighbour; edges are replicated.

    >>> centred_pixels(np.array([[4.0, 0.0, 8.0, 4.0]] * 2)).tolist()
    [[3.0, 5.0]]
    """
    for axis in (-2, -1):
        x = np.moveaxis(x, axis, 0)
        before = np.concatenate((x[:1], x[1:-1:2]))
        x = np.moveaxis((before + 2 * x[::2] + x[1::2]) / 4, 0, axis)
    return x


def simulate_sim2d(scene: SimScene) -> Simulation:
    """Raw frames of a plane under two beams, with their truth. The same scene gives the same bits.

    `noisy` holds the raw frames (frame y x), `clean` their mean without noise, a wide-field image. The object is the same as without a
    pattern at the same seed.

    Raises `ConfigError` for frames that exceed the memory.

    >>> simulate_sim2d(SimScene(size=32, structure="puncta")).noisy.sizes
    {'P': 9, 'Y': 32, 'X': 32}
    """
    _check_frames_fit(scene)
    return simulate_scene(scene, theoretical_psf(scene.optics, scene.spacing_um))


def simulate_sim3d(scene: SimStackScene) -> Simulation:
    """Raw frames of a stack under three beams, with their truth. The same scene gives the same bits.

    `noisy` holds the raw frames (z frame y x): all directions and phases are recorded at each position of the stage. `clean` is their
    mean without noise, a wide-field stack. As in `simulate_3d` the sample extends above and below the stack. Each order of the pattern
    has its own PSF; the PSF of order 1 includes the axial modulation.

    Raises `ConfigError` for stacks that exceed the memory.

    >>> simulate_sim3d(SimStackScene(size=32, planes=3, structure="puncta")).noisy.sizes
    {'Z': 3, 'P': 15, 'Y': 32, 'X': 32}
    """
    _check_frames_fit(scene)
    return simulate_scene(scene, stack_psf(scene, MAX_VOXELS // 2))  # bands are complex and take twice the memory


def _check_fringes(scene: SimScene) -> None:
    excitation_nm = 1e3 * scene.excitation_um
    if not 200 <= excitation_nm <= 2000:
        raise OpticsError(f"excitation {excitation_nm:g} nm: it must lie between 200 and 2000 nm; give excitation_nm in nanometres")
    min_um, field_um = scene.min_period_um, scene.size * scene.pixel_um
    if not scene.fringe_period_um >= min_um:
        raise OpticsError(
            f"period {scene.fringe_period_um:g} um: the objective produces fringes of {_rounded_up(min_um)} um at the finest, "
            f"{excitation_nm:.4g} nm / (2 x NA {scene.na:g}); give period_um {_rounded_up(min_um)} or more"
        )
    if scene.fringe_period_um > field_um:
        raise ConfigError(
            f"period {scene.fringe_period_um:g} um: the field is {field_um:g} um wide; give a smaller period_um, in micrometres"
        )


def _check_pixel(scene: SimScene) -> None:
    """Raise `OpticsError` unless the raw grid carries the band of the lens, and the twice finer grid the widened band."""
    cutoff = scene.optics.cutoff_per_um
    max_um = 1 / (cutoff + max(cutoff, 1 / scene.fringe_period_um))
    if scene.pixel_um > max_um:
        raise OpticsError(
            f"pixel {scene.pixel_um:g} um: the widened band of this pattern requires {_rounded_down(max_um)} um at most; "
            f"give pixel_um {_rounded_down(max_um)} or less"
        )


def _check_frames_fit(scene: SimScene) -> None:
    frames = scene.frames * scene.fading(0).size
    pixels = frames * scene.size**2
    if pixels > MAX_VOXELS:
        settings = ", ".join(f"`{name}`" for name in (*scene.extent_settings, "frames", "directions"))
        raise ConfigError(
            f"{frames} raw frames of {scene.size} x {scene.size} pixels: {pixels / 1e6:.0f} million, {MAX_VOXELS / 1e6:.0f} million at "
            f"most; give a smaller {settings} or `phases`"
        )


def _rounded_up(um: float) -> str:
    """A lower limit, rounded up so that the value shown satisfies it."""
    return f"{math.ceil(1e4 * um) / 1e4:g}"


def _rounded_down(um: float) -> str:
    """An upper limit, rounded down so that the value shown satisfies it."""
    return f"{math.floor(1e4 * um) / 1e4:g}"
