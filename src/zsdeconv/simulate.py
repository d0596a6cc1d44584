"""Camera frames of an object that is known, planes or stacks: emitters -> object -> lens -> pixels -> camera.

    emitters (um) -> object x (fine grid) -> H x (fine grid) -> D H x = clean (raw grid) -> Poisson, gain, read noise, offset = y

The same physics that restoration assumes, with nothing assumed to be known too well: it makes test images, demos and a
check of what can be expected on one's own microscope before a sample is wasted. A scene is a plane or a stack of planes, and
what differs between them (axes, grids, optics, thickness of the sample) is in its class.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from itertools import product
from math import ceil, prod
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import tifffile
import yaml

from zsdeconv.errors import ConfigError, OutputError
from zsdeconv.image import Image
from zsdeconv.io import atomic_path, write
from zsdeconv.metrics import bin2
from zsdeconv.noise.model import Camera
from zsdeconv.physics.microscope import microscope_named
from zsdeconv.physics.optics import Optics
from zsdeconv.physics.psf import RADIUS_IN_WAVELENGTHS, Psf, theoretical_psf
from zsdeconv.physics.volume import AXIAL_REACH, MOST_PLANES
from zsdeconv.structures import STRUCTURES, Emitters

SCALE = 2
LABEL_SIGMA_UM = 0.03
HAZE_SIGMA_UM = 1.5
PEAK_PERCENTILE = 99.8

SHEET_UM = 1.0
"""Half thickness of a light sheet, unless given."""
SURROUND_UM = 4.0
"""The sample goes on above and below the recorded planes, so far at least: as far as a wide-field microscope of NA 1.1 sees."""
MOST_VOXELS = 2**26
"""Voxels of the fine grid at most, for about 4 GB: at the peak eight copies are held, of 8 bytes each."""
MOST_UM3 = 5e4
"""Sample at most, in cubic micrometres: so many emitters fit into memory."""
_MILLIONS = f"{MOST_VOXELS / 1e6:.0f} million"


@dataclass(frozen=True)
class Scene:
    """What is looked at, through what, with which camera.

    `photons` are photo-electrons per raw pixel at the 99.8th percentile of the first frame; `size` raw pixels along Y and X;
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

    def __post_init__(self) -> None:
        if self.structure not in STRUCTURES:
            raise ConfigError(f"structure {self.structure!r} is unknown; give --structure {'|'.join(STRUCTURES)}")
        for name, (low, high) in _LIMITS.items():
            value = getattr(self, name, low)
            if not low <= value <= high:
                raise ConfigError(f"{name} {value:g} is outside {low:g} to {high:g}; give another --{name.replace('_', '-')}")
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


@dataclass(frozen=True)
class StackScene(Scene):
    """What is looked at in depth: a sample that goes on above and below the recorded `planes`, which lie `z_um` apart.

    `microscope` and what belongs to it (`sheet_um`, `pinhole_au`, `excitation_nm`, `sample_ri`, `depth_um`) are those of
    `Optics`. Unless told, a light sheet of 1 um half thickness under a water-immersion lens of NA 1.1, critically sampled:
    dim light, quick volumes and a PSF of a few planes, which is what stacks are restored for most.

    >>> StackScene(planes=7).shape, StackScene(microscope="confocal").optics.pinhole_au
    ((7, 256, 256), 1.0)
    """

    size: int = 128
    pixel_um: float = 0.1
    na: float = 1.1
    planes: int = 24
    z_um: float = 0.2
    microscope: str = "lightsheet"
    sheet_um: float | None = None
    pinhole_au: float | None = None
    excitation_nm: float | None = None
    sample_ri: float | None = None
    depth_um: float | None = None

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

    @property
    def optics(self) -> Optics:
        in_depth = {name: getattr(self, name) for name in _IN_DEPTH}
        if self.sheet_um is None and "sheet_um" in microscope_named(self.microscope).parameters:
            in_depth["sheet_um"] = SHEET_UM
        return Optics(self.na, self.wavelength_nm, self.immersion_ri, self.pupil, **in_depth)


_IN_DEPTH = ("microscope", "sheet_um", "pinhole_au", "excitation_nm", "sample_ri", "depth_um")
_LIMITS = {
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


@dataclass(frozen=True)
class Simulation:
    """Images of one scene: `noisy` (uint16, ADU) and `clean` (ADU above offset) on the raw grid, `truth` on the fine grid, `psf`."""

    scene: Scene
    noisy: Image
    clean: Image
    truth: Image
    psf: Psf


def simulate_2d(scene: Scene) -> Simulation:
    """Frames of a scene with their truth; the same scene gives the same bits.

    The object and the noise are drawn from independent streams of the seed, so that another light level, gain or number of
    frames shows the same object. Nothing lies outside the field: `clean` is exactly `D H truth`.

    >>> simulate_2d(Scene(size=48)).truth.sizes
    {'Y': 96, 'X': 96}
    """
    return _simulated(scene, theoretical_psf(scene.optics, scene.spacing_um))


def simulate_3d(scene: StackScene) -> Simulation:
    """Stacks of a scene with their truth; the same scene gives the same bits.

    The sample goes on above and below the recorded planes, by half the depth of the PSF and by 4 um at least, and its light
    reaches them: `clean` is what the planes record, `D H` of an object that extends beyond the planes of `truth`, and near the
    first and last plane it is brighter than `D H truth`. Along y and x nothing lies outside the field, as in `simulate_2d`.
    Another light level, gain or number of frames shows the same object, and so does another microscope (unless it sees
    farther than 4 um beyond the planes).

    Raises `ConfigError` for stacks that would not fit into memory.

    >>> simulate_3d(StackScene(size=32, planes=5, photons=50)).truth.sizes
    {'Z': 5, 'Y': 64, 'X': 64}
    """
    _check_psf_fits(scene)
    psf = theoretical_psf(scene.optics, scene.spacing_um)
    _check_sample_fits(scene, psf)
    return _simulated(scene, psf)


def expose(clean: np.ndarray, camera: Camera, rng: np.random.Generator) -> np.ndarray:
    """What a camera reads, uint16: gain * Poisson(clean / gain) + N(offset, read variance), rounded, clipped to 0 .. 65535.

    `clean` in ADU above offset; mean offset + clean and variance gain * clean + read variance (Eq. 3), plus 1/12 from rounding.
    """
    electrons = rng.poisson(clean / camera.gain)
    adu = camera.gain * electrons + rng.normal(camera.offset, np.sqrt(camera.read_variance), clean.shape)
    return np.rint(adu).clip(0, 65535).astype(np.uint16)


def write_simulation(simulation: Simulation, folder: str | Path, *, overwrite: bool = False) -> dict[str, Path]:
    """Write noisy.tif, clean.tif, truth.tif, psf.tif and settings.yaml into `folder` (made if missing); their paths by name.

    Images are OME-TIFF with pixel sizes. Raises `OutputError`, before anything is written, when one of them exists (without
    `overwrite`), and when they cannot be written.
    """
    names = ("noisy.tif", "clean.tif", "truth.tif", "psf.tif", "settings.yaml")
    paths = {name.split(".")[0]: Path(folder) / name for name in names}
    if present := [path for path in paths.values() if path.exists() and not overwrite]:
        raise OutputError(f"{present[0]}: exists, and existing results are kept; give --overwrite, or another output with -o")
    stated = settings(simulation.scene)
    axes = simulation.scene.axes
    psf = Image(simulation.psf.values, axes, dict(zip(axes, simulation.psf.spacing_um, strict=True)), offset=0.0)
    _write_camera(paths["noisy"], simulation.noisy, overwrite)
    for name, image in (("clean", simulation.clean), ("truth", simulation.truth), ("psf", psf)):
        write(paths[name], image, provenance={"simulation": stated}, overwrite=overwrite)
    with atomic_path(paths["settings"], overwrite) as temporary:
        temporary.write_text(yaml.safe_dump(stated, sort_keys=False), encoding="utf-8")
    return paths


def _write_camera(path: Path, image: Image, overwrite: bool) -> None:
    """A frame as a camera saves it: uint16, with axes and pixel size, and without any hint at its truth."""
    sizes: dict[str, Any] = {f"PhysicalSize{a}": um for a, um in image.spacing_um.items()}
    units = {f"PhysicalSize{a}Unit": "µm" for a in image.spacing_um}
    with atomic_path(path, overwrite) as temporary:
        metadata = {"axes": image.axes} | sizes | units
        tifffile.imwrite(temporary, image.data, ome=True, photometric="minisblack", compression="zlib", metadata=metadata)


def settings(scene: Scene) -> dict[str, Any]:
    """The scene as plain values, with the derived ones a reader would ask for."""
    optics = scene.optics
    given = asdict(scene) | {name: getattr(optics, name) for name in _IN_DEPTH if hasattr(scene, name)}
    axes = scene.axes if scene.frames == 1 else f"T{scene.axes}"
    return given | {"immersion_ri": optics.immersion_ri, "fine_pixel_um": scene.fine_um, "axes": axes}


def _check_psf_fits(scene: StackScene) -> None:
    """A lens of low NA sees far: its PSF may be larger than memory before it is made."""
    reach_um = AXIAL_REACH / scene.optics.axial_cutoff_per_um * (2 if scene.optics.aberrated else 1)
    planes = 2 * min(MOST_PLANES, round(reach_um / scene.z_um)) + 1
    side = 2 * round(RADIUS_IN_WAVELENGTHS[scene.rank] * scene.optics.wavelength_um / scene.na / scene.fine_um) + 1
    if planes * side**2 > MOST_VOXELS:
        raise ConfigError(
            f"PSF of NA {scene.na:g}: {planes} x {side} x {side} voxels, {_MILLIONS} at most; give a larger --pixel-um, --z-um or --na"
        )


def _check_sample_fits(scene: StackScene, psf: Psf) -> None:
    above = scene.above(psf)
    planes = scene.frames * scene.planes + 2 * above
    side = SCALE * scene.size
    if planes * side**2 > MOST_VOXELS:
        raise ConfigError(
            f"stack of {planes} x {side} x {side} voxels on the fine grid, with what lies above and below: {_MILLIONS} at most; "
            "give a smaller --size, --planes or --frames, or a larger --z-um"
        )
    sample_um3 = (scene.size * scene.pixel_um) ** 2 * scene.thickness_um(above)
    if sample_um3 > MOST_UM3:
        raise ConfigError(
            f"sample of {sample_um3:.3g} cubic um, with what lies above and below: {MOST_UM3:.3g} at most; "
            "give a smaller --size, --planes, --pixel-um or --z-um"
        )


def _simulated(scene: Scene, psf: Psf) -> Simulation:
    of_object, of_motion, of_noise = (np.random.default_rng(s) for s in np.random.SeedSequence(scene.seed).spawn(3))
    above = scene.above(psf)
    emitters = STRUCTURES[scene.structure](scene.size * scene.pixel_um, of_object, scene.thickness_um(above))
    step_um = of_motion.normal(0, scene.motion_um / np.sqrt(scene.rank), (int(emitters.element.max()) + 1, scene.rank))
    frames = [_frame(emitters.moved(t * step_um), scene, psf, above) for t in range(scene.frames)]
    truth, clean = (np.stack(part) for part in zip(*frames, strict=True))
    peak = float(np.percentile(clean[0], PEAK_PERCENTILE))
    if peak <= 0:
        empty = f"seed {scene.seed} puts no {scene.structure} into a field of {scene.size} pixels"
        raise ConfigError(f"{empty}; give a larger --size or another --seed")
    scale = scene.photons * scene.gain / peak
    clean, truth = scale * clean, scale * truth
    noisy = expose(clean, scene.camera, of_noise)
    return Simulation(scene, *(_image(scene, *part) for part in ((noisy, 1), (clean, 1), (truth, SCALE))), psf=psf)


def _frame(emitters: Emitters, scene: Scene, psf: Psf, above: int) -> tuple[np.ndarray, np.ndarray]:
    """Truth (fine grid) and clean image (raw grid) of the recorded planes, at one time."""
    from scipy.signal import fftconvolve

    x = _object(emitters, scene, above)
    reach = sum(n // 2 for n in psf.values.shape[:-2])
    # Linear convolution with the planes that send light to the recorded ones; rounding below zero is clipped.
    blurred = fftconvolve(_inner(x, above - reach), psf.values, mode="same")
    return _inner(x, above).copy(), bin2(_inner(blurred, reach).clip(0))


def _inner(x: np.ndarray, planes: int) -> np.ndarray:
    """A stack without its first and last `planes`; a plane as it is."""
    return x[tuple(slice(planes, n - planes) for n in x.shape[:-2])]


def _object(emitters: Emitters, scene: Scene, above: int = 0) -> np.ndarray:
    """Emitters on the fine grid, each shared linearly between its neighbours, then widened to the size of the label.

    The grid has `above` planes more than a stack records above it, and as many below.
    """
    from scipy.ndimage import gaussian_filter

    um = np.array(scene.spacing_um)
    shape = (*(n + 2 * above for n in scene.shape[:-2]), *scene.shape[-2:])
    # Pixel i spans i to i+1 fine pixels, its centre at i + 1/2; z counts from the middle of the stack.
    origin = [*((n - 1) / 2 for n in shape[:-2]), -0.5, -0.5]
    place = emitters.zyx_um[-scene.rank :] / um[:, None] + np.array(origin)[:, None]
    low = np.floor(place).astype(int)
    grid = np.zeros(prod(shape))
    for corner in product((0, 1), repeat=scene.rank):
        at = low + np.array(corner)[:, None]
        inside = ((at >= 0) & (at < np.array(shape)[:, None])).all(0)
        share = (1 - np.abs(place - at)).prod(0) * emitters.brightness
        grid += np.bincount(np.ravel_multi_index(tuple(at[:, inside]), shape), share[inside], minlength=len(grid))
    sharp = gaussian_filter(grid.reshape(shape), LABEL_SIGMA_UM / um, mode="constant")
    diffuse = gaussian_filter(sharp, HAZE_SIGMA_UM / um, mode="constant")
    return (1 - scene.haze) * sharp + scene.haze * diffuse


def _image(scene: Scene, frames: np.ndarray, scale: int) -> Image:
    """Frames with axes and pixel size; a single frame has no T axis."""
    data, axes = (frames[0], scene.axes) if scene.frames == 1 else (frames, f"T{scene.axes}")
    um = dict(zip(scene.axes, scene.spacing_um, strict=True)) | dict.fromkeys("YX", scene.pixel_um / scale)
    offset = scene.offset if frames.dtype == np.uint16 else 0.0
    return Image(data, axes, um, offset=offset)
