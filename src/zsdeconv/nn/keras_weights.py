"""Weights of the published implementation, stored by Keras (HDF5), for our networks."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from zsdeconv.errors import ModelError
from zsdeconv.nn import layers

_AXIS_ORDER = {4: (3, 2, 0, 1), 5: (4, 3, 2, 0, 1)}
"""Axes of a stored kernel in our order, by their number. Law: Keras stores `y x in out` or `y x z in out`, torch `out in *zyx`."""


@torch.no_grad()
def load_keras_weights(module: nn.Module, path: str | Path) -> None:
    """Copy the convolutions of a Keras weight file into `module`, layer by layer in the order of the data flow.

    Keras stores a kernel as `y x in out` or `y x z in out`, torch as `out in *zyx`; both cross-correlate, so no axis is flipped.
    Needs `h5py`. Raises `ModelError` when the file is not such a file or holds another network; `module` is then unchanged.

    >>> load_keras_weights(layers.conv(2, 1, 1), "absent.h5")
    Traceback (most recent call last):
    zsdeconv.errors.ModelError: absent.h5: no such file; give the .h5 file that Keras saved the weights to
    """
    convolutions = layers.convolutions(module)
    stored = _read(Path(path))
    if len(stored) != len(convolutions):
        raise ModelError(
            f"{path}: {len(stored)} convolutions stored, the network has {len(convolutions)}; choose the network they were trained with"
        )
    kernels = [torch.from_numpy(kernel.transpose(_AXIS_ORDER[kernel.ndim]).copy()) for kernel, _ in stored]
    for number, (layer, kernel) in enumerate(zip(convolutions, kernels, strict=True), start=1):
        if kernel.shape != layer.weight.shape:
            raise ModelError(
                f"{path}: kernel {number} is {tuple(kernel.shape)}, {tuple(layer.weight.shape)} in the network; "
                "choose the network they were trained with"
            )
    for layer, kernel, (_, bias) in zip(convolutions, kernels, stored, strict=True):
        layer.weight.copy_(kernel)
        assert layer.bias is not None
        layer.bias.copy_(torch.from_numpy(bias))


def _read(path: Path) -> list[tuple[np.ndarray, np.ndarray]]:
    """(kernel, bias) of each convolution, in the order in which the file lists its layers."""
    try:
        import h5py  # heavy, and needed here only
    except ImportError as error:
        raise ModelError(f"{path}: reading Keras weights needs h5py, which is not installed; pip install h5py") from error
    if not path.exists():
        raise ModelError(f"{path}: no such file; give the .h5 file that Keras saved the weights to")
    try:
        with h5py.File(path, "r") as file:
            return [pair for name in np.asarray(file.attrs["layer_names"]) if (pair := _kernel_and_bias(file[name])) is not None]
    except (OSError, KeyError) as error:
        raise ModelError(f"{path}: not a Keras weight file ({error}); give the .h5 file that Keras saved the weights to") from error


def _kernel_and_bias(layer: Any) -> tuple[np.ndarray, np.ndarray] | None:
    """Kernel and bias of a layer, None for layers without weights; `KeyError` for anything but a convolution with a bias."""
    names = [name.decode() if isinstance(name, bytes) else name for name in layer.attrs["weight_names"]]
    if not names:
        return None
    if len(names) != 2:
        raise KeyError(f"layer {layer.name} stores {len(names)} arrays, not a kernel and a bias")
    kernel, bias = (np.asarray(layer[name]) for name in names)
    if kernel.ndim not in _AXIS_ORDER or bias.shape != kernel.shape[-1:]:
        raise KeyError(f"layer {layer.name} stores {kernel.shape} and {bias.shape}, not a kernel and a bias")
    return kernel, bias
