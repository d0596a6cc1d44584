"""The folders of the benchmark: what is known of a case, as the program is told it. Shared by the scripts beside it."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
import yaml
from scipy.ndimage import gaussian_filter

import zsdeconv as zs
from zsdeconv.cli.restore import read_input
from zsdeconv.config import Config, resolve
from zsdeconv.notation import FWHM_PER_SIGMA
from zsdeconv.physics.psf_check import fwhms_um

OPTICS = {"na": "na", "wavelength_nm": "wavelength_nm", "ri": "immersion_ri", "sheet_um": "sheet_um", "excitation_nm": "excitation_nm"}
"""Their names in case.yaml and in a configuration."""


def facts(case: Path) -> dict[str, Any]:
    return yaml.safe_load((case / "case.yaml").read_text())


def find_cases(folders: Iterable[Path], modality: str, only: Sequence[str] | None) -> list[Path]:
    """Case folders of one modality under `folders`, in the order of their names."""
    cases = {p.parent for folder in folders for p in folder.glob("*/case.yaml")}
    wanted = [c for c in cases if facts(c)["modality"] == modality and (not only or c.name in only)]
    return sorted(wanted, key=lambda c: c.name)


def configuration(case: Path, **training: Any) -> Config:
    """Of a user who knows the microscope and not the camera."""
    known = facts(case)
    optics = {ours: known[theirs] for theirs, ours in OPTICS.items() if theirs in known}
    optics |= {"microscope": "lightsheet"} if "sheet_um" in known else {}
    *axial, _, pixel_um = known["pixel_um"]
    return resolve(
        {
            "modality": known["modality"],
            "optics": optics,
            "input": {"pixel_um": pixel_um} | ({"z_um": axial[0]} if axial else {}),
            "sim": {name: known[name] for name in ("directions", "phases") if name in known},
            "training": training,
        }
    )


def recorded(case: Path) -> zs.Image:
    """Its noisy image."""
    return read_input(case / "noisy.tif", configuration(case))


def wanted(case: Path, model: zs.Model) -> np.ndarray:
    """The truth at the resolution that the network is asked for: `training.target_fwhm_fraction` of the width of the PSF, laterally.

    Objects are asked for at their own planes.
    """
    share = model.config.training.target_fwhm_fraction
    widths = [share * um / step / FWHM_PER_SIGMA for um, step in zip(fwhms_um(model.psf), model.psf.spacing_um, strict=True)]
    return gaussian_filter(np.squeeze(tifffile.imread(case / "truth.tif")).astype(float), [*[0.0] * (len(widths) - 2), *widths[-2:]])
