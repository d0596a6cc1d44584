"""From images and settings to what a training needs: frames, pixel size, PSF on the fine grid, camera."""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from zsdeconv.camera.calibrate import Calibration
from zsdeconv.config import Config, resolve, specialised
from zsdeconv.data.pairs import FEWEST_SLICES, PairChoice, choose_pairs, neighbour_difference
from zsdeconv.errors import ConfigError, DataWarning, ImageError, OpticsError
from zsdeconv.framing import as_image, calibration_of, frames_of, ordered
from zsdeconv.image import Image
from zsdeconv.io.checks import check_restorable
from zsdeconv.modality import MODALITIES, Modality, choose
from zsdeconv.physics.optics import Optics
from zsdeconv.physics.otf import read_otf
from zsdeconv.physics.psf import Psf, fit_to_image
from zsdeconv.physics.psf_check import check_sampling
from zsdeconv.physics.psf_file import read_psf
from zsdeconv.physics.psf_theory import theoretical_psf
from zsdeconv.sim.reconstruct import Reconstruct, halved_gaussian
from zsdeconv.sim.setup import facts, layout_of, lens_of, measured_pattern, reconstruction, stored_pattern

SPACING_LIMITS_UM = (0.001, 10.0)
"""Pixel sizes in the sample that a fluorescence microscope can have; beyond, a unit was mistaken."""
PLANES_RECONSTRUCTED = (
    "--reconstructed with single planes: their noise is correlated from pixel to pixel and nobody knows how, so no pairs can be made of it "
    "(a stack has neighbouring planes); give the raw frames"
)
COMPARED_STACKS = 8
"""Stacks of a series in which neighbouring slices are compared at most."""


@dataclass(frozen=True)
class Prepared:
    """Everything that is settled before the first training step; `sources` says what was taken from where."""

    config: Config
    modality: Modality
    frames: list[np.ndarray]
    spacing_um: tuple[float, ...]
    psf: Psf
    optics: Optics | None
    calibration: Calibration
    sources: dict[str, str]
    reconstruct: Reconstruct | None = None

    def fingerprint(self) -> str:
        """Short SHA-256 of the pixels, by which a checkpoint knows its data."""
        digest = hashlib.sha256()
        for frame in self.frames:
            digest.update(repr((frame.shape, str(frame.dtype))).encode())
            digest.update(np.ascontiguousarray(frame).tobytes())
        return digest.hexdigest()[:16]

    def summary(self) -> dict[str, Any]:
        """What the user should see before a training, as plain values."""
        camera = self.calibration.camera
        optics = None if self.optics is None else {"na": self.optics.na, "wavelength_nm": self.optics.wavelength_nm, "ri": self.optics.ri}
        return {
            "modality": self.modality.name,
            "frames": len(self.frames),
            "shape": list(self.frames[0].shape),
            "spacing_um": dict(zip(self.modality.spatial_axes, self.spacing_um, strict=True)),
            "optics": optics,
            "psf": {"source": self.psf.source, "fingerprint": self.psf.fingerprint, "shape": list(self.psf.values.shape)},
            "camera": {"offset_adu": camera.offset, "gain_adu_per_e": camera.gain, "read_noise_adu": camera.read_noise},
            "sources": self.sources,
        } | ({} if self.reconstruct is None else {"sim": facts(self.reconstruct)})


def prepare(images: Sequence[Image | Any], config: Config, optics: Optics | None = None, psf: Psf | None = None) -> Prepared:
    """Check and complete what is known. An `optics` or `psf` object wins over the configuration, that over the files.

    Raises `ImageError`, `OpticsError` or `ConfigError` for anything that makes a restoration impossible, and warns
    (`DataWarning`) of what makes it worse.
    """
    if not images:
        raise ImageError("0 images: at least one is needed to learn from; give an image file")
    config = _of_reconstructions(config) if config.sim.reconstructed else config
    row = MODALITIES.get(config.modality, next(iter(MODALITIES.values())))
    images = [image if isinstance(image, Image) else as_image(image, row) for image in images]
    modality = choose(config.modality, images[0])
    if config.sim.reconstructed and modality.rank == 2:
        raise ConfigError(PLANES_RECONSTRUCTED)
    config = specialised(config, modality.presets)
    images = [_ordered(image, modality) for image in images]
    for image in images:
        check_restorable(image)
    spacing_um, sources = _spacing(images, config, modality)
    frames = [frame for image in images for frame in frames_of(image, modality)]
    calibration = _calibration(frames, config)
    reconstruct = None
    if modality.raw_frame_axis:
        optics, reconstruct, psf, origins = _sim(images[0], frames, config, optics, psf, spacing_um, modality, calibration)
    else:
        optics, psf, origin = _psf(images[0], config, optics, psf, spacing_um, modality)
        origins = {"psf": origin}
    smallest = tuple(min(n) for n in zip(*(frame.shape[-modality.rank :] for frame in frames), strict=True))
    factors = modality.factors(config.scale)
    psf = fit_to_image(psf, tuple(n * f for n, f in zip(smallest, factors, strict=True)))
    pairs = _pairs(frames, config, modality, spacing_um, optics, calibration)
    config = config.model_copy(update={"pairs": config.pairs.model_copy(update={"kind": pairs.kind})})
    sources |= origins | {
        "camera": "image" if config.input.background == "auto" else "image, offset from option",
        "pairs": pairs.reason,
    }
    return Prepared(config, modality, frames, spacing_um, psf, optics, calibration, sources, reconstruct)


def _of_reconstructions(config: Config) -> Config:
    """Settings for stacks that are reconstructed already: their planes make the pairs, they keep their grid, and no camera's offset."""
    row = MODALITIES.get(config.modality)
    if row is not None and row.raw_frame_axis and not row.reconstructed_as:
        raise ConfigError(PLANES_RECONSTRUCTED)
    given = dict(config.given)
    given |= {"modality": config.modality if row is None or not row.raw_frame_axis else row.reconstructed_as, "scale": 1}
    given["pairs"] = {**given.get("pairs", {}), "kind": "interleave"}
    if config.input.background == "auto":
        given["input"] = {**given.get("input", {}), "background": 0.0}
    return resolve(given)


def _ordered(image: Image, modality: Modality) -> Image:
    if not modality.accepts(image):
        choose(modality.name, image)
    return ordered(image, modality)


def _sim(
    image: Image,
    frames: Sequence[np.ndarray],
    config: Config,
    optics: Optics | None,
    psf: Psf | None,
    spacing_um: tuple[float, ...],
    modality: Modality,
    calibration: Calibration,
) -> tuple[Optics | None, Reconstruct, Psf, dict[str, str]]:
    """Optics where known, the reconstruction of raw frames, its PSF unless one is given, and where each came from."""
    if config.scale != 2:
        raise ConfigError(f"--scale {config.scale} with {modality.name}: a reconstruction lies on the twice finer grid; leave it out")
    told = optics is not None or any(getattr(config.optics, name) is not None for name in ("na", "wavelength_nm", "otf"))
    lens = lens_of(config, image.metadata.get("optics", {}), deep=modality.rank == 3, optics=optics)
    offset, settings = calibration.camera.offset, config.sim
    if settings.parameters is None:
        parameters = measured_pattern(frames, spacing_um, config, lens, offset).parameters
    else:
        layout_of(settings)
        parameters = stored_pattern(settings.parameters, spacing_um)
    reconstruct = reconstruction(frames[0].astype(np.float32) - offset, spacing_um, parameters, lens, settings.wiener)
    optics = lens.optics
    origins = {
        "sim": "estimated on the frames" if settings.parameters is None else "parameter file",
        "optics": "option" if told else "file",
    }
    if psf is None and config.optics.psf is None:
        return optics, reconstruct, reconstruct.psf(), origins | {"psf": "reconstruction"}
    _, psf, given = _psf(image, config, optics, psf, spacing_um, modality)
    return optics, reconstruct, psf, origins | {"psf": given}


def _spacing(images: Sequence[Image], config: Config, modality: Modality) -> tuple[tuple[float, ...], dict[str, str]]:
    """Pixel size along each spatial axis: from the option, else from the files, which must agree."""
    given = {axis: config.input.z_um if axis == "Z" else config.input.pixel_um for axis in modality.spatial_axes}
    spacing = []
    for axis in modality.spatial_axes:
        found = [image.spacing_um[axis] for image in images if axis in image.spacing_um]
        option = "--z-um" if axis == "Z" else "--pixel-um"
        if given[axis] is None and not found:
            raise ImageError(f"pixel size along {axis} is missing in the file, the PSF depends on it; give {option} (um in the sample)")
        if given[axis] is None and max(found) > 1.02 * min(found):
            differing = f"pixel sizes {min(found):g} and {max(found):g} um along {axis}"
            raise ImageError(f"{differing}: one model needs one; restore the files separately")
        spacing.append(float(given[axis] or found[0]))
        if not SPACING_LIMITS_UM[0] <= spacing[-1] <= SPACING_LIMITS_UM[1]:
            limits = " to ".join(f"{um:g}" for um in SPACING_LIMITS_UM)
            raise ImageError(f"pixel size {spacing[-1]:g} um along {axis}: {limits} um can be true; give {option}, 0.065 for 65 nm")
    source = images[0].metadata.get("sources", {}).get("pixel_um", "image")
    return tuple(spacing), {"pixel_um": "option" if config.input.pixel_um is not None else str(source)}


def _psf(
    image: Image, config: Config, optics: Optics | None, psf: Psf | None, spacing_um: tuple[float, ...], modality: Modality
) -> tuple[Optics | None, Psf, str]:
    """Optics where known, the PSF on the fine grid, and where it came from."""
    optics, origin = (optics, "argument") if optics is not None else _optics(image, config)
    fine_um = tuple(um / f for um, f in zip(spacing_um, modality.factors(config.scale), strict=True))
    settings = config.optics
    if optics is not None:
        check_sampling(optics, spacing_um[-1], config.scale)
    if psf is not None:
        psf.require_rank(modality.rank)
        return optics, psf.resampled(fine_um), "argument"
    if settings.psf is not None:
        found = read_psf(settings.psf, fine_um, pixel_um=settings.psf_pixel_um, z_um=settings.psf_z_um, rank=modality.rank)
        return optics, found, "PSF file"
    if settings.otf is not None:
        if modality.rank != 2:
            raise OpticsError(f"OTF {settings.otf}: it is that of a plane, the image is a stack; give --psf with a stack, or the optics")
        return optics, read_otf(settings.otf).psf((fine_um[-2], fine_um[-1])), "OTF file"
    if optics is None:
        raise OpticsError(_missing(image, config))
    psf = theoretical_psf(optics, fine_um)
    if config.sim.reconstructed:
        return optics, halved_gaussian(psf), f"no PSF of the reconstruction given: a Gaussian, optics from {origin}"
    return optics, psf, f"theory, optics from {origin}"


def _optics(image: Image, config: Config) -> tuple[Optics | None, str]:
    """Optics from options and, for what they leave out, from the file."""
    stated = image.metadata.get("optics", {})
    names = ("na", "wavelength_nm", "immersion_ri")
    others = ("pupil", "microscope", "sheet_um", "pinhole_au", "excitation_nm", "sample_ri", "depth_um")
    values = {name: getattr(config.optics, name) for name in names}
    origin = "option" if any(v is not None for v in values.values()) else "file"
    values = {name: stated.get(name) if value is None else value for name, value in values.items()}
    if values["na"] is None or values["wavelength_nm"] is None:
        return None, "nowhere"
    return Optics(**values, **{name: getattr(config.optics, name) for name in others}), origin


def _pairs(
    frames: Sequence[np.ndarray],
    config: Config,
    modality: Modality,
    spacing_um: tuple[float, ...],
    optics: Optics | None,
    found: Calibration,
) -> PairChoice:
    """How pairs are made: as told, or by what the stacks and their noise are like; the published networks learn from planes."""
    told = config.pairs.kind
    if told == "interleave" and told not in modality.pairs:
        raise ConfigError("--pairs interleave: it takes every other plane of a stack, the images are single planes; leave it out")
    if told == "recorrupt" or "interleave" not in modality.pairs:
        return PairChoice("recorrupt", "re-corrupted pairs")
    stacks = [frame[0] for frame in frames] if modality.raw_frame_axis else frames
    planes = min(len(stack) for stack in stacks)
    if told == "interleave":
        if planes < FEWEST_SLICES:
            raise ConfigError(f"{planes} planes: interleaving needs {FEWEST_SLICES} at least, re-corruption does not; leave out --pairs")
        return PairChoice("interleave", "interleaved pairs, as told")
    depth_of_field_um = None if optics is None else optics.ri * optics.wavelength_um / optics.na**2
    difference = neighbour_difference(stacks[:COMPARED_STACKS], found.camera)
    law_holds = config.network.kind == "fast" and not found.correlated
    return choose_pairs(planes, spacing_um[0], depth_of_field_um, difference, law_holds=law_holds)


def _missing(image: Image, config: Config) -> str:
    stated = image.metadata.get("optics", {})
    options = {"na": "--na", "wavelength_nm": "--wavelength-nm"}
    absent = [o for name, o in options.items() if getattr(config.optics, name) is None and stated.get(name) is None]
    words = {"--na": "NA", "--wavelength-nm": "emission wavelength"}
    missing = " and ".join(words[o] for o in absent)
    return f"{missing} not given, no PSF either: one of the two is needed; give {' and '.join(absent)}, or --psf"


def _calibration(frames: Sequence[np.ndarray], config: Config) -> Calibration:
    """The camera; the messages of its calibration become warnings."""
    background = config.input.background
    found = calibration_of(frames, None if background == "auto" else float(background))
    for message in found.messages:
        warnings.warn(message, DataWarning, stacklevel=2)
    return found
