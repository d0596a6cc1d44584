"""Which settings can act in a run: a setting that was given and cannot act is refused, with the reason and the remedy.

One table, `NEEDS`, says what each setting needs to act. A setting counts as given only where it differs from the value that the preset
would choose, so that the configuration saved by a run, which names every setting, repeats the run.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from zsdeconv.config.tree import SETTINGS, Config, over_preset
from zsdeconv.errors import ConfigError


@dataclass(frozen=True)
class Facts:
    """What decides which settings act: the resolved `config`, the number of spatial axes, and the `uses`: settings beyond those that every
    run reads which its acquisition and its network read. `patch_px` is the size of the patches that the network learns from; None before
    the images are known.
    """

    config: Config
    rank: int
    uses: frozenset[str]
    patch_px: tuple[int, ...] | None = None


@dataclass(frozen=True)
class Need:
    """A condition, and the words for when it does not hold: "has no effect `where`: `remedy`"; a limit of the images is in `where`."""

    holds: Callable[[Facts], bool]
    where: str | Callable[[Facts], str]
    remedy: str


def _used(name: str, where: str, remedy: str) -> Need:
    return Need(lambda facts: name in facts.uses, where, remedy)


_STACK = Need(lambda facts: facts.rank == 3, "on planes", "leave it out, or give a stack")
_STEPS_OF_STAGE = Need(
    lambda facts: facts.rank == 3, "on planes", "leave it out, or give a stack (axes with Z where its planes are steps of the stage)"
)
_UPRIGHT_LIGHT = Need(
    lambda facts: "input.scan_angle_deg" in facts.uses,
    "on raw frames of structured illumination, whose pattern is known in the directions of the camera",
    "leave it out, and deskew the reconstruction",
)
_SCAN = Need(
    lambda facts: facts.config.input.scan_angle_deg is not None, "without a scan at an angle", "give scan_angle_deg, or leave it out"
)
_NO_SCAN = Need(
    lambda facts: facts.config.input.scan_angle_deg is None,
    "on a scan at an angle, whose planes are scan_step_um x sin(scan_angle_deg) apart",
    "leave it out",
)
_DIVIDED = Need(lambda facts: facts.config.pairs.adds_noise, "on pairs without added noise", "leave it out, or give pairs recorrupt")
_RECORRUPT = Need(
    lambda facts: facts.config.pairs.kind == "recorrupt", "but on re-corrupted pairs", "leave it out, or give pairs recorrupt"
)
_INTERLEAVE = Need(
    lambda facts: facts.config.pairs.kind == "interleave", "but on interleaved pairs", "leave it out, or give pairs interleave"
)
_PSF = Need(lambda facts: facts.config.optics.psf is not None, "without a PSF file", "give psf too, or leave it out")
_DESTRIPE = Need(lambda facts: facts.config.prediction.destripe is not None, "without `destripe`", "give destripe X or Y, or leave it out")
_NO_MAPS = Need(lambda facts: facts.config.input.camera is None, "beside camera maps", "leave it out, or leave out camera")
_LONE = (_PSF, _DESTRIPE, _NO_MAPS)
"""Needs that the settings alone decide, before any image is read."""
_HALVING = Need(
    lambda facts: facts.config.training.schedule == "halving", "on the cosine schedule", "give training.schedule halving, or leave it out"
)
_STEPS = Need(lambda facts: facts.config.training.minutes is None, "beside a budget in minutes", "leave one of them out")
_THEORY = Need(
    lambda facts: facts.config.optics.psf is None and facts.config.optics.otf is None,
    "beside a measured PSF or OTF",
    "leave it out, or leave out the file",
)


def _within_patch(axis: int) -> Need:
    """That the margin along `axis`, 0 for the planes and -1 laterally, is left out as it is given."""

    def holds(facts: Facts) -> bool:
        training, patch = facts.config.training, facts.patch_px
        return patch is None or training.margin(patch)[axis] == (training.margin_planes if axis == 0 else training.margin_px)

    def where(facts: Facts) -> str:
        patch, unit = facts.patch_px or (), "planes" if axis == 0 else "pixels"
        return f"beyond {facts.config.training.margin(patch)[axis]}, a quarter of a patch of {patch[axis]} {unit}"

    return Need(holds, where, "give a smaller margin, larger patches or larger images")


def _of_network(name: str) -> Need:
    return _used(name, "on this network", "leave it out, or give another network.kind or preset")


def _of_acquisition(name: str) -> Need:
    return _used(name, "on this modality", "leave it out, or give another modality")


NEEDS: Mapping[str, tuple[Need, ...]] = {
    "input.z_um": (_STACK, _NO_SCAN),
    "input.scan_angle_deg": (_STEPS_OF_STAGE, _UPRIGHT_LIGHT),
    "input.scan_step_um": (_STEPS_OF_STAGE, _UPRIGHT_LIGHT),
    "input.scan_reverse": (_SCAN, _STEPS_OF_STAGE, _UPRIGHT_LIGHT),
    "input.background": (_NO_MAPS,),
    "input.detector": (_NO_MAPS,),
    **{f"optics.{name}": (_of_acquisition(f"optics.{name}"), _THEORY) for name in ("microscope", "sheet_um", "pinhole_au")},
    **{f"optics.{name}": (_of_acquisition(f"optics.{name}"), _THEORY) for name in ("sample_ri", "depth_um")},
    "optics.excitation_nm": (_THEORY,),
    "optics.pupil": (_THEORY,),
    "optics.psf_pixel_um": (_PSF,),
    "optics.psf_z_um": (_PSF, _STACK),
    **{
        f"sim.{name}": (_of_acquisition(f"sim.{name}"),)
        for name in ("directions", "phases", "order", "angles_deg", "period_um", "parameters", "per_frame", "wiener")
    },
    "pairs.alpha": (_DIVIDED,),
    "pairs.beta1_factor": (_RECORRUPT,),
    "pairs.beta2_factor": (_RECORRUPT,),
    "network.channels": (_of_network("network.channels"),),
    "network.lateral_first": (_of_network("network.lateral_first"), _STACK),
    "network.coarse_start": (_of_network("network.coarse_start"),),
    "loss.mu": (_of_network("loss.mu"),),
    "loss.lambda_hessian": (_of_network("loss.lambda_hessian"),),
    "loss.norm": (_of_network("loss.norm"),),
    "loss.gamma": (_INTERLEAVE,),
    "training.patch_planes": (_STACK,),
    "training.margin_px": (_of_network("training.margin_px"), _within_patch(-1)),
    "training.margin_planes": (_of_network("training.margin_planes"), _STACK, _within_patch(0)),
    "training.steps": (_STEPS,),
    "training.halve_from": (_HALVING,),
    "training.halve_every": (_HALVING,),
    "training.memory_bound": (_of_network("training.memory_bound"),),
    "training.stage2_fraction": (_of_network("training.stage2_fraction"),),
    "training.target_fwhm_fraction": (_of_network("training.target_fwhm_fraction"),),
    "prediction.deskew": (_SCAN,),
    "prediction.stripe_width_um": (_DESTRIPE,),
    "prediction.stripe_length_um": (_DESTRIPE,),
}
"""Settings by their path, and what they need to act; all others act in every run."""


def refuse_idle(facts: Facts, presets: Mapping[str, Mapping[str, Any]], among: str = "") -> None:
    """Raise `ConfigError` for the first given setting that cannot act; `presets` are those of the modality. Only settings whose path begins
    with `among` are judged, where not all facts are known yet.

    >>> from zsdeconv.config import resolve
    >>> config = resolve({"loss": {"gamma": 2.0}, "pairs": {"kind": "recorrupt"}})
    >>> refuse_idle(Facts(config, 2, frozenset()), {})
    Traceback (most recent call last):
    zsdeconv.errors.ConfigError: loss.gamma 2.0 has no effect but on interleaved pairs: leave it out, or give pairs interleave
    """
    given = facts.config.explicit
    for path, value in leaves(given):
        failing = [need for need in NEEDS.get(path, ()) if path.startswith(among) and not need.holds(facts)]
        if failing and _value(over_preset(_without(given, path), presets), path) != _value(facts.config, path):
            raise _idle(path, value, failing[0], facts)


def refuse_lone(config: Config) -> None:
    """Raise `ConfigError` for the first given setting that describes or shapes what is not given; no image is needed to tell.

    >>> from zsdeconv.config import resolve
    >>> refuse_lone(resolve({"optics": {"psf_pixel_um": 0.1}}))
    Traceback (most recent call last):
    zsdeconv.errors.ConfigError: psf_pixel_um 0.1 has no effect without a PSF file: give psf too, or leave it out
    """
    facts = Facts(config, rank=3, uses=frozenset())
    for path, value in leaves(config.explicit):
        failing = [need for need in NEEDS.get(path, ()) if need in _LONE and not need.holds(facts)]
        if failing and value != _value(Config(), path):
            raise _idle(path, value, failing[0], facts)


def _idle(path: str, value: Any, need: Need, facts: Facts) -> ConfigError:
    where = need.where if isinstance(need.where, str) else need.where(facts)
    name = _NAMES.get(path, path)
    given = f"`{name}={value}`" if value is False else f"{name} {value}"
    return ConfigError(f"{given} has no effect {where}: {need.remedy}")


_NAMES = {path: name for name, path in SETTINGS.items()}


def leaves(settings: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Settings by their path.

    >>> list(leaves({"seed": 1, "loss": {"mu": 0.5}}))
    [('seed', 1), ('loss.mu', 0.5)]
    """
    for key, value in settings.items():
        if isinstance(value, Mapping):
            yield from leaves(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def _without(settings: Mapping[str, Any], path: str) -> dict[str, Any]:
    section, _, name = path.partition(".")
    if not name:
        return {key: value for key, value in settings.items() if key != section}
    return {**settings, section: {key: value for key, value in settings[section].items() if key != name}}


def _value(config: Config, path: str) -> Any:
    value: Any = config
    for name in path.split("."):
        value = getattr(value, name)
    return value
