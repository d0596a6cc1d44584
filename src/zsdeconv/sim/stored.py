"""A reconstruction in a model file: everything that its numbers depend on."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from zsdeconv.physics.otf import Otf
from zsdeconv.sim.detection import Detection
from zsdeconv.sim.patterns import SimParameters
from zsdeconv.sim.reconstruct import Reconstruct


def to_parts(reconstruct: Reconstruct) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Tensors and plain values from which `from_parts` makes the same reconstruction."""
    detection = reconstruct.weights.detection
    header = {
        "parameters": reconstruct.parameters.to_yaml(),
        "wiener": reconstruct.wiener,
        "attenuation": reconstruct.weights.attenuation,
        "otf": {"dkr_per_um": detection.otf.dkr_per_um, "source": detection.otf.source, "cutoff_per_um": detection.cutoff_per_um},
    }
    return {"otf": torch.from_numpy(detection.otf.values.copy())}, header


def from_parts(tensors: Mapping[str, Tensor], header: Mapping[str, Any]) -> Reconstruct:
    """The reconstruction that `to_parts` has taken apart."""
    lens, parameters = header["otf"], SimParameters.from_yaml(header["parameters"], "model")
    detection = Detection(Otf(tensors["otf"].numpy(), lens["dkr_per_um"], lens["source"]), lens["cutoff_per_um"])
    return Reconstruct(parameters, detection, parameters.pixel_um, header["wiener"], header["attenuation"])
