"""What a training is expected to do is what it does."""

from collections.abc import Iterator, Sequence

import numpy as np
import pytest

import zsdeconv as zs
from zsdeconv.config import resolve
from zsdeconv.progress.tasks import Task, Watch, watched
from zsdeconv.training.expected import Effort, announced_phases, training_tasks

TINY = {
    "network": {"channels": (4, 8)},
    "training": {"patch_px": 24, "batch": 1, "steps": 8, "validate_every": 2},
    "prediction": {"passes": 2},
    "input": {"pixel_um": 0.065},
}
LENS = zs.Optics(na=1.3, wavelength_nm=525)


def leaves(tasks: Sequence[Task]) -> Iterator[Task]:
    for each in tasks:
        yield from leaves(each.parts) if each.parts else [each]


@pytest.mark.parametrize("training", [{}, {"ensemble": 2}, {"minutes": 0.002}])
def test_every_task_that_was_announced_is_done_and_no_other(training: dict[str, float]) -> None:
    """Announced before the network is there, and again when its speed is known: the time left holds for the tasks that come."""
    counts = np.random.default_rng(0).poisson(np.linspace(9, 200, 48), (40, 48))
    budget = {name: value for name, value in TINY["training"].items() if name != "steps" or "minutes" not in training}
    config = resolve({**TINY, "training": {**budget, **training}})
    watch = Watch()
    with watched(watch):
        zs.restore(counts, LENS, config=config)
    assert all(part.ended is not None for part in leaves(watch.root.parts))
    assert all(part.work is not None for part in leaves(watch.root.parts) if part.words != "preparing")
    words = [part.words for part in leaves(watch.root.parts)]
    phases = ["learning to denoise", "estimating the object", "learning to deconvolve"]
    members = [f"{each}, network {n}" if each.startswith("learning") else each for n in (1, 2) for each in phases]
    learning = members if "ensemble" in training else phases
    assert words == ["preparing", *learning, "measuring the brightness", "preparing", "restoring"]


def test_the_published_networks_have_one_phase() -> None:
    config = resolve({"preset": "paper"})
    words = [each.words for each in training_tasks(config, announced_phases(config, 10_000), [(100, 100)])]
    assert words == ["learning to denoise and deconvolve", "measuring the brightness"]


def test_work_is_counted_in_pixels_through_the_network() -> None:
    """Stage 1 ends at its bound: an image of 96 x 96 pixels has 259 steps, not half of 1800."""
    config = resolve({})
    tasks = {each.words: each for each in training_tasks(config, announced_phases(config, 96 * 96), [(96, 96)], Effort(0.25, 0.1))}
    assert tasks["learning to denoise"].work == pytest.approx(259 * 8 * 64 * 64 * 0.25 * 4, rel=0.05)
    assert tasks["learning to deconvolve"].work == pytest.approx(0.45 * 1800 * 8 * 64 * 64 * 1.8, rel=0.1)
    timed = training_tasks(resolve({"training": {"minutes": 5.0}}), announced_phases(config, 96 * 96), [(96, 96)])
    assert sum(each.work or 0 for each in timed if each.kind == "clock") == pytest.approx(300)


@pytest.mark.parametrize(("pixel_s", "kinds"), [(1e-7, ["network", "clock"]), (1e-4, ["clock", "clock"])])
def test_a_budget_of_time_is_not_waited_for_where_the_image_allows_fewer_steps(pixel_s: float, kinds: list[str]) -> None:
    """259 steps of stage 1 take a second or a quarter of an hour, of five minutes in all."""
    config = resolve({"training": {"minutes": 5.0}})
    tasks = training_tasks(config, announced_phases(config, 96 * 96), [(96, 96)], Effort(0.25, 0.1, pixel_s))
    assert [each.kind for each in tasks if "learning" in each.words] == kinds
    assert tasks[0].work == pytest.approx(259 * 8 * 64 * 64 * 0.25 * 4, rel=0.05) or kinds[0] == "clock"
