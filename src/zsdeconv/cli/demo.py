"""`demo`: one noisy image, or stack, from nothing to a picture: simulate, restore, score, draw.

The steps are the commands that a user would type, shown as they run. FOLDER/restoration.png shows the result beside the truth and
beside Richardson-Lucy, which is stopped at its best iteration by looking at the truth. FOLDER/scores.json has the numbers.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from zsdeconv.cli.app import invoke
from zsdeconv.cli.console import show, show_json
from zsdeconv.cli.options import Task, option, takes
from zsdeconv.cli.output_checks import check_outputs

if TYPE_CHECKING:
    import numpy as np

SEED = 4
"""Chosen: filaments that cross at several angles, at 20 photo-electrons in a bright pixel."""
OFFSET = 100.0
"""Camera offset of every simulated image, ADU, unless `--offset` is given: that of `zsdeconv.simulation.scenes.Scene`."""
RESOLUTION_GAIN = 1.7
"""How much finer than wavelength / (2 NA) the finest detail is that the scores ask for. Chosen: what restorations of such images reach."""
RL_COUNTS = (1, 2, 3, 4, 6, 8, 10, 12, 15, 20, 30)
"""Iterations among which Richardson-Lucy is stopped. Chosen: the best lies well inside for 20 photo-electrons."""

Scores = dict[str, dict[str, Any]]


@dataclass(frozen=True)
class Scene:
    """What is simulated and with which optics: the options of `zsdeconv simulate KIND` and those of `zsdeconv run`."""

    simulation: str
    optics: str
    spacing_um: tuple[float, ...]
    finest_um: float


PLANE = Scene(
    "2d --structure filaments --photons 20 --size 256 --pixel-um 0.065",
    "--na 1.4 --wavelength-nm 525 --immersion-ri 1.515",
    (0.065,),
    0.525 / (2 * 1.4),
)
"""A wide-field image under an oil-immersion objective."""
STACK = Scene(
    "3d --structure filaments --photons 20 --size 128 --planes 24 --pixel-um 0.1 --z-um 0.2",
    "--na 1.1 --wavelength-nm 525 --immersion-ri 1.33 --microscope lightsheet --sheet-um 1.0",
    (0.2, 0.1),
    0.525 / (2 * 1.1),
)
"""A light-sheet stack under a water-immersion objective."""


@dataclass(frozen=True, kw_only=True)
class DemoTask(Task):
    """What is demonstrated, and where the files go."""

    output: Annotated[
        Path, option("folder for images, scores and picture [default: zsdeconv-demo]", name=("--output", "-o"), metavar="DIR")
    ] = Path("zsdeconv-demo")
    stack: Annotated[bool, option("a light-sheet stack instead of a wide-field image", group="Input")] = False
    minutes: Annotated[float | None, option("training budget in minutes [default: of the preset]", metavar="NUMBER", group="Training")] = (
        None
    )


@takes(task=DemoTask)
def demo(*, task: DemoTask) -> None:
    """Show what zsdeconv does, on an image whose truth is known: simulate it, restore it, score it, draw it.

    The commands are shown as they run. It takes a few minutes on two processor cores, and --minutes makes it shorter.

    Example: zsdeconv demo -o zsdeconv-demo
    """
    from zsdeconv.cli.demo_picture import draw, draw_stack
    from zsdeconv.io import read

    picture, table = task.output / "restoration.png", task.output / "scores.json"
    check_outputs([picture, table], inputs=(), overwrite=task.overwrite)
    scene = STACK if task.stack else PLANE
    files = _restored(scene, task)
    images = {name: read(path).data for name, path in files.items()}
    images["noisy"] = images["noisy"].astype("float32") - OFFSET
    images["richardson_lucy"] = _best_richardson_lucy(images["noisy"], images["psf"], images["truth"])
    files["richardson_lucy"] = _written_like(task.output / "richardson_lucy.ome.tif", images["richardson_lucy"], files["truth"])
    scores = _scores(files, scene.finest_um / RESOLUTION_GAIN)
    table.write_text(json.dumps(scores, indent=1) + "\n", encoding="utf-8")
    (draw_stack if task.stack else draw)(images, scores, scene.spacing_um, picture)
    if task.json:
        show_json({"folder": str(task.output), "picture": str(picture), "scores": scores})
    elif not task.quiet:
        show(f"\n{_table(scores)}\n\n{picture}\n{task.output / 'restored' / 'noisy_report.html'}")


def _restored(scene: Scene, task: DemoTask) -> dict[str, Path]:
    """Simulate an image and restore it; the files by name."""
    budget = "" if task.minutes is None else f"--minutes {task.minutes:g}"
    simulated, restored = task.output / "simulated", task.output / "restored"
    _command(task, "simulate", *scene.simulation.split(), *scene.optics.split(), "--seed", SEED, "-o", simulated, "--overwrite")
    _command(task, "run", simulated / "noisy.tif", *scene.optics.split(), *budget.split(), "-o", restored, "--overwrite")
    made = {name: restored / f"noisy_{name}.ome.tif" for name in ("denoised", "deconvolved")}
    return made | {name: simulated / f"{name}.tif" for name in ("noisy", "clean", "truth", "psf")}


def _command(task: Task, *words: object) -> None:
    """Run one command line, shown as a user would type it."""
    line = [str(word) for word in words]
    if not task.silent:
        show(f"\n$ zsdeconv {shlex.join(line)}")
    invoke([*line, "--quiet"] if task.silent else line)


def _best_richardson_lucy(raw: np.ndarray, psf: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Plain Richardson-Lucy with the true PSF and offset, at the iteration count that comes closest to the truth."""
    import torch

    from zsdeconv.metrics import psnr
    from zsdeconv.physics.deconvolve import richardson_lucy
    from zsdeconv.physics.operators import forward_model

    y = torch.from_numpy(raw)[None, None]
    estimates = richardson_lucy(y, forward_model(psf, raw.ndim, 2), RL_COUNTS, momentum=None)
    return max((x[0, 0].numpy() for x in estimates), key=lambda x: psnr(x, truth))


def _written_like(path: Path, data: np.ndarray, like: Path) -> Path:
    """Write an image with the axes and the pixel size of another file."""
    from zsdeconv.io import read, write

    provenance = {"method": "Richardson-Lucy, iteration count chosen by the truth"}
    return write(path, replace(read(like), data=data), provenance=provenance, overwrite=True)


def _scores(files: Mapping[str, Path], resolution_um: float) -> Scores:
    """Raw and denoised against the noise-free frame; both deconvolved images against the object."""
    from zsdeconv.io import read
    from zsdeconv.metrics import evaluate
    from zsdeconv.physics.psf_file import read_psf

    scores: Scores = {}
    for name, reference in {"noisy": "clean", "denoised": "clean", "richardson_lucy": "truth", "deconvolved": "truth"}.items():
        image, truth = read(files[name]), read(files[reference])
        blurred = {}
        if reference == "truth":
            psf = read_psf(files["psf"], rank=3 if image.sizes.get("Z", 1) > 1 else 2)
            blurred = {"psf": psf, "resolution_um": resolution_um}
        scores[name] = {"prediction": str(files[name]), "truth": str(files[reference])} | evaluate(image, truth, **blurred)
    return scores


def _table(scores: Scores) -> str:
    """The scores for people; soft_psnr compares with the truth blurred to what can be reached."""
    formats = {"psnr": ".2f", "soft_psnr": ".2f", "ssim": ".3f", "frc_nm": ".0f", "flux_slope": ".3f"}
    lines = [f"{'':16}" + "".join(f"{name:>12}" for name in formats)]
    for image, found in scores.items():
        cells = (f"{found[name]:{form}}" if found.get(name) is not None else "" for name, form in formats.items())
        lines.append(f"{image.replace('_', '-'):16}" + "".join(f"{cell:>12}" for cell in cells))
    return "\n".join(lines)
