"""Simulated camera frames of a known object, planes or stacks: emitters -> object -> lens -> pixels -> camera.

    emitters (um) -> object x (fine grid) -> H x (fine grid) -> D H x = clean (raw grid) -> Poisson, gain, read noise, offset = y

The physics is that of the restoration. The images serve tests and demonstrations, and predict the result on a given microscope. A scene
is a plane or a stack; its class (`scenes`, `structured`) holds all that differs: axes, grids, optics, thickness of the sample, recording.
"""

from __future__ import annotations

from collections.abc import Mapping
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
from zsdeconv.simulation.scenes import FINE_PER_RAW_PX, DeepScene, Scene, StackScene, crop_planes
from zsdeconv.simulation.structures import STRUCTURES, Emitters

LABEL_SIGMA_UM = 0.03
"""Width of the label of an emitter. Chosen: a FWHM of 70 nm, as of a structure with antibody labels."""
HAZE_SIGMA_UM = 1.5
"""Width of the diffuse light of an emitter. Chosen: several widths of a PSF."""
PEAK_PERCENTILE = 99.8
"""Percentile of the first frame at which `photons` apply. Chosen: a bright pixel that is no outlier."""
MAX_VOXELS = 2**26
"""Largest number of voxels of the fine grid. Chosen for about 6 GB: at the peak eight copies and more are held, of 8 bytes each."""
MAX_SAMPLE_UM3 = 5e4
"""Largest volume of the sample. Chosen: its emitters fit into the same memory."""
MAX_COUNT = 65535
"""Law: largest value of a camera with 16 bits."""


@dataclass(frozen=True)
class Simulation:
    """Images of one scene: `noisy` (uint16, ADU) and `clean` (ADU above offset) on the raw grid, `truth` on the fine grid, `psf`."""

    scene: Scene
    noisy: Image
    clean: Image
    truth: Image
    psf: Psf


def simulate_2d(scene: Scene) -> Simulation:
    """Frames of a plane with their truth. The same scene gives the same bits.

    Object and noise are drawn from independent streams of the seed: another light level, gain or number of frames shows the same object.
    The object is zero outside the field, and `clean` is exactly `D H truth`.

    Raises `ConfigError` for images that exceed the memory.

    >>> simulate_2d(Scene(size=48)).truth.sizes
    {'Y': 96, 'X': 96}
    """
    side = FINE_PER_RAW_PX * scene.size
    if max(side**2, scene.frames * scene.size**2) > MAX_VOXELS:
        raise ConfigError(
            f"{scene.frames} x {scene.size} x {scene.size} pixels, {side} x {side} on the fine grid: "
            f"{MAX_VOXELS / 1e6:.0f} million at most; give a smaller `size` or `frames`"
        )
    return simulate_scene(scene, theoretical_psf(scene.optics, scene.spacing_um))


def simulate_3d(scene: StackScene) -> Simulation:
    """Stacks of a scene with their truth. The same scene gives the same bits.

    The sample extends above and below the recorded planes, by half the depth of the PSF and 4 um at least. `clean` is `D H` of this
    whole sample, and near the first and last plane therefore brighter than `D H truth`. Along y and x the object is zero outside the
    field, as in `simulate_2d`. Another light level, gain or number of frames shows the same object, and so does another microscope
    (unless its PSF is deeper than 4 um on either side).

    Raises `ConfigError` for stacks that exceed the memory.

    >>> simulate_3d(StackScene(size=32, planes=5, photons=50)).truth.sizes
    {'Z': 5, 'Y': 64, 'X': 64}
    """
    return simulate_scene(scene, stack_psf(scene))


def stack_psf(scene: DeepScene, max_voxels: int = MAX_VOXELS) -> Psf:
    """The theoretical PSF on the fine grid of a stack. Raises `ConfigError` where PSF or sample exceed the memory."""
    _check_psf_fits(scene)
    psf = theoretical_psf(scene.optics, scene.spacing_um)
    _check_sample_fits(scene, psf, max_voxels)
    return psf


def expose(clean: np.ndarray, camera: Camera, rng: np.random.Generator) -> np.ndarray:
    """A recording of a camera, uint16: gain * Poisson(clean / gain) + N(offset, read variance), rounded, clipped to 0 .. 65535.

    `clean` is in ADU above the offset. The mean is offset + clean, the variance gain * clean + read variance (Eq. 3) + 1/12 by rounding.
    """
    electrons = rng.poisson(clean / camera.gain)
    adu = camera.gain * electrons + rng.normal(camera.offset, np.sqrt(camera.read_variance), clean.shape)
    return np.rint(adu).clip(0, MAX_COUNT).astype(np.uint16)


def files_in(folder: str | Path) -> dict[str, Path]:
    """What `write_simulation` writes into a folder, by name.

    >>> [path.name for path in files_in("simulated").values()]
    ['noisy.tif', 'clean.tif', 'truth.tif', 'psf.tif', 'settings.yaml']
    """
    names = ("noisy.tif", "clean.tif", "truth.tif", "psf.tif", "settings.yaml")
    return {name.split(".")[0]: Path(folder) / name for name in names}


def write_simulation(simulation: Simulation, folder: str | Path, *, overwrite: bool = False) -> dict[str, Path]:
    """Write noisy.tif, clean.tif, truth.tif, psf.tif and settings.yaml into a folder (created if missing); their paths by name.

    Images are OME-TIFF with pixel sizes. Raises `OutputError` when they cannot be written, and before any is written when one of them
    exists and `overwrite` is false.
    """
    paths = files_in(folder)
    if present := [path for path in paths.values() if path.exists() and not overwrite]:
        raise OutputError(f"{present[0]}: exists, and existing results are kept; give `overwrite`, or another output")
    values = settings(simulation.scene)
    axes = simulation.scene.axes
    psf = Image(simulation.psf.values, axes, dict(zip(axes, simulation.psf.spacing_um, strict=True)), offset=0.0)
    _write_camera(paths["noisy"], simulation.noisy, overwrite)
    for name, image in (("clean", simulation.clean), ("truth", simulation.truth), ("psf", psf)):
        write(paths[name], image, provenance={"simulation": values}, overwrite=overwrite)
    with atomic_path(paths["settings"], overwrite) as temporary:
        temporary.write_text(yaml.safe_dump(values, sort_keys=False), encoding="utf-8")
    return paths


def _write_camera(path: Path, image: Image, overwrite: bool) -> None:
    """A recording as a camera saves it: uint16, with axes and pixel size, without the settings of the simulation."""
    sizes: dict[str, Any] = {f"PhysicalSize{a}": um for a, um in image.spacing_um.items()}
    units = {f"PhysicalSize{a}Unit": "µm" for a in image.spacing_um}
    with atomic_path(path, overwrite) as temporary:
        metadata = {"axes": image.axes} | sizes | units
        tifffile.imwrite(temporary, image.data, ome=True, photometric="minisblack", compression="zlib", metadata=metadata)


def settings(scene: Scene) -> dict[str, Any]:
    """The settings of a scene and the values that follow from them, as plain values."""
    return asdict(scene) | scene.derived


def _check_psf_fits(scene: DeepScene) -> None:
    """Raise `ConfigError` for a PSF that exceeds the memory: at low NA it is deep."""
    half_depth_um = AXIAL_RADIUS_PERIODS / scene.optics.axial_cutoff_per_um * (2 if scene.optics.aberrated else 1)
    planes = 2 * min(MAX_HALF_PLANES, round(half_depth_um / scene.z_um)) + 1
    side = 2 * round(RADIUS_WAVELENGTHS[scene.rank] * scene.optics.wavelength_um / scene.na / scene.fine_um) + 1
    if planes * side**2 > MAX_VOXELS:
        raise ConfigError(
            f"PSF of NA {scene.na:g}: {planes} x {side} x {side} voxels, {MAX_VOXELS / 1e6:.0f} million at most; "
            "give a larger pixel_um, z_um or `na`"
        )


def _check_sample_fits(scene: DeepScene, psf: Psf, max_voxels: int) -> None:
    """Raise `ConfigError` for a sample that exceeds the memory."""
    context = scene.context_planes(psf)
    planes = scene.frames * scene.planes + 2 * context
    rows, columns = scene.shape[-2:]
    if planes * rows * columns > max_voxels:
        raise ConfigError(
            f"stack of {planes} x {rows} x {columns} voxels on the fine grid, with the sample above and below: "
            f"{max_voxels / 1e6:.0f} million at most; give a smaller `size`, `planes` or `frames`, or a larger z_um"
        )
    sample_um3 = scene.field_um**2 * scene.thickness_um(context)
    if sample_um3 > MAX_SAMPLE_UM3:
        raise ConfigError(
            f"sample of {sample_um3:.3g} cubic um, with the parts above and below the stack: {MAX_SAMPLE_UM3:.3g} at most; "
            "give a smaller `size`, `planes`, pixel_um or z_um"
        )


def simulate_scene(scene: Scene, psf: Psf) -> Simulation:
    """Images of a scene of any class through `psf` (fine grid). Raises `ConfigError` when the field is empty."""
    object_rng, motion_rng, noise_rng = (np.random.default_rng(s) for s in np.random.SeedSequence(scene.seed).spawn(3))
    context = scene.context_planes(psf)
    emitters = STRUCTURES[scene.structure](scene.field_um, object_rng, scene.thickness_um(context))
    step_um = motion_rng.normal(0, scene.motion_um / np.sqrt(scene.rank), (int(emitters.element.max()) + 1, scene.rank))
    objects = (_rendered(emitters.moved(t * step_um), scene, context) for t in range(scene.frames))
    frames = [(crop_planes(x, context).copy(), scene.record(x, psf, t)) for t, x in enumerate(objects)]
    truth, raw = (np.stack(part) for part in zip(*frames, strict=True))
    peak = float(np.percentile(raw[0], PEAK_PERCENTILE))
    if peak <= 0:
        empty = f"seed {scene.seed} puts no {scene.structure} into a field of {scene.size} pixels"
        raise ConfigError(f"{empty}; give a larger `size` or another `seed`")
    scale = scene.photons * scene.gain / peak
    raw, truth = scale * raw, scale * truth
    um, fine_um = scene.recorded_um, dict(zip(scene.axes, scene.spacing_um, strict=True))
    noisy = _image(scene, expose(raw, scene.camera, noise_rng), scene.raw_axes, um, scene.stated)
    clean = _image(scene, scene.widefield(raw), scene.axes, um, scene.stated)
    return Simulation(scene, noisy, clean, _image(scene, truth, scene.axes, fine_um), psf)


def _rendered(emitters: Emitters, scene: Scene, context: int = 0) -> np.ndarray:
    """Emitters on the fine grid: linear interpolation between neighbours, then convolution with the label.

    The grid has `context` planes above the recorded ones, and as many below.
    """
    from scipy.ndimage import gaussian_filter

    um = np.array(scene.spacing_um)
    shape = (*(n + 2 * context for n in scene.shape[:-2]), *scene.shape[-2:])
    # Fine pixel i extends from i to i + 1 with its centre at i + 1/2; z is relative to the centre of the stack.
    origin = [*((n - 1) / 2 for n in shape[:-2]), -0.5, -0.5]
    position = emitters.zyx_um[-scene.rank :] / um[:, None] + np.array(origin)[:, None]
    low = np.floor(position).astype(int)
    grid = np.zeros(prod(shape))
    for corner in product((0, 1), repeat=scene.rank):
        at = low + np.array(corner)[:, None]
        inside = ((at >= 0) & (at < np.array(shape)[:, None])).all(0)
        share = (1 - np.abs(position - at)).prod(0) * emitters.brightness
        grid += np.bincount(np.ravel_multi_index(tuple(at[:, inside]), shape), share[inside], minlength=len(grid))
    sharp = gaussian_filter(grid.reshape(shape), LABEL_SIGMA_UM / um, mode="constant")
    diffuse = gaussian_filter(sharp, HAZE_SIGMA_UM / um, mode="constant")
    return (1 - scene.haze) * sharp + scene.haze * diffuse


def _image(scene: Scene, frames: np.ndarray, axes: str, um: Mapping[str, float], metadata: Mapping[str, Any] | None = None) -> Image:
    """Frames (time first) as an image with axes and pixel size; a single frame has no T axis."""
    data, axes = (frames[0], axes) if scene.frames == 1 else (frames, f"T{axes}")
    return Image(data, axes, um, offset=scene.offset if data.dtype == np.uint16 else 0.0, metadata=metadata)
