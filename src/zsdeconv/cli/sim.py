"""`sim estimate` and `sim reconstruct`: the pattern of structured illumination, and the image made with it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from zsdeconv.cli import options
from zsdeconv.cli.console import show_json, show_rows
from zsdeconv.cli.measure import PLOT_FORMATS
from zsdeconv.errors import ConfigError, ImageError, OpticsError

if TYPE_CHECKING:
    import numpy as np

    from zsdeconv.image import Image
    from zsdeconv.sim.detection import DeepDetection, Detection
    from zsdeconv.sim.estimate import Estimation
    from zsdeconv.sim.patterns import Layout, SimParameters

sim = typer.Typer(help="Structured illumination: estimate the pattern, reconstruct the image.")

Raw = Annotated[Path, typer.Argument(metavar="RAW", help="raw frames: directions x phases, of a stack x planes", show_default=False)]
Directions = Annotated[int | None, typer.Option("--directions", help="directions of the pattern [default: 3]")]
Phases = Annotated[int | None, typer.Option("--phases", help="phases of each direction; a stack under three beams has 5 [default: 3]")]
FrameOrder = Annotated[
    str | None,
    typer.Option(
        "--order",
        help="what changes slowest, first: direction-phase (all phases of a direction, then the next) or phase-direction; of a stack also "
        "direction-z-phase, z-direction-phase ... [default: direction-phase, plane by plane]",
    ),
]
AnglesDeg = Annotated[
    str | None, typer.Option("--angles-deg", metavar="A,B,C", help="about how the wave vectors lie, degrees from +x towards +y (down)")
]
PeriodUm = Annotated[float | None, typer.Option("--period-um", help="about how far the finest stripes are apart, micrometres")]
ExcitationNm = Annotated[
    float | None, typer.Option("--excitation-nm", help="laser, nanometres; of stacks [default: 0.93 x --wavelength-nm]")
]
LAYOUT = ("directions", "phases", "order")
FOUND = ("angles_deg", "period_um")
OPTICS = ("na", "wavelength_nm", "immersion_ri", "excitation_nm", "otf")


@sim.command("estimate")
def estimate(
    raw: Raw,
    output: Annotated[Path, typer.Option("-o", "--output", metavar="FILE", help="parameters to write (yaml)")],
    plot: Annotated[Path | None, typer.Option("--plot", metavar="FILE", help="picture of the estimation (png, pdf, svg)")] = None,
    na: options.Na = None,
    wavelength_nm: options.WavelengthNm = None,
    immersion_ri: options.ImmersionRi = None,
    excitation_nm: ExcitationNm = None,
    otf: options.Otf = None,
    pixel_um: options.PixelUm = None,
    z_um: options.ZUm = None,
    axes: options.Axes = None,
    background: options.Background = None,
    directions: Directions = None,
    phases: Phases = None,
    order: FrameOrder = None,
    angles_deg: AnglesDeg = None,
    period_um: PeriodUm = None,
    overwrite: options.Overwrite = False,
    json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Measure the illumination pattern on raw frames: wave vectors, modulation depths, phases and frame gains, with their scores.

    With --phases 5 or more, a file of more pages than directions x phases is a stack under three beams; its planes are --z-um
    apart, and --order says how planes, directions and phases follow each other. An --otf of a stack holds three orders.
    """
    given = locals()
    from zsdeconv.cli.results import refuse_existing
    from zsdeconv.io import atomic_path
    from zsdeconv.sim.plot import plot_estimation

    if plot is not None and plot.suffix.lower() not in PLOT_FORMATS:
        raise ConfigError(f"plot {plot}: {plot.suffix or 'no ending'}, it must be one of {', '.join(PLOT_FORMATS)}; rename it with --plot")
    refuse_existing([path for path in (output, plot) if path is not None], overwrite)
    layout = _layout(given)
    image = _read(raw, given, layout)
    found = _estimated(image, layout, given)
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
    sim_parameters: Annotated[
        Path | None, typer.Option("--sim-parameters", metavar="FILE", help="from `sim estimate` [default: estimated on RAW]")
    ] = None,
    wiener: Annotated[
        float | None,
        typer.Option("--wiener", metavar="W", help="about 0.1 for bright, 0.4 for dim frames, a tenth of stacks [default: from the noise]"),
    ] = None,
    na: options.Na = None,
    wavelength_nm: options.WavelengthNm = None,
    immersion_ri: options.ImmersionRi = None,
    excitation_nm: ExcitationNm = None,
    otf: options.Otf = None,
    pixel_um: options.PixelUm = None,
    z_um: options.ZUm = None,
    axes: options.Axes = None,
    background: options.Background = None,
    directions: Directions = None,
    phases: Phases = None,
    order: FrameOrder = None,
    angles_deg: AnglesDeg = None,
    period_um: PeriodUm = None,
    overwrite: options.Overwrite = False,
    json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Reconstruct raw frames, linearly, on the twice finer grid: float32, input units above the offset, negative noise kept.

    Planes stay planes, and stacks under three beams (--phases 5, more pages than directions x phases) stacks of as many planes.
    """
    given = locals()
    from zsdeconv.cli.results import refuse_existing
    from zsdeconv.io import write
    from zsdeconv.sim.reconstruct import Reconstruct
    from zsdeconv.sim.wiener import choose_wiener

    refuse_existing([output], overwrite)
    image, parameters = _with_parameters(raw, given)
    detection, _ = _detection(image, given | _remembered(parameters, given))
    frames = image.data.astype("float32") - float(parameters.made_from["offset_adu"])
    w = choose_wiener(frames[0], parameters, detection, parameters.pixel_um) if wiener is None else wiener
    operator = Reconstruct(parameters, detection, parameters.pixel_um, w)
    provenance = {"sim": _facts(parameters), "wiener": w, "psf": operator.psf().fingerprint, "input": raw.name}
    path = write(output, _reconstructed(frames, operator, image), provenance=provenance, overwrite=overwrite)
    if json:
        show_json({"file": str(path), "wiener": w} | _facts(parameters))
    elif not quiet:
        typer.echo(f"{path}: w {w:.3g}{'' if wiener is not None else ' (from the noise)'}, pixel {operator.fine_um:.4g} um")


def _with_parameters(raw: Path, given: Mapping[str, Any]) -> tuple[Image, SimParameters]:
    """The raw frames, with parameters from the file given or else from themselves."""
    from zsdeconv.sim.patterns import read_parameters

    if given["sim_parameters"] is None:
        layout = _layout(given)
        image = _read(raw, given, layout)
        return image, _estimated(image, layout, given).parameters
    idle = [f"--{name.replace('_', '-')}" for name in (*LAYOUT, *FOUND) if given[name] is not None]
    if idle:
        raise ConfigError(f"{idle[0]} beside --sim-parameters, which holds it: one of the two is used; leave out {idle[0]}")
    parameters = read_parameters(given["sim_parameters"])
    image = _read(raw, given, parameters.layout)
    for axis, known, what, option in (("X", parameters.pixel_um, "pixel", "--pixel-um"), ("Z", parameters.z_um, "step in z", "--z-um")):
        um = image.spacing_um.get(axis, known)
        if known is not None and um is not None and abs(um / known - 1) > 0.01:
            sizes = f"{what} {um:g} um, the parameters in {given['sim_parameters']} were measured at {known:g} um"
            raise ConfigError(f"{sizes} (limit 1 % off); check {option}, or estimate them again")
    return image, _with_offset(parameters, image, given)


def _with_offset(parameters: SimParameters, image: Image, given: Mapping[str, Any]) -> SimParameters:
    """Parameters that know the offset of these frames: as told, else as it was when they were measured, else from the frames."""
    from dataclasses import replace

    told = options.adu_or_auto(given["background"])
    known = parameters.made_from.get("offset_adu")
    offset = known if told is None and isinstance(known, int | float) else _offset(image.data, told)
    return replace(parameters, made_from={**parameters.made_from, "offset_adu": float(offset)})


def _remembered(parameters: SimParameters, given: Mapping[str, Any]) -> dict[str, Any]:
    """The optics that the parameters were measured with, where the options say nothing about them."""
    if any(given[name] is not None for name in OPTICS):
        return {}
    optics = parameters.made_from.get("optics")
    return {name: optics.get(name) for name in OPTICS} if isinstance(optics, Mapping) else {}


def _estimated(image: Image, layout: Layout, given: Mapping[str, Any]) -> Estimation:
    """The estimation on an image (T P *zyx), its mean over time; its messages become warnings."""
    import numpy as np

    from zsdeconv._version import __version__
    from zsdeconv.sim.estimate import estimate_parameters, warn
    from zsdeconv.sim.guess import Guess

    if "X" not in image.spacing_um:
        raise ImageError("pixel size is missing in the file, the OTF depends on it; give --pixel-um (um in the sample)")
    if "Z" in image.axes and "Z" not in image.spacing_um:
        raise ImageError("step between the planes is missing in the file, the OTF depends on it; give --z-um (um from plane to plane)")
    detection, optics = _detection(image, given)
    offset = _offset(image.data, options.adu_or_auto(given["background"]))
    guess = Guess(_angles(given["angles_deg"]), given["period_um"])
    made_from = {
        "program": f"zsdeconv {__version__}",
        "file": str(image.metadata.get("name", "")),
        "optics": optics,
        "offset_adu": offset,
        "guess": {name: given[name] for name in FOUND if given[name] is not None},
    }
    frames = image.data[0] if len(image.data) == 1 else image.data.mean(0, dtype=np.float64)
    um, z_um = image.spacing_um["X"], image.spacing_um.get("Z")
    found = estimate_parameters(frames, um, detection, layout, offset=offset, guess=guess, made_from=made_from, z_um=z_um)
    warn(found.messages)
    return found


def _offset(data: np.ndarray, told: float | str | None) -> float:
    """The camera's offset (ADU): the number told, or measured on the frames."""
    if isinstance(told, float):
        return told
    from zsdeconv.noise import calibrate

    planes = data.reshape(-1, *data.shape[-2:])
    return float(calibrate(planes[:: -(-len(planes) // 18)]).camera.offset)


def _detection(image: Image, given: Mapping[str, Any]) -> tuple[Detection | DeepDetection, dict[str, Any]]:
    """The detection, and the numbers or the file that it came from: options first, then the image's metadata."""
    from zsdeconv.physics.optics import Optics
    from zsdeconv.physics.otf import read_deep_otf, read_otf
    from zsdeconv.sim.detection import deep_detection_of, detection_of

    deep, excitation_nm = "Z" in image.axes, given["excitation_nm"]
    if excitation_nm is not None and not deep:
        raise ConfigError(f"--excitation-nm {excitation_nm:g}: only the planes of a stack tell it; leave it out, or give --phases 5")
    names = ("na", "wavelength_nm", "immersion_ri")
    if given["otf"] is not None:
        both = [f"--{name.replace('_', '-')}" for name in (*names, "excitation_nm") if given[name] is not None]
        if both:
            raise ConfigError(f"--otf and {both[0]}: the detection has one OTF, measured or from theory; leave out one of them")
        detection = deep_detection_of(read_deep_otf(given["otf"])) if deep else detection_of(read_otf(given["otf"]))
        return detection, {"otf": str(Path(given["otf"]).absolute())}
    stated = image.metadata.get("optics", {})
    values = {name: stated.get(name) if given[name] is None else given[name] for name in names}
    missing = [f"--{name.replace('_', '-')}" for name in names[:2] if values[name] is None]
    if missing:
        raise OpticsError(
            f"{' and '.join(missing)} not given, no OTF either: one of the two is needed; give {' and '.join(missing)}, or --otf"
        )
    optics = Optics(values["na"], values["wavelength_nm"], values["immersion_ri"])
    used = {"na": optics.na, "wavelength_nm": optics.wavelength_nm, "immersion_ri": optics.ri}
    if not deep:
        return detection_of(optics), used
    return deep_detection_of(optics, excitation_nm), used | ({} if excitation_nm is None else {"excitation_nm": excitation_nm})


def _layout(given: Mapping[str, Any]) -> Layout:
    from zsdeconv.sim.patterns import Layout

    return Layout(**{name: given[name] for name in LAYOUT if given[name] is not None})


def _angles(text: str | None) -> tuple[float, ...] | None:
    if text is None:
        return None
    try:
        return tuple(float(word) for word in text.split(","))
    except ValueError:
        raise ConfigError(
            f"--angles-deg {text}: numbers of degrees with commas are needed; give for example --angles-deg 10,70,130"
        ) from None


def _read(path: Path, given: Mapping[str, Any], layout: Layout) -> Image:
    """The raw frames as T P Y X, of a stack as T P Z Y X."""
    from zsdeconv.sim.frames import read_frames

    return read_frames(path, layout, axes=given["axes"], pixel_um=given["pixel_um"], z_um=given["z_um"])


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
            f"{direction.angle_deg:.2f} degrees, period {direction.finest_um:.4f} um, depth {_depths(peak.depths)}, "
            f"phase {direction.phase_rad:+.2f} rad, score {peak.score:.1f} (limit {peak.limit:.1f})",
        )
        for number, (direction, peak) in enumerate(zip(found.parameters.directions, found.peaks, strict=True), 1)
    ]
    gains = [gain for direction in found.parameters.directions for gain in direction.gains]
    return [*rows, ("frame gains", f"{min(gains):.3f} to {max(gains):.3f}")]


def _depths(depths: tuple[float, ...]) -> str:
    return " and ".join(f"{depth:.2f}" for depth in depths)
