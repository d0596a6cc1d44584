"""How often the truth lies within the standard error, in restored benchmark cases; and the law of the standard error, fitted to them.

    python benchmarks/uncertainty.py CASES OUT [--fit]

OUT is what `run_cases.py CASES -o OUT` has written. The truth is that at the resolution which the network is asked for
(`training.target_share` of the width of the PSF). For each case: the share of pixels that are off by less than their standard error (68 %
would be right), and, in eighths of the pixels by rising standard error, what 68 % of them are off by, over the standard error.

With `--fit`: for each modality the numbers s, r and q (`zsdeconv.trust.uncertainty`) with which these ratios are nearest to 1.
"""

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import tifffile
import torch
from scipy.optimize import minimize

import zsdeconv as zs
from cases import facts, wanted
from zsdeconv.trust.uncertainty import light_elsewhere

QUANTILE, GROUPS = 0.68, 8
PIXELS = 100_000
"""Of each case, taken at random."""
STARTS = ((1.8, 0.04, 1.3), (4.0, 0.1, 0.6), (2.0, 0.15, 0.3))
"""Laws from which the fit sets out."""
MOST_SHARE = 0.1
"""A share of the brightness beyond which the fit is held back: what is that wrong is not to be excused by its brightness."""


@dataclass(frozen=True)
class Run:
    """A restored case: how far pixels are off, and the three parts of their standard error under any law, ADU."""

    name: str
    modality: str
    error: np.ndarray
    parts: np.ndarray
    law: tuple[float, float, float]

    def off(self, law: Sequence[float] | np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The error over the standard error, and the standard error over its median."""
        sigma = np.sqrt(np.square(law) @ np.square(self.parts)) + 1e-12
        return self.error / sigma, sigma / np.median(sigma)


class Restored:
    """What a run has written."""

    def __init__(self, case: Path, folder: Path) -> None:
        self.case, self.folder, self.model = case, folder, zs.load(folder / "noisy.zsd")

    def image(self, kind: str) -> np.ndarray:
        return np.squeeze(tifffile.imread(self.folder / f"noisy_{kind}.ome.tif"))

    @cached_property
    def elsewhere(self) -> float:
        denoised, deconvolved = (torch.from_numpy(self.image(kind)) for kind in ("denoised", "deconvolved"))
        return light_elsewhere(denoised, deconvolved, self.model.imaging.forward_operator)

    def run(self) -> Run:
        """The spread is what the law has made the standard error of, backwards."""
        s, r, q = law = self.model.modality.error_law
        x, sigma = (self.image(kind).astype(np.float64).ravel() for kind in ("deconvolved", "uncertainty"))
        spread = np.sqrt(np.maximum(sigma**2 - (r * x) ** 2 - (q * self.elsewhere) ** 2, 0)) / s
        chosen = np.random.default_rng(0).choice(x.size, PIXELS)
        error = np.abs(x - wanted(self.case, self.model).ravel())[chosen]
        parts = np.stack((spread[chosen], np.abs(x[chosen]), np.full(PIXELS, self.elsewhere)))
        return Run(self.folder.name, facts(self.case)["modality"], error, parts, law)


def groups(off: np.ndarray, sigma: np.ndarray) -> np.ndarray:
    """What 68 % of the pixels are off by, over the standard error, in groups by rising standard error."""
    number = np.digitize(sigma, np.quantile(sigma, np.linspace(0, 1, GROUPS + 1))[1:-1])
    return np.array([np.quantile(off[number == n], QUANTILE) if np.any(number == n) else 1.0 for n in range(GROUPS)])


def fitted(runs: Sequence[Run]) -> np.ndarray:
    """s, r and q: the mean of `|log ratio|` over groups and cases is least, and the share within the standard error nearest to 68 %."""

    def misfit(logs: np.ndarray) -> float:
        total = 0.0
        for run in runs:
            off, sigma = run.off(np.exp(logs))
            total += np.abs(np.log(np.clip(groups(off, sigma), 0.05, 20))).mean() + 2 * (np.mean(off < 1) - QUANTILE) ** 2
        return total / len(runs) + 0.02 * max(0.0, logs[1] - np.log(MOST_SHARE)) ** 2

    options = {"maxiter": 250, "xatol": 0.02, "fatol": 1e-3}
    return np.exp(min((minimize(misfit, np.log(start), method="Nelder-Mead", options=options) for start in STARTS), key=lambda m: m.fun).x)


def row(name: str, off: np.ndarray, sigma: np.ndarray) -> None:
    print(f"| {name} | {np.mean(off < 1):.2f} | {' '.join(f'{ratio:.2f}' for ratio in groups(off, sigma))} |", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("cases", type=Path, metavar="CASES", help="folder of case folders")
    parser.add_argument("out", type=Path, metavar="OUT", help="what run_cases.py has written")
    parser.add_argument("--fit", action="store_true", help="fit the law to these runs")
    args = parser.parse_args()
    runs = []
    for folder in sorted(args.out.glob("*_seed*/")):
        case = args.cases / folder.name.split("_")[0]
        if (folder / "noisy_uncertainty.ome.tif").exists() and (case / "truth.tif").exists():
            runs.append(Restored(case, folder).run())
    for modality in dict.fromkeys(run.modality for run in runs):
        alike = [run for run in runs if run.modality == modality]
        law = fitted(alike) if args.fit else np.array(alike[0].law)
        print(f"\n{modality}: s {law[0]:.3g}, r {law[1]:.3g}, q {law[2]:.3g}\n")
        print("| case | within the standard error | 68 % are off by, over the standard error, in eighths |\n| --- | --- | --- |")
        together = []
        for run in alike:
            together.append(run.off(law))
            row(run.name, *together[-1])
        off, sigma = (np.concatenate(part) for part in zip(*together, strict=True))
        row("all, alike", off, sigma)


if __name__ == "__main__":
    main()
