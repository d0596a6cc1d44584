"""`calibrate`: what the camera is like."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from zsdeconv.cli.console import show_json, show_rows
from zsdeconv.cli.options import Inputs, Settings, Written, chosen, option, takes
from zsdeconv.errors import ConfigError, DataWarning, ImageError

if TYPE_CHECKING:
    import numpy as np

    from zsdeconv.camera import Calibration

PLOT_FORMATS = (".png", ".pdf", ".svg")


@dataclass(frozen=True, kw_only=True)
class CalibrationTask(Written):
    """Frames of known light, and where the picture of the fit goes."""

    dark: Annotated[Path | None, option("frames without light", metavar="FILE", group="Input")] = None
    flat: Annotated[Path | None, option("frames of even light", metavar="FILE", group="Input")] = None
    output: Annotated[Path | None, option("picture of the fit (png, pdf, svg)", name=("--output", "-o"), metavar="FILE")] = None


@takes(settings=chosen("axes", "background", "detector"), task=CalibrationTask)
def calibrate(*inputs: Inputs, settings: Settings, task: CalibrationTask) -> None:
    """Measure offset, gain and read noise of the camera, with uncertainties, from images or from dark and flat frames.

    Example: zsdeconv calibrate cell.tif --dark dark.tif -o fit.png
    """
    from zsdeconv import camera as noise

    given = settings.given()
    axes, offset, output = given.get("axes"), given.get("background"), task.output
    if output is not None:
        refuse_other_format(output, "-o")
    calibration = noise.calibrate(
        _frames(inputs, axes),
        dark=_extra(task.dark, axes),
        flat=_extra(task.flat, axes),
        offset=offset if isinstance(offset, float) else None,
        detector=given.get("detector") or "auto",
    )
    if output is not None:
        from zsdeconv.io import atomic_path

        with atomic_path(output, task.overwrite) as temporary:
            noise.plot_calibration(calibration, temporary)
    if task.json:
        show_json({"files": [str(path) for path in inputs]} | calibration.to_dict())
    else:
        show_rows(_calibration_rows(calibration))
        _warn(calibration.messages)


def refuse_other_format(plot: Path, option: str) -> None:
    """Raise `ConfigError` for a picture whose format nothing writes."""
    if plot.suffix.lower() not in PLOT_FORMATS:
        wrong = f"plot {plot}: {plot.suffix or 'no ending'}, it must be one of {', '.join(PLOT_FORMATS)}"
        raise ConfigError(f"{wrong}; rename it with {option}")


def _frames(paths: Sequence[Path], axes: str | None) -> np.ndarray:
    """All planes of all files (t y x) without areas that hold no data: one camera took them."""
    import numpy as np

    from zsdeconv.camera.defects import known_frames
    from zsdeconv.camera.sensor_parts import equalised
    from zsdeconv.io import check_restorable, read
    from zsdeconv.io.wrapped import unwrapped

    stacks = []
    for path in paths:
        image = equalised(unwrapped(read(path, axes=axes)))
        check_restorable(image)
        stacks.append(known_frames([_stack(image, path)])[0])
        if stacks[-1].shape[1:] != stacks[0].shape[1:]:
            sizes = f"{path.name} has {stacks[-1].shape[1:]} pixels, {paths[0].name} {stacks[0].shape[1:]}"
            raise ImageError(f"{sizes}: frames calibrated together must be of one size; calibrate them one by one")
    return np.concatenate(stacks)


def _extra(path: Path | None, axes: str | None) -> np.ndarray | None:
    """Dark or flat frames (t y x); a stack without names is one of times."""
    from zsdeconv.io import read

    if path is None:
        return None
    try:
        return _stack(read(path, axes=axes), path)
    except ImageError:
        if axes is not None:
            raise
        return _stack(read(path, axes="TYX"), path)


def _stack(image: Any, path: Path) -> np.ndarray:
    """Planes (t y x) of an image of one channel."""
    if image.sizes.get("C", 1) > 1:
        raise ImageError(
            f"{path.name}: {image.sizes['C']} channels, one camera setting is calibrated at a time; save one channel as a file of its own"
        )
    planes = image.transposed("TCZYX").data
    return planes.reshape(-1, *planes.shape[-2:])


def _calibration_rows(calibration: Calibration) -> list[tuple[str, str]]:
    camera = calibration.camera
    return [
        ("detector", f"{camera.words} ({calibration.detector_source})"),
        ("offset", f"{camera.offset:.2f} +- {calibration.offset_sigma:.2f} ADU"),
        ("gain", f"{camera.gain:.3f} +- {calibration.gain_sigma:.3f} ADU per photo-electron"),
        ("read noise", f"{camera.read_noise:.2f} +- {calibration.read_noise_sigma:.2f} ADU"),
        ("saturated", f"{100 * calibration.saturated_fraction:.3g} % of the pixels"),
        ("noise correlation", f"{calibration.noise_correlation:+.3f} between neighbours"),
    ]


def _warn(messages: tuple[str, ...]) -> None:
    import warnings

    for message in messages:
        warnings.warn(message, DataWarning, stacklevel=3)
