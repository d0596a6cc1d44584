"""Camera calibration from the noisy image alone, on simulated cases whose camera is known.

    python benchmarks/calibrate_cases.py CASES...

A case is a folder with noisy.tif and case.yaml (offset, gain and read noise of the simulated camera). Prints a markdown table.
"""

import json
import subprocess
import sys
from pathlib import Path

from cases import facts, find_cases
from run_cases import table

COLUMNS = ("case", "gain", "true", "error", "offset, ADU", "true", "error", "read noise, ADU", "true", "error")


def measured(case: Path) -> dict[str, float]:
    """What the command line finds, under the names of case.yaml."""
    words = [sys.executable, "-m", "zsdeconv", "calibrate", str(case / "noisy.tif"), "--json"]
    return json.loads(subprocess.run(words, stdout=subprocess.PIPE, text=True, check=True).stdout)


def row(case: Path) -> list[str]:
    ours, known = measured(case), facts(case)
    cells = [case.name]
    for name in ("gain_adu_per_e", "offset_adu", "read_noise_adu"):
        error = ours[name] - known[name]
        shown = f"{error:+.2f} ADU" if name == "offset_adu" else f"{100 * error / known[name]:+.1f} %"
        cells += [f"{ours[name]:.3f}", f"{known[name]:g}", shown]
    return cells


def main() -> None:
    cases = find_cases(map(Path, sys.argv[1:]), "2d", None)
    known = [case for case in cases if "gain_adu_per_e" in facts(case)]
    if not known:
        sys.exit(f"no simulated case in {' '.join(sys.argv[1:]) or 'no folder'}: python benchmarks/calibrate_cases.py CASES...")
    print(table(COLUMNS, map(row, known)), end="")


if __name__ == "__main__":
    main()
