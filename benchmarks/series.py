"""Restore time series with default options, and measure whether their traces survive.

    python benchmarks/series.py -o OUT [--lysosomes FILE] [--seed 0] [--only simulated dim lysosomes]

`simulated`: still filaments whose brightness changes in six places (a step up, a step down, two decays, a spike, an oscillation), 32
frames of 112 x 112 pixels at 50 photons, where the course of the noise-free frames is known. `dim`: the same at 20 photons. `lysosomes`:
a live confocal series that moves and bleaches. OUT/series.json holds the numbers; restored series are kept in OUT and not restored again.
"""

import argparse
import json
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

import zsdeconv as zs
from zsdeconv.camera.detector import Camera
from zsdeconv.physics.operators import forward_model
from zsdeconv.report.checks import series
from zsdeconv.report.statistics.traces import bright_places
from zsdeconv.simulation.scenes import Scene
from zsdeconv.simulation.widefield import expose, simulate_2d

FRAMES = 32
PHOTONS = {"simulated": 50, "dim": 20}
SIDE_PX = 18
"""Distance of the places that change, raw pixels."""
CHANGE_PX = 18.0
"""Radius of such a place, fine pixels."""


@dataclass(frozen=True)
class Movie:
    """Raw frames (t y x, ADU) with what is known of them; `clean` is the series without noise, above the offset."""

    raw: np.ndarray
    pixel_um: float
    optics: zs.Optics
    clean: np.ndarray | None = None


def courses() -> list[np.ndarray]:
    """Changes of brightness over time, as a fraction of the brightness before."""
    t = np.arange(FRAMES)
    spike = np.where(t >= 6, np.exp(-(t - 6) / 5), 0) * 1.5
    return [1.0 * (t >= 12), -0.6 * (t >= 18), 1.2 * np.exp(-t / 7), spike, 0.5 * np.sin(2 * np.pi * t / 16), np.exp(-t / 20)]


def simulated(seed: int, photons: float) -> Movie:
    scene = Scene(structure="filaments", photons=photons, size=112, seed=seed)
    simulation = simulate_2d(scene)
    n = simulation.truth.data.shape[-1]
    y, x = np.mgrid[:n, :n]
    factor = np.ones((FRAMES, n, n))
    for course, (top, left) in zip(courses(), bright_places(simulation.clean.data, SIDE_PX), strict=False):
        middle_y, middle_x = (2 * (first + SIDE_PX / 2) - 0.5 for first in (top, left))
        distance = np.hypot(y - middle_y, x - middle_x) / CHANGE_PX
        factor += course[:, None, None] * np.exp(-(distance**4))
    seen = forward_model(simulation.psf.values, 2, 2)(torch.from_numpy(factor * simulation.truth.data)[:, None])
    clean = seen[:, 0].clamp(min=0).numpy()
    return Movie(expose(clean, scene.camera, np.random.default_rng(seed)), scene.pixel_um, scene.optics, clean)


def lysosomes(path: Path) -> Movie:
    image = zs.read(path)
    return Movie(image.data, image.spacing_um["X"], zs.Optics(1.4, 520, microscope="confocal"))


def restored(movie: Movie, name: str, out: Path, seed: int) -> tuple[zs.Model, dict[str, np.ndarray], float | None]:
    """The model, the restored series by name, and the seconds it took (None when it was there)."""
    files = out / f"{name}.zsd", out / f"{name}.npz"
    seconds = None
    if not all(file.exists() for file in files):
        start = time.perf_counter()
        image = zs.Image(movie.raw, "TYX", dict.fromkeys("YX", movie.pixel_um))
        result = zs.restore(image, movie.optics, seed=seed)
        seconds = time.perf_counter() - start
        result.model.save(files[0], overwrite=True)
        np.savez_compressed(files[1], denoised=result.denoised.data, deconvolved=result.deconvolved.data)
    model, images = zs.load(files[0]), dict(np.load(files[1]))
    again = model.acquisition.forward_operator(torch.from_numpy(images["deconvolved"])[:, None])[:, 0]
    return model, images | {"deconvolved, seen again": again.numpy()}, seconds


def numbers(found: series.Series, clean: np.ndarray | None) -> dict[str, Any]:
    """What is reported of one restored series; slopes on the noise-free traces where they are known."""
    facts: dict[str, Any] = {
        "slope": found.slope,
        "r": found.r,
        "noise_share": found.noise_share,
        "active": len(found.active),
        "static_tiles": found.static_tiles,
        "pixel_variance_ratio": found.pixel_variance,
        "tile_variance_ratio": found.tile_variance,
        "slopes": [region.slope for region in found.active],
    }
    if clean is not None and found.active:
        pairs = []
        for region in found.active:
            window = (slice(None), slice(region.y_px, region.y_px + region.side_px), slice(region.x_px, region.x_px + region.side_px))
            truth = clean[window].mean((1, 2))
            pairs.append((truth - truth.mean(), region.restored - region.restored.mean()))
        x, y = (np.concatenate(part) for part in zip(*pairs, strict=True))
        facts |= {"slope_on_truth": float(np.vdot(x, y) / np.vdot(x, x)), "r_with_truth": float(np.corrcoef(x, y)[0, 1])}
        facts["slopes_on_truth"] = [float(np.vdot(a, b) / np.vdot(a, a)) for a, b in pairs]
    return facts


def rounded(facts: dict[str, Any]) -> dict[str, Any]:
    def short(value: Any) -> Any:
        return [short(v) for v in value] if isinstance(value, list) else round(value, 4) if isinstance(value, float) else value

    return {name: short(value) for name, value in facts.items()}


def measure(name: str, movie: Movie, out: Path, seed: int) -> dict[str, Any]:
    model, images, seconds = restored(movie, name, out, seed)
    raw, camera = movie.raw.astype(np.float64) - model.camera.offset, Camera(0.0, model.camera.gain, model.camera.read_variance)
    facts: dict[str, Any] = {
        "seconds": seconds,
        "offset_adu": model.camera.offset,
        "gain": model.camera.gain,
        "read": model.camera.read_noise,
    }
    result = {"camera": rounded(facts)}
    for kind, image in images.items():
        result[kind] = rounded(numbers(series.measure(raw, image, camera), movie.clean))
    return result


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("-o", "--out", type=Path, required=True)
    parser.add_argument("--lysosomes", type=Path, metavar="FILE", help="lysosomes_129nm_50f.tif")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", nargs="+", choices=(*PHOTONS, "lysosomes"), default=[*PHOTONS, "lysosomes"])
    args = parser.parse_args(arguments)
    args.out.mkdir(parents=True, exist_ok=True)
    record = args.out / "series.json"
    results = json.loads(record.read_text()) if record.exists() else {}
    for name in args.only:
        if name in PHOTONS:
            movie = simulated(args.seed, PHOTONS[name])
        elif args.lysosomes is not None:
            movie = lysosomes(args.lysosomes)
        else:
            continue
        results[name] = measure(name, movie, args.out, args.seed)
        print(name, json.dumps(results[name], indent=1), flush=True)
        record.write_text(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    main()
