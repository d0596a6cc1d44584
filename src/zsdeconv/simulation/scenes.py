"""What simulated images show and how it is recorded: planes and stacks, their grids, optics and cameras."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import ceil
from typing import Any, ClassVar

import numpy as np

from zsdeconv.camera.detector import Camera
from zsdeconv.errors import ConfigError
from zsdeconv.metrics import bin2
from zsdeconv.physics.microscope import microscope_named
from zsdeconv.physics.optics import Optics
from zsdeconv.physics.psf import Psf
from zsdeconv.simulation.structures import STRUCTURES

SCALE = 2
"""Samples of the fine grid in a raw pixel, along y and x."""
SHEET_UM = 1.0
"""Half thickness of a light sheet, unless given."""
SURROUND_UM = 4.0
"""The sample goes on above and below the recorded planes, so far at least: as far as a wide-field microscope of NA 1.1 sees."""
_IN_DEPTH = ("microscope", "sheet_um", "pinhole_au", "excitation_nm", "sample_ri", "depth_um")


@dataclass(frozen=True)
class Scene:
    """What is looked at, through what, with which camera.

    `photons` are photo-electrons per raw pixel at the 99.8th percentile of what is taken first; `size` raw pixels along Y and X;
    `haze` the fraction of light that is diffuse; `motion_um` the root-mean-square way that each element moves between
    two of the `frames`. Camera: `gain` (ADU per photo-electron), `read_noise` and `offset` in ADU.

    Raises `ConfigError` (and `OpticsError`, for the optics) on values out of range.

    >>> Scene(structure="vesicles").fine_um
    0.0325
    """

    structure: str = "filaments"
    photons: float = 30.0
    size: int = 256
    pixel_um: float = 0.065
    na: float = 1.4
    wavelength_nm: float = 525.0
    immersion_ri: float | None = None
    pupil: str = "scalar"
    gain: float = 1.0
    read_noise: float = 2.0
    offset: float = 100.0
    haze: float = 0.1
    frames: int = 1
    motion_um: float = 0.05
    seed: int = 0

    axes: ClassVar[str] = "YX"
    limits: ClassVar[Mapping[str, tuple[float, float]]] = {
        "photons": (0.01, 1e6),
        "size": (32, 8192),
        "pixel_um": (0.005, 2.0),
        "planes": (2, 4096),
        "z_um": (0.01, 20.0),
        "gain": (1e-3, 1e3),
        "read_noise": (0.0, 1e4),
        "offset": (0.0, 6e4),
        "haze": (0.0, 1.0),
        "frames": (1, 10_000),
        "motion_um": (0.0, 100.0),
        "seed": (0, 2**63 - 1),
    }
    """Least and largest value of each number."""

    def __post_init__(self) -> None:
        if self.structure not in STRUCTURES:
            raise ConfigError(f"structure {self.structure!r} is unknown; give `structure` {'|'.join(STRUCTURES)}")
        for name, (low, high) in self.limits.items():
            value = getattr(self, name, low)
            if not low <= value <= high:
                raise ConfigError(f"{name} {value:g} is outside {low:g} to {high:g}; give another `{name}`")
        _ = self.optics

    @property
    def rank(self) -> int:
        return len(self.axes)

    @property
    def fine_um(self) -> float:
        """Pixel of the fine grid, um."""
        return self.pixel_um / SCALE

    @property
    def spacing_um(self) -> tuple[float, ...]:
        """Distance of samples of the fine grid along each axis, um."""
        return (self.fine_um, self.fine_um)

    @property
    def shape(self) -> tuple[int, ...]:
        """Samples of the fine grid along each axis."""
        return (SCALE * self.size, SCALE * self.size)

    def above(self, psf: Psf) -> int:
        """Planes of the sample above the recorded ones, and as many below; a plane has none."""
        return 0

    def thickness_um(self, above: int) -> float:
        """Depth of the sample, um, with the planes above and below the recorded ones; 0 for a plane."""
        return 0.0

    @property
    def optics(self) -> Optics:
        return Optics(na=self.na, wavelength_nm=self.wavelength_nm, immersion_ri=self.immersion_ri, pupil=self.pupil)

    @property
    def camera(self) -> Camera:
        return Camera(offset=self.offset, gain=self.gain, read_variance=self.read_noise**2)

    @property
    def raw_axes(self) -> str:
        """Axes of what the camera takes at one time."""
        return self.axes

    @property
    def derived(self) -> dict[str, Any]:
        """What a reader would ask for beyond the values given, as plain values."""
        axes = self.raw_axes if self.frames == 1 else f"T{self.raw_axes}"
        return {"immersion_ri": self.optics.immersion_ri, "fine_pixel_um": self.fine_um, "axes": axes}

    def record(self, x: np.ndarray, psf: Psf, time: int = 0) -> np.ndarray:
        """What the camera takes of the object `x` (fine grid, with the planes above and below) without noise; axes `raw_axes`."""
        return bin2(through(x, psf.values, self.above(psf)).clip(0))  # clipped is what rounding makes of darkness


@dataclass(frozen=True)
class DeepScene(Scene):
    """What is looked at in depth: a sample that goes on above and below the recorded `planes`, which lie `z_um` apart.

    >>> DeepScene(planes=7).spacing_um
    (0.2, 0.0325, 0.0325)
    """

    planes: int = 24
    z_um: float = 0.2

    axes: ClassVar[str] = "ZYX"

    @property
    def spacing_um(self) -> tuple[float, ...]:
        return (self.z_um, *super().spacing_um)

    @property
    def shape(self) -> tuple[int, ...]:
        return (self.planes, *super().shape)

    def above(self, psf: Psf) -> int:
        return max(len(psf.values) // 2, ceil(SURROUND_UM / self.z_um))

    def thickness_um(self, above: int) -> float:
        return (self.planes + 2 * above) * self.z_um


@dataclass(frozen=True)
class StackScene(DeepScene):
    """A stack of one of the microscopes that scan a sample plane by plane.

    `microscope` and what belongs to it (`sheet_um`, `pinhole_au`, `excitation_nm`, `sample_ri`, `depth_um`) are those of
    `Optics`. Unless told, a light sheet of 1 um half thickness under a water-immersion lens of NA 1.1, critically sampled:
    dim light, quick volumes and a PSF of a few planes, which is what stacks are restored for most.

    >>> StackScene(planes=7).shape, StackScene(microscope="confocal").optics.pinhole_au
    ((7, 256, 256), 1.0)
    """

    size: int = 128
    pixel_um: float = 0.1
    na: float = 1.1
    microscope: str = "lightsheet"
    sheet_um: float | None = None
    pinhole_au: float | None = None
    excitation_nm: float | None = None
    sample_ri: float | None = None
    depth_um: float | None = None

    @property
    def optics(self) -> Optics:
        in_depth = {name: getattr(self, name) for name in _IN_DEPTH}
        if self.sheet_um is None and "sheet_um" in microscope_named(self.microscope).parameters:
            in_depth["sheet_um"] = SHEET_UM
        return Optics(self.na, self.wavelength_nm, self.immersion_ri, self.pupil, **in_depth)

    @property
    def derived(self) -> dict[str, Any]:
        return super().derived | {name: getattr(self.optics, name) for name in _IN_DEPTH}


def through(x: np.ndarray, kernel: np.ndarray, above: int) -> np.ndarray:
    """`H x` of the recorded planes, for an object with `above` planes above them and as many below; on its grid.

    Linear convolution with the planes that send light to the recorded ones.

    >>> through(np.eye(3), np.ones((1, 3)), 0).round(6).tolist()
    [[1.0, 1.0, 0.0], [1.0, 1.0, 1.0], [0.0, 1.0, 1.0]]
    """
    from scipy.signal import fftconvolve

    reach = sum(n // 2 for n in kernel.shape[:-2])
    return inner(fftconvolve(inner(x, above - reach), kernel, mode="same"), reach)


def inner(x: np.ndarray, planes: int) -> np.ndarray:
    """A stack without its first and last `planes`; a plane as it is."""
    return x[tuple(slice(planes, n - planes) for n in x.shape[:-2])]
