"""How often the truth lies within the standard error, in restored benchmark cases.

    python benchmarks/uncertainty.py CASES OUT

OUT is what `run_cases.py CASES -o OUT` has written. The truth is that at the resolution which the network is asked for
(`training.target_share` of the width of the PSF). For each case: the share of pixels that are off by less than their standard error (68 %
would be right), and, in eighths of the pixels by rising standard error, what 68 % of them are off by, over the standard error.
"""

import sys
from pathlib import Path

import numpy as np
import tifffile
from scipy.ndimage import gaussian_filter

import zsdeconv as zs
from zsdeconv.physics.psf import fwhms_um
from zsdeconv.symbols import FWHM_PER_SIGMA

QUANTILE, GROUPS = 0.68, 8


def ratios(case: Path, run: Path) -> tuple[np.ndarray, np.ndarray]:
    """How far pixels are off over their standard error, and the standard error over its median."""
    model = zs.load(run / "noisy.zsd")
    x, sigma = (np.squeeze(tifffile.imread(run / f"noisy_{kind}.ome.tif")) for kind in ("deconvolved", "uncertainty"))
    share = model.config.training.target_share
    widths = [share * um / step / FWHM_PER_SIGMA for um, step in zip(fwhms_um(model.psf), model.psf.spacing_um, strict=True)]
    if len(widths) == 3:
        widths[0] = 0.0  # objects are asked for at their own planes
    truth = gaussian_filter(np.squeeze(tifffile.imread(case / "truth.tif")).astype(float), widths)
    return (np.abs(x - truth) / sigma).ravel(), (sigma / np.median(sigma)).ravel()


def groups(off: np.ndarray, sigma: np.ndarray) -> list[float]:
    number = np.digitize(sigma, np.quantile(sigma, np.linspace(0, 1, GROUPS + 1))[1:-1])
    return [float(np.quantile(off[number == n], QUANTILE)) for n in range(GROUPS)]


def main() -> None:
    cases, out = map(Path, sys.argv[1:3])
    print("| case | within the standard error | 68 % are off by, over the standard error, in eighths |\n| --- | --- | --- |")
    together = []
    for run in sorted(out.glob("*_seed*/")):
        case = cases / run.name.split("_")[0]
        if (run / "noisy_uncertainty.ome.tif").exists() and (case / "truth.tif").exists():
            off, sigma = ratios(case, run)
            chosen = np.random.default_rng(0).choice(len(off), 100_000)
            together.append((off[chosen], sigma[chosen]))
            print(f"| {run.name} | {np.mean(off < 1):.2f} | {' '.join(f'{ratio:.2f}' for ratio in groups(off, sigma))} |", flush=True)
    off, sigma = (np.concatenate(part) for part in zip(*together, strict=True))
    print(f"| all, alike | {np.mean(off < 1):.2f} | {' '.join(f'{ratio:.2f}' for ratio in groups(off, sigma))} |")


if __name__ == "__main__":
    main()
