"""What the verbs take: settings, made from the sections of the configuration, and the few options that are not settings."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import MISSING, dataclass, fields, make_dataclass
from functools import partial
from pathlib import Path
from types import UnionType
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeVar, Union, get_args, get_origin

from cyclopts import App, Parameter
from pydantic import SkipValidation

from zsdeconv.cli.inputs import ReadAs
from zsdeconv.cli.wording import flag_of
from zsdeconv.config import OPTIONS, SETTINGS, Option, as_settings, read_config, resolve
from zsdeconv.config.relevance import refuse_lone
from zsdeconv.errors import ConfigError
from zsdeconv.results import ImageFormat

if TYPE_CHECKING:
    from zsdeconv.config import Config

Verb = TypeVar("Verb", bound=Callable[..., Any])
MAX_CHOICES_LENGTH = 18
"""Characters up to which the choices of an option stand for its value in the help. Chosen: longer ones widen the column of names."""


def verbs(name: str) -> App:
    """A verb that is followed by another verb."""
    return App(name=name, version_flags=[])


def option(help: str, *, name: str | tuple[str, ...] = (), metavar: str | None = None, group: str = "Output", **more: Any) -> Parameter:
    """How an option is parsed and shown: the last one given wins, and a flag has no negative form unless `negative` is None.

    Parameters
    ----------
    help
        A phrase, with unit and default.
    name
        Its names, where they are not that of the field.
    metavar
        What stands for the value in the help; None for a flag.
    group
        The heading it stands under.
    more
        Other arguments of `cyclopts.Parameter`.
    """
    more = {"negative": (), "allow_repeating": True, "show_default": False} | more
    return Parameter(name=name, help=help, metavar=metavar, group=group, **more)


def argument(help: str, metavar: str) -> Parameter:
    """How an argument without a name of its own is shown."""
    return Parameter(help=help, metavar=metavar, group="Arguments", show_default=False)


As = Annotated[
    ReadAs | None,
    option("a folder's files: frames of one movie, or images; of several files: one movie", name="--as", metavar="NAME", group="Input"),
]
Format = Annotated[
    ImageFormat | None, option("images as OME-TIFF files (tif) or OME-Zarr folders (zarr) [default: tif]", name="--format", metavar="NAME")
]
Inputs = Annotated[Path, argument("images: TIFF, CZI, ND2, LIF, OIB, MRC, DV and others", "INPUT..."), Parameter(required=True)]


@dataclass(frozen=True, kw_only=True)
class Printed:
    """Options of a verb that prints what it has computed."""

    json: Annotated[bool, option("print one JSON object on standard output")] = False


@dataclass(frozen=True, kw_only=True)
class Written(Printed):
    """Options of a verb that writes files."""

    overwrite: Annotated[bool, option("replace existing results")] = False


@dataclass(frozen=True, kw_only=True)
class Task(Written):
    """Options of a verb that takes its time."""

    quiet: Annotated[bool, option("no progress and no summary; errors and warnings only", name=("--quiet", "-q"))] = False

    @property
    def silent(self) -> bool:
        """Whether nothing is to be said for people."""
        return self.quiet or self.json


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Base of what `chosen` makes: settings by their flat names, None where they are not given."""

    def given(self) -> dict[str, Any]:
        """The settings that are given."""
        return {field.name: value for field in fields(self) if (value := getattr(self, field.name)) is not None}


def chosen(
    *names: str, without: Collection[str] = (), required: Collection[str] = (), help: Mapping[str, str] | None = None
) -> type[Settings]:
    """The options of a verb that are settings, as a class whose fields they are.

    Parameters
    ----------
    names
        Settings by their flat names, and sections for all settings in them.
    without
        Those to leave out, named alike.
    required
        Those without which the verb does nothing.
    help
        Words in place of the section's, for a verb in which a setting means something else.

    Examples
    --------
    >>> [field.name for field in fields(chosen("prediction", "device", without=("destripe", "stripe_width_um", "stripe_length_um")))]
    ['device', 'tile', 'overlap', 'batch', 'deskew', 'passes']
    """
    sections = {entry.key.partition(".")[0] for entry in OPTIONS.values()}
    assert {*names, *without, *required, *(help or {})} <= sections | OPTIONS.keys()
    taken = []
    for name, entry in OPTIONS.items():
        places = {name, entry.key.partition(".")[0]}
        if places & set(names) and not places & set(without):
            taken.append(_field(name, entry, name in required, (help or {}).get(name)))
    made = make_dataclass("Chosen", taken, bases=(Settings,), frozen=True, kw_only=True)
    made.__module__ = __name__
    return made


def takes(**parts: type) -> Callable[[Verb], Verb]:
    """Give the parameters of a verb the dataclasses whose fields are its options.

    >>> @takes(task=Written)
    ... def verb(*, task: Written) -> bool:
    ...     return task.overwrite
    >>> verb()
    False
    """

    def decorate(verb: Verb) -> Verb:
        defaults = dict(verb.__kwdefaults__ or {})
        for name, part in parts.items():
            verb.__annotations__[name] = Annotated[part, Parameter(name="*")]
            if all(field.default is not MISSING for field in fields(part)):
                defaults[name] = part()
        verb.__kwdefaults__ = defaults
        return verb

    return decorate


def typed(name: str, hint: Any, parameter: Parameter, required: bool = False) -> tuple[str, Any] | tuple[str, Any, Any]:
    """A field of a dataclass of options, for `dataclasses.make_dataclass`.

    Parameters
    ----------
    name
        The field.
    hint
        The type of its value.
    parameter
        How it is parsed and shown.
    required
        Whether it must be given; otherwise it is None by default.
    """
    if hint is int or (get_origin(hint) is Literal and isinstance(get_args(hint)[0], int)):
        parameter = Parameter.combine(parameter, Parameter(converter=whole_number))
    kind = _kind_of_list(hint)
    if kind is not None:
        convert = partial(_listed, kind, get_origin(hint) is tuple)
        parameter = Parameter.combine(parameter, Parameter(converter=convert, n_tokens=1, allow_leading_hyphen=True))
    if required:
        return name, Annotated[hint, parameter]
    if hint is bool:  # a flag: completion takes `bool | None` for an option with a value
        return name, Annotated[SkipValidation[bool], parameter], None
    return name, Annotated[hint | None, parameter], None


def metavar_of(hint: Any) -> str:
    """What stands for a value in the help.

    >>> metavar_of(float), metavar_of(Literal["scalar", "vectorial"]), metavar_of(str)
    ('NUMBER', 'scalar|vectorial', 'NAME')
    """
    if get_origin(hint) is Literal:
        choices = "|".join(map(str, get_args(hint)))
        return choices if len(choices) <= MAX_CHOICES_LENGTH else "NAME"
    return {int: "N", float: "NUMBER", Path: "FILE", bool: ""}.get(hint, "NAME")


def _field(name: str, entry: Option, required: bool, help: str | None) -> tuple[Any, ...]:
    """A setting as a field of a dataclass."""
    setting, hint = entry.setting, plain(entry.annotation)
    if setting.metavar.startswith("FILE"):
        hint = Path if setting.metavar == "FILE" else Path | tuple[Path, ...]
    default = "" if required else setting.phrase(entry.default)
    words = help or default or setting.phrase(None).partition(" [default")[0]
    negative = None if entry.default is True else ()  # what is on by default can be turned off
    parameter = option(words, name=flag_of(name), metavar=setting.metavar or metavar_of(hint), group=entry.group, negative=negative)
    return typed(name, hint, parameter, required)


def plain(annotation: Any) -> Any:
    """A type without limits and without None: the configuration judges the values."""
    if hasattr(annotation, "__metadata__"):
        return plain(get_args(annotation)[0])
    origin, inner = get_origin(annotation), get_args(annotation)
    if origin in (Union, UnionType):
        return Union[tuple(plain(part) for part in inner if part is not type(None))]  # noqa: UP007
    return tuple[plain(inner[0]), ...] if origin is tuple else annotation


def whole_number(hint: Any, tokens: Any) -> Any:
    """A number without a fraction, where the type asks for one: 2.5 steps are refused, not rounded."""
    text = tokens[0].value
    if get_origin(hint) is Literal and text not in map(str, get_args(hint)):
        raise ValueError(text)
    return int(text)


def _kind_of_list(hint: Any) -> type | None:
    """The type of the entries of a hint that is a list, or may be one; None of all others.

    >>> _kind_of_list(tuple[float, ...]), _kind_of_list(float | tuple[float, ...]), _kind_of_list(str)
    (<class 'float'>, <class 'float'>, None)
    """
    lists = [part for part in (hint, *get_args(hint)) if get_origin(part) is tuple]
    return next(iter(get_args(lists[0]))) if lists else None


def _listed(kind: type, always: bool, hint: Any, tokens: Any) -> Any:
    """Entries with commas between them, in one word; a single one by itself, where it needs not be a list.

    Files are named as they hold from any folder.
    """
    words = [word.strip() for word in tokens[-1].value.split(",")]
    values = tuple(str(Path(word).absolute()) if kind is Path else kind(word) for word in words)
    (first, *more) = values
    return values if always or more else first


def configuration(given: Mapping[str, Any], file: Path | None) -> Config:
    """The configuration from settings (by name, None: not given) and a YAML file.

    Raises `ConfigError` that names the option to correct, where it was an option.

    >>> configuration({"na": 1.4, "background": "auto", "steps": None}, None).optics.na
    1.4
    """
    options = {name: _absolute(value) for name, value in given.items()}
    try:
        config = resolve(as_settings(options), None if file is None else read_config(file))
    except ConfigError as fault:
        raise _naming_the_option(fault, options) from None
    refuse_lone(config)
    return config


def _absolute(value: Any) -> Any:
    """Paths as they hold from any folder, so that a saved configuration repeats the run from there."""
    return str(value.absolute()) if isinstance(value, Path) else value


def _naming_the_option(fault: ConfigError, options: Mapping[str, Any]) -> ConfigError:
    """The same complaint about the option that the user typed, rather than about the key it sets."""
    for name, key in SETTINGS.items():
        if options.get(name) is not None and str(fault).startswith(f"{key} = "):
            complaint = str(fault).removeprefix(f"{key} = ").partition("; correct it")[0]
            return ConfigError(f"{flag_of(name)} {complaint}; give another {flag_of(name)}")
    return fault
