"""`evaluate`: a restored image against its truth, or how far to trust it without one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from zsdeconv.cli.console import show_json, show_rows
from zsdeconv.cli.inputs import read_again
from zsdeconv.cli.options import Settings, Written, argument, chosen, option, takes
from zsdeconv.cli.output_checks import check_outputs
from zsdeconv.cli.wording import with_options
from zsdeconv.errors import ConfigError, ImageError

if TYPE_CHECKING:
    from zsdeconv.image import Image
    from zsdeconv.physics.psf import Psf

SAME_IMAGE = 0.01
"""Difference from what the model makes, as a share of the maximum, up to which an image counts as made by it: devices round differently."""


WITHOUT = "Without TRUTH"
"""Heading of the options that belong to a prediction without a truth."""


@dataclass(frozen=True, kw_only=True)
class EvaluationTask(Written):
    """What a prediction is compared with."""

    psf: Annotated[
        Path | None, option("measure the flux through this PSF (of a deconvolved image)", metavar="FILE", group="With TRUTH")
    ] = None
    resolution_um: Annotated[
        float | None,
        option(
            "also compare with the truth blurred to this width, micrometres: soft_psnr, soft_ssim", metavar="NUMBER", group="With TRUTH"
        ),
    ] = None
    model: Annotated[Path | None, option("the model that made PRED (.zsd)", metavar="FILE", group=WITHOUT)] = None
    raw: Annotated[Path | None, option("the image that PRED was made of", metavar="FILE", group=WITHOUT)] = None
    report: Annotated[Path | None, option("write the report, too (.html)", metavar="FILE", group=WITHOUT)] = None


@takes(
    settings=chosen(
        *("axes", "pixel_um", "psf_pixel_um", "psf_z_um"),
        help={"pixel_um": "pixel size of TRUTH or the raw image, micrometres [default: from the files]"},
    ),
    task=EvaluationTask,
)
def evaluate(
    prediction: Annotated[Path, argument("restored image", "PRED")],
    truth: Annotated[Path | None, argument("what it should be, if known", "TRUTH")] = None,
    /,
    *,
    settings: Settings,
    task: EvaluationTask,
) -> None:
    """Score an image against its truth, or say how far to trust it without one.

    With TRUTH: psnr and ssim after an affine fit, resolution by FRC, photometry without any fit. Without, given --model and --raw: the
    numbers of the report of a run.

    Example: zsdeconv evaluate restored/noisy_denoised.ome.tif clean.tif
    """
    given = settings.given()
    without = {"--model": task.model, "--raw": task.raw, "--report": task.report}
    _refuse_ignored(without if truth is not None else {"--psf": task.psf, "--resolution-um": task.resolution_um}, truth is not None)
    if truth is None:
        _evaluate_alone(prediction, given, task)
        return
    from zsdeconv.io import read
    from zsdeconv.metrics import evaluate as scores_of

    axes = given.get("axes")
    first, second = read(prediction, axes=axes), read(truth, axes=axes, pixel_um=given.get("pixel_um"))
    kernel = None if task.psf is None else _psf_for(task.psf, first, given.get("psf_pixel_um"), given.get("psf_z_um"))
    scores = scores_of(first, second, psf=kernel, resolution_um=task.resolution_um)
    if task.json:
        show_json({"prediction": str(prediction), "truth": str(truth)} | scores)
    else:
        show_rows((name, f"{value:.4f}" if isinstance(value, float) else _words(value)) for name, value in scores.items())


def _refuse_ignored(others: Mapping[str, object], with_truth: bool) -> None:
    """Raise `ConfigError` for an option that belongs to the other of the two questions."""
    for name, value in others.items():
        if value is not None:
            asked = "with a truth" if with_truth else "without a truth"
            raise ConfigError(
                f"{name} {value} {asked}: it would not be used; leave out {'one of the two' if with_truth else 'it, or give TRUTH'}"
            )


def _evaluate_alone(prediction: Path, given: Mapping[str, Any], task: EvaluationTask) -> None:
    """What can be said of a prediction without its truth: the model restores the raw image again, and must arrive at it."""
    if task.model is None or task.raw is None:
        raise ConfigError(f"{prediction.name} without a truth: give TRUTH after it, or --model and --raw, which it was made with and of")
    check_outputs([] if task.report is None else [task.report], inputs=[prediction, task.model, task.raw], overwrite=task.overwrite)
    from zsdeconv.channels import load
    from zsdeconv.io import read

    loaded, result = load(task.model), read(prediction)
    restored = loaded.predict(read_again(task.raw, loaded, given.get("axes"), given.get("pixel_um")))
    restored = restored.as_recorded() if result.metadata.get("scan") else restored
    refuse_other(prediction, result, restored.deconvolved)
    found = restored.report(task.raw.name)
    if task.report is not None:
        found.save(task.report, task.overwrite)
    if task.json:
        show_json({"prediction": str(prediction), "model": str(task.model), "raw": str(task.raw), **found.to_dict()})
    else:
        show_rows(
            (finding.level.replace("_", " "), with_options(finding.message)) for section in found.sections for finding in section.findings
        )


def refuse_other(path: Path, found: Image, made: Image) -> None:
    """Raise `ImageError` unless an image is the one that the model makes, up to rounding on another device."""
    import numpy as np

    advice = "give the deconvolved image, and the --model and --raw that belong to it"
    if found.data.shape != made.data.shape:
        raise ImageError(f"{path.name} of {found.data.shape} pixels, the model makes {made.data.shape} of that raw image; {advice}")
    difference = np.where(np.isnan(found.data) & np.isnan(made.data), 0.0, found.data - made.data)
    off = float(np.abs(difference).max()) / max(float(np.nanmax(np.abs(made.data))), 1e-30)
    if not off <= SAME_IMAGE:
        off = off if np.isfinite(off) else 1.0
    if off > SAME_IMAGE:
        limit = f"{100 * off:.2g} % of its maximum (limit {100 * SAME_IMAGE:g} %)"
        raise ImageError(f"{path.name} differs from what the model makes of the raw image by {limit}; {advice}")


def _psf_for(path: Path, image: Image, pixel_um: float | None, z_um: float | None) -> Psf:
    """The PSF in a file: that of a stack for a stack."""
    from zsdeconv.physics.psf_file import read_psf

    return read_psf(path, pixel_um=pixel_um, z_um=z_um, rank=3 if image.sizes.get("Z", 1) > 1 else 2)


def _words(value: Any) -> str:
    return {None: "unknown", True: "yes", False: "no"}.get(value, str(value)) if not isinstance(value, str) else value
