"""The configuration of a run: one frozen tree, validated together, that a YAML file holds and repeats."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, PrivateAttr, ValidationError

from zsdeconv.config.sections import (
    InputSection,
    LossSection,
    NetworkSection,
    OpticsSection,
    PairsSection,
    PredictionSection,
    Preset,
    Section,
    Setting,
    SimSection,
    TrainingSection,
)
from zsdeconv.errors import ConfigError


class Config(Section):
    """Everything that decides a result besides the pixels.

    >>> config = resolve({"optics": {"na": 1.4, "wavelength_nm": 525}, "scale": 1})
    >>> config.optics.na, config.scale, config.preset
    (1.4, 1, 'fast')
    """

    modality: Annotated[str, Setting("auto, 2d, 3d, or sim2d and sim3d for raw frames of structured illumination", group="Training")] = (
        "auto"
    )
    preset: Annotated[Preset, Setting("fast, paper (as published) or quality (wants a GPU)", group="Training")] = "fast"
    scale: Annotated[Literal[1, 2], Setting("2 halves the pixel size, 1 keeps it", group="Training")] = 2
    device: Annotated[str, Setting("auto, cpu, cuda or mps", group="Computation")] = "auto"
    seed: Annotated[int, Field(ge=0, lt=2**63), Setting("same seed, same bits (on a CPU)", group="Computation", metavar="N")] = 0
    report: Annotated[bool, Setting("say how far to trust the result; takes about a minute", default="on", group="Output")] = True
    input: InputSection = Field(default_factory=InputSection)
    optics: OpticsSection = Field(default_factory=OpticsSection)
    sim: SimSection = Field(default_factory=SimSection)
    pairs: PairsSection = Field(default_factory=PairsSection)
    network: NetworkSection = Field(default_factory=NetworkSection)
    loss: LossSection = Field(default_factory=LossSection)
    training: TrainingSection = Field(default_factory=TrainingSection)
    prediction: PredictionSection = Field(default_factory=PredictionSection)

    _given: dict[str, Any] | None = PrivateAttr(default=None)

    @property
    def given(self) -> dict[str, Any]:
        """What the user set, without presets and defaults; all that was set where the tree is no longer what `resolve` made."""
        if self._given is not None and over_preset(self._given, {}) == self:
            return self._given
        return self.model_dump(mode="json", exclude_unset=True)

    @property
    def explicit(self) -> dict[str, Any]:
        """What the user set, whatever presets of a modality were put under it since."""
        return self.given if self._given is None else self._given

    def __eq__(self, other: object) -> bool:
        """The same settings, whoever made them."""
        return isinstance(other, Config) and self.model_dump() == other.model_dump()

    def __hash__(self) -> int:
        return hash(self.model_dump_json())


PRESETS: dict[str, dict[str, Any]] = {
    "fast": {},
    "quality": {
        "network": {"channels": (32, 64, 128, 128)},
        "training": {"patch_px": 96, "batch": 16, "steps": 20_000, "patience": 20},
        "prediction": {"passes": 32},
    },
    "paper": {
        "network": {"kind": "unet"},
        "loss": {"lambda_hessian": 0.02, "norm": "l1"},
        "training": {
            "patch_px": 160,
            "margin_px": 16,
            "batch": 4,
            "optimizer": "adam",
            "learning_rate": 5e-5,
            "schedule": "halving",
            "steps": 50_000,
            "validate_every": 500,
            "patience": 100,
        },
        "prediction": {"passes": 0},
    },
}
"""What each preset sets apart from the defaults."""


RENAMED = {
    "loss.error": "loss.norm",
    "training.target_share": "training.target_fwhm_fraction",
    "training.reimage_share": "training.stage2_fraction",
    "prediction.stripes": "prediction.destripe",
}
"""Settings by their names up to version 0.1, in which configurations and model files may still be written."""
_RENAMED_VALUES = {"loss.norm": {"squared": "l2", "absolute": "l1"}}


def with_new_names(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Nested settings with those of `RENAMED` under their present names; a present name beside its old one wins.

    >>> with_new_names({"loss": {"error": "absolute"}})
    {'loss': {'norm': 'l1'}}
    """
    settings = {key: dict(value) if isinstance(value, Mapping) else value for key, value in settings.items()}
    for old, new in RENAMED.items():
        (section, before), (_, after) = old.split("."), new.split(".")
        part = settings.get(section)
        if isinstance(part, dict) and before in part:
            value = part.pop(before)
            part.setdefault(after, _RENAMED_VALUES.get(new, {}).get(value, value))
    return settings


def resolve(options: Mapping[str, Any], file: Mapping[str, Any] | None = None) -> Config:
    """The configuration from, in rising order of weight: defaults, preset, configuration file, options.

    `options` and `file` are nested mappings of `Config`; None means not given. A budget in minutes replaces one in steps,
    and any budget in the options one in the file.

    Raises `ConfigError` naming the first key that is unknown or out of range.

    >>> resolve({"preset": "paper"}).training.steps
    50000
    """
    options, file = (_given(with_new_names(settings)) for settings in (options, file or {}))
    budget = options.get("training")
    if isinstance(budget, Mapping) and "steps" in budget and isinstance(file.get("training"), Mapping):
        file["training"].pop("minutes", None)
    return over_preset(_merged(file, options), {})


def specialised(config: Config, presets: Mapping[str, Mapping[str, Any]]) -> Config:
    """The configuration for a modality: what `presets` sets apart for the preset, under all that was given by the user.

    >>> table = {"fast": {"training": {"batch": 2, "steps": 7}}}
    >>> training = specialised(resolve({"training": {"steps": 100}}), table).training
    >>> training.batch, training.steps
    (2, 100)
    """
    return over_preset(config.given, presets)


def over_preset(given: Mapping[str, Any], presets: Mapping[str, Mapping[str, Any]]) -> Config:
    """Defaults, the preset's settings, those it has in `presets`, and what was given, in rising order of weight."""
    preset = given.get("preset", "fast")
    if not isinstance(preset, str) or preset not in PRESETS:
        raise ConfigError(f"preset {preset!r}: it must be one of {', '.join(PRESETS)}; give `preset=fast`")
    try:
        config = Config.model_validate(_merged(_merged(PRESETS[preset], presets.get(preset, {})), given))
    except ValidationError as error:
        raise ConfigError(_first_problem(error)) from None
    config._given = dict(given)
    return config


@dataclass(frozen=True)
class Option:
    """A setting by its flat name: its `key` in the tree, its metadata, its type, its default, and the heading it stands under."""

    key: str
    setting: Setting
    annotation: Any
    default: Any
    group: str


def _options(model: type[Section], prefix: str = "") -> Iterator[tuple[str, Option]]:
    """The fields of a section and of the sections in it that have a `Setting`, by their flat names."""
    for name, field in model.model_fields.items():
        if isinstance(field.annotation, type) and issubclass(field.annotation, Section):
            yield from _options(field.annotation, f"{prefix}{name}.")
        for setting in (item for item in field.metadata if isinstance(item, Setting)):
            group = setting.group or model.title
            yield setting.name or name, Option(f"{prefix}{name}", setting, field.annotation, field.default, group)


OPTIONS = dict(_options(Config))
"""Every setting that has a flat name, in the command line and in `zsdeconv.train`: all fields with a `Setting`."""
SETTINGS = {name: option.key for name, option in OPTIONS.items()}
"""Where in the configuration each of them goes."""


def as_settings(options: Mapping[str, Any]) -> dict[str, Any]:
    """Options by their flat names as nested settings for `resolve`; None means not given.

    Raises `ConfigError` for a name that is no option and for budgets that contradict each other.

    >>> as_settings({"na": 1.4, "scale": 1, "steps": None})
    {'optics': {'na': 1.4}, 'scale': 1}
    """
    given = {name: value for name, value in options.items() if value is not None}
    settings: dict[str, Any] = {}
    for name, value in given.items():
        if name not in SETTINGS:
            raise ConfigError(f"unknown option '{name}'; known ones are {', '.join(SETTINGS)}")
        section, _, leaf = SETTINGS[name].rpartition(".")
        (settings.setdefault(section, {}) if section else settings)[leaf] = str(value) if isinstance(value, Path) else value
    if "steps" in given and "minutes" in given:
        budgets = f"`steps={given['steps']}` and `minutes={given['minutes']}`"
        raise ConfigError(f"both {budgets}: a training has one budget; leave out one of them")
    return settings


def read_config(path: str | Path) -> dict[str, Any]:
    """The mapping in a YAML configuration file, to be passed to `resolve`. Raises `ConfigError` when it holds none."""
    import yaml

    try:
        content = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"configuration {path}: {error.strerror}; check `config`") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ConfigError(f"configuration {path} is not YAML ({' '.join(str(error).split())}); correct it or leave out `config`") from None
    if not isinstance(content, dict):
        raise ConfigError(f"configuration {path} holds no sections; start from the *_config.yaml that a run writes")
    return content


def to_yaml(config: Config) -> str:
    """The configuration as YAML that `read_config` reads back."""
    import yaml

    return yaml.safe_dump(config.model_dump(mode="json"), sort_keys=False)


def _given(options: Mapping[str, Any]) -> dict[str, Any]:
    """Without the entries that are None, at any depth."""
    return {key: _given(value) if isinstance(value, Mapping) else value for key, value in options.items() if value is not None}


def _merged(low: Mapping[str, Any], high: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(low)
    for key, value in high.items():
        both = isinstance(value, Mapping) and isinstance(merged.get(key), Mapping)
        merged[key] = _merged(merged[key], value) if both else value
    return merged


def _path(places: Sequence[Any]) -> str:
    """The path of a setting, without the names of the types that it was tried as."""
    parts: list[str] = []
    for place in map(str, places):
        if parts and not place.isidentifier() and not place.isdecimal():
            break
        parts.append(place)
    return ".".join(parts)


def _first_problem(error: ValidationError) -> str:
    problem = error.errors(include_url=False)[0]
    key, value = _path(problem["loc"]), problem["input"]
    if problem["type"] == "extra_forbidden":
        return f"unknown configuration key '{key}' ({value!r}); known ones are in the *_config.yaml that a run writes"
    if problem["type"] == "value_error":
        return problem["msg"].removeprefix("Value error, ")
    shown = repr(value) if len(repr(value)) < 80 else f"{repr(value)[:77]}..."
    return f"{key} = {shown}: {problem['msg'].lower()}; correct it, as an argument or in `config`"
