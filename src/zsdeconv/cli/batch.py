"""The inputs of a command line, each a job that takes the same stages; what fails with one does not stop the others."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from zsdeconv.cli.console import show_rows
from zsdeconv.cli.inputs import Source
from zsdeconv.cli.outcome import DONE, FAULT, mendable, told, warnings_of
from zsdeconv.cli.progress import Voice
from zsdeconv.progress.tasks import Task, plan
from zsdeconv.results import Places

if TYPE_CHECKING:
    from zsdeconv.channels import PreparedChannels
    from zsdeconv.image import Image
    from zsdeconv.prepare import Prepared

KEPT_BYTES = 1e9
"""Pixels of checked inputs that are kept until their turn comes. Chosen: a part of any machine's memory; the others are read twice."""


@dataclass
class Job:
    """One input with the places of its results, and what is known and has become of it.

    `ahead` are the tasks that its restoration is expected to be, `facts` its entry in the JSON object, `outcome` what became of it in
    words, empty while it is under way. `finished` says that its results are there already, `replaces` that existing ones may be
    replaced.
    """

    source: Source
    results: Places
    voice: Voice
    facts: dict[str, Any] = field(default_factory=dict)
    outcome: str = ""
    finished: bool = False
    replaces: bool = False
    disk_bytes: float = 0.0
    held: tuple[Image, Prepared | PreparedChannels] | None = None
    ahead: list[Task] = field(default_factory=list)

    def skip(self, why: str) -> None:
        """Leave it out, for which the user is told the reason."""
        self.voice.line(f"{self.results.stem}: {why}")
        self.facts["skipped"] = why
        self.outcome = f"skipped: {why}"

    def fail(self, fault: Exception) -> int:
        """Leave it out for a fault, which the user is told; the exit code that the fault asks for."""
        line = mendable(fault) or f"fault of the program: {type(fault).__name__}: {fault}"
        named = "" if self.source.name in line else f"{self.source.name}: "
        self.facts["error"] = line
        self.outcome = f"failed: {line.removeprefix(f'{self.source.name}: ')}"
        return told(fault, lead=f"{self.voice.lead}{named}")


class Batch:
    """Jobs one after the other, stage by stage. The fault of a single job is that of the command."""

    def __init__(self, jobs: Sequence[Job]) -> None:
        self.jobs, self.code, self.kept_bytes = list(jobs), DONE, 0.0

    @property
    def under_way(self) -> list[Job]:
        """Those that neither failed nor are done or skipped."""
        return [job for job in self.jobs if not job.outcome]

    @property
    def several(self) -> bool:
        """Whether there is more than one job."""
        return len(self.jobs) > 1

    def each(self, stage: Callable[[Job], None]) -> None:
        """Take every job that is under way through a stage."""
        for job in self.under_way:
            if not self.several:
                with job.voice.at_work():
                    stage(job)
                continue
            try:
                with warnings_of(job.source.name), job.voice.at_work():
                    stage(job)
            except Exception as fault:
                job.held = None
                code = job.fail(fault)
                self.code = FAULT if FAULT in (self.code, code) else code

    def announce(self) -> None:
        """Tell whoever watches what is ahead of every job that is under way."""
        plan(*(Task(job.voice.subject, names=True, parts=job.ahead) for job in self.under_way))

    def hold(self, job: Job, image: Image, prepared: Prepared | PreparedChannels) -> None:
        """Keep what was read and prepared until its turn comes, where the memory allows."""
        if not self.several or self.kept_bytes + image.data.nbytes <= KEPT_BYTES:
            self.kept_bytes += image.data.nbytes
            job.held = image, prepared

    def release(self, job: Job) -> tuple[Image, Prepared | PreparedChannels] | None:
        """What was kept of a job; None where it has to be read again."""
        held, job.held = job.held, None
        self.kept_bytes -= 0.0 if held is None else held[0].data.nbytes
        return held

    def show_table(self) -> None:
        """What became of each of several inputs."""
        if self.several:
            names = [job.source.name for job in self.jobs]
            several_folders = len(set(names)) < len(names)
            show_rows((str(job.source.path) if several_folders else job.source.name, job.outcome) for job in self.jobs)


def jobs_of(places: Sequence[tuple[Source, Places]], *, quiet: bool, silent: bool) -> list[Job]:
    """A job for each input, in their order.

    Parameters
    ----------
    places
        The inputs, and where the results of each go.
    quiet
        Whether no progress is shown.
    silent
        Whether nothing is said for people.
    """
    jobs = []
    for number, (source, results) in enumerate(places, 1):
        place = f"{number} of {len(places)}" if len(places) > 1 else ""
        facts = {"input": str(source.path), **({"frames": [str(file) for file in source.files]} if source.movie else {})}
        jobs.append(Job(source, results, Voice(source.name, place, quiet, silent), facts))
    return jobs
