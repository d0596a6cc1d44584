"""Restore the real recordings of structured illumination as a user would, and draw them beside the wide field and the reconstruction.

    python benchmarks/real_sim.py REALDATA -o OUT [--only NAME ...]

REALDATA holds `sim/`. OUT/sim.json holds the patterns found and the times, OUT/NAME.png is a picture of each.
"""

import argparse
import json
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
from matplotlib.figure import Figure

from zsdeconv.cli.demo_picture import INK, PAPER, busiest_corner, save_small, scale_bar
from zsdeconv.sim.patterns import Layout
from zsdeconv.sim.raw_frames import read_frames

SHOWN = ("wide-field", "reconstruction", "denoised", "deconvolved")
ZOOM_UM = 3.0


@dataclass(frozen=True)
class Recording:
    """A file under `sim/`, its pixel size, how its frames follow each other, and what else a user would say about it."""

    file: str
    pixel_um: float
    options: tuple[str, ...]
    layout: Layout = field(default_factory=Layout)

    def words(self, realdata: Path) -> list[str]:
        given = [str(realdata / "sim" / word) if word.endswith(".dv") else word for word in self.options]
        return ["--pixel-um", str(self.pixel_um), *given]


PLANE = ("--modality", "sim2d")
RECORDINGS = {
    "microtubules": Recording(
        "microtubules_3x3.mrc",
        0.0626,
        (*PLANE, "--na", "1.3", "--wavelength-nm", "525"),
    ),
    "microtubules2": Recording("microtubules2_3x3.tif", 0.065, (*PLANE, "--na", "1.4", "--wavelength-nm", "525")),
    "hela": Recording("2_hela_cells_mitochondria/raw_images.tif", 0.065, (*PLANE, "--na", "1.3", "--wavelength-nm", "660")),
    "threebeam": Recording(
        "threebeam_angle-z-phase.dv",
        0.08,
        ("--modality", "sim3d", "--order", "direction-z-phase", "--z-um", "0.125", "--otf", "threebeam_otf.dv"),
        Layout(3, 5, "direction-z-phase"),
    ),
    "cristae": Recording("3_mitochondria_cristae/raw_images.tif", 0.065, (*PLANE, "--na", "1.3", "--wavelength-nm", "569")),
}


def restored(name: str, recording: Recording, realdata: Path, out: Path) -> dict[str, Any]:
    """Run one recording; what was found of its pattern, and the time."""
    command = [
        sys.executable,
        "-m",
        "zsdeconv",
        "run",
        str(realdata / "sim" / recording.file),
        "-o",
        str(out / name),
        "--overwrite",
        "--json",
    ]
    start = time.perf_counter()
    done = subprocess.run([*command, *recording.words(realdata)], capture_output=True, text=True, check=False)
    facts: dict[str, Any] = {
        "exit_code": done.returncode,
        "wall_s": round(time.perf_counter() - start, 1),
        "messages": done.stderr.splitlines(),
    }
    return facts | ({} if done.returncode else {"sim": json.loads(done.stdout)["results"][0]["summary"]["sim"]})


def draw(name: str, recording: Recording, realdata: Path, out: Path) -> None:
    """Whole field and a part enlarged, each image from its 1st to its 99.8th percentile."""
    stem = Path(recording.file).stem
    kinds = ("reconstructed", "denoised", "deconvolved")
    found = {kind: center_crop(tifffile.imread(out / name / f"{stem}_{kind}.ome.tif")) for kind in kinds}
    frames = read_frames(realdata / "sim" / recording.file, recording.layout, pixel_um=recording.pixel_um).data[0]
    wide = center_crop(frames.mean(0, dtype=float))
    images = dict(zip(SHOWN, (wide, found["reconstructed"], found["denoised"], found["deconvolved"]), strict=True))
    field_um = recording.pixel_um * wide.shape[-1]
    zoom = round(ZOOM_UM / field_um * found["denoised"].shape[-1])
    corner = [c * field_um / found["denoised"].shape[-1] for c in busiest_corner(found["denoised"].astype(float), zoom)]
    figure = Figure(figsize=(12.5, 6.5), dpi=100, facecolor=PAPER)
    axes = figure.subplots(
        2, len(SHOWN), gridspec_kw={"wspace": 0.02, "hspace": 0.02, "left": 0.005, "right": 0.995, "top": 0.95, "bottom": 0.01}
    )
    for at, (title, image) in enumerate(images.items()):
        low, high = np.percentile(image, (1, 99.8))
        for axis in axes[:, at]:
            axis.imshow(image, cmap="inferno", vmin=low, vmax=high, extent=(0, field_um, field_um, 0))
            axis.set_axis_off()
        axes[0, at].set_title(title, color=INK, fontsize=13, pad=6)
        axes[1, at].set(xlim=(corner[1], corner[1] + ZOOM_UM), ylim=(corner[0] + ZOOM_UM, corner[0]))
    scale_bar(axes[0, 0], 2.0)
    scale_bar(axes[1, 0], 0.5)
    save_small(figure, out / f"{name}.png")


def center_crop(image: np.ndarray) -> np.ndarray:
    """A plane as it is, of a stack the middle one."""
    return image[len(image) // 2] if image.ndim == 3 else image


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("realdata", type=Path)
    parser.add_argument("-o", "--out", type=Path, required=True)
    parser.add_argument("--only", nargs="+", default=list(RECORDINGS))
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    record = args.out / "sim.json"
    facts = json.loads(record.read_text()) if record.exists() else {}
    for name in args.only:
        facts[name] = restored(name, RECORDINGS[name], args.realdata, args.out)
        print(name, facts[name], flush=True)
        if not facts[name]["exit_code"]:
            draw(name, RECORDINGS[name], args.realdata, args.out)
        record.write_text(json.dumps(facts, indent=1) + "\n")


if __name__ == "__main__":
    main()
