"""Nine kinds of image, their reports, and what the pages look like in a browser: heights in screens, and pictures.

    python benchmarks/report_pages.py make OUT [--only good movie]
    python benchmarks/report_pages.py show OUT [--only good movie]

`make` restores a small simulated image of each kind with default options except for a short training, keeps its model in OUT, and writes
its report; a model that is there is used again, so that only the report is made anew. `show` opens each report at the widths of a desktop
and of a phone, saves a picture of the first screen and one of the whole page, and prints the height of each in screens. It ends with
code 1 if a page is higher than ten screens, sticks out of the screen, loads anything or complains.
"""

import argparse
import base64
import sys
import tempfile
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

import zsdeconv as zs
from zsdeconv.config import resolve
from zsdeconv.errors import DataWarning
from zsdeconv.simulation.structured import SimScene, simulate_sim2d
from zsdeconv.simulation.widefield import Scene, StackScene, simulate_2d, simulate_3d

PLANE = Scene(size=128, photons=60, structure="network", seed=11)
STACK = StackScene(size=64, planes=12, photons=80, seed=3)
PATTERN = SimScene(size=96, photons=300, seed=2)
SCREENS_PX = {"desktop": (1280, 800), "phone": (400, 800)}
MAX_SCREENS = 10


@dataclass(frozen=True)
class Kind:
    """An image, the lens that the restoration is told of, and further settings."""

    image: Callable[[], zs.Image]
    optics: zs.Optics | None = PLANE.optics
    steps: int = 160
    settings: Mapping[str, Any] = field(default_factory=dict)


def plane(**changes: Any) -> zs.Image:
    return simulate_2d(replace(PLANE, **changes)).noisy


def enlarged() -> zs.Image:
    """An image whose pixels a program has doubled by interpolation."""
    from scipy.ndimage import zoom

    image = plane(size=96)
    data = np.asarray(zoom(image.data.astype(np.float64), 2, order=3)).round().clip(0).astype(np.uint16)
    return replace(image, data=data, spacing_um={axis: um / 2 for axis, um in image.spacing_um.items()})


def multiplied() -> zs.Image:
    """An image of an electron multiplier at five electrons in a bright pixel."""
    clean, rng = simulate_2d(replace(PLANE, photons=5)).clean, np.random.default_rng(5)
    counts = rng.poisson(np.maximum(clean.data, 0))
    adu = 30 * rng.gamma(np.maximum(counts, 1e-9)) * (counts > 0) + rng.normal(490, 8, counts.shape)
    return replace(clean, data=np.rint(adu).clip(0, 65535).astype(np.uint16), offset=None)


def channels() -> zs.Image:
    """Three structures in three colours at three light levels."""
    seen = (("network", 60, 460), ("filaments", 20, 525), ("puncta", 8, 605))
    parts = [plane(size=96, structure=name, photons=photons, wavelength_nm=nm) for name, photons, nm in seen]
    data = np.stack([part.data for part in parts])
    return replace(parts[0], data=data, axes="CYX", metadata={"channels": ["ER", "microtubules", "vesicles"]})


KINDS = {
    "good": Kind(plane),
    "dim": Kind(lambda: plane(photons=4)),
    "wrong_psf": Kind(plane, replace(PLANE.optics, wavelength_nm=1.25 * PLANE.wavelength_nm)),
    "correlated": Kind(enlarged),
    "emccd": Kind(multiplied),
    "movie": Kind(lambda: plane(size=96, frames=8, structure="puncta")),
    "stack": Kind(lambda: simulate_3d(STACK).noisy, STACK.optics, 80, {"training": {"patch_planes": 8}}),
    "sim": Kind(lambda: simulate_sim2d(PATTERN).noisy, PATTERN.optics, 100, {"modality": "sim2d"}),
    "channels": Kind(channels, None, 64, {"optics": {"na": PLANE.na, "wavelength_nm": [460, 525, 605]}}),
}


def trained(name: str, image: zs.Image, path: Path) -> zs.Model:
    """The model of a kind, from its file where there is one."""
    kind = KINDS[name]
    if not path.exists():
        training = {"steps": kind.steps, "validate_every": 8, **kind.settings.get("training", {})}
        zs.train([image], kind.optics, config=resolve({**kind.settings, "training": training})).save(path)
    return zs.load(path)


def make(folder: Path, names: Sequence[str]) -> None:
    """Restore the images of these kinds, and write their reports."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        image = KINDS[name].image()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DataWarning)  # the report says the same
            restored = trained(name, image, folder / f"{name}.zsd").predict(image)
            restored.report(f"{name}.tif").save(folder / f"{name}.html", overwrite=True)
        print(f"{name}: {folder / name}.html", flush=True)


def show(folder: Path, names: Sequence[str]) -> bool:
    """Picture and measure the pages, and say whether all of them keep the rules."""
    sys.path.append(str(Path(__file__).parents[1] / "tests"))
    from report.browser import browser  # pyright: ignore[reportMissingImports]

    with tempfile.TemporaryDirectory() as profile, browser(Path(profile)) as opened:
        print("| page | screens, desktop | screens, phone |\n|---|---|---|")
        results = {name: [_shown(opened, folder / f"{name}.html", size) for size in SCREENS_PX] for name in names}
    for name, screens in results.items():
        print(f"| {name} | " + " | ".join(f"{count:.1f}" for count in screens) + " |")
    return all(count < MAX_SCREENS for screens in results.values() for count in screens)


def _shown(opened: Any, page: Path, size: str) -> float:
    """Height of a page in screens; pictures of it lie beside it."""
    width, height = SCREENS_PX[size]
    opened.open(page, width_px=width, height_px=height)
    opened.value("Promise.all([...document.images].map(image => image.decode().catch(() => 0))).then(() => true)")
    tall = float(opened.value("document.documentElement.scrollHeight"))
    if opened.value("document.documentElement.scrollWidth") > width or opened.complaints() or opened.requests():
        raise SystemExit(f"{page} at {width} pixels: {opened.complaints() or opened.requests() or 'sticks out of the screen'}")
    for part, pixels in (("first", height), ("whole", tall)):
        clip = {"x": 0, "y": 0, "width": width, "height": pixels, "scale": 1}
        shot = opened.ask("Page.captureScreenshot", format="png", captureBeyondViewport=True, clip=clip)
        page.with_name(f"{page.stem}_{size}_{part}.png").write_bytes(base64.b64decode(shot["data"]))
    return tall / height


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("task", choices=("make", "show"))
    parser.add_argument("out", type=Path)
    parser.add_argument("--only", nargs="+", choices=KINDS, default=list(KINDS))
    asked = parser.parse_args()
    if asked.task == "make":
        make(asked.out, asked.only)
    elif not show(asked.out, asked.only):
        sys.exit(1)


if __name__ == "__main__":
    main()
