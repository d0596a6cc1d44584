"""Restore a dim real image with default options and measure what is left of its noise; draw it beside the raw image.

    python benchmarks/real_dim.py IMAGE -o OUT --pixel-um 0.23 --na 1.4 --wavelength-nm 525 [--steps 300 1800]

OUT/dim.json holds, for each number of steps, the detector found, the share of isolated spikes of the denoised image, their correlation with
the noise, the mean, and the findings of the report that are not good. OUT/NAME.png shows the result of the last one. With `--twin`, an
image whose law is known exactly is treated in the same way: a simulated recording of what was restored after the fewest steps.
"""

import argparse
import json
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import torch
from matplotlib.figure import Figure
from scipy.ndimage import median_filter

import zsdeconv as zs
from zsdeconv.cli.demo_picture import INK, PAPER, busiest_corner, save_small, scale_bar
from zsdeconv.notation import SIGMA_PER_MAD

SPIKE_SIGMAS = 8.0
"""Robust standard deviations of the denoised image minus its median over 3 x 3 pixels, from which a pixel is an isolated spike."""
SHOWN_PX = 200
"""Side of the part that is shown, raw pixels."""


def spikes(raw: np.ndarray, denoised: np.ndarray) -> dict[str, float]:
    """Share of isolated spikes in percent, and the correlation of such detail with the noise in the same pixel (raw minus denoised)."""
    detail = denoised - median_filter(denoised, 3)
    sigma = SIGMA_PER_MAD * float(np.median(np.abs(detail - np.median(detail))))
    return {
        "spikes_percent": round(100 * float((detail > SPIKE_SIGMAS * sigma).mean()), 4),
        "correlation_with_noise": round(float(np.corrcoef(detail.ravel(), (raw - denoised).ravel())[0, 1]), 4),
    }


def measured(raw: np.ndarray, restored: zs.Restored) -> dict[str, Any]:
    """All numbers of one restoration."""
    camera, report = restored.model.camera, restored.report()
    doubts = [f"{s.key}: {f.level}: {f.message}" for s in report.sections for f in s.findings if f.level in ("warn", "fail")]
    return {
        "detector": camera.kind,
        "offset_adu": round(camera.offset, 2),
        "offset_sigma_adu": round(restored.model.offset_sigma, 2),
        "zero_correction_adu": restored.model.provenance["offset_correction_adu"],
        "mean_adu": round(float(restored.denoised.data.mean()), 3),
        "negative_percent": round(100 * float((restored.deconvolved.data < 0).mean()), 3),
        **spikes(raw, restored.denoised.data),
        "doubts": doubts,
    }


def twin(restored: zs.Restored, image: zs.Image, steps: int) -> dict[str, Any]:
    """The same of a recording of the denoised image by the law found, and how much of its own noise a pixel keeps, beside a Wiener filter.

    The Wiener filter of known spectra is the best linear one for white noise; a pixel of its result keeps the mean of its gains.
    """
    camera, clean = restored.model.camera, restored.denoised.data.astype(np.float64).clip(0)
    recorded = camera.simulate(torch.from_numpy(clean), 1.0, torch.Generator().manual_seed(0)).numpy()
    noisy = zs.Image(np.rint(recorded + camera.offset).clip(0).astype(np.uint16), image.axes, image.spacing_um)
    again = zs.restore(noisy, restored.model.acquisition.optics, steps=steps).denoised.data
    noise, power = recorded - clean, np.abs(np.fft.fft2(clean - clean.mean())) ** 2 / clean.size
    return {
        **spikes(recorded, again),
        "spikes_percent_without_noise": spikes(recorded, clean)["spikes_percent"],
        "noise_kept": round(float(((again - clean) * noise).mean() / noise.var()), 4),
        "noise_kept_by_wiener_filter": round(float((power / (power + noise.var())).mean()), 4),
        "psnr_gain_db": round(float(10 * np.log10((noise**2).mean() / ((again - clean) ** 2).mean())), 2),
    }


def draw(raw: np.ndarray, denoised: np.ndarray, deconvolved: np.ndarray, pixel_um: float, path: Path) -> None:
    """The part with most structure: raw, denoised, deconvolved."""
    side = min(SHOWN_PX, *raw.shape)
    y, x = busiest_corner(denoised.astype(float), side) if side < min(raw.shape) // 2 else (0, 0)
    fine = deconvolved.shape[-1] // raw.shape[-1]
    shown = {
        "raw": raw[y : y + side, x : x + side],
        "denoised": denoised[y : y + side, x : x + side],
        "deconvolved": deconvolved[fine * y : fine * (y + side), fine * x : fine * (x + side)],
    }
    figure = Figure(figsize=(12.0, 4.3), dpi=100, facecolor=PAPER)
    axes = figure.subplots(1, len(shown), gridspec_kw={"wspace": 0.02, "left": 0.005, "right": 0.995, "top": 0.92, "bottom": 0.01})
    for axis, (title, image) in zip(axes, shown.items(), strict=True):
        low, high = np.percentile(image, (1, 99.8))
        axis.imshow(image, cmap="inferno", vmin=low, vmax=high, extent=(0, side * pixel_um, side * pixel_um, 0))
        axis.set_title(title, color=INK, fontsize=13, pad=6)
        axis.set_axis_off()
    scale_bar(axes[0], 10.0)
    save_small(figure, path)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("image", type=Path)
    parser.add_argument("-o", "--out", type=Path, required=True)
    parser.add_argument("--pixel-um", type=float, required=True)
    parser.add_argument("--na", type=float, required=True)
    parser.add_argument("--wavelength-nm", type=float, required=True)
    parser.add_argument("--steps", type=int, nargs="+", default=[300, 1800])
    parser.add_argument("--twin", action="store_true")
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    image = zs.read(args.image, pixel_um=args.pixel_um)
    facts: dict[str, Any] = {}
    least = None
    for steps in args.steps:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            restored = zs.restore(image, zs.Optics(na=args.na, wavelength_nm=args.wavelength_nm), steps=steps)
        raw = image.data.astype(np.float64)
        facts[str(steps)] = measured(raw, restored)
        least = least or restored
        print(steps, facts[str(steps)], flush=True)
        (args.out / "dim.json").write_text(json.dumps(facts, indent=1) + "\n")
        draw(raw, restored.denoised.data, restored.deconvolved.data, args.pixel_um, args.out / f"{args.image.stem}.png")

    if args.twin and least is not None:
        facts["twin"] = twin(least, image, args.steps[-1])
        print("twin", facts["twin"], flush=True)
        (args.out / "dim.json").write_text(json.dumps(facts, indent=1) + "\n")


if __name__ == "__main__":
    main()
