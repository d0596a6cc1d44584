"""The tree of tasks: what is planned, begun, ended and told."""

import numpy as np
import pytest

from zsdeconv.progress.pictures import Preview
from zsdeconv.progress.tasks import Task, Watch, is_settled, is_watched, measured, plan, task, wants_preview, watched


def told():
    events = []
    return events, Watch(events.append)


def test_code_that_nobody_watches_runs_as_it_is():
    plan(Task("later", 1.0))
    measured("network", 1.0)
    with task("something", 3.0) as own:
        own.report(0.5, 1, 2, validation=1.0)
    assert not is_watched() and not is_settled()
    assert not wants_preview()


def test_words_say_whose_task_it_is_and_at_which_step():
    events, watch = told()
    with watched(watch), task("3 of 10: cell.tif", names=True), task("GFP", names=True), task("learning") as own:
        own.report(0.25, 5, 20, validation=0.5)
    event = next(event for event in events if event.step)
    assert str(event) == "3 of 10: cell.tif: GFP: learning, step 5 of 20"
    assert (event.subject, event.words, event.done, event.values) == (
        "3 of 10: cell.tif: GFP",
        "learning, step 5 of 20",
        0.25,
        {"validation": 0.5},
    )
    assert events[-1].task == "done" and events[-1].left_s == 0


def test_a_task_takes_the_place_of_what_was_planned_for_it():
    _, watch = told()
    with watched(watch):
        plan(Task("a", 1.0), Task("b", 1.0), Task("b", 2.0))
        with task("b"):
            assert [part.began is not None for part in watch.root.parts] == [False, True, False]
        plan(Task("c", 1.0))
        assert [part.words for part in watch.root.parts] == ["b", "c"], "what is done stays"
        with task("unplanned"):
            pass
        assert [part.words for part in watch.root.parts] == ["b", "c", "unplanned"]


def test_nothing_is_learnt_from_what_failed():
    _, watch = told()
    with watched(watch):
        with pytest.raises(ValueError, match="broken"), task("a", 10.0):
            raise ValueError("broken")
        assert watch.paces["machine"].expected_s == 0
        with task("b", 10.0):
            pass
        assert watch.paces["machine"].expected_s == 10
        assert is_watched()


def test_a_task_that_ends_early_counts_as_what_it_has_done():
    """A training stops when it no longer gets better: its steps were no faster for that."""
    _, watch = told()
    with watched(watch), task("steps", 100.0) as own:
        own.report(0.4)
    assert watch.paces["machine"].expected_s == pytest.approx(40)


def test_news_are_told_now_and_then_and_pictures_always():
    events, watch = told()
    picture = Preview(np.zeros((4, 4)), np.zeros((4, 4)))
    with watched(watch), task("steps") as own:
        for n in range(1, 1000):
            own.report(n / 2000)
        own.report(0.6, preview=picture)
    assert 2 <= len(events) < 50
    assert [event.preview for event in events if event.preview] == [picture]
    assert watch.picture is picture


def test_who_is_told_may_end_the_job():
    def stop(event):
        if event.task == "second":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt), watched(Watch(stop)):
        with task("first"):
            pass
        with task("second"):
            pytest.fail("it was ended before")
    assert not is_settled()
