"""`psf make`, `psf check` and `simulate 2d`: theory, doctor, and images of a known object."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from zsdeconv.cli import options
from zsdeconv.cli.console import show_json, show_rows
from zsdeconv.errors import ConfigError, OpticsError

if TYPE_CHECKING:
    from zsdeconv.physics.optics import Optics

psf = typer.Typer(help="Make a point spread function from theory, or check one from a file.")
simulate = typer.Typer(help="Simulate a noisy image together with its truth.")


@psf.command("make")
def psf_make(
    output: Annotated[Path, typer.Option("-o", "--output", metavar="FILE", help="PSF to write, an OME-TIFF")],
    na: Annotated[float, typer.Option("--na", help="numerical aperture of the objective")],
    wavelength_nm: Annotated[float, typer.Option("--wavelength-nm", help="emission wavelength, nanometres")],
    pixel_um: Annotated[float, typer.Option("--pixel-um", help="pixel size in the sample, micrometres")],
    immersion_ri: options.ImmersionRi = None,
    pupil: options.Pupil = None,
    scale: Annotated[int, typer.Option("--scale", min=1, max=2, help="2 samples it twice as finely, as a restoration does")] = 1,
    overwrite: options.Overwrite = False,
    json: options.Json = False,
) -> None:
    """Write the in-focus PSF that theory gives for a lens: sum 1, centred."""
    from zsdeconv.image import Image
    from zsdeconv.io import write
    from zsdeconv.physics.optics import Optics
    from zsdeconv.physics.psf import check_sampling, theoretical_psf

    optics = Optics(na, wavelength_nm, immersion_ri, pupil or "scalar")
    check_sampling(optics, pixel_um, scale)
    made = theoretical_psf(optics, (pixel_um / scale, pixel_um / scale))
    image = Image(made.values, "YX", dict(zip("YX", made.spacing_um, strict=True)), offset=0.0)
    path = write(output, image, provenance={"psf": made.source, "fingerprint": made.fingerprint}, overwrite=overwrite)
    facts = {"file": str(path), "source": made.source, "pixel_um": list(made.spacing_um), "shape": list(made.values.shape)}
    if json:
        show_json(facts | {"fingerprint": made.fingerprint, "immersion_assumed": optics.immersion_assumed})
    else:
        size = " x ".join(map(str, made.values.shape))
        typer.echo(f"{path}: {made.source}{' (assumed)' if optics.immersion_assumed else ''}, {size} pixels of {made.spacing_um[0]:g} um")


@psf.command("check")
def psf_check(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="PSF to check", show_default=False)],
    na: options.Na = None,
    wavelength_nm: options.WavelengthNm = None,
    immersion_ri: options.ImmersionRi = None,
    pixel_um: Annotated[float | None, typer.Option("--pixel-um", help="pixel size of the images it is meant for, micrometres")] = None,
    scale: Annotated[int, typer.Option("--scale", min=1, max=2, help="scale of the restoration it is meant for")] = 2,
    psf_pixel_um: options.PsfPixelUm = None,
    json: options.Json = False,
) -> None:
    """Say what is right and wrong with a PSF file; exit code 2 when it cannot be used."""
    from zsdeconv.physics.psf import check_psf, measure_psf

    fine_um = None if pixel_um is None else (pixel_um / scale, pixel_um / scale)
    findings = check_psf(measure_psf(file, pixel_um=psf_pixel_um), optics=_optics(na, wavelength_nm, immersion_ri), spacing_um=fine_um)
    if json:
        names = ("level", "name", "value", "limit", "message")
        show_json({"file": str(file), "findings": [{name: getattr(finding, name) for name in names} for finding in findings]})
    else:
        show_rows((f"{finding.level:<4}  {finding.name}", finding.message) for finding in findings)
    failed = [finding for finding in findings if finding.level == "fail"]
    if failed:
        others = f" (and {len(failed) - 1} more)" if len(failed) > 1 else ""
        raise OpticsError(f"PSF {file.name}: {failed[0].name}: {failed[0].message}{others}")


def _optics(na: float | None, wavelength_nm: float | None, immersion_ri: float | None) -> Optics | None:
    """The optics when both numbers that define them are given, None when neither is."""
    from zsdeconv.physics.optics import Optics

    if na is None and wavelength_nm is None:
        return None
    if na is None or wavelength_nm is None:
        given, lacking = ("--na", "--wavelength-nm") if wavelength_nm is None else ("--wavelength-nm", "--na")
        raise ConfigError(f"{given} without {lacking}: optics need both; give {lacking} too")
    return Optics(na, wavelength_nm, immersion_ri)


@simulate.command("2d")
def simulate_2d(
    output: Annotated[Path, typer.Option("-o", "--output", metavar="DIR", help="folder for noisy, clean, truth, psf and settings")],
    structure: Annotated[str | None, typer.Option(help="filaments, vesicles, network or puncta [default: filaments]")] = None,
    photons: Annotated[float | None, typer.Option(help="photo-electrons in a bright pixel [default: 30]")] = None,
    size: Annotated[int | None, typer.Option(help="pixels along Y and X [default: 256]")] = None,
    pixel_um: Annotated[float | None, typer.Option(help="pixel size in the sample, micrometres [default: 0.065]")] = None,
    na: Annotated[float | None, typer.Option(help="numerical aperture [default: 1.4]")] = None,
    wavelength_nm: Annotated[float | None, typer.Option(help="emission wavelength, nanometres [default: 525]")] = None,
    immersion_ri: options.ImmersionRi = None,
    pupil: options.Pupil = None,
    gain: Annotated[float | None, typer.Option(help="camera counts (ADU) per photo-electron [default: 1]")] = None,
    read_noise: Annotated[float | None, typer.Option(help="read noise, ADU [default: 2]")] = None,
    offset: Annotated[float | None, typer.Option(help="camera offset, ADU [default: 100]")] = None,
    haze: Annotated[float | None, typer.Option(help="fraction of diffuse light [default: 0.1]")] = None,
    frames: Annotated[int | None, typer.Option(help="time points [default: 1]")] = None,
    motion_um: Annotated[float | None, typer.Option(help="motion between frames, micrometres [default: 0.05]")] = None,
    seed: Annotated[int | None, typer.Option(help="same seed, same image [default: 0]")] = None,
    overwrite: options.Overwrite = False,
    json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Simulate camera frames of a known object: noisy.tif, clean.tif, truth.tif (twice finer grid), psf.tif, settings.yaml."""
    given = {name: value for name, value in locals().items() if value is not None and name not in ("output", "overwrite", "json", "quiet")}
    from zsdeconv import simulate as simulation

    scene = simulation.Scene(**given)
    paths = simulation.write_simulation(simulation.simulate_2d(scene), output, overwrite=overwrite)
    if json:
        show_json({"files": {name: str(path) for name, path in paths.items()}, "settings": simulation.settings(scene)})
    elif not quiet:
        names = ", ".join(path.name for path in paths.values())
        typer.echo(f"{scene.structure}, {scene.photons:g} photo-electrons in a bright pixel: {names} in {output}")
