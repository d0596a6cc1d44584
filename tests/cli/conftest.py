"""The command line in the same process: `zs("info", path)` gives exit code, standard output and standard error."""

import json
from dataclasses import dataclass

import numpy as np
import pytest
import tifffile
import yaml

from sim.simulator import record, two_beams
from zsdeconv.cli import main


@dataclass(frozen=True)
class Ended:
    code: int
    out: str
    err: str

    @property
    def json(self):
        return json.loads(self.out)

    @property
    def error(self):
        """The one line after `error: `, of a command that the user can mend."""
        lines = [line for line in self.err.splitlines() if not line.startswith("warning: ")]
        assert self.code == 2, f"exit code {self.code}: {self.err}"
        assert len(lines) == 1, f"not one line: {self.err}"
        assert lines[0].startswith("error: ")
        assert "Traceback" not in self.err
        return lines[0].removeprefix("error: ")

    @property
    def warnings(self):
        return [line.removeprefix("warning: ") for line in self.err.splitlines() if line.startswith("warning: ")]


@pytest.fixture
def zs(capsys):
    def run(*words):
        capsys.readouterr()
        code = main([str(word) for word in words])
        out, err = capsys.readouterr()
        return Ended(code, out, err)

    return run


@pytest.fixture
def save(tmp_path):
    """Write an array as a TIFF with a pixel size: `save("cell.tif", data)`."""

    def write(name, data, pixel_um=0.065, **options):
        path = tmp_path / name
        axes = options.pop("axes", "TYX"[-np.ndim(data) :])
        metadata = {"axes": axes} | ({} if pixel_um is None else {"PhysicalSizeX": pixel_um, "PhysicalSizeY": pixel_um})
        tifffile.imwrite(path, data, ome=True, photometric="minisblack", metadata=metadata, **options)
        return path

    return write


@pytest.fixture
def frame():
    """A camera frame of smooth blobs: offset 100, gain 1.5, read noise 2 (ADU), uint16."""
    rng = np.random.default_rng(4)
    y, x = np.mgrid[:90, :72]
    light = np.sum([60 * np.exp(-((y - j) ** 2 + (x - i) ** 2) / 50) for j, i in ((20, 30), (60, 50), (40, 12))], 0)
    return np.rint(1.5 * rng.poisson(light) + rng.normal(100, 2, light.shape)).astype(np.uint16)


@pytest.fixture(scope="session")
def tiny(tmp_path_factory):
    """Settings that train a toy network in a fraction of a second."""
    settings = {
        "network": {"channels": [4, 4]},
        "training": {"steps": 4, "patch_px": 48, "batch": 1, "validate_every": 2},
        "prediction": {"passes": 2},
        "report": False,
    }
    path = tmp_path_factory.mktemp("settings") / "tiny.yaml"
    path.write_text(yaml.safe_dump(settings))
    return path


@pytest.fixture(scope="session")
def counts():
    """Raw frames of structured illumination: 60 photons, offset 100, gain 1, read noise 2 (ADU), 3 x 3 frames of 121 x 136 pixels."""
    frames = record(two_beams(), 60, np.random.default_rng(0), (121, 136)).frames
    return np.rint(frames + 100).clip(0).astype(np.uint16)


@pytest.fixture
def raw(counts, tmp_path):
    """Their file: planes without names, and without a pixel size."""
    tifffile.imwrite(tmp_path / "raw.tif", counts, photometric="minisblack")
    return tmp_path / "raw.tif"


@pytest.fixture
def quick(tiny):
    """Options of a run that takes no time."""
    return ("--na", 1.2, "--wavelength-nm", 600, "--config", tiny)


@pytest.fixture
def cell(save, frame):
    return save("cell.tif", frame[:57, :64], 0.1)
