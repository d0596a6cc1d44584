#!/usr/bin/env python3
"""The PSF check against simulated images: how often it finds a wrong PSF, and how often it finds fault with the right one.

    python benchmarks/psf_trials.py [--trials 20] [--photons 60 100 140 200] [--structures vesicles] [--first-seed 1000]

Each trial is another scene: the structures take turns, then the light levels, and the seed counts up. The camera is unknown.
"""

import argparse
import time
from collections.abc import Iterator

import numpy as np
import torch

from zsdeconv.acquisition.direct import DirectAcquisition
from zsdeconv.camera import calibrate
from zsdeconv.data.normalize import Affine
from zsdeconv.physics.psf import Psf
from zsdeconv.report.checks.psf_fit import PsfFit, measure
from zsdeconv.report.statistics.psf_variants import widened
from zsdeconv.simulation.structures import STRUCTURES
from zsdeconv.simulation.widefield import Scene, simulate_2d


def comatic(scene: Scene, rms_rad: float, angle: float, half: int = 31, samples: int = 512) -> Psf:
    """PSF of a scalar pupil with so much third-order coma (Zernike, radians rms) along `angle`, on the fine grid."""
    k = np.fft.fftfreq(samples, scene.fine_um)
    ky, kx = np.meshgrid(k, k, indexing="ij")
    rho = np.hypot(ky, kx) * 1e-3 * scene.wavelength_nm / scene.na
    coma = np.sqrt(8) * (3 * rho**3 - 2 * rho) * np.cos(np.arctan2(ky, kx) - angle)
    psf = np.fft.fftshift(np.abs(np.fft.ifft2((rho <= 1) * np.exp(1j * rms_rad * coma))) ** 2)
    middle = slice(samples // 2 - half - 12, samples // 2 + half + 13)
    return Psf.from_array(psf[middle, middle], scene.spacing_um, f"coma {rms_rad:g} rad")


def candidates(scene: Scene, psf: Psf, trial: int) -> Iterator[tuple[str, Psf]]:
    yield "right", psf
    yield "15 % too wide", widened(psf, 1.15)
    yield "15 % too narrow", widened(psf, 0.85)
    yield "coma 1 rad", comatic(scene, 1.0, 1.1 * trial)
    yield "coma 0.3 rad", comatic(scene, 0.3, 1.1 * trial)


def examined(frame: np.ndarray, psf: Psf) -> PsfFit:
    camera = calibrate(frame).camera
    acquisition = DirectAcquisition(Affine.fitted([frame], camera.offset), camera, psf, 2)
    return measure(acquisition.measure(frame, torch.device("cpu")), acquisition, psf)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--trials", type=int, default=20)
    parser.add_argument("--photons", type=float, nargs="+", default=[60, 100, 140, 200])
    parser.add_argument("--structures", nargs="+", default=list(STRUCTURES))
    parser.add_argument("--first-seed", type=int, default=1000)
    given = parser.parse_args()
    torch.set_num_threads(1)
    flags: dict[str, list[bool]] = {}
    seconds = []
    for trial in range(given.trials):
        structure = given.structures[trial % len(given.structures)]
        photons = given.photons[trial // len(given.structures) % len(given.photons)]
        scene = Scene(structure=structure, photons=photons, seed=given.first_seed + trial)
        simulation = simulate_2d(scene)
        for name, psf in candidates(scene, simulation.psf, trial):
            start = time.perf_counter()
            found = examined(simulation.noisy.data, psf)
            seconds.append(time.perf_counter() - start)
            faults = [finding.name for finding in found.findings if finding.level in ("warn", "fail")]
            flags.setdefault(name, []).append(bool(faults))
            width = "unknown" if found.width is None else f"{found.width:.3f} +- {found.width_sigma:.3f}"
            print(f"{trial:3} {structure:10} {photons:4g} photons  {name:16} width {width:16} {', '.join(faults) or '-'}", flush=True)
    for name, flagged in flags.items():
        print(f"{name:16} flagged in {sum(flagged)} of {len(flagged)}")
    print(f"{np.median(seconds):.1f} s per check (median), {max(seconds):.1f} s at most")


if __name__ == "__main__":
    main()
