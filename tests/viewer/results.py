"""Results as `run` writes them, without a training: arrays of known values under the names of its files."""

from pathlib import Path
from typing import Any

import numpy as np

import zsdeconv as zs
from zsdeconv.config import resolve
from zsdeconv.image import Image
from zsdeconv.io import write

OFFSET_ADU = 100.0
PIXEL_UM = 0.1


def doubled(data: np.ndarray) -> np.ndarray:
    """On a grid twice as fine along y and x."""
    return data.repeat(2, -2).repeat(2, -1)


def make_result(folder: Path, light: np.ndarray, axes: str = "YX", name: str = "cell", ending: str = ".ome.tif", **changes: Any) -> Path:
    """A recorded image `folder/data/NAME.tif` of `light` (ADU above the offset) and its result in `folder/restored`, which is returned.

    Denoised is the light, deconvolved the same on the fine grid, uncertainty a tenth of it; `changes` are metadata.
    """
    spacing = {"Y": PIXEL_UM, "X": PIXEL_UM} | ({"Z": 0.3} if "Z" in axes else {})
    recorded = Image((light + OFFSET_ADU).astype(np.float32), axes, spacing, None, changes)
    raw = write(folder / "data" / f"{name}.tif", recorded, provenance={}, overwrite=True)
    said = {
        "input": raw.name,
        "path": f"../data/{raw.name}",
        "pixels": zs.read(raw).fingerprint(),
        "config": resolve({}).model_dump(mode="json"),
    }
    if "C" in axes:
        names = [str(each) for each in changes["channels"]]
        said["channels"] = {each: {"camera": {"offset_adu": OFFSET_ADU}} for each in names}
    else:
        said |= {"camera": {"offset_adu": OFFSET_ADU - 1}, "offset_correction_adu": 1.0}
    fine_um = spacing | {"Y": PIXEL_UM / 2, "X": PIXEL_UM / 2}
    images = {"denoised": (light, spacing), "deconvolved": (doubled(light), fine_um), "uncertainty": (doubled(light) / 10, fine_um)}
    for kind, (data, um) in images.items():
        image = Image(data.astype(np.float32), axes, um, 0.0, {**changes, "kind": kind})
        write(folder / "restored" / f"{name}_{kind}{ending}", image, provenance=said, overwrite=True)
    return folder / "restored"


def steps(shape: tuple[int, ...] = (24, 32)) -> np.ndarray:
    """Light with a dark quarter, a dim and a bright one, and one of 100 ADU."""
    light = np.zeros(shape, np.float32)
    ny, nx = shape[-2] // 2, shape[-1] // 2
    light[..., :ny, nx:] = 10
    light[..., ny:, :nx] = 100
    light[..., ny:, nx:] = 1000
    return light
