"""What can be chosen of a simulated image: the options of `simulate`, and what holds where they are not given.

The scenes themselves (`zsdeconv.simulation.scenes`, `.structured`) import numpy and torch, which help pages do without. A test compares
this table with their fields and defaults.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from zsdeconv.config import OPTIONS


@dataclass(frozen=True)
class SceneOption:
    """Type, help, unit, and the heading it stands under."""

    hint: Any
    help: str
    unit: str = ""
    group: str = "Optics"


def _of_optics(name: str) -> SceneOption:
    """An option that means the same in a restoration."""
    entry = OPTIONS[name]
    return SceneOption(entry.annotation, entry.setting.help, entry.setting.unit)


_OBJECT, _IMAGE, _PATTERN, _CAMERA = "Object", "Image", "Structured illumination", "Camera"

SCENE_OPTIONS: Mapping[str, SceneOption] = {
    "structure": SceneOption(str, "filaments, vesicles, network or puncta", group=_OBJECT),
    "photons": SceneOption(float, "photo-electrons in a bright pixel", group=_OBJECT),
    "haze": SceneOption(float, "fraction of diffuse light", group=_OBJECT),
    "motion_um": SceneOption(float, "motion between frames", "micrometres", _OBJECT),
    "size": SceneOption(int, "pixels along Y and X", group=_IMAGE),
    "planes": SceneOption(int, "planes along Z", group=_IMAGE),
    "pixel_um": SceneOption(float, "pixel size in the sample", "micrometres", _IMAGE),
    "z_um": SceneOption(float, "step between planes", "micrometres", _IMAGE),
    "scan_angle_deg": SceneOption(float, "angle of the stage's motion to the camera's planes: a skewed stack", "degrees", _IMAGE),
    "scan_step_um": SceneOption(float, "step of the stage between planes, of a skewed stack", "micrometres", _IMAGE),
    "scan_reverse": SceneOption(bool, "objects move towards the last row from plane to plane, not the first", group=_IMAGE),
    "frames": SceneOption(int, "time points", group=_IMAGE),
    "seed": SceneOption(int, "same seed, same image", group=_IMAGE),
    "na": SceneOption(float, "numerical aperture"),
    "wavelength_nm": SceneOption(float, "emission wavelength", "nanometres"),
    "immersion_ri": _of_optics("immersion_ri"),
    "pupil": _of_optics("pupil"),
    "microscope": _of_optics("microscope"),
    "sheet_um": _of_optics("sheet_um"),
    "pinhole_au": _of_optics("pinhole_au"),
    "excitation_nm": SceneOption(float, "laser", "nanometres"),
    "sample_ri": _of_optics("sample_ri"),
    "depth_um": _of_optics("depth_um"),
    "directions": SceneOption(int, "directions of the pattern", group=_PATTERN),
    "phases": SceneOption(int, "phases of each direction", group=_PATTERN),
    "period_um": SceneOption(float, "period of the finest fringes", "micrometres", _PATTERN),
    "angle_deg": SceneOption(float, "direction of the first wave vector, from +x towards +y (down)", "degrees", _PATTERN),
    "modulation": SceneOption(float, "contrast of the fringes as a fraction of the greatest", group=_PATTERN),
    "bleaching": SceneOption(float, "fraction of light lost from one raw frame to the next", group=_PATTERN),
    "order": SceneOption(str, "direction-phase (all phases of a direction, then the next) or phase-direction", group=_PATTERN),
    "gain": SceneOption(float, "camera counts (ADU) per photo-electron", group=_CAMERA),
    "read_noise": SceneOption(float, "read noise", "ADU", _CAMERA),
    "offset": SceneOption(float, "camera offset", "ADU", _CAMERA),
}
"""Every option of `simulate`, by the name of the scene's field."""

_ANY: Mapping[str, Any] = {
    **{"structure": "filaments", "photons": 30.0, "haze": 0.1, "motion_um": 0.05, "frames": 1, "seed": 0},
    **{"wavelength_nm": 525.0, "immersion_ri": OPTIONS["immersion_ri"].setting.default, "pupil": "scalar"},
    **{"gain": 1.0, "read_noise": 2.0, "offset": 100.0},
}
"""The defaults that all scenes share: those of `zsdeconv.simulation.scenes.Scene`."""
_ANY_PATTERN: Mapping[str, Any] = {
    **{"directions": 3, "period_um": "1.1 x the finest that the objective makes", "angle_deg": 17.0, "modulation": 0.8},
    **{"bleaching": 0.0, "order": "direction-phase", "excitation_nm": "0.93 x emission"},
}
"""Those of every pattern: of `zsdeconv.simulation.structured.SimScene`."""

PLANE: Mapping[str, Any] = {**_ANY, "size": 256, "pixel_um": 0.065, "na": 1.4}
"""The defaults of a plane; words where the scene computes them."""
STACK: Mapping[str, Any] = {
    **_ANY,
    **{"size": 128, "planes": 24, "pixel_um": 0.1, "z_um": 0.2, "na": 1.1, "microscope": "lightsheet", "sheet_um": 1.0},
    **{name: OPTIONS[name].setting.default for name in ("pinhole_au", "excitation_nm", "sample_ri", "depth_um")},
    **{"scan_angle_deg": "none", "scan_step_um": "none", "scan_reverse": False},
}
"""Those of a stack."""
SIM_PLANE: Mapping[str, Any] = {**_ANY, **_ANY_PATTERN, "phases": 3, "size": 256, "pixel_um": 0.065, "na": 1.4}
"""Those of a plane under two beams."""
SIM_STACK: Mapping[str, Any] = {
    **_ANY,
    **_ANY_PATTERN,
    **{"phases": 5, "size": 128, "planes": 12, "pixel_um": 0.08, "z_um": 0.125, "na": 1.3},
}
"""Those of a stack under three beams."""
