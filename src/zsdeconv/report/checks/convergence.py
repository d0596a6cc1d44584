"""The course of the training: did the validation loss fall, did it level off, and which weights were kept."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from zsdeconv.findings import Finding
from zsdeconv.report.page.style import ACCENT, WARNING
from zsdeconv.report.section import CaptionedFigure, Section

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

KEY = "training"
TITLE = "Training"
QUESTION = "Did the network learn as much as it could?"
NUMBERS = ("time_s",)
"""For each phase there are `PHASE_steps`, `PHASE_chosen_step`, `PHASE_validation_loss` and `PHASE_late_share`, too."""

MAX_LATE_SHARE = 0.1
"""Share of the fall of the loss in the last quarter of a phase, up to which the level is ok. Measured: phases of default length have 0.03
to 0.07. Of six phases on simulated frames with single weights, whose share is about half that of averaged weights, twice the steps gained
0.9, 0.5 and 0.2 dB above half this limit and 0.2 to 0.3 dB below it."""
MIN_VALIDATIONS = 8
"""Validations of a phase that a trend needs. Chosen: two in the last quarter."""
LATE_FRACTION = 0.75
"""Fraction of the steps after which the fall counts as late. Chosen: the last quarter."""
LOG_SCALE_RATIO = 8
"""Largest over smallest validation loss from which the axis is logarithmic. Chosen: a linear axis then hides the end of the curve."""
PHASE_WORDS = {"denoise": "Learning to denoise", "reimage": "Learning to deconvolve", "two-stage": "Learning to denoise and deconvolve"}
"""Phases of a training as they are called in the report."""


@dataclass(frozen=True, eq=False)
class Phase:
    """One phase of a training: the `validation` loss, that of the same pairs, at each `step`; weights of number `chosen` were kept.

    A `bounded` phase had all the steps that the size of its image allows.
    """

    name: str
    step: np.ndarray
    validation: np.ndarray
    chosen: int
    bounded: bool = False

    @property
    def chosen_step(self) -> int:
        """The step whose weights were kept."""
        return int(self.step[self.chosen])

    @property
    def improved(self) -> bool:
        """Whether any later validation was better than the first."""
        return self.chosen > 0

    @property
    def late_share(self) -> float | None:
        """`(v(3/4) - v(end)) / (v(start) - v(end))` of the lowest validation loss so far, `v`; None without a fall or with few values."""
        if len(self.step) < MIN_VALIDATIONS or not self.improved:
            return None
        best = np.minimum.accumulate(self.validation)
        late = int(np.searchsorted(self.step, LATE_FRACTION * self.step[-1], side="right")) - 1
        return float((best[late] - best[-1]) / (best[0] - best[-1]))


@dataclass(frozen=True, eq=False)
class Training:
    """The phases of a training in their order, and the time that they took together (None if it was not recorded)."""

    phases: list[Phase]
    time_s: float | None


def measure(history: Sequence[Mapping[str, Any]]) -> Training:
    """The phases in a model's history of validations.

    >>> event = {"phase": "denoise", "validation": 0.5, "best": True}
    >>> training = measure([event | {"step": 50}, event | {"step": 100, "best": False}])
    >>> [phase.chosen_step for phase in training.phases], training.time_s
    ([50], None)
    """
    names = dict.fromkeys(event["phase"] for event in history)
    events = {name: [event for event in history if event["phase"] == name] for name in names}
    timed = bool(history) and "elapsed_s" in history[-1]
    time_s = sum(float(group[-1]["elapsed_s"]) for group in events.values()) if timed else None
    return Training([_phase(name, group) for name, group in events.items()], time_s)


def section(result: Training) -> Section:
    """Losses of each phase, the chosen step, and whether more steps may help.

    >>> section(measure([])).findings[0].message
    'The model has no record of its training; train it again.'
    """
    numbers: dict[str, Any] = {}
    for phase in result.phases:
        key = phase.name.replace("-", "_")
        numbers |= {f"{key}_steps": int(phase.step[-1]), f"{key}_chosen_step": phase.chosen_step}
        numbers |= {f"{key}_validation_loss": float(phase.validation[phase.chosen]), f"{key}_late_share": phase.late_share}
    numbers["time_s"] = result.time_s
    caption = (
        "Loss on the same pairs of noisy images at every validation. The weights of the marked step were kept."
        " The loss cannot reach zero, because its targets are noisy."
    )
    findings = [_finding(phase) for phase in result.phases]
    findings = findings or [Finding.not_checked("training", "The model has no record of its training; train it again.")]
    figures = [CaptionedFigure(caption, lambda figure: _draw(figure, result.phases), (6.4, 2.8))] if result.phases else []
    return Section(KEY, TITLE, QUESTION, findings, numbers, figures)


def _phase(name: str, events: Sequence[Mapping[str, Any]]) -> Phase:
    step, validation = (np.array([event[key] for event in events], float) for key in ("step", "validation"))
    chosen = max((n for n, event in enumerate(events) if event["best"]), default=0)
    return Phase(name, step, validation, chosen, bool(events and events[-1].get("bounded")))


def _finding(phase: Phase) -> Finding:
    name, count, steps, late = f"training_{phase.name}", len(phase.step), int(phase.step[-1]), phase.late_share
    if not phase.improved and count > 1:
        text = f"{_words(phase)}: none of {count} validations in {steps} steps was better than the first"
        return Finding("warn", name, 0.0, 1.0, f"{text}; give another `seed`, or a lower `training.learning_rate` in a `config`.")
    if late is None:
        made = "one validation" if count == 1 else f"{count} validations"
        text = f"{_words(phase)}: {made} in {steps} steps, {MIN_VALIDATIONS} are needed to tell whether it still improved"
        return Finding.not_checked(name, f"{text}; give more `steps` or `minutes`.", count, MIN_VALIDATIONS)
    text = f"the last quarter of {steps} steps made {100 * late:.0f} % of the progress (limit {100 * MAX_LATE_SHARE:.0f} %)"
    if phase.bounded:
        text = f"it ended after {steps} steps, as many as an image of this size allows: with more, a network remembers its noise"
        return Finding("ok", name, late, MAX_LATE_SHARE, f"{_words(phase)}: {text}.")
    if late > MAX_LATE_SHARE:
        return Finding("warn", name, late, MAX_LATE_SHARE, f"{_words(phase)}: {text}; more `steps` or `minutes` may help.")
    return Finding("ok", name, late, MAX_LATE_SHARE, f"{_words(phase)}: {text}.")


def _words(phase: Phase) -> str:
    name, _, member = phase.name.partition(" ")  # an ensemble adds the number of the network
    return PHASE_WORDS.get(name, name) + (f", network {member}" if member else "")


def _draw(figure: Figure, phases: Sequence[Phase]) -> None:
    panels = figure.subplots(1, len(phases), squeeze=False)[0]
    for axes, phase in zip(panels, phases, strict=True):
        _draw_phase(axes, phase)
    panels[0].set_ylabel("validation loss")


def _draw_phase(axes: Axes, phase: Phase) -> None:
    axes.plot(phase.step, phase.validation, color=ACCENT, lw=1.6)
    kept = (phase.chosen_step, phase.validation[phase.chosen])
    axes.plot(*kept, "o", ms=8, mfc="none", mec=WARNING, mew=1.8, label=f"kept: step {phase.chosen_step}")
    if 0 < LOG_SCALE_RATIO * phase.validation.min() < phase.validation.max():
        axes.set_yscale("log")
    axes.set_title(_words(phase))
    axes.set_xlabel("step")
    axes.legend(loc="upper right")
