"""What the documentation promises about memory and quality; minutes long, run by `make slow`."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import zsdeconv as zs
from zsdeconv.errors import DataWarning
from zsdeconv.metrics import evaluate
from zsdeconv.physics.deconvolve import richardson_lucy
from zsdeconv.physics.operators import forward_model
from zsdeconv.simulation.widefield import Scene, simulate_2d

pytestmark = pytest.mark.slow

PREDICT_LARGE = """
import resource, sys
import numpy as np
import zsdeconv as zs

model, shape = zs.load(sys.argv[1]), tuple(map(int, sys.argv[2:]))
frame = np.random.default_rng(0).poisson(20.0, shape).astype(np.uint16)
restored = model.predict(frame, passes=2)
assert restored.deconvolved.data.shape == (*shape[:-2], 2 * shape[-2], 2 * shape[-1])
assert restored.uncertainty is not None
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6)
"""
SHEET = zs.Optics(na=1.1, wavelength_nm=525, immersion_ri=1.33, microscope="lightsheet", sheet_um=1.0)


@pytest.mark.skipif(sys.platform == "win32", reason="the peak memory of a process is read with the resource module")
@pytest.mark.parametrize(
    ("small", "shape", "optics", "most_gb"),
    [
        ((128, 128), (4096, 4096), zs.Optics(na=1.4, wavelength_nm=525), 4.0),
        ((16, 64, 64), (64, 1024, 1024), SHEET, 6.0),
    ],
    ids=["frame", "stack"],
)
def test_large_images_are_restored_in_bounded_memory(small: tuple, shape: tuple, optics: zs.Optics, most_gb: float, tmp_path: Path) -> None:
    noisy = np.random.default_rng(1).poisson(20.0, small).astype(np.float32)
    spacing: dict[str, Any] = {"pixel_um": 0.065} if len(shape) == 2 else {"pixel_um": 0.1, "z_um": 0.15, "modality": "3d"}
    with pytest.warns(DataWarning):  # there is nothing but noise to calibrate on
        model = zs.train([noisy], optics, steps=4, **spacing)
    path = model.save(tmp_path / "model.zsd")
    words = [sys.executable, "-W", "ignore", "-c", PREDICT_LARGE, str(path), *map(str, shape)]
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    assert float(done.stdout) < most_gb


@pytest.mark.parametrize("seed", [3, 4])
def test_the_default_preset_beats_richardson_lucy_stopped_by_an_oracle(seed: int) -> None:
    simulated = simulate_2d(Scene(seed=seed))
    result = zs.restore(simulated.noisy, simulated.scene.optics)
    ours = evaluate(result.deconvolved, simulated.truth)["psnr"]

    y = torch.from_numpy(simulated.noisy.data.astype(np.float32) - simulated.scene.offset)
    model = forward_model(simulated.psf.values, rank=2, scale=2)
    estimates = richardson_lucy(y[None, None], model, range(1, 31), momentum=None)
    oracle = max(evaluate(x[0, 0].numpy(), simulated.truth.data)["psnr"] for x in estimates)
    assert ours > oracle + 0.5  # dB; 1 to 3 were measured on other scenes
