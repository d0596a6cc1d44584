"""`simulate 2d`, `3d`, `sim2d` and `sim3d`: images of a known object, and raw frames of it under stripes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from zsdeconv.cli import options
from zsdeconv.cli.console import show_json

if TYPE_CHECKING:
    from zsdeconv.simulation.scenes import Scene
    from zsdeconv.simulation.widefield import Simulation

simulate = typer.Typer(help="Simulate a noisy image or stack, or raw frames of structured illumination, together with the truth.")

SimulationFolder = Annotated[Path, typer.Option("-o", "--output", metavar="DIR", help="folder for noisy, clean, truth, psf and settings")]
Structure = Annotated[str | None, typer.Option("--structure", help="filaments, vesicles, network or puncta [default: filaments]")]
Photons = Annotated[float | None, typer.Option("--photons", help="photo-electrons in a bright pixel [default: 30]")]
Emission = Annotated[float | None, typer.Option("--wavelength-nm", help="emission wavelength, nanometres [default: 525]")]
Gain = Annotated[float | None, typer.Option("--gain", help="camera counts (ADU) per photo-electron [default: 1]")]
ReadNoise = Annotated[float | None, typer.Option("--read-noise", help="read noise, ADU [default: 2]")]
Offset = Annotated[float | None, typer.Option("--offset", help="camera offset, ADU [default: 100]")]
Haze = Annotated[float | None, typer.Option("--haze", help="fraction of diffuse light [default: 0.1]")]
Frames = Annotated[int | None, typer.Option("--frames", help="time points [default: 1]")]
MotionUm = Annotated[float | None, typer.Option("--motion-um", help="motion between frames, micrometres [default: 0.05]")]
SceneSeed = Annotated[int | None, typer.Option("--seed", help="same seed, same image [default: 0]")]
Directions = Annotated[int | None, typer.Option("--directions", help="directions of the stripes [default: 3]")]
AngleDeg = Annotated[
    float | None,
    typer.Option("--angle-deg", help="how the first wave vector lies, degrees from +x towards +y (down) [default: 17]"),
]
Bleaching = Annotated[float | None, typer.Option("--bleaching", help="fraction of light lost from one raw frame to the next [default: 0]")]
FrameOrder = Annotated[
    str | None,
    typer.Option(
        "--order", help="direction-phase (all phases of a direction, then the next) or phase-direction [default: direction-phase]"
    ),
]
ExcitationNm = Annotated[
    float | None, typer.Option("--excitation-nm", help="light that makes the stripes, nanometres [default: 0.93 x emission]")
]


@simulate.command("2d")
def simulate_2d(
    output: SimulationFolder,
    structure: Structure = None,
    photons: Photons = None,
    size: Annotated[int | None, typer.Option(help="pixels along Y and X [default: 256]")] = None,
    pixel_um: Annotated[float | None, typer.Option(help="pixel size in the sample, micrometres [default: 0.065]")] = None,
    na: Annotated[float | None, typer.Option(help="numerical aperture [default: 1.4]")] = None,
    wavelength_nm: Emission = None,
    immersion_ri: options.ImmersionRi = None,
    pupil: options.Pupil = None,
    gain: Gain = None,
    read_noise: ReadNoise = None,
    offset: Offset = None,
    haze: Haze = None,
    frames: Frames = None,
    motion_um: MotionUm = None,
    seed: SceneSeed = None,
    overwrite: options.Overwrite = False,
    json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Simulate camera frames of a known object: noisy.tif, clean.tif, truth.tif (twice finer grid), psf.tif, settings.yaml."""
    given = locals()
    from zsdeconv.simulation import widefield as simulation

    _simulate(simulation.simulate_2d, simulation.Scene, given)


@simulate.command("3d")
def simulate_3d(
    output: SimulationFolder,
    structure: Structure = None,
    photons: Photons = None,
    size: Annotated[int | None, typer.Option(help="pixels along Y and X [default: 128]")] = None,
    planes: Annotated[int | None, typer.Option(help="planes along Z [default: 24]")] = None,
    pixel_um: Annotated[float | None, typer.Option(help="pixel size in the sample, micrometres [default: 0.1]")] = None,
    z_um: Annotated[float | None, typer.Option(help="step between planes, micrometres [default: 0.2]")] = None,
    microscope: Annotated[
        str | None, typer.Option(help="widefield, confocal, twophoton, lightsheet or lattice [default: lightsheet]")
    ] = None,
    sheet_um: Annotated[
        float | None,
        typer.Option(help="half thickness of the light sheet, where it has fallen to 1/e^2, micrometres [default: 1]"),
    ] = None,
    pinhole_au: options.PinholeAu = None,
    excitation_nm: options.ExcitationNm = None,
    na: Annotated[float | None, typer.Option(help="numerical aperture [default: 1.1]")] = None,
    wavelength_nm: Emission = None,
    immersion_ri: options.ImmersionRi = None,
    sample_ri: options.SampleRi = None,
    depth_um: options.DepthUm = None,
    pupil: options.Pupil = None,
    gain: Gain = None,
    read_noise: ReadNoise = None,
    offset: Offset = None,
    haze: Haze = None,
    frames: Frames = None,
    motion_um: MotionUm = None,
    seed: SceneSeed = None,
    overwrite: options.Overwrite = False,
    json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Simulate stacks of a known object: noisy.tif, clean.tif, truth.tif (twice finer along y and x), psf.tif, settings.yaml.

    The sample goes on above and below the stack and sends its light into it. Unless told otherwise the microscope is a light
    sheet under a water-immersion lens.
    """
    given = locals()
    from zsdeconv.simulation import widefield as simulation

    _simulate(simulation.simulate_3d, simulation.StackScene, given)


@simulate.command("sim2d")
def simulate_sim2d(
    output: SimulationFolder,
    structure: Structure = None,
    photons: Photons = None,
    size: Annotated[int | None, typer.Option(help="pixels along Y and X [default: 256]")] = None,
    pixel_um: Annotated[float | None, typer.Option(help="pixel size in the sample, micrometres [default: 0.065]")] = None,
    directions: Directions = None,
    phases: Annotated[int | None, typer.Option(help="phases of each direction, 3 at least [default: 3]")] = None,
    period_um: Annotated[
        float | None, typer.Option(help="distance of two stripes, micrometres [default: 1.1 x the finest that the objective makes]")
    ] = None,
    angle_deg: AngleDeg = None,
    modulation: Annotated[float | None, typer.Option(help="contrast of the stripes, 0 to 1 [default: 0.8]")] = None,
    bleaching: Bleaching = None,
    order: FrameOrder = None,
    excitation_nm: ExcitationNm = None,
    na: Annotated[float | None, typer.Option(help="numerical aperture [default: 1.4]")] = None,
    wavelength_nm: Emission = None,
    immersion_ri: options.ImmersionRi = None,
    pupil: options.Pupil = None,
    gain: Gain = None,
    read_noise: ReadNoise = None,
    offset: Offset = None,
    haze: Haze = None,
    frames: Frames = None,
    motion_um: MotionUm = None,
    seed: SceneSeed = None,
    overwrite: options.Overwrite = False,
    json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Simulate raw frames of two-beam structured illumination: noisy.tif, clean.tif (wide-field), truth.tif, psf.tif, settings.yaml.

    noisy.tif holds directions x phases frames (axes PYX), clean.tif the mean of the frames without noise, truth.tif the object on
    a twice finer grid. settings.yaml states the true wave vectors, phases and modulation.
    """
    given = locals()
    from zsdeconv.simulation import structured as simulation

    _simulate(simulation.simulate_sim2d, simulation.SimScene, given)


@simulate.command("sim3d")
def simulate_sim3d(
    output: SimulationFolder,
    structure: Structure = None,
    photons: Photons = None,
    size: Annotated[int | None, typer.Option(help="pixels along Y and X [default: 128]")] = None,
    planes: Annotated[int | None, typer.Option(help="planes along Z [default: 12]")] = None,
    pixel_um: Annotated[float | None, typer.Option(help="pixel size in the sample, micrometres [default: 0.08]")] = None,
    z_um: Annotated[float | None, typer.Option(help="step between planes, micrometres [default: 0.125]")] = None,
    directions: Directions = None,
    phases: Annotated[int | None, typer.Option(help="phases of each direction, 5 at least [default: 5]")] = None,
    period_um: Annotated[
        float | None,
        typer.Option(help="distance of the finest stripes (order 2), micrometres [default: 1.1 x the finest that the objective makes]"),
    ] = None,
    angle_deg: AngleDeg = None,
    modulation: Annotated[
        float | None, typer.Option(help="contrast over that of three beams of equal strength, 0 to 1 [default: 0.8]")
    ] = None,
    bleaching: Bleaching = None,
    order: FrameOrder = None,
    excitation_nm: ExcitationNm = None,
    na: Annotated[float | None, typer.Option(help="numerical aperture [default: 1.3]")] = None,
    wavelength_nm: Emission = None,
    immersion_ri: options.ImmersionRi = None,
    pupil: options.Pupil = None,
    gain: Gain = None,
    read_noise: ReadNoise = None,
    offset: Offset = None,
    haze: Haze = None,
    frames: Frames = None,
    motion_um: MotionUm = None,
    seed: SceneSeed = None,
    overwrite: options.Overwrite = False,
    json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Simulate raw stacks of three-beam structured illumination: noisy.tif, clean.tif (wide-field), truth.tif, psf.tif, settings.yaml.

    noisy.tif holds directions x phases frames of each plane (axes ZPYX), clean.tif the mean of the frames without noise, truth.tif
    the object on a grid twice finer along y and x. settings.yaml states the true wave vectors, phases and modulation.
    """
    given = locals()
    from zsdeconv.simulation import structured as simulation

    _simulate(simulation.simulate_sim3d, simulation.SimStackScene, given)


def _simulate(make: Callable[[Any], Simulation], kind: type[Scene], given: Mapping[str, Any]) -> None:
    """Images of the scene that the options describe: make, write and name them."""
    from zsdeconv.simulation.widefield import settings, write_simulation

    scene = kind(**{field.name: given[field.name] for field in fields(kind) if given[field.name] is not None})
    paths = write_simulation(make(scene), given["output"], overwrite=given["overwrite"])
    if given["json"]:
        show_json({"files": {name: str(path) for name, path in paths.items()}, "settings": settings(scene)})
    elif not given["quiet"]:
        names = ", ".join(path.name for path in paths.values())
        typer.echo(f"{scene.structure}, {scene.photons:g} photo-electrons in a bright pixel: {names} in {given['output']}")
