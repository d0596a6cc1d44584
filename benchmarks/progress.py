"""How honest the progress of `zsdeconv run` is, as a person sees it on a terminal.

The command runs in a pseudo terminal, and every repaint is noted with its time. For each case it is told after what time the first bar was
painted, for how long nothing moved at most, and by how much the time left was off after a tenth of the time and in the middle half of the
run (median), as a share of the true time left. `--tasks` adds how long each task took: from these the constants of
`zsdeconv.training.expected` and `zsdeconv.report.assess` were chosen.

    .venv/bin/python benchmarks/progress.py -o OUT [--only plane] [--tasks]
"""

from __future__ import annotations

import argparse
import fcntl
import itertools
import os
import pty
import re
import struct
import subprocess
import sys
import termios
import time
from dataclasses import dataclass, field
from pathlib import Path

LENS = "--na 1.4 --wavelength-nm 525 --immersion-ri 1.515"
CASES = {
    "plane": ("2d --size 128 --photons 40", ""),
    "movie": ("2d --size 96 --frames 10 --photons 40", "--steps 400"),
    "stack": ("3d --size 64 --planes 12 --photons 40 --pixel-um 0.1 --z-um 0.2", "--steps 200"),
    "sim": ("sim2d --size 128 --photons 300 --structure network", "--modality sim2d --axes PYX --pixel-um 0.065 --steps 400"),
    "time": ("2d --size 128 --photons 40", "--minutes 1"),
}
"""For each case: what is simulated, and how it is restored. Chosen: one to two minutes each on a desktop; a default run, where it ends so
soon."""
UNITS_S = {"s": 1.0, "min": 60.0, "h": 3600.0}
FEW_S = 4.0
"""What "a few seconds" are taken for."""
ROWS, COLUMNS = 24, 100
"""Size of the terminal: a usual one."""
NUMBERS = re.compile(r"(\d+) %  [\d:]+(?:, (a few seconds|about ([\d.]+) (s|min|h)) left)?")
ESCAPES = re.compile(r"\x1b\[[0-9;?]*[a-zA-Z]")


@dataclass
class Seen:
    """What was on the screen: times of repaints that changed something, times left that were shown, and the words with their times.

    The end is the last change: the program then takes a moment to be gone.
    """

    moves_s: list[float] = field(default_factory=list)
    left_s: list[tuple[float, float]] = field(default_factory=list)
    words: list[tuple[float, str]] = field(default_factory=list)

    def add(self, now: float, text: str) -> None:
        """A repaint."""
        shown = [line.strip() for line in ESCAPES.sub("", text).replace("\r", "\n").splitlines() if line.strip()]
        self.moves_s.append(now)
        for words, line in zip(["", *shown], shown, strict=False):
            if found := NUMBERS.search(line):
                if found[2]:
                    self.left_s.append((now, FEW_S if found[3] is None else float(found[3]) * UNITS_S[found[4]]))
                task = re.sub(r"(, (step|validation) .*)|(^[^:]*: )", "", words)
                if task and (not self.words or self.words[-1][1] != task):
                    self.words.append((now, task))

    @property
    def ended_s(self) -> float:
        return self.moves_s[-1]

    @property
    def longest_still_s(self) -> float:
        """Longest time without a change, from the first repaint to the last one."""
        return max(b - a for a, b in itertools.pairwise(self.moves_s))

    def error_at(self, share: float) -> float:
        """Time left that is shown at a share of the time, over the true one, less 1."""
        at = share * self.ended_s
        now, left = next((each for each in self.left_s if each[0] >= at), self.left_s[-1])
        return left / (self.ended_s - now) - 1


def watched(command: list[str]) -> Seen:
    """Run a command in a pseudo terminal."""
    seen, last = Seen(), ""
    started = time.monotonic()
    process, master = pty.fork()
    if process == 0:
        os.execvp(command[0], command)
    fcntl.ioctl(master, termios.TIOCSWINSZ, struct.pack("HHHH", ROWS, COLUMNS, 0, 0))
    while True:
        try:
            text = os.read(master, 1 << 16).decode("utf-8", "replace")
        except OSError:
            break
        if not text:
            break
        if text != last:
            seen.add(time.monotonic() - started, text)
            last = text
    code = os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])
    if code:
        raise SystemExit(f"exit code {code}: {' '.join(command)}\n{last}")
    return seen


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("-o", "--output", type=Path, required=True)
    parser.add_argument("--only", nargs="*", choices=CASES, default=list(CASES))
    parser.add_argument("--tasks", action="store_true", help="how long each task took, and the time left that was shown in its course, s")
    asked = parser.parse_args()
    program = [sys.executable, "-m", "zsdeconv"]
    print("| case | time, s | first movement, s | longest standstill, s | time left after a tenth | median, middle half |")
    print("| --- | --- | --- | --- | --- | --- |", flush=True)
    for name in asked.only:
        simulation, given = CASES[name]
        folder = asked.output / name
        simulated = [*program, "simulate", *simulation.split(), *LENS.split(), "-o", str(folder), "--overwrite", "--quiet"]
        subprocess.run(simulated, check=True)
        options = [*LENS.split(), *given.split(), "--overwrite"]
        seen = watched([*program, "run", str(folder / "noisy.tif"), "-o", str(folder / "restored"), *options])
        errors = sorted(abs(seen.error_at(0.25 + n / 100)) for n in range(51))
        numbers = f"{seen.ended_s:.0f} | {seen.moves_s[0]:.1f} | {seen.longest_still_s:.1f}"
        print(f"| {name} | {numbers} | {100 * seen.error_at(0.1):+.0f} % | {100 * errors[25]:.0f} % |", flush=True)
        ends = [*(at for at, _ in seen.words[1:]), seen.ended_s]
        for (at, words), end in zip(seen.words, ends, strict=True) if asked.tasks else ():
            shown = [f"{left:.0f} ({seen.ended_s - now:.0f})" for now, left in seen.left_s if at <= now < end]
            print(f"    {end - at:7.1f}  {words}  {' '.join(shown[:: max(1, len(shown) // 4)])}", flush=True)


if __name__ == "__main__":
    main()
