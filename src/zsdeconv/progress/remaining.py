"""How long tasks will take: by an expectation before they begin, by their own speed once they run."""

from __future__ import annotations

import math

PRIOR_SHARE = 0.03
"""Weight of the expectation beside the measured speed, as a share of the task. Chosen: after a tenth the speed counts threefold."""
PRIOR_S = 1.0
"""Seconds of work for which the expectation counts beside the measured pace of a kind. Chosen: a pace is known after a few seconds."""
MEMORY_S = 60.0
"""Time constant of the mean speed of a task. Chosen: longer than the time between two validations, shorter than a change of load."""
OVERRUN_SHARE = 0.15
"""What is left of a task that takes longer than expected and cannot tell, as a share of its time so far. Chosen: it ends some time."""
SETTLING_S = 2.0
"""Time constant with which the time left that is shown follows the one computed. Chosen: a jump is spread over some repaints."""
UNITS_S = {"clock": 1.0, "machine": 1.0, "network": None}
"""Seconds of a unit of work of each kind before it is measured. "clock": seconds, whatever the machine; "machine": seconds of a processor
core that nothing else keeps busy (`zsdeconv.progress.processor`); "network": a pixel of a patch through both stages of a network, which
takes a thousand times as long on one machine as on another, so nothing is said before it is measured.
"""


class Pace:
    """How long a unit of one kind of work takes: `unit_s` as expected (None: nobody can tell), corrected by the time that work of this kind
    has taken so far.

    >>> pace = Pace(2.0)
    >>> pace.add(units=100, seconds=400)
    >>> round(pace.seconds(1), 1)
    4.0
    """

    def __init__(self, unit_s: float | None, *, fixed: bool = False) -> None:
        self.fixed, self.prior_s = fixed, 0.0 if unit_s is None else PRIOR_S
        self.unit_s = 1.0 if unit_s is None else unit_s
        self.expected_s = self.taken_s = 0.0
        self.known = False

    def add(self, units: float, seconds: float) -> None:
        """Some work that is done, and the time that it took."""
        self.expected_s += units * self.unit_s
        self.taken_s += seconds

    def measured(self, unit_s: float) -> None:
        """A unit was measured: what was expected before is forgotten."""
        self.unit_s, self.prior_s, self.expected_s, self.taken_s, self.known = unit_s, PRIOR_S, 0.0, 0.0, True

    def seconds(self, units: float, units_now: float = 0.0, now_s: float = 0.0) -> float | None:
        """Time that `units` will take, None where nobody can tell; `units_now` are under way and have taken `now_s` so far."""
        if self.fixed:
            return units * self.unit_s
        expected_s, taken_s = self.expected_s + units_now * self.unit_s, self.taken_s + now_s
        return None if expected_s + self.prior_s <= 0 else units * self.unit_s * (taken_s + self.prior_s) / (expected_s + self.prior_s)


class Speed:
    """Seconds per task of a task under way: a mean over about the last `MEMORY_S`, which begins with an expectation.

    >>> speed = Speed(expected_s=50.0, now=0.0)
    >>> speed.add(0.5, now=50.0)
    >>> round(speed.left_s(now=50.0))
    49
    """

    def __init__(self, expected_s: float | None, now: float, done: float = 0.0) -> None:
        self.seconds, self.share = (0.0, 0.0) if expected_s is None else (PRIOR_SHARE * expected_s, PRIOR_SHARE)
        self.at, self.done = now, done

    def add(self, done: float, now: float) -> None:
        """The task is `done` (0-1) at a time."""
        kept = math.exp(-(now - self.at) / MEMORY_S)
        self.seconds, self.share = self.seconds * kept + (now - self.at), self.share * kept + max(done - self.done, 0.0)
        self.at, self.done = now, done

    def left_s(self, now: float) -> float | None:
        """Time left at a time: it falls as time goes by without news, but not to nothing. None while nothing is known."""
        if self.share <= 0:
            return None
        left = (1 - self.done) * self.seconds / self.share
        silent = now - self.at
        return max(left - silent, OVERRUN_SHARE * min(left, silent)) if self.done < 1 else 0.0


def unmeasured_left_s(expected_s: float, taken_s: float) -> float:
    """Time left of a task that does not tell how far it is.

    >>> unmeasured_left_s(10.0, 4.0), unmeasured_left_s(10.0, 20.0)
    (6.0, 3.0)
    """
    return max(expected_s - taken_s, OVERRUN_SHARE * taken_s)


class Settled:
    """A time left that can be shown: it counts down as time goes by, and follows the one computed without jumping.

    >>> shown = Settled()
    >>> shown.follow(100.0, now=0.0), shown.follow(99.0, now=1.0)
    (100.0, 99.0)
    >>> 99 < shown.follow(150.0, now=1.5) < 110
    True
    """

    def __init__(self) -> None:
        self.value: float | None = None
        self.at = 0.0

    def follow(self, left_s: float | None, now: float) -> float | None:
        """The time left to show, now that one was computed; None while there is none."""
        if left_s is None or self.value is None:
            self.value, self.at = left_s, now
            return left_s
        passed, self.at = now - self.at, now
        counted = max(self.value - passed, 0.0)
        self.value = left_s + (counted - left_s) * math.exp(-passed / SETTLING_S)
        return self.value


def time_words(seconds: float) -> str:
    """A time as a person says it: as exact as it is known.

    >>> [time_words(s) for s in (2, 34, 100, 500, 5000, 20000, 400000)]
    ['a few seconds', 'about 35 s', 'about 1.5 min', 'about 8 min', 'about 85 min', 'about 5.6 h', 'about 110 h']
    """
    if seconds < 7.5:
        return "a few seconds"
    if seconds < 75:
        return f"about {5 * round(seconds / 5):g} s"
    minutes = seconds / 60
    if minutes < 3.75:
        return f"about {round(2 * minutes) / 2:g} min"
    if minutes < 10:
        return f"about {round(minutes)} min"
    if minutes < 97.5:
        return f"about {5 * round(minutes / 5)} min"
    hours = minutes / 60
    return f"about {hours:.1f} h" if hours < 10 else f"about {float(f'{hours:.2g}'):g} h"


def clock(seconds: float) -> str:
    """Time that has passed.

    >>> clock(42), clock(3723)
    ('0:42', '1:02:03')
    """
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
