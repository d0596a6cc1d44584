"""One noisy image, or stack, from nothing to a picture: simulate, restore, score, draw.

    python benchmarks/demo.py FOLDER [--stack] [--minutes M]

The steps are the commands that a user would type, printed as they run. FOLDER/restoration.png shows the result beside the truth and
beside Richardson-Lucy, which is stopped at its best iteration by looking at the truth. FOLDER/scores.json has the numbers.
"""

import argparse
import json
import shlex
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

import picture
from zsdeconv.io import read, write
from zsdeconv.metrics import psnr
from zsdeconv.physics.deconvolve import richardson_lucy
from zsdeconv.physics.operators import forward_model

OPTICS = {"--na": "1.4", "--wavelength-nm": "525", "--immersion-ri": "1.515"}
SCENE = {"--structure": "filaments", "--photons": "20", "--size": "256", "--pixel-um": "0.065", "--seed": "4"}
SHEET = {"--na": "1.1", "--wavelength-nm": "525", "--immersion-ri": "1.33", "--microscope": "lightsheet", "--sheet-um": "1.0"}
VOLUME = {
    "--structure": "filaments",
    "--photons": "20",
    "--size": "128",
    "--planes": "24",
    "--pixel-um": "0.1",
    "--z-um": "0.2",
    "--seed": "4",
}
OFFSET = 100.0
RESOLUTION_GAIN = 1.7
"""What can honestly be reached: so many times finer than wavelength / (2 NA)."""
RL_COUNTS = (1, 2, 3, 4, 6, 8, 10, 12, 15, 20, 30)

Scores = dict[str, dict[str, Any]]


def zsdeconv(*words: object, show: bool = True) -> str:
    """Run one command line, shown as a user would type it; its standard output."""
    line = [str(word) for word in words]
    print(f"\n$ zsdeconv {shlex.join(line)}", flush=True)
    done = subprocess.run([sys.executable, "-m", "zsdeconv", *line], stdout=None if show else subprocess.PIPE, text=True, check=False)
    if done.returncode:
        sys.exit(done.returncode)
    return done.stdout or ""


def flat(options: dict[str, str]) -> list[str]:
    return [word for pair in options.items() for word in pair]


def restore(folder: Path, kind: str, scene: dict[str, str], optics: dict[str, str], minutes: float | None) -> dict[str, Path]:
    """Simulate an image and restore it; the files by name."""
    budget = [] if minutes is None else ["--minutes", f"{minutes:g}"]
    simulated, restored = folder / "simulated", folder / "restored"
    zsdeconv("simulate", kind, "-o", simulated, *flat(scene | optics), "--overwrite")
    zsdeconv("run", simulated / "noisy.tif", "-o", restored, *flat(optics), *budget, "--overwrite")
    made = {name: restored / f"noisy_{name}.ome.tif" for name in ("denoised", "deconvolved")}
    return made | {name: simulated / f"{name}.tif" for name in ("noisy", "clean", "truth", "psf")}


def best_richardson_lucy(raw: np.ndarray, psf: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Plain Richardson-Lucy with the true PSF and offset, at the iteration count that comes closest to the truth."""
    y = torch.from_numpy(raw)[None, None]
    estimates = richardson_lucy(y, forward_model(psf, raw.ndim, 2), RL_COUNTS, momentum=None)
    return max((x[0, 0].numpy() for x in estimates), key=lambda x: psnr(x, truth))


def write_like(path: Path, data: np.ndarray, like: Path) -> Path:
    """Write an image with the axes and the pixel size of another file."""
    provenance = {"method": "Richardson-Lucy, iteration count chosen by the truth"}
    return write(path, replace(read(like), data=data), provenance=provenance, overwrite=True)


def evaluate(files: dict[str, Path], resolution_um: float) -> Scores:
    """Raw and denoised against the noise-free frame; both deconvolved images against the object."""
    pairs = {"noisy": "clean", "denoised": "clean", "richardson_lucy": "truth", "deconvolved": "truth"}
    through_lens = {"clean": (), "truth": ("--psf", files["psf"], "--resolution-um", f"{resolution_um:.3f}")}
    return {
        name: json.loads(zsdeconv("evaluate", files[name], files[to], *through_lens[to], "--json", show=False))
        for name, to in pairs.items()
    }


def report(scores: Scores) -> None:
    """Print a table; soft_psnr compares with the truth blurred to what can be reached."""
    formats = {"psnr": ".2f", "soft_psnr": ".2f", "ssim": ".3f", "frc_nm": ".0f", "flux_slope": ".3f"}
    print("\n" + f"{'':16}" + "".join(f"{name:>12}" for name in formats))
    for image, found in scores.items():
        cells = (f"{found[name]:{form}}" if name in found else "" for name, form in formats.items())
        print(f"{image.replace('_', '-'):16}" + "".join(f"{cell:>12}" for cell in cells))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--stack", action="store_true", help="a light-sheet stack instead of a wide-field image")
    parser.add_argument("--minutes", type=float, help="training budget [default: of the preset]")
    args = parser.parse_args()
    kind, scene, optics = ("3d", VOLUME, SHEET) if args.stack else ("2d", SCENE, OPTICS)
    files = restore(args.folder, kind, scene, optics, args.minutes)
    images = {name: read(path).data for name, path in files.items()}
    images["noisy"] = images["noisy"].astype(np.float32) - OFFSET
    images["richardson_lucy"] = best_richardson_lucy(images["noisy"], images["psf"], images["truth"])
    files["richardson_lucy"] = write_like(args.folder / "richardson_lucy.ome.tif", images["richardson_lucy"], files["truth"])
    resolution_um = 0.5e-3 * float(optics["--wavelength-nm"]) / float(optics["--na"]) / RESOLUTION_GAIN
    scores = evaluate(files, resolution_um)
    (args.folder / "scores.json").write_text(json.dumps(scores, indent=1) + "\n")
    draw = picture.draw_stack if args.stack else picture.draw
    draw(images, scores, [float(scene[name]) for name in ("--z-um", "--pixel-um") if name in scene], args.folder / "restoration.png")
    report(scores)
    print(f"\n{args.folder / 'restoration.png'}")


if __name__ == "__main__":
    main()
