#!/usr/bin/env python3
"""How often the pattern of simulated raw frames is found, and found right: small fields, and dim planes.

    python benchmarks/sim_patterns.py [--only small inside beyond real] [--first-seed 5000] [--realdata REALDATA]

Small fields: 64 and 96 pixels, planes and stacks, 200 photons, ten of each. Dim planes: 256 pixels, 20 photons, the wave vector inside the
cutoff and beyond it, forty of each. Every recording has another seed and another angle of its first direction, and the structures take
turns. A wave vector is right to 0.1 frequency pixel.
"""

import argparse
import time
import warnings
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from zsdeconv.errors import UserError
from zsdeconv.image import Image
from zsdeconv.io import read
from zsdeconv.physics.optics import Optics
from zsdeconv.sim.detection import detection_otf_2d, detection_otf_3d
from zsdeconv.sim.estimate import Estimation, estimate_parameters
from zsdeconv.simulation.structured import SimScene, SimStackScene, simulate_sim2d, simulate_sim3d
from zsdeconv.simulation.structures import STRUCTURES

RIGHT_PX = 0.1
SMALL = {"photons": 200.0, "na": 1.3}
DIM = {"photons": 20.0, "na": 1.3, "pixel_um": 0.0626, "size": 256}
GROUPS: Mapping[str, list[tuple[str, type[SimScene], int, dict[str, Any]]]] = {
    "small": [
        (f"{kind}, {size} pixels", scene, 10, {**SMALL, **more, "size": size})
        for kind, scene, more in (("plane", SimScene, {"pixel_um": 0.0626}), ("stack", SimStackScene, {}))
        for size in (64, 96)
    ],
    "inside": [("20 photons, inside the cutoff", SimScene, 40, {**DIM, "period_um": 0.24})],
    "beyond": [("20 photons, beyond the cutoff", SimScene, 40, {**DIM, "period_um": 0.19})],
}
"""Name, kind of scene, number of recordings and settings of each row. The cutoff is that of a period of 0.202 um."""


def estimated(scene: SimScene) -> Estimation:
    """The pattern of the raw frames of a scene, estimated blind."""
    deep = isinstance(scene, SimStackScene)
    noisy = (simulate_sim3d if deep else simulate_sim2d)(scene).noisy  # pyright: ignore[reportArgumentType]
    frames = np.moveaxis(noisy.data, 1, 0) if deep else noisy.data
    detection = (detection_otf_3d if deep else detection_otf_2d)(scene.optics)
    known = {"offset": scene.offset, "z_um": scene.z_um if isinstance(scene, SimStackScene) else None}
    return estimate_parameters(np.asarray(frames, np.float32), scene.pixel_um, detection, **known)


def errors_px(found: Estimation, scene: SimScene) -> np.ndarray:
    """Errors (direction yx) of the wave vectors of the finest fringes in frequency pixels."""
    off = []
    for direction, p in zip(found.parameters.directions, scene.highest_order * scene.p_per_um, strict=True):
        own = direction.orders * np.array(direction.p_per_um)
        off.append((np.sign(own @ p) * own - p) * scene.size * scene.pixel_um)
    return np.array(off)


def row(name: str, kind: type[SimScene], count: int, settings: dict[str, Any], first_seed: int) -> None:
    outcomes, rms, start = Counter[str](), [], time.perf_counter()
    for number in range(count):
        seed, structures = first_seed + number, list(STRUCTURES)
        scene = kind(**settings, seed=seed, angle_deg=(17.0 + 37.0 * number) % 180, structure=structures[number % len(structures)])
        try:
            found = estimated(scene)
        except UserError as refused:
            outcomes["refused"] += 1
            print(f"  {seed} {scene.structure}: refused, {refused}", flush=True)
            continue
        off = errors_px(found, scene)
        right = bool(np.abs(off).max() <= RIGHT_PX)
        told = any("the wave vector is known" in message for message in found.messages)
        outcomes[f"{'right' if right else 'wrong'}{', told uncertain' if told else ''}"] += 1
        rms += [*np.square(off).mean(1)] if right else []
        print(
            f"  {seed} {scene.structure}: {'right' if right else 'WRONG'} {np.abs(off).max(1).round(3)} {'told' if told else ''}",
            flush=True,
        )
    listed = " | ".join(str(outcomes[key]) for key in ("right", "right, told uncertain", "refused", "wrong, told uncertain", "wrong"))
    each = (time.perf_counter() - start) / count
    print(f"| {name} | {listed} | {np.sqrt(np.mean(rms)) if rms else np.nan:.3f} | {each:.1f} |", flush=True)


def real(realdata: Path) -> None:
    """The dim recording of microtubules, blind."""
    image: Image = read(realdata / "sim/microtubules_3x3.mrc", axes="PYX")
    found = estimate_parameters(image.data, image.spacing_um["X"], detection_otf_2d(Optics(1.3, 525)))
    for direction, peak in zip(found.parameters.directions, found.peaks, strict=True):
        print(f"  {direction.angle_deg:.2f} degrees, {direction.finest_um:.4f} um, peak {peak.score:.2f} (limit {peak.limit:.2f})")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", choices=[*GROUPS, "real"], default=list(GROUPS))
    parser.add_argument("--first-seed", type=int, default=5000)
    parser.add_argument("--realdata", type=Path)
    given = parser.parse_args()
    warnings.simplefilter("ignore")
    print("| recordings | right | right, told uncertain | refused | wrong, told uncertain | wrong | rms of right ones | s each |")
    print("|---|---|---|---|---|---|---|---|")
    for group in given.only:
        for name, kind, count, settings in GROUPS.get(group, []):
            row(name, kind, count, settings, given.first_seed)
    if given.realdata is not None:
        real(given.realdata)


if __name__ == "__main__":
    main()
