"""`psf make`, `psf measure` and `psf check`: theory, beads and doctor."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from zsdeconv.cli.console import show, show_json, show_rows
from zsdeconv.cli.options import Printed, Settings, Written, argument, chosen, option, takes, verbs, whole_number
from zsdeconv.cli.output_checks import check_outputs
from zsdeconv.cli.wording import flag_of, with_options
from zsdeconv.errors import ConfigError, DataWarning, OpticsError

if TYPE_CHECKING:
    from zsdeconv.physics.optics import Optics
    from zsdeconv.physics.psf import Psf
    from zsdeconv.report.checks.psf_fit import PsfFit

psf = verbs("psf")

_SCAN = ("scan_angle_deg", "scan_step_um", "scan_reverse")
"""Settings of a skewed stack."""
_FILES = ("psf", "otf", "psf_pixel_um", "psf_z_um")
"""Settings of a restoration's optics that speak of files."""


@dataclass(frozen=True, kw_only=True)
class PsfTask(Written):
    """Where a PSF goes."""

    output: Annotated[Path, option("PSF to write, an OME-TIFF", name=("--output", "-o"), metavar="FILE")]


@dataclass(frozen=True, kw_only=True)
class TheoryTask(PsfTask):
    """Where a PSF goes, and how finely it is sampled."""

    scale: Annotated[
        Literal[1, 2],
        option(
            "2 samples it twice as finely in y and x, as a restoration does [default: 1]",
            metavar="1|2",
            group="Input",
            converter=whole_number,
        ),
    ] = 1


@dataclass(frozen=True, kw_only=True)
class CheckTask(Printed):
    """What a PSF is checked against."""

    scale: Annotated[
        Literal[1, 2], option("scale of the restoration it is meant for [default: 2]", metavar="1|2", group="Input", converter=whole_number)
    ] = 2
    image: Annotated[Path | None, option("noisy image: does the PSF fit what it shows?", metavar="FILE", group="Input")] = None


@psf.command(name="make")
@takes(
    settings=chosen(
        *("optics", "pixel_um", "z_um"),
        without=_FILES,
        required=("na", "wavelength_nm", "pixel_um"),
        help={"z_um": "step between planes, micrometres [default: one plane in focus]"},
    ),
    task=TheoryTask,
)
def psf_make(*, settings: Settings, task: TheoryTask) -> None:
    """Write the PSF that theory gives for a microscope, in focus or (--z-um) in depth: sum 1, centred.

    Example: zsdeconv psf make -o psf.tif --na 1.4 --wavelength-nm 525 --pixel-um 0.065
    """
    given = settings.given()
    check_outputs([task.output], inputs=(), overwrite=task.overwrite)
    from zsdeconv.physics.psf_check import check_sampling
    from zsdeconv.physics.psf_theory import theoretical_psf

    optics = _optics(given)
    assert optics is not None
    check_sampling(optics, given["pixel_um"], task.scale)
    spacing_um = _fine_um(given, task.scale)
    assert spacing_um is not None
    made = theoretical_psf(optics, spacing_um)
    path = _written(made, task)
    if task.json:
        show_json(_facts(made, path) | {"immersion_assumed": optics.immersion_assumed})
    else:
        show(f"{path}: {made.source}{' (assumed)' if optics.immersion_assumed else ''}, {_size(made)}")


@psf.command(name="measure")
@takes(settings=chosen("pixel_um", "z_um"), task=PsfTask)
def psf_measure(
    file: Annotated[Path, argument("image of beads below the resolution, a plane or a stack", "BEADS")],
    /,
    *,
    settings: Settings,
    task: PsfTask,
) -> None:
    """Measure the PSF on beads: find them, leave out those that touch, are cut off or clipped, align and average the others.

    What `psf check` would say of the result is told at once, such as noise of too few or too dim beads.

    Example: zsdeconv psf measure beads.tif -o psf.tif
    """
    given = settings.given()
    check_outputs([task.output], inputs=[file], overwrite=task.overwrite)
    from zsdeconv.physics.beads import read_beads
    from zsdeconv.physics.psf_check import check_psf

    beads = read_beads(file, pixel_um=given.get("pixel_um"), z_um=given.get("z_um"))
    for finding in check_psf(beads.psf):
        if finding.level != "ok":
            warnings.warn(f"PSF of {file.name}: {finding.message}", DataWarning, stacklevel=2)
    path = _written(beads.psf, task)
    counts = {"found": beads.found, "used": beads.used, "rejected": beads.rejected}
    axes = "ZYX"[-beads.psf.rank :]
    if task.json:
        show_json(_facts(beads.psf, path) | counts | {"fwhm_um": dict(zip(axes, beads.fwhm_um, strict=True))})
    else:
        rejected = "".join(f", {count} {reason}" for reason, count in beads.rejected.items())
        widths = ", ".join(f"{axis} {um:.3f}" for axis, um in zip(axes, beads.fwhm_um, strict=True))
        show(f"{path}: {beads.used} of {beads.found} beads{rejected}; FWHM {widths} um; {_size(beads.psf)}")


@psf.command(name="check")
@takes(
    settings=chosen(
        *("optics", "input"),
        without=("psf", "otf", "crop"),
        help={
            "pixel_um": "pixel size of the images it is meant for, micrometres",
            "z_um": "step between the planes of the stacks it is meant for, micrometres",
            "axes": "axes of the image [default: from the file]",
        },
    ),
    task=CheckTask,
)
def psf_check(file: Annotated[Path, argument("PSF to check", "FILE")], /, *, settings: Settings, task: CheckTask) -> None:
    """Say what is right and wrong with a PSF file, a plane or a stack, and whether it fits an image; exit code 2 when it cannot be used.

    Example: zsdeconv psf check psf.tif --image cell.tif
    """
    given = settings.given()
    idle = next((name for name in _SCAN if name in given and task.image is None), None)
    if idle is not None:
        raise ConfigError(f"{flag_of(idle)} {given[idle]} without --image: it says how an image was scanned; give --image, or leave it out")
    from zsdeconv.physics.psf_check import check_psf
    from zsdeconv.physics.psf_file import measure_psf

    measured = measure_psf(file, pixel_um=given.get("psf_pixel_um"), z_um=given.get("psf_z_um"), rank=None)
    findings = check_psf(measured, optics=_optics(given), spacing_um=_fine_um(given, task.scale))
    fit = None if task.image is None else _against(task.image, file, given, task.scale)
    shown = {"file": str(file), "findings": [finding.to_dict() for finding in findings]}
    findings = findings if fit is None else [*findings, *fit.findings]
    if task.json:
        show_json(shown if fit is None else shown | {"image": {"file": str(task.image), **fit.to_dict()}})
    else:
        show_rows((f"{finding.level.replace('_', ' '):<11}  {finding.name}", with_options(finding.message)) for finding in findings)
    failed = [finding for finding in findings if finding.level == "fail"]
    if failed:
        others = f" (and {len(failed) - 1} more)" if len(failed) > 1 else ""
        raise OpticsError(f"PSF {file.name}: {failed[0].name}: {failed[0].message}{others}")


def _fine_um(given: Mapping[str, Any], scale: int) -> tuple[float, ...] | None:
    """Spacing of the fine grid, where the pixel size is given."""
    if "pixel_um" not in given:
        return None
    return (*([given["z_um"]] if "z_um" in given else []), given["pixel_um"] / scale, given["pixel_um"] / scale)


def _against(image: Path, file: Path, given: Mapping[str, Any], scale: int) -> PsfFit:
    """What an image says of the PSF in a file."""
    from zsdeconv.image import scan_of
    from zsdeconv.io import read
    from zsdeconv.physics.psf_file import read_psf
    from zsdeconv.report.psf_image import examine_image

    loaded = read(image, axes=given.get("axes"), pixel_um=given.get("pixel_um"), z_um=given.get("z_um"))
    rank = 3 if loaded.sizes.get("Z", 1) > 1 else 2
    psf = read_psf(file, pixel_um=given.get("psf_pixel_um"), z_um=given.get("psf_z_um"), rank=rank)
    angle_deg, step_um, reverse = (given.get(name) for name in _SCAN)
    offset, scan = given.get("background"), scan_of(loaded, angle_deg, step_um, bool(reverse))
    return examine_image(loaded, psf, scale=scale, offset=offset if isinstance(offset, float) else None, scan=scan)


def _optics(given: Mapping[str, Any]) -> Optics | None:
    """The optics among the options when both numbers that define a lens are given, None when none of the options is."""
    from zsdeconv.physics.optics import Optics

    values = {field.name: given[field.name] for field in fields(Optics) if field.init and field.name in given}
    lacking = [name for name in ("na", "wavelength_nm") if name not in values]
    if lacking and values:
        missing = " and ".join(map(flag_of, lacking))
        raise ConfigError(f"{flag_of(next(iter(values)))} without {missing}: a lens has both; give {missing} too")
    return Optics(**values) if values else None


def _written(psf: Psf, task: PsfTask) -> Path:
    from zsdeconv.image import Image
    from zsdeconv.io import write

    axes = "ZYX"[-psf.rank :]
    image = Image(psf.values, axes, dict(zip(axes, psf.spacing_um, strict=True)), offset=0.0)
    return write(task.output, image, provenance={"psf": psf.source, "fingerprint": psf.fingerprint}, overwrite=task.overwrite)


def _facts(psf: Psf, path: Path) -> dict[str, Any]:
    facts = {"file": str(path), "source": psf.source, "pixel_um": list(psf.spacing_um), "shape": list(psf.values.shape)}
    return facts | {"fingerprint": psf.fingerprint}


def _size(psf: Psf) -> str:
    """Samples and their size, said once where they are alike."""
    steps = psf.spacing_um[-1:] if len({round(um, 9) for um in psf.spacing_um}) == 1 else psf.spacing_um
    return f"{' x '.join(map(str, psf.values.shape))} pixels of {' x '.join(f'{um:.4g}' for um in steps)} um"
