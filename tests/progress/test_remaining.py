"""The time left: right soon, without jumps, and honest where nobody can tell. All on a clock that the tests turn."""

import itertools

import pytest

from zsdeconv.progress.remaining import Pace, Settled, Speed, unmeasured_left_s
from zsdeconv.progress.tasks import Task, Watch, measured, plan, task, watched


class Clock:
    """A clock that stands still until it is turned."""

    def __init__(self):
        self.now = 100.0

    def __call__(self):
        return self.now


def job(clock, steps, *, pace=1.0):
    """A job of so many units of "network" in two tasks of which the second is twice as slow a step, told to a list of times left."""
    seen = []
    watch = Watch(clock=clock)
    with watched(watch):
        measured("network", 0.1)
        plan(Task("first", steps, "network"), Task("second", 2 * steps, "network"), Task("last", 3.0, "machine"))
        for words, each in (("first", 0.1), ("second", 0.2)):
            with task(words) as own:
                for n in range(steps):
                    clock.now += each * pace
                    own.report((n + 1) / steps, n + 1, steps)
                    seen.append((clock.now, watch.event()))
        with task("last"):
            for _ in range(30):
                clock.now += 0.1
                seen.append((clock.now, watch.event()))
    return seen


@pytest.mark.parametrize("pace", [1.0, 0.4, 3.0])
def test_the_time_left_is_right_after_a_tenth_of_the_time(pace):
    """Whatever the machine makes of what was expected: a colleague's job may slow it down threefold."""
    clock = Clock()
    seen = job(clock, 700, pace=pace)
    began, ended = 100.0, clock.now
    for now, event in seen:
        if began + 0.1 * (ended - began) < now < began + 0.9 * (ended - began):
            assert event.left_s == pytest.approx(ended - now, abs=0.2 * (ended - began)), now
    at_a_tenth = next(event for now, event in seen if now > began + 0.1 * (ended - began))
    assert at_a_tenth.left_s == pytest.approx(0.9 * (ended - began), rel=0.2)


def test_the_share_of_the_time_rises_steadily():
    overall = [event.overall for _, event in job(Clock(), 300)]
    assert overall == sorted(overall)
    assert max(b - a for a, b in itertools.pairwise(overall)) < 0.02
    assert overall[-1] > 0.95


def test_it_does_not_jump_when_the_speed_does():
    clock, shown = Clock(), []
    watch = Watch(clock=clock)
    with watched(watch):
        measured("network", 1.0)
        with task("steps", 100, "network") as own:
            for n in range(60):
                clock.now += 1.0 if n < 20 else 4.0
                own.report((n + 1) / 100)
                for _ in range(4):
                    clock.now += 0.25
                    shown.append(watch.event().left_s)
    assert max(abs(b - a) for a, b in itertools.pairwise(shown)) < 0.25 * max(shown)


def test_nobody_says_how_long_before_anybody_can_know():
    clock = Clock()
    watch = Watch(clock=clock)
    with watched(watch):
        plan(Task("learning", 1000, "network"))
        assert watch.event().left_s is None, "the network was not measured"
        measured("network", 0.5)
        assert watch.event().left_s == pytest.approx(500)
        with task("of unknown length"):
            assert watch.event().left_s is None
            clock.now += 5
    assert watch.event().left_s == 0


def test_time_that_is_given_is_not_changed_by_the_machine():
    clock = Clock()
    watch = Watch(clock=clock)
    with watched(watch):
        plan(Task("preparing", 1.0), Task("for a minute", 60.0, "clock"))
        with task("preparing"):
            clock.now += 50.0
        assert watch.event().left_s == pytest.approx(60.0)


def test_what_is_continued_has_no_speed_from_before():
    """A training that goes on at three quarters has not learnt those in no time."""
    clock = Clock()
    watch = Watch(clock=clock)
    with watched(watch):
        measured("network", 1.0)
        with task("steps", 100, "network") as own:
            own.start_at(0.75)
            assert watch.event().left_s == pytest.approx(25.0)
            for n in range(76, 86):
                clock.now += 2.0
                own.report(n / 100)
            clock.now += 0.01
            left = watch._left_s(watch.root, clock.now)
    assert left == pytest.approx(30.0, rel=0.25)


def test_a_task_that_is_silent_for_longer_than_expected_never_has_nothing_left():
    assert unmeasured_left_s(10.0, 9.0) == pytest.approx(1.35)
    assert unmeasured_left_s(10.0, 100.0) == 15.0
    speed = Speed(10.0, now=0.0)
    speed.add(0.5, now=5.0)
    left = speed.left_s(now=60.0)
    assert left is not None and 0 < left < 5


def test_a_pace_is_that_of_its_work():
    pace = Pace(None)
    assert pace.seconds(10.0) is None
    assert pace.seconds(10.0, units_now=2.0, now_s=1.0) == pytest.approx(5.0)
    pace.add(units=100.0, seconds=300.0)
    assert pace.seconds(10.0) == pytest.approx(30.0)


def test_a_time_left_that_is_lost_is_forgotten():
    settled = Settled()
    assert settled.follow(None, 0.0) is None
    assert settled.follow(10.0, 1.0) == 10.0
    assert settled.follow(None, 2.0) is None
    assert settled.follow(80.0, 3.0) == 80.0
