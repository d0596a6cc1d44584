from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def shared() -> Path:
    """Real data and reference values beside the repository; tests that need them skip where they are absent."""
    path = Path(__file__).parents[2] / "shared"
    if not path.is_dir():
        pytest.skip("no ../shared beside the repository")
    return path
