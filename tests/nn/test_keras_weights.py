"""Published weights reproduce the published outputs; anything else is refused."""

import builtins
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from zsdeconv.errors import ModelError
from zsdeconv.nn import layers
from zsdeconv.nn.keras_weights import load_keras_weights
from zsdeconv.nn.rcan import TwoStageRCAN
from zsdeconv.nn.unet import TwoStageUNet
from zsdeconv.physics.operators import Crop

h5py = pytest.importorskip("h5py")


@pytest.mark.parametrize("scale", [1, 2])
@torch.no_grad()
def test_published_weights_reproduce_the_stored_outputs(shared: Path, scale: int) -> None:
    stored = np.load(shared / "reference" / f"unet2d_b2c2_up{scale - 1}.npz")
    network = TwoStageUNet(scale=scale, levels=2, convolutions=2)
    load_keras_weights(network, shared / "reference" / f"unet2d_b2c2_up{scale - 1}.h5")
    denoised, deconvolved = network(torch.from_numpy(stored["input"]).movedim(-1, 1))
    margin = int(stored["margin"])  # cut from the stored denoised image only
    # values up to 0.7, ten float32 layers summed in another order
    np.testing.assert_allclose(denoised[:, 0, margin:-margin, margin:-margin], stored["denoised"][..., 0], atol=1e-5)
    np.testing.assert_allclose(deconvolved[:, 0], stored["deconvolved"][..., 0], atol=1e-5)


NETWORKS = {
    "rcan3d": lambda: TwoStageRCAN(),
    "rcan3d_sim_g1b1": lambda: TwoStageRCAN(groups=1, blocks_per_group=1, tail=256, relu_between=True),
    "unet3d_b2c2": lambda: TwoStageUNet(rank=3, levels=2, convolutions=2),
}


@pytest.mark.parametrize("name", NETWORKS)
@torch.no_grad()
def test_published_weights_for_volumes_reproduce_the_stored_outputs(shared: Path, name: str) -> None:
    stored = np.load(shared / "reference" / f"{name}.npz")
    network = NETWORKS[name]()
    load_keras_weights(network, shared / "reference" / f"{name}.h5")
    y, denoised, deconvolved = (
        stored[key][..., 0].transpose(0, 3, 1, 2) for key in ("input", "denoised", "deconvolved")
    )  # z is last there
    margin_px = (int(stored["margin_z"]), *[int(stored["margin_xy"])] * 2)  # cut from the stored denoised volume only
    found, fine = network(torch.from_numpy(y)[:, None])
    # values up to 1.2, twenty float32 layers summed in another order
    np.testing.assert_allclose(Crop(margin_px)(found)[:, 0], denoised, atol=1e-5)
    np.testing.assert_allclose(fine[:, 0], deconvolved, atol=1e-5)


def _keras_file(path: Path, layers: dict[str, tuple[np.ndarray, np.ndarray] | None], names: list[Any]) -> Path:
    with h5py.File(path, "w") as file:
        for name, weights in layers.items():
            group = file.create_group(name)
            group.attrs["weight_names"] = [] if weights is None else [f"{name}/kernel:0", f"{name}/bias:0"]
            for suffix, values in zip(("kernel:0", "bias:0"), weights or (), strict=False):
                group[f"{name}/{suffix}"] = values
        file.attrs["layer_names"] = names
    return path


@pytest.mark.parametrize("rank", [2, 3])
def test_layers_follow_the_stored_order_and_axes_are_moved(tmp_path: Path, rank: int) -> None:
    random = np.random.default_rng(0)
    kernels = [random.random((3,) * rank + channels, np.float32) for channels in ((1, 4), (4, 2))]
    biases = [random.random(4, np.float32), random.random(2, np.float32)]
    # alphabetical order is the other way round, and a layer without weights stands between; names as old files have them
    stored = {"conv_b": (kernels[0], biases[0]), "pool": None, "conv_a": (kernels[1], biases[1])}
    path = _keras_file(tmp_path / "net.h5", stored, [b"conv_b", b"pool", b"conv_a"])
    network = layers.conv_relu(rank, (1, 4, 2))
    load_keras_weights(network, path)
    for layer, kernel, bias in zip(layers.convolutions(network), kernels, biases, strict=True):
        stored = kernel[..., 0, 1]
        np.testing.assert_array_equal(layer.weight.detach()[1, 0], stored if rank == 2 else stored.transpose(2, 0, 1))  # z is last there
        assert layer.bias is not None
        np.testing.assert_array_equal(layer.bias.detach(), bias)


def test_another_network_is_refused_and_nothing_changes(tmp_path: Path) -> None:
    good, bias = np.zeros((3, 3, 1, 4), np.float32), np.zeros(4, np.float32)
    network = layers.conv_relu(2, (1, 4, 2))
    before = [p.clone() for p in network.parameters()]
    one = _keras_file(tmp_path / "one.h5", {"a": (good, bias)}, ["a"])
    with pytest.raises(ModelError, match="1 convolutions stored, the network has 2"):
        load_keras_weights(network, one)
    wide = _keras_file(tmp_path / "wide.h5", {"a": (good, bias), "b": (np.zeros((3, 3, 4, 5), np.float32), np.zeros(5))}, ["a", "b"])
    with pytest.raises(ModelError, match=r"kernel 2 is \(5, 4, 3, 3\)"):
        load_keras_weights(network, wide)
    assert all(torch.equal(a, b) for a, b in zip(before, network.parameters(), strict=True))


def test_files_that_are_no_keras_weights_are_refused(tmp_path: Path) -> None:
    network = layers.conv(2, 1, 1)
    text = tmp_path / "notes.h5"
    text.write_text("not HDF5")
    bare = tmp_path / "bare.h5"
    h5py.File(bare, "w").close()
    for path, message in ((text, "not a Keras weight file"), (bare, "not a Keras weight file"), (tmp_path / "none.h5", "no such file")):
        with pytest.raises(ModelError, match=message) as caught:
            load_keras_weights(network, path)
        assert "\n" not in str(caught.value)


def test_layers_other_than_convolutions_are_refused(tmp_path: Path) -> None:
    normalisation = _keras_file(tmp_path / "norm.h5", {"a": (np.ones(4, np.float32), np.zeros(4, np.float32))}, ["a"])
    with pytest.raises(ModelError, match="not a kernel and a bias"):
        load_keras_weights(layers.conv(2, 1, 4), normalisation)


def test_absent_h5py_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def refuse(name: str, *args: Any, **kwargs: Any) -> Any:
        if name == "h5py":
            raise ImportError(name)
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", refuse)
    with pytest.raises(ModelError, match="pip install h5py"):
        load_keras_weights(layers.conv(2, 1, 1), tmp_path / "any.h5")
