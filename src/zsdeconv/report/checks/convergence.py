"""How the training went: did it learn, was it stopped too early, and which weights were kept."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from zsdeconv.findings import Finding
from zsdeconv.report.page.style import ACCENT, WARNING
from zsdeconv.report.section import Picture, Section

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

FALLING_LIMIT = 0.1
"""Share of all that was learned that came in the last quarter of a phase, from which more steps may be worth their time. Phases of default
length read 0.03 to 0.07. Measured with single weights, whose loss runs ahead of that of averaged ones and reads about half as much: of six
phases on simulated frames, twice the steps brought 0.9, 0.5 and 0.2 dB above half this limit, 0.2 to 0.3 dB below it."""
FEWEST_VALIDATIONS = 8
"""Validations of a phase without which no trend can be told from chance."""
STEEP = 8
"""Fall of the validation loss, as a factor, from which it is drawn on a logarithmic scale."""
NAMES = {"denoise": "learning to denoise", "reimage": "learning to deconvolve", "two-stage": "learning to denoise and to deconvolve"}


@dataclass(frozen=True, eq=False)
class Phase:
    """One phase of a training: `validation`, the loss of held-out batches, at each of `step`.

    `chosen` is the number of the validation whose weights were kept, `late_share` the share of the fall of the validation loss
    that came in the last quarter (None where it did not fall, or with too few validations to tell).
    """

    name: str
    step: np.ndarray
    validation: np.ndarray
    chosen: int

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
        """`(v(3/4) - v(end)) / (v(start) - v(end))` of the best validation loss so far, `v`."""
        if len(self.step) < FEWEST_VALIDATIONS or not self.improved:
            return None
        best = np.minimum.accumulate(self.validation)
        quarter = int(np.searchsorted(self.step, 0.75 * self.step[-1], side="right")) - 1
        return float((best[quarter] - best[-1]) / (best[0] - best[-1]))


def phases_of(history: Sequence[Mapping[str, Any]]) -> list[Phase]:
    """The phases in a model's history of validations, in their order.

    >>> event = {"phase": "denoise", "validation": 0.5, "best": True}
    >>> [phase.chosen_step for phase in phases_of([event | {"step": 50}, event | {"step": 100, "best": False}])]
    [50]
    """
    names = dict.fromkeys(event["phase"] for event in history)
    return [_phase(name, [event for event in history if event["phase"] == name]) for name in names]


def training_section(history: Sequence[Mapping[str, Any]]) -> Section:
    """What a model's history of validations says: losses of each phase, the chosen step, and whether more steps are worth their time.

    >>> training_section([]).findings[0].message
    'The model keeps no record of its training.'
    """
    phases = phases_of(history)
    numbers: dict[str, Any] = {}
    for phase in phases:
        key = phase.name.replace("-", "_")
        numbers |= {f"{key}_steps": int(phase.step[-1]), f"{key}_chosen_step": phase.chosen_step}
        numbers |= {f"{key}_validation_loss": float(phase.validation[phase.chosen]), f"{key}_late_share": phase.late_share}
    if history and "elapsed_s" in history[-1]:
        numbers["time_s"] = sum(_last(history, phase.name, "elapsed_s") for phase in phases)
    caption = (
        "Error on held-out data during the training. The weights of the marked step were kept."
        " The error cannot reach zero: the targets are noisy, too."
    )
    return Section(
        "training",
        "Training",
        "Did the network learn what it could?",
        [_finding(phase) for phase in phases] or [Finding("ok", "training", 0, 0, "The model keeps no record of its training.")],
        numbers,
        [Picture(caption, lambda figure: _draw(figure, phases), (6.4, 2.8))] if phases else [],
    )


def _phase(name: str, events: Sequence[Mapping[str, Any]]) -> Phase:
    step, validation = (np.array([event[key] for event in events], float) for key in ("step", "validation"))
    chosen = max((n for n, event in enumerate(events) if event["best"]), default=0)
    return Phase(name, step, validation, chosen)


def _last(history: Sequence[Mapping[str, Any]], phase: str, key: str) -> float:
    return float(next(event[key] for event in reversed(history) if event["phase"] == phase))


def _finding(phase: Phase) -> Finding:
    aim, steps, late = _aim(phase), int(phase.step[-1]), phase.late_share
    name = f"training_{phase.name}"
    if not phase.improved and len(phase.step) > 1:
        said = f"{aim}: no validation in {steps} steps was better than the first one; give another --seed, or a lower learning rate."
        return Finding("warn", name, 0.0, 0.0, said)
    if late is None:
        said = (
            f"{aim}: {len(phase.step)} validations in {steps} steps, too few to tell whether more would help ({FEWEST_VALIDATIONS} needed)."
        )
        return Finding("warn", name, len(phase.step), FEWEST_VALIDATIONS, f"{said} Give more --steps or --minutes.")
    share = f"the last quarter of {steps} steps brought {100 * late:.0f} % of all that was learned (limit {100 * FALLING_LIMIT:.0f} %)"
    if late > FALLING_LIMIT:
        return Finding(
            "warn", name, late, FALLING_LIMIT, f"{aim}: still improving at the end, {share}; more --steps or --minutes may help."
        )
    return Finding("ok", name, late, FALLING_LIMIT, f"{aim}: it levelled off, {share}.")


def _aim(phase: Phase) -> str:
    name, _, member = phase.name.partition(" ")  # of an ensemble with the number of the network
    text = NAMES.get(name, name) + (f", network {member}" if member else "")
    return text[:1].upper() + text[1:]


def _draw(figure: Figure, phases: Sequence[Phase]) -> None:
    panels = figure.subplots(1, len(phases), squeeze=False)[0]
    for axes, phase in zip(panels, phases, strict=True):
        _draw_phase(axes, phase)
    panels[0].set_ylabel("error")


def _draw_phase(axes: Axes, phase: Phase) -> None:
    axes.plot(phase.step, phase.validation, color=ACCENT, lw=1.6)
    kept = (phase.chosen_step, phase.validation[phase.chosen])
    axes.plot(*kept, "o", ms=8, mfc="none", mec=WARNING, mew=1.8, label=f"kept: step {phase.chosen_step}")
    if 0 < STEEP * phase.validation.min() < phase.validation.max():
        axes.set_yscale("log")
    axes.set_title(_aim(phase))
    axes.set_xlabel("step")
    axes.legend(loc="upper right")
