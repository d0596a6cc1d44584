"""`info --system`: what a report of a fault should say of the machine. Neither names of people, folders or hosts are in it."""

from __future__ import annotations

import math
import os
import platform
from importlib.metadata import PackageNotFoundError, version
from typing import Any

PACKAGES = (
    *("torch", "lightning-fabric", "numpy", "scipy", "scikit-image", "tifffile", "imagecodecs", "mrcfile", "safetensors", "cyclopts"),
    *("pydantic", "PyYAML", "rich", "matplotlib", "jinja2", "jaxtyping"),
)
"""Packages that the program needs, as `pyproject.toml` lists them."""
READERS = ("nd2", "pylibCZIrw", "liffile", "oiffile", "h5py", "zarr", "yaozarrs")
"""Packages of the optional formats (`pip install 'zsdeconv[formats]'`), as listed there."""


def system_facts() -> dict[str, Any]:
    """Versions, devices, threads and memory, as plain values."""
    import torch

    from zsdeconv._version import __version__
    from zsdeconv.io.memory import machine_bytes
    from zsdeconv.prediction.device import choose_device

    return {
        "zsdeconv": __version__,
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "platform": f"{platform.system()} {platform.release()}, {platform.machine()}",
        "torch": f"{torch.__version__}, CUDA {torch.version.cuda or 'none'}",
        "devices": _devices(),
        "device": choose_device("auto").type,
        "processors": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "memory_gb": round(memory / 1e9, 1) if math.isfinite(memory := machine_bytes()) else None,
        "packages": {name: _version(name) for name in PACKAGES},
        "format_readers": {name: _version(name) for name in READERS},
    }


def _devices() -> list[str]:
    """Kinds of processors that torch can use, with their names and memory."""
    import torch

    found = ["cpu"]
    for number in range(torch.cuda.device_count() if torch.cuda.is_available() else 0):
        facts = torch.cuda.get_device_properties(number)
        found.append(f"cuda {facts.name} {facts.total_memory / 1e9:.0f} GB")
    return [*found, "mps"] if torch.backends.mps.is_available() else found


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "none"
