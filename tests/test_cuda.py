"""The same results on a CUDA device as on the CPU; skipped where there is none."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import zsdeconv as zs
from zsdeconv.simulation.structured import SimScene, SimStackScene, simulate_sim2d, simulate_sim3d
from zsdeconv.simulation.widefield import Scene, StackScene, simulate_2d, simulate_3d

pytestmark = [
    pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device"),
    pytest.mark.filterwarnings("ignore::zsdeconv.errors.DataWarning"),  # images this small say little of their camera
]
TOLERANCE = 2e-3
"""Of the image's range: the convolutions of CUDA round to 11 bits (TF32), and a network has ten in a row."""
CASES = {
    "camera": (lambda: simulate_2d(Scene(size=72, photons=200)), {}),
    "dim camera": (lambda: simulate_2d(Scene(size=72, photons=5, read_noise=0.5)), {"pairs": "split"}),
    "emccd": (lambda: simulate_2d(Scene(size=72, photons=5, read_noise=0.5)), {"pairs": "split", "detector": "emccd"}),
    "movie": (lambda: simulate_2d(Scene(size=64, frames=3)), {}),
    "3d": (lambda: simulate_3d(StackScene(size=48, planes=12)), {}),
    "3d interleaved": (lambda: simulate_3d(StackScene(size=48, planes=16)), {"pairs": "interleave"}),
    "sim2d": (lambda: simulate_sim2d(SimScene(size=96, photons=200)), {"modality": "sim2d"}),
    "sim2d split": (lambda: simulate_sim2d(SimScene(size=96, photons=200)), {"modality": "sim2d", "pairs": "split"}),
    "sim3d": (lambda: simulate_sim3d(SimStackScene(size=64, planes=9, photons=300)), {"modality": "sim3d"}),
}


@pytest.mark.parametrize("name", CASES)
def test_a_model_trained_on_a_cuda_device_predicts_alike_on_both(name: str) -> None:
    make, options = CASES[name]
    simulated = make()
    model = zs.train([simulated.noisy], simulated.scene.optics, steps=8, device="cuda", **options)
    on_gpu, on_cpu = (model.predict(simulated.noisy, device=device) for device in ("cuda", "cpu"))
    for kind in ("denoised", "deconvolved"):
        ours, theirs = getattr(on_gpu, kind).data, getattr(on_cpu, kind).data
        assert np.abs(ours - theirs).max() < TOLERANCE * np.ptp(theirs)


def test_a_report_is_made_on_a_cuda_device() -> None:
    simulated = simulate_2d(Scene(size=96, photons=20))
    restored = zs.restore(simulated.noisy, simulated.scene.optics, steps=8, device="cuda")
    assert restored.report().sections
