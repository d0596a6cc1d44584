"""Optics and PSF of a recording from what is given, in the order argument, configuration, file, theory."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from zsdeconv.acquisition.base import Recording
from zsdeconv.config import Config
from zsdeconv.errors import OpticsError
from zsdeconv.image import Image
from zsdeconv.physics.optics import Optics
from zsdeconv.physics.otf import read_otf
from zsdeconv.physics.psf import Psf
from zsdeconv.physics.psf_check import check_sampling
from zsdeconv.physics.psf_file import read_psf
from zsdeconv.physics.psf_theory import theoretical_psf
from zsdeconv.sim.reconstruct import halved_gaussian

MIN_PINHOLE_AU, MAX_PINHOLE_AU = 0.2, 20.0
"""Pinholes that a file is believed, Airy units. Chosen: others are stated in another plane than that of the pinhole."""
NEEDED = {"na": "NA", "wavelength_nm": "emission wavelength"}
"""The two numbers without which no PSF can be computed, and their names in words."""
_LENS = ("na", "wavelength_nm", "immersion_ri")
_FROM_OPTIONS = ("pupil", "sheet_um", "depth_um")
_FROM_KIND = {"confocal": ("pinhole_au", "excitation_nm"), "twophoton": ("excitation_nm",)}
"""What a file may state of a kind of microscope, of those kinds that a file is believed."""
_IMMERSIONS = {"oil": 1.515, "water": 1.333, "waterdipping": 1.333, "air": 1.0, "glycerol": 1.47, "silicone": 1.406}
"""Law: refractive indices of immersions by OME's words, at room temperature and visible light."""


def optics_of(recording: Recording) -> tuple[Optics | None, str]:
    """The optics, None where unknown, and their origin: an argument, else options completed from the file.

    Kind of microscope, pinhole and laser are those of the file where no option says anything about the kind.
    """
    if recording.optics is not None:
        return recording.optics, "argument"
    options, stated = recording.config.optics, dict(_file_metadata(recording))
    values: dict[str, Any] = {name: options.one(name) for name in _LENS}
    origin = "option" if any(value is not None for value in values.values()) else "file"
    values = {name: stated.get(name) if value is None else value for name, value in values.items()}
    if any(values[name] is None for name in NEEDED):
        return None, "nowhere"
    if values["immersion_ri"] is None:
        values["immersion_ri"] = _index_in_words(recording, values["na"])
    kind = {name: options.one(name) for name in ("microscope", "pinhole_au", "excitation_nm", "sample_ri")}
    kind["sample_ri"] = kind["sample_ri"] or stated.get("sample_ri")
    if kind["microscope"] is None and (found := stated.get("microscope")) in _FROM_KIND:
        more = {name: kind[name] or stated.get(name) for name in _FROM_KIND[found]}
        if found == "confocal" and more["pinhole_au"] is None:
            more["pinhole_au"] = _pinhole_au(recording, values)
        if found != "twophoton" or more["excitation_nm"] is not None:
            kind |= {"microscope": found, **more}
            origin = f"{origin}, {found} according to the file"
    kind["microscope"] = kind["microscope"] or Optics.microscope
    return Optics(**values, **kind, **{name: getattr(options, name) for name in _FROM_OPTIONS}), origin


def _index_in_words(recording: Recording, na: float) -> float | None:
    """The refractive index of the immersion that the file names, where such an NA is possible with it."""
    word = str(recording.image.metadata.get("objective", {}).get("immersion", "")).replace(" ", "").lower()
    index = _IMMERSIONS.get(word)
    return index if index is not None and na < index else None


def _pinhole_au(recording: Recording, values: Mapping[str, Any]) -> float | None:
    """Diameter of the pinhole in Airy units: its size over the image of the Airy disc, `1.22 wavelength / NA`, at its magnification.

    The law holds where nothing else magnifies, as in front of a spinning disc. The scan heads of Leica and Zeiss magnify further, by
    factors that no file states: of their pinholes a reader states Airy units or nothing.
    """
    metadata = recording.image.metadata
    pinhole_um, magnification = metadata.get("optics", {}).get("pinhole_um"), metadata.get("objective", {}).get("magnification")
    if pinhole_um is None or magnification is None:
        return None
    pinhole_au = pinhole_um / (1.22e-3 * values["wavelength_nm"] / values["na"] * magnification)
    return pinhole_au if MIN_PINHOLE_AU <= pinhole_au <= MAX_PINHOLE_AU else None


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
    measured, otf = settings.one("psf"), settings.one("otf")
    if measured is not None:
        psf = read_psf(measured, fine_um, pixel_um=settings.psf_pixel_um, z_um=settings.psf_z_um, rank=recording.rank)
        return psf, "PSF file"
    if otf is not None:
        if recording.rank != 2:
            raise OpticsError(f"OTF {otf}: it describes a plane, the image is a stack; give psf with a stack, or the optics")
        return read_otf(otf).psf((fine_um[-2], fine_um[-1])), "OTF file"
    if optics is None:
        raise OpticsError(missing_optics(absent_optics(recording.image, config) or list(NEEDED)))
    psf = theoretical_psf(optics, fine_um)
    if config.sim.reconstructed:
        return halved_gaussian(psf), f"no PSF of the reconstruction given: a Gaussian, optics from {origin}"
    return psf, f"theory, optics from {origin}"


def _file_metadata(recording: Recording) -> Mapping[str, Any]:
    return recording.image.metadata.get("optics", {})


def absent_optics(image: Image, config: Config) -> list[str]:
    """Those of `NEEDED` that neither the options nor the file of an image state; none where a measured PSF, an OTF or the file of a
    pattern replaces them.
    """
    options, stated = config.optics, image.metadata.get("optics", {})
    if options.psf is not None or options.otf is not None or config.sim.parameters is not None:
        return []
    return [name for name in NEEDED if getattr(options, name) is None and stated.get(name) is None]


def missing_optics(absent: Sequence[str]) -> str:
    """What to say where nothing but these names is missing."""
    missing = " and ".join(NEEDED[name] for name in absent)
    return f"{missing} not given, and no measured PSF that would replace the optics; give {' and '.join(absent)}, or psf"
