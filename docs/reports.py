"""Four restorations whose reports differ: the examples of the page "Reading the report", made when the documentation is built.

    python docs/reports.py FOLDER

Each is a small simulated image that a user might have, restored with default options but for a shorter training. FOLDER gets a report
of each and, as pictures, the parts of them that the page shows.
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
from zsdeconv.report.page.figures import draw
from zsdeconv.report.section import Section
from zsdeconv.simulation.widefield import Scene, simulate_2d

STEPS = 500
SCENE = Scene(size=128, photons=60, structure="network", seed=11)


@dataclass(frozen=True)
class Case:
    """What a user has done: the image of a scene, changed by `handled`, and the optics that were given."""

    scene: Scene = SCENE
    wavelength_nm: float = SCENE.wavelength_nm
    handled: Callable[[zs.Image], zs.Image] = lambda image: image
    shown: str = "residuals"


def enlarged(image: zs.Image) -> zs.Image:
    """As saved by a program that doubles the pixels by interpolation."""
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
    """Reports and pictures of all cases; those that are there already are kept."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, case in CASES.items():
        page = folder / f"{name}.html"
        if not page.exists():
            report = restored(case).report(f"{name}.tif")
            picture = first_picture(report.sections, case.shown)
            (folder / f"{name}.png").write_bytes(picture)
            report.save(page)


def restored(case: Case) -> zs.Restored:
    image = case.handled(simulate_2d(case.scene).noisy)
    optics = zs.Optics(na=case.scene.na, wavelength_nm=case.wavelength_nm, immersion_ri=case.scene.immersion_ri)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DataWarning)  # what they say is in the report
        return zs.restore(image, optics, config=resolve({"training": {"steps": STEPS, "validate_every": 20}}))


def first_picture(sections: Sequence[Section], key: str) -> bytes:
    section = next(section for section in sections if section.key == key)
    return draw(section.pictures[0]).png


if __name__ == "__main__":
    make(Path(sys.argv[1]))
