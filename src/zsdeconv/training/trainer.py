"""The training loop: phases of objectives, a budget, validation, best-so-far, checkpoints."""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from zsdeconv.config import TrainingSection
from zsdeconv.config.changes import NOT_OF_TRAINING, first_change
from zsdeconv.data.batches import RandomStreams
from zsdeconv.errors import ConfigError, UserError
from zsdeconv.io.model_file import load_model, save_model
from zsdeconv.nn.contract import as_network
from zsdeconv.nn.precision import precision_for
from zsdeconv.progress.tasks import Task, task
from zsdeconv.training.objectives import Objective, Phase
from zsdeconv.training.optimizer import Steps

if TYPE_CHECKING:
    from zsdeconv.progress.pictures import Preview

Event = dict[str, Any]
"""What a callback receives: phase, step, done (0-1), loss, validation, best, bounded (ended by `most_steps`), elapsed_s, memory_gb, and
preview (`zsdeconv.progress.pictures.Preview`) where one was asked for; the history holds all but the last.
"""

WARM_UP_SHARE = 0.1
"""Part of a phase in which the rate rises to its height: from a standing start a full step can ruin a network for good."""
AVERAGED = 2
"""Weights are averaged over about so many times the steps between two validations: single ones waver, in sharpness above all."""
VALIDATION_BATCHES = 4
"""Chosen: four batches, which take less than a tenth of the time between two validations."""
VALIDATION_SEED = 7_919
"""Offset of the seed from which the held-out batches are drawn, always the same ones."""
DIVERGED = 1.1
"""A validation loss that many times above the best one means that a step was too long: back to the best, at half the rate."""
MAX_GRADIENT_NORM = 1.0
"""Chosen: the usual limit of gradient clipping."""


@dataclass
class Progress:
    """Where a training stands; all that a checkpoint must hold besides tensors."""

    phase: int = 0
    step: int = 0
    averaged: int = 0
    elapsed_s: float = 0.0
    best: float = math.inf
    stale: int = 0
    setbacks: int = 0
    history: list[Event] = field(default_factory=list)


class Checkpoint:
    """One file from which an interrupted training continues to the same result, written atomically and never pickled.

    `key` says which training it is. The file stays when the training is complete, with the weights alone, until its owner, who has put
    them elsewhere, removes it.
    """

    def __init__(self, path: Path | None, key: dict[str, Any]) -> None:
        self.path, self.key = path, key

    def save(self, progress: Progress, tensors: dict[str, Tensor]) -> None:
        """Replace the file by the present state."""
        if self.path is None:
            return
        state = {**progress.__dict__, "best": None if math.isinf(progress.best) else progress.best}
        save_model(self.path, tensors, {**self.key, "progress": state}, overwrite=True)

    def load(self) -> tuple[Progress, dict[str, Tensor]] | None:
        """The state saved, None when there is none. Raises `ConfigError` when it belongs to another run."""
        if self.path is None or not self.path.exists():
            return None
        tensors, header = load_model(self.path)
        progress = header.pop("progress", None)
        if progress is None:
            raise ConfigError(f"checkpoint {self.path} holds no state of a training; move it away, or leave out `resume`")
        if change := first_change(header, self.key, without=NOT_OF_TRAINING):
            raise ConfigError(f"checkpoint {self.path} belongs to another run: {change}; repeat its options, or leave out `resume`")
        return Progress(**{**progress, "best": math.inf if progress["best"] is None else progress["best"]}), tensors

    def remove(self) -> None:
        """Delete the file: what was learnt is safe elsewhere."""
        if self.path is not None:
            self.path.unlink(missing_ok=True)


class Trainer:
    """Trains `network` through `phases` within the budget of `settings`; the best weights of each phase are kept.

    Weights are judged, and kept, as their mean over the last steps (`AVERAGED`) since the end of the warm-up; the best are those with the
    lowest loss on held-out batches, the same ones at every validation.

    The budget is `steps` in all, or `minutes` of time; a phase has no more than its `most_steps`. It ends early when `patience`
    validations in a row brought no new best; when one is clearly worse than the best, the phase goes back there, at half the rate. On a
    CPU the same seed gives the same weights, and a run in steps that is resumed ends as if it had not been interrupted.

    Raises `UserError` when a loss is no longer a number.
    """

    def __init__(
        self,
        network: nn.Module,
        phases: Sequence[Phase],
        settings: TrainingSection,
        *,
        seed: int,
        device: torch.device,
        checkpoint: Checkpoint | None = None,
        callback: Callable[[Event], None] = lambda event: None,
        preview: Callable[[nn.Module, int], Preview] | None = None,
    ) -> None:
        import logging

        from lightning_fabric import Fabric

        logging.getLogger("lightning_fabric").setLevel(logging.ERROR)  # it announces its choices on standard error
        self.fabric = Fabric(accelerator=device.type, devices=1, precision=precision_for(device))  # pyright: ignore[reportArgumentType]
        self.raw, self.phases, self.settings, self.seed, self.device = network.to(device), list(phases), settings, seed, device
        self.network = self.fabric.setup_module(network, move_to_device=False)
        self.checkpoint = checkpoint or Checkpoint(None, {})
        self.callback, self.preview, self.progress, self.shown = callback, preview, Progress(), Task("")

    def fit(self, *, resume: bool = False) -> list[Event]:
        """Train to the end of the budget; returns the history of validations. The end is in the checkpoint, too."""
        saved = self.checkpoint.load() if resume else None
        if saved:
            self.progress = saved[0]
            self._restore_weights(saved[1])
        for index in range(self.progress.phase, len(self.phases)):
            self._fit_phase(index, saved[1] if saved else None)
            saved = None
        self.checkpoint.save(self.progress, {f"now.{name}": tensor for name, tensor in self.raw.state_dict().items()})
        return self.progress.history

    def _fit_phase(self, index: int, saved: dict[str, Tensor] | None) -> None:
        (objective, share), progress = self.phases[index], self.progress
        draws = RandomStreams(self.seed + 1000 * index, self.device)
        objective.prepare(self.network, draws)
        parameters = self._only(objective)
        steps = Steps(parameters, self.settings)
        mean, best = Mean(self.raw, AVERAGED * self.settings.validate_every), self._weights()
        if saved:
            best = self._restore_run(saved, mean, steps, draws)

        budget, started = self._budget(share, objective.most_steps), time.monotonic() - progress.elapsed_s
        with task(words_of(objective.name)) as self.shown:
            self.shown.start_at(budget.done(progress))
            while not budget.spent(progress) and progress.stale < self.settings.patience:
                loss = objective(self.network, draws)
                self.fabric.backward(loss)
                nn.utils.clip_grad_norm_(parameters, MAX_GRADIENT_NORM)
                steps(self._rate(progress.step, budget.done(progress)))
                progress.step += 1
                progress.elapsed_s = time.monotonic() - started
                warm = budget.done(progress) >= WARM_UP_SHARE
                progress.averaged += warm
                mean.add(progress.averaged)
                self.shown.report(budget.done(progress), progress.step, budget.steps_in_all(progress))

                if (progress.step % self.settings.validate_every == 0 and warm) or budget.spent(progress):
                    now = self._weights()
                    self.raw.load_state_dict(mean.weights)
                    held_out = self._validate(index, loss, budget)
                    self.raw.load_state_dict(now)
                    if progress.stale == 0:
                        best = copied(mean.weights)
                    elif held_out > DIVERGED * progress.best:
                        self.raw.load_state_dict(best)
                        mean.weights = copied(best)
                        steps.forget()
                        progress.setbacks += 1
                    self.checkpoint.save(progress, self._tensors(best, mean, steps, draws))
        self.raw.load_state_dict(best)
        self.progress = Progress(phase=index + 1, history=progress.history)
        for parameter in self.raw.parameters():
            parameter.requires_grad_(True)

    def _only(self, objective: Objective) -> list[nn.Parameter]:
        """The parameters that learn, all others frozen."""
        chosen = list(objective.parameters(self.raw))
        for parameter in self.raw.parameters():
            parameter.requires_grad_(False)
        for parameter in chosen:
            parameter.requires_grad_(True)
        return chosen

    def _rate(self, step: int, done: float) -> float:
        """Learning rate: halved in steps, or a cosine to zero after a short warm-up; halved once more for each setback."""
        settings = self.settings
        highest = settings.learning_rate * 0.5**self.progress.setbacks
        if settings.schedule == "halving":
            return highest * 0.5 ** max(0, 1 + (step - settings.halve_from) // settings.halve_every)
        return highest * min(1.0, (done + 0.01) / WARM_UP_SHARE) * 0.5 * (1 + math.cos(math.pi * min(done, 1.0)))

    @torch.no_grad()
    def _validate(self, index: int, loss: Tensor, budget: _Budget) -> float:
        """Loss of held-out batches, always the same ones; noted in the progress and reported to the callback."""
        (objective, share), progress = self.phases[index], self.progress
        draws = RandomStreams(self.seed + VALIDATION_SEED, self.device)
        held_out = float(sum(objective(self.network, draws) for _ in range(VALIDATION_BATCHES))) / VALIDATION_BATCHES
        if not math.isfinite(held_out) or not math.isfinite(float(loss)):
            raise UserError(
                f"loss {float(loss):g} at step {progress.step} of phase '{objective.name}': it must stay finite; give another `seed`"
            )
        better = held_out < progress.best
        progress.best, progress.stale = (held_out, 0) if better else (progress.best, progress.stale + 1)
        before = sum(earlier for _, earlier in self.phases[:index])
        event = {
            "phase": objective.name,
            "step": progress.step,
            "done": round((before + share * min(budget.done(progress), 1.0)) / sum(part for _, part in self.phases), 4),
            "loss": float(loss.detach()),
            "validation": held_out,
            "best": better,
            "bounded": objective.most_steps == progress.step,
            "elapsed_s": round(progress.elapsed_s, 2),
            "memory_gb": round(peak_memory_gb(), 2),
        }
        progress.history.append(event)
        preview = None if self.preview is None else self.preview(self.network, self._stages_learnt())
        self.callback(event if preview is None else {**event, "preview": preview})
        self.shown.report(budget.done(progress), progress.step, budget.steps_in_all(progress), preview=preview, validation=held_out)
        return held_out

    def _stages_learnt(self) -> int:
        """2 where stage 2 learns now, else 1."""
        return 2 if any(parameter.requires_grad for parameter in as_network(self.raw).stage2.parameters()) else 1

    def _budget(self, share: float, most_steps: int | None) -> _Budget:
        if self.settings.minutes is not None:
            return _Budget(most_steps, seconds=60 * self.settings.minutes * share)
        own = max(1, round(self.settings.steps * share))
        return _Budget(own if most_steps is None else min(own, most_steps))

    def _weights(self) -> dict[str, Tensor]:
        """A copy of the present weights."""
        return copied(self.raw.state_dict())

    def _tensors(self, best: dict[str, Tensor], mean: Mean, steps: Steps, draws: RandomStreams) -> dict[str, Tensor]:
        tensors = {f"now.{name}": tensor for name, tensor in self.raw.state_dict().items()}
        tensors |= {f"mean.{name}": tensor for name, tensor in mean.weights.items()}
        tensors |= {f"best.{name}": tensor for name, tensor in best.items()}
        tensors |= {f"draws.{name}": tensor for name, tensor in draws.state().items()}
        tensors |= {f"optimizer.{name}": tensor for name, tensor in steps.state().items()}
        return tensors

    def _restore_weights(self, saved: dict[str, Tensor]) -> None:
        self.raw.load_state_dict(_under("now.", saved))

    def _restore_run(self, saved: dict[str, Tensor], mean: Mean, steps: Steps, draws: RandomStreams) -> dict[str, Tensor]:
        steps.restore(_under("optimizer.", saved))
        draws.restore(_under("draws.", saved))
        mean.weights = _under("mean.", saved)
        return _under("best.", saved)


PHASE_WORDS = {
    "denoise": "learning to denoise",
    "reimage": "learning to deconvolve",
    "two-stage": "learning to denoise and deconvolve",
}
"""What a phase of a training is called for people, by the name of its objective."""


def words_of(phase: str) -> str:
    """A phase for people; of an ensemble with the number of its member.

    >>> words_of("denoise"), words_of("reimage 2")
    ('learning to denoise', 'learning to deconvolve, network 2')
    """
    name, _, member = phase.partition(" ")
    return PHASE_WORDS.get(name, name) + (f", network {member}" if member else "")


def copied(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Weights that do not change when a network learns."""
    return {name: tensor.clone() for name, tensor in weights.items()}


class Mean:
    """Mean of a network's weights over about the last `steps` steps: of all so far, then with weights that fall by `1 - 1/steps` a step.

    >>> network = nn.Linear(1, 1)
    >>> mean = Mean(network, 10)
    >>> for number, value in enumerate((5.0, 1.0, 2.0, 6.0)):
    ...     _ = network.weight.data.fill_(value)
    ...     mean.add(number)
    >>> round(mean.weights["weight"].item(), 5)
    3.0
    """

    def __init__(self, network: nn.Module, steps: int) -> None:
        self.network, self.steps = network, steps
        self.weights = copied(network.state_dict())

    @torch.no_grad()
    def add(self, number: int) -> None:
        """The present weights, as those number `number` that count; all before the first are forgotten."""
        for name, tensor in self.network.state_dict().items():
            if tensor.is_floating_point():
                self.weights[name].lerp_(tensor, max(1 / max(number, 1), 1 / self.steps))


def peak_memory_gb() -> float:
    """Most memory that this process has held so far, 0 where the system does not tell."""
    try:
        import resource
    except ImportError:
        return 0.0
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e9


@dataclass(frozen=True)
class _Budget:
    """Of one phase: a number of steps, or seconds, or what comes first."""

    steps: int | None = None
    seconds: float | None = None

    def done(self, progress: Progress) -> float:
        by_time = 0.0 if self.seconds is None else progress.elapsed_s / self.seconds
        return max(by_time, 0.0 if self.steps is None else progress.step / self.steps)

    def spent(self, progress: Progress) -> bool:
        return self.done(progress) >= 1

    def steps_in_all(self, progress: Progress) -> int | None:
        """The number of steps at which it will be spent, where that is known: not where the time ends it first."""
        by_time = 0.0 if self.seconds is None else progress.elapsed_s / self.seconds
        return self.steps if self.steps is not None and progress.step / self.steps >= by_time else None


def _under(prefix: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}
