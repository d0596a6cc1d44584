"""What the stopping rule loses: every validation of stage 2 restored and scored against the truth, beside the one that was kept.

    python benchmarks/stopping.py CASES... --scorer score.py -o OUT [--modality 2d] [--only NAME] [--steps N]

Case folders as `run_cases.py` takes them. OUT/NAME.json holds the curve of each; a case whose curve is there already is not run again.
Weights are read from the checkpoint that the training writes after each validation, so the last one, at a learning rate of almost
zero, counts only where it is the one that was kept.
"""

import argparse
import importlib
import json
import sys
import tempfile
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import torch

import zsdeconv as zs
from cases import configuration, find_cases, recorded
from zsdeconv.io.model_file import load_model
from zsdeconv.training.trainer import Event

PASSES = 2
METRICS = ("soft_psnr", "psnr")


def trained(case: Path, training: dict[str, Any]) -> tuple[zs.Model, list[tuple[Event, dict[str, torch.Tensor]]]]:
    """The model, and the validations of stage 2 with the weights at each."""
    kept: list[tuple[Event, dict[str, torch.Tensor]]] = []
    last: list[Event] = []
    with tempfile.TemporaryDirectory() as folder:
        checkpoint = Path(folder) / "checkpoint.zsd"

        def remember(event: Event) -> None:
            """The file still holds the validation before this one."""
            if last and last[-1]["phase"] == event["phase"] == "reimage":
                tensors, _ = load_model(checkpoint)
                kept.append((last[-1], {name.removeprefix("mean."): t for name, t in tensors.items() if name.startswith("mean.")}))
            last.append(event)

        model = zs.train([recorded(case)], config=configuration(case, **training), checkpoint=checkpoint, callback=remember)
    return model, kept


def curve(case: Path, training: dict[str, Any], referee: ModuleType) -> list[dict[str, Any]]:
    """Step, validation loss and scores of each validation, the kept one last."""
    model, validations = trained(case, training)
    image = recorded(case)
    chosen = next(event for event in reversed(model.history) if event["best"])
    states = [*validations, (chosen, {name: tensor.clone() for name, tensor in model.network.state_dict().items()})]
    points = []
    for event, weights in states:
        model.network.load_state_dict(weights)
        found = referee.score(case, None, model.predict(image, passes=PASSES).deconvolved.data)["deconvolved"]
        points.append({"step": event["step"], "validation": event["validation"]} | {metric: found[metric] for metric in METRICS})
    return points


def lost(points: list[dict[str, Any]]) -> np.ndarray:
    """By how much the kept weights miss the best of the run in each metric, and in the mean of both; dB."""
    scores = np.array([[point[metric] for metric in METRICS] for point in points])
    scores = np.column_stack((scores, scores.mean(1)))
    return scores.max(0) - scores[-1]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("cases", type=Path, nargs="+", metavar="CASES", help="folder of case folders")
    parser.add_argument("--scorer", type=Path, required=True)
    parser.add_argument("-o", "--out", type=Path, required=True)
    parser.add_argument("--modality", nargs="+", default=["2d", "3d", "sim2d", "sim3d"])
    parser.add_argument("--only", nargs="+", metavar="NAME", help="these cases alone")
    parser.add_argument("--steps", type=int)
    args = parser.parse_args()
    sys.path.insert(0, str(args.scorer.resolve().parent))
    referee = importlib.import_module(args.scorer.stem)
    args.out.mkdir(parents=True, exist_ok=True)
    print("| case | step kept | soft_psnr lost | psnr lost | mean of both lost |\n| --- | --- | --- | --- | --- |")
    losses = []
    for case in (case for modality in args.modality for case in find_cases(args.cases, modality, args.only)):
        if not (record := args.out / f"{case.name}.json").exists():
            points = curve(case, {} if args.steps is None else {"steps": args.steps}, referee)
            record.write_text(json.dumps(points, indent=1) + "\n")
        points = json.loads(record.read_text())
        losses.append(lost(points))
        print(f"| {case.name} | {points[-1]['step']} | {' | '.join(f'{dB:.2f}' for dB in losses[-1])} |", flush=True)
    mean, worst = np.mean(losses, 0), np.max(losses, 0)
    print(f"| mean, worst | | {' | '.join(f'{m:.2f}, {w:.2f}' for m, w in zip(mean, worst, strict=True))} |")


if __name__ == "__main__":
    main()
