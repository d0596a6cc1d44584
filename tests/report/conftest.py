"""One small image, restored once for all tests that ask how far to trust it."""

import pytest

import zsdeconv as zs
from zsdeconv.config import resolve
from zsdeconv.model import Restored
from zsdeconv.simulation.widefield import Scene, Simulation, simulate_2d

SCENE = Scene(size=97, photons=60, structure="network", seed=4)


@pytest.fixture(scope="session")
def simulated() -> Simulation:
    return simulate_2d(SCENE)


@pytest.fixture(scope="session")
def restored(simulated: Simulation) -> Restored:
    """By a small network that had some hundred steps: enough to do its work, if not well."""
    settings = {
        "network": {"channels": (8, 16, 32)},
        "training": {"patch_px": 48, "batch": 4, "steps": 400, "validate_every": 50},
        "prediction": {"passes": 4},
        "device": "cpu",
    }
    return zs.restore(simulated.noisy, SCENE.optics, config=resolve(settings))
