"""Denoise and super-resolve a fluorescence micrograph with a network trained on that micrograph alone.

>>> import numpy as np, zsdeconv as zs
>>> counts = np.random.default_rng(0).poisson(np.linspace(9, 200, 56), (48, 56))
>>> image = zs.Image(counts, "YX", {"Y": 0.065, "X": 0.065})
>>> result = zs.restore(image, zs.Optics(na=1.3, wavelength_nm=525), steps=2)
>>> result.deconvolved.data.shape, result.deconvolved.spacing_um["X"]
((96, 112), 0.0325)
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from zsdeconv._version import __version__
from zsdeconv.errors import UserError

if TYPE_CHECKING:
    from zsdeconv.camera.calibrate import calibrate
    from zsdeconv.camera.maps import CameraMaps
    from zsdeconv.channels import load
    from zsdeconv.image import Image
    from zsdeconv.io import read, write
    from zsdeconv.model import Model, Restored
    from zsdeconv.physics.optics import Optics
    from zsdeconv.physics.psf import Psf
    from zsdeconv.physics.psf_file import read_psf
    from zsdeconv.physics.psf_theory import theoretical_psf
    from zsdeconv.pipeline import restore, train
    from zsdeconv.prediction.upright import deskew

_LAZY = {
    "Image": "zsdeconv.image",
    "deskew": "zsdeconv.prediction.upright",
    "Optics": "zsdeconv.physics.optics",
    "read": "zsdeconv.io",
    "write": "zsdeconv.io",
    "restore": "zsdeconv.pipeline",
    "train": "zsdeconv.pipeline",
    "load": "zsdeconv.channels",
    "Model": "zsdeconv.model",
    "Restored": "zsdeconv.model",
    "Psf": "zsdeconv.physics.psf_theory",
    "read_psf": "zsdeconv.physics.psf_theory",
    "theoretical_psf": "zsdeconv.physics.psf_theory",
    "calibrate": "zsdeconv.camera.calibrate",
    "CameraMaps": "zsdeconv.camera.maps",
}
"""Names whose modules import numpy, torch or other packages that take time, and are imported when first used: `--help` needs none."""

__all__ = [
    "CameraMaps",
    "Image",
    "Model",
    "Optics",
    "Psf",
    "Restored",
    "UserError",
    "__version__",
    "calibrate",
    "deskew",
    "load",
    "read",
    "read_psf",
    "restore",
    "theoretical_psf",
    "train",
    "write",
]


def __getattr__(name: str) -> Any:
    if name not in _LAZY:
        raise AttributeError(f"module 'zsdeconv' has no attribute {name!r}")
    return getattr(importlib.import_module(_LAZY[name]), name)


def __dir__() -> list[str]:
    return __all__
