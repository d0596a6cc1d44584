"""Options that several verbs share: one name, one unit, one help text each, and the setting that each one gives."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

Inputs = Annotated[
    list[Path], typer.Argument(metavar="INPUT...", help="image files (OME-TIFF, ImageJ or plain TIFF, MRC, DV)", show_default=False)
]
Axes = Annotated[str | None, typer.Option("--axes", metavar="LETTERS", help="axes of the input, such as TYX [default: from the file]")]
PixelUm = Annotated[float | None, typer.Option("--pixel-um", help="pixel size in the sample, micrometres [default: from the file]")]
Background = Annotated[str | None, typer.Option("--background", metavar="ADU", help="camera offset, ADU [default: auto]")]

Na = Annotated[float | None, typer.Option("--na", help="numerical aperture of the objective [default: from the file]")]
WavelengthNm = Annotated[float | None, typer.Option("--wavelength-nm", help="emission wavelength, nanometres [default: from the file]")]
ImmersionRi = Annotated[
    float | None, typer.Option("--immersion-ri", help="refractive index of the immersion [default: the lowest usual one above the NA]")
]
Pupil = Annotated[
    str | None, typer.Option("--pupil", help="model of the objective: scalar, or vectorial (exact at high NA) [default: scalar]")
]
Psf = Annotated[Path | None, typer.Option("--psf", metavar="FILE", help="measured PSF instead of theory")]
Otf = Annotated[Path | None, typer.Option("--otf", metavar="FILE", help="measured OTF (.mrc) instead of theory")]
PsfPixelUm = Annotated[
    float | None, typer.Option("--psf-pixel-um", help="pixel size of the PSF file, micrometres [default: from the file]")
]

Modality = Annotated[str | None, typer.Option("--modality", help="auto or 2d [default: auto]")]
Preset = Annotated[str | None, typer.Option("--preset", help="fast, paper (as published) or quality (wants a GPU) [default: fast]")]
ConfigFile = Annotated[Path | None, typer.Option("--config", metavar="FILE", help="settings from a YAML file; options win")]
Scale = Annotated[int | None, typer.Option("--scale", help="2 halves the pixel size, 1 keeps it [default: 2]")]
Steps = Annotated[int | None, typer.Option("--steps", help="training budget in steps [default: of the preset]")]
Minutes = Annotated[float | None, typer.Option("--minutes", help="training budget in minutes")]
Device = Annotated[str | None, typer.Option("--device", help="auto, cpu, cuda or mps [default: auto]")]
Seed = Annotated[int | None, typer.Option("--seed", help="same seed, same bits (on a CPU) [default: 0]")]

Tile = Annotated[int | None, typer.Option("--tile", help="side of the tiles in pixels [default: as memory allows]")]
Overlap = Annotated[int | None, typer.Option("--overlap", help="pixels that tiles share [default: what network and PSF see]")]
Batch = Annotated[int | None, typer.Option("--batch", help="tiles at a time [default: 1]")]
Passes = Annotated[int | None, typer.Option("--passes", help="averaged re-corrupted passes, 0 for none [default: of the preset]")]

DryRun = Annotated[bool, typer.Option("--dry-run", help="check everything and show the settings, train nothing")]
Resume = Annotated[bool, typer.Option("--resume", help="continue an interrupted training")]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="replace existing results")]
Json = Annotated[bool, typer.Option("--json", help="print one JSON object on standard output")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="no progress and no summary; errors and warnings only")]

SETTINGS = {
    "modality": "modality",
    "preset": "preset",
    "scale": "scale",
    "device": "device",
    "seed": "seed",
    "axes": "input.axes",
    "pixel_um": "input.pixel_um",
    "background": "input.background",
    "na": "optics.na",
    "wavelength_nm": "optics.wavelength_nm",
    "immersion_ri": "optics.immersion_ri",
    "pupil": "optics.pupil",
    "psf": "optics.psf",
    "otf": "optics.otf",
    "psf_pixel_um": "optics.psf_pixel_um",
    "steps": "training.steps",
    "minutes": "training.minutes",
    "tile": "prediction.tile",
    "overlap": "prediction.overlap",
    "batch": "prediction.batch",
    "passes": "prediction.passes",
}
"""Where in the configuration an option goes."""


def as_settings(given: Mapping[str, Any]) -> dict[str, Any]:
    """The options of a verb (names and values of its parameters, others ignored) as nested settings.

    >>> as_settings({"na": 1.4, "scale": 1, "steps": None, "json": True})
    {'scale': 1, 'optics': {'na': 1.4}}
    """
    settings: dict[str, Any] = {}
    for name, key in SETTINGS.items():
        value = given.get(name)
        if value is not None:
            section, _, leaf = key.rpartition(".")
            (settings.setdefault(section, {}) if section else settings)[leaf] = str(value) if isinstance(value, Path) else value
    return settings
