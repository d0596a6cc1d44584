"""A stack scanned at an angle against the same sample with the same light, scanned along the detection axis.

    python benchmarks/skewed.py [--seeds 0 1] [--structures filaments] [--steps 400] [--size 96] [--planes 16] [--photons 40] [--angle 31.5]
        [--step-um 0.4] [-o FILE]

The upright recording has as many pixels as the skewed one, of the middle of the sample. Both are restored with the same steps and seed;
the skewed one is deskewed by the restoration. Scores (psnr after an affine fit, against the true object on the fine grid and the noise-free
image on the raw one) are of the pixels that both have seen, `MARGIN_PX` from where either ends. A line a sample is printed, and appended
to FILE as JSON.
"""

import argparse
import json
import time
import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from scipy.ndimage import binary_erosion

import zsdeconv as zs
from zsdeconv.metrics import psnr
from zsdeconv.physics.psf import Psf
from zsdeconv.simulation.scenes import Scene, StackScene
from zsdeconv.simulation.widefield import Simulation, simulate_3d

MARGIN_PX, MARGIN_PLANES = 8, 2
"""Raw pixels and planes at the ends of what was recorded, beyond which there is light that was not. Chosen: the core of the PSF."""


class UprightScene(StackScene):
    """The sample of a scan, recorded plane by plane along the detection axis by a camera as tall as the scan is long."""

    def record(self, x: np.ndarray, psf: Psf, time: int = 0) -> np.ndarray:
        return Scene.record(self, x, psf, time)

    @property
    def recorded_um(self) -> dict[str, float]:
        return Scene.recorded_um.fget(self)  # pyright: ignore[reportOptionalCall]

    @property
    def stated(self) -> dict[str, Any]:
        return {}


def recordings(**options: Any) -> tuple[Simulation, Simulation]:
    """The skewed and the upright recording of one sample, with the same photons of each of its parts."""
    skewed = simulate_3d(StackScene(**options))
    unlike = simulate_3d(UprightScene(**options))
    photons = options["photons"] * skewed.truth.data.max() / unlike.truth.data.max()
    upright = simulate_3d(UprightScene(**{**options, "photons": float(photons)}))
    assert np.allclose(upright.truth.data, skewed.truth.data, rtol=1e-9, atol=1e-9 * upright.truth.data.max())
    return skewed, upright


def inside(data: np.ndarray, finer: int) -> np.ndarray:
    """Pixels that hold data, away from where those end."""
    known = np.isfinite(data)
    rows = binary_erosion(known, np.ones((1, 2 * finer * MARGIN_PX + 1, 1)))
    rows[:, :, : finer * MARGIN_PX] = rows[:, :, -finer * MARGIN_PX :] = False
    rows[:MARGIN_PLANES] = rows[-MARGIN_PLANES:] = False
    return rows


def score(seed: int, structure: str, steps: int, **options: Any) -> dict[str, Any]:
    """Scores of both restorations of one sample."""
    skewed, upright = recordings(seed=seed, structure=structure, **options)
    scene = skewed.scene
    assert isinstance(scene, StackScene)
    size, first = scene.size, scene.extra_rows // 2
    results, seconds = {}, {}
    for name, image in (("upright", replace(upright.noisy, data=upright.noisy.data[:, first : first + size])), ("skewed", skewed.noisy)):
        started = time.monotonic()
        results[name] = zs.restore(image, scene.optics, steps=steps, seed=seed, device="cpu", progress=False)
        seconds[name] = round(time.monotonic() - started)
    found: dict[str, Any] = {"seed": seed, "structure": structure, "steps": steps, "seconds": seconds}
    for kind, finer, reference in (("denoised", 1, upright.clean), ("deconvolved", 2, upright.truth)):
        rows = slice(finer * first, finer * (first + size))
        truth, own = reference.data[:, rows], results["upright"].images()[kind].data
        other = results["skewed"].images()[kind].data[:, rows]
        common = inside(other, finer) & inside(own, finer)
        found["share"] = round(float(common.mean()), 3)
        found[kind] = {name: round(psnr(data[common], truth[common]), 2) for name, data in (("upright", own), ("skewed", other))}
        found[kind]["difference"] = round(found[kind]["skewed"] - found[kind]["upright"], 2)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1])
    parser.add_argument("--structures", nargs="+", default=["filaments"])
    parser.add_argument("--steps", type=int, default=400)
    parser.add_argument("--size", type=int, default=96)
    parser.add_argument("--planes", type=int, default=16)
    parser.add_argument("--photons", type=float, default=40.0)
    parser.add_argument("--angle", type=float, default=31.5)
    parser.add_argument("--step-um", type=float, default=0.4)
    parser.add_argument("-o", "--output", type=Path)
    given = parser.parse_args()
    warnings.simplefilter("ignore")
    options = {"size": given.size, "planes": given.planes, "photons": given.photons}
    options |= {"scan_angle_deg": given.angle, "scan_step_um": given.step_um}
    for structure in given.structures:
        for seed in given.seeds:
            line = json.dumps(score(seed, structure, given.steps, **options))
            print(line, flush=True)
            if given.output is not None:
                with given.output.open("a", encoding="utf-8") as file:
                    file.write(line + "\n")


if __name__ == "__main__":
    main()
