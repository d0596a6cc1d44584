"""`deskew`: a stack of a stage that moves at an angle to the sheet, in the directions of camera and detection axis."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from zsdeconv.cli.console import show, show_json
from zsdeconv.cli.options import Settings, Written, argument, chosen, configuration, option, takes
from zsdeconv.cli.output_checks import check_outputs

SCAN = ("scan_angle_deg", "scan_step_um", "scan_reverse", "axes", "pixel_um", "scene")
"""Settings that the verb takes."""


@dataclass(frozen=True, kw_only=True)
class DeskewTask(Written):
    """Where the image goes."""

    output: Annotated[Path, option("image to write, an OME-TIFF, or an OME-Zarr folder (.zarr)", name=("--output", "-o"), metavar="FILE")]
    quiet: Annotated[bool, option("no summary; errors and warnings only", name=("--quiet", "-q"))] = False


@takes(options=chosen(*SCAN), task=DeskewTask)
def deskew(
    image: Annotated[Path, argument("stack of a scan at an angle, raw or restored with --no-deskew", "FILE")],
    /,
    *,
    options: Settings,
    task: DeskewTask,
) -> None:
    """Shift the planes of a skewed stack along y to where they lie in the sample: float32, pixels that no plane has seen are NaN.

    `run` deskews its results by itself. Deskew a raw stack to look at it, not before it is restored: the noise goes through the
    interpolation, and no method can tell it from structure afterwards.

    Example: zsdeconv deskew stack.tif -o upright.ome.tif --scan-angle-deg 31.5 --scan-step-um 0.4
    """
    known = configuration(options.given(), None).input
    check_outputs([task.output], inputs=[image], overwrite=task.overwrite)
    from zsdeconv.io import read, write
    from zsdeconv.prediction.upright import deskew as deskewed

    stack = read(image, axes=known.axes, pixel_um=known.pixel_um, scene=known.scene)
    upright = deskewed(stack, scan_angle_deg=known.scan_angle_deg, scan_step_um=known.scan_step_um, scan_reverse=known.scan_reverse)
    provenance = {**upright.metadata.get("provenance", {}), "deskewed_from": image.name}
    path = write(task.output, upright, provenance=provenance, overwrite=task.overwrite)
    facts = {"file": str(path), "sizes": upright.sizes, "spacing_um": dict(upright.spacing_um), **upright.metadata["deskewed"]}
    if task.json:
        show_json(facts)
    elif not task.quiet:
        sizes = " x ".join(map(str, upright.shape))
        um = ", ".join(f"{axis} {size:.4g}" for axis, size in upright.spacing_um.items())
        show(f"{path}: {sizes} pixels ({upright.axes}), um: {um}")
