"""From images and settings to what a training needs: frames, pixel size, camera, acquisition, kind of pairs."""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from zsdeconv.acquisition.base import Acquisition, Recording
from zsdeconv.camera.calibrate import Calibration
from zsdeconv.camera.defects import Defects, clean, filled, find_defects, known_part, told
from zsdeconv.camera.frames import calibrate_frames
from zsdeconv.camera.odd_frames import find_odd_frames
from zsdeconv.config import Config
from zsdeconv.config.relevance import Facts, refuse_idle
from zsdeconv.data.pair_choice import MIN_SLICES, PairChoice, choose_pairs, neighbour_difference, pairs_by_law
from zsdeconv.errors import ConfigError, DataWarning, ImageError
from zsdeconv.image import Image
from zsdeconv.io.checks import check_restorable
from zsdeconv.modality import Modality, select
from zsdeconv.physics.optics import Optics
from zsdeconv.physics.psf import Psf
from zsdeconv.training.networks import network_kind

SPACING_LIMITS_UM = (0.001, 10.0)
"""Pixel sizes in the sample that a fluorescence microscope can have. Chosen: beyond, a unit was mistaken."""
SPACING_TOLERANCE = 1.02
"""Ratio of the pixel sizes of files up to which they train one model. Chosen: more changes the width of the PSF visibly."""
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
            "optics": None if optics is None else {"na": optics.na, "wavelength_nm": optics.wavelength_nm, "ri": optics.ri},
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
    modality, config, images = select(config, images)
    for image in images:
        check_restorable(image)
    spacing_um, sources = _spacing(images, config, modality)
    frames, defects, odd_frames = _ordinary([modality.frames_of(image) for image in images])
    frames, calibration, left_out = _clean(frames, defects, config)
    upsampling = modality.factors(config.scale)
    recording = Recording(images[0], frames, spacing_um, upsampling, calibration, config, optics, psf)
    acquisition, origins = modality.acquisition.prepare(recording)
    frames = acquisition.steadied(frames)
    pairs = _pairs(recording, modality, acquisition)
    acquisition.splits = pairs.kind == "split"
    config = config.model_copy(update={"pairs": config.pairs.model_copy(update={"kind": pairs.kind})})
    refuse_idle(Facts(config, modality.rank, modality.acquisition.settings | network_kind(config).settings), modality.presets)
    sources |= origins | {
        "camera": "image" if config.input.background == "auto" else "image, offset from option",
        "detector": calibration.detector_source,
        "pairs": pairs.reason,
        **({"left_out": left_out} if left_out else {}),
        **({"odd_frames": "; ".join(odd_frames)} if odd_frames else {}),
    }
    return Prepared(config, modality, frames, spacing_um, acquisition, calibration, sources)


def _spacing(images: Sequence[Image], config: Config, modality: Modality) -> tuple[tuple[float, ...], dict[str, str]]:
    """Pixel size along each spatial axis: from the option, else from the files, which must agree."""
    given = {axis: config.input.z_um if axis == "Z" else config.input.pixel_um for axis in modality.spatial_axes}
    spacing = []
    for axis in modality.spatial_axes:
        sizes = [image.spacing_um[axis] for image in images if axis in image.spacing_um]
        name = "z_um" if axis == "Z" else "pixel_um"
        if given[axis] is None and not sizes:
            raise ImageError(f"pixel size along {axis} is missing in the file, the PSF depends on it; give {name} (um in the sample)")
        if given[axis] is None and max(sizes) > SPACING_TOLERANCE * min(sizes):
            differing = f"pixel sizes {min(sizes):g} and {max(sizes):g} um along {axis}"
            raise ImageError(f"{differing}: one model needs one; restore the files separately")
        spacing.append(float(given[axis] or sizes[0]))
        if not SPACING_LIMITS_UM[0] <= spacing[-1] <= SPACING_LIMITS_UM[1]:
            limits = " and ".join(f"{um:g}" for um in SPACING_LIMITS_UM)
            raise ImageError(f"pixel size {spacing[-1]:g} um along {axis}: it must lie between {limits} um; give {name}, 0.065 for 65 nm")
    source = images[0].metadata.get("sources", {}).get("pixel_um", "image")
    return tuple(spacing), {"pixel_um": "option" if config.input.pixel_um is not None else str(source)}


def _pairs(recording: Recording, modality: Modality, acquisition: Acquisition) -> PairChoice:
    """The kind of pairs: as given, or chosen by the law of the detector; of the published networks and correlated noise by the slices."""
    config, calibration, optics = recording.config, recording.calibration, acquisition.optics
    given = config.pairs.kind
    if given == "interleave" and given not in modality.pairs:
        raise ConfigError("`pairs=interleave`: it takes every other plane of a stack, the images are single planes; leave it out")
    if given == "recorrupt":
        return PairChoice("recorrupt", "re-corrupted pairs, as given")
    if given == "split":
        _refuse_split(modality, calibration)
        return PairChoice("split", "split pairs, as given")
    if given == "auto" and network_kind(config).learns_from_recorruption and not calibration.correlated:
        choice = pairs_by_law(calibration.camera, _peak_adu(recording))
        return choice if modality.acquisition.divides else PairChoice("recorrupt", "re-corrupted pairs: noise of raw frames, reconstructed")
    if "interleave" not in modality.pairs:
        return PairChoice("recorrupt", "re-corrupted pairs")
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
    if calibration.camera.gain <= 0:
        raise ConfigError("`pairs=split`: the gain is 0, there are no electrons to divide; leave out `pairs`")


def _ordinary(series: Sequence[Sequence[np.ndarray]]) -> tuple[list[np.ndarray], list[Defects], list[str]]:
    """The frames of all series that others can learn from, their pixels without data, and the frames that were left out, in words."""
    frames: list[np.ndarray] = []
    defects: list[Defects] = []
    words: list[str] = []
    for number, each in enumerate(series, 1):
        found = [find_defects(frame) for frame in each]
        odd = find_odd_frames([filled(frame, where) for frame, where in zip(each, found, strict=True)])
        words += [f"image {number}, {text}" if len(series) > 1 else text for text in odd.words]
        frames += [each[n] for n in odd.ordinary]
        defects += [found[n] for n in odd.ordinary]
    for text in words:
        warnings.warn(text, DataWarning, stacklevel=3)
    return frames, defects, words


def _clean(frames: Sequence[np.ndarray], defects: Sequence[Defects], config: Config) -> tuple[list[np.ndarray], Calibration, str]:
    """The frames with pixels without data filled as the detector would have recorded them, the detector, and what was filled, in words.

    Areas without data are left out of the calibration.
    """
    known = []
    for frame, each in zip(frames, defects, strict=True):
        rows, columns = known_part(frame, each.areas)
        known.append(filled(frame, each)[..., rows, columns])
    calibration = _calibration(known, config)
    left_out = told(defects)
    if left_out:
        warnings.warn(f"{left_out} were found, left out, and restored from their surroundings", DataWarning, stacklevel=3)
    return clean(frames, calibration.camera, defects)[0], calibration, left_out


def _calibration(frames: Sequence[np.ndarray], config: Config) -> Calibration:
    """The camera; the messages of its calibration become warnings."""
    background = config.input.background
    calibration = calibrate_frames(frames, None if background == "auto" else float(background), config.input.detector)
    for message in calibration.messages:
        warnings.warn(message, DataWarning, stacklevel=2)
    return calibration
