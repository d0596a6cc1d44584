"""From images and settings to what a training needs: frames, pixel size, camera, acquisition, kind of pairs."""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from zsdeconv.acquisition.base import Acquisition, Recording
from zsdeconv.acquisition.point_spread import NEEDED, absent_optics, missing_optics
from zsdeconv.camera.calibrate import Calibration
from zsdeconv.camera.maps import CameraMaps
from zsdeconv.camera.sensor_parts import equalised
from zsdeconv.config import Config
from zsdeconv.config.relevance import Facts, refuse_idle
from zsdeconv.data.learnable import learnable
from zsdeconv.data.pair_choice import MIN_SLICES, PairChoice, choose_pairs, neighbour_difference, pairs_by_law
from zsdeconv.data.patches import fitted_patch
from zsdeconv.data.scan_direction import direction_doubt
from zsdeconv.errors import ConfigError, DataWarning, ImageError, OpticsError
from zsdeconv.image import Image, StageScan, refuse_deskewed, scan_of
from zsdeconv.image.scan import STACK_AXES
from zsdeconv.io.checks import check_restorable
from zsdeconv.io.wrapped import unwrapped
from zsdeconv.modality import Modality, select
from zsdeconv.physics.grid import lateral_factors
from zsdeconv.physics.optics import Optics
from zsdeconv.physics.psf import Psf
from zsdeconv.physics.psf_check import fwhms_um
from zsdeconv.training.networks import network_kind

SPACING_LIMITS_UM = (0.001, 10.0)
"""Pixel sizes in the sample that a fluorescence microscope can have. Chosen: beyond, a unit was mistaken."""
SIZE_ALONG = {"Z": "z_um", "Y": "pixel_um", "X": "pixel_um"}
"""The setting of the pixel size along each axis."""
SPACING_TOLERANCE = 1.02
"""Ratio of the pixel sizes of files up to which they train one model. Chosen: more changes the width of the PSF visibly."""
RESULTS = ("denoised", "deconvolved", "uncertainty", "reconstructed")
"""Kinds of the images that this package writes."""
MAX_COMPARED_STACKS = 8
"""Stacks of a series in which neighbouring slices are compared. Chosen: more stacks do not change the mean."""


@dataclass(frozen=True)
class Prepared:
    """Everything that is settled before the first training step; `sources` says what was taken from where."""

    config: Config
    modality: Modality
    frames: list[np.ndarray]
    spacing_um: tuple[float, ...]
    acquisition: Acquisition
    calibration: Calibration
    sources: dict[str, str]

    def fingerprint(self) -> str:
        """Short SHA-256 of the pixels, by which a checkpoint recognises its data."""
        digest = hashlib.sha256()
        for frame in self.frames:
            digest.update(repr((frame.shape, str(frame.dtype))).encode())
            digest.update(np.ascontiguousarray(frame).tobytes())
        return digest.hexdigest()[:16]

    def summary(self) -> dict[str, Any]:
        """What the user should know before a training, as plain values."""
        camera, optics, psf = self.calibration.camera, self.acquisition.optics, self.acquisition.psf
        return {
            "modality": self.modality.name,
            "frames": len(self.frames),
            "shape": list(self.frames[0].shape),
            "spacing_um": dict(zip(self.modality.spatial_axes, self.spacing_um, strict=True)),
            "optics": None if optics is None else {**asdict(optics), "ri": optics.ri},
            "psf": {"source": psf.source, "fingerprint": psf.fingerprint, "shape": list(psf.values.shape)},
            "camera": {
                "detector": camera.kind,
                "excess": camera.excess,
                "offset_adu": camera.offset,
                "gain_adu_per_e": camera.gain,
                "read_noise_adu": camera.read_noise,
            },
            "sources": self.sources,
            **self.acquisition.summary(),
        }


def prepare(images: Sequence[Image | Any], config: Config, optics: Optics | None = None, psf: Psf | None = None) -> Prepared:
    """Check and complete what is known. An `optics` or `psf` object wins over the configuration, which wins over the files.

    Raises `ImageError`, `OpticsError` or `ConfigError` for anything that makes a restoration impossible, and warns
    (`DataWarning`) of what degrades it.
    """
    if not images:
        raise ImageError("0 images: at least one is needed to learn from; give an image file")
    _question_results(images)
    modality, config, images = select(config, images)
    maps = None if config.input.camera is None else CameraMaps.load(config.input.camera).cropped(config.input.crop)
    images = [equalised(unwrapped(image)) if maps is None else unwrapped(image) for image in images]
    for image in images:
        check_restorable(image)
    scan = _scan(images, config, modality)
    if optics is None and psf is None:
        _refuse_missing(images, config, modality, scan)
    config = _with_scan(config, scan)
    spacing_um, sources = _spacing(images, config, modality)
    names = [str(image.metadata.get("name", f"image {number}")) for number, image in enumerate(images, 1)]
    series = [modality.frames_of(image) for image in images]
    found = learnable(
        series, names, config.input, maps, memory=modality.acquisition.remembers, bright=modality.acquisition.sets_bright_aside
    )
    frames, calibration = found.frames, found.calibration
    upsampling = modality.factors(config.scale)
    recording = Recording(images[0], frames, spacing_um, upsampling, calibration, config, optics, psf)
    _doubt_scan(recording, modality)
    acquisition, origins = modality.acquisition.prepare(recording)
    frames = acquisition.steadied(frames)
    _warn_of_wide_noise(acquisition)
    pairs = _pairs(recording, modality, acquisition)
    acquisition.splits, acquisition.maps = pairs.kind == "split", maps
    config = config.model_copy(update={"pairs": config.pairs.model_copy(update={"kind": pairs.kind})})
    uses = modality.acquisition.settings | network_kind(config).settings
    patch_px = _patch_px(replace(recording, config=config), acquisition)
    refuse_idle(Facts(config, modality.rank, uses, patch_px), modality.presets)
    sources |= origins | {
        "camera": _camera_source(config, maps),
        "detector": calibration.detector_source,
        **({"scan": scan.words} if scan is not None else {}),
        "pairs": pairs.reason,
        **({"left_out": found.left_out} if found.left_out else {}),
        **({"odd_frames": "; ".join(found.odd_frames)} if found.odd_frames else {}),
    }
    return Prepared(config, modality, frames, spacing_um, acquisition, calibration, sources)


def _question_results(images: Sequence[Image | Any]) -> None:
    """Warn (`DataWarning`) of results of this package among the images: their noise is gone, and with it what is learned from."""
    for image in images:
        kind = image.metadata.get("kind") if isinstance(image, Image) else None
        if kind in RESULTS:
            name = image.metadata.get("name", "image")
            warnings.warn(f"{name}: it is a {kind} image of zsdeconv, which is no recording; give the raw image", DataWarning, stacklevel=3)


def _scan(images: Sequence[Image], config: Config, modality: Modality) -> StageScan | None:
    """The scan of a stage that moves at an angle to the sheet; None for images that cannot be of one.

    Raises `ImageError` for stacks that are deskewed already or were scanned differently, and `ConfigError` for one that is half known.
    """
    if "input.scan_angle_deg" not in modality.acquisition.settings or modality.spatial_axes != STACK_AXES:
        refuse_idle(Facts(config, modality.rank, modality.acquisition.settings), modality.presets, "input.scan")
        return None
    known = config.input
    scans = {scan_of(image, known.scan_angle_deg, known.scan_step_um, known.scan_reverse) for image in images}
    if len(scans) > 1:
        words = " and ".join("none" if scan is None else scan.words for scan in scans)
        raise ImageError(f"scans of the files differ ({words}): one model needs one; restore the files separately")
    scan = scans.pop()
    if scan is not None:
        for image in images:
            refuse_deskewed(image)
    return scan


def _with_scan(config: Config, scan: StageScan | None) -> Config:
    """The configuration with the scan that is used, from wherever it is known."""
    if scan is None:
        return config
    used = {f"scan_{name}": value for name, value in scan.noted().items()}
    return config.model_copy(update={"input": config.input.model_copy(update=used)})


def _doubt_scan(recording: Recording, modality: Modality) -> None:
    """Warn of stacks that do not look like those of the scan."""
    scan = recording.scan
    if scan is None:
        return
    stacks = [modality.acquisition.stack_of(frame) for frame in recording.frames[:MAX_COMPARED_STACKS]]
    doubt = direction_doubt(stacks, scan, recording.spacing_um[-2])
    if doubt:
        advice = "check scan_reverse, scan_angle_deg and scan_step_um"
        warnings.warn(f"{doubt}, the scan is {scan.words}; {advice}", DataWarning, stacklevel=3)


def _refuse_missing(images: Sequence[Image], config: Config, modality: Modality, scan: StageScan | None) -> None:
    """Raise for all numbers that are missing at once, before anything is measured: `OpticsError` where it is the optics alone."""
    given = {"pixel_um": config.input.pixel_um, "z_um": config.input.z_um if scan is None else scan.depth_um}
    absent = absent_optics(images[0], config)
    unknown = [axis for axis in modality.spatial_axes if not any(axis in image.spacing_um for image in images)]
    sizes = [name for name in dict.fromkeys(SIZE_ALONG[axis] for axis in reversed(unknown)) if given[name] is None]
    if absent and not sizes:
        raise OpticsError(missing_optics(absent))
    if len(names := [*sizes, *absent]) < 2:
        return
    words = [{"pixel_um": "pixel size", "z_um": "step between planes", **NEEDED}[name] for name in names]
    times = "; where the planes are times, give `axes` with T for Z" if "z_um" in sizes else ""
    missing = f"{', '.join(words[:-1])} and {words[-1]} are missing in the file, the PSF depends on them"
    marked = [f"`{name}`" for name in names]
    raise ImageError(f"{missing}; give {', '.join(marked[:-1])} and {marked[-1]}, in um in the sample and nm{times}")


def _spacing(images: Sequence[Image], config: Config, modality: Modality) -> tuple[tuple[float, ...], dict[str, str]]:
    """Pixel size along each spatial axis: from the option, else from the files, which must agree; planes of a scan are as far apart as it
    says.
    """
    scan = config.input.scan
    _question_step(images, scan)
    depth_um = config.input.z_um if scan is None else scan.depth_um
    given = {axis: depth_um if axis == "Z" else config.input.pixel_um for axis in modality.spatial_axes}
    spacing, told = [], set()
    for axis in modality.spatial_axes:
        sizes = [image.spacing_um[axis] for image in images if axis in image.spacing_um]
        name = "z_um" if axis == "Z" else "pixel_um"
        if given[axis] is None and not sizes:
            times = ", or, where the planes are times, `axes` with T for Z" if axis == "Z" else ""
            raise ImageError(
                f"pixel size along {axis} is missing in the file, the PSF depends on it; give {name} (um in the sample){times}"
            )
        if given[axis] is None and max(sizes) > SPACING_TOLERANCE * min(sizes):
            differing = f"pixel sizes {min(sizes):g} and {max(sizes):g} um along {axis}"
            raise ImageError(f"{differing}: one model needs one; restore the files separately")
        own, stated = given[axis], [um for image in images if (um := _stated_um(image, axis)) is not None]
        along_scan = axis == "Z" and scan is not None
        if own is not None and stated and not along_scan and name not in told and max(own / stated[0], stated[0] / own) > SPACING_TOLERANCE:
            told.add(name)
            text = f"{name} {own:g} along {axis} was given, the file has {stated[0]:.4g}: the former is used"
            warnings.warn(f"{text}; leave out {name}, or make sure that the file is wrong", DataWarning, stacklevel=3)
        spacing.append(float(given[axis] or sizes[0]))
        if not SPACING_LIMITS_UM[0] <= spacing[-1] <= SPACING_LIMITS_UM[1]:
            limits = " and ".join(f"{um:g}" for um in SPACING_LIMITS_UM)
            raise ImageError(f"pixel size {spacing[-1]:g} um along {axis}: it must lie between {limits} um; give {name}, 0.065 for 65 nm")
    source = images[0].metadata.get("sources", {}).get("pixel_um", "image")
    return tuple(spacing), {"pixel_um": "option" if config.input.pixel_um is not None else str(source)}


def _question_step(images: Sequence[Image], scan: StageScan | None) -> None:
    """Warn of files whose planes are neither the step of the scan apart nor its depth."""
    stated = [um for image in images if (um := _stated_um(image, "Z")) is not None]
    if scan is not None and stated and not any(_alike(stated[0], um) for um in (scan.depth_um, scan.step_um)):
        known = f"the file has planes {stated[0]:.4g} um apart, neither the step nor the depth of the scan"
        warnings.warn(f"{known} ({scan.words}); check scan_step_um and scan_angle_deg", DataWarning, stacklevel=4)


def _alike(one: float, other: float) -> bool:
    return max(one, other) <= SPACING_TOLERANCE * min(one, other)


def _stated_um(image: Image, axis: str) -> float | None:
    """The pixel size that an image or its file states, whatever the user gave when it was read."""
    return image.metadata.get("overruled_um", {}).get(axis, image.spacing_um.get(axis))


def _warn_of_wide_noise(acquisition: Acquisition) -> None:
    """Warn where noise is filtered as the lens filters light, so that nothing tells one from the other."""
    noise_px, spacing_um = acquisition.detector.correlation.fwhm_px, acquisition.psf.spacing_um
    psf_px = min(fwhms_um(acquisition.psf)[-2:]) / (spacing_um[-1] * acquisition.scale)
    if acquisition.detector.correlation and noise_px >= psf_px:
        wide = f"noise is correlated over {noise_px:.2g} pixels, as wide as the point spread function ({psf_px:.2g} pixels)"
        warnings.warn(f"{wide}: it looks like structure and stays in part; use the camera's raw data", DataWarning, stacklevel=2)


def _patch_px(recording: Recording, acquisition: Acquisition) -> tuple[int, ...]:
    """Size of the patches that the network learns from, on the grid of its input; of interleaved pairs, half the planes of a stack."""
    rank = len(recording.upsampling)
    raw = np.min([frame.shape[-rank:] for frame in recording.frames], axis=0)
    sizes = (raw * recording.upsampling // lateral_factors(rank, acquisition.scale)).tolist()
    if recording.config.pairs.kind == "interleave":
        sizes[0] //= 2
    return fitted_patch(recording.config.training.patch(rank), sizes)


def _pairs(recording: Recording, modality: Modality, acquisition: Acquisition) -> PairChoice:
    """The kind of pairs: as given, or chosen by the law of the detector; of the published networks and correlated noise by the slices."""
    config, calibration, optics = recording.config, recording.calibration, acquisition.optics
    given, scan = config.pairs.kind, recording.scan
    if given == "interleave" and scan is not None:
        moved = f"planes of the scan shift by {abs(scan.shift_um):.3g} um along y, no two show one place"
        raise ConfigError(
            f"`pairs=interleave`: {moved}; leave it out, or deskew what is reconstructed already, and leave out scan_angle_deg"
        )
    if given == "interleave" and given not in modality.pairs:
        raise ConfigError("`pairs=interleave`: it takes every other plane of a stack, the images are single planes; leave it out")
    if given == "recorrupt":
        return PairChoice("recorrupt", "re-corrupted pairs, as given")
    if given == "split":
        _refuse_split(modality, calibration)
        return PairChoice("split", "split pairs, as given")
    if given == "blind":
        _refuse_blind(modality, calibration, config)
        return PairChoice("blind", "blind spots, as given")
    if given == "auto" and network_kind(config).learns_from_recorruption and not calibration.correlated:
        choice = pairs_by_law(calibration.camera, _peak_adu(recording))
        return choice if modality.acquisition.divides else PairChoice("recorrupt", "re-corrupted pairs: noise of raw frames, reconstructed")
    if "interleave" not in modality.pairs or scan is not None:
        shared = ": noise with the correlation that was measured" if calibration.camera.correlation else ""
        return PairChoice("recorrupt", f"re-corrupted pairs{shared}")
    stacks = [acquisition.stack_of(frame) for frame in recording.frames]
    planes = min(len(stack) for stack in stacks)
    if given == "interleave":
        if planes < MIN_SLICES:
            raise ConfigError(f"{planes} planes: interleaving needs {MIN_SLICES} at least, re-corruption does not; leave out `pairs`")
        return PairChoice("interleave", "interleaved pairs, as given")
    depth_of_field_um = None if optics is None else optics.ri * optics.wavelength_um / optics.na**2
    difference = neighbour_difference(stacks[:MAX_COMPARED_STACKS], calibration.camera)
    return choose_pairs(planes, recording.spacing_um[0], depth_of_field_um, difference)


def _peak_adu(recording: Recording) -> float:
    """Signal of the brightest places above the offset."""
    return recording.unit.scale


def _refuse_split(modality: Modality, calibration: Calibration) -> None:
    if not modality.acquisition.divides:
        raise ConfigError(f"`pairs=split`: electrons of {modality.name} frames are not divided; leave out `pairs`")
    if calibration.camera.correlation:
        shared = f"noise of neighbouring pixels is correlated by {calibration.noise_correlation:.2f}"
        raise ConfigError(f"`pairs=split`: the {shared}, electrons are divided in each pixel by itself; leave out `pairs`")
    if calibration.camera.gain <= 0:
        raise ConfigError("`pairs=split`: the gain is 0, there are no electrons to divide; leave out `pairs`")


def _refuse_blind(modality: Modality, calibration: Calibration, config: Config) -> None:
    """Raise `ConfigError` where the noise of a pixel can be guessed from its surroundings, and for networks that learn in one phase."""
    if not modality.acquisition.divides:
        raise ConfigError(f"`pairs=blind`: pixels of {modality.name} frames, reconstructed, share their noise; leave out `pairs`")
    if calibration.correlated:
        shared = f"noise of neighbouring pixels is correlated by {calibration.noise_correlation:.2f}"
        raise ConfigError(f"`pairs=blind`: the {shared}, so that it can be guessed from the surroundings; leave out `pairs`")
    if not network_kind(config).learns_from_recorruption:
        raise ConfigError(
            f"`pairs=blind`: network.kind {config.network.kind} learns both stages at once; leave out `pairs`, or give preset fast"
        )


def _camera_source(config: Config, maps: CameraMaps | None) -> str:
    if maps is not None:
        dark, flat = maps.frames
        return f"maps {Path(str(config.input.camera)).name}" + (f" from {dark} dark and {flat} flat frames" if dark else "")
    measured = "image" if config.input.crop is None else "the part of the image; the whole may tell more"
    return measured if config.input.background == "auto" else f"{measured}, offset from option"
