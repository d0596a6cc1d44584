"""Storage of a reconstruction in a model file."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from zsdeconv.physics.otf import DeepOtf, Otf
from zsdeconv.sim.detection import DetectionOtf2d, DetectionOtf3d
from zsdeconv.sim.patterns import SimParameters
from zsdeconv.sim.reconstruct import Reconstruct


def to_parts(reconstruct: Reconstruct) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Tensors and plain values from which `from_parts` restores the same reconstruction."""
    detection = reconstruct.weights.detection
    numbers = {name: value for name, value in detection.__dict__.items() if name != "otf"}
    samples = {name: value for name, value in detection.otf.__dict__.items() if name != "values"}
    header = {
        "parameters": reconstruct.parameters.to_yaml(),
        "wiener": reconstruct.wiener,
        "attenuation": reconstruct.weights.attenuation,
        "z_um": reconstruct.z_um,
        "detection": numbers,
        "otf": samples,
    }
    values = detection.otf.values
    return {"otf": torch.from_numpy(np.stack([np.real(values), np.imag(values)]))}, header


def from_parts(tensors: Mapping[str, Tensor], header: Mapping[str, Any]) -> Reconstruct:
    """The reconstruction stored by `to_parts`."""
    parameters, numbers = SimParameters.from_yaml(header["parameters"], "model"), header["detection"]
    real, imaginary = tensors["otf"].numpy()
    if header["z_um"] is None:
        detection = DetectionOtf2d(Otf(real, **header["otf"]), **numbers)
    else:
        light = numbers["light"] and tuple(numbers["light"])
        detection = DetectionOtf3d(DeepOtf(real + 1j * imaginary, **header["otf"]), **(numbers | {"light": light}))
    return Reconstruct(parameters, detection, parameters.pixel_um, header["wiener"], header["attenuation"], header["z_um"])
