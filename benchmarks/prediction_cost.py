"""Time and memory of a prediction against the size of a stack, one network and one pass; a table, and a picture of the two.

    python benchmarks/prediction_cost.py -o OUT [--megavoxels 4 16 64 256] [--model MODEL.zsd] [--tile 352] [--threads 2]

Stacks of 64 planes of noise, each in a process of its own; a size that is in OUT already is not measured again. Time is that of the
processor, all threads together, which other work on the machine lengthens less than that of the clock (`wall_s`). Without a model, one
is trained for a few steps: what it has learned does not change what it costs.
"""

import argparse
import json
import math
import subprocess
import sys
from pathlib import Path

import numpy as np

PLANES = 64
PREDICT = """
import json, resource, sys, time
import numpy as np
import torch
import zsdeconv as zs

model, (planes, side, tile, threads) = zs.load(sys.argv[1]), map(int, sys.argv[2:])
torch.set_num_threads(threads)
stack = np.random.default_rng(0).poisson(20.0, (planes, side, side)).astype(np.uint16)
start, began = time.process_time(), time.perf_counter()
model.predict(stack, passes=1, tile=tile or None)
seconds, wall = time.process_time() - start, time.perf_counter() - began
peak_gb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
print(json.dumps({"megavoxels": stack.size / 2**20, "seconds": seconds, "wall_s": wall, "peak_gb": peak_gb}))
"""


def trained(path: Path) -> Path:
    """A model of the optics of the benchmark's stacks."""
    import warnings

    import zsdeconv as zs

    optics = zs.Optics(na=1.1, wavelength_nm=525, immersion_ri=1.33, microscope="lightsheet", sheet_um=1.0)
    noisy = np.random.default_rng(1).poisson(20.0, (16, 64, 64)).astype(np.float32)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # there is nothing but noise to calibrate on
        return zs.train([noisy], optics, pixel_um=0.1, z_um=0.15, modality="3d", steps=4).save(path, overwrite=True)


def draw(rows: list[dict[str, float]], slope: float, path: Path) -> None:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 3.2), layout="constrained")
    size = [row["megavoxels"] for row in rows]
    for axis, name, unit in zip(
        figure.subplots(1, 2), ("seconds", "peak_gb"), ("processor time of one pass, s", "peak memory, GB"), strict=True
    ):
        axis.loglog(size, [row[name] for row in rows], "o-", color="tab:blue")
        axis.set_xlabel("size of the stack, Mvoxel")
        axis.set_ylabel(unit)
        axis.grid(True, which="both", alpha=0.3)
        if name == "seconds":
            axis.set_title(f"time ~ size^{slope:.2f}")
    FigureCanvasAgg(figure).print_figure(path, dpi=80)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("-o", "--out", type=Path, required=True)
    parser.add_argument("--megavoxels", type=float, nargs="+", default=[4, 16, 64, 256])
    parser.add_argument("--model", type=Path)
    parser.add_argument("--tile", type=int, default=0, help="side of the tiles in pixels [default: that of the program]")
    parser.add_argument("--threads", type=int, default=1)
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    model = args.model or trained(args.out / "cost.zsd")
    record = args.out / "prediction_cost.json"
    rows = json.loads(record.read_text()) if record.exists() else []
    for size in args.megavoxels:
        if any(abs(row["megavoxels"] / size - 1) < 0.02 for row in rows):
            continue
        side = round(math.sqrt(size * 2**20 / PLANES))
        words = [sys.executable, "-W", "ignore", "-c", PREDICT, str(model), str(PLANES), str(side), str(args.tile), str(args.threads)]
        row = json.loads(subprocess.run(words, capture_output=True, text=True, check=True).stdout)
        print(json.dumps(row), flush=True)
        rows = sorted([*rows, row], key=lambda row: row["megavoxels"])
        record.write_text(json.dumps(rows, indent=1) + "\n")
    slope = (
        float(np.polyfit(np.log([r["megavoxels"] for r in rows]), np.log([r["seconds"] for r in rows]), 1)[0])
        if len(rows) > 1
        else math.nan
    )
    print(f"time ~ size^{slope:.3f}")
    draw(rows, slope, args.out / "prediction_cost.png")


if __name__ == "__main__":
    main()
