import os
from pathlib import Path

import pytest

os.environ.setdefault("OMP_NUM_THREADS", "1")  # the tests' images are tiny: threads would only wait for each other


@pytest.fixture(scope="session")
def shared() -> Path:
    """Real data and reference values beside the repository; tests that need them skip where they are absent."""
    path = Path(__file__).parents[2] / "shared"
    if not path.is_dir():
        pytest.skip("no ../shared beside the repository")
    return path
