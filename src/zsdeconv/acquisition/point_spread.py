"""Optics and PSF of a recording from what is given, in the order argument, configuration, file, theory."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from zsdeconv.acquisition.base import Recording
from zsdeconv.errors import OpticsError
from zsdeconv.physics.optics import Optics
from zsdeconv.physics.otf import read_otf
from zsdeconv.physics.psf import Psf
from zsdeconv.physics.psf_check import check_sampling
from zsdeconv.physics.psf_file import read_psf
from zsdeconv.physics.psf_theory import theoretical_psf
from zsdeconv.sim.reconstruct import halved_gaussian

NEEDED = {"na": "NA", "wavelength_nm": "emission wavelength"}
"""The two numbers without which no PSF can be computed, and their names in words."""
_FROM_FILE = ("na", "wavelength_nm", "immersion_ri")
_FROM_OPTIONS = ("pupil", "microscope", "sheet_um", "pinhole_au", "excitation_nm", "sample_ri", "depth_um")


def optics_of(recording: Recording) -> tuple[Optics | None, str]:
    """The optics, None where unknown, and their origin: an argument, else options completed from the file."""
    if recording.optics is not None:
        return recording.optics, "argument"
    options = recording.config.optics
    values = {name: getattr(options, name) for name in _FROM_FILE}
    origin = "option" if any(value is not None for value in values.values()) else "file"
    values = {name: _file_metadata(recording).get(name) if value is None else value for name, value in values.items()}
    if any(values[name] is None for name in NEEDED):
        return None, "nowhere"
    return Optics(**values, **{name: getattr(options, name) for name in _FROM_OPTIONS}), origin


def given_psf(recording: Recording, optics: Optics | None, origin: str) -> tuple[Psf, str]:
    """The PSF on the fine grid, and where it came from: an argument, a PSF or OTF file, or the theory of the optics.

    Raises `OpticsError` where none of them is given.
    """
    config, fine_um = recording.config, recording.fine_um
    settings = config.optics
    if optics is not None:
        check_sampling(optics, recording.spacing_um[-1], config.scale)
    if recording.psf is not None:
        recording.psf.require_rank(recording.rank)
        return recording.psf.resampled(fine_um), "argument"
    if settings.psf is not None:
        psf = read_psf(settings.psf, fine_um, pixel_um=settings.psf_pixel_um, z_um=settings.psf_z_um, rank=recording.rank)
        return psf, "PSF file"
    if settings.otf is not None:
        if recording.rank != 2:
            raise OpticsError(f"OTF {settings.otf}: it describes a plane, the image is a stack; give psf with a stack, or the optics")
        return read_otf(settings.otf).psf((fine_um[-2], fine_um[-1])), "OTF file"
    if optics is None:
        raise OpticsError(_missing(recording))
    psf = theoretical_psf(optics, fine_um)
    if config.sim.reconstructed:
        return halved_gaussian(psf), f"no PSF of the reconstruction given: a Gaussian, optics from {origin}"
    return psf, f"theory, optics from {origin}"


def _file_metadata(recording: Recording) -> Mapping[str, Any]:
    return recording.image.metadata.get("optics", {})


def _missing(recording: Recording) -> str:
    options, stated = recording.config.optics, _file_metadata(recording)
    absent = [name for name in NEEDED if getattr(options, name) is None and stated.get(name) is None]
    missing = " and ".join(NEEDED[name] for name in absent)
    return f"{missing} not given, no PSF either: one of the two is needed; give {' and '.join(absent)}, or psf"
