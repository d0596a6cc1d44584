"""Every setting either changes the result or is refused, in every modality, preset and kind of pairs."""

import warnings
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

import zsdeconv as zs
from golden import runs
from zsdeconv.config import Config, resolve
from zsdeconv.config.relevance import NEEDS, leaves
from zsdeconv.errors import UserError
from zsdeconv.image import Image
from zsdeconv.modality import select
from zsdeconv.prepare import prepare

RESOURCES = {"device", "report", "prediction.tile", "prediction.overlap", "prediction.batch"}
"""Settings of the computation, which must not change the result: tiles agree with the whole to rounding."""
ELSEWHERE = {
    "input.axes",
    "input.camera",
    "input.crop",
    "input.channel",
    "input.scene",
    "modality",
    "preset",
    "pairs.kind",
    "sim.reconstructed",
    "sim.parameters",
    "optics.psf",
    "optics.otf",
    "sim.order",
}
"""Dimensions of the table itself, files, and what changes how frames are read; each has tests of its own."""
OTHERS: dict[str, Any] = {
    "scale": 1,
    "seed": 5,
    "input.pixel_um": 1.03,
    "input.z_um": 1.03,
    "input.scan_angle_deg": 38.0,
    "input.scan_step_um": 0.33,
    "input.scan_reverse": True,
    "input.background": 98.0,
    "input.detector": "emccd",
    "optics.na": 1.03,
    "optics.wavelength_nm": 560.0,
    "optics.immersion_ri": 1.4,
    "optics.pupil": "vectorial",
    "optics.psf_pixel_um": 0.05,
    "optics.psf_z_um": 0.2,
    "optics.microscope": "twophoton",
    "optics.sheet_um": 1.4,
    "optics.pinhole_au": 0.8,
    "optics.excitation_nm": 470.0,
    "optics.sample_ri": 1.38,
    "optics.depth_um": 3.0,
    "sim.directions": 2,
    "sim.phases": 4,
    "sim.angles_deg": (17.0, 77.0, 137.0),
    "sim.period_um": 0.21,
    "sim.per_frame": True,
    "sim.wiener": 0.7,
    "pairs.alpha": (1.2, 1.3),
    "pairs.beta1_factor": (0.9, 1.1),
    "pairs.beta2_factor": (1.0, 1.1),
    "network.kind": "rcan",
    "network.channels": (4, 6),
    "network.lateral_first": True,
    "network.coarse_start": True,
    "loss.mu": 0.3,
    "loss.lambda_hessian": 0.07,
    "loss.gamma": 0.4,
    "loss.norm": "l2",
    "training.patch_px": 16,
    "training.patch_planes": 3,
    "training.margin_px": 1,
    "training.margin_planes": 1,
    "training.batch": 1,
    "training.optimizer": "adam",
    "training.learning_rate": 3e-3,
    "training.schedule": "halving",
    "training.halve_from": 1,
    "training.halve_every": 1,
    "training.steps": 3,
    "training.minutes": 0.004,
    "training.memory_bound": 0.02,
    "training.stage2_fraction": 0.7,
    "training.target_fwhm_fraction": 0.6,
    "training.validate_every": 1,
    "training.patience": 1,
    "training.ensemble": 2,
    "prediction.passes": 3,
    "prediction.deskew": False,
    "prediction.destripe": "X",
    "prediction.stripe_width_um": 0.5,
    "prediction.stripe_length_um": 3.0,
}
"""Another value of each setting than the presets have; of those in `FACTORS` another factor on what the image and its lens have."""
FACTORS = {"input.pixel_um", "input.z_um", "optics.na"}
"""What can differ by little only, for the PSF must fit into a small image and the fringes must pass the lens."""
SECOND: dict[str, Any] = {
    "network.kind": "unet",
    "network.lateral_first": False,
    "network.coarse_start": False,
    "loss.norm": "l1",
    "training.optimizer": "muon",
    "training.schedule": "cosine",
}
"""And what is given instead where a preset has it."""
TOGETHER: dict[str, dict[str, Any]] = {
    "optics.sheet_um": {"optics": {"microscope": "lightsheet"}},
    "optics.pinhole_au": {"optics": {"microscope": "confocal"}},
    "optics.excitation_nm": {"optics": {"microscope": "confocal"}},
    "optics.sample_ri": {"optics": {"depth_um": 3.0}},
    "optics.depth_um": {"optics": {"sample_ri": 1.38}},
    "training.halve_from": {"training": {"schedule": "halving"}},
    "training.halve_every": {"training": {"schedule": "halving", "halve_from": 1}},
    "prediction.stripe_width_um": {"prediction": {"destripe": "X"}},
    "prediction.stripe_length_um": {"prediction": {"destripe": "X"}},
}
"""Settings that make another one able to act, in the run with it and in the run that it is compared with."""
OWN_STEPS = {
    "training.steps",
    "training.minutes",
    "training.patience",
    "training.validate_every",
    "training.halve_from",
    "training.halve_every",
}
LENS = {"na": 1.0, "wavelength_nm": 525.0}
SMALL = {"network": {"channels": (4, 8)}, "prediction": {"passes": 1}}
"""What makes runs of the fast preset short."""
OIL = {"optics": {"na": 1.3, "wavelength_nm": 525.0}}


def paths(section: Any = Config, prefix: str = "") -> Iterator[str]:
    for name, field in section.model_fields.items():
        if hasattr(field.annotation, "model_fields"):
            yield from paths(field.annotation, f"{name}.")
        else:
            yield f"{prefix}{name}"


def nested(path: str, value: Any) -> dict[str, Any]:
    section, _, name = path.rpartition(".")
    return {section: {name: value}} if section else {name: value}


def another(path: str, image: Image, settings: Mapping[str, Any]) -> Any:
    """Another value of a setting than it has in a run with `settings`."""
    if path in FACTORS:
        own = {"input.pixel_um": image.spacing_um["X"], "input.z_um": image.spacing_um.get("Z", 1.0)}
        return OTHERS[path] * own.get(path, settings.get("optics", LENS)["na"])
    used: Any = select(resolve(settings), [image])[1]
    for name in path.split("."):
        used = getattr(used, name)
    return SECOND[path] if used == OTHERS[path] else OTHERS[path]


def plane() -> Image:
    return runs.plane(size=33, haze=0.0)


def stack() -> Image:
    return runs.stack(size=33, planes=9)


def skewed() -> Image:
    return runs.stack(size=33, planes=9, scan_angle_deg=31.5, scan_step_um=0.3)


def fringes() -> Image:
    return runs.fringes(size=72, photons=2000.0, frames=2)


def fringed_stack() -> Image:
    return runs.fringed_stack()


CONTEXTS: dict[str, tuple[Any, dict[str, Any]]] = {
    "2d-fast": (plane, SMALL),
    "2d-paper": (plane, {"preset": "paper"}),
    "3d-fast": (stack, {**SMALL, "pairs": {"kind": "recorrupt"}}),
    "3d-fast-interleave": (stack, {**SMALL, "pairs": {"kind": "interleave"}}),
    "3d-fast-skewed": (
        skewed,
        {**SMALL, "input": {"scan_angle_deg": 31.5, "scan_step_um": 0.3}, "optics": {**LENS, "microscope": "lightsheet", "sheet_um": 1.0}},
    ),
    "3d-paper": (stack, {"preset": "paper", "pairs": {"kind": "recorrupt"}}),
    "3d-paper-interleave": (stack, {"preset": "paper", "pairs": {"kind": "interleave"}}),
    "sim2d-fast": (fringes, {**SMALL, "modality": "sim2d"}),
    "sim2d-paper": (fringes, {"modality": "sim2d", "preset": "paper"}),
    "sim3d-fast": (fringed_stack, {"modality": "sim3d", **OIL, **SMALL, "pairs": {"kind": "recorrupt"}}),
    "sim3d-fast-interleave": (fringed_stack, {"modality": "sim3d", **OIL, **SMALL, "pairs": {"kind": "interleave"}}),
}
REFUSED = {
    "2d-fast": {
        *(
            "input.z_um",
            "input.scan_angle_deg",
            "input.scan_step_um",
            "input.scan_reverse",
            "prediction.deskew",
            "optics.psf_pixel_um",
            "optics.psf_z_um",
            "network.lateral_first",
            "loss.mu",
            "loss.lambda_hessian",
            "loss.gamma",
            "loss.norm",
            "pairs.beta1_factor",
            "pairs.beta2_factor",
        ),
        *("training.patch_planes", "training.margin_px", "training.margin_planes", "training.halve_from", "training.halve_every"),
        *("prediction.stripe_width_um", "prediction.stripe_length_um", "sim.wiener", "sim.per_frame", "sim.angles_deg", "sim.period_um"),
        *("sim.directions", "sim.phases"),
    },
    "3d-paper-interleave": {
        *("pairs.alpha", "pairs.beta1_factor", "pairs.beta2_factor", "network.channels", "network.lateral_first", "network.coarse_start"),
        "prediction.deskew",
        "training.margin_planes",  # half a stack of nine planes has room for none
        *(
            "training.memory_bound",
            "training.stage2_fraction",
            "training.target_fwhm_fraction",
            "optics.psf_pixel_um",
            "optics.psf_z_um",
            "sim.wiener",
        ),
        *("prediction.stripe_width_um", "prediction.stripe_length_um", "sim.per_frame", "sim.angles_deg", "sim.period_um"),
        *("sim.directions", "sim.phases"),
    },
}
"""Settings that cannot act, of two contexts."""


def outcome(image: Image, settings: Mapping[str, Any]) -> bytes | str:
    """The bits of the result and of its description, or the sentence that refuses a setting."""
    tiny = {"network": {}, "training": {"steps": 4, "patch_px": 12, "validate_every": 5}, "optics": LENS, "device": "cpu"}
    torch.set_num_threads(1)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            result = zs.restore(image, config=resolve(runs.merged(tiny, settings)))
    except UserError as fault:
        return str(fault)
    arrays = b"".join(np.ascontiguousarray(part.data).tobytes() + repr(part.spacing_um).encode() for part in result.images().values())
    return arrays + repr((result.model.psf.source, result.model.acquisition.optics)).encode()


@pytest.mark.slow
@pytest.mark.parametrize("name", CONTEXTS)
def test_each_setting_changes_the_result_or_is_refused(name: str) -> None:
    make, context = CONTEXTS[name]
    image, baselines, silent = make(), {}, []
    for path in OTHERS:
        extra = TOGETHER.get(path, {})
        base = runs.merged(context, extra)
        key = repr(base)
        if key not in baselines:
            baselines[key] = outcome(image, base)
        if isinstance(baselines[key], str):  # what it needs is refused here, and so it cannot act
            assert extra, f"nothing was restored, the table would say nothing: {baselines[key]}"
            continue
        tried = outcome(image, runs.merged(base, nested(path, another(path, image, base))))
        refused = isinstance(tried, str)
        if not refused and tried == baselines[key] and path not in OWN_STEPS:
            silent.append(path)
        if refused and path in NEEDS:
            assert " has no effect " in tried or "leave" in tried or "give" in tried
    assert not silent, ", ".join(silent)


@pytest.mark.parametrize("name", REFUSED)
def test_settings_that_cannot_act_are_refused_before_anything_is_trained(name: str) -> None:
    make, context = CONTEXTS[name]
    image, refused = make(), set()
    for path in {path for path in NEEDS if path in OTHERS}:
        changed = nested(path, another(path, image, context))
        settings = runs.merged({"optics": LENS, "device": "cpu"}, runs.merged(context, changed))
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                prepare([image], resolve(settings))
        except UserError as fault:
            if " has no effect " in str(fault):
                refused.add(path)
                assert (path.rpartition(".")[2] in str(fault) and ": leave " in str(fault)) or ": give " in str(fault)
    assert refused == REFUSED[name]


def test_a_margin_that_patches_have_no_room_for_is_refused() -> None:
    """A patch of 33 pixels, as high as the image, has room for 8 at most; more was cut in silence."""
    published = {"preset": "paper", "modality": "2d", "optics": LENS, "device": "cpu"}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        wide = runs.plane(size=72, haze=0.0)
        wide = replace(wide, data=wide.data[..., :33, :])
        prepare([wide], resolve(runs.merged(published, {"training": {"margin_px": 8}})))
        with pytest.raises(UserError, match=r"margin_px 9 has no effect beyond 8, a quarter of a patch of 33 pixels: give a smaller"):
            prepare([wide], resolve(runs.merged(published, {"training": {"margin_px": 9}})))


def test_every_setting_is_in_the_table() -> None:
    assert set(paths()) == {*OTHERS, *RESOURCES, *ELSEWHERE}
    assert set(NEEDS) <= set(paths())


def test_the_saved_configuration_of_a_run_repeats_it() -> None:
    """It names every setting, also those that cannot act; they have the values of the preset and are not refused."""
    image = plane()
    settings = {"optics": LENS, "network": {"channels": (4, 8)}, "training": {"steps": 2, "patch_px": 12}, "device": "cpu"}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        first = zs.restore(image, config=resolve(settings))
        again = zs.restore(image, config=resolve(first.model.config.model_dump(mode="json")))
    assert np.array_equal(first.deconvolved.data, again.deconvolved.data)


def test_leaves_are_paths() -> None:
    assert dict(leaves({"a": {"b": {"c": 1}}, "d": 2})) == {"a.b.c": 1, "d": 2}
