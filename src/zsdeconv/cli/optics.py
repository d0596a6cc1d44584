"""`psf make`, `psf measure` and `psf check`: theory, beads and doctor."""

from __future__ import annotations

from collections.abc import Mapping
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
    from zsdeconv.report.checks.psf_fit import PsfFit

psf = typer.Typer(help="Make a point spread function from theory, measure it on beads, or check one from a file.")


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
    from zsdeconv.physics.psf_check import check_sampling
    from zsdeconv.physics.psf_theory import theoretical_psf

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
    from zsdeconv.physics.beads import read_beads

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
    image: Annotated[Path | None, typer.Option("--image", metavar="FILE", help="noisy image: does the PSF fit what it shows?")] = None,
    background: options.Background = None,
    axes: Annotated[str | None, typer.Option("--axes", metavar="LETTERS", help="axes of the image [default: from the file]")] = None,
    json: options.Json = False,
) -> None:
    """Say what is right and wrong with a PSF file, a plane or a stack, and whether it fits an image; exit code 2 when it cannot be used."""
    given = locals()
    from zsdeconv.physics.psf_check import check_psf
    from zsdeconv.physics.psf_file import measure_psf

    fine_um = None if pixel_um is None else (*([] if z_um is None else [z_um]), pixel_um / scale, pixel_um / scale)
    measured = measure_psf(file, pixel_um=psf_pixel_um, z_um=psf_z_um, rank=None)
    findings = check_psf(measured, optics=_optics(given), spacing_um=fine_um)
    fit = None if image is None else _against(image, given)
    shown = {"file": str(file), "findings": [finding.to_dict() for finding in findings]}
    findings = findings if fit is None else [*findings, *fit.findings]
    if json:
        show_json(shown if fit is None else shown | {"image": {"file": str(image), **fit.to_dict()}})
    else:
        show_rows((f"{finding.level:<4}  {finding.name}", finding.message) for finding in findings)
    failed = [finding for finding in findings if finding.level == "fail"]
    if failed:
        others = f" (and {len(failed) - 1} more)" if len(failed) > 1 else ""
        raise OpticsError(f"PSF {file.name}: {failed[0].name}: {failed[0].message}{others}")


def _against(path: Path, given: Mapping[str, Any]) -> PsfFit:
    """What an image says of the PSF."""
    from zsdeconv.io import read
    from zsdeconv.physics.psf_file import read_psf
    from zsdeconv.report.psf_image import examine_image

    image = read(path, axes=given["axes"], pixel_um=given["pixel_um"], z_um=given["z_um"])
    rank = 3 if image.sizes.get("Z", 1) > 1 else 2
    psf = read_psf(given["file"], pixel_um=given["psf_pixel_um"], z_um=given["psf_z_um"], rank=rank)
    offset = options.adu_or_auto(given["background"])
    return examine_image(image, psf, scale=given["scale"], offset=offset if isinstance(offset, float) else None)


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
