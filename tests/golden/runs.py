"""The golden runs: small restorations of every kind whose results were stored once and must not change.

`python tests/golden/runs.py` stores them anew (`make golden`), which only a change of the numbers that is meant may ask for.
"""

import hashlib
import json
import platform
import sys
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

FOLDER = Path(__file__).parent
STORED = FOLDER / "runs.json"
STRIDE = 97
"""Every so many pixels are stored, for machines that round differently."""
TINY = {"network": {"channels": [4, 8]}, "prediction": {"passes": 2}, "device": "cpu", "seed": 3}


@dataclass(frozen=True)
class Run:
    """What is simulated (`scene`), how it is restored (`settings`), whether it is judged, and whether version 0.1.0 left a model of it,
    of another scene where `first_scene` says so: patterns of smaller fields are refused today.
    """

    scene: Callable[[], Any]
    settings: Mapping[str, Any] = field(default_factory=dict)
    judged: bool = True
    model: bool = False
    first_scene: Callable[[], Any] | None = None


def plane(**options: Any) -> Any:
    from zsdeconv.simulation.scenes import Scene
    from zsdeconv.simulation.widefield import simulate_2d

    return simulate_2d(Scene(**{"size": 72, "photons": 60.0, "structure": "network", "seed": 4} | options)).noisy


def stack(**options: Any) -> Any:
    from zsdeconv.simulation.scenes import StackScene
    from zsdeconv.simulation.widefield import simulate_3d

    return simulate_3d(StackScene(**{"size": 40, "planes": 10, "photons": 80.0, "seed": 4} | options)).noisy


def fringes(**options: Any) -> Any:
    from zsdeconv.simulation.structured import SimScene, simulate_sim2d

    return simulate_sim2d(SimScene(**{"size": 72, "photons": 300.0, "seed": 4, "structure": "network"} | options)).noisy


def fringed_stack(**options: Any) -> Any:
    from zsdeconv.simulation.structured import SimStackScene, simulate_sim3d

    return simulate_sim3d(SimStackScene(**{"size": 80, "planes": 8, "photons": 2000.0, "seed": 5, "modulation": 0.9} | options)).noisy


def steps(count: int, **training: Any) -> dict[str, Any]:
    return {"steps": count, "patch_px": 24, "batch": 2, "validate_every": 2, **training}


def deep(count: int, **training: Any) -> dict[str, Any]:
    return steps(count, patch_planes=4, **training)


WATER = {"na": 1.1, "wavelength_nm": 525, "microscope": "lightsheet", "sheet_um": 1.0}
RUNS = {
    "2d-fast": Run(plane, {"optics": {"na": 1.4, "wavelength_nm": 525}, "training": steps(8)}, model=True),
    "2d-paper": Run(plane, {"preset": "paper", "optics": {"na": 1.4, "wavelength_nm": 525}, "training": steps(2, margin_px=2)}),
    "2d-movie": Run(lambda: plane(frames=5, size=64), {"optics": {"na": 1.4, "wavelength_nm": 525}, "training": steps(6)}),
    "2d-ensemble": Run(
        plane, {"optics": {"na": 1.4, "wavelength_nm": 525}, "scale": 1, "training": steps(4, ensemble=2)}, judged=False, model=True
    ),
    "3d-fast": Run(stack, {"optics": WATER, "training": deep(6)}, model=True),
    "3d-interleave": Run(stack, {"optics": WATER, "pairs": {"kind": "interleave"}, "training": deep(4)}, judged=False),
    "3d-paper": Run(stack, {"preset": "paper", "optics": WATER, "training": deep(1, margin_px=2, margin_planes=0)}, judged=False),
    "3d-paper-recorrupt": Run(
        stack, {"preset": "paper", "optics": WATER, "pairs": {"kind": "recorrupt"}, "training": deep(1)}, judged=False
    ),
    "sim2d-fast": Run(
        fringes,
        {"modality": "sim2d", "optics": {"na": 1.4, "wavelength_nm": 525}, "training": steps(6, patch_px=32)},
        model=True,
        first_scene=lambda: fringes(structure="filaments"),
    ),
    "sim2d-paper": Run(
        fringes,
        {"modality": "sim2d", "preset": "paper", "optics": {"na": 1.4, "wavelength_nm": 525}, "training": steps(1, patch_px=32)},
        judged=False,
    ),
    "sim3d-fast": Run(
        fringed_stack,
        {"modality": "sim3d", "optics": {"na": 1.3, "wavelength_nm": 525}, "training": deep(4)},
        model=True,
        first_scene=lambda: fringed_stack(size=64, seed=2),
    ),
    "sim3d-paper": Run(
        fringed_stack,
        {"modality": "sim3d", "preset": "paper", "optics": {"na": 1.3, "wavelength_nm": 525}, "training": deep(1)},
        judged=False,
    ),
    "sim3d-interleave": Run(
        fringed_stack,
        {"modality": "sim3d", "optics": {"na": 1.3, "wavelength_nm": 525}, "pairs": {"kind": "interleave"}, "training": deep(2)},
        judged=False,
    ),
    "sim3d-reconstructed": Run(
        lambda: stack(planes=12),
        {"modality": "sim3d", "sim": {"reconstructed": True}, "optics": WATER, "training": deep(2)},
        judged=False,
    ),
}


def restored(run: Run) -> Any:
    """The result of a run, in single precision whatever the processor is fast in."""
    import torch

    import zsdeconv as zs
    from zsdeconv.config import resolve
    from zsdeconv.training import trainer

    torch.set_num_threads(1)
    before, trainer.precision_for = trainer.precision_for, lambda device: "32-true"
    try:
        low = TINY
        if run.settings.get("preset") == "paper":  # whose networks have the published channels
            low = {key: value for key, value in TINY.items() if key != "network"}
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return zs.restore(run.scene(), config=resolve(merged(low, run.settings)))
    finally:
        trainer.precision_for = before


def merged(low: Mapping[str, Any], high: Mapping[str, Any]) -> dict[str, Any]:
    both = {key: merged(low[key], value) for key, value in high.items() if isinstance(value, Mapping) and isinstance(low.get(key), Mapping)}
    return {**low, **high, **both}


def measured(result: Any, run: Run) -> dict[str, Any]:
    """What is stored of a result: of each image its size, a hash and some pixels; and the report's numbers."""
    images = {}
    for name, image in result.images().items():
        data = np.ascontiguousarray(image.data, np.float32)
        images[name] = {
            "axes": image.axes,
            "shape": list(data.shape),
            "spacing_um": dict(image.spacing_um),
            "sha256": hashlib.sha256(data.tobytes()).hexdigest(),
            "pixels": [float(v) for v in data.ravel()[::STRIDE]],
        }
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        report = result.report("golden").to_dict() if run.judged else {}
    return {"images": images, "report": json.loads(json.dumps(report, default=float))}


def machine() -> dict[str, str]:
    """What decides how numbers are rounded."""
    import scipy
    import torch

    capability = torch.backends.cpu.get_cpu_capability()
    return {"torch": torch.__version__, "numpy": np.__version__, "scipy": scipy.__version__, "cpu": capability, "model": processor()}


def processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor()
    return "; ".join(sorted({line.partition(":")[2].strip() for line in lines if line.startswith(("model", "cpu family", "stepping"))}))


def main(names: list[str]) -> None:
    stored: dict[str, Any] = json.loads(STORED.read_text(encoding="utf-8")) if STORED.exists() else {"runs": {}}
    stored["machine"] = machine() if not names or stored.get("machine") == machine() else "several"  # then no test asks for the last bit
    for name in names or list(RUNS):
        run = RUNS[name]
        result = restored(run)
        stored["runs"][name] = measured(result, run)
        sys.stdout.write(f"{name}\n")
    STORED.write_text(json.dumps(stored, indent=None, separators=(",", ":")) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
