"""After how many steps a network begins to remember the noise of an image: the denoised image of the centre at each validation of stage 1.

    python benchmarks/memory.py CASES... [--only NAME] [--sides 96 128 256] [--steps 990]

A case is a folder with noisy.tif and clean.tif of a plane. Of each, the central part of each size is trained on without the bound
`training.memory_bound`, and the central 96 x 96 pixels are compared with clean.tif, after a line fitted to it. Prints a markdown table:
the best step, its psnr (dB), and that at the end.
"""

import argparse
import tempfile
from pathlib import Path

import numpy as np
import tifffile
import torch

import zsdeconv as zs
from cases import configuration, find_cases, recorded
from zsdeconv.config import Config
from zsdeconv.image import Image
from zsdeconv.io.model_file import load_model
from zsdeconv.training.trainer import Event

JUDGED_PX = 96
"""Side of the part that is compared, the same of all sizes."""
PASSES = 2
"""Few, for time; the order of the steps is that of more passes."""
NO_BOUND = 1e9
"""Steps for each pixel of the side that no training has."""
STAGE_2 = 0.001
"""Share of stage 2, which is not judged."""


def central(size: int, part: int) -> slice:
    return slice((size - part) // 2, (size - part) // 2 + part)


def psnr(restored: np.ndarray, clean: np.ndarray) -> float:
    """Range of the clean image over the error after a line was fitted, dB."""
    line = np.polyfit(restored.ravel(), clean.ravel(), 1)
    return float(20 * np.log10(np.ptp(clean) / np.std(clean - np.polyval(line, restored))))


def curve(image: Image, clean: np.ndarray, config: Config) -> list[tuple[int, float]]:
    """Step and psnr of the judged part at each validation of stage 1."""
    kept: list[tuple[int, dict[str, torch.Tensor]]] = []
    last: list[Event] = []
    with tempfile.TemporaryDirectory() as folder:
        checkpoint = Path(folder) / "checkpoint.zsd"

        def remember(event: Event) -> None:
            """The file still holds the validation before this one."""
            if last and last[-1]["phase"] == "denoise":
                tensors, _ = load_model(checkpoint)
                mean = {name.removeprefix("mean."): t for name, t in tensors.items() if name.startswith("mean.")}
                kept.append((last[-1]["step"], mean))
            last.append(event)

        model = zs.train([image], config=config, checkpoint=checkpoint, callback=remember)
    judged = tuple(central(n, JUDGED_PX) for n in clean.shape)
    points = []
    for step, weights in kept:
        model.network.load_state_dict(weights)
        points.append((step, psnr(model.predict(image, passes=PASSES).denoised.data[judged].astype(float), clean[judged])))
    return points


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("cases", nargs="+", type=Path)
    parser.add_argument("--only", nargs="+")
    parser.add_argument("--sides", nargs="+", type=int, default=[96, 128, 256])
    parser.add_argument("--steps", type=int, default=990)
    given = parser.parse_args()
    print("| case | side, pixels | best step | psnr there | at the end |\n" + "| --- " * 5 + "|")
    for case in find_cases(given.cases, "2d", given.only):
        whole, clean = recorded(case), tifffile.imread(case / "clean.tif").astype(float)
        config = configuration(case, steps=round(given.steps / (1 - STAGE_2)), stage2_fraction=STAGE_2, memory_bound=NO_BOUND)
        for side in given.sides:
            part = tuple(central(n, side) for n in clean.shape)
            image = zs.Image(whole.data[part], whole.axes, whole.spacing_um, metadata=whole.metadata)
            points = curve(image, clean[part], config)
            step, best = max(points, key=lambda point: point[1])
            print(f"| {case.name} | {side} | {step} | {best:.2f} | {points[-1][1]:.2f} |", flush=True)


if __name__ == "__main__":
    main()
