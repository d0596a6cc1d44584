"""How often the truth lies within the standard error, in restored benchmark cases; and the law of the standard error, fitted to them.

    python benchmarks/uncertainty.py CASES OUT [--fit]

OUT is what `run_cases.py CASES -o OUT` has written; its models restore the images again. The truth is that at the resolution which the
network is asked for (`training.target_fwhm_fraction` of the width of the PSF). For each case: the share of pixels that are off by less than
their standard error (68 % would be right), of all and of those in places with light, between which shares the report expects the latter,
and, in eighths of the pixels by rising standard error, what 68 % of them are off by, over the standard error.

With `--fit`: for each modality the law (`zsdeconv.modality.ErrorLaw`) with which these ratios are nearest to 1.
"""

import argparse
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from scipy.optimize import minimize

import zsdeconv as zs
from cases import facts, recorded, wanted
from zsdeconv.prediction.uncertainty import ErrorLaw, median_reblur_residual
from zsdeconv.report.checks.standard_error import BRIGHT_PERCENTILE, LIT_FRACTION, StandardError, measure

QUANTILE, GROUPS = 0.68, 8
PIXELS = 100_000
"""Of each case, taken at random."""
SHIFTS = (0.0, 0.3, -0.3)
"""Logarithms of what the law of the modality is multiplied by to begin the fit."""
MOST_SHARE = 0.1
"""A share of the brightness beyond which the fit is held back: what is that wrong is not to be excused by its brightness."""


@dataclass(frozen=True)
class Run:
    """A restored case: how far pixels are off, and the parts of their standard error under any law, ADU."""

    name: str
    modality: str
    error: np.ndarray
    parts: np.ndarray
    law: ErrorLaw
    judged: StandardError
    lit: np.ndarray

    def off(self, law: Sequence[float] | np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The error over the standard error by the factors of a law, and the standard error over its median."""
        sigma = np.sqrt(np.square(law) @ np.square(self.parts)) + 1e-12
        return self.error / sigma, sigma / np.median(sigma)


def read_run(case: Path, folder: Path) -> Run:
    """What the model of a run makes of its image. The spread is what the law has made the standard error of, backwards."""
    model = zs.load(folder / "noisy.zsd")
    restored = replace(model, camera_from="model").predict(recorded(case))
    assert restored.uncertainty is not None
    x, sigma, denoised = (np.squeeze(each.data) for each in (restored.deconvolved, restored.uncertainty, restored.denoised))
    law, scale = model.modality.error_law, model.unit.scale
    judged = measure(restored.deconvolved, restored.uncertainty, law, offset_sigma=model.offset_sigma)
    seen = torch.from_numpy(denoised), torch.from_numpy(x)
    residual = median_reblur_residual(*seen, model.acquisition.forward_operator)
    taken = scale * model.intensity_correction.deconvolved.taken(torch.from_numpy(x / scale)).numpy()
    error = np.abs(x - wanted(case, model)).ravel()
    chosen = np.random.default_rng(0).choice(x.size, PIXELS)
    brightness, sigma, taken = (image.ravel()[chosen].astype(np.float64) for image in (np.abs(x), sigma, taken))
    others = np.stack((brightness, *(np.full(PIXELS, doubt) for doubt in (residual, model.offset_sigma)), taken))
    factors = np.array(law[1:5])
    spread = np.sqrt(np.maximum(sigma**2 - np.square(factors) @ np.square(others), 0)) / law.pass_spread
    lit = x.ravel()[chosen] > LIT_FRACTION * np.percentile(x, BRIGHT_PERCENTILE)
    return Run(folder.name, facts(case)["modality"], error[chosen], np.stack((spread, *others)), law, judged, lit)


def groups(off: np.ndarray, sigma: np.ndarray) -> np.ndarray:
    """What 68 % of the pixels are off by, over the standard error, in groups by rising standard error."""
    number = np.digitize(sigma, np.quantile(sigma, np.linspace(0, 1, GROUPS + 1))[1:-1])
    return np.array([np.quantile(off[number == n], QUANTILE) if np.any(number == n) else 1.0 for n in range(GROUPS)])


def fitted(runs: Sequence[Run]) -> np.ndarray:
    """The law with the mean of `|log ratio|` over groups and cases least, and the share within the standard error nearest to 68 %.

    Factors that are 0 in the law of the modality stay 0.
    """
    start = np.array(runs[0].law[:5])
    free = start > 0

    def misfit(logs: np.ndarray) -> float:
        law, total = _law(free, logs), 0.0
        for run in runs:
            off, sigma = run.off(law)
            total += np.abs(np.log(np.clip(groups(off, sigma), 0.05, 20))).mean() + 2 * (np.mean(off < 1) - QUANTILE) ** 2
        return total / len(runs) + 0.02 * max(0.0, logs[1] - np.log(MOST_SHARE)) ** 2

    options = {"maxiter": 300, "xatol": 0.02, "fatol": 1e-3}
    tried = (minimize(misfit, np.log(start[free]) + shift, method="Nelder-Mead", options=options) for shift in SHIFTS)
    return _law(free, min(tried, key=lambda m: m.fun).x)


def _law(free: np.ndarray, logs: np.ndarray) -> np.ndarray:
    law = np.zeros(len(free))
    law[free] = np.exp(logs)
    return law


def row(name: str, off: np.ndarray, sigma: np.ndarray, lit: np.ndarray, expected: tuple[float, float] | None = None) -> None:
    bounds = "" if expected is None else f"{expected[0]:.2f} to {expected[1]:.2f}"
    shares = f"{np.mean(off < 1):.2f} | {np.mean(off[lit] < 1):.2f} of {lit.mean():.2f} | {bounds}"
    print(f"| {name} | {shares} | {' '.join(f'{ratio:.2f}' for ratio in groups(off, sigma))} |", flush=True)


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
            runs.append(read_run(case, folder))
    for modality in dict.fromkeys(run.modality for run in runs):
        alike = [run for run in runs if run.modality == modality]
        law = fitted(alike) if args.fit else np.array(alike[0].law[:5])
        print(f"\n{modality}: {', '.join(f'{name} {number:.3g}' for name, number in zip(ErrorLaw._fields[:5], law, strict=True))}\n")
        heads = ("case", "within the standard error", "of places with light", "expected", "68 % are off by, over it, in eighths")
        print(f"| {' | '.join(heads)} |\n{'| --- ' * len(heads)}|")
        together = []
        for run in alike:
            own = run.off(law)
            together.append(own)
            row(run.name, own[0], own[1], run.lit, run.judged.expected_share)
        off, sigma = (np.concatenate(part) for part in zip(*together, strict=True))
        row("all, alike", off, sigma, np.concatenate([run.lit for run in alike]))


if __name__ == "__main__":
    main()
