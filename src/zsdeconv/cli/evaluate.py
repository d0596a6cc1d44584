"""`evaluate`: a restored image against its truth, or how far to trust it without one."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from zsdeconv.cli import options
from zsdeconv.cli.console import show_json, show_rows
from zsdeconv.cli.restore import read_again
from zsdeconv.cli.results import refuse_existing
from zsdeconv.errors import ConfigError, ImageError

if TYPE_CHECKING:
    from zsdeconv.image import Image
    from zsdeconv.physics.psf import Psf

SAME_IMAGE = 0.01
"""Difference from what the model makes, as a share of the maximum, up to which an image counts as made by it: devices round differently."""


def evaluate(
    prediction: Annotated[Path, typer.Argument(metavar="PRED", help="restored image", show_default=False)],
    truth: Annotated[Path | None, typer.Argument(metavar="TRUTH", help="what it should be, if known", show_default=False)] = None,
    model: Annotated[Path | None, typer.Option(metavar="FILE", help="without TRUTH: the model that has made PRED (.zsd)")] = None,
    raw: Annotated[Path | None, typer.Option(metavar="FILE", help="without TRUTH: the image that PRED was made of")] = None,
    report: Annotated[Path | None, typer.Option("--report", metavar="FILE", help="without TRUTH: write the report, too (.html)")] = None,
    psf: Annotated[Path | None, typer.Option(metavar="FILE", help="measure the flux through this PSF (of a deconvolved image)")] = None,
    psf_pixel_um: options.PsfPixelUm = None,
    psf_z_um: options.PsfZUm = None,
    resolution_um: Annotated[
        float | None, typer.Option(help="also compare with the truth blurred to this width, micrometres: soft_psnr, soft_ssim")
    ] = None,
    pixel_um: Annotated[
        float | None, typer.Option(help="pixel size of TRUTH or the raw image, micrometres [default: from the files]")
    ] = None,
    axes: options.Axes = None,
    overwrite: options.Overwrite = False,
    json: options.Json = False,
) -> None:
    """Score an image against its truth, or say how far to trust it without one.

    With TRUTH: psnr and ssim after an affine fit, resolution by FRC, photometry without any fit. Without, given --model and --raw: the
    numbers of the report of a run.
    """
    without = {"--model": model, "--raw": raw, "--report": report}
    _refuse_ignored(without if truth is not None else {"--psf": psf, "--resolution-um": resolution_um}, truth is not None)
    if truth is None:
        _evaluate_alone(prediction, model, raw, report, axes, pixel_um, overwrite, json)
        return
    from zsdeconv.io import read
    from zsdeconv.metrics import evaluate as scores_of

    first, second = read(prediction, axes=axes), read(truth, axes=axes, pixel_um=pixel_um)
    kernel = None if psf is None else _psf_for(psf, first, psf_pixel_um, psf_z_um)
    scores = scores_of(first, second, psf=kernel, resolution_um=resolution_um)
    if json:
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


def _evaluate_alone(
    prediction: Path,
    model: Path | None,
    raw: Path | None,
    page: Path | None,
    axes: str | None,
    pixel_um: float | None,
    overwrite: bool,
    json: bool,
) -> None:
    """What can be said of a prediction without its truth: `model` restores `raw` again, and must arrive at it."""
    if model is None or raw is None:
        raise ConfigError(f"{prediction.name} without a truth: give TRUTH after it, or --model and --raw, which it was made with and of")
    refuse_existing([] if page is None else [page], overwrite)
    from zsdeconv.io import read
    from zsdeconv.model import load

    loaded = load(model)
    restored = loaded.predict(read_again(raw, loaded, axes, pixel_um))
    refuse_other(prediction, read(prediction), restored.deconvolved)
    found = restored.report(raw.name)
    if page is not None:
        found.save(page, overwrite)
    if json:
        show_json({"prediction": str(prediction), "model": str(model), "raw": str(raw), **found.to_dict()})
    else:
        show_rows((finding.level, finding.message) for section in found.sections for finding in section.findings)


def refuse_other(path: Path, found: Image, made: Image) -> None:
    """Raise `ImageError` unless an image is the one that the model makes, up to rounding on another device."""
    import numpy as np

    advice = "give the deconvolved image, and the --model and --raw that belong to it"
    if found.data.shape != made.data.shape:
        raise ImageError(f"{path.name} of {found.data.shape} pixels, the model makes {made.data.shape} of that raw image; {advice}")
    off = float(np.abs(found.data - made.data).max()) / max(float(np.abs(made.data).max()), 1e-30)
    if off > SAME_IMAGE:
        limit = f"{100 * off:.2g} % of its maximum (limit {100 * SAME_IMAGE:g} %)"
        raise ImageError(f"{path.name} differs from what the model makes of the raw image by {limit}; {advice}")


def _psf_for(path: Path, image: Image, pixel_um: float | None, z_um: float | None) -> Psf:
    """The PSF in a file: that of a stack for a stack."""
    from zsdeconv.physics.psf_file import read_psf

    return read_psf(path, pixel_um=pixel_um, z_um=z_um, rank=3 if image.sizes.get("Z", 1) > 1 else 2)


def _words(value: Any) -> str:
    return {None: "unknown", True: "yes", False: "no"}.get(value, str(value)) if not isinstance(value, str) else value
