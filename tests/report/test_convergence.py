"""What a history of validations says about a training."""

from typing import Any

import numpy as np
import pytest
from matplotlib.figure import Figure

from zsdeconv.report.checks.convergence import MAX_LATE_SHARE, measure, section


def history(losses: Any, phase: str = "denoise", every: int = 50) -> list[dict[str, Any]]:
    """Events as the trainer writes them."""
    events, best = [], np.inf
    for n, loss in enumerate(np.asarray(losses, float), 1):
        events.append(
            {"phase": phase, "step": n * every, "loss": 1.1 * loss, "validation": loss, "best": bool(loss < best), "elapsed_s": 2.0 * n}
        )
        best = min(best, loss)
    return events


def falling(last: float, count: int = 20) -> np.ndarray:
    """From 1 to 0, with a share `last` of the fall in the last quarter of the steps."""
    three, one = np.linspace(1, last, 3 * count // 4), np.linspace(last, 0, count // 4 + 1)[1:]
    return 0.5 + np.concatenate([three, one])


def test_the_kept_weights_are_those_of_the_last_best_validation() -> None:
    first, second = measure(history([3, 2, 1, 1.5, 1.2]) + history([5, 4, 6], "reimage")).phases
    assert (first.name, first.chosen_step, second.name, second.chosen_step) == ("denoise", 150, "reimage", 100)
    numbers = section(measure(history([3, 2, 1, 1.5, 1.2]) + history([5, 4, 6], "reimage"))).numbers
    assert numbers["denoise_chosen_step"] == 150 and numbers["reimage_validation_loss"] == 4.0
    assert numbers["time_s"] == 16.0, "the clock starts again with each phase"


@pytest.mark.parametrize("last", [0.01, 0.3])
def test_share_of_the_last_quarter(last: float) -> None:
    (phase,) = measure(history(falling(last))).phases
    assert phase.late_share == pytest.approx(last, rel=1e-6)
    judged = section(measure(history(falling(last))))
    assert judged.level == ("warn" if last > MAX_LATE_SHARE else "ok")
    assert ("more `steps`" in judged.findings[0].message) == (last > MAX_LATE_SHARE)


def test_a_phase_that_had_all_steps_that_its_image_bears_is_not_told_to_have_more() -> None:
    events = history(falling(0.3))
    events[-1]["bounded"] = True
    judged = section(measure(events))
    assert judged.level == "ok" and "remembers its noise" in judged.findings[0].message


def test_noise_of_the_validation_is_no_progress() -> None:
    """The best so far counts: an outlier at three quarters must not look like progress after it."""
    losses = 0.5 + np.exp(-np.arange(20) / 2)
    losses[14] = 5.0
    (phase,) = measure(history(losses)).phases
    assert phase.late_share is not None and phase.late_share < MAX_LATE_SHARE


def test_a_training_that_never_improved_is_noticed() -> None:
    judged = section(measure(history([1, 2, 3, 2, 1.5, 1.2, 1.1, 1.05, 1.01])))
    assert judged.level == "warn" and "`seed`" in judged.findings[0].message


def test_few_validations_say_nothing_about_the_trend() -> None:
    assert section(measure(history([3, 2, 1]))).level == "not_checked"
    assert section(measure(history([3]))).level == "not_checked"


def test_each_phase_has_its_finding() -> None:
    judged = section(measure(history(falling(0.01)) + history(falling(0.4), "reimage")))
    assert [finding.level for finding in judged.findings] == ["ok", "warn"]


def test_a_model_without_history_has_nothing_to_draw() -> None:
    judged = section(measure([]))
    assert judged.figures == [] and judged.level == "not_checked" and judged.numbers == {"time_s": None}


@pytest.mark.parametrize("losses", [falling(0.1), [100.0, 1.0, 0.9], [0.0, 0.0], [-1.0, -2.0]])
def test_the_chosen_step_is_marked_in_the_picture(losses: Any) -> None:
    figure, events = Figure(), history(losses)
    section(measure(events)).figures[0].draw(figure)
    (axes,) = figure.axes
    curve, mark = axes.lines
    assert np.array_equal(np.asarray(curve.get_ydata()), [event["validation"] for event in events])
    (phase,) = measure(events).phases
    assert np.array_equal(np.asarray(mark.get_xydata()), [(phase.chosen_step, phase.validation[phase.chosen])])
