"""Four restorations with different reports: the examples of the page "Reading the report", made with the documentation.

    python docs/reports.py FOLDER

Each is a small simulated image, restored with default options except for a shorter training. FOLDER gets the report of each and, as an
image, the figure of it that the page shows.
"""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

import zsdeconv as zs
from zsdeconv.config import resolve
from zsdeconv.errors import DataWarning
from zsdeconv.report.page.figures import render_figure
from zsdeconv.report.section import Section
from zsdeconv.simulation.widefield import Scene, simulate_2d

STEPS = 500
"""Steps of a training. Chosen: the documentation is built in minutes."""
SCENE = Scene(size=128, photons=60, structure="network", seed=11)


@dataclass(frozen=True)
class Case:
    """The input of a restoration: the image of a scene, changed by `handled`, and the given wavelength; `shown` is the key of a check."""

    scene: Scene = SCENE
    wavelength_nm: float = SCENE.wavelength_nm
    handled: Callable[[zs.Image], zs.Image] = lambda image: image
    shown: str = "residuals"


def enlarged(image: zs.Image) -> zs.Image:
    """The image after a program has doubled its pixels by interpolation."""
    from scipy.ndimage import zoom

    data = np.asarray(zoom(image.data.astype(np.float64), 2, order=3)).round().clip(0).astype(np.uint16)
    return replace(image, data=data, spacing_um={axis: um / 2 for axis, um in image.spacing_um.items()})


CASES = {
    "good": Case(),
    "wrong_psf": Case(wavelength_nm=1.25 * SCENE.wavelength_nm, shown="psf"),
    "correlated": Case(scene=replace(SCENE, size=96), handled=enlarged, shown="camera"),
    "noise_limited": Case(scene=replace(SCENE, photons=4), shown="resolution"),
}


def make(folder: Path) -> None:
    """Write reports and figures of all cases; existing ones are kept."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, case in CASES.items():
        page = folder / f"{name}.html"
        if not page.exists():
            report = restored(case).report(f"{name}.tif")
            (folder / f"{name}.png").write_bytes(first_figure(report.sections, case.shown))
            report.save(page)


def restored(case: Case) -> zs.Restored:
    image = case.handled(simulate_2d(case.scene).noisy)
    optics = zs.Optics(na=case.scene.na, wavelength_nm=case.wavelength_nm, immersion_ri=case.scene.immersion_ri)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DataWarning)  # the report contains the same
        return zs.restore(image, optics, config=resolve({"training": {"steps": STEPS, "validate_every": 20}}))


def first_figure(sections: Sequence[Section], key: str) -> bytes:
    section = next(section for section in sections if section.key == key)
    return render_figure(section.figures[0]).png


if __name__ == "__main__":
    make(Path(sys.argv[1]))
