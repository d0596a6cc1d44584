"""What the stopping rule loses: every validation of stage 2 restored and scored against the truth, beside the one that was kept.

    python benchmarks/stopping.py CASES... --scorer score.py [--steps N]

A case is a folder as `run_cases.py` takes it, of a plane (YX). Weights are read from the checkpoint that the training writes after each
validation, so the last one, at a learning rate of almost zero, is left out.
"""

import argparse
import importlib
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
import torch
import yaml

import zsdeconv as zs
from zsdeconv.io.model_file import load_model
from zsdeconv.trainer import Event

PASSES = 2


def trained(case: Path, steps: int | None) -> tuple[zs.Model, zs.Image, list[tuple[Event, dict[str, torch.Tensor]]]]:
    """The model, its image, and the validations of stage 2 with the weights at each."""
    known: dict[str, Any] = yaml.safe_load((case / "case.yaml").read_text())
    um = known["pixel_um"][-1]
    image = zs.Image(np.squeeze(tifffile.imread(case / "noisy.tif")), "YX", {"Y": um, "X": um})
    optics = zs.Optics(na=known["na"], wavelength_nm=known["wavelength_nm"], immersion_ri=known["ri"])
    kept: list[tuple[Event, dict[str, torch.Tensor]]] = []
    last: list[Event] = []
    with tempfile.TemporaryDirectory() as folder:
        checkpoint = Path(folder) / "checkpoint.zsd"

        def remember(event: Event) -> None:
            """The file still holds the validation before this one."""
            if last and last[-1]["phase"] == event["phase"] == "reimage":
                tensors, _ = load_model(checkpoint)
                kept.append((last[-1], {name.removeprefix("now."): t for name, t in tensors.items() if name.startswith("now.")}))
            last.append(event)

        budget: dict[str, Any] = {} if steps is None else {"steps": steps}
        model = zs.train([image], optics, checkpoint=checkpoint, callback=remember, **budget)
    return model, image, kept


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("cases", type=Path, nargs="+")
    parser.add_argument("--scorer", type=Path, required=True)
    parser.add_argument("--steps", type=int)
    args = parser.parse_args()
    sys.path.insert(0, str(args.scorer.resolve().parent))
    referee = importlib.import_module(args.scorer.stem)
    print("| case | step kept | soft_psnr lost | psnr lost | mean of both lost |\n| --- | --- | --- | --- | --- |")
    for case in args.cases:
        model, image, kept = trained(case, args.steps)
        scores = []
        for _, weights in kept:
            model.network.load_state_dict(weights)
            x = model.predict(image, passes=PASSES).deconvolved.data
            found = referee.score(case, None, x)["deconvolved"]
            scores.append((found["soft_psnr"], found["psnr"], (found["soft_psnr"] + found["psnr"]) / 2))
        chosen = min(range(len(kept)), key=lambda n: kept[n][0]["validation"])
        lost = np.max(scores, axis=0) - scores[chosen]
        print(f"| {case.name} | {kept[chosen][0]['step']} | {' | '.join(f'{dB:.2f}' for dB in lost)} |", flush=True)


if __name__ == "__main__":
    main()
