"""`sim estimate` and `sim reconstruct`: the pattern of structured illumination, and the image made with it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from zsdeconv.cli import options
from zsdeconv.cli.console import depths, show_json, show_rows
from zsdeconv.cli.measure import PLOT_FORMATS
from zsdeconv.errors import ConfigError, ImageError

if TYPE_CHECKING:
    import numpy as np

    from zsdeconv.config import Config
    from zsdeconv.image import Image
    from zsdeconv.sim.estimate import Estimation
    from zsdeconv.sim.patterns import SimParameters

sim = typer.Typer(help="Structured illumination: estimate the pattern, reconstruct the image.")

Raw = Annotated[Path, typer.Argument(metavar="RAW", help="raw frames: directions x phases, of a stack x planes", show_default=False)]


@sim.command("estimate")
def estimate(
    raw: Raw,
    output: Annotated[Path, typer.Option("-o", "--output", metavar="FILE", help="parameters to write (yaml)")],
    plot: Annotated[Path | None, typer.Option("--plot", metavar="FILE", help="picture of the estimation (png, pdf, svg)")] = None,
    na: options.Na = None,
    wavelength_nm: options.WavelengthNm = None,
    immersion_ri: options.ImmersionRi = None,
    excitation_nm: options.ExcitationNm = None,
    otf: options.Otf = None,
    pixel_um: options.PixelUm = None,
    z_um: options.ZUm = None,
    axes: options.Axes = None,
    background: options.Background = None,
    directions: options.Directions = None,
    phases: options.Phases = None,
    order: options.FrameOrder = None,
    angles_deg: options.AnglesDeg = None,
    period_um: options.PeriodUm = None,
    overwrite: options.Overwrite = False,
    json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Measure the illumination pattern on raw frames: wave vectors, modulation depths, phases and frame gains, with their scores.

    With --phases 5 or more, a file of more pages than directions x phases is a stack under three beams; its planes are --z-um
    apart, and --order says how planes, directions and phases follow each other. An --otf of a stack holds three orders.
    """
    settings = options.configuration(options.settings_among(locals()), None)
    from zsdeconv.cli.results import refuse_existing
    from zsdeconv.io import atomic_path
    from zsdeconv.sim.plot import plot_estimation
    from zsdeconv.sim.setup import detection_of, measured_pattern

    if plot is not None and plot.suffix.lower() not in PLOT_FORMATS:
        raise ConfigError(f"plot {plot}: {plot.suffix or 'no ending'}, it must be one of {', '.join(PLOT_FORMATS)}; rename it with --plot")
    refuse_existing([path for path in (output, plot) if path is not None], overwrite)
    image, spacing_um = _read(raw, settings)
    lens = detection_of(settings, image.metadata.get("optics", {}), deep=len(spacing_um) == 3)
    found = measured_pattern(list(image.data), spacing_um, settings, lens, _offset(image.data, settings), file=raw.name)
    with atomic_path(output, overwrite) as temporary:
        temporary.write_text(found.parameters.to_yaml(), encoding="utf-8")
    if plot is not None:
        with atomic_path(plot, overwrite) as temporary:
            plot_estimation(found, temporary)
    if json:
        show_json({"file": str(output)} | _facts(found.parameters))
    elif not quiet:
        show_rows(_rows(found))


@sim.command("reconstruct")
def reconstruct(
    raw: Raw,
    output: Annotated[Path, typer.Option("-o", "--output", metavar="FILE", help="image to write, an OME-TIFF")],
    sim_parameters: options.SimParametersFile = None,
    wiener: options.Wiener = None,
    na: options.Na = None,
    wavelength_nm: options.WavelengthNm = None,
    immersion_ri: options.ImmersionRi = None,
    excitation_nm: options.ExcitationNm = None,
    otf: options.Otf = None,
    pixel_um: options.PixelUm = None,
    z_um: options.ZUm = None,
    axes: options.Axes = None,
    background: options.Background = None,
    directions: options.Directions = None,
    phases: options.Phases = None,
    order: options.FrameOrder = None,
    angles_deg: options.AnglesDeg = None,
    period_um: options.PeriodUm = None,
    overwrite: options.Overwrite = False,
    json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Reconstruct raw frames, linearly, on the twice finer grid: float32, input units above the offset, negative noise kept.

    Planes stay planes, and stacks under three beams (--phases 5, more pages than directions x phases) stacks of as many planes.
    """
    settings = options.configuration(options.settings_among(locals()), None)
    from zsdeconv.cli.results import refuse_existing
    from zsdeconv.io import write
    from zsdeconv.sim.setup import detection_of, measured_pattern, reconstruction, stored_pattern

    refuse_existing([output], overwrite)
    image, spacing_um = _read(raw, settings)
    lens = detection_of(settings, image.metadata.get("optics", {}), deep=len(spacing_um) == 3)
    if settings.sim.parameters is None:
        offset = _offset(image.data, settings)
        parameters = measured_pattern(list(image.data), spacing_um, settings, lens, offset, file=raw.name).parameters
    else:
        parameters = stored_pattern(settings.sim.parameters, spacing_um)
        offset = _offset(image.data, settings, parameters.made_from.get("offset_adu"))
    frames = image.data.astype("float32") - offset
    operator = reconstruction(frames[0], spacing_um, parameters, lens, wiener)
    w = operator.wiener
    provenance = {"sim": _facts(parameters), "wiener": w, "psf": operator.psf().fingerprint, "input": raw.name}
    path = write(output, _reconstructed(frames, operator, image), provenance=provenance, overwrite=overwrite)
    if json:
        show_json({"file": str(path), "wiener": w} | _facts(parameters))
    elif not quiet:
        typer.echo(f"{path}: w {w:.3g}{'' if wiener is not None else ' (from the noise)'}, pixel {operator.fine_um:.4g} um")


def _read(path: Path, settings: Config) -> tuple[Image, tuple[float, ...]]:
    """The raw frames as T P *zyx, and their spacing; with five phases more pages than frames of a plane are a stack."""
    from zsdeconv.sim.patterns import read_parameters
    from zsdeconv.sim.raw_frames import read_frames
    from zsdeconv.sim.setup import layout_of

    known, stored = settings.input, settings.sim.parameters
    image = read_frames(path, layout_of(settings.sim), axes=known.axes, pixel_um=known.pixel_um, z_um=known.z_um)
    measured = {} if stored is None else {"X": read_parameters(stored).pixel_um, "Z": read_parameters(stored).z_um}
    spacing_um = []
    for axis in image.axes.removeprefix("TP"):
        um = image.spacing_um.get(axis, measured.get("X" if axis == "Y" else axis))
        if um is None:
            what, option = ("step between the planes", "--z-um") if axis == "Z" else ("pixel size", "--pixel-um")
            raise ImageError(f"{what} is missing in the file, the OTF depends on it; give {option} (um in the sample)")
        spacing_um.append(float(um))
    return image, tuple(spacing_um)


def _offset(data: np.ndarray, settings: Config, remembered: float | None = None) -> float:
    """The camera's offset (ADU): the number told, else as it is remembered, else measured on the frames."""
    told = settings.input.background
    if isinstance(told, int | float):
        return float(told)
    if isinstance(remembered, int | float):
        return float(remembered)
    from zsdeconv.camera import calibrate

    planes = data.reshape(-1, *data.shape[-2:])
    return float(calibrate(planes[:: -(-len(planes) // 18)]).camera.offset)


def _reconstructed(frames: np.ndarray, operator: Any, image: Image) -> Image:
    """All time points, one after the other."""
    import numpy as np
    import torch

    from zsdeconv.image import Image

    with torch.no_grad():
        done = np.stack([operator(torch.from_numpy(moment)[None])[0, 0].numpy() for moment in frames])
    axes = "ZYX"[-len(operator.fine_spacing_um) :]
    spacing_um = dict(zip(axes, operator.fine_spacing_um, strict=True))
    return Image(
        done[0] if len(done) == 1 else done, axes if len(done) == 1 else f"T{axes}", spacing_um, offset=0.0, metadata=image.metadata
    )


def _facts(parameters: SimParameters) -> dict[str, Any]:
    """The parameters as plain values."""
    import yaml

    return yaml.safe_load(parameters.to_yaml())


def _rows(found: Estimation) -> list[tuple[str, str]]:
    rows = [
        (
            f"direction {number}",
            f"{direction.angle_deg:.2f} degrees, period {direction.finest_um:.4f} um, depth {depths(peak.depths)}, "
            f"phase {direction.phase_rad:+.2f} rad, score {peak.score:.1f} (limit {peak.limit:.1f})",
        )
        for number, (direction, peak) in enumerate(zip(found.parameters.directions, found.peaks, strict=True), 1)
    ]
    gains = [gain for direction in found.parameters.directions for gain in direction.gains]
    return [*rows, ("frame gains", f"{min(gains):.3f} to {max(gains):.3f}")]
