"""Options that several verbs share: one name, one unit, one help text each; and the configuration that they make."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from zsdeconv.errors import ConfigError

if TYPE_CHECKING:
    from zsdeconv.config import Config

Inputs = Annotated[
    list[Path], typer.Argument(metavar="INPUT...", help="image files (OME-TIFF, ImageJ or plain TIFF, MRC, DV)", show_default=False)
]
Axes = Annotated[str | None, typer.Option("--axes", metavar="LETTERS", help="axes of the input, such as TYX [default: from the file]")]
PixelUm = Annotated[float | None, typer.Option("--pixel-um", help="pixel size in the sample, micrometres [default: from the file]")]
ZUm = Annotated[float | None, typer.Option("--z-um", help="step between the planes of a stack, micrometres [default: from the file]")]
Background = Annotated[str | None, typer.Option("--background", metavar="ADU", help="camera offset, ADU [default: auto]")]

Na = Annotated[float | None, typer.Option("--na", help="numerical aperture of the objective [default: from the file]")]
WavelengthNm = Annotated[float | None, typer.Option("--wavelength-nm", help="emission wavelength, nanometres [default: from the file]")]
ImmersionRi = Annotated[
    float | None, typer.Option("--immersion-ri", help="refractive index of the immersion [default: the lowest usual one above the NA]")
]
Pupil = Annotated[
    str | None, typer.Option("--pupil", help="model of the objective: scalar, or vectorial (exact at high NA) [default: scalar]")
]
Microscope = Annotated[
    str | None, typer.Option("--microscope", help="widefield, confocal, twophoton, lightsheet or lattice [default: widefield]")
]
SheetUm = Annotated[
    float | None, typer.Option("--sheet-um", help="half thickness of the light sheet, where it has fallen to 1/e^2, micrometres")
]
PinholeAu = Annotated[float | None, typer.Option("--pinhole-au", help="confocal: diameter of the pinhole, Airy units [default: 1]")]
ExcitationNm = Annotated[
    float | None,
    typer.Option("--excitation-nm", help="laser, nanometres [default: 0.93 x emission; two-photon none]"),
]
SampleRi = Annotated[float | None, typer.Option("--sample-ri", help="refractive index of the sample [default: that of the immersion]")]
DepthUm = Annotated[float | None, typer.Option("--depth-um", help="depth of the object below the cover glass, micrometres [default: 0]")]
Psf = Annotated[Path | None, typer.Option("--psf", metavar="FILE", help="measured PSF instead of theory")]
Otf = Annotated[Path | None, typer.Option("--otf", metavar="FILE", help="measured OTF (.mrc) instead of theory")]
PsfPixelUm = Annotated[
    float | None, typer.Option("--psf-pixel-um", help="pixel size of the PSF file, micrometres [default: from the file]")
]
PsfZUm = Annotated[
    float | None, typer.Option("--psf-z-um", help="step between planes of the PSF file, micrometres [default: from the file]")
]

Modality = Annotated[
    str | None, typer.Option("--modality", help="auto, 2d, 3d, or sim2d and sim3d for raw frames of structured light [default: auto]")
]
Pairs = Annotated[
    str | None, typer.Option("--pairs", help="auto, recorrupt (add noise), or interleave (odd and even planes of a stack) [default: auto]")
]
Directions = Annotated[int | None, typer.Option("--directions", help="SIM: directions of the pattern [default: 3]")]
Phases = Annotated[int | None, typer.Option("--phases", help="SIM: phases of each direction [default: 3; of a stack under three beams 5]")]
FrameOrder = Annotated[
    str | None,
    typer.Option(
        "--order",
        help="SIM: what changes slowest, first: direction-phase (all phases of a direction, then the next) or phase-direction; of a stack "
        "also direction-z-phase, z-direction-phase ... [default: direction-phase, plane by plane]",
    ),
]
AnglesDeg = Annotated[
    str | None,
    typer.Option("--angles-deg", metavar="A,B,C", help="SIM: about how the wave vectors lie, degrees from +x towards +y (down)"),
]
PeriodUm = Annotated[float | None, typer.Option("--period-um", help="SIM: about how far the finest stripes are apart, micrometres")]
SimParametersFile = Annotated[
    Path | None, typer.Option("--sim-parameters", metavar="FILE", help="SIM: from `sim estimate` [default: estimated on the frames]")
]
PerFrame = Annotated[bool | None, typer.Option("--per-frame", help="SIM: measure the pattern anew at each time, for stripes that drift")]
Reconstructed = Annotated[
    bool | None, typer.Option("--reconstructed", help="SIM: a stack that is reconstructed already; --psf is the PSF of its reconstruction")
]
Wiener = Annotated[
    float | None,
    typer.Option("--wiener", metavar="W", help="SIM: 0.1 for bright, 0.4 for dim frames, of stacks a tenth [default: from the noise]"),
]
Preset = Annotated[str | None, typer.Option("--preset", help="fast, paper (as published) or quality (wants a GPU) [default: fast]")]
ConfigFile = Annotated[Path | None, typer.Option("--config", metavar="FILE", help="settings from a YAML file; options win")]
Scale = Annotated[int | None, typer.Option("--scale", help="2 halves the pixel size, 1 keeps it [default: 2]")]
Steps = Annotated[int | None, typer.Option("--steps", help="training budget in steps [default: of the preset]")]
Minutes = Annotated[float | None, typer.Option("--minutes", help="training budget in minutes")]
Ensemble = Annotated[
    int | None,
    typer.Option("--ensemble", metavar="N", help="train N networks, each with the whole budget, and restore with all [default: 1]"),
]
Device = Annotated[str | None, typer.Option("--device", help="auto, cpu, cuda or mps [default: auto]")]
Seed = Annotated[int | None, typer.Option("--seed", help="same seed, same bits (on a CPU) [default: 0]")]

Tile = Annotated[int | None, typer.Option("--tile", help="side of the tiles in pixels [default: as memory allows]")]
Overlap = Annotated[int | None, typer.Option("--overlap", help="pixels that tiles share [default: what network and PSF see]")]
Batch = Annotated[int | None, typer.Option("--batch", help="tiles at a time [default: 1]")]
Passes = Annotated[int | None, typer.Option("--passes", help="averaged re-corrupted passes, 0 for none [default: of the preset]")]

StripesAlong = Annotated[
    str | None, typer.Option("--stripes", metavar="X|Y", help="damp stripes that run along this axis; takes real lines, too [default: off]")
]
StripeWidthUm = Annotated[float | None, typer.Option("--stripe-width-um", help="widest stripe, micrometres [default: 1]")]
StripeLengthUm = Annotated[float | None, typer.Option("--stripe-length-um", help="shortest stripe, micrometres [default: 10]")]

ReportWanted = Annotated[
    bool | None, typer.Option("--report/--no-report", help="say how far to trust the result; takes about a minute [default: --report]")
]
DryRun = Annotated[bool, typer.Option("--dry-run", help="check everything and show the settings, train nothing")]
Resume = Annotated[bool, typer.Option("--resume", help="continue an interrupted training")]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="replace existing results")]
Json = Annotated[bool, typer.Option("--json", help="print one JSON object on standard output")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="no progress and no summary; errors and warnings only")]


def configuration(given: Mapping[str, Any], file: Path | None) -> Config:
    """The configuration from options (by name, None: not given) and a YAML file.

    Raises `ConfigError` that names the option to mend, where it was an option.

    >>> configuration({"na": 1.4, "background": "auto", "steps": None}, None).optics.na
    1.4
    """
    from zsdeconv.config import as_settings, read_config, resolve

    options = {name: _absolute(value) for name, value in given.items()}
    options["background"] = adu_or_auto(options.get("background"))
    options["angles_deg"] = degrees(options.get("angles_deg"))
    try:
        config = resolve(as_settings(options), None if file is None else read_config(file))
    except ConfigError as fault:
        raise _naming_the_option(fault, options) from None
    for name in ("psf_pixel_um", "psf_z_um"):
        um = getattr(config.optics, name)
        if um is not None and config.optics.psf is None:
            lone = f"--{name.replace('_', '-')} {um:g} without a PSF file"
            raise ConfigError(f"{lone}: there is nothing that it describes; give --psf too, or leave it out")
    for name in ("stripe_width_um", "stripe_length_um"):
        if given.get(name) is not None and config.prediction.destripe is None:
            lone = f"--{name.replace('_', '-')} {given[name]:g} without --stripes"
            raise ConfigError(f"{lone}: nothing is damped; give --stripes X or Y, or leave it out")
    return config


def settings_among(given: Mapping[str, Any]) -> dict[str, Any]:
    """The options that are settings, of all parameters of a verb."""
    from zsdeconv.config import SETTINGS

    return {name: value for name, value in given.items() if name in SETTINGS}


def adu_or_auto(text: str | None) -> float | str | None:
    """The value of --background: a number of ADU, or "auto"."""
    if text is None or text.lower() == "auto":
        return text and "auto"
    try:
        return float(text)
    except ValueError:
        raise ConfigError(f"--background {text}: neither a number of ADU nor auto; give one of them") from None


def degrees(text: str | None) -> tuple[float, ...] | None:
    """The value of --angles-deg: degrees with commas between them."""
    if text is None:
        return None
    try:
        return tuple(float(word) for word in text.split(","))
    except ValueError:
        raise ConfigError(
            f"--angles-deg {text}: numbers of degrees with commas are needed; give for example --angles-deg 10,70,130"
        ) from None


def _absolute(value: Any) -> Any:
    """Paths as they hold from any folder, so that a saved configuration repeats the run from there."""
    return str(value.absolute()) if isinstance(value, Path) else value


def _naming_the_option(fault: ConfigError, options: Mapping[str, Any]) -> ConfigError:
    """The same complaint about the option that the user typed, rather than about the key it sets."""
    from zsdeconv.config import SETTINGS

    for name, key in SETTINGS.items():
        if options.get(name) is not None and str(fault).startswith(f"{key} = "):
            option = f"--{name.replace('_', '-')}"
            complaint = str(fault).removeprefix(f"{key} = ").partition("; correct it")[0]
            return ConfigError(f"{option} {complaint}; give another {option}")
    return fault
