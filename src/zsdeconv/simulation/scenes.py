"""Scenes of a simulation: the sample, its grid, the optics and the camera, of planes and of stacks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import ceil
from typing import Any, ClassVar

import numpy as np

from zsdeconv.camera.detector import Camera
from zsdeconv.errors import ConfigError
from zsdeconv.image import Image, StageScan, scan_of
from zsdeconv.metrics import bin2
from zsdeconv.physics.microscope import microscope_named
from zsdeconv.physics.optics import Optics
from zsdeconv.physics.psf import Psf
from zsdeconv.simulation.structures import STRUCTURES

FINE_PER_RAW_PX = 2
"""Samples of the fine grid per raw pixel, along y and x. Chosen: the grid of a restoration at its default scale."""
DEFAULT_SHEET_UM = 1.0
"""Half thickness of a light sheet. Chosen: about the axial resolution of the default lens (NA 1.1: 0.8 um)."""
MIN_CONTEXT_UM = 4.0
"""Least thickness of the sample above and below the recorded planes. Chosen: about the half depth of a wide-field PSF of NA 1.1."""
_NO_STACK = Image(np.zeros((1, 1, 1)), "ZYX")
"""An image that states no scan."""
_MICROSCOPE_SETTINGS = ("microscope", "sheet_um", "pinhole_au", "excitation_nm", "sample_ri", "depth_um")


@dataclass(frozen=True)
class Scene:
    """A plane, its optics and its camera. Other scenes derive from it and override what differs.

    Parameters
    ----------
    structure
        A name in `STRUCTURES`.
    photons
        Photo-electrons per raw pixel at the 99.8th percentile of the first frame.
    size
        Raw pixels along Y and X.
    pixel_um
        Raw pixel size.
    na, wavelength_nm, immersion_ri, pupil
        As for `Optics`.
    gain, read_noise, offset
        Of the camera, in ADU per photo-electron, ADU and ADU.
    haze
        Fraction of diffuse light.
    frames, motion_um
        Number of time points, and the root-mean-square displacement of each element between two of them.
    seed
        Seed of object, motion and noise, which have independent streams.

    Raises
    ------
    ConfigError, OpticsError
        For values out of range.

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
    extent_settings: ClassVar[tuple[str, ...]] = ("size",)
    """Names of the settings that give the number of pixels of an image, for messages."""
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
    """Least and largest value of each setting. Chosen: wide enough for the microscopes and cameras in use; a seed has 63 bits."""

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
        """Number of spatial axes."""
        return len(self.axes)

    @property
    def fine_um(self) -> float:
        """Pixel of the fine grid, um."""
        return self.pixel_um / FINE_PER_RAW_PX

    @property
    def spacing_um(self) -> tuple[float, ...]:
        """Spacing of the fine grid along each axis, um."""
        return (self.fine_um, self.fine_um)

    @property
    def recorded_um(self) -> dict[str, float]:
        """Spacing of a recording along each axis, um, as a microscope states it."""
        return dict(zip(self.axes, self.spacing_um, strict=True)) | dict.fromkeys("YX", self.pixel_um)

    @property
    def stated(self) -> dict[str, Any]:
        """What a recording says of itself."""
        return {}

    @property
    def field_um(self) -> float:
        """Side of the square field that the object is drawn in, um."""
        return self.size * self.pixel_um

    @property
    def shape(self) -> tuple[int, ...]:
        """Samples of the fine grid along each axis."""
        return (FINE_PER_RAW_PX * self.size, FINE_PER_RAW_PX * self.size)

    def context_planes(self, psf: Psf) -> int:
        """Planes of the sample above the recorded ones, and the same number below; 0 for a plane."""
        return 0

    def thickness_um(self, context: int) -> float:
        """Thickness of the sample, um, including `context` planes above and below the recorded ones; 0 for a plane."""
        return 0.0

    @property
    def optics(self) -> Optics:
        return Optics(na=self.na, wavelength_nm=self.wavelength_nm, immersion_ri=self.immersion_ri, pupil=self.pupil)

    @property
    def camera(self) -> Camera:
        return Camera(offset=self.offset, gain=self.gain, read_variance=self.read_noise**2)

    @property
    def raw_axes(self) -> str:
        """Axes of a recording at one time."""
        return self.axes

    @property
    def derived(self) -> dict[str, Any]:
        """Values that follow from the settings, as plain values for settings.yaml."""
        axes = self.raw_axes if self.frames == 1 else f"T{self.raw_axes}"
        return {"immersion_ri": self.optics.immersion_ri, "fine_pixel_um": self.fine_um, "axes": axes}

    def record(self, x: np.ndarray, psf: Psf, time: int = 0) -> np.ndarray:
        """The noise-free recording (`raw_axes`), `D H x`, of an object `x` on the fine grid with its context.

        Negative rounding errors of the Fourier transform are clipped.
        """
        return bin2(blurred(x, psf.values, self.context_planes(psf)).clip(0))

    def widefield(self, raw: np.ndarray) -> np.ndarray:
        """The wide-field image (T and `axes`) of noise-free recordings (T and `raw_axes`): of a wide-field camera, the recordings."""
        return raw


@dataclass(frozen=True)
class DeepScene(Scene):
    """A stack of `planes` recorded planes, `z_um` apart, of a sample that extends above and below them.

    >>> DeepScene(planes=7).spacing_um
    (0.2, 0.0325, 0.0325)
    """

    planes: int = 24
    z_um: float = 0.2

    axes: ClassVar[str] = "ZYX"
    extent_settings: ClassVar[tuple[str, ...]] = ("size", "planes")

    @property
    def spacing_um(self) -> tuple[float, ...]:
        return (self.z_um, *super().spacing_um)

    @property
    def shape(self) -> tuple[int, ...]:
        return (self.planes, *super().shape)

    def context_planes(self, psf: Psf) -> int:
        return max(len(psf.values) // 2, ceil(MIN_CONTEXT_UM / self.z_um))

    def thickness_um(self, context: int) -> float:
        return (self.planes + 2 * context) * self.z_um


@dataclass(frozen=True)
class StackScene(DeepScene):
    """A stack of a microscope that scans the sample plane by plane.

    `microscope` and its settings (`sheet_um`, `pinhole_au`, `excitation_nm`, `sample_ri`, `depth_um`) are those of `Optics`. The default
    is a light sheet of 1 um half thickness and a water-immersion lens of NA 1.1, critically sampled: the common case of little light and
    a PSF of few planes.

    With `scan_angle_deg` and `scan_step_um` (and `scan_reverse`) the stage moves at an angle to the sheet (`zsdeconv.image.scan`): the
    recording is skewed, and the planes are `z_um = scan_step_um sin(scan_angle_deg)` apart. The object has the directions of camera and
    detection axis and as many rows more as the scan passes. It is imaged upright, its image is sheared, and the camera sees that.

    >>> StackScene(planes=7).shape, StackScene(microscope="confocal").optics.pinhole_au
    ((7, 256, 256), 1.0)
    >>> StackScene(planes=7, scan_angle_deg=30.0, scan_step_um=0.4).shape
    (7, 298, 256)
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
    scan_angle_deg: float | None = None
    scan_step_um: float | None = None
    scan_reverse: bool = False

    def __post_init__(self) -> None:
        scan = self.scan
        if scan is not None:
            if self.z_um not in (StackScene.z_um, scan.depth_um):
                planes = f"planes of the scan are scan_step_um x sin(scan_angle_deg) = {scan.depth_um:.4g} um apart"
                raise ConfigError(f"z_um {self.z_um:g} beside scan_angle_deg {scan.angle_deg:g}: {planes}; leave out z_um")
            object.__setattr__(self, "z_um", scan.depth_um)
        super().__post_init__()

    @property
    def scan(self) -> StageScan | None:
        """How the stage moves, None along the detection axis. Raises `ConfigError` where that is half said."""
        return scan_of(_NO_STACK, self.scan_angle_deg, self.scan_step_um, self.scan_reverse)

    @property
    def extra_rows(self) -> int:
        """Rows of the sample, raw pixels, that the scan passes beside those of a plane."""
        return 0 if self.scan is None else self.scan.extra_rows(self.planes, self.pixel_um)

    @property
    def field_um(self) -> float:
        return (self.size + self.extra_rows) * self.pixel_um

    @property
    def shape(self) -> tuple[int, ...]:
        planes, rows, columns = super().shape
        return planes, rows + FINE_PER_RAW_PX * self.extra_rows, columns

    @property
    def recorded_um(self) -> dict[str, float]:
        return super().recorded_um | ({} if self.scan is None else {"Z": self.scan.step_um})

    @property
    def stated(self) -> dict[str, Any]:
        return {} if self.scan is None else {"scan": self.scan.noted()}

    def record(self, x: np.ndarray, psf: Psf, time: int = 0) -> np.ndarray:
        if self.scan is None:
            return super().record(x, psf, time)
        upright = blurred(x, psf.values, self.context_planes(psf)).clip(0)
        first = FINE_PER_RAW_PX * self.extra_rows if self.scan.reverse else 0
        return bin2(skewed(upright, self.scan.shift_um / self.fine_um, first, FINE_PER_RAW_PX * self.size).clip(0))

    @property
    def optics(self) -> Optics:
        settings = {name: getattr(self, name) for name in _MICROSCOPE_SETTINGS}
        if self.sheet_um is None and "sheet_um" in microscope_named(self.microscope).parameters:
            settings["sheet_um"] = DEFAULT_SHEET_UM
        return Optics(self.na, self.wavelength_nm, self.immersion_ri, self.pupil, **settings)

    @property
    def derived(self) -> dict[str, Any]:
        return super().derived | {name: getattr(self.optics, name) for name in _MICROSCOPE_SETTINGS}


def skewed(upright: np.ndarray, shift_px: float, first: float, rows: int) -> np.ndarray:
    """What a camera of `rows` sees of an image `z y x`: plane k from row `first + k shift_px` on.

    Planes are shifted by a Fourier shift, exact where the pixels sample the image; beyond its ends the image goes on as its mirror image.

    >>> skewed(np.eye(4)[[1]][..., None] * np.ones((3, 1, 1)), 1.0, 0.0, 2).round(6)[:, :, 0].tolist()[:2]
    [[0.0, 1.0], [1.0, 0.0]]
    """
    n = upright.shape[1]
    spectrum = np.fft.rfft(np.concatenate([upright, upright[:, ::-1]], 1), axis=1)
    starts = first + shift_px * np.arange(len(upright))
    phase = np.exp(2j * np.pi * np.multiply.outer(starts, np.fft.rfftfreq(2 * n)))
    return np.fft.irfft(spectrum * phase[:, :, None], 2 * n, axis=1)[:, :rows]


def blurred(x: np.ndarray, kernel: np.ndarray, context: int) -> np.ndarray:
    """`H x` of the recorded planes, on the grid of the object `x`, which has `context` planes above them and as many below.

    Linear convolution with all planes whose light reaches the recorded ones.

    >>> blurred(np.eye(3), np.ones((1, 3)), 0).round(6).tolist()
    [[1.0, 1.0, 0.0], [1.0, 1.0, 1.0], [0.0, 1.0, 1.0]]
    """
    from scipy.signal import fftconvolve

    support = sum(n // 2 for n in kernel.shape[:-2])
    return crop_planes(fftconvolve(crop_planes(x, context - support), kernel, mode="same"), support)


def crop_planes(x: np.ndarray, planes: int) -> np.ndarray:
    """A stack without its first and last `planes`; a single plane unchanged."""
    return x[tuple(slice(planes, n - planes) for n in x.shape[:-2])]
