"""Pairs by the law of a camera against blind spots, on noise that no camera has: the denoised image after the default training.

    python benchmarks/blind_spots.py CASE [--side 128] [--laws impulses speckle gamma camera]

CASE is a folder with noisy.tif and clean.tif of a plane. "impulses": 3 % of the pixels have a value at random; "speckle": noise in
proportion to the light, of Gamma's distribution with four looks; "gamma": the recorded image as a display shows it, in 8 bits; "camera":
as recorded. Prints a markdown table: psnr (dB) after a fitted line, of the raw image and of the denoised one.
"""

import argparse
import warnings
from pathlib import Path

import numpy as np
import tifffile
import torch

import zsdeconv as zs
from cases import configuration, recorded
from memory import central, psnr
from zsdeconv.image import Image

LOOKS = 4
"""Chosen: noise of half the light."""
IMPULSES = 0.03
DISPLAY_GAMMA = 0.45
"""Law: that of usual displays, 1 / 2.2."""
EDGE_PX = 8
"""Border that is not compared: the part has no surroundings there."""


def disturbed(law: str, y: np.ndarray, clean: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """An image with noise of this law, and its noise-free counterpart, in its counts. `y` has the offset of its camera, `clean` none."""
    if law == "speckle":
        light = clean + 20
        return light * rng.gamma(LOOKS, 1 / LOOKS, clean.shape), light
    if law == "impulses":
        return np.where(rng.random(y.shape) < IMPULSES, rng.uniform(y.min(), y.max(), y.shape), y), clean
    if law == "gamma":
        low, high = y.min() - 1, y.max()
        offset = float(np.median(y - clean))

        def shown(counts: np.ndarray) -> np.ndarray:
            return 255 * np.clip((counts - low) / (high - low), 0, 1) ** DISPLAY_GAMMA

        return shown(y).round().astype(np.uint8), shown(clean + offset)
    return y, clean


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("case", type=Path)
    parser.add_argument("--side", type=int, default=128)
    parser.add_argument("--laws", nargs="+", default=["impulses", "speckle", "gamma", "camera"])
    given = parser.parse_args()
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    whole, truth = recorded(given.case), tifffile.imread(given.case / "clean.tif").astype(float)
    part = tuple(central(n, given.side) for n in truth.shape)
    inner = (slice(EDGE_PX, -EDGE_PX),) * 2
    print("| noise | raw | pairs | denoised |\n" + "| --- " * 4 + "|")
    for law in given.laws:
        counts, clean = disturbed(law, whole.data[part].astype(float), truth[part], np.random.default_rng(5))
        image = Image(counts.astype(np.float32), whole.axes, whole.spacing_um)
        for kind in ("auto", "blind"):
            config = configuration(given.case)
            config = config.model_copy(update={"pairs": config.pairs.model_copy(update={"kind": kind})})
            done = zs.restore(image, config=config)
            raw, denoised = (psnr(x[inner].astype(float), clean[inner]) for x in (counts, done.denoised.data))
            print(f"| {law} | {raw:.2f} | {done.model.config.pairs.kind} | {denoised:.2f} |", flush=True)


if __name__ == "__main__":
    main()
