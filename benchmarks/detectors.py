"""Which detector recorded an image, how well its offset is known, and whether a report finds a wrong law: on simulated images.

    python benchmarks/detectors.py recognise [--images 40] [--first-seed 5000]
    python benchmarks/detectors.py haze [--images 60] [--first-seed 0]
    python benchmarks/detectors.py report [--images 20] [--first-seed 7000] [--steps 400] [--told auto camera]

`recognise` prints, for each detector and light level, how often its kind was recognised, left undecided and mistaken, and how often the
95 % interval of the offset holds the true one. `haze` prints the latter for images of a camera all of whose light lies in haze, or not.
`report` restores images of an electron multiplier with the law that the program finds, and again as those of a camera, and counts the
reports that say that the law of the noise is wrong. Detectors are simulated with numpy, apart from the laws of the program.
"""

import argparse
import json
import warnings

import numpy as np
import torch
from scipy.ndimage import gaussian_filter

import zsdeconv as zs
from zsdeconv.camera.calibrate import calibrate
from zsdeconv.simulation.widefield import Scene, simulate_2d

STRUCTURES = ("filaments", "vesicles", "network", "puncta")
PHOTONS = (3, 10, 30)
OFFSETS_ADU = {"camera": 100.0, "emccd": 490.0, "counting": 0.0}
CHECKS = ("camera", "noise_left", "residuals")
"""Sections of a report that judge the law of the noise."""


def scene_of(seed: int, photons: float) -> Scene:
    """One of several structures."""
    return Scene(size=192, photons=photons, structure=STRUCTURES[seed % len(STRUCTURES)], seed=seed)


def electrons(scene: Scene) -> np.ndarray:
    """Mean photo-electrons of each pixel."""
    return np.maximum(simulate_2d(scene).clean.data / scene.camera.gain, 0)


def recorded(kind: str, mean_e: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A recording of a camera of 1 to 4 electrons of read noise, of an electron multiplier, or of a photon counter, uint16."""
    counts = rng.poisson(mean_e)
    if kind == "counting":
        return counts.astype(np.uint16)
    gain = rng.uniform(0.4, 2.5) if kind == "camera" else rng.uniform(15, 80)
    read = gain * rng.uniform(1.0, 4.0) if kind == "camera" else rng.uniform(4, 12)
    light = gain * counts if kind == "camera" else gain * rng.gamma(np.maximum(counts, 1e-9)) * (counts > 0)
    return np.rint(light + rng.normal(OFFSETS_ADU[kind], read, counts.shape)).clip(0, 65535).astype(np.uint16)


def recognise(images: int, first_seed: int) -> None:
    print("| detector | photons | recognised | undecided | mistaken | offset within 95 % interval |\n" + "| --- " * 6 + "|")
    for kind in OFFSETS_ADU:
        for photons in PHOTONS:
            found: dict[str, int] = {"right": 0, "undecided": 0, "wrong": 0}
            covered = 0
            for seed in range(first_seed, first_seed + images):
                y = recorded(kind, electrons(scene_of(seed, photons)), np.random.default_rng(seed))
                calibration = calibrate(y)
                told = calibration.found is None or bool(calibration.found.kind)
                right = calibration.camera.kind == kind
                found["right" if told and right else "wrong" if told else "undecided"] += 1
                covered += abs(calibration.camera.offset - OFFSETS_ADU[kind]) <= max(1.96 * calibration.offset_sigma, 1e-9)
            print(
                f"| {kind} | {photons} | {found['right']} | {found['undecided']} | {found['wrong']} | {covered} of {images} |", flush=True
            )


def hazy(kind: str, rng: np.random.Generator) -> tuple[np.ndarray, float]:
    """An image of a camera, uint16, and its offset (ADU): "in haze", "thin haze", "no haze", or "loud", much read noise and no haze."""
    side = int(rng.choice([96, 128, 192, 256]))
    gain, offset = rng.uniform(0.3, 2), rng.uniform(50, 300)
    read, shape = gain * rng.uniform(1, 4), int(rng.integers(3))
    if shape == 0:
        structure = gaussian_filter((rng.random((side, side)) < 0.01) * 1.0, 2)
    elif shape == 1:
        structure = gaussian_filter((abs(gaussian_filter(rng.normal(size=(side, side)), 6)) < 0.004) * 1.0, 1.5)
    else:
        structure = np.maximum(gaussian_filter(rng.normal(size=(side, side)), 10), 0)
    haze, light = 0.0, 0.0
    if kind == "in haze":
        haze = rng.uniform(50, 800)
        light = rng.uniform(0.05, 1) * haze
    elif kind == "thin haze":
        haze, light = rng.uniform(0, 20), rng.uniform(10, 100)
    else:
        light = np.exp(rng.uniform(np.log(15 if kind == "loud" else 5), np.log(1000)))
    if kind == "loud":
        read = gain * rng.uniform(6, 15)
    mean = haze * (1 + 0.1 * np.sin(np.arange(side) / side * 3))[:, None] + light * structure / structure.max()
    return np.rint(rng.poisson(mean) * gain + offset + rng.normal(0, read, mean.shape)).clip(0, 65535).astype(np.uint16), offset


def haze(images: int, first_seed: int) -> None:
    print("| images | offset within 95 % interval | taken for another detector |\n" + "| --- " * 3 + "|")
    for kind in ("in haze", "thin haze", "no haze", "loud"):
        held = other = 0
        for seed in range(first_seed, first_seed + images):
            y, offset = hazy(kind, np.random.default_rng(seed))
            found = calibrate(y)
            held += abs(found.camera.offset - offset) <= 1.96 * found.offset_sigma
            other += found.camera.kind != "camera"
        print(f"| {kind} | {held} of {images} | {other} |", flush=True)


def report(images: int, first_seed: int, steps: int, told: list[str]) -> None:
    print("| seed | detector told | red | findings |\n" + "| --- " * 4 + "|")
    red = dict.fromkeys(told, 0)
    for seed in range(first_seed, first_seed + images):
        scene = scene_of(seed, PHOTONS[seed % 3])
        image = zs.Image(recorded("emccd", electrons(scene), np.random.default_rng(seed)), "YX", dict.fromkeys("YX", scene.pixel_um))
        for detector in red:
            sections = zs.restore(image, scene.optics, steps=steps, detector=detector).report().sections
            bad = [(s.key, f.name) for s in sections for f in s.findings if f.level == "fail" and s.key in CHECKS]
            red[detector] += bool(bad)
            print(f"| {seed} | {detector} | {bool(bad)} | {json.dumps(bad)} |", flush=True)
    print("\nred: " + ", ".join(f"{n} of {images} with detector {detector}" for detector, n in red.items()))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("recognise", "haze", "report"))
    parser.add_argument("--images", type=int)
    parser.add_argument("--first-seed", type=int)
    parser.add_argument("--steps", type=int, default=400)
    parser.add_argument("--told", nargs="+", choices=("auto", "camera"), default=["auto", "camera"])
    given = parser.parse_args()
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    if given.what == "recognise":
        recognise(given.images or 40, given.first_seed or 5000)
    elif given.what == "haze":
        haze(given.images or 60, given.first_seed or 0)
    else:
        report(given.images or 20, given.first_seed or 7000, given.steps, given.told)


if __name__ == "__main__":
    main()
