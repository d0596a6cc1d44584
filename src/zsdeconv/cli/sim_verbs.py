"""`sim estimate` and `sim reconstruct`: the pattern of structured illumination, and the image made with it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from zsdeconv.cli.console import depths, show, show_json, show_rows
from zsdeconv.cli.measure import refuse_other_format
from zsdeconv.cli.options import Settings, Task, argument, chosen, configuration, option, takes, verbs
from zsdeconv.cli.output_checks import check_outputs, files_of_settings
from zsdeconv.errors import ImageError

if TYPE_CHECKING:
    import numpy as np

    from zsdeconv.config import Config
    from zsdeconv.image import Image
    from zsdeconv.sim.estimate import Estimation
    from zsdeconv.sim.patterns import SimParameters

sim = verbs("sim")

Raw = Annotated[Path, argument("raw frames: directions x phases, of a stack x planes", "RAW")]
_PATTERN = (
    *("na", "wavelength_nm", "immersion_ri", "excitation_nm", "otf", "input"),
    *("directions", "phases", "order", "angles_deg", "period_um"),
)
"""What an estimation has to know."""
_WITHOUT = ("crop", "scan_angle_deg", "scan_step_um", "scan_reverse")
"""Settings of the input that raw frames do not have."""


@dataclass(frozen=True, kw_only=True)
class EstimationTask(Task):
    """Where the parameters of a pattern go."""

    output: Annotated[Path, option("parameters to write (yaml)", name=("--output", "-o"), metavar="FILE")]
    plot: Annotated[Path | None, option("picture of the estimation (png, pdf, svg)", metavar="FILE")] = None


@dataclass(frozen=True, kw_only=True)
class ReconstructionTask(Task):
    """Where a reconstruction goes."""

    output: Annotated[Path, option("image to write, an OME-TIFF, or an OME-Zarr folder (.zarr)", name=("--output", "-o"), metavar="FILE")]


@sim.command(name="estimate")
@takes(options=chosen(*_PATTERN, without=_WITHOUT), task=EstimationTask)
def estimate(raw: Raw, /, *, options: Settings, task: EstimationTask) -> None:
    """Measure the illumination pattern on raw frames: wave vectors, modulation depths, phases and frame gains, with their scores.

    With --phases 5 or more, a file of more pages than directions x phases is a stack under three beams; its planes are --z-um
    apart, and --order says how planes, directions and phases follow each other. An --otf of a stack holds three orders.

    Example: zsdeconv sim estimate raw.tif -o sim.yaml --na 1.3 --wavelength-nm 525
    """
    settings = configuration(options.given(), None)
    from zsdeconv.io import atomic_path
    from zsdeconv.sim.plot import plot_estimation
    from zsdeconv.sim.setup import detection_of, measured_pattern
    from zsdeconv.sim.steady import steadied

    if task.plot is not None:
        refuse_other_format(task.plot, "--plot")
    written = [path for path in (task.output, task.plot) if path is not None]
    check_outputs(written, inputs=[raw, *files_of_settings(settings)], overwrite=task.overwrite)
    image, spacing_um = _read(raw, settings)
    lens = detection_of(settings, image.metadata.get("optics", {}), deep=len(spacing_um) == 3)
    offset = _offset(image.data, settings)
    estimation = measured_pattern(list(image.data), spacing_um, settings, lens, offset, file=raw.name)
    steadied(list(image.data), estimation.parameters, lens.detection, offset)
    with atomic_path(task.output, task.overwrite) as temporary:
        temporary.write_text(estimation.parameters.to_yaml(), encoding="utf-8")
    if task.plot is not None:
        with atomic_path(task.plot, task.overwrite) as temporary:
            plot_estimation(estimation, temporary)
    if task.json:
        show_json({"file": str(task.output)} | _facts(estimation.parameters))
    elif not task.quiet:
        show_rows(_rows(estimation))


@sim.command(name="reconstruct")
@takes(options=chosen(*_PATTERN, "sim_parameters", "wiener", without=_WITHOUT), task=ReconstructionTask)
def reconstruct(raw: Raw, /, *, options: Settings, task: ReconstructionTask) -> None:
    """Reconstruct raw frames, linearly, on the twice finer grid: float32, input units above the offset, negative noise kept.

    Planes stay planes, and stacks under three beams (--phases 5, more pages than directions x phases) stacks of as many planes.

    Example: zsdeconv sim reconstruct raw.tif -o cell.ome.tif --sim-parameters sim.yaml
    """
    settings = configuration(options.given(), None)
    wiener = settings.sim.wiener
    import numpy as np

    from zsdeconv.io import write
    from zsdeconv.sim.setup import detection_of, pattern_and_offset, reconstruction, wiener_origin
    from zsdeconv.sim.steady import steadied

    check_outputs([task.output], inputs=[raw, *files_of_settings(settings)], overwrite=task.overwrite)
    image, spacing_um = _read(raw, settings)
    lens = detection_of(settings, image.metadata.get("optics", {}), deep=len(spacing_um) == 3)
    parameters, offset = pattern_and_offset(
        list(image.data), spacing_um, settings, lens, lambda remembered: _offset(image.data, settings, remembered), file=raw.name
    )
    steady = steadied(list(image.data), parameters, lens.detection, offset)
    frames = np.stack(steady).astype("float32") - offset
    operator = reconstruction(frames[0], spacing_um, parameters, lens, wiener)
    w = operator.wiener
    provenance = {"sim": _facts(parameters), "wiener": w, "psf": operator.psf().fingerprint, "input": raw.name}
    path = write(task.output, _reconstructed(frames, operator, image), provenance=provenance, overwrite=task.overwrite)
    if task.json:
        show_json({"file": str(path), "wiener": w} | _facts(parameters))
    elif not task.quiet:
        show(f"{path}: w {w:.3g}{wiener_origin(settings)}, pixel {operator.fine_um:.4g} um")


def _read(path: Path, settings: Config) -> tuple[Image, tuple[float, ...]]:
    """The raw frames as T P *zyx, and their spacing; with five phases more pages than frames of a plane are a stack."""
    from zsdeconv.io.checks import refuse_undefined
    from zsdeconv.sim.patterns import read_parameters
    from zsdeconv.sim.raw_frames import read_frames
    from zsdeconv.sim.setup import layout_of

    known, stored = settings.input, settings.sim.parameters
    image = read_frames(path, layout_of(settings.sim), axes=known.axes, pixel_um=known.pixel_um, z_um=known.z_um)
    refuse_undefined(image)
    measured = {} if stored is None else {"X": read_parameters(stored).pixel_um, "Z": read_parameters(stored).z_um}
    spacing_um = []
    for axis in image.axes.removeprefix("TP"):
        um = image.spacing_um.get(axis, measured.get("X" if axis == "Y" else axis))
        if um is None:
            what, option = ("step between the planes", "--z-um") if axis == "Z" else ("pixel size", "--pixel-um")
            raise ImageError(f"{what} is missing in the file, the OTF depends on it; give {option} (um in the sample)")
        spacing_um.append(float(um))
    return _without_defects(image), tuple(spacing_um)


def _without_defects(image: Image) -> Image:
    """The raw frames with hot, dead and lost pixels filled from their surroundings. Warns (`DataWarning`) of them."""
    import warnings
    from dataclasses import replace

    import numpy as np

    from zsdeconv.camera.defects import filled, find_defects, told
    from zsdeconv.errors import DataWarning

    defects = [find_defects(sample) for sample in image.data]
    words = told(defects)
    if not words:
        return image
    warnings.warn(f"{words} were found, left out, and restored from their surroundings", DataWarning, stacklevel=3)
    return replace(image, data=np.stack([filled(sample, each) for sample, each in zip(image.data, defects, strict=True)]))


def _offset(data: np.ndarray, settings: Config, stored: float | None = None) -> float:
    """The camera's offset (ADU): the number given, or that of the stored pattern, or as measured on the frames."""
    for given in (settings.input.background, stored):
        if isinstance(given, int | float):
            return float(given)
    from zsdeconv.camera import calibrate

    planes = data.reshape(-1, *data.shape[-2:])
    return float(calibrate(planes[:: -(-len(planes) // 18)], memory=False).camera.offset)


def _reconstructed(frames: np.ndarray, operator: Any, image: Image) -> Image:
    """All time points, one after the other."""
    import numpy as np
    import torch

    from zsdeconv.image import Image

    with torch.no_grad():
        done = np.stack([operator(torch.from_numpy(moment)[None])[0, 0].numpy() for moment in frames])
    axes = "ZYX"[-len(operator.fine_spacing_um) :]
    spacing_um = dict(zip(axes, operator.fine_spacing_um, strict=True))
    data, axes = (done[0], axes) if len(done) == 1 else (done, f"T{axes}")
    return Image(data, axes, spacing_um, offset=0.0, metadata={**image.metadata, "kind": "reconstructed", "combined_axis": "P"})


def _facts(parameters: SimParameters) -> dict[str, Any]:
    """The parameters as plain values."""
    import yaml

    return yaml.safe_load(parameters.to_yaml())


def _rows(estimation: Estimation) -> list[tuple[str, str]]:
    rows = [
        (
            f"direction {number}",
            f"{direction.angle_deg:.2f} degrees, period {direction.finest_um:.4f} um, depth {depths(peak.depths)}, "
            f"phase {direction.phase_rad:+.2f} rad, score {peak.score:.1f} (limit {peak.limit:.1f})",
        )
        for number, (direction, peak) in enumerate(zip(estimation.parameters.directions, estimation.peaks, strict=True), 1)
    ]
    gains = [gain for direction in estimation.parameters.directions for gain in direction.gains]
    return [*rows, ("frame gains", f"{min(gains):.3f} to {max(gains):.3f}")]
