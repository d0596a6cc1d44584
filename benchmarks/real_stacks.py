"""Restore the real stacks with default options, as a user would, and measure what can be known of them.

    python benchmarks/real_stacks.py REALDATA -o OUT [--only NAME ...]

REALDATA holds `stacks/` and `psf/`. Of a slide with four lines, seen with the PSF of beads on the same microscope: how far the lines
move, and by how much the dip between the two that are 264 nm apart deepens. Of a nucleus that was recorded twice: how well the
wide-field channel correlates with the confocal one, before and after. OUT/stacks.json holds the numbers; each stack is drawn.
"""

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
from scipy.ndimage import gaussian_filter1d, shift
from scipy.signal import find_peaks

SLIDE_UM = (0.125, 0.022)
"""Step and pixel size of the slide and of the beads."""
SPACING = ("--z-um", str(SLIDE_UM[0]), "--pixel-um", str(SLIDE_UM[1]))
NUCLEUS_SHIFT_PX = (-2.4, 0.0, 3.6)
"""What brings the confocal channel of the nucleus over the wide-field one."""
STACKS: dict[str, tuple[str, ...]] = {
    "confocal_line_slide": ("--axes", "ZYX", *SPACING),
    "widefield_dapi": (
        "--axes",
        "ZYX",
        "--z-um",
        "0.3",
        "--pixel-um",
        "0.13",
        "--na",
        "1.45",
        "--wavelength-nm",
        "461",
        "--immersion-ri",
        "1.512",
    ),
    "confocal_chromosomes": (
        "--axes",
        "ZYX",
        "--z-um",
        "0.15",
        "--pixel-um",
        "0.0339",
        "--na",
        "1.4",
        "--wavelength-nm",
        "520",
        "--microscope",
        "confocal",
    ),
    "twophoton_intravital": ("--axes", "ZYX", "--z-um", "3.0", "--pixel-um", "0.45", "--psf-z-um", "3.0", "--psf-pixel-um", "0.45"),
    "nucleus": ("--axes", "ZYX", "--z-um", "0.499", "--pixel-um", "0.512", "--na", "1.2", "--wavelength-nm", "455"),
}
"""What a user knows of each. The optics of the chromosomes are not stated anywhere: a common oil objective and a green dye are taken."""


def zsdeconv(*words: object) -> str:
    done = subprocess.run([sys.executable, "-m", "zsdeconv", *map(str, words)], capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"zsdeconv {words[0]}: exit code {done.returncode}\n{done.stderr[-1000:]}")
    return done.stdout


def inputs(name: str, data: Path, out: Path) -> tuple[Path, list[str]]:
    """The stack of that name and the options that are files."""
    if name == "nucleus":
        path = out / "nucleus.tif"
        tifffile.imwrite(path, tifffile.imread(data / "stacks" / "nucleus_confocal_and_widefield.tif")[:, 1])
        return path, []
    path = data / "stacks" / f"{name}.tif"
    if name == "confocal_line_slide":
        psf = out / "beads_psf.tif"
        zsdeconv("psf", "measure", data / "stacks" / "confocal_beads.tif", "-o", psf, *SPACING, "--overwrite")
        return path, ["--psf", str(psf)]
    return path, ["--psf", str(data / "psf" / "twophoton_measured_even.tif")] if name == "twophoton_intravital" else []


def line_profile(stack: np.ndarray) -> np.ndarray:
    """Intensity across the lines, which run along y: mean over y and over the five brightest planes."""
    brightest = int(stack.mean((1, 2)).argmax())
    return stack[max(brightest - 2, 0) : brightest + 3].mean((0, 1))


def lines(profile: np.ndarray, pixel_um: float) -> dict[str, Any]:
    """Positions of the four lines, um, and the dip of the doublet in the middle: 1 - valley / mean of its two peaks."""
    smooth = gaussian_filter1d(profile, 0.03 / pixel_um)
    peaks = find_peaks(smooth, distance=0.15 / pixel_um)[0]
    peaks = np.sort(peaks[np.argsort(smooth[peaks])[-4:]])
    half = round(0.06 / pixel_um)
    places = [_vertex(smooth, int(p), half) for p in peaks]
    valley = smooth[peaks[1] : peaks[2]].min()
    dip = 1 - valley / smooth[peaks[1:3]].mean()
    return {"lines_um": [round((x + 0.5) * pixel_um, 4) for x in places], "dip": round(float(dip), 3)}


def _vertex(profile: np.ndarray, peak: int, half: int) -> float:
    """Place of the maximum of a parabola through the profile around its peak."""
    x = np.arange(max(peak - half, 0), min(peak + half + 1, len(profile)))
    a, b, _ = np.polyfit(x - peak, profile[x], 2)
    return float(peak - b / (2 * a))


def judge(name: str, data: Path, raw: np.ndarray, offset: float, restored: dict[str, np.ndarray]) -> dict[str, Any]:
    """What can be measured on this stack, on the raw and on the restored images."""
    if name == "confocal_line_slide":
        seen = {"raw": lines(line_profile(raw - offset), SLIDE_UM[1])}
        seen |= {k: lines(line_profile(x), SLIDE_UM[1] / (2 if k == "deconvolved" else 1)) for k, x in restored.items()}
        moved = np.abs(np.subtract(seen["deconvolved"]["lines_um"], seen["raw"]["lines_um"])).max()
        deeper = seen["deconvolved"]["dip"] / seen["raw"]["dip"]
        return seen | {"largest_move_nm": round(1000 * float(moved), 1), "dip_over_raw": round(deeper, 2)}
    if name == "nucleus":
        confocal = tifffile.imread(data / "stacks" / "nucleus_confocal_and_widefield.tif")[:, 0].astype(float)
        confocal = shift(confocal, NUCLEUS_SHIFT_PX, order=1, mode="nearest")[3:-3, :, 4:-4]
        found = {"raw": raw.astype(float), "denoised": restored["denoised"], "deconvolved": bin2(restored["deconvolved"])}
        return {
            k: {"correlation": round(float(np.corrcoef(confocal.ravel(), x[3:-3, :, 4:-4].ravel())[0, 1]), 4)} for k, x in found.items()
        }
    return {}


def bin2(x: np.ndarray) -> np.ndarray:
    return x.reshape(*x.shape[:-2], x.shape[-2] // 2, 2, x.shape[-1] // 2, 2).mean((-3, -1))


def draw(path: Path, raw: np.ndarray, restored: dict[str, np.ndarray], z_over_x: float) -> None:
    """The brightest plane and a section along z, before and after."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(12, 6), layout="constrained")
    axes = figure.subplots(2, 3, height_ratios=(3, 1.3))
    plane = int(raw.mean((1, 2)).argmax())
    for column, (title, x) in zip(axes.T, ({"raw": raw} | restored).items(), strict=True):
        low, high = np.percentile(x, (1, 99.8))
        for axis, part, aspect in ((column[0], x[plane], 1.0), (column[1], x[:, x.shape[1] // 2], z_over_x * x.shape[2] / raw.shape[2])):
            axis.imshow(part, cmap="gray", vmin=low, vmax=high, aspect=aspect)
            axis.set_axis_off()
        column[0].set_title(title)
    FigureCanvasAgg(figure).print_figure(path, dpi=70)


def measure(name: str, data: Path, out: Path) -> dict[str, Any]:
    """Restore one stack and judge it."""
    path, files = inputs(name, data, out)
    start = time.perf_counter()
    said = json.loads(zsdeconv("run", path, "-o", out / name, *STACKS[name], *files, "--overwrite", "--json"))
    summary = said["results"][0]["summary"]
    restored = {k: tifffile.imread(out / name / f"{path.stem}_{k}.ome.tif") for k in ("denoised", "deconvolved")}
    raw = tifffile.imread(path)
    z_um, _, x_um = summary["spacing_um"].values()
    draw(out / f"{name}.png", raw, restored, z_um / x_um)
    facts = {"seconds": round(time.perf_counter() - start), "camera": summary["camera"], "pairs": summary["sources"]["pairs"]}
    return facts | judge(name, data, raw, summary["camera"]["offset_adu"], restored)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, metavar="REALDATA")
    parser.add_argument("-o", "--out", type=Path, required=True)
    parser.add_argument("--only", nargs="+", choices=list(STACKS), default=list(STACKS))
    args = parser.parse_args(arguments)
    args.out.mkdir(parents=True, exist_ok=True)
    record = args.out / "stacks.json"
    results = json.loads(record.read_text()) if record.exists() else {}
    for name in args.only:
        results[name] = measure(name, args.data, args.out)
        print(name, json.dumps(results[name]), flush=True)
        record.write_text(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    main()
