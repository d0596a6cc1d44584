"""A new modality is one acquisition class and one row, a new network one class and one row: both are used from the command line."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self

import numpy as np
import pytest
import tifffile
import torch
import yaml
from torch import Tensor, nn

import zsdeconv as zs
from zsdeconv.acquisition.base import Recording
from zsdeconv.acquisition.direct import CameraMeasurement, DirectAcquisition
from zsdeconv.camera.detector import Camera
from zsdeconv.cli import main
from zsdeconv.data.normalize import Affine
from zsdeconv.modality import MODALITIES, Modality
from zsdeconv.nn.contract import RestorationNetwork
from zsdeconv.physics import grid
from zsdeconv.prediction.uncertainty import ErrorLaw
from zsdeconv.training.networks import NETWORKS, NetworkKind, two_phases

pytestmark = pytest.mark.filterwarnings("ignore::zsdeconv.errors.DataWarning")  # a small image says little about its camera


class DoubledDetector(DirectAcquisition):
    """A two-photon microscope whose light falls on two equal detectors: a sample has two raw frames, and their sum is the image."""

    raw_frame_axis = "P"

    @classmethod
    def prepare(cls, recording: Recording) -> tuple[Self, dict[str, str]]:
        acquisition, origins = super().prepare(recording)
        single = acquisition.detector
        both = Camera(2 * single.offset, single.gain, 2 * single.read_variance)
        unit = Affine(both.offset, 2 * acquisition.unit.scale)
        return cls(unit, both, acquisition.psf, acquisition.scale, optics=acquisition.optics), origins

    def measure(self, frames: np.ndarray, device: torch.device, origin_px: Sequence[int] = ()) -> CameraMeasurement:
        return super().measure(frames.astype(np.float64).sum(0), device)


class MeanNetwork(nn.Module):
    """Stage 1 is a scaled local mean, stage 2 a scaled enlargement."""

    halo_px, stride_px, symmetries = 2, 1, 1

    def __init__(self) -> None:
        super().__init__()
        self.stage1, self.stage2 = nn.Conv2d(1, 1, 1), nn.Conv2d(1, 1, 1)

    def forward(self, x: Tensor, stage: int = 2, symmetry: int = 0) -> tuple[Tensor, Tensor]:
        denoised = self.stage1(grid.smooth(x))
        return denoised, self.stage2(grid.upsample(denoised.detach(), (2, 2))) if stage == 2 else denoised


def settings(folder: Path, **changes: Any) -> Path:
    values = {
        "optics": {"na": 1.0, "wavelength_nm": 525, "microscope": "twophoton", "excitation_nm": 920},
        "training": {"steps": 4, "patch_px": 16, "batch": 1, "validate_every": 2},
        "prediction": {"passes": 2},
        "device": "cpu",
        **changes,
    }
    (folder / "settings.yaml").write_text(yaml.safe_dump(values))
    return folder / "settings.yaml"


def detectors() -> np.ndarray:
    """Two frames of the same light, 33 x 40 pixels, offset 100 ADU, gain 1."""
    rng = np.random.default_rng(4)
    light = 5 + 60 * np.exp(-((np.mgrid[:33, :40][0] - 15) ** 2) / 20)
    return (rng.poisson(light, (2, *light.shape)) + rng.normal(100, 2, (2, *light.shape))).round().astype(np.uint16)


def test_a_modality_in_one_class_and_one_row_restores_from_the_command_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(MODALITIES, "doubled", Modality("doubled", DoubledDetector, "YX", ErrorLaw(pass_spread=1.7, brightness=0.02)))
    tifffile.imwrite(tmp_path / "two.tif", detectors(), photometric="minisblack")
    config = settings(tmp_path, network={"channels": [4, 4]})
    known = ["--modality", "doubled", "--axes", "PYX", "--pixel-um", "0.1", "--background", "100"]
    monkeypatch.chdir(tmp_path)
    assert main(["run", "two.tif", "-o", "out", *known, "--config", config.name, "-q"]) == 0
    assert (tmp_path / "out" / "two_report.html").exists()
    denoised = zs.read(tmp_path / "out" / "two_denoised.ome.tif")
    light = detectors().astype(float).sum(0) - 200
    assert denoised.axes == "YX" and denoised.data.shape == (33, 40)
    assert denoised.data.mean() == pytest.approx(light.mean(), rel=0.2)  # four steps of training
    model = zs.load(tmp_path / "out" / "two.zsd")
    assert isinstance(model.acquisition, DoubledDetector) and model.camera.offset == 200
    again = model.predict(zs.read(tmp_path / "two.tif", axes="PYX", pixel_um=0.1))
    np.testing.assert_allclose(again.denoised.data, denoised.data, rtol=1e-5, atol=1e-3)


def test_a_network_in_one_class_and_one_row_restores_from_the_command_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(NETWORKS, "mean", NetworkKind(lambda *_: MeanNetwork(), two_phases, frozenset()))
    tifffile.imwrite(tmp_path / "one.tif", detectors()[0], photometric="minisblack")
    config = settings(tmp_path, network={"kind": "mean"})
    monkeypatch.chdir(tmp_path)
    assert main(["run", "one.tif", "-o", "out", "--axes", "YX", "--pixel-um", "0.1", "--config", config.name, "-q"]) == 0
    model = zs.load(tmp_path / "out" / "one.zsd")
    assert isinstance(model.network, MeanNetwork) and isinstance(model.network, RestorationNetwork)
    assert zs.read(tmp_path / "out" / "one_deconvolved.ome.tif").data.shape == (66, 80)


@pytest.mark.parametrize("kind", ["fast", "unet", "rcan", "rcan-sim"])
def test_every_network_keeps_the_contract(kind: str) -> None:
    from zsdeconv.config import resolve
    from zsdeconv.physics.operators import Downsample
    from zsdeconv.training.networks import make_network

    config = resolve({"network": {"kind": kind, **({"channels": (4, 8)} if kind == "fast" else {})}})
    network = make_network(config, 2, Downsample(2, 2), 2)
    assert isinstance(network, RestorationNetwork)
    own = {id(p) for part in (network.stage1, network.stage2) for p in part.parameters()}
    assert own == {id(p) for p in network.parameters()}
    denoised, deconvolved = network(torch.rand(1, 1, 9, 12), stage=2, symmetry=0)
    assert denoised.shape == (1, 1, 9, 12) and deconvolved.shape == (1, 1, 18, 24)
