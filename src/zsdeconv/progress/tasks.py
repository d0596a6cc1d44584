"""The tasks of a restoration, as a tree that its code fills while it runs and that others watch.

Code that takes its time says so with `task`, and how far it is with `Task.report`; it need not know who watches. Without a watcher
that costs next to nothing. What comes later is announced with `plan`, so that the time left is known from the start:

>>> events = []
>>> with watched(Watch(events.append)):
...     plan(Task("restoring", 3.0), Task("checking", 1.0))
...     with task("restoring") as restoring:
...         restoring.report(0.5, step=2, steps=4)
...     with task("checking"):
...         pass
>>> [str(event) for event in events if event.step == 2]
['restoring, step 2 of 4']
>>> events[-1].overall
1.0
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from zsdeconv.progress.remaining import UNITS_S, Pace, Settled, Speed, time_words, unmeasured_left_s

if TYPE_CHECKING:
    from zsdeconv.progress.pictures import Preview

Kind = Literal["clock", "machine", "network"]
"""What sets the time of a task: a clock, the processor, or the network (`remaining.UNITS_S`)."""
STARTING_WORDS = "getting ready"
"""What is shown while no task has begun: libraries are being loaded, which takes seconds."""
TRAINING_WORDS = "training"
"""What all of a training is called for people, while no phase of it has begun."""
SECONDS_BETWEEN_EVENTS = 0.2
"""Least time between two events of one task. Chosen: five a second look smooth, and cost nothing beside what they tell of."""


@dataclass(frozen=True)
class ProgressEvent:
    """What one who watches is told: the `task` at hand in words, how far it is (`done`, 0-1) and at which of its `steps`.

    `subject` says of what it is the task, such as "3 of 10: cell.tif" or a channel; empty where there is one image. `overall` is the share
    of the time of the whole job that is over, which never falls; `elapsed_s` and `left_s` are its time so far and its time left (None while
    nobody can tell). `values` holds numbers, such as the "validation" loss. `preview` is there at the validations of a training where it
    was asked for.
    """

    task: str
    done: float
    step: int | None = None
    steps: int | None = None
    subject: str = ""
    overall: float = 0.0
    elapsed_s: float = 0.0
    left_s: float | None = None
    values: Mapping[str, float] = field(default_factory=dict)
    preview: Preview | None = None

    @property
    def words(self) -> str:
        """The task with its step, "learning to denoise, step 66 of 990"."""
        return self.task if self.step is None else f"{self.task}, step {self.step}{f' of {self.steps}' if self.steps else ''}"

    @property
    def left_words(self) -> str:
        """The time left, "about 3 min left"; empty while nobody can tell, and at the end."""
        return f"{time_words(self.left_s)} left" if self.left_s else ""

    def __str__(self) -> str:
        return f"{self.subject}: {self.words}" if self.subject else self.words


class Task:
    """A task in `words`, with the `work` it is expected to be in units of its `kind`; or the sum of its `parts`, once it has planned them.

    With `names` its words are of what the parts are tasks, such as the name of a file. `work` None: nobody can tell.
    """

    def __init__(
        self, words: str, work: float | None = None, kind: Kind = "machine", *, names: bool = False, parts: Sequence[Task] = ()
    ) -> None:
        self.words, self.work, self.kind, self.names = words, work, kind, names
        self.parts, self.planned = list(parts), bool(parts)
        self.watch: Watch | None = None
        self.began: float | None = None
        self.ended: float | None = None
        self.speed: Speed | None = None
        self.done = self.start = 0.0
        self.step: int | None = None
        self.steps: int | None = None
        self.values: Mapping[str, float] = {}

    def start_at(self, done: float) -> None:
        """Say that this share was done before the task began: what is continued has no speed from it."""
        self.done = self.start = min(done, 1.0)

    def report(
        self, done: float, step: int | None = None, steps: int | None = None, *, preview: Preview | None = None, **values: float
    ) -> None:
        """Say how far the task is.

        Parameters
        ----------
        done : share that is done, 0-1
        step, steps : at which step of how many it is
        preview : pictures of what has been learnt
        values : numbers to tell, kept until the next ones
        """
        if self.watch is None:
            return
        self.done, self.step, self.steps = min(max(done, 0.0), 1.0), step, steps
        self.values = values or self.values
        self.watch.reported(self, preview)


class Watch:
    """One who watches a job: the root of its tasks, and what it is told.

    `tell` receives a `ProgressEvent` when a task begins or has news, but not more often than `SECONDS_BETWEEN_EVENTS`, and at the end; who
    paints by the clock asks for the present `event` instead. An exception of `tell` ends the job. `preview` says that pictures are wanted.
    """

    def __init__(
        self, tell: Callable[[ProgressEvent], object] | None = None, *, preview: bool = False, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.tell, self.preview, self.clock = tell, preview, clock
        self.root = Task("")
        self.root.watch, self.root.began = self, clock()
        self.paces = {kind: Pace(unit_s, fixed=kind == "clock") for kind, unit_s in UNITS_S.items()}
        self.picture: Preview | None = None
        self._path, self._words = [self.root], STARTING_WORDS
        self._settled, self._overall, self._told_at = Settled(), 0.0, -SECONDS_BETWEEN_EVENTS

    def begin(self, task: Task) -> None:
        """A task begins."""
        task.watch, task.began = self, self.clock()
        self._path, self._words = [*self._path, task], STARTING_WORDS if task.names else task.words
        self._notify()
        self._told_at = -SECONDS_BETWEEN_EVENTS  # its first news is told at once

    def end(self, task: Task, *, well: bool) -> None:
        """It ends; `well` unless it failed, and then nothing is learnt from its time."""
        task.ended = self.clock()
        if well and not task.parts and task.work and task.began is not None:
            done = 1.0 if task.speed is None else task.done  # a training may end before its last step
            self.paces[task.kind].add(task.work * (done - task.start), task.ended - task.began)
        task.done = 1.0
        self._path = [each for each in self._path if each is not task]

    def close(self) -> None:
        """The job is done."""
        self.root.ended = self.clock()
        self._notify()

    def reported(self, task: Task, preview: Preview | None = None) -> None:
        """A task has news."""
        now = self.clock()
        if task.speed is None:
            task.speed = Speed(self._expected_s(task), task.began if task.began is not None else now, task.start)
        if now - task.speed.at >= SECONDS_BETWEEN_EVENTS or task.done == 1:
            task.speed.add(task.done, now)
        if preview is not None:
            self.picture = preview
        if preview is not None or now - self._told_at >= SECONDS_BETWEEN_EVENTS or task.done == 1:
            self._notify(preview)

    def event(self, preview: Preview | None = None) -> ProgressEvent:
        """Where the job stands now."""
        now, path = self.clock(), self._path
        own = path[-1]
        elapsed = now - (self.root.began or 0.0)
        left = self._settled.follow(self._left_s(self.root, now), now)
        if left is not None:
            self._overall = max(self._overall, min(elapsed / max(elapsed + left, 1e-9), 1.0))
        if self.root.ended is not None:
            self._overall, left = 1.0, 0.0
        subject = ": ".join(each.words for each in path if each.names)
        words = next((each.words for each in reversed(path) if each.words and not each.names), self._words)
        words = words if self.root.ended is None else "done"
        done, at = (own.done, (own.step, own.steps)) if not own.parts else (self._share_of(own, now), (None, None))
        return ProgressEvent(words, done, *at, subject, self._overall, elapsed, left, dict(own.values), preview)

    def _notify(self, preview: Preview | None = None) -> None:
        if self.tell is not None:
            self._told_at = self.clock()
            self.tell(self.event(preview))

    def _share_of(self, task: Task, now: float) -> float:
        """Share of a task with parts that is done, by time."""
        left, taken = self._left_s(task, now), now - (task.began if task.began is not None else now)
        return 0.0 if left is None else taken / max(taken + left, 1e-9)

    def _expected_s(self, task: Task) -> float | None:
        """Time that a task without parts will take, by the pace of its kind, of which some may be under way."""
        if task.work is None:
            return None
        own = self._path[-1]
        now_units = now_s = 0.0
        if own is not task and own.kind == task.kind and own.work and own.speed is not None and own.began is not None:
            now_units, now_s = own.work * (own.speed.done - own.start), own.speed.at - own.began
        return self.paces[task.kind].seconds(task.work, now_units, now_s)

    def _left_s(self, task: Task, now: float) -> float | None:
        if task.ended is not None:
            return 0.0
        if task.parts:
            left = [self._left_s(part, now) for part in list(task.parts) if part.ended is None]
            unknown = any(each is None for each in left) or not (left or task.planned)  # of the latter nobody has said what follows
            return None if unknown else sum(each for each in left if each is not None)
        if task.speed is not None and (left_s := task.speed.left_s(now)) is not None:
            return left_s
        expected = self._expected_s(task)
        if expected is None or task.began is None:
            return expected
        return unmeasured_left_s((1 - task.start) * expected, now - task.began)


_PRESENT: ContextVar[Task | None] = ContextVar("present task", default=None)


def is_settled() -> bool:
    """Whether it is settled who watches, be it nobody."""
    return _PRESENT.get() is not None


def is_watched() -> bool:
    """Whether somebody watches."""
    own = _PRESENT.get()
    return own is not None and own.watch is not None


def wants_preview() -> bool:
    """Whether whoever watches wants pictures of what is learnt."""
    own = _PRESENT.get()
    return own is not None and own.watch is not None and own.watch.preview


@contextmanager
def watched(watch: Watch | None) -> Iterator[None]:
    """Let `watch` follow what is done in the block; with None nobody does, and code in the block asks no one else."""
    token = _PRESENT.set(Task("") if watch is None else watch.root)
    try:
        yield
        if watch is not None:
            watch.close()
    finally:
        _PRESENT.reset(token)


def plan(*parts: Task) -> None:
    """Announce the parts of the task at hand that are still to come, in place of those announced before."""
    own = _PRESENT.get()
    if own is not None:
        own.parts, own.planned = [*(part for part in own.parts if part.began is not None), *parts], True


def measured(kind: Kind, unit_s: float) -> None:
    """Note what a unit of a kind of work takes on this machine."""
    own = _PRESENT.get()
    if own is not None and own.watch is not None:
        own.watch.paces[kind].measured(unit_s)


def is_known(kind: Kind) -> bool:
    """Whether it was measured what a unit of a kind of work takes."""
    own = _PRESENT.get()
    return own is not None and own.watch is not None and own.watch.paces[kind].known


@contextmanager
def task(words: str, work: float | None = None, kind: Kind = "machine", *, names: bool = False) -> Iterator[Task]:
    """A part of the task at hand: the next one planned with these `words`, or a new one; the block reports to it.

    The arguments are those of `Task`; `work` wins over what was planned. Where nobody watches, reports lead nowhere.
    """
    around = _PRESENT.get()
    if around is None or around.watch is None:
        yield Task(words)
        return
    own = next((part for part in around.parts if part.words == words and part.began is None), None)
    if own is None:
        own = Task(words, work, kind, names=names)
        around.parts = [*around.parts, own]
    elif work is not None:
        own.work, own.kind = work, kind
    around.watch.begin(own)
    token, well = _PRESENT.set(own), False
    try:
        yield own
        well = True
    finally:
        _PRESENT.reset(token)
        around.watch.end(own, well=well)
