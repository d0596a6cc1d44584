"""A model in its file: the schema of the header, its versions, and the migration of older ones.

`zsdeconv.model` saves and loads with it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any

import torch
from pydantic import BaseModel, ConfigDict, Discriminator, Field, Tag
from torch import Tensor, nn

from zsdeconv._version import __version__
from zsdeconv.acquisition.base import Acquisition, Stored
from zsdeconv.camera.correlation import WHITE, NoiseCorrelation
from zsdeconv.camera.detector import DETECTORS, Camera
from zsdeconv.camera.lines import LineOffsets
from zsdeconv.camera.maps import CameraMaps
from zsdeconv.config import Config, with_new_names
from zsdeconv.data.normalize import Affine
from zsdeconv.errors import ModelError, UserError
from zsdeconv.io.model_file import load_model, save_model
from zsdeconv.modality import MODALITIES, Modality
from zsdeconv.physics.optics import Optics
from zsdeconv.physics.psf import Psf
from zsdeconv.prediction.photometry import AffineResponse, IntensityCorrection, PositiveResponse
from zsdeconv.training.networks import make_network

MAPS = ("offset", "gain", "read_variance", "bad")
"""Tensors of camera maps by their fields."""
SCHEMA_VERSION = 2
"""Of the header below. Version 1, without a number, was written by version 0.1 of the program."""


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class UnitPart(_Part):
    """`zsdeconv.data.normalize.Affine`, ADU."""

    offset: float
    scale: float


class CameraPart(_Part):
    """A law of `zsdeconv.camera.detector`, by its kind, and how well it is known (`zsdeconv.camera.compare.KnownCamera`), ADU; `kernel`,
    `rows` and `columns` are those of `zsdeconv.camera.correlation.NoiseCorrelation` and `zsdeconv.camera.lines.LineOffsets`.
    """

    detector: str = "camera"
    shape: int | None = None
    offset: float
    gain: float
    read_variance: float
    offset_sigma: float
    gain_sigma: float = 0.0
    law_misfits: tuple[tuple[float, float], ...] = ()
    kernel: tuple[tuple[float, ...], ...] = WHITE.kernel
    rows: float = 0.0
    columns: float = 0.0


class MapsPart(_Part):
    """What belongs to the tensors `maps` of `zsdeconv.camera.maps.CameraMaps`."""

    sigmas: tuple[float, float, float]
    frames: tuple[int, int]
    target: tuple[float, float] | None = None


class PsfPart(_Part):
    """What belongs to the tensor `psf`."""

    spacing_um: tuple[float, ...]
    source: str
    fingerprint: str
    shift_px: float = 0.0


class ResponsePart(_Part):
    """`zsdeconv.prediction.photometry.AffineResponse`."""

    slope: float
    intercept: float


class PositivePart(_Part):
    """`zsdeconv.prediction.photometry.PositiveResponse`."""

    gain: float
    knee: float
    floor: float


def _kind_of_response(part: Any) -> str:
    return "line" if "slope" in (part if isinstance(part, Mapping) else vars(part)) else "positive"


class IntensityPart(_Part):
    """`zsdeconv.prediction.photometry.IntensityCorrection`; version 0.1.0 had a line for the deconvolved image, too."""

    denoised: ResponsePart
    deconvolved: Annotated[
        Annotated[ResponsePart, Tag("line")] | Annotated[PositivePart, Tag("positive")], Discriminator(_kind_of_response)
    ]
    dark_level: float


class OpticsPart(_Part):
    """The arguments of `zsdeconv.Optics`."""

    na: float
    wavelength_nm: float
    immersion_ri: float | None = None
    pupil: str = "scalar"
    microscope: str = "widefield"
    sheet_um: float | None = None
    pinhole_au: float | None = None
    excitation_nm: float | None = None
    sample_ri: float | None = None
    depth_um: float | None = None


class Header(_Part):
    """Everything in a model file but the tensors; `acquisition` holds what the acquisition's own kind needs beside the parts here."""

    schema_version: int = Field(strict=True, ge=SCHEMA_VERSION, le=SCHEMA_VERSION)
    modality: str
    rank: int
    version: str
    config: dict[str, Any]
    spacing_um: tuple[float, ...]
    unit: UnitPart
    camera: CameraPart
    maps: MapsPart | None = None
    psf: PsfPart
    optics: OpticsPart | None
    acquisition: dict[str, Any]
    intensity_correction: IntensityPart
    history: list[dict[str, Any]]
    provenance: dict[str, Any]


@dataclass(frozen=True, eq=False)
class ModelParts:
    """The fields of `zsdeconv.model.Model`, which says what they mean."""

    network: nn.Module
    modality: Modality
    config: Config
    acquisition: Acquisition
    spacing_um: tuple[float, ...]
    intensity_correction: IntensityCorrection
    offset_sigma: float
    history: list[dict[str, Any]]
    provenance: Mapping[str, Any]
    gain_sigma: float = 0.0
    law_misfits: tuple[tuple[float, float], ...] = ()


def write_model(model: ModelParts, path: str | Path, *, overwrite: bool = False) -> Path:
    """Write a model to one `.zsd` file, atomically. Raises `OutputError` when that is not possible."""
    return save_model(path, *_to_parts(model), overwrite)


def write_channels(models: Mapping[str, ModelParts], shared: Mapping[str, Any], path: str | Path, *, overwrite: bool = False) -> Path:
    """Write the models of several channels, by their names, to one `.zsd` file, as `write_model`.

    `shared` are the `config` and the `provenance` of all.
    """
    tensors: dict[str, Tensor] = {}
    headers = []
    for number, (name, model) in enumerate(models.items()):
        own, header = _to_parts(model)
        tensors |= {f"channel.{number}.{key}": tensor for key, tensor in own.items()}
        headers.append({"name": name, "header": header})
    first = headers[0]["header"]
    kind = {key: first[key] for key in ("modality", "rank", "version", "schema_version")}
    plain = json.loads(json.dumps(dict(shared), default=str))
    return save_model(path, tensors, {**kind, **plain, "channels": headers}, overwrite)


def _of_psf(psf: Psf) -> PsfPart:
    return PsfPart(spacing_um=psf.spacing_um, source=psf.source, fingerprint=psf.fingerprint, shift_px=psf.shift_px)


def _to_parts(model: ModelParts) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Tensors and header of a model."""
    acquisition = model.acquisition
    own_tensors, own_header = acquisition.stored()
    tensors = {f"network.{name}": tensor for name, tensor in model.network.state_dict().items()}
    tensors["psf"] = torch.from_numpy(acquisition.psf.values.copy())
    tensors |= {f"acquisition.{name}": tensor for name, tensor in own_tensors.items()}
    maps = acquisition.maps
    if maps is not None:
        tensors |= {f"maps.{name}": torch.from_numpy(getattr(maps, name)) for name in MAPS}
    detector, correction = acquisition.detector, model.intensity_correction
    header = Header(
        schema_version=SCHEMA_VERSION,
        modality=model.modality.name,
        rank=model.modality.rank,
        version=__version__,
        config=model.config.model_dump(mode="json"),
        spacing_um=model.spacing_um,
        unit=UnitPart(offset=acquisition.unit.offset, scale=acquisition.unit.scale),
        camera=CameraPart(
            detector=detector.kind,
            shape=getattr(detector, "shape", None),
            offset_sigma=model.offset_sigma,
            gain_sigma=model.gain_sigma,
            law_misfits=model.law_misfits,
            offset=detector.offset,
            gain=detector.gain,
            read_variance=detector.read_variance,
            kernel=detector.correlation.kernel,
            rows=detector.lines.rows,
            columns=detector.lines.columns,
        ),
        maps=None if maps is None else MapsPart(sigmas=maps.sigmas, frames=maps.frames, target=maps.target),
        psf=_of_psf(acquisition.psf),
        optics=None if acquisition.optics is None else _optics_part(acquisition.optics),
        acquisition=own_header,
        intensity_correction=IntensityPart.model_validate(asdict(correction)),
        history=model.history,
        provenance=json.loads(json.dumps(model.provenance, default=str)),
    )
    return tensors, header.model_dump(mode="json")


def read_models(path: str | Path) -> tuple[dict[str, ModelParts], Config | None, dict[str, Any]]:
    """The models in a `.zsd` file by the names of their channels, on the CPU, with the settings and the provenance of all.

    A single one has no name, and no settings beside its own. Nothing in the file can run.

    Raises `ModelError` for damaged files and for models of another modality or a newer version.
    """
    tensors, header = load_model(path)
    if "channels" not in header:
        return {"": _checked_parts(path, tensors, header)}, None, {}
    models = {}
    try:
        entries = [(str(entry["name"]), {**entry["header"]}) for entry in header["channels"]]
        config = Config.model_validate(with_new_names(header["config"]))
    except (LookupError, TypeError, ValueError) as fault:
        raise ModelError(f"model {path}: its channels are damaged; train again") from fault
    for number, (name, own) in enumerate(entries):
        prefix = f"channel.{number}."
        parts = {key.removeprefix(prefix): tensor for key, tensor in tensors.items() if key.startswith(prefix)}
        models[name] = _checked_parts(path, parts, {"modality": header["modality"], "rank": header["rank"], **own})
    if not models or len(models) < len(entries):
        raise ModelError(f"model {path}: {len(entries)} channels, {len(models)} names; train again")
    return models, config, dict(header.get("provenance") or {})


def _checked_parts(path: str | Path, tensors: dict[str, Tensor], header: Mapping[str, Any]) -> ModelParts:
    row = MODALITIES.get(header["modality"])
    if row is None or row.rank != header["rank"]:
        made_for = f"modality {header['modality']!r} of rank {header['rank']}"
        raise ModelError(f"model {path}: {made_for} is not known to version {__version__} ({', '.join(MODALITIES)}); update zsdeconv")
    schema = header.get("schema_version")
    if isinstance(schema, int) and schema > SCHEMA_VERSION:
        newer = f"schema version {schema}, this program reads up to {SCHEMA_VERSION}"
        raise ModelError(f"model {path}: {newer}; update zsdeconv")
    try:
        return _from_parts(*migrated(tensors, header))
    except (LookupError, TypeError, ValueError, RuntimeError, AttributeError, UserError) as fault:
        reason = " ".join(str(fault).split())[:120]
        raise ModelError(f"model {path}: its content does not fit version {__version__} ({reason}); train again") from fault


def migrated(tensors: dict[str, Tensor], header: Mapping[str, Any]) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Tensors and header as the present schema has them."""
    header = dict(header)
    if "schema_version" in header:
        return tensors, header
    provenance, photometry = header.get("provenance") or {}, header.pop("photometry")
    own = next(value for value in (header.pop("sim", None), {}) if value is not None)
    numbers, line, dark = provenance.get("optics") or None, photometry["deconvolved"], photometry["dark"]
    return {name.replace("sim.", "acquisition.", 1) if name.startswith("sim.") else name: t for name, t in tensors.items()}, {
        **header,
        "schema_version": SCHEMA_VERSION,
        "camera": {**header["camera"], "offset_sigma": (provenance.get("calibration") or {}).get("offset_sigma", 0.0)},
        "optics": numbers and {"na": numbers["na"], "wavelength_nm": numbers["wavelength_nm"], "immersion_ri": numbers["ri"]},
        "acquisition": own,
        "intensity_correction": {
            "denoised": photometry["denoised"],
            "deconvolved": {**line, "intercept": line["intercept"] + line["slope"] * dark},  # the dark level was taken off by itself
            "dark_level": dark,
        },
        "provenance": provenance,
    }


def _from_parts(tensors: dict[str, Tensor], values: Mapping[str, Any]) -> ModelParts:
    header = Header.model_validate(values)
    settings = with_new_names(header.config)
    settings["training"] = {"optimizer": "adam", **settings.get("training", {})}  # written before there was another one
    modality, config = MODALITIES[header.modality], Config.model_validate(settings)
    psf = Psf(tensors.pop("psf").numpy(), header.psf.spacing_um, header.psf.source, header.psf.shift_px)
    own = {name.removeprefix("acquisition."): tensors.pop(name) for name in list(tensors) if name.startswith("acquisition.")}
    unit, camera = Affine(**header.unit.model_dump()), _detector(header.camera)
    optics = None if header.optics is None else Optics(**header.optics.model_dump())
    acquisition = modality.acquisition.from_stored(Stored(unit, camera, psf, optics, config, own, header.acquisition))
    acquisition.splits = config.pairs.kind == "split"
    if header.maps is not None:
        offset, gain, read_variance, bad = (tensors.pop(f"maps.{name}").numpy() for name in MAPS)
        acquisition.maps = CameraMaps(offset, gain, read_variance, bad, header.maps.sigmas, header.maps.frames, header.maps.target)
    network = make_network(config, modality.rank, acquisition.forward_operator, acquisition.scale, acquisition.shift_px)
    network.load_state_dict({name.removeprefix("network."): tensor for name, tensor in tensors.items()})
    return ModelParts(
        network,
        modality,
        config,
        acquisition,
        header.spacing_um,
        _intensity_correction(header.intensity_correction),
        header.camera.offset_sigma,
        history=header.history,
        provenance=header.provenance,
        gain_sigma=header.camera.gain_sigma,
        law_misfits=header.camera.law_misfits,
    )


def _intensity_correction(part: IntensityPart) -> IntensityCorrection:
    kind = PositiveResponse if isinstance(part.deconvolved, PositivePart) else AffineResponse
    return IntensityCorrection(AffineResponse(**part.denoised.model_dump()), kind(**part.deconvolved.model_dump()), part.dark_level)


def _detector(part: CameraPart) -> Camera:
    if part.detector not in DETECTORS:
        raise ValueError(f"unknown detector {part.detector!r}")
    shape = {} if part.shape is None else {"shape": part.shape}
    memory = {"correlation": NoiseCorrelation(part.kernel), "lines": LineOffsets(part.rows, part.columns)}
    return DETECTORS[part.detector](offset=part.offset, gain=part.gain, read_variance=part.read_variance, **shape, **memory)


def _optics_part(optics: Optics) -> OpticsPart:
    return OpticsPart(**{name: getattr(optics, name) for name in OpticsPart.model_fields})
