"""`calibrate`: what the camera is like."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from zsdeconv.cli.console import show_json, show_rows
from zsdeconv.cli.options import Settings, Written, argument, chosen, option, takes
from zsdeconv.cli.output_checks import check_outputs
from zsdeconv.errors import ConfigError, DataWarning, ImageError
from zsdeconv.findings import rounded

if TYPE_CHECKING:
    import numpy as np

    from zsdeconv.camera import Calibration
    from zsdeconv.camera.maps import CameraMaps

MAP_FORMATS = (".yaml", ".yml")
PLOT_FORMATS = (".png", ".pdf", ".svg")


@dataclass(frozen=True, kw_only=True)
class CalibrationTask(Written):
    """Frames of known light, and where the picture of the fit goes."""

    dark: Annotated[Path | None, option("frames without light", metavar="FILE", group="Input")] = None
    flat: Annotated[Path | None, option("frames of even light, at one level or several", metavar="FILE", group="Input")] = None
    output: Annotated[
        Path | None,
        option(
            "maps of each pixel from dark and flat frames (yaml, for `--camera`), or picture of the fit (png, pdf, svg)",
            name=("--output", "-o"),
            metavar="FILE",
        ),
    ] = None


Images = Annotated[Path, argument("image files; none are needed for maps", "INPUT...")]


@takes(settings=chosen("axes", "background", "detector"), task=CalibrationTask)
def calibrate(*inputs: Images, settings: Settings, task: CalibrationTask) -> None:
    """Measure offset, gain and read noise of the camera, with uncertainties, from images or from dark and flat frames.

    With -o camera.yaml, dark and flat frames give maps of each pixel, for `run`, `train` and `predict`.

    Example: zsdeconv calibrate --dark dark.tif --flat flat.tif -o camera.yaml
    """
    from zsdeconv import camera as noise

    given = settings.given()
    if task.output is not None and task.output.suffix.lower() in MAP_FORMATS:
        _calibrate_pixels(inputs, given, task)
        return
    if not inputs:
        raise ConfigError("0 images: give one after calibrate, or --dark and --flat with -o camera.yaml for maps of each pixel")
    axes, offset, output = given.get("axes"), given.get("background"), task.output
    if output is not None:
        refuse_other_format(output, "-o")
        check_outputs([output], inputs=_read_by(inputs, task), overwrite=task.overwrite)
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


def _calibrate_pixels(inputs: Sequence[Path], given: Mapping[str, Any], task: CalibrationTask) -> None:
    """Maps of each pixel; images, where some are given, are compared with them."""
    from zsdeconv.camera.frames import calibrate_frames
    from zsdeconv.camera.maps import CameraMaps, examined, map_files

    if task.output is None or task.dark is None or task.flat is None:
        missing = "--flat" if task.dark is not None else "--dark" if task.flat is not None else "--dark and --flat"
        raise ConfigError(
            f"maps of each pixel without {missing}: both are needed; give {missing} with frames of the same part of the sensor"
        )
    _refuse_numbers_beside_maps(given)
    check_outputs([*map_files(task.output).values(), task.output], inputs=_read_by(inputs, task), overwrite=task.overwrite)
    axes = given.get("axes")
    dark, flat = (frames for path in (task.dark, task.flat) if (frames := _extra(path, axes)) is not None)
    maps = CameraMaps.measure(dark, flat)
    messages: tuple[str, ...] = ()
    if inputs:
        frames, _ = examined(list(_frames(inputs, axes)), maps)
        messages = maps.calibrated(calibrate_frames(frames, None, "camera")).messages
    written = maps.save(task.output, overwrite=task.overwrite)
    facts = {"files": [str(path) for path in inputs], **maps.to_dict(), "messages": list(messages)}
    if task.json:
        show_json(facts | {"outputs": [str(path) for path in written]})
        return
    show_rows(_map_rows(maps))
    _warn(messages)
    show_rows(("wrote", str(path)) for path in written)


def _read_by(inputs: Sequence[Path], task: CalibrationTask) -> list[Path]:
    """Every file that a calibration reads."""
    return [*inputs, *(path for path in (task.dark, task.flat) if path is not None)]


def _refuse_numbers_beside_maps(given: Mapping[str, Any]) -> None:
    if given.get("detector") not in (None, "auto", "camera"):
        raise ConfigError(f"--detector {given['detector']} with maps: its pixels do not differ, only those of a camera do; leave out -o")
    if isinstance(given.get("background"), float):
        raise ConfigError(f"--background {given['background']:g} with maps: dark frames measure it; leave out --background")


def _map_rows(maps: CameraMaps) -> list[tuple[str, str]]:
    law, (offset, gain, read), (dark, flat) = maps.law, maps.sigmas, maps.frames
    spread = {name: getattr(maps, name)[~maps.bad].std() for name in ("offset", "gain")}
    size = " x ".join(map(str, maps.offset.shape))
    return [
        ("maps", f"{size} pixels from {dark} dark and {flat} flat frames"),
        ("offset", f"{law.offset:.2f} +- {rounded(offset)} ADU, pixels differ by {rounded(spread['offset'])}"),
        ("gain", f"{law.gain:.3f} +- {rounded(gain)} ADU per photo-electron, pixels differ by {100 * spread['gain'] / law.gain:.2g} %"),
        ("read noise", f"{law.read_noise:.2f} +- {rounded(read)} ADU"),
        ("left out", f"{int(maps.bad.sum())} hot, noisy or dead pixels ({100 * maps.bad.mean():.2g} %)"),
    ]


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
        ("noise correlation", _correlation_words(calibration)),
        *(
            [("line offsets", f"rows {rounded(camera.lines.rows)}, columns {rounded(camera.lines.columns)} ADU (rms)")]
            if camera.lines
            else []
        ),
    ]


def _correlation_words(calibration: Calibration) -> str:
    memory = calibration.camera.correlation
    if not memory:
        return f"{calibration.noise_correlation:+.3f} between neighbours"
    gain = calibration.camera.gain * memory.pixels
    values = f"{memory.along_x:+.3f} between neighbours along x, {memory.along_y:+.3f} along y, +- {memory.sigma:.3f}"
    return f"{values}; before it, the gain was {gain:.3g} ADU per photo-electron"


def _warn(messages: tuple[str, ...]) -> None:
    import warnings

    for message in messages:
        warnings.warn(message, DataWarning, stacklevel=3)
