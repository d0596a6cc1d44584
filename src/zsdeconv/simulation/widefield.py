"""Camera frames of an object that is known, planes or stacks: emitters -> object -> lens -> pixels -> camera.

    emitters (um) -> object x (fine grid) -> H x (fine grid) -> D H x = clean (raw grid) -> Poisson, gain, read noise, offset = y

The same physics that restoration assumes, with nothing assumed to be known too well: it makes test images, demos and a
check of what can be expected on one's own microscope before a sample is wasted. A scene is a plane or a stack of planes, and
what differs between them (axes, grids, optics, thickness of the sample, how it is recorded) is in its class (scenes.py).
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from itertools import product
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
import yaml

from zsdeconv.camera.detector import Camera
from zsdeconv.errors import ConfigError, OutputError
from zsdeconv.image import Image
from zsdeconv.io import atomic_path, write
from zsdeconv.physics.psf import Psf
from zsdeconv.physics.psf_3d import AXIAL_RADIUS_PERIODS, MAX_HALF_PLANES
from zsdeconv.physics.psf_theory import RADIUS_WAVELENGTHS, theoretical_psf
from zsdeconv.simulation.scenes import SCALE, DeepScene, Scene, StackScene, inner
from zsdeconv.simulation.structures import STRUCTURES, Emitters

LABEL_SIGMA_UM = 0.03
"""Chosen: 30 nm, the size of an antibody label with its linker, about 70 nm FWHM."""
HAZE_SIGMA_UM = 1.5
"""Chosen: diffuse light varies over several widths of a PSF."""
PEAK_PERCENTILE = 99.8
"""Chosen: a bright pixel that is no outlier."""

MOST_VOXELS = 2**26
"""Voxels of the fine grid at most, for about 6 GB: at the peak eight copies and more are held, of 8 bytes each."""
MOST_UM3 = 5e4
"""Sample at most, in cubic micrometres: so many emitters fit into memory."""


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

    Raises `ConfigError` for images that would not fit into memory.

    >>> simulate_2d(Scene(size=48)).truth.sizes
    {'Y': 96, 'X': 96}
    """
    side = SCALE * scene.size
    if max(side**2, scene.frames * scene.size**2) > MOST_VOXELS:
        raise ConfigError(
            f"{scene.frames} x {scene.size} x {scene.size} pixels, {side} x {side} on the fine grid: "
            f"{MOST_VOXELS / 1e6:.0f} million at most; give a smaller `size` or `frames`"
        )
    return simulated(scene, theoretical_psf(scene.optics, scene.spacing_um))


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
    return simulated(scene, stack_psf(scene))


def stack_psf(scene: DeepScene, most_voxels: int = MOST_VOXELS) -> Psf:
    """The theoretical PSF on the fine grid of a scene in depth. Raises `ConfigError` where PSF or sample would not fit into memory."""
    _check_psf_fits(scene)
    psf = theoretical_psf(scene.optics, scene.spacing_um)
    _check_sample_fits(scene, psf, most_voxels)
    return psf


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
        raise OutputError(f"{present[0]}: exists, and existing results are kept; give `overwrite`, or another output with -o")
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
    return asdict(scene) | scene.derived


def _check_psf_fits(scene: DeepScene) -> None:
    """A lens of low NA sees far: its PSF may be larger than memory before it is made."""
    reach_um = AXIAL_RADIUS_PERIODS / scene.optics.axial_cutoff_per_um * (2 if scene.optics.aberrated else 1)
    planes = 2 * min(MAX_HALF_PLANES, round(reach_um / scene.z_um)) + 1
    side = 2 * round(RADIUS_WAVELENGTHS[scene.rank] * scene.optics.wavelength_um / scene.na / scene.fine_um) + 1
    if planes * side**2 > MOST_VOXELS:
        raise ConfigError(
            f"PSF of NA {scene.na:g}: {planes} x {side} x {side} voxels, {MOST_VOXELS / 1e6:.0f} million at most; "
            "give a larger pixel_um, z_um or `na`"
        )


def _check_sample_fits(scene: DeepScene, psf: Psf, most_voxels: int) -> None:
    above = scene.above(psf)
    planes = scene.frames * scene.planes + 2 * above
    side = SCALE * scene.size
    if planes * side**2 > most_voxels:
        raise ConfigError(
            f"stack of {planes} x {side} x {side} voxels on the fine grid, with what lies above and below: "
            f"{most_voxels / 1e6:.0f} million at most; give a smaller `size`, `planes` or `frames`, or a larger z_um"
        )
    sample_um3 = (scene.size * scene.pixel_um) ** 2 * scene.thickness_um(above)
    if sample_um3 > MOST_UM3:
        raise ConfigError(
            f"sample of {sample_um3:.3g} cubic um, with what lies above and below: {MOST_UM3:.3g} at most; "
            "give a smaller `size`, `planes`, pixel_um or z_um"
        )


def simulated(scene: Scene, psf: Psf) -> Simulation:
    """Images of a scene of any kind, seen through `psf` (fine grid). Raises `ConfigError` when there is nothing in the field."""
    of_object, of_motion, of_noise = (np.random.default_rng(s) for s in np.random.SeedSequence(scene.seed).spawn(3))
    above = scene.above(psf)
    emitters = STRUCTURES[scene.structure](scene.size * scene.pixel_um, of_object, scene.thickness_um(above))
    step_um = of_motion.normal(0, scene.motion_um / np.sqrt(scene.rank), (int(emitters.element.max()) + 1, scene.rank))
    objects = (_object(emitters.moved(t * step_um), scene, above) for t in range(scene.frames))
    frames = [(inner(x, above).copy(), scene.record(x, psf, t)) for t, x in enumerate(objects)]
    truth, raw = (np.stack(part) for part in zip(*frames, strict=True))
    peak = float(np.percentile(raw[0], PEAK_PERCENTILE))
    if peak <= 0:
        empty = f"seed {scene.seed} puts no {scene.structure} into a field of {scene.size} pixels"
        raise ConfigError(f"{empty}; give a larger `size` or another `seed`")
    scale = scene.photons * scene.gain / peak
    raw, truth = scale * raw, scale * truth
    noisy = _image(scene, expose(raw, scene.camera, of_noise), scene.raw_axes)
    clean = raw.mean(1 + scene.raw_axes.index("P")) if "P" in scene.raw_axes else raw
    return Simulation(scene, noisy, _image(scene, clean, scene.axes), _image(scene, truth, scene.axes, SCALE), psf)


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


def _image(scene: Scene, frames: np.ndarray, axes: str, scale: int = 1) -> Image:
    """Frames (time first) with axes and pixel size; a single frame has no T axis."""
    data, axes = (frames[0], axes) if scene.frames == 1 else (frames, f"T{axes}")
    um = dict(zip(scene.axes, scene.spacing_um, strict=True)) | dict.fromkeys("YX", scene.pixel_um / scale)
    return Image(data, axes, um, offset=scene.offset if data.dtype == np.uint16 else 0.0)
