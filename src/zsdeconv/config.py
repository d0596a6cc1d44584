"""The configuration of a run: one frozen tree, validated together, that a YAML file holds and repeats."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from zsdeconv.errors import ConfigError

Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
NotNegative = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Count = Annotated[int, Field(ge=1)]
Preset = Literal["fast", "paper", "quality"]


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class InputSection(_Section):
    """What the file does not say about the image: axis letters, pixel sizes, camera offset in ADU."""

    axes: str | None = None
    pixel_um: Positive | None = None
    z_um: Positive | None = None
    background: Literal["auto"] | Annotated[float, Field(allow_inf_nan=False)] = "auto"


class OpticsSection(_Section):
    """The lens, as numbers for the theory or as a measured PSF or OTF file (one of the two, not both)."""

    na: Positive | None = None
    wavelength_nm: Positive | None = None
    immersion_ri: Positive | None = None
    pupil: Literal["scalar", "vectorial"] = "scalar"
    psf: str | None = None
    otf: str | None = None
    psf_pixel_um: Positive | None = None
    psf_z_um: Positive | None = None

    @model_validator(mode="after")
    def _one_source(self) -> OpticsSection:
        if self.psf and self.otf:
            raise ValueError("both a PSF and an OTF file are given, the lens has one: leave out --psf or --otf")
        return self


class PairsSection(_Section):
    """Re-corruption (Eq. 2, 3): the ranges each pair draws from."""

    alpha: tuple[Positive, Positive] = (1.0, 2.0)
    beta1_factor: tuple[NotNegative, NotNegative] = (0.5, 1.5)
    beta2_factor: tuple[NotNegative, NotNegative] = (0.8, 1.2)

    @model_validator(mode="after")
    def _ordered(self) -> PairsSection:
        for name in ("alpha", "beta1_factor", "beta2_factor"):
            low, high = getattr(self, name)
            if low > high:
                raise ValueError(f"{name} {low}-{high}: the first number must not exceed the second; swap them")
        return self


class NetworkSection(_Section):
    """Which network, and how wide: `unet` is the published one, `fast` our own."""

    kind: Literal["fast", "unet"] = "fast"
    channels: tuple[Count, ...] = (16, 32, 64, 64)


class LossSection(_Section):
    """Weights of Eq. 4 and 6, and the kind of error."""

    mu: Annotated[float, Field(ge=0, le=1)] = 0.5
    lambda_hessian: NotNegative = 0.0
    error: Literal["squared", "absolute"] = "squared"


class TrainingSection(_Section):
    """The training loop: patches in raw pixels, Adam's rate and its schedule, the budget, validation and stopping."""

    patch_px: Annotated[int, Field(ge=8)] = 64
    batch: Count = 8
    learning_rate: Positive = 2e-3
    schedule: Literal["cosine", "halving"] = "cosine"
    halve_every: Count = 10_000
    steps: Count = 3000
    minutes: Positive | None = None
    validate_every: Count = 100
    patience: Count = 10


class PredictionSection(_Section):
    """Tiles in raw pixels (None: as large as the memory bound allows) and averaged re-corrupted passes."""

    tile: Annotated[int, Field(ge=32)] | None = None
    overlap: Annotated[int, Field(ge=0)] | None = None
    batch: Count = 1
    passes: Annotated[int, Field(ge=0)] = 8


class Config(_Section):
    """Everything that decides a result besides the pixels.

    >>> config = resolve({"optics": {"na": 1.4, "wavelength_nm": 525}, "scale": 1})
    >>> config.optics.na, config.scale, config.preset
    (1.4, 1, 'fast')
    """

    modality: str = "auto"
    preset: Preset = "fast"
    scale: Literal[1, 2] = 2
    device: str = "auto"
    seed: Annotated[int, Field(ge=0, lt=2**63)] = 0
    input: InputSection = InputSection()
    optics: OpticsSection = OpticsSection()
    pairs: PairsSection = PairsSection()
    network: NetworkSection = NetworkSection()
    loss: LossSection = LossSection()
    training: TrainingSection = TrainingSection()
    prediction: PredictionSection = PredictionSection()
