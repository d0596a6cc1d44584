"""How long a training will take: what it does, counted in pixels that go through the network, and what such a pixel takes on this machine.

The unit of the kind "network" (`zsdeconv.progress.tasks`) is a pixel of the network's input through both stages, without gradients.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import nn

from zsdeconv.acquisition.base import Acquisition
from zsdeconv.config import Config, TrainingSection
from zsdeconv.data.patches import fitted_patch
from zsdeconv.nn.contract import as_network
from zsdeconv.physics import grid
from zsdeconv.prediction.photometry import PHOTOMETRY_WORDS, rounds_of
from zsdeconv.progress.processor import measure_processor
from zsdeconv.progress.tasks import Task, measured
from zsdeconv.training.networks import network_kind
from zsdeconv.training.objectives import OBJECT_ITERATIONS, OBJECT_PASSES, OBJECT_WORDS, most_steps, two_phases
from zsdeconv.training.trainer import words_of

Announced = tuple[str, float, int | None]
"""A phase of a training: the name of its objective, its share of the budget, and after how many steps it ends at most."""

STEP_STAGE1 = 3.8
"""A step of stage 1 in forward passes of stage 1. Fitted by benchmarks/progress.py: 3.5 for stacks to 4.1 for planes."""
STEP_STAGE2 = 1.8
"""A step of stage 2, with its simulated recordings, in forward passes of both stages. Fitted likewise: 1.7 for stacks to 1.9 for planes."""
STEP_BOTH = 4.0
"""A step of both stages at once in forward passes of them. Fitted likewise."""
VALIDATING = 1.04
"""Time of steps with their validations over the time without. Law: four batches without gradients every 50 steps, after a warm-up."""
OPERATIONS = 4
"""Applications of the forward operator or its adjoint in an iteration towards an object. Law: the lens and a Gaussian, both ways."""
PHOTOMETRY_OPERATIONS = 8
"""Applications of the forward operator in a round of photometry. Law: one for each knee, and one more."""


@dataclass(frozen=True)
class Effort:
    """What a pixel of the network's input costs, as a share of a pass through both stages: stage 1 alone, and the forward operator on the
    fine pixels of it; and what such a pass takes for a pixel on this machine, `pixel_s` (None: not measured).
    """

    stage1: float = 0.25
    operator: float = 0.1
    pixel_s: float | None = None


@torch.no_grad()
def measured_effort(network: nn.Module, acquisition: Acquisition, training: TrainingSection, smallest: Sequence[int]) -> Effort:
    """Time one pass of each kind over a batch of empty patches, and note what a pixel takes on this machine. Nothing is drawn or learnt.

    Parameters
    ----------
    network : on its device
    acquisition : its forward operator is timed
    training : size and number of patches
    smallest : size of the smallest image of the training along each axis
    """
    device, patch = next(network.parameters()).device, fitted_patch(training.patch(len(smallest)), smallest)
    scale = grid.lateral_factors(len(patch), acquisition.scale)
    x = torch.zeros(training.batch, 1, *patch, device=device)
    fine = x.new_zeros(training.batch, 1, *(n * f for n, f in zip(patch, scale, strict=True)))
    both_s = _seconds(lambda: as_network(network)(x), device)
    stage1_s = _seconds(lambda: as_network(network)(x, stage=1), device)
    operator_s = _seconds(lambda: acquisition.forward_operator(fine), device)
    measured("network", both_s / x.numel())
    measure_processor()
    return Effort(stage1_s / both_s, operator_s / both_s, both_s / x.numel())


def _seconds(act: Callable[[], object], device: torch.device) -> float:
    """Time of the second of two calls: the first one sets things up."""
    seconds = 0.0
    for _ in range(2):
        started = time.perf_counter()
        act()
        if device.type != "cpu":
            torch.accelerator.synchronize(device)
        seconds = time.perf_counter() - started
    return max(seconds, 1e-9)


def training_tasks(config: Config, phases: Sequence[Announced], shapes: Sequence[Sequence[int]], effort: Effort = Effort()) -> list[Task]:
    """The tasks of a training on images of these `shapes` (of the network's input), in their order, with the work of each.

    Parameters
    ----------
    config : of the training
    phases : its phases
    shapes : sizes of the measurements along each axis
    effort : what a pixel costs

    Examples
    --------
    >>> from zsdeconv.config import resolve
    >>> [task.words for task in training_tasks(resolve({}), announced_phases(resolve({}), 128 * 128), [(128, 128)])]
    ['learning to denoise', 'estimating the object', 'learning to deconvolve', 'measuring the brightness']
    """
    training, pixels = config.training, sum(math.prod(shape) for shape in shapes)
    smallest = [min(sizes) for sizes in zip(*shapes, strict=True)]
    batch_px = training.batch * math.prod(fitted_patch(training.patch(len(smallest)), smallest))
    step = {"denoise": STEP_STAGE1 * effort.stage1, "reimage": STEP_STAGE2}
    tasks = []
    for name, share, most in phases:
        kind = name.partition(" ")[0]
        if kind == "reimage":
            passes = OBJECT_PASSES * effort.stage1 + OBJECT_ITERATIONS * OPERATIONS * effort.operator
            tasks.append(Task(OBJECT_WORDS, pixels * passes, "network"))
        steps = min(max(1, round(training.steps * share)) if training.minutes is None else math.inf, most or math.inf)
        work = steps * VALIDATING * batch_px * step.get(kind, STEP_BOTH)
        if training.minutes is not None and 60 * training.minutes * share < work * (effort.pixel_s or math.inf):
            tasks.append(Task(words_of(name), 60 * training.minutes * share, "clock"))
        else:  # the steps, or as many as the image allows, end before the time is over
            tasks.append(Task(words_of(name), work, "network"))
    photometry = 1 + PHOTOMETRY_OPERATIONS * effort.operator
    return [*tasks, Task(PHOTOMETRY_WORDS, rounds_of(pixels) * pixels * photometry, "network")]


def announced_phases(config: Config, recorded_px: int) -> list[Announced]:
    """The phases of a training on so many recorded pixels, before it is set up (`zsdeconv.training.networks.training_phases`)."""
    training = config.training
    own: list[Announced] = [("two-stage", 1.0, None)]
    if network_kind(config).phases is two_phases:
        share = training.stage2_fraction
        own = [("denoise", 1 - share, most_steps(training, recorded_px)), ("reimage", share, None)]
    members = range(1, training.ensemble + 1)
    return [(f"{name} {member}", part, most) for member in members for name, part, most in own] if training.ensemble > 1 else own
