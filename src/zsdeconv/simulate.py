"""A camera frame of an object that is known: emitters -> object -> lens -> pixels -> camera.

    emitters (um) -> object x (fine grid) -> H x (fine grid) -> D H x = clean (raw grid) -> Poisson, gain, read noise, offset = y

The same physics that restoration assumes, with nothing assumed to be known too well: it makes test images, demos and a
check of what can be expected on one's own microscope before a sample is wasted.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
import yaml

from zsdeconv.errors import ConfigError, OutputError
from zsdeconv.image import Image
from zsdeconv.io import atomic_path, write
from zsdeconv.metrics import bin2
from zsdeconv.noise.model import Camera
from zsdeconv.physics.optics import Optics
from zsdeconv.physics.psf import Psf, theoretical_psf
from zsdeconv.structures import STRUCTURES, Emitters

SCALE = 2
LABEL_SIGMA_UM = 0.03
HAZE_SIGMA_UM = 1.5
PEAK_PERCENTILE = 99.8


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

    def __post_init__(self) -> None:
        if self.structure not in STRUCTURES:
            raise ConfigError(f"structure {self.structure!r} is unknown; give --structure {'|'.join(STRUCTURES)}")
        for name, (low, high) in _LIMITS.items():
            value = getattr(self, name)
            if not low <= value <= high:
                raise ConfigError(f"{name} {value:g} is outside {low:g} to {high:g}; give another --{name.replace('_', '-')}")
        _ = self.optics

    @property
    def fine_um(self) -> float:
        """Pixel of the fine grid, um."""
        return self.pixel_um / SCALE

    @property
    def optics(self) -> Optics:
        return Optics(na=self.na, wavelength_nm=self.wavelength_nm, immersion_ri=self.immersion_ri, pupil=self.pupil)

    @property
    def camera(self) -> Camera:
        return Camera(offset=self.offset, gain=self.gain, read_variance=self.read_noise**2)


_LIMITS = {
    "photons": (0.01, 1e6),
    "size": (32, 8192),
    "pixel_um": (0.005, 2.0),
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
    of_object, of_motion, of_noise = (np.random.default_rng(s) for s in np.random.SeedSequence(scene.seed).spawn(3))
    psf = theoretical_psf(scene.optics, (scene.fine_um, scene.fine_um))
    emitters = STRUCTURES[scene.structure](scene.size * scene.pixel_um, of_object)
    step_um = of_motion.normal(0, scene.motion_um / np.sqrt(2), (int(emitters.element.max()) + 1, 2))
    truth = np.stack([_object(emitters.moved(t * step_um), scene) for t in range(scene.frames)])
    clean = bin2(_blurred(truth, psf))
    peak = float(np.percentile(clean[0], PEAK_PERCENTILE))
    if peak <= 0:
        empty = f"seed {scene.seed} puts no {scene.structure} into a field of {scene.size} pixels"
        raise ConfigError(f"{empty}; give a larger --size or another --seed")
    scale = scene.photons * scene.gain / peak
    clean, truth = scale * clean, scale * truth
    noisy = expose(clean, scene.camera, of_noise)
    return Simulation(scene, *(_image(scene, *part) for part in ((noisy, 1), (clean, 1), (truth, SCALE))), psf=psf)


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
    psf = Image(simulation.psf.values, "YX", dict(zip("YX", simulation.psf.spacing_um, strict=True)), offset=0.0)
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
    derived = {"immersion_ri": scene.optics.immersion_ri, "fine_pixel_um": scene.fine_um, "axes": "YX" if scene.frames == 1 else "TYX"}
    return asdict(scene) | derived


def _object(emitters: Emitters, scene: Scene) -> np.ndarray:
    """Emitters on the fine grid, each shared bilinearly between four pixels, then widened to the size of the label."""
    from scipy.ndimage import gaussian_filter

    n = SCALE * scene.size
    # Pixel i spans i to i+1 fine pixels, its centre at i + 1/2.
    y, x = emitters.y_um / scene.fine_um - 0.5, emitters.x_um / scene.fine_um - 0.5
    j, i = np.floor(y).astype(int), np.floor(x).astype(int)
    grid = np.zeros(n * n)
    for dj, di in ((0, 0), (0, 1), (1, 0), (1, 1)):
        inside = (j + dj >= 0) & (j + dj < n) & (i + di >= 0) & (i + di < n)
        share = (1 - np.abs(y - j - dj)) * (1 - np.abs(x - i - di)) * emitters.brightness
        grid += np.bincount(((j + dj) * n + i + di)[inside], share[inside], minlength=n * n)
    sharp = gaussian_filter(grid.reshape(n, n), LABEL_SIGMA_UM / scene.fine_um, mode="constant")
    diffuse = gaussian_filter(sharp, HAZE_SIGMA_UM / scene.fine_um, mode="constant")
    return (1 - scene.haze) * sharp + scene.haze * diffuse


def _blurred(planes: np.ndarray, psf: Psf) -> np.ndarray:
    """Linear convolution of each plane, same size; rounding below zero is clipped."""
    from scipy.signal import fftconvolve

    return fftconvolve(planes, psf.values[None], mode="same", axes=(-2, -1)).clip(0)


def _image(scene: Scene, frames: np.ndarray, scale: int) -> Image:
    """Frames with axes and pixel size; a single frame has no T axis."""
    um = scene.pixel_um / scale
    data, axes = (frames[0], "YX") if scene.frames == 1 else (frames, "TYX")
    offset = scene.offset if frames.dtype == np.uint16 else 0.0
    return Image(data, axes, {"Y": um, "X": um}, offset=offset)
