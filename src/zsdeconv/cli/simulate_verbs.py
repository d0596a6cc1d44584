"""`simulate 2d`, `3d`, `sim2d` and `sim3d`: images of a known object, and raw frames of it under structured illumination."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, make_dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from zsdeconv.cli.console import show, show_json
from zsdeconv.cli.options import Settings, Task, metavar_of, option, plain, takes, typed, verbs
from zsdeconv.cli.output_checks import check_outputs
from zsdeconv.cli.scene_options import PLANE, SCENE_OPTIONS, SIM_PLANE, SIM_STACK, STACK
from zsdeconv.cli.wording import flag_of
from zsdeconv.config import Setting

if TYPE_CHECKING:
    from zsdeconv.simulation.scenes import Scene
    from zsdeconv.simulation.widefield import Simulation

simulate = verbs("simulate")


@dataclass(frozen=True, kw_only=True)
class SimulationTask(Task):
    """Where a simulation goes."""

    output: Annotated[Path, option("folder for noisy, clean, truth, psf and settings", name=("--output", "-o"), metavar="DIR")]


def scene_settings(defaults: Mapping[str, Any]) -> type[Settings]:
    """The options of a kind of scene, from the table of its `defaults`, which the help shows."""
    taken = []
    for name, choice in SCENE_OPTIONS.items():
        if name in defaults:
            hint = plain(choice.hint)
            words = Setting(choice.help, choice.unit).phrase(defaults[name])
            taken.append(typed(name, hint, option(words, name=flag_of(name), metavar=metavar_of(hint), group=choice.group)))
    made = make_dataclass("SceneSettings", taken, bases=(Settings,), frozen=True, kw_only=True)
    made.__module__ = __name__
    return made


@simulate.command(name="2d")
@takes(scene=scene_settings(PLANE), task=SimulationTask)
def simulate_2d(*, scene: Settings, task: SimulationTask) -> None:
    """Simulate camera frames of a known object: noisy.tif, clean.tif, truth.tif (twice finer grid), psf.tif, settings.yaml.

    Example: zsdeconv simulate 2d -o simulated --structure filaments --photons 20
    """
    from zsdeconv.simulation import widefield as simulation

    _simulate(simulation.simulate_2d, simulation.Scene, scene, task)


@simulate.command(name="3d")
@takes(scene=scene_settings(STACK), task=SimulationTask)
def simulate_3d(*, scene: Settings, task: SimulationTask) -> None:
    """Simulate stacks of a known object: noisy.tif, clean.tif, truth.tif (twice finer along y and x), psf.tif, settings.yaml.

    The sample goes on above and below the stack and sends its light into it. The microscope is by default a light sheet
    with a water-immersion objective.

    Example: zsdeconv simulate 3d -o simulated --planes 16 --microscope confocal
    """
    from zsdeconv.simulation import widefield as simulation

    _simulate(simulation.simulate_3d, simulation.StackScene, scene, task)


@simulate.command(name="sim2d")
@takes(scene=scene_settings(SIM_PLANE), task=SimulationTask)
def simulate_sim2d(*, scene: Settings, task: SimulationTask) -> None:
    """Simulate raw frames of two-beam structured illumination: noisy.tif, clean.tif (wide-field), truth.tif, psf.tif, settings.yaml.

    noisy.tif holds directions x phases frames (axes PYX), clean.tif the mean of the frames without noise, truth.tif the object on
    a twice finer grid. settings.yaml states the true wave vectors, phases and modulation. At least 3 phases are needed.

    Example: zsdeconv simulate sim2d -o fringes --period-um 0.2 --photons 50
    """
    from zsdeconv.simulation import structured as simulation

    _simulate(simulation.simulate_sim2d, simulation.SimScene, scene, task)


@simulate.command(name="sim3d")
@takes(scene=scene_settings(SIM_STACK), task=SimulationTask)
def simulate_sim3d(*, scene: Settings, task: SimulationTask) -> None:
    """Simulate raw stacks of three-beam structured illumination: noisy.tif, clean.tif (wide-field), truth.tif, psf.tif, settings.yaml.

    noisy.tif holds directions x phases frames of each plane (axes ZPYX), clean.tif the mean of the frames without noise, truth.tif
    the object on a grid twice finer along y and x. settings.yaml states the true wave vectors, phases and modulation. At least 5
    phases are needed.

    Example: zsdeconv simulate sim3d -o fringes --planes 8 --photons 100
    """
    from zsdeconv.simulation import structured as simulation

    _simulate(simulation.simulate_sim3d, simulation.SimStackScene, scene, task)


def _simulate(make: Callable[[Any], Simulation], kind: type[Scene], chosen: Settings, task: SimulationTask) -> None:
    """Images of the scene that the options describe: make, write and name them."""
    from zsdeconv.simulation.widefield import files_in, settings, write_simulation

    scene = kind(**chosen.given())
    check_outputs(files_in(task.output).values(), inputs=(), overwrite=task.overwrite)
    paths = write_simulation(make(scene), task.output, overwrite=task.overwrite)
    if task.json:
        show_json({"files": {name: str(path) for name, path in paths.items()}, "settings": settings(scene)})
    elif not task.quiet:
        names = ", ".join(path.name for path in paths.values())
        show(f"{scene.structure}, {scene.photons:g} photo-electrons in a bright pixel: {names} in {task.output}")
