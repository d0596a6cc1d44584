"""What seconds of classics reach on 2-D benchmark cases: BM3D under the true law of the noise, Richardson-Lucy with an oracle stop.

    python benchmarks/classical.py CASES... --bench ../shared/bench [-o classical.json]

A case is a folder with noisy.tif, clean.tif, truth.tif, psf.tif and case.yaml, which states offset, gain and read noise. The noise is made
even by the root of Anscombe for its variance (for an electron multiplier twice the gain per electron), denoised by BM3D, and taken back by
the closed form of the exact unbiased inverse (Makitalo and Foi, IEEE Trans. Image Process. 22, 91, 2013). Both are kinder than any user can
be: the law is given, and the number of iterations is chosen by looking at the truth. BM3D is not among the packages of this project, as its
licence allows no commercial use: install bm3d by hand.
"""

import argparse
import importlib.util
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import tifffile

from cases import facts, find_cases

ITERATIONS = (1, 2, 3, 4, 6, 8, 10, 15, 20, 30, 50)
"""Of Richardson-Lucy, as in the baselines of the benchmark."""
EXCESS = {"emccd": 2.0}
"""Variance per electron over gain squared, where it is not 1."""


def stabilised_bm3d(y: np.ndarray, slope: float, read_variance: float) -> np.ndarray:
    """BM3D of counts above the offset whose noise has the variance `slope y + read_variance`, ADU."""
    bm3d = importlib.import_module("bm3d")
    extra = 3 / 8 + read_variance / slope**2
    root = 2 * np.sqrt(np.maximum(y / slope + extra, 0))
    d = np.maximum(bm3d.bm3d(root, sigma_psd=1.0), 2 * np.sqrt(3 / 8))
    half = np.sqrt(1.5)
    return slope * (d**2 / 4 + half / (4 * d) - 11 / (8 * d**2) + 5 * half / (8 * d**3) - 1 / 8 - read_variance / slope**2)


def scores(case: Path, bench: Path) -> dict[str, Any]:
    """Psnr of the raw and of the denoised image, and the best psnr and soft_psnr of Richardson-Lucy, dB."""
    known, referee, baselines = facts(case), importlib.import_module("score"), importlib.import_module("baselines")
    y = tifffile.imread(case / "noisy.tif").astype(float) - known["offset_adu"]
    found: dict[str, Any] = {"case": f"{case.parent.name}/{case.name}", "raw": referee.score(case, y)["denoised"]["psnr"]}
    slope = known["gain_adu_per_e"] * EXCESS.get(known.get("detector", ""), 1.0)
    found["bm3d"] = referee.score(case, stabilised_bm3d(y, slope, known["read_noise_adu"] ** 2))["denoised"]["psnr"]
    estimates = baselines.richardson_lucy(y, tifffile.imread(case / "psf.tif").astype(float), ITERATIONS)
    results = [referee.score(case, None, x)["deconvolved"] for _, x in estimates]
    return found | {f"rl_{kind}": max(result[kind] for result in results) for kind in ("psnr", "soft_psnr")}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("cases", type=Path, nargs="+", metavar="CASES", help="folders of cases; 2-D ones are taken")
    parser.add_argument("--only", nargs="+", metavar="NAME", help="names of cases")
    parser.add_argument("--bench", type=Path, required=True, help="the folder of score.py and baselines.py")
    parser.add_argument("-o", "--output", type=Path, help="results as JSON")
    options = parser.parse_args()
    if importlib.util.find_spec("bm3d") is None:
        parser.error("bm3d is not installed: install it by hand, its licence allows no commercial use")
    sys.path.insert(0, str(options.bench))
    keys, table = ("raw", "bm3d", "rl_soft_psnr", "rl_psnr"), []
    print("| case | raw | BM3D | RL soft_psnr | RL psnr |\n" + "| --- " * 5 + "|")
    for case in find_cases(options.cases, "2d", options.only):
        table.append(scores(case, options.bench))
        print(f"| {table[-1]['case']} | " + " | ".join(f"{table[-1][key]:.2f}" for key in keys) + " |", flush=True)
    if options.output:
        options.output.write_text(json.dumps(table, indent=1))


if __name__ == "__main__":
    main()
