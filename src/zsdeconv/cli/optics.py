"""`psf make`, `psf measure`, `psf check`, `simulate 2d` and `simulate 3d`: theory, beads, doctor, and images of a known object."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from zsdeconv.cli import options
from zsdeconv.cli.console import show_json, show_rows
from zsdeconv.errors import ConfigError, OpticsError

if TYPE_CHECKING:
    from zsdeconv.physics.optics import Optics
    from zsdeconv.physics.psf import Psf
    from zsdeconv.simulate import Scene, Simulation

psf = typer.Typer(help="Make a point spread function from theory, measure it on beads, or check one from a file.")
simulate = typer.Typer(help="Simulate a noisy image or stack together with its truth.")

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


@psf.command("make")
def psf_make(
    output: Annotated[Path, typer.Option("-o", "--output", metavar="FILE", help="PSF to write, an OME-TIFF")],
    na: Annotated[float, typer.Option("--na", help="numerical aperture of the objective")],
    wavelength_nm: Annotated[float, typer.Option("--wavelength-nm", help="emission wavelength, nanometres")],
    pixel_um: Annotated[float, typer.Option("--pixel-um", help="pixel size in the sample, micrometres")],
    z_um: Annotated[float | None, typer.Option("--z-um", help="step between planes, micrometres [default: one plane in focus]")] = None,
    immersion_ri: options.ImmersionRi = None,
    pupil: options.Pupil = None,
    microscope: options.Microscope = None,
    sheet_um: options.SheetUm = None,
    pinhole_au: options.PinholeAu = None,
    excitation_nm: options.ExcitationNm = None,
    sample_ri: options.SampleRi = None,
    depth_um: options.DepthUm = None,
    scale: Annotated[int, typer.Option("--scale", min=1, max=2, help="2 samples it twice as finely in y and x, as a restoration does")] = 1,
    overwrite: options.Overwrite = False,
    json: options.Json = False,
) -> None:
    """Write the PSF that theory gives for a microscope, in focus or (--z-um) in depth: sum 1, centred."""
    given = locals()
    from zsdeconv.physics.psf import check_sampling, theoretical_psf

    optics = _optics(given)
    assert optics is not None
    check_sampling(optics, pixel_um, scale)
    made = theoretical_psf(optics, (*([] if z_um is None else [z_um]), pixel_um / scale, pixel_um / scale))
    path = _written(made, output, overwrite)
    if json:
        show_json(_facts(made, path) | {"immersion_assumed": optics.immersion_assumed})
    else:
        typer.echo(f"{path}: {made.source}{' (assumed)' if optics.immersion_assumed else ''}, {_size(made)}")


@psf.command("measure")
def psf_measure(
    file: Annotated[
        Path, typer.Argument(metavar="BEADS", help="image of beads below the resolution, a plane or a stack", show_default=False)
    ],
    output: Annotated[Path, typer.Option("-o", "--output", metavar="FILE", help="PSF to write, an OME-TIFF")],
    pixel_um: options.PixelUm = None,
    z_um: options.ZUm = None,
    overwrite: options.Overwrite = False,
    json: options.Json = False,
) -> None:
    """Measure the PSF on beads: find them, leave out those that touch, are cut off or clipped, align and average the others."""
    from zsdeconv.physics.psf import read_beads

    beads = read_beads(file, pixel_um=pixel_um, z_um=z_um)
    path = _written(beads.psf, output, overwrite)
    counts = {"found": beads.found, "used": beads.used, "rejected": beads.rejected}
    axes = "ZYX"[-beads.psf.rank :]
    if json:
        show_json(_facts(beads.psf, path) | counts | {"fwhm_um": dict(zip(axes, beads.fwhm_um, strict=True))})
    else:
        rejected = "".join(f", {count} {reason}" for reason, count in beads.rejected.items())
        widths = ", ".join(f"{axis} {um:.3f}" for axis, um in zip(axes, beads.fwhm_um, strict=True))
        typer.echo(f"{path}: {beads.used} of {beads.found} beads{rejected}; FWHM {widths} um; {_size(beads.psf)}")


@psf.command("check")
def psf_check(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="PSF to check", show_default=False)],
    na: options.Na = None,
    wavelength_nm: options.WavelengthNm = None,
    immersion_ri: options.ImmersionRi = None,
    pupil: options.Pupil = None,
    microscope: options.Microscope = None,
    sheet_um: options.SheetUm = None,
    pinhole_au: options.PinholeAu = None,
    excitation_nm: options.ExcitationNm = None,
    sample_ri: options.SampleRi = None,
    depth_um: options.DepthUm = None,
    pixel_um: Annotated[float | None, typer.Option("--pixel-um", help="pixel size of the images it is meant for, micrometres")] = None,
    z_um: Annotated[float | None, typer.Option("--z-um", help="step between the planes of the stacks it is meant for, micrometres")] = None,
    scale: Annotated[int, typer.Option("--scale", min=1, max=2, help="scale of the restoration it is meant for")] = 2,
    psf_pixel_um: options.PsfPixelUm = None,
    psf_z_um: options.PsfZUm = None,
    json: options.Json = False,
) -> None:
    """Say what is right and wrong with a PSF file, a plane or a stack; exit code 2 when it cannot be used."""
    given = locals()
    from zsdeconv.physics.psf import check_psf, measure_psf

    fine_um = None if pixel_um is None else (*([] if z_um is None else [z_um]), pixel_um / scale, pixel_um / scale)
    measured = measure_psf(file, pixel_um=psf_pixel_um, z_um=psf_z_um, rank=None)
    findings = check_psf(measured, optics=_optics(given), spacing_um=fine_um)
    if json:
        names = ("level", "name", "value", "limit", "message")
        show_json({"file": str(file), "findings": [{name: getattr(finding, name) for name in names} for finding in findings]})
    else:
        show_rows((f"{finding.level:<4}  {finding.name}", finding.message) for finding in findings)
    failed = [finding for finding in findings if finding.level == "fail"]
    if failed:
        others = f" (and {len(failed) - 1} more)" if len(failed) > 1 else ""
        raise OpticsError(f"PSF {file.name}: {failed[0].name}: {failed[0].message}{others}")


def _optics(given: Mapping[str, Any]) -> Optics | None:
    """The optics among the options when both numbers that define a lens are given, None when none of the options is."""
    from zsdeconv.physics.optics import Optics

    values = {field.name: given[field.name] for field in fields(Optics) if field.init and given.get(field.name) is not None}
    lacking = [name for name in ("na", "wavelength_nm") if name not in values]
    if lacking and values:
        missing = " and ".join(f"--{name.replace('_', '-')}" for name in lacking)
        raise ConfigError(f"--{next(iter(values)).replace('_', '-')} without {missing}: a lens has both; give {missing} too")
    return Optics(**values) if values else None


def _written(psf: Psf, output: Path, overwrite: bool) -> Path:
    from zsdeconv.image import Image
    from zsdeconv.io import write

    axes = "ZYX"[-psf.rank :]
    image = Image(psf.values, axes, dict(zip(axes, psf.spacing_um, strict=True)), offset=0.0)
    return write(output, image, provenance={"psf": psf.source, "fingerprint": psf.fingerprint}, overwrite=overwrite)


def _facts(psf: Psf, path: Path) -> dict[str, Any]:
    facts = {"file": str(path), "source": psf.source, "pixel_um": list(psf.spacing_um), "shape": list(psf.values.shape)}
    return facts | {"fingerprint": psf.fingerprint}


def _size(psf: Psf) -> str:
    """Samples and their size, said once where they are alike."""
    steps = psf.spacing_um[-1:] if len({round(um, 9) for um in psf.spacing_um}) == 1 else psf.spacing_um
    return f"{' x '.join(map(str, psf.values.shape))} pixels of {' x '.join(f'{um:.4g}' for um in steps)} um"


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
    from zsdeconv import simulate as simulation

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
    from zsdeconv import simulate as simulation

    _simulate(simulation.simulate_3d, simulation.StackScene, given)


def _simulate(make: Callable[[Any], Simulation], kind: type[Scene], given: Mapping[str, Any]) -> None:
    """Images of the scene that the options describe: make, write and name them."""
    from zsdeconv.simulate import settings, write_simulation

    scene = kind(**{field.name: given[field.name] for field in fields(kind) if given[field.name] is not None})
    paths = write_simulation(make(scene), given["output"], overwrite=given["overwrite"])
    if given["json"]:
        show_json({"files": {name: str(path) for name, path in paths.items()}, "settings": settings(scene)})
    elif not given["quiet"]:
        names = ", ".join(path.name for path in paths.values())
        typer.echo(f"{scene.structure}, {scene.photons:g} photo-electrons in a bright pixel: {names} in {given['output']}")
